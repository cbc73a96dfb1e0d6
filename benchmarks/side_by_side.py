"""`make bench-side-by-side`: the link beside torch in eager mode, timed in turns on one machine.

The other side is `benchmarks.torch_eager`, the link as the paper's repository writes it. semlink runs the same CLIP
ViT-B/32 and the same `kbsc`, exported as training exports them, in its transmitter and receiver. The weights are
random, which does not change the time. Before anything is timed, both sides must do the same work without noise:
features and symbols within `LEAST_COSINE`, and the same entry for every photograph; otherwise the run fails.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from rich.progress import Progress

from benchmarks.cli import ReportPath, run_command
from benchmarks.report.schemas import SameWork, SideBySideReport
from benchmarks.same_models import Link, as_model_set, knowledge_base_of
from benchmarks.torch_eager import FEATURE_DIM, NUM_THREADS, TorchEager, random_clip
from engines.models.model_set import ModelSet
from engines.options import Precision
from semlink.cli import options
from semlink.cli.output import stderr_console
from semlink.cli.progress import progress_bars
from semlink.errors import SemlinkError
from semlink.image import RGBImage
from semlink.iq import pair_latent
from semlink.rates import parse_rate
from semlink.report import Stage, provenance, require_writable, write_report
from semlink.timing import LatencySummary, StageClock
from trainer.codecs.kbsc import KbscNetwork
from trainer.datasets import open_dataset

__all__ = ["EAGER", "RATIO", "UnequalWorkError", "measure", "require_same_work"]

RATE = parse_rate("64")
NUM_KB_ENTRIES = 5_000
NUM_ROUNDS, WARM_UP = 100, 5
REPORT = Path(__file__).parent / "results" / "side-by-side.json"

TO_CODES, TO_MATCH, WHOLE = "image to codes", "codes to match", "image to match"
EAGER = "torch eager, ViT-B/32, fp32"
RATIO = "ratio to torch eager"
"""Note of a stage: its p50 divided by torch's of the same path."""
LEAST_COSINE = {Precision.FP32: 0.9995, Precision.INT8: 0.99}
"""With torch, of features and of symbols; the latter are quantized to 8 bits."""


class UnequalWorkError(SemlinkError):
    """The two sides do not do the same work, so their times cannot be compared."""

    exit_code = 5


@dataclass(frozen=True)
class TimedCall:
    """A call, and the entry that it must match; None for a call with a signal as its result."""

    call: Callable[[], Any]
    entry_id: int | None


def main(
    rounds: Annotated[int, options.engine(min=1, help="Rounds that are timed.")] = NUM_ROUNDS,
    out: ReportPath = REPORT,
) -> None:
    """Check that both sides do the same work, and time them in turns."""
    require_writable(out)
    torch.manual_seed(0)
    eager = TorchEager(*random_clip(), KbscNetwork(FEATURE_DIM, RATE.latent_dim).eval())
    report = measure(eager, photographs(), num_rounds=rounds)
    write_report(report, out)
    print(f"wrote {out}; semlink bench show {out}")


def measure(eager: TorchEager, images: Sequence[RGBImage], *, num_rounds: int) -> SideBySideReport:
    """Export the networks of one side for the other, compare their results, and time both on the first image."""
    progress = progress_bars(stderr_console())
    with progress, tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        task = progress.add_task("preparing", total=4)
        engines = Path(folder, "engines")
        models = as_model_set(Path(folder, "models"), eager.clip, eager.codec, RATE)
        progress.advance(task)
        entries = plausible_entries(eager, images)
        eager.add_entries(entries)
        kb = knowledge_base_of(entries, models, Path(folder, "kb"))
        links: dict[str, Link] = {}
        same_work = []
        for precision, least_cosine in LEAST_COSINE.items():
            name = f"semlink, ViT-B/32, {precision.value}"
            links[name] = stack.enter_context(
                Link(models, "kbsc", RATE, kb, precision=precision, engines=engines, images=images)
            )
            same_work.append(compare_results(name, eager, links[name], images))
            require_same_work(same_work[-1], least_cosine=least_cosine)
            progress.advance(task)
        builtin = ModelSet.find("builtin")
        kb = knowledge_base_of(entries, builtin, Path(folder, "builtin-kb"))
        links["semlink, built-in encoder and nested, fp32"] = stack.enter_context(
            Link(builtin, "nested", RATE, kb, precision=Precision.FP32, engines=engines)
        )
        progress.advance(task)
        latencies = time_in_turns(timed_calls(eager, links, images[0]), num_rounds, progress)
    return SideBySideReport(
        **provenance("make bench-side-by-side"),
        settings={
            "threads": NUM_THREADS,
            "num_kb_entries": len(entries),
            "image_px": f"{images[0].shape[1]} x {images[0].shape[0]}",
        },
        stages=[
            Stage.of(
                f"{path}: {side}",
                latency,
                is_end_to_end=path == WHOLE,
                notes={RATIO: round(latency.p50 / latencies[path, EAGER].p50, 3)},
            )
            for (path, side), latency in latencies.items()
        ],
        same_work=same_work,
    )


