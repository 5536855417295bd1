"""What R calls about a fitted exposure model; re-exported by ``api``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from . import cache, checks
from .api_inputs import at_coefficients, fitted_model
from .survival.likelihood import moments
from .survival.newton import Control, kept_columns
from .survival.scores import by_subject, residuals


def wce_scores(
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
    weighted: bool = False,
    by: str = "subject",
) -> dict[str, Any]:
    """Score and martingale residuals of a fitted model.

    Parameters
    ----------
    start, stop, event, stratum, subject, offset, weight, x, n_subjects, terms
        As in :func:`vigitensor.api.fit_wce`.
    design : list of array (m + 1, J)
        The cumulated basis table of each term.
    coefficients : array (p,)
        Of a fit; NaN or 0 where a column was dropped.
    ties : {"efron", "breslow"}
    weighted : bool
        Times the case weights; weighted scores add up to the total score.
    by : {"subject", "row"}
        Sums over the rows of a subject, or each row.

    Returns
    -------
    dict
        ``score`` (n_subjects or n, p; zero where a column was dropped),
        ``martingale`` (n_subjects or n,).

    Notes
    -----
    As ``residuals(fit, "score")`` and ``"martingale"`` of survival, summed over
    subjects. The time of one and a half Newton steps.
    """
    model = fitted_model(
        start, stop, event, stratum, subject, offset, weight, x, n_subjects,
        terms, design, coefficients, ties,
    )  # fmt: skip
    by = checks.word(by, "by", ("subject", "row"))
    cache.warm_up("wce_scores")
    problem, given = model.problem(), model.given
    point = at_coefficients(problem, given)
    at = moments(problem, point)
    found = residuals(problem, point, at)
    score, martingale = found.score, found.martingale
    # A dropped column may also come as 0.
    kept = (given != 0) | kept_columns(problem, at, Control())
    score[:, np.isnan(given) | ~kept] = 0.0
    if weighted:
        score = score * problem.weight[:, None]
        martingale = martingale * problem.weight
    where, size = problem.risk.rows, model.rows.start.size
    if by == "subject":
        where, size = problem.subject, model.n_subjects
    return {
        "score": by_subject(score, where, size),
        "martingale": np.bincount(where, martingale, size),
    }
