"""What R calls for Cox models without exposure terms; re-exported by ``api``.

As in ``api``: codes of strata and clusters come 1-based, inputs are never
written to, every fault is an ``EngineError`` with ``code`` and ``arg``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from . import cache, checks
from ._typing import Floats
from .errors import EngineError
from .pool import run_slices
from .survival.cox import CoxRows
from .survival.cox import fit_cox as _fit
from .survival.newton import Control

_FIRST = 1  # R's first code
_TIES = ("efron", "breslow", "exact")


def fit_cox(
    start: Any,
    stop: Any,
    event: Any,
    stratum: Any,
    offset: Any,
    weight: Any,
    x: Any,
    ties: str = "efron",
    init: Any = None,
    penalty: Any = None,
    control: Mapping[str, Any] | None = None,
    nocenter: Any = (-1.0, 0.0, 1.0),
) -> dict[str, Any]:
    """Fit a Cox model to rows (start, stop] with real-valued times.

    Parameters
    ----------
    start : array (n,) or None
        None: right-censored data, everybody at risk from the first event on.
    stop, event : array (n,)
        stop > start; an event (1) is at ``stop``.
    stratum : array (n,)
        Codes from 1.
    offset, weight : array (n,)
        Finite; weights not negative. A row of weight 0 has no part in the fit.
    x : array (n, q)
        Covariates; q may be 0. Fortran order is used as it is.
    ties : {"efron", "breslow", "exact"}
        "exact" is the conditional logistic likelihood; it allows no weights.
    init : array (q,), optional
        Starting values, zero by default; ``loglik[0]`` and the score test are
        those at the start.
    penalty : array (q,), optional
        Ridge: the likelihood less ``sum(penalty * beta**2) / 2`` is maximised.
    control : dict, optional
        ``max_iter`` (0: stay at ``init``), ``tol_step``, ``tol_singular``,
        ``max_halving``.
    nocenter : array, optional
        A column with these values alone has mean 0 in ``means``, as in coxph.

    Returns
    -------
    dict
        ``coefficients`` (q, NaN where dropped), ``var`` (q, q; zero where
        dropped), ``var2`` (with a penalty: var info var), ``loglik`` (2, without
        the penalty), ``penalty`` (2), ``score`` (q, gradient at the result),
        ``score_test``, ``info`` (q, q), ``iterations``, ``halvings``,
        ``converged``, ``infinite`` (q), ``n_event``, ``n_event_times``,
        ``linear_predictors`` (n, centred by ``means``), ``residuals`` (n,
        martingale), ``means`` (q).

    Raises
    ------
    EngineError
        Codes ``bad_shape``, ``bad_type``, ``not_finite``, ``bad_code``,
        ``bad_interval``, ``bad_weight``, ``bad_event``, ``bad_ties``,
        ``bad_penalty``, ``bad_control``, ``exact_weights``, ``no_event``,
        ``overflow``.

    Notes
    -----
    Memory: one copy of ``x`` and, per event time, 130 bytes for every eight
    covariates and thread.
    """
    rows = cox_rows(start, stop, event, stratum, offset, weight, x)
    q = rows.x.shape[1]
    ties = checks.word(ties, "ties", _TIES)
    if ties == "exact" and np.any(rows.weight != 1):
        raise EngineError(
            "Case weights are not possible with exact ties; use Efron's or "
            "Breslow's method.",
            code="exact_weights",
            arg="weight",
        )
    begin = np.zeros(q) if init is None else checks.vector(init, "init", q)
    theta = np.zeros(q) if penalty is None else checks.vector(penalty, "penalty", q)
    if np.any(theta < 0):
        raise EngineError(
            "`penalty` must not be negative.", code="bad_penalty", arg="penalty"
        )
    settings = _control(control)
    cache.warm_up()
    means = centring(rows, nocenter)
    fit = _fit(rows, ties, begin, theta, settings, means)
    found = fit.solution
    result = {
        "coefficients": fit.coefficients,
        "var": found.var,
        "loglik": found.loglik,
        "penalty": found.penalty,
        "score": found.score,
        "score_test": found.score_test,
        "info": found.info,
        "iterations": found.iterations,
        "halvings": found.halvings,
        "converged": found.converged,
        "infinite": found.infinite,
        "n_event": fit.n_events,
        "n_event_times": fit.n_event_times,
        "linear_predictors": fit.linear_predictors,
        "residuals": fit.residuals,
        "means": means,
    }
    if penalty is not None:
        result["var2"] = found.var2
    return result


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
        stratum=checks.codes(stratum, "stratum", n, None, _FIRST),
        offset=checks.vector(offset, "offset", n),
        weight=weights,
        x=columns,
        mean=mean,
    )


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


def centring(rows: CoxRows, nocenter: Any) -> Floats:
    """Means that linear predictors are centred by, as in coxph.

    Weighted for right-censored data, plain for (start, stop] data; 0 for columns
    that hold nothing but the values ``nocenter``.
    """
    means = rows.mean.copy()
    if rows.start is None and np.any(rows.weight != 1):
        means = rows.weight @ rows.x / rows.weight.sum()
    values = np.asarray([] if nocenter is None else nocenter, dtype=np.float64)

    def work(c: int) -> None:
        column = rows.x[:, c]
        # Most columns show it in their first rows.
        if np.isin(column[:1000], values).all() and np.isin(column, values).all():
            means[c] = 0.0

    run_slices(work, range(means.size))
    return means


def _control(control: Mapping[str, Any] | None) -> Control:
    known = Control()
    settings: dict[str, Any] = {}
    for name, value in dict(control or {}).items():
        default = getattr(known, name, None)
        if default is None:
            raise EngineError(
                f"`control` has no setting `{name}`.", code="bad_control", arg=name
            )
        number = float(value)
        if not number >= 0 or not np.isfinite(number):
            raise EngineError(
                f"`{name}` must be a number that is not negative.",
                code="bad_control",
                arg=name,
            )
        settings[name] = type(default)(number)
    return Control(**settings)
