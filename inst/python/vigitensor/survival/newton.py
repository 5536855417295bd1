"""Newton's method on the partial likelihood, which is concave.

Each step is halved until the likelihood is finite and does not fall. It stops
when the Newton decrement s' I^-1 s, twice the likelihood still to be gained, is
below ``tol_step``, and goes on for a step or two until the coefficients stand
to a billionth of their standard error. Score and information are those at the
result.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .._typing import Bools, Floats
from ..errors import EngineError
from .likelihood import Moments, Problem, evaluate, moments

# Decrement at which coefficients stand to 1e-9 of their standard error.
_POLISHED = 1e-18
_MAX_POLISH = 2
# A step this large, in units of the linear predictor, with no likelihood left
# to gain means that the coefficient runs away.
_RUNS_AWAY = 1e-5
# Relative size of a pivot that is rounding error alone.
_ROUNDING = 1e-14


@dataclass(frozen=True)
class Control:
    """Settings of the iteration."""

    max_iter: int = 50
    tol_step: float = 1e-13
    tol_singular: float = 1.818989e-12
    max_halving: int = 30


@dataclass(frozen=True)
class Fit:
    """Result of one fit; NaN and zero rows where a column was dropped."""

    coefficients: Floats  # (p,)
    var: Floats  # (p, p)
    loglik: Floats  # (2,) at zero and at the result
    score: Floats  # (p,)
    iterations: int
    converged: bool
    halvings: int
    infinite: Bools  # (p,)


def independent(info: Floats, limit: Floats) -> Bools:
    """Columns that are not, to rounding, combinations of those before them.

    Elimination in the order of the columns: a column whose pivot is not above
    its limit (p,) is left out, as in coxph.
    """
    left = info.copy()
    p = info.shape[0]
    keep = np.zeros(p, bool)
    for j in range(p):
        pivot = left[j, j]
        if not pivot > limit[j]:
            continue
        keep[j] = True
        row = left[j, j + 1 :] / pivot
        left[j + 1 :, j + 1 :] -= np.outer(left[j + 1 :, j], row)
    return keep


def inverse(info: Floats, keep: Bools) -> Floats:
    """Inverse over the kept columns, zeros elsewhere; scaled to unit diagonal."""
    out = np.zeros_like(info)
    index = np.flatnonzero(keep)
    if index.size:
        scale = 1 / np.sqrt(np.diag(info)[index])
        block = info[np.ix_(index, index)] * np.outer(scale, scale)
        solved = np.linalg.inv(block) * np.outer(scale, scale)
        out[np.ix_(index, index)] = 0.5 * (solved + solved.T)
    return out


def fit(problem: Problem, control: Control) -> Fit:
    """Maximise the likelihood from zero."""
    p = problem.n_par
    point = evaluate(problem, np.zeros(p))
    loglik_zero = point.loglik
    if not np.isfinite(loglik_zero):
        raise EngineError(
            "The risks of some rows overflow before any coefficient is fitted; "
            "the offsets span too wide a range.",
            code="overflow",
            arg="offset",
        )
    if p == 0:
        return _nothing_to_fit(loglik_zero)
    at = moments(problem, point)
    # Whether columns are collinear does not depend on the parameters.
    kept = independent(at.info, control.tol_singular * at.raw)
    spread = np.sqrt(np.maximum(np.diag(at.info), 0) / problem.risk.death_weight.sum())
    iterations = halvings = polished = 0
    converged = False
    while True:
        alive = kept & independent_now(at, kept)
        var = inverse(at.info, alive)
        step = var @ at.score
        decrement = float(step @ at.score)
        if decrement < control.tol_step:
            converged = True
            if decrement <= _POLISHED or polished >= _MAX_POLISH:
                break
            polished += 1
        if iterations >= control.max_iter:
            break
        iterations += 1
        point_next = evaluate(problem, point.beta + step)
        slack = 1e-12 * (1 + abs(point.loglik))
        halved = 0
        while not point_next.loglik >= point.loglik - slack:
            if halved >= control.max_halving:
                break
            halved += 1
            step = 0.5 * step
            point_next = evaluate(problem, point.beta + step)
        halvings += halved
        if not point_next.loglik >= point.loglik - slack:
            break  # no ascent left within rounding
        point = point_next
        at = moments(problem, point)
    infinite = kept & ((np.abs(step) * spread > _RUNS_AWAY) | ~alive)
    return Fit(
        coefficients=np.where(kept, point.beta, np.nan),
        var=var,
        loglik=np.array([loglik_zero, point.loglik]),
        score=at.score,
        iterations=iterations,
        converged=converged,
        halvings=halvings,
        infinite=infinite if converged else np.zeros(p, bool),
    )


def _nothing_to_fit(loglik: float) -> Fit:
    none = np.zeros(0)
    return Fit(
        none, np.zeros((0, 0)), np.full(2, loglik), none, 0, True, 0,
        np.zeros(0, bool),
    )  # fmt: skip


def independent_now(at: Moments, kept: Bools) -> Bools:
    """Kept columns whose information has not vanished at this point.

    It does where a coefficient runs away: no step is taken along it then.
    """
    limit = np.where(kept, _ROUNDING * at.raw, np.inf)
    return independent(at.info, limit)
