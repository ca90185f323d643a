"""Tables of short texts as pictures: cells with colours behind them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from . import _style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LETTER = 0.082  # inches of a letter of 9 points
LINE = 0.215  # inches of a line
GAP = 0.07  # inches above a group of lines
WIDEST = 10.5  # inches of a sheet
Colour = Any
Texts = Sequence[Sequence[str]]


def broken(name: str, most: int = 14) -> str:
    """A heading on one line or two."""
    word = _style.plain(name, 2 * most)
    if len(word) <= most:
        return word
    middle = len(word) / 2
    cuts = [i + 1 for i, letter in enumerate(word[:-1]) if letter in "_ -./" or (letter.islower() and word[i + 1].isupper())]
    cut = min((c for c in cuts if max(c, len(word) - c) <= most + 2), key=lambda c: abs(c - middle), default=None)
    return _style.plain(name, most) if cut is None else word[:cut].rstrip() + "\n" + word[cut:]


def widths(header: Sequence[str], texts: Texts) -> list[float]:
    """Inches of each column."""
    lines = [list(header), *texts]
    return [
        LETTER * (1.6 + max((len(part) for line in lines for part in line[c].split("\n")), default=1)) for c in range(len(header))
    ]


def fitting(header: Sequence[str], texts: Texts, room: float) -> int:
    """How many of the columns, at least one, fit into so many inches."""
    ends = np.cumsum(widths(header, texts))
    return max(int((ends <= room).sum()), 1)


def size(side: Sequence[str], header: Sequence[str], texts: Texts, above: int = 0) -> tuple[float, float]:
    """Inches of a sheet with its names; `above`: lines over the header."""
    left = LETTER * (2 + max((len(part) for word in side for part in word.split("\n")), default=0))
    tall = sum(_lines(row) for row in texts) + max((1 + word.count("\n") for word in header), default=0) + above
    return left + sum(widths(header, texts)), LINE * (tall + 1)


def _lines(row: Sequence[str]) -> int:
    return 1 + max((text.count("\n") for text in row), default=0)


def draw(
    axis: Any, side: Sequence[str], header: Sequence[str], texts: Texts, colours: Sequence[Sequence[Colour | None]],
    *, groups: Sequence[int] = (), bold: npt.NDArray[np.bool_] | None = None,
) -> None:  # fmt: skip
    """Fill an axes with a sheet: `side` names its rows, `header` its columns; a line above the rows `groups`. Texts that are too
    long were shortened before."""
    from matplotlib.patches import Rectangle

    across = np.concatenate([[0.0], np.cumsum(widths(header, texts))])
    space = np.cumsum([GAP if r in groups else 0.0 for r in range(len(texts))])
    ends = np.cumsum([LINE * _lines(row) for row in texts]) + space
    down = np.array([end - LINE * _lines(row) for end, row in zip(ends, texts, strict=True)])
    for r, row in enumerate(texts):
        for c, text in enumerate(row):
            if colours[r][c] is not None:
                axis.add_patch(Rectangle((across[c], down[r]), across[c + 1] - across[c], ends[r] - down[r],
                                         facecolor=colours[r][c], edgecolor="white", linewidth=0.8))  # fmt: skip
            weight = "bold" if bold is not None and bold[r, c] else "normal"
            middle = (across[c] + across[c + 1]) / 2, (down[r] + ends[r]) / 2
            axis.text(*middle, text, ha="center", va="center_baseline" if "\n" not in text else "center", fontsize=9,
                      fontweight=weight, linespacing=1.05)  # fmt: skip
    for r in groups:
        axis.plot([0, across[-1]], [down[r] - GAP / 2] * 2, color=_style.GREY, linewidth=0.8)
    axis.set_xlim(0, across[-1])
    axis.set_ylim(ends[-1], 0)
    axis.set_xticks((across[:-1] + across[1:]) / 2, header, fontsize=9, fontweight="bold")
    axis.xaxis.tick_top()
    axis.set_yticks((down + ends) / 2, side, fontsize=9)
    _style.bare(axis)


def figure(
    title: str, side: Sequence[str], header: Sequence[str], texts: Texts, colours: Sequence[Sequence[Colour | None]], *,
    groups: Sequence[int] = (), legend: Sequence[tuple[Colour, str]] = (), label: str = "",
    bold: npt.NDArray[np.bool_] | None = None,
) -> Figure:  # fmt: skip
    """A figure of one sheet; `legend`: what colours mean; `label`: what the columns are."""
    width, height = size(side, header, texts)
    lines = 1 + title.count("\n")
    made = _style.figure(max(width, 5.0), height + 0.25 + 0.27 * lines + (0.35 if legend else 0) + (0.25 if label else 0), title)
    axis = made.subplots()
    draw(axis, side, header, texts, colours, groups=groups, bold=bold)
    if label:
        axis.set_xlabel(label)
        axis.xaxis.set_label_position("top")
    if legend:
        key(axis, legend)
    return made


def key(axis: Any, legend: Sequence[tuple[Colour, str]]) -> None:
    from matplotlib.patches import Patch

    handles = [Patch(facecolor=colour, edgecolor=_style.FAINT, label=word) for colour, word in legend]
    axis.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, 0.0), ncols=len(handles), fontsize=9, handlelength=1.2)
