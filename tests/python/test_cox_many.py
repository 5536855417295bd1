"""Many sets of weights at once against one fit after the other."""

import numpy as np
import pytest
from cox_designs import arguments, random_cox
from vigitensor import api, device
from vigitensor.errors import EngineError

B = 11  # more than one vector of replicates, and not a whole number of them


def drawn(rows, seed, dirichlet=False):
    """Persons' counts (B, persons), codes of the rows."""
    rng = np.random.default_rng(seed)
    m = int(rows["subject"].max())
    if dirichlet:
        return rng.gamma(1.0, size=(B, m))
    draws = rng.integers(0, m, (B, m))
    return np.array([np.bincount(d, minlength=m) for d in draws]).astype(np.uint16)


@pytest.mark.parametrize("ties", ["efron", "breslow"])
@pytest.mark.parametrize("q", [1, 2, 4, 6])
@pytest.mark.parametrize("seed", range(3))
def test_same_as_single_fits(seed, q, ties):
    """q = 6 is fitted one by one, the others eight together."""
    rows = random_cox(seed, q=q, n_subjects=120)
    counts = drawn(rows, seed, dirichlet=seed == 1)
    given = arguments(rows)
    many = api.fit_cox_many(**given, cluster=rows["subject"], counts=counts, ties=ties)
    compared = 0
    for b in range(B):
        weight = rows["weight"] * counts[b, rows["subject"] - 1]
        one = api.fit_cox(**{**given, "weight": weight}, ties=ties)
        if one["infinite"].any() or np.isnan(one["coefficients"]).any():
            continue
        compared += 1
        assert many["converged"][b]
        np.testing.assert_allclose(
            many["coefficients"][b], one["coefficients"], rtol=1e-8, atol=1e-8
        )
        assert many["loglik"][b] == pytest.approx(one["loglik"][1], rel=1e-10)
    assert compared >= B - 2
    assert many["failed"] == np.sum(~many["converged"])


def test_counts_of_one_give_the_full_fit():
    rows = random_cox(4, q=2, n_subjects=80)
    fit = api.fit_cox(**arguments(rows))
    ones = np.ones((3, int(rows["subject"].max())))
    many = api.fit_cox_many(
        **arguments(rows), cluster=rows["subject"], counts=ones,
        coefficients=fit["coefficients"],
    )  # fmt: skip
    for beta in many["coefficients"]:
        np.testing.assert_allclose(beta, fit["coefficients"], atol=1e-10)


def test_replicates_do_not_know_of_each_other():
    """Chunks and threads change no bit."""
    rows = random_cox(6, q=2, n_subjects=90)
    counts = drawn(rows, 1)
    given = {**arguments(rows), "cluster": rows["subject"]}
    fit = api.fit_cox(**arguments(rows))["coefficients"]
    try:
        device.set_threads(1)
        whole = api.fit_cox_many(**given, counts=counts, coefficients=fit)
        device.set_threads(3)
        part = api.fit_cox_many(**given, counts=counts[3:9], coefficients=fit)
    finally:
        device.set_threads(None)
    np.testing.assert_array_equal(whole["coefficients"][3:9], part["coefficients"])
    np.testing.assert_array_equal(whole["loglik"][3:9], part["loglik"])


@pytest.mark.parametrize("q", [1, 6])
def test_replicates_without_events_fail_alone(q):
    rows = random_cox(2, q=q, n_subjects=120)
    counts = drawn(rows, 3)
    dead = np.unique(rows["subject"][rows["event"] == 1]) - 1
    counts[4, dead] = 0
    many = api.fit_cox_many(**arguments(rows), cluster=rows["subject"], counts=counts)
    assert not many["converged"][4]
    assert np.isnan(many["coefficients"][4]).all()
    assert np.isnan(many["loglik"][4])
    assert many["converged"].sum() >= B - 2


def test_a_dropped_column_stays_dropped():
    rows = random_cox(9, q=2, n_subjects=80)
    x = np.asfortranarray(np.c_[rows["x"], rows["x"][:, 0]])
    many = api.fit_cox_many(
        **arguments({**rows, "x": x}), cluster=rows["subject"], counts=drawn(rows, 1)
    )
    assert np.isnan(many["coefficients"][:, 2]).all()
    assert many["converged"].any()
    given = {**arguments({**rows, "x": x}), "cluster": rows["subject"]}
    beta = api.fit_cox(**arguments({**rows, "x": x}))["coefficients"]
    for coefficients in (beta, np.nan_to_num(beta)):  # as R sends them
        again = api.fit_cox_many(
            **given, counts=drawn(rows, 1), coefficients=coefficients
        )
        np.testing.assert_array_equal(again["coefficients"], many["coefficients"])


