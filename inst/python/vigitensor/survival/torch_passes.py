"""Both passes of the partial likelihood, for B problems at once, on any device.

The same sums as ``likelihood``, which explains them. Nothing here waits for the
device: one call queues all the work of a Newton step and returns one array with
the log-likelihood, the score and the information, still on the device.

Axes: tiles, positions in an event block (``length``), problems B, blocks
(``width``); event times, B; rows, B.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .torch_device import run_parts
from .torch_features import Basis, pair_effects, pair_features, unfilled
from .torch_layout import Layout
from .torch_ops import (
    gather_ranges,
    segment_max,
    segment_moments,
    segment_sum,
    spread_ranges,
    take,
    with_nothing,
)
from .torch_plan import Chunk


@dataclass(frozen=True)
class Model:
    """One design on the device: a layout, a basis, weights."""

    layout: Layout
    basis: Basis
    death_x: Tensor  # (deaths, p)
    log_weight: Tensor  # (n + 1, B), the last row -inf
    death_weight: Tensor  # (deaths, B)
    features: tuple[Tensor | None, ...]  # per chunk; None: made when needed
    empty: tuple[Tensor | None, ...]  # per chunk, what no pair fills
    keep_risks: bool  # from the first pass to the second
    at_once: int  # rows of covariates to gather together

    @property
    def n_par(self) -> int:
        """Number of parameters of one problem."""
        return int(self.death_x.shape[1])


@dataclass(frozen=True)
class Risks:
    """Linear predictors, and how far risks are lowered at each event time."""

    coef: Tensor  # (B, features)
    effect: tuple[Tensor, ...]  # per term (m + 1, B)
    lin: Tensor  # (n + 1, B) with the log weight, less the largest
    row: Tensor  # (n + 1, B) exp(lin)
    down: Tensor  # (event blocks, length, B)
    factor: Tensor  # (events, B) exp(-down)


def newton_terms(model: Model, beta: Tensor) -> Tensor:
    """Everything a Newton step needs at ``beta`` (B, p).

    Returns (B, 1 + p + p * p + p): log-likelihood (nan where risks overflow),
    score, information, and its diagonal before means are taken off.
    """
    layout, deaths = model.layout, model.layout.deaths
    q = int(layout.z.shape[1])
    weight = model.death_weight
    counts = weight > 0
    lin = layout.z @ beta[:, :q].T + layout.offset[:, None]  # (n + 1, B)
    top = lin[:-1].amax(0)
    death_eta = model.death_x @ beta.T + take(layout.offset, deaths.row)[:, None]
    highest = torch.where(counts, death_eta, -torch.inf)
    shift = segment_max(deaths.to_events, with_nothing(highest, -torch.inf))
    shift = torch.where(torch.isinf(shift), top, shift)  # nobody's death counts
    death_eta = death_eta - take(shift, deaths.event)
    lin = lin - top + model.log_weight
    risks = Risks(
        coef=beta[:, q:],
        effect=model.basis.effect(beta[:, q:].T).tables,
        lin=lin,
        row=torch.exp(lin),
        down=_by_block(layout, shift - top),
        factor=torch.exp(top - shift),
    )

    kept: list[Tensor | None] = []
    s0 = _first_pass(model, risks, kept)
    mean_weight = _over_deaths(model, weight) / deaths.size
    rho = torch.where(counts, weight * torch.exp(death_eta), 0.0)
    phi = s0_at = take(s0, deaths.event)
    if deaths.tied:
        own = take(_over_deaths(model, rho), deaths.event)
        phi = s0_at - deaths.fraction * own
    mean_at = take(mean_weight, deaths.event)
    counted = mean_at > 0
    gain = weight * death_eta - mean_at * torch.log(phi)
    loglik = torch.where(counted, gain, 0.0).sum(0)
    sound = (~counted | (phi > 0)).all(0)
    loglik = torch.where(sound, loglik, torch.nan)
    ratio = torch.where(counted, s0_at / phi, 0.0)

    # Second pass: weights of the event times first.
    over_s0 = torch.where(mean_weight > 0, 1.0 / s0, 0.0)
    wt = mean_weight * over_s0 * _over_deaths(model, ratio)
    s1, info = _second_pass(model, risks, wt, kept)
    xbar = s1 * over_s0[..., None]  # (events, B, p)
    raw_grad = torch.einsum("eb,ebp->bp", wt, s1)
    between = _cross(
        xbar, xbar * (mean_weight * _over_deaths(model, ratio**2))[..., None]
    )
    if deaths.tied:
        # phi_l takes the share l/d of the deaths' own risk away.
        x, share = model.death_x, deaths.fraction
        w2 = _over_deaths(model, share * ratio) * mean_weight * over_s0
        part = (take(w2, deaths.event) * rho)[..., None] * x[:, None, :]
        raw_grad = raw_grad - part.sum(0)
        info = info - torch.einsum("dbp,dr->bpr", part, x)
        own_x = _over_deaths(model, rho[..., None] * x[:, None, :])
        own_x = own_x * over_s0[..., None]
        once = mean_weight * _over_deaths(model, share * ratio**2)
        twice = mean_weight * _over_deaths(model, (share * ratio) ** 2)
        mixed = _cross(xbar, own_x * once[..., None])
        between = between - mixed - mixed.transpose(1, 2)
        between = between + _cross(own_x, own_x * twice[..., None])
    score = weight.T @ model.death_x - raw_grad
    raw = torch.diagonal(info, dim1=1, dim2=2)
    info = info - between
    info = 0.5 * (info + info.transpose(1, 2))
    return torch.cat((loglik[:, None], score, info.flatten(1), raw), dim=1)


def _over_deaths(model: Model, x: Tensor) -> Tensor:
    """Sums over the deaths of each event time."""
    return segment_sum(model.layout.deaths.to_events, with_nothing(x))


def _cross(a: Tensor, b: Tensor) -> Tensor:
    """Sum over event times of a b', (B, p, r)."""
    return torch.bmm(a.permute(1, 2, 0), b.permute(1, 0, 2))


