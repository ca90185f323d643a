"""A layer of a network, to look into."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from . import errors
from ._lib import Array, check, ffi, lib, pointer, text

if TYPE_CHECKING:
    from .network import Network


class _Tensors(Mapping[str, Array]):
    """Parameters or gradients of a layer by name; each access copies them out of the core."""

    def __init__(self, layer: Layer, fetch: Any, shapes: dict[str, tuple[int, ...]]) -> None:
        self._layer, self._fetch, self._shapes = layer, fetch, shapes

    def __getitem__(self, name: str) -> Array:
        out = np.empty(self._shapes[name], np.float32)
        check(self._fetch(self._layer._net._handle, self._layer.index, name.encode(), pointer(out), out.size))
        return out

    def __iter__(self) -> Iterator[str]:
        return iter(self._shapes)

    def __len__(self) -> int:
        return len(self._shapes)

    def __repr__(self) -> str:
        return "{" + ", ".join(f"{name}: {shape}" for name, shape in self._shapes.items()) + "}"


class Layer:
    """One layer of a network: a view, valid as long as the network."""

    def __init__(self, net: Network, index: int) -> None:
        self._net = net
        self.index = index
        self._read()

    def _read(self) -> None:
        """Read the layer's properties; resizing changes its shapes."""
        net, index = self._net, self.index
        info = ffi.new("dn_layer_info *")
        check(lib.dn_layer_info_get(net._handle, index, info))
        self.type = text(info.type)
        self.name = text(info.name)
        self.inputs = int(info.inputs)
        self.outputs = int(info.outputs)
        image = (int(info.out_channels), int(info.out_height), int(info.out_width))
        self.shape: tuple[int, ...] = image if image[1] * image[2] > 1 else (self.outputs,)
        """The shape of one output row: (channels, height, width), or (outputs,) for a vector."""
        every: dict[str, tuple[int, ...]] = {}
        trained: dict[str, tuple[int, ...]] = {}
        for k in range(info.n_tensors):
            tensor = ffi.new("dn_tensor_info *")
            check(lib.dn_tensor_info_get(net._handle, index, k, tensor))
            shape = tuple(tensor.dims[d] for d in range(tensor.n_dims))
            every[text(tensor.name)] = shape
            if tensor.trained:
                trained[text(tensor.name)] = shape
        self.params: Mapping[str, Array] = _Tensors(self, lib.dn_tensor_get, every)
        """weights, biases, scales, rolling_mean, rolling_variance; those of inner parts as "self.weights". Copies; see `set`."""
        self.grads: Mapping[str, Array] = _Tensors(self, lib.dn_gradient_get, trained)
        """In Darknet's sign, minus the gradient of what is descended, summed over the rows since the last `update`."""

    def set(self, name: str, values: npt.ArrayLike) -> None:
        """Replace a parameter: any shape with the right number of values, in the layout of `params`."""
        array = np.ascontiguousarray(values, np.float32)
        check(lib.dn_tensor_set(self._net._handle, self.index, name.encode(), pointer(array), array.size))

    def _rows(self, fetch: Any) -> Array:
        if not self._net._rows:
            raise errors.UsageError(
                f"layer {self.index} [{self.type}]: outputs and deltas are those of a forward(x), and there was none "
                "since the network was made, resized or given a table"
            )
        out = np.empty((lib.dn_layer_rows(self._net._handle, self.index), self.outputs), np.float32)
        check(fetch(self._net._handle, self.index, pointer(out), out.size))
        return out

    @property
    def output(self) -> Array:
        """(rows, outputs) of the last forward pass. With samples=k in training, the sampling layer and those after it have k
        rows for each row, one after another."""
        return self._rows(lib.dn_layer_output)

    @property
    def delta(self) -> Array:
        """(rows, outputs): minus the gradient with respect to the output, after `backward`."""
        return self._rows(lib.dn_layer_delta)

    def __repr__(self) -> str:
        name = f" '{self.name}'" if self.name else ""
        return f"<layer {self.index} [{self.type}]{name} {self.inputs} -> {self.shape}>"
