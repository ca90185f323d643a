"""A network as a list of steps that other programs can compute: what `export` writes. Layers become products, convolutions and a
few simple steps; batch normalisation with its running statistics is folded into weights and biases, dropout is nothing.

    trace(net).encoder    rows -> [log-variance | mean], or the code of an autoencoder
    trace(net).decoder    latents -> what `sample` gives: the mean of the distribution
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from . import errors
from ._lib import Array, ffi, lib

if TYPE_CHECKING:
    from .network import Network

NUMBER, FLAG, YES_NO = -3, -2, -1

Shape = tuple[int, ...]
"""Of one row: (values,) or (channels, height, width)."""


@dataclass
class Step:
    """`op` of earlier values, given by their numbers; value 0 is the graph's input, and step i gives value i + 1."""

    op: str
    inputs: tuple[int, ...]
    shape: Shape
    weights: Array | None = None
    biases: Array | None = None
    activation: str = "linear"
    numbers: Mapping[str, float] = field(default_factory=dict)
    layer: int = -1


@dataclass
class Graph:
    """op: dense, conv, deconv, maxpool, upsample, concat, activate, scale (values times weights plus biases by channel), reshape,
    bound_log_variance (of the first half). Of tables: expand (weights: the column of each value; biases: how it is made: NUMBER,
    FLAG, YES_NO, or the class that is 1 there), columns_mean (weights: the classes of each column, 0 a number, 1 yes_no)."""

    inputs: Shape
    steps: list[Step] = field(default_factory=list)

    @property
    def shape(self) -> Shape:
        return self.steps[-1].shape if self.steps else self.inputs


@dataclass
class Model:
    encoder: Graph
    decoder: Graph
    variational: bool
    latent: int
    outputs: int
    likelihood: str
    """What the decoder's outputs are the mean of, as [cost] type= has it."""
    data_scale: float


# ---- the cfg ----


def sections(text: str) -> list[tuple[str, dict[str, str]]]:
    """The sections of a cfg as the core reads them."""
    found: list[tuple[str, dict[str, str]]] = []
    for line in text.splitlines():
        line = re.split(r"[#;]", line, maxsplit=1)[0].strip()
        if line.startswith("["):
            found.append((line.strip("[] "), {}))
        elif "=" in line and found:
            key, value = line.split("=", 1)
            found[-1][1][key.strip()] = value.strip()
    return found


def _fallbacks(section: str) -> dict[str, str]:
    info, keys = ffi.new("dn_key_info *"), dict[str, str]()
    while lib.dn_key_describe(section.encode(), len(keys), info):
        keys[ffi.string(info.name).decode()] = ffi.string(info.fallback).decode()
    return keys


# ---- layers to steps ----


def _size(shape: Shape) -> int:
    return int(np.prod(shape))


