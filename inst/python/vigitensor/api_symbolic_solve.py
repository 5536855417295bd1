"""Linear systems and eigenpairs of symbolic matrices, as R calls them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .api_symbolic_inputs import Case, gathered, known
from .api_symbolic_structure import Structure
from .errors import EngineError

Array = npt.NDArray[Any]
PRECONDITIONERS = ("none", "cholesky", "nystrom")


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
    ) -> None:
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
        from .symbolic.evaluate import reduce
        from .symbolic.tree import variable

        p = self.problem
        values = np.asarray(right, p.dtype)
        last = variable(axis, len(p.data), values.shape[1])
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


def symbolic_solve(
    expression: Any,
    data: Sequence[Any],
    index: Sequence[str],
    b: Any,
    *,
    alpha: float = 0.0,
    tolerance: float = 1e-6,
    max_iter: int = 500,
    preconditioner: str = "cholesky",
    rank: int = 50,
    precision: str = "float64",
    size: Sequence[int] | None = None,
    structure: Mapping[str, Any] | None = None,
    base: int = 0,
    memory_mb: float | None = None,
) -> dict[str, Any]:
    """Solve (K + alpha I) x = b for a symmetric positive matrix K_ij.

    Parameters
    ----------
    b : array, (n,) or (n, columns)
        Right-hand sides; all are solved in the same passes.
    alpha : float
        Ridge, at least 0.
    tolerance : float
        Of |b - (K + alpha I) x| / |b|, for every column.
    max_iter : int
        Most steps.
    preconditioner : {"cholesky", "nystrom", "none"}
        A partial Cholesky factor of ``rank`` columns: those with the largest rests
        of the diagonal, or drawn with such probabilities (a fixed seed).

    Returns
    -------
    dict
        ``x`` as b; ``converged``; ``iterations``; ``history``, the largest relative
        residual before and after each step; ``residual`` of each column, computed
        anew; ``message``, "" or what to tell the user.

    Raises
    ------
    EngineError
        ``not_square``, ``bad_shape``, ``bad_alpha``, ``bad_tolerance``,
        ``bad_preconditioner``, and those of ``symbolic_reduce``.
    """
    from .symbolic import memory

    operator = _square(expression, data, index, precision, size, structure, base)
    with memory.limited(memory_mb):
        return _solved(operator, b, alpha, tolerance, max_iter, preconditioner, rank)


def symbolic_solve_gradient(
    expression: Any,
    data: Sequence[Any],
    index: Sequence[str],
    x: Any,
    cotangent: Any,
    wrt: Sequence[int],
    *,
    alpha: float = 0.0,
    tolerance: float = 1e-6,
    max_iter: int = 500,
    preconditioner: str = "cholesky",
    rank: int = 50,
    precision: str = "float64",
    size: Sequence[int] | None = None,
    structure: Mapping[str, Any] | None = None,
    base: int = 0,
    memory_mb: float | None = None,
) -> dict[str, Any]:
    """Gradients of sum(cotangent * x), where x solves (K + alpha I) x = b.

    One more system with the same matrix gives z; then b has the gradient z, alpha
    - sum(z x), and data in K that of - sum z_i K_ij x_j with z and x fixed.

    Returns
    -------
    dict
        ``b``, ``alpha``, ``data`` (a list, as ``wrt``), and of the second system
        what ``symbolic_solve`` reports.
    """
    from .symbolic import memory
    from .symbolic.gradient import gradient
    from .symbolic.tree import variable

    operator = _square(expression, data, index, precision, size, structure, base)
    n = operator.shape[0]
    value, _ = _right(x, n)
    with memory.limited(memory_mb):
        out = _solved(
            operator, cotangent, alpha, tolerance, max_iter, preconditioner, rank
        )
        z = out.pop("x")
        p = operator.problem
        last = variable("j", len(p.data), value.shape[1])
        found = gradient(
            operator.formula * last,
            p._replace(data=[*p.data, value.astype(p.dtype)]),
            "sum", "j", operator.case.leaves(wrt),
            -z.reshape(n, -1).astype(p.dtype), ranges=operator.kept.ranges,
        )  # fmt: skip
    total = float((z.reshape(n, -1) * value).sum())
    return {"b": z, "alpha": -total, "data": found, **out}


def symbolic_eigs(
    expression: Any,
    data: Sequence[Any],
    index: Sequence[str],
    k: int = 6,
    *,
    which: str = "magnitude",
    tolerance: float = 1e-8,
    max_iter: int = 300,
    precision: str = "float64",
    size: Sequence[int] | None = None,
    structure: Mapping[str, Any] | None = None,
    base: int = 0,
    memory_mb: float | None = None,
) -> dict[str, Any]:
    """Some eigenvalues and vectors of a symmetric matrix K_ij.

    Parameters
    ----------
    k : int
        How many.
    which : {"magnitude", "largest", "smallest"}
    tolerance : float
        Of |K u - value u|, over the largest size of an eigenvalue.
    max_iter : int
        Most products with a block of vectors.

    Returns
    -------
    dict
        ``values`` (k,), in the order of ``which``, ``vectors`` (n, k), each of length
        1 with a positive largest entry, ``residual`` (k,), ``iterations``,
        ``converged`` and ``message``.
    """
    from .symbolic import memory
    from .symbolic.krylov import eigenpairs

    operator = _square(expression, data, index, precision, size, structure, base)
    known(which, ("magnitude", "largest", "smallest"), "which")
    n = operator.shape[0]
    if not 1 <= int(k) <= n:
        raise EngineError(
            f"`k` must be from 1 to the {n} rows there are, not {k}.",
            code="bad_k",
            arg="k",
        )
    with memory.limited(memory_mb):
        found = eigenpairs(
            lambda v: operator.matmat(v).astype(np.float64), n, int(k), which,
            float(tolerance), int(max_iter),
        )  # fmt: skip
    vectors = found.vectors
    top = np.abs(vectors).argmax(axis=0)
    vectors = vectors * np.where(vectors[top, np.arange(len(top))] < 0, -1.0, 1.0)
    message = ""
    if not found.converged:
        message = (
            f"Stopped after {found.rounds} products at a residual of "
            f"{found.residual.max():.1e}; {float(tolerance):.1e} was asked. Allow more "
            "iterations or a larger tolerance."
        )
    return {
        "values": found.values, "vectors": vectors, "residual": found.residual,
        "iterations": found.rounds, "converged": found.converged, "message": message,
    }  # fmt: skip


def _square(
    expression: Any, data: Any, index: Any, precision: str, size: Any, structure: Any,
    base: int,
) -> Operator:  # fmt: skip
    out = Operator(
        expression, data, index, precision=precision, size=size, structure=structure,
        base=base,
    )  # fmt: skip
    if out.shape[0] != out.shape[1] or out.shape[0] == 0:
        raise EngineError(
            f"A square matrix was expected; it is {out.shape[0]} x {out.shape[1]}.",
            code="not_square",
            arg="data",
        )
    return out


def _right(given: Any, n: int) -> tuple[Array, tuple[int, ...]]:
    b = np.asarray(given, np.float64)
    if b.ndim not in (1, 2) or len(b) != n or not np.isfinite(b).all():
        raise EngineError(
            f"Right-hand sides are finite numbers for each of {n} rows; their shape "
            f"is {b.shape}.",
            code="bad_shape",
            arg="b",
        )
    return b.reshape(n, -1), b.shape


def _solved(
    operator: Operator, b: Any, alpha: float, tolerance: float, max_iter: int,
    preconditioner: str, rank: int,
) -> dict[str, Any]:  # fmt: skip
    """One system, as ``symbolic_solve`` reports it."""
    known(preconditioner, PRECONDITIONERS, "preconditioner")
    right, shape = _right(b, operator.shape[0])
    solve = _solver(
        operator, float(alpha), float(tolerance), int(max_iter), preconditioner,
        int(rank),
    )  # fmt: skip
    return _report(solve(right), shape, tolerance)


def _solver(
    operator: Operator, alpha: float, tolerance: float, most: int, kind: str, rank: int
) -> Callable[[Array], Any]:
    from .symbolic.krylov import conjugate_gradients, partial_cholesky, woodbury

    if not (np.isfinite(alpha) and alpha >= 0):
        raise EngineError("`alpha` is at least 0.", code="bad_alpha", arg="alpha")
    if not 0 < tolerance < 1:
        raise EngineError(
            "`tolerance` is between 0 and 1.", code="bad_tolerance", arg="tolerance"
        )
    inverse: Callable[[Array], Array] = np.copy
    if kind != "none" and rank > 0:
        diagonal = operator.diagonal()
        factor = partial_cholesky(diagonal, operator.column, rank, kind == "cholesky")
        rest = float(np.maximum(diagonal - (factor**2).sum(axis=1), 0).mean())
        level = max(alpha, rest, 1e-12 * float(np.abs(diagonal).max(initial=0)))
        if factor.shape[1] and level > 0:
            inverse = woodbury(factor, level)

    def product(v: Array) -> Array:
        return operator.matmat(v).astype(np.float64) + alpha * v

    return lambda b: conjugate_gradients(product, b, tolerance, most, inverse)


def _report(found: Any, shape: tuple[int, ...], tolerance: float) -> dict[str, Any]:
    worst = float(found.residual.max(initial=0))
    steps = len(found.history) - 1
    message = ""
    if found.trouble == "indefinite":
        message = (
            f"The matrix is not positive definite in working precision (step {steps}); "
            f"the relative residual is {worst:.1e}. Raise `alpha`."
        )
    elif found.trouble or worst > 10 * float(tolerance):
        message = (
            f"Stopped after {steps} steps at a relative residual of {worst:.1e}; "
            f"{float(tolerance):.1e} was asked. Raise `alpha`, `rank` or the number "
            "of steps, or compute in double precision."
        )
    return {
        "x": found.x.reshape(shape), "converged": message == "", "iterations": steps,
        "history": found.history, "residual": found.residual, "message": message,
    }  # fmt: skip
