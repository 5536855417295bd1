"""Baseline hazard and information by event time, against the model written out."""

import numpy as np
import pytest
from designs import call, random_design, send
from oracles.dense import DenseCox
from test_scores import moderate
from vigitensor import api
from vigitensor.errors import EngineError


def dense_steps(dense, beta):
    """Per event time: hazard, variance, -d hazard/d beta, Schoenfeld, V, U."""
    out = []
    for risk, died, x in dense.sets:
        w = dense.rows["weight"][risk]
        r = w * np.exp(x @ beta + dense.rows["offset"][risk])
        d, mean = int(died.sum()), w[died].mean()
        hazard, variance, slope = 0.0, 0.0, np.zeros(beta.size)
        centre, info = np.zeros(beta.size), np.zeros((beta.size, beta.size))
        for k in range(d):
            share = k / d if dense.ties == "efron" else 0.0
            own = np.where(died, (1 - share) * r, r)
            total = own.sum()
            xbar = own @ x / total
            hazard += mean / total
            variance += mean / total**2
            slope += mean * xbar / total
            centre += xbar / d
            info += mean * ((x * own[:, None]).T @ x / total - np.outer(xbar, xbar))
        residual = x[died] - centre
        out.append((hazard, variance, slope, residual, info, w[died] @ residual))
    return [list(column) for column in zip(*out)]


@pytest.mark.parametrize("ties", ["efron", "breslow"])
@pytest.mark.parametrize("seed", range(12))
def test_steps_against_dense(seed, ties):
    rows, terms, tables = random_design(seed, n_subjects=40)
    dense = DenseCox(rows, terms, tables, ties)
    beta = moderate(dense, np.random.default_rng(seed))
    hazard, variance, slope, residual, _, _ = dense_steps(dense, beta)
    out = send(api.wce_baseline, rows, terms, tables, beta, ties, True)
    assert out["loglik"] == pytest.approx(dense.sums(beta)[0], rel=1e-12)
    lower = np.exp(-out["shift"])
    np.testing.assert_allclose(out["hazard"] * lower, hazard, rtol=1e-11)
    np.testing.assert_allclose(out["variance"] * lower**2, variance, rtol=1e-11)
    slope = np.array(slope)
    np.testing.assert_allclose(
        out["mean"] * lower[:, None], slope, atol=1e-10 * np.abs(slope).max(initial=1)
    )
    residual = np.concatenate(residual)
    np.testing.assert_allclose(
        out["schoenfeld"], residual, atol=1e-10 * np.abs(residual).max(initial=1)
    )
    row = out["row"] - 1
    assert np.all(rows["event"][row] == 1)
    np.testing.assert_array_equal(
        np.unique(np.c_[rows["stratum"][row], rows["stop"][row]], axis=0),
        np.c_[out["stratum"], out["time"]],
    )


@pytest.mark.parametrize("ties", ["efron", "breslow"])
@pytest.mark.parametrize("seed", range(12))
def test_information_over_time_against_dense(seed, ties):
    rng = np.random.default_rng(seed)
    rows, terms, tables = random_design(seed, n_subjects=40)
    dense = DenseCox(rows, terms, tables, ties)
    beta = moderate(dense, rng)
    g = rng.normal(size=len(dense.sets))
    *_, info, score = dense_steps(dense, beta)
    out = send(api.wce_time_information, rows, terms, tables, beta, g, ties)
    info, score = np.array(info), np.array(score)
    for name, by in (("info", g**0), ("cross", g), ("square", g * g)):
        want = np.einsum("e,eij->ij", by, info)
        tolerance = 1e-10 * np.abs(info).max(initial=1) * len(g)
        np.testing.assert_allclose(out[name], want, atol=tolerance)
    tolerance = 1e-10 * np.abs(score).max(initial=1) * len(g)
    np.testing.assert_allclose(out["score"], g @ score, atol=tolerance)


def test_large_covariates_and_faults():
    rows, terms, tables = random_design(4, n_subjects=50, q=1, terms=1)
    (fit,) = call(api, rows, terms, [tables])["fits"]
    moved = {**rows, "x": rows["x"] + 1e4}
    one = send(api.wce_baseline, rows, terms, tables, fit["coefficients"])
    two = send(api.wce_baseline, moved, terms, tables, fit["coefficients"])
    by = 1e4 * fit["coefficients"][0]
    # Half the digits of the mean are taken by its size.
    np.testing.assert_allclose(
        np.log(one["hazard"]) - one["shift"],
        np.log(two["hazard"]) - two["shift"] + by,
        atol=1e-9 * max(1, abs(by)),
    )
    good = fit["coefficients"]
    with pytest.raises(EngineError) as caught:
        send(api.wce_time_information, rows, terms, tables, good, np.zeros(1))
    assert (caught.value.code, caught.value.arg) == ("bad_shape", "scale")
    with pytest.raises(EngineError) as caught:
        send(api.wce_baseline, rows, terms, tables, good[1:])
    assert caught.value.arg == "coefficients"
