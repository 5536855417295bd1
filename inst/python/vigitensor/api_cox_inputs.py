"""Rows of a Cox model, checked; the means its predictors are centred by."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import checks
from ._typing import Floats
from .errors import EngineError
from .pool import run_slices
from .survival.cox_rows import CoxRows

FIRST = 1  # R's first code
TIES = ("efron", "breslow", "exact")


def cox_rows(
    start: Any, stop: Any, event: Any, stratum: Any, offset: Any, weight: Any, x: Any
) -> CoxRows:
    """Checked rows; see :func:`fit_cox`."""
    ends = checks.vector(stop, "stop")
    n = ends.size
    begins = None
    if start is not None:
        begins = checks.vector(start, "start", n)
        checks.after(begins, ends, "stop")
    happened = checks.vector(event, "event", n)
    if not np.all((happened == 0) | (happened == 1)):
        raise EngineError("`event` must be 0 or 1.", code="bad_event", arg="event")
    weights = checks.vector(weight, "weight", n)
    if n and weights.min() < 0:
        raise EngineError(
            "`weight` must not be negative.", code="bad_weight", arg="weight"
        )
    columns, mean = _covariates(x, n)
    return CoxRows(
        start=begins,
        stop=ends,
        event=happened.astype(np.int8),
        stratum=checks.codes(stratum, "stratum", n, None, FIRST),
        offset=checks.vector(offset, "offset", n),
        weight=weights,
        x=columns,
        mean=mean,
    )


def ridge(penalty: Any, q: int) -> Floats:
    """Penalties (q,) of squared coefficients; zeros for None."""
    theta = np.zeros(q) if penalty is None else checks.vector(penalty, "penalty", q)
    if np.any(theta < 0):
        raise EngineError(
            "`penalty` must not be negative.", code="bad_penalty", arg="penalty"
        )
    return theta


def _covariates(x: Any, n: int) -> tuple[Floats, Floats]:
    """Columns and their means; one pass, in threads, also finds what is not finite."""
    columns = np.asarray(x)
    if columns.dtype != np.float64 or columns.ndim != 2 or columns.shape[0] != n:
        columns = checks.matrix(x, "x", n)
    sums = np.empty(columns.shape[1])

    def work(c: int) -> None:
        sums[c] = columns[:, c].sum()

    with np.errstate(all="ignore"):
        run_slices(work, range(sums.size))
    if not np.all(np.isfinite(sums)):
        columns = checks.matrix(columns, "x", n)
    return columns, sums / max(n, 1)


def centring(rows: CoxRows, weighted: bool, nocenter: Any) -> Floats:
    """Means that linear predictors are centred by, as in coxph.

    Weighted for right-censored data without a penalty, plain otherwise; 0 for
    columns that hold nothing but the values ``nocenter``.
    """
    means = rows.mean.copy()
    if weighted and np.any(rows.weight != 1):
        means = rows.weight @ rows.x / rows.weight.sum()
    values = np.asarray([] if nocenter is None else nocenter, dtype=np.float64)

    def work(c: int) -> None:
        column = rows.x[:, c]
        # Most columns show it in their first rows.
        if np.isin(column[:1000], values).all() and np.isin(column, values).all():
            means[c] = 0.0

    run_slices(work, range(means.size))
    return means
