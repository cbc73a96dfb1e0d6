"""`semlink rx`: frames in, matches out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console

from edge_rx.decoder import CodecDecoder
from edge_rx.kb import KnowledgeBase
from edge_rx.pipeline import Match, Receiver
from edge_rx.results import ResultsLog
from edge_rx.service import StopRule, print_summary, serve, summarize
from engines.modelset import ModelSet
from semlink.config import ConfigFile
from semlink.interrupt import interruptions
from semlink.transport import FrameReceiver

__all__ = ["app"]

app = typer.Typer(add_completion=False)


@app.command(
    epilog="Example: semlink rx --kb KB --listen tcp://0.0.0.0:5555 --results results --min-score 0.3",
)
def rx(
    kb: Annotated[Path, typer.Option(help="Knowledge base; make one with: semlink kb build.", show_default=False)],
    model_set: Annotated[str, typer.Option(help="Built-in model set's name, or a folder.")] = "builtin",
    listen: Annotated[
        str, typer.Option(help="tcp://HOST:PORT or ipc://PATH; port * draws one.")
    ] = "tcp://127.0.0.1:5555",
    results: Annotated[Path, typer.Option(help="Folder for results.jsonl and results.sqlite.")] = Path("results"),
    min_score: Annotated[float | None, typer.Option(help="Cosine below which a match is not accepted.")] = None,
    num_threads: Annotated[int, typer.Option(min=1, help="CPU threads of decoding and search.")] = 1,
    until_end: Annotated[bool, typer.Option("--until-end", help="Stop when every stream heard has ended.")] = False,
    count: Annotated[int | None, typer.Option(help="Stop after this many matches.")] = None,
    idle_timeout_s: Annotated[float | None, typer.Option(help="Stop when nothing came for so many seconds.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON on stdout.")] = False,
    config: ConfigFile = None,
) -> None:
    """Receive frames and answer each with the image of the knowledge base that means the same.

    Runs until Ctrl-C or SIGTERM, which end it in good order: with a summary and exit code 0.
    """
    console = Console(stderr=True)
    stop = StopRule(until_end=until_end, max_matches=count, idle_timeout_s=idle_timeout_s)
    with interruptions() as interruption:
        models = ModelSet.find(model_set)
        decoder = CodecDecoder(models, num_threads=num_threads)
        with (
            KnowledgeBase.open(
                kb, models.encoder_fingerprint, encoder_name=models.manifest.encoder.name, num_threads=num_threads
            ) as knowledge_base,
            FrameReceiver(listen) as frames,
            ResultsLog(results) as log,
        ):
            receiver = Receiver(decoder, knowledge_base, min_score=min_score)
            entries = knowledge_base.num_entries
            console.print(
                f"listening on {frames.endpoint} with {entries} entries; Ctrl-C to stop",
                highlight=False,
                soft_wrap=True,
            )

            def tell_first(match: Match) -> None:
                if receiver.num_matches == 1:
                    told = f"first match: {match.label or match.source}, score {match.score:.2f}; all are in {results}"
                    console.print(told, markup=False, highlight=False, soft_wrap=True)

            serve(frames, receiver, log, stop, interruption, report=tell_first)
            summary = summarize(receiver, log, num_entries=entries)
    if as_json:
        typer.echo(msgspec.json.encode(summary).decode())
    else:
        print_summary(summary, console=console)
