"""How much memory a reduction takes besides its data, and whether there is so much.

Counted are the tables of what depends on i or j alone (and, while they are made,
the steps towards them), copies for products, the states of all rows and of the
tasks under way, and one tile for every thread. All of it is linear in n + m.
"""

from __future__ import annotations

import contextvars
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .. import device
from ..errors import EngineError
from .lower import Program
from .tree import LEAVES, nodes_of

# Bytes that a run may take; None: what the machine has free.
_limit: contextvars.ContextVar[float | None] = contextvars.ContextVar("limit")
_SHARE = 0.9  # of what is free


@contextmanager
def limited(memory_mb: float | None) -> Iterator[None]:
    """Runs within take no more than that."""
    given = None if memory_mb is None else float(memory_mb) * 2**20
    if given is not None and not given > 0:
        raise EngineError(
            "`memory_mb` must be above 0.", code="bad_memory", arg="memory_mb"
        )
    token = _limit.set(given)
    try:
        yield
    finally:
        _limit.reset(token)


def of_tables(program: Program, n: int, m: int, item: int) -> float:
    """Bytes of the tables, and of the longest of the ways to them."""
    total = most = 0.0
    for index, rows in (("i", n), ("j", m)):
        for part in program.parts[index]:
            total += part.dim * rows * item
            steps = [node.dim for node in nodes_of(part) if node.op not in LEAVES]
            most = max(most, sum(steps) * rows * item)
    for found in program.contractions:
        # Both sides as rows of data, and again packed or as a table.
        width = found.left.dim if found.kind == "rolled" else 2 * found.left.dim
        total += width * (n + m) * item
    return total + most


def of_tiles(components: int, pairs: int, item: int) -> float:
    """Bytes of the tiles of all threads."""
    return float(components * pairs * item * device.get_threads())


def check(tables: float, states: float) -> None:
    """Refuse what does not fit."""
    need = tables + states
    limit: Any = _limit.get(None)
    if limit is None:
        free = device.memory_available()
        limit = float("inf") if free is None else _SHARE * free
    if need > limit:
        raise EngineError(
            f"This reduction needs about {need / 2**20:.0f} MB besides its data; "
            f"{limit / 2**20:.0f} MB may be used. Reduce fewer rows or components at "
            "a time, or set a higher limit.",
            code="too_large",
            arg="memory_mb",
        )
