"""Fits under A beta >= 0, against every face tried in turn."""

from itertools import combinations

import numpy as np
import pytest
from designs import call, random_design, send
from oracles.dense import DenseCox
from vigitensor import api
from vigitensor.errors import EngineError
from vigitensor.survival.constrained import constrained_step


def null_space(rows):
    _, values, right = np.linalg.svd(rows)
    return right[np.count_nonzero(values > 1e-10) :].T


def best_face(dense, a):
    """Largest likelihood over A beta >= 0: the optimum of each face, if inside."""
    best, p = (-np.inf, None), dense.n_par
    for size in range(min(len(a), p) + 1):
        for held in combinations(range(len(a)), size):
            face = null_space(a[list(held)]) if held else np.eye(p)
            at = np.zeros(face.shape[1])
            for _ in range(30):
                value, score, info = dense.sums(face @ at)
                if not np.isfinite(value) or not at.size:
                    break
                step = np.linalg.lstsq(face.T @ info @ face, face.T @ score, rcond=None)
                at = at + step[0] * min(1.0, 3.0 / np.abs(step[0]).max())
                if np.abs(step[0]).max() < 1e-8:
                    break
            beta = face @ at
            value = dense.sums(beta)[0]
            if np.all(a @ beta >= -1e-9) and value > best[0]:
                best = value, beta
    return best


def check_kkt(dense, a, fit):
    beta, active = fit["coefficients"], fit["active"]
    _, score, info = dense.sums(beta)
    spread = np.sqrt(np.diag(np.linalg.inv(info)))
    size = np.sqrt(np.einsum("ri,ij,rj->r", a, np.linalg.inv(info), a))
    slack = a @ beta / size
    assert slack.min() > -1e-9
    np.testing.assert_array_equal(active, slack <= 1e-9)
    # Stationary: what pulls outward is held by multipliers that push back.
    face = null_space(a[active]) if active.any() else np.eye(beta.size)
    np.testing.assert_allclose((face.T @ score) / np.abs(score * spread).max(initial=1),
                               0, atol=1e-8)  # fmt: skip
    if active.any():
        pull = np.linalg.lstsq(a[active].T, -score, rcond=None)[0]
        if np.linalg.matrix_rank(a[active]) == active.sum():
            assert pull.min() > -1e-8 * np.abs(pull).max()
    expected = np.zeros_like(info)
    if face.shape[1]:
        expected = face @ np.linalg.inv(face.T @ info @ face) @ face.T
    np.testing.assert_allclose(fit["var"], expected, atol=1e-8 * spread.max() ** 2)


@pytest.mark.parametrize("seed", [s for s in range(13) if s != 5])
def test_every_face_tried(seed):
    rng = np.random.default_rng(seed)
    rows, terms, tables = random_design(
        seed, n_subjects=40, q=1 + seed % 2, terms=seed % 2
    )
    dense = DenseCox(rows, terms, tables)
    p = dense.n_par
    a = rng.normal(size=(int(rng.integers(1, 5)), p))
    if seed % 3 == 0:
        a = np.eye(p)[-4:]  # not negative
    if seed % 3 == 1:
        a = np.vstack((np.diff(np.eye(p), axis=0), -np.eye(p)[-1:]))[:4]  # monotone
    free = call(api, rows, terms, [tables])["fits"][0]
    assert not free["infinite"].any()  # the seeds with a finite optimum
    assert np.isfinite(free["coefficients"]).all()
    out = send(api.fit_wce, rows, terms, [tables, tables], inequalities=[a, None])
    fit, other = out["fits"]
    np.testing.assert_array_equal(other["coefficients"], free["coefficients"])
    assert other["active"].size == 0
    assert fit["converged"]
    value, beta = best_face(dense, a)
    assert fit["loglik"][1] >= value - 1e-9 * abs(value)
    np.testing.assert_allclose(fit["coefficients"], beta, rtol=1e-5, atol=1e-6)
    check_kkt(dense, a, fit)


