"""Operations that move or fold components: dimensions, and code for one component.

Vectors hold matrices and tensors row by row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..errors import EngineError
from .table import Operation

Static = tuple[Any, ...]


def _same(dims: Sequence[int], op: Operation) -> int:
    """Equal or 1, as arrays broadcast."""
    top = max(dims)
    if any(d not in (1, top) for d in dims):
        raise _unfit(op, dims, "equal, or 1")
    return top


def _quotient(matrix: int, vector: int, op: Operation, dims: Sequence[int]) -> int:
    if matrix % vector:
        raise _unfit(op, dims, "those of a matrix and of a vector that fits it")
    return matrix // vector


def _half(dim: int, op: Operation) -> int:
    if dim % 2:
        raise _unfit(op, (dim,), "even (real and imaginary parts in turn)")
    return dim // 2


def dimension(op: Operation, dims: Sequence[int], static: Static) -> int:
    """Inner dimension of the result; checks arguments and whole numbers."""
    given = dict(zip(op.static, static))
    rule = op.dim
    if rule == "broadcast":
        return _same(dims, op)
    if rule == "quotient_ab":
        return _quotient(dims[0], dims[1], op, dims)
    if rule == "quotient_ba":
        return _quotient(dims[1], dims[0], op, dims)
    if rule == "half":
        return _half(dims[0], op)
    if rule == "double":
        return 2 * _same(dims, op)
    if rule == "d":
        _check_place(op, dims, given)
        return int(given["d"])
    if rule == "one":
        if "k" in given and not 0 <= given["k"] < dims[0]:
            raise _outside(op, dims[0])
        return 1
    simple: dict[str, Callable[[], int]] = {
        "same": lambda: dims[0],
        "sum": lambda: dims[0] + dims[1],
        "product": lambda: dims[0] * dims[1],
    }
    if op.name == "permute" and sorted(static[0]) != list(range(dims[0])):
        raise _outside(op, dims[0])
    return simple[rule]()


def _check_place(op: Operation, dims: Sequence[int], given: dict[str, int]) -> None:
    d, k = given["d"], given.get("k", 0)
    if op.name in ("spread", "one_hot", "elem_t") and dims[0] != 1:
        raise _unfit(op, dims, "1")
    inside = {
        "extract": k + d <= dims[0],
        "extract_t": k + dims[0] <= d,
        "elem_t": k < d,
    }
    if d < 1 or k < 0 or not inside.get(op.name, True):
        raise _outside(op, dims[0])


def _unfit(op: Operation, dims: Sequence[int], expected: str) -> EngineError:
    got = ", ".join(str(d) for d in dims)
    return EngineError(
        f"{op.name}(): the inner dimensions must be {expected}; they are {got}.",
        code="bad_dimension",
        arg=op.name,
    )


def _outside(op: Operation, dim: int) -> EngineError:
    return EngineError(
        f"{op.name}(): a place lies outside the {dim} component(s) of its argument.",
        code="bad_place",
        arg=op.name,
    )


def needed(name: str, c: int, dims: Sequence[int], static: Static) -> list[list[int]]:
    """Which components of each argument make component c of the result."""
    if name in ("sum", "max", "min", "argmax", "argmin"):
        return [list(range(dims[0]))]
    if name in ("spread", "one_hot"):
        return [[0]]
    if name == "elem":
        return [[static[0]]]
    if name == "elem_t":
        return [[0] if c == static[0] else []]
    if name == "extract":
        return [[c + static[0]]]
    if name == "extract_t":
        inside = 0 <= c - static[0] < dims[0]
        return [[c - static[0]] if inside else []]
    if name == "concat":
        return [[c], []] if c < dims[0] else [[], [c - dims[0]]]
    if name == "matvecmult":
        n = dims[1]
        return [[c * n + k for k in range(n)], list(range(n))]
    if name == "vecmatmult":
        rows, columns = dims[0], dims[1] // dims[0]
        return [list(range(rows)), [k * columns + c for k in range(rows)]]
    if name == "tensorprod":
        return [[c // dims[1]], [c % dims[1]]]
    if name == "permute":
        return [[static[0][c]]]
    if name in ("real", "imag"):
        return [[2 * c + (name == "imag")]]
    if name == "complex":
        half = c // 2
        parts = [[0 if d == 1 else half] for d in dims]
        return [parts[0], []] if c % 2 == 0 else [[], parts[1]]
    raise KeyError(name)


def component(name: str, c: int, args: Sequence[Sequence[str]]) -> str:
    """Numba code of component c from the names of what it ``needed``."""
    if name == "sum":
        return " + ".join(args[0])
    if name in ("max", "min"):
        return _fold("maximum" if name == "max" else "minimum", args[0])
    if name in ("argmax", "argmin"):
        return _first_place(args[0], ">" if name == "argmax" else "<")
    if name == "one_hot":
        return f"1.0 if np.rint({args[0][0]}) == {float(c)} else 0.0"
    if name in ("matvecmult", "vecmatmult"):
        return " + ".join(f"{a} * {b}" for a, b in zip(*args))
    if name == "tensorprod":
        return f"{args[0][0]} * {args[1][0]}"
    taken = [part for some in args for part in some]
    return taken[0] if taken else "0.0"


def _fold(function: str, names: Sequence[str]) -> str:
    out = names[0]
    for name in names[1:]:
        out = f"{function}({out}, {name})"
    return out


def _first_place(names: Sequence[str], better: str) -> str:
    """Place of the first best component, as nested conditions."""
    best, place = names[0], "0.0"
    function = "maximum" if better == ">" else "minimum"
    for k, name in enumerate(names[1:], start=1):
        place = f"({float(k)} if {name} {better} {best} else {place})"
        best = f"{function}({best}, {name})"
    return place
