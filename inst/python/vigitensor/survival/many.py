"""Fits of many replicates of the weights, each started from the full fit.

The influence of the subjects' weights, V sum_i (w_i - 1) score_i, brings a
replicate near its optimum; one Newton step with its own information, and steps
with that information and what changes of the score teach about it (BFGS), do
the rest: three passes of the first derivatives usually suffice. What does not
converge so is fitted from zero, as any data set would be.

Under linear inequalities every step is the best that keeps to them, with the
information of its own place (see ``constrained``).

Engines bring their own passes over the data; the iteration is the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from .._typing import Bools, Floats
from ..cache import load_kernels
from ..pool import run_slices
from .constrained import constrained_step
from .many_pass import MANY, KernelPasses, Passes, Replicate, reweigh_deaths
from .newton import Fit
from .problem import Problem

METHODS = ("fit", "one_step", "influence")
# Why a replicate has no coefficients.
REASONS = ("ok", "no_event", "not_converged", "infinite", "collinear", "overflow")
OK, NO_EVENT, NOT_CONVERGED, INFINITE, COLLINEAR, OVERFLOW = range(6)
_MAX_PASSES = 20
_MAX_HALVING = 3
# Error, in standard errors, with which a replicate is done.
_DONE = 2e-9
# And before a step of Newton's own, which squares it.
_DONE_NEWTON = 3e-7
# Replicates this many standard errors from the full fit are fitted from zero.
_FAR = 6
# Steps that gain less than this factor ask for a new information.
_SLOW = 0.1


@dataclass(frozen=True)
class FullFit:
    """Where replicates start from; dropped columns have coefficient 0."""

    problem: Problem
    ties: str
    beta: Floats  # (p,)
    kept: Bools  # (p,)
    var: Floats  # (p, p) inverse of information plus penalty, of no face
    score: Floats  # (subjects, p) weighted, at the fit
    penalty: Floats  # (p,) less penalty beta^2 / 2


@dataclass(frozen=True)
class ManyFits:
    """Results by replicate; rows of NaN where there is a reason."""

    coefficients: Floats  # (B, p)
    loglik: Floats  # (B,)
    iterations: np.ndarray  # (B,) passes over the data
    reason: np.ndarray  # (B,) position in REASONS


@dataclass
class _State:
    """One replicate on its way."""

    rep: Replicate
    base: Floats  # last coefficients with a finite and higher likelihood
    value: float = -np.inf  # and that likelihood, less the penalty
    factor: Floats | None = None  # inverse of the information
    fresh: bool = False  # no step yet with it
    decrement: float = np.inf
    gain: float = 0.0  # of the last step, in the likelihood
    step: Floats = field(default_factory=lambda: np.empty(0))  # the last one
    score: Floats = field(default_factory=lambda: np.empty(0))  # before it
    passes: int = 0
    halved: int = 0


def fit_many(
    full: FullFit,
    weights: Floats,
    method: str,
    refit: Callable[[Floats], Fit],
    passes: Passes | None = None,
) -> ManyFits:
    """Fit every row of ``weights`` (B, subjects); ``refit`` fits one from zero."""
    count, p = weights.shape[0], full.problem.n_par
    out = ManyFits(
        np.full((count, p), np.nan), np.full(count, np.nan),
        np.zeros(count, np.int32), np.zeros(count, np.int8),
    )  # fmt: skip
    if passes is None:
        passes = KernelPasses(full.problem, weights, _top(full))
    for first in range(0, count, passes.together):
        group = range(first, min(first + passes.together, count))
        active = _begin(full, weights, group, method, out)
        if method == "influence":
            for state in active:
                _keep(full, out, state, np.nan)
        elif method == "one_step":
            _one_step(full, passes, active, out)
        else:
            for state in _fit_group(full, passes, active, out):
                _from_zero(out, state, full, refit(weights[state.rep.index]))
    return out


def _begin(
    full: FullFit, weights: Floats, group: Sequence[int], method: str, out: ManyFits
) -> list[_State]:
    """Replicates with an event, at the full fit or near their own."""
    total = load_kernels(MANY).weighted_total
    states: dict[int, _State] = {}
    rows = full.problem.inequalities
    base = full.score.sum(axis=0) - full.penalty * full.beta
    root = _root(full.var) if rows.size else full.var

    def begin(k: int) -> None:
        risk = reweigh_deaths(full.problem, weights[k], full.ties)
        if not risk.death_weight.any():
            out.reason[k] = NO_EVENT
            return
        beta = full.beta
        if method != "one_step":
            moved = np.empty(full.var.shape[0])
            total(weights[k] - 1, full.score, moved)
            if rows.size:
                beta = beta + constrained_step(beta, base + moved, root, rows).step
            else:
                near = np.zeros(moved.size)
                for j in range(moved.size):  # in this order, whatever BLAS there is
                    near += full.var[:, j] * moved[j]
                beta = beta + near
        states[k] = _State(Replicate(k, risk, beta), full.beta)

    run_slices(begin, group)
    return [states[k] for k in sorted(states)]


def _fit_group(
    full: FullFit, passes: Passes, active: list[_State], out: ManyFits
) -> list[_State]:
    """Fit replicates together; those that are better fitted from zero."""
    lost: list[_State] = []
    done: set[int] = set()
    precision = inverse(full.var, full.kept)
    shaped = full.problem.inequalities.size > 0
    while active:
        passes.evaluate([s.rep for s in active], any(s.factor is None for s in active))
        for state in active:
            _penalise(full, state.rep)
        moving = [s for s in active if _look(s)]
        new = [s for s in moving if s.factor is None]
        passes.informations([s.rep for s in new])
        for state in new:
            info = state.rep.info + np.diag(full.penalty)
            state.factor = inverse(info, full.kept)
            state.fresh = True
            if state.factor is None:
                state.halved = _MAX_HALVING + 1
        for state in moving:
            if state.factor is None:
                continue
            arrived = _step_inside(state, full) if shaped else _step(state)
            if not arrived:
                continue
            done.add(state.rep.index)
            if _is_far(state, precision, full):
                lost.append(state)
            else:
                gain = 0.5 * float(full.penalty @ state.rep.beta**2)
                gain += state.gain
                _keep(full, out, state, state.value + gain)
        active = [s for s in active if s.rep.index not in done]
        lost += [s for s in active if _hopeless(s)]
        active = [s for s in active if not _hopeless(s)]
    return lost


def _top(full: FullFit) -> float:
    """Largest linear predictor of the covariates at the full fit."""
    p, q = full.problem, full.problem.n_cov
    return float((p.z @ full.beta[:q] + p.offset).max())


def _penalise(full: FullFit, rep: Replicate) -> None:
    if full.penalty.any():
        rep.loglik -= 0.5 * float(full.penalty @ rep.beta**2)
        rep.score = rep.score - full.penalty * rep.beta


def _is_far(state: _State, precision: Floats | None, full: FullFit) -> bool:
    """Has it gone where such steps may mistake infinity for an optimum?"""
    moved = state.rep.beta - full.beta
    most = _FAR * (moved.size + _FAR)
    return precision is None or not float(moved @ precision @ moved) < most


def _hopeless(state: _State) -> bool:
    return state.halved > _MAX_HALVING or state.passes >= _MAX_PASSES


def _look(state: _State) -> bool:
    """Has the last step led anywhere? If not, half of it is tried."""
    state.passes += 1
    value = state.rep.loglik
    if value >= state.value - 1e-12 * (1 + abs(value)):
        state.base, state.value = state.rep.beta, value
        return True
    state.halved += 1
    state.rep.beta = 0.5 * (state.base + state.rep.beta)
    state.factor, state.decrement = None, np.inf
    return False


def _step(state: _State) -> bool:
    """Move on; True when there is no need to look again."""
    assert state.factor is not None
    if not state.fresh:
        state.factor = _learn(state.factor, state.step, state.score - state.rep.score)
    step = state.factor @ state.rep.score
    decrement = float(step @ state.rep.score)
    if not decrement >= 0:  # rounding, at the optimum
        decrement = 0.0
    error = np.sqrt(decrement)
    rate = error / np.sqrt(state.decrement) if state.decrement > 0 else 0.0
    done = error < _DONE
    if not state.fresh:
        # A step's error is at most twice the last one's share.
        done = done or 2 * rate * error < _DONE
        if rate > _SLOW:
            state.factor = None
    state.fresh = False
    state.decrement = decrement
    state.step, state.score = step, state.rep.score
    state.gain = 0.5 * decrement
    state.rep.beta = state.rep.beta + step
    return bool(done)


def _step_inside(state: _State, full: FullFit) -> bool:
    """The best step that keeps to the inequalities; True when it is the last."""
    assert state.factor is not None
    rows = full.problem.inequalities * full.kept
    found = constrained_step(state.rep.beta, state.rep.score, _root(state.factor), rows)
    state.factor = None
    # To first order; the slope along the step need not be zero at its end.
    state.gain = float(found.step @ state.rep.score) - 0.5 * found.moved
    state.rep.beta = state.rep.beta + found.step
    return bool(found.moved < _DONE_NEWTON**2)


def _root(var: Floats) -> Floats:
    """H with H H' = var, which may be zero for some."""
    scale = np.sqrt(np.diag(var))
    safe = np.where(scale > 0, scale, 1.0)
    values, vectors = np.linalg.eigh(var / np.outer(safe, safe))
    return safe[:, None] * vectors * np.sqrt(np.maximum(values, 0.0))


