"""Cox's partial likelihood with exposure features, in two passes over the data.

The first pass gives S0(t), the risk at each event time, and so the likelihood;
the second, with weights w(t) = sum_l 1/phi_l(t), gives score and information:

    phi_l  = S0 - (l/d) S0_deaths,  l = 0..d-1     (Efron; l = 0 for Breslow)
    score  = sum_deaths x - sum_t sum_l xbar_l(t)
    info   = sum_i sum_t w(t) rho_i(t) x x' - ties - sum_t sum_l xbar_l xbar_l'

The sums over pairs are contracted over time per row before the covariates'
outer products, which are then two small matrix products.

Sources: Efron (1977), JASA 72, 557-565; Therneau and Grambsch (2000), Modeling
Survival Data, chapter 3; weights as in survival::coxph.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from .._typing import Floats
from ..pool import run_slices
from .problem import PAD, Problem, buffers, passes
from .riskset import RiskSet


@dataclass(frozen=True)
class Point:
    """What the first pass leaves at one parameter vector."""

    beta: Floats
    loglik: float
    lin: Floats  # (n,) linear predictor without exposure, less its largest
    down: Floats  # (events + PAD,) what risks at an event time are lowered by
    factor: Floats  # (events,) exp(-down)
    s0: Floats  # (events,) lowered, like all risks below
    death_rho: Floats  # (deaths,) weighted risk
    phi: Floats  # (deaths,) S0 / phi_l


@dataclass(frozen=True)
class Moments:
    """Derivatives at one parameter vector."""

    score: Floats  # (p,)
    info: Floats  # (p, p) minus the Hessian
    raw: Floats  # (p,) second moments before means are taken off
    # (events, p) mean covariates at risk; empty from engines that need none
    xbar: Floats = field(default_factory=lambda: np.empty((0, 0)))


class Sum:
    """Neumaier's compensated sum of arrays."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.total = np.zeros(shape)
        self.lost = np.zeros(shape)

    def add(self, x: Floats) -> None:
        total = self.total + x
        big = np.abs(self.total) >= np.abs(x)
        self.lost += np.where(big, (self.total - total) + x, (x - total) + self.total)
        self.total = total

    def value(self) -> Floats:
        return self.total + self.lost


@dataclass(frozen=True)
class Lowered:
    """Linear predictors of rows, and what is taken off at each event time."""

    lin: Floats  # (n,) without exposure, less the largest of these rows
    down: Floats  # (events + PAD,)
    factor: Floats  # (events,) exp(-down)


@np.errstate(all="ignore")
def evaluate(problem: Problem, beta: Floats) -> Point:
    """First pass: log-likelihood at ``beta`` (p,), covariates first.

    The value is -inf or nan where risks overflow; the caller steps back.
    """
    risk = problem.risk
    eta, shift = death_risks(
        risk, problem.death_x @ beta + problem.offset[risk.death_row]
    )
    low = lower(problem, beta, shift)
    return settle(risk, beta, eta, low, risk_sums(problem, beta, low))


def death_risks(risk: RiskSet, eta: Floats) -> tuple[Floats, Floats]:
    """Linear predictors of the deaths, lowered, and by what: (events,).

    Risks are counted from the largest of a death at each event time, so none that
    matters leaves the range of doubles, however large coefficients grow.
    """
    counts = risk.death_weight > 0
    shift = np.maximum.reduceat(np.where(counts, eta, -np.inf), risk.death_begin)
    return eta - shift[risk.death_event], shift


@np.errstate(all="ignore")
def lower(problem: Problem, beta: Floats, shift: Floats) -> Lowered:
    """Rows of a data set, or of a part of it, less ``shift`` (events,).

    Rows without a dose, whose risk holds over many event times, are counted from
    the largest of them.
    """
    p, q = problem, problem.n_cov
    lin = p.z @ beta[:q] + p.offset if q else p.offset
    top = float(lin.max()) if lin.size else 0.0
    down = np.append(shift - top, np.zeros(PAD))
    return Lowered(lin - top, down, np.exp(top - shift))


