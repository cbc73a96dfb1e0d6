"""Settings of a demonstration, and the runs that follow from them."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from engines.models.codecs import PerRateCodec
from engines.models.knowledge_base_codebook import ADAPTED
from engines.models.model_set import ModelSet
from semlink.rates import RATES, Rate
from semlink.report import Setting

__all__ = ["DEFAULT_DATASETS", "DEFAULT_LIMIT", "DemoConfig", "LinkSettings"]

DEFAULT_DATASETS = ("photos", "digits")
"""One to look at, one for the figures."""
DEFAULT_LIMIT = 200
"""Images of each dataset that `semlink demo` sends, so that it takes less than a minute."""
_MADE_BY_THE_KB = (ADAPTED,)
"""Codecs that are in no model set."""


@dataclass(frozen=True, kw_only=True)
class LinkSettings:
    """Settings of one run of the three processes.

    Attributes
    ----------
    model_set : name of a built-in model set, or folder
    codec, rate : `adapted` or a codec of the model set, and complex symbols for each image
    channel, snr_db : name of a channel model, and Es/N0 [dB]
    num_pilots : pilots in front of each image
    seed : of noise and gains
    """

    model_set: str
    codec: str
    rate: Rate
    channel: str
    snr_db: float
    num_pilots: int
    seed: int

    def __str__(self) -> str:
        return f"{self.codec}, {self.rate.num_symbols} symbols, {self.snr_db:g} dB"

    @property
    def needs_codebook(self) -> bool:
        """Whether the transmitter needs the codebook of the knowledge base."""
        return self.codec in _MADE_BY_THE_KB


@dataclass(frozen=True, kw_only=True)
class DemoConfig:
    """What to demonstrate. The first codec and rate are those of the pictures in the report.

    Attributes
    ----------
    datasets : names or folders
    model_set : name of a built-in model set, or folder
    codecs : names of codecs, each of which must have every rate; empty for `adapted` and the model set's networks for
        single rates, such as `kbsc`
    rates : complex symbols for each image
    snr_db : Es/N0 [dB]
    channel : name of a channel model
    num_pilots : pilots in front of each image
    limit : largest number of images to send of each dataset; None sends all
    categories : whose first images the page shows; of a dataset that has none of them, images at even distances
    seed : of views, noise and gains
    """

    datasets: tuple[str, ...] = DEFAULT_DATASETS
    model_set: str = "builtin"
    codecs: tuple[str, ...] = ()
    rates: tuple[Rate, ...]
    snr_db: tuple[float, ...] = (-7.0, 0.0, 10.0)
    channel: str = "awgn"
    num_pilots: int = 0
    limit: int | None = None
    categories: tuple[str, ...] = ()
    seed: int = 0

    def runs(self, models: ModelSet) -> tuple[LinkSettings, ...]:
        """Settings of every run of a dataset.

        Raises
        ------
        ConfigError
            If the model set lacks a codec.
        ModelSetError
            If a named codec lacks a rate.
        """
        for codec in self.codecs:
            if codec not in _MADE_BY_THE_KB:
                for rate in self.rates:
                    models.codec(codec).fingerprint(rate)  # raises if the codec lacks the rate
        every = itertools.product(self._codecs(models), self.rates, self.snr_db)
        return tuple(
            LinkSettings(
                model_set=self.model_set,
                codec=codec,
                rate=rate,
                channel=self.channel,
                snr_db=snr_db,
                num_pilots=self.num_pilots,
                seed=self.seed,
            )
            for codec, rate, snr_db in every
            if rate in _rates(codec, models)
        )

    def settings(self) -> dict[str, Setting]:
        """All fields by name, as a report has them."""
        fields = {name: getattr(self, name) for name in ("model_set", "channel", "num_pilots", "limit", "seed")}
        lists = {
            "datasets": [*self.datasets],
            "codecs": [*self.codecs],
            "categories": [*self.categories],
            "rates": [rate.num_symbols for rate in self.rates],
            "snr_db": [*self.snr_db],
        }
        return {**lists, **fields}

    def left_out(self, models: ModelSet) -> dict[str, tuple[Rate, ...]]:
        """By name of a codec, the rates at which it is left out because the model set does not have them."""
        missing = {
            codec: tuple(rate for rate in self.rates if rate not in _rates(codec, models))
            for codec in self._codecs(models)
        }
        return {codec: rates for codec, rates in missing.items() if rates}

    def _codecs(self, models: ModelSet) -> tuple[str, ...]:
        if self.codecs:
            return self.codecs
        per_rate = (codec.name for codec in models.codecs if isinstance(codec, PerRateCodec))
        return (*_MADE_BY_THE_KB, *per_rate)


def _rates(codec: str, models: ModelSet) -> tuple[Rate, ...]:
    return RATES if codec in _MADE_BY_THE_KB else models.codec(codec).rates
