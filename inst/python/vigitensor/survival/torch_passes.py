"""Both passes of the partial likelihood, for B problems at once, on any device.

The same sums as ``likelihood``, which explains them. Nothing here waits for the
device: one call queues all the work of a Newton step and returns one array with
the log-likelihood, the score and the information, still on the device.

Axes: event times, B; rows, B; for pairs see ``torch_pairs``.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .torch_device import run_parts
from .torch_layout import Layout
from .torch_model import Model, Risks
from .torch_ops import (
    gather_ranges,
    segment_max,
    segment_moments,
    segment_sum,
    spread_ranges,
    take,
    with_nothing,
)
from .torch_pairs import pair_squares, pair_sums, weighted_squares


@dataclass(frozen=True)
class FirstPass:
    """What one pass over the data leaves at ``beta`` (B, p)."""

    risks: Risks
    kept: list[Tensor | None]  # per chunk, risks of pairs
    loglik: Tensor  # (B,) nan where risks overflow
    score: Tensor  # (B, p)
    rho: Tensor  # (deaths, B) weighted risks
    ratio: Tensor  # (deaths, B) S0 / phi_l, 0 where a death has no weight
    over_s0: Tensor  # (events, B) 1 / S0, 0 where no death counts
    wt: Tensor  # (events, B) weight of an event time in second moments
    xbar: Tensor  # (events, B, p) mean covariates at risk


def score_terms(model: Model, beta: Tensor) -> Tensor:
    """Log-likelihood and score at ``beta`` (B, p): (B, 1 + p)."""
    found = first_pass(model, beta)
    return torch.cat((found.loglik[:, None], found.score), dim=1)


def newton_terms(model: Model, beta: Tensor) -> Tensor:
    """Everything a Newton step needs at ``beta`` (B, p).

    Returns (B, 1 + p + p * p + p): log-likelihood (nan where risks overflow),
    score, information, and its diagonal before means are taken off.
    """
    found = first_pass(model, beta)
    info, raw = information(model, found)
    parts = (found.loglik[:, None], found.score, info.flatten(1), raw)
    return torch.cat(parts, dim=1)


def first_pass(model: Model, beta: Tensor) -> FirstPass:
    """Log-likelihood and score, and what the information needs of them."""
    layout, deaths, w = model.layout, model.layout.deaths, model.weights
    q = model.n_cov
    counts = w.death > 0
    lin = layout.z @ beta[:, :q].T + layout.offset[:, None]  # (n + 1, B)
    top = lin[:-1].amax(0)
    death_eta = model.death_x @ beta.T + take(layout.offset, deaths.row)[:, None]
    highest = torch.where(counts, death_eta, -torch.inf)
    shift = segment_max(deaths.to_events, with_nothing(highest, -torch.inf))
    shift = torch.where(torch.isinf(shift), top, shift)  # nobody's death counts
    death_eta = death_eta - take(shift, deaths.event)
    lin = lin.sub_(top).add_(w.log)
    risks = Risks(
        coef=beta[:, q:],
        lin=lin,
        row=torch.exp(lin),
        down=_by_block(layout, shift - top),
        factor=torch.exp(top - shift),
    )
    kept: list[Tensor | None] = []
    s0, s1 = pair_sums(model, risks, kept)
    _add_unexposed(model, risks, s0, s1)

    rho = torch.where(counts, w.death * torch.exp(death_eta), 0.0)
    phi = s0_at = take(s0, deaths.event)
    if deaths.tied:
        phi = s0_at - w.fraction * take(model.over_deaths(rho), deaths.event)
    mean_at = take(w.mean, deaths.event)
    gain = w.death * death_eta - mean_at * torch.log(phi)
    loglik = torch.where(counts, gain, 0.0).sum(0)
    sound = (~counts | (phi > 0)).all(0)
    loglik = torch.where(sound, loglik, torch.nan)
    ratio = torch.where(counts, s0_at / phi, 0.0)
    over_s0 = torch.where(w.mean > 0, 1.0 / s0, 0.0)
    wt = w.mean * over_s0 * model.over_deaths(ratio)
    score = w.death.T @ model.death_x - torch.einsum("eb,ebp->bp", wt, s1)
    if deaths.tied:
        # phi_l takes the share l/d of the deaths' own risk away.
        score = score + (_tied_weight(model, ratio, over_s0) * rho).T @ model.death_x
    return FirstPass(
        risks, kept, loglik, score, rho, ratio, over_s0, wt, s1 * over_s0[..., None]
    )


def information(model: Model, at: FirstPass) -> tuple[Tensor, Tensor]:
    """Information (B, p, p) and its diagonal before means are taken off (B, p)."""
    w, x = model.weights, model.death_x
    info = pair_squares(model, at.risks, _by_block(model.layout, at.wt), at.kept)
    _add_unexposed_squares(model, at.risks, at.wt, info)
    xbar, ratio = at.xbar, at.ratio
    weight = w.mean * model.over_deaths(ratio**2)
    between = _cross(xbar, xbar * weight[..., None])
    if model.layout.deaths.tied:
        part = (_tied_weight(model, ratio, at.over_s0) * at.rho)[..., None]
        part = part * x[:, None, :]
        info = info - torch.einsum("dbp,dr->bpr", part, x)
        own_x = model.over_deaths(at.rho[..., None] * x[:, None, :])
        own_x = own_x * at.over_s0[..., None]
        once = w.mean * model.over_deaths(w.fraction * ratio**2)
        twice = w.mean * model.over_deaths((w.fraction * ratio) ** 2)
        mixed = _cross(xbar, own_x * once[..., None])
        between = between - mixed - mixed.transpose(1, 2)
        between = between + _cross(own_x, own_x * twice[..., None])
    raw = torch.diagonal(info, dim1=1, dim2=2)
    info = info - between
    return 0.5 * (info + info.transpose(1, 2)), raw


def _tied_weight(model: Model, ratio: Tensor, over_s0: Tensor) -> Tensor:
    """What each tied death is spared, per unit of its risk, (deaths, B)."""
    w = model.weights
    spared = model.over_deaths(w.fraction * ratio) * w.mean * over_s0
    return take(spared, model.layout.deaths.event)


def _cross(a: Tensor, b: Tensor) -> Tensor:
    """Sum over event times of a b', (B, p, r)."""
    return torch.bmm(a.permute(1, 2, 0), b.permute(1, 0, 2))


