"""Records of many drugs laid out by person: items, and views of some drugs.

A person and a drug that has records of that person are together a subject of
their own for ``exposure._summed``, so that what is kept grows with the pairs that
exist, not with people times drugs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .._typing import Bools, Floats, Ints
from ..cache import load_kernels
from . import exposure
from .problem import PAD, lay_out
from .riskset import RiskSet, build_risk_set, whole_times
from .run import Rows

KERNELS = "vigitensor.survival.kernels_sparse"
_NS_ROW, _NS_PAIR, _NS_SLICE = 40, 16, 8_000_000
_MAX_SLICES = 32


@dataclass(frozen=True)
class Items:
    """Stretches of use of some drugs, in order of person and time."""

    of: Ints  # (subjects + 1,) int64
    ptr: Ints  # (items + 1,) int64, positions in time and level
    drug: Ints  # (items,) int32, 0-based
    time: Ints  # (steps,) int32, counted from the first event time
    level: Floats  # (steps,) dose per time unit from that time on
    n_drugs: int

    @property
    def most(self) -> int:
        """Largest number of items of a person, and at least one."""
        return max(1, int(np.diff(self.of).max(initial=0)))

    def only(self, drugs: Ints) -> Items:
        """Those of some drugs, which are numbered in the order given."""
        place = np.full(self.n_drugs, -1, np.int32)
        place[drugs] = np.arange(drugs.size, dtype=np.int32)
        at = place[self.drug]
        keep = at >= 0
        of = np.concatenate(([0], np.cumsum(keep)))[self.of]
        size = np.diff(self.ptr)
        steps = np.repeat(keep, size)
        ptr = np.concatenate(([0], np.cumsum(size[keep])))
        return Items(of, ptr, at[keep], self.time[steps], self.level[steps], drugs.size)

    def span(self) -> Ints:
        """Scratch for the ranges of a person's items."""
        return np.empty((3, self.most), np.int32)


@dataclass(frozen=True)
class DeathFeatures:
    """Features of every death, drug by drug where there are any."""

    ptr: Ints  # (deaths + 1,)
    drug: Ints  # (found,) int32
    x: Floats  # (found, J)

    def dense(self, drugs: Ints, n_drugs: int) -> Floats:
        """Columns of some drugs, (deaths, len(drugs) * J)."""
        n, n_col = self.ptr.size - 1, self.x.shape[1]
        place = np.full(n_drugs, -1)
        place[drugs] = np.arange(drugs.size)
        at = place[self.drug]
        keep = at >= 0
        row = np.repeat(np.arange(n), np.diff(self.ptr))[keep]
        out = np.zeros((n, drugs.size, n_col))
        out[row, at[keep]] = self.x[keep]
        return out.reshape(n, -1)

    def total(self, weight: Floats, n_drugs: int) -> Floats:
        """Sums over the deaths with these weights, (n_drugs, J)."""
        w = np.repeat(weight, np.diff(self.ptr))
        columns = [
            np.bincount(self.drug, w * self.x[:, c], n_drugs)
            for c in range(self.x.shape[1])
        ]
        return np.column_stack(columns)


@dataclass(frozen=True)
class SparseData:
    """Everything of a data set that does not depend on coefficients."""

    risk: RiskSet
    subject: Ints  # (n,) int32, of the rows at risk, like the next three
    weight: Floats
    offset: Floats
    z: Floats  # (n, q) covariates less their means
    tev: Ints  # (events,) int32, counted from the first
    items: Items
    ctab: Floats  # (J, PAD + m + 1 + PAD)
    cut: int
    deaths: DeathFeatures
    noise: Floats  # (q,) what rounding leaves of a covariate that is zero
    slices: list[tuple[int, int]]

    @property
    def n_cov(self) -> int:
        """Number of covariates."""
        return int(self.z.shape[1])

    @property
    def n_col(self) -> int:
        """Columns of a drug."""
        return int(self.ctab.shape[0])

    @property
    def n_drugs(self) -> int:
        """Number of drugs."""
        return self.items.n_drugs


