"""Matrices of both i and j, in the compiled, the dense and the torch evaluator."""

import numpy as np
import pytest
from vigitensor import api_symbolic as api
from vigitensor import api_symbolic_solve as solve
from vigitensor.errors import EngineError
from vigitensor.symbolic import tables

N, M = 70, 90
INDEX = ["i", "j", "ij", "ij"]
FORMULA = ["mul", ["exp", ["neg", ["mul", ["square", ["var", 2]],
           ["sqdist", ["var", 0], ["var", 1]]]]], ["dot", ["var", 3],
           ["var", 0]]]  # fmt: skip


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(4)
    return [rng.normal(size=s) for s in ((N, 2), (M, 2), (N, M), (N, M, 2))]


def dense(data):
    x, y, a, b = data
    square = ((x[:, None] - y) ** 2).sum(-1)
    return np.exp(-(a**2) * square) * (b * x[:, None]).sum(-1)


@pytest.mark.parametrize("axis", ["j", "i"])
@pytest.mark.parametrize("way", ["dense", "compiled", "torch"])
def test_reductions(way, axis, data, monkeypatch):
    monkeypatch.setattr(tables, "SMALL", 0 if way == "compiled" else 1 << 40)
    f = dense(data) if axis == "j" else dense(data).T
    more = {"engine": "torch"} if way == "torch" else {}
    expected = {
        "sum": f.sum(1), "argmax": f.argmax(1), "kmin": np.sort(f, 1)[:, :2]
    }  # fmt: skip
    for name, value in expected.items():
        found = api.symbolic_reduce(FORMULA, data, INDEX, name, axis, k=2, **more)
        np.testing.assert_allclose(
            next(iter(found.values())).reshape(value.shape), value, rtol=1e-11
        )


@pytest.mark.parametrize("axis", ["j", "i"])
@pytest.mark.parametrize(
    ("name", "more"),
    [("sum", {}), ("min", {}), ("kmax", {"k": 2}), ("sum", {"engine": "torch"}),
     ("sum", {"structure": {"band": [8, 20]}}), ("var", {})],
)  # fmt: skip
def test_gradients(name, more, axis, data):
    rng = np.random.default_rng(5)
    g = rng.normal(size=(N if axis == "j" else M, more.get("k", 1)))
    found = api.symbolic_gradient(
        FORMULA, data, INDEX, g, [0, 1, 2, 3], name, axis, **more
    )
    assert found[2].shape == (N, M, 1)
    assert found[3].shape == (N, M, 2)
    for slot, gradient in enumerate(found):
        direction = rng.normal(size=data[slot].shape)
        sides = []
        for step in (1e-6, -1e-6):
            some = [*data]
            some[slot] = data[slot] + step * direction
            value = api.symbolic_reduce(FORMULA, some, INDEX, name, axis, **more)
            sides.append((value["value"] * g).sum())
        assert (gradient.reshape(direction.shape) * direction).sum() == pytest.approx(
            (sides[0] - sides[1]) / 2e-6, rel=1e-5, abs=1e-6
        )


def test_pieces_operators_and_autograd(data):
    torch = pytest.importorskip("torch")
    from vigitensor.symbolic import torch_evaluate as by_torch
    from vigitensor.symbolic.lower import expand
    from vigitensor.symbolic.tree import apply, variable

    piece = api.symbolic_matrix(FORMULA, data, INDEX, rows=[3, 1], columns=[5])
    np.testing.assert_allclose(piece[:, 0, 0], dense(data)[[3, 1], 5], rtol=1e-12)
    operator = solve.Operator(FORMULA, data, INDEX)
    np.testing.assert_allclose(operator.column(4), dense(data)[:, 4], rtol=1e-12)
    np.testing.assert_allclose(operator.diagonal(), np.diag(dense(data)), rtol=1e-12)
    f = apply("exp", variable("ij", 1, 1) * variable("i", 0, 1))
    shapes = ((3, 1), (3, 4, 1))
    some = [torch.rand(s, dtype=torch.float64, requires_grad=True) for s in shapes]
    for name in ("sum", "min"):
        spec = by_torch.Spec(expand(f), None, name, 1, (), 3, 4)

        def call(*x, spec=spec):
            return by_torch.reduced(spec, ["i", "ij"], x)

        assert torch.autograd.gradcheck(call, some)
        assert torch.autograd.gradgradcheck(call, some)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({2: np.ones((N, M + 1))}, "bad_size"),
        ({2: np.ones(N)}, "bad_shape"),
    ],
)
def test_faults(change, code, data):
    some = [change.get(k, a) for k, a in enumerate(data)]
    with pytest.raises(EngineError) as caught:
        api.symbolic_reduce(FORMULA, some, INDEX)
    assert caught.value.code == code
