"""How training scales from one thread to all cores, and how even its epochs are."""

from __future__ import annotations

import itertools
import statistics
import time
from dataclasses import dataclass, field
from pathlib import Path

import darknet_vae as dv

from . import ROOT
from .measure import Run, available_cores, count, digits, interleave
from .recipe import Array
from .report import Goal, Result
from .setting import PUBLISHED, Bench

CONVOLUTIONAL = ROOT / "cfg" / "vae_conv.cfg"
SHAPES = ((PUBLISHED, 4, 4000), (PUBLISHED, 50, 4000), (PUBLISHED, 250, 4000), (PUBLISHED, 1024, 4000), (CONVOLUTIONAL, 32, 1000))
EPOCHS = 8  # the first one is not counted


@dataclass
class Training:
    """One shape with one number of threads. Per round: the slowest epoch to the median one, processors that worked, the loss."""

    cfg: Path
    batch: int
    X: Array
    threads: int
    slowest: list[float] = field(default_factory=list)
    processors: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)

    @property
    def name(self) -> str:
        return f"{self.cfg.stem}, batch {self.batch}, {count(self.threads, 'thread')}"

    def run(self, number: int) -> float:
        net = dv.Network(self.cfg, seed=number, device="cpu", batch=self.batch, threads=self.threads)
        ends: list[tuple[float, float]] = []
        history = net.train(
            self.X, epochs=EPOCHS, progress=False, callback=lambda _: ends.append((time.perf_counter(), time.process_time()))
        )
        seconds = [b[0] - a[0] for a, b in itertools.pairwise(ends)]
        median = statistics.median(seconds)
        self.slowest.append(max(seconds) / median)
        self.processors.append((ends[-1][1] - ends[0][1]) / sum(seconds))
        self.losses.append(history.total_loss[-1])
        return median

    def __str__(self) -> str:
        return f"{digits(max(self.slowest))}; {digits(statistics.median(self.processors))}; {self.losses[-1]:.3f}"


def thread_counts() -> list[int]:
    """1, 2, 4, ... and the cores this process may use."""
    cores = available_cores()
    return sorted({cores, *(1 << k for k in range(cores.bit_length()))})


def scaling(bench: Bench) -> Result:
    result = Result(
        "Scaling with threads",
        f"""Median seconds of an epoch with 1, 2, 4, ... threads, up to the cores this process may use; the first of
        {EPOCHS} epochs is not counted. The last column has the slowest epoch to the median one, the processors that worked
        for us on average, and the last epoch's loss, which must be the same to the last bit.""",
        ratio="to 1 thread",
        results="slowest; processors; loss",
    )
    for cfg, batch, rows in SHAPES:
        X = bench.X[: bench.few(rows, 100)]
        trainings = [Training(cfg, batch, X, threads) for threads in thread_counts()]
        runs: dict[str, Run] = {training.name: training.run for training in trainings}
        seconds = interleave(runs, bench.repeats)
        single = trainings[0]
        for training in trainings:
            ratio = seconds[training.name].per(seconds[single.name]) if training is not single else None
            result.add(training.name, seconds[training.name], ratio, Goal(1, at_most=True) if ratio else None, str(training))
            if training.losses != single.losses:
                result.errors.append(f"{training.name}: losses {training.losses}, with one thread {single.losses}")
    return result
