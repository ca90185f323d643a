"""cfg, tree, map and weights files of strangers: bounded reading, no hanging, nothing of other files in messages."""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers import BINARY

import darknet_vae as dv
from darknet_vae._lib import lib, text

Build = Callable[..., dv.Network]
SOFTMAX = "[net]\ninputs=3\n[connected]\noutput=3\nactivation=linear\n[softmax]\ntree={}\n"
REGION = "[net]\nheight=2\nwidth=2\nchannels=7\n[region]\nanchors=1,1\nclasses=2\n"
SECRET = "root:*:20228:0:99999:7:::"


def warnings_of(net: dv.Network) -> list[str]:
    return [text(lib.dn_net_warning(net._handle, i)) for i in range(lib.dn_net_warning_count(net._handle))]


@pytest.mark.parametrize(
    ("content", "line"),
    [(f"{SECRET}\nx 0\n", 1), (f"a -1\n{SECRET} x -1\n", 2), (f"a -1\nb {SECRET}\n", 2), ("a -1\nb 7\n", 2), ("a\n", 1),
     ("a -1\nb 1\n", 2), ("a -2\n", 1), ("a 99999999999999999999\n", 1), ("a -1x\n", 1)],
)  # fmt: skip
def test_lines_of_a_tree_are_named_and_never_quoted(content: str, line: int, network: Build) -> None:
    Path("t.txt").write_text(content)
    message = rf"net\.cfg:7: \[softmax\] t\.txt:{line}: the line is not a name and the number of an earlier line, or -1$"
    with pytest.raises(dv.errors.FormatError, match=message) as error:
        network(SOFTMAX.format("t.txt"))
    assert "20228" not in str(error.value)


@pytest.mark.parametrize("content", [SECRET, "0\n5", "0\n-1", "0\n0 x", "0\n99999999999999999999"])
def test_lines_of_a_map_are_named_and_never_quoted(content: str, network: Build) -> None:
    Path("m.txt").write_text(content)
    with pytest.raises(dv.errors.FormatError, match=r"m\.txt:[12]: the line is not a number from 0 to 1$"):
        network(REGION + "map=m.txt\n")


def test_a_tree_with_blanks_tabs_and_empty_lines_is_read(network: Build) -> None:
    Path("my tree.txt").write_bytes(b"  a\t-1\r\n\r\nb   -1 \n \t\nc 0")
    net = network(SOFTMAX.format("my tree.txt"))
    p = net.predict(np.random.default_rng(0).normal(size=(4, 3)))
    np.testing.assert_allclose(p[:, :2].sum(1), 1, rtol=1e-5)
    np.testing.assert_allclose(p[:, 2], 1, rtol=1e-5)


@pytest.mark.parametrize("key", ["tree", "map"])
def test_pipes_devices_folders_and_long_files_are_no_trees_and_no_maps(key: str, network: Build) -> None:
    os.mkfifo("pipe")
    Path("folder").mkdir()
    with open("long", "wb") as file:
        file.truncate((16 << 20) + 1)
    for name, message in {
        "pipe": "not a regular file", "/dev/zero": "not a regular file", "/dev/stdin": "not a regular file",
        "/dev/tty": "not a regular file|No such", "folder": "not a regular file", "long": "longer than 16777216 bytes",
        "nothere": "No such file",
    }.items():  # fmt: skip
        cfg = SOFTMAX.format(name) if key == "tree" else REGION + f"map={name}\n"
        start = time.monotonic()
        assert BINARY
        Path("net.cfg").write_text(cfg)
        reader, writer = os.pipe()  # a standard input that is never written to
        done = subprocess.run([BINARY, "inspect", "net.cfg"], stdin=reader, capture_output=True, text=True, timeout=30)
        os.close(reader)
        os.close(writer)
        assert done.returncode == 3 and re.search(rf"net\.cfg:\d+: .*{message}", done.stderr), (name, done.stderr)
        assert time.monotonic() - start < 10


