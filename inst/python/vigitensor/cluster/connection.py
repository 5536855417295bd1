"""The cluster in use, if any."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import Any

from .. import device
from .._version import __version__
from ..errors import EngineError
from . import worker

_ENGINE = str(Path(__file__).resolve().parents[2])
_client: Any = None
_local: Any = None
_held: Any = None  # data on the workers


def distributed() -> Any:
    """The package, or an error that says how to install it."""
    try:
        import distributed as package
    except ImportError:
        raise EngineError(
            "A cluster needs the Python packages dask and distributed: "
            'install_engine(parts = "dask").',
            code="no_dask",
            arg="address",
        ) from None
    return package


def connect(address: str, workers: int | None = None) -> dict[str, Any]:
    """Use the cluster at ``address`` ("tcp://..."), or start a "local" one."""
    dd = distributed()
    disconnect()
    global _client, _local
    if address == "local":
        cores = device.available_cores()
        number = cores if workers is None else int(workers)
        _local = _start_local(dd, number, max(1, cores // number))
        _client = dd.Client(_local)
    else:
        try:
            _client = dd.Client(address, timeout="5s")
        except (OSError, ValueError, TimeoutError) as problem:
            raise EngineError(
                "No scheduler answers at that address. Give the one that "
                "`dask scheduler` prints, as tcp://name:8786.",
                code="no_cluster",
                arg="address",
            ) from problem
    try:
        _check_versions()
    except BaseException:
        disconnect()
        raise
    return describe()


def _start_local(dd: Any, workers: int, threads: int) -> Any:
    import dask

    # Workers are new processes, which take over this one's path; R finds the engine
    # without it. The installed package is never written to.
    if _ENGINE not in sys.path:
        sys.path.append(_ENGINE)
    variables = {
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": "1",
        # Nobody looks at it, and it stops the threads a hundred times a second.
        "DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": "False",
    }
    # The scheduler is in this process: it keeps its connections between passes.
    dask.config.set({"distributed.scheduler.reuse-broadcast-comm": True})
    settings = {
        "distributed.nanny.pre-spawn-environ": variables,
        "distributed.worker.daemon": True,
    }
    with dask.config.set(settings):
        return dd.LocalCluster(
            n_workers=workers,
            threads_per_worker=threads,
            processes=True,
            memory_limit=None,
            dashboard_address=None,
            silence_logs=50,
        )


def _check_versions() -> None:
    try:
        found = _client.run(worker.version)
    except Exception as problem:
        raise EngineError(
            "The workers cannot load the engine. Install it there: pip install "
            "<folder that system.file('python', package = 'vigitensor') names>.",
            code="cluster_engine",
            arg="address",
        ) from problem
    other = {v for v in found.values() if v != __version__}
    if other:
        raise EngineError(
            f"The workers have version {', '.join(sorted(other))} of the engine, "
            f"and this is {__version__}. Install the same there.",
            code="cluster_engine",
            arg="address",
        )


def describe() -> dict[str, Any]:
    """Workers and threads of the cluster in use."""
    if _client is None:
        return {"in_use": False, "workers": 0, "threads": 0, "local": False}
    threads = worker_threads(_client)
    return {
        "in_use": True,
        "workers": len(threads),
        "threads": sum(threads.values()),
        "local": _local is not None,
    }


def worker_threads(client: Any) -> dict[str, int]:
    """Threads of every worker that is alive, by address."""
    found: dict[str, int] = dict(client.nthreads())
    return found


def client() -> Any:
    """The client in use, or None."""
    return _client


def hold(data: Any) -> None:
    """Keep data on the workers until others come, or the cluster is left.

    Data that are let go and sent again at once may be gone when they are needed:
    the first message arrives after the second.
    """
    global _held
    _held = data


def disconnect() -> dict[str, Any]:
    """Leave the cluster; a local one ends."""
    global _client, _local
    hold(None)
    old, _client = _client, None
    cluster, _local = _local, None
    for thing in (old, cluster):
        if thing is not None:
            with contextlib.suppress(Exception):
                thing.close()
    return {"closed": old is not None}
