"""The main job, as its users run it: train on the bundled digits, from the shell and from Python."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers import BINARY, MODULE, ROOT, defined, knn_accuracy, only_of_one_build, program, run

import darknet_vae as dv

CFG, CSV = str(ROOT / "cfg" / "vae_digits.cfg"), str(ROOT / "data" / "digits.csv")
BOTH = pytest.mark.parametrize("kind", ["binary", "python"])


@pytest.mark.timing
def test_two_latents_of_the_digits_tell_the_labels_within_ten_seconds(digits: tuple[np.ndarray, np.ndarray]) -> None:
    started = time.monotonic()
    done = run([*MODULE, "train", CFG, CSV])
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - started < 10
    z = dv.load_csv("latent_space.txt")
    assert z.shape == (len(digits[0]), 2)
    assert knn_accuracy(z, digits[1]) >= 0.80
    lines = [line for line in done.stderr.splitlines() if line.startswith("epoch ")]
    assert len(lines) == 100
    assert "image_loss" in lines[0] and "latent_loss" in lines[0] and "rows/s" in lines[0]


def test_binary_and_python_give_the_same_weights_bit_for_bit() -> None:
    only_of_one_build()
    losses = []
    for kind in ("binary", "python"):
        done = run(
            [*program(kind), "train", CFG, CSV, "-epochs", "3", "-seed", "7", "-save", f"{kind}.weights", "-json", "-quiet"]
        )
        assert done.returncode == 0, done.stderr
        assert not done.stderr
        losses.append(json.loads(done.stdout))
    assert Path("binary.weights").read_bytes() == Path("python.weights").read_bytes()
    net = dv.Network(CFG, seed=7)
    history = net.train(dv.load_csv(CSV, "label", 16), epochs=3)
    net.save("here.weights")
    assert Path("here.weights").read_bytes() == Path("python.weights").read_bytes()
    for result in losses:
        for name in ("image_loss", "latent_loss", "total_loss"):
            assert result[name] == pytest.approx(getattr(history, name)[-1], rel=1e-6)


def test_evaluate_gives_the_same_from_binary_and_python(digits: tuple[np.ndarray, np.ndarray]) -> None:
    net = dv.Network(CFG)
    net.train(digits[0], epochs=2)
    net.save("w.weights")
    here = net.evaluate(digits[0])
    for kind in ("binary", "python"):
        done = run([*program(kind), "evaluate", CFG, CSV, "-weights", "w.weights", "-json"])
        assert defined(json.loads(done.stdout)) == pytest.approx(defined(here), rel=1e-6)
    assert here["total_loss"] == pytest.approx(here["image_loss"] + 0.05 * here["latent_loss"], rel=1e-6)


def test_history_and_evaluate_agree_when_nothing_moves_and_nothing_is_drawn(digits: tuple[np.ndarray, np.ndarray]) -> None:
    net = dv.Network(ROOT / "cfg" / "autoencoder.cfg")
    history = net.train(digits[0], epochs=1, learning_rate=1e-30)
    assert history.image_loss[-1] == pytest.approx(net.evaluate(digits[0])["image_loss"], rel=1e-5)
    assert history.total_loss == history.image_loss


@BOTH
def test_previews_hold_ten_inputs_and_outputs_of_every_epoch(kind: str) -> None:
    done = run([*program(kind), "train", CFG, CSV, "-epochs", "2", "-output", "look.txt", "-quiet"])
    assert done.returncode == 0, done.stderr
    X = dv.load_csv(CSV, "label", 16)
    for epoch in range(3):
        np.testing.assert_array_equal(dv.load_csv(f"look_input_{epoch}.txt"), X[:10])
        assert dv.load_csv(f"look_output_{epoch}.txt").shape == (10, 64)
        assert not Path(f"look_output_{epoch}.txt").read_text().splitlines()[0].endswith(",")
    assert not Path("look_input_3.txt").exists()
    net = dv.Network.load(CFG, "vae.weights")
    np.testing.assert_allclose(dv.load_csv("look_output_2.txt"), net.reconstruct(X[:10]), rtol=1e-5, atol=1e-6)


@BOTH
def test_sample_encode_and_reconstruct_speak_csv(kind: str, digits: tuple[np.ndarray, np.ndarray]) -> None:
    if kind == "python":
        only_of_one_build()
    net = dv.Network(CFG)
    net.train(digits[0], epochs=2)
    net.save("w.weights")
    words, weights = program(kind), ["-weights", "w.weights"]
    z = np.array([[0, 0], [1, -1], [0.25, 2]], np.float32)
    dv.save_csv("z.csv", z)
    done = run([*words, "sample", CFG, "z.csv", *weights])
    np.testing.assert_array_equal(np.loadtxt(done.stdout.splitlines(), delimiter=",", dtype=np.float32), net.sample(z))
    done = run([*words, "sample", CFG, "-n", "5", "-seed", "3", *weights, "-output", "out.csv"])
    assert done.returncode == 0 and not done.stdout
    np.testing.assert_array_equal(dv.load_csv("out.csv"), net.sample(dv.sample_prior(5, 2, 3)))
    assert run([*words, "encode", CFG, CSV, *weights, "-output", "mean.csv"]).returncode == 0
    np.testing.assert_array_equal(dv.load_csv("mean.csv"), net.encode(digits[0])[0])
    assert run([*words, "reconstruct", CFG, CSV, "-N", "7", *weights, "-o", "back.csv"]).returncode == 0
    np.testing.assert_array_equal(dv.load_csv("back.csv"), net.reconstruct(digits[0][:7]))
    assert run([*words, "predict", CFG, CSV, "--rows", "7", *weights, "-o", "predict.csv"]).returncode == 0
    np.testing.assert_array_equal(dv.load_csv("predict.csv"), dv.load_csv("back.csv"))


def test_the_convolutional_autoencoder_learns_and_decodes_its_codes(digits: tuple[np.ndarray, np.ndarray]) -> None:
    cfg = str(ROOT / "cfg" / "autoencoder.cfg")
    words = [str(BINARY), "autoencoder"]
    done = run([*words, cfg, CSV, "-epochs", "20", "-save", "ae.weights", "-json"])
    assert done.returncode == 0, done.stderr
    loss = json.loads(done.stdout)["image_loss"]
    mean_image = ((digits[0] - digits[0].mean(0)) ** 2).sum(1).mean()
    assert loss < 0.5 * mean_image
    done = run([*words, "train", cfg, CSV, "-epochs", "1", "-weights", "ae.weights", "-save", "more.weights", "-json"])
    assert json.loads(done.stdout)["image_loss"] < 1.5 * loss  # it went on, and did not begin anew
    net = dv.Network.load(cfg, "ae.weights")
    assert net.latent_size == 16 and not net.variational
    code, log_variance = net.encode(digits[0])
    assert np.isneginf(log_variance).all()
    np.testing.assert_array_equal(net.sample(code), net.reconstruct(digits[0]))
    dv.save_csv("code.csv", code[:3])
    done = run([str(BINARY), "vae", "sample", cfg, "code.csv", "-weights", "ae.weights"])
    decoded = np.loadtxt(done.stdout.splitlines(), delimiter=",", dtype=np.float32)
    np.testing.assert_allclose(decoded, net.reconstruct(digits[0][:3]), rtol=1e-4, atol=1e-6)


def test_the_convolutional_vae_learns_logits_and_gives_probabilities() -> None:
    X = np.zeros((64, 784), np.float32)
    X.reshape(64, 28, 28)[:, 8:20, 8:20] = 1
    net = dv.Network(ROOT / "cfg" / "vae_conv.cfg")
    history = net.train(X, epochs=30)
    assert history.total_loss[-1] < 0.5 * history.total_loss[0]
    back = net.reconstruct(X[:5])
    assert back.min() >= 0 and back.max() <= 1
    np.testing.assert_allclose(back, 1 / (1 + np.exp(-net.predict(X[:5]))), rtol=1e-5)


def test_training_stops_at_max_batches_and_takes_a_last_partial_batch(network: object) -> None:
    text = "[net]\nbatch=4\ninputs=3\nmax_batches=7\n[connected]\noutput=3\nactivation=linear\n[cost]\n"
    net = network(text)  # type: ignore[operator]
    X = np.random.default_rng(0).normal(size=(10, 3)).astype(np.float32)
    history = net.train(X)  # three batches an epoch, the last of two rows
    assert len(history.image_loss) == 3
    assert net.seen == 24
    assert len(net.train(X, epochs=2).image_loss) == 2


ROWS = "[net]\nbatch=4\ninputs=6\n"
CODE = "[connected]\noutput=4\nactivation=tanh\n[sampling]\nbeta=0.7\n[connected]\noutput=6\nactivation=linear\n"
LOSSES = {
    "vae": ROWS + CODE + "[cost]\ntype=sse\n",
    "bce": ROWS + CODE + "[cost]\ntype=bce\nscale=0.5\n",
    "two_costs": ROWS + CODE + "[cost]\ntype=L1\n[route]\nlayers=-2\n[cost]\ntype=smooth\n",
    "silent": ROWS + CODE + "[softmax]\nnoloss=1\n[cost]\n",
    "softmax": ROWS + "[connected]\noutput=6\nactivation=linear\n[softmax]\ngroups=2\ntemperature=2\n",
    "logistic": ROWS + "[connected]\noutput=6\nactivation=linear\n[logistic]\n",
    "sequences": ROWS + "time_steps=3\n[gru]\noutput=6\n[cost]\n",
}


@pytest.mark.parametrize("kind", LOSSES)
def test_the_losses_of_rows_are_those_of_each_alone(kind: str, device: str, network: Callable[..., dv.Network]) -> None:
    net = network(LOSSES[kind], seed=1, device=device)
    random = np.random.default_rng(0)
    X, truth = random.uniform(0.1, 0.9, size=(2, 15, 6))
    if kind == "softmax":  # whose truths are distributions
        X, truth = ((a.reshape(15, 2, 3) / a.reshape(15, 2, 3).sum(2, keepdims=True)).reshape(15, 6) for a in (X, truth))
    for t in (None, truth):
        rows, mean = net.row_losses(X, t), net.evaluate(X, t)
        for name in ("image_loss", "latent_loss", "total_loss"):
            assert rows[name].shape == (15,) and rows[name].dtype == np.float32
            assert rows[name].mean() == pytest.approx(mean[name], rel=1e-5, abs=1e-6)
        for at in range(0, 15, 3):
            alone = net.evaluate(X[at : at + 3], None if t is None else t[at : at + 3])
            assert rows["total_loss"][at : at + 3].mean() == pytest.approx(alone["total_loss"], rel=1e-5)


def test_losses_of_rows_are_refused_where_they_make_no_sense(network: Callable[..., dv.Network]) -> None:
    head = network("[net]\nheight=3\nwidth=3\nchannels=8\n[yolo]\nanchors=1,1\nclasses=3\n")
    with pytest.raises(dv.errors.UsageError, match=r"net\.cfg:5: the loss of a \[yolo\] is not known by row"):
        head.row_losses(np.zeros((1, 72)), np.zeros((1, 450)))
    with pytest.raises(dv.errors.UsageError, match="X has 2 rows, truth has 1"):
        network(LOSSES["vae"]).row_losses(np.zeros((2, 6)), np.zeros((1, 6)))
    with pytest.raises(dv.errors.UsageError, match="has no cost layer"):
        network(ROWS + "[connected]\n").row_losses(np.zeros((1, 6)))


@pytest.mark.parametrize("kind", ["binary", "python"])
def test_anomaly_scores_find_the_rows_that_do_not_belong(kind: str) -> None:
    """Digits upside down lose more than the digits that the network was trained on."""
    cfg, data = ROOT / "cfg" / "vae_digits.cfg", ROOT / "data" / "digits.csv"
    words = program(kind)
    assert run([*words, "train", str(cfg), str(data), "-epochs", "40", "-quiet"]).returncode == 0
    table = dv.load_table(data, label_column="label")
    dv.save_csv("turned.csv", table.X[:300, ::-1])
    scores = {}
    for name, path in (("as_they_are", str(data)), ("turned", "turned.csv")):
        done = run([*words, "evaluate", str(cfg), path, "-weights", "vae.weights", "-N", "300", "-output", f"{name}.txt"])
        assert done.returncode == 0 and "total_loss" in done.stdout, done.stderr
        scores[name] = dv.load_csv(f"{name}.txt")
        assert scores[name].shape == (300, 1)
        assert float(done.stdout.split("total_loss")[1]) == pytest.approx(scores[name].mean(), rel=1e-4)
    ranks = (scores["turned"] > scores["as_they_are"].T).mean()  # area under the ROC curve
    assert ranks > 0.8
