"""Compiled passes over the rows of a Cox model without exposure terms.

A row (start, stop] is at risk at the event indices ``out + 1 .. last``, ``out``
being -1 where it begins before its stratum's first event. Going back in time it
joins the risk set at ``last`` and leaves it at ``out``: so sums over risk sets
are running sums of a table to which each row adds one number at ``last`` and
from which it takes the same number at ``out``.

What joined leaves again exactly. Every cell of a table, and the running sum, is
an unevaluated sum of two doubles (Knuth's two-sum; about 104 bits): the rounding
left in a small risk set is about 1e-31 of all the risk that has passed through,
so ten digits stay right in a risk set 1e-18 times as large. ``shares`` measures
that, and the caller changes to the kernels of the exposure
model, which never subtract, where it is exceeded. Rows without a start leave
nowhere, and nothing is ever subtracted.

First moments (``kernels_cox_moments``), of which there are many and which the
Hessian alone needs, are plain sums unless the caller finds that they would lose
too much.

Tables are (events, parts, columns): one part for plain sums; two, leading parts
first, otherwise.
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
from ..kernels_vector import WIDTH, all8, load8, store8

F8W3 = types.Array(f8, 3, "C")
F8R4 = types.Array(f8, 4, "C", readonly=True)
# Rows whose predictors are added up together: 8 kB.
BLOCK = 1024


@inner
def _bucket(t, first, scale, buckets):
    """Bucket of a time; never falls as t grows."""
    return i8(min(max((t - first) * scale, 0.0), f8(buckets - 1)))


@kernel(types.void(F8R, I8R, F8R, F8R, I8R, I4W))
def fill_buckets(times, begin, first, scale, bucket_begin, below):
    """below[k] = event indices before bucket k; see ``place_rows``."""
    for s in range(begin.size - 1):
        b = bucket_begin[s]
        n = bucket_begin[s + 1] - b
        e = begin[s]
        for k in range(n):
            while e < begin[s + 1] and _bucket(times[e], first[s], scale[s], n) < k:
                e += 1
            below[b + k] = e


@inner
def _first_after(t, s, times, begin, first, scale, bucket_begin, below):
    """First event index of stratum s with a time > t."""
    b = bucket_begin[s]
    n = bucket_begin[s + 1] - b
    k = _bucket(t, first[s], scale[s], n)
    low = i8(below[b + k])
    high = i8(below[b + k + 1]) if k + 1 < n else begin[s + 1]
    while low < high:
        middle = (low + high) >> 1
        if times[middle] <= t:
            low = middle + 1
        else:
            high = middle
    return low


@kernel(
    types.void(
        i8, i8, F8R, F8R, I4R, F8R, I8R, F8R, F8R, I8R, I4R, I4W, I4W,
    ),
)  # fmt: skip
def place_rows(
    i0, i1, start, stop, stratum, times, begin, first, scale, bucket_begin, below,
    out, last,
):  # fmt: skip
    """Event indices at which rows i0..i1 leave and join (going back in time).

    ``times`` holds the sorted event times of stratum s at begin[s]..begin[s+1],
    which are found from buckets of equal length, (t - first) * scale. ``start``
    may be empty. A row with no event time inside gets last == out, or both -1.
    """
    entered = start.size > 0
    before = 0.0
    found = i8(0)
    at = i8(-1)
    for i in range(i0, i1):
        s = i8(stratum[i])
        b = begin[s]
        enter = b
        if entered:
            # Consecutive rows of a person share a time.
            if s == at and start[i] == before:
                enter = found
            else:
                enter = _first_after(
                    start[i], s, times, begin, first, scale, bucket_begin, below
                )
        found = _first_after(
            stop[i], s, times, begin, first, scale, bucket_begin, below
        )
        at = s
        before = stop[i]
        out[i] = enter - 1 if enter > b else -1
        last[i] = found - 1 if found > b else -1


@kernel(types.void(i8, i8, F8R2, i8, F8R, F8W2))
def gather_columns(i0, i1, xt, c0, mean, z):
    """z[i] = x[i] - mean for WIDTH columns from c0, zeros beyond the last; xt = x'."""
    if c0 + WIDTH <= xt.shape[0]:
        for i in range(i0, i1):
            for c in range(WIDTH):
                z[i, c0 + c] = xt[c0 + c, i] - mean[c0 + c]
    else:
        for i in range(i0, i1):
            for c in range(c0, xt.shape[0]):
                z[i, c] = xt[c, i] - mean[c]
            for c in range(xt.shape[0], min(c0 + WIDTH, z.shape[1])):
                z[i, c] = 0.0


