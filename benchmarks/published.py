"""Where the committed report of a measurement, and its figure in the docs, stand."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

__all__ = ["Published"]


@dataclass(frozen=True)
class Published:
    """A measurement by its name, which its files have behind the prefix of their kind."""

    prefix: ClassVar[str]

    name: str

    @property
    def path(self) -> Path:
        """The committed report, in the checkout."""
        return Path("benchmarks", "results", f"{self.prefix}-{self.name}.json")

    @property
    def figure(self) -> Path:
        """The figure, in the checkout."""
        return Path("docs", f"{self.prefix}-{self.name}.png")