def build_items(
    subject: Ints,
    drug: Ints,
    records: exposure.Records,
    n_subjects: int,
    n_drugs: int,
    origin: float,
    last: int,
    window: int,
) -> Items:
    """Sum the records of each person and drug; cut where windows do not meet."""
    key = subject.astype(np.int64) * n_drugs + drug
    if np.any(key[1:] < key[:-1]):
        order = np.argsort(key, kind="stable")
    else:
        order = np.arange(key.size)
    pairs, pseudo = np.unique(key[order], return_inverse=True)
    steps = exposure.build_steps(
        [
            exposure.Records(
                pseudo.astype(np.int32), records.start[order], records.stop[order],
                records.dose[order],
            )
        ],
        pairs.size, origin, last, window,
    )  # fmt: skip
    # A pair begins an item, and so does a dose whose window nothing reaches.
    first = np.zeros(steps.time.size + 1, bool)
    begins = steps.ptr[:-1][np.diff(steps.ptr) > 0]
    first[begins] = True
    if steps.time.size > 1:
        far = np.diff(steps.time.astype(np.int64)) >= window
        first[1:-1] |= far & (steps.level[:-1] == 0)
    first = first[:-1]
    at = np.flatnonzero(first)
    owner = np.repeat(np.arange(pairs.size), np.diff(steps.ptr))[at]
    who = pairs[owner] // n_drugs
    of = np.zeros(n_subjects + 1, np.int64)
    np.cumsum(np.bincount(who, minlength=n_subjects), out=of[1:])
    return Items(
        of, np.append(at, steps.time.size), (pairs[owner] % n_drugs).astype(np.int32),
        steps.time, steps.level, n_drugs,
    )  # fmt: skip


def prepare_sparse(
    rows: Rows,
    n_subjects: int,
    records: exposure.Records,
    drug: Ints,
    n_drugs: int,
    table: Floats,
    ties: str,
) -> SparseData:
    """Index risk sets and lay out the items; ``table`` (m + 1, J) is cumulated."""
    risk = build_risk_set(
        rows.start, rows.stop, rows.event, rows.stratum, rows.weight, ties=ties
    )
    pick = risk.rows
    x = rows.x[pick]
    mean = x.mean(axis=0) if x.size else np.zeros(x.shape[1])
    size = np.abs(x).max(axis=0, initial=0)
    tev, origin = whole_times(risk)
    m = table.shape[0] - 1
    items = build_items(
        records.subject, drug, records, n_subjects, n_drugs, origin,
        int(tev.max()), m,
    )  # fmt: skip
    ctab = lay_out([table])[0]
    subject = rows.subject[pick]
    deaths = death_features(risk, subject, tev, items, ctab, m)
    return SparseData(
        risk, subject, rows.weight[pick], rows.offset[pick],
        np.ascontiguousarray(x - mean), tev, items, ctab, m, deaths,
        16 * np.finfo(float).eps * size, cut_rows(risk, subject, items, m),
    )  # fmt: skip


def death_features(
    risk: RiskSet, subject: Ints, tev: Ints, items: Items, ctab: Floats, m: int
) -> DeathFeatures:
    """Features of the deaths, found twice: how many there are, then which."""
    kernel = load_kernels(KERNELS).sparse_features_at
    n_col, n = ctab.shape[0], risk.death_row.size
    ptr = np.zeros(n + 1, np.int64)
    found = 0
    for _ in range(2):
        drug, x = np.empty(found, np.int32), np.empty((found, n_col))
        found = kernel(
            subject[risk.death_row], risk.death_event, items.of, items.ptr,
            items.drug, items.time, items.level, tev, m, ctab,
            ptr, drug, np.zeros((n_col, PAD)), x, items.span(),
        )  # fmt: skip
    return DeathFeatures(ptr, drug, x)


def cut_rows(
    risk: RiskSet, subject: Ints, items: Items, m: int
) -> list[tuple[int, int]]:
    """Ranges of rows of about equal work, fixed by the data alone."""
    long = np.minimum(
        items.time[items.ptr[1:] - 1].astype(np.int64)
        - items.time[items.ptr[:-1]] + m,
        risk.n_events,
    )  # fmt: skip
    done = np.concatenate(([0], np.cumsum(long)))
    own = np.diff(done[items.of])[subject]
    work = np.concatenate(
        ([0], np.cumsum(_NS_ROW + _NS_PAIR * np.minimum(own, 20 * (risk.hi - risk.lo))))
    )
    count = int(np.clip(work[-1] // _NS_SLICE, 1, _MAX_SLICES))
    marks = np.arange(count) * (work[-1] / count)
    cuts = np.unique(np.append(np.searchsorted(work, marks), risk.lo.size))
    if cuts[0] != 0:
        cuts = np.concatenate(([0], cuts))
    return list(zip(cuts[:-1].tolist(), cuts[1:].tolist()))


def without(rows: Rows, keep: Bools) -> Rows:
    """Some of the rows."""
    return Rows(*(getattr(rows, name)[keep] for name in Rows.__dataclass_fields__))


def all_drugs(data: SparseData) -> Ints:
    """Numbers of all drugs."""
    return np.arange(data.n_drugs)


def in_chunks(drugs: Ints, size: int) -> Sequence[Ints]:
    """Drugs some at a time, in order."""
    return [drugs[k : k + size] for k in range(0, drugs.size, size)]
