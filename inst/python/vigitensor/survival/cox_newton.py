"""Newton's method for a concave log-likelihood with an optional ridge penalty.

Each step is halved until the likelihood is finite and does not fall. It stops
when the Newton decrement, twice the likelihood still to be gained, is below
``tol_step``; the step of that moment is still taken, which leaves coefficients
right to rounding, and score and information are those at the result. Where passes
are long that step is taken by the quadratic model, as in ``newton``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._typing import Bools, Floats
from ..errors import EngineError
from .newton import Control, independent, is_last_step, root_of_variance, whitener

# Share of the information at the start below which a direction counts as flat,
# at first, and at last where risks are so large that rounding has taken over.
_FLAT, _FLATTEST = 1e-11, 1e-5
# A step this large, in units of the linear predictor, with no likelihood left
# to gain means that the coefficient runs away.
_RUNS_AWAY = 1e-5
_NOTHING_TO_GAIN = 1e-7
# Decrement at which coefficients stand to 1e-9 of their standard error.
_POLISHED = 1e-18
_MAX_POLISH = 2
# Trial points where sums lost digits, until better sums are asked for.
_MAX_IMPRECISE = 3


class Imprecise(Exception):
    """The risks span too wide a range for the fast sums."""


@dataclass(frozen=True)
class Objective:
    """A log-likelihood: ``evaluate`` gives a point (with ``loglik``), ``moments``
    its score, info and raw; ``imprecise`` tells whether a point can be trusted."""

    noise: Floats  # (p,) what rounding leaves of a column that should be zero
    deaths: float  # sum of their weights
    evaluate: Callable[[Floats], Any]
    moments: Callable[[Any], Any]
    imprecise: Callable[[Any], bool]
    long: bool = False  # passes over the data take a while


@dataclass(frozen=True)
class Solution:
    """Where the iteration ended."""

    point: Any  # the last one evaluated: at beta, or a step of rounding's size off
    beta: Floats  # (p,)
    kept: Bools  # (p,) not collinear with the columns before
    var: Floats  # (p, p) inverse of information plus penalty
    var2: Floats  # (p, p) var info var; equals var without a penalty
    loglik: Floats  # (2,) at the start and the result, without penalty
    penalty: Floats  # (2,)
    score: Floats  # (p,) gradient of the likelihood, less the penalty's
    info: Floats  # (p, p) of the likelihood alone
    score_test: float
    iterations: int
    halvings: int
    converged: bool
    infinite: Bools  # (p,)


def maximise(
    objective: Objective, init: Floats, theta: Floats, control: Control
) -> Solution:
    """Maximise loglik - sum(theta beta^2) / 2 from ``init``."""
    point = objective.evaluate(init)
    if objective.imprecise(point):
        raise Imprecise
    if not np.isfinite(point.loglik):
        raise EngineError(
            "The risks of some rows overflow at the start; the offsets span too "
            "wide a range or the initial values are too large.",
            code="overflow",
            arg="offset" if not init.any() else "init",
        )
    start = point
    at = objective.moments(point)
    # Whether columns are collinear does not depend on the parameters.
    limit = control.tol_singular * (at.raw + theta)
    limit = limit + objective.deaths * objective.noise**2
    kept = independent(at.info + np.diag(theta), limit)
    unit = whitener(at.info + np.diag(theta), kept)
    spread = np.sqrt(np.maximum(np.diag(at.info), 0) / objective.deaths)
    beta = init
    if control.max_iter > 0 and init[~kept].any():
        # A column that is dropped has no part in the model, wherever it began.
        beta = np.where(kept, init, 0.0)
        point = objective.evaluate(beta)
        at = objective.moments(point)
    score_test = 0.0
    iterations = halvings = polished = 0
    converged = False
    flat_below = _FLAT
    before: tuple[float, Any] | None = None  # decrement and moments last time
    loglik = point.loglik
    while True:
        gradient = at.score - theta * beta
        half, flat = root_of_variance(at.info + np.diag(theta), unit, flat_below)
        var = half @ half.T
        step = var @ gradient
        decrement = float(step @ gradient)
        if iterations == 0:
            score_test = decrement
        if decrement < control.tol_step:
            converged = True
            if decrement <= _POLISHED or polished >= _MAX_POLISH:
                break
            polished += 1
        if iterations >= control.max_iter:
            break
        if (
            objective.long
            and not flat.any()
            and is_last_step(half, decrement, at, before)
        ):
            converged = True
            iterations += 1
            curve = at.info @ step
            beta = beta + step
            loglik = point.loglik + float(step @ at.score - 0.5 * step @ curve)
            gradient = gradient - curve - theta * step
            break
        found, halved = _ascend(objective, point, beta, step, theta, control)
        halvings += halved
        if found is None:  # nothing finite and higher that way, to rounding
            if flat_below < _FLATTEST:
                flat_below *= 1e3  # what is left there is rounding: look elsewhere
                continue
            converged = converged or decrement < _NOTHING_TO_GAIN
            break
        iterations += 1
        before = None if halved else (decrement, at)
        beta, point, at = found
        loglik = point.loglik
    # Nothing to gain, and still moving: the optimum is at infinity.
    infinite = kept & ((np.abs(step) * spread > _RUNS_AWAY) | flat)
    if decrement > _NOTHING_TO_GAIN or control.max_iter == 0:
        infinite[:] = False
    return Solution(
        point=point,
        beta=beta,
        kept=kept,
        var=var,
        var2=var @ at.info @ var,
        loglik=np.array([start.loglik, loglik]),
        penalty=0.5 * np.array([theta @ init**2, theta @ beta**2]),
        score=gradient,
        info=at.info,
        score_test=score_test,
        iterations=iterations,
        halvings=halvings,
        converged=converged,
        infinite=infinite,
    )


def _ascend(
    objective: Objective,
    point: Any,
    beta: Floats,
    step: Floats,
    theta: Floats,
    control: Control,
) -> tuple[tuple[Floats, Any, Any] | None, int]:
    """The point a step leads to, halved until the likelihood does not fall."""
    value = point.loglik - 0.5 * float(theta @ beta**2)
    slack = 1e-12 * (1 + abs(value))
    imprecise = 0
    for halved in range(control.max_halving + 1):
        trial = beta + step * 0.5**halved
        candidate = objective.evaluate(trial)
        if objective.imprecise(candidate):
            imprecise += 1
            if imprecise >= _MAX_IMPRECISE:
                raise Imprecise
            continue
        if candidate.loglik - 0.5 * float(theta @ trial**2) >= value - slack:
            at = objective.moments(candidate)
            if np.all(np.isfinite(at.info)):
                return (trial, candidate, at), halved
    return None, control.max_halving
