"""The table of operations: every row is complete, right, and differentiated."""

import numpy as np
import pytest
from symbolic_cases import M, N, all_cases
from vigitensor.errors import EngineError
from vigitensor.symbolic import dense
from vigitensor.symbolic.gradient import vjp
from vigitensor.symbolic.lower import expand
from vigitensor.symbolic.table import TABLE_FILE, operations, read_table
from vigitensor.symbolic.tree import apply, constant, nodes_of, variable

CASES = all_cases()
NAMES = [case[0] for case in CASES]


def values(node, data):
    return dense.matrix(expand(node), data, (), N, M)


def test_the_table_has_the_operations_of_the_peers():
    assert len(operations()) >= 80
    # One name in R may stand for a real and a complex operation; PyKeOps' names too.
    assert {"sqdist", "dot", "bspline", "complex_exp", "kron"} <= set(operations())


@pytest.mark.parametrize(
    ("old", "new", "word"),
    [
        ("exp,elementwise,1", "exp,elementwise,2", "derivatives"),
        ("exp,elementwise", "exp,wrong", "unknown kind"),
        ("g * out,any,Exp", "g * (out,any,Exp", "cannot parse"),
        ("log,elementwise,1", "exp,elementwise,1", "twice"),
        ("np.exp(a),,g * out,any", "np.exp(a),,g * out,many", "unknown domain"),
        ("1,,broadcast,exp(a)", "1,,broadcast,", "no scalar code"),
    ],
)
def test_a_faulty_row_is_found(old, new, word):
    text = TABLE_FILE.read_text()
    assert old in text
    with pytest.raises(ValueError, match=word):
        read_table(text.replace(old, new, 1))


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_dimension_is_that_of_the_dense_result(case):
    _, node, _, data = case
    assert dense.values(expand(node), data).shape[-1] == node.dim
    assert expand(node).dim == node.dim


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_derivative_against_central_differences(case):
    _, node, leaves, data = case
    rng = np.random.default_rng(2)
    g = rng.normal(size=(N, node.dim))
    cotangent = variable("i", len(data), node.dim)
    step = 1e-5
    for k, part in enumerate(vjp(node, cotangent, leaves)):
        direction = rng.normal(size=data[k].shape)
        if operations()[node.op].domain in ("binary", "index"):
            direction[:] = 0  # whole numbers: nowhere to go
        sides = []
        for sign in (1, -1):
            moved = [*data]
            moved[k] = data[k] + sign * step * direction
            sides.append((values(node, moved) * g[:, None, :]).sum())
        expected = (sides[0] - sides[1]) / (2 * step)
        found = 0.0
        if part is not None:
            block = dense.matrix(part, [*data, g], (), N, M)
            axis = 1 if leaves[k].static[0] == "i" else 0
            found = (block.sum(axis) * direction).sum()
        # Central differences: step^2 of truncation, eps / step of rounding.
        assert found == pytest.approx(expected, rel=1e-6, abs=1e-6)


def differentiable():
    """Cases whose first derivative is not zero."""
    for name, node, leaves, data in CASES:
        if operations()[name].domain not in ("binary", "index"):
            g = variable("i", len(data), node.dim)
            first = vjp(node, g, leaves[:1])[0]
            if first is not None:
                yield pytest.param(first, node, leaves[0], data, id=name)


@pytest.mark.parametrize(("first", "node", "leaf", "data"), list(differentiable()))
def test_second_derivative_against_differences_of_the_first(first, node, leaf, data):
    rng = np.random.default_rng(3)
    g = rng.normal(size=(N, node.dim))
    h = rng.normal(size=(N, leaf.dim))
    again = vjp(first, variable("i", len(data) + 1, leaf.dim), [leaf])[0]
    direction = rng.normal(size=data[0].shape)
    step = 1e-5
    sides = []
    for sign in (1, -1):
        moved = [data[0] + sign * step * direction, *data[1:], g]
        sides.append((dense.matrix(first, moved, (), N, M) * h[:, None, :]).sum())
    expected = (sides[0] - sides[1]) / (2 * step)
    found = 0.0
    if again is not None:
        block = dense.matrix(again, [*data, g, h], (), N, M)
        found = (block.sum(1) * direction).sum()
    assert found == pytest.approx(expected, rel=1e-5, abs=1e-5)