@pytest.mark.parametrize("q", [2, 6])
@pytest.mark.parametrize("ties", ["efron", "breslow"])
def test_a_ridge_is_that_of_single_fits(q, ties):
    rows = random_cox(3, q=q, n_subjects=120)
    theta = np.linspace(0.5, 3, q)
    counts = drawn(rows, 5)
    many = api.fit_cox_many(
        **arguments(rows), cluster=rows["subject"], counts=counts, ties=ties,
        penalty=theta,
    )  # fmt: skip
    for b in range(B):
        weight = rows["weight"] * counts[b, rows["subject"] - 1]
        one = api.fit_cox(
            **{**arguments(rows), "weight": weight}, ties=ties, penalty=theta
        )
        np.testing.assert_allclose(
            many["coefficients"][b], one["coefficients"], rtol=1e-8, atol=1e-8
        )
        assert many["loglik"][b] == pytest.approx(one["loglik"][1], rel=1e-10)


@pytest.mark.parametrize("q", [2, 6])
@pytest.mark.parametrize("method", ["one_step", "influence"])
def test_short_ways(q, method):
    """Both agree with the fit to the order they claim, as weights near one."""
    rows = random_cox(4, q=q, n_subjects=150)
    given = {**arguments(rows), "cluster": rows["subject"]}
    full = api.fit_cox(**arguments(rows))
    m = int(rows["subject"].max())
    far = np.clip(np.random.default_rng(1).normal(size=m), -3, 3)
    errors = []
    for size in (0.02, 0.01):
        counts = (1 + size * far)[None]
        kw = {"counts": counts, "coefficients": full["coefficients"]}
        fit = api.fit_cox_many(**given, **kw)["coefficients"]
        near = api.fit_cox_many(**given, **kw, method=method)
        assert near["reason"] == ["ok"]
        assert np.isnan(near["loglik"]).all()
        errors.append(np.abs(fit - near["coefficients"]).max())
    assert 3.5 < errors[0] / errors[1] < 4.5


def test_replicates_are_those_of_the_seed():
    rows = random_cox(4, q=1, n_subjects=80)
    m = int(rows["subject"].max())
    draw = {"kind": "bayesian", "seed": 8, "first": 3, "count": 9}
    given = {**arguments(rows), "cluster": rows["subject"]}
    one = api.fit_cox_many(**given, replicates=draw)
    two = api.fit_cox_many(**given, counts=api.replicate_weights(m, **draw)["weights"])
    np.testing.assert_array_equal(one["coefficients"], two["coefficients"])
    with pytest.raises(EngineError) as caught:
        api.fit_cox_many(**given, replicates=draw, counts=np.ones((1, m)))
    assert caught.value.code == "bad_weights"
    with pytest.raises(EngineError) as caught:
        api.fit_cox_many(**given, replicates=draw, penalty=[-1.0])
    assert caught.value.code == "bad_penalty"


def test_one_step_replicates_are_the_same_every_time(monkeypatch):
    """Threads took the covariates for ready while another still filled them."""
    from vigitensor.survival import cox_likelihood

    rows = random_cox(4, q=2, n_subjects=120)
    run = cox_likelihood.run_slices

    def seen_by_others(work, slices, *more, **kw):
        data = next(
            cell.cell_contents
            for cell in work.__closure__
            if isinstance(cell.cell_contents, cox_likelihood.CoxData)
        )
        assert "z" not in data.scratch
        run(work, slices, *more, **kw)

    given = {**arguments(rows), "cluster": rows["subject"], "counts": drawn(rows, 4)}
    plain = api.fit_cox_many(**given, method="one_step")
    monkeypatch.setattr(cox_likelihood, "run_slices", seen_by_others)
    again = api.fit_cox_many(**given, method="one_step")
    np.testing.assert_array_equal(plain["coefficients"], again["coefficients"])
