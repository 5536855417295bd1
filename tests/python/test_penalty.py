"""Penalised fits, against the model written out, and choices of the penalty."""

import numpy as np
import pytest
from designs import call, random_design, send
from oracles.dense import DenseCox
from test_many import subjects
from test_warm import data  # noqa: F401
from vigitensor import api
from vigitensor.errors import EngineError
from vigitensor.survival import penalty as pen
from vigitensor.survival.basis import cumulated, lag_basis
from vigitensor.survival.newton import Control
from vigitensor.survival.smoothing import Penalty, Quadratic, choose, judge

SEEDS = [0, 2, 3, 8, 10]


def smooth_design(seed, nknots=4):
    rows, terms, _ = random_design(seed, n_subjects=60, terms=1, q=seed % 3)
    table = cumulated(lag_basis(16, nknots))
    p = rows["x"].shape[1] + table.shape[1]
    rng = np.random.default_rng(seed)
    parts = np.zeros((2, p))
    parts[:, -table.shape[1] :] = rng.random((2, table.shape[1])) * [[50.0], [2.0]]
    parts[0, -2:] = 0
    return rows, terms, table, parts


def quadratic(rng, p=8):
    a = rng.normal(size=(30, p))
    return Quadratic(rng.normal(size=p), -40.0, rng.normal(size=p), a.T @ a)


@pytest.mark.parametrize("method", ["reml", "aic"])
def test_derivatives_by_differences(method):
    rng = np.random.default_rng(1)
    model = quadratic(rng)
    parts = rng.random((3, 8)) * (rng.random((3, 8)) < 0.6)
    penalty = Penalty(parts, method)
    rho, h = np.array([0.5, 2.0, -1.0]), 1e-4
    here = judge(model, penalty, rho)
    for j in range(3):
        shift = h * (np.arange(3) == j)
        up, down = (
            judge(model, penalty, rho + shift),
            judge(model, penalty, rho - shift),
        )
        slope = (up.value - down.value) / (2 * h)
        assert here.gradient[j] == pytest.approx(slope, rel=1e-6, abs=1e-9)
        if method == "reml":
            curve = (up.gradient - down.gradient) / (2 * h)
            np.testing.assert_allclose(here.hessian[j], curve, rtol=1e-5, atol=1e-8)


def test_reml_is_the_integral_over_the_coefficients():
    """With a normal prior: log of the integral of exp(l(b)), by its closed form."""
    rng = np.random.default_rng(2)
    model, parts = quadratic(rng, 3), np.ones((1, 3))
    found = [judge(model, Penalty(parts, "reml"), np.array([r])).value for r in (0, 2)]
    cov = np.linalg.inv(model.info)
    top = model.at + cov @ model.score
    expected = []
    for rho in (0.0, 2.0):  # density of `top` under N(0, cov + 1 / lambda)
        c = cov + np.eye(3) * np.exp(-rho)
        expected.append(
            -0.5 * (np.linalg.slogdet(c)[1] + top @ np.linalg.solve(c, top))
        )
    assert found[1] - found[0] == pytest.approx(expected[1] - expected[0], rel=1e-10)


@pytest.mark.parametrize("method", ["reml", "aic"])
def test_no_other_place_is_better(method):
    rng = np.random.default_rng(5)
    for _ in range(4):
        model = quadratic(rng)
        parts = np.zeros((2, 8))
        parts[0, 2:7], parts[1, 4:] = rng.random(5) * 10, rng.random(4) * 10
        penalty = Penalty(parts, method)
        rho = choose(model, penalty, None)
        best = judge(model, penalty, rho).value
        axis = np.linspace(-12, 12, 13)
        grid = [
            judge(model, penalty, np.array([a, b])).value for a in axis for b in axis
        ]
        assert best >= max(grid) - 1e-6


@pytest.mark.parametrize("ties", ["efron", "breslow"])
@pytest.mark.parametrize("method", ["reml", "aic", "fixed"])
@pytest.mark.parametrize("seed", SEEDS)
def test_the_optimum_of_the_model_written_out(seed, method, ties):
    rows, terms, table, parts = smooth_design(seed)
    given = {"parts": parts, "method": method}
    if method == "fixed":
        given["log_lambda"] = [1.0, -2.0]
    out = send(api.fit_wce, rows, terms, [[table]], ties, {}, penalties=[given])
    (fit,) = out["fits"]
    assert fit["converged"]
    theta = np.exp(fit["log_lambda"]) @ parts
    value, score, info = DenseCox(rows, terms, [table], ties).sums(fit["coefficients"])
    var = np.linalg.inv(info + np.diag(theta))
    se = np.sqrt(np.diag(var))
    assert np.abs((score - theta * fit["coefficients"]) * se).max() < 1e-8
    assert fit["loglik"][1] == pytest.approx(value, rel=1e-10)
    np.testing.assert_allclose(fit["var"] / np.outer(se, se), var / np.outer(se, se),
                               atol=1e-8)  # fmt: skip
    np.testing.assert_allclose(fit["info"], info, atol=1e-8 * np.abs(info).max())
    if method != "fixed":
        at = Quadratic(fit["coefficients"], value, score, info)
        slope = judge(at, Penalty(parts, method), fit["log_lambda"]).gradient
        # The choice is that of the last step but those of rounding's size.
        assert np.abs(slope).max() < 1e-5


