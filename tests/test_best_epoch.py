"""The best epoch by the loss of held-out rows: which it is, that its weights remain, and when a training stops."""

from __future__ import annotations

import functools
import itertools
import json
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers import ROOT, only_of_one_build, program, run
from test_kernels import c_test

import darknet_vae as dv
from darknet_vae import errors
from darknet_vae._lib import lib

Build = Callable[..., dv.Network]
CFG, CSV = str(ROOT / "cfg" / "vae_digits.cfg"), str(ROOT / "data" / "digits.csv")
HEAD = "[net]\ninputs=6\nbatch=8\nlearning_rate=0.05\nmomentum=0.9\ndecay=0\n{}\n"
KINDS = {
    "a VAE": HEAD + "[connected]\noutput=8\nactivation=tanh\n[connected]\noutput=4\nactivation=linear\n[sampling]\nbeta=0.1\n"
    "[connected]\noutput=16\nactivation=tanh\n[connected]\noutput=6\nactivation=linear\n[cost]\n",
    "batch norm and dropout": HEAD + "[connected]\noutput=16\nbatch_normalize=1\nactivation=leaky\n[dropout]\nprobability=0.1\n"
    "[connected]\noutput=6\nactivation=linear\n[cost]\n",
    "a classifier": HEAD + "[connected]\noutput=16\nactivation=tanh\n[connected]\noutput=3\nactivation=linear\n[softmax]\n",
    "averages": HEAD + "ema=0.9\n[connected]\noutput=16\nbatch_normalize=1\nactivation=leaky\n"
    "[connected]\noutput=6\nactivation=linear\n[cost]\n",
    "a recurrent network": HEAD + "time_steps=2\n[lstm]\noutput=8\n[connected]\noutput=6\nactivation=linear\n[cost]\n",
}

RATES = {
    "a VAE": ("0.05", "0.05"),
    "batch norm and dropout": ("0.1", "0.02"),
    "a classifier": ("0.2", "0.05"),
    "averages": ("0.2", "0.3"),
    "a recurrent network": ("0.005", "0.003"),
}
"""With SGD and with Adam: so that the lowest loss is none of the first and not the last."""


def rows_of(n: int, columns: int = 6, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, columns)).astype(np.float32)


def truth_of(kind: str, n: int, seed: int) -> np.ndarray:
    """Nothing that could be learned from the rows, so that losses of other rows rise soon."""
    if kind == "a classifier":
        return np.eye(3, dtype=np.float32)[np.random.default_rng(seed).integers(3, size=n)]
    return rows_of(n, 6, seed)


def test_a_history_is_shown_in_one_line() -> None:
    net = dv.Network(cfg_text=KINDS["a VAE"].format("adam=1"), seed=1, device="cpu")
    history = net.train(rows_of(64), 200, holdout=0.25, patience=5)
    assert history.stopped == "patience"
    line = (
        f"<History: {len(history.total_loss)} epochs, {history.seconds:.3g} s, stopped by patience, kept epoch "
        f"{history.kept_epoch}; last: image_loss {history.image_loss[-1]:.5g}, "
    )
    assert repr(history).startswith(line) and f"valid_loss {history.valid_loss[-1]:.5g}>" in repr(history)
    assert repr(net.train(rows_of(64), 2)).startswith("<History: 2 epochs, ")
    assert repr(dv.network.History()) == "<History: 0 epochs, 0 s>"


def values(net: dv.Network) -> bytes:
    return b"".join(layer.params[name].tobytes() for layer in net.layers for name in layer.params)


def words(program_kind: str, *rest: str) -> list[str]:
    return [*program(program_kind), *rest]


def printed(text: str) -> list[float]:
    """valid_loss of every epoch line."""
    return [float(found) for found in re.findall(r"^epoch \d+.* valid_loss (\S+)", text, flags=re.M)]


