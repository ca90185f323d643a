"""The files that a cfg names are read once, when the network is built."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import darknet_vae as dv

Build = Callable[..., dv.Network]
TREE = "animal -1\nplant -1\ncat 0\ndog 0\n"
SOFTMAX = "[net]\nbatch=2\ninputs=3\n[connected]\noutput=4\nactivation=linear\n[softmax]\ntree=named.txt\n"
HEAD = "[net]\nbatch=2\nheight=2\nwidth=2\nchannels=9\n[{}]\nanchors=1,1\nclasses=4\nmax=2\n{}=named.txt\n"
CASES = {
    "tree of a softmax": (SOFTMAX, TREE),
    "tree of a region": (HEAD.format("region", "tree"), TREE),
    "map of a region": (HEAD.format("region", "map"), "3\n2\n1\n0\n"),
    "map of a yolo": (HEAD.format("yolo", "map"), "3\n2\n1\n0\n"),
}


def job(net: dv.Network, rows: int) -> np.ndarray:
    rng = np.random.default_rng(5)
    x = rng.normal(size=(rows, net.inputs)).astype(np.float32)
    truth = rng.uniform(0.1, 0.9, size=(rows, net.truths)).astype(np.float32)
    if net.layers[-1].type == "softmax":
        truth = np.tile(np.float32([1, 0, 0, 1]), (rows, 1))  # a distribution per group
    else:
        truth[:, 4::5] = 3
    losses = net.evaluate(x, truth)
    return np.concatenate([net.predict(x).ravel(), [losses["total_loss"]]])


@pytest.mark.parametrize("fate", ["removed", "replaced"])
@pytest.mark.parametrize("case", CASES)
def test_a_network_keeps_the_files_of_its_cfg(case: str, fate: str, network: Build) -> None:
    text, content = CASES[case]
    named = Path("named.txt")
    named.write_text(content)
    expected = job(network(text), 50)
    net = network(text)
    if fate == "removed":
        named.unlink()
    else:
        named.write_text("no tree, no map\n")
    before = net.memory_bytes
    np.testing.assert_array_equal(job(net, 50), expected)
    assert net.memory_bytes > before, "the job of many rows did not get a plan of its own"
    net.resize(batch=7)
    np.testing.assert_array_equal(job(net, 50), expected)
