"""The one exception of the engine."""

from __future__ import annotations


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