def test_the_best_and_the_end_of_patience_for_any_losses() -> None:
    done = subprocess.run([str(c_test("test_keep"))], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


# ---- the weights that remain


@pytest.mark.parametrize("optimizer", ["", "adam=1"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_network_is_what_it_was_after_the_best_epoch(kind: str, optimizer: str, device: str, network: Build) -> None:
    """Parameters, statistics, moments and seen: both go on alike. The best is that of the lowest loss, not accuracy."""
    text = KINDS[kind].format(optimizer).replace("0.05", RATES[kind][bool(optimizer)])
    X, Y = rows_of(48), truth_of(kind, 48, 1)
    valid = (rows_of(30, 6, 2), truth_of(kind, 30, 3))
    best, again, last = (network(text, seed=4, device=device) for _ in range(3))
    history = best.train(X, 12, Y, valid=valid, keep="best")
    kept = 1 + int(np.argmin(history.valid_loss))
    assert kept < 12, "the losses must rise again for this test to mean anything"
    assert (history.kept_epoch, history.stopped, len(history.valid_loss)) == (kept, "epochs", 12)
    assert history.outcome.startswith(f"kept epoch {kept}, the best by valid_loss (")
    assert best.evaluate(*valid)["total_loss"] == pytest.approx(history.valid_loss[kept - 1], rel=1e-6)
    assert best.seen == kept * 48
    again.train(X, kept, Y)
    kept_values = values(best)
    assert kept_values == values(again)
    assert best.train(X, 2, Y).total_loss == again.train(X, 2, Y).total_loss
    assert values(best) == values(again)
    assert last.train(X, 12, Y, valid=valid).kept_epoch == 12
    assert last.seen == 12 * 48 and values(last) != kept_values


@pytest.mark.parametrize("device_name", ["cpu", "fence"])
def test_patience_stops_the_training(device_name: str, network: Build) -> None:
    X, Y = rows_of(48), truth_of("a VAE", 48, 1)
    valid = (rows_of(30, 6, 2), truth_of("a VAE", 30, 3))
    text = KINDS["a VAE"].format("")
    whole = network(text, seed=4, device=device_name).train(X, 40, Y, valid=valid).valid_loss
    stopped, net = 0, network(text, seed=4, device=device_name)
    for epoch in range(1, 41):
        best = 1 + int(np.argmin(whole[:epoch]))
        if epoch - best == 3:
            stopped = epoch
            break
    assert 3 < stopped < 40
    history = net.train(X, 40, Y, valid=valid, patience=3)
    assert history.valid_loss == whole[:stopped]
    assert (history.stopped, history.kept_epoch) == ("patience", best)
    assert history.outcome.startswith(
        f"stopped after epoch {stopped}: valid_loss has not improved in 3 epochs; kept epoch {best}"
    )
    assert net.evaluate(*valid)["total_loss"] == pytest.approx(min(whole[:stopped]), rel=1e-6)
    last = network(text, seed=4, device=device_name)
    assert last.train(X, 40, Y, valid=valid, patience=3, keep="last").kept_epoch == stopped
    assert last.seen == stopped * 48
    open_end = network(text, seed=4, device=device_name)  # neither epochs nor max_batches
    lines: list[str] = []
    assert (
        open_end.train(X, None, Y, valid=valid, patience=3, callback=lambda p: lines.append(p.line)).valid_loss == whole[:stopped]
    )
    assert values(open_end) == values(net)
    assert re.match(r"epoch 1  image_loss .* rows/s$", lines[0])


def test_min_delta_stops_earlier_and_still_keeps_the_lowest(network: Build) -> None:
    X, Y, valid = rows_of(48), truth_of("", 48, 1), (rows_of(30, 6, 2), truth_of("", 30, 3))
    text = KINDS["a VAE"].format("").replace("0.05", "0.001")
    whole = network(text, seed=4).train(X, 6, Y, valid=valid).valid_loss
    assert all(a > b for a, b in itertools.pairwise(whole))
    history = network(text, seed=4).train(X, 6, Y, valid=valid, patience=2, min_delta=10 * (whole[0] - whole[1]))
    assert (history.stopped, len(history.valid_loss), history.kept_epoch) == ("patience", 3, 3)


def test_patience_begins_after_the_warm_up(network: Build) -> None:
    """burn_in=20 batches are three and a third epochs, so the fourth is the first that counts."""
    X, Y, valid = rows_of(48), truth_of("", 48, 1), (rows_of(30, 6, 2), truth_of("", 30, 3))
    text = KINDS["a VAE"].format("burn_in=20\npower=0").replace("0.05", "0.2")
    whole = network(text, seed=4).train(X, 9, Y, valid=valid).valid_loss
    best = 1 + int(np.argmin(whole))
    assert best <= 2
    history = network(text, seed=4).train(X, 9, Y, valid=valid, patience=2)
    assert (history.stopped, len(history.valid_loss), history.kept_epoch) == ("patience", 5, best)


def test_losses_that_are_not_finite_are_never_the_best(network: Build) -> None:
    X, valid = rows_of(48), np.full((4, 6), 1e30, np.float32)
    net = network(KINDS["a VAE"].format(""), seed=4)
    history = net.train(X, 9, valid=valid, patience=3)
    assert not np.isfinite(history.valid_loss).any()
    assert (history.stopped, history.kept_epoch, net.seen) == ("patience", 3, 3 * 48)
    assert history.outcome.endswith("kept epoch 3, the last: no valid_loss was finite")


# ---- other ends


def test_max_seconds_stops_at_the_end_of_a_step(device: str, network: Build) -> None:
    X = rows_of(200_001 if device != "cuda" else 2001)
    net = network(KINDS["a VAE"].format("subdivisions=2"), seed=1, device=device)
    began = time.monotonic()
    history = net.train(X, 10**6, max_seconds=0.3)
    assert time.monotonic() - began < 20
    assert (history.stopped, history.kept_epoch) == ("max_seconds", len(history.total_loss))
    assert net.seen > 0 and (net.seen % len(X) % 8 == 0 or net.seen % len(X) == 1)  # whole batches
    assert "after 0.3 seconds (max_seconds)" in history.outcome
    assert net.train(X[:16], 1).stopped == "epochs"


def test_max_seconds_needs_no_other_end_and_validates_what_it_leaves(network: Build) -> None:
    net, X, valid = network(KINDS["a VAE"].format(""), seed=1), rows_of(100_000), rows_of(50, 6, 1)
    lines: list[str] = []
    history = net.train(X, max_seconds=0.2, valid=valid, keep="best", on_slice=lambda p: lines.append(p.line))
    assert history.stopped == "max_seconds" and len(history.valid_loss) == len(history.total_loss) >= 1
    assert net.evaluate(valid)["total_loss"] == pytest.approx(min(history.valid_loss), rel=1e-6)
    assert "eta 0." in lines[0]


@pytest.mark.parametrize("end", ["callback", "interrupted", "failed", "NumericError"])
def test_whatever_ends_a_training_leaves_the_best(end: str, network: Build) -> None:
    X, Y = rows_of(48), truth_of("", 48, 1)
    valid = (rows_of(30, 6, 2), truth_of("", 30, 3))
    net, again = (network(KINDS["a VAE"].format(""), seed=4) for _ in range(2))
    whole = network(KINDS["a VAE"].format(""), seed=4).train(X, 12, Y, valid=valid).valid_loss
    history, kept = dv.History(), 1 + int(np.argmin(whole))
    assert kept < 12

    def callback(progress: dv.Progress) -> bool:
        if progress.epoch < 12:
            return False
        if end == "NumericError":
            net.layers[0].set("weights", np.full(48, np.nan))
            return False
        if end != "callback":
            raise KeyboardInterrupt if end == "interrupted" else ValueError("of the callback")
        return True

    def train() -> None:
        net.train(X, 20, Y, valid=valid, keep="best", callback=callback, history=history)

    if end == "callback":
        train()
    else:
        kinds = {"interrupted": KeyboardInterrupt, "failed": ValueError, "NumericError": errors.NumericError}
        with pytest.raises(kinds[end], match=f"the weights of epoch {kept} are kept" if end == "NumericError" else None):
            train()
    again.train(X, kept, Y)
    assert values(net) == values(again) and net.seen == again.seen
    assert (history.stopped, history.kept_epoch) == ("failed" if end == "NumericError" else end, kept)


def test_ctrl_c_saves_the_best_epoch_of_the_program() -> None:
    words_ = words(
        "binary", "train", CFG, CSV, "-N", "120", "-epochs", "1000000", "-lr", "0.02", "-holdout", "0.5", "-keep", "best"
    )
    heed = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    process = subprocess.Popen([*words_, "-nogpu", "-seed", "2"], stderr=subprocess.PIPE, text=True, preexec_fn=heed)
    assert process.stderr is not None
    said = ""
    while len(printed(said)) < 60:
        said += process.stderr.readline()
    process.send_signal(signal.SIGINT)
    said += process.stderr.read()
    assert process.wait() == 128 + signal.SIGINT
    losses = printed(said)
    kept = 1 + int(np.argmin(losses))
    assert kept < len(losses) and f"\nkept epoch {kept}, the best by valid_loss (" in said
    words_[words_.index("1000000")] = str(kept)
    run([*words_, "-nogpu", "-seed", "2", "-quiet", "-save", "again.weights"])
    assert Path("again.weights").read_bytes() == Path("vae.weights").read_bytes()


@pytest.mark.filterwarnings("ignore:the log ends here")
def test_memory_or_files_that_fail_anywhere_leave_the_network_usable(network: Build) -> None:
    X, valid, text = rows_of(24), rows_of(10, 6, 1), KINDS["batch norm and dropout"].format("")
    before, failed, calls, n = values(network(text, seed=4)), 0, 1, 0
    while calls >= n:  # until there is no n-th call
        n += 1
        net = network(text, seed=4)
        lib.dn_sys_fail_at(n)
        try:
            net.train(X, 1, valid=valid, keep="best", log="log.csv", log_every=2)
        except (MemoryError, errors.DarknetError):
            failed += 1
            assert values(net) == before and net.seen == 0
        finally:
            calls = lib.dn_sys_fail_at(0)
        assert net.train(X, 1, valid=valid, keep="best", log="log.csv").kept_epoch == 1
    assert failed > 10


def test_a_history_counts_epochs_over_its_trainings(network: Build) -> None:
    net, X, history = network(KINDS["a VAE"].format("")), rows_of(48), dv.History()
    net.train(X, 3, history=history)
    assert (history.kept_epoch, history.stopped) == (3, "epochs")
    net.train(X, 4, holdout=0.25, keep="best", history=history)
    assert history.valid_loss[history.kept_epoch - 1 - 3] == min(history.valid_loss)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"patience": 3}, r"patience goes by the loss of held-out rows: give some \(-valid or -holdout\)"),
        ({"keep": "best"}, r"keep=best goes by the loss of held-out rows"),
        ({"min_delta": 1, "holdout": 0.5}, r"min_delta says what patience counts as an improvement: give patience too"),
        ({"min_delta": -1, "patience": 1, "holdout": 0.5}, r"min_delta=-1 is not a number from 0 on"),
        ({"min_delta": float("nan"), "patience": 1, "holdout": 0.5}, r"min_delta=nan is not"),
        ({"patience": 0, "holdout": 0.5}, r"patience=0 is not 1 to"),
        ({"patience": 1.5, "holdout": 0.5}, r"patience=1.5 is not a whole number"),
        ({"keep": "all"}, r"keep='all' is neither \"last\" nor \"best\""),
        ({"max_seconds": 0}, r"max_seconds=0 is not above 0"),
        ({"max_seconds": float("inf")}, r"max_seconds=inf is not a number of seconds"),
        ({"epochs": None}, r"when to stop\? give epochs, patience or max_seconds, or max_batches in \[net\]"),
    ],
)
def test_options_that_make_no_sense_are_named(options: dict[str, object], message: str, network: Build) -> None:
    net = network(KINDS["a VAE"].format(""))
    with pytest.raises(errors.UsageError, match=message):
        net.train(rows_of(48), **{"epochs": 1, **options})  # type: ignore[arg-type]
    assert net.seen == 0


