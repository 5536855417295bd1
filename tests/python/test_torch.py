"""Engine "torch" on the processor against engine "cpu"."""

import numpy as np
import pytest
from designs import call, random_design, random_rows, send
from vigitensor import api
from vigitensor.errors import EngineError
from vigitensor.survival.basis import cumulated, lag_basis

torch = pytest.importorskip("torch")


def on_torch(rows, terms, designs, ties="efron", device="cpu", **kw):
    options = {"engine": "torch", "device": device, **kw}
    return send(api.fit_wce, rows, terms, designs, ties, {}, **options)


def both(rows, terms, designs, ties="efron", **kw):
    """The fits of both engines."""
    cpu = call(api, rows, terms, designs, ties)
    found = on_torch(rows, terms, designs, ties, **kw)
    for name in ("n_event_times", "n_pairs", "n_events", "exposed_events"):
        assert cpu[name] == found[name]
    return cpu["fits"], found["fits"]


def agree(cpu, found):
    """To 1e-9, or to what is left of the digits of a badly conditioned inverse."""
    if cpu["infinite"].any() or not cpu["converged"]:
        # No optimum to agree on: the likelihood rises for ever.
        assert found["infinite"].any() or not found["converged"]
        assert found["loglik"][1] == pytest.approx(cpu["loglik"][1], abs=1e-6)
        return "infinite"
    np.testing.assert_allclose(found["loglik"], cpu["loglik"], rtol=1e-12)
    beta, kept = cpu["coefficients"], np.isfinite(cpu["coefficients"])
    np.testing.assert_array_equal(np.isfinite(found["coefficients"]), kept)
    if not kept.any():
        return "nothing"
    largest = np.abs(beta[kept]).max()
    np.testing.assert_allclose(
        found["coefficients"], beta, rtol=1e-9, atol=1e-9 * max(1, largest)
    )
    block = cpu["var"][np.ix_(kept, kept)]
    scale = np.sqrt(np.diag(block))
    correlation = block / np.outer(scale, scale)
    lost = 1e-13 * np.linalg.cond(correlation)
    np.testing.assert_allclose(
        found["var"][np.ix_(kept, kept)] / np.outer(scale, scale),
        correlation,
        atol=1e-9 + lost,
    )
    assert found["iterations"] == cpu["iterations"]
    return "regular"


@pytest.mark.parametrize("ties", ["efron", "breslow"])
@pytest.mark.parametrize("block", range(5))
def test_random_designs(block, ties):
    kinds = []
    for k in range(20):
        rows, terms, tables = random_design(100 * block + k)
        (cpu,), (found,) = both(rows, terms, [tables], ties)
        kinds.append(agree(cpu, found))
    assert kinds.count("regular") >= 8


def large(seed=1, n=3000, q=2, terms=1):
    """Runs over many event blocks, event times with gaps, two strata."""
    rng = np.random.default_rng(seed)
    stop = np.minimum(rng.geometric(1 / 900, n), 365).astype(float)
    rows = {
        "start": np.where(rng.random(n) < 0.3, np.floor(stop / 2), 0.0),
        "stop": stop,
        "event": ((stop < 365) & (rng.random(n) < 0.6)).astype(int),
        "stratum": rng.integers(1, 3, n),
        "subject": np.arange(1, n + 1),
        "offset": rng.normal(size=n) / 5,
        "weight": rng.choice([0.0, 1.0, 2.0], n),
        "x": np.asfortranarray(rng.normal(size=(n, q))),
    }
    records = []
    for _ in range(terms):
        whose = rng.integers(1, n + 1, 2 * n)
        begin = rng.integers(-60, 365, 2 * n).astype(float)
        records.append({
            "subject": whose, "start": begin,
            "stop": begin + rng.integers(5, 60, 2 * n),
            "dose": rng.choice([0.5, 1.0, 2.0], 2 * n),
        })  # fmt: skip
    tables = [cumulated(lag_basis(m, 1, constrained="right")) for m in (90, 30)[:terms]]
    return rows, records, tables


@pytest.mark.parametrize(("q", "terms"), [(0, 1), (2, 1), (1, 2), (2, 0)])
def test_larger_data(q, terms):
    rows, records, tables = large(q=q, terms=terms)
    (cpu,), (found,) = both(rows, records, [tables])
    assert agree(cpu, found) == "regular"


def test_grid_of_knots_and_cutoffs():
    rows, records, _ = large()
    grid = [
        [cumulated(lag_basis(m, k, constrained="right"))]
        for m in (60, 90)
        for k in (1, 2)
    ]
    for cpu, found in zip(*both(rows, records, grid)):
        assert agree(cpu, found) == "regular"


# ---- real-valued times ------------------------------------------------------


