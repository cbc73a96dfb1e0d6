"""How a report was made, as pairs of a name and a text; only what is known."""

from __future__ import annotations

import re
from collections.abc import Iterator

from benchmarks.report.page import number
from semlink.machine import MachineState
from semlink.report import Report, Scalar, Setting

__all__ = ["commit_text", "header_facts", "label", "setting_text", "value_text"]

_FOLDERS = re.compile(r"(?<![\w.])/(?:[^/\s'\"]+/)+(?=[^/\s])")
"""Folders before the name of a file, in a command line with absolute paths."""
_UNITS = {"db": "[dB]", "mb": "[MB]", "ms": "[ms]", "px": "[px]"}


def header_facts(report: Report) -> Iterator[tuple[str, str]]:
    """Name, text and nothing that is empty, of every field of the header but the kind."""
    facts = {
        "note": report.note or "",
        "command": _FOLDERS.sub("", report.command),
        "made at": report.made_at,
        "commit": commit_text(report),
        "device": report.device,
        "clocks and power": _machine_text(report.machine_state),
        **{label(name): setting_text(value) for name, value in report.settings.items()},
        "versions": ", ".join(f"{name} {version}" for name, version in report.versions.items()),
    }
    yield from ((name, text) for name, text in facts.items() if text)


def commit_text(report: Report) -> str:
    """First ten digits of the commit; empty if it is not known."""
    commit, changes, _ = (report.commit or "").partition("+dirty")
    return f"{commit[:10]}{', with changes' if changes else ''}"


def label(name: str) -> str:
    """Write a field's name as words, with the unit of its suffix.

    Examples
    --------
    >>> label("growth_after_warm_up_mb"), label("num_frames")
    ('growth after warm up [MB]', 'number of frames')
    """
    words = name.split("_")
    if words[0] == "num":
        words[:1] = ["number", "of"]
    words[-1] = _UNITS.get(words[-1], words[-1])
    return " ".join(words)


def value_text(value: Scalar | None) -> str:
    """Write a field's value."""
    return value if isinstance(value, str) else "" if value is None else number(value)


def setting_text(value: Setting) -> str:
    """Write a setting's value; those of a list separated by commas."""
    return ", ".join(map(value_text, value)) if isinstance(value, list) else value_text(value)


def _machine_text(state: MachineState | None) -> str:
    if state is None:
        return ""
    values = (
        (state.cpu_governor, "governor {}"),
        (state.cpu_mhz, "first core at {:.0f} MHz"),
        (state.power_mode, "power mode {}"),
    )
    parts = [form.format(value) for value, form in values if value is not None]
    for gpu in state.gpus:
        of_gpu = (
            (gpu.driver, "driver {}"),
            (gpu.sm_mhz, "SM {:.0f} MHz"),
            (gpu.memory_mhz, "memory {:.0f} MHz"),
            (gpu.power_limit_w, "at most {:.0f} W"),
            (gpu.performance_state, "{}"),
        )
        parts.append(" ".join([gpu.name, *(form.format(value) for value, form in of_gpu if value is not None)]))
    if state.tegrastats is not None:
        parts.append(f"tegrastats: {state.tegrastats}")
    return "; ".join(parts)
