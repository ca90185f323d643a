"""Weights of autoencoders of other programs as lists of layers: state dictionaries of PyTorch (.pt, .safetensors, .npz, or in
memory) and ONNX. Layers have PyTorch's layouts, which are this core's: dense (outputs, inputs), convolutions (filters, channels,
size, size), transposed convolutions (channels, filters, size, size)."""

from __future__ import annotations

import json
import os
import pickle
import re
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from . import errors

StrPath = str | os.PathLike[str]
Values = npt.NDArray[Any]


@dataclass
class Norm:
    """Batch normalisation with running statistics: scales (x - mean) / sqrt(variance + epsilon) + biases, each (channels,)."""

    name: str
    mean: Values
    variance: Values
    scales: Values
    biases: Values
    epsilon: float = 1e-5


@dataclass
class Unit:
    """A layer of the file, or with weights None a batch normalisation alone."""

    name: str
    weights: Values | None = None
    biases: Values | None = None
    norm: Norm | None = None
    layer: int | None = None
    """The layer of a network of ours that the name says."""
    role: str = ""
    """mean, log_variance or nothing"""

    @property
    def shape(self) -> tuple[int, ...]:
        return self.norm.mean.shape if self.weights is None and self.norm else cast(Values, self.weights).shape


@dataclass
class Found:
    units: list[Unit] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    """Parameters of layers that an import does not know, each with its shape."""
    ordered: bool = True
    """Units stand in the order of the file's network; else of their names."""


def role_of(name: str) -> str:
    """What a name says about a layer before the latents."""
    words = [word.rstrip("0123456789") for word in re.split(r"[._/\-]+", re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower())]
    if {"logvar", "logvariance", "var", "variance", "lv", "logsigma", "logstd"} & set(words):
        return "log_variance"
    if "log" in words and {"sigma", "std"} & set(words):
        return "log_variance"
    return "mean" if {"mu", "mean", "means", "loc"} & set(words) else ""


def half_of(name: str) -> int:
    """0: of the encoder, 2: of the decoder, 1: unknown."""
    words = re.split(r"[._/\-]+", name.lower())
    return 0 if any(word.startswith("enc") for word in words) else 2 if any(word.startswith("dec") for word in words) else 1


