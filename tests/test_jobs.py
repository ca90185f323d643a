"""Jobs of many rows: they run in wide passes, on parameters that are shared, and leave the network as it was."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from helpers import ROOT, defined

import darknet_vae as dv
from darknet_vae._lib import lib

Build = Callable[..., dv.Network]
VAE = """[net]
batch=4
inputs=21
[connected]
output=19
activation=leaky
[connected]
output=6
activation=linear
[sampling]
[connected]
output=17
batch_normalize=1
activation=tanh
[dropout]
[connected]
output=21
activation=linear
[cost]
type=bce
"""
CLASSIFIER = "[net]\nbatch=2\ninputs=5\n[connected]\noutput=3\nactivation=linear\n[softmax]\n"


def rows_of(net: dv.Network, n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0.1, 0.9, size=(n, net.inputs)).astype(np.float32)


def results(net: dv.Network, n: int) -> dict[str, np.ndarray]:
    x, z = rows_of(net, n), dv.sample_prior(n, net.latent_size, seed=1)
    mean, log_variance = net.encode(x)
    losses = np.array(list(defined(net.evaluate(x)).values()))
    truth = np.array(list(defined(net.evaluate(x, rows_of(net, n, 5))).values()))
    return {
        "predict": net.predict(x), "reconstruct": net.reconstruct(x), "sample": net.sample(z), "mean": mean,
        "log_variance": log_variance, "losses": losses, "losses of a truth": truth,
    }  # fmt: skip


def assert_close(one: dict[str, np.ndarray], two: dict[str, np.ndarray]) -> None:
    for name in one:
        np.testing.assert_allclose(one[name], two[name], rtol=2e-5, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("rows", [5, 600])
def test_many_rows_give_what_a_batch_as_large_gives(rows: int, device: str, network: Build) -> None:
    net, whole = network(VAE, seed=3, device=device), network(VAE, device=device, batch=rows)
    net.train(rows_of(net, 8), epochs=1)
    net.save("w.weights")
    whole.load_weights("w.weights")
    assert_close(results(net, rows), results(whole, rows))
    assert net.batch == 4
    net.train(rows_of(net, 12), epochs=2)  # the wide passes see what is learned afterwards
    net.save("w.weights")
    whole.load_weights("w.weights")
    assert_close(results(net, rows), results(whole, rows))
    assert net.reconstruct(rows_of(net, rows)).min() >= 0 and net.predict(rows_of(net, rows)).min() < 0  # data, logits


def test_wide_passes_give_a_row_the_same_bits_for_any_number_of_threads() -> None:
    found = []
    for threads in (1, 2, 3):
        net = dv.Network(ROOT / "cfg" / "vae_connected.cfg", seed=1, threads=threads)
        found.append(results(net, 700))
    for other in found[1:]:
        for name, value in found[0].items():
            np.testing.assert_array_equal(value, other[name], err_msg=name)


def test_a_job_leaves_batch_gradients_and_statistics_as_they_were(network: Build) -> None:
    net, other = network(VAE, seed=1), network(VAE, seed=1)
    x = rows_of(net, 4)
    for one in (net, other):
        one.forward(x, x, train=True)
        one.backward()
    results(net, 100)
    assert (net.batch, net.seen) == (4, 4)
    for one in (net, other):
        one.update()
        one.forward(x, x, train=True)
        one.backward()
    for mine, theirs in zip(net.layers, other.layers, strict=True):
        np.testing.assert_array_equal(mine.output, theirs.output)
        np.testing.assert_array_equal(mine.delta, theirs.delta)
        for name, gradient in mine.grads.items():
            np.testing.assert_array_equal(gradient, theirs.grads[name])
        for name, value in mine.params.items():
            np.testing.assert_array_equal(value, theirs.params[name])


def test_the_wide_plan_is_counted_kept_and_let_go_by_a_resize(network: Build) -> None:
    net = network(VAE)
    before = net.memory_bytes
    net.predict(rows_of(net, 4))
    assert net.memory_bytes == before
    net.predict(rows_of(net, 5))
    wide = net.memory_bytes
    assert 512 * net.inputs * 4 < wide - before < 32 << 20
    results(net, 2000)
    kept = net.memory_bytes  # with another plan, for the draws of evaluate
    assert wide <= kept < wide + (33 << 20)
    results(net, 2000)
    assert net.memory_bytes == kept
    net.resize(batch=8)
    assert net.memory_bytes < wide
    net.predict(rows_of(net, 9))
    assert net.memory_bytes > wide
    large = network("[net]\nbatch=2\nheight=1024\nwidth=1024\nchannels=3\n[avgpool]\n")
    before = large.memory_bytes  # 12 MB a row: two are the most that 32 MB hold
    large.predict(np.ones((5, large.inputs), np.float32))
    assert large.memory_bytes == before


def test_without_memory_for_it_jobs_run_in_the_batch(network: Build) -> None:
    net, other = network(VAE, seed=1), network(VAE, seed=1)
    before, expected = net.memory_bytes, other.predict(rows_of(net, 50))
    z, failed = dv.sample_prior(50, net.latent_size), 0
    while net.memory_bytes == before:
        failed += 1
        lib.dn_sys_fail_at(failed)
        try:
            np.testing.assert_allclose(net.predict(rows_of(net, 50)), expected, rtol=2e-5, atol=1e-5)
        finally:
            lib.dn_sys_fail_at(0)
    assert failed > 5
    np.testing.assert_array_equal(net.sample(z), other.sample(z))


def test_recurrent_networks_keep_their_passes(network: Build) -> None:
    text = "[net]\nbatch=6\nsubdivisions=3\ntime_steps=3\ninputs=4\n[gru]\noutput=5\n"
    net, other = network(text, seed=1), network(text, seed=1)
    x, before, sequences = rows_of(net, 30), net.memory_bytes, []
    for at in range(0, 30, 3):
        other.reset_state()
        sequences.append(other.forward(x[at : at + 3]))
    np.testing.assert_allclose(net.predict(x), np.concatenate(sequences), rtol=1e-6, atol=1e-7)
    assert net.memory_bytes == before


@pytest.mark.parametrize("kind", ["vae", "classifier"])
@pytest.mark.parametrize("early", [False, True])
def test_held_out_rows_are_scored_in_passes_that_their_buffers_hold(kind: str, early: bool, device: str, network: Build) -> None:
    """The wide plan comes before the training or with it; other jobs use it in between."""
    net = network(VAE if kind == "vae" else CLASSIFIER, seed=2, device=device)
    random = np.random.default_rng(0)
    x, held = rows_of(net, 40), rows_of(net, 1100, 1)
    classes = np.eye(3, dtype=np.float32)
    truth, held_truth = (classes[random.integers(3, size=n)] for n in (40, 1100))
    if early:
        net.predict(held)
    found = []

    def look(progress: dv.Progress) -> None:
        net.predict(held[:700])  # passes of others in between
        losses = net.evaluate(held) if kind == "vae" else net.evaluate(held, held_truth)
        found.append([losses["total_loss"], losses.get("accuracy", 0)])

    if kind == "vae":
        history = net.train(x, epochs=3, valid=held, callback=look)
        np.testing.assert_allclose(history.valid_loss, [loss for loss, _ in found], rtol=1e-9)
    else:
        history = net.train(x, truth=truth, epochs=3, valid=(held, held_truth), callback=look)
        np.testing.assert_allclose(history.accuracy, [accuracy for _, accuracy in found], rtol=1e-9)
    if kind == "vae":  # fewer rows than a batch
        few = net.train(x, epochs=1, valid=held[:3])
        assert few.valid_loss[-1] == pytest.approx(net.evaluate(held[:3])["total_loss"], rel=1e-9)


def test_results_and_rows_may_begin_anywhere(network: Build) -> None:
    """Layers read the caller's rows themselves, wherever they begin."""
    net = network(VAE, seed=1)
    x = rows_of(net, 900)
    odd = np.frombuffer(b"\0\0\0\0" + x.tobytes(), np.float32)[1:].reshape(x.shape)
    for part in (slice(0, 900), slice(1, 899), slice(3, 520)):
        np.testing.assert_array_equal(net.predict(odd[part]), net.predict(np.array(x[part])))
    np.testing.assert_array_equal(odd, x)


def test_no_rows_are_no_work(network: Build) -> None:
    net = network(VAE)
    assert net.predict(np.zeros((0, net.inputs))).shape == (0, net.outputs)
    assert net.sample(np.zeros((0, net.latent_size))).shape == (0, net.outputs)
    assert net.encode(np.zeros((0, net.inputs)))[0].shape == (0, net.latent_size)


def test_results_go_where_out_says(network: Build) -> None:
    net = network(VAE, seed=1)
    x, z = rows_of(net, 50), dv.sample_prior(50, net.latent_size)
    out = np.full((50, net.outputs), np.nan, np.float32)
    for call, rows in ((net.predict, x), (net.reconstruct, x), (net.sample, z)):
        expected = call(rows)
        out[:] = np.nan
        assert call(rows, out=out) is out
        np.testing.assert_array_equal(out, expected)
    frozen = out.copy()
    frozen.flags.writeable = False
    wrong = [out[:49], out.astype(np.float64), np.asfortranarray(out), frozen, out.tolist(), x[:, : net.outputs]]
    for bad in wrong:
        with pytest.raises(ValueError, match="out"):
            net.predict(x, out=bad)  # type: ignore[arg-type]
