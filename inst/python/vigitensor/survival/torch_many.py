"""Passes over the data for many replicates, on a device.

The replicates of a group are the columns of every array, and one call queues the
whole pass. The host waits once per pass, for log-likelihoods, scores and, where
they are asked for, informations; small matrices are its own work.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from .._typing import Floats
from ..errors import EngineError
from .many_pass import Replicate
from .problem import Problem
from .torch_device import engine_threads
from .torch_fit import TorchEngine, split_terms

# Replicates worked on together: enough to fill a device, if there is memory.
_TOGETHER = {"cpu": 16, "cuda": 256}


class TorchPasses:
    """As ``many_pass.Passes``; as many replicates at a time as memory allows."""

    def __init__(self, engine: TorchEngine, problem: Problem, weights: Floats) -> None:
        self.engine, self.problem = engine, problem
        self.weights = np.asarray(weights, np.float64)
        self.together = max(1, min(_TOGETHER[engine.kind], weights.shape[0]))
        ones = np.ones(problem.weight.size)
        while True:
            try:
                with engine_threads(engine.device):
                    self._model = engine.model(problem, ones[:, None], self.together)
                break
            except EngineError as fault:
                if fault.code != "device_memory" or self.together == 1:
                    raise
                self.together //= 2
        self._case = engine.put(problem.weight)
        self._subject = engine.put(problem.subject)
        self._group: tuple[int, ...] = ()
        self._whole: Any = None
        self._at: tuple[int, ...] = ()

    def evaluate(self, replicates: Sequence[Replicate], informed: bool) -> None:
        """See :class:`vigitensor.survival.many_pass.Passes`."""
        from .torch_passes import newton_terms, score_terms

        p = self.problem.n_par
        with engine_threads(self.engine.device):
            self._choose(replicates)
            beta = self.engine.put(np.stack([r.beta for r in replicates]))
            terms = newton_terms if informed else score_terms
            found = terms(self._model, beta).cpu().numpy()
        for r, numbers in zip(replicates, found):
            if informed:
                r.loglik, moments = split_terms(numbers, p)
                r.score, r.info = moments.score, moments.info
            else:
                r.loglik, r.score = float(numbers[0]), numbers[1:]

    def informations(self, replicates: Sequence[Replicate]) -> None:
        """They came with the values."""

    def _choose(self, replicates: Sequence[Replicate]) -> None:
        """Let the model have the weights of these replicates."""
        wanted = tuple(r.index for r in replicates)
        if wanted == self._at:
            return
        if not set(wanted) <= set(self._group):
            self._group, self._whole = wanted, self._bring(replicates)
        columns = [self._group.index(k) for k in wanted]
        self._model = replace(
            self._model, weights=self._whole.columns(self.engine.put(columns))
        )
        self._at = wanted

    def _bring(self, replicates: Sequence[Replicate]) -> Any:
        from .torch_model import Weights, log_weights

        put, risks = self.engine.put, [r.risk for r in replicates]
        drawn = put(self.weights[[r.index for r in replicates]].T)
        return Weights(
            log=log_weights(self._case, drawn, self._subject),
            death=put(np.stack([risk.death_weight for risk in risks], axis=1)),
            fraction=put(np.stack([risk.fraction for risk in risks], axis=1)),
            mean=put(np.stack([risk.mean_weight for risk in risks], axis=1)),
        )
