"""A network as a list of steps that other programs can compute: what `export` writes. Layers become products, convolutions and a
few simple steps; batch normalisation with its running statistics is folded into weights and biases, dropout is nothing.

    trace(net).encoder    rows -> [log-variance | mean], or the code of an autoencoder
    trace(net).decoder    latents, and with a [condition] coded rows -> what `sample` gives: the mean of the distribution
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from . import errors
from ._lib import Array, ffi, lib

if TYPE_CHECKING:
    from .network import Network

NUMBER, FLAG, YES_NO = -3, -2, -1
"""How `expand` makes a value: the number, 1 where it is missing; yes or no as 1 or -1, or 1 for a category of that code."""
AS_IS, LOGISTIC, EXP, CODE, SOFTMAX, GIVEN = range(6)
"""What a part of `mean` does, see Graph."""
CONDITION = -1
"""The value that a decoder with a [condition] takes besides the latents: a coded row, whose columns of [condition] it reads."""
LOG_RATE_LIMIT = 30.0
"""From which size on the logarithm of a count's mean is bounded softly."""

Shape = tuple[int, ...]
"""Of one row: (values,) or (channels, height, width)."""

Table = npt.NDArray[np.int64]


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
    table: Table | None = None
    layer: int = -1


@dataclass
class Graph:
    """op: dense, conv, deconv, maxpool, avgpool (the mean of every channel), upsample, concat, add (alpha a + beta b), activate,
    scale (values times weights plus biases by channel), reshape, bound_log_variance (of the first half).

    expand, a coded row of a table (table (2, n): the column of each value, and how it is made: NUMBER, FLAG, YES_NO, or the code
    for which it is 1; what is missing, NaN, is 0).

    mean, of a distribution by its parameters x. table (parts, 5): kind, at, first, count, size, of one part

        AS_IS, LOGISTIC, EXP    y[first + i] = x[at + i], i < count, or its logistic, or the exponential of the bounded x
        CODE                    y[first + i] = the code of the largest of the `size` values from x[at + i size] on
        SOFTMAX                 y[first + i size ...] = softmax of the `size` values from x[at + i size] on
        GIVEN                   y[first + i] = condition[at + i]

    Parts are in the order of `first`, without gaps."""

    inputs: Shape
    steps: list[Step] = field(default_factory=list)
    condition: Shape | None = None
    """Of the value CONDITION; None: there is none."""

    @property
    def shape(self) -> Shape:
        return self.shape_of(len(self.steps))

    def shape_of(self, value: int) -> Shape:
        if value == CONDITION:
            assert self.condition
            return self.condition
        return self.steps[value - 1].shape if value else self.inputs


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
    columns: list[tuple[str, int]] = field(default_factory=list)
    """Of a table, the coded columns of a row: name, and 0 a number, 1 yes or no, or how many codes."""


# ---- the cfg ----


def sections(text: str) -> list[tuple[str, dict[str, str]]]:
    """The sections of a cfg as the core reads them: what is in double quotes keeps # and ;."""
    found: list[tuple[str, dict[str, str]]] = []
    for line in text.split("\n"):
        line = re.sub(r'((?:[=,]\s*"(?:[^"]|"")*"\s*(?=[,#;]|$)|[^#;])*).*', r"\1", line, count=1).strip()
        if line.startswith("["):
            found.append((line.strip("[] "), {}))
        elif "=" in line and found:
            key, value = line.split("=", 1)
            found[-1][1].setdefault(key.strip(), value.strip())  # the first one counts
    return found


def _fallbacks(section: str) -> dict[str, str]:
    info, keys = ffi.new("dn_key_info *"), dict[str, str]()
    while lib.dn_key_describe(section.encode(), len(keys), info):
        keys[ffi.string(info.name).decode()] = ffi.string(info.fallback).decode()
    return keys


# ---- layers to steps ----


def size_of(shape: Shape) -> int:
    """How many values."""
    return int(np.prod(shape))


