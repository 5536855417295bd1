"""Compiled loops over exposure records: steps, exposed runs, lags covered."""

from __future__ import annotations

from ..kernels_math import F8R, F8W, I4R, I4W, I8R, I8W, i8, inner, kernel


@inner
def search_from(times, lo, hi, t):
    """First index in [lo, hi) with times >= t."""
    while lo < hi:
        mid = (lo + hi) >> 1
        if times[mid] < t:
            lo = mid + 1
        else:
            hi = mid
    return lo


@inner
def search_above(times, lo, hi, t):
    """First index in [lo, hi) with times > t."""
    while lo < hi:
        mid = (lo + hi) >> 1
        if times[mid] <= t:
            lo = mid + 1
        else:
            hi = mid
    return lo


@inner
def first_at_least(times, lo, hi, t):
    """First index in [lo, hi) with times >= t; times increase strictly there.

    Whole numbers without a gap, the usual case, are found at once.
    """
    if lo >= hi or t <= times[lo]:
        return lo
    guess = lo + (i8(t) - i8(times[lo]))
    if guess < hi:
        if times[guess] == t:
            return guess
        hi = guess
    return search_from(times, lo, hi, t)


@inner
def last_at_most(times, lo, hi, t):
    """Last index in [lo, hi) with times <= t, or lo - 1."""
    return search_above(times, lo, hi, t) - 1


@inner
def _sort_range(key, dose, lo, hi):
    """Shell sort of key[lo:hi], dose carried along (ranges are short)."""
    gap = 1
    while gap < (hi - lo) // 3:
        gap = 3 * gap + 1
    while gap >= 1:
        for i in range(lo + gap, hi):
            k = key[i]
            d = dose[i]
            j = i - gap
            while j >= lo and key[j] > k:
                key[j + gap] = key[j]
                dose[j + gap] = dose[j]
                j -= gap
            key[j + gap] = k
            dose[j + gap] = d
        gap //= 3


@kernel(
    i8(I4R, I4R, I4R, F8R, i8, I8W, I8W, F8W, I4W, F8W),
)
def build_steps(subject, start, stop, dose, n_subjects, ptr, key, change, time, level):
    """Records -> steps of the summed dose, per subject in order of time.

    ptr (n_subjects + 1), key, change, time, level (2 records) are filled;
    returns the number of steps. ``level[j]`` holds from ``time[j]`` on.
    """
    n = subject.size
    for s in range(n_subjects + 1):
        ptr[s] = 0
    for r in range(n):
        ptr[subject[r] + 1] += 2
    for s in range(n_subjects):
        ptr[s + 1] += ptr[s]
    for r in range(n):
        p = ptr[subject[r]]
        key[p] = 2 * i8(start[r]) + 1
        change[p] = dose[r]
        key[p + 1] = 2 * i8(stop[r])
        change[p + 1] = -dose[r]
        ptr[subject[r]] = p + 2
    for s in range(n_subjects, 0, -1):
        ptr[s] = ptr[s - 1]
    ptr[0] = 0

    out = 0
    begin = ptr[0]
    for s in range(n_subjects):
        end = ptr[s + 1]
        ptr[s] = out
        _sort_range(key, change, begin, end)
        active = 0
        high = 0.0
        low = 0.0
        before = 0.0
        j = begin
        while j < end:
            t = key[j] >> 1
            while j < end and (key[j] >> 1) == t:
                # Twice the precision: what is added leaves again exactly.
                total = high + change[j]
                part = total - high
                low += (high - (total - part)) + (change[j] - part)
                high = total
                active += 1 if key[j] & 1 else -1
                j += 1
            if active == 0:
                high = 0.0
                low = 0.0
            now = high + low
            if now != before:
                time[out] = t
                level[out] = now
                out += 1
                before = now
        begin = end
    ptr[n_subjects] = out
    return out


@inner
def _first_above(times, lo, hi, t):
    """First index in [lo, hi) with times > t."""
    return first_at_least(times, lo, hi, i8(t) + 1)


