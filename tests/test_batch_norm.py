"""Batch normalisation where a pass has one value per channel: a last batch of one row, a single sequence."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import darknet_vae as dv
from darknet_vae import errors

Build = Callable[..., dv.Network]
HEAD = "[net]\nbatch={batch}\ninputs=6\nlearning_rate=0.002\nadam=1\ndecay=0\n"
NET = HEAD + "[connected]\noutput=16\nbatch_normalize=1\nactivation=relu\n[connected]\noutput=6\nactivation=linear\n[cost]\n"
SEQUENCES = {
    "rnn": "[rnn]\noutput=5\nactivation=tanh\nbatch_normalize=1\n",
    "gru": "[gru]\noutput=5\nbatch_normalize=1\n",
    "lstm": "[lstm]\noutput=5\nbatch_normalize=1\n",
}
LAYERS = {
    "connected": "[connected]\noutput=5\nbatch_normalize=1\nactivation=tanh\n",
    "batchnorm": "[batchnorm]\n",
    "convolutional": "[convolutional]\nfilters=4\nbatch_normalize=1\nactivation=tanh\n",
    "deconvolutional": "[deconvolutional]\nfilters=4\nbatch_normalize=1\nactivation=tanh\n",
    "crnn": "[crnn]\noutput_filters=3\nhidden_filters=2\nactivation=tanh\nbatch_normalize=1\n",
    **SEQUENCES,
}
TAIL = "[connected]\noutput=6\nactivation=linear\n[cost]\n"


def rows_of(n: int) -> np.ndarray:
    return np.random.default_rng(0).normal(5, 2, size=(n, 6)).astype(np.float32)


def rolling(net: dv.Network) -> dict[str, np.ndarray]:
    return {f"{layer.index} {n}": value for layer in net.layers for n, value in layer.params.items() if "rolling" in n}


@pytest.mark.parametrize(("rows", "batch"), [(201, 200), (129, 128), (65, 64)])
def test_a_last_batch_of_one_row_leaves_the_running_variance_and_the_training_right(
    rows: int, batch: int, network: Build
) -> None:
    X, net = rows_of(rows), network(NET.format(batch=batch), seed=1)
    trained = net.train(X, epochs=500).total_loss[-1]
    params = net.layers[0].params
    true = (X @ params["weights"].T.astype(np.float64)).var(0, ddof=1)
    assert 0.85 < np.median(params["rolling_variance"] / true) < 1.15
    assert net.evaluate(X)["total_loss"] < 2 * trained


@pytest.mark.parametrize("kind", LAYERS)
def test_running_statistics_are_those_of_passes_with_more_than_one_value(kind: str, device: str, network: Build) -> None:
    steps = 2 if kind in SEQUENCES or kind == "crnn" else 1
    text = f"[net]\nbatch=4\ntime_steps={steps}\ninputs=6\nheight=1\nwidth=1\nchannels=6\nlearning_rate=0.0000001\n"
    X = rows_of(9 * steps)
    whole, more = (network(text + LAYERS[kind] + TAIL, device=device, seed=1) for _ in range(2))
    whole.train(X[:-steps], epochs=3, truth=X[:-steps], shuffle=False)
    history = more.train(X, epochs=3, truth=X, shuffle=False)
    assert np.isfinite(history.total_loss).all()
    for name, value in rolling(whole).items():
        np.testing.assert_allclose(rolling(more)[name], value, rtol=1e-4, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("legacy", [False, True])
def test_a_single_value_is_its_own_mean_and_gives_the_bias(legacy: bool, device: str, network: Build) -> None:
    text = "[net]\nbatch=5\ninputs=6\n" + ("bn_epsilon=legacy\n" if legacy else "") + "[batchnorm]\n"
    net = network(text, device=device, seed=1)
    X, bias = rows_of(5), np.arange(6, dtype=np.float32)
    net.layers[0].set("biases", bias)
    net.forward(X, train=True)
    before = rolling(net)
    np.testing.assert_array_equal(net.forward(X[:1] * 1e9, train=True), bias[None])
    for name, value in rolling(net).items():
        np.testing.assert_array_equal(value, before[name], err_msg=name)


@pytest.mark.parametrize("kind", LAYERS)
def test_training_of_which_every_pass_has_one_value_per_channel_is_refused(kind: str, network: Build) -> None:
    steps = 3 if kind in SEQUENCES or kind == "crnn" else 1
    text = "[net]\nbatch={}\nsubdivisions={}\n" + f"time_steps={steps}\ninputs=6\nheight=1\nwidth=1\nchannels=6\n"
    text += LAYERS[kind] + TAIL
    X = rows_of(12)
    what = "one sequence" if steps > 1 else "one row"
    for batch, subdivisions, rows in ((1, 1, 12), (4, 4, 12), (4, 1, steps)):
        net = network(text.format(batch, subdivisions))
        with pytest.raises(errors.UsageError, match=rf"net\.cfg:9: \[{kind}\] normalises .* every pass has {what}"):
            net.train(X[:rows], epochs=1, truth=X[:rows])
        assert np.isfinite(net.predict(X)).all()
    assert np.isfinite(network(text.format(4, 2)).train(X, epochs=1, truth=X).total_loss[0])


def test_batch_1_predicts_and_maps_train_in_it(network: Build) -> None:
    net = network(NET.format(batch=1).replace("adam=1\n", ""), seed=1)
    assert np.isfinite(net.predict(rows_of(5))).all()
    maps = network("[net]\nbatch=1\nheight=2\nwidth=3\nchannels=1\n[convolutional]\nfilters=2\nbatch_normalize=1\n" + TAIL)
    assert np.isfinite(maps.train(rows_of(5), epochs=2).total_loss).all()