def test_rows_that_do_not_bind_change_nothing():
    rows, terms, tables = random_design(8, n_subjects=80, q=2, terms=1)
    free = call(api, rows, terms, [tables])["fits"][0]
    beta = free["coefficients"]
    a = np.sign(beta)[:, None] * np.eye(beta.size)
    fit = send(api.fit_wce, rows, terms, [tables], inequalities=[a])["fits"][0]
    np.testing.assert_allclose(fit["coefficients"], beta, rtol=1e-8)
    np.testing.assert_allclose(fit["var"], free["var"], rtol=1e-6)
    assert not fit["active"].any()


def test_an_equation_as_two_inequalities_and_a_repeated_row():
    rows, terms, tables = random_design(8, n_subjects=80, q=2, terms=1)
    p = 2 + tables[0].shape[1]
    one = np.zeros((1, p))
    one[0, :2] = 1, -1
    a = np.vstack((one, -one, one, 0 * one))
    fit = send(api.fit_wce, rows, terms, [tables], inequalities=[a])["fits"][0]
    assert fit["active"].all()
    same = {**rows, "x": np.asfortranarray(rows["x"].sum(axis=1)[:, None])}
    other = call(api, same, terms, [tables])["fits"][0]
    assert fit["coefficients"][0] == pytest.approx(fit["coefficients"][1], abs=1e-12)
    np.testing.assert_allclose(fit["coefficients"][1:], other["coefficients"],
                               rtol=1e-8)  # fmt: skip
    np.testing.assert_allclose(fit["var"][1:, 1:], other["var"], rtol=1e-6)


def test_dropped_columns_are_left_out_of_the_rows():
    rows, terms, tables = random_design(4, n_subjects=60, q=2, terms=1)
    rows["x"] = np.asfortranarray(np.hstack((rows["x"], rows["x"][:, :1])))
    a = np.eye(3 + tables[0].shape[1])
    fit = send(api.fit_wce, rows, terms, [tables], inequalities=[a])["fits"][0]
    assert np.isnan(fit["coefficients"][2])
    assert np.nanmin(fit["coefficients"]) > -1e-12
    assert fit["active"][2]


@pytest.mark.parametrize("seed", range(100))
def test_the_step_is_the_nearest_point(seed):
    """Optimality conditions of the quadratic problem, degenerate ones included."""
    rng = np.random.default_rng(seed)
    p = int(rng.integers(1, 7))
    r = int(rng.integers(1, 12))
    a = rng.normal(size=(r, p))
    if seed % 2:
        a = np.round(a)  # repeated, zero and dependent rows
    root = rng.normal(size=(p, p))
    beta = np.zeros(p) if seed % 3 else 3 * rng.normal(size=p)
    a *= np.where(a @ beta < 0, -1.0, 1.0)[:, None]
    score = 5 * rng.normal(size=p)
    found = constrained_step(beta, score, root, a)
    reached = a @ (beta + found.step)
    assert reached.min() > -1e-8 * (1 + np.abs(a).max() * np.abs(found.step).max())
    # No feasible direction gains: against many points of the polyhedron.
    info = np.linalg.inv(root @ root.T)
    slope = score - info @ found.step
    points = np.linalg.norm(found.step) * rng.normal(size=(2000, p)) + beta + found.step
    inside = points[np.all(points @ a.T >= 0, axis=1)]
    gains = (inside - beta - found.step) @ slope
    size = np.abs(score).max() + np.abs(info @ found.step).max()
    scale = size * (1 + np.abs(inside).max(initial=0))
    assert gains.max(initial=0) <= 1e-7 * scale


def test_faults():
    rows, terms, tables = random_design(4, n_subjects=30, q=1, terms=1)
    p = 1 + tables[0].shape[1]
    for given in ([np.eye(p), np.eye(p)], [np.eye(p + 1)], []):
        with pytest.raises(EngineError) as caught:
            send(api.fit_wce, rows, terms, [tables], inequalities=given)
        assert caught.value.code == "bad_inequality"
