"""A whole pass on a device that holds no numbers.

Under ``FakeTensorMode`` tensors have a shape and a device and nothing else. What
would make a host wait for a GPU raises here: ``.item()``, a Python branch on a
value, ``nonzero``, a boolean mask as an index, tensors of two devices in one
operation. What runs here runs on a GPU without waiting; how fast, only a GPU can
tell.
"""

import numpy as np
import pytest
from test_torch import large, real_times, spline_curve
from vigitensor.api_inputs import _basis, exposure_records, person_rows
from vigitensor.survival.basis import cumulated, lag_basis
from vigitensor.survival.run import prepare

torch = pytest.importorskip("torch")
fake = pytest.importorskip("torch._subclasses.fake_tensor")
dispatch = pytest.importorskip("torch.utils._python_dispatch")


def problem_of(rows, records, tables, ties="efron"):
    n = int(rows["subject"].max())
    names = ("start", "stop", "event", "stratum", "subject", "offset", "weight", "x")
    given = person_rows(*(rows[name] for name in names), n)
    real = not isinstance(tables[0], np.ndarray) if tables else False
    data = prepare(given, n, exposure_records(records, n, real), [tables], ties)
    return data.problem(tables)


def model_of(problem, problems=1, stored=True):
    """A problem laid out on the processor, for ``problems`` weight vectors."""
    from vigitensor.survival.torch_device import engine_threads
    from vigitensor.survival.torch_fit import TorchEngine

    engine = TorchEngine("cpu")
    if not stored:
        engine._left = lambda *_: 0.0
    with engine_threads(engine.device):
        return engine.model(problem, np.ones((problem.weight.size, problems)))


def without_numbers(model):
    """The same model on device "meta", and the mode that it needs."""
    from vigitensor.survival.torch_ops import on_device

    mode = fake.FakeTensorMode()
    plain = on_device(model, torch.Tensor.clone)

    def empty(x):
        with mode:
            return mode.from_tensor(x).to("meta")

    return on_device(plain, empty), mode


