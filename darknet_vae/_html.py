"""What notebooks show of networks and results: small tables in the notebook's own colours, so that they suit light and dark."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .checking import Check
    from .detection import Detections
    from .network import Network
    from .synthetic_report import SyntheticReport
    from .tables import Schema
    from .training import History

MOST = 60  # rows of a table

_LEFT, _RIGHT = "text-align: left; vertical-align: top", "text-align: right; vertical-align: top; white-space: nowrap"


class Markup(str):
    """Text that is HTML already."""


def _cell(tag: str, value: object, style: str) -> str:
    inside = value if isinstance(value, Markup) else escape(str(value))
    return f'<{tag} style="{style}">{inside}</{tag}>'


def table(
    head: Sequence[object], rows: Iterable[Sequence[object]], caption: str = "", numbers: Iterable[int] = (), foot: str = ""
) -> str:
    """An HTML table of escaped texts; `numbers`: which columns are aligned to the right. Long ones end with how many are
    missing."""
    right = set(numbers)
    styles = [_RIGHT if at in right else _LEFT for at in range(len(head))]
    lines = [list(row) for row in rows]
    parts = ["<div>"]
    if caption:
        parts.append(f"<p>{escape(caption)}</p>")
    parts.append("<table><thead><tr>")
    parts += [_cell("th", word, style) for word, style in zip(head, styles, strict=True)]
    parts.append("</tr></thead><tbody>")
    for line in lines[:MOST]:
        parts += ["<tr>", *(_cell("td", value, style) for value, style in zip(line, styles, strict=True)), "</tr>"]
    parts.append("</tbody></table>")
    if len(lines) > MOST:
        foot = f"{len(lines) - MOST:,} more rows. {foot}".strip()
    if foot:
        parts.append(f"<p><small>{escape(foot)}</small></p>")
    return "".join([*parts, "</div>"])


def number(value: Any) -> str:
    """Six digits; nothing for None and NaN."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return f"{value:,}" if isinstance(value, int) else f"{float(value):.6g}"


def course(values: Sequence[float], width: int = 120, height: int = 24) -> Markup:
    """A line as small as a word, in the colour of the text."""
    known = [(at, value) for at, value in enumerate(values) if math.isfinite(value)]
    if len(known) < 2:
        return Markup("")
    steps = min(width, len(known)) - 1
    known = [known[round(i * (len(known) - 1) / steps)] for i in range(steps + 1)]
    low, high = min(value for _, value in known), max(value for _, value in known)
    across, up = (width - 2) / max(len(values) - 1, 1), (height - 4) / (high - low or 1)
    points = " ".join(f"{1 + at * across:.1f},{2 + (high - value) * up:.1f}" for at, value in known)
    return Markup(
        f'<svg width="{width}" height="{height}" role="img" aria-label="from {known[0][1]:.4g} to {known[-1][1]:.4g}">'
        f'<polyline points="{points}" fill="none" stroke="currentColor" stroke-width="1.2"></polyline></svg>'
    )


# ---- what is shown ----


def _form(shape: Sequence[int]) -> str:
    channels, height, width = [*shape, 1, 1][:3]
    return f"{channels:,}" if height * width == 1 else f"{width} x {height} x {channels}"


def network(net: Network) -> str:
    """The layer table."""
    found = net.describe()
    named = any(layer["name"] for layer in found["layers"])
    rows = []
    for layer in found["layers"]:
        kind = layer["type"] + (f" ({layer['loss']})" if layer.get("loss") else "")
        work = layer["flops_per_row"]
        rows.append([
            layer["index"], *([layer["name"]] if named else []), kind, _form(layer["input"]), _form(layer["output"]),
            f"{layer['parameters']:,}" if layer["parameters"] else "", f"{work / 1e6:.3f}" if work else "",
        ])  # fmt: skip
    head = ["layer", *(["name"] if named else []), "type", "input", "output", "parameters", "MFLOP"]
    latent = f", {net.latent_size:,} latents" if net.latent_size else ""
    return table(
        head, rows, f"Network {os.path.basename(net.cfg)}: {net.inputs:,} to {net.outputs:,}{latent}",
        [0, len(head) - 2, len(head) - 1],
        f"{found['parameters']:,} parameters, {found['flops_per_row'] / 1e6:,.3f} MFLOP for a row forward, "
        f"{net.seen:,} rows seen, on {net.device}",
    )  # fmt: skip


