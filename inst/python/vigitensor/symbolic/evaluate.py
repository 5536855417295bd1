"""Reductions of a formula over i or j on the CPU.

The pairs are cut into tasks, blocks of rows and columns fixed by the sizes (and the
ranges) alone; a task is run by one thread, tile by tile, and states of tasks are
merged in order: the same bits for any number of threads. With few rows the columns
are cut, so that one row of many columns still uses all cores.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import cache, pool
from . import dense, engine, memory, nearest, small
from .lower import PAIR, expand, swapped
from .ranges import Ranges
from .states import (
    REDUCTIONS,
    KSmallest,
    Reduction,
    Shape,
    Smallest,
    State,
    Sum,
)
from .tables import Fill, Problem, Scratch, Tables
from .tree import Node, apply

Array = npt.NDArray[Any]
Piece = tuple[slice, Sequence[slice]]  # rows, and the ranges of columns they meet
Task = Sequence[Piece]  # rows go up

TILE_ROWS = 64
TILE_COLUMNS = 2048
WIDE = 8  # sums of a number times this many components of j go by products


def reduce(
    formula: Node,
    problem: Problem,
    reduction: str,
    axis: str = "j",
    *,
    weight: Node | None = None,
    k: int = 1,
    ranges: Ranges | None = None,
    breaks: Array | None = None,
    threads: int | None = None,
) -> dict[str, Array]:
    """Reduce a formula over j (or i); the result has one row per i (or j).

    ``ranges`` are of rows i and columns j. Returns ``value`` and, where there are
    positions, ``index`` (from 0). ``breaks`` are those of a histogram.
    """
    if axis == "i" and ranges is not None:
        ranges = ranges.transposed()
    formula, weight, problem, reduction, shape = prepared(
        formula, weight, problem, reduction, axis, k, breaks
    )
    by = engine.current.get(engine.CPU)
    if by is not engine.CPU:
        return by.reduce(
            formula, problem, reduction, weight=weight, k=k, ranges=ranges,
            breaks=breaks,
        )  # fmt: skip
    if small.fits(problem):
        return small.reduce(formula, weight, problem, reduction, shape, ranges)
    if reduction == "sumsoftmaxweight" and weight is not None:
        weight = apply("concat", 1.0, weight)
        shape = shape._replace(weights=weight.dim)
    reducer = REDUCTIONS[reduction](shape)
    if reducer.negated:
        formula = -formula
    run = _Run(problem, ranges, threads)
    if isinstance(reducer, Sum):
        state: State = (run.sum(formula, reducer),)
        if reduction == "mean" and ranges is not None:
            with np.errstate(divide="ignore", invalid="ignore"):
                state = (state[0] * (problem.m / ranges.counts(problem.n)[:, None]),)
        return reducer.finish(state)
    if isinstance(reducer, (Smallest, KSmallest)) and ranges is None:
        found = nearest.search(formula, problem, reducer, threads)
        if found is not None:
            return reducer.finish(found)
    root = formula if weight is None else apply("concat", formula, weight)
    fill = Tables(root, problem, run.states(reducer, root.dim)).filler()
    return reducer.finish(
        run.all(lambda task: _reduce_block(fill, reducer, task), reducer)
    )


def prepared(
    formula: Node, weight: Node | None, problem: Problem, reduction: str, axis: str,
    k: int, breaks: Array | None = None,
) -> tuple[Node, Node | None, Problem, str, Shape]:  # fmt: skip
    """A reduction as one over j, without composites."""
    formula, reduction = composed(formula, reduction)
    if axis == "i":
        formula = swapped(formula)
        weight = None if weight is None else swapped(weight)
        problem = problem._replace(n=problem.m, m=problem.n)
    formula = expand(formula)
    weight = None if weight is None else expand(weight)
    width = 0 if weight is None else weight.dim
    shape = Shape(formula.dim, width, problem.m, problem.dtype, k, breaks)
    return formula, weight, problem, reduction, shape


def composed(formula: Node, reduction: str) -> tuple[Node, str]:
    """Reductions that are others of another formula."""
    if reduction == "prod_nonzero":
        return apply("where", formula, formula, 1.0), "prod"
    if reduction == "zeros":
        return apply("eq", formula, 0.0), "sum"
    # Sums of what is 0, for their derivatives' sake.
    if reduction == "zero_sum":
        return apply("where", formula, 0.0, formula), "sum"
    if reduction == "zero_squares":
        return apply("where", formula, 0.0, apply("square", formula)), "sum"
    return formula, reduction


class _Run:
    """One reduction's tasks, and the ways to run them."""

    def __init__(
        self, problem: Problem, ranges: Ranges | None, threads: int | None
    ) -> None:
        self.problem, self.ranges, self.threads = problem, ranges, threads

    @functools.cached_property
    def tasks(self) -> list[Task]:
        if self.ranges is not None:
            return list(tasks_of_ranges(self.ranges))
        tasks = tasks_of(self.problem.n, self.problem.m)
        return [[(rows, [columns])] for rows, columns in tasks]

    def states(self, reducer: Reduction, components: int) -> float:
        """Bytes of the states of all rows, twice, and of a thread's tiles."""
        row = sum(a.nbytes for a in reducer.start(1))
        pairs = TILE_ROWS * min(self.problem.m, TILE_COLUMNS)
        item = self.problem.dtype.itemsize
        tiles = memory.of_tiles(components + 1, pairs, item)
        return 2.0 * row * self.problem.n + tiles

    def all(self, work: Callable[[Task], State], reducer: Reduction) -> State:
        """Run all tasks; the state of all rows."""
        whole = reducer.start(self.problem.n)
        turn = iter(self.tasks)
        begun = -1  # the last row for which something has come

        def put(state: State) -> None:
            nonlocal begun
            rows = _span(next(turn))
            view = tuple(a[rows] for a in whole)
            if rows.start > begun:
                for target, made in zip(view, state):
                    target[...] = made
            else:
                reducer.merge(view, state)
            begun = max(begun, rows.start)

        threads = 1 if len(self.tasks) == 1 else self.threads
        pool.run_slices(work, self.tasks, put, threads=threads)
        return whole

    def sum(self, formula: Node, reducer: Sum) -> Array:
        """Sums over j, with factors of i taken out of the sum."""
        problem = self.problem
        if formula.op == "neg":
            return -self.sum(formula.args[0], reducer)
        if formula.op == "mul":
            a, b = formula.args
            for factor, rest in ((a, b), (b, a)):
                if factor.reach in (0, 1) and rest.reach == PAIR:
                    inner = Sum(reducer.shape._replace(dim=rest.dim))
                    total = self.sum(rest, inner)
                    outer = dense.values(factor, problem.data, problem.numbers)
                    return outer[:, 0, :] * total
                if (
                    factor.reach == 2
                    and factor.dim >= WIDE
                    and rest.dim == 1
                    and rest.reach == PAIR
                ):
                    return self._wide_sum(rest, factor, reducer)
        tables = Tables(formula, problem, self.states(reducer, formula.dim))
        add = tables.summer()
        if add is None:
            fill = tables.filler()
            return self.all(lambda task: _reduce_block(fill, reducer, task), reducer)[0]

        def work(task: Task) -> State:
            if not tables.first:
                return (add(task),)
            state = reducer.start(_length(task))
            for part, rows, columns in _tiles(task):
                state[0][part] += add([(rows, [columns])])
            return state

        return self.all(work, reducer)[0]

    def _wide_sum(self, formula: Node, factor: Node, reducer: Sum) -> Array:
        """Sums of a number of (i, j) times many components of j, tile by tile."""
        problem = self.problem
        fill = Tables(formula, problem, self.states(reducer, 1)).filler()
        right = dense.values(factor, problem.data, problem.numbers)[0]
        kernels = cache.load_kernels(f"{__package__}.kernels_product")
        # The columns of the tile are the components of this product.
        y = kernels.packed(np.ascontiguousarray(right.T))
        zeros = np.zeros(max(TILE_ROWS, y.shape[2]), problem.dtype)
        scratch = Scratch()

        def work(task: Task) -> State:
            state = reducer.start(_length(task))
            edge = scratch.get("edge", (kernels.BLOCK,), problem.dtype)
            for part, rows, columns in _tiles(task):
                tile, total = fill(rows, columns)[0], state[0][part]
                kernels.add_products(tile, y, zeros, columns.start, total, edge)
            return state

        return self.all(work, reducer)[0]


