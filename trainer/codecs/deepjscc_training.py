"""Train the DeepJSCC reference on a dataset's training images, once, and keep its weights.

The loss is the mean squared error of the pixels and nothing else: the network is an image transmitter, trained without
an image encoder and without a knowledge base. Each image of a batch has an SNR of its own, uniform over
`SNR_RANGE_DB`, on AWGN; an equalized block-fading channel is AWGN of another SNR. 14 epochs over 40,000 images of
CIFAR-100 take one core about a quarter of an hour; the log gives the time.
"""

from __future__ import annotations

import hashlib
import io
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
import torch

from semlink.errors import DatasetError, ResultsError
from semlink.files import replaced_file
from semlink.rates import parse_rate
from trainer.codecs.channel import to_symbols
from trainer.codecs.config import Precision
from trainer.codecs.deepjscc_network import SNR_RANGE_DB, DeepJsccNetwork
from trainer.codecs.fitting import FittingContext
from trainer.codecs.limits import DEEPJSCC_SIDE_PX as SIDE_PX
from trainer.codecs.run_lock import locked_run
from trainer.codecs.spec import FitKey, FittedModel
from trainer.datasets.base import ImageList
from trainer.datasets.cifar100 import paper_train_split

__all__ = ["DeepJsccTraining", "fit_deepjscc", "read_pictures", "train_deepjscc", "trained_deepjscc"]

_log = logging.getLogger(__name__)

FIT_VERSION = 2
"""Raise it with every change of this code or of the network that changes the weights or their names."""

Advance = Callable[[float], None]
"""Called with the number of further epochs that are done."""


