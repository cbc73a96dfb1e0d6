"""Options that several commands take together, as one dataclass."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable
from typing import Any, get_type_hints

__all__ = ["with_option_groups"]


def with_option_groups(command: Callable[..., None]) -> Callable[..., None]:
    """Make the fields of a command's dataclass parameters options of their own, where the parameter stands.

    Typer reads options from a function's signature and knows no group of them. A field is annotated as a parameter of a
    command is; the default of the parameter, an instance of the dataclass, holds the options' defaults.

    Examples
    --------
    >>> @dataclasses.dataclass(frozen=True)
    ... class Size:
    ...     width: int = 4
    ...     height: int = 3
    >>> @with_option_groups
    ... def draw(name: str, size: Size = Size(height=2)) -> None:
    ...     print(name, size)
    >>> list(inspect.signature(draw).parameters)
    ['name', 'width', 'height']
    >>> draw(name="box", width=5, height=2)
    box Size(width=5, height=2)
    """
    # Not get_type_hints, which before Python 3.11 makes an annotation Optional where the default is None, and so hides
    # the option in it.
    signature, hints = inspect.signature(command), inspect.get_annotations(command, eval_str=True)
    groups: dict[str, Any] = {name: hint for name, hint in hints.items() if dataclasses.is_dataclass(hint)}
    parameters: list[inspect.Parameter] = []
    for name, parameter in signature.parameters.items():
        options = _fields(groups[name], parameter.default) if name in groups else {name: parameter.default}
        option_hints = get_type_hints(groups[name], include_extras=True) if name in groups else hints
        parameters += [
            parameter.replace(name=option, default=default, annotation=option_hints[option])
            for option, default in options.items()
        ]

    @functools.wraps(command)
    def run(**values: Any) -> None:
        for name, group in groups.items():
            values[name] = group(**{field.name: values.pop(field.name) for field in dataclasses.fields(group)})
        command(**values)

    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    run.__dict__["__signature__"] = signature.replace(parameters=parameters)
    return run


def _fields(group: Any, defaults: Any) -> dict[str, Any]:
    return {field.name: getattr(defaults, field.name) for field in dataclasses.fields(group)}
