"""Optimisers, clipping, averages and schedules against PyTorch's (golden/optimizers.npz), and what they mean for a training."""

from __future__ import annotations

import functools
import json
import math
import pickle
import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from helpers import ROOT
from test_fused import check

import darknet_vae as dv
from darknet_vae import errors

Build = Callable[..., dv.Network]
ROWS = 6


@functools.cache
def golden() -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    with np.load(ROOT / "tests" / "golden" / "optimizers.npz") as archive:
        arrays = {name: archive[name] for name in archive.files}
    return json.loads(arrays.pop("index").tobytes()), arrays


CASES = golden()[0]["cases"]


def of(arrays: dict[str, np.ndarray], prefix: str) -> dict[tuple[int, str], np.ndarray]:
    """The arrays prefix + "LAYER.NAME"."""
    found = ((re.fullmatch(re.escape(prefix) + r"(\d+)\.([a-z][\w.]*)", name), value) for name, value in arrays.items())
    return {(int(match[1]), match[2]): value for match, value in found if match}


def parameters(net: dv.Network) -> dict[tuple[int, str], np.ndarray]:
    return {(i, name): value for i, layer in enumerate(net.layers) for name, value in layer.params.items()}


def assert_same(ours: dict[tuple[int, str], np.ndarray], wanted: dict[tuple[int, str], np.ndarray], what: str) -> None:
    """Within 1e-5, relative to a tensor's length: a single value of it may be near 0."""
    assert wanted
    for place, value in wanted.items():
        off = np.linalg.norm(ours[place].ravel() - value.ravel()) / np.linalg.norm(value)
        assert off < 1e-5, f"{what}: {place} is off by {off:.1e}"


def steps(net: dv.Network, name: str, arrays: dict[str, np.ndarray]) -> Iterator[int]:
    """The updates of a golden case, one by one; their numbers, from 1."""
    for (layer, tensor), value in of(arrays, f"{name}.start.").items():
        net.layers[layer].set(tensor, value)
    noisy = [i for i, layer in enumerate(net.layers) if layer.type == "sampling"]
    for update in range(golden()[0]["updates"]):
        for layer in noisy:
            net.set_noise(layer, arrays[f"{name}.noise"][update])
        net.forward(arrays[f"{name}.x"][update], arrays[f"{name}.truth"][update], train=True)
        net.backward()
        net.update()
        yield update + 1


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['network']}-{case['recipe']}")
def test_updates_are_those_of_pytorch(case: dict[str, str], device: str, network: Build) -> None:
    index, arrays = golden()
    prefix = f"{case['network']}.{case['recipe']}."
    net = network(case["cfg"], device=device)
    for update in steps(net, case["network"], arrays):
        assert net.learning_rate == pytest.approx(float(arrays[prefix + "rates"][update - 1]), rel=1e-6)
        if update not in index["recorded"]:
            continue
        assert_same(parameters(net), of(arrays, f"{prefix}{update}."), f"update {update}")
        if averages := of(arrays, f"{prefix}ema.{update}."):
            net.save("averages.weights")  # files get the averages
            assert_same(parameters(dv.Network.load("net.cfg", "averages.weights")), averages, f"averages of update {update}")


# ---- fused passes


@pytest.mark.parametrize(
    "keys", ["optimizer=adam", "optimizer=adamw", "optimizer=adamw\nema=0.5", "optimizer=sgd\nclip_norm=0.1"]
)
@pytest.mark.parametrize("rows", [1, 3, 4, 16, 17, 300])
def test_fused_training_gives_the_parameters_of_plain_steps(rows: int, keys: str, network: Build) -> None:
    head = f"[net]\nbatch={rows}\ninputs=%d\nlearning_rate=0.05\nmomentum=0.8\ndecay=0.01\neps=0.001\n{keys}\n"
    wide = (
        "[connected]\noutput=32\nactivation=tanh\n[connected]\noutput=3\nactivation=linear\n"
        "[route]\nlayers=-1,-2\n[connected]\noutput=21\nactivation=leaky\n[connected]\noutput=130\nactivation=logistic\n"
        "[cost]\ntype=sse\nscale=0.5\n"
    )
    narrow = (
        "[connected]\noutput=130\nactivation=tanh\n[connected]\noutput=2\nactivation=linear\n[connected]\noutput=67\n[cost]\n"
    )
    check(network, head % 37 + wide, 37, 130, rows)
    check(network, head % 5 + narrow, 5, 67, rows)


