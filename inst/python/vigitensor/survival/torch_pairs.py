"""Passes over the exposed pairs, chunk by chunk, for B problems at once.

Axes of a chunk: tiles, positions in an event block (``length``), blocks
(``width``), problems or columns.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .torch_device import run_parts
from .torch_features import pair_features, unfilled
from .torch_model import Model, Risks
from .torch_ops import segment_sum, take, with_nothing
from .torch_plan import Chunk


def pair_sums(
    model: Model, risks: Risks, kept: list[Tensor | None]
) -> tuple[Tensor, Tensor]:
    """Sums over each event time of rho (events, B) and rho x (events, B, p).

    With ``keep_risks`` the pairs' risks go into ``kept``.
    """
    layout = model.layout
    chunks = layout.tiles.chunks
    s0 = torch.zeros_like(risks.down)
    s1 = s0.new_zeros(*s0.shape, model.n_par)
    kept.extend([None] * len(chunks))

    def work(k: int) -> tuple[Chunk, Tensor, Tensor]:
        chunk = chunks[k]
        features = _features(model, k)
        rho = _risks(model, risks, k, features)
        if model.keep_risks:
            kept[k] = rho
        first = segment_sum(
            chunk.to_blocks, with_nothing(_first(model, chunk, features, rho))
        )
        return chunk, segment_sum(chunk.to_blocks, with_nothing(rho.sum(2))), first

    def add(result: tuple[Chunk, Tensor, Tensor]) -> None:
        chunk, zero, first = result
        s0[chunk.first_block : chunk.last_block] += zero
        s1[chunk.first_block : chunk.last_block] += first

    run_parts(work, range(len(chunks)), s0.device, add)
    n = layout.n_events
    return s0.flatten(0, 1)[:n], s1.flatten(0, 1)[:n]


def pair_squares(
    model: Model, risks: Risks, wt: Tensor, kept: list[Tensor | None]
) -> Tensor:
    """The sum of wt rho x x' over all pairs, (B, p, p); wt (blocks, length, B)."""
    chunks = model.layout.tiles.chunks
    second = wt.new_zeros(wt.shape[2], model.n_par, model.n_par)

    def work(k: int) -> Tensor:
        features, rho = _features(model, k), kept[k]
        if rho is None:
            rho = _risks(model, risks, k, features)
        kept[k] = None
        rho = rho.mul_(take(wt, chunks[k].block)[:, :, None])
        z = take(model.layout.z, chunks[k].row)
        if rho.shape[3] == 1:
            return _square_alone(features, rho[..., 0], z)[None]
        return _squares_together(features, rho, z)

    def add(part: Tensor) -> None:
        second.add_(part)

    run_parts(work, range(len(chunks)), wt.device, add)
    return second


def _features(model: Model, k: int) -> Tensor:
    stored = model.features[k]
    if stored is not None:
        return stored
    return pair_features(model.layout, model.layout.tiles.chunks[k], model.basis)


def _risks(model: Model, risks: Risks, k: int, features: Tensor) -> Tensor:
    """Risks of a chunk's pairs, (tiles, length, width, B); 0 where none is."""
    layout, chunk = model.layout, model.layout.tiles.chunks[k]
    eta = torch.mm(features.flatten(0, 2), risks.coef.T)
    eta = eta.reshape(*features.shape[:3], -1)
    eta += take(risks.lin, chunk.row)[:, None]
    eta -= take(risks.down, chunk.block)[:, :, None]
    empty = model.empty[k]
    eta.masked_fill_(unfilled(layout, chunk) if empty is None else empty, -torch.inf)
    return eta.exp_()


def _first(model: Model, chunk: Chunk, features: Tensor, rho: Tensor) -> Tensor:
    """Per tile and position the sum of rho x: (tiles, length, B, p)."""
    tiles, length, width, problems = rho.shape
    lines = tiles * length
    by_line = rho.reshape(lines, width, problems).transpose(1, 2)
    s1 = torch.bmm(by_line, features.reshape(lines, width, -1))
    s1 = s1.reshape(tiles, length, problems, -1)
    if not model.n_cov:
        return s1
    z = take(model.layout.z, chunk.row)
    if problems == 1:
        first = torch.bmm(rho.reshape(tiles, length, width), z)[:, :, None]
    else:
        # A copy of z per line is less than one of rho with its axes turned.
        z = z[:, None].expand(-1, length, -1, -1).reshape(lines, width, -1)
        first = torch.bmm(by_line, z).reshape(tiles, length, problems, -1)
    return torch.cat((first, s1), dim=3)


def _square_alone(features: Tensor, w: Tensor, z: Tensor) -> Tensor:
    """The sum of w x x' for one problem, w (tiles, length, width)."""
    n_feat, q = int(features.shape[3]), int(z.shape[2])
    out = w.new_empty(q + n_feat, q + n_feat)
    weighted = w[..., None] * features
    flat, z = weighted.flatten(0, 2), z.flatten(0, 1)
    out[q:, q:] = flat.T @ features.flatten(0, 2)
    if q:
        out[:q, q:] = z.T @ weighted.sum(1).flatten(0, 1)
        out[q:, :q] = out[:q, q:].T
        out[:q, :q] = (z * w.sum(1).reshape(-1, 1)).T @ z
    return out


def _squares_together(features: Tensor, w: Tensor, z: Tensor) -> Tensor:
    """The same for B problems, w (tiles, length, width, B).

    The products of features do not depend on the problem: one matrix product
    gives them their weights.
    """
    n_feat, q = int(features.shape[3]), int(z.shape[2])
    problems = int(w.shape[3])
    x = features
    half = list(pairs_of(n_feat))
    columns = [x[..., c : c + 1] * x[..., : c + 1] for c in range(n_feat)]
    columns += [x * z[:, None, :, c : c + 1] for c in range(q)]
    products = torch.cat(columns, dim=3).flatten(0, 2)
    sums = w.flatten(0, 2).T @ products  # (B, columns)
    out = w.new_empty(problems, q + n_feat, q + n_feat)
    for at, (c, d) in enumerate(half):
        out[:, q + c, q + d] = out[:, q + d, q + c] = sums[:, at]
    if q:
        mixed = sums[:, len(half) :].reshape(problems, q, n_feat)
        out[:, :q, q:] = mixed
        out[:, q:, :q] = mixed.transpose(1, 2)
        out[:, :q, :q] = weighted_squares(w.sum(1).flatten(0, 1), z.flatten(0, 1))
    return out


def pairs_of(n: int) -> list[tuple[int, int]]:
    """Places of a lower triangle, by rows."""
    return [(c, d) for c in range(n) for d in range(c + 1)]


def weighted_squares(w: Tensor, z: Tensor) -> Tensor:
    """The sums of w[:, b] z z', (B, q, q), for w (n, B) and z (n, q)."""
    q = int(z.shape[1])
    if w.shape[1] == 1:
        return ((z * w).T @ z)[None]
    products = torch.cat([z[:, c : c + 1] * z[:, : c + 1] for c in range(q)], dim=1)
    sums = w.T @ products
    out = w.new_empty(w.shape[1], q, q)
    for at, (c, d) in enumerate(pairs_of(q)):
        out[:, c, d] = out[:, d, c] = sums[:, at]
    return out