def history(h: History) -> str:
    """Losses and scores: their course, first, lowest and last value."""
    rows = []
    for name, values in h.items():
        known = [value for value in values if math.isfinite(value)]
        if known:
            rows.append([name, course(values), number(values[0]), number(min(known)), number(values[-1])])
    epochs = len(h.total_loss)
    caption = f"History of {epochs:,} epoch{'s' * (epochs != 1)}, {h.seconds:.3g} seconds"
    return table(["", "course", "first", "lowest", "last"], rows, caption, [2, 3, 4], h.outcome)


_UNITS = {
    "image_loss": "per row", "latent_loss": "nats per row", "kl_cost": "per row", "total_loss": "per row",
    "reconstruction": "nats per row", "kl": "nats per row", "elbo": "nats per row", "log_likelihood": "nats per row",
    "log_likelihood_standard_error": "nats per row", "bits_per_dimension": "bits per value", "active_units": "dimensions",
    "accuracy": "of rows", "mse": "per target",
}  # fmt: skip


def evaluation(values: dict[str, Any]) -> str:
    """The numbers that are defined, with their units; arrays by their length."""
    rows: list[list[object]] = []
    for name, value in values.items():
        if name == "baselines":
            rows += [
                [key, number(one), "nats per row" if "mse" not in key else "per value"]
                for key, one in value.items()
                if one is not None
            ]
        elif hasattr(value, "shape"):
            rows.append([name, f"array of {len(value):,}", ""])
        elif name != "diagnosis":
            rows.append([name, number(value), _UNITS.get(name, "")])
    return table(["", "value", "unit"], rows, "Evaluation: means over the rows", [1], values.get("diagnosis") or "")


def checks(check: Check) -> str:
    """The comparisons, those that failed first."""
    rows = []
    for one in sorted(check, key=lambda one: one.ok is not False):
        result = Markup("<b>failed</b>") if one.ok is False else "hidden by rounding" if one.ok is None else "ok"
        rows.append([
            "" if one.layer is None else one.layer, one.type, one.what, one.compared_with, f"{one.values:,}", f"{one.error:.2g}",
            f"{one.tolerance:.2g}", result,
        ])  # fmt: skip
    head = ["layer", "type", "what", "compared with", "values", "error", "tolerance", "result"]
    return table(head, rows, check.summary, [0, 4, 5, 6])


def synthetic(report: SyntheticReport) -> str:
    """Means, columns and closeness."""
    p, (real, made, _) = report.privacy, report.rows
    rows = [
        ["column shapes", f"{report.column_shapes:.3f}", "1: every column is distributed as in the real rows"],
        [
            "pair trends",
            "" if math.isnan(report.pair_trends) else f"{report.pair_trends:.3f}",
            "1: pairs hang together as in the real rows",
        ],
        ["closest real row", f"{p.synthetic.median:.4f}", f"median distance; of {p.whose} rows {p.reference.median:.4f}"],
        ["equal to a real row", f"{p.synthetic.copies:.1%}", f"of {p.whose} rows {p.reference.copies:.1%}"],
    ]
    if report.usefulness is not None:
        u = report.usefulness
        rows.append([f"predicting {u.target}", f"{u.synthetic:.3f}", f"{u.measure}; trained on real rows {u.real:.3f}"])
    columns = sorted(report.shapes.items(), key=lambda item: item[1])
    return table(["", "value", ""], rows, f"{made:,} synthetic rows beside {real:,} real ones", [1]) + table(
        ["column", "kind", "shape", "missing: real", "synthetic"],
        [
            [name, report.kinds[name], f"{value:.3f}", *(f"{part:.1%}" for part in report.missing[name])]
            for name, value in columns
        ],
        "", [2, 3, 4], " ".join(report.notes),
    )  # fmt: skip


def detections(found: Detections) -> str:
    """A row for each object."""
    rows = [
        [int(kind), f"{score:.3f}", *(f"{value:.1f}" for value in box)]
        for kind, score, box in zip(found.classes, found.scores, found.boxes, strict=True)
    ]
    caption = f"{len(found):,} object{'s' * (len(found) != 1)}; boxes in pixels of the image"
    return table(["class", "score", "x (centre)", "y (centre)", "width", "height"], rows, caption, range(6))


def schema(s: Schema) -> str:
    """The columns of a table."""
    rows = []
    for c in s.columns:
        if c.words:
            top = sorted(zip(c.counts, c.words, strict=True), key=lambda pair: -pair[0])[:4]
            values = ", ".join(f"{word} ({count:,})" for count, word in top) + (", …" if len(c.words) > 4 else "")
        else:
            values = f"{c.low:.6g} to {c.high:.6g}, median {c.median:.6g}" if c.kind == "number" and math.isfinite(c.low) else ""
        rows.append([c.name, c.kind, f"{c.missing:,}", values])
    return table(["column", "kind", "missing", "values"], rows, f"Schema of a table of {s.rows:,} rows", [2])
