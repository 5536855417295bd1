"""Masks, ranges and batches against dense matrices with pairs left out."""

import os

import numpy as np
import pytest
from vigitensor import api_symbolic as api
from vigitensor.errors import EngineError
from vigitensor.symbolic import tables
from vigitensor.symbolic.ranges import of_blocks

N, M, D = 150, 130, 2
INDEX = ["i", "j", "j"]
SQUARE = ["sqdist", ["var", 0], ["var", 1]]
FORMULA = ["mul", ["exp", ["neg", SQUARE]], ["var", 2]]


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(4)
    return [rng.normal(size=s) for s in ((N, D), (M, D), (M, 1))]


FULL = os.environ.get("VIGITENSOR_FULL") == "true"
NAMES = ("ranges", "labels", "keep", "band", "triangle", "radius", "mask", "all")
COMPILED = [
    (name, axis, small)
    for name in NAMES
    for axis in ("j", "i")
    # Every structure is compiled in the full run, two in any.
    for small in ([False, True] if FULL or (name, axis) in {("keep", "j"), ("all", "i")}
                  else [True])
]  # fmt: skip


@pytest.fixture(autouse=True)
def dense_unless_told(monkeypatch):
    evaluated(monkeypatch, not FULL)


def evaluated(monkeypatch, small):
    monkeypatch.setattr(tables, "SMALL", 1 << 40 if small else 0)


def square(data):
    return ((data[0][:, None] - data[1]) ** 2).sum(-1)


def structures(data):
    """Structures, and the pairs that they keep."""
    i, j = np.arange(N)[:, None], np.arange(M)
    a, b = np.sort(np.arange(N) % 4), np.sort(np.arange(M) % 3)
    some = np.array([[1, 0, 1], [0, 0, 0], [1, 1, 0], [0, 1, 1]])
    blocks = np.zeros((N, M), bool)
    blocks[10:40, 5:9] = blocks[10:40, 100:130] = blocks[70:150, 0:1] = True
    far = square(data)
    return {
        "ranges": (
            {"ranges": {"rows": [[10, 40], [40, 60], [70, 150]], "slices": [2, 2, 3],
                        "columns": [[5, 9], [100, 130], [0, 1]]}}, blocks),
        "labels": ({"labels": {"rows": a, "columns": b}}, a[:, None] == b),
        "keep": ({"labels": {"rows": a, "columns": b, "keep": some}}, some[a][:, b]),
        "band": ({"band": [3, 70]}, (j - i <= 70) & (j - i >= -3)),
        "triangle": ({"band": [np.inf, -1]}, j < i),
        "radius": ({"radius": [0, 1, 0.9]}, far <= 0.81),
        "mask": ({"mask": ["gt", ["elem", ["var", 0], 0], ["var", 2]]},
                 data[0][:, :1] > data[2].T),
        "all": ({"labels": {"rows": a, "columns": b, "keep": some}, "band": [50, 50],
                 "mask": ["le", SQUARE, 2.0]},
                some[a][:, b] * (abs(i - j) <= 50) * (far <= 2)),
    }  # fmt: skip


@pytest.mark.parametrize(("name", "axis", "small"), COMPILED)
def test_structures(name, axis, small, data, monkeypatch):
    evaluated(monkeypatch, small)
    given, keep = structures(data)[name]
    keep, way = keep.astype(bool), 1 if axis == "j" else 0
    f = np.exp(-square(data)) * data[2][:, 0]

    def of(reduction, part="value", **more):
        return api.symbolic_reduce(
            FORMULA, data, INDEX, reduction, axis, structure=given, **more
        )[part]

    def close(found, expected):
        np.testing.assert_allclose(found[:, 0], expected, rtol=1e-11, atol=1e-13)

    close(of("sum"), (f * keep).sum(way))
    with np.errstate(invalid="ignore"):
        close(of("mean"), (f * keep).sum(way) / keep.sum(way))
    least = np.where(keep, f, np.inf)
    close(of("min"), least.min(way))
    none = ~keep.any(way)
    place = np.where(none, -1, least.argmin(way))
    assert (of("argmin", "index")[:, 0] == place).all()
    two = np.sort(least, way).take([0, 1], way)
    np.testing.assert_allclose(of("kmin", k=2), two if way else two.T, rtol=1e-11)
    counted = np.minimum(keep.sum(way), 2)
    assert ((of("argkmin", "index", k=2) >= 0).sum(1) == counted).all()


