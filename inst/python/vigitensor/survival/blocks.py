"""The partial likelihood of a data set in blocks of subjects.

Every sum over rows is a sum over blocks of sums over their rows, so a block gives
small arrays and keeps its rows: at each event time S0 in the first pass and S1 in
the second, with the rows' second moments. These are added in the order of the
blocks, whoever computed them and when: blocks read from disk one after the other
and blocks on many machines have the same result, to the last bit.

Two passes prepare: ``index`` finds the event times, ``prepare`` places the rows
among them. What blocks have in common is the ``Plan``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .._typing import Bools, Floats, Ints
from . import likelihood
from .exposure import Records, Runs, Steps
from .problem import Problem, cut_slices, lay_out
from .real_times import Basis
from .riskset import (
    Deaths,
    EventTimes,
    RiskSet,
    index_events,
    part_of_risk_set,
    place_rows,
)
from .run import Data, Rows, arrange, cutoffs, exposed_deaths, lags_covered
from .warm import in_sample

Window = tuple[float, ...]


@dataclass(frozen=True)
class Block:
    """All rows and records of some subjects."""

    rows: Rows
    n_subjects: int
    terms: list[Records]


@dataclass(frozen=True)
class Index:
    """What a block says before event times are known."""

    time: Floats  # (k,) its event times, each once in a stratum
    stratum: Ints  # (k,)
    n_rows: int
    n_deaths: int
    total: Floats  # (q,) sums of the covariates


@dataclass(frozen=True)
class Plan:
    """What the blocks of a fit have in common."""

    events: EventTimes
    centre: Floats  # (q,) taken off the covariates
    designs: Sequence[Sequence[Basis]]
    share: int  # one row in so many is in the sample to begin with; 0: none


@dataclass(frozen=True)
class Summary:
    """What of a prepared block everybody needs."""

    deaths: Deaths  # positions count within the block
    offset: Floats  # (deaths,)
    death_x: list[Floats]  # by design, (deaths, p)
    z_size: Floats  # (q,)
    level: float  # largest dose
    pairs: list[int]  # by design
    covered: list[Bools]  # by term
    exposed_deaths: int
    n_rows: int  # at risk
    n_subjects: int
    death_subject: Ints  # (deaths,) within the block
    sample: Block | None


@dataclass(frozen=True)
class Prepared:
    """A block whose rows are placed; what passes over it read."""

    lo: Ints
    hi: Ints
    subject: Ints
    weight: Floats
    offset: Floats
    z: Floats
    steps: Steps
    runs: dict[Window, Runs]
    slices: dict[Window, Ints]  # (k, 2)

    def size(self) -> int:
        """Bytes."""
        return sum(column.nbytes for column in self.columns().values())

    def columns(self) -> dict[str, Any]:
        """As arrays by name, to be kept on disk."""
        out: dict[str, Any] = {
            name: getattr(self, name)
            for name in ("lo", "hi", "subject", "weight", "offset", "z")
        }
        for name in ("ptr", "time", "level"):
            out[f"steps.{name}"] = getattr(self.steps, name)
        for number, window in enumerate(sorted(self.runs)):
            for name in ("ptr", "lo", "hi"):
                out[f"runs{number}.{name}"] = getattr(self.runs[window], name)
            out[f"slices{number}"] = self.slices[window]
        return out


def from_columns(columns: dict[str, Any], plan: Plan) -> Prepared:
    """What ``Prepared.columns`` gave."""
    c = columns
    windows = list(enumerate(sorted(_windows(plan))))
    steps = Steps(
        c["steps.ptr"], c["steps.time"], c["steps.level"], len(plan.designs[0])
    )
    runs = {
        window: Runs(c[f"runs{k}.ptr"], c[f"runs{k}.lo"], c[f"runs{k}.hi"])
        for k, window in windows
    }
    slices = {window: c[f"slices{k}"] for k, window in windows}
    return Prepared(
        c["lo"], c["hi"], c["subject"], c["weight"], c["offset"], c["z"],
        steps, runs, slices,
    )  # fmt: skip


def _windows(plan: Plan) -> set[Window]:
    windows = {cutoffs(design) for design in plan.designs}
    return {*windows, tuple(max(cuts) for cuts in zip(*windows))}


def index_block(block: Block) -> Index:
    """Look at a block's events, before anything else."""
    rows = block.rows
    counts = np.flatnonzero((rows.event != 0) & (rows.weight > 0))
    found = index_events(rows.stop[counts], rows.stratum[counts])
    return Index(
        time=found.time,
        stratum=(found.keys // (found.times.size + 1)).astype(np.int32),
        n_rows=int(np.count_nonzero(rows.weight > 0)),
        n_deaths=counts.size,
        total=rows.x.sum(axis=0),
    )


def prepare_block(
    block: Block, plan: Plan, first: int, details: bool = True
) -> tuple[Prepared, Summary | None]:
    """Place a block's rows; the first of them is the ``first`` of the data set.

    Without ``details`` there is no summary.
    """
    rows = block.rows
    placed, lo, hi, deaths = place_rows(
        plan.events, rows.start, rows.stop, rows.event, rows.stratum, rows.weight
    )
    risk = part_of_risk_set(plan.events, placed, lo, hi, deaths)
    data = arrange(rows, risk, block.n_subjects, block.terms, plan.designs, plan.centre)
    slices = {
        window: np.array(cut_slices(runs, lo.size), np.int64).reshape(-1, 2)
        for window, runs in data.runs.items()
    }
    prepared = Prepared(
        lo, hi, data.subject, data.weight, data.offset, data.z, data.steps,
        data.runs, slices,
    )  # fmt: skip
    if not details:
        return prepared, None
    widest = data.runs[data.longest]
    return prepared, Summary(
        deaths=deaths,
        offset=data.offset[deaths.row],
        death_x=[data.problem(design).death_x for design in plan.designs],
        z_size=data.z_size,
        level=float(np.abs(data.steps.level).max(initial=0)),
        pairs=[data.runs[cutoffs(design)].pairs() for design in plan.designs],
        covered=[
            lags_covered(data, term, k, window)
            for k, (term, window) in enumerate(zip(block.terms, data.longest))
        ],
        exposed_deaths=exposed_deaths(deaths.row, deaths.event, widest),
        n_rows=lo.size,
        n_subjects=block.n_subjects,
        death_subject=data.subject[deaths.row],
        sample=_sample(block, first, plan.share) if plan.share else None,
    )


def _sample(block: Block, first: int, share: int) -> Block:
    """Rows with an event, some others with weights for those left out."""
    rows = block.rows
    counts = rows.weight > 0
    place = np.cumsum(counts) - 1
    # `first` counts rows that count; the pattern is that of the whole data set.
    picked = in_sample(first, int(counts.sum()), share)[np.maximum(place, 0)]
    died = rows.event != 0
    at = np.flatnonzero(counts & (picked | died))
    subjects, code = np.unique(rows.subject[at], return_inverse=True)
    new_code = np.full(block.n_subjects, -1, np.int32)
    new_code[subjects] = np.arange(subjects.size, dtype=np.int32)
    weight = rows.weight[at] * np.where(died[at], 1.0, float(share))
    terms = []
    for term in block.terms:
        keep = np.flatnonzero(new_code[term.subject] >= 0)
        start, stop, dose = term.start[keep], term.stop[keep], term.dose[keep]
        subject = new_code[term.subject[keep]]
        terms.append(Records(subject, start, stop, dose, term.cells))
    return Block(
        Rows(
            rows.start[at], rows.stop[at], rows.event[at], rows.stratum[at],
            code.astype(np.int32), rows.offset[at], weight, rows.x[at],
        ),
        subjects.size,
        terms,
    )  # fmt: skip


def join_blocks(blocks: Sequence[Block]) -> Block:
    """Blocks of different subjects as one."""
    begin = np.concatenate(([0], np.cumsum([b.n_subjects for b in blocks])))

    def shifted(codes: Sequence[Ints]) -> Ints:
        parts = [c + np.int32(b) for c, b in zip(codes, begin)]
        out: Ints = np.concatenate(parts)
        return out

    names = ("start", "stop", "event", "stratum", "offset", "weight", "x")
    joined = {
        name: np.concatenate([getattr(b.rows, name) for b in blocks]) for name in names
    }
    terms = []
    for k, term in enumerate(blocks[0].terms):
        of_term = [b.terms[k] for b in blocks]
        start, stop, dose = (
            np.concatenate([getattr(t, name) for t in of_term])
            for name in ("start", "stop", "dose")
        )
        subject = shifted([t.subject for t in of_term])
        terms.append(Records(subject, start, stop, dose, term.cells))
    subject = shifted([b.rows.subject for b in blocks])
    return Block(Rows(subject=subject, **joined), int(begin[-1]), terms)


@dataclass(frozen=True)
class Shared:
    """What every block of a plan needs of it, computed once."""

    risk: RiskSet  # without rows
    tev: Ints
    layouts: list[Any]  # by design


def share_plan(plan: Plan) -> Shared:
    """What passes take from the plan."""
    no_deaths = Deaths(np.zeros(0, np.int32), np.zeros(0, np.int32), np.zeros(0))
    none = np.zeros(0, np.int32)
    risk = part_of_risk_set(plan.events, none, none, none, no_deaths)
    empty = Rows(
        np.zeros(0), np.zeros(0), none, none, none, np.zeros(0), np.zeros(0),
        np.zeros((0, plan.centre.size)),
    )  # fmt: skip
    nothing = Records(none, np.zeros(0), np.zeros(0), np.zeros(0))
    terms = [nothing] * len(plan.designs[0])
    data: Data = arrange(empty, risk, 0, terms, plan.designs, plan.centre)
    return Shared(risk, data.tev, [lay_out(design) for design in plan.designs])


def part_of_problem(
    block: Prepared, plan: Plan, shared: Shared, design: int
) -> Problem:
    """One design on one block, for passes over it."""
    ctab, cut, col_ptr, head, _ = shared.layouts[design]
    window = cutoffs(plan.designs[design])
    return Problem(
        replace(shared.risk, lo=block.lo, hi=block.hi), block.subject, block.weight,
        block.offset, block.z, shared.tev, block.steps, block.runs[window], cut,
        col_ptr, ctab, np.zeros((0, block.z.shape[1] + ctab.shape[0])), np.zeros(0),
        [tuple(span) for span in block.slices[window].tolist()], head=head,
    )  # fmt: skip


def risks(problem: Problem, beta: Floats, shift: Floats, exposed: bool) -> Floats:
    """First pass over one block."""
    if not exposed:
        problem = problem.unexposed()
    low = likelihood.lower(problem, beta, shift)
    return likelihood.risk_sums(problem, beta, low)


def second_moments(
    problem: Problem, beta: Floats, shift: Floats, wt: Floats
) -> likelihood.MomentSums:
    """Second pass over one block."""
    low = likelihood.lower(problem, beta, shift)
    return likelihood.moment_sums(problem, beta, low, wt)
