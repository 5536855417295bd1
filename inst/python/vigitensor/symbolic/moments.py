"""Weighted sums, means and variances over the pairs that count, and their gradients.

A variance is two sums: the mean, then the squares of what is left of it. With the
mean m and the variance v held fixed, both have the gradients of plain sums:

    d mean = sum d[w (f - m)] / W,   d var = sum d[w ((f - m)^2 - v)] / (W - 1),

as the sum of w (f - m) is 0. W is the sum of the weights, or the number of pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .evaluate import reduce
from .gradient import gradient
from .ranges import Ranges
from .tables import Problem
from .tree import Node, apply, constant, variable

Array = npt.NDArray[Any]
LINEAR = ("sum", "mean", "var", "sd")


class Moments(NamedTuple):
    """A formula, the pairs of it that count, and how much."""

    formula: Node
    problem: Problem
    axis: str
    ranges: Ranges | None
    keep: Node | None  # not 0 where a pair counts
    weight: Node | None

    def value(self, kind: str) -> Array:
        """Sum, mean, variance or standard deviation, (rows, components)."""
        dtype = self.problem.dtype
        if kind == "sum":
            return self._total(self._weighted(self.formula), self.problem)
        return self._moment(kind)[-1].astype(dtype)

    def gradient(self, kind: str, wrt: Sequence[Node], cotangent: Array) -> list[Array]:
        """Gradients of sum(cotangent * value)."""
        g, f, p = cotangent.astype(np.float64), self.formula, self.problem
        if kind == "sum":
            inner = self._weighted(f)
        else:
            count, mean, *rest = self._moment(kind)[1:]
            slot, out = len(p.data), "i" if self.axis == "j" else "j"
            f = f - variable(out, slot, f.dim)
            more = [mean]
            with np.errstate(divide="ignore", invalid="ignore"):
                g = g / count if kind == "mean" else g / (count - 1)
                if kind != "mean":
                    f = apply("square", f) - variable(out, slot + 1, f.dim)
                    more.append(rest[0])
                if kind == "sd":
                    g = g * 0.5 / rest[1]
            # Where there is nothing to divide by, nothing depends on the data.
            g = np.where(np.isfinite(g), g, 0)
            data = [*p.data, *(m.astype(p.dtype) for m in more)]
            p, inner = p._replace(data=data), self._weighted(f)
        return gradient(
            self._kept(inner), p, "sum", self.axis, wrt, g.astype(p.dtype),
            ranges=self.ranges,
        )  # fmt: skip

    def counts(self) -> Array:
        """Sum of the weights of every row, (rows, 1 or components)."""
        p, over_j = self.problem, self.axis == "j"
        rows, columns = (p.n, p.m) if over_j else (p.m, p.n)
        if self.keep is None and self.weight is None:
            if self.ranges is None:
                return np.full((rows, 1), float(columns))
            ranges = self.ranges if over_j else self.ranges.transposed()
            return ranges.counts(rows)[:, None].astype(np.float64)
        one = constant(1.0) if self.weight is None else self.weight
        return self._total(one, p).astype(np.float64)

    def _moment(self, kind: str) -> list[Array]:
        """Sum, weight, mean, and the variance and its root where they are asked."""
        p = self.problem
        total = self._total(self._weighted(self.formula), p).astype(np.float64)
        count = self.counts()
        with np.errstate(divide="ignore", invalid="ignore"):
            out = [total, count, total / count]
            if kind == "mean":
                return out
            slot, index = len(p.data), "i" if self.axis == "j" else "j"
            rest = self.formula - variable(index, slot, self.formula.dim)
            larger = p._replace(data=[*p.data, out[2].astype(p.dtype)])
            inner = self._weighted(apply("square", rest))
            squares = self._total(inner, larger).astype(np.float64)
            out.append(np.where(count > 1, squares / (count - 1), np.nan))
            if kind == "sd":
                out.append(np.sqrt(out[3]))
        return out

    def _weighted(self, node: Node) -> Node:
        return node if self.weight is None else self.weight * node

    def _kept(self, node: Node) -> Node:
        return node if self.keep is None else apply("where", self.keep, node, 0.0)

    def _total(self, node: Node, problem: Problem) -> Array:
        found = reduce(self._kept(node), problem, "sum", self.axis, ranges=self.ranges)
        return found["value"]
