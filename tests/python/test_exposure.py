"""Records to steps, runs and covered lags."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vigitensor.survival.exposure import Records, build_steps


def steps_of(records, n_subjects=1, last=100, window=100):
    columns = list(zip(*records)) if records else [[], [], [], []]
    term = Records(
        np.array(columns[0], np.int32), *(np.array(c, float) for c in columns[1:])
    )
    return build_steps([term], n_subjects, 0.0, last, window)


def test_one_record():
    steps = steps_of([(0, 3, 10, 0.5)])
    assert steps.time.tolist() == [3, 10]
    assert steps.level.tolist() == [0.5, 0.0]


def test_levels_return_to_exactly_zero():
    """0.1 + 0.2 - 0.1 - 0.2 leaves 2.8e-17 in plain arithmetic."""
    steps = steps_of([(0, 1, 5, 0.1), (0, 2, 9, 0.2)])
    assert steps.time.tolist() == [1, 2, 5, 9]
    assert steps.level[2] == 0.2
    assert steps.level[3] == 0.0
    assert 0.1 + 0.2 - 0.1 != 0.2


def test_equal_levels_are_one_step():
    steps = steps_of([(0, 1, 5, 0.1), (0, 5, 9, 0.1), (0, 9, 9 + 1, 0.1)])
    assert steps.time.tolist() == [1, 10]


def test_what_is_out_of_reach_is_left_out():
    steps = steps_of([(0, -500, -300, 1.0), (0, -300, -95, 1.0), (0, 100, 120, 1.0)])
    assert steps.time.tolist() == [-100, -95]


def test_dose_zero_is_no_exposure():
    assert steps_of([(0, 1, 5, 0.0)]).time.size == 0


def test_no_record():
    steps = steps_of([], n_subjects=3)
    assert steps.ptr.tolist() == [0, 0, 0, 0]


record = st.tuples(
    st.integers(0, 2), st.integers(-20, 60), st.integers(1, 40),
    st.sampled_from([0.1, 0.2, 0.3, 1 / 3, 7.0]),
)  # fmt: skip


@given(st.lists(record, max_size=40))
@settings(max_examples=200, deadline=None)
def test_steps_are_the_sum_of_the_records(records):
    """Unit by unit, and to the bit the same for any order of the records."""
    records = [(s, a, a + n, d) for s, a, n, d in records]
    steps = steps_of(records, 3)
    dose = np.zeros((3, 201))
    active = np.zeros((3, 201), bool)
    for s, a, b, d in records:
        dose[s, a + 100 : min(b, 100) + 100] += d
        active[s, a + 100 : min(b, 100) + 100] = True
    for s in range(3):
        lo, hi = steps.ptr[s], steps.ptr[s + 1]
        time, level = steps.time[lo:hi], steps.level[lo:hi]
        assert np.all(np.diff(time) > 0)
        assert np.all(np.diff(np.append(0.0, level)) != 0)
        at = np.searchsorted(time, np.arange(-100, 100), side="right") - 1
        seen = np.where(at >= 0, np.append(level, 0.0)[at], 0.0)
        np.testing.assert_allclose(seen, dose[s, :200], atol=1e-14)
        np.testing.assert_array_equal(seen != 0, active[s, :200])
    again = steps_of(records[::-1], 3)
    np.testing.assert_array_equal(steps.level, again.level)
    np.testing.assert_array_equal(steps.time, again.time)


@pytest.mark.parametrize("n", [10, 1000, 20000])
def test_many_records_of_one_person_in_any_order(n):
    """Unsorted records of one person do not take quadratic time."""
    start = np.random.default_rng(3).permutation(n)
    term = Records(
        np.zeros(n, np.int32), start.astype(float), start + 1.0, np.full(n, 0.1)
    )
    steps = build_steps([term], 1, 0.0, n + 5, 10)
    assert steps.time.tolist() == [0, n]
    assert steps.level.tolist() == [0.1, 0.0]
