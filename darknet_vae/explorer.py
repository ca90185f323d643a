"""The latent explorer: a network's latent space as one page of HTML in which latents are decoded live.

The page holds the network (its weights as float32, see graph.py), the latents of some rows, and scripts; it asks no server, so a
saved one works from a folder or any web server. The parts are the files of `web/`.
"""

from __future__ import annotations

import base64
import html
import json
import os
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from . import errors
from ._lib import Array, Path, save_bytes
from ._version import __version__
from .graph import CONDITION, Graph, trace

if TYPE_CHECKING:
    from .network import Network
    from .tables import Frame, Schema

WEB = FilePath(__file__).parent / "web"
SCRIPTS = (
    "network.js", "decoder.js", "schema.js", "views.js", "colours.js", "plane.js", "controls.js", "way.js", "own.js",
    "explorer.js",
)  # fmt: skip
"""In this order: later ones use earlier ones."""
POINTS = 10_000
LARGE = 20_000_000
"""Bytes of a page that are worth a word."""

TYPES = {"f4": "<f4", "f8": "<f8", "i4": "<i4", "u1": "u1"}
"""Of arrays in the page."""

Shape = tuple[int, int, int]
"""(channels, height, width)"""


class _Block:
    """Arrays one after another, each at a multiple of eight bytes; in the page's JSON they are {type, at, n}."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.size = 0

    def add(self, values: npt.ArrayLike, kind: str = "f4") -> dict[str, Any]:
        array = np.ascontiguousarray(values, TYPES[kind])
        data = array.tobytes()
        data += bytes(-len(data) % 8)
        self.parts.append(data)
        self.size += len(data)
        return {"type": kind, "at": self.size - len(data), "n": int(array.size)}

    def text(self) -> str:
        return base64.b64encode(zlib.compress(b"".join(self.parts), 6)).decode()


# ---- the network ----


def _graph(graph: Graph, block: _Block) -> dict[str, Any]:
    steps = []
    for step in graph.steps:
        numbers = dict(step.numbers)
        if step.op in ("conv", "deconv"):
            assert step.weights is not None
            numbers["window"] = step.weights.shape[2]
        steps.append({
            "op": step.op, "inputs": step.inputs, "shape": step.shape, "activation": step.activation, "numbers": numbers,
            "weights": None if step.weights is None else block.add(step.weights),
            "biases": None if step.biases is None else block.add(step.biases),
            "table": None if step.table is None else block.add(step.table, "i4"),
        })  # fmt: skip
    return {"inputs": graph.inputs, "condition": graph.condition, "steps": steps}


def _given(graph: Graph) -> list[int]:
    """The coded columns that a [condition] reads, ascending."""
    read = [
        step.table[0] for step in graph.steps if step.op == "expand" and step.inputs[0] == CONDITION and step.table is not None
    ]
    return sorted({int(column) for columns in read for column in columns})


# ---- rows ----


@dataclass
class _Rows:
    """Rows of data as the page has them: `coded` as the network takes them; `columns` that points can be coloured by and that
    are shown of a row, each (name, kind, values, words, decimals, form)."""

    coded: Array
    columns: list[dict[str, Any]]
    label: str | None


def _text_column(name: str, values: Sequence[Any] | npt.NDArray[Any]) -> dict[str, Any]:
    words, codes = np.unique(np.asarray(values, str), return_inverse=True)
    return {"name": name, "kind": "text", "values": codes.astype(np.int32), "words": words.tolist()}


def _frame_columns(frame: Frame) -> list[dict[str, Any]]:
    from .tables import _TEXT, _TIME, _take

    found: list[dict[str, Any]] = []
    for column in _take(frame.handle):
        if column.type == _TEXT:
            about: dict[str, Any] = {"kind": "text", "words": column.words}
        else:
            kind = "time" if column.type == _TIME else "number"
            about = {"kind": kind, "decimals": column.decimals, "form": column.form}
        found.append({"name": column.name, "values": column.values, **about})
    return found


def _rows(net: Network, X: Any, labels: Any, first: int | None) -> _Rows:
    from .tables import Frame
    from .typed import is_table

    schema = net.schema
    if schema is not None and (is_table(X) or isinstance(X, Frame)):
        frame = X if isinstance(X, Frame) else Frame(X)
        columns = _frame_columns(frame)
        label = next((column.name for column in schema.columns if column.kind == "label"), None)
        coded = schema.code(frame)
    else:
        coded, columns, label = net._matrix(X), [], None
    if labels is not None:
        if len(labels) != len(coded):
            raise errors.UsageError(f"X has {len(coded)} rows, labels has {len(labels)}")
        label = net.label_column or "label"
        columns = [_text_column(label, labels), *(column for column in columns if column["name"] != label)]
    if first is not None and first < len(coded):
        coded, columns = coded[:first], [{**column, "values": column["values"][:first]} for column in columns]
    return _Rows(coded, columns, label)


def _chosen(n: int, points: int, seed: int) -> npt.NDArray[np.int64]:
    """The rows that are in the page: all, or so many drawn without replacement, in their order."""
    if n <= points:
        return np.arange(n)
    return np.sort(np.random.default_rng(seed).permutation(n)[:points])


def _principal_axes(mean: Array) -> tuple[Array, Array, Array]:
    """Centre (latent,), the two directions of the largest variance (2, latent), and what part of the variance each has."""
    centre = mean.mean(axis=0, dtype=np.float64)
    values, vectors = np.linalg.eigh(np.cov(mean.T.astype(np.float64), ddof=0).reshape(len(centre), len(centre)))
    axes = vectors.T[::-1][:2]
    axes *= np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)])[:, None]  # the largest entry is positive
    return centre.astype(np.float32), axes.astype(np.float32), values[::-1][:2] / max(values.sum(), 1e-30)


def _effects(net: Network, condition: Array | None) -> npt.NDArray[np.float64]:
    """How far the decoded row moves, in root mean square over its values, while a latent goes from -2 to 2 about 0."""
    z = np.zeros((2 * net.latent_size, net.latent_size), np.float32)
    z[np.arange(len(z)), np.arange(len(z)) // 2] = np.tile([-2, 2], net.latent_size)
    rows = net.sample(z, draw=False, codes=True, condition=condition) if net.schema else net.sample(z, condition=condition)
    ends = np.nan_to_num(rows.astype(np.float64))
    found: npt.NDArray[np.float64] = np.sqrt(np.mean((ends[1::2] - ends[::2]) ** 2, axis=1))
    return found


def _scores(net: Network, coded: Array) -> tuple[Any, Any]:
    """As the verb `score` gives them, with what each column adds where rows are tables; None where there is no score."""
    try:
        if net._knows_columns:
            return net.score_rows(coded, contributions=True)
        return net.score_rows(coded), None
    except errors.DarknetError:
        return None, None


def _data(coded: Array, scale: float, block: _Block) -> dict[str, Any]:
    """Rows of plain numbers: as bytes where these say all of it."""
    whole = coded.astype(np.float64) * scale
    if whole.size and whole.min() >= 0 and whole.max() <= 255:
        near = np.rint(whole)
        if np.abs(whole - near).max() < 1e-4:
            return {**block.add(near, "u1"), "scale": scale}
    return {**block.add(coded), "scale": 1}


def _points(net: Network, rows: _Rows, points: int, seed: int, given: list[int], block: _Block) -> tuple[dict[str, Any], Any]:
    """What the page says of rows, and their encoding: latent means, log-variances."""
    coded = rows.coded
    if not len(coded):
        raise errors.UsageError("explore: there are no rows")
    mean, log_variance = net.encode(coded)
    scores, contributions = _scores(net, coded)
    take = _chosen(len(coded), points, seed)
    ranks = np.unique(np.linspace(0, len(coded) - 1, 1001).astype(int))  # of scores, to say how many are below one
    columns = []
    for column in rows.columns:
        kind = "i4" if column["kind"] == "text" else "f8"
        columns.append({**column, "values": block.add(np.asarray(column["values"])[take], kind)})
    found = {
        "n": len(take), "of": len(coded), "row": block.add(take, "i4"), "z": block.add(mean[take]), "columns": columns,
        "label": rows.label,
        "score": None if scores is None else block.add(scores[take], "f8"),
        "below": None if scores is None else block.add(np.sort(scores)[ranks], "f8"),
        "contributions": None if contributions is None else block.add(contributions[take]),
        "given": block.add(coded[take][:, given]) if given else None,
        "data": None if net.schema is not None else _data(coded[take], net.data_scale, block),
    }  # fmt: skip
    return found, (mean, log_variance)


# ---- outputs ----


def _schema(schema: Schema, given: list[int], block: _Block) -> dict[str, Any]:
    """The schema's JSON with its long lists as arrays, and in the order of the coded matrix."""
    parsed = json.loads(schema.json)
    place = {column.name: column.coded for column in schema.columns}
    classes = {column.name: column.classes for column in schema.columns}
    columns = []
    for column in parsed["columns"]:
        at = place[column["name"]]
        if at is None:
            continue
        words = list(column.get("words", []))
        if "rare" in column:
            words.append(f"other ({len(column.pop('rare'))} rare)")
            column["other"] = column.pop("rare_counts") is not None
        for key in ("values", "below", "at"):
            if key in column:
                column[key] = block.add(column[key], "f8")
        column |= {"place": at, "classes": classes[column["name"]], "rows": parsed["rows"] - column["missing"],
                   "given": at in given}  # fmt: skip
        columns.append({**column, "words": words or None})
    order = [column["name"] for column in columns]
    others = [column.name for column in schema.columns if column.coded is None]
    columns.sort(key=lambda column: int(column["place"]))
    return {"kind": "table", "coding": parsed["coding"], "columns": columns, "order": order, "others": others}


