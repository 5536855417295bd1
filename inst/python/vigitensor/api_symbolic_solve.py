"""Linear systems and eigenpairs of symbolic matrices, as R calls them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .api_symbolic_inputs import known
from .api_symbolic_operator import Operator, symbolic_operator
from .errors import EngineError
from .symbolic.resident import placed

Array = npt.NDArray[Any]
__all__ = (
    "symbolic_eigs",
    "symbolic_operator",
    "symbolic_solve",
    "symbolic_solve_gradient",
)
PRECONDITIONERS = ("none", "cholesky", "nystrom")


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
    engine: str = "cpu",
    device: str | None = None,
    keep: bool = False,
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
    engine, device
        As in ``symbolic_reduce``: what multiplies; the steps are taken by NumPy.
    keep : bool
        Leave ``x`` there: a handle.

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

    operator = _square(
        expression, data, index, precision, size, structure, base, engine, device
    )
    with memory.limited(memory_mb):
        out = _solved(operator, b, alpha, tolerance, max_iter, preconditioner, rank)
    if keep:
        x = out["x"].astype(operator.dtype).reshape(operator.shape[0], -1)
        out["x"] = placed(x, operator.home.name, operator.home.device)
    return out


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
    engine: str = "cpu",
    device: str | None = None,
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
    from .symbolic.engine import using
    from .symbolic.gradient import gradient
    from .symbolic.tree import variable

    operator = _square(
        expression, data, index, precision, size, structure, base, engine, device
    )
    n = operator.shape[0]
    value, _ = _right(x, n)
    with memory.limited(memory_mb):
        out = _solved(
            operator, cotangent, alpha, tolerance, max_iter, preconditioner, rank
        )
        z = out.pop("x")
        p = operator.there
        last = variable("j", len(p.data), value.shape[1])
        with using(operator.home.name, operator.home.device):
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
    engine: str = "cpu",
    device: str | None = None,
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

    operator = _square(
        expression, data, index, precision, size, structure, base, engine, device
    )
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
    base: int, engine: str, device: str | None,
) -> Operator:  # fmt: skip
    out = Operator(
        expression, data, index, precision=precision, size=size, structure=structure,
        base=base, engine=engine, device=device,
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
