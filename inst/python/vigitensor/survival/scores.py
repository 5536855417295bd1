"""Score and martingale residuals: the share of each row in the total score.

With the hazard steps dL_l(t) = mean weight / phi_l(t) of the likelihood's
terms l and a row's risk r(t), less l/d of it in a death's own terms,

    score_i      = d_i (x_i - mean_l xbar_l) - sum_t sum_l r_l(t) (x - xbar_l) dL_l
    martingale_i = d_i - sum_t sum_l r_l(t) dL_l

Times case weights and summed they give the score and zero. As the residuals of
``survival::coxph``. Source: Therneau and Grambsch (2000), Modeling Survival
Data, chapter 4.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .._typing import Floats, Ints
from ..cache import load_kernels
from ..pool import run_slices
from .exposure import REAL
from .likelihood import Lowered, Moments, Point
from .problem import PAD, RISK, Problem, buffers
from .riskset import RiskSet

SCORE = "vigitensor.survival.kernels_score"


@dataclass(frozen=True)
class Residuals:
    """Residuals of the rows at risk, without their case weight."""

    score: Floats  # (n, p)
    martingale: Floats  # (n,)


@dataclass(frozen=True)
class ScoreLines:
    """What rows need of everybody, per event time: sums over its terms l."""

    sums: Floats  # (1 + p, events + PAD) of dL_l, and of dL_l xbar_l
    alone: Floats  # (events, p) mean of xbar_l
    less: Floats  # (events,) of l/d dL_l
    means: Floats  # (events, p) of l/d dL_l xbar_l


@dataclass(frozen=True)
class RowDeaths:
    """Deaths among some rows."""

    row: Ints  # (deaths,) positions among these rows
    event: Ints  # (deaths,) event index
    x: Floats  # (deaths, p)


def residuals(problem: Problem, point: Point, at: Moments) -> Residuals:
    """Residuals at a point with a finite likelihood, and its moments."""
    risk = problem.risk
    lines = score_lines(risk, problem.death_x, point, at.xbar)
    low = Lowered(point.lin, point.down, point.factor)
    deaths = RowDeaths(risk.death_row, risk.death_event, problem.death_x)
    return row_residuals(problem, point.beta, low, lines, deaths)


def score_lines(
    risk: RiskSet, death_x: Floats, point: Point, everybody: Floats
) -> ScoreLines:
    """From all deaths, and the means ``everybody`` (events, p) at risk."""
    at, begin, fraction = risk.death_event, risk.death_begin, risk.fraction

    def over(x: Floats) -> Floats:
        return np.add.reduceat(x, begin)

    own = np.add.reduceat(death_x * point.death_rho[:, None], begin, axis=0)
    own /= point.s0[:, None]
    step = risk.mean_weight / point.s0
    size = over(np.ones(at.size))

    def mean_of(weights: Floats) -> Floats:
        """Sum over l of weights times xbar_l, (events, p)."""
        out = everybody * over(weights * point.phi)[:, None]
        if risk.tied:
            out = out - own * over(weights * fraction * point.phi)[:, None]
        return out

    sums = np.zeros((1 + death_x.shape[1], risk.n_events + PAD))
    sums[0, :-PAD] = step * over(point.phi)
    sums[1:, :-PAD] = (step[:, None] * mean_of(point.phi)).T
    alone = mean_of(np.ones(at.size)) / size[:, None]
    if not risk.tied:
        none = np.empty((0, death_x.shape[1]))
        return ScoreLines(sums, alone, np.empty(0), none)
    means = step[:, None] * mean_of(fraction * point.phi)
    return ScoreLines(sums, alone, step * over(fraction * point.phi), means)


def row_residuals(
    problem: Problem, beta: Floats, low: Lowered, lines: ScoreLines, deaths: RowDeaths
) -> Residuals:
    """Residuals of the rows of a data set, or of a part of it."""
    p, risk, q = problem, problem.risk, problem.n_cov
    n, n_par = risk.lo.size, p.n_par
    sums = lines.sums
    cells = np.empty((1 + n_par, risk.levels * risk.width))
    for line, cell in zip(sums[:, :-PAD] * low.factor, cells):
        load_kernels(RISK).gather_cells(line, risk.width, cell)
    score = np.zeros((n, n_par))
    martingale = np.zeros(n)
    kernel = load_kernels(_module(p)).score_pass
    coef = np.ascontiguousarray(beta[q:])
    ones = np.ones(n)

    def work(span: tuple[int, int]) -> None:
        i0, i1 = span
        u = np.zeros(i1 - i0)
        v = np.zeros((i1 - i0, n_par - q))
        b = np.zeros((i1 - i0, n_par))
        kernel(
            i0, i1, risk.lo, risk.hi, p.subject, low.lin, ones,
            p.runs.ptr, p.runs.lo, p.runs.hi,
            p.tev, p.steps.ptr, p.steps.time, p.steps.level, p.cut, p.ctab,
            p.col_ptr, coef, risk.log2, risk.width, sums, cells, low.down,
            buffers(n_par - q + 2), u, v, b,
        )  # fmt: skip
        score[i0:i1, :q] = b[:, :q] - p.z[i0:i1] * u[:, None]
        score[i0:i1, q:] = b[:, q:] - v
        martingale[i0:i1] = -u

    run_slices(work, p.slices)
    # A row has at most one death, at its end.
    dead, at = deaths.row, deaths.event
    score[dead] += deaths.x - lines.alone[at]
    martingale[dead] += 1
    if lines.less.size:
        rho = np.exp(low.lin[dead] + deaths.x[:, q:] @ coef - low.down[:-PAD][at])
        less = lines.less[at]
        score[dead] += rho[:, None] * (deaths.x * less[:, None] - lines.means[at])
        martingale[dead] += rho * less
    return Residuals(score, martingale)


def _module(problem: Problem) -> str:
    return REAL if problem.tev.dtype.kind == "f" else SCORE


def by_subject(x: Floats, subject: Ints, n_subjects: int) -> Floats:
    """Sums of the rows (n, p) of each subject."""
    out = np.zeros((n_subjects, x.shape[1]))
    for c in range(x.shape[1]):
        out[:, c] = np.bincount(subject, x[:, c], n_subjects)
    return out
