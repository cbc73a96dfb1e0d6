"""Sections of docs/results.md on latency, precision, quantization, torch eager, and memory in a long run."""

from __future__ import annotations

from pathlib import Path

from benchmarks.report.facts import setting_text
from benchmarks.report.page import Table
from benchmarks.report.render import markdown_table
from benchmarks.report.schemas import PrecisionReport, QuantizationReport, SideBySideReport, SoakReport
from benchmarks.report.sections import stage_table
from semlink.report import Report, read_report

__all__ = ["engine_sections", "side_by_side_section"]

RESULTS = Path("benchmarks", "results")


def engine_sections(root: Path) -> str:
    """All sections, from the committed reports of a checkout."""
    results = root / RESULTS
    return "\n".join(
        (
            _latency(read_report(results / "latency.json", Report)),
            _precision(read_report(results / "precision.json", PrecisionReport)),
            _quantization(read_report(results / "quantization.json", QuantizationReport)),
            side_by_side_section(read_report(results / "side-by-side.json", SideBySideReport)),
            _soak(read_report(results / "soak.json", SoakReport)),
        )
    )


def _settings(report: Report) -> dict[str, str]:
    return {name: setting_text(value) for name, value in report.settings.items()}


def _made(report: Report) -> str:
    return f"{report.device}, {report.made_at[:10]}. Command: `{report.command}`."


def _latency(report: Report) -> str:
    of = _settings(report)
    return (
        f"## Latency\n\nThe image encoder and the making of codebooks run on {of['encoder_threads']} threads, every"
        f" other stage on one; {of['precision']}, batch 1. Cold stages and the making of codebooks are of fresh"
        " processes, of which there are too few for percentiles. `adapted` has synthetic features around 100 centres,"
        f" with labels or without. {_made(report)}\n\n{markdown_table(stage_table(report.stages))}\n"
    )


def _precision(report: PrecisionReport) -> str:
    of = _settings(report)
    snr_db = list(report.rows[0].semantic_accuracy_awgn)
    rows = []
    for row in report.rows:
        noisy = [row.semantic_accuracy_awgn[snr] for snr in snr_db]
        cosines = (f"{row.feature_cosine:.4f}", f"{row.symbol_cosine:.3f}")
        intervals = (f"{mean:.3f} ±{high - mean:.3f}" for mean, _, high in noisy)
        rows.append((row.precision, *cosines, f"{row.semantic_accuracy:.4f}", *intervals))
    headers = ("precision", "features", "symbols", "accuracy, no channel", *(f"{snr} dB" for snr in snr_db))
    return (
        f"## Precision\n\nThe image encoder at each precision, ONNX Runtime; {of['num_sent']} images of CIFAR-100 sent,"
        f" a KB of {of['num_kb_entries']} entries in fp32; int8 calibrated on {of['num_calibration_images']} training"
        " images. Features and symbols: mean cosine with fp32. Symbols and AWGN are of the built-in `nested-cells` at"
        f" 64 symbols, with noise of 3 seeds (95 % interval). {_made(report)}\n\n"
        f"{markdown_table(Table.of(headers, rows, text_columns=['precision']))}\n"
    )


def _quantization(report: QuantizationReport) -> str:
    of = _settings(report)
    rows = [
        (row.codec, str(row.num_symbols), row.codes_format, f"{100 * row.clipping_rate:.2f} %", f"{row.evm_db:.1f}")
        for row in report.rows
    ]
    table = Table.of(("codec", "symbols", "format", "clipping rate", "EVM dB"), rows, text_columns=["codec", "format"])
    return (
        "## Quantization\n\nClipping rate and EVM ([definitions](definitions.md)) of the symbols of"
        f" {of['num_images']} images of {of['data']}, by codec and format of the codes. {_made(report)}\n\n"
        f"{markdown_table(table)}\n"
    )


def side_by_side_section(report: SideBySideReport) -> str:
    """Torch in eager mode and semlink."""
    of = _settings(report)
    same_work = "\n".join(
        f"- {same.name} has torch's networks and weights: without noise, {same.same_entries} of {same.num_images}"
        f" photographs have the same match, features agree to a cosine of at least {same.feature_cosine:.5f}, quantized"
        f" symbols to {same.symbol_cosine:.4f}."
        for same in report.same_work
    )
    return (
        "## Beside torch in eager mode\n\nThe link as the paper's repository writes it (CLIP in torch's eager mode,"
        f" torchvision's preprocessing, the MLP, FAISS) and semlink, batch 1, {of['threads']} threads, in turns in one"
        f" process; random weights. The paths are: an image of {of['image_px']} in memory to codes, or torch's latent;"
        f" from there to the match in a KB of {of['num_kb_entries']} entries; and the whole, in semlink with frames"
        f" packed, checked and unpacked and the entry's record looked up. {_made(report)}\n\n{same_work}\n\n"
        f"{markdown_table(stage_table(report.stages))}\n"
    )


def _soak(report: SoakReport) -> str:
    of, frames = _settings(report), sorted(report.resident_mb)
    first, last = (f"{report.resident_mb[count]:.1f}" for count in (frames[0], frames[-1]))
    return (
        f"## A long run\n\n{of['num_frames']} frames of {of['rates']} symbols through a receiver process over a socket,"
        f" results written: {first} MB resident at the beginning, {last} MB at the end,"
        f" {report.growth_after_warm_up_mb:+.1f} MB after the first fifth (latency samples, of which a stage keeps"
        f" 100,000 at most). {report.frames_per_s:.0f} frames/s. {_made(report)}\n"
    )
