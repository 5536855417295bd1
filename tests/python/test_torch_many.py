"""Many sets of weights on engine "torch" against engine "cpu"."""

import numpy as np
import pytest
from cox_designs import arguments, random_cox
from designs import call, random_design, send
from test_many import subjects
from test_torch import large, real_times, spline_curve
from vigitensor import api

torch = pytest.importorskip("torch")
TORCH = {"engine": "torch", "device": "cpu"}


def both(rows, terms, tables, beta, ties="efron", **kw):
    """Replicates by both engines."""
    cpu = send(api.fit_wce_many, rows, terms, tables, beta, ties, **kw)
    found = send(api.fit_wce_many, rows, terms, tables, beta, ties, **kw, **TORCH)
    return cpu, found


def agree(cpu, found, spread):
    """To 1e-9, or to two billionths of a standard error, which is where both stop.

    Replicates without an optimum are left out; returns how many had one.
    """
    ok = cpu["converged"]
    assert cpu["reason"] == found["reason"]
    np.testing.assert_array_equal(found["converged"], ok)
    one, two = cpu["coefficients"][ok], found["coefficients"][ok]
    np.testing.assert_array_equal(np.isnan(one), np.isnan(two))
    kept = ~np.isnan(one)
    largest = np.abs(one[kept]).max(initial=1)
    limit = np.broadcast_to(1e-9 * largest + 4e-9 * spread, one.shape)
    assert np.all(np.abs(one - two)[kept] <= limit[kept])
    np.testing.assert_allclose(found["loglik"][ok], cpu["loglik"][ok], rtol=1e-11)
    return int(ok.sum())


@pytest.mark.parametrize("method", ["fit", "one_step", "influence"])
@pytest.mark.parametrize("ties", ["efron", "breslow"])
def test_random_designs(ties, method):
    """Strata, ties, delayed entry, weights, offsets, one or two terms."""
    compared = 0
    for seed in range(12):
        rows, terms, tables = random_design(seed, n_subjects=100, q=seed % 4)
        (full,) = call(api, rows, terms, [tables], ties)["fits"]
        if full["infinite"].any() or not full["converged"]:
            continue
        kind = ("multinomial", "bayesian")[seed % 2]
        draw = {"kind": kind, "seed": seed, "first": 1, "count": 20}
        beta = full["coefficients"]
        cpu, found = both(
            rows, terms, tables, beta, ties, replicates=draw, method=method
        )
        compared += agree(cpu, found, np.sqrt(np.diag(full["var"])))
    assert compared > 120


@pytest.mark.parametrize(("q", "terms"), [(2, 1), (0, 2), (3, 2), (2, 0)])
def test_larger_data(q, terms):
    rows, records, tables = large(n=1500, q=q, terms=terms)
    (full,) = call(api, rows, records, [tables])["fits"]
    draw = {"kind": "multinomial", "seed": 4, "first": 1, "count": 20}
    cpu, found = both(rows, records, tables, full["coefficients"], replicates=draw)
    assert agree(cpu, found, np.sqrt(np.diag(full["var"]))) == 20
    # The same way to the optimum.
    np.testing.assert_array_equal(found["iterations"], cpu["iterations"])


def test_real_valued_times():
    rng = np.random.default_rng(5)
    rows, records, _ = large(n=600, terms=2)
    rows, records = real_times(rows, records, rng)
    curves = [spline_curve(rng), spline_curve(rng, 2)]
    (full,) = call(api, rows, records, [curves])["fits"]
    draw = {"kind": "bayesian", "seed": 4, "first": 1, "count": 6}
    cpu, found = both(rows, records, curves, full["coefficients"], replicates=draw)
    assert agree(cpu, found, np.sqrt(np.diag(full["var"]))) == 6


@pytest.mark.filterwarnings("error")
def test_dropped_columns_and_failures():
    rows, terms, tables = random_design(8, n_subjects=60, terms=1, q=2)
    rows["x"] = np.asfortranarray(np.hstack((rows["x"], rows["x"][:, :1])))
    n = subjects(rows, terms)
    (full,) = call(api, rows, terms, [tables])["fits"]
    beta = full["coefficients"]
    assert np.isnan(beta[2])
    died = np.zeros(n, bool)
    died[rows["subject"][rows["event"] == 1] - 1] = True
    treated = np.zeros(n, bool)
    treated[terms[0]["subject"] - 1] = True
    w = np.ones((4, n))
    w[1, died] = 0  # nobody dies
    w[2, treated] = 0  # nobody has a dose
    w.flags.writeable = False  # as what comes from R
    for given in (beta, np.nan_to_num(beta)):
        cpu, found = both(rows, terms, tables, given, weights=w)
        assert found["reason"] == ["ok", "no_event", "collinear", "ok"]
        assert agree(cpu, found, np.sqrt(np.diag(full["var"]))) == 2
        assert np.isnan(found["coefficients"][:, 2]).all()