def _output(net: Network, shape: Shape | None, names: Sequence[str] | None, given: list[int], block: _Block) -> dict[str, Any]:
    schema, width = net.schema, int(net._info().data_columns)
    if schema is not None:
        return _schema(schema, given, block)
    form = shape or net.output_shape
    if shape is not None and (len(shape) != 3 or int(np.prod(shape)) != width):
        raise errors.UsageError(f"explore: decoded rows have {width} values, which are no image of {'x'.join(map(str, shape))}")
    if form is not None and form[1] * form[2] > 1 and form[0] in (1, 3) and int(np.prod(form)) == width:
        return {"kind": "image", "shape": form}
    known = list(names or net.columns)
    return {"kind": "vector", "names": known if len(known) == width else [f"x{i}" for i in range(width)]}


def _dimensions(net: Network, encoded: Any, condition: Array | None) -> list[dict[str, Any]]:
    """Of every latent dimension: KL, whether it is active, its range."""
    if encoded is None:
        effects = _effects(net, condition)
        most = effects.max(initial=0)
        return [{"kl": None, "effect": float(effect), "active": bool(effect > 0.01 * most), "low": -3, "high": 3, "middle": 0}
                for effect in effects]  # fmt: skip
    mean, log_variance = (values.astype(np.float64) for values in encoded)
    kl = 0.5 * np.mean(np.exp(log_variance) + mean**2 - 1 - log_variance, axis=0) if net.variational else mean.var(axis=0)
    # Burda et al., arXiv:1509.00519: active where the posterior mean varies over the rows; of a code, where it varies at all
    least = 0.01 if net.variational else 1e-6 * float(kl.max(initial=0))
    reach = np.maximum(np.abs(mean).max(axis=0), 3 if net.variational else 1e-6)
    ends = (-reach, reach) if net.variational else (mean.min(axis=0), mean.max(axis=0))
    return [
        {"kl": float(kl[d]), "effect": None, "active": bool(mean[:, d].var() > least), "low": float(ends[0][d]),
         "high": float(ends[1][d]), "middle": 0.0 if net.variational else float(mean[:, d].mean())}
        for d in range(net.latent_size)
    ]  # fmt: skip


