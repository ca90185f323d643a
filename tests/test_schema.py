"""The schema of a table's columns: what is learned, how rows are coded, and that they come back."""

from __future__ import annotations

import copy
import json
import pickle
import subprocess
import warnings
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
from helpers import BINARY, real_table
from test_kernels import c_test

import darknet_vae as dv
from darknet_vae._lib import ffi, lib, pointer
from darknet_vae.tables import Column, Frame, Schema

MIXED = ["HMDA", "attrition", "credit_data", "diamonds", "penguins", "wa_churn"]


def learn(table: Any, **options: Any) -> Schema:
    """Without the warnings, which tests of warnings look at themselves."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Schema.learn(table, **options)


def column(table: Any, name: str, **options: Any) -> Column:
    return next(c for c in learn(table, **options).columns if c.name == name)


def words(*values: Any) -> np.ndarray:
    return np.array(values, object)


def table(rows: int = 400, seed: int = 0) -> dict[str, np.ndarray]:
    """A column of every kind."""
    rng = np.random.default_rng(seed)
    job = rng.choice(["clerk", "nurse", "farmer"], rows).astype(object)
    job[5] = None
    price = np.round(rng.lognormal(3, 1, rows), 2)
    price[7] = np.nan
    return {
        "id": np.arange(1, rows + 1),
        "age": rng.integers(18, 90, rows),
        "price": price,
        "job": job,
        "member": rng.choice(["yes", "no"], rows).astype(object),
        "rooms": rng.integers(1, 6, rows),
        "smokes": rng.integers(0, 2, rows),
        "since": np.datetime64("2020-01-01") + rng.integers(0, 2000, rows),
        "name": np.array([f"name {i}" for i in range(rows)], object),
        "country": np.array(["DE"] * rows, object),
        "nothing": np.full(rows, np.nan),
    }


def same(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Cell by cell; missing cells are the same."""
    if a.dtype.kind == "O" or b.dtype.kind == "O":
        return np.array([x == y or (x is None and y is None) for x, y in zip(a.tolist(), b.tolist(), strict=True)])
    if a.dtype.kind == "M":
        return (a == b) | (np.isnat(a) & np.isnat(b))
    return np.asarray((a == b) | ((a != a) & (b != b)))


