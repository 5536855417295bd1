"""Many sets of weights at once: each as if it were fitted alone."""

import numpy as np
import pytest
from designs import call, random_design, send
from test_real_times import steps_as_curve
from vigitensor import api
from vigitensor.errors import EngineError
from vigitensor.survival import many_pass


def subjects(rows, terms):
    top = max(int(np.max(t["subject"], initial=1)) for t in terms) if terms else 1
    return max(int(rows["subject"].max()), top)


def alone(rows, terms, tables, w, ties):
    changed = {**rows, "weight": rows["weight"] * w[rows["subject"] - 1]}
    return call(api, changed, terms, [tables], ties)["fits"][0]


@pytest.mark.parametrize("ties", ["efron", "breslow"])
@pytest.mark.parametrize("kind", ["multinomial", "bayesian"])
@pytest.mark.parametrize("seed", [0, 2, 3, 8, 10, 21])
def test_as_fitted_alone(seed, kind, ties):
    terms = 0 if seed == 21 else 1
    rows, terms, tables = random_design(seed, n_subjects=100, terms=terms, q=seed % 4)
    n = subjects(rows, terms)
    (full,) = call(api, rows, terms, [tables], ties)["fits"]
    w = api.replicate_weights(n, kind, 5, 1, 10)["weights"]
    beta = full["coefficients"]
    out = send(api.fit_wce_many, rows, terms, tables, beta, ties, w)
    assert out["converged"].sum() >= 8
    for k in np.flatnonzero(out["converged"]):
        one = alone(rows, terms, tables, w[k], ties)
        spread = np.sqrt(np.diag(one["var"]))
        error = np.abs(out["coefficients"][k] - one["coefficients"])
        assert np.all(error[np.isfinite(beta)] <= 1e-8 * spread[np.isfinite(beta)])
        assert out["loglik"][k] == pytest.approx(one["loglik"][1], rel=1e-11)


def shape_rows(p, q, kind):
    """Coefficients of a spline that are not negative, or do not rise."""
    limits = np.eye(p)[q:]
    if kind == "falling":
        limits = limits[:-1] - limits[1:]
    return limits


@pytest.mark.parametrize("kind", ["positive", "falling"])
@pytest.mark.parametrize("seed", [0, 2, 5, 8, 10])
def test_shapes_as_fitted_alone(seed, kind):
    """Every replicate keeps to the inequalities and is the best that does."""
    ties = ("efron", "breslow")[seed % 2]
    rows, terms, tables = random_design(seed, n_subjects=100, terms=1, q=seed % 3)
    n, q = subjects(rows, terms), rows["x"].shape[1]
    limits = shape_rows(q + tables[0].shape[1], q, kind)
    given = {"ties": ties, "inequalities": [limits]}
    (full,) = send(api.fit_wce, rows, terms, [tables], **given)["fits"]
    w = api.replicate_weights(n, "bayesian", 3, 1, 12)["weights"]
    out = send(
        api.fit_wce_many, rows, terms, tables, full["coefficients"], ties, w,
        inequality=limits,
    )  # fmt: skip
    compared = bound = 0
    for k in range(12):
        changed = {**rows, "weight": rows["weight"] * w[k][rows["subject"] - 1]}
        (one,) = send(api.fit_wce, changed, terms, [tables], **given)["fits"]
        if one["infinite"].any() or not one["converged"]:
            continue
        assert out["converged"][k]
        compared += 1
        bound += int(one["active"].any())
        beta = out["coefficients"][k]
        assert np.nan_to_num(beta) @ limits.T == pytest.approx(
            np.maximum(np.nan_to_num(beta) @ limits.T, 0), abs=1e-9
        )
        assert out["loglik"][k] == pytest.approx(one["loglik"][1], rel=1e-11)
        np.testing.assert_allclose(beta, one["coefficients"], rtol=1e-6, atol=1e-6)
    assert compared >= 8
    assert bound >= 1


@pytest.mark.parametrize("method", ["one_step", "influence"])
def test_short_ways_to_shapes(method):
    """Near weights of one they come as near as they claim."""
    rows, terms, tables = random_design(8, n_subjects=100, terms=1, q=2)
    limits = shape_rows(2 + tables[0].shape[1], 2, "positive")
    (full,) = send(api.fit_wce, rows, terms, [tables], inequalities=[limits])["fits"]
    far = np.clip(np.random.default_rng(1).normal(size=subjects(rows, terms)), -3, 3)
    errors = []
    for size in (0.02, 0.01):
        given = (rows, terms, tables, full["coefficients"])
        kw = {"weights": (1 + size * far)[None], "inequality": limits}
        fit = send(api.fit_wce_many, *given, **kw)["coefficients"]
        near = send(api.fit_wce_many, *given, **kw, method=method)["coefficients"]
        assert (near[0] @ limits.T).min() > -1e-9
        errors.append(np.abs(fit - near).max())
    assert 3 < errors[0] / errors[1] < 5


