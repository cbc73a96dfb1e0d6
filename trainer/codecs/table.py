"""The table of codecs: one entry for each, and those that installed packages add."""

from __future__ import annotations

import importlib.metadata
from functools import partial

from semlink.errors import ConfigError
from semlink.suggestions import did_you_mean
from trainer.codecs import limits
from trainer.codecs.config import KbscConfig, LabelsConfig, QuantizerConfig
from trainer.codecs.spec import CodecSpec, Need

__all__ = ["BUILTIN_CODECS", "ENTRY_POINT_GROUP", "codec_names", "find_codec", "trainable_codecs"]

ENTRY_POINT_GROUP = "semlink.codecs"
"""Entry points of this group are codecs: the name is the codec's, the value a `CodecSpec`."""

_FITTED_BY_CLUSTERS = ("sklearn", "threadpoolctl")

BUILTIN_CODECS = (
    CodecSpec(
        name="nested",
        summary="the analog part alone, one code for every rate and SNR, fitted without labels; for any KB",
        links="trainer.links.signal_link:nested_links",
        fit="trainer.codecs.nested:fit_nested",
        fit_settings=(),
        needs=(Need.TRAINING_SET,),
        is_trainable=True,
        fit_modules=("threadpoolctl",),
        fit_refusal=partial(limits.refuse_few_images, "nested", limits.NESTED_MIN_IMAGES),
        line_style="C6o-",
    ),
    CodecSpec(
        name="nested-cells",
        summary="nested with the codewords of cells of its training set; for KBs that are like that set",
        links="trainer.links.signal_link:nested_links",
        fit="trainer.codecs.nested_cells:fit_nested_cells",
        fit_settings=(),
        needs=(Need.TRAINING_SET,),
        is_trainable=True,
        fit_modules=_FITTED_BY_CLUSTERS,
        fit_refusal=partial(limits.refuse_few_images, "nested-cells", limits.NESTED_CELLS_MIN_IMAGES),
        line_style="C3o-",
    ),
    CodecSpec(
        name="nested-feedback",
        summary="nested-cells, its power shared by the SNR that the receiver reports",
        links="trainer.links.feedback_link:feedback_links",
        needs=(Need.REPORTS,),
        model_of="nested-cells",
        refusal=limits.refuse_genie,
        line_style="C3s:",
    ),
    *(
        CodecSpec(
            name=name,
            summary=summary,
            links="trainer.links.signal_link:nested_links",
            fit="trainer.codecs.nested_labels:fit_labelled",
            fit_config=config,
            fit_settings=("projection_loss",),
            needs=(Need.TRAINING_SET, Need.LABELS),
            is_trainable=True,
            sends="category",
            fit_modules=("torch", *_FITTED_BY_CLUSTERS),
            fit_refusal=partial(limits.refuse_few_images_per_category, name),
            line_style=line_style,
        )
        for name, summary, config, line_style in (
            (
                "nested-labels",
                "nested-cells on projected features: better for known categories, unsuitable for others",
                LabelsConfig(),
                "C3^--",
            ),
            ("label", "the codeword of the category and nothing else", LabelsConfig(label_alone=True), "C4o-"),
        )
    ),
    *(
        CodecSpec(
            name=name,
            summary=summary,
            links=f"trainer.links.adapted_link:{links}",
            needs=needs,
            line_style=line_style,
        )
        for name, summary, links, needs, line_style in (
            (
                "adapted",
                "the code that the KB makes of its entries and their labels; one for every rate and SNR",
                "adapted_links",
                (Need.CODEBOOK, Need.LABELS),
                "C9o-",
            ),
            ("adapted-unlabelled", "adapted without the labels", "unlabelled_links", (Need.CODEBOOK,), "C9^--"),
        )
    ),
    CodecSpec(
        name="index",
        summary="the codeword of the nearest entry, by a transmitter that holds every entry's vector",
        links="trainer.links.signal_link:index_links",
        needs=(Need.KNOWLEDGE_BASE,),
        sends="entry",
        line_style="C2o-",
    ),
    CodecSpec(
        name="index-labels",
        summary="index on projected features",
        links="trainer.links.signal_link:index_links",
        needs=(Need.KNOWLEDGE_BASE, Need.LABELS),
        model_of="nested-labels",
        sends="category",
        line_style="C2^--",
    ),
    CodecSpec(
        name="kbsc",
        summary="the network of arXiv 2504.01053 over honest channels, one for each rate",
        links="trainer.links.graph_link:graph_links",
        fit="trainer.codecs.training_runs:fit_kbsc",
        fit_config=KbscConfig(),
        fit_settings=("epochs", "objective"),
        fitted_for=("rate", "seed", "channel"),
        needs=(Need.TRAINING_SET,),
        is_trainable=True,
        weighs_noise=False,
        fit_modules=("torch",),
        fit_refusal=partial(limits.refuse_few_images, "kbsc", limits.KBSC_MIN_IMAGES),
        line_style="C0o-",
    ),
    CodecSpec(
        name="kbsc-reference",
        summary="the network of arXiv 2504.01053 over its channel as published",
        links="trainer.links.graph_link:reference_links",
        fit="trainer.codecs.training_runs:fit_kbsc",
        fit_config=KbscConfig(uses_paper_channel=True, objectives=("mse",)),
        fit_settings=("epochs",),
        fitted_for=("rate", "seed", "channel"),
        needs=(Need.TRAINING_SET,),
        weighs_noise=False,
        uses_paper_channel=True,
        fit_modules=("torch",),
        refusal=limits.refuse_unpublished,
        fit_refusal=partial(limits.refuse_few_images, "kbsc-reference", limits.KBSC_MIN_IMAGES),
        line_style="C0s--",
    ),
    *(
        CodecSpec(
            name=name,
            summary=summary,
            links="trainer.links.vq_link:vq_links",
            fit="trainer.codecs.quantizer:fit_quantizers",
            fit_config=config,
            fit_settings=(),
            needs=(Need.TRAINING_SET,),
            fit_modules=_FITTED_BY_CLUSTERS,
            fit_refusal=partial(limits.refuse_few_images, name, limits.VQ_MIN_IMAGES),
            line_style=line_style,
        )
        for name, summary, config, line_style in (
            ("vq", "the number of one k-means cell", QuantizerConfig(num_cells=1536, num_stages=1), "C1o-"),
            (
                "vq-residual",
                "numbers of cells, each of the error of those before",
                QuantizerConfig(num_cells=256, num_stages=16),
                "C1s--",
            ),
            (
                "vq-product",
                "numbers of cells, each of its own part of the principal components",
                QuantizerConfig(num_cells=256, num_stages=16, is_product=True),
                "C1^:",
            ),
        )
    ),
    CodecSpec(
        name="uncoded",
        summary="the features as they are, two reals in each symbol",
        links="trainer.links.graph_link:uncoded_links",
        weighs_noise=False,
        is_seeded=False,
        refusal=limits.refuse_other_than_feature_rate,
        line_style="C7o-",
    ),
    CodecSpec(
        name="index-polar",
        summary="the number of the nearest entry with 5G's polar code, CRC and QPSK",
        links="trainer.links.index_polar:index_polar_links",
        needs=(Need.KNOWLEDGE_BASE,),
        is_seeded=False,
        runs_alone=True,  # torch, which decodes, uses all cores
        sends="entry",
        modules=("torch", "sionna"),
        refusal=limits.refuse_for_polar,
        line_style="C5s:",
    ),
    CodecSpec(
        name="bpg-ldpc",
        summary="the picture: HEVC still, 5G's LDPC code, QAM",
        links="trainer.links.bpg_ldpc:bpg_ldpc_links",
        fit="trainer.links.bpg_ldpc:fit_bpg_ldpc",
        fit_settings=(),
        fitted_for=(),
        needs=(Need.TRAINING_SET, Need.LABELS, Need.PICTURES),
        is_seeded=False,
        runs_alone=True,  # the seeds of a rate share their stills, and the image encoder uses all cores
        modules=("torch", "av", "sionna"),
        refusal=limits.refuse_for_bpg_ldpc,
        fit_refusal=limits.refuse_pictures_for_stills,
        line_style="C8D:",
    ),
    CodecSpec(
        name="deepjscc",
        summary="the picture: a convolutional autoencoder trained through noise",
        links="trainer.links.deepjscc_link:deepjscc_links",
        fit="trainer.codecs.deepjscc_training:fit_deepjscc",
        fit_settings=(),
        fitted_for=("rate",),
        needs=(Need.TRAINING_SET, Need.PICTURES),
        is_seeded=False,
        runs_alone=True,  # the seeds of a rate share their symbols, and the image encoder uses all cores
        modules=("torch",),
        refusal=limits.refuse_for_deepjscc,
        fit_refusal=limits.refuse_pictures_for_deepjscc,
        line_style="C4v:",
    ),
)
"""Codecs of this package, in the order in which commands list them."""