def _by_block(layout: Layout, x: Tensor) -> Tensor:
    """(events, ...) -> (event blocks, length, ...), zeros at the end."""
    blocks, length = layout.time.shape
    rest = x.new_zeros(blocks * length - x.shape[0], *x.shape[1:])
    return torch.cat((x, rest)).reshape(blocks, length, *x.shape[1:])


# ---- passes over pairs ------------------------------------------------------


def _exposed_risks(
    model: Model, risks: Risks, chunk: Chunk, k: int, features: Tensor | None
) -> Tensor:
    """Risks of a chunk's pairs, (tiles, length, B, width); 0 where none is."""
    layout = model.layout
    n_problems = int(risks.lin.shape[1])
    tiles, width = chunk.row.shape
    length = layout.tiles.length
    if features is None:
        eta = pair_effects(layout, chunk, risks.effect).transpose(2, 3)
    elif n_problems == 1:
        flat = features.reshape(-1, features.shape[-1])
        eta = torch.mv(flat, risks.coef[0]).reshape(tiles, length, 1, width)
    else:
        columns = features.reshape(tiles * length, width, -1).transpose(1, 2)
        eta = torch.matmul(risks.coef, columns)
        eta = eta.reshape(tiles, length, n_problems, width)
    base = take(risks.lin, chunk.row).transpose(1, 2)[:, None]
    lower = take(risks.down, chunk.block)[..., None]
    eta = (base - lower).add_(eta)
    empty = model.empty[k]
    eta.masked_fill_(unfilled(layout, chunk) if empty is None else empty, -torch.inf)
    return eta.exp_()


def _first_pass(model: Model, risks: Risks, kept: list[Tensor | None]) -> Tensor:
    """S0 (events, B); with ``keep_risks`` the pairs' risks go into ``kept``."""
    layout = model.layout
    chunks = layout.tiles.chunks
    total = torch.zeros_like(risks.down)
    kept.extend([None] * len(chunks))

    def work(k: int) -> tuple[Chunk, Tensor]:
        rho = _exposed_risks(model, risks, chunks[k], k, model.features[k])
        if model.keep_risks:
            kept[k] = rho
        return chunks[k], segment_sum(chunks[k].to_blocks, with_nothing(rho.sum(3)))

    def add(result: tuple[Chunk, Tensor]) -> None:
        chunk, part = result
        total[chunk.first_block : chunk.last_block] += part

    run_parts(work, range(len(chunks)), total.device, add)
    s0 = total.flatten(0, 1)[: layout.n_events]
    cells = segment_sum(layout.ranges.to_cells, risks.row)
    return s0 + _scaled(spread_ranges(layout.ranges, cells, layout.n_events), risks)


def _scaled(spread: Tensor, risks: Risks) -> Tensor:
    """Times the factor, which may be infinite where nobody is."""
    factor = risks.factor.reshape(*risks.factor.shape, *(1,) * (spread.dim() - 2))
    return torch.where(spread != 0, spread * factor, 0.0)


