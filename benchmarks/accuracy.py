"""`make results`: evaluate the codecs, and write docs/results.md from the committed JSON.

`python -m benchmarks.accuracy NAME ...` evaluates those alone; `--render` rewrites the page without evaluating.
"""

from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import msgspec

from benchmarks.engine_sections import engine_sections
from benchmarks.studies.catalogue import STUDIES, Study
from benchmarks.studies.report import StudyReport, summary
from trainer.evaluation.plot import plot_report
from trainer.evaluation.report import CellSummary, EvaluationReport
from trainer.intervals import Interval

ROOT = Path(__file__).parent.parent
RESULTS = Path("benchmarks", "results")
LATENCY = RESULTS / "latency.md"
INTRODUCTION = Path("benchmarks", "introduction.md")
"""Of the page, before its tables; with places for what is measured."""
PAGE = Path("docs", "results.md")

PAPER_SNR_DB = "-7,-6,-5,-4,-2,0,2,4,5,6,7,10"
FEW_SNR_DB = "-7,-4,0,4,10"
PAPER_RATES = "64,128,256,512,1024"


@dataclass(frozen=True)
class Evaluation:
    """One `semlink evaluate`, its files, and its section of the page."""

    name: str
    title: str
    data: str
    codecs: str
    num_symbols: str
    channel: str
    options: tuple[str, ...] = ()
    snr_db: str = PAPER_SNR_DB

    @property
    def json(self) -> Path:
        """Where its report is committed."""
        return RESULTS / f"accuracy-{self.name}.json"

    @property
    def plot(self) -> Path:
        """Where its picture is."""
        return PAGE.parent / f"accuracy-{self.name}.png"

    @property
    def command(self) -> tuple[str, ...]:
        """What to type after `semlink`."""
        what = ("evaluate", "--data", self.data, "--codec", self.codecs, "--num-symbols", self.num_symbols)
        return (*what, f"--snr-db={self.snr_db}", "--seeds", "3", "--channel", self.channel, *self.options)

    def report(self) -> EvaluationReport:
        """What was committed."""
        return msgspec.json.decode((ROOT / self.json).read_bytes(), type=EvaluationReport)


_GENERAL = "nested,index"
_LABELLED = "nested-labels,index-labels"
_KBSC = "kbsc,kbsc-reference"
_SHORT_RATES = "4,8,16,32"
_STRANGERS = ("--train-data", "cifar100", "--weights", "trained")
_ON_STRANGERS = f"kbsc,{_GENERAL},nested-feedback,{_LABELLED}"
EVALUATIONS = (
    Evaluation("cifar100-awgn", "CIFAR-100, AWGN", "cifar100", f"{_KBSC},{_GENERAL}", PAPER_RATES, "awgn"),
    Evaluation(
        "cifar100-rayleigh", "CIFAR-100, block Rayleigh", "cifar100", f"{_KBSC},{_GENERAL}", PAPER_RATES, "rayleigh"
    ),
    Evaluation("cifar100-short", "CIFAR-100, fewer than 64 symbols", "cifar100", _GENERAL, _SHORT_RATES, "awgn"),
    Evaluation(
        "cifar100-labels", "CIFAR-100, keys learnt from labels", "cifar100", f"kbsc,{_LABELLED}", "64", "awgn,rayleigh"
    ),
    Evaluation(
        "cifar100-feedback",
        "CIFAR-100, the SNR reported back to the transmitter",
        "cifar100",
        f"{_KBSC},nested,nested-feedback",
        "64",
        "awgn,rayleigh",
    ),
    Evaluation("cifar100-labels-short", "The same, fewer than 64 symbols", "cifar100", _LABELLED, _SHORT_RATES, "awgn"),
    Evaluation(
        "cifar100-digital",
        "CIFAR-100, digital schemes",
        "cifar100",
        f"{_GENERAL},index-polar,{_LABELLED},label,vq,vq-residual,vq-product",
        "16,64",
        "awgn",
        snr_db=FEW_SNR_DB,
    ),
    Evaluation(
        "cifar100-channels",
        "CIFAR-100, other channels",
        "cifar100",
        f"kbsc,{_GENERAL},nested-labels",
        "64",
        "rician,burst",
        snr_db=FEW_SNR_DB,
    ),
    Evaluation(
        "cifar100-genie",
        "CIFAR-100, block Rayleigh with the gain told by a genie",
        "cifar100",
        f"kbsc,{_GENERAL},nested-labels",
        "64",
        "rayleigh",
        ("--csi", "genie"),
        FEW_SNR_DB,
    ),
    Evaluation(
        "cifar100-no-csi",
        "CIFAR-100, block Rayleigh with nothing known of the gain",
        "cifar100",
        f"kbsc,{_GENERAL},nested-labels",
        "64",
        "rayleigh",
        ("--csi", "none"),
        FEW_SNR_DB,
    ),
    Evaluation(
        "cifar100-fast",
        "CIFAR-100, fast Rayleigh with every gain told by a genie",
        "cifar100",
        f"kbsc,{_GENERAL},nested-labels",
        "64",
        "rayleigh-fast",
        snr_db=FEW_SNR_DB,
    ),
    *(
        Evaluation(
            f"cifar100-{points}",
            f"CIFAR-100, {points.upper()} points alone",
            "cifar100",
            f"kbsc,{_GENERAL},nested-labels",
            "64",
            "awgn",
            ("--constellation", points),
            FEW_SNR_DB,
        )
        for points in ("qpsk", "16qam", "64qam")
    ),
    Evaluation(
        "cifar100-images",
        "CIFAR-100, sending the picture itself",
        "cifar100",
        "nested,kbsc,bpg-ldpc,deepjscc",
        "64,256,1024",
        "awgn",
        ("--count", "1000"),
        "-7,0,10",
    ),
    Evaluation("digits", "Digits, never seen in training", "digits", _ON_STRANGERS, "64", "awgn", _STRANGERS),
    Evaluation("photos", "Photographs, never seen in training", "photos", _ON_STRANGERS, "64", "awgn", _STRANGERS),
)


