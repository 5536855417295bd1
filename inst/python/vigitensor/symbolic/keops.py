"""Reductions by PyKeOps, where it is installed: formulas written in its language."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import EngineError
from .lower import expand
from .table import operations
from .tables import Problem
from .tree import Node, nodes_of

Array = npt.NDArray[Any]
_CODES = {"i": 0, "j": 1, "p": 2}
_REDUCTIONS = {
    "sum": "Sum",
    "mean": "Sum",
    "logsumexp": "LogSumExp",
    "min": "Min_ArgMin",
    "max": "Max_ArgMax",
    "kmin": "KMin_ArgKMin",
    "kmax": "KMin_ArgKMin",
}
_PLACES = ("min", "max", "kmin", "kmax")


def written(root: Node, problem: Problem) -> tuple[str, list[Array]]:
    """A formula in KeOps's language, and its arguments in their order.

    Whole numbers of the structure are constants; all others are parameters, so that
    a new value compiles nothing there either.
    """
    table = operations()
    text: dict[Node, str] = {}
    given: dict[Node, int] = {}
    data: list[Array] = []

    def argument(node: Node, values: Array, index: str) -> str:
        given[node] = len(data)
        data.append(np.ascontiguousarray(values))
        return f"Var({given[node]},{node.dim},{_CODES[index]})"

    for node in nodes_of(root):
        if node.op == "var":
            index, slot = node.static
            if index not in _CODES:
                raise _cannot("matrices of both i and j")
            values = problem.data[slot]
            text[node] = argument(
                node, values.ravel() if index == "p" else values, index
            )
        elif node.op == "const" and node.static[0] == np.rint(node.static[0]):
            text[node] = f"IntCst({int(node.static[0])})"
        elif node.op in ("number", "const"):
            value = node.static[0]
            value = problem.numbers[value] if node.op == "number" else value
            text[node] = argument(node, np.array([value], problem.dtype), "p")
        else:
            name = table[node.op].keops
            if not name:
                raise _cannot(f"the operation {node.op!r}")
            parts = [text[a] for a in node.args]
            text[node] = f"{name}({','.join([*parts, *map(str, node.static)])})"
    return text[root], data


def reduce(
    formula: Node, problem: Problem, reduction: str, *, k: int, **more: Any
) -> dict[str, Array]:
    """A reduction over j."""
    if reduction not in _REDUCTIONS or any(v is not None for v in more.values()):
        raise _cannot(f"{reduction!r} with weights, ranges or breaks")
    root = expand(-formula if reduction == "kmax" else formula)
    if reduction in _PLACES and root.dim > 1:
        raise _cannot("smallest values of more than one component")
    text, data = written(root, problem)
    from pykeops.numpy import Genred  # type: ignore

    option = {"opt_arg": k} if reduction in ("kmin", "kmax") else {}
    call = Genred(text, [], _REDUCTIONS[reduction], axis=1, **option)
    out = call(*data, backend="CPU")
    if reduction not in _PLACES:
        value = np.asarray(out).reshape(problem.n, -1)
        return {"value": value / problem.m if reduction == "mean" else value}
    value, place = (np.asarray(part).reshape(problem.n, -1) for part in out)
    value = -value if reduction == "kmax" else value
    return {"value": value, "index": place.astype(np.int64)}


def _cannot(what: str) -> EngineError:
    return EngineError(
        f"The engine 'keops' has not {what}; use the engine 'cpu'.",
        code="engine_cannot",
        arg="engine",
    )
