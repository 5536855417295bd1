"""Reductions by torch, dense on chunks of rows, on any device.

``reduce`` takes and gives NumPy arrays, as the CPU evaluator does. ``reduced`` takes
and gives tensors and is differentiable: the gradient of a sum (product, logsumexp)
is the sum of a formula again, evaluated by the same function, so that gradients of
any order need no more memory than a chunk; smallest and largest values are
differentiated by torch where they stand.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from ..errors import EngineError
from .evaluate import composed
from .lower import expand, swapped
from .ranges import Ranges
from .tables import Problem
from .torch_ops import OPERATIONS
from .tree import Node, apply, nodes_of

Array = npt.NDArray[Any]
Tensor = torch.Tensor
NUMBERS = 1 << 24  # of a chunk, over all steps of the formula
_PLACES = ("min", "max", "kmin", "kmax")


class Spec(NamedTuple):
    """A reduction over j: all but the data."""

    formula: Node
    weight: Node | None
    reduction: str
    k: int
    numbers: tuple[float, ...]
    n: int
    m: int
    keep: Callable[[slice], Tensor] | None = None  # pairs that count, (rows, m)
    breaks: Array | None = None


def values(root: Node, data: Sequence[Tensor], numbers: Sequence[float]) -> Tensor:
    """Values of a composite-free tree; data are (rows or 1, columns or 1, dim)."""
    done: dict[Node, Tensor] = {}
    like = data[0]
    for node in nodes_of(root):
        if node.op == "var":
            done[node] = data[node.static[1]]
        elif node.op in ("number", "const"):
            value = node.static[0]
            if node.op == "number":
                value = numbers[value]
            done[node] = torch.full(
                (1, 1, 1), value, dtype=like.dtype, device=like.device
            )
        else:
            args = [done[a] for a in node.args]
            done[node] = OPERATIONS[node.op](*args, *node.static)
    return done[root]


def placed(data: Sequence[Tensor], root: Node) -> list[Tensor]:
    """Data of i as (n, 1, dim), of j as (1, m, dim), parameters as (1, 1, dim)."""
    index = {v.static[1]: v.static[0] for v in nodes_of(root) if v.op == "var"}
    out = []
    for slot, x in enumerate(data):
        kind = index.get(slot, "p")
        if kind == "p":
            out.append(x.reshape(1, 1, -1))
        elif kind in ("ij", "ji"):
            out.append(x if kind == "ij" else x.transpose(0, 1))
        else:
            out.append(x[:, None, :] if kind == "i" else x[None])
    return out


def _chunks(spec: Spec) -> list[slice]:
    steps = sum(node.dim for node in nodes_of(_root(spec)))
    rows = max(1, NUMBERS // max(1, spec.m * steps))
    return [slice(r, min(r + rows, spec.n)) for r in range(0, spec.n, rows)]


def _root(spec: Spec) -> Node:
    if spec.weight is None:
        return spec.formula
    return apply("concat", spec.formula, spec.weight)


def forward(spec: Spec, data: Sequence[Tensor]) -> tuple[Tensor, Tensor | None]:
    """Value and index (or None) of a reduction, chunk by chunk."""
    root = _root(spec)
    whole = placed(data, root)
    index = {v.static[1]: v.static[0] for v in nodes_of(root) if v.op == "var"}
    found = []
    for rows in _chunks(spec):
        some = [
            x[rows] if index.get(slot) in ("i", "ij", "ji") else x
            for slot, x in enumerate(whole)
        ]
        tile = values(root, some, spec.numbers)
        tile = tile.expand(rows.stop - rows.start, spec.m, tile.shape[-1])
        keep = None if spec.keep is None else spec.keep(rows)[:, :, None]
        found.append(_reduced_tile(spec, tile, keep))
    if not found:
        raise EngineError("There are no rows.", code="empty", arg="data")
    value = torch.cat([v for v, _ in found])
    places = [p for _, p in found if p is not None]
    return value, torch.cat(places) if places else None


def _reduced_tile(
    spec: Spec, tile: Tensor, keep: Tensor | None
) -> tuple[Tensor, Tensor | None]:
    name, f = spec.reduction, tile[:, :, : spec.formula.dim]
    w = tile[:, :, spec.formula.dim :]
    neutral = {"min": np.inf, "kmin": np.inf, "sum": 0.0, "mean": 0.0, "prod": 1.0}
    if keep is not None and name != "histogram":
        f = torch.where(keep, f, neutral.get(name, -np.inf))
    if name == "sum":
        return f.sum(1), None
    if name == "mean":
        count = f.shape[1] if keep is None else keep.sum(1)
        return f.sum(1) / count, None
    if name == "prod":
        return f.prod(1), None
    if name in ("logsumexp", "sumsoftmaxweight"):
        if spec.weight is None:
            return torch.logsumexp(f, 1), None
        top = f.amax(1, keepdim=True)
        top = torch.where(torch.isfinite(top), top, 0.0)
        share = torch.exp(f - top)
        total = (share * w).sum(1)
        if name == "logsumexp":
            return top[:, 0] + torch.log(total), None
        return total / share.sum(1), None
    if name in ("min", "max"):
        return _smallest(f, name == "max", keep)
    if name in ("kmin", "kmax"):
        return _k_smallest(f[:, :, 0], spec.k, name == "kmax", keep)
    assert spec.breaks is not None
    v, cells = f[:, :, 0], []
    weight = torch.ones_like(v) if spec.weight is None else w[:, :, 0]
    if keep is not None:
        weight = torch.where(keep[:, :, 0], weight, 0.0)
    limits = [float(b) for b in spec.breaks]
    for c, (a, b) in enumerate(zip(limits[:-1], limits[1:])):
        last = c == len(limits) - 2
        inside = (v >= a) & ((v <= b) if last else (v < b))
        cells.append(torch.where(inside, weight, 0.0).sum(1))
    return torch.stack(cells, dim=1), None


def _smallest(f: Tensor, largest: bool, keep: Tensor | None) -> tuple[Tensor, Tensor]:
    """First position of the smallest (or largest) value; a NaN wins."""
    nan = torch.isnan(f)
    best = (f.amax(1) if largest else f.amin(1))[:, None]
    here = nan | ((f == best) & ~nan.any(1, keepdim=True))
    if keep is not None:
        here = here & keep
    place = here.to(torch.uint8).argmax(1)
    if keep is not None:
        place = torch.where(here.any(1), place, -1)
    return best[:, 0], place


def _k_smallest(
    f: Tensor, k: int, largest: bool, keep: Tensor | None
) -> tuple[Tensor, Tensor]:
    """The k smallest (or largest) in order, ties by position; NaN is passed over."""
    out = torch.isnan(f)
    if keep is not None:
        out = out | ~keep[:, :, 0]
    key = torch.where(out, np.inf, -f if largest else f)
    # What does not count comes last, behind infinite values too.
    order = torch.sort(out.to(torch.uint8), dim=1, stable=True).indices
    inner = torch.sort(torch.gather(key, 1, order), dim=1, stable=True).indices
    place = torch.gather(order, 1, inner)[:, :k]
    value = torch.gather(key, 1, place)
    place = torch.where(torch.gather(out, 1, place), -1, place)
    return (-value if largest else value), place


class _Sum(torch.autograd.Function):
    """A reduction whose gradient is the sum of a formula."""

    @staticmethod
    def forward(ctx: Any, spec: Spec, index: tuple[str, ...], *data: Tensor) -> Tensor:
        ctx.spec, ctx.index = spec, index
        ctx.save_for_backward(*data)
        return forward(spec, data)[0]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        from .gradient import adjoint
        from .tree import variable

        spec, index, data = ctx.spec, ctx.index, ctx.saved_tensors
        g = grads[0] / spec.m if spec.reduction == "mean" else grads[0]
        out: list[Tensor | None] = []
        for slot, x in enumerate(data):
            if not ctx.needs_input_grad[2 + slot]:
                out.append(None)
                continue
            leaf = variable(index[slot], slot, x.shape[-1])
            a = adjoint(spec.formula, spec.reduction, "j", leaf, len(data), spec.weight)
            if a.formula is None:
                out.append(torch.zeros_like(x))
                continue
            extra = [g]
            for need in a.needs:
                alone = need == "logsumexp" and spec.reduction == "sumsoftmaxweight"
                one = spec._replace(
                    reduction=need, weight=None if alone else spec.weight
                )
                extra.append(reduced(one, index, data))
            part = spec._replace(formula=a.formula, weight=None, reduction="sum")
            names = (*index, *("i" for _ in extra))
            if a.axis == "none":
                root = expand(a.formula)
                tile = values(root, placed([*data, *extra], root), spec.numbers)
                out.append(tile.expand(spec.n, spec.m, x.shape[-1]))
                continue
            if a.axis == "i":
                other = {"i": "j", "j": "i", "ij": "ji", "ji": "ij"}
                turned = tuple(other.get(kind, kind) for kind in names)
                part = part._replace(formula=swapped(a.formula), n=spec.m, m=spec.n)
                found = reduced(part, turned, [*data, *extra])
            else:
                found = reduced(part, names, [*data, *extra])
            out.append((found.sum(0) if a.axis == "both" else found).reshape(x.shape))
        return (None, None, *out)


def reduced(spec: Spec, index: Sequence[str], data: Sequence[Tensor]) -> Tensor:
    """The value of a reduction over j, differentiable to any order.

    Data are (n, dim), (m, dim), (n, m, dim) and (1, dim).
    """
    formula, reduction = composed(spec.formula, spec.reduction)
    spec = spec._replace(formula=expand(formula), reduction=reduction)
    if spec.reduction not in _PLACES:
        out: Tensor = _Sum.apply(spec, tuple(index), *data)
        return out
    with torch.no_grad():
        place = forward(spec, data)[1]
    assert place is not None
    columns = []
    for c in range(place.shape[1]):
        here = spec.formula
        if here.dim > 1 and spec.reduction in ("min", "max"):
            here = apply("elem", here, static=(c,))
        there = place[:, c].clamp(min=0)
        every = torch.arange(len(there), device=there.device)
        at = {"j": (there,), "ij": (every, there), "ji": (there, every)}
        some = [
            (x[at[kind]] if kind in at else x).reshape(-1, 1, x.shape[-1])
            for x, kind in zip(data, index)
        ]
        value = values(here, some, spec.numbers)[:, 0, :]
        columns.append(value.expand(len(there), 1))
    return torch.cat(columns, dim=1)


def reduce(
    formula: Node,
    problem: Problem,
    reduction: str,
    *,
    weight: Node | None,
    k: int,
    ranges: Ranges | None,
    breaks: Array | None,
    device: str,
    keep: bool = False,
) -> dict[str, Any]:
    """A reduction over j of arrays of NumPy, or of tensors that are there.

    The result is of NumPy; with ``keep`` the values are a tensor.
    """
    place = torch.device(device)
    data = [on_device(x, place) for x in problem.data]
    if not data:
        data = [
            torch.zeros(1, 1, dtype=torch.from_numpy(np.zeros(1, problem.dtype)).dtype)
        ]
    mask = None if ranges is None else _mask(ranges, problem.m, place)
    spec = Spec(
        expand(formula), None if weight is None else expand(weight), reduction, k,
        tuple(problem.numbers), problem.n, problem.m, mask, breaks,
    )  # fmt: skip
    with torch.no_grad():
        value, index = forward(spec, data)
    out: dict[str, Any] = {"value": value if keep else value.cpu().numpy()}
    if index is not None:
        small = problem.m < 2**31 - 1
        out["index"] = index.cpu().numpy().astype(np.int32 if small else np.int64)
    return out


def matrix(
    formula: Node, problem: Problem, index: Sequence[str], rows: Array, columns: Array,
    device: str,
) -> Array:  # fmt: skip
    """Values of some rows and columns, (rows, columns, components)."""
    place = torch.device(device)
    r, c = (torch.as_tensor(at, device=place) for at in (rows, columns))
    at: dict[str, Any] = {"i": r, "j": c, "ij": (r[:, None], c)}
    data = [on_device(x, place) for x in problem.data]
    some = [x[at[kind]] if kind in at else x for x, kind in zip(data, index)]
    root = expand(formula)
    like = some or [torch.zeros(1, 1, dtype=torch.float64, device=place)]
    with torch.no_grad():
        tile = values(root, placed(like, root), problem.numbers)
    return tile.expand(len(r), len(c), root.dim).cpu().numpy()


def on_device(values: Any, place: torch.device) -> Tensor:
    """A tensor of an array, or the tensor itself where it is there already."""
    if isinstance(values, Tensor):
        return values.to(place)
    return torch.as_tensor(np.array(values), device=place)


def _mask(ranges: Ranges, m: int, place: torch.device) -> Callable[[slice], Tensor]:
    def keep(rows: slice) -> Tensor:
        out = np.zeros((rows.stop - rows.start, m), bool)
        for r, columns in ranges.blocks():
            first, last = max(r.start, rows.start), min(r.stop, rows.stop)
            for c in columns if first < last else ():
                out[first - rows.start : last - rows.start, c] = True
        return torch.as_tensor(out, device=place)

    return keep
