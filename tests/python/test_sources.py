"""Files as DuckDB reads them: columns, missing values, faults without values."""

from __future__ import annotations

import gzip
import os
import resource
import signal
import threading
import time

import duckdb
import numpy as np
import pytest
from vigitensor import api
from vigitensor.errors import EngineError


def test_columns_cross_as_r_holds_them():
    answer = api.source_query(
        "SELECT * FROM (VALUES (1::TINYINT, 9007199254740993, 0.5, true, 'b'), "
        "(NULL, NULL, NULL, NULL, NULL), (2, -1, 1.5, false, 'a'), "
        "(3, 0, 'NaN'::DOUBLE, true, 'b')) t(a, b, c, d, e)"
    )
    assert answer["names"] == ["a", "b", "c", "d", "e"]
    assert answer["kinds"] == ["integer", "integer64", "double", "logical", "string"]
    a, b, c, d, e = answer["columns"]
    assert a.dtype == np.int32
    assert a.tolist() == [1, -(2**31), 2, 3]
    assert b.dtype == np.float64
    assert b.view(np.int64).tolist() == [9007199254740993, -(2**63), -1, 0]
    # R's NA is a NaN of its own; a NaN stays another one.
    assert c.view(np.uint64)[1] == 0x7FF00000000007A2
    assert c[[0, 2]].tolist() == [0.5, 1.5]
    assert np.isnan(c[3])
    assert c.view(np.uint64)[3] != 0x7FF00000000007A2
    assert d.tolist() == [1, -(2**31), 0, 1]
    assert e["levels"] == ["b", "a"]
    assert e["codes"].tolist() == [1, -(2**31), 2, 1]


def test_no_rows_have_types():
    answer = api.source_query("SELECT 1 AS a, 'x' AS b WHERE 1 = 0")
    assert answer["kinds"] == ["integer", "string"]
    assert answer["columns"][1]["levels"] == []


def test_nested_parquet_columns_are_one(tmp_path):
    path = str(tmp_path / "n.parquet")
    duckdb.sql(
        f"COPY (SELECT 1 AS a, {{'x': [1, 2], 'y': 'z'}} AS b, 'q' AS c) "
        f"TO '{path}' (FORMAT parquet)"
    )
    found = api.source_parquet_columns(path)
    assert found["name"] == ["a", "b", "c"]
    assert found["type"] == ["INTEGER", "NESTED", "VARCHAR"]


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_first_line_of_csv(tmp_path, separator):
    path = tmp_path / "a.csv.gz"
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.write(separator.join(['"a, ""b"""', "c"]) + "\n1" + separator + "2\n")
    found = api.source_csv_columns([str(path)], None, "utf-8")
    assert found["separator"] == [separator]
    assert found["name"] == ['a, "b"', "c"]
    sql = api.source_csv_reader(str(path), separator, "utf-8", ["NA"], found["name"])
    answer = api.source_query(f'SELECT "a, ""b""" AS x, c FROM {sql}')
    assert [column["levels"] for column in answer["columns"]] == [["1"], ["2"]]


def test_a_byte_order_mark_before_the_names(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text('"a ""b""",c\n1,2\n', encoding="utf-8-sig")
    found = api.source_csv_columns(str(path), None, "utf-8")
    assert found["name"] == ['a "b"', "c"]
    sql = api.source_csv_reader(str(path), ",", "utf-8", ["NA"], found["name"])
    assert api.source_query(f"SELECT c FROM {sql}")["columns"][0]["levels"] == ["2"]
    # Here DuckDB would lose the rows.
    path.write_text('"a, ""b""",c\n1,2\n', encoding="utf-8-sig")
    with pytest.raises(EngineError) as caught:
        api.source_csv_columns(str(path), None, "utf-8")
    assert caught.value.code == "source_file"


@pytest.mark.parametrize(
    ("sql", "code"),
    [
        ("SELECT CAST('4711' || 'x' AS INTEGER)", "source_types"),
        ("SELECT * FROM read_parquet('nowhere.parquet')", "source_file"),
        ("SELECT nothing4711", "source_column"),
        ("SELECT sum('4711' || 'x')", "source_query"),
        ("SELECT FROM WHERE 4711", "source_query"),
    ],
)
def test_refused_queries_show_no_values(sql, code):
    with pytest.raises(EngineError) as caught:
        api.source_query(sql)
    assert caught.value.code == code
    assert "4711" not in str(caught.value)


def test_memory_that_does_not_suffice(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.gettempdir", lambda: "/dev/null")
    with pytest.raises(EngineError) as caught:
        api.source_query(
            "SELECT i, string_agg(j::VARCHAR || i::VARCHAR, ',' ORDER BY j) FROM "
            "range(3000) t(i), range(3000) s(j) GROUP BY i",
            memory_mb=20,
        )
    assert caught.value.code == "memory"


@pytest.fixture
def small_files():
    """A limit on the size of files stands in for a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, ignored)


def test_a_full_disk_for_what_does_not_fit_into_memory(small_files):
    with pytest.raises(EngineError) as caught:
        api.source_query(
            "SELECT * FROM (SELECT i, hash(i) AS h FROM range(3000000) t(i)) "
            "ORDER BY h",
            memory_mb=30,
        )
    assert caught.value.code == "disk_full"
    assert "temporary files" in str(caught.value)


def test_a_full_disk_for_a_file_that_is_written(tmp_path, small_files):
    csv, out = tmp_path / "t.csv", tmp_path / "t.parquet"
    csv.write_text("a\n" + "\n".join(str(k * 7919 % 10007) for k in range(9000)))
    resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, -1))
    with pytest.raises(EngineError) as caught:
        api.source_write_parquet(str(csv), str(out), ["a"], ["INTEGER"])
    assert caught.value.code == "disk_full"
    assert not out.exists()
    assert not out.with_suffix(".parquet.part").exists()


def test_ctrl_c_ends_a_query():
    begun = time.monotonic()
    threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        api.source_query(
            "SELECT count(*) FROM range(300000) a(i), range(300000) b(j) "
            "WHERE i * j % 7 = 3"
        )
    assert time.monotonic() - begun < 10
    assert api.source_query("SELECT 2 AS a")["columns"][0].tolist() == [2]
