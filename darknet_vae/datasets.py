"""Data sets as CSV: downloaded with checksums, converted from IDX files, or the bundled digits."""

from __future__ import annotations

import gzip
import logging
import math
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path as FilePath
from typing import BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt

from . import errors
from ._lib import Path, save_bytes
from .data import bundled

_IDX = {
    "train": ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"),
    "test": ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"),
}
# Mirrors in the order in which they are tried, and SHA-256 sums in the order of _IDX.
_SOURCES = {
    "mnist": (
        ("https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/"),
        ("440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
         "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
         "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
         "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"),
    ),
    "fashion_mnist": (
        ("https://fashion-mnist.s3.eu-central-1.amazonaws.com/",
         "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/"),
        ("3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
         "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
         "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
         "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"),
    ),
}  # fmt: skip
NAMES = ("mnist", "fashion_mnist", "digits")


class Images(NamedTuple):
    """`pixels` (rows, height, width) uint8 and `labels` (rows,) uint8."""

    pixels: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.uint8]


_MOST_BYTES = 1 << 30  # limit for an unpacked IDX file; Fashion-MNIST's has 47 million
_KINDS = {0x08: "uint8", 0x09: "int8", 0x0B: "int16", 0x0C: "int32", 0x0D: "float32", 0x0E: "float64"}


