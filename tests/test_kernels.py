"""The CPU kernels in every instruction set: against plain loops (tests/c/test_kernels.c), and in whole networks."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from helpers import ROOT

ISAS = ["base", "avx2", "avx512"]


@pytest.fixture(scope="module")
def kernel_test() -> Path:
    """The program, built by the Makefile; under sanitizers the one beside the binary under test."""
    if not shutil.which("make") or not shutil.which(os.environ.get("CC", "cc")):
        pytest.skip("make or a C compiler is missing")
    binary = Path(os.environ.get("DARKNET_BINARY", ""))
    if (binary.parent / "test_kernels").exists():
        return binary.parent / "test_kernels"
    subprocess.run(["make", "-C", str(ROOT), "-j2", "build/make/test_kernels"], check=True, capture_output=True)
    return ROOT / "build" / "make" / "test_kernels"


@pytest.mark.parametrize("isa", ISAS)
def test_kernels_equal_plain_loops_on_any_number_of_threads(isa: str, kernel_test: Path) -> None:
    done = subprocess.run([str(kernel_test)], env={**os.environ, "DARKNET_ISA": isa}, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