@pytest.mark.parametrize("keys", ["optimizer=adam", "optimizer=adamw", "adam=1\nclip_norm=0.1", "optimizer=adamw\nema=0.5"])
@pytest.mark.parametrize("rows", [4, 20])
def test_fused_training_on_a_gpu_gives_the_parameters_of_plain_steps(rows: int, keys: str, cuda: str, network: Build) -> None:
    text = f"[net]\nbatch={rows}\ninputs=37\nlearning_rate=0.05\ndecay=0.01\neps=0.001\n{keys}\n" + (
        "[connected]\noutput=530\nactivation=tanh\n[connected]\noutput=21\nactivation=leaky\n"
        "[connected]\noutput=130\nactivation=logistic\n[cost]\ntype=sse\nscale=0.5\n"
    )
    check(lambda text, **options: network(text, device=cuda, **options), text, 37, 130, rows)


RECORDED = (
    "[net]\nbatch=8\nheight=6\nwidth=6\nchannels=1\nlearning_rate=0.01\nmax_batches=21\n{keys}\n"
    "[convolutional]\nfilters=3\nsize=3\npad=1\nbatch_normalize=1\nactivation=leaky\n[dropout]\nprobability=0.3\n"
    "[connected]\noutput=4\nactivation=linear\n[sampling]\n[connected]\noutput=36\nactivation=linear\n[cost]\n"
)


@pytest.mark.parametrize(
    "keys",
    [
        "optimizer=adamw\neps=0.001\npolicy=cosine\nburn_in=4\npower=1\nema=0.8",
        "optimizer=adam\neps=0.001\nclip_norm=0.5\nema=0.5",
        "momentum=0.5\nclip_norm=0.5\nsubdivisions=2",
    ],
)
def test_replayed_steps_follow_rate_norm_and_averages(keys: str, cuda: str, network: Build) -> None:
    """A recorded step reads what changes from the device's memory. The last batch of an epoch is partial."""
    X = np.random.default_rng(0).uniform(size=(52, 36)).astype(np.float32)
    losses, files = [], []
    for device in ("cpu", "fence", cuda):
        net = network(RECORDED.format(keys=keys), device=device, seed=5)
        losses.append(net.train(X, epochs=3).total_loss)
        net.save(f"{device}.weights")
        files.append(parameters(dv.Network.load("net.cfg", f"{device}.weights")))
        assert net.evaluate(X)["total_loss"] == pytest.approx(
            dv.Network.load("net.cfg", f"{device}.weights").evaluate(X)["total_loss"], rel=1e-5
        )
    for ours in (1, 2):
        assert losses[ours] == pytest.approx(losses[0], rel=2e-4)
        for place, wanted in files[0].items():
            np.testing.assert_allclose(files[ours][place], wanted, rtol=2e-3, atol=2e-4)


# ---- clipping


@pytest.mark.parametrize("keys", ["optimizer=sgd", "adam=1", "optimizer=adamw"])
@pytest.mark.parametrize("subdivisions", [1, 3])
def test_clipped_training_does_not_depend_on_threads(keys: str, subdivisions: int, network: Build) -> None:
    text = f"[net]\nbatch=12\nsubdivisions={subdivisions}\ninputs=300\nlearning_rate=0.01\nclip_norm=0.1\nema=0.9\n{keys}\n" + (
        "[connected]\noutput=400\nactivation=tanh\n[connected]\noutput=300\nactivation=linear\n[cost]\n"
    )
    X = np.random.default_rng(0).normal(size=(30, 300)).astype(np.float32)
    results = []
    for threads in (1, 2):
        net = network(text, seed=1, threads=threads)
        net.train(X, epochs=2)
        results.append(parameters(net) | {(-1, "file"): net.predict(X)})
    for place, value in results[0].items():
        assert value.tobytes() == results[1][place].tobytes(), place


