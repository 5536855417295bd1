"""Cox's partial likelihood over (start, stop] rows, in a few passes over the data.

With risks r_i = w_i exp(eta_i), S0 and S1 the sums of r and r z over a risk set,
l/d the share that Efron takes from the tied deaths' own sums (0 for Breslow):

    phi_l  = S0 - (l/d) S0_deaths,           l = 0..d-1
    score  = sum_deaths w z - sum_t w(t) sum_l xbar_l(t)
    info   = Z' diag(u) Z - ties - sum_t w(t) sum_l xbar_l(t) xbar_l(t)'

where u_i = r_i sum over the row's event times of w(t) sum_l 1/phi_l(t): so the
covariates' second moments are one matrix product over rows, and S1 is needed
once per event time only. Cost per step O(n q + n q^2 by BLAS + events q^2).

Exact ties (Gail, Lubin and Rubinstein 1981): event times with one death are as
above; the others are in ``cox_exact``.

Sources: Efron (1977), JASA 72, 557-565; Therneau and Grambsch (2000), Modeling
Survival Data, chapter 3; weights as in survival::coxph.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .._typing import Floats
from ..cache import load_kernels
from ..pool import run_slices
from . import cox_exact
from .cox_index import KERNELS, SLICE, CoxIndex, slices_of

# As in kernels_cox, which is not imported before it is needed.
WIDTH = 8
# What a sum may be smaller than what passed through it: see kernels_cox.
_SMALLEST_SHARE = 1e-18
# Rows of one table of S1; a second table costs memory, so not at any size.
_PART = 262144
_BLAS_ROWS = 8192


@dataclass(frozen=True)
class CoxData:
    """One data set laid out for the likelihood; rows are those at risk."""

    index: CoxIndex
    z: Floats  # (n, columns) covariates less their means, C order, zeros beyond q
    q: int
    offset: Floats  # (n,)
    weight: Floats  # (n,)
    mean: Floats  # (q,) what was taken off
    ties: str
    fraction: Floats  # (deaths,) l/d of Efron, zeros otherwise
    mean_weight: Floats  # (events,) mean weight of the deaths; 0: not Breslow's sum
    death_weight: Floats  # (deaths,)
    death_z: Floats  # (deaths, q)
    exact: cox_exact.ExactTies | None = None

    @property
    def tied(self) -> bool:
        """Does any event time share its deaths' risk?"""
        return bool(self.fraction.any())


@dataclass(frozen=True)
class Point:
    """What the first pass leaves at one parameter vector."""

    beta: Floats
    loglik: float
    lin: Floats  # (n,) linear predictor
    top: float  # largest of them
    r: Floats  # (n,) weight * exp(lin - top)
    s0: Floats  # (events,)
    rho: Floats  # (deaths,) risk of each death
    ratio: Floats  # (deaths,) S0 / phi_l
    share: float  # smallest part of what passed that a sum is


@dataclass(frozen=True)
class Moments:
    """Derivatives at one parameter vector."""

    score: Floats  # (q,)
    info: Floats  # (q, q) minus the Hessian
    raw: Floats  # (q,) second moments before means are taken off


