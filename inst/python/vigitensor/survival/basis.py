"""Cubic B-spline bases on lags 1..m, and their cumulated tables.

The engine's kernels take the cumulated table only, so any basis may be used;
these two are the usual ones:

- ``"clamped"``: knots at 1 and m repeated four times. The right constraint
  makes weight and slope exactly zero at lag m, the left one at lag 1.
- ``"WCE"``: knots -3, -2, -1, 0, interior, m, m+1, m+2, m+3, as the R package of
  that name has them; its constraints are zero only nearly.

Source: Sylvestre and Abrahamowicz (2009), Statistics in Medicine 28, 3437-3453.
"""

from __future__ import annotations

import numpy as np

from .._typing import Floats
from ..errors import EngineError

DEGREE = 3


def interior_knots(cutoff: int, nknots: int) -> Floats:
    """Quantiles (type 7) of 1..cutoff at j/(nknots + 1), rounded half to even."""
    share = np.arange(1, nknots + 1) / (nknots + 1)
    return np.rint(1 + (cutoff - 1) * share)


def lag_basis(
    cutoff: int,
    nknots: int = 1,
    *,
    constrained: str | None = None,
    basis: str = "clamped",
    knots: Floats | None = None,
) -> Floats:
    """Basis on lags 1..cutoff, shape (cutoff, nknots + 4), less 2 if constrained.

    Parameters
    ----------
    cutoff : int
        Last lag with a weight, in time units; at least 4.
    nknots : int
        Number of interior knots, at quantiles of the lags.
    constrained : {None, "right", "left"}
        Drop the last two columns (no weight at the oldest lag) or the first two.
    basis : {"clamped", "WCE"}
    knots : array, optional
        Interior knots instead of ``nknots`` quantiles.
    """
    if cutoff < 4 or int(cutoff) != cutoff:
        raise EngineError(
            "`cutoff` must be a whole number of at least 4 time units.",
            code="bad_cutoff",
            arg="cutoff",
        )
    if constrained not in (None, "right", "left"):
        raise EngineError(
            '`constrained` must be None, "right" or "left".',
            code="bad_constraint",
            arg="constrained",
        )
    m = int(cutoff)
    inner = interior_knots(m, nknots) if knots is None else np.sort(knots)
    if np.any(np.diff(np.concatenate(([1.0], inner, [m]))) <= 0):
        raise EngineError(
            "Interior knots must be distinct and inside (1, cutoff); use fewer.",
            code="bad_knots",
            arg="nknots" if knots is None else "knots",
        )
    if basis == "clamped":
        all_knots = np.concatenate((np.full(4, 1.0), inner, np.full(4, float(m))))
    elif basis == "WCE":
        ends = np.arange(4.0)
        all_knots = np.concatenate((ends - 3, inner, ends + m))
    else:
        raise EngineError(
            '`basis` must be "clamped" or "WCE".', code="bad_basis", arg="basis"
        )
    table = bspline(np.arange(1.0, m + 1), all_knots)
    if constrained == "right":
        table = table[:, :-2]
    elif constrained == "left":
        table = table[:, 2:]
    return table


def bspline(x: Floats, knots: Floats) -> Floats:
    """Cubic B-splines at x (n,) by the Cox-de Boor recursion, (n, knots - 4).

    Right-continuous, and closed at the last knot.
    """
    n_spans = knots.size - 1
    last = np.flatnonzero(np.diff(knots) > 0)[-1]
    at = np.minimum(np.searchsorted(knots, x, side="right") - 1, last)
    values = (at[:, None] == np.arange(n_spans)).astype(float)
    for degree in range(1, DEGREE + 1):
        size = n_spans - degree
        left = knots[:size]
        rise = knots[degree : degree + size] - left
        right = knots[degree + 1 : degree + 1 + size]
        fall = right - knots[1 : size + 1]
        with np.errstate(divide="ignore", invalid="ignore"):
            up = np.where(rise > 0, (x[:, None] - left) / rise, 0.0)
            down = np.where(fall > 0, (right - x[:, None]) / fall, 0.0)
        values = up * values[:, :size] + down * values[:, 1 : size + 1]
    return values


def cumulated(table: Floats) -> Floats:
    """C with C(0) = 0 and C(u) = B(1) + ... + B(u), shape (m + 1, J)."""
    return np.concatenate((np.zeros((1, table.shape[1])), np.cumsum(table, axis=0)))
