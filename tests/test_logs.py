"""The log of a training, its records in Python, callbacks, and what is shown meanwhile."""

from __future__ import annotations

import csv
import importlib.util
import json
import locale
import os
import shutil
import signal
import struct
import subprocess
import sys
import time
import types
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers import ROOT, program, run

import darknet_vae as dv
from darknet_vae import errors
from darknet_vae._lib import lib

Build = Callable[..., dv.Network]
CFG, CSV = str(ROOT / "cfg" / "vae_digits.cfg"), str(ROOT / "data" / "digits.csv")
VAE = """[net]
inputs=6
batch=8
learning_rate=0.01
{}
[connected]
output=4
activation=linear
[sampling]
beta=0.5
[connected]
output=6
activation=linear
[cost]
"""
CLASSIFIER = "[net]\ninputs=6\nbatch=8\nlearning_rate=0.1\n[connected]\noutput=3\nactivation=linear\n[softmax]\n"
COLUMNS = ["epoch", "batch", "rows", "epoch_done", "image_loss", "latent_loss", "total_loss"]
RATES = ["learning_rate", "beta", "seconds", "rows_per_second"]
COSTS = ["kl_cost", "valid_kl_cost"]  # after beta


def rows_of(n: int, columns: int = 6, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, columns)).astype(np.float32)


def table(path: str) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def lines(path: str) -> list[dict[str, float]]:
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


# ---- what is in it


@pytest.mark.parametrize("name", ["log.csv", "log.jsonl"])
def test_a_line_for_every_epoch_has_everything(name: str, network: Build) -> None:
    net, X = network(VAE.format("burn_in=12")), rows_of(50)
    history = net.train(X, 4, holdout=0.2, log=name)
    found = table(name) if name.endswith(".csv") else lines(name)
    assert list(found[0]) == [*COLUMNS, "valid_image_loss", "valid_latent_loss", "valid_loss", *RATES[:2], *COSTS, *RATES[2:]]
    assert [int(row["epoch"]) for row in found] == [1, 2, 3, 4]
    assert [int(row["batch"]) for row in found] == [5, 10, 15, 20]
    assert {(int(row["rows"]), int(row["epoch_done"])) for row in found} == {(40, 1)}
    for column in ("image_loss", "latent_loss", "total_loss", "valid_loss"):
        np.testing.assert_allclose([float(row[column]) for row in found], history[column], rtol=1e-6)
    rates = [float(row["learning_rate"]) for row in found]
    assert rates == pytest.approx([0.01 * (5 / 12) ** 4, 0.01 * (10 / 12) ** 4, 0.01, 0.01], rel=1e-6)
    for row in found:
        parts = float(row["valid_image_loss"]) + 0.5 * float(row["valid_latent_loss"])
        assert float(row["valid_loss"]) == pytest.approx(parts, rel=1e-6) and float(row["beta"]) == 0.5
    seconds = [float(row["seconds"]) for row in found]
    assert seconds == sorted(seconds) and seconds[0] > 0 and all(float(row["rows_per_second"]) > 0 for row in found)
    assert [{k: v for k, v in r.items() if k not in RATES} for r in history.records] == [
        {k: pytest.approx(float(v), rel=1e-6) for k, v in row.items() if k not in RATES} for row in found
    ]


def test_a_classifier_has_one_loss_and_its_accuracy(network: Build) -> None:
    X, Y = rows_of(50), np.eye(3, dtype=np.float32)[np.random.default_rng(1).integers(3, size=50)]
    history = network(CLASSIFIER).train(X, 3, Y, log="trained.csv", log_every=4)
    rows = table("trained.csv")
    assert list(rows[0]) == [*COLUMNS[:4], "loss", "accuracy", "learning_rate", "seconds", "rows_per_second"]
    whole = [row for row in rows if row["epoch_done"] == "1"]
    assert [float(row["accuracy"]) for row in whole] == pytest.approx(history.accuracy)
    assert {row["accuracy"] for row in rows if row["epoch_done"] == "0"} == {""}  # known at the end of an epoch only
    network(CLASSIFIER).train(X, 3, Y, holdout=0.2, log="held.jsonl")
    assert list(lines("held.jsonl")[0]) == [*COLUMNS[:4], "loss", "valid_loss", "valid_accuracy", "learning_rate", *RATES[2:]]


