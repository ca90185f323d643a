"""What a training is, for ours and for peers: the cfg read as sections, start weights, and what is descended."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

import darknet_vae as dv

Array = npt.NDArray[np.float32]


class Losses(NamedTuple):
    """Per row, with z = mean, over all rows after training. For trainings with several draws of a row `image` can be minus their
    bound of ln p(x), with nothing beside it."""

    image: float
    latent: float
    beta: float

    @property
    def total(self) -> float:
        return self.image + self.beta * self.latent

    def __str__(self) -> str:
        if not self.beta:
            return f"{self.image:.3g}"
        return f"{self.image:.2f} + {self.beta:g} x {self.latent:.2f}"


@dataclass
class Part:
    """A section of the cfg as a peer needs it: its type, its keys, the shape it gets and gives, its start parameters."""

    type: str
    keys: dict[str, str]
    shape: tuple[int, ...] = ()
    inputs: int = 0
    outputs: int = 0
    params: dict[str, Array] = field(default_factory=dict)

    def number(self, key: str, default: int) -> int:
        return int(self.keys.get(key, default))

    @property
    def activation(self) -> str:
        return self.keys.get("activation", "logistic")

    @property
    def padding(self) -> int:
        return self.number("size", 1) // 2 if self.number("pad", 0) else self.number("padding", 0)


def sections(cfg: Path) -> list[Part]:
    found: list[Part] = []
    for line in cfg.read_text().splitlines():
        words = line.split("#")[0].strip()
        if words.startswith("["):
            found.append(Part(words.strip("[]"), {}))
        elif words:
            key, value = words.split("=", 1)
            found[-1].keys[key.strip()] = value.strip()
    return found


class Recipe:
    """A cfg and its batch size (of sequences, if the network is recurrent), and the settings in it that peers need."""

    def __init__(self, cfg: Path, batch: int) -> None:
        self.cfg, self.batch = cfg, batch
        net, *layers = sections(cfg)

        def setting(key: str, default: float) -> float:
            return float(net.keys.get(key, default))

        self.adam = bool(setting("adam", 0))
        self.learning_rate, self.momentum, self.decay = (setting(k, 0) for k in ("learning_rate", "momentum", "decay"))
        self.b1, self.b2, self.eps = setting("B1", 0.9), setting("B2", 0.999), setting("eps", 1e-7)
        self.time_steps = int(setting("time_steps", 1))
        self.beta = sum(float(layer.keys.get("beta", 0.5)) for layer in layers if layer.type == "sampling")
        self.samples = max(layer.number("samples", 1) for layer in layers)
        self.loss = layers[-1].keys.get("type", layers[-1].type)  # sse, bce, bernoulli or softmax
        self.convolutional = any(layer.type == "convolutional" for layer in layers)
        self.variational = any(layer.type == "sampling" for layer in layers)

    def weight(self, rows: int) -> float:
        """Of a row's total loss in what is descended: s, and Darknet's Adam sums over the rows where its SGD averages."""
        return (0.5 if self.loss == "sse" else 1) / (1 if self.adam else rows)

    def parts(self, seed: int) -> list[Part]:
        """The layers with their sizes and our start weights."""
        net = dv.Network(self.cfg, seed=seed, device="cpu")
        parts = sections(self.cfg)[1:]
        for part, layer in zip(parts, net.layers, strict=True):
            part.inputs, part.outputs, part.shape = layer.inputs, layer.outputs, tuple(layer.shape)
            part.params = {name: np.array(layer.params[name]) for name in layer.params}
        return parts

    def input_shape(self) -> tuple[int, ...]:
        """Of one row: an image (channels, height, width), a sequence (time steps, values) or (values,)."""
        net = dv.Network(self.cfg, device="cpu")
        if self.convolutional and net.input_shape:
            return net.input_shape
        return (self.time_steps, net.inputs) if self.time_steps > 1 else (net.inputs,)


@dataclass
class Data:
    """Rows and their truth: None for the rows themselves, else one row each (for classes one-hot)."""

    X: Array
    truth: Array | None = None

    def sequences(self, recipe: Recipe) -> int:
        """What is shuffled and what batches are made of: rows, or sequences of them."""
        return len(self.X) // recipe.time_steps
