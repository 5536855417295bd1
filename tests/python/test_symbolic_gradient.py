"""Gradients of reductions against central differences, for every kind of data."""

import numpy as np
import pytest
from vigitensor import api_symbolic as api
from vigitensor.errors import EngineError
from vigitensor.symbolic import tables

N, M, D = 6, 8, 2
INDEX = ["i", "j", "p", "j"]
FORMULA = ["mul", ["exp", ["neg", ["mul", ["var", 2], ["sqdist", ["var", 0],
           ["var", 1]]]]], ["add", ["var", 3], ["elem", ["var", 0], 1]]]  # fmt: skip
SCALAR = ["mul", ["var", 2], ["sqdist", ["var", 0], ["var", 1]]]
WEIGHT = ["exp", ["var", 3]]


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(1)
    return [
        rng.normal(size=(N, D)), rng.normal(size=(M, D)),
        np.array([0.8]), rng.normal(size=(M, 2)),
    ]  # fmt: skip


CASES = [
    ("sum", FORMULA, {}),
    ("mean", FORMULA, {}),
    ("prod", ["add", 2.0, FORMULA], {}),
    ("logsumexp", SCALAR, {}),
    ("logsumexp", FORMULA, {}),
    ("logsumexp", SCALAR, {"weight": WEIGHT}),
    ("sumsoftmaxweight", SCALAR, {"weight": WEIGHT}),
    ("min", FORMULA, {}),
    ("max", FORMULA, {}),
    ("kmin", SCALAR, {"k": 3}),
    ("kmax", SCALAR, {"k": 3}),
]


@pytest.mark.parametrize(
    ("name", "axis"), [("sum", "j"), ("logsumexp", "i"), ("sumsoftmaxweight", "j")]
)
def test_gradients_compiled_as_dense(name, axis, data, monkeypatch):
    more = {"weight": WEIGHT} if name == "sumsoftmaxweight" else {}
    width = 2 if more else 1
    g = np.linspace(-1, 2, (N if axis == "j" else M) * width).reshape(-1, width)
    found = []
    for small in (tables.SMALL, 0):
        monkeypatch.setattr(tables, "SMALL", small)
        found.append(
            api.symbolic_gradient(SCALAR, data, INDEX, g, [0, 1, 2], name, axis, **more)
        )
    for dense, compiled in zip(*found):
        np.testing.assert_allclose(compiled, dense, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("axis", ["j", "i"])
@pytest.mark.parametrize(("name", "formula", "more"), CASES)
def test_gradients(name, formula, more, axis, data):
    def value(some):
        return api.symbolic_reduce(formula, some, INDEX, name, axis, **more)["value"]

    rng = np.random.default_rng(2)
    g = rng.normal(size=value(data).shape)
    found = api.symbolic_gradient(
        formula, data, INDEX, g, [0, 1, 2, 3], name, axis, **more
    )
    step = 1e-6
    for slot, gradient in enumerate(found):
        assert gradient.size == data[slot].size
        direction = rng.normal(size=data[slot].shape)
        sides = []
        for sign in (1, -1):
            moved = [*data]
            moved[slot] = data[slot] + sign * step * direction
            sides.append((value(moved) * g).sum())
        expected = (sides[0] - sides[1]) / (2 * step)
        # Differences: rounding of the value over the step.
        assert (gradient.reshape(direction.shape) * direction).sum() == pytest.approx(
            expected, rel=1e-6, abs=1e-7
        )


@pytest.mark.parametrize("name", ["sum", "logsumexp"])
def test_gradient_as_a_formula_differentiates_again(name, data):
    """Hessian times a direction, by the gradient of the gradient's formula."""
    dims = [a.shape[-1] for a in data]
    first = api.symbolic_derivative(SCALAR, INDEX, dims, 0, name)
    assert first["axis"] == "j"
    g = np.ones((N, 1))
    direction = np.random.default_rng(3).normal(size=(N, D))

    def slope(x):
        some = [x, *data[1:]]
        extra = [
            api.symbolic_reduce(SCALAR, some, INDEX, need)["value"]
            for need in first["needs"]
        ]
        return some + [g, *extra], INDEX + ["i"] * (1 + len(extra))

    some, index = slope(data[0])
    found = api.symbolic_gradient(first["expression"], some, index, direction, [0])[0]
    if name == "logsumexp":  # the result, an argument of the formula, moves too
        back = api.symbolic_gradient(
            first["expression"], some, index, direction, [len(data) + 1]
        )[0]
        found = (
            found
            + api.symbolic_gradient(SCALAR, data, INDEX, back, [0], "logsumexp")[0]
        )
    step = 1e-6
    sides = []
    for sign in (1, -1):
        moved, _ = slope(data[0] + sign * step * direction)
        sides.append(api.symbolic_reduce(first["expression"], moved, index)["value"])
    # H is symmetric: row i of H direction is the change of the slope.
    expected = (sides[0] - sides[1]) / (2 * step)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("axis", ["j", "i"])
def test_products_with_factors_that_are_zero(axis, data):
    """Rows with no, one and two zeros: the product of all other factors."""
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(N, 1)), rng.normal(size=(M, 1))
    x[1] = y[2]
    y[5] = y[6] = x[3]
    f = x - y.T
    g = rng.normal(size=(N if axis == "j" else M, 1))
    found = api.symbolic_gradient(
        ["sub", ["var", 0], ["var", 1]], [x, y], ["i", "j"], g, [0, 1], "prod", axis
    )
    others = np.empty_like(f)
    for i, j in np.ndindex(f.shape):
        line = np.delete(f[i], j) if axis == "j" else np.delete(f[:, j], i)
        others[i, j] = line.prod()
    expected = others * (g if axis == "j" else g.T)
    np.testing.assert_allclose(found[0][:, 0], expected.sum(1), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(found[1][:, 0], -expected.sum(0), rtol=1e-12, atol=1e-12)


def test_second_order_through_the_smallest_values(data):
    """The pairs found, taken as data of i, are an ordinary formula of any order."""
    index = [*INDEX]
    place = api.symbolic_reduce(SCALAR, data, index, "argmin")["index"][:, 0]
    some = [a[place] if kind == "j" else a for a, kind in zip(data, index)]
    there = ["i" if kind == "j" else kind for kind in index]
    value = api.symbolic_reduce(SCALAR, some, there, "sum", size=(N, 1))["value"]
    least = api.symbolic_reduce(SCALAR, data, index, "min")["value"]
    np.testing.assert_allclose(value, least, rtol=1e-13)
    first = api.symbolic_derivative(SCALAR, there, [2, 2, 1, 2], 0)
    g = np.ones((N, 1))
    direction = np.random.default_rng(1).normal(size=(N, D))
    found = api.symbolic_gradient(
        first["expression"], [*some, g], [*there, "i"], direction, [0], size=(N, 1)
    )[0]
    # p |x - y|^2 has the second derivative 2 p.
    np.testing.assert_allclose(found, 2 * data[2] * direction, rtol=1e-12)


def test_gradient_of_what_does_not_depend_is_zero(data):
    found = api.symbolic_gradient(
        ["sqdist", ["var", 0], ["var", 1]], data, INDEX, np.ones((N, 1)), [2, 3]
    )
    assert [f.shape for f in found] == [(1, 1), (M, 2)]
    assert all((f == 0).all() for f in found)


def test_gradient_at_equal_points_is_finite(data):
    laplace = ["exp", ["neg", ["norm2", ["sub", ["var", 0], ["var", 1]]]]]
    some = [data[0], data[0]]
    found = api.symbolic_gradient(laplace, some, ["i", "j"], np.ones((N, 1)), [0, 1])
    assert np.isfinite(found[0]).all()
    np.testing.assert_allclose(found[0].sum(0), -found[1].sum(0), atol=1e-12)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"reduction": "argmin"}, "no_gradient"),
        ({"reduction": "count"}, "no_gradient"),
        ({"wrt": [9]}, "bad_slot"),
        ({"cotangent": np.ones(3)}, "bad_cotangent"),
    ],
)
def test_faults(change, code, data):
    given = {"cotangent": np.ones((N, 2)), "wrt": [0], **change}
    with pytest.raises(EngineError) as caught:
        api.symbolic_gradient(FORMULA, data, INDEX, **given)
    assert caught.value.code == code


