"""Typed tables: what columns are, what is missing, and that text comes back."""

from __future__ import annotations

import csv
import datetime as dt
import gzip
import io
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from frames import Frame, load
from helpers import real_table

from darknet_vae import errors
from darknet_vae._lib import check, ffi, lib

TABLES = ["penguins", "wa_churn", "credit_data", "attrition", "diamonds", "HMDA"]


def table(text: str | bytes, **options: Any) -> Frame:
    Path("x.csv").write_bytes(text.encode() if isinstance(text, str) else text)
    return load("x.csv", **options)


def column(cells: list[str], separator: str = ";", quote: bool = False) -> Any:
    """A column `a` of these cells beside one of words."""
    wrap = '"{}"'.format if quote else str
    return table("".join(f"{wrap(cell)}{separator}w\n" for cell in ["a", *cells])).columns[0]


def seconds(text: str) -> float:
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC).timestamp()


def same(a: Frame, b: Frame) -> bool:
    assert (a.rows, a.names, a.types, a.separator) == (b.rows, b.names, b.types, b.separator)
    for x, y in zip(a.columns, b.columns, strict=True):
        assert (x.decimals, x.form) == (y.decimals, y.form), x.name
        if x.type == "text":
            assert x.values == y.values, x.name
        else:
            np.testing.assert_array_equal(x.values, y.values, x.name)
    return True


def test_a_mixed_table_has_typed_columns() -> None:
    mixed = table("age,job,since,pay\n41,cook,2024-02-29,1.50\n,?,2023-01-01,2.25\n7,baker,,NA\n", save="y.csv")
    assert mixed.names == ["age", "job", "since", "pay"]
    assert mixed.types == ["number", "text", "time", "number"]
    np.testing.assert_array_equal(mixed["age"], [41, np.nan, 7])
    assert mixed["job"] == ["cook", None, "baker"]
    np.testing.assert_array_equal(mixed["since"], [1709164800, 1672531200, np.nan])
    assert [column.decimals for column in mixed.columns] == [0, 0, 0, 2]
    assert Path("y.csv").read_text() == "age,job,since,pay\n41,cook,2024-02-29,1.50\n,,2023-01-01,2.25\n7,baker,,\n"


@pytest.mark.parametrize("name", TABLES)
def test_a_real_table_comes_back_as_it_was(name: str) -> None:
    path = real_table(name)
    load(path, save="out.csv")
    assert Path("out.csv").read_text() == path.read_text()


# ---- missing ----


@pytest.mark.parametrize("word", ["", "NA", "N/A", "nan", "NaN", "null", "NULL", "None", "?", "-", " ", "<NA>", "NaT", "#N/A"])
@pytest.mark.parametrize("quoted", [False, True])
def test_missing_cells_are_missing_in_columns_of_every_type(word: str, quoted: bool) -> None:
    cell = f'"{word}"' if quoted else word
    found = table(f"n,t,w\n1,2024-01-01,x\n{cell},{cell},{cell}\n2,2024-01-02,y\n")
    assert found.types == ["number", "time", "text"]
    assert np.isnan(found["n"][1]) and np.isnan(found["t"][1]) and found["w"] == ["x", None, "y"]


@pytest.mark.parametrize("word", ["none", "no", "n", "Na", "missing", "unknown", "--", "nothing"])
def test_other_words_are_words(word: str) -> None:
    assert table(f"n,w\n1,x\n2,{word}\n")["w"] == ["x", word]


def test_a_column_without_any_value_is_one_of_missing_numbers() -> None:
    empty = table("a,b\n,1\nNA,2\n")
    assert empty.types == ["number", "number"] and np.isnan(empty["a"]).all()


def test_infinity_counts_as_missing_among_numbers_and_is_a_word_among_words() -> None:
    found = table("a,b\n1,x\ninf,inf\n-Infinity,y\n1e999,z\n")
    np.testing.assert_array_equal(found["a"], [1, np.nan, np.nan, np.nan])
    assert found["b"] == ["x", "inf", "y", "z"]
    assert found.warnings == ["x.csv: column 'a': infinite numbers count as missing"]


