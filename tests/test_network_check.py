"""`check`: networks that are right pass, on their own rows and on random ones, and nothing is left behind. That wrong ones fail
is in test_check_mutants.py."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import detectors
import numpy as np
import pytest
from helpers import ROOT, program, run
from test_gradients import DENSE, LOSSES, NETWORKS, SEVERAL_COSTS, SINGLE, SSE, VAE

import darknet_vae as dv

Build = Callable[..., dv.Network]
REPORTED = ("image_loss", "latent_loss", "kl_cost", "total_loss", "reconstruction", "kl", "elbo", "log_likelihood")
CFGS = sorted(path.name for path in (ROOT / "cfg").glob("*.cfg"))


def passes(net: dv.Network, *rows: np.ndarray) -> dv.Check:
    found = net.check(*rows)
    assert found, [found.summary, *found.failed]
    return found


@pytest.mark.parametrize("cfg", CFGS)
def test_every_bundled_network_passes_with_random_rows(cfg: str) -> None:
    done = run([*program("binary"), "check", str(ROOT / "cfg" / cfg), "-nogpu"])
    assert done.returncode == 0, done.stdout
    *table, last = done.stdout.splitlines()
    assert "comparisons agree" in last and cfg in last
    assert len(table) > 20 and all(" ok" in line or "not comparable" in line for line in table[1:])
    assert os.listdir(".") == []


@pytest.mark.parametrize("kind", ["binary", "python"])
@pytest.mark.parametrize("cfg", ["vae_digits.cfg", "digits_classifier.cfg"])
def test_a_network_passes_with_the_rows_of_its_table(cfg: str, kind: str) -> None:
    done = run([*program(kind), "check", str(ROOT / "cfg" / cfg), str(ROOT / "data" / "digits.csv"), "-json", "-nogpu"])
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(done.stdout)
    assert result["ok"] is True and "agree with 8 rows" in result["summary"]
    of = {(line["layer"], line["what"], line["with"]) for line in result["checks"]}
    assert (0, "weights", "differences") in of and (0, "weights", "training step") in of and (0, "weights", "sgd step") in of
    assert os.listdir(".") == []


@pytest.mark.parametrize(
    "keys",
    [
        "",
        "momentum=0.5\ndecay=0.1",
        "clip_norm=0.01",
        "adam=1\ndecay=0.1",
        "optimizer=adam\ndecay=0.1\nB1=0.5\neps=0.1",
        "optimizer=adamw\ndecay=0.5\nclip_norm=0.05",
    ],
)
@pytest.mark.parametrize("width", [6, 200])
def test_the_update_by_the_networks_own_optimiser_is_compared(keys: str, width: int, network: Build) -> None:
    cfg = VAE.replace("[net]\n", f"[net]\n{keys}\n") + "[cost]\ntype=bce\n"
    found = passes(network(re.sub(r"(inputs|output)=6\b", rf"\1={width}", cfg)))
    named = {(one.layer, one.what, one.compared_with) for one in found if one.ok}
    assert {(2, what, how) for what in ("weights", "biases") for how in ("optimizer", "opt. training")} <= named


@pytest.mark.parametrize("kind", ["dense", "convolution", "batchnorm"])
def test_a_batch_larger_than_a_few_rows_is_compared_too(kind: str, network: Build) -> None:
    layer = {
        "dense": "",
        "convolution": "[convolutional]\nfilters=3\nsize=3\npad=1\nactivation=leaky\n",
        "batchnorm": "[batchnorm]\n",
    }
    cfg = f"[net]\nbatch=40\nheight=6\nwidth=6\nchannels=1\n{layer[kind]}" + DENSE.replace("5", "36") + SSE
    net = network(cfg)
    named = {(one.what, one.compared_with) for one in passes(net)}
    assert {("weights, n=40", how) for how in ("differences", "sgd step", "training step", "optimizer", "opt. training")} <= named
    assert ("loss in training, n=40", "separate pass") in named
    rows = np.random.default_rng(0).random((25, 36), np.float32)
    assert any(one.what == "weights, n=25" for one in passes(net, rows))
    assert not any("n=" in one.what for one in passes(net, rows[:8]))


def test_a_second_step_of_plain_sgd_is_not_taken(network: Build) -> None:
    found = passes(network(VAE.replace("[net]\n", "[net]\nmomentum=0\ndecay=0\n") + "[cost]\ntype=bce\n"))
    assert not any("opt" in one.compared_with for one in found)


def test_every_part_of_a_variational_autoencoder_is_compared(network: Build) -> None:
    found = passes(network(VAE + "[cost]\ntype=bce\n"))
    named = {(one.layer, one.what, one.compared_with) for one in found}
    for tensor in ("weights", "biases"):
        for layer in (0, 2):
            assert {(layer, tensor, kind) for kind in ("differences", "sgd step", "training step")} <= named
    halves = {"input: log-variance", "input: mean"}
    assert {(1, half, "differences") for half in halves} <= named
    latent = {"KL", "KL by mean", "KL by log-variance", "z", "z by mean", "z by log-variance"}
    assert {(1, what, "formula") for what in latent} <= named
    assert {(3, "loss", "formula"), (3, "loss by input", "formula"), (3, "loss in training", "separate pass")} <= named
    assert {(None, f"{name} of evaluate", "formula") for name in REPORTED} <= named
    assert all(one.ok for one in found)


@pytest.mark.parametrize("key", ["free_bits=2", "free_bits_total=2", "capacity=1", "prior=mixture", "samples=3"])
def test_what_an_objective_costs_is_compared(key: str, network: Build) -> None:
    net = network(VAE.replace("beta=0.8", f"beta=1\n{key}") + "[cost]\ntype=bce\n")
    compared = {(one.layer, one.what) for one in passes(net) if one.compared_with == "formula"}
    assert ((None, "bound of 3 draws") if "samples" in key else (1, "kl_cost")) in compared


def test_averages_of_parameters_pass_after_a_training(network: Build) -> None:
    net = network(VAE.replace("[net]", "[net]\nema=0.9") + "[cost]\ntype=bce\n")
    net.train(np.random.default_rng(0).uniform(size=(20, net.inputs)), epochs=3)
    passes(net)


def test_a_first_layer_with_several_draws_passes(network: Build) -> None:
    layers = "[sampling]\nsamples=3\n\n[connected]\noutput=4\nactivation=linear\n\n[cost]\ntype=bce\n"
    passes(network(f"[net]\nbatch=4\ninputs=4\n\n{layers}"))


@pytest.mark.parametrize("kind", NETWORKS)
def test_every_layer_type_passes(kind: str, network: Build) -> None:
    net = network(NETWORKS[kind], device="cpu")
    random = np.random.default_rng(0)
    if heads := detectors.heads(net):
        passes(net, random.normal(size=(net.batch, net.inputs)), detectors.truth_of(heads[0], net.batch, random))
    passes(net)


@pytest.mark.parametrize("kind", ["sampling", "connected", "batchnorm", "rnn", "softmax", "yolo", "cost"])
def test_a_network_passes_on_other_devices(kind: str, device: str, network: Build) -> None:
    if device != "cpu":
        passes(network(NETWORKS[kind], device=device))


@pytest.mark.parametrize("kind", SINGLE)
def test_batch_normalisation_over_vectors_passes(kind: str, network: Build) -> None:
    passes(network(SINGLE[kind]))


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_passes(loss: str, network: Build) -> None:
    net = network("[net]\nbatch=4\ninputs=6\n" + DENSE + "[connected]\noutput=9\nactivation=linear\n" + LOSSES[loss])
    random = np.random.default_rng(1)
    truth = random.uniform(0, 1 if loss == "bce" else 3, size=(4, 9))
    if loss == "masked":
        truth[:, 1::4] = -1234
    found = passes(net, random.normal(size=(4, 6)), truth)
    assert {"loss", "loss by input"} <= {one.what for one in found if one.layer == 2}


NEGATIVE = "[cost]\ntype=negative_binomial\ndispersion={}\n"
LIKELIHOODS = {  # outputs before it, and the section
    "bernoulli": (6, "[cost]\ntype=bernoulli\n"),
    **{
        f"{kind} {sigma}": (12 if sigma == "value" else 6, f"[cost]\ntype={kind}\nsigma={sigma}\n")
        for kind in ("gaussian", "laplace", "student_t")
        for sigma in ("0.7", "learned", "column", "value")
    },
    "gaussian optimal": (6, "[cost]\ntype=gaussian\nsigma=optimal\n"),
    "student_t nu": (6, "[cost]\ntype=student_t\nsigma=2\nnu=2.5\n"),
    "poisson": (6, "[cost]\ntype=poisson\n"),
    **{f"negative_binomial {r}": (12 if r == "value" else 6, NEGATIVE.format(r)) for r in ("3", "learned", "column", "value")},
    "one-hot": (6, "[cost]\ntype=categorical\n"),
    "one-hot groups": (6, "[cost]\ntype=categorical\ngroups=2\n"),
    "codes": (24, "[cost]\ntype=categorical\nclasses=4\n"),
    "several": (
        10,
        "[cost]\ntype=gaussian\ncolumns=0-1\n[cost]\ntype=gaussian\nsigma=value\ncolumns=2-3\nscale=0.5\n"
        "[cost]\ntype=categorical\nclasses=3\ncolumns=4\n[cost]\ntype=poisson\n",
    ),
}


@pytest.mark.parametrize("loss", LIKELIHOODS)
def test_every_likelihood_passes_with_all_its_constants(loss: str, network: Build) -> None:
    outputs, cost = LIKELIHOODS[loss]
    net = network(VAE.replace("output=6\n", f"output={outputs}\n") + cost)
    found = passes(net)
    heads = [layer.index for layer in net.layers if layer.type == "cost"]
    for head in heads:
        assert {"loss", "loss by input"} <= {one.what for one in found if one.layer == head and one.compared_with == "formula"}


@pytest.mark.parametrize("keys", ["samples=5", "samples=5\ngradient=dreg", "beta=0.8\nbeta_warmup=10e",
                                  "beta=0.8\nfree_bits=0.2", "beta=0.8\ncapacity=2", "beta=0.8\nprior=mixture"])  # fmt: skip
def test_other_objectives_pass(keys: str, network: Build) -> None:
    found = passes(network(VAE.replace("beta=0.8", keys) + "[cost]\ntype=bernoulli\n"))
    assert ("dreg" in keys) == ("gradients below layer 2 were not: gradient=dreg" in found.summary)


@pytest.mark.filterwarnings("ignore:.*both gradients act")
@pytest.mark.parametrize("places", SEVERAL_COSTS)
def test_several_costs_pass(places: str, network: Build) -> None:
    passes(network(VAE + SEVERAL_COSTS[places][0]))


@pytest.mark.parametrize("seed", range(6))
def test_kinks_do_not_fail_a_network_that_is_right(seed: int, network: Build) -> None:
    """Zeros in the input and biases of 0 stand on the kink of a relu."""
    text = "[net]\nbatch=8\nheight=8\nwidth=8\nchannels=1\n"
    text += "[convolutional]\nfilters=6\nsize=3\npad=1\nactivation=relu\n[maxpool]\nsize=2\nstride=2\n"
    text += "[connected]\noutput=30\nactivation=leaky\n[connected]\noutput=64\nactivation=relu\n[cost]\ntype=L1\n"
    x = np.random.default_rng(seed).uniform(-1, 1, size=(8, 64)).clip(0)
    passes(network(text, seed=seed), x, x)


def test_the_network_is_left_as_it_was(network: Build) -> None:
    text = "[net]\nbatch=4\ninputs=6\nadam=1\nema=0.9\nclip_norm=1\ndecay=0.01\n" + DENSE
    net = network(text + "[connected]\noutput=6\nactivation=linear\nbatch_normalize=1\n[dropout]\nprobability=0.3\n" + SSE)
    x = np.random.default_rng(0).uniform(size=(16, 6)).astype(np.float32)
    other = network(text + "[connected]\noutput=6\nactivation=linear\nbatch_normalize=1\n[dropout]\nprobability=0.3\n" + SSE)
    for one in (net, other):
        one.train(x, epochs=2)
    passes(net, x)
    assert net.seen == other.seen and net.learning_rate == other.learning_rate
    for one in (net, other):
        one.train(x, epochs=2)
    for a, b in zip(net.layers, other.layers, strict=True):
        for name in a.params:
            np.testing.assert_array_equal(a.params[name], b.params[name])


def test_layers_without_a_true_gradient_are_named(network: Build) -> None:
    text = "[net]\nbatch=4\ninputs=6\n" + DENSE + "[connected]\noutput=6\nactivation=stair\n" + DENSE + SSE
    found = passes(network(text))
    assert "gradients below layer 2 were not: activation=stair" in found.summary
    text = text.replace("activation=stair", "activation=linear\nstopbackward=1")
    assert "gradients below layer 2 were not: stopbackward" in passes(network(text)).summary


WRONG = {
    "no such cfg": (["nosuch.cfg"], 4, "nosuch.cfg"),
    "no loss": (["no_loss.cfg"], 2, "no cost layer"),
    "narrow table": (["ok.cfg", "narrow.csv"], 3, "narrow.csv"),
    "bad cell": (["ok.cfg", "bad.csv"], 3, "bad.csv:2"),
    "truth out of range": (["bce.cfg", "large.csv"], 2, "wants 0 to 1"),
    "not a finite loss": (["ok.cfg", "huge.csv"], 1, "scale the data"),
    "option of another verb": (["ok.cfg", "-epochs", "3"], 2, "-epochs"),
}


@pytest.mark.parametrize("what", WRONG)
def test_wrong_input_is_one_line(what: str) -> None:
    head = "[net]\nbatch=4\ninputs=3\n[connected]\noutput=3\nactivation=linear\n"
    Path("ok.cfg").write_text(head + SSE)
    Path("no_loss.cfg").write_text(head)
    Path("bce.cfg").write_text(head + "[cost]\ntype=bce\n")
    Path("narrow.csv").write_text("1,2\n3,4\n")
    Path("bad.csv").write_text("1,2,3\n1,x,3\n")
    Path("large.csv").write_text("1,2,3\n4,5,6\n")
    Path("huge.csv").write_text("1,2,1e30\n4,5,6\n")
    words, code, part = WRONG[what]
    done = run([*program("binary"), "check", *words, "-nogpu"])
    assert done.returncode == code, done.stderr
    assert part in done.stderr and done.stderr.count("\n") == 1 and done.stdout == ""


@pytest.mark.parametrize("data", ["bytes", "sparse bytes", "hundreds"])
@pytest.mark.parametrize("activation", ["tanh", "logistic"])
@pytest.mark.parametrize("sizes", [(16, 8, 2), (784, 100, 10)])
def test_saturated_networks_pass_with_unscaled_rows(
    sizes: tuple[int, int, int], activation: str, data: str, network: Build
) -> None:
    """Slopes then exist in a small part of a step only, and large losses round off what a bias changes."""
    inputs, hidden, code = sizes
    layers = "".join(f"[connected]\noutput={n}\nactivation={activation}\n" for n in (hidden, code, hidden))
    text = f"[net]\ninputs={inputs}\nbatch=32\n{layers}[connected]\noutput={inputs}\nactivation=linear\n[cost]\n"
    random = np.random.default_rng(0)
    for seed in range(3):
        X = random.normal(size=(32, inputs)) * 300 if data == "hundreds" else random.integers(0, 256, (32, inputs)) * 1.0
        if data == "sparse bytes":
            X *= random.uniform(size=X.shape) < 0.2
        found = passes(network(text, seed=seed, device="cpu"), X)
        assert sum(line.values > 0 for line in found if line.compared_with == "differences") >= 6
