"""Newton's method on the partial likelihood, which is concave.

Each step is halved until the likelihood is finite and does not fall. It stops
when the Newton decrement s' I^-1 s, twice the likelihood still to be gained, is
below ``tol_step``, and goes on for a step or two until the coefficients stand
to a billionth of their standard error. Where passes are long, the last step is
taken without another one once the information would not change by it, to a few
parts in 1e8: the quadratic model then has likelihood and score at the result to
rounding.
Under linear inequalities the step is the best that keeps to them, and the
decrement its squared length in standard errors.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np

from .._typing import Bools, Floats
from ..errors import EngineError
from .constrained import constrained_step
from .likelihood import Moments, evaluate, moments
from .riskset import RiskSet

# Decrement at which coefficients stand to 1e-9 of their standard error.
_POLISHED = 1e-18
_MAX_POLISH = 2
# A step this large, in units of the linear predictor, with no likelihood left
# to gain means that the coefficient runs away.
_RUNS_AWAY = 1e-5
_NOTHING_TO_GAIN = 1e-7
# Eigenvalue of a correlation matrix that is rounding error alone.
_ROUNDING = 1e-14
# Share of the information at zero below which a direction counts as flat,
# at first, and at last where risks are so large that rounding has taken over.
_FLAT, _FLATTEST = 1e-11, 1e-5
# Relative change of the information by the last step that nobody looks at.
_UNCHANGED = 2e-8
_ALMOST_THERE = 1e-6
# A step that ends beyond the top of its line, where less than this share of the
# curvature is left, has jumped onto the flat and is halved.
_BEYOND, _FLATTENED = -1e-6, 0.05


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
    # (r,) inequalities that hold with equality; ``var`` is that of their face
    active: Bools = field(default_factory=lambda: np.zeros(0, bool))


class Target(Protocol):
    """What is maximised: a ``Problem``, or one whose rows are elsewhere."""

    @property
    def risk(self) -> RiskSet:
        """Event times and deaths."""

    @property
    def n_par(self) -> int:
        """Number of parameters."""

    @property
    def noise(self) -> Floats:
        """(p,) what rounding leaves of a column that should be zero."""

    @property
    def slices(self) -> Sequence[Any]:
        """Pieces of work of a pass; one alone takes no time."""

    @property
    def inequalities(self) -> Floats:
        """(r, p) rows A of A beta >= 0."""

    def unexposed(self) -> Any:
        """The same at coefficients of zero, where nobody's exposure matters."""


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


def kept_columns(problem: Target, at: Moments, control: Control) -> Bools:
    """Columns that are not collinear, which no parameter changes."""
    deaths = problem.risk.death_weight.sum()
    limit = control.tol_singular * at.raw + deaths * problem.noise**2
    return independent(at.info, limit)


def fit(
    problem: Target,
    control: Control,
    evaluate: Callable[[Any, Floats], Any] = evaluate,
    moments: Callable[[Any, Any], Moments] = moments,
    begin: Floats | None = None,
    polish: int = _MAX_POLISH,
    report: Callable[[Floats], None] | None = None,
) -> Fit:
    """Maximise the likelihood; engines bring passes of their own.

    ``begin`` (p,) says where to begin instead of at zero: it changes how long
    that takes, not the result. A fit without a proper optimum begins at zero.
    ``report`` is told the coefficients after every step.
    """
    p = problem.n_par
    at_zero = problem if begin is None else problem.unexposed()
    point = evaluate(at_zero, np.zeros(p))
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
    if begin is not None:
        warm = evaluate(problem, begin)
        if warm.loglik > loglik_zero:
            point = warm
    at = moments(problem, point)
    kept = kept_columns(problem, at, control)
    unit = whitener(at.info, kept)
    deaths = problem.risk.death_weight.sum()
    spread = np.sqrt(np.maximum(np.diag(at.info), 0) / deaths)
    iterations = halvings = polished = 0
    converged = False
    rows = problem.inequalities * kept
    active = np.zeros(rows.shape[0], bool)
    flat_below = _FLAT
    long = len(problem.slices) > 1  # passes over the data take a while
    before: tuple[float, Moments] | None = None  # decrement and moments last time
    while True:
        half, flat = root_of_variance(at.info, unit, flat_below)
        if rows.size:
            best = constrained_step(point.beta, at.score, half, rows)
            var, step, decrement = best.var, best.step, best.moved
            active = best.active
        else:
            var = half @ half.T
            step = var @ at.score
            decrement = float(step @ at.score)
        if decrement < control.tol_step:
            converged = True
            if decrement <= _POLISHED or polished >= polish:
                break
            polished += 1
        if iterations >= control.max_iter:
            break
        iterations += 1
        free = long and not (rows.size or flat.any())
        if free and is_last_step(half, decrement, at, before):
            converged = True
            point, at = _carry_on(point, at, step)
            break
        found, halved = _ascend(problem, point, at, step, control, evaluate, moments)
        halvings += halved
        if found is None:  # nothing finite and higher that way, to rounding
            if flat_below < _FLATTEST:
                flat_below *= 1e3  # what is left there is rounding: look elsewhere
                continue
            converged = converged or decrement < _NOTHING_TO_GAIN
            break
        before = None if halved else (decrement, at)
        point, at = found
        if report is not None:
            report(point.beta)
    # Nothing to gain, and still moving: the optimum is at infinity.
    infinite = kept & ((np.abs(step) * spread > _RUNS_AWAY) | flat)
    if decrement > _NOTHING_TO_GAIN:
        infinite[:] = False
    if begin is not None and not (converged and kept.all() and not infinite.any()):
        return fit(problem, control, evaluate, moments, report=report)
    return Fit(
        coefficients=np.where(kept, point.beta, np.nan),
        var=var,
        loglik=np.array([loglik_zero, point.loglik]),
        score=at.score,
        iterations=iterations,
        converged=converged,
        halvings=halvings,
        infinite=infinite,
        active=active,
    )


