"""Grids, and the codec of the synthetic model set as a spec."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engines.models.codecs import NestedCodec
from engines.models.model_set import ModelSet
from semlink.channel import ChannelModel
from semlink.rates import parse_rate
from trainer.codecs.nested import NestedModel
from trainer.codecs.spec import CodecSpec, FitKey, FittedModel
from trainer.codecs.table import find_codec
from trainer.evaluation.grid import Grid

SYNTHETIC = CodecSpec(
    name="synthetic-codec",
    summary="the codec of `tests.support.model_sets`",
    links="trainer.links.graph_link:graph_links",
    fit="trainer.codecs.training_runs:fit_kbsc",
    fitted_for=("rate", "seed", "channel"),
    weighs_noise=False,
)


def make_grid(*codecs: str | CodecSpec, **changes: Any) -> Grid:
    """A small grid, by default of the synthetic codec at 16 symbols over AWGN, two SNRs and two seeds."""
    values: dict[str, Any] = {
        "codecs": tuple(find_codec(codec) if isinstance(codec, str) else codec for codec in codecs or (SYNTHETIC,)),
        "rates": (parse_rate("16"),),
        "channels": (ChannelModel.AWGN,),
        "snr_db": (-10.0, 20.0),
        "seeds": (0, 1),
    }
    return Grid(**{**values, **changes})


def no_model(codec: CodecSpec) -> Mapping[FitKey, FittedModel]:
    """The models of a codec that has none."""
    return {FitKey(codec.name, seed=seed): FittedModel(None, trained_on="nothing", key="") for seed in range(8)}


def models_of(codec: CodecSpec, model_set: ModelSet, grid: Grid) -> Mapping[FitKey, FittedModel]:
    """A model set's codec for every key that a grid needs."""
    held = model_set.codec(codec.name)
    model = FittedModel(NestedModel.of(held) if isinstance(held, NestedCodec) else held, "none: random numbers", key="")
    return dict.fromkeys(codec.fit_keys(grid.rates, grid.seeds, grid.training_channels), model)
