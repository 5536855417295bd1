"""Add up the results of tools/test.sh and say how it went.

    python3 tools/tally.py RESULTS CHECK-FOLDER CHECK-WITHOUT-PYTHON-FOLDER

Counted: one for each step; every test of pytest; every expectation of testthat
in both runs of R CMD check; every NOTE, WARNING and ERROR of R CMD check, as a
failure. With the engine, a skipped test is a failure too, unless it needs a GPU
or the data that VIGITENSOR_SHARED names. Only the standard library is used.
"""

from __future__ import annotations

import re
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass, field
from pathlib import Path

ALLOWED_SKIP = re.compile(r"VIGITENSOR_SHARED|\bGPU\b|\bCUDA\b", re.IGNORECASE)
SUMMARY = re.compile(r"\[ FAIL (\d+) \| WARN (\d+) \| SKIP (\d+) \| PASS (\d+) \]")
SKIP_LINE = re.compile(r"^(?:•|\*|<U\+2022>) (.*) \((\d+)\)(?:: .*)?$")


@dataclass
class Tally:
    """Counts, and one line of explanation for every failure."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0
    faults: list[str] = field(default_factory=list)

    def fail(self, why: str, count: int = 1) -> None:
        self.failed += count
        self.faults.append(why)


def add_steps(tally: Tally, results: Path) -> None:
    for status in sorted(results.glob("*.status")):
        if status.read_text().strip() == "0":
            tally.passed += 1
        else:
            tally.fail(f"{status.stem} failed: see {status.with_suffix('.log')}")


def add_skip(tally: Tally, name: str, reason: str, count: int, strict: bool) -> None:
    if strict and not ALLOWED_SKIP.search(reason):
        tally.fail(f"{name}: {count} skipped, which counts as failed: {reason}", count)
    else:
        tally.skipped += count


def add_pytest(tally: Tally, path: Path) -> None:
    """The engine's tests, from pytest's JUnit file."""
    for case in ElementTree.parse(path).getroot().iter("testcase"):
        name = f"{case.get('classname')}.{case.get('name')}"
        skip = case.find("skipped")
        if case.find("failure") is not None or case.find("error") is not None:
            tally.fail(f"pytest: {name}")
        elif skip is not None:
            add_skip(tally, name, skip.get("message") or "", 1, strict=True)
        else:
            tally.passed += 1


def add_testthat(tally: Tally, name: str, text: str, strict: bool) -> None:
    """The R tests, from what testthat printed under R CMD check."""
    summaries = SUMMARY.findall(text)
    if not summaries:
        tally.fail(f"{name}: testthat printed no summary")
        return
    failed, warned, skipped, passed = (int(n) for n in summaries[-1])
    tally.passed += passed
    if failed:
        tally.fail(f"{name}: {failed} R tests failed", failed)
    if warned:
        print(f"{name}: {warned} R tests gave a warning")
    explained = 0
    inside = False
    for line in text.splitlines():
        if "Skipped tests" in line:
            inside = True
            continue
        if inside and re.match(r"^(══|==)", line):
            inside = False
        match = SKIP_LINE.match(line) if inside else None
        if match:
            count = int(match.group(2))
            explained += count
            add_skip(tally, name, match.group(1), count, strict)
    if skipped != explained:
        unexplained = abs(skipped - explained)
        add_skip(tally, name, "reason not found", unexplained, strict)


def add_check(tally: Tally, folder: Path, name: str, strict: bool) -> None:
    """One R CMD check: its own verdict, then its tests."""
    log = folder / "00check.log"
    if not log.exists():
        tally.fail(f"{name}: there is no {log}")
        return
    text = log.read_text(errors="replace")
    if "\nStatus: " not in text:
        tally.fail(f"{name}: R CMD check did not come to its end")
    for line in text.splitlines():
        if re.search(r" \.\.\. (?:\[.*\] ?)?(NOTE|WARNING|ERROR)$", line):
            tally.fail(f"{name}: {line.lstrip('* ')}")
    outputs = sorted((folder / "tests").glob("testthat.Rout*"))
    if not outputs:
        tally.fail(f"{name}: the R tests did not run")
        return
    add_testthat(tally, name, outputs[-1].read_text(errors="replace"), strict=strict)


def main(results: Path, check: Path, check_without: Path) -> int:
    tally = Tally()
    add_steps(tally, results)
    if (results / "engine-tests.xml").exists():
        add_pytest(tally, results / "engine-tests.xml")
    elif (results / "engine-tests.status").exists():
        tally.fail("pytest wrote no results")
    if (results / "check-with-engine.status").exists():
        add_check(tally, check, "check with the engine", strict=True)
    if (results / "check-without-python.status").exists():
        add_check(tally, check_without, "check without Python", strict=False)

    for fault in tally.faults:
        print(f"failed: {fault}")
    print(
        f"{tally.passed} passed, {tally.failed} failed, {tally.skipped} skipped",
        flush=True,
    )
    return 1 if tally.failed or not tally.passed else 0


if __name__ == "__main__":
    sys.exit(main(*(Path(argument) for argument in sys.argv[1:4])))
