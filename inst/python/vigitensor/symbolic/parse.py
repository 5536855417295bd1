"""Formulas as plain lists (or JSON), the form in which R sends them, and back.

    ["var", slot]              data in this slot (from 0)
    2.5                        a number: a parameter, never compiled in
    ["const", 2.5]             a number of the structure
    ["exp", a], ["add", a, b]  an operation of the table on formulas
    ["elem", a, 3]             whole numbers of the structure follow the arguments
    ["permute", a, [1, 0]]
    ["let", [a, b], c]         c, in which ["ref", 0] is a and ["ref", 1] is b;
                               b may already use ["ref", 0]

``let`` keeps a formula short that uses one part many times.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from ..errors import EngineError
from .table import operations
from .tree import LEAVES, Node, apply, constant, nodes_of, number, variable

Plain = Any  # nested lists of words and numbers
_DEEPEST = 400


class Formula(NamedTuple):
    """A parsed formula and the values of its numbers."""

    root: Node
    numbers: tuple[float, ...]


def parse(expression: Plain, index: Sequence[str], dims: Sequence[int]) -> Formula:
    """Read a formula.

    Parameters
    ----------
    expression : str or list
        JSON text, or nested lists.
    index : list of {"i", "j", "p"}
        What each slot of the data is indexed by.
    dims : list of int
        Inner dimension of each slot.

    Raises
    ------
    EngineError
        ``bad_expression``, ``unknown_operation``, ``bad_arity``,
        ``bad_dimension``, ``bad_place``, ``bad_index``.
    """
    if isinstance(expression, str):
        return _parse_text(expression, tuple(index), tuple(dims))
    return _parse(expression, index, dims)


@functools.lru_cache(maxsize=256)
def _parse_text(text: str, index: tuple[str, ...], dims: tuple[int, ...]) -> Formula:
    try:
        plain = json.loads(text)
    except json.JSONDecodeError:
        raise _bad("The formula is not valid JSON.") from None
    return _parse(plain, index, dims)


def _parse(plain: Plain, index: Sequence[str], dims: Sequence[int]) -> Formula:
    numbers: list[float] = []

    def read(item: Plain, refs: Sequence[Node], depth: int) -> Node:
        if depth > _DEEPEST:
            raise _bad(f'A formula is at most {_DEEPEST} deep; use "let".')
        if isinstance(item, (int, float)) and not isinstance(item, bool):
            if float(item) not in numbers:
                numbers.append(float(item))
            return number(numbers.index(float(item)))
        if not isinstance(item, (list, tuple)) or not item:
            raise _bad("A formula is a number or a list that begins with a word.")
        word, rest = item[0], list(item[1:])
        if word == "var":
            slot = _whole(rest, 1)[0]
            if not 0 <= slot < len(dims):
                raise _bad(f"There is no data in slot {slot}.")
            return variable(index[slot], slot, dims[slot])
        if word == "const":
            return constant(float(rest[0]))
        if word == "ref":
            place = _whole(rest, 1)[0]
            if not 0 <= place < len(refs):
                raise _bad(f'There is no part {place} for "ref".')
            return refs[place]
        if word == "let":
            if len(rest) != 2 or not isinstance(rest[0], (list, tuple)):
                raise _bad('"let" takes a list of formulas and a formula.')
            parts = list(refs)
            for part in rest[0]:
                parts.append(read(part, parts, depth + 1))
            return read(rest[1], parts, depth + 1)
        if word not in operations():
            raise EngineError(
                f"There is no operation {word!r}.", code="unknown_operation", arg=word
            )
        op = operations()[word]
        args = [read(a, refs, depth + 1) for a in rest[: op.arity]]
        static = rest[op.arity :]
        if word == "permute":
            order = static[0] if len(static) == 1 else static
            return apply(word, *args, static=(tuple(_whole(order, None)),))
        return apply(word, *args, static=tuple(_whole(static, None)))

    return Formula(read(plain, (), 0), tuple(numbers))


def _whole(items: Any, n: int | None) -> list[int]:
    try:
        out = [int(v) for v in items]
        if any(v != w for v, w in zip(out, items)) or n not in (None, len(out)):
            raise ValueError
    except (TypeError, ValueError):
        raise _bad("Whole numbers were expected after a word.") from None
    return out


def _bad(message: str) -> EngineError:
    return EngineError(message, code="bad_expression", arg="expression")


def to_plain(root: Node, numbers: Sequence[float] = ()) -> Plain:
    """The formula as nested lists; parts used more than once are in one ``let``."""
    order = nodes_of(root)
    uses: dict[Node, int] = dict.fromkeys(order, 0)
    for node in order:
        for arg in node.args:
            uses[arg] += 1
    shared: dict[Node, int] = {}
    parts: list[Plain] = []
    text: dict[Node, Plain] = {}
    for node in order:
        if node.op == "var":
            text[node] = ["var", node.static[1]]
        elif node.op == "number":
            text[node] = numbers[node.static[0]]
        elif node.op == "const":
            text[node] = ["const", node.static[0]]
        else:
            static = [list(s) if isinstance(s, tuple) else s for s in node.static]
            text[node] = [node.op, *(text[a] for a in node.args), *static]
        if uses[node] > 1 and node.op not in LEAVES:
            shared[node] = len(parts)
            parts.append(text[node])
            text[node] = ["ref", shared[node]]
    return ["let", parts, text[root]] if parts else text[root]
