"""Residuals and bootstrap replicates of data that come in blocks.

One pass at the coefficients of a fit gives every block's residuals. Replicates go
through the blocks many together, as in memory: deaths are here, and a block is
sent the weights of its own subjects.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .._typing import Bools, Floats
from ..pool import one_blas_thread
from . import many, newton
from .blocked import Blocked, Blocks, evaluate, moments
from .blocks_results import BlockScores, Wanted
from .exposure import Runs, Steps
from .likelihood import Moments, Point, Sum, over_deaths
from .many_pass import (
    Replicate,
    finish_risks,
    finish_seconds,
    lower_deaths,
)
from .newton import Control, Fit
from .problem import Problem, lay_out
from .scores import RowDeaths, score_lines


@dataclass(frozen=True)
class Place:
    """A fit's coefficients, and all that is summed there."""

    problem: Blocked
    point: Point
    at: Moments


def place_of(prepared: Blocks, design: int, beta: Floats) -> Place:
    """Two passes at coefficients (p,), which are 0 where they were dropped."""
    problem = prepared.problem(design)
    with one_blas_thread():
        point = evaluate(problem, beta)
        if not np.isfinite(point.loglik):
            raise ValueError("the coefficients have no likelihood")
        return Place(problem, point, moments(problem, point))


def scores(prepared: Blocks, place: Place, wanted: Wanted) -> Iterator[BlockScores]:
    """Residuals, block by block."""
    p, point = place.problem, place.point
    lines = score_lines(p.risk, p.death_x, point, place.at.xbar)
    own = [
        (RowDeaths(s.deaths.row, s.deaths.event, s.death_x[p.design]), s.n_subjects)
        for s in prepared.summaries
    ]
    common = (p.design, point.beta, point.down, lines, wanted)
    return p.passes.on_blocks("scores", common, own)


def meat(prepared: Blocks, design: int, fit: Fit, by_group: bool) -> Floats:
    """Squares of the scores of subjects, or of groups of them, summed: (p, p)."""
    place = place_of(prepared, design, np.nan_to_num(fit.coefficients, nan=0.0))
    return _meat_at(prepared, place, by_group)


def at_zero(prepared: Blocks, design: int, robust: str) -> dict[str, Floats]:
    """For score tests: ``score`` (p,) and ``info`` (p, p) at zero, and ``meat``.

    ``robust`` says whose scores are squared: "no" (nobody's), "subjects", "groups".
    """
    place = place_of(prepared, design, np.zeros(prepared.problem(design).n_par))
    found = {"score": place.at.score, "info": place.at.info}
    if robust != "no":
        found["meat"] = _meat_at(prepared, place, robust == "groups")
    return found


def _meat_at(prepared: Blocks, place: Place, by_group: bool) -> Floats:
    wanted = Wanted("groups" if by_group else "meat", weighted=True)
    p = place.problem.n_par
    if not by_group:
        total = Sum((p, p))
        for part in scores(prepared, place, wanted):
            total.add(part.score)
        return total.value()
    return _squares(scores(prepared, place, wanted), p)


def _squares(parts: Iterator[BlockScores], p: int) -> Floats:
    """A group may have people in several blocks."""
    sums = np.zeros((0, p))
    for part in parts:
        size = int(part.groups.max(initial=-1)) + 1
        if size > len(sums):
            sums = np.concatenate((sums, np.zeros((size - len(sums), p))))
        sums[part.groups] += part.score
    out: Floats = sums.T @ sums
    return out


# ---- replicates -------------------------------------------------------------


