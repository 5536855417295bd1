"""Compiled passes for residuals and concordance of a Cox model.

Concordance: going back in time, a Fenwick tree over the ranks of the linear
predictor holds the weights now at risk. A death asks it for the weights below
and above. A second tree holds the deaths so far: what it says of a row when that
leaves, less what it said when it joined, are the deaths the row was compared
with, which makes the row's influence. O(log n) per row, no pairs.
"""

from __future__ import annotations

from numba import types

from ..kernels_math import F8R, F8R2, F8W, F8W2, I4R, I8R, I8W, i8, inner, kernel

I1R = types.Array(types.int8, 1, "C", readonly=True)
I1W = types.Array(types.int8, 1, "C")


@kernel(types.void(F8R2, I8R, F8W2))
def cumulate_columns(steps, begin, total):
    """total[e] = sum of steps up to e in its stratum (compensated)."""
    for c in range(steps.shape[1]):
        for s in range(begin.size - 1):
            high = 0.0
            low = 0.0
            for e in range(begin[s], begin[s + 1]):
                v = steps[e, c]
                t = high + v
                part = t - high
                low += (high - (t - part)) + (v - part)
                high = t
                total[e, c] = high + low


@kernel(types.void(i8, i8, I4R, I4R, I4R, F8R, F8R, F8R2, F8R2, F8W2))
def row_scores(i0, i1, rows, out, last, risk, hazard, z, total, score):
    """score[c, row] = -risk (z hazard - sum of mean times hazard), rows i0..i1.

    ``hazard`` (n,) is each row's own; ``score`` is (q, all rows).
    """
    entered = out.size > 0
    for i in range(i0, i1):
        k = i if rows.size == 0 else i8(rows[i])
        b = last[i]
        for c in range(score.shape[0]):
            mean = total[b, c]
            if entered and out[i] >= 0:
                mean -= total[out[i], c]
            score[c, k] = -risk[i] * (z[i, c] * hazard[i] - mean)


@inner
def _tree_add(tree, at, n, k, w):
    """Add w to rank k (from 0) of a tree of n ranks that begins at ``at``."""
    k += 1
    while k <= n:
        tree[at + k - 1] += w
        k += k & -k


@inner
def _tree_below(tree, at, k):
    """Sum over ranks less than k."""
    total = 0.0
    while k > 0:
        total += tree[at + k - 1]
        k -= k & -k
    return total


@inner
def _read(i, at, k, sign, dead_tree, dead_at_rank, deaths, influence):
    """What the deaths so far are to row i of rank k."""
    below = _tree_below(dead_tree, at, k)
    same = dead_at_rank[at + k]
    influence[i, 0] += sign * (deaths - below - same)
    influence[i, 1] += sign * below
    influence[i, 2] += sign * same


@inner
def _same_rank(first, end, order, rank, weight):
    """Weight of pairs of equal rank among order[first:end], sorted by rank."""
    pairs = 0.0
    run = 0.0
    for k in range(first, end):
        i = order[k]
        if k > first and rank[i] != rank[order[k - 1]]:
            run = 0.0
        pairs += run * weight[i]
        run += weight[i]
    return pairs


@kernel(
    types.void(
        i8, i8, I8R, I8R, F8R, F8R, I1R, I4R, I8R, I8R, F8R,
        F8W, F8W, F8W, F8W, F8W, I8W, I1W, F8W, F8W2,
    ),
)  # fmt: skip
def compare(
    p0, p1, by_stop, by_start, start, stop, event, rank, tree_begin, tree_size, weight,
    tree, at_rank, dead_tree, dead_at_rank, totals, state, left, count, influence,
):  # fmt: skip
    """Compare deaths with those at risk, positions p0..p1 of ``by_stop``.

    Rows are sorted by stratum in both orders, then back in time, and in
    ``by_stop`` at equal times: censored before deaths, by rank. p0 and p1 are
    where a new (stratum, time) begins. ``by_start`` is empty without entry times.
    Per row: ``rank`` (from 0) in its stratum, whose trees begin at ``tree_begin``
    and have ``tree_size`` ranks. ``totals`` (2): weight at risk, of the deaths.
    ``state`` (2): next of ``by_start``; beginning of the trees in use, first -1.
    ``left`` marks the rows that left. ``count`` (5): concordant (the higher rank
    dies first), discordant, tied.x, tied.y, tied.xy; ``influence`` (n, 3):
    derivatives of the first three by each row's weight.
    """
    p = p0
    while p < p1:
        t = stop[by_stop[p]]
        at = tree_begin[by_stop[p]]
        n = tree_size[by_stop[p]]
        if at != state[1]:
            totals[0] = 0.0
            totals[1] = 0.0
            state[1] = at
        q = state[0]
        while q < by_start.size:
            i = by_start[q]
            if tree_begin[i] > at or (tree_begin[i] == at and start[i] < t):
                break
            if tree_begin[i] == at:
                _tree_add(tree, at, n, rank[i], -weight[i])
                at_rank[at + rank[i]] -= weight[i]
                totals[0] -= weight[i]
                _read(
                    i, at, rank[i], 1.0, dead_tree, dead_at_rank, totals[1], influence
                )
                left[i] = 1
            q += 1
        state[0] = q
        end = p
        while end < p1 and stop[by_stop[end]] == t and tree_begin[by_stop[end]] == at:
            end += 1
        first = p
        while first < end and event[by_stop[first]] == 0:
            first += 1
        for k in range(p, first):
            i = by_stop[k]
            _tree_add(tree, at, n, rank[i], weight[i])
            at_rank[at + rank[i]] += weight[i]
            totals[0] += weight[i]
            _read(i, at, rank[i], -1.0, dead_tree, dead_at_rank, totals[1], influence)
        # Deaths against all who live on.
        total = 0.0
        squares = 0.0
        for k in range(first, end):
            i = by_stop[k]
            w = weight[i]
            below = _tree_below(tree, at, rank[i])
            same = at_rank[at + rank[i]]
            above = totals[0] - below - same
            count[0] += w * below
            count[1] += w * above
            count[2] += w * same
            influence[i, 0] += below
            influence[i, 1] += above
            influence[i, 2] += same
            total += w
            squares += w * w
        if end > first:
            same = _same_rank(first, end, by_stop, rank, weight)
            count[3] += 0.5 * (total * total - squares) - same
            count[4] += same
        for k in range(first, end):
            i = by_stop[k]
            _tree_add(dead_tree, at, n, rank[i], weight[i])
            dead_at_rank[at + rank[i]] += weight[i]
            totals[1] += weight[i]
        for k in range(first, end):
            i = by_stop[k]
            _tree_add(tree, at, n, rank[i], weight[i])
            at_rank[at + rank[i]] += weight[i]
            totals[0] += weight[i]
            _read(i, at, rank[i], -1.0, dead_tree, dead_at_rank, totals[1], influence)
        p = end


@kernel(types.void(i8, i8, I4R, I8R, I8R, F8R, F8R, I1R, F8W2))
def finish(
    i0, i1, rank, tree_begin, tree_size, dead_tree, dead_at_rank, left, influence
):
    """Influence of the rows that never left, from all deaths of their stratum."""
    for i in range(i0, i1):
        if left[i] == 0:
            at = tree_begin[i]
            deaths = _tree_below(dead_tree, at, tree_size[i])
            _read(i, at, rank[i], 1.0, dead_tree, dead_at_rank, deaths, influence)