@pytest.mark.parametrize("zeros", [0, 1, 2, 3])
def test_second_derivatives_of_products_with_zeros(zeros):
    """d2 P / dy_j dy_m is the product of all factors but these two."""
    rng = np.random.default_rng(9)
    y = rng.uniform(0.5, 2, (6, 1))
    y[rng.permutation(6)[:zeros]] = 0
    v, size, factor = rng.normal(size=(6, 1)), (1, 6), ["var", 0]
    found = api.symbolic_derivative(factor, "j", [1], 0, "prod")
    results = [
        api.symbolic_reduce(factor, [y], "j", name, size=size)["value"]
        for name in found["needs"]
    ]
    # The sum of v_j dP / dy_j: by y itself, and by the results that it uses.
    data, index = [y, np.ones((1, 1)), *results, v], "ji" + "i" * len(results) + "j"
    inner = ["mul", ["var", len(data) - 1], found["expression"]]
    direct, _, *through = api.symbolic_gradient(
        inner, data, index, np.ones((1, 1)), list(range(len(data) - 1))
    )
    for name, cotangent in zip(found["needs"], through):
        direct = direct + api.symbolic_gradient(
            factor, [y], "j", cotangent, [0], name, size=size
        )[0]  # fmt: skip
    expected = np.zeros((6, 1))
    for j, m in np.ndindex(6, 6):
        if j != m:
            expected[m] += v[j] * np.delete(y[:, 0], [j, m]).prod()
    np.testing.assert_allclose(direct, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("zeros", [0, 1, 2])
def test_third_derivatives_of_products_with_zeros(zeros):
    torch = pytest.importorskip("torch")
    from vigitensor.symbolic.torch_evaluate import Spec, reduced
    from vigitensor.symbolic.tree import variable

    rng = np.random.default_rng(10)
    start = rng.uniform(0.5, 2, 5)
    start[rng.permutation(5)[:zeros]] = 0
    y = torch.tensor(start, requires_grad=True)
    spec = Spec(variable("j", 0, 1), None, "prod", 1, (), 1, 5)
    total = reduced(spec, "j", [y.reshape(-1, 1)]).sum()
    for k in (0, 3, 1):
        (slope,) = torch.autograd.grad(total, y, create_graph=True)
        total = slope[k]
    expected = np.delete(start, [0, 1, 3]).prod()
    np.testing.assert_allclose(total.item(), expected, rtol=1e-12, atol=1e-12)
