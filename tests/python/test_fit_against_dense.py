"""The engine against the model written out, on random data sets."""

import numpy as np
import pytest
from designs import call, random_design
from oracles.dense import DenseCox
from vigitensor import api


def check(rows, terms, tables, ties):
    dense = DenseCox(rows, terms, tables, ties)
    out = call(api, rows, terms, [tables], ties)
    (fit,) = out["fits"]
    kept = np.isfinite(fit["coefficients"])
    beta = np.where(kept, fit["coefficients"], 0.0)
    scale = max(1.0, abs(dense.sums(0 * beta)[0]))
    assert fit["loglik"][0] == pytest.approx(dense.sums(0 * beta)[0], abs=1e-10 * scale)
    value, score, info = dense.sums(beta)
    assert fit["loglik"][1] == pytest.approx(value, abs=1e-10 * scale)
    assert fit["converged"] or fit["infinite"].any()
    assert out["n_pairs"] == dense.pairs
    assert out["n_event_times"] == len(dense.sets)
    assert out["n_events"] == rows["event"][rows["weight"] > 0].sum()
    for ours, theirs in zip(out["covered"], dense.covered):
        np.testing.assert_array_equal(ours, theirs)
    assert not fit["var"][~kept].any()
    assert not fit["var"][:, ~kept].any()
    if fit["infinite"].any():
        return "infinite"
    # At the optimum: what a Newton step would still gain is rounding.
    block = np.ix_(kept, kept)
    step = np.linalg.solve(info[block], score[kept])
    spread = np.sqrt(np.diag(np.linalg.inv(info[block])))
    assert np.all(np.abs(step) < 1e-8 * (spread + np.abs(beta[kept])))
    cond = np.linalg.cond(info[block])
    np.testing.assert_allclose(
        fit["var"][block], np.linalg.inv(info[block]), rtol=1e-13 * cond + 1e-9,
        atol=1e-9 * spread.max() ** 2,
    )  # fmt: skip
    np.testing.assert_allclose(fit["score"], score, atol=1e-8 * scale)
    return "all kept" if kept.all() else "some dropped"


@pytest.mark.parametrize("ties", ["efron", "breslow"])
@pytest.mark.parametrize("block", range(10))
def test_random_designs(block, ties):
    """20 designs a block, 200 for each kind of ties; most are regular."""
    kinds = [check(*random_design(100 * block + k), ties) for k in range(20)]
    assert kinds.count("all kept") >= 5


@pytest.mark.parametrize("seed", range(10))
def test_many_events_on_consecutive_times(seed):
    """Larger data, where event times have no gap and runs span blocks."""
    rows, terms, tables = random_design(seed, n_subjects=150, last=60, q=2)
    rows["event"] = np.maximum(rows["event"], np.random.default_rng(seed).random(
        rows["event"].size) < 0.3).astype(int)  # fmt: skip
    assert check(rows, terms, tables, "efron") != "infinite"


@pytest.mark.parametrize("seed", range(20))
def test_no_exposure_term(seed):
    rows, _, _ = random_design(seed, q=2)
    check(rows, [], [], "efron")


def test_blocks_longer_than_the_buffer():
    """Runs of more than 256 event indices, with and without gaps in time."""
    rng = np.random.default_rng(5)
    n, last = 60, 700
    for step in (1, 2):
        rows, terms, tables = random_design(7, n_subjects=n, last=20, q=1, terms=1)
        extra = np.arange(1, last, step).astype(float)
        k = extra.size
        more = {
            "start": extra - 1, "stop": extra, "event": np.ones(k, int),
            "stratum": np.ones(k, int), "subject": n + 1 + np.arange(k),
            "x": rng.normal(size=(k, 1)), "weight": np.ones(k), "offset": np.zeros(k),
        }  # fmt: skip
        rows["stop"][::3] = last
        rows["event"][::3] = 0
        keep = np.flatnonzero(np.bincount(rows["subject"])[rows["subject"]] == 1)
        rows = {c: np.concatenate((rows[c][keep], more[c])) for c in more}
        terms = [{
            "subject": rng.integers(1, n + k, 3 * n),
            "start": (at := rng.integers(-50, last, 3 * n)).astype(float),
            "stop": at + rng.integers(1, 400, 3 * n).astype(float),
            "dose": rng.choice([0.5, 1.0], 3 * n),
        }]  # fmt: skip
        check(rows, terms, tables, "efron")
