"""Bounds of the log-likelihood from several draws of z, and training with them: against numerical integration, numpy and
central differences."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from helpers import ROOT, defined

import darknet_vae as dv

DENSE = "[connected]\noutput={}\nactivation={}\n"
ENCODER = DENSE.format(5, "tanh") + DENSE.format(2, "linear") + "[route]\nlayers=-2\n" + DENSE.format(2, "linear")
SAMPLING = "[route]\nlayers=-1,-3\n[sampling]\n"
DECODER = DENSE.format(4, "tanh") + DENSE.format(3, "linear") + "[cost]\ntype=bce\n"
TOY = "[net]\nbatch=4\ninputs=3\nlearning_rate=0.01\n" + ENCODER + SAMPLING + "beta=1\n" + DECODER
# q(z2|z1) after q(z1|x), and a decoder that reads z1, z2 and the encoder.
CHAIN = (
    "[net]\nbatch=4\ninputs=3\nlearning_rate=0.01\n"
    + DENSE.format(5, "tanh")
    + DENSE.format(4, "linear")
    + "[sampling]\nbeta=1\n"
    + DENSE.format(6, "linear")
    + "[sampling]\nbeta=1\n[route]\nlayers=-1,-3,0\n"
    + DECODER
)
ROWS = (np.random.default_rng(0).random((7, 3)) > 0.5).astype(np.float32)


def network(cfg: str, **options: object) -> dv.Network:
    """With weights large enough that q differs from the posterior."""
    net = dv.Network(cfg_text=cfg, seed=3, **options)  # type: ignore[arg-type]
    rng = np.random.default_rng(1)
    for layer in net.layers:
        for name, values in layer.params.items():
            layer.set(name, rng.normal(0, 0.8, values.shape))
    return net


def wide() -> dv.Network:
    """One latent; q is wider than the posterior, so that the weights have small moments."""
    net = network("[net]\nbatch=4\ninputs=3\n" + DENSE.format(5, "tanh") + DENSE.format(2, "linear") + "[sampling]\n" + DECODER)
    net.layers[1].set("weights", net.layers[1].params["weights"] * 0.2)
    net.layers[1].set("biases", [0.8, 0.0])
    return net


GAUSSIAN = (  # p(x|z) = N(W z + b, diag(sigma^2)): ln p(x) is known, and the decoder is linear
    "[net]\nbatch=5\ninputs=4\n"
    + DENSE.format(4, "linear")
    + "[sampling]\nbeta=1\n"
    + DENSE.format(4, "linear")
    + "[cost]\ntype=gaussian\nsigma=column\n"
)
HEADS = (  # four likelihoods of one output, with learned and given spreads
    "[net]\nbatch=4\ninputs=5\n"
    + DENSE.format(6, "tanh")
    + DENSE.format(4, "linear")
    + "[sampling]\nbeta=1\n"
    + DENSE.format(6, "linear")
    + "[cost]\ntype=bernoulli\ncolumns=0\n[cost]\ntype=gaussian\ncolumns=1-2\nsigma=column\n"
    "[cost]\ntype=student_t\ncolumns=3\nsigma=learned\n[cost]\ntype=laplace\ncolumns=4\nsigma=value\n"
)
VALUES = np.random.default_rng(5).normal(size=(7, 5)).astype(np.float32)
VALUES[:, 0] = VALUES[:, 0] > 0


def log_sum_exp(x: np.ndarray, axis: int) -> np.ndarray:
    most = x.max(axis, keepdims=True)
    return np.asarray(np.log(np.exp(x - most).sum(axis)) + most.squeeze(axis))


def bce(logits: np.ndarray, x: np.ndarray) -> np.ndarray:
    """-ln p(x) of each row."""
    return np.asarray((np.logaddexp(0, logits) - logits * x).sum(-1))


# ---- evaluation


def test_estimates_equal_numerical_integration() -> None:
    net = wide()
    weights = {i: {name: values.astype(np.float64) for name, values in net.layers[i].params.items()} for i in (3, 4)}
    z = np.linspace(-14, 14, 40001)
    hidden = np.tanh(z[:, None] @ weights[3]["weights"].reshape(4, 1).T + weights[3]["biases"])
    logits = hidden @ weights[4]["weights"].reshape(3, 4).T + weights[4]["biases"]
    joint = -0.5 * z**2 - 0.5 * np.log(2 * np.pi) - bce(logits[None], ROWS[:, None].astype(np.float64))
    exact = log_sum_exp(joint, 1) + np.log(z[1] - z[0])
    bounds = net.bounds(ROWS, 1_000_000, seed=1)
    error = np.sqrt(bounds["log_likelihood_variance"])
    assert error.max() <= 1e-3
    assert (np.abs(bounds["log_likelihood"] - exact) <= 3 * error + 1e-6).all()


def test_estimates_of_a_linear_gaussian_model_equal_its_likelihood() -> None:
    net, x = network(GAUSSIAN), VALUES[:, :4]
    w, b = (net.layers[2].params[name].astype(np.float64) for name in ("weights", "biases"))
    w, variance = w.reshape(4, 2) * 0.5, np.exp(net.layers[3].params["log_variance"].astype(np.float64))
    net.layers[2].set("weights", w)
    precision = np.eye(2) + (w.T / variance) @ w  # of the posterior, whose mean is linear in x
    to_mean = np.linalg.solve(precision, w.T / variance)
    net.layers[0].set("weights", np.vstack([np.zeros((2, 4)), to_mean]))
    net.layers[0].set("biases", np.hstack([np.log(1.5 / np.diag(precision)), -to_mean @ b]))  # wider than the posterior
    covariance = w @ w.T + np.diag(variance)
    d = x - b
    exact = -0.5 * (np.einsum("ri,ij,rj->r", d, np.linalg.inv(covariance), d) + np.log(np.linalg.det(2 * np.pi * covariance)))
    bounds = net.bounds(x, 400_000, seed=1)
    error = np.sqrt(bounds["log_likelihood_variance"])
    assert 0 < error.max() < 3e-3
    assert (np.abs(bounds["log_likelihood"] - exact) <= 3 * error + 1e-5).all()
    assert (-(bounds["reconstruction"] + bounds["kl"]) < exact).all()


@pytest.mark.parametrize("cfg", [TOY, CHAIN], ids=["one", "chain"])
def test_the_estimate_is_at_least_the_elbo_and_does_not_fall_with_the_draws(cfg: str) -> None:
    net = network(cfg)
    rows = np.repeat(ROWS, 400, axis=0)
    means = [net.bounds(rows, k, seed=7) for k in (1, 2, 5, 50)]
    elbo = [-(b["reconstruction"] + b["drawn_kl"]) for b in means]
    assert np.allclose(elbo[0], means[0]["log_likelihood"], rtol=0, atol=1e-9)
    values = [b["log_likelihood"].mean() for b in means]
    assert values[0] < values[1] < values[2] < values[3]
    for bound, one in zip(means, elbo, strict=True):
        assert (bound["log_likelihood"] >= one - 1e-9).all()  # Jensen, draw by draw


def test_the_variance_is_that_of_repeated_estimates() -> None:
    net = wide()
    bounds = net.bounds(np.repeat(ROWS[:1], 4000, axis=0), 200, seed=2)
    assert np.var(bounds["log_likelihood"]) == pytest.approx(bounds["log_likelihood_variance"].mean(), rel=0.1)
    assert np.isnan(net.bounds(ROWS, 1)["log_likelihood_variance"]).all()


def test_the_drawn_kl_has_the_mean_of_the_analytic_one() -> None:
    net = network(TOY)
    bounds = net.bounds(ROWS, 20000, seed=3)
    assert np.allclose(bounds["kl"], net.row_losses(ROWS)["latent_loss"], rtol=1e-6)
    assert np.allclose(bounds["drawn_kl"], bounds["kl"], atol=0.1)


@pytest.mark.parametrize("cfg", [TOY, CHAIN], ids=["one", "chain"])
def test_bounds_depend_on_seed_row_and_draw_alone(cfg: str) -> None:
    one, two = network(cfg, threads=1), network(cfg, threads=2)
    first, second = one.bounds(ROWS, 600, seed=4), two.bounds(ROWS, 600, seed=4)
    for name in first:
        assert first[name].tobytes() == second[name].tobytes()
    few = network(cfg, batch=1).bounds(ROWS[:3], 600, seed=4)
    device = network(cfg, device="fence").bounds(ROWS, 600, seed=4)
    for name in first:
        assert np.allclose(few[name], first[name][:3], rtol=1e-5, equal_nan=True)
        assert np.allclose(device[name], first[name], rtol=1e-5, equal_nan=True)
    assert not np.allclose(one.bounds(ROWS, 600, seed=5)["log_likelihood"], first["log_likelihood"], rtol=1e-7)
    same = one.bounds(np.repeat(ROWS[:1], 2, axis=0), 3, seed=4)["log_likelihood"]
    assert same[0] != same[1]


def test_bounds_use_the_averages_that_evaluate_uses() -> None:
    net = dv.Network(cfg_text=TOY.replace("learning_rate=0.01", "learning_rate=0.5\nema=0.9"), seed=1)
    net.train(ROWS, epochs=3)
    plain = dv.Network(cfg_text=TOY, seed=1)
    for i, layer in enumerate(net.layers):
        for name, values in layer.params.items():
            plain.layers[i].set(name, values)
    kl = net.bounds(ROWS, 5)["kl"]
    assert kl.mean() == pytest.approx(net.evaluate(ROWS)["latent_loss"], rel=1e-5)
    assert not np.allclose(kl, plain.bounds(ROWS, 5)["kl"], rtol=1e-5)


def test_bounds_of_rows_with_a_truth_of_their_own() -> None:
    net = network("[net]\nbatch=4\ninputs=3\n" + ENCODER + SAMPLING + DECODER.replace("output=3", "output=2"))
    truth = np.ascontiguousarray(ROWS[:, :2])
    low = net.bounds(ROWS, 50, truth=truth)["reconstruction"]
    high = net.bounds(ROWS, 50, truth=1 - truth)["reconstruction"]
    assert (low > 0).all() and not np.allclose(low, high)
    with pytest.raises(dv.errors.UsageError, match="truth"):
        net.bounds(ROWS, 5)


@pytest.mark.parametrize(
    ("cfg", "message"),
    [
        (TOY.replace("type=bce", "type=sse"), r"needs a likelihood, and the loss of this \[cost\] is none"),
        ("[net]\ninputs=3\n" + DENSE.format(2, "tanh") + DENSE.format(3, "linear") + "[cost]\ntype=bce\n", "sampling.*none"),
        (TOY.replace("[cost]\ntype=bce\n", ""), "no cost layer"),
        (TOY.replace("batch=4", "batch=4\ntime_steps=2").replace("[connected]", "[rnn]\noutput=3\n[connected]", 1), "recurrent"),
    ],
    ids=["sse", "no-sampling", "no-cost", "recurrent"],
)
def test_networks_without_a_likelihood_have_no_bounds(cfg: str, message: str) -> None:
    with pytest.raises(dv.errors.UsageError, match=message):
        dv.Network(cfg_text=cfg).bounds(ROWS, 2)


def test_wrong_numbers_of_draws_are_errors() -> None:
    net = network(TOY)
    for draws in (0, -1):
        with pytest.raises(dv.errors.UsageError, match="at least one"):
            net.bounds(ROWS, draws)
    assert net.bounds(ROWS[:0], 3)["kl"].shape == (0,)


# ---- training with samples=k


def with_samples(cfg: str, k: int, more: str = "") -> str:
    return cfg.replace("[sampling]\n", f"[sampling]\nsamples={k}\n{more}")


def noise(net: dv.Network, rows: int, k: int, seed: int) -> dict[int, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        layer.index: rng.normal(size=(rows * k, layer.outputs)).astype(np.float32)
        for layer in net.layers
        if layer.type == "sampling"
    }


def objective(net: dv.Network, x: np.ndarray, eps: dict[int, np.ndarray]) -> float:
    for layer, values in eps.items():
        net.set_noise(layer, values)
    net.forward(x, x, train=True)
    return net.objective


@pytest.mark.parametrize("k", [2, 5])
@pytest.mark.parametrize("cfg", [TOY, CHAIN, HEADS], ids=["one", "chain", "heads"])
def test_the_gradient_of_the_bound_is_exact(cfg: str, k: int, device: str) -> None:
    net = network(with_samples(cfg, k), device=device)
    x, rng = (VALUES if cfg == HEADS else ROWS)[:3], np.random.default_rng(2)
    eps = noise(net, len(x), k, 1)
    objective(net, x, eps)
    net.backward()
    checked = 0
    for layer in net.layers:
        for name, values in layer.params.items():
            gradient = -layer.grads[name]
            direction = rng.normal(size=values.shape) + np.sign(gradient)
            direction /= np.linalg.norm(direction)
            exact = float((gradient * direction).sum())
            best = np.inf
            for step in (3e-2, 1e-2, 3e-3):
                ends = []
                for way in (2, 1, -1, -2):
                    layer.set(name, values + way * step * direction)
                    ends.append(objective(net, x, eps))
                slope = (-ends[0] + 8 * ends[1] - 8 * ends[2] + ends[3]) / (12 * step)
                best = min(best, abs(slope - exact) / (abs(exact) + 1e-3))
            layer.set(name, values)
            assert best < 2e-3, (layer.index, name)
            checked += 1
    assert checked >= 8


def two_layers(k: int, gradient: str, rows: int, device: str = "cpu") -> dv.Network:
    """x -> [log-variance | mean] of 2 latents -> logits, all linear."""
    cfg = f"[net]\nbatch={rows}\ninputs=3\n" + DENSE.format(4, "linear") + f"[sampling]\nsamples={k}\ngradient={gradient}\n"
    return network(cfg + DENSE.format(3, "linear") + "[cost]\ntype=bce\n", device=device)


@pytest.mark.parametrize("gradient", ["iwae", "dreg"])
def test_both_gradients_are_those_of_their_papers(gradient: str, device: str) -> None:
    k, x = 6, ROWS[:5]
    net = two_layers(k, gradient, len(x), device)
    eps = noise(net, len(x), k, 4)[1]
    objective(net, x, {1: eps})
    net.backward()
    lv, mean = np.split(net.layers[0].output.astype(np.float64), 2, axis=1)
    sd, e = np.exp(lv / 2)[:, None], eps.reshape(len(x), k, 2).astype(np.float64)
    z = mean[:, None] + sd * e
    w, b = net.layers[2].params["weights"].reshape(3, 2).astype(np.float64), net.layers[2].params["biases"]
    logits = z @ w.T + b
    losses = bce(logits, x[:, None]) + 0.5 * (z**2 - e**2 - lv[:, None]).sum(-1)
    bound = log_sum_exp(-losses, 1) - np.log(k)
    assert net.objective == pytest.approx(-bound.sum(), rel=1e-5)
    weight = np.exp(-losses - log_sum_exp(-losses, 1)[:, None])[..., None]
    error = 1 / (1 + np.exp(-logits)) - x[:, None]
    if gradient == "iwae":
        dz = weight * (error @ w + z)
        dlv = (dz * 0.5 * sd * e - 0.5 * weight).sum(1)
    else:
        dz = weight**2 * (error @ w + z - e / sd)
        dlv = (dz * 0.5 * sd * e).sum(1)
    assert np.allclose(-net.layers[0].delta, np.hstack([dlv, dz.sum(1)]), rtol=1e-4, atol=1e-5)
    of_w = np.einsum("rko,rki->oi", weight * error, z)
    assert np.allclose(-net.layers[2].grads["weights"].reshape(3, 2), of_w, rtol=1e-4, atol=1e-5)


def test_both_gradients_have_the_same_expectation() -> None:
    rows, k = 6000, 4
    x = np.repeat(ROWS[:1], rows, axis=0)
    deltas = []
    for seed, gradient in enumerate(("iwae", "dreg")):
        net = two_layers(k, gradient, rows)
        objective(net, x, noise(net, rows, k, seed))
        net.backward()
        deltas.append(net.layers[0].delta.astype(np.float64))
    error = np.sqrt(sum(d.var(0) / rows for d in deltas))
    assert (np.abs(deltas[0].mean(0) - deltas[1].mean(0)) < 4 * error).all()
    assert deltas[1].var(0).sum() < deltas[0].var(0).sum()


def test_one_sample_is_the_usual_training() -> None:
    weights = []
    for cfg in (TOY, with_samples(TOY, 1)):
        net = dv.Network(cfg_text=cfg, seed=1)
        net.train(ROWS, epochs=2)
        weights.append(b"".join(v.tobytes() for layer in net.layers for v in layer.params.values()))
    assert weights[0] == weights[1]


@pytest.mark.parametrize("change", ["batch=4", "batch=7", "batch=8\nsubdivisions=4"])
def test_the_objective_does_not_depend_on_the_batch(change: str) -> None:
    net = network(with_samples(TOY, 5).replace("batch=4", change).replace("0.01", "0"))
    whole = network(with_samples(TOY, 5).replace("batch=4", "batch=700").replace("0.01", "0"))
    rows = np.repeat(ROWS, 100, axis=0)
    a, b = net.train(rows, epochs=1).total_loss[-1], whole.train(rows, epochs=1).total_loss[-1]
    exact = -network(TOY).bounds(np.repeat(rows, 5, axis=0), 5, seed=9)["log_likelihood"].mean()
    assert a == pytest.approx(exact, rel=0.03) and b == pytest.approx(exact, rel=0.03)


# ---- against PyTorch


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    with np.load(ROOT / "tests" / "golden" / "bounds.npz") as file:
        return dict(file)


def golden_network(golden: dict[str, np.ndarray], gradient: str = "iwae", device: str = "cpu") -> dv.Network:
    index = json.loads(golden["index"].tobytes())
    net = dv.Network(cfg_text=index["cfg"].replace("gradient=iwae", f"gradient={gradient}"), device=device)
    for name, values in golden.items():
        if name.startswith("start."):
            net.layers[int(name.split(".")[1])].set(name.split(".")[2], values)
    return net


def test_bounds_equal_those_of_pytorch_on_the_same_noise(golden: dict[str, np.ndarray], device: str) -> None:
    index = json.loads(golden["index"].tobytes())
    bounds = golden_network(golden, device=device).bounds(golden["x"], index["draws"], seed=index["seed"])
    for name in ("reconstruction", "kl", "drawn_kl", "log_likelihood"):
        assert np.allclose(bounds[name], golden[name], rtol=1e-5, atol=1e-5), name


@pytest.mark.parametrize("gradient", ["iwae", "dreg"])
def test_the_bound_and_its_gradients_equal_those_of_pytorch(golden: dict[str, np.ndarray], gradient: str, device: str) -> None:
    index = json.loads(golden["index"].tobytes())
    net = golden_network(golden, gradient, device)
    net.set_noise(index["sampling"], golden["eps"])
    net.forward(golden["x"], golden["x"], train=True)
    assert net.objective == pytest.approx(-golden["log_likelihood"].sum(), rel=1e-5)
    net.backward()
    for i in index["layers"]:
        kind = gradient if i < index["sampling"] else "iwae"  # they differ in the encoder alone
        for name, values in net.layers[i].grads.items():
            assert np.allclose(-values.ravel(), golden[f"{kind}.{i}.{name}"].ravel(), rtol=1e-4, atol=2e-5), (i, name)


# ---- trainings


def trained(net: dv.Network) -> np.ndarray:
    return np.concatenate([values.ravel() for layer in net.layers for values in layer.params.values()])


MORE = "optimizer=adam\nclip_norm=2\nema=0.9\n"
MANY = np.repeat(ROWS, 9, axis=0)  # 63 rows: the last batch is not full


@pytest.mark.parametrize("gradient", ["iwae", "dreg"])
def test_a_training_is_the_same_on_all_devices(gradient: str, device: str) -> None:
    cfg = with_samples(TOY, 5, f"gradient={gradient}\n").replace("inputs=3\n", "inputs=3\n" + MORE)
    ours, cpu = dv.Network(cfg_text=cfg, seed=2, device=device), dv.Network(cfg_text=cfg, seed=2)
    a, b = ours.train(MANY, epochs=3, holdout=0.2), cpu.train(MANY, epochs=3, holdout=0.2)
    assert np.allclose(trained(ours), trained(cpu), rtol=2e-4, atol=2e-5)
    assert np.allclose(a.total_loss, b.total_loss, rtol=1e-4)
    assert np.allclose(a["valid_loss"], b["valid_loss"], rtol=1e-4)


def test_a_training_does_not_depend_on_threads_or_subdivisions() -> None:
    cfg = with_samples(CHAIN, 5).replace("batch=4", "batch=8")
    weights = []
    for threads in (1, 2):
        net = dv.Network(cfg_text=cfg, seed=2, threads=threads)
        net.train(MANY, epochs=2)
        weights.append(trained(net))
    assert weights[0].tobytes() == weights[1].tobytes()


def test_reports_are_means_over_the_draws_and_minus_the_bound() -> None:
    k, cfg = 4, with_samples(TOY, 4).replace("batch=4", "batch=7").replace("0.01", "0")
    net = network(cfg)
    many = np.repeat(ROWS, 300, axis=0)
    history = net.train(many, epochs=1, holdout=0.5)
    record = {name: history[name][-1] for name in history}
    exact = network(TOY).bounds(np.repeat(many, 10, axis=0), k, seed=1)
    assert record["image_loss"] == pytest.approx(exact["reconstruction"].mean(), rel=0.05)
    assert record["latent_loss"] == pytest.approx(exact["drawn_kl"].mean(), rel=0.05)
    assert record["total_loss"] == pytest.approx(-exact["log_likelihood"].mean(), rel=0.05)
    assert record["total_loss"] == pytest.approx(record["image_loss"] + record["kl_cost"], abs=1e-6)
    assert record["kl_cost"] < record["latent_loss"]


def test_held_out_rows_are_validated_with_the_bound() -> None:
    k = 6
    net = network(with_samples(TOY, k).replace("0.01", "0"))
    held = MANY[:11]
    history = net.train(MANY, epochs=2, valid=held)
    exact = network(TOY).bounds(held, k, seed=net.seed)
    for epoch in range(2):  # the draws are the same in every epoch
        assert history["valid_loss"][epoch] == pytest.approx(-exact["log_likelihood"].mean(), rel=1e-5)


def test_scores_of_held_out_rows_are_those_at_the_mean() -> None:
    cfg = with_samples(TOY, 3).replace("output=3", "output=2").replace("0.01", "0")
    truth = np.ascontiguousarray(MANY[:, :2])
    net = network(cfg)
    history = net.train(MANY, truth=truth, epochs=1, valid=(MANY[:11], truth[:11]))
    assert history["valid_accuracy"][0] == pytest.approx(net.evaluate(MANY[:11], truth[:11])["accuracy"])


def test_a_resumed_training_ends_with_the_same_bits(tmp_path: Path) -> None:
    cfg = with_samples(TOY, 5, "gradient=dreg\n").replace("inputs=3\n", "inputs=3\n" + MORE)
    whole = dv.Network(cfg_text=cfg, seed=2)
    whole.train(MANY, epochs=4, holdout=0.2, keep="best")
    first = dv.Network(cfg_text=cfg, seed=2)
    first.train(MANY, epochs=2, holdout=0.2, keep="best", checkpoint=tmp_path / "c.safetensors", checkpoint_every="1e")
    second = dv.Network(cfg_text=cfg, seed=2)
    second.train(MANY, epochs=4, holdout=0.2, keep="best", resume=tmp_path / "c.safetensors")
    assert trained(whole).tobytes() == trained(second).tobytes()


@pytest.mark.parametrize("gradient", ["iwae", "dreg"])
def test_training_on_the_bound_learns_the_distribution(gradient: str) -> None:
    cfg = with_samples(TOY, 5, f"gradient={gradient}\n").replace("inputs=3\n", "inputs=3\noptimizer=adam\n")
    net = dv.Network(cfg_text=cfg, seed=1)
    rows = ROWS[[0, 1, 2, 0, 0, 1] * 20]
    history = net.train(rows, epochs=100)
    entropy = np.log(6) - (3 * np.log(3) + 2 * np.log(2)) / 6
    assert history.total_loss[0] > 1.8
    assert entropy < history.total_loss[-1] < entropy + 0.2
    assert -net.bounds(rows, 2000)["log_likelihood"].mean() == pytest.approx(entropy, abs=0.1)


def test_jobs_of_such_a_network_are_at_the_mean_of_z() -> None:
    net, plain = network(with_samples(TOY, 5)), network(TOY)
    for rows in (ROWS[:3], np.repeat(ROWS, 100, axis=0)):
        assert np.allclose(net.predict(rows), plain.predict(rows), rtol=1e-5, atol=1e-6)
        assert defined(net.evaluate(rows)) == pytest.approx(defined(plain.evaluate(rows)), rel=1e-5)
        assert np.allclose(net.bounds(rows, 9)["log_likelihood"], plain.bounds(rows, 9)["log_likelihood"], rtol=1e-5)


def test_layers_after_the_sampling_layer_hold_all_draws() -> None:
    net = network(with_samples(TOY, 5))
    net.forward(ROWS[:3], ROWS[:3], train=True)
    assert [len(layer.output) for layer in net.layers] == [3] * 5 + [15] * 4
    net.forward(ROWS[:2])
    assert {len(layer.output) for layer in net.layers} == {2}


NORMED = TOY.replace("output=5\nactivation=tanh\n", "output=5\nactivation=tanh\nbatch_normalize=1\n")


@pytest.mark.parametrize(
    ("cfg", "message"),
    [
        (with_samples(TOY, 5).replace("beta=1", "beta=0.5"), "beta=0.5 with samples=5.*beta=1"),
        (with_samples(TOY, 5, "beta_warmup=10\n"), "samples=5 with a beta that changes"),
        (with_samples(NORMED, 5), "samples=5 cannot be trained with batch normalisation"),
        (with_samples(TOY.replace("[cost]", "[batchnorm]\n[cost]"), 5), "samples=5 cannot be trained with batch normalisation"),
        (
            with_samples(TOY.replace("type=bce", "type=sse"), 5),
            r"samples=5 needs a likelihood, and the loss of this \[cost\] is none",
        ),
        (
            with_samples(TOY.replace("inputs=3\n", "inputs=3\ntime_steps=2\n", 1), 5).replace(
                "[conn", "[gru]\noutput=3\n[conn", 1
            ),
            "samples=5 is not possible in a recurrent network",
        ),
        (CHAIN.replace("[sampling]", "[sampling]\nsamples=5", 1), "samples=1 differs from that of layer"),
        (with_samples(CHAIN, 5, "gradient=dreg\n"), "gradient=dreg is known for a single latent layer"),
        (
            with_samples(GAUSSIAN.replace("sigma=column", "sigma=optimal"), 5),
            "samples=5 needs a log_variance that does not follow",
        ),
        (with_samples(TOY, 0), "samples=0"),
        (with_samples(TOY, 5, "gradient=other\n"), "gradient=other"),
    ],
    ids=["beta", "warm-up", "norm", "norm-after", "sse", "recurrent", "differs", "dreg", "optimal", "zero", "word"],
)
def test_what_a_bound_cannot_be_trained_with_is_an_error(cfg: str, message: str) -> None:
    with pytest.raises(dv.errors.DarknetError, match=message):
        dv.Network(cfg_text=cfg)
