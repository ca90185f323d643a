"""Data sets as CSV: downloaded with checksums, converted from IDX files, or the bundled digits."""

from __future__ import annotations

import gzip
import math
import os
import shutil
import struct
import urllib.error
from pathlib import Path as FilePath
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from . import errors
from ._lib import Path

_IDX = {
    "train": ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"),
    "test": ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"),
}
# Mirrors in the order of trying, and MD5 sums as the publishers and torchvision list them.
_SOURCES = {
    "mnist": (
        ("https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/"),
        ("f68b3c2dcbeaaa9fbdd348bbdeb94873", "d53e105ee54ea40749a09fcbcd1e9432",
         "9fb629c4189551a2d022fa330f9573f3", "ec29112dd5afa0611ce80d1b7f02629c"),
    ),
    "fashion_mnist": (
        ("https://fashion-mnist.s3.eu-central-1.amazonaws.com/",
         "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"),
        ("8d4fb7e6c68d591d4c3dfef9ec88bf0d", "25c81989df183df01b3e8a0aad5dffbe",
         "bef4ecab320f06d8554ea6380940ec79", "bb300cfdad3c16e7a12a480ee83cd310"),
    ),
}  # fmt: skip
NAMES = ("mnist", "fashion_mnist", "digits")


class Images(NamedTuple):
    """`pixels` (rows, height, width) uint8 and `labels` (rows,) uint8."""

    pixels: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.uint8]


def read_idx(path: Path) -> npt.NDArray[np.uint8]:
    """An IDX file of bytes, plain or gzipped (the format of MNIST), as an array of its shape."""
    try:
        with open(path, "rb") as file:
            data = file.read()
        if data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
    except FileNotFoundError as reason:
        raise errors.MissingFileError(str(reason)) from None
    except (OSError, EOFError) as reason:
        raise errors.FileError(f"{path}: {reason}") from None
    if len(data) < 4 or data[:3] != b"\0\0\x08" or len(data) < 4 + 4 * data[3]:
        raise errors.FormatError(f"{path}: not an IDX file of bytes")
    shape = struct.unpack_from(f">{data[3]}I", data, 4)
    start = 4 + 4 * data[3]
    if len(data) - start != math.prod(shape):
        raise errors.FormatError(f"{path}: {len(data) - start} values, its header says {' x '.join(map(str, shape))}")
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)


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
    paths = []
    for file in _IDX[split]:
        md5 = "md5:" + sums[[*_IDX["train"], *_IDX["test"]].index(file)]
        reasons = []
        for mirror in mirrors:
            try:
                folder = pooch.os_cache("darknet-vae") / name
                paths.append(FilePath(pooch.retrieve(mirror + file, md5, path=folder, progressbar=_has("tqdm"))))
                break
            except (OSError, ValueError, urllib.error.URLError) as reason:
                reasons.append(f"{mirror}: {type(reason).__name__}")
        else:
            raise errors.FileError(f"cannot download {file}: {'; '.join(reasons)}")
    return paths


def _has(module: str) -> bool:
    import importlib.util

    return importlib.util.find_spec(module) is not None


def load(name: str, split: str = "train", folder: Path | None = None) -> Images:
    """MNIST or Fashion-MNIST: the IDX files in `folder`, or downloaded once and kept in the user's cache."""
    if name not in _SOURCES:
        raise errors.UsageError(f"unknown data set '{name}'; there are: {', '.join(NAMES)}")
    if split not in _IDX:
        raise errors.UsageError(f"split '{split}' is not train or test")
    paths = _download(name, split) if folder is None else [_find(folder, file) for file in _IDX[split]]
    pixels, labels = read_idx(paths[0]), read_idx(paths[1])
    if pixels.ndim != 3 or labels.shape != pixels.shape[:1]:
        raise errors.FormatError(f"{paths[0]}: images of shape {pixels.shape} with labels of shape {labels.shape}")
    return Images(pixels, labels)


def write_csv(name: str, output: Path, rows: int | None = None, split: str = "train", folder: Path | None = None) -> int:
    """Write a data set as CSV, pixel_<row>_<column> from 0 to 255 (digits: 16) and a `label` column; returns the rows."""
    if rows is not None and rows <= 0:
        raise errors.UsageError(f"rows={rows} is not a positive number")
    temporary = f"{os.fspath(output)}.tmp{os.getpid()}"
    try:
        with open(temporary, "w", newline="") as file:
            if name == "digits":
                from .data import bundled

                with open(bundled("digits.csv")) as source:
                    if rows is None:
                        shutil.copyfileobj(source, file)
                        source.seek(0)
                        written = sum(1 for _ in source) - 1
                    else:
                        lines = source.readlines()[: rows + 1]
                        file.writelines(lines)
                        written = len(lines) - 1
            else:
                pixels, labels = load(name, split, folder)
                pixels, labels = pixels[:rows], labels[:rows]
                _, height, width = pixels.shape
                names = [f"pixel_{r}_{c}" for r in range(height) for c in range(width)]
                file.write(",".join([*names, "label"]) + "\n")
                text = [str(v) for v in range(256)]  # an image is joined from ready numbers
                for image, label in zip(pixels.reshape(len(pixels), -1).tolist(), labels.tolist(), strict=True):
                    file.write(",".join([text[v] for v in image]) + f",{label}\n")
                written = len(pixels)
        os.replace(temporary, output)
    except errors.DarknetError:
        raise
    except OSError as reason:
        raise errors.FileError(f"cannot write {output}: {reason.strerror}") from None
    finally:
        if os.path.exists(temporary):
            os.unlink(temporary)
    return written
