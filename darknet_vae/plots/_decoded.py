"""What a network decodes beside its rows: reconstructions, traversals of latents, ways between rows. Images, rows of a table and
plain numbers each are drawn in their own way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .. import errors
from .._lib import Array, real, whole
from . import _images, _rows, _style, _tables
from ._images import Shape

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..network import Network

MOST_LINES = 10  # latents that move in one picture of images
LOOK = 2000  # rows that the use of latents is found from


def _input_form(net: Network, shape: Shape | None, columns: int) -> Shape | None:
    """The shape of a network's inputs as images."""
    for form in (shape, net.input_shape, net.output_shape):
        if form is not None and int(np.prod(form)) == columns:
            return form
    return None


@_style.picture
def reconstructions(
    net: Network, X: Any, n: int = 10, shape: Shape | None = None, names: Sequence[str] | None = None
) -> Figure:  # fmt: skip
    """The first n rows of X and what the network makes of them. Images: inputs above outputs. Tables (at most 12 rows): the
    original cells above the reconstructed ones, differing ones marked, of many columns those that differ most. Other numbers:
    both over the columns, which `names` may name."""
    n = whole("n", n, 1, 10_000)
    rows = _rows.rows(net, X)
    _rows.some(rows.x)
    form = _images.form_of(net, shape)
    if form is None and rows.cells is not None:
        return _tables.reconstructions(net, rows, n)
    x = rows.x[:n]
    made = _rows.reconstruct(net, x)
    if form is not None:
        of = _input_form(net, shape, x.shape[1])
        if of is None:
            raise errors.UsageError(f"{net.cfg}: outputs are images, inputs of {x.shape[1]} values are not")
        return _images.pairs(x, made, form, of, _images.bounded(net))
    if made.shape[1] != x.shape[1]:
        raise errors.UsageError(
            f"{net.cfg}: rows of {x.shape[1]} values give {made.shape[1]}, which cannot be compared with them"
        )
    return _tables.pairs(x[:12], made[:12], _rows.names(net, names, x.shape[1]))


def _use(net: Network, x: Array | None) -> npt.NDArray[np.float64] | None:
    """KL to N(0, 1) by latent dimension, where there are rows to find it from."""
    if x is None or not net.variational:
        return None
    found = net.evaluate(x[:LOOK], latent=True).get("latent_kl")
    return None if found is None or not len(found) else np.asarray(found, float)


def _chosen(net: Network, dims: Sequence[int] | int | None) -> list[int]:
    size = net.latent_size
    if dims is None:
        return list(range(size))
    given = [dims] if isinstance(dims, int | np.integer) else list(dims)
    if not given:
        raise errors.UsageError("dims is empty")
    return [whole("dims", dim, 0, size - 1) for dim in given]


