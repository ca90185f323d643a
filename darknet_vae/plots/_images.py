"""Pictures of rows that are images."""

from __future__ import annotations

import glob
import math
import os
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .. import errors
from .._lib import Array, Path, whole
from ..data import load_csv
from . import _style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..network import Network

Shape = tuple[int, int, int]
"""(channels, height, width)"""
Images = npt.NDArray[np.float32]
"""(n, height, width), or (n, height, width, 3)"""


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


def image_shape(net: Network, shape: Shape | None = None) -> Shape:
    """The image shape of a network's outputs: `shape` if given, otherwise the cfg's."""
    found = shape or net.output_shape
    if found is None:
        raise errors.UsageError(f"{net.cfg}: outputs are no images; height=, width=, channels= in [net] would say how")
    return found


def form_of(net: Network, shape: Shape | None) -> Shape | None:
    """The shape of the images that a network decodes, or None: its rows are no images."""
    if shape is None and net._knows_columns:
        return None
    found = shape or net.output_shape
    return found if found is None or shape is not None or found[0] in (1, 3) else None


def bounded(net: Network) -> bool:
    """Are its outputs between 0 and 1, whatever the latents: probabilities, or a logistic last layer?"""
    from ..reporting.model import describe

    model = describe(net)
    return not {"bce", "bernoulli"}.isdisjoint(model.losses) or model.activation == "logistic"


def limits(pictures: Images, within: bool = False) -> tuple[float, float]:
    """The values that are black and white: 0 and 1 if these are about what there is, or if all is `within` them."""
    known = pictures[np.isfinite(pictures)]
    if within and known.size and known.min() >= 0 and known.max() <= 1:
        return 0.0, 1.0
    low, high = (float(v) for v in np.quantile(known, [0.002, 0.998])) if known.size else (0.0, 1.0)
    return (0.0, 1.0) if low >= -0.25 and (0.5 < high <= 1.25 or low == high) else (low, high)


