"""The command lines of the binary and of Python: spellings, exit codes, one clear line."""

from __future__ import annotations

import functools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from helpers import BINARY, MODULE, ROOT, program, run

import darknet_vae as dv

CFG, CSV = str(ROOT / "cfg" / "vae_digits.cfg"), str(ROOT / "data" / "digits.csv")
BOTH = pytest.mark.parametrize("kind", ["binary", "python"])


def failure(words: list[str], code: int, *parts: str) -> None:
    done = run(words)
    lines = [line for line in done.stderr.splitlines() if "warning" not in line]
    assert done.returncode == code, done.stderr
    assert len(lines) == 1, done.stderr
    assert not done.stdout
    for part in parts:
        assert part in lines[0], lines[0]


@BOTH
def test_bad_input_ends_in_one_line_and_the_documented_code(kind: str) -> None:
    words = program(kind)
    net = dv.Network(ROOT / "cfg" / "autoencoder.cfg")
    net.save("other.weights")
    Path("text.csv").write_text("1,2\n3,four\n")
    Path("wide.csv").write_text(",".join("1" * 65) + "\n")
    Path("z.csv").write_text("0,0,0\n")
    Path("empty.csv").write_text("")
    Path("ragged.csv").write_text(",".join("1" * 64) + "\n1,2\n")
    Path("nan.csv").write_text(",".join(["1"] * 63 + ["nan"]) + "\n")
    failure([*words, "train", "nothere.cfg", CSV], 4, "nothere.cfg")
    failure([*words, "train", CFG, "nothere.csv"], 4, "nothere.csv")
    failure([*words, "train", CFG, "wide.csv"], 3, "wide.csv:1", "65", "64")
    failure([*words, "train", CFG, "text.csv"], 3, "text.csv:1", "2 columns")
    failure([*words, "train", CFG, "ragged.csv"], 3, "ragged.csv:2", "expected 64")
    failure([*words, "train", CFG, "nan.csv"], 3, "nan.csv:1", "column 64", "'nan'")
    failure([*words, "train", CFG, "empty.csv"], 3, "empty.csv", "no rows")
    failure([*words, "train", CFG, CSV, "-save", "nofolder/w.weights"], 4, "nofolder")
    failure([*words, "train", CFG, CSV, "-output", "nofolder/f.txt"], 4, "nofolder")
    failure([*words, "evaluate", CFG, CSV, "-weights", "other.weights"], 3, "other.weights", "another network")
    failure([*words, "evaluate", CFG, CSV, "-weights", "nothere.weights"], 4, "nothere.weights")
    failure([*words, "sample", CFG, "z.csv"], 3, "z.csv:1", "3 columns", "takes 2")
    failure([*words, "sample", CFG], 2, "-n")
    failure([*words, "train", CFG], 2)
    failure([*words, "train", CFG, CSV, "-epochs", "many"], 2, "many")
    failure([*words, "train", CFG, CSV, "-wat"], 2, "-wat")
    failure([*words, "train", CFG, CSV, "-label-column", "nothere"], 2, "nothere")
    failure([*words, "wat"], 2, "wat")
    failure([*words, "inspect", CFG, "-i", "0"], 6, "cuda:0")
    assert not list(Path().glob("*.tmp*")) and not Path("vae.weights").exists()


COUNTS = [("binary", option, value) for option in ("-epochs", "-N", "-batch", "-threads") for value in ("0", "-3", "abc", "1.5")]
COUNTS += [("python", "-N", "0"), ("python", "-batch", "0"), ("python", "-epochs", "-3"), ("python", "-N", "1.5")]


@pytest.mark.parametrize(("kind", "option", "value"), COUNTS)
def test_counts_are_whole_numbers_above_0(kind: str, option: str, value: str) -> None:
    failure([*program(kind), "train", CFG, CSV, option, value], 2, value)


