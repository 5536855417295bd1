"""Compiled passes over the rows of a Cox model without exposure terms.

A row (start, stop] is at risk at the event indices ``out + 1 .. last``, ``out``
being -1 where it begins before its stratum's first event. Going back in time it
joins the risk set at ``last`` and leaves it at ``out``: so sums over risk sets
are running sums of a table to which each row adds one number at ``last`` and
from which it takes the same number at ``out``.

What joined leaves again exactly. Every cell of a table, and the running sum, is
an unevaluated sum of two doubles (Knuth's two-sum; about 104 bits): the rounding
left in a small risk set is about 1e-31 of all the risk that has passed through,
so ten digits stay right in a risk set 1e-18 times as large. ``suffix_sums``
measures that share, and the caller changes to the kernels of the exposure
model, which never subtract, where it is exceeded. Rows without a start leave
nowhere, and nothing is ever subtracted.

Tables are (events, 2, columns), leading parts first, so that one row touches one
or two cache lines.
"""

from __future__ import annotations

import numpy as np
from numba import types

from ..kernels_math import (
    F8R,
    F8R2,
    F8W,
    F8W2,
    I4R,
    I4W,
    I8R,
    exp,
    f8,
    i8,
    inner,
    kernel,
)

F8W3 = types.Array(f8, 3, "C")
F8R3 = types.Array(f8, 3, "C", readonly=True)
# Columns handled together: one cache line.
WIDTH = 8


@inner
def _count_at_most(times, begin, end, t):
    """Number of times[begin:end] (sorted) that are <= t."""
    base = begin
    n = end - begin
    while n > 0:
        half = (n + 1) >> 1
        base += half if times[base + half - 1] <= t else 0
        n -= half
    return base - begin


@kernel(types.void(i8, i8, F8R, F8R, I4R, F8R, I8R, I4W, I4W))
def place_rows(i0, i1, start, stop, stratum, times, begin, out, last):
    """Event indices at which rows i0..i1 leave and join (going back in time).

    ``times`` holds the sorted event times of stratum s at begin[s]..begin[s+1];
    ``start`` may be empty. A row with no event time inside gets last == out, or
    both -1.
    """
    entered = start.size > 0
    before = -1.0
    count = i8(-1)
    at = i8(-1)
    for i in range(i0, i1):
        s = i8(stratum[i])
        b = begin[s]
        e = begin[s + 1]
        enter = i8(0)
        if entered:
            # Consecutive rows of a person share a time.
            if s == at and start[i] == before:
                enter = count
            else:
                enter = _count_at_most(times, b, e, start[i])
        count = _count_at_most(times, b, e, stop[i])
        at = s
        before = stop[i]
        out[i] = b + enter - 1 if enter > 0 else -1
        last[i] = b + count - 1 if count > 0 else -1


@kernel(types.void(i8, i8, F8R2, i8, I4R, F8R, F8W2))
def gather_columns(i0, i1, xt, c0, rows, mean, z):
    """z[i] = x[rows[i]] - mean for WIDTH columns from c0; xt is (q, n).

    ``rows`` may be empty: all of them.
    """
    c1 = min(c0 + WIDTH, xt.shape[0])
    for c in range(c0, c1):
        x = xt[c]
        m = mean[c]
        if rows.size == 0:
            for i in range(i0, i1):
                z[i, c] = x[i] - m
        else:
            for i in range(i0, i1):
                z[i, c] = x[rows[i]] - m


@kernel(types.void(F8R, f8, F8R, F8W))
def risks(lin, top, weight, r):
    """r = weight * exp(lin - top)."""
    for i in range(r.size):
        r[i] = weight[i] * exp(lin[i] - top)


@inner
def _add(table, k, c, v):
    """Add v to the double-double table[k, :, c]."""
    high = table[k, 0, c]
    total = high + v
    part = total - high
    table[k, 1, c] += (high - (total - part)) + (v - part)
    table[k, 0, c] = total


