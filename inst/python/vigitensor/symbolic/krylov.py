"""Linear systems and eigenpairs of a symmetric matrix known by its products alone.

Conjugate gradients for several right-hand sides at once, each with its own step, so
that one pass over the pairs serves all. The preconditioner is a partial Cholesky
factor L of K by pivots (Nystrom's approximation on these columns): L L' + alpha I,
inverted by Woodbury's formula.

Eigenpairs by a block Krylov space with Rayleigh and Ritz's projection, begun again
from its best vectors when it is full: products of blocks cost little more than of
one vector, as the pairs are computed once for all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Product = Callable[[Array], Array]
SEED = 20


class Solution(NamedTuple):
    """What conjugate gradients came to."""

    x: Array
    history: Array  # largest relative residual, before and after each step
    residual: Array  # of every right-hand side, computed anew
    trouble: str  # "", "steps" or "indefinite"


def conjugate_gradients(
    product: Product, b: Array, tolerance: float, most: int, inverse: Product
) -> Solution:
    """Solve A x = b, b (n, columns), to |b - A x| <= tolerance |b|."""
    size = np.linalg.norm(b, axis=0)
    scale = np.where(size > 0, size, 1.0)
    x, r = np.zeros_like(b), b.copy()
    z = inverse(r)
    p, rz = z.copy(), _dots(r, z)
    history = [float((size > 0).any())]
    trouble = "" if history[0] <= tolerance else "steps"
    live = size > 0
    for _ in range(most if trouble else 0):
        ap = product(p)
        curve = _dots(p, ap)
        if not (curve[live] > 0).all():
            trouble = "indefinite"
            break
        step = np.where(live, rz / np.where(live, curve, 1.0), 0.0)
        x += step * p
        r -= step * ap
        left = np.linalg.norm(r, axis=0) / scale
        history.append(float(left.max()))
        live = live & (left > tolerance)
        if not live.any():
            trouble = ""
            break
        z = inverse(r)
        new = _dots(r, z)
        p = z + np.where(live, new / np.where(rz > 0, rz, 1.0), 0.0) * p
        rz = new
    true = np.linalg.norm(b - product(x), axis=0) / scale if history[1:] else 0 * size
    return Solution(x, np.array(history), true, trouble)


def _dots(a: Array, b: Array) -> Array:
    out: Array = np.einsum("ij,ij->j", a, b)
    return out


def partial_cholesky(
    diagonal: Array, column: Callable[[int], Array], rank: int, greedy: bool
) -> Array:
    """L (n, rank or less) with L L' close to K, from its diagonal and some columns.

    The next column is that of the largest rest of the diagonal, or drawn with
    probabilities like it (from a fixed seed).
    """
    rest = diagonal.astype(np.float64).copy()
    rng = np.random.default_rng(SEED)
    out = np.zeros((len(rest), min(rank, len(rest))))
    floor = 1e-12 * float(rest.max(initial=0))
    for k in range(out.shape[1]):
        share = np.maximum(rest, 0)
        if not share.max(initial=0) > floor:
            return out[:, :k]
        pick = int(share.argmax())
        if not greedy:
            pick = int(rng.choice(len(rest), p=share / share.sum()))
        new = column(pick) - out[:, :k] @ out[pick, :k]
        if not new[pick] > 0:
            return out[:, :k]
        out[:, k] = new / np.sqrt(new[pick])
        rest -= out[:, k] ** 2
        rest[pick] = 0.0
    return out


def woodbury(factor: Array, alpha: float) -> Product:
    """The inverse of L L' + alpha I."""
    inner = factor.T @ factor + alpha * np.eye(factor.shape[1])
    lower = np.linalg.cholesky(inner)

    def inverse(r: Array) -> Array:
        half = np.linalg.solve(lower, factor.T @ r)
        rest: Array = r - factor @ np.linalg.solve(lower.T, half)
        return np.divide(rest, alpha)

    return inverse


class Pairs(NamedTuple):
    """Eigenvalues in order, vectors (n, k), and how far they are from being such."""

    values: Array
    vectors: Array
    residual: Array  # |A u - value u| over the largest size of an eigenvalue
    rounds: int
    converged: bool


def eigenpairs(
    product: Product, n: int, k: int, which: str, tolerance: float, most: int
) -> Pairs:
    """The k "largest", "smallest" or largest in "magnitude" from ``most`` blocks."""
    width = min(n, max(4, min(k, 16)))
    room = min(n, max(4 * k, k + 6 * width))
    start = np.random.default_rng(SEED).normal(size=(n, width))
    basis = np.linalg.qr(start)[0]
    image = product(basis)
    rounds = 1
    while True:
        inner = basis.T @ image
        values, turn = np.linalg.eigh((inner + inner.T) / 2)
        order = _order(values, which)
        first = order[:k]
        vectors = basis @ turn[:, first]
        rest = image @ turn[:, first] - vectors * values[first]
        size = max(np.abs(values).max(), np.finfo(float).tiny)
        left = np.linalg.norm(rest, axis=0) / size
        enough = len(first) == k and (left <= tolerance).all()
        if enough or rounds >= most or basis.shape[1] >= n:
            return Pairs(values[first], vectors, left, rounds, bool(enough))
        # The space grows by what the best vectors leave over.
        worst = np.argsort(-left, kind="stable")[:width]
        new = rest[:, np.sort(worst)] if len(first) == k else image[:, -width:]
        if basis.shape[1] + new.shape[1] > room:
            keep = order[: min(room // 2, len(order))]
            image = image @ turn[:, keep]
            basis = basis @ turn[:, keep]
        new = _apart(new, basis)
        if not new.shape[1]:
            return Pairs(values[first], vectors, left, rounds, bool(enough))
        basis = np.concatenate((basis, new), axis=1)
        image = np.concatenate((image, product(new)), axis=1)
        rounds += 1


def _order(values: Array, which: str) -> Array:
    key = {"largest": -values, "smallest": values, "magnitude": -np.abs(values)}
    return np.argsort(key[which], kind="stable")


def _apart(new: Array, basis: Array) -> Array:
    """What of new vectors lies outside a space, orthonormal."""
    new = new / np.maximum(np.linalg.norm(new, axis=0), np.finfo(float).tiny)
    for _ in range(2):
        new = new - basis @ (basis.T @ new)
        q, r = np.linalg.qr(new)
        new = q[:, np.abs(np.diag(r)) > 1e-10]
    return new[:, : max(0, basis.shape[0] - basis.shape[1])]
