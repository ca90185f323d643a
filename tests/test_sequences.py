"""Tables of recurrent networks: sequence after sequence of time_steps rows, each of which begins with no state."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from helpers import program, run

import darknet_vae as dv

Build = Callable[..., dv.Network]
STEPS = 3
NET = f"[net]\nbatch=2\ntime_steps={STEPS}\ninputs=6\nheight=2\nwidth=3\nchannels=1\nlearning_rate=0.1\ndecay=0.01\n"
LAYERS = {
    "rnn": "[rnn]\noutput=4\nactivation=tanh\n",
    "crnn": "[crnn]\noutput_filters=2\nhidden_filters=3\nactivation=tanh\n",
    "gru": "[gru]\noutput=4\n",
    "lstm": "[lstm]\noutput=4\n",
}
OUT = "[connected]\noutput={}\nactivation=linear\n"
kinds = pytest.mark.parametrize("kind", LAYERS)


def table(sequences: int, columns: int = 6, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(sequences * STEPS, columns)).astype(np.float32)


def one_by_one(net: dv.Network, X: np.ndarray) -> np.ndarray:
    """What the network says of every sequence alone, row by row."""
    out = []
    for at in range(0, len(X), STEPS):
        net.reset_state()
        out.append(net.forward(X[at : at + STEPS]))
    net.reset_state()
    return np.concatenate(out)


@kinds
def test_predict_takes_every_sequence_by_itself(kind: str, device: str, network: Build) -> None:
    net = network(NET + LAYERS[kind] + OUT.format(2) + "[cost]\n", device=device)
    X = table(5)  # two passes of two, and one of one
    wanted = one_by_one(net, X)
    np.testing.assert_allclose(net.predict(X), wanted, rtol=1e-5, atol=1e-6)
    net.forward(X[:STEPS])  # leaves a state, of which a table knows nothing
    np.testing.assert_allclose(net.predict(X), wanted, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(net.forward(X[:STEPS]), wanted[:STEPS], rtol=1e-5, atol=1e-6)  # nor does it leave one
    np.testing.assert_allclose(net.predict(X[::-1][: 2 * STEPS]), one_by_one(net, X[::-1][: 2 * STEPS]), rtol=1e-5, atol=1e-6)


def test_a_hand_made_pass_goes_on_from_call_to_call(network: Build) -> None:
    """That is Darknet's way to generate text: time_steps=1 and a state that lasts until it is reset."""
    net = network("[net]\ninputs=2\n[rnn]\noutput=3\nactivation=tanh\n", seed=1)
    x = np.ones((1, 2))
    first, second = net.forward(x), net.forward(x)
    assert np.abs(first - second).max() > 1e-3
    net.reset_state()
    np.testing.assert_array_equal(net.forward(x), first)


@kinds
def test_training_is_that_of_passes_made_by_hand(kind: str, device: str, network: Build) -> None:
    text = NET + LAYERS[kind] + OUT.format(2) + "[cost]\n"
    trained, stepped = (network(text, seed=1, device=device) for _ in range(2))
    X, truth = table(5), table(5, 2, seed=1)
    history = trained.train(X, epochs=1, truth=truth, shuffle=False)
    cost = 0.0
    for at in range(0, 5, 2):
        n = min(2, 5 - at)
        rows = [(at + s) * STEPS + t for t in range(STEPS) for s in range(n)]  # time-major
        stepped.forward(X[rows], truth[rows], train=True)
        cost += stepped.cost
        stepped.backward()
        stepped.update()
    assert history.image_loss[0] == pytest.approx(cost / len(X), rel=1e-5)
    for layer, other in zip(trained.layers, stepped.layers, strict=True):
        for name in layer.params:
            np.testing.assert_allclose(layer.params[name], other.params[name], rtol=1e-4, atol=1e-6, err_msg=name)


