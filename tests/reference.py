"""A second implementation of the forward pass in numpy, in double precision, written from the formulas and file layouts
of Darknet: plain loops over windows, a cfg parser and a reader of weights files of its own."""

from __future__ import annotations

import re
from typing import Any

import likelihoods
import numpy as np

A = np.ndarray
Section = tuple[str, dict[str, str]]


def sections_of(text: str) -> list[Section]:
    """The sections with their keys; of a key given twice the first counts."""
    found: list[Section] = []
    for line in text.splitlines():
        line = re.sub(r"\s", "", re.split("[#;]", line)[0])
        if line.startswith("["):
            found.append((line[1:-1], {}))
        elif line:
            key, value = line.split("=", 1)
            found[-1][1].setdefault(key, value)
    return found


def activate(x: A, name: str) -> A:
    with np.errstate(over="ignore"):
        e = np.exp(np.minimum(x, 0))
    whole = np.floor(x)
    half = np.floor(x / 2)
    return {
        "linear": lambda: x,
        "logistic": lambda: 1 / (1 + np.exp(-x)),
        "loggy": lambda: 2 / (1 + np.exp(-x)) - 1,
        "relu": lambda: np.where(x > 0, x, 0),
        "elu": lambda: np.where(x >= 0, x, e - 1),
        "selu": lambda: np.where(x >= 0, 1.0507 * x, 1.0507 * 1.6732 * (e - 1)),
        "relie": lambda: np.where(x > 0, x, 0.01 * x),
        "ramp": lambda: np.where(x > 0, 1.1 * x, 0.1 * x),
        "leaky": lambda: np.where(x > 0, x, 0.1 * x),
        "tanh": lambda: np.tanh(x),
        "plse": lambda: np.where(x < -4, 0.01 * (x + 4), np.where(x > 4, 0.01 * (x - 4) + 1, 0.125 * x + 0.5)),
        "stair": lambda: np.where(whole % 2 == 0, half, x - whole + half),
        "hardtan": lambda: np.clip(x, -1, 1),
        "lhtan": lambda: np.where(x < 0, 0.001 * x, np.where(x > 1, 0.001 * (x - 1) + 1, x)),
    }[name]()


def windows(x: A, size: int, stride: int, padding: int, oh: int, ow: int) -> A:
    """(rows, oh, ow, channels, size, size): what a window sees, zeros outside."""
    rows, c, h, w = x.shape
    out = np.zeros((rows, oh, ow, c, size, size))
    for i in range(oh):
        for j in range(ow):
            for u in range(size):
                for v in range(size):
                    y, z = i * stride + u - padding, j * stride + v - padding
                    if 0 <= y < h and 0 <= z < w:
                        out[:, i, j, :, u, v] = x[:, :, y, z]
    return out


def out_size(n: int, size: int, stride: int, padding: int) -> int:
    return (n + 2 * padding - size) // stride + 1