def steps(values: np.ndarray, at: np.ndarray) -> np.ndarray:
    """How far apart the values below and above are that one row in 400 lies between."""
    sorted_values = np.sort(values[np.isfinite(values)])
    n = len(sorted_values)
    reach = max(1, n // 200)
    place = np.searchsorted(sorted_values, at)
    return sorted_values[np.minimum(place + reach, n - 1)] - sorted_values[np.maximum(place - reach, 0)]


# ---- kinds ----


def test_every_kind_of_column_is_found() -> None:
    schema = learn(table())
    assert {c.name: c.kind for c in schema.columns} == {
        "id": "identifier", "age": "number", "price": "number", "job": "category", "member": "yes_no", "rooms": "category",
        "smokes": "yes_no", "since": "time", "name": "identifier", "country": "constant", "nothing": "constant",
    }  # fmt: skip
    by_name = {c.name: c for c in schema.columns}
    assert (by_name["job"].words, by_name["job"].missing) == (["clerk", "farmer", "nurse"], 1)
    assert by_name["member"].words == ["no", "yes"] and by_name["rooms"].words == ["1", "2", "3", "4", "5"]
    assert by_name["price"].missing == 1 and by_name["price"].decimals == 2 and by_name["nothing"].missing == 400


def test_coded_columns_are_numbers_then_yes_no_then_categories_each_in_the_tables_order() -> None:
    schema = learn(table())
    assert schema.coded == ["age", "price", "since", "member", "smokes", "job", "rooms"]
    x = schema.code(table())
    assert x.shape == (400, 7) and x.dtype == np.float32
    assert set(x[:, 3]) == {0, 1} and set(x[:, 6]) == {0, 1, 2, 3, 4}
    assert np.isnan(x[5, 5]) and np.isnan(x[7, 1]) and np.isnan(x).sum() == 2


def test_few_different_numbers_in_many_rows_are_a_category_and_otherwise_numbers() -> None:
    def kind(different: int, rows: int) -> str:
        return column({"a": np.arange(rows) % different + 5, "b": np.arange(rows) % 2}, "a").kind

    assert [kind(20, 201), kind(20, 200), kind(21, 1000)] == ["category", "number", "number"]
    assert column({"a": np.array([0, 1] * 3)}, "a").kind == "yes_no"
    assert column({"a": np.array([1, 2] * 30)}, "a").kind == "category"
    assert column({"a": np.array([0.5, 1.25] * 30)}, "a").words == ["0.5", "1.25"]


def test_no_comes_before_yes_whatever_the_spelling() -> None:
    for no, yes in [("No", "Yes"), ("FALSE", "TRUE"), ("n", "y"), ("f", "t"), ("off", "on")]:
        for order in ([no, yes], [yes, no]):
            assert column({"a": words(*order * 5)}, "a").words == [no, yes]
    assert column({"a": words("male", "female")}, "a").words == ["female", "male"]
    assert column({"a": words("x", "no")}, "a").words == ["no", "x"]


def test_identifiers_are_named_in_a_warning_and_numbered_when_they_come_back() -> None:
    with pytest.warns(UserWarning) as said:
        schema = Schema.learn(table())
    assert [str(w.message).split(":")[0] for w in said] == [
        "column 'id' is left out as an identifier", "column 'name' is left out as an identifier",
    ]  # fmt: skip
    again = schema.decode(schema.code(table())[:3])
    assert again["id"].tolist() == [1, 2, 3] and again["name"].tolist() == ["id1", "id2", "id3"]


@pytest.mark.parametrize(
    ("name", "values", "identifies"),
    [
        ("n", np.arange(1, 101), True),
        ("n", np.arange(100), True),
        ("n", np.arange(5001, 5101), True),
        ("year", np.arange(1901, 2001), False),
        ("n", np.arange(1, 200, 2), False),
        ("PassengerId", np.random.default_rng(0).permutation(1000)[:100], True),
        ("customer_id", np.random.default_rng(0).permutation(1000)[:100], True),
        ("paid", np.random.default_rng(0).permutation(1000)[:100], False),
        ("id", np.arange(100) % 50, False),
    ],
)
def test_whole_numbers_are_identifiers_when_they_count_rows_or_are_called_so(name: str, values: Any, identifies: bool) -> None:
    other = np.random.default_rng(1).normal(size=len(values))
    assert (column({name: values, "x": other}, name).kind == "identifier") is identifies
    assert column({name: values, "x": other}, name, as_number=[name]).kind == "number"


def test_nearly_different_texts_are_identifiers_and_free_text_too() -> None:
    names = [f"n{i}" for i in range(100)]
    assert column({"a": words(*names)}, "a").kind == "identifier"
    assert column({"a": words(*names[:92], *names[:8])}, "a").kind == "identifier"
    assert column({"a": words(*names[:85], *names[:15])}, "a").kind == "category"
    assert column({"a": words(*names[:9])}, "a").kind == "category"  # too few rows to tell
    kept = column({"a": words(*names)}, "a", as_category="a", max_categories=10)
    assert (kept.kind, kept.classes, kept.other) == ("category", 10, 9)


def test_options_decide_and_their_mistakes_are_errors() -> None:
    options = {"drop": "age", "as_number": ["rooms"], "as_category": ["smokes"], "label_column": "member", "condition": "job"}
    kinds = {c.name: c.kind for c in learn(table(), **options).columns}
    assert [kinds[n] for n in ("age", "rooms", "smokes", "member")] == ["dropped", "number", "category", "label"]
    schema = learn(table(), **options)
    assert [c.name for c in schema.columns if c.condition] == ["job"]
    assert "age" not in schema.decode(schema.code(table())) and "member" not in schema.decode(schema.code(table()))
    assert {c.kind for c in learn(table(), as_number="*").columns if c.type == "number"} == {"number", "constant"}
    assert next(c for c in learn(table(), label_column=-3).columns if c.kind == "label").name == "name"
    quoted = {"a, b": np.arange(30) % 7, 'say "x"': np.arange(30) % 5 + 0.5}
    assert [c.kind for c in learn(quoted, drop=["a, b", 'say "x"']).columns] == ["dropped", "dropped"]
    for bad, message in [
        ({"drop": "agee"}, "drop 'agee': there is no such column among the 11; did you mean 'age'?"),
        ({"label_column": "11"}, "label column '11'"),
        ({"as_number": "job"}, "as_number 'job': the column has texts, such as"),
        ({"coding": "ranks"}, "coding 'ranks': it is quantiles, robust or standard"),
        ({"max_categories": 1}, "max_categories=1"),
        ({"condition": "country"}, "condition 'country': that column is constant"),
    ]:
        with pytest.raises(dv.errors.UsageError, match=message.replace("?", r"\?").replace("(", r"\(")):
            learn(table(), **bad)


def test_degenerate_tables_are_learned_or_refused_in_one_sentence() -> None:
    with pytest.raises(dv.errors.UsageError, match="0 rows and 1 columns"):
        learn({"a": np.zeros(0)})
    with pytest.raises(dv.errors.UsageError, match="0 columns"):
        learn({})
    one = learn({"a": np.array([3.5]), "b": words("x"), "c": words(None)})
    assert [c.kind for c in one.columns] == ["constant"] * 3 and one.coded == []
    assert "nothing to model" in one.warnings[-1]
    again = one.decode(np.zeros((2, 0)))
    assert again["a"].tolist() == [3.5, 3.5] and again["b"].tolist() == ["x", "x"] and again["c"].tolist() == [None, None]
    assert learn(table()).code({k: v[:0] for k, v in table().items()}).shape == (0, 7)
    assert learn(table()).decode(np.zeros((0, 7)))["age"].shape == (0,)
    twice = learn({"a": np.array([1.5, 2.5]), "b": words("u", "v")})
    assert [c.kind for c in twice.columns] == ["number", "yes_no"]


def test_extreme_numbers_stay_finite_in_every_coding() -> None:
    rng = np.random.default_rng(0)
    wild = {
        "huge": rng.uniform(-1, 1, 200) * 1.7e308,
        "tiny": rng.normal(size=200) * 1e-310,
        "wide": np.where(np.arange(200) == 0, 1e300, rng.normal(size=200)),
        "spike": np.where(np.arange(200) < 30, np.arange(200.0), 7.0),
    }
    assert np.isfinite(wild["huge"]).all()
    for coding in ("quantiles", "robust", "standard"):
        schema = learn(wild, coding=coding)
        x = schema.code(wild)
        assert np.isfinite(x).all(), coding
        again = schema.decode(x)
        for name, values in wild.items():
            assert np.isfinite(again[name]).all() and again[name].min() >= values.min() and again[name].max() <= values.max()
        assert Schema.from_json(schema.json) == schema


def test_infinite_values_are_missing_with_a_warning() -> None:
    values = np.arange(50) ** 1.5
    values[3], values[4] = np.inf, -np.inf
    with pytest.warns(UserWarning, match="column 'a': 2 infinite values count as missing"):
        schema = Schema.learn({"a": values})
    with pytest.warns(UserWarning, match="2 infinite"):
        assert np.isnan(schema.code({"a": values})[:, 0]).tolist() == np.isinf(values).tolist()


# ---- numbers ----


def test_a_number_becomes_the_normal_score_of_its_middle_rank() -> None:
    rng = np.random.default_rng(0)
    for values in (rng.permutation(50) * 1.5, rng.integers(0, 30, 90), np.repeat([0.0, 1.25, 7], [50, 30, 12])):
        schema = learn({"a": values}, as_number="*")
        below = (values[:, None] > values).sum(1)
        at = (values[:, None] == values).sum(1)
        expected = [NormalDist().inv_cdf(p) for p in (below + 0.5 * at) / len(values)]
        assert np.abs(schema.code({"a": values})[:, 0] - expected).max() < 1e-6
        assert schema.decode(schema.code({"a": values}))["a"].tolist() == values.tolist()


def test_whole_numbers_that_int64_has_no_room_for_come_back_as_floats_without_the_table() -> None:
    values = np.random.default_rng(0).normal(size=60) * 1e30
    long = np.arange(60, dtype=np.uint64) * np.uint64(7) + np.uint64(2**63)
    given = {"big": values, "long": long, "few": np.tile([1.0, 1e19], 30), "same": np.full(60, -1e20), "small": np.arange(60) * 3}
    schema = learn(given)
    read = Schema.from_json(schema.json)  # as a loaded model has it: nothing says which types the table had
    again = read.decode(read.code(given))
    for name in ("big", "long", "few", "same"):
        assert again[name].dtype == np.float64, name
        np.testing.assert_allclose(again[name], given[name].astype(float), rtol=1e-6, err_msg=name)
    assert again["small"].dtype == np.int64 and again["small"].tolist() == given["small"].tolist()
    assert read.decode(read.code({**given, "few": np.ones(60)}))["few"].dtype == np.float64  # the type is the column's
    assert schema.decode(schema.code(given))["long"].dtype == np.uint64


def test_a_code_is_linear_beyond_the_range_and_a_value_is_not() -> None:
    values = np.random.default_rng(0).normal(size=1000)
    schema = learn({"a": values})
    unit = np.subtract(*np.percentile(values, [75, 25])) / 1.349
    high, low = values.max(), values.min()
    beyond = np.array([high, high + unit, high + 2 * unit, low, low - unit, 1e300, -1e300])
    x = schema.code({"a": beyond})[:, 0]
    assert np.abs(np.diff(x[:3]) - 1).max() < 1e-5 and abs(x[3] - x[4] - 1) < 1e-5 and x[5:].tolist() == [10, -10]
    again = schema.decode(x[:, None])["a"]
    assert again[:3].tolist() == [high] * 3 and again[3:].tolist() == [low, low, high, low]


def test_codes_of_many_different_values_rise_and_come_back() -> None:
    rng = np.random.default_rng(0)
    for values in (rng.lognormal(0, 2, 30_000), np.round(rng.normal(size=30_000), 3) * 1000, rng.standard_cauchy(5000)):
        schema = learn({"a": values})
        spec = json.loads(schema.json)["columns"][0]
        assert 300 < len(spec["values"]) <= 1000
        x = schema.code({"a": values})[:, 0]
        order = np.argsort(values, kind="stable")
        assert (np.diff(x[order]) >= 0).all()
        assert (np.abs(schema.decode(x[:, None])["a"] - values) <= 1e-2 * steps(values, values)).all()


def test_normal_draws_have_the_columns_distribution() -> None:
    """A table of zeros and a continuous part, one with several heavy values, one of integers: as often as in the table."""
    rng = np.random.default_rng(0)
    n = 20_000
    zero = np.where(rng.random(n) < 0.6, 0, np.round(rng.lognormal(5, 1, n), 2))
    heavy = np.where(rng.random(n) < 0.3, rng.choice([-1.0, 40.0, 99.5], n), rng.normal(30, 10, n))
    whole = rng.poisson(20, n)
    schema = learn({"zero": zero, "heavy": heavy, "whole": whole})
    drawn = schema.decode(rng.standard_normal((n, 3)))
    for name, values in (("zero", zero), ("heavy", heavy), ("whole", whole)):
        different, counts = np.unique(values, return_counts=True)
        for value, count in zip(different, counts, strict=True):
            if count > 0.05 * n:
                assert abs((drawn[name] == value).sum() - count) < 5 * np.sqrt(count), (name, value)
        grid = np.quantile(values, np.linspace(0.02, 0.98, 25))
        apart = [abs((drawn[name] <= g).mean() - (values <= g).mean()) for g in grid]
        assert max(apart) < 0.02, name
    assert (drawn["zero"][drawn["zero"] > 0] >= zero[zero > 0].min()).all()  # nothing between 0 and the smallest other value
    assert drawn["whole"].dtype == whole.dtype


def test_numbers_of_one_row_each_are_not_drawn_again_but_around_their_values() -> None:
    rng = np.random.default_rng(0)
    pay, height = rng.permutation(np.arange(20_000, 90_000))[:500], rng.normal(170, 10, 500)
    mixed = np.where(np.arange(500) < 300, 7.0, rng.random(500))
    schema = learn({"pay": pay, "height": height, "mixed": mixed}, as_number="*")
    drawn = schema.decode(rng.standard_normal((4000, 3)))
    assert np.isin(drawn["height"], height).mean() < 0.02 and np.isin(drawn["pay"], pay).mean() < 0.05
    assert drawn["pay"].dtype.kind == "i" and pay.min() <= drawn["pay"].min() and drawn["pay"].max() <= pay.max()
    for name, values in (("pay", pay), ("height", height)):
        grid = np.quantile(values, np.linspace(0.02, 0.98, 25))
        assert max(abs((drawn[name] <= g).mean() - (values <= g).mean()) for g in grid) < 0.03
    assert abs((drawn["mixed"] == 7).mean() - 0.6) < 0.03 and not ((drawn["mixed"] > 1) & (drawn["mixed"] < 7)).any()
    codes = np.linspace(-4, 4, 20_001)
    rising = schema.decode(np.column_stack([codes] * 3))["height"]
    assert (np.diff(rising) >= 0).all() and np.diff(rising).max() < np.diff(np.sort(height)).max()


def test_robust_and_standard_coding_are_what_their_names_say() -> None:
    values = np.random.default_rng(0).lognormal(size=500)
    q1, q2, q3 = np.percentile(values, [25, 50, 75])
    robust, standard = (learn({"a": values}, coding=coding) for coding in ("robust", "standard"))
    assert np.abs(robust.code({"a": values})[:, 0] - np.clip((values - q2) / ((q3 - q1) / 1.349), -10, 10)).max() < 1e-5
    assert np.abs(standard.code({"a": values})[:, 0] - (values - values.mean()) / values.std()).max() < 1e-5
    assert robust.code({"a": np.array([1e30, -1e30])})[:, 0].tolist() == [10, -10]
    for schema in (robust, standard):
        assert schema.coding in ("robust", "standard") and Schema.from_json(schema.json) == schema
        inside = np.abs(schema.code({"a": values})[:, 0]) < 10
        assert np.abs(schema.decode(schema.code({"a": values}))["a"] - values)[inside].max() < 1e-5
    mostly = np.where(np.arange(500) < 400, 5.0, values)
    assert np.isfinite(learn({"a": mostly}, coding="robust").code({"a": mostly})).all()


def test_whole_numbers_written_with_a_point_come_back_whole(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = [
        f"{v}.0,{w:.2f}" if i % 7 else f",{w:.2f}"
        for i, (v, w) in enumerate(zip(rng.permutation(9000), rng.random(9000), strict=True))
    ]
    (tmp_path / "t.csv").write_text("a,b\n" + "\n".join(rows) + "\n")
    schema = learn(tmp_path / "t.csv")
    drawn = schema.decode(rng.standard_normal((500, 2)))
    assert (drawn["a"] == np.round(drawn["a"])).all() and (drawn["b"] == np.round(drawn["b"], 2)).all()


# ---- words ----


def test_rare_words_are_together_other_and_come_back_as_often_as_they_were() -> None:
    rng = np.random.default_rng(0)
    values = words(*[f"w{min(int(rng.exponential(40)), 299):03d}" for _ in range(5000)])
    schema = learn({"a": values, "b": rng.normal(size=5000)}, max_categories=20)
    c = schema.columns[0]
    assert (c.classes, c.other, len(c.words), c.words[-1]) == (20, 19, 20, "other")
    different, counts = np.unique(values.astype(str), return_counts=True)
    kept = set(c.words[:-1])
    assert min(counts[[w in kept for w in different]]) >= max(counts[[w not in kept for w in different]])
    x = schema.code({"a": values, "b": np.zeros(5000)})
    assert (x[:, 1] == 19).mean() == pytest.approx(np.mean([w not in kept for w in values]))
    other = np.column_stack([np.zeros(20_000), np.full(20_000, 19)])
    drawn = schema.decode(other)["a"]
    assert not set(drawn) & kept and drawn.tolist() == schema.decode(other)["a"].tolist()
    rare = {w: n for w, n in zip(different, counts, strict=True) if w not in kept}
    top = max(rare, key=lambda w: rare[w])
    assert abs((drawn == top).mean() - rare[top] / sum(rare.values())) < 0.01


def test_ten_thousand_words_are_coded() -> None:
    rng = np.random.default_rng(0)
    values = words(*[f"zip {i}" for i in rng.integers(0, 10_000, 30_000)])
    schema = learn({"a": values})
    assert schema.columns[0].classes == 100 and schema.columns[0].distinct > 9000
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # none of them is unknown
        assert set(schema.code({"a": values})[:, 0].tolist()) == set(range(100))
    assert set(schema.decode(np.full((3000, 1), 99))["a"]) <= set(values)


def test_words_of_another_spelling_of_yes_and_no_are_understood() -> None:
    schema = learn({"a": np.arange(40) % 2, "b": words(*["False", "True"] * 20)})
    x = schema.code({"a": words("False", "True", "no", "1"), "b": np.array([0, 1, 1, 0])})
    assert x.tolist() == [[0, 0], [1, 1], [0, 1], [1, 0]]


def test_numbers_and_texts_of_digits_are_the_same_words() -> None:
    sizes = words(*["1", "2", "3+"] * 20)
    schema = learn({"a": sizes})
    assert schema.code({"a": np.array([1, 2, 1])})[:, 0].tolist() == [0, 1, 0]
    numbers = learn({"a": np.arange(100) % 5})
    assert numbers.code({"a": words("3", "4.0", "0")})[:, 0].tolist() == [3, 4, 0]


def test_numbers_of_float32_are_the_same_words() -> None:
    schema = learn({"a": np.array([0.1, 0.7, 3.2] * 40)})
    assert schema.code({"a": np.array([0.1, 0.7, 3.2], np.float32).astype(np.float64)})[:, 0].tolist() == [0, 1, 2]
    exported = learn({"a": np.array([0.1, 0.7, 3.2] * 40, np.float32).astype(np.float64)})
    assert exported.code({"a": np.array([0.1, 0.7, 3.2])})[:, 0].tolist() == [0, 1, 2]
    with pytest.warns(UserWarning, match="first '3.2001'"):
        assert np.isnan(schema.code({"a": np.array([3.2001])})).all()


# ---- at use ----


def test_columns_are_found_by_name_in_any_order_and_others_are_ignored() -> None:
    schema = learn(table())
    x = schema.code(table())
    turned = dict(reversed(table().items()))
    assert np.array_equal(schema.code(turned), x, equal_nan=True)
    with pytest.warns(UserWarning, match="column 'more' is not one of the model's and is ignored"):
        assert np.array_equal(schema.code({**turned, "more": np.zeros(400)}), x, equal_nan=True)
    left = {k: v for k, v in table().items() if k not in ("id", "name", "country", "nothing")}
    assert np.array_equal(schema.code(left), x, equal_nan=True)  # what is not coded need not be there


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"age": None}, "the table has no column 'age', which the model was trained with"),
        ({"age": "agee"}, "the table has no column 'age', which the model was trained with: did you mean 'agee'?"),
        ({"age": "years of life"}, "trained with; what it has and the model does not know: 'years of life'"),
        ({"age": words(*["41"] * 399, "old")}, "column 'age', row 400: 'old' is not a number"),
        ({"rooms": words("2", "many", *["3"] * 398)}, "column 'rooms', row 2: 'many' is not a number"),
        ({"since": np.arange(400)}, "column 'since', row 1: it has numbers, where the model's column has dates"),
        ({"since": words(*["then"] * 400)}, "column 'since', row 1: 'then' is not a date"),
        ({"age": np.datetime64("2020-01-01") + np.arange(400)}, "it has dates, where the model's column has numbers"),
    ],
)
def test_a_table_that_does_not_fit_is_one_sentence(change: dict[str, Any], message: str) -> None:
    given: dict[str, Any] = table()
    for name, values in change.items():
        old = given.pop(name)
        if values is not None:
            given |= {values: old} if isinstance(values, str) else {name: values}
    with pytest.raises(dv.errors.FormatError) as failed:
        learn(table()).code(given)
    assert message in str(failed.value)


