"""Tables as spreadsheets, R, pandas, databases and sensors write them: no row is lost without a word, names are exact."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import lzma
import os
import re
import threading
import time
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
from helpers import BINARY, run

import darknet_vae as dv
from darknet_vae import errors
from darknet_vae._lib import ffi, lib
from darknet_vae.data import Classes, Table


def load(text: str | bytes, **options: object) -> tuple[Table, list[str]]:
    """The table, and its warnings."""
    Path("x.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    with warnings.catch_warnings(record=True) as met:
        warnings.simplefilter("always")
        table = dv.load_table("x.csv", **options)  # type: ignore[arg-type]
    return table, [str(warning.message) for warning in met]


def refused(text: str | bytes, **options: object) -> str:
    with pytest.raises(dv.DarknetError) as error:
        load(text, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


def texts(labels: object) -> list[str]:
    assert isinstance(labels, np.ndarray)
    return [str(label) for label in labels]


@pytest.fixture(params=["1", "3"])
def threads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DARKNET_THREADS", request.param)


# ---- rows that begin with # ----


@pytest.mark.parametrize("cell", ["#N/A", "#DIV/0!", "#3", "#"])
def test_a_row_that_begins_with_a_hash_is_a_row(cell: str) -> None:
    assert refused(f"a,b,c\n1,2,3\n{cell},5,6\n7,8,9\n").startswith(f"x.csv:3: column 1 ('a'): '{cell}' is not a finite")
    assert refused(f"v\n1\n{cell}\n3\n").startswith(f"x.csv:3: column 1 ('v'): '{cell}'")
    assert refused(f"1 2\n{cell} 2\n").startswith(f"x.csv:2: column 1: '{cell}'")


def test_labels_that_begin_with_a_hash_are_labels() -> None:
    table, said = load("colour,a,b\n#ff0000,1,2\n#00ff00,3,4\nplain,5,6\n", label_column="colour")
    assert texts(table.labels) == ["#ff0000", "#00ff00", "plain"] and table.X.shape == (3, 2) and not said
    table, said = load("#f00,1\n#0f0,2\n", label_column=0, header=False)
    assert texts(table.labels) == ["#f00", "#0f0"] and not said
    assert "header=False" in refused("#f00,1\n#0f0,2\n", label_column=0)


def test_comments_are_skipped_with_a_word() -> None:
    table, said = load('# made by hand\n\n# "on" 1, 2, 3 or 4\na,b\n1,2\n# of another width, so, a comment\n3,4\n# end\n')
    assert table.X.tolist() == [[1, 2], [3, 4]] and table.names == ["a", "b"]
    assert said == [
        "x.csv:1: 2 lines that begin with # are skipped as comments, the first is line 1",
        "x.csv:6: 2 lines that begin with # are skipped as comments, the first is line 6",
    ]


def test_a_leading_comment_with_the_tables_width_is_what_header_says() -> None:
    text = "#a,b\n1,2\n3,4\n"
    table, said = load(text)
    assert len(table.X) == 2 and table.names is None and "x.csv:1" in said[0] and "header=True" in said[0]
    table, said = load("# a remark\n" + text, header=True)
    assert table.names == ["#a", "b"] and len(table.X) == 2
    assert "x.csv:1: column 1: '#a'" in refused(text, header=False)


def test_a_comment_is_one_line() -> None:
    """A quote in it does not swallow rows."""
    assert "x.csv:3" in refused('a,b\n1,2\n#,"c,d\n3,4\n5,6"\n7,8\n')


# ---- header ----


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (",a,b,c\n0,1,2,3\n1,4,5,6\n", ["", "a", "b", "c"]),
        ('"","a","b"\n"1",1,2\n"2",4,5\n', ["", "a", "b"]),
        ("a,,c\n1,2,3\n", ["a", "", "c"]),
        ("a,b,\n1,2,3\n", ["a", "b", ""]),
        ("a,b,\n1,2,\n", ["a", "b"]),
        ("a,b\n1,2,\n3,4\n", ["a", "b"]),
        ('"a" "b"\n"1" 1 2\n"2" 3 4\n', ["", "a", "b"]),  # write.table of R
        ("a;b c;d\n1;2;3\n", ["a", "b c", "d"]),
        ("sep=;\r\na;b\r\n1;2\r\n", ["a", "b"]),
        ('" a ","",c\n1,2,3\n', [" a ", "", "c"]),
        ("my value\n1\n2\n", ["my value"]),
    ],
)
def test_names_are_those_of_all_columns(text: str, names: list[str]) -> None:
    table, _ = load(text)
    assert table.names == names and table.X.shape[1] == len(names)


def test_names_are_those_of_the_features() -> None:
    table, _ = load(",a,kind,b\n0,1,x,2\n", label_column="kind", targets="b")
    assert table.names == ["", "a"] and texts(table.labels) == ["x"]


@pytest.mark.parametrize(
    ("text", "rows", "names"),
    [
        ("0,1,2\n.1,.2,.3\n.4,.5,.6\n", 2, ["0", "1", "2"]),  # to_csv of a DataFrame without names
        ("0,1,2,3\n9,8,7,7\n4,5,6,6\n", 2, ["0", "1", "2", "3"]),
        (",0,1\n0,5.5,6\n1,7,8\n", 2, ["", "0", "1"]),
        (",0\n0,5.5\n", 1, ["", "0"]),
        ('"2018","2019","2020"\n1,2,3\n4,5,6\n', 2, ["2018", "2019", "2020"]),
        ('"sample","400.5"\n1,2\n', 1, ["sample", "400.5"]),
        ("1st,2nd\n1,2\n", 1, ["1st", "2nd"]),
        ("0,1,2\n3,4,5\n6,7,8\n", 3, None),  # a range of numbers goes on in the next row
        ("2018,2019,2020\n1.5,2,3\n", 2, None),
        ("400,400.5,401,401.5\n1,2,3,5\n", 2, None),
        ("0,1\n.5,.7\n", 2, None),
    ],
)
def test_a_doubtful_header_is_a_warning_that_names_the_options(text: str, rows: int, names: list[str] | None) -> None:
    table, said = load(text)
    assert len(table.X) == rows and table.names == names
    said = [line for line in said if "counts the rows" not in line]
    assert len(said) == 1 and said[0].startswith("x.csv:1: ")
    assert all(word in said[0] for word in ("-header", "-no-header", "header=True", "header=False"))
    for header in (True, False):
        if header or ('"sample"' not in text and "st" not in text and not text.startswith(",")):
            table, said = load(text, header=header)
            assert len(table.X) == text.count("\n") - header and (table.names is not None) == header
            assert not [line for line in said if "counts the rows" not in line]


@pytest.mark.parametrize(
    "text", ["1,2,3\n4,5,7\n", "0,1\n1,0\n", "0,0,0\n1,2,3\n", '"1","2"\n"3","4"\n', "5\n6\n", "7,3,9\n1,2,3\n"]
)
def test_plain_numbers_are_rows_without_a_word(text: str) -> None:
    table, said = load(text)
    assert len(table.X) == 2 and table.names is None and (not said or text.startswith("1,2,3"))


@pytest.mark.parametrize(
    "row", ["NaN,NaN,NaN", "NA,NA,NA", "null,NULL,None", ",,", "-,?,", "inf,-inf,nan", '"","",""', "\\N,\\N,\\N"]
)
def test_a_first_row_without_values_is_an_error_and_no_header(row: str) -> None:
    assert refused(row + "\n1,2,3\n4,5,6\n").startswith("x.csv:1: column 1: ")
    assert refused(f"a,b,c\n{row}\n1,2,3\n").startswith("x.csv:2: column 1 ('a'): ")
    assert refused(f"word,{row}\nword,1,2,3\n", label_column=0).startswith("x.csv:1: column 2: ")


@pytest.mark.parametrize("name", ["1", "s1"])
def test_a_word_before_numbers_may_be_a_header_and_the_error_says_so(name: str) -> None:
    text = f"sample,400.5,401\n{name},0.2,0.3\n"
    message = refused(text)
    assert message.startswith("x.csv:1: column 1: 'sample' is not a finite number") and "header with numbers" in message
    assert "-header (header=True)" in message
    assert load(text, header=True, label_column="sample")[0].names == ["400.5", "401"]
    assert load(text, label_column="sample")[0].names == ["400.5", "401"]


def test_header_is_what_the_caller_says() -> None:
    table, said = load("1,2\n3,4\n", header=True)
    assert table.names == ["1", "2"] and table.X.tolist() == [[3, 4]] and not said
    assert dv.load_csv("x.csv", header=True).tolist() == [[3, 4]]
    assert "x.csv:1: column 1: 'a' is not" in refused("a,b\n1,2\n", header=False)
    assert "no header" in refused("a,b\n1,2\n", header=False, label_column="a")


def test_the_table_tells_what_was_found_out() -> None:
    def told(text: str, header: int) -> tuple[int, int, bytes, str]:
        Path("x.csv").write_text(text)
        table, options = ffi.new("dn_table *"), ffi.new("dn_csv_options *", {"header": header})
        assert lib.dn_csv_load(table, b"x.csv", options) == 0
        warning = ffi.string(table.warnings).decode() if table.warnings else ""
        found = (table.has_header, table.header_guessed, table.separator, warning)
        lib.dn_table_free(table)
        assert not table.warnings and not table.values
        return found

    assert told("a;b\n1;2\n", 0) == (1, 1, b";", "")
    assert told("a\tb\n1\t2\n", 1) == (1, 0, b"\t", "")
    assert told("1 2\n3 4\n", -1) == (0, 0, b" ", "")
    assert told("# c\n1,2\n# d\n", 0) == (
        0,
        1,
        b",",
        "\n".join(f"x.csv:{n}: a line that begins with # is skipped as a comment" for n in (1, 3)),
    )


# ---- separators and quotes ----


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ('"a, x";b;c\n1;2;3\n4;5;6\n', ["a, x", "b", "c"]),
        ("a, x;b;c\n1;2;3\n", ["a, x", "b", "c"]),
        ("a, x\tb; y\tc\n1\t2\t3\n", ["a, x", "b; y", "c"]),
        ('"a;b;c",d\n1,2\n', ["a;b;c", "d"]),
        ("a b c,d\n1,2\n", ["a b c", "d"]),
    ],
)
def test_a_separator_in_a_name_does_not_separate(text: str, names: list[str]) -> None:
    assert load(text)[0].names == names


@pytest.mark.parametrize("mark", ["|", "^", "~"])
def test_a_separator_that_is_not_read_is_named(mark: str) -> None:
    says = "x.csv:1: rows of one column, but '{}' would make 3 of it: cells are separated by commas, semicolons, tabs or blanks"
    for first in ("a|b|c", "1|2|3"):
        with pytest.raises(dv.errors.FormatError, match=re.escape(says.format(mark))):
            Path("x.csv").write_text((first + "\n1|2|3\n4|5|6\n").replace("|", mark))
            dv.load_csv("x.csv", columns=3)
    text = "name|of|it\n" + "".join(f"{'xyz'[i % 3]}|{i}|2020-01-01\n" for i in range(40)) + "a\n"
    Path("x.csv").write_text(text.replace("|", mark))
    with warnings.catch_warnings(record=True) as met:
        warnings.simplefilter("always")
        dv.tables.Frame("x.csv")
        Path("x.csv").write_text(f"a\nb{mark}c\nd\ne\n")  # some text has it
        dv.tables.Frame("x.csv")
    assert [str(warning.message).startswith(says.format(mark)) for warning in met] == [True]


def test_quotes_are_those_of_rfc_4180() -> None:
    table, _ = load('kind,a\n"5"" pipe",1\n"two\nlines",2\n5" pipe,3\n" x ",4\n"",5\n"a, b",6\n"\r\n",7\n', label_column="kind")
    assert texts(table.labels) == ['5" pipe', "two\nlines", '5" pipe', " x ", "", "a, b", "\r\n"]
    assert table.X[:, 0].tolist() == [1, 2, 3, 4, 5, 6, 7]
    assert load('"a\nin m","b""",c\n1,"2",3\n')[0].names == ["a\nin m", 'b"', "c"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('"1"22,3\n', 'x.csv:1: column 1: a character after the closing quote of "1"'),
        ('1,2\n3,"4"-\n', "x.csv:2: column 2: a character after the closing quote"),
        ('a,"b"c\n1,2\n', "x.csv:1: column 2: a character after the closing quote"),
        ('"a,b\n1,2\n3,4\n', "x.csv:1: column 1: the quote that opens here is not closed"),
        ('1,2\n3,4\n5,"6\n7,8\n', "x.csv:3: column 2: the quote that opens here is not closed"),
        ('"x\ny",a\n1,"2"\n3,"4\n', "x.csv:4: column 2: the quote that opens here is not closed"),
        ('k,a\n"x\ny",1\nz,bad\n', "x.csv:4: column 2 ('a'): 'bad'"),
    ],
)
def test_wrong_quotes_are_named_with_their_line(text: str, message: str) -> None:
    assert refused(text, **({"label_column": "k"} if text.startswith("k") else {})).startswith(message)


