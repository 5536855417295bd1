"""Symbolic reductions beside PyKeOps, faiss and torch, where they are installed.

    python bench/symbolic.py [--threads 2] [--scale 1] [--only argmin] [--seconds 60]

Every peer runs in the same process with as many threads; results are compared before
times are taken. A line is: case, precision, components, rows, columns, who, seconds
of the first call (compilation included, with an empty cache of PyKeOps and
VIGITENSOR_CACHE_DIR naming an empty folder), pairs per second of the best warm call,
and how many times the peer's. ``--scale 0.1`` takes a tenth of the rows and columns;
no call is repeated when it has taken ``--seconds`` in all.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

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


class Bench:
    """Times of calls that give the same numbers."""

    def __init__(self, given):
        import numpy as np

        self.np, self.given = np, given
        self.rng = np.random.default_rng(1)

    def draw(self, rows, columns, dtype="float32"):
        return self.rng.normal(size=(rows, columns)).astype(dtype)

    def size(self, n):
        return max(64, int(n * self.given.scale))

    def timed(self, call, times):
        begin = time.perf_counter()
        result = call()
        first = time.perf_counter() - begin
        # The first call compiles: the second is the first to tell.
        taken = []
        while not taken or (len(taken) < times and sum(taken) < self.given.seconds):
            begin = time.perf_counter()
            call()
            taken.append(time.perf_counter() - begin)
        return result, first, min(taken)

    def compare(self, case, dtype, shape, calls, equal=None, times=5):
        """One case: who -> call; ours first."""
        if self.given.only not in case:
            return
        n, m, d = shape
        results, mine = [], None
        for who, call in calls.items():
            if call is None:
                continue
            result, first, best = self.timed(call, times)
            results.append(self.np.asarray(result, self.np.float64))
            mine = mine or best
            ratio = "" if len(results) == 1 else f"{best / mine:.2f}"
            print(
                f"{case},{dtype},{d},{n},{m},{who},{first:.3g},{n * m / best:.3g},"
                f"{ratio}",
                flush=True,
            )
            if len(results) > 1:
                (equal or self.close)(case, dtype, *results[:1], results[-1])

    def close(self, case, dtype, a, b):
        limit = 1e-4 if dtype == "float32" else 1e-10
        gap = self.np.abs(a.ravel() - b.ravel()).max() / self.np.abs(b).max()
        assert gap <= limit, (case, gap)

    def places(self, case, dtype, a, b):
        """Equal distances may stand elsewhere."""
        assert (a.ravel() == b.ravel()).mean() > 0.999, case


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

    def case(name, n, d, formula, reduction, write, equal=None, kinds=None, **more):
        n = bench.size(n)
        for kind in kinds or ("float32", "float64"):
            data = [bench.draw(n, c, kind) for c in (d, d, 1)]
            bench.compare(
                name, kind, (n, n, d),
                {"vigitensor": ours(formula, reduction, data, **more),
                 "pykeops": peer(write, *data)}, equal,
            )  # fmt: skip

    case("gaussian sum", 50_000, 3, ["mul", GAUSS, ["var", 2]], "sum",
         lambda s, b: ((-0.5 * s).exp() * b).sum(1))  # fmt: skip
    case("laplacian logsumexp", 50_000, 3, ["neg", ["sqrt", SQUARE]], "logsumexp",
         lambda s, b: (-s.sqrt()).logsumexp(1))  # fmt: skip
    for d, n in ((3, 50_000), (10, 50_000), (50, 20_000), (100, 20_000)):
        case(f"argmin {d}", n, d, SQUARE, "argmin", lambda s, b: s.argmin(1),
             bench.places, ("float32",))  # fmt: skip
    case("argKmin 10", 50_000, 3, SQUARE, "argkmin", lambda s, b: s.argKmin(10, 1),
         bench.places, k=10)  # fmt: skip

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

            # faiss has no hyperbolic distance: its time is that of Euclid's.
            same = bench.places if metric != "hyperbolic" else lambda *_: None
            bench.compare(
                f"neighbours {metric} {k}", "float32", (n, n, 50),
                {"vigitensor": ours, "faiss": peer if faiss else None}, same, 2,
            )  # fmt: skip


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
    )  # fmt: skip
    million = bench.size(1_000_000)
    for rows, columns in ((million // 20, million // 20), (million // 50, million)):
        data = [bench.draw(rows, 3), bench.draw(columns, 3), bench.draw(columns, 1)]

        def part(data=data):
            return api.symbolic_reduce(
                formula, data, ["i", "j", "j"], precision="float32"
            )["value"]

        bench.compare("of a million", "float32", (rows, columns, 3), {"part": part})
    if bench.given.only in "accuracy":
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
        print(f"accuracy,float64,,,,vigitensor,,{gap:.2g},")
        print(f"accuracy of 1e7 terms,float32,,,,vigitensor,,{short:.2g},")


def first_results(bench):
    """A new process, with an empty cache and again; then another parameter."""
    import tempfile

    if bench.given.only not in "first result":
        return
    with tempfile.TemporaryDirectory() as folder:
        for what in ("empty cache", "cached"):
            out = subprocess.run(
                [sys.executable, "-c",
                 COLD.format(path=str(ROOT / "inst" / "python"), formula=GAUSS)],
                env={**os.environ, "VIGITENSOR_CACHE_DIR": folder},
                capture_output=True, text=True, check=True,
            ).stdout.split()  # fmt: skip
            print(f"first result,float64,3,5000,5000,{what},{float(out[0]):.3g},,")
        print(f"first result,float64,3,5000,5000,new value,{float(out[1]):.3g},,")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--threads", type=int, default=2)
    options.add_argument("--scale", type=float, default=1.0)
    options.add_argument("--seconds", type=float, default=60.0)
    options.add_argument("--only", default="")
    given = options.parse_args()
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(given.threads)
    sys.path.insert(0, str(ROOT / "inst" / "python"))
    from vigitensor import api_symbolic as api
    from vigitensor import device

    device.set_threads(given.threads)
    bench = Bench(given)
    print("case,precision,d,n,m,who,first_s,pairs_per_s,times")
    first_results(bench)
    sizes(bench, api)
    wide(bench, api)
    neighbours(bench, api)
    against_keops(bench, api)


if __name__ == "__main__":
    main()