def test_clipping_uses_the_norm_over_all_passes_of_a_batch(network: Build) -> None:
    text = "[net]\nbatch=8\nsubdivisions={}\ninputs=6\nlearning_rate=0.5\nmomentum=0\ndecay=0\n{}\n" + (
        "[connected]\noutput=5\nactivation=tanh\n[connected]\noutput=6\nactivation=linear\n[cost]\n"
    )
    X = 3 * np.random.default_rng(0).normal(size=(8, 6)).astype(np.float32)
    whole, parts, free = (
        network(text.format(n, keys), seed=1) for n, keys in ((1, "clip_norm=0.25"), (4, "clip_norm=0.25"), (1, ""))
    )
    before = parameters(whole)
    for net in (whole, parts, free):
        net.train(X, epochs=1, shuffle=False)
    moved = math.sqrt(sum(float(((parameters(whole)[place] - value) ** 2).sum()) for place, value in before.items()))
    assert moved == pytest.approx(0.5 * 0.25, rel=1e-4)
    for place, value in parameters(whole).items():
        np.testing.assert_allclose(parameters(parts)[place], value, rtol=1e-5, atol=1e-6)
    step = [(parameters(net)[place] - before[place]).ravel() for net in (whole, free) for place in before]
    ours, plain = np.concatenate(step[: len(before)]), np.concatenate(step[len(before) :])
    assert ours @ plain == pytest.approx(np.linalg.norm(ours) * np.linalg.norm(plain), rel=1e-5)  # one direction
    assert np.linalg.norm(plain) > 2 * np.linalg.norm(ours)


# ---- averages

AVERAGED = (
    "[net]\nbatch=5\ninputs=6\nlearning_rate=0.05\n{}\n[connected]\noutput=4\nbatch_normalize=1\nactivation=tanh\n"
    "[connected]\noutput=6\nactivation=linear\n[cost]\n"
)


@pytest.mark.parametrize("device_name", ["cpu", "fence"])
def test_jobs_validation_and_files_use_the_averages_and_training_does_not(device_name: str, network: Build) -> None:
    X = np.random.default_rng(0).normal(size=(23, 6)).astype(np.float32)
    plain, net = (network(AVERAGED.format(keys), seed=1, device=device_name) for keys in ("", "ema=0.9"))
    averages: dict[tuple[int, str], np.ndarray] = {}
    for update in range(7):  # by hand, so that every update is seen
        for one in (plain, net):
            one.forward(X[:5], X[:5], train=True)
            one.backward()
            one.update()
        for place, value in parameters(net).items():
            averages[place] = value if update == 0 else averages[place] + np.float32(0.1) * (value - averages[place])
    for place, value in parameters(plain).items():
        assert parameters(net)[place].tobytes() == value.tobytes(), place  # what is trained is not changed
    other = network(AVERAGED.format(""), seed=2, device=device_name)
    for (layer, name), value in averages.items():
        other.layers[layer].set(name, value)
    np.testing.assert_allclose(net.predict(X), other.predict(X), rtol=1e-4, atol=1e-5)
    assert np.abs(net.predict(X) - plain.predict(X)).max() > 1e-3
    assert net.evaluate(X)["total_loss"] == pytest.approx(other.evaluate(X)["total_loss"], rel=1e-5)
    for name in ("w.weights", "w.safetensors"):
        net.save(name)
        for place, value in parameters(dv.Network.load("net.cfg", name)).items():
            np.testing.assert_allclose(value, averages[place], rtol=1e-5, atol=1e-6)
    history = net.train(X, epochs=1, valid=X[:9])
    assert history["valid_loss"][0] == pytest.approx(net.evaluate(X[:9])["total_loss"], rel=1e-6)


def test_averages_begin_with_the_first_update_and_go_on_with_the_training(network: Build) -> None:
    X = np.random.default_rng(0).normal(size=(20, 6)).astype(np.float32)
    twice, once = (network(AVERAGED.format("optimizer=adamw\nema=0.9"), seed=1) for _ in range(2))
    start = twice.predict(X)
    np.testing.assert_array_equal(start, network(AVERAGED.format(""), seed=1).predict(X))  # before any update
    twice.train(X, epochs=2)
    twice.train(X, epochs=2)
    once.train(X, epochs=4)
    assert twice.predict(X).tobytes() == once.predict(X).tobytes()
    once.save("w.weights")
    loaded = dv.Network.load("net.cfg", "w.weights")
    np.testing.assert_allclose(loaded.predict(X), once.predict(X), rtol=1e-6, atol=1e-6)  # the averages are now the parameters
    loaded.layers[1].set("biases", np.zeros(6))
    once.layers[1].set("biases", np.zeros(6))
    np.testing.assert_allclose(once.predict(X), loaded.predict(X), rtol=1e-6, atol=1e-6)  # also of what is averaged


