"""Formulas as PyKeOps reads them; it is not needed to write them."""

import numpy as np
import pytest
from symbolic_cases import M, N, all_cases
from vigitensor.errors import EngineError
from vigitensor.symbolic import dense, keops
from vigitensor.symbolic.gradient import vjp
from vigitensor.symbolic.lower import expand
from vigitensor.symbolic.table import operations
from vigitensor.symbolic.tables import Problem
from vigitensor.symbolic.tree import apply, constant, nodes_of, number, variable


def test_formulas_as_keops_reads_them():
    x, y, p = variable("i", 0, 3), variable("j", 2, 3), variable("p", 1, 1)
    node = apply("exp", -(apply("sqdist", x, y) * p)) * number(0) + 0.5 - 2.0 * x
    problem = Problem(
        [np.ones((4, 3)), np.ones((1, 1)), np.ones((5, 3))], [0.25], 4, 5,
        np.dtype(np.float64),
    )  # fmt: skip
    text, data = keops.written(expand(node), problem)
    assert text == (
        "Subtract(Add(Mult(Exp(Minus(Mult(Sum(Square(Subtract(Var(0,3,0),"
        "Var(1,3,1)))),Var(2,1,2)))),Var(3,1,2)),Var(4,1,2)),"
        "Mult(IntCst(2),Var(0,3,0)))"
    )
    assert [a.shape for a in data] == [(4, 3), (5, 3), (1,), (1,), (1,)]
    assert (data[3], data[4]) == (0.25, 0.5)
    with pytest.raises(EngineError) as caught:
        keops.written(variable("ij", 0, 1), problem)
    assert caught.value.code == "engine_cannot"
    with pytest.raises(EngineError):
        keops.reduce(node, problem, "prod", k=1)


def test_operations_that_keops_has_not_are_written_with_others():
    table = operations()
    for name, node, leaves, data in all_cases():
        cotangent = variable("i", len(data), node.dim)
        g = np.random.default_rng(4).normal(size=(N, node.dim))
        for part in (node, *vjp(node, cotangent, leaves)):
            if part is None:
                continue
            root = expand(part)
            found = keops.known(root)
            assert all(table[n.op].keops for n in nodes_of(found) if n.args), name
            one, other = (dense.matrix(r, [*data, g], (), N, M) for r in (root, found))
            np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-13)


def test_a_quotient_by_zero_stays_zero_for_keops():
    x = variable("i", 0, 3)
    data = [np.array([[0.0, -2.0, 3.0]])]
    node = keops.known(apply("divsafe", constant(1.0), x))
    found = dense.matrix(node, data, (), 1, 1)
    np.testing.assert_array_equal(found[0, 0], [0, -0.5, 1 / 3])
    near = [np.array([[0.0, 1e-9, 0.05]])]
    slope = apply("sinxratio", x)
    one, other = (dense.matrix(r, near, (), 1, 1) for r in (slope, keops.known(slope)))
    np.testing.assert_allclose(one, other, rtol=1e-12)


def test_the_place_stands_last_for_keops():
    x = variable("i", 0, 1)
    problem = Problem([np.ones((4, 1))], [], 4, 5, np.dtype(np.float64))
    node = apply("elem_t", x, static=(2, 4))
    assert keops.written(node, problem)[0] == "ElemT(Var(0,1,0),4,2)"


def test_keops_is_told_how_many_rows_there_are():
    x = variable("i", 0, 3)
    problem = Problem([np.ones((4, 3))], [], 4, 5, np.dtype(np.float64))
    root, wider = keops._with_sizes(x, problem)
    assert [a.shape for a in wider.data] == [(4, 3), (5, 1)]
    np.testing.assert_array_equal(
        dense.matrix(root, wider.data, (), 4, 5), np.ones((4, 5, 3))
    )
    root, wider = keops._with_sizes(constant(1.0), problem)
    assert [a.shape for a in wider.data] == [(4, 3), (4, 1), (5, 1)]
