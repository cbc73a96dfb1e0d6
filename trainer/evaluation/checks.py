"""Refuse the cells of a grid that cannot run, before anything is encoded or trained."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

from rich.progress import Progress

from engines.models.codecs import Codec, NestedCodec, PerRateCodec
from engines.models.model_set import ModelSet
from semlink.channel import MAX_SNR_DB
from semlink.errors import ConfigError, DatasetError
from trainer.codecs.spec import CodecCase, CodecSpec, Need, SizePx, TrainingCase
from trainer.codecs.table import find_codec
from trainer.datasets.base import ImageList
from trainer.evaluation.grid import Grid
from trainer.progress import progress_task

__all__ = ["check_grid", "check_model_set", "check_packages", "check_training_set", "image_sizes", "model_owner"]


def model_owner(codec: CodecSpec) -> CodecSpec:
    """The codec whose model this one uses: itself, or the one that its spec names."""
    return find_codec(codec.model_of) if codec.model_of else codec


def check_grid(
    grid: Grid,
    *,
    feature_dim: int | None = None,
    num_entries: int | None = None,
    image_sizes_px: frozenset[SizePx] | None = None,
) -> None:
    """Check every codec at every rate and on every channel.

    A parameter is None while its value is unknown; a later check with it can refuse more.

    Parameters
    ----------
    feature_dim : reals of the image encoder's features
    num_entries : size of the knowledge base
    image_sizes_px : see `image_sizes`

    Raises
    ------
    ConfigError
        With the reason of each codec that cannot run a cell.
    """
    # Written so that NaN, which compares false, is refused too.
    if not all(abs(snr_db) <= MAX_SNR_DB for snr_db in grid.snr_db):
        raise ConfigError(f"SNRs must be from {-MAX_SNR_DB:g} to {MAX_SNR_DB:g} dB, got {grid.snr_db}")
    if reasons := list(dict.fromkeys(_refusals(grid, feature_dim, num_entries, image_sizes_px))):
        raise ConfigError("; ".join(reasons))


def check_training_set(codecs: Iterable[CodecSpec], images: ImageList, progress: Progress | None = None) -> None:
    """Check that every codec that is fitted can be fitted to the training images, before they are encoded.

    Raises
    ------
    DatasetError
        With the reason of each codec that cannot.
    """
    codecs = [codec for codec in codecs if codec.fit is not None]
    sizes = image_sizes(codecs, images, progress)
    case = TrainingCase(len(images), len(set(images.labels)), sizes)
    if reasons := list(dict.fromkeys(filter(None, (codec.fit_refusal(case) for codec in codecs)))):
        raise DatasetError("; ".join(reasons))


def image_sizes(
    codecs: Iterable[CodecSpec], images: ImageList, progress: Progress | None = None
) -> frozenset[SizePx] | None:
    """Sizes of the images, each of which is read; None if no codec needs pictures."""
    if not any(Need.PICTURES in codec.needs for codec in codecs):
        return None
    with progress_task(progress, "reading sizes of pictures", len(images)) as advance:
        sizes = set()
        for number in range(len(images)):
            height, width, _ = images.image(number).shape
            sizes.add((height, width))
            advance(1)
    return frozenset(sizes)


def check_packages(grid: Grid, *, fits: bool) -> None:
    """Import the codecs' functions, those of fitting if `fits`; MissingDependencyError if a package is missing."""
    for codec in grid.codecs:
        codec.load_links()
        if fits and (owner := model_owner(codec)).fit is not None:
            owner.load_fit()


def check_model_set(grid: Grid, model_set: ModelSet) -> None:
    """ConfigError if a model set lacks a model that a codec of the grid needs, at one of the rates."""
    if reasons := list(dict.fromkeys(_model_refusals(grid, model_set))):
        raise ConfigError("; ".join(reasons))


def _refusals(
    grid: Grid, feature_dim: int | None, num_entries: int | None, image_sizes_px: frozenset[SizePx] | None
) -> Iterator[str]:
    for codec, channel, rate in itertools.product(grid.codecs, grid.channels, grid.rates):
        conditions = grid.conditions(codec, channel, grid.snr_db[0])
        case = CodecCase(
            rate=rate,
            channel=channel.value,
            csi=conditions.csi.value,
            constellation=grid.constellation.value if grid.constellation else None,
            feature_dim=feature_dim,
            num_entries=num_entries,
            is_fast_fading=channel.is_fast_fading,
            image_sizes_px=image_sizes_px if Need.PICTURES in codec.needs else None,
        )
        if reason := codec.refusal(case):
            yield reason
        if codec.weighs_noise and conditions.num_pilots == 1:
            yield f"{codec.name} needs 2 pilots or more: one cannot separate gain and noise; got --pilots 1"
        if not codec.is_seeded and (owner := model_owner(codec)).fit is not None and "seed" in owner.fitted_for:
            yield f"{codec.name} has is_seeded=False, but uses the model of {owner.name}, which has one for each seed"


def _model_refusals(grid: Grid, model_set: ModelSet) -> Iterator[str]:
    held = {codec.name: codec for codec in model_set.codecs}
    for codec in grid.codecs:
        owner = model_owner(codec)
        if owner.fit is None:
            continue
        if owner.name not in held:
            yield (
                f'model set "{model_set.name}" holds {", ".join(held) or "no codec"}, not {owner.name}; use'
                " --weights trained, and data that has a training set (cifar100, or a folder with train/ and test/)"
            )
        else:
            yield from _lacks_of(codec, held[owner.name], grid, model_set.name)


def _lacks_of(codec: CodecSpec, model: Codec, grid: Grid, model_set: str) -> Iterable[str]:
    if isinstance(model, PerRateCodec):
        lacking = [str(rate.num_symbols) for rate in grid.rates if rate not in model.rates]
        if lacking:
            rates = ", ".join(str(rate.num_symbols) for rate in model.rates)
            yield (
                f'model set "{model_set}" has {model.name} at {rates} symbols, not at {", ".join(lacking)}; choose from'
                " these rates, or use --weights trained"
            )
    elif isinstance(model, NestedCodec) and Need.LABELS in codec.needs and model.entry.projection is None:
        yield f'model set "{model_set}" has {model.name} without a projection head, which {codec.name} needs'