def test_an_unknown_word_is_other_where_there_is_one_and_missing_elsewhere() -> None:
    rng = np.random.default_rng(0)
    values = words(*rng.choice(list("abcdefgh"), 200))
    for most, code in ((4, 3), (0, np.nan)):
        schema = learn({"a": values}, max_categories=most)
        with pytest.warns(UserWarning) as said:
            x = schema.code({"a": words("a", "zebra", None, "lion")})[:, 0]
        assert np.array_equal(x[[1, 3]], [code, code], equal_nan=True) and np.isnan(x[2])
        assert [str(w.message) for w in said] == [
            "column 'a': 2 rows with values that the model does not know, first 'zebra': taken as "
            + ("'other'" if most else "missing")
        ]


def test_texts_that_are_numbers_and_dates_are_read_as_such() -> None:
    schema = learn(table())
    given = {**table(), "age": words(*map(str, table()["age"])), "since": words(*map(str, table()["since"]))}
    assert np.array_equal(schema.code(given), schema.code(table()), equal_nan=True)


@pytest.mark.parametrize("texts", [("2020-02-01", "2020-03-01 10:30"), ("2020-02-01", "never")])
def test_words_of_a_category_are_known_in_a_table_where_all_of_them_are_dates(texts: tuple[str, str], tmp_path: Path) -> None:
    (tmp_path / "one.csv").write_text(f"a,b\n{texts[0]},1\n2020-02-09,2\n,3\n")
    schema = learn({"a": words(*texts * 50), "b": np.arange(100) * 1.5})
    with pytest.warns(UserWarning, match="column 'a': 1 row with values that the model does not know, first '2020-02-09'"):
        x = schema.code(tmp_path / "one.csv")
    assert np.array_equal(x[:, schema.coded.index("a")], [0, np.nan, np.nan], equal_nan=True)


