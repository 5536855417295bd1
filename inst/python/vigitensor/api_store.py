"""What R calls to keep columns on disk and to fit from them; re-exported by ``api``.

A fit runs on a thread of its own: R asks how far it is, a few times a second, and
so can show that, and be interrupted.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from . import cache, checks
from .api_inputs import (
    basis_tables,
    control_settings,
    inequality_rows,
    penalties_of,
)
from .cluster import connection
from .errors import EngineError
from .store import claim
from .store.columns import ColumnStore
from .store.design import DesignSource, FitState, narrow, pack
from .store.local import Keeper, LocalPasses, Stopped, budget_bytes, kept_bytes
from .survival.blocked import Passes, fit_prepared, prepare_blocks
from .survival.blocked_results import at_zero, meat
from .survival.run import GridResult

_numbers = itertools.count(1)
_fits: dict[int, _Running] = {}


def memory_budget(memory_mb: float | None = None) -> dict[str, float]:
    """Bytes that a fit from disk may take: as asked, or a quarter of what is free."""
    return {"bytes": budget_bytes(memory_mb)}


def store_create(path: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Make a store, or open the one begun with the same settings."""
    return store_info(str(ColumnStore.create(path, settings).path))


def store_info(path: str) -> dict[str, Any]:
    """Settings of a store, and the notes of its blocks."""
    store = ColumnStore.open(path)
    n = store.n_blocks()
    return {
        "settings": store.settings(),
        "n_blocks": n,
        "stamp": store.stamp(),
        "notes": [store.notes(k) for k in range(n)],
    }


def store_write(
    path: str, block: int, columns: Any, notes: Mapping[str, Any]
) -> dict[str, Any]:
    """Write one block, 1, 2, ...; strings as their UTF-8 bytes."""
    arrays = {name: narrow(_bytes(column)) for name, column in columns.items()}
    written = ColumnStore.open(path).write(int(block) - 1, arrays, notes)
    return {"bytes": float(written)}


def _bytes(column: Any) -> Any:
    if isinstance(column, str):
        column = [column]
    if isinstance(column, list):
        return np.array([x.encode() for x in column], "S")
    return column


def store_read(
    path: str, block: int, names: Sequence[str], deep: bool = False
) -> dict[str, Any]:
    """Columns of one block, by name."""
    names = [names] if isinstance(names, str) else list(names)
    found = ColumnStore.open(path).read(int(block) - 1, names, deep)
    return {
        name: [x.decode() for x in column.tolist()]
        if column.dtype.kind == "S"
        else np.asarray(column)
        for name, column in found.items()
    }


def store_check(path: str) -> dict[str, Any]:
    """Read every byte of a store; returns the number of columns compared."""
    store = ColumnStore.open(path)
    n = 0
    for block in range(store.n_blocks()):
        for name in store.names(block):
            store.read(block, [name], deep=True)
            n += 1
    return {"columns": n}


def store_repeated(path: str, name: str) -> dict[str, Any]:
    """How many values of a column are in more than one block."""
    store = ColumnStore.open(path)
    values: list[Any] = []
    ranges: list[tuple[Any, Any]] = []
    for block in range(store.n_blocks()):
        column = store.read(block, [name])[name]
        if column.size:
            values.append(column)
            ranges.append((column.min(), column.max()) if _orders(column) else (0, 0))
    ranges.sort()
    if all(a[1] < b[0] for a, b in zip(ranges, ranges[1:])):
        return {"repeated": 0}  # blocks are ranges: nothing to compare
    _, count = np.unique(
        np.concatenate([np.unique(column) for column in values]), return_counts=True
    )
    return {"repeated": int(np.count_nonzero(count > 1))}


def _orders(column: Any) -> bool:
    return bool(column.dtype.kind in "iuf")


def design_claim(folder: str, key: str) -> dict[str, Any]:
    """A folder for a fit, named by what it depends on, that nobody else uses."""
    return {"path": str(claim.claim(folder, key))}


def design_end(path: str) -> dict[str, Any]:
    """Delete the folder of a fit that is done."""
    claim.end(path)
    return {"path": path}


