"""Dense evaluation by NumPy, a chunk of rows at a time: the oracle.

Nodes have the shape (rows, columns, components) with 1 where they do not depend on
an index, so that broadcasting does the rest.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .resident import on_host
from .table import operations
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
    data = [on_host(values) for values in data]
    dtype = np.result_type(*data) if data else np.dtype(np.float64)
    run = _program(root, dtype, paired)
    with np.errstate(all="ignore"):
        out: Array = run(data, numbers, rows, columns)
    return out


@functools.lru_cache(maxsize=512)
def _program(root: Node, dtype: np.dtype[Any], paired: bool) -> Callable[..., Array]:
    """The tree as one function of Python, a line for each node."""
    names: dict[Node, str] = {}
    scope: dict[str, Any] = {**_FUNCTIONS, "dtype": dtype, "asarray": np.asarray}
    lines = []
    for k, node in enumerate(nodes_of(root)):
        names[node] = name = f"v{k}"
        if node.op == "const":
            scope[name] = np.full((1, 1, 1), node.static[0], dtype)
            continue
        if node.op == "var":
            index, slot = node.static
            code = _leaf(index, slot, paired)
        elif node.op == "number":
            code = f"asarray([[[numbers[{node.static[0]}]]]], dtype)"
        else:
            op = operations()[node.op]
            words = dict(zip("abc", (names[a] for a in node.args)))
            words.update(zip(op.static, (repr(s) for s in node.static)))
            code = f"asarray({_named(op.numpy, words)}, dtype)"
        lines.append(f"    {name} = {code}")
    text = ["def run(data, numbers, rows, columns):", *lines]
    exec("\n".join([*text, f"    return {names[root]}"]), scope)
    run: Callable[..., Array] = scope["run"]
    return run


def _leaf(index: str, slot: int, paired: bool) -> str:
    """Code of some rows and columns of data."""
    data = f"data[{slot}]"
    if index in ("ij", "ji"):
        if paired:
            return f"{data}[rows][:, None, :]"
        if index == "ij":
            return f"{data}[rows, columns]"
        return f"{data}[columns, rows].transpose(1, 0, 2)"
    if index == "i" or (index == "j" and paired):
        return f"{data}[rows][:, None, :]"
    if index == "j":
        return f"{data}[columns][None, :, :]"
    return f"{data}.reshape(1, 1, -1)"


def _named(code: str, names: dict[str, str]) -> str:
    """Code with other names; attributes and parts of words are left alone."""
    return re.sub(r"(?<![\w.])[a-z]+(?!\w)", lambda m: names.get(m[0], m[0]), code)


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
