"""Pictures of rows with columns: of tables that a network knows, and of plain numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .._lib import Array
from . import _rows, _sheet, _style
from ._rows import Cells

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..network import Network
    from ..tables import Schema

MOST_ROWS = 12  # of a table that are shown
MOST_LATENTS = 6  # that move in one picture
MOST_MAPS = 12
SMALL, LARGE = 0.1, 0.5  # differences that are marked, in standard deviations
MARKED = ("#FBE3D0", "#F2A978")  # for them
NAMED = 30  # columns of numbers that are named one by one; more are a line
Floats = npt.NDArray[np.float64]


# ---- tables ----


def _columns(schema: Schema, x: Array) -> list[Cells]:
    """Coded rows as the cells of a table, in the order of the coded matrix."""
    found = _rows.cells(schema.decode(x))
    return [found[name] for name in schema.coded]


def _grid(columns: Sequence[Sequence[str]]) -> list[list[str]]:
    """Columns of texts as rows."""
    return [list(row) for row in zip(*columns, strict=True)]


def reconstructions(net: Network, rows: _rows.Rows, n: int) -> Figure:
    """Rows of a table, each above what the network makes of it."""
    schema = net.schema
    assert schema is not None and rows.cells is not None
    n = min(n, len(rows.x), MOST_ROWS)
    x = rows.x[:n]
    made = _rows.reconstruct(net, x)
    apart = _rows.differences(schema, x, made)
    given = [rows.cells[name] for name in schema.coded]
    back = _columns(schema, made)
    gaps = np.stack([column.missing[:n] for column in given], axis=1)
    texts = [column._replace(values=column.values[:n]).texts(16) for column in given]
    outputs = [
        (column._replace(decimals=own.decimals, form=own.form) if own.kind == column.kind else column).texts(16)
        for own, column in zip(given, back, strict=True)
    ]
    order = np.argsort(-apart.mean(axis=0), kind="stable")
    headers = [_sheet.broken(name) for name in schema.coded]
    lines = _grid([[t for pair in zip(a, b, strict=True) for t in pair] for a, b in zip(texts, outputs, strict=True)])
    ordered = [[line[c] for c in order] for line in lines]
    count = _sheet.fitting([headers[c] for c in order], ordered, _sheet.WIDEST - 1.2)
    shown = sorted(order[:count])  # in the table's order
    cells = [[line[c] for c in shown] for line in lines]
    colours: list[list[Any]] = []
    for r in range(n):
        colours.append(["#F4F4F4"] * len(shown))
        colours.append([None if gaps[r, c] else _mark(apart[r, c]) for c in shown])
    side = [word for r in range(n) for word in (f"row {r}", "reconstructed")]
    said = _style.listed(len(shown), len(headers), "columns", "those that differ most")
    return _sheet.figure(
        "Rows and their reconstructions" + (f"\n{said}" if said else ""), side, [headers[c] for c in shown], cells, colours,
        groups=range(2, 2 * n, 2),
        legend=[(MARKED[0], f"off by more than {SMALL} standard deviations"),
                (MARKED[1], f"by more than {LARGE}, or another word")],
    )  # fmt: skip


def _mark(apart: float) -> Any:
    return MARKED[1] if apart > LARGE else MARKED[0] if apart > SMALL else None


def _moves(schema: Schema, x: Array) -> Floats:
    """How much each column moves over coded rows: the range of numbers, in standard deviations; 1 for another word."""
    words = np.array([column.kind in ("category", "yes_no") for column in _rows.coded(schema)])
    span = np.ptp(x.astype(float), axis=0)
    found: Floats = np.where(words, np.minimum(span, 1.0), span)
    return found


def _shades(schema: Schema, x: Array, columns: Sequence[int]) -> list[list[Any]]:
    """A colour for each coded cell: numbers from low to high, words by kind. (columns, rows)"""
    from matplotlib import colormaps

    viridis = colormaps["viridis"]
    found = []
    for c, column in enumerate(_rows.coded(schema)):
        if c not in columns:
            continue
        values = x[:, c].astype(float)
        if column.kind in ("category", "yes_no"):
            codes = [int(v) for v in np.rint(values)]
            found.append([_style.light(_rgb(_style.COLOURS[code % len(_style.COLOURS)]), 0.3) for code in codes])
        else:  # coded numbers are about N(0, 1)
            found.append([_style.light(viridis(float(np.clip((v + 2.5) / 5, 0, 1))), 0.45) for v in values])
    return found


def _rgb(colour: str) -> Floats:
    from matplotlib.colors import to_rgb

    return np.array(to_rgb(colour))


def _key() -> list[tuple[Any, str]]:
    """What the shades mean."""
    from matplotlib import colormaps

    low, high = (_style.light(colormaps["viridis"](end), 0.45) for end in (0.0, 1.0))
    return [(low, "low number"), (high, "high number"), ("none", "words: a colour for each")]


def traversals(net: Network, lines: list[Array], names: list[str], steps: list[str], title: str, label: str) -> Figure:
    """For each latent that moves, the columns that it moves most, as decoded cells."""
    schema = net.schema
    assert schema is not None
    lines, names = lines[:MOST_LATENTS], names[:MOST_LATENTS]
    most = max(2, 24 // len(lines))
    side: list[str] = []
    texts: list[list[str]] = []
    colours: list[list[Any]] = []
    groups = []
    for line, name in zip(lines, names, strict=True):
        moves = _moves(schema, line)
        count = max(1, min(most, int((moves > SMALL).sum())))
        shown = sorted(np.argsort(-moves, kind="stable")[:count])
        cells = _columns(schema, line)
        groups.append(len(texts))
        words = [_style.plain(schema.coded[c], 24) for c in shown]
        heads = name.replace("\n", ", ")
        side += [f"{heads}    {words[0]}", *words[1:]]
        texts += [cells[c].texts(10) for c in shown]
        colours += _shades(schema, line, shown)
    return _sheet.figure(title, side, steps, texts, colours, groups=groups[1:], label=label, legend=_key())


def way(
    net: Network, rows: _rows.Rows, ends: tuple[int, int], between: Array, names: list[str], title: str, label: str
) -> Figure:
    """The columns of decoded rows between two rows of a table."""
    schema = net.schema
    assert schema is not None and rows.cells is not None
    both = np.concatenate([_rows.row(rows.x, end) for end in ends])
    coded = np.concatenate([both[:1], between, both[1:]])
    moves = _moves(schema, np.nan_to_num(coded))
    count = min(len(moves), 20)
    shown = sorted(np.argsort(-moves, kind="stable")[:count])
    decoded = _columns(schema, between)
    side = [_style.plain(schema.coded[c], 24) for c in shown]
    for most in (14, 11, 9, 7):  # letters of a word, until the sheet is narrow enough
        texts = []
        for c in shown:
            column = rows.cells[schema.coded[c]]
            first, last = (column._replace(values=column.values[[end]]).texts(most)[0] for end in ends)
            own = (
                decoded[c]._replace(decimals=column.decimals, form=column.form) if decoded[c].kind == column.kind else decoded[c]
            )
            texts.append([first, *own.texts(most), last])
        if _sheet.size(side, names, texts)[0] <= _sheet.WIDEST:
            break
    colours = _shades(schema, np.nan_to_num(coded), shown)
    said = _style.listed(count, len(moves), "columns", "those that change most")
    return _sheet.figure(title + (f"\n{said}" if said else ""), side, names, texts, colours, label=label, legend=_key())


# ---- plain numbers ----


def _ticks(axis: Any, names: list[str]) -> None:
    if len(names) > NAMED:
        axis.set_xlabel("column")
        return
    longest = max(len(name) for name in names)
    turned = longest * len(names) > 40
    axis.set_xticks(range(len(names)), [_style.plain(name, 22) for name in names], rotation=90 if turned else 0, fontsize=9)


def pairs(inputs: Array, outputs: Array, names: list[str]) -> Figure:
    """Rows of numbers over their columns, with their outputs."""
    n = len(inputs)
    rows, columns = _style.grid(n, 3 if inputs.shape[1] > 8 else 4)
    room = 0.9 if inputs.shape[1] <= NAMED else 0.3
    figure = _style.figure(min(3.4 * columns + 0.6, 10.5), 1.6 * rows + 0.8 + room, "Rows and their reconstructions")
    panels = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    at = np.arange(inputs.shape[1])
    few = inputs.shape[1] <= NAMED
    for k, axis in enumerate(panels.flat):
        if k >= n:
            axis.set_visible(False)
            continue
        axis.plot(at, inputs[k], "o" if few else "-", color=_style.INK, markersize=5, linewidth=1.2, label="input")
        axis.plot(at, outputs[k], "x" if few else "-", color=_style.ORANGE, markersize=6, linewidth=1.2, label="output")
        if few:
            axis.vlines(at, inputs[k], outputs[k], color=_style.ORANGE, linewidth=1)
            axis.grid(True, axis="x")
        axis.set_title(f"row {k}")
        if k + columns >= n:
            axis.tick_params(labelbottom=True)
            _ticks(axis, names)
        if k % columns == 0:
            axis.set_ylabel("value")
    panels[0, 0].legend(loc="upper left", bbox_to_anchor=(0.2, 1.22), ncols=2, handletextpad=0.3, columnspacing=1)
    return figure


def lines(groups: list[Array], titles: list[str], names: list[str], steps: Sequence[float], title: str, label: str,
          ends: Array | None = None) -> Figure:  # fmt: skip
    """Decoded rows of numbers over their columns, a panel for each group, coloured by step; `ends`: two inputs, dotted."""
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    rows, columns = _style.grid(len(groups), 3)
    room = 1.0 if len(names) <= NAMED else 0.4
    figure = _style.figure(6.8 if columns == 1 else min(3.5 * columns + 0.6, 10.5), 2.0 * rows + 0.9 + room, title)
    panels = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    scale = Normalize(min(steps), max(steps))
    at = np.arange(len(names))
    for k, axis in enumerate(panels.flat):
        if k >= len(groups):
            axis.set_visible(False)
            continue
        for step, values in zip(steps, groups[k], strict=True):
            axis.plot(at, values, color=colormaps["viridis"](scale(step)), linewidth=1.4)
        for end, word, style in zip(() if ends is None else ends, ("first row", "second row"), (":", "--"), strict=False):
            axis.plot(at, end, style, color=_style.INK, linewidth=1.4, label=word)
        if ends is not None:
            axis.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
        axis.set_title(titles[k].replace("\n", ", "))
        if k + columns >= len(groups):
            axis.tick_params(labelbottom=True)
            _ticks(axis, names)
        if k % columns == 0:
            axis.set_ylabel("value")
    figure.colorbar(ScalarMappable(scale, "viridis"), ax=panels, label=label, pad=0.02, aspect=30)
    return figure


# ---- maps over two latents ----


def maps(net: Network, z: Array, n: int, half: float, dims: tuple[int, int], rest: str) -> Figure:
    """Decoded columns over the square of two latents."""
    from matplotlib.colors import ListedColormap

    schema = net.schema
    decoded = _rows.decode(net, z)
    if schema is None:
        names, columns = _rows.names(net, None, decoded.shape[1]), None
        spread = decoded.std(axis=0)
        moves = spread / (spread.max() or 1)
    else:
        names, columns = schema.coded, _columns(schema, decoded)
        moves = _moves(schema, decoded)
    discrete = [] if schema is None else [c.kind in ("category", "yes_no") for c in _rows.coded(schema)]
    shown = sorted(np.argsort(-moves, kind="stable")[:MOST_MAPS])
    said = _style.listed(len(shown), len(names), "columns", "those that change most")
    rows, across = _style.grid(len(shown))
    title = f"Decoded columns over two latents{rest}" + (f"\n{said}" if said else "")
    figure = _style.figure(max(2.6 * across + 0.4, 5.5), 2.3 * rows + 0.9, title)
    panels = figure.subplots(rows, across, squeeze=False, sharex=True, sharey=True)
    for k, axis in enumerate(panels.flat):
        if k >= len(shown):
            axis.set_visible(False)
            continue
        c = shown[k]
        column = None if columns is None else columns[c]
        where = {"extent": (-half, half, -half, half), "interpolation": "nearest", "aspect": "auto"}
        if column is not None and discrete[c]:
            words = sorted(set(column.texts(14)))
            place = {word: i for i, word in enumerate(words)}
            codes = np.array([place[word] for word in column.texts(14)]).reshape(n, n)
            colours = [_style.light(_rgb(_style.COLOURS[i % len(_style.COLOURS)]), 0.75) for i in range(len(words))]
            drawn = axis.imshow(codes, cmap=ListedColormap(colours), vmin=-0.5, vmax=len(words) - 0.5, **where)
            bar = figure.colorbar(drawn, ax=axis, ticks=range(len(words)), aspect=14)
            bar.ax.set_yticklabels(words, fontsize=8)
        else:
            values = decoded[:, c] if column is None else column.values
            drawn = axis.imshow(np.asarray(values, float).reshape(n, n), cmap="viridis", **where)
            bar = figure.colorbar(drawn, ax=axis, aspect=14)
            bar.ax.tick_params(labelsize=8)
            if column is not None and column.kind == "time":
                ticks = [t for t in bar.get_ticks() if drawn.norm.vmin <= t <= drawn.norm.vmax]
                bar.set_ticks(ticks, labels=column._replace(values=np.array(ticks), form=0).texts())
        bar.outline.set_visible(False)
        axis.set_title(_style.plain(names[c], 22), fontsize=10)
        if k + across >= len(shown):
            axis.tick_params(labelbottom=True)
            axis.set_xlabel(f"latent {dims[0] + 1}")
        if k % across == 0:
            axis.set_ylabel(f"latent {dims[1] + 1}")
    return figure
