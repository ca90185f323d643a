"""Pictures with matplotlib (the extra `plot`). Every function returns a matplotlib Figure; nothing opens a window."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING

from .. import errors
from .._lib import Path, save_bytes
from ._images import Shape, image_shape, images, manifold, previews, samples, training
from ._latents import latent

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Shape", "image_shape", "images", "latent", "manifold", "previews", "samples", "save", "training"]


def save(figure: Figure, path: Path) -> str:
    """Write a figure in the format of the file name's extension (png, pdf, svg; png if there is none). Returns the name."""
    name = os.fspath(path)
    ending = os.path.splitext(name)[1][1:].lower()
    if not ending and name != "-":
        name += ".png"
    picture = io.BytesIO()
    try:
        figure.savefig(picture, dpi=150, format=ending or "png")
    except ValueError as reason:
        raise errors.UsageError(f"{name}: {reason}") from None
    save_bytes(name, picture.getvalue())
    return name
