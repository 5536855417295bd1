"""Event-time index: which event times each row is at risk at.

An event index is one (stratum, time) at which somebody with a positive weight
has the event; indices are sorted by stratum, then time. A row (start, stop] is
at risk on one contiguous range [lo, hi) of them; rows with none are left out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .._typing import Floats, Ints
from ..errors import EngineError


@dataclass(frozen=True)
class RiskSet:
    """Risk sets of a data set; all arrays are the engine's own."""

    time: Floats  # (events,) event times as given
    rows: Ints  # (n,) positions of the rows that are at risk somewhere
    lo: Ints  # (n,) int32, first event index at risk
    hi: Ints  # (n,) int32, one past the last
    death_row: Ints  # (deaths,) positions among `rows`, sorted by event index
    death_event: Ints  # (deaths,) event index
    death_weight: Floats  # (deaths,)
    death_begin: Ints  # (events,) where the deaths of an event index begin
    fraction: Floats  # (deaths,) l/d of Efron, zeros with Breslow
    mean_weight: Floats  # (events,) mean weight of the tied deaths
    tied: bool  # some fraction is not zero
    width: int  # events, rounded up to a power of two
    levels: int  # levels of the table of ranges (see kernels_risk)
    log2: Ints  # (width,) int32: 0, then floor(log2 x) + 1

    @property
    def n_events(self) -> int:
        """Number of distinct (stratum, time) with an event."""
        return int(self.time.size)


@dataclass(frozen=True)
class EventTimes:
    """Every (stratum, time) at which somebody has an event, as sorted keys."""

    times: Floats  # (u,) distinct times
    keys: Ints  # (events,) stratum * (u + 1) + position of the time

    @property
    def time(self) -> Floats:
        """Time of each event index, (events,)."""
        found: Floats = self.times[self.keys % (self.times.size + 1)]
        return found


@dataclass(frozen=True)
class Deaths:
    """Rows whose event counts, in the order of their event index."""

    row: Ints  # (deaths,) positions among the rows at risk
    event: Ints  # (deaths,) event index
    weight: Floats  # (deaths,)


def build_risk_set(
    start: Floats,
    stop: Floats,
    event: Ints,
    stratum: Ints,
    weight: Floats,
    *,
    ties: str,
) -> RiskSet:
    """Index the event times and place every row (arrays of equal length).

    Ties as in Efron (1977) or Breslow (1974); with case weights, as coxph:
    tied deaths share their mean weight. Rows of weight 0 have no part in it.
    """
    counts = np.flatnonzero((event != 0) & (weight > 0))
    if counts.size == 0:
        raise no_event()
    events = index_events(stop[counts], stratum[counts])
    rows, lo, hi, deaths = place_rows(events, start, stop, event, stratum, weight)
    return risk_set(events, rows, lo, hi, deaths, ties)


def no_event() -> EngineError:
    """The fault of data in which nothing happens."""
    return EngineError(
        "At least one row must have an event and a positive weight; none has.",
        code="no_event",
        arg="event",
    )


def index_events(stop: Floats, stratum: Ints) -> EventTimes:
    """Event times of the rows with an event that counts."""
    times = np.unique(stop)
    # One sorted key per (stratum, time), and where each pair would be among them.
    base = stratum.astype(np.int64) * (times.size + 1)
    return EventTimes(times, np.unique(base + np.searchsorted(times, stop)))


def place_rows(
    events: EventTimes,
    start: Floats,
    stop: Floats,
    event: Ints,
    stratum: Ints,
    weight: Floats,
) -> tuple[Ints, Ints, Ints, Deaths]:
    """Rows at risk somewhere, their ranges [lo, hi) of event indices, deaths."""
    times, keys = events.times, events.keys
    base = stratum.astype(np.int64) * (times.size + 1)
    size = max(int(base.max(initial=0)), int(keys[-1])) + times.size + 1
    lo = _before(keys, base + _rank(times, start), size)
    hi = _before(keys, base + _rank(times, stop), size)
    rows = np.flatnonzero((lo < hi) & (weight > 0))
    if rows.size < lo.size:
        lo, hi = lo[rows], hi[rows]

    # A death's event index is the last one of its row, if that is its time.
    dead = np.flatnonzero(event[rows])
    at = hi[dead] - 1
    here = events.time[at] == stop[rows[dead]]
    dead, at = dead[here], at[here]
    order = np.argsort(at, kind="stable")
    dead, at = dead[order], at[order]
    deaths = Deaths(dead.astype(np.int32), at.astype(np.int32), weight[rows[dead]])
    return rows, lo, hi, deaths