def bounded(words: list[str]) -> subprocess.CompletedProcess[str]:
    """A program that may have half a gigabyte."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_DATA, (512 << 20, 512 << 20))

    return subprocess.run(words, capture_output=True, text=True, timeout=60, preexec_fn=limit)


@pytest.mark.skipif("asan" in os.environ.get("LD_PRELOAD", ""), reason="sanitizers reserve terabytes")
def test_endless_cfgs_and_weights_end_with_one_line() -> None:
    Path("net.cfg").write_text("[net]\ninputs=3\n[connected]\noutput=3\n")
    Path("rows.csv").write_text("1,2,3\n")
    assert BINARY
    done = bounded([BINARY, "inspect", "/dev/zero"])
    assert done.returncode == 3 and "/dev/zero: longer than 16777216 bytes" in done.stderr and done.stderr.count("\n") == 1
    for device in ("/dev/zero", "/dev/urandom"):
        done = bounded([BINARY, "predict", "net.cfg", "rows.csv", "-weights", device])
        assert done.returncode == 3 and device in done.stderr and done.stderr.count("\n") == 1


def test_a_weights_file_far_too_long_is_told_by_its_size_and_not_read(network: Build) -> None:
    net = network("[net]\ninputs=3\n[connected]\noutput=3\n")
    net.save("w.weights")
    with open("w.weights", "r+b") as file:
        file.truncate(1 << 40)  # no blocks: it costs nothing
    with pytest.raises(dv.errors.FormatError, match=f"the network has 12, the file {((1 << 40) - 20) // 4}"):
        net.load_weights("w.weights")
    net.load_weights("w.weights", cutoff=1)  # more may follow a part of a file


def test_cfgs_and_weights_may_come_through_pipes(network: Build) -> None:
    cfg = "[net]\ninputs=3\n[connected]\noutput=3\n" + "# a comment\n" * 20000
    net = network(cfg)
    net.save("w.weights")
    for name, content in (("cfg", cfg.encode()), ("weights", Path("w.weights").read_bytes())):
        os.mkfifo(name)
        threading.Thread(target=lambda n=name, c=content: Path(n).write_bytes(c), daemon=True).start()  # type: ignore[misc]
    other = dv.Network.load("cfg", "weights", seed=9)
    np.testing.assert_array_equal(other.layers[0].params["weights"], net.layers[0].params["weights"])


@pytest.mark.filterwarnings("ignore")
def test_a_cfg_of_many_keys_or_mistakes_ends_soon(network: Build) -> None:
    start = time.monotonic()
    with pytest.raises(dv.errors.FormatError, match=r"net\.cfg:1026: \[net\] has more than 1024 keys"):
        network("[net]\n" + "".join(f"k{i}=1\n" for i in range(100000)))
    mistakes = "[connected]\n" + "".join(f"unknown{i}=1\n" for i in range(400))
    told = warnings_of(network("[net]\ninputs=1\n" + mistakes * 50))
    assert len(told) == 200 and told[-1] == "further warnings are left out"
    assert time.monotonic() - start < 20


def test_a_network_of_more_memory_than_the_machine_has_is_one_clean_error(network: Build) -> None:
    for cfg in (
        "[net]\ninputs=1000000\n[connected]\noutput=250000\n",
        "[net]\ninputs=100000\nbatch=2000000\n[connected]\noutput=1\n",
        "[net]\ninputs=1000000\n[connected]\noutput=1000000\n",
        "[net]\nheight=100000\nwidth=10000\nchannels=2\n[convolutional]\nfilters=1000\nsize=3\npad=1\n",
    ):
        start = time.monotonic()
        with pytest.raises((dv.errors.OutOfMemoryError, dv.errors.FormatError), match=r"out of memory|too large|values"):
            network(cfg)
        assert time.monotonic() - start < 10


ESCAPES = "\x1b]0_owned\x07\x1b[2J\x9b"


@pytest.mark.filterwarnings("ignore")
def test_control_characters_reach_no_terminal(network: Build) -> None:
    net = network(f"[net]\ninputs=2\nke{ESCAPES}y=1\n[connected]\nname=a{ESCAPES}\xa0\noutput=1\n")
    assert len(warnings_of(net)) == 1
    outputs = [warnings_of(net)[0], net.json(), net.table(), net.device]
    with pytest.raises(dv.errors.FormatError) as error:
        network(f"[net]\ninputs=2\n[se{ESCAPES}]\n")
    outputs.append(str(error.value))
    with pytest.raises(dv.errors.DeviceError) as device:
        network("[net]\ninputs=2\n[connected]\n", device=f"cuda{ESCAPES}")
    outputs.append(str(device.value))
    for output in outputs:
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", output), output
    assert json.loads(net.json())["layers"][0]["name"].startswith(f"a{ESCAPES}"[:-1])


@pytest.mark.parametrize(
    "name",
    [b"\xff", b"a\xc3", b"\xe2\x82", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc0\xaf", b"\xe0\x80\x80", b'"\\', "é€😀".encode(),
     b"x" * 62 + "€".encode(), b"\x7f\xc2\x80"],
)  # fmt: skip
def test_json_is_valid_whatever_a_name_holds(name: bytes) -> None:
    Path("net.cfg").write_bytes(b"[net]\ninputs=2\n[connected]\nname=" + name + b"\n")
    assert BINARY
    done = subprocess.run([BINARY, "inspect", "net.cfg", "-json"], capture_output=True, timeout=60)
    shown = json.loads(done.stdout.decode("utf-8", errors="strict"))["layers"][0]["name"]
    try:
        wanted = name.decode()
    except UnicodeDecodeError:
        assert "\ufffd" in shown
    else:
        assert shown == wanted or (len(name) > 63 and wanted.startswith(shown.rstrip("\ufffd")))


def test_networks_with_label_trees_may_be_created_in_threads_at_once() -> None:
    """Each has its own place in its own file."""
    names = 3000
    for k in range(4):
        Path(f"t{k}.txt").write_text("".join(f"n{k}_{i} {-1 if i < 10 else i // 10 - 1}\n" for i in range(names)))
        Path(f"{k}.cfg").write_text(f"[net]\ninputs=1\n[connected]\noutput={names}\n[softmax]\ntree=t{k}.txt\n")
    failures: list[str] = []

    def work(k: int) -> None:
        for _ in range(30):
            try:
                dv.Network(f"{k}.cfg", threads=1)
            except dv.DarknetError as error:
                failures.append(str(error))

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures[:3]


def test_the_library_has_no_hidden_state() -> None:
    """Functions of the C library that keep a static buffer or position for the whole process."""
    from helpers import ROOT

    hidden = r"\b(strtok|localeconv|setlocale|asctime|ctime|gmtime|localtime|rand|srand|getpwuid|tmpnam|strsignal)\("
    for path in (ROOT / "csrc").rglob("*.[ch]*"):
        assert not re.search(hidden, path.read_text()), path
