"""Reductions of a formula over i or j on the CPU.

The pairs are cut into tasks, blocks of rows and columns fixed by the sizes alone; a
task is run by one thread, tile by tile, and states of tasks are merged in order: the
same bits for any number of threads. With few rows the columns are cut, so that one
row of many columns still uses all cores.
"""

from __future__ import annotations

import functools
import math
import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .. import cache, pool
from . import codegen, dense
from .lower import PAIR, Program, expand, lower, swapped, table_rows
from .states import REDUCTIONS, Reduction, Shape, State, Sum
from .tree import Node, apply, nodes_of

Array = npt.NDArray[Any]
Fill = Callable[[slice, slice], Array]

# So few pairs are computed by NumPy before a compiler has begun. A limit set by the
# sizes alone, so that the same call gives the same bits on any day.
SMALL = 1 << 13
TILE_ROWS = 64
TILE_COLUMNS = 2048
WIDE = 8  # sums of a number times this many components of j go through BLAS
# What is left of |x|^2 + |y|^2 below which a distance is computed anew.
_NEAR = {"float32": 0.05, "float64": 1e-3}


class Problem(NamedTuple):
    """Data of one reduction; rows are i, columns j."""

    data: Sequence[Array]  # per slot (n, dim), (m, dim) or (dim,)
    numbers: Sequence[float]
    n: int
    m: int
    dtype: np.dtype[Any]


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
    work = tables.summer(reducer)
    return _run(work, reducer, problem, threads)[0]


def _wide_sum(
    formula: Node, factor: Node, problem: Problem, reducer: Sum, threads: int | None
) -> Array:
    """Sums of a number of (i, j) times many components of j: a product per tile."""
    fill = Tables(formula, problem).filler()
    right = dense.values(factor, problem.data, problem.numbers)[0]

    def work(task: tuple[slice, slice]) -> State:
        rows, columns = task
        state = reducer.start(rows.stop - rows.start)
        for part, sub, first in _tiles(rows, columns):
            state[0][part] += fill(sub, first)[0] @ right[first]
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


