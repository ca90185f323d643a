"""Jobs that train: beside peers, as a whole process, with one thread and two."""

from __future__ import annotations

import contextlib
import json
import math
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import darknet_vae as dv

from . import ROOT
from .measure import Run, Spread, available_cores, cache_size, count, digits, interleave, timed
from .peer_jax import Jax
from .peer_torch import Torch
from .peers import Ours, Trainer
from .recipe import Array, Data, Losses, Recipe
from .report import Goal, Line, Result
from .setting import PUBLISHED, Bench, By, beat, elsewhere, present

SAME_STEPS = 8
# How far apart losses may be. After the epochs of the jobs on MNIST two runs of ours that differ in noise and order of rows
# differ by up to 2 % in the total loss and by 10 % in the latent one; earlier by more (vae_conv at batch 128: 24 % of the latent
# loss after two epochs), after the few steps of a quick run by ten times that.
NEAR = {"total": 0.04, "latent": 0.2}
NEAR_QUICK = {"total": 0.4, "latent": 1.0}


def same_arithmetic(ours: Ours, peer: Trainer) -> str | None:
    """A few steps on given rows with given noise, then the losses: they differ by rounding only, or this says how."""
    rng = np.random.default_rng(0)
    recipe, data = ours.recipe, ours.data
    for trainer in (ours, peer):
        trainer.start(0)
    for _ in range(SAME_STEPS):
        sequences = rng.choice(data.sequences(recipe), recipe.batch, replace=False)
        rows = (sequences[:, None] * recipe.time_steps + np.arange(recipe.time_steps)).ravel()
        x, truth = data.X[rows], None if data.truth is None else data.truth[rows]
        draws = (len(x) * recipe.samples, ours.net.latent_size)
        noise = rng.standard_normal(draws, np.float32) if recipe.variational else None
        for trainer in (ours, peer):
            trainer.step(x, truth, noise)
    a, b = ours.losses(), peer.losses()
    if math.isclose(a.total, b.total, rel_tol=1e-4):
        return None
    return f"after {SAME_STEPS} equal steps ours is at {a}, {peer.name} at {b}"


def typical(runs: list[Losses]) -> Losses:
    """The medians over the rounds."""
    return Losses(*(statistics.median(values) for values in zip(*runs, strict=True)))


def disagreement(ours: Losses, theirs: Losses, name: str, near: dict[str, float]) -> str | None:
    """Of losses after training; None: they agree within noise."""
    for what, part in near.items():
        a, b = getattr(ours, what), getattr(theirs, what)
        if not abs(a - b) <= part * abs(a):
            return f"{name}: {what} loss {b:.3f}, ours {a:.3f}: more than {part:.0%} apart"
    return None


def race(
    bench: Bench, result: Result, ours: Ours, peers: list[Trainer], epochs: int, near: dict[str, float] = NEAR
) -> dict[str, Spread]:
    """Train all of them round by round; losses are checked and entered. Seconds per epoch."""
    trainers = [ours, *peers]
    found: dict[str, list[Losses]] = {trainer.name: [] for trainer in trainers}

    def one(trainer: Trainer, number: int) -> float:
        trainer.start(number)
        seconds = timed(lambda: trainer.train(epochs))
        found[trainer.name].append(trainer.bound() if trainer.recipe.samples > 1 else trainer.losses())
        return seconds / epochs

    errors = [same_arithmetic(ours, peer) for peer in peers]
    runs: dict[str, Run] = {trainer.name: partial(one, trainer) for trainer in trainers}
    seconds = interleave(runs, bench.repeats)
    after = {name: typical(losses) for name, losses in found.items()}
    near = NEAR_QUICK if bench.quick else near
    errors += [disagreement(after[ours.name], after[peer.name], peer.name, near) for peer in peers]
    result.errors += [error for error in errors if error]
    for name, spread in seconds.items():
        ratio = None if name == ours.name else spread.per(seconds[ours.name])
        result.add(name, spread, ratio, None, str(after[name]))
    return seconds


def training_flops(table: dict[str, Any], samples: int = 1) -> float:
    """Per row: forward, gradient of the weights and of the input; nobody needs the first layer's input's. Layers after the
    sampling layer work on so many draws of a row."""
    forward, draws = 0.0, 1
    for layer in table["layers"]:
        draws = samples if layer["type"] == "sampling" else draws
        forward += draws * layer["flops_per_row"]
    return float(3 * forward - table["layers"][0]["flops_per_row"])


def share(bench: Bench, recipe: Recipe, seconds: Spread, rows: int) -> Line:
    flops = training_flops(dv.Network(recipe.cfg, device="cpu").describe()) * rows
    limit = bench.limits.sgemm(bench.threads)
    ratio = Spread(tuple(flops / value / 1e9 / limit for value in seconds.values))
    return Line(f"{Ours.name}, GFLOP/s", None, ratio, Goal(0.8), of="share of the sgemm limit")