@pytest.mark.parametrize(
    ("form", "texts"),
    [
        ("%Y-%m-%d", ("2019-12-31", "1969-02-03")),
        ("%Y-%m-%d %H:%M", ("2020-01-01 23:59", "1969-02-03 00:00")),
        ("%Y-%m-%dT%H:%M:%S", ("2020-01-01T23:59:58", "2031-02-03T00:00:00")),
    ],
)
def test_texts_of_dates_are_times_and_come_back_as_texts(form: str, texts: tuple[str, str], tmp_path: Path) -> None:
    pd = pytest.importorskip("pandas")
    when = pd.date_range("2001-05-06", periods=60, freq="37D").strftime(form).tolist()
    frame = pd.DataFrame({"when": [*when, None, *texts], "n": np.arange(63) * 0.5})
    frame.to_csv(tmp_path / "t.csv", index=False)
    schema = learn(frame)
    assert schema.columns[0].kind == "time" and schema.code(tmp_path / "t.csv").tobytes() == schema.code(frame).tobytes()
    pd.testing.assert_frame_equal(schema.decode(schema.code(frame)), frame)
    columns = schema.decode(schema.code(frame), like={name: frame[name].to_numpy(object) for name in frame})
    assert columns["when"].tolist() == [*when, None, *texts]
    net = dv.Network.for_table(frame)
    schema.give(net)
    arrays = {"when": words(*when, None, *texts), "n": frame["n"].to_numpy()}
    for filled in (net.impute(frame)["when"].tolist(), net.impute(arrays)["when"]):
        assert [*filled[:60], *filled[61:]] == [*when, *texts] and len(filled[60]) == len(when[0])
    polars = pytest.importorskip("polars")
    assert learn(polars.DataFrame({"when": [*when, None]})).columns[0].kind == "time"


