"""The small language of the table: expansions and derivatives as text.

Text such as ``g * one_hot(argmax(a), dim(a))`` is evaluated with the arguments as
nodes, every operation as a function, and the helpers below. It comes from the
table in this package only, never from a user.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from types import CodeType
from typing import Any

from ..errors import EngineError
from .table import Operation, operations
from .tree import Node, Operand, Static, apply, constant


def expanded(op: Operation, args: Sequence[Node], static: Static) -> Node:
    """A composite in terms of its parts (one level)."""
    return _node(_evaluate(op.expand, _bind(op, args, static)))


def derivatives(op: Operation, node: Node, cotangent: Node) -> list[Node | None]:
    """Cotangent of each argument (None: none), not yet fitted to its dimension."""
    names = _bind(op, node.args, node.static)
    names.update(g=cotangent, out=node)
    return [
        None if text == "0" else _node(_evaluate(text, names)) for text in op.derivative
    ]


def _bind(op: Operation, args: Sequence[Node], static: Static) -> dict[str, Any]:
    names: dict[str, Any] = dict(zip("abc", args))
    if op.any_static:
        names[op.static[0][1:]] = static
    else:
        names.update(zip(op.static, static))
    return names


def _node(value: Operand) -> Node:
    return value if isinstance(value, Node) else constant(value)


@functools.cache
def _compiled(text: str) -> CodeType:
    return compile(text, "operations.csv", "eval")


def _evaluate(text: str, names: dict[str, Any]) -> Any:
    return eval(_compiled(text), {**_functions(), **names})


@functools.lru_cache(maxsize=1)
def _functions() -> dict[str, Any]:
    def caller(op: Operation) -> Callable[..., Node]:
        def call(*args: Any) -> Node:
            return apply(op.name, *args[: op.arity], static=args[op.arity :])

        return call

    out: dict[str, Any] = {op.name: caller(op) for op in operations().values()}
    out.update(
        __builtins__={},
        dim=lambda a: a.dim,
        inverse=_inverse,
        pow_gradient=_pow_gradient,
        weighted=_weighted,
        tensordot=_tensordot,
        kron=_kron,
        bspline=_bspline,
        complex_quotient=_complex_quotient,
    )
    return out


def _inverse(order: Sequence[int]) -> tuple[int, ...]:
    out = [0] * len(order)
    for place, k in enumerate(order):
        out[k] = place
    return tuple(out)


def _pow_gradient(g: Node, a: Node, n: int) -> Operand:
    if n == 0:
        return g * 0.0
    if n == 1:
        return g
    return float(n) * g * (a if n == 2 else apply("pow", a, static=(n - 1,)))


def _weighted(w: Node, x: Node) -> Node:
    """w |x|^2, sum of w_k x_k^2, or x'Wx, by the size of w."""
    if w.dim == 1:
        return w * apply("sum", apply("square", x))
    if w.dim == x.dim:
        return apply("sum", w * apply("square", x))
    if w.dim != x.dim * x.dim:
        raise EngineError(
            f"The weight of a squared norm in dimension {x.dim} has 1, {x.dim} or "
            f"{x.dim**2} components, not {w.dim}.",
            code="bad_dimension",
            arg="weightedsqnorm",
        )
    return apply("sum", x * apply("matvecmult", w, x))


def _tensordot(a: Node, b: Node, dims: Sequence[int]) -> Node:
    """Sum over paired axes: two permutations and products of a matrix and columns.

    ``dims`` is: number of axes of a and their sizes, the same for b, the number of
    pairs, then the axes of a and those of b (from 0).
    """
    rest = list(dims)
    try:
        size_a = [rest.pop(0) for _ in range(rest.pop(0))]
        size_b = [rest.pop(0) for _ in range(rest.pop(0))]
        pairs = rest.pop(0)
        over_a, over_b = rest[:pairs], rest[pairs:]
        fits = (
            len(over_b) == pairs
            and math.prod(size_a) == a.dim
            and math.prod(size_b) == b.dim
            and all(size_a[s] == size_b[t] for s, t in zip(over_a, over_b))
        )
    except IndexError:
        fits = False
    if not fits:
        raise EngineError(
            "tensordot(): sizes and axes do not fit the two arguments.",
            code="bad_dimension",
            arg="tensordot",
        )
    free_a = [s for s in range(len(size_a)) if s not in over_a]
    free_b = [t for t in range(len(size_b)) if t not in over_b]
    left = apply("permute", a, static=(_order(size_a, free_a + over_a),))
    # Rows of `right` are the free axes of b, so that each gives one product.
    right = apply("permute", b, static=(_order(size_b, free_b + over_b),))
    inner = math.prod(size_a[s] for s in over_a)
    parts = [
        apply("matvecmult", left, apply("extract", right, static=(k * inner, inner)))
        for k in range(b.dim // inner)
    ]
    out = parts[0]
    for part in parts[1:]:
        out = apply("concat", out, part)
    rows = a.dim // inner
    return apply("permute", out, static=(_order([len(parts), rows], [1, 0]),))


def _order(size: Sequence[int], axes: Sequence[int]) -> tuple[int, ...]:
    """Places of a tensor's components (row by row) after moving its axes."""
    stride = [math.prod(size[k + 1 :]) for k in range(len(size))]
    places = [0]
    for axis in axes:
        places = [p + k * stride[axis] for p in places for k in range(size[axis])]
    return tuple(places)


def _kron(a: Node, b: Node, dims: Sequence[int]) -> Node:
    """Kronecker product of tensors with as many axes: sizes of a, then of b."""
    half = len(dims) // 2
    size_a, size_b = list(dims[:half]), list(dims[half:])
    if len(dims) % 2 or math.prod(size_a) != a.dim or math.prod(size_b) != b.dim:
        raise EngineError(
            "kron(): the sizes do not fit the two arguments.",
            code="bad_dimension",
            arg="kron",
        )
    axes = [axis for k in range(half) for axis in (k, half + k)]
    order = _order(size_a + size_b, axes)
    return apply("permute", apply("tensorprod", a, b), static=(order,))


def _bspline(knots: Node, x: Node, degree: int) -> Node:
    """Cox and de Boor's recursion, all splines of one degree at a time."""
    n = knots.dim
    if x.dim != 1 or degree < 0 or n < degree + 2:
        raise EngineError(
            f"bspline() takes at least {degree + 2} knots and one number.",
            code="bad_dimension",
            arg="bspline",
        )

    def piece(node: Node, first: int, size: int) -> Node:
        return apply("extract", node, static=(first, size))

    out = apply("ge", x, piece(knots, 0, n - 1)) * apply(
        "lt", x, piece(knots, 1, n - 1)
    )
    for k in range(1, degree + 1):
        m = n - 1 - k
        low, high = piece(knots, 0, m), piece(knots, k + 1, m)
        up = apply("divsafe", x - low, piece(knots, k, m) - low)
        down = apply("divsafe", high - x, high - piece(knots, 1, m))
        out = up * piece(out, 0, m) + down * piece(out, 1, m)
    return out


def _complex_quotient(a: Node, b: Node) -> Node:
    re_a, im_a = apply("real", a), apply("imag", a)
    re_b, im_b = apply("real", b), apply("imag", b)
    size = apply("square", re_b) + apply("square", im_b)
    return apply(
        "complex",
        (re_a * re_b + im_a * im_b) / size,
        (im_a * re_b - re_a * im_b) / size,
    )
