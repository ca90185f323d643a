"""The matrix products of networks, ours beside OpenBLAS with the same instruction set."""

from __future__ import annotations

import importlib.util
import math
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from . import ROOT
from .measure import Spread, digits
from .report import Goal, Line, Result
from .setting import Bench, kernels

LAYERS = ((784, 512), (512, 2), (2000, 500), (20_000, 512))  # inputs, outputs
ROWS = (1, 4, 16, 50, 250, 512)
POSITIONS = (196, 784)  # of a convolution with 64 filters of 9 x 64
CORES = {"base": "Prescott", "avx2": "Haswell", "avx512": "SkylakeX"}  # OpenBLAS's names of instruction sets
LOWEST = {"base": 0.8, "avx2": 0.85, "avx512": 0.85}
FAR = 1.0  # differences of an element, per 1e-6 k


class Shape(NamedTuple):
    name: str
    trans_a: int
    trans_b: int
    m: int
    n: int
    k: int


def shapes(quick: bool) -> Iterator[Shape]:
    for inputs, outputs in LAYERS[1:2] if quick else LAYERS:
        for rows in (1, 50) if quick else ROWS:
            of = f"{inputs} x {outputs}, {rows} rows"
            yield Shape(f"forward, {of}", 0, 1, rows, outputs, inputs)
            yield Shape(f"gradient of the input, {of}", 0, 0, rows, inputs, outputs)
            yield Shape(f"gradient of the weights, {of}", 1, 0, outputs, inputs, rows)
    for positions in () if quick else POSITIONS:
        of = f"convolution, 64 filters of 9 x 64, {positions} positions"
        yield Shape(f"forward, {of}", 0, 0, 64, positions, 576)
        yield Shape(f"gradient of the weights, {of}", 0, 1, 64, 576, positions)
        yield Shape(f"gradient of the input, {of}", 1, 0, 576, positions, 64)


def openblas() -> Path | None:
    """The library of the package scipy-openblas32, or numpy's own copy."""
    found = importlib.util.find_spec("scipy_openblas32")
    places = [Path(found.origin).parent / "lib"] if found and found.origin else []
    places.append(Path(np.__file__).parent.parent / "numpy.libs")
    return next((path for place in places for path in sorted(place.glob("lib*openblas*.so*"))), None)


def built() -> Path | None:
    """The program that measures, of the sources beside this file; None without make and a compiler."""
    if not shutil.which("make") or not shutil.which(os.environ.get("CC", "cc")):
        return None
    folder = os.environ.get("DARKNET_TEST_BUILD", str(ROOT / "build" / "make"))
    program = f"{folder}/bench_gemm"
    subprocess.run(["make", "-s", "CUDA=0", f"B={folder}", program], cwd=ROOT, stdout=subprocess.DEVNULL, check=True)
    return ROOT / program


def mean(ratios: list[Spread]) -> Spread:
    """Geometric, round by round."""
    rounds = zip(*(ratio.values for ratio in ratios), strict=True)
    return Spread(tuple(math.exp(math.fsum(map(math.log, values)) / len(values)) for values in rounds))


def gemm(bench: Bench) -> Result:
    isa = kernels()
    result = Result(
        "Matrix products",
        """The products of networks, forward and backward, ours (of this source tree) beside OpenBLAS held to the same
        instruction set, with operands where the product before left them: one thread, seconds of processor time.""",
        results="GFLOP/s of ours and of OpenBLAS",
    )
    library, program = openblas(), built()
    if library is None or program is None:
        result.add("OpenBLAS", None, result="no OpenBLAS found" if library is None else "no make or no C compiler")
        return result
    wanted = list(shapes(bench.quick))
    done = subprocess.run(
        [str(program), str(library), str(bench.repeats), "0.0001" if bench.quick else "0.01"],
        input="".join(f"{s.trans_a} {s.trans_b} {s.m} {s.n} {s.k}\n" for s in wanted),
        env={**os.environ, "DARKNET_ISA": isa, "OPENBLAS_CORETYPE": CORES[isa], "OPENBLAS_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    names, *lines = done.stdout.splitlines()
    ratios = []
    for shape, line in zip(wanted, lines, strict=True):
        *seconds, far = map(float, line.split())
        ours, theirs = Spread(tuple(seconds[::2])), Spread(tuple(seconds[1::2]))
        ratios.append(theirs.per(ours))
        rates = [digits(2e-9 * shape.m * shape.n * shape.k / spread.median) for spread in (ours, theirs)]
        result.lines.append(Line(shape.name, None, ratios[-1], result=f"{rates[0]}, {rates[1]}"))
        if not far <= FAR:
            result.errors.append(f"{shape.name}: an element differs by {far:.3g} x 1e-6 k")
    slowest = min(range(len(ratios)), key=lambda i: ratios[i].median)
    result.lines.append(Line("geometric mean of all shapes", None, mean(ratios), Goal(1)))
    result.lines.append(Line(f"the slowest: {wanted[slowest].name}", None, ratios[slowest], Goal(LOWEST[isa])))
    below = sum(ratio.median < LOWEST[isa] for ratio in ratios)
    result.notes.append(
        f"Kernels: ours {names.replace(' ', ', OpenBLAS ')}; {below} of {len(ratios)} shapes below {LOWEST[isa]:g}."
    )
    return result
