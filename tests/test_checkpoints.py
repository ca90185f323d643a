"""Checkpoints: a training goes on from one as if it had not been stopped, and what happens when one cannot be written or read."""

from __future__ import annotations

import contextlib
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import ROOT, program, run
from test_kernels import c_test
from test_model_files import resealed
from test_training import KINDS, NOISY, rows_of, values

import darknet_vae as dv
from darknet_vae import errors
from darknet_vae._lib import check, dn_rows, ffi, lib

Build = Callable[..., dv.Network]
CFG = ROOT / "cfg" / "vae_digits.cfg"
DIGITS = ROOT / "data" / "digits.csv"
CHECKPOINT = "c.safetensors"
NETWORKS = {
    **KINDS,
    "a schedule": NOISY.replace("{net}", "policy=poly\nmax_batches=40\nburn_in=3\n{net}"),
    "averages": NOISY.replace("{net}", "ema=0.9\npolicy=plateau\npatience=0\nclip_norm=1\n{net}"),
}
"""All with Adam as well; rows of 6 numbers, sequences of 2."""


def test_the_state_of_a_training_becomes_text_and_back_with_all_its_bits() -> None:
    done = subprocess.run([str(c_test("test_training_fields"))], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


# ---- going on from anywhere


class Stepped:
    """A training that is run pass by pass: every call of `step` reports."""

    def __init__(self, net: dv.Network, X: np.ndarray, **options: Any) -> None:
        self.x = np.ascontiguousarray(X, np.float32)
        self._kept = {k: ffi.new("char[]", os.fsencode(v)) for k, v in options.items() if isinstance(v, str | Path)}
        given = ffi.new("dn_train_options *", {"shuffle": 1, **options, **self._kept})
        out = ffi.new("dn_trainer **")
        check(lib.dn_trainer_create(out, net._handle, dn_rows(self.x), given))
        self.trainer = out[0]
        self.net = net
        self.finished = False

    def __del__(self) -> None:
        """Before its network goes."""
        lib.dn_trainer_destroy(getattr(self, "trainer", ffi.NULL))

    def step(self) -> tuple[object, ...]:
        p = ffi.new("dn_progress *")
        check(lib.dn_trainer_run(self.trainer, 0, p))
        self.finished = bool(p.finished)
        report = {ffi.string(v.name): v.value for v in p.report.values[0 : p.report.n]}
        return (p.epoch, p.epochs, p.epoch_done, p.finished, p.rows_done, p.learning_rate, p.kept_epoch, sorted(report.items()))

    def rest(self) -> list[tuple[object, ...]]:
        reports = []
        while not self.finished:
            reports.append(self.step())
        return reports

    def checkpoint(self) -> None:
        check(lib.dn_trainer_checkpoint(self.trainer))

    def end(self) -> bytes:
        lib.dn_trainer_destroy(self.trainer)
        self.trainer = ffi.NULL
        return values(self.net)


def epochs_of(reports: list[tuple[object, ...]]) -> list[tuple[object, ...]]:
    return [report for report in reports if report[2]]


OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "held out": {"holdout": 0.25},
    "the best kept": {"holdout": 0.25, "keep": lib.DN_KEEP_BEST},
    "patience": {"holdout": 0.25, "patience": 2, "min_delta": 0.5},
    "not shuffled": {"shuffle": 0, "learning_rate": 0.003},
}


@pytest.mark.parametrize(("device", "adam"), [("cpu", 1), ("fence", 0)])
@pytest.mark.parametrize("how", OPTIONS)
@pytest.mark.parametrize("kind", NETWORKS)
def test_a_training_goes_on_from_any_place_as_if_it_had_not_been_stopped(
    kind: str, how: str, adam: int, device: str, network: Build
) -> None:
    """Steps of training and of validation: after each, a checkpoint, with which another network goes on to the same reports and
    the same bits."""
    cfg = NETWORKS[kind].format(net=f"adam={adam}\nlearning_rate=0.02")
    X, options = rows_of(38), {"epochs": 3, **OPTIONS[how]}

    def build() -> dv.Network:
        return network(cfg, seed=3, device=device, threads=random.Random(kind + how).choice([1, 2]))

    whole = Stepped(build(), X, **options)
    reports = whole.rest()
    bits, places = whole.end(), 0
    stopped = Stepped(build(), X, checkpoint=CHECKPOINT, checkpoint_every="1000000s", **options)
    for at in range(len(reports)):
        report = stopped.step()
        assert report[:2] == reports[at][:2] or places  # subdivisions: a batch is trained to its end
        if report[3]:
            break
        stopped.checkpoint()
        if at % 3:  # every place in turn, some of them for every combination
            continue
        places += 1
        goes_on = Stepped(build(), X, resume=CHECKPOINT, **options)
        rest = goes_on.rest()
        assert epochs_of(rest) == epochs_of(reports)[len(epochs_of(reports)) - len(epochs_of(rest)) :]
        assert goes_on.end() == bits
    assert places > 2


