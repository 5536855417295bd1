"""The compiled evaluator against the dense one: operations, reductions, sizes."""

import os

import numpy as np
import pytest
from symbolic_cases import M, N, all_cases, shifted
from vigitensor.symbolic import (
    codegen,
    dense,
    evaluate,
    kernels_scalar,
    memory,
    tables,
)
from vigitensor.symbolic.evaluate import reduce, tasks_of
from vigitensor.symbolic.gradient import vjp
from vigitensor.symbolic.lower import expand, lower
from vigitensor.symbolic.table import operations
from vigitensor.symbolic.tables import Problem, Tables
from vigitensor.symbolic.tree import apply, number, rebuilt, variable

GROUP = 16  # operations per compiled kernel: values and derivatives of all


@pytest.fixture(autouse=True)
def compile_all_sizes(monkeypatch):
    """Small problems are not compiled; here they are."""
    monkeypatch.setattr(tables, "SMALL", 0)


def groups(derivatives=False):
    """Formulas that put many operations (and derivatives) in one kernel.

    Derivatives are written with operations of the table, each of which is compiled
    here; together they are compiled in the full run only.
    """
    cases = all_cases(seed=7)
    for start in range(0, len(cases), GROUP):
        data = [np.zeros((N, 1)), np.zeros((M, 1)), np.full((N, 1), 0.7)]
        # Zeros of the other index make every argument one of pairs: what depends
        # on i or j alone is taken out of the kernels.
        other = {"i": variable("j", 1, 1), "j": variable("i", 0, 1)}
        root = g = variable("i", 2, 1) + other["i"]
        for name, node, leaves, own in cases[start : start + GROUP]:
            moved = shifted(node, len(data))
            back = {moved[leaf]: moved[leaf] + other[leaf.static[0]] for leaf in leaves}
            # Cut at the leaves first, so that derivatives are those of pairs too.
            here = rebuilt(expand(node), moved)
            parts = [here]
            if derivatives:
                spread = g if here.dim == 1 else apply("spread", g, static=(here.dim,))
                parts += vjp(here, spread, [moved[leaf] for leaf in leaves])
            elif operations()[name].kind == "elementwise":
                parts = [apply("elem", here, static=(1,))]
            for part in parts:
                if part is not None:
                    root = apply("concat", root, rebuilt(part, back))
            data += own
        yield root, data


FULL = os.environ.get("VIGITENSOR_FULL") == "true"


