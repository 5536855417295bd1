"""The torch evaluator: every operation, reductions, gradients of any order."""

import numpy as np
import pytest
from symbolic_cases import M, N, all_cases
from vigitensor import api_symbolic as api
from vigitensor.errors import EngineError
from vigitensor.symbolic import dense, tables
from vigitensor.symbolic.lower import expand
from vigitensor.symbolic.table import operations
from vigitensor.symbolic.tree import apply, number, variable

torch = pytest.importorskip("torch")
fake = pytest.importorskip("torch._subclasses.fake_tensor")

from vigitensor.symbolic import torch_evaluate as by_torch  # noqa: E402
from vigitensor.symbolic.torch_ops import OPERATIONS  # noqa: E402

INDEX = ["i", "j", "j"]
SQUARE = ["sqdist", ["var", 0], ["var", 1]]
FORMULA = ["mul", ["exp", ["neg", SQUARE]], ["var", 2]]


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(tables, "SMALL", 1 << 40)


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(4)
    return [rng.normal(size=s) for s in ((30, 2), (40, 2), (40, 1))]


def test_every_operation_has_a_home():
    wanted = {op.name for op in operations().values() if op.kind != "composite"}
    assert set(OPERATIONS) == wanted


@pytest.mark.parametrize(
    ("name", "node", "leaves", "data"), all_cases(3), ids=lambda v: str(v)[:9]
)
def test_operations(name, node, leaves, data):
    root = expand(node)
    expected = dense.matrix(root, data, (), N, M)
    tensors = by_torch.placed([torch.tensor(d) for d in data], root)
    found = by_torch.values(root, tensors, ()).expand(N, M, root.dim)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("axis", ["j", "i"])
@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("sum", {}), ("mean", {}), ("prod", {}), ("logsumexp", {}), ("var", {}),
        ("logsumexp", {"weight": ["exp", ["var", 2]]}),
        ("sumsoftmaxweight", {"weight": ["var", 2]}), ("min_argmin", {}),
        ("max_argmax", {}), ("kmin_argkmin", {"k": 3}), ("kmax_argkmax", {"k": 3}),
        ("count", {}), ("histogram", {"breaks": [-1, 0.01, 0.2, 2]}),
        ("sum", {"structure": {"band": [4, 9]}}),
        ("min_argmin", {"structure": {"labels": {
            "rows": np.arange(30) // 10, "columns": np.arange(40) // 15 + 1}}}),
        ("kmin_argkmin", {"k": 3, "structure": {"band": [1, 0]}}),
    ],
)  # fmt: skip
def test_reductions(name, more, axis, data, monkeypatch):
    monkeypatch.setattr(by_torch, "NUMBERS", 1 << 10)  # several chunks
    given = (FORMULA, data, INDEX, name, axis)
    expected = api.symbolic_reduce(*given, **more)
    found = api.symbolic_reduce(*given, engine="torch", device="cpu", **more)
    assert set(found) == set(expected)
    for part, value in expected.items():
        np.testing.assert_allclose(found[part], value, rtol=1e-11, atol=1e-13)
        assert found[part].dtype == value.dtype


def test_nan_as_on_the_cpu(data):
    some = [a.copy() for a in data]
    some[1][5] = np.nan
    for name in ("sum", "min_argmin", "kmin_argkmin", "max_argmax"):
        expected = api.symbolic_reduce(FORMULA, some, INDEX, name, k=2)
        found = api.symbolic_reduce(FORMULA, some, INDEX, name, k=2, engine="torch")
        for part, value in expected.items():
            np.testing.assert_allclose(found[part], value, rtol=1e-12)


@pytest.mark.parametrize("name", ["sum", "mean", "logsumexp", "min", "kmin", "prod"])
def test_gradients_by_the_engine(name, data):
    g = np.random.default_rng(1).normal(size=(30, 2 if name == "kmin" else 1))
    given = (FORMULA, data, INDEX, g, [0, 1, 2], name)
    expected = api.symbolic_gradient(*given, k=2)
    for a, b in zip(api.symbolic_gradient(*given, k=2, engine="torch"), expected):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


def spec(reduction, k=2, weight=None):
    x, y, b, p = (
        variable("i", 0, 2), variable("j", 1, 2), variable("j", 2, 1),
        variable("p", 3, 1),
    )  # fmt: skip
    f = apply("exp", -apply("sqdist", x, y) * p) * b + number(0)
    return by_torch.Spec(
        expand(f), None if weight is None else weight(b), reduction, k, (0.5,), 4, 5
    )


@pytest.mark.parametrize(
    "name",
    ["sum", "mean", "logsumexp", "prod", "min", "max", "kmin", "sumsoftmaxweight"],
)
def test_autograd_to_the_second_order(name):
    torch.manual_seed(1)
    shapes = ((4, 2), (5, 2), (5, 1), (1, 1))
    data = [torch.rand(s, dtype=torch.float64, requires_grad=True) for s in shapes]
    weight = (lambda b: b * 2.0) if name == "sumsoftmaxweight" else None
    given = spec(name, weight=weight)

    def call(*x):
        return by_torch.reduced(given, ["i", "j", "j", "p"], x)

    assert torch.autograd.gradcheck(call, data)
    assert torch.autograd.gradgradcheck(call, data)


@pytest.mark.parametrize("name", ["sum", "logsumexp", "min", "kmin", "prod"])
def test_it_never_waits_for_the_device(name):
    """On a device without numbers: no value decides what is done."""
    with fake.FakeTensorMode():
        data = [
            torch.empty(s, dtype=torch.float32, device="meta", requires_grad=True)
            for s in ((4, 2), (5, 2), (5, 1), (1, 1))
        ]
        out = by_torch.reduced(spec(name), ["i", "j", "j", "p"], data)
        assert out.device.type == "meta"
        assert out.shape == (4, 2 if name == "kmin" else 1)
        assert out.dtype == torch.float32
        out.sum().backward()
        assert [x.grad.shape for x in data] == [x.shape for x in data]


def test_engines_that_are_not_there(data, monkeypatch):
    from vigitensor.symbolic import engine

    assert engine.installed()[0] == "cpu"
    for name, code in (("abacus", "bad_engine"), ("keops", "no_engine")):
        monkeypatch.setattr(engine, "installed", lambda: ["cpu"])
        with pytest.raises(EngineError) as caught:
            api.symbolic_reduce(FORMULA, data, INDEX, engine=name)
        assert caught.value.code == code
