"""Weights, variances, histograms and NaN against dense matrices."""

import numpy as np
import pytest
from vigitensor import api_symbolic as api
from vigitensor.errors import EngineError
from vigitensor.symbolic import tables
from vigitensor.symbolic.states import REDUCTIONS, Shape

N, M = 40, 60
INDEX = ["i", "j", "j"]
FORMULA = ["mul", ["var", 0], ["add", ["var", 1], 0.5]]
WEIGHT = ["add", 0.1, ["square", ["var", 2]]]


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(4)
    return [rng.normal(size=s) for s in ((N, 2), (M, 2), (M, 1))]


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(tables, "SMALL", 1 << 40)


def dense(data):
    return data[0][:, None] * (data[1] + 0.5), 0.1 + np.square(data[2])[None]


def of(data, reduction, axis="j", **more):
    return api.symbolic_reduce(FORMULA, data, INDEX, reduction, axis, **more)["value"]


@pytest.mark.parametrize("axis", ["j", "i"])
def test_weighted_moments(axis, data):
    f, w = dense(data)
    way = 1 if axis == "j" else 0
    w = np.broadcast_to(w, (N, M, 1))
    total = w.sum(way)
    mean = (w * f).sum(way) / total
    rest = f - np.expand_dims(mean, way)
    var = (w * rest**2).sum(way) / (total - 1)
    for name, expected in (
        ("sum", (w * f).sum(way)), ("mean", mean), ("var", var), ("sd", np.sqrt(var))
    ):  # fmt: skip
        found = of(data, name, axis, weight=WEIGHT)
        np.testing.assert_allclose(found, expected, rtol=1e-12)
    np.testing.assert_allclose(of(data, "var", axis), f.var(way, ddof=1), rtol=1e-12)
    np.testing.assert_allclose(of(data, "sd", axis), f.std(way, ddof=1), rtol=1e-12)
    positive = ["gt", ["elem", FORMULA, 0], 0]
    found = api.symbolic_reduce(positive, data, INDEX, "count", axis, weight=WEIGHT)
    expected = (w[..., 0] * (f[..., 0] > 0)).sum(way)
    np.testing.assert_allclose(found["value"][:, 0], expected, rtol=1e-12)


def test_a_variance_far_from_zero_keeps_its_digits():
    y = np.random.default_rng(1).normal(size=(5000, 1))
    found = api.symbolic_reduce(
        ["add", ["var", 0], ["var", 1]], [np.full((1, 1), 1e9), y], ["i", "j"], "var"
    )["value"]
    assert found.item() == pytest.approx((y + 1e9).var(ddof=1), rel=1e-12)


@pytest.mark.parametrize(
    "more", [{}, {"weight": WEIGHT}, {"structure": {"band": [9, 9]}}]
)
@pytest.mark.parametrize("name", ["sum", "mean", "var", "sd"])
def test_gradients_of_moments(name, more, data):
    rng = np.random.default_rng(3)
    g = rng.normal(size=(N, 2))
    g[45:] = 0
    found = api.symbolic_gradient(FORMULA, data, INDEX, g, [0, 1, 2], name, **more)
    for slot, gradient in enumerate(found):
        direction = rng.normal(size=data[slot].shape)
        sides = []
        for step in (1e-6, -1e-6):
            moved = [*data]
            moved[slot] = data[slot] + step * direction
            sides.append((of(moved, name, **more) * g).sum())
        assert (gradient * direction).sum() == pytest.approx(
            (sides[0] - sides[1]) / 2e-6, rel=1e-6, abs=1e-6
        )


@pytest.mark.parametrize("weighted", [False, True])
def test_histograms(weighted, data, monkeypatch):
    formula = ["elem", FORMULA, 1]
    breaks = np.array([-1.0, -0.2, 0.1, 0.3, 2.0])
    f, w = dense(data)
    f = f[..., 1]
    more = {"weight": WEIGHT} if weighted else {}
    weights = w[0, :, 0] if weighted else None
    expected = [np.histogram(row, breaks, weights=weights)[0] for row in f]
    for limit in (1 << 40, 0):
        monkeypatch.setattr(tables, "SMALL", limit)
        found = api.symbolic_reduce(
            formula, data, INDEX, "histogram", breaks=breaks, **more
        )["value"]
        np.testing.assert_allclose(found, expected, rtol=1e-12)
    found = api.symbolic_reduce(
        formula, data, INDEX, "histogram", "i", breaks=breaks,
        structure={"band": [5, 5]},
    )["value"]  # fmt: skip
    near = abs(np.arange(N)[:, None] - np.arange(M)) <= 5
    expected = [np.histogram(f[near[:, j], j], breaks)[0] for j in range(M)]
    assert (found == expected).all()
    edge = api.symbolic_reduce(
        ["var", 0], [np.array([0.0, 1, 2, 3, np.nan])], ["j"], "histogram",
        size=(1, 5), breaks=[0, 1, 3],
    )["value"]  # fmt: skip
    assert edge.tolist() == [[1, 3]]


def test_nan_can_be_left_out(data):
    some = [a.copy() for a in data]
    some[1][3, 0] = np.nan
    some[0][7, 1] = np.nan
    f, _ = dense(some)
    with np.errstate(all="ignore"), np.testing.suppress_warnings() as quiet:
        quiet.filter(RuntimeWarning)
        cases = {
            "sum": np.nansum(f, 1), "mean": np.nanmean(f, 1),
            "var": np.nanvar(f, 1, ddof=1), "prod": np.nanprod(f, 1),
            "logsumexp": np.log(np.nansum(np.exp(f), 1)),
            "max": np.where(np.isnan(f), -np.inf, f).max(1),
        }  # fmt: skip
        for name, expected in cases.items():
            found = of(some, name, omit_nan=True)
            np.testing.assert_allclose(found, expected, rtol=1e-11)
    place = api.symbolic_reduce(FORMULA, some, INDEX, "argmax", omit_nan=True)["index"]
    assert place[7, 1] == -1
    assert (np.delete(place, 7, 0) >= 0).all()
    assert np.isnan(of(some, "max")).sum() == N + M - (M - 1)


def test_positions_beyond_32_bits_are_whole():
    for name in ("min", "kmin"):
        reducer = REDUCTIONS[name](Shape(1, 0, 2**31 + 5, np.dtype(np.float32), 2))
        state = reducer.start(1)
        tile = np.array([[[3.0, 1.0, 2.0]]], np.float32)
        reducer.take(state, tile, 2**53 - 8)
        found = reducer.finish(state)["index"]
        assert found.dtype == np.int64
        assert found[0, 0] == 2**53 - 7


@pytest.mark.parametrize(
    ("reduction", "more", "code"),
    [
        ("histogram", {}, "bad_dimension"),
        ("sum", {"weight": FORMULA}, "bad_dimension"),
        ("max", {"weight": WEIGHT}, "bad_reduction"),
    ],
)
def test_faults(reduction, more, code, data):
    with pytest.raises(EngineError) as caught:
        of(data, reduction, **more)
    assert caught.value.code == code


@pytest.mark.parametrize("breaks", [None, [1], [1, 1], [2, 1]])
def test_breaks_go_up(breaks, data):
    with pytest.raises(EngineError) as caught:
        api.symbolic_reduce(
            ["elem", FORMULA, 0], data, INDEX, "histogram", breaks=breaks
        )
    assert caught.value.code == "bad_breaks"