@pytest.mark.parametrize("derivatives", [False, True] if FULL else [False])
@pytest.mark.parametrize("group", range(-(-len(all_cases()) // GROUP)))
def test_every_operation_as_in_the_dense_evaluator(group, derivatives, monkeypatch):
    monkeypatch.setattr(codegen, "MOST_LINES", 5000)
    codegen.kernel.cache_clear()
    root, data = list(groups(derivatives))[group]
    problem = Problem(data, (), N, M, np.dtype(np.float64))
    assert codegen.kernel(lower(root).root, "float64", "fill") is not None
    found = Tables(root, problem).filler()(slice(0, N), slice(0, M))
    expected = np.moveaxis(dense.matrix(root, data, (), N, M), 2, 0)
    # Products are rounded together with sums; functions differ in the last place.
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


def test_single_precision_too():
    root, data = next(groups())
    data = [d.astype(np.float32) for d in data]
    problem = Problem(data, (), N, M, np.dtype(np.float32))
    found = Tables(root, problem).filler()(slice(0, N), slice(0, M))
    assert found.dtype == np.float32
    exact = dense.matrix(root, [d.astype(np.float64) for d in data], (), N, M)
    np.testing.assert_allclose(found, np.moveaxis(exact, 2, 0), rtol=2e-4, atol=2e-5)


def ulps(found, exact):
    """Largest error in units of the last place; ``exact`` has more places."""
    unit = np.spacing(np.abs(exact).astype(found.dtype)).astype(np.longdouble)
    return float(np.max(np.abs(found - exact) / unit))


@pytest.mark.parametrize(
    ("dtype", "low", "high"), [("float32", -103, 88.7), ("float64", -744, 709.7)]
)
def test_exp_and_log_to_the_last_place(dtype, low, high):
    x, y = variable("i", 0, 1), variable("j", 1, 1)
    rng = np.random.default_rng(1)
    columns = rng.uniform(low, high, 20_000)
    data = [np.zeros((1, 1), dtype), columns.astype(dtype)[:, None]]

    def of(name, values):
        data[1] = np.asarray(values, dtype)[:, None]
        p = Problem(data, (), 1, len(values), np.dtype(dtype))
        fill = Tables(apply(name, x + y), p).filler()
        return fill(slice(0, 1), slice(0, len(values)))[0, 0]

    exact = np.exp(data[1][:, 0].astype(np.longdouble))
    assert ulps(of("exp", columns), exact) < 1.5
    values = np.exp(columns).astype(dtype)
    values = np.concatenate((values[values > 0], 1 + columns.astype(dtype) / 5000))
    values = values[values != 1].astype(dtype)
    assert ulps(of("log", values), np.log(values.astype(np.longdouble))) < 1.5
    special = [0.0, np.inf, -np.inf, np.nan, 1e6, -1e6, -1.0]
    np.testing.assert_array_equal(
        of("exp", special)[:6], [1, np.inf, 0, np.nan, np.inf, 0]
    )
    found = of("log", [*special, -0.0, 1.0])
    np.testing.assert_array_equal(
        found[[0, 1, 2, 3, 6, 7, 8]],
        [-np.inf, np.inf, np.nan, np.nan, np.nan, -np.inf, 0],
    )
    assert kernels_scalar.exp_f4 is not kernels_scalar.exp_f8


def gaussian(d, v):
    x, y, b = variable("i", 0, d), variable("j", 1, d), variable("j", 2, v)
    return apply("exp", -(apply("sqdist", x, y) / number(0))), b


def points(n, m, d, v, dtype, seed=1):
    rng = np.random.default_rng(seed)
    data = [rng.normal(size=s) for s in ((n, d), (m, d), (m, v))]
    return Problem([a.astype(dtype) for a in data], [2.0 * d], n, m, np.dtype(dtype))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    ("n", "m", "d", "v"),
    [
        (70, 5000, 3, 2),
        (3, 9000, 3, 2),
        (5000, 7, 3, 2),
        (1, 1, 3, 2),
        (130, 2100, 40, 2),
        (70, 3000, 40, 12),
    ],
)
def test_gaussian_sums(n, m, d, v, dtype):
    kernel, b = gaussian(d, v)
    problem = points(n, m, d, v, dtype)
    exact = [a.astype(np.float64) for a in problem.data]
    block = dense.matrix(expand(kernel * b), exact, problem.numbers, n, m)
    tolerance = 1e-12 if dtype == "float64" else 3e-6
    for axis, expected in (("j", block.sum(1)), ("i", block.sum(0))):
        found = reduce(kernel * b, problem, "sum", axis)["value"]
        assert found.dtype == dtype
        scale = np.abs(block).sum(1 if axis == "j" else 0)
        assert (np.abs(found - expected) <= tolerance * scale).all()


def reference(name, f, axis, k):
    """Reductions of a dense (n, m) matrix."""
    f = f if axis == "j" else f.T
    if name == "logsumexp":
        top = f.max(1)
        return {"value": top + np.log(np.exp(f - top[:, None]).sum(1))}
    if name in ("min", "max"):
        place = f.argmin(1) if name == "min" else f.argmax(1)
        return {"value": np.take_along_axis(f, place[:, None], 1)[:, 0], "index": place}
    if name in ("kmin", "kmax"):
        order = np.argsort(f if name == "kmin" else -f, axis=1, kind="stable")[:, :k]
        return {"value": np.take_along_axis(f, order, 1), "index": order}
    return {"value": f.mean(1) if name == "mean" else f.prod(1)}


@pytest.mark.parametrize("d", [3, 40])
@pytest.mark.parametrize("axis", ["j", "i"])
@pytest.mark.parametrize(
    "name", ["logsumexp", "min", "max", "kmin", "kmax", "mean", "prod"]
)
def test_reductions(name, axis, d):
    n, m = 90, 2500
    problem = points(n, m, d, 1, "float64")
    formula = apply("sqdist", variable("i", 0, d), variable("j", 1, d)) * number(0)
    if name == "prod":  # within the range of doubles
        formula = 1 + formula * 1e-5
    block = dense.matrix(expand(formula), problem.data, problem.numbers, n, m)
    expected = reference(name, block[:, :, 0], axis, 4)
    found = reduce(formula, problem, name, axis, k=4)
    for part, value in expected.items():
        np.testing.assert_allclose(
            found[part].reshape(value.shape), value, rtol=1e-12, atol=1e-12
        )


def test_weighted_exponentials():
    n, m, d = 60, 2300, 3
    problem = points(n, m, d, 2, "float64")
    formula = apply("sqdist", variable("i", 0, d), variable("j", 1, d))
    weight = apply("square", variable("j", 2, 2))
    f = dense.matrix(expand(formula), problem.data, (), n, m)
    w = problem.data[2] ** 2
    total = (np.exp(f) * w).sum(1)
    found = reduce(formula, problem, "logsumexp", weight=weight)["value"]
    np.testing.assert_allclose(found, np.log(total), rtol=1e-12)
    found = reduce(formula, problem, "sumsoftmaxweight", weight=weight)["value"]
    np.testing.assert_allclose(found, total / np.exp(f).sum(1), rtol=1e-12)


def test_many_components_of_a_logsumexp():
    problem = points(20, 300, 3, 1, "float64")
    formula = variable("i", 0, 3) * variable("j", 1, 3)
    f = dense.matrix(formula, problem.data, (), 20, 300)
    found = reduce(formula, problem, "logsumexp")["value"]
    np.testing.assert_allclose(found, np.log(np.exp(f).sum(1)), rtol=1e-13)


@pytest.mark.parametrize("d", [50, 220])
def test_near_points_in_many_dimensions_keep_their_distance(d):
    rng = np.random.default_rng(3)
    x = rng.normal(size=(80, d)) + 100.0
    y = x + 1e-6 * rng.normal(size=(80, d))
    problem = Problem([x, y], (), 80, 80, np.dtype(np.float64))
    norm = apply("norm2", variable("i", 0, d) - variable("j", 1, d))
    expected = np.sqrt(((x[:, None] - y) ** 2).sum(-1))
    found = reduce(norm, problem, "min")
    np.testing.assert_allclose(found["value"][:, 0], expected.min(1), rtol=1e-12)
    assert (found["index"][:, 0] == np.arange(80)).all()
    same = problem._replace(data=[x, x])
    assert (reduce(norm, same, "min")["value"] == 0).all()


def test_nan_and_infinity():
    x = np.zeros((1, 1))
    formula = variable("i", 0, 1) + variable("j", 1, 1)

    def of(name, values, **more):
        y = np.array(values, float)[:, None]
        p = Problem([x, y], (), 1, len(y), np.dtype(np.float64))
        return reduce(formula, p, name, **more)

    inf, nan = np.inf, np.nan
    assert of("min", [2, nan, 1, nan])["index"].item() == 1
    assert np.isnan(of("min", [2, nan, 1])["value"]).all()
    assert of("max", [2, inf, 1, inf])["index"].item() == 1
    assert of("min", [inf, inf])["index"].item() == 0
    assert of("min", [inf, 3, -inf, nan])["index"].item() == 3
    assert of("min", [inf, 3, -inf])["index"].item() == 2
    assert of("kmin", [inf, nan, 3, inf, 2], k=3)["index"].tolist() == [[4, 2, 0]]
    assert of("kmin", [nan, 3], k=2)["index"].tolist() == [[1, -1]]
    assert of("logsumexp", [-inf, -inf])["value"].item() == -inf
    assert of("logsumexp", [-inf, 1])["value"].item() == 1
    assert of("logsumexp", [1, inf])["value"].item() == inf
    assert np.isnan(of("logsumexp", [1, nan])["value"]).all()
    assert np.isnan(of("sum", [1, nan])["value"]).all()


def test_ties_take_the_first_position_over_tasks():
    m = 600_000
    y = np.ones((m, 1))
    y[[4, 333_333, m - 1]] = 0
    p = Problem([np.zeros((2, 1)), y], (), 2, m, np.dtype(np.float64))
    formula = variable("i", 0, 1) + variable("j", 1, 1)
    assert len(tasks_of(2, m)) > 2
    assert reduce(formula, p, "min")["index"].ravel().tolist() == [4, 4]
    found = reduce(formula, p, "kmin", k=4)["index"]
    assert found.tolist() == [[4, 333_333, m - 1, 0]] * 2


@pytest.mark.parametrize("n", [2, 400])
@pytest.mark.parametrize("name", ["sum", "logsumexp", "kmin"])
def test_the_same_bits_for_any_number_of_threads(n, name):
    problem = points(n, 30_000, 3, 1, "float64")
    kernel, _ = gaussian(3, 1)
    one = reduce(kernel, problem, name, k=3, threads=1)
    for threads in (2, 3):
        again = reduce(kernel, problem, name, k=3, threads=threads)
        for part in one:
            np.testing.assert_array_equal(one[part], again[part])


@pytest.mark.parametrize(
    ("n", "m"),
    [(1, 10**7), (50_000, 50_000), (3, 5), (0, 4), (10**6, 1), (777, 12_345)],
)
def test_tasks_cover_every_pair_once(n, m):
    tasks = tasks_of(n, m)
    area = sum((r.stop - r.start) * (c.stop - c.start) for r, c in tasks)
    assert area == n * m
    assert tasks == sorted(tasks, key=lambda t: (t[0].start, t[1].start))
    if n * m > 1 << 23:
        assert len(tasks) >= 4


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
