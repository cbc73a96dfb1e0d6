"""What a codec is to training and evaluation: `CodecSpec`, one for each row of `trainer.codecs.table`.

A spec holds facts and two references: `fit`, which makes models from a training set, and `links`, which makes links
from models. References may be import strings, so that the table is read without torch. A package of your own adds a
codec with an entry point of the group `semlink.codecs` whose value is a `CodecSpec`.
"""

from __future__ import annotations

import enum
import itertools
import pkgutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar, get_args

from semlink.errors import ConfigError
from semlink.rates import Rate
from trainer.codecs.packages import missing_module, require_modules

if TYPE_CHECKING:
    from trainer.codecs.fitting import FittingContext
    from trainer.links.base import LinkInputs, MakeLink

__all__ = [
    "Axis",
    "CodecCase",
    "CodecSpec",
    "Fit",
    "FitKey",
    "FitSetting",
    "FittedModel",
    "MakeLinks",
    "Need",
    "SizePx",
    "TrainingCase",
]

Axis: TypeAlias = Literal["rate", "seed", "channel"]
"""Axis of a grid along which a codec's models differ; "channel" is the channel of training."""
FitSetting: TypeAlias = Literal["epochs", "objective", "projection_loss"]
"""Setting of `FittingContext` that is for some codecs only."""
ConfigT = TypeVar("ConfigT")
SizePx: TypeAlias = tuple[int, int]
"""Height and width of a picture [px]."""


class Need(str, enum.Enum):
    """What a codec needs besides the images to send and a knowledge base at the receiver."""

    TRAINING_SET = "training set"
    LABELS = "labels"
    """Of the training set, or of a model's categories."""
    PICTURES = "pictures"
    """The images themselves, not only their features."""
    KNOWLEDGE_BASE = "KB at transmitter"
    CODEBOOK = "KB's codebook at transmitter"
    REPORTS = "receiver reports"


@dataclass(frozen=True)
class CodecCase:
    """Rate, channel and data of some cells of a grid; names are those that commands take.

    Attributes
    ----------
    csi : "none", "pilots", "genie" or "published"
    constellation : points to which symbols are rounded; None if they are not
    feature_dim : reals of the image encoder's features; None before the encoder is loaded
    num_entries : size of the knowledge base; None before it is opened
    is_fast_fading : whether every symbol has a gain of its own, which only a genie knows
    image_sizes_px : sizes of the images to send; None before they are opened, and if the codec needs no pictures
    """

    rate: Rate
    channel: str
    csi: str
    constellation: str | None
    feature_dim: int | None = None
    num_entries: int | None = None
    is_fast_fading: bool = False
    image_sizes_px: frozenset[SizePx] | None = None


@dataclass(frozen=True)
class TrainingCase:
    """A training set, before its images are encoded.

    Attributes
    ----------
    num_categories : number of different labels
    image_sizes_px : sizes of the images; None if the codec needs no pictures
    """

    num_images: int
    num_categories: int
    image_sizes_px: frozenset[SizePx] | None = None


@dataclass(frozen=True)
class FitKey:
    """One model to fit: its codec, and its values on the axes along which the codec's models differ.

    Values on other axes are those of the class: None, and 0 for the seed.

    Attributes
    ----------
    config : the codec's `fit_config`; it follows from the codec, so keys are not compared by it
    """

    codec: str
    rate: Rate | None = None
    seed: int = 0
    channel: str | None = None
    config: object = field(default=None, compare=False, repr=False)

    @property
    def num_symbols(self) -> int:
        """Complex symbols for each image; ConfigError if the codec's models do not differ by rate."""
        if self.rate is None:
            raise ConfigError(f'codec {self.codec} is fitted for a rate, so its fitted_for must name "rate"')
        return self.rate.num_symbols

    def config_of(self, kind: type[ConfigT]) -> ConfigT:
        """The codec's `fit_config`; ConfigError if it is not of the kind that its fit needs."""
        if not isinstance(self.config, kind):
            raise ConfigError(f"codec {self.codec}: its fit needs fit_config={kind.__name__}(...), got {self.config!r}")
        return self.config


@dataclass(frozen=True, eq=False)
class FittedModel:
    """A model and its origin.

    Attributes
    ----------
    model : whatever the codec's `links` takes; None if the codec has no model
    trained_on : data and settings, for a report
    key : changes whenever the model does
    """

    model: Any
    trained_on: str
    key: str


Fit: TypeAlias = "Callable[[Sequence[FitKey], FittingContext], Mapping[FitKey, FittedModel]]"
"""A function that fits a model for each key."""
MakeLinks: TypeAlias = "Callable[[LinkInputs], MakeLink]"
"""A function that gives, for an evaluation's images, the function that makes a link from a model."""


def _refuses_nothing(case: CodecCase | TrainingCase) -> str | None:
    return None


