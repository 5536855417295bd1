"""The Python half of R's bridge to the engine.

R executes this file once in its own Python (it is never imported, so it leaves no
compiled file behind), and runs it as a script to compile the kernels ahead::

    python bridge.py <folder of the engine> <private cache folder>

It knows how to find the engine, how to call one function of ``vigitensor.api``
and how to make its result and its errors plain enough to cross to R; nothing else.
"""

from __future__ import annotations

import ctypes
import dataclasses
import importlib
import importlib.machinery
import importlib.util
import inspect
import os
import platform
import sys
import traceback
from collections.abc import Callable
from typing import Any

ENGINE = "vigitensor"

# What R may call, by name: handles of functions never cross.
functions: dict[str, Any] = {}


def set_environment(name: str, value: str) -> None:
    """Set a variable that Python code sees: R's own `Sys.setenv` comes too late."""
    os.environ[name] = value


def add_engine(path: str, prefix: str) -> None:
    """Make `import vigitensor` read `path` and write its bytecode below `prefix`.

    ``sys.pycache_prefix`` is switched only while a module of the engine is read: the
    compiled files of NumPy and the like stay where their installation put them, and
    the installed R package is never written to, whenever a module is imported.
    """

    class EngineLoader(importlib.machinery.SourceFileLoader):
        def get_code(self, fullname: str) -> Any:
            kept = sys.pycache_prefix
            sys.pycache_prefix = prefix
            try:
                return super().get_code(fullname)
            finally:
                sys.pycache_prefix = kept

    class EngineFinder:
        engine_path = path

        @classmethod
        def find_spec(cls, name: str, where: Any = None, target: Any = None) -> Any:
            if name.partition(".")[0] != ENGINE:
                return None
            spec = importlib.machinery.PathFinder.find_spec(
                name, [path] if where is None else where, target
            )
            if spec is not None and isinstance(
                spec.loader, importlib.machinery.SourceFileLoader
            ):
                spec.loader = EngineLoader(spec.loader.name, spec.loader.path)
            return spec

    sys.meta_path[:] = [f for f in sys.meta_path if not hasattr(f, "engine_path")]
    sys.meta_path.insert(0, EngineFinder)  # type: ignore[arg-type]


def load(path: str, module: str = ENGINE + ".api") -> Any:
    """Import the engine's only public module and make sure that it is ours."""
    api = importlib.import_module(module)
    found = os.path.realpath(os.path.dirname(api.__file__ or ""))
    if os.path.commonpath([found, os.path.realpath(path)]) != os.path.realpath(path):
        raise ImportError(
            f"another copy of the Python package {ENGINE} is loaded already"
        )
    functions.clear()
    functions.update(
        (name, f) for name, f in vars(api).items() if inspect.isfunction(f)
    )
    return api


def read_interrupts() -> Callable[[bool], bool]:
    """A function that says whether R has an interrupt pending, or (True) drops it.

    It reads the C variables of R itself; where there are none (Windows), it knows
    of no interrupt.
    """
    try:
        program = ctypes.CDLL(None)
        pending = ctypes.c_int.in_dll(program, "R_interrupts_pending")
        suspended = ctypes.c_int.in_dll(program, "R_interrupts_suspended")
    except (OSError, TypeError, ValueError):
        return lambda reset: False

    def interrupts_pending(reset: bool) -> bool:
        if suspended.value:
            return False
        if reset:
            pending.value = 0
        return pending.value != 0

    return interrupts_pending


interrupts_pending = read_interrupts()


def calm_interrupts() -> None:
    """Let reticulate 1.28 look up R's interrupts without running R code.

    Its Python handler of SIGINT asks R, in R, whether an interrupt is pending. Now
    and then R takes that interrupt in the midst of the question and jumps over
    Python's frames: R crashes soon after. Later versions have no such handler.
    """
    signals = sys.modules.get("rpytools.signals")
    if os.name == "posix" and hasattr(signals, "_callback"):
        signals._callback = interrupts_pending  # type: ignore[union-attr]


