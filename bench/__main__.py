"""python -m bench [JOB ...]: measure, and print a report in Markdown; ... recipes: published numbers;
... anomaly, synthetic, imputation: real tables."""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import sys
import tempfile
from pathlib import Path

from . import recipes, report, tables
from .jobs import JOBS
from .limits import Limits
from .measure import available_cores, available_memory, count, processor, say, tuning, versions
from .report import Report
from .setting import Bench, kernels

PEERS = ["torch", "jax", "pandas", "polars"]

# How ours, XLA, PyTorch with oneDNN and OpenBLAS are held to an instruction set. Peers have nothing as old as base.
HELD = {
    "base": {"DARKNET_ISA": "base", "OPENBLAS_CORETYPE": "Prescott"},
    "avx2": {
        "DARKNET_ISA": "avx2",
        "XLA_FLAGS": "--xla_cpu_max_isa=AVX2",
        "ATEN_CPU_CAPABILITY": "avx2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "OPENBLAS_CORETYPE": "Haswell",
        "TORCHINDUCTOR_CACHE_DIR": f"{tempfile.gettempdir()}/torchinductor_avx2",  # what it compiled before may be for more
    },
}

LABELS = {"base": "without AVX", "avx2": "AVX2", "avx512": "AVX-512"}


def hold(isa: str) -> None:
    """Start anew where it is not so yet: libraries look at the environment when they are loaded."""
    if any(os.environ.get(name) != value for name, value in HELD[isa].items()):
        words = [sys.executable, "-m", "bench", *sys.argv[1:]]
        os.execve(sys.executable, words, {**os.environ, **HELD[isa]})


def main() -> int:
    if sys.argv[1:2] == ["recipes"]:
        return recipes.main(sys.argv[2:])
    if sys.argv[1:2] and sys.argv[1] in tables.NAMES:
        return tables.main(sys.argv[1:])
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure ours beside PyTorch, JAX, pandas and polars.")
    parser.add_argument("jobs", nargs="*", metavar="JOB", help=f"all, or some of: {', '.join(JOBS)}")
    parser.add_argument("--repeats", type=int, default=5, metavar="N", help="rounds in which every contender runs once (5)")
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="replace these jobs in this file's section for the processor; else print"
    )
    parser.add_argument("--machine", metavar="NAME", help="the processor's name in the report")
    parser.add_argument("--without", action="append", default=[], choices=PEERS, help="leave a peer out")
    parser.add_argument("--quick", action="store_true", help="tiny data and one round: does it all work?")
    parser.add_argument("--isa", choices=HELD, help="hold ours and the peers to an instruction set")
    options = parser.parse_args()
    if options.isa:
        hold(options.isa)
    for name in options.jobs:
        if name not in JOBS:
            parser.error(f"no job '{name}'; there are: {', '.join(JOBS)}")
    if options.repeats < 1:
        parser.error(f"--repeats {options.repeats} is not a positive number")
    repeats = 1 if options.quick else options.repeats

    limits = Limits()
    heading = f"{options.machine or processor()}, {LABELS[kernels()]}"
    results = {}
    when = conditions(repeats, options.quick)
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), repeats, options.quick, frozenset(options.without), limits)
        say("the machine's limits")
        for _ in range(min(2, repeats)):
            for threads in sorted({1, bench.threads}):
                limits.measure(threads, options.quick)
        for name in options.jobs or JOBS:
            say(name)
            results[name] = JOBS[name](bench)
    found = Report(heading, setting(), when, limits, results, JOBS)
    if options.output:
        report.write(options.output, found)
    else:
        print(found.markdown(), end="")
    errors = [f"{name}: {error}" for name, result in results.items() for error in result.errors]
    for error in errors:
        say(f"error: {error}")
    return 1 if errors else 0


def conditions(repeats: int, quick: bool) -> str:
    """When, and what else went on."""
    load = f", load {os.getloadavg()[0]:.1f} at the start" if hasattr(os, "getloadavg") else ""
    return (
        f"{datetime.date.today()}, {'a quick run on tiny data: no figures to quote' if quick else count(repeats, 'round')}{load}"
    )


def setting() -> list[str]:
    """Where and with what."""
    memory = available_memory()
    where = f"{processor()}, {count(available_cores(), 'core')} for this process"
    if memory:
        where += f", {memory / 1e9:.0f} GB of memory free"
    lines = [f"{where}; {platform.system()} {platform.release()}", versions(PEERS)]
    return [*lines, *([tuning()] if tuning() else [])]


if __name__ == "__main__":
    sys.exit(main())