# ---- numbers ----


@pytest.mark.parametrize(
    ("cells", "values", "decimals", "form"),
    [
        (["1", "-2", "+3"], [1, -2, 3], 0, 0),
        (["1.5", "2.25"], [1.5, 2.25], 2, 16),
        (["1.50", "2.25"], [1.5, 2.25], 2, 20),
        (["1,5", "2,25"], [1.5, 2.25], 2, 17),
        (["1.234,5", "2"], [1234.5, 2], 1, 3),
        (["1,234.5", "2"], [1234.5, 2], 1, 2),
        (["1,234,567", "2"], [1234567, 2], 0, 2),
        (["1.234.567", "2"], [1234567, 2], 0, 3),
        (["1 234", "1 234 567.5"], [1234, 1234567.5], 1, 10),
        (["1 234,5", "2"], [1234.5, 2], 1, 11),
        (["1\u00a0234", "1\u202f234"], [1234, 1234], 0, 10),
        (["1e3", "2.5E-1"], [1000, 0.25], -1, 0),
        ([".5", "5."], [0.5, 5], 1, 0),
        (["9007199254740992", "1"], [2.0**53, 1], 0, 0),
        (["0", "-0", "0.0"], [0, 0, 0], 1, 0),
    ],
)
def test_numbers_are_read_in_the_form_that_people_write(cells: list[str], values: list[float], decimals: int, form: int) -> None:
    for quote in (False, True):
        found = column(cells, quote=quote)
        assert found.type == "number"
        np.testing.assert_array_equal(found.values, values)
        assert (found.decimals, found.form) == (decimals, form)


@pytest.mark.parametrize(
    "cells",
    [
        ["00123", "94110"], ["007"], ["00.5"], ["1,23,4"], ["12,34,567"], ["1.234.5"], ["0x1A"], ["1e"], ["--1"], ["5%"], ["$5"],
        ["9007199254740993", "1"], ["123456789012345678901234567890"], ["1,5", "1.25"], ["1 23"], ["1 2345"], ["1234 567"],
        ["2024-02-30"], ["2023-02-29"], ["2024-13-01"], ["2024-01-01 25:00"], ["2024-01-01", "5"], ["13:45"], ["0001-1-1"],
        ["2024-01-01T10:00 PM"], ["2024-01-01 10:00:61"], ["2024-01-01T10:00+25:00"], ["True", "1"],
    ],
)  # fmt: skip
def test_whatever_is_no_number_and_no_time_stays_as_it_is(cells: list[str]) -> None:
    found = column(cells)
    assert found.type == "text" and found.values == cells


@pytest.mark.parametrize(
    ("separator", "cells", "other", "values", "word"),
    [
        (",", ["1,234", "2,500"], "x", [1234, 2500], "thousands"),
        (";", ["1,234", "2,500"], "x", [1.234, 2.5], "1 and a fraction"),
        (";", ["1.234", "2.500"], "0,5", [1234, 2500], "thousands"),
        (";", ["1.234", "2.500"], "x", [1.234, 2.5], None),
        (";", ["1,234", "2,500"], "0.5", [1234, 2500], "thousands"),
        (",", ["1,234", "2,500"], "0,5", [1.234, 2.5], "1 and a fraction"),
    ],
)
def test_doubtful_thousands_are_decided_by_the_table_with_a_warning(
    separator: str, cells: list[str], other: str, values: list[float], word: str | None
) -> None:
    rows = "".join(f'"{cell}"{separator}"{other}"\n' for cell in cells)
    found = table(f"a{separator}b\n{rows}")
    np.testing.assert_array_equal(found["a"], values)
    assert found.warnings == ([f"x.csv: column 'a': numbers like {cells[0][:2]}234 are read as {word}"] if word else [])


