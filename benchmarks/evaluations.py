"""The evaluations of docs/results.md: each a `semlink evaluate`, its files, and the title of its section."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path

from benchmarks.published import Published
from semlink.report import read_report
from trainer.evaluation.report import EvaluationReport

__all__ = ["EVALUATIONS", "SETS", "Evaluation", "shipped"]

PAPER_SNR_DB = "-7,-6,-5,-4,-2,0,2,4,5,6,7,10"
FEW_SNR_DB = "-7,-4,0,4,10"
PAPER_RATES = "64,128,256,512,1024"
SHORT_RATES = "4,8,16,32"


@dataclass(frozen=True)
class Evaluation(Published):
    """One evaluation; `options` are further words of its command line."""

    prefix = "accuracy"

    title: str
    data: str
    codecs: str
    rates: str
    channel: str
    options: tuple[str, ...] = ()
    snr_db: str = PAPER_SNR_DB

    @property
    def command(self) -> tuple[str, ...]:
        """Words after `semlink`."""
        words = ("evaluate", "--data", self.data, "--codec", self.codecs, "--rate", self.rates)
        return (*words, f"--snr-db={self.snr_db}", "--num-seeds", "3", "--channel", self.channel, *self.options)

    def report(self, root: Path) -> EvaluationReport:
        """Read the committed report of a checkout."""
        return read_report(root / self.path, EvaluationReport)


_GENERAL = "nested-cells,index"
_LABELLED = "nested-labels,index-labels"
_KBSC = "kbsc,kbsc-reference"
_FOUR = "kbsc,nested-cells,index,nested-labels"
_OTHER_DOMAINS = "kbsc,nested-cells,index,nested-feedback,nested-labels,index-labels"
_TRAINED_ON_CIFAR100 = ("--train-data", "cifar100", "--weights", "trained")

_OF_THE_KB = "adapted,adapted-unlabelled,index,nested,nested-cells,kbsc"
_OF_THE_KB_SHORT = "adapted,adapted-unlabelled,index,nested,nested-cells"
_BY_LABEL = "index,nested,nested-cells,kbsc"
SETS = {
    "cifar100": "CIFAR-100, KB of 5,000",
    "cifar10-test": "CIFAR-10's test images",
    "flowers12": "Flowers, 12 species",
    "imagenet-sample-1000": "ImageNet, views of 1,000 photographs",
    "digits": "Digits",
    "photos": "Photographs, views of 21",
}
"""Sets for the built-in model set as it is shipped, whose trained codecs were fitted to the first of them."""


def shipped(data: str) -> tuple[Evaluation, Evaluation, Evaluation]:
    """The codes as shipped on one of `SETS`: at 64 symbols, those answered by label there, and at fewer symbols."""
    title, rest, snr_db = SETS[data], ("--weights", "model-set"), "-7,0,10"
    return (
        Evaluation(f"kb-{data}", f"{title}: codes as shipped", data, _OF_THE_KB, "64", "awgn,rayleigh", rest, snr_db),
        Evaluation(
            f"kb-{data}-by-label",
            f"{title}: codes as shipped, answered by label",
            data,
            _BY_LABEL,
            "64",
            "awgn",
            (*rest, "--answer", "label"),
            snr_db,
        ),
        Evaluation(
            f"kb-{data}-short",
            f"{title}: codes as shipped, fewer than 64 symbols",
            data,
            _OF_THE_KB_SHORT,
            "8,16,32",
            "awgn",
            rest,
            snr_db,
        ),
    )


EVALUATIONS = (
    *itertools.chain.from_iterable(map(shipped, SETS)),
    Evaluation("cifar100-awgn", "CIFAR-100, AWGN", "cifar100", f"{_KBSC},{_GENERAL}", PAPER_RATES, "awgn"),
    Evaluation(
        "cifar100-rayleigh", "CIFAR-100, block Rayleigh", "cifar100", f"{_KBSC},{_GENERAL}", PAPER_RATES, "rayleigh"
    ),
    Evaluation("cifar100-short", "CIFAR-100, fewer than 64 symbols", "cifar100", _GENERAL, SHORT_RATES, "awgn"),
    Evaluation(
        "cifar100-labels",
        "CIFAR-100, projected features learned from labels",
        "cifar100",
        f"kbsc,{_LABELLED}",
        "64",
        "awgn,rayleigh",
    ),
    Evaluation(
        "cifar100-feedback",
        "CIFAR-100, SNR reports to the transmitter",
        "cifar100",
        f"{_KBSC},nested-cells,nested-feedback",
        "64",
        "awgn,rayleigh",
    ),
    Evaluation(
        "cifar100-labels-short",
        "CIFAR-100, projected features learned from labels, fewer than 64 symbols",
        "cifar100",
        _LABELLED,
        SHORT_RATES,
        "awgn",
    ),
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
        "cifar100-channels", "CIFAR-100, other channels", "cifar100", _FOUR, "64", "rician,burst", snr_db=FEW_SNR_DB
    ),
    Evaluation(
        "cifar100-genie",
        "CIFAR-100, block Rayleigh, genie CSI",
        "cifar100",
        _FOUR,
        "64",
        "rayleigh",
        ("--csi", "genie"),
        FEW_SNR_DB,
    ),
    Evaluation(
        "cifar100-no-csi",
        "CIFAR-100, block Rayleigh without CSI",
        "cifar100",
        _FOUR,
        "64",
        "rayleigh",
        ("--csi", "none"),
        FEW_SNR_DB,
    ),
    Evaluation(
        "cifar100-fast",
        "CIFAR-100, fast Rayleigh, genie CSI",
        "cifar100",
        _FOUR,
        "64",
        "rayleigh-fast",
        snr_db=FEW_SNR_DB,
    ),
    *(
        Evaluation(
            f"cifar100-{points}",
            f"CIFAR-100, {points.upper()} constellation",
            "cifar100",
            _FOUR,
            "64",
            "awgn",
            ("--constellation", points),
            FEW_SNR_DB,
        )
        for points in ("qpsk", "16qam", "64qam")
    ),
    Evaluation(
        "cifar100-images",
        "CIFAR-100, transmission of the image itself",
        "cifar100",
        "nested-cells,kbsc,bpg-ldpc,deepjscc",
        "64,256,1024",
        "awgn",
        ("--limit", "1000"),
        "-7,0,10",
    ),
    Evaluation(
        "digits",
        "Digits, with codecs trained on CIFAR-100",
        "digits",
        _OTHER_DOMAINS,
        "64",
        "awgn",
        _TRAINED_ON_CIFAR100,
    ),
    Evaluation(
        "photos",
        "Photographs, with codecs trained on CIFAR-100",
        "photos",
        _OTHER_DOMAINS,
        "64",
        "awgn",
        _TRAINED_ON_CIFAR100,
    ),
)
