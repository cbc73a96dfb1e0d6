"""`make bench-side-by-side`: this link beside what a user would write, timed in turns on one machine.

What a user would write is what the paper's repository does: `benchmarks.torch_eager`. Ours is the same CLIP ViT-B/32
and the same `kbsc`, exported and run by transmitter and receiver as ever. The weights are random, of which the time
does not depend; that both do the same work is checked before anything is timed, without noise: features and symbols
within `LEAST_COSINE`, and for every photograph the same entry. Where they differ the run fails.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from rich.progress import Progress

from benchmarks.same_models import Link, as_model_set, knowledge_base_of
from benchmarks.torch_eager import FEATURE_DIM, NUM_THREADS, TorchEager, random_clip
from engines.models.model_set import ModelSet
from engines.options import Precision
from semlink.image import RGBImage
from semlink.iq import pair_latent
from semlink.machine import MachineState, describe_device, installed_versions, machine_state, now_utc, write_report
from semlink.rates import parse_rate
from semlink.timing import LatencySummary, StageClock
from trainer.codecs.kbsc import KbscNetwork
from trainer.datasets import open_dataset

RATE = parse_rate("64")
NUM_KB_ENTRIES = 5_000
NUM_ROUNDS, WARM_UP = 100, 5
REPORT = Path(__file__).parent / "results" / "side-by-side.json"

TO_CODES, TO_MATCH, WHOLE = "picture to codes", "codes to match", "picture to match"
EAGER = "torch eager, ViT-B/32, fp32"
LEAST_COSINE = {Precision.FP32: 0.9995, Precision.INT8: 0.99}
"""With torch, of features and of symbols; the latter are quantized to 8 bits."""

Call = Callable[[], object]


class SameWork(msgspec.Struct, frozen=True):
    """How one of ours compares with torch over `num_pictures`, without noise: least cosines, and equal answers."""

    num_pictures: int
    feature_cosine: float
    symbol_cosine: float
    same_entries: int


class SideBySide(msgspec.Struct, frozen=True):
    """The report: milliseconds of each path in each way, and the ratio of medians to torch's of the same path.

    Attributes
    ----------
    same_work : by the name of each of ours that has torch's networks
    """

    command: str
    date: str
    device: str
    versions: dict[str, str]
    num_threads: int
    picture_px: tuple[int, int]
    latency_ms: dict[str, LatencySummary]
    ratio_to_torch_eager: dict[str, float]
    num_kb_entries: int
    same_work: dict[str, SameWork]
    machine_state: MachineState | None = None


def main(arguments: Sequence[str] | None = None) -> None:
    """Check and time all of them, and write the report."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--runs", type=int, default=NUM_ROUNDS, help="rounds that are timed")
    parser.add_argument("--out", type=Path, default=REPORT, help="the JSON to write")
    options = parser.parse_args(arguments)
    torch.manual_seed(0)
    eager = TorchEager(*random_clip(), KbscNetwork(FEATURE_DIM, RATE.latent_dim).eval())
    report = measured(eager, photographs(), num_rounds=options.runs)
    write_report(report, options.out)
    for name, stage in report.latency_ms.items():
        ratio = report.ratio_to_torch_eager[name]
        print(f"{name:52} p50 {stage.p50:7.2f}  p95 {stage.p95:7.2f}  p99 {stage.p99:7.2f} ms  {ratio:.2f}")


def measured(eager: TorchEager, pictures: Sequence[RGBImage], *, num_rounds: int) -> SideBySide:
    """Make ours of the same networks, check that they do the same work, and time all in turns on the first picture."""
    with Progress() as progress, tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        task = progress.add_task("preparing", total=4)
        engines = Path(folder, "engines")
        models = as_model_set(Path(folder, "models"), eager.clip, eager.codec, RATE)
        progress.advance(task)
        entries = plausible_entries(eager, pictures)
        eager.know(entries)
        kb = knowledge_base_of(entries, models, Path(folder, "kb"))
        links, same = {}, {}
        for precision in LEAST_COSINE:
            name = f"semlink, ViT-B/32, {precision.value}"
            link = stack.enter_context(
                Link(models, "kbsc", RATE, kb, precision=precision, engines=engines, images=pictures)
            )
            links[name], same[name] = link, compared(eager, link, pictures)
            require_same_work(name, same[name], least_cosine=LEAST_COSINE[precision])
            progress.advance(task)
        builtin = ModelSet.find("builtin")
        kb = knowledge_base_of(entries, builtin, Path(folder, "builtin-kb"))
        links["semlink, built-in encoder and nested, fp32"] = stack.enter_context(
            Link(builtin, "nested", RATE, kb, precision=Precision.FP32, engines=engines)
        )
        progress.advance(task)
        stages = timed(calls(eager, links, pictures[0]), num_rounds, progress)
    return SideBySide(
        command="make bench-side-by-side",
        date=now_utc(),
        device=describe_device(),
        versions=installed_versions(),
        num_threads=NUM_THREADS,
        picture_px=(pictures[0].shape[1], pictures[0].shape[0]),
        latency_ms={f"{path}: {who}": summary for (path, who), summary in stages.items()},
        ratio_to_torch_eager={
            f"{path}: {who}": round(summary.p50 / stages[path, EAGER].p50, 3) for (path, who), summary in stages.items()
        },
        machine_state=machine_state(),
        num_kb_entries=len(entries),
        same_work=same,
    )


