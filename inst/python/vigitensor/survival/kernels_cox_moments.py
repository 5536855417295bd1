"""Compiled first and second moments of a Cox model's covariates.

A row joins the sums of its risk sets in one table, see ``kernels_cox``, here
(events, parts, columns): the plain sums, then, with two parts, what rounding lost
of them. Its columns are lines of eight (``kernels_vector``), zeros in what is
beyond the last; fewer than four covariates are stored as they are.

Covariates are read once, from the columns that the caller has them in: a block of
rows goes, in the nearest caches, into lines for the table, and into the second
moments, four by four sums of which stay in registers.
"""

from __future__ import annotations

import math

from numba import types

from ..kernels_math import F8R, F8R2, F8W, F8W2, I4R, i8, inner, kernel
from ..kernels_vector import all8, load8, store8, transpose8
from .kernels_cox import F8W3, add_pair, hazard_of
from .kernels_cox_lines import WIDTH, add_line_exactly

# Rows of a block: 24 covariates take 24 kB.
BLOCK = 128
# Columns whose products are in registers together.
TILE = 4


@inner
def _add_line(table, k, columns, c, v):
    """table[k, 0, c:c + 8] += v, in a table of one part."""
    at = k * columns + c
    store8(table, at, load8(table, at) + v)


@inner
def _join(table, k, r, z, i):
    """table[k] += r z[i], in any table."""
    columns = z.shape[1]
    begin = k * table.shape[1] * columns
    lines = columns // WIDTH
    for g in range(lines):
        c = g * WIDTH
        if table.shape[1] == 1:
            _add_line(table, k, columns, c, all8(r) * load8(z, i * columns + c))
        else:
            add_line_exactly(table, begin + c, columns, r, z, i * columns + c)
    if lines == 0:
        for c in range(columns):
            if table.shape[1] == 1:
                table[k, 0, c] += r * z[i, c]
            else:
                add_pair(table, k, c, r * z[i, c])


@kernel(types.void(i8, i8, I4R, I4R, F8R, F8R2, F8W3))
def scatter_columns(i0, i1, out, last, r, z, table):
    """r z of rows i0..i1 into table (events, parts, columns)."""
    entered = out.size > 0
    for i in range(i0, i1):
        _join(table, i8(last[i]), r[i], z, i)
        if entered and out[i] >= 0:
            _join(table, i8(out[i]), -r[i], z, i)


@inner
def _add_products(block, root, n, square, first):
    """square += block block' over n rows, first += block root, eight rows apart.

    square (columns, columns, WIDTH): a whole number of tiles. Upper ones only.
    """
    columns, rows = square.shape[0], block.shape[1]
    for a in range(0, columns, TILE):
        a0 = a * rows
        s = load8(first, a * WIDTH)
        t = load8(first, (a + 1) * WIDTH)
        u = load8(first, (a + 2) * WIDTH)
        v = load8(first, (a + 3) * WIDTH)
        for k in range(0, n, WIDTH):
            w = load8(root, k)
            s = s + load8(block, a0 + k) * w
            t = t + load8(block, a0 + rows + k) * w
            u = u + load8(block, a0 + 2 * rows + k) * w
            v = v + load8(block, a0 + 3 * rows + k) * w
        store8(first, a * WIDTH, s)
        store8(first, (a + 1) * WIDTH, t)
        store8(first, (a + 2) * WIDTH, u)
        store8(first, (a + 3) * WIDTH, v)
        for b in range(a, columns, TILE):
            _add_tile(block, a * rows, b * rows, n, square, a * columns + b)