def _sentences(net: Network, points: dict[str, Any] | None, output: dict[str, Any]) -> list[str]:
    kind = {"table": f"a table of {len(output.get('order', []))} columns", "vector": f"{net.outputs} values"}
    if output["kind"] == "image":
        c, h, w = output["shape"]
        kind["image"] = f"images of {h} x {w}" + (" in colour" if c == 3 else "")
    dims = f"{net.latent_size} latent dimension{'s' if net.latent_size > 1 else ''}"
    found = [f"{dims}, {kind[output['kind']]}, {net.n_params:,} parameters"]
    if points and points["n"] < points["of"]:
        found.append(f"{points['n']:,} of {points['of']:,} rows, drawn at random")
    elif points:
        found.append(f"{points['n']:,} row{'s' if points['n'] > 1 else ''}")
    return found


# ---- the page ----


def _json(value: Any) -> str:
    """JSON for a <script>: no text in it can end the element or begin a comment."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"), default=float)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _bare(value: Any) -> Any:
    """Without numbers that JSON has no word for."""
    if isinstance(value, dict):
        return {key: _bare(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_bare(item) for item in value]
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value


def _read(name: str) -> str:
    return (WEB / name).read_text(encoding="utf-8")


def page(
    net: Network, X: Any = None, labels: npt.ArrayLike | None = None, *, points: int = POINTS, seed: int = 0,
    names: Sequence[str] | None = None, shape: Shape | None = None, title: str | None = None, rows: int | None = None,
) -> str:  # fmt: skip
    """The explorer of a network as the text of an HTML page; the parameters are those of `explore`."""
    net._need_latent()
    model, block = trace(net), _Block()
    decoder, encoder = _graph(model.decoder, block), _graph(model.encoder, block)
    given = _given(model.decoder)
    output = _output(net, shape, names, given, block)
    found, encoded, pca = None, None, None
    condition = np.full(net.inputs, np.nan, np.float32) if model.decoder.condition else None
    if X is not None:
        found, encoded = _points(net, _rows(net, X, labels, rows), points, seed, given, block)
        if net.latent_size > 2 and found["of"] > 1:
            centre, axes, parts = _principal_axes(encoded[0])
            pca = {"centre": block.add(centre), "axes": block.add(axes), "variance": [float(part) for part in parts]}
    name = title or os.path.basename(net.cfg)
    about = {
        "title": name, "version": __version__, "sentences": _sentences(net, found, output), "latent": net.latent_size,
        "variational": net.variational, "likelihood": model.likelihood, "scale": net.data_scale,
        "decoder": decoder, "encoder": encoder,
        "output": output, "dimensions": _dimensions(net, encoded, condition), "points": found, "pca": pca, "given": given,
    }  # fmt: skip
    scripts = "\n".join(f'<script id="{file[:-3]}-source">\n{_read(file)}</script>' for file in SCRIPTS)
    filled = {
        "title": html.escape(name), "style": _read("base.css") + _read("explorer.css"), "about": _json(_bare(about)),
        "block": block.text(), "scripts": scripts,
    }  # fmt: skip
    return re.sub(r"\{\{(\w+)\}\}", lambda match: filled[match[1]], _read("explorer.html"))


def explore(
    net: Network, X: Any = None, labels: npt.ArrayLike | None = None, *, output: Path | None = None, port: int = 0,
    browser: bool = True, points: int = POINTS, seed: int = 0, names: Sequence[str] | None = None, shape: Shape | None = None,
    title: str | None = None, rows: int | None = None, quiet: bool = False,
) -> str:  # fmt: skip
    """Show the latent space of a network in a browser: its rows as points, and what any latents are decoded to, live.

    X: rows (n, inputs), or a table if the network has learned one; None: none are shown. labels: (n,), which colour the points.
    output: write the page to this file, and serve nothing: it needs no server, and holds the rows that it shows. port: of the
    server on 127.0.0.1; 0: a free one. browser: open it in the browser. points: how many rows the page has at most; of more,
    so many drawn at random with `seed`. names: of the values of a row. shape: (channels, height, width) of an image, if the cfg
    does not give it. rows: only the first so many. Returns the path of the file; serving, the address, after Ctrl-C."""
    text = page(net, X, labels, points=points, seed=seed, names=names, shape=shape, title=title, rows=rows)
    if output is not None:
        save_bytes(output, text.encode())
        return os.fspath(output)
    from ._page_server import serve

    return serve(text, port=port, browser=browser, quiet=quiet)


__all__ = ["explore", "page"]
