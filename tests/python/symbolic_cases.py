"""Arguments for every operation of the table, by its domain, and a Gaussian sum."""

import numpy as np
from vigitensor.symbolic.table import Operation, operations
from vigitensor.symbolic.tables import Problem
from vigitensor.symbolic.tree import Node, apply, number, variable

N, M = 4, 5


def arguments(op: Operation, rng: np.random.Generator):
    """Nodes and data: the first argument of i, the second of j, the third again i.

    Returns the node of the operation and its data; derivatives exist there.
    """
    d = 3
    static = tuple(range(1, len(op.static) + 1))
    dims = [d] * op.arity
    if op.domain in ("scalar", "index"):
        dims, static = [1], (4,) if op.static == ("d",) else (2, 4)
    elif op.domain == "complex":
        dims = [4] * op.arity
    elif op.domain == "permute":
        static = ((2, 0, 1),)
    elif op.domain == "matvec":
        dims = [6, 3]
    elif op.domain == "vecmat":
        dims = [3, 6]
    elif op.domain == "weights3":
        dims = [9, 3, 3]
    elif op.domain == "tensordot":
        # (2, 3) and (3, 2), over the axes of 3
        dims, static = [6, 6], (2, 2, 3, 2, 3, 2, 1, 1, 0)
    elif op.domain == "kron":
        dims, static = [4, 6], (2, 2, 2, 3)
    elif op.domain == "bspline":
        dims, static = [8, 1], (2,)
    if op.name == "extract":
        static = (1, 2)
    if op.name == "extract_t":
        static = (1, 5)
    data = [_draw(op, k, dims[k], rng) for k in range(op.arity)]
    leaves = [variable("ij"[k % 2], k, dims[k]) for k in range(op.arity)]
    return apply(op.name, *leaves, static=static), leaves, data


def _draw(op: Operation, k: int, dim: int, rng: np.random.Generator):
    n = (N, M)[k % 2]
    shape = (n, dim)
    if op.domain == "positive":
        return rng.uniform(0.3, 2.0, shape)
    if op.domain == "unit":
        return rng.uniform(-0.9, 0.9, shape)
    if op.domain == "binary":
        return rng.integers(0, 2, shape).astype(float)
    if op.domain == "index":
        return rng.integers(0, 4, shape).astype(float)
    if op.domain == "bspline":
        if k == 0:
            return np.sort(rng.uniform(0, 1, shape), axis=1) + np.arange(dim)
        return rng.uniform(2.5, 5.0, shape)
    if op.domain == "nonzero" or op.domain == "complex":
        size = rng.uniform(0.4, 2.0, shape)
        return size * rng.choice([-1.0, 1.0], shape)
    return rng.normal(size=shape)


def all_cases(seed: int = 1):
    """Every operation with its node, leaves and data."""
    rng = np.random.default_rng(seed)
    return [(op.name, *arguments(op, rng)) for op in operations().values()]


def shifted(node: Node, first: int) -> dict[Node, Node]:
    """The leaves of a formula in slots from ``first`` on."""
    from vigitensor.symbolic.tree import nodes_of

    return {
        leaf: variable(leaf.static[0], leaf.static[1] + first, leaf.dim)
        for leaf in nodes_of(node)
        if leaf.op == "var"
    }


def gaussian(d, v):
    x, y, b = variable("i", 0, d), variable("j", 1, d), variable("j", 2, v)
    return apply("exp", -(apply("sqdist", x, y) / number(0))), b


def points(n, m, d, v, dtype, seed=1):
    rng = np.random.default_rng(seed)
    data = [rng.normal(size=s) for s in ((n, d), (m, d), (m, v))]
    return Problem([a.astype(dtype) for a in data], [2.0 * d], n, m, np.dtype(dtype))