# ---- the held-out rows


def test_the_held_out_rows_can_be_had(network: Build) -> None:
    X = rows_of(101)
    net = network(KINDS["a VAE"].format(""), seed=9)
    held = net.held_out(101, 0.25)
    assert len(held) == 25 and (np.diff(held) > 0).all() and held[-1] <= 100
    history = net.train(X, 3, holdout=0.25)
    assert net.evaluate(X[held])["total_loss"] == pytest.approx(history.valid_loss[-1], rel=1e-6)
    assert not np.array_equal(held, network(KINDS["a VAE"].format(""), seed=8).held_out(101, 0.25))
    steps = network(KINDS["a recurrent network"].format("")).held_out(40, 0.25).reshape(-1, 2)
    assert (steps[:, 0] % 2 == 0).all() and (steps[:, 1] == steps[:, 0] + 1).all()
    with pytest.raises(errors.UsageError, match=r"holdout=0.001 of 101 rows leaves 101 to train on and 0 held out"):
        net.held_out(101, 0.001)


# ---- programs


@pytest.mark.parametrize("kind", ["binary", "python"])
def test_early_stopping_on_the_digits(kind: str) -> None:
    """The kept epoch is the minimum of the printed losses, and evaluate finds it in the file."""
    options = ["-holdout", "0.5", "-seed", "5", "-lr", "0.01", "-nogpu"]
    done = run(words(kind, "train", CFG, CSV, *options, "-N", "200", "-epochs", "80", "-patience", "6", "-json"))
    assert done.returncode == 0, done.stderr
    losses, found = printed(done.stderr), json.loads(done.stdout)
    kept = 1 + int(np.argmin(losses))
    assert found["stopped"] == "patience" and found["epochs"] == len(losses) == kept + 6
    assert found["kept_epoch"] == kept and found["valid_loss"] == pytest.approx(min(losses), rel=1e-4)
    assert f"stopped after epoch {kept + 6}: valid_loss has not improved in 6 epochs; kept epoch {kept}, the best" in done.stderr
    evaluated = run(
        words(kind, "evaluate", CFG, CSV, "-N", "200", "-weights", "vae.weights", "-holdout", "0.5", "-seed", "5", "-json")
    )
    assert evaluated.returncode == 0, evaluated.stderr
    assert json.loads(evaluated.stdout)["total_loss"] == pytest.approx(found["valid_loss"], rel=1e-6)
    run(words(kind, "train", CFG, CSV, *options, "-N", "200", "-epochs", str(kept), "-save", "again.weights", "-quiet"))
    assert Path("again.weights").read_bytes() == Path("vae.weights").read_bytes()


