"""Encoder and decoder as ONNX files, for onnxruntime and whatever else reads them. Needs the package `onnx` (extra: export)."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import errors
from ._lib import Array
from ._version import __version__
from .graph import (
    AS_IS,
    CODE,
    CONDITION,
    EXP,
    FLAG,
    GIVEN,
    LOG_RATE_LIMIT,
    LOGISTIC,
    NUMBER,
    SOFTMAX,
    YES_NO,
    Graph,
    Model,
    Shape,
    Step,
    Table,
    size_of,
)

OPSET = 17


def _onnx() -> Any:
    try:
        import onnx
    except ImportError:
        raise errors.UsageError("export -onnx needs the package onnx: pip install 'darknet-vae[export]'") from None
    return onnx


class _Writer:
    """Rows are the first dimension of every value; values are (rows, n) or (rows, channels, height, width)."""

    def __init__(self, graph: Graph) -> None:
        self.graph, self.onnx = graph, _onnx()
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.count = 0
        self.values: dict[int, tuple[str, Shape]] = {0: ("x", (size_of(graph.inputs),))}
        if graph.condition:
            self.values[CONDITION] = ("condition", graph.condition)
        for number, step in enumerate(graph.steps, 1):
            self.values[number] = (self.step(step), step.shape)

    def add(self, kind: str, *inputs: str, **attributes: Any) -> str:
        self.count += 1
        name = f"v{self.count}"
        self.nodes.append(self.onnx.helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def constant(self, values: Array | Table | float | list[int], name: str = "") -> str:
        array = np.asarray(values)
        self.count += 1
        name = name or f"c{self.count}"
        array = array.astype(np.int64 if array.dtype.kind == "i" else np.float32)
        self.constants.append(self.onnx.numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def parameters(self, step: Step) -> list[str]:
        """Named as those of the modules of PyTorch."""
        assert step.weights is not None and step.biases is not None
        return [self.constant(values, f"layer_{step.layer}.{name}")
                for values, name in ((step.weights, "weight"), (step.biases, "bias"))]  # fmt: skip

    def shaped(self, value: int, shape: Shape) -> str:
        name, has = self.values[value]
        return name if has == shape else self.add("Reshape", name, self.constant([-1, *shape]))

    def image(self, value: int) -> str:
        shape = self.graph.shape_of(value)
        return self.shaped(value, shape if len(shape) == 3 else (shape[0], 1, 1))

    def step(self, step: Step) -> str:
        value, numbers = step.inputs[0], step.numbers
        if step.op == "reshape":
            return self.shaped(value, step.shape)
        if step.op == "dense":
            assert step.weights is not None
            name = self.add("Gemm", self.shaped(value, (step.weights.shape[1],)), *self.parameters(step), transB=1)
        elif step.op in ("conv", "deconv"):
            assert step.weights is not None
            size, stride, padding = step.weights.shape[2], int(numbers["stride"]), int(numbers["padding"])
            x, (w, b) = self.image(value), self.parameters(step)
            kind = "Conv" if step.op == "conv" else "ConvTranspose"
            name = self.add(kind, x, w, b, kernel_shape=[size, size], strides=[stride, stride], pads=[padding] * 4,
                            group=int(numbers["groups"]))  # fmt: skip
        elif step.op == "maxpool":
            size, stride, before = int(numbers["size"]), int(numbers["stride"]), int(numbers["padding"]) // 2
            _, h, w_ = self.graph.shape_of(value)
            ends = [(step.shape[i + 1] - 1) * stride + size - before - side for i, side in enumerate((h, w_))]
            pads = [before, before, *(max(end, 0) for end in ends)]
            name = self.add("MaxPool", self.image(value), kernel_shape=[size, size], strides=[stride, stride], pads=pads)
        elif step.op == "upsample":
            factor = float(numbers["stride"])
            scales = self.constant([1.0, 1.0, factor, factor])  # type: ignore[list-item]
            name = self.add("Resize", self.image(value), "", scales, mode="nearest",
                            coordinate_transformation_mode="asymmetric", nearest_mode="floor")  # fmt: skip
            if numbers["scale"] != 1:
                name = self.add("Mul", name, self.constant(float(numbers["scale"])))
        elif step.op == "avgpool":
            name = self.add("GlobalAveragePool", self.image(value))
        elif step.op == "add":
            scaled = [self.values[i][0] if factor == 1 else self.add("Mul", self.values[i][0], self.constant(factor))
                      for i, factor in zip(step.inputs, (numbers["alpha"], numbers["beta"]), strict=True)]  # fmt: skip
            name = self.add("Add", *scaled)
        elif step.op == "expand":
            assert step.table is not None
            name = self.expanded(self.values[value][0], *step.table)
        elif step.op == "mean":
            assert step.table is not None
            x = self.shaped(value, (size_of(self.values[value][1]),))
            name = self.add("Concat", *(self.mean(x, *part) for part in step.table.tolist()), axis=1)
        elif step.op == "scale":
            assert step.weights is not None and step.biases is not None
            wide = [-1, 1, 1] if len(self.values[value][1]) == 3 else [-1]
            name = self.add("Mul", self.values[value][0], self.constant(step.weights.reshape(wide), f"layer_{step.layer}_weight"))
            name = self.add("Add", name, self.constant(step.biases.reshape(wide), f"layer_{step.layer}_bias"))
        elif step.op == "concat":
            if len(step.shape) == 3:
                name = self.add("Concat", *(self.image(i) for i in step.inputs), axis=1)
            else:
                name = self.add("Concat", *(self.shaped(i, (size_of(self.values[i][1]),)) for i in step.inputs), axis=1)
        elif step.op == "bound_log_variance":
            x, n = self.shaped(value, (size_of(step.shape),)), size_of(step.shape)
            half = self.bounded(self.part(x, 0, n // 2), numbers["limit"])
            return self.add("Concat", half, self.part(x, n // 2, n), axis=1)
        else:
            assert step.op == "activate", step.op
            name = self.values[value][0]
        if len(step.shape) == 1 and step.op in ("conv", "deconv", "maxpool", "avgpool", "upsample"):
            name = self.add("Reshape", name, self.constant([-1, *step.shape]))
        return self.activated(name, step.activation)

    def part(self, x: str, begin: int, end: int) -> str:
        """Some columns."""
        return self.add("Slice", x, self.constant([begin]), self.constant([end]), self.constant([1]))

    def expanded(self, x: str, column: Table, how: Table) -> str:
        """known (a v + b + (v = class)) + flag missing, with constants for each value"""
        v = self.add("Gather", x, self.constant(column.astype(np.int64)), axis=1)
        missing = self.add("IsNaN", v)
        v = self.add("Where", missing, self.constant(0.0), v)
        factor, shift = np.where(how == NUMBER, 1.0, np.where(how == YES_NO, 2.0, 0.0)), np.where(how == YES_NO, -1.0, 0.0)
        linear = self.add("Add", self.add("Mul", v, self.constant(factor)), self.constant(shift))
        one = self.add("Cast", self.add("Equal", v, self.constant(np.where(how >= 0, how, -1.0))), to=self.onnx.TensorProto.FLOAT)
        both = self.add("Add", linear, self.add("Mul", one, self.constant(np.where(how >= 0, 1.0, 0.0))))
        return self.add("Where", missing, self.constant(np.where(how == FLAG, 1.0, 0.0)), both)

    def mean(self, x: str, kind: int, at: int, first: int, count: int, size: int) -> str:
        if kind == GIVEN:
            return self.part("condition", at, at + count)
        part = self.part(x, at, at + count * size)
        if kind == AS_IS:
            return part
        if kind == LOGISTIC:
            return self.add("Sigmoid", part)
        if kind == EXP:
            return self.add("Exp", self.bounded(part, LOG_RATE_LIMIT))
        groups = self.add("Reshape", part, self.constant([-1, count, size]))
        if kind == SOFTMAX:
            return self.add("Reshape", self.add("Softmax", groups, axis=2), self.constant([-1, count * size]))
        assert kind == CODE
        return self.add("Cast", self.add("ArgMax", groups, axis=2, keepdims=0), to=self.onnx.TensorProto.FLOAT)

    def bounded(self, x: str, limit: float) -> str:
        """sign(x) (min(|x|, limit) + ln(1 + 2 max(|x| - limit, 0)) / 2)"""
        size, most = self.add("Abs", x), self.constant(limit)
        beyond = self.add("Relu", self.add("Sub", size, most))
        log = self.add("Log", self.add("Add", self.add("Mul", beyond, self.constant(2.0)), self.constant(1.0)))
        whole = self.add("Add", self.add("Min", size, most), self.add("Mul", log, self.constant(0.5)))
        return self.add("Mul", self.add("Sign", x), whole)

    def activated(self, x: str, activation: str) -> str:
        one = {"relu": "Relu", "tanh": "Tanh", "logistic": "Sigmoid"}
        if activation == "linear":
            return x
        if activation in one:
            return self.add(one[activation], x)
        if activation in ("leaky", "relie"):
            return self.add("LeakyRelu", x, alpha=0.1 if activation == "leaky" else 0.01)
        if activation == "elu":
            return self.add("Elu", x, alpha=1.0)
        if activation == "selu":
            return self.add("Selu", x, alpha=1.6732, gamma=1.0507)
        if activation == "loggy":
            return self.add("Sub", self.add("Mul", self.add("Sigmoid", x), self.constant(2.0)), self.constant(1.0))
        if activation == "ramp":
            return self.add("Add", self.add("Relu", x), self.add("Mul", x, self.constant(0.1)))
        if activation == "hardtan":
            return self.clip(x, -1, 1)
        if activation == "plse":  # 0.01 min(x + 4, 0) + clip(x / 8 + 1/2, 0, 1) + 0.01 max(x - 4, 0)
            middle = self.add("Add", self.add("Mul", x, self.constant(0.125)), self.constant(0.5))
            return self.flanks(x, -4, 4, 0.01, self.clip(middle, 0, 1))
        if activation == "lhtan":  # 0.001 min(x, 0) + clip(x, 0, 1) + 0.001 max(x - 1, 0)
            return self.flanks(x, 0, 1, 0.001, self.clip(x, 0, 1))
        raise errors.UsageError(f"export -onnx does not know activation={activation}")

    def clip(self, x: str, low: float, high: float) -> str:
        return self.add("Clip", x, self.constant(float(low)), self.constant(float(high)))

    def flanks(self, x: str, low: float, high: float, slope: float, middle: str) -> str:
        below = self.add("Min", self.add("Sub", x, self.constant(float(low))), self.constant(0.0))
        above = self.add("Relu", self.add("Sub", x, self.constant(float(high))))
        both = self.add("Mul", self.add("Add", below, above), self.constant(slope))
        return self.add("Add", middle, both)


def _model(writer: _Writer, name: str, about: str, outputs: dict[str, tuple[str, int]]) -> Any:
    onnx = writer.onnx
    helper, float32 = onnx.helper, onnx.TensorProto.FLOAT
    names = {}
    for output, (value, _) in outputs.items():
        writer.nodes.append(helper.make_node("Identity", [value], [output]))
        names[output] = value
    graph = helper.make_graph(
        writer.nodes, name,
        [helper.make_tensor_value_info(x, float32, ["rows", size_of(shape)])
         for x, shape in (("x", writer.graph.inputs), ("condition", writer.graph.condition)) if shape],
        [helper.make_tensor_value_info(output, float32, ["rows", size]) for output, (_, size) in outputs.items()],
        writer.constants, doc_string=about,
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="darknet-vae",
                              producer_version=__version__, ir_version=8)  # fmt: skip
    onnx.checker.check_model(model)
    return model


def encoder(model: Model) -> Any:
    """x (rows, inputs) -> mean (rows, latent) and, with a sampling layer, log_variance."""
    writer = _Writer(model.encoder)
    last = writer.shaped(len(model.encoder.steps), (size_of(model.encoder.shape),))
    if not model.variational:
        return _model(writer, "encoder", "the code of every row", {"mean": (last, model.latent)})
    n = model.latent
    halves = {"mean": (writer.part(last, n, 2 * n), n), "log_variance": (writer.part(last, 0, n), n)}
    scaled = f" divided by {model.data_scale:g}" if model.data_scale != 1 else ""
    about = "Mean and log-variance of q(z|x); x is " + ("a coded row of a table." if model.columns else f"data{scaled}.")
    return _model(writer, "encoder", about, halves)


def decoder(model: Model) -> Any:
    """x, the latents (rows, latent), and with a [condition] coded rows, `condition` (rows, inputs) -> data (rows, columns)."""
    writer = _Writer(model.decoder)
    last = writer.shaped(len(model.decoder.steps), (model.outputs,))
    scaled = f", divided by {model.data_scale:g}" if model.data_scale != 1 else ""
    about = f"The mean of p(x|z) ([cost] type={model.likelihood}){scaled}."
    if model.columns:
        about += f" Columns, coded by darknet_vae.tables.Schema: {', '.join(name for name, _ in model.columns)}."
    return _model(writer, "decoder", about, {"data": (last, model.outputs)})
