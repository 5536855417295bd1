"""One question to DuckDB, and its answer as arrays that R can hold.

Every call opens a connection of its own: tens of milliseconds, and no state that
a fork, an interrupt or a second caller could find in disorder. Queries come from
the R side with every name and value quoted.

Messages never repeat what DuckDB says, as that may show a value of a patient;
it stays in the trace.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import EngineError

# What R takes for a missing value.
NO_INTEGER = np.int32(-(2**31))
NO_INTEGER64 = np.int64(-(2**63))
NO_DOUBLE = np.array([0x7FF00000000007A2], np.uint64).view(np.float64)[0]

# Faults of the query itself. What is not known here comes from what is being read:
# damaged files make DuckDB complain in many words.
_OF_VALUES = (
    "ConversionException",
    "InvalidTypeException",
    "OutOfRangeException",
    "TypeMismatchException",
)
_OF_THE_QUERY = (
    "BinderException",
    "CatalogException",
    "NotImplementedException",
    "ParserException",
    "ProgrammingError",
    "SyntaxException",
)


def literal(text: str) -> str:
    """A string of SQL."""
    return "'" + text.replace("'", "''") + "'"


def literals(texts: Sequence[str]) -> str:
    """A list of strings of SQL."""
    return "[" + ", ".join(literal(text) for text in texts) + "]"


@contextmanager
def connect(
    threads: int | None = None, memory_mb: float | None = None
) -> Iterator[Any]:
    """A database in memory that may spill to the folder of temporary files.

    Nothing is ever downloaded.
    """
    try:
        import duckdb
    except ImportError as error:
        raise EngineError("duckdb is not installed.", code="no_duckdb") from error
    settings: dict[str, Any] = {
        "autoinstall_known_extensions": "false",
        "temp_directory": os.path.join(
            tempfile.gettempdir(), f"vigitensor-duckdb-{os.getpid()}"
        ),
    }
    if threads is not None:
        settings["threads"] = int(threads)
    if memory_mb is not None:
        settings["memory_limit"] = f"{int(memory_mb)}MB"
    connection = duckdb.connect(config=settings)
    try:
        connection.execute("SET enable_progress_bar = false")
        yield connection
    finally:
        connection.close()


def query(
    sql: str, threads: int | None = None, memory_mb: float | None = None
) -> dict[str, Any]:
    """The columns that a SELECT gives, in its order of rows.

    Returns
    -------
    dict
        ``names``, ``kinds`` and ``columns``. Kinds: ``"integer"`` (int32),
        ``"integer64"`` (the bits of int64 as float64), ``"double"``,
        ``"logical"`` (int32) and ``"string"`` (a dict of ``codes``, from 1, and
        ``levels``). Missing values are R's own.
    """
    with connect(threads, memory_mb) as connection:
        try:
            names, arrays = _interruptible(connection, sql)
        except Exception as error:
            raise refused(error) from error
    kinds, columns = [], []
    # Each array is let go as its column is made.
    for name in names:
        kind, column = _column(arrays.pop(name))
        kinds.append(kind)
        columns.append(column)
    return {"names": names, "kinds": kinds, "columns": columns}


def _interruptible(connection: Any, sql: str) -> tuple[list[str], dict[str, Any]]:
    """Run a query where Ctrl-C is heard.

    R's interrupts reach Python between two of its instructions, of which there is
    none while DuckDB works: a thread waits for it, and this one for the thread.
    """

    def work() -> tuple[list[str], dict[str, Any]]:
        answer = connection.execute(sql)
        names = [column[0] for column in answer.description]
        return names, answer.fetchnumpy()

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(work)
        try:
            while not wait([running], timeout=0.1).done:
                pass
        except BaseException:
            connection.interrupt()
            raise
    return running.result()


def _column(values: Any) -> tuple[str, Any]:
    mask = np.ma.getmaskarray(values) if np.ma.isMaskedArray(values) else None
    data = np.asarray(values.data if mask is not None else values)
    if mask is not None and not mask.any():
        mask = None
    kind = data.dtype.kind
    if kind == "b":
        return "logical", _filled(data.astype(np.int32), mask, NO_INTEGER)
    if kind in "iu" and data.dtype.itemsize <= 4 and data.dtype != np.uint32:
        return "integer", _filled(data.astype(np.int32, copy=False), mask, NO_INTEGER)
    if kind in "iu":
        wide = _filled(data.astype(np.int64, copy=False), mask, NO_INTEGER64)
        return "integer64", wide.view(np.float64)
    if kind == "f":
        return "double", _filled(data.astype(np.float64, copy=False), mask, NO_DOUBLE)
    return "string", _encoded(data, mask)


def _filled(
    data: npt.NDArray[Any], mask: npt.NDArray[Any] | None, value: Any
) -> npt.NDArray[Any]:
    if mask is None:
        return data
    if data.dtype == np.float64:
        # As bits: a signalling NaN may be changed by arithmetic.
        bits = data.copy().view(np.uint64)
        bits[mask] = np.array([value]).view(np.uint64)[0]
        return bits.view(np.float64)
    data = data.copy()
    data[mask] = value
    return data


def _encoded(data: npt.NDArray[Any], mask: npt.NDArray[Any] | None) -> dict[str, Any]:
    """Strings by their places among the different ones: R is slow at strings."""
    strings = data.tolist()
    if mask is not None:
        for place in np.flatnonzero(mask).tolist():
            strings[place] = None
    places: dict[Any, int] = dict.fromkeys(strings, 0)
    places.pop(None, None)
    for number, string in enumerate(places, start=1):
        places[string] = number
    levels = list(places)
    places[None] = int(NO_INTEGER)
    codes = np.fromiter(map(places.__getitem__, strings), np.int32, len(strings))
    return {"codes": codes, "levels": levels}


# ---- errors -----------------------------------------------------------------


def unreadable(error: BaseException, path: str) -> Exception:
    """An error about one file, by its name."""
    if isinstance(error, EngineError):
        return error
    name = os.path.basename(path)
    text = str(error)
    if re.search("unicode|utf-?8|encod", text, re.IGNORECASE):
        why = "is not written in the encoding that was said"
    elif isinstance(error, PermissionError) or "ermission" in text:
        why = "may not be read"
    else:
        why = "cannot be read: it is cut short, damaged or of another format"
    return EngineError(f"The file {name} {why}.", code="source_file")


def refused(error: BaseException) -> Exception:
    """An error about a query as a whole; only words of ours go into it."""
    text = str(error)
    kind = type(error).__name__
    if kind in ("OutOfMemoryException", "MemoryError"):
        return EngineError(
            "The memory (or the disk for temporary files) does not suffice for "
            "this query.",
            code="memory",
        )
    if kind == "InterruptException":
        return EngineError("The query was interrupted.", code="interrupted")
    disk = _disk_fault(error, text)
    if disk is not None:
        return disk
    if "CSV Error" in text:
        return EngineError(_csv_fault(text), code="source_file")
    if kind in _OF_VALUES:
        return EngineError(
            "A column has values that are not of the type that it should have.",
            code="source_types",
        )
    if kind == "BinderException" and re.search("column .* not found", text):
        return EngineError(
            "A column that was asked for is not there, or not in all files.",
            code="source_column",
        )
    if kind in _OF_THE_QUERY:
        return EngineError(f"DuckDB refused a query ({kind}).", code="source_query")
    named = re.search(r'"([^"]+[.](?:parquet|parq|pq|csv|tsv|txt|gz))"', text)
    which = f" {os.path.basename(named.group(1))}" if named else ""
    return EngineError(
        f"A file{which} cannot be read: it is cut short, damaged or gone ({kind}).",
        code="source_file",
    )


def _disk_fault(error: BaseException, text: str) -> EngineError | None:
    """Writing, to a file or to the folder for what does not fit into memory."""
    if not isinstance(error, OSError) and type(error).__name__ != "IOException":
        return None
    if "vigitensor-duckdb-" in text or "duckdb_temp_storage" in text:
        where = "The folder for temporary files"
    elif re.search("could not write|cannot open file .* for writing", text, re.I):
        where = "The folder that is written to"
    else:
        where = "A folder"
    if re.search("no space left|file too large|quota exceeded|disk full", text, re.I):
        return EngineError(f"{where} is on a full disk.", code="disk_full")
    if re.search("could not write|could not sync|for writing", text, re.I):
        return EngineError(f"{where} could not be written to.", code="disk")
    if re.search("too many open files", text, re.I):
        return EngineError(
            "The system allows too few open files for this query: "
            "raise the limit (`ulimit -n`).",
            code="system",
        )
    if "ermission denied" in text:
        return EngineError("A file may not be read.", code="source_file")
    return None


def _csv_fault(text: str) -> str:
    """What is wrong with a CSV file, and where, without the line itself."""
    line = re.search(r"Error on Line: (\d+)", text)
    where = f" (line {line.group(1)})" if line else ""
    path = re.search(r"^\s*file ?= ?(.+)$", text, re.MULTILINE)
    name = f" {os.path.basename(path.group(1).strip())}" if path else ""
    counts = re.search(r"Expected Number of Columns: (\d+) Found: (\d+)", text)
    if counts:
        why = f"{counts.group(1)} columns were expected, {counts.group(2)} came"
    elif re.search("unicode|utf-?8", text, re.IGNORECASE):
        why = "it is not UTF-8; say its encoding in csv_source()"
    elif re.search("unterminated quote|quote", text, re.IGNORECASE):
        why = "a quote is not closed"
    else:
        why = "it is not a table"
    return f"The CSV file{name}{where} cannot be read: {why}."
