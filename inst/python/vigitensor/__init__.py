"""vigitensor: weighted cumulative exposure Cox models on interval records."""

from __future__ import annotations

from ._version import __version__

__all__ = ["__version__"]
