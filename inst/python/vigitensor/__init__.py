"""vigitensor: weighted cumulative exposure Cox models on interval records.

From Python, start with :func:`fit_wce` and :class:`Exposure`. The R package of
the same name calls :mod:`vigitensor.api`.
"""

from __future__ import annotations

from ._version import __version__
from .device import get_threads, set_threads
from .errors import EngineError
from .wce import Exposure, WceFit, fit_wce

__all__ = [
    "EngineError",
    "Exposure",
    "WceFit",
    "__version__",
    "fit_wce",
    "get_threads",
    "set_threads",
]
