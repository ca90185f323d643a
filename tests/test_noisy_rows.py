"""Rows that training changes: bits drawn with the values as probabilities, and noise on the inputs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import darknet_vae as dv
from darknet_vae import errors

Build = Callable[..., dv.Network]
N = 6
SAME = (
    "[net]\ninputs=6\nbatch={batch}\nlearning_rate=0\nmomentum=0\ndecay=0\n{net}\n"
    "[connected]\noutput=6\nactivation=linear\n[cost]\n"
)
KINDS = ["dynamic", "static"]


def made(network: Build, net: str, weights: float, batch: int = 8, **options: object) -> dv.Network:
    """weights=1: the output is the input, so the loss is their distance from the truth; 0: the loss is the truth's square."""
    built = network(SAME.format(net=net, batch=batch), **options)
    built.layers[0].set("weights", (weights * np.eye(N)).astype(np.float32))
    built.layers[0].set("biases", np.zeros(N, np.float32))
    return built


def rows_of(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(size=(n, N)).astype(np.float32)


def params(net: dv.Network) -> list[np.ndarray]:
    return [layer.params[name] for layer in net.layers for name in layer.params]


def uniforms(seed: int, stream: int, step: int, n: int) -> np.ndarray:
    """Philox4x32-10 (Salmon et al., SC 2011), by its definition: uniform numbers 0 to n of a stream's step."""
    found: list[float] = []
    for block in range((n + 3) // 4):
        c, k = [block, stream, step & 0xFFFFFFFF, step >> 32], [seed & 0xFFFFFFFF, seed >> 32]
        for _ in range(10):
            p, q = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
            c = [(q >> 32) ^ c[1] ^ k[0], q & 0xFFFFFFFF, (p >> 32) ^ c[3] ^ k[1], p & 0xFFFFFFFF]
            k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
        found += [(x >> 8) / 2**24 for x in c]
    return np.array(found[:n])


# ---- bits


@pytest.mark.parametrize("kind", KINDS)
def test_input_and_truth_of_an_autoencoder_are_the_same_bits(kind: str, device: str, network: Build) -> None:
    X = rows_of(37)
    net = made(network, f"binarize={kind}", 1, device=device)
    assert net.train(X, 3).image_loss == [0, 0, 0] and net.evaluate(X)["image_loss"] == 0
    net = made(network, f"binarize={kind}", 0, device=device)  # the loss of a row is the number of its ones
    history = net.train(X, 40)
    ones = np.array(history.image_loss) * 37
    np.testing.assert_allclose(ones, np.round(ones), atol=1e-3)
    assert len(set(ones.round())) == 1 if kind == "static" else len(set(ones.round())) > 5
    if kind == "dynamic":
        spread = np.sqrt((X * (1 - X)).sum() / 40)
        assert abs(ones.mean() - X.sum()) < 4 * spread


@pytest.mark.parametrize("device", ["cpu", "fence"])
def test_bits_are_those_of_their_row_and_seed(device: str, network: Build) -> None:
    """A static draw is a function of (seed, row), the same in training and in all jobs that compute losses."""
    X = rows_of(700)
    wanted = [sum(uniforms(5, 33, r, N) < X[r]) for r in range(30)]
    for kind in KINDS:
        net = made(network, f"binarize={kind}", 0, device=device, seed=5)
        rows = net.row_losses(X)["image_loss"]
        np.testing.assert_array_equal(rows[:30], wanted)
        np.testing.assert_array_equal(net.row_losses(X[:30])["image_loss"], wanted)
        assert net.evaluate(X)["image_loss"] == pytest.approx(rows.mean(), rel=1e-6)
    static = made(network, "binarize=static", 0, device=device, seed=5)
    assert static.train(X, 2).image_loss == [pytest.approx(rows.mean(), rel=1e-6)] * 2
    other = made(network, "binarize=static", 0, device=device, seed=6)
    assert (other.row_losses(X)["image_loss"] != rows).any()


def test_dynamic_bits_are_those_of_their_place_and_pass(network: Build) -> None:
    X = rows_of(8)
    net = made(network, "binarize=dynamic", 0, seed=5)
    found = np.array(net.train(X, 3, shuffle=False).image_loss) * 8
    wanted = [(uniforms(5, 32, 8 * epoch, 8 * N) < X.ravel()).sum() for epoch in range(3)]
    np.testing.assert_allclose(found, wanted, atol=1e-4)


def test_held_out_rows_have_the_draws_of_evaluate(network: Build) -> None:
    X = rows_of(100)
    net = made(network, "binarize=dynamic", 0)
    history = net.train(X, 3, holdout=0.3)
    assert len(set(history.valid_loss)) == 1
    assert net.evaluate(X[net.held_out(100, 0.3)])["total_loss"] == pytest.approx(history.valid_loss[0], rel=1e-6)
    assert len(set(net.train(X, 3, valid=rows_of(20, 1)).valid_loss)) == 1


def test_a_separate_truth_stays_as_it_is(network: Build) -> None:
    X, Y = rows_of(40), rows_of(40, 1)
    net = made(network, "binarize=dynamic\nnoise=0.3", 0)
    wanted = pytest.approx((Y.astype(float) ** 2).sum(1).mean(), rel=1e-5)
    assert net.train(X, 2, Y).image_loss == [wanted, wanted] and net.evaluate(X, Y)["image_loss"] == wanted


def test_outputs_are_those_of_the_rows_as_given(network: Build) -> None:
    X = rows_of(20)
    net = made(network, "binarize=dynamic\nnoise=0.5", 1)
    for out in (net.predict(X), net.reconstruct(X)):
        np.testing.assert_allclose(out, X, rtol=1e-6)


@pytest.mark.parametrize("value", [1.5, -0.25])
def test_values_that_are_no_probabilities_are_one_error_before_anything_is_computed(value: float, network: Build) -> None:
    X = rows_of(20)
    bad = X.copy()
    bad[13, 2] = value
    net = made(network, "binarize=dynamic", 1)
    says = rf"x is {value} at row 14, column 3 \(counted from 1\), but .*net\.cfg:7 binarize= draws bits"
    for call in (lambda: net.train(bad, 1), lambda: net.evaluate(bad), lambda: net.row_losses(bad)):
        with pytest.raises(errors.UsageError, match=says):
            call()
    with pytest.raises(errors.UsageError, match=f"valid {says}"):
        net.train(X, 1, valid=bad)
    assert net.seen == 0
    np.testing.assert_allclose(net.predict(bad), bad)


def test_sequences_are_not_drawn_as_bits(network: Build) -> None:
    text = "[net]\ninputs=6\nbatch=2\ntime_steps=2\nbinarize=static\n[rnn]\noutput=6\n[cost]\n"
    with pytest.raises(errors.FormatError, match=r"net\.cfg:5: \[net\] binarize=static is for rows, not for sequences"):
        network(text)


# ---- noise


def test_noise_is_on_the_inputs_of_training_only(device: str, network: Build) -> None:
    X = 100 * rows_of(4000) - 50
    net = made(network, "noise=0.5", 1, device=device)
    history = net.train(X, 2)  # what is left of the truth is the noise
    assert history.image_loss == [pytest.approx(N * 0.25, rel=0.05)] * 2 and history.image_loss[0] != history.image_loss[1]
    assert net.evaluate(X)["image_loss"] == 0
    assert made(network, "noise=0.5", 0, device=device).train(X, 1).image_loss == [pytest.approx((X**2).sum(1).mean(), rel=1e-5)]


def test_noise_comes_after_the_bits(network: Build) -> None:
    net = made(network, "noise=0.1\nbinarize=static", 1)
    assert net.train(rows_of(4000), 1).image_loss == [pytest.approx(N * 0.01, rel=0.05)]


@pytest.mark.parametrize("keys", ["binarize=dynamic", "binarize=static", "noise=0.3", "binarize=dynamic\nnoise=0.3"])
def test_a_resumed_training_has_the_same_rows(keys: str, network: Build) -> None:
    X = rows_of(300)
    text = SAME.format(net=keys, batch=64).replace("learning_rate=0\n", "learning_rate=0.05\n")
    nets = [network(text, seed=1, threads=threads) for threads in (1, 2)]
    for net in nets:
        net.train(X, 5)
    network(text, seed=1).train(X, 5, checkpoint="c.safetensors", callback=lambda p: p.epoch == 2)
    resumed = network(text, seed=1)
    resumed.train(X, 5, resume="c.safetensors")
    for net in (nets[1], resumed):
        for ours, wanted in zip(params(net), params(nets[0]), strict=True):
            np.testing.assert_array_equal(ours, wanted)


@pytest.mark.parametrize("keys", ["binarize=dynamic\nnoise=0.3", "binarize=static\nnoise=0.3"])
def test_devices_train_on_the_same_rows(keys: str, device: str, network: Build) -> None:
    X = rows_of(50)
    text = SAME.format(net=keys, batch=8).replace("learning_rate=0\n", "learning_rate=0.05\n")
    here, there = network(text, seed=1), network(text, seed=1, device=device)
    np.testing.assert_allclose(there.train(X, 3).image_loss, here.train(X, 3).image_loss, rtol=1e-5)
    for ours, wanted in zip(params(there), params(here), strict=True):
        np.testing.assert_allclose(ours, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ("binarize=yes", "binarize=yes"),
        ("noise=-1", "noise=-1 is below 0"),
        ("noise=1e39", "noise=1e"),
    ],
)
def test_keys_that_cannot_be_are_errors(keys: str, says: str, network: Build) -> None:
    with pytest.raises(errors.FormatError, match=r"net\.cfg:7: ") as raised:
        network(SAME.format(net=keys, batch=8))
    assert says in str(raised.value)
