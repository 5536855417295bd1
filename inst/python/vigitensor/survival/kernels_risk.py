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
from numba import types

from ..kernels_math import (
    F8R,
    F8R2,
    F8W,
    F8W2,
    I4R,
    I8R,
    exp,
    i8,
    inner,
    kernel,
)
from ..kernels_vector import all8, exp8, load8, store8, sum8
from .kernels_records import first_at_least, last_at_most

# Event indices handled together: the buffers then stay in the first cache.
BLOCK = 256
# Buffers have whole vectors; tables are padded by as much on both sides, with
# zeros before lag 0 and with C(m) after lag m.
PAD = 8


@inner
def _add_tables(out, x, y, factor, tab, u):
    """out[c, x:y] += factor * tab[c, u:], whole lines."""
    factors = all8(factor)
    for c in range(out.shape[0]):
        to = c * out.shape[1]
        shift = c * tab.shape[1] + u - x - to
        for q in range(to + x, to + y, 8):
            store8(out, q, load8(out, q) + factors * load8(tab, q + shift))


@inner
def _add_doses(out, tab, tev, a, n, time, level, p0, p1, m):
    """out[c, :n] += features of one subject's doses, one row per table row.

    Event indices a..a+n-1 of one stratum; steps p0..p1-1; window of m units.

    Ranges are widened to multiples of eight (the table is padded with what it
    would hold there): vector loads then never straddle two earlier stores,
    which halves the time, and no loop has a scalar rest. So the buffer is filled
    up to n rounded up, with numbers nobody may use.
    """
    first = i8(tev[a])
    last = i8(tev[a + n - 1])
    whole = last - first == n - 1
    end = (n + 7) & ~7 if whole else n
    j = last_at_most(time, p0, p1, first - m)
    now = level[j] if j >= p0 else 0.0
    done = 0  # the window is filled by one level on [done, y)
    j += 1
    while j < p1 and time[j] < last:
        b = i8(time[j])
        delta = level[j] - now
        # The step is inside the window on [x, y).
        if whole:
            x = max(i8(0), b + 1 - first) & ~7
            y = min((b + m - first + 7) & ~7, i8(end))
            u = first + x - b + PAD
            _add_tables(out, x, y, delta, tab, u)
        else:
            x = first_at_least(tev, a, a + n, b + 1) - a
            y = first_at_least(tev, a + x, a + n, b + m) - a
            ev = tev[a + x : a + y]
            for c in range(out.shape[0]):
                to = out[c, x:y]
                col = tab[c]
                for i in range(ev.size):
                    to[i] += delta * col[np.uintp(ev[i] - b + PAD)]
        if y > done:
            if now != 0.0:
                for c in range(out.shape[0]):
                    _add_number(out[c, done:y], now * tab[c, m + PAD])
            done = y
        now = level[j]
        j += 1
    if now != 0.0 and done < end:
        for c in range(out.shape[0]):
            _add_number(out[c, done:end], now * tab[c, m + PAD])


@inner
def _add_number(out, x):
    for i in range(out.size):
        out[i] += x


@inner
def _add_to_cells(cells, log2, width, a, b, value):
    k = i8(log2[a ^ (b - 1)])
    cells[k * width + a] += value
    if k > 0:
        cells[k * width + b - 1] += value


@inner
def _add_row_to_cells(cells, log2, width, a, b, r, z):
    k = i8(log2[a ^ (b - 1)])
    one = cells[k * width + a]
    for c in range(z.size):
        one[c] += r * z[c]
    if k > 0:
        two = cells[k * width + b - 1]
        for c in range(z.size):
            two[c] += r * z[c]


@inner
def _read_cells(cells, log2, width, a, b):
    k = i8(log2[a ^ (b - 1)])
    value = cells[k * width + a]
    if k > 0:
        value += cells[k * width + b - 1]
    return value