def echo(sequences: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The truth of a row is the sign of the row before it in its sequence; of the first one class 1."""
    X = np.random.default_rng(seed).choice([-1.0, 1.0], size=(sequences, STEPS, 1))
    before = np.concatenate([np.ones((sequences, 1, 1)), X[:, :-1]], axis=1) > 0
    return X.reshape(-1, 1), np.concatenate([before, ~before], axis=2).reshape(-1, 2).astype(np.float32)


ECHO = (
    f"[net]\nbatch=8\ntime_steps={STEPS}\ninputs=1\nlearning_rate=0.02\nadam=1\ndecay=0\n[lstm]\noutput=8\n"
    "[connected]\noutput=2\nactivation=linear\n[softmax]\n"
)


def test_what_only_the_row_before_tells_is_learned_from_shuffled_sequences(network: Build) -> None:
    net = network(ECHO, seed=1)
    X, truth = echo(101, 0)
    history = net.train(X, epochs=60, truth=truth, holdout=0.2)
    assert history.accuracy[-1] == 1  # of held-out sequences; shuffled rows would leave two thirds of them to chance
    other, right = echo(37, 1)
    assert net.evaluate(other, right)["accuracy"] == 1
    assert (net.predict(other).argmax(1) == right.argmax(1)).all()


@pytest.mark.parametrize("part", [0.2, 0.5])
def test_whole_sequences_are_held_out(part: float, network: Build) -> None:
    net = network(ECHO, seed=1)
    X, truth = echo(10, 0)
    trained: list[int] = []
    net.train(X, epochs=1, truth=truth, holdout=part, callback=lambda p: trained.append(p.rows_total))
    assert trained == [round(10 * (1 - part)) * STEPS]


@kinds
def test_evaluate_is_the_mean_over_sequences(kind: str, network: Build) -> None:
    net = network(NET + LAYERS[kind] + OUT.format(2) + "[cost]\n")
    X, truth = table(5), table(5, 2, seed=1)
    wanted = ((one_by_one(net, X) - truth) ** 2).sum(1).mean()
    losses = net.evaluate(X, truth)
    assert losses["image_loss"] == pytest.approx(wanted, rel=1e-5)
    assert losses["mse"] == pytest.approx(wanted / 2, rel=1e-5)  # outputs meet the truth of their own rows
    history = net.train(X, epochs=1, truth=truth, valid=(X, truth), learning_rate=1e-12)
    assert history.valid_loss[0] == pytest.approx(wanted, rel=1e-5)


AUTOENCODER = NET + "[gru]\noutput=3\n" + OUT.format(6) + "[cost]\n"


def test_codes_and_what_is_decoded_from_them_stand_at_their_rows(network: Build) -> None:
    net = network(AUTOENCODER)
    X = table(5)
    codes, _ = net.encode(X)
    for at in range(0, len(X), STEPS):
        np.testing.assert_allclose(net.encode(X[at : at + STEPS])[0], codes[at : at + STEPS], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(net.sample(codes), net.reconstruct(X), rtol=1e-5, atol=1e-6)


def test_rows_that_are_no_whole_sequences_are_refused(network: Build) -> None:
    net = network(AUTOENCODER)
    X, z = table(2)[:5], np.zeros((4, 3))
    message = r"net\.cfg: {} rows are not whole sequences of time_steps=3 rows: {} are left over, {} more would fill one"
    calls: list[tuple[Callable[[], object], tuple[int, int, int]]] = [
        (lambda: net.train(X, epochs=1), (5, 2, 1)),
        (lambda: net.train(table(2), epochs=1, valid=X), (5, 2, 1)),
        (lambda: net.predict(X), (5, 2, 1)),
        (lambda: net.reconstruct(X), (5, 2, 1)),
        (lambda: net.evaluate(X), (5, 2, 1)),
        (lambda: net.encode(X), (5, 2, 1)),
        (lambda: net.sample(z), (4, 1, 2)),
    ]
    for call, numbers in calls:
        with pytest.raises(dv.errors.UsageError, match=message.format(*numbers)):
            call()
    with pytest.raises(dv.errors.UsageError, match=r"holdout=0\.9 of 2 sequences leaves 0 to train on and 2 held out"):
        net.train(table(2), epochs=1, holdout=0.9)


@pytest.mark.parametrize("kind", ["binary", "python"])
def test_the_command_line_trains_and_evaluates_sequences(kind: str, network: Build) -> None:
    network(AUTOENCODER)
    dv.save_csv("all.csv", table(6))
    dv.save_csv("odd.csv", table(6)[:-1])
    words = program(kind)
    done = run([*words, "train", "net.cfg", "all.csv", "-epochs", "2", "-quiet", "-output", "seen.txt"])
    assert done.returncode == 0, done.stderr
    assert dv.load_csv("seen_output_2.txt").shape == (9, 6)  # ten rows, but whole sequences
    assert run([*words, "evaluate", "net.cfg", "all.csv", "-weights", "vae.weights", "-N", "6"]).returncode == 0
    for verb in ("train", "evaluate", "encode", "reconstruct"):
        more = ["-epochs", "1"] if verb == "train" else []
        done = run([*words, verb, "net.cfg", "odd.csv", "-quiet", "-weights", "vae.weights", *more])
        assert done.returncode == 2, done.stderr
        lines = [line for line in done.stderr.splitlines() if "warning" not in line]
        assert len(lines) == 1 and "17 rows are not whole sequences of time_steps=3" in lines[0]
        assert verb in ("encode", "reconstruct") or "odd.csv: 17 rows" in lines[0]  # the file that is to blame
