"""Networks of tables in Python: DataFrames, dicts of arrays and paths in, tables out; and the examples."""

from __future__ import annotations

import copy
import json
import pickle
import subprocess
import sys
import warnings
from typing import Any

import numpy as np
import pytest
from helpers import ROOT, program, run
from test_table_verbs import CITIES, COLUMNS, read, rows_of, write

import darknet_vae as dv
from darknet_vae import errors, tables


def table_of(n: int = 240, seed: int = 0) -> dict[str, Any]:
    """The table of the verbs' tests as arrays, with gaps in income and city."""
    columns = dict(zip(COLUMNS, map(list, zip(*rows_of(n, seed), strict=True)), strict=True))
    return {
        "customer": np.array(columns["customer"], object),
        "age": np.array(columns["age"], np.int64),
        "income": np.array([float(word or "nan") for word in columns["income"]]),
        "city": np.array([None if word == "NA" else word for word in columns["city"]], object),
        "member": np.array([word == "yes" for word in columns["member"]]),
        "since": np.array(columns["since"], "M8[D]"),
        "country": np.array(columns["country"], object),
        "churn": np.array(columns["churn"], object),
    }


@pytest.fixture(scope="module")
def trained() -> dv.Network:
    net = dv.Network.for_table(table_of(), device="cpu")
    net.train(table_of(), epochs=150)
    return net


def test_a_table_goes_in_and_new_rows_with_its_columns_and_types_come_out(trained: dv.Network) -> None:
    rows = trained.sample(n=300, seed=3)
    given = table_of()
    assert list(rows) == list(given)
    for name, values in rows.items():
        assert values.dtype.kind == given[name].dtype.kind, name
        assert len(values) == 300
    assert set(rows["city"]) == set(CITIES)
    assert rows["age"].min() >= given["age"].min()
    assert rows["since"].max() <= given["since"].max()
    again = trained.sample(n=300, seed=3)
    assert all((rows[name] == again[name]).all() for name in rows)
    codes = trained.sample(n=300, seed=3, codes=True)
    assert codes.shape == (300, trained.inputs)
    assert trained.sample(n=5, draw=False)["age"].dtype == np.int64


def test_python_and_the_binary_give_the_same_rows_scores_and_gaps(trained: dv.Network) -> None:
    write("t.csv", rows_of())
    done = run([*program("binary"), "train", "t.csv", "-epochs", "5", "-quiet", "-nogpu"])
    assert done.returncode == 0, done.stderr
    net = dv.Network.load("t.safetensors", device="cpu")
    mine = net.sample(n=20, seed=4)
    other = read(run([*program("binary"), "sample", "t.safetensors", "-n", "20", "-seed", "4"]).stdout)
    assert [str(age) for age in mine["age"]] == [row["age"] for row in other]
    assert list(mine["city"]) == [row["city"] for row in other]
    scores = net.score_rows("t.csv")
    rows = read(run([*program("binary"), "score", "t.safetensors", "t.csv"]).stdout)
    np.testing.assert_allclose(scores, [float(row["score"]) for row in rows], rtol=1e-5)
    filled = net.impute("t.csv")
    rows = read(run([*program("binary"), "impute", "t.safetensors", "t.csv"]).stdout)
    assert list(filled["city"]) == [row["city"] for row in rows]
    np.testing.assert_allclose(filled["income"], [float(row["income"]) for row in rows])


