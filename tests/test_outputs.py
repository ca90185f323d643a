"""Where results go: whole files or nothing, and never in the place of what is no regular file."""

from __future__ import annotations

import collections
import os
import stat
import subprocess
import threading
from pathlib import Path

import numpy as np
import pytest
from helpers import ROOT, program, run

import darknet_vae as dv

CFG, CSV = str(ROOT / "cfg" / "vae_digits.cfg"), str(ROOT / "data" / "digits.csv")
ROWS = np.arange(6, dtype=np.float32).reshape(3, 2)
TEXT = "0,1\n2,3\n4,5\n"
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root makes device nodes and gives files away")


def kind(path: str) -> int:
    return stat.S_IFMT(os.lstat(path).st_mode)


def test_a_named_pipe_gets_the_rows_and_stays_a_pipe() -> None:
    os.mkfifo("pipe")
    with subprocess.Popen(["cat", "pipe"], stdout=subprocess.PIPE, text=True) as reader:
        dv.save_csv("pipe", ROWS)
        assert reader.communicate(timeout=10)[0] == TEXT
    assert stat.S_ISFIFO(kind("pipe"))


def test_a_writer_of_a_pipe_without_a_reader_can_be_interrupted() -> None:
    os.mkfifo("pipe")
    words = [*program("binary"), "sample", CFG, "-random", "-n", "3", "-q", "-o", "pipe"]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.5)
    process.terminate()
    assert process.communicate(timeout=2)[1].count("\n") == 1
    assert process.returncode == 143


@pytest.mark.parametrize("link", ["real.csv", "store/real.csv", "../elsewhere.csv", "absolute", "second"])
def test_a_link_stays_a_link_and_its_target_is_written(link: str, tmp_path: Path) -> None:
    Path("store").mkdir()
    target = str(tmp_path / "store" / "abs.csv") if link == "absolute" else link
    if link == "second":
        os.symlink("store/last.csv", "second")
    os.symlink(target, "link.csv")
    for rows in (ROWS, ROWS[:2]):  # a target that is not there, then one that is
        dv.save_csv("link.csv", rows)
        assert stat.S_ISLNK(kind("link.csv"))
        assert np.array_equal(dv.load_csv("link.csv"), rows)
    if link == "second":
        assert stat.S_ISLNK(kind("second")) and Path("store/last.csv").is_file()


def test_links_that_go_round_in_circles_are_an_error() -> None:
    os.symlink("b", "a")
    os.symlink("a", "b")
    with pytest.raises(dv.errors.FileError, match="cannot write a: Too many levels"):
        dv.save_csv("a", ROWS)
    assert stat.S_ISLNK(kind("a"))


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664, 0o755])
def test_a_file_that_is_written_again_keeps_its_mode(mode: int) -> None:
    Path("private.csv").write_text("old")
    os.chmod("private.csv", mode)
    dv.save_csv("private.csv", ROWS)
    dv.Network(CFG).save("private.csv")
    assert stat.S_IMODE(os.stat("private.csv").st_mode) == mode


def test_a_new_file_has_the_mode_that_the_process_gives_to_files() -> None:
    old = os.umask(0o027)
    try:
        dv.save_csv("new.csv", ROWS)
    finally:
        os.umask(old)
    assert stat.S_IMODE(os.stat("new.csv").st_mode) == 0o640


@AS_ROOT
def test_a_file_keeps_its_owner() -> None:
    Path("theirs.csv").write_text("old")
    os.chown("theirs.csv", 1234, 2345)
    dv.save_csv("theirs.csv", ROWS)
    info = os.stat("theirs.csv")
    assert (info.st_uid, info.st_gid) == (1234, 2345)