def test_bare_cells_below_a_decimal_comma_in_quotes_are_cells_of_their_own() -> None:
    for cell, value in (('"1,5"', 1.5), ("1.234.567", 1234567), ('"1.234,5"', 1234.5)):
        for late in (0, 3000):  # beyond the rows that are looked at first
            found = table("a,b\n" + "7,8\n" * (25 + late) + f"{cell},2\n3,4\n")
            np.testing.assert_array_equal(found["a"][-3:], [7, value, 3])
            np.testing.assert_array_equal(found["b"][-3:], [8, 2, 4])


@pytest.mark.parametrize(
    "cells", ["7  7 1e5 1E+5 +3 -0 .5 5. 5.e3 1e-400 0.1e1 12345678901234567", "NA N/A n/a nan NaN null NULL None <NA> #N/A"]
)
def test_cells_that_pandas_and_this_reader_take_alike(cells: str) -> None:
    pd = pytest.importorskip("pandas")
    for cell in cells.split(" "):
        for written in (cell, f'"{cell}"', f" {cell}  " if cell else ""):
            text = f"a,b\n1,2.5\n{written},3\n4,1\n"
            theirs = pd.read_csv(io.StringIO(text), skipinitialspace=True)["a"]
            if written.endswith(" ") and cell[:1] not in "0123456789+-.":
                continue  # a word with blanks after it is another word for pandas
            ours = table(text)["a"]
            if cell == "12345678901234567":
                assert ours == ["1", cell, "4"] and theirs.dtype == np.int64
            else:
                np.testing.assert_array_equal(ours, theirs.to_numpy(float), repr(written))


@pytest.mark.parametrize("cell", ["1_000", "1'234", "0x10", "1d5", "50%", "$5", "1/2", "--", "none", "missing"])
def test_cells_that_are_texts_for_pandas_too(cell: str) -> None:
    assert table(f"a,b\n1,2.5\n{cell},3\n4,1\n")["a"] == ["1", cell, "4"]


def test_numbers_are_the_doubles_nearest_to_their_text() -> None:
    draw = random.Random(1)
    texts = [repr(draw.uniform(-1, 1) * 10.0 ** draw.randint(-30, 30)) for _ in range(3000)]
    texts += [f"{draw.randint(0, 10 ** draw.randint(1, 19))}.{draw.randint(0, 10 ** draw.randint(1, 25))}" for _ in range(6000)]
    texts += [f"{draw.randint(1, 9)}.{draw.randint(0, 10**18)}" for _ in range(3000)]
    texts += ["5e-324", "2.2250738585072011e-308", "1.7976931348623157e308", "9007199254740993.0", "0.1" + 60 * "0" + "1"]
    texts += ["8.5" + 30 * "0", "9007199254740992.99999999999999999999", "1" + 300 * "0" + ".5"]
    found = column(texts)
    assert found.type == "number"
    np.testing.assert_array_equal(found.values, [float(text) for text in texts])
    single = [repr(float(np.float32(value))) for value in np.random.default_rng(0).normal(size=5000)]
    np.testing.assert_array_equal(column(single).values, [float(text) for text in single])


# ---- times ----


@pytest.mark.parametrize(
    ("cell", "form", "decimals"),
    [
        ("2024-02-29", 0, 0), ("1969-12-31", 0, 0), ("0001-01-01", 0, 0), ("9999-12-31", 0, 0), ("1900-03-01", 0, 0),
        ("2024-02-29 13:45", 2, 0), ("2024-02-29T13:45", 1, 0), ("2024-02-29T13:45:07", 5, 0), ("2024-02-29 13:45:07", 6, 0),
        ("2024-02-29 13:45:07.25", 14, 2), ("2024-02-29T13:45:07.123456", 13, 6), ("1965-02-28T23:59:59.5", 13, 1),
    ],
)  # fmt: skip
def test_iso_times_are_seconds_since_1970_and_come_back(cell: str, form: int, decimals: int) -> None:
    found = table(f"a,b\n{cell},1\n", save="y.csv").columns[0]
    assert (found.type, found.form, found.decimals) == ("time", form, decimals)
    np.testing.assert_allclose(found.values, [seconds(cell)], rtol=1e-15)
    assert Path("y.csv").read_text() == f"a,b\n{cell},1\n"


