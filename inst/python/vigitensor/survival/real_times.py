"""Real-valued times: integrated bases as piecewise polynomials.

A record (s, e] of dose d contributes, at event time t, d times the integral of
the basis over the lags from t - e to t - s inside [0, m]: d (C(t - s) -
C(t - e)), with C kept as a piecewise polynomial, so that nothing is rounded to a
grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Union

import numpy as np

from .._typing import Bools, Floats, Ints
from ..cache import load_kernels
from .exposure import REAL, Records, Steps
from .riskset import RiskSet

_ROWS_PER_LOOK = 2048


@dataclass(frozen=True)
class Curve:
    """C on [0, m]: on piece k a polynomial in u - breaks[k]."""

    breaks: Floats  # (K + 1,) from 0 to the window m
    coef: Floats  # (K, powers, J)

    @property
    def window(self) -> float:
        """Longest lag with a weight."""
        return float(self.breaks[-1])

    @property
    def n_columns(self) -> int:
        """Number of features."""
        return int(self.coef.shape[2])

    def largest(self) -> Floats:
        """About the largest value of each column, (J,)."""
        width = np.diff(self.breaks)[:, None, None]
        return np.abs(self.coef * width ** np.arange(self.coef.shape[1])[:, None]).sum(
            axis=1
        ).max(axis=0)  # fmt: skip


# The cumulated basis of a term: a table (m + 1, J) for whole times, or a curve.
Basis = Union[Floats, Curve]


def n_columns(basis: Basis) -> int:
    """Number of features of one term."""
    return basis.n_columns if isinstance(basis, Curve) else int(basis.shape[1])


def window_of(basis: Basis) -> float:
    """Longest lag with a weight."""
    return basis.window if isinstance(basis, Curve) else len(basis) - 1


def pack_curves(curves: Sequence[Curve]) -> tuple[Floats, Ints]:
    """Rows for the kernels, and how many numbers of each row are its header."""
    head = np.array([2 + c.breaks.size for c in curves], np.int64)
    size = max((2 + c.breaks.size + c.coef[..., 0].size for c in curves), default=0)
    rows = np.zeros((sum(c.n_columns for c in curves), size))
    at = 0
    for curve, h in zip(curves, head):
        pieces, powers, columns = curve.coef.shape
        part = rows[at : at + columns]
        part[:, 0], part[:, 1] = pieces, powers
        part[:, 2:h] = curve.breaks
        part[:, h : h + pieces * powers] = curve.coef.reshape(-1, columns).T
        at += columns
    return rows, head


def real_steps(
    terms: Sequence[Records], n_subjects: int, tev: Floats, window: float
) -> Steps:
    """Steps of the summed dose of every term and subject, times as given."""
    ptrs, times, levels = [], [], []
    offset = 0
    for term in terms:
        start = np.clip(term.start, tev.min() - window, tev.max())
        stop = np.clip(term.stop, tev.min() - window, tev.max())
        keep = stop > start
        subject = np.tile(term.subject[keep], 2)
        when = np.concatenate((start[keep], stop[keep]))
        change = np.concatenate((term.dose[keep], -term.dose[keep]))
        begins = np.arange(subject.size) < subject.size // 2
        order = np.lexsort((begins, when, subject))
        ptr = np.empty(n_subjects + 1, np.int64)
        time, level = np.empty(subject.size), np.empty(subject.size)
        used = load_kernels(REAL).sum_steps(
            subject[order], when[order], change[order], begins[order], n_subjects,
            ptr, time, level,
        )  # fmt: skip
        ptrs.append(ptr + offset)
        times.append(time[:used])
        levels.append(level[:used])
        offset += used
    return Steps(
        np.concatenate(ptrs), np.concatenate(times), np.concatenate(levels), len(ptrs)
    )


def covered_cells(
    risk: RiskSet, subject: Ints, tev: Floats, steps: Steps, term: int, cells: Floats
) -> Bools:
    """Which stretches between neighbouring lags some row at risk has a dose in."""
    covered = np.zeros(cells.size - 1, bool)
    n_ptr = steps.ptr.size // steps.n_terms
    ptr = steps.ptr[term * n_ptr : (term + 1) * n_ptr]
    n = risk.lo.size
    for i0 in range(0, n, _ROWS_PER_LOOK):
        mark = np.zeros(cells.size, np.int64)
        load_kernels(REAL).mark_cells(
            i0, min(i0 + _ROWS_PER_LOOK, n), risk.lo, risk.hi, subject, tev,
            ptr, steps.time, steps.level, cells, mark,
        )  # fmt: skip
        covered |= np.cumsum(mark)[:-1] > 0
        if covered.all():
            break
    return covered
