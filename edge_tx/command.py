"""`semlink tx`: stream images to a receiver."""

from __future__ import annotations

import contextlib
import itertools
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from edge_tx.adaptation import Adaptation
from edge_tx.model import TransmitterModel, load_index_model, load_transmitter_model
from edge_tx.pipeline import Transmitter, require_usable_pilots
from edge_tx.sources import (
    SkippedImages,
    SourceImage,
    folder_images,
    is_live_video,
    listed_images,
    video_images,
    watched_images,
)
from edge_tx.stream import Pacer, SentLog, TransmitterSummary, stream_images
from engines.build_progress import build_progress
from engines.models.codecs import NestedCodec
from engines.models.entry_codebook import EntryCodebook
from engines.models.model_set import ModelSet
from engines.options import EngineOptions, Precision
from semlink.cli.app import EXIT_INTERRUPTED
from semlink.cli.output import notify, stderr_console
from semlink.cli.summary import print_counts, print_latency
from semlink.config import ConfigFile
from semlink.constellation import Constellation
from semlink.errors import ConfigError, ImageError, SemlinkError, TransportError
from semlink.interrupt import Interruption, interruptions
from semlink.iq import CodesFormat
from semlink.rates import parse_rate
from semlink.transport import FrameSender, ReportSubscriber, SocketLimits

__all__ = ["app"]

app = typer.Typer(add_completion=False)

_CONSERVATIVE_RATE = parse_rate("256")
"""What --rate auto starts with, until it knows better: enough at -7 dB."""

_FIRST_REPORT_TIMEOUT_S = 2.0
"""How long the first image waits for a report; a receiver that runs sends two a second."""

_PATIENCE_AFTER_INTERRUPT_S = 0.2
"""How long a stopped transmitter may take to tell receivers that the stream has ended."""

_EPILOG = """Examples:

semlink tx photos/ --connect tcp://192.168.1.20:5555

semlink tx photos/ --watch --rate 1/24

semlink tx photos/ --keys keys.npz --rate 16 --feedback tcp://192.168.1.20:5557

semlink tx --video /dev/video0 --fps 10"""


