"""What an engine costs and what its precision loses: `semlink engine bench` and `verify`."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from engines.backends.runner import GraphRunner
from semlink.errors import EngineError
from semlink.image import Preprocessing, RGBImage, preprocess
from semlink.iq import CodesFormat, dequantize
from semlink.machine import MachineState
from semlink.timing import LatencySummary, StageClock

__all__ = ["EngineBench", "PrecisionLoss", "precision_loss", "time_transmitter"]

_WARM_UP = 20


class PrecisionLoss(msgspec.Struct, frozen=True):
    """How far one precision is from fp32, over pictures.

    Attributes
    ----------
    feature_cosine, feature_cosine_least : of features, mean and least
    symbol_cosine : of symbols at one rate, mean; a picture that falls into another cell has others altogether
    same_codes : share of the I and Q integers that are the same
    """

    num_pictures: int
    feature_cosine: float
    feature_cosine_least: float
    symbol_cosine: float
    same_codes: float


class EngineBench(msgspec.Struct, frozen=True):
    """What `semlink engine bench --json` writes; latency in milliseconds of host wall clock."""

    date: str
    device: str
    versions: dict[str, str]
    engine: str
    model_set: str
    codec: str
    precision: str
    picture_px: tuple[int, int]
    latency_ms: dict[str, LatencySummary]
    machine_state: MachineState | None = None


def precision_loss(
    pictures: Sequence[RGBImage],
    preprocessing: Preprocessing,
    *,
    encoders: tuple[GraphRunner, GraphRunner],
    transmitters: tuple[GraphRunner, GraphRunner],
    codes_slice: slice,
    codes_format: CodesFormat = CodesFormat.SC8,
) -> PrecisionLoss:
    """Compare two precisions of one encoder, and of the transmitter that begins with it.

    Parameters
    ----------
    encoders : picture to features, of the precision and of fp32
    transmitters : picture to codes of every rate, likewise
    codes_slice : of the codes that are compared
    """
    features: list[list[np.ndarray]] = [[], []]
    codes: list[list[np.ndarray]] = [[], []]
    for picture in pictures:
        tensor = preprocess(picture, preprocessing)[None]
        for number in (0, 1):
            features[number].append(encoders[number](tensor)[0])
            codes[number].append(transmitters[number](tensor)[0, codes_slice])
    cosine = np.sum(np.stack(features[0]) * np.stack(features[1]), axis=1)
    first, second = (np.stack([dequantize(each, codes_format) for each in some]) for some in codes)
    products = np.real(np.sum(first * second.conj(), axis=1))
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    return PrecisionLoss(
        num_pictures=len(pictures),
        feature_cosine=float(cosine.mean()),
        feature_cosine_least=float(cosine.min()),
        symbol_cosine=float(np.mean(products / lengths)),
        same_codes=float(np.mean(np.stack(codes[0]) == np.stack(codes[1]))),
    )


def time_transmitter(
    picture: RGBImage,
    preprocessing: Preprocessing,
    graph: GraphRunner,
    codes_slice: slice,
    *,
    num_runs: int,
) -> dict[str, LatencySummary]:
    """Milliseconds from a picture in memory to codes, one picture after another, after a warm-up."""
    clock = StageClock()
    for number in range(_WARM_UP + num_runs):
        if number == _WARM_UP:
            clock = StageClock()
        with clock.stage("image in memory to codes"):
            with clock.stage("preprocess"):
                tensor = preprocess(picture, preprocessing)
            with clock.stage("engine"):
                codes = graph(tensor[None])
        if not codes[0, codes_slice].any():
            raise EngineError("the model gave no signal for a picture, so it is broken; fetch the model set again")
    return clock.summary()
