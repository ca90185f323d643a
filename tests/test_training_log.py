"""The log of a training, read back."""

import json

import numpy as np
import pytest

import darknet_vae as dv
from darknet_vae.training_log import read_log


@pytest.fixture
def rows():
    return np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)


CFG = """
[net]
inputs=4
batch=20
adam=1
learning_rate=0.01
[connected]
output=4
activation=linear
[sampling]
beta_warmup=4
[connected]
output=4
activation=linear
[cost]
type=sse
"""


def train(rows, **options):
    return dv.Network(cfg_text=CFG).train(rows, epochs=3, holdout=0.2, **options)


@pytest.mark.parametrize("ending", [".csv", ".jsonl"])
def test_a_log_file_has_the_history_with_nan_where_a_line_has_no_value(tmp_path, rows, ending):
    path = tmp_path / f"log{ending}"
    history = train(rows, log=path, log_every=1)
    log = read_log(path)
    assert len(log["epoch"]) > 3  # lines of batches too
    done = log["epoch_done"] == 1
    assert np.isnan(log["valid_loss"][~done]).all()
    np.testing.assert_allclose(log["valid_loss"][done], history.valid_loss, rtol=1e-6)
    np.testing.assert_allclose(log["image_loss"][done], history.image_loss, rtol=1e-6)


def test_a_history_its_records_and_a_dict_read_alike(rows):
    history = train(rows)
    log = read_log(history)
    np.testing.assert_array_equal(log["image_loss"], history.image_loss)
    np.testing.assert_array_equal(read_log(history.records)["beta"], history.beta)
    assert read_log({"total_loss": [3, 2, 1]})["total_loss"].tolist() == [3, 2, 1]


def test_the_half_line_of_a_killed_training_is_left_out(tmp_path, rows):
    for ending in (".csv", ".jsonl"):
        path = tmp_path / f"log{ending}"
        train(rows, log=path)
        path.write_text(path.read_text()[:-30])
        assert read_log(path)["epoch"].tolist() == [1, 2]


def test_what_is_no_log_is_an_error_that_names_the_line(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(dv.errors.FormatError, match=r"x\.csv:1: no log .* 'a,b'"):
        read_log(path)
    path.write_text("epoch,total_loss\n1,2\n2,many\n3,1\n")
    with pytest.raises(dv.errors.FormatError, match=r"x\.csv:3"):
        read_log(path)
    path.write_text(json.dumps({"epoch": 1}) + "\n[1]\n" + json.dumps({"epoch": 3}) + "\n")
    with pytest.raises(dv.errors.FormatError, match=r"x\.csv:2"):
        read_log(path)
    path.write_text("")
    with pytest.raises(dv.errors.FormatError, match="empty"):
        read_log(path)
    with pytest.raises(dv.errors.MissingFileError):
        read_log(tmp_path / "none.csv")
    with pytest.raises(dv.errors.UsageError):
        read_log(3)
