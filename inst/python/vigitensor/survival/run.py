"""A grid of designs fitted to one data set, sharing what they have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .._typing import Bools, Floats, Ints
from . import exposure
from .coverage import covered_lags
from .likelihood import build_problem
from .newton import Control, Fit, fit
from .riskset import build_risk_set, whole_times


@dataclass(frozen=True)
class Rows:
    """Person rows (start, stop]; codes 0-based."""

    start: Floats  # (n,)
    stop: Floats  # (n,)
    event: Ints  # (n,) 0 or 1
    stratum: Ints  # (n,) int32
    subject: Ints  # (n,) int32
    offset: Floats  # (n,)
    weight: Floats  # (n,)
    x: Floats  # (n, q), any order


@dataclass(frozen=True)
class GridResult:
    """Fits in the order of the designs, and what the data cover."""

    fits: list[Fit]
    pairs: list[int]  # exposed pairs of each design
    covered: list[Bools]  # per term, for its longest cutoff
    n_event_times: int
    n_events: int
    exposed_events: int  # with a dose in a longest window


def fit_grid(
    rows: Rows,
    n_subjects: int,
    terms: Sequence[exposure.Records],
    designs: Sequence[Sequence[Floats]],
    ties: str,
    control: Control,
) -> GridResult:
    """Fit every design: per term its cumulated basis table, (m + 1, J)."""
    risk = build_risk_set(
        rows.start, rows.stop, rows.event, rows.stratum, rows.weight, ties=ties
    )
    pick = risk.rows
    subject, weight, offset = rows.subject[pick], rows.weight[pick], rows.offset[pick]
    z = np.ascontiguousarray(rows.x[pick])
    if z.size:
        z -= z.mean(axis=0)  # coefficients stay, sums lose less
    tev = np.zeros(risk.n_events, np.int32)
    origin = 0.0
    cuts = [tuple(len(table) - 1 for table in design) for design in designs]
    longest = np.array([max(c) for c in zip(*cuts)], np.int32)
    if terms:
        tev, origin = whole_times(risk)
    steps = exposure.build_steps(
        terms, n_subjects, origin, int(tev.max()), int(longest.max(initial=0))
    )
    runs = {
        cut: exposure.find_runs(risk, subject, tev, steps, np.array(cut, np.int32))
        for cut in {*cuts, tuple(longest.tolist())}
    }
    fits = [
        fit(
            build_problem(
                risk, subject, weight, offset, z, tev, steps, runs[cut], design
            ),
            control,
        )
        for cut, design in zip(cuts, designs)
    ]
    widest = runs[tuple(longest.tolist())]
    return GridResult(
        fits=fits,
        pairs=[runs[cut].pairs() for cut in cuts],
        covered=[
            covered_lags(risk, subject, tev, steps, k, int(m))
            for k, m in enumerate(longest)
        ],
        n_event_times=risk.n_events,
        n_events=int(np.count_nonzero(rows.event)),
        exposed_events=_exposed_deaths(risk.death_row, risk.death_event, widest),
    )


def _exposed_deaths(row: Ints, event: Ints, runs: exposure.Runs) -> int:
    """Deaths whose event index lies in an exposed run of their row.

    A death is at the end of its row's range, so only the last run can hold it.
    """
    begin, end = runs.ptr[row], runs.ptr[row + 1]
    has = end > begin
    return int(np.count_nonzero(runs.hi[end[has] - 1] == event[has] + 1))
