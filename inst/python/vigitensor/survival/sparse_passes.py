"""Likelihood, score and information where few of many drugs have coefficients.

    evaluate   the likelihood, from the drugs in hand
    moments    score and information of the covariates and the drugs in hand
    score_of   score of any drugs, in hand or not: one pass without moments

A view is what these passes read of the drugs in hand; numbers of drugs and
coefficients (drugs, J) are in its order.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .._typing import Floats, Ints
from ..cache import load_kernels
from ..pool import run_slices
from .likelihood import (
    Lowered,
    Moments,
    MomentSums,
    Point,
    Sum,
    death_risks,
    derivatives,
    event_weights,
    over_deaths,
    settle,
)
from .problem import PAD, buffers
from .sparse_data import KERNELS, Items, SparseData

# One copy of the sums per event time for each slice under work, at most.
_MOST_COPIED = 64e6


@dataclass(frozen=True)
class View:
    """Some drugs of a data set."""

    data: SparseData
    drugs: Ints  # (k,)
    items: Items
    death_x: Floats  # (deaths, q + k * J)


def view(data: SparseData, drugs: Ints) -> View:
    """What passes over these drugs need."""
    x = data.deaths.dense(drugs, data.n_drugs)
    death_x = np.hstack((data.z[data.risk.death_row], x))
    items = data.items if drugs.size == data.n_drugs else data.items.only(drugs)
    return View(data, drugs, items, death_x)


@np.errstate(all="ignore")
def evaluate(at: View, beta: Floats) -> Point:
    """Log-likelihood at ``beta`` (q + k J,), covariates first."""
    data, risk, q = at.data, at.data.risk, at.data.n_cov
    eta = at.death_x @ beta + data.offset[risk.death_row]
    eta, shift = death_risks(risk, eta)
    lin = data.z @ beta[:q] + data.offset if q else data.offset
    top = float(lin.max())
    down = np.append(shift - top, np.zeros(PAD))
    low = Lowered(lin - top, down, np.exp(top - shift))
    wtab = tables_of(at, beta)
    items = at.items
    kernel = load_kernels(KERNELS).sparse_risk_pass
    total = Sum((risk.n_events,))

    def work(rows: tuple[int, int]) -> Floats:
        s0 = np.zeros(risk.n_events + PAD)
        kernel(
            rows[0], rows[1], risk.lo, risk.hi, data.subject, low.lin, data.weight,
            items.of, items.ptr, items.drug, items.time, items.level,
            data.tev, data.cut, wtab, low.down, low.factor,
            risk.log2, risk.width, np.zeros((risk.levels * risk.width, 1)),
            buffers(1), s0, items.span(),
        )  # fmt: skip
        return s0[:-PAD]

    run_slices(work, data.slices, total.add)
    return settle(risk, beta, eta, low, total.value())


def tables_of(at: View, beta: Floats) -> Floats:
    """Cumulated weight function of each drug in hand."""
    coef = beta[at.data.n_cov :].reshape(-1, at.data.n_col)
    out: Floats = np.ascontiguousarray(coef @ at.data.ctab)
    return out


@np.errstate(over="ignore", invalid="ignore")
def moments(at: View, point: Point) -> Moments:
    """Score and information at a point with a finite likelihood."""
    data, risk, q = at.data, at.data.risk, at.data.n_cov
    items, n_col = at.items, at.data.n_col
    wt = event_weights(risk, point)
    module = load_kernels(KERNELS)
    gather = load_kernels("vigitensor.survival.kernels_risk").gather_cells
    cells = np.empty(risk.levels * risk.width if q else 0)
    if q:
        gather(wt * point.factor, risk.width, cells)
    wt = np.append(wt, np.zeros(PAD))
    coef = np.ascontiguousarray(point.beta[q:].reshape(-1, n_col))
    n_feat = coef.size
    p = n_feat + q
    slots = items.most
    second, first = Sum((p, p)), Sum((p,))
    s1 = Sum((p, risk.n_events))
    # Where sums per event time are large there is one, and one slice at a time.
    alone = 8.0 * p * risk.n_events > _MOST_COPIED
    shared = np.zeros((p, risk.n_events + PAD)) if alone else None

    def work(rows: tuple[int, int]) -> tuple[Floats, Floats, Floats]:
        i0, i1 = rows
        part = np.zeros((p, risk.n_events + PAD)) if shared is None else shared
        square = np.zeros((n_feat, n_feat))
        cross = np.zeros((q, n_feat))
        u, v = np.zeros(i1 - i0 if q else 0), np.zeros(n_feat)
        module.sparse_moment_pass(
            i0, i1, risk.lo, risk.hi, data.subject, point.lin, data.weight, data.z,
            items.of, items.ptr, items.drug, items.time, items.level,
            data.tev, data.cut, data.ctab, coef,
            risk.log2, risk.width, wt, cells, point.down, point.factor,
            np.zeros((risk.levels * risk.width if q else 0, q)),
            buffers(2 * slots * n_col + 1), part, square, cross, u, v,
            items.span(), np.empty(slots, np.int32),
        )  # fmt: skip
        outer = np.zeros((p, p))
        below = np.tril(square) + np.triu(square, 1).T
        outer[q:, q:] = below + np.tril(below, -1).T
        sums = np.empty(p)
        sums[q:] = v
        if q:
            z = data.z[i0:i1]
            outer[:q, :q] = z.T @ (z * u[:, None])
            outer[:q, q:] = cross
            outer[q:, :q] = cross.T
            sums[:q] = u @ z
        return part, outer, sums

    def reduce(result: tuple[Floats, Floats, Floats]) -> None:
        if shared is None:
            s1.add(result[0][:, :-PAD])
        second.add(result[1])
        first.add(result[2])

    run_slices(work, data.slices, reduce, threads=1 if alone else None)
    features = s1.value() if shared is None else shared[:, :-PAD]
    sums = MomentSums(features, second.value(), first.value())
    return derivatives(risk, at.death_x, q, point, sums)


@np.errstate(over="ignore", invalid="ignore")
def score_of(at: View, point: Point, drugs: Ints) -> tuple[Floats, Floats]:
    """Score of the covariates (q,) and of ``drugs`` (k, J) at a point of a view."""
    data, risk, q = at.data, at.data.risk, at.data.n_cov
    wt = event_weights(risk, point)
    both = wt * point.factor
    gather = load_kernels("vigitensor.survival.kernels_risk").gather_cells
    cells = np.empty(risk.levels * risk.width if q else 0)
    if q:
        gather(both, risk.width, cells)
    zeros = np.zeros(PAD)
    wt, both = np.append(wt, zeros), np.append(both, zeros)
    # Drugs in hand have a part in the risks even where their score is not asked.
    wanted = np.union1d(drugs, at.drugs).astype(np.int64)
    whole = wanted.size == data.n_drugs
    items = data.items if whole else data.items.only(wanted)
    place = np.full(items.n_drugs, -1, np.int32)
    place[np.searchsorted(wanted, at.drugs)] = np.arange(at.drugs.size)
    wtab = tables_of(at, point.beta)
    live = np.any(wtab != 0, axis=1)
    place[np.searchsorted(wanted, at.drugs[~live])] = -1
    kernel = load_kernels(KERNELS).sparse_score_pass
    total = Sum((items.n_drugs * data.n_col + q,))

    def work(rows: tuple[int, int]) -> Floats:
        v, u = np.zeros((items.n_drugs, data.n_col)), np.zeros(q)
        kernel(
            rows[0], rows[1], risk.lo, risk.hi, data.subject, point.lin,
            data.weight, data.z, items.of, items.ptr, items.drug, items.time,
            items.level, data.tev, data.cut, data.ctab, wtab, place,
            risk.log2, risk.width, wt, both, cells, point.down,
            buffers(data.n_col + 1), v, u, items.span(),
        )  # fmt: skip
        return np.append(v, u)

    run_slices(work, data.slices, total.add)
    sums = total.value()
    v, u = sums[: sums.size - q].reshape(-1, data.n_col), sums[sums.size - q :]
    weight = risk.death_weight
    if risk.tied:  # phi_l takes the share l/d of the deaths' own risk away
        w2 = over_deaths(risk, risk.fraction * point.phi) / point.s0
        weight = weight + w2[risk.death_event] * point.death_rho
    of_drugs = data.deaths.total(weight, data.n_drugs)[wanted] - v
    of_z = weight @ data.z[risk.death_row] - u if q else np.zeros(0)
    return of_z, of_drugs[np.searchsorted(wanted, drugs)]