@dataclass(frozen=True, kw_only=True)
class CodecSpec:
    """Everything that training, evaluation and plots know of a codec.

    Attributes
    ----------
    name : as `--codec` takes it
    summary : one line for `semlink codecs list`
    links : see `MakeLinks`, or "module:function"
    fit : see `Fit`, or "module:function"; None if nothing is fitted. Codecs with the same `fit` are fitted in one
        call.
    fit_config : what distinguishes the codec from others with the same `fit`, which finds it in every `FitKey`, such
        as a `trainer.codecs.config.KbscConfig`; None if there is nothing. Training runs are kept by the codec's name,
        so another value needs another name
    fitted_for : axes along which the fitted models differ
    fit_settings : those that `fit` uses; all by default
    needs : see `Need`
    model_of : name of the codec whose model this one uses; None for its own
    is_trainable : whether `semlink train codec` can write its model into a model set; a set holds two kinds, a
        `NestedModel`, and a `TrainedCodec` for each rate (`trainer.codecs.model_set.save_codec`)
    weighs_noise : whether the receiver needs the noise variance, and so two pilots or more under fading
    uses_paper_channel : whether it runs on the channel of arXiv 2504.01053 as published
    is_seeded : whether a seed makes another link; False if it draws noise and gains only
    runs_alone : whether its links are measured one at a time, because each uses all cores itself
    sends : the message, if there is one, whose finite-blocklength bound a plot shows
    modules : optional Python modules that its links import
    fit_modules : optional Python modules that fitting imports besides
    refusal : the reason why the codec cannot run a case, or None if it can
    fit_refusal : the reason why `fit` cannot use a training set, or None if it can
    line_style : of its curve, as matplotlib takes it
    """

    name: str
    summary: str
    links: str | MakeLinks = field(repr=False)
    fit: str | Fit | None = field(default=None, repr=False)
    fit_config: object = field(default=None, repr=False)
    fitted_for: tuple[Axis, ...] = ("seed",)
    fit_settings: tuple[FitSetting, ...] = get_args(FitSetting)
    needs: tuple[Need, ...] = ()
    model_of: str | None = None
    is_trainable: bool = False
    weighs_noise: bool = True
    uses_paper_channel: bool = False
    is_seeded: bool = True
    runs_alone: bool = False
    sends: Literal["entry", "category"] | None = None
    modules: tuple[str, ...] = ()
    fit_modules: tuple[str, ...] = ()
    refusal: Callable[[CodecCase], str | None] = field(default=_refuses_nothing, repr=False)
    fit_refusal: Callable[[TrainingCase], str | None] = field(default=_refuses_nothing, repr=False)
    line_style: str = field(default="o-", repr=False)

    def __post_init__(self) -> None:
        if self.fit is not None and self.model_of is not None:
            raise ConfigError(f"codec {self.name} uses the model of {self.model_of}, so it has no fit of its own")
        if self.fit is not None and not self.is_seeded and "seed" in self.fitted_for:
            raise ConfigError(
                f"codec {self.name} has is_seeded=False, so that one model serves all seeds; fitted_for must not name"
                ' "seed"'
            )

    def load_links(self) -> MakeLinks:
        """Import the function that makes the links; MissingDependencyError if a package is missing."""
        require_modules(self.modules, self.name)
        links: MakeLinks = self._load(self.links)
        return links

    def load_fit(self) -> Fit:
        """Import the function that fits the models; MissingDependencyError if a package is missing."""
        if self.fit is None:
            raise ConfigError(f"codec {self.name} has nothing to fit")
        require_modules((*self.modules, *self.fit_modules), self.name)
        fit: Fit = self._load(self.fit)
        return fit

    def fit_key(self, rate: Rate, seed: int, channel: str) -> FitKey:
        """Name the model that serves a rate, a seed and a channel of training."""
        return FitKey(
            self.name,
            rate if "rate" in self.fitted_for else None,
            seed if "seed" in self.fitted_for else 0,
            channel if "channel" in self.fitted_for else None,
            config=self.fit_config,
        )

    def fit_keys(self, rates: Iterable[Rate], seeds: Iterable[int], channels: Iterable[str]) -> list[FitKey]:
        """Name every model that a grid needs, each once."""
        cells = itertools.product(channels, rates, seeds)
        return list(dict.fromkeys(self.fit_key(rate, seed, channel) for channel, rate, seed in cells))

    def _load(self, reference: str | Callable[..., Any]) -> Any:
        if callable(reference):
            return reference
        try:
            return pkgutil.resolve_name(reference)
        except ImportError as error:
            raise missing_module(str(error.name), f"codec {self.name}") from None
        except AttributeError as error:
            raise ConfigError(f"codec {self.name}: {reference} does not exist: {error}") from None
