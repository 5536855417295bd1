"""Which engine fits: the processor's kernels, or torch on some device."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import checks
from ._typing import Floats
from .survival import newton
from .survival.many_pass import Passes
from .survival.newton import Control, Fit
from .survival.penalty import fit_penalised, fit_thinned_first
from .survival.problem import Problem
from .survival.smoothing import Penalty

ENGINES = ("cpu", "torch")


def wce_fitter(
    engine: str, device: str | None, memory_mb: float | None
) -> Callable[[Problem, Control], Fit]:
    """The function that maximises a likelihood with an engine.

    Parameters
    ----------
    engine : {"cpu", "torch"}
    device : str, optional
        For torch: "auto" (a GPU if there is one), "cpu", "cuda", "cuda:1".
    memory_mb : float, optional
        For torch: memory that a fit may take on the device; by default a quarter
        of what is free.
    """
    if checks.word(engine, "engine", ENGINES) == "cpu":
        return newton.fit
    from .survival.torch_fit import TorchEngine

    return TorchEngine(device, memory_mb).fit


def smooth_fitter(
    engine: str, device: str | None, memory_mb: float | None
) -> Callable[[Problem, Control, Penalty], Fit]:
    """The function that maximises a penalised likelihood with an engine."""
    make = cox_evaluator(engine, device, memory_mb)
    if make is None:
        return fit_thinned_first

    def fit(problem: Problem, control: Control, penalty: Penalty) -> Fit:
        evaluate = make(problem)
        return fit_penalised(
            problem, control, penalty,
            lambda _, beta: evaluate(beta),
            lambda _, step: step.moments,
        )  # fmt: skip

    return fit


def many_passes(
    engine: str, device: str | None, memory_mb: float | None
) -> Callable[[Problem, Floats], Passes] | None:
    """What makes an engine's passes for many replicates; None for the CPU's own."""
    if checks.word(engine, "engine", ENGINES) == "cpu":
        return None
    from .survival.torch_fit import TorchEngine
    from .survival.torch_many import TorchPasses

    place = TorchEngine(device, memory_mb)
    return lambda problem, weights: TorchPasses(place, problem, weights)


def cox_evaluator(
    engine: str, device: str | None, memory_mb: float | None
) -> Callable[[Problem], Callable[[Floats], Any]] | None:
    """What makes an engine's likelihood of a problem; None for the CPU's own."""
    if checks.word(engine, "engine", ENGINES) == "cpu":
        return None
    from .survival.torch_fit import TorchEngine

    return TorchEngine(device, memory_mb).evaluator