@_style.picture
def traversals(
    net: Network, X: Any = None, row: int = 0, dims: Sequence[int] | int | None = None, steps: int = 9, span: float = 3.0,
    shape: Shape | None = None,
) -> Figure:  # fmt: skip
    """What each latent does: it goes from -span to span, added to the latent mean of a row of X or, without X, to 0. `dims`, from
    0 on, are drawn in their order; without them all, sorted by KL if there is an X, else by how much they change what is
    decoded, and of many the first ones. An autoencoder's span is in standard deviations of its codes over X."""
    net._need_latent()
    from ..reporting.model import describe

    steps, span = whole("steps", steps, 2, 100), real("span", span)
    if not 0 < span < np.inf:
        raise errors.UsageError(f"span={span} is not above 0")
    form = _images.form_of(net, shape)
    x = None if X is None else _rows.rows(net, X).x
    centre = np.zeros((1, net.latent_size), np.float32)
    if x is not None:
        _rows.some(x)
        centre = net.encode(_rows.row(x, row))[0]
    unit = _rows.reach(net, x)
    at = np.linspace(-span, span, steps)
    chosen = _chosen(net, dims)
    kl = _use(net, x)
    if dims is None and kl is not None:
        chosen.sort(key=lambda d: -kl[d])
    elif dims is None and len(chosen) > 1:
        ends = _decoded(net, centre, chosen, np.array([-span, span]), unit)
        change = {d: float(np.abs(line[0].astype(float) - line[1]).mean()) for d, line in zip(chosen, ends, strict=True)}
        chosen.sort(key=lambda d: -change[d])
    most = _tables.MOST_LATENTS if form is None else MOST_LINES if dims is None else 64
    shown = chosen[:most]
    lines = _decoded(net, centre, shown, at, unit)
    which = "those with the largest KL" if kl is not None else "those that change most"
    said = _style.listed(len(shown), len(chosen), "latents", which if dims is None else "the first ones")
    where = "around 0, the middle of the prior" if x is None else f"around row {row}"
    title = f"What each latent changes, {where}" + (f"\n{said}" if said else "")
    measure = "KL to N(0, 1):" if describe(net).learned_prior else "KL"  # of a normal prior the one is the other
    names = [f"latent {d + 1}" + (f"\n{measure} {kl[d]:.2f} nats" if kl is not None else "") for d in shown]
    words = [f"{v:+.3g}" if abs(v) > 1e-9 else "0" for v in at]
    label = "added to the latent" if x is not None else "value of the latent"
    if not net.variational and x is not None:
        label += " (in standard deviations of the codes)"
    if form is not None:
        return _images.along(lines, form, names, words, title, label, _images.bounded(net))
    if net.schema is not None:
        return _tables.traversals(net, lines, names, words, title, label)
    return _tables.lines(lines, names, _rows.names(net, None, lines[0].shape[1]), at.tolist(), title, label)


def _decoded(
    net: Network, centre: Array, dims: list[int], at: npt.NDArray[np.float64], unit: npt.NDArray[np.float64]
) -> list[Array]:  # fmt: skip
    """For each latent of `dims`, what is decoded while it moves."""
    z = np.repeat(centre, len(dims) * len(at), axis=0)
    for k, d in enumerate(dims):
        z[k * len(at) : (k + 1) * len(at), d] += (at * unit[d]).astype(np.float32)
    return list(_rows.decode(net, z).reshape(len(dims), len(at), -1))


@_style.picture
def interpolation(
    net: Network, X: Any, rows: tuple[int, int] = (0, 1), steps: int = 9, shape: Shape | None = None
) -> Figure:  # fmt: skip
    """Two rows of X, and between them what is decoded on the straight way between their latent means."""
    net._need_latent()
    steps = whole("steps", steps, 2, 40)
    if len(rows) != 2:
        raise errors.UsageError(f"rows={rows!r}: wanted are the numbers of two rows")
    given = _rows.rows(net, X)
    _rows.some(given.x)
    ends = np.concatenate([_rows.row(given.x, index, "rows") for index in rows])
    a, b = net.encode(ends)[0]
    part = np.linspace(0, 1, steps, dtype=np.float32)[:, None]
    between = _rows.decode(net, (1 - part) * a + part * b)
    names = [f"row {rows[0]}", *(f"{p:.0%}" for p in part[:, 0]), f"row {rows[1]}"]
    title = f"From row {rows[0]} to row {rows[1]} through the latent space"
    label = "decoded on the way between the two rows' latents"
    form = _images.form_of(net, shape)
    if form is not None:
        if _input_form(net, shape, ends.shape[1]) is None or ends.shape[1] != between.shape[1]:
            raise errors.UsageError(f"{net.cfg}: inputs of {ends.shape[1]} values are no images of {form}")
        return _images.way(ends, between, form, names, title, label, _images.bounded(net))
    if given.cells is not None:
        return _tables.way(net, given, rows, between, names, title, label)
    same = ends if ends.shape[1] == between.shape[1] else None
    columns = _rows.names(net, None, between.shape[1])
    return _tables.lines([between], [""], columns, (part[:, 0] * 100).tolist(), title, "way in %", ends=same)