def test_a_light_penalty_changes_nothing_and_a_heavy_one_drops_columns():
    rows, terms, table, parts = smooth_design(2, nknots=1)
    (free,) = call(api, rows, terms, [[table]])["fits"]
    light = {"parts": parts, "method": "fixed", "log_lambda": [-30.0, -30.0]}
    heavy = {"parts": parts[1:], "method": "fixed", "log_lambda": [40.0]}
    out = send(api.fit_wce, rows, terms, [[table]] * 3, "efron", {},
               penalties=[light, heavy, None])  # fmt: skip
    one, two, three = out["fits"]
    spread = np.sqrt(np.diag(free["var"]))
    error = np.abs(one["coefficients"] - free["coefficients"])
    assert np.all(error < 1e-6 * spread)
    assert np.abs(two["coefficients"][parts[1] > 0]).max() < 1e-12
    np.testing.assert_array_equal(three["coefficients"], free["coefficients"])


def test_a_sample_first_finds_the_same(data):  # noqa: F811
    prepared, designs = data
    problem = prepared.problem(designs[0])
    assert len(problem.slices) > 1 and pen.thinned(problem) is not None
    parts = np.zeros((1, problem.n_par))
    parts[0, 2:] = [1.0, 3.0, 9.0][: problem.n_par - 2]
    smooth, control = Penalty(parts, "reml"), Control()
    one = pen.fit_thinned_first(problem, control, smooth)
    two = pen.fit_penalised(problem, control, smooth)
    spread = np.sqrt(np.diag(two.var))
    assert one.converged and two.converged
    assert np.abs((one.coefficients - two.coefficients) / spread).max() < 1e-7
    np.testing.assert_allclose(one.log_lambda, two.log_lambda, atol=1e-5)
    assert one.iterations <= two.iterations


@pytest.mark.parametrize("seed", [2, 3, 8])
def test_replicates_as_fitted_alone(seed):
    rows, terms, table, parts = smooth_design(seed)
    given = {"parts": parts, "method": "reml"}
    (full,) = send(api.fit_wce, rows, terms, [[table]], penalties=[given])["fits"]
    rho = full["log_lambda"]
    w = api.replicate_weights(subjects(rows, terms), "bayesian", 3, 1, 6)["weights"]
    for method in ("fixed", "reml"):
        given = {"parts": parts, "method": method, "log_lambda": rho}
        out = send(api.fit_wce_many, rows, terms, [table], full["coefficients"],
                   weights=w, penalty=given)  # fmt: skip
        assert out["converged"].all()
        for k in range(6):
            changed = {**rows, "weight": rows["weight"] * w[k][rows["subject"] - 1]}
            (one,) = send(api.fit_wce, changed, terms, [[table]],
                          penalties=[given])["fits"]  # fmt: skip
            spread = np.sqrt(np.diag(one["var"]))
            error = np.abs(out["coefficients"][k] - one["coefficients"])
            assert np.all(error < 1e-7 * spread)
            assert out["loglik"][k] == pytest.approx(one["loglik"][1], rel=1e-10)


def test_torch_finds_the_same():
    pytest.importorskip("torch")
    rows, terms, table, parts = smooth_design(3)
    given = [{"parts": parts, "method": "reml"}]
    (one,) = send(api.fit_wce, rows, terms, [[table]], penalties=given)["fits"]
    (two,) = send(api.fit_wce, rows, terms, [[table]], penalties=given,
                  engine="torch", device="cpu")["fits"]  # fmt: skip
    spread = np.sqrt(np.diag(one["var"]))
    error = np.abs(one["coefficients"] - two["coefficients"])
    assert np.all(error < 1e-7 * spread)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"parts": -1}, "bad_penalty"),
        ({"parts": 0}, "bad_penalty"),
        ({"method": "gcv"}, "bad_method"),
        ({"method": "fixed"}, "bad_penalty"),
        ({"log_lambda": [1.0]}, "bad_shape"),
    ],
)
def test_faults(change, code):
    rows, terms, table, parts = smooth_design(3)
    given = {"parts": parts, "method": "reml", **change}
    if not isinstance(given["parts"], np.ndarray):
        given["parts"] = parts * given["parts"]
    with pytest.raises(EngineError) as fault:
        send(api.fit_wce, rows, terms, [[table]], penalties=[given])
    assert fault.value.code == code
