"""Reading and writing CSV tables, and the bundled files."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Sequence
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from . import errors
from ._lib import Array, Path, check, ffi, lib, listen, pointer, real, text, to_bytes, whole

if TYPE_CHECKING:
    from .network import Network


class Table(NamedTuple):
    """A CSV file: `X` (rows, columns) float32; `labels` (rows,) as text or None; `names` of the columns or None;
    `truth` (rows, targets), the target columns, or None; `weights` (rows,), how much each row counts, or None."""

    X: Array
    labels: npt.NDArray[np.str_] | None
    names: list[str] | None
    truth: Array | None = None
    weights: Array | None = None


def _texts(cdata: Any, size: int) -> list[str]:
    """Texts that the core stores one after another, each zero-terminated."""
    data = bytes(ffi.buffer(cdata, size))
    try:
        decoded = data.decode()
    except UnicodeDecodeError:
        warnings.warn("labels or names are not UTF-8 text, so some characters are lost; save the file as UTF-8", stacklevel=4)
        decoded = data.decode(errors="replace")
    return decoded[:-1].split("\0")


def _no_zero(value: str, name: str) -> str:
    if "\0" in value:
        raise errors.UsageError(f"{name}={value!r} has a zero byte")
    return value


def _several(targets: int | Sequence[str | int] | None) -> Sequence[str | int]:
    return [] if targets is None else [targets] if isinstance(targets, int) else targets


def _cell(name: str | int) -> str:
    """A name for a comma-separated list, quoted like a cell of a CSV file."""
    word = str(name)
    plain = word and word == word.strip(" \t") and not any(mark in word for mark in ',"\r\n')
    return word if plain else '"' + word.replace('"', '""') + '"'


def _load(
    path: Path,
    label_column: str | int | None,
    scale: float,
    rows: int | None,
    columns: int | None,
    label_optional: bool,
    targets: str | int | Sequence[str | int] | None,
    header: bool | None,
    missing: bool,
    row_weight: str | int | None = None,
    weight_optional: bool = False,
) -> Table:
    scale = real("scale", scale)
    if not (math.isfinite(scale) and scale != 0):
        raise errors.UsageError(f"scale={scale} cannot divide")
    listed = targets if isinstance(targets, str) else ",".join(map(_cell, _several(targets)))
    if rows is not None:
        rows = whole("rows", rows, 1, 2**63 - 1)
    if columns is not None:
        columns = whole("columns", columns, 1, 2**31 - 1)
    if header not in (None, True, False):
        raise errors.UsageError(f"header={header!r} is none of True, False and None")
    label = ffi.new("char[]", _no_zero("" if label_column is None else str(label_column), "label_column").encode())
    target = ffi.new("char[]", _no_zero(listed, "targets").encode())
    weight = ffi.new("char[]", _no_zero("" if row_weight is None else str(row_weight), "row_weight").encode())
    options = ffi.new(
        "dn_csv_options *",
        {"label_column": label, "scale": scale, "max_rows": rows or 0, "columns": columns or 0,
         "label_optional": int(label_optional), "targets": target,
         "header": 0 if header is None else 1 if header else -1, "missing": int(missing),
         "row_weight": weight, "weight_optional": int(weight_optional)},
    )  # fmt: skip
    table = ffi.new("dn_table *")
    listen()
    check(lib.dn_csv_load(table, to_bytes(path), options), None if path == "-" else path)
    # the array is a view of the core's own memory, which is freed with its last view
    owner = ffi.gc(table.values, lambda _: lib.dn_table_free(table))
    shape = (int(table.rows), int(table.columns))
    X = np.frombuffer(ffi.buffer(owner, 4 * shape[0] * shape[1]), dtype=np.float32).reshape(shape)
    labels = np.array(_texts(table.labels, table.labels_size)) if table.labels else None
    names = _texts(table.header, table.header_size) if table.header else None
    truth = None
    if table.truth:
        size = (shape[0], int(table.truths))
        truth = np.frombuffer(ffi.buffer(table.truth, 4 * size[0] * size[1]), dtype=np.float32).reshape(size).copy()
    weights = None
    if table.weights:
        weights = np.frombuffer(ffi.buffer(table.weights, 4 * shape[0]), dtype=np.float32).copy()
    for sentence in text(table.warnings).splitlines() if table.warnings else []:
        warnings.warn(sentence, stacklevel=3)
    return Table(X, labels, names, truth, weights)


def load_table(
    path: Path,
    label_column: str | int | None = None,
    scale: float = 1,
    rows: int | None = None,
    columns: int | None = None,
    label_optional: bool = False,
    targets: str | int | Sequence[str | int] | None = None,
    header: bool | None = None,
    missing: bool = False,
    row_weight: str | int | None = None,
    weight_optional: bool = False,
) -> Table:
    """Read a CSV file with its labels and column names; "-" is standard input. docs/csv.md has the rules.

    The separator (comma, semicolon, tab or blanks), a header and quotes are detected; `header` says whether the first row holds
    column names, and doubtful cases give a warning. `label_column` is a header name or a zero-based index (negative: from the
    end) of a column that is not data. `targets` are columns by name or index (a list, or "a,b,-1") that become `truth`, in the
    file's units. Features are divided by `scale`; only the first `rows` rows are read; `columns` requires that many features.
    Anything that is not a finite number is a `FormatError` with file, line, column and value; with missing=True, targets that are
    empty or a word such as nan, NA or null are NaN, which the likelihoods of [cost] take as missing.
    `row_weight` is a column, as above, that says how much each row counts and is not data; it becomes `weights`, for
    `net.train(table.X, row_weight=table.weights)`. With `label_optional` and `weight_optional` a file may lack these columns.
    """
    return _load(path, label_column, scale, rows, columns, label_optional, targets, header, missing, row_weight, weight_optional)


def load_known(
    net: Network, path: Path, label_column: str | int | None = None, scale: float | None = None, **reading: Any
) -> Table:  # fmt: skip
    """The rows of a network of plain numbers: with the columns of labels and weights, and the scale, that it knows, or those
    given; further options are those of `load_table`."""
    return load_table(
        path, net.label_column if label_column is None else label_column, net.data_scale if scale is None else scale,
        columns=net.inputs, label_optional=label_column is None, row_weight=net.row_weight, weight_optional=True, **reading,
    )  # fmt: skip


def load_csv(
    path: Path,
    label_column: str | int | None = None,
    scale: float = 1,
    rows: int | None = None,
    columns: int | None = None,
    header: bool | None = None,
) -> Array:
    """The numbers of a CSV file as float32 (rows, columns), without the label column; see `load_table`."""
    return _load(path, label_column, scale, rows, columns, False, None, header, False).X


class Classes:
    """The core's list of class names: found in labels, given, or read from a file."""

    def __init__(self, names: Sequence[str] | None = None, path: Path | None = None) -> None:
        self.handle = ffi.gc(ffi.new("dn_classes *"), lib.dn_classes_free)
        if path is not None:
            check(lib.dn_classes_load(self.handle, to_bytes(path)), path)
        elif names is not None:  # freed by Python, not by the core
            self._names = ffi.new("char[]", joined(names))
            self.handle = ffi.new("dn_classes *", {"n": len(names), "names": self._names})

    @property
    def names(self) -> list[str]:
        found, at = [], self.handle.names
        for _ in range(self.handle.n):
            name = ffi.string(at)
            found.append(str(name.decode(errors="replace")))
            at += len(name) + 1
        return found

    def save(self, path: Path) -> None:
        """One name per line; names that contain a line end are quoted."""
        check(lib.dn_classes_save(self.handle, to_bytes(path)), path)


