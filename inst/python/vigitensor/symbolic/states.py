"""Reductions as states: start, take a tile, merge with another state, finish.

A state is a tuple of arrays whose first axis is the rows, so that the state of
some rows is a slice of the state of all. Tiles come as (component, row, column) and
are merged in the order of their columns, whatever thread made them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .. import cache

Array = npt.NDArray[Any]
State = tuple[Array, ...]


class Shape(NamedTuple):
    """What a reduction reduces."""

    dim: int  # components of the formula (weights not counted)
    weights: int  # components of the weights, 0 if there are none
    columns: int
    dtype: np.dtype[Any]
    k: int
    breaks: Array | None = None  # limits of the cells of a histogram


def position_type(columns: int) -> type[Any]:
    """R has whole numbers of 32 bits; longer ones travel as doubles."""
    return np.int32 if columns < 2**31 - 1 else np.int64


class Reduction(ABC):
    """One way to reduce; ``negated`` formulas turn largest into smallest."""

    negated = False
    tiled = True  # uses compiled kernels on tiles

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        # Here, on the calling thread: loading kernels is not for threads.
        self.kernels: Any = (
            cache.load_kernels(f"{__package__}.kernels_tiles") if self.tiled else None
        )

    @abstractmethod
    def start(self, rows: int) -> State:
        """The state of rows for which nothing has come yet."""

    @abstractmethod
    def take(self, state: State, tile: Array, first: int) -> None:
        """Add a tile whose first column is ``first``."""

    @abstractmethod
    def merge(self, state: State, other: State) -> None:
        """Add a state of later columns."""

    @abstractmethod
    def finish(self, state: State) -> dict[str, Array]:
        """The result, rows first."""


class Sum(Reduction):
    """Sums; ``take`` adds tiles where no kernel has summed already."""

    tiled = False

    def start(self, rows: int) -> State:
        return (np.zeros((rows, self.shape.dim)),)

    def take(self, state: State, tile: Array, first: int) -> None:
        state[0][...] += tile.sum(axis=2).T

    def merge(self, state: State, other: State) -> None:
        state[0][...] += other[0]

    def finish(self, state: State) -> dict[str, Array]:
        return {"value": state[0].astype(self.shape.dtype, copy=False)}


class Mean(Sum):
    """Means over the reduced axis."""

    def finish(self, state: State) -> dict[str, Array]:
        mean = state[0] / max(self.shape.columns, 1)
        return {"value": mean.astype(self.shape.dtype, copy=False)}


class Product(Reduction):
    """Products."""

    def start(self, rows: int) -> State:
        return (np.ones((rows, self.shape.dim)),)

    def take(self, state: State, tile: Array, first: int) -> None:
        self.kernels.multiply(tile, state[0].T)

    def merge(self, state: State, other: State) -> None:
        state[0][...] *= other[0]

    def finish(self, state: State) -> dict[str, Array]:
        return {"value": state[0].astype(self.shape.dtype, copy=False)}


class LogSumExp(Reduction):
    """log of the sum of exp(f), or of exp(f) w with weights, per component."""

    def start(self, rows: int) -> State:
        s = self.shape
        top = np.full((rows, s.dim), -np.inf, s.dtype)
        return top, np.zeros((rows, s.dim * max(1, s.weights)))

    def take(self, state: State, tile: Array, first: int) -> None:
        top, total = state
        add = self.kernels.add_exponentials
        if self.shape.weights:
            add(tile, top.T[0], total.T)
            return
        for c in range(self.shape.dim):
            add(tile[c : c + 1], top.T[c], total.T[c : c + 1])

    def merge(self, state: State, other: State) -> None:
        top = np.maximum(state[0], other[0])
        with np.errstate(invalid="ignore"):
            for one in (state, other):
                scale = np.exp(one[0].astype(np.float64) - top)
                one[1][...] *= np.where(one[0] == top, 1.0, scale)
        state[1][...] += other[1]
        state[0][...] = top

    def finish(self, state: State) -> dict[str, Array]:
        top, total = state
        with np.errstate(all="ignore"):
            infinite = (top == np.inf) & ~np.isnan(total)
            out = np.where(infinite, top, top + np.log(total))
            if not self.shape.weights:
                out = np.where((top == -np.inf) & (total == 0), -np.inf, out)
        return {"value": out.astype(self.shape.dtype, copy=False)}


class SumSoftmaxWeight(LogSumExp):
    """Means of w weighted by exp(f); the first weight is the number 1."""

    def finish(self, state: State) -> dict[str, Array]:
        total = state[1]
        with np.errstate(all="ignore"):
            out = total[:, 1:] / total[:, :1]
        return {"value": out.astype(self.shape.dtype, copy=False)}


class Smallest(Reduction):
    """Smallest value per component and its (first) position."""

    def start(self, rows: int) -> State:
        s = self.shape
        best = np.full((rows, s.dim), np.inf, s.dtype)
        return best, np.full((rows, s.dim), -1, np.int64)

    def take(self, state: State, tile: Array, first: int) -> None:
        self.kernels.keep_smallest(tile, first, state[0].T, state[1].T)

    def merge(self, state: State, other: State) -> None:
        with np.errstate(invalid="ignore"):
            better = (other[0] < state[0]) | (np.isnan(other[0]) & ~np.isnan(state[0]))
        better |= state[1] < 0
        np.copyto(state[0], other[0], where=better)
        np.copyto(state[1], other[1], where=better)

    def finish(self, state: State) -> dict[str, Array]:
        value = -state[0] if self.negated else state[0]
        position = state[1].astype(position_type(self.shape.columns))
        return {"value": value, "index": position}


class Largest(Smallest):
    """Largest value per component and its (first) position."""

    negated = True


class KSmallest(Reduction):
    """The k smallest values in order and their positions."""

    def start(self, rows: int) -> State:
        s = self.shape
        best = np.full((rows, s.k), np.inf, s.dtype)
        return best, np.full((rows, s.k), -1, np.int64)

    def take(self, state: State, tile: Array, first: int) -> None:
        self.kernels.keep_k_smallest(tile, first, state[0], state[1])

    def merge(self, state: State, other: State) -> None:
        k = self.shape.k
        value = np.concatenate((state[0], other[0]), axis=1)
        place = np.concatenate((state[1], other[1]), axis=1)
        # Earlier columns stand first: a stable sort keeps ties in order. Places
        # not yet filled come last, also behind infinite values.
        order = np.lexsort((place < 0, value), axis=1)[:, :k]
        state[0][...] = np.take_along_axis(value, order, 1)
        state[1][...] = np.take_along_axis(place, order, 1)

    def finish(self, state: State) -> dict[str, Array]:
        value = -state[0] if self.negated else state[0]
        position = state[1].astype(position_type(self.shape.columns))
        return {"value": value, "index": position}


class KLargest(KSmallest):
    """The k largest values in order and their positions."""

    negated = True


class Histogram(Reduction):
    """How many values (or how much weight) fall into each cell."""

    def start(self, rows: int) -> State:
        assert self.shape.breaks is not None
        return (np.zeros((rows, len(self.shape.breaks) - 1)),)

    def take(self, state: State, tile: Array, first: int) -> None:
        self.kernels.count_cells(tile, self.shape.breaks, state[0])

    def merge(self, state: State, other: State) -> None:
        state[0][...] += other[0]

    def finish(self, state: State) -> dict[str, Array]:
        return {"value": state[0].astype(self.shape.dtype, copy=False)}


REDUCTIONS: dict[str, type[Reduction]] = {
    "sum": Sum,
    "mean": Mean,
    "prod": Product,
    "logsumexp": LogSumExp,
    "sumsoftmaxweight": SumSoftmaxWeight,
    "min": Smallest,
    "max": Largest,
    "kmin": KSmallest,
    "kmax": KLargest,
    "histogram": Histogram,
}
