"""Order of reduction, errors, interrupts, forks."""

import os
import threading
import time

import pytest
from vigitensor.pool import run_slices


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
def test_results_come_in_order(threads):
    """Whatever finishes first, and with few results waiting."""
    seen = []

    def work(k):
        time.sleep(0.002 * ((7 * k) % 5))
        return k

    run_slices(work, range(40), seen.append, threads=threads)
    assert seen == list(range(40))


@pytest.mark.parametrize("threads", [1, 2])
def test_an_error_stops_the_rest(threads):
    begun = []

    def work(k):
        begun.append(k)
        if k == 3:
            raise KeyError("three")
        time.sleep(0.001)

    with pytest.raises(KeyError, match="three"):
        run_slices(work, range(1000), threads=threads)
    assert len(begun) < 50
    n = len(begun)
    time.sleep(0.05)
    assert len(begun) == n  # none goes on behind our back


def test_interrupt_is_answered_at_once():
    begun = []

    def work(k):
        begun.append(k)
        time.sleep(0.01)

    timer = threading.Timer(0.2, lambda: os.kill(os.getpid(), 2))
    timer.start()
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run_slices(work, range(10_000), threads=2)
    assert time.monotonic() - began < 2
    n = len(begun)
    time.sleep(0.05)
    assert len(begun) == n


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_has_its_own_threads():
    """R forks; a child that used its parent's threads would hang."""
    run_slices(lambda k: k, range(4), threads=2)
    child = os.fork()
    if child == 0:
        total = []
        run_slices(lambda k: k, range(10), total.append, threads=2)
        os._exit(0 if sum(total) == 45 else 1)
    for _ in range(200):
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            break
        time.sleep(0.05)
    else:
        os.kill(child, 9)
        os.waitpid(child, 0)
        pytest.fail("the child hangs")
    assert status == 0
