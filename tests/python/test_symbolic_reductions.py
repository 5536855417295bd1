"""Compiled reductions: against NumPy, strange numbers, ties, threads."""

import numpy as np
import pytest
from symbolic_cases import gaussian, points
from vigitensor.symbolic import (
    dense,
    tables,
)
from vigitensor.symbolic.evaluate import reduce, tasks_of, tasks_of_ranges
from vigitensor.symbolic.lower import expand
from vigitensor.symbolic.ranges import of_blocks
from vigitensor.symbolic.tables import Problem
from vigitensor.symbolic.tree import apply, number, variable


@pytest.fixture(autouse=True)
def compile_all_sizes(monkeypatch):
    """Small problems are not compiled; here they are."""
    monkeypatch.setattr(tables, "SMALL", 0)


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


def test_tasks_of_ranges_cover_every_pair_once():
    """Small intervals come together, large ones are cut; some rows meet nothing."""
    sizes = [3, 900, 1, 0, 40, 1200, 5, 5]
    ends = np.cumsum([0, *sizes])
    rows = np.column_stack((ends[:-1], ends[1:]))
    columns = np.concatenate((rows[::-1][:4], [[0, 2000], [9, 2150], [30, 30], [1, 2]]))
    ranges = of_blocks(rows, columns)
    seen = np.zeros((ends[-1], ends[-1]), int)
    tasks = list(tasks_of_ranges(ranges))
    last = 0
    for task in tasks:
        assert task[0][0].start >= last
        last = task[0][0].start
        for some, those in task:
            for one in those:
                seen[some, one] += 1
    np.testing.assert_array_equal(seen, ranges.dense(*seen.shape))
    assert 2 < len(tasks) and max(len(task) for task in tasks) > 1
