"""Verbs on tables of numbers, words and dates: a CSV goes in, a CSV with its columns comes out, without a cfg."""

from __future__ import annotations

import csv
import datetime
import io
import itertools
import json
import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from helpers import program, real_table, run

BOTH = pytest.mark.parametrize("kind", ["binary", "python"])
CITIES = ("Lyon", "Oslo", "Rome, Lazio", 'the "Hague"')
COLUMNS = ("customer", "age", "income", "city", "member", "since", "country", "churn")
FAST = ("-epochs", "2", "-quiet", "-nogpu")


def rows_of(n: int = 240, seed: int = 0) -> list[list[str]]:
    """An identifier, an integer, decimals with gaps, words with gaps, yes/no, dates, a constant, a label."""
    random = np.random.default_rng(seed)
    rows = []
    for i in range(n):
        city = int(random.integers(4))
        age = int(np.clip(random.normal(30 + 10 * city, 5), 18, 90))
        income = f"{1000 + 30 * age + 50 * random.normal():.2f}" if random.random() > 0.1 else ""
        day = datetime.date(2020, 1, 1) + datetime.timedelta(days=int(random.integers(1000)))
        word = CITIES[city] if random.random() > 0.1 else "NA"
        member = "yes" if random.random() < 0.2 + 0.2 * city else "no"
        rows.append([f"c{i:04d}", str(age), income, word, member, day.isoformat(), "FR", "Yes" if age > 45 else "No"])
    return rows


def write(path: str | Path, rows: list[list[str]], header: tuple[str, ...] = COLUMNS, **options: object) -> str:
    with open(path, "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n", **options)  # type: ignore[call-overload]
        writer.writerow(header)
        writer.writerows(rows)
    return str(path)


