"""Exact ties: sums over all choices of d deaths out of a risk set, by recursion.

Gail, Lubin and Rubinstein (1981), Biometrika 68, 703-707. With B(k) the sum over
all k-subsets of the rows so far of the product of their risks, adding a row of
risk r turns B(k) into B(k) + r B(k - 1); first and second moments of the subset's
sum of z follow the same way.

Those numbers leave the range of doubles for a few hundred rows. So the rows are
made independent coins of probability p_i = s r_i / (1 + s r_i), s chosen such
that d heads are about the expected number: B(k) becomes the probability of k
heads, of moderate size at k = d, and every number stays within [0, 1]:

    log B(d) = log P(d heads) - d log s + sum log(1 + s r_i)

All terms of P are positive, so nothing cancels. Cost O(rows d q^2) per time.
"""

from __future__ import annotations

import math

from numba import types

from ..kernels_math import (
    F8R,
    F8R2,
    F8W,
    F8W2,
    I4R,
    I4W,
    I8R,
    exp,
    i8,
    inner,
    kernel,
)

_ROUNDS = 60


@inner
def _find_rows(e, a, b, order, out, last, found):
    """Rows at risk at event index e among order[a:b]; returns how many."""
    entered = out.size > 0
    n = 0
    for k in range(a, b):
        i = order[k]
        if last[i] >= e and (not entered or out[i] < e):
            found[n] = i
            n += 1
    return n


@inner
def _chance(v):
    small = exp(-abs(v))
    return (1.0 if v >= 0.0 else small) / (1.0 + small)


@inner
def _log_odds(found, n, d, lin):
    """log s with about d heads expected; any value would be right."""
    low = 1e300
    high = -1e300
    for k in range(n):
        low = min(low, lin[found[k]])
        high = max(high, lin[found[k]])
    t = math.log(d / (n - d))
    a = t - high
    b = t - low
    t = 0.5 * (a + b)
    for _ in range(_ROUNDS):
        heads = 0.0
        slope = 0.0
        for k in range(n):
            p = _chance(lin[found[k]] + t)
            heads += p
            slope += p * (1.0 - p)
        if abs(heads - d) <= 0.1:
            break
        if heads > d:
            b = t
        else:
            a = t
        t += (d - heads) / max(slope, 1e-300)
        if not a < t < b:
            t = 0.5 * (a + b)
    return t


@kernel(
    types.void(
        i8, i8, I4R, I8R, I4R, I8R, I4R, I4R, I4R, F8R, I4W, F8W, F8W,
    ),
)  # fmt: skip
def exact_values(
    k0, k1, event, deaths, stratum, begin, order, out, last, lin, found, heads, value
):
    """value[k] = log of the sum over subsets, for the tied times k0..k1.

    Time k is event index ``event[k]`` with ``deaths[k]`` deaths, in stratum
    ``stratum[k]``, whose rows are order[begin[s]:begin[s + 1]].
    Scratch: found (rows of a stratum), heads (largest deaths + 1).
    """
    for k in range(k0, k1):
        d = deaths[k]
        s = stratum[k]
        n = _find_rows(event[k], begin[s], begin[s + 1], order, out, last, found)
        total = 0.0
        if d >= n:
            for j in range(n):
                total += lin[found[j]]
            value[k] = total
            continue
        t = _log_odds(found, n, d, lin)
        for h in range(d + 1):
            heads[h] = 0.0
        heads[0] = 1.0
        for j in range(n):
            v = lin[found[j]] + t
            small = exp(-abs(v))
            total += max(v, 0.0) + math.log1p(small)
            p = (1.0 if v >= 0.0 else small) / (1.0 + small)
            tail = (small if v >= 0.0 else 1.0) / (1.0 + small)
            # Fewer heads than this can no longer become d.
            for h in range(min(j + 1, d), max(0, d - (n - 1 - j)) - 1, -1):
                heads[h] = tail * heads[h] + (p * heads[h - 1] if h > 0 else 0.0)
        value[k] = math.log(heads[d]) - d * t + total


@kernel(
    types.void(
        i8, i8, I4R, I8R, I4R, I8R, I4R, I4R, I4R, F8R, F8R2, i8,
        I4W, F8W, F8W2, F8W2, F8W, F8W, F8W2, F8W,
    ),
)  # fmt: skip
def exact_moments(
    k0, k1, event, deaths, stratum, begin, order, out, last, lin, z, q,
    found, heads, m1, m2, centre, first, info, raw,
):  # fmt: skip
    """Add mean and variance of the deaths' sum of z to first (q), info (q, q).

    raw (q) += expected sum of z^2. Scratch: heads, m1 (deaths + 1, q),
    m2 (deaths + 1, q q), centre (q).
    """
    for k in range(k0, k1):
        d = deaths[k]
        s = stratum[k]
        n = _find_rows(event[k], begin[s], begin[s + 1], order, out, last, found)
        if d >= n:
            for j in range(n):
                for c in range(q):
                    first[c] += z[found[j], c]
            continue
        t = _log_odds(found, n, d, lin)
        for h in range(d + 1):
            heads[h] = 0.0
            for c in range(q):
                m1[h, c] = 0.0
            for c in range(q * q):
                m2[h, c] = 0.0
        heads[0] = 1.0
        expected = 0.0
        for c in range(q):
            centre[c] = 0.0
        for j in range(n):
            p = _chance(lin[found[j]] + t)
            expected += p
            for c in range(q):
                centre[c] += p * z[found[j], c]
                raw[c] += p * z[found[j], c] * z[found[j], c]
        for c in range(q):
            centre[c] /= expected
        for j in range(n):
            i = found[j]
            v = lin[i] + t
            p = _chance(v)
            tail = _chance(-v)
            for h in range(min(j + 1, d), max(0, d - (n - 1 - j)) - 1, -1):
                if h == 0:
                    heads[0] *= tail
                    continue
                b = p * heads[h - 1]
                for c in range(q):
                    x = z[i, c] - centre[c]
                    f = p * m1[h - 1, c]
                    for e in range(c + 1):
                        y = z[i, e] - centre[e]
                        m2[h, c * q + e] = (
                            tail * m2[h, c * q + e] + p * m2[h - 1, c * q + e]
                            + y * f + x * (p * m1[h - 1, e]) + x * y * b
                        )  # fmt: skip
                for c in range(q):
                    x = z[i, c] - centre[c]
                    m1[h, c] = tail * m1[h, c] + p * m1[h - 1, c] + x * b
                heads[h] = tail * heads[h] + b
            # With no heads so far, moments are zero.
        for c in range(q):
            mean = m1[d, c] / heads[d]
            first[c] += d * centre[c] + mean
            for e in range(c + 1):
                v = m2[d, c * q + e] / heads[d] - mean * (m1[d, e] / heads[d])
                info[c, e] += v
                if e < c:
                    info[e, c] += v
