"""Passes over blocks that live on the workers of a cluster.

Every block has its worker, which prepares it once and keeps it; a pass sends the
coefficients and numbers by event time to each worker, and gets the sums of its
blocks back, which are added in the order of the blocks: the same bits as one
process. Workers are called through the scheduler, but not as its tasks: that costs
5 ms a call where a task costs 30. A call is several blocks, as many as take half a
second, and one for each thread at least. A worker that is lost has its blocks taken
over by the others, who read them from the store again.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
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
# How long a call should take, and its blocks while nobody knows.
_CALL_S, _FIRST_BLOCKS = 0.5, 8
# How long the scheduler may take to see that a worker is gone.
_SEEN_S = 5.0
# How long a cluster without a worker is waited for, and how often a block is
# begun anew.
_NO_WORKER_S = 60.0
_MOST_TRIES = 5

Group = tuple[int, ...]
Calls = dict[Group, Any]


@dataclass(frozen=True)
class _Pass:
    """What is asked of every block."""

    method: str
    common: tuple[Any, ...] = ()
    own: Sequence[Any] | None = None  # one more argument, by block

    def arguments(self, group: Group) -> tuple[Any, ...]:
        """For a call: what its blocks have in common, and each its own."""
        own = None if self.own is None else [self.own[block] for block in group]
        return self.common, own


class DaskPasses:
    """Passes by a cluster; ``watch`` is told (pass, blocks done), and may raise."""

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
        self._seconds: dict[str, float] = {}  # of a block, by method
        self.n_passes = 0
        self.lost = 0  # workers
        # Bytes of arrays, per pass: to the workers, and back.
        self.traffic: list[tuple[int, int]] = []

    def index(self) -> Iterator[Index]:
        """Look at the events."""
        return self._pass(_Pass("index"))

    def prepare(self, plan: Plan, first: Sequence[int]) -> Iterator[Summary]:
        """Place the rows."""
        self._plan = plan
        self._told.clear()
        return self._pass(_Pass("prepare", own=first))

    def risks(
        self, design: int, beta: Floats, shift: Floats, exposed: bool
    ) -> Iterator[Floats]:
        """First pass."""
        return self._pass(_Pass("risks", (design, beta, shift, exposed)))

    def moments(
        self, design: int, beta: Floats, shift: Floats, wt: Floats
    ) -> Iterator[MomentSums]:
        """Second pass."""
        return self._pass(_Pass("moments", (design, beta, shift, wt)))

    def on_blocks(
        self, method: str, common: tuple[Any, ...], own: Sequence[Any]
    ) -> Iterator[Any]:
        """Any other method of the keeper, with an argument of each block."""
        return self._pass(_Pass(method, common, own))

    def close(self) -> None:
        """Tell the workers that the fit is over; nobody waits for them."""
        with contextlib.suppress(Exception):  # what ended the fit is told elsewhere
            self._call(worker.forget, self._place.token, workers=None)

    # ---- one pass ---------------------------------------------------------------

    def _pass(self, asked: _Pass) -> Iterator[Any]:
        self.n_passes += 1
        self.traffic.append((0, 0))
        calls: Calls = {}
        found: dict[int, Any] = {}
        tries: Counter[int] = Counter()
        try:
            self._begin(asked, calls, range(self._place.n_blocks))
            while calls:
                self._tell(len(found))
                done, _ = concurrent.futures.wait(
                    calls.values(), _WAIT_S, concurrent.futures.FIRST_COMPLETED
                )
                if done:
                    self._take(asked, calls, found, tries)
                else:
                    self._replace(asked, calls, tries)
        finally:
            for call in calls.values():
                call.cancel()
        self._count(0, found)
        for block in range(self._place.n_blocks):
            yield found.pop(block)

    def _tell(self, n_found: int) -> None:
        if self._watch is not None:
            self._watch(self.n_passes, min(n_found, self._place.n_blocks - 1))

    def _begin(
        self,
        asked: _Pass,
        calls: Calls,
        blocks: Sequence[int],
        together: int | None = None,
    ) -> None:
        """Give blocks to their workers, in calls of ``together`` blocks."""
        alive = self._workers()
        mine: dict[str, list[int]] = {}
        for block in blocks:
            of = self._of.get(block)
            if of not in alive:
                of = self._of[block] = self._least(alive)
            mine.setdefault(of, []).append(block)
        for of, own in mine.items():
            size = together or self._together(asked.method)
            size = min(size, -(-len(own) // alive[of]))
            for at in range(0, len(own), size):
                group = tuple(own[at : at + size])
                calls[group] = self._submit(asked, group, of)

    def _together(self, method: str) -> int:
        known = self._seconds.get(method)
        if known is None:
            return _FIRST_BLOCKS
        return max(1, int(_CALL_S / max(known, 1e-6)))

    def _least(self, alive: dict[str, int]) -> str:
        """The worker with the fewest blocks for its threads."""
        load = Counter(self._of.values())
        return min(alive, key=lambda of: (load[of] + 1) / alive[of])

    def _submit(self, asked: _Pass, group: Group, of: str) -> Any:
        plan = None
        if asked.method != "index" and of not in self._told:
            plan = self._plan
            self._told.add(of)
        common, own = asked.arguments(group)
        self._count(_size(common) + _size(own), ())
        return self._call(
            worker.on_blocks, self._place, asked.method, group, common, own, plan,
            workers=[of],
        )  # fmt: skip

    def _call(self, function: Any, *arguments: Any, workers: list[str] | None) -> Any:
        """Begin a call of workers; a future of their answers by address."""
        # What Client.run() does, without waiting for it.
        answers = self._client._run(
            function, *arguments, workers=workers, on_error="return"
        )
        return asyncio.run_coroutine_threadsafe(answers, self._client.loop.asyncio_loop)

    def _count(self, sent: int, received: Any) -> None:
        up, down = self.traffic[-1]
        self.traffic[-1] = (up + sent, down + _size(received))

    # ---- answers ----------------------------------------------------------------

    def _take(
        self,
        asked: _Pass,
        calls: Calls,
        found: dict[int, Any],
        tries: Counter[int],
    ) -> None:
        """Answers that are there; what was lost is begun again."""
        for group in [group for group, call in calls.items() if call.done()]:
            of = self._of.get(group[0], "")
            answer = _answer(calls[group], of)
            if isinstance(answer, worker.Failed):
                raise answer.problem
            if isinstance(answer, BaseException):
                self._gone(of)
                self._replace(asked, calls, tries)
                if group in calls and calls[group].done():  # it is alive after all
                    self._again(asked, calls, group, tries)
                return
            del calls[group]
            if isinstance(answer, str) and answer == worker.NEEDS_PLAN:
                self._told.discard(of)
                self._begin(asked, calls, group)
                continue
            seconds, values = answer
            self._seconds[asked.method] = seconds / len(group)
            found.update(zip(group, values))

    def _gone(self, of: str) -> None:
        """Wait until the scheduler knows that a worker is gone, if it is."""
        begun = time.monotonic()
        while time.monotonic() - begun < _SEEN_S and of in self._alive():
            time.sleep(0.05)

    def _replace(self, asked: _Pass, calls: Calls, tries: Counter[int]) -> None:
        """Begin again what workers that are gone had been given."""
        alive = self._workers()
        gone = {of for of in self._of.values() if of not in alive}
        self.lost += len(gone)
        self._told -= gone
        for group in [g for g in calls if self._of[g[0]] in gone]:
            self._again(asked, calls, group, tries)
        for block in [k for k, of in self._of.items() if of in gone]:
            del self._of[block]  # taken over when its turn comes

    def _again(
        self, asked: _Pass, calls: Calls, group: Group, tries: Counter[int]
    ) -> None:
        """Block by block, so that one that is too large is alone with its fault."""
        calls.pop(group).cancel()
        tries.update(group)
        if max(tries[block] for block in group) > _MOST_TRIES:
            raise EngineError(
                "Workers of the cluster are lost again and again on one block: it may "
                "not fit into their memory. Build the store with fewer people in a "
                "block.",
                code="workers_lost",
                arg="address",
            )
        self._begin(asked, calls, group, together=1)

    def _alive(self) -> dict[str, int]:
        try:
            return worker_threads(self._client)
        except Exception as problem:
            raise EngineError(
                "The scheduler of the cluster does not answer any more. Connect "
                "again, and give the same call: the fit goes on.",
                code="no_cluster",
                arg="address",
            ) from problem

    def _workers(self) -> dict[str, int]:
        """Workers that are alive; waits for one if there is none."""
        begun = time.monotonic()
        while True:
            alive = self._alive()
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


def _answer(call: Any, of: str) -> Any:
    """The answer of one worker, or why there is none."""
    try:
        return call.result()[of]
    except Exception as problem:
        return problem


def _size(value: Any) -> int:
    """Bytes of the arrays in a value."""
    if isinstance(value, np.ndarray):
        return value.nbytes
    if isinstance(value, dict):
        return sum(_size(v) for v in value.values())
    if isinstance(value, (list, tuple)):
        return sum(_size(v) for v in value)
    if hasattr(value, "__dict__"):
        return sum(_size(v) for v in vars(value).values())
    return 0
