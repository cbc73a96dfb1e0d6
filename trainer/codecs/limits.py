"""Limits of the built-in codecs: the cells that they cannot run, and the training sets that they cannot be fitted to.

Each function gives the reason of a refusal in one sentence, or None. Nothing is imported that a codec needs, so that
the table of codecs is read without it.
"""

from __future__ import annotations

from semlink.paper_channel import PAPER_CHANNELS
from trainer.codecs.spec import CodecCase, SizePx, TrainingCase

__all__ = [
    "DEEPJSCC_MIN_IMAGES",
    "DEEPJSCC_MIN_SYMBOLS",
    "DEEPJSCC_SIDE_PX",
    "KBSC_MIN_IMAGES",
    "LABELS_MIN_CATEGORIES",
    "LABELS_MIN_IMAGES_PER_CATEGORY",
    "NESTED_CELLS_MIN_IMAGES",
    "NESTED_MIN_IMAGES",
    "POLAR_MIN_BITS",
    "POLAR_RATES",
    "STILL_MIN_IMAGES",
    "STILL_MIN_SIDE_PX",
    "VQ_MIN_IMAGES",
    "refuse_few_images",
    "refuse_few_images_per_category",
    "refuse_for_bpg_ldpc",
    "refuse_for_deepjscc",
    "refuse_for_polar",
    "refuse_genie",
    "refuse_other_than_feature_rate",
    "refuse_pictures_for_deepjscc",
    "refuse_pictures_for_stills",
    "refuse_unpublished",
]

POLAR_RATES = range(16, 513)
"""Symbols of `index-polar`: fewer have no room for number and CRC, and 5G's code ends at 1,088 coded bits."""
POLAR_MIN_BITS = 12
"""Fewer message bits have another code in 5G, without a CRC; padding them would make the reference look weak."""
DEEPJSCC_MIN_SYMBOLS = 32
"""One real for each of the 8 x 8 positions of `deepjscc`'s feature maps."""
DEEPJSCC_SIDE_PX = 32
"""Height and width of the pictures of `deepjscc`."""
STILL_MIN_SIDE_PX = 16
"""Smallest height and width of an HEVC still [px]."""

# Sizes of whole training sets, of which each codec is fitted to about four fifths (`paper_train_split`).
NESTED_MIN_IMAGES = 10
"""One is sent and one searched for the accuracy in a manifest; the code itself takes two that differ. The fewer there
are, the more of its directions are arbitrary."""
NESTED_CELLS_MIN_IMAGES = 12
"""Ten are for the one cell, and one is held out to calibrate the threshold."""
LABELS_MIN_CATEGORIES = 2
LABELS_MIN_IMAGES_PER_CATEGORY = 13
"""On average; four fifths of them are for training, and a code takes ten."""
VQ_MIN_IMAGES = 24
"""Twenty are for two cells."""
KBSC_MIN_IMAGES = 1280
"""Ten batches: a tenth of the set, the validation KB, is then a batch too."""
DEEPJSCC_MIN_IMAGES = 158
"""Two batches are for training."""
STILL_MIN_IMAGES = 10
"""A tenth is sent to choose a mode, and another is searched."""


def refuse_few_images(codec: str, min_images: int, case: TrainingCase) -> str | None:
    """Refuse a training set of fewer than `min_images` images."""
    if case.num_images >= min_images:
        return None
    return f"{codec} needs {min_images:,} training images or more, got {case.num_images:,}"


def refuse_few_images_per_category(codec: str, case: TrainingCase) -> str | None:
    """Refuse a training set with a single category, or with too few images of each to fit a code to them."""
    if case.num_categories < LABELS_MIN_CATEGORIES:
        return (
            f"{codec} needs training images of at least {LABELS_MIN_CATEGORIES} categories, got {case.num_categories}"
        )
    if case.num_images < LABELS_MIN_IMAGES_PER_CATEGORY * case.num_categories:
        return (
            f"{codec} needs {LABELS_MIN_IMAGES_PER_CATEGORY} training images of each category, got"
            f" {case.num_images:,} images of {case.num_categories:,} (a folder's are its class folders); nested needs"
            " no labels"
        )
    return None


def refuse_pictures_for_deepjscc(case: TrainingCase) -> str | None:
    """Refuse a training set that `deepjscc` cannot be trained on."""
    return refuse_few_images("deepjscc", DEEPJSCC_MIN_IMAGES, case) or _refuse_size_for_deepjscc(case.image_sizes_px)