@pytest.mark.parametrize("zone", ["Z", "+02:00", "-0530", "+01", " UTC", " +00:00"])
def test_time_zones_are_not_applied_with_a_warning(zone: str) -> None:
    found = table(f"a,b\n2024-02-29T13:45:00{zone},1\n")
    np.testing.assert_array_equal(found["a"], [seconds("2024-02-29T13:45:00")])
    assert found.warnings == ["x.csv: column 'a': time zones are not applied, times stay as written"]


def test_dates_among_times_are_at_midnight() -> None:
    found = table("a,b\n2024-02-29,1\n2024-03-01 06:00,2\n", save="y.csv")
    np.testing.assert_array_equal(found["a"], [seconds("2024-02-29"), seconds("2024-03-01 06:00")])
    assert Path("y.csv").read_text() == "a,b\n2024-02-29 00:00,1\n2024-03-01 06:00,2\n"


# ---- header, names, index ----


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("a,b\n1,x\n", ["a", "b"]),
        ("5.1,setosa\n4.9,virginica\n", ["column_1", "column_2"]),
        ("2024-01-01,x\n2024-01-02,y\n", ["column_1", "column_2"]),
        ("1,x\n2,y\n", ["column_1", "column_2"]),
        ("NA,5\n3,6\n", ["column_1", "column_2"]),
        ("city,state\nParis,Texas\nRome,Maine\n", ["city", "state"]),
        ('"1","2"\n3,x\n', ["1", "2"]),
        ("a,a,,a_2\n1,2,3,x\n", ["a", "a_3", "column_3", "a_2"]),
        ("# c\na,b\n1,x\n", ["a", "b"]),
    ],
)
def test_the_header_is_found_and_every_column_has_a_name_of_its_own(text: str, names: list[str]) -> None:
    assert table(text).names == names


def test_names_and_numbers_above_numbers_are_names_with_a_warning() -> None:
    found = table("id,2018,2019\n1,3,4.5\n2,5,6\n")
    assert found.names == ["id", "2018", "2019"] and found.rows == 2
    assert "names and numbers are taken for column names" in found.warnings[0]


def test_options_decide_about_the_header() -> None:
    assert table("a,b\n1,x\n", header=-1).rows == 2
    assert table("1,2\n3,x\n", header=1).names == ["1", "2"]


def test_the_many_columns_of_one_name_are_told_apart() -> None:
    found = table(",".join(["a"] * 3000) + "\n" + ",".join(["1"] * 3000) + "\n")
    assert len(set(found.names)) == 3000 and found.names[0] == "a" and found.names[1] == "a_2"
    assert len(found.warnings) == 6 and "2994 further columns" in found.warnings[-1]


def test_an_index_of_pandas_or_r_is_left_out() -> None:
    assert table(",a,b\n0,1,x\n1,2,y\n2,3,z\n").names == ["a", "b"]
    assert table('"","a","b"\n"1",1,x\n"2",2,y\n').names == ["a", "b"]
    kept = table(",a,b\n0,1,x\n1,2,y\n3,3,z\n")  # counts only at first
    assert kept.names == ["column_1", "a", "b"]


# ---- text ----


def test_quotes_hold_separators_line_ends_and_quotes() -> None:
    text = 'a,b\n"x, ""y""\nz",1\n" kept ",2\n5" pipe,3\n"",4\n'
    found = table(text, save="y.csv")
    assert found["a"] == ['x, "y"\nz', " kept ", '5" pipe', None]
    assert same(found, load("y.csv"))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252", "latin-1"])
def test_other_encodings_are_read(encoding: str) -> None:
    words = ["köln", "łódź 🙂" if "utf" in encoding else "façade", "naïve"]
    text = "stadt,größe\n" + "".join(f"{word},{i}\n" for i, word in enumerate(words))
    mark = {"utf-16-le": "\ufeff", "utf-16-be": "\ufeff"}.get(encoding, "")
    found = table((mark + text).encode(encoding))
    assert found.names == ["stadt", "größe"] and found["stadt"] == words
    assert any("Windows-1252" in line for line in found.warnings) == (encoding in ("cp1252", "latin-1"))


