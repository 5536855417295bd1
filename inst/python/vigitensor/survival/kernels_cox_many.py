"""One Cox model fitted to many sets of weights: eight replicates as one vector.

All that depends on the covariates alone is read once for eight replicates. Rows
put their weighted risks r and r z, r z z' (K = 1 + q + q (q + 1) / 2 lines of
eight numbers) into a table where they join and leave risk sets, as in
``kernels_cox``; one pass back over the event times then gives log-likelihood,
score and information of each replicate. Plain sums: see ``cox_many``.
"""

from __future__ import annotations

import math

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
from .kernels_cox_lines import WIDTH, add_line, set_line

# Rows whose risks are computed together.
BLOCK = 64


@inner
def _exp_times(eta, weight, n):
    for j in range(n):
        weight[j] *= exp(eta[j])


@inner
def _add_both(table, join, leave, x, r, j):
    add_line(table, join, x, r, j)
    if leave >= 0:
        add_line(table, leave, -x, r, j)


@kernel(
    types.void(
        i8, i8, I4R, I4R, I4R, F8R, F8R, F8R, F8R2, i8, i8, F8R2, F8R2, types.boolean,
        F8R, F8W, F8W, F8W,
    ),
)  # fmt: skip
def scatter_many(
    i0, i1, out, last, cluster, weight, lin, risk, z, q, lines, counts, beta, same,
    ones, eta, r, table,
):  # fmt: skip
    """Add rows i0..i1 to table (events, lines, WIDTH), flat.

    lines = K, or 1 + q without second moments;

    counts (clusters, WIDTH); beta (q, WIDTH), counted from where the linear
    predictors are ``lin`` and the risks ``risk`` = exp(lin); with ``same`` it is
    zero. Scratch: ones (WIDTH), eta, r (BLOCK * WIDTH).
    """
    entered = out.size > 0
    squares = q if lines > 1 + q else 0
    for a in range(i0, i1, BLOCK):
        n = min(BLOCK, i1 - a)
        for k in range(n):
            i = a + k
            w = weight[i] * (risk[i] if same else 1.0)
            set_line(r, k * WIDTH, w, counts, i8(cluster[i]) * WIDTH)
            if not same:
                set_line(eta, k * WIDTH, lin[i], ones, 0)
                for c in range(q):
                    add_line(eta, k * WIDTH, z[i, c], beta, c * WIDTH)
        if not same:
            _exp_times(eta, r, n * WIDTH)
        for k in range(n):
            i = a + k
            join = i8(last[i]) * (lines * WIDTH)
            leave = -1
            if entered and out[i] >= 0:
                leave = i8(out[i]) * (lines * WIDTH)
            j = k * WIDTH
            _add_both(table, join, leave, 1.0, r, j)
            at = WIDTH
            for c in range(q):
                _add_both(table, join + at, leave + at if leave >= 0 else -1,
                          z[i, c], r, j)  # fmt: skip
                at += WIDTH
            for c in range(squares):
                for d in range(c + 1):
                    _add_both(table, join + at, leave + at if leave >= 0 else -1,
                              z[i, c] * z[i, d], r, j)  # fmt: skip
                    at += WIDTH


@kernel(types.void(F8R2, F8R2, F8W2))
def influence_many(counts, score, out):
    """out (q, WIDTH) = sum over clusters of (counts - 1) score, in their order."""
    for c in range(out.shape[0]):
        for b in range(WIDTH):
            out[c, b] = 0.0
    for k in range(counts.shape[0]):
        for c in range(out.shape[0]):
            s = score[k, c]
            for b in range(WIDTH):
                out[c, b] += (counts[k, b] - 1.0) * s


@inner
def _add_own(own, z, q, squares, rho, b):
    own[b] += rho
    at = 1 + q
    for c in range(q):
        own[(1 + c) * WIDTH + b] += rho * z[c]
    for c in range(squares):
        for d in range(c + 1):
            own[at * WIDTH + b] += rho * z[c] * z[d]
            at += 1


@kernel(
    types.void(
        I8R, I8R, I8R, I4R, F8R, F8R, F8R2, i8, i8, F8R2, F8R2, types.boolean,
        F8R, F8R, F8W, F8W, F8W2,
    ),
)  # fmt: skip
def sum_many(
    begin, death_begin, death_row, cluster, weight, lin, z, q, lines, counts, beta,
    efron, table, ones, run, own, result,
):  # fmt: skip
    """Log-likelihood, score and information of WIDTH replicates.

    death_begin (events + 1) delimits the deaths of an event time; result (lines,
    WIDTH) is overwritten: value, score, and with all K lines the lower triangle of
    the information. Scratch: run, own (lines * WIDTH). A death whose weight is
    zero is none.
    """
    squares = q if lines > 1 + q else 0
    for k in range(lines):
        for b in range(WIDTH):
            result[k, b] = 0.0
    for s in range(begin.size - 1):
        for k in range(lines * WIDTH):
            run[k] = 0.0
        for e in range(begin[s + 1] - 1, begin[s] - 1, -1):
            for k in range(lines):
                add_line(run, k * WIDTH, 1.0, table, (e * lines + k) * WIDTH)
            d0 = death_begin[e]
            d1 = death_begin[e + 1]
            for k in range(lines * WIDTH):
                own[k] = 0.0
            for b in range(WIDTH):
                total = 0.0
                deaths = 0
                for d in range(d0, d1):
                    i = death_row[d]
                    w = weight[i] * counts[cluster[i], b]
                    if w <= 0.0:
                        continue
                    deaths += 1
                    total += w
                    eta = lin[i]
                    for c in range(q):
                        eta += z[i, c] * beta[c, b]
                        result[1 + c, b] += w * z[i, c]
                    result[0, b] += w * eta
                    if efron and d1 - d0 > 1:
                        _add_own(own, z[i], q, squares, w * math.exp(eta), b)
                if deaths == 0:
                    continue
                w = total / deaths
                for k in range(deaths):
                    share = k / deaths if efron else 0.0
                    phi = run[b] - share * own[b]
                    result[0, b] -= w * math.log(phi) if phi > 0.0 else math.nan
                    over = w / phi
                    at = 1 + q
                    for c in range(q):
                        j = (1 + c) * WIDTH + b
                        x = run[j] - share * own[j]
                        result[1 + c, b] -= x * over
                        for d in range(c + 1 if squares else 0):
                            j = (1 + d) * WIDTH + b
                            y = run[j] - share * own[j]
                            j = at * WIDTH + b
                            result[at, b] += (
                                run[j] - share * own[j] - x * (y / phi)
                            ) * over
                            at += 1
