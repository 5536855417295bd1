"""Data of a lowered formula as the kernels want them, and tiles made of them."""

from __future__ import annotations

import functools
import math
import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .. import cache, pool
from . import codegen, dense, memory
from .lower import Contraction, Program, lower, lower_inner, table_rows
from .tree import Node, nodes_of

Array = npt.NDArray[Any]
Fill = Callable[[slice, slice], Array]

# So few pairs are computed by NumPy before a compiler has begun. A limit set by the
# sizes alone, so that the same call gives the same bits on any day.
SMALL = 1 << 13
FEW = 4
_RUN = 1 << 16  # rows of a table made at a time
# What is left of |x|^2 + |y|^2 below which a distance is computed anew.
_NEAR = {"float32": 0.05, "float64": 1e-3}


class Problem(NamedTuple):
    """Data of one reduction; rows are i, columns j."""

    data: Sequence[Array]  # per slot (n, dim), (m, dim), (n, m, dim) or (dim,)
    numbers: Sequence[float]
    n: int
    m: int
    dtype: np.dtype[Any]


class Scratch(threading.local):
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
    """Data of a lowered formula, and the functions that make tiles of them."""

    def __init__(self, root: Node, problem: Problem, states: float = 0.0) -> None:
        self.root = root
        self.problem = problem
        self.dtype = problem.dtype
        self.scratch = Scratch()
        self.program: Program = _lowered(root)
        item = self.dtype.itemsize
        memory.check(memory.of_tables(self.program, problem.n, problem.m, item), states)
        # For few rows, copying the columns would take longer than all the rest:
        # their table is made a piece at a time where it is used.
        self.lazy = problem.n <= FEW and not self.program.contractions
        given = self.program
        if self.lazy:
            given = given._replace(parts={**given.parts, "j": ()})
        self.x, self.y, self.p = tables_of(given, problem)
        # Tiles that are filled first.
        self.first: list[_Product | _Rolled | _Given] = [
            _FIRST.get(c.kind, _Product)(c, problem) for c in self.program.contractions
        ]

    def _piece(self, columns: slice) -> tuple[Array, int, int]:
        """A table that holds these columns, and the first and last of them there."""
        if not self.lazy:
            return self.y, columns.start, columns.stop
        parts, width = self.program.parts["j"], columns.stop - columns.start
        out = self.scratch.get("piece", (table_rows(parts), width), self.dtype)
        row = 0
        for part in parts:
            p = self.problem
            values = dense.values(part, p.data, p.numbers, slice(None), columns)
            out[row : row + part.dim] = values.reshape(-1, part.dim).T
            row += part.dim
        return out, 0, width

    def _parts_of_j(self) -> list[Array]:
        """The table of each part of j; data of R are such tables, without a copy."""
        used, slot, tables = codegen.slots_of(self.program.root), 0, []
        for part in self.program.parts["j"]:
            if slot in used:
                tables.append(_table([part], self.problem, self.problem.m))
            slot += part.dim
        return tables

    def _first_tiles(self, rows: slice, columns: slice) -> Array:
        n, m = rows.stop - rows.start, columns.stop - columns.start
        if not self.first:
            return np.empty((0, n, m), self.dtype)
        shape = (len(self.first), n, m)
        out = self.scratch.get("first", shape, self.dtype)
        for k, part in enumerate(self.first):
            part.fill(rows, columns, out[k : k + 1])
        return out

    def filler(self) -> Fill:
        """A function that gives the tile of some rows and columns."""
        root = self.program.root
        if root.op == "tile":
            return self._first_tiles
        run = codegen.kernel(root, self.dtype.name, "fill")
        if run is None:
            return self.dense_tile

        def fill(rows: slice, columns: slice) -> Array:
            t = self._first_tiles(rows, columns)
            shape = (root.dim, rows.stop - rows.start, columns.stop - columns.start)
            out = self.scratch.get("tile", shape, self.dtype)
            y, first, last = self._piece(columns)
            run(self.p, self.x, y, t, rows.start, rows.stop, first, last, out)
            return out

        return fill

    def dense_tile(self, rows: slice, columns: slice) -> Array:
        """A tile by NumPy."""
        p = self.problem
        n, m = rows.stop - rows.start, columns.stop - columns.start
        out = np.empty((self.root.dim, n, m), self.dtype)
        for part in dense.row_chunks(n, m, _widest(self.root), 1 << 20):
            where = slice(rows.start + part.start, rows.start + part.stop)
            value = dense.values(self.root, p.data, p.numbers, where, columns)
            out[:, part] = np.moveaxis(value, 2, 0)
        return out

    def summer(self) -> Callable[[Sequence[Any]], Array] | None:
        """A function that sums over columns, (rows, components); None: tile by tile.

        It takes pieces, rows that go up and the ranges of columns that they meet;
        with tiles that are filled first, no more than a tile at a time.
        """
        root = self.program.root
        mode = "sum"
        if self.problem.n == 1:
            mode = "row" if self.first else "parts"
        run = codegen.kernel(root, self.dtype.name, mode)
        if run is None:
            return None
        tables = self._parts_of_j() if mode == "parts" else [self.y]

        def add(pieces: Sequence[Any]) -> Array:
            t = _nothing(self.dtype)
            if self.first:
                t = self._first_tiles(pieces[0][0], pieces[0][1][0])
            base = pieces[0][0].start
            total = np.zeros((root.dim, pieces[-1][0].stop - base))
            edges = [
                (rows.start, rows.stop, c.start, c.stop)
                for rows, columns in pieces
                for c in columns
            ]
            if self.lazy and mode == "sum":
                for *rows, first, last in edges:
                    for k in range(first, last, _RUN):
                        y, *edge = self._piece(slice(k, min(k + _RUN, last)))
                        run(
                            self.p,
                            self.x,
                            y,
                            t,
                            np.array([[*rows, *edge]]),
                            base,
                            total,
                        )
                return total.T
            blocks = np.array(edges, np.int64).reshape(-1, 4)
            run(self.p, self.x, *tables, t, blocks, base, total)
            return total.T

        return add


