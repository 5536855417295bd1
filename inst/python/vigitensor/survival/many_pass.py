"""Passes over the data for many replicates: their likelihoods and derivatives.

The sums are those of ``likelihood``, with each replicate's own weights and
coefficients, eight of them to a kernel call. Deaths of weight 0 have no part in
ties, as if their rows were not there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np

from .._typing import Floats, Ints
from ..cache import load_kernels
from ..pool import one_blas_thread, run_slices
from .exposure import REAL
from .likelihood import Point, Sum, information, over_deaths
from .problem import PAD, RISK, Problem, buffers
from .riskset import RiskSet

MANY = "vigitensor.survival.kernels_many"
LANES = 8  # as in kernels_many, which is not imported before it is needed
# Numbers of features that are kept between passes: what nearer caches hold.
_MOST_KEPT = 4_000_000


@dataclass
class Replicate:
    """One set of weights, and where its iteration stands."""

    index: int  # row of the weights
    risk: RiskSet  # with the replicate's deaths
    beta: Floats  # (p,)
    loglik: float = -np.inf
    score: Floats = field(default_factory=lambda: np.empty(0))  # (p,)
    info: Floats = field(default_factory=lambda: np.empty(0))  # (p, p)
    # What the kernels' first pass leaves for their second.
    point: Point | None = None
    xbar: Floats = field(default_factory=lambda: np.empty(0))  # (events, p)


class Passes(Protocol):
    """Passes over the data as an engine makes them."""

    together: int  # replicates to work on together

    def evaluate(self, replicates: Sequence[Replicate], informed: bool) -> None:
        """Log-likelihood and score at the coefficients.

        ``informed``: somebody will ask for informations there.
        """

    def informations(self, replicates: Sequence[Replicate]) -> None:
        """Information where ``evaluate`` left the replicates."""


class KernelPasses:
    """The compiled kernels' passes.

    Parameters
    ----------
    weights : array (B, subjects)
    top : float
        About the largest linear predictor of the covariates.
    """

    # Their risk sums are kept in memory.
    together = 32

    def __init__(self, problem: Problem, weights: Floats, top: float) -> None:
        self._data = problem, weights, top

    def evaluate(self, replicates: Sequence[Replicate], informed: bool) -> None:
        """See :class:`Passes`."""
        evaluate_many(*self._data, replicates)

    def informations(self, replicates: Sequence[Replicate]) -> None:
        """See :class:`Passes`."""
        if replicates:
            informations(*self._data, replicates)


def reweigh_deaths(problem: Problem, w: Floats, ties: str) -> RiskSet:
    """Risk set in which deaths have the weights w (subjects,) times their own."""
    risk = problem.risk
    weight = risk.death_weight * w[problem.subject[risk.death_row]]
    fraction, mean = tied_deaths(risk, weight, ties)
    return replace(risk, death_weight=weight, mean_weight=mean, fraction=fraction)


def tied_deaths(risk: RiskSet, weight: Floats, ties: str) -> tuple[Floats, Floats]:
    """Shares l/d and mean weights for the deaths' weights (deaths, ...).

    A death of weight 0 is none.
    """
    begin, at = risk.death_begin, risk.death_event
    counts = (weight > 0).astype(float)
    size = np.maximum(np.add.reduceat(counts, begin, axis=0), 1)
    fraction = np.zeros(weight.shape)
    if ties == "efron" and risk.tied:
        before = np.cumsum(counts, axis=0) - counts
        fraction = (before - before[begin][at]) / size[at]
    return fraction, np.add.reduceat(weight, begin, axis=0) / size


@np.errstate(all="ignore")
def evaluate_many(
    problem: Problem, weights: Floats, top: float, replicates: Sequence[Replicate]
) -> None:
    """Log-likelihood and score of every replicate at its coefficients.

    ``weights`` (., subjects); ``top`` is about the largest linear predictor.
    """
    lowered = lower_deaths(problem, replicates, top)
    found = many_risks(problem, weights, top, replicates, lowered)
    finish_risks(problem, top, replicates, lowered, found)


def lower_deaths(
    problem: Problem, replicates: Sequence[Replicate], top: float
) -> list[tuple[Floats, Floats]]:
    """Of each replicate: predictors of deaths, lowered, and what by."""
    lowered: dict[int, tuple[Floats, Floats]] = {}
    run_slices(
        lambda k: lowered.update({k: _lower(problem, replicates[k], top)}),
        range(len(replicates)),
    )
    return [lowered[k] for k in range(len(replicates))]


@np.errstate(all="ignore")
def finish_risks(
    problem: Problem,
    top: float,
    replicates: Sequence[Replicate],
    lowered: Sequence[tuple[Floats, Floats]],
    found: Sequence[Floats],
) -> None:
    """Log-likelihoods and scores, from the sums of all rows by ``many_risks``."""
    shape = (LANES, 1 + problem.n_par, problem.risk.n_events)
    with one_blas_thread():
        for k, replicate in enumerate(replicates):
            sums = found[k // LANES].reshape(shape)[k % LANES]
            _finish(problem, replicate, top, sums, *lowered[k])


@np.errstate(all="ignore")
def many_risks(
    problem: Problem,
    weights: Floats,
    top: float,
    replicates: Sequence[Replicate],
    lowered: Sequence[tuple[Floats, Floats]],
) -> list[Floats]:
    """Sums of these rows: for each eight replicates (8 (1 + p), events)."""
    p, risk, q = problem, problem.risk, problem.n_cov
    per = 1 + p.n_par
    kernel, kept = _module(p).many_risks, kept_features(p)
    blocks = _blocks(problem, replicates)
    lines = []
    for b, block in enumerate(blocks):
        down = np.zeros((LANES, risk.n_events + PAD))
        factor = np.ones((LANES, risk.n_events))
        for k in range(len(block.replicates)):
            down[k, :-PAD] = lowered[b * LANES + k][1]
            factor[k] = np.exp(-down[k, :-PAD])
        lines.append((down, factor))
    totals = [Sum((LANES * per, risk.n_events)) for _ in blocks]

    def work(task: tuple[int, tuple[int, int]]) -> tuple[int, Floats]:
        at, span = task
        block = blocks[at]
        sums = np.zeros((LANES * per, risk.n_events + PAD))
        with np.errstate(all="ignore"):
            kernel(
                span[0], span[1], risk.lo, risk.hi, p.subject, p.offset, p.weight,
                p.z, p.runs.ptr, p.runs.lo, p.runs.hi,
                p.tev, p.steps.ptr, p.steps.time, p.steps.level, p.cut, p.ctab,
                p.col_ptr, *kept, weights, block.lane, block.gamma, block.coef, top,
                risk.log2, risk.levels, risk.width, *lines[at],
                np.zeros((risk.levels * risk.width, (1 + q) * LANES)),
                buffers(p.n_par - q + 1), np.empty((3, LANES)), sums,
            )  # fmt: skip
        return at, sums

    def reduce(result: tuple[int, Floats]) -> None:
        at, sums = result
        totals[at].add(sums[:, :-PAD])

    run_slices(work, [(k, s) for k in range(len(blocks)) for s in p.slices], reduce)
    return [total.value() for total in totals]


@dataclass(frozen=True)
class _Block:
    replicates: Sequence[Replicate]
    lane: Ints  # (LANES,) int32
    gamma: Floats  # (q, LANES)
    coef: Floats  # (LANES, features)


def _blocks(problem: Problem, replicates: Sequence[Replicate]) -> list[_Block]:
    q = problem.n_cov
    out = []
    for k in range(0, len(replicates), LANES):
        some = replicates[k : k + LANES]
        lane = np.full(LANES, -1, np.int32)
        lane[: len(some)] = [r.index for r in some]
        beta = np.zeros((LANES, problem.n_par))
        beta[: len(some)] = [r.beta for r in some]
        gamma = np.ascontiguousarray(beta[:, :q].T)
        out.append(_Block(some, lane, gamma, np.ascontiguousarray(beta[:, q:])))
    return out


def _lower(p: Problem, r: Replicate, top: float) -> tuple[Floats, Floats]:
    """Linear predictors of deaths, lowered, and what each event is lowered by."""
    eta = p.death_x @ r.beta + p.offset[p.risk.death_row]
    lowered, down = np.empty(eta.size), np.empty(p.risk.n_events)
    load_kernels(MANY).lower_lane(eta, r.risk.death_begin, top, lowered, down)
    return lowered, down


def _finish(
    p: Problem, r: Replicate, top: float, sums: Floats, eta: Floats, down: Floats
) -> None:
    risk = r.risk
    rho, ratio, share = np.empty((3, eta.size))
    s0, steps = np.empty((2, down.size))
    r.loglik = load_kernels(MANY).finish_lane(
        eta, risk.death_begin, risk.death_weight, risk.fraction, risk.mean_weight,
        sums[0], rho, ratio, share, s0, steps,
    )  # fmt: skip
    r.point = Point(r.beta, r.loglik, np.empty(0), down, np.exp(-down), s0, rho, ratio)
    r.xbar = np.where(risk.mean_weight > 0, sums[1:] / s0, 0.0).T
    r.score = share @ p.death_x - steps @ r.xbar


def informations(
    problem: Problem, weights: Floats, top: float, replicates: Sequence[Replicate]
) -> None:
    """Information of every replicate where ``evaluate_many`` left it."""
    lines = [
        (r.point.down, over_deaths(r.risk, r.point.phi) / r.point.s0)
        for r in replicates
        if r.point is not None
    ]
    finish_seconds(
        problem, replicates, many_seconds(problem, weights, top, replicates, lines)
    )


def finish_seconds(
    problem: Problem, replicates: Sequence[Replicate], found: Sequence[Floats]
) -> None:
    """Informations, from the sums of all rows by ``many_seconds``."""
    n_par = problem.n_par
    half = np.tril_indices(n_par)
    with one_blas_thread():
        for k, r in enumerate(replicates):
            full = np.zeros((n_par, n_par))
            full[half] = found[k // LANES][:, k % LANES]
            full.T[half] = full[half]
            r.info = information(r.risk, problem.death_x, _point(r), full, r.xbar)[0]


def many_seconds(
    problem: Problem,
    weights: Floats,
    top: float,
    replicates: Sequence[Replicate],
    given: Sequence[tuple[Floats, Floats]],
) -> list[Floats]:
    """Sums of these rows: for each eight replicates (p (p + 1) / 2, 8).

    ``given``: of each replicate what risks are lowered by, and weights of the
    event times, (events,) both.
    """
    p, risk, q = problem, problem.risk, problem.n_cov
    n_par = p.n_par
    half = np.tril_indices(n_par)
    n_pairs = (n_par - q) * (n_par - q + 1) // 2
    module, kept = _module(p), kept_features(p)
    gather = load_kernels(RISK).gather_cells
    blocks = _blocks(problem, replicates)
    lines: dict[int, tuple[Floats, Floats, Floats]] = {}

    def prepare(k: int) -> None:
        down = np.zeros((LANES, risk.n_events + PAD))
        wt = np.zeros((LANES, risk.n_events + PAD))
        cells = np.zeros((LANES, risk.levels * risk.width if q else 0))
        for j in range(len(blocks[k].replicates)):
            down[j, :-PAD], wt[j, :-PAD] = given[k * LANES + j]
            if q:
                with np.errstate(all="ignore"):
                    lower = wt[j, :-PAD] * np.exp(-down[j, :-PAD])
                gather(lower, risk.width, cells[j])
        lines[k] = down, wt, np.ascontiguousarray(cells.T)

    run_slices(prepare, range(len(blocks)))
    totals = [Sum((half[0].size, LANES)) for _ in blocks]

    def work(task: tuple[int, tuple[int, int]]) -> tuple[int, Floats]:
        at, span = task
        block = blocks[at]
        second = np.zeros((half[0].size, LANES))
        module.many_seconds(
            span[0], span[1], risk.lo, risk.hi, p.subject, p.offset, p.weight,
            p.z, p.runs.ptr, p.runs.lo, p.runs.hi,
            p.tev, p.steps.ptr, p.steps.time, p.steps.level, p.cut, p.ctab,
            p.col_ptr, *kept, weights, block.lane, block.gamma, block.coef, top,
            risk.log2, risk.width, *lines[at],
            buffers(2 * (n_par - q) + 1 + n_pairs), np.empty((4, LANES)),
            np.zeros((n_par - q, LANES)), second,
        )  # fmt: skip
        return at, second

    def reduce(result: tuple[int, Floats]) -> None:
        at, second = result
        totals[at].add(second)

    run_slices(work, [(k, s) for k in range(len(blocks)) for s in p.slices], reduce)
    return [total.value() for total in totals]


def kept_features(problem: Problem) -> tuple[Ints, Floats]:
    """Features of all pairs with a dose, where each row's begin; empty if many.

    They are the same in every pass and for every replicate.
    """
    found: tuple[Ints, Floats] | None = problem.scratch.get("features")
    if found is not None:
        return found
    p, features = problem, problem.ctab.shape[0]
    # Runs are read in whole lines.
    ends = np.concatenate(([0], np.cumsum((p.runs.hi - p.runs.lo + 7) // 8 * 8)))
    at = ends[p.runs.ptr].astype(np.int64)
    size = int(ends[-1]) if features * ends[-1] <= _MOST_KEPT else 0
    kept = np.empty((features, size))
    if size:
        kernel = _module(p).keep_features

        def work(span: tuple[int, int]) -> None:
            kernel(
                *span, p.subject, p.runs.ptr, p.runs.lo, p.runs.hi, p.tev,
                p.steps.ptr, p.steps.time, p.steps.level, p.cut, p.ctab, p.col_ptr,
                at, buffers(features), kept,
            )  # fmt: skip

        run_slices(work, p.slices)
    problem.scratch["features"] = at, kept
    return at, kept


def _module(problem: Problem) -> Any:
    return load_kernels(REAL if problem.tev.dtype.kind == "f" else MANY)


def _point(r: Replicate) -> Point:
    assert r.point is not None
    return r.point
