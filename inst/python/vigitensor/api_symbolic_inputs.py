"""Checks of what R sends for symbolic matrices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import EngineError
from .symbolic.resident import dtype_of, is_tensor, on_host

Array = npt.NDArray[Any]

# Name of a reduction: how it is computed, which of its results it returns.
REDUCTIONS: dict[str, tuple[str, tuple[str, ...]]] = {
    "sum": ("sum", ("value",)),
    "mean": ("mean", ("value",)),
    "prod": ("prod", ("value",)),
    "prod_nonzero": ("prod_nonzero", ("value",)),
    "zeros": ("zeros", ("value",)),
    "zero_sum": ("zero_sum", ("value",)),
    "zero_squares": ("zero_squares", ("value",)),
    "logsumexp": ("logsumexp", ("value",)),
    "sumsoftmaxweight": ("sumsoftmaxweight", ("value",)),
    "min": ("min", ("value",)),
    "max": ("max", ("value",)),
    "argmin": ("min", ("index",)),
    "argmax": ("max", ("index",)),
    "min_argmin": ("min", ("value", "index")),
    "max_argmax": ("max", ("value", "index")),
    "kmin": ("kmin", ("value",)),
    "argkmin": ("kmin", ("index",)),
    "kmin_argkmin": ("kmin", ("value", "index")),
    "kmax": ("kmax", ("value",)),
    "argkmax": ("kmax", ("index",)),
    "kmax_argkmax": ("kmax", ("value", "index")),
    "var": ("var", ("value",)),
    "sd": ("sd", ("value",)),
    "histogram": ("histogram", ("value",)),
    "count": ("sum", ("value",)),
    "any": ("max", ("value",)),
    "all": ("min", ("value",)),
}
_EXPONENTIAL = ("logsumexp", "sumsoftmaxweight")
_WEIGHTED = (*_EXPONENTIAL, "sum", "mean", "var", "sd", "count", "histogram")
_OVER_NONE = (
    "sum", "prod", "prod_nonzero", "zeros", "zero_sum", "zero_squares", "logsumexp",
    "histogram",
)  # fmt: skip
LOGICAL = ("count", "any", "all")


class Case:
    """Checked arguments of one call."""

    def __init__(
        self,
        expression: Any,
        data: Sequence[Any],
        index: Sequence[str],
        reduction: str,
        axis: str,
        k: int,
        weight: Any,
        precision: str,
        size: Sequence[int] | None,
        breaks: Any = None,
    ) -> None:
        from .symbolic.tables import Problem
        from .symbolic.tree import apply

        known(reduction, tuple(REDUCTIONS), "reduction")
        known(axis, ("i", "j"), "axis")
        known(precision, ("float32", "float64"), "precision")
        if len(data) != len(index):
            raise EngineError(
                f"{len(data)} data sets and {len(index)} indices were given.",
                code="bad_index",
                arg="index",
            )
        for kind in index:
            known(kind, ("i", "j", "p", "ij"), "index")
        dtype = np.dtype(precision)
        arrays = [
            as_rows(values, kind, slot, dtype)
            for slot, (values, kind) in enumerate(zip(data, index))
        ]
        self.index = index
        self.dims = [a.shape[-1] for a in arrays]
        n, m = _sizes(arrays, index, size)
        self.kind, self.wanted = REDUCTIONS[reduction]
        formula, weights, numbers = parse_both(expression, weight, index, self.dims)
        if (weight is not None) != (reduction == "sumsoftmaxweight") and (
            weight is None or reduction not in _WEIGHTED
        ):
            raise EngineError(
                f"{reduction!r} {'needs' if weight is None else 'takes no'} weights.",
                code="bad_reduction",
                arg="weight",
            )
        if reduction in LOGICAL:
            formula = apply("ne", formula, 0.0)
        exponential = reduction in _EXPONENTIAL and weights is not None
        if weights is not None and not exponential and weights.dim != 1:
            raise EngineError(
                f"The weights of {reduction!r} have one component, not {weights.dim}.",
                code="bad_dimension",
                arg="weight",
            )
        one = self.kind in ("kmin", "kmax", "histogram") or exponential
        if one and formula.dim != 1:
            raise EngineError(
                f"{reduction!r} takes a formula of one component, not {formula.dim}.",
                code="bad_dimension",
                arg="expression",
            )
        reduced = m if axis == "j" else n
        if reduced == 0 and self.kind not in _OVER_NONE:
            raise EngineError(
                f"{reduction!r} over no values.", code="empty", arg="data"
            )
        self.k = int(k)
        if self.kind in ("kmin", "kmax") and not 1 <= self.k <= reduced:
            raise EngineError(
                f"`k` must be from 1 to the {reduced} values there are, not {k}.",
                code="bad_k",
                arg="k",
            )
        self.axis = axis
        self.breaks = _breaks(breaks, dtype) if reduction == "histogram" else None
        self.exponential = exponential
        self.formula, self.weight = formula, weights
        self.problem = Problem(arrays, numbers, n, m, dtype)

    def leaves(self, wrt: Sequence[int]) -> list[Any]:
        """The variables of some slots."""
        from .symbolic.tree import variable

        slots = [slot_of(s, len(self.dims)) for s in wrt]
        return [variable(self.index[s], s, self.dims[s]) for s in slots]

    def cotangent(self, value: Any) -> Array:
        """A cotangent in the shape of the reduction's value."""
        rows = self.problem.n if self.axis == "j" else self.problem.m
        width = self.k if self.kind in ("kmin", "kmax") else self.formula.dim
        if self.exponential:
            width = self.weight.dim
        out = np.asarray(value, self.problem.dtype)
        if out.size != rows * width or out.ndim > 2:
            raise EngineError(
                f"The cotangent must be ({rows}, {width}) as the result is; its "
                f"shape is {out.shape}.",
                code="bad_cotangent",
                arg="cotangent",
            )
        return out.reshape(rows, width)


