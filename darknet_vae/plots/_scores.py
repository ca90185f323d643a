"""How unusual rows are, and the most unusual ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .. import errors
from .._lib import Array, whole
from . import _images, _rows, _sheet, _style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..network import Network

Floats = npt.NDArray[np.float64]
REASONS = 3  # columns that are named for a row
RARE = 30  # times as many rows in the fullest bin as in the emptiest one from which the axis is logarithmic


def _histogram(axis: Any, scores: Floats, worst: Floats, left_out: int, unit: str | None) -> None:
    from matplotlib.lines import Line2D

    low, high = float(scores.min()), float(scores.max())
    bins: Any = int(np.clip(len(scores) ** 0.5 * 1.5, 8, 60))
    across = low > 0 and high / max(float(np.median(scores)), 1e-300) > 20
    if across:
        bins = np.geomspace(low, high, bins + 1)
        _style.logarithmic(axis, "x", low, high)
    counts, _, _ = axis.hist(scores, bins=bins, color=_style.BLUE)
    filled = counts[counts > 0]
    if filled.max() / filled.min() > RARE:
        _style.logarithmic(axis, "y", 0.7, float(filled.max()))
        axis.set_ylim(0.7, filled.max() * 2)
    mark: dict[str, Any] = {"linestyle": "", "color": _style.ORANGE, "markeredgewidth": 2}
    axis.plot(worst, np.zeros(len(worst)), marker=2, markersize=11, transform=axis.get_xaxis_transform(), zorder=4, **mark)
    # the marks stand on the axis; in the legend one is level with its text
    handles = [Line2D([], [], marker="|", markersize=9, label=f"the {len(worst)} highest", **mark)]
    if len(scores) >= 100:
        high = float(np.quantile(scores, 0.99))
        word = f"99 % of rows below {_style.number(high)}"
        handles.append(axis.axvline(high, color=_style.INK, linestyle="--", linewidth=1.2, label=word))
    axis.legend(handles=handles, loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=2, fontsize=9, handlelength=1.2,
                columnspacing=1.2)  # fmt: skip
    none = f"; {_style.counted(left_out, 'row has', 'rows have')} none" if left_out else ""
    axis.set_xlabel(f"score{f' ({_style.plain(unit)})' if unit else ''}, higher for unusual rows{none}")
    axis.set_ylabel("rows")


def _reasons(net: Network, x: Array, table: _rows.Rows, at: npt.NDArray[np.intp]) -> tuple[list[list[str]], Floats]:
    """For each row the columns that contribute most, as texts, and their part of the row's largest contribution."""
    _, parts = net.score_rows(x[at], contributions=True)
    names = net.columns if len(net.columns) == parts.shape[1] else [f"x{i}" for i in range(parts.shape[1])]
    k = min(REASONS, parts.shape[1])
    order = np.argsort(-np.nan_to_num(parts, nan=-np.inf), axis=1, kind="stable")[:, :k]
    texts = []
    for r, row in enumerate(at):
        line = []
        for c in order[r]:
            cells = None if table.cells is None else table.cells[names[c]]
            value = _style.number(float(x[row, c])) if cells is None else cells._replace(values=cells.values[[row]]).texts(16)[0]
            line.append(f"{_style.plain(names[c], 20)}\n{value}  ({parts[r, c]:+.2f})")
        texts.append(line)
    chosen = np.take_along_axis(parts, order, axis=1).astype(float)
    return texts, np.clip(chosen / max(float(np.nanmax(chosen, initial=0.0)), 1e-12), 0, 1)


def _unit(net: Network, x: Array) -> str | None:
    """Scores are in nats where all losses are likelihoods."""
    return "nats" if net.variational and net.evaluate(x[:1])["elbo"] is not None else None


def _names(rows: Sequence[Any] | None, n: int) -> list[str]:
    if rows is None:
        return [f"row {i}" for i in range(n)]
    found = [_style.plain(name, 18) for name in rows]
    if len(found) != n:
        raise errors.UsageError(f"{n} scores, but {len(found)} names of rows")
    return found


