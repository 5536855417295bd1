"""The compiled evaluator against the dense one: operations of the table."""

import os
from pathlib import Path

import numpy as np
import pytest
from symbolic_cases import M, N, all_cases, shifted
from vigitensor.symbolic import (
    codegen,
    dense,
    evaluate,
    kernels_scalar,
    tables,
)
from vigitensor.symbolic.gradient import vjp
from vigitensor.symbolic.lower import expand, lower
from vigitensor.symbolic.ranges import Ranges
from vigitensor.symbolic.table import operations
from vigitensor.symbolic.tables import Problem, Tables
from vigitensor.symbolic.tree import apply, rebuilt, variable

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
    record(derivatives, found, expected)


def record(derivatives, found, expected):
    """What the full run measured, for docs/validation.md."""
    folder = os.environ.get("VIGITENSOR_RECORD")
    if not folder:
        return
    known = np.isfinite(expected)
    gap = np.abs(found - expected)[known] / np.maximum(1, np.abs(expected[known]))
    path = Path(folder) / "symbolic-operations.csv"
    new = not path.exists()
    with open(path, "a", encoding="utf-8") as file:
        file.write("what,components,difference\n" if new else "")
        what = "derivatives" if derivatives else "values"
        file.write(f"{what},{len(found)},{gap.max():.17g}\n")


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
    ("dtype", "low", "high"), [("float32", -103, 88.7), ("float64", -707.9, 709.7)]
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
    if dtype == "float64":  # what is left below is given up for speed
        assert not of("exp", np.linspace(-708.1, -745, 50)).any()
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


@pytest.mark.parametrize("order", ["C", "F"])
def test_one_row_reads_each_part_of_its_columns_where_it_lies(order):
    rng = np.random.default_rng(2)
    x, y, b = (
        rng.normal(size=(1, 3)),
        rng.normal(size=(20_000, 3)),
        rng.normal(size=(20_000, 2)),
    )
    near = apply("sqdist", variable("i", 0, 3), variable("j", 1, 3))
    of_j = apply("exp", apply("elem", variable("j", 1, 3), static=(1,)))
    formula = apply("exp", -near) * of_j * variable("j", 2, 2)
    data = [np.asarray(a, order=order) for a in (x, y, b)]
    problem = Problem(data, (), 1, len(y), np.dtype("float64"))
    found = evaluate.reduce(formula, problem, "sum")["value"]
    weights = np.exp(-((x - y) ** 2).sum(1) + y[:, 1])
    np.testing.assert_allclose(found, weights[None] @ b, rtol=1e-12)
    cut = np.array([[5, 10_000], [12_000, 20_000]])
    some = Ranges(np.array([[0, 1]]), np.array([0, 2]), cut)
    found = evaluate.reduce(formula, problem, "sum", ranges=some)["value"]
    inside = np.r_[5:10_000, 12_000:20_000]
    np.testing.assert_allclose(found, weights[None, inside] @ b[inside], rtol=1e-12)
