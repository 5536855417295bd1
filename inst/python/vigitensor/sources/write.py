"""A table into a Parquet file."""

from __future__ import annotations

import os
from collections.abc import Sequence

from .query import connect, literal, refused


def csv_to_parquet(
    csv: str, path: str, names: Sequence[str], types: Sequence[str]
) -> None:
    """Write the CSV file (header, NA unquoted where missing) as Parquet.

    ``types`` are DuckDB's, one per column. The file appears whole or not at all.
    """
    columns = ", ".join(
        f"{literal(name)}: {literal(kind)}" for name, kind in zip(names, types)
    )
    part = f"{path}.part"
    reader = (
        f"read_csv({literal(csv)}, header = true, delim = ',', quote = '\"', "
        f"escape = '\"', nullstr = 'NA', allow_quoted_nulls = false, "
        f"auto_detect = false, columns = {{{columns}}})"
    )
    with connect() as connection:
        try:
            connection.execute(
                f"COPY (SELECT * FROM {reader}) TO {literal(part)} (FORMAT parquet)"
            )
        except Exception as error:
            if os.path.exists(part):
                os.remove(part)
            raise refused(error) from error
    os.replace(part, path)