def test_windows_text_has_its_own_quotes_and_euros() -> None:
    assert table("a,b\n“x” 5€,1\n".encode("cp1252"))["a"] == ["“x” 5€"]


def test_damaged_text_is_refused_by_name() -> None:
    with pytest.raises(errors.FormatError, match=r"x\.csv: column 'a': the text '.*' is not UTF-8, but others are"):
        table(b"a,b\n\xc3\xa4,1\n\xe4,2\n")
    with pytest.raises(errors.FormatError, match="neither UTF-8 nor Windows-1252"):
        table(b"a,b\n\x81\xe4,1\n")
    with pytest.raises(errors.FormatError, match="damaged UTF-16"):
        table("a,b\nx,1\n".encode("utf-16") + b"\x00\xdcz\x00")
    with pytest.raises(errors.FormatError, match="is UTF-16 text"):
        table("a,b\nx,1\n".encode("utf-16-be"))


def test_gzip_is_read_whatever_the_name_and_in_parts() -> None:
    rows = "".join(f"{i},w{i % 7}\n" for i in range(60_000))
    plain = table("a,b\n" + rows)
    packed = gzip.compress(b"a,b\n" + rows[:1000].encode()) + gzip.compress(rows[1000:].encode())
    assert same(table(packed), plain)
    assert same(table(gzip.compress(("a,b\n" + rows).encode("utf-16"))), plain)
    assert same(table(packed + b"\0\0\0"), plain)
    for damaged, message in ((packed[:-5], "end too early"), (packed[:200] + b"xxxxx" + packed[205:], "damaged")):
        with pytest.raises(errors.FormatError, match=message):
            table(damaged)


def test_without_zlib_gzip_is_refused_in_one_line() -> None:
    Path("x.csv.gz").write_bytes(gzip.compress(b"a,b\n1,x\n"))
    script = "from frames import load; load('x.csv.gz')"
    paths = {"PYTHONPATH": str(Path(__file__).parent), "DARKNET_ZLIB": "off"}
    done = subprocess.run([sys.executable, "-c", script], env=os.environ | paths, capture_output=True, text=True)
    assert "x.csv.gz: is gzip-compressed, and zlib (libz.so.1), which unpacks it, is not on this machine" in done.stderr


@pytest.mark.parametrize("packed", [False, True])
def test_standard_input_is_read_twice_where_a_late_cell_changes_a_type(packed: bool) -> None:
    text = ("a,b\n" + "1,2\n" * 200_000 + "x,3\n").encode()
    script = "from frames import load; t = load('-'); print(t.rows, t.types, t['a'][-2:])"
    paths = {"PYTHONPATH": str(Path(__file__).parent)}
    done = subprocess.run(
        [sys.executable, "-c", script], input=gzip.compress(text) if packed else text, env=os.environ | paths, capture_output=True
    )
    assert done.stdout.decode().strip() == "200001 ['text', 'number'] ['1', 'x']", done.stderr.decode()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n3,4,5\n", r"x\.csv:3: 3 columns, expected 2 as in line 1"),
        ("a,b\n1,2\n3\n", r"x\.csv:3: 1 columns, expected 2"),
        ('a,b\n1,"x\n', r"x\.csv:2: column 2: the quote that opens here is not closed"),
        ('a,b\n1,"x"y\n', r"x\.csv:2: column 2: a character after the closing quote"),
        ("", r"x\.csv: no rows"),
        ("a,b\n", r"x\.csv: a header, but no rows"),
        ("a,b\n1,\0\n", r"x\.csv:1: a zero byte"),
        (b"PAR1\x15xxxx", r"x\.csv: is a Parquet file"),
    ],
)
def test_what_is_no_table_is_refused_with_the_line(text: str | bytes, message: str) -> None:
    with pytest.raises(errors.FormatError, match=message):
        table(text)


# ---- all rows, all threads ----


