"""What R calls to fit Cox models without exposure terms; see ``api``.

Codes of strata and clusters come 1-based, inputs are never written to, every
fault is an ``EngineError`` with ``code`` and ``arg``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from . import cache, checks
from .api_cox_inputs import TIES, centring, cox_rows, ridge
from .api_inputs import control_settings
from .backends import cox_evaluator
from .errors import EngineError
from .survival.cox import fit_cox as _fit


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
    engine: str = "cpu",
    device: str | None = None,
    memory_mb: float | None = None,
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
    engine : {"cpu", "torch"}
        torch finds the optimum; linear predictors and residuals are the CPU's.
    device, memory_mb : optional
        As in :func:`vigitensor.api.fit_wce`.

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
        ``overflow``; ``exact_torch`` and, with torch, those of ``fit_wce``.

    Notes
    -----
    Memory: per event time, 130 bytes for every eight covariates and thread; per
    row about 60 bytes. ``x`` is copied only if it is not in Fortran order or if
    more than a quarter of the rows are never at risk.
    """
    rows = cox_rows(start, stop, event, stratum, offset, weight, x)
    q = rows.x.shape[1]
    ties = checks.word(ties, "ties", TIES)
    if ties == "exact" and np.any(rows.weight != 1):
        raise EngineError(
            "Case weights are not possible with exact ties; use Efron's or "
            "Breslow's method.",
            code="exact_weights",
            arg="weight",
        )
    begin = np.zeros(q) if init is None else checks.vector(init, "init", q)
    theta = ridge(penalty, q)
    settings = control_settings(control)
    cache.warm_up("fit_cox")
    means = centring(rows, start is None and penalty is None, nocenter)
    evaluator = cox_evaluator(engine, device, memory_mb)
    if ties == "exact" and evaluator is not None:
        raise EngineError(
            'Exact ties are computed by engine "cpu" only.',
            code="exact_torch",
            arg="engine",
        )
    fit = _fit(rows, ties, begin, theta, settings, means, evaluator)
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
