"""Spline bases: golden knots, properties, constraints."""

import numpy as np
import pytest
from vigitensor.errors import EngineError
from vigitensor.survival.basis import bspline, cumulated, interior_knots, lag_basis


@pytest.mark.parametrize(
    ("cutoff", "expected"),
    [
        (90, [[46], [31, 60], [23, 46, 68]]),
        (180, [[90], [61, 120], [46, 90, 135]]),
        (365, [[183], [122, 244], [92, 183, 274]]),
    ],
)
def test_interior_knots_of_the_peer(cutoff, expected):
    """Numbers read off R's WCE package."""
    for n, knots in enumerate(expected, start=1):
        assert interior_knots(cutoff, n).tolist() == knots


@pytest.mark.parametrize("basis", ["clamped", "WCE"])
@pytest.mark.parametrize("nknots", [0, 1, 2, 3])
def test_rows_sum_to_one(basis, nknots):
    table = lag_basis(90, nknots, basis=basis)
    assert table.shape == (90, nknots + 4)
    np.testing.assert_allclose(table.sum(axis=1), 1, atol=1e-14)
    assert np.all(table >= 0)


def test_clamped_constraints_are_exact():
    right = lag_basis(60, 2, constrained="right")
    assert not right[-1].any()
    left = lag_basis(60, 2, constrained="left")
    assert not left[0].any()


def test_peer_constraint_is_nearly_zero():
    """The last kept column at lag m, as measured on the peer (2.4e-4)."""
    right = lag_basis(90, 1, constrained="right", basis="WCE")
    assert right[-1, -1] == pytest.approx(2.4e-4, rel=0.02)
    left = lag_basis(90, 1, constrained="left", basis="WCE")
    assert left[0, 0] == pytest.approx(0.0016, rel=0.05)


def test_splines_hold_cubics():
    """Cubic polynomials lie in the span, to rounding."""
    x = np.arange(1.0, 61)
    table = bspline(x, np.concatenate((np.ones(4), [20, 41], np.full(4, 60.0))))
    target = (x / 60) ** 3 - x / 60
    coef, *_ = np.linalg.lstsq(table, target, rcond=None)
    np.testing.assert_allclose(table @ coef, target, atol=1e-13)


def test_cumulated():
    table = lag_basis(20, 1)
    total = cumulated(table)
    assert not total[0].any()
    np.testing.assert_allclose(np.diff(total, axis=0), table, atol=1e-15)


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"cutoff": 2}, "bad_cutoff"),
        ({"cutoff": 10.5}, "bad_cutoff"),
        ({"cutoff": 5, "nknots": 9}, "bad_knots"),
        ({"cutoff": 50, "knots": np.array([0.0, 20])}, "bad_knots"),
        ({"cutoff": 50, "constrained": "top"}, "bad_constraint"),
        ({"cutoff": 50, "basis": "natural"}, "bad_basis"),
    ],
)
def test_faults(options, code):
    with pytest.raises(EngineError) as caught:
        lag_basis(**options)
    assert caught.value.code == code
