"""The sections of a report about the columns, the network, and how to repeat it."""

from __future__ import annotations

import json
import os
import platform
import shlex
from collections.abc import Sequence
from typing import Any

import numpy as np

from .._version import __version__
from .findings import kept_epoch
from .page import Block, Cells, Code, Section, Text
from .rows import shown
from .study import Study

# ---- the table's columns ----


def columns(s: Study) -> Section:
    section = Section("columns", "Columns")
    schema = s.net.schema
    if schema is None:
        return section
    body = []
    for c in schema.columns:
        if c.words:
            words = sorted(zip(c.counts, c.words, strict=True), key=lambda pair: -pair[0])[:4]
            values = ", ".join(f"{word} ({count:,})" for count, word in words) + (", …" if len(c.words) > 4 else "")
        elif c.kind in ("number",) and np.isfinite(c.low):
            values = f"{shown(c.low)} to {shown(c.high)}, median {shown(c.median)}"
        elif c.kind == "time" and np.isfinite(c.low):
            days = [str(np.datetime64(int(t), "s"))[:10] for t in (c.low, c.high)]
            values = f"{days[0]} to {days[1]}"
        else:
            values = f"{c.distinct:,} different" if c.distinct else ""
        body.append([c.name, c.kind.replace("_", "/"), f"{c.missing:,}", values, "yes" if c.condition else ""])
    head = ["column", "kind", "missing", "values", "given (condition)"]
    if not any(line[4] for line in body):
        head, body = head[:4], [line[:4] for line in body]
    many = len(body) > 40
    section.intro = (
        f"What was learned of the table that the network was trained on: {schema.rows:,} rows, {len(schema.columns):,} columns, "
        f"{len(schema.coded):,} of them modelled."
    )
    section.blocks.append(Cells(head, body, numbers=frozenset({2}), folded=f"All {len(body):,} columns" if many else ""))
    return section


# ---- the network ----


def network_section(s: Study) -> Section:
    section = Section("network", "Network")
    body = []
    for layer in s.model.table["layers"]:
        kind = layer["type"] + (f" ({layer['loss']})" if layer.get("loss") else "")
        work = layer["flops_per_row"]
        body.append([
            str(layer["index"]), layer.get("name") or "", kind, _form(layer["input"]), _form(layer["output"]),
            f"{layer['parameters']:,}" if layer["parameters"] else "", f"{work / 1e6:.3f}" if work else "",
        ])  # fmt: skip
    head = ["layer", "name", "type", "input", "output", "parameters", "MFLOP"]
    numbers = {0, 5, 6}
    if not any(line[1] for line in body):
        head.pop(1)
        body = [line[:1] + line[2:] for line in body]
        numbers = {0, 4, 5}
    t = s.model.table
    section.blocks.append(Cells(
        head, body,
        f"{t['parameters']:,} parameters; {t['flops_per_row'] / 1e6:,.3f} million floating-point operations for one row forward; "
        f"{t['batch']} rows per pass. Shapes: width x height x channels.",
        numbers=frozenset(numbers), folded=f"All {len(body)} layers" if len(body) > 40 else "",
    ))  # fmt: skip
    section.blocks.append(Code(s.net.cfg_text.strip(), folded="The network's cfg"))
    return section


def _form(shape: list[int]) -> str:
    channels, height, width = [*shape, 1, 1][:3]
    return f"{channels:,}" if height * width == 1 else f"{width} x {height} x {channels}"


def left_out(s: Study) -> list[Block]:
    return [Text(f"Left out: {line}.") for line in dict.fromkeys(s.left_out)]


# ---- how to repeat it ----


def repeat(s: Study, X: Any, log: Any, command: Sequence[str] | None) -> Section:
    section = Section("repeat", "How to repeat it")
    section.blocks.append(Cells(["", ""], _facts(s), wraps=True))
    section.blocks.append(Code(_again(s, X, log, command), "This page:"))
    if s.net.seen:
        section.blocks.append(Code(
            _training_command(s),
            "The training, with the cfg above (options that a model does not keep, such as -holdout, are those of the log where "
            "there is "
            "one):",
        ))  # fmt: skip
    return section