def test_a_copy_goes_on_as_the_network_does(network: Build) -> None:
    """With its moments, averages, and what it knows of the losses so far."""
    X = np.random.default_rng(0).normal(size=(20, 6)).astype(np.float32)
    net = network(AVERAGED.format("optimizer=adamw\nema=0.9\npolicy=plateau\npatience=0\nthreshold=0.3"), seed=1)
    net.train(X, epochs=5)
    copy = pickle.loads(pickle.dumps(net))
    for one in (net, copy):
        one.train(X, epochs=3)
    assert copy.predict(X).tobytes() == net.predict(X).tobytes()
    assert copy.learning_rate == net.learning_rate < 0.05
    for place, value in parameters(net).items():
        assert parameters(copy)[place].tobytes() == value.tobytes()


def test_averages_count_as_memory(network: Build) -> None:
    X = np.zeros((10, 6), np.float32)
    plain, net = (network(AVERAGED.format(keys)) for keys in ("", "ema=0.9"))
    for one in (plain, net):
        one.train(X + np.arange(6, dtype=np.float32), epochs=1)
    values = sum(max(16, -(-value.size // 16) * 16) for value in parameters(net).values())
    assert net.memory_bytes - plain.memory_bytes == 4 * values


# ---- the plateau

PLATEAU = (
    "[net]\nbatch=4\ninputs=6\nlearning_rate=0.3\ndecay=0\nmomentum=0\npolicy=plateau\nfactor=0.5\npatience=1\nthreshold=0.01\n"
    "min_rate=0.1\n{}\n[connected]\noutput=4\nactivation=tanh\n[connected]\noutput=6\nactivation=linear\n[cost]\n"
)


def reduced(losses: list[float], rate: float) -> list[float]:
    """The rates after each epoch by the rule of torch.optim.lr_scheduler.ReduceLROnPlateau."""
    rates, lowest, bad = [], math.inf, 0
    for loss in losses:
        lowest, bad = (loss, 0) if loss < lowest * 0.99 else (lowest, bad + 1)
        if bad > 1:
            rate, bad = max(rate * 0.5, 0.1), 0
        rates.append(rate)
    return rates


@pytest.mark.parametrize("held_out", [False, True])
def test_the_rate_falls_when_the_loss_does_not(held_out: bool, network: Build) -> None:
    X = np.random.default_rng(0).normal(size=(30, 6)).astype(np.float32)
    rates: list[float] = []
    valid = X[20:] if held_out else None
    net, parts = (network(PLATEAU.format(""), seed=1) for _ in range(2))
    history = net.train(X[:20], epochs=24, valid=valid, callback=lambda progress: rates.append(progress.learning_rate))
    losses = history["valid_loss"] if held_out else history.total_loss
    assert rates == pytest.approx(reduced(losses, 0.3), rel=1e-6)
    assert rates[0] == pytest.approx(0.3) and rates[-1] == pytest.approx(0.1) and len(set(rates)) == 3
    for epochs in (7, 1, 16):  # what it knows is a part of the training's state
        parts.train(X[:20], epochs=epochs, valid=valid)
    assert parts.predict(X).tobytes() == net.predict(X).tobytes()
    assert parts.learning_rate == net.learning_rate
    net.save("w.weights")
    assert dv.Network.load("net.cfg", "w.weights").learning_rate == pytest.approx(0.3)  # a new training begins anew


def test_epochs_of_a_warm_up_do_not_count_as_waiting(network: Build) -> None:
    X = np.random.default_rng(0).normal(size=(20, 6)).astype(np.float32)
    rates: list[float] = []
    net = network(PLATEAU.format("burn_in=40\npower=1").replace("threshold=0.01", "threshold=0.99"), seed=1)
    net.train(X, epochs=12, callback=lambda progress: rates.append(progress.learning_rate))
    assert rates[:8] == pytest.approx([0.3 * 5 * (n + 1) / 40 for n in range(8)], rel=1e-6)
    assert rates[8:] == pytest.approx([0.15, 0.15, 0.1, 0.1], rel=1e-6)


# ---- keys


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ("adam=1\noptimizer=adamw", r"net\.cfg:4: \[net\] adam=1 contradicts optimizer=adamw: leave one of them out"),
        ("adam=1\noptimizer=sgd", r"net\.cfg:4: \[net\] adam=1 contradicts optimizer=sgd"),
        ("optimizer=adm", r"net\.cfg:4: \[net\] optimizer=adm is not one of sgd, adam, adamw \(did you mean 'adam'\?\)"),
        ("policy=plateau\nfactor=1", r"net\.cfg:5: \[net\] factor=1 is not in \[0, 1\)"),
        ("clip_norm=-1", r"net\.cfg:4: \[net\] clip_norm=-1 is below 0"),
        ("ema=1", r"net\.cfg:4: \[net\] ema=1 is not in \[0, 1\)"),
        ("policy=cosine", r"net\.cfg:4: \[net\] policy=cosine needs max_batches="),
    ],
)
def test_keys_that_make_no_sense_are_errors(keys: str, message: str, network: Build) -> None:
    with pytest.raises(errors.FormatError, match=message):
        network(f"[net]\nbatch=2\ninputs=3\n{keys}\n[connected]\noutput=3\n[cost]\n")


def test_defaults_are_those_of_the_recipe(network: Build) -> None:
    """Without keys SGD; adam=1 beside optimizer=adam is Adam of the mean gradient; eps and decay of AdamW are PyTorch's."""
    layers = "[connected]\noutput=6\nactivation=linear\n[cost]\n"
    X = np.random.default_rng(0).normal(size=(20, 6)).astype(np.float32)

    def after(keys: str) -> bytes:
        net = network(f"[net]\nbatch=4\ninputs=6\n{keys}\n{layers}", seed=1)
        net.train(X, epochs=2)
        return net.layers[0].params["weights"].tobytes()

    assert after("optimizer=sgd") == after("") != after("adam=1")
    assert after("optimizer=adam\nadam=1") == after("optimizer=adam\neps=1e-8\ndecay=0.0001")
    assert after("optimizer=adam\nadam=1\neps=0.1") != after("adam=1\neps=0.1")  # the mean gradient, not the sum
    assert after("optimizer=adamw") == after("optimizer=adamw\neps=1e-8\ndecay=0.01") != after("optimizer=adamw\ndecay=0")


def test_the_documented_beginning_trains_a_published_cfg(network: Build, recwarn: pytest.WarningsRecorder) -> None:
    document = (ROOT / "docs" / "optimizers.md").read_text()
    keys = document.split("```")[1].strip()
    text = (ROOT / "cfg" / "vae_digits.cfg").read_text().replace("adam=1\nlearning_rate=0.001\ndecay=0\nmax_batches=5700", keys)
    assert keys in text
    X = np.random.default_rng(0).uniform(size=(640, 64)).astype(np.float32)
    losses = network(text, seed=1).train(X, epochs=12).total_loss
    assert losses[-1] < losses[0] and not recwarn.list


@pytest.mark.parametrize("device_name", ["cpu", "fence"])
def test_a_resumed_training_goes_on_with_averages_and_the_plateau(device_name: str, network: Build) -> None:
    X = np.random.default_rng(0).normal(size=(30, 6)).astype(np.float32)
    text = AVERAGED.format("optimizer=adamw\nclip_norm=0.5\nema=0.9\npolicy=plateau\npatience=0\nthreshold=0.3\nfactor=0.5")
    whole, first, second = (network(text, seed=1, device=device_name) for _ in range(3))
    whole.train(X, epochs=5, holdout=0.2)
    first.train(X, epochs=3, holdout=0.2, checkpoint="c.safetensors", checkpoint_every="1e")
    second.train(X, epochs=5, holdout=0.2, resume="c.safetensors")
    assert second.learning_rate == whole.learning_rate < 0.05
    for place, value in parameters(whole).items():
        assert parameters(second)[place].tobytes() == value.tobytes(), place
    assert second.predict(X).tobytes() == whole.predict(X).tobytes()
    assert any(parameters(second)[place].tobytes() != value.tobytes() for place, value in parameters(first).items())
