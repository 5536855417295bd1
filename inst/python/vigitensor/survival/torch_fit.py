"""Fits on a device: the host's Newton method, the device's passes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._typing import Floats
from ..device import get_threads
from ..errors import EngineError
from . import newton
from .exposure import Runs
from .likelihood import Moments
from .newton import Control, Fit
from .problem import Problem
from .torch_device import (
    engine_threads,
    find_device,
    load_torch,
    memory_budget,
    run_parts,
)

# Numbers handled together, one per position and problem: enough to keep a GPU
# busy, or to stay in a CPU's cache while they are worked on.
_POSITIONS = {"cpu": 1 << 17, "cuda": 1 << 23}
_ROWS_AT_ONCE = {"cpu": 1 << 15, "cuda": 1 << 20}
# Share of the memory that the working arrays of one chunk may take.
_CHUNK_SHARE = 0.3


@dataclass(frozen=True)
class Step:
    """What one pass over the data gives, already on the host."""

    beta: Floats
    loglik: float
    moments: Moments


class TorchEngine:
    """Fits problems on one device, within a budget of memory.

    Layouts are kept for problems that share their exposed runs: the knots of a
    grid differ in their basis alone.
    """

    def __init__(self, device: str | None = None, memory_mb: float | None = None):
        self.device = find_device(device)
        self.budget = memory_budget(self.device, memory_mb)
        self._runs: Runs | None = None
        self._problems = 0
        self._layout: Any = None

    @property
    def kind(self) -> str:
        """Kind of device."""
        return "cuda" if self.device.type == "cuda" else "cpu"

    def put(self, x: Any) -> Any:
        """An array on the device."""
        # torch takes no array that is read-only, as R's are.
        x = np.require(x, requirements=["C", "W"])
        return load_torch().from_numpy(x).to(self.device)

    def fit(self, problem: Problem, control: Control) -> Fit:
        """Maximise the likelihood from zero."""
        evaluate = self.evaluator(problem)
        return newton.fit(
            problem,
            control,
            lambda _, beta: evaluate(beta),
            lambda _, step: step.moments,
        )

    def evaluator(self, problem: Problem) -> Callable[[Floats], Step]:
        """The likelihood of a problem as a function of its parameters (p,).

        Each call waits for the device once. Moments come with every value: a
        second wait would cost more than the few that are not used.
        """
        with engine_threads(self.device):
            model = self.model(problem, problem.weight[:, None])
        from .torch_passes import newton_terms

        p = problem.n_par

        def evaluate(beta: Floats) -> Step:
            with engine_threads(self.device):
                found = newton_terms(model, self.put(beta[None]))[0].cpu().numpy()
            return Step(beta, *split_terms(found, p))

        return evaluate

    def model(self, problem: Problem, weight: Floats, together: int = 0) -> Any:
        """A problem on the device with B weight vectors, (n, B).

        ``together``: memory is planned for so many.
        """
        from .torch_features import basis_of, pair_features, unfilled
        from .torch_layout import move_layout, plan_layout
        from .torch_model import Model, weights_of
        from .torch_ops import bytes_of, on_device

        n_problems = together or weight.shape[1]
        per_position = working_bytes(problem, n_problems)
        if self._runs is not problem.runs or self._problems != n_problems:
            self._layout = None  # frees the old one first
            most = int(_CHUNK_SHARE * self.budget / (per_position * self._at_once()))
            positions = max(_POSITIONS[self.kind] // n_problems, 1)
            on_host = plan_layout(problem, min(most, positions))
            self._size = bytes_of(on_host)
            self._layout = move_layout(on_host, self.put)
            self._runs, self._problems = problem.runs, n_problems
        layout = self._layout
        basis = on_device(basis_of(problem), self.put)
        left = self._left(problem, n_problems, per_position)
        chunks = layout.tiles.chunks
        stored: list[int] = []
        for k, chunk in enumerate(chunks):
            positions = chunk.row.numel() * layout.tiles.length
            size = positions * (8 * basis.n_columns + 1)
            if size <= left:
                left -= size
                stored.append(k)
        features: list[Any] = [None] * len(chunks)
        empty: list[Any] = [None] * len(chunks)

        def store(k: int) -> None:
            features[k] = pair_features(layout, chunks[k], basis)
            empty[k] = unfilled(layout, chunks[k])

        run_parts(store, stored, self.device)
        risks = layout.tiles.positions() * 8 * n_problems
        return Model(
            layout=layout,
            basis=basis,
            weights=on_device(weights_of(problem.risk, weight), self.put),
            death_x=self.put(problem.death_x),
            features=tuple(features),
            empty=tuple(empty),
            keep_risks=risks <= left,
            at_once=max(_ROWS_AT_ONCE[self.kind] // n_problems, 1),
        )

    def _left(self, problem: Problem, n_problems: int, per_position: int) -> float:
        """Bytes left for features once all that is needed is taken off."""
        tiles = self._layout.tiles
        largest = max((c.row.numel() * tiles.length for c in tiles.chunks), default=0)
        working = largest * per_position * self._at_once()
        needed = self._size + working + self._held(problem, n_problems)
        if needed > self.budget:
            raise EngineError(
                f"The data need {needed / 2**20:.0f} MB on the device and "
                f"{self.budget / 2**20:.0f} MB are allowed; raise `memory_mb` or "
                'use engine "cpu".',
                code="device_memory",
                arg="memory_mb",
            )
        return self.budget - needed

    def _held(self, problem: Problem, n_problems: int) -> float:
        """Bytes of arrays over rows and event times."""
        ranges = self._layout.ranges.row.numel()
        rows = 8 * (problem.weight.size + ranges) * (problem.n_cov + 4 * n_problems)
        columns = 2 * problem.n_par + 6 * problem.n_cov + 8
        return rows + problem.risk.width * 8 * n_problems * columns

    def _at_once(self) -> int:
        """Chunks in work at the same time."""
        return get_threads() if self.device.type == "cpu" else 1


def split_terms(found: Floats, p: int) -> tuple[float, Moments]:
    """Log-likelihood and moments from what ``newton_terms`` returns of a problem."""
    info = found[1 + p : 1 + p + p * p].reshape(p, p)
    return float(found[0]), Moments(found[1 : 1 + p], info, found[1 + p + p * p :])


def working_bytes(problem: Problem, n_problems: int) -> int:
    """Bytes per position of a chunk while it is worked on."""
    q = problem.n_cov
    columns = problem.n_par - q
    # Features, the table's entries, weighted features; risks and their like.
    numbers = 3 * columns + 5 * n_problems + q + 1
    if n_problems > 1:
        # Products of features, twice: side by side, and before that.
        numbers += 2 * (columns * (columns + 1) // 2 + q * columns)
    if problem.tev.dtype.kind == "f":
        numbers += columns + 3
    return 8 * numbers + 4
