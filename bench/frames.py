"""Reading a table of mixed columns: numbers, words, times, missing cells. One reader in a separate process, as in reading.py.

    python -m bench.frames darknet-vae|polars THREADS FILE

prints JSON: seconds (without imports), bytes at the highest beyond what was there before, and what was read.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from . import ROOT
from .measure import Run, interleave
from .peers import Ours
from .reading import memory
from .report import Result
from .setting import Bench, beat, present, titled

NAMES = "customer,age,city,product,price,quantity,discount,score,temperature,active,segment,joined,seen,comment"
WORDS = ("city", "product", "active", "segment", "comment")
TIMES = ("joined", "seen")
MISSING = ("age", "city", "price", "score", "temperature", "seen")  # 3 % of their cells
COMMENTS = ("good", "bad", '"late, but ok"', '"said ""fine"""', "never again", "none", "as expected")
PIECE = 20_000


def write(path: Path, size: float) -> None:
    """At least so many bytes of rows, always the same ones."""
    draw = np.random.default_rng(0)
    cities = [
        f"{old}{city}" for old in ("New ", "Old ", "Upper ", "") for city in ("York", "Berlin", "Lima", "Oslo", "Springfield")
    ]
    done = first = 0
    with open(path, "w") as file:
        file.write(NAMES + "\n")
        while done < size:
            columns: dict[str, Any] = {
                "customer": np.arange(first, first + PIECE).astype(str),
                "age": draw.integers(18, 95, PIECE).astype(str),
                "city": draw.choice(cities, PIECE),
                "product": np.char.mod("P-%05d", draw.integers(0, 2000, PIECE)),
                "price": np.char.mod("%.2f", draw.lognormal(3, 1, PIECE)),
                "quantity": draw.integers(1, 1000, PIECE).astype(str),
                "discount": np.char.mod("%.3f", draw.random(PIECE)),
                "score": np.array([repr(value) for value in draw.normal(size=PIECE).tolist()]),
                "temperature": np.char.mod("%.1f", draw.normal(15, 8, PIECE)),
                "active": draw.choice(["True", "False"], PIECE),
                "segment": draw.choice(["a", "b", "c", "d"], PIECE),
                "joined": (np.datetime64("2015-01-01") + draw.integers(0, 3650, PIECE)).astype(str),
                "seen": (np.datetime64("2024-01-01T00:00:00") + draw.integers(0, 31536000, PIECE)).astype(str),
                "comment": draw.choice(COMMENTS, PIECE),
            }
            for name in MISSING:
                columns[name] = np.where(draw.random(PIECE) < 0.03, "", columns[name])
            rows = "\n".join(map(",".join, zip(*(columns[name].tolist() for name in NAMES.split(",")), strict=True))) + "\n"
            file.write(rows)
            done, first = done + len(rows), first + PIECE


def measure(who: str, threads: int, path: Path) -> dict[str, Any]:
    words = [sys.executable, "-m", "bench.frames", who, str(threads), str(path)]
    done = subprocess.run(words, cwd=ROOT, stdout=subprocess.PIPE, check=True)
    return dict(json.loads(done.stdout))


def ours(path: str) -> tuple[Any, dict[str, float]]:
    from darknet_vae._lib import check, ffi, lib

    frame = ffi.new("dn_frame *")
    start = time.perf_counter()
    check(lib.dn_frame_load(frame, path.encode(), ffi.NULL))
    found = {"seconds": time.perf_counter() - start, "over": float(memory("VmHWM")), "rows": float(frame.rows)}
    for i in range(frame.n):
        column = frame.columns[i]
        name = ffi.string(column.name).decode()
        if column.type == lib.DN_FRAME_TEXT:
            codes = np.frombuffer(ffi.buffer(column.codes, 4 * frame.rows), np.int32)
            found[name] = float(column.n_words + (codes < 0).sum())
        else:
            found[name] = float(np.nansum(np.frombuffer(ffi.buffer(column.numbers, 8 * frame.rows), np.float64)))
    return frame, found


def polars(path: str) -> tuple[Any, dict[str, float]]:
    library: Any = importlib.import_module("polars")
    # the faster of two ways: given which columns are categories, and casting them afterwards
    types = dict.fromkeys(WORDS, library.Categorical)
    start = time.perf_counter()
    frame = library.read_csv(path, schema_overrides=types, try_parse_dates=True)
    found = {"seconds": time.perf_counter() - start, "over": float(memory("VmHWM")), "rows": float(len(frame))}
    for name in frame.columns:
        column = frame[name]
        if name in WORDS:
            found[name] = float(column.drop_nulls().n_unique() + column.null_count())
        elif name in TIMES:
            found[name] = float(column.cast(library.Datetime("us")).dt.epoch("s").sum())
        else:
            found[name] = float(column.sum())
    return frame, found


def main() -> None:
    who, threads, path = sys.argv[1:]
    os.environ["DARKNET_THREADS"] = os.environ["POLARS_MAX_THREADS"] = threads
    importlib.import_module("darknet_vae._lib" if who == "darknet-vae" else who)
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # the highest is the present
    before = memory("VmRSS")
    _, found = (ours if who == "darknet-vae" else polars)(path)
    found["over"] -= before
    print(json.dumps(found))


def frame(bench: Bench) -> Result:
    path = bench.folder / "mixed.csv"
    if not path.exists():
        write(path, bench.few(100_000_000, 2_000_000))
    size = len(path.read_bytes())
    result = Result(
        "Reading a table of mixed columns",
        f"""A CSV file of {size / 1e6:.0f} MB, in the page cache, with {NAMES.count(",") + 1} columns: whole numbers, others of 1
        to 17 digits, words, dates, times, missing cells, texts in quotes. `dn_frame_load`, which finds the types of the columns,
        and `polars.read_csv` with the words as categories (which is faster than casting them afterwards), each in a fresh
        process, imports not counted. Memory is the process's peak while reading, with the result.""",
        results="MB/s; peak memory",
    )
    found: dict[str, dict[str, Any]] = {}
    runs: dict[str, Run] = {}
    peers = [Ours.name, "polars"] if present(bench, result, "polars", "polars") else [Ours.name]
    counts = sorted({1, min(2, bench.threads)})

    def one(name: str, who: str, threads: int, number: int) -> float:
        found[name] = measure(who, threads, path)
        return float(found[name]["seconds"])

    for threads in counts:
        for who in peers:
            name = titled(who, threads)
            runs[name] = partial(one, name, who, threads)
    seconds = interleave(runs, bench.repeats)
    for threads in counts:
        mine = seconds[titled(Ours.name, threads)]
        for who in peers:
            name = titled(who, threads)
            spread, peak = seconds[name], found[name]["over"] / 1e6
            ratio = None if who == Ours.name else spread.per(mine)
            result.add(name, spread, ratio, result=f"{size / 1e6 / spread.median:.0f}; {peak:.0f} MB")
        beat(result, [titled(who, threads) for who in peers[1:]], 2)
    first = found[titled(Ours.name, counts[0])]
    for name, read in found.items():
        for what in ("rows", *NAMES.split(",")):
            if not np.isclose(read[what], first[what], rtol=1e-9):
                result.errors.append(f"{name}: {what} is {read[what]}, not {first[what]}")
    return result


if __name__ == "__main__":
    main()
