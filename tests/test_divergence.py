"""A training whose loss stops being finite says where that began and why, and keeps the last good weights; one that diverges is
warned of before."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers import program, run

import darknet_vae as dv
from darknet_vae import errors

Build = Callable[..., dv.Network]
HEAD = "[net]\nbatch=4\ninputs=6\nlearning_rate=0.01\n"
VAE = HEAD + "[connected]\noutput=4\nactivation=linear\n[sampling]\nbeta=0.8\n[connected]\noutput=6\nactivation=linear\n"
SSE = "[cost]\ntype=sse\n"


def rows(n: int = 40) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(n, 6)).astype(np.float32)


def failure(net: dv.Network, X: np.ndarray, **options: object) -> str:
    with warnings.catch_warnings(), pytest.raises(errors.NumericError) as caught:
        warnings.simplefilter("ignore")
        net.train(X, **{"epochs": 5, **options})  # type: ignore[arg-type]
    return str(caught.value)


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("norm", ["", "batch_normalize=1\n"])
def test_one_bad_cell_is_named_with_its_row_column_and_value(norm: str, shuffle: bool, device: str, network: Build) -> None:
    X = rows()
    X[17, 3] = 1e30
    told = failure(network(VAE.replace("output=6\n", "output=6\n" + norm) + SSE, seed=1, device=device), X, shuffle=shuffle)
    assert "column 4 reaches 1e+30, but hardly any row is so far from 1: look at row 18 of the data" in told
    assert re.search(
        r"first in batch \d+, in the (output|loss) of layer \d \[\w+\], for row 18 of the data, whose column 4 is", told
    )
    assert told.endswith("nothing was learned") and "\n" not in told
    if not shuffle:
        assert "first in batch 5," in told


def test_the_batch_is_the_one_in_which_a_training_by_hand_fails(network: Build) -> None:
    X = rows()
    told = failure(network(VAE + SSE, seed=1), X, learning_rate=1e4, shuffle=False)
    batch = int(re.search(r"first in batch (\d+)", told)[1])  # type: ignore[index]
    other = network((VAE + SSE).replace("0.01", "1e4"), seed=1)
    norms = []
    for k in range(batch):
        other.forward(X[4 * k % 40 : 4 * k % 40 + 4], X[4 * k % 40 : 4 * k % 40 + 4], train=True)
        assert np.isfinite(other.objective) == (k + 1 < batch)
        other.backward()
        norms.append(np.sqrt(sum((g.astype(float) ** 2).sum() for layer in other.layers for g in layer.grads.values())) / 4)
        other.update()
    shown = float(re.search(r"the gradient's norm was (\S+) in the batch before", told)[1])  # type: ignore[index]
    assert shown == pytest.approx(norms[-2], rel=6e-3)
    assert "a smaller learning rate may help" in told


@pytest.mark.parametrize("more", ["subdivisions=2\n", "adam=1\n", "clip_norm=1e30\n", "ema=0.9\n"])
def test_a_failure_in_a_later_epoch_is_found_again_and_leaves_the_weights_of_the_last_good_one(more: str, network: Build) -> None:
    """The rows are good until the callback spoils one."""
    X = rows()
    text = VAE.replace("[net]\n", "[net]\n" + more) + SSE
    net, other = network(text, seed=1), network(text, seed=1)
    other.train(X, epochs=2)

    def spoil(progress: dv.Progress) -> None:
        if progress.epoch == 2 and progress.epoch_done:
            X[5, 0] = 1e30

    told = failure(net, X, callback=spoil)
    assert re.search(r"in epoch 3: .*; first in batch 2\d|in epoch 3: .*; first in batch 30|in epoch 3", told)
    assert "for row 6 of the data" in told and told.endswith("the weights of epoch 2 are kept")
    for a, b in zip(net.layers, other.layers, strict=True):
        for name in a.params:
            np.testing.assert_array_equal(a.params[name], b.params[name])
    X[5, 0] = 0
    assert np.isfinite(net.train(X, epochs=1).total_loss[0])


def test_parameters_that_the_last_step_ruins_are_no_result(network: Build) -> None:
    told = failure(network(VAE + SSE, seed=1), rows(4), epochs=1, learning_rate=1e38)
    assert (
        told.startswith("a parameter became nan or infinite in epoch 1") and "the update, which a learning rate of 1e+38" in told
    )


def test_the_command_says_where_the_kept_weights_are_saved() -> None:
    X = rows()
    Path("net.cfg").write_text(HEAD + "[connected]\noutput=6\nactivation=linear\n" + SSE)
    dv.save_csv("rows.csv", 3 * X)
    done = run(
        [*program("binary"), "train", "net.cfg", "rows.csv", "-epochs", "50", "-lr", "0.055", "-save", "kept.weights", "-quiet"]
    )
    if done.returncode == 0:
        pytest.skip("this training does not diverge here")
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert re.search(r"the weights of epoch \d+ are kept, and saved in kept\.weights$", done.stderr.strip())
    net = dv.Network.load("net.cfg", "kept.weights")
    assert all(np.isfinite(value).all() for layer in net.layers for value in layer.params.values())


def test_a_training_that_diverges_is_warned_of_once(network: Build) -> None:
    net = network("[net]\nbatch=40\ninputs=6\n[connected]\noutput=6\nactivation=linear\n" + SSE, seed=1)
    with pytest.warns(UserWarning, match="the training diverges: the loss of epoch") as caught:
        net.train(rows() * 3, epochs=12, learning_rate=0.3)
    assert len([one for one in caught if "diverges" in str(one.message)]) == 1


def test_a_loss_near_zero_or_below_does_not_warn_by_its_size_alone(network: Build) -> None:
    """Ten times a loss of 1e-6 is no divergence when learning began at 10."""
    net = network("[net]\nbatch=4\ninputs=6\nmomentum=0\n[connected]\noutput=6\nactivation=linear\n" + SSE, seed=1)
    X = rows()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        losses = net.train(X, epochs=200, learning_rate=0.1).total_loss
        assert min(losses) < 1e-3 * losses[0]


@pytest.mark.parametrize("epochs", [1, 4])
def test_a_training_whose_first_epoch_is_the_worst_is_warned_of_too(epochs: int, network: Build) -> None:
    """A rate far too large: the loss has been falling since, from far above where it began."""
    net = network(
        "[net]\nbatch=8\ninputs=3\nlearning_rate=10\nadam=1\n[connected]\noutput=8\n[connected]\noutput=3\nactivation=linear\n[cost]\n"
    )
    X = np.random.default_rng(0).random((64, 3))
    with pytest.warns(UserWarning, match=r"the training diverges: .* in the first batch: a smaller learning rate") as caught:
        net.train(X, epochs=epochs, shuffle=False)
    assert len([one for one in caught if "diverges" in str(one.message)]) == 1


def test_a_parameter_that_was_set_to_nan_is_named_not_the_data_and_never_saved(device: str, network: Build) -> None:
    net, X = network(VAE + SSE, seed=1, device=device), rows()
    net.save("w.weights")
    kept = Path("w.weights").read_bytes()
    weights = net.layers[2].params["weights"].copy()
    weights[1, 1] = np.nan
    net.layers[2].set("weights", weights)
    named = r"value \d+ of weights in layer 2 \[connected\] is nan: set or load parameters that are finite"
    for call in (net.evaluate, net.row_losses):
        with pytest.raises(errors.NumericError, match=named):
            call(X * 6)
    assert re.search(rf"the loss became nan in epoch 1: {named}$", failure(net, X * 200))
    for name in ("w.weights", "m.safetensors"):
        with pytest.raises(errors.NumericError, match=rf"{name} is not written: {named}"):
            net.save(name)
    with pytest.raises(errors.NumericError, match=named), open("m.safetensors", "wb") as file:
        net.save(file)
    assert Path("w.weights").read_bytes() == kept
