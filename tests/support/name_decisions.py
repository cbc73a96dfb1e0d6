"""Find code that decides by a name: comparisons, patterns and look-ups with one of a set of strings."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator, Mapping

__all__ = ["constants_of", "decisions"]

_LOOK_UPS = {"get", "pop", "setdefault", "startswith", "endswith", "removeprefix", "removesuffix"}
"""Methods of mappings and strings whose result depends on the argument."""


def constants_of(tree: ast.Module, names: Collection[str]) -> dict[str, set[str]]:
    """Module-level variables whose values hold some of `names`, and which."""
    constants = {}
    for statement in tree.body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=variable)], value=value):
                constants[variable] = set(_mentioned(value, names, {}))
            case ast.AnnAssign(target=ast.Name(id=variable), value=ast.expr() as value):
                constants[variable] = set(_mentioned(value, names, {}))
    return {variable: held for variable, held in constants.items() if held}


def decisions(
    tree: ast.Module, names: Collection[str], constants: Mapping[str, Collection[str]]
) -> Iterator[tuple[int, str]]:
    """Lines that decide by one of `names`, written out or as one of `constants`, and the name.

    Arguments, defaults and texts are no decisions.
    """
    for node in ast.walk(tree):
        for decided in _deciding(node):
            for name in _mentioned(decided, names, constants):
                yield decided.lineno, name
        match node:
            case ast.Call(func=ast.Name(id="dict"), keywords=keywords):
                yield from ((node.lineno, keyword.arg) for keyword in keywords if keyword.arg and keyword.arg in names)


def _deciding(node: ast.AST) -> list[ast.expr]:
    """Parts of a node by whose values it decides."""
    match node:
        case ast.Compare(left=left, comparators=comparators):
            return [left, *comparators]
        case ast.MatchValue(value=value):
            return [value]
        case ast.Dict(keys=keys):
            return [key for key in keys if key is not None]
        case ast.Subscript(slice=subscript):
            return [subscript]
        case ast.Call(func=ast.Attribute(attr=method), args=arguments) if method in _LOOK_UPS:
            return arguments
    return []


def _mentioned(expression: ast.expr, names: Collection[str], constants: Mapping[str, Collection[str]]) -> Iterator[str]:
    for part in ast.walk(expression):
        match part:
            case ast.Constant(value=str(text)) if text in names:
                yield text
            case ast.Name(id=variable) | ast.Attribute(attr=variable):
                yield from constants.get(variable, ())