def test_a_checkpoint_of_one_device_goes_on_on_another(network: Build) -> None:
    cfg, X = KINDS["dropout and batch norm"].format(net="adam=1"), rows_of(40)
    results = []
    for devices in (["cpu"], ["fence"], ["cpu", "fence"], ["fence", "cpu"]):
        for i, device in enumerate(devices):
            net = network(cfg, device=device)
            more = {"resume": CHECKPOINT} if i else {}
            net.train(X, epochs=6 if len(devices) == i + 1 else 3, checkpoint=CHECKPOINT, **more)
        results.append(values(net))
    assert results[0] == results[2] and results[1] == results[3]  # of one arithmetic
    assert np.allclose(*(np.frombuffer(bits, np.float32) for bits in results[:2]), rtol=1e-3, atol=1e-5)


def test_a_training_on_a_gpu_goes_on_there_and_on_the_cpu(cuda: str, network: Build) -> None:
    """Its steps are recorded and replayed; a resume records them anew."""
    cfg, X = NOISY.format(net="adam=1"), rows_of(44)
    whole = Stepped(network(cfg, device=cuda), X, epochs=4, holdout=0.25)
    reports, places = whole.rest(), 0
    bits = whole.end()
    stopped = Stepped(network(cfg, device=cuda), X, epochs=4, holdout=0.25, checkpoint=CHECKPOINT)
    while not stopped.step()[3]:
        stopped.checkpoint()
        places += 1
        if places % 4:
            continue
        for device in (cuda, "cpu"):
            goes_on = Stepped(network(cfg, device=device), X, epochs=4, holdout=0.25, resume=CHECKPOINT)
            rest = goes_on.rest()
            ended = goes_on.end()
            assert np.allclose(*(np.frombuffer(end, np.float32) for end in (ended, bits)), rtol=1e-3, atol=1e-5)
            if device == cuda:
                assert ended == bits and epochs_of(rest) == epochs_of(reports)[4 - len(epochs_of(rest)) :]
    assert places > 12


def test_a_checkpoint_is_a_model_file_of_the_current_weights(network: Build) -> None:
    X, options = rows_of(40), dict[str, Any](holdout=0.25, keep="best")
    for adam in (0, 1):
        net = network(NOISY.format(net=f"adam={adam}"))
        current: list[bytes] = []
        options["callback"] = lambda now, net=net, current=current: current.append(values(net))
        net.train(X, 3, checkpoint=CHECKPOINT, **options)
        loaded = dv.Network.load(CHECKPOINT)
        assert values(loaded) == current[-1] and loaded.seen == 90
        other = network(NOISY.format(net=""), seed=5)
        other.load_weights(CHECKPOINT)
        assert values(other) == values(loaded)
        z = rows_of(3, loaded.latent_size)
        assert (loaded.sample(z) == other.sample(z)).all()


def test_info_and_sample_work_on_a_checkpoint(network: Build) -> None:
    trained = Stepped(network(NOISY.format(net="")), rows_of(40), epochs=9, checkpoint=CHECKPOINT)
    for at, place in {5: "1 epoch", 7: "1 epoch and 16 rows", 10: "2 epochs"}.items():
        while trained.net.seen < 8 * at:
            trained.step()
        trained.checkpoint()
        done = run([*program("binary"), "info", CHECKPOINT])
        assert f"\ncheckpoint after {place}: train -resume continues from it\n" in done.stdout, done.stderr
    assert '"checkpoint": {"epoch": 2, "rows_done": 0}' in run([*program("binary"), "info", CHECKPOINT, "-json"]).stdout
    assert len(run([*program("binary"), "sample", CHECKPOINT, "-n", "3"]).stdout.splitlines()) == 3


def test_the_history_of_a_resumed_training_is_that_of_the_epochs_still_to_come(network: Build) -> None:
    cfg, X = NOISY.format(net=""), rows_of(40)
    whole = network(cfg).train(X, epochs=7, holdout=0.2)
    first = network(cfg).train(X, epochs=3, holdout=0.2, checkpoint=CHECKPOINT)
    then = network(cfg).train(X, epochs=7, holdout=0.2, resume=CHECKPOINT)
    assert first.total_loss + then.total_loss == whole.total_loss and first.valid_loss + then.valid_loss == whole.valid_loss
    assert then.kept_epoch == 7
    again = network(cfg)
    assert again.train(X, epochs=7, holdout=0.2, resume=CHECKPOINT, history=first).total_loss == whole.total_loss
    assert first.kept_epoch == 7 and first.stopped == "epochs"


