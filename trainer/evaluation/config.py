"""Settings of an evaluation, as a library call or a command gives them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal, TypeAlias

from semlink.channel import ChannelModel, default_num_pilots
from semlink.channel_registry import find_channel
from semlink.constellation import Constellation
from semlink.errors import ConfigError
from semlink.rates import parse_rate
from semlink.report import Setting
from trainer.codecs.config import Precision, TrainingChannel
from trainer.codecs.spec import CodecSpec
from trainer.codecs.table import find_codec
from trainer.encoders.registry import EncoderSource
from trainer.evaluation.grid import Grid
from trainer.links.conditions import Csi

__all__ = ["EvaluationConfig", "Weights"]

Weights: TypeAlias = Literal["auto", "trained", "model-set"]


@dataclass(frozen=True, kw_only=True)
class EvaluationConfig:
    """What to evaluate, on which images, and with which models.

    Attributes
    ----------
    data : dataset: "digits", "photos", "cifar100", or a folder
    codecs : names of `trainer.codecs.table`, or specs of your own
    rates : complex symbols for each image, or CBRs such as "1/48"
    snr_db : Es/N0 [dB]
    channels : names of channel models
    num_seeds : seeds 0, 1, 2 ...
    limit : largest number of images to send, evenly spread over the dataset; None sends all
    train_data : dataset to train codecs on; `data` if None
    training_channel : channel on which `kbsc` is trained; None for the one that suits each channel
    weights : "trained" trains codecs for each seed; "model-set" uses the model set's codecs; "auto" is "trained" on
        cifar100 and "model-set" on any other dataset
    model_set : name of a built-in model set or folder; its image encoder is used unless `encoder` is given
    encoder : image encoder in place of the model set's: a name of `trainer.encoders.registry`, or a source of your own;
        the model set's codecs are for its own encoder, so that codecs are trained
    num_pilots : pilots in front of an image under block fading
    csi : channel state information under block fading: "pilots", "genie" or "none"
    constellation : points to which the transmitter rounds its symbols; None sends any complex value
    epochs : largest number of epochs of a training run of `kbsc`
    precision : arithmetic of matrix products in training
    num_jobs : training runs and links at the same time
    runs_dir : folder of training runs; the cache if None
    """

    data: str = "digits"
    codecs: Sequence[str | CodecSpec] = ("nested",)
    rates: Sequence[str | int] = (64,)
    snr_db: Sequence[float] = (-7.0, 0.0, 10.0)
    channels: Sequence[str] = (ChannelModel.AWGN.value,)
    num_seeds: int = 3
    limit: int | None = None
    train_data: str | None = None
    training_channel: TrainingChannel | None = None
    weights: Weights = "auto"
    model_set: str = "builtin"
    encoder: str | EncoderSource | None = None
    num_pilots: int = default_num_pilots(ChannelModel.RAYLEIGH)
    csi: str = Csi.PILOTS.value
    constellation: str | None = None
    epochs: int = 60
    precision: Precision = "bf16"
    num_jobs: int = 1
    runs_dir: Path | None = None

    def settings(self) -> dict[str, Setting]:
        """Every option that a figure can depend on, by name, for a report."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        values["codecs"] = [codec if isinstance(codec, str) else codec.name for codec in self.codecs]
        values["encoder"] = self.encoder if isinstance(self.encoder, str | None) else self.encoder.name
        return {
            name: list(value) if isinstance(value, (list, tuple)) else value
            for name, value in values.items()
            if name not in ("num_jobs", "runs_dir")
        }

    def grid(self) -> Grid:
        """Look up every name; ConfigError if one is unknown, or a list is empty."""
        axes = {
            "codec": self.codecs,
            "rate": self.rates,
            "channel": self.channels,
            "SNR": self.snr_db,
            "seed": range(self.num_seeds),
        }
        for name, values in axes.items():
            if not values:
                raise ConfigError(f"an evaluation needs at least one {name}")
        return Grid(
            codecs=tuple(dict.fromkeys(_spec(codec) for codec in self.codecs)),
            rates=tuple(dict.fromkeys(parse_rate(str(rate)) for rate in self.rates)),
            channels=tuple(dict.fromkeys(find_channel(name) for name in self.channels)),
            snr_db=tuple(dict.fromkeys(self.snr_db)),
            seeds=tuple(range(self.num_seeds)),
            num_pilots=self.num_pilots,
            csi=Csi(self.csi),
            training_channel=self.training_channel,
            constellation=None if self.constellation is None else Constellation(self.constellation),
        )


def _spec(codec: str | CodecSpec) -> CodecSpec:
    return find_codec(codec) if isinstance(codec, str) else codec