class Names(dispatch.TorchDispatchMode):
    """Writes down which operations run."""

    def __init__(self):
        super().__init__()
        self.seen = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.seen.add(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


CASES = [
    # covariates, terms, problems, ties, features stored
    (2, 1, 1, "efron", True),
    (2, 1, 1, "efron", False),
    (0, 2, 1, "breslow", True),
    (3, 2, 4, "efron", True),
    (3, 2, 4, "efron", False),
    (2, 0, 1, "efron", True),
]


@pytest.mark.parametrize(("q", "terms", "problems", "ties", "stored"), CASES)
def test_a_pass_never_waits_for_the_device(q, terms, problems, ties, stored):
    from vigitensor.survival.torch_passes import newton_terms, score_terms

    rows, records, tables = large(n=300, q=q, terms=terms)
    problem = problem_of(rows, records, tables, ties)
    model = model_of(problem, problems, stored)
    p = problem.n_par
    empty, mode = without_numbers(model)
    with mode:
        beta = torch.zeros(problems, p, dtype=torch.float64, device="meta")
        found = newton_terms(empty, beta)
        assert score_terms(empty, beta).shape == (problems, 1 + p)
    assert found.device.type == "meta"
    assert found.dtype == torch.float64
    assert found.shape == (problems, 1 + p + p * p + p)


def test_a_pass_over_real_valued_times_never_waits():
    from vigitensor.survival.torch_passes import newton_terms, score_terms

    rng = np.random.default_rng(2)
    rows, records, _ = large(n=300, terms=2)
    rows, records = real_times(rows, records, rng)
    given = [{**r, "cells": np.array(r["cells"])} for r in records]
    tables = [_basis(spline_curve(rng, k), "designs") for k in (1, 3)]
    problem = problem_of(rows, given, tables)
    p = problem.n_par
    for stored in (True, False):
        empty, mode = without_numbers(model_of(problem, 2, stored))
        with mode:
            beta = torch.zeros(2, p, dtype=torch.float64, device="meta")
            assert score_terms(empty, beta).shape == (2, 1 + p)
            assert newton_terms(empty, beta).shape == (2, 1 + p + p * p + p)


def test_the_weights_of_replicates_are_made_without_waiting():
    """From the subjects' weights on the device to those of some replicates."""
    from vigitensor.survival.torch_model import Weights, log_weights

    def empty(*shape, dtype=torch.float64):
        return torch.empty(shape, dtype=dtype, device="meta")

    with fake.FakeTensorMode():
        log = log_weights(empty(90), empty(40, 8), empty(90, dtype=torch.int32))
        assert log.shape == (91, 8)
        some = Weights(log, empty(30, 8), empty(30, 8), empty(20, 8)).columns(
            empty(3, dtype=torch.int64)
        )
        assert some.log.shape == (91, 3)
        assert some.mean.shape == (20, 3)


def test_no_sum_of_a_pass_depends_on_chance():
    """Operations whose order of additions a GPU leaves open are not used."""
    from vigitensor.survival.torch_passes import newton_terms

    problem = problem_of(*large(n=300, terms=2))
    for stored in (True, False):
        model = model_of(problem, 2, stored)
        beta = torch.zeros(2, problem.n_par, dtype=torch.float64)
        with Names() as names:
            newton_terms(model, beta)
        assert "bmm" in names.seen
        atomic = {
            "index_add", "index_add_", "scatter_add", "scatter_add_", "index_put",
            "index_put_", "scatter_reduce", "index_reduce", "cumsum", "cumsum_",
            "bincount", "put_", "histc", "_unsafe_index_put",
        }  # fmt: skip
        assert not names.seen & atomic


@pytest.mark.parametrize(
    "fault",
    [
        lambda x: x.sum().item(),
        lambda x: x[x > 0],
        lambda x: x.nonzero(),
        lambda x: bool(x.any()),
        lambda x: x + torch.ones(3, dtype=torch.float64),
    ],
)
def test_the_test_sees_what_it_should(fault):
    seen = (
        fake.DataDependentOutputException,
        fake.DynamicOutputShapeException,
        fake.FakeTensorDeviceMismatchError,
    )
    with fake.FakeTensorMode(), pytest.raises(seen):
        fault(torch.ones(3, dtype=torch.float64, device="meta"))


class Peak(dispatch.TorchDispatchMode):
    """Bytes of all that operations made and that is alive, at their highest."""

    def __init__(self):
        super().__init__()
        self.alive = {}
        self.highest = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        from torch.multiprocessing.reductions import StorageWeakRef

        out = func(*args, **(kwargs or {}))
        for x in out if isinstance(out, (list, tuple)) else [out]:
            if isinstance(x, torch.Tensor):
                store = x.untyped_storage()
                ref = StorageWeakRef(store)
                self.alive.setdefault(ref.cdata, (ref, store.nbytes()))
        self.alive = {k: v for k, v in self.alive.items() if not v[0].expired()}
        self.highest = max(self.highest, sum(v[1] for v in self.alive.values()))
        return out


@pytest.mark.parametrize("megabytes", [64, 192])
def test_memory_stays_within_the_budget(megabytes):
    """Features alone would need over 100 MB."""
    from vigitensor import api
    from vigitensor.survival import torch_fit

    rows, records, tables = large(n=8000, terms=2)
    tables = [cumulated(lag_basis(len(table) - 1, 8)) for table in tables]
    problem = problem_of(rows, records, tables)
    api.set_threads(1)  # a dispatch mode sees its own thread only
    try:
        engine = torch_fit.TorchEngine("cpu", megabytes)
        with Peak() as peak:
            step = engine.evaluator(problem)(np.zeros(problem.n_par))
    finally:
        api.set_threads(None)
    assert np.isfinite(step.loglik)
    positions = engine._layout.tiles.positions()
    assert positions * 8 * (problem.n_par - 2) > 100 * 2**20
    assert peak.highest + engine._size <= megabytes * 2**20
    assert peak.highest + engine._size >= 0.4 * megabytes * 2**20


def test_memory_of_replicates_stays_within_the_budget(megabytes=64):
    from vigitensor import api
    from vigitensor.survival.many_pass import Replicate, reweigh_deaths
    from vigitensor.survival.torch_fit import TorchEngine
    from vigitensor.survival.torch_many import TorchPasses

    rows, records, tables = large(n=1500, terms=2)
    problem = problem_of(rows, records, tables)
    n = int(problem.subject.max()) + 1
    weights = api.replicate_weights(n, "multinomial", 1, 1, 16)["weights"]
    beta = np.zeros(problem.n_par)
    api.set_threads(1)
    try:
        engine = TorchEngine("cpu", megabytes)
        with Peak() as peak:
            passes = TorchPasses(engine, problem, weights)
            group = [
                Replicate(k, reweigh_deaths(problem, weights[k], "efron"), beta)
                for k in range(passes.together)
            ]
            passes.evaluate(group, True)
    finally:
        api.set_threads(None)
    assert passes.together > 1
    assert all(np.isfinite(r.info).all() for r in group)
    assert peak.highest + engine._size <= megabytes * 2**20
