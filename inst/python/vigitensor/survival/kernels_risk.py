"""Compiled passes over rows and exposed (row, event time) pairs.

Features by differences of the cumulated basis. With a dose of steps
(b_j, level_j), delta_j = level_j - level_{j-1}, and C(u) cumulated over lags,
a row's features at event time t are

    D(t) = level(t - m) C(m) + sum_{t-m < b_j < t} delta_j C(t - b_j),

one multiply-add per step, feature and event time; nothing is stored per pair.
The linear predictor alone needs one table, C @ coefficients.

Rows without a dose in the window have constant risk r over ranges [a, b) of
event indices. Sums over such ranges never subtract: with 2^k the smallest
aligned block that holds a and b - 1, the range is a piece up to the block's
middle and a piece from it, so r is added to cell (k, a) and cell (k, b - 1) of
a table, and running sums within half blocks (``spread_cells``) give every
event time its total. Transposed (``gather_cells``), two reads of a table give a
row the sum of any weights over [a, b). So one very large risk early on leaves
no rounding error in the small risk sets after it.
"""

from __future__ import annotations

import numpy as np
from numba import njit, types

from ..kernels_math import (
    F8R,
    F8R2,
    F8W,
    F8W2,
    I4R,
    I8R,
    add_scaled,
    dot,
    exp,
    i8,
    total_of,
)
from .kernels_records import first_at_least, last_at_most

# Event indices handled together: the buffers then stay in the first cache.
BLOCK = 256


@njit(nogil=True)
def _add_doses(out, tab, tev, a, n, time, level, p0, p1, m):
    """out[c, :n] += features of one subject's doses, one row per table row.

    Event indices a..a+n-1 of one stratum; steps p0..p1-1; window of m units.
    """
    first = tev[a]
    last = tev[a + n - 1]
    whole = last - first == n - 1
    j = max(p0, last_at_most(time, p0, p1, first - m))
    before = level[j - 1] if j > p0 else 0.0
    while j < p1 and time[j] < last:
        b = i8(time[j])
        now = level[j]
        # [x, y): the step is inside the window; [y, z): it fills the window.
        gone = i8(time[j + 1]) if j + 1 < p1 else i8(last) + 1
        if whole:
            x = min(max(i8(0), b + 1 - first), i8(n))
            y = min(max(i8(0), b + m - first), i8(n))
            z = min(max(i8(0), gone + m - first), i8(n))
        else:
            x = first_at_least(tev, a, a + n, b + 1) - a
            y = first_at_least(tev, a + x, a + n, b + m) - a
            z = first_at_least(tev, a + y, a + n, gone + m) - a
        if y > x:
            delta = now - before
            if whole:
                u = first + x - b
                for c in range(out.shape[0]):
                    add_scaled(out[c, x:y], delta, tab[c, u : u + y - x])
            else:
                ev = tev[a + x : a + y]
                for c in range(out.shape[0]):
                    to = out[c, x:y]
                    col = tab[c]
                    for i in range(ev.size):
                        to[i] += delta * col[ev[i] - b]
        if z > y and now != 0.0:
            for c in range(out.shape[0]):
                add = now * tab[c, m]
                to = out[c, y:z]
                for i in range(to.size):
                    to[i] += add
        before = now
        j += 1


@njit(nogil=True)
def _add_to_cells(cells, log2, width, a, b, value):
    k = i8(log2[a ^ (b - 1)])
    cells[k * width + a] += value
    if k > 0:
        cells[k * width + b - 1] += value


@njit(nogil=True)
def _add_row_to_cells(cells, log2, width, a, b, r, z):
    k = i8(log2[a ^ (b - 1)])
    one = cells[k * width + a]
    for c in range(z.size):
        one[c] += r * z[c]
    if k > 0:
        two = cells[k * width + b - 1]
        for c in range(z.size):
            two[c] += r * z[c]


@njit(nogil=True)
def _read_cells(cells, log2, width, a, b):
    k = i8(log2[a ^ (b - 1)])
    value = cells[k * width + a]
    if k > 0:
        value += cells[k * width + b - 1]
    return value


