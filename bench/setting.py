"""What all jobs share."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

import darknet_vae as dv

from . import ROOT
from .limits import Limits
from .measure import Spread, available_cores, count
from .peers import find
from .reading import LABEL
from .recipe import Array
from .report import Goal, Result

ISAS = ("base", "avx2", "avx512")
PUBLISHED = ROOT / "cfg" / "vae_connected.cfg"


@dataclass
class Bench:
    """What all jobs share. quick: tiny data, to see that everything works."""

    folder: Path
    repeats: int
    quick: bool
    without: frozenset[str]
    limits: Limits
    threads: int = field(default_factory=available_cores)

    @cached_property
    def mnist(self) -> dv.datasets.Images:
        """From the folder DARKNET_VAE_MNIST, or downloaded; quick: the bundled digits, blown up."""
        if not self.quick:
            return dv.datasets.load("mnist", folder=os.environ.get("DARKNET_VAE_MNIST"))
        table = dv.load_table(dv.bundled("digits.csv"), label_column="label", rows=500)
        assert table.labels is not None
        large = np.kron(table.X.reshape(-1, 8, 8) * np.float32(255 / 16), np.ones((3, 3), np.float32))
        return dv.datasets.Images(np.pad(large, [(0, 0), (2, 2), (2, 2)]).astype(np.uint8), table.labels.astype(np.uint8))

    @cached_property
    def mnist_test(self) -> dv.datasets.Images:
        return self.mnist if self.quick else dv.datasets.load("mnist", "test", os.environ.get("DARKNET_VAE_MNIST"))

    @cached_property
    def X(self) -> Array:
        """The first 4,000 images, 0 to 1."""
        images = self.mnist.pixels[:4000]
        return np.ascontiguousarray(images.reshape(len(images), -1) / np.float32(255))

    def csv(self, rows: int | None) -> Path:
        """The first `rows` images as a CSV file with pixels from 0 to 255 and a label column, written once."""
        path = self.folder / f"mnist_{rows or 'all'}.csv"
        if not path.exists():
            pixels, labels = self.mnist.pixels[:rows], self.mnist.labels[:rows]
            text = [str(value) for value in range(256)]
            with open(path, "w") as file:
                file.write(",".join([*(f"pixel_{i}" for i in range(pixels[0].size)), LABEL]) + "\n")
                for image, label in zip(pixels, labels, strict=True):
                    file.write(",".join([text[value] for value in image.ravel().tolist()]) + f",{label}\n")
        return path

    def few(self, count: int, quick: int) -> int:
        return quick if self.quick else count


def present(bench: Bench, result: Result, module: str, name: str) -> Any:
    """The module of a peer, or None and a row that says so."""
    found = find(module, bench.without)
    if found is None:
        why = "left out (--without)" if module in bench.without else "not installed"
        result.add(name, None, result=why)
    return found


def kernels() -> str:
    """The instruction set that ours uses here."""
    return next((name for name in ISAS if re.search(rf"\b{name}\b", dv.build_info())), "base")


@dataclass(frozen=True)
class By:
    """A goal that depends on the instruction set: AVX-512 has registers that peers use less well."""

    avx2: float
    avx512: float

    def here(self) -> float:
        return self.avx512 if kernels() == "avx512" else self.avx2


def beat(result: Result, names: list[str], goal: float | By) -> None:
    """The goal is about that of a peer's ways, or of several peers, which has the lowest median; the luckiest time of every round
    would favour whoever tries more often."""
    lines = [line for line in result.lines if line.who in names and line.seconds]
    if lines:
        goal = goal.here() if isinstance(goal, By) else goal
        min(lines, key=lambda line: line.seconds.median if line.seconds else 0).goal = Goal(goal)


def elsewhere(result: Result, who: str, seconds: tuple[float, float], ours: Spread, goal: Goal) -> None:
    """A time from another machine, beside our median here."""
    then = Spread(seconds)
    ratio = Spread(tuple(value / ours.median for value in seconds))
    result.add(f"{who}, recorded on another machine", then, ratio, goal)


def titled(who: str, threads: int) -> str:
    return f"{who}, {count(threads, 'thread')}"
