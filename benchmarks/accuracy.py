"""`make results`: evaluate the codecs on CIFAR-100, and write docs/results.md from the committed JSON.

`python -m benchmarks.accuracy --render` writes the page anew without evaluating.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec

from trainer.evaluation.report import CellSummary, EvaluationReport, plot_report

ROOT = Path(__file__).parent.parent
RESULTS = Path("benchmarks", "results")
LATENCY = RESULTS / "latency.md"
PAGE = Path("docs", "results.md")
CHANNELS = ("awgn", "rayleigh")

PAPER_SNR_DB = "-7,-6,-5,-4,-2,0,2,4,5,6,7,10"
EVALUATE = (
    *("evaluate", "--data", "cifar100", "--codec", "kbsc,kbsc-reference", "--num-symbols", "64,128,256,512,1024"),
    *(f"--snr-db={PAPER_SNR_DB}", "--seeds", "3"),
)

_INTRODUCTION = """# Results

Written by `make results` from the JSON files in `benchmarks/results/`; nothing here is typed by hand.

## Semantic accuracy on CIFAR-100

{num_sent:,} images of the test set sent, a KB of the other {num_kb_entries:,}; encoder `{encoder}`;
mean of {num_seeds} seeds, and the half width of its 95 % interval (Student's t). A seed is that of the
weights, the split, the order, and the noise. The ideal, with neither codec nor channel, is
**{ideal_accuracy:.3f}**. {device}; {date}. Command: `semlink {command} --channel awgn`, and `rayleigh`.

What to keep in mind when reading:

- `kbsc` is honest: power is normalised for each image, a symbol belongs to one image, every hop is
  quantized to sc8. Under Rayleigh its gain is complex and constant over an image, and the receiver
  undoes the phase that it estimates from 8 pilots, which are counted in the total CBR.
- `kbsc-reference` is the paper's, with its shortcuts: power and I/Q pairs mix the images of a batch,
  the receiver knows the power, nothing is quantized, and Rayleigh gains are real, positive and new for
  every symbol, so that the phase is known for nothing and fading averages out within an image. Its
  Rayleigh columns are therefore not the same channel as `kbsc`'s.
- Both are trained on the channel on which they are shown, at -7, -4, 0, 4, 7 and 10 dB, for at most 60
  epochs (the published code: 100), with the matrix products of training in bf16.
- The encoder is not the paper's CLIP, so the figures compare with each other, not with the paper's.
- The encoder's linear head was fitted to CIFAR-100's training images and their labels, all 100
  categories, and the kind of head was chosen on CIFAR-100's test images. The ideal, and
  everything below it, is therefore of categories that the encoder has met.
"""


def main() -> None:
    """Evaluate unless told only to render, then write the page."""
    if "--render" not in sys.argv[1:]:
        for channel in CHANNELS:
            command = [sys.executable, "-m", "semlink", *EVALUATE, "--channel", channel]
            paths = ("--json", str(_json(channel)), "--plot", str(_plot(channel)))
            subprocess.run([*command, *paths], check=True, cwd=ROOT)
    reports = [msgspec.json.decode((ROOT / _json(channel)).read_bytes(), type=EvaluationReport) for channel in CHANNELS]
    for channel, report in zip(CHANNELS, reports, strict=True):
        plot_report(report, ROOT / _plot(channel))
    (ROOT / PAGE).write_text(page(reports), encoding="utf-8")
    print(f"wrote {PAGE}")


def _json(channel: str) -> Path:
    return RESULTS / f"accuracy-cifar100-{channel}.json"


def _plot(channel: str) -> Path:
    return PAGE.parent / f"accuracy-cifar100-{channel}.png"


def page(reports: list[EvaluationReport]) -> str:
    """The whole of docs/results.md."""
    first = reports[0]
    sections = [
        _INTRODUCTION.format(
            num_sent=first.num_sent,
            num_kb_entries=first.num_kb_entries,
            encoder=first.encoder,
            num_seeds=first.summary[0].num_seeds,
            ideal_accuracy=first.ideal_accuracy,
            device=first.device,
            date=first.date[:10],
            command=" ".join(EVALUATE),
        )
    ]
    for report in reports:
        channel = report.summary[0].channel
        title = channel.upper() if channel == "awgn" else channel.capitalize()
        sections.append(f"\n### {title}\n\n![semantic accuracy against SNR]({_plot(channel).name})\n\n")
        sections.append(table(report.summary))
    sections.append(f"\nVersions: {', '.join(f'{name} {version}' for name, version in first.versions.items())}.\n")
    sections.append(f"\n#{(ROOT / LATENCY).read_text(encoding='utf-8')}")
    return "".join(sections)


def table(cells: list[CellSummary]) -> str:
    """Rows of codec and rate, columns of SNR."""
    snr_db = sorted({cell.snr_db for cell in cells})
    by_place = {(cell.codec, cell.num_symbols, cell.snr_db): cell for cell in cells}
    rows = dict.fromkeys((cell.codec, cell.num_symbols) for cell in cells)
    lines = [
        f"| codec | symbols | {' | '.join(f'{snr:g} dB' for snr in snr_db)} |",
        f"|---|---:|{'---:|' * len(snr_db)}",
    ]
    lines += [
        f"| {codec} | {num_symbols} | {' | '.join(_text(by_place[codec, num_symbols, snr]) for snr in snr_db)} |"
        for codec, num_symbols in rows
    ]
    return "\n".join(lines) + "\n"


def _text(cell: CellSummary) -> str:
    if cell.semantic_accuracy_high is None:
        return f"{cell.semantic_accuracy:.3f}"
    return f"{cell.semantic_accuracy:.3f} ±{cell.semantic_accuracy_high - cell.semantic_accuracy:.3f}"


if __name__ == "__main__":
    main()
