"""Names for arrays in signatures; the comment beside one gives its shape."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[Any]
Bools = NDArray[np.bool_]