def test_a_quote_that_is_never_closed_does_not_read_the_file_into_memory() -> None:
    message = refused('1,"2\n' + "3,4\n" * 5_000_000)
    assert message == "x.csv:1: column 2: the quote that opens here is not closed within 16777216 characters"


def test_line_ends_in_quotes_are_kept_at_the_borders_of_windows_and_parts(threads: None) -> None:
    """As Python's csv module reads it: labels full of quotes and line ends, in every place of the 2 MB windows."""
    random = np.random.default_rng(0)
    pieces = np.array(["x", '"', "\n", "\r\n", ",", "# ", " ", "y" * 50])
    picks, lengths = random.integers(0, len(pieces), size=(80_000, 6)), random.integers(0, 7, size=80_000)
    lines = (
        "name,a,b,c\n",
        *(
            f'"{"".join(pieces[p[:n]]).replace(chr(34), chr(34) * 2)}",{i},{i * 7 % 1000},-{i}\n' if n else f"plain,{i},0,0\n"
            for i, (p, n) in enumerate(zip(picks, lengths, strict=True))
        ),
    )
    text = "".join(lines)
    assert len(text) > 3 << 20
    table, said = load(text, label_column="name")
    wanted = list(csv.reader(io.StringIO(text, newline="")))[1:]
    assert texts(table.labels) == [row[0] for row in wanted] and not said
    np.testing.assert_array_equal(table.X, np.array([row[1:] for row in wanted], np.float32))
    for row in (79_990, 40_000):
        broken = "".join((*lines[:row], '"x\n\ny",1,bad,2\n', *lines[row:]))
        line = broken[: broken.index("bad")].replace("\r\n", "\n").count("\n") + 1
        assert refused(broken, label_column="name").startswith(f"x.csv:{line}: column 3 ('b'): 'bad'")


