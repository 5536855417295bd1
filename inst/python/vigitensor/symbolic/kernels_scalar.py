"""Scalar functions that generated kernels are made of, in both precisions.

``exp`` and ``log`` are branch-free polynomials, so that loops vectorise:

exp, single: Cody-Waite reduction as in ``kernels_math``, degree 5, 2 ulp.
exp, double: the same in fewer steps, 2 ulp: twice the polynomial, of degree 11, times
2^(k - 1), which is in range for every finite result; results below 3.4e-308 are 0,
where that of ``kernels_math`` goes on to 5e-324 (a third slower here).
log: x = m 2^k with m in [sqrt(1/2), sqrt(2)), f = m - 1, s = f / (2 + f); then
log m = f - s (f - R(s^2)), R from the series of atanh, so that f stays exact; 2 ulp.
All have the right infinities, zeros and NaN; log takes subnormal numbers.

``fast_loops()`` marks a kernel: its arrays do not overlap (no tests before loops),
and vectors of 512 bits are welcome where the processor has them (compilers prefer
256 otherwise).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

f4 = types.float32
f8 = types.float64
i4 = types.int32
i8 = types.int64

_COMMON: dict[str, Any] = {"nogil": True, "_nrt": False, "error_model": "numpy"}


def kernel(signature: Any) -> Any:
    """Decorator of what Python calls."""
    return njit(signature, cache=True, fastmath={"contract"}, **_COMMON)


_inner = njit(fastmath={"contract"}, **_COMMON)
_inner_exact = njit(**_COMMON)
_inner_sum = njit(fastmath={"reassoc", "contract", "nsz"}, **_COMMON)


@intrinsic
def fast_loops(typingctx):
    """Mark the kernel that calls it; a loop's code then needs no tests."""

    def codegen(context, builder, signature, args):
        function = builder.function
        # llvmlite knows a few attributes only; LLVM knows any.
        set.add(function.attributes, '"prefer-vector-width"="512"')
        for arg in function.args[2:]:  # the first two are Numba's own
            if isinstance(arg.type, ir.PointerType):
                arg.add_attribute("noalias")
        return context.get_dummy_value()

    return types.void(), codegen


def _address(context, builder, array_type, array, places):
    """Pointer into a contiguous array; places are not checked."""
    made = context.make_array(array_type)(context, builder, array)
    where = places[0]
    for axis, place in enumerate(places[1:], start=1):
        size = builder.extract_value(made.shape, axis)
        where = builder.mul(where, size, flags=("nsw",))
        where = builder.add(where, place, flags=("nsw",))
    return builder.gep(made.data, [where])


@intrinsic
def at2(typingctx, a, k, j):
    """a[k, j] without a slice: quick to compile, and no test of signs."""

    def codegen(context, builder, signature, args):
        return builder.load(_address(context, builder, a, args[0], args[1:]))

    return a.dtype(a, i8, i8), codegen


@intrinsic
def at3(typingctx, a, k, i, j):
    """a[k, i, j], likewise."""

    def codegen(context, builder, signature, args):
        return builder.load(_address(context, builder, a, args[0], args[1:]))

    return a.dtype(a, i8, i8, i8), codegen


@intrinsic
def put3(typingctx, a, k, i, j, value):
    """a[k, i, j] = value, likewise."""

    def codegen(context, builder, signature, args):
        where = _address(context, builder, a, args[0], args[1:4])
        builder.store(args[4], where)
        return context.get_dummy_value()

    return types.void(a, i8, i8, i8, a.dtype), codegen


def _bitcast(source: Any, target: Any) -> Any:
    @intrinsic
    def cast(typingctx, x):
        def codegen(context, builder, signature, args):
            return builder.bitcast(args[0], context.get_value_type(target))

        return target(source), codegen

    return cast


_LN2_HIGH = 6.93147180369123816490e-01
_LN2_LOW = 1.90821492927058770002e-10
_f4_of = _bitcast(i4, f4)
_i4_of = _bitcast(f4, i4)
_f8_of = _bitcast(i8, f8)
_i8_of = _bitcast(f8, i8)

_E_TOP, _E_LOW = np.float32(89.0), np.float32(-105.0)
_E_MAGIC = np.float32(12582912.0)  # 1.5 * 2^23
_E_LOG2_E = np.float32(1.4426950408889634)
_E_LN2_HIGH = np.float32(0.693145751953125)  # 15 bits, so that k times it is exact
_E_LN2_LOW = np.float32(1.42860682030941723212e-6)
_E0 = np.float32(0.5)
_E1 = np.float32(0.16666666681623232)
_E2 = np.float32(0.041666464925285904)
_E3 = np.float32(0.0083333109254809)
_E4 = np.float32(0.0013933649996309251)
_E5 = np.float32(0.00019890990824673654)
_E_ONE, _E_ZERO = np.float32(1.0), np.float32(0.0)
_E_DOWN, _E_UP = np.float32(2.0**-26), np.float32(2.0**26)
_I26, _I127, _I23 = np.int32(26), np.int32(127), np.int32(23)


@_inner
def exp_f4(x):
    x = _E_TOP if x > _E_TOP else x
    x = _E_LOW if x < _E_LOW else x
    shifted = x * _E_LOG2_E + _E_MAGIC
    k = shifted - _E_MAGIC
    r = (x - k * _E_LN2_HIGH) - k * _E_LN2_LOW
    r2 = r * r
    q = (_E0 + r * _E1) + r2 * ((_E2 + r * _E3) + r2 * (_E4 + r * _E5))
    p = _E_ONE + (r + r2 * q)
    off = _I26 if x < _E_ZERO else -_I26
    back = _E_DOWN if x < _E_ZERO else _E_UP
    bits = np.int32(_i4_of(shifted) + np.int32(_I127 + off))
    scale = _f4_of(np.int32(bits << _I23))
    return (p * scale) * back


