"""Arrays that stay where they are computed with: NumPy's memory, or torch's device."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import EngineError

Array = npt.NDArray[Any]


class DeviceArray:
    """Numbers (rows, columns) that no one writes to, of one engine and device."""

    __slots__ = ("device", "engine", "values")

    def __init__(self, values: Any, engine: str, device: str = "cpu") -> None:
        self.values, self.engine, self.device = values, engine, device

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        n, d = self.values.shape
        return int(n), int(d)

    @property
    def dtype(self) -> str:
        """ "float32" or "float64"."""
        return dtype_of(self.values).name

    def __repr__(self) -> str:
        n, d = self.shape
        return f"<DeviceArray {n} x {d}, {self.dtype}, {self.engine}, {self.device}>"

    def __array__(self, dtype: Any = None, copy: Any = None) -> Array:
        return np.asarray(on_host(self.values), dtype)

    def like(self, values: Any) -> DeviceArray:
        """Other numbers at the same place."""
        return DeviceArray(values, self.engine, self.device)


def is_tensor(values: Any) -> bool:
    """Is it torch's? Where torch was never imported, nothing is."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(values, torch.Tensor)


def dtype_of(values: Any) -> np.dtype[Any]:
    """NumPy's name of the type of an array or a tensor."""
    if is_tensor(values):
        return np.dtype(str(values.dtype).rpartition(".")[2])
    return np.dtype(values.dtype)


def on_host(values: Any) -> Any:
    """A tensor as an array of NumPy; anything else as it is."""
    return values.detach().cpu().numpy() if is_tensor(values) else values


def placed(values: Array, engine: str, device: str) -> DeviceArray:
    """An array as one that stays; the caller gives it away."""
    if engine != "torch":  # PyKeOps reads NumPy's arrays
        return DeviceArray(np.asfortranarray(values), "cpu")
    import torch

    there = torch.as_tensor(np.ascontiguousarray(values), device=torch.device(device))
    return DeviceArray(there, engine, device)


def taken(
    data: Sequence[Any], engine: str, device: str | None
) -> tuple[list[Any], str, str | None]:
    """Data without their handles, and where to compute with them.

    Arrays on a device of torch are computed with there, unless PyKeOps is asked
    for, which reads arrays of NumPy.
    """
    held = [a for a in data if isinstance(a, DeviceArray)]
    devices = {a.device for a in held if a.engine == "torch"}
    if devices and engine != "keops":
        named = {device} - {None, "auto"}
        if len(devices | named) > 1:
            raise EngineError(
                "Arrays of one formula must be on one device; these are on "
                f"{' and '.join(sorted(str(d) for d in devices | named))}.",
                code="bad_device",
                arg="device",
            )
        engine, device = "torch", devices.pop()
    out = []
    for a in data:
        a = a.values if isinstance(a, DeviceArray) else a
        out.append(a if engine == "torch" else on_host(a))
    return out, engine, device
