"""Symbolic matrices as R calls them: plain lists and arrays in, dict of arrays out.

A formula comes as nested lists or JSON (``symbolic.parse`` has the form) with the
data in numbered slots, each indexed by "i", by "j" or by nothing ("p"). Slots and
places are counted from 0 in a formula; positions in results from ``base``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .api_symbolic_inputs import (
    LOGICAL,
    Case,
    known,
    parse_both,
    positions,
    slot_of,
)
from .errors import EngineError

Array = npt.NDArray[Any]


def symbolic_reduce(
    expression: Any,
    data: Sequence[Any],
    index: Sequence[str],
    reduction: str = "sum",
    axis: str = "j",
    *,
    k: int = 1,
    weight: Any = None,
    precision: str = "float64",
    base: int = 0,
    size: Sequence[int] | None = None,
) -> dict[str, Array]:
    """Reduce a formula F(x_i, y_j, p) over j (or i).

    Parameters
    ----------
    expression : str or list
        The formula, see ``symbolic.parse``.
    data : list of array
        Per slot (n, d) or (n,) for i and j; any shape, read row by row, for a
        parameter. Complex arrays become real and imaginary parts in turn.
    index : list of {"i", "j", "p"}
    reduction : str
        One of ``REDUCTIONS``.
    axis : {"j", "i"}
        The index that disappears.
    k : int
        For the reductions with a k in their name.
    weight : str or list, optional
        Formula of the weights, for "logsumexp"; needed for "sumsoftmaxweight".
    precision : {"float64", "float32"}
    base : int
        First position, 0 or 1.
    size : (n, m), optional
        Needed where no data are indexed by i, or none by j.

    Returns
    -------
    dict
        ``value`` (rows, components or k) and ``index`` of the same shape, as the
        reduction has them; a position where there is no value is ``base`` - 1.

    Raises
    ------
    EngineError
        ``bad_expression``, ``unknown_operation``, ``bad_arity``,
        ``bad_dimension``, ``bad_place``, ``bad_index``, ``bad_shape``,
        ``bad_type``, ``bad_size``, ``bad_reduction``, ``bad_axis``, ``bad_k``,
        ``bad_precision``, ``empty``.

    Notes
    -----
    Memory is linear in n + m; time in n m. A NaN makes sums, smallest and largest
    values NaN; the k smallest values pass over it.
    """
    from .symbolic.evaluate import reduce

    case = Case(expression, data, index, reduction, axis, k, weight, precision, size)
    found = reduce(
        case.formula, case.problem, case.kind, axis, weight=case.weight, k=case.k
    )
    return {
        name: found[name] + base if name == "index" else found[name]
        for name in case.wanted
    }


def symbolic_gradient(
    expression: Any,
    data: Sequence[Any],
    index: Sequence[str],
    cotangent: Any,
    wrt: Sequence[int],
    reduction: str = "sum",
    axis: str = "j",
    *,
    k: int = 1,
    weight: Any = None,
    precision: str = "float64",
    size: Sequence[int] | None = None,
) -> list[Array]:
    """Gradients of sum(cotangent * value) of a reduction in the slots ``wrt``.

    ``cotangent`` has the shape of the reduction's value; each gradient the shape
    (n, d) of its data, or that of the parameter. Other arguments and errors as in
    ``symbolic_reduce``; also ``bad_cotangent``, ``bad_slot``, ``no_gradient``.
    """
    from .symbolic.gradient import gradient

    case = Case(expression, data, index, reduction, axis, k, weight, precision, size)
    if "value" not in case.wanted or reduction in LOGICAL:
        raise EngineError(
            f"The result of {reduction!r} has no gradient.",
            code="no_gradient",
            arg="reduction",
        )
    return gradient(
        case.formula, case.problem, case.kind, axis, case.leaves(wrt),
        case.cotangent(cotangent), weight=case.weight, k=case.k,
    )  # fmt: skip


def symbolic_derivative(
    expression: Any,
    index: Sequence[str],
    dims: Sequence[int],
    wrt: int,
    reduction: str = "sum",
    axis: str = "j",
    *,
    weight: Any = None,
) -> dict[str, Any]:
    """The gradient of a reduction as a formula, to be differentiated further.

    Returns
    -------
    dict
        ``expression`` (None: zero), whose sum over ``axis`` ("i", "j" or "both") is
        the gradient in slot ``wrt``. It uses new slots: the cotangent, then the
        results of the reductions in ``needs``, all indexed as the result.
    """
    from .symbolic import parse
    from .symbolic.gradient import SUMS, adjoint
    from .symbolic.tree import variable

    known(reduction, SUMS, "reduction")
    formula, weights, numbers = parse_both(expression, weight, index, dims)
    wrt = slot_of(wrt, len(dims))
    leaf = variable(index[wrt], wrt, int(dims[wrt]))
    found = adjoint(formula, reduction, axis, leaf, len(dims), weights)
    plain = None if found.formula is None else parse.to_plain(found.formula, numbers)
    return {"expression": plain, "axis": found.axis, "needs": list(found.needs)}


def symbolic_matrix(
    expression: Any,
    data: Sequence[Any],
    index: Sequence[str],
    *,
    rows: Any = None,
    columns: Any = None,
    precision: str = "float64",
    base: int = 0,
    size: Sequence[int] | None = None,
    most: float = 1e8,
) -> Array:
    """A dense piece of a symbolic matrix, (rows, columns, components).

    ``rows`` and ``columns`` are positions from ``base``, None for all. More than
    ``most`` numbers are refused (code ``too_large``).
    """
    from .symbolic import dense
    from .symbolic.lower import expand

    case = Case(expression, data, index, "sum", "j", 1, None, precision, size)
    p = case.problem
    pick = {
        "i": positions(rows, p.n, base, "rows"),
        "j": positions(columns, p.m, base, "columns"),
    }
    n, m = len(pick["i"]), len(pick["j"])
    if n * m * case.formula.dim > most:
        raise EngineError(
            f"A dense matrix of {n} x {m} x {case.formula.dim} numbers is larger "
            f"than the limit of {most:.0f}; ask for fewer rows or columns.",
            code="too_large",
            arg="rows",
        )
    some = [
        values[pick[kind]] if kind in pick else values
        for values, kind in zip(p.data, index)
    ]
    return np.array(dense.matrix(expand(case.formula), some, p.numbers, n, m))


def symbolic_formula(
    expression: Any, index: Sequence[str], dims: Sequence[int]
) -> dict[str, Any]:
    """A formula as text, its inner dimension and what it depends on."""
    from .symbolic import tree

    formula, _, _ = parse_both(expression, None, index, dims)
    depends = [name for name in ("i", "j") if formula.reach & tree.REACH[name]]
    return {"text": tree.formula(formula), "dim": formula.dim, "depends": depends}
