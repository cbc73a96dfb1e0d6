"""What a training run of the `kbsc` family depends on, and what comes of it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal

import msgspec

from semlink.errors import ConfigError
from semlink.rates import Rate, parse_rate
from trainer.codecs.objectives import Objective

__all__ = ["FIT_VERSION", "CodecName", "CodecTraining", "TrainedCodec"]

CodecName = Literal["kbsc", "kbsc-reference"]

FIT_VERSION = 1
"""Raise it with every change of the training that changes what is learnt, so that no old run stands for a new one."""


class CodecTraining(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One training run, complete: the same values give the same codec on one machine.

    Attributes
    ----------
    snr_db : drawn from uniformly, once a batch [dB]
    num_pilots : what the receiver estimates a fading gain from (`kbsc` under Rayleigh)
    patience : epochs without a better validation accuracy that end the run
    precision : arithmetic of the matrix products; "bf16" is three times as fast where the CPU has
        it, with weights, optimiser and losses in fp32
    loss : what of the features is to be kept, see `trainer.codecs.objectives`
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
    precision: Literal["bf16", "fp32"] = "bf16"
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
            raise ConfigError(
                "an honest receiver cannot undo a Rayleigh gain without pilots; set num_pilots to 1 or more"
            )

    def key(self, content_key: str) -> str:
        """Name of the run's folder: readable, and unique for these values, this recipe and this data."""
        values = msgspec.structs.asdict(self)
        if self.loss == "mse":
            del values["loss"]  # as before there was a choice, so that what was trained then still stands
        parts = (msgspec.json.encode(values), content_key.encode(), str(FIT_VERSION).encode())
        digest = hashlib.sha256(b"\n".join(parts)).hexdigest()[:10]
        return f"{self.codec}-{self.num_symbols}-{self.channel}-seed{self.seed}-{digest}"


class TrainedCodec(msgspec.Struct, frozen=True):
    """Result of a finished run, as result.json holds it; the graphs lie beside it in `folder`."""

    training: CodecTraining
    source: str
    best_epoch: int
    validation_accuracy: list[float]
    folder: str

    @property
    def rate(self) -> Rate:
        """Symbols of an image."""
        return parse_rate(str(self.training.num_symbols))

    @property
    def encoder_path(self) -> Path:
        """features -> latent."""
        return Path(self.folder) / "codec.encoder.onnx"

    @property
    def decoder_path(self) -> Path:
        """received latent -> query."""
        return Path(self.folder) / "codec.decoder.onnx"