@pytest.mark.parametrize("sub", [1, 2])
def test_lines_between_are_means_since_the_line_before(sub: int, device: str, network: Build) -> None:
    net, X = network(VAE.format(f"subdivisions={sub}"), device=device), rows_of(43)
    history = net.train(X, 3, log="log.csv", log_every=2)
    rows = table("log.csv")
    assert [(int(r["epoch"]), int(r["batch"]), int(r["rows"]), int(r["epoch_done"])) for r in rows] == [
        (1, 2, 16, 0), (1, 4, 32, 0), (1, 6, 43, 0), (1, 6, 43, 1),
        (2, 8, 16, 0), (2, 10, 32, 0), (2, 12, 43, 0), (2, 12, 43, 1),
        (3, 14, 16, 0), (3, 16, 32, 0), (3, 18, 43, 0), (3, 18, 43, 1),
    ]  # fmt: skip
    for epoch in range(3):
        for column in ("image_loss", "latent_loss", "total_loss"):
            parts = [float(r[column]) for r in rows[4 * epoch : 4 * epoch + 3]]
            assert np.average(parts, weights=[16, 16, 11]) == pytest.approx(history[column][epoch], rel=1e-5)
    silent = network(VAE.format(f"subdivisions={sub}"), device=device)
    assert silent.train(X, 3).total_loss == history.total_loss  # reading the losses changes nothing
    assert all(
        np.array_equal(net.layers[i].params[name], layer.params[name])
        for i, layer in enumerate(silent.layers)
        for name in layer.params
    )


def test_losses_that_are_not_finite(network: Build) -> None:
    X, far = rows_of(16), np.full((4, 6), 1e30, np.float32)
    network(VAE.format("")).train(X, 1, valid=far, log="log.csv")
    network(VAE.format("")).train(X, 1, valid=far, log="log.jsonl")
    assert table("log.csv")[0]["valid_loss"] == "inf"
    assert lines("log.jsonl")[0]["valid_loss"] is None


def test_numbers_have_a_point_where_the_locale_has_a_comma(network: Build) -> None:
    before = locale.setlocale(locale.LC_NUMERIC)
    for name in ("de_DE.UTF-8", "fr_FR.UTF-8", "de_DE.utf8"):
        try:
            locale.setlocale(locale.LC_NUMERIC, name)
            break
        except locale.Error:
            continue
    else:
        pytest.skip("no locale with a decimal comma here")
    try:
        network(VAE.format("")).train(rows_of(16), 1, log="log.csv")
    finally:
        locale.setlocale(locale.LC_NUMERIC, before)
    assert float(table("log.csv")[0]["beta"]) == 0.5


# ---- the file


def test_a_log_begins_anew_and_ends_where_the_training_does(network: Build) -> None:
    net, X = network(VAE.format("")), rows_of(16)
    net.train(X, 5, log="log.csv")
    net.train(X, 2, log="log.csv")
    assert [row["epoch"] for row in table("log.csv")] == ["1", "2"]
    net.train(X, 9, log="log.jsonl", callback=lambda p: p.epoch == 3)
    assert [row["epoch"] for row in lines("log.jsonl")] == [1, 2, 3]


def test_a_training_that_does_not_begin_leaves_an_old_log(network: Build) -> None:
    Path("log.csv").write_text("precious\n")
    with pytest.raises(errors.UsageError):
        network(VAE.format("")).train(rows_of(16), 5, log="log.csv", holdout=0.001)
    assert Path("log.csv").read_text() == "precious\n"


def test_every_line_is_in_the_file_before_the_next_epoch(network: Build) -> None:
    counts: list[int] = []
    network(VAE.format("")).train(
        rows_of(16), 4, log="log.csv", callback=lambda p: counts.append(Path("log.csv").read_text().count("\n"))
    )
    assert counts == [2, 3, 4, 5]


