"""Events expected of rows under the baseline hazard of a fit.

With the steps dL of the baseline hazard, their variance and minus their
derivatives m by the coefficients (see ``baseline``), a row's risk r(t) and its
covariates and features x(t), over the event times t in (start, stop],

    hazard   = sum r dL,    slope = sum r (x dL - m),    noise = sum r^2 var(dL),

slope the derivative of the hazard by the coefficients: its variance is
slope' V slope + noise. Stretches in which no dose is in the window come from a
table of ranges, so that the cost is that of rows and exposed pairs.
Source: Therneau and Grambsch (2000), Modeling Survival Data, section 10.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .._typing import Floats
from ..cache import load_kernels
from ..pool import run_slices
from .exposure import REAL, Records
from .problem import PAD, RISK, buffers, cut_slices, lay_out
from .real_times import Basis
from .riskset import index_events, part_of_risk_set, place_rows
from .run import Data, Rows, arrange, cutoffs
from .scores import SCORE


@dataclass(frozen=True)
class Hazard:
    """Steps of a baseline hazard, sorted by stratum and time.

    All but ``shift`` are lowered: times exp(-shift) (the variance: twice).
    """

    time: Floats  # (events,)
    stratum: Floats  # (events,) 0-based
    hazard: Floats  # (events,)
    variance: Floats  # (events,)
    mean: Floats  # (events, p)
    shift: Floats  # (events,)


@dataclass(frozen=True)
class Expected:
    """Sums over the event times of each row."""

    hazard: Floats  # (n,)
    slope: Floats  # (n, p)
    noise: Floats  # (n,)


def expected(
    rows: Rows,
    n_subjects: int,
    records: Sequence[Records],
    tables: Sequence[Basis],
    beta: Floats,
    base: Hazard,
    errors: bool,
) -> Expected:
    """Events expected of rows; without ``errors`` only the hazard is computed."""
    n, q = rows.x.shape
    out = Expected(np.zeros(n), np.zeros((n, beta.size)), np.zeros(n))
    events = index_events(base.time, base.stratum)
    here, lo, hi, deaths = place_rows(
        events, rows.start, rows.stop, rows.event, rows.stratum, rows.weight
    )
    if here.size == 0:
        return out
    data = arrange(
        rows, part_of_risk_set(events, here, lo, hi, deaths), n_subjects, records,
        [tables], np.zeros(q),
    )  # fmt: skip
    lin = data.z @ beta[:q] + data.offset
    top = float(lin.max())
    down = np.zeros(base.shift.size + PAD)
    down[:-PAD] = base.shift - top
    lin = lin - top
    steps = [base.hazard, *(base.mean.T if errors else ())]
    total, weighted, other = _sums(data, tables, lin, beta[q:], down, steps)
    out.hazard[here] = total
    if errors:
        out.slope[here] = np.hstack((data.z * total[:, None], weighted)) - other
        noise = [base.variance]
        twice = _sums(data, tables, 2 * lin, 2 * beta[q:], 2 * down, noise)
        out.noise[here] = twice[0]
    return out


def _sums(
    data: Data,
    tables: Sequence[Basis],
    lin: Floats,
    coef: Floats,
    down: Floats,
    steps: Sequence[Floats],
) -> tuple[Floats, Floats, Floats]:
    """Sums of risk times steps[0], of that times features, of risk times the rest."""
    risk, runs = data.risk, data.runs[cutoffs(tables)]
    ctab, cut, col_ptr, _, _ = lay_out(tables)
    n, others = lin.size, len(steps) - 1
    sums = np.zeros((len(steps), risk.n_events + PAD))
    sums[:, :-PAD] = steps
    cells = np.empty((len(steps), risk.levels * risk.width))
    with np.errstate(over="ignore", invalid="ignore"):
        lowered = sums[:, :-PAD] * np.exp(-down[:-PAD])
    gather = load_kernels(RISK).gather_cells
    for line, cell in zip(lowered, cells):
        gather(line, risk.width, cell)
    kernel = load_kernels(REAL if data.tev.dtype.kind == "f" else SCORE).score_pass
    coef = np.ascontiguousarray(coef)
    total = np.zeros(n)
    weighted = np.zeros((n, coef.size))
    rest = np.zeros((n, others))
    ones = np.ones(n)

    def work(span: tuple[int, int]) -> None:
        i0, i1 = span
        kernel(
            i0, i1, risk.lo, risk.hi, data.subject, lin, ones,
            runs.ptr, runs.lo, runs.hi,
            data.tev, data.steps.ptr, data.steps.time, data.steps.level, cut, ctab,
            col_ptr, coef, risk.log2, risk.width, sums, cells, down,
            buffers(coef.size + 2), total[i0:i1], weighted[i0:i1], rest[i0:i1],
        )  # fmt: skip

    run_slices(work, cut_slices(runs, n))
    return total, weighted, rest
