"""Real rows beside synthetic ones: columns one by one, and how they go together."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .. import errors
from ..row_weights import as_often, counted_columns
from ..synthetic_report import ks_complement, tv_complement
from ..tables import Frame, Schema
from . import _rows, _style
from ._rows import Cells

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_PANELS = 20
MOST_BARS = 8
MOST_CORRELATED = 24
WRITTEN = 9  # columns up to which correlations are written into their cells
NEW = _style.ORANGE  # of synthetic rows; real ones are grey
Floats = npt.NDArray[np.float64]
Table = dict[str, Cells]


def _both(
    real: Any, synthetic: Any, columns: Sequence[str] | str | None, row_weight: str | None
) -> tuple[Table, Table, list[str], set[str], int]:
    """The two tables, the columns to compare, those of them that are words or few values, and how many real rows there are: with
    weights, those that count, which the table has as often as they do."""
    frame = real if isinstance(real, Frame) else Frame(real)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        kinds = {column.name: column.kind for column in Schema.learn(frame, row_weight=row_weight).columns}
    given, weights = counted_columns(frame, row_weight)
    a, b, n = _rows.cells_of(given), _rows.cells(synthetic), frame.rows
    if weights is not None:
        n, often = len(weights), as_often(weights)
        a = {name: column._replace(values=column.values[often]) for name, column in a.items()}
    if columns is None:
        names = [name for name in a if kinds.get(name) not in ("identifier", "constant")]
    else:
        names = [columns] if isinstance(columns, str) else [str(name) for name in columns]
    for name in names:
        for table, what in ((a, "real"), (b, "synthetic")):
            if name not in table:
                others = "" if columns is not None else "; -row-weight (row_weight=) names a column with how much each row counts"
                raise errors.UsageError(f"the {what} rows have no column '{name}': {', '.join(list(table)[:8])}{others}")
        if a[name].kind != b[name].kind:
            a[name], b[name] = _as_words(a[name]), _as_words(b[name])
    if not names:
        raise errors.FormatError("the real rows have no column to compare: all are identifiers or constants")
    for table, what in ((a, "real"), (b, "synthetic")):
        if not len(table[names[0]].values):
            raise errors.FormatError(f"there are no {what} rows")
    words = {
        name for name in names if a[name].kind == "text" or (kinds.get(name) in ("category", "yes_no", "label") and _few(a[name]))
    }
    return a, b, names, words, n


def _few(column: Cells) -> bool:
    return column.kind == "number" and len(np.unique(column.values[~column.missing])) <= 2 * MOST_BARS


def _as_words(column: Cells) -> Cells:
    if column.kind == "text":
        return column
    values = np.empty(len(column.values), object)
    values[:] = [None if gone else text for gone, text in zip(column.missing, column.texts(60), strict=True)]
    return Cells(column.name, "text", values)


def _alike(a: Cells, b: Cells, words: bool) -> float:
    """1: the same distribution; as report-synthetic's shapes."""
    x, y = a.values[~a.missing], b.values[~b.missing]
    if not len(x) or not len(y):
        return float(len(x) == len(y))
    return tv_complement(x, y) if words else ks_complement(x, y)


# ---- columns one by one ----


