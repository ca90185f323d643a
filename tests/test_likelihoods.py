"""The likelihoods of [cost]: values, missing values, several heads on one output, learned and optimal spreads, draws."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers import ON_A_GPU, program, run
from likelihoods import HEADS, Head, bounded, several
from test_gradients import Problem, check

import darknet_vae as dv

Build = Callable[..., dv.Network]
A = np.ndarray
DENSE = "[connected]\noutput=5\nactivation=tanh\n"
MIXED = [
    HEADS[name] for name in ("bernoulli", "gaussian, sigma=value", "categorical, classes=5", "negative_binomial", "categorical")
]


def body(values: int, inputs: int = 6, batch: int = 4, more: str = "") -> str:
    return f"[net]\nbatch={batch}\ninputs={inputs}\n{more}" + DENSE + f"[connected]\noutput={values}\nactivation=linear\n"


def vae(heads: list[Head], batch: int = 16, more: str = "") -> str:
    """An autoencoder of all their columns."""
    columns, values = sum(head.columns for head in heads), sum(head.values for head in heads)
    text = f"[net]\nbatch={batch}\ninputs={columns}\noptimizer=adam\nlearning_rate=0.01\n{more}" + DENSE
    text += "[connected]\noutput=4\nactivation=linear\n[sampling]\nbeta=1\n"
    return text + DENSE + f"[connected]\noutput={values}\nactivation=linear\n" + several(heads)


def rows_of(heads: list[Head], rows: int, seed: int = 0) -> A:
    random = np.random.default_rng(seed)
    return np.concatenate([head.truth(random, rows) for head in heads], axis=1).astype(np.float32)


def fill(net: dv.Network, seed: int = 0, size: float = 0.5) -> None:
    random = np.random.default_rng(seed)
    for layer in net.layers:
        for name in layer.grads:
            layer.set(name, size * random.normal(size=layer.params[name].shape))


def with_head(head: Head, network: Build, seed: int = 0, **options: object) -> tuple[dv.Network, A, A]:
    """A network with random parameters, rows, and their truth."""
    net = network(body(head.values) + head.text, **options)
    fill(net, seed)
    x = np.random.default_rng(seed + 1).normal(size=(9, 6)).astype(np.float32)
    return net, x, rows_of([head], 9, seed)


# ---- values


@pytest.mark.parametrize("name", [name for name in HEADS if "optimal" not in name])
def test_the_loss_of_every_row_is_minus_log_p_with_all_constants(name: str, device: str, network: Build) -> None:
    head = HEADS[name]
    net, x, truth = with_head(head, network, device=device)
    learned = next(iter(net.layers[-1].params.values()), None) if head.learned else None
    wanted = head.surprise(net.predict(x), truth, learned).sum(axis=1)
    np.testing.assert_allclose(net.row_losses(x, truth)["image_loss"], wanted, rtol=1e-4, atol=1e-5)
    assert net.evaluate(x, truth)["image_loss"] == pytest.approx(wanted.mean(), rel=1e-5)
    np.testing.assert_allclose(net.reconstruct(x), head.mean(net.predict(x)), rtol=1e-5, atol=1e-6)


def test_the_probabilities_of_all_counts_add_up_to_one(network: Build) -> None:
    """Of codes too, and a density integrates to 1: the constants are those of a distribution."""
    for name, points, width in [("poisson", np.arange(4000.0), 1), ("negative_binomial, dispersion=2.5", np.arange(4000.0), 1),
                                ("gaussian, sigma=0.7", np.linspace(-60, 60, 40001), 0.003), ("bernoulli", np.array([0.0, 1]), 1),
                                ("laplace, sigma=0.7", np.linspace(-60, 60, 40001), 0.003),
                                ("student_t, sigma=0.7", np.linspace(-300, 300, 200001), 0.003),
                                ("categorical, classes=5", np.arange(5.0), 1)]:  # fmt: skip
        head = Head(**{**HEADS[name].__dict__, "columns": 1})
        net = network(body(head.values) + head.text)
        fill(net)
        x = np.tile(np.random.default_rng(0).normal(size=(1, 6)), (len(points), 1))
        log_p = -net.row_losses(x, points[:, None])["image_loss"].astype(float)
        assert np.exp(log_p).sum() * width == pytest.approx(1, abs=2e-4), name


@pytest.mark.parametrize("name", HEADS)
def test_a_missing_truth_adds_nothing_to_loss_and_gradient(name: str, device: str, network: Build) -> None:
    head = HEADS[name]
    net, x, truth = with_head(head, network, device=device)
    truth = truth[:4].copy()
    truth[1] = np.nan  # a row of which nothing is known
    net.forward(x[:4], truth)
    net.backward()
    delta = net.layers[1].delta
    assert np.isfinite(delta).all() and (delta[1] == 0).all() and (delta[0] != 0).any()
    losses = net.row_losses(x[:4], truth)["image_loss"]
    assert losses[1] == 0 and losses[0] != 0


def test_bernoulli_trains_as_bce(digits: tuple[A, A], network: Build) -> None:
    text = (Path(__file__).parents[1] / "cfg" / "vae_digits.cfg").read_text()
    assert "type=sse" in text or "type=" not in text
    weights = []
    for kind in ("bce", "bernoulli"):
        net = network(re.sub(r"(\[cost\]\n)(type=\w+)?", rf"\1type={kind}", text), seed=1)
        net.train(digits[0][:500], epochs=2)
        weights.append(np.concatenate([value.ravel() for layer in net.layers for value in layer.params.values()]))
    np.testing.assert_allclose(*weights, atol=1e-4)


@pytest.mark.parametrize("name", [name for name in HEADS if "optimal" not in name])
def test_objective_and_gradients_of_the_same_rows_do_not_depend_on_the_batch(name: str, network: Build) -> None:
    head = HEADS[name]
    x, truth = np.random.default_rng(0).normal(size=(256, 6)).astype(np.float32), rows_of([head], 256)
    truth[3::7, 0] = np.nan
    results = []
    for batch in (4, 32, 256):
        net = network(body(head.values, batch=batch) + head.text)
        fill(net)
        objective = 0.0
        for at in range(0, 256, batch):
            net.forward(x[at : at + batch], truth[at : at + batch])
            net.backward()
            objective += net.objective
        results.append(np.concatenate([[objective], *(layer.grads[k].ravel() for layer in net.layers for k in layer.grads)]))
    for other in results[1:]:
        np.testing.assert_allclose(other, results[0], rtol=2e-5, atol=2e-5 * np.abs(results[0][1:]).max())


@pytest.mark.parametrize("name", [*HEADS, "mixed"])
def test_training_is_the_same_bits_with_any_number_of_threads(name: str, network: Build) -> None:
    heads = MIXED if name == "mixed" else [HEADS[name]]
    width = sum(head.values for head in heads)
    text = body(width, batch=64, more="optimizer=adam\n") + (several(heads) if len(heads) > 1 else heads[0].text)
    x, truth = np.random.default_rng(0).normal(size=(200, 6)), rows_of(heads, 200)
    found = []
    for threads in (1, 2, 3):
        net = network(text, seed=1, threads=threads)
        net.train(x, 3, truth)
        found.append(b"".join(value.tobytes() for layer in net.layers for value in layer.params.values()))
    assert found[0] == found[1] == found[2]


# ---- several heads


def test_heads_share_an_output_and_the_truth(device: str, network: Build) -> None:
    columns, width = sum(h.columns for h in MIXED), sum(h.values for h in MIXED)
    net = network(body(width) + several(MIXED), device=device)
    fill(net)
    x, truth = np.random.default_rng(0).normal(size=(9, 6)).astype(np.float32), rows_of(MIXED, 9)
    raw = net.predict(x)
    assert raw.shape == (9, width) and net.truths == columns
    wanted, means, at, first = np.zeros(9), [], 0, 0
    costs = [layer for layer in net.layers if layer.type == "cost"]
    for head, layer in zip(MIXED, costs, strict=True):
        learned = layer.params[next(iter(head.learned))] if head.learned else None
        wanted += head.surprise(raw[:, at : at + head.values], truth[:, first : first + head.columns], learned).sum(axis=1)
        means.append(head.mean(raw[:, at : at + head.values]))
        at, first = at + head.values, first + head.columns
    np.testing.assert_allclose(net.row_losses(x, truth)["image_loss"], wanted, rtol=1e-5)
    found = net.evaluate(x, truth)
    assert found["image_loss"] == found["total_loss"] == pytest.approx(wanted.mean(), rel=1e-5)
    np.testing.assert_allclose(net.reconstruct(x), np.concatenate(means, axis=1), rtol=1e-5, atol=1e-6)
    error = np.concatenate(means, axis=1) - truth
    assert found["mse"] == pytest.approx((error**2).mean(), rel=1e-4)


def test_the_columns_of_heads_come_in_any_order(network: Build) -> None:
    """The values of the output are in the order of the heads, the columns of the truth where `columns` says."""
    first, second = HEADS["gaussian"], HEADS["bernoulli"]
    x, truth = np.random.default_rng(0).normal(size=(9, 6)), rows_of([first, second], 9)
    ordered = network(body(6) + several([first, second]))
    turned = network(body(6) + first.text + "columns = 3 - 5 \n" + second.text + "columns=0-2\n")
    for net in (ordered, turned):
        fill(net)
    swapped = np.concatenate([truth[:, 3:], truth[:, :3]], axis=1)
    assert turned.evaluate(x, swapped)["image_loss"] == ordered.evaluate(x, truth)["image_loss"]
    np.testing.assert_array_equal(turned.reconstruct(x)[:, 3:], ordered.reconstruct(x)[:, :3])


def test_scale_weighs_a_head_in_what_is_descended_and_reported(network: Build) -> None:
    heads = [HEADS["gaussian, sigma=learned"], HEADS["poisson"]]
    x, truth = np.random.default_rng(0).normal(size=(4, 6)), rows_of(heads, 4)
    parts = []
    for scale in ("1", "0.25"):
        net = network(body(6) + several(heads) + f"scale={scale}\n")
        fill(net)
        net.forward(x, truth)
        net.backward()
        costs = [float(layer.output.sum()) for layer in net.layers if layer.type == "cost"]
        parts.append(net.layers[1].delta)
        assert net.evaluate(x, truth)["image_loss"] == pytest.approx((costs[0] + float(scale) * costs[1]) / 4, rel=1e-6)
    np.testing.assert_array_equal(parts[0][:, :3], parts[1][:, :3])
    np.testing.assert_allclose(parts[0][:, 3:] * 0.25, parts[1][:, 3:], rtol=1e-6)


def test_an_autoencoder_of_a_mixed_table_learns(network: Build) -> None:
    random = np.random.default_rng(0)
    kind = random.integers(3, size=400)
    table = np.stack([kind == 0, kind + random.normal(size=400) * 0.1, random.poisson(3 * kind), kind], axis=1)
    text = "[net]\nbatch=20\ninputs=4\noptimizer=adam\nlearning_rate=0.01\n[connected]\noutput=16\nactivation=tanh\n"
    text += "[connected]\noutput=4\nactivation=linear\n[sampling]\nbeta=1\n[connected]\noutput=16\nactivation=tanh\n"
    text += "[connected]\noutput=7\nactivation=linear\n[cost]\ntype=bernoulli\ncolumns=0\n[cost]\ntype=gaussian\ncolumns=1\n"
    text += "sigma=learned\n[cost]\ntype=negative_binomial\ncolumns=2\n[cost]\ntype=categorical\nclasses=3\ncolumns=3\n"
    text = text.replace("output=7", "output=6")
    net = network(text, seed=1)
    first = net.evaluate(table)
    history = net.train(table, epochs=40)
    last = net.evaluate(table)
    assert last["total_loss"] < first["total_loss"] - 3
    assert history.total_loss[-1] < history.total_loss[0] - 2
    back = net.reconstruct(table)
    assert back.shape == table.shape
    assert (back[:, 3] == kind).mean() > 0.95 and ((back[:, 0] > 0.5) == (kind == 0)).mean() > 0.95
    assert math.exp(float(net.layers[-3].params["log_variance"][0]) / 2) == pytest.approx(0.1, abs=0.1)


def test_without_labels_the_truth_may_be_other_columns(tmp_path: Path) -> None:
    """-target in the binary: what the heads model is not the input."""
    random = np.random.default_rng(0)
    x = random.normal(size=(60, 3))
    y = random.poisson(np.exp(x[:, :1]))
    lines = ["a,b,c,count,seen"] + [
        ",".join(f"{v:.4f}" for v in row) + f",{n[0]},{int(n[0] > 0)}" for row, n in zip(x, y, strict=True)
    ]
    Path("t.csv").write_text("\n".join(lines) + "\n")
    Path("t.cfg").write_text(
        "[net]\nbatch=10\ninputs=3\nlearning_rate=0.05\n[connected]\noutput=2\nactivation=linear\n"
        "[cost]\ntype=poisson\ncolumns=0\n[cost]\ntype=bernoulli\n"
    )
    ran = run(
        [*program("binary"), "train", "t.cfg", "t.csv", "-target", "count,seen", "-epochs", "40", "-save", "t.weights", "-quiet"]
    )
    assert ran.returncode == 0, ran.stderr
    ran = run([*program("binary"), "reconstruct", "t.cfg", "t.csv", "-weights", "t.weights", "-target", "count,seen"])
    assert ran.returncode == 0, ran.stderr
    back = np.array([[float(v) for v in line.split(",")] for line in ran.stdout.splitlines() if line[0] in "-0123456789"])
    assert back.shape == (60, 2)
    assert np.corrcoef(back[:, 0], np.exp(x[:, 0]))[0, 1] > 0.9


# ---- spreads


@pytest.mark.parametrize("form", ["m.weights", "m.safetensors"])
@pytest.mark.parametrize("name", [name for name, head in HEADS.items() if head.learned or head.spread == "optimal"])
def test_learned_spreads_and_the_optimal_one_are_saved(name: str, form: str, network: Build) -> None:
    head = HEADS[name]
    text = body(head.values, more="optimizer=adam\n") + head.text
    net = network(text, seed=1)
    x, truth = np.random.default_rng(0).normal(size=(40, 6)), rows_of([head], 40)
    tensor = "log_dispersion" if head.kind == "negative_binomial" else "log_variance"
    assert (net.layers[-1].params[tensor] == 0).all()  # sigma 1, r 1
    net.train(x, 5, truth)
    assert (net.layers[-1].params[tensor] != 0).all()
    net.save(form)
    again = dv.Network.load(form) if form.endswith("safetensors") else dv.Network.load("net.cfg", form)
    np.testing.assert_array_equal(again.layers[-1].params[tensor], net.layers[-1].params[tensor])
    assert again.evaluate(x, truth) == net.evaluate(x, truth)


def test_a_learned_spread_finds_the_noise_of_the_data(network: Build) -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=(2000, 2))
    noise = np.array([0.05, 0.5, 2.0])
    truth = x @ random.normal(size=(2, 3)) + noise * random.normal(size=(2000, 3))
    text = "[net]\nbatch=50\ninputs=2\noptimizer=adam\nlearning_rate=0.02\npolicy=cosine\nmax_batches=1200\n"
    text += "[connected]\noutput=3\nactivation=linear\n[cost]\ntype=gaussian\nsigma=column\n"
    net = network(text, seed=1)
    net.train(x, 30, truth)
    np.testing.assert_allclose(np.exp(net.layers[-1].params["log_variance"] / 2), noise, rtol=0.1)


def test_the_optimal_spread_is_the_mean_squared_error_in_closed_form(device: str, network: Build) -> None:
    net, x, truth = with_head(HEADS["gaussian, sigma=optimal"], network, device=device)
    truth[2, 1] = np.nan
    net.forward(x[:4], truth[:4], train=True)
    error = (truth[:4] - net.layers[1].output).astype(float)
    variance, known = np.nanmean(error**2), np.isfinite(error).sum()
    assert net.cost == pytest.approx(known / 2 * (math.log(2 * math.pi * variance) + 1), rel=1e-6)
    net.backward()  # Darknet's sign
    np.testing.assert_allclose(net.layers[1].delta, np.nan_to_num(error) / variance, rtol=1e-5)
    log_variance, passes = (float(net.layers[-1].params[name][0]) for name in ("log_variance", "passes"))
    assert (log_variance, passes) == (pytest.approx(math.log(variance), rel=1e-6), 1)
    # afterwards and outside training: the running mean over passes
    net.forward(x[4:8], truth[4:8], train=True)
    second = float(((truth[4:8] - net.layers[1].output).astype(float) ** 2).mean())
    both = (variance + second) / 2
    assert float(net.layers[-1].params["log_variance"][0]) == pytest.approx(math.log(both), rel=1e-5)
    wanted = (np.nan_to_num(truth - net.predict(x)).astype(float) ** 2).sum() / both
    wanted = (wanted + np.isfinite(truth).sum() * math.log(2 * math.pi * both)) / 2 / 9
    assert net.evaluate(x, truth)["image_loss"] == pytest.approx(wanted, rel=1e-5)


def test_the_optimal_spread_stays_finite_when_the_error_vanishes(network: Build) -> None:
    net = network(body(2, 2, 2) + "[cost]\ntype=gaussian\nsigma=optimal\n")
    net.layers[1].set("weights", np.zeros((2, 5)))
    truth = np.zeros((2, 2))
    net.forward(truth, truth, train=True)
    net.backward()
    assert np.isfinite(net.cost) and np.isfinite(net.layers[1].delta).all()
    log_variance = float(net.layers[-1].params["log_variance"][0])
    assert np.isfinite(log_variance) and log_variance < -40


@pytest.mark.parametrize("keys", ["", "clip_norm=0.5\n", "ema=0.9\n", "optimizer=adamw\nclip_norm=0.5\nema=0.9\n"])
def test_a_resumed_training_of_learned_spreads_has_the_bits_of_one_that_was_never_interrupted(keys: str, network: Build) -> None:
    heads = [HEADS[name] for name in ("gaussian, sigma=column", "gaussian, sigma=optimal", "negative_binomial")]
    text = vae(heads).replace("optimizer=adam\n", ("" if "optimizer" in keys else "optimizer=adam\n") + keys)
    net = network(text, seed=3)
    x = rows_of(heads, 100)
    net.train(x, 6)
    half = network(text, seed=3)
    half.train(x, 3, checkpoint="c.safetensors")
    rest = network(text, seed=3)
    rest.train(x, 6, resume="c.safetensors")
    for a, b in zip(net.layers, rest.layers, strict=True):
        for name, value in a.params.items():
            np.testing.assert_array_equal(b.params[name], value, err_msg=f"{a.index} {name}")


def test_weight_decay_leaves_learned_spreads_alone(network: Build) -> None:
    head = HEADS["gaussian, sigma=learned"]
    nets = [network(body(3, more=f"decay={decay}\nmomentum=0\nlearning_rate=0.1\n") + head.text) for decay in (0, 0.5)]
    x, truth = np.random.default_rng(0).normal(size=(4, 6)), rows_of([head], 4)
    for net in nets:
        fill(net)
        net.forward(x, truth, train=True)
        net.backward()
        net.update()
    ours, other = (net.layers[-1].params["log_variance"] for net in nets)
    np.testing.assert_array_equal(ours, other)


# ---- draws


@pytest.mark.parametrize("name", [name for name in HEADS if "nu=1.5" not in name])
def test_draws_have_the_mean_and_the_spread_of_the_distribution(name: str, network: Build) -> None:
    head = HEADS[name]
    n = 20000
    net = network(
        f"[net]\nbatch=4\ninputs={head.columns}\n[connected]\noutput=4\nactivation=linear\n[sampling]\n[connected]\n"
        f"output={head.values}\nactivation=linear\n" + head.text
    )
    fill(net, 1)
    if head.spread == "optimal":
        net.layers[-1].set("log_variance", [0.8])
    z = np.tile([[0.3, -0.4]], (n, 1)).astype(np.float32)
    drawn = net.sample(z, draw=True, seed=5).astype(float)
    assert drawn.shape == (n, head.columns)
    mean = net.sample(z[:1])[0]
    if head.kind == "categorical":
        if head.classes:
            assert set(np.unique(drawn)) <= set(range(head.classes))
            return
        np.testing.assert_allclose(drawn.mean(axis=0), mean, atol=0.02)
        assert (drawn.reshape(n, head.groups, -1).sum(axis=2) == 1).all()
        return
    params = net.layers[-1].params
    learned = next((params[k] for k in ("log_variance", "log_dispersion") if k in params), None)
    variance = variances(head, mean, learned, net, z)
    centre = np.median(drawn, axis=0) if head.kind in ("laplace", "student_t") else drawn.mean(axis=0)
    np.testing.assert_allclose(centre, mean, atol=6 * np.sqrt(variance.max() / n) + 1e-6)
    if head.kind != "student_t":
        np.testing.assert_allclose(drawn.var(axis=0), variance, rtol=0.12)


def variances(head: Head, mean: A, learned: A | None, net: dv.Network, z: A) -> A:
    spread = np.asarray(1.0)
    if head.spread == "value":
        dense = net.layers[-2].params
        spread = np.exp(bounded((dense["weights"] @ z[0] + dense["biases"])[head.columns :], head.limit))
    elif learned is not None:
        spread = np.exp(bounded(learned.astype(float), head.limit))
    elif head.kind == "negative_binomial":
        spread = np.asarray(float(head.spread))
    else:
        spread = np.asarray(float(head.spread) ** 2)
    one = np.ones(head.columns)
    return {
        "bernoulli": mean * (1 - mean),
        "gaussian": spread * one,
        "laplace": 2 * spread * one,
        "student_t": spread * one,
        "poisson": mean,
        "negative_binomial": mean + mean**2 / spread,
    }[head.kind]


@pytest.mark.parametrize("mean", [0.3, 9.0, 11.0, 300.0, 1e6])
def test_drawn_counts_have_the_mean_and_variance_of_a_poisson_of_any_size(mean: float, network: Build) -> None:
    net = network("[net]\nbatch=4\ninputs=1\n[connected]\noutput=2\nactivation=linear\n[sampling]\n[connected]\noutput=1\n"
                  "activation=linear\n[cost]\ntype=poisson\n")  # fmt: skip
    net.layers[2].set("weights", [[0]])
    net.layers[2].set("biases", [math.log(mean)])
    drawn = net.sample(np.zeros((40000, 1)), draw=True, seed=2).astype(float)
    assert (drawn == np.floor(drawn)).all() and (drawn >= 0).all()
    assert drawn.mean() == pytest.approx(mean, abs=5 * math.sqrt(mean / 40000))
    assert drawn.var() == pytest.approx(mean, rel=0.05)


# ---- keys, truths, warnings

FAULTS = {
    "columns=5-3": "columns=5-3 ends before it begins",
    "columns=3-": "columns=3- is not a range of columns, such as 0-7 or 3",
    "columns=-1": "columns=-1 is not a range",
    "columns=a-b": "columns=a-b is not a range",
    "columns=0-2,4": "columns=0-2,4 is not a range",
    "columns=99999999999999999999": "is beyond 2147483647 columns",
    "columns=0-99999999999": "is beyond 2147483647 columns",
    "columns=0-3": "4 columns take as many values per row, but layer 1 [connected] gives 3",
    "columns=1-3": "column 0 of the truth (counted from 0) has no [cost]",
    "sigma=-1": "sigma=-1 is not a number above 0",
    "sigma=0": "sigma=0 is not a number above 0",
    "sigma=nan": "sigma=nan is not a number above 0",
    "sigma=inf": "sigma=inf is not a number above 0",
    "sigma=1e-30": "sigma=1e-30 is not in 1e-15 to 1e15",
    "sigma=leaned": "(did you mean 'learned'?)",
    "sigma=value": "3 values per row are left for it, but a column takes 2: a mean and a log-variance",
}


@pytest.mark.parametrize("key", FAULTS)
def test_a_wrong_key_is_one_clear_error(key: str, network: Build) -> None:
    with pytest.raises(dv.errors.FormatError, match=re.escape(FAULTS[key])) as caught:
        network(body(3) + "[cost]\ntype=gaussian\n" + key + "\n")
    assert "net.cfg:" in str(caught.value) and "\n" not in str(caught.value)


OTHERS = {
    "optimal is for gaussian": ("[cost]\ntype=laplace\nsigma=optimal\n", "sigma=optimal is for type=gaussian"),
    "nu below 0": ("[cost]\ntype=student_t\nnu=-2\n", "nu=-2 is not above 0"),
    "nu too large": ("[cost]\ntype=student_t\nnu=1e9\n", "nu=1e+09 is not in 0.001 to 1e6"),
    "dispersion": ("[cost]\ntype=negative_binomial\ndispersion=-3\n", "dispersion=-3 is not a number above 0"),
    "no optimal dispersion": ("[cost]\ntype=negative_binomial\ndispersion=optimal\n", "optimal is for type=gaussian"),
    "one class": ("[cost]\ntype=categorical\nclasses=1\n", "classes=1 leaves nothing to predict"),
    "classes and groups": ("[cost]\ntype=categorical\nclasses=3\ngroups=2\n", "classes= and groups= contradict"),
    "groups of one": ("[cost]\ntype=categorical\ngroups=6\n", "a one-hot group of a single column"),
    "groups that do not divide": ("[cost]\ntype=categorical\ngroups=4\n", "groups=4 does not divide 6 columns"),
    "classes that do not divide": ("[cost]\ntype=categorical\nclasses=4\n", "a column takes 4: a logit for each"),
    "sizes": (
        "[cost]\ntype=gaussian\ncolumns=0-2\n[cost]\ntype=poisson\ncolumns=3\n[cost]\ntype=categorical\nclasses=4\ncolumns=4\n",
        "the 3 [cost] layers from line 10 on take 3 + 1 + 4 = 8 values per row, but layer 1 [connected] gives 6",
    ),
    "overlap": (
        "[cost]\ntype=gaussian\ncolumns=0-2\n[cost]\ntype=poisson\ncolumns=2-4\n",
        "column 2 of the truth belongs to the [cost] of line 10 already",
    ),
    "gap": ("[cost]\ntype=gaussian\ncolumns=0-2\n[cost]\ntype=poisson\ncolumns=4-6\n", "column 3 of the truth"),
    "columns missing": ("[cost]\ntype=gaussian\n[cost]\ntype=poisson\n", "columns= is missing: of several [cost] layers"),
    "nothing left": ("[cost]\ntype=gaussian\ncolumns=0-5\n[cost]\ntype=poisson\n", "take all 6 values of their input"),
    "after a Darknet cost": ("[cost]\ntype=sse\n[cost]\ntype=poisson\n", "must all be likelihoods, such as gaussian"),
    "before a Darknet cost": ("[cost]\ntype=poisson\n[cost]\ntype=sse\n", "stands after [cost] type=poisson"),
    "before another layer": ("[cost]\ntype=poisson\n" + DENSE, "likelihoods are the end of a network"),
    "after a softmax": ("[softmax]\n[cost]\ntype=categorical\n", "which has a loss of its own"),
    "columns of sse": ("[cost]\ntype=sse\ncolumns=0-2\n", "columns= is for likelihoods"),
    "columns of bce": ("[cost]\ntype=bce\ncolumns=0-2\n", "take type=bernoulli"),
}


@pytest.mark.parametrize("case", OTHERS)
def test_likelihoods_that_do_not_fit_are_one_clear_error(case: str, network: Build) -> None:
    text, message = OTHERS[case]
    with pytest.raises(dv.errors.FormatError, match=re.escape(message)) as caught:
        network(body(6) + text)
    assert "\n" not in str(caught.value)


TRUTHS = {
    (
        "bernoulli",
        255.0,
    ): r"truth is 255 at row 3, column 2 \(counted from 1\), but the loss of .*net.cfg:10 .cost. wants 0 to 1: .*"
    "-scale 255 for bytes",
    ("bernoulli", -0.5): "truth is -0.5 .* wants 0 to 1: bring the values there, or take type=gaussian",
    ("poisson", 2.5): "truth is 2.5 .* wants counts, whole numbers from 0 on",
    ("poisson", -1.0): "truth is -1 .* wants counts",
    ("negative_binomial", 0.1): "wants counts",
    ("categorical", 0.5): r"truth adds up to .* in row 3, columns 1 to 4 \(counted from 1\).* wants one-hot columns",
    ("categorical, classes=5", 5.0): "truth is 5 .* wants codes, whole numbers from 0 to classes - 1",
    ("categorical, classes=5", 1.5): "truth is 1.5 .* wants codes",
    ("gaussian", math.inf): "truth is inf .* wants finite numbers",
}


@pytest.mark.parametrize(("name", "value"), TRUTHS)
def test_a_truth_that_a_likelihood_cannot_have_is_refused_before_training(name: str, value: float, network: Build) -> None:
    net, x, truth = with_head(HEADS[name], network)
    before = net.layers[0].params["weights"]
    truth[2, 1] = value
    for job in (lambda: net.train(x, 1, truth), lambda: net.evaluate(x, truth), lambda: net.row_losses(x, truth)):
        with pytest.raises(dv.errors.UsageError, match=TRUTHS[name, value]):
            job()
    np.testing.assert_array_equal(net.layers[0].params["weights"], before)


def test_a_negative_scale_of_a_likelihood_is_an_error(network: Build) -> None:
    """Training would make the data less likely. Of Darknet's costs it is what Darknet takes."""
    with pytest.raises(dv.errors.FormatError, match=r"net.cfg:\d+: .*scale=-0.5 is below 0: training would make the data less"):
        network(body(3) + "[cost]\ntype=gaussian\nscale=-0.5\n")
    network(body(3) + "[cost]\ntype=gaussian\nscale=0\n")
    network(body(3) + "[cost]\nscale=-0.5\n")


