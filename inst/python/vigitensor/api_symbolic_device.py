"""Arrays that stay where they are computed with, as R calls them.

A loop then exchanges handles and a few coefficients with Python. Values are never
changed, so that a handle stands for the same numbers as long as it lives.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .api_symbolic_inputs import as_rows, known, positions
from .errors import EngineError
from .symbolic.resident import DeviceArray, dtype_of, is_tensor, on_host, placed

Array = npt.NDArray[Any]
_ARITH: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv,
    "^": operator.pow, "==": operator.eq, "!=": operator.ne, "<": operator.lt,
    "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
# Name: as NumPy and torch call it, where that differs.
_MATH: dict[str, tuple[str, str]] = {
    "exp": ("exp", "exp"), "log": ("log", "log"), "sqrt": ("sqrt", "sqrt"),
    "abs": ("abs", "abs"), "sin": ("sin", "sin"), "cos": ("cos", "cos"),
    "tan": ("tan", "tan"), "tanh": ("tanh", "tanh"), "sinh": ("sinh", "sinh"),
    "cosh": ("cosh", "cosh"), "asin": ("arcsin", "asin"), "acos": ("arccos", "acos"),
    "atan": ("arctan", "atan"), "expm1": ("expm1", "expm1"),
    "log1p": ("log1p", "log1p"), "sign": ("sign", "sign"),
    "floor": ("floor", "floor"), "ceiling": ("ceil", "ceil"),
    "trunc": ("trunc", "trunc"),
}  # fmt: skip
_BLOCK = 4096  # rows of a product, so that blocks are added up in doubles


def symbolic_array(
    x: Any, precision: str = "float64", engine: str = "cpu", device: str | None = None
) -> DeviceArray:
    """Data that stay with the engine: rows of numbers, copied once.

    Parameters
    ----------
    x : array, (n, d) or (n,)
        Complex numbers become real and imaginary parts in turn.
    precision : {"float64", "float32"}
    engine : {"cpu", "torch"}
    device : str, optional
        Of torch; "auto" (default) takes a GPU where there is one.

    Returns
    -------
    DeviceArray
        A handle, with ``shape``, ``dtype``, ``engine`` and ``device``. Functions of
        symbolic matrices take it in ``data``.

    Raises
    ------
    EngineError
        ``bad_type``, ``bad_shape``, ``bad_precision``, ``bad_engine``,
        ``no_engine``, ``no_device``.
    """
    from .symbolic.engine import chosen

    known(precision, ("float32", "float64"), "precision")
    known(engine, ("cpu", "torch"), "engine")
    if isinstance(x, DeviceArray):
        x = np.asarray(x)
    home = chosen(engine, device)
    values = as_rows(x, "i", 0, np.dtype(precision))
    # R may write to its memory once its own name for it is gone.
    return placed(np.array(values, order="F"), home.name, home.device)


def symbolic_array_value(x: DeviceArray) -> Array:
    """The numbers of a handle, (n, d)."""
    return np.asarray(_held(x))


def symbolic_arith(op: str, x: Any, y: Any = None) -> DeviceArray:
    """``x op y`` of handles or numbers, number by number.

    ``op`` is an operator of R or "neg" (of x alone); a test gives 0 and 1. An array
    of one column meets each column of the other.
    """
    if op == "neg":
        x, op, y = 0.0, "-", _held(x)
    known(op, tuple(_ARITH), "op")
    like = x if isinstance(x, DeviceArray) else _held(y, "y")
    a, b = (_operand(v, like) for v in (x, y))
    with np.errstate(all="ignore"):
        out = _ARITH[op](a, b)
    return like.like(_typed(out, like))


def symbolic_math(name: str, x: DeviceArray) -> DeviceArray:
    """A function of each number."""
    known(name, tuple(_MATH), "name")
    values = _held(x).values
    if is_tensor(values):
        import torch

        return x.like(getattr(torch, _MATH[name][1])(values))
    with np.errstate(all="ignore"):
        return x.like(getattr(np, _MATH[name][0])(values))


def symbolic_fold(name: str, x: DeviceArray) -> Any:
    """ "sum", "prod", "min" and "max" of all numbers, (1,); "colsums" (d,); a handle
    (n, 1) of "rowsums". Sums run in doubles."""
    known(name, ("sum", "prod", "min", "max", "colsums", "rowsums"), "name")
    values = _held(x).values
    if name in ("min", "max"):
        return np.asarray(on_host(getattr(values, name)()), np.float64).reshape(1)
    double: Any = np.float64
    if is_tensor(values):
        import torch

        double = torch.float64
    if name == "rowsums":
        return x.like(_typed(values.sum(1, dtype=double).reshape(-1, 1), x))
    if name == "colsums":
        return np.asarray(on_host(values.sum(0, dtype=double)))
    total = getattr(values.reshape(-1), name)(dtype=double)
    return np.asarray(on_host(total), np.float64).reshape(1)


def symbolic_dot(x: DeviceArray, y: DeviceArray) -> Array:
    """Products of the columns of x with those of y, (columns of x, columns of y)."""
    a = _held(x).values
    b = _operand(_held(y, "y"), x)
    if a.shape[0] != b.shape[0]:
        raise _unfit(x, y)
    out = np.zeros((x.shape[1], y.shape[1]))
    if is_tensor(a):
        import torch

        return np.asarray(on_host(a.T.to(torch.float64) @ b.to(torch.float64)))
    # NumPy's BLAS would sum in another order for another number of threads.
    for r in range(0, len(a), _BLOCK):
        some = slice(r, r + _BLOCK)
        left, right = (np.asarray(v[some], np.float64) for v in (a, b))
        out += np.einsum("ri,rj->ij", left, right)
    return out


def symbolic_times(x: DeviceArray, b: Any) -> DeviceArray:
    """A handle of x times a small matrix (columns of x, any)."""
    small = np.asarray(b, dtype_of(_held(x).values))
    small = small.reshape(-1, 1) if small.ndim == 1 else small
    if small.ndim != 2 or small.shape[0] != x.shape[1]:
        raise EngineError(
            f"A matrix of {x.shape[1]} rows was expected; its shape is {small.shape}.",
            code="bad_shape",
            arg="b",
        )
    if is_tensor(x.values):
        return x.like(x.values @ placed(small, "torch", x.device).values)
    return x.like(np.asfortranarray(np.einsum("ij,jk->ik", x.values, small)))


def symbolic_rows(x: DeviceArray, at: Sequence[int]) -> DeviceArray:
    """Some rows, counted from 0."""
    return _picked(x, at, 0)


def symbolic_columns(x: DeviceArray, at: Sequence[int]) -> DeviceArray:
    """Some columns, counted from 0."""
    return _picked(x, at, 1)


def _picked(x: DeviceArray, at: Any, axis: int) -> DeviceArray:
    place: Any = positions(at, _held(x).shape[axis], 0, "at")
    if is_tensor(x.values):
        import torch

        place = torch.as_tensor(place, device=x.values.device)
        return x.like(x.values.index_select(axis, place))
    return x.like(np.asfortranarray(np.take(x.values, place, axis=axis)))


def _operand(value: Any, like: DeviceArray) -> Any:
    """A number, or the values of a handle at the same place."""
    if isinstance(value, DeviceArray):
        if (value.engine, value.device) != (like.engine, like.device):
            raise EngineError(
                "Arrays of one operation must be at one place; these are on "
                f"{like.engine} {like.device} and {value.engine} {value.device}.",
                code="bad_device",
                arg="x",
            )
        if value.shape[0] != like.shape[0] and 1 not in (
            value.shape[0], like.shape[0]
        ):  # fmt: skip
            raise _unfit(value, like)
        if value.shape[1] != like.shape[1] and 1 not in (
            value.shape[1], like.shape[1]
        ):  # fmt: skip
            raise _unfit(value, like)
        return value.values
    number = np.asarray(value)
    if number.size != 1 or number.dtype.kind not in "biuf":
        raise EngineError(
            "A number or an array of the engine was expected.", code="bad_type", arg="y"
        )
    return float(number.reshape(-1)[0])


def _typed(out: Any, like: DeviceArray) -> Any:
    """In the type of the operands: a test gives truth values."""
    if is_tensor(out):
        return out.to(like.values.dtype)
    return np.asfortranarray(out, like.values.dtype)


def _held(x: Any, arg: str = "x") -> DeviceArray:
    if not isinstance(x, DeviceArray):
        raise EngineError(
            f"`{arg}` must be an array of the engine (symbolic_array()).",
            code="bad_type",
            arg=arg,
        )
    return x


def _unfit(x: DeviceArray, y: DeviceArray) -> EngineError:
    return EngineError(
        f"Arrays of {x.shape} and of {y.shape} do not fit.", code="bad_shape", arg="x"
    )
