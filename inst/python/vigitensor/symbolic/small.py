"""Reductions of few pairs by NumPy: nothing is compiled, and nothing waits.

All values stand in one array (rows, columns, components), a chunk of rows at a
time, so that a reduction is a line or two. What counts and what a NaN does is as in
``states``.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import numpy.typing as npt

from . import dense, tables
from .ranges import Ranges
from .states import Shape, position_type
from .tables import Problem
from .tree import Node, apply, nodes_of

Array = npt.NDArray[Any]
Found = tuple[Array, ...]
_NEUTRAL = {
    "sum": 0.0, "mean": 0.0, "prod": 1.0, "logsumexp": -np.inf,
    "sumsoftmaxweight": -np.inf, "min": np.inf, "max": -np.inf,
}  # fmt: skip


def fits(problem: Problem) -> bool:
    """Are the pairs so few? The sizes alone decide: the same bits on any day."""
    return problem.n * problem.m <= tables.SMALL


def reduce(
    formula: Node,
    weight: Node | None,
    problem: Problem,
    reduction: str,
    shape: Shape,
    ranges: Ranges | None = None,
) -> dict[str, Array]:
    """Reduce an expanded formula over j; weights stand behind its components."""
    root = formula if weight is None else apply("concat", formula, weight)
    keep = None if ranges is None else ranges.dense(problem.n, problem.m)
    every = dense.row_chunks(problem.n, problem.m, _widest(root), 1 << 20)
    found = []
    with np.errstate(all="ignore"):
        for rows in every or [slice(0, 0)]:
            tile = dense.values(root, problem.data, problem.numbers, rows)
            full = (rows.stop - rows.start, problem.m, root.dim)
            if tile.shape != full:
                tile = np.broadcast_to(tile, full)
            some = None if keep is None else keep[rows]
            found.append(_reduced(tile, reduction, shape, some))
    parts = found[0] if len(found) == 1 else [np.concatenate(p) for p in zip(*found)]
    out = {"value": parts[0].astype(shape.dtype, copy=False)}
    if len(parts) > 1:
        out["index"] = parts[1].astype(position_type(shape.columns))
    return out


@functools.lru_cache(maxsize=512)
def _widest(root: Node) -> int:
    return max(node.dim for node in nodes_of(root))


def _reduced(tile: Array, name: str, shape: Shape, keep: Array | None) -> Found:
    """The value and, where there are, the positions of some rows."""
    f = tile if tile.shape[2] == shape.dim else tile[:, :, : shape.dim]
    w = tile[:, :, shape.dim :] if shape.weights else None
    if name in ("kmin", "kmax"):
        return _k_smallest(f[:, :, 0], shape.k, name == "kmax", keep)
    if name == "histogram":
        return (_counts(f[:, :, 0], w, shape, keep),)
    if keep is not None:
        f = np.where(keep[:, :, None], f, f.dtype.type(_NEUTRAL[name]))
    if name == "sum":
        return (f.sum(axis=1, dtype=np.float64),)
    if name == "mean":
        count: Any = shape.columns if keep is None else keep.sum(axis=1)[:, None]
        return (f.sum(axis=1, dtype=np.float64) / count,)
    if name == "prod":
        return (f.prod(axis=1, dtype=np.float64),)
    if name in ("logsumexp", "sumsoftmaxweight"):
        return (_exponential(f, w, name == "logsumexp"),)
    return _smallest(f, name == "max", keep)


def _exponential(f: Array, w: Array | None, logarithm: bool) -> Array:
    top = f.max(axis=1, initial=-np.inf)
    level = np.where(np.isinf(top), 0, top)
    share = np.exp(f - level[:, None])
    weighted = share if w is None else share * w
    total: Array = weighted.sum(axis=1, dtype=np.float64)
    if not logarithm:
        return total / share.sum(axis=1, dtype=np.float64)
    return np.where(top == np.inf, top, level + np.log(total))


def _smallest(f: Array, largest: bool, keep: Array | None) -> Found:
    """Smallest (or largest) values and where they first stand; a NaN wins."""
    place = f.argmax(axis=1) if largest else f.argmin(axis=1)
    value = np.take_along_axis(f, place[:, None], 1)[:, 0]
    if keep is not None:
        # One that is left out was chosen: all that count are as infinite.
        first = np.where(keep.any(axis=1), keep.argmax(axis=1), -1)
        there = np.take_along_axis(keep, place, 1)
        place = np.where(there, place, first[:, None])
    return value, place


def _k_smallest(f: Array, k: int, largest: bool, keep: Array | None) -> Found:
    """The k smallest (or largest) in order, ties by position; NaN is passed over."""
    key = -f if largest else f
    if keep is not None:
        key = np.where(keep, key, np.nan)
    place = np.argsort(key, axis=1, kind="stable")[:, :k]  # NaN come last
    value = np.take_along_axis(key, place, 1)
    none = np.isnan(value)
    value = np.where(none, np.inf, value)
    return (-value if largest else value), np.where(none, -1, place)


def _counts(f: Array, w: Array | None, shape: Shape, keep: Array | None) -> Array:
    assert shape.breaks is not None
    breaks, cells = shape.breaks, len(shape.breaks) - 1
    cell = np.searchsorted(breaks, f, side="right") - 1
    cell = np.where(f == breaks[-1], cells - 1, cell)
    inside = (f >= breaks[0]) & (f <= breaks[-1])
    if keep is not None:
        inside &= keep
    row = np.broadcast_to(np.arange(len(f))[:, None], f.shape)
    at = (row * cells + cell)[inside]
    weight = None if w is None else w[:, :, 0][inside]
    total = np.bincount(at, weight, minlength=len(f) * cells)
    return total.reshape(len(f), cells).astype(np.float64)
