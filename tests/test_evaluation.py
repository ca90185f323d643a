"""What evaluate gives besides the losses: the latent space, and simpler models of the same rows."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers import ROOT, defined, program, run

import darknet_vae as dv

Build = Callable[..., dv.Network]
BOTH = pytest.mark.parametrize("kind", ["binary", "python"])

VAE = """[net]
inputs={inputs}
batch=8
learning_rate=0.01
[connected]
name=both
output={both}
activation=linear
[sampling]
beta=1
[connected]
output={inputs}
activation=linear
[cost]
type={cost}
"""


def vae(inputs: int, latent: int, cost: str = "sse") -> str:
    return VAE.format(inputs=inputs, both=2 * latent, cost=cost)


def table(rows: int = 178, columns: int = 13, seed: int = 0) -> np.ndarray:
    """Correlated columns of different units, as of wines."""
    random = np.random.default_rng(seed)
    mixed = random.normal(size=(rows, 4)) @ random.normal(size=(4, columns)) + 0.5 * random.normal(size=(rows, columns))
    return (mixed * random.uniform(0.2, 30, columns) + random.normal(size=columns)).astype(np.float32)


def pca(X: np.ndarray, q: int) -> tuple[float, float]:
    """Squared error per value, and the log-likelihood of probabilistic PCA per row."""
    X = X.astype(float)
    n, d = X.shape
    values = np.zeros(d)
    found = np.linalg.svd(X - X.mean(0), compute_uv=False) ** 2 / n
    values[: len(found)] = found
    left = values[q:].sum()
    with np.errstate(divide="ignore"):
        logs = np.log(values[:q]).sum() + (d - q) * np.log(left / (d - q))
    return left / d, -0.5 * (d * math.log(2 * math.pi) + logs + d)


@pytest.mark.parametrize(
    ("rows", "columns", "q"), [(178, 13, 2), (178, 13, 12), (7, 13, 3), (60, 60, 5), (40, 300, 9), (1500, 70, 1)]
)
def test_the_pca_equals_numpys(rows: int, columns: int, q: int, network: Build) -> None:
    X = table(rows, columns)
    found = network(vae(columns, q)).evaluate(X, latent=True)["baselines"]
    mse, log_likelihood = pca(X, q)
    assert found["pca_mse"] == pytest.approx(mse, rel=1e-9)
    assert found["mean_mse"] == pytest.approx(X.astype(float).var(0).mean(), rel=1e-9)
    assert found["pca_log_likelihood"] == pytest.approx(log_likelihood, rel=1e-9)


def test_a_pca_as_wide_as_the_table_leaves_nothing_and_has_no_likelihood(network: Build) -> None:
    X = table(30, 5)
    found = network(vae(5, 5)).evaluate(X, latent=True)["baselines"]
    assert found["pca_mse"] == 0 and found["pca_log_likelihood"] is None
    X[:, 2:] = X[:, :1]  # two components explain everything
    found = network(vae(5, 2)).evaluate(X, latent=True)["baselines"]
    assert found["pca_mse"] == pytest.approx(0, abs=1e-12 * float(X.var())) and found["pca_log_likelihood"] is None


def test_equal_and_constant_columns_are_no_trouble_for_the_pca(network: Build) -> None:
    X = np.repeat(table(50, 4), 3, axis=1)
    X[:, 5] = 7
    found = network(vae(12, 2)).evaluate(X, latent=True)["baselines"]
    assert found["pca_mse"] == pytest.approx(pca(X, 2)[0], rel=1e-9)
    constant = network(vae(12, 2)).evaluate(np.full((9, 12), 3.0), latent=True)["baselines"]
    assert (constant["pca_mse"], constant["mean_mse"], constant["pca_log_likelihood"]) == (0, 0, None)


def test_a_pca_of_a_large_square_table_is_left_out(network: Build) -> None:
    X = np.random.default_rng(0).normal(size=(1030, 1030))
    found = network(vae(1030, 1)).evaluate(X, latent=True)["baselines"]
    assert found["pca_mse"] is None and found["pca_log_likelihood"] is None
    assert found["mean_mse"] == pytest.approx(X.var(0).mean(), rel=1e-6)


def test_baselines_do_not_depend_on_the_number_of_threads(network: Build) -> None:
    X = table(300, 90)
    one, two = (network(vae(90, 7), threads=threads).evaluate(X, latent=True) for threads in (1, 2))
    assert one["baselines"] == two["baselines"]
    np.testing.assert_array_equal(one["latent_kl"], two["latent_kl"])


def test_the_error_of_the_network_is_that_of_its_reconstructions(network: Build, device: str) -> None:
    X = np.random.default_rng(0).uniform(size=(50, 6)).astype(np.float32)
    for cost in ("sse", "bce"):
        net = network(vae(6, 2, cost), device=device)
        found = net.evaluate(X, latent=True)["baselines"]
        assert found["network_mse"] == pytest.approx(((net.reconstruct(X) - X) ** 2).mean(), rel=1e-5)


def test_values_from_0_to_1_have_the_brackets_of_a_bernoulli_likelihood(network: Build) -> None:
    def entropy(p: np.ndarray) -> np.ndarray:
        p = np.clip(p.astype(float), 1e-300, 1 - 1e-16)
        return -p * np.log(p) - (1 - p) * np.log(1 - p)

    X = np.random.default_rng(0).uniform(size=(90, 70)).astype(np.float32)
    X[:, 3] = X[:, 3] > 0.5
    X[:, 4] = 1
    found = network(vae(70, 2, "bce")).evaluate(X, latent=True)["baselines"]
    assert found["entropy"] == pytest.approx(entropy(X).sum(1).mean(), rel=1e-6)
    assert found["mean_reconstruction"] == pytest.approx(entropy(X.astype(float).mean(0)).sum(), rel=1e-6)
    assert found["pca_log_likelihood"] is None
    squares = network(vae(70, 2)).evaluate(X, latent=True)["baselines"]
    assert squares["entropy"] is None and squares["mean_reconstruction"] is None
    ones = network(vae(70, 2, "bce")).evaluate(X > 0.5, latent=True)["baselines"]
    assert ones["entropy"] == 0


def test_each_latent_dimension_is_described(network: Build, device: str) -> None:
    net = network(vae(13, 3), device=device, seed=3)
    X = table() / 20
    found = net.evaluate(X, latent=True)
    mean, log_variance = (values.astype(float) for values in net.encode(X))
    kl = 0.5 * (np.exp(log_variance) + mean**2 - 1 - log_variance).mean(0)
    np.testing.assert_allclose(found["latent_kl"], kl, rtol=1e-5)
    assert found["latent_kl"].sum() == pytest.approx(found["latent_loss"], rel=1e-5)
    np.testing.assert_allclose(found["latent_mean"], mean.mean(0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found["latent_mean_variance"], mean.var(0), rtol=1e-5)
    np.testing.assert_allclose(found["latent_variance"], mean.var(0) + np.exp(log_variance).mean(0), rtol=1e-5)
    assert found["active_units"] == 3


def test_several_sampling_layers_are_described_in_their_order(network: Build) -> None:
    net = network(
        "[net]\ninputs=6\nbatch=8\n[connected]\noutput=8\nactivation=linear\n[sampling]\n[connected]\noutput=4\n"
        "activation=linear\n[sampling]\n[connected]\noutput=6\nactivation=linear\n[cost]\n",
        seed=2,
    )
    found = net.evaluate(table(60, 6) / 20, latent=True)
    assert found["latent_kl"].shape == (6,)
    assert found["latent_kl"].sum() == pytest.approx(found["latent_loss"], rel=1e-5)


def test_an_encoder_of_zeros_has_no_active_unit_and_is_called_collapsed(network: Build) -> None:
    net = network(vae(13, 5))
    net.layers[0].set("weights", np.zeros(130))
    net.layers[0].set("biases", np.zeros(10))
    found = net.evaluate(table(), latent=True)
    assert found["active_units"] == 0
    assert found["latent_kl"].tolist() == [0] * 5 and found["latent_variance"].tolist() == [1] * 5
    assert found["diagnosis"] is not None and "collapsed" in found["diagnosis"] and "beta_warmup" in found["diagnosis"]


def test_units_that_say_nothing_are_counted(network: Build) -> None:
    net = network(vae(13, 5))
    weights = net.layers[0].params["weights"].copy()  # outputs are log-variances, then means
    weights[[5, 8], :] = 0
    net.layers[0].set("weights", weights)
    found = net.evaluate(table(), latent=True)
    assert found["active_units"] == 3
    assert found["diagnosis"] is not None and found["diagnosis"].startswith("3 of 5 latent units are active; ")


def test_an_autoencoder_is_compared_with_a_pca_and_has_no_units(network: Build) -> None:
    net = network(
        "[net]\ninputs=13\nbatch=8\nlearning_rate=0.002\n[connected]\noutput=2\nactivation=linear\n[connected]\noutput=13\n"
        "activation=linear\n[cost]\n"
    )
    X = table() / 20
    found = net.evaluate(X, latent=True)
    assert found["active_units"] is None and found["latent_kl"].size == 0
    assert found["baselines"]["pca_mse"] == pytest.approx(pca(X, 2)[0], rel=1e-9)
    net.layers[1].set("weights", np.zeros(26))
    collapsed = net.evaluate(X, latent=True)["diagnosis"]
    assert collapsed == "the reconstructions are no better than predicting each column's mean"
    net = dv.Network("net.cfg", seed=1)
    net.train(X, epochs=300)
    better = net.evaluate(X, latent=True)["baselines"]
    assert better["network_mse"] == pytest.approx(better["pca_mse"], rel=0.05)  # a linear one is a PCA


def test_networks_with_another_truth_have_no_baselines(network: Build) -> None:
    net = network(vae(6, 2))
    X = table(40, 6)
    assert net.evaluate(X, X, latent=True)["baselines"] == {}
    classifier = network("[net]\ninputs=6\n[connected]\noutput=3\nactivation=linear\n[softmax]\n")
    found = classifier.evaluate(X, np.eye(3)[np.arange(40) % 3], latent=True)
    assert found["baselines"] == {} and found["active_units"] is None and found["diagnosis"] is None
    assert found["latent_kl"].size == 0


@BOTH
def test_the_command_line_prints_the_latent_space(kind: str) -> None:
    cfg = str(ROOT / "cfg" / "vae_digits.cfg")
    words = [*program(kind), "evaluate", cfg, str(ROOT / "data" / "digits.csv"), "-random"]
    done = run([*words, "-latent", "-set", "sampling.beta=1"])
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("image_loss ") and all(len(line) <= 80 for line in lines[1:])
    net = dv.Network(cfg)
    here = net.evaluate(dv.load_csv(ROOT / "data" / "digits.csv", "label", 16), latent=True)
    head = next(i for i, line in enumerate(lines) if "dimension" in line)
    units = [line.split() for line in lines[head + 1 : head + 3]]
    order = np.argsort(-here["latent_kl"])
    assert [int(unit[0]) for unit in units] == order.tolist()
    np.testing.assert_allclose([float(unit[1]) for unit in units], here["latent_kl"][order], rtol=1e-3)
    assert "of a PCA with 2 components" in done.stdout
    values = json.loads(run([*words, "-latent", "-json"]).stdout)
    assert defined(values["baselines"]) == pytest.approx(defined(here["baselines"]), rel=1e-6)
    for name in ("latent_kl", "latent_mean", "latent_variance", "latent_mean_variance"):
        np.testing.assert_allclose(values[name], here[name], rtol=1e-6)  # type: ignore[literal-required]
    assert (values["active_units"], values["diagnosis"]) == (here["active_units"], here["diagnosis"])
    assert set(defined(json.loads(run([*words, "-json"]).stdout))) == set(net.evaluate(np.zeros((1, 64))))


def test_only_the_most_used_of_many_dimensions_are_printed(network: Build) -> None:
    network(vae(6, 50))
    dv.save_csv("x.csv", table(20, 6) / 20)
    words = [*program("binary"), "evaluate", "net.cfg", "x.csv", "-random", "-latent"]
    lines = run(words).stdout.splitlines()
    assert any(line.split()[:2] == ["...", "40"] for line in lines)
    assert len(json.loads(run([*words, "-json"]).stdout)["latent_kl"]) == 50
    assert Path("net.cfg").exists()


# ---- ELBO and log-likelihood


def grey(rows: int = 60, columns: int = 12, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(size=(rows, columns)).astype(np.float32)


def test_the_elbo_is_that_of_the_draws_and_its_parts_add_up(network: Build, device: str) -> None:
    net, X = network(vae(12, 3, "bce"), seed=4, device=device), grey()
    for samples in (1, 7):
        found, rows = net.evaluate(X, samples=samples, latent=True), net.bounds(X, samples)
        assert found["reconstruction"] == pytest.approx(rows["reconstruction"].mean(), rel=1e-9)
        assert found["kl"] == pytest.approx(rows["kl"].mean(), rel=1e-9)
        assert found["elbo"] == pytest.approx(-found["reconstruction"] - found["kl"], rel=1e-12)  # type: ignore[operator]
        assert found["kl"] == pytest.approx(found["latent_loss"], rel=1e-6)
        assert found["latent_kl"].sum() == pytest.approx(found["kl"], rel=1e-5)
        assert found["log_likelihood"] is None and found["log_likelihood_standard_error"] is None
        assert found["bits_per_dimension"] == pytest.approx(-found["elbo"] / (12 * math.log(2)))  # type: ignore[operator]


def test_the_log_likelihood_is_importance_sampled(network: Build) -> None:
    net, X = network(vae(12, 3, "bce"), seed=4), grey()
    found, rows = net.evaluate(X, k=50), net.bounds(X, 50, seed=0)["log_likelihood"]
    assert found["log_likelihood"] == pytest.approx(rows.mean(), rel=1e-9)
    assert found["log_likelihood_standard_error"] == pytest.approx(rows.std(ddof=1) / math.sqrt(len(X)), rel=1e-9)
    assert found["bits_per_dimension"] == pytest.approx(-rows.mean() / (12 * math.log(2)))
    assert found["log_likelihood"] > net.evaluate(X, samples=50)["elbo"]  # type: ignore[operator]
    assert net.evaluate(X[:1], k=3)["log_likelihood_standard_error"] is None


def test_the_elbo_has_beta_1_whatever_the_cfg_says(network: Build) -> None:
    text, X = vae(12, 3, "bce"), grey()
    one, other = network(text).evaluate(X), network(text.replace("beta=1", "beta=0.1")).evaluate(X)
    assert one["elbo"] == other["elbo"] and one["total_loss"] != other["total_loss"]


@pytest.mark.parametrize("kind", ["sse", "an autoencoder", "a classifier", "sequences"])
def test_networks_without_a_likelihood_or_latents_have_no_elbo(kind: str, network: Build) -> None:
    nets = {
        "sse": vae(6, 2),
        "an autoencoder": "[net]\ninputs=6\n[connected]\noutput=2\n[connected]\noutput=6\nactivation=linear\n[cost]\ntype=bce\n",
        "a classifier": "[net]\ninputs=6\n[connected]\noutput=6\nactivation=linear\n[softmax]\n",
        "sequences": "[net]\ninputs=6\ntime_steps=3\n[gru]\noutput=4\n[sampling]\n[connected]\noutput=6\nactivation=linear\n"
        "[cost]\ntype=bce\n",
    }
    X = grey(9, 6)
    found = network(nets[kind]).evaluate(X / X.sum(1, keepdims=True), k=4)
    for name in ("reconstruction", "kl", "elbo", "log_likelihood", "log_likelihood_standard_error", "bits_per_dimension"):
        assert found[name] is None, name  # type: ignore[literal-required]
    assert math.isfinite(found["total_loss"])


@BOTH
def test_the_command_line_prints_elbo_and_log_likelihood(kind: str, network: Build) -> None:
    net, X = network(vae(12, 3, "bce")), grey()
    dv.save_csv("x.csv", X)
    words = [*program(kind), "evaluate", "net.cfg", "x.csv", "-random", "-samples", "3", "-k", "9"]
    here = net.evaluate(dv.load_csv("x.csv"), samples=3, k=9)
    assert defined(json.loads(run([*words, "-json"]).stdout)) == pytest.approx(defined(here), rel=1e-6)
    text = run(words).stdout
    for name in ("elbo", "reconstruction", "kl", "log_likelihood", "bits_per_dimension"):
        shown = next(line for line in text.splitlines() if f"{name} " in line and "=" not in line)
        assert float(shown.split(f"{name} ")[1].split()[0]) == pytest.approx(here[name], rel=1e-5)  # type: ignore[literal-required]
    assert "no bound" in text and all(len(line) <= 80 for line in text.splitlines()[1:])
    network(vae(12, 3))
    text = run(words).stdout
    assert "no ELBO" in text
    told = json.loads(run([*words, "-json"]).stdout)
    assert told["log_likelihood"] is None and told["no_elbo"] == text.split("no ELBO: ")[1].splitlines()[0]
    assert "no_elbo" not in json.loads(run([*words[:-4], "-json"]).stdout)  # nobody asked for draws


@BOTH
@pytest.mark.parametrize("verb", ["evaluate", "score"])
@pytest.mark.parametrize("option", ["-k", "-samples"])
def test_wrong_numbers_of_draws_are_one_line(kind: str, verb: str, option: str, network: Build) -> None:
    network(vae(12, 3, "bce"))
    dv.save_csv("x.csv", grey())
    for value in ("0", "-4", "1.5", "many", "99999999", "99999999999999999999"):
        done = run([*program(kind), verb, "net.cfg", "x.csv", "-random", option, value])
        assert done.returncode == 2 and option in done.stderr and len(done.stderr.splitlines()) == 1, done.stderr
        assert not done.stdout


def test_wrong_numbers_of_draws_are_errors_in_python(network: Build) -> None:
    net, X = network(vae(12, 3, "bce")), grey()
    for wrong in (0, -1, 1.5, 10**9, "2"):
        for call in (net.evaluate, net.score_rows):
            with pytest.raises(dv.errors.UsageError, match=r"^k="):
                call(X, k=wrong)  # type: ignore[operator]
            with pytest.raises(dv.errors.UsageError, match=r"^samples="):
                call(X, samples=wrong)  # type: ignore[operator]


@BOTH
def test_baselines_of_a_network_with_binarize_are_of_the_bits_that_it_sees(kind: str) -> None:
    """Otherwise its errors on bits stand beside those of a PCA on grey values, and of an entropy that bits do not have."""
    X = np.random.default_rng(3).uniform(size=(60, 6)).round(3)
    np.savetxt("x.csv", X, delimiter=",", fmt="%g")
    Path("net.cfg").write_text(vae(6, 2, "bce").replace("[net]", "[net]\nbinarize=static"))
    done = run([*program(kind), "evaluate", "net.cfg", "x.csv", "-random", "-latent", "-json"])
    found = json.loads(done.stdout)["baselines"]
    assert found["entropy"] == 0
    whole = 60 * 60 * 6 * found["mean_mse"]  # the sum of m (60 - m) over columns of m ones
    assert abs(whole - round(whole)) < 1e-3 and found["mean_mse"] > 0.2 > X.var(0).mean()
    plain = json.loads(run([*program(kind), *done.args[-6:], "-set", "net.binarize=none"]).stdout)["baselines"]
    assert plain["entropy"] > 1 and abs(plain["mean_mse"] - X.var(0).mean()) < 1e-6


def test_the_text_of_evaluate_has_the_names_of_its_json() -> None:
    X = np.random.default_rng(3).uniform(size=(20, 4)).round(3)
    np.savetxt("x.csv", X, delimiter=",", fmt="%g")
    Path("net.cfg").write_text(vae(4, 2, "bce"))
    words = [*program("binary"), "evaluate", "net.cfg", "x.csv", "-random", "-k", "4"]
    text, found = run(words).stdout, json.loads(run([*words, "-json"]).stdout)
    shown = text.split()
    assert all(name in shown for name, value in found.items() if value is not None and name != "active_units")
    assert max(map(len, text.splitlines())) < 100


@BOTH
def test_what_was_asked_for_is_printed_also_when_the_losses_of_rows_go_to_a_file(kind: str) -> None:
    np.savetxt("x.csv", np.random.default_rng(3).uniform(size=(20, 4)), delimiter=",", fmt="%.3f")
    Path("net.cfg").write_text(vae(4, 2, "bce"))
    words = [*program(kind), "evaluate", "net.cfg", "x.csv", "-random", "-output", "r.csv"]
    assert len(run(words).stdout.splitlines()) == 1
    asked = run([*words, "-k", "5"]).stdout
    assert "log_likelihood " in asked and "var. of mean" not in asked
    asked = run([*words, "-latent"]).stdout
    assert "var. of mean" in asked and "active_units " in asked and "elbo" not in asked
    rows = run([*words[:-1], "-", "-k", "5", "-latent"])
    assert len(rows.stdout.splitlines()) == 20 and "log_likelihood " in rows.stderr
    assert len(Path("r.csv").read_text().splitlines()) == 20
