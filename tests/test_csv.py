"""Tables: what is detected, what is refused, and that nothing is lost."""

from __future__ import annotations

import ctypes
import os
import threading
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
        ("1,2\n3,\n", r"x\.csv:2: column 2: '' is not a finite number"),
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


def shortest(value: np.float32) -> str:
    texts = [f"{float(value):.{digits}g}" for digits in (6, 7, 8, 9)]
    return next((text for text in texts if np.float32(float(text)) == value), texts[-1])


def test_numbers_are_written_as_the_shortest_of_6_to_9_digits() -> None:
    random = np.random.default_rng(0)
    bits = random.integers(0, 0x7F800000, size=8000, dtype=np.uint32)
    bits[:2000] &= 0xFF800000  # powers of two, below which floats lie closer
    bits[2000:3000] %= 1 << 23  # denormal
    values = [bits.view(np.float32), random.normal(size=4000) * 10.0 ** random.integers(-6, 9, size=4000)]
    values += [random.integers(-(10**8), 10**8, size=2000) / 1000, 10.0 ** np.arange(-45, 39), -(10.0 ** np.arange(-9, 12))]
    values += [np.array([0, -0.0, 999999, 1000000, 999999.5, 9999995, 16777217, 0.1, 1e-4, 9.9999e-5, 3.4028235e38, np.inf])]
    X = np.concatenate(values).astype(np.float32).reshape(-1, 1)
    dv.save_csv("x.csv", np.append(X, np.nan).reshape(-1, 1))
    assert Path("x.csv").read_text().split() == [*map(shortest, X[:, 0]), "nan"]


def test_a_file_longer_than_the_window_is_read_whole() -> None:
    X = np.arange(300_000, dtype=np.float32).reshape(-1, 3)
    np.savetxt("x.csv", X, fmt="%d", delimiter=",", header="a,b,c", comments="")
    np.testing.assert_array_equal(dv.load_csv("x.csv"), X)
    wide = np.arange(600_000, dtype=np.float32).reshape(2, -1)
    np.savetxt("wide.csv", wide, fmt="%d", delimiter=",")
    np.testing.assert_array_equal(dv.load_csv("wide.csv"), wide)
    with open("x.csv", "a") as file:
        file.write("1,2,bad\n")
    with pytest.raises(errors.FormatError, match=r"x\.csv:100002: column 3 \('c'\): 'bad'"):
        dv.load_csv("x.csv")


@pytest.fixture(params=["1", "2", "5"])
def threads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DARKNET_THREADS", request.param)