@kernel(
    i8(
        i8, i8, I4R, I4R, I4R, I4R,  # rows, event times
        I8R, I4R, F8R, I4R, I8W, I4W, I4W, I8W,
    ),
)  # fmt: skip
def exposed_runs(
    i0, i1, lo, hi, subject, tev, ptr, time, level, cut, count, run_lo, run_hi, at
):
    """Ranges of event indices at which a row has a dose in some window.

    The dose held on [b, b') reaches event times b < t < b' + m. Ranges of one row
    are disjoint, in order, and not adjacent. ``count[i]`` is their number; they are
    written one after the other from the beginning of ``run_lo`` and ``run_hi``, as
    far as there is room. Returns how many there are. ``at`` is scratch, one per term.
    """
    n_terms = cut.size
    n_ptr = ptr.size // n_terms
    total = i8(0)
    for i in range(i0, i1):
        a = lo[i]
        b = hi[i]
        begun = total
        if a < b:
            s = subject[i]
            for k in range(n_terms):
                p0 = ptr[k * n_ptr + s]
                p1 = ptr[k * n_ptr + s + 1]
                # Skip doses that left the window before the first event.
                at[k] = max(p0, last_at_most(time, p0, p1, tev[a] - cut[k]))
            open_lo = -1
            open_hi = -1
            while True:
                # The next dose in time, over the terms.
                best = -1
                first = tev[a]
                for k in range(n_terms):
                    p1 = ptr[k * n_ptr + s + 1]
                    while at[k] < p1 and level[at[k]] == 0.0:
                        at[k] += 1
                    if at[k] < p1 and (best < 0 or time[at[k]] < first):
                        best = k
                        first = time[at[k]]
                if best < 0 or first >= tev[b - 1]:
                    break
                j = at[best]
                at[best] = j + 1
                # A subject's last step always returns to no dose.
                x = _first_above(tev, a, b, first)
                y = first_at_least(tev, x, b, time[j + 1] + cut[best])
                if y <= x:
                    continue
                if open_lo >= 0 and x <= open_hi:
                    open_hi = max(open_hi, y)
                    continue
                if open_lo >= 0:
                    if total < run_lo.size:
                        run_lo[total] = open_lo
                        run_hi[total] = open_hi
                    total += 1
                open_lo = x
                open_hi = y
            if open_lo >= 0:
                if total < run_lo.size:
                    run_lo[total] = open_lo
                    run_hi[total] = open_hi
                total += 1
        count[i] = total - begun
    return total


@kernel(
    i8(i8, i8, I4R, I4R, I4R, I4R, I4R, I8R, I4R, F8R, i8, I4W),
)
def mark_lags(i0, i1, lo, hi, subject, tev, same, ptr, time, level, m, mark):
    """Mark lags 1..m that a row's doses reach at its event times.

    ``same[e]`` is the end of the run of consecutive whole times that event
    index e begins or continues; ``mark`` (m + 2) collects +1/-1 at the ends of
    the lags reached. Returns the number of ranges marked.
    """
    ranges = 0
    for i in range(i0, i1):
        a = lo[i]
        b = hi[i]
        if a >= b:
            continue
        p0 = ptr[subject[i]]
        p1 = ptr[subject[i] + 1]
        j = max(p0, last_at_most(time, p0, p1, tev[a] - m))
        while j + 1 < p1 and time[j] < tev[b - 1]:
            if level[j] != 0.0:
                e = first_at_least(tev, a, b, i8(time[j]) + 1)
                stop = first_at_least(tev, e, b, i8(time[j + 1]) + m)
                while e < stop:
                    f = min(i8(same[e]), i8(stop)) - 1
                    first = max(i8(1), i8(tev[e]) - time[j + 1] + 1)
                    last = min(i8(m), i8(tev[f]) - time[j])
                    mark[first] += 1
                    mark[last + 1] -= 1
                    ranges += 1
                    e = f + 1
            j += 1
    return ranges
