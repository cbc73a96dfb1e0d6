"""The whole demonstration: for each dataset a knowledge base, and for each codec, rate and SNR a run of the link.

While the link runs, the next dataset's knowledge base is built at a lower priority.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.progress import Progress

from edge_rx.kb.knowledge_base import KnowledgeBase
from engines.models.image_encoder import ImageEncoder
from engines.models.model_set import ModelSet
from semlink.cli.output import notify
from semlink.errors import ConfigError, ResultsError
from semlink.image import load_image
from semlink.report import write_report
from trainer.datasets import Dataset, open_dataset, write_folder
from trainer.demo.config import DemoConfig, LinkSettings
from trainer.demo.gallery import make_gallery
from trainer.demo.link import NUM_ENCODER_THREADS, Link, LinkRun
from trainer.demo.measure import Retrieval, measure_cell, read_retrievals
from trainer.demo.page import write_page
from trainer.demo.picture import write_picture
from trainer.demo.processes import CommandProcess
from trainer.demo.report import DatasetReport, DatasetRun, DemoReport
from trainer.progress import progress_task

__all__ = ["PAGE_FILE", "PICTURE_FILE", "REPORT_FILE", "run_demo"]

REPORT_FILE, PAGE_FILE, PICTURE_FILE = "report.json", "report.html", "photographs.webp"

_ENCODE_BATCH = 16


def run_demo(
    config: DemoConfig, out: Path, *, keep: bool = False, command: str = "semlink demo", progress: Progress
) -> DemoReport:
    """Run the demonstration, and write report.json, report.html and, of photographs, photographs.webp into a folder.

    Parameters
    ----------
    out : folder of the report; created if it does not exist
    keep : whether images, knowledge bases and logs stay, in `out`/work
    command : command line, recorded in the report
    progress : display of progress

    Raises
    ------
    SemlinkError
        If the model set lacks a codec or a rate, a dataset cannot be opened, `out` cannot be written, or a process
        fails.
    """
    models = ModelSet.find(config.model_set)
    settings = config.runs(models)
    for codec, rates in config.left_out(models).items():
        numbers = ", ".join(str(rate.num_symbols) for rate in rates)
        notify(progress.console, f"{codec} is left out at {numbers} symbols: the model set has it at other rates")
    _make_folder(out)
    num_runs = len(config.datasets) * len(settings)
    with (
        _work_folder(out / "work" if keep else None) as work,
        progress_task(progress, "runs of the link", num_runs) as advance,
        contextlib.closing(_prepare_all(config, work, progress)) as prepared,
    ):
        runs = [_run_dataset(each, config, settings, models, progress, advance) for each in prepared]
        datasets = [run.report for run in runs]
        report = DemoReport.of(datasets, config, encoder=models.manifest.encoder.name, command=command)
        write_report(report, out / REPORT_FILE)
        galleries = [make_gallery(run, categories=config.categories) for run in runs]
        write_page(report, runs, galleries, out / PAGE_FILE)
        if photographs := [gallery for gallery in galleries if gallery.are_photographs]:
            write_picture(photographs[0], out / PICTURE_FILE)
    return report


@dataclass(frozen=True)
class _Prepared:
    """A dataset on disk: its images to send, and the command that builds its knowledge base."""

    dataset: Dataset
    work: Path
    paths: Sequence[Path]
    knowledge_base: Path
    build: CommandProcess


def _prepare_all(config: DemoConfig, work: Path, progress: Progress) -> Generator[_Prepared, None, None]:
    """Datasets with their knowledge bases; the next one's is built while the caller uses one."""
    with contextlib.ExitStack() as processes:
        following = _prepare(0, config, work, progress, processes)
        for number in range(1, len(config.datasets) + 1):
            current = following
            current.build.summary()
            if number < len(config.datasets):
                following = _prepare(number, config, work, progress, processes)
            yield current


