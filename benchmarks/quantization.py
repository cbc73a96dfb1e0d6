"""`python -m benchmarks.quantization`: clipping rate and EVM of the codes, for the built-in codecs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np

from benchmarks.cli import ReportPath, run_command
from benchmarks.report.schemas import QuantizationReport, QuantizationRow
from engines.models.codecs import Codec, NestedCodec
from engines.models.image_encoder import Features, ImageEncoder
from engines.models.model_set import ModelSet
from semlink.cli import options
from semlink.cli.output import stderr_console
from semlink.cli.progress import progress_bars
from semlink.iq import CodesFormat, Symbols, measure_quantization, normalize_power, pair_latent
from semlink.rates import Rate, parse_rate
from semlink.report import provenance, require_writable, write_report
from trainer.datasets import open_dataset

__all__ = ["measure"]

RATES = tuple(parse_rate(text) for text in ("16", "64", "256"))
FORMATS = (CodesFormat.SC8, CodesFormat.SC16)
REPORT = Path(__file__).parent / "results" / "quantization.json"


def main(
    data: Annotated[str, options.source(help="Dataset: digits, photos, cifar100.")] = "digits",
    out: ReportPath = REPORT,
) -> None:
    """Quantize the symbols of a dataset's images, and report what that loses."""
    require_writable(out)
    models = ModelSet.find("builtin")
    with progress_bars(stderr_console()) as progress:
        images = open_dataset(data, progress=progress).sent
        encoder = ImageEncoder(models)
        numbers = progress.track(range(len(images)), description="encoding images")
        rows = [encoder.encode([images.image(number)])[0] for number in numbers]
    report = QuantizationReport(
        **provenance("python -m benchmarks.quantization"),
        settings={"data": data, "num_images": len(images), "encoder": models.manifest.encoder.name},
        rows=list(measure(models, np.stack(rows))),
    )
    write_report(report, out)
    print(f"wrote {out}; semlink bench show {out}")


def measure(models: ModelSet, features: Features) -> Iterator[QuantizationRow]:
    """A row for each codec of a model set, each of `RATES` that it has, and each format.

    Parameters
    ----------
    features : (images, feature_dim) of the model set's encoder
    """
    for codec in models.codecs:
        for rate in (rate for rate in RATES if rate in codec.rates):
            symbols = symbols_of(codec, rate, features)
            for codes_format in FORMATS:
                quality = measure_quantization(symbols, codes_format)
                yield QuantizationRow(
                    codec.name, rate.num_symbols, codes_format.name.lower(), quality.clipping_rate, quality.evm_db
                )


def symbols_of(codec: Codec, rate: Rate, features: Features) -> Symbols:
    """Symbols before quantization, (images, n) complex64 of unit power."""
    if isinstance(codec, NestedCodec):
        head = codec.load_projection_head()
        vectors = features if head is None else head.project_images(features)
        latent = codec.codebook.latent(vectors)[:, : rate.latent_dim]
    else:
        latent = codec.load_encoder(rate)(features)
    return normalize_power(pair_latent(latent))


if __name__ == "__main__":
    run_command(main, "benchmarks.quantization")
