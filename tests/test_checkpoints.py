"""Checkpoints: what is in one, and that a training goes on from it as if it had not been stopped."""

from __future__ import annotations

import subprocess

from test_kernels import c_test


def test_the_state_of_a_training_becomes_text_and_back_with_all_its_bits() -> None:
    done = subprocess.run([str(c_test("test_training_fields"))], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
