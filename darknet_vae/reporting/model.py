"""What a network is, in words."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .._lib import lib

if TYPE_CHECKING:
    from ..network import Network

Section = tuple[str, dict[str, str]]

NATS = ("bce", "bernoulli", "gaussian", "laplace", "student_t", "poisson", "negative_binomial", "categorical", "columns")
_LOSSES = {
    "sse": "squared error", "L1": "absolute error", "smooth": "smooth absolute error", "bce": "Bernoulli (on logits)",
    "bernoulli": "Bernoulli", "gaussian": "Gaussian", "laplace": "Laplace", "student_t": "Student t", "poisson": "Poisson",
    "negative_binomial": "negative binomial", "categorical": "categorical",
    "columns": "the likelihood of each column's kind", "softmax": "softmax cross entropy", "logistic": "logistic cross entropy",
}  # fmt: skip
_LAYERS = {
    "connected": "dense", "convolutional": "convolution", "deconvolutional": "deconvolution", "maxpool": "max-pooling",
    "avgpool": "average-pooling", "batchnorm": "batch normalisation",
}  # fmt: skip
_HEADS = ("softmax", "logistic", "cost")


def sections(cfg: str) -> list[Section]:
    """The sections of a cfg with their keys, [net] first."""
    found: list[Section] = []
    for line in cfg.splitlines():
        line = line.strip()
        if line.startswith("["):
            found.append((line[1:].partition("]")[0].strip(), {}))
        elif "=" in line and line[0] not in "#;" and found:
            key, _, value = line.partition("=")
            found[-1][1][key.strip()] = value.split("#")[0].split(";")[0].strip()
    return found


@dataclass(frozen=True)
class Model:
    """`kind`: vae, autoencoder, classifier, regression, detector or network. `losses`: types of its losses, in order. `nats`:
    they are minus the logarithm of a probability. `shape`: (channels, height, width) of its rows, or None."""

    name: str
    kind: str
    losses: list[str]
    nats: bool
    shape: tuple[int, int, int] | None
    sections: list[Section]
    table: dict[str, Any]
    sentence: str

    def key(self, section: str, key: str, default: str = "") -> str:
        """The value in the last section of that type."""
        return next((keys[key] for name, keys in reversed(self.sections) if name == section and key in keys), default)

    @property
    def beta(self) -> float | None:
        if not any(name == "sampling" for name, _ in self.sections):
            return None
        try:
            return float(self.key("sampling", "beta", "1" if int(self.key("sampling", "samples", "1")) > 1 else "0.5"))
        except ValueError:
            return None

    @property
    def learned_prior(self) -> bool:
        return self.key("sampling", "prior", "normal") != "normal"

    @property
    def activation(self) -> str:
        """Of the last layer with values before the loss."""
        for name, keys in reversed(self.sections):
            if name in ("connected", "conn", "convolutional", "conv", "deconvolutional", "deconv", "activation"):
                return keys.get("activation", "logistic")
        return ""

    @property
    def reconstructs(self) -> bool:
        return self.kind in ("vae", "autoencoder")

    @property
    def loss_words(self) -> str:
        return " and ".join(dict.fromkeys(_LOSSES.get(loss, loss) for loss in self.losses))


def name_of(net: Network) -> str:
    """The file's name without its folder and ending."""
    name = os.path.basename(str(net.cfg)) or "network"
    return "network" if name in ("cfg_text", "bytes") else name


def _losses(table: dict[str, Any]) -> list[str]:
    found = [layer.get("loss") or layer["type"] for layer in table["layers"] if layer["type"] in _HEADS]
    return [str(loss) for loss in found]


def _kind(net: Network, losses: list[str]) -> str:
    if lib.dn_net_box_classes(net._handle):
        return "detector"
    if net.supervised:
        counts = {"softmax", "logistic", "bce", "bernoulli", "categorical"}
        return "classifier" if losses and losses[-1] in counts else "regression"
    if net.variational:
        return "vae"
    rebuilds = net.outputs == net.inputs or (net.truths == net.inputs and bool(losses))
    return "autoencoder" if rebuilds and net.truths else "network"


def _size(shape: tuple[int, int, int]) -> str:
    channels, height, width = shape
    colour = "grey" if channels == 1 else "colour" if channels == 3 else f"{channels}-channel"
    return f"{colour} images of {width} x {height} pixels"


def _of_what(net: Network, shape: tuple[int, int, int] | None) -> str:
    if net.layers[0].type == "columns":
        return f"tables of {net.inputs} columns"
    if net.input_shape is not None and net.input_shape[1] * net.input_shape[2] > 1:
        return _size(net.input_shape)
    return _size(shape) if shape is not None else f"rows of {net.inputs:,} numbers"


def _parts(table: dict[str, Any]) -> str:
    """6 dense, 2 convolution, ...: the layers that have parameters."""
    kinds = Counter(_LAYERS.get(layer["type"], layer["type"]) for layer in table["layers"] if layer["parameters"])
    return ", ".join(f"{count} {kind}" for kind, count in kinds.items())


def _sentence(net: Network, kind: str, losses: list[str], shape: tuple[int, int, int] | None, table: dict[str, Any]) -> str:
    words = {
        "vae": "A variational autoencoder", "autoencoder": "An autoencoder", "classifier": "A classifier",
        "regression": "A network that predicts numbers", "detector": "A detector of objects", "network": "A network",
    }  # fmt: skip
    said = f"{words[kind]} for {_of_what(net, shape)}"
    if kind in ("vae", "autoencoder") and net.latent_size:
        unit = "latent dimension" if kind == "vae" else "code value"
        said += f", with {net.latent_size:,} {unit}{'s' * (net.latent_size != 1)}"
    elif kind in ("classifier", "regression"):
        unit = "class" if kind == "classifier" else "number"
        many = {"class": "classes", "number": "numbers"}[unit]
        said += f", {net.outputs:,} {unit if net.outputs == 1 else many}"
    layers, parameters = len(table["layers"]), table["parameters"]
    said += f": {layers} layer{'s' * (layers != 1)}"
    if parts := _parts(table):
        said += f" ({parts}), {parameters:,} parameters"
    if losses:
        kinds = " and ".join(dict.fromkeys(_LOSSES.get(loss, loss) for loss in losses))
        said += f". Its loss: {kinds}"
    return said + "."


def describe(net: Network, shape: tuple[int, int, int] | None = None) -> Model:
    table = net.describe()
    losses = _losses(table)
    kind = _kind(net, losses)
    found = shape or net.output_shape
    if found is not None and (found[0] not in (1, 3) or found[1] * found[2] < 2):
        found = None
    nats = bool(losses) and all(loss in (*NATS, "softmax", "logistic") for loss in losses)
    return Model(
        name_of(net), kind, losses, nats, found, sections(net.cfg_text), table, _sentence(net, kind, losses, found, table)
    )