def mixed_rows(n: int, seed: int = 0) -> list[list[str]]:
    draw = random.Random(seed)
    words = ["red", "green", "blue", 'say ""x""', "a, b", "long word that has more than sixteen letters", "ä", "x\ny"]
    quoted = [f'"{word}"' if any(c in word for c in '",\n') else word for word in words]
    rows = []
    for i in range(n):
        rows.append(
            [
                str(i), f"{draw.gauss(0, 100):.2f}", repr(draw.gauss(0, 1)), draw.choice(quoted), f"id{draw.randrange(10**9)}",
                str(dt.date(2000, 1, 1) + dt.timedelta(draw.randrange(9000))), draw.choice(["yes", "no"]),
                str(draw.randrange(10 ** draw.randint(1, 15))),
            ]
        )  # fmt: skip
        for c in (1, 3, 5):
            if draw.random() < 0.05:
                rows[-1][c] = draw.choice(["", "NA", '""', "?"])
    return rows


NAMES = "n,money,x,colour,id,day,ok,big"


def test_columns_are_what_pythons_reader_finds() -> None:
    text = NAMES + "\n" + "\n".join(",".join(row) for row in mixed_rows(4000)) + "\n"
    found = table(text)
    cells = list(csv.reader(io.StringIO(text)))[1:]
    assert found.types == ["number", "number", "number", "text", "text", "time", "text", "number"]
    for i, column in enumerate(found.columns):
        raw = [None if row[i] in ("", "NA", "?") else row[i] for row in cells]
        if column.type == "text":
            assert column.values == raw
        else:
            convert = seconds if column.type == "time" else float
            np.testing.assert_array_equal(column.values, [np.nan if cell is None else convert(cell) for cell in raw])


def test_results_do_not_depend_on_threads_nor_on_the_way_cells_are_read() -> None:
    rows = mixed_rows(70_000)
    assert len(rows) * 70 > 4 << 20  # several windows
    text = NAMES + "\n" + "\n".join(",".join(row) for row in rows)
    one = table(text, threads=1)
    for threads in (2, 3):
        assert same(table(text, threads=threads), one)
    padded = NAMES + "\n" + "\r\n".join(" , ".join(row) for row in rows)  # blanks around cells: the general reader
    assert same(table(padded), one)
    quoted = NAMES + "\n" + "\n".join(",".join(cell if cell[:1] == '"' else f'"{cell}"' for cell in row) for row in rows)
    assert same(table(quoted), one)
    tabs = NAMES.replace(",", "\t") + "\n" + "\n".join("\t".join(row) for row in rows)
    found = table(tabs)
    found.separator = ","
    assert same(found, one)


@pytest.mark.parametrize(
    ("early", "late", "kind"),
    [
        ("5", "x", "text"), ("5", "1.5", "number"), ("5", "1,5", "number"), ("2024-01-01", "x", "text"),
        ("", "2024-01-01", "time"),
        ("", "x", "text"), ("1.234", "1,5", "number"), ("2024-01-01", "5", "text"), ("1,5", "1.5", "text"),
        ("inf", "inf", "text"),
        ("inf", "x", "text"), ("5", "007", "text"),
    ],
)  # fmt: skip
def test_a_late_cell_counts_as_much_as_an_early_one(early: str, late: str, kind: str) -> None:
    n = 400_000
    big = table("a;b\n" + f"{early};x\n" * n + f"{late};y\n")
    small = table(f"a;b\n{early};x\n{late};y\n")
    assert big.types == small.types == [kind, "text"]
    assert list(map(str, (big["a"][0], big["a"][-1]))) == list(map(str, small["a"]))
    assert (big.columns[0].decimals, big.columns[0].form) == (small.columns[0].decimals, small.columns[0].form)


def test_only_so_many_rows_are_read() -> None:
    text = "a,b\n" + "1,x\n" * 300_000 + "y,z\n"
    assert table(text, max_rows=250_000).rows == 250_000
    assert table(text, max_rows=2).types == ["number", "text"]
    assert table("a,b\n1,x\n2,3,4\n", max_rows=1).rows == 1


