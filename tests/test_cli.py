"""The command lines of the binary and of Python: spellings, exit codes, one clear line."""

from __future__ import annotations

import functools
import json
import os
import re
import resource
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from helpers import BINARY, MODULE, ROOT, program, run, slowness

import darknet_vae as dv
from darknet_vae import cli

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
    failure([*words, "sample", CFG, "z.csv", "-random"], 3, "z.csv:1", "3 columns", "takes 2")
    failure([*words, "sample", CFG, "-random"], 2, "-n")
    failure([*words, "train", CFG], 2)
    failure([*words, "train", CFG, CSV, "-epochs", "many"], 2, "many")
    failure([*words, "train", CFG, CSV, "-wat"], 2, "-wat")
    failure([*words, "train", CFG, CSV, "-label-column", "nothere"], 2, "nothere")
    failure([*words, "wat"], 2, "wat")
    failure([*words, "inspect", CFG, "-i", "0"], 6, "cuda:0")
    assert not list(Path().glob("*.tmp*")) and not Path("vae.weights").exists()


def test_a_label_without_a_name_gets_the_option_that_says_where_it_is() -> None:
    Path("n.cfg").write_text("[net]\nbatch=4\ninputs=3\nlabel_column=label\n[connected]\noutput=3\n[cost]\n")
    Path("first.csv").write_text("".join(f"{i % 3},{i / 9},{i % 5 / 7},0.5\n" for i in range(12)))
    words = [*program("binary"), "train", "n.cfg", "first.csv", "-epochs", "1", "-nogpu"]
    failure(words, 3, "none is called 'label'", "if it is the first one: -label-column 0 (label_column=0)")
    assert run([*words, "-label-column", "0"]).returncode == 0


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


EXPLODES = "[net]\nbatch=4\ninputs=64\nlearning_rate=%s\nlabel_column=label\n[connected]\noutput=64\nactivation=linear\n[cost]\n"


@BOTH
def test_a_loss_that_explodes_in_the_first_epoch_leaves_what_was_saved_before(kind: str) -> None:
    Path("net.cfg").write_text(EXPLODES % "1e4")
    Path("vae.weights").write_text("a good one")
    Path("latent_space.txt").write_text("its latents")
    for options in ([], ["-json"]):
        done = run([*program(kind), "train", "net.cfg", CSV, "-epochs", "3", *options])
        assert done.returncode == 1
        assert "became" in done.stderr and "saved" not in done.stderr
        assert Path("vae.weights").read_text() == "a good one"
        assert Path("latent_space.txt").read_text() == "its latents"
    losses = json.loads(done.stdout)
    assert losses.pop("seconds") >= 0
    assert losses == {"epochs": 0, "image_loss": None, "latent_loss": None, "total_loss": None}


@BOTH
def test_a_loss_that_explodes_later_keeps_the_last_good_epoch(kind: str) -> None:
    """The rate rises from epoch to epoch: 1e-4 (n / 9000)^0 until batch 900, then a thousandfold."""
    text = EXPLODES % "1e-5\npolicy=steps\nsteps=900\nscales=1e9"
    Path("net.cfg").write_text(text)
    done = run([*program(kind), "train", "net.cfg", CSV, "-epochs", "5", "-json"])
    assert done.returncode == 1
    assert "in epoch 3" in done.stderr and "saved vae.weights" in done.stderr
    result = json.loads(done.stdout)
    assert result["epochs"] == 2 and result["total_loss"] > 0
    net = dv.Network.load("net.cfg", "vae.weights")
    assert all(np.isfinite(v).all() for layer in net.layers for v in layer.params.values())


@BOTH
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupt_saves_what_was_learned(kind: str, number: signal.Signals) -> None:
    words = [*program(kind), "train", CFG, CSV, "-epochs", "1000000", "-save", "w.weights"]
    # a suite that a shell runs in the background ignores SIGINT, and one under nohup SIGHUP, and so do its children
    heed = functools.partial(signal.signal, number, signal.SIG_DFL)
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True, preexec_fn=heed)
    assert process.stderr is not None
    try:
        process.stderr.readline()  # what was read
        process.stderr.readline()  # the first epoch
        sent = time.monotonic()
        process.send_signal(number)
        process.communicate(timeout=30)
    finally:
        process.kill()
    assert time.monotonic() - sent < 1.0  # 0.3 s for the answer, the rest for saving and leaving
    assert process.returncode == 128 + number
    assert dv.Network.load(CFG, "w.weights").seen > 0


