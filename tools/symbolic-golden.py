"""Write tests/golden/symbolic.json: small cases that R and Python tests both read.

The numbers come from plain NumPy written here, not from the engine. Matrices are
lists of rows; positions count from 1; cotangents of gradients are all 1.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

TARGET = Path(__file__).resolve().parents[1] / "tests" / "golden" / "symbolic.json"


def cases():
    rng = np.random.default_rng(20)
    x, y = rng.normal(size=(5, 3)).round(3), rng.normal(size=(7, 3)).round(3)
    b, p = rng.normal(size=(7, 2)).round(3), np.array([0.7])
    diff = x[:, None] - y
    d = (diff**2).sum(-1)
    k = np.exp(-0.7 * d)
    square = ["sqdist", ["var", 0], ["var", 1]]
    gauss = ["exp", ["neg", ["mul", ["var", 3], square]]]
    near = d.argsort(1, kind="stable")[:, :3]

    def case(name, expression, reduction, axis, value, **more):
        return {
            "name": name, "expression": expression, "reduction": reduction,
            "axis": axis, "value": np.asarray(value, float).tolist(), **more,
        }  # fmt: skip

    yield {"data": [a.tolist() for a in (x, y, b, p)], "index": ["i", "j", "j", "p"]}
    yield case("gaussian sum", ["mul", gauss, ["var", 2]], "sum", "j", k @ b)
    yield case("over i", gauss, "sum", "i", k.sum(0)[:, None])
    yield case("manhattan", ["sum", ["abs", ["sub", ["var", 0], ["var", 1]]]],
               "min", "j", np.abs(diff).sum(-1).min(1)[:, None])  # fmt: skip
    yield case("logsumexp", square, "logsumexp", "j",
               np.log(np.exp(d).sum(1))[:, None])  # fmt: skip
    yield case("softmax mean", square, "sumsoftmaxweight", "j",
               (np.exp(d) @ b) / np.exp(d).sum(1)[:, None],
               weight=["var", 2])  # fmt: skip
    yield case("nearest", square, "argmin", "j", d.argmin(1)[:, None] + 1)
    yield case("three nearest", square, "argkmin", "j", near + 1, k=3)
    yield case("their distances", square, "kmin", "j",
               np.take_along_axis(d, near, 1), k=3)  # fmt: skip
    yield case("count", ["lt", square, 4.0], "count", "j", (d < 4).sum(1)[:, None])
    slope = (-2 * 0.7 * k[:, :, None] * diff).sum(1)
    yield case("gradient in x", gauss, "sum", "j", slope, gradient=0)
    slope = (2 * 0.7 * k[:, :, None] * diff).sum(0)
    yield case("gradient in y", gauss, "sum", "j", slope, gradient=1)
    yield case("gradient in p", gauss, "sum", "j", [[-(d * k).sum()]], gradient=3)
    share = np.exp(d) / np.exp(d).sum(1)[:, None]
    yield case("gradient of a logsumexp in y", square, "logsumexp", "j",
               (-2 * share[:, :, None] * diff).sum(0), gradient=1)  # fmt: skip


if __name__ == "__main__":
    first, *rest = cases()
    TARGET.write_text(json.dumps({**first, "cases": rest}, indent=1) + "\n")
