"""The error family: one base, one class for each party that can be at fault.

Every message is one line that names what was wrong, what was expected, what was received and,
where there is one, the fix. Any other exception that reaches a user is a bug in semlink.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

__all__ = [
    "ConfigError",
    "DatasetError",
    "DecodeError",
    "EngineError",
    "ImageError",
    "KnowledgeBaseError",
    "MissingDependencyError",
    "ModelSetError",
    "PackageConflictError",
    "ResultsError",
    "SemlinkError",
    "TransportError",
    "install_command",
    "packages_of",
]


class SemlinkError(Exception):
    """Base of everything that semlink raises on purpose; `exit_code` is the process's answer."""

    exit_code = 1


class ConfigError(SemlinkError):
    """An option, argument or configuration file is wrong: the caller's fault."""

    exit_code = 2


class MissingDependencyError(SemlinkError):
    """An optional package is not installed; the message holds the command that installs it."""

    exit_code = 3

    @classmethod
    def of(cls, package: str, *, extra: str, purpose: str) -> MissingDependencyError:
        """Name the missing package, what needs it and the extra that brings it."""
        return cls(f"{purpose} needs {package}; in semlink's folder run: {install_command(extra)}")


class PackageConflictError(SemlinkError, ImportError):
    """Another distribution has a package of the same name as one of ours in its place."""

    exit_code = 3


class DecodeError(SemlinkError):
    """The peer's bytes are bad. The only error that a receiver catches: count, log, drop."""

    exit_code = 4


class ImageError(SemlinkError):
    """A picture cannot be read; one among many is counted, named and skipped. Or a camera has failed."""

    exit_code = 4


class DatasetError(SemlinkError):
    """A dataset is incomplete or not what its checksum says."""

    exit_code = 4


class ModelSetError(SemlinkError):
    """A model set's files and its manifest disagree, or it lacks what was asked of it."""

    exit_code = 5


class EngineError(SemlinkError):
    """A model graph cannot be built or run, or was fed the wrong tensor."""

    exit_code = 5


class KnowledgeBaseError(SemlinkError):
    """A knowledge base is missing, damaged, or made with another encoder."""

    exit_code = 6


class TransportError(SemlinkError):
    """A socket cannot be bound or connected, or no peer answers."""

    exit_code = 7


class ResultsError(SemlinkError):
    """Results cannot be written; what was acknowledged before is safe on disk."""

    exit_code = 8


@contextmanager
def packages_of(extra: str, *, purpose: str, package: str | None = None) -> Iterator[None]:
    """Guard imports of an extra's packages, which may not be installed.

    Parameters
    ----------
    purpose : what needs them, for the message
    package : name for the message; that of the missing module if None

    Raises
    ------
    MissingDependencyError
        In place of an ImportError in the block.

    Examples
    --------
    >>> with packages_of("demo", purpose="a chart"):
    ...     import no_such_package
    Traceback (most recent call last):
    ...
    semlink.errors.MissingDependencyError: a chart needs no_such_package; in semlink's folder run: pip install ...
    """
    try:
        yield
    except ImportError as error:
        raise MissingDependencyError.of(package or str(error.name), extra=extra, purpose=purpose) from None


def install_command(extra: str) -> str:
    """Command that installs the packages of an extra from semlink's own folder; semlink is on no package index."""
    return f"pip install -c constraints.txt '.[{extra}]'"
