"""Compiled passes over many drugs, of which a person has few at a time.

An item is a stretch of one person's use of one drug: steps of its dose whose
windows run into each other. At event times that none of a row's items reaches
its risk is constant and goes into the table of ranges (see ``kernels_risk``).
Elsewhere work is done for the items that are there: features by differences of
the cumulated basis, one basis for all drugs, and products among those present,
not among all. Nothing is kept per person and drug but the items themselves.
"""

from __future__ import annotations

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
    exp,
    i8,
    inner,
    kernel,
)
from ..kernels_vector import all8, load8, store8, sum8
from .kernels_records import first_at_least
from .kernels_risk import (
    BLOCK,
    _add_doses,
    _add_line,
    _add_row_to_cells,
    _add_to_cells,
    _read_cells,
    _risks,
    _set_lines,
    _spread_cells,
)


@inner
def _reached(lo, hi, k0, k1, item_ptr, tev, time, m, span):
    """Event indices in [lo, hi) that items k0..k1-1 reach, in order.

    span[0, j], span[1, j] is the range of item span[2, j]; how many there are.
    """
    n = 0
    for k in range(k0, k1):
        x = first_at_least(tev, lo, hi, i8(time[item_ptr[k]]) + 1)
        # An item's last step returns to no dose.
        y = first_at_least(tev, x, hi, i8(time[item_ptr[k + 1] - 1]) + m)
        if y <= x:
            continue
        j = n
        while j > 0 and span[0, j - 1] > x:
            span[0, j] = span[0, j - 1]
            span[1, j] = span[1, j - 1]
            span[2, j] = span[2, j - 1]
            j -= 1
        span[0, j] = x
        span[1, j] = y
        span[2, j] = k
        n += 1
    return n


@inner
def _joined(span, j, n):
    """One past the last of the items whose ranges touch that of item j."""
    end = span[1, j]
    k = j + 1
    while k < n and span[0, k] <= end:
        end = max(end, span[1, k])
        k += 1
    return k


@inner
def _end_of(span, j, k):
    end = span[1, j]
    for t in range(j + 1, k):
        end = max(end, span[1, t])
    return end


@kernel(
    types.void(
        i8, i8, I4R, I4R, I4R, F8R, F8R,  # rows
        I8R, I8R, I4R, I4R, F8R,  # items and their steps
        I4R, i8, F8R2, F8R, F8R,  # event times, window, tables
        I4R, i8, F8W2, F8W2, F8W, types.Array(types.int32, 2, "C"),
    ),
)  # fmt: skip
def sparse_risk_pass(
    i0, i1, lo, hi, subject, lin, weight,
    of, item_ptr, item_drug, time, level,
    tev, m, wtab, down, factor,
    log2, width, cells, scratch, s0, span,
):  # fmt: skip
    """As ``risk_pass``: s0[e] += exp(-down[e]) sum of the risks, rows i0..i1.

    Items of[s]..of[s + 1] - 1 are those of subject s, with steps from
    item_ptr[k]; ``wtab`` (drugs, PAD + m + 1 + PAD) is C @ coefficients; span
    (3, most items of a subject) is scratch.
    """
    flat = cells[:, 0]
    for i in range(i0, i1):
        if weight[i] == 0.0:
            continue
        a = i8(lo[i])
        s = subject[i]
        r = weight[i] * exp(lin[i])
        n_items = _reached(a, i8(hi[i]), of[s], of[s + 1], item_ptr, tev, time, m, span)
        j = i8(0)
        while j < n_items:
            k = _joined(span, j, n_items)
            x = i8(span[0, j])
            y = i8(_end_of(span, j, k))
            if x > a:
                _add_to_cells(flat, log2, width, a, x, r)
            a = y
            for e in range(x, y, BLOCK):
                n = min(y - e, BLOCK)
                n8 = (n + 7) & ~7
                covariates = all8(lin[i])
                for q in range(0, n8, 8):
                    store8(scratch, q, covariates - load8(down, e + q))
                for t in range(j, k):
                    if span[0, t] >= e + n or span[1, t] <= e:
                        continue
                    p = span[2, t]
                    d = item_drug[p]
                    _add_doses(
                        scratch, wtab[d : d + 1], tev, e, n, time, level,
                        item_ptr[p], item_ptr[p + 1], m,
                    )  # fmt: skip
                _risks(scratch[0, :n8], n, weight[i])
                for q in range(0, n8, 8):
                    store8(s0, e + q, load8(s0, e + q) + load8(scratch, q))
            j = k
        if hi[i] > a:
            _add_to_cells(flat, log2, width, a, i8(hi[i]), r)
    _spread_cells(cells, width, 0, factor, s0)