def codec_names() -> tuple[str, ...]:
    """Names of all codecs, built-in and installed; imports no package of a codec."""
    installed = (entry.name for entry in importlib.metadata.entry_points(group=ENTRY_POINT_GROUP))
    return tuple(dict.fromkeys([*(spec.name for spec in BUILTIN_CODECS), *sorted(installed)]))


def trainable_codecs() -> tuple[str, ...]:
    """Names of all codecs that `semlink train codec` can train, built-in and installed."""
    return tuple(name for name in codec_names() if find_codec(name).is_trainable)


def find_codec(name: str) -> CodecSpec:
    """Find a codec by name, among the built-in ones first.

    Raises
    ------
    ConfigError
        If there is none of the name, or an entry point's value is no `CodecSpec` of it.
    """
    for spec in BUILTIN_CODECS:
        if spec.name == name:
            return spec
    for entry in importlib.metadata.entry_points(group=ENTRY_POINT_GROUP, name=name):
        try:
            spec = entry.load()
        except (ImportError, AttributeError) as error:
            raise ConfigError(f'codec "{name}": {entry.value} cannot be imported: {error}') from None
        if not isinstance(spec, CodecSpec) or spec.name != name:
            raise ConfigError(f'codec "{name}": {entry.value} must be a CodecSpec of this name')
        return spec
    names = codec_names()
    hint = did_you_mean(name, names) or f"choose from: {', '.join(names)}"
    raise ConfigError(f'codec "{name}" is unknown; {hint}')