def _bars(axis: Any, a: Cells, b: Cells, letters: float) -> None:
    """How often each word is, of those that are most frequent; `letters` fit below the axis."""
    counts = [Counter(column.values[~column.missing].tolist()) for column in (a, b)]
    sizes = [max(sum(count.values()), 1) for count in counts]
    shares = {word: counts[0][word] / sizes[0] + counts[1][word] / sizes[1] for word in counts[0] | counts[1]}
    if a.kind == "text":
        shown = sorted(shares, key=lambda word: (-shares[word], str(word)))
        most = MOST_BARS
    else:
        shown, most = sorted(shares), 2 * MOST_BARS
    rest = shown[most - 1 :] if len(shown) > most else []
    shown = shown[: most - 1] if rest else shown
    names = [str(word) if a.kind == "text" else a._text(word, False, 12) for word in shown]
    heights = [[count[word] / size for word in shown] for count, size in zip(counts, sizes, strict=True)]
    if rest:
        names.append(f"{len(rest)} others")
        for height, count, size in zip(heights, counts, sizes, strict=True):
            height.append(sum(count[word] for word in rest) / size)
    at = np.arange(len(names))
    axis.bar(at - 0.2, heights[0], 0.4, color=_style.GREY, label="real")
    axis.bar(at + 0.2, heights[1], 0.4, color=NEW, label="synthetic")
    longest = max((len(name) for name in names), default=0)
    numbers = a.kind != "text" and not rest
    every = max(1, int(np.ceil((longest + 1) * len(names) / letters))) if numbers else 1
    at, names = at[::every], names[::every]
    turned = not numbers and min(longest, 13) * len(names) > letters
    axis.set_xticks(at, [_style.plain(name, 13) for name in names], rotation=60 if turned else 0, fontsize=8,
                    ha="right" if turned else "center", rotation_mode="anchor" if turned else "default")  # fmt: skip


def _edges(x: Floats, y: Floats) -> Floats:
    """Bins over what is common, of whole numbers around them; a few values far out are in the outermost bins."""
    both = np.concatenate([x, y])
    low, high = (float(v) for v in np.quantile(both, [0.002, 0.998]))
    if low == high:
        low, high = float(both.min()), float(both.max())
    if low == high:
        return np.array([low - 0.5, low + 0.5])
    whole = bool((both == np.rint(both)).all())
    if whole and high - low <= 40:
        return np.arange(low - 0.5, high + 1)
    found: Floats = np.linspace(low, high, int(np.clip(min(len(x), len(y)) ** 0.5, 10, 40)) + 1)
    return np.unique(np.rint(found)) if whole else found


def _histogram(axis: Any, a: Cells, b: Cells) -> None:
    x, y = (column.values[~column.missing].astype(float) for column in (a, b))
    x, y = x[np.isfinite(x)], y[np.isfinite(y)]
    if not len(x) or not len(y):
        axis.text(0.5, 0.5, "no values in\none of the tables", transform=axis.transAxes, ha="center", va="center", fontsize=9)
        axis.set(xticks=[], yticks=[])
        return
    edges = _edges(x, y)
    if a.kind == "time":
        x, y, edges = x / 86400, y / 86400, edges / 86400  # days, which matplotlib takes for dates
    for values, options in ((x, {"histtype": "stepfilled", "color": _style.GREY, "alpha": 0.55, "label": "real"}),
                            (y, {"histtype": "step", "color": NEW, "linewidth": 2, "label": "synthetic"})):  # fmt: skip
        inside = np.clip(values, edges[0], edges[-1])
        axis.hist(inside, bins=edges, weights=np.full(len(values), 1 / len(values)), **options)
    if a.kind == "time":
        from matplotlib import dates

        dated: Any = dates
        locator = dated.AutoDateLocator(minticks=2, maxticks=4)
        axis.xaxis.set_major_locator(locator)
        axis.xaxis.set_major_formatter(dated.ConciseDateFormatter(locator))
    else:
        axis.locator_params(axis="x", nbins=4)


