"""A grid of designs fitted to one data set, sharing what they have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .._typing import Bools, Floats, Ints
from ..pool import one_blas_thread
from . import exposure
from .coverage import covered_lags
from .newton import Control, Fit
from .newton import fit as fit_here
from .penalty import fit_thinned_first
from .problem import Problem, build_problem
from .real_times import Basis, Curve, covered_cells, real_steps, window_of
from .riskset import RiskSet, build_risk_set, whole_times
from .smoothing import Penalty
from .warm import Path


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


@dataclass(frozen=True)
class Data:
    """What the fits of a grid share."""

    risk: RiskSet
    subject: Ints  # (n,) of the rows at risk, like the next three
    weight: Floats  # (n,)
    offset: Floats  # (n,)
    z: Floats  # (n, q) covariates less their means
    z_size: Floats  # (q,) largest of each covariate before that
    tev: Ints  # (events,) int32 event times, counted from the first
    steps: exposure.Steps
    longest: tuple[float, ...]  # longest cutoff of each term
    runs: dict[tuple[float, ...], exposure.Runs]  # by the cutoffs of the terms

    def problem(self, design: Sequence[Basis]) -> Problem:
        """One design laid out for the likelihood."""
        return build_problem(
            self.risk, self.subject, self.weight, self.offset, self.z, self.z_size,
            self.tev, self.steps, self.runs[cutoffs(design)], design,
        )  # fmt: skip


def cutoffs(design: Sequence[Basis]) -> tuple[float, ...]:
    """Window of each term."""
    return tuple(window_of(basis) for basis in design)


def prepare(
    rows: Rows,
    n_subjects: int,
    terms: Sequence[exposure.Records],
    designs: Sequence[Sequence[Basis]],
    ties: str,
) -> Data:
    """Index risk sets, sum records, find the exposed runs of every window."""
    risk = build_risk_set(
        rows.start, rows.stop, rows.event, rows.stratum, rows.weight, ties=ties
    )
    return arrange(rows, risk, n_subjects, terms, designs)


def arrange(
    rows: Rows,
    risk: RiskSet,
    n_subjects: int,
    terms: Sequence[exposure.Records],
    designs: Sequence[Sequence[Basis]],
    centre: Floats | None = None,
) -> Data:
    """What is prepared of rows whose place among the event times is known.

    ``centre`` (q,) is taken off the covariates: the means of these rows, unless
    they are only a part of a data set.
    """
    everybody = risk.rows.size == rows.start.size
    pick: Any = slice(None) if everybody else risk.rows
    z = np.empty((risk.rows.size, rows.x.shape[1]))
    z_size = np.zeros(z.shape[1])
    for c in range(z.shape[1]):
        column = rows.x[pick, c]
        z_size[c] = max(column.max(initial=0), -column.min(initial=0))
        # coefficients stay, sums lose less
        z[:, c] = column - (column.mean() if centre is None else centre[c])
    subject = rows.subject[pick]
    tev: Ints = np.zeros(risk.n_events, np.int32)
    origin = 0.0
    real = any(isinstance(basis, Curve) for basis in designs[0])
    if real:
        tev = risk.time
    elif terms:
        tev, origin = whole_times(risk)
    windows = {cutoffs(design) for design in designs}
    longest = tuple(max(cuts) for cuts in zip(*windows))
    most = max(longest, default=0)
    if real:
        steps = real_steps(terms, n_subjects, tev, most)
    else:
        steps = exposure.build_steps(
            terms, n_subjects, origin, int(tev.max()), int(most)
        )
    of = np.float64 if real else np.int32
    runs = {
        cuts: exposure.find_runs(risk, subject, tev, steps, np.array(cuts, of))
        for cuts in {*windows, longest}
    }
    return Data(
        risk, subject, rows.weight[pick], rows.offset[pick], z, z_size,
        tev, steps, longest, runs,
    )  # fmt: skip


def fit_grid(
    rows: Rows,
    n_subjects: int,
    terms: Sequence[exposure.Records],
    designs: Sequence[Sequence[Basis]],
    ties: str,
    control: Control,
    fit: Callable[[Problem, Control], Fit] = fit_here,
    inequalities: Sequence[Floats | None] | None = None,
    penalties: Sequence[Penalty | None] | None = None,
    fit_smooth: Callable[[Problem, Control, Penalty], Fit] = fit_thinned_first,
) -> GridResult:
    """Fit every design: per term its cumulated basis table, (m + 1, J).

    ``fit`` is how an engine maximises a likelihood, ``fit_smooth`` a penalised one;
    ``inequalities`` holds each design's rows A of A beta >= 0, or None, and
    ``penalties`` the penalty of each, or None.
    """
    data = prepare(rows, n_subjects, terms, designs, ties)
    risk, widest = data.risk, data.runs[data.longest]
    with one_blas_thread():  # for small matrices more are slower
        if penalties:
            fits = [
                _fit_smooth(data.problem(design), control, penalty, fit, fit_smooth)
                for design, penalty in zip(designs, penalties)
            ]
        else:
            fits = _fit_all(data, designs, control, fit, inequalities)
    return GridResult(
        fits=fits,
        pairs=[data.runs[cutoffs(design)].pairs() for design in designs],
        covered=[
            lags_covered(data, term, k, m)
            for k, (term, m) in enumerate(zip(terms, data.longest))
        ],
        n_event_times=risk.n_events,
        n_events=int(np.count_nonzero(rows.event[rows.weight > 0])),
        exposed_events=exposed_deaths(risk.death_row, risk.death_event, widest),
    )


def _fit_all(
    data: Data,
    designs: Sequence[Sequence[Basis]],
    control: Control,
    fit: Callable[[Problem, Control], Fit],
    inequalities: Sequence[Floats | None] | None,
) -> list[Fit]:
    fits: list[Fit] = []
    path = Path(control)
    for k, design in enumerate(designs):
        problem = data.problem(design)
        limits = inequalities[k] if inequalities else None
        if limits is not None:
            problem = replace(problem, inequalities=limits)
        if fit is fit_here:
            fits.append(path.fit(problem, design))
        else:  # another engine's
            fits.append(fit(problem, control))
    return fits


def _fit_smooth(
    problem: Problem,
    control: Control,
    penalty: Penalty | None,
    fit: Callable[[Problem, Control], Fit],
    fit_smooth: Callable[[Problem, Control, Penalty], Fit],
) -> Fit:
    if penalty is None:
        return fit(problem, control)
    return fit_smooth(problem, control, penalty)


def lags_covered(data: Data, term: exposure.Records, k: int, longest: float) -> Bools:
    """Lags covered by one term's doses; with real times, which of its cells."""
    if data.tev.dtype.kind != "f":
        return covered_lags(
            data.risk, data.subject, data.tev, data.steps, k, int(longest)
        )
    cells = np.array([0.0, longest]) if term.cells is None else term.cells
    return covered_cells(data.risk, data.subject, data.tev, data.steps, k, cells)


def exposed_deaths(row: Ints, event: Ints, runs: exposure.Runs) -> int:
    """Deaths whose event index lies in an exposed run of their row.

    A death is at the end of its row's range, so only the last run can hold it.
    """
    begin, end = runs.ptr[row], runs.ptr[row + 1]
    has = end > begin
    return int(np.count_nonzero(runs.hi[end[has] - 1] == event[has] + 1))