def as_array(name: str, value: Any) -> Values:
    """A tensor of PyTorch, or whatever numpy takes, as numbers."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        value = value.float() if "bfloat16" in str(value.dtype) else value
    array = np.asarray(value)
    if array.dtype.kind not in "fiu":
        raise errors.FormatError(f"{name} holds {array.dtype}, not numbers")
    return array


def natural(name: str) -> list[tuple[int, int | str]]:
    return [(0, int(word)) if word.isdecimal() else (1, word) for word in re.split(r"(\d+)", name)]


def units_of(state: Mapping[str, Any], ordered: bool = True) -> Found:
    """Of a state dictionary: x.weight, x.bias, x.running_mean, ... are a layer x."""
    groups: dict[str, dict[str, Values]] = {}
    for key, value in state.items():
        key = re.sub(r"^((module|_orig_mod)\.)+", "", str(key))
        own = re.fullmatch(r"((?:encoder\.|decoder\.)?layer_\d+)_(weight|bias)", key)
        prefix, _, last = (own[1], "", own[2]) if own else key.rpartition(".")
        if last != "num_batches_tracked":
            groups.setdefault(prefix, {})[last] = as_array(key, value)
    names = list(groups) if ordered else sorted(groups, key=natural)
    found = Found(ordered=ordered)
    for name in names:
        unit = unit_of(name, groups[name])
        if unit:
            found.units.append(unit)
        else:
            found.unknown += [f"{name}.{last}" + str(tuple(values.shape)) for last, values in groups[name].items()]
    pair_norms_by_number(found.units)
    return found


def unit_of(name: str, group: Mapping[str, Values]) -> Unit | None:
    own = re.fullmatch(r"(?:encoder\.|decoder\.)?layer_(\d+)", name)
    layer, known = int(own[1]) if own else None, set(group)
    weights, biases = group.get("weight"), group.get("bias")
    if {"running_mean", "running_var"} <= known <= {"running_mean", "running_var", "weight", "bias"}:
        ones = np.ones_like(group["running_mean"])
        norm = Norm(name, group["running_mean"], group["running_var"], ones if weights is None else weights,
                    0 * ones if biases is None else biases)  # fmt: skip
        return Unit(name, norm=norm, layer=layer)
    if weights is None or not known <= {"weight", "bias"} or weights.ndim not in ((1, 2, 4) if own else (2, 4)):
        return None
    if weights.ndim == 1:  # [batchnorm], as export writes it
        ones = np.ones_like(weights)
        return Unit(name, norm=Norm(name, 0 * ones, ones, weights, 0 * ones if biases is None else biases, 0), layer=layer)
    return Unit(name, weights, biases, layer=layer, role=role_of(name))


def pair_norms_by_number(units: list[Unit]) -> None:
    """bn1 comes after fc1 or conv1, wherever it stands."""
    numbers = {id(unit): re.fullmatch(r"(.*?)([A-Za-z_]+)(\d+)", unit.name) for unit in units}
    for unit in [unit for unit in units if unit.weights is None]:
        of = numbers[id(unit)]
        partners = [other for other in units if other.weights is not None and of and (has := numbers[id(other)])
                    and (has[1], has[3]) == (of[1], of[3])]  # fmt: skip
        if len(partners) == 1:
            units.remove(unit)
            units.insert(units.index(partners[0]) + 1, unit)


# ---- files ----


def safetensors(path: StrPath) -> dict[str, Values]:
    """Tensors by name, float32 where they are bfloat16."""
    kinds = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1",
             "U8": "u1", "BOOL": "u1"}  # fmt: skip
    with open(path, "rb") as file:
        data = file.read()
    size = int.from_bytes(data[:8], "little")
    try:
        header = json.loads(data[8 : 8 + size])
        found = {}
        for name, entry in header.items():
            if name == "__metadata__":
                continue
            begin, end = entry["data_offsets"]
            kind, shape = kinds[entry["dtype"]], tuple(int(n) for n in entry["shape"])
            if not 0 <= begin <= end <= len(data) - 8 - size:
                raise ValueError
            values: Values = np.frombuffer(data[8 + size + begin : 8 + size + end], kind).reshape(shape)
            if entry["dtype"] == "BF16":
                values = (values.astype(np.uint32) << 16).view(np.float32)
            found[name] = values
    except (ValueError, KeyError, TypeError, AttributeError, UnicodeDecodeError, RecursionError):
        raise errors.FormatError(f"{os.fspath(path)} is no .safetensors file, or a damaged one") from None
    return found


def arrays(path: StrPath) -> dict[str, Values]:
    """Of an .npz, but for texts."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files if file[name].dtype.kind not in "US"}
    except OSError:
        raise
    except Exception as reason:  # of zip files and of arrays of objects: several kinds
        raise errors.FormatError(f"{os.fspath(path)} is no .npz of arrays: {first_line(reason)}") from None


def first_line(reason: BaseException) -> str:
    return (str(reason).strip().splitlines() or [type(reason).__name__])[0][:200]


