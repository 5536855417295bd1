"""Source text of kernels for one lowered formula, and the compiled kernels.

A kernel walks over blocks of rows i0..i1 and columns j0..j1. For a few rows at a
time and a run of columns that stays in the first-level cache, one loop over the
columns holds the whole formula, component by component, so that the compiler turns
it into vector instructions.

``sum`` adds the components up: within a run in the precision of the data, from run
to run in doubles. ``fill`` writes them to a tile (component, row, column), from
which the other reductions take them.

The text depends on the structure of the formula alone. It is written to the
engine's cache folder under the name of its hash, as Numba keeps compiled code of
files only.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import os
import sys
import tempfile
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .. import cache
from . import native
from .structure import component, needed
from .table import operations
from .tree import Node, nodes_of

NEAR_BYTES = 24 << 10  # columns of a run take so much of the first-level cache
ROLL_ROWS = 4  # rows at a time when components are rolled
MOST_LINES = 700  # a longer formula compiles too long: dense evaluation
_PACKAGE = "vigitensor_formulas"
_HEAD = '''"""Generated: do not edit."""
import math

import numpy as np
from numba import types

from {package}.kernels_scalar import (
    at2,
    at3,
    exp_{f} as exp,
    fast_loops,
    kernel,
    log_{f} as log,
    maximum,
    minimum,
    plus,
    power,
    put3,
    sinxratio_{f} as sinxratio,
)

sqrt = math.sqrt
f = types.{float}
i8 = types.int64
P = types.Array(f, 1, "C", readonly=True)
X = types.Array(f, 2, "C", readonly=True)
T = types.Array(f, 3, "C", readonly=True)
B = types.Array(i8, 2, "C", readonly=True)
I4 = (i8, i8, i8, i8)
'''
_TYPES = {"float32": "f4", "float64": "f8"}


class TooLong(Exception):
    """The formula has too many components to be written out."""


class _Body:
    """Statements of one pair of row ``r`` and column ``j``, each value once."""

    def __init__(
        self,
        row: int,
        shared: dict[str, str],
        consts: dict[float, str],
        first: str = "",
        apart: bool = False,
    ) -> None:
        self.row = row
        self.first = first  # name of the first component, where they are rolled
        self.apart = apart  # a table for every part of j
        self.lines: list[str] = []
        self.shared = shared  # loads of the column, the same for all rows
        self.consts = consts
        self.loads: dict[str, str] = {}  # of the row
        self.params: dict[str, str] = {}
        self._names: dict[tuple[Node, int], str] = {}

    def value(self, node: Node, c: int) -> str:
        """Name of component c of a node; the statements it needs are added."""
        c = 0 if node.dim == 1 else c
        key = (node, c)
        if key not in self._names:
            self._names[key] = self._make(node, c)
        return self._names[key]

    def _make(self, node: Node, c: int) -> str:
        if node.op == "const":
            return self.const(node.static[0])
        if node.op == "var":
            index, slot = node.static
            return self._leaf(index, slot, c, bool(self.first) and node.dim > 1)
        if node.op == "tile":
            return self._let(f"at3(t, {node.static[0]}, i_{self.row} - i0, j - j0)")
        code = self._code(node, c)
        return code if code.isidentifier() else self._let(code)

    def _leaf(self, index: str, slot: int, c: int, rolled: bool) -> str:
        """Name of a component of the data; it is loaded once."""
        place = f"{slot + c} + {self.first}" if rolled else str(slot + c)
        name = f"{slot + c}r" if rolled else str(slot + c)
        if index == "p":
            self.params[f"p{name}"] = f"p[{place}]"
            return f"p{name}"
        if index == "i":
            name = f"x{name}_{self.row}"
            self.loads[name] = f"at2(x, {place}, i_{self.row})"
            return name
        load = f"at2(y{slot}, {c}, j)" if self.apart else f"at2(y, {place}, j)"
        return self.shared.setdefault(load, f"v{name}")

    def _code(self, node: Node, c: int) -> str:
        op = operations()[node.op]
        if op.kind == "structural":
            dims = [a.dim for a in node.args]
            wanted = needed(node.op, c, dims, node.static)
            names = [
                [self.value(a, k) for k in places]
                for a, places in zip(node.args, wanted)
            ]
            if node.op == "sum" and len(names[0]) > 1:
                total = names[0][0]
                for name in names[0][1:-1]:
                    total = self._let(f"{total} + {name}")
                return f"{total} + {names[0][-1]}"
            return self._typed(component(node.op, c, names), {})
        args = {letter: self.value(a, c) for letter, a in zip("abc", node.args)}
        if node.op == "pow":
            return self._power(args["a"], node.static[0])
        static = dict(zip(op.static, node.static))
        return self._typed(op.scalar, args, static)

    def _power(self, name: str, n: int) -> str:
        out, square, left = "", name, abs(n)
        while left:
            if left & 1:
                out = self._let(f"{out} * {square}") if out else square
            left >>= 1
            if left:
                square = self._let(f"{square} * {square}")
        one = self.const(1.0)
        return f"{one} / {out}" if n < 0 else out or one

    def _let(self, code: str) -> str:
        name = f"w{len(self.lines)}_{self.row}"
        self.lines.append(f"{name} = {code}")
        if len(self.lines) > MOST_LINES:
            raise TooLong
        return name

    def const(self, value: float) -> str:
        return self.consts.setdefault(float(value), f"k{len(self.consts)}")

    def _typed(
        self, code: str, names: dict[str, str], static: dict[str, int] | None = None
    ) -> str:
        """Code with names put in, and numbers in the precision of the data."""
        tree = ast.parse(code, mode="eval")
        return ast.unparse(_Names(names, static or {}, self.const).visit(tree))


class _Names(ast.NodeTransformer):
    def __init__(
        self,
        names: dict[str, str],
        static: dict[str, int],
        const: Callable[[float], str],
    ) -> None:
        self.names, self.static, self.const = names, static, const

    def visit_Name(self, node: ast.Name) -> ast.AST:
        if node.id in self.static:
            return ast.Constant(self.static[node.id])
        return ast.Name(self.names.get(node.id, node.id), ast.Load())

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        if isinstance(node.op, ast.Pow) and isinstance(node.left, ast.Constant):
            power = self.visit(node.right)
            value = float(ast.literal_eval(node.left)) ** int(ast.literal_eval(power))
            return ast.Name(self.const(value), ast.Load())
        self.generic_visit(node)
        return node

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        return ast.Name(self.const(float(ast.literal_eval(node))), ast.Load())


def source(root: Node, dtype: str, mode: str) -> str:
    """Text of the module with ``run``.

    ``mode``: "sum"; "row", a sum of one row; "parts", the same where every part of j
    has a table of its own, as it came; "fill".
    """
    consts = {0.0: "k0"}
    sums, apart = mode != "fill", mode == "parts"
    shared: dict[str, str] = {}
    # Two rows at a time share the loads of columns and fill the pipelines.
    rows = 2 if mode == "sum" and root.dim <= 4 else 1
    bodies = [_Body(r, shared, consts, apart=apart) for r in range(rows)]
    results = [[body.value(root, c) for c in range(root.dim)] for body in bodies]
    before, after, tails = [], [], []
    for r, names in enumerate(results):
        after += [f"if i + {r} < i1:" if r else "if True:"] if sums else []
        for c, name in enumerate(names):
            if sums:
                before += [f"s{c}_{r} = k0"]
                tails += [f"s{c}_{r} = plus(s{c}_{r}, {name})"]
                after += [f"    out[{c}, i_{r} - base] += s{c}_{r}"]
            else:
                tails += [f"put3(out, {c}, i - i0, j - j0, {name})"]
    loop = _loop(bodies, shared, before, tails, after, dtype)
    kinds, given = '*I4, types.Array(f, 3, "C")', "i0, i1, j0, j1, out"
    if sums:  # one call for many blocks; ``base`` is the first row of ``out``
        kinds, given = 'B, i8, types.Array(types.float64, 2, "C")', "blocks, base, out"
        edges = [
            f"{k} = blocks[b, {c}]" for c, k in enumerate(("i0", "i1", "j0", "j1"))
        ]
        loop = ["for b in range(blocks.shape[0]):", *_indent(1, edges + loop)]
    y = [f"y{slot}" for slot in slots_of(root)] if apart else ["y"]
    return "\n".join(
        [
            *_head(dtype, consts),
            f"@kernel(types.void(P, X, {'X, ' * len(y)}T, {kinds}))",
            f"def run(p, x, {', '.join([*y, 't'])}, {given}):",
            "    fast_loops()",
            *_indent(1, [f"{k} = {v}" for k, v in bodies[0].params.items()]),
            *_indent(1, loop),
            "",
        ]
    )


def slots_of(root: Node) -> list[int]:
    """First components of the parts of j that a lowered formula reads, in order."""
    leaves = [n for n in nodes_of(root) if n.op == "var" and n.static[0] == "j"]
    return sorted({node.static[1] for node in leaves})


def rolled_source(root: Node, dtype: str, size: int) -> str:
    """Text of a kernel that adds ``size`` components, from ``d0`` on, to a tile."""
    consts = {0.0: "k0"}
    shared: dict[str, str] = {}
    bodies = [_Body(r, shared, consts, "d0") for r in range(ROLL_ROWS)]
    tails = []
    for r, body in enumerate(bodies):
        place = f"0, i_{r} - i0, j - j0"
        total = f"at3(out, {place})"
        for c in range(size):
            total = body._let(f"{total} + {body.value(root, c)}")
        tails += [f"put3(out, {place}, {total})"]
    return "\n".join(
        [
            *_head(dtype, consts),
            '@kernel(types.void(P, X, X, i8, *I4, types.Array(f, 3, "C")))',
            "def run(p, x, y, d0, i0, i1, j0, j1, out):",
            "    fast_loops()",
            *_indent(1, [f"{k} = {v}" for k, v in bodies[0].params.items()]),
            *_indent(1, _loop(bodies, shared, [], tails, [], dtype)),
            "",
        ]
    )


def _head(dtype: str, consts: dict[float, str]) -> list[str]:
    """Imports, and the numbers of the formula in the precision of the data."""
    text = [_HEAD.format(package=__package__, f=_TYPES[dtype], float=dtype)]
    for value, name in consts.items():
        text += [f'{name} = np.{dtype}("{value!r}")']
    return [*text, "", ""]


def _loop(
    bodies: list[_Body],
    shared: dict[str, str],
    before: list[str],
    tails: list[str],
    after: list[str],
    dtype: str,
) -> list[str]:
    """Runs of columns; rows, some at a time; and the loop over columns."""
    inner = [f"{name} = {load}" for load, name in shared.items()]
    for body in bodies:
        inner += body.lines
    loads = []
    for r, body in enumerate(bodies):
        # The last rows come twice rather than one at a time.
        loads += [f"i_{r} = min(i + {r}, i1 - 1)"]
        loads += [f"{name} = {load}" for name, load in body.loads.items()]
    width = max(1, len(shared)) * (4 if dtype == "float32" else 8)
    run = min(1024, max(128, NEAR_BYTES // width // 128 * 128))
    return [
        f"for jb in range(j0, j1, {run}):",
        f"    je = min(jb + {run}, j1)",
        f"    for i in range(i0, i1, {len(bodies)}):",
        *_indent(2, loads + before),
        "        for j in range(jb, je):",
        *_indent(3, inner + tails),
        *_indent(2, after),
    ]


def _indent(depth: int, lines: list[str]) -> list[str]:
    return ["    " * depth + line for line in lines]


@functools.lru_cache(maxsize=512)
def load(text: str, direct: bool = False) -> Callable[..., None]:
    """The compiled kernel of a source text, from the cache when it was there.

    ``direct``: without Numba where its machine code is there (``native``).
    """
    name = "f_" + hashlib.sha256(text.encode()).hexdigest()[:24]
    folder = _folder()
    path = folder / f"{name}.py"
    code = folder / f"{name}.code"
    found = native.load(code) if direct and code.exists() else None
    if found is not None:
        return found
    if not path.exists():
        _write(path, text)
    run: Callable[..., None] = cache.load_kernels(f"{_PACKAGE}.{name}").run
    if direct:
        native.save(run, code)
    return run


@functools.lru_cache(maxsize=512)
def kernel(root: Node, dtype: str, mode: str) -> Callable[..., None] | None:
    """The kernel of a lowered formula; None if it is too long to be written out."""
    try:
        text = source(root, dtype, mode)
    except TooLong:
        return None
    return load(text, mode != "fill")


@functools.lru_cache(maxsize=512)
def rolled_kernel(root: Node, dtype: str, size: int) -> Callable[..., None]:
    """The kernel of some components of a long sum."""
    return load(rolled_source(root, dtype, size))


@functools.lru_cache(maxsize=1)
def _folder() -> Path:
    """Folder of generated files, known to Python as a package."""
    folder = cache.cache_dir() / "formulas"
    folder.mkdir(mode=0o700, exist_ok=True)
    package: Any = types.ModuleType(_PACKAGE)
    package.__path__ = [str(folder)]
    sys.modules[_PACKAGE] = package
    return folder


def _write(path: Path, text: str) -> None:
    """Whole or not at all: another process may want the same file."""
    handle, draft = tempfile.mkstemp(dir=path.parent, suffix=".draft")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(draft, path)
