"""Fits of data that come in blocks, wherever the blocks are.

``Passes`` is who goes over the blocks: one process that reads them in turn, or the
workers of a cluster. It yields each block's part in the order of the blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np

from .._typing import Floats
from ..pool import one_blas_thread
from . import newton
from .blocks import Index, Plan, Summary, join_blocks
from .likelihood import (
    Lowered,
    Moments,
    MomentSums,
    Point,
    Sum,
    death_risks,
    derivatives,
    event_weights,
    settle,
)
from .newton import Control, Fit
from .penalty import end_of_sample, fit_penalised
from .problem import Problem, lay_out, n_slices, rounding
from .real_times import Basis
from .riskset import Deaths, RiskSet, index_events, no_event, risk_set
from .run import GridResult, prepare
from .smoothing import Penalty
from .warm import Path, share_kept


class Passes(Protocol):
    """Somebody who holds blocks; every answer is in the order of the blocks."""

    def index(self) -> Iterator[Index]:
        """Look at the events."""

    def prepare(self, plan: Plan, first: Sequence[int]) -> Iterator[Summary]:
        """Place the rows; ``first`` is the place of each block's first row."""

    def risks(
        self, design: int, beta: Floats, shift: Floats, exposed: bool
    ) -> Iterator[Floats]:
        """First pass."""

    def moments(
        self, design: int, beta: Floats, shift: Floats, wt: Floats
    ) -> Iterator[MomentSums]:
        """Second pass."""

    def on_blocks(
        self, method: str, common: tuple[Any, ...], own: Sequence[Any]
    ) -> Iterator[Any]:
        """A method of whoever holds a block, with an argument of each block."""

    def close(self) -> None:
        """The fit is over."""


@dataclass(frozen=True)
class OnTheWay:
    """Where a fit was after a step."""

    beta: Floats  # (p,)
    log_lambda: Floats | None = None  # (k,) of a penalised fit


class Progress(Protocol):
    """What a fit leaves behind on its way, and may find there."""

    def begin(self, design: int) -> OnTheWay | Fit | None:
        """The fit of a design, how far it was, or nothing."""

    def step(self, design: int, beta: Floats, log_lambda: Floats | None = None) -> None:
        """Coefficients, and the penalty's parameters, after a step."""

    def done(self, design: int, fit: Fit) -> None:
        """A design's fit."""


class NoProgress:
    """Nothing is kept."""

    def begin(self, design: int) -> OnTheWay | Fit | None:
        """Nothing is there."""
        return None

    def step(self, design: int, beta: Floats, log_lambda: Floats | None = None) -> None:
        """Forget."""

    def done(self, design: int, fit: Fit) -> None:
        """Forget."""


@dataclass(frozen=True)
class Blocked:
    """One design: deaths are here, everybody's rows with ``passes``."""

    passes: Passes
    design: int
    risk: RiskSet  # all deaths, no rows
    death_offset: Floats  # (deaths,)
    death_x: Floats  # (deaths, p)
    n_cov: int
    noise: Floats  # (p,)
    slices: Sequence[Any]
    inequalities: Floats = field(default_factory=lambda: np.empty((0, 1)))
    exposed: bool = True

    @property
    def n_par(self) -> int:
        """Number of parameters."""
        return int(self.death_x.shape[1])

    def unexposed(self) -> Blocked:
        """The same at coefficients of zero."""
        return replace(self, exposed=False)


@np.errstate(all="ignore")
def evaluate(problem: Blocked, beta: Floats) -> Point:
    """First pass; ``down`` of the point is what deaths were lowered by."""
    p, risk = problem, problem.risk
    eta, shift = death_risks(risk, p.death_x @ beta + p.death_offset)
    total = Sum((risk.n_events,))
    for part in p.passes.risks(p.design, beta, shift, p.exposed):
        total.add(part)
    none = np.empty(0)
    return settle(risk, beta, eta, Lowered(none, shift, none), total.value())


@np.errstate(over="ignore", invalid="ignore")
def moments(problem: Blocked, point: Point) -> Moments:
    """Second pass."""
    p, risk = problem, problem.risk
    wt = event_weights(risk, point)
    features = Sum((p.n_par, risk.n_events))
    second, first = Sum((p.n_par, p.n_par)), Sum((p.n_par,))
    for part in p.passes.moments(p.design, point.beta, point.down, wt):
        features.add(part.features)
        second.add(part.second)
        first.add(part.first)
    sums = MomentSums(features.value(), second.value(), first.value())
    return derivatives(risk, p.death_x, p.n_cov, point, sums)


@dataclass(frozen=True)
class Blocks:
    """Blocks that are prepared for some designs."""

    passes: Passes
    plan: Plan
    summaries: list[Summary]
    risk: RiskSet  # all deaths, no rows
    order: Any  # of the blocks' deaths, to sort them by event index
    ties: str
    n_events: int

    def problem(self, design: int, limits: Floats | None = None) -> Blocked:
        """One design."""
        s, order, plan = self.summaries, self.order, self.plan
        largest = lay_out(plan.designs[design])[-1]
        z_size = np.max([part.z_size for part in s], axis=0)
        level = max(part.level for part in s)
        n_pairs = sum(part.pairs[design] for part in s)
        problem = Blocked(
            passes=self.passes,
            design=design,
            risk=self.risk,
            death_offset=np.concatenate([part.offset for part in s])[order],
            death_x=np.concatenate([part.death_x[design] for part in s])[order],
            n_cov=plan.centre.size,
            noise=rounding(z_size, largest * level),
            slices=range(n_slices(sum(part.n_rows for part in s), n_pairs)),
        )
        return problem if limits is None else replace(problem, inequalities=limits)