def parse_both(
    expression: Any, weight: Any, index: Sequence[str], dims: Sequence[int]
) -> tuple[Any, Any, tuple[float, ...]]:
    """A formula and its weights, with their numbers in one list."""
    from .symbolic import parse

    formula, numbers = parse.parse(expression, index, dims)
    if weight is None:
        return formula, None, numbers
    weights, more = _after(weight, index, dims, len(numbers))
    return formula, weights, numbers + more


def parse_more(expression: Any, case: Case) -> tuple[Any, list[float]]:
    """Another formula on the data of a case, and the numbers of all."""
    numbers = case.problem.numbers
    node, more = _after(expression, case.index, case.dims, len(numbers))
    return node, [*numbers, *more]


def _after(
    expression: Any, index: Sequence[str], dims: Sequence[int], first: int
) -> tuple[Any, tuple[float, ...]]:
    """A formula whose numbers are counted from ``first`` on."""
    from .symbolic import parse, tree

    node, numbers = parse.parse(expression, index, dims)
    moved = {
        part: tree.number(part.static[0] + first)
        for part in tree.nodes_of(node)
        if part.op == "number"
    }
    return tree.rebuilt(node, moved), numbers


def as_rows(values: Any, kind: str, slot: int, dtype: Any) -> Array:
    if is_tensor(values):
        return _as_tensor(values, kind, dtype)
    try:
        out = np.asarray(values)
        if kind == "ij" and out.ndim == 2:
            out = out[:, :, None]
        if out.dtype.kind == "c":
            pairs = np.stack((out.real, out.imag), axis=-1)
            out = pairs.reshape(*out.shape[:-1], -1) if out.ndim else pairs
        out = _converted(out, dtype)
    except (TypeError, ValueError):
        raise EngineError(
            f"The data in slot {slot} must be numeric.", code="bad_type", arg="data"
        ) from None
    if kind == "p":
        return out.reshape(1, -1)
    if kind == "ij" and out.ndim == 3 and out.shape[2]:
        return out
    if out.ndim == 1:
        out = out.reshape(-1, 1)
    if out.ndim != 2 or kind == "ij" or out.shape[1] < 1:
        raise EngineError(
            f"The data in slot {slot} must be a matrix of one row per {kind}; their "
            f"shape is {out.shape}.",
            code="bad_shape",
            arg="data",
        )
    return out


