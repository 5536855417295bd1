"""Score and information of a Cox model at a point, and means over risk sets.

Formulas in ``cox_likelihood``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .._typing import Floats
from ..cache import load_kernels
from ..pool import run_slices
from . import cox_exact
from .cox_index import slices_of
from .cox_likelihood import (
    WIDTH,
    CoxData,
    Point,
    columns_for,
    cumulated,
    hazard_steps,
    parts_of,
    tie_steps,
)

KERNELS = "vigitensor.survival.kernels_cox_moments"
# As in kernels_cox_moments.
BLOCK, TILE = 128, 4
# Error of the information that plain first moments may leave, relative.
_PLAIN_ERROR = 1e-9
_BLAS_ROWS = 512


@dataclass(frozen=True)
class Moments:
    """Derivatives at one parameter vector."""

    score: Floats  # (q,)
    info: Floats  # (q, q) minus the Hessian
    raw: Floats  # (q,) second moments before means are taken off


def plain_is_enough(data: CoxData, point: Point) -> bool:
    """May first moments be plain sums?

    They then miss, of the largest risk set before, a rounding error for every
    step; what counts is its mean over the deaths, as in the information.
    """
    if point.share.size == 0:
        return True
    index = data.index
    with np.errstate(divide="ignore"):
        loss = float(np.mean(1 / point.share[index.death_event]))
    steps = index.n_events + index.n / index.n_events
    return loss * 8 * np.finfo(float).eps * np.sqrt(steps) < _PLAIN_ERROR


def column_means(data: CoxData, point: Point) -> Floats:
    """Means of the covariates over risk sets, S1 / S0, (events, q)."""
    index = data.index
    parts, tables = _tables(data, point)
    kernel = load_kernels(KERNELS).scatter_columns

    def work(t: int) -> None:
        tables[t] = 0.0
        for i0, i1 in slices_of(parts[t][1] - parts[t][0]):
            at = parts[t][0]
            kernel(at + i0, at + i1, index.out, index.last, point.r, data.z, tables[t])

    run_slices(work, range(len(parts)))
    return _means(data, point, tables)


def _tables(data: CoxData, point: Point) -> tuple[list[tuple[int, int]], Floats]:
    """Rows that share a table, and room for their tables."""
    parts = parts_of(data.index)
    kept = 1 if plain_is_enough(data, point) else 2
    shape = (len(parts), data.index.n_events, kept, columns_for(data.q))
    return parts, data.room("columns", shape)


def _means(data: CoxData, point: Point, tables: Floats) -> Floats:
    """Sums over risk sets from the tables, divided by S0."""
    columns = tables.shape[3]
    width = min(columns, WIDTH)
    means = data.room("means", (data.index.n_events, columns))
    kernel = load_kernels("vigitensor.survival.kernels_cox").suffix_sums

    def add_up(c: int) -> None:
        run = np.empty((2, width))
        kernel(tables, data.index.begin, point.s0, c, c + width, run, means)

    run_slices(add_up, range(0, columns, max(width, 1)))
    return means[:, : data.q]


def _row_moments(data: CoxData, point: Point) -> tuple[Floats, Floats, Floats]:
    """Sums over rows of u z and u z z', and the means over risk sets."""
    index, q, columns = data.index, data.q, columns_for(data.q)
    total = cumulated(index, hazard_steps(data, point))
    spared = np.empty(0)
    if data.tied is not None:
        # phi_l takes the share l/d of the deaths' own risk away.
        spared = data.zeros("spared", index.n)
        spared[index.death_row] = tie_steps(data, point)
    parts, tables = _tables(data, point)
    kernel = load_kernels(KERNELS).row_moments
    padded = -(-q // TILE) * TILE
    first, second = np.zeros(padded), np.zeros((padded, padded))

    def work(t: int) -> tuple[Floats, Floats]:
        tables[t] = 0.0
        sums, square = np.zeros((padded, WIDTH)), np.zeros((padded, padded, WIDTH))
        root, block = np.empty(BLOCK), np.zeros((max(padded, columns), BLOCK))
        lines = np.empty((BLOCK, columns))
        for i0, i1 in slices_of(parts[t][1] - parts[t][0]):
            at = parts[t][0]
            kernel(
                at + i0, at + i1, index.out, index.last, total, spared, point.r,
                data.xt, data.mean, root, block, lines, tables[t], square, sums,
            )  # fmt: skip
        return sums.sum(axis=1), square.sum(axis=2)

    def reduce(result: tuple[Floats, Floats]) -> None:
        nonlocal first, second
        first = first + result[0]
        second = second + result[1]

    run_slices(work, range(len(parts)), reduce)
    upper = np.triu(second[:q, :q])
    square = upper + np.triu(upper, 1).T
    return first[:q], square, _means(data, point, tables)


def weighted_square(a: Floats, w: Floats) -> Floats:
    """a' diag(w) a, w not negative."""
    total = np.zeros((a.shape[1], a.shape[1]))

    def work(span: tuple[int, int]) -> Floats:
        part = np.zeros_like(total)
        for i0, i1 in slices_of(span[1] - span[0], _BLAS_ROWS):
            here = slice(span[0] + i0, span[0] + i1)
            scaled = a[here] * np.sqrt(w[here])[:, None]
            part += scaled.T @ scaled
        return part

    def reduce(part: Floats) -> None:
        nonlocal total
        total = total + part

    run_slices(work, slices_of(a.shape[0], 32768), reduce)
    return total


@np.errstate(over="ignore", invalid="ignore", divide="ignore")
def moments(data: CoxData, point: Point) -> Moments:
    """Score and information at a point with a finite likelihood."""
    first, info, means = _row_moments(data, point)

    def over_deaths(values: Floats) -> Floats:
        """mean_weight sum_l of values over the deaths of each event time."""
        begin = data.index.death_begin
        return data.mean_weight * np.add.reduceat(values, begin)

    between = weighted_square(means, over_deaths(point.ratio**2))
    if data.tied is not None:
        ties, fraction = data.tied, data.fraction
        risk_z = data.room("risk_z", ties.z.shape)
        np.multiply(ties.z, point.rho[ties.death][:, None], out=risk_z)
        own = np.add.reduceat(risk_z, ties.begin, axis=0)
        own /= point.s0[ties.event][:, None]
        weights = over_deaths(fraction * point.ratio**2)[ties.event]
        cross = means[ties.event].T @ (own * weights[:, None])
        between = between - cross - cross.T
        weights = over_deaths((fraction * point.ratio) ** 2)[ties.event]
        between += own.T @ (own * weights[:, None])
    raw = np.diag(info).copy()
    info = info - between
    if data.exact is not None:
        cox_exact.add_moments(
            data.exact, data.index, point.lin, data.z, data.q, first, info, raw
        )
    return Moments(data.death_sum - first, 0.5 * (info + info.T), raw)