@app.command(short_help="Encode images and send them as frames.", epilog=_EPILOG)
def tx(
    source: Annotated[
        Path | None, typer.Argument(help="Folder of images, or a text file that names one a line.", show_default=False)
    ] = None,
    connect: Annotated[str, typer.Option(help="The receiver's address, or the channel's.")] = "tcp://127.0.0.1:5555",
    rate: Annotated[
        str, typer.Option(help="Symbols per image, or the CBR on CIFAR-100; auto follows the reported SNR.")
    ] = "1/48",
    codec: Annotated[
        str | None, typer.Option(help="Of the model set; its first if not given.", show_default=False)
    ] = None,
    keys: Annotated[
        Path | None,
        typer.Option(help="The receiver's keys, to send entries' numbers: semlink kb export-keys.", show_default=False),
    ] = None,
    feedback: Annotated[
        str | None, typer.Option(help="Where the receiver reports: rx --feedback.", show_default=False)
    ] = None,
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
    constellation: Annotated[
        Constellation | None, typer.Option(help="Send only points of it, for a digital radio.", show_default=False)
    ] = None,
    codes_format: Annotated[str, typer.Option(help="sc8 or sc16.")] = "sc8",
    backend: Annotated[
        str, typer.Option(help="What runs the graph: onnxruntime, onnxruntime-tensorrt, tensorrt, or auto.")
    ] = "auto",
    device: Annotated[str, typer.Option(help="Where: cpu, gpu, gpu:N for the N-th from 0, or auto.")] = "auto",
    precision: Annotated[
        Precision, typer.Option(help="Arithmetic of the image encoder; int8 is built first: semlink engine build.")
    ] = Precision.FP32,
    engines: Annotated[
        Path | None, typer.Option(help="Where engines are kept; beside the model set.", show_default=False)
    ] = None,
    num_threads: Annotated[int, typer.Option(help="CPU threads of the engine.", min=1)] = 2,
    peer_timeout_s: Annotated[float, typer.Option(help="Seconds to wait for a receiver.")] = 30.0,
    log: Annotated[Path | None, typer.Option(help="Write a JSON line for each image sent.", show_default=False)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON on stdout.")] = False,
    config: ConfigFile = None,
) -> None:
    """Say what a camera sees: image, features, symbols, frames."""
    console = stderr_console()
    skipped = SkippedImages()
    models = ModelSet.find(model_set)
    codes = CodesFormat.parse(codes_format)
    adapts_rate = rate == "auto"
    if adapts_rate and feedback is None:
        raise ConfigError("--rate auto follows what the receiver reports; name where with --feedback")
    if codec is not None and keys is not None and feedback is None:
        raise ConfigError("--codec beside --keys is what to fall back to when the receiver says so: name --feedback")
    if adapts_rate and not isinstance(models.codec(codec), NestedCodec):
        raise ConfigError(f"--rate auto needs one code for all rates, such as nested; got {models.codec(codec).name}")
    start_rate = _CONSERVATIVE_RATE if adapts_rate else parse_rate(rate)
    engine = EngineOptions(
        backend=backend, device=device, precision=precision, num_threads=num_threads, engines=engines
    )
    model: TransmitterModel
    index, adaptation = None, None
    with build_progress(console) as report:
        made: dict[str, Any] = {"codes_format": codes, "report": report}
        if keys is not None:
            model = index = load_index_model(models, EntryCodebook.load(keys), engine, **made)
            require_usable_pilots(pilots, index)  # now, not when the first report makes it the model
        if index is None or feedback is not None:  # else the keys are trusted, at the user's word
            model = general = load_transmitter_model(models, start_rate, engine, codec=codec, **made)
            adaptation = Adaptation(general, index, start_rate, adapts_rate=adapts_rate)
    with interruptions() as interruption:
        images = _open_source(
            source,
            watch=watch,
            video=video,
            skipped=skipped,
            min_side_px=model.preprocessing.size_px,
            interruption=interruption,
        )
        pacer = Pacer(fps, interruption)
        limits = SocketLimits(peer_timeout_s=peer_timeout_s)
        with (
            SentLog(log) as sent_log,
            FrameSender(connect, limits=limits, interruption=interruption) as sender,
            ReportSubscriber(feedback) if feedback else contextlib.nullcontext() as reports,
        ):
            if reports is not None:
                reports.wait(_FIRST_REPORT_TIMEOUT_S)
            transmitter = Transmitter(model, start_rate, sender.send, num_pilots=pilots, constellation=constellation)
            waits = f", and with {index.codec} once the receiver has reported" if index and index is not model else ""
            told = f"sending {start_rate.num_symbols} symbols an image with {model.codec}{waits} to {connect}"
            notify(console, told)
            start_s = time.monotonic()
            failure = None
            try:
                stream_images(
                    transmitter,
                    itertools.islice(images, count),
                    pacer,
                    sent_log,
                    prepare=None if adaptation is None or reports is None else partial(adaptation.prepare, reports),
                )
                if not interruption.is_set():
                    transmitter.end()
            except SemlinkError as error:
                failure = error  # what was sent before it is summed up all the same
            except KeyboardInterrupt:
                pass
            duration_s = time.monotonic() - start_s
            if failure is not None or interruption.is_set():
                sender.hurry(_PATIENCE_AFTER_INTERRUPT_S)
                with contextlib.suppress(TransportError):
                    transmitter.end()
            if adaptation is not None and reports is not None and not adaptation.has_report:
                notify(console, f"no report came from {feedback}: is an rx with --feedback there?")
        summary = TransmitterSummary.of(transmitter, skipped, interrupted=interruption.is_set(), duration_s=duration_s)
    if as_json:
        typer.echo(summary.to_json())
    elif failure is None or summary.images_sent:
        print_counts("Transmitter", summary.counts(), console=console)
        print_latency("Transmitter stages", summary.stage_latency_ms, console=console)
    if failure is not None:
        raise failure
    if summary.images_sent == 0 and skipped.count:
        raise ImageError(f"none of {skipped.count} pictures could be read; the first: {skipped.reasons[0]}")
    if summary.interrupted and not watch and not (video and is_live_video(video)):
        sys.exit(EXIT_INTERRUPTED)


def _open_source(
    source: Path | None,
    *,
    watch: bool,
    video: str | None,
    skipped: SkippedImages,
    min_side_px: int,
    interruption: Interruption,
) -> Iterator[SourceImage]:
    if (source is None) == (video is None):
        raise ConfigError("name one source: a folder, a list of paths, or --video")
    if watch and video is not None:
        raise ConfigError("--watch is for folders; a video is watched by itself")
    if video is not None:
        return video_images(video)
    assert source is not None  # noqa: S101  narrowed by the check above, which mypy cannot follow
    if watch:
        return watched_images(source, skipped, min_side_px=min_side_px, stop=interruption)
    return (listed_images if source.is_file() else folder_images)(source, skipped, min_side_px=min_side_px)