def test_a_long_file_of_many_forms_is_read_the_same_by_any_number_of_threads(threads: None) -> None:
    """Several windows of several parts, with every line end and form of cell, so that parts begin at all of them."""
    random = np.random.default_rng(0)
    X = random.integers(0, 1000, size=(120_000, 9)) / 8
    ends, blanks = ["\n", "\r\n", "\r", "\n\n", "\r\n# a comment, 1\n", ",\n", " \n \t\n"], ["", "", "", " ", "\t"]
    forms = ["%g", "%g", "%g", "%.3f", "+%g", '"%g"', "%.17e"]
    lines, labels = [], []
    for number, row in enumerate(X):
        form = forms[number // 7 % 7]
        blank = blanks[number % 5]
        labels.append(f"row {number}" if number % 3 else str(number))
        cells = [labels[-1], *((blank + form % value + blank) for value in row)]
        lines.append(",".join(cells[1:5] + cells[:1] + cells[5:]) + ends[number % 7])
    text = "\ufeffa,b,c,d,name,e,f,g,h,i\n" + "".join(lines)
    Path("x.csv").write_bytes(text.encode())
    assert len(text) > 3 << 21
    table = dv.load_table("x.csv", label_column="name")
    np.testing.assert_array_equal(table.X, X.astype(np.float32))
    assert table.labels is not None and table.labels.tolist() == labels
    table = dv.load_table("x.csv", label_column="name", targets=["i", 0], rows=80_001, scale=8)
    np.testing.assert_array_equal(table.X, (X[:80_001, 1:8] / 8).astype(np.float32))
    np.testing.assert_array_equal(table.truth, X[:80_001][:, [8, 0]].astype(np.float32))  # type: ignore[arg-type]
    assert table.labels is not None and table.labels.tolist() == labels[:80_001]


def test_the_first_of_several_errors_is_named_with_its_line(threads: None) -> None:
    lines = ["1,2,3\n"] * 700_000
    lines[1000] = "\n# nothing\n"
    for row, bad, message in ((650_000, "1,2\n", "2 columns, expected 3"), (300_001, "1,x,2\n", "column 2: 'x'")):
        lines[row] = bad
        Path("x.csv").write_text("".join(lines))
        with pytest.raises(errors.FormatError, match=rf"x\.csv:{row + 2}: {message}"):
            dv.load_csv("x.csv")
    assert len(dv.load_csv("x.csv", rows=300_000)) == 300_000  # what follows does not matter
    Path("x.csv").write_text("1,2,3\n" * 700_000 + "1,2,\0")
    with pytest.raises(errors.FormatError, match="a zero byte here or later"):
        dv.load_csv("x.csv")


def test_a_pipe_is_read_as_a_file_is(threads: None) -> None:
    os.mkfifo("pipe")
    text = b"".join(b"%d,%d\n" % (i, -i) for i in range(600_000))
    writer = threading.Thread(target=Path("pipe").write_bytes, args=(text,))
    writer.start()
    X = dv.load_csv("pipe")
    writer.join()
    np.testing.assert_array_equal(X[:, 0], np.arange(600_000, dtype=np.float32))
    np.testing.assert_array_equal(X[:, 1], -X[:, 0])


def hard_decimals() -> list[str]:
    """Texts that are easily rounded to the wrong float32: midpoints, their neighbours, long ones, the range's ends."""
    random = np.random.default_rng(0)
    bits = random.integers(0, 0x7F7FFFFF, size=2000, dtype=np.uint32)
    bits[:200] %= 1 << 23  # denormal
    texts = []
    for f in bits.view(np.float32):
        middle = (float(f) + float(np.nextafter(f, np.float32(np.inf)))) / 2
        exact = f"{middle:.160e}"
        head, exponent = exact.split("e")
        digits = head.rstrip("0")
        texts += [f"{digits}e{exponent}", f"{digits}{'0' * 90}1e{exponent}", f"{digits[:-1]}{int(digits[-1]) - 1}9e{exponent}"]
        texts += [f"{middle:.{n}e}" for n in (5, 8, 16, 17, 18, 25)] + [f"{middle:.60f}"]
    values = random.normal(size=4000) * 10.0 ** random.integers(-46, 38, size=4000)
    texts += [f"{value:.{n}g}" for value, n in zip(values.tolist(), random.integers(1, 25, size=4000).tolist(), strict=True)]
    texts += [str(n) for n in random.integers(0, 1 << 62, size=2000).tolist()] + [str((1 << 24) + n) for n in range(60)]
    texts += ["0" * 400 + "1", "." + "0" * 40 + "1" * 30, "1" + "0" * 37 + ".5", "9" * 38, "1e-400", "1.e1", ".5", "-0", "0e999"]
    texts += ["1" + "0" * 30 + "e-30", "0." + "0" * 500 + "1e501", "340282346638528859811704183484516925440", "7.1e-46", "7e-46"]
    texts += ["340282356779733661637539395458142568447", "1" * 5000 + "e-4990", "0." + "3" * 5000]
    return texts


def test_decimals_become_the_nearest_float32() -> None:
    strtof = ctypes.CDLL(None).strtof
    strtof.restype, strtof.argtypes = ctypes.c_float, [ctypes.c_char_p, ctypes.c_void_p]
    texts = hard_decimals()
    wanted = np.array([strtof(text.encode(), None) for text in texts], np.float32)
    texts, wanted = [t for t, w in zip(texts, wanted, strict=True) if np.isfinite(w)], wanted[np.isfinite(wanted)]
    Path("x.csv").write_text("".join(f"{text},-{text}\n" for text in texts).replace("--", ""))
    X = dv.load_csv("x.csv")
    wrong = np.flatnonzero(X[:, 0].view(np.uint32) != wanted.view(np.uint32))
    assert not len(wrong), [(texts[i], X[i, 0], wanted[i]) for i in wrong[:5]]
    np.testing.assert_array_equal(np.abs(X[:, 1]), np.abs(wanted))


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
