"""Refuse the cells of a grid that cannot run, before anything is encoded or trained."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

from engines.models.codecs import Codec, NestedCodec, PerRateCodec
from engines.models.model_set import ModelSet
from semlink.channel import MAX_SNR_DB
from semlink.errors import ConfigError
from trainer.codecs.spec import CodecCase, CodecSpec, Need
from trainer.codecs.table import find_codec
from trainer.evaluation.grid import Grid

__all__ = ["check_grid", "check_model_set", "check_packages", "model_owner"]


def model_owner(codec: CodecSpec) -> CodecSpec:
    """The codec whose model this one uses: itself, or the one that its spec names."""
    return find_codec(codec.model_of) if codec.model_of else codec


def check_grid(grid: Grid, *, feature_dim: int, num_entries: int | None = None) -> None:
    """Check every codec at every rate and on every channel.

    Parameters
    ----------
    feature_dim : reals of the image encoder's features
    num_entries : size of the knowledge base; None before it is opened

    Raises
    ------
    ConfigError
        With the reason of each codec that cannot run a cell.
    """
    if any(abs(snr_db) > MAX_SNR_DB for snr_db in grid.snr_db):
        raise ConfigError(f"SNRs must be from {-MAX_SNR_DB:g} to {MAX_SNR_DB:g} dB, got {grid.snr_db}")
    if reasons := list(dict.fromkeys(_refusals(grid, feature_dim, num_entries))):
        raise ConfigError("; ".join(reasons))


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


def _refusals(grid: Grid, feature_dim: int, num_entries: int | None) -> Iterator[str]:
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
        )
        if reason := codec.refusal(case):
            yield reason
        if codec.weighs_noise and conditions.num_pilots == 1:
            yield f"{codec.name} needs 2 pilots or more: one cannot separate gain and noise; got --pilots 1"


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
