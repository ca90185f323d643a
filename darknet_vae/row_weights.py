"""How much each row counts: weights as callers give them, an array or the name of a column of the table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from . import errors
from ._lib import Array, check, ffi, lib, pointer, text
from .typed import is_table, learn, schema_of

if TYPE_CHECKING:
    from .network import Network
    from .tables import _Decoded

RowWeight: TypeAlias = "npt.ArrayLike | str | None"


def weights_of(values: RowWeight, rows: int, name: str = "row_weight") -> Array | None:
    """Weights as float32 (rows,): 0 or more, finite, not all 0. Rows in errors are counted from 0."""
    if values is None:
        return None
    try:
        given = np.ascontiguousarray(values, dtype=np.float64)
    except (TypeError, ValueError) as reason:
        raise errors.UsageError(f"{name} does not become numbers: {reason}") from None
    if given.shape != (rows,):
        raise errors.UsageError(f"{name} has shape {given.shape}; wanted is ({rows},), a weight per row")
    bad = ~(np.isfinite(given) & (given >= 0))
    if bad.any():
        row = int(np.argmax(bad))
        raise errors.UsageError(f"{name} is {given[row]:g} at row {row}: weights are 0 or more, and finite")
    if rows and not given.any():
        raise errors.UsageError(f"{name}: the weights of all {rows} rows are 0")
    with np.errstate(over="ignore", under="ignore"):
        narrow = given.astype(np.float32)
    lost = ~np.isfinite(narrow) | ((narrow == 0) & (given > 0))
    if lost.any():
        row = int(np.argmax(lost))
        raise errors.UsageError(f"{name} is {given[row]:g} at row {row}, which float32 cannot hold: scale the weights")
    return narrow


def column_of(frame: Any, column: str) -> Array:
    """The column of a `Frame` that says how much each row counts."""
    found = np.empty(frame.rows, np.float32)
    check(lib.dn_frame_weights(frame.handle, ffi.new("char[]", column.encode()), pointer(found)))
    return found


def counted_columns(table: Any, row_weight: str | None) -> tuple[dict[str, _Decoded], npt.NDArray[np.float64] | None]:
    """The columns of a table without the one that says how much each row counts, of the rows that do; and how much that is."""
    from .tables import Frame, decoded_columns

    frame = table if isinstance(table, Frame) else Frame(table)
    columns = decoded_columns(frame)
    if row_weight is None:
        return columns, None
    weights = column_of(frame, row_weight).astype(np.float64)
    columns.pop(row_weight, None)
    counts = weights > 0
    return {name: column._replace(values=column.values[counts]) for name, column in columns.items()}, weights[counts]


MOST_COPIES = 10_000
"""As many rows are made of copies, where weights are whole numbers."""


def copies(weights: npt.NDArray[Any]) -> npt.NDArray[np.intp] | None:
    """Row numbers, each as often as the row counts; None: weights are fractions, or add up to too many."""
    weights = np.asarray(weights, np.float64)
    if weights.sum() > max(MOST_COPIES, len(weights)) or (weights != np.floor(weights)).any():
        return None
    return np.repeat(np.arange(len(weights)), weights.astype(np.intp))


def as_often(weights: npt.NDArray[Any]) -> npt.NDArray[np.intp]:
    """Row numbers, each as often as the row counts: by copies, or else in at least that many rows, as nearly as that goes."""
    exact = copies(weights)
    if exact is not None:
        return exact
    n, reached = max(len(weights), MOST_COPIES), np.cumsum(weights, dtype=np.float64)
    found: npt.NDArray[np.intp] = np.searchsorted(reached, (np.arange(n) + 0.5) / n * reached[-1])
    return found


def named_only(row_weight: RowWeight) -> RowWeight:
    """What it says of another table: the name of a column, or nothing."""
    return row_weight if isinstance(row_weight, str) else None


def _names(data: Any) -> list[str]:
    return [str(name) for name in getattr(data, "columns", data if isinstance(data, Mapping) else ())]


def without(data: Any, column: str) -> tuple[Any, Any]:
    """A table of plain numbers without that column, and the column."""
    names = _names(data)
    if column not in names:
        among = f" among {', '.join(names[:10])}" if names else f": a {type(data).__name__} has none with names"
        raise errors.UsageError(f"row_weight: there is no column {column!r}{among}")
    if isinstance(data, Mapping):
        key = next(name for name in data if str(name) == column)
        return np.stack([np.asarray(values) for name, values in data.items() if name != key], axis=1), np.asarray(data[key])
    key = data.columns[names.index(column)]
    rest = data.drop(columns=[key]) if hasattr(data, "iloc") else data.drop([key])
    return rest, np.asarray(data[key])


def without_known(net: Network, data: Any) -> Any:
    """Rows of plain numbers without the column that the network knows as their weights, if they have it."""
    column = net.row_weight
    return without(data, column)[0] if column and not isinstance(data, np.ndarray) and column in _names(data) else data


def _counted(data: Any, weights: npt.NDArray[np.bool_]) -> Any:
    """The rows of a table that count."""
    if isinstance(data, Mapping):
        return {name: np.asarray(values)[weights] for name, values in data.items()}
    if hasattr(data, "iloc"):
        return data.iloc[np.flatnonzero(weights)]
    return data.filter(weights) if hasattr(data, "filter") else data


def rows_and_weights(
    net: Network, data: Any, row_weight: RowWeight, name: str = "row_weight", learns: bool = False
) -> tuple[Any, RowWeight]:  # fmt: skip
    """The rows as the network's methods take them, and their weights. A network that knows the columns of a table, or is about
    to learn them (`learns`), finds them by name, so a column of weights may stay in it; others get a table without it. With
    row_weight None the column that the network knows counts where the table has it."""
    from .tables import Frame

    typed, table = net.layers[0].type == "columns", is_table(data)
    if row_weight is None and table and (column := net.row_weight) and (typed or column in _names(data)):
        frame = data if isinstance(data, Frame) or not typed else Frame(data)
        if not typed or column in frame.names:
            return rows_and_weights(net, frame, column, name, learns)
        return frame, None
    if not isinstance(row_weight, str):
        if learns and typed and table and row_weight is not None and schema_of(net) is None:
            frame = data if isinstance(data, Frame) else Frame(data)
            weights = weights_of(row_weight, frame.rows, name)
            assert weights is not None
            learn(net, frame if (weights > 0).all() else Frame(_counted(data, weights > 0)))
            return frame, weights
        return data, row_weight
    if learns:
        net.note(row_weight=row_weight)
    if not typed:
        return without(data, row_weight)
    if not table:
        raise errors.UsageError(f"{name}={row_weight!r} names a column, but X is no table: give an array, a weight per row")
    frame = data if isinstance(data, Frame) else Frame(data)
    return frame, column_of(frame, row_weight)


def known(net: Network) -> str | None:
    """The column that the network knows as its rows' weights."""
    return text(lib.dn_net_row_weight(net._handle)) or None
