"""What the functions for weighted cumulative exposure take in common.

Codes come 1-based, as R counts, and leave 0-based.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import checks
from ._typing import Floats, Ints
from .errors import EngineError
from .survival.exposure import Records
from .survival.likelihood import Point, evaluate
from .survival.newton import Control
from .survival.problem import Problem
from .survival.real_times import Basis, Curve, n_columns
from .survival.run import Rows, prepare
from .survival.smoothing import METHODS, Penalty

_FIRST = 1  # R's first code


def person_rows(
    start: Any,
    stop: Any,
    event: Any,
    stratum: Any,
    subject: Any,
    offset: Any,
    weight: Any,
    x: Any,
    n_subjects: int,
) -> Rows:
    """Rows (start, stop] of persons, checked."""
    begins = checks.vector(start, "start")
    n = begins.size
    ends = checks.vector(stop, "stop", n)
    checks.after(begins, ends, "stop")
    weights = checks.vector(weight, "weight", n)
    if n and weights.min() < 0:
        raise EngineError(
            "`weight` must not be negative.", code="bad_weight", arg="weight"
        )
    return Rows(
        start=begins,
        stop=ends,
        event=_events(event, n),
        stratum=checks.codes(stratum, "stratum", n, None, _FIRST),
        subject=checks.codes(subject, "subject", n, n_subjects, _FIRST),
        offset=checks.vector(offset, "offset", n),
        weight=weights,
        x=checks.matrix(x, "x", n),
    )


def _events(event: Any, n: int) -> Ints:
    out = checks.vector(event, "event", n)
    if not np.all((out == 0) | (out == 1)):
        raise EngineError("`event` must be 0 or 1.", code="bad_event", arg="event")
    return out.astype(np.int8)


def exposure_records(
    terms: Sequence[Mapping[str, Any]], n_subjects: int, real: bool = False
) -> list[Records]:
    """Exposure records of every term, checked; times whole unless ``real``."""
    return [
        _records(term, f"terms[{k + 1}]", n_subjects, real)
        for k, term in enumerate(terms)
    ]


def _records(term: Mapping[str, Any], arg: str, n_subjects: int, real: bool) -> Records:
    try:
        given = [term[name] for name in ("subject", "start", "stop", "dose")]
    except (KeyError, TypeError, IndexError):
        raise EngineError(
            f"`{arg}` must have subject, start, stop and dose.",
            code="bad_design",
            arg=arg,
        ) from None
    subject = checks.codes(given[0], f"{arg}$subject", None, n_subjects, _FIRST)
    start = checks.vector(given[1], f"{arg}$start", subject.size)
    stop = checks.vector(given[2], f"{arg}$stop", subject.size)
    checks.after(start, stop, f"{arg}$stop")
    if not real:
        checks.whole(start, f"{arg}$start")
        checks.whole(stop, f"{arg}$stop")
    dose = checks.vector(given[3], f"{arg}$dose", subject.size)
    cells = None
    if real and "cells" in term:
        cells = checks.vector(term["cells"], f"{arg}$cells")
        checks.after(cells[:-1], cells[1:], f"{arg}$cells")
    return Records(subject, start, stop, dose, cells)


def basis_tables(designs: Any, n_terms: int) -> list[list[Basis]]:
    """Cumulated bases of every design and term."""
    if len(designs) == 0 or any(len(design) != n_terms for design in designs):
        raise EngineError(
            f"`designs` must hold at least one design, each with {n_terms} "
            "tables, one per term.",
            code="bad_design",
            arg="designs",
        )
    out = [
        [_basis(t, f"designs[{d + 1}][{k + 1}]") for k, t in enumerate(design)]
        for d, design in enumerate(designs)
    ]
    if len({isinstance(basis, Curve) for design in out for basis in design}) > 1:
        raise EngineError(
            "`designs` must be tables for whole time units, or curves for real-valued "
            "times, not some of each.",
            code="bad_design",
            arg="designs",
        )
    return out


def are_real(designs: Sequence[Sequence[Basis]]) -> bool:
    """Are times real-valued, by the kind of the bases?"""
    return any(isinstance(basis, Curve) for basis in designs[0])


def _basis(given: Any, arg: str) -> Basis:
    if not isinstance(given, Mapping):
        return checks.table(given, arg)
    if not {"breaks", "coefficients"} <= set(given):
        raise EngineError(
            f"`{arg}` must have breaks and coefficients.", code="bad_table", arg=arg
        )
    breaks = checks.vector(given["breaks"], f"{arg}$breaks")
    coef = checks.matrix(given["coefficients"], f"{arg}$coefficients")
    pieces = breaks.size - 1
    good = pieces >= 1 and coef.shape[1] >= 1 and coef.shape[0] % pieces == 0
    good = (
        good
        and coef.shape[0] > 0
        and breaks[0] == 0
        and bool(np.all(np.diff(breaks) > 0))
    )
    if not good or np.any(coef[0] != 0):
        raise EngineError(
            f"`{arg}` must have breaks that rise from 0, and coefficients of powers 0, "
            "1, ... for each piece, one column per feature, 0 at lag 0.",
            code="bad_table",
            arg=arg,
        )
    return Curve(breaks, np.ascontiguousarray(coef).reshape(pieces, -1, coef.shape[1]))


def one_design(design: Any, n_terms: int) -> list[Basis]:
    """The tables of the one design of a fitted model."""
    return basis_tables([design], n_terms)[0]


def inequality_rows(
    given: Any, designs: Sequence[Sequence[Basis]], n_cov: int
) -> list[Floats | None] | None:
    """Rows A (r, p) of each design, or None."""
    if given is None:
        return None
    if len(given) != len(designs):
        raise EngineError(
            f"`inequalities` must hold {len(designs)} matrices, one per design "
            f"(or none in its place); it holds {len(given)}.",
            code="bad_inequality",
            arg="inequalities",
        )
    out: list[Floats | None] = []
    for k, (rows, design) in enumerate(zip(given, designs)):
        if rows is None:
            out.append(None)
            continue
        matrix = checks.matrix(rows, f"inequalities[{k + 1}]")
        n_par = n_cov + sum(n_columns(basis) for basis in design)
        if matrix.shape[1] != n_par:
            raise EngineError(
                f"`inequalities[{k + 1}]` must have {n_par} columns, one per "
                f"coefficient; it has {matrix.shape[1]}.",
                code="bad_inequality",
                arg=f"inequalities[{k + 1}]",
            )
        out.append(matrix)
    return out


def penalties_of(
    given: Any,
    limits: Sequence[Floats | None] | None,
    designs: Sequence[Sequence[Basis]],
    n_cov: int,
) -> list[Penalty | None] | None:
    """Penalties of each design, or None."""
    if given is None:
        return None
    if len(given) != len(designs) or limits is not None:
        raise EngineError(
            f"`penalties` must hold {len(designs)} penalties, one per design, "
            "and stand without `inequalities`.",
            code="bad_penalty",
            arg="penalties",
        )
    sizes = [n_cov + sum(n_columns(basis) for basis in design) for design in designs]
    return [
        None if one is None else penalty_of(one, size, f"penalties[{k + 1}]")
        for k, (one, size) in enumerate(zip(given, sizes))
    ]


def penalty_of(given: Mapping[str, Any], n_par: int, arg: str) -> Penalty:
    """One penalty, checked."""
    parts = checks.matrix(given.get("parts"), f"{arg}$parts")
    method = checks.word(given.get("method"), "method", METHODS)
    start = given.get("log_lambda")
    if start is not None:
        start = checks.vector(start, f"{arg}$log_lambda", parts.shape[0])
    if parts.shape[1] != n_par or np.any(parts < 0) or not np.all(parts.any(axis=1)):
        raise EngineError(
            f"`{arg}$parts` must have {n_par} columns, one per coefficient, and rows "
            "of numbers that are not negative, nor all zero.",
            code="bad_penalty",
            arg=f"{arg}$parts",
        )
    if method == "fixed" and start is None:
        raise EngineError(
            f'`{arg}$log_lambda` is needed where the method is "fixed".',
            code="bad_penalty",
            arg=f"{arg}$log_lambda",
        )
    return Penalty(np.ascontiguousarray(parts), method, start)


def fitted_coefficients(coefficients: Any, n_par: int) -> Floats:
    """Coefficients of a fit: NaN where a column was dropped."""
    given = np.asarray(coefficients, dtype=np.float64).ravel()
    checks.vector(np.where(np.isnan(given), 0.0, given), "coefficients", n_par)
    return given


def control_settings(control: Mapping[str, Any] | None) -> Control:
    """Settings of the iteration; unknown names are faults."""
    given = dict(control or {})
    known = Control()
    settings: dict[str, Any] = {}
    for name, value in given.items():
        default = getattr(known, name, None)
        if default is None:
            raise EngineError(
                f"`control` has no setting `{name}`.", code="bad_control", arg=name
            )
        number = float(value)
        if not number >= 0 or not np.isfinite(number):
            raise EngineError(
                f"`{name}` must be a number that is not negative.",
                code="bad_control",
                arg=name,
            )
        settings[name] = type(default)(number)
    return Control(**settings)


@dataclass(frozen=True)
class FittedModel:
    """The data of a fit of one design, and its coefficients, checked."""

    rows: Rows
    n_subjects: int
    records: list[Records]
    tables: list[Basis]
    given: Floats  # (p,) NaN or 0 where dropped
    ties: str

    def problem(self, rows: Rows | None = None) -> Problem:
        """The likelihood to work on; of other ``rows`` (weights) if given."""
        data = prepare(
            rows or self.rows, self.n_subjects, self.records, [self.tables], self.ties
        )
        return data.problem(self.tables)


def fitted_model(
    start: Any,
    stop: Any,
    event: Any,
    stratum: Any,
    subject: Any,
    offset: Any,
    weight: Any,
    x: Any,
    n_subjects: int,
    terms: Sequence[Mapping[str, Any]],
    design: Sequence[Any],
    coefficients: Any,
    ties: str,
) -> FittedModel:
    """What the functions that look back at a fit take in common."""
    n_subjects = int(n_subjects)
    rows = person_rows(
        start, stop, event, stratum, subject, offset, weight, x, n_subjects
    )
    tables = one_design(design, len(terms))
    records = exposure_records(terms, n_subjects, are_real([tables]))
    n_par = rows.x.shape[1] + sum(n_columns(table) for table in tables)
    given = fitted_coefficients(coefficients, n_par)
    ties = checks.word(ties, "ties", ("efron", "breslow"))
    return FittedModel(rows, n_subjects, records, tables, given, ties)


def at_coefficients(problem: Problem, given: Floats) -> Point:
    """The likelihood at ``given`` (p,), where NaN counts as 0."""
    point = evaluate(problem, np.where(np.isnan(given), 0.0, given))
    if not np.isfinite(point.loglik):
        raise not_finite()
    return point


def not_finite() -> EngineError:
    """The fault of coefficients that no fit can have had."""
    return EngineError(
        "The likelihood is not finite at `coefficients`.",
        code="overflow",
        arg="coefficients",
    )
