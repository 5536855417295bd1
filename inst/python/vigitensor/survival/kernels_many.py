"""Compiled passes for many sets of weights and coefficients at once.

A lane is one bootstrap replicate: its own weight per subject and its own
coefficients. Features are made once per row and block of event times and serve
all lanes; where a row has no dose in its window, the lanes are the innermost,
vectorised loop. A lane's numbers do not depend on the other lanes.
"""

from __future__ import annotations

import math

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


@inner
def _recall(scratch, kept, pair, n8):
    for c in range(kept.shape[0]):
        for q in range(0, n8, 8):
            f = load8(kept, c * kept.shape[1] + pair + q)
            store8(scratch, c * scratch.shape[1] + q, f)


@kernel(
    types.void(
        i8, i8, I4R, I8R, I4R, I4R,
        I4R, I8R, I4R, F8R, I4R, F8R2, I8R, I8R, F8W2, F8W2,
    ),
)  # fmt: skip
def keep_features(
    i0, i1, subject, run_ptr, run_lo, run_hi,
    tev, ptr, time, level, cut, ctab, col_ptr, kept_at, scratch, kept,
):  # fmt: skip
    """Features of the runs of rows i0..i1, from kept[:, kept_at[i]] on.

    As the passes read them: runs in blocks, each filled up to whole lines.
    scratch (J, ROOM).
    """
    n_ptr = ptr.size // max(cut.size, 1)
    for i in range(i0, i1):
        s = subject[i]
        pair = kept_at[i]
        for run in range(run_ptr[i], run_ptr[i + 1]):
            for e in range(run_lo[run], run_hi[run], BLOCK):
                n = min(run_hi[run] - e, BLOCK)
                _features(
                    scratch, ctab, col_ptr, tev, e, n, time, level, ptr, n_ptr, s, cut
                )
                for q in range(0, n, 8):
                    for c in range(kept.shape[0]):
                        f = load8(scratch, c * scratch.shape[1] + q)
                        store8(kept, c * kept.shape[1] + pair, f)
                    pair += 8


@kernel(
    types.void(
        i8, i8, I4R, I4R, I4R, F8R, F8R, F8R2,  # rows
        I8R, I4R, I4R,  # runs
        I4R, I8R, I4R, F8R, I4R, F8R2, I8R,  # times, steps, tables
        I8R, F8R2,  # features, if kept
        F8R2, I4R, F8R2, F8R2, f8,  # lanes
        I4R, i8, i8, F8R2, F8R2,
        F8W2, F8W2, F8W2, F8W2,
    ),
)  # fmt: skip
def many_risks(
    i0, i1, lo, hi, subject, offset, weight, z,
    run_ptr, run_lo, run_hi,
    tev, ptr, time, level, cut, ctab, col_ptr, kept_at, kept,
    w, lane, gamma, coef, top,
    log2, levels, width, down, factor,
    cells, scratch, small, sums,
):  # fmt: skip
    """Risks at each event time, and their products with covariates and features.

    Row b (1 + q + J) + k of ``sums`` (events + PAD columns) is that of lane b;
    k = 0 risks, then covariates, then features. ``w`` (replicates, subjects)
    holds weights, ``lane`` (LANES) the replicate of each lane or -1; gamma
    (q, LANES) and coef (LANES, J) coefficients. ``kept`` holds the features
    (``keep_features``), or is empty. Zeros on entry: sums, cells
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
        pair = kept_at[i] if kept.size > 0 else i8(0)
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
                if kept.size > 0:
                    _recall(scratch, kept, pair, n8)
                    pair += n8
                else:
                    _features(
                        scratch, ctab, col_ptr, tev, e, n, time, level, ptr, n_ptr, s,
                        cut,
                    )  # fmt: skip
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
        I8R, F8R2,  # features, if kept
        F8R2, I4R, F8R2, F8R2, f8,  # lanes
        I4R, i8, F8R2, F8R2, F8R2,
        F8W2, F8W2, F8W2, F8W2,
    ),
)  # fmt: skip
def many_seconds(
    i0, i1, lo, hi, subject, offset, weight, z,
    run_ptr, run_lo, run_hi,
    tev, ptr, time, level, cut, ctab, col_ptr, kept_at, kept,
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
        pair = kept_at[i] if kept.size > 0 else i8(0)
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
                if kept.size > 0:
                    _recall(scratch, kept, pair, n8)
                    pair += n8
                else:
                    _features(
                        scratch, ctab, col_ptr, tev, e, n, time, level, ptr, n_ptr, s,
                        cut,
                    )  # fmt: skip
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


@kernel(types.void(F8R, I8R, f8, F8W, F8W))
def lower_lane(eta, begin, top, lowered, down):
    """Predictors of deaths less their event's largest; that less ``top``."""
    for e in range(begin.size):
        d1 = begin[e + 1] if e + 1 < begin.size else eta.size
        most = eta[begin[e]]
        for d in range(begin[e] + 1, d1):
            # The negated test lets nan through.
            if not eta[d] <= most:
                most = eta[d]
        for d in range(begin[e], d1):
            lowered[d] = eta[d] - most
        down[e] = most - top


@kernel(f8(F8R, I8R, F8R, F8R, F8R, F8R, F8W, F8W, F8W, F8W, F8W))
def finish_lane(
    eta, begin, weight, fraction, mean_weight, sums, rho, ratio, share, s0, steps
):
    """Log-likelihood of a lane from its sums of risks (events,); nan if it has none.

    Deaths of weight 0 are none. Of each death: its risk, S0 / phi_l, and how often
    its covariates count in the score; of each event time: S0, 1 where nobody of
    this lane died (nobody may be left at risk there), and w(t) sum_l S0 / phi_l.
    """
    value = 0.0
    good = True
    for e in range(begin.size):
        d0 = begin[e]
        d1 = begin[e + 1] if e + 1 < begin.size else eta.size
        own = 0.0
        for d in range(d0, d1):
            rho[d] = weight[d] * exp(eta[d]) if weight[d] > 0.0 else 0.0
            own += rho[d]
        first = 0.0
        spared = 0.0
        for d in range(d0, d1):
            ratio[d] = 0.0
            if weight[d] > 0.0:
                phi = sums[e] - fraction[d] * own
                if phi > 0.0:
                    ratio[d] = sums[e] / phi
                    value += weight[d] * eta[d] - mean_weight[e] * math.log(phi)
                else:
                    good = False
            first += ratio[d]
            spared += fraction[d] * ratio[d]
        s0[e] = sums[e] if mean_weight[e] > 0.0 else 1.0
        steps[e] = mean_weight[e] * first
        back = mean_weight[e] * spared / s0[e] if s0[e] > 0.0 else 0.0
        for d in range(d0, d1):
            share[d] = weight[d] + back * rho[d]
    return value if good else math.nan
