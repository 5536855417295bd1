"""Which blocks of pairs a reduction visits: block-sparse ranges.

Intervals of rows in order, none overlapping, and for each the ranges of columns it
meets, in order and none overlapping either (sparse rows: ``slices[k]`` to
``slices[k + 1]`` of ``columns``). Rows in no interval meet no column.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
BLOCK = 128  # rows and columns of the blocks that masks are compiled to


class Ranges(NamedTuple):
    """Intervals are half-open, from 0."""

    rows: Array  # (c, 2)
    slices: Array  # (c + 1,)
    columns: Array  # (s, 2)

    def blocks(self) -> Iterator[tuple[slice, list[slice]]]:
        """Every interval of rows and its ranges of columns."""
        for k, (first, last) in enumerate(self.rows.tolist()):
            some = self.columns[self.slices[k] : self.slices[k + 1]].tolist()
            yield slice(first, last), [slice(a, b) for a, b in some]

    def counts(self, n: int) -> Array:
        """Number of pairs of every row, (n,)."""
        size = np.concatenate(([0], np.cumsum(np.diff(self.columns).ravel())))
        out = np.zeros(n, np.int64)
        for (a, b), s, t in zip(self.rows, self.slices[:-1], self.slices[1:]):
            out[a:b] = size[t] - size[s]
        return out

    def dense(self, n: int, m: int) -> Array:
        """1 where a pair is met, (n, m)."""
        out = np.zeros((n, m), bool)
        for rows, columns in self.blocks():
            for some in columns:
                out[rows, some] = True
        return out

    def pairs(self) -> int:
        """Number of pairs of all rows."""
        size = np.concatenate(([0], np.cumsum(np.diff(self.columns).ravel())))
        each = size[self.slices[1:]] - size[self.slices[:-1]]
        return int((np.diff(self.rows).ravel() * each).sum())

    def transposed(self) -> Ranges:
        """The same blocks for the columns as rows."""
        rows = np.repeat(self.rows, np.diff(self.slices), axis=0)
        return of_blocks(self.columns, rows)

    def moved(self, rows: int, columns: int) -> Ranges:
        """The same further down and to the right."""
        return Ranges(self.rows + rows, self.slices, self.columns + columns)

    def both(self, other: Ranges) -> Ranges:
        """What lies in both."""
        cut = np.unique(np.concatenate((self.rows.ravel(), other.rows.ravel())))
        rows, lists = [], []
        for a, b in zip(cut[:-1].tolist(), cut[1:].tolist()):
            shared = _meet(self._at(a), other._at(a))
            if len(shared):
                rows.append((a, b))
                lists.append(shared)
        return _gathered(rows, lists)

    def _at(self, row: int) -> Array:
        k = int(np.searchsorted(self.rows[:, 0], row, side="right")) - 1
        if k < 0 or row >= self.rows[k, 1]:
            return np.empty((0, 2), np.int64)
        return self.columns[self.slices[k] : self.slices[k + 1]]


def of_blocks(rows: Array, columns: Array) -> Ranges:
    """Ranges of rectangles that may overlap; a pair in two of them counts once."""
    keep = (np.diff(rows).ravel() > 0) & (np.diff(columns).ravel() > 0)
    rows, columns = rows[keep], columns[keep]
    cut = np.unique(rows)
    begin = np.searchsorted(cut, rows[:, 0])
    end = np.searchsorted(cut, rows[:, 1])
    # Rectangles cut at the edges of all, sorted by interval and first column.
    times = end - begin
    which = np.repeat(np.arange(len(rows)), times)
    interval = np.arange(len(which)) - np.repeat(np.cumsum(times) - times, times)
    interval += np.repeat(begin, times)
    order = np.lexsort((columns[which, 0], interval))
    interval, some = interval[order], columns[which][order]
    edges = np.flatnonzero(np.diff(interval)) + 1
    lists = [_joined(part) for part in np.split(some, edges)] if len(some) else []
    first = interval[np.concatenate(([0], edges))] if len(some) else []
    return _gathered([(cut[k], cut[k + 1]) for k in first], lists)


def of_matrix(rows: Array, columns: Array, keep: Array) -> Ranges:
    """Ranges of cluster pairs: ``keep`` (rows, columns) says which meet."""
    a, b = np.nonzero(keep)
    return of_blocks(rows[a], columns[b])


def of_labels(labels: Array) -> tuple[Array, Array]:
    """Different labels in order, and the ranges of places where each stands."""
    edges = np.flatnonzero(np.diff(labels)) + 1
    first = np.concatenate(([0], edges)) if len(labels) else np.empty(0, np.int64)
    last = np.append(edges, len(labels)) if len(labels) else first
    return labels[first], np.stack((first, last), axis=1).astype(np.int64)


def of_band(n: int, m: int, lower: float, upper: float) -> Ranges:
    """Blocks that hold pairs with -lower <= j - i <= upper."""
    rows = _cut(n)
    first = np.clip(rows[:, 0] - lower, 0, m)
    last = np.clip(rows[:, 1] + upper, 0, m)  # the last row's, and one more
    return of_blocks(rows, np.stack((first, last), axis=1).astype(np.int64))


def of_radius(x: Array, y: Array, radius: float) -> Ranges:
    """Blocks of points whose boxes come as near as that."""
    rows, columns = _cut(len(x)), _cut(len(y))
    low_x, high_x = _boxes(x, rows)
    low_y, high_y = _boxes(y, columns)
    keep = np.zeros((len(rows), len(columns)), bool)
    slack = radius * (1 + 1e-5)
    for k in range(len(rows)):
        gap = np.maximum(0, np.maximum(low_y - high_x[k], low_x[k] - high_y))
        # A NaN is kept here; the mask itself decides.
        keep[k] = ~(np.sqrt((gap * gap).sum(axis=1)) > slack)
    return of_matrix(rows, columns, keep)


def _boxes(x: Array, blocks: Array) -> tuple[Array, Array]:
    if not len(blocks):
        return x, x
    low = np.minimum.reduceat(x, blocks[:, 0], axis=0)
    return low, np.maximum.reduceat(x, blocks[:, 0], axis=0)


def _cut(n: int) -> Array:
    first = np.arange(0, n, BLOCK)
    return np.stack((first, np.minimum(first + BLOCK, n)), axis=1)


def _joined(some: Array) -> Array:
    """Sorted ranges, those that touch or overlap made one."""
    end = np.maximum.accumulate(some[:, 1])
    new = np.concatenate(([True], some[1:, 0] > end[:-1]))
    starts = np.flatnonzero(new)
    return np.stack((some[starts, 0], np.maximum.reduceat(some[:, 1], starts)), axis=1)


def _meet(a: Array, b: Array) -> Array:
    """Ranges in both of two sorted lists."""
    out, s, t = [], 0, 0
    while s < len(a) and t < len(b):
        low, high = max(a[s, 0], b[t, 0]), min(a[s, 1], b[t, 1])
        if low < high:
            out.append((low, high))
        if a[s, 1] < b[t, 1]:
            s += 1
        else:
            t += 1
    return np.array(out, np.int64).reshape(-1, 2)


def _gathered(rows: Sequence[Any], lists: Sequence[Array]) -> Ranges:
    sizes = [len(part) for part in lists]
    columns = np.concatenate(lists) if lists else np.empty((0, 2))
    return Ranges(
        np.array(rows, np.int64).reshape(-1, 2),
        np.concatenate(([0], np.cumsum(sizes))).astype(np.int64),
        columns.astype(np.int64).reshape(-1, 2),
    )