@pytest.mark.parametrize("name", ["ranges", "band", "all"])
def test_other_reductions_over_structures(name, data):
    given, keep = structures(data)[name]
    keep = keep.astype(bool)
    s = square(data)

    def of(formula, reduction, **more):
        found = api.symbolic_reduce(
            formula, data, INDEX, reduction, structure=given, **more
        )
        return found["value"][:, 0]

    with np.errstate(divide="ignore", invalid="ignore"):
        expected = np.log((np.exp(s) * keep).sum(1))
        np.testing.assert_allclose(of(SQUARE, "logsumexp"), expected, rtol=1e-12)
        weighted = (np.exp(s) * keep * data[2][:, 0]).sum(1) / (np.exp(s) * keep).sum(1)
    found = of(SQUARE, "sumsoftmaxweight", weight=["var", 2])
    np.testing.assert_allclose(found, weighted, rtol=1e-11)
    np.testing.assert_allclose(
        of(["add", 1, ["mul", 0.01, SQUARE]], "prod"),
        np.where(keep, 1 + 0.01 * s, 1).prod(1), rtol=1e-12,
    )  # fmt: skip
    near = ["lt", SQUARE, 1.0]
    assert (of(near, "count") == ((s < 1) & keep).sum(1)).all()
    assert (of(near, "any") == ((s < 1) & keep).any(1)).all()
    assert (of(near, "all") == ((s < 1) | ~keep).all(1)).all()


@pytest.mark.parametrize("name", ["sum", "mean", "logsumexp", "min", "kmin"])
@pytest.mark.parametrize("structure", ["ranges", "all"])
def test_gradients_over_structures(structure, name, data):
    given, keep = structures(data)[structure]
    rows = np.flatnonzero(keep.astype(bool).sum(1) >= 2)
    g = np.zeros((N, 2 if name == "kmin" else 1))
    g[rows] = np.random.default_rng(1).normal(size=(len(rows), g.shape[1]))
    more = {"k": 2} if name == "kmin" else {}

    def value(some):
        v = api.symbolic_reduce(FORMULA, some, INDEX, name, structure=given, **more)
        return (v["value"][rows] * g[rows]).sum()

    found = api.symbolic_gradient(
        FORMULA, data, INDEX, g, [0, 1, 2], name, structure=given, **more
    )
    rng = np.random.default_rng(2)
    for slot, gradient in enumerate(found):
        direction = rng.normal(size=data[slot].shape)
        sides = []
        for step in (1e-6, -1e-6):
            moved = [*data]
            moved[slot] = data[slot] + step * direction
            sides.append(value(moved))
        expected = (sides[0] - sides[1]) / 2e-6
        assert (gradient * direction).sum() == pytest.approx(
            expected, rel=1e-6, abs=1e-7
        )


def test_ranges_of_both_bases_are_the_same(data):
    zero = structures(data)["ranges"][0]["ranges"]
    one = {**zero, "rows": np.array(zero["rows"]) + [1, 0],
           "columns": np.array(zero["columns"]) + [1, 0]}  # fmt: skip
    for part in ("sum", "argmin"):
        a = api.symbolic_reduce(FORMULA, data, INDEX, part, structure={"ranges": zero})
        b = api.symbolic_reduce(
            FORMULA, data, INDEX, part, structure={"ranges": one}, base=1
        )
        name = next(iter(a))
        assert (b[name] - (part == "argmin") == a[name]).all()


