"""Smallest values by bounds from products, against the matrix of differences."""

import numpy as np
import pytest
from vigitensor.symbolic import nearest
from vigitensor.symbolic.evaluate import reduce
from vigitensor.symbolic.lower import expand
from vigitensor.symbolic.tables import Problem
from vigitensor.symbolic.tree import apply, number, variable


def leaves(d):
    return variable("i", 0, d), variable("j", 1, d)


def drawn(n, m, d, dtype="float64", offset=0.0, seed=1):
    rng = np.random.default_rng(seed)
    data = [(rng.normal(size=(s, d)) + offset).astype(dtype) for s in (n, m)]
    return Problem(data, (), n, m, np.dtype(dtype))


def smallest(f, k):
    return np.argsort(f, axis=1, kind="stable")[:, :k]


def distances(p):
    x, y = (a.astype(np.float64) for a in p.data)
    return ((x[:, None] - y) ** 2).sum(-1)


# Rows and columns that do not fill their blocks, tasks cut by columns.
@pytest.mark.parametrize(
    ("n", "m", "d", "dtype"),
    [
        (131, 517, 3, "float64"),
        (131, 517, 40, "float64"),
        (131, 517, 3, "float32"),
        (67, 1031, 40, "float32"),
        (9, 9000, 2, "float64"),
    ],
)
def test_the_k_smallest_distances(n, m, d, dtype):
    p = drawn(n, m, d, dtype)
    expected = distances(p)
    for k in (1, 7):
        order = smallest(expected, k)
        found = reduce(apply("sqdist", *leaves(d)), p, "kmin", k=k)
        assert (found["index"] == order).all()
        value = np.take_along_axis(expected, order, 1)
        limit = 1e-13 if dtype == "float64" else 1e-5
        np.testing.assert_allclose(found["value"], value, rtol=limit)
    turned = reduce(apply("sqdist", *leaves(d)), p, "min", "i")
    assert (turned["index"][:, 0] == expected.argmin(0)).all()


def test_what_grows_with_a_distance_has_its_places():
    d = 5
    p = drawn(40, 300, d)._replace(numbers=[2.5])
    x, y = leaves(d)
    square = apply("sqdist", x, y)
    s = distances(p)
    first = p.data[0][:, :1]
    forms = [
        (number(0) * apply("sqrt", square) + apply("elem", x, static=(0,)),
         2.5 * np.sqrt(s) + first, "min"),
        (1.0 - square / number(0), 1 - s / 2.5, "max"),
        (apply("dot", x, y) * 2.0 - 1.0, 2 * p.data[0] @ p.data[1].T - 1, "max"),
        (-apply("dot", x, y), -p.data[0] @ p.data[1].T, "min"),
    ]  # fmt: skip
    for formula, dense, name in forms:
        sign = -1 if name == "max" else 1
        assert nearest.pattern(expand(sign * formula), p) is not None
        found = reduce(formula, p, f"k{name}", k=3)
        order = smallest(sign * dense, 3)
        assert (found["index"] == order).all()
        np.testing.assert_allclose(
            found["value"], np.take_along_axis(dense, order, 1), rtol=1e-12
        )


def test_what_does_not_grow_with_it_goes_another_way():
    p = drawn(40, 300, 3)
    x, y = leaves(3)
    square = apply("sqdist", x, y)
    for formula in (
        -square,
        square / apply("elem", y, static=(0,)),
        square * apply("elem", x, static=(0,)),
        square + apply("elem", y, static=(0,)),
        apply("dot", x, y),
        apply("sqrt", square) - square,
    ):
        assert nearest.pattern(expand(formula), p) is None


def test_near_ties_far_from_the_origin_are_told_apart():
    """Distances that products in single precision cannot tell apart."""
    rng = np.random.default_rng(2)
    m, d = 700, 30
    p = drawn(90, m, d, "float32", offset=30.0)
    close = p.data[0][:, None] + rng.normal(size=(90, 1, d)) * 1e-3
    y = np.concatenate((p.data[1], close[:, 0].astype(np.float32)))
    p = p._replace(data=[p.data[0], y], m=len(y))
    found = reduce(apply("sqdist", *leaves(d)), p, "kmin", k=2)
    expected = distances(p)
    assert (found["index"] == smallest(expected, 2)).all()
    value = np.sort(expected, axis=1)[:, :2]
    np.testing.assert_allclose(found["value"], value, rtol=1e-5)
    same = p._replace(data=[y, y], n=len(y))
    assert (reduce(apply("sqdist", *leaves(d)), same, "min")["value"] == 0).all()


def test_equal_distances_take_the_first_columns():
    y = np.zeros((5000, 2))
    y[[7, 4001]] = 1.0
    p = Problem([np.ones((9, 2)), y], (), 9, 5000, np.dtype(np.float64))
    found = reduce(apply("sqdist", *leaves(2)), p, "kmin", k=4)
    assert found["index"].tolist() == [[7, 4001, 0, 1]] * 9
    assert reduce(apply("sqdist", *leaves(2)), p, "min")["index"].tolist() == [[7]] * 9


def test_columns_are_cut_where_there_are_few_rows(monkeypatch):
    monkeypatch.setattr(nearest, "FEW", 0)
    monkeypatch.setattr(nearest, "WORK", 1 << 14)
    p = drawn(5, 4000, 3)
    assert len(nearest.tasks_of(5, 250, 16, 3)) > 4
    expected = smallest(distances(p), 6)
    for threads in (1, 2, 3):
        found = reduce(apply("sqdist", *leaves(3)), p, "kmin", k=6, threads=threads)
        assert (found["index"] == expected).all()


def test_nan_and_huge_numbers_go_the_other_way():
    p = drawn(50, 400, 3)
    p.data[1][11, 1] = np.nan
    found = reduce(apply("sqdist", *leaves(3)), p, "min")
    assert (found["index"] == 11).all() and np.isnan(found["value"]).all()
    found = reduce(apply("sqdist", *leaves(3)), p, "kmin", k=2)
    assert not (found["index"] == 11).any()
    wide = drawn(50, 400, 20)
    wide.data[1][11, 1] = np.nan
    expected = distances(wide)
    found = reduce(apply("sqdist", *leaves(20)), wide, "min", "i")
    assert (np.isnan(found["value"][:, 0]) == (np.arange(400) == 11)).all()
    kept = np.delete(np.arange(400), 11)
    assert (found["index"][kept, 0] == expected[:, kept].argmin(0)).all()
    huge = drawn(50, 400, 3)
    huge.data[0][3] *= 1e200
    found = reduce(apply("sqdist", *leaves(3)), huge, "min")
    with np.errstate(over="ignore"):
        assert (found["index"][:, 0] == distances(huge).argmin(1)).all()