def risk_set(
    events: EventTimes, rows: Ints, lo: Ints, hi: Ints, deaths: Deaths, ties: str
) -> RiskSet:
    """Everything together; the deaths are all of those of the data set."""
    at = deaths.event
    begin = np.searchsorted(at, np.arange(events.keys.size))
    size = np.diff(np.append(begin, at.size))
    fraction = np.zeros(at.size)
    if ties == "efron":
        fraction = (np.arange(at.size) - begin[at]) / size[at]
    mean_weight = np.add.reduceat(deaths.weight, begin) / size
    return _with_table(events, rows, lo, hi, deaths, begin, fraction, mean_weight)


def part_of_risk_set(
    events: EventTimes, rows: Ints, lo: Ints, hi: Ints, deaths: Deaths
) -> RiskSet:
    """Some of the rows of a data set: their ties are not known here."""
    none = np.zeros(0)
    begin = np.zeros(0, np.int64)
    fraction = np.zeros(deaths.row.size)
    return _with_table(events, rows, lo, hi, deaths, begin, fraction, none)


def _with_table(
    events: EventTimes,
    rows: Ints,
    lo: Ints,
    hi: Ints,
    deaths: Deaths,
    begin: Ints,
    fraction: Floats,
    mean_weight: Floats,
) -> RiskSet:
    width = 1 << int(events.keys.size - 1).bit_length()
    log2 = np.zeros(width, np.int32)
    for level in range(int(width).bit_length() - 1):
        log2[1 << level : 2 << level] = level + 1
    return RiskSet(
        time=events.time,
        rows=rows,
        lo=lo,
        hi=hi,
        death_row=deaths.row,
        death_event=deaths.event,
        death_weight=deaths.weight,
        death_begin=begin,
        fraction=fraction,
        mean_weight=mean_weight,
        tied=bool(fraction.any()),
        width=width,
        levels=int(width).bit_length(),
        log2=log2,
    )


def _rank(times: Floats, values: Floats) -> Ints:
    """How many of the sorted times are at most each value."""
    span = float(times[-1] - times[0])
    if span > 2 * values.size or not np.array_equal(times, np.rint(times)):
        found: Ints = np.searchsorted(times, values, side="right")
        return found
    # Whole times: looked up, by how many whole units a value is past the first.
    table = np.zeros(int(span) + 2, np.int64)
    table[(times - times[0]).astype(np.int64) + 1] = 1
    np.cumsum(table, out=table)
    past = np.floor(values) - (times[0] - 1)
    found = table[np.clip(past, 0, span + 1, out=past).astype(np.int64)]
    return found


def _before(keys: Ints, values: Ints, size: int) -> Ints:
    """How many of the sorted keys are less than each value; all are below size."""
    if size > 4 * values.size:
        found: Ints = np.searchsorted(keys, values).astype(np.int32)
        return found
    table = np.zeros(size + 1, np.int32)
    table[keys + 1] = 1
    np.cumsum(table, out=table)
    found = table[values]
    return found


def whole_times(risk: RiskSet) -> tuple[Ints, float]:
    """Event times as int32 counted from the first, and that first time.

    Raises
    ------
    EngineError
        ``time_not_whole`` or ``time_span``: exposure needs whole time units.
    """
    if not np.array_equal(risk.time, np.rint(risk.time)):
        raise EngineError(
            "Event times must be whole numbers of time units where a model has "
            "exposure terms; some are not.",
            code="time_not_whole",
            arg="stop",
        )
    origin = float(risk.time.min())
    if float(risk.time.max()) - origin > 2**30:
        raise EngineError(
            "Event times must span fewer than 2^30 time units; use a longer unit.",
            code="time_span",
            arg="stop",
        )
    return (risk.time - origin).astype(np.int32), origin
