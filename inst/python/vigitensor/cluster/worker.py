"""What runs on a worker: blocks of a store, prepared and kept for one fit.

It is called directly, not as a task: a pass over short blocks would take longer to
be scheduled than to be done. A thread of the worker does the work, while its loop
goes on answering.

A worker that has never heard of a fit begins with what every task carries, and
says so when it needs the plan: blocks can go to any worker at any time.
"""

from __future__ import annotations

import asyncio
import functools
import pickle
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import cache, device
from .._version import __version__
from ..store.design import DesignSource
from ..store.local import Keeper, kept_bytes
from ..survival.blocks import Plan

# The answer of a worker that has not been told the plan.
NEEDS_PLAN = "needs the plan"
# Fits that a worker remembers, the last ones.
_MOST_FITS = 2
_keepers: dict[str, Keeper] = {}
_planned: set[str] = set()
_lock = threading.Lock()


@dataclass(frozen=True)
class Place:
    """Where the blocks of a fit are, and what a worker may take for them."""

    token: str
    folder: str
    n_blocks: int
    n_terms: int
    budget: float  # bytes; negative: by the memory of the worker's machine


@dataclass(frozen=True)
class Failed:
    """The work itself failed; the worker is well."""

    problem: Exception


async def on_blocks(
    place: Place,
    method: str,
    blocks: Sequence[int],
    common: Sequence[Any],
    own: Sequence[Any] | None,
    plan: Plan | None,
    dask_worker: Any = None,
) -> Any:
    """Call a method of this worker's ``Keeper`` for some blocks.

    ``own`` is one more argument of each block. Returns seconds and answers, or
    ``NEEDS_PLAN``, or ``Failed``.
    """
    work = functools.partial(_attempt, place, method, blocks, common, own, plan)
    threads = dask_worker.executors["default"]
    return await asyncio.get_running_loop().run_in_executor(threads, work)


def _attempt(*asked: Any) -> Any:
    try:
        return _on_blocks(*asked)
    except Exception as problem:
        try:
            pickle.loads(pickle.dumps(problem))
        except Exception:
            problem = RuntimeError(type(problem).__name__)
        return Failed(problem)


def _on_blocks(
    place: Place,
    method: str,
    blocks: Sequence[int],
    common: Sequence[Any],
    own: Sequence[Any] | None,
    plan: Plan | None,
) -> Any:
    keeper = _keeper(place, plan)
    if method != "index" and place.token not in _planned:
        return NEEDS_PLAN
    begun = time.perf_counter()
    call = getattr(keeper, method)
    found = [
        call(block, *(() if own is None else (own[k],)), *common)
        for k, block in enumerate(blocks)
    ]
    return time.perf_counter() - begun, found


def _keeper(place: Place, plan: Plan | None) -> Keeper:
    with _lock:
        keeper = _keepers.get(place.token)
        if keeper is None:
            # A worker's threads each take a block: kernels need none of their own.
            device.set_threads(1)
            cache.warm_up("fit_store")
            while len(_keepers) >= _MOST_FITS:
                oldest = next(iter(_keepers))
                _planned.discard(oldest)
                del _keepers[oldest]
            folder = Path(place.folder)
            source = DesignSource(folder / "design", place.n_blocks, place.n_terms)
            # Without a folder: what does not fit is prepared again for each pass.
            budget = place.budget if place.budget >= 0 else kept_bytes()
            keeper = Keeper(source, budget)
            _keepers[place.token] = keeper
        if plan is not None and place.token not in _planned:
            keeper.set_plan(plan)
            _planned.add(place.token)
    return keeper


def forget(token: str) -> None:
    """The fit is over."""
    with _lock:
        _keepers.pop(token, None)
        _planned.discard(token)


def version() -> str:
    """Version of the engine on this worker."""
    return __version__


def run_share(function: str, arguments: dict[str, Any], own: dict[str, Any]) -> Any:
    """A function of the api with a share of the replicates."""
    from .. import api

    device.set_threads(1)
    return getattr(api, function)(**arguments, replicates=own)