def pickled(path: StrPath) -> Mapping[str, Any]:
    """A state dictionary that torch.save wrote, also one inside of a checkpoint."""
    name = os.fspath(path)
    try:
        import torch
    except ImportError:
        raise errors.MissingPackageError(
            f"{name}: a .pt file is read by torch, which is not installed: pip install torch, or where it is, "
            'numpy.savez("x.npz", **{k: v.numpy() for k, v in model.state_dict().items()})'
        ) from None
    wanted = "torch.save(model.state_dict(), ...) writes one"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except pickle.UnpicklingError:
        raise errors.FormatError(f"{name} holds objects that could run code, no state dictionary: {wanted}") from None
    except Exception as reason:  # of zipfile and torch
        raise errors.FormatError(f"{name} holds no state dictionary: {wanted} ({first_line(reason)})") from None
    for key in ("state_dict", "model_state_dict", "model"):
        if isinstance(found, Mapping) and isinstance(found.get(key), Mapping):
            found = found[key]
    if not isinstance(found, Mapping) or not all(hasattr(value, "detach") for value in found.values()):
        raise errors.FormatError(f"{name} holds no state dictionary: {wanted}")
    return found


def read(path: StrPath) -> Mapping[str, Any] | Found:
    name = os.fspath(path)
    if not os.path.exists(name):
        raise errors.MissingFileError(f"{name}: no such file")
    if os.path.isdir(name):
        raise errors.FileError(f"{name} is a folder")
    ending = os.path.splitext(name)[1].lower()
    try:
        if ending == ".npz":
            return arrays(path)
        if ending == ".safetensors":
            return safetensors(path)
        if ending == ".onnx":
            return Onnx(path).found
        if ending in (".pt", ".pth", ".ckpt", ".bin"):
            return pickled(path)
    except OSError as reason:
        raise errors.FileError(f"{name}: {reason.strerror or reason}") from None
    raise errors.UsageError(f"{name}: weights are imported from .pt, .pth, .npz, .safetensors and .onnx")