def test_a_killed_program_leaves_its_lines() -> None:
    words = [*program("binary"), "train", CFG, CSV, "-epochs", "100000", "-log", "log.csv", "-log-every", "10", "-quiet"]
    process = subprocess.Popen(words)
    try:
        for _ in range(1200):
            if Path("log.csv").exists() and Path("log.csv").read_text().count("\n") > 30:
                break
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    finally:
        process.kill()
        process.wait()
    text = Path("log.csv").read_text()
    assert text.endswith("\n") and text.count("\n") > 30
    assert all(len(row) == len(text.splitlines()[0].split(",")) and None not in row.values() for row in table("log.csv"))


def test_a_log_that_cannot_be_written_any_more_is_a_warning(network: Build) -> None:
    net, X, failed = network(VAE.format("")), rows_of(16), []

    def callback(progress: dv.Progress) -> None:
        lib.dn_sys_fail_at(1 if progress.epoch == 2 else 0)

    try:
        with pytest.warns(UserWarning, match=r"the log ends here: cannot write log\.csv: ") as caught:
            failed.append(net.train(X, 5, log="log.csv", callback=callback))
    finally:
        lib.dn_sys_fail_at(0)
    assert len(caught) == 1 and len(failed[0].total_loss) == 5
    assert [row["epoch"] for row in table("log.csv")] == ["1", "2"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full here")
def test_a_full_disk_is_told_before_the_training(network: Build) -> None:
    Path("log.csv").symlink_to("/dev/full")
    with pytest.raises(errors.FileError, match=r"cannot write log\.csv"):
        network(VAE.format("")).train(rows_of(16), 5, log="log.csv")


def without_times(path: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = [*(table(path) if path.endswith(".csv") else lines(path))]
    return [{k: v for k, v in row.items() if k not in ("seconds", "rows_per_second")} for row in found]


@pytest.mark.parametrize("name", ["log.csv", "log.jsonl"])
def test_a_log_is_cut_back_to_where_a_training_goes_on(name: str, network: Build) -> None:
    """It was killed two epochs after its last checkpoint, in the middle of a line."""
    X, options = rows_of(50), {"holdout": 0.2, "log_every": 2}
    whole, cut, again = (network(VAE.format("adam=1"), seed=3) for _ in range(3))
    whole.train(X, 7, log=f"whole{name}", **options)

    def callback(progress: dv.Progress) -> bool:
        if progress.epoch == 4:
            shutil.copy("c.safetensors", "early.safetensors")  # that of the third or fourth epoch
        return progress.epoch == 6

    cut.train(X, 7, log=name, callback=callback, checkpoint="c.safetensors", checkpoint_every="1e", **options)
    with open(name, "a") as file:
        file.write('{"epoch": 7, "bat' if name.endswith("l") else "7,32,1")
    again.train(X, 7, log=name, resume="early.safetensors", **options)
    assert without_times(name) == without_times(f"whole{name}")


def test_a_log_goes_on_within_an_epoch(network: Build) -> None:
    """The last line of the epoch that was cut short goes: it is not over."""
    X = rows_of(20_000)
    whole, cut, again = (network(VAE.format(""), seed=3) for _ in range(3))
    history = cut.train(X, 3, log="log.csv", log_every=7, checkpoint="c.safetensors", max_seconds=0.02)
    if history.records[-1]["rows"] == len(X) or history.stopped != "max_seconds":
        pytest.skip("it had no time, or all of it, for an epoch")
    again.train(X, 3, log="log.csv", log_every=7, resume="c.safetensors")
    whole.train(X, 3, log="whole.csv", log_every=7)
    assert without_times("log.csv") == without_times("whole.csv")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("log.csv", "a,b\n1,2\n", r"log\.csv: not the log of this training, which has the columns epoch,batch,rows,"),
        ("log.jsonl", '{"a": 1}\n', r"log\.jsonl: not the log of a training: '\{\"a\": 1\}"),
    ],
)
def test_a_file_that_is_no_log_is_not_cut(name: str, text: str, message: str, network: Build) -> None:
    X = rows_of(16)
    network(VAE.format("")).train(X, 2, checkpoint="c.safetensors")
    Path(name).write_text(text)
    with pytest.raises(errors.FormatError, match=message):
        network(VAE.format("")).train(X, 3, log=name, resume="c.safetensors")
    assert Path(name).read_text() == text


