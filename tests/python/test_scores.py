"""Score and martingale residuals, against the model written out."""

import numpy as np
import pytest
from designs import call, random_design, send
from oracles.dense import DenseCox
from vigitensor import api
from vigitensor.errors import EngineError


def moderate(dense, rng, size=1.0):
    beta = rng.normal(size=dense.n_par)
    spread = max(np.abs(x @ beta).max() for _, _, x in dense.sets)
    return beta * size / max(spread, 1e-12)


@pytest.mark.parametrize("ties", ["efron", "breslow"])
@pytest.mark.parametrize("seed", range(25))
def test_against_dense(seed, ties):
    rows, terms, tables = random_design(seed, n_subjects=40)
    dense = DenseCox(rows, terms, tables, ties)
    beta = moderate(dense, np.random.default_rng(seed))
    score, martingale = dense.residuals(beta)
    out = send(api.wce_scores, rows, terms, tables, beta, ties, False, "row")
    atol = 1e-10 * max(1.0, np.abs(score).max(initial=0))
    np.testing.assert_allclose(out["score"], score, atol=atol)
    np.testing.assert_allclose(out["martingale"], martingale, atol=1e-10)
    # Weighted and summed: the total score, and no excess of events.
    out = send(api.wce_scores, rows, terms, tables, beta, ties, True)
    total = dense.sums(beta)[1]
    np.testing.assert_allclose(
        out["score"].sum(axis=0), total, atol=100 * atol * rows["stop"].size
    )
    expected = (rows["weight"] * martingale).sum()
    assert out["martingale"].sum() == pytest.approx(expected, abs=1e-9)
    assert out["score"].shape == (out["martingale"].size, beta.size)


def test_dropped_columns_are_zero_and_the_optimum_has_no_score():
    rows, terms, tables = random_design(4, n_subjects=60, q=2, terms=1)
    rows["x"] = np.asfortranarray(np.hstack((rows["x"], rows["x"][:, :1])))
    (fit,) = call(api, rows, terms, [tables])["fits"]
    assert np.isnan(fit["coefficients"][2])
    out = send(api.wce_scores, rows, terms, tables, fit["coefficients"], weighted=True)
    assert not out["score"][:, 2].any()
    np.testing.assert_allclose(out["score"].sum(axis=0), 0, atol=1e-8)


def test_faults():
    rows, terms, tables = random_design(4, n_subjects=30, q=1, terms=1)
    good = np.zeros(1 + tables[0].shape[1])
    for beta, code in ((good[1:], "bad_shape"), (good + np.inf, "not_finite")):
        with pytest.raises(EngineError) as caught:
            send(api.wce_scores, rows, terms, tables, beta)
        assert (caught.value.code, caught.value.arg) == (code, "coefficients")
    with pytest.raises(EngineError) as caught:
        send(api.wce_scores, rows, terms, tables, good, by="person")
    assert caught.value.code == "bad_by"
