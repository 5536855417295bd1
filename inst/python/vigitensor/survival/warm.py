"""Where to begin: at an estimate that costs little, not at zero.

Neither changes a result: Newton's method goes on from there to the same optimum.

- A large cohort is first fitted thinned: all rows with an event and an even
  sample of the others, with weights that make up for those left out
  (Prentice 1986, Biometrika 73, 1-11). That is within a standard error or two of
  the whole cohort's optimum, and saves half of the passes over it.
- In a grid of designs the weight functions of the fit before are projected on
  the next basis, by least squares over the lags; with thinned cohorts, what the
  fit before changed on the way from the sample to the whole.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .._typing import Bools, Floats
from .exposure import Runs
from .newton import Control, Fit, Target, fit
from .problem import Problem, cut_slices
from .real_times import Basis, Curve

# A thinned cohort has this many rows without an event for each with one; it is
# made when that leaves at most a quarter of them, of at least so many.
_PER_EVENT = 3
_LEAST_SHARE, _LARGEST_SHARE = 4, 64
_LARGE = 20_000
# Decrement that is small against the noise of the sample.
_NEAR = 0.5
# Rows (i * this) mod 2^32 are spread evenly, whatever their order repeats.
_GOLDEN = 2654435769


@dataclass
class Path:
    """Fits of one design after the other, each beginning where it should end.

    Engines bring their own way to fit the whole cohort and to thin it.
    """

    control: Control
    fit_whole: Callable[..., Fit] = fit
    thin: Callable[[Any], Problem | None] = lambda problem: thinned(problem)
    design: Sequence[Basis] = ()
    whole: Floats | None = None  # optimum of the last design
    part: Floats | None = None  # that of its thinned cohort

    def fit(
        self,
        problem: Target,
        design: Sequence[Basis],
        begin: Floats | None = None,
    ) -> Fit:
        """Fit the next design, from ``begin`` if that is known to be near."""
        if len(problem.slices) == 1:  # no time to be saved
            return self.fit_whole(problem, self.control, begin=begin)
        free = problem.inequalities.size == 0
        sample = None
        if begin is None:
            begin, sample = self._near(problem, design, free)
        found = self.fit_whole(problem, self.control, begin=begin)
        self.part = sample
        self.carry(found, design, free)
        return found

    def carry(self, found: Fit, design: Sequence[Basis], free: bool) -> None:
        """Go on from a fit of this design."""
        self.design, self.whole = design, optimum(found, free)

    def _near(
        self, problem: Target, design: Sequence[Basis], free: bool
    ) -> tuple[Floats | None, Floats | None]:
        """Where to begin, and the optimum of the thinned cohort."""
        begin = self._moved(self.whole, design) if free else None
        part = self.thin(problem)
        if part is None:
            return begin, None
        near = self._moved(self.part, design) if free else None
        rough = replace(self.control, tol_step=_NEAR)
        sample = optimum(fit(part, rough, begin=near, polish=0), free)
        if begin is not None and near is not None and sample is not None:
            return sample + (begin - near), sample
        return sample, sample

    def _moved(
        self, coefficients: Floats | None, design: Sequence[Basis]
    ) -> Floats | None:
        if coefficients is None:
            return None
        return projected(coefficients, self.design, design)


def optimum(found: Fit, free: bool) -> Floats | None:
    """Coefficients of a fit, the next step of Newton's included where it is
    ``free`` to be taken; None if the fit has no optimum."""
    if not found.converged or found.infinite.any():
        return None
    if not np.isfinite(found.coefficients).all():
        return None
    return found.coefficients + (found.var @ found.score if free else 0.0)


def thinned(problem: Problem) -> Problem | None:
    """All rows with an event and some of the others; None if it is not worth it."""
    risk, n = problem.risk, problem.weight.size
    share = share_kept(n, risk.death_row.size)
    if share == 0 or problem.n_par == 0:
        return None
    picked = in_sample(0, n, share)
    weight = np.where(picked, float(share), 1.0)
    weight[risk.death_row] = 1.0
    picked[risk.death_row] = True
    rows = np.flatnonzero(picked)
    place = np.cumsum(picked) - 1
    runs = problem.runs
    number = np.diff(runs.ptr)
    inside = np.repeat(picked, number)
    ptr = np.concatenate(([0], np.cumsum(number[rows])))
    runs = Runs(ptr, runs.lo[inside], runs.hi[inside])
    return replace(
        problem,
        risk=replace(
            risk,
            rows=risk.rows[rows],
            lo=risk.lo[rows],
            hi=risk.hi[rows],
            death_row=place[risk.death_row].astype(np.int32),
        ),
        subject=problem.subject[rows],
        weight=problem.weight[rows] * weight[rows],
        offset=problem.offset[rows],
        z=problem.z[rows],
        runs=runs,
        slices=cut_slices(runs, rows.size),
        scratch={},
    )


def share_kept(n: int, deaths: int) -> int:
    """One of how many rows is kept in a thinned cohort; 0 where it is none."""
    share = min(n // (_PER_EVENT * deaths), _LARGEST_SHARE)
    return 0 if n < _LARGE or share < _LEAST_SHARE else share


def in_sample(first: int, n: int, share: int) -> Bools:
    """Which of the rows first, first + 1, ... the sample has, (n,)."""
    place = np.arange(first, first + n, dtype=np.uint32)  # mod 2^32
    found: Bools = (place * np.uint32(_GOLDEN)) < 2**32 // share
    return found


def projected(
    coefficients: Floats, design: Sequence[Basis], onto: Sequence[Basis]
) -> Floats | None:
    """Coefficients of another design with nearly the same weight functions."""
    columns = [basis.shape[1] for basis in design if not isinstance(basis, Curve)]
    at = coefficients.size - sum(columns)
    found = [coefficients[:at]]
    for basis, other in zip(design, onto):
        if isinstance(basis, Curve) or isinstance(other, Curve):
            return None
        values = np.diff(basis, axis=0) @ coefficients[at : at + basis.shape[1]]
        at += basis.shape[1]
        weights = np.zeros(other.shape[0] - 1)
        shared = min(weights.size, values.size)
        weights[:shared] = values[:shared]
        found.append(np.linalg.lstsq(np.diff(other, axis=0), weights, rcond=None)[0])
    out: Floats = np.concatenate(found)
    return out
