"""Compiled block coordinate ascent on a quadratic model with a group penalty.

The model is s'd - d'Hd/2 - pen(theta + d), with blocks of J columns that are
whitened (so that H is near a multiple of the identity within a block), and

    pen = sum_g near_g |theta_g| + along_g sum_k |a_gk' theta_g|.

A block moves to the prox of its gradient step with the largest eigenvalue of its
own part of H, which majorises; within a block that is nearly exact. The prox of
the sum is the prox of the second part, then the shrinkage of the first (both are
positively homogeneous; Yu 2013, NIPS 26). The second is a box-constrained least
squares problem in its dual u, with as many unknowns as rows a_k, solved by
coordinates and begun where it ended last time.

Sources: Simon, Friedman, Hastie and Tibshirani (2013), JCGS 22, 231-245; Qin,
Scheinberg and Goldfarb (2013), Math. Prog. Comp. 5, 143-169.
"""

from __future__ import annotations

from numba import types

from ..kernels_math import F8R, F8R2, F8W, F8W2, f8, i8, inner, kernel

F8R3 = types.Array(f8, 3, "C", readonly=True)
# Change of the dual, in units of its box, that is rounding.
_STILL, _MOST = 1e-15, 20000


@inner
def _prox(x, near, along, rows, u, out):
    """out = prox of near |.| + along sum |a_k' .| at x; u its dual, kept."""
    n_col = x.size
    for c in range(n_col):
        out[c] = x[c]
    if along > 0.0:
        for k in range(rows.shape[0]):
            for c in range(n_col):
                out[c] -= along * u[k] * rows[k, c]
        for _ in range(_MOST):
            moved = 0.0
            for k in range(rows.shape[0]):
                length = 0.0
                along_row = 0.0
                for c in range(n_col):
                    length += rows[k, c] * rows[k, c]
                    along_row += rows[k, c] * out[c]
                if length == 0.0:
                    continue
                new = u[k] + along_row / (along * length)
                new = min(1.0, max(-1.0, new))
                change = new - u[k]
                if change != 0.0:
                    u[k] = new
                    for c in range(n_col):
                        out[c] -= along * change * rows[k, c]
                    moved = max(moved, abs(change))
            if moved <= _STILL:
                break
    length = 0.0
    for c in range(n_col):
        length += out[c] * out[c]
    length = length**0.5
    factor = 1.0 - near / length if length > near else 0.0
    for c in range(n_col):
        out[c] *= factor


@kernel(f8(F8R2, F8R2, F8R, F8R, F8R3, F8W2, F8W, F8W))
def distances(theta, score, near, along, rows, u, out, one):
    """out[g] = |theta_g - prox(theta_g + score_g)|, zero at the optimum.

    ``one`` (2 J) is scratch. Returns the largest.
    """
    most = 0.0
    n_col = theta.shape[1]
    for g in range(theta.shape[0]):
        for c in range(n_col):
            one[c] = theta[g, c] + score[g, c]
        _prox(one[:n_col], near[g], along[g], rows[g], u[g], one[n_col:])
        total = 0.0
        for c in range(n_col):
            total += (theta[g, c] - one[n_col + c]) ** 2
        out[g] = total**0.5
        most = max(most, out[g])
    return most


@kernel(types.void(F8R2, F8R, F8R, F8R3, F8W2, F8W, F8W))
def lengths(score, near, along, rows, u, out, one):
    """out[g] = length of the prox of the second part alone at score_g.

    A block stays zero where that is at most near[g].
    """
    n_col = score.shape[1]
    for g in range(score.shape[0]):
        _prox(score[g], 0.0, along[g], rows[g], u[g], one[:n_col])
        total = 0.0
        for c in range(n_col):
            total += one[c] * one[c]
        out[g] = total**0.5


@kernel(
    i8(F8R2, F8R2, F8R, F8R, F8R, F8R3, F8W2, F8W, F8W, i8, f8, F8W),
)
def block_ascent(
    hessian, free, size, near, along, rows, u, theta, score, most_sweeps, tol, one
):
    """Moves ``theta`` (q + k J,) to the top of the quadratic model.

    ``free`` (q, q) is the inverse of the part of the q columns without a penalty;
    ``size`` (k,) the largest eigenvalue of each block; ``score`` is that of the
    model where theta is, and is kept so. Stops when no block has moved by
    ``tol``. Returns the sweeps made. ``one`` (2 max(J, q)) is scratch.
    """
    q = free.shape[0]
    k = size.size
    n_col = (theta.size - q) // max(k, 1)
    for sweep in range(most_sweeps):
        moved = 0.0
        for c in range(q):
            one[c] = 0.0
            for d in range(q):
                one[c] += free[c, d] * score[d]
        for c in range(q):
            moved = max(moved, abs(one[c] * score[c]) ** 0.5)
        for c in range(q):
            if one[c] != 0.0:
                theta[c] += one[c]
                for r in range(score.size):
                    score[r] -= hessian[c, r] * one[c]
        for g in range(k):
            if size[g] <= 0.0:
                continue
            at = q + g * n_col
            for c in range(n_col):
                one[c] = theta[at + c] + score[at + c] / size[g]
            _prox(
                one[:n_col], near[g] / size[g], along[g] / size[g], rows[g], u[g],
                one[n_col:],
            )  # fmt: skip
            for c in range(n_col):
                change = one[n_col + c] - theta[at + c]
                if change != 0.0:
                    theta[at + c] += change
                    moved = max(moved, abs(change))
                    for r in range(score.size):
                        score[r] -= hessian[at + c, r] * change
        if moved <= tol:
            return sweep + 1
    return most_sweeps
