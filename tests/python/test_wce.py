"""The entry for users of Python."""

import doctest

import numpy as np
import pytest
import vigitensor
from vigitensor import EngineError, Exposure, fit_wce


def simulated(rng, n=3000, cutoff=30):
    """Persons with one spell each; hazard rises with a known weight function."""
    begin = rng.integers(0, 60, n)
    length = rng.integers(3, 20, n)
    lag = np.arange(1, cutoff + 1)
    truth = 0.3 * np.exp(-lag / 6.0)
    total = np.append(0, np.cumsum(truth))
    t = np.arange(1, 101)
    done = np.clip(t - begin[:, None], 0, cutoff)
    left = np.clip(t - (begin + length)[:, None], 0, cutoff)
    hazard = 0.01 * np.exp(total[done] - total[left])
    died = rng.random((n, 100)) < 1 - np.exp(-hazard)
    event = died.any(axis=1)
    stop = np.where(event, died.argmax(axis=1) + 1, 100)
    people = np.array([f"p{k}" for k in range(n)])
    taken = Exposure(
        people, begin, begin + length, np.ones(n), cutoff, constrained="right"
    )
    return people, stop, event, taken, truth


def test_known_weight_function_is_found():
    """Within four standard errors at every lag."""
    people, stop, event, taken, truth = simulated(np.random.default_rng(8))
    fit = fit_wce(stop, event, id=people, exposures=taken)
    found = fit.weight_function()
    assert fit.converged
    assert found["weight"][-1] == 0
    inside = np.abs(found["weight"] - truth) < 4 * found["se"] + 0.01
    assert inside.all()
    assert fit.bic > fit.aic


def test_ids_of_any_kind_and_records_of_strangers():
    people, stop, event, taken, _ = simulated(np.random.default_rng(9), n=300)
    one = fit_wce(stop, event, id=people, exposures=taken)
    number = np.arange(people.size) * 7 + 10**12
    stranger = Exposure(
        np.append(number, [1, 2]), np.append(taken.start, [0, 0]),
        np.append(taken.stop, [50, 50]), np.append(taken.dose, [1, 1]),
        taken.cutoff, constrained="right",
    )  # fmt: skip
    two = fit_wce(stop, event, id=number, exposures=[stranger])
    np.testing.assert_allclose(one.coefficients, two.coefficients, atol=1e-9)


def test_without_exposure():
    rng = np.random.default_rng(1)
    fit = fit_wce(rng.random(50), np.ones(50), id=np.arange(50), x=rng.random((50, 2)))
    assert fit.coefficients.shape == (2,)
    assert fit.n_pairs == 0


def test_faults_have_codes():
    with pytest.raises(EngineError) as caught:
        fit_wce([1.0, 2], [1, 1], id=[1])
    assert caught.value.code == "bad_shape"
    bad = Exposure([1], [0, 1], [2], [1], cutoff=10)
    with pytest.raises(EngineError) as caught:
        fit_wce([1.0, 2], [1, 1], id=[1, 2], exposures=bad)
    assert (caught.value.code, caught.value.arg) == ("bad_shape", "start")


def test_examples_in_the_documentation_run():
    failed, tried = doctest.testmod(vigitensor.wce)
    assert tried > 0
    assert failed == 0
