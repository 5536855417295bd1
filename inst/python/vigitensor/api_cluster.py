"""What R calls to use a cluster; re-exported by ``api``."""

from __future__ import annotations

from typing import Any

from .cluster import connection


def cluster_connect(address: str, workers: int | None = None) -> dict[str, Any]:
    """Use the Dask cluster at ``address``, or start a "local" one.

    Parameters
    ----------
    address : str
        Of a scheduler, such as "tcp://node1:8786"; or "local": processes of this
        machine, which end with this one.
    workers : int, optional
        Processes of a local cluster; one per core by default.

    Returns
    -------
    dict
        ``in_use``, ``workers``, ``threads``, ``local``.

    Raises
    ------
    EngineError
        ``no_dask``, ``no_cluster``, ``cluster_engine``.
    """
    return connection.connect(address, workers)


def cluster_info() -> dict[str, Any]:
    """The cluster in use."""
    return connection.describe()


def cluster_leave() -> dict[str, Any]:
    """Use no cluster any more; a local one ends."""
    return connection.disconnect()
