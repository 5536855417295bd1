"""Cox fits against the model written out, and against what must not matter."""

import numpy as np
import pytest
from cox_designs import arguments, random_cox, with_start
from oracles.dense import DenseCox
from oracles.dense_cox import exact_sums
from vigitensor import api, device
from vigitensor.errors import EngineError
from vigitensor.survival import cox, cox_moments


def check(rows, ties, **options):
    """Values to rounding; coefficients by the step Newton would still take."""
    fit = api.fit_cox(**arguments(rows), ties=ties, **options)
    dense = DenseCox(with_start(rows), [], [], ties)
    theta = np.asarray(options.get("penalty", np.zeros(dense.n_par)))
    start = np.asarray(options.get("init", np.zeros(dense.n_par)))
    kept = np.isfinite(fit["coefficients"])
    beta = np.where(kept, fit["coefficients"], start)
    scale = max(1.0, abs(dense.sums(start)[0]))
    assert fit["loglik"][0] == pytest.approx(dense.sums(start)[0], abs=1e-10 * scale)
    value, score, info = dense.sums(beta)
    assert fit["loglik"][1] == pytest.approx(value, abs=1e-10 * scale)
    assert fit["converged"]
    assert abs(rows["weight"] @ fit["residuals"]) < 1e-9 * scale
    if fit["infinite"].any() or not kept.all():
        return False
    np.testing.assert_allclose(
        fit["info"], info, atol=1e-9 * max(1, info.max(initial=0))
    )
    gradient = score - theta * beta
    np.testing.assert_allclose(fit["score"], gradient, atol=1e-8 * scale)
    hessian = info + np.diag(theta)
    np.testing.assert_allclose(fit["var"] @ hessian, np.eye(beta.size), atol=1e-7)
    step = np.linalg.solve(hessian, gradient)
    spread = np.sqrt(np.diag(fit["var"]))
    assert np.all(np.abs(step) < 1e-8 * (spread + np.abs(beta)))
    return True


@pytest.mark.parametrize("ties", ["efron", "breslow"])
@pytest.mark.parametrize("block", range(5))
def test_random_designs(block, ties):
    """Strata, weights, offsets, entry times, ties crossed; most are regular."""
    regular = [check(random_cox(100 * block + k), ties) for k in range(12)]
    assert sum(regular) >= 4


@pytest.mark.parametrize("ties", ["efron", "breslow"])
@pytest.mark.parametrize("seed", range(6))
def test_start_and_penalty(seed, ties):
    rng = np.random.default_rng(seed)
    rows = random_cox(seed, q=3)
    assert check(rows, ties, penalty=rng.uniform(0.1, 3, 3))
    check(rows, ties, init=0.3 * rng.normal(size=3))


@pytest.mark.parametrize("seed", range(8))
def test_sums_that_never_subtract(seed, monkeypatch):
    """The way taken where risks span too wide a range gives the same fit."""
    rows = random_cox(seed, q=2)
    fit = api.fit_cox(**arguments(rows))
    monkeypatch.setattr(cox, "imprecise", lambda point: True)
    other = api.fit_cox(**arguments(rows))
    np.testing.assert_allclose(fit["loglik"], other["loglik"], rtol=1e-11)
    if not fit["infinite"].any():
        np.testing.assert_allclose(
            fit["coefficients"], other["coefficients"], atol=1e-8
        )