# ---- writing ----


def test_what_is_written_is_read_as_the_same_table() -> None:
    text = NAMES + "\n" + "\n".join(",".join(row) for row in mixed_rows(12_000, 3)) + "\n"
    first = table(text, save="y.csv")
    assert same(load("y.csv", save="z.csv"), first)
    assert Path("y.csv").read_bytes() == Path("z.csv").read_bytes()


def test_forms_come_back() -> None:
    text = "a;b;c;d\n1.234,50;1 234;0,5;x y\n7,25;5;12,125;\n"
    assert same(table(text, save="y.csv"), load("y.csv"))
    assert Path("y.csv").read_text() == text
    text = 'a,b\n"1,234,567.5",x\n2.0,"y,z"\n'
    table(text, save="y.csv")
    assert Path("y.csv").read_text() == text


def save(path: str, columns: list[dict[str, Any]], rows: int) -> str:
    """Write a frame made here; returns its text."""
    keep, array = [], ffi.new("dn_frame_column[]", len(columns))
    for to, given in zip(array, columns, strict=True):
        for key, value in given.items():
            if isinstance(value, np.ndarray):
                keep.append(value)
                value = ffi.cast("void *", value.ctypes.data)
            elif isinstance(value, bytes):
                keep.append(value := ffi.new("char[]", value))
            setattr(to, key, value)
    check(lib.dn_frame_save(path.encode(), ffi.new("dn_frame *", {"rows": rows, "n": len(columns), "columns": array})))
    return Path(path).read_text()


def test_numbers_are_rounded_to_the_columns_decimals() -> None:
    values = np.array([1.005, -0.0001, 2.5, 1e15, -1234567.891, np.nan, np.inf, 1e300, 0.125])
    column = {"name": b"a", "numbers": values, "decimals": 2}
    other = {"name": b"b", "numbers": np.zeros(9)}
    lines = save("y.csv", [column, other], 9).split("\n")[1:-1]
    found = [line.split(",")[0] for line in lines]
    assert found[:7] == ["1", "0", "2.5", "1000000000000000", "-1234567.89", "", ""] and found[8] == "0.12"
    assert float(found[7]) == 1e300
    lines = save("y.csv", [column | {"form": 20}, other], 9).split("\n")[1:-1]
    assert [line.split(",")[0] for line in lines][:4] == ["1.00", "0.00", "2.50", "1000000000000000.00"]


def test_numbers_of_unknown_decimals_have_the_fewest_digits_that_read_back() -> None:
    draw = np.random.default_rng(0)
    values = np.concatenate(
        [draw.normal(size=2000) * 10.0 ** draw.integers(-300, 300, 2000), [0.1, 1 / 3, 5e-324, 1e22, 123456.75]]
    )
    column = {"name": b"a", "numbers": values, "decimals": -1}
    text = save("y.csv", [column, {"name": b"b", "numbers": values, "decimals": 0}], len(values))
    found = [line.split(",")[0] for line in text.split("\n")[1:-1]]
    np.testing.assert_array_equal([float(cell) for cell in found], values)
    assert found[-5:-3] == ["0.1", "0.3333333333333333"] and found[-1] == "123456.75"


def test_times_are_rounded_to_what_is_written() -> None:
    values = np.array([59.6, -1.0, 86399.9, 4e12, -4e12])
    other = {"name": b"b", "numbers": np.zeros(5)}

    def written(form: int) -> list[str]:
        text = save("y.csv", [{"name": b"a", "numbers": values, "type": 1, "form": form, "decimals": 1}, other], 5)
        return [line.split(",")[0] for line in text.split("\n")[1:-1]]

    assert written(6)[:3] == ["1970-01-01 00:01:00", "1969-12-31 23:59:59", "1970-01-02 00:00:00"]
    assert written(13)[:3] == ["1970-01-01T00:00:59.6", "1969-12-31T23:59:59.0", "1970-01-01T23:59:59.9"]
    assert written(0) == ["1970-01-01", "1969-12-31", "1970-01-01", "9999-12-31", "0001-01-01"]


