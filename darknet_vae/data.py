"""CSV tables in and out, and the files that come with the package."""

from __future__ import annotations

import math
import os
from pathlib import Path as FilePath
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from . import errors
from ._lib import Array, Path, check, ffi, lib, pointer, text, to_bytes


class Table(NamedTuple):
    """A CSV file: `X` (rows, columns) float32; `labels` (rows,) as text or None; `names` of the columns or None."""

    X: Array
    labels: npt.NDArray[np.str_] | None
    names: list[str] | None


def load_table(
    path: Path,
    label_column: str | int | None = None,
    scale: float = 1,
    rows: int | None = None,
    columns: int | None = None,
    label_optional: bool = False,
) -> Table:
    """Read a CSV file with its labels and column names.

    The separator (comma, semicolon, tab or blanks), a header and quotes are found out. `label_column` is a header name or a
    zero-based index (negative: from the end) of a column that is not data. Values are divided by `scale`; only the first
    `rows` are read; `columns` demands that many features. Anything that is not a finite number is a `FormatError` with file,
    line, column and value.
    """
    if not (math.isfinite(scale) and scale != 0):
        raise errors.UsageError(f"scale={scale} cannot divide")
    label = ffi.new("char[]", b"" if label_column is None else str(label_column).encode())
    options = ffi.new(
        "dn_csv_options *",
        {"label_column": label, "scale": scale, "max_rows": rows or 0, "columns": columns or 0,
         "label_optional": int(label_optional)},
    )  # fmt: skip
    table = ffi.new("dn_table *")
    check(lib.dn_csv_load(table, to_bytes(path), options), path)
    # the array is the core's memory itself; it is freed with the last view of it
    owner = ffi.gc(table.values, lambda _: lib.dn_table_free(table))
    shape = (int(table.rows), int(table.columns))
    X = np.frombuffer(ffi.buffer(owner, 4 * shape[0] * shape[1]), dtype=np.float32).reshape(shape)
    labels = np.array(text(table.labels).split("\n")) if table.labels else None
    names = text(table.header).split("\n") if table.header else None
    return Table(X, labels, names)


def load_csv(
    path: Path,
    label_column: str | int | None = None,
    scale: float = 1,
    rows: int | None = None,
    columns: int | None = None,
) -> Array:
    """The numbers of a CSV file as float32 (rows, columns), without the label column; see `load_table`."""
    return load_table(path, label_column, scale, rows, columns).X


def save_csv(path: Path, X: npt.ArrayLike) -> None:
    """Write (rows, columns) as CSV with the shortest digits that read back exactly; the whole file or nothing."""
    array = np.ascontiguousarray(X, dtype=np.float32)
    if array.ndim != 2:
        raise errors.UsageError(f"save_csv takes (rows, columns), not shape {array.shape}")
    check(lib.dn_csv_save(to_bytes(path), pointer(array), *array.shape), path)


def bundled(name: str) -> str:
    """The path of a cfg or data file that comes with the package: `bundled("vae_digits.cfg")`, `bundled("digits.csv")`."""
    folder = FilePath(__file__).parent / "share"
    path = folder / name
    if os.path.basename(name) != name or not path.is_file():
        known = ", ".join(sorted(p.name for p in folder.glob("*")))
        raise errors.MissingFileError(f"no bundled file '{name}'; there are: {known}")
    return str(path)