def refuse_pictures_for_stills(case: TrainingCase) -> str | None:
    """Refuse a training set on which `bpg-ldpc` cannot choose its modes."""
    return refuse_few_images("bpg-ldpc", STILL_MIN_IMAGES, case) or _refuse_sizes_for_stills(case.image_sizes_px)


def refuse_unpublished(case: CodecCase) -> str | None:
    """Refuse what the channel of arXiv 2504.01053 has no variant for."""
    if case.channel not in {model.value for model in PAPER_CHANNELS}:
        known = ", ".join(model.value for model in PAPER_CHANNELS)
        return f'kbsc-reference is published for {known} only, not for "{case.channel}"'
    if case.constellation is not None:
        return "kbsc-reference is published without a constellation; leave out --constellation"
    return None


def refuse_genie(case: CodecCase) -> str | None:
    """Refuse gains that a receiver does not estimate, for `nested-feedback`."""
    if case.csi == "genie":
        return "nested-feedback follows what a receiver estimates and reports; a genie does neither"
    return None


def refuse_other_than_feature_rate(case: CodecCase) -> str | None:
    """Refuse every rate but that of half as many symbols as there are features, for `uncoded`."""
    if case.feature_dim is None or case.rate.latent_dim == case.feature_dim:
        return None
    return f"uncoded sends the features as they are: {case.feature_dim // 2} symbols, not {case.rate.num_symbols}"


def refuse_for_polar(case: CodecCase) -> str | None:
    """Refuse rates and numbers of entries for which `index-polar` has no code."""
    if case.rate.num_symbols not in POLAR_RATES:
        first, last = POLAR_RATES.start, POLAR_RATES.stop - 1
        return f"index-polar has rates of {first} to {last} symbols, not {case.rate.num_symbols}"
    if case.num_entries is not None and (case.num_entries - 1).bit_length() < POLAR_MIN_BITS:
        least = 2 ** (POLAR_MIN_BITS - 1) + 1
        return f"index-polar needs a knowledge base of {least:,} entries or more, not {case.num_entries:,}"
    return _refuse_constellation("index-polar", case)


def refuse_for_bpg_ldpc(case: CodecCase) -> str | None:
    """Refuse channels, and pictures that cannot all be stills of one size, for `bpg-ldpc`."""
    return _refuse_fast_fading("bpg-ldpc", case) or _refuse_sizes_for_stills(case.image_sizes_px)


def refuse_for_deepjscc(case: CodecCase) -> str | None:
    """Refuse rates, channels and pictures for which the network of `deepjscc` is not made."""
    if case.rate.num_symbols < DEEPJSCC_MIN_SYMBOLS:
        return f"deepjscc needs at least {DEEPJSCC_MIN_SYMBOLS} symbols, got {case.rate.num_symbols}"
    return _refuse_fast_fading("deepjscc", case) or _refuse_size_for_deepjscc(case.image_sizes_px)


def _refuse_constellation(codec: str, case: CodecCase) -> str | None:
    if case.constellation is None:
        return None
    return f"{codec} has a constellation of its own; leave out --constellation"


def _refuse_fast_fading(codec: str, case: CodecCase) -> str | None:
    if case.is_fast_fading:
        return f'{codec} cannot run on "{case.channel}"; use --channel awgn,rayleigh'
    return _refuse_constellation(codec, case)


def _refuse_size_for_deepjscc(sizes_px: frozenset[SizePx] | None) -> str | None:
    side = DEEPJSCC_SIDE_PX
    if other := (sizes_px or frozenset()) - {(side, side)}:
        return f"deepjscc is made for {side} x {side} pictures, not for {_size(min(other))}"
    return None


def _refuse_sizes_for_stills(sizes_px: frozenset[SizePx] | None) -> str | None:
    if not sizes_px:
        return None
    smallest, largest = min(sizes_px), max(sizes_px)
    if smallest != largest:
        return f"bpg-ldpc needs pictures of one size, got {_size(smallest)} and {_size(largest)}"
    if min(smallest) < STILL_MIN_SIDE_PX or any(side % 2 for side in smallest):
        return f"bpg-ldpc needs pictures with even sides of {STILL_MIN_SIDE_PX} or more, got {_size(smallest)}"
    return None


def _size(size_px: SizePx) -> str:
    height, width = size_px
    return f"{width} x {height}"
