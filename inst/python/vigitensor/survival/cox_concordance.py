"""Concordance of a linear predictor with survival, in O(n log n).

Pairs are those whose order in time is known: a death against everyone at risk
who lives on, censored at the same time included. Counts and the infinitesimal
jackknife variance are those of survival::concordancefit with ``timewt = "n"``
and ``reverse = TRUE`` (a higher predictor dies sooner).

Times and predictors are first replaced by their places among those of the deaths:
these alone are sorted, and what is searched fits into a processor's cache.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .._typing import Floats, Ints
from ..cache import load_kernels
from ..pool import run_slices
from .cox_index import CoxIndex, build_index, slices_of

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
    count, influence = np.zeros(5), np.zeros((n, 3))
    if np.any(event[weight > 0]):
        index = build_index(start, stop, event, stratum, weight, most_never=0.0)
        found = _compare(index, *(index.of_rows(v) for v in (stratum, weight, lp)))
        count = found[0]
        if index.rows.size:
            influence[index.rows] = found[1]
        else:
            influence = found[1]
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


def _compare(
    index: CoxIndex, stratum: Ints, weight: Floats, lp: Floats
) -> tuple[Floats, Floats]:
    """Counts (5,) and influence (n, 3) for the rows at risk somewhere.

    Times are counted in event indices: only the deaths' order matters.
    """
    n, deaths = index.n, index.death_row
    stratum, weight, lp = map(np.ascontiguousarray, (stratum, weight, lp))
    place, sizes = _places(stratum, lp, deaths, index.begin.size - 1)
    begins = np.concatenate(([0], np.cumsum(sizes)[:-1])).astype(np.int64)
    # A stratum's rows come together, the last times first.
    turn = (index.begin[:-1] + index.begin[1:])[stratum]
    died = np.zeros(n, np.int8)
    died[deaths] = 1
    order = np.argsort(2 * (turn - index.last) + died)
    slots = np.flatnonzero(died[order])
    order[slots] = deaths[
        np.lexsort((place[deaths], -index.death_event, stratum[deaths]))
    ]
    # All in this order, so that memory is read from one end to the other.
    stratum, weight = stratum[order], weight[order]
    place, died = place[order], died[order]
    stops = index.last[order].astype(np.float64)
    by_start, starts = np.empty(0, np.int64), np.empty(0)
    if index.out.size:
        starts = index.out[order].astype(np.float64)
        by_start = np.argsort((turn - index.out)[order])
    tree_begin, tree_size = begins[stratum], sizes[stratum]
    module = load_kernels(KERNELS)
    trees = np.zeros((4, int(sizes.sum())))
    totals, state = np.zeros(2), np.array([0, -1])
    left, count, influence = np.zeros(n, np.int8), np.zeros(5), np.zeros((n, 3))
    everybody = np.arange(n)

    def work(span: tuple[int, int]) -> None:
        module.compare(
            *span, everybody, by_start, starts, stops, died, place, tree_begin,
            tree_size, weight, *trees, totals, state, left, count, influence,
        )  # fmt: skip

    # One after the other: each goes on where the last stopped.
    run_slices(work, _cuts(stops, stratum), threads=1)

    def finish(span: tuple[int, int]) -> None:
        module.finish(
            *span, place, tree_begin, tree_size, trees[2], trees[3], left, influence
        )

    run_slices(finish, slices_of(n))
    unsorted = np.empty_like(influence)
    unsorted[order] = influence
    return count, unsorted


def _places(stratum: Ints, lp: Floats, deaths: Ints, strata: int) -> tuple[Ints, Ints]:
    """Where each row's lp is among those of its stratum's deaths, and how many
    places each stratum has: 2k + 1 at the k-th value (from 0), 2k just before it.

    Trees over these are small, as deaths are few.
    """
    place = _among(np.unique(lp[deaths]), lp)
    sizes = np.array([2 * deaths.size + 1])
    if strata > 1:
        step = 2 * deaths.size + 2
        key = stratum.astype(np.int64) * step + place
        values = np.unique(key[deaths])
        begin = np.searchsorted(values, np.arange(strata + 1) * step)
        place = _among(values, key) - 2 * begin[stratum]
        sizes = 2 * np.diff(begin) + 1
    return place.astype(np.int32), sizes.astype(np.int64)


def _among(values: Floats | Ints, x: Floats | Ints) -> Ints:
    """2k + 1 where x is the k-th of the sorted values, 2k where it is before it."""
    place = np.empty(x.size, np.int64)

    def work(span: tuple[int, int]) -> None:
        here = x[slice(*span)]
        before = np.searchsorted(values, here)
        same = values[np.minimum(before, values.size - 1)] == here
        place[slice(*span)] = 2 * before + same

    run_slices(work, slices_of(x.size))
    return place


def _cuts(stop: Floats, stratum: Ints) -> list[tuple[int, int]]:
    """Ranges of sorted rows that end where a new (stratum, time) begins."""
    n = stop.size
    new = np.flatnonzero((stop[1:] != stop[:-1]) | (stratum[1:] != stratum[:-1])) + 1
    wanted = np.arange(_POSITIONS, n, _POSITIONS)
    at = new[np.minimum(np.searchsorted(new, wanted), new.size - 1)] if new.size else []
    edges = np.unique(np.concatenate(([0], at, [n]))).astype(np.int64).tolist()
    return list(zip(edges[:-1], edges[1:]))
