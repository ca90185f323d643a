"""The CPU kernels in every instruction set: against plain loops (tests/c/test_kernels.c), and in whole networks."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import BUILD, ROOT, has_isa, made

import darknet_vae as dv

ISAS = ["base", "avx2", "avx512"]


def c_test(name: str) -> Path:
    """A test program, built by the Makefile; under sanitizers the one beside the binary under test."""
    if not shutil.which("make") or not shutil.which(os.environ.get("CC", "cc")):
        pytest.skip("make or a C compiler is missing")
    binary = Path(os.environ.get("DARKNET_BINARY", ""))
    if (binary.parent / name).exists():
        return binary.parent / name
    return Path(made(f"{BUILD}/{name}", name))


def test_the_pool_runs_every_chunk_once() -> None:
    done = subprocess.run([str(c_test("test_pool")), "5000"], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_pace_decides_by_medians_and_its_trials_cost_little() -> None:
    done = subprocess.run([str(c_test("test_pace"))], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_threads_that_meet_on_a_network_are_refused_and_never_crash_or_hang() -> None:
    done = subprocess.run([str(c_test("test_threads")), "300"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("name", ["test_kernels", "test_likelihoods"])
def test_kernels_equal_plain_loops_on_any_number_of_threads(name: str, isa: str) -> None:
    environment = {**os.environ, "DARKNET_ISA": isa}
    done = subprocess.run([str(c_test(name))], env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("isa", ["base", "avx2"])
def test_gradients_and_golden_numbers_hold_in_every_instruction_set(isa: str) -> None:
    if not has_isa(isa):
        pytest.skip(f"this processor has no {isa}")
    if f" cpu kernels {isa}" in dv.build_info():
        pytest.skip(f"the suite itself runs with {isa}")
    # the emulated GPU computes without these kernels
    words = [sys.executable, "-m", "pytest", "-x", "-p", "no:cacheprovider", "-p", "no:xdist", "-k", "not cuda"]
    done = subprocess.run(
        [*words, "test_gradients.py", "test_golden.py"],
        cwd=ROOT / "tests",
        env={**os.environ, "DARKNET_ISA": isa},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert "passed" in done.stdout
