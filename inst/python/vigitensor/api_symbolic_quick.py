"""Small reductions as R calls them: few arguments, checked once for their sizes.

What a call needs besides its data depends on the words, the numbers and the shapes;
it is kept, so that a loop over small problems pays for the numbers alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .api_symbolic_inputs import LOGICAL, Case, as_rows
from .symbolic.resident import DeviceArray, placed, taken

Array = npt.NDArray[Any]
_MOST = 256


class _Plan(NamedTuple):
    """All that a call needs besides its data."""

    kinds: Sequence[str]
    formula: Any
    weight: Any
    problem: Any
    reduction: str
    shape: Any
    wanted: tuple[str, ...]


_plans: dict[Any, _Plan | None] = {}


def symbolic_quick(
    words: str | Sequence[str], numbers: Any, data: Sequence[Any], keep: bool = False
) -> dict[str, Any]:
    """``symbolic_reduce`` in few arguments, for small calls.

    ``words`` are the formula, the weights or "", the indices in one word ("ijp"),
    reduction, axis and precision, in lines or in a list; ``numbers`` are k, base, n
    and m. ``keep`` is as there.
    """
    words = words if isinstance(words, str) else "\n".join(words)
    k, base, n, m = (int(v) for v in numbers)
    arrays: Sequence[Any] = data
    if any([type(values) is DeviceArray for values in data]):
        arrays, engine, device = taken(data, "cpu", None)
        if engine != "cpu":
            return _in_full(words, k, base, n, m, arrays, keep, engine, device)
    arrays = [np.asarray(values) for values in arrays]
    key = (words, k, n, m, tuple([(a.shape, a.dtype.kind) for a in arrays]))
    if key in _plans:
        plan = _plans[key]
    else:
        if len(_plans) >= _MOST:
            _plans.clear()
        plan = _plans[key] = _planned(words, k, n, m, arrays)
    if plan is None:
        return _in_full(words, k, base, n, m, arrays, keep)
    from .symbolic import small

    dtype = plan.problem.dtype
    rows = [
        as_rows(values, kind, slot, dtype)
        for slot, (values, kind) in enumerate(zip(arrays, plan.kinds))
    ]
    found: dict[str, Any] = small.reduce(
        plan.formula, plan.weight, plan.problem._replace(data=rows), plan.reduction,
        plan.shape,
    )  # fmt: skip
    if "index" in plan.wanted:
        found["index"] += base
    if keep and "value" in plan.wanted:
        found["value"] = placed(found["value"], "cpu", "cpu")
    return {name: found[name] for name in plan.wanted}


def _in_full(
    words: str, k: int, base: int, n: int, m: int, data: Sequence[Any], keep: bool,
    engine: str = "cpu", device: str | None = None,
) -> dict[str, Any]:  # fmt: skip
    from .api_symbolic import symbolic_reduce

    expression, weight, index, reduction, axis, precision = words.split("\n")
    return symbolic_reduce(
        expression, data, list(index), reduction, axis, k=k, weight=weight or None,
        precision=precision, base=base, size=(n, m), keep=keep, engine=engine,
        device=device,
    )  # fmt: skip


def _planned(words: str, k: int, n: int, m: int, data: Sequence[Any]) -> _Plan | None:
    """The plan of a small reduction; None: it is not small, or not simple."""
    from .symbolic import small
    from .symbolic.evaluate import prepared

    expression, weight, index, reduction, axis, precision = words.split("\n")
    case = Case(
        expression, data, list(index), reduction, axis, k, weight or None, precision,
        (n, m),
    )  # fmt: skip
    if not small.fits(case.problem) or reduction in (*LOGICAL, "var", "sd"):
        return None
    if case.weight is not None and not case.exponential:
        return None
    formula, weights, problem, kind, shape = prepared(
        case.formula, case.weight, case.problem, case.kind, axis, case.k
    )
    return _Plan(
        list(index), formula, weights, problem._replace(data=()), kind, shape,
        case.wanted,
    )  # fmt: skip
