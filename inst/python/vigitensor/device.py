"""Devices, threads and memory of this machine."""

from __future__ import annotations

import importlib.util
import os
import platform
from pathlib import Path
from typing import Any

from .errors import EngineError

# Every way to compute a fit, and the package that it needs. A kind of engine
# joins the house by a line here and a module with the same function names.
ENGINES: dict[str, dict[str, Any]] = {
    "cpu": {"needs": "numba", "devices": ("cpu",), "fit_wce": True},
    "torch": {"needs": "torch", "devices": ("cpu", "cuda"), "fit_wce": True},
}

_threads: int | None = None


def available_cores() -> int:
    """Cores this process may use (affinity mask and container quota)."""
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # macOS, Windows
        cores = os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        if quota != "max":
            cores = min(cores, max(1, int(quota) // int(period)))
    except (OSError, ValueError):
        pass
    return max(1, cores)


def set_threads(n: int | None) -> int:
    """Set the number of threads; None returns to all available cores.

    The result of a fit does not depend on it, to the last bit.
    """
    global _threads
    if n is None:
        _threads = None
    else:
        if isinstance(n, bool) or int(n) != n or n < 1:
            raise EngineError(
                "The number of threads must be a whole number of at least 1.",
                code="bad_threads",
                arg="n",
            )
        _threads = int(n)
    return get_threads()


def get_threads() -> int:
    """Threads that kernels use now."""
    return _threads if _threads is not None else available_cores()


def memory_available() -> float | None:
    """Bytes this process can still use, or None where that is unknown."""
    found: list[float] = []
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                found.append(float(line.split()[1]) * 1024)
    except OSError:
        pass
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
        used = Path("/sys/fs/cgroup/memory.current").read_text().strip()
        if limit != "max":
            found.append(float(limit) - float(used))
    except (OSError, ValueError):
        pass
    return min(found) if found else None


def cpu_name() -> str:
    """Model name of the processor, as far as the system tells."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.lower().startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def engines() -> list[dict[str, Any]]:
    """The table of engines: name, package needed, whether it is installed."""
    return [
        {
            "engine": name,
            "needs": entry["needs"],
            "installed": importlib.util.find_spec(entry["needs"]) is not None,
            "fit_wce": entry["fit_wce"],
        }
        for name, entry in ENGINES.items()
    ]
