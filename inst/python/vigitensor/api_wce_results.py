"""What R calls for predictions and checks of a fitted exposure model.

Re-exported by ``api``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from . import cache, checks
from ._typing import Floats
from .api_inputs import (
    are_real,
    exposure_records,
    fitted_coefficients,
    one_design,
    person_rows,
)
from .errors import EngineError
from .survival import baseline as _baseline
from .survival.likelihood import Point, Problem, evaluate, moments
from .survival.real_times import n_columns
from .survival.run import Rows, prepare

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
    rows, problem, point = _fitted(
        start, stop, event, stratum, subject, offset, weight, x, n_subjects,
        terms, design, coefficients, ties, "wce_baseline",
    )  # fmt: skip
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
    _, problem, point = _fitted(
        start, stop, event, stratum, subject, offset, weight, x, n_subjects,
        terms, design, coefficients, ties, "wce_time_information",
    )  # fmt: skip
    g = checks.vector(scale, "scale", problem.risk.n_events)
    found = _baseline.time_information(problem, point, g)
    return {
        "score": found.score,
        "info": found.info,
        "cross": found.cross,
        "square": found.square,
    }


def _fitted(
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
    ties: str,
    function: str,
) -> tuple[Rows, Problem, Point]:
    """The problem of a fit, and its likelihood at the coefficients."""
    n_subjects = int(n_subjects)
    rows = person_rows(
        start, stop, event, stratum, subject, offset, weight, x, n_subjects
    )
    tables = one_design(design, len(terms))
    records = exposure_records(terms, n_subjects, are_real([tables]))
    n_par = rows.x.shape[1] + sum(n_columns(table) for table in tables)
    given = fitted_coefficients(coefficients, n_par)
    ties = checks.word(ties, "ties", ("efron", "breslow"))
    cache.warm_up(function)
    data = prepare(rows, n_subjects, records, [tables], ties)
    problem = data.problem(tables)
    beta: Floats = np.where(np.isnan(given), 0.0, given)
    point = evaluate(problem, beta)
    if not np.isfinite(point.loglik):
        raise EngineError(
            "The likelihood is not finite at `coefficients`.",
            code="overflow",
            arg="coefficients",
        )
    return rows, problem, point