@BOTH
def test_one_dash_or_two_and_options_anywhere(kind: str) -> None:
    words = program(kind)
    first = run([*words, "train", CFG, CSV, "-epochs", "1", "-seed", "5", "-quiet"])
    one = Path("vae.weights").read_bytes()
    second = run([*words, "train", "--quiet", "--seed=5", CFG, "--epochs", "1", CSV])
    assert first.returncode == second.returncode == 0, second.stderr
    assert Path("vae.weights").read_bytes() == one
    assert first.stdout.split("seconds")[0] == second.stdout.split("seconds")[0]


@BOTH
def test_a_failing_training_leaves_the_old_weights_alone(kind: str) -> None:
    words = program(kind)
    assert run([*words, "train", CFG, CSV, "-epochs", "1", "-quiet"]).returncode == 0
    before = Path("vae.weights").read_bytes()
    Path("bad.csv").write_text(Path(CSV).read_text() + ",".join(["x"] * 65) + "\n")
    failure([*words, "train", CFG, "bad.csv"], 3, "bad.csv:1799")
    assert Path("vae.weights").read_bytes() == before


@BOTH
def test_a_loss_that_explodes_ends_with_code_1_and_keeps_the_last_good_epoch(kind: str) -> None:
    Path("net.cfg").write_text(
        "[net]\nbatch=4\ninputs=64\nlearning_rate=1e4\nlabel_column=label\n[connected]\noutput=64\nactivation=linear\n[cost]\n"
    )
    done = run([*program(kind), "train", "net.cfg", CSV, "-epochs", "3"])
    assert done.returncode == 1
    assert "learning rate" in done.stderr
    net = dv.Network.load("net.cfg", "vae.weights")
    assert all(np.isfinite(v).all() for layer in net.layers for v in layer.params.values())


@BOTH
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_saves_what_was_learned(kind: str, number: signal.Signals) -> None:
    if kind == "python" and number == signal.SIGTERM:
        pytest.skip("Python ends on SIGTERM by its own rules")
    words = [*program(kind), "train", CFG, CSV, "-epochs", "1000000", "-save", "w.weights"]
    # a shell's background jobs, so also a suite that is one, are born to ignore SIGINT
    heed = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True, preexec_fn=heed)
    assert process.stderr is not None
    try:
        process.stderr.readline()  # the first epoch
        sent = time.monotonic()
        process.send_signal(number)
        process.communicate(timeout=30)
    finally:
        process.kill()
    assert time.monotonic() - sent < 1.0  # 0.3 s for the answer, the rest for saving and leaving
    assert process.returncode == 128 + number
    assert dv.Network.load(CFG, "w.weights").seen > 0


def test_a_terminal_shows_one_line_that_is_rewritten() -> None:
    import pty

    for kind in ("binary", "python"):
        leader, follower = pty.openpty()
        words = [*program(kind), "train", CFG, CSV, "-epochs", "3"]
        process = subprocess.Popen(words, stderr=follower, stdout=subprocess.DEVNULL, env={**os.environ, "TERM": "xterm"})
        os.close(follower)
        text = b""
        try:
            while part := os.read(leader, 65536):
                text += part
        except OSError:  # the end of a pseudo-terminal on Linux
            pass
        process.wait()
        os.close(leader)
        assert text.count(b"\n") == 2, text  # the progress, and what was saved
        assert text.count(b"\r\x1b[K") >= 3
        assert b"epoch 3/3" in text


@pytest.mark.timing
def test_the_version_is_quick() -> None:
    program, best = str(Path(sys.executable).with_name("darknet-vae")), {"bare": 9.0, "ours": 9.0}
    for _ in range(5):
        for name, words in (("bare", [sys.executable, "-c", "pass"]), ("ours", [program, "--version"])):
            started = time.monotonic()
            done = run(words)
            best[name] = min(best[name], time.monotonic() - started)
    assert done.stdout == f"darknet-vae {dv.__version__}\n"
    assert best["ours"] < max(0.08, 4 * best["bare"]), best
    assert run([str(BINARY), "--version"]).stdout.startswith(f"darknet-vae {dv.__version__}")


