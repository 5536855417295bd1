"""Tables in files, as R asks for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from . import device
from .sources import files as _files
from .sources import query as _query
from .sources import write as _write


def source_query(sql: str, memory_mb: float | None = None) -> dict[str, Any]:
    """Run a SELECT in DuckDB; see ``sources.query.query``."""
    return _query.query(sql, device.get_threads(), memory_mb)


def source_parquet_columns(files: Sequence[str] | str) -> dict[str, list[Any]]:
    """Columns and types of each file; see ``sources.files.parquet_columns``."""
    return _files.parquet_columns(_several(files))


def source_csv_columns(
    files: Sequence[str] | str, separator: str | None, encoding: str
) -> dict[str, list[Any]]:
    """Columns of each file; see ``sources.files.csv_columns``."""
    return _files.csv_columns(_several(files), separator, encoding)


def source_csv_reader(
    files: Sequence[str] | str,
    separator: str,
    encoding: str,
    missing: Sequence[str] | str,
    names: Sequence[str] | str,
) -> str:
    """SQL that reads the files; see ``sources.files.csv_reader``."""
    return _files.csv_reader(
        _several(files),
        separator,
        encoding,
        _several(missing),
        _several(names),
    )


def source_write_parquet(
    csv: str, path: str, names: Sequence[str] | str, types: Sequence[str] | str
) -> None:
    """Write a CSV file as Parquet; see ``sources.write.csv_to_parquet``."""
    _write.csv_to_parquet(csv, path, _several(names), _several(types))


def _several(texts: Sequence[str] | str) -> list[str]:
    """R sends one string alone."""
    return [texts] if isinstance(texts, str) else list(texts)
