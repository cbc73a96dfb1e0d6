"""`semlink tx`: stream images to a receiver."""

from __future__ import annotations

import contextlib
import itertools
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from edge_tx.pipeline import Transmitter, load_transmitter_model
from edge_tx.sources import SkippedImages, SourceImage, folder_images, listed_images, video_images, watched_images
from edge_tx.stream import Pacer, SentLog, TransmitterSummary, stream_images
from engines.modelset import ModelSet
from semlink.cli import EXIT_INTERRUPTED
from semlink.config import ConfigFile
from semlink.errors import ConfigError, TransportError
from semlink.iq import CodesFormat
from semlink.rates import parse_rate
from semlink.summary import print_counts, print_latency
from semlink.transport import FrameSender, SocketLimits

__all__ = ["app"]

app = typer.Typer(add_completion=False)

_PATIENCE_AFTER_INTERRUPT_S = 0.5
"""How long a stopped transmitter may take to tell receivers that the stream has ended."""

_EPILOG = """Examples:

semlink tx photos/ --connect tcp://192.168.1.20:5555

semlink tx photos/ --watch --rate 1/24

semlink tx --video /dev/video0 --fps 10"""


@app.command(epilog=_EPILOG)
def tx(
    source: Annotated[
        Path | None, typer.Argument(help="Folder of images, or a text file that names one a line.", show_default=False)
    ] = None,
    connect: Annotated[str, typer.Option(help="The receiver's address, or the channel's.")] = "tcp://127.0.0.1:5555",
    rate: Annotated[str, typer.Option(help="Symbols per image, or the CBR on CIFAR-100.")] = "1/48",
    model_set: Annotated[str, typer.Option(help="Name of a built-in model set, or a folder.")] = "builtin",
    watch: Annotated[bool, typer.Option("--watch", help="Send what appears in the folder, until stopped.")] = False,
    video: Annotated[
        str | None,
        typer.Option(help="Video file, camera number, /dev/video0, or GStreamer pipeline.", show_default=False),
    ] = None,
    fps: Annotated[
        float | None, typer.Option(help="Images per second; as fast as it can if not given.", show_default=False)
    ] = None,
    count: Annotated[int | None, typer.Option(help="Stop after so many images.", show_default=False, min=1)] = None,
    pilots: Annotated[int, typer.Option(help="Known symbols in front of each image's, for fading channels.")] = 0,
    codes_format: Annotated[str, typer.Option(help="sc8 or sc16.")] = "sc8",
    backend: Annotated[str, typer.Option(help="Inference backend.")] = "auto",
    num_threads: Annotated[int, typer.Option(help="CPU threads of the engine.", min=1)] = 2,
    peer_timeout_s: Annotated[float, typer.Option(help="Seconds to wait for a receiver.")] = 30.0,
    log: Annotated[Path | None, typer.Option(help="Write a JSON line for each image sent.", show_default=False)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON on stdout.")] = False,
    config: ConfigFile = None,
) -> None:
    """Say what a camera sees: image, features, symbols, frames."""
    console = Console(stderr=True)
    models = ModelSet.find(model_set)
    model = load_transmitter_model(
        models, parse_rate(rate), codes_format=CodesFormat.parse(codes_format), backend=backend, num_threads=num_threads
    )
    skipped = SkippedImages()
    images = _open_source(source, watch=watch, video=video, skipped=skipped, min_side_px=model.preprocessing.size_px)
    with SentLog(log) as sent_log, FrameSender(connect, limits=SocketLimits(peer_timeout_s=peer_timeout_s)) as sender:
        transmitter = Transmitter(model, sender.send, num_pilots=pilots)
        interrupted = False
        try:
            console.print(
                f"sending at {model.rate.name} ({model.rate.num_symbols} symbols) to {connect}", highlight=False
            )
            stream_images(transmitter, itertools.islice(images, count), Pacer(fps), sent_log)
            transmitter.end()
        except KeyboardInterrupt:
            interrupted = True
            sender.hurry(_PATIENCE_AFTER_INTERRUPT_S)
            with contextlib.suppress(TransportError):
                transmitter.end()
    summary = TransmitterSummary.of(transmitter, skipped, interrupted=interrupted)
    if as_json:
        typer.echo(summary.to_json())
    else:
        print_counts("Transmitter", summary.counts(), console=console)
        print_latency("Transmitter stages", summary.stage_latency_ms, console=console)
    if interrupted and not watch and video is None:
        sys.exit(EXIT_INTERRUPTED)


def _open_source(
    source: Path | None, *, watch: bool, video: str | None, skipped: SkippedImages, min_side_px: int
) -> Iterator[SourceImage]:
    if (source is None) == (video is None):
        raise ConfigError("name one source: a folder, a list of paths, or --video")
    if video is not None:
        return video_images(video)
    assert source is not None  # noqa: S101  narrowed by the check above, which mypy cannot follow
    if watch:
        return watched_images(source, skipped, min_side_px=min_side_px)
    return (listed_images if source.is_file() else folder_images)(source, skipped, min_side_px=min_side_px)