def _read_bytes(path: Path) -> bytes:
    """The bytes of a file, decompressed if it is gzipped."""
    try:
        with open(path, "rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            stream: BinaryIO = gzip.GzipFile(fileobj=file) if packed else file  # type: ignore[assignment]
            data = stream.read(_MOST_BYTES + 1)
    except FileNotFoundError as reason:
        raise errors.MissingFileError(f"cannot open {path}: {reason.strerror}") from None
    except (gzip.BadGzipFile, EOFError, zlib.error) as reason:
        raise errors.FormatError(f"{path}: damaged gzip data: {reason}") from None
    except OSError as reason:
        raise errors.FileError(f"cannot read {path}: {reason.strerror or reason}") from None
    if len(data) > _MOST_BYTES:
        raise errors.FormatError(f"{path}: more than {_MOST_BYTES} bytes, which no data set here has")
    return data


def read_idx(path: Path) -> npt.NDArray[np.uint8]:
    """An IDX file of bytes, plain or gzipped (the format of MNIST), as an array of its shape."""
    data = _read_bytes(path)
    if len(data) < 4:
        raise errors.FormatError(f"{path}: not an IDX file of bytes: {len(data)} bytes are no header")
    if data[:2] != b"\0\0" or data[2] not in _KINDS:
        raise errors.FormatError(f"{path}: not an IDX file of bytes: it begins with 0x{data[:4].hex()}")
    if data[2] != 0x08:
        raise errors.FormatError(f"{path}: not an IDX file of bytes, but of {_KINDS[data[2]]}")
    start = 4 + 4 * data[3]
    if not data[3] or len(data) < start:
        raise errors.FormatError(f"{path}: not an IDX file of bytes: {data[3]} dimensions in a file of {len(data)} bytes")
    shape = struct.unpack_from(f">{data[3]}I", data, 4)
    if len(data) - start != math.prod(shape):
        raise errors.FormatError(f"{path}: {len(data) - start} values, its header says {' x '.join(map(str, shape))}")
    try:
        return np.frombuffer(data, np.uint8, offset=start).reshape(shape)
    except ValueError:  # more dimensions, or larger empty ones, than numpy supports
        raise errors.FormatError(f"{path}: {len(shape)} dimensions are no array: {' x '.join(map(str, shape))}") from None


def _find(folder: Path, name: str) -> FilePath:
    for candidate in (name, name.removesuffix(".gz")):
        path = FilePath(folder) / candidate
        if path.exists():
            return path
    raise errors.MissingFileError(f"{folder}: neither {name} nor {name.removesuffix('.gz')} is there")


def _download(name: str, split: str) -> list[FilePath]:
    try:
        import pooch
    except ImportError:
        raise errors.MissingPackageError(
            "downloading needs pooch: pip install 'darknet-vae[datasets]' (or give --from DIR with the IDX files)"
        ) from None
    mirrors, sums = _SOURCES[name]
    folder = FilePath(pooch.os_cache("darknet-vae")) / name
    new = [place for place in (folder, *folder.parents) if not place.exists()]
    paths = []
    for file in _IDX[split]:
        known = "sha256:" + sums[[*_IDX["train"], *_IDX["test"]].index(file)]
        reasons = []
        for mirror in mirrors:
            try:
                with _silent(pooch.get_logger()):
                    paths.append(FilePath(pooch.retrieve(mirror + file, known, path=folder, progressbar=_has("tqdm"))))
                break
            except Exception as reason:  # from pooch, requests, urllib3 or the system: there is no common base class
                reasons.append(_why(mirror.split("/")[2], reason))
        else:
            with suppress(OSError):  # up to the first that is not empty
                for place in new:
                    place.rmdir()
            remedy = f"-from DIR (in Python folder=) takes {', '.join(_IDX[split])} from a folder"
            raise errors.FileError(f"cannot download {file}: {'; '.join(reasons)}; {remedy}")
    return paths


_OFFLINE = ("ConnectionError", "ConnectTimeout", "ReadTimeout", "TimeoutError", "URLError", "gaierror")


def _why(host: str, reason: Exception) -> str:
    """In a few words: that there is no network takes requests some hundred letters."""
    kind = type(reason).__name__
    if kind in _OFFLINE:
        return f"no connection to {host}"
    first = str(reason).partition("\n")[0][:100]
    return f"{host}: {kind}{': ' if first else ''}{first}"


@contextmanager
def _silent(log: logging.Logger) -> Iterator[None]:
    """Without a line for each mirror that is tried; a progress bar shows what comes."""
    level = log.level
    log.setLevel(logging.WARNING)
    try:
        yield
    finally:
        log.setLevel(level)


def _has(module: str) -> bool:
    import importlib.util

    return importlib.util.find_spec(module) is not None


def load(name: str, split: str = "train", folder: Path | None = None) -> Images:
    """MNIST or Fashion-MNIST: from the IDX files in `folder`, or downloaded once and kept in the user's cache."""
    if name not in _SOURCES:
        raise errors.UsageError(f"unknown data set '{name}'; there are: {', '.join(NAMES)}")
    if split not in _IDX:
        raise errors.UsageError(f"split '{split}' is not train or test")
    paths = _download(name, split) if folder is None else [_find(folder, file) for file in _IDX[split]]
    pixels, labels = read_idx(paths[0]), read_idx(paths[1])
    if pixels.ndim != 3 or labels.shape != pixels.shape[:1]:
        raise errors.FormatError(f"{paths[0]}: images of shape {pixels.shape} with labels of shape {labels.shape} in {paths[1]}")
    return Images(pixels, labels)


def write_csv(name: str, output: Path, rows: int | None = None, split: str = "train", folder: Path | None = None) -> int:
    """Write a data set as CSV: pixel_<row>_<column> from 0 to 255 (digits: 16) and a `label` column; returns the rows."""
    if rows is not None and rows <= 0:
        raise errors.UsageError(f"rows={rows} is not a positive number")
    if name == "digits":
        if split != "train" or folder is not None:
            raise errors.UsageError("the digits are one table: they have no test part, and no IDX files to convert")
        lines = FilePath(bundled("digits.csv")).read_text().splitlines()
    else:
        pixels, labels = load(name, split, folder)
        _, height, width = pixels.shape
        names = [f"pixel_{r}_{c}" for r in range(height) for c in range(width)]
        text = [str(v) for v in range(256)]  # pixel values are converted to text once
        pairs = zip(pixels[:rows].reshape(-1, height * width).tolist(), labels[:rows].tolist(), strict=True)
        lines = [",".join([*names, "label"]), *(",".join([text[v] for v in image]) + f",{label}" for image, label in pairs)]
    lines = lines if rows is None else lines[: rows + 1]
    save_bytes(output, ("\n".join(lines) + "\n").encode())
    return len(lines) - 1
