"""What R calls for models of many drugs; re-exported by ``api``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from . import cache, checks
from .api_inputs import exposure_records, person_rows
from .errors import EngineError
from .pool import one_blas_thread
from .survival.run import Rows
from .survival.sparse_data import SparseData, prepare_sparse
from .survival.sparse_fit import Settings, Step
from .survival.sparse_path import (
    Start,
    begin,
    default_lambdas,
    exposed_events,
    fold_path,
    one_step,
    path,
    together,
)

KINDS = ("sparse", "fused")


def fit_sparse(
    people: Mapping[str, Any],
    records: Mapping[str, Any],
    model: Mapping[str, Any],
    lambdas: Any = None,
    n_lambda: int = 20,
    least: float = 1.0,
) -> dict[str, Any]:
    """Penalised Cox model of many drugs along a path of lambda.

    Parameters
    ----------
    people : dict
        ``start``, ``stop``, ``event``, ``stratum``, ``subject``, ``offset``,
        ``weight``, ``x``, ``n_subjects`` as in :func:`vigitensor.api.fit_wce`;
        whole event times.
    records : dict
        ``subject``, ``start``, ``stop``, ``dose``, ``drug`` (codes from 1) and
        ``n_drugs``.
    model : dict
        ``design`` (m + 1, J), the cumulated basis, one for all drugs; ``second``
        (K, J), rows of the second part of the penalty in the coefficients of a
        drug; ``kind``, how these are scaled: "sparse" (each coefficient by its
        own standard error without effects) or "fused" (all by their mean
        square); ``alpha``, the share of the second part, in [0, 1); ``ties``;
        ``tol``, the distance from the optimality conditions in standard errors
        of a drug without effect; ``max_iter``, Newton steps at each lambda.
    lambdas : array, optional
        Falling; by default ``n_lambda`` from the largest that matters to
        ``least`` (or half of the largest).

    Returns
    -------
    dict
        ``lambdas``, ``gamma`` (steps, q; NaN where collinear), ``b`` (steps,
        drugs * J), ``loglik``, ``iterations``, ``converged``, ``distance``,
        ``recalled`` (drugs that the strong rule had lost); ``loglik_null``,
        ``largest`` (drugs, lambda at which each would come in alone), ``rank``,
        ``events`` (with a dose in the window) of each drug.

    Notes
    -----
    Memory is linear in rows and records, and in drugs times event times.
    """
    begun, settings = _begin(people, records, model)
    largest = float(begun.largest.max(initial=0.0))
    if lambdas is None:
        top = largest if largest > 0 else 1.0
        grid = default_lambdas(top, min(least, top / 2), int(n_lambda))
    else:
        grid = checks.vector(lambdas, "lambdas")
    with one_blas_thread():
        steps = path(begun, grid, settings)
    return {
        **_steps(steps, begun),
        "loglik_null": begun.loglik,
        "largest": begun.largest,
        "rank": begun.metric.rank.astype(np.float64),
        "events": exposed_events(begun.data).astype(np.float64),
        "n_event_times": begun.data.risk.n_events,
    }


def sparse_fold(
    people: Mapping[str, Any],
    records: Mapping[str, Any],
    model: Mapping[str, Any],
    lambdas: Any,
    out: Any,
) -> dict[str, Any]:
    """Path without some people, and the likelihood of all at its coefficients.

    Parameters
    ----------
    people, records, model, lambdas
        As in :func:`fit_sparse`. The metric is that of all people, and lambda is
        multiplied by the share of the events that are left.
    out : array (n_subjects,)
        1 for the people left out.

    Returns
    -------
    dict
        ``inside`` and ``whole`` (steps,), log-likelihoods of the others and of
        all; shorter than ``lambdas`` where a fit had no optimum.
    """
    begun, settings = _begin(people, records, model)
    rows = _rows(people)
    left_out = checks.vector(out, "out", int(people["n_subjects"])) != 0
    weight = np.where(left_out[rows.subject], 0.0, rows.weight)
    part = _prepare(people, replace(rows, weight=weight), records, model)
    grid = checks.vector(lambdas, "lambdas")
    with one_blas_thread():
        _, inside, whole = fold_path(begun, part, grid, settings)
    return {"inside": inside, "whole": whole}


def sparse_one_step(
    people: Mapping[str, Any],
    records: Mapping[str, Any],
    model: Mapping[str, Any],
    gamma: Any,
    b: Any,
) -> dict[str, Any]:
    """One Newton step without a penalty from the coefficients of a fit.

    Parameters
    ----------
    people, records, model
        As in :func:`fit_sparse`.
    gamma, b : array (q,), (n_drugs * J,)
        Coefficients of one step of :func:`fit_sparse`.

    Returns
    -------
    dict
        ``coefficients`` (q + n_drugs * J), ``var`` (n_drugs * J, J) of each
        drug's own coefficients, ``var_covariates`` (q, q), ``known`` (n_drugs,):
        can the drug be told from the others?
    """
    begun, _ = _begin(people, records, model)
    kept, q, n_col = begun.kept, int(begun.kept.sum()), begun.data.n_col
    n_drugs = begun.data.n_drugs
    given = np.asarray(gamma, dtype=np.float64).ravel()
    blocks = checks.vector(b, "b", n_drugs * n_col).reshape(-1, n_col)
    step = Step(0.0, given[kept], blocks, 0.0, 0, True, 0.0, 0)
    with one_blas_thread():
        found = one_step(begun, step)
    coefficients = np.full(kept.size, np.nan)
    coefficients[kept] = found.coefficients[:q]
    of_covariates = np.full((kept.size, kept.size), np.nan)
    of_covariates[np.ix_(kept, kept)] = found.var[:q, :q]
    at = q + np.arange(n_drugs * n_col).reshape(-1, n_col)
    return {
        "coefficients": np.append(coefficients, found.coefficients[q:]),
        "var": np.concatenate([found.var[np.ix_(one, one)] for one in at]),
        "var_covariates": of_covariates,
        "known": found.known,
    }


def _begin(
    people: Mapping[str, Any], records: Mapping[str, Any], model: Mapping[str, Any]
) -> tuple[Start, Settings]:
    alpha = float(model["alpha"])
    if not 0 <= alpha < 1:
        raise EngineError(
            "`alpha` must be at least 0 and below 1.", code="bad_alpha", arg="alpha"
        )
    kind = checks.word(model["kind"], "kind", KINDS)
    rows = _rows(people)
    cache.warm_up("fit_sparse")
    data = _prepare(people, rows, records, model)
    second = np.ascontiguousarray(np.atleast_2d(np.asarray(model["second"], float)))
    if second.shape[1] != data.n_col:
        raise EngineError(
            f"`second` must have {data.n_col} columns, one per column of `design`; "
            f"it has {second.shape[1]}.",
            code="bad_shape",
            arg="second",
        )
    with one_blas_thread():
        begun = begin(data, second, kind, alpha)
    return begun, Settings(alpha, float(model["tol"]), int(model["max_iter"]))


def _rows(people: Mapping[str, Any]) -> Rows:
    names = ("start", "stop", "event", "stratum", "subject", "offset", "weight", "x")
    given = {name: people[name] for name in names}
    return person_rows(**given, n_subjects=int(people["n_subjects"]))


def _prepare(
    people: Mapping[str, Any],
    rows: Rows,
    records: Mapping[str, Any],
    model: Mapping[str, Any],
) -> SparseData:
    n_subjects, n_drugs = int(people["n_subjects"]), int(records["n_drugs"])
    doses = exposure_records([records], n_subjects)[0]
    drug = checks.codes(records["drug"], "records$drug", doses.subject.size, n_drugs, 1)
    table = checks.table(model["design"], "design")
    ties = checks.word(model["ties"], "ties", ("efron", "breslow"))
    return prepare_sparse(rows, n_subjects, doses, drug, n_drugs, table, ties)


def _steps(steps: list[Step], begun: Start) -> dict[str, Any]:
    gamma, b = together(steps, begun.kept)
    n_col = begun.data.n_col
    return {
        "lambdas": np.array([s.lam for s in steps]),
        "gamma": gamma,
        "b": b.reshape(len(steps), begun.data.n_drugs * n_col),
        "loglik": np.array([s.loglik for s in steps]),
        "iterations": np.array([float(s.iterations) for s in steps]),
        "converged": np.array([s.converged for s in steps]),
        "distance": np.array([s.distance for s in steps]),
        "recalled": np.array([float(s.recalled) for s in steps]),
    }