def cells(words: str) -> list[str]:
    """The texts of a list in a cfg, some of them in quotes."""
    return [word.strip() for word in next(csv.reader([words], skipinitialspace=True), [])]


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
            return Step("expand", (), shape, table=self.expansion(set(range(len(self.classes())))))
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
        if kind == "avgpool":
            return Step("avgpool", (), shape)
        if kind == "shortcut":
            if any(self.shape(source) != shape for source in self.sources(layer)):
                raise self.refuse(layer, " of layers with different shapes")
            factors = {key: float(self.keys[layer].get(key) or 1) for key in ("alpha", "beta")}
            return Step("add", (), shape, activation=self.activation(layer), numbers=factors)
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

    def classes(self) -> list[int]:
        """Of every coded column: 0 a number, 1 yes or no, or how many."""
        words = [word.strip() for word in self.keys[0]["kinds"].split(",")]
        return [{"number": 0, "yes_no": 1}.get(word) or int(word.partition(":")[2] or 0) for word in words]

    def expansion(self, columns: set[int]) -> Table:
        """Of [columns], for some of them: numbers, their flags, yes or no, categories; the table of `expand`."""
        classes = [(i, n) for i, n in enumerate(self.classes()) if i in columns]
        numbers = [i for i, n in classes if n == 0]
        found = [(i, NUMBER) for i in numbers]
        if self.number(0, "missing"):
            found += [(i, FLAG) for i in numbers]
        found += [(i, YES_NO) for i, n in classes if n == 1]
        found += [(i, k) for i, n in classes if n > 1 for k in range(n)]
        return np.array(found, np.int64).T

    def names(self) -> list[str]:
        """Of the coded columns; without names= their numbers."""
        names, n = cells(self.keys[0].get("names", "")), len(self.classes())
        return names if len(names) == n else [str(i) for i in range(n)]

    def given(self, layer: int) -> list[int]:
        """The columns of a [condition], by name or by number, in its order."""
        names = self.names()
        return [names.index(word) if word in names else int(word) for word in cells(self.keys[layer]["columns"])]

    def condition(self, layer: int) -> Table:
        """Column by column: all values of one, and its flag."""
        parts = [self.expansion({column}) for column in self.given(layer)]
        return np.concatenate(parts, axis=1)

    def sources(self, layer: int) -> list[int]:
        """The layers that a layer reads."""
        if self.net.layers[layer].type == "route":
            words = self.keys[layer]["layers"].split(",")
            return [int(word) + layer if int(word) < 0 else int(word) for word in words]
        if self.net.layers[layer].type == "shortcut":
            source = int(self.keys[layer]["from"])
            return [layer - 1, source + layer if source < 0 else source]
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
            step: Step | None
            if self.net.layers[layer].type == "condition":
                table = self.condition(layer)
                graph.steps.append(Step("expand", (CONDITION if begin else 0,), (table.shape[1],), table=table, layer=layer))
                graph.condition = (self.net.inputs,) if begin else None
                sources.append(len(graph.steps))
                step = Step("concat", (), self.shape(layer))
            elif self.net.layers[layer].type == "route":
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


# ---- the mean of a likelihood ----

Part = tuple[int, int, int, int, int]
"""kind, at, first, count, size, as in Graph"""


def _costs(trace: _Trace) -> list[int]:
    """The layers at the end whose likelihoods share the output of the layer before them."""
    net = trace.net
    if any(layer.type in ("softmax", "logistic", "region", "yolo", "detection", "iseg") for layer in net.layers):
        raise errors.UsageError("export is for autoencoders and variational autoencoders, not for this network's loss")
    costs = [i for i, layer in enumerate(net.layers) if layer.type == "cost"]
    within = [i for i in costs if i < net._info().output_layer]
    if within:
        raise trace.refuse(within[0], ", which other layers read")
    is_head = [(trace.keys[i].get("type") or "sse") in LIKELIHOODS for i in costs]
    return costs if all(is_head) else costs[:1]


