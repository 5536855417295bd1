"""One design laid out for the likelihood: rows, exposure, basis, pieces of work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from .._typing import Floats, Ints
from ..cache import load_kernels
from .exposure import REAL, Runs, Steps
from .real_times import Basis, Curve, n_columns, pack_curves
from .riskset import RiskSet

RISK = "vigitensor.survival.kernels_risk"
# Estimated nanoseconds per row and per exposed pair, and of one slice.
_NS_ROW, _NS_PAIR, _NS_SLICE = 40, 8, 8_000_000
_MAX_ROWS = 65536
# As in kernels_risk, which is not imported before it is needed.
BLOCK, PAD = 256, 8


@dataclass(frozen=True)
class Problem:
    """One fit: rows at risk, exposure and basis."""

    risk: RiskSet
    subject: Ints  # (n,) int32, 0-based
    weight: Floats  # (n,)
    offset: Floats  # (n,)
    z: Floats  # (n, q) covariates less their means, C order
    tev: Ints  # (events,) int32, or float64 for real-valued times
    steps: Steps
    runs: Runs
    cut: Ints  # (terms,) int32
    col_ptr: Ints  # (terms + 1,) int64, columns of each term
    ctab: Floats  # (features, PAD + longest cut + 1 + PAD) cumulated, by column
    death_x: Floats  # (deaths, q + features)
    noise: Floats  # (p,) what rounding leaves of a column that should be zero
    slices: list[tuple[int, int]]
    # (r, p) rows of A where coefficients must keep to A beta >= 0
    inequalities: Floats = field(default_factory=lambda: np.empty((0, 1)))
    # (terms,) numbers at the head of a row of ctab that are no coefficients
    head: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    # what passes keep for the next one
    scratch: dict[str, Any] = field(default_factory=dict, compare=False)

    @property
    def n_cov(self) -> int:
        """Number of covariates."""
        return int(self.z.shape[1])

    @property
    def n_par(self) -> int:
        """Number of parameters."""
        return self.n_cov + int(self.ctab.shape[0])

    def unexposed(self) -> Problem:
        """The same where nobody's exposure matters: at coefficients of zero."""
        none = np.empty(0, np.int32)
        empty = Runs(np.zeros(self.risk.lo.size + 1, np.int64), none, none)
        return replace(self, runs=empty, scratch={})


def build_problem(
    risk: RiskSet,
    subject: Ints,
    weight: Floats,
    offset: Floats,
    z: Floats,
    z_size: Floats,
    tev: Ints,
    steps: Steps,
    runs: Runs,
    tables: Sequence[Basis],
) -> Problem:
    """Lay out one design: ``tables`` holds C of each term.

    ``z_size`` (q,) is the size of the covariates before centring.
    """
    ctab, cut, col_ptr, head, largest = lay_out(tables)
    death_x = np.empty((risk.death_row.size, z.shape[1] + ctab.shape[0]))
    death_x[:, : z.shape[1]] = z[risk.death_row]
    features = np.empty((risk.death_row.size, ctab.shape[0]))
    if features.size:
        passes(tev).features_at(
            subject[risk.death_row], risk.death_event, tev,
            steps.ptr, steps.time, steps.level, cut, ctab, col_ptr,
            np.zeros((ctab.shape[0], PAD)), features,
        )  # fmt: skip
    death_x[:, z.shape[1] :] = features
    size = largest * np.abs(steps.level).max(initial=0)
    return Problem(
        risk, subject, weight, offset, z, tev, steps, runs, cut, col_ptr, ctab,
        death_x, rounding(z_size, size), cut_slices(runs, risk.lo.size), head=head,
    )  # fmt: skip


def passes(tev: Ints) -> Any:
    """Module of the kernels for whole or for real-valued event times."""
    return load_kernels(REAL if tev.dtype.kind == "f" else RISK)


def rounding(z_size: Floats, feature_size: Floats) -> Floats:
    """What is left of columns of these sizes where zeros should be, (p,)."""
    out: Floats = 16 * np.finfo(float).eps * np.concatenate((z_size, feature_size))
    return out


def lay_out(tables: Sequence[Basis]) -> tuple[Floats, Ints, Ints, Ints, Floats]:
    """Tables as kernels read them: ctab, cut, col_ptr, head, largest by column."""
    col_ptr = np.zeros(len(tables) + 1, np.int64)
    np.cumsum([n_columns(t) for t in tables], out=col_ptr[1:])
    curves = [t for t in tables if isinstance(t, Curve)]
    if curves:
        rows, head = pack_curves(curves)
        windows = np.array([c.window for c in curves])
        sizes = np.concatenate([c.largest() for c in curves])
        return rows, windows, col_ptr, head, sizes
    grids = [t for t in tables if not isinstance(t, Curve)]
    cut = np.array([t.shape[0] - 1 for t in grids], np.int32)
    width = int(cut.max(initial=0)) + 1
    ctab = np.zeros((sum(t.shape[1] for t in grids), width + 2 * PAD))
    at = 0
    for table in grids:
        columns = ctab[at : at + table.shape[1], PAD:]
        columns[:, : table.shape[0]] = table.T
        columns[:, table.shape[0] :] = table[-1][:, None]
        at += table.shape[1]
    head = np.zeros(cut.size, np.int64)
    return ctab, cut, col_ptr, head, np.abs(ctab).max(axis=1, initial=0)


def cut_slices(runs: Runs, n: int) -> list[tuple[int, int]]:
    """Ranges of rows of about equal work, fixed by the data alone."""
    ends = np.concatenate(([0], np.cumsum(runs.hi - runs.lo, dtype=np.int64)))
    work = _NS_ROW * np.arange(n + 1) + _NS_PAIR * ends[runs.ptr]
    marks = np.arange(0, work[-1], _NS_SLICE)
    cuts = np.unique(np.concatenate((np.searchsorted(work, marks), [0, n])))
    out: list[tuple[int, int]] = []
    for i0, i1 in zip(cuts[:-1].tolist(), cuts[1:].tolist()):
        parts = -(-(i1 - i0) // _MAX_ROWS)
        edges = [i0 + (i1 - i0) * k // parts for k in range(parts + 1)]
        out.extend(zip(edges[:-1], edges[1:]))
    return out


def n_slices(n: int, pairs: int) -> int:
    """About how many slices so many rows and exposed pairs are cut into."""
    return max(1, -(-(_NS_ROW * n + _NS_PAIR * pairs) // _NS_SLICE))


def buffers(n: int) -> Floats:
    """Scratch of n lines for one block, each on its own cache lines.

    Lines are 33 and not 32 cache lines apart, lest they fall on each other.
    """
    room = np.empty(n * (BLOCK + PAD) + PAD)
    skip = (-room.ctypes.data // room.itemsize) % PAD
    return room[skip : skip + n * (BLOCK + PAD)].reshape(n, BLOCK + PAD)
