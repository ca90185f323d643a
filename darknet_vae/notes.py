"""What a model file says besides the network: how the data was scaled, and what its columns and classes are called."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from . import errors
from ._lib import check, ffi, lib, real, report_values, text

if TYPE_CHECKING:
    from .network import Network


class Notes(NamedTuple):
    """What a model file says besides the network."""

    scale: float | None
    """The data was divided by it; None: by the cfg's data_scale."""
    label_column: str | None
    columns: list[str]
    """Names of the inputs, or none."""
    classes: list[str]
    """Names of the classes, or none."""
    losses: dict[str, float]
    """Of the last epoch."""
    row_weight: str | None = None
    """The column with how much each row counts."""


def _name(word: str) -> bytes:
    if not isinstance(word, str) or "\0" in word:
        raise errors.UsageError(f"{word!r} is no name")
    return word.encode()


def _names(names: Any, n: int) -> list[str]:
    """n texts, one after another."""
    words = []
    for _ in range(n):
        words.append(text(names))
        names += len(ffi.string(names)) + 1
    return words


def read_notes(net: Network) -> Notes:
    notes = ffi.new("dn_model_notes *")
    check(lib.dn_net_notes(net._handle, notes))
    return Notes(
        scale=float(notes.scale) or None,
        label_column=None if notes.label_column == ffi.NULL else text(notes.label_column),
        columns=_names(notes.columns, notes.n_columns),
        classes=_names(notes.classes.names, notes.classes.n),
        losses=report_values(ffi.addressof(notes, "losses")),
        row_weight=None if notes.row_weight == ffi.NULL else text(notes.row_weight),
    )


def write_notes(
    net: Network, scale: float | None, label_column: str | None, columns: Iterable[str] | None, classes: Iterable[str] | None,
    row_weight: str | None,
) -> None:  # fmt: skip
    """What is None stays as it is."""
    notes = ffi.new("dn_model_notes *")
    check(lib.dn_net_notes(net._handle, notes))
    kept = []
    if scale is not None:
        notes.scale = real("scale", scale)
    if label_column is not None:
        kept.append(ffi.new("char[]", _name(label_column)))
        notes.label_column = kept[-1]
    if row_weight is not None:
        kept.append(ffi.new("char[]", _name(row_weight)))
        notes.row_weight = kept[-1]
    if columns is not None:
        words = [_name(word) for word in columns]
        kept.append(ffi.new("char[]", b"\0".join(words)))
        notes.columns, notes.n_columns = kept[-1], len(words)
    if classes is not None:
        words = [_name(word) for word in classes]
        kept.append(ffi.new("char[]", b"\0".join(words)))
        notes.classes.names, notes.classes.n = kept[-1], len(words)
    check(lib.dn_net_set_notes(net._handle, notes))
