"""Penalised fits of many drugs, against the model written out."""

import numpy as np
import pytest
from oracles.dense import DenseCox
from test_sparse_passes import drug_data, engine_data
from vigitensor.survival.basis import cumulated, lag_basis
from vigitensor.survival.sparse_fit import Settings, penalty_at
from vigitensor.survival.sparse_path import begin, fold_path, one_step, path

TABLE = cumulated(lag_basis(14, 1, constrained="right"))
J = TABLE.shape[1]
STEPS = np.diff(np.vstack((np.eye(J), np.zeros((1, J)))), axis=0)


def study(seed, n_drugs=6, n_subjects=70, q=None, ties="efron", **options):
    rows, terms, table = drug_data(
        seed, n_drugs, TABLE, q, n_subjects=n_subjects, last=50, **options
    )
    dense = DenseCox(rows, terms, [TABLE] * n_drugs, ties)
    return engine_data(rows, terms, table, ties), dense


def newton(dense, columns, beta):
    """Maximum over some columns by Newton's method."""
    for _ in range(30):
        _, score, info = dense.sums(beta)
        if columns.size:
            beta = beta.copy()
            beta[columns] += np.linalg.solve(
                info[np.ix_(columns, columns)], score[columns]
            )
    return beta


def metric_written_out(dense, q, n_drugs):
    """Information of each drug where none has an effect, less that of z."""
    null = newton(dense, np.arange(q), np.zeros(dense.n_par))
    _, score, info = dense.sums(null)
    out = []
    for g in range(n_drugs):
        own = q + g * J + np.arange(J)
        z = np.arange(q)
        m = info[np.ix_(own, own)]
        if q:
            m = m - info[np.ix_(own, z)] @ np.linalg.solve(
                info[np.ix_(z, z)], info[np.ix_(z, own)]
            )
        out.append((m, score[own]))
    return out


@pytest.mark.parametrize("seed", range(4))
def test_group_path_meets_its_conditions_in_the_model_written_out(seed):
    data, dense = study(seed)
    start = begin(data, np.eye(J), "sparse", 0.0)
    metric = metric_written_out(dense, data.n_cov, data.n_drugs)
    # lambda_max^2 is the largest score test over its degrees of freedom.
    tests = [s @ np.linalg.solve(m, s) / J for m, s in metric]
    np.testing.assert_allclose(start.largest**2, tests, rtol=1e-8)
    top = start.largest.max()
    lambdas = top * np.array([1.0 + 1e-9, 1 - 1e-6, 0.7, 0.4, 0.2, 0.1])
    steps = path(start, lambdas, Settings(tol=1e-9))
    assert len(steps) == lambdas.size
    assert not steps[0].b.any()
    assert steps[1].b.any(axis=1).sum() == 1
    for step in steps:
        assert step.converged
        beta = np.append(step.gamma, step.b.ravel())
        loglik, score, _ = dense.sums(beta)
        assert step.loglik == pytest.approx(loglik, rel=1e-11)
        np.testing.assert_allclose(score[: data.n_cov], 0, atol=1e-6)
        for g, (m, _) in enumerate(metric):
            s, b = score[data.n_cov + g * J :][:J], step.b[g]
            bound = step.lam * np.sqrt(J)
            if b.any():
                expected = bound * m @ b / np.sqrt(b @ m @ b)
                root = np.linalg.cholesky(np.linalg.inv(m))
                np.testing.assert_allclose(root.T @ (s - expected), 0, atol=1e-7)
            else:
                assert np.sqrt(s @ np.linalg.solve(m, s)) <= bound + 1e-7


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("kind", ["sparse", "fused"])
def test_two_part_penalty_cannot_be_improved(seed, kind):
    data, dense = study(seed, q=1)
    second = np.eye(J) if kind == "sparse" else STEPS
    start = begin(data, second, kind, 0.6)
    metric = metric_written_out(dense, data.n_cov, data.n_drugs)
    lambdas = start.largest.max() * np.array([1 + 1e-9, 1 - 1e-6, 0.5, 0.25])
    steps = path(start, lambdas, Settings(alpha=0.6, tol=1e-9))
    assert not steps[0].b.any() and steps[1].b.any()

    def value(step, beta):
        total = dense.sums(beta)[0]
        for g, (m, _) in enumerate(metric):
            b = beta[data.n_cov + g * J :][:J]
            size = np.sqrt(np.diag(m))
            if kind == "fused":
                size = np.full(J, np.sqrt(np.mean(size**2)))
            total -= 0.4 * step.lam * np.sqrt(J * (b @ m @ b))
            total -= 0.6 * step.lam * np.abs(second @ (size * b)).sum()
        return total

    rng = np.random.default_rng(seed)
    for step in steps[1:]:
        assert step.converged
        beta = np.append(step.gamma, step.b.ravel())
        best = value(step, beta)
        for _ in range(150):
            way = rng.normal(size=beta.size) * (rng.random(beta.size) < 0.3)
            if rng.random() < 0.5:  # keep what is zero, and equal
                way = way * (beta != 0)
            way *= 1e-4
            assert value(step, beta + way) <= best + 1e-11
    if kind == "sparse":
        assert any(np.any((s.b == 0) & s.b.any(axis=1)[:, None]) for s in steps)