@kernel(types.void(i8, i8, I4R, I4R, F8R, F8W3))
def scatter_risk(i0, i1, out, last, r, table):
    """Risks of rows i0..i1 into table (events, 2, 1); ``out`` may be empty."""
    entered = out.size > 0
    for i in range(i0, i1):
        _add(table, last[i], 0, r[i])
        if entered and out[i] >= 0:
            _add(table, out[i], 0, -r[i])


@inner
def _add_line(cell, z, r):
    """cell (2, WIDTH) += r z; the loop is one vector instruction wide."""
    for c in range(WIDTH):
        v = r * z[c]
        high = cell[0, c]
        total = high + v
        part = total - high
        cell[1, c] += (high - (total - part)) + (v - part)
        cell[0, c] = total


@kernel(types.void(i8, i8, I4R, I4R, F8R, F8R2, i8, F8W3))
def scatter_columns(i0, i1, out, last, r, z, c0, table):
    """r z of WIDTH columns from c0 into table (events, 2, WIDTH)."""
    entered = out.size > 0
    for i in range(i0, i1):
        line = z[i, c0 : c0 + WIDTH]
        _add_line(table[last[i]], line, r[i])
        if entered and out[i] >= 0:
            _add_line(table[out[i]], line, -r[i])


@kernel(types.void(i8, i8, I4R, I4R, F8R, F8R2, i8, F8W3))
def scatter_column(i0, i1, out, last, r, z, c, table):
    """r z of one column into table (events, 2, 1)."""
    entered = out.size > 0
    for i in range(i0, i1):
        v = r[i] * z[i, c]
        _add(table, last[i], 0, v)
        if entered and out[i] >= 0:
            _add(table, out[i], 0, -v)


@kernel(types.void(F8R3, I8R, F8W2, i8))
def suffix_sums(table, begin, sums, c0):
    """sums[e, c0 + c] = running sums of table[:, :, c] backwards in a stratum.

    begin (strata + 1) are the strata's first event indices.
    """
    width = min(table.shape[2], sums.shape[1] - c0)
    for c in range(width):
        for s in range(begin.size - 1):
            high = 0.0
            low = 0.0
            for e in range(begin[s + 1] - 1, begin[s] - 1, -1):
                v = table[e, 0, c]
                total = high + v
                part = total - high
                low += (high - (total - part)) + (v - part) + table[e, 1, c]
                high = total
                sums[e, c0 + c] = high + low


@kernel(f8(F8R3, I8R, F8R))
def smallest_share(table, begin, sums):
    """Smallest share, over event indices, of a sum in all that passed through.

    ``table`` holds risks (events, 2, 1); what passed is bounded from below by the
    steps of the running sum.
    """
    worst = 1.0
    for s in range(begin.size - 1):
        passed = 0.0
        for e in range(begin[s + 1] - 1, begin[s] - 1, -1):
            passed = max(passed, sums[e])
            # The negated test catches nan.
            if not sums[e] >= worst * passed:
                worst = sums[e] / passed if sums[e] > 0.0 else 0.0
    return worst


@kernel(f8(F8R, F8R, I8R, F8W2))
def cumulate(w, s0, begin, total):
    """total[e] (events, 2) = sum of w up to e in its stratum; double-double.

    Returns the largest total[e - 1] * s0[e]: how much larger than an event's own
    part the numbers are whose difference it is.
    """
    worst = 0.0
    for s in range(begin.size - 1):
        high = 0.0
        low = 0.0
        for e in range(begin[s], begin[s + 1]):
            worst = max(worst, high * s0[e])
            t = high + w[e]
            part = t - high
            low += (high - (t - part)) + (w[e] - part)
            high = t
            total[e, 0] = high
            total[e, 1] = low
    return worst


@kernel(types.void(i8, i8, I4R, I4R, F8R2, F8W))
def gather_hazard(i0, i1, out, last, total, u):
    """u[i - i0] = sum of a weight over the event indices of row i."""
    entered = out.size > 0
    for i in range(i0, i1):
        k = last[i]
        high = total[k, 0]
        low = total[k, 1]
        if entered and out[i] >= 0:
            j = out[i]
            high -= total[j, 0]
            low -= total[j, 1]
        u[i - i0] = high + low


assert np.dtype(np.float64).itemsize * WIDTH == 64