@AS_ROOT
def test_a_device_is_written_to_and_stays_a_device() -> None:
    """A node of our own, of the same device as /dev/null."""
    try:
        os.mknod("null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
        open("null", "wb").close()
    except OSError:
        pytest.skip("this system lets nobody make device nodes")
    dv.save_csv("null", ROWS)
    dv.Network(CFG).save("null")
    words = program("binary")
    assert run([*words, "train", CFG, CSV, "-epochs", "1", "-save", "null", "-q"]).returncode == 0
    assert run([*words, "sample", CFG, "-random", "-n", "3", "-o", "null"]).returncode == 0
    assert stat.S_ISCHR(kind("null"))
    assert os.listdir() == ["null"]  # no latent table beside it


def test_a_folder_in_the_place_of_the_file_is_an_error() -> None:
    Path("folder").mkdir()
    with pytest.raises(dv.errors.FileError, match="cannot write folder: Is a directory"):
        dv.save_csv("folder", ROWS)


@pytest.mark.parametrize("name", ["-", "/proc/self/fd/1", "out.csv"])
def test_standard_output_under_its_names_gets_the_rows_in_order(name: str) -> None:
    """Also by the name of the file that it was sent to, which stays the same file."""
    sample = [*program("binary"), "sample", CFG, "-random", "-n", "3", "-q"]
    wanted = run(sample).stdout
    Path("out.csv").write_text("first\n")
    before = os.stat("out.csv").st_ino
    with open("out.csv", "a") as out:
        assert subprocess.run([*sample, "-o", name], stdout=out, timeout=60).returncode == 0
    assert Path("out.csv").read_text() == "first\n" + wanted
    assert os.stat("out.csv").st_ino == before


def test_weights_on_standard_output_are_weights_alone() -> None:
    done = subprocess.run([*program("binary"), "train", CFG, CSV, "-epochs", "1", "-save", "-"], capture_output=True, timeout=60)
    assert done.returncode == 0
    assert b"total_loss" in done.stderr  # the result, which would spoil them
    Path("w.weights").write_bytes(done.stdout)
    assert dv.Network.load(CFG, "w.weights").seen == 1797
    assert os.listdir() == ["w.weights"]


def test_a_planted_link_in_the_place_of_the_temporary_file_is_not_followed() -> None:
    """The old name was PATH.tmp.PID."""
    Path("victim").write_text("keep me")
    shell = f"ln -s victim out.w.tmp.$$; exec {' '.join(program('binary'))} train {CFG} {CSV} -epochs 1 -q -save out.w"
    assert subprocess.run(["sh", "-c", shell], stdout=subprocess.DEVNULL, timeout=60).returncode == 0
    assert Path("victim").read_text() == "keep me"
    assert not Path("out.w").is_symlink()


def test_two_savers_of_one_path_leave_one_whole_file() -> None:
    nets = [dv.Network(CFG, threads=1, seed=seed) for seed in (1, 2)]
    whole = []
    for i, net in enumerate(nets):
        net.save(f"{i}.w")
        whole.append(Path(f"{i}.w").read_bytes())
    seen: collections.Counter[str] = collections.Counter()

    def save(net: dv.Network) -> None:
        for _ in range(40):
            try:
                net.save("same.w")
            except dv.DarknetError as error:
                seen[str(error)] += 1

    threads = [threading.Thread(target=save, args=(net,)) for net in nets]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        if os.path.exists("same.w") and Path("same.w").read_bytes() not in whole:
            seen["torn"] += 1
    assert not seen
    assert sorted(os.listdir()) == ["0.w", "1.w", "same.w"]


def test_leftovers_of_killed_runs_are_cleaned_and_those_of_living_ones_are_not() -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    dead = f"w.weights.tmp.{gone.pid}.0123456789abcdef"
    alive = f"w.weights.tmp.{os.getpid()}.0123456789abcdef"
    others = [f"other.weights.tmp.{gone.pid}.0123456789abcdef", f"w.weights.tmp.{gone.pid}.mine", "w.weights.tmp.1"]
    for name in (dead, alive, *others):
        Path(name).write_text("part")
    dv.Network(CFG).save("w.weights")
    assert sorted(os.listdir()) == sorted(["w.weights", alive, *others])


def test_a_killed_training_leaves_the_old_weights_whole() -> None:
    dv.Network(CFG).save("w.weights")
    before = Path("w.weights").read_bytes()
    process = subprocess.Popen([*program("binary"), "train", CFG, CSV, "-epochs", "100000", "-save", "w.weights", "-q"])
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.3)
    process.kill()
    process.wait()
    assert Path("w.weights").read_bytes() == before


def test_long_names_have_temporary_files_too() -> None:
    name = "n" * 250 + ".csv"
    dv.save_csv(name, ROWS)
    assert os.listdir() == [name]


def test_a_write_protected_file_is_not_replaced() -> None:
    """Renaming a new file over it would not ask for the permission to write."""
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    Path("golden.csv").write_text("keep me")
    os.chmod("golden.csv", 0o444)
    with pytest.raises(dv.errors.FileError, match=r"cannot write golden\.csv: Permission denied"):
        dv.save_csv("golden.csv", ROWS)
