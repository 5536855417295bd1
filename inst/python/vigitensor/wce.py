"""For users of the engine from Python: ids of any kind in, a result object out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from . import checks
from ._typing import Bools, Floats
from .api import fit_wce as _fit_codes
from .errors import EngineError
from .survival.basis import cumulated, lag_basis


@dataclass(frozen=True)
class Exposure:
    """One exposure term: records and the shape of its weight function.

    Parameters
    ----------
    id : array (r,)
        Whose record it is; the same kind of ids as the rows have.
    start, stop : array (r,)
        The record covers (start, stop], whole time units.
    dose : array (r,)
        Dose per time unit. Overlapping records of a person add.
    cutoff : int
        Last lag with a weight. Lag 1 is the unit that ends at the event time.
    nknots : int
        Interior knots of the cubic spline.
    constrained : {None, "right", "left"}
        Weight zero at the oldest or at the newest lag.
    basis : {"clamped", "WCE"}
    """

    id: Any
    start: Any
    stop: Any
    dose: Any
    cutoff: int
    nknots: int = 1
    constrained: str | None = None
    basis: str = "clamped"

    def table(self) -> Floats:
        """Basis on lags 1..cutoff, shape (cutoff, J)."""
        return lag_basis(
            self.cutoff, self.nknots, constrained=self.constrained, basis=self.basis
        )


@dataclass(frozen=True)
class WceFit:
    """A fitted model; coefficients of the covariates come first."""

    coefficients: Floats  # (p,), NaN where collinear
    var: Floats  # (p, p)
    loglik: Floats  # (2,) at zero, at the result
    score: Floats  # (p,)
    iterations: int
    converged: bool
    infinite: Bools  # (p,) the likelihood still rises as these grow
    n_events: int
    n_event_times: int
    n_pairs: int  # exposed (row, event time) pairs
    covered: list[Bools]  # per term, lags that the data cover
    bases: list[Floats] = field(repr=False)  # per term, (cutoff, J)
    n_covariates: int = 0

    @property
    def bic(self) -> float:
        """-2 log-likelihood + log(events) times the coefficients fitted."""
        return float(-2 * self.loglik[1] + np.log(self.n_events) * self._df())

    @property
    def aic(self) -> float:
        """-2 log-likelihood + 2 times the coefficients fitted."""
        return float(-2 * self.loglik[1] + 2 * self._df())

    def _df(self) -> int:
        return int(np.count_nonzero(np.isfinite(self.coefficients)))

    def weight_function(self, term: int = 0) -> dict[str, Floats]:
        """Weights by lag: ``lag``, ``weight`` and ``se``, each (cutoff,).

        NaN at lags that the data do not cover.
        """
        basis = self.bases[term]
        begin = self.n_covariates + sum(b.shape[1] for b in self.bases[:term])
        index = slice(begin, begin + basis.shape[1])
        weight = basis @ self.coefficients[index]
        se = np.sqrt(np.einsum("ij,jk,ik->i", basis, self.var[index, index], basis))
        covered = self.covered[term]
        return {
            "lag": np.arange(1.0, basis.shape[0] + 1),
            "weight": np.where(covered, weight, np.nan),
            "se": np.where(covered, se, np.nan),
        }


def fit_wce(
    stop: Any,
    event: Any,
    *,
    id: Any,
    exposures: Exposure | list[Exposure] | tuple[Exposure, ...] = (),
    start: Any = None,
    x: Any = None,
    stratum: Any = None,
    weight: Any = None,
    offset: Any = None,
    ties: str = "efron",
    control: Mapping[str, Any] | None = None,
) -> WceFit:
    """Fit a Cox model with weighted cumulative exposures.

    Parameters
    ----------
    stop, event : array (n,)
        End of each person row and whether (1) or not (0) the event is there.
    id : array (n,)
        Person of each row: numbers or strings.
    exposures : Exposure or list of Exposure
        Records of people without a row are left out.
    start : array (n,), optional
        Row covers (start, stop]; 0 by default.
    x : array (n, q), optional
        Covariates.
    stratum : array (n,), optional
        Any labels.
    weight, offset : array (n,), optional
    ties : {"efron", "breslow"}
    control : dict, optional
        See :func:`vigitensor.api.fit_wce`.

    Returns
    -------
    WceFit

    Raises
    ------
    EngineError
        With ``code`` and ``arg``, as in :func:`vigitensor.api.fit_wce`.

    Notes
    -----
    Hazard at time t: h0(t) exp(x'g + sum_u w(u) dose(t - u, t - u + 1]), w a
    cubic spline (Sylvestre and Abrahamowicz 2009).

    Examples
    --------
    >>> import numpy as np
    >>> from vigitensor import Exposure, fit_wce
    >>> rng = np.random.default_rng(1)
    >>> n = 300
    >>> taken = Exposure(
    ...     id=np.arange(n), start=rng.integers(0, 60, n),
    ...     stop=rng.integers(61, 90, n), dose=np.ones(n), cutoff=30,
    ... )
    >>> fit = fit_wce(
    ...     rng.integers(20, 120, n), rng.integers(0, 2, n), id=np.arange(n),
    ...     exposures=taken,
    ... )
    >>> fit.converged, fit.weight_function()["weight"].shape
    (True, (30,))
    """
    ends = checks.vector(stop, "stop")
    n = ends.size
    people, who = _codes(id, "id", n)
    _, groups = _codes(np.zeros(n) if stratum is None else stratum, "stratum", n)
    terms = [exposures] if isinstance(exposures, Exposure) else list(exposures)
    bases = [term.table() for term in terms]
    covariates = np.empty((n, 0)) if x is None else checks.matrix(x, "x", n)
    result = _fit_codes(
        np.zeros(n) if start is None else start,
        ends,
        event,
        groups + 1,
        who + 1,
        np.zeros(n) if offset is None else offset,
        np.ones(n) if weight is None else weight,
        covariates,
        people.size,
        [_records(term, people) for term in terms],
        [[cumulated(basis) for basis in bases]],
        ties,
        control,
    )
    fit = result["fits"][0]
    return WceFit(
        coefficients=fit["coefficients"],
        var=fit["var"],
        loglik=fit["loglik"],
        score=fit["score"],
        iterations=fit["iterations"],
        converged=fit["converged"],
        infinite=fit["infinite"],
        n_events=result["n_events"],
        n_event_times=result["n_event_times"],
        n_pairs=int(fit["n_pairs"]),
        covered=result["covered"],
        bases=bases,
        n_covariates=covariates.shape[1],
    )


def _codes(values: Any, arg: str, n: int) -> tuple[Any, Any]:
    values = np.asarray(values)
    if values.shape != (n,):
        raise EngineError(
            f"`{arg}` must be a vector of length {n}; its shape is {values.shape}.",
            code="bad_shape",
            arg=arg,
        )
    return np.unique(values, return_inverse=True)


def _records(term: Exposure, people: Any) -> dict[str, Any]:
    """Records of known people, with 1-based codes."""
    whose = np.asarray(term.id)
    at = np.minimum(np.searchsorted(people, whose), people.size - 1)
    known = people[at] == whose
    columns = {
        name: np.asarray(getattr(term, name)) for name in ("start", "stop", "dose")
    }
    for name, column in columns.items():
        if column.shape != whose.shape:
            raise EngineError(
                f"`{name}` of an exposure must be as long as its `id`, "
                f"{whose.size}; its shape is {column.shape}.",
                code="bad_shape",
                arg=name,
            )
    return {"subject": at[known] + 1, **{k: c[known] for k, c in columns.items()}}
