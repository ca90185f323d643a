"""The CUDA backend. Its kernels run here on an emulated GPU (tests/cuda_emulation), whose memory the host may not touch; with
DARKNET_TEST_GPU=1 on the machine's own. Where no GPU is: every way of not finding one."""

from __future__ import annotations

import ctypes
import gc
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from helpers import ON_A_GPU, ROOT, defined, emulated_plugin, made, program, run
from test_fused import HEAD, check
from test_gradients import NETWORKS, problem_of
from test_kernels import c_test

import darknet_vae as dv
from darknet_vae import errors

Build = Callable[..., dv.Network]
CFG = str(ROOT / "cfg" / "vae_digits.cfg")
CSV = str(ROOT / "data" / "digits.csv")
DENSE = "[net]\nbatch=4\ninputs=6\n[connected]\noutput=3\nactivation=tanh\n[connected]\noutput=6\nactivation=linear\n[cost]\n"
LARGE = "[net]\nbatch=512\ninputs=784\n[connected]\noutput=256\nactivation=linear\n"  # above the arithmetic that `auto` wants
emulated_only = pytest.mark.skipif(ON_A_GPU, reason="is about the emulation's ways to fail")


def memory_in_use() -> Callable[[], int]:
    """Bytes that networks hold of the emulated GPUs' memory."""
    memory = ctypes.CDLL(emulated_plugin()).emulated_memory_in_use
    memory.restype = ctypes.c_size_t
    return cast("Callable[[], int]", memory)


def device_error(**options: object) -> str:
    with pytest.raises(errors.DeviceError) as caught:
        dv.Network(CFG, device="cuda", **options)  # type: ignore[arg-type]
    message = str(caught.value)
    assert "\n" not in message and message.startswith("device 'cuda' is not available: "), message
    return message


# ---- the numbers


