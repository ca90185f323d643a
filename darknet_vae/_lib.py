"""The bridge to libdarknet: status codes become exceptions, arrays become pointers."""

from __future__ import annotations

import math
import operator
import os
import reprlib
import sys
import threading
from typing import Any

import numpy as np
import numpy.typing as npt

from . import errors
from ._darknet import ffi, lib

Array = npt.NDArray[np.float32]
Path = str | os.PathLike[str]

__all__ = [
    "Array",
    "Path",
    "check",
    "dn_rows",
    "ffi",
    "lib",
    "listen",
    "matrix",
    "pointer",
    "real",
    "report_values",
    "save_bytes",
    "text",
    "to_bytes",
    "whole",
]


_heard: list[BaseException] = []
"""What a signal handler raised while the core was at work; only the main thread adds to it."""


def _raised(_kind: Any, value: BaseException, _traceback: Any) -> None:
    _heard[:] = [value]


@ffi.def_extern(error=1, onerror=_raised)  # type: ignore[untyped-decorator]
def dn_python_watch(_: Any) -> int:
    """Called some 50 times a second during long calls of the core. Python runs signal handlers between the steps of this
    loop; what they raise (KeyboardInterrupt) ends the call, and `check` raises it again."""
    for _ in range(2):
        pass
    return 0


def listen() -> None:
    """Let Ctrl-C end long calls. Python runs signal handlers in the main thread, so only that thread's calls need it."""
    if threading.current_thread() is threading.main_thread():
        lib.dn_watch(lib.dn_python_watch, ffi.NULL)


listen()


def text(cdata: Any) -> str:
    return str(ffi.string(cdata).decode(errors="replace"))


def report_values(report: Any) -> dict[str, float]:
    """A report of the core."""
    return {text(value.name): float(value.value) for value in report.values[0 : report.n]}


def to_bytes(path: Path) -> bytes:
    name = os.fsencode(path)
    if b"\0" in name:
        raise errors.UsageError(f"a path with a zero byte: {path!r}")
    return name


def check(status: int, path: Path | None = None) -> None:
    """Raise the exception of a status; with `path`, a missing file is distinguished from other input and output errors."""
    if _heard and threading.current_thread() is threading.main_thread():
        raise _heard.pop()  # whatever the call returned: it would be lost otherwise
    if status == lib.DN_OK:
        return
    if status == lib.DN_E_INTERRUPTED:
        raise KeyboardInterrupt
    kind = errors.BY_STATUS[status]
    if kind is errors.FileError and path is not None:
        folder = os.path.dirname(os.path.abspath(path))
        if not os.path.exists(path) and not (os.path.isdir(folder) and "open" not in text(lib.dn_error())):
            kind = errors.MissingFileError
    raise kind(text(lib.dn_error()))


def save_bytes(path: Path, data: bytes) -> None:
    """Write a file the way the core does: completely or not at all; "-" is standard output."""
    listen()
    check(lib.dn_file_save(to_bytes(path), ffi.from_buffer(data), len(data)), path)


def whole(name: str, value: Any, low: int, high: int) -> int:
    """`value` as an int from low to high; errors name the argument."""
    try:
        number = operator.index(value)
    except TypeError:
        raise errors.UsageError(f"{name}={value!r} is not a whole number") from None
    if not low <= number <= high:
        raise errors.UsageError(f"{name}={number} is not {low} to {high}")
    return number


def real(name: str, value: Any) -> float:
    """`value` as a float; errors name the argument."""
    if isinstance(value, bool | str | bytes):
        raise errors.UsageError(f"{name}={reprlib.repr(value)} is not a number")
    try:
        return float(value)
    except (TypeError, ValueError):
        raise errors.UsageError(f"{name}={reprlib.repr(value)} is not a number") from None


def pointer(array: Array) -> Any:
    return ffi.cast("float *", array.ctypes.data)


def dn_rows(x: Array, truth: Array | None = None, weights: Array | None = None) -> Any:
    """The core's `dn_rows` over arrays that outlive it."""
    given = {"truth": truth, "weights": weights}
    pointers = {name: ffi.NULL if array is None else pointer(array) for name, array in given.items()}
    return ffi.new("dn_rows *", {"n": len(x), "x": pointer(x), **pointers})


def matrix(values: npt.ArrayLike, columns: int, name: str = "X") -> Array:
    """`values` as float32 (rows, columns), C-contiguous; images (rows, ...) are flattened. No copy if it is already."""
    if isinstance(values, tuple) and hasattr(values, "X"):
        raise errors.UsageError(f"{name} is a table: give its numbers, table.X")
    if "numpy.ma" in sys.modules and np.ma.isMaskedArray(values):  # masked values are missing; no need to load the module
        values = np.ma.filled(np.ma.asarray(values, dtype=np.float32), np.nan)
    try:
        given: Any = values
        if hasattr(values, "to_numpy"):  # pandas: numpy does not know its NA
            dates = any(getattr(kind, "kind", "") in "mM" for kind in np.atleast_1d(getattr(values, "dtypes", ())))
            given = np.empty(0, "M8") if dates else values.to_numpy(dtype=np.float32, na_value=np.nan)
        elif not isinstance(values, np.ndarray):
            given = np.asarray(values)
        if given.dtype.kind in "mM":
            raise TypeError("dates and times are no numbers; make them numbers of days, or leave them out")
        with np.errstate(over="ignore"):  # what overflows float32 becomes infinite and is refused as such
            array = np.ascontiguousarray(given, dtype=np.float32)
    except (TypeError, ValueError) as reason:
        raise errors.UsageError(f"{name} does not become float32 numbers: {reason}") from None
    if array.ndim > 2:
        array = array.reshape(len(array), math.prod(array.shape[1:]))  # -1 would be ambiguous with no rows
    if array.ndim != 2 or array.shape[1] != columns:
        raise errors.UsageError(f"{name} has shape {np.shape(values)}; wanted is (rows, {columns})")
    return array