def photographs() -> list[RGBImage]:
    """Real ones, at a camera's 1280 x 720."""
    images = open_dataset("photos").knowledge_base
    return [
        np.asarray(Image.fromarray(images.image(index)).resize((1280, 720), Image.Resampling.BICUBIC))
        for index in range(len(images))
    ]


def plausible_entries(eager: TorchEager, pictures: Sequence[RGBImage]) -> npt.NDArray[np.float32]:
    """(NUM_KB_ENTRIES, FEATURE_DIM): what each picture decodes to, and others that are scattered as these are.

    So each picture has one right answer, and wrong ones around it.
    """
    known = torch.cat([eager.query(eager.latent(picture)) for picture in pictures]).numpy()
    others = np.random.default_rng(0).standard_normal((NUM_KB_ENTRIES - len(known), FEATURE_DIM))
    entries = np.concatenate([known, known.mean(axis=0) + known.std(axis=0) * others])
    return (entries / np.linalg.norm(entries, axis=1, keepdims=True)).astype(np.float32)


def compared(eager: TorchEager, link: Link, pictures: Sequence[RGBImage]) -> SameWork:
    """Run both over the pictures, without noise."""
    feature_cosines, symbol_cosines, same_entries = [], [], 0
    for picture in pictures:
        latent, codes = eager.latent(picture), link.codes(picture)
        feature_cosines.append(cosine(eager.features(picture).numpy(), link.features(picture)))
        symbol_cosines.append(cosine(pair_latent(latent.numpy()), link.symbols(codes)))
        same_entries += eager.match(latent) == link.match(codes) == link.send_and_match(picture)
    return SameWork(len(pictures), min(feature_cosines), min(symbol_cosines), same_entries)


def cosine(one: npt.NDArray[np.generic], other: npt.NDArray[np.generic]) -> float:
    """Of two vectors; complex ones are not turned onto each other."""
    return float(np.vdot(one, other).real / (np.linalg.norm(one) * np.linalg.norm(other)))


def require_same_work(name: str, found: SameWork, *, least_cosine: float) -> None:
    """End the run, with what differs, unless both did the same."""
    if found.same_entries < found.num_pictures or not min(found.feature_cosine, found.symbol_cosine) >= least_cosine:
        sys.exit(
            f"{name} and torch do not do the same work, so their times say nothing: of {found.num_pictures} pictures"
            f" {found.same_entries} have the same entry, features agree to a cosine of {found.feature_cosine:.6f} and"
            f" symbols to {found.symbol_cosine:.6f}, at least {least_cosine} expected"
        )


def calls(
    eager: TorchEager, links: Mapping[str, Link], picture: RGBImage
) -> dict[tuple[str, str], tuple[Call, object]]:
    """What is timed, by path and by who does it; and what a call must give, None where that is codes."""
    latent = eager.latent(picture)
    entry = eager.match(latent)
    found: dict[tuple[str, str], tuple[Call, object]] = {
        (TO_CODES, EAGER): (lambda: eager.latent(picture), None),
        (TO_MATCH, EAGER): (lambda: eager.match(latent), entry),
        (WHOLE, EAGER): (lambda: eager.match(eager.latent(picture)), entry),
    }
    for who, link in links.items():
        found |= _calls_of(link, picture, who)
    return {case: found[case] for path in (TO_CODES, TO_MATCH, WHOLE) for case in found if case[0] == path}


def _calls_of(link: Link, picture: RGBImage, who: str) -> dict[tuple[str, str], tuple[Call, object]]:
    codes = link.codes(picture)
    entry = link.match(codes)
    return {
        (TO_CODES, who): (lambda: link.codes(picture), None),
        (TO_MATCH, who): (lambda: link.match(codes), entry),
        (WHOLE, who): (lambda: link.send_and_match(picture), entry),
    }


def timed(
    calls: Mapping[tuple[str, str], tuple[Call, object]], num_rounds: int, progress: Progress
) -> dict[tuple[str, str], LatencySummary]:
    """Time all in turns, so that whatever else the machine does is shared; every answer is looked at."""
    clocks = {case: StageClock() for case in calls}
    for number in progress.track(range(WARM_UP + num_rounds), description="timing"):
        for case, (call, expected) in calls.items():
            with (clocks[case] if number >= WARM_UP else StageClock()).stage("call"):
                answer = call()
            if (answer != expected) if expected is not None else not answer.any():
                raise RuntimeError(f"{': '.join(case)}: gave {answer}, expected {expected}")
    return {case: clock.summary()["call"] for case, clock in clocks.items()}


if __name__ == "__main__":
    main()