@inner
def _add_tile(block, a, b, n, square, at):
    """Sixteen products of columns that begin at a and b of block.flat."""
    columns, rows = square.shape[0], block.shape[1]
    at0 = at * WIDTH
    at1 = (at + columns) * WIDTH
    at2 = (at + 2 * columns) * WIDTH
    at3 = (at + 3 * columns) * WIDTH
    s00 = load8(square, at0)
    s01 = load8(square, at0 + WIDTH)
    s02 = load8(square, at0 + 2 * WIDTH)
    s03 = load8(square, at0 + 3 * WIDTH)
    s10 = load8(square, at1)
    s11 = load8(square, at1 + WIDTH)
    s12 = load8(square, at1 + 2 * WIDTH)
    s13 = load8(square, at1 + 3 * WIDTH)
    s20 = load8(square, at2)
    s21 = load8(square, at2 + WIDTH)
    s22 = load8(square, at2 + 2 * WIDTH)
    s23 = load8(square, at2 + 3 * WIDTH)
    s30 = load8(square, at3)
    s31 = load8(square, at3 + WIDTH)
    s32 = load8(square, at3 + 2 * WIDTH)
    s33 = load8(square, at3 + 3 * WIDTH)
    for k in range(0, n, WIDTH):
        y0 = load8(block, b + k)
        y1 = load8(block, b + rows + k)
        y2 = load8(block, b + 2 * rows + k)
        y3 = load8(block, b + 3 * rows + k)
        x = load8(block, a + k)
        s00 = s00 + x * y0
        s01 = s01 + x * y1
        s02 = s02 + x * y2
        s03 = s03 + x * y3
        x = load8(block, a + rows + k)
        s10 = s10 + x * y0
        s11 = s11 + x * y1
        s12 = s12 + x * y2
        s13 = s13 + x * y3
        x = load8(block, a + 2 * rows + k)
        s20 = s20 + x * y0
        s21 = s21 + x * y1
        s22 = s22 + x * y2
        s23 = s23 + x * y3
        x = load8(block, a + 3 * rows + k)
        s30 = s30 + x * y0
        s31 = s31 + x * y1
        s32 = s32 + x * y2
        s33 = s33 + x * y3
    store8(square, at0, s00)
    store8(square, at0 + WIDTH, s01)
    store8(square, at0 + 2 * WIDTH, s02)
    store8(square, at0 + 3 * WIDTH, s03)
    store8(square, at1, s10)
    store8(square, at1 + WIDTH, s11)
    store8(square, at1 + 2 * WIDTH, s12)
    store8(square, at1 + 3 * WIDTH, s13)
    store8(square, at2, s20)
    store8(square, at2 + WIDTH, s21)
    store8(square, at2 + 2 * WIDTH, s22)
    store8(square, at2 + 3 * WIDTH, s23)
    store8(square, at3, s30)
    store8(square, at3 + WIDTH, s31)
    store8(square, at3 + 2 * WIDTH, s32)
    store8(square, at3 + 3 * WIDTH, s33)


@inner
def _load_block(xt, mean, i0, n, block):
    """Rows i0..i0 + n less their means; then rows of zeros, to the block's end."""
    for c in range(xt.shape[0]):
        m = mean[c]
        whole = n // WIDTH * WIDTH
        line = all8(m)
        for k in range(0, whole, WIDTH):
            z = load8(xt, c * xt.shape[1] + i0 + k) - line
            store8(block, c * BLOCK + k, z)
        for k in range(whole, n):
            block[c, k] = xt[c, i0 + k] - m
        for k in range(n, BLOCK):
            block[c, k] = 0.0


@inner
def _turn_block(block, lines):
    """lines = block'; block has no fewer columns, zeros where lines has more."""
    columns = lines.shape[1]
    if columns < WIDTH:
        for k in range(BLOCK):
            for c in range(columns):
                lines[k, c] = block[c, k]
    for c in range(0, columns // WIDTH * WIDTH, WIDTH):
        for k in range(0, BLOCK, WIDTH):
            transpose8(block, c * BLOCK + k, i8(BLOCK), lines, k * columns + c, columns)


@kernel(
    types.void(
        i8, i8, I4R, I4R, F8R2, F8R, F8R, F8R2, F8R, F8W, F8W2, F8W2, F8W3, F8W3, F8W2,
    ),
)  # fmt: skip
def row_moments(
    i0, i1, out, last, total, spared, r, xt, mean, root, block, lines, table, square,
    first,
):  # fmt: skip
    """Moments of rows i0..i1, each read once.

    With z = x - mean, xt being x', and u = r times a row's hazard (cumulated in
    ``total``, less what ties spare the row, if ``spared`` is not empty): first +=
    u z and the upper tiles of square += u z z', both as lines to be added up, and
    r z goes into the table. ``root`` (BLOCK,), ``block`` (columns of the
    table or of square, whichever are more, BLOCK), of zeros, and ``lines`` (BLOCK,
    columns of the table) are scratch.
    """
    entered = out.size > 0
    ties = spared.size > 0
    columns = lines.shape[1]
    plain = columns >= WIDTH and table.shape[1] == 1
    for b0 in range(i0, i1, BLOCK):
        n = min(BLOCK, i1 - b0)
        for k in range(n):
            i = b0 + k
            hazard = hazard_of(total, out, last, i)
            if ties:
                hazard -= spared[i]
            root[k] = math.sqrt(max(r[i] * hazard, 0.0))
        for k in range(n, BLOCK):
            root[k] = 0.0
        _load_block(xt, mean, b0, n, block)
        _turn_block(block, lines)
        for c in range(xt.shape[0]):
            for k in range(c * BLOCK, (c + 1) * BLOCK, WIDTH):
                w = load8(root, k - c * BLOCK)
                store8(block, k, load8(block, k) * w)
        for k in range(n):
            i = b0 + k
            join = i8(last[i])
            leave = i8(out[i]) if entered else i8(-1)
            if plain:
                for c in range(0, columns, WIDTH):
                    v = all8(r[i]) * load8(lines, k * columns + c)
                    _add_line(table, join, columns, c, v)
                    if leave >= 0:
                        _add_line(table, leave, columns, c, all8(0.0) - v)
            else:
                _join(table, join, r[i], lines, k)
                if leave >= 0:
                    _join(table, leave, -r[i], lines, k)
        _add_products(block, root, n, square, first)
