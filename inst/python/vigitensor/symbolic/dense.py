"""Dense evaluation by NumPy, a chunk of rows at a time: the oracle.

Nodes have the shape (rows, columns, components) with 1 where they do not depend on
an index, so that broadcasting does the rest.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from types import CodeType
from typing import Any

import numpy as np
import numpy.typing as npt

from .table import Operation, operations
from .tree import Node, nodes_of

Array = npt.NDArray[Any]


def values(
    root: Node,
    data: Sequence[Array],
    numbers: Sequence[float] = (),
    rows: slice = slice(None),
    columns: slice = slice(None),
    paired: bool = False,
) -> Array:
    """Values of a composite-free tree on a block of rows and columns.

    Parameters
    ----------
    data : list of array
        Per slot (n, dim) for i and j, (dim,) or (1, dim) for parameters, (n, m, dim)
        for matrices of both.
    paired : bool
        Rows and columns go together (j-th column with the i-th row): the result has
        the shape (n, 1, components), and matrices of both are (n, dim).
    """
    dtype = np.result_type(*data) if data else np.dtype(np.float64)
    done: dict[Node, Array] = {}
    with np.errstate(all="ignore"):
        for node in _order(root):
            done[node] = _value(node, done, data, numbers, rows, columns, dtype, paired)
    return done[root]


def _value(
    node: Node,
    done: dict[Node, Array],
    data: Sequence[Array],
    numbers: Sequence[float],
    rows: slice,
    columns: slice,
    dtype: np.dtype[Any],
    paired: bool,
) -> Array:
    if node.op == "var":
        index, slot = node.static
        if index in ("ij", "ji"):
            if paired:
                return data[slot][rows][:, None, :]
            if index == "ij":
                return data[slot][rows, columns]
            return data[slot][columns, rows].transpose(1, 0, 2)
        if index == "i" or (index == "j" and paired):
            return data[slot][rows][:, None, :]
        if index == "j":
            return data[slot][columns][None, :, :]
        return data[slot].reshape(1, 1, -1)
    if node.op == "number":
        return np.full((1, 1, 1), numbers[node.static[0]], dtype)
    if node.op == "const":
        return np.full((1, 1, 1), node.static[0], dtype)
    op = operations()[node.op]
    names: dict[str, Any] = dict(zip("abc", (done[a] for a in node.args)))
    names.update(zip(op.static, node.static))
    out = eval(_compiled(op), _FUNCTIONS, names)
    return np.asarray(out, dtype=dtype)


_order = functools.lru_cache(maxsize=512)(nodes_of)


@functools.cache
def _compiled(op: Operation) -> CodeType:
    return compile(op.numpy, "operations.csv", "eval")


def matrix(
    root: Node, data: Sequence[Array], numbers: Sequence[float], n: int, m: int
) -> Array:
    """All values, (n, m, components)."""
    block = values(root, data, numbers)
    return np.broadcast_to(block, (n, m, root.dim))


def row_chunks(n: int, m: int, dim: int, most: int = 1 << 22) -> list[slice]:
    """Cut rows so that a block of (rows, m, dim) holds at most ``most`` numbers."""
    step = max(1, most // max(1, m * dim))
    return [slice(k, min(n, k + step)) for k in range(0, n, step)]


def _place(a: Array, k: int, d: int) -> Array:
    out = np.zeros((*a.shape[:-1], d), a.dtype)
    out[..., k : k + a.shape[-1]] = a
    return out


def _together(a: Array, b: Array) -> tuple[Array, Array]:
    shape = np.broadcast_shapes(a.shape[:-1], b.shape[:-1])
    return (
        np.broadcast_to(a, (*shape, a.shape[-1])),
        np.broadcast_to(b, (*shape, b.shape[-1])),
    )


def _concat(a: Array, b: Array) -> Array:
    return np.concatenate(_together(a, b), axis=-1)


def _matvec(a: Array, b: Array) -> Array:
    cut = a.reshape(*a.shape[:-1], -1, b.shape[-1])
    out: Array = (cut * b[..., None, :]).sum(-1)
    return out


def _vecmat(a: Array, b: Array) -> Array:
    cut = b.reshape(*b.shape[:-1], a.shape[-1], -1)
    out: Array = (a[..., :, None] * cut).sum(-2)
    return out


def _interleave(a: Array, b: Array) -> Array:
    shape = np.broadcast_shapes(a.shape, b.shape)
    pair = np.stack((np.broadcast_to(a, shape), np.broadcast_to(b, shape)), axis=-1)
    out: Array = pair.reshape(*shape[:-1], 2 * shape[-1])
    return out


def _rounded(a: Array, n: int) -> Array:
    scale = 10.0**n
    out: Array = np.rint(a * scale) / scale
    return out


def _sinxratio(a: Array) -> Array:
    square = a * a
    series = -1 / 3 + square * (1 / 30 - square * (1 / 840 - square / 45360))
    safe = np.where(a == 0, 1, a)
    direct = (np.cos(a) - np.sin(safe) / safe) / (safe * safe)
    return np.where(np.abs(a) < 0.1, series, direct)


_FUNCTIONS: dict[str, Callable[..., Any] | Any] = {
    "np": np,
    "list": list,
    "float": float,
    "place": _place,
    "concat": _concat,
    "matvec": _matvec,
    "vecmat": _vecmat,
    "interleave": _interleave,
    "rounded": _rounded,
    "sinxratio": _sinxratio,
}
