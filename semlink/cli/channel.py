"""`semlink channel`: the software channel as a process between transmitter and receiver."""

from __future__ import annotations

import contextlib
from typing import Annotated

import numpy as np
import typer

from semlink.channel_process import SoftwareChannel
from semlink.channel_registry import channel_names, find_channel
from semlink.cli import options
from semlink.cli.output import notify, print_json, stderr_console
from semlink.cli.summary import print_counts, print_latency
from semlink.config import ConfigFile
from semlink.errors import ConfigError
from semlink.interrupt import interruptions
from semlink.transport import FrameReceiver, FrameSender, SocketLimits

__all__ = ["app"]

app = typer.Typer(add_completion=False)

_POLL_S = 0.1
"""Longest wait for a message between two looks at the interrupt flag."""
_PATIENCE_AFTER_INTERRUPT_S = 0.2
"""How long a stopped channel may take to send the frames that wait."""


@app.command(
    epilog="Example: semlink channel --listen 'tcp://*:5556' --connect tcp://127.0.0.1:5555 --model awgn --snr-db 0"
)
def channel(
    listen: Annotated[str, options.link(help="Address at which transmitters connect.")] = "tcp://127.0.0.1:5556",
    connect: Annotated[str, options.link(help="Address of the receiver.")] = "tcp://127.0.0.1:5555",
    model: Annotated[
        str, options.link(help=f"Channel model: {', '.join(channel_names())}.", autocompletion=channel_names)
    ] = "awgn",
    snr_db: Annotated[float, options.link(help="Es/N0 for unit Es; under fading, its mean. [dB]")] = 10.0,
    seed: options.Seed = 0,
    until_end: Annotated[
        bool, options.link("--until-end", help="Stop when every stream that began has ended.")
    ] = False,
    peer_timeout_s: Annotated[float, options.link(help="Longest wait for a receiver. [s]")] = 30.0,
    as_json: options.AsJson = False,
    config: ConfigFile = None,
) -> None:
    """Add noise and fading between a transmitter and a receiver."""
    console = stderr_console()
    if listen == connect:
        raise ConfigError(f"the channel would send to itself: --listen and --connect are both {listen}")
    limits = SocketLimits(peer_timeout_s=peer_timeout_s)
    with (
        interruptions() as interruption,
        FrameReceiver(listen) as receiver,
        FrameSender(connect, limits=limits, interruption=interruption) as sender,
    ):
        process = SoftwareChannel(find_channel(model), snr_db=snr_db, rng=np.random.default_rng(seed), send=sender.send)
        notify(console, f"listening on {receiver.endpoint}, {model} at {snr_db:g} dB to {connect}")
        with contextlib.suppress(KeyboardInterrupt):
            while not (interruption.is_set() or (until_end and process.all_streams_ended)):
                data = receiver.receive(_POLL_S)
                if data is not None:
                    process.run_once(data)
        if interruption.is_set():
            sender.hurry(_PATIENCE_AFTER_INTERRUPT_S)
    stages = process.clock.summary()
    if as_json:
        summary = {
            "frames_forwarded": process.num_forwarded,
            "frames_rejected": dict(process.rejected),
            "clipping_rate": process.clipping_rate,
            "stage_latency_ms": stages,
        }
        print_json(summary)
        return
    counts = {
        "frames forwarded": process.num_forwarded,
        **{f"rejected: {reason}": count for reason, count in process.rejected.items()},
        "clipped components": f"{process.clipping_rate:.2%}",
    }
    print_counts("Channel", counts, console=console)
    print_latency("Channel stages", stages, console=console)