@pytest.mark.parametrize("backward", ["0", "1"])
def test_every_operation_gives_the_numbers_of_the_cpu(backward: str, cuda: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMULATION_FENCE", "1")  # the host may not touch the device's memory
    monkeypatch.setenv("EMULATION_BACKWARD", backward)  # threads take their turns in the other order
    done = run([made("parity", "cuda_parity"), cuda, "8" if ON_A_GPU else "1", str(1 + int(backward))])
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_recorded_step_follows_schedules_of_the_latent_loss_and_draws_rows_anew(cuda: str) -> None:
    done = run([str(c_test("test_replay")), cuda])
    assert done.returncode == 0, done.stdout + done.stderr


@emulated_only
@pytest.mark.parametrize("rows", [4, 20])
def test_every_launch_that_fails_is_reported_and_leaves_the_network_usable(rows: int, cuda: str, network: Build) -> None:
    """Also while a step is recorded, and of the steps that are done by hand."""
    refuse = ctypes.CDLL(emulated_plugin()).emulated_refuse
    refuse.argtypes, refuse.restype = [ctypes.c_long], ctypes.c_long
    text = HEAD.format(batch=rows, inputs=20, adam=1) + (
        "[connected]\noutput=8\nactivation=tanh\n[sampling]\n[connected]\noutput=20\nactivation=leaky\n[cost]\n"
    )
    X = np.random.default_rng(0).uniform(size=(3 * rows + 1, 20)).astype(np.float32)
    refuse(0)
    wanted = network(text, device=cuda).train(X, epochs=1).total_loss
    launches, net = refuse(0), network(text, device=cuda)
    refuse(0)
    net.train(X, epochs=1)
    training = refuse(0)
    assert 20 < training < launches
    for nth in range(1, training + 1):
        net = network(text, device=cuda)
        refuse(nth)
        with pytest.raises(errors.DeviceError, match="cuda:0 failed in or before"):
            net.train(X, epochs=1)
        refuse(0)
        losses = net.evaluate(X[:rows])  # with its weight of the latent loss, should setting that have failed
        assert losses["total_loss"] == pytest.approx(losses["image_loss"] + 0.5 * losses["latent_loss"])
        other = network(text, device=cuda)
        for layer, from_layer in zip(net.layers, other.layers, strict=True):
            for name, value in from_layer.params.items():
                layer.set(name, value)
        assert net.train(X, epochs=1).total_loss[0] == pytest.approx(wanted[0], rel=0.2)


@pytest.mark.parametrize("kind", NETWORKS)
def test_layer_gives_the_numbers_of_the_cpu(kind: str, cuda: str, network: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMULATION_FENCE", "1")
    problems = [problem_of(kind, 3, network, device=device) for device in ("cpu", cuda)]
    losses = [problem.loss() for problem in problems]
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
    for problem in problems:
        problem.net.backward()
    for layer, name in problems[0].tensors:
        ours, wanted = problems[1].net.layers[layer.index].grads[name], layer.grads[name]
        np.testing.assert_allclose(ours, wanted, rtol=1e-4, atol=1e-5 * (1 + np.abs(wanted).max()), err_msg=f"{layer} {name}")
    for problem in problems:
        problem.net.update()
    for layer, name in problems[0].tensors:
        other = problems[1].net.layers[layer.index]
        np.testing.assert_allclose(other.params[name], layer.params[name], rtol=1e-4, atol=1e-5)


def losses_of(cfg: str | Path, X: np.ndarray, device: str, **options: object) -> list[float]:
    net = dv.Network(cfg, device=device, seed=3, **options)  # type: ignore[arg-type]
    return net.train(X, epochs=2).total_loss


@pytest.mark.parametrize("name", ["vae_digits.cfg", "autoencoder.cfg"])
def test_training_loses_what_it_loses_on_the_cpu(name: str, cuda: str, digits: tuple[np.ndarray, np.ndarray]) -> None:
    """Noise, dropout and shuffling are the same numbers, so the losses agree epoch by epoch; most steps are replayed."""
    X = digits[0][:330]
    ours, wanted = (losses_of(ROOT / "cfg" / name, X, device) for device in (cuda, "cpu"))
    assert ours == pytest.approx(wanted, rel=2e-4)


def test_a_run_repeats_bit_for_bit(cuda: str, digits: tuple[np.ndarray, np.ndarray]) -> None:
    weights = []
    for _ in range(2):
        net = dv.Network(CFG, device=cuda)
        net.train(digits[0][:200], epochs=2)
        net.save("w.weights")
        weights.append(Path("w.weights").read_bytes())
    assert weights[0] == weights[1]


@pytest.mark.parametrize("cublas", [False, True])
@pytest.mark.parametrize("adam", [0, 1])
@pytest.mark.parametrize("rows", [1, 3, 4, 5, 16, 17, 70])
def test_fused_training_gives_the_parameters_of_plain_steps(
    rows: int, adam: int, cublas: bool, cuda: str, network: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Up to 16 rows, and more; 530 inputs are more than one block of the update has, 130 outputs more than a tile."""
    if not ON_A_GPU:
        monkeypatch.setenv("DARKNET_CUBLAS", emulated_plugin() if cublas else "off")
    text = HEAD.format(batch=rows, inputs=37, adam=adam) + (
        "[connected]\noutput=530\nactivation=tanh\n[connected]\noutput=3\nactivation=linear\n"
        "[route]\nlayers=-1,-2\n[connected]\noutput=21\nactivation=leaky\n[connected]\noutput=130\nactivation=logistic\n"
        "[cost]\ntype=sse\nscale=0.5\n"
    )
    check(lambda text, **options: network(text, device=cuda, **options), text, 37, 130, rows)


@pytest.mark.parametrize("rows", [4, 20])
@pytest.mark.parametrize("loss", ["sse", "L1", "smooth", "bce", "masked"])
def test_every_loss_behind_a_connected_layer_trains_as_on_the_cpu(loss: str, rows: int, cuda: str, network: Build) -> None:
    text = HEAD.format(batch=rows, inputs=64, adam=0) + (
        f"[connected]\noutput=90\nactivation=elu\n[connected]\noutput=19\nactivation=elu\n[cost]\ntype={loss}\nscale=0.7\n"
    )
    random = np.random.default_rng(0)
    X, truth = (random.uniform(size=(5 * rows, n)).astype(np.float32) for n in (64, 19))
    truth[::3, 4] = -1234 if loss == "masked" else 0
    nets = [network(text, device=device, seed=2) for device in ("cpu", cuda)]
    losses = [net.train(X, epochs=2, truth=truth).total_loss for net in nets]
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
    for ours, wanted in zip(nets[1].layers, nets[0].layers, strict=True):
        for name in wanted.params:
            np.testing.assert_allclose(ours.params[name], wanted.params[name], rtol=2e-4, atol=2e-5)


@emulated_only
@pytest.mark.parametrize(
    ("name", "batch", "launches"), [("vae_connected", 4, 16), ("vae_connected", 256, 46), ("vae_conv", 32, 65)]
)
def test_a_step_is_few_kernels(name: str, batch: int, launches: int, cuda: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels, copies and fills of a whole step: rows gathered, forward, backward, update. On a GPU with 132 processors."""
    monkeypatch.setenv("EMULATION_PROCESSORS", "132")
    net = dv.Network(ROOT / "cfg" / f"{name}.cfg", device=cuda, batch=batch)
    net.train(np.zeros((2 * batch, 784), np.float32), epochs=1)
    assert ctypes.CDLL(emulated_plugin()).emulated_recorded() <= launches


RECORDED = (
    "[net]\nbatch=8\nheight=6\nwidth=6\nchannels=1\nadam={adam}\nlearning_rate=0.01\npolicy=steps\nsteps=4,9\nscales=.5,.5\n"
    "[convolutional]\nfilters=3\nsize=3\npad=1\nbatch_normalize=1\nactivation=leaky\n[maxpool]\nsize=3\nstride=2\n"
    "[dropout]\nprobability=0.3\n[connected]\noutput=4\nactivation=linear\n[sampling]\n[connected]\noutput=36\n"
    "activation=linear\n[cost]\ntype={loss}\n"
)


@pytest.mark.parametrize(("adam", "loss"), [(0, "sse"), (1, "bce")])
def test_replayed_steps_follow_rate_noise_and_rows(adam: int, loss: str, cuda: str, network: Build) -> None:
    """A recorded step reads its learning rate, noise and place in the data from the device's memory."""
    X = np.random.default_rng(0).uniform(size=(60, 36)).astype(np.float32)  # the last batch of an epoch is partial
    text = RECORDED.format(adam=adam, loss=loss)
    trained = []
    for device in ("cpu", cuda):
        net = network(text, device=device, seed=5)
        history = net.train(X, epochs=3)
        trained.append((history.total_loss, [layer.params[name] for layer in net.layers for name in layer.params]))
    assert trained[1][0] == pytest.approx(trained[0][0], rel=2e-4)
    for ours, wanted in zip(trained[1][1], trained[0][1], strict=True):
        np.testing.assert_allclose(ours, wanted, rtol=2e-3, atol=2e-4)


def test_data_that_do_not_fit_are_sent_batch_by_batch(cuda: str, network: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    if ON_A_GPU:
        pytest.skip("fills an emulated GPU")
    X = np.random.default_rng(0).uniform(size=(1000, 6)).astype(np.float32)
    whole = network(DENSE, device=cuda).train(X, epochs=1).total_loss
    net = network(DENSE, device=cuda)
    memory = memory_in_use()
    monkeypatch.setenv("EMULATION_MEMORY", str(memory() + 3000))
    assert net.train(X, epochs=1).total_loss == pytest.approx(whole, rel=1e-6)


def test_jobs_give_the_numbers_of_the_cpu(cuda: str, digits: tuple[np.ndarray, np.ndarray]) -> None:
    nets = [dv.Network(CFG, device=device, seed=1) for device in ("cpu", cuda)]
    X = digits[0][:150]
    for job in (lambda n: n.encode(X)[0], lambda n: n.reconstruct(X), lambda n: n.sample(np.eye(2)), lambda n: n.predict(X)):
        np.testing.assert_allclose(job(nets[1]), job(nets[0]), rtol=1e-4, atol=1e-5)
    for name, value in defined(nets[0].evaluate(X)).items():
        assert nets[1].evaluate(X)[name] == pytest.approx(value, rel=1e-5)
    for net in nets:
        net.save(f"{net.device[:3]}.weights")
    assert Path("cpu.weights").read_bytes() == Path("cud.weights").read_bytes()


def test_weights_move_between_devices_in_the_middle_of_training(cuda: str, digits: tuple[np.ndarray, np.ndarray]) -> None:
    X = digits[0][:150]
    for here, there in (("cpu", cuda), (cuda, "cpu")):
        first = dv.Network(CFG, device=here, seed=1)
        first.train(X, epochs=1)
        first.save("half.weights")
        results = []
        for device in (here, there):
            second = dv.Network.load(CFG, "half.weights", device=device, seed=2)
            assert second.seen == first.seen
            np.testing.assert_allclose(second.predict(X), first.predict(X), rtol=1e-4, atol=1e-5)
            results.append(second.train(X, epochs=1).total_loss[0])
        assert results[1] == pytest.approx(results[0], rel=1e-4)


@emulated_only
def test_cublas_is_called_with_its_arguments_in_the_right_order(
    cuda: str, digits: tuple[np.ndarray, np.ndarray], network: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    X = digits[0][:100]
    own = losses_of(CFG, X, cuda)
    monkeypatch.setenv("DARKNET_CUBLAS", emulated_plugin())  # which has a column-major product under cuBLAS's names
    calls = ctypes.CDLL(emulated_plugin()).emulated_blas_calls
    before = calls()
    assert losses_of(CFG, X, cuda) == pytest.approx(own, rel=1e-4)
    assert calls() > before
    assert network(DENSE, device=cuda).device == "cuda:0 (emulated, cuBLAS)"
    done = run([made("parity", "cuda_parity"), cuda])
    assert done.returncode == 0, done.stdout


@emulated_only
@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("DARKNET_CUBLAS", "/nowhere/libcublas.so", "DARKNET_CUBLAS: /nowhere/libcublas.so: cannot open"),
        ("DARKNET_CUBLAS", "libm.so.6", "libm.so.6 is no cuBLAS"),
    ],
)
def test_a_wish_for_cublas_that_cannot_be_met_is_an_error(
    variable: str, value: str, message: str, cuda: str, network: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(errors.DeviceError, match=message):
        network(DENSE, device=cuda)


@emulated_only
@pytest.mark.parametrize(("precision", "words", "bits"), [("tf32", "TF32", 10), ("bf16", "bfloat16", 7)])
def test_a_precision_is_that_of_the_factors_of_products(
    precision: str, words: str, bits: int, cuda: str, network: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DARKNET_CUBLAS", emulated_plugin())
    text = "[net]\nbatch=40\ninputs=64\n[connected]\noutput=50\nactivation=linear\n"
    X = np.random.default_rng(0).uniform(size=(40, 64)).astype(np.float32)
    net = network(text, device=cuda, precision=precision)
    assert net.device == f"cuda:0 (emulated, cuBLAS with {words})"
    exact = network(text, device=cuda, precision="float32")
    assert exact.device == "cuda:0 (emulated, cuBLAS)"
    off = np.abs(net.predict(X) - exact.predict(X)).max() / np.abs(exact.predict(X)).max()
    assert 2.0 ** -(bits + 5) < off < 2.0**-bits


@emulated_only
@pytest.mark.parametrize("precision", ["tf32", "bf16"])
def test_a_precision_that_cannot_be_had_is_one_clear_sentence(
    precision: str, cuda: str, network: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    def error(device: str) -> str:
        with pytest.raises(errors.DeviceError) as caught:
            network(DENSE, device=device, precision=precision)
        return str(caught.value)

    wanted = f"device 'cuda:0' cannot be opened: precision {precision} needs "
    assert error("cuda").startswith(wanted + "cuBLAS, which is not there")
    assert error("auto") == error("cuda"), "only a GPU can do it, so `auto` takes one whatever the network's size"
    monkeypatch.setenv("DARKNET_CUBLAS", "off")
    assert error("cuda") == wanted + "cuBLAS, which DARKNET_CUBLAS=off forbids"
    monkeypatch.setenv("DARKNET_CUBLAS", emulated_plugin())
    assert network(DENSE, device="auto", precision=precision).device.startswith("cuda:0")
    monkeypatch.setenv("EMULATION_CAPABILITY", "75")
    assert error("cuda") == wanted + "a GPU of compute capability 8.0 or newer, this one has 7.5"
    assert network(DENSE, device=cuda).device == "cuda:0 (emulated, cuBLAS)"
    monkeypatch.setenv("EMULATION_DEVICES", "0")
    for device in ("auto", "cpu"):
        assert error(device) == f"precision '{precision}' needs a GPU: device 'cpu' computes in float32"
    with pytest.raises(errors.UsageError, match="precision 'half' is unknown: float32, tf32 and bf16 are known"):
        network(DENSE, device="cpu", precision="half")


# ---- memory


@emulated_only
def test_a_network_takes_the_memory_that_it_tells_and_gives_it_back(
    cuda: str, network: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = memory_in_use()
    gc.collect()
    before = memory()
    small, large = network(DENSE, device=cuda), network(RECORDED.format(adam=1, loss="bce"), device="cuda:1")
    assert 0 <= memory() - before - (small.memory_bytes + large.memory_bytes) < 8, "empty blocks take a byte"
    assert small.device == "cuda:0 (emulated, own kernels)" and large.device.startswith("cuda:1")
    X = np.random.default_rng(0).uniform(size=(16, 6)).astype(np.float32)
    planned, others, held = large.training_bytes, before + small.memory_bytes, []
    large.train(np.ones((16, 36), np.float32), epochs=1, callback=lambda _: held.append(memory() - others))
    assert large.memory_bytes == planned
    values, trained = (
        sum(-(-layer.params[name].size // 16) * 16 for layer in large.layers for name in getattr(layer, kind))
        for kind in ("params", "grads")
    )
    data = 4 * (16 * 36 + 16 + values + 2 * trained)  # rows, their order, parameters and moments of the last good epoch
    data += 16 * len(large.layers) + 4 * (values - trained)  # sums of losses and running statistics, to undo a step
    assert 0 <= held[0] - planned - data < 8
    alone = network(DENSE, device=cuda)
    assert small.train(X, epochs=1).total_loss == alone.train(X, epochs=1).total_loss
    del small, large, alone
    gc.collect()  # networks and their layers know each other
    assert memory() == before


@emulated_only
def test_the_workspace_of_cublas_counts_as_memory_of_the_network(
    cuda: str, network: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = memory_in_use()
    gc.collect()
    before = memory()
    own = network(DENSE, device=cuda).memory_bytes
    gc.collect()
    monkeypatch.setenv("DARKNET_CUBLAS", emulated_plugin())
    net = network(DENSE, device=cuda)
    assert net.memory_bytes == own + 32 * 2**20
    net.resize(batch=8)
    assert 0 <= memory() - before - net.memory_bytes < 8
    monkeypatch.setenv("EMULATION_MEMORY", str(memory() + 20 * 2**20))  # enough for a context, not for the workspace
    with pytest.raises(MemoryError, match="device 'cuda:0' cannot be opened: out of memory for cuBLAS"):
        network(DENSE, device=cuda)
    assert 0 <= memory() - before - net.memory_bytes < 8, "what was taken is given back"


@emulated_only
def test_every_allocation_may_fail_while_training_starts(cuda: str, network: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever memory ends, the network says so, and trains when there is some again."""
    memory = memory_in_use()
    X = np.random.default_rng(0).uniform(size=(64, 36)).astype(np.float32)
    text, refused = RECORDED.format(adam=1, loss="bce"), 0
    wanted = network(text, device=cuda).train(X, epochs=1).total_loss
    for room in range(0, 60000, 3000):
        net = network(text, device=cuda)
        monkeypatch.setenv("EMULATION_MEMORY", str(memory() + room))
        try:
            losses = net.train(X, epochs=1).total_loss
        except MemoryError as error:
            assert "out of memory on cuda:0" in str(error)
            refused += 1
            monkeypatch.delenv("EMULATION_MEMORY")
            losses = net.train(X, epochs=1).total_loss
        monkeypatch.delenv("EMULATION_MEMORY", raising=False)
        assert losses == pytest.approx(wanted, rel=1e-6)
    assert 0 < refused < 20


@emulated_only
@pytest.mark.parametrize("text", [
    "[net]\nbatch=300000\ninputs=1\n[connected]\noutput=1\nactivation=tanh\n[cost]\n",
    "[net]\nbatch=300000\nheight=1\nwidth=1\nchannels=1\n[convolutional]\nfilters=1\nbatch_normalize=1\nactivation=leaky\n[cost]\n",
    "[net]\nbatch=300000\ninputs=1\n[connected]\noutput=2\nactivation=linear\n[sampling]\n[connected]\noutput=1\n[cost]\n",
])  # fmt: skip
def test_a_batch_of_very_many_rows_is_that_of_the_cpu(text: str, cuda: str, network: Build) -> None:
    """More blocks than there are partial sums, than 65,535, than one chunk of rows."""
    X = np.random.default_rng(0).normal(size=(300_000, 1)).astype(np.float32)
    nets = [network(text, device=device, seed=1) for device in ("cpu", cuda)]
    losses = [net.train(X, epochs=2).total_loss for net in nets]
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
    for ours, wanted in zip(nets[1].layers, nets[0].layers, strict=True):
        for name in wanted.params:
            np.testing.assert_allclose(ours.params[name], wanted.params[name], rtol=1e-4, atol=1e-5)


def test_running_out_of_memory_is_an_error_that_leaves_everything_usable(
    cuda: str, network: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = network(DENSE, device=cuda)
    X = np.random.default_rng(0).uniform(size=(8, 6)).astype(np.float32)
    before = net.reconstruct(X)
    limit, outputs = (10**9, 2000) if not ON_A_GPU else (10**12, 60_000)
    monkeypatch.setenv("EMULATION_MEMORY", str(limit))
    with pytest.raises(MemoryError, match=r"out of memory on cuda:0: \d+ bytes wanted; a smaller batch needs less"):
        batch = limit // (4 * outputs)
        network(f"[net]\nbatch={batch}\ninputs=1000\n[connected]\noutput={outputs}\n", device=cuda)
    np.testing.assert_array_equal(net.reconstruct(X), before)
    assert network(DENSE, device=cuda).train(X, epochs=1).total_loss


# ---- finding a device, or none


@emulated_only
def test_auto_takes_a_gpu_for_large_networks_only(cuda: str, network: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    assert network(DENSE, device="auto").device == "cpu"
    assert network(LARGE, device="auto").device.startswith("cuda:0")
    assert network(LARGE, device="cpu").device == "cpu"
    monkeypatch.setenv("EMULATION_MEMORY", "1000")  # others use it
    assert network(LARGE, device="auto").device == "cpu"
    with pytest.raises(errors.OutOfMemoryError, match="device 'cuda:0' cannot be opened: out of memory"):
        network(LARGE, device="cuda")
    monkeypatch.delenv("EMULATION_MEMORY")
    monkeypatch.setenv("EMULATION_DEVICES", "0")
    assert network(LARGE, device="auto").device == "cpu"
    monkeypatch.setenv("DARKNET_CUDA_PLUGIN", "/nowhere.so")
    assert network(LARGE).device == "cpu"


@emulated_only
@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"EMULATION_DEVICES": "0"}, "there is no CUDA device"),
        ({"EMULATION_DRIVER": "0"}, "there is no NVIDIA driver"),
        ({"EMULATION_DRIVER": "12040"}, "the NVIDIA driver is for CUDA 12.4, wanted is one for 13.0 or newer"),
    ],
)
def test_no_device_is_one_clear_sentence(
    variables: dict[str, str], message: str, cuda: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert device_error().endswith(message)


@emulated_only
def test_a_device_number_beyond_the_last_is_an_error(cuda: str) -> None:
    with pytest.raises(errors.DeviceError, match=r"device 'cuda:2' is not available: there are 2 CUDA devices, numbered from 0"):
        dv.Network(CFG, device="cuda:2")


def test_a_missing_or_foreign_plugin_is_one_clear_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DARKNET_CUDA_PLUGIN", "/nowhere/plugin.so")
    assert "DARKNET_CUDA_PLUGIN: /nowhere/plugin.so: cannot open" in device_error()
    Path("text.so").write_text("this is no library")
    monkeypatch.setenv("DARKNET_CUDA_PLUGIN", str(Path("text.so").absolute()))
    assert "text.so" in device_error()
    monkeypatch.setenv("DARKNET_CUDA_PLUGIN", "libm.so.6")
    assert device_error().endswith("libm.so.6 is no plugin of darknet-vae: it has no dn_plugin_get")


def test_a_plugin_of_another_build_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("old.c").write_text("static unsigned table[64] = {7}; void *dn_plugin_get(void *host) { return host ? table : 0; }")
    subprocess.run([os.environ.get("CC", "cc"), "-shared", "-fPIC", "old.c", "-o", "old.so"], check=True)
    monkeypatch.setenv("DARKNET_CUDA_PLUGIN", str(Path("old.so").absolute()))
    message = device_error()
    assert "old.so is of another build (interface 7, wanted" in message and message.endswith("build both together")


INCOMPLETE = """
#include "backend/plugin.h"
static void some(void) {{}}
#define THERE(field) .field = (__typeof__(((dn_ops *)0)->field))some
static int devices(char *why, size_t size) {{ return (void)why, (void)size, 1; }}
DN_API const dn_plugin *dn_plugin_get(const dn_plugin_host *host);
const dn_plugin *dn_plugin_get(const dn_plugin_host *host) {{
    static const dn_ops ops = {{
        THERE(finish), THERE(alloc), THERE(free), THERE(upload), THERE(download), {fields}
    }};
    static const dn_plugin plugin = {{DN_ABI, &ops, devices}};
    return (void)host, &plugin;
}}
"""
REQUIRED = """
#define DN_WHEN_THERE_REQUIRED(name) THERE(name),
#define DN_WHEN_THERE_CONV(name)
#define DN_WHEN_THERE_LOCAL(name)
#define DN_WHEN_THERE_LSTM(name)
#define DN_WHEN_THERE_DENSE(name)
#define DN_WHEN_THERE_BIAS_ACTIVATE(name)
#define DN_OP(group, name, ...) DN_WHEN_THERE_##group(name)
#define DN_QUERY(group, type, name, ...) DN_WHEN_THERE_##group(name)
#include "backend/backend_ops.h"
"""


@pytest.mark.parametrize(("fields", "lacks"), [
    ("", "'set_step'"),
    (REQUIRED + "THERE(conv_workspace), THERE(conv_forward)", "'conv_backward_data', which belongs to 'conv_workspace'"),
    (REQUIRED + "THERE(dense_scratch)", "'dense_forward', which belongs to 'dense_scratch'"),
    (REQUIRED + "THERE(replay)", "'record_begin', which belongs to 'replay'"),
    (REQUIRED + ".fill = 0", "'fill'"),
])  # fmt: skip
def test_a_plugin_without_all_operations_is_refused(fields: str, lacks: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every operation that is required, and of an optional group all or none."""
    Path("p.c").write_text(INCOMPLETE.format(fields=fields))
    abi = "0"
    for name in ("first.so", "p.so"):  # the refusal of the first one tells the number of the interface
        options = ["-shared", "-fPIC", "-w", f"-I{ROOT / 'csrc'}", f"-DDN_ABI={abi}u"]
        subprocess.run([os.environ.get("CC", "cc"), *options, "p.c", "-o", name], check=True)
        monkeypatch.setenv("DARKNET_CUDA_PLUGIN", str(Path(name).absolute()))
        message = device_error()
        abi = message.split("wanted ")[-1].split(")")[0]
    assert message.endswith(f"p.so is incomplete: it has no {lacks}")


def arch_words(known: str, **variables: str) -> list[str]:
    """What nvcc is asked to compile for, `arch=` left out, when it knows these compute capabilities."""
    compiler = Path("nvcc").absolute()
    compiler.write_text(f"#!/bin/sh\nfor a in {known}; do echo compute_$a; done\n")
    compiler.chmod(0o755)
    clean = {name: value for name, value in os.environ.items() if name not in ("ARCHS", "CUDA", "MAKEFLAGS")}
    words = ["make", "-n", f"B={Path('b').absolute()}", f"NVCC={compiler}", "cuda"]
    done = run(words, cwd=ROOT, env={**clean, **variables})
    compiling = [line for line in done.stdout.splitlines() if "NVCC" in line and "-gencode" in line]
    return [word.split("arch=")[1] for word in compiling[0].split() if word.startswith("arch=")]


@pytest.mark.parametrize(("known", "wanted"), [
    ("52 60 70 75 80 86 87 89 90", "75 80 86 90"),  # CUDA 12.0
    ("50 75 80 86 87 89 90 100 101 103 120 121", "75 80 86 90 100 101 120"),  # 12.9
    ("75 80 86 87 88 89 90 100 110 103 120 121", "75 80 86 90 100 110 120"),  # 13.0
])  # fmt: skip
def test_the_plugin_is_for_the_gpus_that_the_toolkit_knows(known: str, wanted: str) -> None:
    last = wanted.split()[-1]
    expected = [f"compute_{a},code=sm_{a}" for a in wanted.split()] + [f"compute_{last},code=compute_{last}"]
    assert arch_words(known) == arch_words(known, ARCHS="all") == expected


@pytest.mark.parametrize(("present", "wanted"), [
    ("echo 8.9; echo 9.0; echo 8.9", "89 90"),
    ("echo 6.1; echo 13.0", "80"),  # too old, and newer than the toolkit
    ("echo 'No devices were found'", "80"),
    ("exit 9", "80"),
])  # fmt: skip
def test_native_is_for_the_gpus_of_this_machine_and_any_other_compiles_it_itself(present: str, wanted: str) -> None:
    Path("bin").mkdir()
    Path("bin/nvidia-smi").write_text(f"#!/bin/sh\n{present}\n")
    Path("bin/nvidia-smi").chmod(0o755)
    found = arch_words("60 75 80 86 89 90", ARCHS="native", PATH=f"{Path('bin').absolute()}:{os.environ['PATH']}")
    assert found == [*(f"compute_{a},code=sm_{a}" for a in wanted.split()), "compute_75,code=compute_75"]


def test_named_gpus_are_those_of_the_plugin() -> None:
    found = arch_words("75 80 86 89 90", ARCHS="80 89")
    assert found == ["compute_80,code=sm_80", "compute_89,code=sm_89", "compute_89,code=compute_89"]


INSTALLED = Path(dv.__file__).parent / "lib" / "libdarknet_cuda.so"
needs_plugin = pytest.mark.skipif(not INSTALLED.exists(), reason="built without nvcc: there is no CUDA plugin to look at")


@needs_plugin
def test_the_plugin_needs_no_library_of_nvidia() -> None:
    dynamic = subprocess.run(["readelf", "-d", str(INSTALLED)], capture_output=True, text=True, check=True).stdout
    needed = [line for line in dynamic.splitlines() if "NEEDED" in line]
    assert needed and not [line for line in needed if "cuda" in line or "cublas" in line or "nvidia" in line]
    symbols = subprocess.run(["nm", "-D", "--defined-only", str(INSTALLED)], capture_output=True, text=True, check=True).stdout
    assert [line.split()[-1] for line in symbols.splitlines()] == ["dn_plugin_get"]


@needs_plugin
@pytest.mark.skipif("DARKNET_BINARY" in os.environ, reason="another build than the installed one is under test")
@pytest.mark.skipif(ON_A_GPU or shutil.which("nvidia-smi") is not None, reason="this machine seems to have a GPU")
def test_the_installed_plugin_is_found_and_says_why_there_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DARKNET_CUDA_PLUGIN", raising=False)
    assert device_error().endswith(("there is no NVIDIA driver", "there is no CUDA device"))
    assert dv.Network(CFG).device == "cpu"
    copy = Path("copied.so")  # and by its name alone
    shutil.copy2(INSTALLED, copy)
    monkeypatch.setenv("DARKNET_CUDA_PLUGIN", str(copy.absolute()))
    assert "NVIDIA driver" in device_error() or "CUDA device" in device_error()


@pytest.mark.parametrize("kind", ["binary", "python"])
def test_command_lines_know_the_device(kind: str, cuda: str, tmp_path: Path) -> None:
    words = program(kind)
    done = run([*words, "train", CFG, CSV, "-N", "64", "-epochs", "1", "-i", "0"])
    assert done.returncode == 0 and "computing on cuda:0" in done.stderr, done.stderr
    done = run([*words, "train", CFG, CSV, "-N", "64", "-epochs", "1", "-i", "0", "-nogpu"])
    assert done.returncode == 0 and "computing on" not in done.stderr
    done = run([*words, "train", CFG, CSV, "-N", "64", "-epochs", "1", "-quiet"])
    assert done.returncode == 0 and not done.stderr
    done = run([*words, "evaluate", CFG, CSV, "-i", "99"])
    assert done.returncode == 6 and len(done.stderr.splitlines()) == 1 and "device 'cuda:99' is not available" in done.stderr
    done = run([*words, "evaluate", CFG, CSV, "-i", "0"], env={**os.environ, "DARKNET_CUDA_PLUGIN": "/nowhere.so"})
    assert done.returncode == 6 and "/nowhere.so" in done.stderr
    done = run([*words, "evaluate", CFG, CSV, "-nogpu", "-precision", "bf16"])
    assert done.returncode == 6 and done.stderr.endswith("precision 'bf16' needs a GPU: device 'cpu' computes in float32\n")
    done = run([*words, "evaluate", CFG, CSV, "-nogpu", "-precision", "double"])
    assert done.returncode == 2 and "double" in done.stderr


@emulated_only
def test_two_threads_train_two_networks_on_one_device(cuda: str, digits: tuple[np.ndarray, np.ndarray]) -> None:
    code = (
        "import threading, sys, numpy as np, darknet_vae as dv\n"
        "X = np.random.default_rng(0).uniform(size=(120, 64)).astype(np.float32)\n"
        f"nets = [dv.Network({CFG!r}, device='cuda', seed=1) for _ in range(3)]\n"
        "losses = {}\n"
        "def work(i): losses[i] = nets[i].train(X, epochs=2).total_loss\n"
        "threads = [threading.Thread(target=work, args=(i,)) for i in (0, 1)]\n"
        "[t.start() for t in threads]; [t.join() for t in threads]; work(2)\n"
        "assert losses[0] == losses[1] == losses[2], losses\n"
    )
    done = run([sys.executable, "-c", code])
    assert done.returncode == 0, done.stderr