@pytest.mark.parametrize("odd", ["2020-02-30", "2020-1-1", "soon", "2020-01-01 10:00", "2020-01-01Z"])
def test_texts_of_which_one_is_no_date_like_the_others_are_words(odd: str) -> None:
    assert learn({"a": words(*["2020-01-01", "2020-01-02", odd] * 20)}).columns[0].kind == "category"


def test_one_cell_has_the_code_of_its_column() -> None:
    schema = learn(table(), max_categories=3)
    x = schema.code(table())
    for row in range(10):
        for name in schema.coded:
            value = table()[name][row]
            if value is not None and value == value:
                assert schema.cell(name, value) == x[row, schema.coded.index(name)], name
    assert np.isnan(schema.cell("job", None))
    with pytest.raises(dv.errors.UsageError, match=r"column 'job' has no 'nurze': did you mean 'nurse'\?"):
        schema.cell("job", "nurze")
    with pytest.raises(dv.errors.UsageError, match="'old' is not a number"):
        schema.cell("age", "old")
    with pytest.raises(dv.errors.UsageError, match="column 'country' is constant"):
        schema.cell("country", "DE")


def test_probabilities_and_codes_between_come_back_as_the_nearest() -> None:
    schema = learn(table())
    x = schema.code(table())[:4]
    x[:, 3] = [0.49, 0.51, -3, 7]
    x[:, 6] = [1.4, 1.6, -5, 99]
    again = schema.decode(x)
    assert again["member"].tolist() == ["no", "yes", "no", "yes"] and again["rooms"].tolist() == [2, 3, 1, 5]
    x[:] = np.nan
    again = schema.decode(x)
    assert again["job"].tolist() == [None] * 4 and np.isnan(again["age"]).all() and np.isnat(again["since"]).all()


# ---- whole tables ----


@pytest.mark.parametrize("name", MIXED)
def test_real_tables_come_back(name: str) -> None:
    schema = learn(real_table(name))
    frame = Frame(real_table(name))
    x = schema.code(frame)
    assert x.shape == (frame.rows, len(schema.coded)) and len(schema.coded) == len(frame.names)
    again = schema.decode(x)
    assert list(again) == frame.names
    original = exact(frame)
    for c in schema.columns:
        if c.kind in ("number", "time"):
            values = original[c.name].astype(float)
            got = again[c.name].astype(float)
            assert (np.isnan(values) == np.isnan(got)).all()
            there = ~np.isnan(values)
            assert (np.abs(values - got)[there] <= steps(values, values[there])).all(), c.name
            assert np.mean(values[there] == got[there]) > 0.99 or c.decimals > 6, c.name
        else:
            assert same(original[c.name], again[c.name]).all(), c.name
    read = Schema.from_json(schema.json)
    assert read == schema and np.array_equal(read.code(frame), x, equal_nan=True)
    assert all(same(read.decode(x)[key], again[key]).all() for key in again)


def exact(frame: Frame) -> dict[str, np.ndarray]:
    """The frame's cells, without a schema in between."""
    from darknet_vae.tables import _as_numpy, _take

    return {c.name: _as_numpy(c, None) for c in _take(frame.handle)}


def test_the_penguins_are_what_they_are() -> None:
    schema = learn(real_table("penguins"))
    assert {c.name: c.kind for c in schema.columns} == {
        "species": "category", "island": "category", "bill_length_mm": "number", "bill_depth_mm": "number",
        "flipper_length_mm": "number", "body_mass_g": "number", "sex": "yes_no", "year": "category",
    }  # fmt: skip
    assert [c.missing for c in schema.columns] == [0, 0, 2, 2, 2, 2, 11, 0]


# ---- JSON ----


def test_a_schema_survives_json_pickle_and_copy() -> None:
    for options in ({}, {"coding": "robust", "max_categories": 2, "label_column": "job", "condition": ["member"], "drop": "age"}):
        schema = learn(table(), **options)
        x = schema.code(table())
        for other in (Schema.from_json(schema.json), pickle.loads(pickle.dumps(schema)), copy.deepcopy(schema)):
            assert other == schema and repr(other.columns) == repr(schema.columns)
            assert np.array_equal(other.code(table()), x, equal_nan=True)
            a, b = other.decode(x), schema.decode(x)
            assert all(same(a[key], b[key]).all() for key in b) and list(a) == list(b)
    strange = {'quote " and \\': np.arange(30) % 4 + 0.5, "é\n\t日本": words(*["a\x7f", "b\u2028", "c "] * 10)}
    schema = learn(strange, as_category='"quote "" and \\"')
    assert Schema.from_json(schema.json) == schema and [c.name for c in schema.columns] == list(strange)


def damaged() -> list[tuple[str, Any]]:
    """Changes of a schema's JSON, each of which makes it wrong."""

    def col(which: str, /, **members: Any) -> Any:
        def change(spec: dict[str, Any]) -> None:
            target = next(c for c in spec["columns"] if c["name"] == which)
            for key, value in members.items():
                if value is ...:
                    del target[key]
                else:
                    target[key] = value(target[key]) if callable(value) else value

        return change

    def top(**members: Any) -> Any:
        return lambda spec: spec.update(members)

    return [
        ("format", top(format=2)), ("whole", top(rows=-1)), ("2\\^53", top(rows=2**60)), ("coding", top(coding="x")),
        ("separator", top(separator="ab")), ("no columns", top(columns=[])), ("array", top(columns={})),
        ("kind", col("age", kind="x")), ("kind and type", col("age", type="text")),
        ("kind and type", col("since", type="number")),
        ("no number", col("job", type="time")), ("yes_no", col("job", kind="yes_no")), ("no name", col("age", name=...)),
        ("values", col("age", values=...)), ("two values", col("age", values=[], below=[], at=[])),
        ("ascending", col("age", values=lambda v: v[::-1])), ("finite", col("age", values=lambda v: [None, *v[1:]])),
        ("ascending", col("age", values=lambda v: [v[1], *v[1:]])), ("no row", col("age", at=lambda v: [0, *v[1:]])),
        ("add up", col("age", below=lambda v: [0, 2**52, *v[2:]])), ("add up", col("age", below=lambda v: [v[1], *v[1:]])),
        ("not as many", col("age", at=lambda v: v[1:])), ("whole", col("age", at=lambda v: [-1, *v[1:]])),
        ("2\\^53", col("age", at=lambda v: [2**53 + 1, *v[1:]])), ("2\\^53", col("age", at=lambda v: [*v[:-1], 2**53])),
        ("low and high", col("age", low=0)), ("low and high", col("age", high=1e9)), ("statistic", col("age", mean=None)),
        ("statistics", col("age", spread=-1)), ("statistics", col("age", deviation=-1)), ("statistics", col("age", median=1e9)),
        ("decimals", col("age", decimals=99)), ("decimals", col("age", decimals=0.5)), ("form", col("age", form=-1)),
        ("places", col("price", places=1000)), ("counts", col("job", counts=[1])),
        ("word twice", col("job", words=["a", "a", "b"])),
        ("string", col("job", words=["a", 1, "b"])), ("zero", col("job", words=["a", "b\0", "c"])),
        ("two codes", col("job", words=["a"], counts=[1])), ("two codes", col("job", words=..., counts=...)),
        ("ascending", col("rooms", words=lambda w: w[::-1])), ("number", col("rooms", words=lambda w: ["x", *w[1:]])),
        ("number", col("rooms", words=lambda w: ["9" * 70, *w[1:]])),
        ("several words", col("country", words=["a", "b"], counts=[1, 1])),
        ("count of 0", col("job", rare=["r"], rare_counts=[0])),
        ("2\\^53", col("job", rare=["r", "s"], rare_counts=[2**53, 2**53])),
        ("more than", col("age", values=list(range(1001)))), ("more than", col("job", rare=[str(i) for i in range(10_001)])),
    ]  # fmt: skip


