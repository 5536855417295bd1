"""Cox's partial likelihood with exact ties, and concordance, written out.

Every choice of deaths, every pair of rows: what the engine's recursions and trees
are compared with.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np


def at_risk(rows, s, t):
    """Rows of stratum s at risk at t, and which of them die then."""
    start = rows["start"]
    entered = np.ones(rows["stop"].size, bool) if start is None else start < t
    risk = np.flatnonzero((rows["stratum"] == s) & entered & (rows["stop"] >= t))
    return risk, (rows["event"][risk] == 1) & (rows["stop"][risk] == t)


def event_times(rows):
    """All (stratum, time) with a death that has a weight."""
    dead = (rows["event"] == 1) & (rows["weight"] > 0)
    return sorted(set(zip(rows["stratum"][dead], rows["stop"][dead])))


def exact_sums(rows, beta):
    """Log-likelihood, score and information over all possible sets of deaths."""
    q = beta.size
    value, score, info = 0.0, np.zeros(q), np.zeros((q, q))
    for s, t in event_times(rows):
        risk, died = at_risk(rows, s, t)
        x = rows["x"][risk]
        eta = x @ beta + rows["offset"][risk]
        sets = [list(c) for c in combinations(range(risk.size), int(died.sum()))]
        total = np.array([eta[c].sum() for c in sets])
        sums = np.array([x[c].sum(axis=0) for c in sets])
        p = np.exp(total - total.max())
        value += eta[died].sum() - total.max() - np.log(p.sum())
        p /= p.sum()
        mean = p @ sums
        score += x[died].sum(axis=0) - mean
        info += (sums * p[:, None]).T @ sums - np.outer(mean, mean)
    return value, score, info


def pairs(rows, lp):
    """Counts of concordance (5,) and their derivatives by weight (n, 3)."""
    n, w = lp.size, rows["weight"]
    count, influence = np.zeros(5), np.zeros((n, 3))
    start = np.full(n, -np.inf) if rows["start"] is None else rows["start"]
    for i in np.flatnonzero(rows["event"] == 1):
        t = rows["stop"][i]
        for j in range(n):
            if j == i or rows["stratum"][i] != rows["stratum"][j] or start[j] >= t:
                continue
            if rows["stop"][j] == t and rows["event"][j] == 1:
                count[3 + (lp[i] == lp[j])] += 0.5 * w[i] * w[j]
            elif rows["stop"][j] >= t:
                kind = 0 if lp[i] > lp[j] else 1 if lp[i] < lp[j] else 2
                count[kind] += w[i] * w[j]
                influence[i, kind] += w[j]
                influence[j, kind] += w[i]
    return count, influence
