"""The Python package: names, shapes, typed errors."""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers import ROOT, run, slowness

import darknet_vae as dv
from darknet_vae import errors

Build = Callable[..., dv.Network]
CFG = ROOT / "cfg" / "vae_digits.cfg"
SMALL = "[net]\nbatch=4\nheight=4\nwidth=4\nchannels=1\n[convolutional]\nfilters=2\nsize=3\npad=1\nname=first\nactivation=leaky\n\
[connected]\noutput=3\nbatch_normalize=1\nactivation=linear\n[cost]\n"


def test_layers_tell_their_shapes_and_parameters(network: Build) -> None:
    net = network(SMALL, seed=3)
    conv, dense, cost = net.layers
    assert (conv.type, conv.name, conv.inputs, conv.outputs, conv.shape) == ("convolutional", "first", 16, 32, (2, 4, 4))
    assert (dense.type, dense.name, dense.shape) == ("connected", "", (3,))
    assert cost.type == "cost"
    assert {n: v.shape for n, v in conv.params.items()} == {"biases": (2,), "weights": (2, 1, 3, 3)}
    assert set(dense.params) == {"weights", "biases", "scales", "rolling_mean", "rolling_variance"}
    assert set(dense.grads) == {"weights", "biases", "scales"}
    assert (net.batch, net.inputs, net.outputs, net.latent_size) == (4, 16, 3, 0)
    assert net.n_params == 2 + 18 + 3 * 32 + 3 + 3
    dense.set("biases", [1, 2, 3])
    np.testing.assert_array_equal(dense.params["biases"], [1, 2, 3])
    with pytest.raises(errors.UsageError, match="holds 3 values, not 2"):
        dense.set("biases", [1, 2])
    with pytest.raises(errors.UsageError, match="no 'weight'"):
        dense.set("weight", [1])
    with pytest.raises(KeyError):
        dense.params["weight"]


def test_a_step_by_hand_without_the_truth_that_its_loss_wants_is_warned_of(network: Build) -> None:
    net = network("[net]\nbatch=4\ninputs=3\n[connected]\noutput=3\nactivation=linear\n[cost]\n")
    x = np.ones((4, 3), np.float32)
    net.forward(x, train=True)
    with pytest.warns(UserWarning, match=r"had no truth, .*forward\(x, x, train=True\) for an autoencoder"):
        net.backward()
    net.forward(x, x, train=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        net.backward()


def test_noise_is_given_in_whole_rows(network: Build) -> None:
    net = network("[net]\nbatch=4\ninputs=4\n[sampling]\n[connected]\noutput=4\n[cost]\n")
    for count in (0, 3, 7):
        with pytest.raises(errors.UsageError, match=f"{count} noise values are not whole rows of 2 values"):
            net.set_noise(0, np.zeros(count))
    net.set_noise(0, np.zeros(8))


def test_one_step_by_hand_moves_the_loss_down(network: Build) -> None:
    net = network(SMALL)
    random = np.random.default_rng(0)
    x, truth = random.normal(size=(4, 1, 4, 4)), random.normal(size=(4, 3))
    costs = []
    for _ in range(20):
        out = net.forward(x, truth, train=True)
        assert out.shape == (4, 3)
        costs.append(net.cost)
        net.backward()
        assert net.layers[0].delta.shape == net.layers[0].output.shape == (4, 32)
        net.update()
        assert not net.layers[0].grads["weights"].any()
    assert costs[-1] < costs[0]
    assert net.seen == 80


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda net: net.forward(np.zeros((5, 16))), errors.UsageError, "5 rows given, the network takes 1 to 4"),
        (lambda net: net.forward(np.zeros((2, 15))), errors.UsageError, r"shape \(2, 15\); wanted is \(rows, 16\)"),
        (lambda net: net.forward(np.zeros((2, 16)), np.zeros((1, 3))), errors.UsageError, "2 rows, truth has 1"),
        (lambda net: net.sample([[0.0]]), errors.UsageError, "no latent space"),
        (lambda net: net.encode(np.zeros((1, 16))), errors.UsageError, "no latent space"),
        (lambda net: net.evaluate(np.zeros((1, 16))), errors.UsageError, "3 values per row, the input has 16"),
        (lambda net: net.train(np.zeros((1, 16)), epochs=1), errors.UsageError, "3 values per row"),
        (lambda net: net.train(np.zeros((2, 16)), truth=np.zeros((2, 3))), errors.UsageError, "when to stop"),
        (lambda net: net.train(np.zeros((0, 16)), 1, truth=np.zeros((0, 3))), errors.UsageError, "0 rows"),
        (lambda net: net.train(np.full((2, 16), np.nan), 1, truth=np.zeros((2, 3))), errors.UsageError, "nan at row 0, column 0"),
        (lambda net: net.train([["a"]], epochs=1), errors.UsageError, "float32"),
        (lambda net: net.backward(), errors.UsageError, "without a forward"),
        (lambda net: net.update(), errors.UsageError, "without a backward"),
        (lambda net: net.set_noise(0, [1.0]), errors.UsageError, "draws no numbers"),
        (lambda net: net.save("nofolder/x.weights"), FileNotFoundError, "nofolder"),
        (lambda net: net.load_weights("nothere.weights"), FileNotFoundError, "nothere"),
        (lambda _: dv.Network("nothere.cfg"), FileNotFoundError, "nothere"),
        (lambda _: dv.Network(CFG, device="cuda:99"), errors.DeviceError, "cuda:99"),
        (lambda _: dv.Network(CFG, device="cuda:1x"), errors.DeviceError, "'cuda:1x' is unknown"),
        (lambda _: dv.Network(CFG, seed=-1), ValueError, "seed=-1"),
        (lambda _: dv.Network(CFG, batch=0), ValueError, "batch=0"),
        (lambda _: dv.bundled("nothere"), errors.MissingFileError, "digits.csv"),
    ],
)
def test_every_misuse_is_a_typed_error(call: Callable[[dv.Network], object], kind: type, message: str, network: Build) -> None:
    with pytest.raises(kind, match=message) as caught:
        call(network(SMALL))
    assert isinstance(caught.value, dv.DarknetError)