@kernel(
    types.void(
        i8, i8, I4R, I4R, I4R, F8R, F8R, F8R2,  # rows
        I8R, I8R, I4R, I4R, F8R,  # items and their steps
        I4R, i8, F8R2, F8R2,  # event times, window, basis, coefficients
        I4R, i8, F8R, F8R, F8R, F8R,
        F8W2, F8W2, F8W2, F8W2, F8W2, F8W, F8W,
        types.Array(types.int32, 2, "C"), I4W,
    ),
)  # fmt: skip
def sparse_moment_pass(
    i0, i1, lo, hi, subject, lin, weight, z,
    of, item_ptr, item_drug, time, level,
    tev, m, ctab, coef,
    log2, width, wt, wt_cells, down, factor,
    cells, scratch, s1, square, cross, u, v,
    span, slot_drug,
):  # fmt: skip
    """First and second moments at risk, one slice of rows (see ``moment_pass``).

    s1 (drugs * J + covariates, events + PAD) += sum_i rho_i(e) {D_i(e), z_i}
    square (drugs * J, drugs * J) += sum rho wt D D', some of it on either side
        of the diagonal: the product of two columns is in one of their two places
    cross (covariates, drugs * J) += sum rho wt z D'
    u[i - i0] += sum_e wt rho, v (drugs * J) += sum rho wt D
    scratch (2 J slots + 1 lines), slot_drug (slots): a slot for each item.
    """
    n_col = coef.shape[1]
    n_feat = coef.shape[0] * n_col
    n_cov = z.shape[1]
    room = scratch.shape[1]
    slots = slot_drug.size
    risk_line = 2 * slots * n_col
    for i in range(i0, i1):
        s = subject[i]
        if weight[i] == 0.0 or (n_cov == 0 and of[s] == of[s + 1]):
            continue
        a = i8(lo[i])
        r = weight[i] * exp(lin[i])
        u_i = 0.0
        n_items = _reached(a, i8(hi[i]), of[s], of[s + 1], item_ptr, tev, time, m, span)
        j = i8(0)
        while j < n_items:
            k = _joined(span, j, n_items)
            x = i8(span[0, j])
            y = i8(_end_of(span, j, k))
            if x > a and n_cov > 0:
                _add_row_to_cells(cells, log2, width, a, x, r, z[i])
                u_i += r * _read_cells(wt_cells, log2, width, a, x)
            a = y
            for e in range(x, y, BLOCK):
                n = min(y - e, BLOCK)
                n8 = (n + 7) & ~7
                used = i8(0)
                for t in range(j, k):
                    if span[0, t] >= e + n or span[1, t] <= e:
                        continue
                    p = span[2, t]
                    d = item_drug[p]
                    here = used
                    for b in range(used):  # stretches of one drug never meet
                        if slot_drug[b] == d:
                            here = b
                    first = here * n_col
                    if here == used:
                        slot_drug[used] = d
                        used += 1
                        _set_lines(scratch[first:], n_col, n8, 0.0)
                    _add_doses(
                        scratch[first : first + n_col], ctab, tev, e, n, time,
                        level, item_ptr[p], item_ptr[p + 1], m,
                    )  # fmt: skip
                covariates = all8(lin[i])
                for q in range(0, n8, 8):
                    eta = covariates - load8(down, e + q)
                    for b in range(used):
                        for c in range(n_col):
                            f = load8(scratch, (b * n_col + c) * room + q)
                            eta = eta + all8(coef[slot_drug[b], c]) * f
                    store8(scratch, risk_line * room + q, eta)
                _risks(scratch[risk_line, :n8], n, weight[i])
                all_of_row = all8(0.0)
                for q in range(0, n8, 8):
                    rho = load8(scratch, risk_line * room + q)
                    all_of_row = all_of_row + rho * load8(wt, e + q)
                    for c in range(n_cov):
                        one = all8(z[i, c])
                        _add_line(s1, (n_feat + c) * s1.shape[1] + e + q, rho * one)
                u_i += sum8(all_of_row)
                for b in range(used):
                    for c in range(n_col):
                        line = b * n_col + c
                        col = slot_drug[b] * n_col + c
                        total = all8(0.0)
                        for q in range(0, n8, 8):
                            f = load8(scratch, line * room + q)
                            f = f * load8(scratch, risk_line * room + q)
                            _add_line(s1, col * s1.shape[1] + e + q, f)
                            f = f * load8(wt, e + q)
                            store8(scratch, (slots * n_col + line) * room + q, f)
                            total = total + f
                        sum_c = sum8(total)
                        v[col] += sum_c
                        for h in range(n_cov):
                            cross[h, col] += z[i, h] * sum_c
                for b in range(used):
                    for c in range(n_col):
                        line = slots * n_col + b * n_col + c
                        col = slot_drug[b] * n_col + c
                        for other in range(b * n_col + c + 1):
                            total = all8(0.0)
                            for q in range(0, n8, 8):
                                total = total + load8(scratch, line * room + q) * load8(
                                    scratch, other * room + q
                                )
                            to = slot_drug[other // n_col] * n_col
                            square[col, to + other % n_col] += sum8(total)
            j = k
        if n_cov > 0:
            if hi[i] > a:
                _add_row_to_cells(cells, log2, width, a, i8(hi[i]), r, z[i])
                u_i += r * _read_cells(wt_cells, log2, width, a, i8(hi[i]))
            u[i - i0] = u_i
    for c in range(n_cov):
        _spread_cells(cells, width, c, factor, s1[n_feat + c])


@kernel(
    types.void(
        i8, i8, I4R, I4R, I4R, F8R, F8R, F8R2,  # rows
        I8R, I8R, I4R, I4R, F8R,  # items and their steps
        I4R, i8, F8R2, F8R2, I4R,  # event times, window, tables, where active
        I4R, i8, F8R, F8R, F8R, F8R,
        F8W2, F8W2, F8W, types.Array(types.int32, 2, "C"),
    ),
)  # fmt: skip
def sparse_score_pass(
    i0, i1, lo, hi, subject, lin, weight, z,
    of, item_ptr, item_drug, time, level,
    tev, m, ctab, wtab, place,
    log2, width, wt, wt_factor, wt_cells, down,
    scratch, v, u, span,
):  # fmt: skip
    """v[drug] += sum_i sum_e wt rho D of every drug; u (covariates) that of z.

    ``place[drug]`` is the drug's line of ``wtab``, or -1 where its coefficients
    are zero; ``wt_factor`` is wt * factor, with PAD zeros; scratch (J + 1, ROOM).
    """
    n_col = ctab.shape[0]
    n_cov = z.shape[1]
    room = scratch.shape[1]
    line = n_col * room
    for i in range(i0, i1):
        s = subject[i]
        if weight[i] == 0.0 or (n_cov == 0 and of[s] == of[s + 1]):
            continue
        a = i8(lo[i])
        r = weight[i] * exp(lin[i])
        u_i = 0.0
        n_items = _reached(a, i8(hi[i]), of[s], of[s + 1], item_ptr, tev, time, m, span)
        j = i8(0)
        while j < n_items:
            k = _joined(span, j, n_items)
            x = i8(span[0, j])
            y = i8(_end_of(span, j, k))
            if x > a and n_cov > 0:
                u_i += r * _read_cells(wt_cells, log2, width, a, x)
            a = y
            for e in range(x, y, BLOCK):
                n = min(y - e, BLOCK)
                n8 = (n + 7) & ~7
                active = False
                for t in range(j, k):
                    if place[item_drug[span[2, t]]] < 0:
                        continue
                    if span[0, t] >= e + n or span[1, t] <= e:
                        continue
                    if not active:
                        covariates = all8(lin[i])
                        for q in range(0, n8, 8):
                            store8(
                                scratch, line + q,
                                covariates - load8(down, e + q),
                            )  # fmt: skip
                    active = True
                    p = span[2, t]
                    d = place[item_drug[p]]
                    _add_doses(
                        scratch[n_col : n_col + 1], wtab[d : d + 1], tev, e, n,
                        time, level, item_ptr[p], item_ptr[p + 1], m,
                    )  # fmt: skip
                if active:
                    _risks(scratch[n_col, :n8], n, weight[i])
                    for q in range(0, n8, 8):
                        f = load8(scratch, line + q) * load8(wt, e + q)
                        store8(scratch, line + q, f)
                else:
                    for q in range(0, n8, 8):
                        f = all8(r) * load8(wt_factor, e + q)
                        store8(scratch, line + q, f)
                    for q in range(n, n8):
                        scratch[n_col, q] = 0.0
                all_of_row = all8(0.0)
                for q in range(0, n8, 8):
                    all_of_row = all_of_row + load8(scratch, line + q)
                u_i += sum8(all_of_row)
                # Reading may begin anywhere and end a vector later.
                store8(scratch, line + n8, all8(0.0))
                for t in range(j, k):
                    begin = max(i8(span[0, t]), e)
                    size = min(i8(span[1, t]), e + n) - begin
                    if size <= 0:
                        continue
                    p = span[2, t]
                    d = item_drug[p]
                    size8 = (size + 7) & ~7
                    _set_lines(scratch, n_col, size8, 0.0)
                    _add_doses(
                        scratch[:n_col], ctab, tev, begin, size, time, level,
                        item_ptr[p], item_ptr[p + 1], m,
                    )  # fmt: skip
                    shift = line + begin - e
                    for c in range(n_col):
                        for q in range(size, size8):
                            scratch[c, q] = 0.0
                        total = all8(0.0)
                        for q in range(0, size8, 8):
                            total = total + load8(scratch, c * room + q) * load8(
                                scratch, shift + q
                            )
                        v[d, c] += sum8(total)
            j = k
        if n_cov > 0:
            if hi[i] > a:
                u_i += r * _read_cells(wt_cells, log2, width, a, i8(hi[i]))
            for c in range(n_cov):
                u[c] += u_i * z[i, c]


@kernel(
    i8(
        I4R, I4R, I8R, I8R, I4R, I4R, F8R, I4R, i8, F8R2,
        I8W, I4W, F8W2, F8W2, types.Array(types.int32, 2, "C"),
    ),
)  # fmt: skip
def sparse_features_at(
    subject, event, of, item_ptr, item_drug, time, level, tev, m, ctab,
    ptr, drug, one, out, span,
):  # fmt: skip
    """Features of ``subject[d]`` at event index ``event[d]``, drug by drug.

    They are written from ptr[d] on, as far as there is room: ``drug`` (found,),
    ``out`` (found, J). Returns how many there are; ``ptr`` (pairs + 1) may be
    zeros when only that is asked. ``one`` is scratch (J, PAD).
    """
    n_col = ctab.shape[0]
    total = i8(0)
    for d in range(subject.size):
        e = i8(event[d])
        s = subject[d]
        n = _reached(e, e + 1, of[s], of[s + 1], item_ptr, tev, time, m, span)
        for t in range(n):
            p = span[2, t]
            if total < drug.size:
                for c in range(n_col):
                    one[c, 0] = 0.0
                _add_doses(
                    one, ctab, tev, e, 1, time, level,
                    item_ptr[p], item_ptr[p + 1], m,
                )  # fmt: skip
                drug[total] = item_drug[p]
                for c in range(n_col):
                    out[total, c] = one[c, 0]
            total += 1
        if d + 1 < ptr.size:
            ptr[d + 1] = total
    return total