def on_a_terminal(words: list[str], columns: int, both: bool = False) -> bytes:
    """What a terminal of this width gets from standard error; `both`: and from standard output."""
    import fcntl
    import pty
    import struct
    import termios

    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    stdout = follower if both else subprocess.DEVNULL
    process = subprocess.Popen(words, stderr=follower, stdout=stdout, env={**os.environ, "TERM": "xterm"})
    os.close(follower)
    text = b""
    try:
        while part := os.read(leader, 65536):
            text += part
    except OSError:  # the end of a pseudo-terminal on Linux
        pass
    process.wait()
    os.close(leader)
    return text


@BOTH
@pytest.mark.parametrize("columns", [200, 80, 60, 40])
def test_a_terminal_shows_one_line_that_is_rewritten_and_fits(kind: str, columns: int) -> None:
    text = on_a_terminal([*program(kind), "train", CFG, CSV, "-epochs", "3"], columns)
    assert text.count(b"\n") == 3, text  # what was read, the progress, and what was saved
    assert text.count(b"\r\x1b[K") >= 3
    assert b"epoch 3/3" in text
    lines = text.split(b"\n")[1].split(b"\r\x1b[K")
    assert max(len(line.rstrip()) for line in lines) < columns
    assert all(b"total" in line and b"epoch" in line for line in lines if line.strip())
    assert (b"rows/s" in lines[-1], b"latent" in lines[-1], b"took" in lines[-1]) == {
        200: (True, True, True), 80: (True, True, True), 60: (False, False, True), 40: (False, False, True)
    }[columns]  # fmt: skip


@BOTH
def test_long_lines_are_folded_at_words_and_fields_on_a_terminal_and_whole_in_a_pipe(kind: str) -> None:
    names = [f"a_rather_long_name_of_a_column_{i}" for i in range(40)]
    np.savetxt("wide.csv", np.random.default_rng(0).normal(size=(30, 40)), header=",".join(names), comments="", delimiter=",")
    train = [*program(kind), "train", "wide.csv", "-holdout", "0.2", "-seed", "1", "-epochs", "1", "-no-latents"]
    assert re.search(r"warning: the warm-up of .*\n  .*beta ends at", shown(train, 80))
    assert max(map(len, run(train).stderr.splitlines())) > 80
    verbs = [["info", "wide.safetensors"], ["inspect", "wide.safetensors"], ["inspect", str(ROOT / "cfg" / "vae_conv.cfg")],
             ["check", "wide.safetensors", "-N", "3"], ["info", "a name with blanks, " * 5 + ".safetensors"]]  # fmt: skip
    for words in [train, *([*program(kind), *verb] for verb in verbs)]:
        done, text = run(words), shown(words, 80)
        assert max(map(len, text.split("\n"))) <= 80, text
        if words is not train:  # which takes different times
            assert text.split() == (done.stdout + done.stderr).split()
    lines = shown([*program(kind), "info", "wide.safetensors"], 80).split("\n")
    assert next(line for line in lines if line.startswith("losses: ")).count("  ") >= 2
    assert all(len(line.split()) % 2 == 0 for line in lines if line.startswith("  total_loss "))  # a name stays with its value
    assert "darknet" in shown([*program(kind), "info", "x" * 100], 20)  # a word that is wider than the terminal


def shown(words: list[str], columns: int) -> str:
    text = on_a_terminal(words, columns, both=True).decode().replace("\r\n", "\n")
    return "\n".join(line.split("\r\x1b[K")[-1] for line in text.split("\n"))


def test_a_negative_number_is_the_cpu_for_the_gpu_only() -> None:
    assert "-dim '-1' must be" in run([str(BINARY), "traverse", CFG, "-random", "-dim", "-1"]).stderr
    assert "the CPU is -nogpu" in run([str(BINARY), "traverse", CFG, "-random", "-dim", "0", "-i", "-1"]).stderr


