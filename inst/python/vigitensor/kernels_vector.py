"""Eight doubles at once, as one value that kernels can hold in a register.

Compilers cut loops into vectors of half the width that processors with 512 bits
have, look whether arrays overlap before each, and end with single numbers. Here
a ``Line`` is what it says: ``load8``, arithmetic, ``store8``. On processors with
narrower registers it becomes two or four instructions.
"""

from __future__ import annotations

import operator
from typing import Any, ClassVar

from llvmlite import ir
from numba import types
from numba.core.datamodel import models
from numba.core.imputils import lower_builtin
from numba.core.typing.templates import ConcreteTemplate, infer_global, signature
from numba.extending import intrinsic, register_model

from . import kernels_math as m

WIDTH = 8
_F8 = ir.DoubleType()
_I8 = ir.IntType(64)
LINE = ir.VectorType(_F8, WIDTH)
_BITS = ir.VectorType(_I8, WIDTH)
_FUSE = ("contract",)  # a product may be rounded together with a sum

f8 = types.float64
i8 = types.int64


class Line(types.Type):
    """Type of eight doubles."""

    def __init__(self) -> None:
        super().__init__(name="Line")


line = Line()


@register_model(Line)
class _LineModel(models.PrimitiveModel):
    def __init__(self, dmm: Any, fe_type: Any) -> None:
        super().__init__(dmm, fe_type, LINE)


def _arithmetic(symbol: Any, method: str) -> None:
    @infer_global(symbol)
    class _Template(ConcreteTemplate):
        cases: ClassVar[list[Any]] = [signature(line, line, line)]

    @lower_builtin(symbol, line, line)
    def _lower(context, builder, sig, args):
        return getattr(builder, method)(*args, flags=_FUSE)


_arithmetic(operator.add, "fadd")
_arithmetic(operator.sub, "fsub")
_arithmetic(operator.mul, "fmul")


def pointer(context, builder, array_type, array, position):
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [position]), LINE.as_pointer())


def same(builder, number, kind=LINE):
    """One number eight times."""
    one = builder.insert_element(
        ir.Constant(kind, ir.Undefined), number, ir.Constant(ir.IntType(32), 0)
    )
    nowhere = ir.Constant(ir.VectorType(ir.IntType(32), WIDTH), [0] * WIDTH)
    return builder.shuffle_vector(one, ir.Constant(kind, ir.Undefined), nowhere)


def total(builder, v):
    """Sum of a line, added up in pairs."""
    for half in (4, 2, 1):
        index = ir.VectorType(ir.IntType(32), half)
        low = ir.Constant(index, list(range(half)))
        high = ir.Constant(index, list(range(half, 2 * half)))
        v = builder.fadd(
            builder.shuffle_vector(v, v, low), builder.shuffle_vector(v, v, high)
        )
    return builder.extract_element(v, ir.Constant(ir.IntType(32), 0))


@intrinsic
def load8(typingctx, a, i):
    """a.flat[i:i + 8]; the array is contiguous."""

    def codegen(context, builder, sig, args):
        where = pointer(context, builder, sig.args[0], args[0], args[1])
        return builder.load(where, align=8)

    return line(a, i8), codegen


@intrinsic
def store8(typingctx, a, i, v):
    """a.flat[i:i + 8] = v."""

    def codegen(context, builder, sig, args):
        where = pointer(context, builder, sig.args[0], args[0], args[1])
        builder.store(args[2], where, align=8)
        return context.get_dummy_value()

    return types.void(a, i8, line), codegen


@intrinsic
def all8(typingctx, x):
    """The number x eight times."""

    def codegen(context, builder, sig, args):
        return same(builder, args[0])

    return line(f8), codegen


@intrinsic
def sum8(typingctx, v):
    """Sum of a line, added up in pairs."""

    def codegen(context, builder, sig, args):
        return total(builder, args[0])

    return f8(line), codegen


@intrinsic
def transpose8(typingctx, a, i, stride, b, j, step):
    """b.flat[j + k step + c] = a.flat[i + c stride + k] for c, k < 8."""

    def shuffled(builder, rows, distance):
        """Pairs of lines so far apart swap every second half."""
        out = list(rows)
        for k in range(WIDTH):
            if k & distance:
                continue
            low, high = rows[k], rows[k + distance]
            lanes = [n & ~distance for n in range(WIDTH)]
            first = [n + (WIDTH if m & distance else 0) for m, n in enumerate(lanes)]
            kind = ir.VectorType(ir.IntType(32), WIDTH)
            out[k] = builder.shuffle_vector(low, high, ir.Constant(kind, first))
            second = [n + distance for n in first]
            out[k + distance] = builder.shuffle_vector(
                low, high, ir.Constant(kind, second)
            )
        return out

    def codegen(context, builder, sig, args):
        def moved(start, by, times):
            return builder.add(start, builder.mul(by, ir.Constant(_I8, times)))

        def at(array_type, array, position):
            return pointer(context, builder, array_type, array, position)

        rows = [
            builder.load(at(sig.args[0], args[0], moved(args[1], args[2], c)), align=8)
            for c in range(WIDTH)
        ]
        for distance in (4, 2, 1):
            rows = shuffled(builder, rows, distance)
        for k in range(WIDTH):
            where = at(sig.args[3], args[3], moved(args[4], args[5], k))
            builder.store(rows[k], where, align=8)
        return context.get_dummy_value()

    return types.void(a, i8, i8, b, i8, i8), codegen


@intrinsic
def exp8(typingctx, x):
    """exp of a line, to the bit that of ``kernels_math.exp``."""

    def codegen(context, builder, sig, args):
        def number(value):
            return ir.Constant(LINE, [value] * WIDTH)

        def whole(value):
            return ir.Constant(_BITS, [value] * WIDTH)

        def add(a, b):
            return builder.fadd(a, b, flags=_FUSE)

        def mul(a, b):
            return builder.fmul(a, b, flags=_FUSE)

        def less(a, b):
            return builder.fcmp_ordered("<", a, b)

        x = args[0]
        x = builder.select(less(number(710.0), x), number(710.0), x)
        x = builder.select(less(x, number(-750.0)), number(-750.0), x)
        shifted = add(mul(x, number(m._LOG2_E)), number(m._MAGIC))
        k = builder.fsub(shifted, number(m._MAGIC))
        r = builder.fsub(x, mul(k, number(m._LN2_HIGH)), flags=_FUSE)
        r = builder.fsub(r, mul(k, number(m._LN2_LOW)), flags=_FUSE)
        r2 = mul(r, r)
        r4 = mul(r2, r2)
        c = [number(v) for v in m.EXP_COEFFICIENTS]

        def pair(i):
            return add(c[i], mul(r, c[i + 1]))

        high = add(pair(4), mul(r2, pair(6)))
        high = add(high, mul(r4, add(pair(8), mul(r2, c[10]))))
        q = add(add(pair(0), mul(r2, pair(2))), mul(r4, high))
        p = add(number(1.0), add(r, mul(r2, q)))
        negative = less(x, number(0.0))
        off = builder.select(negative, whole(1023 + 60), whole(1023 - 60))
        back = builder.select(negative, number(2.0**-60), number(2.0**60))
        bits = builder.shl(builder.add(builder.bitcast(shifted, _BITS), off), whole(52))
        scale = builder.bitcast(bits, LINE)
        return builder.fmul(builder.fmul(p, scale), back)

    return line(line), codegen