@inner
def _spread_cells(cells, width, column, factor, out):
    """out[e] += factor[e] times all that one column's cells say of index e."""
    n = factor.size
    for e in range(n):
        if cells[e, column] != 0.0:
            out[e] += factor[e] * cells[e, column]
    half = 1
    level = 1
    while half < width:
        base = level * width
        for block in range(0, n, 2 * half):
            middle = block + half
            run = 0.0
            for e in range(block, min(middle, n)):
                run += cells[base + e, column]
                if run != 0.0:  # the factor may be infinite where nobody is
                    out[e] += factor[e] * run
            run = 0.0
            for e in range(min(middle + half, n) - 1, middle - 1, -1):
                run += cells[base + e, column]
                if run != 0.0:  # the factor may be infinite where nobody is
                    out[e] += factor[e] * run
        half *= 2
        level += 1


@kernel(types.void(F8R, i8, F8W))
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


@inner
def _risks(line, n, w):
    """Linear predictors, whole lines, to weighted risks; zero beyond n."""
    weights = all8(w)
    for q in range(0, line.size, 8):
        store8(line, q, weights * exp8(load8(line, q)))
    for q in range(n, line.size):
        line[q] = 0.0


@inner
def _set_lines(lines, count, n, value):
    """lines[:count, :n] = value; n is a multiple of eight."""
    values = all8(value)
    for c in range(count):
        for q in range(c * lines.shape[1], c * lines.shape[1] + n, 8):
            store8(lines, q, values)


@inner
def _add_line(to, i, v):
    store8(to, i, load8(to, i) + v)


@kernel(
    types.void(
        i8, i8, I4R, I4R, I4R, F8R, F8R,  # rows
        I8R, I4R, I4R,  # runs
        I4R, I8R, I4R, F8R, I4R, F8R2, F8R, F8R,  # event times, steps, tables
        I4R, i8, i8, F8W2, F8W2, F8W,
    ),
)  # fmt: skip
def risk_pass(
    i0, i1, lo, hi, subject, lin, weight,
    run_ptr, run_lo, run_hi,
    tev, ptr, time, level, cut, wtab, down, factor,
    log2, levels, width, cells, scratch, s0,
):  # fmt: skip
    """s0[e] += exp(-down[e]) sum of weight * exp(lin + exposure), rows i0..i1.

    ``lin`` is the linear predictor of the covariates, less its largest;
    ``down`` ends in PAD zeros, ``factor`` (events) is exp(-down);
    ``wtab`` (terms, PAD + m + 1 + PAD) is C @ coefficients of each term. Zeros
    on entry: cells (levels * width, 1), s0 (events + PAD). scratch (1, ROOM).
    """
    n_terms = cut.size
    n_ptr = ptr.size // max(n_terms, 1)
    flat = cells[:, 0]
    for i in range(i0, i1):
        if weight[i] == 0.0:  # 0 * inf is not 0
            continue
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
                n8 = (n + 7) & ~7
                covariates = all8(lin[i])
                for q in range(0, n8, 8):
                    store8(scratch, q, covariates - load8(down, e + q))
                for k in range(n_terms):
                    p = k * n_ptr + s
                    _add_doses(
                        scratch, wtab[k : k + 1], tev, e, n, time, level,
                        ptr[p], ptr[p + 1], cut[k],
                    )  # fmt: skip
                _risks(scratch[0, :n8], n, weight[i])
                for q in range(0, n8, 8):
                    store8(s0, e + q, load8(s0, e + q) + load8(scratch, q))
        if hi[i] > a:
            _add_to_cells(flat, log2, width, a, hi[i], r)
    _spread_cells(cells, width, 0, factor, s0)