def test_a_finished_training_that_is_resumed_has_nothing_to_do_or_trains_more_epochs(network: Build) -> None:
    cfg, X = NOISY.format(net="max_batches=12"), rows_of(40)
    net, other = network(cfg), network(cfg)
    net.train(X, checkpoint=CHECKPOINT)  # ends within the third epoch
    assert other.train(X, resume=CHECKPOINT).stopped == "max_batches" and values(other) == values(net)
    more, straight = network(cfg.replace("=12", "=30")), network(cfg.replace("=12", "=30"))
    more.train(X, resume=CHECKPOINT)
    straight.train(X)
    assert values(more) == values(straight)
    with pytest.raises(errors.UsageError, match="nothing is left to train: epochs=2, and this is within epoch 3"):
        network(cfg).train(X, epochs=2, resume=CHECKPOINT)


def test_a_finished_training_that_is_resumed_says_why_it_had_ended(network: Build) -> None:
    cfg, X = NOISY.format(net="learning_rate=0.05"), rows_of(40)
    more: dict[str, Any] = {"holdout": 0.25, "patience": 1}
    epochs = len(network(cfg).train(X, epochs=500, **more).total_loss)
    assert epochs < 500
    ended = network(cfg).train(X, epochs=epochs, checkpoint=CHECKPOINT, **more)  # the last epoch is also the end of patience
    assert ended.stopped == "epochs"
    assert network(cfg).train(X, epochs=epochs, resume=CHECKPOINT, **more).stopped == "epochs"
    assert network(cfg).train(X, epochs=epochs + 1, resume=CHECKPOINT, **more).stopped == "patience"


@pytest.mark.parametrize("net", ["", "ema=0.9"])
def test_a_checkpoint_is_the_model_that_would_be_saved_then(net: str, network: Build) -> None:
    cfg, X = KINDS["dropout and batch norm"].replace("{net}", f"adam=1\n{net}"), rows_of(40)
    trained = network(cfg)
    loss = trained.train(X, 3, holdout=0.2, checkpoint=CHECKPOINT).valid_loss[-1]
    trained.save("m.safetensors")
    held = X[trained.held_out(len(X), 0.2)]
    for loaded in (dv.Network.load(CHECKPOINT), dv.Network.load("m.safetensors"), network(cfg)):
        if not loaded.seen:
            loaded.load_weights(CHECKPOINT)
        assert values(loaded) == values(dv.Network.load("m.safetensors"))
        assert loaded.evaluate(held)["total_loss"] == pytest.approx(loss, rel=1e-6)


def test_max_seconds_leaves_a_checkpoint_from_which_the_epoch_goes_on(network: Build) -> None:
    cfg, X = NOISY.format(net=""), rows_of(30000)
    straight, stopped, resumed = network(cfg), network(cfg), network(cfg)
    straight.train(X, epochs=2)
    assert stopped.train(X, epochs=2, max_seconds=1e-4, checkpoint=CHECKPOINT).stopped == "max_seconds"
    assert stopped.seen % len(X)
    resumed.train(X, epochs=2, resume=CHECKPOINT)
    assert values(resumed) == values(straight)


def test_the_best_epoch_before_a_resume_is_the_one_that_is_kept(network: Build) -> None:
    cfg, X = NOISY.format(net="learning_rate=0.02\npolicy=steps\nsteps=15\nscales=4"), rows_of(40)
    options: dict[str, Any] = {"holdout": 0.25, "keep": "best"}
    whole, first, then = network(cfg), network(cfg), network(cfg)
    kept = whole.train(X, epochs=8, **options).kept_epoch
    assert kept < 6
    first.train(X, epochs=6, checkpoint=CHECKPOINT, **options)
    history = then.train(X, epochs=8, resume=CHECKPOINT, **options)
    assert history.kept_epoch == kept and values(then) == values(whole) and then.seen == whole.seen


def test_preview_files_of_a_resumed_training_are_those_of_one(network: Build) -> None:
    cfg, X = NOISY.format(net=""), rows_of(40)
    for name, parts in {"whole": [4], "parts": [2, 4]}.items():
        os.mkdir(name)
        for i, epochs in enumerate(parts):
            more = {"resume": CHECKPOINT} if i else {}
            network(cfg).train(X, epochs=epochs, preview=f"{name}/p.txt", checkpoint=CHECKPOINT, **more)
    files = sorted(path.name for path in Path("whole").iterdir())
    assert len(files) == 10
    for name in files:
        assert Path("whole", name).read_bytes() == Path("parts", name).read_bytes()


