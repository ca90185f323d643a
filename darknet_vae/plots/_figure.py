"""The figure that every function returns. Imported when the first picture is drawn: it needs matplotlib."""

from __future__ import annotations

import io
from typing import Any

from matplotlib.figure import Figure


class Picture(Figure):
    """A matplotlib Figure that a notebook shows without pyplot."""

    def _repr_png_(self) -> bytes:
        return rendered(self, "png", dpi=100)


def rendered(figure: Figure, kind: str, **options: Any) -> bytes:
    """The figure as a file's content, without empty margins. ValueError: matplotlib does not know the format."""
    from . import _style

    content = io.BytesIO()
    undated = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind)
    with _style.context():
        figure.savefig(content, format=kind, bbox_inches="tight", pad_inches=0.12, metadata=undated, **options)
    return content.getvalue()