def test_inspect_prints_the_same_table_from_both() -> None:
    for options in ([], ["-json"]):
        tables = [run([*program(kind), "inspect", CFG, *options]).stdout for kind in ("binary", "python")]
        assert tables[0] == tables[1]
    done = run([*program("binary"), "inspect", str(ROOT / "cfg" / "autoencoder.cfg")])
    lines = done.stdout.splitlines()
    net = dv.Network(ROOT / "cfg" / "autoencoder.cfg")
    assert len(lines) == len(net.layers) + 3
    ends = {line.rstrip().rfind("->") for line in lines[1 : 1 + len(net.layers)]}
    assert len(ends) == 1  # aligned
    assert lines[-2].split() == ["total", str(net.n_params), f"{sum(layer['flops_per_row'] for layer in rows(net)) * 1e-6:.3f}"]
    net.save("w.weights")
    size = Path("w.weights").stat().st_size
    assert f"weights file: {(size - 20) // 4} values, {size} bytes" in lines[-1]
    assert f"{net.memory_bytes * 1e-6:.1f} MB to predict, {net.training_bytes * 1e-6:.1f} MB to train" in lines[-1]


def rows(net: dv.Network) -> list[dict[str, object]]:
    return list(net.describe()["layers"])


def test_inspect_as_json_tells_shapes_arithmetic_and_memory() -> None:
    text = '[net]\nbatch=2\nheight=6\nwidth=8\nchannels=3\n[conv]\nname=a\\"b\nfilters=4\nsize=3\nstride=2\npad=1\n'
    Path("net.cfg").write_text(text + "batch_normalize=1\n[connected]\noutput=5\n[softmax]\n")
    table = json.loads(run([*program("binary"), "inspect", "net.cfg", "-json"]).stdout)
    net = dv.Network("net.cfg")
    assert table == net.describe()
    assert (table["parameters"], table["batch"], table["inputs"], table["truths"]) == (net.n_params, 2, 144, 5)
    assert net.n_params == 4 * 27 + 8 + 5 * 48 + 5
    assert table["weights_bytes"] == 20 + 4 * (net.n_params + 8)  # and running statistics
    conv, dense, _ = table["layers"]
    assert (conv["name"], conv["type"], conv["filters"], conv["size"], conv["stride"]) == ('a\\"b', "convolutional", 4, 3, 2)
    assert (conv["input"], conv["output"]) == ([3, 6, 8], [4, 3, 4])
    assert conv["flops_per_row"] == 2 * 4 * 12 * 27
    assert dense["flops_per_row"] == 2 * 5 * 48
    assert table["memory_train_bytes"] > table["memory_predict_bytes"] == net.memory_bytes


def test_warnings_name_the_nearest_known_key() -> None:
    Path("net.cfg").write_text("[net]\ninputs=4\nbatchs=3\n[connected]\noutputs=4\n")
    for kind in ("binary", "python"):
        done = run([*program(kind), "inspect", "net.cfg"])
        assert done.returncode == 0
        assert "net.cfg:3" in done.stderr and "'batch'" in done.stderr
        assert "net.cfg:5" in done.stderr and "'output'" in done.stderr
    with pytest.warns(UserWarning, match=r"net\.cfg:[35]"):
        dv.Network("net.cfg")


def test_a_closed_pipe_is_no_traceback() -> None:
    for kind in ("binary", "python"):
        command = " ".join([*program(kind), "sample", CFG, "-n", "20000", "-quiet"]) + " | head -1"
        done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=60)
        assert "Traceback" not in done.stderr
        assert done.stdout.count(",") == 63


def test_help_lists_every_verb() -> None:
    for words in ([str(BINARY), "--help"], [*MODULE, "--help"]):
        done = run(words)
        assert done.returncode == 0
        for verb in ("train", "sample", "encode", "reconstruct", "evaluate", "predict", "inspect"):
            assert verb in done.stdout