class _Trace:
    def __init__(self, net: Network) -> None:
        self.net = net
        parsed = sections(net.cfg_text)
        self.net_keys = {**_fallbacks("net"), **parsed[0][1]}
        self.keys = [{**_fallbacks(layer.type), **keys} for layer, (_, keys) in zip(net.layers, parsed[1:], strict=True)]
        self.shapes = [tuple(layer["output"]) for layer in net.describe()["layers"]]
        inputs = net.describe()["layers"][0]["input"]
        self.inputs: Shape = tuple(inputs) if len(inputs) > 1 and inputs[1] * inputs[2] > 1 else (net.inputs,)

    def shape(self, layer: int) -> Shape:
        c, h, w = self.shapes[layer]
        return (c, h, w) if h * w > 1 else (c * h * w,)

    def number(self, layer: int, key: str) -> int:
        word = self.keys[layer].get(key, "")
        return int(float(word)) if re.fullmatch(r"[-+.\d]+(e[-+]?\d+)?", word) else 0

    def refuse(self, layer: int, why: str = "") -> errors.UsageError:
        what = f"layer {layer} [{self.net.layers[layer].type}]{why}"
        return errors.UsageError(f"export does not know {what}: the network cannot be written for another program")

    def padding(self, layer: int) -> int:
        size = self.number(layer, "size")
        return size // 2 if self.number(layer, "pad") else self.number(layer, "padding")

    def folded(self, layer: int, by_output: Callable[[Array], Array]) -> tuple[Array, Array]:
        """Weights and biases with batch normalisation in them; by_output(scale) has the shape that multiplies the weights."""
        params = self.net.layers[layer].params
        weights, biases = params["weights"].astype(np.float64), params["biases"].astype(np.float64)
        if "rolling_mean" in params:
            scale, shift = self.normalisation(params)
            weights, biases = weights * by_output(scale), biases + shift
        return weights.astype(np.float32), biases.astype(np.float32)

    def normalisation(self, params: Mapping[str, Array]) -> tuple[Any, Any]:
        """y = scale x + shift, besides the bias."""
        word = self.net_keys.get("bn_epsilon") or "1e-5"
        variance = params["rolling_variance"].astype(np.float64)
        root = np.sqrt(variance) + 1e-6 if word == "legacy" else np.sqrt(variance + float(word))
        scale = params["scales"] / root if "scales" in params else 1 / root
        return scale, -params["rolling_mean"] * scale

    def activation(self, layer: int) -> str:
        return self.keys[layer].get("activation") or "linear"

    def step(self, layer: int) -> Step | None:
        """What a layer does to the values of `sources`, whose numbers the caller fills in; None: nothing."""
        kind, shape = self.net.layers[layer].type, self.shape(layer)
        if kind in ("dropout", "cost"):
            return None
        if kind == "connected":
            weights, biases = self.folded(layer, lambda scale: scale[:, None])
            return Step("dense", (), shape, weights, biases, self.activation(layer))
        if kind in ("convolutional", "deconvolutional"):
            if self.number(layer, "xnor") or self.number(layer, "binary"):
                raise self.refuse(layer, " with binary weights")
            groups = max(self.number(layer, "groups"), 1)
            if kind == "deconvolutional" and groups > 1:
                raise self.refuse(layer, f" with groups={groups}")
            weights, biases = self.folded(
                layer, lambda scale: scale[:, None, None, None] if kind == "convolutional" else scale[:, None, None]
            )
            numbers = {"stride": max(self.number(layer, "stride"), 1), "padding": self.padding(layer), "groups": groups}
            op = "conv" if kind == "convolutional" else "deconv"
            return Step(op, (), shape, weights, biases, self.activation(layer), numbers)
        if kind == "columns":
            column, how = self.expansion(layer)
            return Step("expand", (), shape, np.array(column, np.float32), np.array(how, np.float32))
        if kind == "reshape":
            return Step("reshape", (), shape)
        if kind == "activation":
            return Step("activate", (), shape, activation=self.activation(layer))
        if kind == "maxpool":
            size = self.number(layer, "size") or self.number(layer, "stride")
            word = self.keys[layer].get("padding", "")
            numbers = {
                "size": size,
                "stride": self.number(layer, "stride"),
                "padding": int(word) if word.isdecimal() else size - 1,
            }
            return Step("maxpool", (), shape, numbers=numbers)
        if kind == "upsample":
            stride, factor = self.number(layer, "stride"), float(self.keys[layer].get("scale") or 1)
            if stride < 1:
                raise self.refuse(layer, f" with stride={stride}")
            return Step("upsample", (), shape, numbers={"stride": stride, "scale": factor})
        if kind == "batchnorm":
            params = self.net.layers[layer].params
            scale, shift = self.normalisation(params)
            biases = shift + params["biases"] if "biases" in params else shift
            return Step("scale", (), shape, scale.astype(np.float32), biases.astype(np.float32))
        raise self.refuse(layer)

    def classes(self, layer: int = 0) -> list[int]:
        """Of every coded column: 0 a number, 1 yes or no, or how many."""
        words = [word.strip() for word in self.keys[layer]["kinds"].split(",")]
        return [{"number": 0, "yes_no": 1}.get(word) or int(word.partition(":")[2] or 0) for word in words]

    def expansion(self, layer: int) -> tuple[list[int], list[int]]:
        """[columns]: numbers, their flags, yes or no, categories."""
        classes = self.classes(layer)
        numbers = [i for i, n in enumerate(classes) if n == 0]
        found = [(i, NUMBER) for i in numbers]
        if self.number(layer, "missing"):
            found += [(i, FLAG) for i in numbers]
        found += [(i, YES_NO) for i, n in enumerate(classes) if n == 1]
        found += [(i, k) for i, n in enumerate(classes) if n > 1 for k in range(n)]
        return [i for i, _ in found], [how for _, how in found]

    def sources(self, layer: int) -> list[int]:
        """The layers that a layer reads."""
        if self.net.layers[layer].type == "route":
            words = self.keys[layer]["layers"].split(",")
            return [int(word) + layer if int(word) < 0 else int(word) for word in words]
        return [layer - 1]

    def graph(self, begin: int, end: int, inputs: Shape) -> Graph:
        """Layers begin to end, of which the first reads the input."""
        graph, values = Graph(inputs), {begin - 1: 0}

        def value(layer: int) -> int:
            if layer in values:
                return values[layer]
            if layer < begin:
                raise self.refuse(layer, ", which is read from beyond the latent layer")
            sources = [value(source) for source in self.sources(layer)]
            if self.net.layers[layer].type == "route":
                step = Step("concat", (), self.shape(layer)) if len(sources) > 1 else None
            else:
                step = self.step(layer)
            if step is None:
                values[layer] = sources[0]
            else:
                step.inputs, step.layer = tuple(sources), layer
                graph.steps.append(step)
                values[layer] = len(graph.steps)
            return values[layer]

        if value(end) != len(graph.steps):
            graph.steps.append(Step("reshape", (values[end],), self.shape(end), layer=end))
        return graph


