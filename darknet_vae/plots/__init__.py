"""Pictures with matplotlib (the extra `plot`). Every function returns a matplotlib Figure; nothing opens a window.

    figure = plots.latent(net.encode(X)[0], labels)
    plots.save(figure, "latent.png")

docs/plots.md shows them all."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from .. import errors
from .._lib import Path, real, save_bytes
from ._compare import correlations, marginals
from ._curves import curves
from ._decoded import interpolation, reconstructions, traversals
from ._images import Shape, image_shape, images, manifold, previews, samples, training
from ._latents import kl, latent
from ._rows import cells as cells
from ._scores import scores
from ._style import set_title

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "Shape", "correlations", "curves", "image_shape", "images", "interpolation", "kl", "latent", "manifold", "marginals", "png",
    "previews", "reconstructions", "samples", "save", "scores", "set_title", "svg", "training", "traversals",
]  # fmt: skip


def save(figure: Figure, path: Path) -> str:
    """Write a figure in the format of the file name's extension (png, pdf, svg; png if there is none). Returns the name."""
    from ._figure import rendered

    name = os.fspath(path)
    ending = os.path.splitext(name)[1][1:].lower()
    if not ending and name != "-":
        name += ".png"
    try:
        content = rendered(figure, ending or "png", dpi=150)
    except ValueError as reason:
        raise errors.UsageError(f"{name}: {reason}") from None
    save_bytes(name, content)
    return name


def png(figure: Figure, dpi: float = 150) -> bytes:
    """A figure as the content of a PNG file, with so many pixels per inch."""
    from ._figure import rendered

    if not 0 < real("dpi", dpi) <= 2400:
        raise errors.UsageError(f"dpi={dpi} is not above 0 and at most 2400")
    return rendered(figure, "png", dpi=dpi)


def svg(figure: Figure) -> str:
    """A figure as an <svg> element, to stand in a page. Texts are outlines: they look the same without the font."""
    from ._figure import rendered

    text = rendered(figure, "svg", dpi=150).decode()
    return text[text.index("<svg") :]