def test_no_penalty_is_maximum_likelihood():
    data, dense = study(3, n_drugs=3, n_subjects=150, rare=False)
    start = begin(data, np.eye(J), "sparse", 0.0)
    top = start.largest.max()
    last = path(start, np.array([top, 0.3 * top, 0.0]), Settings(tol=1e-9))[-1]
    beta = newton(dense, np.arange(dense.n_par), np.zeros(dense.n_par))
    np.testing.assert_allclose(np.append(last.gamma, last.b.ravel()), beta, atol=1e-7)
    # A step of Newton's method from there goes nowhere.
    end = one_step(start, last)
    np.testing.assert_allclose(end.coefficients, beta, atol=1e-7)
    np.testing.assert_allclose(
        end.var, np.linalg.inv(dense.sums(beta)[2]), rtol=1e-6, atol=1e-10
    )


def test_a_lost_drug_is_called_back(monkeypatch):
    """With a rule that lets nobody in, the conditions bring all in."""
    from vigitensor.survival import sparse_fit

    data, _ = study(1)
    start = begin(data, np.eye(J), "sparse", 0.0)
    lambdas = start.largest.max() * np.array([0.8, 0.5, 0.3])
    honest = path(start, lambdas, Settings())
    real = sparse_fit.penalty_at

    def strict(lam, metric, alpha):
        at = real(lam, metric, alpha)
        wanted = np.min(np.abs(lambdas - lam)) < 1e-12
        return at if wanted else sparse_fit.Penalty(at.near + 1e9, at.along, at.rows)

    monkeypatch.setattr(sparse_fit, "penalty_at", strict)
    lame = path(start, lambdas, Settings())
    assert sum(s.recalled for s in lame) > 0
    for one, other in zip(honest, lame):
        np.testing.assert_allclose(one.b, other.b, atol=1e-6)


def test_a_fold_is_the_data_without_its_people():
    rows, terms, table = drug_data(5, 4, TABLE, 1, n_subjects=100, last=50)
    whole = engine_data(rows, terms, table)
    keep = rows["subject"] % 5 != 0
    some = {k: v[keep] for k, v in rows.items()}
    rows_left = {k: (v * keep if k == "weight" else v) for k, v in rows.items()}
    part = engine_data(rows_left, terms, table)
    start = begin(whole, np.eye(J), "sparse", 0.0)
    lambdas = start.largest.max() * np.array([0.9, 0.5])
    steps, inside, outside = fold_path(start, part, lambdas, Settings(tol=1e-9))
    dense = DenseCox(some, terms, [TABLE] * 4)
    full = DenseCox(rows, terms, [TABLE] * 4)
    for step, a, b in zip(steps, inside, outside):
        beta = np.append(step.gamma, step.b.ravel())
        assert dense.sums(beta)[0] == pytest.approx(a, rel=1e-10)
        assert full.sums(beta)[0] == pytest.approx(b, rel=1e-10)


def test_units_of_doses_change_nothing():
    rows, terms, table = drug_data(2, 4, TABLE, 2, n_subjects=100, last=50)
    scales = np.array([1e-4, 1.0, 37.0, 1e5])
    other = [{**t, "dose": t["dose"] * s} for t, s in zip(terms, scales)]
    fits = []
    for these in (terms, other):
        start = begin(engine_data(rows, these, table), STEPS, "fused", 0.3)
        top = start.largest.max()
        fits.append(path(start, top * np.array([0.6, 0.2]), Settings(0.3, 1e-9)))
    for one, two in zip(*fits):
        assert one.lam == pytest.approx(two.lam, rel=1e-9)
        np.testing.assert_allclose(two.b * scales[:, None], one.b, atol=1e-7)


def test_penalty_of_a_drug_that_nobody_took_at_risk_is_not_asked():
    rows, terms, table = drug_data(2, 3, TABLE, 1, n_subjects=60, last=50)
    terms[1] = {k: v[:1].copy() for k, v in terms[1].items()}
    terms[1]["start"][:], terms[1]["stop"][:] = 500.0, 510.0
    start = begin(engine_data(rows, terms, table), np.eye(J), "sparse", 0.0)
    assert start.metric.rank.tolist() == [J, 0, J]
    assert start.largest[1] == 0
    step = path(start, start.largest.max() * np.array([0.3]), Settings())[0]
    assert step.converged and not step.b[1].any()
    assert penalty_at(1.0, start.metric, 0.0).near[1] == 0
