"""The sections of a report about training, latent space and reconstructions."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import plots
from ..tables import decoded_columns
from .numbers import contributions, latent_table
from .page import Block, Cells, Section, brief
from .pictures import pixels, sampled, show
from .rows import Rows, cell_text, shown
from .study import Study

_LIKE_PRIOR = (
    "If mean and variance over the rows are 0 and 1, latents drawn from the prior look to the decoder like those of rows."
)
_LEARNED = " Here to N(0, 1); the latent loss is to the prior that was learned, a mixture, and so smaller."
POINTS = 5000  # rows of a scatter
SHARP_POINTS = 800  # rows up to which a scatter is drawn as lines
WIDE = 20  # columns of a table of rows
EXAMPLES = 4  # rows of it


# ---- training ----


def training(s: Study) -> Section:
    section = Section("training", "Training")
    if s.log is None or not s.epochs or not len(next(iter(s.epochs.values()))):
        return section
    section.blocks += show(
        s, "loss curves", lambda: plots.curves(s.log),
        "Curves of the losses by epoch" + (", those of held-out rows too" if "valid_loss" in s.epochs else ""),
        "Losses are means per row. Held-out rows (valid) are not trained on; where their loss rises, the network learns its "
        "rows by heart."
        if "valid_loss" in s.epochs else "Losses are means per row, taken while training.",
    )  # fmt: skip
    last = {name: values[-1] for name, values in s.epochs.items() if len(values) and np.isfinite(values[-1])}
    names = [n for n in last if n not in ("epoch_done", "rows", "batch", "epoch", "seconds", "rows_per_second")]
    rows = []
    for name in names:
        values = s.epochs[name]
        known = values[np.isfinite(values)]
        rows.append([name, shown(known[0]), shown(known.min()), shown(known[-1])])
    section.blocks.append(Cells(
        ["", "first epoch", "lowest", "last epoch"], rows, numbers=frozenset({1, 2, 3}), folded="These curves as numbers",
    ))  # fmt: skip
    return section


# ---- the latent space ----


def latent(s: Study) -> Section:
    net, vae = s.net, s.model.kind == "vae"
    section = Section("latent", "Latent space")
    if not s.model.reconstructs or not net.latent_size:
        return section
    if s.mean is not None and s.rows is not None and len(s.mean):
        section.blocks += _scatter(s)
    found = s.evaluation
    if vae and found is not None and found.get("latent_kl") is not None:
        section.blocks += show(
            s, "KL", lambda: plots.kl(found),
            "Bars of the KL of every latent dimension, sorted",
            "How much each latent says about the rows, in nats. Those with hardly any are inactive."
            + (_LEARNED if s.model.learned_prior else ""),
        )  # fmt: skip
        unit = "KL to N(0, 1), nats" if s.model.learned_prior else "KL, nats"
        head = ["latent", unit, "mean", "variance", "variance of the mean", "active"]
        rows = latent_table(s)
        if rows:
            total = len(found["latent_kl"])
            section.blocks.append(Cells(
                head, rows,
                ("" if s.model.learned_prior else _LIKE_PRIOR)
                + (f" The {len(rows)} with most KL, of {total:,}." if total > len(rows) else "")
                + " Latents are counted from 1, as in the pictures.",
                numbers=frozenset(range(5)), folded="The latents as numbers",
            ))  # fmt: skip
    section.blocks += _walks(s)
    return section


def _scatter(s: Study) -> list[Block]:
    rows, mean = s.rows, s.mean
    assert rows is not None and mean is not None
    index = rows.index(POINTS, s.seed)
    labels = None if rows.labels is None else rows.labels[index]
    if labels is not None and len(set(labels.tolist())) > 20 and not _all_numbers(labels):
        labels = None  # colours would say nothing
    by = f", coloured by {rows.label_name}" if labels is not None else ""
    how = "Each point is a row at the mean of its latent vector" if s.model.kind == "vae" else "Each point is a row at its code"
    if mean.shape[1] > 2:
        how += f": the {mean.shape[1]:,} dimensions projected on their two principal axes"
    return show(
        s, "latent space", lambda: plots.latent(mean[index], labels, label_name=rows.label_name or "label"),
        f"Scatter of the rows in the latent space{by}", f"{how}{by}.{sampled(s, POINTS)}", photo=len(index) > SHARP_POINTS,
    )  # fmt: skip


def _all_numbers(labels: Any) -> bool:
    try:
        return bool(np.isfinite(labels.astype(float)).all())
    except ValueError:
        return False


def _walks(s: Study) -> list[Block]:
    net, shape = s.net, s.model.shape
    if shape is not None and net.latent_size == 2 and s.model.kind == "vae":
        return show(
            s, "manifold", lambda: plots.manifold(net, 15, shape=shape),
            "Grid of decoded images over the two latent dimensions",
            "What the decoder makes of every place of the latent plane, from -3 to 3.", photo=True,
        )  # fmt: skip
    around = s.rows.x if s.rows is not None and len(s.rows) else None
    if around is None and s.model.kind != "vae":
        return []
    what = "the first row" if around is not None else "the middle of the prior"
    return show(
        s, "traversals", lambda: plots.traversals(net, around, row=0, shape=shape),
        "Decoded rows along single latent dimensions",
        f"One latent at a time changes about {what}, the others stay: what each one means.",
        photo=shape is not None,
    )  # fmt: skip


# ---- reconstructions ----


def reconstructions(s: Study) -> Section:
    section = Section("reconstructions", "Reconstructions")
    rows, net = s.rows, s.net
    if rows is None or not len(rows) or not s.model.reconstructs:
        return section
    if s.model.shape is not None:
        index = _one_per_label(s)
        section.blocks += show(
            s, "reconstructions", lambda: plots.reconstructions(net, rows.x[index], n=len(index), shape=s.model.shape),
            "Images above their reconstructions",
            "Above: rows of the data. Below: what comes back of them through the latent space.", photo=True,
        )  # fmt: skip
        section.blocks += pixels(s)
        return section
    found = s.attempt("reconstructed rows", lambda: _beside(s))
    section.blocks += [] if found is None else [found]
    parts = contributions(s)
    if parts:
        unit = "nats per row" if s.model.nats else "loss per row"
        most = 20
        body = [[name, f"{value:.4g}", f"{share:.1%}"] for name, value, share in parts]
        section.blocks.append(Cells(
            ["column", unit, "share"], body[:most],
            "What each column adds to the reconstruction loss, the largest first: those are hard to tell from the latent vector. "
            "A density can make it negative.",
            numbers=frozenset({1, 2}), folded="" if len(body) <= 12 else f"Loss by column ({min(most, len(body))} of "
                                                                         f"{len(body)})",
        ))  # fmt: skip
    return section


def _one_per_label(s: Study) -> Any:
    """Rows of different labels first."""
    rows = s.rows
    assert rows is not None
    n = min(10, len(rows))
    index = rows.index(2000, s.seed)
    if rows.labels is None:
        return index[np.linspace(0, len(index) - 1, n).round().astype(int)]
    _, first = np.unique(rows.labels[index], return_index=True)
    chosen = list(index[first][:n])
    chosen += [i for i in index if i not in set(chosen)][: n - len(chosen)]
    return np.array(chosen)


def _beside(s: Study) -> Cells:
    """Rows and what comes back of them, cell by cell."""
    rows, net = s.rows, s.net
    assert rows is not None
    index = rows.index(2000, s.seed)
    index = index[np.linspace(0, len(index) - 1, min(EXAMPLES, len(index))).round().astype(int)]
    names = [name for name, _, _ in contributions(s)] or list(rows.names)
    names = [name for name in rows.names if name in set(names[:WIDE])]
    made = net.reconstruct(rows.x[index])
    back = _texts_of(s, made, names)
    own = [rows.texts(int(row), names) for row in index]
    body, marked = [], set()
    for line, name in enumerate(names):
        cells = [name]
        for at, row in enumerate(index):
            cells += [brief(own[at][line], 30), brief(back[at][line], 30)]
            if _differs(s, name, own[at][line], back[at][line], int(row)):
                marked.add((line, 2 * at + 2))
        body.append(cells)
    head = ["column"]
    for row in index:
        head += [f"row {row}", "reconstructed"]
    more = f" {len(names)} of {len(rows.names):,} columns, those with the largest loss." if len(names) < len(rows.names) else ""
    return Cells(
        head, body,
        "Rows (counted from 0) and what comes back of them through the latent space. Marked: another word, or a number that is "
        f"off by more than half of the column's standard deviation.{more}",
        marked=frozenset(marked), named=True,
    )  # fmt: skip


def _texts_of(s: Study, values: Any, names: list[str]) -> list[list[str]]:
    """Rows that the network gave, as texts."""
    rows = s.rows
    assert rows is not None
    schema = s.net.schema
    if schema is None or rows.cells is None:
        made = Rows(values, rows.names, "", "", scale=rows.scale)
        return [made.texts(row, names) for row in range(len(values))]
    cells = as_in_file(rows, decoded_columns(schema.decode(values)))
    return [[cell_text(cells[name], row) if name in cells else "" for name in names] for row in range(len(values))]


def as_in_file(rows: Rows | None, cells: dict[str, Any]) -> dict[str, Any]:
    """Columns with as many decimals as the file has."""
    given = rows.cells if rows is not None and rows.cells is not None else {}
    return {
        name: column._replace(decimals=given[name].decimals, form=given[name].form)
        if name in given and column.type == given[name].type
        else column
        for name, column in cells.items()
    }


def _differs(s: Study, name: str, own: str, back: str, row: int) -> bool:
    rows = s.rows
    assert rows is not None
    if not own or own == back:
        return False
    try:
        a, b = float(own.replace(",", "")), float(back.replace(",", ""))
    except ValueError:
        return True
    if rows.cells is not None:
        values = rows.cells[name].values
        spread = float(np.nanstd(values)) if rows.cells[name].type == 0 else 0.0
    else:
        spread = float(rows.x[:, rows.names.index(name)].std()) * rows.scale
    return abs(a - b) > 0.5 * spread
