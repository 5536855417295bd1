"""Residuals, robust variance, baseline and concordance of Cox models."""

import numpy as np
import pytest
from cox_designs import after, arguments, random_cox
from oracles.dense_cox import at_risk, event_times, pairs
from vigitensor import api

TIES = ["efron", "breslow"]


def dense_score(rows, lp, ties):
    """Score residuals, one event time and one tied death at a time."""
    n, q = rows["x"].shape
    out, expected = np.zeros((n, q)), np.zeros(n)
    e = np.exp(lp)
    for s, t in event_times(rows):
        risk, died = at_risk(rows, s, t)
        x, w = rows["x"][risk], rows["weight"][risk]
        died = died & (w > 0)
        d, mean = died.sum(), w[died].mean()
        for k in range(d):
            share = np.where(died, 1 - (k / d if ties == "efron" else 0.0), 1.0)
            r = w * e[risk] * share
            xbar, step = r @ x / r.sum(), mean / r.sum()
            hazard = e[risk] * share * step
            expected[risk] += hazard
            out[risk] -= hazard[:, None] * (x - xbar)
            out[risk[died]] += (x[died] - xbar) / d
    return out, rows["event"] - expected


@pytest.mark.parametrize("ties", TIES)
@pytest.mark.parametrize("seed", range(8))
def test_residuals(seed, ties):
    rows = random_cox(seed, q=2)
    rows["weight"] = np.maximum(rows["weight"], 0.5)
    fit = api.fit_cox(**arguments(rows), ties=ties, control={"max_iter": 3})
    given = after(rows, fit, ties)
    score, martingale = dense_score(rows, fit["linear_predictors"], ties)
    np.testing.assert_allclose(api.cox_residuals(**given), martingale, atol=1e-9)
    np.testing.assert_allclose(fit["residuals"], martingale, atol=1e-9)
    ours = api.cox_residuals(**given, type="score")
    np.testing.assert_allclose(ours, score, atol=1e-8)
    w, var = rows["weight"][:, None], fit["var"]
    # Weighted, they add up to the gradient.
    np.testing.assert_allclose((w * ours).sum(axis=0), fit["score"], atol=1e-8)
    dfbeta = api.cox_residuals(**given, type="dfbeta", var=var)
    np.testing.assert_allclose(dfbeta, w * score @ var, atol=1e-8)
    dfbetas = api.cox_residuals(**given, type="dfbetas", var=var)
    np.testing.assert_allclose(dfbetas, dfbeta / np.sqrt(np.diag(var)), atol=1e-8)
    codes = np.arange(w.size) % 5 + 1
    by_code = api.cox_residuals(**given, type="dfbeta", var=var, collapse=codes)
    sums = np.array([dfbeta[codes == c].sum(axis=0) for c in range(1, 6)])
    np.testing.assert_allclose(by_code, sums, atol=1e-10)
    robust = api.cox_robust_var(**given, var=var, cluster=codes)
    np.testing.assert_allclose(robust["var"], sums.T @ sums, atol=1e-10)


@pytest.mark.parametrize("ties", TIES)
@pytest.mark.parametrize("seed", range(4))
def test_schoenfeld(seed, ties):
    """Weighted they add up to the gradient, scaled they are shifted by beta."""
    rows = random_cox(seed, q=2)
    rows["weight"] = np.maximum(rows["weight"], 0.5)
    fit = api.fit_cox(**arguments(rows), ties=ties, control={"max_iter": 1})
    given = after(rows, fit, ties)
    found = api.cox_residuals(**given, type="schoenfeld")
    assert (rows["event"][found["row"] - 1] == 1).all()
    np.testing.assert_array_equal(rows["stop"][found["row"] - 1], found["time"])
    order = np.lexsort((found["row"], found["time"], found["stratum"]))
    np.testing.assert_array_equal(order, np.arange(order.size))
    if (rows["weight"] == 1).all():
        np.testing.assert_allclose(
            found["residuals"].sum(axis=0), fit["score"], atol=1e-8
        )
    scaled = api.cox_residuals(
        **given, type="scaledsch", var=fit["var"], coefficients=[1.0, np.nan]
    )
    by_hand = found["residuals"] @ fit["var"] * order.size + [1.0, 0.0]
    np.testing.assert_allclose(scaled["residuals"], by_hand, atol=1e-10)


@pytest.mark.parametrize("ties", TIES)
@pytest.mark.parametrize("seed", range(6))
def test_baseline(seed, ties):
    rows = random_cox(seed, q=1)
    rows["weight"] = np.maximum(rows["weight"], 0.5)
    lp = 0.7 * rows["x"][:, 0]
    given = arguments(rows)
    del given["offset"], given["x"]
    found = api.cox_baseline(**given, linear_predictors=lp, ties=ties)
    at = 0
    for s in np.unique(rows["stratum"]):
        total = 0.0
        mine = rows["stratum"] == s
        for t in np.unique(rows["stop"][mine]):
            risk, died = at_risk(rows, s, t)
            r, w = (rows["weight"] * np.exp(lp))[risk], rows["weight"][risk]
            d = died.sum()
            for k in range(d):
                share = k / d if ties == "efron" else 0.0
                total += w[died].mean() / (r.sum() - share * r[died].sum())
            ends = mine & (rows["stop"] == t)
            assert (found["stratum"][at], found["time"][at]) == (s, t)
            assert found["n_risk"][at] == pytest.approx(w.sum())
            assert found["n_event"][at] == pytest.approx(w[died].sum())
            assert found["n_censor"][at] == pytest.approx(
                rows["weight"][ends & (rows["event"] == 0)].sum()
            )
            assert found["cumhaz"][at] == pytest.approx(total, rel=1e-11)
            at += 1
    assert at == found["time"].size


@pytest.mark.parametrize("seed", range(12))
def test_concordance(seed):
    """Against all pairs, with ties in time and in the predictor."""
    rows = random_cox(seed, q=1)
    rng = np.random.default_rng(seed)
    lp = np.round(rng.normal(size=rows["stop"].size), seed % 3)
    given = arguments(rows)
    del given["offset"], given["x"]
    cluster = np.arange(lp.size) // 2 + 1
    found = api.cox_concordance(**given, linear_predictors=lp)
    count, influence = pairs(rows, lp)
    names = ("concordant", "discordant", "tied_x", "tied_y", "tied_xy")
    np.testing.assert_allclose([found[k] for k in names], count, atol=1e-9)
    total = count[:3].sum()
    c = (count[0] + count[2] / 2) / total
    assert found["concordance"] == pytest.approx(c)
    change = influence @ [1, 0, 0.5] - c * influence.sum(axis=1)
    dfbeta = rows["weight"] * change / total
    np.testing.assert_allclose(found["dfbeta"], dfbeta, atol=1e-12)
    assert found["var"] == pytest.approx(dfbeta @ dfbeta)
    grouped = api.cox_concordance(**given, linear_predictors=lp, cluster=cluster)
    sums = np.bincount(cluster, dfbeta)
    assert grouped["var"] == pytest.approx(sums @ sums)
