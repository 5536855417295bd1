"""Symbolic reductions on one or more threads, beside PyKeOps where it is installed.

    python bench/symbolic.py [--threads 2] [--n 20000] [--only argmin]

Results are compared before times are taken. Pairs per second are medians of five
warm calls; "first" is the first call with the formula, compilation included (with an
empty cache of PyKeOps, and VIGITENSOR_CACHE_DIR naming an empty folder).
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from pathlib import Path


def cases(np, api):
    """Name, dimension, our call and the peer's."""
    square = ["sqdist", ["var", 0], ["var", 1]]
    gauss = ["exp", ["neg", ["mul", 0.5, square]]]

    def ours(formula, reduction, **more):
        def call(x, y, b):
            out = api.symbolic_reduce(
                formula, [x, y, b], ["i", "j", "j"], reduction,
                precision=x.dtype.name, **more,
            )  # fmt: skip
            return next(iter(out.values()))

        return call

    def peer(write):
        def call(x, y, b):
            from pykeops.numpy import LazyTensor

            xi, yj, bj = (
                LazyTensor(x[:, None, :]), LazyTensor(y[None, :, :]),
                LazyTensor(b[None, :, :]),
            )  # fmt: skip
            return write(((xi - yj) ** 2).sum(-1), bj)

        return call

    yield (
        "gaussian sum", 3, ours(["mul", gauss, ["var", 2]], "sum"),
        peer(lambda d, b: ((-0.5 * d).exp() * b).sum(1)),
    )  # fmt: skip
    yield (
        "laplacian logsumexp", 3,
        ours(["neg", ["sqrt", square]], "logsumexp"),
        peer(lambda d, b: (-d.sqrt()).logsumexp(1)),
    )  # fmt: skip
    for dim in (3, 10, 50, 100):
        yield "argmin", dim, ours(square, "argmin"), peer(lambda d, b: d.argmin(1))
    yield (
        "argKmin 10", 3, ours(square, "argkmin", k=10),
        peer(lambda d, b: d.argKmin(10, 1)),
    )  # fmt: skip


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--threads", type=int, default=2)
    options.add_argument("--n", type=int, default=20_000)
    options.add_argument("--only", default="")
    given = options.parse_args()
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = str(given.threads)
    root = Path(__file__).resolve().parents[1]
    sys.path.insert(0, str(root / "inst" / "python"))
    import numpy as np
    from vigitensor import api_symbolic as api
    from vigitensor import device

    device.set_threads(given.threads)
    try:
        import pykeops

        pykeops.set_verbose(False)
    except ImportError:
        pykeops = None
    print("case,precision,d,n,engine,first_s,pairs_per_s")
    for name, dim, ours, peer in cases(np, api):
        if given.only not in name:
            continue
        for dtype in ("float32", "float64"):
            rng = np.random.default_rng(1)
            shapes = ((given.n, dim), (given.n, dim), (given.n, 1))
            data = [np.asfortranarray(rng.normal(size=s).astype(dtype)) for s in shapes]
            calls = {"vigitensor": ours}
            if pykeops is not None:
                calls["pykeops"] = peer
                data = [np.ascontiguousarray(a) for a in data]
            results = {}
            for engine, call in calls.items():
                begin = time.perf_counter()
                results[engine] = call(*data)
                first = time.perf_counter() - begin
                taken = []
                for _ in range(5):
                    begin = time.perf_counter()
                    call(*data)
                    taken.append(time.perf_counter() - begin)
                rate = given.n**2 / statistics.median(taken)
                print(
                    f"{name},{dtype},{dim},{given.n},{engine},{first:.2f},{rate:.3g}",
                    flush=True,
                )
            if len(results) == 2:
                a, b = (np.asarray(r, np.float64) for r in results.values())
                if name.startswith("arg"):  # equal distances may stand elsewhere
                    assert (a == b).mean() > 0.999, name
                else:
                    size = np.abs(b).max()
                    limit = 1e-4 if dtype == "float32" else 1e-10
                    assert np.abs(a - b).max() <= limit * size, name


if __name__ == "__main__":
    main()
