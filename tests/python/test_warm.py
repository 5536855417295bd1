"""Where a fit begins changes how long it takes, not what it finds."""

from __future__ import annotations

import numpy as np
import pytest
from vigitensor import api_inputs as inputs
from vigitensor.survival import newton, warm
from vigitensor.survival.basis import cumulated, lag_basis
from vigitensor.survival.newton import Control
from vigitensor.survival.run import prepare

N = 60_000
CUTOFFS = (40, 60)


@pytest.fixture(scope="module")
def data():
    """A cohort with rare events, large enough for its sample to be fitted first."""
    rng = np.random.default_rng(7)
    stop = rng.integers(20, 120, N).astype(float)
    event = (rng.random(N) < 0.02).astype(int)
    rows = inputs.person_rows(
        np.zeros(N), stop, event, rng.integers(1, 3, N), np.arange(1, N + 1),
        np.zeros(N), np.ones(N), np.asfortranarray(rng.normal(size=(N, 2))), N,
    )  # fmt: skip
    begin = rng.integers(-30, 90, N).astype(float)
    term = {
        "subject": np.arange(1, N + 1),
        "start": begin,
        "stop": begin + rng.integers(5, 60, N),
        "dose": rng.integers(1, 4, N).astype(float),
    }
    records = inputs.exposure_records([term], N)
    designs = [
        [cumulated(lag_basis(m, k, constrained="right"))]
        for m in CUTOFFS
        for k in (1, 2)
    ]
    return prepare(rows, N, records, designs, "efron"), designs


def test_the_whole_optimum_from_wherever_a_fit_begins(data):
    """Coefficients to 1e-10 (optimum to rounding), variances to 5e-8: the last
    step is taken when it changes the information by less than 2e-8."""
    shared, designs = data
    path = warm.Path(Control())
    for design in designs:
        problem = shared.problem(design)
        assert len(problem.slices) > 1
        assert warm.thinned(problem) is not None
        found = path.fit(problem, design)
        cold = newton.fit(problem, Control())
        se = np.sqrt(np.diag(cold.var))
        np.testing.assert_allclose(found.coefficients, cold.coefficients, atol=1e-10)
        np.testing.assert_allclose(found.loglik, cold.loglik, rtol=1e-13)
        assert np.all(np.abs(found.var - cold.var) < 5e-8 * np.outer(se, se))
        assert found.converged and found.iterations <= cold.iterations


def test_a_sample_keeps_every_event_and_the_weight_of_the_others(data):
    shared, designs = data
    problem = shared.problem(designs[0])
    part = warm.thinned(problem)
    risk = problem.risk
    np.testing.assert_array_equal(
        part.risk.rows[part.risk.death_row], risk.rows[risk.death_row]
    )
    assert np.all(part.weight[part.risk.death_row] == 1)
    # A quarter or less of the rows; their weights make up for the others.
    assert part.weight.size < N / 4
    assert part.weight.sum() == pytest.approx(N, rel=0.01)
    # Runs of the rows that are left, each with its own.
    for k in (0, 17, part.weight.size - 1):
        whole = int(np.flatnonzero(risk.rows == part.risk.rows[k])[0])
        mine = slice(part.runs.ptr[k], part.runs.ptr[k + 1])
        theirs = slice(problem.runs.ptr[whole], problem.runs.ptr[whole + 1])
        np.testing.assert_array_equal(part.runs.lo[mine], problem.runs.lo[theirs])
        np.testing.assert_array_equal(part.runs.hi[mine], problem.runs.hi[theirs])


def test_a_likelihood_without_a_maximum_is_fitted_from_zero(data):
    """A covariate that only the dead have runs away, as it does without a sample."""
    from dataclasses import replace

    shared, designs = data
    z = shared.z.copy()
    z[:, 1] = 0.0
    z[shared.risk.death_row, 1] = 1.0
    problem = replace(shared, z=z).problem(designs[0])
    found = warm.Path(Control()).fit(problem, designs[0])
    cold = newton.fit(problem, Control())
    assert found.infinite[1] and not found.infinite[0]
    np.testing.assert_array_equal(found.coefficients, cold.coefficients)


def test_weight_functions_are_projected():
    """On the same basis nothing changes; on one that contains it neither does."""
    rng = np.random.default_rng(3)
    design = [cumulated(lag_basis(30, 1)), cumulated(lag_basis(20, 2))]
    beta = rng.normal(size=2 + 5 + 6)
    np.testing.assert_allclose(warm.projected(beta, design, design), beta, atol=1e-9)
    finer = [cumulated(lag_basis(30, 3)), design[1]]  # the old knot is one of three
    there = warm.projected(beta, design, finer)
    one = np.diff(design[0], axis=0) @ beta[2:7]
    np.testing.assert_allclose(np.diff(finer[0], axis=0) @ there[2:9], one, atol=1e-9)
