"""Newton steps under linear inequalities A beta >= 0.

In coordinates y in which the information is 1 the quadratic model is maximised
by the point of the polyhedron nearest to the free step y0: min |y - y0|^2 with
A beta + G y >= 0. Its dual, over multipliers that are not negative, is solved
by Lawson and Hanson's active sets. Sources: Lawson and Hanson (1974), Solving
Least Squares Problems, chapter 23; Nocedal and Wright (2006), Numerical
Optimization, chapter 16.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .._typing import Bools, Floats

# Slack, in standard errors, at which a row holds with equality.
_HOLDS = 1e-9
_ROUNDING = 1e-12


@dataclass(frozen=True)
class ConstrainedStep:
    """Where the quadratic model is largest, and its face."""

    step: Floats  # (p,)
    var: Floats  # (p, p) on the face where the active rows hold with equality
    moved: float  # squared length of the step, in standard errors
    active: Bools  # (r,)


def constrained_step(
    beta: Floats, score: Floats, half: Floats, rows: Floats
) -> ConstrainedStep:
    """Step from ``beta``, which keeps to ``rows`` (r, p).

    ``half`` (p, k) is a root of the inverse information, half half' = var.
    """
    free = half.T @ score
    g = rows @ half
    size = np.linalg.norm(g, axis=1)
    # Rows of dropped columns alone say nothing.
    told = size > _ROUNDING * np.linalg.norm(rows, axis=1) * np.linalg.norm(half)
    size = np.where(told, size, 1.0)
    g = np.where(told[:, None], g / size[:, None], 0.0)
    slack: Floats = np.where(told, rows @ beta / size, 0.0)
    short: Floats = -(slack + g @ free)
    multiplier = _nearest(g @ g.T, short)
    y = free + g.T @ multiplier
    active = slack + g @ y <= _HOLDS
    face = half
    held = active & told
    if held.any():
        _, values, right = np.linalg.svd(g[held])
        rank = int(np.count_nonzero(values > 1e-10))
        # Rows held are met to rounding, not to that of the multipliers.
        off = slack[held] + g[held] @ y
        y = y - np.linalg.lstsq(g[held], off, rcond=1e-10)[0]
        face = half @ right[rank:].T
    return ConstrainedStep(half @ y, face @ face.T, float(y @ y), active)


def _nearest(q: Floats, h: Floats) -> Floats:
    """Multipliers u >= 0 that maximise h'u - u'q u / 2 (r,)."""
    u = np.zeros(h.size)
    inside = np.zeros(h.size, bool)
    refused = np.zeros(h.size, bool)
    limit = _ROUNDING * (1 + np.abs(h).max(initial=0))
    for _ in range(20 * h.size + 20):
        slope = np.where(inside | refused, -np.inf, h - q @ u)
        enters = int(np.argmax(slope)) if h.size else 0
        if h.size == 0 or slope[enters] <= limit:
            break
        inside[enters] = True
        before = u.copy()
        while inside.any():
            index = np.flatnonzero(inside)
            block = q[np.ix_(index, index)]
            z = np.linalg.lstsq(block, h[index], rcond=1e-13)[0]
            if np.all(z > 0):
                u[:] = 0
                u[index] = z
                break
            down = z <= 0
            ratio = u[index][down] / np.maximum(u[index][down] - z[down], 1e-300)
            u[index] += ratio.min() * (z - u[index])
            leaves = index[down][ratio <= ratio.min()]
            u[leaves] = 0
            inside[leaves] = False
        # A row that went in and out again would do so for ever.
        refused[:] = False
        refused[enters] = not inside[enters] and np.array_equal(u, before)
    return u
