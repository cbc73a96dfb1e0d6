"""`make soak`: 100,000 frames through a receiver process over a socket, and its resident memory meanwhile.

Frames of several rates of `nested` in turn, with the codes of random features, and results written as usual. The
receiver's memory may grow by its latency samples (8 bytes for each frame and stage) and a little more; 25 bytes a
frame beyond them would be a leak.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Annotated

import numpy as np

from benchmarks.cli import ReportPath, run_command
from benchmarks.report.schemas import SoakReport
from edge_rx.kb.build import LabelledImage, build_knowledge_base
from engines.models.codecs import NestedCodec
from engines.models.image_encoder import ImageEncoder
from engines.models.model_set import ModelSet
from semlink.cli import options
from semlink.cli.output import stderr_console
from semlink.cli.progress import progress_bars
from semlink.errors import SemlinkError
from semlink.frame import Frame, end_of_stream, pack
from semlink.iq import normalize_power, pair_latent, quantize
from semlink.rates import parse_rate
from semlink.report import provenance, require_writable, write_report
from semlink.transport import FrameSender
from trainer.datasets import open_dataset
from trainer.demo.processes import CommandProcess

__all__ = ["SoakFailedError", "soak"]

NUM_FRAMES = 100_000
NUM_READINGS = 50
MAX_KB_ENTRIES: int | None = None
WARM_UP_SHARE = 0.2
ALLOWED_GROWTH_MB = 2.0
NUM_IMAGES = 64
"""Images whose codes the frames carry in turn."""
RATES = tuple(parse_rate(text) for text in ("16", "64", "256"))
REPORT = Path(__file__).parent / "results" / "soak.json"


class SoakFailedError(SemlinkError):
    """The receiver lost frames, or its memory grew."""

    exit_code = 5


def main(
    frames: Annotated[int, options.source(min=NUM_READINGS, help="Number of frames to send.")] = NUM_FRAMES,
    out: ReportPath = REPORT,
) -> None:
    """Send frames to a receiver, read its memory, and fail if that grew after the warm-up."""
    require_writable(out)
    models = ModelSet.find("builtin")
    with tempfile.TemporaryDirectory(prefix="semlink-soak-") as folder:
        kb = Path(folder, "kb")
        digits = open_dataset("digits").knowledge_base.spread(MAX_KB_ENTRIES)
        images = [LabelledImage(label, f"{i}.png", digits.image(i)) for i, label in enumerate(digits.labels)]
        build_knowledge_base(images, kb, ImageEncoder(models), codecs=models.codecs)
        source = ("--kb", str(kb), "--listen", "tcp://127.0.0.1:*", "--until-end")
        with CommandProcess("rx", *source, "--results", str(Path(folder, "results")), "--json") as receiver:
            report = soak(receiver, models, frames)
            summary = receiver.summary()
    if summary["matches"] != frames:
        raise SoakFailedError(f"{frames} frames sent, {summary['matches']} matched")
    print(f"{report.growth_after_warm_up_mb:+.1f} MB after the warm-up, {report.frames_per_s:.0f} frames/s")
    if report.growth_after_warm_up_mb > ALLOWED_GROWTH_MB:
        raise SoakFailedError(f"the receiver's memory grew by more than {ALLOWED_GROWTH_MB} MB")
    write_report(report, out)


def soak(receiver: CommandProcess, models: ModelSet, num_frames: int) -> SoakReport:
    """Send all frames, and read the receiver's resident memory at regular intervals."""
    codec = models.codec("nested")
    if not isinstance(codec, NestedCodec):
        raise TypeError(codec)
    features = np.random.default_rng(0).standard_normal((NUM_IMAGES, codec.codebook.feature_dim)).astype(np.float32)
    latent = codec.codebook.latent(features)
    codes = {rate: quantize(normalize_power(pair_latent(latent[:, : rate.latent_dim]))) for rate in RATES}
    fingerprints = {rate: codec.fingerprint(rate) for rate in RATES}
    resident_mb: dict[int, float] = {}
    start_s = time.monotonic()
    progress = progress_bars(stderr_console())
    with progress, FrameSender(receiver.endpoint()) as sender:
        for sequence in progress.track(range(num_frames), description="sending frames"):
            rate = RATES[sequence % len(RATES)]
            frame = Frame(1, sequence, time.time_ns(), fingerprints[rate], rate, codes[rate][sequence % NUM_IMAGES])
            sender.send(pack(frame))
            if (sequence + 1) % (num_frames // NUM_READINGS) == 0:
                resident_mb[sequence + 1] = resident_memory_mb(receiver.pid)
        sender.send(pack(end_of_stream(1, num_frames, fingerprints[RATES[0]], RATES[0], time.time_ns())))
    settled = [value for frames, value in resident_mb.items() if frames >= WARM_UP_SHARE * num_frames]
    return SoakReport(
        **provenance("make soak"),
        settings={"num_frames": num_frames, "rates": [rate.num_symbols for rate in RATES]},
        frames_per_s=num_frames / (time.monotonic() - start_s),
        growth_after_warm_up_mb=round(settled[-1] - settled[0], 2),
        allowed_growth_mb=ALLOWED_GROWTH_MB,
        resident_mb=resident_mb,
    )


def resident_memory_mb(pid: int) -> float:
    """Resident memory of a process [MB]."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS:"))


if __name__ == "__main__":
    run_command(main, "benchmarks.soak")