def test_any_chunks_and_threads_give_the_same_bits():
    rows, terms, tables = random_design(8, n_subjects=100, terms=1, q=2)
    beta = call(api, rows, terms, [tables])["fits"][0]["coefficients"]

    def some(first, count, method):
        return send(
            api.fit_wce_many, rows, terms, tables, beta, method=method,
            replicates={"kind": "multinomial", "seed": 3, "first": first,
                        "count": count},
        )["coefficients"]  # fmt: skip

    for method in ("fit", "one_step", "influence"):
        together = some(1, 40, method)
        parts = [some(1, 3, method), some(4, 36, method), some(40, 1, method)]
        np.testing.assert_array_equal(together, np.concatenate(parts))
        before = api.set_threads(None)
        try:
            api.set_threads(1)
            np.testing.assert_array_equal(together, some(1, 40, method))
        finally:
            api.set_threads(before)


@pytest.mark.parametrize("real", [False, True])
def test_features_that_are_kept_are_those_computed(real, monkeypatch):
    """Of few pairs they are kept between passes, of many made anew: same bits."""
    rows, terms, tables = random_design(3, n_subjects=100, terms=2, q=2)
    if real:
        terms = [{**t, "cells": np.arange(len(c))} for t, c in zip(terms, tables)]
        tables = [steps_as_curve(table) for table in tables]
    w = api.replicate_weights(subjects(rows, terms), "bayesian", 5, 1, 10)["weights"]
    (full,) = call(api, rows, terms, [tables], "efron")["fits"]
    given = (rows, terms, tables, full["coefficients"], "efron", w)
    kept = send(api.fit_wce_many, *given)
    monkeypatch.setattr(many_pass, "_MOST_KEPT", 0)
    made = send(api.fit_wce_many, *given)
    assert kept["converged"].any()
    np.testing.assert_array_equal(kept["coefficients"], made["coefficients"])
    np.testing.assert_array_equal(kept["loglik"], made["loglik"])


@pytest.mark.parametrize("ties", ["efron", "breslow"])
def test_one_step_and_influence(ties):
    """Both agree with the fit to the order they claim, as weights near one."""
    rows, terms, tables = random_design(8, n_subjects=100, terms=1, q=2)
    n = subjects(rows, terms)
    (full,) = call(api, rows, terms, [tables], ties)["fits"]
    beta = full["coefficients"]
    far = np.random.default_rng(1).normal(size=n)
    errors = {}
    for size in (0.02, 0.01):
        w = (1 + size * np.clip(far, -3, 3))[None]
        fits = {
            method: send(
                api.fit_wce_many, rows, terms, tables, beta, ties, w, method=method
            )["coefficients"][0]
            for method in ("fit", "one_step", "influence")
        }
        for method in ("one_step", "influence"):
            errors[method, size] = np.abs(fits[method] - fits["fit"]).max()
    assert 3.5 < errors["influence", 0.02] / errors["influence", 0.01] < 4.5
    assert 3.5 < errors["one_step", 0.02] / errors["one_step", 0.01] < 4.5
    score = send(api.wce_scores, rows, terms, tables, beta, ties, True)["score"]
    np.testing.assert_allclose(
        fits["influence"], beta + full["var"] @ ((w[0] - 1) @ score), atol=1e-10
    )


def test_failures_are_counted_and_harm_no_other():
    rows, terms, tables = random_design(8, n_subjects=60, terms=1, q=2)
    rows["weight"] = np.ones_like(rows["weight"])
    n = subjects(rows, terms)
    beta = call(api, rows, terms, [tables])["fits"][0]["coefficients"]
    died = np.zeros(n, bool)
    died[rows["subject"][rows["event"] == 1] - 1] = True
    treated = np.zeros(n, bool)
    treated[terms[0]["subject"] - 1] = True
    w = np.ones((5, n))
    w[1, died] = 0  # nobody dies
    w[2, died & treated] = 0  # nobody with a dose dies
    w[3, treated] = 0  # nobody has a dose
    out = send(api.fit_wce_many, rows, terms, tables, beta, weights=w)
    assert out["reason"][:2] == ["ok", "no_event"]
    assert out["reason"][2] in ("infinite", "collinear")
    assert out["reason"][3:] == ["collinear", "ok"]
    assert out["failures"] == 3
    assert out["converged"].tolist() == [True, False, False, False, True]
    assert np.isnan(out["coefficients"][1:4]).all()
    np.testing.assert_allclose(out["coefficients"][[0, 4]], [beta, beta], rtol=1e-8)


