"""Every failure of the core as a typed exception that is also the builtin exception a caller would expect.

The class is the kind of error, `exit_code` is what the command line exits with, and the message names file, line and value.
"""

from __future__ import annotations


class DarknetError(Exception):
    """The base class of all of them."""

    exit_code = 2


class NumericError(DarknetError, ArithmeticError):
    """A loss or a value became NaN or infinite."""

    exit_code = 1


class UsageError(DarknetError, ValueError):
    """A call that makes no sense: wrong shapes, names or options."""

    exit_code = 2


class FormatError(DarknetError, ValueError):
    """A bad input file."""

    exit_code = 3


class FileError(DarknetError, OSError):
    """Opening, reading or writing a file failed."""

    exit_code = 4


class MissingFileError(FileError, FileNotFoundError):
    """A file or folder does not exist."""


class OutOfMemoryError(DarknetError, MemoryError):
    """Memory ran out, or a size exceeds what a machine can hold."""

    exit_code = 5


class DeviceError(DarknetError, RuntimeError):
    """The requested device is not available."""

    exit_code = 6


class MissingPackageError(DarknetError, ImportError):
    """An optional package (an extra) is not installed."""

    exit_code = 2


BY_STATUS: dict[int, type[DarknetError]] = {
    kind.exit_code: kind for kind in (NumericError, UsageError, FormatError, FileError, OutOfMemoryError, DeviceError)
}