def main() -> None:
    """Evaluate all and write the page; evaluate those named; or only write the page."""
    asked = sys.argv[1:]
    if asked != ["--render"]:
        for evaluation in EVALUATIONS:
            if not asked or evaluation.name in asked:
                paths = ("--json", str(evaluation.json), "--plot", str(evaluation.plot))
                subprocess.run([sys.executable, "-m", "semlink", *evaluation.command, *paths], check=True, cwd=ROOT)
    if asked and asked != ["--render"]:
        return
    for evaluation in EVALUATIONS:
        plot_report(evaluation.report(), ROOT / evaluation.plot)
    (ROOT / PAGE).write_text(page(), encoding="utf-8")
    print(f"wrote {PAGE}")


def page() -> str:
    """The whole of docs/results.md."""
    first = EVALUATIONS[0].report()
    sections = [
        (ROOT / INTRODUCTION)
        .read_text(encoding="utf-8")
        .format(
            encoder=first.encoder,
            num_seeds=first.summary[0].num_seeds,
            device=first.device,
            date=first.date[:10],
        )
    ]
    for evaluation in EVALUATIONS:
        report = evaluation.report()
        sections.append(
            f"\n### {evaluation.title}\n\n{report.num_sent:,} images sent, a KB of {report.num_kb_entries:,};"
            f" the ideal, with neither codec nor channel, is **{report.noiseless_accuracy:.3f}**."
            f" Command: `semlink {' '.join(evaluation.command)}`.\n\n"
            f"![semantic accuracy against SNR]({evaluation.plot.name})\n\n{table(report.summary)}"
        )
    sections.append("\n## Studies\n")
    sections += [study_section(study) for study in STUDIES]
    sections.append(f"\nVersions: {', '.join(f'{name} {version}' for name, version in first.versions.items())}.\n")
    sections.append(f"\n#{(ROOT / LATENCY).read_text(encoding='utf-8')}")
    sections.append(f"\n{engine_sections()}")
    return "".join(sections)


def study_section(study: Study) -> str:
    """Question, figure and numbers of one study."""
    report = msgspec.json.decode((ROOT / RESULTS / f"study-{study.name}.json").read_bytes(), type=StudyReport)
    curves = summary(report)
    places = list(dict.fromkeys(x for found in curves.values() for x in found))
    if all(isinstance(x, (int, float)) for x in places):
        places.sort()
    names = [f"{x:g}" if isinstance(x, (int, float)) else x.replace("\n", ", ") for x in places]
    lines = [f"| {report.x_label or ''} | {' | '.join(names)} |", f"|---|{'---:|' * len(places)}"]
    for curve, found in curves.items():
        values = " | ".join(_interval_text(found[x]) if x in found else "" for x in places)
        lines.append(f"| {curve} | {values} |")
    figure = f"![{study.title}](study-{study.name}.png)"
    body = "\n".join(lines)
    return f"\n### {study.title}\n\n{study.text} Command: `{report.command}`.\n\n{figure}\n\n{body}\n"


def _interval_text(interval: Interval) -> str:
    half = interval.high - interval.mean
    return f"{interval.mean:.3f} ±{half:.3f}" if math.isfinite(half) else f"{interval.mean:.3f}"


def table(cells: list[CellSummary]) -> str:
    """Rows of codec, channel and rate, columns of SNR."""
    snr_db = sorted({cell.snr_db for cell in cells})
    by_place = {(cell.codec, cell.channel, cell.num_symbols, cell.snr_db): cell for cell in cells}
    rows = dict.fromkeys((cell.codec, cell.channel, cell.num_symbols) for cell in cells)
    lines = [
        f"| codec | channel | symbols | {' | '.join(f'{snr:g} dB' for snr in snr_db)} |",
        f"|---|---|---:|{'---:|' * len(snr_db)}",
    ]
    for row in rows:
        codec, channel, num_symbols = row
        values = " | ".join(_text(by_place[(*row, snr)]) for snr in snr_db)
        lines.append(f"| {codec} | {channel} | {num_symbols} | {values} |")
    return "\n".join(lines) + "\n"


def _text(cell: CellSummary) -> str:
    if cell.semantic_accuracy_high is None:
        return f"{cell.semantic_accuracy:.3f}"
    return f"{cell.semantic_accuracy:.3f} ±{cell.semantic_accuracy_high - cell.semantic_accuracy:.3f}"


if __name__ == "__main__":
    main()
