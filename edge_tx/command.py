"""`semlink tx`: encode images and send them to a receiver or a channel."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from edge_tx.config import SourceConfig, TransmitterConfig
from edge_tx.session import run_transmitter
from edge_tx.summary import print_summary
from engines.options import Backend, EngineOptions, Precision
from semlink.cli import options
from semlink.cli.app import EXIT_INTERRUPTED
from semlink.cli.output import notify_of_files, print_json, stderr_console
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

semlink tx photos/ --codebook codebook.npz

semlink tx photos/ --entries entries.npz --rate 16 --feedback tcp://192.168.1.20:5557

semlink tx --video /dev/video0 --fps 10"""


@app.command(short_help="Encode images and send them as frames.", epilog=_EPILOG)
def tx(
    source: Annotated[
        Path | None, typer.Argument(help="Folder of images, or a text file with one path a line.")
    ] = None,
    watch: Annotated[
        bool,
        options.source(
            "--watch", help="Send images that appear in the folder, and none that are there already, until stopped."
        ),
    ] = False,
    video: Annotated[
        str | None, options.source(help="Video file, camera number, /dev/video0, or GStreamer pipeline.")
    ] = None,
    fps: Annotated[float | None, options.source(help="Images per second; as fast as possible by default.")] = None,
    limit: options.Limit = None,
    connect: Annotated[str, options.link(help="Address of the receiver or of the channel.")] = "tcp://127.0.0.1:5555",
    rate: Annotated[
        str,
        options.link(
            help="Complex symbols per image, or their CBR for 32 x 32 pixels, as 1/48; auto follows the reported SNR."
        ),
    ] = "1/48",
    pilots: Annotated[int, options.link(help="Number of pilot symbols per image, for fading channels.")] = 0,
    constellation: Annotated[
        Constellation | None, options.link(help="Constellation of a digital radio; unrestricted symbols by default.")
    ] = None,
    codes_format: Annotated[Literal["sc8", "sc16"], options.link(help="Format of the quantized I/Q codes.")] = "sc8",
    feedback: Annotated[str | None, options.link(help="Address of the receiver's reports: rx --feedback.")] = None,
    peer_timeout_s: Annotated[float, options.link(help="Seconds to wait for a receiver.")] = 30.0,
    model_set: options.ModelSetName = "builtin",
    codec: Annotated[str | None, options.models(help="Codec of the model set; its first by default.")] = None,
    entries: Annotated[
        Path | None,
        options.models(help="Entry codebook of the receiver, to send entry numbers: semlink kb export-entries."),
    ] = None,
    codebook: Annotated[
        Path | None,
        options.models(
            help="Codebook of the receiver's knowledge base, to send with adapted: semlink kb export-codebook."
        ),
    ] = None,
    fetch_codebook: Annotated[
        bool,
        options.models(
            "--fetch-codebook/--no-fetch-codebook",
            help="Get the codebook from the receiver that --feedback names, unless --codec asks for another codec.",
        ),
    ] = True,
    backend: Annotated[Backend, options.engine(help="Backend of the image encoder and the codec.")] = "auto",
    device: options.Device = "auto",
    precision: Annotated[
        Literal["auto", "fp32", "fp16", "int8"],
        options.engine(
            help="Arithmetic of the image encoder; auto takes the best that semlink engine built and verified here."
        ),
    ] = "auto",
    engines: options.EnginesFolder = None,
    num_threads: options.Threads = 2,
    log: Annotated[Path | None, options.output(help="File for a JSON line for each sent image.")] = None,
    as_json: options.AsJson = False,
    config: ConfigFile = None,
) -> None:
    """Encode images and send them as frames to a receiver or a channel."""
    console = stderr_console()
    images = SourceConfig(path=source, watch=watch, video=video)
    run = run_transmitter(
        TransmitterConfig(
            source=images,
            connect=connect,
            rate=None if rate == "auto" else parse_rate(rate),
            codec=codec,
            entries=entries,
            codebook=codebook,
            fetches_codebook=fetch_codebook,
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
        print_json(summary)
    elif run.failure is None or summary.images_sent:
        print_summary(summary, console=console)
    if run.failure is not None:
        raise run.failure
    if log is not None:
        notify_of_files(log)
    if summary.images_sent == 0 and summary.images_skipped:
        raise ImageError(f"none of {summary.images_skipped} images could be read; the first: {summary.skipped[0]}")
    if summary.interrupted and not images.is_endless:
        sys.exit(EXIT_INTERRUPTED)