def _mean(trace: _Trace, graph: Graph, outputs: int) -> str:
    """Add what makes the mean of the data from the output of the last layer; returns the likelihood's name."""
    net = trace.net
    costs = [i for i, layer in enumerate(net.layers) if layer.type == "cost"]
    kinds = [trace.keys[i].get("type") or "sse" for i in costs]
    if any(layer.type in ("softmax", "logistic", "region", "yolo", "detection") for layer in net.layers):
        raise errors.UsageError("export is for autoencoders and variational autoencoders, not for this network's loss")
    if len(kinds) > 1:
        raise errors.UsageError("export does not know several [cost] layers yet")
    kind = kinds[0] if kinds else "sse"
    last = len(graph.steps)
    if kind == "columns" and trace.keys[costs[0]].get("sigma") != "value":
        classes = trace.classes()
        graph.steps.append(Step("columns_mean", (last,), (len(classes),), np.array(classes, np.float32)))
    elif kind in ("bce", "bernoulli"):
        graph.steps.append(Step("activate", (last,), graph.shape, activation="logistic"))
    elif kind in ("poisson", "negative_binomial", "categorical", "columns") or _size(graph.shape) != outputs:
        raise errors.UsageError(f"export does not know [cost] type={kind} with these keys yet")
    return kind


def as_computed(net: Network) -> Network:
    """A network whose parameters are those that this one computes with: with [net] ema= the averages, as in its files."""
    averaged = float(sections(net.cfg_text)[0][1].get("ema") or 0)
    return net._from_model(net._bytes(False), {"device": "cpu"}) if averaged else net


def trace(net: Network) -> Model:
    """The graphs of an autoencoder or a variational autoencoder. UsageError names a layer that no graph has."""
    net = as_computed(net)
    of = _Trace(net)
    info: Any = net._info()
    latent = int(info.latent_layer)
    if latent < 0:
        raise errors.UsageError("export is for autoencoders and variational autoencoders: this network has no latent space")
    variational = net.layers[latent].type == "sampling"
    encoder = of.graph(0, latent - variational, of.inputs)
    limit = float(of.keys[latent].get("log_variance_limit") or 10) if variational else 0
    if variational:
        encoder.steps.append(Step("bound_log_variance", (len(encoder.steps),), (2 * net.latent_size,), numbers={"limit": limit}))
    decoder = of.graph(latent + 1, info.output_layer, of.shape(latent))
    likelihood = _mean(of, decoder, info.data_columns)
    return Model(encoder, decoder, variational, net.latent_size, info.data_columns, likelihood, net.data_scale)
