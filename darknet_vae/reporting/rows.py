"""The rows of a report: as the network takes them, and as their reader knows them."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .. import errors
from .._lib import Array, matrix
from ..row_weights import rows_and_weights, weights_of
from ..tables import Frame, _as_numpy, _Decoded, decoded_columns
from ..typed import coded, is_table

if TYPE_CHECKING:
    from ..network import Network

_TIME, _TEXT = 1, 2  # of a _Decoded


@dataclass
class Rows:
    """`x`: (rows, inputs) as the network takes them. `names`: of its columns. `cells`: the columns of a table as they were
    written, also those that are not in `x`; None: rows are plain numbers, which were divided by `scale`. `weights`: how much
    each row counts in means, by the column that the network knows as such."""

    x: Array
    names: list[str]
    source: str
    fingerprint: str
    labels: npt.NDArray[np.str_] | None = None
    label_name: str | None = None
    truth: Array | None = None
    scale: float = 1.0
    cells: dict[str, _Decoded] | None = None
    weights: Array | None = None
    notes: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.x)

    @property
    def is_table(self) -> bool:
        return self.cells is not None

    def index(self, most: int, seed: int = 0) -> npt.NDArray[np.int64]:
        """At most so many rows, drawn without repetition, in their order."""
        if len(self) <= most:
            return np.arange(len(self))
        return np.sort(np.random.default_rng(seed).permutation(len(self))[:most])

    def texts(self, row: int, names: Sequence[str]) -> list[str]:
        """Cells of a row as texts; missing ones are empty."""
        if self.cells is not None:
            return [cell_text(self.cells[name], row) if name in self.cells else "" for name in names]
        place = {name: at for at, name in enumerate(self.names)}
        return [shown(float(self.x[row, place[name]]) * self.scale) for name in names]

    def columns(self, names: Sequence[str], index: npt.NDArray[np.int64]) -> dict[str, Any]:
        """Some rows as a dict of arrays, in the units of the file."""
        if self.cells is not None:
            return {name: _as_numpy(_some(self.cells[name], index), None) for name in names if name in self.cells}
        place = {name: at for at, name in enumerate(self.names)}
        return {name: self.x[index, place[name]].astype(np.float64) * self.scale for name in names}


def _some(column: _Decoded, index: npt.NDArray[np.int64]) -> _Decoded:
    return column._replace(values=column.values[index])


def shown(value: float) -> str:
    """A number for people: five digits, without zeros at the end, whole numbers as such."""
    if not np.isfinite(value):
        return "" if np.isnan(value) else "infinite" if value > 0 else "minus infinite"
    size = abs(value)
    if value == round(value) and size < 1e15:
        return f"{int(value):,}"
    if not 1e-4 <= size < 1e12:
        return f"{value:.4g}"
    decimals = max(0, 4 - int(np.floor(np.log10(size))))
    text = f"{value:,.{decimals}f}"
    return text.rstrip("0").rstrip(".") if decimals else text


def cell_text(column: _Decoded, row: int) -> str:
    value = column.values[row]
    if column.type == _TEXT:
        return column.words[int(value)] if value >= 0 else ""
    if np.isnan(value):
        return ""
    if column.type == _TIME:
        time = str(_some(column, np.array([row])).times()[0].astype("M8[s]"))
        return time.replace("T", " ") if column.form & 3 else time[:10]
    return f"{value:.{column.decimals}f}" if 0 <= column.decimals <= 6 else shown(float(value))


def read_rows(
    net: Network, data: Any, labels: npt.ArrayLike | None = None, truth: npt.ArrayLike | None = None,
    source: str | None = None, reading: dict[str, Any] | None = None,
) -> Rows:  # fmt: skip
    """Rows from what users have: an array, a Table of `load_table`, a DataFrame, a dict, the path of a CSV file, which is
    read with the options `reading`: those of `load_table`, beyond what the network notes, of `Frame` where it knows columns."""
    if isinstance(data, Rows):
        return data
    with warnings.catch_warnings(record=True) as met:
        warnings.simplefilter("always")
        rows = (_table if net.layers[0].type == "columns" else _plain)(net, data, reading or {})
    rows.notes += list(dict.fromkeys(_sentence(str(warning.message)) for warning in met))
    if source is not None:
        rows.source = source
    if labels is not None:
        rows.labels, rows.label_name = np.asarray(labels).astype(str).ravel(), "label"
    if truth is not None:
        rows.truth = matrix(truth, int(net.truths), "truth")
    for what, values in (("labels", rows.labels), ("truth", rows.truth)):
        if values is not None and len(values) != len(rows.x):
            raise errors.UsageError(f"{len(rows.x)} rows, but {what} for {len(values)}")
    return _without_gaps(net, rows)


def _sentence(message: str) -> str:
    """Without the folder of the file that it names: the page is for others too."""
    head, colon, rest = message.partition(": ")
    return os.path.basename(head) + colon + rest if os.sep in head and " " not in head else message


def _take_rows(rows: Rows, index: npt.NDArray[Any]) -> Rows:
    rows.x = rows.x[index]
    rows.labels = None if rows.labels is None else rows.labels[index]
    rows.truth = None if rows.truth is None else rows.truth[index]
    rows.weights = None if rows.weights is None else rows.weights[index]
    if rows.cells is not None:
        rows.cells = {name: _some(column, index) for name, column in rows.cells.items()}
    return rows


def _without_gaps(net: Network, rows: Rows) -> Rows:
    """Plain networks compute nothing from a row with a gap."""
    if rows.is_table:
        return rows
    good = np.asarray(np.isfinite(rows.x).all(axis=1))
    gone = int((~good).sum())
    if gone:
        rows.notes.append(f"{gone:,} of {len(good):,} rows have values that are not finite numbers; they are left out")
        rows = _take_rows(rows, np.flatnonzero(good))
    return rows


# ---- where they come from ----


def _file_print(path: str) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while part := file.read(1 << 20):
            digest.update(part)
    return digest.hexdigest()


def _print(data: Any, x: Array) -> str:
    if isinstance(data, str | os.PathLike) and os.path.isfile(data):
        return _file_print(os.fspath(data))
    return hashlib.sha256(np.ascontiguousarray(x).tobytes()).hexdigest()


def _source(data: Any) -> str:
    if isinstance(data, str | os.PathLike):
        return "standard input" if data == "-" else os.path.basename(os.fspath(data))
    return "an array" if isinstance(data, np.ndarray) else f"a {type(data).__name__}"


def _table(net: Network, data: Any, reading: dict[str, Any]) -> Rows:
    """Rows of a network that has learned the columns of a table."""
    schema = net.schema
    if hasattr(data, "X") and hasattr(data, "labels"):
        raise errors.UsageError("the network knows the columns of a table: give the table itself (a path, a DataFrame, a dict)")
    if is_table(data):
        frame: Frame | None = Frame(data, **reading)
        x = coded(net, frame, "data")
    else:
        x = matrix(data, net.inputs, "data")
        frame = None if schema is None else Frame(schema.decode(x))
    names = list(schema.coded) if schema is not None else [str(i) for i in range(net.inputs)]
    cells = decoded_columns(frame) if frame is not None else {}
    label = next((c.name for c in schema.columns if c.kind == "label"), None) if schema is not None else None
    weights = None if frame is None else rows_and_weights(net, frame, None)[1]
    rows = Rows(x, names, _source(data), _print(data, x), cells=cells, weights=weights_of(weights, len(x)))
    if label in cells:
        rows.labels = np.array([cell_text(cells[label], row) or "missing" for row in range(len(x))])
        rows.label_name = label
    return rows


def _unique(names: Sequence[str]) -> list[str]:
    """Columns of one name get numbers."""
    seen: dict[str, int] = {}
    found = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        found.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return found


def _plain(net: Network, data: Any, reading: dict[str, Any]) -> Rows:
    from ..data import load_known

    label, scale, source = reading.get("label_column"), 1.0, data
    label = net.label_column if label is None else label
    if isinstance(data, str | os.PathLike):
        scale = net.data_scale if reading.get("scale") is None else reading["scale"]
        data = load_known(net, data, **reading)
    labels = truth = weights = None
    if hasattr(data, "X") and hasattr(data, "labels"):
        x, labels, header, truth = data.X, data.labels, data.names, data.truth
        weights = getattr(data, "weights", None)
    else:
        data, weights = rows_and_weights(net, data, None)
        x, labels, header = _split(net, data, label)
    x = matrix(x, net.inputs, "data")
    known = header if header and len(header) == net.inputs else net.columns
    names = _unique(known) if len(known) == net.inputs else [str(i) for i in range(net.inputs)]
    rows = Rows(x, names, _source(source), _print(source, x), scale=scale, weights=weights_of(weights, len(x)))
    if labels is not None:
        rows.labels, rows.label_name = np.asarray(labels).astype(str), str(label or "label")
    rows.truth = None if truth is None else matrix(truth, int(net.truths), "truth")
    return rows


def _split(net: Network, data: Any, label: str | None) -> tuple[Any, Any, list[str] | None]:
    """Numbers, labels and names of an array, a DataFrame or a dict."""
    if isinstance(data, dict):
        names = [str(name) for name in data]
        columns = {name: np.asarray(values) for name, values in zip(names, data.values(), strict=True)}
        labels = columns.pop(label) if label in columns and len(columns) == net.inputs + 1 else None
        return np.column_stack(list(columns.values())), labels, list(columns)
    if hasattr(data, "columns") and hasattr(data, "drop") and not isinstance(data, np.ndarray):
        labels = None
        if label in data.columns and len(data.columns) == net.inputs + 1:
            labels, data = data[label].to_numpy(), data.drop(columns=label)
        return data, labels, [str(name) for name in data.columns]
    return data, None, None
