"""Compiled passes for many sets of weights and coefficients at once.

A lane is one bootstrap replicate: its own weight per subject and its own
coefficients. Features are made once per row and block of event times and serve
all lanes; where a row has no dose in its window, the lanes are the innermost,
vectorised loop. A lane's numbers do not depend on the other lanes.
"""

from __future__ import annotations

from numba import types

from ..kernels_math import F8R, F8R2, F8W, F8W2, I4R, I8R, exp, f8, i8, inner, kernel
from ..kernels_vector import all8, exp8, load8, store8, sum8
from .kernels_risk import BLOCK, _add_doses, _add_line, _set_lines, _spread_cells

# Lanes carried together; fixed, so that results are the same for any chunks.
LANES = 8


@inner
def _add_lanes(cell, risk, z):
    """cell (1 + covariates, LANES) flat += risk {1, z}."""
    for b in range(LANES):
        cell[b] += risk[b]
    for c in range(z.size):
        to = cell[(c + 1) * LANES : (c + 2) * LANES]
        for b in range(LANES):
            to[b] += z[c] * risk[b]


@inner
def _lane_risks(i, s, w, lane, offset, z, gamma, weight, top, lin, risk, weigh):
    """Linear predictor, weight and risk of each lane; False if none has weight."""
    some = False
    for b in range(LANES):
        weigh[b] = w[lane[b], s] * weight[i] if lane[b] >= 0 else 0.0
        some = some or weigh[b] != 0.0
        lin[b] = offset[i] - top
    if some:
        for c in range(z.shape[1]):
            for b in range(LANES):
                lin[b] += z[i, c] * gamma[c, b]
        for b in range(LANES):
            risk[b] = exp(lin[b])
        for b in range(LANES):
            # 0 * inf is not 0
            risk[b] = risk[b] * weigh[b] if weigh[b] != 0.0 else 0.0
    return some


@inner
def _features(scratch, ctab, col_ptr, tev, e, n, time, level, ptr, n_ptr, s, cut):
    n8 = (n + 7) & ~7
    for c in range(ctab.shape[0]):
        f = scratch[c, :n8]
        for q in range(n8):
            f[q] = 0.0
    for k in range(cut.size):
        p = k * n_ptr + s
        c0 = col_ptr[k]
        c1 = col_ptr[k + 1]
        _add_doses(
            scratch[c0:c1], ctab[c0:c1], tev, e, n, time, level,
            ptr[p], ptr[p + 1], cut[k],
        )  # fmt: skip


@kernel(
    types.void(
        i8, i8, I4R, I4R, I4R, F8R, F8R, F8R2,  # rows
        I8R, I4R, I4R,  # runs
        I4R, I8R, I4R, F8R, I4R, F8R2, I8R,  # times, steps, tables
        F8R2, I4R, F8R2, F8R2, f8,  # lanes
        I4R, i8, i8, F8R2, F8R2,
        F8W2, F8W2, F8W2, F8W2,
    ),
)  # fmt: skip
def many_risks(
    i0, i1, lo, hi, subject, offset, weight, z,
    run_ptr, run_lo, run_hi,
    tev, ptr, time, level, cut, ctab, col_ptr,
    w, lane, gamma, coef, top,
    log2, levels, width, down, factor,
    cells, scratch, small, sums,
):  # fmt: skip
    """Risks at each event time, and their products with covariates and features.

    Row b (1 + q + J) + k of ``sums`` (events + PAD columns) is that of lane b;
    k = 0 risks, then covariates, then features. ``w`` (replicates, subjects)
    holds weights, ``lane`` (LANES) the replicate of each lane or -1; gamma
    (q, LANES) and coef (LANES, J) coefficients. Zeros on entry: sums, cells
    (levels * width, (1 + q) LANES). scratch (J + 1, ROOM), small (3, LANES).
    """
    n_ptr = ptr.size // max(cut.size, 1)
    n_feat = coef.shape[1]
    n_cov = z.shape[1]
    per = 1 + n_cov + n_feat
    room = scratch.shape[1]
    columns = sums.shape[1]
    lin = small[0]
    risk = small[1]
    weigh = small[2]
    for i in range(i0, i1):
        s = subject[i]
        if not _lane_risks(
            i, s, w, lane, offset, z, gamma, weight, top, lin, risk, weigh
        ):
            continue
        a = lo[i]
        for run in range(run_ptr[i], run_ptr[i + 1] + 1):
            # After the last run comes what is left of the row.
            last = run == run_ptr[i + 1]
            x = hi[i] if last else run_lo[run]
            y = hi[i] if last else run_hi[run]
            if x > a:
                k = i8(log2[a ^ (x - 1)])
                _add_lanes(cells[k * width + a], risk, z[i])
                if k > 0:
                    _add_lanes(cells[k * width + x - 1], risk, z[i])
            a = y
            for e in range(x, y, BLOCK):
                n = min(y - e, BLOCK)
                n8 = (n + 7) & ~7
                _features(
                    scratch, ctab, col_ptr, tev, e, n, time, level, ptr, n_ptr, s, cut
                )
                for b in range(LANES):
                    if weigh[b] == 0.0:
                        continue
                    base = all8(lin[b])
                    weight_b = all8(weigh[b])
                    for q in range(0, n8, 8):
                        eta = base - load8(down, b * down.shape[1] + e + q)
                        for c in range(n_feat):
                            f = load8(scratch, c * room + q)
                            eta = eta + all8(coef[b, c]) * f
                        rho = weight_b * exp8(eta)
                        if q + 8 > n:
                            store8(scratch, n_feat * room, rho)
                            for k in range(n - q, 8):
                                scratch[n_feat, k] = 0.0
                            rho = load8(scratch, n_feat * room)
                        to = b * per * columns + e + q
                        _add_line(sums, to, rho)
                        for c in range(n_cov):
                            to += columns
                            _add_line(sums, to, all8(z[i, c]) * rho)
                        for c in range(n_feat):
                            to += columns
                            _add_line(sums, to, rho * load8(scratch, c * room + q))
    for b in range(LANES):
        if lane[b] >= 0:
            for c in range(1 + n_cov):
                _spread_cells(cells, width, c * LANES + b, factor[b], sums[b * per + c])


