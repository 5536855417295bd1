"""Features of the exposed pairs of one chunk.

A block's dose is the level before its first step in the window, all of it as old
as the window is long, and a change at each step: D(t) = level C(m) + sum_j
change_j C(t - b_j), where C(u) = 0 for u <= 0 and C(m) beyond m. The i-th steps
of all blocks are added at once; tiles with many steps come first in a chunk, so
that they are always the first so many tiles.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Union

import numpy as np
import torch
from torch import Tensor

from .problem import PAD, Problem
from .torch_layout import Layout
from .torch_plan import Chunk
from .torch_segments import Placed


@dataclass(frozen=True)
class Table:
    """C on the lags 0, 1, ..., m: whole times."""

    values: Placed  # (m + 1, columns)
    whole: Placed  # (columns,) C(m)

    def at(self, since: Tensor) -> Tensor:
        """C of times since a step, (..., columns)."""
        oldest = int(self.values.shape[0]) - 1
        return torch.embedding(self.values, since.clamp(0, oldest))


@dataclass(frozen=True)
class Polynomials:
    """C as a piecewise polynomial on [0, m]: real-valued times."""

    window: float
    left: Placed  # (pieces,) where each piece begins
    coef: tuple[Placed, ...]  # per power of the distance from there (pieces, columns)
    whole: Placed  # (columns,) C(m)

    def at(self, since: Tensor) -> Tensor:
        """C of times since a step, (..., columns)."""
        u = since.clamp(0.0, self.window)
        piece = torch.bucketize(u, self.left[1:], out_int32=True)
        h = (u - torch.embedding(self.left[:, None], piece)[..., 0])[..., None]
        value = torch.embedding(self.coef[-1], piece)
        for coef in self.coef[-2::-1]:
            value = value.mul_(h).add_(torch.embedding(coef, piece))
        return value


Curves = Union[Table, Polynomials]


@dataclass(frozen=True)
class Basis:
    """The cumulated basis of every term."""

    curves: tuple[Curves, ...]

    @property
    def n_columns(self) -> int:
        """Number of features."""
        return sum(int(c.whole.shape[0]) for c in self.curves)


def basis_of(problem: Problem) -> Basis:
    """The bases of a problem, still on the host, as NumPy arrays."""
    p = problem
    out: list[Curves] = []
    for k in range(p.cut.size):
        rows = p.ctab[p.col_ptr[k] : p.col_ptr[k + 1]]
        if p.tev.dtype.kind != "f":
            table = np.ascontiguousarray(rows[:, PAD : PAD + int(p.cut[k]) + 1].T)
            out.append(Table(table, table[-1].copy()))
            continue
        # As `pack_curves` lays them out: the header is the same for all columns.
        pieces, powers, head = int(rows[0, 0]), int(rows[0, 1]), int(p.head[k])
        breaks = rows[0, 2:head]
        coef = rows[:, head : head + pieces * powers].reshape(-1, pieces, powers)
        last = (breaks[-1] - breaks[-2]) ** np.arange(powers)
        out.append(
            Polynomials(
                window=float(breaks[-1]),
                left=breaks[:-1].copy(),
                coef=tuple(coef[:, :, d].T.copy() for d in range(powers)),
                whole=coef[:, -1] @ last,
            )
        )
    return Basis(tuple(out))


def pair_features(layout: Layout, chunk: Chunk, basis: Basis) -> Tensor:
    """D, (tiles, length, width, features): each term's columns side by side."""
    tiles, width = chunk.row.shape
    shape = (int(tiles), layout.tiles.length, int(width), basis.n_columns)
    out = layout.z.new_empty(shape)
    begin = 0
    for k, curve in enumerate(basis.curves):
        end = begin + int(curve.whole.shape[0])
        out[..., begin:end] = (chunk.terms[k].level[:, None, :, None]) * curve.whole
        _add_steps(layout, chunk, k, curve, out[..., begin:end])
        begin = end
    return out


def unfilled(layout: Layout, chunk: Chunk) -> Tensor:
    """Positions (tiles, length, width, 1) that no pair fills."""
    at = torch.arange(layout.tiles.length, device=chunk.lo.device, dtype=torch.int32)
    at = at[:, None]
    outside = (at < chunk.lo[:, None, :]) | (at >= chunk.hi[:, None, :])
    return outside[..., None]


def _add_steps(
    layout: Layout, chunk: Chunk, k: int, curve: Curves, out: Tensor
) -> None:
    steps = chunk.terms[k]
    time = layout.time.index_select(0, chunk.block)[:, :, None]
    for i, tiles in enumerate(steps.reach):
        at = (steps.first[:tiles] + i).reshape(-1)
        shape = (tiles, 1, -1)
        change = layout.step_change.index_select(0, at).reshape(shape)
        change = torch.where((steps.count[:tiles] > i)[:, None, :], change, 0.0)
        since = time[:tiles] - layout.step_time.index_select(0, at).reshape(shape)
        out[:tiles].addcmul_(curve.at(since), change[..., None])
