"""A small pool of threads for slices of kernel work.

Why our own: R forks without running Python's hooks, and a child that holds its
parent's executor hangs, so the pool is keyed by process id. The calling thread
only waits, in short turns, so that Ctrl-C is answered at once: slices not yet
begun are dropped and the (short) running ones are waited for.

Results are handed to ``reduce`` in the order of the slices, whatever thread
finished first, so that sums have the same bits for any number of threads.
"""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

T = TypeVar("T")
R = TypeVar("R")

_WAIT_S = 0.05
# Per process id: the queue of tasks and the number of threads that read it.
_pools: dict[int, tuple[queue.SimpleQueue[Any], int]] = {}
_blas_controller: Any = None


def run_slices(
    fn: Callable[[T], R],
    slices: Sequence[T],
    reduce: Callable[[R], None] | None = None,
    *,
    threads: int | None = None,
) -> None:
    """Run ``fn`` on every slice; pass the results, in order, to ``reduce``.

    Parameters
    ----------
    fn : callable
        Work on one slice. It must release the GIL in its long parts, must not
        call back into R, and should take less than 50 ms.
    slices : sequence
        Fixed by the data alone, never by the number of threads.
    reduce : callable, optional
        Called on the calling thread with each result in turn.
    threads : int, optional
        Threads to use; the engine's setting by default.
    """
    if threads is None:
        from .device import get_threads

        threads = get_threads()
    if len(slices) <= 1:
        _run_here(fn, slices, reduce)
        return
    with one_blas_thread():
        if threads <= 1:
            _run_here(fn, slices, reduce)
            return
        _run_on_threads(fn, slices, reduce, min(threads, len(slices)))


def _run_here(
    fn: Callable[[T], R], slices: Sequence[T], reduce: Callable[[R], None] | None
) -> None:
    for item in slices:
        result = fn(item)
        if reduce is not None:
            reduce(result)


def _run_on_threads(
    fn: Callable[[T], R],
    slices: Sequence[T],
    reduce: Callable[[R], None] | None,
    threads: int,
) -> None:
    tasks = _pool(threads)
    done: queue.SimpleQueue[tuple[int, Any, BaseException | None]] = queue.SimpleQueue()
    stop = threading.Event()

    # Slices being worked on. An interrupt may strike the calling thread between
    # any two instructions, so that its own counts cannot be trusted after one;
    # the workers' register can.
    active: list[int] = []

    def work(index: int) -> None:
        active.append(index)
        try:
            if not stop.is_set():
                done.put((index, fn(slices[index]), None))
        except BaseException as problem:  # handed to the caller below
            stop.set()
            done.put((index, None, problem))
        finally:
            active.remove(index)

    # Few tasks in flight, so that results waiting for their turn stay few.
    waiting: dict[int, Any] = {}
    begun = turn = 0
    problem: BaseException | None = None
    try:
        while turn < len(slices):
            while begun < len(slices) and begun - turn < 2 * threads:
                tasks.put((work, begun, threads))
                begun += 1
            try:
                index, result, problem = done.get(timeout=_WAIT_S)
            except queue.Empty:
                continue
            if problem is not None:
                raise problem
            waiting[index] = result
            while turn in waiting:
                result = waiting.pop(turn)
                if reduce is not None:
                    reduce(result)
                turn += 1
    finally:
        # The slices write into shared arrays: none may run after we return.
        # One that is not registered by now will see that it has to stop.
        stop.set()
        while active:
            time.sleep(0.001)


def _pool(threads: int) -> queue.SimpleQueue[Any]:
    pid = os.getpid()
    tasks, size = _pools.get(pid, (None, 0))
    if tasks is None or size != threads:
        if tasks is not None:
            for _ in range(size):
                tasks.put(None)
        tasks = queue.SimpleQueue()
        for k in range(threads):
            threading.Thread(
                target=_serve, args=(tasks,), name=f"vigitensor-{k}", daemon=True
            ).start()
        _pools.clear()
        _pools[pid] = (tasks, threads)
    return tasks


def _serve(tasks: queue.SimpleQueue[Any]) -> None:
    while True:
        task = tasks.get()
        if task is None:
            return
        work, index, _ = task
        work(index)


def one_blas_thread() -> Any:
    """Context in which BLAS uses one thread (slices already fill the cores)."""
    global _blas_controller
    if _blas_controller is None:
        from threadpoolctl import ThreadpoolController

        _blas_controller = ThreadpoolController()
    return _blas_controller.limit(limits=1, user_api="blas")
