"""What R calls for a fitted Cox model: residuals, robust variance, baseline
hazard and concordance. See ``api_cox``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import cache, checks
from ._typing import Floats
from .api_cox_inputs import FIRST, TIES, cox_rows
from .errors import EngineError
from .pool import run_slices
from .survival import cox_residuals as _residuals
from .survival.cox_concordance import concordance as _concordance
from .survival.cox_index import slices_of

_TYPES = ("martingale", "score", "dfbeta", "dfbetas", "schoenfeld", "scaledsch")


def cox_residuals(
    start: Any,
    stop: Any,
    event: Any,
    stratum: Any,
    linear_predictors: Any,
    weight: Any,
    x: Any,
    ties: str = "efron",
    type: str = "martingale",
    var: Any = None,
    weighted: Any = None,
    collapse: Any = None,
    coefficients: Any = None,
) -> Any:
    """Residuals of a Cox model, as residuals.coxph has them.

    Parameters
    ----------
    start, stop, event, stratum, weight, x
        As in :func:`vigitensor.api.fit_cox`.
    linear_predictors : array (n,)
        With the offset; any constant added to it makes no difference.
    ties : {"efron", "breslow", "exact"}
        "exact" for martingale residuals only.
    type : {"martingale", "score", "dfbeta", "dfbetas", "schoenfeld", "scaledsch"}
    var : array (q, q)
        Inverse information; for dfbeta, dfbetas and scaledsch.
    weighted : bool, optional
        Multiply by the case weights; by default for dfbeta and dfbetas only.
    collapse : array (n,), optional
        Codes from 1: residuals are added up by code. Not for the Schoenfeld kinds.
    coefficients : array (q,), optional
        Added to scaled Schoenfeld residuals; NaN counts as 0.

    Returns
    -------
    array
        (n,) for martingale, (n, q) otherwise; by code if collapsed. Schoenfeld
        kinds: a dict with ``residuals`` (deaths, q), sorted by stratum, time and
        row, and the deaths' ``row`` (from 1), ``time`` and ``stratum``.

    Raises
    ------
    EngineError
        As :func:`vigitensor.api.fit_cox`, and ``bad_type``, ``no_exact`` where
        exact ties have no such residuals.
    """
    kind = checks.word(type, "type", _TYPES)
    ties = checks.word(ties, "ties", TIES)
    if ties == "exact" and kind != "martingale":
        raise EngineError(
            f"Residuals of type {kind} are not available with exact ties.",
            code="no_exact",
            arg="type",
        )
    rows = cox_rows(start, stop, event, stratum, linear_predictors, weight, x)
    q = rows.x.shape[1]
    cache.warm_up("cox_residuals")
    fitted = _residuals.at_predictors(rows, rows.offset, ties)
    if weighted is None:
        weighted = kind in ("dfbeta", "dfbetas")
    if kind in ("schoenfeld", "scaledsch"):
        return _schoenfeld(fitted, kind, var, bool(weighted), coefficients)
    if kind == "martingale":
        values = _residuals.martingale(fitted)[:, None]
    else:
        values = _residuals.score(fitted)
        if kind != "score":
            spread = checks.matrix(var, "var", q)
            if kind == "dfbetas":
                with np.errstate(divide="ignore"):
                    scale = 1 / np.sqrt(np.diag(spread))
                spread = spread * np.where(np.isfinite(scale), scale, 0.0)
            values = _product(values, spread)
    if weighted and np.any(rows.weight != 1):
        values = values * rows.weight[:, None]
    if collapse is not None:
        codes = checks.codes(collapse, "collapse", rows.n, None, FIRST)
        values = _residuals.collapsed(values, codes, int(codes.max()) + 1)
    return values[:, 0] if kind == "martingale" else values


def _product(values: Floats, matrix: Floats) -> Floats:
    """values @ matrix in Fortran order, in slices."""
    out = np.empty((matrix.shape[1], values.shape[0])).T

    def work(span: tuple[int, int]) -> None:
        here = slice(*span)
        out[here] = values[here] @ matrix

    run_slices(work, slices_of(values.shape[0]))
    return out


def _schoenfeld(
    fitted: Any, kind: str, var: Any, weighted: bool, coefficients: Any
) -> dict[str, Any]:
    rows, q = fitted.rows, fitted.rows.x.shape[1]
    residuals, row = _residuals.schoenfeld(fitted)
    if weighted:
        residuals = residuals * rows.weight[row][:, None]
    if kind == "scaledsch":
        residuals = residuals @ checks.matrix(var, "var", q) * row.size
        if coefficients is not None:
            residuals = residuals + np.nan_to_num(
                np.asarray(coefficients, np.float64).reshape(q)
            )
    return {
        "residuals": residuals,
        "row": row + FIRST,
        "time": rows.stop[row],
        "stratum": rows.stratum[row] + FIRST,
    }


def cox_robust_var(
    start: Any,
    stop: Any,
    event: Any,
    stratum: Any,
    linear_predictors: Any,
    weight: Any,
    x: Any,
    ties: str,
    var: Any,
    cluster: Any = None,
) -> dict[str, Any]:
    """Robust (sandwich) variance: D'D, D the weighted dfbetas added up by cluster.

    Parameters
    ----------
    var : array (q, q)
        Inverse information.
    cluster : array (n,), optional
        Codes from 1; every row its own by default.
    others
        As in :func:`cox_residuals`.

    Returns
    -------
    dict
        ``var`` (q, q); ``meat`` (q, q), the same of the weighted score residuals
        at these predictors, and their sum ``score`` (q): at the start of a fit
        ``score' meat^-1 score`` is the robust score test.
    """
    values = cox_residuals(
        start, stop, event, stratum, linear_predictors, weight, x, ties, "score",
        weighted=True, collapse=cluster,
    )  # fmt: skip
    spread = checks.matrix(var, "var", values.shape[1])
    meat = values.T @ values
    return {
        "var": spread.T @ meat @ spread,
        "meat": meat,
        "score": values.sum(axis=0),
    }


def cox_baseline(
    start: Any,
    stop: Any,
    event: Any,
    stratum: Any,
    linear_predictors: Any,
    weight: Any,
    ties: str = "efron",
) -> dict[str, Any]:
    """Cumulative baseline hazard, as survfit and basehaz have it.

    It is the one of a linear predictor of 0: predictors centred by the means give
    ``basehaz(centered = TRUE)``, predictors that are not, ``centered = FALSE``.

    Returns
    -------
    dict
        By stratum and time (every time at which a row ends): ``stratum`` (from
        1), ``time``, ``n_risk``, ``n_event``, ``n_censor`` (weighted), ``cumhaz``.
    """
    n = np.size(stop)
    rows = cox_rows(
        start, stop, event, stratum, linear_predictors, weight, np.empty((n, 0))
    )
    ties = checks.word(ties, "ties", TIES)
    cache.warm_up("cox_baseline")
    # With exact ties the hazard is Breslow's, as in coxph.
    base = _residuals.baseline(
        rows, rows.offset, "breslow" if ties == "exact" else ties
    )
    return {
        "stratum": base.stratum + FIRST,
        "time": base.time,
        "n_risk": base.n_risk,
        "n_event": base.n_event,
        "n_censor": base.n_censor,
        "cumhaz": base.cumhaz,
    }


def cox_concordance(
    start: Any,
    stop: Any,
    event: Any,
    stratum: Any,
    weight: Any,
    linear_predictors: Any,
    cluster: Any = None,
) -> dict[str, Any]:
    """Concordance of predictors and survival, as coxph's fits report it.

    Returns
    -------
    dict
        ``concordant`` (a higher predictor dies sooner), ``discordant``,
        ``tied_x``, ``tied_y``, ``tied_xy`` (weighted numbers of pairs),
        ``concordance``, ``var`` (infinitesimal jackknife, by ``cluster`` if
        given), ``dfbeta`` (by row or cluster).
    """
    n = np.size(stop)
    rows = cox_rows(
        start, stop, event, stratum, linear_predictors, weight, np.empty((n, 0))
    )
    codes = None
    if cluster is not None:
        codes = checks.codes(cluster, "cluster", rows.n, None, FIRST)
    cache.warm_up("cox_concordance")
    found = _concordance(
        rows.start, rows.stop, rows.event, rows.stratum, rows.weight, rows.offset,
        codes,
    )  # fmt: skip
    names = ("concordant", "discordant", "tied_x", "tied_y", "tied_xy")
    return {
        **dict(zip(names, found.count.tolist())),
        "concordance": found.concordance,
        "var": found.var,
        "dfbeta": found.dfbeta,
    }
