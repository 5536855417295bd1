"""Replicates of a Cox model by another engine's passes.

The model is one of exposures without exposure, so that ``many`` fits it, by
passes that never subtract.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .._typing import Floats
from .cox import without_exposure
from .cox_many import CoxMany, ManyFits
from .many import COLLINEAR, FullFit, fit_many
from .many_pass import Passes
from .newton import Fit
from .problem import Problem


def fit_on_device(
    shared: CoxMany,
    counts: Any,
    method: str,
    make_passes: Callable[[Problem, Floats], Passes],
) -> ManyFits:
    """As ``CoxMany.fit``, the passes by ``make_passes``."""
    weights = np.ascontiguousarray(counts[:, : shared.n_clusters], np.float64)
    problem = without_exposure(
        shared.rows,
        shared.data.ties,
        shared.cluster_of_rows,
        shared.n_clusters,
        shared.kept,
    )
    q = shared.beta.size
    var, score = shared.influence()
    full = FullFit(
        problem, shared.data.ties, shared.beta, np.ones(q, bool), var, score,
        shared.penalty,
    )  # fmt: skip

    def refit(drawn: Floats) -> Fit:
        beta, loglik, reason, iterations = shared.alone(drawn)
        if reason != COLLINEAR:  # that is what NaN would say
            beta = np.nan_to_num(beta)
        return Fit(
            beta, np.zeros((q, q)), np.array([np.nan, loglik]), np.zeros(q),
            iterations, reason == 0, 0, np.zeros(q, bool),
        )  # fmt: skip

    found = fit_many(full, weights, method, refit, make_passes(problem, weights))
    out = ManyFits(
        np.full((weights.shape[0], shared.size), np.nan), found.loglik, found.reason,
        found.iterations,
    )  # fmt: skip
    out.coefficients[:, shared.kept] = found.coefficients
    return out
