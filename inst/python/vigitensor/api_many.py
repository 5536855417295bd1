"""What R calls for the bootstrap of exposure models; re-exported by ``api``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from . import cache, checks
from ._typing import Bools, Floats
from .api_inputs import (
    at_coefficients,
    control_settings,
    fitted_model,
    inequality_rows,
    penalty_of,
)
from .backends import many_passes, smooth_fitter, wce_fitter
from .cluster.spread import spread_replicates
from .errors import EngineError
from .pool import one_blas_thread
from .survival import many, newton, replicates
from .survival.likelihood import moments
from .survival.newton import Control, Fit
from .survival.penalty import PenalisedFit
from .survival.problem import Problem
from .survival.scores import by_subject, residuals
from .survival.smoothing import Penalty


def replicate_weights(
    n_subjects: int,
    kind: str,
    seed: float,
    first: int,
    count: int,
    stratum: Any = None,
) -> dict[str, Any]:
    """Bootstrap weights of subjects.

    Parameters
    ----------
    n_subjects : int
    kind : {"multinomial", "bayesian"}
        Counts of draws with replacement, or exponential weights of mean 1.
    seed : float
        A whole number from 0 to 2^53.
    first, count : int
        Replicates first, ..., first + count - 1, counted from 1. A replicate is
        the same whatever the others are.
    stratum : array (n_subjects,), optional
        Codes from 1: subjects are drawn within these.

    Returns
    -------
    dict
        ``weights`` (count, n_subjects).
    """
    n = int(n_subjects)
    kind = checks.word(kind, "kind", replicates.KINDS)
    numbers = {"seed": float(seed), "first": float(first), "count": float(count)}
    for name, value in numbers.items():
        least = 1 if name == "first" else 0
        if not (least <= value <= 2.0**53 and value == int(value)):
            raise EngineError(
                f"`{name}` must be a whole number from {least} to 2^53.",
                code="bad_replicates",
                arg=name,
            )
    group = np.zeros(n, np.int32)
    if stratum is not None:
        group = checks.codes(stratum, "stratum", n, None, 1)
    weights = replicates.draw_weights(
        kind, int(seed), int(first) - 1, int(count), group
    )
    return {"weights": weights}


@spread_replicates
def fit_wce_many(
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
    weights: Any = None,
    replicates: Mapping[str, Any] | None = None,
    method: str = "fit",
    control: Mapping[str, Any] | None = None,
    engine: str = "cpu",
    device: str | None = None,
    memory_mb: float | None = None,
    inequality: Any = None,
    penalty: Any = None,
) -> dict[str, Any]:
    """Fit one design with many sets of subject weights.

    Parameters
    ----------
    start, stop, event, stratum, subject, offset, weight, x, n_subjects, terms
        As in :func:`vigitensor.api.fit_wce`; ``weight`` multiplies the
        replicates' weights.
    design : list of array (m + 1, J)
        The cumulated basis table of each term.
    coefficients : array (p,)
        Of the full fit; NaN or 0 where a column was dropped.
    ties : {"efron", "breslow"}
    weights : array (B, n_subjects), optional
        Weights of subjects, not negative, of any numeric type.
    replicates : dict, optional
        Instead of ``weights``: ``kind``, ``seed``, ``first``, ``count`` and
        maybe ``stratum``, as in :func:`replicate_weights`.
    method : {"fit", "one_step", "influence"}
        The optimum; one Newton step from the full fit; or, without a pass over
        the data, V sum of (weight - 1) score.
    control : dict, optional
        As in :func:`vigitensor.api.fit_wce`, for replicates fitted from zero.
    engine : {"cpu", "torch"}
    device, memory_mb : optional
        As in :func:`vigitensor.api.fit_wce`. torch makes all passes of the
        replicates, and fits from zero; the score residuals at the full fit, from
        which replicates start, are the CPU's.
    inequality : array (r, p), optional
        Rows of A where every replicate keeps to A beta >= 0, as the full fit did;
        covariates come first. "influence" and "one_step" are the best steps that
        keep to it.
    penalty : dict, optional
        As in :func:`vigitensor.api.fit_wce`, and that of the full fit where it is
        "fixed". Otherwise every replicate chooses its own, beginning with
        ``log_lambda``, and is fitted alone: with method "fit" only.

    Returns
    -------
    dict
        ``coefficients`` (B, p; NaN rows for failures), ``loglik`` (B; NaN
        unless fitted), ``iterations`` (B), ``converged`` (B), ``reason`` (B,
        one of "ok", "no_event", "not_converged", "infinite", "collinear",
        "overflow"), ``failures`` (number); where replicates choose their penalty
        ``df`` (B), effective degrees of freedom.

    Raises
    ------
    EngineError
        Those of ``fit_wce``; ``bad_weights``, ``bad_replicates``, ``bad_kind``,
        ``bad_method``, ``bad_penalty``, ``singular``.

    Notes
    -----
    A replicate's numbers do not depend on threads, nor, with "cpu", on the other
    replicates; with "torch" these may change the last bits. Coefficients are those
    of ``fit_wce`` with the same weights, to a billionth of their standard error.
    """
    model = fitted_model(
        start, stop, event, stratum, subject, offset, weight, x, n_subjects,
        terms, design, coefficients, ties,
    )  # fmt: skip
    method = checks.word(method, "method", many.METHODS)
    settings = control_settings(control)
    limits = inequality_rows([inequality], [model.tables], model.rows.x.shape[1])
    rows_of_a = limits[0] if limits else None
    smooth = (
        None if penalty is None else penalty_of(penalty, model.given.size, "penalty")
    )
    if smooth is not None and (
        rows_of_a is not None or (smooth.method != "fixed" and method != "fit")
    ):
        raise EngineError(
            '`penalty` needs method "fit" or a "fixed" one, and no `inequality`.',
            code="bad_penalty",
            arg="penalty",
        )
    make_passes = many_passes(engine, device, memory_mb)
    compute = wce_fitter(engine, device, memory_mb)
    compute_smooth = smooth_fitter(engine, device, memory_mb)
    cache.warm_up("fit_wce_many")
    drawn = drawn_weights(weights, replicates, model.n_subjects)

    def refit(w: Floats) -> Fit:
        rows = model.rows
        changed = replace(rows, weight=rows.weight * w[rows.subject])
        again = _limited(model.problem(changed), rows_of_a)
        if smooth is None:
            return compute(again, settings)
        return compute_smooth(again, settings, smooth)

    if smooth is not None and smooth.method != "fixed":
        with one_blas_thread():
            dead = np.zeros(model.n_subjects, bool)
            died = (model.rows.event == 1) & (model.rows.weight > 0)
            dead[model.rows.subject[died]] = True
            return smooth_anew(np.isnan(model.given), dead, drawn, refit, smooth)
    problem = _limited(model.problem(), rows_of_a)
    theta = None if smooth is None else fixed_theta(smooth)
    full = full_fit(
        problem, model.given, model.ties, settings, model.n_subjects, theta
    )  # fmt: skip

    passes = (
        make_passes(problem, drawn) if make_passes and method != "influence" else None
    )
    with one_blas_thread():  # for small matrices more are slower
        result = many.fit_many(full, drawn, method, refit, passes)
    reason = [many.REASONS[k] for k in result.reason]
    return {
        "coefficients": result.coefficients,
        "loglik": result.loglik,
        "iterations": result.iterations,
        "converged": result.reason == many.OK,
        "reason": reason,
        "failures": int(np.count_nonzero(result.reason)),
    }


def fixed_theta(smooth: Penalty) -> Floats:
    assert smooth.log_lambda is not None
    return smooth.theta(smooth.log_lambda)


def smooth_anew(
    lost: Bools,
    dead: Bools,
    drawn: Floats,
    refit: Callable[[Floats], Fit],
    smooth: Penalty,
) -> dict[str, Any]:
    """Every replicate with smoothing parameters of its own.

    ``lost`` (p,): columns that the full fit dropped; ``dead`` (subjects,): who has
    an event.
    """
    count, p = drawn.shape[0], lost.size
    coefficients, loglik = np.full((count, p), np.nan), np.full(count, np.nan)
    df, iterations = np.full(count, np.nan), np.zeros(count, np.int32)
    reason = ["ok"] * count
    for k, w in enumerate(drawn):
        if not np.any(w[dead] > 0):
            reason[k] = "no_event"
            continue
        fit = refit(w)
        assert isinstance(fit, PenalisedFit)
        iterations[k] = fit.iterations
        if fit.infinite.any():
            reason[k] = "infinite"
        elif np.any(np.isnan(fit.coefficients) & ~lost):
            reason[k] = "collinear"
        elif not fit.converged:
            reason[k] = "not_converged"
        else:
            coefficients[k], loglik[k] = fit.coefficients, fit.loglik[1]
            theta = smooth.theta(fit.log_lambda)
            df[k] = float(np.sum(1 - theta * np.diag(fit.var))) - lost.sum()
    return {
        "coefficients": coefficients,
        "loglik": loglik,
        "iterations": iterations,
        "converged": np.array([r == "ok" for r in reason]),
        "reason": reason,
        "failures": sum(r != "ok" for r in reason),
        "df": df,
    }


def _limited(problem: Problem, rows_of_a: Floats | None) -> Problem:
    return problem if rows_of_a is None else replace(problem, inequalities=rows_of_a)


def full_fit(
    problem: Problem,
    given: Floats,
    ties: str,
    settings: Control,
    n_subjects: int,
    penalty: Floats | None = None,
) -> many.FullFit:
    """Where replicates start from: ``given`` (p,), NaN or 0 where dropped."""
    point = at_coefficients(problem, given)
    beta = point.beta
    at = moments(problem, point)
    theta = np.zeros(beta.size) if penalty is None else penalty
    # A dropped column may also come as 0.
    kept = (given != 0) | newton.kept_columns(problem, at, settings) | (theta > 0)
    kept &= ~np.isnan(given)
    var = many.inverse(at.info + np.diag(theta), kept)
    if var is None:
        raise EngineError(
            "The information at `coefficients` is singular.",
            code="singular",
            arg="coefficients",
        )
    score = residuals(problem, point, at).score * problem.weight[:, None]
    by = by_subject(score, problem.subject, n_subjects)
    return many.FullFit(problem, ties, beta, kept, var, by, theta)


def drawn_weights(
    weights: Any,
    replicates: Mapping[str, Any] | None,
    n_subjects: int,
    arg: str = "weights",
) -> Floats:
    """Weights (B, subjects) as given, or drawn."""
    if (weights is None) == (replicates is None):
        raise EngineError(
            f"Give one of `{arg}` and `replicates`.", code="bad_weights", arg=arg
        )
    if replicates is not None:
        unknown = set(replicates) - {"kind", "seed", "first", "count", "stratum"}
        if unknown:
            raise EngineError(
                f"`replicates` has no setting `{sorted(unknown)[0]}`.",
                code="bad_replicates",
                arg="replicates",
            )
        try:
            drawn = replicate_weights(n_subjects, **replicates)
        except TypeError:
            raise EngineError(
                "`replicates` must have kind, seed, first and count.",
                code="bad_replicates",
                arg="replicates",
            ) from None
        return drawn["weights"]
    out = np.ascontiguousarray(checks.matrix(weights, "weights"))
    if out.shape[1] != n_subjects or (out.size and out.min() < 0):
        raise EngineError(
            f"`weights` must be a matrix of {n_subjects} columns, one per subject, "
            "without negative values.",
            code="bad_weights",
            arg="weights",
        )
    return out