def test_python_and_the_binary_keep_the_same_bits(digits: tuple[np.ndarray, np.ndarray]) -> None:
    only_of_one_build()
    Path("rest.csv").write_text("\n".join(Path(CSV).read_text().splitlines()[201:301]) + "\n")
    train = ["train", CFG, CSV, "-N", "200", "-valid", "rest.csv", "-label-column", "-1", "-lr", "0.02", "-epochs", "60"]
    done = run(words("binary", *train, "-keep", "best", "-min-delta", "0", "-patience", "9", "-quiet", "-json"))
    assert done.returncode == 0, done.stderr
    X = digits[0]
    net = dv.Network(CFG, device="cpu")
    history = net.train(X[:200], 60, valid=X[200:300], patience=9, learning_rate=0.02)
    net.save("p.weights")
    assert Path("p.weights").read_bytes() == Path("vae.weights").read_bytes()
    found = json.loads(done.stdout)
    assert (found["kept_epoch"], found["epochs"]) == (history.kept_epoch, len(history.valid_loss))
    assert found["valid_loss"] == pytest.approx(min(history.valid_loss), rel=1e-8)


def test_a_classifier_goes_by_the_loss_and_reports_the_epoch_it_kept() -> None:
    classifier = str(ROOT / "cfg" / "digits_classifier.cfg")
    options = ["-holdout", "0.3", "-epochs", "40", "-lr", "0.02", "-N", "400", "-keep", "best", "-json"]
    done = run(words("binary", "train", classifier, CSV, *options))
    assert done.returncode == 0, done.stderr
    losses, found = printed(done.stderr), json.loads(done.stdout)
    assert (found["kept_epoch"], found["stopped"]) == (1 + int(np.argmin(losses)), "epochs")
    rest = ["-weights", "digits_classifier.weights", "-holdout", "0.3", "-N", "400", "-json"]
    evaluated = json.loads(run(words("binary", "evaluate", classifier, CSV, *rest)).stdout)
    assert evaluated["loss"] == pytest.approx(found["valid_loss"], rel=1e-6)
    assert evaluated["accuracy"] == pytest.approx(found["valid_accuracy"], rel=1e-9)


