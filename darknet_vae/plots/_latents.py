"""Pictures of the latent space."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .. import errors
from . import _style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..network import Network

METHODS = ("auto", "pca", "pairs", "umap")
MOST_KINDS = 20  # that have a colour and a marker of their own
MOST_PAIRS = 5  # latents in a matrix of pairs
MANY = 2000  # points that vector formats have as an image
ACTIVE = 0.01
"""The variance of the posterior mean over the rows above which a latent dimension counts as active (Burda et al.,
arXiv:1509.00519)."""

Floats = npt.NDArray[np.float64]


class _Colouring(NamedTuple):
    """What the colour of a point means: a number, or one of several kinds with the numbers of their rows."""

    numbers: Floats | None
    kinds: list[tuple[str, npt.NDArray[np.intp]]]
    missing: npt.NDArray[np.intp]
    others: str = ""
    """What the last kind, if it is not one, is called."""
    dates: bool = False
    """The numbers are days since 1970."""


def _natural(tag: str) -> tuple[int, float, list[tuple[str, float]]]:
    """Numbers by value, then words, with the numbers in them by value: a2 before a10."""
    try:
        return (0, float(tag), [])
    except ValueError:
        return (1, 0.0, [(word, float(digits or 0)) for word, digits in re.findall(r"(\D*)(\d*)", tag)])


def _as_numbers(tags: list[str | None]) -> Floats | None:
    try:
        return np.array([np.nan if tag is None else float(tag) for tag in tags])
    except ValueError:
        return None


def _vector(labels: Any) -> npt.NDArray[Any]:
    """Dates as they are, other labels as objects."""
    given = np.asarray(labels).ravel()
    return given if given.dtype.kind == "M" else np.asarray(labels, dtype=object).ravel()


def _tags(labels: Any, n: int) -> list[str | None]:
    """Labels as texts, None where one is missing."""
    values = _vector(labels).tolist()
    if len(values) != n:
        raise errors.UsageError(f"{n} rows, but {len(values)} labels")
    found: list[str | None] = []
    for value in values:
        gone = value is None or value == "" or type(value).__name__ in ("NAType", "NaTType") or bool(value != value)
        word = None if gone else str(int(value)) if isinstance(value, float) and value == int(value) else str(value)
        found.append(None if word is None or word.lower() == "nan" else word)
    return found


def _colouring(labels: Any, n: int) -> _Colouring:
    dated = np.asarray(labels)
    if dated.dtype.kind == "M" and dated.size == n and not np.isnat(dated).all():
        days = dated.ravel().astype("M8[us]").astype(float) / 86_400e6
        gone = np.isnat(dated.ravel())
        return _Colouring(np.where(gone, np.nan, days), [], np.flatnonzero(gone), dates=True)
    tags = _tags(labels, n)
    missing = np.array([i for i, tag in enumerate(tags) if tag is None], np.intp)
    counts = Counter(tag for tag in tags if tag is not None)
    if len(counts) > MOST_KINDS:
        values = _as_numbers(tags)
        if values is not None and np.isfinite(values).any():
            return _Colouring(values, [], np.flatnonzero(~np.isfinite(values)))
    shown = sorted(counts, key=_natural)
    others = ""
    if len(shown) > MOST_KINDS:
        kept = {tag for tag, _ in counts.most_common(MOST_KINDS - 1)}
        others = f"{len(shown) - len(kept)} others"
        shown = [tag for tag in shown if tag in kept]
    place = {tag: k for k, tag in enumerate(shown)}
    where: list[list[int]] = [[] for _ in shown]
    rest: list[int] = []
    for i, tag in enumerate(tags):
        if tag is not None:
            (where[place[tag]] if tag in place else rest).append(i)
    kinds = [(tag, np.array(at, np.intp)) for tag, at in zip(shown, where, strict=True)]
    if others:
        kinds.append((others, np.array(rest, np.intp)))
    return _Colouring(None, kinds, missing, others)


def _points(n: int) -> dict[str, Any]:
    """Points of n rows: large enough to be seen, small enough not to hide one another."""
    size = float(np.clip(900 / max(n, 1) ** 0.5, 2.5, 36))
    return {"s": size, "alpha": float(np.clip(45 / max(n, 1) ** 0.5, 0.2, 0.85)), "linewidths": 0, "rasterized": n > MANY}


def _mixed(n: int) -> npt.NDArray[np.intp]:
    """An order of the points in which no kind lies on top."""
    return np.random.default_rng(0).permutation(n)


def _scatter(axis: Any, x: Floats, y: Floats, colouring: _Colouring | None) -> Any:
    """Draws the points; the result is what a colour bar needs, or None."""
    options = _points(len(x))
    if colouring is None:
        axis.scatter(x, y, color=_style.BLUE, **options)
        return None
    gone = colouring.missing
    if len(gone):
        axis.scatter(x[gone], y[gone], color=_style.FAINT, **options)
    order = _mixed(len(x))
    if colouring.numbers is not None:
        order = order[np.isfinite(colouring.numbers[order])]
        return axis.scatter(x[order], y[order], c=colouring.numbers[order], cmap="viridis", **options)
    colours: npt.NDArray[Any] = np.full(len(x), "", object)
    marker = np.full(len(x), -1)
    for k, (_, at) in enumerate(colouring.kinds):
        colours[at], marker[at] = _colour(colouring, k), k // len(_style.COLOURS)
    for m, shape in enumerate(("o", "^", "s")):  # each colour is used again with another marker
        at = order[marker[order] == m]
        if len(at):
            axis.scatter(x[at], y[at], c=colours[at].tolist(), marker=shape, **options)
    return None


def _colour(colouring: _Colouring, k: int) -> str:
    last = colouring.others and k == len(colouring.kinds) - 1
    return _style.GREY if last else _style.COLOURS[k % len(_style.COLOURS)]


def _legend(figure: Any, axis: Any, colouring: _Colouring, title: str | None, mappable: Any, inside: Any = None) -> None:
    """What colours mean: to the right of the axes, or in the empty axes from `axis` to `inside`."""
    from matplotlib.lines import Line2D

    def entry(k: int, colour: str, word: str) -> Any:
        shape = "o^s"[k // len(_style.COLOURS)]
        return Line2D([], [], linestyle="", marker=shape, markersize=7, color=colour, label=word)

    entries = [entry(k, _colour(colouring, k), _style.plain(tag, 22)) for k, (tag, _) in enumerate(colouring.kinds)]
    if len(colouring.missing):
        entries.append(entry(0, _style.FAINT, f"missing ({len(colouring.missing):,})"))
    if mappable is not None:
        where = {"ax": axis, "aspect": 30} if inside is None else {"cax": inside.inset_axes((0.3, -0.4, 0.12, 1.3))}
        bar = figure.colorbar(mappable, label=_style.plain(title or "label"), **where)
        bar.solids.set_alpha(1)
        if colouring.dates:
            from matplotlib import dates

            dated: Any = dates
            locator = dated.AutoDateLocator(minticks=3, maxticks=7)
            bar.ax.yaxis.set_major_locator(locator)
            bar.ax.yaxis.set_major_formatter(dated.ConciseDateFormatter(locator))
        bar.outline.set_visible(False)
    if entries and mappable is None:
        heading = None if title is None else _style.plain(title, 24)
        place = {"loc": "center left", "bbox_to_anchor": (1.0, 0.5)} if inside is None else {"loc": "upper left"}
        columns = 1 if inside is None or len(entries) <= 7 else 2
        axis.legend(handles=entries, title=heading, handletextpad=0.2, alignment="left", ncols=columns, **place)
    elif entries:
        axis.legend(handles=entries, loc="upper left", handletextpad=0.2)


def _dense(x: Floats, y: Floats) -> tuple[float, float]:
    """A point among the points where they lie closest together."""
    few = np.linspace(0, len(x) - 1, min(len(x), 400)).astype(int)
    points = np.column_stack([x[few], y[few]])
    near = np.sort(((points[:, None] - points[None]) ** 2).sum(-1), axis=1)[:, len(few) // 4]
    best = points[int(near.argmin())]
    return float(best[0]), float(best[1])


def _own(x: Floats, y: Floats, kind: npt.NDArray[np.intp], place: tuple[float, float], k: int) -> float:
    """The part of the points around a place that are of a kind."""
    distance = (x - place[0]) ** 2 + (y - place[1]) ** 2
    near = np.argpartition(distance, min(15, len(x) - 1))[:16]
    return float((kind[near] == k).mean())


def _write_kinds(axis: Any, x: Floats, y: Floats, colouring: _Colouring) -> None:
    """Each kind's name where its points are densest: readable without colours. A name needs a place of its own, where most
    points are of its kind; if fewer than six in ten kinds have one, there are no names."""
    from matplotlib.patheffects import withStroke

    kinds = colouring.kinds[:-1] if colouring.others else colouring.kinds
    width, height = (float(np.ptp(v)) or 1.0 for v in (x, y))
    kind = np.full(len(x), -1)
    for k, (_, at) in enumerate(colouring.kinds):
        kind[at] = k
    placed: list[tuple[float, float, int, int]] = []
    for k, (tag, at) in enumerate(kinds):
        a, b = _dense(x[at], y[at])
        letters = len(_style.plain(tag, 12))
        clear = all(
            abs(a - c) > 0.011 * (letters + others + 1) * width or abs(b - d) > 0.05 * height for c, d, others, _ in placed
        )  # fmt: skip
        if clear and _own(x, y, kind, (a, b), k) > 0.5:
            placed.append((a, b, letters, k))
    if len(placed) < 0.6 * len(kinds):
        return
    for a, b, _, k in placed:
        axis.text(a, b, _style.plain(kinds[k][0], 12), fontsize=13, fontweight="bold", ha="center", va="center",
                  path_effects=[withStroke(linewidth=3.5, foreground="white")], zorder=4)  # fmt: skip


def _principal(z: Floats) -> tuple[Floats, Floats]:
    """Coordinates along the first two principal axes, and the fractions of the variance along them."""
    centred = z - z.mean(0)
    _, s, axes = np.linalg.svd(centred, full_matrices=False)
    axes = axes[:2] * np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)])[:2, None]  # as the explorer turns them
    found = centred @ axes.T
    total = float((s**2).sum())
    parts = s[:2] ** 2 / total if total else np.zeros(min(2, len(s)))
    if found.shape[1] < 2:  # a single row
        found = np.column_stack([found, np.zeros((len(z), 2 - found.shape[1]))])
        parts = np.append(parts, np.zeros(2 - len(parts)))
    return found, parts


def _umap(z: Floats) -> Floats:
    try:
        import umap
    except ImportError:
        raise errors.MissingPackageError('method="umap" needs umap-learn: pip install umap-learn; "pca" needs nothing') from None
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a seed means one thread
        return np.asarray(umap.UMAP(n_components=2, random_state=0).fit_transform(z), float)


@_style.picture
def latent(
    mean: npt.ArrayLike, labels: npt.ArrayLike | None = None, *, method: str = "auto", names: Sequence[str] | None = None,
    label_name: str | None = None,
) -> Figure:  # fmt: skip
    """Latent means (rows, latent) as points, coloured by label: words or few numbers with a legend, of more than 20 kinds the
    19 most frequent and the others in grey; more than 20 numbers or dates on a scale; missing labels in light grey.

    method: "auto": one latent by label or as a histogram, two as they are, of more the first two principal axes with the
    variance that they explain; "pca"; "pairs": every pair of the five latents that vary most; "umap": a map by umap-learn, if
    that is installed. names: of the latents, instead of "latent 1", ...; label_name: what the legend is called."""
    z = np.asarray(mean, float)
    if z.ndim != 2 or not z.shape[1]:
        raise errors.UsageError(f"latent means of shape {z.shape} are not (rows, latent)")
    if method not in METHODS:
        raise errors.UsageError(f"method={method!r} is none of {', '.join(METHODS)}")
    if names is not None and len(names) != z.shape[1]:
        raise errors.UsageError(f"{z.shape[1]} latents, but {len(names)} names")
    called = [f"latent {i + 1}" for i in range(z.shape[1])] if names is None else [_style.plain(name, 30) for name in names]
    colouring = None if labels is None else _colouring(labels, len(z))
    known = np.isfinite(z).all(axis=1)
    if not known.all():  # rows without a result
        if labels is not None:
            colouring = _colouring(_vector(labels)[known], int(known.sum()))
        z = z[known]
    if not len(z):
        raise errors.UsageError("there are no rows to draw")
    what = f"The latent space: {_style.counted(len(z), 'row')}"
    if label_name is not None and labels is not None:
        what += f" by {_style.plain(label_name, 40)}"
    if method == "pairs" and z.shape[1] > 1:
        return _pairs(z, colouring, called, label_name, what)
    if z.shape[1] == 1:
        return _single(z[:, 0], colouring, called[0], label_name, what)
    if method == "umap":
        points, axes = _umap(z), ("UMAP 1", "UMAP 2")
        what += f", {z.shape[1]} latents"
    elif z.shape[1] > 2 or method == "pca":
        points, parts = _principal(z)
        axes = tuple(f"{word} principal axis ({part:.0%} of the variance)"
                     for word, part in zip(("first", "second"), parts, strict=True))  # type: ignore[assignment]  # fmt: skip
        what += f", {z.shape[1]} latents"
    else:
        points, axes = z, (called[0], called[1])
    width, height = (float(np.ptp(points[:, k])) or 1.0 for k in (0, 1))
    tall = 5.6 * float(np.clip(height / width, 0.6, 1.1)) if method != "umap" else 5.0
    figure = _style.figure(7.4 if labels is not None else 6.2, tall + 0.9, what)
    axis = figure.subplots()
    mappable = _scatter(axis, points[:, 0], points[:, 1], colouring)
    if colouring is not None:
        if len(colouring.kinds) > 1:
            _write_kinds(axis, points[:, 0], points[:, 1], colouring)
        _legend(figure, axis, colouring, label_name, mappable)
    axis.set(xlabel=axes[0], ylabel=axes[1])
    axis.grid(True)
    axis.set_axisbelow(True)
    if method != "umap":
        axis.set_aspect("equal", adjustable="datalim")  # one unit is as long in both directions
    return figure


def _single(z: Floats, colouring: _Colouring | None, name: str, label_name: str | None, title: str) -> Figure:
    """One latent: by label, or how often which value is."""
    if colouring is None:
        figure = _style.figure(6.4, 4.0, title)
        axis = figure.subplots()
        axis.hist(z, bins=_bins(z), color=_style.BLUE)
        axis.set(xlabel=name, ylabel="rows")
        return figure
    if colouring.numbers is not None:
        figure = _style.figure(6.4, 4.8, title)
        axis = figure.subplots()
        axis.scatter(z, colouring.numbers, color=_style.BLUE, **_points(len(z)))
        axis.set(xlabel=name, ylabel=_style.plain(label_name or "label"))
        if colouring.dates:
            axis.yaxis_date()
        return figure
    lines = [*colouring.kinds, *([(f"missing ({len(colouring.missing)})", colouring.missing)] if len(colouring.missing) else [])]
    figure = _style.figure(6.4, 1.3 + 0.36 * max(len(lines), 2), title)
    axis = figure.subplots()
    random = np.random.default_rng(0)
    for k, (_, at) in enumerate(lines):
        colour = _colour(colouring, k) if k < len(colouring.kinds) else _style.FAINT
        axis.scatter(z[at], k + random.uniform(-0.3, 0.3, len(at)), color=colour, **_points(len(z)))
    axis.set_yticks(range(len(lines)), [_style.plain(tag, 22) for tag, _ in lines])
    axis.invert_yaxis()
    axis.set(xlabel=name, ylabel=None if label_name is None else _style.plain(label_name))
    return figure


def _bins(values: Floats) -> int:
    return int(np.clip(len(values) ** 0.5 * 1.5, 8, 80))


def _pairs(z: Floats, colouring: _Colouring | None, names: list[str], label_name: str | None, title: str) -> Figure:
    """Every latent against every other, histograms on the diagonal; what colours mean in the empty half."""
    order = np.argsort(-z.var(axis=0), kind="stable")[:MOST_PAIRS]
    n = len(order)
    said = _style.listed(n, z.shape[1], "latents", "those that vary most")
    side = 1.75 if n > 2 else 2.6
    figure = _style.figure(side * n + 0.4, side * n + 0.8, title + (f"\n{said}" if said else ""))
    axes = figure.subplots(n, n, squeeze=False, sharex="col")
    mappable = None
    for i, row in enumerate(order):
        for j, column in enumerate(order):
            axis = axes[i, j]
            if j > i:
                axis.set_axis_off()
            elif i == j:
                axis.hist(z[:, row], bins=_bins(z[:, row]), color=_style.GREY)
                axis.set_yticks([])
            else:
                mappable = _scatter(axis, z[:, column], z[:, row], colouring)
            if i == n - 1:
                axis.set_xlabel(names[column])
            if j == 0:
                axis.set_ylabel(names[row])
            axis.tick_params(labelsize=8, labelleft=j == 0 and i > 0)
    if colouring is not None:
        _legend(figure, axes[0, 1], colouring, label_name, mappable, inside=axes[0, n - 1])
    figure.align_ylabels(axes[:, 0])
    return figure


# ---- which latents are used ----


def _by_dimension(found: Any, X: Any) -> tuple[Floats, Floats | None]:
    """KL and variance of the posterior mean, by latent dimension."""
    if isinstance(found, Mapping):
        values = found.get("latent_kl")
        if values is None or not len(values):
            raise errors.UsageError("the evaluation has no latent_kl: net.evaluate(X, latent=True) of a network that samples has")
        variance = found.get("latent_mean_variance")
        return np.asarray(values, float), None if variance is None or not len(variance) else np.asarray(variance, float)
    if X is None:
        raise errors.UsageError("kl of a network takes rows: kl(net, X); or give net.evaluate(X, latent=True)")
    if not found.variational:
        raise errors.UsageError(f"{found.cfg}: no [sampling] layer, so there is no KL by latent dimension")
    from ._rows import rows, some

    x = rows(found, X).x
    some(x)
    values, variance = _by_dimension(found.evaluate(x, latent=True), None)
    return values, variance if len(x) > 1 else None  # of a single row it is 0, whatever the latents are good for


@_style.picture
def kl(evaluation_or_net: Mapping[str, Any] | Network, X: Any = None) -> Figure:
    """The KL of each latent dimension to N(0, 1), in nats, sorted; active ones coloured: those whose posterior mean has a
    variance above 0.01 over the rows, which is drawn below with that threshold, if there are rows to vary. Takes
    net.evaluate(X, latent=True), or a network and rows."""
    values, variance = _by_dimension(evaluation_or_net, X)
    order = np.argsort(-values, kind="stable")
    n = len(order)
    active = np.ones(n, bool) if variance is None else variance[order] > ACTIVE
    said = f"KL to N(0, 1): {_style.number(float(values.sum()))} nats in all"
    if variance is not None:
        said += f", {int(active.sum())} of {n} active"
    figure = _style.figure(float(np.clip(2.6 + 0.3 * n, 5.6, 10)), 4.4 if variance is None else 5.4, said)
    panels = figure.subplots(1 if variance is None else 2, 1, squeeze=False, sharex=True,
                             height_ratios=None if variance is None else [3, 2])[:, 0]  # fmt: skip
    colours = [_style.BLUE if on else _style.FAINT for on in active]
    panels[0].bar(range(n), values[order], color=colours, edgecolor=_style.GREY, linewidth=0.5)
    panels[0].set_ylabel("KL to N(0, 1) (nats)")
    side = max(0.0, (5 - n) / 2)
    panels[0].set_xlim(-0.8 - side, n - 0.2 + side)
    if variance is not None:
        floor = min(ACTIVE / 10, float(variance[variance > 0].min(initial=1)))
        for k, v in enumerate(np.maximum(variance[order], floor)):
            panels[1].plot([k, k], [floor, v], color=colours[k] if active[k] else _style.GREY, linewidth=1.2)
        panels[1].scatter(range(n), np.maximum(variance[order], floor), s=30, c=colours, edgecolors=_style.GREY, linewidths=0.8,
                          zorder=3)  # fmt: skip
        panels[1].axhline(ACTIVE, color=_style.ORANGE, linestyle="--", linewidth=1.4)
        _style.logarithmic(panels[1], "y", floor, max(float(variance.max()), 1.0))
        panels[1].set_ylabel("variance\nof the mean")
        panels[1].text(1.01, ACTIVE, f"active\nabove {ACTIVE}", color=_style.ORANGE, va="center", fontsize=9,
                       transform=panels[1].get_yaxis_transform())  # fmt: skip
        if not active.all():
            _which(panels[0], active)
    every = max(1, -(-n // 32))
    panels[-1].set_xticks(range(0, n, every), [str(order[k] + 1) for k in range(0, n, every)], fontsize=10 if n <= 24 else 8)
    panels[-1].set_xlabel("latent dimension, by KL")
    return figure


def _which(axis: Any, active: npt.NDArray[np.bool_]) -> None:
    from matplotlib.patches import Patch

    found = [(_style.BLUE, "active", active), (_style.FAINT, "inactive: no use to the decoder", ~active)]
    handles = [Patch(facecolor=c, edgecolor=_style.GREY, linewidth=0.5, label=word) for c, word, some in found if some.any()]
    axis.legend(handles=handles, loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=2)  # above the bars
