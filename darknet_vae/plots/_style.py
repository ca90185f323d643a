"""What all pictures share: figures, colours, axes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import errors

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def figure(width: float, height: float) -> Figure:
    """An empty figure of so many inches."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise errors.MissingPackageError("plots need matplotlib: pip install 'darknet-vae[plot]'") from None
    return Figure(figsize=(width, height), layout="constrained")
