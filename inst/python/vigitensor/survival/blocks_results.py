"""What one block adds to residuals, and to the passes of many replicates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .._typing import Floats, Ints
from . import likelihood
from .many_pass import Replicate, many_risks, many_seconds
from .problem import Problem
from .scores import RowDeaths, ScoreLines, by_subject, row_residuals


@dataclass(frozen=True)
class Wanted:
    """Which sums of residuals a block is asked for."""

    # "subjects": of every subject; "meat": of squares of subjects; "groups": of
    # the groups of subjects
    kind: str
    weighted: bool


@dataclass(frozen=True)
class BlockScores:
    """Residuals of one block."""

    score: Floats  # (subjects or groups, p); (p, p) of "meat"
    martingale: Floats  # (subjects or groups,)
    events: Floats  # (subjects or groups,)
    rows: Floats  # (subjects,) numbers of rows
    groups: Ints  # (groups,) codes of "groups"
    top: float  # largest linear predictor of the covariates


def block_scores(
    problem: Problem,
    beta: Floats,
    shift: Floats,
    lines: ScoreLines,
    wanted: Wanted,
    deaths: RowDeaths,
    n_subjects: int,
    group: Ints | None,
) -> BlockScores:
    """Residuals of a block at ``beta``; ``group`` (subjects,) for "groups"."""
    q = problem.n_cov
    low = likelihood.lower(problem, beta, shift)
    found = row_residuals(problem, beta, low, lines, deaths)
    died = np.bincount(deaths.row, minlength=found.martingale.size).astype(float)
    rows: Floats = np.column_stack((found.score, found.martingale, died))
    if wanted.weighted:
        rows *= problem.weight[:, None]
    sums = by_subject(rows, problem.subject, n_subjects)
    codes = np.empty(0, np.int32)
    if wanted.kind == "groups":
        assert group is not None
        codes, at = np.unique(group, return_inverse=True)
        sums = by_subject(sums, at, codes.size)
    score = np.ascontiguousarray(sums[:, :-2])
    martingale, events = sums[:, -2:].T.copy()
    if wanted.kind == "meat":
        score = score.T @ score
        martingale = events = martingale[:0]
    eta = problem.z @ beta[:q] + problem.offset
    return BlockScores(
        score, martingale, events, martingale[:0], codes.astype(np.int32),
        float(eta.max(initial=-np.inf)),
    )  # fmt: skip


def block_risks(
    problem: Problem, betas: Floats, downs: Floats, top: float, weights: Any
) -> list[Floats]:
    """First derivatives' sums of replicates: ``weights`` (replicates, subjects)."""
    lowered = [(down[:0], down) for down in downs]
    return many_risks(problem, _own(weights), top, _replicates(problem, betas), lowered)


def block_seconds(
    problem: Problem,
    betas: Floats,
    downs: Floats,
    wts: Floats,
    top: float,
    weights: Any,
) -> list[Floats]:
    """Second derivatives' sums of replicates."""
    return many_seconds(
        problem, _own(weights), top, _replicates(problem, betas), list(zip(downs, wts))
    )


def _own(weights: Any) -> Floats:
    return np.ascontiguousarray(weights, np.float64)


def _replicates(problem: Problem, betas: Floats) -> list[Replicate]:
    return [Replicate(k, problem.risk, beta) for k, beta in enumerate(betas)]
