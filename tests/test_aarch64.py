"""The library for ARM processors (NEON), built by a cross compiler and run by an emulator of the processor."""

from __future__ import annotations

import json
import os
import shutil
import subprocess

import pytest
from helpers import BINARY, BUILD, ROOT, made

CC = "aarch64-linux-gnu-gcc"
EMULATOR = ["qemu-aarch64", "-L", "/usr/aarch64-linux-gnu"]

pytestmark = [
    pytest.mark.skipif(not shutil.which(CC), reason=f"{CC} is missing (package gcc-aarch64-linux-gnu)"),
    pytest.mark.skipif(not shutil.which(EMULATOR[0]), reason=f"{EMULATOR[0]} is missing (package qemu-user)"),
    pytest.mark.skipif("DARKNET_BINARY" in os.environ, reason="a build with sanitizers is under test"),
]


def emulated(name: str, *words: str) -> str:
    folder = f"{BUILD}/aarch64"
    program = made(f"{folder}/{name}", name, f"CC={CC}", "CUDA=0", folder=folder)
    done = subprocess.run([*EMULATOR, program, *words], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_kernels_equal_plain_loops_on_any_number_of_threads() -> None:
    assert "gemm" in emulated("test_kernels", "few")


def test_the_pool_runs_every_chunk_once() -> None:
    emulated("test_pool", "500")


def test_processors_and_memory_of_the_machine_are_found() -> None:
    processors, memory = emulated("test_machine").split()
    assert int(processors) > 0 and int(memory) > 0


def test_threads_that_meet_on_a_network_are_refused() -> None:
    emulated("test_threads", "30")


def test_a_training_has_the_losses_of_this_machine() -> None:
    assert BINARY
    words = ["train", str(ROOT / "cfg" / "vae_digits.cfg"), str(ROOT / "data" / "digits.csv")]
    words += ["-epochs", "2", "-seed", "3", "-json", "-quiet"]
    there = json.loads(emulated("darknet", *words))
    here = json.loads(subprocess.run([BINARY, *words], capture_output=True, text=True, check=True, timeout=60).stdout)
    for name in ("image_loss", "latent_loss", "total_loss"):
        assert there[name] == pytest.approx(here[name], rel=1e-4)
