"""Train one codec at one rate on cached features; resumable, and deterministic given a seed.

The configuration is the paper's (arXiv 2504.01053 and its code): MSE, or another loss on request, Adam at 1e-4,
batches of 128, one SNR drawn for each batch, early stopping after 20 epochs without a better validation accuracy, and
the weights of the best epoch. Validation retrieves from a knowledge base of its own, a part of the training set. The
published code stops at 100 epochs, this at 60, to save time: the last ten still gain up to half a point.
"""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import numpy as np
import torch

from semlink.channel import ChannelModel
from semlink.errors import DatasetError, ResultsError
from semlink.files import locked_file, replaced_file, write_json
from semlink.rates import parse_rate
from trainer.codecs.channel import honest_channel, paper_channel
from trainer.codecs.config import TrainedCodec, TrainingRun
from trainer.codecs.export import export_codec
from trainer.codecs.kbsc import KbscNetwork
from trainer.codecs.objectives import SAMPLE_SIZE, objective_loss
from trainer.codecs.training_data import TrainingFeatures
from trainer.datasets.cifar100 import paper_train_split

__all__ = ["train_codec"]

EpochReport = Callable[[int, int, float], None]
"""Called with (epochs done, largest number of epochs, validation accuracy) after every epoch."""

_RESULT, _CHECKPOINT, _LOG, _LOCK = "result.json", "checkpoint.pt", "train.log", "lock"


def train_codec(
    training: TrainingRun, data: TrainingFeatures, runs: Path, *, report: EpochReport | None = None
) -> TrainedCodec:
    """Train, or continue an interrupted run from its checkpoint, or return a finished run.

    Parameters
    ----------
    training : settings of the run, and how its codec is trained
    data : training set
    runs : folder that holds a folder for each run
    report : called after every epoch

    Raises
    ------
    DatasetError
        If the data is too small to hold a validation KB, or not finite.
    ResultsError
        If the run's folder cannot be written, or holds a damaged checkpoint.
    """
    folder = runs / training.settings.key(data.content_key)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Two commands that need the same run share it: the second one waits and finds the run finished.
        with locked_file(folder / _LOCK):
            return _finished(folder) or _train(_Run(training, data, folder), report)
    except OSError as error:
        raise ResultsError(
            f"{folder}: the training run cannot be kept: {error.strerror}; choose another --runs-dir"
        ) from None


def _finished(folder: Path) -> TrainedCodec | None:
    with contextlib.suppress(FileNotFoundError, msgspec.MsgspecError):
        finished = msgspec.json.decode((folder / _RESULT).read_bytes(), type=TrainedCodec)
        return msgspec.structs.replace(finished, folder=str(folder))
    return None


def _train(run: _Run, report: EpochReport | None) -> TrainedCodec:
    with run.logging():
        while not run.is_finished:
            run.train_epoch()
            run.validate()
            run.save()
            if report is not None:
                report(run.epoch, run.training.epochs, run.accuracies[-1])
    return run.finish()


