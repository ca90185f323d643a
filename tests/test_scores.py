"""Scores: how unusual rows are, and the columns that make them so."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable

import numpy as np
import pytest
from helpers import program, run

import darknet_vae as dv

Build = Callable[..., dv.Network]
BOTH = pytest.mark.parametrize("kind", ["binary", "python"])

HEAD = "[net]\ninputs=6\nbatch=16\noptimizer=adam\nlearning_rate=0.01\n"
VAE = HEAD + "[connected]\noutput=4\nactivation=linear\n[sampling]\nbeta=1\n"
COSTS = {
    "bce": (6, "type=bce"),
    "bernoulli": (6, "type=bernoulli"),
    "gaussian": (6, "type=gaussian\nsigma=0.5"),
    "learned": (6, "type=gaussian\nsigma=learned"),
    "column": (6, "type=laplace\nsigma=column"),
    "optimal": (6, "type=gaussian\nsigma=optimal"),
    "value": (12, "type=student_t\nsigma=value"),
    "poisson": (6, "type=poisson"),
    "negative_binomial": (6, "type=negative_binomial"),
    "one_hot": (6, "type=categorical\ngroups=2"),
    "codes": (18, "type=categorical\nclasses=3"),
    "heads": (
        12,  # 8 values for columns 2 to 5, 3 for column 0, 1 for column 1
        "type=gaussian\nsigma=value\ncolumns=2-5\n[cost]\ntype=categorical\nclasses=3\ncolumns=0\n"
        "[cost]\ntype=bernoulli\ncolumns=1",
    ),
}


def text_of(kind: str) -> str:
    outputs, cost = COSTS[kind]
    return VAE + f"[connected]\noutput={outputs}\nactivation=linear\n[cost]\n{cost}\n"


def rows_of(kind: str, n: int = 40, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    if kind == "one_hot":
        return np.eye(3)[random.integers(0, 3, size=(n, 2))].reshape(n, 6).astype(np.float32)
    X = random.integers(0, 3, size=(n, 6)).astype(np.float32)
    if kind in ("bce", "bernoulli"):
        X = X > 1
    if kind == "heads":
        X[:, 1] = X[:, 1] > 1
        X[:, 2:] += random.normal(size=(n, 4))
    return np.asarray(X, np.float32)


@pytest.mark.parametrize("kind", COSTS)
def test_the_contributions_of_columns_add_up_to_the_reconstruction(kind: str, network: Build, device: str) -> None:
    net, X = network(text_of(kind), seed=5, device=device), rows_of(kind)
    for layer in net.layers:  # learned spreads that differ from one another
        for name in layer.params:
            if name in ("log_variance", "log_dispersion"):
                layer.set(name, np.linspace(-1, 1, layer.params[name].size))
    for samples in (1, 5):
        bounds = net.bounds(X, samples)
        scores, columns = net.score_rows(X, samples=samples, contributions=True)
        assert columns.shape == X.shape and scores.shape == (len(X),)
        np.testing.assert_allclose(columns.sum(1), bounds["reconstruction"], rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(scores, bounds["reconstruction"] + bounds["kl"], rtol=1e-9)
    assert scores.mean() == pytest.approx(-net.evaluate(X, samples=5)["elbo"], rel=1e-9)  # type: ignore[operator]
    np.testing.assert_allclose(net.score_rows(X, k=20), -net.bounds(X, 20)["log_likelihood"], rtol=1e-9)


@pytest.mark.parametrize("kind", ["gaussian", "value", "heads"])
def test_with_the_same_draws_a_score_does_not_depend_on_the_rows_place(kind: str, network: Build, device: str) -> None:
    net, X = network(text_of(kind), device=device), rows_of(kind)
    for options in ({"samples": 1}, {"samples": 5, "seed": 3}, {"k": 7}):
        scores = net.score_rows(X, same_draws=True, **options)
        others = net.score_rows(X, **options)
        assert np.allclose(net.score_rows(X[::-1], same_draws=True, **options), scores[::-1], rtol=1e-5)
        assert scores[0] == pytest.approx(others[0], rel=1e-6)  # the first row's draws
        assert np.abs(scores - others).max() > 1e-3
        repeated = net.score_rows(np.repeat(X[:1], 40, axis=0), same_draws=True, **options)
        assert np.allclose(repeated, scores[0], rtol=1e-5)
        again = net.score_rows(X, **options)  # nothing of it stays
        assert np.array_equal(again, others)


def test_a_contribution_is_the_surprise_of_its_value(network: Build) -> None:
    net, X = network(text_of("gaussian")), rows_of("gaussian")
    one = net.score_rows(X, contributions=True)[1]
    net.layers[-2].set("weights", np.zeros(12))  # what is decoded does not depend on z
    mean = net.layers[-2].params["biases"]
    one = net.score_rows(X, contributions=True)[1]
    np.testing.assert_allclose(one, 0.5 * ((X - mean) / 0.5) ** 2 + np.log(0.5) + 0.5 * np.log(2 * np.pi), rtol=1e-5)


OTHERS = {
    "sse": VAE.replace("beta=1", "beta=0.3") + "[connected]\noutput=6\nactivation=linear\n[cost]\n",
    "L1": VAE + "[connected]\noutput=6\nactivation=linear\n[cost]\ntype=L1\nscale=3\n",
    "autoencoder": HEAD + "[connected]\noutput=2\n[connected]\noutput=6\nactivation=linear\n[cost]\ntype=bce\n",
    "logistic": HEAD + "[connected]\noutput=6\nactivation=linear\n[logistic]\n",
    "sequences": HEAD + "time_steps=4\n[gru]\noutput=6\n[cost]\n",
}


@pytest.mark.parametrize("kind", OTHERS)
def test_without_a_likelihood_the_score_is_the_loss_at_the_mean(kind: str, network: Build, device: str) -> None:
    net, X = network(OTHERS[kind], device=device), np.random.default_rng(0).uniform(size=(40, 6))
    losses = net.row_losses(X)
    scores, columns = net.score_rows(X, contributions=True)
    np.testing.assert_allclose(scores, losses["total_loss"], rtol=1e-6)
    np.testing.assert_allclose(columns.sum(1), losses["image_loss"], rtol=1e-5)
    if kind == "sse":
        np.testing.assert_allclose(columns, (net.reconstruct(X) - X) ** 2, rtol=1e-4, atol=1e-6)
    with pytest.raises(dv.errors.UsageError, match=r"a log-likelihood \(k\)"):
        net.score_rows(X, k=5)


def test_scores_compare_with_a_truth_of_their_own(network: Build) -> None:
    net = network(HEAD + "[connected]\noutput=2\nactivation=linear\n[cost]\n")
    X, truth = np.random.default_rng(0).normal(size=(2, 9, 6))
    scores, columns = net.score_rows(X, truth[:, :2], contributions=True)
    np.testing.assert_allclose(columns, (net.predict(X) - truth[:, :2]) ** 2, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(scores, columns.sum(1), rtol=1e-5)


@pytest.mark.parametrize("keys", ["", "groups=2\n", "temperature=2\n", "groups=3\ntemperature=0.5\n"])
def test_classes_of_a_softmax_contribute_what_they_lose(keys: str, network: Build, device: str) -> None:
    net = network(HEAD + f"[connected]\noutput=6\nactivation=linear\n[softmax]\n{keys}", device=device)
    random, groups = np.random.default_rng(0), int(keys[7]) if keys.startswith("groups") else 1
    X, size = random.normal(size=(9, 6)), 6 // groups
    truth = np.eye(size)[random.integers(0, size, size=(9, groups))].reshape(9, 6)
    scores, columns = net.score_rows(X, truth, contributions=True)
    np.testing.assert_allclose(columns, -truth * np.log(net.predict(X)), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(scores, columns.sum(1), rtol=1e-5)


def test_losses_that_are_not_known_by_row_are_refused(network: Build) -> None:
    head = "[detection]\nclasses=2\nside=2\nnum=1\ncoords=4\nrescore=1\n"
    net = network(HEAD + f"[connected]\noutput=28\nactivation=linear\n{head}")
    X, truth = np.random.default_rng(0).normal(size=(3, 6)), np.zeros((3, net.truths))
    for contributions in (False, True):
        with pytest.raises(dv.errors.UsageError, match=r"net\.cfg:9: .* loss of a \[detection\] is not known"):
            net.score_rows(X, truth, contributions=contributions)


def test_rows_that_are_not_finite_have_no_score(network: Build) -> None:
    net, X = network(text_of("gaussian")), rows_of("gaussian")
    X[4, 2] = np.nan
    scores, columns = net.score_rows(X, contributions=True, missing="nan")
    assert np.isnan(scores[4]) and np.isnan(columns[4]).all() and np.isfinite(np.delete(scores, 4)).all()
    assert net.score_rows(X[:0]).shape == (0,)


def wines(n: int = 200) -> np.ndarray:
    """Six columns, correlated but for the fourth."""
    random = np.random.default_rng(1)
    z, mixing = random.normal(size=(n, 2)), random.normal(size=(2, 6))
    mixing[:, 3] = 0
    return (z @ mixing + 0.1 * random.normal(size=(n, 6))).astype(np.float32)


@BOTH
@pytest.mark.parametrize("options", [[], ["-k", "30"], ["-samples", "5"]])
def test_an_injected_outlier_has_the_highest_score_and_its_column_is_named(kind: str, options: list[str], network: Build) -> None:
    X = wines()
    net = network(text_of("gaussian"))
    net.train(X, epochs=60)
    net.save("w.weights")
    X[17, 3] += 4
    names = ["alcohol", 'a "quoted", name', "ash", "magnesium", "flavanoids", "hue"]
    with open("x.csv", "w", newline="") as file:
        out = csv.writer(file)
        out.writerow([*names, "kind"])
        out.writerows([*row, "red"] for row in X.tolist())
    words = [*program(kind), "score", "net.cfg", "x.csv", "-weights", "w.weights", "-label-column", "kind", *options]
    done = run([*words, "-o", "-"])
    assert done.returncode == 0, done.stderr
    found = list(csv.DictReader(io.StringIO(done.stdout)))
    assert list(found[0])[:4] == ["row", "score", "reconstruction", "kl"] and len(found) == len(X)
    scores = np.array([float(row["score"]) for row in found])
    assert scores.argmax() == 17 and found[17]["column_1"] == "magnesium"
    assert {row[f"column_{i}"] for row in found for i in (1, 2, 3)} == set(names)
    k = int(options[1]) if "-k" in options else None
    samples = int(options[1]) if "-samples" in options else 1
    here, columns = net.score_rows(dv.load_csv("x.csv", "kind"), k=k, samples=samples, contributions=True)
    np.testing.assert_allclose(scores, here, rtol=1e-6)
    assert float(found[17]["nats_1"]) == pytest.approx(columns[17].max(), rel=1e-5)
    if not k:
        parts = [float(row["reconstruction"]) + float(row["kl"]) for row in found]
        np.testing.assert_allclose(parts, scores, rtol=1e-6)
    run([*words, "-output", "s.csv", "-top", "0"])
    with open("s.csv", newline="") as file:
        assert next(csv.reader(file)) == ["row", "score", "reconstruction", "kl"]
    lines = [json.loads(line) for line in run([*words, "-json", "-top", "99"]).stdout.splitlines()]
    assert [line["row"] for line in lines] == list(range(len(X)))
    assert [column["column"] for column in lines[17]["columns"]] == [names[c] for c in np.argsort(-columns[17], kind="stable")]


@BOTH
def test_a_model_file_names_the_columns_of_a_table_without_a_header(kind: str, network: Build) -> None:
    network(text_of("gaussian"))
    np.savetxt("x.csv", wines(), delimiter=",", fmt="%.6g", header="a,b,c,d,e,f", comments="")
    np.savetxt("bare.csv", wines(20), delimiter=",", fmt="%.6g")
    assert run([*program(kind), "train", "net.cfg", "x.csv", "-epochs", "1", "-save", "m.safetensors", "-q"]).returncode == 0
    found = list(csv.DictReader(io.StringIO(run([*program(kind), "score", "m.safetensors", "bare.csv"]).stdout)))
    assert {row["column_1"] for row in found} <= set("abcdef")
    bare = run([*program(kind), "score", "net.cfg", "bare.csv", "-random"])
    found = list(csv.DictReader(io.StringIO(bare.stdout)))
    assert {row["column_1"] for row in found} <= set("012345")
