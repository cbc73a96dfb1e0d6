"""Base class of objects that hold files or devices open, for use in a with statement."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType

from typing_extensions import Self

__all__ = ["Closing"]


class Closing(ABC):
    """An object that is closed at the end of its with statement."""

    @abstractmethod
    def close(self) -> None:
        """Close the files and devices that this object holds."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