def _reduce_block(fill: Fill, reducer: Reduction, task: Task) -> State:
    state = reducer.start(_length(task))
    for part, rows, columns in _tiles(task):
        view = tuple(a[part] for a in state)
        reducer.take(view, fill(rows, columns), columns.start)
    return state


def _span(task: Task) -> slice:
    """Rows from the first to the last of a task; those between meet nothing."""
    return slice(task[0][0].start, task[-1][0].stop)


def _length(task: Task) -> int:
    return task[-1][0].stop - task[0][0].start


def _tiles(task: Task) -> Iterator[tuple[slice, slice, slice]]:
    """Tiles of a task: rows within the task, rows, columns."""
    first = task[0][0].start
    for rows, columns in task:
        for r in range(rows.start, rows.stop, TILE_ROWS):
            end = min(r + TILE_ROWS, rows.stop)
            part = slice(r - first, end - first)
            # Fewer rows, longer tiles: as many pairs for the price of a call.
            step = TILE_COLUMNS * min(16, max(1, TILE_ROWS // (end - r)))
            for some in columns:
                for c in range(some.start, some.stop, step):
                    yield part, slice(r, end), slice(c, min(c + step, some.stop))


def tasks_of(n: int, m: int) -> list[tuple[slice, slice]]:
    """Blocks of pairs for one thread each; rows outside, columns inside."""
    pairs = 1 << (21 if n * m > 1 << 25 else 18)
    rows = max(min(n, TILE_ROWS), min(n, pairs // max(m, 1)))
    columns = min(m, max(TILE_COLUMNS, pairs // max(rows, 1)))
    if columns > m // 2:  # no thin rest
        columns = m
    return [
        (slice(r, min(r + rows, n)), slice(c, min(c + columns, m)))
        for r in range(0, n, max(rows, 1))
        for c in range(0, m, max(columns, 1))
    ]


def tasks_of_ranges(ranges: Ranges) -> Iterator[Task]:
    """The same for ranges; columns in order within the rows of an interval.

    Small intervals, such as batches, come together, many to a task.
    """
    pairs = 1 << (21 if ranges.pairs() > 1 << 25 else 18)
    some: list[Piece] = []
    held = 0
    for rows, columns in ranges.blocks():
        total = sum(c.stop - c.start for c in columns)
        size = (rows.stop - rows.start) * total
        if some and held + size > pairs:
            yield some
            some, held = [], 0
        if size <= pairs:
            if columns:
                some.append((rows, columns))
                held += size
            continue
        step = max(TILE_ROWS, pairs // max(total, 1))
        most = max(TILE_COLUMNS, pairs // min(step, rows.stop - rows.start))
        for r in range(rows.start, rows.stop, step):
            part = slice(r, min(r + step, rows.stop))
            for parcel in _parcels(columns, most):
                yield [(part, parcel)]
    if some:
        yield some


def _parcels(columns: Sequence[slice], most: int) -> Iterator[list[slice]]:
    """Ranges of columns in parcels of about ``most``."""
    out: list[slice] = []
    left = most
    for some in columns:
        first = some.start
        while first < some.stop:
            last = min(some.stop, first + left)
            out.append(slice(first, last))
            left -= last - first
            first = last
            if left == 0:
                yield out
                out, left = [], most
    if out:
        yield out
