"""What all pictures share: figures, colours, words."""

from __future__ import annotations

import functools
import textwrap
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ParamSpec

import numpy as np
import numpy.typing as npt

from .. import errors

if TYPE_CHECKING:
    from matplotlib.figure import Figure

P = ParamSpec("P")

INK, GREY, FAINT = "#222222", "#8A8A8A", "#D8D8D8"
COLOURS = (
    "#0072B2", "#D55E00", "#009E73", "#E69F00", "#56B4E9", "#CC79A7", INK, "#A50F15", "#B2DF8A", "#4B0092",
)  # fmt: skip
"""Of kinds. The first six are those of Okabe and Ito (jfly.uni-koeln.de/color); with the others they remain apart as people
without red or green cones see them (Machado et al., doi:10.1109/TVCG.2009.113), which tests/test_plots.py computes."""
NARROW = 4.4
"""Inches below which a title would be broken into pieces."""
BLUE, ORANGE, GREEN = COLOURS[0], COLOURS[1], COLOURS[2]
STYLE: dict[str, Any] = {
    "font.size": 11,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.labelsize": 11,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.grid": False,
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "xtick.labelsize": 10,
    "ytick.labelsize": 10,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "text.color": INK,
    "legend.fontsize": 10,
    "legend.title_fontsize": 10,
    "legend.frameon": False,
    "figure.titlesize": 13,
    "figure.titleweight": "bold",
    "figure.constrained_layout.h_pad": 0.06,
    "figure.constrained_layout.w_pad": 0.06,
    "svg.hashsalt": "darknet_vae",  # the same file for the same picture
    "image.interpolation": "nearest",
}
WIDE_FONTS = ("Noto Sans CJK SC", "Noto Sans CJK JP", "WenQuanYi Zen Hei", "Noto Sans", "Noto Sans Arabic", "Noto Emoji")


@functools.cache
def _fonts() -> list[str]:
    """DejaVu Sans comes with matplotlib; what is there of others helps with names in other scripts."""
    from matplotlib.font_manager import fontManager

    there = {font.name for font in fontManager.ttflist}
    return ["DejaVu Sans", *(name for name in WIDE_FONTS if name in there)]


@contextmanager
def context() -> Iterator[None]:
    """Pictures look the same whatever the user's matplotlibrc says, and leave it alone."""
    try:
        import matplotlib
    except ImportError:
        raise errors.MissingPackageError("plots need matplotlib: pip install 'darknet-vae[plot]'") from None
    with matplotlib.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)  # a box stands for it
        matplotlib.rcdefaults()
        style: Any = {**STYLE, "font.family": _fonts()}
        matplotlib.rcParams.update(style)
        yield


def picture(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """For functions that draw: they do so in this style."""

    @functools.wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with context():
            return draw(*args, **kwargs)

    return drawn


def figure(width: float, height: float, title: str) -> Figure:
    """An empty figure of so many inches with a title. It is at least 4.4 inches wide."""
    from ._figure import Picture

    made = Picture(figsize=(max(width, NARROW), height), layout="constrained")
    set_title(made, title)
    return made


def set_title(figure: Figure, title: str) -> None:
    """Lines are broken where the figure ends."""
    letters = max(int(figure.get_figwidth() * 9), 16)
    lines = [part for line in title.splitlines() for part in textwrap.wrap(plain(line, 400), letters)]
    figure.suptitle("\n".join(lines))


def plain(word: object, most: int = 60) -> str:
    """A text from the user's files: on one line, not read as a formula, and without its middle if it is longer than `most`."""
    text = " ".join("".join(c if c.isprintable() else " " for c in str(word)).split())
    if len(text) > most:
        head = (most - 1 + 1) // 2
        text = text[:head].rstrip() + "\u2026" + text[len(text) - (most - 1 - head) :].lstrip()
    return text.replace("$", r"\$")


def cut(word: object, most: int) -> str:
    """The same without its end."""
    text = plain(word, 10_000)
    return text if len(text) <= most else text[: most - 1].rstrip() + "\u2026"


def number(value: float) -> str:
    """Four digits, thousands with a comma: 0.01234, 12.35, 12,346."""
    if not np.isfinite(value):
        return "missing" if np.isnan(value) else str(value)
    if value and not 1e-4 <= abs(value) < 1e7:
        return f"{value:.3g}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def counted(n: int, one: str, many: str = "") -> str:
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def listed(n: int, all_of: int, what: str, which: str) -> str:
    """What a title says when not everything is shown: "12 of 64 latents: those ...", or nothing."""
    return "" if n >= all_of else f"{n} of {all_of} {what}: {which}"


def logarithmic(axis: Any, which: str, low: float, high: float) -> None:
    """A logarithmic x or y axis for values from low to high, with plain numbers, over less than two decades also between
    powers of ten."""
    from matplotlib.ticker import FuncFormatter

    getattr(axis, f"set_{which}scale")("log")
    one = getattr(axis, f"{which}axis")
    one.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
    between = high / low < 100
    one.set_minor_formatter(FuncFormatter(lambda v, _: f"{v:g}" if between and f"{v:e}"[0] in "25" else ""))
    one.set_tick_params(which="minor", labelsize=9)


def bare(axis: Any) -> None:
    """Without ticks and frame."""
    axis.tick_params(length=0)
    for spine in axis.spines.values():
        spine.set_visible(False)


def light(colours: npt.ArrayLike, part: float = 0.55) -> npt.NDArray[np.float64]:
    """RGB colours mixed with white, so that dark text can stand on them."""
    rgb = np.asarray(colours, float)[..., :3]
    return 1 - part * (1 - rgb)


def grid(n: int, most: int = 4) -> tuple[int, int]:
    """Rows and columns for n panels: at most `most` columns, with few empty places."""
    columns = min(range(1, most + 1), key=lambda c: (-(-n // c) * c - n) + abs(c - min(n, most)) * 0.9)
    return -(-n // columns), columns
