"""Structure of symbolic matrices: masks, block-sparse ranges, batches, clusters.

Batches become one problem whose ranges lie on the diagonal, with the parameters
that differ among them as data of i; so they may have any structure besides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .api_symbolic_inputs import Case, gathered, parse_more, slot_of
from .errors import EngineError
from .symbolic import dense
from .symbolic.lower import expand
from .symbolic.moments import LINEAR, Moments
from .symbolic.ranges import (
    Ranges,
    of_band,
    of_blocks,
    of_labels,
    of_matrix,
    of_radius,
)
from .symbolic.resident import on_host
from .symbolic.tree import Node, apply, variable

Array = npt.NDArray[Any]
KINDS = ("ranges", "labels", "band", "radius", "mask")
# What a pair that is masked counts as.
_NEUTRAL = {
    "sum": 0.0, "mean": 0.0, "prod": 1.0, "logsumexp": -np.inf,
    "sumsoftmaxweight": -np.inf, "min": np.inf, "kmin": np.inf, "max": -np.inf,
    "kmax": -np.inf, "var": 0.0, "sd": 0.0, "histogram": np.nan,
    "prod_nonzero": 1.0, "zeros": 1.0, "zero_sum": 1.0, "zero_squares": 1.0,
}  # fmt: skip


class Batch:
    """Data of many problems of one size, one after the other."""

    def __init__(
        self, data: Sequence[Any], index: Sequence[str], batch: int, size: Any
    ) -> None:
        self.n = self.m = 0
        self.count = int(batch)
        if self.count < 1:
            raise EngineError("`batch` is at least 1.", code="bad_batch", arg="batch")
        self.given = [np.asarray(on_host(values)) for values in data]
        self.kinds = list(index)
        rows = {"i": 0, "j": 0}
        if size is not None:
            rows["i"], rows["j"] = (int(s) for s in size)
        for slot, (values, kind) in enumerate(zip(self.given, index)):
            if kind == "p":
                continue
            if kind == "ij":
                raise _bad("Batches have no matrices of both i and j.")
            if values.ndim != 3:
                raise EngineError(
                    f"In batches, the data in slot {slot} have the shape (batches, "
                    f"rows, components); theirs is {values.shape}.",
                    code="bad_batch",
                    arg="data",
                )
            rows[kind] = rows[kind] or values.shape[1]
        self.n, self.m = rows["i"], rows["j"]
        self.size = (self.count * self.n, self.count * self.m)
        self.index = [self._index(slot) for slot in range(len(index))]
        self.data = [self._flat(slot) for slot in range(len(index))]

    def _index(self, slot: int) -> str:
        values = self.given[slot]
        if len(values) not in (1, self.count):
            raise EngineError(
                f"The data in slot {slot} are of {len(values)} batches; expected 1 or "
                f"{self.count}.",
                code="bad_batch",
                arg="data",
            )
        own = self.kinds[slot] == "p" and len(values) > 1
        return "i" if own else self.kinds[slot]

    def _flat(self, slot: int) -> Array:
        values, kind = self.given[slot], self.index[slot]
        if kind == "p":
            return values
        if self.kinds[slot] == "p":
            return np.repeat(values.reshape(self.count, -1), self.n, axis=0)
        wide = np.broadcast_to(values, (self.count, *values.shape[1:]))
        return wide.reshape(-1, values.shape[2])

    def back(self, gradient: Array, slot: int) -> Array:
        """A gradient in the shape of the data of its slot."""
        values = self.given[slot]
        if self.index[slot] == "p":
            return gradient.reshape(values.shape)
        some = gradient.reshape(self.count, -1, gradient.shape[-1])
        if self.kinds[slot] == "p":
            return some.sum(axis=1).reshape(values.shape)
        return some if len(values) > 1 else some.sum(axis=0, keepdims=True)


class Structure:
    """Which pairs of a case count: ranges, and a mask within them."""

    def __init__(
        self, case: Case, given: Mapping[str, Any] | None, base: int,
        batch: Batch | None, omit_nan: bool = False,
    ) -> None:  # fmt: skip
        self.case, self.base, self.batch = case, base, batch
        self.n, self.m = (
            (case.problem.n, case.problem.m) if batch is None else (batch.n, batch.m)
        )
        self.formula: Node = case.formula
        self.ranges: Ranges | None = None
        self.mask: Node | None = None
        given = {k: v for k, v in (given or {}).items() if v is not None}
        for name in given:
            if name not in KINDS:
                raise _bad(f"`structure` has {', '.join(KINDS)}; not {name!r}.")
        if "ranges" in given:
            self._meet(self._of_ranges(given["ranges"]))
        if "labels" in given:
            self._meet(self._of_labels(given["labels"]))
        if "band" in given:
            self._band(given["band"])
        if batch is not None:
            self.ranges = _diagonal(self.ranges, batch)
        if "radius" in given:
            self._radius(given["radius"])
        if "mask" in given:
            node, more = parse_more(given["mask"], case)
            case.problem = case.problem._replace(numbers=more)
            self._also(node)
        self.keep = self.mask  # as the mask, for each component
        if omit_nan:
            there = apply("eq", case.formula, case.formula)
            self.keep = there if self.mask is None else apply("and", self.mask, there)
        if self.keep is not None:
            self.formula = apply("where", self.keep, case.formula, _NEUTRAL[case.kind])

    def _meet(self, ranges: Ranges) -> None:
        self.ranges = ranges if self.ranges is None else self.ranges.both(ranges)

    def _also(self, mask: Node) -> None:
        if mask.dim != 1:
            raise _bad(f"A mask has one component, not {mask.dim}.")
        self.mask = mask if self.mask is None else apply("and", self.mask, mask)

    def _of_ranges(self, given: Mapping[str, Any]) -> Ranges:
        rows = _pairs(given["rows"], self.n, self.base, "rows")
        columns = _pairs(given["columns"], self.m, self.base, "columns")
        slices = np.concatenate(([0], np.atleast_1d(given["slices"]))).astype(np.int64)
        if (
            len(slices) != len(rows) + 1
            or slices[-1] != len(columns)
            or (np.diff(slices) < 0).any()
        ):
            raise _bad("`slices` must count up to the ranges of columns, by rows.")
        return of_blocks(np.repeat(rows, np.diff(slices), axis=0), columns)

    def _of_labels(self, given: Mapping[str, Any]) -> Ranges:
        sides = []
        for name, n in (("rows", self.n), ("columns", self.m)):
            labels = np.atleast_1d(np.asarray(given[name])).astype(np.int64)
            if len(labels) != n or (np.diff(labels) < 0).any():
                raise _bad(f"Labels of {name} must be sorted, one for each of {n}.")
            sides.append(of_labels(labels))
        (a, rows), (b, columns) = sides
        if given.get("keep") is None:
            return of_matrix(rows, columns, a[:, None] == b)
        keep = np.asarray(given["keep"]) != 0
        low = min([*a, *b], default=self.base) - self.base
        high = np.array([a.max(initial=0), b.max(initial=0)]) - self.base
        if keep.ndim != 2 or low < 0 or (high >= keep.shape).any():
            raise _bad("`keep` needs a row and a column for every label.")
        return of_matrix(rows, columns, keep[np.ix_(a - self.base, b - self.base)])

    def _band(self, given: Sequence[float]) -> None:
        lower, upper = (float(v) for v in given)
        self._meet(of_band(self.n, self.m, lower, upper))
        p = self.case.problem
        if max(self.n, self.m) > 1 << 24 and p.dtype == np.float32:
            raise _bad("A band of so many rows needs double precision.")
        times = 1 if self.batch is None else self.batch.count
        places = [
            np.tile(np.arange(k, dtype=p.dtype), times)[:, None]
            for k in (self.n, self.m)
        ]
        slot = len(p.data)
        gap = variable("j", slot + 1, 1) - variable("i", slot, 1)
        numbers = list(p.numbers)
        self.case.problem = p._replace(data=[*p.data, *places], numbers=numbers)
        if np.isfinite(upper):
            self._also(apply("le", gap, self._number(upper)))
        if np.isfinite(lower):
            self._also(apply("ge", gap, self._number(-lower)))

    def _radius(self, given: Sequence[Any]) -> None:
        slots, radius = [slot_of(s, len(self.case.dims)) for s in given[:2]], given[2]
        p = self.case.problem
        if [self.case.index[s] for s in slots] != ["i", "j"] or not float(radius) >= 0:
            raise _bad("`radius` takes a slot of i, one of j, and a distance.")
        x, y = (on_host(p.data[s]) for s in slots)
        if x.shape[1] != y.shape[1]:
            raise _bad("Points of i and of j must have as many components.")
        parts = []
        for b in range(1 if self.batch is None else self.batch.count):
            r, c = (
                slice(b * self.n, (b + 1) * self.n),
                slice(b * self.m, (b + 1) * self.m),
            )
            one = of_radius(x[r], y[c], float(radius))
            parts.append(one.moved(r.start, c.start))
        self._meet(_stacked(parts))
        dim = x.shape[1]
        square = apply(
            "sqdist", variable("i", slots[0], dim), variable("j", slots[1], dim)
        )
        self._also(apply("le", square, self._number(float(radius) ** 2)))

    def _number(self, value: float) -> Node:
        from .symbolic.tree import number

        p = self.case.problem
        self.case.problem = p._replace(numbers=[*p.numbers, value])
        return number(len(p.numbers))

    def moments(self) -> Moments | None:
        """Sums over what counts; None where that is all, by a simpler way."""
        case = self.case
        if case.kind not in LINEAR:
            return None
        plain = self.keep is None and case.weight is None
        if plain and (case.kind == "sum" or (case.kind == "mean" and not self.ranges)):
            return None
        return Moments(
            case.formula, case.problem, case.axis, self.ranges, self.keep, case.weight
        )

    def unmasked(self, found: dict[str, Array]) -> dict[str, Array]:
        """Positions of smallest and largest values that are none become -1."""
        place = found.get("index")
        if place is None or self.keep is None:
            return found
        p, axis = self.case.problem, self.case.axis
        row, column = np.nonzero(np.isinf(found["value"]) & (place >= 0))
        there = place[row, column]
        i, j = (row, there) if axis == "j" else (there, row)
        some = gathered(p.data, self.kinds(), i, j, True)
        kept = dense.values(expand(self.keep), some, p.numbers, paired=True)[:, 0]
        part = np.where(kept.shape[1] > 1, column, 0)
        kept = np.broadcast_to(kept, (len(row), kept.shape[1]))
        place = place.copy()
        none = kept[np.arange(len(row)), part] == 0
        place[row, column] = np.where(none, -1, place[row, column])
        return {**found, "index": place}

    def given(self, value: Array, name: str, base: int) -> Array:
        """A result as it is given back."""
        if self.batch is not None:
            value = value.reshape(self.batch.count, -1, value.shape[-1])
            if name == "index":
                size = self.m if self.case.axis == "j" else self.n
                first = np.arange(self.batch.count)[:, None, None] * size
                value = np.where(value < 0, value, value - first)
        return value + base if name == "index" else value

    def kinds(self) -> list[str]:
        """What every slot is indexed by, those of the structure included."""
        return [*self.case.index, "i", "j"]


def _pairs(given: Any, n: int, base: int, name: str) -> Array:
    out = np.asarray(given, np.float64).reshape(-1, 2).astype(np.int64)
    out = out - np.array([base, 0])
    if len(out) and (out.min() < 0 or out.max() > n or (np.diff(out) < 0).any()):
        raise _bad(f"Ranges of {name} must go up and lie within the {n} there are.")
    return out


def _diagonal(ranges: Ranges | None, batch: Batch) -> Ranges:
    if ranges is None:
        place = np.arange(batch.count + 1)
        rows, columns = (
            np.column_stack((place[:-1], place[1:])) * k for k in (batch.n, batch.m)
        )
        return Ranges(rows, place, columns)
    one = ranges
    return _stacked([one.moved(b * batch.n, b * batch.m) for b in range(batch.count)])


def _stacked(parts: Sequence[Ranges]) -> Ranges:
    ends = np.cumsum([0, *(part.slices[-1] for part in parts)])
    slices = [part.slices[1:] + end for part, end in zip(parts, ends)]
    return Ranges(
        np.concatenate([part.rows for part in parts]),
        np.concatenate([[0], *slices]).astype(np.int64),
        np.concatenate([part.columns for part in parts]),
    )


def _bad(message: str) -> EngineError:
    return EngineError(message, code="bad_structure", arg="structure")


def symbolic_clusters(x: Any, width: float, *, base: int = 0) -> dict[str, Array]:
    """Cells of a grid as clusters: what block-sparse ranges are made of.

    Parameters
    ----------
    x : array, (n, d)
    width : float
        Width of a cell, in the unit of x.
    base : int
        First label, place and row.

    Returns
    -------
    dict
        ``label`` (n,); ``order``: places that sort the points by label; ``ranges``
        (c, 2): first and last (base 1) or first and end (base 0) of every cluster
        among the sorted points; ``centre`` (c, d) and ``radius`` (c,): mean of a
        cluster's points and the largest distance from it.
    """
    points = np.asarray(x, np.float64)
    if points.ndim == 1:
        points = points[:, None]
    if not (points.ndim == 2 and np.isfinite(points).all() and float(width) > 0):
        raise EngineError(
            "Clusters need finite points, one a row, and a width above 0.",
            code="bad_shape",
            arg="x",
        )
    cells = np.floor((points - points.min(axis=0, initial=0)) / float(width))
    _, label = np.unique(cells.astype(np.int64), axis=0, return_inverse=True)
    label = label.reshape(-1).astype(np.int64)
    order = np.argsort(label, kind="stable")
    _, ranges = of_labels(label[order])
    size = np.diff(ranges).ravel()
    spread = points[order]
    total = np.add.reduceat(spread, ranges[:, 0], axis=0) if len(ranges) else spread
    centre = total / size[:, None]
    far = np.sqrt(((spread - np.repeat(centre, size, axis=0)) ** 2).sum(axis=1))
    radius = np.maximum.reduceat(far, ranges[:, 0]) if len(ranges) else far
    return {
        "label": label + base, "order": order + base,
        "ranges": ranges + np.array([[base, 0]]),
        "centre": centre, "radius": radius,
    }  # fmt: skip