class DeepJsccTraining(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that a network depends on besides its images.

    Attributes
    ----------
    learning_rate : at the start of the cosine schedule, which ends at 0
    precision : of the convolutions in training; weights, optimizer, channel and loss are fp32
    """

    num_symbols: int
    seed: int = 0
    epochs: int = 14
    batch_size: int = 64
    learning_rate: float = 1e-3
    precision: Precision = "bf16"

    def path(self, images: ImageList, runs: Path) -> Path:
        """File of the weights: unique for these values, this version of the code and these images."""
        named = msgspec.json.encode([self, images.content_key, SNR_RANGE_DB, FIT_VERSION])
        name = f"deepjscc-{self.num_symbols}-seed{self.seed}-{hashlib.sha256(named).hexdigest()[:10]}.pt"
        return runs / name


def fit_deepjscc(keys: Sequence[FitKey], context: FittingContext) -> Mapping[FitKey, FittedModel]:
    """Train `deepjscc`, a network for each rate."""
    fitted, progress = {}, context.progress
    for key in keys:
        training = DeepJsccTraining(key.num_symbols, precision=context.precision)
        task = progress.add_task(f"training deepjscc at {key.num_symbols} symbols", total=training.epochs)
        advance = partial(progress.advance, task)
        network = trained_deepjscc(training, context.images, context.runs, advance=advance)
        progress.update(task, completed=training.epochs)
        low, high = SNR_RANGE_DB
        source = f"{context.data.source}, seed {training.seed}, MSE, awgn of {low:g} to {high:g} dB"
        path = training.path(context.images, context.runs)
        fitted[key] = FittedModel(network, trained_on=source, key=path.name)
    return fitted


def trained_deepjscc(
    training: DeepJsccTraining, images: ImageList, runs: Path, *, advance: Advance = lambda _: None
) -> DeepJsccNetwork:
    """Train on the training part of `images`, or read an earlier run from `runs`.

    The split is the paper's, so that the training images are those of `kbsc` and `nested`.

    Raises
    ------
    DatasetError
        If there are too few images, or they are not 32 x 32.
    ResultsError
        If the kept weights are damaged.
    """
    path = training.path(images, runs)
    with locked_run(path):
        if not path.exists():
            train, *_ = paper_train_split(len(images), training.seed)
            network = train_deepjscc(training, read_pictures(images.subset(train)), advance=advance)
            buffer = io.BytesIO()
            torch.save(network.state_dict(), buffer)
            with replaced_file(path) as temporary:
                temporary.write_bytes(buffer.getbuffer())
    network = DeepJsccNetwork(parse_rate(str(training.num_symbols)))
    try:
        network.load_state_dict(torch.load(path, weights_only=True))
    # torch reports a damaged file through zipfile's, pickle's and its own errors.
    except Exception as error:  # noqa: BLE001
        raise ResultsError(f"{path}: not the weights of deepjscc ({type(error).__name__}); remove it") from None
    return network.eval()


def read_pictures(images: ImageList) -> npt.NDArray[np.uint8]:
    """All pictures of a list, (n, 32, 32, 3) uint8; DatasetError names the first of another size."""
    pictures = np.empty((len(images), SIDE_PX, SIDE_PX, 3), dtype=np.uint8)
    for index in range(len(images)):
        picture = images.image(index)
        if picture.shape != pictures.shape[1:]:
            height, width, _ = picture.shape
            raise DatasetError(
                f"deepjscc is made for {SIDE_PX} x {SIDE_PX} pictures, {images.names[index]} is {width} x {height}"
            )
        pictures[index] = picture
    return pictures


def train_deepjscc(
    training: DeepJsccTraining, pictures: npt.NDArray[np.uint8], *, advance: Advance = lambda _: None
) -> DeepJsccNetwork:
    """Train; the same values and pictures give the same network on one machine.

    Parameters
    ----------
    pictures : (n, 32, 32, 3) uint8, at least two batches
    """
    if len(pictures) < 2 * training.batch_size:
        raise DatasetError(f"{len(pictures)} images are too few: deepjscc needs {2 * training.batch_size}")
    num_threads, started_s = torch.get_num_threads(), time.monotonic()
    torch.set_num_threads(1)  # one order of summation, so that the result does not depend on the number of cores
    try:
        with torch.random.fork_rng():
            torch.manual_seed(training.seed)
            network = DeepJsccNetwork(parse_rate(str(training.num_symbols)))
            loss = _fit(network, torch.from_numpy(pictures).permute(0, 3, 1, 2), training, advance)
    finally:
        torch.set_num_threads(num_threads)
    _log.info(
        "deepjscc at %d symbols: %d images, %d epochs, %.0f s, last epoch's loss %.5f",
        training.num_symbols,
        len(pictures),
        training.epochs,
        time.monotonic() - started_s,
        loss,
    )
    return network.eval()


def _fit(network: DeepJsccNetwork, pixels: torch.Tensor, training: DeepJsccTraining, advance: Advance) -> float:
    """Train in place; returns the mean loss of the last epoch."""
    steps = len(pixels) // training.batch_size
    optimizer = torch.optim.Adam(network.parameters(), lr=training.learning_rate, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, training.epochs * steps)
    network.train()
    total = 0.0
    for _ in range(training.epochs):
        total = 0.0
        for rows in torch.randperm(len(pixels)).split(training.batch_size)[:steps]:
            images = pixels[rows].float() / 255
            images = torch.where(torch.rand(len(rows), 1, 1, 1) < 0.5, images, images.flip(3))
            loss = (_transmit(network, images, training) - images).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
        advance(1)
    return total / steps


def _transmit(network: DeepJsccNetwork, images: torch.Tensor, training: DeepJsccTraining) -> torch.Tensor:
    """Send images through transmitter, AWGN and receiver, each at an SNR of its own; the channel computes in fp32."""
    low, high = SNR_RANGE_DB
    snr_db = low + (high - low) * torch.rand(len(images))
    with torch.autocast("cpu", torch.bfloat16, enabled=training.precision == "bf16"):
        latent = network.encode(images)
    sent = torch.view_as_real(to_symbols(latent)).flatten(1)
    noise_std = (10 ** (-snr_db / 10) / 2).sqrt()
    received = sent + noise_std[:, None] * torch.randn_like(sent)
    with torch.autocast("cpu", torch.bfloat16, enabled=training.precision == "bf16"):
        return network.decode(received, snr_db)
