"""A network may change its input size and its batch; what it learned stays, and there and back is nothing at all."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from test_gradients import CONV, IMAGE, NETWORKS, SSE, problem_of

import darknet_vae as dv
from darknet_vae._lib import lib

Build = Callable[..., dv.Network]
# A connected or local layer after an image, or a reshape, has a fixed input size; so other networks stand in for these.
ANY_SIZE = {
    "softmax": IMAGE + CONV + "[softmax]\nspatial=1\nnoloss=1\n" + CONV + "[softmax]\nspatial=1\n",
    "l2norm": IMAGE + CONV + "[l2norm]\n[route]\nlayers=-1,-2\n[l2norm]\n" + CONV + SSE,
    "logistic": IMAGE + CONV + "[logistic]\n",
    "connected": IMAGE + CONV + "[avgpool]\n[connected]\noutput=3\n" + SSE,
    "gru": IMAGE + "time_steps=2\n" + CONV + "[avgpool]\n[gru]\noutput=3\n" + SSE,
}
FIXED = {"local", "reshape"}
IMAGES = sorted({kind for kind, text in NETWORKS.items() if "height" in text} - FIXED | set(ANY_SIZE))


def train_a_little(net: dv.Network, rows: int, seed: int = 0) -> None:
    random = np.random.default_rng(seed)
    x = random.normal(size=(rows, net.inputs)).astype(np.float32)
    truth = random.uniform(0.1, 0.9, size=(rows, net.truths)).astype(np.float32)
    if net.layers[0].type == "columns":  # 0 and 1 are codes of every kind
        x = truth = (x > 0).astype(np.float32)
    net.forward(x, truth, train=True)
    net.backward()
    net.update()


def state(net: dv.Network) -> dict[str, np.ndarray]:
    return {f"{layer.index}.{name}": value for layer in net.layers for name, value in layer.params.items()}


def assert_same(one: dv.Network, two: dv.Network) -> None:
    """Bit for bit: what it holds, what it gives, what it learns next."""
    assert one.seen == two.seen
    for step in range(2):
        for name, value in state(one).items():
            np.testing.assert_array_equal(value, state(two)[name], err_msg=name)
        random = np.random.default_rng(step)
        x, truth = random.normal(size=(one.batch, one.inputs)), random.uniform(size=(one.batch, one.truths))
        if one.layers[0].type == "columns":
            x = truth = (x > 0).astype(np.float32)
        for net in (one, two):
            net.reset_state()
            net.forward(x, truth)
        for layer, other in zip(one.layers, two.layers, strict=True):
            np.testing.assert_array_equal(layer.output, other.output, err_msg=repr(layer))
        for net in (one, two):
            train_a_little(net, net.batch, step)


@pytest.mark.parametrize("device", ["cpu", "fence"])
@pytest.mark.parametrize("kind", IMAGES)
def test_an_image_network_resized_there_and_back_is_the_same(kind: str, device: str, network: Build) -> None:
    nets = [network(ANY_SIZE.get(kind, NETWORKS[kind]), seed=1, device=device) for _ in range(2)]
    for net in nets:
        train_a_little(net, net.batch)
    shape, batch = nets[0].input_shape, nets[0].batch
    assert shape is not None
    layers = [layer.shape for layer in nets[0].layers]
    first = nets[0].layers[0]
    nets[0].resize(height=shape[1] + 4, width=shape[2] + 2)
    assert nets[0].input_shape == (shape[0], shape[1] + 4, shape[2] + 2)
    assert nets[0].inputs == shape[0] * (shape[1] + 4) * (shape[2] + 2)
    assert first is nets[0].layers[0] and first.shape[1:] == (shape[1] + 4, shape[2] + 2)  # a held layer follows
    nets[0].forward(np.ones((batch, nets[0].inputs)))
    assert nets[0].layers[-1].output.shape == (batch, nets[0].layers[-1].outputs)
    nets[0].resize(height=shape[1], width=shape[2])
    assert [layer.shape for layer in nets[0].layers] == layers
    assert_same(*nets)


@pytest.mark.parametrize("kind", NETWORKS)
def test_a_network_with_another_batch_and_back_is_the_same(kind: str, network: Build) -> None:
    nets = [problem_of(kind, 3, network).net for _ in range(2)]
    for net in nets:
        train_a_little(net, net.batch)
    batch = nets[0].batch
    nets[0].resize(batch=4 * batch)
    x = np.random.default_rng(0).normal(size=(4 * batch, nets[0].inputs)).astype(np.float32)
    if nets[0].layers[0].type == "columns":
        x = (x > 0).astype(np.float32)
    if nets[0]._info().time_steps == 1 and kind != "cost":  # rows of sequences are time-major; without a truth a cost is empty
        np.testing.assert_allclose(nets[0].predict(x), nets[1].predict(x), rtol=1e-5, atol=1e-6)
    nets[0].resize(batch=batch)
    assert nets[0].batch == batch
    assert_same(*nets)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            NETWORKS["softmax"],
            r"net\.cfg:\d+: layer 2 \[connected\] has weights of 6 x 140, but for an input of 9 x 7",
        ),
        (NETWORKS["local"], r"layer 1 \[local\] has biases of 105"),
        (NETWORKS["reshape"], r"net\.cfg:\d+: \[reshape\]"),
        (NETWORKS["crop"].replace("crop_height=4", "crop_height=5"), None),
    ],
)
def test_a_size_that_parameters_forbid_is_an_error_and_changes_nothing(text: str, message: str | None, network: Build) -> None:
    nets = [network(text, seed=2) for _ in range(2)]
    if message is None:
        nets[0].resize(height=9)
        message = "larger than the input 4 x 7"
        with pytest.raises(dv.DarknetError, match=message):
            nets[0].resize(height=4)
        nets[0].resize(height=5)
    else:
        with pytest.raises(dv.DarknetError, match=message):
            nets[0].resize(height=9)
    assert_same(*nets)


def test_every_failing_allocation_leaves_the_network_as_it_was(network: Build) -> None:
    nets = [network(NETWORKS["convolutional"], seed=2) for _ in range(2)]
    for net in nets:
        train_a_little(net, net.batch)
    for n in range(1, 200):
        lib.dn_sys_fail_at(n)
        try:
            nets[0].resize(height=9, width=9)
            break
        except MemoryError:
            assert nets[0].input_shape == (2, 5, 7)
        finally:
            lib.dn_sys_fail_at(0)
    assert n > 5
    nets[0].resize(height=5, width=7)
    assert_same(*nets)


def test_misuse_of_resize(network: Build) -> None:
    with pytest.warns(UserWarning, match="batchs"):
        net = network("[net]\ninputs=4\nbatchs=2\n[connected]\noutput=4\n[cost]\n")
    with pytest.raises(dv.errors.UsageError, match="vector of 4 values"):
        net.resize(height=3)
    with pytest.raises(ValueError, match="batch=0"):
        net.resize(batch=0)
    net.resize(batch=7)
    assert lib.dn_net_warning_count(net._handle) == 1  # of the reading, not of the resizing
    sequences = network(NETWORKS["gru"])
    with pytest.raises(dv.errors.UsageError, match="4 rows in one pass are not whole sequences of time_steps=3"):
        sequences.resize(batch=4)

    def resize(_: dv.Progress) -> None:
        net.resize(batch=3)

    with pytest.raises(dv.errors.UsageError, match="resized while it was training"):
        net.train(np.zeros((9, 4)), 3, callback=resize)


def test_a_convolutional_network_sees_larger_images_with_the_same_weights(network: Build) -> None:
    """Away from the border a convolution does not know how large the image is."""
    net = network("[net]\nheight=6\nwidth=6\nchannels=1\n[convolutional]\nfilters=2\nsize=3\nactivation=leaky\n")
    image = np.random.default_rng(0).normal(size=(1, 1, 10, 9)).astype(np.float32)
    small = net.predict(image[:, :, 2:8, 1:7]).reshape(2, 4, 4)
    net.resize(height=10, width=9)
    np.testing.assert_allclose(net.predict(image).reshape(2, 8, 7)[:, 2:6, 1:5], small, rtol=1e-5, atol=1e-6)


def test_gradients_and_moments_come_with_the_first_training(network: Build) -> None:
    net = network("[net]\nbatch=2\nadam=1\ninputs=100\n[connected]\noutput=100\nactivation=linear\n[cost]\n")
    before, planned = net.memory_bytes, net.training_bytes
    assert not net.layers[0].grads["weights"].any()
    x = np.ones((2, 100), np.float32)
    net.forward(x, x)
    assert not net.layers[0].delta.any()
    assert net.memory_bytes == before
    net.backward()
    assert net.layers[0].grads["weights"].any() and net.layers[0].delta.any()
    assert net.memory_bytes == net.training_bytes == planned
    assert planned - before >= 3 * 4 * net.n_params
    net.resize(batch=5)
    assert net.memory_bytes == net.training_bytes > planned


@pytest.mark.timing
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the system does not tell a process its memory")
def test_the_predicted_memory_is_what_the_process_takes() -> None:
    Path("net.cfg").write_text("[net]\nbatch=8\nheight=64\nwidth=64\nchannels=8\n" + 6 * "[conv]\nfilters=64\nsize=3\npad=1\n")
    code = (
        "import darknet_vae as dv, numpy as np; use = lambda: 4096 * int(open('/proc/self/statm').read().split()[1]);"
        "x = np.ones((8, 8 * 64 * 64), np.float32); before = use(); net = dv.Network('net.cfg', threads=1);"
        "y = net.predict(x); print((use() - before - y.nbytes) / net.memory_bytes)"
    )
    ratio = float(subprocess.check_output([sys.executable, "-c", code], text=True))
    assert 0.9 < ratio < 1.15


@pytest.mark.timing
@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not promise memory that is zero")
def test_a_first_epoch_keeps_a_copy_of_parameters_but_not_of_moments_which_are_zero() -> None:
    """Of 40 MB each: parameters, their copy to go back to, two moments. Gradients are used up tile by tile."""
    Path("net.cfg").write_text(
        "[net]\nbatch=4\ninputs=5000\nadam=1\n[connected]\noutput=1000\n[connected]\noutput=5000\n[cost]\n"
    )
    code = (
        "import darknet_vae as dv, numpy as np; use = lambda: 4096 * int(open('/proc/self/statm').read().split()[1]);"
        "x = np.ones((8, 5000), np.float32); before = use(); net = dv.Network('net.cfg', threads=1);"
        "net.train(x, epochs=1, progress=False, callback=lambda _: print((use() - before) / (4 * net.n_params)))"
    )
    assert 3.9 < float(subprocess.check_output([sys.executable, "-c", code], text=True)) < 4.5