def _as_tensor(values: Any, kind: str, dtype: Any) -> Any:
    """Rows that are on a device stay there."""
    if dtype_of(values) != dtype:
        import torch

        values = values.to(getattr(torch, dtype.name))
    if kind == "p":
        return values.reshape(1, -1)
    return values[..., None] if values.ndim == 1 + (kind == "ij") else values


def _converted(values: Array, dtype: Any) -> Array:
    """The same in another precision; many rows by all threads."""
    if values.dtype == dtype or values.ndim == 0 or len(values) < 1 << 18:
        return np.asarray(values, dtype)
    from . import pool

    out = np.empty_like(values, dtype)

    def convert(some: slice) -> None:
        out[some] = values[some]

    step = 1 << 17
    pool.run_slices(convert, [slice(k, k + step) for k in range(0, len(out), step)])
    return out


def _sizes(
    arrays: Sequence[Array], index: Sequence[str], size: Sequence[int] | None
) -> tuple[int, int]:
    out = []
    for k, name in enumerate(("i", "j")):
        rows = {a.shape[0] for a, kind in zip(arrays, index) if kind == name}
        rows |= {a.shape[k] for a, kind in zip(arrays, index) if kind == "ij"}
        if size is not None:
            rows.add(int(size[k]))
        if len(rows) > 1:
            found = " and ".join(str(r) for r in sorted(rows))
            raise EngineError(
                f"Data indexed by {name} have different numbers of rows: {found}.",
                code="bad_size",
                arg="data",
            )
        if not rows:
            raise EngineError(
                f"No data are indexed by {name}; `size` must say how many there are.",
                code="bad_size",
                arg="size",
            )
        out.append(rows.pop())
    return out[0], out[1]


def positions(given: Any, n: int, base: int, arg: str) -> Array:
    if given is None:
        return np.arange(n)
    out: Array = np.atleast_1d(np.asarray(given)).astype(np.int64) - base
    if out.size and (out.min() < 0 or out.max() >= n):
        raise EngineError(
            f"`{arg}` must be from {base} to {n - 1 + base}.",
            code="bad_place",
            arg=arg,
        )
    return out


def _breaks(given: Any, dtype: Any) -> Array:
    """Limits of the cells of a histogram."""
    out = np.atleast_1d(np.asarray([] if given is None else given, dtype))
    if out.ndim != 1 or len(out) < 2 or not (np.diff(out) > 0).all():
        raise EngineError(
            "A histogram needs `breaks`: at least two numbers, going up.",
            code="bad_breaks",
            arg="breaks",
        )
    return np.ascontiguousarray(out)


def gathered(
    data: Sequence[Array], kinds: Sequence[str], rows: Array, columns: Array,
    paired: bool,
) -> list[Array]:  # fmt: skip
    """Data of some rows and columns; ``paired``: of pairs of them."""
    both = (rows, columns) if paired else np.ix_(rows, columns)
    at: dict[str, Any] = {"i": rows, "j": columns, "ij": both}
    return [
        on_host(values)[at[kind]] if kind in at else values
        for values, kind in zip(data, kinds)
    ]


def slot_of(given: Any, n: int) -> int:
    slot = int(given)
    if not 0 <= slot < n:
        raise EngineError(f"There is no slot {slot}.", code="bad_slot", arg="wrt")
    return slot


def known(value: str, allowed: tuple[str, ...], arg: str) -> None:
    if value not in allowed:
        raise EngineError(
            f"`{arg}` must be one of {', '.join(allowed)}; it is {value!r}.",
            code=f"bad_{arg}",
            arg=arg,
        )