def arithmetic(bench: Bench, recipe: Recipe, seconds: Spread, rows: int) -> str:
    """GFLOP/s of training, and the bytes of parameters that have to go through the caches for it."""
    pass_rows = recipe.batch * recipe.time_steps
    table = dv.Network(recipe.cfg, device="cpu", batch=pass_rows).describe()
    rate = training_flops(table, recipe.samples) * rows / seconds.median / 1e9
    limit = bench.limits.sgemm(bench.threads)
    # parameters are read forward; they and their moments (one, of Adam two) are read and written by the update
    walks = 1 + 2 * (3 if recipe.adam else 2)
    moved = walks * table["weights_bytes"] * math.ceil(rows / pass_rows) / seconds.median / 1e9
    held = (3 if recipe.adam else 2) * table["weights_bytes"]
    place = "RAM" if held > (cache_size(3) or 8 << 20) else "L3"
    most = bench.limits.figures[bench.threads][f"{place} read-modify-write"]
    return f"""Ours reaches {digits(rate)} GFLOP/s, {rate / limit:.0%} of the sgemm limit, and moves {digits(moved)} GB/s of
        parameters and moments, {moved / most:.0%} of the read-modify-write limit of {place}."""


def epoch(bench: Bench, batch: int, epochs: int, torch_goal: By, jax_goal: By) -> Result:
    epochs = bench.few(epochs, 1)
    rows = len(bench.X)
    result = Result(
        f"An epoch of vae_connected, batch {batch}",
        f"""cfg/vae_connected.cfg on {rows:,} images, {bench.threads} threads; seconds of an epoch, from one training
        of {count(epochs, "epoch")} from start weights: ours is `net.train(X, epochs)` with all it does, peers are
        without the time of compiling. PyTorch is eager with its default SGD and with the fused one, that also with one thread,
        and compiled; JAX runs a whole epoch as one compiled scan with donated buffers. All start with the same weights; before
        the race they do the same steps with the same noise and must agree to 1e-4. Losses are image + beta x latent after
        training, z the mean; medians over the rounds.""",
    )
    recipe = Recipe(PUBLISHED, batch)
    torch = present(bench, result, "torch", "PyTorch")
    jax = present(bench, result, "jax", "JAX")
    both = bench.threads
    ways: list[dict[str, Any]] = [
        {"threads": both, "fused": False}, {"threads": both}, {"threads": 1}, {"threads": both, "compiled": True}
    ]  # fmt: skip
    data = Data(bench.X)
    eager = [Torch(torch, recipe, data, **way) for way in ways] if torch else []
    compiled = [Jax(jax, recipe, data)] if jax else []
    seconds = race(bench, result, Ours(recipe, data, bench.threads), [*eager, *compiled], epochs)
    ours = seconds[Ours.name]
    beat(result, [peer.name for peer in eager], torch_goal)
    beat(result, [peer.name for peer in compiled], jax_goal)
    if batch >= 250:  # bound by products: the machine's limit is a goal of its own
        result.lines.append(share(bench, recipe, ours, rows))
    if batch == 4:
        elsewhere(result, "the original C program", (1.6, 1.9), ours, Goal(12))
    result.notes.append(arithmetic(bench, recipe, ours, rows))
    return result


def conv(bench: Bench, batch: int, epochs: int) -> Result:
    epochs = bench.few(epochs, 1)
    rows = len(bench.X)
    result = Result(
        f"An epoch of vae_conv, batch {batch}",
        f"""cfg/vae_conv.cfg on {rows:,} images, {bench.threads} threads; seconds of an epoch, from one training of
        {count(epochs, "epoch")}. Darknet's Adam takes gradients summed over the batch and adds eps=1e-7 to the root
        after the correction of bias, where PyTorch's adds it too: with the summed loss and that eps they do the same
        arithmetic, to 1e-4 after equal steps. PyTorch is eager with its fused Adam, in both memory layouts. The last
        batch is the rest.""",
    )
    recipe = Recipe(ROOT / "cfg" / "vae_conv.cfg", batch)
    torch = present(bench, result, "torch", "PyTorch")
    data = Data(bench.X)
    peers = [Torch(torch, recipe, data, bench.threads, channels_last=last) for last in (False, True)] if torch else []
    seconds = race(bench, result, Ours(recipe, data, bench.threads), [*peers], epochs)
    beat(result, [peer.name for peer in peers], 1.5)
    result.notes.append(arithmetic(bench, recipe, seconds[Ours.name], rows))
    return result


def program(name: str) -> str | None:
    """A program installed beside this Python, built by make, or on the path."""
    beside = Path(sys.executable).parent
    return shutil.which(name, path=beside) or shutil.which(name, path=ROOT) or shutil.which(name)


