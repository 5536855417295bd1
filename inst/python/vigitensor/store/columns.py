"""A folder of columns: one file per column and block, read by memory map.

    manifest.json           what the folder is; the settings it was made with
    block-000001/           a block, there from the moment it is whole
        block.json          the files, their types and sizes, notes of the writer
        people.start.npy    a column

A block is written into a folder of another name, which takes its own name last,
so whatever ends the writer (a kill, a full disk), blocks are whole or not there,
and a second run goes on behind the last. Every JSON file carries a checksum of
its own content; the sizes of the columns are compared when they are opened.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import threading
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .._typing import Ints
from ..errors import EngineError

FORMAT, VERSION = "vigitensor columns", 1
_MANIFEST, _BLOCK = "manifest.json", "block.json"


class ColumnStore:
    """An open folder of columns.

    Parameters
    ----------
    path : str or Path
        The folder.
    durable : bool
        Wait until the disk has a block before it counts as written. Without, a
        block survives the end of the process, but not that of the machine.
    """

    def __init__(self, path: str | Path, durable: bool = True) -> None:
        self.path = Path(path)
        self.durable = durable

    @classmethod
    def create(
        cls, path: str | Path, settings: Mapping[str, Any], durable: bool = True
    ) -> ColumnStore:
        """Make the folder, or open the one that was begun with these settings."""
        store = cls(path, durable)
        if (store.path / _MANIFEST).exists():
            found = store.settings()
            if found != json.loads(json.dumps(settings, default=_plain)):
                raise _damaged(
                    f"The folder {_name(store.path)} holds a store of other data or "
                    "settings. Give another folder, or delete this one.",
                    code="store_differs",
                )
            return store
        with full_disk(store.path):
            store.path.mkdir(parents=True, exist_ok=True)
            if any(store.path.iterdir()):
                raise _damaged(
                    f"The folder {_name(store.path)} is not empty, and is no store. "
                    "Give a new folder.",
                    code="store_differs",
                )
            store._write_json(store.path / _MANIFEST, {"settings": settings})
        return store

    @classmethod
    def open(cls, path: str | Path) -> ColumnStore:
        """Open a folder that was made before."""
        store = cls(path)
        if not (store.path / _MANIFEST).exists():
            raise _damaged(
                f"There is no store in {_name(store.path)}: it has no {_MANIFEST}.",
                code="no_store",
            )
        store.settings()
        return store

    def settings(self) -> dict[str, Any]:
        """What the folder was made with."""
        found: dict[str, Any] = _read_json(self.path / _MANIFEST)["settings"]
        return found

    def n_blocks(self) -> int:
        """Blocks that are whole: 0, 1, ..., n - 1."""
        n = 0
        while (self._folder(n) / _BLOCK).exists():
            n += 1
        return n

    def stamp(self) -> str:
        """Changes with any value of any block: a hash of their checksums."""
        state = hashlib.sha256()
        for block in range(self.n_blocks()):
            state.update(_checksum(self._index(block)).encode())
        return state.hexdigest()

    def write(
        self, block: int, columns: Mapping[str, Ints], notes: Mapping[str, Any]
    ) -> int:
        """Write one block; returns its bytes.

        Raises
        ------
        EngineError
            ``disk_full``: blocks written before are left as they are.
        """
        folder = self._folder(block)
        part = folder.with_name(f"{folder.name}.part-{_own_name()}")
        files: dict[str, Any] = {}
        with full_disk(self.path):
            try:
                shutil.rmtree(part, ignore_errors=True)
                part.mkdir()
                for name, column in columns.items():
                    files[name] = self._write_column(part / f"{name}.npy", column)
                self._write_json(
                    part / _BLOCK, {"columns": files, "notes": dict(notes)}
                )
                if folder.exists():
                    shutil.rmtree(folder)
                part.rename(folder)
                self._settle(self.path)
            except BaseException:
                shutil.rmtree(part, ignore_errors=True)
                raise
        return sum(entry["bytes"] for entry in files.values())

    def notes(self, block: int) -> dict[str, Any]:
        """What the writer noted of a block."""
        found: dict[str, Any] = self._index(block)["notes"]
        return found

    def names(self, block: int) -> list[str]:
        """Columns of a block."""
        return list(self._index(block)["columns"])

    def read(
        self, block: int, names: Sequence[str] | None = None, deep: bool = False
    ) -> dict[str, Any]:
        """Columns of one block, as read-only memory maps.

        ``deep`` reads every byte and compares the checksums.

        Raises
        ------
        EngineError
            ``store_damaged``: a file is not there, or is not what was written.
        """
        entries = self._index(block)["columns"]
        out = {}
        for name in entries if names is None else names:
            if name not in entries:
                raise _damaged(f"Block {block + 1} has no column `{name}`.")
            out[name] = self._read_column(block, name, entries[name], deep)
        return out

    def remove(self) -> None:
        """Delete the folder and all that is in it."""
        shutil.rmtree(self.path, ignore_errors=True)

    # ---- files ------------------------------------------------------------------

    def _folder(self, block: int) -> Path:
        return self.path / f"block-{block + 1:06d}"

    def _index(self, block: int) -> dict[str, Any]:
        return _read_json(self._folder(block) / _BLOCK)

    def _write_column(self, file: Path, column: Any) -> dict[str, Any]:
        array = np.asarray(column)
        order = (
            "F" if array.flags.f_contiguous and not array.flags.c_contiguous else "C"
        )
        array = np.asarray(array, order=order)  # type: ignore[call-overload]
        header = np.lib.format.header_data_from_array_1_0(array)
        # Not np.save(): it goes on in silence where the disk is full.
        with open(file, "xb") as handle:
            np.lib.format.write_array_header_1_0(handle, header)
            handle.write(_as_bytes(array))
            self._settle(handle)
        return {
            "type": array.dtype.str,
            "shape": list(array.shape),
            "bytes": file.stat().st_size,
            "crc32": _crc32(array) if self.durable else None,
        }

    def _read_column(
        self, block: int, name: str, entry: Mapping[str, Any], deep: bool
    ) -> Any:
        file = self._folder(block) / f"{name}.npy"
        where = f"Column `{name}` of block {block + 1} of the store"
        try:
            size = file.stat().st_size
        except OSError:
            raise _damaged(f"{where} is not there.") from None
        if size != entry["bytes"]:
            raise _damaged(
                f"{where} has {size} bytes on disk where {entry['bytes']} were "
                "written: the file was cut short or changed."
            )
        empty = 0 in entry["shape"]  # nothing to map
        try:
            array = np.load(file, mmap_mode=None if empty else "r", allow_pickle=False)
        except (ValueError, OSError):
            raise _damaged(f"{where} cannot be read.") from None
        if array.dtype.str != entry["type"] or list(array.shape) != entry["shape"]:
            raise _damaged(f"{where} has another type or length than was written.")
        if deep and entry["crc32"] not in (None, _crc32(array)):
            raise _damaged(f"{where} holds other values than were written.")
        # A plain array: kernels and callers need not know of the map beneath.
        return np.asarray(array)

    def _write_json(self, file: Path, content: Mapping[str, Any]) -> None:
        body = {"format": FORMAT, "version": VERSION, **content}
        body = json.loads(json.dumps(body, default=_plain))
        body["checksum"] = _checksum(body)
        write_whole(file, json.dumps(body).encode(), self.durable)

    def _settle(self, what: Any) -> None:
        if not self.durable:
            return
        if isinstance(what, Path):
            if os.name == "posix":  # folders cannot be opened elsewhere
                number = os.open(what, os.O_RDONLY)
                try:
                    os.fsync(number)
                finally:
                    os.close(number)
            return
        what.flush()
        os.fsync(what.fileno())


def _own_name() -> str:
    """No other thread or process writes under this name."""
    return f"{os.getpid()}-{threading.get_ident()}"


def _crc32(array: Any) -> int:
    return zlib.crc32(_as_bytes(array))


def _as_bytes(array: Any) -> Any:
    """The numbers of an array, in the order in which they lie in memory."""
    flat: Any = np.ascontiguousarray(array.reshape(-1, order="A"))
    return memoryview(flat).cast("B") if flat.size else b""


def write_whole(file: Path, content: bytes, durable: bool = False) -> None:
    """Write a file that is always whole: the old one or the new one."""
    part = file.with_name(f"{file.name}.part-{_own_name()}")
    try:
        with open(part, "wb") as handle:
            handle.write(content)
            if durable:
                handle.flush()
                os.fsync(handle.fileno())
        part.replace(file)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _read_json(file: Path) -> dict[str, Any]:
    place = f"{file.parent.name}/{file.name}"
    try:
        body = json.loads(file.read_bytes())
        told = body.pop("checksum")
        if body["format"] != FORMAT:
            raise KeyError("format")
        version = body["version"]
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        raise _damaged(f"{place} of the store cannot be read.") from None
    if version != VERSION:
        raise _damaged(
            f"The store has version {version}; this engine reads {VERSION}.",
            code="store_version",
        )
    if told != _checksum(body):
        raise _damaged(f"{place} of the store was changed or cut short.")
    found: dict[str, Any] = body
    return found


def _checksum(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def _plain(value: Any) -> Any:
    """Arrays and their numbers, for JSON."""
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    raise TypeError(type(value).__name__)


def _name(path: Path) -> str:
    return f'"{path.name}"'


def _damaged(message: str, code: str = "store_damaged") -> EngineError:
    if code == "store_damaged":
        message += (
            " Delete the folder of that block, or the store, and make it again from "
            "the same data."
        )
    return EngineError(message, code=code, arg="path")


class full_disk:
    """Turns what the system says of a full disk into an error of ours."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: Any, problem: BaseException | None, __: Any) -> None:
        if isinstance(problem, OSError) and not isinstance(problem, EngineError):
            raise EngineError(
                f"The folder {_name(self.path)} could not be written to: "
                f"{problem.strerror or type(problem).__name__}. Blocks written before "
                "are kept: make room and give the same call again.",
                code="disk_full" if _is_full(problem) else "disk",
                arg="path",
            ) from problem


def _is_full(problem: OSError) -> bool:
    import errno

    return problem.errno in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)
