"""Data sets without a network: the IDX reader, the bundled digits, the errors."""

from __future__ import annotations

import gzip
import os
import stat
import subprocess
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


BYTES = idx(np.arange(6).reshape(2, 3))
PACKED = gzip.compress(BYTES, mtime=0)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "0 bytes are no header"),
        (b"\0\0\x08", "3 bytes are no header"),
        (b"text", "it begins with 0x74657874"),
        (b"\0\0\x07\1" + BYTES[4:], "it begins with 0x00000701"),
        (b"\1\0\x08\1" + BYTES[4:], "it begins with 0x01000801"),
        (b"\0\0\x0d\1\0\0\0\1\0\0\0\0", "but of float32"),
        (b"\0\0\x08\0", "0 dimensions in a file of 4 bytes"),
        (BYTES[:10], "2 dimensions in a file of 10 bytes"),
        (BYTES[:-1], "5 values, its header says 2 x 3"),
        (BYTES + b"x", "7 values, its header says 2 x 3"),
        (b"\0\0\x08\2" + b"\xff" * 8, "0 values, its header says 4294967295 x 4294967295"),
        (b"\0\0\x08\x50" + b"\0\0\0\1" * 80 + b"\0", "80 dimensions are no array"),
        (b"\0\0\x08\4\0\0\0\0" + b"\xff" * 12, "4 dimensions are no array"),
        (PACKED[:-9], "damaged gzip data"),
        (PACKED[:12], "damaged gzip data"),
        (PACKED[:2] + b"\xff" * 30, "damaged gzip data"),
        (PACKED[:-8] + b"\0" * 8, "damaged gzip data"),
        (PACKED[:11] + b"\xff\xff\xff" + PACKED[14:], "damaged gzip data"),
        (gzip.compress(b"text", mtime=0), "it begins with 0x74657874"),
    ],
)
def test_every_malformed_idx_file_is_a_format_error_that_names_it(data: bytes, message: str) -> None:
    Path("bad.gz").write_bytes(data)
    with pytest.raises(errors.FormatError, match=r"^bad\.gz: .*" + message) as error:
        datasets.read_idx("bad.gz")
    assert "\n" not in str(error.value)


def test_folders_and_missing_idx_files_are_typed_errors() -> None:
    Path("folder").mkdir()
    with pytest.raises(errors.FileError, match="folder"):
        datasets.read_idx("folder")
    with pytest.raises(errors.MissingFileError, match="cannot open nothere: No such file"):
        datasets.read_idx("nothere")


def test_labels_of_another_number_than_the_images_are_an_error() -> None:
    Path("d").mkdir()
    Path("d/train-images-idx3-ubyte").write_bytes(idx(np.zeros((2, 3, 3))))
    Path("d/train-labels-idx1-ubyte").write_bytes(idx(np.zeros(3)))
    with pytest.raises(errors.FormatError, match=r"shape \(2, 3, 3\) with labels of shape \(3,\)"):
        datasets.load("mnist", folder="d")


def test_downloads_are_encrypted_and_checked_with_sha256(monkeypatch: pytest.MonkeyPatch) -> None:
    pooch = pytest.importorskip("pooch")
    asked = []

    class Damaged(Exception):
        """As of requests, which is no OSError everywhere."""

    def refuse(url: str, known_hash: str, **options: object) -> str:
        asked.append((url, known_hash))
        raise Damaged("the sum differs\nsecond line")

    monkeypatch.setattr(pooch, "retrieve", refuse)
    for name in ("mnist", "fashion_mnist"):
        for split in ("train", "test"):
            with pytest.raises(errors.FileError, match="Damaged: the sum differs") as error:
                datasets.load(name, split)
            assert "\n" not in str(error.value)
    assert len(asked) == 8
    for url, known in asked:
        assert url.startswith("https://") and known.startswith("sha256:") and len(known) == 7 + 64
    assert len({known for _, known in asked}) == 4


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


def test_without_a_network_one_short_line_says_so_with_the_remedy_and_no_folder_is_left(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    pooch = pytest.importorskip("pooch")
    monkeypatch.setenv("XDG_CACHE_HOME", os.path.abspath("cache"))

    def offline(url: str, known_hash: str, path: Path, **options: object) -> str:
        path.mkdir(parents=True, exist_ok=True)
        pooch.get_logger().info("Downloading data from %s", url)
        raise ConnectionError("HTTPSConnectionPool(host='x', port=443): Max retries exceeded with url: " + "y" * 200)

    monkeypatch.setattr(pooch, "retrieve", offline)
    with pytest.raises(errors.FileError) as error:
        datasets.write_csv("mnist", "x.csv")
    assert str(error.value) == (
        "cannot download train-images-idx3-ubyte.gz: no connection to ossci-datasets.s3.amazonaws.com; no connection to "
        "storage.googleapis.com; -from DIR (in Python folder=) takes train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz "
        "from a folder"
    )
    assert capfd.readouterr().err == ""
    assert not Path("cache").exists()
    Path("cache/darknet-vae").mkdir(parents=True)
    Path("cache/darknet-vae/other").write_text("kept")
    with pytest.raises(errors.FileError):
        datasets.write_csv("mnist", "x.csv")
    assert os.listdir("cache/darknet-vae") == ["other"]


def test_a_data_set_goes_where_other_results_go() -> None:
    """A link stays a link, a pipe a pipe, a file keeps its mode, and nothing that lies beside it is followed."""
    os.mkfifo("pipe")
    with subprocess.Popen(["timeout", "10", "cat", "pipe"], stdout=subprocess.PIPE, text=True) as reader:
        assert datasets.write_csv("digits", "pipe", rows=5) == 5
        rows = reader.communicate()[0]
    assert rows.count("\n") == 6 and stat.S_ISFIFO(os.lstat("pipe").st_mode)
    Path("real.csv").write_text("old")
    os.chmod("real.csv", 0o640)
    os.symlink("real.csv", "link.csv")
    Path("victim").write_text("keep me")
    os.symlink("victim", f"link.csv.tmp{os.getpid()}")
    datasets.write_csv("digits", "link.csv", rows=5)
    assert os.path.islink("link.csv") and Path("real.csv").read_text() == rows
    assert stat.S_IMODE(os.stat("real.csv").st_mode) == 0o640
    assert Path("victim").read_text() == "keep me"
    datasets.write_csv("digits", "n" * 250 + ".csv", rows=5)
    done = run([*MODULE, "dataset", "digits", "-rows", "5", "-o", "-", "-q"])
    assert done.returncode == 0 and done.stdout == rows
    before = sorted(os.listdir())
    with pytest.raises(errors.FormatError):
        Path("d").mkdir()
        Path("d", "train-images-idx3-ubyte").write_bytes(b"text")
        Path("d", "train-labels-idx1-ubyte").write_bytes(b"text")
        datasets.write_csv("mnist", "real.csv", folder="d")
    assert Path("real.csv").read_text() == rows
    assert sorted(os.listdir()) == sorted([*before, "d"])
