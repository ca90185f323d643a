"""Jobs that move much data: decoding latent vectors, reading CSV files."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

import darknet_vae as dv

from . import reading
from .measure import Run, Spread, available_memory, digits, interleave, timed
from .peers import Ours
from .recipe import Array
from .report import Goal, Line, Result
from .setting import PUBLISHED, Bench, beat, present, titled

WARM = 2  # runs before the one that counts


def decode(bench: Bench, rows: int) -> Result:
    """rows up to 100,000 beside PyTorch in one call; more only in batches."""
    whole = rows <= 100_000
    rows = bench.few(rows, 2000)
    net = dv.Network(PUBLISHED, seed=0, device="cpu", threads=bench.threads)
    net.train(bench.X[:400], epochs=1)
    size = 4 * rows * net.outputs
    result = Result(
        f"Decoding {rows:,} latent vectors",
        f"""`net.sample(z)` through the decoder of cfg/vae_connected.cfg, {bench.threads} threads; the result of
        {size / 1e9:.2g} GB is new memory every time. PyTorch works in inference mode and in place,
        {"in one call, and " if whole else ""}in batches of 1,000 rows into one result. Everything runs {WARM + 1} times in
        a row and the last time counts: memory that a virtual machine has not used for a while comes from its host, in its
        time. Outputs must be the same but for rounding.""",
        results="",
    )
    # the result, the one before it if it lingers, and PyTorch's hidden layer in one call
    need, room = int(size * (1.3 if whole else 2.3)) + (1 << 30), available_memory()
    if room is not None and room < need and not bench.quick:
        result.add(Ours.name, None, result=f"left out: {room / 1e9:.1f} GB of memory are free, {need / 1e9:.1f} GB are wanted")
        return result
    z = dv.sample_prior(rows, net.latent_size, seed=1)
    some = slice(None, None, max(1, rows // 500))
    outputs: dict[str, Array] = {}

    def one(name: str, work: Callable[[], Array], number: int) -> float:
        y: list[Array] = []
        for _ in range(WARM):
            work()
        seconds = timed(lambda: y.append(work()))
        outputs[name] = y[0][some].copy()
        return seconds

    runs: dict[str, Run] = {Ours.name: partial(one, Ours.name, lambda: net.sample(z))}
    reused = f"{Ours.name}, out="
    if not whole:
        place = np.empty((rows, net.outputs), np.float32)
        runs[reused] = partial(one, reused, lambda: net.sample(z, out=place))
    torch = present(bench, result, "torch", "PyTorch")
    if torch:
        for name, work in torch_decoders(torch, net, z, bench.threads).items():
            if whole or "batches" in name:
                runs[name] = partial(one, name, work)
    net.sample(z[:1000])
    seconds = interleave(runs, bench.repeats)
    ours = seconds[Ours.name]
    for name, spread in seconds.items():
        far = float(np.abs(outputs[name] - outputs[Ours.name]).max())
        if name == Ours.name or name == reused:
            result.add(name, spread)
        else:
            result.add(name, spread, spread.per(ours), result=f"differs by {far:.1g} at most")
        if not far <= 1e-4:
            result.errors.append(f"{name}: an output differs by {far:g}")
    beat(result, [name for name in seconds if name not in (Ours.name, reused)], 1.3)
    decoder = [layer for layer in net.describe()["layers"] if layer["index"] > 5]
    rate = sum(layer["flops_per_row"] for layer in decoder) * rows / 1e9
    limit = bench.limits.sgemm(bench.threads)
    share = Spread(tuple(rate / value / limit for value in (ours if whole else seconds[reused]).values))
    written = size / ours.median / 1e9
    memory = bench.limits.figures[bench.threads]["RAM read-modify-write"]
    result.notes.append(f"""Ours reaches {digits(share.median * limit)} GFLOP/s, {share.median:.0%} of the sgemm
        limit{"" if whole else ", where it writes into memory that is used again (`out=`)"}, and writes {digits(written)} GB/s of
        results into new memory, {written / memory:.0%} of the read-modify-write limit of RAM.""")
    if not whole:
        result.lines.append(Line(f"{reused}, GFLOP/s", None, share, Goal(0.8), of="share of the sgemm limit"))
    return result


def torch_decoders(torch: Any, net: dv.Network, z: Array, threads: int) -> dict[str, Callable[[], Array]]:
    torch.set_num_threads(threads)
    hidden, out = (net.layers[i].params for i in (6, 7))
    w1, b1, w2, b2 = (torch.from_numpy(p[name]) for p in (hidden, out) for name in ("weights", "biases"))
    linear, leaky, latents = torch.nn.functional.linear, torch.nn.functional.leaky_relu_, torch.from_numpy(z)

    def decoded(z: Any) -> Any:
        return leaky(linear(leaky(linear(z, w1, b1), 0.1), w2, b2), 0.1)

    def at_once() -> Array:
        with torch.inference_mode():
            return np.asarray(decoded(latents).numpy())

    def in_batches() -> Array:
        with torch.inference_mode():
            y = torch.empty(len(latents), w2.shape[0])
            for rows, to in zip(latents.split(1000), y.split(1000), strict=True):
                torch.addmm(b2, leaky(linear(rows, w1, b1), 0.1), w2.T, out=to)
                leaky(to, 0.1)
            return np.asarray(y.numpy())

    return {"PyTorch in one call": at_once, "PyTorch in batches": in_batches}


def csv(bench: Bench) -> Result:
    path = bench.csv(None)
    size = path.stat().st_size
    result = Result(
        "Reading a CSV file",
        f"""MNIST as a CSV file of {size / 1e6:.0f} MB, in the page cache, to a float32 matrix: `dv.load_csv`,
        `pandas.read_csv` and `polars.read_csv` (given the columns' types), each in a fresh process, imports not
        counted. pandas always has one thread. Memory is the process's peak beyond the matrix itself.""",
        results="MB/s per core; memory beyond the matrix",
    )
    path.read_bytes()
    found: dict[str, dict[str, Any]] = {}
    runs: dict[str, Run] = {}
    counts = sorted({1, min(2, bench.threads)})
    peers = [name for name in ("pandas", "polars") if present(bench, result, name, name)]

    def one(name: str, who: str, threads: int, number: int) -> float:
        found[name] = reading.measure(who, threads, path)
        return float(found[name]["seconds"])

    for threads in counts:
        for who in [Ours.name, *peers]:
            if who != "pandas" or threads == 1:
                name = titled(who, threads)
                runs[name] = partial(one, name, who, threads)
    seconds = interleave(runs, bench.repeats)
    shape, pixels = [len(bench.mnist.pixels), bench.mnist.pixels[0].size], float(bench.mnist.pixels.sum(dtype=np.float64))
    for name, read in found.items():
        if read["shape"] != shape or read["sum"] != pixels:
            result.errors.append(f"{name} read {read['shape']} with the sum {read['sum']}, not {shape} with {pixels}")
    for threads in counts:
        ours = seconds[titled(Ours.name, threads)]
        names = []
        for who in [Ours.name, *peers]:
            name = titled(who, 1 if who == "pandas" else threads)
            spread, over = seconds[name], max(0, found[name]["over"]) / 1e6
            if who == "pandas" and threads > 1:
                name = f"{name}, beside {threads} of ours"
            per_core = size / 1e6 / spread.median / (1 if who == "pandas" else threads)
            ratio = None if who == Ours.name else spread.per(ours)
            result.add(name, spread, ratio, result=f"{digits(per_core)}; {over:.1f} MB")
            names.append(name)
        beat(result, names[1:], 5)
    return result