def tables_of(program: Program, problem: Problem) -> tuple[Array, Array, Array]:
    """The tables of i and of j (one row per component), and the parameters."""
    parts = program.parts
    return (
        _table(parts["i"], problem, problem.n),
        _table(parts["j"], problem, problem.m),
        _table(parts["p"], problem, 1).reshape(-1),
    )


def _table(parts: Sequence[Node], problem: Problem, n: int) -> Array:
    if len(parts) == 1 and parts[0].op == "var" and parts[0].static[0] != "p":
        # A matrix from R is this table already, without a copy.
        values = problem.data[parts[0].static[1]].T
        if values.flags.c_contiguous:
            return values
    out = np.empty((table_rows(parts), n), problem.dtype)

    def fill(some: slice) -> None:
        row = 0
        for part in parts:
            values = dense.values(part, problem.data, problem.numbers, some, some)
            out[row : row + part.dim, some] = values.reshape(-1, part.dim).T
            row += part.dim

    cuts = [slice(k, min(k + _RUN, n)) for k in range(0, n, _RUN)]
    pool.run_slices(fill, cuts, threads=1 if len(cuts) == 1 else None)
    return out


@functools.lru_cache(maxsize=2)
def _nothing(dtype: np.dtype[Any]) -> Array:
    return np.empty((0, 0, 0), dtype)


class _Rolled:
    """A long sum over components, some of them at a time."""

    def __init__(self, contraction: Contraction, problem: Problem) -> None:
        inner = contraction.left
        program = lower_inner(inner)
        self.x, self.y, self.p = tables_of(program, problem)
        dtype = problem.dtype.name
        self.steps: list[tuple[int, Callable[..., None]]] = []
        done = 0
        for size in _pieces(inner.dim):
            kernel = codegen.rolled_kernel(program.root, dtype, size)
            self.steps.append((done, kernel))
            done += size

    def fill(self, rows: slice, columns: slice, out: Array) -> None:
        """Write the tile (1, rows, columns)."""
        out[...] = 0
        for first, run in self.steps:
            run(
                self.p, self.x, self.y, first, rows.start, rows.stop,
                columns.start, columns.stop, out,
            )  # fmt: skip


class _Given:
    """A component of a matrix of i and j."""

    def __init__(self, contraction: Contraction, problem: Problem) -> None:
        index, slot = contraction.right.static
        values = problem.data[slot][:, :, contraction.left.static[0]]
        self.values = values if index == "ij" else values.T

    def fill(self, rows: slice, columns: slice, out: Array) -> None:
        """Write the tile (1, rows, columns)."""
        out[0] = self.values[rows, columns]


def _pieces(dim: int) -> list[int]:
    """Cut into equal pieces of 6 to 10 if that can be, else a shorter last one."""
    for size in (8, 10, 7, 9, 6):
        if dim % size == 0:
            return [size] * (dim // size)
    return [8] * (dim // 8) + [dim % 8]


class _Product:
    """Squared distances or inner products of many components, by register blocks."""

    def __init__(self, contraction: Contraction, problem: Problem) -> None:
        self.left = np.ascontiguousarray(part_values(contraction.left, problem, 0))
        self.right = np.ascontiguousarray(part_values(contraction.right, problem, 1))
        self.squared = contraction.kind == "sqdist"
        self.kernels = cache.load_kernels(f"{__package__}.kernels_product")
        x, y = self.left, self.right
        n, m, dtype = len(x), len(y), problem.dtype
        self.x2, self.y2 = np.zeros(n, dtype), np.zeros(m, dtype)
        if self.squared:
            # Near the middle of the data, less is lost to cancellation.
            middle = y.mean(axis=0) if m else np.zeros(y.shape[1], dtype)
            middle = np.where(np.isfinite(middle), middle, 0)  # not of a NaN
            x, y = x - middle, y - middle
            self.x2 = np.einsum("ij,ij->i", x, x)
            self.y2 = np.einsum("ij,ij->i", y, y)
            x = -2 * x
            self.near = dtype.type(_NEAR[dtype.name])
            tiles = cache.load_kernels(f"{__package__}.kernels_tiles")
            self.finish = tiles.finish_distances
        self.x, self.y = x, self.kernels.packed(y)
        self.y0 = self.kernels.padded(self.y2, 0.0)
        self.scratch = Scratch()

    def fill(self, rows: slice, columns: slice, out: Array) -> None:
        """Write the tile (1, rows, columns)."""
        tile = out[0]
        edge = self.scratch.get("edge", (self.kernels.BLOCK,), tile.dtype)
        self.kernels.fill_products(
            self.x, self.x2, self.y, self.y0, rows.start, rows.stop,
            columns.start, columns.stop, tile, edge,
        )  # fmt: skip
        if self.squared:
            self.finish(
                tile, self.left[rows], self.right[columns], self.x2[rows],
                self.y2[columns], self.near,
            )  # fmt: skip


def part_values(node: Node, problem: Problem, axis: int) -> Array:
    """Values of a part of i (0) or of j (1), (n, dim)."""
    if node.op == "var":
        return problem.data[node.static[1]]
    value = dense.values(node, problem.data, problem.numbers)
    return value.reshape(value.shape[axis], node.dim)


def _widest(root: Node) -> int:
    return max(node.dim for node in nodes_of(root))


_FIRST: dict[str, Any] = {"rolled": _Rolled, "given": _Given}
_lowered = functools.lru_cache(maxsize=256)(lower)