def columns_for(q: int) -> int:
    """Columns to store q covariates in: whole lines unless there are few."""
    return q if q < 4 else -(-q // WIDTH) * WIDTH


def build_data(
    index: CoxIndex,
    x: Floats,
    mean: Floats,
    offset: Floats,
    weight: Floats,
    ties: str,
) -> CoxData:
    """Gather the rows at risk; x (all rows, q) in any order, mean (q,)."""
    q = x.shape[1]
    z = np.zeros((index.n, columns_for(q)))
    xt = np.ascontiguousarray(x.T)  # no copy of R's matrices
    module = load_kernels(KERNELS)

    def work(task: tuple[tuple[int, int], int]) -> None:
        module.gather_columns(*task[0], xt, task[1], index.rows, mean, z)

    run_slices(
        work, [(span, c) for span in slices_of(index.n) for c in range(0, q, WIDTH)]
    )
    weight = np.ascontiguousarray(index.of_rows(weight))
    death_weight = weight[index.death_row]
    size = np.diff(np.append(index.death_begin, index.death_row.size))
    at = index.death_event
    fraction = np.zeros(at.size)
    if ties == "efron":
        fraction = (np.arange(at.size) - index.death_begin[at]) / size[at]
    mean_weight = np.add.reduceat(death_weight, index.death_begin) / size
    if ties == "exact":
        mean_weight[size > 1] = 0.0
    return CoxData(
        index=index,
        z=z,
        q=q,
        offset=np.ascontiguousarray(index.of_rows(offset)),
        weight=weight,
        mean=mean,
        ties=ties,
        fraction=fraction,
        mean_weight=mean_weight,
        death_weight=death_weight,
        death_z=np.ascontiguousarray(z[index.death_row, :q]),
        exact=cox_exact.build_exact(index) if ties == "exact" else None,
    )


def evaluate(data: CoxData, beta: Floats) -> Point:
    """Log-likelihood at ``beta`` (q,).

    It is -inf or nan where risks overflow; the caller steps back.
    """
    lin, top = linear_predictor(data, beta)
    r, table = _risks(data, lin, top)
    s0, share = _risk_sums(data.index, table)
    index = data.index
    at, row = index.death_event, index.death_row
    rho = r[row]
    with np.errstate(all="ignore"):
        phi = s0[at]
        if data.tied:
            own = np.add.reduceat(rho, index.death_begin)
            phi = phi - data.fraction * own[at]
        ratio = s0[at] / phi
        logs = np.where(data.mean_weight[at] > 0, np.log(phi), 0.0)
        loglik = float(
            np.sum(data.death_weight * (lin[row] - top) - data.mean_weight[at] * logs)
        )
        if data.exact is not None:
            # Deaths entered with `top` taken off, the sums have it.
            loglik += top * np.count_nonzero(data.mean_weight[at] == 0)
            loglik -= cox_exact.log_sums(data.exact, index, lin)
        if not np.all(phi > 0):
            loglik = float("nan")
    return Point(beta, loglik, lin, top, r, s0, rho, ratio, share)


def linear_predictor(data: CoxData, beta: Floats) -> tuple[Floats, float]:
    """z beta + offset, and its largest value."""
    lin = np.empty(data.index.n)
    tops: list[float] = []

    def work(span: tuple[int, int]) -> float:
        part = slice(*span)
        if data.q:
            np.dot(data.z[part, : data.q], beta, out=lin[part])
            lin[part] += data.offset[part]
        else:
            lin[part] = data.offset[part]
        return float(lin[part].max())

    run_slices(work, slices_of(data.index.n), tops.append)
    return lin, max(tops)


def _risks(data: CoxData, lin: Floats, top: float) -> tuple[Floats, Floats]:
    """Risks, and the table of those that join and leave at each event index."""
    index = data.index
    r = np.empty(index.n)
    total = np.zeros((index.n_events, 2, 1))
    module = load_kernels(KERNELS)

    def work(span: tuple[int, int]) -> Floats:
        part = np.zeros_like(total)
        for i0, i1 in slices_of(span[1] - span[0]):
            here = slice(span[0] + i0, span[0] + i1)
            module.risks(lin[here], top, data.weight[here], r[here])
            module.scatter_risk(here.start, here.stop, index.out, index.last, r, part)
        return part

    run_slices(work, slices_of(index.n, _part_rows(index)), _adder(total))
    return r, total


def _adder(total: Floats) -> Callable[[Floats], None]:
    """Adds a table (events, 2, columns) to a double-double total, in place."""

    def add(part: Floats) -> None:
        high, low = total[:, 0], total[:, 1]
        new = high + part[:, 0]
        moved = new - high
        low += (high - (new - moved)) + (part[:, 0] - moved) + part[:, 1]
        total[:, 0] = new

    return add


def _part_rows(index: CoxIndex) -> int:
    """Rows that share a table: at least four per event time."""
    return max(_PART, 4 * index.n_events)


def _risk_sums(index: CoxIndex, table: Floats) -> tuple[Floats, float]:
    module = load_kernels(KERNELS)
    sums = np.empty((index.n_events, 1))
    module.suffix_sums(table, index.begin, sums, 0)
    s0 = sums[:, 0]
    share = 1.0
    if index.out.size:
        share = module.smallest_share(table, index.begin, s0)
    return s0, share


def imprecise(point: Point) -> bool:
    """Has a risk set lost digits to those much larger that it followed?"""
    return point.share < _SMALLEST_SHARE


def column_sums(data: CoxData, r: Floats) -> Floats:
    """S1: sums of r z over risk sets, (events, q)."""
    index, q = data.index, data.q
    module = load_kernels(KERNELS)
    lines = data.z.shape[1] % WIDTH == 0
    width = WIDTH if lines else 1
    scatter = module.scatter_columns if lines else module.scatter_column
    s1 = np.empty((index.n_events, q))
    spans = slices_of(index.n, _part_rows(index))
    totals: dict[int, Floats] = {}

    def work(task: tuple[int, tuple[int, int]]) -> tuple[int, Floats]:
        part = np.zeros((index.n_events, 2, width))
        for i0, i1 in slices_of(task[1][1] - task[1][0]):
            scatter(
                task[1][0] + i0, task[1][0] + i1,
                index.out, index.last, r, data.z, task[0], part,
            )  # fmt: skip
        return task[0], part

    def reduce(result: tuple[int, Floats]) -> None:
        column, part = result
        if column in totals:
            _adder(totals[column])(part)
        else:
            totals[column] = part
        left[column] -= 1
        if left[column] == 0:
            module.suffix_sums(totals.pop(column), index.begin, s1, column)

    columns = list(range(0, q, width))
    left = dict.fromkeys(columns, len(spans))
    run_slices(work, [(c, span) for c in columns for span in spans], reduce)
    return s1


def hazard_steps(data: CoxData, point: Point) -> Floats:
    """Increment of the cumulative hazard at each event index, on r's scale."""
    with np.errstate(all="ignore"):
        steps = data.mean_weight / point.s0
    return steps * np.add.reduceat(point.ratio, data.index.death_begin)


def tie_steps(data: CoxData, point: Point) -> Floats:
    """What Efron spares each death of its own event time's increment, (deaths,)."""
    index = data.index
    steps = np.add.reduceat(data.fraction * point.ratio, index.death_begin)
    return (data.mean_weight * steps / point.s0)[index.death_event]


def cumulated(data: CoxData, point: Point) -> tuple[Floats, float]:
    """Cumulative hazard (events, 2) as double-doubles; how much it cancels."""
    index = data.index
    total = np.empty((index.n_events, 2))
    cancels = load_kernels(KERNELS).cumulate(
        hazard_steps(data, point), point.s0, index.begin, total
    )
    return total, cancels if index.out.size else 0.0


@np.errstate(over="ignore", invalid="ignore", divide="ignore")
def moments(data: CoxData, point: Point) -> Moments:
    """Score and information at a point with a finite likelihood."""
    index, q = data.index, data.q
    total, _ = cumulated(data, point)
    module = load_kernels(KERNELS)
    first = np.zeros(q)
    info = np.zeros((q, q))

    def work(span: tuple[int, int]) -> tuple[Floats, Floats]:
        sums, outer = np.zeros(q), np.zeros((q, q))
        for i0, i1 in slices_of(span[1] - span[0], _BLAS_ROWS):
            a, b = span[0] + i0, span[0] + i1
            u = np.empty(b - a)
            module.gather_hazard(a, b, index.out, index.last, total, u)
            u *= point.r[a:b]
            z = data.z[a:b, :q]
            sums += u @ z
            root = z * np.sqrt(np.maximum(u, 0.0))[:, None]
            outer += root.T @ root
        return sums, outer

    def reduce(result: tuple[Floats, Floats]) -> None:
        nonlocal first, info
        first = first + result[0]
        info = info + result[1]

    run_slices(work, slices_of(index.n, SLICE), reduce)
    begin, at, fraction = index.death_begin, index.death_event, data.fraction

    def over_deaths(values: Floats) -> Floats:
        """mean_weight sum_l of values over the deaths of each event time."""
        return data.mean_weight * np.add.reduceat(values, begin)

    xbar = column_sums(data, point.r) / point.s0[:, None]
    squares = over_deaths(point.ratio**2)
    if data.exact is not None:
        xbar[data.mean_weight == 0] = 0.0
    between = xbar.T @ (xbar * squares[:, None])
    if data.tied:
        # phi_l takes the share l/d of the deaths' own risk away.
        spared = (tie_steps(data, point) * point.rho)[:, None] * data.death_z
        first = first - spared.sum(axis=0)
        info = info - spared.T @ data.death_z
        own = np.add.reduceat(data.death_z * point.rho[:, None], begin, axis=0)
        own /= point.s0[:, None]
        cross = xbar.T @ (own * over_deaths(fraction * point.ratio**2)[:, None])
        between = between - cross - cross.T
        squares = over_deaths((fraction * point.ratio) ** 2)
        between += own.T @ (own * squares[:, None])
    raw = np.diag(info).copy()
    info = info - between
    if data.exact is not None:
        cox_exact.add_moments(
            data.exact, index, point.lin, data.z, q, first, info, raw
        )
    score = data.death_weight @ data.death_z - first
    return Moments(score, 0.5 * (info + info.T), raw)
