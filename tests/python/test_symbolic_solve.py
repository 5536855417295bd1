"""Systems and eigenpairs against LAPACK on the dense matrix."""

import sys
import types

import numpy as np
import pytest
from vigitensor import api_symbolic_solve as api
from vigitensor.errors import EngineError
from vigitensor.symbolic import tables
from vigitensor.symbolic.krylov import partial_cholesky

N = 120
GAUSS = ["exp", ["neg", ["mul", ["var", 2], ["sqdist", ["var", 0], ["var", 1]]]]]
INDEX = ["i", "j", "p"]


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(tables, "SMALL", 1 << 40)


@pytest.fixture(scope="module")
def data():
    x = np.random.default_rng(1).uniform(0, 3, (N, 2))
    return [x, x, np.array([1.7])]


def matrix(data):
    return np.exp(-data[2] * ((data[0][:, None] - data[1]) ** 2).sum(-1))


@pytest.mark.parametrize("kind", ["none", "cholesky", "nystrom"])
@pytest.mark.parametrize("columns", [None, 1, 9])
def test_solutions(kind, columns, data):
    rng = np.random.default_rng(2)
    b = rng.normal(size=N if columns is None else (N, columns))
    if columns == 9:
        b[:, 3] = 0
    found = api.symbolic_solve(
        GAUSS, data, INDEX, b, alpha=0.01, tolerance=1e-10, preconditioner=kind, rank=20
    )
    a = matrix(data) + 0.01 * np.eye(N)
    np.testing.assert_allclose(found["x"], np.linalg.solve(a, b), rtol=1e-6, atol=1e-6)
    assert found["converged"]
    assert found["message"] == ""
    left = np.linalg.norm(b - a @ found["x"], axis=0) / np.linalg.norm(b)
    assert (np.asarray(left) < 1e-9).all()
    assert len(found["history"]) == found["iterations"] + 1
    assert found["history"][-1] <= 1e-10 < found["history"][-2]


def test_a_preconditioner_saves_steps(data):
    b = np.random.default_rng(3).normal(size=N)
    steps = {}
    for kind in ("none", "cholesky", "nystrom"):
        steps[kind] = api.symbolic_solve(
            GAUSS, data, INDEX, b, alpha=1e-4, tolerance=1e-8, preconditioner=kind,
            rank=60,
        )["iterations"]  # fmt: skip
    assert steps["cholesky"] < steps["none"] / 4
    assert steps["nystrom"] < steps["none"] / 2


def test_it_ends_and_says_so(data):
    b = np.random.default_rng(3).normal(size=N)
    found = api.symbolic_solve(
        GAUSS, data, INDEX, b, alpha=1e-9, max_iter=5, preconditioner="none"
    )
    assert not found["converged"]
    assert found["iterations"] == 5
    assert "Stopped after 5 steps" in found["message"]
    a = matrix(data) + 1e-9 * np.eye(N)
    left = np.linalg.norm(b - a @ found["x"]) / np.linalg.norm(b)
    assert found["residual"][0] == pytest.approx(left)
    found = api.symbolic_solve(
        ["neg", GAUSS], data, INDEX, b, alpha=0.1, preconditioner="none"
    )
    assert "not positive definite" in found["message"]


def test_nothing_to_solve(data):
    found = api.symbolic_solve(GAUSS, data, INDEX, np.zeros(N), alpha=1.0)
    assert found["converged"]
    assert (found["x"] == 0).all()


@pytest.mark.parametrize("columns", [None, 2])
def test_gradients_through_a_solution(columns, data):
    rng = np.random.default_rng(4)
    shape = N if columns is None else (N, columns)
    b, g = rng.normal(size=shape), rng.normal(size=shape)
    more = {"tolerance": 1e-13, "preconditioner": "cholesky", "rank": 60}
    alpha = 0.05
    x = api.symbolic_solve(GAUSS, data, INDEX, b, alpha=alpha, **more)["x"]
    found = api.symbolic_solve_gradient(
        GAUSS, data, INDEX, x, g, [0, 1, 2], alpha=alpha, **more
    )

    def value(some, alpha, b):
        return (np.linalg.solve(matrix(some) + alpha * np.eye(N), b) * g).sum()

    step = 1e-6
    moved = [value(data, alpha + s, b) for s in (step, -step)]
    assert found["alpha"] == pytest.approx((moved[0] - moved[1]) / 2e-6, rel=1e-6)
    direction = rng.normal(size=shape)
    assert (found["b"] * direction).sum() == pytest.approx(
        value(data, alpha, direction), rel=1e-8
    )
    for slot, gradient in enumerate(found["data"]):
        direction = rng.normal(size=data[slot].shape)
        sides = []
        for s in (step, -step):
            some = [*data]
            some[slot] = data[slot] + s * direction
            sides.append(value(some, alpha, b))
        assert (gradient.reshape(direction.shape) * direction).sum() == pytest.approx(
            (sides[0] - sides[1]) / 2e-6, rel=1e-5, abs=1e-5
        )


