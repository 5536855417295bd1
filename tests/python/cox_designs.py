"""Random data sets for Cox models without exposure terms."""

import numpy as np
from designs import random_rows


def random_cox(seed, *, right=None, plain=False, q=None, n_subjects=30):
    """Rows with real-valued or whole times; ``start`` is None if right-censored."""
    rng = np.random.default_rng(seed)
    rows = random_rows(rng, n_subjects=n_subjects, q=q)
    if rng.random() < 0.5:  # real times, still with ties
        rows["start"] = rows["start"] / 7
        rows["stop"] = rows["stop"] / 7
    if plain:
        rows["weight"] = np.ones(rows["stop"].size)
    if rng.random() < 0.5 if right is None else right:
        rows["start"] = None
    return rows


def arguments(rows):
    """Arguments of api.fit_cox."""
    names = ("start", "stop", "event", "stratum", "offset", "weight", "x")
    return {name: rows[name] for name in names}


def with_start(rows):
    """Rows for the oracle: no rows of weight zero, and a start for all."""
    keep = rows["weight"] > 0
    start = rows["start"]
    if start is None:
        start = np.full(rows["stop"].size, rows["stop"].min() - 1)
    full = {**rows, "start": start}
    return {name: column[keep] for name, column in full.items()}


def after(rows, fit, ties="efron"):
    """Arguments of api.cox_residuals at a fit."""
    given = arguments(rows)
    del given["offset"]
    return {**given, "linear_predictors": fit["linear_predictors"], "ties": ties}
