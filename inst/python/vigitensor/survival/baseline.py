"""Baseline hazard, mean covariates at risk, and information by event time.

With the likelihood's terms l at an event time t, phi_l their risk and xbar_l
their mean covariates (see ``likelihood``), the baseline hazard rises at t by

    dL = sum_l w / phi_l,    its variance by    sum_l w / phi_l^2,

w the mean weight of the deaths. The derivative of dL by the coefficients is
minus sum_l w xbar_l / phi_l, which the variance of a predicted curve needs.
Sources: Tsiatis (1981), Annals of Statistics 9, 93-108; Therneau and Grambsch
(2000), Modeling Survival Data, sections 6.2 (score tests) and 10.2.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .._typing import Floats
from .likelihood import Moments, Point, moments, over_deaths
from .problem import PAD, Problem


@dataclass(frozen=True)
class Baseline:
    """Steps at the event times, for somebody at the centre of the covariates.

    All but ``shift`` are lowered: times exp(-shift) (the variance: twice).
    """

    hazard: Floats  # (events,)
    variance: Floats  # (events,)
    mean: Floats  # (events, p) sum over l of dL_l xbar_l
    shift: Floats  # (events,)


@dataclass(frozen=True)
class TimeInformation:
    """Score and information of x and of g(t) x, at coefficients 0 of the latter."""

    score: Floats  # (p,) of g(t) x
    info: Floats  # (p, p)
    cross: Floats  # (p, p) of x with g(t) x
    square: Floats  # (p, p) of g(t) x


def baseline(problem: Problem, point: Point, at: Moments) -> Baseline:
    """Steps of the baseline hazard at a point with a finite likelihood."""
    step = 1 / point.s0
    # Risks were lowered by `down`, and linear predictors by their largest.
    lin = problem.z @ point.beta[: problem.n_cov] + problem.offset
    return Baseline(
        hazard=step * over_deaths(problem.risk, point.phi),
        variance=step**2 * over_deaths(problem.risk, point.phi**2),
        mean=step[:, None] * _sum_of_means(problem, point, at, point.phi),
        shift=point.down[:-PAD] + float(lin.max()),
    )


def schoenfeld(problem: Problem, point: Point, at: Moments) -> Floats:
    """Schoenfeld residuals (deaths, p) in the order of the risk set's deaths.

    Tied deaths are compared with the mean of their Efron means, as in survival.
    """
    risk = problem.risk
    ones = np.ones(risk.death_event.size)
    means = _sum_of_means(problem, point, at, ones) / over_deaths(risk, ones)[:, None]
    return np.asarray(problem.death_x - means[risk.death_event])


def _sum_of_means(
    problem: Problem, point: Point, at: Moments, weights: Floats
) -> Floats:
    """Sum over the terms l of mean weight times weights_l xbar_l, (events, p)."""
    risk = problem.risk
    out = at.xbar * over_deaths(risk, weights * point.phi)[:, None]
    if risk.tied:
        rho = point.death_rho[:, None]
        own = np.add.reduceat(problem.death_x * rho, risk.death_begin, axis=0)
        own /= point.s0[:, None]
        less = over_deaths(risk, weights * risk.fraction * point.phi)
        out = out - own * less[:, None]
    return np.asarray(out)


def time_information(problem: Problem, point: Point, g: Floats) -> TimeInformation:
    """How the information is spread over time: with g (events,), three passes.

    The derivatives are sums over the event times, each in proportion to the mean
    weight of its deaths, so that weighing these by g weighs the sum. Nothing is
    kept by event time.
    """

    def weighed(by: Floats) -> Moments:
        risk = replace(
            problem.risk,
            mean_weight=problem.risk.mean_weight * by,
            death_weight=problem.risk.death_weight * by[problem.risk.death_event],
        )
        return moments(replace(problem, risk=risk), point)

    first = weighed(g)
    return TimeInformation(
        score=first.score,
        info=moments(problem, point).info,
        cross=first.info,
        square=weighed(g * g).info,
    )