def gappy(rows: int = 300) -> dict[str, np.ndarray]:
    """b is missing where a is least, d where b is."""
    rng = np.random.default_rng(3)
    a = rng.integers(0, 40, rows).astype(float)
    b = np.where(a == 0, np.nan, a + rng.normal(size=rows))
    return {"a": a, "b": b, "c": words(*rng.choice(list("xyz"), rows)), "d": np.where(np.isnan(b), np.nan, rng.normal(size=rows))}


def test_what_gaps_depend_on_is_learned_and_saved() -> None:
    by_name = {c["name"]: c for c in json.loads(learn(gappy(3000)).json)["columns"]}
    assert "gaps_by" not in by_name["a"] and "gaps_by" not in by_name["c"]
    assert by_name["b"]["gaps_by"] == "a" and "gaps_given" not in by_name["b"]
    assert by_name["b"]["gaps_rows"][1] == by_name["b"]["gaps_missing"][1] == sum(by_name["b"]["gaps_missing"]) > 0
    assert by_name["d"]["gaps_by"] == "b" and by_name["d"]["gaps_given"] is True
    assert by_name["d"]["gaps_missing"][1] == 0 < by_name["d"]["gaps_missing"][0] == by_name["d"]["gaps_rows"][0]
    rng = np.random.default_rng(1)
    free = {"a": rng.normal(size=900), "b": np.where(rng.random(900) < 0.2, np.nan, rng.normal(size=900))}
    assert "gaps_by" not in learn(free).json


@pytest.mark.parametrize(
    "change",
    [{"gaps_by": "z"}, {"gaps_by": "d"}, {"gaps_by": "b"}, {"gaps_by": "c"}, {"gaps_given": True}, {"gaps_rows": [1, 2]},
     {"gaps_rows": [0] * 19}, {"gaps_rows": [], "gaps_missing": []}, {"gaps_missing": [2**60] * 19}],
)  # fmt: skip
def test_gaps_that_do_not_fit_the_columns_are_refused(change: dict[str, Any]) -> None:
    spec = json.loads(learn(gappy()).json)
    target = next(c for c in spec["columns"] if c["name"] == "b")
    assert target["gaps_by"] == "a" and len(target["gaps_rows"]) == 19
    target.update(change)
    with pytest.raises(dv.errors.FormatError, match=r"gaps|2\^53"):
        Schema.from_json(json.dumps(spec))


@pytest.mark.parametrize("index", range(len(damaged())))
def test_a_damaged_schema_is_refused_in_one_sentence(index: int) -> None:
    message, change = damaged()[index]
    spec = json.loads(learn(table()).json)
    change(spec)
    with pytest.raises(dv.errors.FormatError, match=message):
        Schema.from_json(json.dumps(spec))


def test_a_schema_that_is_cut_or_changed_anywhere_never_crashes() -> None:
    """Whatever is accepted can be used."""
    text = learn({**{k: v[:60] for k, v in table().items()}, **gappy(60)}, max_categories=3).json
    assert '"gaps_by"' in text
    rng = np.random.default_rng(0)
    candidates = [text[:at] for at in range(0, len(text), 37)]
    for _ in range(600):
        at = int(rng.integers(len(text)))
        candidates.append(text[:at] + str(rng.choice(list('09-"[]{},:ex .'))) + text[at + 1 :])
    accepted = 0
    for candidate in candidates:
        try:
            schema = Schema.from_json(candidate)
        except dv.errors.FormatError:
            continue
        accepted += 1
        n = len(schema.coded)
        schema.decode(rng.normal(size=(4, n)) * 50)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                schema.code({**table(), **gappy(400)})
        except dv.errors.FormatError:
            pass
        assert str(schema) and Schema.from_json(schema.json) == schema
    assert accepted > 20


