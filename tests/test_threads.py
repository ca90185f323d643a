"""Threads change how long a training takes, never its result; one of them is enough where more do not help. Timing tests compare
two trainings side by side and may try again, because what disturbs one disturbs the other. Their limits leave room for a shared
machine; how even epochs are on a quiet one is measured by `python -m bench scaling`."""

from __future__ import annotations

import itertools
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from helpers import ROOT

import darknet_vae as dv

NARROW = """[net]
batch=32
inputs=30
learning_rate=0.001
adam=1
max_batches=100
[connected]
output=64
activation=leaky
[connected]
output=32
activation=leaky
[connected]
output=8
activation=linear
[connected]
output=30
activation=linear
[cost]
"""
ATTEMPTS = 4
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
two_cores = pytest.mark.skipif(CORES < 2, reason="needs two cores")
Trainings = tuple[dict[int, dv.Network], np.ndarray]


def trainings(name: str) -> Trainings:
    """The same network with one thread and with two, and rows for an epoch of 50 to 200 ms."""
    rng = np.random.default_rng(0)
    cfg, batch, shape = {
        "connected, batch 4": ("vae_connected.cfg", 4, (3000, 784)),
        "connected, batch 50": ("vae_connected.cfg", 50, (4000, 784)),
        "connected, batch 250": ("vae_connected.cfg", 250, (5000, 784)),
        "convolutional": ("vae_conv.cfg", 32, (640, 784)),
        "narrow": (None, 32, (64000, 30)),
    }[name]
    options: dict[str, str] = {"cfg": str(ROOT / "cfg" / cfg)} if cfg else {"cfg_text": NARROW}
    nets = {threads: dv.Network(**options, device="cpu", batch=batch, threads=threads) for threads in (1, 2)}  # type: ignore[arg-type]
    return nets, rng.random(shape, np.float32)


def used_by_others() -> float:
    """Seconds of processor time that others, and the host of a virtual machine, have used so far; 0 where /proc is missing."""
    try:
        with open("/proc/stat") as file:
            user, nice, system, _, _, irq, soft_irq, stolen = (int(word) for word in file.readline().split()[1:9])
    except OSError:
        return 0
    return (user + nice + system + irq + soft_irq + stolen) / os.sysconf("SC_CLK_TCK") - time.process_time()


def epochs(net: dv.Network, X: np.ndarray, count: int, calm: bool) -> list[float]:
    """Seconds of each; calm: of those during which others used less than a tenth of a core."""
    ends = [(time.perf_counter(), used_by_others())]
    net.train(X, epochs=count, callback=lambda _: ends.append((time.perf_counter(), used_by_others())), progress=False)
    found = [(b - a, others - before) for (a, before), (b, others) in itertools.pairwise(ends)]
    return [seconds for seconds, others in found if not calm or others < 0.1 * seconds]


def measure(nets: dict[int, dv.Network], X: np.ndarray, rounds: int, calm: bool = False) -> dict[int, list[float]]:
    """Rounds of five epochs with one thread and five with two; the first round is to warm up."""
    seconds: dict[int, list[float]] = {1: [], 2: []}
    for number in range(rounds + 1):
        for threads, net in nets.items():
            found = epochs(net, X, 5, calm)
            seconds[threads] += found if number else []
    return seconds


def attempt(values: Callable[[], list[float]], limits: list[float]) -> None:
    """Some attempt stays within the limits."""
    tried = []
    for _ in range(ATTEMPTS):
        tried.append(values())
        if all(value <= limit for value, limit in zip(tried[-1], limits, strict=True)):
            return
    raise AssertionError(f"limits {limits}, found {tried}")


def slower(seconds: dict[int, list[float]]) -> float:
    return statistics.median(seconds[2]) / statistics.median(seconds[1])


@pytest.mark.timing
@two_cores
@pytest.mark.parametrize("name", ["connected, batch 4", "connected, batch 50", "connected, batch 250", "convolutional", "narrow"])
def test_epochs_are_even_and_two_threads_are_no_slower_than_one(name: str) -> None:
    nets, X = trainings(name)

    def values() -> list[float]:
        seconds = measure(nets, X, 4, calm=True)
        if min(len(found) for found in seconds.values()) < 10:
            pytest.skip("others use the machine")
        return [statistics.quantiles(seconds[2], n=10)[-1] / statistics.median(seconds[2]), slower(seconds)]

    attempt(values, [1.5, 1.25])


@contextmanager
def a_core_busy() -> Iterator[None]:
    code = f"import os\nos.sched_setaffinity(0, {{{max(os.sched_getaffinity(0))}}})\nprint(flush=True)\nwhile True: pass"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as busy:
        assert busy.stdout
        busy.stdout.readline()
        try:
            yield
        finally:
            busy.kill()


@pytest.mark.timing
@pytest.mark.skipif(CORES != 2, reason="needs two cores, one of them busy")
@pytest.mark.parametrize("name", ["connected, batch 4", "connected, batch 50", "convolutional"])
def test_beside_a_busy_neighbour_two_threads_are_no_slower_than_one(name: str) -> None:
    nets, X = trainings(name)

    def values() -> list[float]:
        with a_core_busy():
            return [slower(measure(nets, X, 2))]

    attempt(values, [1.35])


@pytest.mark.timing
@two_cores
@pytest.mark.parametrize("name", ["connected, batch 4", "connected, batch 50", "convolutional"])
def test_two_threads_on_one_core_are_no_slower_than_one(name: str) -> None:
    nets, X = trainings(name)
    before = {int(thread): os.sched_getaffinity(int(thread)) for thread in os.listdir("/proc/self/task")}
    one = {min(os.sched_getaffinity(0))}
    try:
        for thread in before:
            os.sched_setaffinity(thread, one)
        attempt(lambda: [slower(measure(nets, X, 2))], [1.3])
    finally:
        for thread, cores in before.items():
            os.sched_setaffinity(thread, cores)


@two_cores
def test_a_narrow_network_has_the_same_weights_on_any_number_of_threads() -> None:
    """Here the pace changes between one thread and all."""
    nets, X = trainings("narrow")
    for threads, net in nets.items():
        net.train(X, epochs=2, progress=False)
        net.save(f"{threads}.weights")
    with open("1.weights", "rb") as one, open("2.weights", "rb") as two:
        assert one.read() == two.read()