@np.errstate(all="ignore")
def risk_sums(problem: Problem, beta: Floats, low: Lowered) -> Floats:
    """Lowered risk at each event time of these rows, (events,)."""
    p, risk, q = problem, problem.risk, problem.n_cov
    wtab = np.empty((p.cut.size, p.ctab.shape[1]))
    for k in range(p.cut.size):
        columns = slice(p.col_ptr[k], p.col_ptr[k + 1])
        wtab[k] = beta[q:][columns] @ p.ctab[columns]
        wtab[k, : p.head[k]] = p.ctab[p.col_ptr[k], : p.head[k]]
    kernel = passes(p.tev).risk_pass
    total = Sum((risk.n_events,))

    def work(span: tuple[int, int]) -> Floats:
        s0 = np.zeros(risk.n_events + PAD)
        kernel(
            span[0], span[1], risk.lo, risk.hi, p.subject, low.lin, p.weight,
            p.runs.ptr, p.runs.lo, p.runs.hi,
            p.tev, p.steps.ptr, p.steps.time, p.steps.level, p.cut, wtab,
            low.down, low.factor,
            risk.log2, risk.levels, risk.width,
            np.zeros((risk.levels * risk.width, 1)), buffers(1), s0,
        )  # fmt: skip
        return s0[:-PAD]

    run_slices(work, p.slices, total.add)
    return total.value()


@np.errstate(all="ignore")
def settle(
    risk: RiskSet, beta: Floats, death_eta: Floats, low: Lowered, s0: Floats
) -> Point:
    """The likelihood, from the risk of all rows at each event time."""
    counts = risk.death_weight > 0
    rho = np.where(counts, risk.death_weight * np.exp(death_eta), 0.0)
    at = risk.death_event
    s0_at = s0[at]
    phi = s0_at
    if risk.tied:
        phi = s0_at - risk.fraction * np.add.reduceat(rho, risk.death_begin)[at]
    loglik = float(
        np.sum(risk.death_weight * death_eta - risk.mean_weight[at] * np.log(phi))
    )
    ratio = s0_at / phi
    if not np.all(phi > 0):
        loglik = float("nan")
    return Point(beta, loglik, low.lin, low.down, low.factor, s0, rho, ratio)


@np.errstate(over="ignore", invalid="ignore")
def moments(problem: Problem, point: Point) -> Moments:
    """Second pass: score and information at a point with a finite likelihood."""
    low = Lowered(point.lin, point.down, point.factor)
    wt = event_weights(problem.risk, point)
    sums = moment_sums(problem, point.beta, low, wt)
    return derivatives(problem.risk, problem.death_x, problem.n_cov, point, sums)


def event_weights(risk: RiskSet, point: Point) -> Floats:
    """w(t), (events,)."""
    wt: Floats = risk.mean_weight / point.s0
    return wt * np.add.reduceat(point.phi, risk.death_begin)


@dataclass(frozen=True)
class MomentSums:
    """What rows, or some of them, add to the second pass."""

    features: Floats  # (p, events) sums of rho x at risk, exposure first
    second: Floats  # (p, p) of w(t) rho x x'
    first: Floats  # (p,) of w(t) rho x


