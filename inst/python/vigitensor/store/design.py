"""Designs on disk: the rows and records of a model, block by block.

R evaluates a formula on one block of people after the other and writes what comes
of it; a fit reads the blocks as often as it needs, and leaves its state beside
them, so that a fit that was killed goes on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from .. import api_inputs
from .._typing import Floats, Ints
from ..errors import EngineError
from ..survival.blocked import OnTheWay
from ..survival.blocks import Block
from ..survival.newton import Fit
from ..survival.penalty import PenalisedFit
from .columns import ColumnStore, write_whole

_ROWS = ("start", "stop", "event", "stratum", "subject", "offset", "weight", "x")
_GROUP = "subjects.group"
_RECORDS = ("subject", "start", "stop", "dose")


def pack(
    rows: Mapping[str, Any], terms: Sequence[Mapping[str, Any]], group: Any = None
) -> dict[str, Ints]:
    """Columns of one block, as narrow as they go; ``group`` by subject."""
    columns = {f"rows.{name}": narrow(rows[name]) for name in _ROWS}
    if group is not None:
        columns[_GROUP] = narrow(group)
    for k, term in enumerate(terms):
        for name in _RECORDS:
            columns[f"term{k}.{name}"] = narrow(term[name])
    return columns


def narrow(column: Any) -> Ints:
    """The same numbers in fewer bytes, where they are whole and small."""
    array = np.asarray(column)
    if array.ndim == 0:
        array = array.reshape(1)
    if array.dtype.kind not in "fiu" or array.size == 0:
        return array
    low, high = array.min(), array.max()
    for kind in (np.int8, np.int16, np.int32):
        info = np.iinfo(kind)
        if info.min <= low and high <= info.max:
            out = array.astype(kind)
            # -0.0 is no whole number that comes back.
            same = np.array_equal(out, array) and not (
                array.dtype.kind == "f" and np.any(np.signbit(array) & (array == 0))
            )
            return out if same else array
    return array


class DesignSource:
    """Blocks of a design folder."""

    def __init__(self, path: str | Path, n_blocks: int, n_terms: int) -> None:
        self.store = ColumnStore.open(path)
        self.n_blocks = n_blocks
        self.n_terms = n_terms
        there = self.store.n_blocks()
        if there < n_blocks or n_blocks < 1:
            raise EngineError(
                f"The design must have {n_blocks} blocks; {there} are there.",
                code="store_damaged",
                arg="path",
            )

    def load(self, block: int) -> Block:
        """One block, checked as data that come from R are."""
        names = [name for name in self.store.names(block) if name != _GROUP]
        columns = self.store.read(block, names)
        n_subjects = int(self.store.notes(block)["n_subjects"])
        given = {name: _plain(columns[f"rows.{name}"]) for name in _ROWS}
        rows = api_inputs.person_rows(**given, n_subjects=n_subjects)
        terms = [
            {name: _plain(columns[f"term{k}.{name}"]) for name in _RECORDS}
            for k in range(self.n_terms)
        ]
        return Block(rows, n_subjects, api_inputs.exposure_records(terms, n_subjects))

    def group(self, block: int) -> Ints:
        """Codes of the groups of its subjects."""
        found: Ints = np.asarray(self.store.read(block, [_GROUP])[_GROUP], np.int32)
        return found

    def subjects(self, block: int) -> Ints:
        """The subject of each row, from 0."""
        found = self.store.read(block, ["rows.subject"])["rows.subject"]
        out: Ints = found.astype(np.int32) - np.int32(1)
        return out


class Reweighed:
    """Blocks of a source with weights (subjects,) of all blocks times their own."""

    def __init__(self, source: DesignSource, weights: Sequence[Floats]) -> None:
        self.source = source
        self.n_blocks = source.n_blocks
        self._weights = weights

    def load(self, block: int) -> Block:
        """One block."""
        found = self.source.load(block)
        rows = found.rows
        weight = rows.weight * self._weights[block][rows.subject]
        return replace(found, rows=replace(rows, weight=weight))

    def group(self, block: int) -> Ints:
        """As they are."""
        return self.source.group(block)

    def subjects(self, block: int) -> Ints:
        """As they are."""
        return self.source.subjects(block)


def _plain(column: Any) -> Any:
    """Numbers as R sends them: doubles, or whole numbers of 32 bits."""
    kind = np.int32 if column.dtype.kind in "iub" else np.float64
    return np.asarray(column, kind)


class FitState:
    """What a fit leaves behind after every step, in a file that is always whole."""

    def __init__(self, file: Path, key: str) -> None:
        self.file = file
        self.key = key
        self._state: dict[str, Any] = {"key": key, "fits": {}, "on_the_way": {}}
        found = _read_state(file)
        if found is not None and found.get("key") == key:
            self._state = found

    def begin(self, design: int) -> OnTheWay | Fit | None:
        """The fit of a design, how far it was, or nothing."""
        name = str(design)
        if name in self._state["fits"]:
            return _fit_of(self._state["fits"][name])
        found = self._state["on_the_way"].get(name)
        if not isinstance(found, dict):
            return None
        rho = found["log_lambda"]
        return OnTheWay(
            np.array(found["beta"], np.float64),
            None if rho is None else np.array(rho, np.float64),
        )

    def step(self, design: int, beta: Floats, log_lambda: Floats | None = None) -> None:
        """Coefficients, and the penalty's parameters, after a step."""
        self._state["on_the_way"] = {
            str(design): {
                "beta": beta.tolist(),
                "log_lambda": None if log_lambda is None else log_lambda.tolist(),
            }
        }
        self._write()

    def done(self, design: int, fit: Fit) -> None:
        """A design's fit."""
        entry = {
            name: value.tolist() if isinstance(value, np.ndarray) else value
            for name, value in vars(fit).items()
        }
        self._state["fits"][str(design)] = entry
        self._state["on_the_way"] = {}
        self._write()

    def _write(self) -> None:
        try:
            write_whole(self.file, json.dumps(self._state).encode())
        except OSError:
            return  # a full disk costs what could be gone on from, not the fit


def _read_state(file: Path) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _fit_of(entry: Mapping[str, Any]) -> Fit:
    p = len(entry["coefficients"])

    def numbers(name: str) -> Floats:
        return np.array(entry[name], np.float64)

    fit = Fit(
        coefficients=numbers("coefficients"),
        var=numbers("var").reshape(p, p),
        loglik=numbers("loglik"),
        score=numbers("score"),
        iterations=int(entry["iterations"]),
        converged=bool(entry["converged"]),
        halvings=int(entry["halvings"]),
        infinite=np.array(entry["infinite"], bool),
        active=np.array(entry["active"], bool),
    )
    if "log_lambda" not in entry:
        return fit
    info = numbers("info").reshape(p, p)
    return PenalisedFit(**vars(fit), info=info, log_lambda=numbers("log_lambda"))
