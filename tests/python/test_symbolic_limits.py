"""What is long, large or far: formulas, components, sums, memory."""

import os

import numpy as np
import pytest
from symbolic_cases import gaussian, points
from vigitensor.symbolic import (
    codegen,
    dense,
    evaluate,
    memory,
    tables,
)
from vigitensor.symbolic.evaluate import reduce
from vigitensor.symbolic.lower import expand, lower
from vigitensor.symbolic.tables import Problem, Tables
from vigitensor.symbolic.tree import apply, number, variable

FULL = os.environ.get("VIGITENSOR_FULL") == "true"


@pytest.fixture(autouse=True)
def compile_all_sizes(monkeypatch):
    """Small problems are not compiled; here they are."""
    monkeypatch.setattr(tables, "SMALL", 0)


def test_a_long_formula_goes_to_the_dense_evaluator():
    d = 900
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(6, d)), rng.normal(size=(9, d))
    formula = apply("sum", apply("abs", variable("i", 0, d) - variable("j", 1, d)))
    problem = Problem([x, y], (), 6, 9, np.dtype(np.float64))
    expected = np.abs(x[:, None] - y).sum(-1)
    found = reduce(formula, problem, "sum")["value"]
    np.testing.assert_allclose(found[:, 0], expected.sum(1), rtol=1e-13)
    found = reduce(formula, problem, "min")["index"]
    assert (found[:, 0] == expected.argmin(1)).all()


@pytest.mark.parametrize("d", [50, 53] if FULL else [53])
@pytest.mark.parametrize(
    ("make", "numpy"),
    [
        (lambda x, y, p: apply("sum", apply("abs", x - y)),
         lambda x, y, p: np.abs(x - y)),
        (lambda x, y, p: apply("sum", p * apply("square", x - y)),
         lambda x, y, p: p * (x - y) ** 2),
        (lambda x, y, p: apply("sum", apply("maximum", x * p, y)),
         lambda x, y, p: np.maximum(x * p, y)),
    ],
)  # fmt: skip
def test_long_sums_over_components(make, numpy, d):
    rng = np.random.default_rng(5)
    x, y, p = (rng.normal(size=s) for s in ((67, d), (2100, d), (1, d)))
    node = make(variable("i", 0, d), variable("j", 1, d), variable("p", 2, d))
    problem = Problem([x, y, p], (), 67, 2100, np.dtype(np.float64))
    assert [c.kind for c in lower(expand(node)).contractions] == ["rolled"]
    expected = numpy(x[:, None], y, p[0]).sum(-1)
    found = Tables(expand(node), problem).filler()(slice(0, 67), slice(0, 2100))
    np.testing.assert_allclose(found[0], expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("d", [17, 250])
def test_long_products_go_through_register_blocks(d):
    problem = points(70, 2100, d, 1, "float64")
    x, y = variable("i", 0, d), variable("j", 1, d)
    for name, kind in (("sqdist", "sqdist"), ("dot", "dot")):
        node = expand(apply(name, x, y))
        assert [c.kind for c in lower(node).contractions] == [kind]
        block = dense.matrix(node, problem.data, (), 70, 2100)[:, :, 0]
        found = reduce(node, problem, "max")
        np.testing.assert_allclose(found["value"][:, 0], block.max(1), rtol=1e-11)
        assert (found["index"][:, 0] == block.argmax(1)).all()


def test_a_new_value_or_slot_compiles_nothing(monkeypatch):
    problem = points(20, 30, 3, 1, "float64")
    kernel, b = gaussian(3, 1)
    reduce(kernel * b, problem, "sum")
    written = []
    monkeypatch.setattr(codegen, "_write", lambda path, text: written.append(path))
    reduce(kernel * b, problem._replace(numbers=[0.123]), "sum")
    x, y, w = variable("i", 1, 3), variable("j", 2, 3), variable("j", 0, 1)
    again = apply("exp", -(apply("sqdist", x, y) / number(0))) * w
    moved = [problem.data[2], problem.data[0], problem.data[1]]
    reduce(again, problem._replace(data=moved), "sum")
    assert written == []


def test_sums_of_many_small_numbers_in_single_precision():
    m = 10_000_000
    y = np.full((m, 1), 0.1, np.float32)
    p = Problem([np.ones((1, 1), np.float32), y], (), 1, m, np.dtype(np.float32))
    found = reduce(variable("i", 0, 1) * variable("j", 1, 1), p, "sum")["value"]
    assert found.item() == pytest.approx(float(np.float32(0.1)) * m, rel=1e-6)


def test_data_are_read_as_they_come():
    rng = np.random.default_rng(1)
    x = np.asfortranarray(rng.normal(size=(30, 3)))
    x.flags.writeable = False
    p = Problem([x, x], (), 30, 30, np.dtype(np.float64))
    made = Tables(apply("dot", variable("i", 0, 3), variable("j", 1, 3)), p)
    assert np.shares_memory(made.x, x)  # a matrix from R is not copied
    c = np.ascontiguousarray(x)
    made = Tables(apply("dot", variable("i", 0, 3), variable("j", 1, 3)),
                  p._replace(data=[c, c]))  # fmt: skip
    np.testing.assert_array_equal(made.x, x.T)
    assert evaluate.TILE_ROWS <= 128


def test_memory_is_estimated_before_a_run(monkeypatch):
    """Tables, states and tiles, within a factor of what NumPy's peak grows by."""
    import tracemalloc

    n, d = 200_000, 12
    problem = points(n, 10, d, 1, "float64")
    x, y = variable("i", 0, d), variable("j", 1, d)
    formula = apply("sum", apply("exp", x) * y)
    seen = []
    monkeypatch.setattr(memory, "check", lambda a, b: seen.append(a + b))
    tracemalloc.start()
    reduce(formula, problem, "sum")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert 0.7 * peak < seen[0] < 3 * peak


def test_what_does_not_fit_is_refused_with_the_number():
    from vigitensor import api_symbolic as api
    from vigitensor.errors import EngineError

    data = [np.zeros((100_000, 3)), np.zeros((10, 3))]
    given = (["exp", ["neg", ["sqdist", ["var", 0], ["var", 1]]]], data, ["i", "j"])
    for limit, fits in ((1, False), (100, True)):
        if fits:
            api.symbolic_reduce(*given, memory_mb=limit)
            continue
        with pytest.raises(EngineError, match="needs about [0-9]+ MB") as caught:
            api.symbolic_reduce(*given, memory_mb=limit)
        assert caught.value.code == "too_large"
    monkey = np.lib.stride_tricks.as_strided
    huge = monkey(np.zeros(3), (1 << 40, 3), (0, 8))  # no memory, but its result
    with pytest.raises(EngineError, match="needs about [0-9]+ MB"):
        api.symbolic_reduce(given[0], [huge, data[1]], ["i", "j"])
