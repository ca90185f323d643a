"""Repeated, interleaved measurements and what is said of them; the machine they were made on."""

from __future__ import annotations

import contextlib
import gc
import importlib.metadata
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import darknet_vae as dv

Run = Callable[[int], float]
"""run(round) prepares what it needs, works, and returns the seconds of the work."""


@dataclass(frozen=True)
class Spread:
    """One value per round."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def low(self) -> float:
        return min(self.values)

    @property
    def high(self) -> float:
        return max(self.values)

    def per(self, other: Spread) -> Spread:
        """Ratios of the two in the same round: what disturbed the machine then disturbed both."""
        return Spread(tuple(a / b for a, b in zip(self.values, other.values, strict=True)))

    def __str__(self) -> str:
        return f"{digits(self.median)} ({digits(self.low)}..{digits(self.high)})"


def digits(value: float) -> str:
    """Three digits, without an exponent."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}" if abs(value) >= 0.01 else f"{value:.4f}"


def count(n: int, what: str) -> str:
    return f"{n:,} {what}{'s' * (n != 1)}"


def interleave(contenders: Mapping[str, Run], repeats: int) -> dict[str, Spread]:
    """A B C A B C ...: a disturbance that lasts meets all of them."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(repeats):
        for name, run in contenders.items():
            gc.collect()
            seconds[name].append(run(number))
            say(f"    {number + 1}/{repeats} {name}: {digits(seconds[name][-1])} s")
    return {name: Spread(tuple(values)) for name, values in seconds.items()}


def timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


# ---- the machine


def available_cores() -> int:
    """The cores this process may use: by its affinity, and by the quota of its container."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with contextlib.suppress(OSError, ValueError):
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        cores = min(cores, max(1, int(quota) // int(period)))  # without a quota the first is the word max
    return cores


def available_memory() -> int | None:
    """Bytes that can be had without swapping; None where nothing tells."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) << 10
    return None


def cache_size(level: int) -> int | None:
    """Bytes of a cache of core 0; None where nothing tells."""
    for folder in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*"):
        with contextlib.suppress(OSError, ValueError):
            if int((folder / "level").read_text()) == level and "Instruction" not in (folder / "type").read_text():
                return int((folder / "size").read_text().strip().removesuffix("K")) << 10
    return None


def processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def tuning() -> str:
    """Environment variables that change how fast something is."""
    libraries = ("OMP_", "GOMP_", "KMP_", "MKL_", "OPENBLAS_", "XLA_", "ATEN_", "ONEDNN_", "DARKNET_")
    others = ("DARKNET_VAE_", "DARKNET_TEST_")
    names = sorted(name for name in os.environ if name.startswith(libraries) and not name.startswith(others))
    return ", ".join(f"{name}={os.environ[name]}" for name in names)


def versions(modules: list[str]) -> str:
    """The core and its instruction set, Python, numpy with its BLAS, and the peers, or that they are not there."""
    build = np.show_config(mode="dicts")
    blas = build.get("Build Dependencies", {}).get("blas", {}) if isinstance(build, dict) else {}
    found = [dv.build_info(), f"Python {platform.python_version()}"]
    found.append(f"numpy {np.__version__} ({blas.get('name', 'unknown BLAS')} {blas.get('version', '')})".replace(" )", ")"))
    for module in modules:
        try:
            found.append(f"{module} {importlib.metadata.version(module)}")
        except importlib.metadata.PackageNotFoundError:
            found.append(f"no {module}")
    return "; ".join(found)
