"""Compiled passes for real-valued times: the same loops, other features.

The cumulated basis is a piecewise polynomial. A table's row holds, for one
column, the number of pieces K, of coefficients per piece d, the K + 1 breaks
(the last is the window m) and the K d coefficients, of powers of the distance
from the piece's left end. All else is as in ``kernels_risk``.
"""

from __future__ import annotations

from types import FunctionType

from numba import types

from ..kernels_math import (
    F8R,
    F8R2,
    F8W,
    F8W2,
    I4R,
    I4W,
    I8R,
    I8W,
    f8,
    i8,
    inner,
    kernel,
)
from . import kernels_many, kernels_records, kernels_risk, kernels_score
from .kernels_records import last_at_most, search_above, search_from

gather_cells = kernels_risk.gather_cells
weighted_total = kernels_many.weighted_total


@inner
def _value(row, pieces, powers, k, h):
    at = 3 + pieces + k * powers
    value = row[at + powers - 1]
    for p in range(powers - 2, -1, -1):
        value = value * h + row[at + p]
    return value


@inner
def _add_doses_real(out, tab, tev, a, n, time, level, p0, p1, m):
    """out[c, :n] += features of one subject's doses, as ``_add_doses``."""
    if tab.shape[0] == 0:
        return
    first = tev[a]
    last = tev[a + n - 1]
    pieces = int(tab[0, 0])
    powers = int(tab[0, 1])
    breaks = tab[0, 2 : 3 + pieces]
    width = breaks[pieces] - breaks[pieces - 1]
    j = last_at_most(time, p0, p1, first - m)
    now = level[j] if j >= p0 else 0.0
    done = 0
    j += 1
    while j < p1 and time[j] < last:
        b = time[j]
        delta = level[j] - now
        x = search_above(tev, a, a + n, b) - a
        y = search_from(tev, a + x, a + n, b + m) - a
        k = 0
        for e in range(x, y):
            u = tev[a + e] - b
            while k + 1 < pieces and u > breaks[k + 1]:
                k += 1
            for c in range(out.shape[0]):
                out[c, e] += delta * _value(tab[c], pieces, powers, k, u - breaks[k])
        if y > done:
            if now != 0.0:
                for c in range(out.shape[0]):
                    whole = now * _value(tab[c], pieces, powers, pieces - 1, width)
                    for e in range(done, y):
                        out[c, e] += whole
            done = y
        now = level[j]
        j += 1
    if now != 0.0 and done < n:
        for c in range(out.shape[0]):
            whole = now * _value(tab[c], pieces, powers, pieces - 1, width)
            for e in range(done, n):
                out[c, e] += whole


def _with(function, **names):
    """The function with other helpers under the same names."""
    code = function.py_func
    return FunctionType(
        code.__code__, {**code.__globals__, **names}, code.__name__, code.__defaults__
    )


_features_real = inner(_with(kernels_many._features, _add_doses=_add_doses_real))

risk_pass = kernel(
    types.void(
        i8, i8, I4R, I4R, I4R, F8R, F8R,
        I8R, I4R, I4R,
        F8R, I8R, F8R, F8R, F8R, F8R2, F8R, F8R,
        I4R, i8, i8, F8W2, F8W2, F8W,
    )
)(_with(kernels_risk.risk_pass, _add_doses=_add_doses_real))  # fmt: skip

moment_pass = kernel(
    types.void(
        i8, i8, I4R, I4R, I4R, F8R, F8R, F8R2,
        I8R, I4R, I4R,
        F8R, I8R, F8R, F8R, F8R, F8R2, I8R, F8R,
        I4R, i8, i8, F8R, F8R, F8R, F8R,
        F8W2, F8W2, F8W2, F8W2, F8W, F8W2,
    )
)(_with(kernels_risk.moment_pass, _add_doses=_add_doses_real))  # fmt: skip

features_at = kernel(
    types.void(I4R, I4R, F8R, I8R, F8R, F8R, F8R, F8R2, I8R, F8W2, F8W2)
)(_with(kernels_risk.features_at, _add_doses=_add_doses_real))

