"""Passes over the blocks of a store, by one process.

Prepared blocks stay in memory as far as the budget goes; the others lie in a
folder of columns and are mapped when their turn comes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from .. import device
from .._typing import Floats, Ints
from ..errors import EngineError
from ..survival import blocks, blocks_results
from ..survival.blocks import Block, Index, Plan, Prepared, Summary
from ..survival.blocks_results import BlockScores, Wanted
from ..survival.likelihood import MomentSums
from ..survival.problem import Problem
from ..survival.scores import RowDeaths, ScoreLines
from .columns import ColumnStore

# Of the memory of a fit: what prepared blocks may keep; the rest is for the block
# at work.
_KEPT = 0.5
_DEFAULT_SHARE = 0.25


def budget_bytes(memory_mb: float | None = None) -> float:
    """Bytes that a fit from disk may take: as asked, or a quarter of what is free."""
    if memory_mb is not None:
        return float(memory_mb) * 1e6
    free = device.memory_available()
    return _DEFAULT_SHARE * (4e9 if free is None else free)


def kept_bytes(memory_mb: float | None = None) -> float:
    """Bytes of these that blocks may keep between passes."""
    return _KEPT * budget_bytes(memory_mb)


class Source(Protocol):
    """Where blocks come from."""

    @property
    def n_blocks(self) -> int:
        """How many there are."""

    def load(self, block: int) -> Block:
        """One of them."""

    def group(self, block: int) -> Ints:
        """Codes of the groups of its subjects."""

    def subjects(self, block: int) -> Ints:
        """The subject of each row."""


class Keeper:
    """Blocks of a source, prepared for one plan.

    Parameters
    ----------
    source : Source
    budget : float
        Bytes that prepared blocks may take in memory.
    folder : Path, optional
        Where the others go; without one they are prepared anew for every pass.
    """

    def __init__(
        self, source: Source, budget: float, folder: Path | None = None
    ) -> None:
        self.source = source
        self.budget = budget
        self.folder = folder
        self._plan: Plan | None = None
        self._shared: Any = None
        self._held: dict[int, Prepared] = {}
        self._spilled: set[int] = set()
        self._bytes = 0

    def set_plan(self, plan: Plan) -> None:
        """Begin with a plan; what was prepared for another is forgotten."""
        self._plan, self._shared = plan, blocks.share_plan(plan)
        self._held.clear()
        self._spilled.clear()
        self._bytes = 0

    def index(self, block: int) -> Index:
        """First look."""
        return blocks.index_block(self.source.load(block))

    def prepare(self, block: int, first: int, details: bool = True) -> Summary | None:
        """Prepare a block and keep it."""
        assert self._plan is not None
        prepared, summary = blocks.prepare_block(
            self.source.load(block), self._plan, first, details
        )
        size = prepared.size()
        if self._bytes + size <= self.budget:
            self._held[block] = prepared
            self._bytes += size
        elif self.folder is not None:
            self._spill().write(block, prepared.columns(), {})
            self._spilled.add(block)
        return summary

    def risks(
        self, block: int, design: int, beta: Floats, shift: Floats, exposed: bool
    ) -> Floats:
        """First pass over one block."""
        return blocks.risks(self._problem(block, design), beta, shift, exposed)

    def moments(
        self, block: int, design: int, beta: Floats, shift: Floats, wt: Floats
    ) -> MomentSums:
        """Second pass over one block."""
        return blocks.second_moments(self._problem(block, design), beta, shift, wt)

    def scores(
        self,
        block: int,
        own: tuple[RowDeaths, int],
        design: int,
        beta: Floats,
        shift: Floats,
        lines: ScoreLines,
        wanted: Wanted,
    ) -> BlockScores:
        """Residuals of one block; ``own``: its deaths and number of subjects."""
        group = self.source.group(block) if wanted.kind == "groups" else None
        problem = self._problem(block, design)
        found = blocks_results.block_scores(
            problem, beta, shift, lines, wanted, *own, group
        )
        if wanted.kind == "subjects":
            # Rows that are never at risk are not in the problem.
            rows = np.bincount(self.source.subjects(block), minlength=own[1])
            found = replace(found, rows=rows.astype(np.float64))
        return found

    def many_risks(
        self,
        block: int,
        own: Any,
        design: int,
        betas: Floats,
        downs: Floats,
        top: float,
    ) -> list[Floats]:
        """First derivatives of replicates; ``own``: their weights."""
        problem = self._problem(block, design)
        return blocks_results.block_risks(problem, betas, downs, top, own)

    def many_seconds(
        self,
        block: int,
        own: Any,
        design: int,
        betas: Floats,
        downs: Floats,
        wts: Floats,
        top: float,
    ) -> list[Floats]:
        """Second derivatives of replicates; ``own``: their weights."""
        problem = self._problem(block, design)
        return blocks_results.block_seconds(problem, betas, downs, wts, top, own)

    def _problem(self, block: int, design: int) -> Problem:
        assert self._plan is not None
        return blocks.part_of_problem(
            self._prepared(block), self._plan, self._shared, design
        )

    def _prepared(self, block: int) -> Prepared:
        assert self._plan is not None
        held = self._held.get(block)
        if held is not None:
            return held
        if block in self._spilled:
            return blocks.from_columns(self._spill().read(block), self._plan)
        # Not prepared here before: a block that another worker has lost.
        self.prepare(block, 0, details=False)
        held = self._held.get(block)
        if held is None and block in self._spilled:
            return blocks.from_columns(self._spill().read(block), self._plan)
        if held is not None:
            return held
        return blocks.prepare_block(self.source.load(block), self._plan, 0, False)[0]

    def _spill(self) -> ColumnStore:
        assert self.folder is not None
        # A fit's own: made anew by a fit that goes on.
        return ColumnStore.create(self.folder, {"of": "one fit"}, durable=False)


class Stopped(Exception):
    """Somebody asked a fit to stop."""


class LocalPasses:
    """One block after the other, in this process.

    ``watch`` is told (pass, block) before every block, and may raise.
    """

    def __init__(self, keeper: Keeper, watch: Any = None) -> None:
        self.keeper = keeper
        self.n_passes = 0
        self._watch = watch

    def _each(self) -> Iterator[int]:
        self.n_passes += 1
        for block in range(self.keeper.source.n_blocks):
            if self._watch is not None:
                self._watch(self.n_passes, block)
            yield block

    def index(self) -> Iterator[Index]:
        """Look at the events."""
        for block in self._each():
            yield self.keeper.index(block)

    def prepare(self, plan: Plan, first: Sequence[int]) -> Iterator[Summary]:
        """Place the rows."""
        self.keeper.set_plan(plan)
        for block in self._each():
            summary = self.keeper.prepare(block, first[block])
            assert summary is not None
            yield summary

    def risks(
        self, design: int, beta: Floats, shift: Floats, exposed: bool
    ) -> Iterator[Floats]:
        """First pass."""
        for block in self._each():
            yield self.keeper.risks(block, design, beta, shift, exposed)

    def moments(
        self, design: int, beta: Floats, shift: Floats, wt: Floats
    ) -> Iterator[MomentSums]:
        """Second pass."""
        for block in self._each():
            yield self.keeper.moments(block, design, beta, shift, wt)

    def on_blocks(
        self, method: str, common: tuple[Any, ...], own: Sequence[Any]
    ) -> Iterator[Any]:
        """Any other method of the keeper, with an argument of each block."""
        for block in self._each():
            yield getattr(self.keeper, method)(block, own[block], *common)

    def close(self) -> None:
        """Nothing is held elsewhere."""


class InMemory:
    """Blocks that are at hand."""

    def __init__(self, given: Sequence[Block]) -> None:
        if not given:
            raise EngineError("There are no blocks.", code="no_blocks", arg="path")
        self._given = given

    @property
    def n_blocks(self) -> int:
        """How many there are."""
        return len(self._given)

    def load(self, block: int) -> Block:
        """One of them."""
        return self._given[block]

    def group(self, block: int) -> Ints:
        """Every subject alone."""
        before = sum(b.n_subjects for b in self._given[:block])
        return np.arange(self._given[block].n_subjects, dtype=np.int32) + before

    def subjects(self, block: int) -> Ints:
        """The subject of each row."""
        return self._given[block].rows.subject
