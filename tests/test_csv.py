"""Tables: what is found out, what is refused, and that nothing is lost."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import darknet_vae as dv
from darknet_vae import errors

ROWS = np.array([[1, 2, 3], [4, 5, 6]], np.float32)


@pytest.mark.parametrize(
    "text",
    [
        "1,2,3\n4,5,6\n", "1;2;3\n4;5;6\n", "1\t2\t3\n4\t5\t6\n", "1 2  3\n 4 5 6 \n", "1,2,3\r\n4,5,6\r\n", "1,2,3\r4,5,6",
        "\ufeff1,2,3\n4,5,6", "\n1,2,3\n\n4,5,6\n\n", "1,2,3,\n4,5,6,\n", '"1","2",3\n4,"5",6\n', "a,b,c\n1,2,3\n4,5,6\n",
        "# a comment\n1,2,3\n4,5,6\n", " 1 , 2 ,3\n+4,5e0,.6e1\n",
    ],
)  # fmt: skip
def test_every_common_form_is_read(text: str) -> None:
    Path("x.csv").write_bytes(text.encode())
    np.testing.assert_array_equal(dv.load_csv("x.csv"), ROWS)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,2\n3,x\n", r"x\.csv:2: column 2: 'x' is not a finite number"),
        ("1,2\n3,nan\n", r"x\.csv:2: column 2: 'nan'"),
        ("1,2\ninf,4\n", r"x\.csv:2: column 1: 'inf'"),
        ("1,2\n3,1e60\n", r"x\.csv:2: column 2: '1e60'"),
        ("1,2\n3,\n", r"x\.csv:2: 1 columns, expected 2"),
        ("1,,2\n", r"x\.csv:1: column 2: ''"),
        ("1,2\n3,4,5\n", r"x\.csv:2: 3 columns, expected 2"),
        ("1,2\n\n3\n", r"x\.csv:3: 1 columns, expected 2"),
        ("", r"x\.csv: no rows"),
        ("\n\n", r"x\.csv: no rows"),
        ("a,b\n", r"x\.csv: a header, but no rows"),
        ("1,0x1A\n", r"x\.csv:1: column 2: '0x1A'"),
        ("1,2\n3,\0\n", r"x\.csv:1: a zero byte"),
    ],
)
def test_a_bad_cell_is_named_with_file_line_column_and_value(text: str, message: str) -> None:
    Path("x.csv").write_text(text)
    with pytest.raises(errors.FormatError, match=message):
        dv.load_csv("x.csv")


def test_labels_are_kept_apart_whatever_they_are() -> None:
    Path("x.csv").write_text("kind,a,b\nsetosa,1,2\nvirginica,3,4\n")
    table = dv.load_table("x.csv", label_column="kind")
    assert table.labels is not None and table.labels.tolist() == ["setosa", "virginica"]
    assert table.names == ["a", "b"]
    np.testing.assert_array_equal(table.X, [[1, 2], [3, 4]])
    Path("y.csv").write_text("1,2,7\n3,4,8\n")
    for column in (2, -1, "2", "-1"):
        assert dv.load_table("y.csv", label_column=column).labels.tolist() == ["7", "8"]  # type: ignore[union-attr]
    for column in (3, -4, "kind"):
        with pytest.raises(errors.UsageError, match=r"y\.csv: no label column"):
            dv.load_table("y.csv", label_column=column)


def test_scale_rows_and_columns() -> None:
    Path("x.csv").write_text("2,4\n6,8\n10,12\n")
    np.testing.assert_array_equal(dv.load_csv("x.csv", scale=2, rows=2), [[1, 2], [3, 4]])
    with pytest.raises(errors.FormatError, match=r"x\.csv:1: 2 columns, the network takes 3"):
        dv.load_csv("x.csv", columns=3)


def test_numbers_read_back_exactly() -> None:
    random = np.random.default_rng(0)
    X = (random.normal(size=(500, 7)) * 10.0 ** random.integers(-37, 38, size=(500, 7))).astype(np.float32)
    X[0] = [0, -0.0, 1, 1e-45, 3.4028235e38, 1 / 3, 16777216]
    dv.save_csv("x.csv", X)
    np.testing.assert_array_equal(dv.load_csv("x.csv"), X)
    text = Path("x.csv").read_text()
    assert text.startswith("0,-0,1,") and text.endswith("\n") and ",\n" not in text


def test_a_file_longer_than_the_window_is_read_whole() -> None:
    X = np.arange(300_000, dtype=np.float32).reshape(-1, 3)
    np.savetxt("x.csv", X, fmt="%d", delimiter=",", header="a,b,c", comments="")
    np.testing.assert_array_equal(dv.load_csv("x.csv"), X)
    wide = np.arange(600_000, dtype=np.float32).reshape(2, -1)
    np.savetxt("wide.csv", wide, fmt="%d", delimiter=",")
    np.testing.assert_array_equal(dv.load_csv("wide.csv"), wide)
    with open("x.csv", "a") as file:
        file.write("1,2,bad\n")
    with pytest.raises(errors.FormatError, match=r"x\.csv:100002: column 3: 'bad'"):
        dv.load_csv("x.csv")


def test_a_missing_file_and_a_folder_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nothere\.csv"):
        dv.load_csv("nothere.csv")
    with pytest.raises(errors.FileError, match="folder"):
        dv.load_csv(tmp_path)
    with pytest.raises(errors.FileError, match="nofolder"):
        dv.save_csv("nofolder/x.csv", ROWS)


def test_the_array_outlives_the_call() -> None:
    dv.save_csv("x.csv", ROWS)
    views = [dv.load_csv("x.csv")[1:] for _ in range(100)]
    assert all((view == ROWS[1:]).all() for view in views)