def _prepare(
    number: int, config: DemoConfig, work: Path, progress: Progress, processes: contextlib.ExitStack
) -> _Prepared:
    """Write the images of dataset `number`, and start to build its knowledge base."""
    work = work / str(number)
    dataset = open_dataset(config.datasets[number], seed=config.seed, progress=progress)
    kb_images = write_folder(dataset.knowledge_base, work / "kb-images", progress=progress)
    paths = write_folder(dataset.sent.spread(config.limit), work / "sent-images", progress=progress)
    notify(progress.console, f"{dataset.name}: building a KB of {len(kb_images)} images, sending {len(paths)}")
    knowledge_base, encoder = work / "kb", ("--model-set", config.model_set, "--threads", str(NUM_ENCODER_THREADS))
    command = ("kb", "build", str(work / "kb-images"), "--out", str(knowledge_base), *encoder, "--json")
    build = processes.enter_context(CommandProcess(*command, in_background=number > 0))
    return _Prepared(dataset, work, paths, knowledge_base, build)


def _run_dataset(
    prepared: _Prepared,
    config: DemoConfig,
    settings: Sequence[LinkSettings],
    models: ModelSet,
    progress: Progress,
    advance: Callable[[float], None],
) -> DatasetRun:
    dataset, work, paths = prepared.dataset, prepared.work, prepared.paths
    image_list, codebook = work / "sent.txt", work / "codebook.npz"
    image_list.write_text("".join(f"{path}\n" for path in paths), encoding="utf-8")
    if any(each.needs_codebook for each in settings):
        with KnowledgeBase.open(prepared.knowledge_base) as kb:
            codebook.write_bytes(kb.newest_codebook().content)
    labels = {str(path): path.parent.name for path in paths}
    runs: list[LinkRun] = []
    retrievals: list[tuple[Retrieval, ...]] = []
    with Link(prepared.knowledge_base, work / "results", model_set=config.model_set, rates=config.rates) as link:
        for each in settings:
            folder = work / f"run-{each.codec}-{each.rate.num_symbols}-{each.snr_db:g}-db"
            run = link.run(image_list, folder, each, codebook=codebook if each.needs_codebook else None)
            found = read_retrievals(run, labels)
            num_correct = sum(retrieval.is_correct for retrieval in found)
            notify(progress.console, f"{dataset.name}, {each}: {num_correct} of {len(run.sent)} images are correct")
            runs.append(run)
            retrievals.append(tuple(found))
            advance(1)
        received = link.stop()
    cells = [
        measure_cell(run, found, each, received.get(run.stream_id))
        for run, found, each in zip(runs, retrievals, settings, strict=True)
    ]
    with KnowledgeBase.open(prepared.knowledge_base) as kb:
        report = DatasetReport(
            dataset=dataset.name,
            criterion=dataset.criterion,
            noiseless_accuracy=_noiseless_accuracy(paths, kb, ImageEncoder(models, num_threads=NUM_ENCODER_THREADS)),
            num_kb_entries=kb.num_entries,
            images_skipped=len(dataset.skipped),
            cells=cells,
        )
    return DatasetRun(report, tuple(retrievals), prepared.knowledge_base)


def _noiseless_accuracy(paths: Sequence[Path], kb: KnowledgeBase, encoder: ImageEncoder) -> float:
    """Accuracy of the features' nearest neighbours, without codec and channel."""
    num_correct = 0
    for start in range(0, len(paths), _ENCODE_BATCH):
        batch = paths[start : start + _ENCODE_BATCH]
        features = encoder.encode([load_image(path, min_side_px=encoder.preprocessing.size_px) for path in batch])
        entries, _ = kb.search(features)
        num_correct += sum(
            kb.record(int(entry)).label == path.parent.name for entry, path in zip(entries[:, 0], batch, strict=True)
        )
    return num_correct / len(paths)


@contextlib.contextmanager
def _work_folder(folder: Path | None) -> Iterator[Path]:
    """The folder, which must be new and stays; or a temporary one if None."""
    if folder is None:
        with tempfile.TemporaryDirectory(prefix="semlink-demo-") as temporary:
            yield Path(temporary)
        return
    if folder.exists():
        raise ConfigError(f"{folder} exists from an earlier demo; remove it, or choose another --out")
    _make_folder(folder)
    yield folder


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise ConfigError(f"{folder} is a file; --out takes a folder") from None
    except OSError as error:
        raise ResultsError(f"{folder}: {error.strerror}") from None
