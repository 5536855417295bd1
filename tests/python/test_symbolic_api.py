"""Symbolic matrices as R calls them: the plain form, its checks and its errors."""

import json
from pathlib import Path

import numpy as np
import pytest
from vigitensor import api_symbolic as api
from vigitensor.errors import EngineError
from vigitensor.symbolic import parse
from vigitensor.symbolic.tree import formula

X = np.array([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]])
Y = np.array([[1.0, 1.0], [0.0, 3.0]])
SQDIST = ["sqdist", ["var", 0], ["var", 1]]
EXPECTED = ((X[:, None] - Y) ** 2).sum(-1)


def test_json_and_lists_are_the_same():
    for expression in (SQDIST, json.dumps(SQDIST)):
        found = api.symbolic_reduce(expression, [X, Y], ["i", "j"], "sum", "j")
        assert found["value"].tolist() == EXPECTED.sum(1, keepdims=True).tolist()


def test_positions_start_where_they_are_told_to():
    for base in (0, 1):
        found = api.symbolic_reduce(SQDIST, [X, Y], ["i", "j"], "argmin", base=base)
        assert found["index"].ravel().tolist() == (EXPECTED.argmin(1) + base).tolist()
        assert found["index"].dtype == np.int32
        assert set(found) == {"index"}


def test_few_arguments_are_the_same_call():
    words = [json.dumps(SQDIST), "", "ij", "kmin_argkmin", "j", "float64"]
    quick = api.symbolic_quick(words, np.array([2.0, 1.0, 3.0, 2.0]), [X, Y])
    found = api.symbolic_reduce(SQDIST, [X, Y], ["i", "j"], "kmin_argkmin", k=2, base=1)
    for name, value in found.items():
        np.testing.assert_array_equal(quick[name], value)


def test_logical_reductions():
    near = ["lt", SQDIST, 3.0]
    for name, expected in (
        ("count", (EXPECTED < 3).sum(1)),
        ("any", (EXPECTED < 3).any(1)),
        ("all", (EXPECTED < 3).all(1)),
    ):
        found = api.symbolic_reduce(near, [X, Y], ["i", "j"], name)["value"]
        assert found.ravel().tolist() == expected.astype(float).tolist()


def test_matrix_pieces():
    found = api.symbolic_matrix(SQDIST, [X, Y], ["i", "j"])
    np.testing.assert_array_equal(found[:, :, 0], EXPECTED)
    piece = api.symbolic_matrix(
        SQDIST, [X, Y], ["i", "j"], rows=[3, 1], columns=[2], base=1
    )
    np.testing.assert_array_equal(piece[:, :, 0], EXPECTED[[2, 0]][:, [1]])
    with pytest.raises(EngineError, match="larger than the limit"):
        api.symbolic_matrix(SQDIST, [X, Y], ["i", "j"], most=5)


def test_parameters_have_any_shape_and_data_may_be_vectors():
    weights = np.array([[1.0, 0.0], [0.0, 2.0]])
    found = api.symbolic_reduce(
        ["weightedsqdist", ["var", 2], ["var", 0], ["var", 1]],
        [X, Y, weights], ["i", "j", "p"],
    )["value"]  # fmt: skip
    expected = ((X[:, None] - Y) ** 2 * [1, 2]).sum((1, 2))
    np.testing.assert_allclose(found[:, 0], expected)
    found = api.symbolic_reduce(
        ["mul", ["var", 0], ["var", 1]], [X[:, 0], Y[:, 0]], ["i", "j"]
    )["value"]
    np.testing.assert_allclose(found[:, 0], X[:, 0] * Y[:, 0].sum())


def test_complex_data_become_pairs():
    z = np.array([1 + 2j, 3 - 1j])
    w = np.array([2 - 1j, 0.5j, 1 + 0j])
    found = api.symbolic_reduce(
        ["complex_mul", ["var", 0], ["var", 1]], [z[:, None], w[:, None]], ["i", "j"]
    )["value"]
    np.testing.assert_allclose(found[:, 0] + 1j * found[:, 1], z * w.sum())


def test_one_index_only_needs_the_size():
    found = api.symbolic_reduce(["var", 0], [Y], ["j"], size=(3, 2))["value"]
    np.testing.assert_allclose(found, np.tile(Y.sum(0), (3, 1)))
    with pytest.raises(EngineError) as caught:
        api.symbolic_reduce(["var", 0], [Y], ["j"])
    assert caught.value.code == "bad_size"


