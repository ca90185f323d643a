"""Where results go: whole files or nothing, and never in the place of what is no regular file."""

from __future__ import annotations

import collections
import fcntl
import os
import stat
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers import ROOT, program, run

import darknet_vae as dv
from darknet_vae._lib import check, lib

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
    alive = f"w.weights.tmp.{os.getppid()}.0123456789abcdef"
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


@pytest.mark.parametrize("path", ["", "n" * 256, "file/under", "link"])
def test_a_name_that_cannot_be_is_told_before_the_training(path: str) -> None:
    """The name of the temporary file could be, the target's not: then renaming was what failed."""
    Path("file").write_text("keep me")
    os.symlink("n" * 256, "link")
    before = sorted(os.listdir())
    with pytest.raises(dv.errors.FileError, match="cannot write"):
        dv.save_csv(path, ROWS)
    assert lib.dn_writable(path.encode()) == lib.DN_E_IO
    if path:
        words = [*program("binary"), "train", CFG, CSV, "-epochs", "1", "-save", path]
        done = run(words)
        assert done.returncode == 4 and done.stderr.count("\n") == 1, done.stderr
    assert sorted(os.listdir()) == before


def as_somebody(act: Callable[[], None], *groups: int) -> str:
    """Do it in a child as user 4321, in these groups, the first its own; what it raised."""
    os.chmod(".", 0o777)
    readable, writable = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups(groups)
            os.setgid(groups[0])
            os.setuid(4321)
            act()
        except BaseException as reason:
            os.write(writable, repr(reason).encode())
        finally:
            os._exit(0)
    os.close(writable)
    with os.fdopen(readable) as raised:
        text = raised.read()
    os.waitpid(child, 0)
    return text


@AS_ROOT
@pytest.mark.parametrize("folder", [0o555, 0o1777])
@pytest.mark.parametrize("name", ["there/shared.csv", "link.csv"])
def test_a_file_that_may_be_written_but_not_replaced_is_written_over(folder: int, name: str) -> None:
    """Its folder is read-only, or sticky as /tmp is; the link lies where we may write."""
    Path("there").mkdir()
    os.symlink("there/shared.csv", "link.csv")
    target = Path("there/shared.csv")
    target.write_text("old\n" * 1000)
    os.chmod(target, 0o666)
    os.chmod("there", folder)
    before = os.stat(target)
    assert as_somebody(lambda: dv.save_csv(name, ROWS), 4321) == ""
    after = os.stat(target)
    assert target.read_text() == TEXT
    assert (after.st_ino, after.st_uid, after.st_mode) == (before.st_ino, before.st_uid, before.st_mode)
    assert os.listdir("there") == ["shared.csv"]
    big = np.arange(300_000, dtype=np.float32).reshape(-1, 3)  # more than a buffer holds
    assert as_somebody(lambda: dv.save_csv(name, big), 4321) == ""
    assert np.array_equal(dv.load_csv(name), big)
    assert as_somebody(lambda: dv.save_csv(name, ROWS[:0]), 4321) == "" and target.read_text() == ""
    target.write_text("keep me")
    assert as_somebody(lambda: check(lib.dn_writable(name.encode())), 4321) == ""
    assert target.read_text() == "keep me"


@AS_ROOT
def test_a_new_file_in_a_folder_without_permission_is_an_error() -> None:
    Path("there").mkdir(mode=0o555)
    assert "Permission denied" in as_somebody(lambda: dv.save_csv("there/new.csv", ROWS), 4321)
    Path("there/old.csv").write_text("keep me")
    assert "Permission denied" in as_somebody(lambda: dv.save_csv("there/old.csv", ROWS), 4321)
    assert Path("there/old.csv").read_text() == "keep me"


@AS_ROOT
@pytest.mark.parametrize(
    "mode, groups, wanted",
    [
        (0o660, (4321, 2345), 0o660),  # the group is ours too, so it stays
        (0o646, (4321,), 0o646),
        (0o676, (4321,), 0o666),  # our group gets what everybody has
        (0o6777, (4321,), 0o777),
        (0o6777, (4321, 2345), 0o777),
    ],
)
def test_a_file_that_cannot_keep_its_owner_gives_no_group_more(mode: int, groups: tuple[int, ...], wanted: int) -> None:
    Path("theirs.csv").write_text("old")
    os.chown("theirs.csv", 1234, 2345)
    os.chmod("theirs.csv", mode)
    assert as_somebody(lambda: dv.save_csv("theirs.csv", ROWS), *groups) == ""
    info = os.stat("theirs.csv")
    assert Path("theirs.csv").read_text() == TEXT
    assert (info.st_uid, info.st_gid) == (4321, 2345 if 2345 in groups else 4321)
    assert stat.S_IMODE(info.st_mode) == wanted


def test_a_file_that_alone_is_mounted_is_written_over() -> None:
    """As containers are given single files; renaming over one is refused."""
    Path("inner").write_text("old\n" * 10)
    Path("store").write_text("old\n" * 10)
    code = f"mount --bind store inner && exec {' '.join(program('binary'))} sample {CFG} -random -n 3 -q -o inner"
    if subprocess.run(["unshare", "-rm", "true"], capture_output=True).returncode:
        pytest.skip("no namespaces here")
    done = run(["unshare", "-rm", "sh", "-c", code])
    if "mount" in done.stderr:
        pytest.skip("no mounting here")
    assert done.returncode == 0, done.stderr
    assert dv.load_csv("store").shape == (3, 64)
    assert Path("inner").read_text() == "old\n" * 10
    assert sorted(os.listdir()) == ["inner", "store"]


def test_leftovers_with_our_own_number_are_cleaned_unless_they_are_being_written() -> None:
    """In a container every run has the same number."""
    left, locked = (f"w.csv.tmp.{os.getpid()}.0123456789abcde{end}" for end in "01")
    for name in (left, locked):
        Path(name).write_text("part")
    with open(locked) as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        dv.save_csv("w.csv", ROWS)
    assert sorted(os.listdir()) == ["w.csv", locked]


def test_input_that_does_not_block_is_waited_for() -> None:
    """Another program that shares the pipe may have made it so."""
    readable, writable = os.pipe()
    os.set_blocking(readable, False)
    words = [*program("binary"), "inspect", "-"]
    with subprocess.Popen(words, stdin=readable, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        os.close(readable)
        with os.fdopen(writable, "w") as out:
            text = Path(CFG).read_text()
            for part in (text[:40], text[40:]):
                time.sleep(0.1)
                out.write(part)
                out.flush()
        said = process.communicate(timeout=30)[0]
    assert process.returncode == 0 and "sampling" in said, said


def test_two_outputs_of_a_training_are_two_files() -> None:
    """Whatever they are called: the table would take the place of the weights."""
    Path("sub").mkdir()
    os.symlink("sub", "other")
    for save, latents in (("w", "./w"), ("sub/w", "other/w"), ("sub/../w", "w")):
        done = run([*program("binary"), "train", CFG, CSV, "-epochs", "1", "-save", save, "-latents", latents])
        assert done.returncode == 2 and "-save and -latents are both" in done.stderr, done.stderr
    assert sorted(os.listdir()) == ["other", "sub"] and not os.listdir("sub")
