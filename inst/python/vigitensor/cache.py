"""Where compiled kernels are kept, and how they get there.

Numba does not notice that a function called by a kernel has changed, so the
folder's name is a hash of every source file of the engine, of the versions of
Python, NumPy, Numba and llvmlite, and of the processor. The folder is the
user's own (mode 0700): what lies in it is executed.

``VIGITENSOR_CACHE_DIR`` names the parent folder; by default it is the user's
cache folder, and a temporary one where that cannot be written.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

# Which kernels a function of ``api`` needs. Compiling all takes half a minute;
# a first fit should wait for its own only. Kernels for real-valued times and for
# exact ties compile when a fit first has them.
_WCE = ("survival.kernels_records", "survival.kernels_risk")
_COX = ("survival.kernels_cox", "survival.kernels_cox_moments")
_COX_RESULTS = (*_COX, "survival.kernels_cox_residuals")
_SPARSE = (
    *_WCE,
    "survival.kernels_sparse",
    "survival.kernels_sparse_block",
)
KERNELS_OF = {
    "fit_wce": _WCE,
    "fit_store": _WCE,
    "fit_wce_many": (*_WCE, "survival.kernels_many", "survival.kernels_score"),
    "fit_sparse": _SPARSE,
    "sparse_fold": _SPARSE,
    "sparse_one_step": _SPARSE,
    "wce_scores": (*_WCE, "survival.kernels_score"),
    "wce_baseline": _WCE,
    "wce_expected": (*_WCE, "survival.kernels_score"),
    "wce_time_information": _WCE,
    "fit_cox": _COX,
    "fit_cox_many": (*_COX_RESULTS, "survival.kernels_cox_many"),
    "cox_residuals": _COX_RESULTS,
    "cox_robust_var": _COX_RESULTS,
    "cox_baseline": _COX_RESULTS,
    "cox_concordance": _COX_RESULTS,
}
_RARE = ("survival.kernels_real", "survival.kernels_cox_exact")
_PACKAGE_DIR = Path(__file__).resolve().parent


def version_of(package: str) -> str | None:
    """Installed version of a package, without importing it."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


@functools.lru_cache(maxsize=1)
def cache_key() -> str:
    """Hash of all that compiled code depends on."""
    state = hashlib.sha256()
    for path in sorted(_PACKAGE_DIR.rglob("*.py")):
        state.update(str(path.relative_to(_PACKAGE_DIR)).encode())
        state.update(path.read_bytes())
    for package in ("numpy", "numba", "llvmlite"):
        state.update(f"{package}={version_of(package)};".encode())
    state.update(
        f"{sys.implementation.cache_tag};{platform.python_version()};".encode()
    )
    state.update(_processor().encode())
    return state.hexdigest()[:16]


def _processor() -> str:
    """Model and instruction sets: code for one CPU may not run on another."""
    parts = [platform.machine()]
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith(("model name", "flags", "Features", "CPU part")):
                parts.append(line)
            if not line.strip():
                break  # the first core speaks for all
    except OSError:
        parts.append(platform.processor())
    return "|".join(parts)


@functools.lru_cache(maxsize=1)
def _parent_dir() -> Path:
    given = os.environ.get("VIGITENSOR_CACHE_DIR")
    candidates = [Path(given).expanduser()] if given else []
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA", Path.home()))
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    candidates.append(base / "vigitensor")
    for folder in candidates:
        if _usable(folder):
            return folder
    return Path(tempfile.mkdtemp(prefix="vigitensor-cache-"))


def _usable(folder: Path) -> bool:
    """Can we write there, and is it nobody else's?"""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder):
            pass
        if hasattr(os, "getuid"):
            status = folder.stat()
            return status.st_uid == os.getuid() and not status.st_mode & 0o022
        return True
    except OSError:
        return False


def cache_dir() -> Path:
    """Folder of this engine's compiled code (made if absent)."""
    folder = _parent_dir() / f"kernels-{cache_key()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def is_warm(function: str | None = None) -> bool:
    """Will this function of ``api`` (None: any of them) start without compiling?"""
    return all(_mark(name).exists() for name in _needed(function))


def _needed(function: str | None) -> tuple[str, ...]:
    if function is not None:
        return KERNELS_OF.get(function, ())
    listed = (name for names in KERNELS_OF.values() for name in names)
    return tuple(dict.fromkeys((*listed, *_RARE)))


def _mark(name: str) -> Path:
    """An empty file: these kernels are compiled."""
    return cache_dir() / f"{name}.ready"


@contextlib.contextmanager
def _numba_cache() -> Iterator[None]:
    """Point Numba at our folder while our kernels are defined.

    The place is chosen when a function is decorated, so a user's own Numba
    code keeps its own cache.
    """
    folder = str(cache_dir())
    before = os.environ.get("NUMBA_CACHE_DIR")
    os.environ["NUMBA_CACHE_DIR"] = folder
    try:
        import numba

        config: Any = numba.config
        config.CACHE_DIR = folder
        yield
    finally:
        os.environ.pop("NUMBA_CACHE_DIR")
        if before is not None:
            os.environ["NUMBA_CACHE_DIR"] = before
        if "numba" in sys.modules:
            sys.modules["numba"].config.CACHE_DIR = before or ""


def load_kernels(name: str) -> ModuleType:
    """Import a module of kernels, compiled code coming from the cache."""
    module = sys.modules.get(name)
    # A module still being imported lacks the names that its user wants.
    if module is not None and not getattr(module.__spec__, "_initializing", False):
        return module
    with _numba_cache():
        return importlib.import_module(name)


def warm_up(function: str | None = None) -> Path:
    """Compile, or load, the kernels of one function of ``api`` (None: all).

    Returns the folder of the cache.
    """
    for name in _needed(function):
        load_kernels(f"{__package__}.{name}")
        mark = _mark(name)
        if not mark.exists():
            mark.touch()
            _remove_old(mark.parent)
    return cache_dir()


def _remove_old(current: Path) -> None:
    """Drop caches of versions long gone (unused for a month)."""
    limit = current.stat().st_mtime - 30 * 86400
    for folder in current.parent.glob("kernels-*"):
        with contextlib.suppress(OSError):
            if folder != current and folder.stat().st_mtime < limit:
                shutil.rmtree(folder)