@kernel(
    types.void(
        i8, i8, I4R, I4R, I4R, F8R, F8R, F8R2,  # rows
        I8R, I4R, I4R,  # runs
        I4R, I8R, I4R, F8R, I4R, F8R2, I8R, F8R,  # times, steps, tables
        I4R, i8, i8, F8R, F8R, F8R, F8R,  # ranges, numbers of the event times
        F8W2, F8W2, F8W2, F8W2, F8W, F8W2,
    ),
)  # fmt: skip
def moment_pass(
    i0, i1, lo, hi, subject, lin, weight, z,
    run_ptr, run_lo, run_hi,
    tev, ptr, time, level, cut, ctab, col_ptr, coef,
    log2, levels, width, wt, wt_cells, down, factor,
    cells, scratch, s1, square, u, v,
):  # fmt: skip
    """First and second moments of the risk sets, one slice of rows.

    With risk rho_i(e) of row i at event index e, lowered as in ``risk_pass``,
    and weights wt[e]:

    s1 (features + covariates, events + PAD) += sum_i rho_i(e) {D_i(e), z_i}
    square (products, 8) += sum rho_i(e) wt[e] D D', the lower half row by row,
        in eight parts
    u[i - i0]  = sum_e wt[e] rho_i(e)          (only if there are covariates)
    v[i - i0] = sum_e wt[e] rho_i(e) D_i(e)

    All of these, and cells (levels * width, covariates), are zero on entry;
    scratch is (2 features + 1, ROOM); wt and down end in PAD zeros; wt_cells is
    ``gather_cells`` of wt * factor.
    """
    n_terms = cut.size
    n_ptr = ptr.size // max(n_terms, 1)
    n_feat = coef.size
    n_cov = z.shape[1]
    room = scratch.shape[1]
    for i in range(i0, i1):
        if weight[i] == 0.0 or (n_cov == 0 and run_ptr[i] == run_ptr[i + 1]):
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
                n8 = (n + 7) & ~7
                _set_lines(scratch, n_feat, n8, 0.0)
                for k in range(n_terms):
                    p = k * n_ptr + s
                    c0 = col_ptr[k]
                    c1 = col_ptr[k + 1]
                    _add_doses(
                        scratch[c0:c1], ctab[c0:c1], tev, e, n, time, level,
                        ptr[p], ptr[p + 1], cut[k],
                    )  # fmt: skip
                covariates = all8(lin[i])
                for q in range(0, n8, 8):
                    eta = covariates - load8(down, e + q)
                    for c in range(n_feat):
                        eta = eta + all8(coef[c]) * load8(scratch, c * room + q)
                    store8(scratch, n_feat * room + q, eta)
                _risks(scratch[n_feat, :n8], n, weight[i])
                _set_lines(scratch[n_feat + 1 :], n_feat, 8, 0.0)
                all_of_row = all8(0.0)
                for q in range(0, n8, 8):
                    rho = load8(scratch, n_feat * room + q)
                    weighted = rho * load8(wt, e + q)
                    all_of_row = all_of_row + weighted
                    product = 0
                    for c in range(n_feat):
                        f = load8(scratch, c * room + q)
                        _add_line(s1, c * s1.shape[1] + e + q, rho * f)
                        wf = weighted * f
                        _add_line(scratch, (n_feat + 1 + c) * room, wf)
                        for d in range(c + 1):
                            f = load8(scratch, d * room + q)
                            _add_line(square, product, wf * f)
                            product += 8
                    for c in range(n_feat, n_feat + n_cov):
                        one = all8(z[i, c - n_feat])
                        _add_line(s1, c * s1.shape[1] + e + q, rho * one)
                u_i += sum8(all_of_row)
                for c in range(n_feat):
                    v[i - i0, c] += sum8(load8(scratch, (n_feat + 1 + c) * room))
        if n_cov > 0:
            if hi[i] > a:
                _add_row_to_cells(cells, log2, width, a, hi[i], r, z[i])
                u_i += r * _read_cells(wt_cells, log2, width, a, hi[i])
            u[i - i0] = u_i
    for c in range(n_cov):
        _spread_cells(cells, width, c, factor, s1[n_feat + c])


@kernel(
    types.void(I4R, I4R, I4R, I8R, I4R, F8R, I4R, F8R2, I8R, F8W2, F8W2),
)
def features_at(subject, event, tev, ptr, time, level, cut, ctab, col_ptr, one, out):
    """out (pairs, features): D of ``subject[d]`` at event index ``event[d]``.

    ``one`` is scratch, (features, PAD).
    """
    n_terms = cut.size
    n_ptr = ptr.size // max(n_terms, 1)
    for d in range(subject.size):
        for c in range(ctab.shape[0]):
            one[c, 0] = 0.0
        for k in range(n_terms):
            p = k * n_ptr + subject[d]
            c0 = col_ptr[k]
            c1 = col_ptr[k + 1]
            _add_doses(
                one[c0:c1], ctab[c0:c1], tev, event[d], 1, time, level,
                ptr[p], ptr[p + 1], cut[k],
            )  # fmt: skip
        for c in range(ctab.shape[0]):
            out[d, c] = one[c, 0]