@pytest.mark.parametrize("which", ["magnitude", "largest", "smallest"])
@pytest.mark.parametrize("k", [1, 7])
def test_eigenpairs(which, k, data):
    # The other end of the spectrum: those near 0 are too many to be told apart.
    sign = -1.0 if which == "smallest" else 1.0
    formula = ["mul", sign, ["sub", GAUSS, 0.3]]
    found = api.symbolic_eigs(formula, data, INDEX, k, which=which, tolerance=1e-9)
    a = sign * (matrix(data) - 0.3)
    values, vectors = np.linalg.eigh(a)
    key = {"magnitude": -np.abs(values), "largest": -values, "smallest": values}[which]
    order = np.argsort(key)[:k]
    assert found["converged"], found
    limit = 1e-9 * np.abs(values).max()
    np.testing.assert_allclose(found["values"], values[order], atol=limit)
    u = found["vectors"]
    np.testing.assert_allclose(u.T @ u, np.eye(k), atol=1e-10)
    rest = a @ u - u * found["values"]
    assert np.abs(rest).max() < 1e-7
    assert (np.abs((u * vectors[:, order]).sum(0)) > 1 - 1e-6).all()


def test_all_eigenvalues_and_too_few_steps(data):
    some = [data[0][:9], data[1][:9], data[2]]
    found = api.symbolic_eigs(GAUSS, some, INDEX, 9, which="largest")
    np.testing.assert_allclose(
        found["values"], np.linalg.eigvalsh(matrix(some))[::-1], atol=1e-12
    )
    found = api.symbolic_eigs(GAUSS, data, INDEX, 3, max_iter=1)
    assert not found["converged"]
    assert "Stopped after 1 products" in found["message"]


def test_structure_of_the_matrix(data):
    b = np.random.default_rng(5).normal(size=N)
    given = {"band": [10, 10]}
    near = abs(np.arange(N)[:, None] - np.arange(N)) <= 10
    a = matrix(data) * near + 2 * np.eye(N)
    found = api.symbolic_solve(
        GAUSS, data, INDEX, b, alpha=2.0, tolerance=1e-10, structure=given
    )
    np.testing.assert_allclose(found["x"], np.linalg.solve(a, b), rtol=1e-7, atol=1e-8)


def test_the_map_that_scipy_takes(data, monkeypatch):
    y = data[0][:50] + 0.1
    operator = api.Operator(GAUSS, [data[0], y, data[2]], INDEX)
    a = np.exp(-1.7 * ((data[0][:, None] - y) ** 2).sum(-1))
    assert operator.shape == a.shape
    v, w = np.arange(50.0), np.arange(float(N))
    np.testing.assert_allclose(operator.matvec(v), a @ v, rtol=1e-12)
    np.testing.assert_allclose(operator.rmatvec(w), a.T @ w, rtol=1e-12)
    np.testing.assert_allclose(operator.matmat(np.eye(50)), a, rtol=1e-12)
    np.testing.assert_allclose(operator.diagonal(), np.diag(a), rtol=1e-12)
    np.testing.assert_allclose(operator.column(3), a[:, 3], rtol=1e-12)
    scipy = types.ModuleType("scipy.sparse.linalg")
    scipy.aslinearoperator = lambda given: ("operator", given.shape)
    for name in ("scipy", "scipy.sparse"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, "scipy.sparse.linalg", scipy)
    made = api.symbolic_operator(GAUSS, [data[0], y, data[2]], INDEX)
    assert made == ("operator", a.shape)
    monkeypatch.setitem(sys.modules, "scipy.sparse.linalg", None)
    with pytest.raises(EngineError, match="SciPy"):
        api.symbolic_operator(GAUSS, data, INDEX)


def test_a_partial_factor_ends_at_the_rank(data):
    v = np.random.default_rng(6).normal(size=(30, 4))
    a = v @ v.T
    for greedy in (True, False):
        found = partial_cholesky(np.diag(a), lambda j: a[:, j], 10, greedy)
        assert found.shape[1] == 4
        np.testing.assert_allclose(found @ found.T, a, atol=1e-10)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"b": np.ones(3)}, "bad_shape"),
        ({"b": np.full(N, np.nan)}, "bad_shape"),
        ({"alpha": -1}, "bad_alpha"),
        ({"tolerance": 0}, "bad_tolerance"),
        ({"preconditioner": "jacobi"}, "bad_preconditioner"),
        ({"expression": ["var", 0]}, "bad_dimension"),
        ({"data": [np.ones((N, 2)), np.ones((5, 2)), np.ones(1)]}, "not_square"),
    ],
)
def test_faults(change, code, data):
    given = {"expression": GAUSS, "data": data, "index": INDEX, "b": np.ones(N)}
    with pytest.raises(EngineError) as caught:
        api.symbolic_solve(**{**given, **change})
    assert caught.value.code == code
