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

    def reduce(self, *args: Any, **more: Any) -> dict[str, Any]:
        """A reduction over j by torch or KeOps."""
        if self.name == "torch":
            from .torch_evaluate import reduce

            return reduce(*args, device=self.device, **more)
        from . import keops

        return keops.reduce(*args, **more)


CPU = Engine()
current: contextvars.ContextVar[Engine] = contextvars.ContextVar("engine")


def installed() -> list[str]:
    """Evaluators that this environment has."""
    found = importlib.util.find_spec
    return [n for n in NAMES if n not in _NEEDS or found(_NEEDS[n]) is not None]


@contextmanager
def using(name: str, device: str | None) -> Iterator[None]:
    """Reductions within are computed by this evaluator."""
    if name not in NAMES:
        raise EngineError(
            f"`engine` must be one of {', '.join(NAMES)}; it is {name!r}.",
            code="bad_engine",
            arg="engine",
        )
    if name in _NEEDS and name not in installed():
        raise EngineError(
            f"The engine {name!r} needs the Python package {_NEEDS[name]!r}.",
            code="no_engine",
            arg="engine",
        )
    chosen = CPU if name == "cpu" else Engine(name, _device(name, device))
    token = current.set(chosen)
    try:
        yield
    finally:
        current.reset(token)


def _device(name: str, device: str | None) -> str:
    if name != "torch" or device not in (None, "auto"):
        return device or "cpu"
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