@_style.picture
def marginals(
    real: Any, synthetic: Any, columns: Sequence[str] | str | None = None, row_weight: str | None = None
) -> Figure:  # fmt: skip
    """Each column of real and synthetic rows: histograms of numbers and dates, bars of words, as fractions of the rows that have
    a value. Tables are DataFrames, dicts of arrays, Arrow tables or paths of CSV files. columns: these; without them all that
    are no identifiers, and of more than 20 the least alike. The number over each is how alike the two are (1: equal), as
    `report-synthetic` computes it. row_weight: the column of the real rows that says how much each counts, as the training was
    told."""
    a, b, names, words, n = _both(real, synthetic, columns, row_weight)
    alike = {name: _alike(a[name], b[name], a[name].kind == "text") for name in names}
    shown = set(sorted(names, key=lambda name: alike[name])[:MOST_PANELS])
    said = _style.listed(len(shown), len(names), "columns", "the least alike")
    rows, across = _style.grid(len(shown), 4 if len(shown) > 4 else len(shown))
    weighted = f", weighted by {_style.plain(row_weight, 20)}," if row_weight else ""
    title = f"{n:,} real rows{weighted} and {len(b[names[0]].values):,} synthetic ones" + (f"\n{said}" if said else "")
    figure = _style.figure(max(2.7 * across + 0.3, 6.0), 2.35 * rows + 1.0, title)
    panels = figure.subplots(rows, across, squeeze=False)
    drawn = [name for name in names if name in shown]
    for k, axis in enumerate(panels.flat):
        if k >= len(drawn):
            axis.set_visible(False)
            continue
        name = drawn[k]
        if name in words:
            _bars(axis, a[name], b[name], 33 if len(shown) > 1 else 80)
        else:
            _histogram(axis, a[name], b[name])
        axis.set_title(f"{_style.plain(name, 22)}: {alike[name]:.2f}", fontsize=10)
        gaps = [float(table[name].missing.mean()) for table in (a, b)]
        if max(gaps) > 0:
            axis.set_xlabel(f"missing: real {gaps[0]:.1%}, synthetic {gaps[1]:.1%}", fontsize=8, color=_style.GREY)
        axis.tick_params(labelsize=8)
        axis.margins(y=0.12)
        if k % across == 0:
            axis.set_ylabel("fraction of rows", fontsize=9)
    _under(figure, [(_style.GREY, "real"), (NEW, "synthetic"), ("none", "number above: how alike, 1 is the same distribution")])
    return figure


def _under(figure: Any, legend: Sequence[tuple[str, str]]) -> None:
    """A legend of the whole figure, below its panels."""
    from matplotlib.patches import Patch

    height = 0.32 / figure.get_figheight()
    figure.get_layout_engine().set(rect=(0, height, 1, 1 - height))
    handles = [Patch(facecolor=colour, label=word) for colour, word in legend]
    figure.legend(handles=handles, loc="lower center", ncols=len(handles))


# ---- pairs of columns ----


def _codes(column: Cells) -> npt.NDArray[np.int64]:
    """A number for each word; -1: missing."""
    place: dict[Any, int] = {}
    gone = column.missing
    return np.array([-1 if m else place.setdefault(v, len(place)) for v, m in zip(column.values.tolist(), gone, strict=True)])


def _pearson(x: Floats, y: Floats) -> float:
    if len(x) < 2 or not np.ptp(x) or not np.ptp(y):
        return np.nan
    return float(np.corrcoef(x, y)[0, 1])


def _ratio(codes: npt.NDArray[np.int64], y: Floats) -> float:
    """The correlation ratio eta: the standard deviation of the means of the kinds by that of the number."""
    if len(y) < 2 or not np.ptp(y):
        return np.nan
    counts = np.bincount(codes)
    means = np.bincount(codes, y) / np.maximum(counts, 1)
    between = float((counts * (means - y.mean()) ** 2).sum())
    return float(np.sqrt(min(between / float(((y - y.mean()) ** 2).sum()), 1.0)))


def _cramer(a: npt.NDArray[np.int64], b: npt.NDArray[np.int64]) -> float:
    """Cramer's V: 0, independent, to 1."""
    rows, columns = (int(codes.max(initial=-1)) + 1 for codes in (a, b))
    table = np.bincount(a * columns + b, minlength=rows * columns).reshape(rows, columns).astype(float)
    table = table[table.sum(1) > 0][:, table.sum(0) > 0]
    if min(table.shape) < 2:
        return np.nan
    expected = table.sum(1, keepdims=True) * table.sum(0) / table.sum()
    chi = float(((table - expected) ** 2 / expected).sum())
    return float(np.sqrt(chi / (table.sum() * (min(table.shape) - 1))))


