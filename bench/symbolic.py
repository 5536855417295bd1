"""Symbolic reductions beside PyKeOps, faiss and torch, where they are installed.

    python bench/symbolic.py [--threads 2] [--scale 1] [--only argmin] [--seconds 20]
    python bench/symbolic.py --million 1

Every peer runs in the same process with as many threads, and no time is taken before
the results are equal. Times are the best of warm calls; the first call (compilation
included where the cache is empty) is printed beside them. ``--scale 0.1`` takes a
tenth of the rows and columns; no call is repeated when it has taken ``--seconds``;
``--peers`` names a folder of packages where peers are looked for last. All cases take
about fifteen minutes when PyKeOps has compiled its formulas before; the table goes to
bench/results/symbolic-engine.csv, where the rows of cases not run stay as they are.

``--million 1`` is the sum of a million rows and columns alone, 1 / 4 of its rows with
``--million 0.25``: what the smaller sizes predict, and what it takes.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

from symbolic_common import Bench

ROOT = Path(__file__).resolve().parents[1]
SQUARE = ["sqdist", ["var", 0], ["var", 1]]
GAUSS = ["exp", ["neg", ["mul", 0.5, SQUARE]]]
COLD = """
import sys, time
sys.path.insert(0, {path!r})
import numpy as np
from vigitensor import api_symbolic as api
x = np.random.default_rng(1).normal(size=(5000, 3))
formula = {formula!r}
begin = time.perf_counter()
api.symbolic_reduce(formula, [x, x], ["i", "j"])
first = time.perf_counter() - begin
formula[1][1][1] = 0.7
begin = time.perf_counter()
api.symbolic_reduce(formula, [x, x], ["i", "j"])
print(first, time.perf_counter() - begin)
"""


def against_keops(bench, api):
    """Rows of the table whose peer is PyKeOps."""
    try:
        import pykeops
        from pykeops.numpy import Genred, LazyTensor

        pykeops.set_verbose(False)
    except ImportError:
        LazyTensor = None

    def peer(write, *data):
        if LazyTensor is None:
            return None
        x, y, b = data

        def call():
            square = ((LazyTensor(x[:, None]) - LazyTensor(y[None])) ** 2).sum(-1)
            return write(square, LazyTensor(b[None]))

        return call

    def ours(formula, reduction, data, **more):
        kind = data[0].dtype.name

        def call():
            out = api.symbolic_reduce(
                formula, data, ["i", "j", "j"], reduction, precision=kind, **more
            )
            return next(iter(out.values()))

        return call

    def case(
        name, n, d, formula, reduction, write, targets, equal=None, **more
    ):  # fmt: skip
        n = bench.size(n)
        for kind, times in targets.items():
            if not bench.wanted(name):
                return
            data = [bench.draw(n, c, kind) for c in (d, d, 1)]
            bench.compare(
                name, kind, (n, n, d),
                {"vigitensor": ours(formula, reduction, data, **more),
                 "pykeops": peer(write, *data)}, equal, target=f"{times} x pykeops",
            )  # fmt: skip

    case("gaussian sum", 50_000, 3, ["mul", GAUSS, ["var", 2]], "sum",
         lambda s, b: ((-0.5 * s).exp() * b).sum(1),
         {"float32": 12, "float64": 8})  # fmt: skip
    case("laplacian logsumexp", 50_000, 3, ["neg", ["sqrt", SQUARE]], "logsumexp",
         lambda s, b: (-s.sqrt()).logsumexp(1),
         {"float32": 10, "float64": 10})  # fmt: skip
    for d, n, times in ((3, 50, 3), (10, 50, 6), (50, 20, 12), (100, 20, 40)):
        case(f"argmin {d}", 1000 * n, d, SQUARE, "argmin", lambda s, b: s.argmin(1),
             {"float32": times}, bench.places)  # fmt: skip
    case("argKmin 10", 50_000, 3, SQUARE, "argkmin", lambda s, b: s.argKmin(10, 1),
         {"float32": 3, "float64": 3}, bench.places, k=10)  # fmt: skip

    n = bench.size(50_000)
    for kind in ("float32", "float64"):
        x, y, b, g = (bench.draw(n, d, kind) for d in (3, 3, 1, 1))
        formula = ["mul", GAUSS, ["var", 2]]

        def both(x=x, y=y, b=b, g=g, kind=kind, formula=formula):
            given = (formula, [x, y, b], ["i", "j", "j"])
            api.symbolic_reduce(*given, precision=kind)
            return api.symbolic_gradient(*given, g, [0], precision=kind)[0]

        def keops(x=x, y=y, b=b, g=g):
            text = "Exp(-Var(3,1,2)*SqDist(Var(0,3,0),Var(1,3,1)))*Var(2,1,1)"
            half = bench.np.array([0.5], x.dtype)
            Genred(text, [], "Sum", axis=1)(x, y, b, half)
            grad = f"Grad({text},Var(0,3,0),Var(4,1,0))"
            return Genred(grad, [], "Sum", axis=1)(x, y, b, half, g)

        bench.compare(
            "gradient of a gaussian sum", kind, (n, n, 3),
            {"vigitensor": both, "pykeops": keops if LazyTensor else None},
            target="8 x pykeops",
        )  # fmt: skip


def neighbours(bench, api):
    """Nearest neighbours beside faiss, all pairs on both sides."""
    np, n = bench.np, bench.size(100_000)
    try:
        import faiss

        faiss.omp_set_num_threads(bench.given.threads)
    except ImportError:
        faiss = None
    x, y = bench.draw(n, 50), bench.draw(n, 50)
    up = [np.abs(a) + np.float32(0.1) for a in (x, y)]
    unit = [a / np.linalg.norm(a, axis=1, keepdims=True) for a in (x, y)]
    apart = ["sub", ["var", 0], ["var", 1]]
    half_space = ["div", SQUARE, ["mul", ["elem", ["var", 0], 0],
                                  ["elem", ["var", 1], 0]]]  # fmt: skip
    cosine = ["sub", 1, ["dot", ["normalize", ["var", 0]], ["normalize", ["var", 1]]]]
    cases = {
        "euclidean": (SQUARE, [x, y], "IndexFlatL2", [x, y]),
        "manhattan": (["sum", ["abs", apart]], [x, y], "L1", [x, y]),
        "cosine": (cosine, [x, y], "IndexFlatIP", unit),
        "hyperbolic": (half_space, up, "IndexFlatL2", up),
    }
    for metric, (formula, mine, index, theirs) in cases.items():
        for k in (1, 10):

            def ours(formula=formula, mine=mine, k=k):
                return api.symbolic_reduce(
                    formula, mine, ["i", "j"], "argkmin", k=k, precision="float32"
                )["index"]

            def peer(index=index, theirs=theirs, k=k):
                d = theirs[0].shape[1]
                if index == "L1":
                    flat = faiss.IndexFlat(d, faiss.METRIC_L1)
                else:
                    flat = getattr(faiss, index)(d)
                flat.add(theirs[1])
                return flat.search(theirs[0], k)[1]

            target = f"{3 if k == 1 else 2} x faiss"
            if metric != "euclidean":
                target = "1 x faiss"
            calls = {"vigitensor": ours, "faiss": peer if faiss else None}
            if metric == "hyperbolic":
                # faiss has no such distance: its time is that of Euclid's.
                target = "1 x faiss, euclidean"
                calls = {"vigitensor": ours}
                if bench.wanted(f"neighbours {metric} {k}"):
                    check_hyperbolic(np, up, ours(), k)
            bench.compare(
                f"neighbours {metric} {k}", "float32", (n, n, 50), calls,
                bench.places, 2, target,
            )  # fmt: skip


def check_hyperbolic(np, points, found, k):
    """Some rows against all distances in double precision."""
    x, y = (a.astype("float64") for a in points)
    for row in range(0, len(x), len(x) // 20):
        gap = ((x[row] - y) ** 2).sum(axis=1) / (x[row, 0] * y[:, 0])
        assert np.array_equal(np.argsort(gap)[:k], found[row]), row


def wide(bench, api):
    """784 components and 64 right-hand sides beside chunks of dense torch."""
    try:
        import torch

        torch.set_num_threads(bench.given.threads)
    except ImportError:
        torch = None
    n = bench.size(20_000)
    for d in (128, 784):
        x, y, b = bench.draw(n, d), bench.draw(n, d), bench.draw(n, 64)
        formula = ["mul", ["exp", ["mul", -0.5 / d, SQUARE]], ["var", 2]]

        def ours(x=x, y=y, b=b, formula=formula):
            return api.symbolic_reduce(
                formula, [x, y, b], ["i", "j", "j"], precision="float32"
            )["value"]

        def dense(x=x, y=y, b=b, d=d):
            x, y, b = (torch.from_numpy(a) for a in (x, y, b))
            squares = (y * y).sum(1)
            out = []
            for part in x.split(1024):
                gap = (part * part).sum(1)[:, None] + squares - 2 * part @ y.T
                out.append(torch.exp(-0.5 / d * gap) @ b)
            return torch.cat(out)

        bench.compare(
            f"{d} components, 64 columns", "float32", (n, n, d),
            {"vigitensor": ours, "torch": dense if torch else None},
            target="1 / 1.2 x torch",
        )  # fmt: skip


def sizes(bench, api):
    """One row, a million rows, accuracy, and the first result."""
    from vigitensor import device

    np, m = bench.np, bench.size(10_000_000)
    formula = ["mul", GAUSS, ["var", 2]]
    x, y, b = bench.draw(1, 3), bench.draw(m, 3), bench.draw(m, 1)
    # As R sends them: column by column.
    data = [np.asfortranarray(a) for a in (x, y, b)]

    def on(threads):
        def call():
            device.set_threads(threads)
            found = api.symbolic_reduce(
                formula, data, ["i", "j", "j"], precision="float32"
            )["value"]
            device.set_threads(bench.given.threads)
            return found

        return call

    bench.compare(
        "one row", "float32", (1, m, 3),
        {f"{bench.given.threads} threads": on(bench.given.threads), "1 thread": on(1)},
        bench.bits, target="scales with the threads",
    )  # fmt: skip
    if bench.wanted("accuracy"):
        x, y, b = (bench.draw(1500, d, "float64") for d in (3, 3, 1))
        found = api.symbolic_reduce(formula, [x, y, b], ["i", "j", "j"])["value"]
        dense = np.exp(-0.5 * ((x[:, None] - y) ** 2).sum(-1))
        gap = np.abs(found - dense @ b).max() / np.abs(dense @ b).max()
        assert gap < 1e-12, gap
        y = bench.rng.uniform(size=(10_000_000, 1)).astype("float32")
        found = api.symbolic_reduce(
            ["mul", ["var", 0], ["var", 1]], [np.ones((1, 1)), y], ["i", "j"],
            precision="float32",
        )["value"]  # fmt: skip
        short = abs(found.item() / y.sum(dtype="float64") - 1)
        assert short < 1e-6, short
        bench.note("accuracy", "float64", (1500, 1500, 3), "vigitensor", None,
                   "1e-12", gap)  # fmt: skip
        bench.note("accuracy of 1e7 terms", "float32", (1, len(y), 1), "vigitensor",
                   None, "1e-6", short)  # fmt: skip


def million(bench, api):
    """A million rows and columns (or a share of the rows), and what smaller say."""
    import resource

    np, m = bench.np, bench.size(1_000_000)
    n = max(64, int(m * bench.given.million))
    formula = ["mul", GAUSS, ["var", 2]]
    x, y, b = bench.draw(n, 3), bench.draw(m, 3), bench.draw(m, 1)

    def some(rows, columns=m):
        data = [x[:rows], y[:columns], b[:columns]]
        begin = time.perf_counter()
        value = api.symbolic_reduce(
            formula, data, ["i", "j", "j"], precision="float32"
        )["value"]
        return value, time.perf_counter() - begin

    few = max(64, n // 50)
    some(few, 20_000)
    value, smaller = some(few)
    gap = x[:16].astype("float64")[:, None] - y
    dense = np.exp(-0.5 * (gap**2).sum(-1)) @ b.astype("float64")
    difference = np.abs(value[:16] - dense).max() / np.abs(dense).max()
    assert difference < 1e-4, difference
    predicted = smaller * n / few
    print(f"predicted: {predicted:.0f} s", flush=True)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    whole, seconds = some(n)
    used = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 / 1e9
    assert np.array_equal(whole[:16], value[:16])
    shape = (n, m, 3)
    bench.note("gaussian sum, predicted", "float32", shape, "vigitensor", predicted)
    bench.note("gaussian sum", "float32", shape, "vigitensor", seconds,
               "as predicted, memory O(N)", difference, max(used, 0.0))  # fmt: skip


def first_results(bench, api):
    """A new process, with an empty cache and again; then another parameter."""
    import tempfile

    if not bench.wanted("first result"):
        return
    with tempfile.TemporaryDirectory() as folder:
        shape = (5000, 5000, 3)
        for what, target in (("empty cache", "3 s"), ("cached", "0.3 s")):
            out = subprocess.run(
                [sys.executable, "-c",
                 COLD.format(path=str(ROOT / "inst" / "python"), formula=GAUSS)],
                env={**os.environ, "VIGITENSOR_CACHE_DIR": folder},
                capture_output=True, text=True, check=True,
            ).stdout.split()  # fmt: skip
            bench.note(f"first result, {what}", "float64", shape, "vigitensor",
                       float(out[0]), target)  # fmt: skip
        bench.note("a new value of a parameter", "float64", shape, "vigitensor",
                   float(out[1]))  # fmt: skip


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--threads", type=int, default=2)
    options.add_argument("--scale", type=float, default=1.0)
    options.add_argument("--seconds", type=float, default=20.0)
    options.add_argument("--only", default="")
    options.add_argument("--peers", default="")
    options.add_argument("--million", type=float, default=0.0)
    given = options.parse_args()
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(given.threads)
    sys.path.insert(0, str(ROOT / "inst" / "python"))
    sys.path += [given.peers] if given.peers else []
    from vigitensor import api_symbolic as api
    from vigitensor import device

    device.set_threads(given.threads)
    bench = Bench(given)
    if given.million:
        million(bench, api)
        if given.scale == 1:
            bench.write("symbolic-million")
        return
    for cases in (sizes, wide, neighbours, against_keops, first_results):
        cases(bench, api)
        if given.scale == 1 and bench.rows:
            bench.write("symbolic-engine")


if __name__ == "__main__":
    main()
