"""What files of a table hold, before any of their values is read.

DuckDB takes the types of the first file for all and converts the rest, so that
an id "0012" of a second file would become 12. The columns of every file are
therefore looked at, and the R side decides whether they agree.
"""

from __future__ import annotations

import csv
import gzip
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


SEPARATORS = ",;\t|"


def csv_columns(
    files: Sequence[str], separator: str | None, encoding: str
) -> dict[str, list[Any]]:
    """Names in the first line of each CSV file, and what parts the columns.

    Nothing is guessed from the lines below: what does not fit the first line is a
    fault of the file, found when it is read.

    Returns
    -------
    dict
        ``file`` (positions from 0) and ``name``, one entry per file and column;
        ``separator``, one per file.
    """
    found: dict[str, list[Any]] = {"file": [], "name": [], "separator": []}
    for place, path in enumerate(files):
        try:
            used, names = _first_line(path, separator, encoding)
        except (OSError, UnicodeError, EOFError, csv.Error) as error:
            raise unreadable(error, path) from error
        if not names:
            raise EngineError(
                f"The file {os.path.basename(path)} is empty: "
                "not even the names of columns are there.",
                code="source_file",
            )
        found["separator"].append(used)
        found["file"].extend([place] * len(names))
        found["name"].extend(names)
    return found


def _first_line(
    path: str, separator: str | None, encoding: str
) -> tuple[str, list[str]]:
    """The separator of a file (that which its first line has most of), and names."""
    codec = "utf-8-sig" if encoding == "utf-8" else encoding

    def names(by: str, strict: bool) -> list[str]:
        with _open_text(path, codec) as file:
            return next(csv.reader(file, delimiter=by, strict=strict), [])

    if separator is None:
        separator = max(SEPARATORS, key=lambda by: len(names(by, False)))
    found = names(separator, True)
    # DuckDB 1.4 then finds no row at all, in silence.
    if any('"' in name and separator in name for name in found):
        with _open_text(path, encoding) as file:
            if file.read(1) == "\ufeff":
                raise EngineError(
                    f"The file {os.path.basename(path)} has a name of a column with "
                    "quotes and separators, after a byte order mark: rename it, or "
                    "write the file without the mark.",
                    code="source_file",
                )
    return separator, found


def _open_text(path: str, codec: str) -> Any:
    if path.lower().endswith(".gz"):
        return gzip.open(path, "rt", encoding=codec, newline="")
    return open(path, encoding=codec, newline="")


def csv_reader(
    files: Sequence[str],
    separator: str,
    encoding: str,
    missing: Sequence[str],
    names: Sequence[str],
) -> str:
    """The table function of DuckDB that reads these files, all columns as text."""
    columns = ", ".join(f"{literal(name)}: 'VARCHAR'" for name in names)
    return (
        f"read_csv({literals(files)}, header = true, auto_detect = false, "
        f"delim = {literal(separator)}, quote = '\"', escape = '\"', "
        f"encoding = {literal(encoding)}, "
        f"nullstr = {literals(missing)}, columns = {{{columns}}}, "
        "filename = 'file of the row')"
    )