def test_dense_values_by_hand():
    x, y = np.array([[1.0, 2.0], [0.0, -1.0]]), np.array([[3.0, 0.0]])
    a, b = variable("i", 0, 2), variable("j", 1, 2)

    def of(name, *args, static=()):
        node = expand(apply(name, *args, static=static))
        return dense.matrix(node, [x, y], (), 2, 1)[:, 0]

    assert of("sqdist", a, b).tolist() == [[8.0], [10.0]]
    assert of("dot", a, b).tolist() == [[3.0], [0.0]]
    assert of("tensorprod", a, b).tolist() == [[3, 0, 6, 0], [0, 0, -3, 0]]
    assert of("kron", a, b, static=(2, 2)).tolist() == [[3, 0, 6, 0], [0, 0, -3, 0]]
    assert of("concat", a, b).tolist() == [[1, 2, 3, 0], [0, -1, 3, 0]]
    assert of("elem_t", apply("elem", a, static=(1,)), static=(1, 3)).tolist() == [
        [0, 2, 0],
        [0, -1, 0],
    ]
    assert of("one_hot", apply("argmax", a), static=(2,)).tolist() == [[0, 1], [1, 0]]
    assert of("complex_mul", a, b).tolist() == [[3, 6], [0, -3]]  # (1+2i) 3
    assert of("norm2", b).tolist() == [[3.0], [3.0]]
    assert of("divsafe", a, a).tolist() == [[1, 1], [0, 1]]


def test_tensordot_is_that_of_numpy():
    rng = np.random.default_rng(4)
    a, b = rng.normal(size=(2, 3, 4)), rng.normal(size=(4, 5, 3))
    node = apply(
        "tensordot", variable("i", 0, 24), variable("j", 1, 60),
        static=(3, 2, 3, 4, 3, 4, 5, 3, 2, 1, 2, 2, 0),
    )  # fmt: skip
    found = dense.values(expand(node), [a.reshape(1, -1), b.reshape(1, -1)])
    expected = np.tensordot(a, b, axes=([1, 2], [2, 0]))
    np.testing.assert_allclose(found.ravel(), expected.ravel(), rtol=1e-13)


def test_kron_is_that_of_numpy():
    rng = np.random.default_rng(5)
    a, b = rng.normal(size=(2, 3)), rng.normal(size=(4, 2))
    node = apply("kron", variable("i", 0, 6), variable("j", 1, 8), static=(2, 3, 4, 2))
    found = dense.values(expand(node), [a.reshape(1, -1), b.reshape(1, -1)])
    np.testing.assert_allclose(found.ravel(), np.kron(a, b).ravel(), rtol=1e-14)


def test_splines_add_up_to_one():
    knots = np.array([[0, 0, 0, 0, 1, 2, 3, 3, 3, 3.0]])
    x = np.linspace(0, 2.99, 7)[:, None]
    node = apply("bspline", variable("p", 0, 10), variable("i", 1, 1), static=(3,))
    found = dense.values(expand(node), [knots, x])[:, 0]
    np.testing.assert_allclose(found.sum(1), 1.0, rtol=1e-14)
    assert (found >= 0).all()


def test_equal_formulas_are_one_node():
    x, y = variable("i", 0, 3), variable("j", 1, 3)
    assert apply("sqdist", x, y) is apply("sqdist", x, y)
    square = apply("square", x - y)
    assert len(nodes_of(square * square)) == 5
    assert (x * constant(1.0)) is x
    assert x.__neg__().__neg__() is x


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda x, y: apply("exp", x, y), "bad_arity"),
        (lambda x, y: apply("nothing", x), "unknown_operation"),
        (lambda x, y: x + apply("concat", x, y), "bad_dimension"),
        (lambda x, y: apply("elem", x, static=(3,)), "bad_place"),
        (lambda x, y: apply("elem", x), "bad_arity"),
        (lambda x, y: apply("extract", x, static=(2, 2)), "bad_place"),
        (lambda x, y: apply("matvecmult", x, apply("concat", x, y)), "bad_dimension"),
        (lambda x, y: apply("real", x), "bad_dimension"),
        (lambda x, y: variable("k", 0, 1), "bad_index"),
        (lambda x, y: apply("permute", x, static=((0, 0, 1),)), "bad_place"),
    ],
)
def test_faults_have_codes(make, code):
    with pytest.raises(EngineError) as caught:
        make(variable("i", 0, 3), variable("j", 1, 3))
    assert caught.value.code == code
