"""Event times with several deaths under exact ties; see ``kernels_cox_exact``."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .._typing import Floats, Ints
from ..cache import load_kernels
from ..pool import run_slices
from .cox_index import CoxIndex

KERNELS = "vigitensor.survival.kernels_cox_exact"
# Steps of the recursion in a slice.
_WORK = 10_000_000


@dataclass(frozen=True)
class ExactTies:
    """The tied event times, and the rows at risk sorted by stratum."""

    event: Ints  # (times,) int32 event index
    deaths: Ints  # (times,) int64
    stratum: Ints  # (times,) int32
    begin: Ints  # (strata + 1,) int64, into `order`
    order: Ints  # int32, those that are ever at risk
    slices: list[tuple[int, int]]


def build_exact(index: CoxIndex) -> ExactTies:
    """Pick the event times with more than one death."""
    size = np.diff(np.append(index.death_begin, index.death_row.size))
    event = np.flatnonzero(size > 1)
    deaths = size[event]
    strata = index.begin.size - 1
    # A row's stratum is that of its last event time.
    of_event = np.repeat(np.arange(strata, dtype=np.int32), np.diff(index.begin))
    of_row = of_event[index.last]
    order = np.argsort(of_row, kind="stable").astype(np.int32)
    if index.rows.size == 0 and index.never.size:
        at_risk = np.ones(index.n, bool)
        at_risk[index.never] = False
        order = order[at_risk[order]]
    begin = np.searchsorted(of_row[order], np.arange(strata + 1)).astype(np.int64)
    stratum = of_event[event]
    work = np.cumsum((begin[stratum + 1] - begin[stratum]) * deaths)
    marks = np.arange(_WORK, work[-1] if work.size else 0, _WORK)
    cuts = np.unique(np.concatenate(([0], np.searchsorted(work, marks), [event.size])))
    return ExactTies(
        event.astype(np.int32), deaths, stratum, begin, order,
        list(zip(cuts[:-1].tolist(), cuts[1:].tolist())),
    )  # fmt: skip


def _scratch(ties: ExactTies) -> tuple[Ints, Floats]:
    rows = int(np.diff(ties.begin).max())
    return np.empty(rows, np.int32), np.empty(int(ties.deaths.max()) + 1)


def log_sums(ties: ExactTies, index: CoxIndex, lin: Floats) -> float:
    """Sum over tied times of the log of the sum over possible sets of deaths."""
    value = np.zeros(ties.event.size)
    kernel = load_kernels(KERNELS).exact_values

    def work(span: tuple[int, int]) -> None:
        kernel(
            *span, ties.event, ties.deaths, ties.stratum, ties.begin, ties.order,
            index.out, index.last, lin, *_scratch(ties), value,
        )  # fmt: skip

    run_slices(work, ties.slices)
    return float(value.sum())


def add_moments(
    ties: ExactTies,
    index: CoxIndex,
    lin: Floats,
    z: Floats,
    q: int,
    first: Floats,
    info: Floats,
    raw: Floats,
) -> None:
    """Add mean, variance and raw second moments of the tied times' deaths."""
    kernel = load_kernels(KERNELS).exact_moments

    def work(span: tuple[int, int]) -> tuple[Floats, Floats, Floats]:
        found, heads = _scratch(ties)
        parts = np.zeros(q), np.zeros((q, q)), np.zeros(q)
        kernel(
            *span, ties.event, ties.deaths, ties.stratum, ties.begin, ties.order,
            index.out, index.last, lin, z, q, found, heads,
            np.empty((heads.size, q)), np.empty((heads.size, q * q)), np.empty(q),
            *parts,
        )  # fmt: skip
        return parts

    def reduce(parts: tuple[Floats, Floats, Floats]) -> None:
        for total, part in zip((first, info, raw), parts):
            total += part

    run_slices(work, ties.slices, reduce)