@np.errstate(over="ignore", invalid="ignore")
def moment_sums(problem: Problem, beta: Floats, low: Lowered, wt: Floats) -> MomentSums:
    """Sums over these rows, with weights ``wt`` (events,)."""
    p, risk, q = problem, problem.risk, problem.n_cov
    n_feat = p.n_par - q
    module = passes(p.tev)
    cells = np.empty(risk.levels * risk.width if q else 0)
    if q:
        module.gather_cells(wt * low.factor, risk.width, cells)
    wt = np.append(wt, np.zeros(PAD))
    coef = np.ascontiguousarray(beta[q:])
    s1 = Sum((p.n_par, risk.n_events))
    second = Sum((p.n_par, p.n_par))
    below = tuple(q + at for at in np.tril_indices(n_feat))
    first = Sum((p.n_par,))

    def work(span: tuple[int, int]) -> tuple[Floats, Floats, Floats]:
        i0, i1 = span
        part = np.zeros((p.n_par, risk.n_events + PAD))
        square = np.zeros((n_feat * (n_feat + 1) // 2, PAD))
        u = np.zeros(i1 - i0 if q else 0)
        v = np.zeros((i1 - i0, n_feat))
        module.moment_pass(
            i0, i1, risk.lo, risk.hi, p.subject, low.lin, p.weight, p.z,
            p.runs.ptr, p.runs.lo, p.runs.hi,
            p.tev, p.steps.ptr, p.steps.time, p.steps.level, p.cut, p.ctab,
            p.col_ptr, coef, risk.log2, risk.levels, risk.width, wt, cells,
            low.down, low.factor,
            np.zeros((risk.levels * risk.width if q else 0, q)),
            buffers(2 * n_feat + 1), part, square, u, v,
        )  # fmt: skip
        outer = np.zeros((p.n_par, p.n_par))
        outer[below] = square.sum(axis=1)
        outer[below[::-1]] = outer[below]
        sums = np.empty(p.n_par)
        sums[q:] = v.sum(axis=0)
        if q:
            z = p.z[i0:i1]
            outer[:q, :q] = z.T @ (z * u[:, None])
            outer[:q, q:] = z.T @ v
            outer[q:, :q] = outer[:q, q:].T
            sums[:q] = u @ z
        return part[:, :-PAD], outer, sums

    def reduce(result: tuple[Floats, Floats, Floats]) -> None:
        s1.add(result[0])
        second.add(result[1])
        first.add(result[2])

    run_slices(work, p.slices, reduce)
    return MomentSums(s1.value(), second.value(), first.value())


@np.errstate(over="ignore", invalid="ignore")
def derivatives(
    risk: RiskSet, death_x: Floats, n_cov: int, point: Point, sums: MomentSums
) -> Moments:
    """Score and information, from the sums over all rows."""
    at, n_feat = risk.death_event, death_x.shape[1] - n_cov
    grad, info = sums.first, sums.second
    xbar = np.concatenate((sums.features[n_feat:], sums.features[:n_feat])).T
    xbar /= point.s0[:, None]  # (events, p)

    if risk.tied:
        # phi_l takes the share l/d of the deaths' own risk away.
        w2 = over_deaths(risk, risk.fraction * point.phi) / point.s0
        grad = grad - (w2[at] * point.death_rho) @ death_x
    score = risk.death_weight @ death_x - grad
    info, raw = information(risk, death_x, point, info, xbar)
    return Moments(score, info, raw, xbar)


def over_deaths(risk: RiskSet, x: Floats) -> Floats:
    """Sums over the tied deaths of each event index, times their mean weight."""
    return risk.mean_weight * np.add.reduceat(x, risk.death_begin)


def information(
    risk: RiskSet, death_x: Floats, point: Point, second: Floats, xbar: Floats
) -> tuple[Floats, Floats]:
    """Information (p, p), and its diagonal before means are taken off.

    ``second`` (p, p) is the sum of w(t) rho x x' over all pairs, ``xbar``
    (events, p) the mean at risk.
    """
    at, fraction = risk.death_event, risk.fraction
    between = xbar.T @ (xbar * over_deaths(risk, point.phi**2)[:, None])
    if risk.tied:
        w2 = over_deaths(risk, fraction * point.phi) / point.s0
        rho = point.death_rho
        second = second - (death_x * (w2[at] * rho)[:, None]).T @ death_x
        own = np.add.reduceat(death_x * rho[:, None], risk.death_begin, axis=0)
        own /= point.s0[:, None]
        weight = over_deaths(risk, fraction * point.phi**2)
        cross = xbar.T @ (own * weight[:, None])
        between = between - cross - cross.T
        weight = over_deaths(risk, (fraction * point.phi) ** 2)
        between += own.T @ (own * weight[:, None])
    info = second - between
    return 0.5 * (info + info.T), np.diag(second).copy()
