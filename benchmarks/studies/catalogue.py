"""The studies: each a question, how it is measured, and what its figure shows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from benchmarks.published import Published
from benchmarks.report.schemas import Point
from benchmarks.studies.codes import decisions, error_detection, nesting, no_compression, objectives, rate_sweep
from benchmarks.studies.conditions import feedback, other_channel, power_shares
from benchmarks.studies.context import StudyContext
from benchmarks.studies.domains import cross_domain, kb_size
from benchmarks.studies.forecasts import forecasts
from benchmarks.studies.projection_head import hyperparameters

__all__ = ["STUDIES", "Study"]


@dataclass(frozen=True)
class Study(Published):
    """A question, and how it is answered.

    Attributes
    ----------
    text : paragraph of docs/results.md
    x_label : of the figure's axis; empty if its positions are names
    measure : yields the points of the figure
    """

    prefix = "study"

    title: str
    text: str
    x_label: str
    measure: Callable[[StudyContext], Iterator[Point]]


STUDIES = (
    Study(
        "no-compression",
        "No compression: CBR 1/12",
        "256 symbols carry the 512 features uncoded. Training a codec gains accuracy at low SNR; at 10 dB the uncoded"
        " features are nearly as accurate.",
        "SNR Es/N0 [dB]",
        no_compression,
    ),
    Study("rate-sweep", "Every rate at 0 dB", "From 4 to 1,024 symbols per image, AWGN.", "symbols", rate_sweep),
    Study(
        "other-channel",
        "Trained on AWGN, used under block Rayleigh",
        "64 symbols and 8 pilots. `nested-cells` is fitted without a channel.",
        "mean SNR Es/N0 [dB]",
        other_channel,
    ),
    Study(
        "kb-size",
        "Size and balance of the KB",
        "`nested-cells` at 64 symbols with a mean of 1 to 50 images per category in the KB: equally many of each, or a"
        " long tail, in which the rarest category has a hundredth of the most frequent, at least one and at most 50.",
        "images per category, mean",
        kb_size,
    ),
    Study(
        "hyperparameters",
        "Loss, width, learning rate and temperature of the projection head",
        "One value is changed at a time. The decision does not use the labels of the entries, so that the networks"
        " alone are compared.",
        "",
        hyperparameters,
    ),
    Study(
        "objectives",
        "Training objective without labels",
        "`kbsc` at 64 symbols, trained to preserve the features (MSE, as in the paper), the similarities between"
        " images, or both (`semlink train codec --objective`). Labels choose the best epoch, and nothing else."
        " Preserving similarities is more accurate at every SNR.",
        "SNR Es/N0 [dB]",
        objectives,
    ),
    Study(
        "cross-domain",
        "Other domains",
        "Codecs trained on CIFAR-100 at 64 symbols, tested on digits and photographs.",
        "",
        cross_domain,
    ),
    Study(
        "nesting",
        "Cost of nesting",
        "One code for all rates against codes fitted for one rate alone, whose analog part is scaled for that rate and"
        " whose codewords, of 128, 256 or 1,536 cells, start at the first real. The one code is within a percentage"
        " point of the best of them at every rate; no code for one number of cells is.",
        "symbols",
        nesting,
    ),
    Study(
        "error-detection",
        "Cost of a CRC",
        "5G protects a message of 13 bits, such as the number of one of 5,000 entries, by a polar code with 6 bits of"
        " CRC (`index-polar`, list decoding with a list of 8). `index` has no error detection and always decides for"
        " an entry. The bounds are the normal approximation of the best code for as many messages.",
        "SNR Es/N0 [dB]",
        error_detection,
    ),
    Study(
        "answer",
        "Decision among the candidates",
        "The receiver of `nested-cells` decides for the most probable entry; or, as it is shipped, for the entry with"
        " the least Bayes risk: that with the highest mean similarity to the 64 most probable candidates, weighted by"
        " their posteriors.",
        "symbols",
        decisions,
    ),
    Study(
        "feedback",
        "Gain of SNR reports",
        "`nested-cells` at 64 symbols, AWGN: with the low-SNR power share, as without reports; with the high-SNR power"
        " share; and with the share that the last report selects (`nested-feedback`, as `tx --codec nested-cells"
        " --feedback` sends), which is the high-SNR one from a capacity of 64 bits per image on. A report is up to 64"
        " images old; an outdated report costs as much as a wrong one.",
        "SNR Es/N0 [dB]",
        feedback,
    ),
    Study(
        "power-shares",
        "Threshold between the power shares",
        "`nested-cells` with the low-SNR and the high-SNR power share, at SNRs at which an image's symbols have the"
        " given capacity (Shannon), and under block Rayleigh with 8 pilots by mean SNR. `tx --feedback` takes the"
        " high-SNR share from 64 bits on, with pilots 10 dB later.",
        "",
        power_shares,
    ),
    Study(
        "forecast",
        "Forecast of a KB, and what is then measured",
        "`semlink kb forecast` leaves out blocks of consecutive entries and sends them to the rest; the images that are"
        " measured are those that the KB lacks. At 64 symbols, answered by label. The digits to be sent were"
        " written by other people than those of the KB, which no forecast can know.",
        "",
        forecasts,
    ),
)
