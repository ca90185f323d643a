"""Training with fused passes against the same steps one by one, which are composed of plain operations."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import darknet_vae as dv

Build = Callable[..., dv.Network]
ROWS = [1, 2, 3, 4, 5, 8, 13, 16, 17, 40, 300]
# a large eps: with a small one a gradient that is 0 but for rounding moves its weight as far as any
HEAD = "[net]\nbatch={batch}\ninputs={inputs}\nlearning_rate=0.05\nmomentum=0.8\ndecay=0.01\nadam={adam}\neps=0.001\n"


def one_by_one(net: dv.Network, X: np.ndarray, truth: np.ndarray) -> None:
    for at in range(0, len(X), net.batch):
        net.forward(X[at : at + net.batch], truth[at : at + net.batch], train=True)
        net.backward()
        net.update()


def check(network: Build, text: str, inputs: int, outputs: int, rows: int) -> None:
    random = np.random.default_rng(rows)
    X = random.normal(size=(3 * rows + 1, inputs)).astype(np.float32)  # the last batch is not full
    truth = random.uniform(0, 1, size=(len(X), outputs)).astype(np.float32)
    fused, plain = network(text, seed=1), network(text, seed=1)
    fused.train(X, epochs=1, truth=truth, shuffle=False)
    one_by_one(plain, X, truth)
    for ours, theirs in zip(fused.layers, plain.layers, strict=True):
        for name, wanted in theirs.params.items():
            np.testing.assert_allclose(ours.params[name], wanted, rtol=2e-4, atol=2e-5, err_msg=f"{ours} {name}")


@pytest.mark.parametrize("adam", [0, 1])
@pytest.mark.parametrize("rows", ROWS)
def test_fused_training_gives_the_parameters_of_plain_steps(rows: int, adam: int, network: Build) -> None:
    text = HEAD.format(batch=rows, inputs=37, adam=adam) + (
        "[connected]\noutput=32\nactivation=tanh\n[connected]\noutput=3\nactivation=linear\n"
        "[route]\nlayers=-1,-2\n[connected]\noutput=21\nactivation=leaky\n[connected]\noutput=130\nactivation=logistic\n"
        "[cost]\ntype=sse\nscale=0.5\n"
    )
    check(network, text, 37, 130, rows)


@pytest.mark.parametrize("adam", [0, 1])
@pytest.mark.parametrize("rows", [1, 4, 7, 16])
def test_fused_training_of_narrow_layers_gives_the_parameters_of_plain_steps(rows: int, adam: int, network: Build) -> None:
    text = HEAD.format(batch=rows, inputs=5, adam=adam) + (
        "[connected]\noutput=130\nactivation=tanh\n[connected]\noutput=2\nactivation=linear\n"
        "[connected]\noutput=70\nactivation=leaky\n[connected]\noutput=3\nactivation=linear\n"
        "[connected]\noutput=67\nactivation=relu\n[cost]\ntype=sse\n"
    )
    check(network, text, 5, 67, rows)


@pytest.mark.parametrize("adam", [0, 1])
@pytest.mark.parametrize("rows", [20, 64, 65, 130, 257])
def test_fused_training_in_chunks_of_outputs_gives_the_parameters_of_plain_steps(rows: int, adam: int, network: Build) -> None:
    text = HEAD.format(batch=rows, inputs=120, adam=adam).replace("eps=0.001", "eps=0.1") + (
        "[connected]\noutput=150\nactivation=tanh\n[connected]\noutput=55\nactivation=linear\n"
        "[route]\nlayers=-1,-2\n[connected]\noutput=201\nactivation=tanh\n[connected]\noutput=307\nactivation=linear\n"
        "[cost]\ntype=bce\n"
    )
    check(network, text, 120, 307, rows)


@pytest.mark.parametrize("loss", ["sse", "L1", "smooth", "bce", "masked"])
@pytest.mark.parametrize("activation", ["linear", "relu", "elu"])
def test_every_loss_behind_a_connected_layer_trains_as_plain_steps(loss: str, activation: str, network: Build) -> None:
    text = HEAD.format(batch=4, inputs=64, adam=0) + (f"[connected]\noutput=19\nactivation={activation}\n[cost]\ntype={loss}\n")
    check(network, text, 64, 19, 4)


def test_the_loss_of_fused_training_is_that_of_plain_steps(network: Build) -> None:
    text = HEAD.format(batch=4, inputs=20, adam=0) + "[connected]\noutput=20\nactivation=leaky\n[cost]\ntype=sse\n"
    X = np.random.default_rng(0).normal(size=(10, 20)).astype(np.float32)
    fused, plain = network(text), network(text)
    history = fused.train(X, epochs=1, shuffle=False)
    total = 0.0
    for at in range(0, 10, 4):
        plain.forward(X[at : at + 4], X[at : at + 4], train=True)
        total += plain.cost
        plain.backward()
        plain.update()
    assert history.image_loss[0] == pytest.approx(total / 10, rel=1e-6)


def test_gradients_made_by_hand_are_part_of_the_next_update_of_a_training(device: str, network: Build) -> None:
    """A step must not use its gradients up at once while others wait: at the beginning, and where a step is replayed."""
    text = HEAD.format(batch=4, inputs=6, adam=0) + "[connected]\noutput=6\nactivation=tanh\n[cost]\ntype=sse\n"
    X = np.random.default_rng(0).normal(size=(8, 6)).astype(np.float32)
    trained, stepped = (network(text, seed=1, device=device) for _ in range(2))

    def by_hand(net: dv.Network) -> None:
        net.forward(X[:4], X[:4], train=True)
        net.backward()

    by_hand(trained)
    trained.train(X, epochs=3, shuffle=False, callback=lambda progress: by_hand(trained))
    for _ in range(3):
        by_hand(stepped)
        one_by_one(stepped, X, X)
    for name, wanted in stepped.layers[0].params.items():
        np.testing.assert_allclose(trained.layers[0].params[name], wanted, rtol=1e-5, atol=1e-6)