def test_a_terminal_of_80_columns_shows_beta_and_the_loss_of_held_out_rows() -> None:
    words = [*program("binary"), "train", CFG, CSV, "-epochs", "3", "-holdout", "0.2", "-set", "sampling.beta_warmup=2e"]
    last = on_a_terminal(words, 80).split(b"\n")[1].split(b"\r\x1b[K")[-1].strip()
    assert all(name in last for name in (b"epoch 3/3", b"total ", b"beta 0.05", b"valid ", b"took")), last
    assert len(last) < 80


@pytest.mark.timing
@pytest.mark.parametrize("word", ["--version", "--help"])
def test_version_and_help_come_at_once(word: str) -> None:
    """60 ms of the processor, in which other programs of the machine do not count: neither waits for anything."""
    program, least = str(Path(sys.executable).with_name("darknet-vae")), 9.0
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = run([program, word])
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        least = min(least, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert done.returncode == 0 and done.stdout
    assert least < 0.06 * slowness(), least


def test_both_programs_tell_their_version() -> None:
    program = str(Path(sys.executable).with_name("darknet-vae"))
    assert run([program, "--version"]).stdout == f"darknet-vae {dv.__version__}\n"
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
        command = " ".join([*program(kind), "sample", CFG, "-random", "-n", "20000", "-quiet"]) + " | head -1"
        done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=60)
        assert not done.stderr
        assert done.stdout.count(",") == 63


def test_help_lists_every_verb() -> None:
    for words in ([str(BINARY), "--help"], [*MODULE, "--help"]):
        done = run(words)
        assert done.returncode == 0
        assert max(map(len, done.stdout.splitlines())) < 80
        for verb in ("train", "sample", "encode", "reconstruct", "evaluate", "score", "predict", "inspect", "info", "convert"):
            assert verb in done.stdout


@pytest.mark.parametrize(
    "verb",
    ["train", "sample", "interpolate", "traverse", "encode", "reconstruct", "predict", "evaluate", "score", "inspect", "check"],
)
def test_the_help_of_a_verb_lists_its_options_and_no_others(verb: str) -> None:
    for words in ([*MODULE, verb, "--help"], [*MODULE, "help", verb], [*MODULE, "vae", verb, "-h"]):
        done = run(words)
        assert done.returncode == 0 and not done.stderr
        assert max(map(len, done.stdout.splitlines())) < 80
        assert done.stdout.startswith(f"usage: darknet-vae {verb} CFG")
        assert "-weights" in done.stdout
        assert ("-epochs" in done.stdout) == (verb == "train")
        assert ("-random" in done.stdout) == (verb not in ("train", "inspect", "check"))
        assert ("-header" in done.stdout) == (verb != "inspect")


def test_typing_errors_get_the_word_that_was_meant() -> None:
    failure([*MODULE, "train", CFG, CSV, "-epoch", "3"], 2, "did you mean -epochs?")
    failure([*MODULE, "train", CFG, CSV, "--lable-column", "x"], 2, "did you mean -label-column?")
    failure([*MODULE, "trian", CFG, CSV], 2, "'trian'", "did you mean train?")
    failure([*MODULE, "vae", "smaple", CFG], 2, "did you mean sample?")
    failure([*MODULE, "Train", CFG, CSV], 2, "did you mean train?")
    failure([*MODULE, "sample", CFG, "-epochs", "5"], 2, "sample has no option -epochs", "train")
    failure([*MODULE, "plot", "latent", CFG, CSV, "-wieghts", "x"], 2, "did you mean -weights?")


def test_files_in_the_wrong_order_get_the_right_one() -> None:
    failure([*MODULE, "train", CSV, CFG], 2, "the CFG comes first", f"{CFG} {CSV}")
    for words in (["train", "-", "-"], ["evaluate", CFG, "-", "-weights", "-"], ["train", CFG, "-", "-valid", "-"]):
        failure([*MODULE, *words], 2, "only one of the files that are read can be -, standard input")
    for verb in ("columns", "init"):
        failure([*MODULE, verb, CFG], 2, f"{CFG} is a cfg, not a table: inspect {CFG} shows the network")
    failure([*MODULE, "encode", CFG, "vae.weights"], 2, "-weights vae.weights?")
    failure([*MODULE, "encode", "vae.weights", CSV], 2, "-weights vae.weights?")
    failure([*MODULE, "train", CFG, CSV, "vae.weights"], 2, "-weights vae.weights?")
    failure([*MODULE, "encode", CFG, CSV, "-weights", "-quiet"], 2, "-weights needs a value")
    failure([*MODULE, "train", CFG, CSV, "more.csv"], 2, "'more.csv' is one argument too many")


