"""What several tests call: programs to run, and a yardstick for latent spaces."""

from __future__ import annotations

import fcntl
import functools
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from darknet_vae import cli

ROOT = Path(__file__).resolve().parent.parent
BINARY = os.environ.get("DARKNET_BINARY") or cli.binary()
"""The program; the command `darknet`, which becomes it, is tested in test_packages.py."""
MODULE = [sys.executable, "-m", "darknet_vae"]


def program(kind: str) -> list[str]:
    """The command words of the binary or of the Python command line, up to the verb."""
    if kind == "python":
        return MODULE
    assert BINARY, "the darknet binary was not installed"
    return [BINARY, "vae"]


def run(words: list[str], **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, capture_output=True, text=True, timeout=120, **options)  # type: ignore[call-overload, no-any-return]


def only_of_one_build() -> None:
    """Skip a test of bits when programs and library are not one build: under sanitizers those that were installed are
    compiled otherwise than those that are tested, and round otherwise."""
    installed = cli.binary()
    if installed is None or not BINARY or Path(installed).read_bytes() != Path(BINARY).read_bytes():
        pytest.skip("the binary is another build than the installed one, which may round differently")


@functools.cache
def has_isa(isa: str) -> bool:
    """Can this processor follow DARKNET_ISA?"""
    assert BINARY
    done = run([BINARY, "inspect", str(ROOT / "cfg" / "autoencoder.cfg"), "-nogpu"], env={**os.environ, "DARKNET_ISA": isa})
    return done.returncode == 0


ON_A_GPU = bool(os.environ.get("DARKNET_TEST_GPU"))
"""The tests of the device `cuda` use this machine's GPU and the installed plugin, not the emulation."""


def slowness(of_memory: bool = False) -> float:
    """How many times as long as on a quiet Zen 3 this machine takes now, at least 1: limits in milliseconds are for that one, and
    on a shared machine minutes differ by a factor of two. Of an interpreter's work; of_memory: or, if worse, of new memory."""
    works: list[tuple[Callable[[], object], float]] = [(lambda: sum(i * i for i in range(100_000)), 5.5e-3)]
    if of_memory:
        works.append((lambda: b"x" * (16 << 20), 1e-3))

    def takes(work: Callable[[], object]) -> float:
        began = time.perf_counter()
        work()
        return time.perf_counter() - began

    return max([1.0, *(min(takes(work) for _ in range(7)) / there for work, there in works)])


BUILD = os.environ.get("DARKNET_TEST_BUILD", str(ROOT / "build" / "make"))
"""The folder that tests build in."""


@contextmanager
def building(folder: str = BUILD) -> Iterator[None]:
    """One build at a time in a folder, also of tests that run side by side."""
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "tests.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@functools.cache
def made(target: str, file: str, *variables: str, folder: str = BUILD) -> str:
    """`make variables target` in a folder; the path of `file` there."""
    environment = {k: v for k, v in os.environ.items() if k not in ("LD_PRELOAD", "MAKEFLAGS", "LD_LIBRARY_PATH")}
    with building(folder):
        words = ["make", "-j2", f"B={folder}", *variables, target]
        done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"make {target} failed:\n{done.stdout}\n{done.stderr}"
    return os.path.join(folder, file)


def real_table(name: str) -> Path:
    """One of the tables of mixed columns that DARKNET_VAE_TABLES names the folder of, or the folder above; skips without."""
    folder = Path(os.environ.get("DARKNET_VAE_TABLES") or os.devnull)
    if not folder.is_dir():
        pytest.skip("DARKNET_VAE_TABLES does not name the folder of real tables")
    path = folder / f"{name}.csv"
    return path if path.exists() else folder / "tables" / f"{name}.csv"


def emulated_plugin() -> str:
    """The CUDA plugin whose kernels run on the CPU (tests/cuda_emulation)."""
    return made("emulated", "libdarknet_cuda_emulated.so")


def defined(values: Mapping[str, object]) -> dict[str, Any]:
    """Without what is not defined for a network: null in JSON, None in Python."""
    return {name: value for name, value in values.items() if value is not None}


def knn_accuracy(z: np.ndarray, y: np.ndarray, k: int = 5, folds: int = 5) -> float:
    """Cross-validated accuracy of the k nearest neighbours."""
    order = np.random.default_rng(0).permutation(len(z))
    right = 0
    for part in np.array_split(order, folds):
        rest = np.setdiff1d(order, part)
        distance = ((z[part, None, :] - z[None, rest, :]) ** 2).sum(-1)
        near = y[rest][np.argpartition(distance, k, axis=1)[:, :k]]
        right += sum(np.bincount(row).argmax() == label for row, label in zip(near, y[part], strict=True))
    return right / len(z)