def prepare_blocks(
    passes: Passes, designs: Sequence[Sequence[Basis]], ties: str
) -> Blocks:
    """The two passes before all others."""
    plan, first, n_events = _plan(list(passes.index()), designs)
    summaries = list(passes.prepare(plan, first))
    risk, order = _all_deaths(plan, summaries, ties)
    return Blocks(passes, plan, summaries, risk, order, ties, n_events)


def fit_blocks(
    passes: Passes,
    designs: Sequence[Sequence[Basis]],
    ties: str,
    control: Control,
    inequalities: Sequence[Floats | None] | None = None,
    progress: Progress | None = None,
    penalties: Sequence[Penalty | None] | None = None,
) -> GridResult:
    """Fit every design, as ``run.fit_grid`` does with all rows at hand."""
    prepared = prepare_blocks(passes, designs, ties)
    return fit_prepared(prepared, control, inequalities, progress, penalties)


def fit_prepared(
    prepared: Blocks,
    control: Control,
    inequalities: Sequence[Floats | None] | None = None,
    progress: Progress | None = None,
    penalties: Sequence[Penalty | None] | None = None,
) -> GridResult:
    """Fit every design of blocks that are prepared."""
    progress = progress or NoProgress()
    plan, summaries = prepared.plan, prepared.summaries
    designs, n = plan.designs, len(plan.designs)
    sample = _sampled(plan, summaries, prepared.ties)
    fits = []
    with one_blas_thread():  # for small matrices more are slower
        path = Path(control, fit_whole=_no_fit, thin=lambda _: None)
        for k, design in enumerate(designs):
            limits = inequalities[k] if inequalities else None
            problem = prepared.problem(k, limits)
            path.fit_whole = _fitter(progress, k)
            path.thin = _thinner(sample, design, limits)
            known = progress.begin(k)
            if isinstance(known, Fit):
                path.carry(known, design, problem.inequalities.size == 0)
                fits.append(known)
                continue
            penalty = penalties[k] if penalties else None
            if penalty is None:
                begin = None if known is None else known.beta
                fits.append(path.fit(problem, design, begin=begin))
            else:
                fits.append(
                    _fit_smooth(problem, control, penalty, known, path.thin, progress)
                )
            progress.done(k, fits[-1])
    return GridResult(
        fits=fits,
        pairs=[sum(s.pairs[k] for s in summaries) for k in range(n)],
        covered=[
            np.any([s.covered[k] for s in summaries], axis=0)
            for k in range(len(designs[0]))
        ],
        n_event_times=prepared.risk.n_events,
        n_events=prepared.n_events,
        exposed_events=sum(s.exposed_deaths for s in summaries),
    )


def _plan(
    parts: Sequence[Index], designs: Sequence[Sequence[Basis]]
) -> tuple[Plan, list[int], int]:
    rows = np.array([part.n_rows for part in parts])
    n_events = sum(part.n_deaths for part in parts)
    if n_events == 0:
        raise no_event()
    events = index_events(
        np.concatenate([part.time for part in parts]),
        np.concatenate([part.stratum for part in parts]),
    )
    n = int(rows.sum())
    centre = np.sum([part.total for part in parts], axis=0) / n
    plan = Plan(events, centre, designs, share_kept(n, n_events))
    return plan, [0, *np.cumsum(rows)[:-1].tolist()], n_events


def _all_deaths(
    plan: Plan, summaries: Sequence[Summary], ties: str
) -> tuple[RiskSet, Any]:
    """Deaths of all blocks in the order of their times, and that order."""
    event = np.concatenate([s.deaths.event for s in summaries])
    weight = np.concatenate([s.deaths.weight for s in summaries])
    order = np.argsort(event, kind="stable")
    none = np.zeros(0, np.int32)
    # Positions among the rows mean nothing here.
    row = np.zeros(event.size, np.int32)
    deaths = Deaths(row, event[order], weight[order])
    return risk_set(plan.events, none, none, none, deaths, ties), order


def _sampled(plan: Plan, summaries: Sequence[Summary], ties: str) -> Any:
    blocks = [s.sample for s in summaries if s.sample is not None]
    if not blocks:
        return None
    block = join_blocks(blocks)
    return prepare(block.rows, block.n_subjects, block.terms, plan.designs, ties)


def _fitter(progress: Progress, design: int) -> Callable[..., Fit]:
    def fit(problem: Blocked, control: Control, begin: Floats | None = None) -> Fit:
        return newton.fit(
            problem, control, evaluate, moments, begin=begin,
            report=lambda beta: progress.step(design, beta),
        )  # fmt: skip

    return fit


def _fit_smooth(
    problem: Blocked,
    control: Control,
    penalty: Penalty,
    known: OnTheWay | None,
    thin: Callable[[Any], Problem | None],
    progress: Progress,
) -> Fit:
    """As ``penalty.fit_thinned_first``, or on from where a fit was."""
    begin, rho = None, penalty.log_lambda
    if known is not None:
        begin, rho = known.beta, known.log_lambda
    elif len(problem.slices) > 1:
        part = thin(problem)
        near = None if part is None else end_of_sample(part, control, penalty)
        if near is not None:
            begin, rho = near
    return fit_penalised(
        problem, control, replace(penalty, log_lambda=rho), evaluate, moments, begin,
        report=lambda beta, rho: progress.step(problem.design, beta, rho),
    )  # fmt: skip


def _thinner(
    sample: Any, design: Sequence[Basis], limits: Floats | None
) -> Callable[[Any], Problem | None]:
    def thin(_: Any) -> Problem | None:
        if sample is None:
            return None
        problem: Problem = sample.problem(design)
        if limits is not None:
            problem = replace(problem, inequalities=limits)
        return problem if problem.n_par else None

    return thin


def _no_fit(*_: Any, **__: Any) -> Fit:
    raise AssertionError("set before it is used")
