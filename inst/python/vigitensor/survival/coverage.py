"""Which lags the data say anything about.

A lag is covered if some row at risk has a dose at that lag at some event time
of its stratum. A lag that is not carries no information on its weight.
"""

from __future__ import annotations

import numpy as np

from .._typing import Bools, Ints
from ..cache import load_kernels
from .exposure import RECORDS, Steps
from .riskset import RiskSet

_ROWS_PER_LOOK = 8192


def covered_lags(
    risk: RiskSet, subject: Ints, tev: Ints, steps: Steps, term: int, cut: int
) -> Bools:
    """Lags 1..cut of one term that some pair covers, shape (cut,).

    Looks at the rows in turn and stops once every lag is covered, which
    usually takes a few thousand rows.
    """
    covered = np.zeros(cut, bool)
    if steps.time.size == 0:
        return covered
    kernel = load_kernels(RECORDS).mark_lags
    n_ptr = steps.ptr.size // steps.n_terms
    ptr = steps.ptr[term * n_ptr : (term + 1) * n_ptr]
    # Ends of the runs of consecutive whole times.
    breaks = np.flatnonzero(np.diff(tev) != 1) + 1
    ends = np.append(breaks, tev.size)
    same = ends[np.searchsorted(ends, np.arange(tev.size), side="right")]
    same = same.astype(np.int32)
    mark = np.zeros(cut + 2, np.int32)
    n = risk.lo.size
    for i0 in range(0, n, _ROWS_PER_LOOK):
        mark[:] = 0
        ranges = kernel(
            i0, min(i0 + _ROWS_PER_LOOK, n), risk.lo, risk.hi, subject, tev, same,
            ptr, steps.time, steps.level, cut, mark,
        )  # fmt: skip
        if ranges:
            covered |= np.cumsum(mark)[1:-1] > 0
            if covered.all():
                break
    return covered
