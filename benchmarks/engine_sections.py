"""The parts of docs/results.md about engines: precisions, this beside what a user would write, memory in a long run."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import msgspec

from benchmarks import precision, side_by_side, soak
from benchmarks.precision import PrecisionReport
from benchmarks.side_by_side import SideBySide
from benchmarks.soak import SoakReport

__all__ = ["engine_sections", "side_by_side_section"]

Report = TypeVar("Report", PrecisionReport, SideBySide, SoakReport)


def engine_sections() -> str:
    """All of them, from the committed JSON."""
    return "\n".join((_precision(), side_by_side_section(), _soak()))


def _precision() -> str:
    report = _read(precision.REPORT, PrecisionReport)
    snr_db = list(report.rows[0].semantic_accuracy_awgn)
    lines = [
        "## Precision\n",
        f"The image encoder at each precision, ONNX Runtime; {report.num_sent:,} images of CIFAR-100 sent, a KB of"
        f" {report.num_kb_entries:,} in fp32; int8 calibrated on {report.num_calibration_images} training images."
        " Cosines are with fp32; symbols and AWGN are of the built-in `nested` at 64 symbols, with noise of 3 seeds"
        " (95 % interval)."
        f" {report.device}, {report.date[:10]}. Command: `{report.command}`.\n",
        f"| precision | features | symbols | accuracy, no channel | {' | '.join(f'{snr} dB' for snr in snr_db)} |",
        f"|---|---:|---:|---:|{'---:|' * len(snr_db)}",
    ]
    for row in report.rows:
        noisy = (row.semantic_accuracy_awgn[snr] for snr in snr_db)
        cells = " | ".join(f"{mean:.3f} ±{high - mean:.3f}" for mean, _, high in noisy)
        cosines = f"{row.feature_cosine:.4f} | {row.symbol_cosine:.3f}"
        lines.append(f"| {row.precision} | {cosines} | {row.semantic_accuracy:.4f} | {cells} |")
    return "\n".join(lines) + "\n"


def side_by_side_section(path: Path = side_by_side.REPORT) -> str:
    """Torch eager and this link, from a report of `make bench-side-by-side`."""
    report = _read(path, SideBySide)
    width_px, height_px = report.picture_px
    lines = [
        "## Beside what a user would write\n",
        "The paper repository's way (CLIP in torch's eager mode, torchvision's preprocessing, the MLP, FAISS) and this"
        f" link, batch 1, {report.num_threads} threads, in turns in one process; random weights. A picture of"
        f" {width_px} x {height_px} in memory to codes, or torch's latent; those to the match in a KB of"
        f" {report.num_kb_entries:,}; and the whole, ours with its frames packed, checked and unpacked and the entry's"
        f" record looked up. {report.device}, {report.date[:10]}. Command: `{report.command}`.\n",
        *(
            f"- {name}: torch's networks and weights; over {same.num_pictures} photographs without noise"
            f" {same.same_entries} answers are the same, features agree to a cosine of at least"
            f" {same.feature_cosine:.5f} and symbols, quantized, to {same.symbol_cosine:.4f}."
            for name, same in report.same_work.items()
        ),
        "",
        "| | p50 ms | p95 ms | p99 ms | of torch's p50 |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, stage in report.latency_ms.items():
        ratio = report.ratio_to_torch_eager[name]
        lines.append(f"| {name} | {stage.p50:.2f} | {stage.p95:.2f} | {stage.p99:.2f} | {ratio:.2f} |")
    return "\n".join(lines) + "\n"


def _soak() -> str:
    report = _read(soak.REPORT, SoakReport)
    first, last = (f"{report.resident_mb[frames]:.1f}" for frames in (min(report.resident_mb), max(report.resident_mb)))
    return (
        f"## A long run\n\n{report.num_frames:,} frames of 16, 64 and 256 symbols through a receiver process over a"
        f" socket, results written: {first} MB resident at the beginning, {last} MB at the end,"
        f" {report.growth_after_warm_up_mb:+.1f} MB after the first fifth (latency samples, of which a stage keeps"
        f" 100,000 at most). {report.frames_per_s:.0f} frames/s. {report.device}, {report.date[:10]}."
        f" Command: `{report.command}`.\n"
    )


def _read(path: Path, kind: type[Report]) -> Report:
    return msgspec.json.decode(path.read_bytes(), type=kind)
