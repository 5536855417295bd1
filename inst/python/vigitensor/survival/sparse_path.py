"""Paths of a data set and of its folds, and what is told of all drugs at the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from .._typing import Bools, Floats, Ints
from .sparse_data import SparseData, all_drugs
from .sparse_fit import (
    Metric,
    Settings,
    State,
    Step,
    fit_null,
    kept_covariates,
    largest_lambda,
    metric_of,
    run_path,
    turned,
)
from .sparse_passes import evaluate, moments, score_of, view

# Eigenvalue of the information of all drugs, each of unit information where none
# has an effect, below which they cannot be told apart.
_APART = 1e-8
_SHARE = 1e-6


@dataclass(frozen=True)
class Start:
    """What a path needs to begin."""

    data: SparseData  # without covariates that are not kept
    kept: Bools  # (q,)
    metric: Metric
    gamma: Floats  # (kept q,)
    loglik: float  # of the covariates alone
    score: Floats  # (drugs, J) in theta, there
    largest: Floats  # (drugs,) lambda at which each comes in


def begin(data: SparseData, second: Floats, kind: str, alpha: float) -> Start:
    """Fit the covariates, measure the drugs."""
    kept = kept_covariates(data)
    data = replace(data, z=np.ascontiguousarray(data.z[:, kept]))
    null = fit_null(data)
    metric, score = metric_of(data, null, second, kind)
    largest = largest_lambda(score, metric, alpha)
    largest[metric.rank == 0] = 0.0
    return Start(data, kept, metric, null[0].beta, null[0].loglik, score, largest)


def path(start: Start, lambdas: Floats, settings: Settings) -> list[Step]:
    """The whole path; shorter than ``lambdas`` if a fit has no optimum."""
    n, n_col = start.score.shape
    state = State(start.gamma.copy(), np.zeros((n, n_col)), start.score.copy())
    first = max(float(start.largest.max(initial=0.0)), float(lambdas[0]))
    return list(run_path(start.data, start.metric, state, lambdas, settings, first))


def fold_path(
    whole: Start, part: SparseData, lambdas: Floats, settings: Settings
) -> tuple[list[Step], Floats, Floats]:
    """Path without the people of one fold, and its gains in likelihood.

    The metric is that of all people, and lambda counts events: what is asked of
    a drug is the same per event. Value: the steps, their log-likelihood in the
    ``part`` they are fitted to, and in the whole.
    """
    share = part.risk.death_weight.sum() / whole.data.risk.death_weight.sum()
    part = replace(part, z=np.ascontiguousarray(part.z[:, whole.kept]))
    point, _, none = fit_null(part)
    score = score_of(none, point, all_drugs(part))[1]
    score = np.einsum("gjc,gj->gc", whole.metric.turn, score)
    state = State(point.beta, np.zeros(score.shape), score)
    first = float(lambdas[0]) * share
    steps = list(run_path(part, whole.metric, state, lambdas * share, settings, first))
    inside = np.array([s.loglik for s in steps])
    return steps, inside, np.array([whole_loglik(whole.data, s) for s in steps])


def whole_loglik(data: SparseData, step: Step) -> float:
    """Log-likelihood of a data set at the coefficients of a step."""
    drugs = np.flatnonzero(step.b.any(axis=1))
    return evaluate(view(data, drugs), flat(step, drugs)).loglik


def flat(step: Step, drugs: Ints) -> Floats:
    """Coefficients of the covariates and of some drugs, one after the other."""
    return np.append(step.gamma, step.b[drugs].ravel())


@dataclass(frozen=True)
class OneStep:
    """Estimates of all drugs after one Newton step without a penalty."""

    coefficients: Floats  # (q + drugs * J,)
    var: Floats  # (q + drugs * J, q + drugs * J)
    known: Bools  # (drugs,) can they be told apart from the others?


def one_step(start: Start, step: Step) -> OneStep:
    """One Newton step from a penalised fit, over all drugs together.

    The bias of the penalty goes, to first order, and the variance is that of the
    fit without a penalty, whichever drugs were selected.
    """
    data, metric, q = start.data, start.metric, start.data.n_cov
    drugs = all_drugs(data)
    here = view(data, drugs)
    point = evaluate(here, flat(step, drugs))
    score, info = turned(moments(here, point), metric.turn, q)
    told = np.append(np.ones(q, bool), (np.diag(info)[q:] > 0))
    # Covariates to unit information, as the drugs are.
    unit = np.ones(told.size)
    unit[:q] = 1 / np.sqrt(np.diag(info)[:q])
    index = np.flatnonzero(told)
    block = (info * unit[:, None] * unit)[np.ix_(index, index)]
    values, vectors = np.linalg.eigh(block)
    alive = values > _APART * max(1.0, float(values[-1]))
    share = np.zeros(told.size)
    share[index] = np.abs(vectors[:, ~alive]).max(axis=1, initial=0)
    half = vectors[:, alive] / np.sqrt(values[alive])
    root = np.zeros((told.size, int(alive.sum())))
    root[index] = half * unit[index, None]
    n, n_col = step.b.shape
    root[q:] = np.einsum(
        "gjc,gcr->gjr", metric.turn, root[q:].reshape(n, n_col, root.shape[1])
    ).reshape(n * n_col, root.shape[1])
    moved = np.zeros(told.size)
    moved[index] = half @ (half.T @ (unit[index] * score[index])) * unit[index]
    moved[q:] = np.einsum(
        "gjc,gc->gj", metric.turn, moved[q:].reshape(n, n_col)
    ).ravel()
    known = (share[q:].reshape(n, n_col).max(axis=1) < _SHARE) & (metric.rank == n_col)
    return OneStep(flat(step, drugs) + moved, root @ root.T, known)


def exposed_events(data: SparseData) -> Ints:
    """Deaths with a dose of each drug in the window, (drugs,)."""
    return np.bincount(data.deaths.drug, minlength=data.n_drugs)


def default_lambdas(largest: float, least: float, count: int) -> Floats:
    """Evenly on the log scale, from the largest to ``least``."""
    return np.exp(np.linspace(np.log(largest), np.log(least), count))


def together(steps: Sequence[Step], kept: Bools) -> tuple[Floats, Floats]:
    """Coefficients of the steps: covariates (steps, q), drugs (steps, drugs, J)."""
    gamma = np.full((len(steps), kept.size), np.nan)
    for k, step in enumerate(steps):
        gamma[k, kept] = step.gamma
    return gamma, np.array([s.b for s in steps])
