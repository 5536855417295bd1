"""Reductions by PyKeOps, where it is installed: formulas written in its language.

Operations that it does not have are written with those that it has.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import EngineError
from .lower import expand
from .table import operations
from .tables import Problem
from .tree import REACH, Node, apply, constant, nodes_of, variable

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


def _there(a: Node) -> Node:
    return apply("ne", a, 0.0)


def _floor(a: Node) -> Node:
    return a - apply("mod", a, 1.0, 0.0)


def _if(test: Node, yes: Node, no: Node) -> Node:
    """KeOps asks whether a number is 0 or more."""
    return apply("ifelse", test - 1.0, yes, no)


def _picked(a: Node, places: list[int]) -> Node:
    parts = [apply("elem", a, static=(k,)) if a.dim > 1 else a for k in places]
    return functools.reduce(lambda x, y: apply("concat", x, y), parts)


def _interleaved(a: Node, b: Node) -> Node:
    d = max(a.dim, b.dim)
    wide = [x if x.dim == d else apply("spread", x, static=(d,)) for x in (a, b)]
    order = [k + part * d for k in range(d) for part in (0, 1)]
    return _picked(apply("concat", *wide), order)


def _sinxratio(a: Node) -> Node:
    square = apply("square", a)
    series = -1 / 3 + square * (1 / 30 - square * (1 / 840 - square * (1 / 45360)))
    small = apply("lt", apply("abs", a), 0.1)
    safe = _if(small, constant(1.0), a)
    direct = (apply("cos", a) - apply("sin", safe) / safe) / apply("square", safe)
    return _if(small, series, direct)


_OTHERWISE: dict[str, Callable[..., Node]] = {
    # Where b is 0, the quotient by 1 times 0.
    "divsafe": lambda a, b: a / (b + (1.0 - _there(b))) * _there(b),
    # Its own computes in single precision.
    "powf": lambda a, b: apply("exp", b * apply("log", a)),
    "gt": lambda a, b: apply("lt", b, a),
    "ge": lambda a, b: apply("le", b, a),
    "and": lambda a, b: _there(a) * _there(b),
    "or": lambda a, b: _there(_there(a) + _there(b)),
    "not": lambda a: apply("eq", a, 0.0),
    "where": lambda a, b, c: _if(_there(a), b, c),
    "maximum": lambda a, b: _if(apply("le", b, a), a, b),
    "minimum": lambda a, b: _if(apply("le", a, b), a, b),
    "expm1": lambda a: apply("exp", a) - 1.0,
    "log1p": lambda a: apply("log", a + 1.0),
    "tan": lambda a: apply("sin", a) / apply("cos", a),
    "sinh": lambda a: 0.5 * (apply("exp", a) - apply("exp", -a)),
    "cosh": lambda a: 0.5 * (apply("exp", a) + apply("exp", -a)),
    "tanh": lambda a: 1.0 - 2.0 / (apply("exp", 2.0 * a) + 1.0),
    "floor": _floor,
    "ceiling": lambda a: -_floor(-a),
    "trunc": lambda a: apply("sign", a) * _floor(apply("abs", a)),
    "sinxratio": _sinxratio,
    "permute": lambda a, order: _picked(a, list(order)),
    "complex": _interleaved,
}


def known(root: Node) -> Node:
    """A tree of operations that KeOps has."""
    done: dict[Node, Node] = {}
    for node in nodes_of(root):
        args = tuple(done[a] for a in node.args)
        if node.op in _OTHERWISE:
            done[node] = _OTHERWISE[node.op](*args, *node.static)
        else:
            same = args == node.args
            done[node] = node if same else apply(node.op, *args, static=node.static)
    return done[root]


def written(root: Node, problem: Problem) -> tuple[str, list[Array]]:
    """A formula in KeOps's language, and its arguments in their order.

    Whole numbers of the structure are constants; all others are parameters, so that
    a new value compiles nothing there either.
    """
    table = operations()
    root = known(root)
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
            parts = [text[a] for a in node.args]
            # There the number of components stands before the place.
            static = node.static[::-1] if node.op == "elem_t" else node.static
            text[node] = f"{name}({','.join([*parts, *map(str, static)])})"
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
    root, problem = _with_sizes(root, problem)
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


def _with_sizes(root: Node, problem: Problem) -> tuple[Node, Problem]:
    """KeOps knows how many i and j there are from data: zeros where there are none."""
    for index, rows in (("i", problem.n), ("j", problem.m)):
        if not root.reach & REACH[index]:
            root = root + variable(index, len(problem.data), 1)
            zeros = np.zeros((rows, 1), problem.dtype)
            problem = problem._replace(data=[*problem.data, zeros])
    return root, problem


def _cannot(what: str) -> EngineError:
    return EngineError(
        f"The engine 'keops' has not {what}; use the engine 'cpu'.",
        code="engine_cannot",
        arg="engine",
    )
