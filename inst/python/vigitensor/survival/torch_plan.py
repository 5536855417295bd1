"""Where everything goes on a device, worked out once on the host by NumPy.

Exposed (row, event time) pairs are laid out in tiles. An event block is a range
of ``length`` event indices that begins at a multiple of ``length``; a block is
the part of one exposed run that lies in one event block; a tile holds ``width``
blocks of the same event block. Arrays over pairs then have shape
(tiles, length, width): what belongs to an event time or to a row is read once
per tile or block, sums over rows are sums over the last axis, and no pair needs
an index of its own. Positions that no pair fills are masked.

Chunks are consecutive tiles, few enough for the memory that is allowed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .._typing import Floats, Ints
from .exposure import Runs, Steps
from .torch_segments import Placed, SegmentPlan, plan_segments

# Largest sizes of a tile, and how many positions may be filled by no pair.
_LENGTHS = (16, 8, 4, 2, 1)
_WIDTHS = (64, 32, 16, 8, 4, 2, 1)
_WASTE = 1.25


@dataclass(frozen=True)
class TermSteps:
    """Steps of one term's dose that reach the blocks of a chunk."""

    first: Placed  # (tiles, width) int32, first step inside the window
    count: Placed  # (tiles, width) int32, number of steps inside
    level: Placed  # (tiles, width) dose before the first
    reach: tuple[int, ...]  # tiles 0..reach[i]-1 may have more than i steps


@dataclass(frozen=True)
class Chunk:
    """Consecutive tiles, those with many steps first."""

    row: Placed  # (tiles, width) int32; `rows` where there is none
    lo: Placed  # (tiles, width) int32, first position in the event block
    hi: Placed  # (tiles, width) int32, one past the last
    block: Placed  # (tiles,) int32 event block
    terms: tuple[TermSteps, ...]
    to_blocks: SegmentPlan  # tiles -> event blocks first_block..last_block-1
    first_block: int
    last_block: int


@dataclass(frozen=True)
class Tiles:
    """Layout of all pairs for windows of some length."""

    length: int
    width: int
    n_blocks: int  # event blocks
    chunks: tuple[Chunk, ...]

    def positions(self) -> int:
        """Pairs and positions that no pair fills."""
        return sum(c.row.shape[0] for c in self.chunks) * self.width * self.length


