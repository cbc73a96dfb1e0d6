"""`semlink rx`: receive frames and answer them with images of the knowledge base."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edge_rx.decoders.options import Answer
from edge_rx.kb.approximate import SearchIndex
from edge_rx.kb.gpu_search import SearchPrecision
from edge_rx.service import StopRule
from edge_rx.session import ReceiverConfig, run_receiver
from edge_rx.summary import print_summary
from engines.options import DecoderBackend
from semlink.cli import options
from semlink.cli.output import notify, print_json, stderr_console
from semlink.config import ConfigFile, split_list
from semlink.rates import RATES, parse_rate

__all__ = ["app"]

app = typer.Typer(add_completion=False)

_EPILOG = """Examples:

semlink rx --kb my-kb --listen "tcp://*:5555" --results results/

semlink rx --kb my-kb --feedback "tcp://*:5557" --batch-size 1"""


@app.command(short_help="Receive frames and answer each with an image of the KB.", epilog=_EPILOG)
def rx(
    kb: Annotated[Path, options.models(help="Folder of the knowledge base; make one with: semlink kb build.")],
    model_set: options.ModelSetName = "builtin",
    listen: Annotated[
        str, options.link(help="Address for frames: tcp://HOST:PORT or ipc://PATH; port * picks a free one.")
    ] = "tcp://127.0.0.1:5555",
    feedback: Annotated[
        str | None, options.link(help="Address for reports of KB and SNR to transmitters, such as tcp://*:5557.")
    ] = None,
    rate: Annotated[
        str | None, options.link(help="Comma-separated rates to serve, for less memory; all by default.")
    ] = None,
    until_end: Annotated[bool, options.link("--until-end", help="Stop when every known stream has ended.")] = False,
    limit: Annotated[int | None, options.link(help="Stop after this number of matches.")] = None,
    idle_timeout_s: Annotated[
        float | None, options.link(help="Stop when no message arrives for this time, in seconds.")
    ] = None,
    backend: Annotated[
        DecoderBackend,
        options.engine(help="Backend of decoder networks; tensorrt needs a search on the GPU."),
    ] = "auto",
    engines: options.EnginesFolder = None,
    num_threads: options.Threads = 1,
    device: options.Device = "cpu",
    search_index: Annotated[
        SearchIndex,
        options.engine(help="Index of features: flat is exact; ivf and cagra (GPU, faiss with cuVS) are approximate."),
    ] = SearchIndex.FLAT,
    search_precision: Annotated[
        SearchPrecision, options.engine(help="Precision of vectors on a GPU.")
    ] = SearchPrecision.FP32,
    batch_size: Annotated[
        int | None,
        options.engine(help="Largest number of queued frames that are answered together; 1 by default, 16 with a GPU."),
    ] = None,
    batch_delay_ms: Annotated[float, options.engine(help="Longest wait of a frame for others, in milliseconds.")] = 0.0,
    results: Annotated[Path, options.output(help="Folder for results.jsonl and results.sqlite.")] = Path("results"),
    answer: Annotated[
        Answer,
        options.output(
            help="Entry to answer with: one of the most probable label, or the nearest one whatever its label."
        ),
    ] = "label",
    min_confidence: Annotated[
        float | None,
        options.output(
            min=0.0,
            max=1.0,
            help="Smallest confidence of an accepted match: the probability that it is right, 0 to 1, given that the"
            " knowledge base has such an image.",
        ),
    ] = None,
    status_interval_s: Annotated[float, options.output(help="Seconds between two status lines; 0 writes none.")] = 10.0,
    as_json: options.AsJson = False,
    config: ConfigFile = None,
) -> None:
    """Receive frames and answer each with the image of the knowledge base that means the same.

    Runs until Ctrl-C or SIGTERM, then prints a summary and exits with 0, or with 130 while it is still loading.
    """
    console = stderr_console()
    summary = run_receiver(
        ReceiverConfig(
            kb=kb,
            model_set=model_set,
            listen=listen,
            feedback=feedback,
            results=results,
            answer=answer,
            min_confidence=min_confidence,
            rates=tuple(parse_rate(text) for text in split_list(rate, "--rate")) if rate is not None else RATES,
            backend=backend,
            engines=engines,
            num_threads=num_threads,
            device=device,
            search_index=search_index,
            search_precision=search_precision,
            batch_size=batch_size,
            batch_delay_ms=batch_delay_ms,
            stop=StopRule(until_end=until_end, max_matches=limit, idle_timeout_s=idle_timeout_s),
            status_interval_s=status_interval_s,
        ),
        console,
    )
    if summary.frames_rejected and not summary.matches:
        notify(console, "no frame was answered; the reasons are in the summary, and `semlink rx -v` logs each")
    if as_json:
        print_json(summary)
    else:
        print_summary(summary, console=console)