def real_times(rows, terms, rng):
    """The same people with times off the grid, some of them still tied."""
    shift = rng.choice([0.0, 0.25, 1 / 3], int(rows["stop"].max()) + 1)

    def moved(t):
        inside = (t >= 0) & (t < shift.size)
        return t + np.where(inside, shift[np.clip(t, 0, shift.size - 1).astype(int)], 0)

    rows = {**rows, "start": moved(rows["start"]), "stop": moved(rows["stop"])}
    out = []
    for term in terms:
        start = term["start"] + rng.uniform(0, 0.9, term["start"].size)
        stop = start + rng.uniform(0.1, 12, start.size)
        out.append({**term, "start": start, "stop": stop, "cells": [0.0, 2.0, 6.0]})
    return rows, out


def spline_curve(rng, pieces=3, columns=3, powers=5):
    """A continuous curve of polynomials, zero at lag 0."""
    breaks = np.cumsum(np.concatenate(([0.0], rng.uniform(1.5, 5.0, pieces))))
    coef = rng.normal(size=(pieces, powers, columns))
    coef *= 0.3 ** np.arange(powers)[:, None]
    coef[0, 0] = 0
    for k in range(1, pieces):
        h = breaks[k] - breaks[k - 1]
        coef[k, 0] = np.tensordot(h ** np.arange(powers), coef[k - 1], 1)
    return {"breaks": breaks, "coefficients": coef.reshape(-1, columns)}


@pytest.mark.parametrize("ties", ["efron", "breslow"])
@pytest.mark.parametrize("block", range(3))
def test_real_valued_times(block, ties):
    kinds = []
    for k in range(10):
        rng = np.random.default_rng(1000 * block + k)
        rows, terms, _ = random_design(100 * block + k, n_subjects=40)
        rows, terms = real_times(rows, terms, rng)
        curves = [
            spline_curve(rng, int(rng.integers(1, 5)), int(rng.integers(1, 4)))
            for _ in terms
        ]
        (cpu,), (found,) = both(rows, terms, [curves], ties)
        kinds.append(agree(cpu, found))
    assert kinds.count("regular") >= 5


def test_real_valued_times_of_larger_data():
    """Doses that end, begin and fill the window exactly at event times too."""
    rng = np.random.default_rng(3)
    rows, records, _ = large(terms=2)
    rows, moved = real_times(rows, records, rng)
    records = [
        {**a, "start": np.append(a["start"][:3000], b["start"][3000:]),
         "stop": np.append(a["stop"][:3000], b["stop"][3000:])}
        for a, b in zip(records, moved)
    ]  # fmt: skip
    curves = [spline_curve(rng), spline_curve(rng, 1)]
    curves[1]["breaks"][-1] = 30.0
    curves[1]["coefficients"] *= 0.1 ** np.arange(5)[:, None]
    (cpu,), (found,) = both(rows, records, [curves])
    assert agree(cpu, found) == "regular"


@pytest.fixture
def small_chunks(monkeypatch):
    from vigitensor.survival import torch_fit

    monkeypatch.setitem(torch_fit._POSITIONS, "cpu", 4096)
    monkeypatch.setitem(torch_fit._ROWS_AT_ONCE, "cpu", 512)
    yield
    api.set_threads(None)


@pytest.mark.usefixtures("small_chunks")
def test_threads_give_the_same_bits():
    rows, records, tables = large(terms=2)
    fits = []
    for threads in (1, 2, 3):
        api.set_threads(threads)
        out = on_torch(rows, records, [tables], memory_mb=256.0)
        fits.append(out["fits"][0])
    for other in fits[1:]:
        for name in ("coefficients", "var", "loglik", "score"):
            np.testing.assert_array_equal(fits[0][name], other[name])


@pytest.mark.usefixtures("small_chunks")
def test_features_that_do_not_fit_are_made_again(monkeypatch):
    """With no room left for features or risks, the result is the same."""
    from vigitensor.survival.torch_fit import TorchEngine

    rows, records, tables = large(terms=2)
    (cpu,), (found,) = both(rows, records, [tables])
    agree(cpu, found)
    monkeypatch.setattr(TorchEngine, "_left", lambda *_: 0.0)
    (cpu,), (again,) = both(rows, records, [tables])
    assert agree(cpu, again) == "regular"
    np.testing.assert_allclose(again["coefficients"], found["coefficients"], rtol=1e-11)


def test_settings_of_torch_are_left_as_they_were():
    before = torch.get_num_threads()
    rows, terms, tables = random_design(3)
    both(rows, terms, [tables])
    assert torch.get_num_threads() == before
    assert torch.is_grad_enabled()
    assert not torch.is_inference_mode_enabled()


# ---- Cox models -------------------------------------------------------------


