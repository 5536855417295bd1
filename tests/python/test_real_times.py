"""Real-valued times: integrals of the basis over each record."""

import numpy as np
import pytest
from designs import call, random_design, send
from oracles.dense import DenseCox
from vigitensor import api
from vigitensor.errors import EngineError


def steps_as_curve(table):
    """The curve whose basis is constant in each unit: the unit clock's own."""
    increments = np.diff(table, axis=0)
    powers = np.stack((table[:-1], increments), axis=1)
    return {
        "breaks": np.arange(len(table), dtype=float),
        "coefficients": powers.reshape(-1, table.shape[1]),
    }


@pytest.mark.parametrize("seed", range(12))
def test_whole_times_give_the_same_fit(seed):
    """On whole times a basis that is constant in each unit changes nothing."""
    rows, terms, tables = random_design(seed, n_subjects=50)
    curves = [steps_as_curve(t) for t in tables]
    terms = [{**t, "cells": np.arange(len(c))} for t, c in zip(terms, tables)]
    one = call(api, rows, terms, [tables])
    two = call(api, rows, terms, [curves])
    assert one["n_pairs"] == two["n_pairs"]
    assert one["exposed_events"] == two["exposed_events"]
    for a, b in zip(one["covered"], two["covered"]):
        np.testing.assert_array_equal(a, b)
    (one,), (two,) = one["fits"], two["fits"]
    assert one["loglik"][1] == pytest.approx(two["loglik"][1], rel=1e-10)
    if one["infinite"].any():
        return
    beta = one["coefficients"]
    spread = np.sqrt(np.diag(one["var"]))
    np.testing.assert_array_equal(np.isnan(beta), np.isnan(two["coefficients"]))
    kept = np.isfinite(beta)
    error = np.abs(two["coefficients"] - beta)[kept]
    assert np.all(error <= 1e-7 * (spread + np.abs(beta))[kept])
    scores = [
        send(api.wce_scores, rows, terms, c, beta)["score"] for c in (tables, curves)
    ]
    atol = 1e-8 * (1 + np.abs(scores[0]).max())
    np.testing.assert_allclose(scores[0], scores[1], atol=atol)
    draw = {"kind": "bayesian", "seed": 1, "first": 1, "count": 3}
    many = [
        send(api.fit_wce_many, rows, terms, c, beta, replicates=draw, method="one_step")
        for c in (tables, curves)
    ]
    np.testing.assert_allclose(
        many[0]["coefficients"], many[1]["coefficients"], rtol=1e-6, atol=1e-6
    )


def integral(curve, u):
    """C(u) of one curve by the definition, (J,)."""
    breaks = curve["breaks"]
    coef = curve["coefficients"].reshape(breaks.size - 1, -1, 2)
    u = min(max(u, 0.0), breaks[-1])
    k = min(np.searchsorted(breaks, u, side="right") - 1, breaks.size - 2)
    return ((u - breaks[k]) ** np.arange(coef.shape[1])) @ coef[k]


def random_curve(rng):
    """Two columns, continuous, pieces of any length."""
    breaks = np.cumsum(np.concatenate(([0.0], rng.uniform(0.7, 4.0, 3))))
    coef = rng.normal(size=(3, 5, 2)) * 0.5 ** np.arange(5)[:, None]
    coef[0, 0] = 0
    for k in range(1, 3):
        width = breaks[k] - breaks[k - 1]
        coef[k, 0] = width ** np.arange(5) @ coef[k - 1]
    return {"breaks": breaks, "coefficients": coef.reshape(15, 2)}


@pytest.mark.parametrize("seed", range(8))
def test_against_integrals_written_out(seed):
    rng = np.random.default_rng(seed)
    rows, terms, _ = random_design(seed, n_subjects=40, terms=1, q=2)
    rows["stop"] = np.round(rows["stop"] - rng.choice([0, 0.25, 0.5], 1), 2)
    term = terms[0]
    term["start"] = term["start"] + rng.uniform(size=term["start"].size)
    term["stop"] = term["start"] + rng.uniform(0.1, 9, size=term["start"].size)
    curve = random_curve(rng)
    dense = DenseCox(rows, [], [])
    for k, (risk, died, x) in enumerate(dense.sets):
        t = rows["stop"][risk[died][0]]
        d = np.zeros((risk.size, 2))
        for r in range(term["dose"].size):
            part = integral(curve, t - term["start"][r])
            part = part - integral(curve, t - term["stop"][r])
            d[rows["subject"][risk] == term["subject"][r]] += term["dose"][r] * part
        dense.sets[k] = risk, died, np.hstack((x, d))
    (fit,) = send(api.fit_wce, rows, terms, [[curve]])["fits"]
    value, score, info = dense.sums(fit["coefficients"])
    assert fit["loglik"][1] == pytest.approx(value, rel=1e-11)
    if fit["infinite"].any():
        return
    step = np.linalg.solve(info, score)
    assert np.all(np.abs(step) < 1e-8 * np.sqrt(np.diag(np.linalg.inv(info))))
    np.testing.assert_allclose(fit["var"], np.linalg.inv(info), rtol=1e-6)


def test_faults():
    rows, terms, tables = random_design(4, n_subjects=30, q=1, terms=1)
    good = steps_as_curve(tables[0])
    for bad, code in (
        ({"breaks": good["breaks"]}, "bad_table"),
        ({**good, "breaks": good["breaks"] + 1}, "bad_table"),
        ({**good, "breaks": good["breaks"][::-1]}, "bad_table"),
        ({**good, "coefficients": good["coefficients"][1:]}, "bad_table"),
        ({**good, "coefficients": good["coefficients"] + 1}, "bad_table"),
    ):
        with pytest.raises(EngineError) as caught:
            call(api, rows, terms, [[bad]])
        assert caught.value.code == code
    with pytest.raises(EngineError) as caught:
        call(api, rows, terms, [tables, [good]])
    assert caught.value.code == "bad_design"
