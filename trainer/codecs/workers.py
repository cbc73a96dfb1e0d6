"""Training runs side by side, one core each, in processes that Ctrl-C ends at once.

A worker is told its trainings over a pipe and answers over it: 1 for an epoch, then what it trained.
A pipe that breaks is the death of whoever held the other end, so that nobody waits for the dead.
"""

from __future__ import annotations

import contextlib
import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import get_context, resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import cast

import torch

from semlink.errors import EngineError
from semlink.interrupt import interruptions
from trainer.codecs.config import CodecTraining, TrainedCodec
from trainer.codecs.training import train_codec
from trainer.codecs.training_data import TrainingFeatures

__all__ = ["train_in_processes"]

_CONTEXT = get_context("spawn")
_PATIENCE_S = 1.0
"""How long a worker may take to end."""


def train_in_processes(
    trainings: Sequence[CodecTraining],
    data: TrainingFeatures,
    runs: Path,
    *,
    num_jobs: int,
    advance: Callable[[float], None],
) -> list[TrainedCodec]:
    """Train all of `trainings`, `num_jobs` at a time; for the main thread only, which hears Ctrl-C.

    Parameters
    ----------
    trainings, data, runs : as `train_codec` takes them
    num_jobs : how many at a time
    advance : hears how many epochs are done

    Raises
    ------
    EngineError
        If a process cannot be started, or dies; what it trained is in its run's checkpoint.
    SemlinkError
        Whatever `train_codec` raises.
    """
    waiting = deque(enumerate(trainings))
    trained: dict[int, TrainedCodec] = {}
    busy: dict[Connection, int] = {}

    def give_next(connection: Connection) -> None:
        if waiting:
            busy[connection], training = waiting.popleft()
            connection.send(training)

    with _worker_processes(min(num_jobs, len(trainings))) as connections:
        try:
            for connection in connections:
                connection.send((data, runs))
                give_next(connection)
            while busy:
                for connection in cast(list[Connection], wait(busy)):
                    match connection.recv():
                        case Exception() as error:
                            raise error
                        case TrainedCodec() as codec:
                            index = busy.pop(connection)
                            trained[index] = codec
                            advance(trainings[index].epochs - len(codec.validation_accuracy))
                            give_next(connection)
                        case num_epochs:
                            advance(num_epochs)
        except (EOFError, ConnectionError):
            raise EngineError(
                "a training process was killed, perhaps for memory; start again with fewer --jobs:"
                " training goes on where it was"
            ) from None
    return [trained[index] for index in range(len(trainings))]


@contextlib.contextmanager
def _worker_processes(num_workers: int) -> Iterator[list[Connection]]:
    """Start workers; whatever ends the block ends them too: what they trained is in the checkpoints."""
    processes: list[SpawnProcess] = []
    connections: list[Connection] = []
    # The first process to start would start this one, and unblock Ctrl-C while it does.
    resource_tracker.ensure_running()
    try:
        for _ in range(num_workers):
            with _uninterrupted():
                here, there = _CONTEXT.Pipe()
                process = _CONTEXT.Process(target=_work, args=(there,), daemon=True)
                connections.append(here)
                process.start()
                processes.append(process)
                there.close()
        yield connections
    except OSError as error:
        if len(processes) == num_workers:
            raise
        raise EngineError(f"cannot start a training process: {error.strerror}; use fewer --jobs") from None
    finally:
        # A worker that waits for work sees the end of its pipe, one that works is ended.
        for connection in connections:
            connection.close()
        for process in processes:
            process.terminate()
            process.join(_PATIENCE_S)
            process.kill()
            process.join()


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """Put Ctrl-C off until a process is both started and known; it is heard at the end of the block.

    The block's processes inherit the blocked signal: Ctrl-C reaches every process of a terminal, and
    it is the parent that decides. The parent's other threads still take it, so it is asked for as well.
    """
    with interruptions() as interruption:
        previous = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, previous)
    if interruption.is_set():
        raise KeyboardInterrupt


def _work(connection: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    # Nobody is left to work for when the pipe breaks.
    with contextlib.suppress(EOFError, ConnectionError):
        data, runs = connection.recv()
        while True:
            training = connection.recv()
            try:
                trained = train_codec(training, data, runs, report=lambda *_: connection.send(1))
            except Exception as error:  # noqa: BLE001  the parent raises it
                connection.send(error)
            else:
                connection.send(trained)