def test_written_names_read_back_everywhere() -> None:
    names = [
        '5" pipe',
        "a, b",
        "two\nlines",
        "#hash",
        "7",
        "007",
        " outer ",
        '"',
        "\ufeffmark",
        "x\r\ny",
        "tab\t",
        "é",
        "'",
        "a;b",
    ]
    picked = np.arange(len(names), dtype=np.int32)
    values = np.linspace(0, 1, 2 * len(names), dtype=np.float32).reshape(-1, 2)
    classes = Classes(names)
    for order in (picked, picked[::-1].copy()):
        lib.dn_csv_save_picked(b"out.csv", classes.handle, ffi.cast("int32_t *", order.ctypes.data),
                               ffi.cast("float *", values.ctypes.data), len(names), 2)  # fmt: skip
        with open("out.csv", newline="", encoding="utf-8") as file:
            rows = list(csv.reader(file))
        assert [row[0] for row in rows] == [names[i] for i in order]
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            table = dv.load_table("out.csv", label_column=0)
        assert texts(table.labels) == [names[i] for i in order]
        np.testing.assert_array_equal(table.X, values)


def test_names_of_classes_read_back_from_their_file() -> None:
    names = ['5" pipe', '"', '"quoted"', "two\nlines", "\r", " outer ", "#", "a, b", "\ufeffmark", "last\n"]
    Classes(names).save("x.labels.txt")
    assert Classes(path="x.labels.txt").names == names
    Classes(["b", "a c"]).save("x.labels.txt")
    assert Path("x.labels.txt").read_text() == "b\na c\n"
    Path("x.labels.txt").write_text('\ufeffone\r\n\r\n"two" 2\n"three\n')  # as it was read before quotes meant anything
    assert Classes(path="x.labels.txt").names == ["one", '"two" 2', '"three']
    for text in (b"", b"\n\n", b"a\0b\n"):
        Path("x.labels.txt").write_bytes(text)
        with pytest.raises(errors.FormatError, match=r"x\.labels\.txt: "):
            Classes(path="x.labels.txt")


