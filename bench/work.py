"""Trainings of other sizes and kinds than the published network's, and encoding many rows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

import darknet_vae as dv

from . import ROOT
from .measure import Run, count, digits, interleave, timed
from .peer_jax import Jax
from .peer_torch import Torch
from .peers import Ours, Trainer
from .recipe import Array, Data, Recipe
from .report import Result
from .setting import PUBLISHED, Bench, By, beat, present
from .training import NEAR, arithmetic, race

CFG = ROOT / "bench" / "cfg"
# These trainings end while the losses still fall quickly, where order and noise make more of a difference than in NEAR's.
EARLY = {"total": 0.2, "latent": 0.5}


@dataclass(frozen=True)
class Work:
    """A kind of training: what it is, its cfg and batch, rows (of sequences, where there are steps) and epochs that are timed."""

    title: str
    what: str
    cfg: str
    batch: int
    rows: int
    epochs: int
    torch_goal: float | By
    jax_goal: float | By


WORK = {
    "wide8": Work(
        "A table of 20,000 columns, batch 8",
        "A VAE of 20000-512-128-32 with Adam; 20.6 million parameters and their moments are 250 MB, more than a cache holds.",
        "wide", 8, 512, 1, 1.5, 1.5,
    ),
    "wide128": Work(
        "A table of 20,000 columns, batch 128", "The same at batch 128.", "wide", 128, 1024, 4, 1, 1,
    ),
    "narrow": Work(
        "A table of 30 columns, batch 32",
        "A VAE of 30-64-32-8 with Adam: a step is 0.7 million multiplications.",
        "narrow", 32, 32_000, 2, 1.5, 3,
    ),
    "bernoulli": Work(
        "A Bernoulli VAE of MNIST, batch 20",
        "784-200-200-50 with tanh and the Bernoulli likelihood on logits (Burda, Grosse and Salakhutdinov 2016), with Adam.",
        "bernoulli", 20, 4000, 6, 3, By(1.5, 2),
    ),
    "bernoulli128": Work(
        "A Bernoulli VAE of MNIST, batch 128", "The same at batch 128.", "bernoulli", 128, 3968, 20, 2, 1.2,
    ),
    "iwae": Work(
        "An importance-weighted autoencoder of MNIST, batch 20",
        """The network of `bernoulli` with the bound of 50 draws of a row instead of the ELBO (`samples=50`; the same paper's
        largest). Encoders work once per row, decoders and the likelihood on 1,000 draws a step; peers descend minus the
        logarithm of the mean weight by automatic differentiation. The table has minus the bound of all rows
        after training, each with noise of its own.""",
        "iwae", 20, 1000, 1, 1.5, 1.1,
    ),
    "classifier": Work(
        "A classifier of MNIST, batch 64",
        "Two convolutions of 3x3 with max pooling, 128 hidden values, ten classes, with Adam.",
        "classifier", 64, 3968, 2, 1, 1,
    ),
    "lstm": Work(
        "A recurrent network, batch 32",
        "An LSTM of 128 over 20 steps of 32 values, which predicts the next step, with Adam.",
        "lstm", 32, 1024, 2, 1.5, 1.5,
    ),
}  # fmt: skip


def table(rows: int, columns: int) -> Array:
    """Rows of a few hidden numbers, mixed, with noise: columns that hang together, of unit size."""
    rng = np.random.default_rng(0)
    hidden = rng.standard_normal((rows, 8), np.float32)
    mixed: Array = np.maximum(hidden @ rng.standard_normal((8, columns), np.float32), 0) / np.float32(2)
    mixed += rng.standard_normal((rows, columns), np.float32) / np.float32(4)
    return mixed


def sequences(n: int, steps: int, values: int) -> Data:
    """Sums of two waves per value; the truth is the next step."""
    rng = np.random.default_rng(0)
    speed = rng.uniform(0.1, 0.6, (n, 1, 2)).astype(np.float32)
    phase = rng.uniform(0, 6, (values, 2)).astype(np.float32)
    time = np.arange(steps + 1, dtype=np.float32)[None, :, None]
    waves = sum(np.sin(speed[:, :, k : k + 1] * time + phase[None, None, :, k]) for k in range(2))
    noisy = (waves + rng.standard_normal((n, steps + 1, values), np.float32) / 10).astype(np.float32)
    return Data(*(np.ascontiguousarray(part).reshape(-1, values) for part in (noisy[:, :-1], noisy[:, 1:])))


def data(bench: Bench, name: str, recipe: Recipe, rows: int) -> Data:
    rows = bench.few(rows, 2 * recipe.batch)
    columns = recipe.input_shape()[-1]
    if name == "lstm":
        return sequences(rows, recipe.time_steps, columns)
    if name in ("bernoulli", "bernoulli128", "iwae", "classifier"):
        classes = np.eye(10, dtype=np.float32)[bench.mnist.labels[:rows]] if name == "classifier" else None
        return Data(bench.X[:rows], classes)
    return Data(table(rows, columns))


def work(bench: Bench, name: str) -> Result:
    kind = WORK[name]
    recipe = Recipe(CFG / f"{kind.cfg}.cfg", kind.batch)
    given = data(bench, name, recipe, kind.rows)
    epochs = bench.few(kind.epochs, 1)
    n = given.sequences(recipe)
    eager = "eager" if recipe.time_steps > 1 else "eager and compiled"
    result = Result(
        kind.title,
        f"""{kind.what} bench/cfg/{kind.cfg}.cfg on {count(n, "sequence" if recipe.time_steps > 1 else "row")},
        {bench.threads} threads; seconds of an epoch, from one training of {count(epochs, "epoch")}. PyTorch is {eager}, with its
        fused Adam; JAX runs a whole epoch as one compiled scan. Start weights and the first steps are the same, as above.""",
    )
    torch = present(bench, result, "torch", "PyTorch")
    jax = present(bench, result, "jax", "JAX")
    ways: list[dict[str, Any]] = [{"threads": bench.threads}, {"threads": 1}, {"threads": bench.threads, "compiled": True}]
    if recipe.convolutional:
        ways[1:2] = [{"threads": bench.threads, "channels_last": True}]
    if recipe.time_steps > 1:
        ways.pop()  # torch.compile leaves LSTM modules to the eager code
    theirs: list[Trainer] = [Torch(torch, recipe, given, **way) for way in ways] if torch else []
    forms = (False, True) if recipe.samples > 1 else (False,)
    compiled: list[Trainer] = [Jax(jax, recipe, given, own_gradient=form) for form in forms] if jax else []
    near = NEAR if recipe.samples > 1 else EARLY  # bounds of all rows are steadier than losses at the mean of z
    seconds = race(bench, result, Ours(recipe, given, bench.threads), [*theirs, *compiled], epochs, near)
    beat(result, [peer.name for peer in theirs], kind.torch_goal)
    beat(result, [peer.name for peer in compiled], kind.jax_goal)
    result.notes.append(arithmetic(bench, recipe, seconds[Ours.name], len(given.X)))
    return result


def encode(bench: Bench, rows: int) -> Result:
    rows = bench.few(rows, 2000)
    net = dv.Network(PUBLISHED, seed=0, device="cpu", threads=bench.threads)
    result = Result(
        f"Encoding {rows:,} rows",
        f"""`net.encode(X)` through the encoder of cfg/vae_connected.cfg, {bench.threads} threads; means and log-variances must be
        the same but for rounding. PyTorch works in inference mode and in place, in batches of 1,000 rows; JAX is a compiled
        scan over batches of 1,000 rows.""",
        results="",
    )
    X = np.resize(bench.X, (rows, net.inputs))
    outputs: dict[str, tuple[Array, Array]] = {}
    layers = [(net.layers[i].params["weights"], net.layers[i].params["biases"]) for i in (0, 1, 3)]

    def one(name: str, call: Any, number: int) -> float:
        found: list[Any] = []
        seconds = timed(lambda: found.append(call()))
        outputs[name] = found[0]
        return seconds

    ways: dict[str, Any] = {Ours.name: lambda: net.encode(X)}
    torch = present(bench, result, "torch", "PyTorch")
    if torch:
        ways["PyTorch in batches"] = torch_encoder(torch, layers, X, bench.threads)
    jax = present(bench, result, "jax", "JAX")
    if jax:
        ways["JAX in batches"] = jax_encoder(jax, layers, X)
    runs: dict[str, Run] = {name: partial(one, name, call) for name, call in ways.items()}
    net.encode(X[:2000])
    seconds = interleave(runs, bench.repeats)
    ours = seconds[Ours.name]
    for name, spread in seconds.items():
        far = max(float(np.abs(a - b).max()) for a, b in zip(outputs[name], outputs[Ours.name], strict=True))
        ours_is_it = name == Ours.name
        result.add(name, spread, None if ours_is_it else spread.per(ours), result="" if ours_is_it else f"differs by {far:.1g}")
        if not far <= 1e-4:
            result.errors.append(f"{name}: an output differs by {far:g}")
    beat(result, [name for name in seconds if name != Ours.name], 1)
    encoder = sum(layer["flops_per_row"] for layer in net.describe()["layers"] if layer["index"] < 4)
    rate, limit = encoder * rows / 1e9 / ours.median, bench.limits.sgemm(bench.threads)
    result.notes.append(f"""Ours reaches {digits(rate)} GFLOP/s, {rate / limit:.0%} of the sgemm limit, and reads
        {digits(X.nbytes / ours.median / 1e9)} GB/s of rows.""")
    return result


def torch_encoder(torch: Any, layers: list[tuple[Array, Array]], X: Array, threads: int) -> Any:
    torch.set_num_threads(threads)
    (w, b), mean, log_variance = [tuple(map(torch.from_numpy, layer)) for layer in layers]
    linear, leaky, rows = torch.nn.functional.linear, torch.nn.functional.leaky_relu_, torch.from_numpy(X)

    def encoded() -> tuple[Array, Array]:
        with torch.inference_mode():
            means, log_variances = torch.empty(len(X), len(mean[1])), torch.empty(len(X), len(mean[1]))
            for x, m, v in zip(rows.split(1000), means.split(1000), log_variances.split(1000), strict=True):
                hidden = leaky(linear(x, w, b), 0.1)
                m.copy_(linear(hidden, *mean))
                v.copy_(linear(hidden, *log_variance))
            return means.numpy(), log_variances.numpy()

    return encoded


def jax_encoder(jax: Any, layers: list[tuple[Array, Array]], X: Array) -> Any:
    np_ = jax.numpy
    (w, b), (wm, bm), (wv, bv) = layers
    rows = jax.numpy.asarray(X)

    def encoder(rows: Any) -> Any:
        def some(x: Any) -> Any:
            hidden = x @ w.T + b
            hidden = np_.maximum(hidden, 0.1 * hidden)
            return hidden @ wm.T + bm, hidden @ wv.T + bv

        return [part.reshape(len(X), -1) for part in jax.lax.map(some, rows.reshape(-1, 1000, rows.shape[1]))]

    compiled = jax.jit(encoder).lower(rows).compile()
    return lambda: tuple(np.asarray(part) for part in jax.block_until_ready(compiled(rows)))
