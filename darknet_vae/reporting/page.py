"""The page: sections of blocks, which a template with autoescaping turns into HTML."""

from __future__ import annotations

import base64
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import errors

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHARP = 150_000  # bytes up to which a drawing is kept as lines


@dataclass(frozen=True)
class Text:
    text: str
    kind: str = "text"


@dataclass(frozen=True)
class Picture:
    """`source`: a data: address. `width`: CSS pixels at its natural size."""

    source: str
    alt: str
    caption: str
    width: int
    kind: str = "picture"


@dataclass(frozen=True)
class Cells:
    """A table. `numbers`: which columns are numbers; `marked`: cells (row, column) that stand out; `folded`: behind a click;
    `wraps`: cells are broken into lines where the page ends; `named`: the first column names the lines, and stays in sight."""

    head: list[str]
    rows: list[list[str]]
    caption: str = ""
    numbers: frozenset[int] = frozenset()
    marked: frozenset[tuple[int, int]] = frozenset()
    folded: str = ""
    wraps: bool = False
    named: bool = False
    kind: str = "cells"


@dataclass(frozen=True)
class Code:
    text: str
    caption: str = ""
    folded: str = ""
    kind: str = "code"


Block = Text | Picture | Cells | Code


@dataclass
class Section:
    id: str
    title: str
    blocks: list[Block] = field(default_factory=list)
    intro: str = ""


def picture(figure: Figure, alt: str, caption: str = "", photo: bool = False) -> Picture:
    """A figure as part of the page: lines where they are small, else points (`photo`: points without trying)."""
    from .. import plots

    width = round(figure.get_figwidth() * 96)
    if not photo:
        drawing = plots.svg(figure).encode()
        if len(drawing) <= SHARP:
            return Picture(_address("image/svg+xml", drawing), alt, caption, width)
    return Picture(_address("image/png", plots.png(figure, dpi=150)), alt, caption, width)


def _address(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def brief(text: object, most: int = 80) -> str:
    """A text on one line, without its middle if it is longer than `most`."""
    line = " ".join(str(text).split())
    if len(line) <= most:
        return line
    head = most // 2
    return f"{line[:head]}…{line[len(line) - (most - 1 - head) :]}"


def web(name: str) -> str:
    """A file of the folder web."""
    return (Path(__file__).parent.parent / "web" / name).read_text(encoding="utf-8")


def render(template: str, **values: Any) -> str:
    try:
        import jinja2
    except ImportError:
        raise errors.MissingPackageError("reports need jinja2: pip install 'darknet-vae[report]'") from None
    loader = jinja2.FunctionLoader(web)
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["brief"] = brief
    return str(environment.get_template(template).render(**values))


def base_name(path: object) -> str:
    return os.path.basename(os.fspath(path) if isinstance(path, str | os.PathLike) else str(path))