# 2 / n! but for the last digits: (e^r - 1 - r) / r^2 to 2.5e-17 for |r| <= log(2) / 2.
_D0, _D1 = 2 * 0.5, 2 * 0.16666666666666666
_D2, _D3 = 2 * 0.041666666666651364, 2 * 0.008333333333332157
_D4, _D5 = 2 * 0.0013888888905871347, 2 * 0.0001984126985433077
_D6, _D7 = 2 * 2.4801536409064087e-05, 2 * 2.7557280082684685e-06
_D8, _D9 = 2 * 2.761379555451986e-07, 2 * 2.509554598170022e-08
# 1.5 * 2^52 leaves k in the low bits, 1022 makes it the exponent of 2^(k - 1).
_D_MAGIC = 6755399441055744.0 + 1022.0


@_inner
def exp_f8(x):
    low = x < -708.0
    x = 710.0 if x > 710.0 else x
    shifted = x * 1.4426950408889634 + _D_MAGIC
    k = shifted - _D_MAGIC
    r = (x - k * _LN2_HIGH) - k * _LN2_LOW
    r2 = r * r
    q = (_D4 + r * _D5) + r2 * ((_D6 + r * _D7) + r2 * (_D8 + r * _D9))
    q = (_D0 + r * _D1) + r2 * ((_D2 + r * _D3) + r2 * q)
    p = 2.0 + r * (2.0 + r * q)
    scale = _f8_of(_i8_of(shifted) << 52)
    return 0.0 if low else p * scale


_L_ZERO, _L_ONE, _L_TWO = np.float32(0.0), np.float32(1.0), np.float32(2.0)
_L_TINY, _L_GROW = np.float32(2.0**-126), np.float32(2.0**24)
_L_24, _L_INF, _L_NAN = np.float32(24.0), np.float32(np.inf), np.float32(np.nan)
_L0 = np.float32(0.6666666655404201)
_L1 = np.float32(0.4000012221181065)
_L2 = np.float32(0.28550778633191964)
_L3 = np.float32(0.233316144718435)
_L_HALF_BITS = np.int32(0x3F3504F3)  # sqrt(1/2)
_L_MASK = np.int32(0x007FFFFF)


@_inner
def log_f4(x):
    tiny = x < _L_TINY
    y = x * _L_GROW if tiny else x
    bits = np.int32(_i4_of(y) - _L_HALF_BITS)
    k = np.int32(bits >> _I23)
    m = _f4_of(np.int32(np.int32(bits & _L_MASK) + _L_HALF_BITS))
    e = np.float32(k) - (_L_24 if tiny else _L_ZERO)
    f = m - _L_ONE
    s = f / (_L_TWO + f)
    z = s * s
    z2 = z * z
    tail = z * ((_L0 + z * _L1) + z2 * (_L2 + z * _L3))
    out = (f - (s * (f - tail) - e * _E_LN2_LOW)) + e * _E_LN2_HIGH
    out = x if x == _L_INF else out
    out = -_L_INF if x == _L_ZERO else out
    return out if x >= _L_ZERO else _L_NAN


_M_HALF_BITS = 0x3FE6A09E667F3BCD  # sqrt(1/2)
_M_MASK = 0x000FFFFFFFFFFFFF
_M_TINY = 2.0**-1022


@_inner
def log_f8(x):
    tiny = x < _M_TINY
    y = x * 18014398509481984.0 if tiny else x
    bits = _i8_of(y) - _M_HALF_BITS
    k = bits >> 52
    m = _f8_of((bits & _M_MASK) + _M_HALF_BITS)
    # A whole number to a float by its bits: the instruction is not everywhere.
    e = _f8_of(k + 0x4338000000000000) - 6755399441055744.0
    e = e - (54.0 if tiny else 0.0)
    f = m - 1.0
    s = f / (2.0 + f)
    z = s * s
    z2 = z * z
    tail = z * (
        (
            (0.6666666666666666 + z * 0.40000000000000885)
            + z2 * (0.28571428570799784 + z * 0.22222222392581045)
        )
        + (z2 * z2)
        * (
            (0.18181795547521137 + z * 0.15386244737621665)
            + z2 * (0.13268638369266825 + z * 0.13088034850927555)
        )
    )
    out = (f - (s * (f - tail) - e * _LN2_LOW)) + e * _LN2_HIGH
    out = x if x == np.inf else out
    out = -np.inf if x == 0.0 else out
    return out if x >= 0.0 else np.nan


@_inner_sum
def plus(a, b):
    """a + b, in any order within a sum."""
    return a + b


@intrinsic
def smaller(typingctx, a, b):
    """The smaller of two numbers that are not NaN; folds vectorise."""

    def codegen(context, builder, signature, args):
        # The choice has to carry the flags too, or LLVM takes numbers one by one.
        flags = ("nnan", "nsz")
        less = builder.fcmp_ordered("<", *args, flags=flags)
        return builder.select(less, *args, flags=flags)

    return a(a, a), codegen


@_inner_exact
def maximum(a, b):
    return a if a >= b else b


@_inner_exact
def minimum(a, b):
    return a if a <= b else b


@_inner_exact
def power(a, b):
    return a**b


@_inner
def sinxratio_f8(a):
    square = a * a
    if abs(a) < 0.1:
        return -0.3333333333333333 + square * (
            0.03333333333333333
            - square * (0.0011904761904761906 - square * 2.2045855379188714e-05)
        )
    return (math.cos(a) - math.sin(a) / a) / square


@_inner
def sinxratio_f4(a):
    return np.float32(sinxratio_f8(np.float64(a)))