def test_a_loss_that_is_not_finite_after_a_resume_goes_back_to_the_checkpoint(network: Build) -> None:
    cfg = NOISY.format(net="policy=steps\nsteps=8\nscales=1e30")
    X, net = rows_of(40), network(cfg)
    trained = Stepped(net, X, epochs=9, checkpoint=CHECKPOINT)
    for _ in range(7):  # one epoch and two batches
        trained.step()
    trained.checkpoint()
    before, seen = values(net), net.seen
    resumed = network(cfg)
    with pytest.raises(errors.NumericError, match="the weights of the checkpoint are kept"):
        resumed.train(X, epochs=9, resume=CHECKPOINT)
    assert values(resumed) == before and resumed.seen == seen


# ---- what does not fit


def test_a_resume_with_other_rows_or_options_says_what_differs(network: Build) -> None:
    cfg = NOISY.format(net="")
    X, valid = rows_of(40), rows_of(8, seed=1)
    options: dict[str, Any] = {"epochs": 4, "learning_rate": 0.01}
    network(cfg, seed=2).train(X, checkpoint=CHECKPOINT, valid=valid, **options)

    def refused(match: str, text: str = cfg, rows: np.ndarray = X, seed: int = 2, batch: int | None = None, **other: Any) -> None:
        net = network(text, seed=seed, batch=batch)
        before = values(net)
        with pytest.raises(errors.UsageError, match=match) as caught:
            net.train(rows, resume=CHECKPOINT, **{**options, "epochs": 6, "valid": valid, **other})
        assert str(caught.value).startswith(f"{CHECKPOINT}: ") and "\n" not in str(caught.value)
        assert values(net) == before and net.seen == 0
        assert net.train(X, epochs=1)  # and it is as it was

    refused("seed was 2, now it is 5", seed=5)
    refused("learning rate was 0.01, now it is 0.02", learning_rate=0.02)
    refused("learning rate was 0.01, now it is that of the cfg", learning_rate=None)
    refused("shuffle was 1, now it is 0", shuffle=False)
    refused("holdout was 0, now it is 0.5", valid=None, holdout=0.5)
    refused("number of rows for validation was 8, now it is 0", valid=None)
    refused("checksum of the rows for validation was", valid=valid[::-1])
    refused("number of rows was 40, now it is 39", rows=X[:39])
    refused("checksum of the rows was [0-9]+, now it is", rows=X + np.float32(1e-6))
    refused("batch was 8, now it is 16", batch=16)
    refused(r"activation of section 2 \[connected\] of its cfg was linear, now it is tanh", cfg.replace("linear", "tanh", 1))
    refused("momentum of section 1 .net. of its cfg was missing, now it is 0.5", NOISY.format(net="momentum=0.5"))
    refused("its cfg had 4 layers, now it has 5", cfg.replace("[cost]", "[dropout]\n[cost]"))
    refused("section 3 of its cfg was .sampling., now it is .dropout.", cfg.replace("[sampling]", "[dropout]"))
    network(cfg + "# a comment\n", seed=2).train(X, resume=CHECKPOINT, valid=valid, **{**options, "epochs": 5})


def test_what_is_no_checkpoint_is_refused(network: Build) -> None:
    cfg, X = NOISY.format(net=""), rows_of(40)
    net = network(cfg)
    net.save("w.weights")
    net.save("model.safetensors")
    Path("text").write_text("1,2,3\n")
    shutil.copy("w.weights", "other.safetensors")
    for path, kind, match in [
        ("w.weights", errors.FormatError, "w.weights: it looks like a Darknet weights file, .*: give it as -weights w.weights$"),
        ("other.safetensors", errors.FormatError, "looks like a Darknet weights file, .*: give it a name that ends in .weights$"),
        ("text", errors.FormatError, "text: "),
        ("model.safetensors", errors.FormatError, "a model, but no checkpoint"),
        ("missing", errors.MissingFileError, "missing"),
        (".", errors.FileError, "folder"),
    ]:
        with pytest.raises(kind, match=match):
            net.train(X, 1, resume=path)
    for every in ("60", "s", "1.5e", "0s", "-1e", "1m", "nans", "infs", "e", "1e1"):
        with pytest.raises(errors.UsageError, match="give seconds or whole epochs, such as 60s or 1e"):
            net.train(X, 1, checkpoint=CHECKPOINT, checkpoint_every=every)
    with pytest.raises(errors.UsageError, match="seconds or epochs as text"):
        net.train(X, 1, checkpoint=CHECKPOINT, checkpoint_every=60)  # type: ignore[arg-type]
    for more in ({"checkpoint_every": "1e"}, {"checkpoint_keep": 2}):
        with pytest.raises(errors.UsageError, match="no checkpoint file is given"):
            net.train(X, 1, **more)  # type: ignore[arg-type]
    with pytest.raises(errors.UsageError, match="standard output"):
        net.train(X, 1, checkpoint="-")
    for path in ("no/folder.safetensors", "/dev/full", "."):
        with pytest.raises(errors.FileError):
            net.train(X, 1, checkpoint=path)


