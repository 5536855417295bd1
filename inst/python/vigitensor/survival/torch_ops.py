"""Sums over segments, rows and ranges of event indices, on any device.

Nothing here looks at a value: sizes come from the plan, so that the host never
waits for the device. ``B`` is the number of problems solved together.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from .torch_device import run_parts
from .torch_ranges import Level, Ranges
from .torch_segments import SegmentPlan

T = TypeVar("T")
# Sums along an axis up to this long are one product with a triangular matrix.
_TRIANGLE = 64


def on_device(plan: T, put: Callable[[Any], Tensor]) -> T:
    """The same plan with its arrays where ``put`` puts them."""
    if isinstance(plan, (np.ndarray, Tensor)):
        return put(plan)  # type: ignore[return-value]
    if isinstance(plan, tuple):
        return tuple(on_device(item, put) for item in plan)  # type: ignore[return-value]
    if dataclasses.is_dataclass(plan) and not isinstance(plan, type):
        fields = {
            f.name: on_device(getattr(plan, f.name), put)
            for f in dataclasses.fields(plan)
        }
        return dataclasses.replace(plan, **fields)
    return plan


def bytes_of(plan: Any) -> int:
    """Memory of all arrays of a plan."""
    if isinstance(plan, np.ndarray):
        return int(plan.nbytes)
    if isinstance(plan, tuple):
        return sum(bytes_of(item) for item in plan)
    if dataclasses.is_dataclass(plan):
        return sum(bytes_of(getattr(plan, f.name)) for f in dataclasses.fields(plan))
    return 0


def with_nothing(x: Tensor, value: float = 0.0) -> Tensor:
    """One more element, which stands for none."""
    return torch.cat((x, x.new_full((1, *x.shape[1:]), value)))


def take(x: Tensor, index: Tensor) -> Tensor:
    """Elements of x (n, ...) by an index of any shape."""
    return x.index_select(0, index.reshape(-1)).reshape(*index.shape, *x.shape[1:])


def segment_sum(plan: SegmentPlan, x: Tensor) -> Tensor:
    """Sums (segments, ...) of x (n + 1, ...), whose last element is zero."""
    if plan.n_segments == 0:
        return x[:0]
    for groups in plan.levels:
        x = with_nothing(torch.cat([take(x, index).sum(1) for index in groups]))
    return take(x, plan.order)


def segment_max(plan: SegmentPlan, x: Tensor) -> Tensor:
    """Largest elements of x (n + 1, ...), whose last element is -inf."""
    for groups in plan.levels:
        parts = torch.cat([take(x, index).amax(1) for index in groups])
        x = with_nothing(parts, -torch.inf)
    return take(x, plan.order)


def segment_moments(plan: SegmentPlan, r: Tensor, z: Tensor, at_once: int) -> Tensor:
    """Sums (segments, B, q) of r (n + 1, B) times z (n + 1, q), row by row.

    At most ``at_once`` rows are gathered at a time.
    """
    parts: list[Tensor] = []
    pieces = [
        piece
        for index in plan.levels[0]
        for piece in index.split(max(1, at_once // index.shape[1]))
    ]

    def work(piece: Tensor) -> Tensor:
        return torch.bmm(take(r, piece).transpose(1, 2), take(z, piece))

    run_parts(work, pieces, z.device, parts.append)
    rest = dataclasses.replace(plan, levels=plan.levels[1:])
    return segment_sum(rest, with_nothing(torch.cat(parts)))


def running_sum(x: Tensor) -> Tensor:
    """Sums along axis 1 of x (blocks, n, c) up to each element, n a power of two.

    By matrix products: a parallel scan on a GPU has no fixed order.
    """
    blocks, n, c = x.shape
    size = min(n, _TRIANGLE)
    lower = torch.ones(size, size, dtype=x.dtype, device=x.device).tril()
    inside = torch.matmul(lower, x.reshape(-1, size, c)).reshape(
        blocks, n // size, size, c
    )
    if n > size:
        totals = running_sum(inside[:, :, -1])
        inside = inside.clone()
        inside[:, 1:] += totals[:, :-1, None]
    return inside.reshape(blocks, n, c)


def _towards_middle(x: Tensor, width: int, level: int, outward: bool) -> Tensor:
    """Running sums in the two halves of each block of a level, x (width, c).

    From the ends to the middle, as ranges reach it, or from the middle outward.
    """
    if level == 0:
        return x
    half = 1 << (level - 1)
    halves = x.reshape(width // (2 * half), 2, half, -1)
    flip = 0 if outward else 1  # the half that is summed from its end
    turned = torch.stack((halves[:, 1 - flip], halves[:, flip].flip(1)), dim=1)
    sums = running_sum(turned.reshape(-1, half, x.shape[1]))
    sums = sums.reshape(-1, 2, half, x.shape[1])
    ends = sums[:, 1].flip(1)
    both = (ends, sums[:, 0]) if outward else (sums[:, 0], ends)
    return torch.stack(both, dim=1).reshape(width, -1)


def _used(level: Level) -> bool:
    return level.ranges[1] > level.ranges[0]


def spread_ranges(ranges: Ranges, cells: Tensor, n_events: int) -> Tensor:
    """For every event index (n_events, c) the sum over the ranges that hold it."""
    out = cells.new_zeros(ranges.width, cells.shape[1])
    for k, level in enumerate(ranges.levels):
        if not _used(level):
            continue
        first, last = level.cells
        table = cells.new_zeros(ranges.width, cells.shape[1])
        table.index_copy_(0, ranges.cell[first:last].long(), cells[first:last])
        out += _towards_middle(table, ranges.width, k, outward=False)
    return out[:n_events]


def gather_ranges(ranges: Ranges, x: Tensor) -> Tensor:
    """For every range (ranges, c) the sum of x (events, c) over it."""
    whole = torch.cat((x, x.new_zeros(ranges.width - x.shape[0], x.shape[1])))
    parts = [x.new_zeros(0, x.shape[1])]
    for k, level in enumerate(ranges.levels):
        if not _used(level):
            continue
        first, last = level.ranges
        table = _towards_middle(whole, ranges.width, k, outward=True)
        part = take(table, ranges.a[first:last])
        if k > 0:
            part = part + take(table, ranges.z[first:last])
        parts.append(part)
    return torch.cat(parts)