def test_the_input_cannot_be_missing(network: Build) -> None:
    head = HEADS["gaussian"]
    net = network(body(6) + head.text)
    x = np.random.default_rng(0).normal(size=(9, 6))
    x[2, 1] = np.nan
    with pytest.raises(dv.errors.UsageError, match="X is nan at row 2, column 1"):
        net.train(x, 1)


def test_targets_of_a_table_may_be_missing_where_the_loss_takes_it() -> None:
    rows = ["a,b,c,d", "1,2,3,0.5", "2,3,nan,0.25", "3,4,,0.75", "1,1,NA,0.5", "2,2,1,"]
    Path("t.csv").write_text("\n".join(rows) + "\n")
    text = "[net]\nbatch=2\ninputs=2\n[connected]\noutput=2\nactivation=linear\n[cost]\ntype="
    words = [*program("binary"), "train", "t.cfg", "t.csv", "-target", "c,d", "-epochs", "2", "-save", "t.safetensors", "-quiet"]
    Path("t.cfg").write_text(text + "gaussian\nsigma=learned\n")
    assert run(words).returncode == 0
    ran = run([*program("binary"), "evaluate", "t.safetensors", "t.csv", "-target", "c,d", "-json"])
    table = dv.load_table("t.csv", targets=["c", "d"], missing=True)
    assert table.truth is not None and np.isnan(table.truth).sum() == 4
    found = dv.Network.load("t.safetensors").evaluate(table.X, table.truth)
    assert ran.returncode == 0 and json.loads(ran.stdout)["loss"] == pytest.approx(found["image_loss"], rel=1e-6)
    Path("t.cfg").write_text(text + "sse\n")
    assert "t.csv:3: column 3 ('c', a target): 'nan' is not a finite number" in run(words).stderr
    Path("t.csv").write_text("\n".join(rows).replace("nan", "inf") + "\n")
    Path("t.cfg").write_text(text + "gaussian\n")
    assert "'inf' is not a finite number" in run(words).stderr  # a feature cannot be missing either
    Path("t.csv").write_text("\n".join(rows).replace("3,4,", "3,,") + "\n")
    assert "t.csv:4: column 2 ('b'): '' is not a finite number" in run(words).stderr


