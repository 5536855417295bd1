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

from dataclasses import dataclass, field, replace

import numpy as np

from .._typing import Floats, Ints
from ..cache import load_kernels
from ..pool import run_slices
from . import cox_exact
from .cox_index import KERNELS, CoxIndex, slices_of

# As in kernels_cox, which is not imported before it is needed.
WIDTH = 8
# Smallest share of a sum in what passed through it: see kernels_cox.
_SMALLEST_SHARE = 1e-18
# Rows of one table; more tables at a time cost memory.
_PART = 131072


@dataclass(frozen=True)
class TiedDeaths:
    """Event times that share their deaths' risk, and these deaths."""

    event: Ints  # (times,) event index
    death: Ints  # positions among the deaths
    begin: Ints  # (times,) where the deaths of a time begin
    z: Floats  # (., q)


@dataclass(frozen=True)
class CoxData:
    """One data set laid out for the likelihood; rows are those at risk."""

    index: CoxIndex
    xt: Floats  # (q, n) covariates, C order
    offset: Floats  # (n,)
    weight: Floats  # (n,)
    mean: Floats  # (q,) what is taken off them
    ties: str
    fraction: Floats  # (deaths,) l/d of Efron, zeros otherwise
    mean_weight: Floats  # (events,) mean weight of the deaths; 0: not Breslow's sum
    death_weight: Floats  # (deaths,)
    death_sum: Floats  # (q,) sum of their weighted covariates
    death_size: Floats  # (q,) largest of their covariates
    tied: TiedDeaths | None
    exact: cox_exact.ExactTies | None
    scratch: dict[str, Floats] = field(default_factory=dict)

    @property
    def q(self) -> int:
        """Number of covariates."""
        return int(self.xt.shape[0])

    @property
    def z(self) -> Floats:
        """Covariates less their means by rows, (n, columns), zeros beyond q.

        The fit itself reads columns; made when something else asks for rows.
        """
        if "z" not in self.scratch:
            z = np.empty((self.index.n, columns_for(self.q)))
            kernel = load_kernels(KERNELS).gather_columns

            def work(task: tuple[tuple[int, int], int]) -> None:
                kernel(*task[0], self.xt, task[1], self.mean, z)

            spans = slices_of(self.index.n)
            run_slices(work, [(s, c) for s in spans for c in range(0, self.q, WIDTH)])
            # Only now: another thread takes what is there for ready.
            self.scratch["z"] = z
        return self.scratch["z"]

    def deaths_z(self) -> Floats:
        """Covariates of the deaths less their means, (deaths, q)."""
        row = self.index.death_row
        order = np.argsort(row)  # memory is read in its own order
        place, sorted_rows = np.empty_like(order), row[order]
        place[order] = np.arange(order.size)
        z = np.empty((self.q, row.size))

        def work(c: int) -> None:
            z[c] = (self.xt[c].take(sorted_rows) - self.mean[c]).take(place)

        run_slices(work, range(self.q))
        return np.ascontiguousarray(z.T)

    def room(self, name: str, shape: tuple[int, ...]) -> Floats:
        """An array that is kept for the next pass; its content is left as is."""
        if name not in self.scratch or self.scratch[name].shape != shape:
            self.scratch[name] = np.empty(shape)
        return self.scratch[name]

    def zeros(self, name: str, n: int) -> Floats:
        """The same, of zeros but for what was written there before."""
        if name not in self.scratch:
            self.scratch[name] = np.zeros(n)
        return self.scratch[name]


@dataclass(frozen=True)
class Point:
    """What the first pass leaves at one parameter vector."""

    beta: Floats
    loglik: float
    lin: Floats  # (n,) linear predictor
    top: float  # largest of them
    r: Floats  # (n,) weight * exp(lin - top)
    s0: Floats  # (events,)
    share: Floats  # (events,) part of what passed that s0 is; empty: all of it
    rho: Floats  # (deaths,) risk of each death
    ratio: Floats  # (deaths,) S0 / phi_l


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
    """Lay out the rows at risk; x (all rows, q) in any order, mean (q,)."""
    q = x.shape[1]
    xt = np.ascontiguousarray(x.T)  # no copy of R's matrices
    if index.rows.size:
        some = np.empty((q, index.n))
        run_slices(lambda c: xt[c].take(index.rows, out=some[c]), range(q))
        xt = some
    offset, weight = index.of_rows(offset), index.of_rows(weight)
    if index.rows.size == 0 and index.never.size:
        # They are passed over with the others, and have no risk.
        offset, weight = offset.copy(), weight.copy()
        offset[index.never], weight[index.never] = -np.inf, 0.0
    none = np.empty(0)
    return with_deaths(
        CoxData(
            index=index, xt=xt, mean=mean, ties=ties,
            offset=np.ascontiguousarray(offset), weight=np.ascontiguousarray(weight),
            fraction=none, mean_weight=none, death_weight=none, death_sum=none,
            death_size=none, tied=None, exact=None,
        )
    )  # fmt: skip