def test_labels_with_line_ends_train_a_classifier() -> None:
    truth, classes = dv.one_hot(["b\nc", "a", "b\nc"])
    assert classes == ["a", "b\nc"] and truth.tolist() == [[0, 1], [1, 0], [0, 1]]
    Path("t.csv").write_text("kind,a,b\n" + '"two\nlines",1,2\n5" pipe,3,1\n' * 8)
    Path("net.cfg").write_text("[net]\ninputs=2\nlabel_column=kind\n[connected]\noutput=2\nactivation=linear\n[softmax]\n")
    assert BINARY
    done = run([BINARY, "train", "net.cfg", "t.csv", "-epochs", "20", "-lr", "0.5", "-quiet"])
    assert done.returncode == 0, done.stderr
    done = run([BINARY, "predict", "net.cfg", "t.csv", "-weights", "net.weights", "-labels", "-quiet"])
    assert [row[0] for row in csv.reader(io.StringIO(done.stdout, newline=""))] == ["two\nlines", '5" pipe'] * 8


# ---- limits ----


def test_more_columns_than_can_be_indexed_are_an_error() -> None:
    text = b"a," * (1 << 24) + b"z\n1,2\n"
    for options in ({}, {"label_column": "z", "targets": -1}):
        assert refused(text, **options) == "x.csv:1: more than 16777216 columns"


