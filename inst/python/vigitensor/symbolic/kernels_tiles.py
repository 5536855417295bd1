"""Reductions of a tile (component, row, column) into the state of its rows.

Compiled for a precision when first used with it. A row's state is carried from tile
to tile; positions are whole numbers, counted from 0 over all columns.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, types
from numba.extending import overload

from .kernels_scalar import exp_f4, exp_f8, fast_loops, plus, smaller

_OPTIONS: dict[str, Any] = {"nogil": True, "_nrt": False, "error_model": "numpy"}
_kernel = njit(cache=True, fastmath={"contract"}, **_OPTIONS)
CHUNK = 64


def _exp(x: Any) -> Any:
    """exp in the precision of its argument."""
    raise NotImplementedError


@overload(_exp, jit_options=_OPTIONS, inline="never")
def _exp_typed(x):
    if x == types.float32:
        return lambda x: exp_f4(x)
    return lambda x: exp_f8(x)


@_kernel
def add_exponentials(tile, top, total):
    """Sums of exp(f - top) w, where f = tile[0] and w = tile[1:] (1 if absent).

    ``top`` (rows,) is the largest f so far, ``total`` (weights or 1, rows).
    """
    fast_loops()
    parts = total.shape[0]
    weighted = tile.shape[0] > 1
    for i in range(tile.shape[1]):
        f = tile[0, i]
        low = -f[0]
        for j in range(f.size):
            low = smaller(-f[j], low)
        high = -low
        if not -np.inf < high < np.inf:
            # Nothing, or infinite; unless a NaN stands beside.
            for j in range(f.size):
                if f[j] != f[j]:
                    high = f[j]
            if high != -np.inf and top[i] == top[i]:
                top[i] = high
            continue
        if high > top[i]:
            scale = _exp(top[i] - high)
            for c in range(parts):
                total[c, i] *= scale
            top[i] = high
        if not weighted:
            level = top[i]
            s = level - level
            for j in range(f.size):
                s = plus(s, _exp(f[j] - level))
            total[0, i] += s
        else:
            level = top[i]
            for j in range(f.size):
                f[j] = _exp(f[j] - level)
            for c in range(parts):
                w = tile[1 + c, i]
                s = level - level
                for j in range(f.size):
                    s = plus(s, f[j] * w[j])
                total[c, i] += s


@_kernel
def keep_smallest(tile, first, best, place):
    """Smallest value of every component and row, and where it first stands.

    A NaN wins over numbers. ``best`` and ``place`` are (components, rows);
    ``place`` is -1 where nothing has come yet.
    """
    fast_loops()
    for c in range(tile.shape[0]):
        for i in range(tile.shape[1]):
            if best[c, i] != best[c, i]:
                continue
            f = tile[c, i]
            low = f[0]
            doubt = f[0]
            for j in range(f.size):
                low = smaller(f[j], low)
                doubt = plus(doubt, f[j])
            j = f.size
            if doubt != doubt:  # a NaN, or infinities of both signs
                j = 0
                while j < f.size and f[j] == f[j]:
                    j += 1
                if j == f.size:
                    low = f[0]
                    for m in range(f.size):
                        low = f[m] if f[m] < low else low
            if j < f.size:
                pass
            elif low < best[c, i] or place[c, i] < 0:
                j = 0
                while f[j] != low:
                    j += 1
            else:
                continue
            best[c, i] = f[j]
            place[c, i] = first + j


@_kernel
def keep_k_smallest(tile, first, best, place):
    """The k smallest values of every row, in order, ties by position.

    ``best`` and ``place`` are (rows, k), ``best`` infinite and ``place`` -1 where
    nothing has come yet. NaN is passed over.
    """
    fast_loops()
    k = best.shape[1]
    for i in range(tile.shape[1]):
        f = tile[0, i]
        b, p = best[i], place[i]
        for start in range(0, f.size, CHUNK):
            g = f[start : min(start + CHUNK, f.size)]
            open_places = p[k - 1] < 0
            if not open_places:
                low = g[0]
                doubt = g[0]
                for j in range(g.size):
                    low = smaller(g[j], low)
                    doubt = plus(doubt, g[j])
                # A NaN makes `low` unsure, so it must not close the chunk.
                if low >= b[k - 1] and doubt == doubt:
                    continue
            for j in range(g.size):
                v = g[j]
                if v < b[k - 1] or (p[k - 1] < 0 and v == v):
                    m = k - 1
                    while m > 0 and (b[m - 1] > v or p[m - 1] < 0):
                        b[m] = b[m - 1]
                        p[m] = p[m - 1]
                        m -= 1
                    b[m] = v
                    p[m] = first + start + j


@_kernel
def count_cells(tile, breaks, total):
    """Counts of tile[0] in the cells [a, b), the last one closed.

    ``total`` is (rows, cells). tile[1], where there is one, is how much each counts.
    NaN is in no cell.
    """
    fast_loops()
    cells = breaks.size - 1
    weighted = tile.shape[0] > 1
    for i in range(tile.shape[1]):
        f, counts = tile[0, i], total[i]
        for j in range(f.size):
            v = f[j]
            if not (v >= breaks[0] and v <= breaks[cells]):
                continue
            low, high = 0, cells
            while high - low > 1:
                middle = (low + high) >> 1
                if v >= breaks[middle]:
                    low = middle
                else:
                    high = middle
            counts[low] += tile[1, i, j] if weighted else 1


@_kernel
def multiply(tile, total):
    """Products of every component and row; ``total`` is (components, rows)."""
    fast_loops()
    for c in range(tile.shape[0]):
        for i in range(tile.shape[1]):
            f = tile[c, i]
            s = total[c, i]
            for j in range(f.size):
                s *= f[j]
            total[c, i] = s


@_kernel
def finish_distances(tile, x, y, x2, y2, near):
    """Squared distances from products, where these cancel, computed anew.

    Where less than ``near`` of |x|^2 + |y|^2 is left, a distance is computed from
    the differences, so that every one is right to about eps / near. ``x`` is
    (rows, d), ``y`` (columns, d).
    """
    fast_loops()
    for i in range(tile.shape[0]):
        f = tile[i]
        a = x2[i]
        close = 0
        for j in range(f.size):
            close += not f[j] > near * (a + y2[j])
        if close:
            for j in range(f.size):
                if not f[j] > near * (a + y2[j]):
                    s = a - a
                    for d in range(x.shape[1]):
                        e = x[i, d] - y[j, d]
                        s = plus(s, e * e)
                    f[j] = s
