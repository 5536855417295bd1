"""Inner products of many components, and the nearest points, by register blocks.

A block is ROWS rows of x and two vectors of columns of y: all its products stay in
registers while the loop runs over the components, each loaded column serving all
rows and each loaded row both vectors. NumPy's BLAS falls back to its oldest kernels
on processors that it does not know; this needs no more than LLVM.

y is packed once (``packed``): panels of as many columns as a block has, component
by component, the last one filled up with zeros. A product starts from
``x0[i] + y0[j]``, so that squared distances (x2 + y2 - 2 x . y) cost nothing more.

``nearest`` looks for the k smallest: products that start from a little less than
|x|^2 + |y|^2 are lower bounds of the distances, whatever the rounding; only where
one is below the k-th distance so far is the distance computed, from differences.
So positions and values are those of the differences, at the price of products.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import binding, ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from .. import pool
from .kernels_scalar import fast_loops, plus

Array = npt.NDArray[Any]
_OPTIONS: dict[str, Any] = {"nogil": True, "_nrt": False, "error_model": "numpy"}
_kernel = njit(cache=True, fastmath={"contract"}, **_OPTIONS)


def _register_bytes() -> int:
    """Width of this processor's vector registers."""
    features = binding.get_host_cpu_features()
    if features.get("avx512f"):
        return 64
    return 32 if features.get("avx") else 16


_BYTES = _register_bytes()
ROWS = 8 if _BYTES == 64 else 4  # 32 registers, or 16
VECTORS = 2  # of columns of a block
# Where nothing is written, longer blocks pay: fewer begin and end.
NEAR_VECTORS = 3 if _BYTES == 64 else 2
BLOCK = ROWS * NEAR_VECTORS * _BYTES // 4  # numbers of the largest block


def _width(dtype: Any, vectors: int) -> int:
    """Columns of a block."""
    return vectors * _BYTES // int(dtype.itemsize)