def _second_pass(
    model: Model, risks: Risks, wt: Tensor, kept: list[Tensor | None]
) -> tuple[Tensor, Tensor]:
    """S1 (events, B, p) and the sum of wt rho x x' (B, p, p)."""
    layout = model.layout
    q, n_problems = int(layout.z.shape[1]), int(wt.shape[1])
    total = wt.new_zeros(*layout.time.shape, n_problems, model.n_par)
    second = wt.new_zeros(n_problems, model.n_par, model.n_par)
    wt_blocks = _by_block(layout, wt)
    chunks = layout.tiles.chunks

    def work(k: int) -> tuple[Chunk, Tensor, Tensor]:
        chunk, features, rho = chunks[k], model.features[k], kept[k]
        if features is None:
            features = pair_features(layout, chunk, model.basis)
        if rho is None:
            rho = _exposed_risks(model, risks, chunk, k, features)
        kept[k] = None
        moments = _ChunkMoments(model, chunk, features, rho, wt_blocks)
        first = segment_sum(chunk.to_blocks, with_nothing(moments.first()))
        return chunk, first, moments.second()

    def add(result: tuple[Chunk, Tensor, Tensor]) -> None:
        chunk, first, part = result
        total[chunk.first_block : chunk.last_block] += first
        second.add_(part)

    run_parts(work, range(len(chunks)), total.device, add)
    s1 = total.flatten(0, 1)[: layout.n_events]
    if q:
        _add_unexposed(model, risks, wt, s1, second)
    return s1, second


class _ChunkMoments:
    """Moments of one chunk from its features and risks."""

    def __init__(
        self, model: Model, chunk: Chunk, features: Tensor, rho: Tensor, wt: Tensor
    ) -> None:
        self.tiles, self.length, self.problems, self.width = rho.shape
        self.n_feat = int(features.shape[-1])
        self.features = features
        self.rho = rho
        self.wrho = rho * take(wt, chunk.block)[..., None]
        self.q = int(model.layout.z.shape[1])
        self.z = take(model.layout.z, chunk.row)  # (tiles, width, q)

    def first(self) -> Tensor:
        """Per tile and position the sum of rho x: (tiles, length, B, p)."""
        lines = self.tiles * self.length
        s1 = torch.bmm(
            self.rho.reshape(lines, self.problems, self.width),
            self.features.reshape(lines, self.width, self.n_feat),
        ).reshape(self.tiles, self.length, self.problems, self.n_feat)
        if not self.q:
            return s1
        rho = self.rho.reshape(self.tiles, self.length * self.problems, self.width)
        covariates = torch.bmm(rho, self.z)
        shape = (self.tiles, self.length, self.problems, self.q)
        return torch.cat((covariates.reshape(shape), s1), dim=3)

    def second(self) -> Tensor:
        """The sum of wt rho x x', (B, p, p)."""
        q = self.q
        p = q + self.n_feat
        out = self.rho.new_zeros(self.problems, p, p)
        for b in range(self.problems):
            w = self.wrho[:, :, b]  # (tiles, length, width)
            weighted = w[..., None] * self.features
            by_tile = (self.tiles, self.length * self.width, self.n_feat)
            square = torch.bmm(
                weighted.reshape(by_tile).transpose(1, 2),
                self.features.reshape(by_tile),
            )
            out[b, q:, q:] = square.sum(0)
            if q:
                across = self.z.transpose(1, 2)  # (tiles, q, width)
                mixed = torch.bmm(across, weighted.sum(1)).sum(0)
                out[b, :q, q:] = mixed
                out[b, q:, :q] = mixed.T
                u = w.sum(1)[:, None]  # (tiles, 1, width)
                out[b, :q, :q] = torch.bmm(across * u, self.z).sum(0)
        return out


# ---- rows without a dose ----------------------------------------------------


def _add_unexposed(
    model: Model, risks: Risks, wt: Tensor, s1: Tensor, second: Tensor
) -> None:
    """Add what rows without a dose contribute to the covariates' moments."""
    layout, ranges = model.layout, model.layout.ranges
    q, n_problems = int(layout.z.shape[1]), int(wt.shape[1])
    if ranges.row.shape[0] == 0:
        return
    cells = segment_moments(ranges.to_cells, risks.row, layout.z, model.at_once)
    spread = spread_ranges(ranges, cells.flatten(1), layout.n_events)
    spread = spread.reshape(layout.n_events, n_problems, q)
    s1[..., :q] += _scaled(spread, risks)

    # The factor is infinite only where nobody is.
    lowered = wt * risks.factor
    lowered = torch.where(torch.isfinite(lowered), lowered, 0.0)
    weight = gather_ranges(ranges, lowered) * take(risks.row, ranges.row)
    n = int(ranges.row.shape[0])

    def work(first: int) -> Tensor:
        here = slice(first, min(first + model.at_once, n))
        z = take(layout.z, ranges.row[here])
        return torch.stack([(z * w[:, None]).T @ z for w in weight[here].unbind(1)])

    def add(part: Tensor) -> None:
        second[:, :q, :q] += part

    run_parts(work, range(0, n, model.at_once), wt.device, add)
