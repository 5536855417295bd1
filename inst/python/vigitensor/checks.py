"""Checks of what comes in through ``api``, each with its own error code.

A check returns the array in the type the engine works in. Arrays of the right
type are passed on as they are, read-only ones included; nothing is written to.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ._typing import Floats, Ints
from .errors import EngineError


def vector(x: Any, arg: str, n: int | None = None) -> Floats:
    """A finite float vector, of length n if given."""
    out = _as_array(x, arg, np.float64)
    if out.ndim == 0:
        out = out.reshape(1)
    if out.ndim != 1 or (n is not None and out.size != n):
        expected = "a vector" if n is None else f"a vector of length {n}"
        raise EngineError(
            f"`{arg}` must be {expected}; its shape is {out.shape}.",
            code="bad_shape",
            arg=arg,
        )
    _finite(out, arg)
    return np.ascontiguousarray(out)


def matrix(x: Any, arg: str, n: int | None = None) -> Floats:
    """A finite float matrix with n rows, in any order."""
    out = _as_array(x, arg, np.float64)
    if out.ndim == 1 and n is not None and out.size == n:
        out = out.reshape(n, 1)
    if out.ndim != 2 or (n is not None and out.shape[0] != n):
        expected = "a matrix" if n is None else f"a matrix of {n} rows"
        raise EngineError(
            f"`{arg}` must be {expected}; its shape is {out.shape}.",
            code="bad_shape",
            arg=arg,
        )
    _finite(out, arg)
    return out


def codes(x: Any, arg: str, n: int | None, most: int | None, base: int) -> Ints:
    """Whole codes base..most+base-1 as 0-based int32."""
    out = _as_array(x, arg, None)
    if out.ndim == 0:
        out = out.reshape(1)
    if out.ndim != 1 or (n is not None and out.size != n):
        expected = "a vector" if n is None else f"a vector of length {n}"
        raise EngineError(
            f"`{arg}` must be {expected}; its shape is {out.shape}.",
            code="bad_shape",
            arg=arg,
        )
    if out.dtype.kind not in "iub":
        out = vector(out, arg)
        if not np.array_equal(out, np.rint(out)):
            raise EngineError(
                f"`{arg}` must hold whole numbers.", code="bad_code", arg=arg
            )
    top = 2**31 - 2 if most is None else most - 1 + base
    if out.size and (out.min() < base or out.max() > top):
        bad = int(np.sum((out < base) | (out > top)))
        raise EngineError(
            f"`{arg}` must hold codes from {base} to {top}; {bad} of "
            f"{out.size} do not.",
            code="bad_code",
            arg=arg,
        )
    if base == 0 and out.dtype == np.int32:
        return np.ascontiguousarray(out)
    return out.astype(np.int32) - np.int32(base)


def after(start: Floats, stop: Floats, arg: str) -> None:
    """Every interval (start, stop] must have a length."""
    bad = int(np.sum(~(stop > start)))
    if bad:
        raise EngineError(
            f"`{arg}` must be later than its start; it is not in {bad} of "
            f"{stop.size} rows.",
            code="bad_interval",
            arg=arg,
        )


def whole(x: Floats, arg: str) -> None:
    """Times of exposure records are whole numbers of units."""
    if not np.array_equal(x, np.rint(x)):
        raise EngineError(
            f"`{arg}` must hold whole numbers of time units.",
            code="time_not_whole",
            arg=arg,
        )


def table(x: Any, arg: str) -> Floats:
    """A cumulated basis table: (m + 1, J), first row zero."""
    out = matrix(x, arg)
    if out.shape[0] < 2 or out.shape[1] < 1 or out[0].any():
        raise EngineError(
            f"`{arg}` must be (m + 1, J) with m, J >= 1 and a first row of zeros; "
            f"its shape is {out.shape}.",
            code="bad_table",
            arg=arg,
        )
    return out


def word(x: Any, arg: str, allowed: tuple[str, ...]) -> str:
    """One of a few words."""
    if x not in allowed:
        choices = " or ".join(f'"{a}"' for a in allowed)
        raise EngineError(f"`{arg}` must be {choices}.", code=f"bad_{arg}", arg=arg)
    return str(x)


def _as_array(x: Any, arg: str, dtype: Any) -> Any:
    try:
        return np.asarray(x, dtype=dtype)
    except (TypeError, ValueError):
        raise EngineError(
            f"`{arg}` must be numeric.", code="bad_type", arg=arg
        ) from None


def _finite(x: Floats, arg: str) -> None:
    # One pass without a temporary: a sum of finite numbers may overflow, so a
    # suspicious sum is looked at again.
    with np.errstate(all="ignore"):
        if np.isfinite(x.sum()):
            return
    bad = int(x.size - np.isfinite(x).sum())
    if bad:
        raise EngineError(
            f"`{arg}` must be finite; {bad} of {x.size} values are not.",
            code="not_finite",
            arg=arg,
        )
