"""Exposure records -> steps of the dose -> runs of event indices to work on.

Records (start, stop] of one subject and term add. Their sum is kept as steps:
from ``time[j]`` on the dose is ``level[j]`` per time unit, until the next step.
Sums are made in twice the working precision and the level is exactly 0 where no
record is active, so 0.1 + 0.2 - 0.1 - 0.2 leaves nothing behind.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .._typing import Floats, Ints
from ..cache import load_kernels
from ..pool import run_slices

if TYPE_CHECKING:
    from .riskset import RiskSet

RECORDS = "vigitensor.survival.kernels_records"
REAL = "vigitensor.survival.kernels_real"
_ROWS_PER_SLICE = 65536
_RECORDS_PER_SLICE = 131072


@dataclass(frozen=True)
class Records:
    """Exposure records of one term; times in whole units, (start, stop]."""

    subject: Ints  # (r,) int32, 0-based
    start: Floats  # (r,)
    stop: Floats  # (r,)
    dose: Floats  # (r,) per time unit
    # Real times: lags between which it is told whether somebody had a dose
    cells: Floats | None = None


@dataclass(frozen=True)
class Steps:
    """Steps of every term, one after the other."""

    ptr: Ints  # (terms * (subjects + 1),) int64, positions in time and level
    time: Ints  # (steps,) int32, counted from the first event time
    level: Floats  # (steps,) dose per time unit from that time on
    n_terms: int


@dataclass(frozen=True)
class Runs:
    """Exposed runs of rows: some term has a dose in its window throughout."""

    ptr: Ints  # (rows + 1,) int64
    lo: Ints  # (runs,) int32, first event index
    hi: Ints  # (runs,) int32, one past the last

    def pairs(self) -> int:
        """Number of exposed (row, event time) pairs."""
        return int(np.sum(self.hi, dtype=np.int64) - np.sum(self.lo, dtype=np.int64))


def build_steps(
    terms: Sequence[Records], n_subjects: int, origin: float, last: int, window: int
) -> Steps:
    """Sum the records of each term and subject.

    Parameters
    ----------
    origin : float
        First event time: times are counted from it.
    last : int
        Last event time, counted from ``origin``.
    window : int
        Longest cutoff; what lies further back reaches no event time.
    """
    ptrs, times, levels = [], [], []
    offset = 0
    for term in terms:
        start = np.clip(term.start - origin, -window, last).astype(np.int32)
        stop = np.clip(term.stop - origin, -window, last).astype(np.int32)
        keep = stop > start
        subject, dose = term.subject, term.dose
        if not keep.all():
            subject, dose = subject[keep], dose[keep]
            start, stop = start[keep], stop[keep]
        ptr, time, level = _summed(subject, start, stop, dose, n_subjects)
        ptrs.append(ptr + offset)
        times.append(time)
        levels.append(level)
        offset += time.size
    if not terms:
        return Steps(np.empty(0, np.int64), np.empty(0, np.int32), np.empty(0), 0)
    return Steps(
        np.concatenate(ptrs), np.concatenate(times), np.concatenate(levels), len(ptrs)
    )


def _summed(
    subject: Ints, start: Ints, stop: Ints, dose: Floats, n_subjects: int
) -> tuple[Ints, Ints, Floats]:
    """Steps of one term: positions by subject, time, level.

    In slices of subjects where records are sorted by subject, as they usually are.
    """
    kernel = load_kernels(RECORDS).build_steps
    cuts, at = np.array([0, n_subjects]), np.array([0, subject.size])
    if subject.size and np.all(subject[1:] >= subject[:-1]):
        marks = subject[_RECORDS_PER_SLICE::_RECORDS_PER_SLICE]
        cuts = np.unique(np.concatenate((cuts, marks)))
        at = np.searchsorted(subject, cuts)
    ptr = np.zeros(n_subjects + 1, np.int64)
    times, levels = [np.empty(0, np.int32)], [np.empty(0)]

    def work(k: int) -> tuple[Ints, Ints, Floats]:
        here = slice(at[k], at[k + 1])
        n = 2 * int(at[k + 1] - at[k])
        own = np.empty(cuts[k + 1] - cuts[k] + 1, np.int64)
        time, level = np.empty(n, np.int32), np.empty(n)
        used = kernel(
            subject[here] - np.int32(cuts[k]), start[here], stop[here], dose[here],
            own.size - 1, own, np.empty(n, np.int64), np.empty(n), time, level,
        )  # fmt: skip
        return own, time[:used], level[:used]

    done = 0

    def reduce(result: tuple[Ints, Ints, Floats]) -> None:
        nonlocal done
        begin = int(cuts[len(times) - 1])
        ptr[begin + 1 : begin + result[0].size] = result[0][1:] + done
        done += result[1].size
        times.append(result[1])
        levels.append(result[2])

    run_slices(work, range(cuts.size - 1), reduce)
    return ptr, np.concatenate(times), np.concatenate(levels)


def find_runs(risk: RiskSet, subject: Ints, tev: Ints, steps: Steps, cut: Ints) -> Runs:
    """Exposed runs of every row for windows of ``cut`` units (one per term)."""
    n = risk.lo.size
    if steps.n_terms == 0 or steps.time.size == 0:
        none = np.empty(0, np.int32)
        return Runs(np.zeros(n + 1, np.int64), none, none)
    real = tev.dtype.kind == "f"
    kernel = load_kernels(REAL if real else RECORDS).exposed_runs
    count = np.empty(n, np.int64)
    parts: list[tuple[Ints, Ints]] = []

    def look(span: tuple[int, int]) -> tuple[Ints, Ints]:
        room = span[1] - span[0]
        while True:
            lo, hi = np.empty(room, np.int32), np.empty(room, np.int32)
            found = kernel(
                span[0], span[1], risk.lo, risk.hi, subject, tev,
                steps.ptr, steps.time, steps.level, cut, count, lo, hi,
                np.empty(steps.n_terms, np.int64),
            )  # fmt: skip
            if found <= room:
                return lo[:found].copy(), hi[:found].copy()
            room = found

    run_slices(look, row_slices(n), parts.append)
    ptr = np.zeros(n + 1, np.int64)
    np.cumsum(count, out=ptr[1:])
    none = np.empty(0, np.int32)
    return Runs(
        ptr,
        np.concatenate([none, *(lo for lo, _ in parts)]),
        np.concatenate([none, *(hi for _, hi in parts)]),
    )


def row_slices(n: int) -> list[tuple[int, int]]:
    """Ranges of rows of a fixed size."""
    cuts = [*range(0, n, _ROWS_PER_SLICE), n]
    return list(zip(cuts[:-1], cuts[1:]))
