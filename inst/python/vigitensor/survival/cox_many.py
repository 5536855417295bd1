"""One Cox model fitted to many sets of case weights, as a bootstrap needs it.

Replicate b has weight ``weight_i * counts[b, cluster_i]`` in row i. The influence
of the clusters brings it near its optimum; one Newton step with its own
information, and steps with that information and what changes of the score teach
about it (BFGS), do the rest, as in ``many``: two passes usually suffice. With few
covariates eight replicates go through the data as one vector
(``kernels_cox_many``); with more, or where plain sums would lose digits, each is
a fit of its own on the shared index and covariates.

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
from .cox import noise
from .cox_index import CoxIndex, build_index, slices_of
from .cox_likelihood import CoxData, build_data, evaluate, imprecise, with_deaths
from .cox_moments import moments, plain_is_enough
from .cox_newton import Imprecise, Objective, maximise
from .cox_residuals import Fitted, collapsed, score
from .cox_rows import CoxRows
from .many import COLLINEAR, INFINITE, NO_EVENT, NOT_CONVERGED, inverse
from .many_cox_eight import KERNELS, WIDTH, Eight, usable_information
from .newton import Control, independent

_MOST_COVARIATES = 4


@dataclass(frozen=True)
class ManyFits:
    """Results in the order of the replicates; NaN where a fit failed."""

    coefficients: Floats  # (B, q)
    loglik: Floats  # (B,)
    reason: Ints  # (B,) position in many.REASONS
    iterations: Ints  # (B,) passes over the data

    @property
    def converged(self) -> Bools:
        """Replicates with coefficients."""
        return self.reason == 0


class CoxMany:
    """The shared part; :meth:`fit` takes the counts, in chunks if need be.

    Parameters
    ----------
    rows : CoxRows
    cluster : array (n,)
        0-based codes.
    coefficients : array (q,)
        The full fit's; NaN, or 0, where a column was dropped, which it then is in
        all.
    penalty : array (q,)
        Ridge: less sum(penalty beta^2) / 2.
    """

    def __init__(
        self,
        rows: CoxRows,
        cluster: Ints,
        ties: str,
        coefficients: Floats,
        control: Control,
        penalty: Floats | None = None,
    ) -> None:
        # A copy of the rows at risk costs less than passing others over each time.
        index = build_index(
            rows.start, rows.stop, rows.event, rows.stratum, rows.weight, most_never=0.0
        )
        self.rows, self.index, self.control = rows, index, control
        self.size = coefficients.size
        self.cluster_of_rows = cluster
        self.n_clusters = int(cluster.max(initial=-1)) + 1
        theta = np.zeros(self.size) if penalty is None else penalty
        self._lay_out(ties, coefficients, theta, np.isfinite(coefficients))
        if not np.all(self.beta):
            kept = np.zeros(self.size, bool)
            kept[self.kept] = (self.beta != 0) | self._independent()
            if np.count_nonzero(kept) < self.kept.size:
                self._lay_out(ties, coefficients, theta, kept)
        self.cluster = np.ascontiguousarray(index.of_rows(cluster))
        # One number taken off all predictors cancels from the likelihood.
        self.lin = self.point.lin - self.point.top
        self.risk = np.exp(self.lin)
        self.together = self.data.q <= _MOST_COVARIATES and plain_is_enough(
            self.data, self.point
        )
        self._influence: tuple[Floats, Floats] | None = None

    def _lay_out(
        self, ties: str, coefficients: Floats, penalty: Floats, kept: Bools
    ) -> None:
        rows = self.rows
        self.kept = np.flatnonzero(kept)
        self.beta = np.ascontiguousarray(coefficients[self.kept])
        self.penalty = np.ascontiguousarray(penalty[self.kept])
        self.data = build_data(
            self.index, rows.x[:, self.kept], rows.mean[self.kept], rows.offset,
            rows.weight, ties,
        )  # fmt: skip
        self.point = evaluate(self.data, self.beta)
        if not np.isfinite(self.point.loglik):
            raise Imprecise
        self.moments = moments(self.data, self.point)
        self.info = self.moments.info + np.diag(self.penalty)

    def _independent(self) -> Bools:
        """Columns that are not collinear with those before them."""
        deaths = float(self.data.death_weight.sum())
        limit = self.control.tol_singular * (self.moments.raw + self.penalty)
        return independent(self.info, limit + deaths * noise(self.data) ** 2)

    def influence(self) -> tuple[Floats, Floats]:
        """Variance (q, q) and weighted scores (clusters, q) at the full fit."""
        if self._influence is None:
            load_kernels("vigitensor.survival.kernels_cox_residuals")
            by_row = score(Fitted(self.rows, self.index, self.data, self.point))
            place = self.index.rows if self.index.rows.size else slice(None)
            own = by_row[place] * self.data.weight[:, None]
            by_cluster = collapsed(own, self.cluster, self.n_clusters)
            var = inverse(self.info, np.ones(self.data.q, bool))
            if var is None:
                var = np.zeros_like(self.info)
            self._influence = var, np.ascontiguousarray(by_cluster)
        return self._influence

    def fit(self, counts: Any, method: str = "fit") -> ManyFits:
        """Fit every row of counts (B, clusters), not negative.

        ``method``: "fit", "one_step" or "influence", as for exposure models.
        """
        n = counts.shape[0]
        counts = counts[:, : self.n_clusters]
        fits = ManyFits(
            np.full((n, self.size), np.nan), np.full(n, np.nan), np.zeros(n, np.int8),
            np.zeros(n, np.int32),
        )  # fmt: skip
        # A single step is one from the full fit.
        far = method == "one_step" or self.control.max_iter <= 1
        if not far:
            self.influence()
        _ = self.data.z  # once, not by every thread that comes first

        def work(span: tuple[int, int]) -> None:
            some = np.zeros((counts.shape[1], WIDTH))
            some[:, : span[1] - span[0]] = counts[span[0] : span[1]].T
            start = np.zeros((WIDTH, self.beta.size)) if far else self._near(some)
            here = slice(0, span[1] - span[0])
            dead = self._nobody_dies(some)
            if method == "influence":
                beta = np.where(dead[:, None], np.nan, self.beta + start)
                none = np.full(WIDTH, np.nan)
                found = [beta, none, dead * NO_EVENT, np.zeros(WIDTH)]
            elif self.together:
                found = Eight(self, some).solve(start, method == "one_step")
                found[2] = np.where(found[2], 0, np.where(dead, NO_EVENT, found[3]))
                found = [*found[:3], found[4]]
            else:
                lanes = [
                    self.alone(some[:, b], method == "one_step")
                    for b in range(span[1] - span[0])
                ]
                found = [np.array(part) for part in zip(*lanes)]
            beta, fits.loglik[slice(*span)] = found[0][here], found[1][here]
            fits.coefficients[slice(*span), self.kept] = beta
            fits.reason[slice(*span)] = found[2][here]
            fits.iterations[slice(*span)] = found[3][here]

        spans = slices_of(n, WIDTH)
        if self.together or method == "influence":
            run_slices(work, spans)
        else:
            for span in spans:
                work(span)
        return fits

    def _near(self, counts: Floats) -> Floats:
        """What the influence of the clusters adds to the full fit, (8, q)."""
        var, scores = self.influence()
        moved = np.empty((self.beta.size, WIDTH))
        load_kernels(KERNELS).influence_many(counts, scores, moved)
        near = np.zeros_like(moved)
        for j in range(self.beta.size):  # in this order, whatever BLAS there is
            near += var[:, j, None] * moved[j]
        return np.ascontiguousarray(near.T)

    def _nobody_dies(self, counts: Floats) -> Bools:
        died = counts[self.cluster[self.data.index.death_row]]
        weight = self.data.death_weight > 0
        out: Bools = ~np.any(died[weight] > 0, axis=0)
        return out

    def alone(self, counts: Floats, one_step: bool = False) -> list[Any]:
        """Coefficients, log-likelihood, reason and passes of one replicate."""
        weight = self.data.weight * counts[self.cluster]
        nothing = np.full(self.beta.size, np.nan)
        if not np.any(weight[self.data.index.death_row] > 0):
            return [nothing, np.nan, NO_EVENT, 0]
        data = reweighted(self.data, weight)
        if one_step:
            return self._one_step(data)
        objective = Objective(
            noise=np.zeros(data.q), deaths=float(data.death_weight.sum()),
            evaluate=lambda beta: evaluate(data, beta),
            moments=lambda point: moments(data, point), imprecise=imprecise,
        )  # fmt: skip
        try:
            found = maximise(objective, self.beta, self.penalty, self.control)
        except Imprecise:
            return [nothing, np.nan, NOT_CONVERGED, 0]
        if not found.kept.all():
            return [nothing, np.nan, COLLINEAR, found.iterations]
        if found.infinite.any():
            return [nothing, np.nan, INFINITE, found.iterations]
        if not found.converged:
            return [nothing, np.nan, NOT_CONVERGED, found.iterations]
        return [found.beta, found.loglik[1], 0, found.iterations]

    def _one_step(self, data: CoxData) -> list[Any]:
        point = evaluate(data, self.beta)
        at = moments(data, point)
        info = at.info + np.diag(self.penalty)
        if not usable_information(info[None], self.info)[0]:
            return [np.full(data.q, np.nan), np.nan, COLLINEAR, 1]
        step = np.linalg.solve(info, at.score - self.penalty * self.beta)
        return [self.beta + step, np.nan, 0, 1]


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
        time=index.time[new], begin=begin, rows=index.rows, n=index.n,
        never=index.never, out=out, last=last, death_row=row,
        death_event=(rank[event + 1] - 1).astype(np.int64),
        death_begin=np.searchsorted(event, new),
    )  # fmt: skip
    shared = {k: v for k, v in data.scratch.items() if k == "z"}
    return with_deaths(replace(data, index=small, weight=weight, scratch=shared))
