"""Few pairs by NumPy: the same as the compiled reductions, and as few arguments."""

import numpy as np
import pytest
from vigitensor import api_symbolic as api
from vigitensor import api_symbolic_quick as quick
from vigitensor.symbolic import tables
from vigitensor.symbolic.evaluate import REDUCTIONS, reduce
from vigitensor.symbolic.ranges import of_blocks
from vigitensor.symbolic.tables import Problem
from vigitensor.symbolic.tree import apply, variable

N, M = 7, 30
X, Y, B = variable("i", 0, 2), variable("j", 1, 2), variable("j", 2, 3)


def problem(strange):
    rng = np.random.default_rng(4)
    data = [rng.normal(size=(N, 2)), rng.normal(size=(M, 2)), rng.normal(size=(M, 3))]
    data[1][5] = data[1][9]  # ties
    if strange:
        data[1][3, 0], data[1][8, 1], data[1][20, 0] = np.nan, np.inf, -np.inf
        data[1][21] = np.nan
    return Problem(data, [], N, M, np.dtype(np.float64))


@pytest.mark.parametrize("strange", [False, True])
@pytest.mark.parametrize("blocks", [False, True])
@pytest.mark.parametrize("reduction", sorted(REDUCTIONS))
def test_few_pairs_are_reduced_as_many(reduction, blocks, strange, monkeypatch):
    one = reduction in ("kmin", "kmax", "histogram", "sumsoftmaxweight")
    formula = apply("elem", X * Y, static=(0,)) if one else X * Y
    more = {"k": 4, "breaks": np.array([-1.0, -0.2, 0.5, 2.0])}
    if reduction == "sumsoftmaxweight":
        more["weight"] = B
    if blocks:
        rows, columns = [[0, 3], [0, 3], [4, 7]], [[2, 9], [15, 30], [0, 20]]
        more["ranges"] = of_blocks(np.array(rows), np.array(columns))
    p = problem(strange)
    with np.errstate(all="ignore"):
        few = reduce(formula, p, reduction, **more)
        monkeypatch.setattr(tables, "SMALL", 0)
        many = reduce(formula, p, reduction, **more)
    assert sorted(few) == sorted(many)
    for name, value in few.items():
        assert value.dtype == many[name].dtype
        np.testing.assert_allclose(value, many[name], rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("reduction", ["sum", "argmin", "kmin_argkmin", "logsumexp"])
def test_few_arguments_give_the_same(reduction):
    rng = np.random.default_rng(2)
    formula = '["exp",["neg",["sqdist",["var",0],["var",1]]]]'
    for _ in range(2):  # planned, and from the plan
        data = [rng.normal(size=(5, 3)), rng.normal(size=(4, 3))]
        words = [formula, "", "ij", reduction, "i", "float32"]
        few = api.symbolic_quick(words, [2, 1, 5, 4], data)
        full = api.symbolic_reduce(
            formula, data, ["i", "j"], reduction, "i", k=2, base=1, precision="float32"
        )
        assert sorted(few) == sorted(full)
        for name, value in few.items():
            np.testing.assert_array_equal(value, full[name])


def test_plans_are_kept_for_shapes_not_for_numbers():
    formula = '["mul",["var",0],["var",1]]'
    words = "\n".join([formula, "", "ij", "sum", "j", "float64"])
    quick._plans.clear()
    for n in (3, 3, 4):
        x = np.full((n, 1), float(n))
        found = api.symbolic_quick(words, [1, 1, n, 2], [x, np.ones((2, 1))])
        np.testing.assert_array_equal(found["value"], 2 * x)
    assert len(quick._plans) == 2


def test_what_is_not_simple_goes_the_long_way():
    y = np.array([[1.0], [2.0], [4.0]])
    words = ['["var",1]', '["var",1]', "ij", "mean", "j", "float64"]
    found = api.symbolic_quick(words, [1, 1, 1, 3], [np.ones((1, 1)), y])
    np.testing.assert_allclose(found["value"], [[21 / 7]])