def cox(rows, ties, penalty=None, **kw):
    return api.fit_cox(
        rows["start"], rows["stop"], rows["event"], rows["stratum"],
        rows["offset"], rows["weight"], rows["x"], ties, None, penalty, **kw,
    )  # fmt: skip


@pytest.mark.parametrize("ties", ["efron", "breslow"])
@pytest.mark.parametrize("penalised", [False, True])
def test_cox(ties, penalised):
    compared = 0
    for seed in range(20):
        rows = random_rows(np.random.default_rng(seed), q=3)
        penalty = np.full(3, 0.5) if penalised else None
        one = cox(rows, ties, penalty)
        two = cox(rows, ties, penalty, engine="torch", device="cpu")
        if one["infinite"].any():
            continue
        compared += 1
        for name in ("coefficients", "var", "loglik", "linear_predictors", "info"):
            scale = np.nanmax(np.abs(one[name]))
            np.testing.assert_allclose(two[name], one[name], atol=1e-10 * scale)
    assert compared >= 10


def test_cox_exact_ties_are_refused():
    rows = random_rows(np.random.default_rng(1), q=2)
    rows["weight"][:] = 1
    with pytest.raises(EngineError) as caught:
        cox(rows, "exact", engine="torch")
    assert caught.value.code == "exact_torch"


# ---- many problems at once --------------------------------------------------


def test_weights_of_many_problems_at_once():
    """B weight vectors give what each of them gives alone."""
    from vigitensor.api_inputs import exposure_records, person_rows
    from vigitensor.survival.run import prepare
    from vigitensor.survival.torch_device import engine_threads
    from vigitensor.survival.torch_fit import TorchEngine
    from vigitensor.survival.torch_passes import newton_terms

    rows, records, tables = large(n=600)
    rows["weight"][:] = 1.0
    n = int(rows["subject"].max())
    names = ("start", "stop", "event", "stratum", "subject", "offset", "weight", "x")
    given = person_rows(*(rows[name] for name in names), n)
    data = prepare(given, n, exposure_records(records, n), [tables], "efron")
    problem = data.problem(tables)
    rng = np.random.default_rng(0)
    weight = rng.poisson(1.0, (problem.weight.size, 3)).astype(float)
    beta = rng.normal(size=(3, problem.n_par)) / 20
    engine = TorchEngine("cpu")
    with engine_threads(engine.device):
        together = newton_terms(
            engine.model(problem, weight), torch.from_numpy(beta)
        ).numpy()
        for b in range(3):
            alone = newton_terms(
                engine.model(problem, weight[:, b : b + 1].copy()),
                torch.from_numpy(beta[b : b + 1]),
            ).numpy()
            scale = np.abs(alone).max()
            np.testing.assert_allclose(
                together[b], alone[0], rtol=1e-11, atol=1e-13 * scale
            )
            assert np.isfinite(alone).all()


# ---- faults -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"device": "cuda:9"}, "no_device"),
        ({"device": "nowhere"}, "no_device"),
        ({"memory_mb": 1}, "bad_memory"),
        ({"memory_mb": np.inf}, "bad_memory"),
        ({"engine": "keops"}, "bad_engine"),
    ],
)
def test_faults(options, code):
    rows, terms, tables = random_design(3)
    with pytest.raises(EngineError) as caught:
        on_torch(rows, terms, [tables], **options)
    assert caught.value.code == code


def test_data_that_do_not_fit_say_how_much_they_need(monkeypatch):
    from vigitensor.survival import torch_fit

    monkeypatch.setattr(torch_fit, "memory_budget", lambda *_: 2.0**20)
    rows, records, tables = large()
    with pytest.raises(EngineError, match="memory_mb") as caught:
        on_torch(rows, records, [tables])
    assert caught.value.code == "device_memory"


def test_a_missing_torch_is_named(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "torch", None)
    rows, terms, tables = random_design(3)
    with pytest.raises(EngineError, match="install_engine") as caught:
        on_torch(rows, terms, [tables])
    assert caught.value.code == "no_torch"


def test_a_forked_process_is_refused(monkeypatch):
    from vigitensor.survival import torch_device

    monkeypatch.setattr(torch_device, "_first_user", -1)
    with pytest.raises(EngineError) as caught:
        torch_device.load_torch()
    assert caught.value.code == "torch_forked"


def test_torch_is_imported_by_its_own_engine_alone():
    import subprocess
    import sys
    from pathlib import Path

    engine = Path(__file__).resolve().parents[2] / "inst" / "python"
    code = f"""
import sys
sys.path.insert(0, {str(engine)!r})
from vigitensor import api, backends
backends.wce_fitter("cpu", None, None)
assert api.engine_report()["devices"] == ["cpu"]
assert "torch" not in sys.modules
backends.wce_fitter("torch", "cpu", None)
assert "torch" in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)
