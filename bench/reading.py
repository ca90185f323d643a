"""One reader of CSV files, in a separate process: readers take their number of threads from the environment, and peak memory
can only be measured for a whole process.

    python -m bench.reading darknet-vae|pandas|polars THREADS FILE

prints JSON: seconds (without imports), bytes at the highest beyond the matrix, and what was read.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from . import ROOT

LABEL = "label"


def measure(who: str, threads: int, path: Path) -> dict[str, Any]:
    words = [sys.executable, "-m", "bench.reading", who, str(threads), str(path)]
    done = subprocess.run(words, cwd=ROOT, stdout=subprocess.PIPE, check=True)
    return dict(json.loads(done.stdout))


def reader(who: str, path: str) -> Callable[[], np.ndarray]:
    """To a float32 matrix in whatever order of memory is fastest, by the fastest of the ways that were tried: giving
    the types beforehand is faster than casting integers afterwards, for pandas twice as fast."""
    if who == "darknet-vae":
        import darknet_vae as dv

        dv.build_info()
        return lambda: dv.load_csv(path, label_column=LABEL)
    library: Any = importlib.import_module(who)
    if who == "pandas":
        return lambda: np.asarray(library.read_csv(path, dtype=np.float32).to_numpy())
    with open(path) as file:
        columns = file.readline().count(",") + 1
    return lambda: np.asarray(library.read_csv(path, schema_overrides=[library.Float32] * columns).to_numpy())


def memory(name: str) -> int:
    """Bytes of this process, now (VmRSS) or at the highest (VmHWM); 0 where nothing tells."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(name):
                return int(line.split()[1]) << 10
    if name != "VmHWM":
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def main() -> None:
    who, threads, path = sys.argv[1:]
    os.environ["DARKNET_THREADS"] = os.environ["POLARS_MAX_THREADS"] = threads
    read = reader(who, path)
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # the highest is the present
    before = memory("VmRSS")
    start = time.perf_counter()
    X = read()
    seconds = time.perf_counter() - start
    over = memory("VmHWM") - before - X.nbytes
    pixels = X if who == "darknet-vae" else X[:, :-1]
    print(json.dumps({"seconds": seconds, "over": over, "shape": pixels.shape, "sum": float(pixels.sum(dtype=np.float64))}))


if __name__ == "__main__":
    main()
