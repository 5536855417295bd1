"""The surface R calls: faults by code and argument, reports, cache, imports."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from designs import call, random_design
from vigitensor import api, cache, device
from vigitensor.errors import EngineError

SOURCES = Path(__file__).resolve().parents[2] / "inst" / "python"


def small():
    rows, terms, tables = random_design(5, n_subjects=30, q=1, terms=1)
    return rows, terms[0], tables[0]


def fault(rows, term, table, ties="efron", **control):
    with pytest.raises(EngineError) as caught:
        call(api, rows, [term], [[table]], ties, **control)
    return caught.value.code, caught.value.arg


@pytest.mark.parametrize(
    ("column", "change", "code"),
    [
        ("start", lambda v: v[:, None], "bad_shape"),
        ("stop", lambda v: v[:-1], "bad_shape"),
        ("stop", lambda v: np.where(np.arange(v.size) == 3, np.nan, v), "not_finite"),
        ("stop", lambda v: np.where(np.arange(v.size) == 3, -99, v), "bad_interval"),
        ("event", lambda v: v * 2, "bad_event"),
        ("event", lambda v: v * 0, "no_event"),
        ("stratum", lambda v: v - 1, "bad_code"),
        ("subject", lambda v: v - 1, "bad_code"),
        ("offset", lambda v: v + np.inf, "not_finite"),
        ("weight", lambda v: -v - 1, "bad_weight"),
        ("weight", lambda v: v[:, None], "bad_shape"),
        ("x", lambda v: v[:-1], "bad_shape"),
        ("x", lambda v: v * np.nan, "not_finite"),
        ("x", lambda v: np.full(v.shape, "a"), "bad_type"),
        ("stop", lambda v: v + 0.5, "time_not_whole"),
    ],
)
def test_faults_of_rows(column, change, code):
    rows, term, table = small()
    rows[column] = change(rows[column])
    found, arg = fault(rows, term, table)
    assert found == code
    assert arg == ("event" if code == "no_event" else column)


@pytest.mark.parametrize(
    ("column", "change", "code"),
    [
        ("subject", lambda v: v * 0, "bad_code"),
        ("subject", lambda v: v + 0.5, "bad_code"),
        ("start", lambda v: v + 0.5, "time_not_whole"),
        ("stop", lambda v: v * 0 - 500, "bad_interval"),
        ("dose", lambda v: v * np.nan, "not_finite"),
        ("dose", lambda v: v[1:], "bad_shape"),
    ],
)
def test_faults_of_records(column, change, code):
    rows, term, table = small()
    found, arg = fault(rows, {**term, column: change(term[column])}, table)
    assert found == code
    assert arg.startswith("terms[1]")


def test_faults_of_designs():
    rows, term, table = small()
    assert fault(rows, term, table + 1)[0] == "bad_table"
    assert fault(rows, term, table[:1])[0] == "bad_table"
    assert fault(rows, term, table[:, 0])[0] == "bad_shape"
    no_dose = {k: v for k, v in term.items() if k != "dose"}
    assert fault(rows, no_dose, table)[0] == "bad_design"
    with pytest.raises(EngineError) as caught:
        call(api, rows, [term], [[table, table]])
    assert caught.value.code == "bad_design"
    with pytest.raises(EngineError) as caught:
        call(api, rows, [term], [])
    assert caught.value.code == "bad_design"


def test_faults_of_settings():
    rows, term, table = small()
    assert fault(rows, term, table, ties="exact") == ("bad_ties", "ties")
    assert fault(rows, term, table, max_it=3) == ("bad_control", "max_it")
    assert fault(rows, term, table, max_iter=-1) == ("bad_control", "max_iter")
    with pytest.raises(EngineError) as caught:
        api.set_threads(0)
    assert caught.value.code == "bad_threads"


def test_messages_name_no_value():
    """Positions and counts only: times and doses of patients stay unsaid."""
    rows, term, table = small()
    rows["stop"][3] = -98765
    with pytest.raises(EngineError) as caught:
        call(api, rows, [term], [[table]])
    assert "98765" not in str(caught.value)
    assert "1 of" in str(caught.value)


def test_max_iter_is_said():
    rows, term, table = small()
    (fit,) = call(api, rows, [term], [[table]], max_iter=1)["fits"]
    assert not fit["converged"]
    assert fit["iterations"] == 1
    (fit,) = call(api, rows, [term], [[table]], max_iter=0)["fits"]
    assert fit["loglik"][0] == fit["loglik"][1]


def test_constant_and_collinear_columns_are_dropped():
    rows, term, table = small()
    one = rows["x"][:, :1]
    rows["x"] = np.asfortranarray(np.hstack((one, 0 * one + 0.1, 2 * one - 5)))
    (fit,) = call(api, rows, [term], [[table]])["fits"]
    assert np.isnan(fit["coefficients"][:3]).tolist() == [False, True, True]
    assert not fit["var"][1:3].any()
    assert not fit["infinite"].any()


def test_lags_that_nobody_reaches():
    """A dose only in the last two units before the end of all follow-up."""
    n = 20
    rows = {
        "start": np.zeros(n), "stop": np.full(n, 10.0), "event": np.ones(n, int),
        "stratum": np.ones(n, int), "subject": np.arange(1, n + 1),
        "weight": np.ones(n), "offset": np.zeros(n), "x": np.zeros((n, 0)),
    }  # fmt: skip
    term = {
        "subject": np.arange(1, 11), "start": np.full(10, 8.0),
        "stop": np.full(10, 10.0), "dose": np.ones(10),
    }  # fmt: skip
    table = np.concatenate((np.zeros((1, 1)), np.arange(1.0, 7)[:, None]))
    out = call(api, rows, [term], [[table]])
    assert out["covered"][0].tolist() == [True, True, False, False, False, False]
    assert out["exposed_events"] == 10
    assert out["n_pairs"] == 10


def test_report():
    report = api.engine_report()
    for name in ("python", "numpy", "numba", "llvmlite", "threadpoolctl", "cache_dir"):
        assert isinstance(report[name], str)
    assert report["threads"] >= 1
    assert report["cache_warm"] in (True, False)
    assert [e["engine"] for e in report["engines"]] == list(device.ENGINES)


def python(code, **env):
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(SOURCES), **env},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_import_is_light():
    """`vigitensor.api` starts neither Numba nor a thread."""
    out = python(
        "import sys, json, threading, vigitensor.api as a; a.engine_report();"
        "print(json.dumps([[m for m in ('numba', 'llvmlite', 'torch', 'threadpoolctl')"
        " if m in sys.modules], threading.active_count()]))"
    )
    assert json.loads(out) == [[], 1]


def test_cache_is_ours_and_private(tmp_path):
    """The folder is the caller's choice; Numba's own setting is left alone."""
    folder = tmp_path / "kernels"
    out = python(
        "from vigitensor import cache; import os;"
        "cache.load_kernels('vigitensor.kernels_math');"
        "import numba; print(cache.cache_dir());"
        "print(repr(numba.config.CACHE_DIR), os.environ.get('NUMBA_CACHE_DIR'));"
        "print(cache.is_warm())",
        VIGITENSOR_CACHE_DIR=str(folder), NUMBA_CACHE_DIR=str(tmp_path / "own"),
    ).splitlines()  # fmt: skip
    assert Path(out[0]).parent == folder
    assert list(Path(out[0]).rglob("*.nbi"))
    assert out[1] == f"{str(tmp_path / 'own')!r} {tmp_path / 'own'}"
    assert out[2] == "False"
    assert folder.stat().st_mode & 0o077 == 0
    assert not (tmp_path / "own").exists()


def test_cache_key_follows_the_sources(tmp_path, monkeypatch):
    other = tmp_path / "copy"
    other.mkdir()
    for path in cache._PACKAGE_DIR.rglob("*.py"):
        to = other / path.relative_to(cache._PACKAGE_DIR)
        to.parent.mkdir(exist_ok=True)
        to.write_bytes(path.read_bytes())
    monkeypatch.setattr(cache, "_PACKAGE_DIR", other)
    cache.cache_key.cache_clear()
    one = cache.cache_key()
    cache.cache_key.cache_clear()
    assert cache.cache_key() == one
    with (other / "kernels_math.py").open("a") as file:
        file.write("# changed\n")
    cache.cache_key.cache_clear()
    assert cache.cache_key() != one
    monkeypatch.undo()
    cache.cache_key.cache_clear()


FIRST_CALLS = {
    "fit_wce": "a.fit_wce(**rows, terms=[term], designs=[[table]], ties='efron')",
    "wce_scores": "a.wce_scores(**rows, terms=[term], design=[table],"
    " coefficients=np.zeros(rows['x'].shape[1] + np.asarray(table).shape[1]))",
    "fit_wce_many": "a.fit_wce_many(**rows, terms=[term], design=[table],"
    " coefficients=np.zeros(rows['x'].shape[1] + np.asarray(table).shape[1]),"
    " replicates={'kind': 'multinomial', 'seed': 1, 'first': 1, 'count': 2})",
    "fit_cox": "a.fit_cox(**cox)",
}


@pytest.mark.parametrize("function", sorted(FIRST_CALLS))
def test_a_first_call_loads_the_kernels_listed_for_it(function):
    """A list too short compiles without a message; one too long makes users wait."""
    out = python(
        f"import json, sys; sys.path.insert(0, {str(Path(__file__).parent)!r});"
        "import numpy as np, vigitensor.api as a; from vigitensor import cache;"
        "from test_api import small; rows, term, table = small();"
        "rows['n_subjects'] = 30;"
        "cox = {k: rows[k] for k in rows if k not in ('subject', 'n_subjects')};"
        "mine = lambda: sorted(m for m in sys.modules if '.kernels_' in m);"
        "warm = cache.warm_up;"
        "cache.warm_up = lambda function=None: None;"
        f"{FIRST_CALLS[function]}; used = mine();"
        f"warm({function!r}); print(json.dumps([used, mine()]))"
    )
    used, after = json.loads(out)
    assert used == after
