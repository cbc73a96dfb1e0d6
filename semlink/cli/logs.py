"""Set-up of logging: for people on a terminal, one event a line off it, JSON lines by option.

Three loggers have levels of their own. Those of semlink's packages follow `-v`; those of libraries stay at warnings
until `-vv`; notices and progress, which people expect without asking, are shown unless `-q`.
"""

from __future__ import annotations

import enum
import logging
import sys
from datetime import datetime, timezone
from typing import Any

import msgspec
from rich.console import Console
from rich.logging import RichHandler

from semlink.packages import PACKAGES

__all__ = ["NOTICES", "PROGRESS", "LogFormat", "configure_logging", "is_configured", "is_json", "is_quiet"]

NOTICES = "semlink.notices"
"""Logger of what a command announces: the address that it listens on, its summary."""
PROGRESS = "semlink.progress"
"""Logger of the lines that take the place of progress bars off a terminal."""

_PACKAGES = ("semlink", *PACKAGES)
_HANDLER = "semlink"


class LogFormat(str, enum.Enum):
    """How log lines are written off a terminal."""

    TEXT = "text"
    JSON = "json"


def configure_logging(*, verbosity: int = 0, quiet: bool = False, log_format: LogFormat = LogFormat.TEXT) -> None:
    """Write log records to stderr; a second call replaces the first.

    Parameters
    ----------
    verbosity : 0 for warnings; 1 for what semlink chooses and does; 2 for its details and what libraries say
    quiet : errors only: neither warnings, nor notices, nor progress
    log_format : text, which on a terminal is coloured and wrapped; or a JSON object a line
    """
    least = logging.ERROR if quiet else logging.WARNING
    levels = (logging.WARNING, logging.INFO, logging.DEBUG)
    root = logging.getLogger()
    root.setLevel(least if quiet or verbosity < 2 else logging.INFO)
    for package in _PACKAGES:
        logging.getLogger(package).setLevel(least if quiet else levels[min(verbosity, 2)])
    for name in (NOTICES, PROGRESS):
        logging.getLogger(name).setLevel(least if quiet else logging.INFO)
    for handler in [handler for handler in root.handlers if handler.name == _HANDLER]:
        root.removeHandler(handler)
    root.addHandler(_handler(log_format))
    # A warning of Python's spans two lines and names a file; as a record it is one event.
    logging.captureWarnings(True)


def is_configured() -> bool:
    """Whether `configure_logging` was called in this process."""
    return any(handler.name == _HANDLER for handler in logging.getLogger().handlers)


def is_json() -> bool:
    """Whether stderr has JSON lines and nothing else."""
    return any(isinstance(handler.formatter, _JsonFormatter) for handler in logging.getLogger().handlers)


def is_quiet() -> bool:
    """Whether the user wants errors only."""
    return logging.getLogger(NOTICES).level > logging.INFO


def _handler(log_format: LogFormat) -> logging.Handler:
    handler: logging.Handler
    if log_format is LogFormat.JSON:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(_JsonFormatter())
    elif (console := Console(stderr=True)).is_terminal:
        handler = RichHandler(console=console, show_path=False, show_time=False)
        handler.setFormatter(logging.Formatter("%(message)s"))
    else:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(_LineFormatter())
    handler.set_name(_HANDLER)
    return handler


def _iso_time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds")


class _LineFormatter(logging.Formatter):
    """Time in ISO 8601, level and message in one line, whatever the message holds."""

    def format(self, record: logging.LogRecord) -> str:
        text = record.getMessage()
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        return f"{_iso_time(record)} {record.levelname} " + text.strip().replace("\n", "\\n")


class _JsonFormatter(logging.Formatter):
    """A JSON object a record: time, level, logger, message, the fields that the caller gave, and a traceback."""

    def format(self, record: logging.LogRecord) -> str:
        event: dict[str, Any] = {
            "time": _iso_time(record),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage().strip(),
        }
        if fields := getattr(record, "fields", None):
            event["fields"] = fields
        if record.exc_info:
            event["traceback"] = self.formatException(record.exc_info)
        return msgspec.json.encode(event, enc_hook=str).decode()
