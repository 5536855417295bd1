"""Expected events of rows, against sums over all event times written out."""

import numpy as np
import pytest
from designs import random_design, send
from oracles.dense import DenseCox
from test_scores import moderate
from vigitensor import api
from vigitensor.errors import EngineError


def case(seed):
    rows, terms, tables = random_design(seed, n_subjects=40)
    dense = DenseCox(rows, terms, tables)
    beta = moderate(dense, np.random.default_rng(seed))
    base = send(api.wce_baseline, rows, terms, tables, beta, "efron")
    return rows, terms, tables, dense, beta, base


@pytest.mark.parametrize("seed", range(12))
def test_against_dense(seed):
    rows, terms, tables, dense, beta, base = case(seed)
    n = rows["start"].size
    hazard, noise, slope = np.zeros(n), np.zeros(n), np.zeros((n, beta.size))
    for k, (risk, _, x) in enumerate(dense.sets):
        r = np.exp(x @ beta + rows["offset"][risk] - base["shift"][k])
        step = r * base["hazard"][k]
        hazard[risk] += step
        noise[risk] += r**2 * base["variance"][k]
        slope[risk] += x * step[:, None] - r[:, None] * base["mean"][k]
    found = send(api.wce_expected, rows, terms, tables, beta, base)
    there = rows["weight"] > 0
    for name, dense_sum in (("hazard", hazard), ("noise", noise), ("slope", slope)):
        size = np.abs(dense_sum).max(initial=1)
        np.testing.assert_allclose(
            found[name][there], dense_sum[there], atol=1e-10 * size
        )
    quick = send(api.wce_expected, rows, terms, tables, beta, base, False)
    assert list(quick) == ["hazard"]
    np.testing.assert_allclose(quick["hazard"], found["hazard"], rtol=1e-12)


def test_rows_add_up_and_reach_beyond_the_data():
    rows, terms, tables, _, beta, base = case(3)
    n = rows["start"].size
    middle = np.floor((rows["start"] + rows["stop"]) / 2)
    cut = middle > rows["start"]
    both = {k: np.concatenate((v, v[cut])) for k, v in rows.items()}
    both["stop"][:n][cut] = middle[cut]
    both["start"][n:] = middle[cut]
    whole = send(api.wce_expected, rows, terms, tables, beta, base)
    parts = send(api.wce_expected, both, terms, tables, beta, base)
    for name in whole:
        total = parts[name][:n].copy()
        total[cut] += parts[name][n:]
        np.testing.assert_allclose(total, whole[name], rtol=1e-9, atol=1e-12)
    # After the last event, before the first, or in a stratum without any.
    last = base["time"].max()
    away = dict(rows, start=rows["start"] + last, stop=rows["stop"] + last)
    for other in (away, dict(rows, stratum=rows["stratum"] + 9)):
        found = send(api.wce_expected, other, terms, tables, beta, base)
        assert not any(v.any() for v in found.values())
        assert found["slope"].shape == (n, beta.size)


def test_a_baseline_is_checked():
    rows, terms, tables, _, beta, base = case(1)
    for broken in ({}, None, {k: v for k, v in base.items() if k != "shift"}):
        with pytest.raises(EngineError) as problem:
            send(api.wce_expected, rows, terms, tables, beta, broken)
        assert problem.value.code == "bad_baseline"