def _learn(inverse: Floats, step: Floats, change: Floats) -> Floats:
    """BFGS update: the inverse that turns the score's change into the step."""
    along = float(step @ change)
    if not along > 0:
        return inverse
    left = np.eye(step.size) - np.outer(step, change) / along
    return left @ inverse @ left.T + np.outer(step, step) / along


def inverse(info: Floats, kept: Bools) -> Floats | None:
    """Inverse on the columns kept, zeros elsewhere; None if it has none."""
    index = np.flatnonzero(kept)
    block = info[np.ix_(index, index)]
    size = np.diag(block)
    if not np.all(np.isfinite(block)) or not np.all(size > 0):
        return None
    scale = 1 / np.sqrt(size)
    try:
        root = np.linalg.inv(np.linalg.cholesky(block * np.outer(scale, scale)))
    except np.linalg.LinAlgError:
        return None
    out = np.zeros_like(info)
    out[np.ix_(index, index)] = (root.T @ root) * np.outer(scale, scale)
    return out


def _keep(full: FullFit, out: ManyFits, state: _State, loglik: float) -> None:
    k = state.rep.index
    out.coefficients[k] = np.where(full.kept, state.rep.beta, np.nan)
    out.loglik[k] = loglik
    out.iterations[k] = state.passes


def _one_step(
    full: FullFit, passes: Passes, states: list[_State], out: ManyFits
) -> None:
    reps = [s.rep for s in states]
    if not reps:
        return
    passes.evaluate(reps, True)
    passes.informations(reps)
    shaped = full.problem.inequalities.size > 0
    for state in states:
        state.passes = 1
        _penalise(full, state.rep)
        info = state.rep.info + np.diag(full.penalty)
        state.factor = inverse(info, full.kept)
        if state.factor is None:
            out.reason[state.rep.index] = COLLINEAR
            continue
        if shaped:
            _step_inside(state, full)
        else:
            state.rep.beta = state.rep.beta + state.factor @ state.rep.score
        _keep(full, out, state, np.nan)


def _from_zero(out: ManyFits, state: _State, full: FullFit, fit: Fit) -> None:
    k = state.rep.index
    out.iterations[k] = state.passes + fit.iterations
    if fit.infinite.any():
        out.reason[k] = INFINITE
    elif np.any(np.isnan(fit.coefficients) & full.kept):
        out.reason[k] = COLLINEAR
    elif not fit.converged:
        out.reason[k] = NOT_CONVERGED
    else:
        out.coefficients[k] = fit.coefficients
        out.loglik[k] = fit.loglik[1]
