"""What an estimator's network sees of its rows, and how that becomes rows again: numbers of a matrix, columns of a table."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from . import errors
from ._lib import Array, ffi, text
from .data import _cell
from .network import Network
from .tables import Frame, Schema

Matrix = npt.NDArray[Any]


class Scaling:
    """The numbers of a matrix: (x - centre) / scale, cut at `cut` on both sides. In double precision, so that columns of large
    numbers keep their digits."""

    first = told = ""
    """What the cfg's layers begin with; what comes after [sampling]."""
    conditions: tuple[str, ...] = ()

    def __init__(self, kind: str | None, X: Matrix, divisor: float = 1.0, weights: Matrix | None = None) -> None:
        self.inputs = self.outputs = self.modelled = X.shape[1]
        self.dtype = X.dtype
        self.centre = np.zeros(self.inputs)
        self.scale = np.full(self.inputs, divisor)
        # What lies further out says nothing more, and would overflow in float32.
        self.cut = 10.0 if kind == "robust" else 1e6
        if kind is None:
            return
        if weights is not None:
            self._weighted(kind, X, weights)
            return
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # of columns without a value
            gaps = bool(np.isnan(X).any())
            spread = (np.nanstd if gaps else np.std)(X, axis=0, dtype=np.float64)
            if np.isinf(spread).any():  # the squares overflow
                most = np.nanmax(np.abs(X), axis=0)
                spread = np.where(np.isinf(spread), np.nanstd(X / np.where(most > 0, most, 1), axis=0) * most, spread)
            if kind == "robust":
                low, middle, high = (np.nanpercentile if gaps else np.percentile)(X, [25, 50, 75], axis=0)
                self.centre = np.asarray(middle, np.float64)
                inner = (np.asarray(high, np.float64) - low) / 1.349  # a normal column's deviation
                spread = np.where(inner > 0, inner, spread)
            else:
                self.centre = (np.nanmean if gaps else np.mean)(X, axis=0, dtype=np.float64)
        self._set(self.centre, spread)

    def _set(self, centre: Matrix, spread: Matrix) -> None:
        self.centre = np.nan_to_num(centre)
        # A constant column's deviation is what rounding left of it.
        self.scale = np.where(spread > 1e-12 * np.abs(self.centre), spread, 1.0)

    def _weighted(self, kind: str, X: Matrix, weights: Matrix) -> None:
        """The same of rows that count `weights`."""
        centre, spread = np.zeros(self.inputs), np.zeros(self.inputs)
        for j in range(self.inputs):
            there = ~np.isnan(X[:, j])
            x, w = np.asarray(X[there, j], np.float64), weights[there]
            unit = np.abs(x).max(initial=0) or 1.0  # whose square might overflow
            if not w.any():
                continue
            mean = np.average(x / unit, weights=w)
            centre[j], spread[j] = mean * unit, np.sqrt(np.average((x / unit - mean) ** 2, weights=w)) * unit
            if kind == "robust":
                low, centre[j], high = quantiles(x, [25, 50, 75], w)
                spread[j] = (high - low) / 1.349 or spread[j]
        self._set(centre, spread)

    def rows(self, X: Matrix) -> tuple[Array, Array | None]:
        """The network's rows, missing cells at the centre, and the truth if that is another: with NaN where cells are missing."""
        with np.errstate(over="ignore"):
            wide = (X - self.centre) / self.scale
        x = np.ascontiguousarray(np.clip(wide, -self.cut, self.cut, out=wide), np.float32)
        gone = np.isnan(x)
        return (np.where(gone, np.float32(0), x), x) if gone.any() else (x, None)

    def decode(self, x: Array, dtype: Any = None) -> Matrix:
        return np.ascontiguousarray(x * self.scale + self.centre, dtype or self.dtype)

    def given(self, condition: Any, rows: int) -> None:
        if condition is not None:
            raise ValueError("condition= is about the columns of a table, and this was fitted on a matrix")

    def nats(self, X: Matrix) -> npt.NDArray[np.float64]:
        """(rows,): what the log density of a row loses when it is one of X instead of one of the coded row."""
        return np.asarray(~np.isnan(X) @ np.log(self.scale), np.float64)

    def impute(self, network: Network, X: Matrix, reconstruct: Any) -> Matrix:
        """X with its missing cells as they are reconstructed from the others, and again from those and the first guesses, in the
        mean of three times: more of it drifts away from what small tables say, and the last one alone does so too."""
        x, known = self.rows(X)
        if known is None:
            return np.array(X)
        gone, rounds = np.isnan(known), []
        for _ in range(3):
            x[gone] = reconstruct(x)[gone]
            rounds.append(x[gone])
        x[gone] = np.mean(rounds, axis=0)
        filled: Matrix = np.where(np.isnan(X), self.decode(x, X.dtype), X)
        return filled


