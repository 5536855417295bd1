"""What R calls for expected events; re-exported by ``api``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from . import cache, checks
from .api_inputs import fitted_model
from .errors import EngineError
from .survival.expected import Hazard, expected

_FIRST = 1  # R's first code


def wce_expected(
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
    baseline: Mapping[str, Any],
    errors: bool = True,
) -> dict[str, Any]:
    """Events expected in the rows of some people, under a fit's baseline hazard.

    Parameters
    ----------
    start, stop, stratum, subject, offset, x, n_subjects, terms
        As in :func:`vigitensor.api.fit_wce`, of the people to predict; strata are
        those of the fit. ``event`` and ``weight`` have no part in it.
    design : list of array (m + 1, J)
        The cumulated basis table of each term.
    coefficients : array (p,)
        Of the fit; NaN or 0 where a column was dropped.
    baseline : dict
        What :func:`vigitensor.api.wce_baseline` returned for the fit: ``time``,
        ``stratum``, ``hazard``, ``variance``, ``mean``, ``shift``.
    errors : bool
        What standard errors need, too.

    Returns
    -------
    dict
        ``hazard`` (n,): the cumulative hazard over the row. With ``errors``
        ``slope`` (n, p), its derivatives by the coefficients, and ``noise`` (n,),
        the part of its variance that comes from the baseline hazard.
    """
    n = np.size(start)
    nobody, ones = np.zeros(n), np.ones(n)
    model = fitted_model(
        start, stop, nobody, stratum, subject, offset, ones, x, n_subjects,
        terms, design, coefficients, "efron",
    )  # fmt: skip
    try:
        given = {k: baseline[k] for k in ("time", "stratum", "hazard", "variance")}
        shift, mean = baseline["shift"], baseline["mean"]
    except (KeyError, TypeError, IndexError):
        raise EngineError(
            "`baseline` must be what `wce_baseline()` returned.",
            code="bad_baseline",
            arg="baseline",
        ) from None
    steps = {k: checks.vector(v, f"baseline${k}") for k, v in given.items()}
    size = steps["time"].size
    steps["stratum"] = checks.codes(
        given["stratum"], "baseline$stratum", size, None, _FIRST
    )
    cache.warm_up("wce_expected")
    base = Hazard(
        **steps,
        mean=checks.matrix(mean, "baseline$mean", size),
        shift=checks.vector(shift, "baseline$shift", size),
    )
    beta = np.where(np.isnan(model.given), 0.0, model.given)
    found = expected(
        model.rows, model.n_subjects, model.records, model.tables, beta, base,
        bool(errors),
    )  # fmt: skip
    out = {"hazard": found.hazard}
    if errors:
        out.update(slope=found.slope, noise=found.noise)
    return out
