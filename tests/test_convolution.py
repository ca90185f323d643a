"""Convolutions and deconvolutions of random shapes: the CPU's own passes and the composed ones against sums in double.

An instruction set is chosen once per process, so every one of them gets a process of its own, which runs this file.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from helpers import has_isa

import darknet_vae as dv


@dataclass
class Case:
    kind: str
    channels: int
    height: int
    width: int
    filters: int
    size: int
    stride: int
    padding: int
    groups: int
    rows: int

    def cfg(self) -> str:
        return (
            f"[net]\nbatch={self.rows}\nheight={self.height}\nwidth={self.width}\nchannels={self.channels}\n"
            f"[activation]\nactivation=linear\n[{self.kind}]\nfilters={self.filters}\nsize={self.size}\nstride={self.stride}\n"
            f"padding={self.padding}\ngroups={self.groups}\nactivation=linear\n[cost]\ntype=sse\n"
        )


# A map that is cut into bands, several chunks and parts of sums; many panels of weights; few channels at both ends; windows
# read where they are; bands of the data pass; strides beyond the fast path; steps that leave pixels out.
CASES = [
    Case("convolutional", 16, 104, 100, 40, 3, 1, 1, 1, 2),
    Case("convolutional", 40, 61, 47, 20, 3, 2, 1, 1, 3),
    Case("convolutional", 300, 13, 13, 270, 3, 1, 1, 1, 1),
    Case("convolutional", 96, 26, 26, 75, 1, 1, 0, 1, 5),
    Case("convolutional", 3, 64, 96, 32, 7, 2, 3, 1, 5),
    Case("convolutional", 1, 28, 28, 32, 4, 2, 1, 1, 32),
    Case("convolutional", 32, 40, 40, 3, 5, 1, 2, 1, 5),
    Case("convolutional", 32, 33, 31, 2, 3, 3, 2, 1, 5),
    Case("convolutional", 24, 29, 30, 24, 3, 2, 1, 24, 3),
    Case("convolutional", 64, 14, 14, 64, 3, 1, 1, 4, 16),
    Case("convolutional", 5, 30, 30, 6, 3, 9, 1, 1, 3),
    Case("convolutional", 20, 15, 15, 20, 2, 4, 0, 1, 3),
    Case("convolutional", 33, 9, 9, 35, 9, 1, 0, 1, 5),
    Case("deconvolutional", 64, 7, 7, 32, 4, 2, 1, 1, 32),
    Case("deconvolutional", 32, 14, 14, 1, 4, 2, 1, 1, 33),
    Case("deconvolutional", 24, 50, 52, 20, 4, 2, 1, 1, 3),
    Case("deconvolutional", 24, 25, 26, 3, 5, 3, 2, 1, 3),
    Case("deconvolutional", 6, 5, 5, 8, 2, 9, 0, 2, 3),
]


def random_case(random: np.random.Generator) -> Case:
    while True:
        groups = int(random.choice([1, 1, 2, 3]))
        size = int(random.integers(1, 8))
        case = Case(
            kind=str(random.choice(["convolutional", "deconvolutional"])),
            channels=groups * int(random.integers(1, 24)),
            height=int(random.integers(1, 18)),
            width=int(random.integers(1, 18)),
            filters=groups * int(random.integers(1, 40)),
            size=size,
            stride=int(random.integers(1, 5)),
            padding=int(random.integers(0, size)),
            groups=groups,
            rows=int(random.integers(1, 6)),
        )
        if case.kind == "convolutional":
            fits = min(case.height, case.width) + 2 * case.padding >= size
        else:
            fits = (min(case.height, case.width) - 1) * case.stride + size > 2 * case.padding
        if fits:
            return case


def patches(case: Case, x: np.ndarray, height: int, width: int) -> np.ndarray:
    """(rows, groups, channels, size, size, height, width): what the kernel meets at every place, as a view of a frame."""
    rows, channels = x.shape[:2]
    reach = [(n - 1) * case.stride + case.size for n in (height, width)]
    frame = np.zeros((rows, channels, *(max(r, n + 2 * case.padding) for r, n in zip(reach, x.shape[2:], strict=True))))
    frame[:, :, case.padding : case.padding + x.shape[2], case.padding : case.padding + x.shape[3]] = x
    view = np.lib.stride_tricks.sliding_window_view(frame, (case.size, case.size), axis=(2, 3))
    view = view[:, :, :: case.stride, :: case.stride][:, :, :height, :width]
    return view.transpose(0, 1, 4, 5, 2, 3).reshape(rows, case.groups, -1, case.size, case.size, height, width)


def forward(case: Case, x: np.ndarray, w: np.ndarray, height: int, width: int) -> np.ndarray:
    w = w.reshape(case.groups, -1, *w.shape[1:])
    y = np.einsum("rgcijhw,gfcij->rgfhw", patches(case, x, height, width), w, optimize=True)
    return y.reshape(len(x), -1, height, width)


def weight_gradient(case: Case, x: np.ndarray, dy: np.ndarray) -> np.ndarray:
    places = patches(case, x, *dy.shape[2:])
    dw = np.einsum("rgcijhw,rgfhw->gfcij", places, dy.reshape(len(dy), case.groups, -1, *dy.shape[2:]), optimize=True)
    return dw.reshape(-1, *dw.shape[2:])


def data_gradient(case: Case, dy: np.ndarray, w: np.ndarray, height: int, width: int) -> np.ndarray:
    grouped = dy.reshape(len(dy), case.groups, -1, *dy.shape[2:])
    each = np.einsum("rgfhw,gfcij->rgcijhw", grouped, w.reshape(case.groups, -1, *w.shape[1:]), optimize=True)
    each = each.reshape(len(dy), -1, case.size, case.size, *dy.shape[2:])
    room = [
        max((n - 1) * case.stride + case.size, m + 2 * case.padding) for n, m in zip(dy.shape[2:], (height, width), strict=True)
    ]
    frame = np.zeros((len(dy), each.shape[1], *room))
    for i in range(case.size):
        for j in range(case.size):
            rows = slice(i, i + (dy.shape[2] - 1) * case.stride + 1, case.stride)
            columns = slice(j, j + (dy.shape[3] - 1) * case.stride + 1, case.stride)
            frame[:, :, rows, columns] += each[:, :, i, j]
    return frame[:, :, case.padding : case.padding + height, case.padding : case.padding + width]


def passes(case: Case, path: Path, x: np.ndarray, w: np.ndarray, truth: np.ndarray, **options: object) -> list[np.ndarray]:
    """Output, gradient by it, by the input and by the weights."""
    net = dv.Network(path, **options)  # type: ignore[arg-type]
    layer = net.layers[1]
    layer.set("weights", w)
    layer.set("biases", np.zeros(case.filters))
    net.forward(x.reshape(len(x), -1), truth.reshape(len(x), -1), train=True)
    net.backward()
    shape = (len(x), *layer.shape) if len(layer.shape) > 1 else (len(x), case.filters, 1, 1)
    return [
        layer.output.reshape(shape),
        -layer.delta.reshape(shape),
        -net.layers[0].delta.reshape(x.shape),
        -layer.grads["weights"],
    ]


def close(name: str, case: Case, ours: np.ndarray, wanted: np.ndarray, terms: np.ndarray) -> None:
    """Within rounding: `terms` is the same sum over absolute values."""
    worst = float(np.max(np.abs(ours - wanted) / (terms + 1e-30)))
    assert worst < 3e-6, f"{case}: {name} differs by {worst:.2g} of the sum of absolute terms"


def check(case: Case, folder: Path, random: np.random.Generator) -> None:
    path = folder / "net.cfg"
    path.write_text(case.cfg())
    x = random.normal(size=(case.rows, case.channels, case.height, case.width)).astype(np.float32)
    probe = dv.Network(path)
    w = random.normal(size=probe.layers[1].params["weights"].shape).astype(np.float32)
    truth = random.normal(size=(case.rows, probe.layers[1].outputs)).astype(np.float32)
    ours = passes(case, path, x, w, truth, threads=1)
    for threads in (2, 4):
        for one, other in zip(ours, passes(case, path, x, w, truth, threads=threads), strict=True):
            assert np.array_equal(one, other), f"{case}: {threads} threads give other numbers than one"
    for name, (y, dy, dx, dw) in {"cpu": ours, "composed": passes(case, path, x, w, truth, device="fence")}.items():
        X, W, D = (a.astype(float) for a in (x, w, dy))
        terms = [np.abs(a) for a in (X, W, D)]
        for what, result, (a, b, c) in (("rounding", None, terms), ("", (y, dx, dw), (X, W, D))):
            if case.kind == "convolutional":
                sums = (
                    forward(case, a, b, *dy.shape[2:]),
                    data_gradient(case, c, b, *x.shape[2:]),
                    weight_gradient(case, a, c),
                )
            else:
                sums = (data_gradient(case, a, b, *dy.shape[2:]), forward(case, c, b, *x.shape[2:]), weight_gradient(case, c, a))
            if result is None:
                room = sums
                continue
            for part, number, wanted, most in zip(("y", "dx", "dw"), result, sums, room, strict=True):
                close(f"{name} {part}{what}", case, number, wanted, most)


def every_case(count: int) -> None:
    random = np.random.default_rng(7)
    with tempfile.TemporaryDirectory() as folder:
        for case in CASES:
            check(case, Path(folder), random)
        for _ in range(count):
            check(random_case(random), Path(folder), random)


@pytest.mark.parametrize("isa", ["base", "avx2", "avx512"])
def test_convolutions_of_every_shape_are_right_and_the_same_for_any_number_of_threads(isa: str) -> None:
    if not has_isa(isa):
        pytest.skip(f"this processor has no {isa}")
    done = subprocess.run(
        [sys.executable, __file__, "60"], env={**os.environ, "DARKNET_ISA": isa}, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr


if __name__ == "__main__":
    every_case(int(sys.argv[1]))
