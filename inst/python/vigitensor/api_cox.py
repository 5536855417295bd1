"""What R calls to fit Cox models without exposure terms; see ``api``.

Codes of strata and clusters come 1-based, inputs are never written to, every
fault is an ``EngineError`` with ``code`` and ``arg``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from . import cache, checks
from .api_cox_inputs import FIRST, TIES, centring, cox_rows
from .api_inputs import control_settings
from .backends import cox_evaluator
from .errors import EngineError
from .survival.cox import fit_cox as _fit
from .survival.cox_many import CoxMany


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
    Memory: one copy of ``x`` and, per event time, 130 bytes for every eight
    covariates and thread.
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
    theta = np.zeros(q) if penalty is None else checks.vector(penalty, "penalty", q)
    if np.any(theta < 0):
        raise EngineError(
            "`penalty` must not be negative.", code="bad_penalty", arg="penalty"
        )
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


def fit_cox_many(
    start: Any,
    stop: Any,
    event: Any,
    stratum: Any,
    offset: Any,
    weight: Any,
    x: Any,
    cluster: Any,
    counts: Any,
    ties: str = "efron",
    coefficients: Any = None,
    control: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Fit the same Cox model with many sets of weights: a bootstrap.

    Parameters
    ----------
    start, stop, event, stratum, offset, weight, x, control
        As in :func:`fit_cox`.
    ties : {"efron", "breslow"}
    cluster : array (n,)
        Codes from 1 of what is drawn: persons.
    counts : array (B, clusters)
        How often each was drawn, or any weight that is not negative. Row i has
        weight ``weight[i] * counts[b, cluster[i]]`` in replicate b; at weight 0
        it is not there.
    coefficients : array (q,), optional
        Those of the full fit, NaN where dropped; fitted here by default.

    Returns
    -------
    dict
        ``coefficients`` (B, q), ``loglik`` (B,), both NaN where a fit failed (no
        event, no information on a coefficient, a likelihood without a maximum),
        ``converged`` (B,), ``iterations`` (B,), ``failed`` (their number).
    """
    many = prepare_cox_many(
        start, stop, event, stratum, offset, weight, x, cluster, ties, coefficients,
        control,
    )  # fmt: skip
    drawn = np.asarray(counts)
    if drawn.ndim != 2 or drawn.shape[1] <= int(many.cluster.max(initial=0)):
        raise EngineError(
            "`counts` must be a matrix with a column for every cluster; its shape is "
            f"{drawn.shape}.",
            code="bad_shape",
            arg="counts",
        )
    if drawn.dtype.kind == "f" and not np.isfinite(drawn.sum()):
        checks.matrix(drawn, "counts")
    if drawn.dtype.kind != "u" and drawn.size and drawn.min() < 0:
        raise EngineError(
            "`counts` must not be negative.", code="bad_weight", arg="counts"
        )
    fits = many.fit(drawn)
    return {
        "coefficients": fits.coefficients,
        "loglik": fits.loglik,
        "converged": fits.converged,
        "iterations": fits.iterations,
        "failed": int(np.count_nonzero(~fits.converged)),
    }


def prepare_cox_many(
    start: Any,
    stop: Any,
    event: Any,
    stratum: Any,
    offset: Any,
    weight: Any,
    x: Any,
    cluster: Any,
    ties: str = "efron",
    coefficients: Any = None,
    control: Mapping[str, Any] | None = None,
) -> CoxMany:
    """What replicates share: ``.fit(counts)`` of the result takes them in chunks.

    For Python callers; the arguments are those of :func:`fit_cox_many`.
    """
    rows = cox_rows(start, stop, event, stratum, offset, weight, x)
    ties = checks.word(ties, "ties", ("efron", "breslow"))
    codes = checks.codes(cluster, "cluster", rows.n, None, FIRST)
    settings = control_settings(control)
    cache.warm_up("fit_cox_many")
    q = rows.x.shape[1]
    if coefficients is None:
        full = _fit(rows, ties, np.zeros(q), np.zeros(q), settings, rows.mean)
        begin = full.coefficients
    else:
        begin = np.asarray(coefficients, np.float64).reshape(q)
    return CoxMany(rows, codes, ties, begin, settings)
