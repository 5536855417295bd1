"""Fits in blocks against fits with all rows at hand."""

import numpy as np
import pytest
from designs import random_design
from vigitensor import api_inputs, cache
from vigitensor.store.local import InMemory, Keeper, LocalPasses
from vigitensor.survival import run
from vigitensor.survival.blocked import fit_blocks
from vigitensor.survival.blocks import Block
from vigitensor.survival.exposure import Records
from vigitensor.survival.newton import Control
from vigitensor.survival.smoothing import Penalty


def checked(rows, terms):
    """Rows and records as the engine has them."""
    cache.warm_up("fit_wce")
    n = int(max([rows["subject"].max(), *(t["subject"].max() for t in terms)]))
    names = ("start", "stop", "event", "stratum", "subject", "offset", "weight", "x")
    person = api_inputs.person_rows(*(rows[name] for name in names), n)
    return person, n, api_inputs.exposure_records(terms, n)


def cut(rows, n, terms, n_blocks):
    """Blocks of whole subjects, in the order of the rows."""
    edges = np.linspace(0, n, n_blocks + 1).astype(int)
    out = []
    for a, b in zip(edges[:-1], edges[1:]):
        own = (rows.subject >= a) & (rows.subject < b)
        names = ("start", "stop", "event", "stratum", "offset", "weight", "x")
        columns = {name: getattr(rows, name)[own] for name in names}
        part = run.Rows(subject=rows.subject[own] - np.int32(a), **columns)
        records = []
        for term in terms:
            mine = (term.subject >= a) & (term.subject < b)
            records.append(
                Records(
                    term.subject[mine] - np.int32(a), term.start[mine],
                    term.stop[mine], term.dose[mine],
                )
            )  # fmt: skip
        out.append(Block(part, int(b - a), records))
    return out


def penalty_for(n_cov, design, method="reml"):
    """Two parts over the columns of every basis, the first with a free column."""
    sizes = [table.shape[1] for table in design]
    parts = np.zeros((2 * len(sizes), n_cov + sum(sizes)))
    at = n_cov
    for k, size in enumerate(sizes):
        parts[2 * k, at + 1 : at + size] = np.arange(1, size) ** 2 / size
        parts[2 * k + 1, at : at + size] = 1.0 / np.arange(1, size + 1)
        at += size
    parts = parts[parts.any(axis=1)]
    rho = np.full(len(parts), 1.5) if method == "fixed" else None
    return Penalty(parts, method, rho)


def assert_same(blocked, whole, tolerance=1e-10):
    assert blocked.n_events == whole.n_events
    assert blocked.n_event_times == whole.n_event_times
    assert blocked.exposed_events == whole.exposed_events
    assert blocked.pairs == whole.pairs
    for one, other in zip(blocked.covered, whole.covered):
        np.testing.assert_array_equal(one, other)
    for one, other in zip(blocked.fits, whole.fits):
        np.testing.assert_array_equal(
            np.isnan(one.coefficients), np.isnan(other.coefficients)
        )
        np.testing.assert_array_equal(one.infinite, other.infinite)
        np.testing.assert_allclose(one.loglik, other.loglik, rtol=1e-13)
        if not other.infinite.any():
            se = np.sqrt(np.diag(other.var))
            error = np.abs(one.coefficients - other.coefficients)
            assert np.nanmax(error / np.maximum(se, 1e-300), initial=0) < tolerance
            np.testing.assert_allclose(one.var, other.var, rtol=1e-7, atol=1e-14)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("ties", ["efron", "breslow"])
def test_blocks_give_the_fit_of_the_whole(seed, ties, tmp_path):
    rows, terms, design = random_design(seed, n_subjects=30)
    person, n, records = checked(rows, terms)
    designs = [design, design[:1] + [t[:, :1] for t in design[1:]]]
    control = Control()
    whole = run.fit_grid(person, n, records, designs, ties, control)
    parts = cut(person, n, records, 1 + seed % 5)
    # A budget of nothing: every prepared block goes to disk and comes back.
    budget = 0 if seed % 2 else 1e9
    keeper = Keeper(InMemory(parts), budget, tmp_path / "prepared")
    blocked = fit_blocks(LocalPasses(keeper), designs, ties, control)
    assert_same(blocked, whole, 1e-7 if whole.fits[0].infinite.any() else 1e-8)


@pytest.mark.parametrize("method", ["reml", "aic", "fixed"])
def test_penalised_fits_in_blocks_choose_what_the_whole_does(method, tmp_path):
    # Of these the lambdas are neither zero nor infinite.
    for seed in (4, 24):
        rows, terms, design = random_design(seed, n_subjects=60)
        person, n, records = checked(rows, terms)
        penalties = [penalty_for(person.x.shape[1], design, method), None]
        designs = [design, design]
        whole = run.fit_grid(
            person, n, records, designs, "efron", Control(), penalties=penalties
        )
        keeper = Keeper(InMemory(cut(person, n, records, 3)), 0, tmp_path / str(seed))
        blocked = fit_blocks(
            LocalPasses(keeper), designs, "efron", Control(), penalties=penalties
        )
        assert_same(blocked, whole, 1e-8)
        one, other = blocked.fits[0], whole.fits[0]
        np.testing.assert_allclose(one.log_lambda, other.log_lambda, atol=1e-5)
        np.testing.assert_allclose(one.info, other.info, rtol=1e-7, atol=1e-9)
        assert not hasattr(blocked.fits[1], "log_lambda")


def test_a_large_penalised_cohort_in_blocks_begins_with_its_sample(tmp_path):
    # More rows than a thinned cohort needs, few of them with an event.
    rows, terms, design = random_design(1, n_subjects=9000)
    died = np.flatnonzero(rows["event"])
    rows["event"][died[60:]] = 0
    person, n, records = checked(rows, terms)
    penalties = [penalty_for(person.x.shape[1], design)]
    whole = run.fit_grid(
        person, n, records, [design], "efron", Control(), penalties=penalties
    )
    keeper = Keeper(InMemory(cut(person, n, records, 3)), 1e9, tmp_path)
    passes = LocalPasses(keeper)
    blocked = fit_blocks(passes, [design], "efron", Control(), penalties=penalties)
    assert_same(blocked, whole, 1e-7)
