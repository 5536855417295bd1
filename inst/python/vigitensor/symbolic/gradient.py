"""Gradients of reductions: reverse mode on the tree.

For a reduction over j with cotangent g_i, the gradient in data of i is a sum over j
of the cotangents of the formula, in data of j a sum over i, and in a parameter a sum
over both. So the gradient is again a formula with a sum, in which g (and for
logsumexp the result) are data of i; differentiating it again gives any order.

Smallest and largest values depend on the pairs where they stand only: the formula
is differentiated there, and scattered back to the columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..errors import EngineError
from . import dense
from .evaluate import composed, reduce
from .language import derivatives
from .lower import expand, swapped
from .ranges import Ranges
from .resident import on_host
from .table import operations
from .tables import Problem
from .tree import LEAVES, Node, apply, nodes_of, variable

Array = npt.NDArray[Any]
SUMS = (
    "sum", "mean", "prod", "prod_nonzero", "zeros", "zero_sum", "zero_squares",
    "logsumexp", "sumsoftmaxweight",
)  # fmt: skip
PLACES = ("min", "max", "kmin", "kmax")


def vjp(root: Node, cotangent: Node, wrt: Sequence[Node]) -> list[Node | None]:
    """Cotangents of the leaves ``wrt`` (None: the formula does not depend on it)."""
    root = expand(root)
    order = nodes_of(root)
    leads = set(wrt)
    for node in order:
        if any(arg in leads for arg in node.args):
            leads.add(node)
    table = operations()
    found: dict[Node, Node] = {root: _fitted(cotangent, root.dim)}
    for node in reversed(order):
        if node not in found or node not in leads or node.op in LEAVES:
            continue
        parts = derivatives(table[node.op], node, found[node])
        for arg, part in zip(node.args, parts):
            if part is None or arg not in leads:
                continue
            part = _fitted(part, arg.dim)
            found[arg] = found[arg] + part if arg in found else part
    return [expand(found[leaf]) if leaf in found else None for leaf in wrt]


def _fitted(part: Node, dim: int) -> Node:
    """A cotangent in the dimension of its argument."""
    if part.dim == dim:
        return part
    if dim == 1:
        return apply("sum", part)
    return apply("spread", part, static=(dim,))


class Adjoint(NamedTuple):
    """Formula whose sum over ``axis`` is a gradient ("both": i and j; "none").

    ``formula`` is None where the gradient is zero. New slots of data, indexed as
    the result of the reduction: the cotangent, then the results named in ``needs``.
    """

    formula: Node | None
    axis: str
    needs: tuple[str, ...]


def adjoint(
    formula: Node,
    reduction: str,
    axis: str,
    wrt: Node,
    first_slot: int,
    weight: Node | None = None,
) -> Adjoint:
    """Gradient formula of a sum, mean (times 1 / count), product or logsumexp."""
    out = "i" if axis == "j" else "j"
    if reduction != "prod_nonzero":  # its results are those of the formula itself
        formula, reduction = composed(formula, reduction)
    formula = expand(formula)
    weight = None if weight is None else expand(weight)
    width = formula.dim if weight is None else weight.dim
    g = variable(out, first_slot, width)
    needs: tuple[str, ...] = ()
    root = formula
    if reduction in ("sum", "mean"):
        cotangent = g
    elif reduction == "prod":
        needs = ("prod_nonzero", "zeros", "zero_sum", "zero_squares")
        parts = [variable(out, first_slot + 1 + k, width) for k in range(4)]
        cotangent = g * _of_product(formula, *parts)
    elif reduction == "prod_nonzero":
        needs = ("prod_nonzero",)
        others = variable(out, first_slot + 1, width)
        share = others / apply("where", formula, formula, 1.0)
        cotangent = apply("where", formula, g * share, 0.0)
    elif reduction == "logsumexp":
        needs = ("logsumexp",)
        share = apply("exp", formula - variable(out, first_slot + 1, width))
        cotangent = g * share
        if weight is not None:
            root = apply("concat", formula, weight)
            inner = apply("sum", cotangent * weight)
            cotangent = apply("concat", inner, cotangent)
    elif reduction == "sumsoftmaxweight" and weight is not None:
        needs = ("sumsoftmaxweight", "logsumexp")
        mean = variable(out, first_slot + 1, width)
        share = apply("exp", formula - variable(out, first_slot + 2, 1))
        root = apply("concat", formula, weight)
        inner = share * apply("sum", g * (weight - mean))
        cotangent = apply("concat", inner, g * share)
    else:
        raise EngineError(
            f"No gradient formula for the reduction {reduction!r}.",
            code="bad_reduction",
            arg="reduction",
        )
    found = vjp(root, cotangent, [wrt])[0]
    over = {"i": "j", "j": "i", "p": "both", "ij": "none"}[wrt.static[0]]
    return Adjoint(found, over, needs)


def _of_product(f: Node, others: Node, count: Node, total: Node, squares: Node) -> Node:
    """Derivative of a product in a factor f: the product of all others.

    With ``others`` the product of the factors that are not 0, the product is
    others e, where e is that of the ``count`` factors z that are 0: 1, sum z, or
    ((sum z)^2 - sum z^2) / 2. Written so, with sums that are 0 themselves, it can be
    differentiated again: to any order without a factor of 0 or with one, to the
    third with two, and to the second whatever their number.
    """
    pair = (apply("square", total) - squares) * 0.5
    alone, two = (apply("eq", count, float(k)) for k in (1, 2))
    none = apply("eq", count, 0.0)
    product = none + alone * total + two * pair
    plain = others * product / apply("where", f, f, 1.0)
    return apply("where", f, plain, others * (alone + two * (total - f)))


def gradient(
    formula: Node,
    problem: Problem,
    reduction: str,
    axis: str,
    wrt: Sequence[Node],
    cotangent: Array,
    *,
    weight: Node | None = None,
    k: int = 1,
    ranges: Ranges | None = None,
    threads: int | None = None,
) -> list[Array]:
    """Gradients of sum(cotangent * result) in some variables, in their shapes."""
    if reduction in PLACES:
        place = reduce(
            formula, problem, reduction, axis, k=k, ranges=ranges, threads=threads
        )["index"]
        return _gradient_at_places(
            formula, problem, reduction, axis, wrt, cotangent, place
        )
    first = len(problem.data)
    adjoints = [adjoint(formula, reduction, axis, leaf, first, weight) for leaf in wrt]
    if reduction == "mean":
        cotangent = cotangent / (problem.m if axis == "j" else problem.n)
    extra = [np.asarray(cotangent, problem.dtype)]
    for name in adjoints[0].needs if adjoints else ():
        alone = name == "logsumexp" and reduction == "sumsoftmaxweight"
        again = reduce(
            formula, problem, name, axis,
            weight=None if alone else weight, ranges=ranges, threads=threads,
        )  # fmt: skip
        extra.append(again["value"])
    larger = problem._replace(data=[*problem.data, *extra])
    return [_sum_of(a, leaf, larger, ranges, threads) for a, leaf in zip(adjoints, wrt)]


def _sum_of(
    a: Adjoint, leaf: Node, problem: Problem, ranges: Ranges | None, threads: int | None
) -> Array:
    shape = problem.data[leaf.static[1]].shape
    if a.formula is None:
        return np.zeros(shape, problem.dtype)
    if a.axis == "none":
        value = dense.matrix(
            expand(a.formula), problem.data, problem.numbers, problem.n, problem.m
        )
        if ranges is not None:
            value = value * ranges.dense(problem.n, problem.m)[:, :, None]
        return np.array(value)
    axis = "j" if a.axis == "both" else a.axis
    out = reduce(
        a.formula, problem, "sum", axis, ranges=ranges, threads=threads
    )["value"]  # fmt: skip
    if a.axis == "both":
        out = out.sum(axis=0, dtype=np.float64).astype(problem.dtype)
    return out.reshape(shape)


def _gradient_at_places(
    formula: Node,
    problem: Problem,
    reduction: str,
    axis: str,
    wrt: Sequence[Node],
    cotangent: Array,
    place: Array,
) -> list[Array]:
    """Through the pairs (i, j*) where the smallest or largest values stand."""
    formula = expand(formula)
    problem = problem._replace(data=[on_host(values) for values in problem.data])
    if axis == "i":
        formula = swapped(formula)
        wrt = [swapped(leaf) for leaf in wrt]
    g = variable("i", len(problem.data), 1)
    out = [np.zeros(problem.data[leaf.static[1]].shape, np.float64) for leaf in wrt]
    index = {
        node.static[1]: node.static[0] for node in nodes_of(formula) if node.op == "var"
    }
    every = np.arange(len(place))
    for c in range(place.shape[1]):
        here = formula
        if formula.dim > 1 and reduction in ("min", "max"):
            here = apply("elem", formula, static=(c,))
        there = place[:, c]
        weight = np.where(there < 0, 0.0, cotangent[:, c])[:, None]
        there = np.maximum(there, 0)
        at = {"j": (there,), "ij": (every, there), "ji": (there, every)}
        data = [
            values[at[index[slot]]] if index.get(slot) in at else values
            for slot, values in enumerate(problem.data)
        ]
        data.append(weight.astype(problem.dtype))
        for leaf, total, part in zip(wrt, out, vjp(here, g, wrt)):
            if part is None:
                continue
            value = dense.values(part, data, problem.numbers, paired=True)[:, 0, :]
            value = np.broadcast_to(value, (len(there), leaf.dim))
            if leaf.static[0] == "i":
                total += value
            elif leaf.static[0] in at:
                np.add.at(total, at[leaf.static[0]], value)
            else:
                total += value.sum(axis=0).reshape(total.shape)
    return [total.astype(problem.dtype) for total in out]
