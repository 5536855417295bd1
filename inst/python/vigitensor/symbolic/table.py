"""The table of operations, ``operations.csv``, read once and checked.

Columns
-------
name, kind
    ``elementwise`` (component by component, dimensions equal or 1),
    ``structural`` (moves or folds components; Python code in ``structure``),
    ``composite`` (written with other operations in ``expand``).
arity, static
    Number of arguments, and names of the whole numbers that follow them and belong
    to the formula's structure (``*dims``: any number of them).
dim
    Rule for the dimension of the result, see ``structure.DIMENSION_RULES``.
scalar
    Numba code for one component of ``a``, ``b``, ``c``; numbers are floats.
numpy
    The same on arrays whose last axis is the components: the oracle.
expand, derivative
    In the language of ``language``: operations by name and with operators, ``g`` the
    cotangent, ``out`` the result, ``dim(a)`` a dimension. One derivative per
    argument, parted by semicolons; 0 where there is none.
domain
    From which arguments the tests draw.
keops, r_name, r_dense
    Names in PyKeOps and in R, and the dense code of the R reference.
"""

from __future__ import annotations

import ast
import csv
import functools
from pathlib import Path
from typing import NamedTuple

KINDS = ("elementwise", "structural", "composite")
DOMAINS = (
    "any",
    "positive",
    "unit",
    "nonzero",
    "binary",
    "scalar",
    "index",
    "complex",
    "permute",
    "matvec",
    "vecmat",
    "weights",
    "weights3",
    "tensordot",
    "kron",
    "bspline",
)
TABLE_FILE = Path(__file__).with_name("operations.csv")


class Operation(NamedTuple):
    """One row of the table."""

    name: str
    kind: str
    arity: int
    static: tuple[str, ...]
    dim: str
    scalar: str
    numpy: str
    expand: str
    derivative: tuple[str, ...]
    domain: str
    keops: str
    r_name: str
    r_dense: str
    description: str

    @property
    def any_static(self) -> bool:
        """May any number of whole numbers follow the arguments?"""
        return bool(self.static) and self.static[0].startswith("*")


@functools.lru_cache(maxsize=1)
def operations() -> dict[str, Operation]:
    """All operations by name."""
    return read_table(TABLE_FILE.read_text(encoding="utf-8"))


def read_table(text: str) -> dict[str, Operation]:
    """Parse and check the table; a fault is a ``ValueError`` naming the row."""
    rows = list(csv.DictReader(text.splitlines()))
    out: dict[str, Operation] = {}
    for row in rows:
        if None in row or None in row.values():
            raise ValueError(f"operations.csv: wrong number of cells in {row}")
        op = Operation(
            name=row["name"],
            kind=row["kind"],
            arity=int(row["arity"]),
            static=tuple(row["static"].split()),
            dim=row["dim"],
            scalar=row["scalar"].strip(),
            numpy=row["numpy"].strip(),
            expand=row["expand"].strip(),
            derivative=tuple(d.strip() for d in row["derivative"].split(";") if d),
            domain=row["domain"],
            keops=row["keops"],
            r_name=row["r_name"],
            r_dense=row["r_dense"],
            description=row["description"],
        )
        fault = _fault(op)
        if op.name in out:
            fault = "the name stands twice"
        if fault:
            raise ValueError(f"operations.csv: {op.name}: {fault}")
        out[op.name] = op
    return out


def _fault(op: Operation) -> str:
    """What is wrong with a row, or nothing."""
    if not op.name.isidentifier():
        return "the name is not a word"
    if op.kind not in KINDS:
        return f"unknown kind {op.kind}"
    if op.domain not in DOMAINS:
        return f"unknown domain {op.domain}"
    if not op.description:
        return "no description"
    if op.kind == "composite":
        if not op.expand or op.scalar or op.numpy or op.derivative:
            return "a composite has an expansion and nothing else"
    else:
        if op.expand or not op.numpy or not op.dim:
            return "needs NumPy code and a dimension rule, and no expansion"
        if len(op.derivative) != op.arity:
            return f"{len(op.derivative)} derivatives for {op.arity} arguments"
    # A power by a whole number is written out by the code generator.
    if op.kind == "elementwise" and not op.scalar and op.name != "pow":
        return "no scalar code"
    for code in (op.scalar, op.numpy, op.expand, *op.derivative):
        try:
            ast.parse(code or "0", mode="eval")
        except SyntaxError:
            return f"cannot parse {code!r}"
    return ""