def _column_parts(trace: _Trace, cost: int) -> list[Part]:
    """Of type=columns: neighbours of a kind have their parameters one after another; numbers with sigma=value two blocks."""
    classes, at, parts = trace.classes(), 0, list[Part]()
    given = {column for i, layer in enumerate(trace.net.layers) if layer.type == "condition" for column in trace.given(i)}
    both = trace.keys[cost].get("sigma") == "value"
    kinds = [(i in given, min(n, 2)) for i, n in enumerate(classes)]
    begin = 0
    while begin < len(classes):
        end = begin + 1
        while end < len(classes) and kinds[end] == kinds[begin]:
            end += 1
        is_given, kind = kinds[begin]
        count = end - begin
        if is_given:
            parts.append((GIVEN, begin, begin, count, 1))
        elif kind < 2:
            parts.append((LOGISTIC if kind else AS_IS, at, begin, count, 1))
            at += count * (2 if both and not kind else 1)
        else:
            for i in range(begin, end):
                before = parts[-1] if i > begin else None
                if before and before[4] == classes[i]:
                    parts[-1] = (CODE, before[1], before[2], before[3] + 1, before[4])
                else:
                    parts.append((CODE, at, i, 1, classes[i]))
                at += classes[i]
        begin = end
    return parts


def _cost_parts(trace: _Trace, costs: list[int], outputs: int) -> list[Part]:
    """Each [cost] takes the values after those of the one before it, for its columns of the truth."""
    parts, at, end = list[Part](), 0, 0
    for i in costs:
        keys, kind = trace.keys[i], trace.keys[i].get("type") or "sse"
        classes = trace.number(i, "classes") if kind == "categorical" else 0
        spread = {"negative_binomial": "dispersion", "gaussian": "sigma", "laplace": "sigma", "student_t": "sigma"}.get(kind, "")
        size = classes or (2 if spread and keys.get(spread) == "value" else 1)
        words = [int(word) for word in re.findall(r"\d+", keys.get("columns", ""))] if kind in LIKELIHOODS else []
        first = words[0] if words else end
        count = words[-1] - first + 1 if words else (outputs - at) // size
        if classes:
            parts.append((CODE, at, first, count, classes))
        elif kind == "categorical":
            groups = max(trace.number(i, "groups"), 1)
            parts.append((SOFTMAX, at, first, groups, count // groups))
        else:
            parts.append((LIKELIHOODS.get(kind, LOGISTIC if kind == "bce" else AS_IS), at, first, count, 1))
        at, end = at + size * count, first + count
    return sorted(parts, key=lambda part: part[2])


LIKELIHOODS = {"bernoulli": LOGISTIC, "poisson": EXP, "negative_binomial": EXP, "gaussian": AS_IS, "laplace": AS_IS,
               "student_t": AS_IS, "categorical": CODE}  # fmt: skip


def _mean(trace: _Trace, graph: Graph, outputs: int) -> str:
    """Add what makes the mean of the data from the output of the last layer; returns the likelihoods' names."""
    costs, n, last = _costs(trace), size_of(graph.shape), len(graph.steps)
    kinds = [trace.keys[i].get("type") or "sse" for i in costs]
    parts = _column_parts(trace, costs[0]) if kinds == ["columns"] else _cost_parts(trace, costs, n)
    if parts == [(LOGISTIC, 0, 0, n, 1)]:
        graph.steps.append(Step("activate", (last,), graph.shape, activation="logistic"))
    elif parts and parts != [(AS_IS, 0, 0, n, 1)]:
        graph.steps.append(Step("mean", (last,), (outputs,), table=np.array(parts, np.int64)))
        if any(part[0] == GIVEN for part in parts):
            graph.condition = (trace.net.inputs,)
    if size_of(graph.shape) != outputs:
        raise errors.UsageError(f"export does not know [cost] type={', '.join(kinds)} with these keys")
    return ", ".join(kinds) or "none"


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
    columns = list(zip(of.names(), of.classes(), strict=True)) if net.layers[0].type == "columns" else []
    return Model(encoder, decoder, variational, net.latent_size, info.data_columns, likelihood, net.data_scale, columns)
