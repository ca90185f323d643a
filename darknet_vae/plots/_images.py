"""Pictures of rows that are images."""

from __future__ import annotations

import glob
import math
import os
import re
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .. import errors
from .._lib import Array, Path
from ..data import load_csv
from . import _style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..network import Network

Shape = tuple[int, int, int]
"""(channels, height, width)"""


def images(rows: npt.ArrayLike, shape: Shape) -> npt.NDArray[np.float32]:
    """Rows (n, channels * height * width) as pictures: (n, height, width), or (n, height, width, 3) with 3 channels."""
    array = np.asarray(rows, np.float32)
    channels = shape[0]
    if array.ndim != 2 or array.shape[1] != math.prod(shape):
        raise errors.UsageError(f"rows of shape {array.shape} are not images of {channels} x {shape[1]} x {shape[2]}")
    array = array.reshape(-1, *shape)
    if channels == 3:
        return np.clip(np.moveaxis(array, 1, -1), 0, 1)
    if channels != 1:
        raise errors.UsageError(f"{channels} channels are neither grey (1) nor colour (3)")
    return array[:, 0]


def _grid(cells: npt.NDArray[np.float32], columns: int) -> npt.NDArray[np.float32]:
    """Pictures (n, h, w[, 3]) side by side, row by row, with a line of NaN (blank) between them; missing places are blank too."""
    rows = math.ceil(len(cells) / columns)
    _, height, width, *colours = cells.shape
    line = max(1, round(min(height, width) / 16))
    wide = np.full((rows * columns, height + line, width + line, *colours), np.nan, np.float32)
    wide[: len(cells), line:, line:] = cells
    wide = np.swapaxes(wide.reshape(rows, columns, *wide.shape[1:]), 1, 2)
    whole = wide.reshape(rows * (height + line), columns * (width + line), *colours)
    bottom = np.full((line, *whole.shape[1:]), np.nan, np.float32)
    whole = np.concatenate([whole, bottom])
    return np.concatenate([whole, np.full((len(whole), line, *colours), np.nan, np.float32)], axis=1)


def _show(axes: Any, picture: npt.NDArray[np.float32], limits: tuple[float, float], **options: Any) -> None:
    if picture.ndim == 3:  # colours have no NaN
        picture = np.nan_to_num(picture, nan=1.0)
    from matplotlib import colormaps

    grey = colormaps["gray"].with_extremes(bad="#4a6fa5")
    axes.imshow(picture, cmap=grey, vmin=limits[0], vmax=limits[1], interpolation="nearest", **options)


def _limits(pictures: npt.NDArray[np.float32]) -> tuple[float, float]:
    low, high = float(pictures.min()), float(pictures.max())
    return (0.0, 1.0) if low >= -0.05 and 0.5 < high <= 1.05 else (low, high)


def image_shape(net: Network, shape: Shape | None = None) -> Shape:
    """The image shape of a network's outputs: `shape` if given, otherwise the cfg's."""
    found = shape or net.output_shape
    if found is None:
        raise errors.UsageError(f"{net.cfg}: outputs are no images; height=, width=, channels= in [net] would say how")
    return found


def previews(path: Path) -> list[tuple[int, Array, Array]]:
    """The files that training with `-output PATH` wrote: (epoch, inputs, outputs), by epoch."""
    stem = os.path.splitext(os.fspath(path))[0]
    found = []
    for name in glob.glob(glob.escape(stem) + "_input_*.txt"):
        match = re.fullmatch(r"(.*)_input_(\d+)\.txt", name)
        if match and os.path.exists(f"{match[1]}_output_{match[2]}.txt"):
            found.append(int(match[2]))
    if 0 in found:  # later epochs of an earlier training may still lie there
        began = os.stat(f"{stem}_input_0.txt").st_mtime_ns
        found = [epoch for epoch in found if os.stat(f"{stem}_input_{epoch}.txt").st_mtime_ns >= began]
    if not found:
        raise errors.MissingFileError(f"no {stem}_input_<epoch>.txt with their outputs; train with -output {path}")

    def rows(kind: str, epoch: int) -> Array:
        return load_csv(f"{stem}_{kind}_{epoch}.txt", header=False)

    return [(epoch, rows("input", epoch), rows("output", epoch)) for epoch in sorted(found)]


def training(net: Network, path: Path, columns: int = 12, shape: Shape | None = None) -> Figure:
    """What training with `-output PATH` wrote: ten inputs above their outputs, one column of pictures per epoch shown."""
    form = image_shape(net, shape)
    epochs = previews(path)
    if len(epochs) > columns:  # the first, the last, and what is evenly between
        epochs = [epochs[round(i)] for i in np.linspace(0, len(epochs) - 1, columns)]
    rows = len(epochs[0][1])
    figure = _style.figure(0.5 + 0.62 * len(epochs), 0.6 + 1.24 * rows * form[1] / form[2])
    axes = figure.subplots(1, len(epochs), squeeze=False)[0]
    for axis, (epoch, inputs, outputs) in zip(axes, epochs, strict=True):
        above, below = images(inputs, form), images(outputs, form)
        pairs = np.stack([above, below], axis=1).reshape(-1, *above.shape[1:])
        _show(axis, _grid(pairs, 1), _limits(above))
        axis.set_title(f"{epoch}", fontsize=9)
        axis.set_xticks([])
        axis.set_yticks([])
    figure.suptitle("inputs above outputs, by epoch", fontsize=10)
    return figure


def _some(n: int) -> None:
    if n < 1:
        raise errors.UsageError(f"n={n} images: wanted are 1 or more")


def manifold(net: Network, n: int = 20, limit: float = 3.0, shape: Shape | None = None) -> Figure:
    """n x n decoded images over the latent square from -limit to limit, for networks with two latents."""
    if net.latent_size != 2:
        raise errors.UsageError(f"{net.cfg}: a manifold picture is for two latents, the network has {net.latent_size}")
    _some(n)
    form = image_shape(net, shape)
    steps = np.linspace(-limit, limit, n, dtype=np.float32)
    across, up = np.meshgrid(steps, steps[::-1])
    pictures = images(net.sample(np.column_stack([across.ravel(), up.ravel()])), form)
    figure = _style.figure(7, 7 * form[1] / form[2])
    axis = figure.subplots()
    half = limit * (1 + 1 / max(n - 1, 1))  # pixels of a cell lie around its point
    _show(axis, _grid(pictures, n), _limits(pictures), extent=(-half, half, -half, half), aspect="auto")
    axis.set_xlabel("latent 1")
    axis.set_ylabel("latent 2")
    return figure


def samples(net: Network, n: int = 64, seed: int = 0, shape: Shape | None = None) -> Figure:
    """n images decoded from the prior."""
    form = image_shape(net, shape)
    if not net.variational:
        raise errors.UsageError(f"{net.cfg}: the network has no [sampling] layer to sample from")
    _some(n)
    pictures = images(net.sample(n=n, seed=seed), form)
    columns = math.ceil(math.sqrt(n))
    rows = math.ceil(n / columns)
    figure = _style.figure(7, 7 * rows / columns * form[1] / form[2])
    axis = figure.subplots()
    _show(axis, _grid(pictures, columns), _limits(pictures))
    axis.set_axis_off()
    return figure