class ManyPasses:
    """Passes of replicates over blocks; see ``many_pass.Passes``."""

    together = 32

    def __init__(
        self,
        place: Place,
        deaths: Problem,
        weights: Floats,
        cuts: Sequence[int],
        top: float,
    ) -> None:
        self._place, self._deaths, self._top = place, deaths, top
        self._weights, self._cuts = weights, cuts

    def evaluate(self, replicates: Sequence[Replicate], informed: bool) -> None:
        """Log-likelihood and score at the coefficients."""
        lowered = lower_deaths(self._deaths, replicates, self._top)
        downs = np.array([down for _, down in lowered])
        found = self._pass("many_risks", replicates, (downs,))
        finish_risks(self._deaths, self._top, replicates, lowered, found)

    def informations(self, replicates: Sequence[Replicate]) -> None:
        """Information where ``evaluate`` left the replicates."""
        if not replicates:
            return
        points = [r.point for r in replicates]
        assert all(point is not None for point in points)
        downs = np.array([point.down for point in points if point is not None])
        wts = np.array(
            [
                over_deaths(r.risk, r.point.phi) / r.point.s0
                for r in replicates
                if r.point is not None
            ]
        )
        found = self._pass("many_seconds", replicates, (downs, wts))
        finish_seconds(self._deaths, replicates, found)

    def _pass(
        self, method: str, replicates: Sequence[Replicate], lines: tuple[Floats, ...]
    ) -> list[Floats]:
        p = self._place.problem
        rows = [r.index for r in replicates]
        betas = np.array([r.beta for r in replicates])
        own = [
            _narrow(self._weights[rows, a:b])
            for a, b in zip(self._cuts[:-1], self._cuts[1:])
        ]
        totals: list[Sum] = []
        common = (p.design, betas, *lines, self._top)
        for part in p.passes.on_blocks(method, common, own):
            if not totals:
                totals = [Sum(sums.shape) for sums in part]
            for total, sums in zip(totals, part):
                total.add(sums)
        return [total.value() for total in totals]


def _narrow(weights: Floats) -> Any:
    """Numbers of draws in a byte each."""
    if weights.size and weights.max() < 256:
        small = weights.astype(np.uint8)
        if np.array_equal(small, weights):
            return small
    return np.ascontiguousarray(weights)


def fit_many_blocks(
    prepared: Blocks,
    given: Floats,
    weights: Callable[[int], Floats],
    method: str,
    control: Control,
    refit: Callable[[Floats], Fit],
    limits: Floats | None = None,
    theta: Floats | None = None,
) -> many.ManyFits:
    """Replicates of the first design, as ``many.fit_many`` with all rows.

    ``given`` (p,): coefficients of the fit, 0 where dropped; ``weights`` gives
    (replicates, subjects) for a number of subjects; ``theta`` (p,): less theta
    beta^2 / 2.
    """
    place = place_of(prepared, 0, given)
    parts = list(scores(prepared, place, Wanted("subjects", weighted=True)))
    cuts = [0, *np.cumsum([s.n_subjects for s in prepared.summaries]).tolist()]
    problem, at = place.problem, place.at
    theta = np.zeros(given.size) if theta is None else theta
    kept: Bools = (given != 0) | newton.kept_columns(problem, at, control) | (theta > 0)
    var = many.inverse(at.info + np.diag(theta), kept)
    if var is None:
        raise ValueError("the information is singular")
    deaths = _only_deaths(prepared, problem, cuts, limits)
    top = max(part.top for part in parts)
    full = many.FullFit(
        deaths, prepared.ties, given, kept, var,
        np.concatenate([part.score for part in parts]), theta,
    )  # fmt: skip
    drawn = weights(cuts[-1])
    passes = ManyPasses(place, deaths, drawn, cuts, top)

    with one_blas_thread():
        return many.fit_many(full, drawn, method, refit, passes)


def with_event(prepared: Blocks) -> Bools:
    """Which subjects of all blocks have an event, (subjects,)."""
    found = []
    for s in prepared.summaries:
        dead = np.zeros(s.n_subjects, bool)
        dead[s.death_subject] = True
        found.append(dead)
    return np.concatenate(found)


def _only_deaths(
    prepared: Blocks, problem: Blocked, cuts: Sequence[int], limits: Floats | None
) -> Problem:
    """What replicates look at of everybody: a problem whose rows are the deaths."""
    s, order = prepared.summaries, prepared.order
    n = order.size
    subject = np.concatenate(
        [part.death_subject + np.int64(cut) for part, cut in zip(s, cuts)]
    )[order]
    ctab, cut, col_ptr, head, _ = lay_out(prepared.plan.designs[problem.design])
    risk = replace(problem.risk, death_row=np.arange(n, dtype=np.int32))
    none = np.zeros(0, np.int32)
    out = Problem(
        risk, subject.astype(np.int64), risk.death_weight, problem.death_offset,
        np.ascontiguousarray(problem.death_x[:, : problem.n_cov]), none,
        Steps(np.zeros(1, np.int64), none, np.zeros(0), 0),
        Runs(np.zeros(n + 1, np.int64), none, none), cut, col_ptr, ctab,
        problem.death_x, problem.noise, [], head=head,
    )  # fmt: skip
    return out if limits is None else replace(out, inequalities=limits)