@pytest.mark.parametrize("verb", ["sample", "encode", "reconstruct", "predict", "evaluate"])
def test_forgotten_weights_are_an_error(verb: str) -> None:
    rows = ["-n", "3"] if verb == "sample" else [CSV]
    failure([*MODULE, verb, CFG, *rows, "-quiet"], 2, verb, "-weights W", "-random")
    done = run([*MODULE, verb, CFG, *rows, "-random", "-quiet"])
    assert done.returncode == 0 and done.stdout and not done.stderr


def test_options_may_stand_before_the_verb() -> None:
    words = ["sample", CFG, "-n", "3", "-random", "-q"]
    plain = run([*MODULE, *words]).stdout
    for before in (["-nogpu"], ["-seed", "0"], ["-nogpu", "vae"], ["-threads=1"], ["-q", "autoencoder"]):
        assert run([*MODULE, *before, *words]).stdout == plain, before
    failure([*MODULE, "-i", "0", "vae", *words], 6, "cuda:0")
    failure([*MODULE, "-i", "-1", *words], 2, "-nogpu")


@pytest.mark.parametrize("command", ["detector", "classifier", "rnn", "imagenet", "segmenter", "partial"])
def test_other_commands_of_darknet_are_told_what_does_their_work(command: str) -> None:
    failure([*MODULE, command, "test", "cfg/coco.data", "yolov3.cfg", "yolov3.weights"], 2, command, "is not here")


def test_networks_that_come_with_the_program_are_found_by_name() -> None:
    for words in ([*MODULE], [str(BINARY)]):
        done = run([*words, "train", "vae_digits.cfg", "digits.csv", "-epochs", "1"])
        if words != MODULE and os.environ.get("DARKNET_BINARY"):
            continue  # one that lies outside of an installation
        assert done.returncode == 0, done.stderr
        assert "using " in done.stderr.splitlines()[0]
        assert "vae_digits.cfg" in run([*words, "--help"]).stdout
    failure([*MODULE, "train", "vae_digts.cfg", "digits.csv"], 2, "did you mean vae_digits.cfg")
    failure([*MODULE, "train", "nothing.cfg", "digits.csv"], 4, "nothing.cfg")


def test_an_output_does_not_overwrite_what_is_read() -> None:
    Path("net.cfg").write_bytes(Path(CFG).read_bytes())
    Path("rows.csv").write_bytes(Path(CSV).read_bytes())
    os.symlink("rows.csv", "link.csv")
    assert run([*MODULE, "train", "net.cfg", "rows.csv", "-epochs", "1", "-q"]).returncode == 0
    before = {path: Path(path).read_bytes() for path in ("net.cfg", "rows.csv", "vae.weights")}
    train, encode = (
        [*MODULE, "train", "net.cfg", "rows.csv"],
        [*MODULE, "encode", "net.cfg", "rows.csv", "-weights", "vae.weights"],
    )
    failure([*train, "-save", "rows.csv"], 2, "-save rows.csv would overwrite rows.csv")
    failure([*train, "-save", "link.csv"], 2, "would overwrite rows.csv")
    failure([*train, "-save", "net.cfg"], 2, "would overwrite net.cfg")
    failure([*train, "-save", "other.cfg"], 2, "-save other.cfg is the name of a cfg: weights are saved as F.weights")
    assert not Path("other.cfg").exists()
    failure([*train, "-latents", "rows.csv"], 2, "would overwrite rows.csv")
    failure([*encode, "-o", "rows.csv"], 2, "would overwrite rows.csv")
    failure([*encode, "-o", "vae.weights"], 2, "would overwrite the weights")
    assert {path: Path(path).read_bytes() for path in before} == before


