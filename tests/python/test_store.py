"""Columns on disk, and what a kill, a cut file or a full disk does to them."""

import json
import os
import resource
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
from designs import random_design
from test_blocks import assert_same, checked, cut, penalty_for
from test_cluster import write_design
from vigitensor import api
from vigitensor.errors import EngineError
from vigitensor.store.columns import ColumnStore
from vigitensor.store.design import DesignSource, FitState, narrow
from vigitensor.store.local import Keeper, LocalPasses
from vigitensor.survival import run
from vigitensor.survival.blocked import fit_blocks
from vigitensor.survival.newton import Control

ENGINE = str(Path(api.__file__).resolve().parents[1])


def some_columns(k=0):
    rng = np.random.default_rng(k)
    return {
        "a": rng.integers(0, 9, 1000).astype(np.int32),
        "b": rng.normal(size=1000),
        "m": np.asfortranarray(rng.normal(size=(50, 3))),
        "none": np.zeros((0, 2)),
    }


def new_store(folder, blocks=2):
    store = ColumnStore.create(folder / "store", {"key": [1, "a"]})
    for k in range(blocks):
        store.write(k, some_columns(k), {"n": k})
    return store


def code_of(call):
    with pytest.raises(EngineError) as error:
        call()
    return error.value.code


def test_columns_come_back_as_they_were(tmp_path):
    store = new_store(tmp_path)
    assert store.n_blocks() == 2
    for k in range(2):
        found = store.read(k, deep=True)
        for name, column in some_columns(k).items():
            assert found[name].dtype == column.dtype
            np.testing.assert_array_equal(found[name], column)
            assert column.size == 0 or not found[name].flags.writeable
        assert store.notes(k) == {"n": k}
    again = ColumnStore.create(tmp_path / "store", {"key": [1, "a"]})
    assert again.n_blocks() == 2
    assert code_of(lambda: ColumnStore.create(store.path, {"key": 2})) == (
        "store_differs"
    )
    assert code_of(lambda: ColumnStore.open(tmp_path)) == "no_store"
    assert code_of(lambda: ColumnStore.create(tmp_path, {})) == "store_differs"


@pytest.mark.parametrize(
    "numbers",
    [
        [0.0, 1.0, 127.0], [0.0, 128.0], [-40000.0, 1.0], [2.0**31], [0.5, 1.0],
        [-0.0, 1.0], [np.inf, 1.0], [], [2.0**53],
    ],
)  # fmt: skip
def test_narrow_numbers_are_the_same_numbers(numbers):
    given = np.array(numbers)
    found = narrow(given)
    back = found.astype(np.float64)
    np.testing.assert_array_equal(back, given)
    np.testing.assert_array_equal(np.signbit(back), np.signbit(given))


@pytest.mark.parametrize("fault", ["cut", "gone", "changed", "json", "checksum"])
def test_a_damaged_file_is_named_and_never_read(tmp_path, fault):
    store = new_store(tmp_path)
    file = store.path / "block-000002" / "b.npy"
    index = store.path / "block-000002" / "block.json"
    if fault == "cut":
        os.truncate(file, 4000)
    elif fault == "gone":
        file.unlink()
    elif fault == "changed":
        data = bytearray(file.read_bytes())
        data[-1] ^= 1
        file.write_bytes(data)
    elif fault == "json":
        index.write_bytes(index.read_bytes()[:100])
    else:
        index.write_text(index.read_text().replace('"n": 1', '"n": 7'))
    assert code_of(lambda: store.read(1, deep=True)) == "store_damaged"
    assert store.read(0)["b"].size == 1000  # the other block is whole


def test_the_stamp_tells_other_values(tmp_path):
    store = new_store(tmp_path)
    stamp = store.stamp()
    store.write(1, some_columns(1), {"n": 1})
    assert store.stamp() == stamp
    store.write(1, some_columns(2), {"n": 1})
    assert store.stamp() != stamp


def test_another_version_is_refused(tmp_path):
    store = new_store(tmp_path)
    file = store.path / "manifest.json"
    file.write_text(file.read_text().replace('"version": 1', '"version": 2'))
    assert code_of(store.settings) == "store_version"


def test_a_full_disk_leaves_the_blocks_before(tmp_path):
    """A limit on the size of files stands in for the disk."""
    store = new_store(tmp_path, 1)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (5000, before[1]))
        assert code_of(lambda: store.write(1, some_columns(1), {})) == "disk_full"
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert store.n_blocks() == 1
    assert [p.name for p in store.path.iterdir() if "part" in p.name] == []
    store.write(1, some_columns(1), {})  # and there is room again
    np.testing.assert_array_equal(store.read(1, deep=True)["b"], some_columns(1)["b"])


def test_a_writer_that_is_killed_leaves_whole_blocks(tmp_path):
    code = f"""
        import sys
        sys.path.insert(0, {ENGINE!r})
        import numpy as np
        from vigitensor.store.columns import ColumnStore
        store = ColumnStore.create({str(tmp_path / "store")!r}, {{}})
        for k in range(10000):
            store.write(k, {{"a": np.full(20000, k), "b": np.zeros(20000)}}, {{}})
    """
    child = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)])
    try:
        while not (tmp_path / "store" / "block-000003").exists():
            time.sleep(0.005)
            assert child.poll() is None
    finally:
        child.kill()
        child.wait()
    store = ColumnStore.open(tmp_path / "store")
    n = store.n_blocks()
    assert n >= 3
    for k in range(n):
        assert np.all(store.read(k, deep=True)["a"] == k)
    store.write(n, {"a": np.full(3, n)}, {})
    assert store.n_blocks() == n + 1


