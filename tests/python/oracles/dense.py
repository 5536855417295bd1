"""The model written out: every row at every event time, every lag of every record.

O(rows x event times x lags), no step functions, no differences, no sharing. The
tests compare the engine with it.
"""

from __future__ import annotations

import numpy as np


def features(subjects, t, term, table):
    """D of each subject in `subjects` at time t: (len, J). Sums lag by lag."""
    m = table.shape[0] - 1
    weights = np.diff(table, axis=0)  # (m, J), lag 1 first
    out = np.zeros((len(subjects), table.shape[1]))
    for r in range(len(term["dose"])):
        at = np.flatnonzero(subjects == term["subject"][r])
        if at.size == 0:
            continue
        for unit in range(int(term["start"][r]), int(term["stop"][r])):
            lag = int(t) - unit
            if 1 <= lag <= m:
                out[at] += term["dose"][r] * weights[lag - 1]
    return out


class DenseCox:
    """Cox's partial likelihood with everything expanded.

    Codes may be 0- or 1-based, as long as rows and terms agree.
    """

    def __init__(self, rows, terms, tables, ties="efron"):
        self.rows, self.ties = rows, ties
        dead = (rows["event"] == 1) & (rows["weight"] > 0)
        keys = sorted(set(zip(rows["stratum"][dead], rows["stop"][dead])))
        self.sets = []
        self.pairs = 0
        self.covered = [np.zeros(t.shape[0] - 1, bool) for t in tables]
        for s, t in keys:
            risk = np.flatnonzero(
                (rows["stratum"] == s) & (rows["start"] < t) & (rows["stop"] >= t)
            )
            died = (rows["event"][risk] == 1) & (rows["stop"][risk] == t)
            subjects = rows["subject"][risk]
            parts = [rows["x"][risk]]
            exposed = np.zeros(risk.size, bool)
            for k, (term, table) in enumerate(zip(terms, tables)):
                parts.append(features(subjects, t, term, table))
                cut = table.shape[0] - 1
                ones = np.concatenate((np.zeros((1, cut)), np.tri(cut).T.cumsum(0) * 0))
                ones[1:] = np.cumsum(np.eye(cut), axis=0)
                by_lag = features(subjects, t, term, ones)
                exposed |= np.any(by_lag != 0, axis=1)
                self.covered[k] |= np.any(by_lag != 0, axis=0)
            self.pairs += int(exposed.sum())
            self.sets.append((risk, died, np.concatenate(parts, axis=1)))

    @property
    def n_par(self):
        return self.sets[0][2].shape[1]

    def loglik(self, beta):
        return self._sums(beta)[0]

    def score(self, beta):
        return self._sums(beta)[1]

    def info(self, beta):
        return self._sums(beta)[2]

    def _sums(self, beta):
        p = beta.size
        value, score, info = 0.0, np.zeros(p), np.zeros((p, p))
        shift = self.rows["offset"].max()
        for risk, died, x in self.sets:
            w = self.rows["weight"][risk]
            eta = x @ beta + self.rows["offset"][risk] - shift
            rho = w * np.exp(eta)
            d = int(died.sum())
            mean = w[died].mean()
            value += np.sum(w[died] * eta[died])
            score += w[died] @ x[died]
            for k in range(d):
                share = k / d if self.ties == "efron" else 0.0
                r = np.where(died, (1 - share) * rho, rho)
                total = r.sum()
                xbar = r @ x / total
                value -= mean * np.log(total)
                score -= mean * xbar
                info += mean * ((x * r[:, None]).T @ x / total - np.outer(xbar, xbar))
        return value, score, info

    def fit(self, iterations=60):
        beta = np.zeros(self.n_par)
        value = self.loglik(beta)
        for _ in range(iterations):
            _, score, info = self._sums(beta)
            step = np.linalg.lstsq(info, score, rcond=1e-12)[0]
            new = self.loglik(beta + step)
            while not new >= value - 1e-10 * abs(value):
                step = step / 2
                new = self.loglik(beta + step)
            beta, value = beta + step, new
        return beta
