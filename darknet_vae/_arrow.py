"""Tables of other libraries through Arrow's C data interface (https://arrow.apache.org/docs/format/CDataInterface.html).

Nothing goes through text, and the library that has them is not imported. Every column becomes a numpy array, or codes and words.
"""

from __future__ import annotations

import ctypes
import functools
import itertools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from . import errors


class _Schema(ctypes.Structure):
    pass


class _Array(ctypes.Structure):
    pass


class _Stream(ctypes.Structure):
    pass


_Schema._fields_ = [
    ("format", ctypes.c_char_p), ("name", ctypes.c_char_p), ("metadata", ctypes.c_void_p), ("flags", ctypes.c_int64),
    ("n_children", ctypes.c_int64), ("children", ctypes.POINTER(ctypes.POINTER(_Schema))),
    ("dictionary", ctypes.POINTER(_Schema)), ("release", ctypes.CFUNCTYPE(None, ctypes.POINTER(_Schema))),
    ("private_data", ctypes.c_void_p),
]  # fmt: skip
_Array._fields_ = [
    ("length", ctypes.c_int64), ("null_count", ctypes.c_int64), ("offset", ctypes.c_int64), ("n_buffers", ctypes.c_int64),
    ("n_children", ctypes.c_int64), ("buffers", ctypes.POINTER(ctypes.c_void_p)),
    ("children", ctypes.POINTER(ctypes.POINTER(_Array))), ("dictionary", ctypes.POINTER(_Array)),
    ("release", ctypes.CFUNCTYPE(None, ctypes.POINTER(_Array))), ("private_data", ctypes.c_void_p),
]  # fmt: skip
_Stream._fields_ = [
    ("get_schema", ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(_Stream), ctypes.POINTER(_Schema))),
    ("get_next", ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(_Stream), ctypes.POINTER(_Array))),
    ("get_last_error", ctypes.CFUNCTYPE(ctypes.c_char_p, ctypes.POINTER(_Stream))),
    ("release", ctypes.CFUNCTYPE(None, ctypes.POINTER(_Stream))), ("private_data", ctypes.c_void_p),
]  # fmt: skip

_NUMBERS = {
    "c": np.int8, "C": np.uint8, "s": np.int16, "S": np.uint16, "i": np.int32, "I": np.uint32, "l": np.int64, "L": np.uint64,
    "e": np.float16, "f": np.float32, "g": np.float64,
}  # fmt: skip
_UNITS = {"s": 1, "m": 1000, "u": 10**6, "n": 10**9}


class ArrowColumn(NamedTuple):
    """One column: `values` are numbers, booleans or datetime64; or codes of `words`. `missing` (rows,) or None: none is."""

    name: str
    values: npt.NDArray[Any]
    missing: npt.NDArray[np.bool_] | None
    words: list[str] | None = None
    decimals: int | None = None


class _Part(NamedTuple):
    """Rows first, first + 1, ... of an array."""

    array: Any
    first: int
    rows: int


def _buffer(part: _Part, index: int, kind: Any, first: int, count: int) -> npt.NDArray[Any]:
    """Values of a buffer, which stay there."""
    address = part.array.buffers[index]
    size = np.dtype(kind).itemsize
    if not address or not count:
        return np.zeros(count, kind)
    memory = (ctypes.c_char * (count * size)).from_address(address + first * size)
    return np.frombuffer(memory, kind)


