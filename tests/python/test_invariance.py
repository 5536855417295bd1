"""What must not change the answer, and what must not change a bit of it."""

import numpy as np
import pytest
from cox_designs import arguments, random_cox
from designs import call, random_design
from vigitensor import api


def coefficients(rows, terms, tables, **kw):
    out = call(api, rows, terms, [tables], **kw)["fits"][0]
    return out["coefficients"], out["loglik"]


def close(one, two):
    """Equal where the data say something: to 1e-8, as the optimum is."""
    np.testing.assert_allclose(one[1], two[1], rtol=1e-11)
    np.testing.assert_allclose(one[0], two[0], rtol=1e-7, atol=1e-8)


SEEDS = [3, 11, 12, 14, 20]


def regular(seed):
    """A design with a finite optimum and spline bases."""
    return random_design(seed, n_subjects=80, q=2, terms=1)


@pytest.mark.parametrize("seed", SEEDS)
def test_order_of_rows_and_records(seed):
    rows, terms, tables = regular(seed)
    rng = np.random.default_rng(0)
    order = rng.permutation(rows["start"].size)
    shuffled = {k: v[order] for k, v in rows.items()}
    order = rng.permutation(terms[0]["dose"].size)
    records = [{k: v[order] for k, v in terms[0].items()}]
    close(coefficients(rows, terms, tables), coefficients(shuffled, records, tables))


@pytest.mark.parametrize("seed", SEEDS)
def test_labels_of_subjects(seed):
    rows, terms, tables = regular(seed)
    label = np.random.default_rng(1).permutation(500) + 1
    other = {**rows, "subject": label[rows["subject"]]}
    records = [{**terms[0], "subject": label[terms[0]["subject"]]}]
    close(coefficients(rows, terms, tables), coefficients(other, records, tables))


@pytest.mark.parametrize("shift", [-1000.0, 7.0, 20000.0])
def test_shifted_time(shift):
    rows, terms, tables = regular(SEEDS[0])
    moved = {**rows, "start": rows["start"] + shift, "stop": rows["stop"] + shift}
    records = [
        {**t, "start": t["start"] + shift, "stop": t["stop"] + shift} for t in terms
    ]
    close(coefficients(rows, terms, tables), coefficients(moved, records, tables))


@pytest.mark.parametrize("seed", SEEDS)
def test_split_rows_and_records(seed):
    rows, terms, tables = regular(seed)
    long = np.flatnonzero(rows["stop"] - rows["start"] >= 2)
    first = {k: v.copy() for k, v in rows.items()}
    first["stop"][long] = rows["start"][long] + 1
    first["event"][long] = 0
    second = {k: v[long] for k, v in rows.items()}
    second["start"] = rows["start"][long] + 1
    split = {k: np.concatenate((first[k], second[k])) for k in rows}
    t = terms[0]
    middle = t["start"] + np.ceil((t["stop"] - t["start"]) / 2)
    two = middle < t["stop"]
    records = [{
        "subject": np.concatenate((t["subject"], t["subject"][two])),
        "start": np.concatenate((t["start"], middle[two])),
        "stop": np.concatenate((np.where(two, middle, t["stop"]), t["stop"][two])),
        "dose": np.concatenate((t["dose"], t["dose"][two])),
    }]  # fmt: skip
    close(coefficients(rows, terms, tables), coefficients(split, records, tables))


def test_overlapping_records_are_one_of_their_sum():
    rows, terms, tables = regular(SEEDS[1])
    t = terms[0]
    twice = [{k: np.concatenate((v, v)) for k, v in t.items()}]
    doubled = [{**t, "dose": 2 * t["dose"]}]
    close(coefficients(rows, twice, tables), coefficients(rows, doubled, tables))


def test_scale_of_dose():
    rows, terms, tables = regular(SEEDS[1])
    for factor in (1e-6, 500.0, 1e8):
        scaled = [{**terms[0], "dose": factor * terms[0]["dose"]}]
        one, loglik = coefficients(rows, terms, tables)
        two, loglik_two = coefficients(rows, scaled, tables)
        two[2:] *= factor
        close((one, loglik), (two, loglik_two))


@pytest.fixture
def many_slices(monkeypatch):
    from vigitensor.survival import exposure, problem

    monkeypatch.setattr(problem, "_NS_SLICE", 3000)
    monkeypatch.setattr(exposure, "_ROWS_PER_SLICE", 10)
    yield
    api.set_threads(None)


@pytest.mark.usefixtures("many_slices")
@pytest.mark.parametrize("seed", SEEDS)
def test_threads_give_the_same_bits(seed):
    rows, terms, tables = regular(seed)
    results = []
    for threads in (1, 2, 3):
        api.set_threads(threads)
        results.append(call(api, rows, terms, [tables])["fits"][0])
    for other in results[1:]:
        for name in ("coefficients", "var", "loglik", "score"):
            np.testing.assert_array_equal(results[0][name], other[name])


@pytest.mark.usefixtures("many_slices")
def test_slices_do_not_matter():
    rows, terms, tables = regular(SEEDS[2])
    sliced = coefficients(rows, terms, tables)
    from vigitensor.survival import problem

    problem._NS_SLICE = 10**9
    close(sliced, coefficients(rows, terms, tables))


def test_inputs_are_not_written_to():
    rows, terms, tables = regular(SEEDS[0])
    arrays = [*rows.values(), *terms[0].values(), *tables]
    copies = [a.copy() for a in arrays]
    for a in arrays:
        a.setflags(write=False)
    call(api, rows, terms, [tables])
    for a, b in zip(arrays, copies):
        np.testing.assert_array_equal(a, b)


def test_grid_equals_single_fits():
    """Designs of different cutoffs share the data, not the answer."""
    rows, terms, _ = regular(SEEDS[3])
    from vigitensor.survival.basis import cumulated, lag_basis

    grid = [[cumulated(lag_basis(m, 1, constrained="right"))] for m in (8, 15, 11)]
    together = call(api, rows, terms, grid)
    for design, fit in zip(grid, together["fits"]):
        alone = call(api, rows, terms, [design])["fits"][0]
        np.testing.assert_array_equal(fit["coefficients"], alone["coefficients"])
        assert fit["n_pairs"] == alone["n_pairs"]
    assert together["n_pairs"] == max(f["n_pairs"] for f in together["fits"])
    assert together["covered"][0].size == 15


def test_where_a_dropped_column_begins_does_not_matter():
    """Its starting value would otherwise stay in the model without being told."""
    rows = random_cox(8, right=False, q=2, n_subjects=40)
    x = rows["x"]
    wide = {**rows, "x": np.asfortranarray(np.c_[x, x[:, 0] - 2 * x[:, 1]])}
    fit = api.fit_cox(**arguments(rows))
    for init in ([0.0, 0.0, 0.7], [0.2, -0.1, -0.4]):
        started = api.fit_cox(**arguments(wide), init=np.array(init))
        np.testing.assert_allclose(started["loglik"][1], fit["loglik"][1], rtol=1e-12)
        np.testing.assert_allclose(
            started["coefficients"][:2], fit["coefficients"], atol=1e-8
        )
        np.testing.assert_allclose(started["residuals"], fit["residuals"], atol=1e-8)