def test_a_row_wider_than_a_window_is_read(threads: None) -> None:
    names = ",".join(f'"{n}\n{"x" * 40}"' for n in range(60_000))
    row = ",".join(str(n % 1000) for n in range(60_000))
    table, _ = load(f"{names}\n{row}\n{row}\n")
    assert table.names is not None and table.names[59_999] == "59999\n" + "x" * 40
    np.testing.assert_array_equal(table.X, np.tile(np.arange(60_000) % 1000, (2, 1)))


# ---- sentences ----


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (gzip.compress(b"a,b\n1,2\n", mtime=0), "is gzip-compressed: gunzip it"),
        (bz2.compress(b"a,b\n1,2\n"), "is bzip2-compressed: bunzip2 it"),
        (lzma.compress(b"a,b\n1,2\n"), "is xz-compressed: unxz it"),
        (b"\x28\xb5\x2f\xfd\x04\x00\x41\x00\x00", "is zstd-compressed: unzstd it"),
        (b"PAR1\x15\x04\x15\x00\x00PAR1", "is a Parquet file: save or export the table as CSV"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "is an old Excel workbook (xls): save"),
        (b"<!DOCTYPE html>\n<html>", "is an HTML or XML page"),
        *(("a,b\n1,2\n".encode(code), f"is {code[:6].upper()} text: save it as UTF-8")
          for code in ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be")),
        *(("имя;жд\r\n1;2\r\n".encode(code), f"is {code[:6].upper()} text: save it as UTF-8")
          for code in ("utf-16-le", "utf-32-be")),
    ],
)  # fmt: skip
def test_a_file_that_is_no_text_is_named_for_what_it_is(data: bytes, words: str) -> None:
    assert refused(data).startswith(f"x.csv: {words}")


