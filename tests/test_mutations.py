"""Cfgs with mistakes of every kind, drawn from a seed: each is refused in one line, or builds a network that runs, trains,
saves, loads, resizes and is looked into. Under sanitizers (make asan) this reaches what no one thought of."""

from __future__ import annotations

import random
from pathlib import Path

import detectors
import numpy as np
import pytest
from test_gradients import NETWORKS

import darknet_vae as dv

VALUES = [
    "0", "1", "2", "3", "-1", "-2", "7", "1e3", "99999999999", "-99999999", "abc", "1.5", "", "nan", "inf", "1,2", "0,1", "-1,-2",
    ",", "1,", "2147483647", "-2147483648", "tanh", "legacy", "adamw", "cosine", "plateau",
]  # fmt: skip
KEYS = [
    "filters", "size", "stride", "pad", "padding", "groups", "output", "batch_normalize", "layers", "from", "alpha", "beta",
    "anchors", "mask", "num", "classes", "coords", "max", "side", "softmax", "extra", "reverse", "flatten", "crop_height",
    "crop_width", "probability", "temperature", "spatial", "noloss", "kappa", "numload", "dontload", "dontsave",
    "dontloadscales", "stopbackward", "learning_rate", "xnor", "binary", "flipped", "scale", "type", "time_steps", "batch",
    "subdivisions", "height", "width", "channels", "inputs", "momentum", "decay", "adam", "policy", "steps", "scales", "step",
    "gamma", "power", "burn_in", "max_batches", "hidden_filters", "output_filters", "shortcut", "tanh", "ids", "background",
    "rescore", "truth", "activation", "init", "optimizer", "clip_norm", "ema", "eps", "final_fraction", "patience", "factor",
]  # fmt: skip


def mutated(draw: random.Random) -> str:
    texts = list(NETWORKS.values())
    lines = draw.choice(texts).splitlines()
    for _ in range(draw.choice([1, 1, 1, 2, 3])):
        kind, at = draw.random(), draw.randrange(len(lines))
        if kind < 0.45:
            at = draw.choice([i for i, line in enumerate(lines) if "=" in line] or [at])
            lines[at] = lines[at].split("=")[0] + "=" + draw.choice(VALUES)
        elif kind < 0.7:
            lines.insert(at + 1, draw.choice(KEYS) + "=" + draw.choice(VALUES))
        elif kind < 0.8 and len(lines) > 1:
            del lines[at]
        elif kind < 0.9:
            other = draw.choice(texts).splitlines()
            start = draw.randrange(len(other))
            lines[at:at] = other[start : start + draw.randrange(1, 6)]
        else:
            lines[at] = lines[at][: draw.randrange(len(lines[at]) + 1)]
    return "\n".join(lines)


def go_through(net: dv.Network) -> None:
    values = np.random.default_rng(0)
    heads = detectors.heads(net)

    def rows() -> tuple[np.ndarray, np.ndarray | None]:
        truth = values.uniform(0.1, 0.9, size=(net.batch, net.truths)) if net.truths else None
        return values.normal(size=(net.batch, net.inputs)), detectors.truth_of(heads[0], net.batch, values) if heads else truth

    x, truth = rows()
    net.predict(x)
    for _ in range(2):
        net.forward(x, truth, train=True)
        net.backward()
        net.update()
    net.save("mutated.weights")
    net.load_weights("mutated.weights")
    assert net.table() and net.json()
    if net.input_shape:
        _, height, width = net.input_shape
        net.resize(height=height + 2, width=width + 3)
    x, truth = rows()
    if truth is not None and not heads:
        net.train(x, epochs=1, truth=truth)
        net.row_losses(x, truth)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("seed", range(4))
def test_a_mutated_cfg_is_refused_in_one_line_or_works(seed: int) -> None:
    draw, built = random.Random(seed), 0
    for _ in range(150):
        Path("mutated.cfg").write_text(mutated(draw))
        try:
            net = dv.Network("mutated.cfg", threads=1)
            if net.memory_bytes > 1e8 or net.describe()["flops_per_row"] * net.batch > 2e8:
                continue
            built += 1
            go_through(net)
        except dv.DarknetError as error:
            assert "\n" not in str(error)
    assert built > 20
