"""What Network's methods do with tables of mixed columns: DataFrames, dicts of arrays, Arrow tables, paths of CSV files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from . import errors
from ._lib import Array, check, ffi, lib, pointer

if TYPE_CHECKING:
    from .network import Network
    from .tables import Frame, Schema


def is_table(data: Any) -> bool:
    """Has it columns with names and types, rather than being an array of numbers?"""
    if isinstance(data, np.ndarray):
        return False
    names = ("__arrow_c_stream__", "__arrow_c_array__", "columns", "handle")
    return isinstance(data, str | os.PathLike | Mapping) or any(hasattr(data, name) for name in names)


def schema_of(net: Network) -> Schema | None:
    """The schema that the network has, with the types of the DataFrame that it was learned from, if that was here."""
    from .tables import Schema

    handle = lib.dn_net_schema(net._handle)
    if not handle:
        net._schema = None
    elif net._schema is None or net._schema_at != handle:
        net._schema, net._schema_at = Schema.of(net), handle
    return net._schema


def learn(net: Network, frame: Frame, label_column: str | None = None) -> None:
    """Let a network whose cfg begins with [columns] learn them from a table."""
    from .tables import Schema

    label = ffi.NULL if label_column is None else ffi.new("char[]", label_column.encode())
    check(lib.dn_net_learn_schema(net._handle, frame.handle, label))
    found = Schema.of(net)
    assert found is not None
    found._types, found._is_pandas = frame.types, frame.is_pandas
    net._schema, net._schema_at = found, lib.dn_net_schema(net._handle)


def coded(net: Network, data: Any, name: str, learns: bool = False) -> Array:
    """The rows of a table as the network takes them, (rows, coded)."""
    from .tables import Frame

    frame = data if isinstance(data, Frame) else Frame(data)
    if learns and schema_of(net) is None:
        learn(net, frame)
    schema = schema_of(net)
    if schema is None:
        raise errors.UsageError(f"{name} is a table, but the network has not learned one yet: train it on a table first")
    return schema.code(frame)


def decoded(net: Network, x: Array, like: Any = None) -> Any:
    """Rows as a table: with the type, column types and index of `like`."""
    schema = schema_of(net)
    assert schema is not None
    made = schema.decode(x, like)
    if hasattr(like, "index") and hasattr(made, "index") and len(like.index) == len(made.index):
        made.index = like.index
    return made


def imputed(net: Network, data: Any, rounds: int) -> Any:
    """The table with its missing cells filled; the others stay as they are."""
    from .tables import Frame, _as_numpy, _Decoded, _take, _Types, _with_types

    frame = data if isinstance(data, Frame) else Frame(data)
    x = coded(net, frame, "X")
    check(lib.dn_net_impute(net._handle, pointer(x), len(x), rounds, pointer(x)))
    schema = schema_of(net)
    assert schema is not None
    if frame.is_pandas:
        made, out = schema.decode(x, data), data.copy()
        kinds = {column.name: column.kind for column in schema.columns}
        for column in out.columns:
            gaps = out[column].isna().to_numpy()
            if gaps.any() and column in made.columns and kinds.get(str(column)) != "identifier":
                out.loc[gaps, column] = made[column].to_numpy()[gaps]
        return out
    handle = ffi.new("dn_frame *")
    check(lib.dn_schema_decode(schema._handle, pointer(x), len(x), handle))
    made = {column.name: column for column in _take(handle)}
    lib.dn_frame_free(handle)
    for column in schema.columns:
        if column.kind == "identifier":
            made.pop(column.name, None)

    def filled(given: _Decoded, kind: _Types) -> Any:
        values, gaps = _as_numpy(given, kind.dtype, kind.truth), given.missing
        if not gaps.any() or given.name not in made:
            return kind.name, values
        own = made[given.name].as_written(kind)
        new = _as_numpy(own, None if given.type != own.type else kind.dtype, kind.truth)
        return kind.name, np.where(gaps, new, values)

    return dict(filled(column, kind) for column, kind in _with_types(_take(frame.handle), frame.types))


def _cell(word: str) -> str:
    plain = word == word.strip(" ") and not any(mark in word for mark in ',"\n')
    return word if plain else '"' + word.replace('"', '""') + '"'


def where_text(condition: str | Mapping[str, object] | None) -> bytes | None:
    """Conditions as the core takes them: "churn=Yes,age>=40"."""
    if condition is None or isinstance(condition, str):
        found = condition
    else:
        found = ",".join(f"{_cell(str(name))}=={_cell(str(value))}" for name, value in condition.items())
    if found is not None and "\0" in found:
        raise errors.UsageError("condition has a zero character")
    return None if found is None else found.encode()


def draw_rows(
    net: Network, n: int, seed: int, temperature: float, prior: Any, condition: str | Mapping[str, object] | None, mean: bool,
    gaps: bool,
) -> Array:  # fmt: skip
    """New rows of the table, (n, coded)."""
    where = where_text(condition)
    given = ffi.NULL if where is None else ffi.new("char[]", where)
    mixture = ffi.NULL if prior is None or isinstance(prior, str) else prior._core()
    options = ffi.new("dn_draw_options *", {
        "seed": seed, "temperature": temperature, "normal": int(prior == "normal" if isinstance(prior, str) else 0),
        "mean": int(mean), "prior": mixture, "where": given, "gaps": int(gaps),
    })  # fmt: skip
    out = np.empty((n, net.inputs), np.float32)
    check(lib.dn_net_draw_rows(net._handle, n, options, pointer(out), ffi.NULL))
    return out
