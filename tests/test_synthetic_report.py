"""Synthetic rows beside real ones: numbers computed by hand, reading, errors, the text and the verb."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from helpers import program, run

import darknet_vae as dv
from darknet_vae.synthetic_report import SyntheticReport, ks_complement, report_synthetic, tv_complement

N = 40


def table(n: int = N, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    return {"x": x, "y": x + 0.1 * rng.normal(size=n), "word": np.where(x > 0, "up", "down")}


def package(*words: object) -> subprocess.CompletedProcess[str]:
    return run([*program("python"), *map(str, words)])


def own(*args: object, **options: object) -> SyntheticReport:
    return report_synthetic(*args, sdmetrics=False, **options)  # type: ignore[arg-type]


def csv(path: Path, columns: dict[str, np.ndarray]) -> Path:
    lines = [",".join(columns), *(",".join(map(str, row)) for row in zip(*columns.values(), strict=True))]
    path.write_text("\n".join(lines) + "\n")
    return path


def test_distances_of_distributions_as_computed_by_hand() -> None:
    # F_a steps to 1/4, 2/4, 3/4, 1 at 1, 2, 3, 4 and F_b to 1/2, 1 at 3, 5: at 2 they are 2/4 apart, nowhere more
    assert ks_complement(np.array([1.0, 2, 3, 4]), np.array([3.0, 5])) == pytest.approx(0.5)
    # frequencies 2/4, 1/4, 1/4, 0 and 0, 1/2, 0, 1/2: half of 1/2 + 1/4 + 1/4 + 1/2
    assert tv_complement(np.array(list("aabc")), np.array(list("bd"))) == pytest.approx(1 - 0.75)


def test_equal_tables_are_alike_in_everything_and_all_copies() -> None:
    report = own(table(), table())
    assert report.column_shapes == report.pair_trends == 1
    assert set(report.shapes) == {"x", "y", "word"} and len(report.trends) == 3
    assert report.privacy.synthetic.copies == 1 and report.privacy.synthetic.median == 0
    assert report.privacy.reference.copies < 1


def test_a_pair_of_numbers_is_compared_by_its_correlation() -> None:
    real = table()
    mirrored = {**real, "y": -real["y"]}
    r = np.corrcoef(real["x"], real["y"])[0, 1]
    assert own(real, mirrored).trends["x", "y"] == pytest.approx(1 - abs(r + r) / 2)


def test_a_pair_with_a_text_is_compared_by_its_contingency_table() -> None:
    # real: all ten bins of 0..99 have ten rows, the first five of them "low": 0.1 each. Synthetic: one in ten rows has moved to
    # the other word: the tables differ by 0.1 * 0.1 in each of the 20 cells that are not zero in either.
    x = np.arange(100.0)
    word = np.where(x < 50, "low", "high")
    moved = np.where(x % 10 == 0, np.where(x < 50, "high", "low"), word)
    report = own({"x": x / 4, "word": word}, {"x": x / 4, "word": moved})
    assert report.trends["x", "word"] == pytest.approx(1 - 0.5 * 20 * 0.01)
    assert report.shapes["word"] == pytest.approx(1)


def test_distances_to_the_closest_row_are_gowers() -> None:
    # The range of x is 10. The synthetic row (3, b) is at (1/10 + 0)/2 from (2, b), further from (0, a) and (10, b); of the
    # held-out rows (0, a) is a copy, (4, b) at (2/10 + 0)/2 from (2, b).
    real = {"x": np.array([0.0, 2, 10, 0.5] * 6), "word": np.array(["a", "b", "b", "a"] * 6)}
    synthetic = {"x": np.array([3.0]), "word": np.array(["b"])}
    held = {"x": np.array([0.0, 4.0]), "word": np.array(["a", "b"])}
    report = own(real, synthetic, held)
    closest = report.privacy
    assert closest.synthetic.median == pytest.approx(0.05) and closest.synthetic.copies == 0
    assert closest.whose == "held-out" and closest.reference.copies == 0.5
    assert closest.reference.median == pytest.approx((0 + 0.1) / 2)


def test_copies_are_nearer_to_real_rows_than_to_held_out_ones_and_new_rows_are_not() -> None:
    real, held, new = table(400, 1), table(400, 2), table(400, 3)
    assert own(real, real, held).privacy.nearer == 1
    nearer = own(real, new, held).privacy.nearer
    assert nearer is not None and 0.4 < nearer < 0.6


def test_missing_cells_are_left_out_and_counted() -> None:
    real = table()
    gaps = {name: values.astype(object) for name, values in real.items()}
    gaps["x"][:10] = None
    gaps["word"][:4] = None
    report = own(real, gaps)
    assert report.missing["x"] == (0, 0.25) and report.missing["y"] == (0, 0)
    assert report.missing["word"] == pytest.approx((0, 0.1))
    known = real["x"][10:]
    assert report.shapes["x"] == pytest.approx(ks_complement(real["x"], known))


def test_identifiers_and_constants_are_left_out_and_named() -> None:
    more = {"id": np.arange(1, N + 1), "same": np.full(N, 3.5)}
    report = own({**more, **table()}, table(30, 1))
    assert list(report.shapes) == ["x", "y", "word"]
    assert "id (identifier)" in str(report) and "same (constant)" in str(report)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": None}, "the synthetic rows have no column 'x'"),
        (
            {"x": np.full(N, "many")},
            "column 'x' has numbers or dates in the real rows, and texts in the synthetic rows, such as 'many'",
        ),
    ],
)
def test_what_does_not_fit_is_one_clear_error(change: dict[str, np.ndarray | None], message: str) -> None:
    synthetic = {name: values for name, values in {**table(), **change}.items() if values is not None}
    with pytest.raises(dv.errors.FormatError, match=message):
        own(table(), synthetic)
    with pytest.raises(dv.errors.UsageError, match="target 'z' is no column of the real rows: x, y, word"):
        own(table(), table(), target="z")


def test_words_that_look_like_numbers_are_the_same_words() -> None:
    word = np.array(["1", "2", "x", "1"] * 10)
    assert own({"word": word}, {"word": np.array([1, 2, 1, 2])}).shapes["word"] == pytest.approx(0.75)


def test_a_model_trained_on_good_rows_is_useful_and_on_shuffled_ones_is_not() -> None:
    pytest.importorskip("sklearn")
    real, held, good = (table(300, seed) for seed in (1, 2, 3))
    shuffled = {**good, "word": np.random.default_rng(0).permutation(good["word"])}
    found = own(real, good, held, target="word").usefulness
    assert found is not None and found.measure == "ROC AUC" and found.rows == 300
    assert found.real > 0.95 and found.synthetic > 0.95
    bad = own(real, shuffled, held, target="word").usefulness
    assert bad is not None and bad.synthetic < 0.7
    number = own(real, good, held, target="y").usefulness
    assert number is not None and number.measure == "R squared" and number.synthetic > 0.9


def test_sdmetrics_agrees_with_own_numbers() -> None:
    pytest.importorskip("sdmetrics")
    pytest.importorskip("pandas")
    real, other = table(200, 1), table(200, 2)
    theirs, ours = report_synthetic(real, other), own(real, other)
    assert theirs.by.startswith("sdmetrics") and ours.by == "darknet_vae"
    assert theirs.shapes == pytest.approx(ours.shapes)
    assert theirs.trends["x", "y"] == pytest.approx(ours.trends["x", "y"])


def test_the_text_fits_80_columns_and_the_json_has_no_nan() -> None:
    real = table()
    long = {"a very long name of a column " * 3: real["x"], **real}
    for held in (None, long):
        report = own(long, long, held)
        assert max(map(len, str(report).splitlines())) <= 80
        json.dumps(report.to_dict(), allow_nan=False)


def test_the_verb_prints_the_report_or_json(tmp_path: Path) -> None:
    real, synthetic = csv(tmp_path / "real.csv", table()), csv(tmp_path / "synthetic.csv", table(30, 1))
    shown = package("report-synthetic", real, synthetic)
    assert shown.returncode == 0 and "30 synthetic rows beside 40 real ones" in shown.stdout
    found = json.loads(package("report-synthetic", real, synthetic, "-holdout", synthetic, "-json").stdout)
    assert found["rows"] == {"real": 40, "synthetic": 30, "holdout": 30}
    assert found["privacy"]["nearer_to_real_than_to_holdout"] == 0  # every synthetic row is a held-out one
    absent = package("report-synthetic", real, tmp_path / "none.csv")
    assert absent.returncode == 4 and len(absent.stderr.splitlines()) == 1


def test_a_column_of_weights_counts_real_rows_and_is_not_compared(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    real = table(300)
    real["count"] = np.where(real["word"] == "up", 3, 1)
    often = np.repeat(np.arange(300), real["count"])
    drawn = {name: values[often] for name, values in real.items() if name != "count"}
    with pytest.raises(dv.errors.FormatError, match=r"no column 'count'.*-row-weight"):
        own(real, drawn)
    weighted, plain = own(real, drawn, row_weight="count"), own({n: v for n, v in real.items() if n != "count"}, drawn)
    assert weighted.column_shapes == weighted.pair_trends == 1 > plain.column_shapes
    assert "count" not in weighted.shapes and weighted.rows == (300, len(often), None)
    # fractions: as nearly as that goes; rows with 0 are not there
    parts = {**real, "count": np.where(real["word"] == "up", 0.3, 0.1)}
    assert own(parts, drawn, row_weight="count").column_shapes == pytest.approx(1, abs=0.002)
    gone = {**real, "count": (rng.random(300) < 0.5).astype(int)}
    kept = {name: values[gone["count"] == 1] for name, values in real.items() if name != "count"}
    assert own(gone, drawn, row_weight="count").to_dict() == {
        **own(kept, drawn).to_dict(),
        "notes": ["real rows count as column 'count' says"],
    }
    pytest.importorskip("sklearn")
    tested = own(real, drawn, real, target="word", row_weight="count").usefulness
    assert tested is not None and tested.rows == 300 and tested.real > 0.9
    paths = [csv(tmp_path / "real.csv", real), csv(tmp_path / "drawn.csv", drawn)]
    found = package("report-synthetic", *paths, "-row-weight", "count", "-json")
    assert found.returncode == 0 and json.loads(found.stdout)["rows"]["real"] == 300
    wrong = package("report-synthetic", *paths, "-row-weight", "cuont")
    assert wrong.returncode and "did you mean 'count'" in wrong.stderr
