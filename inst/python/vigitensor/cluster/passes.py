"""Passes over blocks that live on the workers of a cluster.

Every block has its worker, which prepares it once and keeps it; a pass sends the
coefficients and numbers by event time to each block, and gets its sums back, in
the order of the blocks: the same bits as one process. A worker that is lost has
its blocks taken over by the others, who read them from the store again.
"""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .._typing import Floats
from ..errors import EngineError
from ..survival.blocks import Index, Plan, Summary
from ..survival.likelihood import MomentSums
from . import worker
from .connection import worker_threads

_WAIT_S = 0.5
# How long a cluster without a worker is waited for, and how often a block is
# begun anew.
_NO_WORKER_S = 60.0
_MOST_TRIES = 5


class DaskPasses:
    """Passes by a cluster; ``watch`` is told (pass, block), and may raise."""

    def __init__(
        self,
        client: Any,
        folder: Path,
        n_blocks: int,
        n_terms: int,
        budget: float,
        watch: Any = None,
    ) -> None:
        self._client = client
        self._place = worker.Place(
            uuid.uuid4().hex, str(folder.resolve()), n_blocks, n_terms, budget
        )
        self._watch = watch
        self._plan: Plan | None = None
        self._told: set[str] = set()  # workers that have the plan
        self._of: dict[int, str] = {}  # worker of each block
        self.n_passes = 0
        self.lost = 0  # workers
        # Bytes of arrays, per pass: to the workers, and back.
        self.traffic: list[tuple[int, int]] = []

    def index(self) -> Iterator[Index]:
        """Look at the events."""
        return self._pass("index", lambda _: ())

    def prepare(self, plan: Plan, first: Sequence[int]) -> Iterator[Summary]:
        """Place the rows."""
        self._plan = plan
        self._told.clear()
        return self._pass("prepare", lambda block: (first[block],))

    def risks(
        self, design: int, beta: Floats, shift: Floats, exposed: bool
    ) -> Iterator[Floats]:
        """First pass."""
        return self._pass("risks", lambda _: (design, beta, shift, exposed))

    def moments(
        self, design: int, beta: Floats, shift: Floats, wt: Floats
    ) -> Iterator[MomentSums]:
        """Second pass."""
        return self._pass("moments", lambda _: (design, beta, shift, wt))

    def close(self) -> None:
        """Tell the workers that the fit is over."""
        with contextlib.suppress(Exception):  # what ended the fit is told elsewhere
            self._client.run(worker.forget, self._place.token, on_error="ignore")

    # ---- one pass ---------------------------------------------------------------

    def _pass(self, method: str, args: Any) -> Iterator[Any]:
        self.n_passes += 1
        sent = received = 0
        alive = self._workers()
        futures = {}
        for block in range(self._place.n_blocks):
            given = args(block)
            sent += _size(given)
            futures[block] = self._submit(method, block, given, alive)
        try:
            # All answers in one message, where nothing goes wrong.
            ready = self._gather(futures)
            for block in range(self._place.n_blocks):
                found = ready.pop(block, None)
                if found is None:
                    found = self._wait(futures, method, block, args)
                received += _size(found)
                del futures[block]
                yield found
        finally:
            if futures:
                self._client.cancel(list(futures.values()))
            self.traffic.append((sent, received))

    def _gather(self, futures: dict[int, Any]) -> dict[int, Any]:
        from distributed import wait

        while True:
            if self._watch is not None:
                self._watch(self.n_passes, _count_done(futures))
            try:
                wait(list(futures.values()), timeout=_WAIT_S)
                found = self._client.gather(list(futures.values()))
            except Exception as problem:
                if _is_timeout(problem):
                    if {self._of[k] for k in futures} <= set(self._workers()):
                        continue
                elif not _is_loss(problem):
                    raise
                return {}  # one by one, then
            return {
                block: value
                for block, value in zip(futures, found)
                if not (isinstance(value, str) and value == worker.NEEDS_PLAN)
            }

    def _submit(self, method: str, block: int, args: Any, alive: dict[str, int]) -> Any:
        of = self._of.get(block)
        if of not in alive:
            of = self._of[block] = self._least(alive)
        plan = None
        if method != "index" and of not in self._told:
            plan = self._plan
            self._told.add(of)
        return self._client.submit(
            worker.on_block, self._place, method, block, args, plan,
            workers=[of], allow_other_workers=False, pure=False, retries=0,
        )  # fmt: skip

    def _least(self, alive: dict[str, int]) -> str:
        """The worker with the fewest blocks for its threads."""
        load = dict.fromkeys(alive, 0)
        for of in self._of.values():
            if of in load:
                load[of] += 1
        return min(load, key=lambda of: (load[of] + 1) / alive[of])

    def _wait(self, futures: dict[int, Any], method: str, block: int, args: Any) -> Any:
        tries = 0
        while True:
            if self._watch is not None:
                self._watch(self.n_passes, block)
            try:
                found = futures[block].result(timeout=_WAIT_S)
            except EngineError:
                raise
            except Exception as problem:
                if not _is_loss(problem):
                    raise
                tries += not _is_timeout(problem)
                if tries > _MOST_TRIES:
                    raise EngineError(
                        "Workers of the cluster are lost again and again on one "
                        "block: it may not fit into their memory. Build the store "
                        "with fewer people in a block.",
                        code="workers_lost",
                        arg="address",
                    ) from problem
                self._replace(futures, method, args, None if tries == 0 else block)
                continue
            if isinstance(found, str) and found == worker.NEEDS_PLAN:
                self._told.discard(self._of[block])
                futures[block] = self._submit(
                    method, block, args(block), self._workers()
                )
                continue
            return found

    def _replace(
        self, futures: dict[int, Any], method: str, args: Any, failed: int | None
    ) -> None:
        """Begin again what workers that are gone had been given."""
        alive = self._workers()
        gone = {of for of in self._of.values() if of not in alive}
        self.lost += len(gone)
        self._told -= gone
        again = {k for k in futures if self._of[k] in gone}
        if failed is not None:
            again.add(failed)
        for block in sorted(again):
            self._client.cancel([futures[block]])
            futures[block] = self._submit(method, block, args(block), alive)

    def _workers(self) -> dict[str, int]:
        """Workers that are alive; waits for one if there is none."""
        begun = time.monotonic()
        while True:
            try:
                alive = worker_threads(self._client)
            except Exception as problem:
                raise EngineError(
                    "The scheduler of the cluster does not answer any more. Connect "
                    "again, and give the same call: the fit goes on.",
                    code="no_cluster",
                    arg="address",
                ) from problem
            if alive:
                return alive
            if self._watch is not None:
                self._watch(self.n_passes, 0)
            if time.monotonic() - begun > _NO_WORKER_S:
                raise EngineError(
                    "The cluster has no workers any more. Start some, and give the "
                    "same call: the fit goes on.",
                    code="no_workers",
                    arg="address",
                )
            time.sleep(_WAIT_S)


def _count_done(futures: dict[int, Any]) -> int:
    return sum(future.done() for future in futures.values())


def _is_timeout(problem: BaseException) -> bool:
    return isinstance(problem, TimeoutError) or type(problem).__name__ == "TimeoutError"


def _is_loss(problem: BaseException) -> bool:
    """Is this what becomes of a task whose worker is gone?"""
    names = {kind.__name__ for kind in type(problem).__mro__}
    losses = {
        "KilledWorker", "CommClosedError", "CancelledError", "FutureCancelledError",
        "FuturesCancelledError", "TimeoutError", "NoValidWorkerError",
    }  # fmt: skip
    return bool(names & losses)


def _size(value: Any) -> int:
    """Bytes of the arrays in a value."""
    if isinstance(value, np.ndarray):
        return value.nbytes
    if isinstance(value, (list, tuple)):
        return sum(_size(v) for v in value)
    if hasattr(value, "__dict__"):
        return sum(_size(v) for v in vars(value).values())
    return 0
