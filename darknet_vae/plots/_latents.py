"""Pictures of the latent space."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from .. import errors
from . import _style

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def latent(mean: npt.ArrayLike, labels: npt.ArrayLike | None = None) -> Figure:
    """Latent means (rows, latent), coloured by label with a legend; beyond two latents, their first two principal axes."""
    z = np.asarray(mean, np.float32)
    if z.ndim != 2:
        raise errors.UsageError(f"latent means of shape {z.shape} are not (rows, latent)")
    figure = _style.figure(6.4, 5.6)
    axis = figure.subplots()
    names = ("latent 1", "latent 2")
    if z.shape[1] == 1:
        z = np.column_stack([z, np.random.default_rng(0).uniform(-0.5, 0.5, len(z))])
        names = ("latent 1", "(spread for the eye)")
    elif z.shape[1] > 2:
        centred = z - z.mean(0)
        z = centred @ np.linalg.svd(centred, full_matrices=False)[2][:2].T
        names = ("first principal axis of the latents", "second principal axis")
    size = float(np.clip(8000 / max(len(z), 1), 2, 24))
    if labels is None:
        axis.scatter(z[:, 0], z[:, 1], s=size, linewidths=0, alpha=0.7)
    else:
        tags = np.asarray(labels).astype(str)
        if len(tags) != len(z):
            raise errors.UsageError(f"{len(z)} rows, but {len(tags)} labels")
        kinds = sorted(set(tags), key=_natural)
        if len(kinds) <= 20:
            from matplotlib import colormaps

            colours = colormaps["tab10" if len(kinds) <= 10 else "tab20"]
            for k, kind in enumerate(kinds):
                at = tags == kind
                axis.scatter(z[at, 0], z[at, 1], s=size, linewidths=0, alpha=0.8, color=colours(k), label=kind)
            axis.legend(markerscale=2, fontsize=9, loc="center left", bbox_to_anchor=(1.01, 0.5))
        else:
            values = _numbers(tags)
            if values is None:
                raise errors.UsageError(f"{len(kinds)} different labels are too many for colours")
            points = axis.scatter(z[:, 0], z[:, 1], s=size, linewidths=0, c=values, cmap="viridis")
            figure.colorbar(points, label="label")
    axis.set_xlabel(names[0])
    axis.set_ylabel(names[1])
    return figure


def _natural(tag: str) -> tuple[int, float, str]:
    try:
        return (0, float(tag), tag)
    except ValueError:
        return (1, 0.0, tag)


def _numbers(tags: npt.NDArray[np.str_]) -> npt.NDArray[np.float64] | None:
    try:
        return tags.astype(float)
    except ValueError:
        return None
