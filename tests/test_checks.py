"""Rows, latents and truths that cannot be computed with are refused in one sentence; rows with missing values on request."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from helpers import defined

import darknet_vae as dv
from darknet_vae import errors
from darknet_vae._lib import dn_rows, ffi, lib, pointer

Build = Callable[..., dv.Network]
VAE = (
    "[net]\nbatch=4\ninputs=5\nlearning_rate=0.001\n[connected]\noutput=4\nactivation=linear\n[sampling]\n"
    "[connected]\noutput=5\nactivation=linear\n[cost]\n"
)
BCE = VAE + "type=bce\n"
CLASSES = "[net]\nbatch=4\ninputs=5\n[connected]\noutput=3\nactivation=linear\n[softmax]\n"
GROUPS = "[net]\nbatch=4\ninputs=5\n[connected]\noutput=6\nactivation=linear\n[softmax]\ngroups=2\n"
PIXELS = "[net]\nbatch=4\nheight=1\nwidth=2\nchannels=3\n[softmax]\nspatial=1\n"
LOGISTIC = "[net]\nbatch=4\ninputs=5\n[connected]\noutput=3\nactivation=linear\n[logistic]\n"
MASKED = "[net]\nbatch=4\ninputs=5\n[connected]\noutput=3\nactivation=linear\n[cost]\ntype=masked\n"
GRU = "[net]\nbatch=2\ntime_steps=3\ninputs=5\n[gru]\noutput=4\n[connected]\noutput=5\nactivation=linear\n[cost]\n"


def rows_of(n: int, columns: int = 5, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0.1, 0.9, size=(n, columns)).astype(np.float32)


def one_hot(n: int) -> np.ndarray:
    return np.eye(3, dtype=np.float32)[np.arange(n) % 3]


def refused(call: Callable[[], object]) -> str:
    with pytest.raises(errors.UsageError) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("value", [np.nan, -np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [(0, 0), (3, 4), (699, 2)])
def test_a_value_that_is_no_number_is_refused_by_every_job(
    place: tuple[int, int], value: float, device: str, network: Build
) -> None:
    net = network(VAE, device=device, seed=1)
    X, z = rows_of(700), rows_of(700, 2)
    good = net.predict(X)
    X[place], z[place[0], place[1] % 2] = value, value
    jobs: list[Callable[[], object]] = [
        lambda: net.predict(X), lambda: net.reconstruct(X), lambda: net.encode(X), lambda: net.evaluate(X),
        lambda: net.row_losses(X), lambda: net.train(X, epochs=1), lambda: net.evaluate(rows_of(700), X),
        lambda: net.row_losses(rows_of(700), X), lambda: net.train(rows_of(700), truth=X, epochs=1),
        lambda: net.train(rows_of(4), epochs=1, valid=X), lambda: net.sample(z),
    ]  # fmt: skip
    for job in jobs:
        assert refused(job).endswith("not a finite number")
    text = "nan" if np.isnan(value) else str(value)
    assert refused(jobs[0]) == f"X is {text} at row {place[0]}, column {place[1]}: not a finite number"
    assert refused(jobs[6]) == f"truth is {text} at row {place[0]}, column {place[1]}: not a finite number"
    assert refused(jobs[9]) == f"valid X is {text} at row {place[0]}, column {place[1]}: not a finite number"
    assert refused(jobs[10]) == f"z is {text} at row {place[0]}, column {place[1] % 2}: not a finite number"
    assert lib.dn_net_predict(net._handle, dn_rows(X), pointer(good)) == lib.DN_E_USAGE
    told = ffi.string(lib.dn_error()).decode()
    assert told == f"x is {text} at row {place[0] + 1}, column {place[1] + 1} (counted from 1): not a finite number"
    np.testing.assert_array_equal(net.predict(rows_of(700)), network(VAE, device=device, seed=1).predict(rows_of(700)))


def test_rows_with_missing_values_have_no_result_and_the_others_theirs(device: str, network: Build) -> None:
    net = network(VAE, device=device, seed=1)
    X, holes = rows_of(600), rows_of(600)
    gone = np.zeros(600, bool)
    for row, column, value in ((0, 0, np.nan), (7, 4, np.inf), (8, 2, np.nan), (599, 1, -np.inf)):
        holes[row, column], gone[row] = value, True
    kept, out = holes.copy(), np.empty((600, 5), np.float32)
    found = [
        (net.predict(holes, missing="nan"), net.predict(X)),
        (net.reconstruct(holes, out, missing="nan"), net.reconstruct(X)),
        *zip(net.encode(holes, missing="nan"), net.encode(X), strict=True),
        *zip(net.row_losses(holes, missing="nan").values(), net.row_losses(X).values(), strict=True),
    ]
    for ours, wanted in found:
        np.testing.assert_array_equal(ours[~gone], wanted[~gone])
        assert np.isnan(ours[gone]).all()
    np.testing.assert_array_equal(holes, kept)
    nothing = np.full((5, 5), np.nan)
    assert np.isnan(net.predict(nothing, missing="nan")).all() and np.isnan(net.encode(nothing, missing="nan")[1]).all()
    assert net.predict(np.zeros((0, 5)), missing="nan").shape == (0, 5)
    assert "missing='zero'" in refused(lambda: net.predict(X, missing="zero"))


def test_missing_truths_have_no_loss(network: Build) -> None:
    net, X, truth = network(CLASSES, seed=1), rows_of(9), one_hot(9)
    wanted = net.row_losses(X, truth)["image_loss"]
    truth[0, 1] = truth[4, 2] = np.nan
    X[6, 0] = np.nan
    losses = net.row_losses(X, truth, missing="nan")["image_loss"]
    known = ~np.isin(np.arange(9), [0, 4, 6])
    np.testing.assert_array_equal(losses[known], wanted[known])
    assert np.isnan(losses[~known]).all()


def test_in_a_sequence_the_steps_after_a_missing_one_have_no_result(network: Build) -> None:
    net, X = network(GRU, seed=1), rows_of(12)
    wanted = net.predict(X)
    X[4, 1] = X[9, 0] = np.nan
    found = net.predict(X, missing="nan")
    known = [0, 1, 2, 3, 6, 7, 8]
    np.testing.assert_array_equal(found[known], wanted[known])
    assert np.isnan(found[[4, 5, 9, 10, 11]]).all()
    assert np.isnan(net.row_losses(X, missing="nan")["total_loss"]).sum() == 5


TRUTHS: list[tuple[str, str, tuple[int, int], float, str]] = [
    ("bce", BCE, (3, 2), 17, r"is 17 at row 4, column 3 .*net\.cfg:12 \[cost\] wants 0 to 1: divide .*-scale"),
    ("bce below", BCE, (600, 4), -0.25, r"is -0\.25 at row 601, column 5 .* wants 0 to 1: bring .* type=sse"),
    ("logistic", LOGISTIC, (1, 1), 1.5, r"truth is 1\.5 at row 2, column 2 .*\[logistic\] wants 0 to 1"),
    ("class of two", CLASSES, (2, 2), 2, r"truth is 2 at row 3, column 3 .*\[softmax\] wants distributions: .*one-hot"),
    ("negative class", CLASSES, (2, 0), -1, r"truth is -1 at row 3, column 1 "),
    ("two classes", CLASSES, (0, 1), 1, r"truth adds up to 2 in row 1, columns 1 to 3 "),
    ("no class", CLASSES, (0, 0), 0, r"truth adds up to 0 in row 1, columns 1 to 3 "),
    ("second group", GROUPS, (5, 4), 0.5, r"truth adds up to 1\.5 in row 6, columns 4 to 6 "),
    ("pixel", PIXELS, (0, 3), 0.75, r"truth adds up to 1\.75 in row 1, columns 2, 4 \.\.\. 6 "),
]


@pytest.mark.parametrize(("text", "place", "value", "message"), [case[1:] for case in TRUTHS], ids=[case[0] for case in TRUTHS])
def test_a_truth_that_its_loss_cannot_take_is_refused(
    text: str, place: tuple[int, int], value: float, message: str, network: Build
) -> None:
    net = network(text, seed=1)
    X, n = rows_of(700, net.inputs), net.truths
    one = one_hot(700)
    truth = X.copy() if n == 5 else {3: one, 6: np.concatenate([one, one], 1)}[n]
    if text == PIXELS:
        X = truth = one.repeat(2, axis=1)  # (3 channels, 2 pixels): both of one class
        truth = truth.copy()
    assert np.isfinite(net.train(X, truth=truth, epochs=1).total_loss).all()
    before, seen = net.predict(X), net.seen
    truth[place] = value
    for call in (
        lambda: net.train(X, truth=truth, epochs=1), lambda: net.evaluate(X, truth), lambda: net.row_losses(X, truth),
        lambda: net.train(X[:8], truth=truth[9:17], epochs=1, valid=(X, truth)),
    ):  # fmt: skip
        with pytest.raises(errors.UsageError, match=message):
            call()
    assert net.seen == seen
    np.testing.assert_array_equal(net.predict(X), before)


def test_rows_beyond_0_to_1_are_no_truth_of_an_autoencoder_with_bce(network: Build) -> None:
    net, X = network(BCE), rows_of(9)
    X[2, 1] = 255
    for call in (lambda: net.train(X, epochs=1), lambda: net.evaluate(X), lambda: net.row_losses(X)):
        with pytest.raises(errors.UsageError, match=r"x is 255 at row 3, column 2 .*wants 0 to 1"):
            call()
    assert np.isfinite(net.predict(X)).all() and np.isfinite(net.encode(X)[0]).all()


def test_a_truth_may_miss_its_range_by_rounding(network: Build) -> None:
    X = rows_of(9)
    X[1, 1], X[2, 2] = np.nextafter(np.float32(1), np.float32(2)), -1e-7
    assert np.isfinite(network(BCE, seed=1).train(X, epochs=1).total_loss).all()
    shares = np.full((9, 3), 0.33)
    assert np.isfinite(network(CLASSES, seed=1).train(X, truth=shares, epochs=1).total_loss).all()


def test_a_truth_by_hand_is_checked_but_may_weight_classes(network: Build) -> None:
    for text, bad in ((BCE, 1.01), (LOGISTIC, -0.01), (CLASSES, -0.5), (MASKED, np.nan), (CLASSES, np.inf)):
        net = network(text, seed=1)
        X, truth = rows_of(2), np.full((2, net.truths), 0.25)
        net.forward(X, truth)
        truth[1, 1] = bad
        with pytest.raises(errors.UsageError, match="row"):
            net.forward(X, truth)
    net.forward(X, [[0, 3, 0], [0, 0, 0]], train=True)


def test_masked_truths_are_left_out(network: Build) -> None:
    net, truth = network(CLASSES, seed=1), one_hot(9)
    truth[2] = -1234
    losses = net.row_losses(rows_of(9), truth)["image_loss"]
    assert losses[2] == 0 and (losses[:2] > 0).all()
    net.train(rows_of(9), truth=truth, epochs=1)
    net = network(MASKED, seed=1)
    truth[1, 1] = 1e6
    assert np.isfinite(net.train(rows_of(9), truth=truth, epochs=1, learning_rate=1e-9).total_loss).all()
    with pytest.raises(errors.UsageError, match=r"-1234 at row 3"):
        network(LOGISTIC).evaluate(rows_of(9), np.clip(truth, -1234, 1))


def lost(net: dv.Network, X: np.ndarray, **options: object) -> str:
    with pytest.raises(errors.NumericError) as caught:
        net.train(X, epochs=9, **options)  # type: ignore[arg-type]
    return str(caught.value)


def test_a_loss_that_is_no_number_is_laid_to_the_data_when_they_are_large(network: Build) -> None:
    X = rows_of(40)
    X[:, 3] *= 1e25
    X[7, 3] = -2e25
    message = r"the loss became nan in epoch 1: column 4 reaches 2e+25: scale the data (-scale, or data_scale= in [net]); "
    told = lost(network(VAE, seed=1), X)
    assert told.startswith(message + "first in batch 1, in ") and told.endswith("; nothing was learned")
    sse = CLASSES.replace("softmax", "cost")
    truth = np.where(np.arange(3) == 1, 1e30, one_hot(40)).astype(np.float32)
    assert "epoch 1: column 2 of the truth reaches 1e+30: scale" in lost(network(sse, seed=1), rows_of(40), truth=truth)


def test_a_loss_that_is_no_number_is_laid_to_the_rate_when_data_are_sane(network: Build) -> None:
    told = lost(network(VAE, seed=1), rows_of(40), learning_rate=1e6)
    assert "a smaller learning rate may help" in told and "-nan" not in told and "scale" not in told


@pytest.mark.parametrize("scale", [1e4, 1e8, 1e12, 1e15])
def test_large_values_in_one_column_train_from_the_first_pass(scale: float, device: str, network: Build) -> None:
    X = rows_of(40)
    X[:, 3] *= scale
    net = network(VAE.replace("learning_rate=0.001", "adam=1\nlearning_rate=0.001"), device=device, seed=1)
    assert np.isfinite(net.train(X, epochs=2).total_loss).all()
    assert np.isfinite(net.evaluate(X)["total_loss"]) and np.isfinite(net.row_losses(X)["latent_loss"]).all()


@pytest.mark.parametrize("size", [1e5, 1e20, 1e30, 3e38])
def test_log_variances_and_means_of_any_size_have_a_finite_kl(size: float, device: str, network: Build) -> None:
    text = "[net]\nbatch=2\ninputs=4\n[sampling]\n[connected]\noutput=1\nactivation=linear\n"
    net = network(text, device=device)
    for sign in (1, -1):
        x = np.array([[sign * size, 0, 0, sign * size], [1, 2, 3, 4]], np.float32)
        mean, log_variance = net.encode(x)
        np.testing.assert_array_equal(mean, x[:, 2:])
        assert 10 < sign * log_variance[0, 0] < 55 and log_variance[1].tolist() == [1, 2]
        net.set_noise(0, np.full((2, 2), 3.0))
        net.forward(x)
        assert np.isfinite(net.layers[0].output).all()
        assert np.isfinite(net.objective)


@pytest.mark.parametrize("recurrent", [False, True])
def test_a_watch_ends_jobs_and_leaves_the_network_usable(recurrent: bool, device: str, network: Build) -> None:
    net = network(GRU if recurrent else VAE, device=device, seed=1)
    X, handle = rows_of(999), net._handle
    out, losses = np.empty((999, 8), np.float32), ffi.new("dn_report *")
    x, y = dn_rows(X), pointer(out)

    def results() -> list[np.ndarray]:
        found = [net.predict(X), np.array(list(defined(net.evaluate(X)).values())), net.row_losses(X)["total_loss"]]
        return found if recurrent else [*found, net.encode(X)[0], net.sample(X[:, :2])]

    jobs: list[Callable[[], int]] = [
        lambda: lib.dn_net_predict(handle, x, y), lambda: lib.dn_net_reconstruct(handle, x, y),
        lambda: lib.dn_net_evaluate(handle, x, losses),
        lambda: lib.dn_net_evaluate_rows(handle, x, y, ffi.NULL, ffi.NULL),
    ]  # fmt: skip
    if not recurrent:
        jobs += [lambda: lib.dn_net_encode(handle, x, y, ffi.NULL), lambda: lib.dn_net_decode(handle, x, y)]
    asked: list[int] = []

    @ffi.callback("int(void *)")
    def stop(_: object) -> int:
        asked.append(1)
        return len(asked) > 1  # not the first time, which is before the first layer

    wanted = results()
    for job in jobs:
        asked.clear()
        lib.dn_watch(stop, ffi.NULL)
        try:
            while (status := job()) == lib.DN_OK:
                pass
        finally:
            lib.dn_watch(ffi.NULL, ffi.NULL)
        assert status == lib.DN_E_INTERRUPTED and len(asked) == 2
        for ours, other in zip(results(), wanted, strict=True):
            np.testing.assert_array_equal(ours, other)