@pytest.mark.parametrize(
    ("name", "value"), [("rows_done", 33), ("log_rows", 2**63), ("epoch", -1), ("epoch", 2**31 - 1), ("patience_waited", -1)]
)
def test_a_place_that_cannot_be_is_refused_whatever_the_checksum(network: Build, name: str, value: int) -> None:
    cfg, X = NOISY.format(net=""), rows_of(32)
    network(cfg).train(X, 2, checkpoint=CHECKPOINT)
    resealed(CHECKPOINT, lambda metadata: metadata.update({f"darknet_vae.training.{name}": str(value)}))
    with pytest.raises(errors.FormatError, match=f"the value of darknet_vae.training.{name} cannot be"):
        network(cfg).train(X, 9, resume=CHECKPOINT)


def test_a_stream_without_an_end_is_no_checkpoint(network: Build) -> None:
    """Nothing more of it is read than a model file would have."""
    cfg, X = NOISY.format(net=""), rows_of(32)
    with pytest.raises(errors.FormatError, match="/dev/zero: "):
        network(cfg).train(X, 9, resume="/dev/zero")
    network(cfg).train(X, 2, checkpoint=CHECKPOINT)
    os.mkfifo("fifo")

    def fill() -> None:
        with contextlib.suppress(BrokenPipeError), open("fifo", "wb") as to:
            to.write(Path(CHECKPOINT).read_bytes())
            while True:
                to.write(bytes(65536))

    filler = threading.Thread(target=fill)
    filler.start()
    with pytest.raises(errors.FormatError, match="fifo: it goes on after the last tensor"):
        network(cfg).train(X, 9, resume="fifo")
    filler.join(10)
    assert not filler.is_alive()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-checkpoint", "l.csv", "-log", "l.csv"], "-checkpoint and -log are both l.csv"),
        (["-checkpoint", "latent_space.txt"], "-latents and -checkpoint are both latent_space.txt"),
        (["-latents", "p_input_0.txt", "-output", "p"], "-latents and -output are both p_input_0.txt"),
        (
            ["-checkpoint", CHECKPOINT, "-checkpoint-keep", "3", "-save", "./c.2.safetensors"],
            "-save ./c.2.safetensors is where -checkpoint-keep 3 puts an older one",
        ),
    ],
)
def test_no_two_outputs_are_one_file(options: list[str], message: str) -> None:
    done = run([*program("binary"), "train", str(CFG), str(DIGITS), "-epochs", "1", *options])
    assert done.returncode == 2 and message in done.stderr and os.listdir() == []


def test_a_checkpoint_never_takes_the_place_of_a_weights_file(network: Build) -> None:
    net = network(NOISY.format(net=""))
    net.save("w.weights")
    kept = Path("w.weights").read_bytes()
    for name in ("w.weights", "x.csv", "x.cfg"):
        with pytest.raises(errors.UsageError, match=rf"^checkpoint={re.escape(name)} must end in \.safetensors$"):
            net.train(rows_of(32), 1, checkpoint=name, log="l.csv")
    done = run([*program("binary"), "train", str(CFG), str(DIGITS), "-epochs", "1", "-checkpoint", "w.weights"])
    assert done.returncode == 2 and "checkpoint=w.weights must end in .safetensors" in done.stderr
    assert Path("w.weights").read_bytes() == kept and sorted(os.listdir()) == ["net.cfg", "w.weights"]


@pytest.mark.parametrize("option", ["checkpoint", "checkpoint_every", "resume", "log"])
def test_an_empty_name_is_not_no_name(network: Build, option: str) -> None:
    with pytest.raises(errors.UsageError, match=f"{option}='' is empty"):
        network(NOISY.format(net="")).train(rows_of(32), 1, **{option: ""})  # type: ignore[arg-type]


def test_a_checkpoint_and_a_log_are_two_files(network: Build) -> None:
    with pytest.raises(errors.UsageError, match=r"checkpoint and log are both l\.csv"):
        network(NOISY.format(net="")).train(rows_of(32), 1, checkpoint="l.csv", log="l.csv")