@pytest.mark.parametrize(
    ("name", "words"), [("a.csv", "a zip archive: unzip it"), ("xl/workbook.xml", "an Excel workbook (xlsx): save")]
)
def test_archives_are_told_apart(name: str, words: str) -> None:
    with zipfile.ZipFile("x.zip", "w") as file:
        file.writestr(name, "1,2\n")
    assert refused(Path("x.zip").read_bytes()).startswith(f"x.csv: is {words}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,red\n2,blue\n", "x.csv:2: column 2 ('b'): 'red' is not a finite number: a column of words: encode it"),
        ("a,b,c\n1,2,3\n4,5,\n7,8,9\n", "x.csv:3: column 3 ('c'): '' is not a finite number: a missing value: fill it in"),
        ("1;2;3\n4;5;\n", "x.csv:2: column 3: '' is not a finite number"),
        ("a,b\n1,2\n,,\n", "x.csv:3: column 1 ('a'): '' is not a finite number: the row has separators alone"),
        ("1,5;2,5\n3,5;4\n", "x.csv:1: column 1: '1,5' is not a finite number: a decimal comma"),
        ("a;b\n1;2\n3;4,25\n", "x.csv:3: column 2 ('b'): '4,25' is not a finite number: a decimal comma"),
        ("a\tb\n-1,5e3\t2\n", "x.csv:2: column 1 ('a'): '-1,5e3' is not a finite number: a decimal comma"),
        ('"1,5","2"\n', "x.csv:1: column 1: '1,5' is not a finite number: a decimal comma"),
        ("a,b\n1,2\nParis, France,2\n", "x.csv:3: 3 columns, expected 2 as in line 1"),
        ("My title\na,b\n1,2\n", "x.csv:2: 2 columns, expected 1 as in line 1"),
        ("1|2\n3|4\n", "x.csv:1: column 1: '1|2' is not a finite number: '|' does not separate"),
        ('"the\nname"\nx\n', "x.csv:3: column 1 ('the\\x0aname'): 'x'"),
    ],
)
def test_a_sentence_names_the_column_and_the_cause(text: str, message: str) -> None:
    assert refused(text).startswith(message)


def test_a_column_that_is_not_there_is_asked_for_with_the_nearest_name() -> None:
    for options in ({"label_column": "knd"}, {"targets": ["price", "knd"]}):
        message = refused("price,kind,b\n1,2,3\n", **options)
        assert "column 'knd' among 3 columns: 'price', 'kind', 'b'; did you mean 'kind'?" in message
    many = ",".join(f"column{n}x{n}" for n in range(40))
    assert refused(many + "\n", targets="other").endswith("no target column 'other' among 40 columns")
    table, said = load("part no,a\n1,2\n", label_column="partno", label_optional=True)
    assert table.labels is None and "did you mean 'part no'?" in said[0]


def test_a_name_wins_over_an_index() -> None:
    text = '"2","1","0"\n7,8,9\n'
    assert load(text, label_column="2", header=True)[0].X.tolist() == [[8, 9]]
    assert load(text, targets=[0], header=True)[0].truth == np.array([[9]])
    assert load(text, label_column=-1, header=True)[0].X.tolist() == [[7, 8]]
    assert load("2018,2019\n1,2\n", label_column="2018")[0].X.tolist() == [[2]]  # no index, so a name


@pytest.mark.parametrize("name", ["a,b", 'say "x"', " outer ", "two\nlines"])
def test_a_target_of_any_name_is_found(name: str) -> None:
    head = '"' + name.replace('"', '""') + '"'
    table, _ = load(f"{head},c\n1,2\n", targets=[name])
    assert table.truth is not None and table.truth.tolist() == [[1]] and table.names == ["c"]
    assert "a quote too many" in refused("a,c\n1,2\n", targets='"a')