class Wall:
    """Images side by side, touching, with white between some columns or rows."""

    def __init__(self, cells: Images, columns: int, across: Sequence[int] = (), down: Sequence[int] = ()) -> None:
        """`cells`: row by row; places without one stay white. There is a gap before the columns `across` and rows `down`."""
        n, height, width, *colours = cells.shape
        rows = -(-n // columns)
        gap = max(1, round(min(height, width) / 7))
        place_x, total_x = _places(columns, width, gap, across)
        place_y, total_y = _places(rows, height, gap, down)
        self.lines = ([x for k, x in enumerate(place_x) if k], [y for k, y in enumerate(place_y) if k])
        self.picture = np.full((total_y, total_x, *colours), np.nan, np.float32)
        for k, cell in enumerate(cells):
            y, x = place_y[k // columns], place_x[k % columns]
            self.picture[y : y + height, x : x + width] = cell
        self.columns = [x + width / 2 - 0.5 for x in place_x]
        """Where their middles are, in pixels."""
        self.rows = [y + height / 2 - 0.5 for y in place_y]

    @property
    def aspect(self) -> float:
        """Height by width."""
        return float(self.picture.shape[0] / self.picture.shape[1])

    def show(
        self, axis: Any, black_and_white: tuple[float, float], line: str = "white", width: float = 1.0, **options: Any
    ) -> None:  # fmt: skip
        """Draw it, without ticks, with a thin line between images, so many points wide."""
        from matplotlib import colormaps

        grey = colormaps["gray"].with_extremes(bad="white")
        picture = np.nan_to_num(self.picture, nan=1.0) if self.picture.ndim == 3 else self.picture
        axis.imshow(picture, cmap=grey, vmin=black_and_white[0], vmax=black_and_white[1], **options)
        left, right, bottom, top = axis.images[-1].get_extent()
        height, width_of_all = picture.shape[:2]
        for x in self.lines[0]:
            axis.axvline(left + x / width_of_all * (right - left), color=line, linewidth=width)
        for y in self.lines[1]:
            axis.axhline(top + y / height * (bottom - top), color=line, linewidth=width)
        axis.set(xticks=[], yticks=[])
        _style.bare(axis)


def _places(n: int, size: int, gap: int, before: Sequence[int]) -> tuple[list[int], int]:
    """Where n things of one size begin, and where the last one ends."""
    found = [k * size + gap * sum(b <= k for b in before) for k in range(n)]
    return found, found[-1] + size


def wall_size(wall: Wall, cells: int, inches: float, most: tuple[float, float] = (8.5, 9.0)) -> tuple[float, float]:
    """Width and height in inches of a wall of so many columns, each so wide, that still fits."""
    width = min(cells * inches, most[0], most[1] / wall.aspect)
    return max(width, 0.4), max(width * wall.aspect, 0.3)


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


@_style.picture
def training(net: Network, path: Path, columns: int = 12, shape: Shape | None = None) -> Figure:
    """What training with `-output PATH` wrote: ten inputs once, and beside them their outputs by epoch, of at most `columns`
    epochs, the first and the last among them."""
    form = image_shape(net, shape)
    epochs = previews(path)
    columns = whole("columns", columns, 1, 10_000)
    if len(epochs) > columns:  # the first, the last, and what is evenly between
        epochs = [epochs[round(i)] for i in np.linspace(0, len(epochs) - 1, columns)] if columns > 1 else epochs[-1:]
    inputs = images(epochs[0][1], form)
    outputs = [images(output, form)[: len(inputs)] for _, _, output in epochs]
    cells = np.stack([inputs, *outputs])  # (1 + epochs, rows, ...)
    names = ["input", *(f"{epoch}" for epoch, _, _ in epochs)]
    beside = len(names) * form[2] >= len(inputs) * form[1]  # the figure is rather wide than tall
    if beside:
        wall = Wall(np.swapaxes(cells, 0, 1).reshape(-1, *inputs.shape[1:]), len(names), across=[1])
    else:
        wall = Wall(cells.reshape(-1, *inputs.shape[1:]), len(inputs), down=[1])
    width, height = wall_size(wall, len(names) if beside else len(inputs), 0.62)
    figure = _style.figure(width + (0.3 if beside else 1.0), height + 0.9, "Inputs and their outputs while training")
    axis = figure.subplots()
    wall.show(axis, limits(inputs, bounded(net)))
    if beside:
        axis.set_xticks(wall.columns, names)
        axis.set_xlabel("output after epoch")
    else:
        axis.set_yticks(wall.rows, names)
        axis.set_ylabel("output after epoch")
    return figure


def _centred(n: int, limit: float) -> tuple[npt.NDArray[np.float32], float]:
    """n points from -limit to limit, and where an image of n cells, whose middles they are, ends."""
    steps = np.linspace(-limit, limit, n, dtype=np.float32) if n > 1 else np.zeros(1, np.float32)
    return steps, limit * n / max(n - 1, 1)


def plane(net: Network, n: int, limit: float, dims: tuple[int, int]) -> tuple[Array, float, str]:
    """Latents over a square of n x n points, from the top left on, row by row; where the square ends; what other latents are."""
    from .._lib import real

    size = net.latent_size
    net._need_latent()
    if size < 2:
        raise errors.UsageError(f"{net.cfg}: a manifold picture is for two latents, the network has {size}; traversals shows one")
    n, limit = whole("n", n, 1, 10_000), real("limit", limit)
    if not 0 < limit < np.inf:
        raise errors.UsageError(f"limit={limit} is not above 0")
    if len(dims) != 2 or dims[0] == dims[1]:
        raise errors.UsageError(f"dims={dims!r}: two different latents are wanted, each from 0 to {size - 1}")
    first, second = (whole("dims", dim, 0, size - 1) for dim in dims)
    steps, half = _centred(n, limit)
    z = np.zeros((n * n, size), np.float32)
    z[:, first], z[:, second] = np.tile(steps, n), np.repeat(steps[::-1], n)
    return z, half, "" if size == 2 else f"; the other {_style.counted(size - 2, 'latent')} at 0"


def _background(picture: Images, form: Shape, black_and_white: tuple[float, float]) -> str:
    """The colour that images mostly end with: lines of it part images that fill their place, and are not seen otherwise."""
    edge = picture[:: form[1]].ravel()
    part = (np.median(edge) - black_and_white[0]) / ((black_and_white[1] - black_and_white[0]) or 1.0)
    return str(round(float(np.clip(part, 0, 1)), 2))


@_style.picture
def manifold(net: Network, n: int = 20, limit: float = 3.0, shape: Shape | None = None, dims: tuple[int, int] = (0, 1)) -> Figure:
    """What is decoded over the square of two latents, `dims`, from -limit to limit; other latents are 0. Images: n x n of them;
    columns of a table or other rows: a map of each, of n x n points."""
    form = form_of(net, shape)
    z, half, rest = plane(net, n, limit, dims)
    if form is None:
        from ._tables import maps

        return maps(net, z, n, half, dims, rest)
    wall = Wall(images(net.sample(z), form), n)
    aspect = form[1] / form[2]
    width = min(6.4, 7.5 / aspect)
    figure = _style.figure(width + 0.6, width * aspect + 1.0, f"Images decoded over two latents{rest}")
    axis = figure.subplots()
    black_and_white = limits(wall.picture, bounded(net))
    cell = 72 * width / n  # points
    # A hair between images; between small ones, which fill their place, half of one of their pixels.
    width = 0.5 * cell / form[2] if max(form[1:]) <= 16 else min(1.2, 0.06 * cell)
    line = _background(wall.picture, form, black_and_white)
    wall.show(axis, black_and_white, line, width, extent=(-half, half, -half, half), aspect=aspect)
    ticks = [tick for tick in range(-int(limit), int(limit) + 1)] if 1 <= limit <= 6 else [-limit, 0, limit]
    axis.set(xlabel=f"latent {dims[0] + 1}", ylabel=f"latent {dims[1] + 1}", xticks=ticks, yticks=ticks)
    return figure


@_style.picture
def samples(net: Network, n: int = 64, seed: int = 0, shape: Shape | None = None) -> Figure:
    """n images decoded from the prior."""
    if form_of(net, shape) is None and net._knows_columns:
        raise errors.UsageError(f"{net.cfg}: its samples are rows of a table: draw them (sample -n 1000 -output new.csv), and "
                                "plot marginals or correlations beside the real ones")  # fmt: skip
    form = image_shape(net, shape)
    if not net.variational:
        raise errors.UsageError(f"{net.cfg}: the network has no [sampling] layer to sample from")
    n = whole("n", n, 1, 10_000)
    aspect = form[1] / form[2]
    columns = min(
        range(1, n + 1), key=lambda c: (abs(math.log(-(-n // c) * aspect / c / 0.8)) + 4 * (-(-n // c) * c - n) / n, -c)
    )
    wall = Wall(images(net.sample(n=n, seed=seed), form), columns)
    width, height = wall_size(wall, columns, 0.8 if n > 16 else 1.1)
    figure = _style.figure(width + 0.2, height + 0.6, f"{_style.counted(n, 'image')} drawn from the prior")
    wall.show(figure.subplots(), limits(wall.picture, bounded(net)))
    return figure


def pairs(inputs: Array, outputs: Array, form: Shape, of: Shape, within: bool) -> Figure:
    """Inputs, each above its output; `within`: as for `limits`."""
    above, below = images(inputs, of), images(outputs, form)
    limit = limits(np.concatenate([above.ravel(), below.ravel()]), within)
    n = len(above)
    if above.shape[1:] != below.shape[1:]:
        raise errors.UsageError(f"inputs are images of {of}, outputs of {form}: they cannot be compared one above the other")
    columns = min(n, max(int(10 * form[1] / form[2] + 0.5), 3), 16)
    columns = -(-n // -(-n // columns))  # as many in all lines
    blocks = -(-n // columns)
    blank = np.full((blocks * columns - n, *above.shape[1:]), np.nan, np.float32)
    lines = [np.concatenate([part, blank]).reshape(blocks, 1, columns, *part.shape[1:]) for part in (above, below)]
    cells = np.concatenate(lines, axis=1).reshape(-1, *above.shape[1:])
    wall = Wall(cells, columns, down=range(2, 2 * blocks, 2))
    width, height = wall_size(wall, columns, 0.85)
    figure = _style.figure(width + 0.8, height + 0.6, "Inputs and their reconstructions")
    axis = figure.subplots()
    wall.show(axis, limit)
    axis.set_yticks(wall.rows, ["input", "output"] * blocks)
    return figure


def along(
    lines: list[Array], form: Shape, names: list[str], steps: list[str], title: str, label: str, within: bool
) -> Figure:  # fmt: skip
    """A line of images for each latent that moves."""
    cells = np.concatenate([images(line, form) for line in lines])
    wall = Wall(cells, len(lines[0]))
    width, height = wall_size(wall, len(lines[0]), 0.72)
    longest = max(len(part) for name in names for part in name.split("\n"))
    figure = _style.figure(width + max(1.2, 0.09 * longest), height + 0.9, title)
    axis = figure.subplots()
    wall.show(axis, limits(cells, within))
    axis.set_yticks(wall.rows, names)
    axis.set_xticks(wall.columns, steps)
    axis.set_xlabel(label)
    return figure


def way(
    ends: Array, between: Array, form: Shape, names: list[str], title: str, label: str, within: bool
) -> Figure:  # fmt: skip
    """Decoded images between two inputs."""
    given = images(ends, form)
    cells = np.concatenate([given[:1], images(between, form), given[1:]])
    wall = Wall(cells, len(cells), across=[1, len(cells) - 1])
    width, height = wall_size(wall, len(cells), 0.8, (11, 9))
    figure = _style.figure(width + 0.2, height + 0.9, title)
    axis = figure.subplots()
    wall.show(axis, limits(cells, within))
    axis.set_xticks(wall.columns, names)
    axis.set_xlabel(label)
    return figure
