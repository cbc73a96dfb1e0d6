"""docs/results.md, written from the committed reports."""

from __future__ import annotations

from pathlib import Path

from benchmarks.engine_sections import engine_sections
from benchmarks.evaluations import EVALUATIONS, Evaluation
from benchmarks.report.accuracy import evaluation_table, study_table
from benchmarks.report.render import markdown_table
from benchmarks.report.schemas import StudyReport
from benchmarks.sets_table import confidence_table, labels_table, sets_table
from benchmarks.studies.catalogue import STUDIES, Study
from semlink.report import read_report
from trainer.links.coded_modulation import CODE_RATES

__all__ = ["PAGE", "results_page"]

INTRODUCTION = Path("benchmarks", "introduction.md")
"""Text before the tables, with fields for the figures in it."""
PAGE = Path("docs", "results.md")
_SHIPPED = (
    "Accuracy at -7 / 0 / 10 dB; the sections below have the intervals, other rates, and block Rayleigh. Every code is"
    " answered by label, as `rx` does by default, but the paper's network, and a KB without labels. `nested` and"
    " `kbsc` of the built-in model set were fitted to CIFAR-100's training images, and the encoder's head to their"
    " labels; `adapted` was fitted by each KB to its own entries. Without a channel the answer is the nearest entry."
)
_LABELS = (
    "Accuracy at 64 symbols over AWGN, -7 / 0 / 10 dB, with the nearest entry as the answer (`rx --answer nearest`)"
    " and with an entry of the most probable label ([definitions](definitions.md#labels-and-confidence)). What is sent"
    " differs for `index` alone, whose transmitter decides the label first. Photographs, and ImageNet's views, have a"
    " label for each entry, so that there is nothing to gain."
)
_CONFIDENCE = (
    "Expected calibration error of the confidence over ten bins, 64 symbols, AWGN, -7 / 0 / 10 dB; 0 if answers of"
    " confidence p are right in the share p of cases. All by label, where the KB has labels. The digits that are sent"
    " were written by other people than those of the KB, which it cannot know; of 105 photographs, chance alone makes"
    " about 0.03 where confidences are not near 0 or 1."
)


def results_page(root: Path) -> str:
    """Write the whole page.

    Parameters
    ----------
    root : top folder of the checkout
    """
    first = EVALUATIONS[0].report(root)
    introduction = (root / INTRODUCTION).read_text(encoding="utf-8")
    sections = [
        introduction.format(
            encoder=first.encoder,
            num_seeds=first.summary[0].num_seeds,
            device=first.device,
            date=first.made_at[:10],
            num_image_modes=sum(map(len, CODE_RATES.values())),
        ),
        f"### Codes as shipped, at 64 symbols over AWGN\n\n{_SHIPPED}\n\n{sets_table(root)}\n",
        f"### Labels at the receiver\n\n{_LABELS}\n\n{labels_table(root)}\n",
        f"### Confidence\n\n{_CONFIDENCE}\n\n{confidence_table(root)}\n",
        *(_evaluation_section(evaluation, root) for evaluation in EVALUATIONS),
        "## Studies\n",
        *(_study_section(study, root) for study in STUDIES),
        f"Versions: {', '.join(f'{name} {version}' for name, version in first.versions.items())}.\n",
        engine_sections(root),
    ]
    return "\n".join(sections)


def _evaluation_section(evaluation: Evaluation, root: Path) -> str:
    report = evaluation.report(root)
    return (
        f"### {evaluation.title}\n\n{report.num_sent:,} images sent, a KB of {report.num_kb_entries:,} entries;"
        f" noiseless retrieval, without codec and channel, has **{report.noiseless_accuracy:.3f}**."
        f" Command: `semlink {' '.join(evaluation.command)}`.\n\n"
        f"![semantic accuracy against SNR]({evaluation.figure.name})\n\n"
        f"{markdown_table(evaluation_table(report.summary))}\n"
    )


def _study_section(study: Study, root: Path) -> str:
    report = read_report(root / study.path, StudyReport)
    return (
        f"### {study.title}\n\n{study.text} Command: `{report.command}`.\n\n"
        f"![{study.title}]({study.figure.name})\n\n{markdown_table(study_table(report))}\n"
    )
