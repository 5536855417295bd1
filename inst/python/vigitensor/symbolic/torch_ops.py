"""Operations of the table on torch tensors (rows, columns, components).

The third home of an operation, after the compiled and the NumPy one; a test compares
all three, and torch's own derivatives with those of the table. Nothing here waits
for a device.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

Tensor = torch.Tensor


def _truth(name: str) -> Callable[..., Tensor]:
    function = getattr(torch, name)
    return lambda a, b: function(a, b).to(a.dtype)


def _divsafe(a: Tensor, b: Tensor) -> Tensor:
    none = b == 0
    return torch.where(none, 0.0, a / torch.where(none, 1.0, b))


def _xlogx(a: Tensor) -> Tensor:
    return a * torch.log(torch.where(a == 0, 1.0, a))


def _sinxdivx(a: Tensor) -> Tensor:
    safe = torch.where(a == 0, 1.0, a)
    return torch.where(a == 0, 1.0, torch.sin(safe) / safe)


def _sinxratio(a: Tensor) -> Tensor:
    square = a * a
    series = -1 / 3 + square * (1 / 30 - square * (1 / 840 - square / 45360))
    near = torch.abs(a) < 0.1
    safe = torch.where(near, 1.0, a)
    direct = (torch.cos(safe) - torch.sin(safe) / safe) / (safe * safe)
    return torch.where(near, series, direct)


def _sqrt(a: Tensor) -> Tensor:
    """The derivative at 0 is 0, as in the table."""
    none = a == 0
    return torch.where(none, 0.0, torch.sqrt(torch.where(none, 1.0, a)))


def _together(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    shape = torch.broadcast_shapes(a.shape[:-1], b.shape[:-1])
    return a.expand(*shape, a.shape[-1]), b.expand(*shape, b.shape[-1])


def _matvec(a: Tensor, b: Tensor) -> Tensor:
    cut = a.reshape(*a.shape[:-1], -1, b.shape[-1])
    return (cut * b[..., None, :]).sum(-1)


def _vecmat(a: Tensor, b: Tensor) -> Tensor:
    cut = b.reshape(*b.shape[:-1], a.shape[-1], -1)
    return (a[..., :, None] * cut).sum(-2)


def _outer(a: Tensor, b: Tensor) -> Tensor:
    out = a[..., :, None] * b[..., None, :]
    return out.reshape(*out.shape[:-2], -1)


def _one_hot(a: Tensor, d: int) -> Tensor:
    places = torch.arange(d, dtype=a.dtype, device=a.device)
    return (torch.round(a) == places).to(a.dtype)


def _place(a: Tensor, k: int, d: int) -> Tensor:
    return torch.nn.functional.pad(a, (k, d - k - a.shape[-1]))


def _complex(a: Tensor, b: Tensor) -> Tensor:
    pair = torch.stack(torch.broadcast_tensors(a, b), dim=-1)
    return pair.reshape(*pair.shape[:-2], -1)


def _first(a: Tensor, largest: bool) -> Tensor:
    best = a.amax(-1, keepdim=True) if largest else a.amin(-1, keepdim=True)
    return (a == best).to(torch.uint8).argmax(-1, keepdim=True).to(a.dtype)


def _rounded(a: Tensor, n: int) -> Tensor:
    return torch.round(a * 10.0**n) / 10.0**n


OPERATIONS: dict[str, Callable[..., Any]] = {
    "add": torch.add,
    "sub": torch.sub,
    "mul": torch.mul,
    "div": torch.div,
    "neg": torch.neg,
    "inv": lambda a: 1.0 / a,
    "divsafe": _divsafe,
    "square": lambda a: a * a,
    "sqrt": _sqrt,
    "rsqrt": torch.rsqrt,
    "pow": lambda a, n: torch.pow(a, float(n)),
    "powf": torch.pow,
    "xlogx": _xlogx,
    "sinxdivx": _sinxdivx,
    "sinxratio": _sinxratio,
    "step": lambda a: (a >= 0).to(a.dtype),
    "relu": lambda a: torch.where(a > 0, a, 0.0),
    "clamp": lambda a, b, c: torch.where(a < b, b, torch.where(a > c, c, a)),
    "ifelse": lambda a, b, c: torch.where(a >= 0, b, c),
    "where": lambda a, b, c: torch.where(a != 0, b, c),
    "maximum": lambda a, b: torch.where(a >= b, a, b),
    "minimum": lambda a, b: torch.where(a <= b, a, b),
    "mod": lambda a, b, c: a - b * torch.floor((a - c) / b),
    "round": _rounded,
    "ceiling": torch.ceil,
    "and": lambda a, b: ((a != 0) & (b != 0)).to(a.dtype),
    "or": lambda a, b: ((a != 0) | (b != 0)).to(a.dtype),
    "not": lambda a: (a == 0).to(a.dtype),
    "sum": lambda a: a.sum(-1, keepdim=True),
    "spread": lambda a, d: a.expand(*a.shape[:-1], d),
    "max": lambda a: a.max(-1, keepdim=True).values,
    "min": lambda a: a.min(-1, keepdim=True).values,
    "argmax": lambda a: _first(a, True),
    "argmin": lambda a: _first(a, False),
    "one_hot": _one_hot,
    "elem": lambda a, k: a[..., k : k + 1],
    "elem_t": _place,
    "extract": lambda a, k, d: a[..., k : k + d],
    "extract_t": _place,
    "concat": lambda a, b: torch.cat(_together(a, b), dim=-1),
    "matvecmult": _matvec,
    "vecmatmult": _vecmat,
    "tensorprod": _outer,
    "permute": lambda a, order: a[..., list(order)],
    "real": lambda a: a[..., 0::2],
    "imag": lambda a: a[..., 1::2],
    "complex": _complex,
}
for _name in ("eq", "ne", "lt", "le", "gt", "ge"):
    OPERATIONS[_name] = _truth(_name)
for _name in (
    "exp", "log", "expm1", "log1p", "sin", "cos", "tan", "sinh", "cosh", "tanh",
    "asin", "acos", "atan", "atan2", "abs", "sign", "floor", "trunc",
):  # fmt: skip
    OPERATIONS[_name] = getattr(torch, _name)