def test_schemas_that_were_changed_at_random_do_no_harm(tmp_path: Path) -> None:
    rows = {**{k: v[:40] for k, v in table().items()}, **gappy(40)}
    text = learn(rows, max_categories=2, condition="job", as_category="rooms").json
    (tmp_path / "seed").write_bytes(bytes(8) + text.encode())
    done = subprocess.run([str(c_test("fuzz_schema")), "20000", str(tmp_path / "seed")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


def test_memory_that_runs_out_anywhere_is_an_error_and_nothing_else() -> None:
    given = Frame({k: v[:60] for k, v in table().items()})
    schema = learn(given, max_categories=3)
    text = schema.json.encode()
    x = schema.code(given)
    calls = [
        lambda: lib.dn_schema_learn(ffi.new("dn_schema **"), given.handle, ffi.new("dn_schema_options *", {"max_categories": 3})),
        lambda: lib.dn_schema_parse(ffi.new("dn_schema **"), text, len(text), ffi.NULL),
        lambda: lib.dn_schema_code(schema._handle, given.handle, pointer(x), ffi.new("char **")),
        lambda: lib.dn_schema_decode(schema._handle, pointer(x), len(x), ffi.new("dn_frame *")),
    ]
    for call in calls:
        failed = 0
        for n in range(1, 10_000):
            lib.dn_sys_fail_at(n)
            status = call()
            if lib.dn_sys_fail_at(0) < n:  # it did without an n-th
                assert status == lib.DN_OK
                break
            assert status == lib.DN_E_MEMORY
            failed += 1
        assert failed >= 1


# ---- networks and model files ----

PLAIN = """
[net]
inputs=7
batch=16
learning_rate=0.01

[connected]
output=3
activation=tanh

[connected]
output=7
activation=linear

[cost]
type=sse
"""


def test_a_network_keeps_its_schema_in_files_copies_and_checkpoints(tmp_path: Path) -> None:
    schema = learn(table())
    net = dv.Network(cfg_text=PLAIN)
    assert Schema.of(net) is None
    schema.give(net)
    assert Schema.of(net) == schema
    net.save(tmp_path / "m.safetensors")
    assert Schema.load(tmp_path / "m.safetensors") == schema
    assert Schema.of(dv.Network.load(tmp_path / "m.safetensors")) == schema
    assert Schema.of(pickle.loads(pickle.dumps(net))) == schema
    assert Schema.of(copy.deepcopy(net)) == schema
    X = np.nan_to_num(schema.code(table()))
    net.train(X, epochs=1, checkpoint=tmp_path / "c.safetensors")
    assert Schema.load(tmp_path / "c.safetensors") == schema
    dv.Network(cfg_text=PLAIN).save(tmp_path / "plain.safetensors")
    assert Schema.load(tmp_path / "plain.safetensors") is None
    net.save(tmp_path / "w.weights")
    with pytest.raises(dv.errors.FormatError, match=r"w\.weights: it looks like a Darknet weights file, not like a model file"):
        Schema.load(tmp_path / "w.weights")


def test_a_schema_of_another_width_is_refused(tmp_path: Path) -> None:
    net = dv.Network(cfg_text=PLAIN)
    with pytest.raises(dv.errors.UsageError, match="5 coded columns, the network 7 inputs"):
        learn({k: v for k, v in table().items() if k not in ("age", "job")}).give(net)
    assert Schema.of(net) is None
    columns = PLAIN.replace("[connected]", "[columns]\nnames={}\nkinds={}\n[connected]", 1)
    names, kinds = "age,price,since,member,smokes,job,rooms", "number,number,number,yes_no,yes_no,category:3,category:5"
    fitting = dv.Network(cfg_text=columns.format(names, kinds))
    learn(table()).give(fitting)
    assert Schema.of(fitting) == learn(table())
    for wrong, message in [
        ((names.replace("price", "prize"), kinds), "coded column 1 of the table is 'price', of \\[columns\\] 'prize'"),
        ((names, kinds.replace(":3", ":4")), "column 'job' of the table is a category:3, of \\[columns\\] a category:4"),
        ((names, kinds.replace("yes_no,c", "number,c")), "column 'smokes' of the table is a yes_no, of \\[columns\\] a number"),
    ]:
        with pytest.raises(dv.errors.UsageError, match=message):
            learn(table()).give(dv.Network(cfg_text=columns.format(*wrong)))


# ---- data frames ----


def test_a_data_frame_comes_back_with_its_types() -> None:
    pd = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    n = 300
    given = pd.DataFrame(
        {
            "int8": rng.integers(0, 100, n).astype(np.int8),
            "Int64": pd.array(rng.integers(0, 1000, n), dtype="Int64"),
            "float32": rng.normal(size=n).astype(np.float32).round(2),
            "Float64": pd.array(rng.normal(size=n), dtype="Float64"),
            "bool": rng.random(n) < 0.3,
            "boolean": pd.array(rng.random(n) < 0.5, dtype="boolean"),
            "category": pd.Categorical(rng.choice(list("abc"), n), categories=list("cabz"), ordered=True),
            "numbers as category": pd.Categorical(rng.choice([1, 2, 3], n)),
            "string": pd.array(rng.choice(["p", "q", "r"], n), dtype="string"),
            "object": pd.Series(rng.choice(["x y", "é", "日本"], n), dtype=object),
            "truth objects": pd.Series([bool(b) for b in rng.random(n) < 0.5], dtype=object),
            "date": pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 900, n), "D"),
            "instant": pd.Timestamp("2020-01-01", tz="Europe/Berlin") + pd.to_timedelta(rng.integers(0, 10**7, n), "s"),
            "duration": pd.to_timedelta(rng.integers(0, 10**5, n), "s"),
            "month": pd.period_range("1990-01", periods=n, freq="M"),
            "id": np.arange(n),
            5: rng.normal(size=n),
        }
    )
    given.loc[3, ["Int64", "boolean", "category", "string", "object", "date", "instant", "duration"]] = None
    schema = learn(given)
    for other in (schema, pickle.loads(pickle.dumps(schema))):
        again = other.decode(other.code(given))
        pd.testing.assert_frame_equal(again, given.assign(id=np.arange(1, n + 1)), check_exact=False)
    assert list(again["category"].cat.categories) == list("cabz") and again["category"].cat.ordered
    bare = Schema.from_json(schema.json)
    assert isinstance(bare.decode(bare.code(given)), dict)
    pd.testing.assert_frame_equal(bare.decode(bare.code(given), like=given), again)


def test_polars_pyarrow_pandas_and_arrays_are_the_same_table() -> None:
    pd = pytest.importorskip("pandas")
    given = pd.DataFrame({k: v for k, v in table().items() if k != "nothing"})
    given["flag"] = given["age"] > 40
    given.loc[9, "since"] = None
    x = learn(given).code(given)
    tables: list[Any] = [{name: given[name].to_numpy() for name in given}, given.convert_dtypes()]
    try:
        import pyarrow as pa

        arrow = pa.Table.from_pandas(given)
        encoded = arrow.set_column(3, "job", arrow.column("job").dictionary_encode())
        tables += [arrow, arrow.slice(0).to_batches()[0], encoded, pa.concat_tables([arrow.slice(0, 150), arrow.slice(150)])]
        tables += [given.astype({"price": pd.ArrowDtype(pa.float64()), "job": pd.ArrowDtype(pa.string())})]
    except ImportError:
        pass
    try:
        import polars as pl

        cells = {name: [None if v is None or v != v else v for v in given[name].astype(object)] for name in given}
        frame = pl.DataFrame(cells, strict=False)
        tables += [
            frame,
            frame.with_columns(pl.col("job").cast(pl.Categorical)),
            pl.concat([frame[:33], frame[33:]], rechunk=False),
        ]
    except ImportError:
        pass
    for other in tables:
        schema = learn(other)
        assert [(c.name, c.kind, c.words) for c in schema.columns] == [(c.name, c.kind, c.words) for c in learn(given).columns]
        assert np.array_equal(schema.code(other), x, equal_nan=True), type(other)
        assert np.array_equal(learn(given).code(other), x, equal_nan=True), type(other)
    flags = [learn(other).decode(learn(other).code(other))["flag"] for other in tables]
    assert all(np.asarray(flag, bool).tolist() == given["flag"].tolist() for flag in flags)
    assert all(np.asarray(flag).dtype == bool for flag in flags)
    part = tables[2].slice(100, 50) if len(tables) > 2 else tables[0]
    if part is not tables[0]:
        assert np.array_equal(learn(given).code(part), x[100:150], equal_nan=True)