def associations(table: Table, names: Sequence[str]) -> Floats:
    """How columns go together, (columns, columns), each over the rows that have both: Pearson's r of two numbers or times, the
    correlation ratio of words and a number, Cramer's V of words; NaN where one is constant."""
    texts = [table[name].kind == "text" for name in names]
    values: list[Any] = [
        _codes(table[name]) if text else table[name].values.astype(float) for name, text in zip(names, texts, strict=True)
    ]
    known = [~table[name].missing for name in names]
    found = np.full((len(names), len(names)), np.nan)
    for i in range(len(names)):
        for j in range(i + 1):
            both = known[i] & known[j]
            x, y = values[i][both], values[j][both]
            if i == j:
                r = 1.0 if len(np.unique(x)) > 1 else np.nan
            elif texts[i] and texts[j]:
                r = _cramer(x, y)
            elif texts[i] or texts[j]:
                r = _ratio(x, y) if texts[i] else _ratio(y, x)
            else:
                r = _pearson(x, y)
            found[i, j] = found[j, i] = r
    return found


def _short(r: float) -> str:
    """Without the 0 before the point."""
    return f"{r:.2f}".replace("-", "\u2212").replace("0.", ".").replace("\u2212.00", ".00")


@_style.picture
def correlations(real: Any, synthetic: Any, row_weight: str | None = None) -> Figure:
    """How the columns of real and of synthetic rows go together, side by side, and the difference: Pearson's r of numbers and
    dates, the correlation ratio (0 to 1) of words and a number, Cramer's V (0 to 1) of words. Tables as for `marginals`; of more
    than 24 columns those with the largest differences."""
    a, b, names, _, _ = _both(real, synthetic, None, row_weight)
    if len(names) < 2:
        raise errors.FormatError(f"correlations take two columns at least; '{names[0]}' is the only one")
    x, y = associations(a, names), associations(b, names)
    total = len(names)
    if total > MOST_CORRELATED:
        worst = np.nanmax(np.nan_to_num(np.abs(x - y)), axis=1)
        chosen = sorted(np.argsort(-worst, kind="stable")[:MOST_CORRELATED])
        names, x, y = [names[i] for i in chosen], x[np.ix_(chosen, chosen)], y[np.ix_(chosen, chosen)]
    n = len(names)
    apart = y - x
    off = np.abs(apart[~np.eye(n, dtype=bool)])
    mean = float(np.nanmean(off)) if np.isfinite(off).any() else np.nan
    said = _style.listed(n, total, "columns", "those with the largest differences")
    title = f"Correlations of real and synthetic rows: they differ by {_style.number(round(mean, 3))} on average"
    side = float(np.clip(0.33 * n, 2.4, 3.7))
    figure = _style.figure(3 * side + 2.6, side + 1.9, title + (f"\n{said}" if said else ""))
    panels = figure.subplots(1, 3, sharey=True)
    words = [_style.plain(name, 20) for name in names]
    largest = float(np.nanmax(off, initial=0.0)) if np.isfinite(off).any() else 0.0
    reach = max(0.2, float(np.ceil(largest * 10) / 10))
    for axis, values, heading, limit in zip(
        panels, (x, y, apart), ("real", "synthetic", "synthetic \u2212 real"), (1, 1, reach), strict=True
    ):
        from matplotlib import colormaps

        drawn = axis.imshow(values, cmap=colormaps["RdBu_r"].with_extremes(bad=_style.FAINT), vmin=-limit, vmax=limit)
        axis.set_title(heading, loc="center")
        axis.set_xticks(range(n), words, rotation=90, fontsize=9 if n <= 16 else 8)
        axis.set_yticks(range(n), words, fontsize=9 if n <= 16 else 8)
        _style.bare(axis)
        if n <= WRITTEN:
            for i in range(n):
                for j in range(n):
                    if np.isfinite(values[i, j]):
                        strong = abs(values[i, j]) > 0.6 * limit
                        axis.text(j, i, _short(values[i, j]), ha="center", va="center", fontsize=8,
                                  color="white" if strong else _style.INK)  # fmt: skip
        if heading != "real":
            bar = figure.colorbar(drawn, ax=axis, shrink=0.8, aspect=24, pad=0.02)
            bar.outline.set_visible(False)
            bar.ax.tick_params(labelsize=9)
    return figure


__all__ = ["associations", "correlations", "marginals"]
