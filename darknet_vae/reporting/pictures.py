"""Pictures of a report, and two that only reports have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .. import plots
from ..plots import _style
from .page import Block, Picture, picture
from .study import Study


def show(s: Study, what: str, draw: Callable[[], Any], alt: str, caption: str = "", photo: bool = False) -> list[Block]:
    """A picture with its caption; none where it cannot be drawn, which the page says."""
    found: Picture | None = s.attempt(f"picture ({what})", lambda: picture(draw(), alt, caption, photo))
    return [] if found is None else [found]


def sampled(s: Study, most: int) -> str:
    """Says that a picture has not all rows."""
    rows = s.rows
    return f" {most:,} of {len(rows):,} rows, drawn at random." if rows is not None and len(rows) > most else ""


def pixels(s: Study) -> list[Block]:
    """A map of the mean loss of every pixel."""
    shape = s.model.shape
    if s.contributions is None or shape is None or s.contributions.shape[1] != shape[0] * shape[1] * shape[2]:
        return []
    if len(s.contributions) < 2:
        return []
    mean = s.contributions.mean(axis=0, dtype=np.float64).reshape(shape).sum(0)
    unit = "nats" if s.model.nats else s.model.loss_words

    def draw() -> Any:
        with _style.context():
            figure = _style.figure(4.8, 0.6 + 3.6 * min(max(shape[1] / shape[2], 0.4), 2), "Loss by pixel")
            axes = figure.subplots()
            picture = axes.imshow(mean, cmap="viridis", vmin=min(float(mean.min()), 0.0))
            axes.set_xticks([])
            axes.set_yticks([])
            figure.colorbar(picture, label=f"{unit} per row")
            return figure

    return show(
        s, "loss by pixel", draw, "Map of the mean reconstruction loss of every pixel",
        "Where reconstructions miss: the mean loss of every pixel over the rows.", photo=True,
    )  # fmt: skip


def _named(s: Study, at: int) -> str:
    return s.classes[at] if at < len(s.classes) else str(at)


def _true(s: Study, row: int) -> int:
    assert s.rows is not None and s.rows.truth is not None
    truth = s.rows.truth[row]
    return int(truth.argmax()) if len(truth) > 1 else int(truth[0] > 0.5)


def _taken_for(s: Study, row: int, picked: int) -> str:
    true = _true(s, row)
    name = _style.plain(_named(s, picked), 12)
    return name if picked == true else f"{name}\n(is {_style.plain(_named(s, true), 8)})"


def worst_images(s: Study, shape: tuple[int, int, int]) -> list[Block]:
    """The images with the largest loss, and what they are taken for."""
    rows, scores = s.rows, s.scores
    assert rows is not None and scores is not None
    worst = np.argsort(-scores, kind="stable")[: min(20, len(scores))]

    def draw() -> Any:
        with _style.context():
            pictures = plots.images(rows.x[worst], shape)
            down, across = -(-len(worst) // 10), min(10, len(worst))
            figure = _style.figure(max(0.8 * across, 4), 0.6 + (0.75 * shape[1] / shape[2] + 0.4) * down, "The largest losses")
            axes = figure.subplots(down, across, squeeze=False).ravel()
            picked = s.net.pick(s.outputs[worst]) if s.outputs is not None and s.model.kind == "classifier" else None
            for axis in axes:
                axis.set_axis_off()
            for at, (axis, image) in enumerate(zip(axes, pictures, strict=False)):
                axis.imshow(image, cmap="gray")
                if picked is not None:
                    axis.set_title(_taken_for(s, int(worst[at]), int(picked[at])), fontsize=9, loc="center")
            return figure

    return show(
        s, "rows with the largest loss", draw, "The images with the largest loss",
        "The rows with the largest "
        "loss" + (", and what they are taken for." if s.model.kind == "classifier" else "."), photo=True,
    )  # fmt: skip
