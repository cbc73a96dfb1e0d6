"""`semlink rx`: receive frames and answer them with images of the knowledge base."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import msgspec
import typer

from edge_rx.kb.approximate import SearchIndex
from edge_rx.kb.gpu_search import SearchDevice, SearchPrecision
from edge_rx.service import StopRule
from edge_rx.session import ReceiverConfig, run_receiver
from edge_rx.summary import print_summary
from semlink.cli.options import ENGINE, LINK, MODELS, OUTPUT, AsJson, EnginesFolder, ModelSetName, Threads
from semlink.cli.output import notify, stderr_console
from semlink.config import ConfigFile, split_list
from semlink.rates import RATES, parse_rate

__all__ = ["app"]

app = typer.Typer(add_completion=False)

_EPILOG = """Examples:

semlink rx --kb my-kb --listen "tcp://*:5555" --results results/

semlink rx --kb my-kb --feedback "tcp://*:5557" --min-score 0.3"""


@app.command(short_help="Receive frames and answer each with an image of the KB.", epilog=_EPILOG)
def rx(
    kb: Annotated[
        Path,
        typer.Option(help="Folder of the knowledge base; make one with: semlink kb build.", rich_help_panel=MODELS),
    ],
    model_set: ModelSetName = "builtin",
    listen: Annotated[
        str,
        typer.Option(
            help="Address for frames: tcp://HOST:PORT or ipc://PATH; port * picks a free one.", rich_help_panel=LINK
        ),
    ] = "tcp://127.0.0.1:5555",
    feedback: Annotated[
        str | None,
        typer.Option(
            help="Address for reports of KB and SNR to transmitters, such as tcp://*:5557.", rich_help_panel=LINK
        ),
    ] = None,
    rate: Annotated[
        str | None,
        typer.Option(help="Comma-separated rates to serve, for less memory; all by default.", rich_help_panel=LINK),
    ] = None,
    until_end: Annotated[
        bool, typer.Option("--until-end", help="Stop when every known stream has ended.", rich_help_panel=LINK)
    ] = False,
    limit: Annotated[
        int | None,
        typer.Option(help="Stop after this number of matches.", rich_help_panel=LINK),
    ] = None,
    idle_timeout_s: Annotated[
        float | None,
        typer.Option(help="Stop when no message arrives for this time, in seconds.", rich_help_panel=LINK),
    ] = None,
    backend: Annotated[
        Literal["auto", "onnxruntime", "onnxruntime-tensorrt", "tensorrt"],
        typer.Option(help="Backend of decoder networks; tensorrt needs a search on the GPU.", rich_help_panel=ENGINE),
    ] = "auto",
    engines: EnginesFolder = None,
    num_threads: Threads = 1,
    device: Annotated[
        SearchDevice,
        typer.Option(
            help="Processor of the search; auto takes a GPU where faiss and a driver have one.", rich_help_panel=ENGINE
        ),
    ] = SearchDevice.CPU,
    search_index: Annotated[
        SearchIndex,
        typer.Option(
            help="Index of features: flat is exact; ivf and cagra (GPU, faiss with cuVS) are approximate.",
            rich_help_panel=ENGINE,
        ),
    ] = SearchIndex.FLAT,
    search_precision: Annotated[
        SearchPrecision, typer.Option(help="Precision of vectors on a GPU.", rich_help_panel=ENGINE)
    ] = SearchPrecision.FP32,
    batch_size: Annotated[
        int | None,
        typer.Option(
            help="Largest number of queued frames that are answered together; 1 by default, 16 with a GPU.",
            rich_help_panel=ENGINE,
        ),
    ] = None,
    batch_delay_ms: Annotated[
        float,
        typer.Option(help="Longest wait of a frame for others, in milliseconds.", rich_help_panel=ENGINE),
    ] = 0.0,
    results: Annotated[
        Path,
        typer.Option(help="Folder for results.jsonl and results.sqlite.", rich_help_panel=OUTPUT),
    ] = Path("results"),
    min_score: Annotated[
        float | None,
        typer.Option(
            min=-1.0,
            max=1.0,
            help="Smallest score of an accepted match, from -1 to 1; the codec defines its scale.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    report_interval_s: Annotated[
        float,
        typer.Option(help="Seconds between two status lines; 0 writes none.", rich_help_panel=OUTPUT),
    ] = 10.0,
    as_json: AsJson = False,
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
            min_score=min_score,
            rates=tuple(parse_rate(text) for text in split_list(rate, "--rate")) if rate else RATES,
            backend=backend,
            engines=engines,
            num_threads=num_threads,
            device=device,
            search_index=search_index,
            search_precision=search_precision,
            batch_size=batch_size,
            batch_delay_ms=batch_delay_ms,
            stop=StopRule(until_end=until_end, max_matches=limit, idle_timeout_s=idle_timeout_s),
            report_interval_s=report_interval_s,
        ),
        console,
    )
    if summary.frames_rejected and not summary.matches:
        notify(console, "no frame was answered; the reasons are in the summary, and `semlink rx -v` logs each")
    if as_json:
        typer.echo(msgspec.json.encode(summary).decode())
    else:
        print_summary(summary, console=console)
