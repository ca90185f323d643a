"""Broken and awkward input files: one clear line with the right exit code, or sound treatment; never a crash."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import BINARY, MODULE, run

import darknet_vae as dv

FOLDER = Path(__file__).parent / "golden" / "malformed"
INDEX: list[dict[str, Any]] = json.loads((FOLDER / "index.json").read_text())
# The documented format takes these two; the original read them wrong in silence.
TAKEN = {"csv_trailing_comma": (2, 3), "csv_semicolon": (2, 3)}


def cases(*actions: str) -> list[Any]:
    return [pytest.param(item, id=item["name"]) for item in INDEX if item["action"] in actions]


def path_of(item: dict[str, Any], key: str = "file") -> Path:
    return FOLDER / (item[key] or "nothere.cfg")


def attempt(item: dict[str, Any]) -> dv.Network:
    """Read the network, and go through what the case asks for."""
    net = dv.Network(path_of(item))
    if item["arguments"] == ["missingw"]:
        net.load_weights("weights_missing.weights")
    if item["weights"]:
        net.load_weights(FOLDER / item["weights"])
    x = np.linspace(-1, 1, net.batch * net.inputs, dtype=np.float32).reshape(net.batch, -1)
    if item["action"] == "train":
        truths = net._info().truths
        net.forward(x, np.zeros((net.batch, truths), np.float32) if truths else None, train=True)
        net.backward()
        net.update()
        for layer in net.layers:
            assert all(np.isfinite(value).all() for value in layer.params.values())
    else:
        assert np.isfinite(net.predict(x)).all()
    return net


@pytest.mark.parametrize("item", cases("parse", "predict", "train"))
def test_cfg_and_weights_files_work_or_fail_in_one_clear_line(item: dict[str, Any], recwarn: Any) -> None:
    expected = item["expected_of_rebuilt_core"]
    if expected == "works":
        attempt(item)
    elif expected == "clean_error":
        with pytest.raises(dv.DarknetError) as error:
            attempt(item)
        message = str(error.value)
        assert "\n" not in message
        assert path_of(item).stem in message or (item["weights"] or "?") in message or "batch" in message
    else:
        try:
            attempt(item)
        except dv.DarknetError as error:
            assert "\n" not in str(error)


@pytest.mark.parametrize("item", cases("csv"))
def test_csv_files_work_or_fail_in_one_clear_line(item: dict[str, Any]) -> None:
    expected = item["expected_of_rebuilt_core"]
    path = path_of(item) if item["file"] else FOLDER / "nothere.csv"
    if expected == "works" or item["name"] in TAKEN:
        X = dv.load_csv(path)
        assert np.isfinite(X).all()
        assert X.shape == TAKEN.get(item["name"], X.shape)
    elif expected == "clean_error":
        with pytest.raises(dv.DarknetError) as error:
            dv.load_csv(path)
        assert path.name in str(error.value)
        assert "\n" not in str(error.value)
    else:
        try:
            assert np.isfinite(dv.load_csv(path)).all()
        except dv.errors.FormatError as error:
            assert path.name in str(error)


@pytest.mark.parametrize("item", cases("catcsv"))
def test_tables_with_labels_train_a_classifier_or_fail_in_one_clear_line(item: dict[str, Any]) -> None:
    column, classes = item["arguments"]
    Path("net.cfg").write_text(f"[net]\ninputs=2\n[connected]\noutput={classes}\nactivation=linear\n[softmax]\n")
    assert BINARY
    done = run([BINARY, "train", "net.cfg", str(path_of(item)), "-label-column", column, "-epochs", "1", "-quiet"])
    if item["expected_of_rebuilt_core"] == "works":
        assert done.returncode == 0, done.stderr
        assert Path("net.labels.txt").read_text().split() == [str(k) for k in range(int(classes))]
    else:
        assert done.returncode in (2, 3)
        assert path_of(item).name in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.parametrize("item", cases("missing", "csvmissing"))
def test_a_file_that_is_not_there_is_named(item: dict[str, Any]) -> None:
    with pytest.raises(FileNotFoundError, match=r"nothere\.(cfg|csv)"):
        dv.Network("nothere.cfg") if item["action"] == "missing" else dv.load_csv("nothere.csv")


@pytest.mark.parametrize("item", cases("predictzero"))
def test_rows_of_zeros_give_finite_outputs(item: dict[str, Any]) -> None:
    net = dv.Network(path_of(item))
    assert np.isfinite(net.predict(np.zeros((net.batch, net.inputs)))).all()


def test_no_kind_of_case_is_left_out() -> None:
    kinds = {"parse", "predict", "train", "csv", "catcsv", "missing", "csvmissing", "predictzero"}
    assert {item["action"] for item in INDEX} <= kinds


@pytest.mark.parametrize("item", [case for case in cases("parse", "predict") if case.values[0]["file"] is not None])
@pytest.mark.parametrize("words", [[BINARY], MODULE], ids=["binary", "python"])
def test_the_command_line_ends_with_the_status_and_no_traceback(item: dict[str, Any], words: list[str]) -> None:
    if words == MODULE and item["name"] not in ("unknown_layer", "weights_text", "bom", "empty_file"):
        pytest.skip("a process of Python for every file would take a minute; four stand for all")
    weights = ["-weights", str(FOLDER / item["weights"])] if item["weights"] else []
    done = run([*words, "inspect", str(path_of(item)), *weights])
    assert done.returncode in (0, 3), done.stderr
    assert "Traceback" not in done.stderr
    lines = [line for line in done.stderr.splitlines() if "warning" not in line]
    assert len(lines) == (1 if done.returncode else 0), done.stderr
