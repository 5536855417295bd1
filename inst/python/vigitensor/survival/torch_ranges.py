"""Unexposed ranges of event indices, over which a row's risk does not change.

As in ``kernels_risk``: with 2^k the smallest aligned block that holds a and
b - 1, the range [a, b) is a piece up to the block's middle and a piece from it.
Nothing is ever subtracted, so one very large risk leaves no rounding error in
the risk sets after it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .exposure import Runs
from .riskset import RiskSet
from .torch_segments import Placed, SegmentPlan, plan_segments


@dataclass(frozen=True)
class Level:
    """One level of the table of ranges."""

    cells: tuple[int, int]  # which of the cells with a sum belong to it
    ranges: tuple[int, int]  # which of the ranges


@dataclass(frozen=True)
class Ranges:
    """Ranges sorted by their level, and the sums over rows that they ask for."""

    row: Placed  # (ranges,) int32
    a: Placed  # (ranges,) int32 first event index
    z: Placed  # (ranges,) int32 last event index
    cell: Placed  # (cells,) int32 event index of each cell with a sum
    to_cells: SegmentPlan  # rows -> cells
    levels: tuple[Level, ...]
    width: int  # events, rounded up to a power of two


def find_ranges(risk: RiskSet, runs: Runs) -> Ranges:
    """Where rows are at risk without a dose in their window."""
    n = risk.lo.size
    rows = np.arange(n)
    size = np.diff(runs.ptr)
    run_row = np.repeat(rows, size)
    run_at = np.arange(run_row.size) + run_row
    begin = np.empty(n + run_row.size, np.int32)
    end = np.empty_like(begin)
    begin[runs.ptr[:-1] + rows] = risk.lo
    begin[run_at + 1] = runs.hi
    end[run_at] = runs.lo
    end[runs.ptr[1:] + rows] = risk.hi
    keep = begin < end
    row = np.repeat(rows, size + 1)[keep].astype(np.int32)
    a, z = begin[keep], end[keep] - 1
    level = risk.log2[a ^ z].astype(np.int64)
    order = np.argsort(level, kind="stable")
    row, a, z, level = row[order], a[order], z[order], level[order]

    two = level > 0
    key = level * risk.width
    entry = np.concatenate((key + a, (key + z)[two]))
    source = np.concatenate((row, row[two]))
    cells, which = np.unique(entry, return_inverse=True)
    edges = np.arange(risk.levels + 1)
    cell_edge = np.searchsorted(cells, edges * risk.width)
    range_edge = np.searchsorted(level, edges)
    levels = tuple(
        Level(
            (int(cell_edge[k]), int(cell_edge[k + 1])),
            (int(range_edge[k]), int(range_edge[k + 1])),
        )
        for k in range(risk.levels)
    )
    return Ranges(
        row=row,
        a=a,
        z=z,
        cell=(cells % risk.width).astype(np.int32),
        to_cells=plan_segments(which, cells.size, source, n),
        levels=levels,
        width=risk.width,
    )