def is_last_step(
    half: Floats,
    decrement: float,
    at: Any,
    before: tuple[float, Any] | None,
) -> bool:
    """Would a step of this decrement leave the information as it is?

    Told from how much the step before changed it.
    """
    if before is None or decrement > _ALMOST_THERE or not 0 < decrement < before[0]:
        return False
    last, moments = before
    changed = np.linalg.norm(half.T @ (at.info - moments.info) @ half)
    return bool(changed * np.sqrt(decrement / last) < _UNCHANGED)


def _carry_on(point: Any, at: Moments, step: Floats) -> tuple[Any, Moments]:
    """Point and moments one step on, by the quadratic model."""
    curve = at.info @ step
    gain = float(step @ at.score) - 0.5 * float(step @ curve)
    return (
        replace(point, beta=point.beta + step, loglik=point.loglik + gain),
        replace(at, score=at.score - curve),
    )


def _ascend(
    problem: Target,
    point: Any,
    before: Moments,
    step: Floats,
    control: Control,
    evaluate: Callable[[Any, Floats], Any],
    moments: Callable[[Any, Any], Moments],
) -> tuple[tuple[Any, Moments] | None, int]:
    """The point a step leads to, halved until the likelihood does not fall."""
    slack = 1e-12 * (1 + abs(point.loglik))
    for halved in range(control.max_halving + 1):
        candidate = evaluate(problem, point.beta + step * 0.5**halved)
        if candidate.loglik >= point.loglik - slack:
            at = moments(problem, candidate)
            if not np.all(np.isfinite(at.info)):
                continue
            beyond = step @ at.score < _BEYOND * (step @ before.score)
            left = step @ at.info @ step < _FLATTENED * (step @ before.info @ step)
            if not (beyond and left):
                return (candidate, at), halved
    return None, control.max_halving


def whitener(info: Floats, kept: Bools) -> Floats:
    """U (p, kept) with U' info U = 1: columns of unit information at the start."""
    index = np.flatnonzero(kept)
    scale = 1 / np.sqrt(np.diag(info)[index])
    block = info[np.ix_(index, index)] * np.outer(scale, scale)
    values, vectors = np.linalg.eigh(block)
    told = values > _ROUNDING
    unit = np.zeros((info.shape[0], int(told.sum())))
    unit[index] = scale[:, None] * vectors[:, told] / np.sqrt(values[told])
    return unit


def root_of_variance(info: Floats, unit: Floats, limit: float) -> tuple[Floats, Bools]:
    """H with H H' the variance, and the coefficients in directions gone flat.

    In the whitened space all information was 1 at the start. A direction in which
    hardly any is left is one along which the likelihood rises without bound: it
    gets no further step, so that rounding does not throw the others about.
    """
    values, vectors = np.linalg.eigh(unit.T @ info @ unit)
    alive = values > limit
    directions = unit @ vectors
    dead = np.abs(directions[:, ~alive])
    # Which coefficients make up the flat directions, in units of their own.
    share = dead / np.maximum(np.linalg.norm(unit, axis=1)[:, None], 1e-300)
    flat = np.any(share > 1e-3, axis=1)
    return directions[:, alive] / np.sqrt(values[alive]), flat


def _nothing_to_fit(loglik: float) -> Fit:
    none = np.zeros(0)
    return Fit(
        none, np.zeros((0, 0)), np.full(2, loglik), none, 0, True, 0,
        np.zeros(0, bool),
    )  # fmt: skip
