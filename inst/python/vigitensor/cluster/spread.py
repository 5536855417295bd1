"""Bootstrap replicates spread over the workers of the cluster in use.

A replicate is drawn by its seed and number (decision 11), so it is the same on
any worker. The data go to every worker once; each takes shares of eight
replicates, as many as go through a pass together.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from . import worker
from .connection import client, distributed, hold, worker_threads

_TOGETHER = 8
_TRIES = 3


def spread_replicates(
    function: Callable[..., dict[str, Any]],
) -> Callable[..., dict[str, Any]]:
    """Let a cluster, where there is one, share the work of ``replicates``."""
    signature = inspect.signature(function)

    @functools.wraps(function)
    def spread(*args: Any, **options: Any) -> dict[str, Any]:
        given = signature.bind(*args, **options).arguments
        drawn = given.get("replicates")
        at = client()
        if at is None or not drawn or float(drawn.get("count", 0)) < 2:
            return function(*args, **options)
        return _on_workers(at, function.__name__, dict(given), dict(drawn))

    return spread


def _on_workers(
    at: Any, name: str, arguments: dict[str, Any], drawn: dict[str, Any]
) -> dict[str, Any]:
    del arguments["replicates"]
    shares = [
        {**drawn, "first": first, "count": count}
        for first, count in cut(
            int(drawn["first"]),
            int(drawn["count"]),
            sum(worker_threads(at).values()),
        )
    ]
    for _ in range(_TRIES - 1):
        # Where the workers that had the data are gone, once more.
        with contextlib.suppress(distributed().client.FutureCancelledError):
            return join(_gathered(at, name, arguments, shares))
    return join(_gathered(at, name, arguments, shares))


def _gathered(
    at: Any, name: str, arguments: dict[str, Any], shares: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    # By content: a later chunk of the same bootstrap finds its data there.
    data = at.scatter(arguments, direct=False, broadcast=True, hash=True)
    hold(data)
    futures = [
        at.submit(_share, name, own, list(data), *data.values(), pure=False)
        for own in shares
    ]
    try:
        found: list[dict[str, Any]] = at.gather(futures)
        return found
    except BaseException:
        at.cancel(futures)
        raise


def _share(name: str, own: dict[str, Any], names: list[str], *values: Any) -> Any:
    return worker.run_share(name, dict(zip(names, values)), own)


def cut(first: int, count: int, threads: int) -> list[tuple[int, int]]:
    """Shares (first, count): by eights, about three for each thread."""
    size = -(-count // (3 * max(1, threads)))
    size = max(_TOGETHER, -(-size // _TOGETHER) * _TOGETHER)
    return [(first + done, min(size, count - done)) for done in range(0, count, size)]


def join(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """Results of shares, in their order, as one."""
    out: dict[str, Any] = {}
    for name, value in parts[0].items():
        values = [part[name] for part in parts]
        if isinstance(value, np.ndarray):
            out[name] = np.concatenate(values)
        elif isinstance(value, list):
            out[name] = [item for part in values for item in part]
        else:
            out[name] = sum(values)
    return out