def test_a_callback_sees_every_epoch_and_may_end_training(digits: tuple[np.ndarray, np.ndarray]) -> None:
    seen: list[dv.Progress] = []

    def stop_after_three(progress: dv.Progress) -> bool:
        seen.append(progress)
        return progress.epoch == 3

    history = dv.Network(CFG).train(digits[0], epochs=50, callback=stop_after_three)
    assert len(history.total_loss) == len(seen) == 3
    assert seen[-1].total_loss == history.total_loss[-1]
    assert seen[0].rows_done == seen[0].rows_total == len(digits[0])
    assert "epoch 3/50" in seen[-1].line


def test_ctrl_c_leaves_a_usable_network(digits: tuple[np.ndarray, np.ndarray]) -> None:
    net = dv.Network(CFG)

    def interrupt(progress: dv.Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        net.train(digits[0], epochs=50, callback=interrupt)
    assert net.seen >= len(digits[0])
    assert np.isfinite(net.evaluate(digits[0])["total_loss"])


def test_rows_beyond_the_batch_are_worked_through_in_parts(digits: tuple[np.ndarray, np.ndarray]) -> None:
    X = digits[0][:77]
    one, many = dv.Network(CFG, batch=1), dv.Network(CFG, batch=77)
    for call in ("reconstruct", "predict"):
        np.testing.assert_allclose(getattr(one, call)(X), getattr(many, call)(X), rtol=1e-5, atol=1e-6)
    assert one.evaluate(X) == pytest.approx(many.evaluate(X), rel=1e-5)


def test_evaluation_is_without_noise_and_training_with(digits: tuple[np.ndarray, np.ndarray]) -> None:
    net = dv.Network(CFG)
    x = digits[0][:8]
    np.testing.assert_array_equal(net.forward(x), net.forward(x))
    assert not np.array_equal(net.forward(x, train=True), net.forward(x, train=True))
    index = next(layer.index for layer in net.layers if layer.type == "sampling")
    eps = np.random.default_rng(0).normal(size=(8, 2)).astype(np.float32)
    net.set_noise(index, eps)
    net.forward(x, train=True)
    mean, log_variance = net.encode(x)
    net.set_noise(index, eps)
    net.forward(x, train=True)
    np.testing.assert_allclose(net.layers[index].output, mean + np.exp(log_variance / 2) * eps, rtol=1e-5, atol=1e-6)


def test_the_noise_is_standard_normal_and_differs_between_steps(network: Build) -> None:
    net = network("[net]\nbatch=1000\ninputs=20\n[sampling]\n")
    x = np.zeros((1000, 20), np.float32)
    draws = np.stack([net.forward(x, train=True) for _ in range(20)]).astype(np.float64)
    assert abs(draws.mean()) < 0.01 and abs(draws.var() - 1) < 0.02 and abs((draws**4).mean() - 3) < 0.1
    rows = draws.reshape(20, -1)
    assert np.abs(np.corrcoef(rows) - np.eye(20)).max() < 0.04
    z = dv.sample_prior(50_000, 2, seed=9).astype(np.float64)
    assert np.abs(z.mean(0)).max() < 0.02 and np.abs(np.cov(z.T) - np.eye(2)).max() < 0.03
    np.testing.assert_array_equal(dv.sample_prior(3, 2, seed=9), z[:3].astype(np.float32))


def test_what_shuffling_may_change_it_does_and_no_more(network: Build) -> None:
    text = "[net]\nbatch=2\ninputs=3\nlearning_rate=0.01\n[connected]\noutput=3\nactivation=linear\n[cost]\n"
    X = np.random.default_rng(0).normal(size=(9, 3)).astype(np.float32)

    def weights(seed: int, shuffle: bool) -> np.ndarray:
        net = network(text, seed=seed)
        net.layers[0].set("weights", np.eye(3) * 0.5)
        net.train(X, epochs=2, shuffle=shuffle)
        return net.layers[0].params["weights"]

    np.testing.assert_array_equal(weights(1, True), weights(1, True))
    assert not np.array_equal(weights(1, True), weights(2, True))
    np.testing.assert_array_equal(weights(1, False), weights(2, False))


def test_the_installed_package_works_from_another_folder(tmp_path: Path) -> None:
    code = (
        "import darknet_vae as dv; X = dv.load_csv(dv.bundled('digits.csv'), label_column='label', scale=16);"
        "net = dv.Network(dv.bundled('vae_digits.cfg')); net.train(X, epochs=1); print(dv.__file__)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not done.stdout.startswith(str(ROOT / "darknet_vae")) or "site-packages" in done.stdout


@pytest.mark.timing
def test_importing_is_quick() -> None:
    code = "import time, numpy; t = time.perf_counter(); import darknet_vae; darknet_vae.Network; print(time.perf_counter() - t)"
    best = min(float(subprocess.check_output([sys.executable, "-c", code])) for _ in range(3))
    assert best < 0.2 * slowness()


def test_the_package_is_typed() -> None:
    assert (Path(dv.__file__).parent / "py.typed").exists()
    assert dv.__version__ == dv.build_info().split()[1].rstrip(",")


def test_layers_without_a_forward_say_so(network: Build) -> None:
    net = network("[net]\nbatch=4\ninputs=3\n[connected]\noutput=2\n[connected]\noutput=3\n[cost]\n")
    X = np.zeros((3, 3))
    calls: list[Callable[[], object]] = [
        lambda: None,
        lambda: net.predict(X),
        lambda: net.evaluate(X),
        lambda: net.encode(X),
        lambda: net.train(X, epochs=1),
        lambda: net.resize(batch=2),
    ]
    for call in calls:
        call()
        with pytest.raises(dv.errors.UsageError, match=r"layer 1 \[connected\]: outputs and deltas are those of a forward\(x\)"):
            _ = net.layers[1].output
        net.forward(X[:2])
        assert net.layers[1].output.shape == (2, 3)


def test_the_sources_folder_does_not_hide_the_installed_package() -> None:
    """README's Python lines, typed where the repository was cloned."""
    code = "import darknet_vae as dv; print(dv.Network('cfg/vae_digits.cfg').latent_size, dv.bundled('digits.csv'))"
    done = run([sys.executable, "-c", code], cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("2 ") and str(ROOT / "darknet_vae") not in done.stdout
    assert run([sys.executable, "-m", "darknet_vae", "inspect", "cfg/vae_digits.cfg"], cwd=ROOT).returncode == 0
    # without an installed one
    done = run([sys.executable, "-I", "-S", "-c", f"import sys; sys.path[:0] = [{str(ROOT)!r}]; import darknet_vae"])
    assert done.returncode == 1 and "pip install" in done.stderr.splitlines()[-1]


def test_no_images_are_no_work() -> None:
    net = dv.Network(ROOT / "cfg" / "autoencoder.cfg")
    side = int(net.inputs**0.5)
    assert net.predict(np.zeros((0, 1, side, side))).shape == (0, net.outputs)
    with pytest.raises(dv.errors.UsageError, match="wanted is"):
        net.predict(np.zeros((0, 1, side, side + 1)))
