"""A symbolic matrix as a linear map: products, a column, the diagonal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .api_symbolic_inputs import Case, gathered
from .api_symbolic_structure import Structure
from .errors import EngineError
from .symbolic.resident import is_tensor, on_host, placed, taken

Array = npt.NDArray[Any]


class Operator:
    """A symbolic matrix as a linear map: what SciPy calls a LinearOperator.

    ``scipy.sparse.linalg.aslinearoperator(operator)`` takes it as it is.
    """

    def __init__(
        self,
        expression: Any,
        data: Sequence[Any],
        index: Sequence[str],
        *,
        precision: str = "float64",
        size: Sequence[int] | None = None,
        structure: Mapping[str, Any] | None = None,
        base: int = 0,
        engine: str = "cpu",
        device: str | None = None,
    ) -> None:
        from .symbolic.engine import chosen

        data, engine, device = taken(data, engine, device)
        self.home = chosen(engine, device)
        self.case = Case(expression, data, index, "sum", "j", 1, None, precision, size)
        self.kept = Structure(self.case, structure, base, None)
        self.formula, self.problem = self.kept.formula, self.case.problem
        if self.formula.dim != 1:
            raise EngineError(
                f"A matrix has one component, not {self.formula.dim}.",
                code="bad_dimension",
                arg="expression",
            )
        self.shape = (self.problem.n, self.problem.m)
        self.dtype = self.problem.dtype
        # Data go to the device once, and are read here where pieces are made.
        self.there = self.problem
        if self.home.name == "torch":
            data = [
                v if is_tensor(v) else placed(v, "torch", self.home.device).values
                for v in self.problem.data
            ]
            self.there = self.problem._replace(data=data)
        here = [on_host(v) for v in self.problem.data]
        self.problem = self.problem._replace(data=here)

    def matmat(self, right: Any) -> Array:
        """The matrix times (m, columns)."""
        return self._times(right, "j")

    def rmatmat(self, right: Any) -> Array:
        """The transposed matrix times (n, columns)."""
        return self._times(right, "i")

    def matvec(self, right: Any) -> Array:
        """The matrix times a vector."""
        return self.matmat(np.reshape(right, (-1, 1)))[:, 0]

    def rmatvec(self, right: Any) -> Array:
        """The transposed matrix times a vector."""
        return self.rmatmat(np.reshape(right, (-1, 1)))[:, 0]

    def _times(self, right: Any, axis: str) -> Array:
        from .symbolic.engine import using
        from .symbolic.evaluate import reduce
        from .symbolic.tree import variable

        p = self.there
        values = np.asarray(right, p.dtype)
        last = variable(axis, len(p.data), values.shape[1])
        with using(self.home.name, self.home.device):
            found = reduce(
                self.formula * last, p._replace(data=[*p.data, values]), "sum", axis,
                ranges=self.kept.ranges,
            )  # fmt: skip
        return found["value"]

    def diagonal(self) -> Array:
        """Values where i = j."""
        every = np.arange(min(self.shape))
        return self._piece(every, every, True)

    def column(self, j: int) -> Array:
        """Values of one column."""
        return self._piece(np.arange(self.shape[0]), np.array([j]), False)

    def _piece(self, rows: Array, columns: Array, paired: bool) -> Array:
        from .symbolic import dense
        from .symbolic.lower import expand

        p = self.problem
        data = gathered(p.data, self.kept.kinds(), rows, columns, paired)
        value = dense.values(expand(self.formula), data, p.numbers, paired=paired)
        out: Array = np.broadcast_to(value[:, 0, 0], (len(rows),)).astype(np.float64)
        if self.kept.ranges is None:
            return out
        return out * self._visited(rows, columns, paired)

    def _visited(self, rows: Array, columns: Array, paired: bool) -> Array:
        """1 where the ranges hold a pair."""
        assert self.kept.ranges is not None
        out = np.zeros(len(rows))
        for r, some in self.kept.ranges.blocks():
            for c in some:
                if paired:
                    out[max(r.start, c.start) : min(r.stop, c.stop)] = 1
                elif c.start <= columns[0] < c.stop:
                    out[r] = 1
        return out


def symbolic_operator(*args: Any, **more: Any) -> Any:
    """A ``scipy.sparse.linalg.LinearOperator`` of a symbolic matrix (needs SciPy)."""
    try:
        from scipy.sparse.linalg import aslinearoperator  # type: ignore
    except ImportError:
        raise EngineError(
            "A LinearOperator needs SciPy in the engine's environment.",
            code="no_scipy",
            arg="engine",
        ) from None
    return aslinearoperator(Operator(*args, **more))
