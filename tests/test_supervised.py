"""Supervised training from tables: classes, binary outputs and targets, held-out rows, in the binary and in Python."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers import ROOT, defined, only_of_one_build, program, run

import darknet_vae as dv

Build = Callable[..., dv.Network]
BOTH = pytest.mark.parametrize("kind", ["binary", "python"])
CFG, CSV = str(ROOT / "cfg" / "digits_classifier.cfg"), str(ROOT / "data" / "digits.csv")
SOFT = "[net]\ninputs=2\nbatch=8\nadam=1\nlearning_rate=0.02\ndecay=0\n[connected]\noutput=16\nactivation=tanh\n\
[connected]\noutput={}\nactivation=linear\n[softmax]\n"
BINARY = SOFT.replace("[softmax]", "[logistic]").format(1)
REGRESSION = SOFT.replace("[softmax]", "[cost]\ntype=sse")


def words_of(kind: str) -> list[str]:
    """`darknet train ...` and `darknet-vae train ...`."""
    words = program(kind)
    return words[:-1] if kind == "binary" else words


def result(done: object) -> dict[str, float]:
    assert done.returncode == 0, done.stderr  # type: ignore[attr-defined]
    return dict(json.loads(done.stdout))  # type: ignore[attr-defined]


def blobs(names: list[str], rows: int = 120, seed: int = 0) -> tuple[np.ndarray, list[str]]:
    """Points around one centre per name, far apart."""
    random = np.random.default_rng(seed)
    kinds = random.integers(0, len(names), rows)
    angle = 2 * np.pi * kinds / len(names)
    X = np.column_stack([np.cos(angle), np.sin(angle)]) + 0.1 * random.normal(size=(rows, 2))
    return X.astype(np.float32), [names[k] for k in kinds]


def write(path: str, X: np.ndarray, labels: list[str], header: str = "a,b,kind") -> None:
    lines = [",".join([*(f"{v:.6f}" for v in row), label]) for row, label in zip(X, labels, strict=True)]
    Path(path).write_text("\n".join([header, *lines]) + "\n")


@pytest.mark.timing
@BOTH
def test_the_digits_classifier_reaches_98_percent_of_a_held_out_fifth_in_seconds(kind: str) -> None:
    started = time.monotonic()
    done = run([*words_of(kind), "train", CFG, CSV, "-holdout", "0.2", "-json", "-quiet"])
    assert time.monotonic() - started < 20
    assert result(done)["valid_accuracy"] >= 0.98
    assert Path("digits_classifier.labels.txt").read_text().split() == [str(digit) for digit in range(10)]


@BOTH
def test_accuracy_is_reported_per_epoch_and_evaluate_agrees(kind: str) -> None:
    X, labels = blobs(["red", "green", "blue"])
    write("t.csv", X, labels)
    Path("net.cfg").write_text(SOFT.format(3))
    done = run([*words_of(kind), "train", "net.cfg", "t.csv", "-label-column", "kind", "-epochs", "8", "-json"])
    values = result(done)
    lines = [line for line in done.stderr.splitlines() if line.startswith("epoch")]
    assert len(lines) == 8
    assert all("loss" in line and "accuracy" in line for line in lines)
    assert values["accuracy"] == 1.0
    assert Path("net.labels.txt").read_text() == "blue\ngreen\nred\n"  # sorted
    words = ["net.cfg", "t.csv", "-label-column", "kind", "-weights", "net.weights"]
    again = result(run([*words_of(kind), "evaluate", *words, "-json"]))
    assert set(defined(again)) == {"loss", "accuracy"}
    assert again["accuracy"] == 1.0
    rows = run([*words_of(kind), "predict", *words]).stdout.splitlines()
    assert [len(row.split(",")) for row in rows] == [3] * len(X)
    assert sum(map(float, rows[0].split(","))) == pytest.approx(1)
    named = run([*words_of(kind), "predict", *words, "-labels"]).stdout.splitlines()
    assert [row.split(",")[0] for row in named] == labels
    assert [row.split(",", 1)[1] for row in named] == rows


def test_binary_and_python_train_the_same_network() -> None:
    only_of_one_build()
    X, labels = blobs(["1", "2", "10"])
    write("t.csv", X, labels)
    Path("net.cfg").write_text(SOFT.format(3))
    files = []
    for kind in ("binary", "python"):
        words = ["net.cfg", "t.csv", "-label-column", "-1", "-epochs", "3", "-holdout", "0.25", "-quiet", "-json"]
        values = result(run([*words_of(kind), "train", *words]))
        files.append((Path("net.weights").read_bytes(), Path("net.labels.txt").read_text(), round(values["valid_loss"], 9)))
    net = dv.Network("net.cfg")
    table = dv.load_table("t.csv", label_column="kind")
    assert table.labels is not None
    truth, classes = dv.one_hot(table.labels)
    history = net.train(table.X, 3, truth, holdout=0.25)
    net.save("net.weights")
    files.append((Path("net.weights").read_bytes(), "\n".join(classes) + "\n", round(history.valid_loss[-1], 9)))
    assert files[0] == files[1] == files[2]
    assert classes == ["1", "2", "10"]  # numbers by value


def test_one_hot_rows_and_their_classes() -> None:
    truth, classes = dv.one_hot(["b", "10", "a", "9", "10.0"])
    assert classes == ["9", "10", "a", "b"]
    np.testing.assert_array_equal(truth, np.eye(4, dtype=np.float32)[[3, 1, 2, 0, 1]])
    np.testing.assert_array_equal(dv.one_hot([2, 0], classes=["0", "1", "2"])[0], [[0, 0, 1], [1, 0, 0]])
    bad = [(["a", ""], "row 2 is empty"), (["a", "a"], "1 class"), ([], "no labels"), (["a\0b", "c"], "zero character")]
    for labels, message in bad:
        with pytest.raises(dv.DarknetError, match=message):
            dv.one_hot(labels)
    with pytest.raises(dv.errors.FormatError, match="label 'z' of row 2 is not one of x, y"):
        dv.one_hot(["x", "z"], classes=["x", "y"])


@BOTH
def test_two_labels_train_one_logistic_output(kind: str) -> None:
    X, labels = blobs(["no", "yes"])
    write("t.csv", X, labels)
    Path("net.cfg").write_text(BINARY)
    words = ["net.cfg", "t.csv", "-label-column", "kind"]
    assert result(run([*words_of(kind), "train", *words, "-epochs", "10", "-json", "-quiet"]))["accuracy"] == 1
    rows = run([*words_of(kind), "predict", *words, "-weights", "net.weights", "-labels"]).stdout.split()
    assert [row.split(",")[0] for row in rows] == labels
    write("three.csv", *blobs(["no", "yes", "maybe"]))
    done = run([*words_of(kind), "train", "net.cfg", "three.csv", "-label-column", "kind", "-epochs", "1"])
    assert done.returncode == 2
    assert "three.csv: 3 different labels (maybe, no, yes)" in done.stderr
    assert "2 labels are wanted" in done.stderr


@BOTH
def test_targets_are_learned_in_the_files_units(kind: str) -> None:
    """y = 3 a - 2 b + 5 and a second one; features are divided by -scale, targets are not."""
    random = np.random.default_rng(0)
    X = random.uniform(0, 255, size=(300, 2))
    truth = np.column_stack([3 * X[:, 0] / 255 - 2 * X[:, 1] / 255 + 5, X[:, 1] / 255])
    np.savetxt("t.csv", np.column_stack([truth[:, 0], X, truth[:, 1]]), delimiter=",", fmt="%.7g", header="y,a,b,z", comments="")
    Path("net.cfg").write_text(REGRESSION.format(2))
    words = ["net.cfg", "t.csv", "-target", "y,-1", "-scale", "255"]
    values = result(run([*words_of(kind), "train", *words, "-epochs", "150", "-json", "-quiet", "-holdout", "0.2"]))
    assert values["valid_r2"] > 0.99
    assert values["valid_mse"] == pytest.approx(values["valid_loss"] / 2, rel=1e-5)
    found = run([*words_of(kind), "predict", *words, "-weights", "net.weights"]).stdout.splitlines()
    outputs = np.array([row.split(",") for row in found], float)
    np.testing.assert_allclose(outputs, truth, atol=0.35)
    error = ((outputs - truth) ** 2).mean(0)
    values = result(run([*words_of(kind), "evaluate", *words, "-weights", "net.weights", "-json"]))
    assert set(defined(values)) == {"loss", "mse", "r2"}
    assert values["mse"] == pytest.approx(error.mean(), rel=1e-3)
    assert values["r2"] == pytest.approx((1 - error / truth.var(0)).mean(), rel=1e-4)
    np.savetxt("rows.csv", X, delimiter=",", fmt="%.7g")
    words = ["net.cfg", "rows.csv", "-scale", "255", "-weights", "net.weights"]
    assert run([*words_of(kind), "predict", *words]).stdout.splitlines() == found


@BOTH
def test_a_vae_with_targets_reports_its_latent_loss_everywhere(kind: str) -> None:
    """As a denoising one: rows with noise, the targets without."""
    random = np.random.default_rng(0)
    clean = random.uniform(size=(60, 3))
    both = np.hstack([clean + 0.1 * random.normal(size=clean.shape), clean])
    np.savetxt("t.csv", both, delimiter=",", fmt="%.7g", header="a,b,c,x,y,z", comments="")
    Path("net.cfg").write_text(
        "[net]\ninputs=3\nbatch=8\n[connected]\noutput=4\nactivation=linear\n[sampling]\nbeta=0.3\n"
        "[connected]\noutput=3\nactivation=linear\n[cost]\ntype=sse\n"
    )
    words = ["net.cfg", "t.csv", "-target", "x,y,z", "-quiet"]
    names = {"image_loss", "latent_loss", "kl_cost", "total_loss", "mse", "r2"}
    trained = result(run([*words_of(kind), "train", *words, "-epochs", "2", "-save", "w.weights", "-json"]))
    assert set(trained) == names | {"epochs", "seconds"}
    table = dv.load_table("t.csv", targets="x,y,z")
    net = dv.Network.load("net.cfg", "w.weights")
    here = net.evaluate(table.X, table.truth)
    done = run([*words_of(kind), "evaluate", *words, "-weights", "w.weights", "-json", "-output", "rows.txt"])
    assert defined(result(done)) == pytest.approx(defined(here), rel=1e-6)
    assert set(here) >= names and here["latent_loss"] > 0
    assert here["total_loss"] == pytest.approx(here["image_loss"] + 0.3 * here["latent_loss"], rel=1e-6)
    assert dv.load_csv("rows.txt").mean() == pytest.approx(here["total_loss"], rel=1e-5)
    assert net.row_losses(table.X, table.truth)["total_loss"].mean() == pytest.approx(here["total_loss"], rel=1e-5)
    np.testing.assert_allclose(dv.load_csv("latent_space.txt"), net.encode(table.X)[0], rtol=1e-5, atol=1e-6)


def test_target_columns_by_name_or_index() -> None:
    Path("t.csv").write_text("a,b,c,name\n1,2,3,x\n4,5,6,y\n")
    table = dv.load_table("t.csv", label_column="name", targets="c,0", scale=2)
    assert table.truth is not None and table.labels is not None
    np.testing.assert_array_equal(table.truth, [[3, 1], [6, 4]])
    np.testing.assert_array_equal(table.X, [[1], [2.5]])
    assert (table.names, table.labels.tolist()) == (["b"], ["x", "y"])
    np.testing.assert_array_equal(dv.load_table("t.csv", label_column=-1, targets=["b"]).truth, [[2], [5]])
    assert dv.load_table("t.csv", label_column=3, targets=0).truth is not None
    bad = {"d": "no target column 'd'", "a,a": "named twice", "name": "label and a target", "a,b,c": "no columns besides",
           "4": "no target column '4'", "1.5": "no target column '1.5'"}  # fmt: skip
    for targets, message in bad.items():
        with pytest.raises(dv.DarknetError, match=message):
            dv.load_table("t.csv", label_column="name", targets=targets)
    Path("numbers.csv").write_text("0,1,y\n1,2,3\n")  # a header of numbers, as tables without names are written
    np.testing.assert_array_equal(dv.load_table("numbers.csv", targets="y").X, [[1, 2]])


@BOTH
def test_bad_tables_end_in_one_line_and_the_documented_code(kind: str) -> None:
    words = words_of(kind)
    Path("net.cfg").write_text(SOFT.format(3))
    Path("reg.cfg").write_text(REGRESSION.format(1))
    X, labels = blobs(["red", "green", "blue"])
    write("t.csv", X, labels)
    write("four.csv", *blobs(["red", "green", "blue", "pink"]))
    Path("hole.csv").write_text("kind,a,b\nred,1,2\n,3,4\n")
    write("one.csv", X[:1], labels[:1])
    Path("text.csv").write_text("a,b,y\n1,2,3\n1,2,three\n")
    Path("plain.csv").write_text("1,2\n3,4\n")
    Path("empty.csv").write_text("")
    label = ["-label-column", "kind", "-epochs", "1"]
    for arguments, code, parts in (
        (["train", "net.cfg", "plain.csv", "-epochs", "1"], 2, ["plain.csv", "label column", "-label-column"]),
        (["train", "net.cfg", "t.csv", "-label-column", "sort"], 2, ["no label column 'sort'"]),
        (["train", "net.cfg", "four.csv", *label], 2, ["four.csv: 4 different labels (blue, green, pink, red)", "3 labels"]),
        (["train", "net.cfg", "one.csv", *label], 2, ["1 different labels", "3 labels"]),
        (["train", "net.cfg", "hole.csv", *label], 3, ["hole.csv", "row 2 is empty"]),
        (["train", "net.cfg", "empty.csv", *label], 3, ["empty.csv", "no rows"]),
        (["train", "net.cfg", "t.csv", *label, "-valid", "four.csv"], 3, ["four.csv: the label 'pink'", "blue, green, red"]),
        (["train", "net.cfg", "t.csv", *label, "-valid", "nothere.csv"], 4, ["nothere.csv"]),
        (["train", "net.cfg", "t.csv", *label, "-holdout", "1"], 2, ["-holdout '1' must be a number between 0 and 1"]),
        (["train", "net.cfg", "t.csv", *label, "-holdout", "0.2", "-valid", "t.csv"], 2, ["one of the two"]),
        (["train", "reg.cfg", "text.csv", "-target", "y", "-epochs", "1"], 3, ["text.csv:3: column 3 ('y', a target): 'three'"]),
        (["train", "reg.cfg", "text.csv", "-target", "z", "-epochs", "1"], 2, ["no target column 'z'"]),
        (["train", "reg.cfg", "plain.csv", "-epochs", "1"], 2, ["target columns (-target)"]),
        (["predict", "reg.cfg", "plain.csv", "-labels", "-random"], 2, ["no labels to predict"]),
    ):  # fmt: skip
        done = run([*words, *arguments])
        lines = [line for line in done.stderr.splitlines() if "warning" not in line]
        assert (done.returncode, len(lines)) == (code, 1), (arguments, done.stderr)
        assert not done.stdout
        for part in parts:
            assert part in lines[0], lines[0]
    assert not list(Path().glob("*.weights"))


def test_held_out_rows_are_a_fifth_drawn_from_the_seed_and_are_not_trained_on(network: Build) -> None:
    """A network that can only learn rows by heart knows its own, and not the held-out ones."""
    X = np.eye(50, dtype=np.float32)
    truth = np.random.default_rng(0).choice([-1.0, 1.0], size=(50, 1))
    text = "[net]\ninputs=50\nbatch=10\nlearning_rate=0.5\ndecay=0\n[connected]\noutput=1\nactivation=linear\n[cost]\n"
    learned = []
    for seed in (1, 1, 2):
        net = network(text, seed=seed)
        start = net.predict(X)
        history = net.train(X, 30, truth, holdout=0.2)
        known = np.abs(net.predict(X) - truth)[:, 0] < 0.2
        assert known.sum() == 40
        assert len(history.valid_loss) == len(history.mse) == 30
        bias = net.layers[0].params["biases"]
        np.testing.assert_allclose(net.predict(X)[~known], start[~known] + bias, atol=1e-5)  # their weights never moved
        error = ((net.predict(X) - truth) ** 2)[~known].mean()
        assert history.mse[-1] == pytest.approx(error, rel=1e-5)
        learned.append(tuple(known))
    assert learned[0] == learned[1] != learned[2]


def test_an_autoencoder_reports_the_loss_of_held_out_rows(digits: tuple[np.ndarray, np.ndarray]) -> None:
    net = dv.Network(ROOT / "cfg" / "vae_digits.cfg")
    history = net.train(digits[0][:900], 4, valid=digits[0][900:])
    assert history.valid_loss[-1] == pytest.approx(net.evaluate(digits[0][900:])["total_loss"], rel=1e-6)
    assert not history.accuracy
    assert set(net.evaluate(digits[0])) >= {"image_loss", "latent_loss", "kl_cost", "total_loss"}
    assert not {"accuracy", "mse", "r2", "loss"} & set(net.evaluate(digits[0]))


def test_evaluation_behind_an_epoch_is_cut_into_slices(digits: tuple[np.ndarray, np.ndarray]) -> None:
    X, y = digits
    truth = dv.one_hot(y)[0]
    net = dv.Network(CFG, threads=1)
    seen: list[dv.Progress] = []
    net.train(X[:64], 1, truth[:64], valid=(np.tile(X, (12, 1)), np.tile(truth, (12, 1))), on_slice=seen.append)
    waiting = [p for p in seen if not p.epoch_done]
    assert len(waiting) >= 2, "a long evaluation answers in between"
    assert not any(p.finished for p in waiting)
    assert seen[-1].finished and "valid_accuracy" in seen[-1].values


def test_a_history_has_every_reported_value_by_name(network: Build) -> None:
    X, labels = blobs(["red", "green", "blue"])
    truth = np.eye(3)[[["red", "green", "blue"].index(label) for label in labels]]
    history = network(SOFT.format(3)).train(X, 2, truth, holdout=0.25)
    assert set(history) == {"image_loss", "latent_loss", "total_loss", "loss", "valid_loss", "valid_accuracy"}
    assert all(len(values) == 2 for values in history.values())
    assert history["loss"] == history["total_loss"] == history.image_loss
    assert history["valid_accuracy"] is history.accuracy and history["valid_loss"] is history.valid_loss
    assert history.mse == [] and "mse" not in history


def test_scores_in_plain_words(network: Build) -> None:
    random = np.random.default_rng(0)
    X = random.normal(size=(37, 2)).astype(np.float32)
    net = network(SOFT.format(3))
    kinds = random.integers(0, 3, 37)
    accuracy = net.evaluate(X, np.eye(3)[kinds])["accuracy"]
    assert accuracy == pytest.approx((net.predict(X).argmax(1) == kinds).mean())
    for loss, border in (("[logistic]", 0.5), ("[cost]\ntype=bce", 0.0)):
        net = network(SOFT.replace("[softmax]", loss).format(3))
        several = random.integers(0, 2, size=(37, 3))
        several[0] = 1  # not one-hot
        found = net.evaluate(X, several)
        assert found["accuracy"] == pytest.approx(((net.predict(X) > border) == several).mean())
        assert "mse" not in found
        assert net.evaluate(X, np.eye(3)[kinds])["accuracy"] == pytest.approx((net.predict(X).argmax(1) == kinds).mean())
    net = network(REGRESSION.format(2).replace("sse", "masked"))
    truth = 1e5 + random.normal(size=(37, 2))
    truth[3:9, 1] = -1234
    outputs, known = net.predict(X), truth != -1234
    error = [((truth - outputs)[known[:, k], k] ** 2).mean() for k in range(2)]
    spread = [truth[known[:, k], k].astype(np.float32).astype(float).var() for k in range(2)]
    found = net.evaluate(X, truth)
    assert found["mse"] == pytest.approx(np.mean(error), rel=1e-5)
    assert found["r2"] == pytest.approx(np.mean(1 - np.array(error) / spread), rel=1e-4)


def test_weights_go_on_with_the_classes_they_were_trained_with() -> None:
    X, labels = blobs(["red", "green", "blue"])
    write("t.csv", X, labels)
    some = [label != "red" for label in labels]
    write("two.csv", X[some], [label for label in labels if label != "red"])
    Path("net.cfg").write_text(SOFT.format(3))
    for kind in ("binary", "python"):
        words = ["-label-column", "kind", "-quiet", "-json"]
        run([*words_of(kind), "train", "net.cfg", "t.csv", *words, "-epochs", "8"])
        done = run([*words_of(kind), "train", "net.cfg", "two.csv", *words, "-epochs", "1", "-weights", "net.weights"])
        assert result(done)["accuracy"] == 1
        assert Path("net.labels.txt").read_text() == "blue\ngreen\nred\n"


def test_labels_with_separators_are_written_in_quotes() -> None:
    X, labels = blobs(["a b", "c,d"])
    write("t.csv", X, [f'"{label}"' for label in labels])
    Path("net.cfg").write_text(SOFT.format(2))
    words = ["net.cfg", "t.csv", "-label-column", "kind"]
    assert run([*words_of("binary"), "train", *words, "-epochs", "10", "-quiet"]).returncode == 0
    for kind in ("binary", "python"):
        done = run([*words_of(kind), "predict", *words, "-weights", "net.weights", "-labels", "-o", "p.csv"])
        assert done.returncode == 0, done.stderr
        again = dv.load_table("p.csv", label_column=0)
        assert again.labels is not None and again.labels.tolist() == labels


@BOTH
def test_a_class_may_be_without_rows_when_labels_are_numbers_from_0(kind: str) -> None:
    """The first five digits are 0 to 4 only, but the network has ten classes."""
    words = words_of(kind)
    done = run([*words, "train", CFG, CSV, "-N", "5", "-epochs", "30", "-quiet", "-save", "five.weights"])
    assert done.returncode == 0, done.stderr
    assert Path("five.labels.txt").read_text().split() == [str(k) for k in range(10)]
    done = run([*words, "predict", CFG, CSV, "-N", "5", "-weights", "five.weights", "-labels"])
    assert [line.split(",")[0] for line in done.stdout.splitlines()] == [str(k) for k in range(5)]
    for rows in ("7,8,10\n1,2,3\n", "7,8,a\n1,2,b\n", "7,8,0.5\n1,2,1\n"):
        Path("few.csv").write_text(rows)
        Path("net.cfg").write_text("[net]\ninputs=2\n[connected]\noutput=10\n[softmax]\n")
        done = run([*words, "train", "net.cfg", "few.csv", "-label-column", "2", "-epochs", "1", "-quiet"])
        assert done.returncode == 2 and "10 labels are wanted" in done.stderr


@pytest.mark.parametrize("kind", ["binary", "python"])
def test_labels_of_a_table_become_codes_where_the_loss_takes_codes(kind: str) -> None:
    rows = ["a,b,c,kind", *(f"{i % 5},{i % 3},{i % 7},{('red', 'blue', 'green')[i % 3]}" for i in range(30))]
    Path("t.csv").write_text("\n".join(rows) + "\n")
    text = "[net]\nbatch=8\ninputs=3\nlabel_column=kind\n[connected]\noutput=3\nactivation=linear\n[cost]\ntype=categorical\n"
    Path("codes.cfg").write_text(text + "classes=3\n")
    Path("hot.cfg").write_text(text)
    outcomes = []
    for name in ("codes", "hot"):
        words = [
            *program(kind),
            "train",
            f"{name}.cfg",
            "t.csv",
            "-epochs",
            "3",
            "-save",
            f"{name}.safetensors",
            "-quiet",
            "-json",
        ]
        trained = run(words)
        assert trained.returncode == 0, trained.stderr
        evaluated = run([*program(kind), "evaluate", f"{name}.safetensors", "t.csv", "-json"])
        predicted = run([*program(kind), "predict", f"{name}.safetensors", "t.csv", "-labels"])
        assert predicted.stdout.split("\n")[0].split(",")[0] in ("red", "blue", "green")
        found = json.loads(evaluated.stdout)
        outcomes.append((json.loads(trained.stdout)["loss"], found["loss"], found["accuracy"], predicted.stdout))
    for codes, hot in zip(*outcomes, strict=True):
        assert codes == (hot if isinstance(hot, str) else pytest.approx(hot, rel=1e-6))
    Path("codes.cfg").write_text(text.replace("output=3", "output=4") + "classes=4\n")
    failed = run([*program(kind), "train", "codes.cfg", "t.csv", "-epochs", "1"])
    assert failed.returncode == 2
    assert (
        "t.csv: 3 different labels (blue, green, red), but the network's loss is over 4 classes: 4 labels are wanted"
        in failed.stderr
    )