def design_begin(path: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Folder of the blocks of a design; blocks that are there already."""
    store = ColumnStore.create(Path(path) / "design", settings, durable=False)
    n = store.n_blocks()
    return {"n_blocks": n, "notes": [store.notes(k) for k in range(n)]}


def design_write(
    path: str,
    block: int,
    n_subjects: int,
    rows: Any,
    terms: Any,
    notes: Mapping[str, Any],
    group: Any = None,
) -> dict[str, Any]:
    """Write one block of a design: what ``fit_wce`` takes of these people.

    ``group`` (n_subjects,): codes from 0 of who belongs together.
    """
    store = ColumnStore(Path(path) / "design", durable=False)
    kept = {**notes, "n_subjects": int(n_subjects)}
    terms = terms or []
    return {"bytes": float(store.write(int(block) - 1, pack(rows, terms, group), kept))}


def fit_store(
    path: str,
    n_blocks: int,
    n_terms: int,
    n_cov: int,
    designs: Sequence[Sequence[Any]],
    key: str,
    ties: str = "efron",
    control: Mapping[str, Any] | None = None,
    memory_mb: float | None = None,
    inequalities: Sequence[Any] | None = None,
    penalties: Sequence[Any] | None = None,
    robust: str = "no",
    score_test: bool = False,
) -> dict[str, Any]:
    """Begin to fit a design on disk; returns its ``number`` for ``fit_progress``.

    Parameters
    ----------
    path : str
        Folder in which ``design_write`` has written, and the fit keeps its state.
    n_blocks, n_terms, n_cov : int
        Blocks, exposure terms, covariates.
    designs, ties, control, inequalities, penalties
        As in :func:`vigitensor.api.fit_wce`.
    key : str
        What the fit depends on: a state of another key is not gone on from.
    memory_mb : float, optional
        Memory of the fit, by default a quarter of what is free.
    robust : {"no", "subjects", "groups"}
        Every fit then has ``meat`` (p, p): the squares of the scores of subjects, or
        of the groups that ``design_write`` was given, summed.
    score_test : bool
        Every fit then has ``at_zero``: ``score`` (p,) and ``info`` (p, p) there, and
        ``meat`` where ``robust``.

    Notes
    -----
    The result is that of :func:`vigitensor.api.fit_wce` on all rows at once, to
    rounding, for any cut into blocks; for one cut it is the same to the last bit,
    whoever goes over the blocks.
    """
    tables = basis_tables(designs, int(n_terms))
    settings = control_settings(control)
    ties = checks.word(ties, "ties", ("efron", "breslow"))
    limits = inequality_rows(inequalities, tables, int(n_cov))
    smooth = penalties_of(penalties, limits, tables, int(n_cov))
    cache.warm_up("fit_store")
    folder = Path(path)
    state = FitState(folder / "state.json", key)

    robust = checks.word(robust, "robust", ("no", "subjects", "groups"))

    def work(passes: Passes) -> dict[str, Any]:
        prepared = prepare_blocks(passes, tables, ties)
        result = fit_prepared(prepared, settings, limits, state, smooth)
        found = grid_as_dict(result)
        if robust != "no":
            for k, fit in enumerate(result.fits):
                found["fits"][k]["meat"] = meat(prepared, k, fit, robust == "groups")
        if score_test:
            for k, fit in enumerate(found["fits"]):
                fit["at_zero"] = at_zero(prepared, k, robust)
        return found

    source = DesignSource(folder / "design", int(n_blocks), int(n_terms))
    return begin_work(source, folder, memory_mb, work)


def begin_work(
    source: DesignSource,
    folder: Path,
    memory_mb: float | None,
    work: Callable[[Passes], dict[str, Any]],
) -> dict[str, Any]:
    """Begin on a thread what needs passes; its ``number`` for ``fit_progress``."""

    def run(watch: Callable[[int, int], None]) -> dict[str, Any]:
        passes = _passes(source, memory_mb, folder, watch)
        try:
            return work(passes)
        finally:
            passes.close()

    number = next(_numbers)
    _fits[number] = _Running(run)
    return {"number": number}


def _passes(
    source: DesignSource, memory_mb: float | None, folder: Path, watch: Any
) -> Passes:
    """By the cluster in use, or by this process."""
    budget = kept_bytes(memory_mb)
    client = connection.client()
    if client is None:
        return LocalPasses(Keeper(source, budget, folder / "prepared"), watch)
    from .cluster.passes import DaskPasses

    state = connection.describe()
    if state["local"]:
        budget = budget / max(1, state["workers"])
    elif memory_mb is None:
        budget = -1.0  # each worker's machine has its own
    return DaskPasses(client, folder, source.n_blocks, source.n_terms, budget, watch)


def fit_progress(number: int, wait: float) -> dict[str, Any]:
    """How far a fit is, after ``wait`` seconds at most; its result at the end."""
    running = _known(number)
    running.thread.join(float(wait))
    passed, block = running.at
    out = {"done": False, "pass": passed, "block": block}
    if running.thread.is_alive():
        return out
    del _fits[int(number)]
    if running.problem is not None:
        raise running.problem
    assert running.result is not None
    return {**out, "done": True, "result": running.result}


def fit_stop(number: int) -> dict[str, Any]:
    """Stop a fit before its next block; what it has found so far is kept."""
    running = _fits.pop(int(number), None)
    if running is not None:
        running.stop.set()
        running.thread.join(1.0)
    return {"stopped": running is not None}


def _known(number: int) -> _Running:
    try:
        return _fits[int(number)]
    except KeyError:
        raise EngineError(
            "There is no such fit.", code="no_fit", arg="number"
        ) from None


class _Running:
    """A fit on its thread."""

    def __init__(
        self, run: Callable[[Callable[[int, int], None]], dict[str, Any]]
    ) -> None:
        self.at = (0, 0)
        self.result: dict[str, Any] | None = None
        self.problem: BaseException | None = None
        self.stop = threading.Event()
        self._run = run
        self.thread = threading.Thread(target=self._work, daemon=True)
        self.thread.start()

    def _work(self) -> None:
        try:
            self.result = self._run(self._watch)
        except BaseException as problem:
            self.problem = problem

    def _watch(self, passed: int, block: int) -> None:
        self.at = (passed, block)
        if self.stop.is_set():
            raise Stopped


def grid_as_dict(result: GridResult) -> dict[str, Any]:
    """As ``fit_wce`` gives it."""
    return {
        "fits": [
            {**vars(fit), "n_pairs": float(pairs)}
            for fit, pairs in zip(result.fits, result.pairs)
        ],
        "covered": result.covered,
        "n_event_times": result.n_event_times,
        "n_pairs": float(max(result.pairs)),
        "n_events": result.n_events,
        "exposed_events": result.exposed_events,
    }
