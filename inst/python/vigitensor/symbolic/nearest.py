"""Smallest values of formulas that grow with |x_i - y_j|^2 or with -x_i . y_j.

What the formula does to the distance (roots, positive factors, numbers of i added)
does not change which columns are the smallest, so these are looked for among the
distances themselves, by register blocks (``kernels_product.nearest``), and the
formula is computed where they stand. Data with a NaN or an infinity, and everything
else, go the way of all formulas.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .. import cache, pool
from . import dense, memory
from .lower import product_of
from .states import Reduction, State
from .tables import SMALL, Problem, part_values
from .tree import Node, nodes_of, rebuilt, variable

Array = npt.NDArray[Any]
ROWS = 256  # rows of a task: their x and one panel of y stay near
FEW = 8
_FACTOR_ROWS = 2048
WORK = 1 << 30  # multiplications of a task


class _Found(NamedTuple):
    core: Node  # the distance or inner product
    squared: bool
    left: Node  # of i
    right: Node  # of j


def pattern(formula: Node, problem: Problem) -> _Found | None:
    """Does the formula grow with one distance, or with minus an inner product?"""
    node, up = formula, True
    while True:
        if node.op == "neg":
            node, up = node.args[0], not up
        elif node.op == "sqrt":
            node = node.args[0]
        elif node.op in ("mul", "div", "add", "sub"):
            a, b = node.args
            first = a.reach & 2 != 0  # the columns are in the first argument
            inner, other = (a, b) if first else (b, a)
            if other.dim != 1 or other.reach & 2:
                return None
            if node.op in ("mul", "div"):
                if other.reach or (node.op == "div" and not first):
                    return None
                factor = dense.values(other, problem.data, problem.numbers).item()
                if not (np.isfinite(factor) and factor != 0):
                    return None
                up = up == (factor > 0)
            elif node.op == "sub" and not first:
                up = not up
            node = inner
        else:
            break
    if node.op != "sum":
        return None
    product = product_of(node.args[0])
    if product is None or (product.kind == "sqdist") != up:
        return None
    # The rest of the formula must not use the columns another way.
    others = nodes_of(rebuilt(formula, {node: variable("i", 0, 1)}))
    if any(part.reach & 2 for part in others):
        return None
    return _Found(node, up, product.left, product.right)


def search(
    formula: Node, problem: Problem, reducer: Reduction, threads: int | None
) -> State | None:
    """The state of ``reducer`` (smallest values), or None: not of this kind."""
    # For few rows, the columns are read once as they are rather than packed.
    few = problem.n < FEW
    if few or problem.n * problem.m <= SMALL or formula.dim != 1:
        return None
    found = pattern(formula, problem)
    if found is None:
        return None
    row = sum(a.nbytes for a in reducer.start(1))
    item = problem.dtype.itemsize
    # Either side as it is, moved to the middle, and packed.
    sides = 3.0 * found.left.dim * (problem.n + problem.m) * item
    memory.check(sides, 2.0 * row * problem.n)
    exact_x = np.ascontiguousarray(part_values(found.left, problem, 0))
    exact_y = np.ascontiguousarray(part_values(found.right, problem, 1))
    bounds = _bounds(exact_x, exact_y, found.squared)
    if bounds is None:
        return None
    x, x0, y, y0 = bounds
    kernels = cache.load_kernels(f"{__package__}.kernels_product")
    wide = kernels.NEAR_VECTORS
    y, y0 = kernels.packed(y, wide), kernels.padded(y0, np.inf, wide)
    width = y.shape[2]

    def work(task: tuple[slice, slice]) -> State:
        rows, panels = task
        best, place = reducer.start(rows.stop - rows.start)
        kernels.nearest(
            x[rows], x0[rows], y, y0, exact_x[rows], exact_y, found.squared,
            panels.start, panels.stop, np.empty(kernels.BLOCK, x.dtype),
            np.full(len(best), np.inf, x.dtype), best, place,
        )  # fmt: skip
        return best, place

    whole = reducer.start(problem.n)
    tasks = tasks_of(problem.n, len(y), width, exact_x.shape[1])
    turn = iter(tasks)

    def put(state: State) -> None:
        rows, panels = next(turn)
        view = tuple(a[rows] for a in whole)
        if panels.start == 0:
            for target, made in zip(view, state):
                target[...] = made
        else:
            reducer.merge(view, state)

    pool.run_slices(work, tasks, put, threads=threads)
    return _values(formula, found, problem, whole)


def tasks_of(n: int, panels: int, width: int, dim: int) -> list[tuple[slice, slice]]:
    """Blocks of rows and panels, fixed by the sizes alone."""
    work = WORK // (width * (dim + 16))  # rows times panels
    rows = min(n, ROWS, max(32, work // panels))
    step = panels if rows * panels <= 2 * work else max(1, work // rows)
    return [
        (slice(r, min(r + rows, n)), slice(p, min(p + step, panels)))
        for r in range(0, n, rows)
        for p in range(0, panels, step)
    ]


def _bounds(x: Array, y: Array, squared: bool) -> tuple[Array, ...] | None:
    """What the products start from and take, so that they are lower bounds."""
    unit = np.finfo(x.dtype).eps / 2
    # Rounding of the product, of the exact sum it is compared with, and of x - c.
    slack = x.dtype.type(4 * (x.shape[1] + 8) * unit)
    # Near the middle of the data, less is lost to cancellation.
    middle = y.mean(axis=0) if squared else None
    x, x2 = _factors(x, middle, x.dtype.type(-2 if squared else -1))
    y, y2 = _factors(y, middle, None)
    # Half of the largest number: sums of two must not overflow.
    most = np.finfo(x.dtype).max / 8
    if not (x2.max(initial=0) < most and y2.max(initial=0) < most):
        return None
    share = x.dtype.type(1) - slack if squared else -slack
    return x, share * x2, y, share * y2


def _factors(x: Array, middle: Array | None, factor: Any) -> tuple[Array, Array]:
    """factor (x - middle), and the sums of squares of x - middle."""
    out, squares = np.empty_like(x), np.empty(len(x), x.dtype)

    def work(some: slice) -> None:
        part = x[some] if middle is None else x[some] - middle
        with np.errstate(over="ignore", invalid="ignore"):
            squares[some] = np.einsum("ij,ij->i", part, part)
            out[some] = part if factor is None else factor * part

    cuts = range(0, len(x), _FACTOR_ROWS)
    pool.run_slices(work, [slice(k, k + _FACTOR_ROWS) for k in cuts])
    return out, squares


def _values(formula: Node, found: _Found, problem: Problem, state: State) -> State:
    """The formula at the columns found, for the distances there."""
    best, place = state
    if formula is found.core:
        return state
    outer = rebuilt(formula, {found.core: variable("i", len(problem.data), 1)})
    for c in range(best.shape[1]):
        core = best[:, c : c + 1] if found.squared else -best[:, c : c + 1]
        value = dense.values(outer, [*problem.data, core], problem.numbers)
        best[:, c] = np.where(place[:, c] < 0, np.inf, value[:, 0, 0])
    return best, place
