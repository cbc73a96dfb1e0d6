"""`make bench-precision`: what fp16 and int8 of the built-in encoder lose on CIFAR-100.

5,000 images are sent at each precision; the knowledge base is fp32, as a receiver's is. int8 is calibrated on training
images. The int8 that TensorRT takes (scales around zero) runs in ONNX Runtime here, which shows its numbers, not its
speed.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
from rich.progress import Progress, track

from engines.backends.runner import load_runner
from engines.graphs.quantize import Int8Style, Tensor, at_precision
from engines.models.codecs import NestedCodec
from engines.models.image_encoder import Features, ImageEncoder
from engines.models.model_set import ModelSet
from engines.options import Precision
from semlink.channel import ChannelModel
from semlink.image import preprocess
from semlink.iq import normalize_power, pair_latent
from semlink.rates import parse_rate
from semlink.report import Report, provenance, write_report
from trainer.datasets import open_dataset
from trainer.datasets.base import ImageList
from trainer.features import cached_features
from trainer.intervals import confidence_interval
from trainer.links.conditions import Csi, LinkConditions
from trainer.links.retrieval import NoiselessRetrieval
from trainer.links.signal_link import SignalLink

REPORT = Path(__file__).parent / "results" / "precision.json"
RATE = parse_rate("64")
SNR_DB, SEEDS = (-7.0, 0.0, 10.0), (0, 1, 2)
NUM_CALIBRATION_IMAGES = 256
_STYLES = {
    "fp32": (Precision.FP32, Int8Style.DYNAMIC),
    "fp16": (Precision.FP16, Int8Style.DYNAMIC),
    "int8": (Precision.INT8, Int8Style.CALIBRATED),
    "int8, as TensorRT takes it": (Precision.INT8, Int8Style.SYMMETRIC),
}


class PrecisionRow(msgspec.Struct, frozen=True):
    """One precision: cosines with fp32, and semantic accuracy without a channel and over AWGN at 64 symbols.

    `semantic_accuracy_awgn` holds mean, and the ends of the 95 % interval over seeds of the noise, by SNR in dB.
    """

    precision: str
    feature_cosine: float
    symbol_cosine: float
    semantic_accuracy: float
    semantic_accuracy_awgn: dict[str, tuple[float, float, float]]


class PrecisionReport(Report, frozen=True, kw_only=True):
    """Result of `make bench-precision`."""

    kind: Literal["precision"] = "precision"
    rows: list[PrecisionRow]


def main() -> None:
    """Measure every precision and write the report."""
    models = ModelSet.find("builtin")
    with Progress() as progress:
        dataset = open_dataset("cifar100", progress=progress)
        encoder = ImageEncoder(models)
        kb = cached_features(dataset.knowledge_base, encoder, progress=progress)
    kb_labels, labels = np.asarray(dataset.knowledge_base.labels), np.asarray(dataset.sent.labels)
    train = dataset.train
    if train is None:
        sys.exit("CIFAR-100 without training images: nothing to calibrate on")
    rows = np.linspace(0, len(train) - 1, NUM_CALIBRATION_IMAGES).astype(np.int64)
    pictures = [preprocess(train.image(int(row)), encoder.preprocessing) for row in rows]
    reference: Features | None = None
    measured: list[PrecisionRow] = []
    for name, (precision, style) in _STYLES.items():
        features = features_at(models, precision, style, pictures, dataset.sent, name)
        reference = features if reference is None else reference
        noiseless = NoiselessRetrieval.of(features, labels, kb, kb_labels)
        measured.append(row_of(name, models, features, reference, noiseless))
        print(measured[-1])
    report = PrecisionReport(
        **provenance("make bench-precision"),
        settings={
            "num_sent": len(labels),
            "num_kb_entries": len(kb),
            "num_calibration_images": NUM_CALIBRATION_IMAGES,
        },
        rows=measured,
    )
    write_report(report, REPORT)


def features_at(
    models: ModelSet, precision: Precision, style: Int8Style, pictures: list[Tensor], sent: ImageList, name: str
) -> Features:
    """All sent images through the encoder at a precision, one at a time as a link does."""
    graph = at_precision(models.encoder_path, precision, style=style, pictures=pictures)
    runner, preprocessing = load_runner(graph.SerializeToString()), models.manifest.encoder.preprocessing
    rows = [
        runner(preprocess(sent.image(index), preprocessing)[None])[0] for index in track(range(len(sent)), f"{name:26}")
    ]
    return np.stack(rows)


def row_of(
    name: str, models: ModelSet, features: Features, reference: Features, noiseless: NoiselessRetrieval
) -> PrecisionRow:
    """Cosines, and semantic accuracy with and without the channel."""
    codec = models.codec("nested")
    if not isinstance(codec, NestedCodec):
        raise TypeError(codec)
    symbols, expected = (
        normalize_power(pair_latent(codec.codebook.latent(each)[:, : RATE.latent_dim]))
        for each in (features, reference)
    )
    link = SignalLink.nested(codec.codebook, RATE, noiseless)
    accuracy = {}
    for snr_db in SNR_DB:
        conditions = LinkConditions(ChannelModel.AWGN, snr_db, Csi.NOTHING)
        interval = confidence_interval(
            [link.retrieve(noiseless, conditions, np.random.default_rng([seed])).semantic_accuracy for seed in SEEDS]
        )
        accuracy[f"{snr_db:g}"] = (interval.mean, interval.low, interval.high)
    return PrecisionRow(
        precision=name,
        feature_cosine=float(np.mean(np.sum(features * reference, axis=1))),
        symbol_cosine=float(np.mean(np.real(symbols * expected.conj()))),
        semantic_accuracy=noiseless.accuracy,
        semantic_accuracy_awgn=accuracy,
    )


if __name__ == "__main__":
    main()
