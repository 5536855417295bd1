"""A data set on a device: rows, deaths, exposed pairs, unexposed ranges.

The layout depends on the windows' lengths, not on the basis: all knots of one
cutoff share it. Features of a basis are made by ``torch_features``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from .._typing import Floats
from .problem import Problem
from .torch_ops import on_device
from .torch_plan import Tiles, lay_out
from .torch_ranges import Ranges, find_ranges
from .torch_segments import SegmentPlan, plan_segments


@dataclass(frozen=True)
class Deaths:
    """Deaths, sorted by event index."""

    row: Tensor  # (deaths,) int32
    event: Tensor  # (deaths,) int32
    to_events: SegmentPlan
    tied: bool


@dataclass(frozen=True)
class Layout:
    """All that passes read and that no parameter changes; arrays on a device."""

    tiles: Tiles
    ranges: Ranges
    z: Tensor  # (n + 1, q), the last row zero
    offset: Tensor  # (n + 1,)
    time: Tensor  # (event blocks, length) int32, or float64 for real times
    step_time: Tensor  # (steps + most in a block,) likewise
    step_change: Tensor  # (steps + most in a block,) change of the dose
    deaths: Deaths
    n_events: int

    @property
    def n_rows(self) -> int:
        """Number of rows at risk somewhere."""
        return int(self.z.shape[0]) - 1


def plan_layout(problem: Problem, chunk_positions: int) -> Layout:
    """Layout of a problem, still on the host, as NumPy arrays."""
    p, risk = problem, problem.risk
    tiles = lay_out(p.runs, p.subject, p.tev, p.steps, p.cut, max(1, chunk_positions))
    time = np.zeros(tiles.n_blocks * tiles.length, p.tev.dtype)
    time[: p.tev.size] = p.tev
    most = max((len(t.reach) for c in tiles.chunks for t in c.terms), default=0) + 1
    arrays: dict[str, Any] = {
        "z": np.append(p.z, np.zeros((1, p.n_cov)), axis=0),
        "offset": np.append(p.offset, 0.0),
        "time": time.reshape(tiles.n_blocks, tiles.length),
        "step_time": np.append(p.steps.time, np.zeros(most, p.steps.time.dtype)),
        "step_change": np.append(_changes(problem), np.zeros(most)),
    }
    deaths: dict[str, Any] = {"row": risk.death_row, "event": risk.death_event}
    return Layout(
        tiles=tiles,
        ranges=find_ranges(risk, p.runs),
        deaths=Deaths(
            **deaths,
            to_events=plan_segments(risk.death_event, risk.n_events),
            tied=risk.tied,
        ),
        n_events=risk.n_events,
        **arrays,
    )


def _changes(problem: Problem) -> Floats:
    """By how much the dose changes at each step."""
    steps = problem.steps
    change = np.diff(steps.level, prepend=0.0)
    first = steps.ptr[:-1][np.diff(steps.ptr) > 0]
    change[first] = steps.level[first]
    return change


def move_layout(layout: Layout, put: Callable[[Any], Tensor]) -> Layout:
    """The layout with its arrays where ``put`` puts them."""
    return on_device(layout, put)
