"""Networks for other programs: one C file, ONNX, PyTorch, NumPy.

    dv.export.c(net, "decoder.c", part="decoder")     one C99 file and its header
    dv.export.onnx(net, "model.onnx")                 model_encoder.onnx, model_decoder.onnx
    dv.export.pytorch(net, "model.py")                a file of modules, model.npz beside it (and model.pt where torch is)
    dv.export.npz(net, "model.npz")                   every parameter by layer and name

All but npz are for autoencoders and variational autoencoders of the layers that docs/export.md lists; another layer is a
UsageError that names it.
Inputs and outputs are as in `encode` and `sample`: data divided by [net] data_scale.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from . import errors
from ._lib import check, ffi, lib, to_bytes
from .graph import as_computed, trace

if TYPE_CHECKING:
    from .network import Network

StrPath = str | os.PathLike[str]


def _save(path: StrPath, data: bytes) -> str:
    """Completely or not at all."""
    check(lib.dn_file_save(to_bytes(path), ffi.from_buffer(data), len(data)), path)
    return str(path)


def _beside(path: StrPath, ending: str, suffix: str) -> str:
    """x.onnx, _encoder -> x_encoder.onnx"""
    stem = os.fspath(path)
    if not stem.endswith(ending):
        raise errors.UsageError(f"{stem}: the name of what is exported here ends in {ending}")
    return stem[: -len(ending)] + suffix


def c(net: Network, path: StrPath, part: str = "both", name: str | None = None) -> list[str]:
    """Write one C99 file and its header; part: encoder, decoder or both. name: prefix of the functions (the file's name)."""
    from . import export_c

    if part not in ("encoder", "decoder", "both"):
        raise errors.UsageError(f"part={part!r} is none of encoder, decoder and both")
    declarations = _beside(path, ".c", ".h")
    name = name or re.sub(r"\W", "_", Path(path).stem)
    name = f"_{name}" if name[:1].isdigit() else name
    model = trace(net)
    source, header = export_c.source(model, part, name), export_c.header(model, part, name)
    return [_save(path, source.encode()), _save(declarations, header.encode())]


def onnx(net: Network, path: StrPath) -> list[str]:
    """Write x_encoder.onnx and x_decoder.onnx for path x.onnx. Needs the package onnx (extra: export)."""
    from . import export_onnx

    files = [_beside(path, ".onnx", f"_{part}.onnx") for part in ("encoder", "decoder")]
    model = trace(net)
    parts = [export_onnx.encoder(model), export_onnx.decoder(model)]
    return [_save(file, part.SerializeToString()) for file, part in zip(files, parts, strict=True)]


def pytorch(net: Network, path: StrPath) -> list[str]:
    """Write a file of PyTorch modules and their parameters: x.py, x.npz and, where torch is installed, x.pt."""
    import io

    from . import export_torch

    parameters, tensors = _beside(path, ".py", ".npz"), _beside(path, ".py", ".pt")
    model = trace(net)
    state, data = export_torch.state(model), io.BytesIO()
    np.savez(data, **state)  # type: ignore[arg-type]
    written = [_save(path, export_torch.source(model).encode()), _save(parameters, data.getvalue())]
    try:
        import torch
    except ImportError:
        return written
    file: Any = io.BytesIO()
    torch.save({key: torch.from_numpy(value) for key, value in state.items()}, file)
    return [*written, _save(tensors, file.getvalue())]


def npz(net: Network, path: StrPath) -> list[str]:
    """Write every parameter as "layer.name": 0.weights, 0.biases, ...; and the cfg as the text `cfg`."""
    import io

    _beside(path, ".npz", "")
    layers = as_computed(net).layers
    arrays: dict[str, Any] = {f"{layer.index}.{name}": values for layer in layers for name, values in layer.params.items()}
    data = io.BytesIO()
    np.savez(data, cfg=np.array(net.cfg_text), **arrays)
    return [_save(path, data.getvalue())]
