"""Newton's method for a penalised likelihood that chooses its own penalty.

Every step takes the quadratic model of the likelihood at the present point,
chooses the smoothing parameters on it (see ``smoothing``), and goes to its
penalised optimum: the choice costs no pass over the data. At the end neither
the coefficients nor the choice would change by another step. A choice that turns
back may go half as far from then on, lest it goes round in circles; after many
steps it is kept as it is, so that the coefficients settle.

A large cohort is first fitted thinned, as in ``warm``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from .._typing import Bools, Floats
from ..errors import EngineError
from .likelihood import Moments
from .likelihood import evaluate as evaluate_here
from .likelihood import moments as moments_here
from .newton import (
    Control,
    Fit,
    Target,
    independent,
    is_last_step,
    root_of_variance,
    whitener,
)
from .smoothing import Penalty, Quadratic, choose, scales
from .warm import thinned

Evaluate = Callable[[Any, Floats], Any]
Derive = Callable[[Any, Any], Moments]

# Share of the information at the start below which a direction counts as flat,
# at first, and at last where risks are so large that rounding has taken over.
_FLAT, _FLATTEST = 1e-11, 1e-5
_RUNS_AWAY, _NOTHING_TO_GAIN = 1e-5, 1e-7
# Decrement at which coefficients stand to 1e-9 of their standard error.
_POLISHED, _MAX_POLISH = 1e-18, 2
# Steps after which the smoothing parameters stay.
_SETTLED = 40
# Steps at which the best of several optima is looked for.
_LOOKS_AROUND = 3
# Decrement that is small against the noise of a thinned cohort.
_NEAR = 0.5


@dataclass(frozen=True)
class PenalisedFit(Fit):
    """``var`` is the inverse of information plus penalty, ``loglik`` has none of
    the penalty, ``score`` is that of the penalised likelihood."""

    info: Floats = field(default_factory=lambda: np.zeros((0, 0)))  # (p, p) bare
    log_lambda: Floats = field(default_factory=lambda: np.zeros(0))  # (k,)


@dataclass
class Choice:
    """Smoothing parameters on their way."""

    rho: Floats | None
    moved: Floats | None = None
    longest: float = np.inf

    def begin(self, wanted: Floats) -> Floats:
        """There at once."""
        self.rho = wanted
        return wanted

    def follow(self, wanted: Floats) -> Floats:
        """Where to go next, on the way to what is wanted."""
        if self.rho is None:
            self.rho = wanted
            return wanted
        move = wanted - self.rho
        if self.moved is not None and float(move @ self.moved) < 0:
            self.longest = min(self.longest, 0.5 * float(np.abs(self.moved).max()))
        size = float(np.abs(move).max())
        if size > self.longest:
            move = move * (self.longest / size)
        self.moved, self.rho = move, self.rho + move
        return self.rho


def fit_penalised(
    problem: Target,
    control: Control,
    penalty: Penalty,
    evaluate: Evaluate = evaluate_here,
    moments: Derive = moments_here,
    begin: Floats | None = None,
    polish: int = _MAX_POLISH,
    report: Callable[[Floats, Floats], None] | None = None,
) -> PenalisedFit:
    """Maximise the penalised likelihood, from ``begin`` (p,) if that is near.

    ``report`` is told coefficients and log lambda after every step.
    """
    zero = np.zeros(problem.n_par)
    start = evaluate(problem if begin is None else problem.unexposed(), zero)
    if not np.isfinite(start.loglik):
        raise EngineError(
            "The risks of some rows overflow before any coefficient is fitted; "
            "the offsets span too wide a range.",
            code="overflow",
            arg="offset",
        )
    point = start
    if begin is not None:
        warm = evaluate(problem, begin)
        if not warm.loglik > start.loglik:
            return fit_penalised(
                problem, control, penalty, evaluate, moments, report=report
            )
        point = warm
    at = moments(problem, point)
    kept = _kept(problem, at, control, penalty)
    at_start = at.info
    spread = np.sqrt(np.maximum(np.diag(at_start), 0) / problem.risk.death_weight.sum())
    long = len(problem.slices) > 1  # passes over the data take a while
    rho = penalty.log_lambda
    choice = Choice(rho)
    before: tuple[float, Moments] | None = None
    iterations = halvings = polished = 0
    converged, flat_below = False, _FLAT
    while True:
        # The last steps, of rounding's size, are the coefficients' alone.
        if iterations < _SETTLED and not polished and penalty.method != "fixed":
            around = iterations < _LOOKS_AROUND
            wanted = _chosen(point, at, kept, penalty, rho, around)
            rho = choice.begin(wanted) if around else choice.follow(wanted)
        assert rho is not None
        theta = penalty.theta(rho)
        unit = whitener(at_start + np.diag(theta), kept)
        half, flat = root_of_variance(at.info + np.diag(theta), unit, flat_below)
        gradient = at.score - theta * point.beta
        step = half @ (half.T @ gradient)
        decrement = float(step @ gradient)
        if decrement < control.tol_step:
            converged = True
            if decrement <= _POLISHED or polished >= polish:
                break
            polished += 1
        if iterations >= control.max_iter:
            break
        iterations += 1
        if long and not flat.any() and is_last_step(half, decrement, at, before):
            converged = True
            point, at, gradient = _carry_on(point, at, step, theta)
            break
        found, halved = _ascend(problem, point, step, theta, control, evaluate, moments)
        halvings += halved
        if found is None:  # nothing finite and higher that way, to rounding
            if flat_below < _FLATTEST:
                flat_below *= 1e3
                continue
            converged = converged or decrement < _NOTHING_TO_GAIN
            break
        before = None if halved else (decrement, at)
        point, at = found
        if report is not None:
            report(point.beta, rho)
    infinite = kept & ((np.abs(step) * spread > _RUNS_AWAY) | flat)
    if decrement > _NOTHING_TO_GAIN:
        infinite[:] = False
    if begin is not None and not (converged and not infinite.any()):
        return fit_penalised(
            problem, control, penalty, evaluate, moments, report=report
        )
    return PenalisedFit(
        coefficients=np.where(kept, point.beta, np.nan),
        var=half @ half.T,
        loglik=np.array([start.loglik, point.loglik]),
        score=gradient,
        iterations=iterations,
        converged=converged,
        halvings=halvings,
        infinite=infinite,
        info=at.info,
        log_lambda=rho,
    )


def fit_thinned_first(problem: Any, control: Control, penalty: Penalty) -> PenalisedFit:
    """As :func:`fit_penalised`; a large cohort begins where a sample of it ends."""
    part = thinned(problem) if len(problem.slices) > 1 else None
    near = None if part is None else end_of_sample(part, control, penalty)
    if near is None:
        return fit_penalised(problem, control, penalty)
    begin, rho = near
    near_penalty = replace(penalty, log_lambda=rho)
    return fit_penalised(problem, control, near_penalty, begin=begin)


def end_of_sample(
    part: Any, control: Control, penalty: Penalty
) -> tuple[Floats, Floats] | None:
    """Coefficients and log lambda near those of a sample; None if it has none."""
    rough = replace(control, tol_step=_NEAR)
    sample = fit_penalised(part, rough, penalty, polish=0)
    begin = sample.coefficients + sample.var @ sample.score
    if not sample.converged or not np.isfinite(begin).all():
        return None
    return begin, sample.log_lambda


def _kept(problem: Target, at: Moments, control: Control, penalty: Penalty) -> Bools:
    """Columns that are not collinear: a column under a penalty never is."""
    middle, _, _ = scales(penalty.parts, at.info)
    theta = penalty.theta(middle)
    limit = control.tol_singular * (at.raw + theta)
    limit = limit + problem.risk.death_weight.sum() * problem.noise**2
    return (theta > 0) | independent(at.info + np.diag(theta), limit)


def _chosen(
    point: Any,
    at: Moments,
    kept: Bools,
    penalty: Penalty,
    rho: Floats | None,
    around: bool,
) -> Floats:
    index = np.flatnonzero(kept)
    model = Quadratic(
        point.beta[index], point.loglik, at.score[index], at.info[np.ix_(index, index)]
    )
    used = replace(penalty, parts=penalty.parts[:, index])
    return choose(model, used, rho, around)


def _carry_on(
    point: Any, at: Moments, step: Floats, theta: Floats
) -> tuple[Any, Moments, Floats]:
    """Point, moments and penalised score one step on, by the quadratic model."""
    curve = at.info @ step
    gain = float(step @ at.score) - 0.5 * float(step @ curve)
    beta = point.beta + step
    score = at.score - curve
    point = replace(point, beta=beta, loglik=point.loglik + gain)
    return point, replace(at, score=score), score - theta * beta


def _ascend(
    problem: Target,
    point: Any,
    step: Floats,
    theta: Floats,
    control: Control,
    evaluate: Evaluate,
    moments: Derive,
) -> tuple[tuple[Any, Moments] | None, int]:
    """The point a step leads to, halved until the likelihood does not fall."""
    value = point.loglik - 0.5 * float(theta @ point.beta**2)
    slack = 1e-12 * (1 + abs(value))
    for halved in range(control.max_halving + 1):
        trial = point.beta + step * 0.5**halved
        candidate = evaluate(problem, trial)
        if candidate.loglik - 0.5 * float(theta @ trial**2) >= value - slack:
            at = moments(problem, candidate)
            if np.all(np.isfinite(at.info)):
                return (candidate, at), halved
    return None, control.max_halving
