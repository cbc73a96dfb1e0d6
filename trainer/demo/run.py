"""The whole demonstration: for each dataset a KB, for each rate and SNR a run of three processes."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
from rich.progress import Progress, TaskID

from edge_rx.kb.knowledge_base import KnowledgeBase
from engines.models.image_encoder import ImageEncoder
from engines.models.model_set import ModelSet
from semlink.cli.output import notify
from semlink.image import load_image
from semlink.machine import describe_device, installed_versions, now_utc
from semlink.rates import Rate
from semlink.timing import LatencySummary
from trainer.datasets import open_dataset, write_folder
from trainer.demo.measure import CellReport, Retrieval, measure_cell, pooled_latency, read_retrievals
from trainer.demo.processes import NUM_ENCODER_THREADS, run_command, run_link

__all__ = ["DatasetRun", "DemoOptions", "DemoReport", "run_demo"]

_ENCODE_BATCH = 16


@dataclass(frozen=True)
class DemoOptions:
    """What to demonstrate; the first dataset, codec and rate give the figures, all of them are shown.

    Unless `must_have_rates`, a codec but the first is left out at rates that it lacks.
    """

    datasets: tuple[str, ...]
    model_set: str
    codecs: tuple[str, ...]
    must_have_rates: bool
    rates: tuple[Rate, ...]
    snr_db: tuple[float, ...]
    channel: str
    num_pilots: int
    count: int | None
    seed: int


@dataclass(frozen=True)
class DatasetRun:
    """One dataset over every codec, rate and SNR; `retrievals` has an entry for each cell."""

    name: str
    noiseless_accuracy: float
    num_kb_entries: int
    images_skipped: int
    cells: tuple[CellReport, ...]
    retrievals: tuple[tuple[Retrieval, ...], ...]
    knowledge_base: Path


class DatasetReport(msgspec.Struct, frozen=True):
    """A dataset's part of report.json."""

    dataset: str
    noiseless_accuracy: float
    num_kb_entries: int
    images_skipped: int
    cells: list[CellReport]


class DemoReport(msgspec.Struct, frozen=True):
    """report.json.

    Counts, accuracy and latency are of the first dataset, over all SNRs of the first codec and rate;
    `datasets` holds every cell of every dataset.
    """

    date: str
    encoder: str
    dataset: str
    codec: str
    channel: str
    num_pilots: int
    rate: str
    num_symbols: int
    payload_cbr: float
    total_cbr: float
    images_sent: int
    frames_received: int
    frames_lost: int
    frames_duplicated: int
    semantic_accuracy: dict[str, float]
    noiseless_accuracy: float
    latency_ms: LatencySummary
    throughput_images_s: float
    device: str
    precision: str
    encoder_threads: int
    versions: dict[str, str]
    datasets: list[DatasetReport]


def run_demo(options: DemoOptions, work: Path, progress: Progress) -> tuple[DemoReport, list[DatasetRun]]:
    """Run everything in an empty folder `work`, which keeps the images, KBs and logs."""
    models = ModelSet.find(options.model_set)
    for rate in options.rates:
        for codec in options.codecs if options.must_have_rates else options.codecs[:1]:
            models.codec(codec).fingerprint(rate)  # a rate that it lacks is said before minutes of work
    for codec in options.codecs:
        if lacking := [rate for rate in options.rates if rate not in models.codec(codec).rates]:
            rates = ", ".join(str(rate.num_symbols) for rate in lacking)
            notify(progress.console, f"{codec} is left out at {rates} symbols: the model set has it at other rates")
    task = progress.add_task("demo", total=len(options.datasets) * len(_cells(options, models)))
    runs = []
    for position, name in enumerate(options.datasets):
        runs.append(_run_dataset(name, options, models, work / f"{position}", progress, task))
    return _report(options, models, runs), runs


