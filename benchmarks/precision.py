"""`make bench-precision`: what fp16 and int8 of the built-in encoder lose on CIFAR-100.

5,000 images are sent at each precision; the knowledge base is fp32, as a receiver's is. int8 is calibrated on training
images. TensorRT's symmetric int8 runs in ONNX Runtime here, with the same numbers and another speed.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from rich.progress import Progress

from benchmarks.cli import ReportPath, run_command
from benchmarks.report.schemas import PrecisionReport, PrecisionRow
from engines.backends.runner import load_runner
from engines.graphs.quantize import Int8Style, at_precision
from engines.models.codecs import NestedCodec
from engines.models.image_encoder import Features, ImageEncoder
from engines.models.model_set import ModelSet
from engines.options import Precision
from semlink.channel import ChannelModel
from semlink.cli.output import stderr_console
from semlink.cli.progress import progress_bars
from semlink.errors import DatasetError
from semlink.image import preprocess
from semlink.iq import normalize_power, pair_latent
from semlink.rates import parse_rate
from semlink.report import provenance, require_writable, write_report
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
    "int8, symmetric as in TensorRT": (Precision.INT8, Int8Style.SYMMETRIC),
}


def main(out: ReportPath = REPORT) -> None:
    """Measure the built-in image encoder at every precision."""
    require_writable(out)
    models = ModelSet.find("builtin")
    encoder = ImageEncoder(models)
    measured: list[PrecisionRow] = []
    with progress_bars(stderr_console()) as progress:
        dataset = open_dataset("cifar100", progress=progress)
        kb = cached_features(dataset.knowledge_base, encoder, progress=progress)
        kb_labels, labels = np.asarray(dataset.knowledge_base.labels), np.asarray(dataset.sent.labels)
        if dataset.train is None:
            raise DatasetError("int8 is calibrated on training images, and this cifar100 has none")
        calibration = dataset.train.spread(NUM_CALIBRATION_IMAGES)
        tensors = [preprocess(calibration.image(row), encoder.preprocessing) for row in range(len(calibration))]
        reference: Features | None = None
        for name, (precision, style) in _STYLES.items():
            graph = at_precision(models.encoder_path, precision, style=style, pictures=tensors)
            features = encode(graph.SerializeToString(), encoder, dataset.sent, progress, name)
            reference = features if reference is None else reference
            noiseless = NoiselessRetrieval.of(features, labels, kb, kb_labels)
            measured.append(measure(name, models, features, reference, noiseless))
    report = PrecisionReport(
        **provenance("make bench-precision"),
        settings={"num_sent": len(labels), "num_kb_entries": len(kb), "num_calibration_images": len(tensors)},
        rows=measured,
    )
    write_report(report, out)
    print(f"wrote {out}; semlink bench show {out}")


def encode(graph: bytes, encoder: ImageEncoder, images: ImageList, progress: Progress, name: str) -> Features:
    """Features of all images by a graph, one image at a time as on a link."""
    runner = load_runner(graph)
    numbers = progress.track(range(len(images)), description=f"encoding, {name}")
    return np.stack([runner(preprocess(images.image(number), encoder.preprocessing)[None])[0] for number in numbers])


def measure(
    name: str, models: ModelSet, features: Features, reference: Features, noiseless: NoiselessRetrieval
) -> PrecisionRow:
    """Cosines with the reference, and semantic accuracy without and with a channel."""
    codec = models.codec("nested-cells")
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
    run_command(main, "benchmarks.precision")
