"""From a formula to what the CPU runs for every pair (i, j).

1. Composites are written out; a / b with b free of i or of j becomes a * (1 / b).
2. Parts that depend on i alone, on j alone or on neither are taken out: NumPy
   computes them once, and they become leaves.
3. Long sums over components, such as |x - y|^2, become tiles that are filled first:
   |x - y|^2 and x . y by register blocks, others some components at a time.

What remains is a small tree on rows of three tables: x (i), y (j) and p.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import NamedTuple

from .language import expanded
from .table import operations
from .tree import LEAVES, Node, apply, nodes_of, rebuilt, variable

PAIR = 3  # depends on both i and j
ROLL_DIM = 24  # sums over this many components get a tile of their own
PRODUCT_DIM = 16  # ... and |x - y|^2 and x . y of this many, register blocks


class Contraction(NamedTuple):
    """A tile: "sqdist" or "dot", the sum of the components of a tree, or data."""

    kind: str  # "sqdist", "dot", "rolled", "given"
    left: Node  # of i; of a rolled sum, the tree; of data, the component
    right: Node  # of j


class Program(NamedTuple):
    """A lowered formula; slots of its variables are rows of the tables."""

    root: Node
    parts: dict[str, tuple[Node, ...]]  # what fills the tables "i", "j", "p"
    contractions: tuple[Contraction, ...]


@functools.lru_cache(maxsize=512)
def expand(root: Node) -> Node:
    """The tree without composites."""
    table = operations()
    done: dict[Node, Node] = {}
    for node in nodes_of(root):
        args = tuple(done[a] for a in node.args)
        if node.op in LEAVES:
            done[node] = node
        elif table[node.op].kind == "composite":
            done[node] = expand(expanded(table[node.op], args, node.static))
        else:
            same = args == node.args
            done[node] = node if same else apply(node.op, *args, static=node.static)
    return done[root]


def swapped(root: Node) -> Node:
    """The same formula with i and j exchanged."""
    other = {"i": "j", "j": "i", "ij": "ji", "ji": "ij"}
    return rebuilt(
        root,
        {
            node: variable(other[node.static[0]], node.static[1], node.dim)
            for node in nodes_of(root)
            if node.op == "var" and node.static[0] != "p"
        },
    )


def lower(root: Node) -> Program:
    """Lower a formula."""
    tree = _without_quotients(expand(root))
    contractions: list[Contraction] = []
    tiles: dict[Node, Node] = {}
    for node in nodes_of(tree):
        found = _contraction(node)
        if node.op == "var" and node.reach == PAIR:
            first = len(contractions)
            contractions += [
                Contraction("given", apply("elem", node, static=(c,)), node)
                for c in range(node.dim)
            ]
            parts = [_tile(first + c) for c in range(node.dim)]
            tiles[node] = functools.reduce(lambda a, b: apply("concat", a, b), parts)
        elif found is not None:
            tiles[node] = _tile(len(contractions))
            contractions.append(found)
    return _hoist(rebuilt(tree, tiles), tuple(contractions))


def lower_inner(root: Node) -> Program:
    """Lower the tree whose components are summed by a rolled contraction."""
    return _hoist(root, ())


def _hoist(tree: Node, contractions: tuple[Contraction, ...]) -> Program:
    parts: dict[str, list[Node]] = {"i": [], "j": [], "p": []}
    size = dict.fromkeys(parts, 0)
    leaves: dict[Node, Node] = {}
    for node in _hoisted(tree):
        index = {1: "i", 2: "j", 0: "p"}[node.reach]
        leaves[node] = variable(index, size[index], node.dim)
        parts[index].append(node)
        size[index] += node.dim
    # Leaves are exchanged from the top, so that a part's own leaves stay.
    return Program(
        _exchanged(tree, leaves),
        {index: tuple(nodes) for index, nodes in parts.items()},
        contractions,
    )


def _tile(k: int) -> Node:
    from .tree import _intern

    return _intern("tile", (), (k,), 1, PAIR)


def _without_quotients(root: Node) -> Node:
    done: dict[Node, Node] = {}
    for node in nodes_of(root):
        args = tuple(done[a] for a in node.args)
        if (
            node.op == "div"
            and node.reach == PAIR
            and args[1].reach != PAIR
            and args[1].op != "const"
        ):
            done[node] = args[0] * apply("inv", args[1])
        elif node.args and args != node.args:
            done[node] = apply(node.op, *args, static=node.static)
        else:
            done[node] = node
    return done[root]


def _contraction(node: Node) -> Contraction | None:
    """Is it a long sum over components of pairs?"""
    if node.op != "sum" or node.reach != PAIR:
        return None
    inner = node.args[0]
    product = product_of(inner) if inner.dim >= PRODUCT_DIM else None
    if product is not None or inner.dim < ROLL_DIM:
        return product
    table = operations()
    for part in nodes_of(inner):
        rolls = part.reach != PAIR or (
            part.dim == inner.dim
            and part.op in table
            and table[part.op].kind == "elementwise"
        )
        if not rolls:
            return None
    return Contraction("rolled", inner, inner)


def product_of(inner: Node) -> Contraction | None:
    """Is it (x - y)^2 or x y, with x of i and y of j?"""
    kind = "dot"
    if inner.op == "square" and inner.args[0].op == "sub":
        inner, kind = inner.args[0], "sqdist"
    elif inner.op != "mul":
        return None
    a, b = inner.args
    if (a.reach, b.reach) == (2, 1):
        a, b = b, a
    if (a.reach, b.reach) != (1, 2) or a.dim != b.dim:
        return None
    return Contraction(kind, a, b)


def _hoisted(root: Node) -> list[Node]:
    """Largest parts that do not depend on both i and j, in order of use."""
    out: list[Node] = []
    seen: set[Node] = set()
    stack = [root]
    while stack:
        node = stack.pop()
        if node in seen or node.op in ("const", "tile"):
            continue
        seen.add(node)
        if node.reach == PAIR:
            stack.extend(reversed(node.args))
        else:
            out.append(node)
    return out


def _exchanged(root: Node, leaves: dict[Node, Node]) -> Node:
    done: dict[Node, Node] = {}

    def visit(node: Node) -> Node:
        if node in leaves:
            return leaves[node]
        if node not in done:
            args = tuple(visit(a) for a in node.args)
            done[node] = (
                apply(node.op, *args, static=node.static) if node.args else node
            )
        return done[node]

    return visit(root)


def table_rows(parts: Sequence[Node]) -> int:
    """Rows of a table that holds these parts."""
    return sum(part.dim for part in parts)