def test_text_that_is_not_utf_8_is_a_warning() -> None:
    table, said = load("größe,b\n1,2\n".encode("latin-1"))
    assert table.names is not None and table.names[1] == "b" and "UTF-8" in said[0]


# ---- pipes, and ending early ----


def stopped_after(seconds: float, path: bytes) -> tuple[int, float]:
    """Status of a reading whose watch says stop then, and how much later it came back."""
    end = time.monotonic() + seconds

    watch = ffi.callback("int(void *)", lambda context: time.monotonic() > end)
    table = ffi.new("dn_table *")
    lib.dn_watch(watch, ffi.NULL)
    try:
        status = int(lib.dn_csv_load(table, path, ffi.NULL))
    finally:
        lib.dn_watch(ffi.NULL, ffi.NULL)
    assert not table.values
    return status, time.monotonic() - end


@pytest.mark.parametrize("size", [0, 100, 8 << 20])
def test_a_pipe_that_stalls_can_be_left(size: int) -> None:
    os.mkfifo("pipe")
    done = threading.Event()

    def write() -> None:
        with open("pipe", "wb") as file:
            file.write(b"1,2\n" * (size // 4))
            file.flush()
            done.wait(30)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        status, late = stopped_after(0.4, b"pipe")
    finally:
        done.set()
        writer.join()
    assert status == lib.DN_E_INTERRUPTED and late < 0.3


def test_a_long_file_can_be_left() -> None:
    Path("x.csv").write_bytes(b"1.25,2.5,3\n" * 3_000_000)
    status, late = stopped_after(0.01, b"x.csv")
    assert status == lib.DN_E_INTERRUPTED and late < 0.3


def test_writing_can_be_left_and_leaves_the_old_file() -> None:
    Path("x.csv").write_text("old")
    values = np.full((100_000, 10), 0.1, np.float32)
    stop = ffi.callback("int(void *)", lambda context: 1)
    lib.dn_watch(stop, ffi.NULL)
    try:
        status = lib.dn_csv_save(b"x.csv", ffi.cast("float *", values.ctypes.data), *values.shape)
    finally:
        lib.dn_watch(ffi.NULL, ffi.NULL)
    assert status == lib.DN_E_INTERRUPTED and Path("x.csv").read_text() == "old" and os.listdir() == ["x.csv"]


def test_a_slow_pipe_is_read_whole() -> None:
    os.mkfifo("pipe")

    def write() -> None:
        with open("pipe", "wb") as file:
            for n in range(20):
                file.write(b"%d,1\n" % n)
                file.flush()
                time.sleep(0.01)

    writer = threading.Thread(target=write)
    writer.start()
    assert dv.load_csv("pipe")[:, 0].tolist() == list(range(20))
    writer.join()


@pytest.mark.parametrize("text", [",a,b\n0,1,2\n1,4,5\n2,7,8\n", '"","a","b"\n"1",1,2\n"2",4,5\n'])
def test_the_index_of_pandas_and_r_is_told(text: str) -> None:
    table, said = load(text)
    assert table.X.shape[1] == 3
    assert any("first column has no name and counts the rows" in line and "index=False" in line for line in said)
    with pytest.raises(dv.errors.FormatError, match=r"3 columns, the network takes 2: the first has no name"):
        dv.load_table("x.csv", columns=2)
    assert not [line for line in load(text.replace("\n1,", "\n3,").replace('"2"', '"7"'))[1] if "counts the rows" in line]


def test_a_name_that_two_columns_have_does_not_choose_one() -> None:
    Path("x.csv").write_text("a,a,x\n1,2,3\n4,5,6\n")
    for options in ({"label_column": "a"}, {"targets": "a"}):
        with pytest.raises(dv.errors.UsageError, match=r"x\.csv: 2 columns are called 'a': give the index of one"):
            dv.load_table("x.csv", **options)  # type: ignore[arg-type]
    assert dv.load_csv("x.csv").shape == (2, 3)
    assert dv.load_csv("x.csv", label_column=1).shape == (2, 2)
