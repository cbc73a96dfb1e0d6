"""Measure the references in the grid that the semantic codecs are measured in."""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal

from semlink.channel import ChannelModel
from semlink.errors import ConfigError, DatasetError
from semlink.rates import Rate
from trainer.codecs.training_data import TrainingFeatures
from trainer.datasets.base import ImageList
from trainer.evaluation.grid import Grid
from trainer.evaluation.measure import Link, Measurement
from trainer.evaluation.record import Record
from trainer.features import FeatureEncoder
from trainer.links.references.bpg_ldpc import BpgLdpcLink, ModeChoice, StillSource
from trainer.links.references.deepjscc import DeepJsccLink
from trainer.links.references.deepjscc_network import DeepJsccNetwork
from trainer.links.references.deepjscc_training import DeepJsccTraining, read_pictures, trained_deepjscc
from trainer.links.references.index_polar import IndexPolarLink, require_polar
from trainer.links.references.packages import missing_module

__all__ = ["check_references", "check_weights", "evaluate_index_polar", "evaluate_picture_codecs"]

_PICTURE_CODECS = ("bpg-ldpc", "deepjscc")
_REFERENCES = ("index-polar", *_PICTURE_CODECS)

_PACKAGES = {"index-polar": ("sionna",), "bpg-ldpc": ("av", "sionna")}
"""Modules that a reference stands on."""


def check_references(grid: Grid, num_entries: int | None = None) -> None:
    """Refuse before anything is trained what would fail after it; `num_entries` of the knowledge base, once known.

    Raises
    ------
    ConfigError
        If a reference is asked for on a channel or at a rate that it is not made for.
    MissingDependencyError
        If a package is missing.
    """
    wanted = [codec for codec in grid.codecs if codec in _REFERENCES]
    pictures = [codec for codec in wanted if codec in _PICTURE_CODECS]
    if pictures and ChannelModel.RAYLEIGH_FAST in grid.channels:
        raise ConfigError(f'{pictures[0]} is not made for "rayleigh-fast"; use --channel awgn,rayleigh')
    if wanted and grid.constellation is not None:
        raise ConfigError(f"{wanted[0]} is measured with the points that it sends itself; leave out --constellation")
    if "deepjscc" in wanted:
        for rate in grid.rates:
            DeepJsccNetwork(rate)
    for codec in wanted:
        for module in _PACKAGES.get(codec, ()):
            if importlib.util.find_spec(module) is None:
                raise missing_module(module, codec)
    if "index-polar" in wanted:
        for rate in grid.rates:
            require_polar(rate, num_entries or 2**32)


def check_weights(grid: Grid, weights: str) -> None:
    """ConfigError if a reference that learns from images is asked for with a model set's weights, which have none."""
    for codec in grid.codecs:
        if codec in _PICTURE_CODECS and weights == "model-set":
            raise ConfigError(
                f"{codec} learns from training images: use --data cifar100 or a folder with train/ and test/, and"
                " --weights trained"
            )


def evaluate_index_polar(measurement: Measurement) -> list[Record]:
    """Measure `index-polar`, which learns nothing; a seed is that of the noise alone."""
    # One at a time: torch, which decodes, has the cores by itself.
    return replace(measurement, num_jobs=1).links(
        "index-polar",
        _for_all_seeds(lambda rate: IndexPolarLink.of(rate, measurement.noiseless)),
        trained_on="nothing",
    )


def evaluate_picture_codecs(
    measurement: Measurement,
    sent: ImageList,
    train: ImageList | None,
    training_data: TrainingFeatures,
    encoder: FeatureEncoder,
    runs: Path,
    *,
    precision: Literal["bf16", "fp32"],
) -> list[Record]:
    """Measure those of the grid's codecs that send the picture itself; a seed is that of the noise alone.

    Parameters
    ----------
    sent : the images whose features the measurement's clean retrieval holds
    train, training_data : images to learn from, and their features
    runs : where trained networks are kept
    precision : arithmetic of training

    Raises
    ------
    ConfigError, DatasetError
        If the pictures are of a size that a reference is not made for.
    """
    records: list[Record] = []
    # One at a time: the seeds of a rate share their pictures and symbols, and the encoder has all cores.
    measurement = replace(measurement, num_jobs=1)
    codecs = measurement.grid.codecs
    if not {*codecs} & {*_PICTURE_CODECS}:
        return records
    if train is None:
        raise DatasetError("the references learn from training images, and there are none; use --train-data cifar100")
    if "bpg-ldpc" in codecs:
        choice = ModeChoice(train, training_data, encoder)
        source = StillSource([sent.image(index) for index in range(len(sent))], encoder)
        records += measurement.links(
            "bpg-ldpc",
            _for_all_seeds(lambda rate: BpgLdpcLink(rate, source, choice)),
            trained_on=lambda rate, conditions: (
                f"{choice.best(rate, conditions) or 'no mode'}, chosen on {training_data.source}"
            ),
        )
    if "deepjscc" in codecs:
        pictures, progress = read_pictures(sent), measurement.progress

        def trained(rate: Rate) -> Link:
            training = DeepJsccTraining(rate.num_symbols, precision=precision)
            task = progress.add_task(f"training deepjscc at {rate.num_symbols} symbols", total=training.epochs)
            network = trained_deepjscc(training, train, runs, advance=lambda epochs: progress.advance(task, epochs))
            progress.update(task, completed=training.epochs)
            return DeepJsccLink(rate, network, pictures, encoder)

        source_text = f"{training_data.source}, seed 0, MSE, awgn of -10 to 15 dB"
        records += measurement.links("deepjscc", _for_all_seeds(trained), trained_on=source_text)
    return records


def _for_all_seeds(link_of: Callable[[Rate], Link]) -> Callable[[Rate, int], Link]:
    """One link for each rate serves all seeds, so that stills and symbols are made once."""
    cached = functools.cache(link_of)
    return lambda rate, _: cached(rate)