def test_a_training_with_missing_truths_scores_the_known_ones(network: Build) -> None:
    net, x, truth = with_head(HEADS["gaussian"], network)
    truth[1:5, 0] = np.nan
    net.train(x, 2, truth)
    found = net.evaluate(x, truth)
    error = (truth - net.predict(x)).astype(float)
    assert found["mse"] == pytest.approx(np.nanmean(error**2, axis=0).mean(), rel=1e-5)


@pytest.mark.parametrize("kind", ["categorical", "categorical, classes=5", "bernoulli"])
def test_classes_are_scored_by_accuracy(kind: str, network: Build) -> None:
    head = HEADS[kind]
    net, x, truth = with_head(head, network)
    if kind == "bernoulli":
        truth = np.round(truth)
    found = net.evaluate(x, truth)["accuracy"]
    mean = net.reconstruct(x)
    right = mean == truth
    if kind == "bernoulli":
        right = (mean > 0.5) == (truth > 0.5)
    if kind == "categorical":
        right = mean.argmax(axis=1) == truth.argmax(axis=1)
    assert found == pytest.approx(right.mean())


@pytest.mark.parametrize(("name", "activation", "told"), [
    ("bernoulli", "logistic", "takes logits, any numbers"), ("poisson", "relu", "takes logarithms of means, any numbers"),
    ("gaussian, sigma=value", "relu", "takes log-variances, any numbers"), ("categorical", "tanh", "takes logits"),
    ("bernoulli", "linear", ""), ("poisson", "leaky", ""), ("gaussian", "logistic", "")])  # fmt: skip