@njit(nogil=True)
def _spread_cells(cells, width, column, out):
    """out[e] += all that the cells of one column say about event index e."""
    n = out.size
    for e in range(n):
        out[e] += cells[e, column]
    half = 1
    level = 1
    while half < width:
        base = level * width
        for block in range(0, n, 2 * half):
            middle = block + half
            run = 0.0
            for e in range(block, min(middle, n)):
                run += cells[base + e, column]
                out[e] += run
            run = 0.0
            for e in range(min(middle + half, n) - 1, middle - 1, -1):
                run += cells[base + e, column]
                out[e] += run
        half *= 2
        level += 1


@njit(types.void(F8R, i8, F8W), nogil=True, cache=True)
def gather_cells(w, width, cells):
    """Table whose two entries for [a, b) add up to w[a] + ... + w[b - 1]."""
    n = w.size
    for e in range(n):
        cells[e] = w[e]
    half = 1
    level = 1
    while half < width:
        base = level * width
        for block in range(0, n, 2 * half):
            middle = block + half
            run = 0.0
            for e in range(min(middle, n) - 1, block - 1, -1):
                run += w[e]
                cells[base + e] = run
            run = 0.0
            for e in range(middle, min(middle + half, n)):
                run += w[e]
                cells[base + e] = run
        half *= 2
        level += 1


@njit(
    types.void(
        i8, i8, I4R, I4R, I4R, F8R, F8R,  # rows
        I8R, I4R, I4R,  # runs
        I4R, I8R, I4R, F8R, I4R, F8R2,  # event times, steps, table
        I4R, i8, i8, F8W,
    ),
    nogil=True,
    cache=True,
)  # fmt: skip
def risk_pass(
    i0, i1, lo, hi, subject, lin, weight,
    run_ptr, run_lo, run_hi,
    tev, ptr, time, level, cut, wtab,
    log2, levels, width, s0,
):  # fmt: skip
    """s0[e] += sum of weight * exp(lin + exposure) over rows i0..i1 at risk.

    ``lin`` is the linear predictor of the covariates, less the common shift;
    ``wtab`` (terms, m + 1) is C @ coefficients of each term.
    """
    n_terms = cut.size
    n_ptr = ptr.size // max(n_terms, 1)
    cells = np.zeros((levels * width, 1))
    flat = cells[:, 0]
    eta = np.empty((1, BLOCK))
    for i in range(i0, i1):
        a = lo[i]
        s = subject[i]
        r = weight[i] * exp(lin[i])
        for run in range(run_ptr[i], run_ptr[i + 1]):
            x = run_lo[run]
            y = run_hi[run]
            if x > a:
                _add_to_cells(flat, log2, width, a, x, r)
            a = y
            for e in range(x, y, BLOCK):
                n = min(y - e, BLOCK)
                line = eta[0, :n]
                line[:] = lin[i]
                for k in range(n_terms):
                    p = k * n_ptr + s
                    _add_doses(
                        eta, wtab[k : k + 1], tev, e, n, time, level,
                        ptr[p], ptr[p + 1], cut[k],
                    )  # fmt: skip
                to = s0[e : e + n]
                w = weight[i]
                for q in range(n):
                    to[q] += w * exp(line[q])
        if hi[i] > a:
            _add_to_cells(flat, log2, width, a, hi[i], r)
    _spread_cells(cells, width, 0, s0)


