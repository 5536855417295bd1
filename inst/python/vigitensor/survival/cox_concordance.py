"""Concordance of a linear predictor with survival, in O(n log n).

Pairs are those whose order in time is known: a death against everyone at risk
who lives on, censored at the same time included. Counts and the infinitesimal
jackknife variance are those of survival::concordancefit with ``timewt = "n"``
and ``reverse = TRUE`` (a higher predictor dies sooner).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .._typing import Floats, Ints
from ..cache import load_kernels
from ..pool import run_slices
from .cox_index import slices_of

KERNELS = "vigitensor.survival.kernels_cox_residuals"
_POSITIONS = 65536


@dataclass(frozen=True)
class Concordance:
    """Counts of pairs and what follows from them."""

    count: Floats  # (5,) concordant, discordant, tied.x, tied.y, tied.xy
    concordance: float
    var: float
    dfbeta: Floats  # (n,) influence of each row, or of each cluster


def concordance(
    start: Floats | None,
    stop: Floats,
    event: Ints,
    stratum: Ints,
    weight: Floats,
    lp: Floats,
    cluster: Ints | None,
) -> Concordance:
    """Compare all pairs (arrays of equal length, codes 0-based)."""
    n = stop.size
    rank, tree_begin, tree_size = _ranks(stratum, lp)
    by_stop = np.lexsort((rank, event, -stop, stratum))
    by_start = np.empty(0, np.int64)
    if start is not None:
        by_start = np.lexsort((-start, stratum))
    module = load_kernels(KERNELS)
    trees = np.zeros((4, n))
    totals, state = np.zeros(2), np.array([0, -1])
    left, count, influence = np.zeros(n, np.int8), np.zeros(5), np.zeros((n, 3))
    starts = np.empty(0) if start is None else start

    def work(span: tuple[int, int]) -> None:
        module.compare(
            *span, by_stop, by_start, starts, stop, event, rank, tree_begin,
            tree_size, weight, *trees, totals, state, left, count, influence,
        )  # fmt: skip

    # One after the other: each goes on where the last stopped.
    run_slices(work, _cuts(stop[by_stop], stratum[by_stop]), threads=1)

    def finish(span: tuple[int, int]) -> None:
        module.finish(
            *span, rank, tree_begin, tree_size, trees[2], trees[3], left, influence
        )

    run_slices(finish, slices_of(n))
    pairs = count[:3].sum()
    with np.errstate(invalid="ignore"):
        somers = (count[0] - count[1]) / pairs
        change = influence[:, 0] - influence[:, 1] - somers * influence.sum(axis=1)
        dfbeta = weight * change / pairs
    if cluster is not None:
        dfbeta = np.bincount(cluster, dfbeta)
    return Concordance(
        count, float(somers + 1) / 2, float(dfbeta @ dfbeta) / 4, dfbeta / 2
    )


def _ranks(stratum: Ints, lp: Floats) -> tuple[Ints, Ints, Ints]:
    """Rank of lp among the different values of its stratum, from 0; where the
    stratum's trees begin and how many ranks they have, each (n,)."""
    order = np.lexsort((lp, stratum))
    where, values = stratum[order], lp[order]
    new = np.ones(order.size, bool)
    new[1:] = where[1:] != where[:-1]
    first = np.flatnonzero(new)
    group = np.cumsum(new) - 1
    step = np.ones(order.size, np.int64)
    step[1:] = values[1:] != values[:-1]
    step[first] = 0
    rank_sorted = np.cumsum(step)
    rank_sorted -= rank_sorted[first][group]
    size = np.maximum.reduceat(rank_sorted, first) + 1
    begin = np.concatenate(([0], np.cumsum(size)[:-1]))
    rank = np.empty(order.size, np.int32)
    tree_begin, tree_size = np.empty((2, order.size), np.int64)
    rank[order] = rank_sorted
    tree_begin[order], tree_size[order] = begin[group], size[group]
    return rank, tree_begin, tree_size


def _cuts(stop: Floats, stratum: Ints) -> list[tuple[int, int]]:
    """Ranges of sorted rows that end where a new (stratum, time) begins."""
    n = stop.size
    new = np.flatnonzero((stop[1:] != stop[:-1]) | (stratum[1:] != stratum[:-1])) + 1
    wanted = np.arange(_POSITIONS, n, _POSITIONS)
    at = new[np.minimum(np.searchsorted(new, wanted), new.size - 1)] if new.size else []
    edges = np.unique(np.concatenate(([0], at, [n]))).astype(np.int64).tolist()
    return list(zip(edges[:-1], edges[1:]))
