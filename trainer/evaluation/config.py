"""Settings of an evaluation, as a library call or a command gives them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from edge_rx.decoders.options import Answer
from semlink.channel import AnyChannel, ChannelModel, CustomChannel, default_num_pilots
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
    data : dataset: "digits", "photos", "cifar100", a folder, or the name of a folder in $SEMLINK_DATA
    codecs : names of `trainer.codecs.table`, or specs of your own
    rates : complex symbols for each image, or CBRs such as "1/48"
    snr_db : Es/N0 [dB]
    channels : names of channel models, or models of your own
    num_seeds : seeds 0, 1, 2 ...
    limit : largest number of images to send, evenly spread over the dataset; None sends all
    train_data : dataset to train codecs on; `data` if None
    training_channel : channel on which `kbsc` is trained; None for the one that suits each channel
    weights : "trained" trains codecs for each seed; "model-set" uses the model set's codecs; "auto" is "trained" on
        cifar100 and "model-set" on any other dataset
    model_set : name of a built-in model set or folder; its image encoder is used unless `encoder` is given
    encoder : image encoder in place of the model set's: a name of `trainer.encoders.registry`, or a source of your own;
        the model set's codecs are for its own encoder, so that codecs are trained
    num_pilots : pilots in front of an image under block fading, at least 1; `csi` "none" uses none of them
    csi : channel state information under block fading: "pilots", "genie" or "none"
    answer : what receivers answer with: "label" for an entry of the most probable label, "nearest" for the nearest
        entry; None for what each codec was published with, the label for `adapted` and the nearest entry for the others
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
    channels: Sequence[str | AnyChannel] = (ChannelModel.AWGN.value,)
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
    answer: Answer | None = None
    epochs: int = 60
    precision: Precision = "bf16"
    num_jobs: int = 1
    runs_dir: Path | None = None

    def __post_init__(self) -> None:
        for name in ("num_seeds", "num_pilots", "epochs", "num_jobs"):
            _require_positive(name, getattr(self, name))
        if self.limit is not None:
            _require_positive("limit", self.limit)
        choices = {
            "weights": (self.weights, get_args(Weights)),
            "csi": (self.csi, [csi.value for csi in Csi if csi is not Csi.PUBLISHED]),
            "constellation": (self.constellation, [None, *(points.value for points in Constellation)]),
            "answer": (self.answer, [None, *get_args(Answer)]),
            "training_channel": (self.training_channel, [None, *get_args(TrainingChannel)]),
            "precision": (self.precision, get_args(Precision)),
        }
        for name, (value, known) in choices.items():
            if value not in known:
                raise ConfigError(f"{name} must be one of {', '.join(map(str, known))}, got {value!r}")

    def settings(self) -> dict[str, Setting]:
        """Every option that a figure can depend on, by name, for a report."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        values["codecs"] = [codec if isinstance(codec, str) else codec.name for codec in self.codecs]
        values["channels"] = [_channel(channel).value for channel in self.channels]
        values["encoder"] = self.encoder if isinstance(self.encoder, str | None) else self.encoder.name
        return {
            name: list(value) if isinstance(value, (list, tuple)) else value
            for name, value in values.items()
            if name not in ("num_jobs", "runs_dir")
        }

    def grid(self) -> Grid:
        """Look up every name; ConfigError if one is unknown, a list is empty, or two objects have one name."""
        axes = {"codec": self.codecs, "rate": self.rates, "channel": self.channels, "SNR": self.snr_db}
        for axis, values in axes.items():
            if not values:
                raise ConfigError(f"an evaluation needs at least one {axis}")
        codecs = tuple(dict.fromkeys(_spec(codec) for codec in self.codecs))
        channels = tuple(dict.fromkeys(_channel(channel) for channel in self.channels))
        _require_unique("codec", [codec.name for codec in codecs])
        _require_unique("channel", [channel.value for channel in channels])
        return Grid(
            codecs=codecs,
            rates=tuple(dict.fromkeys(parse_rate(str(rate)) for rate in self.rates)),
            channels=channels,
            snr_db=tuple(dict.fromkeys(self.snr_db)),
            seeds=tuple(range(self.num_seeds)),
            num_pilots=self.num_pilots,
            csi=Csi(self.csi),
            training_channel=self.training_channel,
            constellation=None if self.constellation is None else Constellation(self.constellation),
        )


def _spec(codec: str | CodecSpec) -> CodecSpec:
    return find_codec(codec) if isinstance(codec, str) else codec


def _channel(channel: str | AnyChannel) -> AnyChannel:
    return channel if isinstance(channel, ChannelModel | CustomChannel) else find_channel(channel)


def _require_positive(name: str, value: int) -> None:
    if value < 1:
        raise ConfigError(f"{name} must be at least 1, got {value}")


def _require_unique(kind: str, names: Sequence[str]) -> None:
    """ConfigError if a name is repeated: records are kept by name."""
    for name, count in Counter(names).items():
        if count > 1:
            raise ConfigError(f'{count} {kind}s of an evaluation have the name "{name}"; give each a name of its own')
