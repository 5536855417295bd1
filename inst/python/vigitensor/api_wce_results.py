"""What R calls for predictions and checks of a fitted exposure model.

Re-exported by ``api``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from . import cache, checks
from .api_inputs import at_coefficients, fitted_model
from .survival import baseline as _baseline
from .survival.likelihood import moments

_FIRST = 1  # R's first code


def wce_baseline(
    start: Any,
    stop: Any,
    event: Any,
    stratum: Any,
    subject: Any,
    offset: Any,
    weight: Any,
    x: Any,
    n_subjects: int,
    terms: Sequence[Mapping[str, Any]],
    design: Sequence[Any],
    coefficients: Any,
    ties: str = "efron",
    residuals: bool = False,
) -> dict[str, Any]:
    """Baseline hazard of a fitted model, and Schoenfeld residuals.

    Parameters
    ----------
    start, stop, event, stratum, subject, offset, weight, x, n_subjects, terms
        As in :func:`vigitensor.api.fit_wce`.
    design : list of array (m + 1, J)
        The cumulated basis table of each term.
    coefficients : array (p,)
        Of a fit; NaN or 0 where a column was dropped.
    ties : {"efron", "breslow"}
    residuals : bool
        Also the Schoenfeld residuals.

    Returns
    -------
    dict
        ``loglik`` at the coefficients. By event time, sorted by stratum and
        time: ``time``, ``stratum`` (from 1), ``shift``, and, all times
        exp(-shift), the steps ``hazard`` (of somebody with covariates, offset and
        doses 0), ``variance`` (times exp(-2 shift)) and ``mean`` (events, p;
        minus the derivative of the hazard by the coefficients, not lowered
        twice). With ``residuals``, by death in the same order: ``schoenfeld``
        (deaths, p) and ``row`` (from 1).

    Notes
    -----
    The time of one and a half Newton steps. Efron's ties as in ``survival::survfit``
    for Cox models.
    """
    model = fitted_model(
        start, stop, event, stratum, subject, offset, weight, x, n_subjects,
        terms, design, coefficients, ties,
    )  # fmt: skip
    cache.warm_up("wce_baseline")
    rows, problem = model.rows, model.problem()
    point = at_coefficients(problem, model.given)
    risk, q = problem.risk, problem.n_cov
    at = moments(problem, point)
    found = _baseline.baseline(problem, point, at)
    # The engine's covariates are centred.
    centre = rows.x[risk.rows].mean(axis=0)
    mean = found.mean.copy()
    mean[:, :q] += found.hazard[:, None] * centre
    first = risk.rows[risk.death_row[risk.death_begin]]
    out = {
        "time": risk.time,
        "stratum": rows.stratum[first] + _FIRST,
        "hazard": found.hazard,
        "variance": found.variance,
        "mean": mean,
        "shift": found.shift + float(centre @ point.beta[:q]),
        "loglik": point.loglik,
    }
    if residuals:
        out["schoenfeld"] = _baseline.schoenfeld(problem, point, at)
        out["row"] = risk.rows[risk.death_row] + _FIRST
    return out


def wce_time_information(
    start: Any,
    stop: Any,
    event: Any,
    stratum: Any,
    subject: Any,
    offset: Any,
    weight: Any,
    x: Any,
    n_subjects: int,
    terms: Sequence[Mapping[str, Any]],
    design: Sequence[Any],
    coefficients: Any,
    scale: Any,
    ties: str = "efron",
) -> dict[str, Any]:
    """Score and information of coefficients that change in proportion to g(t).

    Parameters
    ----------
    start, stop, event, stratum, subject, offset, weight, x, n_subjects, terms
        As in :func:`vigitensor.api.fit_wce`.
    design, coefficients, ties
        As in :func:`wce_baseline`.
    scale : array (events,)
        g at each event time, sorted by stratum and time.

    Returns
    -------
    dict
        ``score`` (p,) of g(t) x, and the information: ``info`` (p, p) of x,
        ``cross`` of x with g(t) x, ``square`` of g(t) x.

    Notes
    -----
    Three second passes; nothing is kept by event time. With these, the score
    tests of ``survival::cox.zph``.
    """
    model = fitted_model(
        start, stop, event, stratum, subject, offset, weight, x, n_subjects,
        terms, design, coefficients, ties,
    )  # fmt: skip
    cache.warm_up("wce_time_information")
    problem = model.problem()
    point = at_coefficients(problem, model.given)
    g = checks.vector(scale, "scale", problem.risk.n_events)
    found = _baseline.time_information(problem, point, g)
    return {
        "score": found.score,
        "info": found.info,
        "cross": found.cross,
        "square": found.square,
    }