score_pass = kernel(
    types.void(
        i8, i8, I4R, I4R, I4R, F8R, F8R,
        I8R, I4R, I4R,
        F8R, I8R, F8R, F8R, F8R, F8R2, I8R, F8R,
        I4R, i8, F8R2, F8R2, F8R,
        F8W2, F8W, F8W2, F8W2,
    )
)(_with(kernels_score.score_pass, _add_doses=_add_doses_real))  # fmt: skip

_LANE_ROWS = (
    i8, i8, I4R, I4R, I4R, F8R, F8R, F8R2,
    I8R, I4R, I4R,
    F8R, I8R, F8R, F8R, F8R, F8R2, I8R,
    I8R, F8R2,
    F8R2, I4R, F8R2, F8R2, f8,
)  # fmt: skip
keep_features = kernel(
    types.void(
        i8, i8, I4R, I8R, I4R, I4R,
        F8R, I8R, F8R, F8R, F8R, F8R2, I8R, I8R, F8W2, F8W2,
    )
)(_with(kernels_many.keep_features, _features=_features_real))  # fmt: skip
many_risks = kernel(
    types.void(*_LANE_ROWS, I4R, i8, i8, F8R2, F8R2, F8W2, F8W2, F8W2, F8W2)
)(_with(kernels_many.many_risks, _features=_features_real))
many_seconds = kernel(
    types.void(*_LANE_ROWS, I4R, i8, F8R2, F8R2, F8R2, F8W2, F8W2, F8W2, F8W2)
)(_with(kernels_many.many_seconds, _features=_features_real))


@kernel(i8(I4R, F8R, F8R, types.Array(types.boolean, 1, "C", readonly=True),
           i8, I8W, F8W, F8W))  # fmt: skip
def sum_steps(subject, when, change, begins, n_subjects, ptr, time, level):
    """As ``build_steps``, from changes sorted by subject and time."""
    n = subject.size
    out = 0
    j = 0
    for s in range(n_subjects):
        ptr[s] = out
        active = 0
        high = 0.0
        low = 0.0
        before = 0.0
        while j < n and subject[j] == s:
            t = when[j]
            while j < n and subject[j] == s and when[j] == t:
                total = high + change[j]
                part = total - high
                low += (high - (total - part)) + (change[j] - part)
                high = total
                active += 1 if begins[j] else -1
                j += 1
            if active == 0:
                high = 0.0
                low = 0.0
            now = high + low
            if now != before:
                time[out] = t
                level[out] = now
                out += 1
                before = now
    ptr[n_subjects] = out
    return out


exposed_runs = kernel(
    i8(
        i8, i8, I4R, I4R, I4R, F8R,
        I8R, F8R, F8R, F8R, I8W, I4W, I4W, I8W,
    )
)(
    _with(
        kernels_records.exposed_runs,
        _first_above=search_above,
        first_at_least=search_from,
    )
)  # fmt: skip


@kernel(types.void(i8, i8, I4R, I4R, I4R, F8R, I8R, F8R, F8R, F8R, I8W))
def mark_cells(i0, i1, lo, hi, subject, tev, ptr, time, level, cells, mark):
    """Mark stretches between neighbouring lags that a row's doses reach.

    ``mark`` (cells) collects +1/-1 at the ends of the ranges reached.
    """
    last = cells.size - 1
    m = cells[last]
    for i in range(i0, i1):
        a = lo[i]
        b = hi[i]
        if a >= b:
            continue
        p1 = ptr[subject[i] + 1]
        for j in range(ptr[subject[i]], p1 - 1):
            if level[j] == 0.0:
                continue
            x = search_above(tev, a, b, time[j])
            y = search_from(tev, x, b, time[j + 1] + m)
            for e in range(x, y):
                begin = max(tev[e] - time[j + 1], 0.0)
                end = min(tev[e] - time[j], m)
                mark[search_above(cells, 0, last, begin) - 1] += 1
                mark[search_from(cells, 0, last, end)] -= 1
