"""What R calls for the bootstrap of Cox models; re-exported by ``api``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from . import cache, checks
from ._typing import Floats
from .api_cox_inputs import FIRST, cox_rows, ridge
from .api_inputs import control_settings, not_finite
from .api_many import drawn_weights
from .backends import many_passes
from .cluster.spread import spread_replicates
from .errors import EngineError
from .survival import many
from .survival.cox import fit_cox
from .survival.cox_many import CoxMany
from .survival.cox_newton import Imprecise


@spread_replicates
def fit_cox_many(
    start: Any,
    stop: Any,
    event: Any,
    stratum: Any,
    offset: Any,
    weight: Any,
    x: Any,
    cluster: Any,
    counts: Any = None,
    ties: str = "efron",
    coefficients: Any = None,
    control: Mapping[str, Any] | None = None,
    replicates: Mapping[str, Any] | None = None,
    method: str = "fit",
    penalty: Any = None,
    engine: str = "cpu",
    device: str | None = None,
    memory_mb: float | None = None,
) -> dict[str, Any]:
    """Fit the same Cox model with many sets of weights: a bootstrap.

    Parameters
    ----------
    start, stop, event, stratum, offset, weight, x, control
        As in :func:`vigitensor.api.fit_cox`. With ``max_iter`` 1 the only step is
        from the full fit.
    ties : {"efron", "breslow"}
    cluster : array (n,)
        Codes from 1 of what is drawn: persons.
    counts : array (B, clusters), optional
        How often each was drawn, or any weight that is not negative. Row i has
        weight ``weight[i] * counts[b, cluster[i]]`` in replicate b; at weight 0
        it is not there.
    coefficients : array (q,), optional
        Those of the full fit, NaN or 0 where dropped; fitted here by default.
    replicates : dict, optional
        Instead of ``counts``: ``kind``, ``seed``, ``first``, ``count`` and maybe
        ``stratum``, as in :func:`vigitensor.api.replicate_weights`, for as many
        clusters as the largest code.
    method : {"fit", "one_step", "influence"}
        The optimum; one Newton step from the full fit; or, without a pass over
        the data, V sum of (weight - 1) score.
    penalty : array (q,), optional
        Ridge, as in :func:`vigitensor.api.fit_cox`, the full fit's too.
    engine : {"cpu", "torch"}
    device, memory_mb : optional
        As in :func:`vigitensor.api.fit_wce`. torch makes the passes of the
        replicates; the score residuals at the full fit, from which they start,
        and fits of replicates that do not converge from there are the CPU's.

    Returns
    -------
    dict
        ``coefficients`` (B, q), ``loglik`` (B,; without the penalty, NaN unless
        fitted), both NaN where a fit failed, ``converged`` (B,), ``iterations``
        (B, passes over the data), ``reason`` (B, one of "ok", "no_event",
        "not_converged", "infinite", "collinear"), ``failed`` (their number).
    """
    given = (start, stop, event, stratum, offset, weight, x, cluster)
    shared = prepare_cox_many(*given, ties, coefficients, control, penalty)
    method = checks.word(method, "method", many.METHODS)
    make_passes = many_passes(engine, device, memory_mb)
    drawn = _counts(counts, replicates, shared.n_clusters)
    if make_passes is None or method == "influence":
        fits = shared.fit(drawn, method)
    else:
        from .survival.torch_cox_many import fit_on_device

        fits = fit_on_device(shared, drawn, method, make_passes)
    return {
        "coefficients": fits.coefficients,
        "loglik": fits.loglik,
        "converged": fits.converged,
        "iterations": fits.iterations,
        "reason": [many.REASONS[k] for k in fits.reason],
        "failed": int(np.count_nonzero(~fits.converged)),
    }


def _counts(
    counts: Any, replicates: Mapping[str, Any] | None, n_clusters: int
) -> Floats:
    if replicates is not None:
        return drawn_weights(counts, replicates, n_clusters, "counts")
    drawn = np.asarray(counts)
    if drawn.ndim != 2 or drawn.shape[1] < n_clusters:
        raise EngineError(
            "`counts` must be a matrix with a column for every cluster; its shape is "
            f"{drawn.shape}.",
            code="bad_shape",
            arg="counts",
        )
    if drawn.dtype.kind == "f" and not np.isfinite(drawn.sum()):
        checks.matrix(drawn, "counts")
    if drawn.dtype.kind != "u" and drawn.size and drawn.min() < 0:
        raise EngineError(
            "`counts` must not be negative.", code="bad_weight", arg="counts"
        )
    return drawn


def prepare_cox_many(
    start: Any,
    stop: Any,
    event: Any,
    stratum: Any,
    offset: Any,
    weight: Any,
    x: Any,
    cluster: Any,
    ties: str = "efron",
    coefficients: Any = None,
    control: Mapping[str, Any] | None = None,
    penalty: Any = None,
) -> CoxMany:
    """What replicates share: ``.fit(counts)`` of the result takes them in chunks.

    For Python callers; the arguments are those of :func:`fit_cox_many`.
    """
    rows = cox_rows(start, stop, event, stratum, offset, weight, x)
    ties = checks.word(ties, "ties", ("efron", "breslow"))
    codes = checks.codes(cluster, "cluster", rows.n, None, FIRST)
    settings = control_settings(control)
    q = rows.x.shape[1]
    theta = ridge(penalty, q)
    cache.warm_up("fit_cox_many")
    if coefficients is None:
        full = fit_cox(rows, ties, np.zeros(q), theta, settings, rows.mean)
        begin = full.coefficients
    else:
        begin = np.asarray(coefficients, np.float64).reshape(q)
    try:
        return CoxMany(rows, codes, ties, begin, settings, theta)
    except Imprecise:
        raise not_finite() from None