def photographs() -> list[RGBImage]:
    """Real photographs at a camera's 1280 x 720."""
    images = open_dataset("photos").knowledge_base
    return [
        np.asarray(Image.fromarray(images.image(index)).resize((1280, 720), Image.Resampling.BICUBIC))
        for index in range(len(images))
    ]


def plausible_entries(eager: TorchEager, images: Sequence[RGBImage]) -> npt.NDArray[np.float32]:
    """The query that each image decodes to, and others of the same mean and variance: (NUM_KB_ENTRIES, FEATURE_DIM).

    So each image has one correct entry, and incorrect ones around it.
    """
    known = torch.cat([eager.query(eager.latent(image)) for image in images]).numpy()
    others = np.random.default_rng(0).standard_normal((NUM_KB_ENTRIES - len(known), FEATURE_DIM))
    entries = np.concatenate([known, known.mean(axis=0) + known.std(axis=0) * others])
    return (entries / np.linalg.norm(entries, axis=1, keepdims=True)).astype(np.float32)


def compare_results(name: str, eager: TorchEager, link: Link, images: Sequence[RGBImage]) -> SameWork:
    """Run both sides over the images, without noise."""
    feature_cosines, symbol_cosines, same_entries = [], [], 0
    for image in images:
        latent, codes = eager.latent(image), link.codes(image)
        feature_cosines.append(cosine(eager.features(image).numpy(), link.features(image)))
        symbol_cosines.append(cosine(pair_latent(latent.numpy()), link.symbols(codes)))
        same_entries += eager.match(latent) == link.match(codes) == link.send_and_match(image)
    return SameWork(name, len(images), min(feature_cosines), min(symbol_cosines), same_entries)


def cosine(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> float:
    """Real part of the normalised inner product of two vectors, so that a phase between complex ones counts."""
    return float(np.vdot(one, other).real / (np.linalg.norm(one) * np.linalg.norm(other)))


def require_same_work(found: SameWork, *, least_cosine: float) -> None:
    """Raise UnequalWorkError, with the differences, unless both sides had the same results."""
    if found.same_entries < found.num_images or not min(found.feature_cosine, found.symbol_cosine) >= least_cosine:
        raise UnequalWorkError(
            f"{found.name} and torch do not do the same work, so their times cannot be compared: of {found.num_images}"
            f" images {found.same_entries} have the same entry, features agree to a cosine of"
            f" {found.feature_cosine:.6f} and symbols to {found.symbol_cosine:.6f}, at least {least_cosine} expected"
        )


def timed_calls(eager: TorchEager, links: Mapping[str, Link], image: RGBImage) -> dict[tuple[str, str], TimedCall]:
    """The calls that are timed, by path and side."""
    latent = eager.latent(image)
    entry_id = eager.match(latent)
    calls = {
        (TO_CODES, EAGER): TimedCall(lambda: eager.latent(image), None),
        (TO_MATCH, EAGER): TimedCall(lambda: eager.match(latent), entry_id),
        (WHOLE, EAGER): TimedCall(lambda: eager.match(eager.latent(image)), entry_id),
    }
    for side, link in links.items():
        calls |= _calls_of(link, image, side)
    return {case: calls[case] for path in (TO_CODES, TO_MATCH, WHOLE) for case in calls if case[0] == path}


def _calls_of(link: Link, image: RGBImage, side: str) -> dict[tuple[str, str], TimedCall]:
    codes = link.codes(image)
    entry_id = link.match(codes)
    return {
        (TO_CODES, side): TimedCall(lambda: link.codes(image), None),
        (TO_MATCH, side): TimedCall(lambda: link.match(codes), entry_id),
        (WHOLE, side): TimedCall(lambda: link.send_and_match(image), entry_id),
    }


def time_in_turns(
    calls: Mapping[tuple[str, str], TimedCall], num_rounds: int, progress: Progress
) -> dict[tuple[str, str], LatencySummary]:
    """Time all in turns, so that other work of the machine affects all alike; every result is checked."""
    clocks = {case: StageClock() for case in calls}
    for number in progress.track(range(WARM_UP + num_rounds), description="timing"):
        for case, timed in calls.items():
            with (clocks[case] if number >= WARM_UP else StageClock()).stage("call"):
                result = timed.call()
            is_right = bool(result.any()) if timed.entry_id is None else result == timed.entry_id
            if not is_right:
                raise RuntimeError(f"{': '.join(case)}: gave {result}, expected {timed.entry_id}")
    return {case: clock.summary()["call"] for case, clock in clocks.items()}


if __name__ == "__main__":
    run_command(main, "benchmarks.side_by_side")