def test_a_log_that_is_missing_begins_where_the_training_goes_on(network: Build) -> None:
    X = rows_of(16)
    network(VAE.format("")).train(X, 2, checkpoint="c.safetensors")
    network(VAE.format("")).train(X, 4, log="log.csv", resume="c.safetensors")
    assert [row["epoch"] for row in table("log.csv")] == ["3", "4"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"log": "log.txt"}, r"log=log\.txt must end in \.csv or \.jsonl"),
        ({"log": "log"}, r"log=log must end in"),
        ({"log": "csv/.d/x"}, r"must end in"),
        ({"log_every": 5}, r"log_every says how often the log gets a line: give log too"),
        ({"log": "log.csv", "log_every": 0}, r"log_every=0 is not 1 to"),
    ],
)
def test_options_of_logs_that_make_no_sense(options: dict[str, object], message: str, network: Build) -> None:
    with pytest.raises(errors.UsageError, match=message):
        network(VAE.format("")).train(rows_of(16), 1, **options)  # type: ignore[arg-type]


def test_a_log_in_no_folder_is_an_error_before_the_training(network: Build) -> None:
    net = network(VAE.format(""))
    with pytest.raises(errors.FileError, match=r"cannot write nowhere/log\.csv: No such file or directory"):
        net.train(rows_of(16), 1, log="nowhere/log.csv")
    assert net.seen == 0


# ---- programs


@pytest.mark.parametrize("kind", ["binary", "python"])
def test_programs_write_it_too(kind: str) -> None:
    words = [*program(kind), "train", CFG, CSV, "-N", "200", "-epochs", "3", "-holdout", "0.2", "-json", "-nogpu"]
    done = run([*words, "-log", "log.jsonl", "-log-every", "2"])
    assert done.returncode == 0, done.stderr
    found, result = lines("log.jsonl"), json.loads(done.stdout)
    assert [row["batch"] for row in found if not row["epoch_done"]] == [2, 4, 6, 8, 10, 12, 14]
    last = [row for row in found if row["epoch_done"]][-1]
    assert last["valid_loss"] == pytest.approx(result["valid_loss"], rel=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-log", "log.txt"], "log=log.txt must end in .csv or .jsonl"),
        (["-log-every", "3"], "give log too"),
        (["-log-every", "0", "-log", "l.csv"], "-log-every '0' must be a whole number above 0"),
        (["-log", "same.csv", "-save", "same.csv"], "-save and -log are both same.csv"),
        (["-log", "same.csv", "-latents", "./same.csv"], "-latents and -log are both same.csv"),
        (["-log", "digits.csv"], "digits.csv"),
    ],
)
def test_programs_name_what_is_wrong_with_a_log(options: list[str], message: str) -> None:
    Path("digits.csv").write_bytes(Path(CSV).read_bytes())
    done = run([*program("binary"), "train", CFG, "digits.csv", "-epochs", "1", *options])
    assert done.returncode == 2 and message in done.stderr
    assert Path("digits.csv").read_bytes() == Path(CSV).read_bytes()


# ---- callbacks


def test_a_callback_gets_the_record_and_stops_by_true_only(network: Build) -> None:
    net, X = network(VAE.format("")), rows_of(16)
    records: list[dict[str, float]] = []
    for answer, epochs in ((1, 4), ("yes", 4), (None, 4), (True, 2), (np.True_, 2)):
        records.clear()

        def callback(progress: dv.Progress, answer: object = answer) -> object:
            records.append(progress.record)
            return answer if progress.epoch == 2 else False

        history = net.train(X, 4, callback=callback, holdout=0.25)  # type: ignore[arg-type]
        assert (len(records), len(history.total_loss)) == (epochs, epochs)
        assert history.stopped == ("callback" if epochs == 2 else "epochs") and history.records == records
    assert set(records[0]) == {*COLUMNS, *RATES, *COSTS, "valid_loss", "valid_image_loss", "valid_latent_loss"}