def missing(packages: list[str]) -> list[str]:
    """Packages that this Python does not have; found without importing them."""
    return [p for p in packages if importlib.util.find_spec(p) is None]


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that the engine rests on."""
    from importlib import metadata

    found = {"python": platform.python_version()}
    for package in ("numpy", "numba", "llvmlite", "threadpoolctl"):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "none"
    return found


def argument_kinds(name: str) -> dict[str, list[str]]:
    """All arguments of an api function; those that are numbers or settings.

    R has no scalars: the annotations in ``api.py`` say which arguments are numbers.
    """
    parameters = inspect.signature(functions[name]).parameters
    kinds: dict[str, list[str]] = {
        "names": list(parameters),
        "number": [],
        "settings": [],
    }
    for argument, parameter in parameters.items():
        note = parameter.annotation
        note = note if isinstance(note, str) else getattr(note, "__name__", str(note))
        note = note.replace(" ", "").replace("|None", "")
        if note in ("int", "float", "bool"):
            kinds["number"].append(argument)
        elif argument == "control" or note.split("[")[0] in ("dict", "Dict", "Mapping"):
            kinds["settings"].append(argument)
    return kinds


def plain(value: Any) -> Any:
    """Make a result of dicts, lists, strings, numbers and arrays that R can hold.

    Integers wider than 32 bits become doubles (reticulate would turn 2**40 into 0).
    """
    import numpy as np

    if isinstance(value, np.ndarray):
        if value.ndim == 0:
            return plain(value.item())
        narrow = value.dtype.kind in "iu" and value.dtype.itemsize < 4
        if narrow or value.dtype == np.int32:
            return value.astype(np.int32, copy=False)
        if value.dtype.kind in "iuf":
            return value.astype(np.float64, copy=False)
        return value
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return value if abs(value) < 2**31 else float(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = dataclasses.fields(value)
        return {f.name: plain(getattr(value, f.name)) for f in fields}
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return plain(value._asdict())
    if isinstance(value, (list, tuple)):
        items = [plain(v) for v in value]
        # One wide integer makes the whole list doubles.
        if any(type(v) is float for v in items):
            items = [float(v) if type(v) is int else v for v in items]
        return items
    return value


def describe_error(error: BaseException) -> dict[str, Any]:
    """What R needs to signal an error of its own."""
    kinds = [c.__name__ for c in type(error).__mro__]
    ours = "EngineError" in kinds
    code = str(getattr(error, "code", None) or "input") if ours else ""
    if isinstance(error, MemoryError):
        ours, code = True, "memory"
    arg = getattr(error, "arg", None) if ours else None
    trace = error.__traceback__
    return {
        "ours": ours,
        "code": code,
        "arg": None if arg is None else str(arg),
        "type": type(error).__name__,
        "message": str(error),
        "trace": "".join(traceback.format_exception(type(error), error, trace)),
    }


def call(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Call a function with named arguments; errors come back as data.

    A KeyboardInterrupt passes through: reticulate makes it an interrupt of R. One
    that came while R was sending the arguments is still to be answered.
    """
    if interrupts_pending(False):
        interrupts_pending(True)
        raise KeyboardInterrupt
    try:
        return {"ok": True, "value": plain(functions[name](**arguments))}
    except (Exception, SystemExit) as error:
        if not is_interrupt(error):
            return {"ok": False, "error": describe_error(error)}
    raise KeyboardInterrupt


def quick(words: str, numbers: list[float], *data: Any) -> dict[str, Any]:
    """A small symbolic reduction: few arguments cross, and no names."""
    arguments = {"words": words, "numbers": numbers, "data": data}
    return call("symbolic_quick", arguments)


def is_interrupt(error: BaseException) -> bool:
    """Did this error arise while reticulate was handling Ctrl-C?

    The handler of reticulate 1.28 asks R whether an interrupt is pending; R may
    answer by interrupting that very question, which Python sees as an "unknown
    exception" raised inside the handler.
    """
    frames = traceback.extract_tb(error.__traceback__)
    return any(f.name == "_signal_handler" for f in frames)


def main() -> None:
    """Compile all kernels into the cache of R's engine."""
    path, cache = sys.argv[1:3]
    os.environ["VIGITENSOR_CACHE_DIR"] = cache
    add_engine(path, os.path.join(cache, "pycache"))
    load(path).warm_up()


if __name__ == "__main__":
    main()
