"""Compiled pass for score and martingale residuals: each row's own share."""

from __future__ import annotations

from numba import types

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
    kernel,
    total_of,
)
from .kernels_risk import BLOCK, _add_doses, _read_cells, _risks


@kernel(
    types.void(
        i8, i8, I4R, I4R, I4R, F8R, F8R,  # rows
        I8R, I4R, I4R,  # runs
        I4R, I8R, I4R, F8R, I4R, F8R2, I8R, F8R,  # times, steps, tables
        I4R, i8, F8R2, F8R2, F8R,
        F8W2, F8W, F8W2, F8W2,
    ),
)  # fmt: skip
def score_pass(
    i0, i1, lo, hi, subject, lin, weight,
    run_ptr, run_lo, run_hi,
    tev, ptr, time, level, cut, ctab, col_ptr, coef,
    log2, width, sums, cells, down,
    scratch, u, v, b,
):  # fmt: skip
    """Sums over the event times of each row i, with its risk rho(e).

    u[i - i0]    = sum_e rho(e) sums[0, e]
    b[i - i0, c] = sum_e rho(e) sums[1 + c, e]      (one per parameter)
    v[i - i0, c] = sum_e rho(e) sums[0, e] D_c(e)   (one per feature)

    u, v and b are zero on entry; ``sums`` and ``down`` end in PAD zeros;
    ``cells[c]`` is ``gather_cells`` of sums[c] times the factor that lowers
    risks; scratch is (features + 2, ROOM).
    """
    n_terms = cut.size
    n_ptr = ptr.size // max(n_terms, 1)
    n_feat = coef.size
    n_par = b.shape[1]
    for i in range(i0, i1):
        if weight[i] == 0.0:
            continue
        a = lo[i]
        s = subject[i]
        r = weight[i] * exp(lin[i])
        own = b[i - i0]
        total = 0.0
        for run in range(run_ptr[i], run_ptr[i + 1] + 1):
            # After the last run comes what is left of the row.
            last = run == run_ptr[i + 1]
            x = hi[i] if last else run_lo[run]
            y = hi[i] if last else run_hi[run]
            if x > a:
                total += r * _read_cells(cells[0], log2, width, a, x)
                for c in range(n_par):
                    own[c] += r * _read_cells(cells[1 + c], log2, width, a, x)
            a = y
            for e in range(x, y, BLOCK):
                n = min(y - e, BLOCK)
                n8 = (n + 7) & ~7
                for c in range(n_feat):
                    f = scratch[c, :n8]
                    for q in range(n8):
                        f[q] = 0.0
                for k in range(n_terms):
                    p = k * n_ptr + s
                    c0 = col_ptr[k]
                    c1 = col_ptr[k + 1]
                    _add_doses(
                        scratch[c0:c1], ctab[c0:c1], tev, e, n, time, level,
                        ptr[p], ptr[p + 1], cut[k],
                    )  # fmt: skip
                rho = scratch[n_feat, :n8]
                wrho = scratch[n_feat + 1, :n8]
                lower = down[e : e + n8]
                for q in range(n8):
                    rho[q] = lin[i] - lower[q]
                for c in range(n_feat):
                    add_scaled(rho, coef[c], scratch[c, :n8])
                _risks(rho, n, weight[i])
                weigh = sums[0, e : e + n8]
                for q in range(n8):
                    wrho[q] = rho[q] * weigh[q]
                total += total_of(wrho)
                for c in range(n_feat):
                    v[i - i0, c] += dot(wrho, scratch[c, :n8])
                for c in range(n_par):
                    own[c] += dot(rho, sums[1 + c, e : e + n8])
        u[i - i0] = total