def lay_out(
    runs: Runs,
    subject: Ints,
    tev: Ints,
    steps: Steps,
    cut: Ints,
    chunk_positions: int,
) -> Tiles:
    """Tiles of all exposed pairs, in chunks of at most so many positions."""
    length = _longest(runs, tev.size)
    run_row = np.repeat(np.arange(subject.size, dtype=np.int32), np.diff(runs.ptr))
    first = runs.lo // length
    parts = (runs.hi - 1) // length - first + 1
    which = np.repeat(np.arange(parts.size), parts)
    ends = np.cumsum(parts)
    block = (first[which] + np.arange(which.size) - (ends - parts)[which]).astype(
        np.int32
    )
    origin = block * length
    lo = np.maximum(runs.lo[which] - origin, 0).astype(np.int32)
    hi = np.minimum(runs.hi[which] - origin, length).astype(np.int32)
    row = run_row[which]
    begin_at, end_at = tev[origin + lo], tev[origin + hi - 1]
    inside = [
        _steps_inside(steps, k, float(cut[k]), subject[row], begin_at, end_at)
        for k in range(cut.size)
    ]
    total = np.zeros(row.size, np.int64)
    for _, count, _ in inside:
        total += count

    # Blocks of like work share a tile.
    order = np.lexsort((-total, block))
    n_blocks = -(-tev.size // length)
    width, tile_block, take = _fill_tiles(block, order, n_blocks)

    def tiled(x: Ints, empty: int) -> Ints:
        return np.append(x, np.asarray([empty], x.dtype))[take]

    work = tiled(total, 0).max(axis=1, initial=0)
    row, lo, hi = tiled(row, subject.size), tiled(lo, 0), tiled(hi, 0)
    tiled_steps = [tuple(tiled(x, 0) for x in term) for term in inside]
    size = max(1, chunk_positions // (length * width))
    chunks = []
    for t0 in range(0, tile_block.size, size):
        part = t0 + np.argsort(-work[t0 : t0 + size], kind="stable")
        chunks.append(
            _chunk(row, lo, hi, tile_block, tiled_steps, part)  # type: ignore[arg-type]
        )
    return Tiles(length, width, n_blocks, tuple(chunks))


def _longest(runs: Runs, n_events: int) -> int:
    """Longest event blocks that runs fill well enough."""
    pairs = max(runs.pairs(), 1)
    for length in _LENGTHS:
        blocks = np.sum((runs.hi - 1) // length - runs.lo // length + 1, dtype=np.int64)
        if blocks * length <= _WASTE * pairs and length <= n_events:
            return length
    return 1


def _fill_tiles(block: Ints, order: Ints, n_blocks: int) -> tuple[int, Ints, Ints]:
    """Width, event block of each tile, and which block goes where (or none)."""
    count = np.bincount(block, minlength=n_blocks)
    width = 1
    for width in _WIDTHS:
        if np.sum(-(-count // width)) * width <= _WASTE * max(block.size, 1):
            break
    tiles = -(-count // width)
    begin = np.concatenate(([0], np.cumsum(tiles)))
    take = np.full((int(begin[-1]), width), block.size, np.int64)
    sorted_block = block[order]
    rank = np.arange(order.size) - np.concatenate(([0], np.cumsum(count)))[sorted_block]
    take.reshape(-1)[begin[sorted_block] * width + rank] = order
    tile_block = np.repeat(np.arange(n_blocks, dtype=np.int32), tiles)
    return width, tile_block, take


def _steps_inside(
    steps: Steps, term: int, cut: float, subject: Ints, begin_at: Ints, end_at: Ints
) -> tuple[Ints, Ints, Floats]:
    """First step, number of steps and the dose before, for each block.

    The steps that matter at times begin_at..end_at are those after
    begin_at - cut and before end_at; the dose before them fills the window's end.
    """
    n_ptr = steps.ptr.size // steps.n_terms
    ptr = steps.ptr[term * n_ptr : (term + 1) * n_ptr]
    time = steps.time[ptr[0] : ptr[-1]]
    rank, span, up_to, before = _ranks(time, begin_at, end_at, cut)
    # One sorted key per (subject, time): all blocks are placed by bisection.
    owner = np.repeat(np.arange(n_ptr - 1, dtype=np.int64), np.diff(ptr))
    key = owner * span + rank
    base = subject.astype(np.int64) * span
    first = np.searchsorted(key, base + up_to) + ptr[0]
    last = np.searchsorted(key, base + before) + ptr[0]
    count = np.maximum(last - first, 0)
    level = np.zeros(first.size)
    held = np.flatnonzero(first > ptr[subject])
    level[held] = steps.level[first[held] - 1]
    return first.astype(np.int32), count.astype(np.int32), level


def _ranks(
    time: Ints, begin_at: Ints, end_at: Ints, cut: float
) -> tuple[Ints, int, Ints, Ints]:
    """Whole numbers in the order of the steps' times, and how far they go.

    Per block the first of them after begin_at - cut, and the first from end_at on.
    """
    if time.dtype.kind == "f":
        known = np.unique(time)
        up_to = np.searchsorted(known, begin_at - cut, side="right")
        before = np.searchsorted(known, end_at, side="left")
        return np.searchsorted(known, time), known.size + 1, up_to, before
    lowest = int(time.min(initial=0))
    span = int(time.max(initial=0)) - lowest + 2
    up_to = begin_at.astype(np.int64) - int(cut) - lowest + 1
    before = end_at.astype(np.int64) - lowest
    rank = time.astype(np.int64) - lowest
    return rank, span, np.clip(up_to, 0, span), np.clip(before, 0, span)


def _chunk(
    row: Ints,
    lo: Ints,
    hi: Ints,
    tile_block: Ints,
    inside: Sequence[tuple[Ints, Ints, Floats]],
    part: Ints,
) -> Chunk:
    terms = []
    for first, count, level in inside:
        most = count[part].max(axis=1, initial=0)
        reach = tuple(
            int(np.flatnonzero(most > i)[-1]) + 1 for i in range(int(most.max()))
        )
        terms.append(TermSteps(first[part], count[part], level[part], reach))
    block = tile_block[part]
    first_block, last_block = int(block.min()), int(block.max()) + 1
    return Chunk(
        row=row[part],
        lo=lo[part],
        hi=hi[part],
        block=block,
        terms=tuple(terms),
        to_blocks=plan_segments(block - first_block, last_block - first_block),
        first_block=first_block,
        last_block=last_block,
    )
