"""Training runs side by side, one core each, in processes that Ctrl-C ends at once.

A worker receives its trainings through a pipe and answers through it: 1 for each epoch, then the trained codec.
When either process ends, the pipe breaks, and the other process stops waiting.
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
from trainer.codecs.config import TrainedCodec, TrainingRun
from trainer.codecs.training import train_codec
from trainer.codecs.training_data import TrainingFeatures

__all__ = ["deferred_interrupt", "train_in_processes"]

_CONTEXT = get_context("spawn")
_TERMINATION_S = 1.0
"""Time that a worker has to end before it is killed [s]."""


def train_in_processes(
    trainings: Sequence[TrainingRun],
    data: TrainingFeatures,
    runs: Path,
    *,
    num_jobs: int,
    advance: Callable[[float], None],
) -> list[TrainedCodec]:
    """Train all of `trainings`, `num_jobs` at a time; for the main thread only, which receives Ctrl-C.

    Parameters
    ----------
    trainings, data, runs : as `train_codec` takes them
    num_jobs : number of runs at the same time
    advance : called with the number of further epochs that are done

    Raises
    ------
    EngineError
        If a process cannot be started, or is killed; its finished epochs are in its run's checkpoint.
    SemlinkError
        Any error of `train_codec`.
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
                            advance(trainings[index].settings.epochs - len(codec.validation_accuracy))
                            give_next(connection)
                        case num_epochs:
                            advance(num_epochs)
        except (EOFError, ConnectionError):
            raise EngineError(
                "a training process was killed, perhaps for memory; start again with fewer --jobs:"
                " training continues from the checkpoints"
            ) from None
    return [trained[index] for index in range(len(trainings))]


@contextlib.contextmanager
def _worker_processes(num_workers: int) -> Iterator[list[Connection]]:
    """Start workers and end them with the block; their finished epochs are in the checkpoints."""
    processes: list[SpawnProcess] = []
    connections: list[Connection] = []
    # Otherwise the first worker would start it, and unblock SIGINT while doing so.
    resource_tracker.ensure_running()
    try:
        for _ in range(num_workers):
            with deferred_interrupt():
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
        # A waiting worker ends with its pipe, a working one by the signal.
        for connection in connections:
            connection.close()
        for process in processes:
            process.terminate()
            process.join(_TERMINATION_S)
            process.kill()
            process.join()


@contextlib.contextmanager
def deferred_interrupt() -> Iterator[None]:
    """Defer Ctrl-C to the end of the block, so that every started process is also recorded.

    Processes started in the block inherit the blocked signal: a terminal sends SIGINT to all of its processes, and
    the parent alone handles it. Other threads of the parent can still receive it, so a flag is checked as well.
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
    # The pipe breaks when the parent has ended.
    with contextlib.suppress(EOFError, ConnectionError):
        data, runs = connection.recv()
        while True:
            training = connection.recv()
            try:
                trained = train_codec(training, data, runs, report=lambda *_: connection.send(1))
            except Exception as error:  # noqa: BLE001  sent to the parent, which raises it
                connection.send(error)
            else:
                connection.send(trained)
