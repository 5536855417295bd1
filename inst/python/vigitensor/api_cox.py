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
from .backends import cox_evaluator
from .errors import EngineError
from .pool import run_slices
from .survival import cox_residuals as _residuals
from .survival.cox import fit_cox as _fit
from .survival.cox_concordance import concordance as _concordance
from .survival.cox_index import slices_of
from .survival.cox_many import CoxMany
from .survival.cox_rows import CoxRows
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
    ties = checks.word(ties, "ties", _TIES)
    _no_exact_weights(ties, rows)
    begin = np.zeros(q) if init is None else checks.vector(init, "init", q)
    theta = np.zeros(q) if penalty is None else checks.vector(penalty, "penalty", q)
    if np.any(theta < 0):
        raise EngineError(
            "`penalty` must not be negative.", code="bad_penalty", arg="penalty"
        )
    settings = _control(control)
    cache.warm_up()
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
        As in :func:`fit_cox`.
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
        As :func:`fit_cox`, and ``bad_type``, ``no_exact`` where exact ties have
        no such residuals.
    """
    kind = checks.word(type, "type", _TYPES)
    ties = checks.word(ties, "ties", _TIES)
    if ties == "exact" and kind != "martingale":
        raise EngineError(
            f"Residuals of type {kind} are not available with exact ties.",
            code="no_exact",
            arg="type",
        )
    rows = cox_rows(start, stop, event, stratum, linear_predictors, weight, x)
    q = rows.x.shape[1]
    cache.warm_up()
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
        codes = checks.codes(collapse, "collapse", rows.n, None, _FIRST)
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
        "row": row + _FIRST,
        "time": rows.stop[row],
        "stratum": rows.stratum[row] + _FIRST,
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
    ties = checks.word(ties, "ties", _TIES)
    cache.warm_up()
    # With exact ties the hazard is Breslow's, as in coxph.
    base = _residuals.baseline(
        rows, rows.offset, "breslow" if ties == "exact" else ties
    )
    return {
        "stratum": base.stratum + _FIRST,
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
        codes = checks.codes(cluster, "cluster", rows.n, None, _FIRST)
    cache.warm_up()
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
    start, stop, event, stratum, offset, weight, x, ties, control
        As in :func:`fit_cox`.
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
    ties = checks.word(ties, "ties", _TIES)
    _no_exact_weights(ties, rows)
    codes = checks.codes(cluster, "cluster", rows.n, None, _FIRST)
    settings = _control(control)
    cache.warm_up()
    q = rows.x.shape[1]
    if coefficients is None:
        full = _fit(rows, ties, np.zeros(q), np.zeros(q), settings, rows.mean)
        begin = full.coefficients
    else:
        begin = np.asarray(coefficients, np.float64).reshape(q)
    return CoxMany(rows, codes, ties, begin, settings)


def _no_exact_weights(ties: str, rows: CoxRows) -> None:
    if ties == "exact" and np.any(rows.weight != 1):
        raise EngineError(
            "Case weights are not possible with exact ties; use Efron's or "
            "Breslow's method.",
            code="exact_weights",
            arg="weight",
        )


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