def test_an_activation_that_cannot_reach_the_parameters_is_warned_of(
    name: str, activation: str, told: str, network: Build, recwarn: pytest.WarningsRecorder
) -> None:
    head = HEADS[name]
    network(body(head.values).replace("activation=linear", f"activation={activation}") + head.text)
    found = [str(w.message) for w in recwarn]
    assert len(found) == bool(told)
    assert not told or (told in found[0] and f"activation={activation} before it should be linear" in found[0])


def test_data_beyond_the_activation_of_a_gaussian_head_are_warned_of(network: Build) -> None:
    heads = "[cost]\ntype=gaussian\ncolumns=3-5\n[cost]\ntype=laplace\ncolumns=0-2\n"
    net = network(body(6).replace("activation=linear", "activation=logistic") + heads)
    x, truth = np.zeros((9, 6)), np.full((9, 6), 0.5)
    truth[4, 5] = 3
    with pytest.warns(UserWarning, match="column 6 of the truth holds 3, which the network cannot give: the activation=logistic"):
        net.train(x, 1, truth)


def test_keys_of_other_types_are_warned_of(network: Build) -> None:
    with pytest.warns(UserWarning, match="net.cfg:12: sigma= has no effect with type=bernoulli: it belongs to gaussian"):
        network(body(6) + "[cost]\ntype=bernoulli\nsigma=2\n")
    with pytest.warns(UserWarning, match="nu= has no effect with type=sse: it belongs to student_t"):
        network(body(6) + "[cost]\ntype=sse\nnu=2\n")