def test_let_shares_parts():
    shared = ["let", [SQDIST, ["exp", ["neg", ["ref", 0]]]],
              ["mul", ["ref", 1], ["ref", 0]]]  # fmt: skip
    direct = ["mul", ["exp", ["neg", SQDIST]], SQDIST]
    a = parse.parse(shared, ["i", "j"], [2, 2])
    assert a.root is parse.parse(direct, ["i", "j"], [2, 2]).root
    again = parse.parse(parse.to_plain(a.root), ["i", "j"], [2, 2])
    assert again.root is a.root
    plain = json.loads(json.dumps(parse.to_plain(a.root)))
    assert parse.parse(plain, ["i", "j"], [2, 2]).root is a.root


def test_numbers_are_parameters_in_the_formula():
    a = parse.parse(["mul", 2.5, ["add", SQDIST, 2.5]], ["i", "j"], [2, 2])
    b = parse.parse(["mul", 7, ["add", SQDIST, 7]], ["i", "j"], [2, 2])
    assert a.root is b.root
    assert (a.numbers, b.numbers) == ((2.5,), (7.0,))
    assert parse.to_plain(a.root, a.numbers)[1] == 2.5


def test_the_formula_as_text():
    found = api.symbolic_formula(["exp", ["neg", SQDIST]], ["i", "j"], [2, 2])
    assert found == {
        "text": "exp(-sqdist(x0, y1))", "dim": 1, "depends": ["i", "j"]
    }  # fmt: skip
    node = parse.parse(["elem", ["div", ["var", 0], 2], 1], ["p"], [3]).root
    assert formula(node) == "elem((p0 / #0), 1)"


def test_empty_sides():
    none = np.empty((0, 2))
    found = api.symbolic_reduce(SQDIST, [X, none], ["i", "j"])["value"]
    assert found.tolist() == [[0.0]] * 3
    found = api.symbolic_reduce(SQDIST, [none, Y], ["i", "j"], "argmin")["index"]
    assert found.shape == (0, 1)
    with pytest.raises(EngineError) as caught:
        api.symbolic_reduce(SQDIST, [X, none], ["i", "j"], "min")
    assert caught.value.code == "empty"


@pytest.mark.parametrize(
    ("expression", "more", "code"),
    [
        ("[", {}, "bad_expression"),
        ([], {}, "bad_expression"),
        ({"op": "exp"}, {}, "bad_expression"),
        (["var", 5], {}, "bad_expression"),
        (["var", 0.5], {}, "bad_expression"),
        (["ref", 0], {}, "bad_expression"),
        (["explode", ["var", 0]], {}, "unknown_operation"),
        (["exp"], {}, "bad_arity"),
        (["elem", ["var", 0]], {}, "bad_arity"),
        (["elem", ["var", 0], 2], {}, "bad_place"),
        (SQDIST, {"reduction": "total"}, "bad_reduction"),
        (SQDIST, {"reduction": "sumsoftmaxweight"}, "bad_reduction"),
        (SQDIST, {"reduction": "prod", "weight": ["var", 1]}, "bad_reduction"),
        (SQDIST, {"axis": "k"}, "bad_axis"),
        (SQDIST, {"precision": "float16"}, "bad_precision"),
        (SQDIST, {"reduction": "kmin", "k": 3}, "bad_k"),
        (["var", 0], {"reduction": "kmin"}, "bad_dimension"),
        (SQDIST, {"data": [X, np.ones((2, 3))]}, "bad_dimension"),
        (SQDIST, {"data": [X, np.ones((2, 3, 1))]}, "bad_shape"),
        (SQDIST, {"data": [X, np.array(["a", "b"])]}, "bad_type"),
        (SQDIST, {"data": [X, Y, Y], "index": ["i", "j", "i"]}, "bad_size"),
        (SQDIST, {"index": ["i"]}, "bad_index"),
        (SQDIST, {"index": ["i", "k"]}, "bad_index"),
    ],
)
def test_faults_have_codes(expression, more, code):
    given = {"data": [X, Y], "index": ["i", "j"], **more}
    with pytest.raises(EngineError) as caught:
        api.symbolic_reduce(expression, **given)
    assert caught.value.code == code


GOLDEN = json.loads(
    (Path(__file__).resolve().parents[1] / "golden" / "symbolic.json").read_text()
)


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda case: case["name"])
def test_golden_numbers(case):
    data = [np.array(values) for values in GOLDEN["data"]]
    more = {name: case[name] for name in ("k", "weight") if name in case}
    given = (case["expression"], data, GOLDEN["index"])
    if "gradient" in case:
        rows = len(data[0] if case["axis"] == "j" else data[1])
        found = api.symbolic_gradient(
            *given, np.ones((rows, 1)), [case["gradient"]],
            case["reduction"], case["axis"], **more,
        )[0]  # fmt: skip
    else:
        result = api.symbolic_reduce(
            *given, case["reduction"], case["axis"], base=1, **more
        )
        found = next(iter(result.values()))
    np.testing.assert_allclose(found, np.array(case["value"]), rtol=1e-13, atol=1e-13)
