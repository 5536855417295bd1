"""What R calls for residuals and replicates from a store; re-exported by ``api``.

They run on a thread of their own, as fits do: see ``api_store``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from . import cache, checks
from ._typing import Floats
from .api_inputs import (
    basis_tables,
    control_settings,
    inequality_rows,
    penalty_of,
)
from .api_many import drawn_weights, fixed_theta, smooth_anew
from .api_store import begin_work
from .store.design import DesignSource, Reweighed
from .store.local import Keeper, LocalPasses, kept_bytes
from .survival import many
from .survival.blocked import Passes, fit_blocks, prepare_blocks
from .survival.blocked_results import (
    fit_many_blocks,
    place_of,
    scores,
    with_event,
)
from .survival.blocks_results import Wanted
from .survival.newton import Fit


def store_scores(
    path: str,
    n_blocks: int,
    n_terms: int,
    design: Sequence[Any],
    coefficients: Any,
    ties: str = "efron",
    weighted: bool = True,
    memory_mb: float | None = None,
) -> dict[str, Any]:
    """Begin to compute residuals of subjects at the coefficients of a fit.

    Parameters
    ----------
    path, n_blocks, n_terms, memory_mb
        As in :func:`vigitensor.api.fit_store`.
    design : list of array (m + 1, J)
        The cumulated basis table of each term.
    coefficients : array (p,)
        Of a fit; 0 where a column was dropped.
    weighted : bool
        Times the case weights of rows.

    Returns
    -------
    dict
        ``number``; the result has ``score`` (subjects, p), ``martingale`` (subjects,)
        in the order of the blocks, their numbers of ``events`` and ``rows``, and
        ``loglik``.
    """
    tables = basis_tables([design], int(n_terms))
    ties = checks.word(ties, "ties", ("efron", "breslow"))
    beta = checks.vector(coefficients, "coefficients")
    cache.warm_up("wce_scores")
    folder = Path(path)
    source = DesignSource(folder / "design", int(n_blocks), int(n_terms))

    def work(passes: Passes) -> dict[str, Any]:
        prepared = prepare_blocks(passes, tables, ties)
        place = place_of(prepared, 0, beta)
        parts = list(scores(prepared, place, Wanted("subjects", bool(weighted))))
        return {
            "score": np.concatenate([part.score for part in parts]),
            "martingale": np.concatenate([part.martingale for part in parts]),
            "events": np.concatenate([part.events for part in parts]),
            "rows": np.concatenate([part.rows for part in parts]),
            "loglik": place.point.loglik,
        }

    return begin_work(source, folder, memory_mb, work)


def store_many(
    path: str,
    n_blocks: int,
    n_terms: int,
    n_cov: int,
    design: Sequence[Any],
    coefficients: Any,
    ties: str = "efron",
    method: str = "fit",
    control: Mapping[str, Any] | None = None,
    weights: Any = None,
    replicates: Mapping[str, Any] | None = None,
    inequality: Any = None,
    penalty: Any = None,
    memory_mb: float | None = None,
) -> dict[str, Any]:
    """Begin to fit replicates of a design on disk.

    The result is that of :func:`vigitensor.api.fit_wce_many` on all rows at once, to
    rounding: subjects are counted in the order of the blocks. Parameters as there,
    and in :func:`vigitensor.api.fit_store`.
    """
    tables = basis_tables([design], int(n_terms))
    settings = control_settings(control)
    ties = checks.word(ties, "ties", ("efron", "breslow"))
    method = checks.word(method, "method", many.METHODS)
    limits = inequality_rows([inequality], tables, int(n_cov))
    beta = checks.vector(coefficients, "coefficients")
    smooth = None if penalty is None else penalty_of(penalty, beta.size, "penalty")
    cache.warm_up("fit_store")
    cache.warm_up("fit_wce_many")
    folder = Path(path)
    source = DesignSource(folder / "design", int(n_blocks), int(n_terms))
    sizes = [int(source.store.notes(k)["n_subjects"]) for k in range(source.n_blocks)]
    cuts = [0, *np.cumsum(sizes).tolist()]

    def refit(w: Floats) -> Fit:
        # Rarely asked for: from the beginning, by this process.
        parts = [w[a:b] for a, b in zip(cuts[:-1], cuts[1:])]
        keeper = Keeper(Reweighed(source, parts), kept_bytes(memory_mb))
        return fit_blocks(
            LocalPasses(keeper), tables, ties, settings, limits, penalties=[smooth]
        ).fits[0]

    def work(passes: Passes) -> dict[str, Any]:
        prepared = prepare_blocks(passes, tables, ties)
        if smooth is not None and smooth.method != "fixed":
            drawn = drawn_weights(weights, replicates, cuts[-1])
            dead = with_event(prepared)
            return smooth_anew(beta == 0, dead, drawn, refit, smooth)
        found = fit_many_blocks(
            prepared, beta,
            lambda n: drawn_weights(weights, replicates, n), method, settings, refit,
            limits[0] if limits else None,
            None if smooth is None else fixed_theta(smooth),
        )  # fmt: skip
        return {
            "coefficients": found.coefficients,
            "loglik": found.loglik,
            "reason": [many.REASONS[k] for k in found.reason],
        }

    return begin_work(source, folder, memory_mb, work)
