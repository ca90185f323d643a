"""Losses over a training, from its log or its history."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .. import errors
from .._lib import real
from ..training_log import read_log
from . import _style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Floats = npt.NDArray[np.float64]
Columns = dict[str, Floats]

PLACES = ("epoch", "batch", "rows", "epoch_done", "seconds", "rows_per_second")  # where a line stands, not how good it is
TITLES = {
    "total_loss": "Total loss",
    "loss": "Loss",
    "image_loss": "Reconstruction (image_loss)",
    "latent_loss": "KL to the prior (latent_loss)",
    "beta": "Weight of the KL (beta)",
    "learning_rate": "Learning rate",
    "accuracy": "Accuracy",
    "mse": "Squared error (mse)",
    "r2": "R squared (r2)",
}
UNITS = {"latent_loss": "nats per row", "beta": "beta", "learning_rate": "learning rate", "accuracy": "fraction of rows",
         "mse": "per row and target", "r2": "R squared"}  # fmt: skip
SCHEDULES = ("beta", "learning_rate")
STEEP = 25  # largest by smallest value from which an axis is logarithmic
FEW = 40  # points that are marked one by one


def read(log: Any) -> tuple[Columns, str]:
    """The columns of a log as numbers, NaN where a cell is missing, and what to call it."""
    if hasattr(log, "to_dict") and hasattr(log, "columns"):  # a DataFrame of a log
        log = log.to_dict("list")
    return read_log(log), os.path.basename(log) if isinstance(log, str | os.PathLike) else ""


def _places(columns: Columns) -> Floats:
    """Where each line stands, in epochs; lines between epochs have fractions."""
    n = max(map(len, columns.values()), default=0)
    if "epoch" not in columns:
        return np.arange(1, n + 1, dtype=float)
    x = columns["epoch"].copy()
    done, rows = columns.get("epoch_done"), columns.get("rows")
    if done is not None and rows is not None and (done == 0).any():
        whole = np.nanmax(rows) or 1.0
        x = np.where(done == 0, x - 1 + rows / whole, x)
    return x


def _resumed(columns: Columns) -> tuple[Columns, Floats]:
    """A log in which epochs begin anew: one that was resumed at an earlier epoch has its later lines in place of the earlier
    ones, as a log that the training itself cuts back; one that begins with the first epoch again goes on."""
    x = _places(columns)
    keep = np.ones(len(x), bool)
    shift = 0.0
    for i in range(1, len(x)):
        if x[i] + shift > x[i - 1]:
            x[i] += shift
            continue
        if x[i] <= 1:
            shift = np.ceil(x[i - 1])
        else:
            keep[:i] &= x[:i] < x[i] + shift
        x[i] += shift
    return {name: values[keep] for name, values in columns.items()}, x[keep]


# ---- drawing ----


def _panels(columns: Columns) -> list[tuple[str, list[str]]]:
    """Which curves are together: a term and its held-out rows, the KL and what it costs; schedules come last."""
    names = [name for name, values in columns.items() if name not in PLACES and np.isfinite(values).any()]
    total = next((name for name in ("total_loss", "loss") if name in names), "total_loss")
    homes = {"valid_loss": total, "kl_cost": "latent_loss", "valid_kl_cost": "latent_loss"}
    found: dict[str, list[str]] = {}
    for name in names:
        base = homes.get(name, name.removeprefix("valid_"))
        if base.rstrip("0123456789").rstrip("_") == "beta":
            base = "beta"
        found.setdefault(base, []).append(name)
    order = [total, "image_loss", "latent_loss"]
    place = {base: order.index(base) if base in order else 9 if base in SCHEDULES else 5 for base in found}
    return sorted(found.items(), key=lambda item: place[item[0]])


def _colour(name: str, k: int) -> str:
    if "kl_cost" in name:
        return _style.ORANGE
    return _style.COLOURS[(0, 2, 3, 5, 7)[k // 2 % 5]] if k > 1 else _style.BLUE


def _scaled(axis: Any, values: Floats, schedule: bool) -> None:
    """A logarithmic axis where it pays and no value is negative; a linear one leaves out a steep beginning, and says so."""
    known = values[np.isfinite(values)]
    low, high = float(known.min()), float(known.max())
    if low > 0 and high / low > STEEP and not schedule:
        _style.logarithmic(axis, "y", low, high)
        return
    usual = float(np.quantile(known, 0.9))
    if len(known) >= 20 and low < usual and (high - usual) > 8 * (usual - low) and not schedule:
        axis.set_ylim(low - 0.06 * (usual - low), usual + 0.5 * (usual - low))
        said = f"\u2191 up to {_style.number(high)} at first"
        axis.text(0.98, 0.97, said, transform=axis.transAxes, ha="right", va="top", fontsize=9, color=_style.GREY)
    elif schedule:
        axis.ticklabel_format(axis="y", useOffset=False)  # rates themselves, not their distance to one of them
        span = (high - low) or abs(high) or 1.0
        axis.set_ylim(low - 0.1 * span if low < 0 or high > low else 0, high + 0.12 * span)


def _panel(axis: Any, base: str, names: list[str], columns: Columns, x: Floats) -> None:
    whole = columns.get("epoch_done")
    for k, name in enumerate(sorted(names, key=lambda n: (n.startswith("valid_"), "kl_cost" in n))):
        values, at = columns[name], x
        if whole is not None and (whole == 0).any() and name.startswith("valid_"):
            values, at = values[whole != 0], x[whole != 0]  # only ends of epochs have them
        values = np.where(np.isfinite(values), values, np.nan)
        held_out = name.startswith("valid_")
        alone = len(at) <= FEW or np.isfinite(values).sum() == 1
        colour = _colour(name, 0 if held_out else k)
        axis.plot(at, values, "--" if held_out else "-", color=colour, label=name, linewidth=1.8 if len(at) < 1000 else 0.8,
                  marker="o" if alone else None, markersize=3.5, markerfacecolor="white" if held_out else None,
                  zorder=3 if "kl_cost" in name else 2)  # fmt: skip
        if name == "valid_loss" and np.isfinite(values).sum() > 1:
            best = int(np.nanargmin(values))
            axis.plot([at[best]], [values[best]], "D", color=_style.INK, markersize=6, zorder=5,
                      label=f"lowest: {_style.number(values[best])}, epoch {at[best]:.0f}")  # fmt: skip
    _scaled(axis, np.concatenate([columns[name] for name in names]), base in SCHEDULES)
    axis.set_title(_style.plain(TITLES.get(base, base), 40))
    axis.set_ylabel(UNITS.get(base, "per row"))
    axis.grid(True)
    axis.set_axisbelow(True)
    if base not in SCHEDULES or len(names) > 1:
        axis.legend(fontsize=9, loc="best")


@_style.picture
def curves(log: Any, *, start: float = 0) -> Figure:
    """The losses of a training by epoch, a panel for each term with its held-out rows (dashed), and beta and the learning rate,
    if that changes, in panels of their own.

    log: the path of what `train -log F.csv` or F.jsonl wrote; a History; a dict of lists, a DataFrame or a list of records with
    the names of a log. start: epochs before this one are left out. Axes are logarithmic where a term falls by more than a factor
    of 25 and stays above 0. Errors: `MissingFileError`; `FormatError` for a file that is no log; `UsageError` if there is
    nothing to draw."""
    columns, name = read(log)
    columns, x = _resumed(columns)
    shown = x >= real("start", start)
    if len(x) and not shown.any():
        raise errors.UsageError(f"start={start:g}: the last epoch is {x[-1]:g}")
    columns, x = {key: values[shown] for key, values in columns.items()}, x[shown]
    rate = columns.get("learning_rate")
    if rate is not None and (not np.isfinite(rate).any() or np.nanmax(rate) - np.nanmin(rate) <= 1e-9 * np.nanmax(np.abs(rate))):
        columns.pop("learning_rate")
    panels = _panels(columns)
    if not any(base not in SCHEDULES for base, _ in panels):
        why = "no epoch has ended yet" if not len(x) and columns else "there is no column of losses"
        raise errors.FormatError(f"{name or 'the log'}: {why}; a log of train -log F.csv or F.jsonl is wanted")
    n = len(panels)
    across = 1 if n == 1 else 2 if n <= 4 and n != 3 else 3
    down = -(-n // across)
    wide = across * down - n + 1  # places of the first panel, so that none stays empty
    epochs = _style.counted(round(x.max() - x.min()) + 1, "epoch")
    said = f"Training over {epochs}" + (f" ({_style.plain(name, 40)})" if name else "")
    figure = _style.figure({1: 6.4, 2: 8.6, 3: 11}[across], 2.65 * down + 0.7 if down > 1 else 3.8, said)
    places = figure.add_gridspec(down, across)
    for k, (base, names) in enumerate(panels):
        at = 0 if k == 0 else k + wide - 1
        spot = places[0, : min(wide, across)] if k == 0 else places[at // across, at % across]
        axis = figure.add_subplot(spot)
        _panel(axis, base, names, columns, x)
        if len(x) <= 12:
            axis.set_xticks(sorted({float(v) for v in x if v == round(v)} or {float(x[0])}))
        if at + across >= across * down:
            axis.set_xlabel("epoch")
    return figure
