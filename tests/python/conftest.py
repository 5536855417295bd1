"""Puts the engine's sources on the path; nothing needs to be installed."""

import sys
from pathlib import Path

_HERE = Path(__file__).resolve().parent
for folder in (_HERE.parents[1] / "inst" / "python", _HERE):
    sys.path.insert(0, str(folder))
