"""What several tests call: programs to run, and a yardstick for latent spaces."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
_SCRIPTS = os.path.dirname(sys.executable)
BINARY = os.environ.get("DARKNET_BINARY") or shutil.which("darknet", path=_SCRIPTS) or shutil.which("darknet")
MODULE = [sys.executable, "-m", "darknet_vae"]


def program(kind: str) -> list[str]:
    """The command words of the binary or of the Python command line, up to the verb."""
    if kind == "python":
        return MODULE
    assert BINARY, "the darknet binary was not installed"
    return [BINARY, "vae"]


def run(words: list[str], **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, capture_output=True, text=True, timeout=120, **options)  # type: ignore[call-overload, no-any-return]


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
