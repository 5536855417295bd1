"""Newton's method for eight replicates of a Cox model side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .._typing import Bools, Floats
from ..cache import load_kernels
from .cox_index import slices_of
from .many import COLLINEAR, NOT_CONVERGED

if TYPE_CHECKING:
    from .cox_many import CoxMany

KERNELS = "vigitensor.survival.kernels_cox_many"
# As in the kernels, which are not imported before they are needed.
WIDTH, BLOCK = 8, 64
# Share of the full fit's information below which a replicate has none.
_FLAT = 1e-9
# Error, in standard errors, with which a replicate is done.
_DONE = 2e-9
# Steps that gain less than this factor ask for a new information.
_SLOW = 0.1


class Eight:
    """Replicates with the weights counts (clusters, WIDTH) of their clusters."""

    def __init__(self, many: CoxMany, counts: Floats) -> None:
        self.many, self.counts = many, counts
        data = many.data
        self.q = data.q
        self.lines = 1 + self.q + self.q * (self.q + 1) // 2
        self.table = np.empty(data.index.n_events * self.lines * WIDTH)
        self.ones = np.ones(WIDTH)
        self.eta, self.r = np.empty((2, BLOCK * WIDTH))
        self.ends = np.append(data.index.death_begin, data.index.death_row.size)

    def passes(
        self, step: Floats, informed: bool
    ) -> tuple[Floats, Floats, Floats | None]:
        """Values (8,), scores (8, q) at beta + step (8, q), less the penalty.

        With ``informed`` the informations (8, q, q) too.
        """
        many, data, q = self.many, self.many.data, self.q
        index = data.index
        lines = self.lines if informed else 1 + q
        beta = np.ascontiguousarray(step.T)
        module = load_kernels(KERNELS)
        table = self.table[: index.n_events * lines * WIDTH]
        table[:] = 0.0
        for i0, i1 in slices_of(index.n):
            module.scatter_many(
                i0, i1, index.out, index.last, many.cluster, data.weight,
                many.lin, many.risk, data.z, q, lines, self.counts, beta,
                not step.any(), self.ones, self.eta, self.r, table,
            )  # fmt: skip
        result = np.empty((lines, WIDTH))
        run, own = np.empty((2, lines * WIDTH))
        module.sum_many(
            index.begin, self.ends, index.death_row, many.cluster, data.weight,
            many.lin, data.z, q, lines, self.counts, beta, data.ties == "efron",
            table, self.ones, run, own, result,
        )  # fmt: skip
        at = many.beta + step
        value = result[0] - 0.5 * np.sum(many.penalty * at**2, axis=1)
        score = result[1 : 1 + q].T - many.penalty * at
        if not informed:
            return value, score, None
        info = np.empty((WIDTH, q, q))
        rows, columns = np.tril_indices(q)
        info[:, rows, columns] = info[:, columns, rows] = result[1 + q :].T
        return value, score, info + np.diag(many.penalty)

    def solve(self, start: Floats, one_step: bool) -> list[Any]:
        """From beta + start (8, q), or one step from there.

        Coefficients, log-likelihoods, convergence, why not, passes.
        """
        control, many = self.many.control, self.many
        at = start.copy()
        value, score, info = self.passes(at, True)
        assert info is not None
        usable = usable_information(info, many.info) & np.isfinite(value)
        reason = np.where(usable, NOT_CONVERGED, COLLINEAR)
        factor = _inverses(info, usable)
        step, decrement = _steps(factor, score)
        done = usable & (decrement < control.tol_step) | (usable & one_step)
        iterations = np.ones(WIDTH, np.int32)
        scale, stale = np.ones(WIDTH), np.zeros(WIDTH, bool)
        for _ in range(control.max_iter + control.max_halving):
            active = usable & ~done
            if not active.any():
                break
            moved = np.where(active, scale, 0.0)[:, None] * step
            ask = active & stale
            found, slope, info = self.passes(at + moved, bool(ask.any()))
            iterations += active
            slack = 1e-12 * (1 + np.abs(value))
            up = active & (found >= value - slack)
            scale = np.where(up, 1.0, 0.5 * scale)
            usable &= ~active | up | (scale > 0.5**control.max_halving)
            new = up & ask
            if info is not None:
                usable &= ~new | usable_information(info, many.info)
                factor[new] = _inverses(info, usable)[new]
            old = up & ~ask
            factor[old] = _learned(factor[old], moved[old], (score - slope)[old])
            at[up], value[up], score[up] = (at + moved)[up], found[up], slope[up]
            more, gain = _steps(factor, score)
            rate = np.sqrt(gain / np.where(decrement > 0, decrement, np.inf))
            error = np.sqrt(gain)
            near = (error < _DONE) | np.where(
                # A step's error is at most twice the last one's share.
                ask,
                gain < control.tol_step,
                2 * rate * error < _DONE,
            )
            # Not after a step that had to be halved: it says little on the rate.
            step[up], decrement[up] = more[up], gain[up]
            stale[up] = rate[up] > _SLOW
            stale[active & ~up] = True
            done |= usable & up & near
        # The last step is so small that nothing need be looked at again.
        at = many.beta + at + step
        beta = np.where(done[:, None], at, np.nan)
        spared = 0.5 * np.sum(many.penalty * at**2, axis=1)
        loglik = np.where(done, value + 0.5 * decrement + spared, np.nan)
        if one_step:
            loglik[:] = np.nan
        return [beta, loglik, done, reason, iterations]


def usable_information(info: Floats, full: Floats) -> Bools:
    """Is there information on every coefficient? info (., q, q)."""
    scale = 1 / np.sqrt(np.diag(full))
    scaled = info * np.outer(scale, scale)
    good = np.all(np.isfinite(scaled), axis=(1, 2))
    if info.shape[1] == 0:
        return good
    values = np.linalg.eigvalsh(np.where(good[:, None, None], scaled, 0.0))
    out: Bools = good & (values[:, 0] > _FLAT)
    return out


def _inverses(info: Floats, usable: Bools) -> Floats:
    """Inverses of the usable informations, zero for others."""
    safe = np.where(usable[:, None, None], info, np.eye(info.shape[1]))
    return np.linalg.inv(safe) * usable[:, None, None]


def _steps(factor: Floats, score: Floats) -> tuple[Floats, Floats]:
    """Newton steps and decrements."""
    step = np.einsum("bij,bj->bi", factor, score)
    return step, np.maximum(np.sum(step * score, axis=1), 0.0)


def _learned(factor: Floats, step: Floats, change: Floats) -> Floats:
    """BFGS updates: the inverses that turn changes of the score into steps."""
    along = np.sum(step * change, axis=1)
    good = along > 0
    over = np.where(good, 1 / np.where(good, along, 1.0), 0.0)[:, None, None]
    left = np.eye(step.shape[1]) - over * step[:, :, None] * change[:, None, :]
    new = np.einsum("bij,bjk,blk->bil", left, factor, left)
    new += over * step[:, :, None] * step[:, None, :]
    return np.where(good[:, None, None], new, factor)
