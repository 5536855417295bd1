"""Version of the engine; the R package's DESCRIPTION carries the same one."""

__version__ = "0.1.0"