@pytest.mark.parametrize("bits", [1, pytest.param(8, marks=pytest.mark.slow)])
def test_every_truncation_and_flipped_bit_of_a_checkpoint_is_refused(bits: int, network: Build) -> None:
    text = "[net]\ninputs=1\nbatch=1\nadam=1\n[connected]\noutput=1\nactivation=linear\n[cost]\n"
    X = rows_of(2, 1)
    network(text).train(X, 1, checkpoint=CHECKPOINT)
    whole, net = Path(CHECKPOINT).read_bytes(), network(text)
    with open("bad.safetensors", "wb", buffering=0) as file:

        def refused(at: int, byte: int, size: int = len(whole)) -> None:
            os.pwrite(file.fileno(), bytes([byte]), at)
            os.ftruncate(file.fileno(), size)
            with pytest.raises(errors.FormatError) as caught:
                net.train(X, 2, resume="bad.safetensors")
            assert str(caught.value).startswith("bad.safetensors: ") and "\n" not in str(caught.value)
            os.pwrite(file.fileno(), whole[at : at + 1], at)

        file.write(whole)
        for at in range(len(whole)):
            for bit in range(8) if bits == 8 else [at % 8]:
                refused(at, whole[at] ^ 1 << bit)
        refused(len(whole), 0, len(whole) + 1)
        for size in reversed(range(len(whole))):
            refused(0, whole[0], size)
    net.train(X, 2, resume=CHECKPOINT)


# ---- writing


def seen_of(path: str | Path) -> int:
    """Rows trained when the checkpoint was taken, which must be a whole file."""
    text = Path(path).read_bytes()
    found = re.search(rb'"darknet_vae.training.seen":"([0-9]+)"', text)
    assert found
    return int(found[1])


def test_the_last_checkpoints_are_kept_under_numbers(network: Build) -> None:
    X, cfg = rows_of(40), NOISY.format(net="")
    net = network(cfg)
    net.train(X, epochs=2, checkpoint=CHECKPOINT, checkpoint_every="1e", checkpoint_keep=4)
    assert sorted(os.listdir()) == ["c.1.safetensors", CHECKPOINT, "net.cfg"]
    net.train(X, epochs=5, checkpoint=CHECKPOINT, checkpoint_every="1e", checkpoint_keep=4)
    names = [CHECKPOINT, "c.1.safetensors", "c.2.safetensors", "c.3.safetensors"]
    assert sorted(os.listdir()) == sorted([*names, "net.cfg"])
    assert [seen_of(name) for name in names] == [280, 240, 200, 160]
    os.remove("c.2.safetensors")  # a gap is filled, and what is after it stays
    net.train(X, epochs=1, checkpoint=CHECKPOINT, checkpoint_keep=4)
    assert [seen_of(name) for name in names] == [320, 280, 240, 160]
    net.train(X, epochs=4, checkpoint=CHECKPOINT, checkpoint_every="2e")
    assert [seen_of(name) for name in names] == [480, 280, 240, 160]
    older = network(cfg)  # an older one can be gone on from as well
    older.train(X, epochs=5, resume="c.2.safetensors")
    assert values(older)


def test_a_checkpoint_is_written_after_some_seconds_and_at_the_end(network: Build) -> None:
    net, X, taken = network(NOISY.format(net="")), rows_of(2000), set()

    def look(now: dv.network.Progress) -> None:
        if os.path.exists(CHECKPOINT):
            taken.add(seen_of(CHECKPOINT))

    net.train(X, epochs=1000, max_seconds=1, checkpoint=CHECKPOINT, checkpoint_every="0.1s", on_slice=look)
    assert 4 <= len(taken) <= 11
    assert seen_of(CHECKPOINT) == net.seen


def test_a_training_that_ends_early_leaves_a_checkpoint(network: Build) -> None:
    cfg, X = NOISY.replace("batch=8", "batch=8\nsubdivisions=4").format(net=""), rows_of(3000)
    whole = network(cfg)
    whole.train(X, epochs=4)

    def raises(now: dv.network.Progress) -> None:
        if now.epoch:
            raise KeyboardInterrupt

    for ends in ({"on_slice": raises}, {"callback": lambda now: True}):
        stopped, resumed = network(cfg), network(cfg)
        with contextlib.suppress(KeyboardInterrupt):
            stopped.train(X, epochs=4, checkpoint=CHECKPOINT, **ends)  # type: ignore[arg-type]
        assert stopped.seen < 4 * 3000
        resumed.train(X, epochs=4, resume=CHECKPOINT)
        assert values(resumed) == values(whole)
        os.remove(CHECKPOINT)


