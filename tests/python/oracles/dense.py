"""The model written out: every row at every event time, every lag of every dose.

O(rows x event times x lags), no step functions, no differences, no sharing: what
unit-row code does. The tests compare the engine with it.
"""

from __future__ import annotations

import numpy as np

_BACK = 100  # units before time 0 in the dose table


def dose_table(term, n_subjects, last):
    """Dose of each subject (1-based) in each unit (u, u + 1], from -_BACK on."""
    dose = np.zeros((n_subjects + 1, _BACK + last + 1))
    for r in range(len(term["dose"])):
        a, b = int(term["start"][r]), min(int(term["stop"][r]), last + 1)
        dose[term["subject"][r], _BACK + a : _BACK + b] += term["dose"][r]
    return dose


class DenseCox:
    """Cox's partial likelihood with everything expanded."""

    def __init__(self, rows, terms, tables, ties="efron"):
        self.rows, self.ties = rows, ties
        n_subjects, last = int(rows["subject"].max()), int(rows["stop"].max())
        for term in terms:
            n_subjects = max(n_subjects, int(np.max(term["subject"], initial=1)))
        doses = [dose_table(term, n_subjects, last) for term in terms]
        dead = (rows["event"] == 1) & (rows["weight"] > 0)
        keys = sorted(set(zip(rows["stratum"][dead], rows["stop"][dead])))
        self.sets = []
        self.pairs = 0
        self.exposed_events = 0
        self.covered = [np.zeros(len(t) - 1, bool) for t in tables]
        for s, t in keys:
            risk = np.flatnonzero(
                (rows["stratum"] == s) & (rows["start"] < t) & (rows["stop"] >= t)
                & (rows["weight"] > 0)
            )  # fmt: skip
            died = (rows["event"][risk] == 1) & (rows["stop"][risk] == t)
            parts = [rows["x"][risk]]
            exposed = np.zeros(risk.size, bool)
            for k, table in enumerate(tables):
                m = len(table) - 1
                at = _BACK + int(t) - np.arange(1, m + 1)  # lag 1 first
                history = doses[k][rows["subject"][risk]][:, at]
                parts.append(history @ np.diff(table, axis=0))
                exposed |= np.any(history > 1e-12, axis=1)
                self.covered[k] |= np.any(history > 1e-12, axis=0)
            self.pairs += int(exposed.sum())
            self.exposed_events += int((exposed & died).sum())
            self.sets.append((risk, died, np.concatenate(parts, axis=1)))

    @property
    def n_par(self):
        return self.sets[0][2].shape[1]

    def sums(self, beta):
        """Log-likelihood, score (p,), information (p, p)."""
        p = beta.size
        value, score, info = 0.0, np.zeros(p), np.zeros((p, p))
        for risk, died, x in self.sets:
            x = x - x.mean(axis=0)
            w = self.rows["weight"][risk]
            eta = x @ beta + self.rows["offset"][risk]
            eta = eta - eta[w > 0].max()
            rho = w * np.exp(np.where(w > 0, eta, 0.0))
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

    def residuals(self, beta):
        """Score (rows, p) and martingale (rows,) residuals, without weights."""
        score = np.zeros((self.rows["start"].size, beta.size))
        martingale = np.zeros(self.rows["start"].size)
        for risk, died, x in self.sets:
            x = x - x.mean(axis=0)
            w = self.rows["weight"][risk]
            r = np.exp(x @ beta + self.rows["offset"][risk])
            d = int(died.sum())
            for k in range(d):
                share = k / d if self.ties == "efron" else 0.0
                own = np.where(died, (1 - share) * r, r)
                total = w @ own
                xbar = (w * own) @ x / total
                step = w[died].mean() / total
                score[risk] -= step * own[:, None] * (x - xbar)
                score[risk[died]] += (x[died] - xbar) / d
                martingale[risk] -= step * own
            martingale[risk[died]] += 1
        return score, martingale