@_style.picture
def scores(
    scores: npt.ArrayLike, *, rows: Sequence[Any] | None = None, net: Network | None = None, X: Any = None, top: int = 10,
    unit: str | None = None,
) -> Figure:  # fmt: skip
    """A histogram of scores, as `net.score_rows(X)` gives them (in nats where the losses are likelihoods), and beside it the
    `top` rows with the highest. With the network and its rows X: images with their outputs, of other rows the columns that
    contribute most, with their values and contributions; without them the rows' names. rows: their names, else "row 0", ...
    unit: of scores without a network, "nats". Scores that are NaN are left out."""
    values = np.asarray(scores, float).ravel()
    top = whole("top", top, 1, 100)
    names = _names(rows, len(values))
    known = np.flatnonzero(np.isfinite(values))
    if not len(known):
        raise errors.UsageError("there are no scores to draw")
    at = known[np.argsort(-values[known], kind="stable")[:top]]
    if (net is None) != (X is None):
        raise errors.UsageError("scores: net and X belong together: give both, or none")
    title = f"Scores of {_style.counted(len(known), 'row')}, and the {len(at)} most unusual"
    words = [names[i] for i in at]
    if net is None:
        texts = [[_style.number(values[i])] for i in at]
        return _beside(title, values[known], values[at], len(values) - len(known), words, ["score"], texts, None, unit)
    table = _rows.rows(net, X)
    if len(table.x) != len(values):
        raise errors.UsageError(f"{len(values)} scores, but X has {len(table.x)} rows")
    form = _images.form_of(net, None)
    if form is not None and net.latent_size and table.x.shape[1] == int(np.prod(form)):
        return _with_images(title, values, known, at, words, net, table.x, form)
    unit = unit or _unit(net, table.x)
    reasons, parts = _reasons(net, table.x, table, at)
    texts = [[_style.number(values[i]), *line] for i, line in zip(at, reasons, strict=True)]
    header = ["score", *("contributes most", "second", "third")[: len(reasons[0])]]
    return _beside(title, values[known], values[at], len(values) - len(known), words, header, texts, parts, unit)


def _beside(
    title: str, values: Floats, worst: Floats, left_out: int, side: list[str], header: list[str], texts: list[list[str]],
    parts: Floats | None, unit: str | None,
) -> Figure:  # fmt: skip
    """The histogram and a sheet."""
    colours: list[list[Any]] = [[None] * len(header) for _ in texts]
    for r, line in enumerate(parts if parts is not None else []):
        for c, part in enumerate(line):
            colours[r][c + 1] = tuple(_style.light((0.835, 0.369, 0.0), 0.08 + 0.5 * float(part)))
    width, height = _sheet.size(side, header, texts)
    figure = _style.figure(4.6 + width, max(3.8, height + 0.7), title)
    axis, sheet = figure.subplots(1, 2, width_ratios=[4.2, width])
    _histogram(axis, values, worst, left_out, unit)
    _sheet.draw(sheet, side, header, texts, colours)
    return figure


def _with_images(
    title: str, values: Floats, known: npt.NDArray[np.intp], at: npt.NDArray[np.intp], names: list[str], net: Network, x: Array,
    form: _images.Shape,
) -> Figure:  # fmt: skip
    """The histogram, and inputs above their outputs."""
    above, below = _images.images(x[at], form), _images.images(_rows.reconstruct(net, x[at]), form)
    columns = min(len(at), 5)
    lines = -(-len(at) // columns)
    aspect = form[1] / form[2]
    cell = min(0.9, 4.6 / (2 * lines * aspect + 0.5 * lines))
    figure = _style.figure(4.6 + columns * (cell + 0.12) + 0.5, max(3.6, lines * (2 * cell * aspect + 0.5) + 0.7), title)
    halves: Any = figure.subfigures(1, 2, width_ratios=[4.5, columns * (cell + 0.12) + 0.5])
    left, right = halves
    _histogram(left.subplots(), values[known], values[at], len(values) - len(known), _unit(net, x))
    limit = _images.limits(np.concatenate([above.ravel(), below.ravel()]), _images.bounded(net))
    for k, axis in enumerate(right.subplots(lines, columns, squeeze=False).flat):
        if k >= len(at):
            axis.set_visible(False)
            continue
        wall = _images.Wall(np.stack([above[k], below[k]]), 1)
        wall.show(axis, limit)
        axis.set_title(f"{names[k]}\n{_style.number(values[at[k]])}", fontsize=9, loc="center")
        if k % columns == 0:
            axis.set_yticks(wall.rows, ["input", "output"], rotation=90, va="center", fontsize=9)
    return figure
