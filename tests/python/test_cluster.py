"""Fits and replicates on a local Dask cluster of two processes."""

import os
import signal

import numpy as np
import pytest
from designs import random_design, send
from test_blocks import checked, cut, penalty_for
from vigitensor import api
from vigitensor.cluster import connection, spread
from vigitensor.cluster.passes import DaskPasses
from vigitensor.store.columns import ColumnStore
from vigitensor.store.design import DesignSource, pack
from vigitensor.store.local import Keeper, LocalPasses
from vigitensor.survival.blocked import fit_blocks
from vigitensor.survival.newton import Control

pytest.importorskip("distributed")


@pytest.fixture(scope="module")
def cluster():
    found = api.cluster_connect("local", 2)
    assert found["workers"] == 2
    yield connection.client()
    api.cluster_leave()
    assert not api.cluster_info()["in_use"]


def write_design(folder, blocks):
    store = ColumnStore.create(folder / "design", {"key": "test"}, durable=False)
    for k, block in enumerate(blocks):
        rows = {**vars(block.rows)}
        # As R sends them: codes count from 1.
        for name in ("stratum", "subject"):
            rows[name] = rows[name] + 1
        terms = [{**vars(t), "subject": t.subject + 1} for t in block.terms]
        store.write(k, pack(rows, terms), {"n_subjects": block.n_subjects})


@pytest.fixture(scope="module")
def problem(tmp_path_factory):
    rows, terms, design = random_design(3, n_subjects=60, terms=2)
    person, n, records = checked(rows, terms)
    folder = tmp_path_factory.mktemp("cluster")
    write_design(folder, cut(person, n, records, 5))
    source = DesignSource(folder / "design", 5, 2)
    local = fit_blocks(LocalPasses(Keeper(source, 1e9)), [design], "efron", Control())
    return folder, design, local


def assert_identical(one, other):
    for a, b in zip(one.fits, other.fits):
        np.testing.assert_array_equal(a.coefficients, b.coefficients)
        np.testing.assert_array_equal(a.var, b.var)
        np.testing.assert_array_equal(a.loglik, b.loglik)
    assert one.pairs == other.pairs


def test_two_workers_give_the_bits_of_one_process(cluster, problem):
    folder, design, local = problem
    passes = DaskPasses(cluster, folder, 5, 2, 1e9)
    found = fit_blocks(passes, [design], "efron", Control())
    assert_identical(found, local)
    # A pass moves numbers by event time, for each block, and nothing by row.
    events, p = found.n_event_times, found.fits[0].coefficients.size
    up, down = np.max(passes.traffic[2:], axis=0)
    assert up <= 8 * 5 * (2 * events + p)
    assert down <= 8 * 5 * (events * p + p * p + p)
    passes.close()


def test_two_workers_choose_the_lambda_of_one_process(cluster, problem):
    folder, design, _ = problem
    source = DesignSource(folder / "design", 5, 2)
    n_cov = source.load(0).rows.x.shape[1]
    penalties = [penalty_for(n_cov, design)]
    local, there = (
        fit_blocks(passes, [design], "efron", Control(), penalties=penalties)
        for passes in (
            LocalPasses(Keeper(source, 1e9)),
            DaskPasses(cluster, folder, 5, 2, 1e9),
        )
    )
    assert_identical(there, local)
    np.testing.assert_array_equal(there.fits[0].log_lambda, local.fits[0].log_lambda)


def test_a_worker_that_dies_in_the_middle_is_survived(cluster, problem):
    folder, design, local = problem
    # Nothing is kept by the workers: they read the store for every pass.
    passes = DaskPasses(cluster, folder, 5, 2, 0.0)

    def kill(passed, block):
        if passed == 4 and not killed:
            of = passes._of[4]
            killed.append(cluster.run(os.getpid, workers=[of])[of])
            os.kill(killed[0], signal.SIGKILL)

    killed = []
    passes._watch = kill
    found = fit_blocks(passes, [design], "efron", Control())
    assert killed
    assert_identical(found, local)


def test_what_is_wrong_on_a_worker_is_told_as_it_is_here(cluster, tmp_path):
    rows, terms, design = random_design(4, n_subjects=30, terms=1)
    person, n, records = checked(rows, terms)
    write_design(tmp_path, cut(person, n, records, 3))
    file = next((tmp_path / "design" / "block-000003").glob("rows.stop*"))
    file.write_bytes(file.read_bytes()[:-1])
    passes = DaskPasses(cluster, tmp_path, 3, 1, 1e9)
    with pytest.raises(api.checks.EngineError) as error:
        fit_blocks(passes, [design], "efron", Control())
    assert error.value.code == "store_damaged"
    assert passes.lost == 0


def test_replicates_are_the_same_on_workers(cluster):
    rows, terms, design = random_design(5, n_subjects=80, terms=1)
    full = send(api.fit_wce, rows, terms, [design])["fits"][0]
    draws = {"kind": "multinomial", "seed": 7, "first": 3, "count": 21}

    def many():
        return send(
            api.fit_wce_many, rows, terms, design, full["coefficients"],
            replicates=draws,
        )  # fmt: skip

    kept, connection._client = connection._client, None
    try:
        here = many()  # and kernels are compiled
    finally:
        connection._client = kept
    spread_out = many()
    for name, value in here.items():
        np.testing.assert_array_equal(spread_out[name], value)
    # Chunks of a bootstrap follow each other: their data must not be let go.
    for first in range(1, 25):
        draws = {**draws, "first": first, "count": 2}
        assert len(many()["coefficients"]) == 2


@pytest.mark.parametrize(("count", "threads"), [(2, 1), (8, 2), (100, 2), (1000, 7)])
def test_shares_cover_all_replicates(count, threads):
    shares = spread.cut(5, count, threads)
    drawn = [k for first, n in shares for k in range(first, first + n)]
    assert drawn == list(range(5, 5 + count))


def test_nobody_at_the_address_is_an_error():
    with pytest.raises(api.checks.EngineError) as error:
        connection.connect("tcp://127.0.0.1:1")
    assert error.value.code == "no_cluster"