@pytest.mark.parametrize("q", [2, 5])
def test_first_moments_in_twice_the_precision(q, monkeypatch):
    rows = random_cox(3, q=q, right=False)
    fit = api.fit_cox(**arguments(rows))
    monkeypatch.setattr(cox_moments, "plain_is_enough", lambda *_: False)
    other = api.fit_cox(**arguments(rows))
    np.testing.assert_allclose(fit["info"], other["info"], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("right", [True, False])
@pytest.mark.parametrize("seed", range(10))
def test_exact_ties(seed, right):
    """All sets of deaths listed, at the result and at the start."""
    rows = random_cox(seed, right=right, plain=True, q=2, n_subjects=9)
    rows["stop"] = np.ceil(rows["stop"] / 4) * 4
    if not right:
        rows["start"] = np.minimum(rows["start"], rows["stop"] - 1)
    rows["stratum"] = np.ones_like(rows["stratum"])
    fit = api.fit_cox(**arguments(rows), ties="exact")
    start = exact_sums(rows, np.zeros(2))
    assert fit["loglik"][0] == pytest.approx(start[0], abs=1e-10)
    if np.isnan(fit["coefficients"]).any():
        return
    value, score, info = exact_sums(rows, fit["coefficients"])
    assert fit["loglik"][1] == pytest.approx(value, abs=1e-10)
    np.testing.assert_allclose(fit["info"], info, atol=1e-9)
    np.testing.assert_allclose(fit["score"], score, atol=1e-8)


def test_exact_ties_of_hundreds():
    """Equal risks: the log of a binomial coefficient, 400 choose 150."""
    from math import lgamma

    event = np.repeat([1, 0], [150, 250])
    fit = api.fit_cox(
        None, np.ones(400), event, np.ones(400), np.zeros(400), np.ones(400),
        np.empty((400, 0)), "exact",
    )  # fmt: skip
    expected = lgamma(401) - lgamma(151) - lgamma(251)
    assert fit["loglik"][0] == pytest.approx(-expected, rel=1e-12)


def test_two_groups_by_hand():
    """One event: the score test and the likelihood of two against three."""
    fit = api.fit_cox(
        None, np.array([1.0, 2, 3, 4, 5]), np.array([1, 0, 0, 0, 0]), np.ones(5),
        np.zeros(5), np.ones(5), np.array([[1.0, 0, 1, 0, 0]]).T,
        control={"max_iter": 0},
    )  # fmt: skip
    assert fit["loglik"][0] == pytest.approx(-np.log(5))
    assert fit["score_test"] == pytest.approx((1 - 0.4) ** 2 / (0.4 * 0.6))
    assert not np.isnan(fit["coefficients"]).any()


@pytest.mark.parametrize("ties", ["efron", "breslow", "exact"])
def test_score_and_information_are_derivatives(ties):
    rows = random_cox(11, right=False, plain=True, q=2, n_subjects=40)
    beta, h = np.array([0.2, -0.1]), 1e-5

    def at(b):
        return api.fit_cox(
            **arguments(rows), ties=ties, init=b, control={"max_iter": 0}
        )

    here = at(beta)
    for k in range(2):
        e = h * np.eye(2)[k]
        up, down = at(beta + e), at(beta - e)
        slope = (up["loglik"][0] - down["loglik"][0]) / (2 * h)
        assert here["score"][k] == pytest.approx(slope, abs=1e-5)  # h^2 and eps/h
        curve = -(up["score"] - down["score"]) / (2 * h)
        np.testing.assert_allclose(here["info"][k], curve, rtol=1e-5, atol=1e-5)


def test_late_small_risk_set_keeps_its_digits():
    """Risks e^23 as large have left before; the likelihood is known by hand."""
    early = 2000
    big = 23.0
    start = np.concatenate((np.zeros(early), np.full(3, 50.0)))
    stop = np.concatenate((np.linspace(1, 40, early), [60.0, 61, 62]))
    event = np.concatenate((np.zeros(early), [1, 0, 0]))
    event[:2] = 1
    offset = np.concatenate((np.full(early, big), np.zeros(3)))
    n = early + 3
    fit = api.fit_cox(
        start, stop, event, np.ones(n), offset, np.ones(n), np.empty((n, 0))
    )
    by_hand = -np.log(early) - np.log(early - 1) - np.log(3)
    assert fit["loglik"][0] == pytest.approx(by_hand, rel=1e-13)


def test_what_does_not_matter():
    """Order of rows, labels of strata, split rows, moved time, moved covariates."""
    rows = random_cox(21, right=False, q=3, n_subjects=60)
    rng = np.random.default_rng(0)
    fit = api.fit_cox(**arguments(rows))
    n = rows["stop"].size
    mixed = rng.permutation(n)
    middle = (rows["start"] + rows["stop"]) / 2
    twice = {k: np.concatenate((v, v)) for k, v in rows.items()}
    twice["stop"][:n], twice["start"][n:] = middle, middle
    twice["event"][:n] = 0
    changed = [
        {k: v[mixed] for k, v in rows.items()},
        {**rows, "stratum": 7 - rows["stratum"]},
        {**rows, "start": rows["start"] + 8, "stop": rows["stop"] + 8},
        {**rows, "x": np.asfortranarray(rows["x"] + 4)},
        twice,
    ]
    for other in changed:
        new = api.fit_cox(**arguments(other))
        np.testing.assert_allclose(new["loglik"], fit["loglik"], rtol=1e-11)
        np.testing.assert_allclose(
            new["coefficients"], fit["coefficients"], rtol=1e-8, atol=1e-9
        )


@pytest.mark.parametrize("ties", ["efron", "breslow", "exact"])
@pytest.mark.parametrize("right", [True, False])
def test_rows_that_are_never_at_risk(ties, right):
    """A few are passed over with the others, however large their risk; many are
    left out. Neither has a part in the fit."""
    rows = random_cox(5, right=right, plain=True, q=3, n_subjects=60)
    first = rows["stop"][rows["event"] > 0].min()
    n = rows["stop"].size
    fit = api.fit_cox(**arguments(rows), ties=ties)
    for times in (0.1, 2):
        more = int(times * n)
        never = {
            "start": None if right else np.full(more, first - 2),
            "stop": np.full(more, first - 1),
            "event": np.zeros(more),
            "stratum": np.resize(rows["stratum"], more),
            "offset": np.full(more, 700.0),
            "weight": np.ones(more),
            "x": np.full((more, 3), 1e3),
        }
        both = {k: v if v is None else np.concatenate((rows[k], v))
                for k, v in never.items()}  # fmt: skip
        new = api.fit_cox(**arguments(both), ties=ties)
        np.testing.assert_allclose(new["loglik"], fit["loglik"], rtol=1e-11)
        np.testing.assert_allclose(new["var"], fit["var"], rtol=1e-8)
        np.testing.assert_allclose(new["residuals"][:n], fit["residuals"], atol=1e-9)
        np.testing.assert_array_equal(new["residuals"][n:], 0.0)
        lin = 700 + (1e3 - new["means"]) @ new["coefficients"]
        np.testing.assert_allclose(new["linear_predictors"][n:], lin)


def test_same_bits_for_any_number_of_threads():
    rng = np.random.default_rng(5)
    n = 200_000
    stop = rng.uniform(1, 100, n)
    rows = {
        "start": stop - rng.uniform(0.5, 1, n), "stop": stop,
        "event": (rng.random(n) < 0.2).astype(int), "stratum": np.ones(n, int),
        "offset": np.zeros(n), "weight": np.ones(n),
        "x": np.asfortranarray(rng.normal(size=(n, 5))),
    }  # fmt: skip
    try:
        device.set_threads(1)
        one = api.fit_cox(**rows)
        device.set_threads(3)
        three = api.fit_cox(**rows)
    finally:
        device.set_threads(None)
    for name in ("coefficients", "var", "loglik", "residuals", "linear_predictors"):
        np.testing.assert_array_equal(one[name], three[name])


def test_collinear_and_constant_columns_are_dropped():
    rows = random_cox(8, right=False, q=2, n_subjects=40)
    x = rows["x"]
    more = np.asfortranarray(np.c_[x, x[:, 0] - 2 * x[:, 1], np.full(len(x), 3.3)])
    fit = api.fit_cox(**arguments(rows))
    wide = api.fit_cox(**arguments({**rows, "x": more}))
    assert np.isnan(wide["coefficients"]).tolist() == [False, False, True, True]
    assert not wide["var"][2:].any()
    np.testing.assert_allclose(wide["coefficients"][:2], fit["coefficients"], atol=1e-8)


def test_monotone_likelihood_is_named():
    x = np.array([[1.0, 1, 1, 0, 0, 0], [0.3, -1, 0.2, 0.5, 0.1, -0.7]]).T
    fit = api.fit_cox(
        None, np.arange(1.0, 7), np.array([1, 1, 1, 0, 0, 0]), np.ones(6), np.zeros(6),
        np.ones(6), x,
    )  # fmt: skip
    assert fit["infinite"][0]
    assert np.isfinite(fit["loglik"]).all()


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"event": np.zeros(4)}, "no_event"),
        ({"event": np.full(4, 2)}, "bad_event"),
        ({"weight": np.full(4, -1.0)}, "bad_weight"),
        ({"start": np.full(4, 9.0)}, "bad_interval"),
        ({"x": np.array([[1.0], [np.nan], [0], [2]])}, "not_finite"),
        ({"stratum": np.zeros(4, int)}, "bad_code"),
        ({"init": np.zeros(2)}, "bad_shape"),
        ({"penalty": -np.ones(1)}, "bad_penalty"),
        ({"ties": "exact", "weight": np.full(4, 2.0)}, "exact_weights"),
        ({"ties": "none"}, "bad_ties"),
    ],
)
def test_faults(change, code):
    given = {
        "start": np.zeros(4), "stop": np.arange(1.0, 5), "event": np.ones(4),
        "stratum": np.ones(4, int), "offset": np.zeros(4), "weight": np.ones(4),
        "x": np.array([[1.0], [0], [2], [1]]),
    }  # fmt: skip
    with pytest.raises(EngineError) as fault:
        api.fit_cox(**{**given, **change})
    assert fault.value.code == code