def test_every_failing_call_while_a_checkpoint_is_written_leaves_one_to_go_on_from(network: Build) -> None:
    cfg, X = NOISY.format(net=""), rows_of(16)
    whole, failed = network(cfg), 0
    whole.train(X, epochs=5)
    for n in range(1, 1000):
        net, resumed = network(cfg), network(cfg)

        def callback(now: dv.network.Progress, n: int = n) -> None:
            if now.epoch == 1:
                lib.dn_sys_fail_at(n)

        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            try:
                net.train(X, epochs=3, checkpoint=CHECKPOINT, checkpoint_every="1e", checkpoint_keep=2, callback=callback)
                done = True
            except errors.DarknetError:
                done = False
        called = lib.dn_sys_fail_at(0)
        resumed.train(X, epochs=5, resume=CHECKPOINT)
        assert values(resumed) == values(whole)
        assert len(warned) <= 1 and not list(Path().glob("*.tmp*"))
        for path in Path().glob("*.safetensors"):
            if path.name != CHECKPOINT:
                network(cfg).train(X, epochs=5, resume=path)
            path.unlink()
        failed += len(warned) or not done
        if called < n:
            break
    else:
        pytest.fail("never went through")
    assert failed > 15


FULL_AND_READ_ONLY = """
import os, subprocess, sys, time, warnings
import darknet_vae as dv
import numpy as np
net = dv.Network({cfg!r})
X = np.random.default_rng(0).random((40, 64), dtype=np.float32)
path, before = "disk/c.safetensors", []
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", "disk"], check=True)
def content(path):
    with open(path, "rb") as file:
        return file.read()
def fill():
    with open("disk/fill", "wb", buffering=0) as f:
        try:
            while f.write(b"x" * 4096): pass
        except OSError: pass
steps = {{2: fill, 4: lambda: os.remove("disk/fill"),
         6: lambda: subprocess.run(["mount", "-o", "remount,ro", "disk"], check=True),
         8: lambda: subprocess.run(["mount", "-o", "remount,rw", "disk"], check=True)}}
def callback(now):
    while now.epoch not in (3, 4, 7, 8):  # until the thread has written it
        if os.path.exists(path) and b'training.seen":"%d"' % net.seen in content(path): break
        time.sleep(0.01)
    if now.epoch in (2, 6):
        before.append(content(path))
    if now.epoch in (4, 8):  # could not be written meanwhile
        time.sleep(0.1)
        assert content(path) == before[-1]
    steps.get(now.epoch, lambda: None)()
with warnings.catch_warnings(record=True) as warned:
    warnings.simplefilter("always")
    net.train(X, epochs=10, checkpoint=path, checkpoint_every="1e", callback=callback)
print(*(str(w.message) for w in warned), sep="\\n")
assert os.listdir("disk") == ["c.safetensors"]
other = dv.Network({cfg!r})
other.train(X, epochs=11, resume=path)
net = dv.Network({cfg!r})
net.train(X, epochs=11)
assert all((a.params[k] == b.params[k]).all() for a, b in zip(net.layers, other.layers) for k in a.params)
"""


def test_a_full_disk_and_a_read_only_one_in_the_middle_are_one_warning_each() -> None:
    os.mkdir("disk")
    if subprocess.run(["unshare", "-rm", "mount", "-t", "tmpfs", "none", "disk"], capture_output=True).returncode:
        pytest.skip("no mounting here")
    done = run(["unshare", "-rm", sys.executable, "-c", FULL_AND_READ_ONLY.format(cfg=str(CFG))])
    assert done.returncode == 0, done.stdout + done.stderr
    first, second = done.stdout.splitlines()
    assert first == (
        "the checkpoint is not written: cannot write disk/c.safetensors: No space left on device; the next one is tried again"
    )
    assert "Read-only file system" in second


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
def test_a_folder_that_becomes_read_only_keeps_its_checkpoint() -> None:
    """It is never written over in place, as other files are: a kill would leave half of one."""
    os.mkdir("there", mode=0o777)
    os.chmod("there", 0o777)

    path = Path("there", CHECKPOINT)

    def callback(now: dv.network.Progress) -> None:
        if now.epoch == 2:
            while not path.exists() or seen_of(path) < 80:
                time.sleep(0.01)
            os.chmod("there", 0o555)
            path.chmod(0o666)

    def train() -> None:
        os.chmod("there", 0o777)
        net = dv.Network(CFG)
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            net.train(np.abs(rows_of(40, 64)) / 8, 5, checkpoint=path, checkpoint_every="1e", callback=callback)
        assert seen_of(path) == 80
        assert "Permission denied; the next one is tried again" in str(warned[0].message)
        assert len(warned) == 2 and "Permission denied" in str(warned[1].message)  # and once more at the end

    from test_outputs import as_somebody

    os.chown("there", 4321, 4321)
    assert as_somebody(train, 4321) == ""


