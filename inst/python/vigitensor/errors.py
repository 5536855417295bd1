"""The one exception of the engine."""

from __future__ import annotations

from typing import Any


class EngineError(ValueError):
    """An input the engine cannot use.

    Parameters
    ----------
    message : str
        What was expected, what came, what to do. Never an id, a date or a
        value of a patient: positions and counts only.
    code : str
        A stable word for programs, such as ``"bad_shape"``; the R package
        turns it into a condition class.
    arg : str or None
        Name of the argument at fault.
    """

    def __init__(self, message: str, *, code: str, arg: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.arg = arg

    def __reduce__(self) -> Any:
        """From a worker to the process that asked it."""
        return _again, (str(self), self.code, self.arg)


def _again(message: str, code: str, arg: str | None) -> EngineError:
    return EngineError(message, code=code, arg=arg)