def test_darknets_two_costs_in_a_row_keep_their_meaning(network: Build) -> None:
    """The second reads the errors of the first."""
    net = network(body(6) + "[cost]\ntype=sse\n[cost]\ntype=L1\n")
    fill(net)
    x = np.random.default_rng(0).normal(size=(4, 6))
    net.forward(x, x)
    first = net.layers[2].output
    np.testing.assert_allclose(net.layers[3].output, np.abs(x - first), rtol=1e-5)


# ---- with the rest


@pytest.mark.parametrize("name", ["mixed", "bernoulli", "gaussian, sigma=learned"])
def test_the_gradient_of_a_bound_of_several_draws_is_exact(name: str, device: str, network: Build) -> None:
    """Rows are weighted by their importance, in gradients by outputs and by learned spreads."""
    heads = MIXED if name == "mixed" else [HEADS[name]]
    problem = Problem(network(vae(heads, batch=4).replace("[sampling]\n", "[sampling]\nsamples=3\n"), device=device), 4)
    problem.x = problem.truth = rows_of(heads, 4)
    problem.noise[2] = problem.random.normal(size=(12, 2))
    check(problem, problem.gradients(), together=device != "cpu")


@pytest.mark.parametrize("name", [*HEADS, "mixed"])
def test_every_device_trains_to_the_same_parameters(name: str, network: Build, cuda: str) -> None:
    """Where steps can be recorded, they are replayed."""
    heads = MIXED if name == "mixed" else [HEADS[name]]
    table, found = rows_of(heads, 70), []
    for device in ("cpu", "fence", cuda):
        net = network(vae(heads), seed=2, device=device)
        history = net.train(table, epochs=3)
        values = [value.ravel() for layer in net.layers for value in layer.params.values()]
        found.append(np.concatenate([*values, history.total_loss, net.reconstruct(table).ravel()]))
    np.testing.assert_array_equal(found[1], found[0])
    kinks = "laplace" in name and ON_A_GPU  # whose rounding puts a value on the other side, and so its gradient
    np.testing.assert_allclose(found[2], found[0], rtol=2e-3, atol=2e-2 if kinks else 2e-4)


