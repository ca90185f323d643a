"""Encoder and decoder as a plain file of PyTorch modules, which needs neither this package nor the core.

`source` is the Python file; `state` its parameters, which `torch.save` or numpy can store. The file's load(path) reads the .npz.
"""

from __future__ import annotations

from . import errors
from ._lib import Array
from ._version import __version__
from .graph import CODE, CONDITION, EXP, GIVEN, LOG_RATE_LIMIT, LOGISTIC, SOFTMAX, Graph, Model, Step, size_of

ACTIVATIONS = {
    "logistic": "torch.sigmoid({x})",
    "loggy": "2 * torch.sigmoid({x}) - 1",
    "relu": "F.relu({x})",
    "elu": "F.elu({x})",
    "selu": "1.0507 * F.elu({x}, 1.6732)",
    "relie": "F.leaky_relu({x}, 0.01)",
    "ramp": "F.relu({x}) + 0.1 * {x}",
    "leaky": "F.leaky_relu({x}, 0.1)",
    "tanh": "torch.tanh({x})",
    "plse": "torch.clamp(0.125 * {x} + 0.5, 0, 1) + 0.01 * (({x} + 4).clamp(max=0) + ({x} - 4).clamp(min=0))",
    "hardtan": "F.hardtanh({x})",
    "lhtan": "torch.clamp({x}, 0, 1) + 0.001 * ({x}.clamp(max=0) + ({x} - 1).clamp(min=0))",
}


def _value(number: int) -> str:
    return "condition" if number == CONDITION else f"v{number}"


def _mean(kind: int, at: int, first: int, count: int, size: int) -> str:
    """A part of `mean`, of x."""
    if kind == GIVEN:
        return f"condition[:, {at}:{at + count}]"
    part = f"x[:, {at}:{at + count * size}]"
    if kind == EXP:
        return f"torch.exp(bounded({part}, {LOG_RATE_LIMIT:g}))"
    if kind == CODE:
        return f"{part}.unflatten(1, ({count}, {size})).argmax(2).to(x.dtype)"
    if kind == SOFTMAX:
        return f"{part}.unflatten(1, ({count}, {size})).softmax(2).flatten(1)"
    return f"torch.sigmoid({part})" if kind == LOGISTIC else part


def _line(graph: Graph, number: int, step: Step, part: str) -> list[str]:
    """v{number} = ... of earlier values; all values have their rows first."""
    x, numbers = _value(step.inputs[0]), {key: int(value) for key, value in step.numbers.items()}
    before = graph.shape_of(step.inputs[0])
    image = (*before, 1, 1)[:3] if len(before) < 3 else before
    wide = "{}.reshape(-1, {})"
    name, to = f"self.layer_{step.layer}", f"v{number}"
    if step.op == "reshape":
        lines = [f"{to} = " + wide.format(x, ", ".join(map(str, step.shape)))]
    elif step.op == "dense":
        lines = [f"{to} = {name}({x}.flatten(1))"]
    elif step.op in ("conv", "deconv"):
        lines = [f"{to} = {name}(" + wide.format(x, ", ".join(map(str, image))) + ")"]
    elif step.op == "concat":
        flat = "" if len(step.shape) == 3 else ".flatten(1)"
        lines = [f"{to} = torch.cat([" + ", ".join(f"{_value(i)}{flat}" for i in step.inputs) + "], 1)"]
    elif step.op == "maxpool":
        size, stride, first = numbers["size"], numbers["stride"], numbers["padding"] // 2
        (_, h, w), (_, oh, ow) = before, step.shape
        last = [(out - 1) * stride + size - first - side for out, side in ((oh, h), (ow, w))]
        pads = f"({first}, {last[1]}, {first}, {last[0]})"
        x = wide.format(x, ", ".join(map(str, image)))
        lines = [f"{to} = F.max_pool2d(F.pad({x}, {pads}, value=-float('inf')), {size}, {stride})"]
    elif step.op == "upsample":
        lines = [f"{to} = {step.numbers['scale']!r} * F.interpolate({x}, scale_factor={numbers['stride']})"]
    elif step.op == "scale":
        ones = ", 1, 1" if len(before) == 3 else ""
        lines = [f"{to} = {name}_weight.reshape(1, -1{ones}) * {x} + {name}_bias.reshape(1, -1{ones})"]
    elif step.op == "avgpool":
        lines = [f"{to} = {x}.mean((2, 3))"]
    elif step.op == "add":
        lines = [f"{to} = {step.numbers['alpha']!r} * {x} + {step.numbers['beta']!r} * {_value(step.inputs[1])}"]
    elif step.op == "expand":
        assert step.table is not None
        column, how = step.table.tolist()
        lines = [
            f"v, how = {x}[:, {column}], torch.tensor({how}, device={x}.device)",
            "known = torch.where(how == -3, v, torch.where(how == -1, 2 * v - 1, (v == how).to(v.dtype)))",
            f"{to} = torch.where(torch.isnan(v), (how == -2).to(v.dtype), torch.where(how == -2, torch.zeros_like(v), known))",
        ]
    elif step.op == "mean":
        assert step.table is not None
        lines = [f"x = {x}.flatten(1)", "parts = []"]
        lines += [f"parts.append({_mean(*part)})" for part in step.table.tolist()]
        lines.append(f"{to} = torch.cat(parts, 1)")
    elif step.op == "bound_log_variance":
        limit = step.numbers["limit"]
        lines = [
            f"log_variance, mean = {x}.flatten(1).chunk(2, 1)",
            f"return mean, bounded(log_variance, {limit:g})",
        ]
    else:
        assert step.op == "activate", step.op
        lines = [f"{to} = {x}"]
    if step.activation != "linear":
        if step.activation not in ACTIVATIONS:
            raise errors.UsageError(f"export -pytorch does not know activation={step.activation}")
        lines.append(f"{to} = " + ACTIVATIONS[step.activation].format(x=to))
    return lines