def _by_block(layout: Layout, x: Tensor) -> Tensor:
    """(events, ...) -> (event blocks, length, ...), zeros at the end."""
    blocks, length = layout.time.shape
    rest = x.new_zeros(blocks * length - x.shape[0], *x.shape[1:])
    return torch.cat((x, rest)).reshape(blocks, length, *x.shape[1:])


# ---- rows without a dose ----------------------------------------------------


def _add_unexposed(model: Model, risks: Risks, s0: Tensor, s1: Tensor) -> None:
    """Add to S0 (events, B) and S1 (events, B, p) the rows without a dose."""
    layout, ranges, q = model.layout, model.layout.ranges, model.n_cov
    n_events, problems = s0.shape
    if ranges.row.shape[0] == 0:
        return
    cells = segment_sum(ranges.to_cells, risks.row)
    s0 += risks.scaled(spread_ranges(ranges, cells, n_events))
    if q:
        cells = segment_moments(ranges.to_cells, risks.row, layout.z, model.at_once)
        spread = spread_ranges(ranges, cells.flatten(1), n_events)
        s1[..., :q] += risks.scaled(spread.reshape(n_events, problems, q))


def _add_unexposed_squares(
    model: Model, risks: Risks, wt: Tensor, second: Tensor
) -> None:
    """Add what rows without a dose contribute to the covariates' second moments."""
    layout, ranges, q = model.layout, model.layout.ranges, model.n_cov
    n = int(ranges.row.shape[0])
    if n == 0 or q == 0:
        return
    # The factor is infinite only where nobody is.
    lowered = wt * risks.factor
    lowered = torch.where(torch.isfinite(lowered), lowered, 0.0)
    weight = gather_ranges(ranges, lowered) * take(risks.row, ranges.row)

    def work(first: int) -> Tensor:
        here = slice(first, min(first + model.at_once, n))
        return weighted_squares(weight[here], take(layout.z, ranges.row[here]))

    def add(part: Tensor) -> None:
        second[:, :q, :q] += part

    run_parts(work, range(0, n, model.at_once), wt.device, add)