def read(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def call(*words: str, kind: str = "binary", **options: object) -> subprocess.CompletedProcess[str]:
    done = run([*program(kind), *words], **options)
    assert done.returncode == 0, done.stderr
    return done


def refused(*words: str, kind: str = "binary") -> str:
    done = run([*program(kind), *words])
    assert done.returncode not in (0, 1), (done.returncode, done.stdout)
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr.strip()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with t.csv and a model of it."""
    folder = tmp_path_factory.mktemp("trained")
    write(folder / "t.csv", rows_of())
    call("train", "t.csv", "-quiet", "-nogpu", "-epochs", "150", cwd=folder)
    return folder


@pytest.fixture
def model(trained: Path) -> str:
    return str(trained / "t.safetensors")


@pytest.fixture
def table(trained: Path) -> str:
    return str(trained / "t.csv")


def assert_like_the_table(rows: list[dict[str, str]], columns: tuple[str, ...]) -> None:
    """Cells of the right types, within the ranges, with words that exist."""
    known = {name: [row[i] for row in rows_of() if row[i] not in ("", "NA")] for i, name in enumerate(COLUMNS)}
    ages, incomes = [int(age) for age in known["age"]], [float(income) for income in known["income"]]
    assert rows
    for row in rows:
        assert tuple(row) == columns
        assert min(ages) <= int(row["age"]) <= max(ages)
        assert min(incomes) <= float(row["income"]) <= max(incomes)
        assert len(row["income"].partition(".")[2]) <= 2
        assert row["city"] in CITIES
        assert row["member"] in ("yes", "no")
        assert min(known["since"]) <= row["since"] <= max(known["since"])
        assert row["since"] == datetime.date.fromisoformat(row["since"]).isoformat()
        assert row["country"] == "FR"


# ---- train and sample


@BOTH
def test_a_table_alone_is_trained_and_new_rows_have_its_columns(kind: str) -> None:
    write("t.csv", rows_of())
    done = call("train", "t.csv", "-epochs", "3", "-nogpu", kind=kind)
    assert Path("t.safetensors").exists()
    first = done.stderr.splitlines()
    said = next(line for line in first if line.startswith("t.csv: "))
    assert "240 rows, 2 numbers, 1 date, 2 yes/no, 1 category, 1 constant, 1 identifier" in said, said
    assert "parameters" in said
    sampled = call("sample", "t.safetensors", "-n", "60", kind=kind)
    rows = read(sampled.stdout)
    assert len(rows) == 60
    assert_like_the_table(rows, COLUMNS)
    assert {row["churn"] for row in rows} <= {"Yes", "No"}
    assert len({row["customer"] for row in rows}) == 60


def test_sampling_is_a_function_of_the_seed_and_the_first_rows_are_those_of_a_smaller_sample(model: str) -> None:
    many = call("sample", model, "-n", "5000", "-seed", "7").stdout
    assert call("sample", model, "-n", "5000", "-seed", "7", "-threads", "1").stdout == many
    assert many.startswith(call("sample", model, "-n", "10", "-seed", "7").stdout)
    assert not many.startswith(call("sample", model, "-n", "10", "-seed", "8").stdout)


def test_rows_are_drawn_from_the_likelihood_unless_its_mean_is_asked_for(model: str) -> None:
    drawn = read(call("sample", model, "-n", "300", "-temperature", "0").stdout)
    mean = read(call("sample", model, "-n", "300", "-temperature", "0", "-mean").stdout)
    assert len({row["age"] for row in drawn}) > 10
    assert len({row["age"] for row in mean}) <= 10  # the means of the prior's components
    assert_like_the_table(mean, COLUMNS)


def test_latents_may_come_from_a_mixture_fitted_to_the_table(model: str, table: str) -> None:
    done = call("sample", model, "-n", "40", "-prior", "gmm", "-data", table, "-components", "3")
    assert_like_the_table(read(done.stdout), COLUMNS)


def test_new_rows_are_distributed_as_the_table_is(trained: Path, model: str) -> None:
    rows = read(call("sample", model, "-n", "2000").stdout)
    given = [dict(zip(COLUMNS, row, strict=True)) for row in rows_of()]
    assert abs(np.mean([int(row["age"]) for row in rows]) - np.mean([int(row["age"]) for row in given])) < 3
    for city in CITIES:
        share = np.mean([row["city"] == city for row in given]) / np.mean([row["city"] != "NA" for row in given])
        assert abs(np.mean([row["city"] == city for row in rows]) - share) < 0.1
    ages = {city: np.mean([int(row["age"]) for row in rows if row["city"] == city]) for city in (CITIES[0], CITIES[3])}
    assert ages[CITIES[3]] - ages[CITIES[0]] > 15  # 30 in the table


# ---- init


def test_init_writes_a_cfg_that_explains_every_key_and_trains() -> None:
    write("t.csv", rows_of())
    text = call("init", "t.csv").stdout
    lines = text.splitlines()
    assert max(map(len, (line for line in lines if not line.startswith(("names=", "kinds="))))) <= 80
    explained = set()
    for before, line in itertools.pairwise(lines):
        name = line.partition("=")[0]
        if "=" in line and not line.startswith("#"):
            assert before.startswith(("#", "names=", "output=", "prior=")) or name in explained, line
            explained.add(name)
    assert "customer" in text
    assert "identifier" in text
    Path("t.cfg").write_text(text)
    call("train", "t.cfg", "t.csv", *FAST)
    alone = call("sample", "t.safetensors", "-n", "20").stdout
    call("train", "t.csv", *FAST)
    assert call("sample", "t.safetensors", "-n", "20").stdout == alone


def test_init_takes_the_latent_size_the_label_and_what_to_leave_out() -> None:
    write("t.csv", rows_of())
    text = call("init", "t.csv", "-latent", "3", "-label-column", "churn", "-drop", "age,income", "-output", "-").stdout
    assert "\noutput=6\n" in text
    assert "\nlabel_column=churn\n" in text
    assert "\nnames=since,member,city\n" in text
    Path("t.cfg").write_text(text)
    call("train", "t.cfg", "t.csv", *FAST)
    rows = read(call("encode", "t.safetensors", "t.csv").stdout)
    assert tuple(rows[0]) == ("customer", "churn", "z1", "z2", "z3")


def test_train_takes_the_same_options_as_init_for_a_table_and_refuses_them_with_a_cfg() -> None:
    write("t.csv", rows_of())
    call("train", "t.csv", *FAST, "-latent", "2", "-drop", "city")
    assert tuple(read(call("sample", "t.safetensors", "-n", "1").stdout)[0]) == tuple(c for c in COLUMNS if c != "city")
    assert "-drop is about a table without a CFG" in refused("train", "t.safetensors", "t.csv", "-drop", "age")


# ---- rows in, rows out


@BOTH
def test_latents_stand_beside_the_identifier(kind: str, model: str, table: str) -> None:
    rows = read(call("encode", model, table, kind=kind).stdout)
    assert list(rows[0])[:2] == ["customer", "z1"]
    assert [row["customer"] for row in rows] == [row[0] for row in rows_of()]
    assert np.std([float(row["z1"]) for row in rows]) > 0


def test_reconstructed_rows_have_the_columns_and_identifiers_of_the_table(model: str, table: str) -> None:
    rows = read(call("reconstruct", model, table).stdout)
    assert_like_the_table(rows, COLUMNS)
    given = rows_of()
    assert [row["customer"] for row in rows] == [row[0] for row in given]
    ages = np.array([[int(row["age"]), int(other[1])] for row, other in zip(rows, given, strict=True)])
    assert np.corrcoef(ages.T)[0, 1] > 0.8


@BOTH
def test_scores_name_the_columns_that_contribute_most(kind: str, model: str, table: str, trained: Path) -> None:
    odd = rows_of()
    odd[17][1], odd[17][2] = "90", "1000.00"
    write("odd.csv", odd)
    rows = read(call("score", model, "odd.csv", "-quantile", "0.99", "-data", table, kind=kind).stdout)
    assert tuple(rows[0]) == ("row", "customer", "score", "reconstruction", "kl", "column_1", "nats_1", "column_2", "nats_2",
                              "column_3", "nats_3", "above")  # fmt: skip
    scores = [float(row["score"]) for row in rows]
    assert int(np.argmax(scores)) == 17
    assert rows[17]["customer"] == "c0017"
    assert {rows[17]["column_1"], rows[17]["column_2"]} == {"age", "income"}
    assert rows[17]["above"] == "yes"
    parts = [float(row["reconstruction"]) + float(row["kl"]) for row in rows]
    np.testing.assert_allclose(scores, parts, rtol=1e-5)


def test_the_quantile_of_scores_is_that_of_the_table_itself_without_another(model: str, table: str) -> None:
    done = call("score", model, table, "-quantile", "0.9", "-top", "0")
    above = [row["above"] for row in read(done.stdout)]
    assert above.count("yes") == 24
    assert "24 of 240 rows score above" in done.stderr


def test_scores_as_json_have_the_same_values(model: str, table: str) -> None:
    rows = read(call("score", model, table, "-quantile", "0.9").stdout)
    lines = [json.loads(line) for line in call("score", model, table, "-quantile", "0.9", "-json").stdout.splitlines()]
    assert [line["above"] for line in lines] == [row["above"] == "yes" for row in rows]
    assert [line["columns"][0]["column"] for line in lines] == [row["column_1"] for row in rows]


@pytest.mark.parametrize("options", [(), ("-samples", "2"), ("-k", "3")])
def test_the_mean_score_of_a_table_is_what_evaluate_says(model: str, table: str, options: tuple[str, ...]) -> None:
    found = json.loads(call("evaluate", model, table, "-json", *options).stdout)
    scores = [float(row["score"]) for row in read(call("score", model, table, *options).stdout)]
    assert -np.mean(scores) == pytest.approx(found["log_likelihood" if "-k" in options else "elbo"], rel=1e-6)


def test_evaluate_counts_what_is_there(model: str, table: str) -> None:
    found = json.loads(call("evaluate", model, table, "-json", "-samples", "4").stdout)
    assert found["elbo"] == pytest.approx(-(found["reconstruction"] + found["kl"]), rel=1e-5)
    found = json.loads(call("evaluate", model, table, "-json", "-latent").stdout)
    assert found["active_units"] >= 1


def test_walks_are_in_the_units_of_the_table(model: str, table: str) -> None:
    rows = read(call("interpolate", model, table, "-rows", "0,5", "-steps", "7").stdout)
    assert len(rows) == 7
    assert_like_the_table(rows, COLUMNS)
    assert_like_the_table(read(call("traverse", model, table, "-dim", "0").stdout), COLUMNS)


def test_predict_gives_the_raw_parameters_as_for_any_network(model: str, table: str) -> None:
    lines = call("predict", model, table).stdout.splitlines()
    assert len(lines) == 240
    assert {len(line.split(",")) for line in lines} == {3 + 2 + 4}


def test_latents_are_written_with_the_digits_that_read_back_as_the_same_float(model: str, table: str) -> None:
    import darknet_vae as dv

    mean, _ = dv.Network.load(model, device="cpu").encode(table)
    rows = read(call("encode", model, table, "-nogpu").stdout)
    written = np.array([[row[f"z{k + 1}"] for k in range(mean.shape[1])] for row in rows])
    np.testing.assert_array_equal(written.astype(np.float32), mean)
    assert max(len(word.lstrip("-").replace(".", "").lstrip("0")) for word in written.ravel() if "e" not in word) <= 9


def test_a_table_with_very_many_columns_is_trained() -> None:
    random = np.random.default_rng(0)
    names = tuple(f"measured_{i}" for i in range(6000))
    write("wide.csv", random.normal(size=(20, 6000)).round(2).astype(str).tolist(), header=names)
    call("train", "wide.csv", "-epochs", "1", "-quiet", "-no-latents", "-nogpu")
    assert tuple(read(call("sample", "wide.safetensors", "-n", "2").stdout)[0]) == names


def test_rows_for_validation_are_a_table_too() -> None:
    write("t.csv", rows_of())
    write("v.csv", rows_of(60, seed=3))
    done = call("train", "t.csv", "-valid", "v.csv", "-patience", "50", "-epochs", "3", "-json", "-nogpu")
    assert "valid_loss" in json.loads(done.stdout)


def test_a_cfg_may_hold_rows_out_and_stop_early() -> None:
    write("t.csv", rows_of())
    text = call("init", "t.csv").stdout.replace("#holdout=0.1\n#early_stopping=", "holdout=0.1\nearly_stopping=3\n#")
    Path("t.cfg").write_text(text)
    words = ("train", "t.cfg", "t.csv", "-epochs", "400", "-lr", "0.02", "-json", "-quiet", "-nogpu")
    found = json.loads(call(*words).stdout)
    assert found["epochs"] < 400
    assert found["kept_epoch"] < found["epochs"]
    assert "valid_loss" in found


# ---- impute


@BOTH
def test_impute_fills_the_gaps_and_leaves_every_other_cell_as_it_is(kind: str, model: str, table: str) -> None:
    text = Path(table).read_text()
    done = call("impute", model, table, kind=kind)
    before, after = text.splitlines(), done.stdout.splitlines()
    assert len(before) == len(after)
    for old, new in zip(before, after, strict=True):
        cells, filled = next(csv.reader([old])), next(csv.reader([new]))
        for cell, other in zip(cells, filled, strict=True):
            assert other == cell or (cell in ("", "NA") and other not in ("", "NA"))
        if "" not in cells and "NA" not in cells:
            assert old == new
    assert_like_the_table(read(done.stdout), COLUMNS)


def test_impute_keeps_the_form_of_the_file(model: str) -> None:
    rows = rows_of()[:6]
    rows[2][2], rows[3][3] = "?", ""
    rows[4][1] = "0041.0"
    body = "\r\n".join(" ; ".join(f'"{cell}"' if i == 3 else cell for i, cell in enumerate(row)) for row in rows)
    text = " ; ".join(COLUMNS) + "\r\n# a remark\r\n" + body
    Path("t.csv").write_bytes(text.encode())
    done = subprocess.run([*program("binary"), "impute", model, "t.csv"], capture_output=True, check=True)
    out = done.stdout.decode()
    assert "0041.0" in out
    for old, new in zip(text.split("\r\n"), out.split("\r\n"), strict=True):
        for cell, other in zip(old.split(";"), new.split(";"), strict=True):
            assert other == cell or cell.strip() in ("", "?", '""', '"NA"', "NA")


def test_imputed_cells_are_better_than_guesses(model: str) -> None:
    given = rows_of(seed=0)
    gaps = [row[:] for row in given]
    for row in gaps[::3]:
        row[1] = ""
    write("gaps.csv", gaps)
    rows = read(call("impute", model, "gaps.csv").stdout)
    made = np.array([[int(row["age"]), int(other[1])] for row, other in zip(rows[::3], given[::3], strict=True)])
    error = np.sqrt(np.mean((made[:, 0] - made[:, 1]) ** 2))
    assert error < 0.7 * np.std(made[:, 1])


def test_impute_reads_standard_input_and_writes_a_file(model: str, table: str) -> None:
    with open(table) as file:
        call("impute", model, "-", "-output", "full.csv", stdin=file)
    assert Path("full.csv").read_text() == call("impute", model, table).stdout


# ---- conditions


def test_where_draws_until_enough_rows_are_as_wanted(model: str) -> None:
    done = call("sample", model, "-n", "50", "-where", "member=yes,age>=40")
    rows = read(done.stdout)
    assert len(rows) == 50
    assert all(row["member"] == "yes" and int(row["age"]) >= 40 for row in rows)
    assert "rows were drawn to find 50" in done.stderr


def test_a_model_with_conditions_is_given_them() -> None:
    write("t.csv", rows_of())
    call("train", "t.csv", "-epochs", "150", "-quiet", "-nogpu", "-condition", "city")
    done = call("sample", "t.safetensors", "-n", "400", "-where", f'"city={CITIES[2]}"')
    rows = read(done.stdout)
    assert {row["city"] for row in rows} == {CITIES[2]}
    assert "drawn to find" not in done.stderr
    assert 42 < np.mean([int(row["age"]) for row in rows]) < 58  # 50 in the table, 45 over all cities
    free = read(call("sample", "t.safetensors", "-n", "400").stdout)
    assert_like_the_table(free, COLUMNS)
    assert {row["city"] for row in free} == set(CITIES)
    assert read(call("reconstruct", "t.safetensors", "t.csv").stdout)
    assert read(call("score", "t.safetensors", "t.csv").stdout)


@pytest.mark.parametrize(
    ("where", "says"),
    [
        ("membr=yes", "no column 'membr' (did you mean 'member'?)"),
        ("member=maybe", "maybe"),
        ("city=Oslos", "Oslo"),
        ("age=200", "goes from"),
        ("age=young", "'young' is no number"),
        ("age", "is no condition"),
        ("customer=c0001", "identifier"),
        ("city>Oslo", "only = or !="),
    ],
)
def test_a_wrong_condition_is_one_clear_line(where: str, says: str, model: str) -> None:
    assert says in refused("sample", model, "-n", "5", "-where", where)


def test_a_condition_that_hardly_any_row_fulfils_gives_up(model: str) -> None:
    assert "too rare" in refused("sample", model, "-n", "5", "-where", "income=2345.67,age=19")


# ---- training further


def test_a_model_is_trained_further_on_new_rows_with_its_columns(model: str) -> None:
    write("more.csv", rows_of(100, seed=5))
    before = json.loads(call("info", model, "-json").stdout)
    call("train", model, "more.csv", *FAST, "-save", "more.safetensors")
    after = json.loads(call("info", "more.safetensors", "-json").stdout)
    assert int(after["seen"]) == int(before["seen"]) + 200
    assert_like_the_table(read(call("sample", "more.safetensors", "-n", "30").stdout), COLUMNS)


def test_a_training_on_a_table_resumes_from_a_checkpoint() -> None:
    write("t.csv", rows_of())
    words = ("t.csv", "-quiet", "-nogpu", "-holdout", "0.2", "-log", "log.csv")
    call("train", *words, "-epochs", "4", "-save", "whole.safetensors")
    call("train", *words, "-epochs", "2", "-save", "half.safetensors", "-checkpoint", "run.safetensors")
    call("train", *words, "-epochs", "4", "-save", "resumed.safetensors", "-resume", "run.safetensors")
    assert Path("resumed.safetensors").read_bytes() == Path("whole.safetensors").read_bytes()
    assert not Path("latent_space.txt").exists()  # of a table only with -latents


# ---- messages


@pytest.mark.parametrize("words", [("sample", "t.csv", "-n", "4"), ("score", "t.csv", "t.csv"), ("evaluate", "t.csv", "t.csv")])
def test_a_table_in_place_of_a_model_is_named(words: tuple[str, ...]) -> None:
    write("t.csv", rows_of())
    done = run([*program("binary"), *words])
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
    assert "t.csv is a table, no network: darknet train t.csv makes a model of it" in done.stderr


def test_a_column_that_is_renamed_or_missing_is_named(model: str) -> None:
    write("t.csv", rows_of(), header=("customer", "agee", *COLUMNS[2:]))
    message = refused("score", model, "t.csv")
    assert "'age'" in message
    assert "agee" in message
    write("t.csv", [row[:2] + row[3:] for row in rows_of()], header=COLUMNS[:2] + COLUMNS[3:])
    assert "'income'" in refused("encode", model, "t.csv")


def test_columns_are_found_by_name_in_any_order_and_others_are_ignored(model: str, table: str) -> None:
    turned = [["x", *reversed(row)] for row in rows_of()]
    write("turned.csv", turned, header=("extra", *reversed(COLUMNS)))
    found = read(call("score", model, "turned.csv").stdout)
    assert [row["score"] for row in found] == [row["score"] for row in read(call("score", model, table).stdout)]


def test_a_word_that_was_never_seen_is_one_warning(model: str) -> None:
    rows = rows_of()
    rows[3][3] = rows[9][3] = "Atlantis"
    write("t.csv", rows)
    done = call("score", model, "t.csv")
    assert done.stderr.count("Atlantis") == 1
    assert "warning" in done.stderr


def test_a_label_that_is_missing_is_named_in_training_and_not_needed_afterwards() -> None:
    write("t.csv", rows_of())
    assert "'churned'" in refused("train", "t.csv", "-label-column", "churned")
    call("train", "t.csv", *FAST, "-label-column", "churn")
    write("new.csv", [row[:7] for row in rows_of()], header=COLUMNS[:7])
    assert tuple(read(call("encode", "t.safetensors", "new.csv").stdout)[0])[:2] == ("customer", "z1")


def test_impute_needs_a_model_of_a_table() -> None:
    Path("n.cfg").write_text("[net]\ninputs=2\n[connected]\noutput=1\n[connected]\noutput=2\n[cost]\n")
    write("n.csv", [["1", "2"], ["3", "4"]], header=("a", "b"))
    call("train", "n.cfg", "n.csv", "-epochs", "1", "-save", "n.safetensors", "-quiet")
    assert "does not know any columns" in refused("impute", "n.safetensors", "n.csv")
    assert "does not know any columns" in refused("sample", "n.safetensors", "-n", "3", "-where", "a=1")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no rows"),
        ("a,b\n", "no rows"),
        ("a,b\n1,x\n", "1 row of 2 columns: more rows are wanted"),
        ("a,b\nq,q\nq,q\nq,q\n", "each column has a single value"),
    ],
)
def test_a_table_of_which_nothing_can_be_learned_is_one_clear_line(text: str, says: str) -> None:
    Path("t.csv").write_text(text)
    for verb in ("train", "init"):
        assert says in refused(verb, "t.csv")


def test_dropping_all_columns_is_refused() -> None:
    write("t.csv", [["1.5", "2.5"], ["3.5", "4.25"], ["2.125", "8"]], header=("a", "b"))
    assert "or is dropped" in refused("train", "t.csv", "-drop", "a,b")
    assert "'c'" in refused("train", "t.csv", "-drop", "c")


def test_options_of_plain_tables_are_refused_with_a_model_of_a_table(model: str, table: str) -> None:
    for words in (("-scale", "2"), ("-target", "age")):
        assert "plain numbers" in refused("encode", model, table, *words)


def test_a_weights_file_for_a_table_is_a_warning() -> None:
    write("t.csv", rows_of())
    done = call("train", "t.csv", "-epochs", "1", "-save", "t.weights")
    assert "t.weights has the parameters, but not what the columns are" in done.stderr


def test_arguments_that_are_neither_a_table_nor_a_network_are_refused_as_ever() -> None:
    assert "train needs CFG TRAIN.csv, or TRAIN.csv" in refused("train", "vae_digits.cfg")
    assert "train needs CFG TRAIN.csv, or TRAIN.csv" in refused("train")


def test_errors_in_the_cfg_of_a_table_do_not_cite_lines_of_the_table(table: str) -> None:
    words = ("-set", "net.batchh=1", "-drop", "customer")
    assert f"darknet: the cfg for {table}:" in refused("train", table, *words)
    with open(table) as file:
        done = run([*program("binary"), "train", "-", *words], stdin=file)
    assert "darknet: the cfg for standard input:" in done.stderr
    given = ("-condition", "age,income,city,member,since,churn", "-drop", "customer,country")
    for verb in ("train", "init"):
        assert "none is left to model" in refused(verb, table, *given)


@pytest.mark.parametrize("rows", [240, 320, 30])
def test_init_says_how_many_epochs_the_training_is(rows: int) -> None:
    write("t.csv", rows_of(rows))
    says = re.sub("\n# ", " ", call("init", "t.csv").stdout)
    epochs = re.search(r"every row is seen about (\d+) times", says)
    done = call("train", "t.csv", "-nogpu", "-max-seconds", "0.05")
    assert epochs and f"epoch 1/{epochs[1]} " in done.stderr


def test_a_checkpoint_of_another_table_or_network_names_the_likely_cause() -> None:
    for name, first in (("t.csv", 1), ("u.csv", 2)):
        write(name, [row[first:] for row in rows_of(240)], header=COLUMNS[first:])
    words = ("-epochs", "2", "-nogpu", "-save", "m.safetensors", "-quiet")
    call("train", "t.csv", *words, "-checkpoint", "c.safetensors")
    for others in (("u.csv",), ("t.csv", "-latent", "3")):
        says = refused("train", others[0], *words, "-resume", "c.safetensors", *others[1:])
        assert says.endswith("; the table is another one, or options such as -latent differ")


# ---- words that look like numbers or dates


@pytest.mark.parametrize(
    ("cells", "says"),
    [
        (["88%", "3%", "12.5%", "7 %"], "are numbers with a percent sign"),
        (["999", "1'234", "2'500.5", "-31'000"], "'-31'000' and all others are numbers with marked thousands"),
        (["999", "1_234", "1_234_567", "5"], "'1_234' and all others are numbers with marked thousands"),
        (["$19,280", "$3", "-$12.50", "$7"], "are numbers with a currency"),
        (["19 280 €", "3,5 €", "12 €", "7 EUR"], "are numbers with a currency"),
        (["01.05.2020", "13.05.2020", "2.6.2021", "3.04.2020"], "'13.05.2020' and all others look like dates with the day first"),
        (["05/01/2020", "05/13/2020", "6/2/21", "04/03/2020"], "'05/13/2020' and all others look like dates with the month"),
        (["05/01/2020", "05/11/2020", "06/02/2021"], "the day first (or the month)"),
        (["2020/05/13", "2020/5/1", "2021/06/02"], "the year first"),
        (["13.05.2020 10:15", "14.05.2020 11:00", "15.06.2020 09:30"], "the day first"),
        (["88%", "3%", "12.5", "unknown"], ""), (["a%", "b%", "c%"], ""), (["1.2.3", "1.2.4", "2.0.1", "2.1.12"], ""),
        (["10.0.0.1", "10.0.0.2", "10.0.0.3"], ""), (["$", "$$", "$$$"], ""), (["32.13.2020", "33.13.2020", "40.14.2020"], ""),
    ],
)  # fmt: skip
def test_words_that_look_like_numbers_or_dates_are_a_warning_with_the_remedy(cells: list[str], says: str) -> None:
    rng = np.random.default_rng(1)
    write("t.csv", [[cells[i % len(cells)], f"{rng.normal():.3f}"] for i in range(80)], header=("x", "y"))
    done = call("init", "t.csv")
    lines = [line for line in done.stderr.splitlines() if "column 'x'" in line]
    assert len(lines) == (1 if says else 0), done.stderr
    assert says in "".join(lines)


@pytest.mark.parametrize(
    ("cells", "says"),
    [
        ([f"{i / 7:.3f}" for i in range(200)] + ["unknown"], "left out as an identifier: 200 of 201 cells are numbers, but "
         "'unknown' in row 201 is not: put a number there, or leave the cell empty"),
        ([f"{i / 7:.3f}" for i in range(97)] + ["<0.1", "", ">9", "<0.1"], "97 of 100 cells are numbers, but '<0.1' in row 98 "
         "and 1 other word are not"),
        (2 * ([f"{i}.5" for i in range(40)] + ["n.d."]), "words: 80 of 82 cells are numbers, but 'n.d.' in row 41 is not: put"),
        (4 * [f"2020-02-{i:02}" for i in range(1, 31)], "116 of 120 cells are dates, but '2020-02-30' in row 30 is not: put"),
        (2 * ([f"2020/05/{i:02}" for i in range(1, 20)] + ["2020-05-20"]), "'2020/05/01' and all others look like dates"),
        (10 * ["1", "2", "3", "3+"], ""), ([f"A{i % 50}" if i % 5 else str(i) for i in range(200)], ""),
    ],
)  # fmt: skip
def test_a_few_words_among_numbers_or_dates_are_named(cells: list[str], says: str) -> None:
    rng = np.random.default_rng(1)
    write("t.csv", [[cell, f"{rng.normal():.3f}"] for cell in cells], header=("x", "y"))
    lines = [line for line in call("columns", "t.csv").stderr.splitlines() if "column 'x'" in line]
    assert len(lines) == (1 if says else 0), lines
    assert says in "".join(lines) and "as_category" not in "".join(lines)
    if "cells are numbers" in says:
        assert says.partition(": ")[2] in refused("columns", "t.csv", "-as-number", "x")
    assert not says or "column 'x'" not in call("columns", "t.csv", "-as-category", "x").stderr


def test_a_warning_of_the_binary_names_the_binarys_option() -> None:
    write("t.csv", [[f"c{i}", str(i * i % 91)] for i in range(60)], header=("name", "y"))
    for verb in ("init", "columns"):
        assert "; -as-category keeps it" in call(verb, "t.csv").stderr


def test_converting_to_a_weights_file_says_that_the_columns_are_lost(model: str) -> None:
    done = call("convert", model, "w.weights")
    assert "w.weights has the parameters, but not what the columns of the table are" in done.stderr


def test_a_model_goes_on_with_the_final_beta_if_its_warm_up_is_taken_out(model: str, table: str) -> None:
    words = ("train", model, table, "-epochs", "1", "-json", "-save", "m2.safetensors", "-nogpu")
    assert json.loads(call(*words).stdout)["beta"] < 0.5
    assert json.loads(call(*words, "-set", "sampling.beta_warmup=0").stdout).get("beta", 1) == 1


# ---- gaps in new rows


def gappy(rows: int = 1200) -> list[list[str]]:
    """b is missing where a is 0, d where c is "x" or b is; e here and there."""
    rng = np.random.default_rng(5)
    table = []
    for i in range(rows):
        a, c = max(0, int(rng.normal(8, 8))), "xyz"[int(rng.integers(3))]
        b = "" if a == 0 else f"{a * 2 + rng.normal():.2f}"
        table.append([str(a), b, c, "" if not b else f"{rng.normal():.3f}", "" if i % 10 == 3 else f"{rng.exponential():.2f}"])
    return table


def sampled(*words: str) -> list[dict[str, str]]:
    call("sample", "g.safetensors", "-n", "3000", "-seed", "2", "-nogpu", "-output", "s.csv", *words)
    with open("s.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_gaps_come_back_where_the_table_had_them() -> None:
    write("g.csv", gappy(), ("a", "b", "c", "d", "e"))
    call("train", "g.csv", "-epochs", "30", "-quiet", "-nogpu")
    assert not any(cell == "" for row in sampled() for cell in row.values())
    rows = sampled("-gaps")
    zeros = [row for row in rows if row["a"] == "0"]
    assert 100 < len(zeros) < 900
    assert all(row["b"] == "" for row in zeros)
    assert not any(row["b"] == "" for row in rows if row["a"] != "0")
    assert [row["b"] == "" for row in rows] == [row["d"] == "" for row in rows]
    assert 0.07 < np.mean([row["e"] == "" for row in rows]) < 0.13
    full = sampled()
    assert all(cell in ("", other[name]) for row, other in zip(rows, full, strict=True) for name, cell in row.items())
    assert sampled("-gaps", "-where", "b>=2,e>0") == sampled("-gaps", "-where", "b>=2,e>0")
    assert not any(row["b"] == "" or row["e"] == "" for row in sampled("-gaps", "-where", "b>=2,e>0"))


def test_the_first_rows_with_gaps_are_those_of_a_smaller_sample() -> None:
    write("g.csv", gappy(), ("a", "b", "c", "d", "e"))
    call("train", "g.csv", "-epochs", "2", "-quiet", "-nogpu")
    long = call("sample", "g.safetensors", "-n", "5000", "-gaps", "-nogpu").stdout
    assert long.startswith(call("sample", "g.safetensors", "-n", "300", "-gaps", "-nogpu").stdout)


def test_gaps_without_rows_of_a_table_to_draw_are_refused(model: str) -> None:
    number_model()
    assert "-gaps is about models of tables" in refused("sample", "n.safetensors", "-n", "3", "-gaps")
    assert "say how many, -n COUNT" in refused("sample", model, "z.csv", "-gaps")


# ---- tables in pieces

VERBS = (("encode",), ("score",), ("score", "-top", "2", "-k", "3"), ("reconstruct",), ("predict",))


def long_rows(n: int = 3000) -> list[list[str]]:
    return rows_of(n, seed=9)


def pieces(*words: str, size: int = 20000, pipe: str = "") -> subprocess.CompletedProcess[str]:
    """Run with pieces of about so many bytes; size 0: as usual, which is one piece for these tables."""
    environment = {**os.environ, "DARKNET_PIECE": str(size)} if size else None
    return run([*program("binary"), *words], env=environment, **({"input": Path(pipe).read_text()} if pipe else {}))


def long_table(change: str) -> str:
    rows, header = long_rows(), COLUMNS
    if change == "numbers as identifiers":
        rows = [[row[0][1:], *row[1:]] for row in rows]
    if change == "a late thousand":
        rows[2500][2] = "1,234.5"
    if change == "a late word":
        rows[2500][3] = "Z\u00fcrich"
    if change == "an index":
        rows, header = [[str(i), *row] for i, row in enumerate(rows)], ("", *COLUMNS)
    return write("long.csv", rows, header)


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
@pytest.mark.parametrize("change", ["nothing", "numbers as identifiers", "a late thousand", "a late word", "an index"])
def test_a_table_in_pieces_gives_the_bytes_of_the_whole(model: str, change: str, verb: tuple[str, ...]) -> None:
    path = long_table(change)
    whole = pieces(verb[0], model, path, *verb[1:], "-nogpu", size=0)
    assert whole.returncode == 0, whole.stderr
    assert whole.stdout.count("\n") == (3000 if verb == ("predict",) else 3001)
    assert pieces(verb[0], model, path, *verb[1:], "-nogpu").stdout == whole.stdout
    assert pieces(verb[0], model, "-", *verb[1:], "-nogpu", pipe=path).stdout == whole.stdout
    assert pieces(verb[0], model, path, *verb[1:], "-nogpu", "-o", "out.csv").returncode == 0
    assert Path("out.csv").read_text() == whole.stdout


def test_a_late_word_in_a_column_of_numbers_is_the_same_error_and_leaves_no_file(model: str) -> None:
    rows = long_rows()
    rows[2500][2] = "late"
    path = write("long.csv", rows)
    whole = pieces("encode", model, path, "-nogpu", "-o", "out.csv", size=0)
    assert "column 'income', row 2501: 'late' is not a number" in whole.stderr
    done = pieces("encode", model, path, "-nogpu", "-o", "out.csv")
    assert (done.returncode, done.stderr) == (whole.returncode, whole.stderr)
    done = pieces("encode", model, "-", "-nogpu", "-o", "out.csv", pipe=path)
    assert (done.returncode, done.stderr) == (whole.returncode, whole.stderr.replace(path, "standard input"))
    assert not Path("out.csv").exists()


def test_a_pipe_whose_numbers_change_their_form_too_late_is_refused(model: str) -> None:
    rows = [[*row[:2], "1.234", *row[3:]] for row in long_rows()]
    rows[2500][2] = "2,5"
    done = pieces("encode", model, "-", "-nogpu", pipe=write("long.csv", rows))
    assert done.returncode == 3
    assert "'income' shows only after row" in done.stderr
    assert "give the table as a file" in done.stderr
    assert pieces("encode", model, "long.csv", "-nogpu").returncode == 0


def test_a_pipe_is_answered_before_it_ends(model: str) -> None:
    text = Path(write("long.csv", long_rows())).read_text()
    words = [*program("binary"), "encode", model, "-", "-nogpu", "-quiet"]
    environment = {**os.environ, "DARKNET_PIECE": "20000"}
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(text[:60000])
        process.stdin.flush()
        assert process.stdout.readline().startswith("customer,z1")
        assert process.stdout.readline().startswith("c0000,")
        rest = threading.Thread(target=lambda: (process.stdin.write(text[60000:]), process.stdin.close()))
        rest.start()
        assert process.stdout.read().count("\n") == 2999
        rest.join()
    assert process.returncode == 0


@pytest.mark.parametrize("verb", ["encode", "score", "reconstruct"])
def test_results_do_not_depend_on_where_pieces_and_passes_end(model: str, verb: str) -> None:
    """A pass of few rows would be computed, and rounded, in another way."""
    path = write("long.csv", long_rows(30000))
    whole = pieces(verb, model, path, "-nogpu", size=8 << 20).stdout
    lines = whole.splitlines(keepends=True)
    assert len(lines) == 30001
    for size in (700_001, 1 << 20):
        assert pieces(verb, model, path, "-nogpu", size=size).stdout == whole, size
    for n in (20011, 16394, 15114):
        assert pieces(verb, model, path, "-nogpu", "-rows", str(n), size=8 << 20).stdout == "".join(lines[: n + 1]), n


def test_rows_that_are_made_in_pieces_are_numbered_as_in_the_whole() -> None:
    """Identifiers that the table does not have, and which rare word an "other" becomes."""
    rows = [[str(i), f"w{i % 331}" if i % 3 else "often", str(i % 17)] for i in range(4000)]
    write("t.csv", rows, header=("id", "word", "n"))
    call("train", "t.csv", "-epochs", "1", "-save", "m.safetensors", "-quiet", "-nogpu")
    write("use.csv", [row[1:] for row in rows], header=("word", "n"))
    whole = pieces("reconstruct", "m.safetensors", "use.csv", "-nogpu", size=0)
    assert whole.returncode == 0, whole.stderr
    assert [line.split(",")[0] for line in whole.stdout.splitlines()] == ["id", *map(str, range(1, 4001))]
    assert pieces("reconstruct", "m.safetensors", "use.csv", "-nogpu", size=7000).stdout == whole.stdout


def peak(*words: str) -> int:
    """The most memory of a run of the binary, in KB."""
    program_text = (
        "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True); "
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    done = run([sys.executable, "-c", program_text, *program("binary"), *words, "-nogpu", "-quiet", "-output", "out"])
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@pytest.mark.slow
@pytest.mark.timing
@pytest.mark.parametrize("verb", ["score", "reconstruct", "predict"])
def test_memory_does_not_grow_with_the_table(model: str, verb: str) -> None:
    write("long.csv", long_rows(10000) * 30)
    assert peak(verb, model, "long.csv") < 45_000  # 75,000 with all rows in memory


# ---- tables of numbers in pieces


def number_model(columns: int = 12) -> str:
    text = f"""[net]
batch=50
inputs={columns}
max_batches=20
learning_rate=0.01
[connected]
output=20
activation=tanh
[connected]
output=6
[sampling]
[connected]
output={columns}
[cost]
type=gaussian
"""
    Path("n.cfg").write_text(text)
    rng = np.random.default_rng(2)
    np.savetxt("train.csv", rng.normal(size=(200, columns)), fmt="%.5g", delimiter=",")
    call("train", "n.cfg", "train.csv", "-save", "n.safetensors", "-quiet", "-nogpu", "-no-latents")
    return "n.safetensors"


def numbers(name: str, rows: int, columns: int = 12) -> str:
    x = np.random.default_rng(1).normal(size=(rows, columns))
    np.savetxt(name, x, fmt="%.5g", delimiter=",")
    return name


@pytest.mark.parametrize("verb", ["encode", "reconstruct", "predict"])
def test_numbers_in_pieces_give_what_all_of_them_give(verb: str) -> None:
    model = number_model()
    path = numbers("x.csv", 5000)
    x = np.loadtxt(path, delimiter=",")
    np.save("x.npy", x.astype(np.float32))
    np.save("d.npy", x)
    whole = pieces(verb, model, path, "-nogpu", size=0)
    assert whole.returncode == 0, whole.stderr
    assert whole.stdout.count("\n") == 5000
    parts = pieces(verb, model, path, "-nogpu").stdout
    np.testing.assert_allclose(
        np.loadtxt(io.StringIO(parts), delimiter=","), np.loadtxt(io.StringIO(whole.stdout), delimiter=","), rtol=2e-5, atol=2e-6
    )
    assert pieces(verb, model, "-", "-nogpu", pipe=path).stdout == parts
    assert pieces(verb, model, path, "-nogpu", size=1).stdout == parts
    assert pieces(verb, model, path, "-nogpu", size=123456).stdout == parts
    for array in ("x.npy", "d.npy"):
        assert pieces(verb, model, array, "-nogpu").stdout == parts
    few = pieces(verb, model, path, "-nogpu", "-rows", "3001").stdout
    assert few == "".join(parts.splitlines(keepends=True)[:3001])
    assert pieces(verb, model, path, "-nogpu", "-o", "out.csv").returncode == 0
    assert Path("out.csv").read_text() == parts


def test_a_late_bad_cell_of_numbers_names_its_line_and_leaves_no_file() -> None:
    model = number_model()
    lines = Path(numbers("x.csv", 4000)).read_text().splitlines()
    lines[3500] = "late" + lines[3500][1:]
    Path("x.csv").write_text("# a comment\n" + "\n".join(lines) + "\n")
    whole = pieces("predict", model, "x.csv", "-nogpu", "-o", "out.csv", size=0)
    done = pieces("predict", model, "x.csv", "-nogpu", "-o", "out.csv")
    assert "x.csv:3502: column 1: 'late" in done.stderr
    assert (done.returncode, done.stderr.splitlines()[-1:]) == (whole.returncode, whole.stderr.splitlines())
    assert not Path("out.csv").exists()


def test_what_there_is_to_say_of_numbers_in_pieces_is_said_once() -> None:
    model = number_model()
    lines = Path(numbers("x.csv", 4000)).read_text().splitlines()
    lines[3000:3000] = ["# note", "# note"]
    Path("x.csv").write_text("\n".join([",".join(f"c{i}" for i in range(12)), *lines]) + "\n")
    done = pieces("predict", model, "x.csv", "-nogpu")
    assert done.returncode == 0
    assert done.stdout.count("\n") == 4000
    assert done.stderr.count("warning: ") == 1
    assert "2 lines that begin with # are skipped" in done.stderr
    Path("empty.csv").write_text(",".join(f"c{i}" for i in range(12)) + "\n")
    assert "a header, but no rows" in pieces("predict", model, "empty.csv", "-nogpu").stderr


@pytest.mark.slow
@pytest.mark.timing
@pytest.mark.parametrize("name", ["x.csv", "x.npy"])
def test_memory_does_not_grow_with_a_table_of_numbers(name: str) -> None:
    model = number_model(60)
    numbers("x.csv", 5000, 60)
    x = np.loadtxt("x.csv", delimiter=",", dtype=np.float32)
    Path("x.csv").write_text(Path("x.csv").read_text() * 20)
    np.save("x.npy", np.tile(x, (20, 1)))
    assert peak("predict", model, name) < 35_000  # 70,000 with all rows in memory


# ---- real tables

TABLES = ("penguins", "wa_churn", "credit_data", "attrition", "HMDA", "diamonds")


def types(path: str | Path) -> dict[str, tuple[str, set[str], float, float]]:
    """By column: number or words, the words, the range."""
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    found = {}
    for name in rows[0]:
        cells = [row[name] for row in rows if row[name] not in ("", "NA")]
        try:
            numbers = np.array(cells, float)
            whole = all(cell.lstrip("-").isdigit() for cell in cells)
            found[name] = ("integer" if whole else "decimal", set[str](), float(numbers.min()), float(numbers.max()))
        except ValueError:
            found[name] = ("words", set(cells), 0.0, 0.0)
    return found


def assert_sampled(path: Path, *options: str) -> None:
    call("train", str(path), "-quiet", "-nogpu", "-save", "m.safetensors", "-no-latents", *options)
    call("sample", "m.safetensors", "-n", "100", "-output", "s.csv")
    given, made = types(path), types("s.csv")
    assert list(made) == list(given)
    for name, (kind, words, low, high) in made.items():
        assert kind == given[name][0] or (kind, given[name][0]) == ("integer", "decimal"), name
        assert words <= given[name][1], name
        assert given[name][2] <= low, name
        assert high <= given[name][3], name


@pytest.mark.parametrize("name", TABLES)
def test_rows_drawn_after_a_short_training_look_like_the_real_table(name: str) -> None:
    assert_sampled(real_table(name), "-epochs", "1")


@pytest.mark.slow
@pytest.mark.timing
@pytest.mark.parametrize("name", TABLES)
def test_a_real_table_is_trained_and_sampled_within_a_minute(name: str) -> None:
    path = real_table(name)
    start = time.perf_counter()
    assert_sampled(path)
    assert time.perf_counter() - start < 60
