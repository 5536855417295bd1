"""Compiled first and second moments of a Cox model's covariates.

Covariates lie in lines of eight (``kernels_vector``), zeros in what is beyond
the last; fewer than four are stored as they are. A row joins the sums of its
risk sets in one table, see ``kernels_cox``, here (events, parts, columns): the
plain sums, then, with two parts, what rounding lost of them.

Rows are read once: a block that is in the nearest cache goes into the table and
into the second moments, eight by eight sums of which stay in registers.
"""

from __future__ import annotations

import math

from numba import types

from ..kernels_math import F8R, F8R2, F8W, F8W2, I4R, i8, inner, kernel
from ..kernels_vector import all8, load8, store8
from .kernels_cox import F8W3, add_pair, hazard_of
from .kernels_cox_lines import WIDTH, add_line_exactly

# Rows of a block: 24 covariates take 12 kB.
BLOCK = 64


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
def _add_products(block, root, n, columns, square, first):
    """square += block' block, first += block' root, of n rows in lines."""
    lines = columns // WIDTH
    for a in range(lines):
        ca = a * WIDTH
        for b in range(a, lines):
            cb = b * WIDTH
            s0 = all8(0.0)
            s1 = s2 = s3 = s4 = s5 = s6 = s7 = s = s0
            for i in range(n):
                v = load8(block, i * columns + cb)
                s0 = s0 + all8(block[i, ca]) * v
                s1 = s1 + all8(block[i, ca + 1]) * v
                s2 = s2 + all8(block[i, ca + 2]) * v
                s3 = s3 + all8(block[i, ca + 3]) * v
                s4 = s4 + all8(block[i, ca + 4]) * v
                s5 = s5 + all8(block[i, ca + 5]) * v
                s6 = s6 + all8(block[i, ca + 6]) * v
                s7 = s7 + all8(block[i, ca + 7]) * v
                s = s + all8(root[i]) * v
            at = ca * columns + cb
            store8(square, at, load8(square, at) + s0)
            store8(square, at + columns, load8(square, at + columns) + s1)
            store8(square, at + 2 * columns, load8(square, at + 2 * columns) + s2)
            store8(square, at + 3 * columns, load8(square, at + 3 * columns) + s3)
            store8(square, at + 4 * columns, load8(square, at + 4 * columns) + s4)
            store8(square, at + 5 * columns, load8(square, at + 5 * columns) + s5)
            store8(square, at + 6 * columns, load8(square, at + 6 * columns) + s6)
            store8(square, at + 7 * columns, load8(square, at + 7 * columns) + s7)
            if a == b:
                store8(first, cb, load8(first, cb) + s)


@kernel(
    types.void(
        i8, i8, I4R, I4R, F8R2, F8R, F8R, F8R2, F8W2, F8W, F8W3, F8W2, F8W,
    ),
)  # fmt: skip
def row_moments(
    i0, i1, out, last, total, spared, r, z, block, root, table, square, first,
):  # fmt: skip
    """Moments of rows i0..i1, each read once.

    With u = r times a row's hazard (cumulated in ``total``, less what ties spare
    the row, if ``spared`` is not empty): first += u z, the upper lines of
    square += u z z', and r z goes into the table. ``block``
    (BLOCK, columns) and ``root`` (BLOCK,) are scratch.
    """
    entered = out.size > 0
    columns = z.shape[1]
    lines = columns // WIDTH
    plain = lines > 0 and table.shape[1] == 1
    ties = spared.size > 0
    for b0 in range(i0, i1, BLOCK):
        n = min(BLOCK, i1 - b0)
        for k in range(n):
            i = b0 + k
            join = i8(last[i])
            leave = i8(out[i]) if entered else i8(-1)
            hazard = hazard_of(total, out, last, i)
            if ties:
                hazard -= spared[i]
            u = max(r[i] * hazard, 0.0)
            root[k] = math.sqrt(u)
            for g in range(lines):
                c = g * WIDTH
                v = load8(z, i * columns + c)
                store8(block, k * columns + c, all8(root[k]) * v)
                if plain:
                    _add_line(table, join, columns, c, all8(r[i]) * v)
                    if leave >= 0:
                        _add_line(table, leave, columns, c, all8(-r[i]) * v)
            if not plain:
                _join(table, join, r[i], z, i)
                if leave >= 0:
                    _join(table, leave, -r[i], z, i)
            if lines == 0:
                for c in range(columns):
                    first[c] += u * z[i, c]
                    for d in range(c, columns):
                        square[c, d] += u * z[i, c] * z[i, d]
        _add_products(block, root, n, columns, square, first)
