"""The bridge to libdarknet: status codes become exceptions, arrays become pointers."""

from __future__ import annotations

import math
import os
import threading
from typing import Any

import numpy as np
import numpy.typing as npt

from . import errors
from ._darknet import ffi, lib

Array = npt.NDArray[np.float32]
Path = str | os.PathLike[str]

__all__ = ["Array", "Path", "check", "ffi", "lib", "listen", "matrix", "pointer", "text", "to_bytes"]


_heard: list[BaseException] = []
"""What a signal handler raised while the core was at work; only the main thread gets here."""


def _raised(_kind: Any, value: BaseException, _traceback: Any) -> None:
    _heard[:] = [value]


@ffi.def_extern(error=1, onerror=_raised)  # type: ignore[untyped-decorator]
def dn_python_watch(_: Any) -> int:
    """Called by long calls of the core some 50 times a second. Python runs signal handlers between the steps of this loop;
    what they raise (KeyboardInterrupt) ends the call, and `check` raises it again."""
    for _ in range(2):
        pass
    return 0


def listen() -> None:
    """Let Ctrl-C end long calls. Python runs signal handlers in the main thread, so only its calls ask."""
    if threading.current_thread() is threading.main_thread():
        lib.dn_watch(lib.dn_python_watch, ffi.NULL)


listen()


def text(cdata: Any) -> str:
    return str(ffi.string(cdata).decode(errors="replace"))


def to_bytes(path: Path) -> bytes:
    name = os.fsencode(path)
    if b"\0" in name:
        raise errors.UsageError(f"a path with a zero byte: {path!r}")
    return name


def check(status: int, path: Path | None = None) -> None:
    """Raise the exception of a status; `path` tells a missing file from other failures of input and output."""
    if _heard and threading.current_thread() is threading.main_thread():
        raise _heard.pop()  # whatever else came of the call: it would not be heard again
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


def pointer(array: Array) -> Any:
    return ffi.cast("float *", array.ctypes.data)


def matrix(values: npt.ArrayLike, columns: int, name: str = "X") -> Array:
    """`values` as float32 (rows, columns), C-contiguous; images (rows, ...) are flattened. No copy when it is that already."""
    try:
        array = np.ascontiguousarray(values, dtype=np.float32)
    except (TypeError, ValueError) as reason:
        raise errors.UsageError(f"{name} does not become float32 numbers: {reason}") from None
    if array.ndim > 2:
        array = array.reshape(len(array), math.prod(array.shape[1:]))  # -1 is no answer for no rows
    if array.ndim != 2 or array.shape[1] != columns:
        raise errors.UsageError(f"{name} has shape {np.shape(values)}; wanted is (rows, {columns})")
    return array