def test_several_callbacks_are_all_called(network: Build) -> None:
    heard: list[str] = []
    one = lambda p: heard.append(f"one {p.epoch}") or p.epoch == 2  # noqa: E731
    two = lambda p: heard.append(f"two {p.epoch}")  # noqa: E731
    network(VAE.format("")).train(rows_of(16), 4, callback=[one, two])
    assert heard == ["one 1", "two 1", "one 2", "two 2"]


# ---- TensorBoard


def scalars(folder: str) -> dict[str, list[tuple[int, float]]]:
    """What event files hold: records of length (8 bytes), its checksum (4), the bytes, their checksum (4)."""
    from tensorboardX.proto.event_pb2 import Event

    found: dict[str, list[tuple[int, float]]] = {}
    for path in sorted(Path(folder).iterdir()):
        data, at = path.read_bytes(), 0
        while at < len(data):
            (size,) = struct.unpack_from("<Q", data, at)
            event = Event.FromString(data[at + 12 : at + 12 + size])
            at += 16 + size
            for value in event.summary.value:
                found.setdefault(value.tag, []).append((event.step, value.simple_value))
    return found


def test_tensorboard_gets_every_epoch_of_every_training(network: Build) -> None:
    pytest.importorskip("tensorboardX")
    net, X, board = network(VAE.format("")), rows_of(20), dv.TensorBoard("runs")
    first = net.train(X, 3, holdout=0.2, callback=board)
    before = scalars("runs")
    assert len(before["train/total_loss"]) == 3
    second = net.train(X, 2, holdout=0.2, callback=board)
    found = scalars("runs")
    assert [step for step, _ in found["train/total_loss"]] == [1, 2, 3, 4, 5]
    losses = [value for _, value in found["valid/loss"]]
    assert losses == pytest.approx(first.valid_loss + second.valid_loss, rel=1e-6)
    assert set(found) == {
        *(f"train/{name}" for name in COLUMNS[4:]), *(f"rate/{name}" for name in RATES),
        "valid/loss", "valid/image_loss", "valid/latent_loss", "train/kl_cost", "valid/kl_cost",
    }  # fmt: skip


def test_without_tensorboardx_its_name_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(errors.MissingPackageError, match=r"pip install 'darknet-vae\[tensorboard\]'"):
        dv.TensorBoard("runs")


# ---- what is shown


def test_quiet_trainings_write_nothing(network: Build, capfd: pytest.CaptureFixture[str]) -> None:
    net, X = network(VAE.format("")), rows_of(16)
    net.train(X, 3, holdout=0.25, patience=1, log="log.csv", progress=False)
    assert capfd.readouterr() == ("", "")


def test_the_line_is_followed_by_why_the_training_stopped(
    network: Build, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tqdm", None)
    history = network(VAE.format("")).train(rows_of(16), 3, holdout=0.25, keep="best", progress=True)
    shown = capsys.readouterr().out
    assert "epoch 3/3" in shown and shown.endswith(f"\n{history.outcome}\n") and history.outcome


def fake_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    class ZMQInteractiveShell:
        pass

    notebook = types.ModuleType("IPython")
    notebook.get_ipython = ZMQInteractiveShell  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", notebook)


@pytest.mark.skipif(importlib.util.find_spec("tqdm") is None, reason="tqdm is not installed")
@pytest.mark.parametrize("open_end", [False, True])
def test_with_tqdm_there_is_a_bar_that_ends_full(
    open_end: bool, network: Build, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_notebook(monkeypatch)
    history = network(VAE.format("")).train(
        rows_of(400), None if open_end else 5, holdout=0.25, max_seconds=2 if open_end else None
    )
    shown = capsys.readouterr()
    last = shown.out.split("\r")[-1]
    assert shown.err == "" and last.startswith(f"epoch {len(history.total_loss)}")
    assert f"valid_loss {history.valid_loss[-1]:.5g}" in last and "rows/s" in last
    assert open_end or "100%" in last
    assert last.endswith("\n")
