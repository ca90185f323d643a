"""Random networks against the second implementation in reference.py: other strides, paddings, groups, odd and oblong
sizes, activations, batch normalisation wherever it may stand, batches and time steps, in every layer type without random
numbers. Outputs of all layers, running statistics, the cost, and the layout of the weights file."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path

import likelihoods
import numpy as np
import pytest
from reference import Reference, sections_of
from test_gradients import HEADS, NETWORKS, Problem, check

import darknet_vae as dv

Build = Callable[..., dv.Network]
ACTIVATIONS = [
    "linear", "logistic", "loggy", "relu", "elu", "selu", "relie", "ramp", "leaky", "tanh", "plse", "hardtan", "lhtan", "stair",
]  # fmt: skip
DRAWN = {"dropout", "sampling"}  # random numbers, or the identity
OURS_ALONE = {"reshape", "columns", "condition"}
IMAGE_KINDS = [
    "convolutional", "convolutional", "deconvolutional", "local", "maxpool", "avgpool", "upsample", "route", "shortcut",
    "activation", "batchnorm", "reorg", "crop", "l2norm", "normalization", "softmax", "crnn", "connected", "rnn", "gru", "lstm",
]  # fmt: skip
VECTOR_KINDS = ["connected", "connected", "route", "activation", "batchnorm", "softmax", "rnn", "gru", "lstm"]


class Draw:
    """A random network, section by section; it follows the shape so that every key has a value that fits."""

    def __init__(self, seed: int, training: bool, likely: bool = False) -> None:
        self.random = np.random.default_rng(seed)
        self.training = training
        self.steps = self.one(1, 1, 2, 3)
        self.streams = self.one(2, 3, 5) if training else self.one(1, 2, 5)
        c, h, w = self.one(1, 2, 3, 4, 6), self.one(3, 5, 6, 7, 9), self.one(4, 5, 7, 8)
        self.shapes: list[tuple[int, int, int]] = []
        self.shape = (c, h, w)
        self.text = (
            f"[net]\nbatch={self.streams}\ntime_steps={self.steps}\nchannels={c}\nheight={h}\nwidth={w}\nlearning_rate=0.1\n"
        )
        self.reference = Reference(self.text)
        for _ in range(int(self.random.integers(3, 8))):
            self.add(self.one(*(IMAGE_KINDS if self.shape[1] * self.shape[2] > 1 else VECTOR_KINDS)))
        # what the loss reads should be of ordinary size
        self.section("connected", f"output={self.one(2, 4, 6)}\nactivation=linear\n")
        last = self.one("softmax", "logistic", "sse", "L1", "smooth", "masked", "seg")
        self.loss = last
        self.heads: list[likelihoods.Head] = []
        if likely:
            self.likelihoods()
        elif last == "softmax":
            self.section("softmax", f"groups={self.one(1, 2)}\ntemperature={self.one(1, 2.5)}\n")
        elif last == "logistic":
            self.section("logistic", "")
        else:
            self.section("cost", f"type={last}\nscale={self.one(1, 0.5)}\n")

    def one(self, *values: object) -> object:  # type: ignore[misc]
        return values[int(self.random.integers(len(values)))]

    def section(self, kind: str, keys: str) -> None:
        text = f"[{kind}]\n{keys}"
        self.text += text
        shape = self.reference.append(*sections_of(text)[0])
        self.shape = (*shape, 1, 1)[:3]  # type: ignore[assignment]
        self.shapes.append(self.shape)

    def likelihoods(self) -> None:
        """One to four heads; sigma=optimal is not a function of single rows."""
        known = [head for head in likelihoods.HEADS.values() if head.spread != "optimal"]
        self.heads = [known[i] for i in self.random.integers(len(known), size=self.one(1, 1, 2, 3, 4))]
        self.section("connected", f"output={sum(head.values for head in self.heads)}\nactivation=linear\n")
        for part in re.split(r"^(?=\[)", likelihoods.several(self.heads), flags=re.M)[1:]:
            kind, keys = part.split("\n", 1)
            self.section(kind[1:-1], keys if len(self.heads) > 1 else re.sub("columns=.*\n", "", keys))

    def truth(self, random: np.random.Generator, rows: int) -> np.ndarray:
        return np.concatenate([head.truth(random, rows) for head in self.heads], axis=1)

    def act(self) -> str:
        return f"activation={self.one(*ACTIVATIONS)}\n"

    def norm(self) -> str:
        return f"batch_normalize={self.one(0, 0, 1)}\n"

    def add(self, kind: str) -> None:
        c, h, w = self.shape
        small = min(h, w)
        keys = ""
        if kind == "connected":
            keys = f"output={self.one(2, 5, 8, 13)}\n" + self.act() + self.norm()
        elif kind == "convolutional":
            size = self.one(*[k for k in (1, 2, 3, 4, 5) if k <= small])
            groups = self.one(*[g for g in (1, 2, 3) if c % g == 0])
            padding = self.one("pad=1\n", f"padding={self.one(0, 1, 2, 3)}\n", "pad=1\npadding=3\n", "")
            keys = f"filters={groups * self.one(1, 2, 3)}\nsize={size}\nstride={self.one(1, 1, 2, 3)}\ngroups={groups}\n"
            keys += padding + self.act() + self.norm()
        elif kind == "deconvolutional":
            size, stride = self.one(1, 2, 3, 4), self.one(1, 2, 3)
            most = ((small - 1) * stride + size - 1) // 2
            padding = self.one(*[f"padding={k}\n" for k in (0, 1, 2) if k <= most], *(["pad=1\n"] if size // 2 <= most else []))
            keys = f"filters={self.one(1, 2, 3)}\nsize={size}\nstride={stride}\n" + padding + self.act() + self.norm()
        elif kind == "local":
            size = self.one(*[k for k in (1, 2, 3) if k <= small])
            pad = self.one(0, size % 2)
            keys = f"filters={self.one(1, 2)}\nsize={size}\nstride={self.one(1, 2)}\npad={pad}\n" + self.act()
        elif kind == "maxpool":
            size = self.one(*[k for k in (1, 2, 3, 4) if k <= small])
            keys = f"size={size}\nstride={self.one(1, 2, 3)}\n" + self.one("", f"padding={self.one(0, size - 1, size // 2)}\n")
        elif kind == "upsample":
            stride = self.one(1, 2, 3, *[-k for k in (1, 2, 3) if k <= small]) if h * w < 60 else -2
            if stride < 0 and -stride > small:
                return
            keys = f"stride={stride}\nscale={self.one(1, 0.5)}\n"
        elif kind in ("route", "shortcut"):
            if not self.shapes:
                return
            at = int(self.random.integers(len(self.shapes)))
            if kind == "shortcut":
                fits = [i for i, (_, y, x) in enumerate(self.shapes) if x // w == y // h and w // x == h // y]
                if not fits:
                    return
                at = self.one(*fits)
                keys = f"alpha={self.one(1, 0.5)}\nbeta={self.one(1, 1.5)}\nactivation={self.one('linear', 'leaky', 'tanh')}\n"
            name = self.one(str(at), str(at - len(self.shapes)))
            if kind == "route":
                same = [i for i, shape in enumerate(self.shapes) if shape[1:] == self.shapes[at][1:]]
                keys = "layers=" + ",".join([name, *[str(i) for i in same if self.random.random() < 0.4]]) + "\n"
            else:
                keys = f"from={name}\n" + keys
        elif kind == "activation":
            keys = self.act()
        elif kind == "reorg":
            fits = [f"stride={s}\n" for s in (1, 2, 3) if c % (s * s) == 0 and h % s == 0 and w % s == 0]
            back = [f"stride={s}\nreverse=1\n" for s in (1, 2) if c % (s * s) == 0 and h * w < 60]
            keys = self.one(*fits, *back, "flatten=1\n", "flatten=1\nreverse=1\n")
        elif kind == "crop":
            if self.training:
                return
            keys = f"crop_height={self.one(h, h - 1, h // 2) or 1}\ncrop_width={self.one(w, w - 1) or 1}\n"
            keys += f"noadjust={self.one(0, 1)}\n"
        elif kind == "normalization":
            keys = (
                f"size={self.one(1, 2, 3, 5, 9)}\nalpha={self.one(0.1, 1)}\nbeta={self.one(0.75, 0.5)}\nkappa={self.one(1, 2)}\n"
            )
        elif kind == "softmax":
            keys = "noloss=1\n" + self.one("spatial=1\n", f"groups={c}\n", "temperature=1.7\n")
        elif kind in ("rnn", "crnn"):
            keys = (
                f"output={self.one(2, 4)}\n"
                if kind == "rnn"
                else f"output_filters={self.one(1, 3)}\nhidden_filters={self.one(2, 3)}\n"
            )
            keys += f"activation={self.one('tanh', 'logistic', 'hardtan')}\nshortcut={self.one(0, 1)}\n" + self.norm()
        elif kind in ("gru", "lstm"):
            keys = f"output={self.one(3, 5)}\n" + (f"tanh={self.one(0, 1)}\n" if kind == "gru" else "") + self.norm()
        self.section(kind, keys)


def fill(net: dv.Network, random: np.random.Generator) -> None:
    for layer in net.layers:
        for name, value in layer.params.items():
            kind = name.rpartition(".")[2]
            fan_in = max(1, math.prod(value.shape[1:]) if layer.type != "local" else math.prod(value.shape[2:]))
            scale, offset = {"weights": (1 / math.sqrt(fan_in), 0.0), "rolling_variance": (0.2, 1.0), "scales": (0.2, 1.0)}.get(
                kind, (0.3, 0.0)
            )
            drawn = random.uniform(-1, 1, size=value.shape) if kind == "rolling_variance" else random.normal(size=value.shape)
            layer.set(name, offset + scale * drawn)


def compare(net: dv.Network, wanted: Reference, text: str) -> None:
    for layer, out in zip(net.layers, wanted.outputs, strict=True):
        ours, out = layer.output.astype(np.float64), out.reshape(len(out), -1)
        assert ours.shape == out.shape, f"layer {layer.index}: {ours.shape}, not {out.shape}\n{text}"
        off = np.abs(ours - out).max()
        assert off <= 2e-4 * (1 + np.abs(out).max()), f"layer {layer.index} [{layer.type}] is off by {off:.3g}\n{text}"


@pytest.mark.parametrize("training", [False, True], ids=["predicting", "training"])
@pytest.mark.parametrize("group", range(4))
def test_random_networks_give_the_numbers_of_the_second_implementation(group: int, training: bool, network: Build) -> None:
    seen: set[str] = set()
    for seed in range(group * 15, group * 15 + 15):
        drawn = Draw(seed + 1000 * training, training)
        random = np.random.default_rng(seed)
        net = network(drawn.text, seed=seed)
        seen |= {layer.type for layer in net.layers}
        fill(net, random)
        net.save("drawn.weights")
        wanted = Reference(drawn.text)
        wanted.load(Path("drawn.weights").read_bytes())
        for layer, other in zip(net.layers, wanted.layers, strict=True):
            if layer.type == "batchnorm":  # not in files
                other.params["biases"] = layer.params["biases"].astype(np.float64)
        rows = drawn.streams * drawn.steps
        for _ in range(2):  # the second call goes on with the state of the first
            x = random.normal(size=(rows, net.inputs))
            truth = random.uniform(0.1, 0.9, size=(rows, net.truths))
            if drawn.loss == "masked":
                truth[:, ::2] = -1234
            net.forward(x, truth, train=training)
            x, truth = x.astype(np.float32), truth.astype(np.float32).astype(np.float64)
            wanted.forward(x, truth, training)
            if drawn.loss == "masked":  # as in Darknet, masked entries of what the cost reads become -1234
                last = wanted.outputs[-2]
                last[truth.reshape(last.shape) == -1234] = -1234
            compare(net, wanted, drawn.text)
            assert net.cost == pytest.approx(wanted.cost, rel=1e-3, abs=1e-4), drawn.text
        for layer, other in zip(net.layers, wanted.layers, strict=True):
            for name in layer.params:
                np.testing.assert_allclose(layer.params[name], other.params[name], rtol=1e-3, atol=1e-4, err_msg=name)
    assert len(seen) > 8, seen


@pytest.mark.parametrize("training", [False, True], ids=["predicting", "training"])
def test_random_networks_with_likelihoods_give_the_numbers_of_the_second_implementation(training: bool, network: Build) -> None:
    seen: set[str] = set()
    for seed in range(3000, 3030):
        drawn = Draw(seed, training, likely=True)
        random = np.random.default_rng(seed)
        net = network(drawn.text, seed=seed)
        seen |= {head.kind for head in drawn.heads}
        fill(net, random)
        net.save("drawn.weights")
        wanted = Reference(drawn.text)
        wanted.load(Path("drawn.weights").read_bytes())
        for layer, other in zip(net.layers, wanted.layers, strict=True):
            if layer.type == "batchnorm":
                other.params["biases"] = layer.params["biases"].astype(np.float64)
        rows = drawn.streams * drawn.steps
        x, truth = random.normal(size=(rows, net.inputs)), drawn.truth(random, rows)
        truth[random.uniform(size=truth.shape) < 0.1] = np.nan
        net.forward(x, truth, train=training)
        x, truth = x.astype(np.float32), truth.astype(np.float32).astype(np.float64)
        wanted.forward(x, truth, training)
        compare(net, wanted, drawn.text)
        assert net.cost == pytest.approx(wanted.cost, rel=1e-3, abs=1e-4), drawn.text
    assert seen == likelihoods.KINDS


def test_random_networks_trained_with_one_sequence_after_larger_passes(network: Build) -> None:
    """Of vectors that is one value per channel, which batch normalisation makes the bias."""
    for seed in range(2000, 2030):
        drawn = Draw(seed, training=True)
        random = np.random.default_rng(seed)
        net = network(drawn.text, seed=seed)
        fill(net, random)
        net.save("drawn.weights")
        wanted = Reference(drawn.text)
        wanted.load(Path("drawn.weights").read_bytes())
        for layer, other in zip(net.layers, wanted.layers, strict=True):
            if layer.type == "batchnorm":
                other.params["biases"] = layer.params["biases"].astype(np.float64)
        for streams in (drawn.streams, 1, drawn.streams, 1, 1):
            x = random.normal(size=(streams * drawn.steps, net.inputs)).astype(np.float32)
            truth = random.uniform(0.1, 0.9, size=(len(x), net.truths)).astype(np.float32)
            net.forward(x, truth, train=True)
            wanted.forward(x, truth.astype(np.float64), training=True)
            compare(net, wanted, drawn.text)
        for layer, other in zip(net.layers, wanted.layers, strict=True):
            for name in layer.params:
                np.testing.assert_allclose(layer.params[name], other.params[name], rtol=1e-3, atol=1e-4, err_msg=name)


def test_posteriors_and_their_losses_are_those_of_the_second_implementation(device: str, network: Build) -> None:
    text = "[net]\nbatch=4\ninputs=3\n[connected]\noutput=4\nactivation=linear\n[sampling]\nbeta=0.7\n"
    text += "[connected]\noutput=3\nactivation=linear\n[cost]\n"
    net, wanted = network(text, device=device, seed=1), Reference(text)
    x = np.random.default_rng(0).normal(size=(40, 3)) * 10.0 ** np.linspace(-1, 4, 40)[:, None]
    net.save("w.weights")
    wanted.load(Path("w.weights").read_bytes())
    x = x.astype(np.float32)
    wanted.forward(x, x.astype(np.float64))
    out = wanted.outputs[2].reshape(40, 3)
    sampling = wanted.layers[1]
    assert (np.abs(sampling.log_variance) > 12).any() and (np.abs(sampling.log_variance) < 1).any()
    mean, log_variance = net.encode(x)
    np.testing.assert_allclose(log_variance, sampling.log_variance, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(mean, wanted.outputs[1].reshape(40, 2), rtol=1e-4, atol=1e-4)
    losses, errors = net.row_losses(x), ((x - out) ** 2).sum(axis=1)
    np.testing.assert_allclose(losses["latent_loss"], sampling.kl, rtol=1e-3)
    np.testing.assert_allclose(losses["image_loss"], errors, rtol=1e-3)
    np.testing.assert_allclose(losses["total_loss"], errors + 0.7 * sampling.kl, rtol=1e-3)
    assert net.evaluate(x)["latent_loss"] == pytest.approx(sampling.kl.mean(), rel=1e-3)


def test_gradients_of_random_networks(network: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "ACTIVATIONS", ["linear", "logistic", "loggy", "tanh"])  # without kinks
    for seed in range(40):
        drawn = Draw(seed, training=True)
        if drawn.loss in ("L1", "masked"):
            continue
        net = network(re.sub("=(leaky|hardtan)", "=tanh", drawn.text), seed=seed)
        problem = Problem(net, drawn.streams * drawn.steps, seed)
        fill(net, np.random.default_rng(seed))
        check(problem, problem.gradients(), directions=2, tolerance=2e-2, together=True)


def test_every_layer_type_is_drawn() -> None:
    drawn = set(IMAGE_KINDS) | {"logistic", "cost"}
    assert drawn | DRAWN | OURS_ALONE | set(HEADS) == set(NETWORKS)  # heads: detectors.py
