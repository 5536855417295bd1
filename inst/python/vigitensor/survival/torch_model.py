"""Problems on a device: B sets of weights for the same rows and the same basis."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .._typing import Floats
from .many_pass import tied_deaths
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

    def columns(self, which: Tensor) -> Weights:
        """Those of some of the problems."""
        return Weights(
            self.log.index_select(1, which),
            self.death.index_select(1, which),
            self.fraction.index_select(1, which),
            self.mean.index_select(1, which),
        )


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


def log_weights(case: Tensor, drawn: Tensor, subject: Tensor) -> Tensor:
    """Log of case weights (n,) times those of the subjects (subjects, B)."""
    weight = drawn.index_select(0, subject).mul_(case[:, None])
    return with_nothing(weight.log_(), -torch.inf)


def weights_of(risk: RiskSet, weight: Floats) -> Weights:
    """Weights (n, B) of the rows, still on the host, as NumPy arrays."""
    death = weight[risk.death_row]
    fraction, mean = tied_deaths(risk, death, "efron" if risk.tied else "breslow")
    with np.errstate(divide="ignore"):
        log = np.log(np.append(weight, np.zeros((1, weight.shape[1])), axis=0))
    return Weights(log, death, fraction, mean)