def _facts(s: Study) -> list[list[str]]:
    import matplotlib

    rows = s.rows
    facts = [["model", s.model.name]]
    if rows is not None:
        facts.append(["data", f"{rows.source}: {len(rows):,} rows of {rows.x.shape[1]:,} values"
                      + (f", divided by {rows.scale:g}" if rows.scale != 1 else "")])  # fmt: skip
        facts.append(["data, SHA-256", rows.fingerprint])
    facts += [
        ["seed", f"{trained_seed(s)} (training), {s.seed} (draws of this page)"],
        ["darknet-vae", f"{__version__}, device {s.net.device}"],
        ["Python", f"{platform.python_version()}, numpy {np.__version__}, matplotlib {matplotlib.__version__}"],
    ]
    return facts


def trained_seed(s: Study) -> int:
    """The seed of the training: a model file notes it, other networks have their own."""
    path = str(s.net.cfg)
    try:
        with open(path, "rb") as file:
            size = int.from_bytes(file.read(8), "little")
            head = json.loads(file.read(size)) if size < 1 << 26 else {}
        return int(json.loads(head["__metadata__"]["darknet_vae.state"])["seed"])
    except (OSError, ValueError, KeyError, TypeError):
        return s.net.seed


def _given(path: Any) -> str:
    """A path as it was given, but without folders of this machine."""
    text = os.fspath(path) if isinstance(path, str | os.PathLike) else ""
    return os.path.basename(text) if os.path.isabs(text) else text


def _again(s: Study, X: Any, log: Any, command: Sequence[str] | None) -> str:
    if command is not None:
        return shlex.join(command)
    own = _given(s.net.cfg)
    is_model = own.endswith(".safetensors")
    load = (
        f"dv.Network.load({own!r})"
        if is_model
        else 'dv.Network.load("model.safetensors")  # which net.save("model.safetensors") wrote'
    )
    data = repr(_given(X)) if isinstance(X, str | os.PathLike) else "None" if X is None else "X"
    given = f"net, {data}" if X is not None else "net"
    if isinstance(log, str | os.PathLike):
        given += f", log={_given(log)!r}"
    elif log is not None:
        given += ", log=history"
    given += f", k={s.k}" * (s.k is not None) + f", seed={s.seed}" * (s.seed != 0)
    stem = os.path.splitext(own if own not in ("cfg_text", "bytes") else "network")[0] or "network"
    return f"import darknet_vae as dv\n\nnet = {load}\ndv.report({given}).save({stem + '.html'!r})"


def _training_command(s: Study) -> str:
    stem = os.path.splitext(s.model.name)[0] or "network"
    source = s.rows.source if s.rows is not None and "." in s.rows.source else "DATA.csv"
    words = ["darknet-vae", "train", f"{stem}.cfg", source, "-seed", str(trained_seed(s))]
    epochs = s.epochs.get("epoch")
    if epochs is not None and len(epochs):
        words += ["-epochs", str(int(np.nanmax(epochs)))]
    held = _holdout(s)
    if held is not None:
        words += ["-holdout", f"{held:g}"]
        words += ["-keep", "best"] if _kept_best(s) else []
    elif s.rows is not None and len(s.rows) and s.net.seen % len(s.rows) == 0 and epochs is None:
        words += ["-epochs", str(s.net.seen // len(s.rows))]
    if s.rows is not None and s.rows.label_name and s.rows.labels is not None and not s.net.label_column:
        words += ["-label-column", s.rows.label_name]
    if s.net.row_weight:
        words += ["-row-weight", s.net.row_weight]
    words += ["-save", f"{stem}.safetensors"]
    return shlex.join(words)


def _holdout(s: Study) -> float | None:
    trained = s.epochs.get("rows")
    if "valid_loss" not in s.epochs or trained is None or s.rows is None or not len(trained):
        return None
    n, used = len(s.rows), int(trained[-1])
    guess = round(1 - used / n, 2) if n else 0.0
    return guess if 0 < guess < 1 and abs(n * guess - (n - used)) < 1 else None


def _kept_best(s: Study) -> bool:
    return bool(kept_epoch(s, s.epochs["valid_loss"]))