def _run_dataset(
    name: str, options: DemoOptions, models: ModelSet, work: Path, progress: Progress, task: TaskID
) -> DatasetRun:
    dataset = open_dataset(name, seed=options.seed, progress=progress)
    kb_images = write_folder(dataset.knowledge_base, work / "kb-images", progress=progress)
    paths = write_folder(dataset.sent.spread(options.count), work / "sent-images", progress=progress)
    image_list = work / "sent.txt"
    image_list.write_text("".join(f"{path}\n" for path in paths), encoding="utf-8")
    knowledge_base, models_option = work / "kb", ("--model-set", options.model_set)
    notify(progress.console, f"{dataset.name}: building a KB of {len(kb_images)} images, sending {len(paths)}")
    run_command("kb", "build", str(work / "kb-images"), "--out", str(knowledge_base), *models_option, "--json")
    labels = {str(path): path.parent.name for path in paths}
    cells: list[CellReport] = []
    retrievals: list[tuple[Retrieval, ...]] = []
    for codec, rate, snr_db in _cells(options, models):
        run = run_link(
            image_list,
            knowledge_base,
            work / f"run-{codec}-{rate.num_symbols}-{snr_db:g}-db",
            model_set=options.model_set,
            codec=codec,
            rate=rate,
            channel=options.channel,
            snr_db=snr_db,
            seed=options.seed,
            num_pilots=options.num_pilots,
        )
        found = read_retrievals(run, labels)
        cells.append(measure_cell(run, found, codec=codec, rate=rate, snr_db=snr_db, channel=options.channel))
        retrievals.append(tuple(found))
        progress.advance(task)
    with KnowledgeBase.open(knowledge_base) as kb:
        ideal = _ideal_accuracy(paths, kb, ImageEncoder(models))
        return DatasetRun(
            dataset.name, ideal, kb.num_entries, len(dataset.skipped), tuple(cells), tuple(retrievals), knowledge_base
        )


def _cells(options: DemoOptions, models: ModelSet) -> list[tuple[str, Rate, float]]:
    """Codec, rate and SNR of each run; not those of a codec that lacks the rate."""
    every = itertools.product(options.codecs, options.rates, options.snr_db)
    return [(codec, rate, snr_db) for codec, rate, snr_db in every if rate in models.codec(codec).rates]


def _ideal_accuracy(paths: Sequence[Path], kb: KnowledgeBase, encoder: ImageEncoder) -> float:
    """Nearest neighbour of the clean features: no codec, no channel."""
    num_right = 0
    for start in range(0, len(paths), _ENCODE_BATCH):
        batch = paths[start : start + _ENCODE_BATCH]
        features = encoder.encode([load_image(path, min_side_px=encoder.preprocessing.size_px) for path in batch])
        entries, _ = kb.search(features)
        num_right += sum(
            kb.record(int(entry)).label == path.parent.name for entry, path in zip(entries[:, 0], batch, strict=True)
        )
    return num_right / len(paths)


def _report(options: DemoOptions, models: ModelSet, runs: Sequence[DatasetRun]) -> DemoReport:
    first, codec, rate = runs[0], options.codecs[0], options.rates[0]
    cells = [cell for cell in first.cells if (cell.codec, cell.num_symbols) == (codec, rate.num_symbols)]
    found = [
        retrieval
        for cell, retrievals in zip(first.cells, first.retrievals, strict=True)
        if cell in cells
        for retrieval in retrievals
    ]
    return DemoReport(
        date=now_utc(),
        encoder=models.manifest.encoder.name,
        dataset=first.name,
        codec=codec,
        channel=options.channel,
        num_pilots=options.num_pilots,
        rate=rate.name,
        num_symbols=rate.num_symbols,
        payload_cbr=cells[0].payload_cbr,
        total_cbr=cells[0].total_cbr,
        images_sent=sum(cell.images_sent for cell in cells),
        frames_received=sum(cell.frames_received for cell in cells),
        frames_lost=sum(cell.frames_lost for cell in cells),
        frames_duplicated=sum(cell.frames_duplicated for cell in cells),
        semantic_accuracy={f"{cell.snr_db:g}": cell.semantic_accuracy for cell in cells},
        noiseless_accuracy=first.noiseless_accuracy,
        latency_ms=pooled_latency(found),
        throughput_images_s=sum(cell.throughput_images_s for cell in cells) / len(cells),
        device=describe_device(),
        precision="fp32",
        encoder_threads=NUM_ENCODER_THREADS,
        versions=installed_versions(),
        datasets=[
            DatasetReport(run.name, run.noiseless_accuracy, run.num_kb_entries, run.images_skipped, list(run.cells))
            for run in runs
        ],
    )