class Onnx:
    """The layers of an ONNX graph, in the order of its nodes."""

    def __init__(self, path: StrPath) -> None:
        try:
            import onnx
        except ImportError:
            raise errors.MissingPackageError(
                f"{os.fspath(path)}: reading ONNX needs the package onnx: pip install 'darknet-vae[export]'"
            ) from None
        self.onnx = onnx
        try:
            model = onnx.load(os.fspath(path))
            self.constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
        except OSError:
            raise
        except Exception as reason:  # of protobuf and of onnx
            raise errors.FormatError(f"{os.fspath(path)} is no ONNX model: {first_line(reason)}") from None
        self.found = Found()
        self.producers: dict[str, Unit] = {}
        for node in model.graph.node:
            self.node(node)
        for output in model.graph.output:
            unit = self.producers.get(output.name)
            if unit and not unit.role:
                unit.role = role_of(output.name)
        if not self.found.units and not self.found.unknown:
            raise errors.FormatError(f"{os.fspath(path)} has no layer with weights")

    def node(self, node: Any) -> None:
        with_values = [self.constants.get(name) for name in node.input]
        attributes = {attribute.name: self.onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
        kind, output = node.op_type, node.output[0] if node.output else ""
        if kind == "Constant":
            if "value" in attributes:
                self.constants[output] = self.onnx.numpy_helper.to_array(attributes["value"])
        elif kind in ("Identity", "Transpose") and with_values and with_values[0] is not None:
            values = with_values[0]
            self.constants[output] = np.transpose(values, attributes.get("perm")) if kind == "Transpose" else values
        elif kind in ("Identity", "Flatten", "Reshape", "Squeeze") and node.input[0] in self.producers:
            self.producers[output] = self.producers[node.input[0]]
        elif kind in ("Gemm", "MatMul", "Conv", "ConvTranspose"):
            self.product(node, kind, with_values, attributes)
        elif kind == "Mul" and (own := [name for name in node.input if re.fullmatch(r"layer_\d+_weight", name)]):
            name = own[0].removesuffix("_weight")  # [batchnorm], as export writes it
            parts = {kind: self.constants[f"{name}_{kind}"].reshape(-1) for kind in ("weight", "bias")}
            self.found.units += [unit for unit in [unit_of(name, parts)] if unit]
        elif kind == "Add" and sum(values is not None for values in with_values) == 1:
            at = 0 if with_values[0] is not None else 1
            unit, biases = self.producers.get(node.input[1 - at]), cast(Values, with_values[at])
            if unit and unit.biases is None and unit.weights is not None:
                unit.biases = biases.reshape(-1)
                self.producers[output] = unit
        elif kind == "BatchNormalization" and all(values is not None for values in with_values[1:5]):
            scales, biases, mean, variance = cast(Any, with_values[1:5])
            norm = Norm(node.name or output, mean, variance, scales, biases, attributes.get("epsilon", 1e-5))
            unit, units = self.producers.get(node.input[0]), self.found.units
            units.insert(units.index(unit) + 1 if unit else len(units), Unit(self.named(node.input[1], node), norm=norm))
        elif kind in ("LSTM", "GRU", "RNN", "LayerNormalization", "InstanceNormalization", "GroupNormalization", "PRelu"):
            self.found.unknown += [f"{node.input[i]}{values.shape}" for i, values in enumerate(with_values) if values is not None]

    def product(self, node: Any, kind: str, with_values: list[Values | None], attributes: Mapping[str, Any]) -> None:
        at = 1 if len(with_values) > 1 and with_values[1] is not None else 0
        weights = with_values[at] if with_values else None
        if weights is None or (at == 0 and kind != "MatMul"):
            return  # a product of two values
        biases = with_values[2] if len(with_values) > 2 else None
        if kind == "MatMul":
            weights = weights.T if at else weights
        if kind == "Gemm":
            weights = attributes.get("alpha", 1.0) * (weights if attributes.get("transB") else weights.T)
            biases = None if biases is None else attributes.get("beta", 1.0) * biases
        name = self.named(node.input[at], node)
        own = re.fullmatch(r"layer_(\d+)", name)
        unit = Unit(name, weights, None if biases is None else biases.reshape(-1), layer=int(own[1]) if own else None,
                    role=role_of(name))  # fmt: skip
        self.found.units.append(unit)
        self.producers[node.output[0]] = unit

    def named(self, constant: str, node: Any) -> str:
        """fc1 of the constant fc1.weight, or of the node /encoder/fc1/Gemm."""
        if name := re.fullmatch(r"(.+)[._]weight", constant):
            return name[1]
        parts = [part for part in str(node.name).split("/") if part][:-1]
        return parts[-1] if parts else node.name or constant


def found_in(source: Any) -> Found | dict[str, Values]:
    """Of one path, mapping or module; arrays by this core's names (0.weights) stay what they are."""
    if hasattr(source, "state_dict"):
        source = source.state_dict()
    ordered = not str(source).lower().endswith(".safetensors")
    state = source if isinstance(source, Mapping) else read(source)
    if isinstance(state, Found):
        return state
    ours = r"\d+\.(\w+\.)?(weights|biases|scales|rolling_mean|rolling_variance|log_variance|log_dispersion|passes|prior\.\w+)"
    if state and all(re.fullmatch(ours, str(key)) for key in state):
        return {key: as_array(key, value) for key, value in state.items()}
    return units_of(state, ordered)


def joined(sources: Iterable[Found]) -> Found:
    """Several files, such as an encoder and a decoder, one after another."""
    whole = Found()
    for found in sources:
        whole.units += found.units
        whole.unknown += found.unknown
        whole.ordered &= found.ordered
    whole.units = encoder_first(whole.units)
    return whole


def encoder_first(units: list[Unit]) -> list[Unit]:
    """In the file's order, but where names put a layer of the encoder after one of the decoder. A layer whose name says nothing
    belongs to the one before it."""
    halves, current = [], 1
    for unit in units:
        half = half_of(unit.name)
        current = current if half == 1 else half
        halves.append(half if half != 1 else 1 if unit.role else current)
    if 2 not in halves or 0 not in halves[halves.index(2) :]:
        return units
    return [unit for _, unit in sorted(zip(halves, units, strict=True), key=lambda pair: pair[0])]