def joined(labels: npt.ArrayLike) -> bytes:
    """Labels as the core takes them: zero-terminated texts one after another (`char[]` adds the last zero)."""
    tags = [str(tag) for tag in np.asarray(labels).ravel()]
    for row, tag in enumerate(tags):
        if "\0" in tag:
            raise errors.UsageError(f"the label {tag!r} of row {row} has a zero character")
    return "\0".join(tags).encode()


def one_hot(labels: npt.ArrayLike, classes: Sequence[str | int] | None = None) -> tuple[Array, list[str]]:
    """Labels (rows,), of any kind, as a truth for `train`: (rows, classes) with 1 at the row's class, and the classes' names.

    Without `classes`, the classes are the distinct labels: numbers by value, then words. For rows other than the training rows,
    pass the classes of the training rows: a label that is not among them is a `FormatError`.

        truth, classes = dv.one_hot(table.labels)
        net.train(table.X, truth=truth)
        predicted = np.array(classes)[net.predict(X).argmax(1)]
    """
    tags = np.asarray(labels).ravel()
    texts = ffi.new("char[]", joined(tags))
    known = Classes() if classes is None else Classes([str(name) for name in classes])
    if classes is None:
        if not len(tags):
            raise errors.UsageError("no labels")
        check(lib.dn_classes_find(known.handle, texts, len(tags)))
    width = int(known.handle.n)
    if width < 2:
        raise errors.UsageError(f"{width} class is not enough: two different labels are wanted at least")
    truth = np.empty((len(tags), width), np.float32)
    check(lib.dn_classes_one_hot(known.handle, texts, len(tags), width, pointer(truth)))
    return truth, known.names


def save_csv(path: Path, X: npt.ArrayLike) -> None:
    """Write (rows, columns) as CSV with the fewest digits that read back exactly; completely or not at all."""
    array = np.ascontiguousarray(X, dtype=np.float32)
    if array.ndim != 2:
        raise errors.UsageError(f"save_csv takes (rows, columns), not shape {array.shape}")
    check(lib.dn_csv_save(to_bytes(path), pointer(array), *array.shape), path)


def bundled(name: str) -> str:
    """The path of a bundled cfg or data file: `bundled("vae_digits.cfg")`, `bundled("digits.csv")`."""
    folder = FilePath(__file__).parent / "share"
    path = folder / name
    if os.path.basename(name) != name or not path.is_file():
        known = ", ".join(sorted(p.name for p in folder.glob("*")))
        raise errors.MissingFileError(f"no bundled file '{name}'; there are: {known}")
    return str(path)
