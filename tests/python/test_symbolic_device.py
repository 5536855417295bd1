"""Arrays that stay with the engine: the same numbers as those sent each time."""

import numpy as np
import pytest
from vigitensor import api
from vigitensor.errors import EngineError
from vigitensor.symbolic.resident import DeviceArray, is_tensor

FORMULA = ["exp", ["mul", -0.5, ["sqdist", ["var", 0], ["var", 1]]]]
TIMES = ["mul", FORMULA, ["var", 2]]


@pytest.fixture(params=["cpu", "torch"])
def home(request):
    if request.param == "torch":
        pytest.importorskip("torch")
    return {"engine": request.param, "device": None}


def points(n=40, m=30):
    rng = np.random.default_rng(3)
    return [rng.normal(size=(n, 2)), rng.normal(size=(m, 2)), rng.normal(size=(m, 2))]


@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize("reduction", ["sum", "logsumexp", "max_argmax", "mean"])
def test_a_reduction_takes_handles_and_gives_one(home, precision, reduction):
    data = points()
    held = [api.symbolic_array(x, precision, **home) for x in data]
    plain = api.symbolic_reduce(TIMES, data, "ijj", reduction, precision=precision)
    for some in (held, [held[0], data[1], held[2]]):
        found = api.symbolic_reduce(
            TIMES, some, "ijj", reduction, precision=precision, keep=True
        )
        value = found["value"]
        assert isinstance(value, DeviceArray)
        assert (value.engine, value.dtype) == (home["engine"], precision)
        assert is_tensor(value.values) == (home["engine"] == "torch")
        limit = 1e-5 if precision == "float32" else 1e-12
        np.testing.assert_allclose(value, plain["value"], rtol=limit, atol=limit)
        if "index" in plain:
            np.testing.assert_array_equal(found["index"], plain["index"])


def test_what_numpy_finishes_is_kept_as_well(home):
    x, y, _ = points()
    held = [api.symbolic_array(a, **home) for a in (x, y)]
    for more in (
        {"structure": {"radius": [0, 1, 1.0]}},
        {"omit_nan": True},
        {"weight": ["elem", ["var", 1], 0], "reduction": "mean"},
        {"reduction": "var"},
        {"reduction": "any"},
    ):
        plain = api.symbolic_reduce(FORMULA, [x, y], "ij", **more)["value"]
        found = api.symbolic_reduce(FORMULA, held, "ij", keep=True, **more)["value"]
        assert found.engine == home["engine"]
        np.testing.assert_allclose(found, plain, rtol=1e-12)


def test_few_arguments_take_handles(home):
    x, y, _ = points()
    words = '["exp",["neg",["sqdist",["var",0],["var",1]]]]\n\nij\nsum\nj\nfloat64'
    numbers = [1, 1, len(x), len(y)]
    plain = api.symbolic_quick(words, numbers, [x, y])["value"]
    held = [api.symbolic_array(a, **home) for a in (x, y)]
    found = api.symbolic_quick(words, numbers, held, keep=True)["value"]
    np.testing.assert_allclose(found, plain, rtol=1e-12)
    assert found.engine == home["engine"]


def test_gradients_and_parameters_take_handles(home):
    x, y, b = points()
    g, p = np.ones((len(x), 2)), np.array([[0.5, 2.0]])
    formula = ["mul", ["var", 3], TIMES]
    data = [x, y, b, p]
    plain = api.symbolic_gradient(formula, data, "ijjp", g, [0, 1, 2, 3])
    held = [api.symbolic_array(a, **home) for a in (*data, g)]
    found = api.symbolic_gradient(formula, held[:4], "ijjp", held[4], [0, 1, 2, 3])
    for one, other in zip(found, plain):
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-12)
    plain = api.symbolic_gradient(FORMULA, [x, y], "ij", g[:, :1], [1], "min")
    found = api.symbolic_gradient(FORMULA, held[:2], "ij", g[:, :1], [1], "min")
    np.testing.assert_allclose(found[0], plain[0], rtol=1e-10, atol=1e-12)


def test_pieces_and_systems_take_handles(home):
    x, y, _ = points()
    table = np.arange(40.0 * 30).reshape(40, 30)
    both = ["add", ["var", 2], FORMULA]
    piece = [
        api.symbolic_matrix(both, [x, y, table], ["i", "j", "ij"], rows=[2, 0],
                            columns=[4, 4, 9], **more)
        for more in ({}, home)
    ]  # fmt: skip
    np.testing.assert_allclose(*piece, rtol=1e-13)
    held = api.symbolic_array(x, **home)
    piece = [api.symbolic_matrix(FORMULA, [a, a], "ij", rows=[2]) for a in (x, held)]
    np.testing.assert_allclose(*piece, rtol=1e-14)
    b = np.sin(np.arange(len(x)))
    more = {"alpha": 0.1, "tolerance": 1e-10}
    plain = api.symbolic_solve(FORMULA, [x, x], "ij", b, **more)["x"]
    found = api.symbolic_solve(
        FORMULA, [held, held], "ij", api.symbolic_array(b, **home), keep=True, **more
    )["x"]
    assert found.engine == home["engine"]
    np.testing.assert_allclose(np.asarray(found)[:, 0], plain, rtol=1e-8)
    plain, other = (
        api.symbolic_eigs(FORMULA, [a, a], "ij", 3)["values"] for a in (x, held)
    )
    np.testing.assert_allclose(other, plain, rtol=1e-8)


