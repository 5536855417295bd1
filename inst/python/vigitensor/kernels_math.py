"""Scalar functions and small loops that kernels are made of.

``exp`` is our own: calls of the C library stop the compiler from using vector
instructions. Cody-Waite reduction x = k log 2 + r, |r| <= log(2)/2, then a
minimax polynomial for (e^r - 1 - r)/r^2 of degree 10 (error 2e-19), all of it
without a branch. At most 2 ulp over the whole range, subnormal results
included; exp(inf) = inf, exp(-inf) = 0, exp(nan) = nan.

Kernels are compiled when their module is imported (they have signatures), kept
in the cache, and hold neither the GIL nor reference counts: they allocate
nothing, so slices of arrays cost no atomic operation. Scratch comes in as an
argument.

Fast-math flags: only ``contract`` where the order of operations matters (the
reduction of ``exp`` relies on it), ``reassoc`` in sums alone.
"""

from __future__ import annotations

from typing import Any

from numba import njit, types
from numba.extending import intrinsic

f8 = types.float64
i4 = types.int32
i8 = types.int64

# Arrays that a kernel reads (R's arrays are read-only) and those it fills.
F8R = types.Array(f8, 1, "C", readonly=True)
F8R2 = types.Array(f8, 2, "C", readonly=True)
I4R = types.Array(i4, 1, "C", readonly=True)
I4R2 = types.Array(i4, 2, "C", readonly=True)
I8R = types.Array(i8, 1, "C", readonly=True)
F8W = types.Array(f8, 1, "C")
F8W2 = types.Array(f8, 2, "C")
I4W = types.Array(i4, 1, "C")
I8W = types.Array(i8, 1, "C")

_COMMON: dict[str, Any] = {"nogil": True, "_nrt": False}


def kernel(signature: Any) -> Any:
    """Decorator of what Python calls."""
    return njit(signature, cache=True, **_COMMON)


# What kernels call: plain, with fused multiply-add, and sums in any order.
inner = njit(**_COMMON)
inner_fused = njit(fastmath={"contract"}, **_COMMON)
inner_sum = njit(fastmath={"reassoc", "contract", "nsz"}, **_COMMON)

# 1.5 * 2^52: adding it leaves the nearest whole number in the low bits.
_MAGIC = 6755399441055744.0
_LOG2_E = 1.4426950408889634
_LN2_HIGH = 6.93147180369123816490e-01
_LN2_LOW = 1.90821492927058770002e-10
# Of r^2, r^3, ... r^12 in the polynomial.
EXP_COEFFICIENTS = (
    0.5,
    0.16666666666666666,
    0.04166666666666667,
    0.008333333333326136,
    0.0013888888888883748,
    0.00019841269874820627,
    2.4801587325547743e-05,
    2.7557255400206422e-06,
    2.75572736431103e-07,
    2.5105217004720745e-08,
    2.0914686968086876e-09,
)
_C2, _C3, _C4, _C5, _C6, _C7, _C8, _C9, _C10, _C11, _C12 = EXP_COEFFICIENTS


@intrinsic
def _float_of_bits(typingctx, bits):
    def codegen(context, builder, signature, args):
        return builder.bitcast(args[0], context.get_value_type(f8))

    return f8(i8), codegen


@intrinsic
def _bits_of_float(typingctx, x):
    def codegen(context, builder, signature, args):
        return builder.bitcast(args[0], context.get_value_type(i8))

    return i8(f8), codegen


@inner_fused
def exp(x):
    x = 710.0 if x > 710.0 else x
    x = -750.0 if x < -750.0 else x
    shifted = x * _LOG2_E + _MAGIC
    k = shifted - _MAGIC
    r = (x - k * _LN2_HIGH) - k * _LN2_LOW
    r2 = r * r
    r4 = r2 * r2
    q = ((_C2 + r * _C3) + r2 * (_C4 + r * _C5)) + r4 * (
        (_C6 + r * _C7) + r2 * (_C8 + r * _C9) + r4 * ((_C10 + r * _C11) + r2 * _C12)
    )
    p = 1.0 + (r + r2 * q)
    # 2^k in two factors, so that neither leaves the normal range.
    off = 60 if x < 0.0 else -60
    back = 8.673617379884035e-19 if x < 0.0 else 1.152921504606847e18
    scale = _float_of_bits((_bits_of_float(shifted) + (1023 + off)) << 52)
    return (p * scale) * back


@kernel(types.void(F8R, F8W))
def exp_array(x, out):
    for i in range(x.size):
        out[i] = exp(x[i])


@inner_sum
def dot(a, b):
    total = 0.0
    for i in range(a.size):
        total += a[i] * b[i]
    return total


@inner_sum
def total_of(a):
    total = 0.0
    for i in range(a.size):
        total += a[i]
    return total


@inner_fused
def add_scaled(out, alpha, x):
    """out += alpha x, same length."""
    for i in range(out.size):
        out[i] += alpha * x[i]