# ---- being killed


IN_PYTHON = """
import sys
import darknet_vae as dv
cfg, table, threads, every, keep, resume = sys.argv[1:7]
X = dv.load_table(table, label_column="label", scale=16).X
net = dv.Network(cfg, seed=3, threads=int(threads))
print("begins", flush=True)
more = dict(checkpoint="c.safetensors", checkpoint_every=every, checkpoint_keep=int(keep)) if every else {}
history = net.train(X, 10, holdout=0.2, log="log.csv", log_every=10, resume=resume or None, **more)
dv.save_csv("latent_space.txt", net.encode(X)[0])
net.save("o.weights")
print(history.stopped, history.kept_epoch, net.seen)
"""


def killed(kind: str, kills: int, seed: int) -> None:
    """A training is killed at random moments, `kills` times in all, and goes on each time; what it leaves is always that of a
    training that was not killed."""
    chosen = random.Random(seed)
    files = ["o.weights", "latent_space.txt"]

    def words(threads: str, every: str, keep: str, resume: str) -> list[str]:
        if kind == "python":
            return [sys.executable, "-c", IN_PYTHON, str(CFG), str(DIGITS), threads, every, keep, resume]
        given = [*program(kind), "train", str(CFG), str(DIGITS), "-epochs", "10", "-seed", "3", "-nogpu", "-holdout", "0.2"]
        given += ["-json", "-log", "log.csv", "-log-every", "10", "-threads", threads, "-save", "o.weights"]
        given += ["-checkpoint", CHECKPOINT, "-checkpoint-every", every, "-checkpoint-keep", keep] if every else []
        return given + (["-resume", resume] if resume else [])

    def left(out: str) -> tuple[object, ...]:
        """What a training leaves, without times: they are the last columns of the log."""
        lines = [line.rsplit(",", 2)[0] for line in Path("log.csv").read_text().splitlines()]
        return {name: Path(name).read_bytes() for name in files}, lines, out.replace("begins\n", "").split('"seconds')[0]

    started = time.monotonic()
    done = run(words("2", "", "", ""))
    takes = time.monotonic() - started
    assert done.returncode == 0, done.stderr
    wanted = left(done.stdout)
    while kills > 0:
        for path in [*map(Path, files), *Path().glob("c*.safetensors"), Path("log.csv")]:
            path.unlink(missing_ok=True)
        for rounds in range(9):
            resume = CHECKPOINT if os.path.exists(CHECKPOINT) else ""
            every, keep = chosen.choice(["1e", "0.01s"]), chosen.choice("12")
            # without a buffer, or the line that is waited for takes along what follows it, which communicate does not see
            child = subprocess.Popen(
                words(chosen.choice("12"), every, keep, resume), stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
            )
            assert child.stdout
            if kind == "python":
                child.stdout.readline()  # what it takes to start is not to be tested
            try:
                out, err = child.communicate(timeout=chosen.uniform(0, takes / 2) if kills > 0 and rounds < 8 else 120)
                break
            except subprocess.TimeoutExpired:
                child.kill()
                child.communicate()
                kills -= 1
        assert child.returncode == 0, err
        assert left(out.decode()) == wanted


@pytest.mark.parametrize("kind", ["binary", "python"])
def test_a_training_that_is_killed_goes_on_to_the_same_files(kind: str) -> None:
    killed(kind, 5, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["binary", "python"])
def test_a_training_that_is_killed_fifty_times_goes_on_to_the_same_files(kind: str) -> None:
    killed(kind, 50, seed=2)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("kind", ["binary", "python"])
def test_a_signal_leaves_a_checkpoint_from_which_the_training_goes_on(kind: str, number: signal.Signals) -> None:
    words = [*program(kind), "train", str(CFG), str(DIGITS), "-nogpu", "-no-latents", "-json", "-save", "o.weights"]
    child = subprocess.Popen([*words, "-epochs", "100000", "-checkpoint", CHECKPOINT], stderr=subprocess.PIPE, text=True)
    assert child.stderr
    for line in child.stderr:
        if line.startswith("epoch 3/"):
            break
    child.send_signal(number)
    _, told = child.communicate()
    assert child.returncode == 128 + number and os.path.exists("o.weights")
    assert told.splitlines()[-1] == f"to continue this training, repeat the command with -resume {CHECKPOINT}"
    epochs = str(seen_of(CHECKPOINT) // 1797 + 2)
    assert run([*words, "-epochs", epochs, "-resume", CHECKPOINT]).returncode == 0
    resumed = Path("o.weights").read_bytes()
    assert run([*words, "-epochs", epochs]).returncode == 0
    assert Path("o.weights").read_bytes() == resumed
