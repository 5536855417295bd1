"""Reductions of a formula over i or j on the CPU.

The pairs are cut into tasks, blocks of rows and columns fixed by the sizes alone; a
task is run by one thread, tile by tile, and states of tasks are merged in order: the
same bits for any number of threads. With few rows the columns are cut, so that one
row of many columns still uses all cores.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import cache, pool
from . import dense, nearest
from .lower import PAIR, expand, swapped
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

TILE_ROWS = 64
TILE_COLUMNS = 2048
WIDE = 8  # sums of a number times this many components of j go through BLAS


def reduce(
    formula: Node,
    problem: Problem,
    reduction: str,
    axis: str = "j",
    *,
    weight: Node | None = None,
    k: int = 1,
    threads: int | None = None,
) -> dict[str, Array]:
    """Reduce a formula over j (or i); the result has one row per i (or j).

    Returns ``value`` and, where there are positions, ``index`` (from 0).
    """
    if axis == "i":
        formula = swapped(formula)
        weight = None if weight is None else swapped(weight)
        problem = problem._replace(n=problem.m, m=problem.n)
    formula = expand(formula)
    weight = None if weight is None else expand(weight)
    kind = REDUCTIONS[reduction]
    if reduction == "sumsoftmaxweight" and weight is not None:
        weight = apply("concat", 1.0, weight)
    shape = Shape(formula.dim, weight.dim if weight else 0, problem.m, problem.dtype, k)
    reducer = kind(shape)
    if reducer.negated:
        formula = -formula
    if isinstance(reducer, Sum):
        total = _sum(formula, problem, reducer, threads)
        return reducer.finish((total,))
    if isinstance(reducer, (Smallest, KSmallest)):
        state = nearest.search(formula, problem, reducer, threads)
        if state is not None:
            return reducer.finish(state)
    root = formula if weight is None else apply("concat", formula, weight)
    tables = Tables(root, problem)
    fill = tables.filler()

    def work(task: tuple[slice, slice]) -> State:
        return _reduce_block(fill, reducer, *task)

    return reducer.finish(_run(work, reducer, problem, threads))


def _sum(formula: Node, problem: Problem, reducer: Sum, threads: int | None) -> Array:
    """Sums over j, with factors of i taken out of the sum."""
    if formula.op == "neg":
        return -_sum(formula.args[0], problem, reducer, threads)
    if formula.op == "mul":
        a, b = formula.args
        for factor, rest in ((a, b), (b, a)):
            if factor.reach in (0, 1) and rest.reach == PAIR:
                inner = Sum(reducer.shape._replace(dim=rest.dim))
                total = _sum(rest, problem, inner, threads)
                outer = dense.values(factor, problem.data, problem.numbers)[:, 0, :]
                return outer * total
            if (
                factor.reach == 2
                and factor.dim >= WIDE
                and rest.dim == 1
                and rest.reach == PAIR
            ):
                return _wide_sum(rest, factor, problem, reducer, threads)
    tables = Tables(formula, problem)
    add = tables.summer()
    fill = tables.filler() if add is None else None

    def work(task: tuple[slice, slice]) -> State:
        if add is None:
            assert fill is not None
            return _reduce_block(fill, reducer, *task)
        if not tables.first:
            return (add(*task),)
        state = reducer.start(task[0].stop - task[0].start)
        for part, rows, columns in _tiles(*task):
            state[0][part] += add(rows, columns)
        return state

    return _run(work, reducer, problem, threads)[0]


def _wide_sum(
    formula: Node, factor: Node, problem: Problem, reducer: Sum, threads: int | None
) -> Array:
    """Sums of a number of (i, j) times many components of j: a product per tile."""
    fill = Tables(formula, problem).filler()
    right = dense.values(factor, problem.data, problem.numbers)[0]
    kernels = cache.load_kernels(f"{__package__}.kernels_product")
    # The columns of the tile are the components of this product.
    y = kernels.packed(np.ascontiguousarray(right.T))
    zeros = np.zeros(max(TILE_ROWS, y.shape[2]), problem.dtype)
    scratch = Scratch()

    def work(task: tuple[slice, slice]) -> State:
        rows, columns = task
        state = reducer.start(rows.stop - rows.start)
        edge = scratch.get("edge", (kernels.BLOCK,), problem.dtype)
        for part, sub, where in _tiles(rows, columns):
            tile = fill(sub, where)[0]
            kernels.add_products(tile, y, zeros, where.start, state[0][part], edge)
        return state

    return _run(work, reducer, problem, threads)[0]


def _reduce_block(fill: Fill, reducer: Reduction, rows: slice, columns: slice) -> State:
    state = reducer.start(rows.stop - rows.start)
    for part, sub, where in _tiles(rows, columns):
        reducer.take(tuple(a[part] for a in state), fill(sub, where), where.start)
    return state


def _tiles(rows: slice, columns: slice) -> list[tuple[slice, slice, slice]]:
    """Tiles of a task: rows within the task, rows, columns."""
    return [
        (slice(r - rows.start, end - rows.start), slice(r, end), slice(c, stop))
        for r in range(rows.start, rows.stop, TILE_ROWS)
        for end in (min(r + TILE_ROWS, rows.stop),)
        for c in range(columns.start, columns.stop, TILE_COLUMNS)
        for stop in (min(c + TILE_COLUMNS, columns.stop),)
    ]


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


def _run(
    work: Callable[[tuple[slice, slice]], State],
    reducer: Reduction,
    problem: Problem,
    threads: int | None,
) -> State:
    """Run all tasks; the state of all rows."""
    whole = reducer.start(problem.n)
    tasks = tasks_of(problem.n, problem.m)
    turn = iter(tasks)

    def put(state: State) -> None:
        rows, columns = next(turn)
        view = tuple(a[rows] for a in whole)
        if columns.start == 0:
            for target, made in zip(view, state):
                target[...] = made
        else:
            reducer.merge(view, state)

    pool.run_slices(work, tasks, put, threads=threads)
    return whole
