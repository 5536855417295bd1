"""Symbolic matrices as R calls them: plain lists and arrays in, dict of arrays out.

A formula comes as nested lists or JSON (``symbolic.parse`` has the form) with the
data in numbered slots, each indexed by "i", by "j" or by nothing ("p"). Slots and
places are counted from 0 in a formula; positions in results from ``base``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .api_symbolic_inputs import (
    LOGICAL,
    Case,
    gathered,
    known,
    parse_both,
    positions,
    slot_of,
)
from .api_symbolic_quick import symbolic_quick
from .api_symbolic_structure import Batch, Structure, symbolic_clusters
from .errors import EngineError
from .symbolic.resident import DeviceArray, is_tensor, placed, taken

Array = npt.NDArray[Any]
__all__ = (
    "symbolic_clusters",
    "symbolic_derivative",
    "symbolic_formula",
    "symbolic_gradient",
    "symbolic_matrix",
    "symbolic_quick",
    "symbolic_reduce",
)


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
    structure: Mapping[str, Any] | None = None,
    batch: int | None = None,
    omit_nan: bool = False,
    breaks: Any = None,
    memory_mb: float | None = None,
    engine: str = "cpu",
    device: str | None = None,
    keep: bool = False,
) -> dict[str, Any]:
    """Reduce a formula F(x_i, y_j, p) over j (or i).

    Parameters
    ----------
    expression : str or list
        The formula, see ``symbolic.parse``.
    data : list of array
        Per slot (n, d) or (n,) for i and j; any shape, read row by row, for a
        parameter. Complex arrays become real and imaginary parts in turn.
    index : list of {"i", "j", "p", "ij"}
        "ij" are matrices of both, (n, m) or (n, m, d), for small blocks.
    reduction : str
        One of ``REDUCTIONS``.
    axis : {"j", "i"}
        The index that disappears.
    k : int
        For the reductions with a k in their name.
    weight : str or list, optional
        Formula of the weights: of one component for "sum", "mean" (sum of w f over
        sum of w), "var" and "sd" (over the sum of w, less 1), "count" and
        "histogram"; of any for "logsumexp" and "sumsoftmaxweight", which needs it.
    precision : {"float64", "float32"}
    base : int
        First position, 0 or 1.
    size : (n, m), optional
        Needed where no data are indexed by i, or none by j.
    structure : dict, optional
        Which pairs count; all that is given must hold. "ranges": {"rows" (c, 2),
        "slices" (c,), "columns" (s, 2)}, where rows k meet the columns from
        ``slices[k - 1]`` to ``slices[k]``; "labels": {"rows", "columns", "keep"},
        sorted labels, equal or with keep[a, b] not 0; "band": [lower, upper],
        -lower <= j - i <= upper; "radius": [slot of i, slot of j, distance];
        "mask": a formula that is not 0. Labels and the first place of a range are
        counted from ``base``; ranges end before their second place if that is 0
        and with it if that is 1. Ranges and labels save time; so does "radius"
        where points are sorted in space (``symbolic_clusters``).
    batch : int, optional
        Number of problems. Data are then (batch or 1, rows, components), results
        (batch, rows, components or k), positions those within a problem.
    omit_nan : bool
        Leave out values that are NaN, as pairs that a mask leaves out.
    breaks : array, optional
        Limits of the cells [a, b) of a "histogram"; the last one holds its end.
    memory_mb : float, optional
        What the run may take besides its data; by default what is free. A run that
        is estimated to need more is refused (``too_large``) with the number.
    engine : {"cpu", "torch", "keops"}
        What computes: compiled kernels, torch in dense chunks, or PyKeOps (sums,
        means, logsumexp and smallest values without weights or structure).
    device : str, optional
        Of torch: "cpu", "cuda", ...; "auto" (default) takes a GPU where there is one.
        Handles (``symbolic_array``) among the data bring their own.
    keep : bool
        Leave ``value`` where it was computed: a handle.

    Returns
    -------
    dict
        ``value`` (rows, components or k) and ``index`` of the same shape, as the
        reduction has them; a position where there is no value is ``base`` - 1.
        Over no pairs a sum is 0, a product 1, logsumexp -Inf, a mean NaN (as a
        variance over fewer than two), a smallest value Inf, a largest -Inf, "any" 0
        and "all" 1.

    Raises
    ------
    EngineError
        ``bad_expression``, ``unknown_operation``, ``bad_arity``,
        ``bad_dimension``, ``bad_place``, ``bad_index``, ``bad_shape``,
        ``bad_type``, ``bad_size``, ``bad_reduction``, ``bad_axis``, ``bad_k``,
        ``bad_precision``, ``bad_structure``, ``bad_batch``, ``bad_breaks``,
        ``too_large``, ``bad_engine``, ``no_engine``, ``engine_cannot``,
        ``empty``.

    Notes
    -----
    Memory is linear in n + m; time in n m. A NaN makes sums, smallest and largest
    values NaN; the k smallest values pass over it.
    """
    from .symbolic import memory
    from .symbolic.engine import using
    from .symbolic.evaluate import reduce

    data, engine, device = taken(data, engine, device)
    if keep and batch is not None:
        raise EngineError(
            "Results of batches are not kept.", code="bad_batch", arg="keep"
        )
    case, s = _case(
        expression, data, index, reduction, axis, k, weight, precision, size,
        structure, batch, base, omit_nan, breaks,
    )  # fmt: skip
    moments = s.moments()
    # What is left to do with NumPy needs its arrays.
    there = keep and moments is None and s.keep is None and reduction not in LOGICAL
    with memory.limited(memory_mb), using(engine, device, there) as home:
        if moments is not None:
            found = {"value": moments.value(case.kind)}
        else:
            found = reduce(
                s.formula, case.problem, case.kind, axis, weight=case.weight,
                k=case.k, ranges=s.ranges, breaks=case.breaks,
            )  # fmt: skip
    if reduction in ("any", "all"):
        found["value"] = np.clip(found["value"], 0, 1)
    found = s.unmasked(found)
    out: dict[str, Any] = {
        name: s.given(found[name], name, base) for name in case.wanted
    }
    if keep and "value" in out:
        value = out["value"]
        if is_tensor(value):
            out["value"] = DeviceArray(value, home.name, home.device)
        else:
            out["value"] = placed(value, home.name, home.device)
    return out


def _case(
    expression: Any, data: Any, index: Any, reduction: str, axis: str, k: int,
    weight: Any, precision: str, size: Any, structure: Any, batch: Any, base: int,
    omit_nan: bool, breaks: Any = None,
) -> tuple[Case, Structure]:  # fmt: skip
    """Checked arguments, and which pairs count."""
    many = None
    if batch is not None:
        many = Batch(data, index, batch, size)
        data, index, size = many.data, many.index, many.size
    case = Case(
        expression, data, index, reduction, axis, k, weight, precision, size, breaks
    )
    return case, Structure(case, structure, base, many, omit_nan)


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
    structure: Mapping[str, Any] | None = None,
    batch: int | None = None,
    base: int = 0,
    omit_nan: bool = False,
    memory_mb: float | None = None,
    engine: str = "cpu",
    device: str | None = None,
) -> list[Array]:
    """Gradients of sum(cotangent * value) of a reduction in the slots ``wrt``.

    ``cotangent`` has the shape of the reduction's value; each gradient the shape
    (n, d) of its data, or that of the parameter. Other arguments and errors as in
    ``symbolic_reduce``; also ``bad_cotangent``, ``bad_slot``, ``no_gradient``.
    """
    from .symbolic import memory
    from .symbolic.engine import using
    from .symbolic.gradient import gradient

    data, engine, device = taken(data, engine, device)
    case, s = _case(
        expression, data, index, reduction, axis, k, weight, precision, size,
        structure, batch, base, omit_nan,
    )  # fmt: skip
    if "value" not in case.wanted or reduction in (*LOGICAL, "histogram"):
        raise EngineError(
            f"The result of {reduction!r} has no gradient.",
            code="no_gradient",
            arg="reduction",
        )
    if s.batch is not None:
        cotangent = np.asarray(cotangent)
        cotangent = cotangent.reshape(-1, cotangent.shape[-1])
    leaves, g = case.leaves(wrt), case.cotangent(np.asarray(cotangent))
    moments = s.moments()
    with memory.limited(memory_mb), using(engine, device):
        if moments is not None:
            found = moments.gradient(case.kind, leaves, g)
        else:
            found = gradient(
                s.formula, case.problem, case.kind, axis, leaves, g,
                weight=case.weight, k=case.k, ranges=s.ranges,
            )  # fmt: skip
    if s.batch is not None:
        return [s.batch.back(g, int(slot)) for g, slot in zip(found, wrt)]
    return found


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
        ``expression`` (None: zero), whose sum over ``axis`` ("i", "j", "both", or
        "none" for a matrix of both) is the gradient in slot ``wrt``. It uses new
        slots: the cotangent, then the results of the reductions in ``needs``, all
        indexed as the result.
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
    engine: str = "cpu",
    device: str | None = None,
) -> Array:
    """A dense piece of a symbolic matrix, (rows, columns, components).

    ``rows`` and ``columns`` are positions from ``base``, None for all. More than
    ``most`` numbers are refused (code ``too_large``).
    """
    from .symbolic import dense
    from .symbolic.engine import chosen
    from .symbolic.lower import expand

    data, engine, device = taken(data, engine, device)
    home = chosen(engine, device)
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
    if home.name == "torch":
        from .symbolic.torch_evaluate import matrix

        return matrix(case.formula, p, index, pick["i"], pick["j"], home.device)
    some = gathered(p.data, index, pick["i"], pick["j"], False)
    return np.array(dense.matrix(expand(case.formula), some, p.numbers, n, m))


def symbolic_formula(
    expression: Any, index: Sequence[str], dims: Sequence[int]
) -> dict[str, Any]:
    """A formula as text, its inner dimension and what it depends on."""
    from .symbolic import tree

    formula, _, _ = parse_both(expression, None, index, dims)
    depends = [name for name in ("i", "j") if formula.reach & tree.REACH[name]]
    return {"text": tree.formula(formula), "dim": formula.dim, "depends": depends}