def test_a_time_limit_ends_the_program_with_its_weights_saved() -> None:
    done = run(words("binary", "train", CFG, CSV, "-max-seconds", "0.5", "-epochs", "1000000", "-json"))
    assert done.returncode == 0 and Path("vae.weights").exists(), done.stderr
    assert json.loads(done.stdout)["stopped"] == "max_seconds"
    assert re.search(r"^stopped in epoch \d+, after 0.5 seconds \(max_seconds\)$", done.stderr, flags=re.M)


def test_without_new_options_nothing_new_is_printed() -> None:
    done = run(words("binary", "train", CFG, CSV, "-N", "100", "-epochs", "2", "-holdout", "0.2", "-json"))
    assert set(json.loads(done.stdout)) == {
        "epochs",
        "image_loss",
        "latent_loss",
        "kl_cost",
        "total_loss",
        "valid_loss",
        "seconds",
    }
    assert [line.split(" ")[0] for line in done.stderr.splitlines()] == ["digits.csv:", "epoch", "epoch", "saved"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-patience", "0", "-holdout", "0.2"], "-patience '0' must be a whole number above 0"),
        (["-keep", "worst", "-holdout", "0.2"], "-keep 'worst' must be one of last|best"),
        (["-min-delta", "-1", "-patience", "2", "-holdout", "0.2"], "-min-delta '-1' must be a number from 0 on"),
        (["-max-seconds", "0"], "-max-seconds '0' must be a number above 0"),
        (["-keep", "best"], "keep=best goes by the loss of held-out rows: give some (-valid or -holdout)"),
        (["-patience", "3"], "patience goes by the loss of held-out rows"),
    ],
)
def test_the_programs_name_options_that_make_no_sense(options: list[str], message: str) -> None:
    done = run(words("binary", "train", CFG, CSV, *options))
    assert done.returncode == 2 and message in done.stderr