class Columns:
    """The columns of a table, by their schema. Missing cells are NaN in the network's rows: its [columns] layer knows them."""

    dtype = np.dtype(np.float32)

    def __init__(self, schema: Schema, like: Any) -> None:
        self.schema = schema
        self.made = library_of(like)
        """Which library's tables come out: "pandas", "polars", "pyarrow"."""
        self.types = dict(zip(like.columns, like.dtypes, strict=True)) if self.made == "polars" else None
        if self.made == "pyarrow":
            self.types = {field.name: field.type for field in like.schema}
        coded = sorted((column for column in schema.columns if column.coded is not None), key=lambda c: c.coded or 0)
        if not coded:
            raise ValueError("no column of this table says anything: all are constant, identifiers or left out")
        self.inputs = len(coded)
        self.conditions = tuple(column.name for column in schema.columns if column.condition)
        """Those that the decoder is told, instead of modelling them."""
        modelled = [column for column in coded if not column.condition]
        if not modelled:
            raise ValueError("condition names all columns that say something: none is left to model")
        self.modelled = len(modelled)
        numbers = [column for column in coded if column.kind in ("number", "time")]
        self.outputs = len(modelled) + sum(column.classes - 1 for column in modelled if column.kind == "category")
        kinds = {"number": "number", "time": "number", "yes_no": "yes_no"}
        listed = ",".join(kinds.get(column.kind, f"category:{column.classes}") for column in coded)
        names = ",".join(_named(column.name) for column in coded)
        told = ",".join(_named(name) for name in self.conditions)
        self.told = f"\n[condition]\ncolumns={told}\n" if told else ""
        gaps = int(any(column.missing for column in numbers))
        self.first = f"[columns]\nnames={names}\nkinds={listed}\nmissing={gaps}\ncoding={schema.coding}\n"

    def rows(self, X: Any) -> tuple[Array, None]:
        return self.schema.code(X), None

    def decode(self, x: Array, dtype: Any = None) -> Any:
        return self.table(self.schema.decode(x))

    def given(self, condition: Any, rows: int) -> Array | None:
        """Coded rows (rows, columns) of which the decoder is told some: of {"plan": "pro"}, for all, or of a table of `rows`
        rows or one; None: it is told nothing."""
        if condition is None and not self.conditions:
            return None
        told = f"this was fitted with condition={list(self.conditions)!r}"
        if condition is None:
            raise ValueError(f"{told}: condition= is missing, what these are, such as {{{self.conditions[0]!r}: ...}}")
        if not self.conditions:
            raise ValueError("condition=: the model is told no columns; fit VAE(condition=[...])")
        if isinstance(condition, str):
            raise ValueError(f"condition={condition!r}: give a dict or a table")
        values = _columns_of(condition)
        for name in values:
            if name not in self.conditions:
                raise ValueError(f"condition: the model is not told column {name!r}; {told}")
        for name in self.conditions:
            if name not in values:
                raise ValueError(f"condition: column {name!r} is missing; {told}")
        x = np.full((rows, self.inputs), np.nan, np.float32)
        places = {name: place for place, name in enumerate(self.schema.coded)}
        for name, cells in values.items():
            if len(cells) not in (1, rows):
                raise ValueError(f"condition has {len(cells)} rows; wanted is {rows}, or one for all")
            x[:, places[name]] = self.schema.cells(name, cells)
        return x

    def table(self, made: Any) -> Any:
        """A dict of columns as a table like that of the training rows."""
        return made if self.types is None else _arrow_table(self.made, made, self.types)

    def nats(self, X: Any) -> float:
        return 0.0

    def impute(self, network: Network, X: Any, reconstruct: Any) -> Any:
        return self.table(network.impute(X))


def is_rows(condition: Any) -> bool:
    """Has it columns with a value for each row, rather than being a value for each column, or a text?"""
    if isinstance(condition, Mapping):
        return bool(condition) and all(isinstance(value, list | tuple | np.ndarray) for value in condition.values())
    return library_of(condition) is not None