@pytest.mark.parametrize("method", ["fit", "one_step", "influence"])
def test_inequalities(method):
    compared = 0
    for seed in range(6):
        rows, terms, tables = random_design(seed, n_subjects=80, terms=1, q=1)
        p = 1 + tables[0].shape[1]
        limits = np.eye(p)[1:]  # no weight below zero
        out = send(api.fit_wce, rows, terms, [tables], inequalities=[limits])
        (full,) = out["fits"]
        if full["infinite"].any():
            continue
        draw = {"kind": "bayesian", "seed": 4, "first": 1, "count": 10}
        cpu, found = both(
            rows, terms, tables, full["coefficients"], replicates=draw,
            inequality=limits, method=method,
        )  # fmt: skip
        spread = np.sqrt(np.diag(full["var"])).max()
        compared += agree(cpu, found, spread)
        beta = np.nan_to_num(found["coefficients"][found["converged"]])
        assert (beta @ limits.T).min(initial=0) > -1e-9
    assert compared > 30


def test_memory_decides_how_many_go_together(monkeypatch):
    from vigitensor.api_inputs import exposure_records, person_rows
    from vigitensor.survival import torch_many
    from vigitensor.survival.run import prepare
    from vigitensor.survival.torch_fit import TorchEngine

    monkeypatch.setitem(torch_many._TOGETHER, "cpu", 256)
    rows, records, tables = large(n=6000)
    n = int(rows["subject"].max())
    names = ("start", "stop", "event", "stratum", "subject", "offset", "weight", "x")
    given = person_rows(*(rows[name] for name in names), n)
    data = prepare(given, n, exposure_records(records, n), [tables], "efron")
    problem = data.problem(tables)
    weights = np.ones((300, n))
    sizes = [
        torch_many.TorchPasses(TorchEngine("cpu", mb), problem, weights).together
        for mb in (64, 2048)
    ]
    assert 1 < sizes[0] < sizes[1] == 256


# ---- Cox models -------------------------------------------------------------


@pytest.mark.parametrize("method", ["fit", "one_step", "influence"])
@pytest.mark.parametrize("ties", ["efron", "breslow"])
def test_cox(ties, method):
    """Few covariates, which the CPU fits eight together, and many."""
    compared = 0
    for seed in range(12):
        rows = random_cox(seed, q=(1, 2, 3, 6)[seed % 4], n_subjects=150)
        given = {**arguments(rows), "ties": ties}
        penalty = np.full(rows["x"].shape[1], 0.5) if seed % 3 == 0 else None
        full = api.fit_cox(**given, penalty=penalty)
        if full["infinite"].any() or np.isnan(full["coefficients"]).any():
            continue
        kind = ("multinomial", "bayesian")[seed % 2]
        given |= {
            "cluster": rows["subject"], "coefficients": full["coefficients"],
            "replicates": {"kind": kind, "seed": seed, "first": 1, "count": 18},
            "penalty": penalty, "method": method,
        }  # fmt: skip
        cpu, found = api.fit_cox_many(**given), api.fit_cox_many(**given, **TORCH)
        np.testing.assert_array_equal(cpu["converged"], found["converged"])
        compared += int(found["converged"].sum())
        spread = np.sqrt(np.diag(full["var"]))
        error = np.abs(cpu["coefficients"] - found["coefficients"])
        limit = 1e-9 * (1 + np.abs(cpu["coefficients"])) + 4e-9 * spread
        assert np.all(error <= limit, where=np.isfinite(error))
        np.testing.assert_allclose(found["loglik"], cpu["loglik"], rtol=1e-11)
    assert compared > 150


def test_cox_failures_and_dropped_columns():
    rows = random_cox(9, q=2, n_subjects=120)
    x = np.asfortranarray(np.c_[rows["x"], rows["x"][:, 0]])
    given = {**arguments({**rows, "x": x}), "cluster": rows["subject"]}
    counts = np.ones((3, int(rows["subject"].max())))
    counts[1, np.unique(rows["subject"][rows["event"] == 1]) - 1] = 0
    cpu = api.fit_cox_many(**given, counts=counts)
    found = api.fit_cox_many(**given, counts=counts, **TORCH)
    assert found["reason"] == ["ok", "no_event", "ok"] == cpu["reason"]
    np.testing.assert_allclose(
        found["coefficients"], cpu["coefficients"], rtol=1e-9, atol=1e-10
    )
    assert np.isnan(found["coefficients"][:, 2]).all()