class _Scratch(threading.local):
    """Buffers of one thread: new memory for every tile costs more than the tile."""

    def __init__(self) -> None:
        self.buffers: dict[str, Array] = {}

    def get(self, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        """An array with any content, valid until the next call with the name."""
        size = math.prod(shape)
        flat = self.buffers.get(name)
        if flat is None or flat.size < size or flat.dtype != dtype:
            flat = self.buffers[name] = np.empty(size, dtype)
        return flat[:size].reshape(shape)


class Tables:
    """Data of a lowered formula as the kernels want them."""

    def __init__(self, root: Node, problem: Problem) -> None:
        self.root = root
        self.problem = problem
        self.dtype = problem.dtype
        self.scratch = _Scratch()
        self.small = problem.n * problem.m <= SMALL
        if self.small:
            return
        self.program: Program = _lowered(root)
        parts = self.program.parts
        self.x = self._table(parts["i"], "i", problem.n)
        self.y = self._table(parts["j"], "j", problem.m)
        self.p = self._table(parts["p"], "p", 1).reshape(-1)
        self.products = [
            _Products(c.kind, self._part(c.left, 0), self._part(c.right, 1))
            for c in self.program.contractions
        ]

    def _part(self, node: Node, axis: int) -> Array:
        """Values of a part of i (0) or of j (1), (n, dim)."""
        if node.op == "var":
            return self.problem.data[node.static[1]]
        value = dense.values(node, self.problem.data, self.problem.numbers)
        return value.reshape(value.shape[axis], node.dim)

    def _table(self, parts: Sequence[Node], index: str, n: int) -> Array:
        if len(parts) == 1 and parts[0].op == "var" and index != "p":
            # A matrix from R is this table already, without a copy.
            return np.ascontiguousarray(self.problem.data[parts[0].static[1]].T)
        out = np.empty((table_rows(parts), n), self.dtype)
        row = 0
        for part in parts:
            values = dense.values(part, self.problem.data, self.problem.numbers)
            out[row : row + part.dim] = values.reshape(-1, part.dim).T
            row += part.dim
        return out

    def _products(self, rows: slice, columns: slice) -> Array:
        n, m = rows.stop - rows.start, columns.stop - columns.start
        if not self.products:
            return np.empty((0, n, m), self.dtype)
        shape = (len(self.products), n, m)
        out = self.scratch.get("products", shape, self.dtype)
        for k, product in enumerate(self.products):
            product.fill(rows, columns, out[k])
        return out

    def filler(self) -> Fill:
        """A function that gives the tile of some rows and columns."""
        if self.small:
            return self._dense_fill
        root = self.program.root
        if root.op == "tile":
            return lambda rows, columns: self._products(rows, columns)
        run = codegen.kernel(root, self.dtype.name, "fill")
        if run is None:
            return self._dense_fill

        def fill(rows: slice, columns: slice) -> Array:
            t = self._products(rows, columns)
            shape = (root.dim, rows.stop - rows.start, columns.stop - columns.start)
            out = self.scratch.get("tile", shape, self.dtype)
            run(
                self.p, self.x, self.y, t, rows.start, rows.stop,
                columns.start, columns.stop, out,
            )  # fmt: skip
            return out

        return fill

    def _dense_fill(self, rows: slice, columns: slice) -> Array:
        p = self.problem
        n, m = rows.stop - rows.start, columns.stop - columns.start
        out = np.empty((self.root.dim, n, m), self.dtype)
        for part in dense.row_chunks(n, m, _widest(self.root), 1 << 20):
            where = slice(rows.start + part.start, rows.start + part.stop)
            value = dense.values(self.root, p.data, p.numbers, where, columns)
            out[:, part] = np.moveaxis(value, 2, 0)
        return out

    def summer(self, reducer: Sum) -> Callable[[tuple[slice, slice]], State]:
        """A function that sums one task."""
        run = None
        if not self.small:
            root = self.program.root
            run = codegen.kernel(root, self.dtype.name, "sum")
        if run is None:
            return lambda task: _reduce_block(self._dense_fill, reducer, *task)
        empty = np.empty((0, 0, 0), self.dtype)

        def work(task: tuple[slice, slice]) -> State:
            rows, columns = task
            total = np.zeros((root.dim, rows.stop - rows.start))
            if not self.products:
                run(
                    self.p, self.x, self.y, empty, rows.start, rows.stop,
                    columns.start, columns.stop, total,
                )  # fmt: skip
                return (total.T,)
            for part, sub, where in _tiles(rows, columns):
                t = self._products(sub, where)
                some = np.zeros((root.dim, sub.stop - sub.start))
                run(
                    self.p, self.x, self.y, t, sub.start, sub.stop,
                    where.start, where.stop, some,
                )  # fmt: skip
                total[:, part] += some
            return (total.T,)

        return work


class _Products:
    """Squared distances or inner products of many components, tile by tile."""

    def __init__(self, kind: str, left: Array, right: Array) -> None:
        self.kind = kind
        self.left = np.ascontiguousarray(left)
        self.right = np.ascontiguousarray(right)
        if kind == "sqdist":
            # Near the middle of the data, less is lost to cancellation.
            middle = self.right.mean(axis=0) if len(self.right) else 0
            self.x = self.left - middle
            self.y = self.right - middle
            self.x2 = np.einsum("ij,ij->i", self.x, self.x)
            self.y2 = np.einsum("ij,ij->i", self.y, self.y)
            self.near = self.x.dtype.type(_NEAR[self.x.dtype.name])
            kernels = cache.load_kernels(f"{__package__}.kernels_tiles")
            self.finish = kernels.finish_distances

    def fill(self, rows: slice, columns: slice, out: Array) -> None:
        """Write the tile of these rows and columns."""
        if self.kind == "dot":
            np.matmul(self.left[rows], self.right[columns].T, out=out)
            return
        np.matmul(self.x[rows], self.y[columns].T, out=out)
        self.finish(
            out, self.left[rows], self.right[columns], self.x2[rows],
            self.y2[columns], self.near,
        )  # fmt: skip


def _widest(root: Node) -> int:
    return max(node.dim for node in nodes_of(root))


_lowered = functools.lru_cache(maxsize=256)(lower)