def test_a_code_without_a_word_is_an_error_and_leaves_the_old_file() -> None:
    Path("y.csv").write_text("old")
    codes = np.array([0, 1, -1], np.int32)
    column = {"name": b"w", "type": 2, "codes": codes, "words": b"x\0", "n_words": 1}
    with pytest.raises(errors.UsageError, match="column 'w', row 1: code 1, but there are 1 words"):
        save("y.csv", [column], 3)
    assert Path("y.csv").read_text() == "old"


def test_a_single_column_keeps_its_missing_cells_and_blanks() -> None:
    found = table('a\nx y\n""\nz\n', save="y.csv")
    assert found["a"] == ["x y", None, "z"]
    assert same(load("y.csv"), found)


# ---- hostile ----


def damaged(draw: random.Random, seeds: list[bytes]) -> bytes:
    data = bytearray(draw.choice(seeds))
    for _ in range(draw.randint(1, 6)):
        at = draw.randrange(len(data) + 1)
        kind = draw.randrange(6)
        if kind == 0:
            data[at:at] = draw.choice(
                [b'"', b",", b"\n", b";", b"\r", b" ", b"#", b"\t", b"-", b".", b"\xff\xfe", b"\0", b"9" * 40]
            )
        elif kind == 1:
            del data[at : at + draw.randint(1, 20)]
        elif kind == 2 and data:
            data[at % len(data)] = draw.randrange(256)
        elif kind == 3:
            data[at:at] = bytes(draw.randrange(256) for _ in range(draw.randint(1, 8)))
        elif kind == 4:
            data[at:at] = data[: draw.randint(0, 60)]
        else:
            data[at:at] = draw.choice([b"1e999", b"nan", b"2024-02-29T", b'""', b"1,234", b"-", b"\xc3", b"\xa0", b"0" * 30])
    return bytes(data)


def test_damaged_tables_never_crash_and_what_is_read_can_be_written_and_read() -> None:
    text = NAMES + "\n" + "\n".join(",".join(row) for row in mixed_rows(6)) + "\n"
    seeds = [
        text.encode(), text.replace(",", ";").encode(), text.encode("utf-16"), gzip.compress(text.encode()),
        text.encode("cp1252"),
        b"a;b\n1.234,5;x\n1 234;y\n", b",a\n0,x\n1,y\n", b"a\n1\n", b"# x\na b c\n1 2 3\n", b"2024-02-29T13:45:07.25Z,1\n",
    ]  # fmt: skip
    draw = random.Random(7)
    read = 0
    for _ in range(3000):
        data = damaged(draw, seeds)
        try:
            found = table(data, header=draw.choice([0, 0, 1, -1]), save="y.csv")
        except errors.FormatError as error:
            assert "x.csv" in str(error)
            continue
        read += 1
        again = load("y.csv", header=1)
        assert (again.rows, again.names) == (found.rows, found.names)
    assert read > 500


def test_every_failing_allocation_or_file_call_is_an_error_and_no_crash() -> None:
    text = "a;a;;w\n1,5;x;2024-02-29;köln\n" + '7;"say ""y""";;NA\n' * 3
    forms = {
        "x": text.encode("cp1252"),
        "y": gzip.compress(text.encode("utf-16")),
        "z": (text * 50).replace("\n", "\n5", 1).encode(),
    }
    for name, data in forms.items():
        Path(name).write_bytes(data)
    Path("out.csv").write_text("old")
    failures = 0
    for name in forms:
        good = load(name)
        for n in range(1, 1000):
            lib.dn_sys_fail_at(n)
            try:
                found = load(name, save="out.csv")
                if lib.dn_sys_fail_at(0) < n:
                    break
                assert same(found, good)  # memory was not given back
            except errors.DarknetError as error:
                failures += 1
                assert str(error)
            finally:
                lib.dn_sys_fail_at(0)
            assert not list(Path().glob("*.tmp*"))
        else:
            pytest.fail("never went through")
    assert failures > 100