def test_arrows_other_types_are_read(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    n = 40
    from datetime import date, datetime, time, timedelta
    from decimal import Decimal

    given = pa.table(
        {
            "date": pa.array([date(2020, 1, 1) + timedelta(days=i * i) for i in range(n)]),
            "instant": pa.array(
                [datetime(2024, 7, 1, 12) + timedelta(hours=i * 31) for i in range(n)], pa.timestamp("ms", tz="Europe/Berlin")
            ),
            "time": pa.array([time(i % 24, i) for i in range(n)]),
            "duration": pa.array([timedelta(seconds=i * i) for i in range(n)]),
            "decimal": pa.array([None, *(Decimal(i * i - 300) / 100 for i in range(1, n))], pa.decimal128(12, 2)),
            "large": pa.array([f"a long text in large strings {i % 5}" for i in range(n)], pa.large_string()),
            "view": pa.array([f"a long text in string views {i % 5}" if i % 3 else "short" for i in range(n)], pa.string_view()),
            "none": pa.nulls(n),
            "half": pa.array(np.arange(n).astype(np.float16) * 0.5),
        }
    )
    schema = learn(given)
    kinds = {c.name: (c.type, c.kind) for c in schema.columns}
    assert kinds["date"] == kinds["instant"] == ("time", "time") and kinds["decimal"] == ("number", "number")
    assert kinds["large"] == kinds["view"] == ("text", "category") and kinds["none"] == ("number", "constant")
    again = schema.decode(schema.code(given))
    assert again["date"].astype("M8[D]").tolist() == given["date"].to_pylist()
    # pyarrow reads the naive times as UTC; a clock in Berlin shows two hours more in July
    assert again["instant"][0] == np.datetime64("2024-07-01T14:00:00")
    assert again["decimal"][1:].tolist() == [(i * i - 300) / 100 for i in range(1, n)] and np.isnan(again["decimal"][0])
    assert again["large"].tolist() == given["large"].to_pylist() and again["view"].tolist() == given["view"].to_pylist()
    with pytest.raises(dv.errors.UsageError, match="column 'l' is of Arrow's type"):
        learn(pa.table({"l": pa.array([[1], [2]])}))
    import pyarrow.feather
    import pyarrow.parquet

    pyarrow.parquet.write_table(given.drop_columns(["half"]), tmp_path / "t.parquet")
    pyarrow.feather.write_feather(given.drop_columns(["half"]), tmp_path / "t.feather")
    for name in ("t.parquet", "t.feather"):
        assert [c.name for c in learn(tmp_path / name).columns] == [n for n in given.column_names if n != "half"]


def test_what_is_no_table_is_refused_in_one_sentence() -> None:
    for bad, message in [
        (3, "a int is no table"),
        (None, "a NoneType is no table"),
        ({"a": np.zeros((2, 2))}, r"column 'a' has shape \(2, 2\)"),
        ({"a": np.zeros(2), "b": np.zeros(3)}, "different lengths: a 2, b 3"),
        ({"a": np.zeros(2, complex)}, "complex"),
        ({"a": words([1], [2, 3])}, "a list in a cell"),
        ({"a": words("x\0y", "z")}, "zero character"),
    ]:
        with pytest.raises(dv.errors.UsageError, match=message):
            learn(bad)
    with pytest.raises(FileNotFoundError):
        learn("nowhere.csv")
    with pytest.raises(FileNotFoundError):
        learn("nowhere.parquet")


def test_no_data_frame_library_is_imported_for_arrays_and_files(tmp_path: Path) -> None:
    import sys

    (tmp_path / "t.csv").write_text("a,b\n1,x\n2,y\n3,x\n")
    code = (
        "import sys, numpy as np\nfrom darknet_vae.tables import Schema\n"
        "s = Schema.learn({'a': np.arange(30) * 1.5})\ns.decode(s.code({'a': np.zeros(3)}))\n"
        "t = Schema.learn('t.csv')\nt.decode(t.code('t.csv'))\n"
        "assert not {'pandas', 'polars', 'pyarrow'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)


# ---- the binary ----


def darknet(*args: str, cwd: Path, status: int = 0) -> subprocess.CompletedProcess[str]:
    assert BINARY
    done = subprocess.run([BINARY, *args], capture_output=True, text=True, cwd=cwd, timeout=60)
    assert done.returncode == status, done.stderr
    return done


def write(path: Path, rows: int = 60) -> None:
    rng = np.random.default_rng(0)
    lines = ["id,a very long name of a column with words,größe,job,member,日本"]
    for i in range(rows):
        job = rng.choice(["x" * 50, "clerk", ""])
        row = [i, f"{rng.normal():.3f}", rng.integers(100, 200), job, "yes" if i % 3 else "no", f"2024-01-{i % 28 + 1:02d}"]
        lines.append(",".join(map(str, row)))
    path.write_text("\n".join(lines) + "\n")


def width(line: str) -> int:
    return sum(2 if c in "日本" else 1 for c in line)


def test_the_verb_columns_prints_at_most_80_columns_and_json(tmp_path: Path) -> None:
    write(tmp_path / "t.csv")
    done = darknet("columns", "t.csv", cwd=tmp_path)
    lines = done.stdout.splitlines()
    assert lines[0] == "60 rows, 6 columns, 5 of them coded" and len(lines) == 8
    assert max(map(width, lines)) <= 80, done.stdout
    assert lines[1].split() == ["column", "kind", "missing", "coding", "values"]
    assert "identifier" in lines[2] and "left out" in done.stderr and "column 'id'" in done.stderr
    member = next(line for line in lines if line.startswith("member"))
    assert member.split(None, 4) == ["member", "yes_no", "0", "0,", "1       no 20, yes 40"]
    assert "2024-01-01 to 2024-01-28" in lines[-1]
    schema = Schema.from_json(darknet("columns", "t.csv", "-json", cwd=tmp_path).stdout)
    assert schema == learn(tmp_path / "t.csv") and str(schema) == done.stdout
    chosen = darknet("columns", "t.csv", "-label-column", "job", "-drop", "id", "-condition", "member", cwd=tmp_path).stdout
    assert [line.split("  ")[-1] for line in chosen.splitlines() if " dropped " in line] == ["left out as asked"]
    assert " label " in chosen and " condition " in chosen


def test_the_verb_columns_shows_a_models_schema(tmp_path: Path) -> None:
    schema = learn(table())
    net = dv.Network(cfg_text=PLAIN)
    net.save(tmp_path / "plain.safetensors")
    schema.give(net)
    net.save(tmp_path / "m.safetensors")
    assert darknet("columns", "m.safetensors", cwd=tmp_path).stdout == str(schema)
    assert darknet("columns", "m.safetensors", "-json", cwd=tmp_path).stdout == schema.json
    assert "m.safetensors is a model" in darknet("columns", "m.safetensors", "-drop", "a", cwd=tmp_path, status=2).stderr
    assert "without a schema of columns" in darknet("columns", "plain.safetensors", cwd=tmp_path, status=3).stderr
    assert "nowhere.csv" in darknet("columns", "nowhere.csv", cwd=tmp_path, status=4).stderr
