"""Rows of a Cox model as the engine takes them."""

from __future__ import annotations

from dataclasses import dataclass

from .._typing import Floats, Ints


@dataclass(frozen=True)
class CoxRows:
    """Rows (start, stop]; codes 0-based. ``start`` None: at risk from the first."""

    start: Floats | None  # (n,)
    stop: Floats  # (n,)
    event: Ints  # (n,) int8, 0 or 1
    stratum: Ints  # (n,) int32
    offset: Floats  # (n,)
    weight: Floats  # (n,)
    x: Floats  # (n, q), any order
    mean: Floats  # (q,) column means of x

    @property
    def n(self) -> int:
        """Number of rows."""
        return int(self.stop.size)
