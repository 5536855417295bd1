"""The pieces that kernels are made of."""

import math
from decimal import Decimal, getcontext

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vigitensor import cache

getcontext().prec = 50


@pytest.fixture(scope="module")
def math_kernels():
    return cache.load_kernels("vigitensor.kernels_math")


def exp_of(kernels, x):
    x = np.ascontiguousarray(x, float)
    out = np.empty_like(x)
    kernels.exp_array(x, out)
    return out


def ulps(value, x):
    """Distance from exp(x) in units of the last place, in 50 digits."""
    exact = Decimal(float(x)).exp()
    return float(abs(Decimal(float(value)) - exact)) / math.ulp(float(exact))


def test_exp_within_two_ulp(math_kernels):
    rng = np.random.default_rng(1)
    x = np.concatenate((
        rng.uniform(-708, 709.7, 1000), rng.normal(size=1000), 10.0 ** rng.uniform(
            -300, 0, 100), (np.arange(-1000, 1000) + 0.5) * math.log(2) / 2,
    ))  # fmt: skip
    x = x[(x > -708) & (x < 709.7)]
    worst = max(ulps(v, a) for v, a in zip(exp_of(math_kernels, x), x))
    assert worst <= 2


def test_exp_is_as_good_as_the_system(math_kernels):
    x = np.random.default_rng(2).uniform(-700, 700, 200_000)
    ours, theirs = exp_of(math_kernels, x), np.exp(x)
    assert np.max(np.abs(ours / theirs - 1)) < 4.5e-16


def test_exp_at_the_edges(math_kernels):
    x = [0.0, -0.0, np.inf, -np.inf, np.nan, 709.782, 709.79, 1e300, -746.0, -1e300]
    out = exp_of(math_kernels, x)
    assert out[0] == out[1] == 1.0
    assert out[2] == np.inf
    assert out[3] == 0.0
    assert np.isnan(out[4])
    assert out[5] == pytest.approx(math.exp(709.782), rel=1e-15)
    assert out[6] == out[7] == np.inf
    assert out[8] == out[9] == 0.0
    # Subnormal results are right to the last of their fewer bits.
    small = np.array([-709.0, -720.0, -740.0, -745.0])
    np.testing.assert_allclose(exp_of(math_kernels, small), np.exp(small), atol=1e-323)


@given(st.integers(1, 70), st.data())
@settings(max_examples=60, deadline=None)
def test_ranges_by_cells(n, data):
    """Sums over ranges by two reads, against slices: positives, so to 1e-14."""
    kernels = cache.load_kernels("vigitensor.survival.kernels_risk")
    seed = data.draw(st.integers(0, 10**6))
    rng = np.random.default_rng(seed)
    w = np.exp(rng.uniform(-200, 200, n))  # sizes that subtraction would not bear
    width = 1 << (n - 1).bit_length()
    levels = width.bit_length()
    cells = np.empty(levels * width)
    kernels.gather_cells(w, width, cells)
    a = data.draw(st.integers(0, n - 1))
    b = data.draw(st.integers(a + 1, n))
    k = (a ^ (b - 1)).bit_length()
    value = cells[k * width + a] + (cells[k * width + b - 1] if k else 0.0)
    assert value == pytest.approx(w[a:b].sum(), rel=1e-14)
