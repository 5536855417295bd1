"""What files of a table hold, before any of their values is read.

DuckDB takes the types of the first file for all and converts the rest, so that
an id "0012" of a second file would become 12. The columns of every file are
therefore looked at, and the R side decides whether they agree.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from ..errors import EngineError
from .query import connect, literal, literals, unreadable


def parquet_columns(files: Sequence[str]) -> dict[str, list[Any]]:
    """Columns of each Parquet file.

    Returns
    -------
    dict
        ``file`` (positions from 0), ``name`` and ``type`` (DuckDB's word), one
        entry per file and column; nested columns have the type ``"NESTED"``.
    """
    found: dict[str, list[Any]] = {"file": [], "name": [], "type": []}
    with connect() as connection:
        for place, path in enumerate(files):
            query = (
                "SELECT name, duckdb_type, num_children FROM "
                f"parquet_schema({literal(path)})"
            )
            try:
                rows = connection.execute(query).fetchall()
            except Exception as error:
                raise unreadable(error, path) from error
            _add_top_level(found, place, rows)
    return found


def _add_top_level(
    found: dict[str, list[Any]], place: int, rows: list[tuple[Any, ...]]
) -> None:
    """Children follow their parent: a tree, walked by its counts."""
    at = 1

    def skip(position: int) -> int:
        children = rows[position][2] or 0
        position += 1
        for _ in range(children):
            position = skip(position)
        return position

    for _ in range(rows[0][2] or 0):
        name, kind, children = rows[at]
        found["file"].append(place)
        found["name"].append(name)
        found["type"].append("NESTED" if children else kind)
        at = skip(at)


def csv_columns(
    files: Sequence[str], separator: str | None, encoding: str
) -> dict[str, list[Any]]:
    """Names in the first line of each CSV file, and what parts the columns.

    Returns
    -------
    dict
        ``file`` (positions from 0) and ``name``, one entry per file and column;
        ``separator`` and ``quote``, one per file.
    """
    found: dict[str, list[Any]] = {
        "file": [],
        "name": [],
        "separator": [],
        "quote": [],
    }
    with connect() as connection:
        for place, path in enumerate(files):
            if os.path.getsize(path) == 0:
                raise EngineError(
                    f"The file {os.path.basename(path)} is empty: "
                    "not even the names of columns are there.",
                    code="source_file",
                )
            given = f", delim = {literal(separator)}" if separator else ""
            query = (
                "SELECT Delimiter, Quote, list_transform(Columns, c -> c.name) "
                f"FROM sniff_csv({literal(path)}, header = true, all_varchar = "
                f"true, encoding = {literal(encoding)}{given})"
            )
            try:
                rows = connection.execute(query).fetchall()
            except Exception as error:
                raise unreadable(error, path) from error
            delimiter, quote, names = rows[0]
            found["separator"].append(delimiter)
            found["quote"].append(quote.replace("(empty)", "") or '"')
            found["file"].extend([place] * len(names))
            found["name"].extend(names)
    return found


def csv_reader(
    files: Sequence[str],
    separator: str,
    quote: str,
    encoding: str,
    missing: Sequence[str],
    names: Sequence[str],
) -> str:
    """The table function of DuckDB that reads these files, all columns as text."""
    columns = ", ".join(f"{literal(name)}: 'VARCHAR'" for name in names)
    return (
        f"read_csv({literals(files)}, header = true, auto_detect = false, "
        f"delim = {literal(separator)}, quote = {literal(quote)}, "
        f"escape = {literal(quote)}, encoding = {literal(encoding)}, "
        f"nullstr = {literals(missing)}, columns = {{{columns}}}, "
        "filename = 'file of the row')"
    )
