"""Residuals, baseline hazard and robust variance of a Cox model.

With hazard steps lambda_l(t) = w(t)/phi_l(t) and means xbar_l(t) over the risk
set, l = 0..d-1 (see ``cox_likelihood``), and l/d what Efron's method takes from
the deaths themselves, the score residual of a row is

    event (z - mean_l xbar_l(t)) - exp(eta) sum_t sum_l lambda_l (1 - s l/d)(z - xbar_l)

over its event times, s = 1 at its own death and 0 elsewhere. Sums over event
times are differences of cumulated sums: O(n q) in all. Definitions: Therneau and
Grambsch (2000), chapters 4 and 7.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .._typing import Floats, Ints
from ..cache import load_kernels
from ..pool import run_slices
from . import cox_index
from .cox_index import CoxIndex, build_index, slices_of
from .cox_likelihood import (
    CoxData,
    Point,
    build_data,
    cumulated,
    evaluate,
    hazard_steps,
    tie_steps,
)
from .cox_moments import column_means
from .cox_rows import CoxRows

KERNELS = "vigitensor.survival.kernels_cox_residuals"


@dataclass(frozen=True)
class Fitted:
    """Data laid out at given linear predictors."""

    rows: CoxRows
    index: CoxIndex
    data: CoxData
    point: Point


def at_predictors(rows: CoxRows, lin: Floats, ties: str) -> Fitted:
    """Lay out rows whose linear predictors (offset included) are given."""
    index = build_index(rows.start, rows.stop, rows.event, rows.stratum, rows.weight)
    data = build_data(index, rows.x, rows.mean, lin, rows.weight, ties)
    return Fitted(rows, index, data, evaluate(data, np.zeros(data.q)))


def martingale(fitted: Fitted) -> Floats:
    """Event less expected number, (n,); ties as the fit has them.

    With exact ties the expected numbers are Breslow's, as in coxph.
    """
    data, point = fitted.data, fitted.point
    expected, risk = _hazards(data, point)
    expected *= risk
    row = data.index.death_row
    if data.tied is not None:
        expected[row] -= tie_steps(data, point) * risk[row]
    residuals = fitted.rows.event.astype(np.float64)
    residuals[_positions(data.index)] -= expected
    return residuals


def _positions(index: CoxIndex) -> Ints | slice:
    return index.rows if index.rows.size else slice(None)


def _hazards(data: CoxData, point: Point) -> tuple[Floats, Floats]:
    """Each row's cumulative hazard, and exp(eta) on the scale it is on."""
    index = data.index
    steps = hazard_steps(data, point)
    if data.exact is not None:
        steps = np.diff(np.append(index.death_begin, index.death_row.size)) / point.s0
    total = cumulated(index, steps)
    hazard, risk = np.empty(index.n), np.empty(index.n)
    kernel = load_kernels(cox_index.KERNELS).gather_hazard

    def work(span: tuple[int, int]) -> None:
        here = slice(*span)
        kernel(*span, index.out, index.last, total, hazard[here])
        np.exp(point.lin[here] - point.top, out=risk[here])

    run_slices(work, slices_of(index.n))
    return hazard, risk


@dataclass(frozen=True)
class _Steps:
    """Per event time: means of the covariates, each (events, q)."""

    hazard_mean: Floats  # sum_l lambda_l xbar_l
    tie_mean: Floats  # sum_l l/d lambda_l xbar_l
    death_mean: Floats  # mean over l of xbar_l


def _mean_steps(data: CoxData, point: Point) -> _Steps:
    begin, fraction, ratio = data.index.death_begin, data.fraction, point.ratio
    means = column_means(data, point)
    own = np.zeros_like(means)
    if data.tied is not None:
        rho = point.rho[data.tied.death][:, None]
        sums = np.add.reduceat(data.tied.z * rho, data.tied.begin, axis=0)
        own[data.tied.event] = sums / point.s0[data.tied.event][:, None]
    scale = data.mean_weight / point.s0
    deaths = np.diff(np.append(begin, data.index.death_row.size))

    def combined(weight: Floats) -> Floats:
        """sum_l of weight xbar_l."""
        a = np.add.reduceat(weight * ratio, begin)[:, None]
        b = np.add.reduceat(weight * fraction * ratio, begin)[:, None]
        return a * means - b * own

    return _Steps(
        hazard_mean=combined(ratio) * scale[:, None],
        tie_mean=combined(fraction * ratio) * scale[:, None],
        death_mean=combined(np.ones_like(ratio)) / deaths[:, None],
    )