def test_what_is_kept_does_not_follow_its_source(home):
    x = np.asfortranarray(np.ones((3, 2)))
    held = api.symbolic_array(x, **home)
    x[:] = 7
    np.testing.assert_array_equal(api.symbolic_array_value(held), np.ones((3, 2)))
    value = api.symbolic_array_value(held)
    assert held.shape == (3, 2) and value.dtype == np.float64


def test_arithmetic_is_that_of_numpy(home):
    rng = np.random.default_rng(8)
    x, y, z = rng.uniform(1, 2, (5, 3)), rng.uniform(1, 2, (5, 3)), np.ones((5, 1))
    a, b, c = (api.symbolic_array(v, **home) for v in (x, y, z))
    for op, expected in {"+": x + y, "/": x / y, "^": x**y, "<": x < y}.items():
        np.testing.assert_allclose(api.symbolic_arith(op, a, b), expected, rtol=1e-14)
    np.testing.assert_allclose(api.symbolic_arith("-", a, c), x - z)
    np.testing.assert_allclose(api.symbolic_arith("-", 2, a), 2 - x)
    np.testing.assert_allclose(api.symbolic_arith("neg", a), -x)
    np.testing.assert_allclose(api.symbolic_math("atan", a), np.arctan(x), rtol=1e-14)
    np.testing.assert_allclose(api.symbolic_math("ceiling", a), np.ceil(x))
    np.testing.assert_allclose(api.symbolic_dot(a, b), x.T @ y, rtol=1e-14)
    small = rng.normal(size=(3, 4))
    np.testing.assert_allclose(api.symbolic_times(a, small), x @ small, rtol=1e-13)
    np.testing.assert_array_equal(api.symbolic_rows(a, [4, 0]), x[[4, 0]])
    np.testing.assert_array_equal(api.symbolic_columns(a, [2]), x[:, [2]])
    for name in ("sum", "prod", "min", "max"):
        found = api.symbolic_fold(name, a)
        np.testing.assert_allclose(found, [getattr(x, name)()], rtol=1e-13)
    np.testing.assert_allclose(api.symbolic_fold("colsums", a), x.sum(axis=0))
    rows = api.symbolic_fold("rowsums", a)
    np.testing.assert_allclose(rows, x.sum(axis=1, keepdims=True))


def test_single_precision_is_added_up_in_doubles(home):
    x = np.full((200_000, 1), 0.1, np.float32)
    held = api.symbolic_array(x, "float32", **home)
    exact = 200_000 * float(np.float32(0.1))
    assert abs(api.symbolic_fold("sum", held)[0] / exact - 1) < 1e-12
    square = api.symbolic_dot(held, held)[0, 0]
    assert abs(square / (exact * float(np.float32(0.1))) - 1) < 1e-6


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (lambda a: api.symbolic_arith("%", a, a), "bad_op"),
        (lambda a: api.symbolic_arith("+", a, np.ones(2)), "bad_type"),
        (lambda a: api.symbolic_arith("+", a, api.symbolic_array([1, 2])), "bad_shape"),
        (lambda a: api.symbolic_math("gamma", a), "bad_name"),
        (lambda a: api.symbolic_math("exp", np.ones((2, 2))), "bad_type"),
        (lambda a: api.symbolic_rows(a, [3]), "bad_place"),
        (lambda a: api.symbolic_times(a, np.ones((3, 1))), "bad_shape"),
        (lambda a: api.symbolic_array(a, "int8"), "bad_precision"),
        (lambda a: api.symbolic_array("a"), "bad_type"),
        (
            lambda a: api.symbolic_reduce(
                ["var", 0], [np.ones((1, 3, 1))], "j", batch=1, size=(1, 3), keep=True
            ),
            "bad_batch",
        ),
    ],
)
def test_faults_are_named(call, code):
    with pytest.raises(EngineError) as fault:
        call(api.symbolic_array(np.ones((3, 2))))
    assert fault.value.code == code


def test_two_places_do_not_meet():
    pytest.importorskip("torch")
    a = api.symbolic_array(np.ones((3, 1)))
    b = api.symbolic_array(np.ones((3, 1)), engine="torch")
    with pytest.raises(EngineError) as fault:
        api.symbolic_arith("+", a, b)
    assert fault.value.code == "bad_device"
    with pytest.raises(EngineError) as fault:
        api.symbolic_array(np.ones(3), engine="torch", device="cuda:77")
    assert fault.value.code == "no_device"
    # In a formula, numbers in NumPy's memory go where the others are.
    found = api.symbolic_reduce(["mul", ["var", 0], ["var", 1]], [a, b], "ij")
    np.testing.assert_array_equal(found["value"], np.full((3, 1), 3.0))
