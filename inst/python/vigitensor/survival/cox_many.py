"""One Cox model fitted to many sets of case weights, as a bootstrap needs it.

Replicate b has weight ``weight_i * counts[b, cluster_i]`` in row i. All start at
the full fit, from which they are a standard error or so away: two or three
passes bring the Newton decrement below ``tol_step``, and the step of that moment
is taken without another pass. With few covariates eight replicates go through
the data as one vector (``kernels_cox_many``); with more, or where plain sums
would lose digits, each is a fit of its own on the shared index and covariates.

Replicates do not know of each other: the same numbers whatever chunk they come
in, and for any number of threads.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .._typing import Bools, Floats, Ints
from ..cache import load_kernels
from ..pool import run_slices
from .cox_index import CoxIndex, build_index, slices_of
from .cox_likelihood import (
    CoxData,
    build_data,
    evaluate,
    imprecise,
    moments,
    plain_is_enough,
    with_deaths,
)
from .cox_newton import Imprecise, Objective, maximise
from .cox_rows import CoxRows
from .newton import Control

KERNELS = "vigitensor.survival.kernels_cox_many"
# As in the kernels, which are not imported before they are needed.
WIDTH, BLOCK = 8, 64
_MOST_COVARIATES = 4
# Share of the full fit's information below which a replicate has none.
_FLAT = 1e-9


@dataclass(frozen=True)
class ManyFits:
    """Results in the order of the replicates; NaN where a fit failed."""

    coefficients: Floats  # (B, q)
    loglik: Floats  # (B,)
    converged: Bools  # (B,)
    iterations: Ints  # (B,)


class CoxMany:
    """The shared part; :meth:`fit` takes the counts, in chunks if need be.

    Parameters
    ----------
    rows : CoxRows
    cluster : array (n,)
        0-based codes.
    coefficients : array (q,)
        The full fit's; NaN where a column was dropped, which it then is in all.
    """

    def __init__(
        self,
        rows: CoxRows,
        cluster: Ints,
        ties: str,
        coefficients: Floats,
        control: Control,
    ) -> None:
        index = build_index(
            rows.start, rows.stop, rows.event, rows.stratum, rows.weight
        )
        self.size = coefficients.size
        self.kept = np.flatnonzero(np.isfinite(coefficients))
        self.beta = np.ascontiguousarray(coefficients[self.kept])
        self.control = control
        self.data = build_data(
            index, rows.x[:, self.kept], rows.mean[self.kept], rows.offset,
            rows.weight, ties,
        )  # fmt: skip
        self.cluster = np.ascontiguousarray(index.of_rows(cluster))
        self.point = evaluate(self.data, self.beta)
        if not np.isfinite(self.point.loglik):
            raise Imprecise
        # One number taken off all predictors cancels from the likelihood.
        self.lin = self.point.lin - self.point.top
        self.risk = np.exp(self.lin)
        self.info = moments(self.data, self.point).info
        self.together = self.data.q <= _MOST_COVARIATES and plain_is_enough(
            self.data, self.point
        )

    def fit(self, counts: Any) -> ManyFits:
        """Fit every row of counts (B, clusters), not negative."""
        n = counts.shape[0]
        fits = ManyFits(
            np.full((n, self.size), np.nan), np.full(n, np.nan), np.zeros(n, bool),
            np.zeros(n, np.int32),
        )  # fmt: skip

        def work(span: tuple[int, int]) -> None:
            some = np.zeros((counts.shape[1], WIDTH))
            some[:, : span[1] - span[0]] = counts[span[0] : span[1]].T
            found = _Eight(self, some).solve()
            here = slice(0, span[1] - span[0])
            self._put(fits, slice(*span), [a[here] for a in found])

        if self.together:
            run_slices(work, slices_of(n, WIDTH))
            return fits
        for b in range(n):
            self._put(fits, slice(b, b + 1), self._alone(counts[b]))
        return fits

    def _put(self, fits: ManyFits, where: slice, found: list[Any]) -> None:
        beta, fits.loglik[where], fits.converged[where], fits.iterations[where] = found
        fits.coefficients[where, self.kept] = beta

    def _alone(self, counts: Any) -> list[Any]:
        weight = self.data.weight * counts[self.cluster]
        none: list[Any] = [np.full((1, self.beta.size), np.nan), np.nan, False, 0]
        if not np.any(weight[self.data.index.death_row] > 0):
            return none
        data = reweighted(self.data, weight)
        objective = Objective(
            noise=np.zeros(data.q), deaths=float(data.death_weight.sum()),
            evaluate=lambda beta: evaluate(data, beta),
            moments=lambda point: moments(data, point), imprecise=imprecise,
        )  # fmt: skip
        try:
            found = maximise(objective, self.beta, np.zeros(data.q), self.control)
        except Imprecise:
            return none
        good = found.converged and bool(found.kept.all()) and not found.infinite.any()
        beta = found.beta if good else np.full(data.q, np.nan)
        value = found.loglik[1] if good else np.nan
        return [beta[None], value, good, found.iterations]


def reweighted(data: CoxData, weight: Floats) -> CoxData:
    """The same rows with other weights; event times without a death go."""
    index = data.index
    alive = weight[index.death_row] > 0
    row, event = index.death_row[alive], index.death_event[alive]
    used = np.zeros(index.n_events, bool)
    used[event] = True
    # rank[e + 1]: event times up to e that stay.
    rank = np.concatenate(([0], np.cumsum(used))).astype(np.int32)
    begin = rank[index.begin].astype(np.int64)
    last = rank[index.last + 1] - 1
    stratum = np.searchsorted(index.begin, index.last, side="right") - 1
    first = begin[stratum]
    nowhere = last < first
    out = index.out
    if out.size:
        out = rank[out + 1] - 1
        out[out < first] = -1
        nowhere |= last <= out
    if nowhere.any():
        # They join and leave at the same moment, or have no weight.
        weight = np.where(nowhere, 0.0, weight)
        last[nowhere] = 0
        if out.size:
            out[nowhere] = 0
    new = np.flatnonzero(used)
    small = CoxIndex(
        time=index.time[new], begin=begin, rows=index.rows, n=index.n, out=out,
        last=last, death_row=row, death_event=(rank[event + 1] - 1).astype(np.int64),
        death_begin=np.searchsorted(event, new),
    )  # fmt: skip
    return with_deaths(replace(data, index=small, weight=weight, scratch={}))


class _Eight:
    """Newton's method for eight replicates side by side."""

    def __init__(self, many: CoxMany, counts: Floats) -> None:
        self.many, self.counts = many, counts
        data = many.data
        self.q = data.q
        self.lines = 1 + self.q + self.q * (self.q + 1) // 2
        self.lin, self.risk = many.lin, many.risk
        self.table = np.empty(data.index.n_events * self.lines * WIDTH)
        self.ones = np.ones(WIDTH)
        self.eta, self.r = np.empty((2, BLOCK * WIDTH))
        self.ends = np.append(data.index.death_begin, data.index.death_row.size)

    def passes(self, step: Floats) -> tuple[Floats, Floats, Floats]:
        """Values (8,), scores (8, q), informations (8, q, q) at beta + step (8, q)."""
        data, index, q = self.many.data, self.many.data.index, self.q
        beta = np.ascontiguousarray(step.T)
        module = load_kernels(KERNELS)
        self.table[:] = 0.0
        for i0, i1 in slices_of(index.n):
            module.scatter_many(
                i0, i1, index.out, index.last, self.many.cluster, data.weight,
                self.lin, self.risk, data.z, q, self.counts, beta, not step.any(),
                self.ones, self.eta, self.r, self.table,
            )  # fmt: skip
        result = np.empty((self.lines, WIDTH))
        run, own = np.empty((2, self.lines * WIDTH))
        module.sum_many(
            index.begin, self.ends, index.death_row, self.many.cluster, data.weight,
            self.lin, data.z, q, self.counts, beta, data.ties == "efron", self.table,
            self.ones, run, own, result,
        )  # fmt: skip
        info = np.empty((WIDTH, q, q))
        rows, columns = np.tril_indices(q)
        info[:, rows, columns] = info[:, columns, rows] = result[1 + q :].T
        return result[0], result[1 : 1 + q].T, info

    def solve(self) -> list[Any]:
        """Coefficients, log-likelihoods, convergence, passes."""
        control, q = self.many.control, self.q
        at = np.zeros((WIDTH, q))
        value, score, info = self.passes(at)
        usable = _usable(info, self.many.info) & np.isfinite(value)
        step, decrement = _steps(score, info, usable)
        done = usable & (decrement < control.tol_step)
        iterations = np.ones(WIDTH, np.int32)
        scale = np.ones(WIDTH)
        for _ in range(control.max_iter + control.max_halving):
            active = usable & ~done
            if not active.any():
                break
            trial = at + np.where(active, scale, 0.0)[:, None] * step
            new = self.passes(trial)
            iterations += active
            slack = 1e-12 * (1 + np.abs(value))
            up = active & (new[0] >= value - slack)
            scale = np.where(up, 1.0, 0.5 * scale)
            usable &= ~active | up | (scale > 0.5**control.max_halving)
            at[up], value[up] = trial[up], new[0][up]
            score[up], info[up] = new[1][up], new[2][up]
            usable &= ~up | _usable(info, self.many.info)
            more, gain = _steps(score, info, usable & up)
            step[up], decrement[up] = more[up], gain[up]
            done |= usable & up & (decrement < control.tol_step)
        # The last step is so small that nothing need be looked at again.
        beta = self.many.beta + at + step
        beta[~done] = np.nan
        return [beta, np.where(done, value + 0.5 * decrement, np.nan), done, iterations]


def _usable(info: Floats, full: Floats) -> Bools:
    """Is there information on every coefficient?"""
    scale = 1 / np.sqrt(np.diag(full))
    scaled = info * np.outer(scale, scale)
    good = np.all(np.isfinite(scaled), axis=(1, 2))
    values = np.linalg.eigvalsh(np.where(good[:, None, None], scaled, 0.0))
    return good & (values[:, 0] > _FLAT)


def _steps(score: Floats, info: Floats, usable: Bools) -> tuple[Floats, Floats]:
    """Newton steps and decrements of the usable replicates, zero for others."""
    safe = np.where(usable[:, None, None], info, np.eye(info.shape[1]))
    step = np.linalg.solve(safe, score[:, :, None])[:, :, 0]
    step[~usable] = 0.0
    return step, np.sum(step * score, axis=1)
