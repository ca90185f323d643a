"""Rows to be drawn: arrays, files and tables as a network reads them, and the words in their cells."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .. import errors
from .._lib import Array
from ..typed import is_table
from . import _style

if TYPE_CHECKING:
    from ..network import Network
    from ..tables import Schema, _Decoded

Values = npt.NDArray[Any]


class Cells(NamedTuple):
    """A column: numbers (seconds for times) with NaN, or texts with None, where a cell is missing."""

    name: str
    kind: str
    """number, time or text"""
    values: Values
    decimals: int = -1
    form: int = 0

    @property
    def missing(self) -> npt.NDArray[np.bool_]:
        if self.kind == "text":
            return np.array([value is None for value in self.values], bool)
        gone: npt.NDArray[np.bool_] = np.isnan(self.values)
        return gone

    def texts(self, most: int = 18) -> list[str]:
        """Its cells as they are shown."""
        return [self._text(value, gone, most) for value, gone in zip(self.values, self.missing, strict=True)]

    def labels(self) -> Values:
        """Its cells as labels: numbers, dates, and whole texts; None, NaN or NaT where one is missing."""
        if self.kind != "time":
            return self.values
        micros = np.round(np.where(self.missing, 0, self.values) * 1e6).astype(np.int64).astype("M8[us]")
        return np.where(self.missing, np.datetime64("NaT", "us"), micros)

    def _text(self, value: Any, gone: bool, most: int) -> str:
        if gone:
            return "\u2013"
        if self.kind == "text":
            return _style.cut(value, most)
        if self.kind == "time":
            unit = "D" if not self.form & 3 or most < 16 else "m" if most < 19 else "s"
            return str(np.datetime64(round(value * 1e6), "us").astype(f"M8[{unit}]")).replace("T", " ")
        if 0 <= self.decimals <= 6 and abs(value) < 1e9:
            return f"{value:.{self.decimals}f}"
        return f"{value:.3g}" if abs(value) < 1000 else _style.number(value)


def cells(table: Any) -> dict[str, Cells]:
    """The columns of a table (whatever `darknet_vae.tables.Frame` takes), by name."""
    from ..tables import decoded_columns

    return cells_of(decoded_columns(table))


def cells_of(columns: Mapping[str, _Decoded]) -> dict[str, Cells]:
    found = {}
    for column in columns.values():
        kind = ("number", "time", "text")[column.type]
        values = column.objects() if kind == "text" else column.values
        found[column.name] = Cells(column.name, kind, values, column.decimals, column.form)
    return found


class Rows(NamedTuple):
    """`x`: rows as the network takes them; `cells`: of a network that knows its columns, what the table says, by column."""

    x: Array
    cells: dict[str, Cells] | None


def rows(net: Network, X: Any) -> Rows:
    """X as `net` reads it: a table if it knows columns; numbers, or a CSV file of numbers, otherwise."""
    schema = net.schema
    if schema is None:
        return Rows(_numbers(net, X), None)
    if not is_table(X):
        x = net._matrix(X)
        return Rows(x, cells(schema.decode(x)))
    from ..tables import Frame

    frame = X if isinstance(X, Frame) else Frame(X)
    x = net._matrix(frame)
    given = cells(frame)
    return Rows(x, {name: given[name] for name in schema.coded if name in given})


def _numbers(net: Network, X: Any) -> Array:
    if isinstance(X, str | os.PathLike):
        from ..data import load_known

        X = load_known(net, X).X
    return net._matrix(X)


def some(x: Array) -> None:
    if not len(x):
        raise errors.UsageError("there are no rows to draw")


def row(x: Array, index: int, name: str = "row") -> Array:
    """One of the rows, counted from 0: (1, columns)."""
    if isinstance(index, bool) or not isinstance(index, int | np.integer) or not 0 <= index < len(x):
        raise errors.UsageError(f"{name}={index!r}: there are rows 0 to {len(x) - 1}")
    return x[index : index + 1]


def names(net: Network, given: Sequence[str] | None, n: int) -> list[str]:
    """Of columns: those given, those that the network knows, or their numbers."""
    if given is not None and len(given) != n:
        raise errors.UsageError(f"{n} columns, but {len(given)} names")
    known = list(given) if given is not None else net.columns
    return known if len(known) == n else [f"x{i}" for i in range(n)]


def decode(net: Network, z: npt.ArrayLike) -> Array:
    """Latents (n, latent_size) as the means of rows; coded rows of a network that knows its columns."""
    made: Array = net.sample(np.ascontiguousarray(z, np.float32), draw=False, codes=True)
    return made


def reconstruct(net: Network, x: Array) -> Array:
    made: Array = net.reconstruct(x)
    return made


def differences(schema: Schema, a: Array, b: Array) -> npt.NDArray[np.float64]:
    """How much coded rows differ, (rows, columns): numbers in coded units, about standard deviations; words by 1, or not. 0
    where either is missing."""
    words = [column.kind in ("category", "yes_no") for column in coded(schema)]
    apart = np.abs(a.astype(float) - b.astype(float))
    apart[:, words] = apart[:, words] > 0.5
    found: npt.NDArray[np.float64] = np.nan_to_num(apart, nan=0.0)
    return found


def coded(schema: Schema) -> list[Any]:
    """The columns that the network models, in the order of the coded matrix."""
    return sorted((column for column in schema.columns if column.coded is not None), key=lambda column: column.coded or 0)


def reach(net: Network, x: Array | None) -> npt.NDArray[np.float64]:
    """The standard deviation that a latent's span is counted in: that of the prior, 1; of an autoencoder, that of its codes."""
    if net.variational or x is None or len(x) < 2:
        return np.ones(net.latent_size)
    found: npt.NDArray[np.float64] = net.encode(x)[0].std(axis=0).astype(float)
    return found