def process(bench: Bench) -> Result:
    epochs = bench.few(10, 1)
    rows = bench.few(4000, 200)
    result = Result(
        "The headline as a whole process",
        f"""`darknet vae train cfg/vae_connected.cfg` on a CSV of {rows:,} images, {count(epochs, "epoch")} at batch
        4: seconds of the process from its start to its end, the table read and the weights and latent space written.
        Losses are those of the last epoch, while training; both programs must give the same weights.""",
    )
    csv = bench.csv(rows)
    last: dict[str, dict[str, float]] = {}

    def one(words: list[str], number: int) -> float:
        save = bench.folder / f"{Path(words[0]).name}.weights"
        save.unlink(missing_ok=True)
        words = [*words, "train", str(PUBLISHED), str(csv), "-scale", "255", "-label-column", "label", "-epochs", str(epochs)]
        words += ["-seed", str(number), "-save", str(save), "-threads", str(bench.threads), "-nogpu", "-quiet", "-json"]
        output = ""

        def whole() -> None:
            nonlocal output
            output = subprocess.run(words, cwd=bench.folder, stdout=subprocess.PIPE, text=True, check=True).stdout

        seconds = timed(whole)
        last[Path(words[0]).name] = json.loads(output)
        return seconds

    runs: dict[str, Run] = {}
    for name, verbs in (("darknet", ["vae"]), ("darknet-vae", [])):
        path = program(name)
        if path:
            runs[name] = partial(one, [path, *verbs])
        else:
            result.add(name, None, result="not installed")
    seconds = interleave(runs, bench.repeats)
    for name, spread in seconds.items():
        losses = Losses(last[name]["image_loss"], last[name]["latent_loss"], Recipe(PUBLISHED, 4).beta)
        result.add(name, spread, result=str(losses))
        elsewhere(result, f"the original C program / {name}", (16, 19), spread, Goal(10))
    files = [bench.folder / f"{name}.weights" for name in runs]
    if len({path.read_bytes() for path in files}) > 1:
        result.errors.append("darknet and darknet-vae wrote different weights")
    if not bench.quick:
        for name, found in last.items():
            total = found["image_loss"] + found["latent_loss"]
            if not 41 < total < 43.5:
                result.errors.append(f"{name}: image + latent loss {total:.2f} is not in 41 .. 43.5; published: 42.6")
    return result


@contextlib.contextmanager
def one_core_busy() -> Iterator[None]:
    """Another process works on the last of our cores, without a pause."""
    code = (
        "import os, sys\n"
        "if hasattr(os, 'sched_setaffinity'): os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})\n"
        "print(flush=True)\n"
        "while True: pass"
    )
    busy = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    try:
        assert busy.stdout
        busy.stdout.readline()
        yield
    finally:
        busy.kill()
        busy.communicate()


def threads(bench: Bench) -> Result:
    result = Result(
        "One thread and two",
        """cfg/vae_connected.cfg: seconds of a training with one thread, with two, and with two while another process
        keeps one of the cores busy. Losses must be the same to the last bit.""",
        ratio="to 1 thread",
        results="loss after training",
    )
    if available_cores() < 2:
        result.add("2 threads", None, result="this process may use one core only")
        return result
    for batch, rows, epochs in ((1, 1000, 1), (4, 4000, 1), (16, 4000, 2), (50, 4000, 3), (250, 4000, 4)):
        X = bench.X[: bench.few(rows, 100)]
        losses: dict[str, float] = {}

        def one(name: str, n_threads: int, batch: int, epochs: int, X: Array, losses: dict[str, float], number: int) -> float:
            with one_core_busy() if "busy" in name else contextlib.nullcontext():
                net = dv.Network(PUBLISHED, seed=0, device="cpu", batch=batch, threads=n_threads)
                seconds = timed(lambda: net.train(X, epochs=epochs))
            losses[name] = net.evaluate(X)["total_loss"]
            return seconds

        names = {f"batch {batch}, 1 thread": 1, f"batch {batch}, 2 threads": 2, f"batch {batch}, 2 threads, a core busy": 2}
        runs: dict[str, Run] = {name: partial(one, name, n, batch, epochs, X, losses) for name, n in names.items()}
        seconds = interleave(runs, bench.repeats)
        single, double, disturbed = names
        result.add(single, seconds[single], result=f"{losses[single]:.3f}")
        result.add(double, seconds[double], seconds[double].per(seconds[single]), Goal(1, at_most=True), f"{losses[double]:.3f}")
        ratio = seconds[disturbed].per(seconds[single])
        result.add(disturbed, seconds[disturbed], ratio, Goal(1.3, at_most=True), f"{losses[disturbed]:.3f}")
        if len(set(losses.values())) > 1:
            result.errors.append(f"batch {batch}: the loss depends on the number of threads: {losses}")
    return result