def test_inspect_and_info_list_learned_spreads(network: Build) -> None:
    heads = [HEADS["gaussian, sigma=column"], HEADS["negative_binomial"]]
    net = network(vae(heads))
    cost = [layer for layer in net.layers if layer.type == "cost"]
    assert [set(layer.params) for layer in cost] == [{"log_variance"}, {"log_dispersion"}]
    assert [layer.outputs for layer in cost] == [1, 1]  # the loss of a row
    net.save("m.safetensors")
    ran = run([*program("binary"), "info", "m.safetensors"])
    assert ran.returncode == 0 and "5.log_variance" in ran.stdout and "6.log_dispersion" in ran.stdout


def test_a_cfg_with_heads_trains_and_samples_from_the_command_line(tmp_path: Path) -> None:
    heads = [HEADS["bernoulli"], HEADS["gaussian, sigma=column"], HEADS["categorical, classes=5"]]
    table = rows_of(heads, 60)
    Path("h.cfg").write_text(vae(heads))
    np.savetxt("h.csv", table, delimiter=",", fmt="%.6g")
    ran = run([*program("binary"), "train", "h.cfg", "h.csv", "-epochs", "3", "-save", "h.safetensors", "-output", "p.txt"])
    assert ran.returncode == 0, ran.stderr
    assert np.loadtxt("p_output_3.txt", delimiter=",").shape == (10, 8)
    for words in (["reconstruct", "h.safetensors", "h.csv"], ["sample", "h.safetensors", "-n", "4", "-draw"]):
        ran = run([*program("binary"), *words])
        assert ran.returncode == 0, ran.stderr
        back = np.array([[float(v) for v in line.split(",")] for line in ran.stdout.splitlines()])
        assert back.shape == (60 if words[0] == "reconstruct" else 4, 8)
        assert set(back[:, 6:].ravel()) <= set(range(5))
    assert ((back[:, :3] == 0) | (back[:, :3] == 1)).all()  # drawn


