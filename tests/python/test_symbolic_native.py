"""Machine code of sums without Numba: the same bits, or nothing."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import vigitensor
from vigitensor import cache
from vigitensor.symbolic import codegen, native
from vigitensor.symbolic.lower import lower
from vigitensor.symbolic.tables import Problem, tables_of
from vigitensor.symbolic.tree import apply, variable

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="used on Linux only"
)
N, M = 5, 1500
X, Y = variable("i", 0, 2), variable("j", 1, 2)
FORMULAS = {
    "plain": apply("exp", -apply("sum", apply("square", X - Y))),
    "of the C library": apply("tan", X * Y) + apply("powf", apply("abs", X), Y),
}


def kernels(root, dtype, folder):
    """The program, its kernel by Numba, and from a file."""
    program = lower(root)
    text = codegen.source(program.root, dtype, "sum")
    codegen._folder()
    name = "n_" + str(abs(hash(text)))
    path = codegen._folder() / f"{name}.py"
    codegen._write(path, text)
    run = cache.load_kernels(f"{codegen._PACKAGE}.{name}").run
    native.save(run, folder / "kernel.code")
    path.unlink()
    return program, run, folder / "kernel.code"


def arguments(program, dtype):
    rng = np.random.default_rng(5)
    data = [rng.normal(size=(n, 2)).astype(dtype) for n in (N, M)]
    x, y, p = tables_of(program, Problem(data, [], N, M, np.dtype(dtype)))
    blocks = np.array([[0, N, 0, 700], [0, N, 700, M]])
    return p, x, y, np.empty((0, 0, 0), dtype), blocks, 0


@pytest.mark.parametrize("name", sorted(FORMULAS))
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_code_gives_the_same_bits(name, dtype, tmp_path):
    program, run, path = kernels(FORMULAS[name], dtype, tmp_path)
    again = native.load(path)
    assert again is not None
    args = arguments(program, dtype)
    found = [np.zeros((program.root.dim, N)) for _ in range(2)]
    run(*args, found[0])
    again(*args, found[1])
    assert np.isfinite(found[0]).all() and found[0].any()
    np.testing.assert_array_equal(*found)
    with pytest.raises(TypeError):
        again(*args, found[0].astype(np.float32))
    with pytest.raises(TypeError):
        again(*args, np.zeros((program.root.dim, 2 * N))[:, ::2])
    with pytest.raises(TypeError):
        again(*args)


def test_a_file_that_is_something_else_is_left_alone(tmp_path):
    _, _, path = kernels(FORMULAS["plain"], "float64", tmp_path)
    whole = path.read_bytes()
    head, _, code = whole.partition(b"\n")
    for content in (
        b"", b"nothing", whole[:300], head.replace(b'"form": 1', b'"form": 0') + code,
        head.replace(b'"needs": []', b'"needs": ["no_such_function"]') + b"\n" + code,
        whole[:-9] + bytes([whole[-9] ^ 255]) + whole[-8:],
    ):  # fmt: skip
        path.write_bytes(content)
        assert native.load(path) is None
    assert native.load(tmp_path / "absent.code") is None


def test_a_later_session_does_without_numba(tmp_path):
    code = (
        "import sys, numpy as np\n"
        "from vigitensor import api\n"
        "x = np.linspace(0, 1, 300).reshape(100, 3)\n"
        "f = ['exp', ['neg', ['sqdist', ['var', 0], ['var', 1]]]]\n"
        "print(api.symbolic_reduce(f, [x, x], 'ij')['value'].sum().hex(),\n"
        "      'numba' in sys.modules)\n"
    )
    package = str(Path(vigitensor.__file__).parents[1])
    env = {
        **os.environ, "PYTHONPATH": package, "VIGITENSOR_CACHE_DIR": str(tmp_path)
    }  # fmt: skip
    out = [
        subprocess.run(
            [sys.executable, "-c", code], env=env, capture_output=True, text=True,
            check=True,
        ).stdout.split()
        for _ in range(2)
    ]  # fmt: skip
    assert out[0][0] == out[1][0]
    assert [session[1] for session in out] == ["True", "False"]