def test_a_file_that_lacks_the_columns_of_a_table_is_a_warning_with_the_remedy(trained: dv.Network) -> None:
    for name in ("t.weights", "t.csv", "t"):
        with pytest.warns(UserWarning, match=rf"^{name} has the parameters, but not .*: to .* as F.safetensors$") as said:
            trained.save(name)
        assert len(said) == 1
        assert said[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trained.save("t.safetensors")
        trained.save("part.weights", cutoff=1)
        dv.Network(str(ROOT / "cfg" / "vae_digits.cfg"), device="cpu").save("d.weights")


def test_two_columns_with_one_name_are_refused_by_that_name(trained: dv.Network) -> None:
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(table_of(40))
    twice = pd.concat([frame, frame[["age"]]], axis=1)
    said = r"^the table has 2 columns with the name 'age': rename or drop some$"
    with pytest.raises(errors.UsageError, match=said):
        dv.Network.for_table(twice)
    with pytest.raises(errors.UsageError, match=said):
        trained.score_rows(twice)
    with pytest.raises(errors.UsageError, match="2 columns with the name '1'"):
        tables.Frame({1: np.zeros(3), "1": np.ones(3)})


def test_a_row_in_the_wrong_place_or_form_is_said_in_one_line(trained: dv.Network) -> None:
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(table_of(40))
    last = trained.latent_size - 1
    said = rf"^dim is a DataFrame: wanted is the number of a latent dimension, 0 to {last}; a row goes into around=$"
    with pytest.raises(errors.UsageError, match=said):
        trained.traverse(frame.iloc[:1], 0)
    with pytest.raises(errors.UsageError, match=r"^dim='a' is not a whole number$"):
        trained.traverse("a")
    series = r" is a Series, not a table: a row of a DataFrame is frame\.iloc\[\[0\]\], not frame\.iloc\[0\]$"
    with pytest.raises(errors.UsageError, match="^a" + series):
        trained.interpolate(frame.iloc[0], frame.iloc[1])
    with pytest.raises(errors.UsageError, match="^X" + series):
        trained.encode(frame.iloc[0])
    with pytest.raises(errors.UsageError, match="^around" + series):
        trained.traverse(0, around=frame[["age", "income"]].iloc[0])
    assert len(trained.interpolate(frame.iloc[[0]], frame.iloc[[1]], steps=3)) == 3


def test_conditions_select_rows(trained: dv.Network) -> None:
    rows = trained.sample(n=40, condition={"city": CITIES[2], "member": "True"})
    assert set(rows["city"]) == {CITIES[2]}
    assert rows["member"].all()
    rows = trained.sample(n=40, condition="age>=40,age<60")
    assert rows["age"].min() >= 40
    assert rows["age"].max() < 60
    with pytest.raises(errors.UsageError, match="did you mean 'city'"):
        trained.sample(n=4, condition={"cty": "Oslo"})
    with pytest.raises(errors.UsageError, match="condition is about n rows"):
        trained.sample(np.zeros((1, trained.latent_size)), condition="age>3")


def test_words_with_blanks_or_marks_at_their_ends_can_be_asked_for() -> None:
    rng = np.random.default_rng(0)
    words = np.array(["Yes", " No", "No ", "a,b", '"q"', " =x", "=y"], object)
    data = {"w": rng.choice(words, 300), " n, o=": rng.choice(words[:2], 300), "x": rng.normal(size=300)}
    net = dv.Network.for_table(data, device="cpu")
    net.train(data, epochs=3)
    for word in words:
        assert set(net.sample(n=3, condition={"w": word})["w"]) == {word}
    assert set(net.sample(n=3, condition={" n, o=": " No"})[" n, o="]) == {" No"}
    for where, word in (('w=" No"', " No"), ('"w= No"', " No"), ('w = "No " ', "No "), ('" w = Yes "', "Yes"), ("w=Yes ", "Yes")):
        assert set(net.sample(n=3, condition=where)["w"]) == {word}, where
    with pytest.raises(errors.UsageError, match="did you mean ' No'"):
        net.sample(n=3, condition="w= No")


def test_errors_in_the_cfg_of_a_table_name_what_it_was_made_for() -> None:
    with pytest.raises(errors.UsageError, match=r"the cfg for the table:[0-9]+: .net. has no key 'batchh'"):
        dv.Network.for_table(table_of(), set={"net.batchh": 1})
    with pytest.raises(
        errors.FormatError, match=r"the cfg for this VAE:[0-9]+: .*unknown activation 'foo': it is one of linear, .*, lhtan"
    ):
        dv.VAE(activation="foo").fit(np.random.default_rng(0).random((20, 3)))


def test_a_value_that_no_drawn_row_can_have_is_refused_at_once() -> None:
    day = np.datetime64("2020-03-01") + 2 * (np.arange(1500) % 60)
    rng = np.random.default_rng(0)
    data = {"d": day, "x": np.arange(1500) % 37 * 0.5, "many": rng.normal(size=1500).round(2), "wide": np.arange(1500) * 0.1}
    net = dv.Network.for_table(data, device="cpu")
    net.train(data, epochs=1)
    says = "no row can have that: column 'd' has 2020-03-01 and 2020-03-03, and nothing between them, not 2020-03-02"
    with pytest.raises(errors.UsageError, match=says):
        net.sample(n=1, condition={"d": "2020-03-02"})
    with pytest.raises(errors.UsageError, match=r"'x' has 3 and 3.5, and nothing between them, not 3.1"):
        net.sample(n=1, condition="x=3.1")
    drawn = net.sample(n=8, seed=3)
    for name in ("d", "x"):
        for value in drawn[name].tolist():
            assert set(net.sample(n=2, condition={name: value})[name].tolist()) == {value}
    for value in drawn["wide"].tolist():  # rare, but possible, also where it is between two that the schema keeps
        try:
            assert net.sample(n=1, condition={"wide": value})["wide"][0] == value
        except errors.UsageError as refused:
            assert "no row can have that" not in str(refused)
    assert len(net.sample(n=1, condition="d!=2020-03-02,d>2020-03-02")["d"]) == 1
    single = {"d": np.unique(day), "x": np.arange(60.0)}  # of one row each: a day between two of them may come
    net = dv.Network.for_table(single, device="cpu")
    net.train(single, epochs=1)
    assert net.sample(n=1, condition={"d": "2020-03-02"})["d"][0] == np.datetime64("2020-03-02")


def test_new_rows_have_gaps_if_asked_for_as_the_binarys_have() -> None:
    write("t.csv", rows_of())
    done = run([*program("binary"), "train", "t.csv", "-epochs", "5", "-quiet", "-nogpu"])
    assert done.returncode == 0, done.stderr
    net = dv.Network.load("t.safetensors", device="cpu")
    assert net.schema is not None
    rows = net.sample(n=400, seed=4, gaps=True)
    other = read(run([*program("binary"), "sample", "t.safetensors", "-n", "400", "-seed", "4", "-gaps"]).stdout)
    assert [np.isnan(x) for x in rows["income"]] == [row["income"] == "" for row in other]
    assert np.isnan(rows["income"]).any() and not np.isnan(net.sample(n=400, seed=4)["income"]).any()
    assert np.isnan(net.sample(n=400, seed=4, gaps=True, codes=True)).any()
    with pytest.raises(errors.UsageError, match="gaps is about n rows"):
        net.sample(np.zeros((1, net.latent_size)), gaps=True)


def test_a_model_without_what_gaps_depend_on_has_them_as_often() -> None:
    """As files of before are."""
    data = table_of()
    net = dv.Network.for_table(data, latent=3, device="cpu")
    net.train(data, epochs=3)
    assert net.schema is not None
    spec = json.loads(net.schema.json)
    for column in spec["columns"]:
        for key in ("gaps_by", "gaps_given", "gaps_rows", "gaps_missing"):
            column.pop(key, None)
    old = tables.Schema.from_json(json.dumps(spec))
    old.give(net)
    rows = net.sample(n=4000, seed=4, gaps=True)
    rate = next(c for c in old.columns if c.name == "income").missing / len(data["income"])
    assert 0.8 * rate < np.isnan(rows["income"]).mean() < 1.25 * rate


def test_a_condition_that_the_network_is_given_may_be_coded_rows() -> None:
    data = table_of()
    net = dv.Network.for_table(data, latent=3, condition="city", device="cpu")
    net.train(data, epochs=3)
    assert set(net.sample(n=50, condition={"city": "Oslo"})["city"]) == {"Oslo"}
    row = np.full(net.inputs, np.nan, np.float32)
    assert net.schema is not None
    row[net.columns.index("city")] = net.schema.cell("city", "Oslo")
    z = np.zeros((4, 3), np.float32)
    assert set(net.sample(z, condition=row)["city"]) == {"Oslo"}
    with pytest.raises(errors.UsageError, match="condition"):
        net.sample(z)
    with pytest.raises(errors.UsageError, match="wanted is"):
        net.sample(z, condition=row[:-1])


def test_encode_evaluate_and_scores_take_tables_and_coded_rows_alike(trained: dv.Network) -> None:
    data = table_of()
    assert trained.schema is not None
    x = trained.schema.code(data)
    assert np.isnan(x).any()
    mean, log_variance = trained.encode(data)
    np.testing.assert_array_equal(mean, trained.encode(x)[0])
    assert log_variance.shape == mean.shape == (240, trained.latent_size)
    np.testing.assert_array_equal(trained.score_rows(data), trained.score_rows(x))
    assert trained.evaluate(data)["elbo"] == trained.evaluate(x)["elbo"]
    assert -trained.score_rows(data).mean() == pytest.approx(trained.evaluate(data)["elbo"], rel=1e-9)
    _, parts = trained.score_rows(data, contributions=True)
    assert parts.shape == (240, len(trained.columns))
    assert trained.columns == trained.schema.coded
    odd = {**data, "age": np.where(np.arange(240) == 17, 90, data["age"])}
    odd["income"][17] = 1500.0
    assert trained.score_rows(odd).argmax() == 17


def test_a_score_does_not_depend_on_the_place_of_the_row(trained: dv.Network) -> None:
    data = table_of()
    scores = trained.score_rows(data)
    some = {name: values[100:110] for name, values in data.items()}
    np.testing.assert_allclose(trained.score_rows(some), scores[100:110], rtol=1e-5)


def test_reconstructions_and_walks_of_tables_are_tables(trained: dv.Network) -> None:
    data = table_of()
    made = trained.reconstruct(data)
    assert list(made) == list(data)
    assert np.corrcoef(made["age"], data["age"])[0, 1] > 0.8
    assert isinstance(trained.reconstruct(trained.schema.code(data)), np.ndarray)  # type: ignore[union-attr]
    rows = [{name: values[i : i + 1] for name, values in data.items()} for i in (0, 5)]
    assert len(trained.interpolate(*rows, steps=5)["age"]) == 5
    assert len(trained.traverse(0, steps=7, around=rows[0])["age"]) == 7
    with pytest.raises(errors.UsageError, match="240 rows: one is wanted"):
        trained.interpolate(data, data)


def test_impute_fills_gaps_alone(trained: dv.Network) -> None:
    data = table_of()
    filled = trained.impute(data)
    gaps = np.isnan(data["income"])
    assert gaps.any()
    np.testing.assert_array_equal(filled["income"][~gaps], data["income"][~gaps])
    assert np.isfinite(filled["income"]).all()
    assert set(filled["city"]) == set(CITIES)
    assert all(new == old for new, old in zip(filled["city"], data["city"], strict=True) if old is not None)
    assert (filled["customer"] == data["customer"]).all()
    x = trained.schema.code(data)  # type: ignore[union-attr]
    full = trained.impute(x)
    assert not np.isnan(full).any()
    np.testing.assert_array_equal(full[~np.isnan(x)], x[~np.isnan(x)])
    assert not np.isnan(trained.impute(full)).any()


def test_a_network_with_columns_learns_them_from_the_table_it_is_trained_on() -> None:
    data = table_of()
    text = tables.cfg_for(tables.Schema.learn(data), 240, latent=2)
    net = dv.Network(cfg_text=text, device="cpu")
    assert net.schema is None
    with pytest.raises(errors.UsageError, match="train it on a table first"):
        net.encode(data)
    net.train(data, epochs=2, valid=table_of(50, 9))
    assert net.schema == tables.Schema.learn(data)
    assert len(net.sample(n=3)["age"]) == 3


def test_copies_pickles_and_files_keep_the_columns(trained: dv.Network) -> None:
    trained.save("m.safetensors")
    expected = trained.sample(n=10, seed=1, codes=True)
    for other in (copy.deepcopy(trained), pickle.loads(pickle.dumps(trained)), dv.Network.load("m.safetensors")):
        np.testing.assert_array_equal(other.sample(n=10, seed=1, codes=True), expected)
        assert other.schema == trained.schema


def test_a_mixture_can_be_the_prior_of_new_rows(trained: dv.Network) -> None:
    prior = trained.fit_mixture(table_of(), components=3)
    assert set(trained.sample(n=200, prior=prior)["city"]) <= set(CITIES)
    assert len(trained.sample(n=5, prior="normal", temperature=0.5)["age"]) == 5


def test_tables_of_which_nothing_can_be_learned_are_errors(trained: dv.Network) -> None:
    with pytest.raises(errors.FormatError, match="nothing can be learned"):
        dv.Network.for_table({"a": np.array(["x", "x", "x"], object)})
    with pytest.raises(errors.FormatError, match="age"):
        trained.score_rows({name: values for name, values in table_of().items() if name != "age"})
    plain = dv.Network(cfg_text="[net]\ninputs=2\n[connected]\noutput=1\n[connected]\noutput=2\n[cost]\n")
    with pytest.raises(errors.UsageError, match="trained on a table"):
        plain.impute(np.zeros((1, 2)))
    assert plain.schema is None


def test_data_frames_come_back_with_their_types_and_index(trained: dv.Network) -> None:
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(table_of())
    frame["city"] = frame["city"].astype("category")
    frame.index = pd.Index(range(1000, 1240))
    net = dv.Network.for_table(frame, device="cpu")
    net.train(frame, epochs=20)
    rows = net.sample(n=30)
    assert list(rows.columns) == list(frame.columns)
    assert (rows.dtypes == frame.dtypes).all()
    made = net.reconstruct(frame)
    assert (made.index == frame.index).all()
    full = net.impute(frame)
    assert (full.index == frame.index).all()
    assert (full.dtypes == frame.dtypes).all()
    assert not full.isna().any().any()
    there = frame.notna()
    assert (full.where(there).astype(object).fillna("-") == frame.astype(object).fillna("-")).all().all()
    assert frame["income"].isna().any()  # the argument is left as it was
    assert list(trained.reconstruct(frame).columns) == list(frame.columns)


@pytest.mark.parametrize("name", ["anomalies", "synthetic_rows", "imputation", "latent_map"])
def test_an_example_runs(name: str) -> None:
    source = ROOT / "examples" / f"{name}.py"
    assert len(source.read_text().splitlines()) <= 32
    done = subprocess.run([sys.executable, source], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    shown = {"anomalies": "one in a hundred", "synthetic_rows": "100 rows with species=Gentoo; the first: Gentoo",
             "imputation": "cells filled", "latent_map": "is around"}  # fmt: skip
    assert shown[name] in done.stdout
    if name == "imputation":
        error, guess = (float(part.split()[-1]) for part in done.stdout.split(" g")[:2])
        assert error < 0.6 * guess


def test_a_file_is_read_with_a_header_or_without_and_only_its_first_rows() -> None:
    write("t.csv", [["x", "y"], ["1", "2"]], header=("a", "b"))
    assert tables.Frame("t.csv").names == ["a", "b"]
    whole = tables.decoded_columns(tables.Frame("t.csv", header=False))
    assert [len(column.values) for column in whole.values()] == [3, 3]
    first = tables.decoded_columns(tables.Frame("t.csv", header=True, rows=1))
    assert [column.objects().tolist() for column in first.values()] == [["x"], ["y"]]
    assert tables.Frame({"a": np.arange(5.0)}, rows=2).rows == 2
    with pytest.raises(errors.UsageError, match="rows=0 must be 1 or more"):
        tables.Frame("t.csv", rows=0)
