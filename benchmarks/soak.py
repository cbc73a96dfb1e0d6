"""`make soak`: 100,000 frames through a receiver process over a socket, and what its memory does meanwhile.

Frames of every rate of `nested` in turn, of random pictures' worth of codes, with results written as ever. The receiver
is allowed what its latency samples take (8 bytes each and stage) and a little; 25 bytes a frame more would be a leak.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import msgspec
import numpy as np
from rich.progress import track

from edge_rx.kb.build import LabelledImage, build_knowledge_base
from engines.models.codecs import NestedCodec
from engines.models.image_encoder import ImageEncoder
from engines.models.model_set import ModelSet
from semlink.frame import Frame, end_of_stream, pack
from semlink.iq import normalize_power, pair_latent, quantize
from semlink.machine import describe_device, installed_versions, now_utc, write_report
from semlink.rates import parse_rate
from semlink.transport import FrameSender
from trainer.datasets import open_dataset
from trainer.demo.processes import CommandProcess

NUM_FRAMES, WARM_UP = 100_000, 20_000
NUM_READINGS = 50
ALLOWED_GROWTH_MB = 2.0
RATES = tuple(parse_rate(text) for text in ("16", "64", "256"))
REPORT = Path(__file__).parent / "results" / "soak.json"


class SoakReport(msgspec.Struct, frozen=True):
    """Resident memory of the receiver after so many frames [MB], and how fast they went."""

    command: str
    date: str
    device: str
    versions: dict[str, str]
    num_frames: int
    frames_per_s: float
    resident_mb: dict[int, float]
    growth_after_warm_up_mb: float
    allowed_growth_mb: float


def main() -> None:
    """Send, watch, and fail if memory grew after the warm-up."""
    models = ModelSet.find("builtin")
    with tempfile.TemporaryDirectory(prefix="semlink-soak-") as folder:
        kb = Path(folder, "kb")
        digits = open_dataset("digits").knowledge_base
        pictures = [LabelledImage(label, f"{i}.png", digits.image(i)) for i, label in enumerate(digits.labels)]
        build_knowledge_base(pictures, kb, ImageEncoder(models), codecs=models.codecs)
        listening = (
            "--listen",
            "tcp://127.0.0.1:*",
            "--results",
            str(Path(folder, "results")),
            "--until-end",
            "--json",
        )
        with CommandProcess("rx", "--kb", str(kb), *listening) as receiver:
            report = soaked(receiver, models)
            summary = receiver.summary()
    if summary["matches"] != NUM_FRAMES:
        sys.exit(f"{NUM_FRAMES} frames sent, {summary['matches']} matched")
    print(f"{report.growth_after_warm_up_mb:+.1f} MB after {WARM_UP:,} frames, {report.frames_per_s:.0f} frames/s")
    if report.growth_after_warm_up_mb > ALLOWED_GROWTH_MB:
        sys.exit(f"the receiver grew by more than {ALLOWED_GROWTH_MB} MB")
    write_report(report, REPORT)


def soaked(receiver: CommandProcess, models: ModelSet) -> SoakReport:
    """Send all frames and read the receiver's memory on the way."""
    codec = models.codec("nested")
    if not isinstance(codec, NestedCodec):
        raise TypeError(codec)
    features = np.random.default_rng(0).standard_normal((64, codec.codebook.feature_dim)).astype(np.float32)
    latent = codec.codebook.latent(features)
    codes = {rate: quantize(normalize_power(pair_latent(latent[:, : rate.latent_dim]))) for rate in RATES}
    fingerprints = {rate: codec.fingerprint(rate) for rate in RATES}
    resident_mb: dict[int, float] = {}
    start_s = time.monotonic()
    with FrameSender(receiver.endpoint()) as sender:
        for sequence in track(range(NUM_FRAMES), "soaking"):
            rate = RATES[sequence % len(RATES)]
            frame = Frame(1, sequence, time.time_ns(), fingerprints[rate], rate, codes[rate][sequence % 64])
            sender.send(pack(frame))
            if (sequence + 1) % (NUM_FRAMES // NUM_READINGS) == 0:
                resident_mb[sequence + 1] = resident_mb_of(receiver.pid)
        sender.send(pack(end_of_stream(1, NUM_FRAMES, fingerprints[RATES[0]], RATES[0], time.time_ns())))
    settled = [value for frames, value in resident_mb.items() if frames >= WARM_UP]
    return SoakReport(
        command="make soak",
        date=now_utc(),
        device=describe_device(),
        versions=installed_versions(),
        num_frames=NUM_FRAMES,
        frames_per_s=NUM_FRAMES / (time.monotonic() - start_s),
        resident_mb=resident_mb,
        growth_after_warm_up_mb=round(settled[-1] - settled[0], 2),
        allowed_growth_mb=ALLOWED_GROWTH_MB,
    )


def resident_mb_of(pid: int) -> float:
    """What a process holds in memory now [MB]."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS:"))


if __name__ == "__main__":
    main()
