"""The jobs by name: each takes the Bench and returns a Result with a row per contender."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from .data import csv, decode
from .frames import frame
from .products import gemm
from .report import Result
from .scaling import scaling
from .setting import Bench, By
from .training import conv, epoch, process, threads
from .work import WORK, encode, work

JOBS: dict[str, Callable[[Bench], Result]] = {
    "epoch4": partial(epoch, batch=4, epochs=2, torch_goal=By(8, 11), jax_goal=By(2.5, 5)),
    "epoch50": partial(epoch, batch=50, epochs=5, torch_goal=By(3, 3.5), jax_goal=By(1.3, 1.5)),
    "epoch250": partial(epoch, batch=250, epochs=10, torch_goal=By(1.5, 2.5), jax_goal=By(1.1, 1.15)),
    "conv32": partial(conv, batch=32, epochs=2),
    "conv128": partial(conv, batch=128, epochs=5),
    **{name: partial(work, name=name) for name in WORK},
    "process": process,
    "decode": partial(decode, rows=100_000),
    "decode_million": partial(decode, rows=1_000_000),
    "encode": partial(encode, rows=1_000_000),
    "csv": csv,
    "frame": frame,
    "gemm": gemm,
    "threads": threads,
    "scaling": scaling,
}
