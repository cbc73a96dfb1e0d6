"""`semlink rx`: frames in, matches out."""

from __future__ import annotations

import contextlib
from functools import partial
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from edge_rx.decoders.base import Decoders
from edge_rx.kb import KnowledgeBase
from edge_rx.kb.approximate import SearchIndex
from edge_rx.kb.gpu_search import SearchDevice, SearchPrecision
from edge_rx.kb.index import open_search_device
from edge_rx.match import Match
from edge_rx.pipeline import Receiver
from edge_rx.reporter import Reporter
from edge_rx.results import ResultsLog
from edge_rx.service import BatchRule, StopRule, print_summary, serve, summarize
from engines.build_progress import build_progress
from engines.models.model_set import ModelSet
from semlink.cli.output import notify, stderr_console
from semlink.config import ConfigFile, split_list
from semlink.errors import ConfigError
from semlink.interrupt import interruptions
from semlink.rates import RATES, parse_rate
from semlink.transport import FrameReceiver, ReportPublisher

__all__ = ["app"]

app = typer.Typer(add_completion=False)

_GPU_BATCH = 16
"""Frames that a search on a GPU answers together, unless told otherwise."""


@app.command(
    short_help="Receive frames and answer each with an image of the KB.",
    epilog="Example: semlink rx --kb KB --listen tcp://0.0.0.0:5555 --results results --min-score 0.3",
)
def rx(
    kb: Annotated[Path, typer.Option(help="Knowledge base; make one with: semlink kb build.", show_default=False)],
    model_set: Annotated[str, typer.Option(help="Built-in model set's name, or a folder.")] = "builtin",
    listen: Annotated[
        str, typer.Option(help="tcp://HOST:PORT or ipc://PATH; port * draws one.")
    ] = "tcp://127.0.0.1:5555",
    results: Annotated[Path, typer.Option(help="Folder for results.jsonl and results.sqlite.")] = Path("results"),
    min_score: Annotated[
        float | None,
        typer.Option(
            min=-1.0, max=1.0, help="Score from -1 to 1 below which a match is not accepted; its scale is the codec's."
        ),
    ] = None,
    rate: Annotated[
        str | None, typer.Option(help="Rates to serve, for less memory; all if not given.", show_default=False)
    ] = None,
    feedback: Annotated[
        str | None,
        typer.Option(help="Where to report KB and SNR to transmitters, such as tcp://*:5557.", show_default=False),
    ] = None,
    backend: Annotated[
        str,
        typer.Option(help="What runs decoder networks: onnxruntime, or tensorrt, where a GPU searches; auto chooses."),
    ] = "auto",
    engines: Annotated[
        Path | None, typer.Option(help="Where engines are kept; beside the model set.", show_default=False)
    ] = None,
    num_threads: Annotated[int, typer.Option(min=1, help="CPU threads of decoding and search.")] = 1,
    search_device: Annotated[
        SearchDevice, typer.Option(help="Where to search; auto takes a GPU where faiss and a driver have one.")
    ] = SearchDevice.CPU,
    search_index: Annotated[
        SearchIndex,
        typer.Option(help="How to search features: flat is exact; ivf and cagra (a GPU, faiss with cuVS) approximate."),
    ] = SearchIndex.FLAT,
    search_precision: Annotated[
        SearchPrecision, typer.Option(help="How a GPU holds the vectors that it searches.")
    ] = SearchPrecision.FP32,
    batch: Annotated[
        int | None,
        typer.Option(
            help="Frames answered together when they queue up; 1 if not given, or 16 where a GPU searches.",
            show_default=False,
        ),
    ] = None,
    batch_delay_ms: Annotated[
        float, typer.Option(help="How long a frame may wait for others, in milliseconds; 0 takes what is there.")
    ] = 0.0,
    until_end: Annotated[bool, typer.Option("--until-end", help="Stop when every stream heard has ended.")] = False,
    count: Annotated[int | None, typer.Option(help="Stop after this many matches.")] = None,
    idle_timeout_s: Annotated[float | None, typer.Option(help="Stop when nothing came for so many seconds.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON on stdout.")] = False,
    config: ConfigFile = None,
) -> None:
    """Receive frames and answer each with the image of the knowledge base that means the same.

    Runs until Ctrl-C or SIGTERM, which end it in good order: with a summary and exit code 0, or 130 if it is loading.
    """
    console = stderr_console()
    if feedback == listen and not listen.endswith(":*"):  # which draws a port for each
        raise ConfigError(f"--feedback and --listen are both {listen}; reports need a port of their own")
    served = tuple(parse_rate(text) for text in split_list(rate, "--rate")) if rate else RATES
    stop = StopRule(until_end=until_end, max_matches=count, idle_timeout_s=idle_timeout_s)
    models = ModelSet.find(model_set)
    gpu = open_search_device(search_device, search_precision, search_index)
    together = BatchRule(batch if batch is not None else 1 if gpu is None else _GPU_BATCH, batch_delay_ms)
    with (
        KnowledgeBase.open(
            kb,
            models.encoder_fingerprint,
            encoder_name=models.manifest.encoder.name,
            num_threads=num_threads,
            gpu=gpu,
            search_index=search_index,
        ) as knowledge_base,
        contextlib.ExitStack() as stack,
    ):
        # Before anything is bound or written: what is wrong with the models stops the start.
        # Beside a search on a GPU an engine may be built, and its bars and this would be in each other's way.
        sorts_long = search_index is SearchIndex.IVF and gpu is None
        told = f"sorting {knowledge_base.num_entries} entries into lists, for --search-index ivf"
        with console.status(told) if sorts_long else contextlib.nullcontext():
            decoders = Decoders.of(
                models,
                knowledge_base,
                rates=served,
                backend=backend,
                num_threads=num_threads,
                gpu=gpu,
                batch=together.max_frames,
                engines=engines,
                building=partial(build_progress, console),
                with_high_snr_code=feedback is not None,
            )
        receiver = Receiver(decoders, knowledge_base, min_score=min_score)
        interruption = stack.enter_context(interruptions())
        frames = stack.enter_context(FrameReceiver(listen))
        publisher = stack.enter_context(ReportPublisher(feedback)) if feedback else None
        log = stack.enter_context(ResultsLog(results))
        entries = knowledge_base.num_entries
        notify(
            console,
            f"listening on {frames.endpoint} with {entries} entries"
            f"{f', reporting on {publisher.endpoint}' if publisher else ''}; Ctrl-C to stop",
        )

        is_told = False

        def tell_first(match: Match) -> None:
            nonlocal is_told
            if not is_told:
                told = f"first match: {match.label or match.source}, score {match.score:.2f}; all are in {results}"
                notify(console, told)
            is_told = True

        reporter = Reporter(publisher) if publisher else None
        serve(frames, receiver, log, stop, interruption, batch=together, on_match=tell_first, reporter=reporter)
        summary = summarize(receiver, log, num_entries=entries)
    if summary.frames_rejected and not summary.matches:
        notify(console, "no frame was answered; those rejected say why, and `semlink rx -v` says more")
    if as_json:
        typer.echo(msgspec.json.encode(summary).decode())
    else:
        print_summary(summary, console=console)