def _module(step: Step) -> list[str]:
    if step.op == "dense":
        assert step.weights is not None
        outputs, inputs = step.weights.shape
        return [f"self.layer_{step.layer} = nn.Linear({inputs}, {outputs})"]
    if step.op in ("conv", "deconv"):
        assert step.weights is not None
        a, b, size, _ = step.weights.shape
        groups = int(step.numbers["groups"])
        channels = f"{b * groups}, {a}" if step.op == "conv" else f"{a}, {b}"
        kind = "Conv2d" if step.op == "conv" else "ConvTranspose2d"
        stride, padding = int(step.numbers["stride"]), int(step.numbers["padding"])
        more = f", groups={groups}" if step.op == "conv" and groups > 1 else ""
        return [f"self.layer_{step.layer} = nn.{kind}({channels}, {size}, {stride}, {padding}{more})"]
    if step.op == "scale":
        assert step.weights is not None
        n = step.weights.size
        return [f"self.register_buffer('layer_{step.layer}_{kind}', torch.zeros({n}))" for kind in ("weight", "bias")]
    return []


def _class(graph: Graph, name: str, about: str, last: str | None) -> str:
    text = f'class {name}(nn.Module):\n    """{about}"""\n\n    def __init__(self):\n        super().__init__()\n'
    text += "".join(f"        {line}\n" for step in graph.steps for line in _module(step))
    text += f"\n    def forward(self, v0{', condition' if graph.condition else ''}):\n"
    for number, step in enumerate(graph.steps, 1):
        text += "".join(f"        {line}\n" for line in _line(graph, number, step, name))
    return text + (f"        return v{len(graph.steps)}{last}\n" if last is not None else "")


def state(model: Model) -> dict[str, Array]:
    """Parameters by their names in the module: decoder.layer_7.weight, ..."""
    found: dict[str, Array] = {}
    for part in ("encoder", "decoder"):
        for step in getattr(model, part).steps:
            if step.weights is not None and step.biases is not None:
                dot = "_" if step.op == "scale" else "."
                found[f"{part}.layer_{step.layer}{dot}weight"] = step.weights
                found[f"{part}.layer_{step.layer}{dot}bias"] = step.biases
    return found


def source(model: Model) -> str:
    width, latent = size_of(model.encoder.inputs), model.latent
    scaled = f", divided by {model.data_scale:g}" if model.data_scale != 1 else ""
    gives = f"mean and log-variance (rows, {latent})" if model.variational else f"codes (rows, {latent})"
    encoder = _class(model.encoder, "Encoder", f"Rows (rows, {width}) of data{scaled} -> {gives}.",
                     None if model.variational else ".flatten(1)")  # fmt: skip
    rows = f" and coded rows with the columns that are given (rows, {width})" if model.decoder.condition else ""
    about = (
        f"Latents (rows, {latent}){rows} -> the mean of the data (rows, {model.outputs}){scaled}; [cost] type={model.likelihood}."
    )
    decoder = _class(model.decoder, "Decoder", about, ".flatten(1)")
    given = ", x" if model.decoder.condition else ""
    return f'''"""Written by darknet-vae {__version__}."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn


def bounded(x, limit):
    """x as it is up to a size of `limit`, larger values softly bounded."""
    size = x.abs()
    return torch.sign(x) * (size.clamp(max=limit) + torch.log1p(2 * (size - limit).clamp(min=0)) / 2)


{encoder}

{decoder}

class Model(nn.Module):
    """Encoder and decoder; forward reconstructs rows through the latents' means."""

    def __init__(self):
        super().__init__()
        self.encoder, self.decoder = Encoder(), Decoder()

    def forward(self, x):
        found = self.encoder(x)
        return self.decoder(found[0] if isinstance(found, tuple) else found{given})


def load(path):
    """The model with the parameters of the .npz (or the .pt) that was written beside this file."""
    model = Model()
    if str(path).endswith(".npz"):
        with np.load(path) as found:
            model.load_state_dict({{name: torch.from_numpy(found[name]) for name in found.files}})
    else:
        model.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return model.eval()
'''