@kernel(f8(i8, i8, F8R2, F8R, F8R, F8R, F8W))
def predict(i0, i1, xt, mean, beta, offset, lin):
    """lin = offset + (x - mean) beta for rows i0..i1, xt = x'; the largest.

    A block of ``lin`` stays in the nearest cache while the columns go by.
    """
    top = -np.inf
    n = xt.shape[1]
    for b0 in range(i0, i1, BLOCK):
        b1 = min(b0 + BLOCK, i1)
        lines = b0 + (b1 - b0) // WIDTH * WIDTH
        for i in range(b0, b1):
            lin[i] = offset[i]
        for c in range(xt.shape[0]):
            m = all8(mean[c])
            b = all8(beta[c])
            for i in range(b0, lines, WIDTH):
                add = (load8(xt, c * n + i) - m) * b
                store8(lin, i, load8(lin, i) + add)
            for i in range(lines, b1):
                lin[i] += (xt[c, i] - mean[c]) * beta[c]
        for i in range(b0, b1):
            # The negated test lets nan through.
            if not lin[i] <= top:
                top = lin[i]
    return top


@kernel(types.void(F8R, f8, F8R, F8W))
def risks(lin, top, weight, r):
    """r = weight * exp(lin - top)."""
    for i in range(r.size):
        r[i] = weight[i] * exp(lin[i] - top)


@inner
def add_pair(table, k, c, v):
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
        add_pair(table, last[i], 0, r[i])
        if entered and out[i] >= 0:
            add_pair(table, out[i], 0, -r[i])


@kernel(types.void(F8R4, I8R, F8R, i8, i8, F8W2, F8W2))
def suffix_sums(tables, begin, divisor, c0, c1, run, sums):
    """sums[e, c] = running sums backwards in a stratum, over a divisor.

    Of columns c0..c1 of all tables (tables, events, parts, columns) together;
    begin (strata + 1) are the strata's first event indices; run (2, c1 - c0) is
    scratch.
    """
    width = c1 - c0
    plain = tables.shape[2] == 1
    for s in range(begin.size - 1):
        for c in range(width):
            run[0, c] = 0.0
            run[1, c] = 0.0
        for e in range(begin[s + 1] - 1, begin[s] - 1, -1):
            for t in range(tables.shape[0]):
                cell = tables[t, e]
                for c in range(width):
                    v = cell[0, c0 + c]
                    high = run[0, c]
                    total = high + v
                    part = total - high
                    run[1, c] += (high - (total - part)) + (v - part)
                    run[0, c] = total
                if not plain:
                    for c in range(width):
                        run[1, c] += cell[1, c0 + c]
            over = 1.0 / divisor[e] if divisor.size > 0 else 1.0
            for c in range(width):
                sums[e, c0 + c] = (run[0, c] + run[1, c]) * over


@kernel(types.void(I8R, F8R, F8W))
def shares(begin, sums, share):
    """Share of a sum in the largest that came before it, going back in time."""
    for s in range(begin.size - 1):
        passed = 0.0
        for e in range(begin[s + 1] - 1, begin[s] - 1, -1):
            # The negated test lets nan through.
            if not sums[e] <= passed:
                passed = sums[e]
            share[e] = sums[e] / passed if sums[e] > 0.0 else 0.0


@kernel(types.void(F8R, I8R, F8W2))
def cumulate(w, begin, total):
    """total[e] (events, 2) = sum of w up to e in its stratum; double-double."""
    for s in range(begin.size - 1):
        high = 0.0
        low = 0.0
        for e in range(begin[s], begin[s + 1]):
            t = high + w[e]
            part = t - high
            low += (high - (t - part)) + (w[e] - part)
            high = t
            total[e, 0] = high
            total[e, 1] = low


@inner
def hazard_of(total, out, last, i):
    """Sum of a weight over the event indices of row i."""
    k = last[i]
    high = total[k, 0]
    low = total[k, 1]
    if out.size > 0 and out[i] >= 0:
        j = out[i]
        high -= total[j, 0]
        low -= total[j, 1]
    return high + low


@kernel(types.void(i8, i8, I4R, I4R, F8R2, F8W))
def gather_hazard(i0, i1, out, last, total, u):
    """u[i - i0] = sum of a weight over the event indices of row i."""
    for i in range(i0, i1):
        u[i - i0] = hazard_of(total, out, last, i)