# ---- start=means


def parameters_at_means(head: Head, truth: A) -> A:
    """Of a row, (values): those whose distribution has the columns' means."""
    t = truth.astype(float)
    if head.classes:
        counts = np.stack([(t == k).sum(axis=0) for k in range(head.classes)], axis=1)
        return np.log(np.maximum(counts / counts.sum(axis=1, keepdims=True), 1e-3 / head.classes)).ravel()
    mean = np.nanmean(t, axis=0)
    if head.kind == "categorical":
        return np.log(np.maximum(mean, 1e-3 * head.groups / head.columns))
    if head.kind == "bernoulli":
        mean = mean.clip(1e-3, 1 - 1e-3)
        return np.log(mean / (1 - mean))
    at = np.log(np.maximum(mean, 1e-3)) if head.kind in ("poisson", "negative_binomial") else mean
    return np.concatenate([at, np.zeros(head.values - len(at))])


@pytest.mark.parametrize("name", [*HEADS, "mixed"])
def test_a_first_training_starts_at_the_means_of_its_rows(name: str, device: str, network: Build) -> None:
    heads = MIXED if name == "mixed" else [HEADS[name]]
    columns = sum(head.columns for head in heads)
    text = body(sum(head.values for head in heads), inputs=columns) + several(heads).replace("columns=", "start=means\ncolumns=")
    X, truth = rows_of(heads, 40), rows_of(heads, 40, 1)
    if "groups" not in name and name not in ("categorical", "mixed"):
        truth[:, 0] = np.where(np.arange(40) < 5, np.nan, truth[:, 0])
    net = network(text, device=device)
    held = net.held_out(40, 0.25)
    net.train(X, 1, truth=truth, learning_rate=1e-30, holdout=0.25)
    rest, at, wanted = np.delete(truth, held, axis=0), 0, []
    for head in heads:
        wanted.append(parameters_at_means(head, rest[:, at : at + head.columns]))
        at += head.columns
    biases = net.layers[1].params["biases"]
    np.testing.assert_allclose(biases, np.concatenate(wanted), rtol=1e-5, atol=1e-6)
    net.train(X + 1 if name == "gaussian" else X, 1, learning_rate=1e-30)
    np.testing.assert_allclose(net.layers[1].params["biases"], biases, atol=1e-20)  # once