def test_people_in_two_blocks_are_counted(tmp_path):
    path = str(tmp_path / "store")
    api.store_create(path, {})
    for k, ids in enumerate(([1.0, 2.0], [3.0, 4.0], [9.0, 2.0])):
        api.store_write(path, k + 1, {"id": np.array(ids)}, {})
    assert api.store_repeated(path, "id") == {"repeated": 1}
    api.store_write(path, 3, {"id": ["x", "é"]}, {})
    assert api.store_read(path, 3, "id")["id"] == ["x", "é"]
    assert api.store_check(path) == {"columns": 3}


@pytest.fixture
def problem(tmp_path):
    rows, terms, design = random_design(11, n_subjects=60)
    person, n, records = checked(rows, terms)
    write_design(tmp_path, cut(person, n, records, 4))
    designs = [design, [t[:, :1] for t in design]]
    whole = run.fit_grid(person, n, records, designs, "efron", Control())
    return tmp_path, designs, len(terms), whole


def begin(folder, designs, n_terms):
    store = ColumnStore.open(folder / "design")
    n_cov = store.read(0, ["rows.x"])["rows.x"].shape[1]
    return api.fit_store(
        str(folder), 4, n_terms, n_cov, designs, "key", memory_mb=100.0
    )["number"]


def test_a_fit_on_its_thread_tells_how_far_it_is(problem):
    folder, designs, n_terms, whole = problem
    number = begin(folder, designs, n_terms)
    while not (found := api.fit_progress(number, 0.01))["done"]:
        assert 0 <= found["block"] < 4
    for one, other in zip(found["result"]["fits"], whole.fits):
        np.testing.assert_allclose(one["coefficients"], other.coefficients, rtol=1e-9)
    assert code_of(lambda: api.fit_progress(number, 0.01)) == "no_fit"
    number = begin(folder, designs, n_terms)
    assert api.fit_stop(number) == {"stopped": True}


class Kill(Exception):
    pass


@pytest.mark.parametrize("at", [3, 6, 9, 12, 15])
def test_a_fit_that_was_killed_goes_on_from_its_last_step(problem, at):
    folder, designs, n_terms, whole = problem

    def fit(watch):
        source = DesignSource(folder / "design", 4, n_terms)
        passes = LocalPasses(Keeper(source, 0, folder / "prepared"), watch)
        state = FitState(folder / "state.json", "key")
        found = fit_blocks(passes, designs, "efron", Control(), progress=state)
        return found, passes.n_passes

    def kill(passed, block):
        if passed == at and block == 2:
            raise Kill

    _, full = fit(None)
    (folder / "state.json").unlink()
    try:
        fit(kill)
    except Kill:
        pass
    else:
        assert full < at
    found, passed = fit(None)
    assert_same(found, whole, 1e-8)
    # To begin near costs a pass; steps of the fit before, and whole fits, are saved.
    assert passed <= full + 1
    if 14 <= at <= full:
        assert passed < full
    assert json.loads((folder / "state.json").read_text())["on_the_way"] == {}


@pytest.mark.parametrize("share", [0.45, 0.65, 0.95])
def test_a_penalised_fit_that_was_killed_goes_on_with_its_lambda(tmp_path, share):
    rows, terms, design = random_design(4, n_subjects=60)
    person, n, records = checked(rows, terms)
    write_design(tmp_path, cut(person, n, records, 4))
    penalties = [penalty_for(person.x.shape[1], design)] * 2
    whole = run.fit_grid(
        person, n, records, [design] * 2, "efron", Control(), penalties=penalties
    )
    seen = []

    class Watched(FitState):
        def begin(self, design):
            seen.append(super().begin(design))
            return seen[-1]

    def fit(watch):
        source = DesignSource(tmp_path / "design", 4, len(terms))
        passes = LocalPasses(Keeper(source, 0, tmp_path / "prepared"), watch)
        state = Watched(tmp_path / "state.json", "key")
        found = fit_blocks(
            passes, [design] * 2, "efron", Control(), progress=state,
            penalties=penalties,
        )  # fmt: skip
        return found, passes.n_passes

    _, full = fit(None)
    (tmp_path / "state.json").unlink()

    def kill(passed, block):
        if passed == int(share * full) and block == 2:
            raise Kill

    with pytest.raises(Kill):
        fit(kill)
    seen.clear()
    found, _ = fit(None)
    assert_same(found, whole, 1e-8)
    for one, other in zip(found.fits, whole.fits):
        np.testing.assert_allclose(one.log_lambda, other.log_lambda, atol=1e-6)
        np.testing.assert_allclose(one.info, other.info, rtol=1e-7, atol=1e-9)
    # In the first fit, at its end, and in the second one.
    assert seen[0].log_lambda is not None


def test_the_state_of_another_fit_is_not_gone_on_from(tmp_path):
    state = FitState(tmp_path / "state.json", "one")
    state.step(0, np.array([1.0, np.nan, 0.1 + 0.2]))
    again = FitState(tmp_path / "state.json", "one").begin(0)
    np.testing.assert_array_equal(again.beta, [1.0, np.nan, 0.1 + 0.2])
    assert again.log_lambda is None
    state.step(0, np.ones(2), np.array([0.1 + 0.2, -3.0]))
    again = FitState(tmp_path / "state.json", "one").begin(0)
    np.testing.assert_array_equal(again.log_lambda, [0.1 + 0.2, -3.0])
    assert FitState(tmp_path / "state.json", "two").begin(0) is None
    (tmp_path / "state.json").write_text("{ cut")
    assert FitState(tmp_path / "state.json", "one").begin(0) is None