def _columns_of(condition: Any) -> dict[str, list[Any]]:
    """What {"plan": "pro"}, a dict of lists or a table says of its columns."""
    if isinstance(condition, Mapping):
        lists = {str(name): value for name, value in condition.items()}
        return {name: list(v) if isinstance(v, list | tuple | np.ndarray) else [v] for name, v in lists.items()}
    library = library_of(condition)
    if library is None:
        raise ValueError(f"condition is a {type(condition).__name__}; wanted is a dict or a table")
    names = condition.column_names if hasattr(condition, "column_names") else condition.columns
    return {str(name): getattr(condition[name], _LISTS[library])() for name in names}


_LISTS = {"pandas": "tolist", "polars": "to_list", "pyarrow": "to_pylist"}


def _named(name: str) -> str:
    return _quoted("".join(" " if c < " " else c for c in name))


def _quoted(name: str) -> str:
    """A name as a cell of a CSV row within a cfg, where # and ; would begin a comment."""
    return '"' + name.replace('"', '""') + '"' if any(c in name for c in "#;") else _cell(name)


def _arrow_table(library: str | None, made: dict[str, Any], types: dict[str, Any]) -> Any:
    """Columns of numpy arrays as a table of polars or pyarrow, with its types."""
    columns: dict[str, list[Any] | Matrix] = {}
    for name, values in made.items():
        if values.dtype.kind == "M":
            columns[name] = values.astype("M8[us]")
        elif str(types[name]).lower() in ("bool", "boolean"):
            columns[name] = [None if value is None else str(value) == "True" for value in values.tolist()]
        else:
            columns[name] = values
    if library == "polars":
        import polars

        return polars.DataFrame(columns, strict=False).cast({name: types[name] for name in columns}, strict=False)
    import pyarrow

    arrays = {name: pyarrow.array(values, from_pandas=True) for name, values in columns.items()}
    return pyarrow.table({name: array.cast(types[name], safe=False) for name, array in arrays.items()})


def library_of(X: Any) -> str | None:
    """Whose table X is; None: it is no table, but a matrix."""
    pandas, polars = sys.modules.get("pandas"), sys.modules.get("polars")
    if pandas is not None and isinstance(X, pandas.DataFrame):
        return "pandas"
    if polars is not None and isinstance(X, polars.DataFrame):
        return "polars"
    if type(X).__name__ == "LazyFrame":
        raise errors.UsageError("a LazyFrame has no rows yet: give frame.collect()")
    return "pyarrow" if hasattr(X, "__arrow_c_stream__") and hasattr(X, "schema") else None


def count_rows(X: Any) -> int:
    """Rows of an array, of a data frame or of a dict of columns."""
    return len(next(iter(X.values())) if isinstance(X, Mapping) else X)


def take_rows(X: Any, index: npt.NDArray[np.intp]) -> Any:
    """The rows of an array, of a data frame or of a dict of columns with these numbers."""
    if isinstance(X, dict):
        return {name: values[index] for name, values in X.items()}
    return X.iloc[index] if hasattr(X, "iloc") else X.take(index) if hasattr(X, "column_names") else X[index]


def quantiles(x: Matrix, percent: Any, weights: Matrix | None = None) -> Any:
    """np.percentile, of values that count `weights`. With (k - 1) w_k + (n - 1) (w_1 + ... + w_{k-1}) as the place of the kth
    value, on the way to that of the last, equal weights give what none give."""
    if weights is None:
        return np.percentile(x, percent)
    order = np.argsort(x, kind="stable")
    x, w = x[order], weights[order]
    n = len(x)
    before = np.cumsum(w) - w
    places = np.arange(n) * w + (n - 1) * before
    return np.interp(np.asarray(percent) / 100, places / (places[-1] or 1.0), x)


def first_gap(X: Any) -> str | None:
    """The name of the first column of a table with a missing cell."""
    frame = X if isinstance(X, Frame) else Frame(X)
    for i in range(frame.handle.n):
        column = frame.handle.columns[i]
        cells = ffi.buffer(column.codes, 4 * frame.rows) if column.type == 2 else ffi.buffer(column.numbers, 8 * frame.rows)
        values = np.frombuffer(cells, np.int32) if column.type == 2 else np.frombuffer(cells, np.float64)
        if (np.isnan(values) | (values < 0) * (column.type == 2)).any():
            return text(column.name)
    return None


def are_numbers(X: Any) -> bool:
    """Are all columns of a table integers or floating-point numbers?"""
    frame = X if isinstance(X, Frame) else Frame(X)
    return all(frame.handle.columns[i].type == 0 for i in range(frame.handle.n))
