"""Eight numbers of an array at once, as one vector.

The compiler unrolls a loop of eight and then leaves it in single numbers; these
say what is meant. A position counts single numbers from the array's beginning.
"""

from __future__ import annotations

from numba.extending import intrinsic

from ..kernels_math import f8, i8, types
from ..kernels_vector import WIDTH as WIDTH
from ..kernels_vector import pointer, same


def _load(builder, pointer):
    return builder.load(pointer, align=8)


def product(context, builder, kinds, args):
    """r * z.flat[j:j + 8] of the arguments r, z, j."""
    z = _load(builder, pointer(context, builder, kinds[1], args[1], args[2]))
    return builder.fmul(same(builder, args[0]), z)


@intrinsic
def add_line(typingctx, to, i, r, z, j):
    """to.flat[i:i + 8] += r * z.flat[j:j + 8]."""

    def codegen(context, builder, signature, args):
        v = product(context, builder, signature.args[2:], args[2:])
        where = pointer(context, builder, signature.args[0], args[0], args[1])
        builder.store(builder.fadd(_load(builder, where), v), where, align=8)
        return context.get_dummy_value()

    return types.void(to, i8, f8, z, i8), codegen


@intrinsic
def add_line_exactly(typingctx, to, i, to_lost, r, z, j):
    """The same with what rounding loses added ``to_lost`` further on."""

    def codegen(context, builder, signature, args):
        kinds = signature.args
        v = product(context, builder, kinds[3:], args[3:])
        where = pointer(context, builder, kinds[0], args[0], args[1])
        beyond = builder.add(args[1], args[2])
        lost = pointer(context, builder, kinds[0], args[0], beyond)
        high = _load(builder, where)
        high_sum = builder.fadd(high, v)
        part = builder.fsub(high_sum, high)
        error = builder.fadd(
            builder.fsub(high, builder.fsub(high_sum, part)), builder.fsub(v, part)
        )
        builder.store(high_sum, where, align=8)
        builder.store(builder.fadd(_load(builder, lost), error), lost, align=8)
        return context.get_dummy_value()

    return types.void(to, i8, i8, f8, z, i8), codegen


@intrinsic
def set_line(typingctx, to, i, r, z, j):
    """to.flat[i:i + 8] = r * z.flat[j:j + 8]."""

    def codegen(context, builder, signature, args):
        v = product(context, builder, signature.args[2:], args[2:])
        where = pointer(context, builder, signature.args[0], args[0], args[1])
        builder.store(v, where, align=8)
        return context.get_dummy_value()

    return types.void(to, i8, f8, z, i8), codegen