def _bits(part: _Part, index: int) -> npt.NDArray[np.bool_]:
    last = part.first + part.rows
    bits = np.unpackbits(_buffer(part, index, np.uint8, 0, (last + 7) // 8), bitorder="little")
    return bits[part.first : last].astype(bool)


def _missing(part: _Part) -> npt.NDArray[np.bool_]:
    if not part.array.null_count or not part.array.buffers[0]:
        return np.zeros(part.rows, bool)
    return ~_bits(part, 0)


def _strings(part: _Part, kind: Any) -> list[bytes]:
    offsets = _buffer(part, 1, kind, part.first, part.rows + 1).tolist()
    if not part.rows:
        return []
    data = _buffer(part, 2, np.uint8, offsets[0], offsets[-1] - offsets[0]).tobytes()
    start = offsets[0]
    return [data[a - start : b - start] for a, b in itertools.pairwise(offsets)]


def _views(part: _Part) -> list[bytes]:
    """Strings of up to 12 bytes are in the view itself, longer ones in one of the buffers after it."""
    views = _buffer(part, 1, np.uint8, 16 * part.first, 16 * part.rows).reshape(-1, 16)
    sizes, where = views[:, :4].copy().view(np.int32).ravel(), views[:, 8:].copy().view(np.int32)
    found = []
    for view, size, (buffer, offset) in zip(views, sizes.tolist(), where.tolist(), strict=True):
        if size <= 12:
            found.append(view[4 : 4 + size].tobytes())
        else:
            found.append(ctypes.string_at(part.array.buffers[2 + buffer] + offset, size))
    return found


_TEXTS: dict[str, Callable[[_Part], list[bytes]]] = {
    "u": functools.partial(_strings, kind=np.int32), "U": functools.partial(_strings, kind=np.int64), "vu": _views,
}  # fmt: skip


def _texts(name: str, form: str, parts: list[_Part]) -> ArrowColumn:
    codes: dict[bytes, int] = {}
    found: list[int] = []
    missing = []
    for part in parts:
        missing.append(_missing(part))
        found += [codes.setdefault(word, len(codes)) for word in _TEXTS[form](part)]
    words = [word.decode(errors="replace") for word in codes]
    return ArrowColumn(name, np.array(found, np.int32), _join(missing), words)


def _join(parts: list[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    return np.concatenate(parts) if parts else np.zeros(0, bool)


def _numbers(parts: list[_Part], kind: Any) -> npt.NDArray[Any]:
    read = [_buffer(part, 1, kind, part.first, part.rows) for part in parts]
    return np.concatenate(read) if read else np.zeros(0, kind)


def _decimal(name: str, form: str, parts: list[_Part]) -> ArrowColumn:
    """Integers of 128 bits, of which a double keeps 16 digits, divided by a power of ten."""
    numbers = form[2:].split(",")
    if len(numbers) > 2 and numbers[2] != "128":
        raise _unknown(name, form)
    read = [_buffer(part, 1, np.uint64, 2 * part.first, 2 * part.rows).reshape(-1, 2) for part in parts]
    halves = np.concatenate(read) if read else np.zeros((0, 2), np.uint64)
    scale = int(numbers[1])
    low, high = halves[:, 0].copy().view(np.int64), halves[:, 1].copy().view(np.int64)
    small = high == low >> 63  # of 64 bits: the sum below would round it away
    values = np.where(small, low, high * 2.0**64 + halves[:, 0]) / 10.0**scale
    return ArrowColumn(name, values, _join([_missing(part) for part in parts]), decimals=max(scale, 0))


def _unknown(name: str, form: str) -> errors.UsageError:
    return errors.UsageError(f"column {name!r} is of Arrow's type {form!r}: make it numbers, texts, booleans or dates")


def _times(form: str, parts: list[_Part]) -> npt.NDArray[Any] | None:
    """Dates and timestamps as datetime64, durations as timedelta64, times of day in seconds; None: none of them."""
    if form == "tdD":
        return _numbers(parts, np.int32).astype("M8[D]").astype("M8[s]")
    if form == "tdm":
        return _numbers(parts, np.int64).astype("M8[ms]")
    unit = form[2:3]
    if unit not in _UNITS:
        return None
    word = unit + ("s" if unit != "s" else "")
    if form.startswith("ts"):
        return _numbers(parts, np.int64).astype(f"M8[{word}]")
    if form.startswith("tD"):
        return _numbers(parts, np.int64).astype(f"m8[{word}]")
    if form.startswith("tt"):
        return _numbers(parts, np.int32 if unit in "sm" else np.int64) / _UNITS[unit]
    return None


def _zone(form: str, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Timestamps with a time zone count in UTC; what counts here is what a clock there shows."""
    zone = form[4:] if form.startswith("ts") else ""
    if not zone or zone in ("UTC", "Etc/UTC", "+00:00"):
        return values
    from datetime import datetime, timedelta, timezone
    from zoneinfo import ZoneInfo

    clock: Any
    if zone[0] in "+-":
        minutes = int(zone[1:3]) * 60 + int(zone[-2:])
        clock = timezone(timedelta(minutes=-minutes if zone[0] == "-" else minutes))
    else:
        clock = ZoneInfo(zone)
    whole = values.astype("M8[s]")
    different, place = np.unique(whole, return_inverse=True)
    shift = [datetime.fromtimestamp(int(s), clock).utcoffset() or timedelta(0) for s in different.astype(np.int64)]
    seconds = np.array([int(s.total_seconds()) for s in shift], np.int64)
    return np.asarray(values + seconds[place].astype("m8[s]"))


def _dictionary(name: str, schema: Any, parts: list[_Part]) -> ArrowColumn:
    kind = _NUMBERS[schema.format.decode()]
    words: dict[str, int] = {}
    codes, missing = [], []
    for part in parts:
        d = part.array.dictionary.contents
        values = _column(name, schema.dictionary.contents, [_Part(d, d.offset, d.length)])
        texts = values.words and [values.words[code] for code in values.values.tolist()]
        texts = [str(value) for value in values.values.tolist()] if texts is None else texts
        own = np.array([words.setdefault(text, len(words)) for text in texts] or [0], np.int32)
        gone = _missing(part)
        index = np.where(gone, 0, _buffer(part, 1, kind, part.first, part.rows)).astype(np.int64)
        if values.missing is not None and values.missing.any():
            gone = gone | values.missing[index]
        codes.append(own[index])
        missing.append(gone)
    return ArrowColumn(name, np.concatenate(codes) if codes else np.zeros(0, np.int32), _join(missing), list(words))


def _column(name: str, schema: Any, parts: list[_Part]) -> ArrowColumn:
    form = schema.format.decode()
    if schema.dictionary:
        return _dictionary(name, schema, parts)
    if form in _TEXTS:
        return _texts(name, form, parts)
    rows = sum(part.rows for part in parts)
    if form == "n":
        return ArrowColumn(name, np.full(rows, np.nan), None)
    if form.startswith("d:"):
        return _decimal(name, form, parts)
    missing = _join([_missing(part) for part in parts])
    if form in _NUMBERS:
        return ArrowColumn(name, _numbers(parts, _NUMBERS[form]), missing)
    if form == "b":
        return ArrowColumn(name, _join([_bits(part, 1) for part in parts]), missing)
    values = _times(form, parts)
    if values is None:
        raise _unknown(name, form)
    return ArrowColumn(name, _zone(form, values), missing)


# ---- where they come from ----


def _pointer(capsule: Any, name: bytes, kind: Any) -> Any:
    get = ctypes.pythonapi.PyCapsule_GetPointer
    get.restype, get.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    return ctypes.cast(get(capsule, name), ctypes.POINTER(kind))


def _chunks(stream: Any) -> Iterator[Any]:
    while True:
        array = _Array()
        if stream.contents.get_next(stream, ctypes.byref(array)):
            raise _failed(stream)
        if not array.release:
            return
        yield array


def _failed(stream: Any) -> errors.UsageError:
    why = stream.contents.get_last_error(stream)
    return errors.UsageError(f"the table's Arrow stream failed: {why.decode(errors='replace') if why else 'it says not why'}")


def _columns(schema: Any, arrays: list[Any]) -> list[ArrowColumn]:
    if schema.format != b"+s":
        raise errors.UsageError("an Arrow array that is a single column: give a table, whose columns have names")
    found = []
    for i in range(schema.n_children):
        child = schema.children[i].contents
        parts = [_Part(a.children[i].contents, a.offset + a.children[i].contents.offset, a.length) for a in arrays]
        found.append(_column((child.name or b"").decode(errors="replace"), child, parts))
    return found


def columns(table: Any) -> list[ArrowColumn]:
    """The columns of anything with `__arrow_c_stream__` or `__arrow_c_array__`; what they hold is copied."""
    arrays: list[Any] = []
    if hasattr(table, "__arrow_c_stream__"):
        capsule = table.__arrow_c_stream__()
        stream = _pointer(capsule, b"arrow_array_stream", _Stream)
        schema = _Schema()
        if stream.contents.get_schema(stream, ctypes.byref(schema)):
            raise _failed(stream)
        try:
            arrays += _chunks(stream)
            return _columns(schema, arrays)
        finally:
            for owned in [*arrays, schema]:
                owned.release(ctypes.byref(owned))
    capsules = table.__arrow_c_array__()
    schema_at, array_at = _pointer(capsules[0], b"arrow_schema", _Schema), _pointer(capsules[1], b"arrow_array", _Array)
    return _columns(schema_at.contents, [array_at.contents])
