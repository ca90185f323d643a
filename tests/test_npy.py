"""Arrays in NumPy's .npy files in place of CSV files, in the binary and in Python."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from helpers import ROOT, program, run

import darknet_vae as dv
from darknet_vae import errors

CFG = str(ROOT / "cfg" / "vae_digits.cfg")


def saved(array: np.ndarray, name: str = "x.npy") -> str:
    np.save(name, array)
    return name


@pytest.mark.parametrize("kind", ["f4", "f8", "u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "?"])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("scale", [1, 16])
def test_every_type_is_read_as_numpy_reads_it(kind: str, order: str, scale: float) -> None:
    array = np.random.default_rng(0).integers(0, 100, (7, 5)).astype(kind, order=order)  # type: ignore[call-overload]
    table = dv.load_table(saved(array), scale=scale)
    np.testing.assert_array_equal(table.X, (array / scale).astype(np.float32))
    assert table.labels is None and table.names is None


def test_further_dimensions_are_columns() -> None:
    array = np.random.default_rng(0).normal(size=(4, 2, 3))
    np.testing.assert_array_equal(dv.load_csv(saved(array)), array.reshape(4, 6).astype(np.float32))
    np.testing.assert_array_equal(dv.load_csv(saved(array[:, 0, 0])), array[:, 0, :1].astype(np.float32))


def test_the_first_rows_labels_and_targets() -> None:
    array = np.random.default_rng(0).normal(size=(9, 5))
    array[:, 0] = np.arange(9)
    array[3, 4] = np.nan
    table = dv.load_table(saved(array), label_column=0, targets=[-1, 2], rows=6, scale=2, missing=True)
    np.testing.assert_array_equal(table.X, (array[:6, [1, 3]] / 2).astype(np.float32))
    assert table.labels is not None and table.labels.tolist() == list("012345")
    np.testing.assert_array_equal(table.truth, array[:6, [4, 2]].astype(np.float32))


def test_float32_is_a_view_of_the_file_and_changes_stay_in_memory() -> None:
    array = np.random.default_rng(0).normal(size=(1000, 50)).astype(np.float32)
    path = saved(array)
    X = dv.load_csv(path)
    X[0, 0] = 7
    np.testing.assert_array_equal(np.load(path), array)
    Path(path).unlink()
    np.testing.assert_array_equal(X[1:], array[1:])


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.array([[1, np.nan]]), "row 0, column 1: nan is not a finite number"),
        (np.array([[1], [np.inf]], np.float32), "row 1, column 0: inf is not a finite number"),
        (np.array([[1e300]]), "1e+300 is not a finite number in float32"),
        (np.zeros((2, 2), ">f4"), "values of type >f4 are not read"),
        (np.zeros((2, 2), np.complex64), "values of type <c8 are not read"),
        (np.zeros((2, 2), np.float16), "astype('float32')"),
        (np.zeros(3, [("a", "f4"), ("b", "i4")]), "an array of records"),
        (np.zeros((0, 4)), "an array without values"),
        (np.float64(3), "a single value"),
    ],
)
def test_what_is_no_table_of_numbers_is_refused_by_name(array: np.ndarray, message: str) -> None:
    with pytest.raises(errors.FormatError) as caught:
        dv.load_csv(saved(array))
    assert message in str(caught.value) and str(caught.value).startswith("x.npy: ")


def test_damaged_files_are_refused() -> None:
    whole = Path(saved(np.arange(12.0).reshape(3, 4))).read_bytes()
    random = np.random.default_rng(0)
    for _ in range(400):
        damaged = bytearray(whole[: random.integers(6, len(whole) + 1)])
        for _ in range(random.integers(0, 4)):
            damaged[random.integers(6, len(damaged)) if len(damaged) > 6 else 0] = random.integers(256)
        Path("x.npy").write_bytes(damaged)
        try:
            dv.load_csv("x.npy")
        except errors.DarknetError as error:
            assert "\n" not in str(error)


def test_the_programs_take_arrays_for_tables() -> None:
    table = dv.load_table(ROOT / "data" / "digits.csv", label_column="label")
    saved(table.X.astype(np.uint8))
    options = ["-epochs", "2", "-no-latents", "-quiet", "-json", "-save", "a.weights", "-nogpu"]
    lines = [
        run([*program("binary"), "train", CFG, path, *options], env={**os.environ, "DARKNET_THREADS": "1"})
        for path in ("x.npy", str(ROOT / "data" / "digits.csv"))
    ]
    assert [line.returncode for line in lines] == [0, 0], lines
    losses = [json.loads(line.stdout)["total_loss"] for line in lines]
    assert losses[0] == losses[1]
    with open("x.npy", "rb") as array:
        refused = run([*program("binary"), "evaluate", CFG, "-", "-weights", "a.weights"], stdin=array)
    assert refused.returncode == 3 and "give its path" in refused.stderr
