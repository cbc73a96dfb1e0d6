"""The studies: each a question, how it is measured, and what its figure shows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from benchmarks.studies.context import StudyContext
from benchmarks.studies.key_network import hyperparameters
from benchmarks.studies.questions import (
    answers,
    cross_domain,
    error_detection,
    feedback,
    kb_size,
    nesting,
    no_compression,
    objectives,
    other_channel,
    power_shares,
    rate_sweep,
)
from benchmarks.studies.report import Point

__all__ = ["STUDIES", "Study"]


@dataclass(frozen=True)
class Study:
    """A question, and how to answer it."""

    name: str
    title: str
    text: str
    x_label: str
    measure: Callable[[StudyContext], Iterator[Point]]


STUDIES = (
    Study(
        "no-compression",
        "No compression: CBR 1/12",
        "256 symbols hold the 512 features as they are. Learning to send them gains where noise is strong;"
        " at 10 dB there is next to nothing left to gain.",
        "SNR Es/N0 [dB]",
        no_compression,
    ),
    Study("rate-sweep", "Every rate at 0 dB", "From 4 to 1,024 symbols an image, AWGN.", "symbols", rate_sweep),
    Study(
        "other-channel",
        "Trained on AWGN, used under block Rayleigh",
        "64 symbols and 8 pilots. `nested` is fitted to no channel.",
        "mean SNR Es/N0 [dB]",
        other_channel,
    ),
    Study(
        "kb-size",
        "KB size and imbalance",
        "`nested` at 64 symbols with 1 to 50 images a class in the KB: as many of each, or a long tail of classes"
        " in which the rarest has a hundredth of the commonest, at least one and at most fifty.",
        "images a class, mean",
        kb_size,
    ),
    Study(
        "hyperparameters",
        "Loss, width and learning rate of the key network",
        "One value changed at a time; entries' labels are not used here, so that the network alone is compared.",
        "",
        hyperparameters,
    ),
    Study(
        "objectives",
        "What to learn without labels",
        "`kbsc` at 64 symbols, trained to keep every number of the features, as the paper does, to keep whom an image"
        " resembles, or both (`semlink train codec --objective`). Labels choose the best epoch alone. Whom an image"
        " resembles is the better thing to keep at every SNR.",
        "SNR Es/N0 [dB]",
        objectives,
    ),
    Study(
        "cross-domain",
        "Other domains",
        "Codecs trained on CIFAR-100 at 64 symbols, sent digits and photographs.",
        "",
        cross_domain,
    ),
    Study(
        "nesting",
        "What nesting costs",
        "One code for all rates, and codes fitted for one rate alone: the analog part scaled for that rate, 128, 256 or"
        " 1,536 cells, and codewords of these cells from the first real on. The one code is within a point of the best"
        " of them at every rate, and of no other is that true.",
        "symbols",
        nesting,
    ),
    Study(
        "error-detection",
        "What a CRC would cost",
        "5G protects a message of 13 bits, such as the number of one of 5,000 entries, by a polar code with 6 bits of"
        " CRC (`index-polar`; list decoding, a list of 8). `index` spends nothing on detection, and always"
        " answers. The bounds are the normal approximation of the best code for so many messages.",
        "SNR Es/N0 [dB]",
        error_detection,
    ),
    Study(
        "answer",
        "Which entry to answer with",
        "The likeliest entry, or of the entries of the 64 likeliest keys the one that the others resemble, by their"
        " probabilities, as `nested` does.",
        "symbols",
        answers,
    ),
    Study(
        "feedback",
        "What knowing the SNR brings the encoder",
        "`nested` at 64 symbols, AWGN: its power shared for the worst, as without reports; for a clear channel; and as"
        " the last report says (`nested-feedback`, as `tx --feedback` sends), for a clear channel where it carries 64"
        " bits an image. A report is up to 64 images old; one that is late costs what a wrong one does.",
        "SNR Es/N0 [dB]",
        feedback,
    ),
    Study(
        "power-shares",
        "Where sharing the power otherwise pays",
        "`nested` with its power shared for the worst and for a clear channel, at SNRs that carry so many bits an image"
        " (Shannon), and under block Rayleigh with 8 pilots by mean SNR. `tx --feedback` takes the latter from 64 bits"
        " on, and with pilots 10 dB later.",
        "",
        power_shares,
    ),
)
