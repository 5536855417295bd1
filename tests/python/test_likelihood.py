"""Score and information: against differences, and far from the optimum."""

import numpy as np
import pytest
from designs import call, random_design
from oracles.dense import DenseCox
from vigitensor import api, cache
from vigitensor.survival import likelihood, run
from vigitensor.survival.exposure import Records


def problem_of(rows, terms, tables, ties):
    cache.warm_up()
    records = [
        Records((t["subject"] - 1).astype(np.int32), t["start"], t["stop"], t["dose"])
        for t in terms
    ]
    codes = {k: (rows[k] - 1).astype(np.int32) for k in ("subject", "stratum")}
    inputs = run.Rows(
        start=rows["start"], stop=rows["stop"], event=rows["event"],
        weight=rows["weight"], offset=rows["offset"], x=rows["x"], **codes,
    )  # fmt: skip
    n_subjects = 1 + max(
        codes["subject"].max(), *(r.subject.max(initial=0) for r in records)
    )
    return run.prepare(inputs, n_subjects, records, [tables], ties).problem(tables)


def moderate_beta(problem, rng, size):
    """Coefficients whose linear predictors spread by about `size`."""
    beta = rng.normal(size=problem.n_par)
    spread = np.abs(problem.death_x @ beta).max()
    return beta * size / max(spread, 1e-12)


@pytest.mark.parametrize("ties", ["efron", "breslow"])
@pytest.mark.parametrize("seed", range(15))
def test_score_and_information_are_derivatives(seed, ties):
    rows, terms, tables = random_design(seed, n_subjects=40, q=2)
    problem = problem_of(rows, terms, tables, ties)
    beta = moderate_beta(problem, np.random.default_rng(seed), 1.0)
    at = likelihood.moments(problem, likelihood.evaluate(problem, beta))
    for j in range(beta.size):
        # A step that moves the linear predictor by about 1e-4: differences then
        # are right to about 1e-8 relative.
        h = np.zeros(beta.size)
        h[j] = 1e-4 / max(np.abs(problem.death_x[:, j]).max(), 1e-3)
        points = [likelihood.evaluate(problem, beta + s * h) for s in (1, -1)]
        slope = (points[0].loglik - points[1].loglik) / (2 * h[j])
        curve = np.subtract(*(likelihood.moments(problem, p).score for p in points))
        size = np.abs(at.score).max() + np.sqrt(at.info[j, j])
        assert at.score[j] == pytest.approx(slope, abs=1e-5 * (1 + size))
        np.testing.assert_allclose(
            -at.info[j], curve / (2 * h[j]), atol=1e-5 * (1 + np.abs(at.info).max())
        )


@pytest.mark.parametrize("size", [0.5, 20.0, 300.0, 3000.0])
@pytest.mark.parametrize("seed", range(10))
def test_any_size_of_coefficients(seed, size):
    """Risks that differ by e^3000 between event times overflow nowhere."""
    rows, terms, tables = random_design(seed, n_subjects=40)
    problem = problem_of(rows, terms, tables, "efron")
    beta = moderate_beta(problem, np.random.default_rng(seed), size)
    point = likelihood.evaluate(problem, beta)
    value, score, info = DenseCox(rows, terms, tables).sums(beta)
    if not np.isfinite(point.loglik):
        # Somebody survived a risk e^700 times that of the one who died.
        assert value < -600 * rows["weight"][rows["weight"] > 0].min()
        return
    # Linear predictors of this size are themselves right to 1e-13 relative.
    room = 1e-10 * (1 + size)
    assert point.loglik == pytest.approx(value, rel=room, abs=room)
    at = likelihood.moments(problem, point)
    np.testing.assert_allclose(
        at.score, score, atol=room * (1 + np.abs(problem.death_x).sum())
    )
    np.testing.assert_allclose(
        at.info, info, atol=room * (1 + np.abs(problem.death_x).sum()) ** 2
    )


def test_one_large_risk_leaves_the_small_ones_right():
    """A risk e^60 times the others, gone early, costs the later sets nothing."""
    n = 50
    rows = {
        "start": np.zeros(n + 1), "stop": np.append(np.arange(5.0, n + 5), 2.0),
        "event": np.append(np.ones(n, int), 1), "stratum": np.ones(n + 1, int),
        "subject": np.arange(1, n + 2), "weight": np.ones(n + 1),
        "offset": np.append(np.zeros(n), 60.0), "x": np.zeros((n + 1, 0)),
    }  # fmt: skip
    out = call(api, rows, [], [[]])
    # After it, risk sets of n, n - 1, ..., 1 equal persons: -log(n!).
    expected = -np.sum(np.log(np.arange(1, n + 1))) - np.log1p(n * np.exp(-60.0))
    assert out["fits"][0]["loglik"][0] == pytest.approx(expected, rel=1e-14)


def test_everybody_exposed_alike_changes_nothing():
    """A dose that all share cancels from the likelihood and is dropped."""
    rows, _, tables = random_design(4, n_subjects=60, q=1)
    n = int(rows["subject"].max())
    same = {
        "subject": np.arange(1, n + 1), "start": np.full(n, -50.0),
        "stop": np.full(n, 500.0), "dose": np.full(n, 0.3),
    }  # fmt: skip
    out = call(api, rows, [same], [tables[:1]])
    alone = call(api, rows, [], [[]])
    assert np.isnan(out["fits"][0]["coefficients"][1:]).all()
    assert out["fits"][0]["loglik"] == pytest.approx(
        alone["fits"][0]["loglik"], rel=1e-12
    )
    assert out["fits"][0]["coefficients"][0] == pytest.approx(
        alone["fits"][0]["coefficients"][0], rel=1e-8
    )


def test_worked_by_hand():
    """Three persons, one covariate, no tie: the root of a quadratic.

    x = (1, 0, 1), deaths at 1, 2, 3. With e = exp(b): log-likelihood
    b - log(2e + 1) - log(1 + e), score 0 where 1 = 2e/(2e+1) + e/(1+e),
    so 2e^2 = 1 and b = -log(2)/2.
    """
    out = api.fit_wce(
        np.zeros(3), np.array([1.0, 2, 3]), np.ones(3), np.ones(3), np.arange(1, 4),
        np.zeros(3), np.ones(3), np.array([[1.0], [0], [1]]), 3, [], [[]],
    )  # fmt: skip
    (fit,) = out["fits"]
    assert fit["coefficients"][0] == pytest.approx(-np.log(2) / 2, abs=1e-12)
    e = np.sqrt(0.5)
    assert fit["loglik"][1] == pytest.approx(
        np.log(e) - np.log(2 * e + 1) - np.log(1 + e), rel=1e-14
    )
    assert fit["loglik"][0] == pytest.approx(-np.log(6), rel=1e-14)


def test_likelihood_without_a_maximum_is_reported():
    """The covariate orders the deaths perfectly: infinite, and it stops."""
    n = 12
    out = api.fit_wce(
        np.zeros(n), np.arange(1.0, n + 1), np.ones(n), np.ones(n),
        np.arange(1, n + 1), np.zeros(n), np.ones(n),
        np.column_stack([-np.arange(n), np.random.default_rng(0).normal(size=n)]),
        n, [], [[]],
    )  # fmt: skip
    (fit,) = out["fits"]
    assert fit["converged"]
    assert fit["infinite"][0]
    assert fit["loglik"][1] == pytest.approx(0, abs=1e-9)