def test_latents_lie_beside_the_weights_or_where_they_are_wanted() -> None:
    Path("runs").mkdir()
    train = [*MODULE, "train", CFG, CSV, "-epochs", "1", "-q", "-save", "runs/a.weights"]
    assert run(train).returncode == 0
    assert sorted(os.listdir("runs")) == ["a.weights", "latent_space.txt"] and os.listdir() == ["runs"]
    Path("runs/latent_space.txt").unlink()
    assert run([*train, "-no-latents"]).returncode == 0
    assert os.listdir("runs") == ["a.weights"]
    assert run([*train, "-latents", "z.csv"]).returncode == 0
    assert dv.load_csv("z.csv").shape == (1797, 2)
    classifier = [*MODULE, "train", "digits_classifier.cfg", CSV, "-epochs", "1", "-q"]
    failure([*classifier, "-latents", "y.csv"], 2, "no latent space")


def test_everything_that_a_training_writes_is_checked_before_it_starts() -> None:
    Path("p_output_0.txt").mkdir()
    Path("latent_space.txt").mkdir()
    for options in (["-no-latents", "-output", "p.txt"], []):
        done = run([*MODULE, "train", CFG, CSV, "-epochs", "1000000", *options])
        assert done.returncode == 4
        assert "Is a directory" in done.stderr and "epoch" not in done.stderr
    assert not Path("vae.weights").exists()


def test_a_full_disk_is_one_line_and_code_4() -> None:
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full")
    for words in (
        ["inspect", CFG],
        ["sample", CFG, "-n", "5", "-random", "-q"],
        ["evaluate", CFG, CSV, "-random", "-q"],
        ["--help"],
    ):
        with open("/dev/full", "w") as full:
            done = subprocess.run([*MODULE, *words], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
        assert done.returncode == 4, words
        assert done.stderr.count("\n") == 1 and "standard output" in done.stderr, done.stderr


def test_a_count_that_wraps_around_is_out_of_memory() -> None:
    for n in ("4611686018427387905", "9223372036854775807"):
        failure([*MODULE, "sample", CFG, "-random", "-n", n], 5, f"out of memory for {n} rows")


@pytest.mark.timing
def test_a_long_job_answers_an_interrupt() -> None:
    """Decoding that would take minutes; from the command line, and Ctrl-C in Python."""
    Path("wide.cfg").write_text(
        "[net]\ninputs=4000\n[connected]\noutput=4\n[sampling]\n[connected]\noutput=4000\n[connected]\noutput=4000\n"
    )
    code = "import os, signal, threading, time, numpy as np, darknet_vae as dv\n"
    code += "net = dv.Network('wide.cfg', threads=1)\n"
    code += "threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()\n"
    code += "started = time.monotonic()\n"
    code += "try:\n    net.sample(np.zeros((200_000, 2), np.float32))\n"
    code += "except KeyboardInterrupt:\n    print('answered', time.monotonic() - started - 0.5)\n"
    code += "print(net.sample(np.zeros((1, 2), np.float32)).shape)\n"
    done = run([sys.executable, "-c", code])
    assert done.stdout.startswith("answered"), done
    assert float(done.stdout.split()[1]) < 0.5
    assert done.stdout.endswith("(1, 4000)\n")
    process = subprocess.Popen([*program("binary"), "sample", "wide.cfg", "-random", "-n", "100000", "-threads", "1"],
                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)  # fmt: skip
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(1)
    sent = time.monotonic()
    process.terminate()
    assert process.communicate(timeout=10)[1] == "darknet: interrupted\n"
    assert time.monotonic() - sent < 0.5 and process.returncode == 143


@BOTH
def test_a_column_far_from_1_is_named_before_it_spoils_the_training(kind: str) -> None:
    Path("net.cfg").write_text("[net]\ninputs=2\nbatch=4\n[connected]\noutput=2\nactivation=linear\n[cost]\n")
    Path("amounts.csv").write_text("kind,share,amount\na,0.1,88715\nb,0.2,17.5\n")
    words = [*program(kind), "train", "net.cfg", "amounts.csv", "-label-column", "kind", "-epochs", "2"]
    done = run([*words, "-lr", "1e-12"])
    assert done.returncode == 0 and "warning: column 'amount' reaches 88715: " in done.stderr and "-scale" in done.stderr
    done = run([*words, "-lr", "1", "-epochs", "50"])
    assert done.returncode == 1 and "column 'amount' reaches 88715: scale the data" in done.stderr.splitlines()[-2]
    done = run([*words, "-scale", "1e5"])
    assert done.returncode == 0 and "warning" not in done.stderr


def training(*words: str) -> subprocess.Popen[str]:
    """A training that has begun and goes on for long."""
    process = subprocess.Popen([*program("binary"), "train", CFG, CSV, "-epochs", "1000000", *words], stderr=subprocess.PIPE,
                               stdout=subprocess.PIPE, text=True)  # fmt: skip
    assert process.stderr is not None
    process.stderr.readline()  # what was read
    process.stderr.readline()  # the first epoch
    return process


def test_a_second_signal_at_once_does_not_stop_the_saving() -> None:
    """A terminal that closes and its shell both send SIGHUP; service managers send SIGTERM and SIGHUP."""
    process = training("-save", "w.weights")
    process.send_signal(signal.SIGSTOP)  # so that both are there when it goes on
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGCONT):
        process.send_signal(number)
    process.communicate(timeout=30)
    assert process.returncode in (128 + signal.SIGTERM, 128 + signal.SIGHUP)
    assert dv.Network.load(CFG, "w.weights").seen > 0


