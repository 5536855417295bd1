"""Compiled sums loaded without Numba: the first result of a session waits less.

Importing Numba and its types takes half a second, reading machine code a few
milliseconds. When a kernel has been compiled, its code is written beside its text
without the parts that talk to Python; later sessions hand it to LLVM (llvmlite) and
call it by address. Where anything is not as expected (another version, another
system, a function that the process lacks), nothing is written or read, and Numba
does the work as before: the machine code is the same.

Numba's convention: f(result, error, arguments), a whole number of 0 if all is well;
an array is seven or more words: owner, owner, size, bytes of a number, address,
shape and strides.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Kernel = Callable[..., Any]
_FORM = 1  # of the file
_HERE = sys.platform == "linux" and sys.maxsize > 2**32
_engines: list[Any] = []  # they own the code


def save(run: Any, path: Path) -> None:
    """Write the machine code of a kernel with one signature, if that can be done."""
    if not _HERE:
        return
    try:
        content = _code_of(run)
    except Exception:  # Numba's inside: any version may differ
        return
    if content is None:
        return
    try:
        handle, draft = tempfile.mkstemp(dir=path.parent, suffix=".draft")
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.replace(draft, path)
    except OSError:
        return


def _code_of(run: Any) -> bytes | None:
    import llvmlite.binding as llvm

    (compiled,) = run.overloads.values()
    name = compiled.fndesc.llvm_func_name
    module = llvm.parse_assembly(str(compiled.library._final_module))
    # What nothing inside refers to goes: all but the function itself.
    for item in [*module.functions, *module.global_variables]:
        if item.name != name and not item.is_declaration:
            item.linkage = "internal"
    passes = llvm.create_new_module_pass_manager()
    passes.add_global_dead_code_eliminate_pass()
    machine = compiled.library.codegen._tm
    passes.run(module, llvm.create_pass_builder(machine, _options(llvm)))
    needs = [f.name for f in module.functions if f.is_declaration]
    needs = [f for f in needs if not f.startswith("llvm.")]
    if not _known(llvm, needs) or any(
        v.is_declaration for v in module.global_variables
    ):
        return None
    _, *words = module.get_function(name).global_value_type.elements
    given = [
        (np.dtype(str(kind.dtype)).char, kind.ndim) if hasattr(kind, "ndim") else None
        for kind in compiled.fndesc.argtypes
    ]
    code = machine.emit_object(module)
    head = {
        "form": _FORM, "name": name, "needs": needs, "given": given,
        "words": [str(word) for word in words], "digest": _digest(code),
    }  # fmt: skip
    return json.dumps(head).encode() + b"\n" + code


def _digest(code: bytes) -> str:
    return hashlib.sha256(code).hexdigest()


def _options(llvm: Any) -> Any:
    return llvm.create_pipeline_tuning_options(speed_level=0)


def _known(llvm: Any, names: list[str]) -> bool:
    """Does the process have these functions? LLVM would end it otherwise."""
    process = ctypes.CDLL(None)
    return all(hasattr(process, name) for name in names)


def load(path: Path) -> Kernel | None:
    """The kernel whose code is in a file; None where it cannot be used."""
    if not _HERE:
        return None
    try:
        line, _, code = path.read_bytes().partition(b"\n")
        head = json.loads(line)
        import llvmlite.binding as llvm

        # A damaged file would end the process.
        if head["form"] != _FORM or head["digest"] != _digest(code):
            return None
        if not _known(llvm, head["needs"]):
            return None
        engine = _engine(llvm)
        engine.add_object_file(llvm.ObjectFileRef.from_data(code))
        engine.finalize_object()
        address = engine.get_function_address(head["name"])
    except Exception:  # a draft, an old file, another llvmlite
        return None
    kinds: list[Any] = [_WORDS.get(word) for word in head["words"]]
    if not address or None in kinds:
        return None
    given = [None if one is None else tuple(one) for one in head["given"]]
    call = ctypes.CFUNCTYPE(ctypes.c_int32, *kinds)(address)
    return functools.partial(_call, call, given)


_WORDS: dict[str, Any] = {
    "ptr": ctypes.c_void_p, "i64": ctypes.c_int64, "i32": ctypes.c_int32,
}  # fmt: skip


def _engine(llvm: Any) -> Any:
    """A place for one object; it lives as long as the process."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    target = llvm.Target.from_triple(llvm.get_process_triple())
    machine = target.create_target_machine(
        reloc="static" if target.name.startswith("x86") else "default",
        codemodel="jitdefault", jit=True,
    )  # fmt: skip
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
    _engines.append(engine)
    return engine


def _call(call: Any, given: list[Any], *args: Any) -> None:
    """The kernel; other threads go on meanwhile."""
    # Room for a result that there is none of, and for an error.
    room = (ctypes.c_void_p * 2)()
    here = ctypes.addressof(room)
    words: list[Any] = [here, here + 8]
    if len(args) != len(given):
        raise TypeError(f"A kernel takes {len(given)} arguments, not {len(args)}.")
    for arg, kind in zip(args, given):
        if kind is None:
            words.append(arg)
            continue
        if (arg.dtype.char, arg.ndim) != kind or not arg.flags.c_contiguous:
            raise TypeError(f"A kernel takes arrays of {kind}, contiguous.")
        where = arg.__array_interface__["data"][0]
        words += [None, None, arg.size, arg.itemsize, where]
        words += [*arg.shape, *arg.strides]
    status = call(*words)
    if status != 0:
        raise RuntimeError(f"A kernel ended with {status}.")
