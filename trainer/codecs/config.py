"""What distinguishes codecs that share a `fit`, and settings and result of a training run of `kbsc`'s network.

An entry of the table of codecs has a `KbscConfig`, `LabelsConfig` or `QuantizerConfig` as its `fit_config`, so that no
module decides by a codec's name.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import msgspec

from semlink.errors import ConfigError
from semlink.rates import Rate, parse_rate

__all__ = [
    "CodecTraining",
    "KbscConfig",
    "LabelsConfig",
    "Objective",
    "Precision",
    "ProjectionLoss",
    "QuantizerConfig",
    "TrainedCodec",
    "TrainingChannel",
    "TrainingRun",
]

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


@dataclass(frozen=True)
class KbscConfig:
    """How a codec trains `kbsc`'s network.

    Attributes
    ----------
    uses_paper_channel : whether its halves are trained over the channel of arXiv 2504.01053 as published, whose
        receiver knows the gains and needs no pilots
    objectives : losses by which it may be trained
    """

    uses_paper_channel: bool = False
    objectives: tuple[Objective, ...] = get_args(Objective)

    def needs_pilots(self, channel: str) -> bool:
        """Whether the receiver estimates gains of this channel."""
        return channel == "rayleigh" and not self.uses_paper_channel


@dataclass(frozen=True)
class LabelsConfig:
    """What a nested code of projected features sends.

    Attributes
    ----------
    label_alone : whether the category's codeword has all of the power, whatever the image's features
    """

    label_alone: bool = False


@dataclass(frozen=True)
class QuantizerConfig:
    """Size of a vector quantizer.

    Attributes
    ----------
    num_cells : cells of each stage, at most
    num_stages : stages, at most
    is_product : whether each stage quantizes its own part of the dimensions, or the error of the stages before it
    """

    num_cells: int
    num_stages: int
    is_product: bool = False


class CodecTraining(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Settings of a training run as it is stored: with its codec's `KbscConfig`, they decide the result on a machine.

    Attributes
    ----------
    codec : name, a part of the run's key and nothing else
    snr_db : values of Es/N0, of which each batch draws one uniformly [dB]
    num_pilots : pilots from which the receiver estimates a fading gain (`kbsc` under Rayleigh)
    patience : epochs without a better validation accuracy after which the run ends
    precision : arithmetic of the matrix products; "bf16" is three times as fast on CPUs that have it, with weights,
        optimizer and losses in fp32
    loss : what is preserved of the features, see `trainer.codecs.objectives`
    """

    codec: str
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

    def key(self, content_key: str) -> str:
        """Name of the run's folder: readable, and unique for these values, this version of the code and this data."""
        values = msgspec.structs.asdict(self)
        if self.loss == "mse":
            del values["loss"]  # absent from keys before there was a choice; runs from then remain valid
        parts = (msgspec.json.encode(values), content_key.encode(), str(FIT_VERSION).encode())
        digest = hashlib.sha256(b"\n".join(parts)).hexdigest()[:10]
        return f"{self.codec}-{self.num_symbols}-{self.channel}-seed{self.seed}-{digest}"


@dataclass(frozen=True)
class TrainingRun:
    """Settings of a run, and what its codec's entry in the table says of the training.

    Raises
    ------
    ConfigError
        If the codec cannot be trained with these settings.
    """

    settings: CodecTraining
    config: KbscConfig

    def __post_init__(self) -> None:
        settings, config = self.settings, self.config
        if settings.loss not in config.objectives:
            raise ConfigError(f"{settings.codec} is trained by {', '.join(config.objectives)}, not by {settings.loss}")
        if config.needs_pilots(settings.channel) and settings.num_pilots < 1:
            raise ConfigError("a receiver needs pilots to estimate a Rayleigh gain; set num_pilots to 1 or more")


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
