"""Data sets without a network: the IDX reader, the bundled digits, the errors."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from helpers import MODULE, ROOT, run

import darknet_vae as dv
from darknet_vae import datasets, errors


def idx(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.astype(np.uint8).tobytes()


@pytest.mark.parametrize("packed", [False, True])
def test_idx_files_are_converted_plain_or_gzipped(packed: bool) -> None:
    pixels, labels = np.arange(24).reshape(2, 3, 4), np.array([7, 1])
    Path("d").mkdir()
    for name, array in (("train-images-idx3-ubyte", pixels), ("train-labels-idx1-ubyte", labels)):
        data = gzip.compress(idx(array)) if packed else idx(array)
        Path("d", name + (".gz" if packed else "")).write_bytes(data)
    assert datasets.write_csv("fashion_mnist", "x.csv", folder="d") == 2
    table = dv.load_table("x.csv", label_column="label")
    np.testing.assert_array_equal(table.X, pixels.reshape(2, -1))
    assert table.labels is not None and table.labels.tolist() == ["7", "1"]
    assert table.names is not None and table.names[5] == "pixel_1_1"


def test_a_bad_idx_file_is_named() -> None:
    Path("d").mkdir()
    with pytest.raises(FileNotFoundError, match="train-images-idx3-ubyte"):
        datasets.load("mnist", folder="d")
    for data, message in ((b"text", "not an IDX file"), (idx(np.zeros((2, 2)))[:-1], "3 values, its header says 2 x 2")):
        Path("bad").write_bytes(data)
        with pytest.raises(errors.FormatError, match=message):
            datasets.read_idx("bad")
    with pytest.raises(errors.UsageError, match="unknown data set"):
        datasets.load("cifar")


def test_the_bundled_digits_come_out_as_they_are() -> None:
    done = run([*MODULE, "dataset", "digits", "-o", "x.csv"])
    assert done.returncode == 0 and "1797 rows" in done.stderr
    assert Path("x.csv").read_text() == (ROOT / "data" / "digits.csv").read_text()
    assert datasets.write_csv("digits", "y.csv", rows=10) == 10
    assert len(dv.load_csv("y.csv", label_column="label")) == 10


def test_an_unwritable_target_is_one_line() -> None:
    done = run([*MODULE, "dataset", "digits", "-o", "nofolder/x.csv"])
    assert done.returncode == 4 and len(done.stderr.splitlines()) == 1 and "nofolder/x.csv" in done.stderr


def test_a_failed_download_names_the_file_and_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    pooch = pytest.importorskip("pooch")

    def refuse(url: str, *args: object, **options: object) -> str:
        raise OSError("no network")

    monkeypatch.setattr(pooch, "retrieve", refuse)
    with pytest.raises(errors.FileError, match=r"cannot download train-images-idx3-ubyte\.gz"):
        datasets.write_csv("mnist", "x.csv")
    assert not list(Path().glob("x.csv*"))
