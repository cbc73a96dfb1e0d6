"""`semlink tx`: encode images and send them to a receiver or a channel."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from edge_tx.session import SourceConfig, TransmitterConfig, run_transmitter
from edge_tx.summary import print_summary
from engines.options import EngineOptions, Precision
from semlink.cli.app import EXIT_INTERRUPTED
from semlink.cli.options import (
    ENGINE,
    LINK,
    MODELS,
    OUTPUT,
    SOURCE,
    AsJson,
    Device,
    EnginesFolder,
    Limit,
    ModelSetName,
    Threads,
)
from semlink.cli.output import stderr_console
from semlink.config import ConfigFile
from semlink.constellation import Constellation
from semlink.errors import ImageError
from semlink.iq import CodesFormat
from semlink.rates import parse_rate

__all__ = ["app"]

app = typer.Typer(add_completion=False)

_EPILOG = """Examples:

semlink tx photos/ --connect tcp://192.168.1.20:5555

semlink tx photos/ --watch --rate 1/24

semlink tx photos/ --entries entries.npz --rate 16 --feedback tcp://192.168.1.20:5557

semlink tx --video /dev/video0 --fps 10"""


@app.command(short_help="Encode images and send them as frames.", epilog=_EPILOG)
def tx(
    source: Annotated[
        Path | None,
        typer.Argument(help="Folder of images, or a text file with one path a line.", show_default=False),
    ] = None,
    watch: Annotated[
        bool,
        typer.Option("--watch", help="Send images that appear in the folder, until stopped.", rich_help_panel=SOURCE),
    ] = False,
    video: Annotated[
        str | None,
        typer.Option(
            help="Video file, camera number, /dev/video0, or GStreamer pipeline.",
            show_default=False,
            rich_help_panel=SOURCE,
        ),
    ] = None,
    fps: Annotated[
        float | None,
        typer.Option(
            help="Images per second; as fast as possible by default.", show_default=False, rich_help_panel=SOURCE
        ),
    ] = None,
    limit: Limit = None,
    connect: Annotated[
        str, typer.Option(help="Address of the receiver or of the channel.", rich_help_panel=LINK)
    ] = "tcp://127.0.0.1:5555",
    rate: Annotated[
        str,
        typer.Option(
            help="Complex symbols per image, or a CBR such as 1/48; auto follows the reported SNR.",
            rich_help_panel=LINK,
        ),
    ] = "1/48",
    pilots: Annotated[
        int, typer.Option(help="Number of pilot symbols per image, for fading channels.", rich_help_panel=LINK)
    ] = 0,
    constellation: Annotated[
        Constellation | None,
        typer.Option(
            help="Constellation of a digital radio; unrestricted symbols by default.",
            show_default=False,
            rich_help_panel=LINK,
        ),
    ] = None,
    codes_format: Annotated[
        Literal["sc8", "sc16"], typer.Option(help="Format of the quantized I/Q codes.", rich_help_panel=LINK)
    ] = "sc8",
    feedback: Annotated[
        str | None,
        typer.Option(
            help="Address of the receiver's reports: rx --feedback.", show_default=False, rich_help_panel=LINK
        ),
    ] = None,
    peer_timeout_s: Annotated[float, typer.Option(help="Seconds to wait for a receiver.", rich_help_panel=LINK)] = 30.0,
    model_set: ModelSetName = "builtin",
    codec: Annotated[
        str | None,
        typer.Option(help="Codec of the model set; its first by default.", show_default=False, rich_help_panel=MODELS),
    ] = None,
    entries: Annotated[
        Path | None,
        typer.Option(
            help="Entry codebook of the receiver, to send entry numbers: semlink kb export-entries.",
            show_default=False,
            rich_help_panel=MODELS,
        ),
    ] = None,
    backend: Annotated[
        Literal["auto", "onnxruntime", "onnxruntime-tensorrt", "tensorrt"],
        typer.Option(help="Backend of the image encoder and the codec.", rich_help_panel=ENGINE),
    ] = "auto",
    device: Device = "auto",
    precision: Annotated[
        Literal["auto", "fp32", "fp16", "int8"],
        typer.Option(
            help="Arithmetic of the image encoder; auto takes the best that semlink engine built and verified here.",
            rich_help_panel=ENGINE,
        ),
    ] = "auto",
    engines: EnginesFolder = None,
    num_threads: Threads = 2,
    log: Annotated[
        Path | None,
        typer.Option(help="File for a JSON line for each sent image.", show_default=False, rich_help_panel=OUTPUT),
    ] = None,
    as_json: AsJson = False,
    config: ConfigFile = None,
) -> None:
    """Encode images and send them as frames to a receiver or a channel."""
    console = stderr_console()
    run = run_transmitter(
        TransmitterConfig(
            source=SourceConfig(path=source, watch=watch, video=video),
            connect=connect,
            rate=None if rate == "auto" else parse_rate(rate),
            codec=codec,
            entries=entries,
            feedback=feedback,
            model_set=model_set,
            fps=fps,
            limit=limit,
            num_pilots=pilots,
            constellation=constellation,
            codes_format=CodesFormat.parse(codes_format),
            engine=EngineOptions(
                backend=backend,
                device=device,
                precision=Precision.FP32 if precision == "auto" else Precision(precision),
                num_threads=num_threads,
                engines=engines,
            ),
            takes_best_precision=precision == "auto",
            peer_timeout_s=peer_timeout_s,
            log=log,
        ),
        console,
    )
    summary = run.summary
    if as_json:
        typer.echo(summary.to_json())
    elif run.failure is None or summary.images_sent:
        print_summary(summary, console=console)
    if run.failure is not None:
        raise run.failure
    if summary.images_sent == 0 and summary.images_skipped:
        raise ImageError(f"none of {summary.images_skipped} images could be read; the first: {summary.skipped[0]}")
    if summary.interrupted and not SourceConfig(path=source, watch=watch, video=video).is_endless:
        sys.exit(EXIT_INTERRUPTED)
