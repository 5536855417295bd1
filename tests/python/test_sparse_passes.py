"""Passes over many drugs, against the model written out."""

import numpy as np
import pytest
from designs import random_rows, random_table, random_term
from oracles.dense import DenseCox
from vigitensor.survival.exposure import Records
from vigitensor.survival.run import Rows
from vigitensor.survival.sparse_data import prepare_sparse
from vigitensor.survival.sparse_passes import evaluate, moments, score_of, view


def drug_data(seed, n_drugs=5, table=None, q=None, n_subjects=25, last=60, rare=True):
    """Rows and records of several drugs, as lists and as one table."""
    rng = np.random.default_rng(seed)
    rows = random_rows(rng, n_subjects=n_subjects, last=last, q=q)
    table = random_table(rng) if table is None else table
    n = int(rows["subject"].max())
    terms = [random_term(rng, n, last) for _ in range(n_drugs)]
    few = rare & (rng.random(n_drugs) < 0.5)  # some drugs of few people
    for term, cut in zip(terms, few):
        keep = slice(0, 6) if cut else slice(None)
        for name in term:
            term[name] = term[name][keep]
    return rows, terms, table


def engine_data(rows, terms, table, ties="efron"):
    codes = {"subject": np.int32, "stratum": np.int32, "event": np.int8}
    given = {k: np.asarray(v, codes.get(k, float)) for k, v in rows.items()}
    given["subject"] = given["subject"] - 1
    given["x"] = np.ascontiguousarray(given["x"])
    joined = {k: np.concatenate([t[k] for t in terms]) for k in terms[0]}
    drug = np.repeat(np.arange(len(terms)), [len(t["dose"]) for t in terms])
    subject = joined["subject"].astype(np.int32) - 1
    n = int(rows["subject"].max())
    records = Records(subject, joined["start"], joined["stop"], joined["dose"])
    return prepare_sparse(Rows(**given), n, records, drug, len(terms), table, ties)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("ties", ["efron", "breslow"])
def test_passes_agree_with_the_model_written_out(seed, ties):
    rows, terms, table = drug_data(seed)
    data = engine_data(rows, terms, table, ties)
    dense = DenseCox(rows, terms, [table] * len(terms), ties)
    rng = np.random.default_rng(seed + 100)
    q, n_col = data.n_cov, data.n_col
    active = np.sort(rng.choice(5, int(rng.integers(0, 6)), replace=False))
    b = np.zeros((5, n_col))
    b[active] = rng.normal(size=(active.size, n_col)) * 0.1
    gamma = rng.normal(size=q) * 0.3
    loglik, score, info = dense.sums(np.append(gamma, b.ravel()))
    at = view(data, active)
    beta = np.append(gamma, b[active].ravel())
    point = evaluate(at, beta)
    assert point.loglik == pytest.approx(loglik, rel=1e-11)
    found = moments(at, point)
    columns = np.append(
        np.arange(q), (q + active[:, None] * n_col + np.arange(n_col)).ravel()
    ).astype(int)
    size = 1 + np.abs(info).max()
    np.testing.assert_allclose(found.score, score[columns], atol=1e-10 * size)
    np.testing.assert_allclose(
        found.info, info[np.ix_(columns, columns)], atol=1e-10 * size
    )
    of_z, of_drugs = score_of(at, point, np.arange(5))
    np.testing.assert_allclose(of_z, score[:q], atol=1e-10 * size)
    np.testing.assert_allclose(of_drugs.ravel(), score[q:], atol=1e-10 * size)
    some = np.array([1, 3])
    np.testing.assert_allclose(
        score_of(at, point, np.sort(some))[1],
        of_drugs[np.sort(some)],
        atol=1e-12 * size,
    )
