"""Folders of fits, each used by one process at a time.

The name of a folder says what is fitted, so that a fit that was killed is found
again. Two processes that fit the same thing must not share it: who uses a folder
holds a lock of the system on a file in it, which ends with the process, however
that ends. A second process finds it locked, and takes the next number.
"""

from __future__ import annotations

import itertools
import os
import shutil
import time
import uuid
from pathlib import Path
from typing import Any

from .columns import full_disk

# Seconds to wait for a lock: a process that was killed keeps its own until its
# memory is given back.
_PATIENCE = 1.0
# Files that this process holds locked, by folder.
_held: dict[str, Any] = {}


def claim(folder: str | Path, key: str) -> Path:
    """Make or find a folder ``key``, ``key-2``, ... that nobody else uses."""
    for number in itertools.count(1):
        path = Path(folder) / (key if number == 1 else f"{key}-{number}")
        if str(path) in _held:
            if path.is_dir():
                return path
            _release(path)
        with full_disk(Path(folder)):
            if _lock_soon(path, _PATIENCE if number == 1 else 0):
                return path
    raise AssertionError("numbers do not end")


def end(path: str | Path) -> None:
    """Delete a folder that this process has claimed."""
    path = Path(path)
    # Under its own name it is whole until it is gone.
    gone = path.with_name(f"{path.name}.gone-{uuid.uuid4().hex[:8]}")
    try:
        path.rename(gone)
    except OSError:  # Windows renames no folder with an open file
        _release(path)
        gone = path
    _release(path)
    shutil.rmtree(gone, ignore_errors=True)


def _lock_soon(path: Path, seconds: float) -> bool:
    until = time.monotonic() + seconds
    while not _lock(path):
        if time.monotonic() >= until:
            return False
        time.sleep(0.05)
    return True


def _lock(path: Path) -> bool:
    while True:
        try:
            path.mkdir(parents=True, exist_ok=True)
            file = open(path / "lock", "ab")  # noqa: SIM115 (kept open)
        except FileNotFoundError:
            continue  # its owner has just deleted it
        if not _take(file):
            file.close()
            return False
        try:
            same = os.path.samestat(os.fstat(file.fileno()), os.stat(path / "lock"))
        except FileNotFoundError:
            same = False
        if same:
            _held[str(path)] = file
            return True
        file.close()


def _take(file: Any) -> bool:
    """Lock a file for this process; a system without locks has one user."""
    try:
        if os.name == "posix":
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        else:
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore
    except (BlockingIOError, PermissionError):
        return False
    except OSError:
        return True
    return True


def _release(path: Path) -> None:
    file = _held.pop(str(path), None)
    if file is not None:
        file.close()