def score(fitted: Fitted) -> Floats:
    """Score residuals (n, q), in Fortran order; zero for rows never at risk."""
    data, point, index = fitted.data, fitted.point, fitted.data.index
    steps = _mean_steps(data, point)
    module = load_kernels(KERNELS)
    total = np.empty_like(steps.hazard_mean)
    module.cumulate_columns(steps.hazard_mean, index.begin, total)
    hazard, risk = _hazards(data, point)
    out = np.zeros((data.q, fitted.rows.n))

    def work(span: tuple[int, int]) -> None:
        module.row_scores(
            *span, index.rows, index.out, index.last, risk, hazard, data.z, total, out
        )

    run_slices(work, slices_of(index.n))
    at, row = index.death_event, index.death_row
    z = data.deaths_z()
    more = z - steps.death_mean[at]
    if data.tied is not None:
        spared = z * tie_steps(data, point)[:, None] - steps.tie_mean[at]
        more += risk[row][:, None] * spared
    positions = row if index.rows.size == 0 else index.rows[row]
    out[:, positions] += more.T
    return out.T


def schoenfeld(fitted: Fitted) -> tuple[Floats, Ints]:
    """Schoenfeld residuals (deaths, q) and the row of each death.

    In order of stratum, time and row.
    """
    data, index = fitted.data, fitted.data.index
    mean = _mean_steps(data, fitted.point).death_mean
    row = index.death_row
    residuals = data.deaths_z() - mean[index.death_event]
    return residuals, row if index.rows.size == 0 else index.rows[row]


def collapsed(values: Floats, codes: Ints, groups: int) -> Floats:
    """Sums of the rows of (n, q) by code, (groups, q)."""
    return np.stack(
        [np.bincount(codes, column, minlength=groups) for column in values.T], axis=1
    ) if values.shape[1] else np.zeros((groups, 0))  # fmt: skip


@dataclass(frozen=True)
class Baseline:
    """Per stratum and time; arrays of equal length."""

    stratum: Ints  # 0-based
    time: Floats
    n_risk: Floats  # sum of weights, as all numbers here
    n_event: Floats
    n_censor: Floats
    cumhaz: Floats  # of a linear predictor of 0


def baseline(rows: CoxRows, lin: Floats, ties: str) -> Baseline:
    """Cumulative baseline hazard at every time at which a row ends."""
    everyone = np.ones(rows.n, np.int8)
    ends = build_index(rows.start, rows.stop, everyone, rows.stratum, np.ones(rows.n))
    # With every row an event, S0 at a linear predictor of 0 is the number at risk.
    empty, none = np.empty((rows.n, 0)), np.empty(0)
    counted = build_data(ends, empty, none, np.zeros(rows.n), rows.weight, "breslow")
    n_risk = evaluate(counted, none).s0
    at = ends.death_event
    who = ends.death_row if ends.rows.size == 0 else ends.rows[ends.death_row]
    weight = rows.weight[who]
    died = rows.event[who] * weight
    n_event = np.bincount(at, died, ends.n_events).astype(np.float64)
    n_censor = np.bincount(at, weight - died, ends.n_events).astype(np.float64)
    index = build_index(rows.start, rows.stop, rows.event, rows.stratum, rows.weight)
    data = build_data(index, empty, none, lin, rows.weight, ties)
    point = evaluate(data, none)
    steps = hazard_steps(data, point) * np.exp(-point.top)
    # Event times are among the ends; between them the hazard stays.
    stratum = np.repeat(np.arange(ends.begin.size - 1), np.diff(ends.begin))
    step = np.zeros(ends.n_events)
    for s in _strata_with_events(index):
        a, b = ends.begin[s], ends.begin[s + 1]
        mine = slice(index.begin[s], index.begin[s + 1])
        step[a + np.searchsorted(ends.time[a:b], index.time[mine])] = steps[mine]
    total = cumulated(ends, step)
    return Baseline(stratum, ends.time, n_risk, n_event, n_censor, total.sum(axis=1))


def _strata_with_events(index: CoxIndex) -> list[int]:
    return np.flatnonzero(np.diff(index.begin)).tolist()
