"""A Cox model without exposure terms, from arrays to its result."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._typing import Floats, Ints
from ..pool import one_blas_thread, run_slices
from . import likelihood
from .cox_index import SLICE, build_index, slices_of
from .cox_likelihood import CoxData, Point, build_data, evaluate, imprecise
from .cox_moments import moments
from .cox_newton import Imprecise, Objective, Solution, maximise
from .cox_residuals import Fitted, martingale
from .cox_rows import CoxRows
from .newton import Control
from .problem import Problem
from .run import Rows, prepare


@dataclass(frozen=True)
class CoxFit:
    """A fitted model."""

    solution: Solution
    coefficients: Floats  # (q,) NaN where dropped as collinear
    linear_predictors: Floats  # (n,) x beta + offset - means beta
    residuals: Floats  # (n,) martingale
    n_events: int
    n_event_times: int


def fit_cox(
    rows: CoxRows,
    ties: str,
    init: Floats,
    theta: Floats,
    control: Control,
    means: Floats,
    evaluator: Callable[[Problem], Callable[[Floats], Any]] | None = None,
) -> CoxFit:
    """Fit; ``theta`` (q,) are ridge penalties, ``means`` what lp is centred by.

    ``evaluator`` brings another engine's likelihood, whose values carry their
    ``moments``; exact ties have none.
    """
    index = build_index(rows.start, rows.stop, rows.event, rows.stratum, rows.weight)
    data = build_data(index, rows.x, rows.mean, rows.offset, rows.weight, ties)
    with one_blas_thread():  # for small matrices more are slower
        solution, point = _solve(rows, data, init, theta, control, evaluator)
    lin = linear_predictors(rows, data, point, solution.beta, means)
    return CoxFit(
        solution=solution,
        coefficients=np.where(solution.kept, solution.beta, np.nan)
        if control.max_iter > 0
        else solution.beta,
        linear_predictors=lin,
        residuals=martingale(Fitted(rows, index, data, point)),
        n_events=int(np.count_nonzero(rows.event)),
        n_event_times=index.n_events,
    )


def _solve(
    rows: CoxRows,
    data: CoxData,
    init: Floats,
    theta: Floats,
    control: Control,
    evaluator: Callable[[Problem], Callable[[Floats], Any]] | None,
) -> tuple[Solution, Point]:
    """Where the likelihood is largest, and the risks there."""
    deaths = float(data.death_weight.sum())
    if evaluator is None:
        with contextlib.suppress(*(() if data.ties == "exact" else (Imprecise,))):
            solution = maximise(
                Objective(
                    noise(data), deaths, lambda beta: evaluate(data, beta),
                    lambda point: moments(data, point), imprecise,
                    long=data.index.n > SLICE,
                ),
                init, theta, control,
            )  # fmt: skip
            point = solution.point
            there = point.beta is solution.beta
            return solution, point if there else evaluate(data, solution.beta)
    objective = never_subtracting(rows, data, evaluator)
    solution = maximise(objective, init, theta, control)
    return solution, evaluate(data, solution.beta)


def noise(data: CoxData) -> Floats:
    """What rounding leaves of a column that should be zero, (q,)."""
    size = np.abs(data.mean) + data.death_size
    return 16 * np.finfo(float).eps * size


def without_exposure(
    rows: CoxRows,
    ties: str,
    subject: Ints | None = None,
    n_subjects: int = 1,
    columns: Ints | None = None,
) -> Problem:
    """The rows as those of an exposure model with no exposure.

    ``subject`` (n,) are codes, everybody's 0 by default; ``columns`` the
    positions of the covariates to keep, all by default.
    """
    # A row of weight 0 is no tied death either.
    used = np.flatnonzero(rows.weight > 0)
    stop = rows.stop[used]
    start = np.full(stop.size, stop.min() - 1)
    if rows.start is not None:
        start = rows.start[used]
    x = rows.x[used]
    plain = Rows(
        start=start,
        stop=stop,
        event=rows.event[used],
        stratum=rows.stratum[used],
        subject=np.zeros(used.size, np.int32) if subject is None else subject[used],
        offset=rows.offset[used],
        weight=rows.weight[used],
        x=x if columns is None else x[:, columns],
    )
    return prepare(plain, n_subjects, [], [[]], ties).problem([])


def never_subtracting(
    rows: CoxRows,
    data: CoxData,
    evaluator: Callable[[Problem], Callable[[Floats], Any]] | None = None,
) -> Objective:
    """The likelihood by the exposure model's kernels, without exposure.

    Slower, but right however far apart risks are. Or by those of another engine.
    """
    problem = without_exposure(rows, data.ties)
    if evaluator is not None:
        return Objective(
            noise=problem.noise,
            deaths=float(data.death_weight.sum()),
            evaluate=evaluator(problem),
            moments=lambda point: point.moments,
            imprecise=lambda point: False,
        )
    return Objective(
        noise=problem.noise,
        deaths=float(data.death_weight.sum()),
        evaluate=lambda beta: likelihood.evaluate(problem, beta),
        moments=lambda point: likelihood.moments(problem, point),
        imprecise=lambda point: False,
    )


def linear_predictors(
    rows: CoxRows, data: CoxData, point: Point, beta: Floats, means: Floats
) -> Floats:
    """x beta + offset - means beta, for rows that are never at risk too."""
    shift = float((rows.mean - means) @ beta)
    never, laid_out = data.index.never, data.index.rows
    if laid_out.size == 0:
        lin = point.lin + shift
    else:
        lin = np.empty(rows.n)
        lin[laid_out] = point.lin + shift

    def work(span: tuple[int, int]) -> None:
        part = never[slice(*span)]
        lin[part] = (rows.x[part] - rows.mean) @ beta + rows.offset[part] + shift

    run_slices(work, slices_of(never.size))
    return lin
