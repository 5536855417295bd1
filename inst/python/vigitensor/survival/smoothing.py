"""Smoothing parameters, chosen on the quadratic model of a log-likelihood.

A penalty is diagonal: with parts a_j (p,), none negative, and parameters
lambda_j = exp(rho_j), the log-likelihood loses sum_i theta_i b_i^2 / 2 with
theta = sum_j lambda_j a_j. Around a point the log-likelihood is

    l(b) = value + score'(b - at) - (b - at)' info (b - at) / 2,

so everything that the choice needs is of the size of ``info``. With C = info +
diag(theta), V = C^-1 and b the penalised optimum, what is maximised over rho is

    REML   l(b) - sum theta b^2 / 2 + (sum log theta - log|C|) / 2
    AIC    l(b) - tr(V info)

the first up to a constant: the likelihood of lambda once b is integrated out,
with a flat prior along what no penalty touches. Newton's method finds it; the
derivatives of ``info`` itself are left out, as in penalised quasi-likelihood.

Sources: Breslow and Clayton (1993), JASA 88, 9-25; Wood (2011), JRSS B 73, 3-36;
Wood and Fasiolo (2017), Biometrics 73, 1071-1081.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from .._typing import Floats

METHODS = ("reml", "aic", "fixed")
# Largest gradient by rho at which the search ends, and steps it may take.
_LEVEL, _MAX_STEPS = 1e-10, 100
# Longest step in rho; how far rho may go beyond what changes anything.
_LONGEST, _BEYOND = 4.0, 18.0
# Where the search looks before it begins to climb, from the middle: so far, and in
# such steps by the number of parts of a term, the wider the more there are.
_FAR, _STEPS = 15.0, {1: 3.0, 2: 3.0, 3: 5.0}
_WIDEST = 7.5
_CURVED = 1e-11


@dataclass(frozen=True)
class Penalty:
    """Parts of a penalty, and how their parameters are come by."""

    parts: Floats  # (k, p)
    method: str  # one of METHODS
    log_lambda: Floats | None = None  # (k,) where the search begins; "fixed": kept

    def theta(self, rho: Floats) -> Floats:
        """Diagonal of the penalty, (p,)."""
        out: Floats = np.exp(rho) @ self.parts
        return out


@dataclass(frozen=True)
class Quadratic:
    """The log-likelihood around a point, on the columns in use."""

    at: Floats
    value: float
    score: Floats
    info: Floats


@dataclass(frozen=True)
class Judged:
    """A criterion and its derivatives by rho."""

    value: float
    gradient: Floats
    hessian: Floats


def scales(parts: Floats, info: Floats) -> tuple[Floats, Floats, Floats]:
    """Where rho has any effect: its middle, its least and its largest, (k,)."""
    size = np.diag(info)
    top = size.max(initial=0.0)
    middle, low, high = (np.zeros(parts.shape[0]) for _ in range(3))
    for j, part in enumerate(parts):
        told = (part > 0) & (size > 1e-12 * top)
        if not told.any():
            continue
        ratio = np.log(size[told] / part[told])
        middle[j] = np.log(size[told].sum() / part[told].sum())
        low[j], high[j] = ratio.min() - _BEYOND, ratio.max() + _BEYOND
    return middle, low, high


def judge(model: Quadratic, penalty: Penalty, rho: Floats) -> Judged | None:
    """The criterion at ``rho`` (k,); None where it is not defined."""
    lam = np.exp(rho)
    g = lam[:, None] * penalty.parts  # (k, p) derivatives of theta by rho
    theta = g.sum(axis=0)
    solved = _solve(model, theta)
    if solved is None:
        return None
    b, v, log_det = solved
    away = b - model.at
    loglik = model.value + model.score @ away - 0.5 * away @ model.info @ away
    pull = g * b  # (k, p)
    move = pull @ v  # minus db/drho
    if penalty.method == "aic":
        shrink = theta @ (v * v)  # d tr(V info)/drho is -sum g (V_ii - shrink_i)
        gradient = -(move @ (theta * b)) + g @ (np.diag(v) - shrink)
        free = np.trace(v @ model.info)
        return Judged(float(loglik - free), gradient, np.zeros((0, 0)))
    some = theta > 0
    share = g[:, some] / theta[some]
    value = loglik - 0.5 * theta @ b**2
    value += 0.5 * np.log(theta[some]).sum() - 0.5 * log_det
    own = 0.5 * (share.sum(axis=1) - pull @ b - g @ np.diag(v))
    hessian = np.diag(own) - 0.5 * share @ share.T
    hessian += pull @ move.T + 0.5 * g @ (v * v) @ g.T
    return Judged(float(value), own, hessian)


def _solve(model: Quadratic, theta: Floats) -> tuple[Floats, Floats, float] | None:
    """Optimum at this penalty, inverse of C, and the logarithm of its determinant."""
    c = model.info + np.diag(theta)
    size = np.diag(c)
    if not np.all(size > 0) or not np.all(np.isfinite(c)):
        return None
    scale = 1 / np.sqrt(size)
    try:
        root = np.linalg.cholesky(c * np.outer(scale, scale))
    except np.linalg.LinAlgError:
        return None
    log_det = 2 * np.log(np.diag(root)).sum() - 2 * np.log(scale).sum()
    half: Floats = np.linalg.inv(root) * scale
    v: Floats = half.T @ half
    # From the point, so that the digits of a small step are not lost.
    b: Floats = model.at + v @ (model.score - theta * model.at)
    return b, v, float(log_det)


def choose(
    model: Quadratic, penalty: Penalty, begin: Floats | None, around: bool = True
) -> Floats:
    """The rho (k,) that the criterion prefers, from ``begin`` if that is near.

    There may be several optima: ``around`` looks for the best, not for the next.
    """
    middle, low, high = scales(penalty.parts, model.info)
    rho = middle if begin is None else np.clip(begin, low, high)
    if begin is None or around:
        rho = _look_around(model, penalty, rho, middle, low, high)
    here = judge(model, penalty, rho)
    if here is None:
        return rho
    for _ in range(_MAX_STEPS):
        free = ~((rho <= low) & (here.gradient < 0))
        free &= ~((rho >= high) & (here.gradient > 0))
        free &= np.abs(here.gradient) > _LEVEL
        if not free.any():
            break
        step = np.zeros(rho.size)
        curve = _curvature(model, penalty, rho, here)[np.ix_(free, free)]
        step[free] = _uphill(here.gradient[free], curve)
        found = _climb(model, penalty, rho, here, step, low, high)
        if found is None:
            break
        rho, here = found
    return rho


def _look_around(
    model: Quadratic,
    penalty: Penalty,
    rho: Floats,
    middle: Floats,
    low: Floats,
    high: Floats,
) -> Floats:
    """The best of a coarse grid for the parts of one term, term after term."""
    touches = penalty.parts > 0
    first = np.argmax(touches.astype(int) @ touches.T.astype(int) > 0, axis=1)
    here = judge(model, penalty, rho)
    best = -np.inf if here is None else here.value
    for term in np.unique(first):
        own = np.flatnonzero(first == term)
        coarse = np.arange(-_FAR, _FAR + 0.1, _STEPS.get(own.size, _WIDEST))
        for shifts in itertools.product(coarse, repeat=own.size):
            trial = rho.copy()
            trial[own] = np.clip(middle[own] + shifts, low[own], high[own])
            found = judge(model, penalty, trial)
            if found is not None and found.value > best:
                best, rho = found.value, trial
    return rho


def _curvature(model: Quadratic, penalty: Penalty, rho: Floats, here: Judged) -> Floats:
    """Minus the second derivatives by rho."""
    if penalty.method == "reml":
        return -here.hessian
    # No formula for AIC: central differences of the gradient.
    k, h = rho.size, 1e-4
    out = np.zeros((k, k))
    for j in range(k):
        shift = np.zeros(k)
        shift[j] = h
        up = judge(model, penalty, rho + shift)
        down = judge(model, penalty, rho - shift)
        if up is not None and down is not None:
            out[j] = (down.gradient - up.gradient) / (2 * h)
    return 0.5 * (out + out.T)


def _uphill(gradient: Floats, curve: Floats) -> Floats:
    """A step that rises, and is Newton's where the criterion is concave."""
    values, vectors = np.linalg.eigh(curve)
    size = np.maximum(np.abs(values), _CURVED)
    step: Floats = vectors @ ((vectors.T @ gradient) / size)
    longest = np.abs(step).max()
    return step if longest <= _LONGEST else step * (_LONGEST / longest)


def _climb(
    model: Quadratic,
    penalty: Penalty,
    rho: Floats,
    here: Judged,
    step: Floats,
    low: Floats,
    high: Floats,
) -> tuple[Floats, Judged] | None:
    slack = 1e-13 * (1 + abs(here.value))
    for halved in range(40):
        trial = np.clip(rho + step * 0.5**halved, low, high)
        found = judge(model, penalty, trial)
        if found is None or found.value < here.value - slack:
            continue
        # Within rounding of the value the gradient tells whether it is better.
        if found.value <= here.value + slack:
            flatter = np.abs(found.gradient).max() < np.abs(here.gradient).max()
            if not flatter:
                continue
        return trial, found
    return None