def with_deaths(data: CoxData) -> CoxData:
    """The data with all that follows from the deaths and their weights."""
    index, ties = data.index, data.ties
    death_weight = data.weight[index.death_row]
    size = np.diff(np.append(index.death_begin, index.death_row.size))
    at = index.death_event
    fraction = np.zeros(at.size)
    if ties == "efron":
        fraction = (np.arange(at.size) - index.death_begin[at]) / size[at]
    mean_weight = np.add.reduceat(death_weight, index.death_begin) / size
    if ties == "exact":
        mean_weight[size > 1] = 0.0
    death_z = data.deaths_z()
    return replace(
        data,
        fraction=fraction,
        mean_weight=mean_weight,
        death_weight=death_weight,
        death_sum=death_weight @ death_z,
        death_size=np.abs(death_z).max(axis=0, initial=0.0),
        tied=_tied_deaths(index, death_z, size) if fraction.any() else None,
        exact=cox_exact.build_exact(index) if ties == "exact" else None,
    )


def _tied_deaths(index: CoxIndex, death_z: Floats, size: Ints) -> TiedDeaths:
    event = np.flatnonzero(size > 1)
    death = np.flatnonzero(size[index.death_event] > 1)
    begin = np.concatenate(([0], np.cumsum(size[event])[:-1]))
    return TiedDeaths(event, death, begin, death_z[death])


def evaluate(data: CoxData, beta: Floats) -> Point:
    """Log-likelihood at ``beta`` (q,).

    It is -inf or nan where risks overflow; the caller steps back.
    """
    index = data.index
    lin, top = linear_predictor(data, beta)
    r, s0, share = risk_sums(data, lin, top)
    at, row = index.death_event, index.death_row
    rho = r[row]
    with np.errstate(all="ignore"):
        phi = s0[at]
        if data.tied is not None:
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
    return Point(beta, loglik, lin, top, r, s0, share, rho, ratio)


def linear_predictor(data: CoxData, beta: Floats) -> tuple[Floats, float]:
    """z beta + offset, and its largest value."""
    if not beta.any():
        return data.offset, float(data.offset.max(initial=-np.inf))
    lin = np.empty(data.index.n)
    tops: list[float] = []
    kernel = load_kernels(KERNELS).predict

    def work(span: tuple[int, int]) -> float:
        return float(kernel(*span, data.xt, data.mean, beta, data.offset, lin))

    run_slices(work, slices_of(data.index.n), tops.append)
    return lin, float(np.max(tops))


def parts_of(index: CoxIndex) -> list[tuple[int, int]]:
    """Rows that share a table: at least four per event time."""
    return slices_of(index.n, max(_PART, 4 * index.n_events))


def risk_sums(data: CoxData, lin: Floats, top: float) -> tuple[Floats, Floats, Floats]:
    """Risks (n,), their sums over risk sets (events,), and shares; see `Point`."""
    index = data.index
    r = np.empty(index.n)
    parts = parts_of(index)
    tables = data.room("risks", (len(parts), index.n_events, 2, 1))
    module = load_kernels(KERNELS)

    def work(t: int) -> None:
        tables[t] = 0.0
        for i0, i1 in slices_of(parts[t][1] - parts[t][0]):
            here = slice(parts[t][0] + i0, parts[t][0] + i1)
            module.risks(lin[here], top, data.weight[here], r[here])
            module.scatter_risk(
                here.start, here.stop, index.out, index.last, r, tables[t]
            )

    run_slices(work, range(len(parts)))
    sums = np.empty((index.n_events, 1))
    module.suffix_sums(tables, index.begin, np.empty(0), 0, 1, np.empty((2, 1)), sums)
    share = np.empty(index.n_events if index.out.size else 0)
    if share.size:
        module.shares(index.begin, sums[:, 0], share)
    return r, sums[:, 0], share


def imprecise(point: Point) -> bool:
    """Has a risk set lost digits to those much larger that it followed?"""
    return bool(point.share.min(initial=1.0) < _SMALLEST_SHARE)


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


def cumulated(index: CoxIndex, steps: Floats) -> Floats:
    """Sums of steps (events,) up to each event index in its stratum, as pairs."""
    total = np.empty((index.n_events, 2))
    load_kernels(KERNELS).cumulate(steps, index.begin, total)
    return total
