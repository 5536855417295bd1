"""Sums over segments in a fixed order, as gathers and sums along an axis.

Scattered additions (``index_add_``) are atomic on a GPU: their order, and so
their last bits, change from run to run. Here the elements of a segment are cut
into pieces of at most 64, pieces of like size are gathered into one padded array
and summed along its second axis; the pieces of long segments are summed the same
way. Which element goes where is worked out once, on the host.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .._typing import Ints

_PIECE = 64
# An array of a plan: NumPy's on the host where it is made, torch's on a device.
Placed = Any


@dataclass(frozen=True)
class SegmentPlan:
    """How to sum the elements of every segment.

    Each level has groups of pieces, (pieces, size) int32 positions in what came
    before; the position one past its end stands for nothing. What a level
    yields are the pieces of its groups, one group after the other.
    """

    levels: tuple[tuple[Placed, ...], ...]
    order: Placed  # (segments,) int32 positions in what the last level yields
    n_elements: int

    @property
    def n_segments(self) -> int:
        """Number of sums."""
        return int(self.order.shape[0])


def plan_segments(
    segment: Ints, n_segments: int, source: Ints | None = None, n_source: int = 0
) -> SegmentPlan:
    """Plan the sums of elements by ``segment`` (n,), in the elements' order.

    Parameters
    ----------
    source : array (n,), optional
        Which of ``n_source`` elements to take; by default the n themselves.
    """
    order = np.argsort(segment, kind="stable")
    size = np.bincount(segment, minlength=n_segments)
    if source is not None:
        at, n_elements = source[order], n_source
    else:
        at, n_elements = order, segment.size
    levels = []
    before = n_elements
    while True:
        groups, place, pieces = _one_level(at, size, before)
        levels.append(groups)
        if np.all(pieces == 1):
            return SegmentPlan(tuple(levels), place.astype(np.int32), n_elements)
        at, size, before = place, pieces, place.size


def _one_level(
    at: Ints, size: Ints, nothing: int
) -> tuple[tuple[Ints, ...], Ints, Ints]:
    """Groups of pieces, where each piece's sum will be, pieces per segment."""
    pieces = np.maximum(-(-size // _PIECE), 1)
    whose = np.repeat(np.arange(size.size), pieces)
    nth = np.arange(whose.size) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    begin = (np.cumsum(size) - size)[whose] + nth * _PIECE
    length = np.minimum(size[whose] - nth * _PIECE, _PIECE)
    # Padded to a power of two, so that there are few groups.
    kind = np.ceil(np.log2(np.maximum(length, 1))).astype(np.int64)
    place = np.empty(whose.size, np.int64)
    groups = []
    done = 0
    padded = np.append(at, nothing)
    for k in np.unique(kind):
        mine = np.flatnonzero(kind == k)
        steps = np.arange(1 << int(k))
        index = np.where(steps < length[mine, None], begin[mine, None] + steps, at.size)
        groups.append(padded[index].astype(np.int32))
        place[mine] = done + np.arange(mine.size)
        done += mine.size
    return tuple(groups), place, pieces
