"""torch itself: imported when first asked for, its devices, memory and threads."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from ..device import memory_available
from ..errors import EngineError
from ..pool import run_slices

T = TypeVar("T")
R = TypeVar("R")

# Share of the memory that is free on the device, when nobody said how much.
_SHARE = 0.25
_MIN_MB = 64.0
_first_user: int | None = None


def load_torch() -> Any:
    """The module ``torch``; an error that says what to do where it is missing."""
    global _first_user
    if _first_user is not None and _first_user != os.getpid():
        raise EngineError(
            "torch hangs in a forked process whose parent has used it; start a "
            'new process instead, or use engine "cpu".',
            code="torch_forked",
            arg="engine",
        )
    try:
        import torch
    except ImportError:
        raise EngineError(
            'Engine "torch" needs the Python package torch, which is not '
            "installed: install_engine(gpu = TRUE) in R, or pip install torch.",
            code="no_torch",
            arg="engine",
        ) from None
    _first_user = os.getpid()
    return torch


def torch_devices() -> list[str] | None:
    """Devices that torch sees; None as long as nobody has imported it."""
    torch = sys.modules.get("torch")
    if torch is None or not hasattr(torch, "cuda"):
        return None
    return ["cpu", *(f"cuda:{k}" for k in range(torch.cuda.device_count()))]


def find_device(name: str | None) -> Any:
    """A ``torch.device``; "auto" is the first GPU if there is one, else the CPU."""
    torch = load_torch()
    name = "auto" if name is None else str(name)
    there = torch_devices() or ["cpu"]
    if name == "auto":
        name = there[1] if len(there) > 1 else "cpu"
    wanted = "cuda:0" if name == "cuda" else name
    if wanted not in there:
        choices = " or ".join(f'"{d}"' for d in ["auto", *there])
        raise EngineError(
            f'There is no device "{name}" here; use {choices}.'
            + ("" if len(there) > 1 else " This torch sees no GPU."),
            code="no_device",
            arg="device",
        )
    return torch.device(wanted)


def memory_budget(device: Any, memory_mb: float | None) -> float:
    """Bytes that a fit may use on a device."""
    if memory_mb is not None:
        number = float(memory_mb)
        if not number >= _MIN_MB or number == float("inf"):
            raise EngineError(
                f"`memory_mb` must be a number of at least {_MIN_MB:g}.",
                code="bad_memory",
                arg="memory_mb",
            )
        return number * 2**20
    if device.type == "cuda":
        free = float(load_torch().cuda.mem_get_info(device)[0])
    else:
        free = memory_available() or 4 * 2**30
    return max(_SHARE * free, _MIN_MB * 2**20)


@contextlib.contextmanager
def engine_threads(device: Any) -> Iterator[None]:
    """No gradients; on the CPU, no threads of torch's own.

    Chunks run on the engine's pool instead: the order of sums does not depend on
    the number of threads then, and threads that spin while they wait for each
    other do not fight other programs for the cores.
    """
    torch = load_torch()
    before = torch.get_num_threads()
    if device.type == "cpu":
        torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            yield
    finally:
        if device.type == "cpu":
            torch.set_num_threads(before)


def run_parts(
    work: Callable[[T], R],
    parts: Sequence[T],
    device: Any,
    reduce: Callable[[R], None] | None = None,
) -> None:
    """``work`` on every part, ``reduce`` on the results in the parts' order.

    On the engine's threads for the CPU; one after the other on a GPU, where each
    part queues more work than the device does at a time.
    """
    if device.type != "cpu":
        run_slices(work, parts, reduce, threads=1)
        return
    torch = load_torch()

    def alone(part: T) -> R:
        torch.set_num_threads(1)  # a setting of this thread
        with torch.inference_mode():
            return work(part)

    run_slices(alone, parts, reduce)