@njit(
    types.void(
        i8, i8, I4R, I4R, I4R, F8R, F8R, F8R2,  # rows
        I8R, I4R, I4R,  # runs
        I4R, I8R, I4R, F8R, I4R, F8R2, I8R, F8R,  # times, steps, tables
        I4R, i8, i8, F8R, F8R,  # ranges, weights of the event times
        F8W2, F8W2, F8W, F8W2,
    ),
    nogil=True,
    cache=True,
)  # fmt: skip
def moment_pass(
    i0, i1, lo, hi, subject, lin, weight, z,
    run_ptr, run_lo, run_hi,
    tev, ptr, time, level, cut, ctab, col_ptr, coef,
    log2, levels, width, wt, wt_cells,
    s1, square, u, v,
):  # fmt: skip
    """First and second moments of the risk sets, one slice of rows.

    With risk rho_i(e) of row i at event index e and weights wt[e]:

    s1 (features + covariates, events) += sum_i rho_i(e) {D_i(e), z_i}
    square (features, features), lower half += sum rho_i(e) wt[e] D D'
    u[i - i0]  = sum_e wt[e] rho_i(e)          (only if there are covariates)
    v[i - i0] = sum_e wt[e] rho_i(e) D_i(e)
    """
    n_terms = cut.size
    n_ptr = ptr.size // max(n_terms, 1)
    n_feat = coef.size
    n_cov = z.shape[1]
    cells = np.zeros((levels * width if n_cov > 0 else 0, n_cov))
    feat = np.empty((n_feat, BLOCK))
    rho = np.empty(BLOCK)
    wrho = np.empty(BLOCK)
    wfeat = np.empty(BLOCK)
    for i in range(i0, i1):
        if n_cov == 0 and run_ptr[i] == run_ptr[i + 1]:
            continue
        a = lo[i]
        s = subject[i]
        r = weight[i] * exp(lin[i])
        u_i = 0.0
        for run in range(run_ptr[i], run_ptr[i + 1]):
            x = run_lo[run]
            y = run_hi[run]
            if x > a and n_cov > 0:
                _add_row_to_cells(cells, log2, width, a, x, r, z[i])
                u_i += r * _read_cells(wt_cells, log2, width, a, x)
            a = y
            for e in range(x, y, BLOCK):
                n = min(y - e, BLOCK)
                feat[:, :n] = 0.0
                for k in range(n_terms):
                    p = k * n_ptr + s
                    c0 = col_ptr[k]
                    c1 = col_ptr[k + 1]
                    _add_doses(
                        feat[c0:c1], ctab[c0:c1], tev, e, n, time, level,
                        ptr[p], ptr[p + 1], cut[k],
                    )  # fmt: skip
                line = rho[:n]
                line[:] = lin[i]
                for c in range(n_feat):
                    add_scaled(line, coef[c], feat[c, :n])
                w = weight[i]
                weigh = wt[e : e + n]
                wline = wrho[:n]
                for q in range(n):
                    line[q] = w * exp(line[q])
                for q in range(n):
                    wline[q] = line[q] * weigh[q]
                for c in range(n_feat):
                    f = feat[c, :n]
                    to = s1[c, e : e + n]
                    wf = wfeat[:n]
                    for q in range(n):
                        to[q] += line[q] * f[q]
                    for q in range(n):
                        wf[q] = wline[q] * f[q]
                    v[i - i0, c] += total_of(wf)
                    for d in range(c + 1):
                        square[c, d] += dot(wf, feat[d, :n])
                if n_cov > 0:
                    u_i += total_of(wline)
                    for c in range(n_cov):
                        add_scaled(s1[n_feat + c, e : e + n], z[i, c], line)
        if n_cov > 0:
            if hi[i] > a:
                _add_row_to_cells(cells, log2, width, a, hi[i], r, z[i])
                u_i += r * _read_cells(wt_cells, log2, width, a, hi[i])
            u[i - i0] = u_i
    for c in range(n_cov):
        _spread_cells(cells, width, c, s1[n_feat + c])


@njit(
    types.void(I4R, I4R, I4R, I8R, I4R, F8R, I4R, F8R2, I8R, F8W2),
    nogil=True,
    cache=True,
)
def features_at(subject, event, tev, ptr, time, level, cut, ctab, col_ptr, out):
    """out (pairs, features): D of ``subject[d]`` at event index ``event[d]``."""
    n_terms = cut.size
    n_ptr = ptr.size // max(n_terms, 1)
    one = np.empty((ctab.shape[0], 1))
    for d in range(subject.size):
        one[:] = 0.0
        for k in range(n_terms):
            p = k * n_ptr + subject[d]
            c0 = col_ptr[k]
            c1 = col_ptr[k + 1]
            _add_doses(
                one[c0:c1], ctab[c0:c1], tev, event[d], 1, time, level,
                ptr[p], ptr[p + 1], cut[k],
            )  # fmt: skip
        out[d] = one[:, 0]


