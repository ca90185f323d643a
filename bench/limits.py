"""What the machine can do at most, to compare with: matrix products of numpy and of ours, and memory bandwidth.

    python -m bench.limits THREADS [quick]

prints JSON. It is a process of its own because the BLAS under numpy takes its number of threads from the environment.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

import darknet_vae as dv

from . import ROOT
from .measure import cache_size, timed

TRIES = 5
BLAS_THREADS = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "BLIS_NUM_THREADS")


@dataclass
class Limits:
    """Figures by name ("numpy", "ours": GFLOP/s; "L3 read", "L3 read-modify-write", "RAM ...": GB/s) for numbers of threads."""

    figures: dict[int, dict[str, float]] = field(default_factory=dict)

    def measure(self, threads: int, quick: bool) -> None:
        """Once more; the best of all tries is the limit."""
        # a limit is the machine's: OPENBLAS_CORETYPE and the like may hold numpy down to kernels of an older processor
        held = "DARKNET_ISA" in os.environ  # then both are held, and what they reach is the limit
        own = {name: value for name, value in os.environ.items() if held or not name.startswith("OPENBLAS_")}
        environment = {**own, **dict.fromkeys(BLAS_THREADS, str(threads))}
        words = [sys.executable, "-m", "bench.limits", str(threads), *(["quick"] if quick else [])]
        done = subprocess.run(words, cwd=ROOT, env=environment, stdout=subprocess.PIPE, check=True)
        best = self.figures.setdefault(threads, {})
        for name, value in json.loads(done.stdout).items():
            best[name] = max(value, best.get(name, 0))

    def sgemm(self, threads: int) -> float:
        """GFLOP/s."""
        return max(self.figures[threads]["numpy"], self.figures[threads]["ours"])


def product_of_ours(size: int, threads: int) -> Callable[[], object]:
    """A square product as the one layer of a network; rows are copied in and out besides."""
    with tempfile.TemporaryDirectory() as folder:
        cfg = Path(folder) / "product.cfg"
        cfg.write_text(f"[net]\nbatch={size}\ninputs={size}\n[connected]\noutput={size}\nactivation=linear\n")
        net = dv.Network(cfg, device="cpu", threads=threads)
    X = np.random.default_rng(0).standard_normal((size, size), np.float32)
    return lambda: net.predict(X)


def product_of_numpy(size: int) -> Callable[[], object]:
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((size, size), np.float32), rng.standard_normal((size, size), np.float32)
    out = np.empty_like(a)
    return lambda: np.matmul(a, b, out=out)


def bandwidth(n_bytes: int, threads: int, passes: int, write: bool) -> float:
    """GB/s, bytes read and bytes written added, of threads that walk over parts of an array."""
    parts = np.array_split(np.ones(n_bytes // 4, np.float32), threads)
    one = np.float32(1)

    def walk(part: np.ndarray) -> None:
        for _ in range(passes):
            np.multiply(part, one, out=part) if write else np.max(part)

    with ThreadPoolExecutor(threads) as pool:
        seconds = min(timed(lambda: list(pool.map(walk, parts))) for _ in range(TRIES))
    return (1 + write) * sum(part.nbytes for part in parts) * passes / seconds / 1e9


def main() -> None:
    threads, quick = int(sys.argv[1]), "quick" in sys.argv[2:]
    size = 256 if quick else 2048
    flops = 2 * size**3
    found = {}
    for name, product in {"numpy": product_of_numpy(size), "ours": product_of_ours(size, threads)}.items():
        product()
        found[name] = flops / min(timed(product) for _ in range(TRIES)) / 1e9
    third = cache_size(3) or 8 << 20
    # A quarter of the cache, which others use too, and eight times the cache.
    for place, n_bytes, passes in (("L3", third // 4, 100), ("RAM", min(8 * third, 1 << 30), 2)):
        for kind in ("read", "read-modify-write"):
            found[f"{place} {kind}"] = bandwidth(n_bytes >> (4 if quick else 0), threads, passes, kind != "read")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
