"""Bootstrap weights of subjects: each replicate from its own counter.

Replicate k of a seed is drawn from the Philox generator with key (seed, k), so
it is the same in any chunk, order and thread. Only the generator's raw bits are
used, which do not change between versions of NumPy. Source: Salmon et al.
(2011), Parallel random numbers: as easy as 1, 2, 3.
"""

from __future__ import annotations

import numpy as np

from .._typing import Floats, Ints
from ..pool import run_slices

KINDS = ("multinomial", "bayesian")


def draw_weights(kind: str, seed: int, first: int, count: int, stratum: Ints) -> Floats:
    """Weights (count, subjects) of replicates first, first + 1, ...

    "multinomial": as often as each subject is drawn, with replacement, as many
    as there are, within each stratum. "bayesian": exponential, mean 1 within
    each stratum.
    """
    n = stratum.size
    order = np.argsort(stratum, kind="stable")
    _, begin, size = np.unique(stratum[order], return_index=True, return_counts=True)
    # Of each position in `order`: where its stratum begins, and its size.
    begins, sizes = np.repeat(begin, size), np.repeat(size, size)
    out = np.empty((count, n))

    def draw(k: int) -> None:
        uniform = _uniform(seed, first + k, n)
        if kind == "multinomial":
            drawn = begins + (uniform * sizes).astype(np.int64)
            out[k, order] = np.bincount(drawn, minlength=n)
        else:
            gap = -np.log1p(-uniform)
            total = np.add.reduceat(gap, begin) if n else gap
            out[k, order] = gap * sizes / np.repeat(total, size)

    run_slices(draw, range(count))
    return out


def _uniform(seed: int, replicate: int, n: int) -> Floats:
    """Uniform on [0, 1), 53 bits each."""
    bits = np.random.Philox(key=[seed, replicate]).random_raw(n)
    return np.asarray(bits >> np.uint64(11), np.float64) * 2.0**-53