def test_biases_that_were_set_or_loaded_stay(network: Build, tmp_path: Path) -> None:
    text, X = body(3, inputs=3) + "[cost]\ntype=gaussian\nstart=means\n", rows_of([HEADS["gaussian"]], 20) + 5
    net = network(text)
    net.layers[1].set("biases", [1, 2, 3])
    net.train(X, 1, learning_rate=1e-30)
    np.testing.assert_array_equal(net.layers[1].params["biases"], [1, 2, 3])
    net.save(tmp_path / "a.weights")
    loaded = dv.Network.load(tmp_path / "net.cfg", tmp_path / "a.weights", clear=True)
    loaded.train(X, 1, learning_rate=1e-30)
    np.testing.assert_array_equal(loaded.layers[1].params["biases"], [1, 2, 3])


def test_darknets_costs_can_start_at_the_means(network: Build) -> None:
    X = np.random.default_rng(0).uniform(size=(30, 6)).astype(np.float32)
    for kind, wanted in (("sse", X.mean(axis=0)), ("L1", X.mean(axis=0)), ("bce", np.log(X.mean(axis=0) / (1 - X.mean(axis=0))))):
        net = network(body(6) + f"[cost]\ntype={kind}\nstart=means\n")
        net.train(X, 1, learning_rate=1e-30)
        np.testing.assert_allclose(net.layers[1].params["biases"], wanted, rtol=1e-4)


@pytest.mark.parametrize(
    ("layers", "says"),
    [
        ("[connected]\noutput=6\n[cost]\ntype=gaussian\n", "before this [cost] is one with activation=logistic"),
        ("[activation]\nactivation=tanh\n[cost]\ntype=gaussian\n", "is [activation]"),
        ("[cost]\ntype=gaussian\n", "is the network's input"),
        ("[connected]\noutput=6\nactivation=linear\n[cost]\ntype=masked\n", "start=means is not for type=masked"),
    ],
)
def test_start_at_means_needs_biases(layers: str, says: str, network: Build) -> None:
    with pytest.raises(dv.errors.FormatError, match=r"net.cfg:\d+: ") as raised:
        network(f"[net]\ninputs=6\n{layers}start=means\n")
    assert says in str(raised.value)


def test_inspect_shows_the_losses(network: Build) -> None:
    network(body(9) + "[cost]\ntype=negative_binomial\ncolumns=0-2\n[cost]\ntype=gaussian\nsigma=value\n")
    shown = [line.split() for line in run([*program("binary"), "inspect", "net.cfg"]).stdout.splitlines()]
    assert [line[1:3] for line in shown if line[1] == "cost"] == [["cost", "negative_binomial"], ["cost", "gaussian"]]
    layers = json.loads(run([*program("binary"), "inspect", "net.cfg", "-json"]).stdout)["layers"]
    assert [layer.get("loss") for layer in layers] == [None, None, "negative_binomial", "gaussian"]
    assert dv.Network("net.cfg").describe()["layers"] == layers


def test_one_row_is_no_diagnosis_and_one_row(network: Build) -> None:
    """Nothing varies over a single row, so that no unit is active says nothing."""
    net = network(vae([HEADS["gaussian"]]))
    np.savetxt("one.csv", rows_of([HEADS["gaussian"]], 1), delimiter=",")
    shown = run([*program("binary"), "evaluate", "net.cfg", "one.csv", "-latent", "-random", "-no-header"])
    assert shown.returncode == 0 and "collapsed" not in shown.stdout and "active_units 0" in shown.stdout
    assert "agree with 1 row on" in net.check(rows_of([HEADS["gaussian"]], 1)).summary
