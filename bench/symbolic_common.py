"""Times of calls that give the same numbers, and the table of them."""

from __future__ import annotations

import csv
import datetime
import platform
import time
from importlib import metadata
from pathlib import Path

RESULTS = Path(__file__).resolve().parent / "results"
COLUMNS = (
    "case", "what", "size", "engine", "seconds", "memory_gb", "target", "difference"
)  # fmt: skip


class Bench:
    """Cases, each with ours first and its peers; equal before they are timed."""

    def __init__(self, given):
        import numpy as np

        self.np, self.given = np, given
        self.rng = np.random.default_rng(1)
        self.rows = []

    def draw(self, rows, columns, dtype="float32"):
        return self.rng.normal(size=(rows, columns)).astype(dtype)

    def size(self, n):
        return max(64, int(n * self.given.scale))

    def wanted(self, case):
        return self.given.only in case

    def timed(self, call, first, times):
        """The best of some calls; of long ones, few."""
        taken = []
        while not taken or (
            len(taken) < times and sum(taken) + first < self.given.seconds
        ):
            begin = time.perf_counter()
            call()
            taken.append(time.perf_counter() - begin)
        return min(taken)

    def compare(self, case, dtype, shape, calls, equal=None, times=5, target=""):
        """One case: who -> call. Returns the seconds of each."""
        if not self.wanted(case):
            return {}
        found, first, gaps = {}, {}, {}
        calls = {who: call for who, call in calls.items() if call is not None}
        for who, call in calls.items():
            begin = time.perf_counter()
            found[who] = self.np.asarray(call(), self.np.float64)
            first[who] = time.perf_counter() - begin
        ours = next(iter(calls))
        for who in calls:
            if who != ours:
                gaps[ours] = (equal or self.close)(case, dtype, found[ours], found[who])
        best = {who: self.timed(call, first[who], times) for who, call in calls.items()}
        for who, seconds in best.items():
            self.note(
                case, dtype, shape, who, seconds, target if who == ours else "",
                gaps.get(who),
            )  # fmt: skip
            self.tell(who, shape, seconds, best[ours], first[who])
        return best

    def tell(self, who, shape, seconds, ours, first):
        pairs = shape[0] * shape[1] / seconds
        print(
            f"    {who}: {pairs:.3g} pairs/s, first call {first:.3g} s, "
            f"{seconds / ours:.2f} x ours",
            flush=True,
        )

    def note(
        self, case, dtype, shape, who, seconds, target="", difference=None, gb=None
    ):
        """A line of the table."""
        n, m, d = shape
        size = f"{n:,} x {m:,}, D = {d}" if n else ""
        what = f"{case}, {dtype}" if dtype else case
        row = (
            "symbolic-engine", what, size, who, _short(seconds, 3), _short(gb, 3),
            target, _short(difference, 2),
        )  # fmt: skip
        self.rows.append(row)
        print(", ".join(str(v) for v in row if v != ""), flush=True)

    def write(self, name):
        """The table as those of the other cases; rows not run now stay in it."""
        RESULTS.mkdir(exist_ok=True)
        path = RESULTS / f"{name}.csv"
        new = [_line(row) for row in self.rows]
        taken = {_key(line) for line in new}
        if path.exists():
            old = path.read_text(encoding="utf-8").splitlines(keepends=True)[2:]
            new = [line for line in old if _key(line) not in taken] + new
        with open(path, "w", newline="", encoding="utf-8") as file:
            file.write(_machine(self.given.threads) + "\n")
            table = csv.writer(file, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
            table.writerow(COLUMNS)
            file.writelines(new)

    def close(self, case, dtype, a, b):
        limit = 1e-4 if dtype == "float32" else 1e-10
        gap = self.np.abs(a.ravel() - b.ravel()).max() / self.np.abs(b).max()
        assert gap <= limit, (case, gap)
        return gap

    def places(self, case, dtype, a, b):
        """Equal distances may stand elsewhere."""
        share = (a.ravel() != b.ravel()).mean()
        assert share < 1e-3, (case, share)
        return share

    def bits(self, case, dtype, a, b):
        assert self.np.array_equal(a, b), case
        return 0.0


def _short(value, digits):
    return "" if value is None else float(f"{value:.{digits}g}")


def _line(row):
    """Words in quotes, numbers as they are, nothing where there is none."""
    numbers = (4, 5, 7)
    cells = [
        str(v) if k in numbers else '"' + str(v).replace('"', '""') + '"'
        for k, v in enumerate(row)
    ]
    return ",".join(cells) + "\n"


def _key(line):
    """What a line of the table is of: its case, size and engine."""
    return tuple(next(csv.reader([line]))[1:4])


def _machine(threads):
    name = "unknown processor"
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                name = line.partition(":")[2].strip()
                break
    versions = [f"python {platform.python_version()}"]
    for package in ("numpy", "numba", "llvmlite", "pykeops", "faiss-cpu", "torch"):
        try:
            versions.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            continue
    today = datetime.date.today()
    return (
        f"# {today}; {threads} threads, {name}, {platform.system()}; "
        f"{', '.join(versions)}"
    )
