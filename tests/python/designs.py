"""Random small data sets with everything that makes Cox models awkward."""

import numpy as np
from vigitensor.survival.basis import cumulated, lag_basis


def random_table(rng, kind=None):
    """A cumulated basis: splines of some shape, or any numbers at all."""
    kind = kind or rng.choice(["clamped", "WCE", "free"])
    if kind == "free":
        m, columns = int(rng.integers(1, 12)), int(rng.integers(1, 4))
        return cumulated(rng.normal(size=(m, columns)))
    constrained = rng.choice([None, "right", "left"])
    return cumulated(
        lag_basis(int(rng.integers(8, 16)), 1, constrained=constrained, basis=kind)
    )


def random_term(rng, n_subjects, last):
    """Records that overlap, begin before entry and end after exit."""
    n = int(rng.integers(1, 4 * n_subjects))
    start = rng.integers(-15, last, n).astype(float)
    return {
        "subject": rng.integers(1, n_subjects + 1, n),
        "start": start,
        "stop": start + rng.integers(1, 12, n),
        "dose": rng.choice([0.1, 0.2, 0.3, 1.0, 2.5], n),
    }


def random_rows(rng, n_subjects=20, last=25, q=None, consecutive=False):
    """Rows of subjects, cut in several, with ties, strata, weights, offsets."""
    q = int(rng.integers(0, 4)) if q is None else q
    strata = int(rng.integers(1, 3))
    late = rng.random() < 0.5
    rows = {k: [] for k in ("start", "stop", "event", "stratum", "subject", "x")}
    for s in range(1, n_subjects + 1):
        entry = int(rng.integers(0, last // 2)) if late else 0
        leave = int(rng.integers(entry + 1, last + 1))
        inside = np.arange(entry + 1, leave)
        size = min(inside.size, int(rng.integers(0, 3)))
        edges = [entry, *sorted(rng.choice(inside, size, replace=False)), leave]
        stratum = int(rng.integers(1, strata + 1))
        for a, b in zip(edges[:-1], edges[1:]):
            rows["start"].append(a)
            rows["stop"].append(b)
            rows["event"].append(0)
            rows["stratum"].append(stratum)
            rows["subject"].append(s)
            rows["x"].append(np.round(rng.normal(size=q), 1) + np.arange(q) * 10)
        rows["event"][-1] = int(rng.random() < 0.7)
        if rng.random() < 0.1:  # recurrent events
            rows["event"][-len(edges) + 1] = 1
    n = len(rows["start"])
    out = {k: np.array(v) for k, v in rows.items()}
    out["x"] = np.asfortranarray(np.array(rows["x"]).reshape(n, q))
    out["start"] = out["start"].astype(float)
    out["stop"] = out["stop"].astype(float)
    plain = rng.random() < 0.5
    out["weight"] = np.ones(n) if plain else rng.choice([0.5, 1, 1, 2, 0], n)
    out["offset"] = np.zeros(n) if plain else rng.normal(size=n)
    if not np.any((out["event"] == 1) & (out["weight"] > 0)):
        out["event"][0], out["weight"][0] = 1, 1.0
    return out


def random_design(seed, *, terms=None, **options):
    """Rows, terms and tables of one seed."""
    rng = np.random.default_rng(seed)
    rows = random_rows(rng, **options)
    n_terms = int(rng.integers(1, 3)) if terms is None else terms
    last = int(rows["stop"].max())
    n_subjects = int(rows["subject"].max())
    records = [random_term(rng, n_subjects, last) for _ in range(n_terms)]
    return rows, records, [random_table(rng) for _ in range(n_terms)]


_COLUMNS = ("start", "stop", "event", "stratum", "subject", "offset", "weight", "x")


def send(function, rows, terms, *args, **options):
    """A function of the api with the pieces as R would send them."""
    n_subjects = int(rows["subject"].max())
    for term in terms:
        n_subjects = max(n_subjects, int(np.max(term["subject"], initial=1)))
    columns = (rows[name] for name in _COLUMNS)
    return function(*columns, n_subjects, terms, *args, **options)


def call(api, rows, terms, designs, ties="efron", **control):
    """api.fit_wce with settings by name."""
    return send(api.fit_wce, rows, terms, designs, ties, control)
