"""Problems on a device: B sets of weights for the same rows and the same basis."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from .._typing import Floats
from .riskset import RiskSet
from .torch_features import Basis
from .torch_layout import Layout
from .torch_ops import segment_sum, with_nothing
from .torch_segments import Placed


@dataclass(frozen=True)
class Weights:
    """B weights of every row, and what they make of the tied deaths."""

    log: Placed  # (n + 1, B), the last row -inf
    death: Placed  # (deaths, B)
    fraction: Placed  # (deaths, B) l/d of Efron among those with a weight
    mean: Placed  # (events, B) mean weight of the tied deaths, 0 where none counts

    @property
    def n_problems(self) -> int:
        """Problems solved together."""
        return int(self.log.shape[1])


@dataclass(frozen=True)
class Model:
    """One design on the device: a layout, a basis, weights."""

    layout: Layout
    basis: Basis
    weights: Weights
    death_x: Tensor  # (deaths, p)
    features: tuple[Tensor | None, ...]  # per chunk; None: made when needed
    empty: tuple[Tensor | None, ...]  # per chunk, what no pair fills
    keep_risks: bool  # from the first pass to the second
    at_once: int  # rows of covariates to gather together

    @property
    def n_par(self) -> int:
        """Number of parameters of one problem."""
        return int(self.death_x.shape[1])

    @property
    def n_cov(self) -> int:
        """Number of covariates."""
        return int(self.layout.z.shape[1])

    def over_deaths(self, x: Tensor) -> Tensor:
        """Sums (events, ...) over the deaths of each event time."""
        return segment_sum(self.layout.deaths.to_events, with_nothing(x))


@dataclass(frozen=True)
class Risks:
    """Linear predictors, and how far risks are lowered at each event time."""

    coef: Tensor  # (B, features)
    lin: Tensor  # (n + 1, B) with the log weight, less the largest
    row: Tensor  # (n + 1, B) exp(lin)
    down: Tensor  # (event blocks, length, B)
    factor: Tensor  # (events, B) exp(-down)

    def scaled(self, spread: Tensor) -> Tensor:
        """Times the factor, which may be infinite where nobody is."""
        factor = self.factor.reshape(*self.factor.shape, *(1,) * (spread.dim() - 2))
        return (spread * factor).masked_fill_(spread == 0, 0.0)


def tied_deaths(
    risk: RiskSet, weight: Floats, ties: str | None = None
) -> tuple[Floats, Floats]:
    """Shares l/d (deaths, B) and mean weights (events, B) for weights (deaths, B).

    A death of weight 0 is none. ``ties``: as the risk set has them by default.
    """
    begin, at = risk.death_begin, risk.death_event
    counts = (weight > 0).astype(float)
    size = np.maximum(np.add.reduceat(counts, begin, axis=0), 1)
    fraction = np.zeros(weight.shape)
    if risk.tied if ties is None else ties == "efron":
        before = np.cumsum(counts, axis=0) - counts
        fraction = (before - before[begin][at]) / size[at]
    return fraction, np.add.reduceat(weight, begin, axis=0) / size


def weights_of(risk: RiskSet, weight: Floats) -> Weights:
    """Weights (n, B) of the rows, still on the host, as NumPy arrays."""
    death = weight[risk.death_row]
    fraction, mean = tied_deaths(risk, death)
    with np.errstate(divide="ignore"):
        log = np.log(np.append(weight, np.zeros((1, weight.shape[1])), axis=0))
    return Weights(log, death, fraction, mean)
