"""Which evaluator computes reductions: the CPU's kernels, torch, or KeOps."""

from __future__ import annotations

import contextvars
import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from ..errors import EngineError

NAMES = ("cpu", "torch", "keops")
_NEEDS = {"torch": "torch", "keops": "pykeops"}


class Engine(NamedTuple):
    """An evaluator and its device (of torch)."""

    name: str = "cpu"
    device: str = "cpu"
    keep: bool = False  # values stay on the device

    def reduce(self, *args: Any, **more: Any) -> dict[str, Any]:
        """A reduction over j by torch or KeOps."""
        if self.name == "torch":
            from .torch_evaluate import reduce

            return reduce(*args, device=self.device, keep=self.keep, **more)
        from . import keops

        return keops.reduce(*args, **more)


CPU = Engine()
current: contextvars.ContextVar[Engine] = contextvars.ContextVar("engine")


def installed() -> list[str]:
    """Evaluators that this environment has."""
    found = importlib.util.find_spec
    return [n for n in NAMES if n not in _NEEDS or found(_NEEDS[n]) is not None]


def chosen(name: str, device: str | None) -> Engine:
    """An evaluator that is there, and its device."""
    if name not in NAMES:
        raise EngineError(
            f"`engine` must be one of {', '.join(NAMES)}; it is {name!r}.",
            code="bad_engine",
            arg="engine",
        )
    if name == "cpu":
        return CPU
    if name not in installed():
        raise EngineError(
            f"The engine {name!r} needs the Python package {_NEEDS[name]!r}.",
            code="no_engine",
            arg="engine",
        )
    return Engine(name, _device(name, device))


@contextmanager
def using(name: str, device: str | None, keep: bool = False) -> Iterator[Engine]:
    """Reductions within are computed by this evaluator.

    ``keep``: torch leaves values (not positions) on its device.
    """
    one = chosen(name, device)
    if keep and one.name == "torch":
        one = one._replace(keep=True)
    token = current.set(one)
    try:
        yield one
    finally:
        current.reset(token)


def _device(name: str, device: str | None) -> str:
    if name != "torch":
        return "cpu"
    import torch

    if device in (None, "auto"):
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError):
        raise EngineError(
            f"torch has no device {device!r} here.", code="no_device", arg="device"
        ) from None
    return str(device)
