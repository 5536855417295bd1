"""What R calls: plain functions, arrays and numbers in, dict of arrays out.

Codes of subjects and strata come 1-based, as R counts; this module makes them
0-based and is the only one to do so. Inputs may be read-only and in Fortran
order; they are never written to. Every fault is an ``EngineError`` with ``code``
and ``arg``. Importing this module starts neither Numba nor threads.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from typing import Any

from . import cache, checks, device
from ._version import __version__
from .api_cluster import (  # noqa: F401
    cluster_connect,
    cluster_info,
    cluster_leave,
)
from .api_cox import fit_cox  # noqa: F401
from .api_cox_many import fit_cox_many  # noqa: F401
from .api_cox_results import (  # noqa: F401
    cox_baseline,
    cox_concordance,
    cox_residuals,
    cox_robust_var,
)
from .api_inputs import (
    are_real,
    basis_tables,
    control_settings,
    exposure_records,
    inequality_rows,
    penalties_of,
    person_rows,
)
from .api_many import fit_wce_many, replicate_weights  # noqa: F401
from .api_sources import (  # noqa: F401
    source_csv_columns,
    source_csv_reader,
    source_parquet_columns,
    source_query,
    source_write_parquet,
)
from .api_sparse import (  # noqa: F401
    fit_sparse,
    sparse_fold,
    sparse_one_step,
)
from .api_store import (  # noqa: F401
    design_begin,
    design_claim,
    design_end,
    design_write,
    fit_progress,
    fit_stop,
    fit_store,
    memory_budget,
    store_check,
    store_create,
    store_info,
    store_read,
    store_repeated,
    store_write,
)
from .api_store_results import store_many, store_scores  # noqa: F401
from .api_symbolic import (  # noqa: F401
    symbolic_clusters,
    symbolic_derivative,
    symbolic_formula,
    symbolic_gradient,
    symbolic_matrix,
    symbolic_quick,
    symbolic_reduce,
)
from .api_symbolic_device import (  # noqa: F401
    symbolic_arith,
    symbolic_array,
    symbolic_array_value,
    symbolic_columns,
    symbolic_dot,
    symbolic_fold,
    symbolic_math,
    symbolic_rows,
    symbolic_times,
)
from .api_symbolic_solve import (  # noqa: F401
    symbolic_eigs,
    symbolic_solve,
    symbolic_solve_gradient,
)
from .api_wce import wce_scores  # noqa: F401
from .api_wce_expected import wce_expected  # noqa: F401
from .api_wce_results import wce_baseline, wce_time_information  # noqa: F401
from .backends import smooth_fitter, wce_fitter
from .survival.newton import Fit
from .survival.penalty import PenalisedFit
from .survival.run import fit_grid
from .survival.torch_device import torch_devices


def fit_wce(
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
    designs: Sequence[Sequence[Any]],
    ties: str = "efron",
    control: Mapping[str, Any] | None = None,
    engine: str = "cpu",
    device: str | None = None,
    memory_mb: float | None = None,
    inequalities: Sequence[Any] | None = None,
    penalties: Sequence[Any] | None = None,
) -> dict[str, Any]:
    """Fit weighted cumulative exposure Cox models over a grid of bases.

    Parameters
    ----------
    start, stop : array (n,)
        Person rows (start, stop], stop > start. With exposure terms, event
        times must be whole numbers of time units.
    event : array (n,)
        0 or 1; an event is at ``stop``.
    stratum, subject : array (n,)
        Codes from 1; ``subject`` at most ``n_subjects``.
    offset, weight : array (n,)
        Finite; weights not negative. A row of weight 0 has no part in the fit.
    x : array (n, q)
        Covariates; q may be 0.
    n_subjects : int
        Number of subject codes.
    terms : list of dict
        Per exposure term: ``subject``, ``start``, ``stop``, ``dose`` of its
        records (start, stop], whole time units, dose per unit; records of one
        subject add where they overlap.
    designs : list of list of array (m + 1, J)
        Per design and term the cumulated basis table C, C(0) = 0. Or, for
        real-valued times, dicts of ``breaks`` (K + 1 lags from 0 to the cutoff)
        and ``coefficients`` (K * powers, J): piece by piece the polynomial in
        u - break that is the integral of the basis from 0 to u. A term may then
        have ``cells``, lags between which ``covered`` tells of doses.
    ties : {"efron", "breslow"}
    control : dict
        ``max_iter``, ``tol_step``, ``tol_singular``, ``max_halving``.
    engine : {"cpu", "torch"}
    device : str, optional
        For torch: "auto" (a GPU if there is one), "cpu", "cuda", "cuda:1".
    memory_mb : float, optional
        For torch: memory that a fit may take on the device, by default a quarter
        of what is free.
    inequalities : list of array (r, p), optional
        Per design (None for none) the rows of A: the likelihood is maximised
        over A beta >= 0; covariates come first.
    penalties : list of dict, optional
        Per design (None for none): ``parts`` (k, p), none negative; the likelihood
        loses sum_i theta_i beta_i^2 / 2, theta = exp(log_lambda) @ parts. ``method``
        says how log_lambda is come by: "reml", "aic", or "fixed", which then needs
        ``log_lambda`` (k,). Not together with ``inequalities``.

    Returns
    -------
    dict
        ``fits`` (per design: coefficients, var, loglik, score, iterations,
        converged, halvings, infinite, n_pairs; with inequalities ``active``, the
        rows that hold with equality, whose face ``var`` is of; with a penalty
        ``info``, without it, and ``log_lambda``: ``var`` is the inverse of
        information plus penalty, ``loglik`` has no penalty), ``covered`` (per
        term, whether each lag up to its longest cutoff is covered),
        ``n_event_times``,
        ``n_pairs`` (exposed row-event-time pairs, largest over the designs),
        ``n_events``, ``exposed_events``.

    Raises
    ------
    EngineError
        Codes ``bad_shape``, ``bad_type``, ``not_finite``, ``bad_code``,
        ``bad_interval``, ``bad_weight``, ``bad_event``, ``bad_ties``,
        ``bad_table``, ``bad_design``, ``bad_control``, ``bad_inequality``,
        ``bad_penalty``, ``time_not_whole``, ``time_span``, ``no_event``, ``overflow``;
        with torch ``bad_engine``, ``no_torch``, ``no_device``, ``bad_memory``,
        ``device_memory``, ``torch_forked``.

    Notes
    -----
    Memory is linear in rows and records; time per Newton step in rows plus
    exposed pairs. Model: Sylvestre and Abrahamowicz (2009), Statistics in
    Medicine 28, 3437-3453.
    """
    n_subjects = int(n_subjects)
    rows = person_rows(
        start, stop, event, stratum, subject, offset, weight, x, n_subjects
    )
    tables = basis_tables(designs, len(terms))
    records = exposure_records(terms, n_subjects, are_real(tables))
    settings = control_settings(control)
    ties = checks.word(ties, "ties", ("efron", "breslow"))
    limits = inequality_rows(inequalities, tables, rows.x.shape[1])
    smooth = penalties_of(penalties, limits, tables, rows.x.shape[1])
    compute = wce_fitter(engine, device, memory_mb)
    compute_smooth = smooth_fitter(engine, device, memory_mb)
    cache.warm_up("fit_wce")
    result = fit_grid(
        rows, n_subjects, records, tables, ties, settings, compute, limits,
        smooth, compute_smooth,
    )  # fmt: skip
    return {
        "fits": [
            _fit_as_dict(fit, pairs) for fit, pairs in zip(result.fits, result.pairs)
        ],
        "covered": result.covered,
        "n_event_times": result.n_event_times,
        "n_pairs": float(max(result.pairs)),  # may exceed R's integers
        "n_events": result.n_events,
        "exposed_events": result.exposed_events,
    }


def _fit_as_dict(fit: Fit, pairs: int) -> dict[str, Any]:
    out = {
        "coefficients": fit.coefficients,
        "var": fit.var,
        "loglik": fit.loglik,
        "score": fit.score,
        "iterations": fit.iterations,
        "converged": fit.converged,
        "halvings": fit.halvings,
        "infinite": fit.infinite,
        "active": fit.active,
        "n_pairs": float(pairs),
    }
    if isinstance(fit, PenalisedFit):
        out.update(info=fit.info, log_lambda=fit.log_lambda)
    return out


def set_threads(n: int | None) -> int:
    """Set the number of threads (None: all cores available); returns it."""
    return device.set_threads(n)


def warm_up() -> dict[str, Any]:
    """Compile or load all kernels; where the compiled code is kept."""
    return {"cache_dir": str(cache.warm_up())}


def is_warm(function: str) -> bool:
    """Will this function of the api start without compiling?"""
    return cache.is_warm(function)


def engine_report() -> dict[str, Any]:
    """Versions, devices, threads, memory and cache of this engine."""
    return {
        "engine": __version__,
        "python": platform.python_version(),
        **{
            package: cache.version_of(package)
            for package in ("numpy", "numba", "llvmlite", "threadpoolctl", "torch")
        },
        "cpu": device.cpu_name(),
        "devices": torch_devices() or ["cpu"],
        "engines": device.engines(),
        "threads": device.get_threads(),
        "cores": device.available_cores(),
        "memory_available": device.memory_available(),
        "cache_dir": str(cache.cache_dir()),
        "cache_warm": cache.is_warm(),
    }