class _Run:
    """State of one training run between epochs: all of it is in the checkpoint."""

    def __init__(self, run: TrainingRun, data: TrainingFeatures, folder: Path) -> None:
        training = run.settings
        if len(data.features) < 10 * training.batch_size:
            raise DatasetError(f"{len(data.features)} images are too few: training needs {10 * training.batch_size}")
        if not np.isfinite(data.features).all():
            raise DatasetError("features to train on hold values that are not finite")
        self.training, self.config, self.source, self.folder = training, run.config, data.source, folder
        train, queries, kb = paper_train_split(len(data.features), training.seed)
        features, labels = torch.from_numpy(np.ascontiguousarray(data.features)), torch.from_numpy(data.labels)
        self.train_features = features[train]
        self.query_features, self.query_labels = features[queries], labels[queries]
        self.kb_features, self.kb_labels = features[kb], labels[kb]
        with torch.random.fork_rng():
            torch.manual_seed(training.seed)
            self.network = KbscNetwork(features.shape[1], parse_rate(str(training.num_symbols)).latent_dim)
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=training.learning_rate, fused=True)
        self.generator = torch.Generator().manual_seed(training.seed)
        self.epoch, self.best_epoch, self.accuracies = 0, -1, list[float]()
        self.best_state: dict[str, torch.Tensor] = {}
        self._resume()

    @property
    def is_finished(self) -> bool:
        """Whether the epochs or the patience are used up."""
        return self.epoch >= self.training.epochs or self.epoch - 1 - self.best_epoch >= self.training.patience

    def train_epoch(self) -> None:
        """One pass over the training features in a new order."""
        self.network.train()
        order = torch.randperm(len(self.train_features), generator=self.generator)
        # A last batch of one image would have no batch statistics.
        for rows in order.split(self.training.batch_size)[: len(order) // self.training.batch_size]:
            features = self.train_features[rows]
            query = self._transmit(features, self._draw_snr())
            loss = objective_loss(self.training.loss, query, features, self._draw_sample())
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
        self.epoch += 1
        self.log.info("epoch %d loss %.6g", self.epoch, loss.item())

    @torch.no_grad()
    def validate(self) -> None:
        """Semantic accuracy over the validation KB, each SNR for an equal share of the queries.

        SNRs are assigned and not drawn, so that no epoch is the best because of its SNRs.
        """
        self.network.eval()
        hits = 0
        shares = torch.arange(len(self.query_features)).tensor_split(len(self.training.snr_db))
        for snr_db, rows in zip(self.training.snr_db, shares, strict=True):
            query = self._transmit(self.query_features[rows], snr_db)
            with self._autocast():
                match = (query @ self.kb_features.T).argmax(dim=1)
            hits += int((self.kb_labels[match] == self.query_labels[rows]).sum())
        self.accuracies.append(hits / len(self.query_features))
        self.log.info("epoch %d validation accuracy %.4f", self.epoch, self.accuracies[-1])
        if self.best_epoch < 0 or self.accuracies[-1] > self.accuracies[self.best_epoch]:
            self.best_epoch = self.epoch - 1
            self.best_state = {name: value.clone() for name, value in self.network.state_dict().items()}

    def save(self) -> None:
        """Write the checkpoint as a whole."""
        state = {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(),
            "accuracies": self.accuracies,
            "best_epoch": self.best_epoch,
            "best_state": self.best_state,
        }
        # Through memory: torch reports a full disk as an error of its own kind, Python as an OSError.
        buffer = io.BytesIO()
        torch.save(state, buffer)
        with replaced_file(self.folder / _CHECKPOINT, durable=True) as temporary:
            temporary.write_bytes(buffer.getbuffer())

    def finish(self) -> TrainedCodec:
        """Export the best epoch, write the result, and remove the checkpoint."""
        self.network.load_state_dict(self.best_state)
        self.network.eval()
        trained = TrainedCodec(self.training, self.source, self.best_epoch, self.accuracies, str(self.folder))
        export_codec(self.network, trained.encoder_path, trained.decoder_path)
        write_json(self.folder / _RESULT, trained)
        (self.folder / _CHECKPOINT).unlink(missing_ok=True)
        return trained

    @contextlib.contextmanager
    def logging(self) -> Iterator[None]:
        """Append to the run's plain log while it trains."""
        self.log = logging.Logger(f"semlink.training.{self.folder.name}")
        handler = logging.FileHandler(self.folder / _LOG)
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
        self.log.addHandler(handler)
        try:
            yield
        finally:
            handler.close()

    def _resume(self) -> None:
        path = self.folder / _CHECKPOINT
        if not path.exists():
            return
        try:
            state = torch.load(path, weights_only=True)
        # torch reports a damaged file through zipfile's, pickle's and its own errors.
        except Exception as error:  # noqa: BLE001
            raise ResultsError(
                f"{path}: not a checkpoint ({type(error).__name__}); remove it to start the run again"
            ) from None
        try:
            self.network.load_state_dict(state["network"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.generator.set_state(state["generator"])
            self.accuracies, self.best_epoch = state["accuracies"], state["best_epoch"]
            self.best_state, self.epoch = state["best_state"], len(state["accuracies"])
        except (RuntimeError, ValueError, KeyError, TypeError):
            raise ResultsError(
                f"{path}: a checkpoint of another configuration; remove it to start the run again"
            ) from None

    def _draw_snr(self) -> float:
        choices = self.training.snr_db
        return choices[int(torch.randint(len(choices), (1,), generator=self.generator))]

    def _draw_sample(self) -> torch.Tensor:
        if self.training.loss == "mse":
            return self.train_features[:0]  # the loss uses no sample, so no random number is drawn
        return self.train_features[torch.randint(len(self.train_features), (SAMPLE_SIZE,), generator=self.generator)]

    def _autocast(self) -> torch.autocast:
        return torch.autocast("cpu", torch.bfloat16, enabled=self.training.precision == "bf16")

    def _transmit(self, features: torch.Tensor, snr_db: float) -> torch.Tensor:
        """features -> latent -> channel -> query; the channel always computes in fp32."""
        training, model = self.training, ChannelModel(self.training.channel)
        with self._autocast():
            latent = self.network.encoder(features).float()
        if self.config.uses_paper_channel:
            received = paper_channel(latent, model, snr_db=snr_db, generator=self.generator)
        else:
            received = honest_channel(
                latent, model, snr_db=snr_db, num_pilots=training.num_pilots, generator=self.generator
            )
        with self._autocast():
            query: torch.Tensor = self.network.decoder(received)
        return query.float()
