"""Promises: the same bits on any number of threads, nothing allocated in a step, failures that leave everything whole."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers import BINARY, ROOT, has_isa, run

import darknet_vae as dv
from darknet_vae._lib import lib

Build = Callable[..., dv.Network]
CFG = ROOT / "cfg" / "vae_digits.cfg"


@pytest.mark.parametrize("name", ["vae_digits.cfg", "autoencoder.cfg", "vae_connected.cfg"])
def test_weights_are_the_same_bits_for_any_number_of_threads(name: str) -> None:
    weights = []
    for threads in (1, 2, 4):
        net = dv.Network(ROOT / "cfg" / name, threads=threads, batch=48)
        X = np.random.default_rng(0).uniform(size=(200, net.inputs)).astype(np.float32)
        net.train(X, epochs=2)
        net.save("w.weights")
        weights.append(Path("w.weights").read_bytes())
    assert weights[0] == weights[1] == weights[2]


@pytest.mark.parametrize("name", ["vae_digits.cfg", "autoencoder.cfg", "vae_conv.cfg"])
def test_a_training_step_allocates_nothing_after_the_first(name: str) -> None:
    net = dv.Network(ROOT / "cfg" / name)
    X = np.random.default_rng(0).uniform(size=(net.batch, net.inputs)).astype(np.float32)
    for step in range(4):
        lib.dn_sys_fail_at(0)  # begins to count
        net.forward(X, X, train=True)
        net.backward()
        net.update()
        if step:
            assert lib.dn_sys_fail_at(0) == 0


@pytest.mark.filterwarnings("ignore:the preview")
def test_every_failing_allocation_or_file_call_is_an_error_and_no_crash(digits: tuple[np.ndarray, np.ndarray]) -> None:
    """The n-th call fails, for every n until the whole job goes through."""
    Path("good.weights").write_bytes(b"keep me")
    dv.save_csv("rows.csv", digits[0][:20])

    def job() -> None:
        X = dv.load_csv("rows.csv")
        net = dv.Network(CFG)
        net.train(X, epochs=1, preview="p.txt")
        net.save("good.weights")
        net.load_weights("good.weights")
        net.encode(X)
        dv.save_csv("rows2.csv", net.reconstruct(X))

    failures = 0
    for n in range(1, 2000):
        lib.dn_sys_fail_at(n)
        try:
            job()
            if lib.dn_sys_fail_at(0) < n:
                break
        except dv.DarknetError as error:
            failures += 1
            assert str(error)
        lib.dn_sys_fail_at(0)
        weights = Path("good.weights").read_bytes()
        assert weights == b"keep me" or len(weights) > 100_000  # the old or the new, never a part
        assert not list(Path().glob("*.tmp*"))
        assert (dv.load_csv("rows.csv") == digits[0][:20]).all()
    else:
        pytest.fail("never went through")
    assert failures > 50


def test_weights_of_another_network_name_the_layer_and_touch_nothing() -> None:
    net = dv.Network(CFG, seed=1)
    before = [layer.params["weights"] for layer in net.layers if layer.params]
    dv.Network(ROOT / "cfg" / "vae_connected.cfg").save("big.weights")
    net.save("own.weights")
    data = Path("own.weights").read_bytes()
    Path("short.weights").write_bytes(data[:-400])
    Path("odd.weights").write_bytes(data + b"x")
    nan = bytearray(data)
    nan[24:28] = np.float32("nan").tobytes()
    Path("nan.weights").write_bytes(nan)
    for name, message in (
        ("big", "another network"),
        ("short", r"layer 9 \[connected\] needs 8256 values, the file has 8156"),
        ("odd", "another network"),
        ("nan", "is nan"),
    ):
        with pytest.raises(dv.errors.FormatError, match=rf"{name}\.weights.*{message}"):
            net.load_weights(f"{name}.weights")
    for layer, weights in zip([layer for layer in net.layers if layer.params], before, strict=True):
        np.testing.assert_array_equal(layer.params["weights"], weights)


def test_a_network_survives_a_fork(digits: tuple[np.ndarray, np.ndarray]) -> None:
    X = digits[0][:200]
    net = dv.Network(ROOT / "cfg" / "vae_conv.cfg", threads=2)
    images = np.zeros((64, 784), np.float32)
    expected = net.predict(images)
    child = os.fork()
    if child == 0:
        ok = np.array_equal(net.predict(images), expected) and np.isfinite(dv.Network(CFG).evaluate(X)["total_loss"])
        os._exit(0 if ok else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_two_networks_in_two_threads_do_not_meet(digits: tuple[np.ndarray, np.ndarray]) -> None:
    from concurrent.futures import ThreadPoolExecutor

    def train(seed: int) -> list[float]:
        return dv.Network(CFG, seed=seed).train(digits[0], epochs=3).total_loss

    alone = [train(seed) for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(train, range(4))) == alone


@pytest.mark.timing
def test_a_large_csv_costs_little_more_than_its_matrix() -> None:
    """60,000 rows of 784 values, as MNIST; measured for the whole process."""
    rows = 60_000
    line = ",".join(["0", "128", "255", "7"] * 196) + "\n"
    with open("big.csv", "w") as file:
        for _ in range(rows // 1000):
            file.write(line * 1000)
    code = (
        "import resource, darknet_vae as dv;"
        f"net = dv.Network({str(ROOT / 'cfg' / 'vae_connected.cfg')!r});"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss;"
        "X = dv.load_csv('big.csv', scale=255); net.train(X[:64], epochs=1); net.evaluate(X[:64]);"
        "print(X.shape[0], (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 / X.nbytes)"
    )
    count, ratio = subprocess.check_output([sys.executable, "-c", code], text=True).split()
    Path("big.csv").unlink()
    assert int(count) == rows
    assert float(ratio) < 1.3


@pytest.mark.parametrize("isa", ["base", "avx2", "avx512"])
def test_every_instruction_set_gives_the_same_within_rounding(isa: str, digits: tuple[np.ndarray, np.ndarray]) -> None:
    if not has_isa(isa):
        pytest.skip(f"this processor has no {isa}")
    words = [str(BINARY), "vae", "train", str(CFG), str(ROOT / "data" / "digits.csv"), "-epochs", "2", "-json", "-quiet"]
    done = run(words, env={**os.environ, "DARKNET_ISA": isa})
    assert done.returncode == 0, done.stderr
    losses = dv.Network(CFG).train(digits[0], epochs=2)
    import json

    assert json.loads(done.stdout)["total_loss"] == pytest.approx(losses.total_loss[-1], rel=1e-3)


def test_an_external_blas_gives_the_same_within_rounding(digits: tuple[np.ndarray, np.ndarray]) -> None:
    """numpy's wheel brings an OpenBLAS, but with other names; so a system's is looked for."""
    import ctypes.util
    import json

    name = next((found for n in ("openblas", "blas", "cblas") if (found := ctypes.util.find_library(n))), None)
    words = [str(BINARY), "vae", "train", str(CFG), str(ROOT / "data" / "digits.csv"), "-epochs", "2", "-json", "-quiet"]
    if name is None:
        version = run([str(BINARY), "--version"], env={**os.environ, "DARKNET_BLAS": "libnothere.so"}).stdout
        assert "libnothere.so without cblas_sgemm" in version
        pytest.skip("no BLAS library on this system")
    done = run(words, env={**os.environ, "DARKNET_BLAS": name})
    losses = dv.Network(CFG).train(digits[0], epochs=2)
    assert json.loads(done.stdout)["total_loss"] == pytest.approx(losses.total_loss[-1], rel=1e-3)
