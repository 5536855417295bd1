"""Event-time index of a Cox model without exposure terms.

As ``riskset``, for rows in the millions with real-valued times: rows are placed
by bisection among the event times of their stratum, in slices; nothing but the
deaths is ever sorted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .._typing import Floats, Ints
from ..cache import load_kernels
from ..errors import EngineError
from ..pool import run_slices

KERNELS = "vigitensor.survival.kernels_cox"
SLICE = 65536
# Share of rows that are never at risk up to which passing over them costs less
# than a copy of the others.
_MOST_NEVER = 0.25


@dataclass(frozen=True)
class CoxIndex:
    """Risk sets of a data set; event indices are sorted by stratum, then time."""

    time: Floats  # (events,) event times as given
    begin: Ints  # (strata + 1,) int64, first event index of each stratum
    rows: Ints  # (n,) int32, rows that are laid out; empty: all rows
    n: int  # number of these
    never: Ints  # rows that are at risk nowhere; if laid out, they leave as they join
    out: Ints  # (n,) int32, index before the first at risk, -1 if none; or empty
    last: Ints  # (n,) int32, last index at risk
    death_row: Ints  # (deaths,) int64 positions among `rows`, by event index
    death_event: Ints  # (deaths,) int64 event index
    death_begin: Ints  # (events,) int64, where the deaths of an event index begin

    @property
    def n_events(self) -> int:
        """Number of distinct (stratum, time) with an event."""
        return int(self.time.size)

    def of_rows(self, values: Floats) -> Floats:
        """Values of the rows laid out, from those of all rows."""
        return values if self.rows.size == 0 else values.take(self.rows)


def slices_of(n: int, size: int = SLICE) -> list[tuple[int, int]]:
    """Ranges of rows, fixed by their number alone."""
    return [(i, min(i + size, n)) for i in range(0, n, size)]


def build_index(
    start: Floats | None,
    stop: Floats,
    event: Ints,
    stratum: Ints,
    weight: Floats,
    most_never: float = _MOST_NEVER,
) -> CoxIndex:
    """Index event times and place every row (arrays of equal length, 0-based).

    An event counts if its row has a positive weight. Rows that are never at risk
    are laid out with the others up to the share ``most_never``.
    """
    n = stop.size
    died = np.flatnonzero(event)
    died = died[weight[died] > 0]
    if died.size == 0:
        raise EngineError(
            "At least one row must have an event and a positive weight; none has.",
            code="no_event",
            arg="event",
        )
    strata = int(stratum.max()) + 1
    if strata == 1:
        died = died[np.argsort(stop[died], kind="stable")]
    else:
        died = died[np.lexsort((stop[died], stratum[died]))]
    when, where = stop[died], stratum[died]
    new = np.ones(died.size, bool)
    new[1:] = (when[1:] != when[:-1]) | (where[1:] != where[:-1])
    first = np.flatnonzero(new)
    times = when[first]
    begin = np.searchsorted(where[first], np.arange(strata + 1)).astype(np.int64)

    out, last = np.empty(n, np.int32), np.empty(n, np.int32)
    starts = np.empty(0) if start is None else start
    module = load_kernels(KERNELS)
    buckets = _buckets(times, begin)

    def work(span: tuple[int, int]) -> None:
        module.place_rows(
            *span, starts, stop, stratum, times, begin, *buckets, out, last
        )

    run_slices(work, slices_of(n))
    used = last > out
    never = np.flatnonzero(~used)
    rows = np.empty(0, np.int32)
    at = died
    if never.size > most_never * n:
        rows = np.flatnonzero(used).astype(np.int32)
        out, last = out.take(rows), last.take(rows)
        at = died - np.searchsorted(never, died)
    else:
        out[never] = last[never] = 0
    if start is None:
        out = np.empty(0, np.int32)
    return CoxIndex(
        time=times,
        begin=begin,
        rows=rows,
        n=int(last.size),
        never=never,
        out=out,
        last=last,
        death_row=at.astype(np.int64),
        death_event=np.cumsum(new) - 1,
        death_begin=first,
    )


def _buckets(times: Floats, begin: Ints) -> tuple[Floats, Floats, Ints, Ints]:
    """Per stratum first time and buckets per unit of time; where its buckets
    begin, and the event indices before each: about one a bucket."""
    count = np.diff(begin)
    some = count > 0
    first, span = np.zeros(count.size), np.ones(count.size)
    first[some] = times[begin[:-1][some]]
    span[some] = times[begin[1:][some] - 1] - first[some]
    number = 2 * count + 1
    with np.errstate(divide="ignore", over="ignore"):
        scale = number / np.where(span > 0, span, 1.0)
    scale = np.where(np.isfinite(scale), scale, 0.0)
    bucket_begin = np.concatenate(([0], np.cumsum(number))).astype(np.int64)
    below = np.empty(bucket_begin[-1], np.int32)
    load_kernels(KERNELS).fill_buckets(times, begin, first, scale, bucket_begin, below)
    return first, scale, bucket_begin, below