def test_a_later_signal_ends_a_saving_that_hangs() -> None:
    os.mkfifo("pipe")  # that nobody reads
    process = training("-save", "pipe")
    process.terminate()
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(1.1)
    process.terminate()
    process.communicate(timeout=2)
    assert process.returncode == 143


def test_a_saving_that_fails_after_an_interrupt_is_the_exit_code_and_loses_no_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", os.getcwd())
    Path("store").mkdir()
    process = training("-save", "store/w.weights")
    Path("store").rmdir()
    process.terminate()
    _, said = process.communicate(timeout=30)
    assert process.returncode == 4
    failed, rescued = said.splitlines()[-2:]
    assert "cannot write store/w.weights" in failed
    path = rescued.removeprefix("darknet: the weights are in ").removesuffix(" instead")
    assert dv.Network.load(CFG, path).seen > 0


def test_an_epoch_whose_preview_is_interrupted_is_saved_and_told() -> None:
    os.mkfifo("p_input_1.txt")  # nobody reads it, so writing it does not end
    words = ["train", CFG, CSV, "-epochs", "5", "-output", "p.txt", "-save", "w.weights", "-json"]
    process = subprocess.Popen([*program("binary"), *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(1.5)
    process.terminate()
    result, said = process.communicate(timeout=10)
    assert process.returncode == 143, said
    assert json.loads(result)["epochs"] == 1 and json.loads(result)["total_loss"] > 0
    assert dv.Network.load(CFG, "w.weights").seen == 1797


def test_a_reader_that_went_away_does_not_hide_other_failures() -> None:
    readable, writable = os.pipe()
    os.close(readable)
    with os.fdopen(writable, "w") as closed:
        words = [*program("binary"), "sample", CFG, "-weights", "nothere.weights", "-n", "3"]
        done = subprocess.run(words, stdout=closed, stderr=subprocess.PIPE, text=True, timeout=60)
        assert done.returncode == 4 and "nothere.weights" in done.stderr
        words = [*program("binary"), "sample", CFG, "-random", "-n", "300", "-q"]
        done = subprocess.run(words, stdout=closed, stderr=subprocess.PIPE, text=True, timeout=60)
        assert done.returncode == -signal.SIGPIPE and not done.stderr


@pytest.mark.parametrize(
    "words",
    [["sample", CFG, "-random", "-n", "2"], ["evaluate", CFG, CSV, "-random"], ["inspect", CFG], ["--help"], ["--version"]],
)
def test_a_result_that_nobody_can_get_is_a_failure(words: list[str]) -> None:
    command = shlex.join([str(BINARY), *words])
    done = subprocess.run(f"{command} >&-", shell=True, stderr=subprocess.PIPE, text=True, timeout=60)
    assert done.returncode == 4 and "cannot write to standard output" in done.stderr
    command = shlex.join([*program("binary"), "encode", CFG, CSV, "-random", "-output", "latents.csv"])
    subprocess.run(f"{command} >&-", shell=True, check=True, timeout=60)


def test_a_program_that_does_not_run_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    Path("darknet").write_bytes(b"\0 of another machine")
    os.chmod("darknet", 0o755)
    monkeypatch.setattr("darknet_vae.cli.binary", lambda: os.path.abspath("darknet"))
    assert cli.main(["inspect", CFG]) == 4
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "Exec format error" in said


@pytest.mark.parametrize(
    "options",
    [
        ["-n", "0"], ["-n", "-3"], ["-n", "99999999999"], ["-seed", "-1"], ["-seed", "18446744073709551616"], ["-threads", "-1"],
        ["-threads", "99999999999"], ["-batch", "-1"], ["-batch", "99999999999"], ["-i", "99999999999"], ["-shape", "²x8x8"],
        ["-shape", "1x9x9"], ["-output", "nofolder/p.png"], ["-output", "p.nokind"], ["-output", ""],
    ],
)  # fmt: skip
def test_pictures_refuse_senseless_options_in_one_line(options: list[str]) -> None:
    done = run([*MODULE, "plot", "samples", CFG, "-random", *options])
    assert done.returncode in (2, 4, 5, 6), done.stderr
    assert done.stderr.count("\n") == 1 and done.stderr.startswith("darknet-vae: "), done.stderr


def test_more_rows_than_memory_are_refused_before_anything_is_drawn() -> None:
    started = time.monotonic()
    failure([*MODULE, "sample", CFG, "-random", "-n", "2147483648"], 5, "out of memory for 2147483648 rows")
    assert time.monotonic() - started < 5


def test_rows_that_a_loss_does_not_accept_name_their_file(tmp_path: Path) -> None:
    text = "[net]\ninputs=4\nbatch=4\n[connected]\noutput=4\nactivation=linear\n[cost]\ntype=bernoulli\n"
    Path("net.cfg").write_text(text)
    Path("good.csv").write_text("0,1,1,0\n1,1,0,0\n")
    Path("bytes.csv").write_text("0,1,1,0\n4,255,6,7\n")
    says = "bytes.csv: x is 4 at row 2, column 1 (counted from 1), but the loss of net.cfg:7 [cost] wants 0 to 1"
    for words in (["train", "net.cfg", "bytes.csv", "-epochs", "1"], ["train", "net.cfg", "good.csv", "-valid", "bytes.csv"],
                  ["check", "net.cfg", "bytes.csv"], ["evaluate", "net.cfg", "bytes.csv", "-random"],
                  ["score", "net.cfg", "bytes.csv", "-random"]):  # fmt: skip
        done = run([*program("binary"), *words])
        assert done.returncode == 2 and says in done.stderr, words
    done = run([*program("binary"), "train", "net.cfg", "-", "-epochs", "1"], input=Path("bytes.csv").read_text())
    assert done.returncode == 2 and "standard input: x is 4 at row 2, column 1" in done.stderr


def test_a_model_file_in_a_pipe_says_why_it_is_not_read(tmp_path: Path) -> None:
    text = "[net]\ninputs=4\nbatch=4\n[connected]\noutput=4\n[cost]\n"
    Path("net.cfg").write_text(text)
    Path("rows.csv").write_text("0,1,1,0\n")
    dv.Network("net.cfg").save("m.safetensors")
    binary = " ".join(program("binary"))
    for command in (f"cat m.safetensors | {binary} predict - rows.csv", f"{binary} predict <(cat m.safetensors) rows.csv",
                    f"{binary} predict net.cfg rows.csv -weights <(cat m.safetensors)", f"{binary} info <(cat m.safetensors)",
                    f"{binary} predict m.safetensors m.safetensors"):  # fmt: skip
        done = run(["bash", "-c", command])
        assert done.returncode == 3, (command, done.stderr)
        assert "is a model file: it stands in place of a cfg or weights, by its path, not through a pipe" in done.stderr
    with pytest.raises(dv.errors.UsageError, match=r"other\.cfg is the name of a cfg"):
        dv.Network("net.cfg").save("other.cfg")


def test_the_help_lists_the_verbs_that_need_python() -> None:
    from darknet_vae.cli import VERBS

    listed = re.findall(r"^  ([a-z-]+) +[a-zA-Z]", run([*MODULE, "--help"]).stdout, flags=re.M)
    assert set(VERBS) <= set(listed)
    for verb in VERBS:
        failure([BINARY, verb], 2, f"{verb} needs Python")
