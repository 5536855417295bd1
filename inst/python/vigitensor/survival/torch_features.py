"""Features of the exposed pairs of one chunk.

A block's dose is the level before its first step in the window, all of it as old
as the window is long, and a change at each step: D(t) = level C(m) + sum_j
change_j C(t - b_j), where C(u) = 0 for u <= 0 and C(m) beyond m. The i-th steps
of all blocks are added at once; tiles with many steps come first in a chunk, so
that they are always the first so many tiles.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .torch_layout import Layout
from .torch_plan import Chunk


@dataclass(frozen=True)
class Basis:
    """Cumulated tables of the terms."""

    tables: tuple[Tensor, ...]  # per term (m + 1, columns)

    @property
    def n_columns(self) -> int:
        """Number of features."""
        return sum(int(t.shape[1]) for t in self.tables)

    def effect(self, coef: Tensor) -> Basis:
        """The tables' linear predictors for coefficients (features, B)."""
        parts = coef.split([int(t.shape[1]) for t in self.tables])
        return Basis(tuple(t @ b for t, b in zip(self.tables, parts)))


def pair_features(layout: Layout, chunk: Chunk, basis: Basis) -> Tensor:
    """D, (tiles, length, width, features): each term's columns side by side."""
    shape = _shape(layout, chunk, basis.n_columns)
    out = basis.tables[0].new_empty(shape)
    begin = 0
    for k, table in enumerate(basis.tables):
        end = begin + int(table.shape[1])
        out[..., begin:end] = (chunk.terms[k].level[:, None, :, None]) * table[-1]
        _add_steps(layout, chunk, k, table, out[..., begin:end])
        begin = end
    return out


def pair_effects(layout: Layout, chunk: Chunk, effect: Sequence[Tensor]) -> Tensor:
    """Linear predictor of the exposure, (tiles, length, width, B).

    ``effect`` holds the tables' linear predictors, (m + 1, B), of each term.
    """
    out = effect[0].new_zeros(_shape(layout, chunk, int(effect[0].shape[1])))
    for k, table in enumerate(effect):
        out += chunk.terms[k].level[:, None, :, None] * table[-1]
        _add_steps(layout, chunk, k, table, out)
    return out


def unfilled(layout: Layout, chunk: Chunk) -> Tensor:
    """Positions (tiles, length, 1, width) that no pair fills."""
    at = torch.arange(layout.tiles.length, device=chunk.lo.device, dtype=torch.int32)
    at = at[:, None]
    outside = (at < chunk.lo[:, None, :]) | (at >= chunk.hi[:, None, :])
    return outside[:, :, None, :]


def _shape(layout: Layout, chunk: Chunk, columns: int) -> tuple[int, int, int, int]:
    tiles, width = chunk.row.shape
    return int(tiles), layout.tiles.length, int(width), columns


def _add_steps(
    layout: Layout, chunk: Chunk, k: int, table: Tensor, out: Tensor
) -> None:
    steps = chunk.terms[k]
    time = layout.time.index_select(0, chunk.block)[:, :, None]
    oldest = int(table.shape[0]) - 1
    for i, tiles in enumerate(steps.reach):
        at = (steps.first[:tiles] + i).reshape(-1)
        shape = (tiles, 1, -1)
        change = layout.step_change.index_select(0, at).reshape(shape)
        change = torch.where((steps.count[:tiles] > i)[:, None, :], change, 0.0)
        since = time[:tiles] - layout.step_time.index_select(0, at).reshape(shape)
        held = torch.embedding(table, since.clamp_(0, oldest))
        out[:tiles].addcmul_(held, change[..., None])