@pytest.mark.parametrize("axis", ["j", "i"])
@pytest.mark.parametrize("given", [None, {"band": [5, 20]}, {"radius": [0, 1, 1.0]}])
def test_batches(given, axis):
    """Every slot its own number of batches; one by one is the same."""
    rng = np.random.default_rng(5)
    data = [rng.normal(size=s) for s in ((3, 40, D), (1, 30, D), (3, 1), (3, 30, 1))]
    index = ["i", "j", "p", "j"]
    formula = ["mul", ["exp", ["neg", ["mul", ["var", 2], SQUARE]]], ["var", 3]]

    def one(b):
        return [a[min(b, len(a) - 1)] for a in data]

    for name in ("sum", "mean", "argmin", "kmin"):
        found = api.symbolic_reduce(
            formula, data, index, name, axis, k=2, batch=3, structure=given, base=1
        )
        for part, value in found.items():
            expected = [
                api.symbolic_reduce(
                    formula, one(b), index, name, axis, k=2, structure=given, base=1
                )[part]
                for b in range(3)
            ]
            np.testing.assert_allclose(value, np.array(expected), rtol=1e-12)
    rows = 40 if axis == "j" else 30
    g = rng.normal(size=(3, rows, 1))
    found = api.symbolic_gradient(
        formula, data, index, g, [0, 1, 2, 3], "sum", axis, batch=3, structure=given
    )
    each = [
        api.symbolic_gradient(
            formula, one(b), index, g[b], [0, 1, 2, 3], "sum", axis, structure=given
        )
        for b in range(3)
    ]
    for slot, gradient in enumerate(found):
        expected = np.array([e[slot] for e in each])
        if len(data[slot]) == 1:
            expected = expected.sum(0, keepdims=True)
        expected = expected.reshape(data[slot].shape)
        assert gradient.shape == data[slot].shape
        np.testing.assert_allclose(gradient, expected, rtol=1e-11, atol=1e-13)


def test_overlapping_blocks_count_once():
    rows = np.array([[0, 10], [5, 20], [5, 6], [30, 30]])
    columns = np.array([[0, 8], [4, 12], [50, 60], [0, 5]])
    keep = np.zeros((32, 64), bool)
    for (a, b), (c, d) in zip(rows, columns):
        keep[a:b, c:d] = True
    for found, dense in (
        (of_blocks(rows, columns), keep),
        (of_blocks(rows, columns).transposed(), keep.T),
    ):
        made = np.zeros_like(dense, int)
        for r, some in found.blocks():
            for c in some:
                made[r, c] += 1
        assert (made == dense).all()
        assert (found.counts(len(dense)) == dense.sum(1)).all()
        assert found.pairs() == dense.sum()


def test_ranges_are_cut_into_tasks_of_all_columns(monkeypatch):
    evaluated(monkeypatch, False)
    rng = np.random.default_rng(1)
    x, y = np.sort(rng.uniform(0, 50, 4000)), np.sort(rng.uniform(0, 50, 90_000))
    given = {"radius": [0, 1, 2.0]}
    near = ["mul", ["abs", ["sub", ["var", 0], ["var", 1]]], 1.0]
    found = api.symbolic_reduce(near, [x, y], ["i", "j"], "max", structure=given)
    low = np.searchsorted(y, x - 2.0)
    high = np.searchsorted(y, x + 2.0, side="right") - 1
    expected = np.maximum(x - y[low], y[high] - x)
    np.testing.assert_allclose(found["value"][:, 0], expected, rtol=1e-13)


def test_clusters():
    rng = np.random.default_rng(6)
    x = rng.uniform(-3, 3, (500, 2))
    found = api.symbolic_clusters(x, 1.0, base=1)
    order, label = found["order"] - 1, found["label"]
    assert (np.diff(label[order]) >= 0).all()
    for k, (first, last) in enumerate(found["ranges"]):
        part = x[order[first - 1 : last]]
        assert (label[order[first - 1 : last]] == k + 1).all()
        assert (np.ptp(part, axis=0) <= 1).all()
        np.testing.assert_allclose(found["centre"][k], part.mean(0))
        far = np.sqrt(((part - part.mean(0)) ** 2).sum(1)).max()
        assert found["radius"][k] == pytest.approx(far)


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"structure": {"disc": 3}}, "bad_structure"),
        ({"structure": {"mask": ["var", 0]}}, "bad_structure"),
        ({"structure": {"radius": [1, 0, 2.0]}}, "bad_structure"),
        ({"structure": {"labels": {"rows": [1], "columns": [1]}}}, "bad_structure"),
        ({"structure": {"ranges": {"rows": [[0, 999]], "slices": [1],
                                   "columns": [[0, 1]]}}}, "bad_structure"),
        ({"structure": {"ranges": {"rows": [[0, 9]], "slices": [2],
                                   "columns": [[0, 1]]}}}, "bad_structure"),
        ({"batch": 2}, "bad_batch"),
        ({"batch": 0}, "bad_batch"),
    ],
)  # fmt: skip
def test_faults(given, code, data):
    with pytest.raises(EngineError) as caught:
        api.symbolic_reduce(FORMULA, data, INDEX, **given)
    assert caught.value.code == code