class Layer:
    """What a section makes of the shape before it: its parameters, its shape, and forward."""

    def __init__(self, net: Reference, index: int, kind: str, keys: dict[str, str]) -> None:
        self.net, self.index, self.kind, self.keys = net, index, kind, keys
        self.params: dict[str, A] = {}
        self.state: dict[str, A] = {}
        self.cost: float | None = None
        self.log_variance = self.kl = np.zeros(0)
        """Of a sampling layer, by row."""
        self.head: likelihoods.Head | None = None
        self.inputs, self.values, self.columns, self.x = 0, slice(0), slice(0), np.zeros(0)
        """Of a likelihood: what it shares with other heads, its part of that, its columns of the truth."""

    def int(self, key: str, fallback: int) -> int:
        return int(self.keys.get(key, fallback))

    def float(self, key: str, fallback: float) -> float:
        return float(self.keys.get(key, fallback))

    # ---- parts: a matrix or a convolution, with bias or batch normalisation, and an activation

    def part(self, prefix: str, shape: tuple[int, ...], filters: int, dense: bool) -> None:
        norm = ["scales", "rolling_mean", "rolling_variance"] if self.int("batch_normalize", 0) else []
        order = ["biases", "weights", *norm] if dense else ["biases", *norm, "weights"]
        for name in order:
            self.params[prefix + name] = np.zeros(shape if name == "weights" else (filters,))

    def normed(self, prefix: str, y: A) -> A:
        """y (rows, channels, ...)"""
        spread = (1, -1) + (1,) * (y.ndim - 2)
        p = self.params
        if prefix + "scales" in p:
            mean, variance = p[prefix + "rolling_mean"], p[prefix + "rolling_variance"]
            if self.net.training:
                axes = (0, *range(2, y.ndim))
                n = y.size // y.shape[1]
                m = y.mean(axis=axes)
                v = ((y - m.reshape(spread)) ** 2).sum(axis=axes) / max(n - 1, 1)
                if n > 1:  # one value has no variance
                    p[prefix + "rolling_mean"] = 0.99 * mean + 0.01 * m
                    p[prefix + "rolling_variance"] = 0.99 * variance + 0.01 * v
                mean, variance = m, v
            y = (y - mean.reshape(spread)) / np.sqrt(variance + 1e-5).reshape(spread) * p[prefix + "scales"].reshape(spread)
        return y + p[prefix + "biases"].reshape(spread)

    def dense(self, prefix: str, x: A, activation: str) -> A:
        return activate(self.normed(prefix, x @ self.params[prefix + "weights"].T), activation)

    def conv(self, prefix: str, x: A, size: int, stride: int, padding: int, groups: int, activation: str) -> A:
        w = self.params[prefix + "weights"]
        n, c = len(w) // groups, x.shape[1] // groups
        oh, ow = (out_size(k, size, stride, padding) for k in x.shape[2:])
        seen = windows(x, size, stride, padding, oh, ow)
        parts = [
            np.einsum("rijcuv,ncuv->rnij", seen[:, :, :, g * c : (g + 1) * c], w[g * n : (g + 1) * n]) for g in range(groups)
        ]
        return activate(self.normed(prefix, np.concatenate(parts, axis=1)), activation)