def packed(y: Array, vectors: int = VECTORS) -> Array:
    """Rows of y (columns of the products) as panels (panel, component, column)."""
    width = _width(y.dtype, vectors)
    m, d = y.shape
    panels = -(-m // width)
    out = np.zeros((panels, d, width), y.dtype)
    full = m // width

    def turn(some: slice) -> None:
        part = y[some.start * width : some.stop * width].reshape(-1, width, d)
        out[some] = part.transpose(0, 2, 1)

    pool.run_slices(turn, [slice(p, min(p + 64, full)) for p in range(0, full, 64)])
    if full < panels:
        out[full, :, : m - full * width] = y[full * width :].T
    return out


def padded(values: Array, fill: float, vectors: int = VECTORS) -> Array:
    """Numbers of the columns, filled up to whole panels."""
    width = _width(values.dtype, vectors)
    out = np.full(-(-len(values) // width) * width, fill, values.dtype)
    out[: len(values)] = values
    return out


def _data(context, builder, kind, array):
    return context.make_array(kind)(context, builder, array).data


def _block(context, builder, signature, args, limits):
    """Instructions of a block; with ``limits`` it says which rows are below one."""
    vectors = VECTORS if limits is None else NEAR_VECTORS
    kinds = signature.args
    x, i, last, depth, step, y, start, x0, y0, j, out, where, stride = args[:13]
    number = context.get_value_type(kinds[0].dtype)
    lanes = _BYTES // (kinds[0].dtype.bitwidth // 8)
    vector = ir.VectorType(number, lanes)
    whole = i.type
    x_data = _data(context, builder, kinds[0], x)
    y_data = _data(context, builder, kinds[5], y)
    x0_data = _data(context, builder, kinds[7], x0)
    y0_data = _data(context, builder, kinds[8], y0)
    out_data = _data(context, builder, kinds[10], out)
    name = f"llvm.fmuladd.v{lanes}f{kinds[0].dtype.bitwidth}"
    form = ir.FunctionType(vector, (vector, vector, vector))
    fma = cgutils.get_or_insert_function(builder.module, form, name)

    def at(data, place):
        return builder.gep(data, [place])

    def spread(value):
        none = ir.Constant(vector, ir.Undefined)
        one = builder.insert_element(none, value, ir.Constant(ir.IntType(32), 0))
        order = ir.Constant(ir.VectorType(ir.IntType(32), lanes), [0] * lanes)
        return builder.shuffle_vector(one, none, order)

    def load(data, place):
        where = builder.bitcast(at(data, place), vector.as_pointer())
        return builder.load(where, align=kinds[0].dtype.bitwidth // 8)

    def const(value):
        return ir.Constant(whole, value)

    rows, sums = [], []
    column = [load(y0_data, builder.add(j, const(c * lanes))) for c in range(vectors)]
    for r in range(ROWS):
        row = builder.add(i, const(r))
        past = builder.icmp_signed(">", row, last)
        row = builder.select(past, last, row)  # the last row, again
        base = spread(builder.load(at(x0_data, row)))
        sums += [builder.fadd(base, part) for part in column]
        rows.append(at(x_data, builder.mul(row, step)))
    before = builder.block
    loop = builder.append_basic_block("components")
    after = builder.append_basic_block("done")
    some = builder.icmp_signed(">", depth, const(0))
    builder.cbranch(some, loop, after)
    builder.position_at_end(loop)
    k = builder.phi(whole)
    k.add_incoming(const(0), before)
    phis = []
    for value in sums:
        phi = builder.phi(vector)
        phi.add_incoming(value, before)
        phis.append(phi)
    place = builder.add(start, builder.mul(k, const(vectors * lanes)))
    column = [
        load(y_data, builder.add(place, const(c * lanes))) for c in range(vectors)
    ]
    new = []
    for r in range(ROWS):
        one = spread(builder.load(at(rows[r], k)))
        for c in range(vectors):
            new.append(builder.call(fma, [one, column[c], phis[vectors * r + c]]))
    following = builder.add(k, const(1))
    k.add_incoming(following, loop)
    for phi, value in zip(phis, new):
        phi.add_incoming(value, loop)
    builder.cbranch(builder.icmp_signed("<", following, depth), loop, after)
    builder.position_at_end(after)
    done = []
    for first, value in zip(sums, new):
        phi = builder.phi(vector)
        phi.add_incoming(first, before)
        phi.add_incoming(value, loop)
        done.append(phi)
    found = const(0)
    if limits is not None:
        limit_data = _data(context, builder, kinds[13], limits)
    for r in range(ROWS):
        target = builder.add(where, builder.mul(const(r), stride))
        below = None
        if limits is not None:
            row = builder.add(i, const(r))
            past = builder.icmp_signed(">", row, last)
            row = builder.select(past, last, row)
            limit = spread(builder.load(at(limit_data, row)))
        for c in range(vectors):
            value = done[vectors * r + c]
            address = at(out_data, builder.add(target, const(c * lanes)))
            pointer = builder.bitcast(address, vector.as_pointer())
            builder.store(value, pointer, align=kinds[0].dtype.bitwidth // 8)
            if limits is not None:
                less = builder.fcmp_ordered("<", value, limit)
                below = less if below is None else builder.or_(below, less)
        if limits is not None:
            bits = builder.bitcast(below, ir.IntType(lanes))
            hit = builder.icmp_unsigned("!=", bits, ir.Constant(bits.type, 0))
            bit = builder.shl(builder.zext(hit, whole), const(r))
            found = builder.or_(found, bit)
    return found


_I = types.int64


@intrinsic
def products(
    typingctx, x, i, last, depth, step, y, start, x0, y0, j, out, where, stride
):
    """Products of rows i.. (at most ``last``) with the panel at ``start`` of y.

    Row i of x begins at ``i * step`` and goes on for ``depth`` components. Row r of
    the block is written to ``out`` (flat) from ``where + r * stride`` on.
    """

    def codegen(context, builder, signature, args):
        _block(context, builder, signature, args, None)
        return context.get_dummy_value()

    kinds = (x, _I, _I, _I, _I, y, _I, x0, y0, _I, out, _I, _I)
    return types.void(*kinds), codegen


@intrinsic
def products_below(
    typingctx, x, i, last, depth, step, y, start, x0, y0, j, out, where, stride, limit
):
    """As ``products``; bit r of the result says that row r goes below its limit."""

    def codegen(context, builder, signature, args):
        return _block(context, builder, signature, args, args[13])

    kinds = (x, _I, _I, _I, _I, y, _I, x0, y0, _I, out, _I, _I, limit)
    return _I(*kinds), codegen


@_kernel
def fill_products(x, x0, y, y0, i0, i1, j0, j1, tile, edge):
    """``tile`` (rows, columns) of x0[i] + y0[j] + x_i . y_j.

    ``x`` is (n, d), ``y`` packed (panels, d, width), ``edge`` room for a block.
    """
    fast_loops()
    d, width = y.shape[1], y.shape[2]
    flat_x, flat_y = x.reshape(x.size), y.reshape(y.size)
    flat, rim = tile.reshape(tile.size), edge.reshape(edge.size)
    columns = j1 - j0
    for panel in range(j0 // width, (j1 + width - 1) // width):
        j = panel * width
        inside = j >= j0 and j + width <= j1
        for i in range(i0, i1, ROWS):
            start = panel * d * width
            if inside and i + ROWS <= i1:
                where = (i - i0) * columns + j - j0
                products(
                    flat_x, i, i1 - 1, d, d, flat_y, start, x0, y0, j, flat, where,
                    columns,
                )  # fmt: skip
            else:
                products(
                    flat_x, i, i1 - 1, d, d, flat_y, start, x0, y0, j, rim, 0, width
                )
                for r in range(min(ROWS, i1 - i)):
                    for c in range(max(j, j0), min(j + width, j1)):
                        flat[(i + r - i0) * columns + c - j0] = rim[r * width + c - j]


@_kernel
def add_products(tile, y, zeros, first, total, edge):
    """``total`` (rows, v) += tile (rows, columns) y (columns from ``first`` on, v).

    ``y`` is packed with the columns as components, (panels, m, width).
    """
    fast_loops()
    m, width = y.shape[1], y.shape[2]
    rows, columns = tile.shape
    flat_x, flat_y = tile.reshape(tile.size), y.reshape(y.size)
    rim = edge.reshape(edge.size)
    v = total.shape[1]
    for part in range(0, columns, 256):
        depth = min(256, columns - part)
        shifted = flat_x[part:]
        for panel in range(y.shape[0]):
            start = (panel * m + first + part) * width
            for i in range(0, rows, ROWS):
                products(
                    shifted, i, rows - 1, depth, columns, flat_y, start, zeros,
                    zeros, 0, rim, 0, width,
                )  # fmt: skip
                for r in range(min(ROWS, rows - i)):
                    for c in range(min(width, v - panel * width)):
                        total[i + r, panel * width + c] += rim[r * width + c]


@_kernel
def nearest(x, x0, y, y0, exact_x, exact_y, squared, p0, p1, edge, limit, best, place):
    """The k smallest |x - y|^2 (or -x . y) of some rows over panels p0 to p1.

    ``x`` times packed ``y`` from ``x0 + y0`` on is a lower bound (infinite behind
    the last column). ``best`` and ``place`` (rows, k) are as in
    ``keep_k_smallest``; ``limit`` (rows,) is the worst kept.
    """
    fast_loops()
    d, width = y.shape[1], y.shape[2]
    rows, k = best.shape
    flat_x, flat_y, rim = x.reshape(x.size), y.reshape(y.size), edge.reshape(edge.size)
    for panel in range(p0, p1):
        first = panel * width
        start = first * d
        for i in range(0, rows, ROWS):
            hits = products_below(
                flat_x, i, rows - 1, d, d, flat_y, start, x0, y0, first, rim, 0,
                width, limit,
            )  # fmt: skip
            if hits == 0:
                continue
            for r in range(min(ROWS, rows - i)):
                if not (hits >> r) & 1:
                    continue
                row = i + r
                a = exact_x[row]
                for c in range(width):
                    if not rim[r * width + c] < limit[row]:
                        continue
                    b = exact_y[first + c]
                    total = x0[row] - x0[row]
                    if squared:
                        for q in range(d):
                            e = a[q] - b[q]
                            total = plus(total, e * e)
                    else:
                        for q in range(d):
                            total = plus(total, a[q] * b[q])
                        total = -total
                    if not total < limit[row]:
                        continue
                    u = k - 1
                    while u > 0 and (best[row, u - 1] > total or place[row, u - 1] < 0):
                        best[row, u] = best[row, u - 1]
                        place[row, u] = place[row, u - 1]
                        u -= 1
                    best[row, u] = total
                    place[row, u] = first + c
                    limit[row] = best[row, k - 1]
