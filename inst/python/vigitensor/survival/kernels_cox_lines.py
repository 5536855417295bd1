"""Eight numbers of an array at once, as one vector.

The compiler unrolls a loop of eight and then leaves it in single numbers; these
say what is meant. A position counts single numbers from the array's beginning.
"""

from __future__ import annotations

from llvmlite import ir
from numba.extending import intrinsic

from ..kernels_math import f8, i8, types
from ..kernels_vector import WIDTH as WIDTH
from ..kernels_vector import pointer, same, total


def _load(builder, pointer):
    return builder.load(pointer, align=8)


def _times(context, builder, signature, args):
    """r * z.flat[j:j + 8]."""
    r = same(builder, args[2])
    z = _load(builder, pointer(context, builder, signature.args[3], args[3], args[4]))
    return builder.fmul(r, z)


@intrinsic
def add_line(typingctx, to, i, r, z, j):
    """to.flat[i:i + 8] += r * z.flat[j:j + 8]."""

    def codegen(context, builder, signature, args):
        v = _times(context, builder, signature, args)
        where = pointer(context, builder, signature.args[0], args[0], args[1])
        builder.store(builder.fadd(_load(builder, where), v), where, align=8)
        return context.get_dummy_value()

    return types.void(to, i8, f8, z, i8), codegen


@intrinsic
def add_line_exactly(typingctx, to, i, r, z, j):
    """The same with what rounding loses added to to.flat[i + 8:i + 16]."""

    def codegen(context, builder, signature, args):
        v = _times(context, builder, signature, args)
        where = pointer(context, builder, signature.args[0], args[0], args[1])
        lost = builder.gep(where, [ir.Constant(ir.IntType(32), 1)])
        high = _load(builder, where)
        high_sum = builder.fadd(high, v)
        part = builder.fsub(high_sum, high)
        error = builder.fadd(
            builder.fsub(high, builder.fsub(high_sum, part)), builder.fsub(v, part)
        )
        builder.store(high_sum, where, align=8)
        builder.store(builder.fadd(_load(builder, lost), error), lost, align=8)
        return context.get_dummy_value()

    return types.void(to, i8, f8, z, i8), codegen


@intrinsic
def set_line(typingctx, to, i, r, z, j):
    """to.flat[i:i + 8] = r * z.flat[j:j + 8]."""

    def codegen(context, builder, signature, args):
        v = _times(context, builder, signature, args)
        where = pointer(context, builder, signature.args[0], args[0], args[1])
        builder.store(v, where, align=8)
        return context.get_dummy_value()

    return types.void(to, i8, f8, z, i8), codegen


@intrinsic
def dot_line(typingctx, a, i, b, j):
    """Sum of a.flat[i:i + 8] * b.flat[j:j + 8], added up in pairs."""

    def codegen(context, builder, signature, args):
        kinds = signature.args
        v = builder.fmul(
            _load(builder, pointer(context, builder, kinds[0], args[0], args[1])),
            _load(builder, pointer(context, builder, kinds[2], args[2], args[3])),
        )
        return total(builder, v)

    return f8(a, i8, b, i8), codegen