def test_dropped_columns_stay_dropped():
    rows, terms, tables = random_design(4, n_subjects=80, q=2, terms=1)
    rows["x"] = np.asfortranarray(np.hstack((rows["x"], rows["x"][:, :1])))
    beta = call(api, rows, terms, [tables])["fits"][0]["coefficients"]
    draw = {"kind": "bayesian", "seed": 1, "first": 1, "count": 4}
    out = send(api.fit_wce_many, rows, terms, tables, beta, replicates=draw)
    assert out["failures"] == 0
    zero = np.nan_to_num(beta)  # as R sends them
    again = send(api.fit_wce_many, rows, terms, tables, zero, replicates=draw)
    np.testing.assert_array_equal(again["coefficients"], out["coefficients"])
    assert np.isnan(out["coefficients"][:, 2]).all()
    assert np.isfinite(np.delete(out["coefficients"], 2, axis=1)).all()


def test_draws():
    stratum = np.repeat([2, 1, 3], [50, 30, 20])
    many = api.replicate_weights(100, "multinomial", 7, 1, 400, stratum)["weights"]
    for code in (1, 2, 3):
        total = many[:, stratum == code].sum(axis=1)
        assert np.all(total == np.sum(stratum == code))
    assert abs(many.var() - (1 - 1 / 33)) < 0.05
    np.testing.assert_allclose(many.mean(axis=0), 1, atol=0.3)
    smooth = api.replicate_weights(100, "bayesian", 7, 1, 400, stratum)["weights"]
    assert smooth.min() > 0
    np.testing.assert_allclose(smooth[:, stratum == 3].mean(axis=1), 1)
    assert abs(smooth.var() - 1) < 0.1
    # Replicates are their own: not of the chunk, not of each other.
    again = api.replicate_weights(100, "multinomial", 7, 5, 2, stratum)["weights"]
    np.testing.assert_array_equal(again, many[4:6])
    assert len({row.tobytes() for row in many}) == 400
    other = api.replicate_weights(100, "multinomial", 8, 1, 1, stratum)["weights"]
    assert np.any(other != many[:1])
    # The stream is fixed: results can be had again with any later version.
    fixed = api.replicate_weights(8, "multinomial", 1, 1, 1)["weights"]
    assert fixed[0].tolist() == FIRST_DRAW


FIRST_DRAW = [2, 2, 1, 0, 0, 1, 1, 1]


def test_faults():
    rows, terms, tables = random_design(4, n_subjects=30, q=1, terms=1)
    n = subjects(rows, terms)
    beta = call(api, rows, terms, [tables])["fits"][0]["coefficients"]
    draw = {"kind": "bayesian", "seed": 1, "first": 1, "count": 4}
    for given, code in (
        ({}, "bad_weights"),
        ({"weights": np.ones((2, n)), "replicates": draw}, "bad_weights"),
        ({"weights": np.ones((2, n + 1))}, "bad_weights"),
        ({"weights": -np.ones((2, n))}, "bad_weights"),
        ({"weights": np.full((2, n), np.nan)}, "not_finite"),
        ({"replicates": {**draw, "kind": "wild"}}, "bad_kind"),
        ({"replicates": {**draw, "first": 0}}, "bad_replicates"),
        ({"replicates": {**draw, "seed": 0.5}}, "bad_replicates"),
        ({"replicates": {**draw, "sed": 1}}, "bad_replicates"),
        ({"replicates": {"kind": "bayesian"}}, "bad_replicates"),
        ({"replicates": draw, "method": "two_step"}, "bad_method"),
        ({"replicates": draw, "engine": "keops"}, "bad_engine"),
        ({"replicates": draw, "inequality": np.eye(beta.size + 1)}, "bad_inequality"),
    ):
        with pytest.raises(EngineError) as caught:
            send(api.fit_wce_many, rows, terms, tables, beta, **given)
        assert caught.value.code == code
