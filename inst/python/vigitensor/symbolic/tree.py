"""Expression trees: leaves are data, nodes are operations of the table.

A node is interned: the same operation on the same arguments is the same object, so
common parts are computed once and equality is identity. A node knows its inner
dimension and which of i and j it depends on.
"""

from __future__ import annotations

import math
import weakref
from typing import Any, Union

from ..errors import EngineError
from .structure import dimension
from .table import operations

# "ij" is a matrix of its own, (n, m, dim); "ji" the same lying the other way.
REACH = {"i": 1, "j": 2, "p": 0, "ij": 3, "ji": 3}
INFIX = {
    "add": "+",
    "sub": "-",
    "mul": "*",
    "div": "/",
    "eq": "==",
    "ne": "!=",
    "lt": "<",
    "le": "<=",
    "gt": ">",
    "ge": ">=",
    "dot": "|",
}
# Leaves: data ("var": index, slot), a user's number ("number": slot), and a
# number that belongs to the formula itself ("const": value).
LEAVES = ("var", "number", "const")
Static = tuple[Any, ...]
Operand = Union["Node", float]

_interned: weakref.WeakValueDictionary[Any, Node] = weakref.WeakValueDictionary()


class Node:
    """One node; made by ``variable``, ``number``, ``constant`` and ``apply``."""

    __slots__ = ("__weakref__", "args", "dim", "op", "reach", "static")

    def __init__(
        self, op: str, args: tuple[Node, ...], static: Static, dim: int, reach: int
    ) -> None:
        self.op = op
        self.args = args
        self.static = static
        self.dim = dim
        self.reach = reach

    def __add__(self, other: Operand) -> Node:
        return apply("add", self, other)

    def __radd__(self, other: Operand) -> Node:
        return apply("add", other, self)

    def __sub__(self, other: Operand) -> Node:
        return apply("sub", self, other)

    def __rsub__(self, other: Operand) -> Node:
        return apply("sub", other, self)

    def __mul__(self, other: Operand) -> Node:
        return apply("mul", self, other)

    def __rmul__(self, other: Operand) -> Node:
        return apply("mul", other, self)

    def __truediv__(self, other: Operand) -> Node:
        return apply("div", self, other)

    def __rtruediv__(self, other: Operand) -> Node:
        return apply("div", other, self)

    def __neg__(self) -> Node:
        return apply("neg", self)

    def __repr__(self) -> str:
        return formula(self)


def _intern(
    op: str, args: tuple[Node, ...], static: Static, dim: int, reach: int
) -> Node:
    key = (op, static, dim, tuple(id(a) for a in args))
    node = _interned.get(key)
    if node is None:
        node = Node(op, args, static, dim, reach)
        _interned[key] = node
    return node


def variable(index: str, slot: int, dim: int) -> Node:
    """Data in ``slot``: ``dim`` numbers for each i, each j, or once ("p")."""
    if index not in REACH:
        raise EngineError(
            f'The index of a variable is "i", "j", "ij" or "p", not {index!r}.',
            code="bad_index",
            arg="expression",
        )
    if dim < 1:
        raise EngineError(
            "A variable has at least one column.", code="bad_shape", arg="data"
        )
    return _intern("var", (), (index, int(slot)), int(dim), REACH[index])


def number(slot: int) -> Node:
    """A user's number: a parameter, whose value is not in the structure."""
    return _intern("number", (), (int(slot),), 1, 0)


def constant(value: float) -> Node:
    """A number of the formula's structure (1 + x in a derivative)."""
    return _intern("const", (), (float(value),), 1, 0)


def is_const(node: Node, value: float) -> bool:
    """Is it this number of the structure?"""
    return node.op == "const" and node.static[0] == value


def apply(name: str, *operands: Operand, static: Static = ()) -> Node:
    """Operation ``name`` on nodes or plain numbers, with what is obvious done."""
    args = tuple(a if isinstance(a, Node) else constant(a) for a in operands)
    table = operations()
    if name not in table:
        raise EngineError(
            f"There is no operation {name!r}.", code="unknown_operation", arg=name
        )
    op = table[name]
    if len(args) != op.arity:
        raise EngineError(
            f"{name}() takes {op.arity} argument(s), got {len(args)}.",
            code="bad_arity",
            arg=name,
        )
    if not op.any_static and len(static) != len(op.static):
        raise EngineError(
            f"{name}() takes {len(op.static)} whole number(s) after its arguments "
            f"({', '.join(op.static) or 'none'}), got {len(static)}.",
            code="bad_arity",
            arg=name,
        )
    short = _simplified(name, args)
    if short is not None:
        return short
    reach = 0
    for arg in args:
        reach |= arg.reach
    if op.kind == "composite":
        from .language import expanded

        dim = expanded(op, args, static).dim
    else:
        dim = dimension(op, tuple(a.dim for a in args), static)
    if op.name == "permute":
        static = (tuple(static[0]),)
    return _intern(name, args, static, dim, reach)


def _simplified(name: str, args: tuple[Node, ...]) -> Node | None:
    """Sums and products with 0 and 1 of the structure, and double signs."""
    if name == "neg":
        if args[0].op == "neg":
            return args[0].args[0]
        return constant(-args[0].static[0]) if args[0].op == "const" else None
    if len(args) != 2:
        return None
    a, b = args
    if a.op == b.op == "const" and name in ("add", "sub", "mul"):
        x, y = a.static[0], b.static[0]
        return constant({"add": x + y, "sub": x - y, "mul": x * y}[name])
    if name == "add":
        return b if is_const(a, 0) else a if is_const(b, 0) else None
    if name == "sub" and is_const(b, 0):
        return a
    if name == "mul":
        return b if is_const(a, 1) else a if is_const(b, 1) else None
    return a if name == "div" and is_const(b, 1) else None


def nodes_of(root: Node) -> list[Node]:
    """All nodes, arguments before those who use them, each once."""
    order: list[Node] = []
    seen: set[Node] = set()
    stack = [(root, False)]
    while stack:
        node, ready = stack.pop()
        if ready:
            order.append(node)
        elif node not in seen:
            seen.add(node)
            stack.append((node, True))
            stack.extend((arg, False) for arg in reversed(node.args))
    return order


def rebuilt(root: Node, replace: dict[Node, Node]) -> Node:
    """The tree with some nodes exchanged."""
    done = dict(replace)
    for node in nodes_of(root):
        if node not in done:
            args = tuple(done[a] for a in node.args)
            if node.op in LEAVES or args == node.args:
                done[node] = node
            else:
                done[node] = apply(node.op, *args, static=node.static)
    return done[root]


def formula(root: Node, names: dict[int, str] | None = None) -> str:
    """The formula as text: x0 indexed by i, y1 by j, p2 a parameter."""
    text: dict[Node, str] = {}
    for node in nodes_of(root):
        args = [text[a] for a in node.args]
        if node.op == "var":
            index, slot = node.static
            letter = {"i": "x", "j": "y", "p": "p"}.get(index, "m")
            text[node] = (names or {}).get(slot, f"{letter}{slot}")
        elif node.op == "number":
            text[node] = f"#{node.static[0]}"
        elif node.op == "const":
            value = node.static[0]
            whole = math.isfinite(value) and value == int(value)
            text[node] = str(int(value)) if whole else repr(value)
        elif node.op in INFIX:
            text[node] = f"({args[0]} {INFIX[node.op]} {args[1]})"
        elif node.op == "neg":
            text[node] = f"-{args[0]}"
        else:
            text[node] = f"{node.op}({', '.join([*args, *map(str, node.static)])})"
    return text[root]