@kernel(
    types.void(
        i8, i8, I4R, I4R, I4R, F8R, F8R, F8R2,  # rows
        I8R, I4R, I4R,  # runs
        I4R, I8R, I4R, F8R, I4R, F8R2, I8R,  # times, steps, tables
        F8R2, I4R, F8R2, F8R2, f8,  # lanes
        I4R, i8, F8R2, F8R2, F8R2,
        F8W2, F8W2, F8W2, F8W2,
    ),
)  # fmt: skip
def many_seconds(
    i0, i1, lo, hi, subject, offset, weight, z,
    run_ptr, run_lo, run_hi,
    tev, ptr, time, level, cut, ctab, col_ptr,
    w, lane, gamma, coef, top,
    log2, width, down, wt, wt_cells,
    scratch, small, v, second,
):  # fmt: skip
    """Weighted second moments: sum of wt[b, e] rho x x', lower half by rows.

    second (p (p + 1) / 2, LANES), covariates first, is zero on entry; wt_cells
    (levels * width, LANES) as ``gather_cells`` makes them. scratch
    (2 J + 1 + J (J + 1) / 2, ROOM), small (4, LANES), v (J, LANES); the rest as in
    ``many_risks``.
    """
    n_ptr = ptr.size // max(cut.size, 1)
    n_feat = coef.shape[1]
    n_cov = z.shape[1]
    room = scratch.shape[1]
    # Sums of weighted features, then of their products, a line of eight each.
    products = scratch[n_feat + 1 :]
    lin = small[0]
    risk = small[1]
    weigh = small[2]
    u = small[3]
    for i in range(i0, i1):
        s = subject[i]
        if n_cov == 0 and run_ptr[i] == run_ptr[i + 1]:
            continue
        if not _lane_risks(
            i, s, w, lane, offset, z, gamma, weight, top, lin, risk, weigh
        ):
            continue
        a = lo[i]
        for b in range(LANES):
            u[b] = 0.0
            for c in range(n_feat):
                v[c, b] = 0.0
        for run in range(run_ptr[i], run_ptr[i + 1] + 1):
            last = run == run_ptr[i + 1]
            x = hi[i] if last else run_lo[run]
            y = hi[i] if last else run_hi[run]
            if x > a and n_cov > 0:
                k = i8(log2[a ^ (x - 1)])
                one = wt_cells[k * width + a]
                two = wt_cells[k * width + x - 1]
                share = 1.0 if k > 0 else 0.0
                for b in range(LANES):
                    u[b] += risk[b] * (one[b] + share * two[b])
            a = y
            for e in range(x, y, BLOCK):
                n = min(y - e, BLOCK)
                n8 = (n + 7) & ~7
                _features(
                    scratch, ctab, col_ptr, tev, e, n, time, level, ptr, n_ptr, s, cut
                )
                for b in range(LANES):
                    if weigh[b] == 0.0:
                        continue
                    base = all8(lin[b])
                    weight_b = all8(weigh[b])
                    total = all8(0.0)
                    _set_lines(products, products.shape[0], 8, 0.0)
                    for q in range(0, n8, 8):
                        eta = base - load8(down, b * down.shape[1] + e + q)
                        for c in range(n_feat):
                            f = load8(scratch, c * room + q)
                            eta = eta + all8(coef[b, c]) * f
                        rho = weight_b * exp8(eta)
                        if q + 8 > n:
                            store8(scratch, n_feat * room, rho)
                            for k in range(n - q, 8):
                                scratch[n_feat, k] = 0.0
                            rho = load8(scratch, n_feat * room)
                        rho = rho * load8(wt, b * wt.shape[1] + e + q)
                        total = total + rho
                        at = room * n_feat
                        for c in range(n_feat):
                            wf = rho * load8(scratch, c * room + q)
                            _add_line(products, c * room, wf)
                            for d in range(c + 1):
                                f = load8(scratch, d * room + q)
                                _add_line(products, at, wf * f)
                                at += room
                    u[b] += sum8(total)
                    at = n_cov * (n_cov + 1) // 2
                    k = n_feat
                    for c in range(n_feat):
                        v[c, b] += sum8(load8(products, c * room))
                        at += n_cov
                        for d in range(c + 1):
                            second[at + d, b] += sum8(load8(products, k * room))
                            k += 1
                        at += c + 1
        at = 0
        for c in range(n_cov):
            for d in range(c + 1):
                zz = z[i, c] * z[i, d]
                for b in range(LANES):
                    second[at, b] += zz * u[b]
                at += 1
        if run_ptr[i] < run_ptr[i + 1]:
            for c in range(n_feat):
                for d in range(n_cov):
                    for b in range(LANES):
                        second[at + d, b] += z[i, d] * v[c, b]
                at += n_cov + c + 1


@kernel(types.void(F8R, F8R2, F8W))
def weighted_total(w, score, out):
    """out[c] = sum_i w[i] score[i, c], in the order of i."""
    for c in range(out.size):
        out[c] = 0.0
    for i in range(w.size):
        if w[i] != 0.0:
            for c in range(out.size):
                out[c] += w[i] * score[i, c]