class Reference:
    """A network from the text of its cfg: `load` a weights file, `forward` rows, look at `outputs` and `cost`."""

    def __init__(self, text: str) -> None:
        (_, header), *sections = sections_of(text)
        number = {key: int(header.get(key, 0)) for key in ("height", "width", "channels")}
        image = (number["channels"], number["height"], number["width"])
        self.steps = int(header.get("time_steps", 1))
        self.training = False
        self.inputs = int(header.get("inputs", np.prod(image)))
        self.layers: list[Layer] = []
        self.outputs: list[A] = []
        self.shapes: list[tuple[int, ...]] = []
        self.input_shape: tuple[int, ...] = image if np.prod(image) == self.inputs else (self.inputs,)
        for kind, keys in sections:
            self.append(kind, keys)

    def append(self, kind: str, keys: dict[str, str]) -> tuple[int, ...]:
        """One more layer at the end; the shape of its output."""
        shape = self.shapes[-1] if self.shapes else self.input_shape
        layer = Layer(self, len(self.layers), kind, keys)
        self.layers.append(layer)
        self._plan(layer, shape)
        shape = self._run(layer, np.zeros((self.steps * 2, *shape)), None).shape[1:]
        self.shapes.append(shape)
        self.outputs.append(np.zeros((self.steps * 2, *shape)))
        self.reset()
        return shape

    def reset(self) -> None:
        for layer in self.layers:
            layer.state = {}

    def _plan(self, layer: Layer, shape: tuple[int, ...]) -> None:
        n, kind, c = int(np.prod(shape)), layer.kind, shape[0]
        out, filters, size = layer.int("output", 1), layer.int("filters", 1), layer.int("size", 1)
        if kind == "connected":
            layer.part("", (out, n), out, dense=True)
        elif kind == "convolutional":
            layer.part("", (filters, c // layer.int("groups", 1), size, size), filters, dense=False)
        elif kind == "deconvolutional":
            layer.part("", (c, filters, size, size), filters, dense=False)
        elif kind == "batchnorm":
            for name in ("scales", "rolling_mean", "rolling_variance"):
                layer.params[name] = np.zeros(c)
            layer.params["biases"] = np.zeros(c)
        elif kind == "local":
            oh, ow = self._places(layer, shape)
            layer.params["biases"] = np.zeros(filters * oh * ow)
            layer.params["weights"] = np.zeros((oh * ow, filters, c, size, size))
        elif kind == "rnn":
            for prefix, width in (("input.", n), ("self.", out), ("output.", out)):
                layer.part(prefix, (out, width), out, dense=True)
        elif kind == "crnn":
            hidden, filters = layer.int("hidden_filters", 1), layer.int("output_filters", 1)
            for prefix, count, width in (("input.", hidden, c), ("self.", hidden, hidden), ("output.", filters, hidden)):
                layer.part(prefix, (count, width, 3, 3), count, dense=False)
        elif kind == "cost" and layer.keys.get("type") in likelihoods.KINDS:
            self._plan_head(layer, n)
        elif kind in ("gru", "lstm"):
            for prefix in ("wz wr wh uz ur uh" if kind == "gru" else "wi wf wo wg ui uf uo ug").split():
                layer.part(prefix + ".", (out, out if prefix[0] == "w" else n), out, dense=True)

    def _plan_head(self, layer: Layer, inputs: int) -> None:
        """Heads share the input of the first, each after the values of the one before."""
        before = self.layers[layer.index - 1]
        at, first = (before.values.stop, before.columns.stop) if before.head else (0, 0)
        inputs = before.inputs if before.head else inputs
        per = likelihoods.head_of(layer.keys, 1).per_column
        columns = (inputs - at) // per
        if "columns" in layer.keys:
            first, last = (int(v) for v in (layer.keys["columns"] + "-" + layer.keys["columns"]).split("-")[:2])
            columns = last - first + 1
        layer.head = likelihoods.head_of(layer.keys, columns)
        layer.inputs, layer.values, layer.columns = inputs, slice(at, at + columns * per), slice(first, first + columns)
        for name, count in layer.head.learned.items():
            layer.params[name] = np.zeros(count)

    @staticmethod
    def _places(layer: Layer, shape: tuple[int, ...]) -> tuple[int, int]:
        size, stride, pad = layer.int("size", 1), layer.int("stride", 1), layer.int("pad", 0)
        oh, ow = ((n - 1) // stride + 1 if pad else (n - size) // stride + 1 for n in shape[1:])
        return oh, ow

    def load(self, data: bytes) -> None:
        """A weights file of version 0.2.0: seen has 64 bits, then float32 arrays layer by layer."""
        values, at = np.frombuffer(data, "<f4", offset=20).astype(np.float64), 0
        for layer in self.layers:
            for name, array in layer.params.items():
                if layer.kind == "batchnorm" and name == "biases":
                    continue
                layer.params[name] = values[at : at + array.size].reshape(array.shape)
                at += array.size
        assert at == len(values), f"{len(values)} values, but {at} are wanted"

    def forward(self, x: A, truth: A | None = None, training: bool = False) -> A:
        self.training, self.outputs = training, []
        y = x.astype(np.float64).reshape(len(x), *self.input_shape)
        for layer in self.layers:
            y = self._run(layer, y, truth)
            self.outputs.append(y)
        return y

    @property
    def cost(self) -> float:
        costs = [layer.cost for layer in self.layers if layer.cost is not None]
        return float(np.mean(costs)) if costs else 0

    def _run(self, layer: Layer, x: A, truth: A | None) -> A:
        with np.errstate(all="ignore"):
            y: A = getattr(self, "_" + layer.kind)(layer, x, truth)
        return y

    # ---- one function per type: (layer, x (rows, ...), truth) -> y (rows, ...)

    def _connected(self, layer: Layer, x: A, _: Any) -> A:
        return layer.dense("", x.reshape(len(x), -1), layer.keys.get("activation", "logistic"))[:, :, None, None]

    def _convolutional(self, layer: Layer, x: A, _: Any) -> A:
        size = layer.int("size", 1)
        padding = size // 2 if layer.int("pad", 0) else layer.int("padding", 0)
        return layer.conv(
            "", x, size, layer.int("stride", 1), padding, layer.int("groups", 1), layer.keys.get("activation", "logistic")
        )

    def _deconvolutional(self, layer: Layer, x: A, _: Any) -> A:
        size, stride = layer.int("size", 1), layer.int("stride", 1)
        padding = size // 2 if layer.int("pad", 0) else layer.int("padding", 0)
        rows, _c, h, w = x.shape
        full = np.zeros((rows, layer.int("filters", 1), (h - 1) * stride + size, (w - 1) * stride + size))
        for i in range(h):
            for j in range(w):
                full[:, :, i * stride : i * stride + size, j * stride : j * stride + size] += np.einsum(
                    "rc,cnuv->rnuv", x[:, :, i, j], layer.params["weights"]
                )
        cut = full[:, :, padding : full.shape[2] - padding, padding : full.shape[3] - padding]
        return activate(layer.normed("", cut), layer.keys.get("activation", "logistic"))

    def _local(self, layer: Layer, x: A, _: Any) -> A:
        oh, ow = self._places(layer, x.shape[1:])
        padding = layer.int("size", 1) // 2 if layer.int("pad", 0) else 0
        seen = windows(x, layer.int("size", 1), layer.int("stride", 1), padding, oh, ow).reshape(len(x), oh * ow, x.shape[1], -1)
        w = layer.params["weights"].reshape(oh * ow, -1, x.shape[1], layer.int("size", 1) ** 2)
        y = np.einsum("rpck,pnck->rnp", seen, w).reshape(len(x), -1) + layer.params["biases"]
        return activate(y, layer.keys.get("activation", "logistic")).reshape(len(x), -1, oh, ow)

    def _maxpool(self, layer: Layer, x: A, _: Any) -> A:
        stride = layer.int("stride", 1)
        size = layer.int("size", stride)
        padding = layer.int("padding", size - 1)
        h, w = x.shape[2:]
        out = np.full((*x.shape[:2], (h + padding - size) // stride + 1, (w + padding - size) // stride + 1), -np.inf)
        for i in range(out.shape[2]):
            for j in range(out.shape[3]):
                top, left = i * stride - padding // 2, j * stride - padding // 2
                seen = x[:, :, max(top, 0) : max(top + size, 0), max(left, 0) : max(left + size, 0)]
                out[:, :, i, j] = seen.max(axis=(2, 3), initial=-np.inf)
        return out

    def _avgpool(self, layer: Layer, x: A, _: Any) -> A:
        return x.mean(axis=(2, 3), keepdims=True)

    def _upsample(self, layer: Layer, x: A, _: Any) -> A:
        s, scale = layer.int("stride", 2), layer.float("scale", 1)
        if s > 0:
            return scale * x.repeat(s, axis=2).repeat(s, axis=3)
        h, w = x.shape[2] // -s, x.shape[3] // -s
        out = np.zeros((*x.shape[:2], h, w))
        for u in range(-s):
            for v in range(-s):
                out += x[:, :, u : h * -s : -s, v : w * -s : -s]
        return scale * out

    def _route(self, layer: Layer, x: A, _: Any) -> A:
        sources = [self.outputs[int(v) if int(v) >= 0 else layer.index + int(v)] for v in layer.keys["layers"].split(",")]
        if len({source.shape[2:] for source in sources}) == 1:
            return np.concatenate(sources, axis=1)
        return np.concatenate([source.reshape(len(source), -1) for source in sources], axis=1)

    def _shortcut(self, layer: Layer, x: A, _: Any) -> A:
        at = int(layer.keys["from"])
        source = self.outputs[at if at >= 0 else layer.index + at]
        stride, sample = max(1, source.shape[3] // x.shape[3]), max(1, x.shape[3] // source.shape[3])
        c, h, w = (min(a, b) for a, b in zip(source.shape[1:], x.shape[1:], strict=True))
        y = x.copy()
        y[:, :c, : h * sample : sample, : w * sample : sample] = (
            layer.float("alpha", 1) * x[:, :c, : h * sample : sample, : w * sample : sample]
            + layer.float("beta", 1) * source[:, :c, : h * stride : stride, : w * stride : stride]
        )
        return activate(y, layer.keys.get("activation", "linear"))

    def _activation(self, layer: Layer, x: A, _: Any) -> A:
        return activate(x, layer.keys.get("activation", "linear"))

    def _batchnorm(self, layer: Layer, x: A, _: Any) -> A:
        return layer.normed("", x)

    def _sampling(self, layer: Layer, x: A, _: Any) -> A:
        """Without noise."""
        raw, mean = np.split(x.reshape(len(x), -1), 2, axis=1)
        beyond = np.maximum(np.abs(raw) - 10, 0)
        layer.log_variance = np.where(beyond > 0, np.sign(raw) * (10 + np.log1p(2 * beyond) / 2), raw)
        layer.kl = 0.5 * (np.exp(layer.log_variance) + mean**2 - 1 - layer.log_variance).sum(axis=1)
        return mean[:, :, None, None]

    def _reorg(self, layer: Layer, x: A, _: Any) -> A:
        rows, c, h, w = x.shape
        s = layer.int("stride", 1)
        if layer.int("extra", 0):
            return np.concatenate([x.reshape(rows, -1), np.zeros((rows, layer.int("extra", 0)))], axis=1)
        if layer.int("flatten", 0):
            if layer.int("reverse", 0):
                return x.reshape(rows, h * w, c).transpose(0, 2, 1).reshape(x.shape)
            return x.reshape(rows, c, h * w).transpose(0, 2, 1).reshape(x.shape)
        c2 = c // (s * s)
        k, j, i = np.meshgrid(np.arange(c), np.arange(h), np.arange(w), indexing="ij")
        o = k // c2
        place = (i * s + o % s + w * s * (j * s + o // s + h * s * (k % c2))).ravel()
        flat = x.reshape(rows, -1)
        if layer.int("reverse", 0):
            y = np.zeros_like(flat)
            y[:, place] = flat
            return y.reshape(rows, c2, h * s, w * s)
        return flat[:, place].reshape(rows, c * s * s, h // s, w // s)

    def _crop(self, layer: Layer, x: A, _: Any) -> A:
        """Without training: the middle."""
        ch, cw = layer.int("crop_height", 1), layer.int("crop_width", 1)
        top, left = (x.shape[2] - ch) // 2, (x.shape[3] - cw) // 2
        y = x[:, :, top : top + ch, left : left + cw]
        return y if layer.int("noadjust", 0) else 2 * y - 1

    def _l2norm(self, layer: Layer, x: A, _: Any) -> A:
        length = np.sqrt((x**2).sum(axis=1, keepdims=True))
        return np.where(length > 0, x / length, 0)

    def _normalization(self, layer: Layer, x: A, _: Any) -> A:
        size, c = layer.int("size", 5), x.shape[1]
        y = np.zeros_like(x)
        for k in range(c):
            near = (x[:, max(0, k - (size - 1) // 2) : k + size // 2 + 1] ** 2).sum(axis=1)
            y[:, k] = x[:, k] * (layer.float("kappa", 1) + layer.float("alpha", 0.0001) * near) ** -layer.float("beta", 0.75)
        return y

    def _softmax(self, layer: Layer, x: A, truth: A | None) -> A:
        parts = x.reshape(len(x), layer.int("groups", 1), -1, 1)
        if layer.int("spatial", 0):
            parts = x.reshape(len(x), 1, x.shape[1], -1)
        e = np.exp((parts - parts.max(axis=2, keepdims=True)) / layer.float("temperature", 1))
        y = (e / e.sum(axis=2, keepdims=True)).reshape(x.shape)
        if truth is not None:  # without a loss it counts all the same, as 0
            silent = layer.int("noloss", 0)
            layer.cost = 0.0 if silent else float(-(truth * np.log(y.reshape(truth.shape))).sum())
        return y

    def _logistic(self, layer: Layer, x: A, truth: A | None) -> A:
        y = activate(x, "logistic")
        if truth is not None:
            p = y.reshape(truth.shape)
            layer.cost = float(-(truth * np.log(p) + (1 - truth) * np.log(1 - p)).sum())
        return y

    def _head(self, layer: Layer, x: A, truth: A | None) -> A:
        before, head = self.layers[layer.index - 1], layer.head
        layer.x = before.x if before.head else x.reshape(len(x), -1)
        assert head
        alone = head.per_column == 1 and layer.inputs == head.columns and not head.learned and head.kind != "categorical"
        if truth is None:
            return np.zeros((len(x), layer.inputs if alone else 1, 1, 1))
        error = head.surprise(layer.x[:, layer.values], truth[:, layer.columns], next(iter(layer.params.values()), None))
        layer.cost = float(error.sum())
        return (error if alone else error.sum(axis=1, keepdims=True))[:, :, None, None]

    def _cost(self, layer: Layer, x: A, truth: A | None) -> A:
        if layer.head:
            return self._head(layer, x, truth)
        if truth is None:
            return x
        d = truth - x.reshape(truth.shape)
        kind = layer.keys.get("type", "sse")
        error = d**2
        if kind == "L1":
            error = np.abs(d)
        elif kind == "smooth":
            error = np.where(np.abs(d) < 1, d**2, 2 * np.abs(d) - 1)
        elif kind == "masked":
            error = np.where(truth == -1234, 0, d**2)
        layer.cost = float(error.sum())
        return error.reshape(x.shape)

    # ---- recurrent: rows are time-major

    def _steps(self, x: A) -> A:
        return x.reshape(self.steps, len(x) // self.steps, *x.shape[1:])

    def _begin(self, layer: Layer, name: str, shape: tuple[int, ...]) -> A:
        return np.zeros(shape) if self.training or name not in layer.state else layer.state[name]

    def _recurrence(self, layer: Layer, x: A, part: Any, shape: tuple[int, ...]) -> A:
        h, out = self._begin(layer, "h", shape), []
        for xt in self._steps(x):
            h = part("input.", xt) + part("self.", h) + (h if layer.int("shortcut", 0) else 0)
            out.append(part("output.", h))
        layer.state["h"] = h
        return np.concatenate(out)

    def _rnn(self, layer: Layer, x: A, _: Any) -> A:
        act = layer.keys.get("activation", "logistic")
        x = x.reshape(len(x), -1)
        shape = (len(x) // self.steps, layer.int("output", 1))
        return self._recurrence(layer, x, lambda prefix, v: layer.dense(prefix, v, act), shape)[:, :, None, None]

    def _crnn(self, layer: Layer, x: A, _: Any) -> A:
        act = layer.keys.get("activation", "logistic")
        shape = (len(x) // self.steps, layer.int("hidden_filters", 1), *x.shape[2:])
        return self._recurrence(layer, x, lambda prefix, v: layer.conv(prefix, v, 3, 1, 1, 1, act), shape)

    def _gru(self, layer: Layer, x: A, _: Any) -> A:
        x, out, n = x.reshape(len(x), -1), [], len(x) // self.steps
        h = self._begin(layer, "h", (n, layer.int("output", 1)))
        for xt in self._steps(x):
            z, r = (
                activate(layer.dense(f"u{gate}.", xt, "linear") + layer.dense(f"w{gate}.", h, "linear"), "logistic")
                for gate in "zr"
            )
            c = layer.dense("uh.", xt, "linear") + layer.dense("wh.", r * h, "linear")
            h = z * h + (1 - z) * activate(c, "tanh" if layer.int("tanh", 0) else "logistic")
            out.append(h)
        layer.state["h"] = h
        return np.concatenate(out)[:, :, None, None]

    def _lstm(self, layer: Layer, x: A, _: Any) -> A:
        x, out, n = x.reshape(len(x), -1), [], len(x) // self.steps
        h, c = (self._begin(layer, name, (n, layer.int("output", 1))) for name in "hc")
        for xt in self._steps(x):
            f, i, g, o = (
                activate(layer.dense(f"w{gate}.", h, "linear") + layer.dense(f"u{gate}.", xt, "linear"), act)
                for gate, act in (("f", "logistic"), ("i", "logistic"), ("g", "tanh"), ("o", "logistic"))
            )
            c = f * c + i * g
            h = o * np.tanh(c)
            out.append(h)
        layer.state.update(h=h, c=c)
        return np.concatenate(out)[:, :, None, None]
