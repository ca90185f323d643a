"""What a process may use: control groups, affinity, and environment variables that choose how to compute."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers import BINARY, ROOT, run
from test_kernels import c_test

import darknet_vae as dv

CFG = ROOT / "cfg" / "vae_digits.cfg"
V2 = "31 23 0:28 {top} /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
V1 = (
    "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
    "33 31 0:30 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n"
    "34 31 0:31 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
)
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="control groups are Linux's")


def allowed(files: dict[str, str]) -> tuple[int, int]:
    """Processors and bytes on a machine with these system files."""
    shutil.rmtree("root", ignore_errors=True)
    for name, content in files.items():
        path = Path("root" + name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    done = subprocess.run([str(c_test("test_machine")), "root"], capture_output=True, text=True, check=True)
    processors, memory = done.stdout.split()
    return int(processors), int(memory)


def version_2(limits: dict[str, str], group: str = "/a/b", top: str = "/") -> tuple[int, int]:
    files = {"/proc/self/mountinfo": V2.format(top=top), "/proc/self/cgroup": f"1:name=systemd:/x\n0::{group}\n"}
    return allowed(files | {"/sys/fs/cgroup" + name: value for name, value in limits.items()})


@pytest.fixture
def all_processors() -> int:
    n = len(os.sched_getaffinity(0))
    if n < 2:
        pytest.skip("one processor: nothing could be less")
    return n


def test_without_limits_all_processors_of_the_affinity_count(all_processors: int) -> None:
    assert allowed({})[0] == all_processors
    assert version_2({"/a/b/cpu.max": "max 100000\n", "/a/cpu.max": "max 100000\n"})[0] == all_processors
    first = min(os.sched_getaffinity(0))
    words = ["taskset", "-c", str(first), str(c_test("test_machine")), "root"]
    assert subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()[0] == "1"


@pytest.mark.parametrize(
    ("limits", "processors"),
    [
        ({"/a/b/cpu.max": "100000 100000\n"}, 1),
        ({"/a/cpu.max": "50000 100000\n", "/a/b/cpu.max": "max 100000\n"}, 1),
        ({"/a/cpu.max": "150000 100000\n"}, 2),
        ({"/cpu.max": "100000 100000\n", "/a/b/cpu.max": "900000 100000\n"}, 1),
        ({"/other/cpu.max": "100000 100000\n"}, None),
        ({"/a/b/cpu.max": "nonsense\n"}, None),
        ({"/a/b/cpu.max": ""}, None),
    ],
)
def test_the_lowest_quota_from_the_own_group_up_counts(
    limits: dict[str, str], processors: int | None, all_processors: int
) -> None:
    assert version_2(limits)[0] == (processors or all_processors)


def test_the_group_is_found_below_what_is_mounted(all_processors: int) -> None:
    quota = {"/b/cpu.max": "100000 100000\n"}
    assert version_2(quota, group="/docker/x/b", top="/docker/x")[0] == 1
    assert version_2({"/cpu.max": "100000 100000\n"}, group="/docker/y", top="/docker/x")[0] == 1  # the mount itself
    assert version_2(quota, group="/../b")[0] == all_processors  # outside of what is mounted


def test_version_1_has_a_tree_per_controller(all_processors: int) -> None:
    files = {
        "/proc/self/mountinfo": V1,
        "/proc/self/cgroup": "5:memory:/m\n4:cpuset:/\n3:cpu,cpuacct:/s/t\n",
        "/sys/fs/cgroup/cpu,cpuacct/s/cpu.cfs_quota_us": "100000\n",
        "/sys/fs/cgroup/cpu,cpuacct/s/cpu.cfs_period_us": "100000\n",
        "/sys/fs/cgroup/cpu,cpuacct/s/t/cpu.cfs_quota_us": "-1\n",
        "/sys/fs/cgroup/cpu,cpuacct/s/t/cpu.cfs_period_us": "100000\n",
        "/sys/fs/cgroup/memory/m/memory.limit_in_bytes": "268435456\n",
        "/sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
    }
    assert allowed(files) == (1, 268435456)


def test_memory_is_the_lowest_limit_or_the_machines() -> None:
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert allowed({})[1] == machine
    assert version_2({"/a/b/memory.max": "max\n", "/a/memory.max": "1000000\n", "/memory.max": "2000000\n"})[1] == 1000000
    assert version_2({"/a/memory.max": str(4 * machine)})[1] == machine


def test_more_threads_than_processors_are_not_used() -> None:
    processors = int(subprocess.run([str(c_test("test_machine"))], capture_output=True, text=True, check=True).stdout.split()[0])
    for wanted in (1, processors, 64, 100000):
        assert dv.Network(CFG, threads=wanted)._info().threads == min(wanted, processors)


def inspect(**environment: str) -> subprocess.CompletedProcess[str]:
    assert BINARY
    return run([BINARY, "inspect", str(CFG), "-nogpu"], env={**os.environ, **environment})


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("DARKNET_ISA", "foo", "DARKNET_ISA=foo is no instruction set: base, avx2 and avx512 are known, this processor has base"),
        ("DARKNET_ISA", "AVX2", "(did you mean 'avx2'?)"),
        ("DARKNET_THREADS", "abc", "DARKNET_THREADS=abc is not a number of threads"),
        ("DARKNET_THREADS", "2x", "DARKNET_THREADS=2x is not a number of threads"),
        ("DARKNET_THREADS", "-3", "DARKNET_THREADS=-3 is not a number of threads"),
        ("DARKNET_THREADS", "99999999999999999999", "is not a number of threads"),
        ("DARKNET_BLAS", "libnothere.so", "DARKNET_BLAS=libnothere.so: libnothere.so: cannot open"),
        ("DARKNET_BLAS", "libm.so.6", "DARKNET_BLAS=libm.so.6: it has no cblas_sgemm"),
    ],
)
def test_a_variable_that_cannot_be_followed_is_an_error(name: str, value: str, message: str) -> None:
    done = inspect(**{name: value})
    assert done.returncode == 2 and message in done.stderr and done.stderr.count("\n") == 1


def test_empty_variables_and_zero_threads_say_nothing() -> None:
    assert inspect(DARKNET_ISA="", DARKNET_BLAS="", DARKNET_THREADS="").returncode == 0
    assert inspect(DARKNET_ISA="base", DARKNET_THREADS="0").returncode == 0


def test_a_variable_that_comes_too_late_is_an_error_too(monkeypatch: pytest.MonkeyPatch) -> None:
    dv.Network(CFG)
    name = "base" if not os.environ.get("DARKNET_ISA") else "avx2"
    if "cpu kernels base" in dv.build_info():
        pytest.skip("this processor has one instruction set")
    monkeypatch.setenv("DARKNET_ISA", name)
    with pytest.raises(dv.errors.UsageError, match=f"DARKNET_ISA={name} is too late: this process computes with "):
        dv.Network(CFG)


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="threads are looked at as Linux shows them")
def test_signals_are_for_the_threads_of_the_program() -> None:
    """Else one that waits in a call would not be woken, and one that a program keeps to itself would end it."""
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("one processor has no worker")
    before = set(os.listdir("/proc/self/task"))
    net = dv.Network(ROOT / "cfg" / "vae_digits.cfg", threads=2)
    workers = set(os.listdir("/proc/self/task")) - before
    assert net.n_params and len(workers) == 1
    for worker in workers:
        blocked, until = -1, time.monotonic() + 10
        while blocked >> (signal.SIGSEGV - 1) & 1 and time.monotonic() < until:  # a thread begins with all of them blocked
            text = Path(f"/proc/self/task/{worker}/status").read_text()
            blocked = int(next(line for line in text.splitlines() if line.startswith("SigBlk")).split()[1], 16)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGCHLD, signal.SIGALRM):
            assert blocked >> (number - 1) & 1, number
        for number in (signal.SIGSEGV, signal.SIGFPE, signal.SIGABRT, signal.SIGPROF):
            assert not blocked >> (number - 1) & 1, number
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, [])  # ours are as they were
