"""Settings of a training run of `kbsc` or `kbsc-reference`, and the result of a finished one."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal

import msgspec

from semlink.errors import ConfigError
from semlink.rates import Rate, parse_rate

__all__ = [
    "CodecName",
    "CodecTraining",
    "Objective",
    "Precision",
    "ProjectionLoss",
    "TrainedCodec",
    "TrainingChannel",
]

CodecName = Literal["kbsc", "kbsc-reference"]
Objective = Literal["mse", "similarity", "both"]
"""Training losses of `kbsc`, see `trainer.codecs.objectives`."""
Precision = Literal["bf16", "fp32"]
"""Arithmetic of matrix products in training."""
ProjectionLoss = Literal["proxy", "contrastive"]
"""Losses of a projection head, see `trainer.codecs.projection_head`."""
TrainingChannel = Literal["awgn", "rayleigh"]
"""Channels on which commands train `kbsc`."""

FIT_VERSION = 1
"""Raise it with every change of the training that changes its result, so that earlier runs are not used."""


class CodecTraining(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All settings of one training run: the same values give the same codec on one machine.

    Attributes
    ----------
    snr_db : values of Es/N0, of which each batch draws one uniformly [dB]
    num_pilots : pilots from which the receiver estimates a fading gain (`kbsc` under Rayleigh)
    patience : epochs without a better validation accuracy after which the run ends
    precision : arithmetic of the matrix products; "bf16" is three times as fast on CPUs that have it, with weights,
        optimizer and losses in fp32
    loss : what is preserved of the features, see `trainer.codecs.objectives`
    """

    codec: CodecName
    num_symbols: int
    channel: Literal["ideal", "awgn", "rayleigh"] = "awgn"
    seed: int = 0
    snr_db: tuple[float, ...] = (-7.0, -4.0, 0.0, 4.0, 7.0, 10.0)
    num_pilots: int = 0
    epochs: int = 60
    patience: int = 20
    batch_size: int = 128
    learning_rate: float = 1e-4
    precision: Precision = "bf16"
    loss: Objective = "mse"

    def __post_init__(self) -> None:
        if min(self.epochs, self.patience) < 1 or self.batch_size < 2 or self.learning_rate <= 0 or not self.snr_db:
            raise ConfigError(
                "epochs and patience must be at least 1, batch_size at least 2, learning_rate positive and snr_db"
                f" not empty, got {self.epochs}, {self.patience}, {self.batch_size}, {self.learning_rate},"
                f" {self.snr_db}"
            )
        if self.codec == "kbsc-reference" and self.loss != "mse":
            raise ConfigError(f"kbsc-reference is trained as published, by mse; got {self.loss}")
        if self.codec == "kbsc" and self.channel == "rayleigh" and self.num_pilots < 1:
            raise ConfigError("a receiver needs pilots to estimate a Rayleigh gain; set num_pilots to 1 or more")

    def key(self, content_key: str) -> str:
        """Name of the run's folder: readable, and unique for these values, this version of the code and this data."""
        values = msgspec.structs.asdict(self)
        if self.loss == "mse":
            del values["loss"]  # absent from keys before there was a choice; runs from then remain valid
        parts = (msgspec.json.encode(values), content_key.encode(), str(FIT_VERSION).encode())
        digest = hashlib.sha256(b"\n".join(parts)).hexdigest()[:10]
        return f"{self.codec}-{self.num_symbols}-{self.channel}-seed{self.seed}-{digest}"


class TrainedCodec(msgspec.Struct, frozen=True):
    """Result of a finished run, as result.json holds it; the graphs are beside it in `folder`."""

    training: CodecTraining
    source: str
    best_epoch: int
    validation_accuracy: list[float]
    folder: str

    @property
    def rate(self) -> Rate:
        """Complex symbols for each image."""
        return parse_rate(str(self.training.num_symbols))

    @property
    def encoder_path(self) -> Path:
        """Graph from features to latent."""
        return Path(self.folder) / "codec.encoder.onnx"

    @property
    def decoder_path(self) -> Path:
        """Graph from received latent to query."""
        return Path(self.folder) / "codec.decoder.onnx"
