"""The penalised likelihood of many drugs at one lambda, and along a path.

Drug g has coefficients b_g = T_g theta_g with T_g' M_g T_g = 1, M_g its
information where no drug has an effect, less what the covariates explain: the
score of theta_g has unit variance if the drug does nothing, whatever the units
of its dose and the number of its users. In theta the penalty is

    lambda sum_g [(1 - alpha) sqrt(p_g) |theta_g| + alpha sum_k |a_gk' theta_g|],

p_g the rank of M_g. So lambda_max^2 is, for alpha = 0, the largest score test
statistic of a drug over its degrees of freedom.

Proximal Newton on the drugs that the sequential strong rule lets in (Tibshirani
et al. 2012, JRSS B 74, 245-266); each lambda ends with the scores of all others,
and what the rule lost comes in.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from .._typing import Bools, Floats, Ints
from ..cache import load_kernels
from ..errors import EngineError
from .likelihood import Moments, Point
from .newton import independent
from .sparse_data import SparseData, all_drugs, in_chunks
from .sparse_passes import View, evaluate, moments, score_of, view

BLOCKS = "vigitensor.survival.kernels_sparse_block"
_CHUNK = 32
# Share of a drug's second moment below which a direction is rounding.
_RANK = 1e-11
_SUFFICIENT = 1e-4
# Of a drug's largest coefficient: zero but for rounding.
_NOTHING = 1e-12


@dataclass(frozen=True)
class Metric:
    """Where no drug has an effect: what coefficients are measured by."""

    turn: Floats  # (drugs, J, J) T, columns of zeros beyond the rank
    rank: Ints  # (drugs,)
    rows: Floats  # (drugs, K, J) rows a of the second part, in theta


@dataclass(frozen=True)
class Penalty:
    """What coefficients cost, at one lambda."""

    near: Floats  # (drugs,) of the group norm
    along: Floats  # (drugs,) of the second part
    rows: Floats  # (drugs, K, J)

    def value(self, theta: Floats) -> float:
        """At theta (drugs, J)."""
        along = np.abs(np.einsum("gkc,gc->gk", self.rows, theta)).sum(axis=1)
        norms = np.sqrt((theta**2).sum(axis=1))
        return float(self.near @ norms + self.along @ along)

    def of(self, drugs: Ints) -> Penalty:
        """The part of some drugs."""
        return Penalty(self.near[drugs], self.along[drugs], self.rows[drugs])


@dataclass(frozen=True)
class Settings:
    """Of the iteration."""

    alpha: float = 0.0
    tol: float = 1e-7  # in standard errors of a drug without effect
    max_iter: int = 50


@dataclass
class State:
    """Where a path is."""

    gamma: Floats  # (q,) covariates
    theta: Floats  # (drugs, J)
    score: Floats  # (drugs, J) of theta, at these coefficients


@dataclass(frozen=True)
class Step:
    """The fit at one lambda."""

    lam: float
    gamma: Floats
    b: Floats  # (drugs, J)
    loglik: float
    iterations: int
    converged: bool
    distance: float  # from the optimality conditions, over all drugs
    recalled: int  # drugs that the strong rule had lost


def penalty_at(lam: float, metric: Metric, alpha: float) -> Penalty:
    """The penalty of every drug at ``lam``."""
    near = lam * (1 - alpha) * np.sqrt(metric.rank)
    along = np.full(near.size, lam * alpha)
    return Penalty(near, along, metric.rows)


def fit_null(data: SparseData, max_iter: int = 50) -> tuple[Point, Moments, View]:
    """Covariates alone."""
    none = view(data, np.zeros(0, np.int64))
    point = evaluate(none, np.zeros(data.n_cov))
    if not np.isfinite(point.loglik):
        raise EngineError(
            "The risks of some rows overflow before any coefficient is fitted; "
            "the offsets span too wide a range.",
            code="overflow",
            arg="offset",
        )
    at = moments(none, point)
    for _ in range(max_iter):
        step = np.linalg.solve(at.info, at.score) if data.n_cov else at.score
        if float(step @ at.score) < 1e-22:
            break
        for _ in range(30):
            candidate = evaluate(none, point.beta + step)
            if candidate.loglik >= point.loglik - 1e-12 * (1 + abs(point.loglik)):
                break
            step = step / 2
        point = candidate
        at = moments(none, point)
    return point, at, none


def kept_covariates(data: SparseData) -> Bools:
    """Covariates that are not combinations of those before them."""
    none = view(data, np.zeros(0, np.int64))
    at = moments(none, evaluate(none, np.zeros(data.n_cov)))
    limit = 1.818989e-12 * at.raw + data.risk.death_weight.sum() * data.noise**2
    return independent(at.info, limit)


def metric_of(
    data: SparseData, null: tuple[Point, Moments, View], second: Floats, kind: str
) -> tuple[Metric, Floats]:
    """The metric of every drug, and its score there, (drugs, J) in theta.

    ``second`` (K, J) are the rows of the second part in the coefficients; each is
    divided by the size of coefficients that the metric says.
    """
    point, _, _ = null
    q, n_col = data.n_cov, data.n_col
    turn = np.zeros((data.n_drugs, n_col, n_col))
    rank = np.zeros(data.n_drugs, np.int64)
    rows = np.zeros((data.n_drugs, second.shape[0], n_col))
    score = np.zeros((data.n_drugs, n_col))
    for chunk in in_chunks(all_drugs(data), _CHUNK):
        here = view(data, chunk)
        beta = np.append(point.beta, np.zeros(chunk.size * n_col))
        at = moments(here, replace(point, beta=beta))
        explained = np.zeros((q, 0))
        if q:
            explained = np.linalg.solve(at.info[:q, :q], at.info[:q, q:])
        for k, g in enumerate(chunk):
            own = slice(q + k * n_col, q + (k + 1) * n_col)
            info = at.info[own, own]
            if q:
                info = (
                    info - at.info[own, :q] @ explained[:, own.start - q : own.stop - q]
                )
            turn[g], rank[g] = _whiten(info, at.raw[own])
            score[g] = turn[g].T @ at.score[own]
            scale = np.sqrt(np.maximum(np.diag(info), 0))
            if kind == "fused":
                scale = np.full(n_col, np.sqrt(np.mean(scale**2)))
            rows[g] = (second * scale) @ turn[g]
    return Metric(turn, rank, rows), score


def _whiten(info: Floats, raw: Floats) -> tuple[Floats, int]:
    # Columns of their own size first: what is rounding does not depend on it.
    size = np.sqrt(np.maximum(np.diag(info), 0.0))
    if not np.any(np.diag(info) > _RANK * raw) or not np.all(np.isfinite(info)):
        return np.zeros_like(info), 0
    unit = np.where(size > 0, size, 1.0)
    values, vectors = np.linalg.eigh(info / np.outer(unit, unit))
    told = values > max(_RANK, _RANK * values[-1])
    out = np.zeros_like(info)
    out[:, told] = vectors[:, told] / np.sqrt(values[told])
    return out / unit[:, None], int(told.sum())


def largest_lambda(score: Floats, metric: Metric, alpha: float) -> Floats:
    """Of every drug, the lambda at which it comes in alone, (drugs,)."""
    rank = np.maximum(metric.rank, 1)
    group = np.sqrt((score**2).sum(axis=1) / rank)
    if alpha == 0:
        return group
    # The length of the prox falls with lambda, the bound rises.
    low = np.zeros(group.size)
    high = group / (1 - alpha)
    for _ in range(60):
        middle = (low + high) / 2
        inside = _lengths(score, metric.rows, alpha * middle) <= (
            (1 - alpha) * np.sqrt(rank) * middle
        )
        high = np.where(inside, middle, high)
        low = np.where(inside, low, middle)
    return high


def _lengths(score: Floats, rows: Floats, along: Floats) -> Floats:
    out = np.empty(score.shape[0])
    u = np.zeros(rows.shape[:2])
    load_kernels(BLOCKS).lengths(
        np.ascontiguousarray(score), np.zeros(out.size), along, rows, u, out,
        np.empty(2 * score.shape[1]),
    )  # fmt: skip
    return out


def run_path(
    data: SparseData,
    metric: Metric,
    state: State,
    lambdas: Floats,
    settings: Settings,
    first: float,
) -> Iterator[Step]:
    """Fit one lambda after the other, from ``state`` at lambda ``first``."""
    before = first
    usable = metric.rank > 0
    for lam in lambdas:
        penalty = penalty_at(lam, metric, settings.alpha)
        # Strong rule: a score changes by no more than its bound does.
        guess = penalty_at(max(2 * lam - before, 0.0), metric, settings.alpha)
        strong = _lengths(state.score, metric.rows, guess.along) >= guess.near
        inside = usable & (strong | state.theta.any(axis=1))
        done = recalled = 0
        while True:
            found = _fit_inside(data, metric, penalty, state, inside, settings)
            point, here, iterations, converged, distance, b = found
            done += iterations
            others = np.flatnonzero(usable & ~inside)
            lost = np.zeros(0, np.int64)
            if others.size and np.isfinite(point.loglik):
                of = score_of(here, point, others)[1]
                turned = np.einsum("gjc,gj->gc", metric.turn[others], of)
                state.score[others] = turned
                over = _lengths(turned, metric.rows[others], penalty.along[others])
                excess = over - penalty.near[others]
                lost = others[excess > settings.tol]
                distance = max(distance, float(excess.max()))
            if lost.size == 0 or not converged:
                break
            recalled += lost.size
            inside[lost] = True
        before = lam
        yield Step(
            float(lam), state.gamma.copy(), b, point.loglik, done, converged,
            distance, recalled,
        )  # fmt: skip
        if not converged:
            return


def _fit_inside(
    data: SparseData,
    metric: Metric,
    penalty: Penalty,
    state: State,
    inside: Bools,
    settings: Settings,
) -> tuple[Point, View, int, bool, float, Floats]:
    """Proximal Newton over some drugs; moves ``state``."""
    drugs = np.flatnonzero(inside)
    here = view(data, drugs)
    own = penalty.of(drugs)
    turn = metric.turn[drugs]
    kernels = load_kernels(BLOCKS)
    q, n_col, k = data.n_cov, data.n_col, drugs.size
    u = np.zeros(own.rows.shape[:2])
    scratch = np.empty(2 * max(n_col, q, 1))
    gamma, theta = state.gamma, state.theta[drugs]

    def look(gamma: Floats, theta: Floats) -> tuple[Point, float]:
        b = np.einsum("gjc,gc->gj", turn, theta)
        point = evaluate(here, np.append(gamma, b.ravel()))
        return point, point.loglik - own.value(theta)

    point, value = look(gamma, theta)
    iterations, converged, distance = 0, False, np.inf
    apart = np.empty(k)
    while True:
        at = moments(here, point)
        score, info = turned(at, turn, q)
        free = np.linalg.inv(info[:q, :q]) if q else np.zeros((0, 0))
        of_groups = np.ascontiguousarray(score[q:].reshape(k, n_col))
        distance = kernels.distances(
            np.ascontiguousarray(theta), of_groups, own.near, own.along, own.rows, u,
            apart, scratch,
        )  # fmt: skip
        if q:
            distance = max(distance, float(score[:q] @ free @ score[:q]) ** 0.5)
        if not np.isfinite(distance):
            break
        if distance <= settings.tol:
            converged = True
            break
        if iterations >= settings.max_iter:
            break
        iterations += 1
        new = np.append(gamma, theta.ravel())
        blocks = info[q:, q:].reshape(k, n_col, k, n_col)
        each = np.arange(k)
        size = np.zeros(k)
        size[:] = np.linalg.eigvalsh(blocks[each, :, each, :])[:, -1]
        if not (own.near.any() or own.along.any()):  # nothing is penalised
            new = new + np.linalg.lstsq(info, score, rcond=1e-14)[0]
        else:
            kernels.block_ascent(
                info, np.ascontiguousarray(free), size, own.near, own.along, own.rows,
                u, new, score.copy(), 100_000,
                max(1e-4 * settings.tol, 1e-3 * min(distance, distance**2)), scratch,
            )  # fmt: skip
        step_gamma = new[:q] - gamma
        step_theta = new[q:].reshape(k, n_col) - theta
        gain = float(score[:q] @ step_gamma) + float((of_groups * step_theta).sum())
        gain -= own.value(theta + step_theta) - own.value(theta)
        share = 1.0
        slack = 1e-13 * (1 + abs(value))
        while True:
            there = (gamma + share * step_gamma, theta + share * step_theta)
            found, reached = look(*there)
            if reached >= value + _SUFFICIENT * share * gain - slack:
                break
            share /= 2
            if share < 1e-9:
                break
        if share < 1e-9:
            break
        gamma, theta = there
        point, value = found, reached
    state.gamma = gamma
    state.theta[drugs] = theta
    state.score[drugs] = of_groups
    b = np.zeros((data.n_drugs, n_col))
    b[drugs] = np.einsum("gjc,gc->gj", turn, theta)
    b[np.abs(b) < _NOTHING * np.abs(b).max(axis=1, keepdims=True)] = 0.0
    return point, here, iterations, converged, distance, b


def turned(at: Moments, turn: Floats, q: int) -> tuple[Floats, Floats]:
    """Score and information of covariates and theta."""
    k, n_col = turn.shape[0], turn.shape[1]
    score = at.score.copy()
    score[q:] = np.einsum("gjc,gj->gc", turn, at.score[q:].reshape(k, n_col)).ravel()
    info = at.info.copy()
    p = score.size
    right = info[:, q:].reshape(p, k, n_col)
    info[:, q:] = np.einsum("rgj,gjc->rgc", right, turn).reshape(p, p - q)
    down = info[q:].reshape(k, n_col, p)
    info[q:] = np.einsum("gjr,gjc->gcr", down, turn).reshape(p - q, p)
    return score, 0.5 * (info + info.T)
