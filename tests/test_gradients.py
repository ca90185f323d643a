"""Every gradient against central differences of the loss the user sees.

The parameters are moved along random directions, so one number checks all of a tensor at once. Losses are summed in double
by the core; what remains is float32 rounding in the layers, which the step is chosen for.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import detectors
import likelihoods
import numpy as np
import pytest

import darknet_vae as dv

Build = Callable[..., dv.Network]
STEPS = [1e-3 * 2**k for k in range(7)]

# One network for each layer type, at odd sizes, which has the type at least twice, where gradients pass through it to parameters
# below. Activations are smooth: kinks have no derivative to compare with.
IMAGE = "[net]\nbatch=3\nheight=5\nwidth=7\nchannels=2\n"
CONV = "[convolutional]\nfilters=4\nsize=3\nstride=1\npad=1\nactivation=tanh\n"
DENSE = "[connected]\noutput=5\nactivation=tanh\n"
SSE = "[cost]\ntype=sse\n"
LINEAR = "[convolutional]\nfilters={}\nsize=1\nactivation=linear\n"
FLAT = "[connected]\noutput=52\nactivation=linear\n"
SEQUENCE = "[net]\nbatch=3\ntime_steps=3\ninputs=7\n"
KINDS = "number,number,yes_no,category:3,category:5,number"  # of [columns]
NETWORKS: dict[str, str] = {
    "connected": "[net]\nbatch=3\ninputs=7\n" + DENSE + "[connected]\noutput=3\nactivation=logistic\nbatch_normalize=1\n"
    "[route]\nlayers=-1,-2\n" + DENSE + SSE,
    "convolutional": IMAGE + CONV + "[convolutional]\nfilters=6\nsize=3\nstride=2\npadding=1\ngroups=2\nactivation=tanh\n"
    "[convolutional]\nfilters=3\nsize=1\nactivation=logistic\nbatch_normalize=1\n[convolutional]\nfilters=2\nsize=1\nstride=2\n"
    "activation=linear\n" + SSE,
    "deconvolutional": IMAGE + CONV + "[deconvolutional]\nfilters=6\nsize=3\nstride=2\npadding=1\ngroups=2\nactivation=tanh\n"
    "[deconvolutional]\nfilters=3\nsize=2\nstride=1\nactivation=logistic\nbatch_normalize=1\n" + SSE,
    "maxpool": IMAGE + CONV + "[maxpool]\nsize=2\nstride=2\n[route]\nlayers=-1,-1\n[maxpool]\nsize=3\nstride=1\n" + SSE,
    "upsample": IMAGE + CONV + "[upsample]\nstride=2\nscale=0.7\n[upsample]\nstride=-2\n[route]\nlayers=-1,-3\n" + SSE,
    "route": IMAGE + CONV + CONV + "[route]\nlayers=-1,-2,-1\n[route]\nlayers=-2\n" + CONV + SSE,
    "shortcut": IMAGE + CONV + CONV + "[shortcut]\nfrom=-2\nalpha=0.5\nbeta=1.5\nactivation=tanh\n"
    "[convolutional]\nfilters=3\nsize=3\nstride=1\npad=1\nactivation=linear\n[shortcut]\nfrom=0\nalpha=0.5\nactivation=linear\n"
    + SSE,
    "activation": IMAGE + CONV + "[activation]\nactivation=logistic\n[route]\nlayers=-1,-2\n[activation]\nactivation=elu\n" + SSE,
    "dropout": IMAGE + CONV + "[dropout]\nprobability=0.4\n" + CONV + "[dropout]\nprobability=0.2\n" + SSE,
    "batchnorm": IMAGE + CONV + "[batchnorm]\n[route]\nlayers=-1,-2\n" + CONV + "[batchnorm]\n" + SSE,
    "reshape": IMAGE
    + CONV
    + "[reshape]\nheight=7\nwidth=5\nchannels=4\n[route]\nlayers=-1\n"
    + CONV
    + "[reshape]\nheight=4\nwidth=7\nchannels=5\n"
    + CONV
    + SSE,
    "sampling": "[net]\nbatch=3\ninputs=7\n" + DENSE + "[connected]\noutput=6\nactivation=linear\n[sampling]\nbeta=0.7\n"
    "[connected]\noutput=4\nactivation=linear\n[sampling]\nbeta=0.3\n" + DENSE + SSE,
    "avgpool": IMAGE + CONV + "[avgpool]\n[route]\nlayers=-1,-1\n[avgpool]\n" + DENSE + SSE,
    "crop": IMAGE + CONV + "[crop]\ncrop_height=4\ncrop_width=5\nflip=1\n[crop]\ncrop_height=3\ncrop_width=3\nnoadjust=1\n" + SSE,
    "reorg": "[net]\nbatch=3\nheight=4\nwidth=6\nchannels=2\n" + CONV + "[reorg]\nstride=2\n[reorg]\nstride=2\nreverse=1\n"
    "[reorg]\nflatten=1\n[route]\nlayers=-1,0\n[reorg]\nextra=3\n" + SSE,
    "softmax": IMAGE + CONV + "[softmax]\nspatial=1\nnoloss=1\ntemperature=1.5\n[connected]\noutput=6\nactivation=linear\n"
    "[softmax]\ngroups=2\ntemperature=2.5\n[connected]\noutput=6\nactivation=linear\n[softmax]\n",
    "logistic": "[net]\nbatch=3\ninputs=7\n" + DENSE + "[logistic]\n[connected]\noutput=5\nactivation=linear\n[logistic]\n",
    "l2norm": IMAGE + CONV + "[l2norm]\n[route]\nlayers=-1,-2\n[connected]\noutput=5\nactivation=linear\n[l2norm]\n" + SSE,
    "normalization": IMAGE
    + CONV
    + "[normalization]\nsize=3\nalpha=0.5\n[route]\nlayers=-1,-2\n[lrn]\nsize=4\nalpha=0.3\nkappa=2\n"
    + SSE,
    "local": IMAGE + CONV + "[local]\nfilters=3\nsize=3\nstride=1\npad=1\nactivation=tanh\n[route]\nlayers=-1,-2\n"
    "[local]\nfilters=2\nsize=2\nstride=2\nactivation=logistic\n" + SSE,
    "rnn": SEQUENCE + DENSE + "[rnn]\noutput=4\nactivation=tanh\nshortcut=1\n[route]\nlayers=-1,-2\n"
    "[rnn]\noutput=3\nactivation=logistic\nbatch_normalize=1\n" + SSE,
    "crnn": IMAGE + "time_steps=2\n" + CONV + "[crnn]\nhidden_filters=3\noutput_filters=2\nactivation=tanh\nshortcut=1\n"
    "[route]\nlayers=-1,-2\n[crnn]\nhidden_filters=2\noutput_filters=2\nactivation=logistic\nbatch_normalize=1\n" + SSE,
    "gru": SEQUENCE + DENSE + "[gru]\noutput=4\ntanh=1\n[route]\nlayers=-1,-2\n[gru]\noutput=3\nbatch_normalize=1\n" + SSE,
    "lstm": SEQUENCE + DENSE + "[lstm]\noutput=4\n[route]\nlayers=-1,-2\n[lstm]\noutput=5\n"
    "[lstm]\noutput=3\nbatch_normalize=1\n" + SSE,
    "yolo": IMAGE + CONV + LINEAR.format(16) + "[yolo]\nmask=0,2\nanchors=2,3, 4,3, 3,4\nnum=3\nclasses=3\nignore_thresh=0.3\n"
    "truth_thresh=0.6\n[route]\nlayers=-1,-2,-3\n" + CONV + LINEAR.format(8) + "[yolo]\nmask=1\nanchors=2,3, 4,3, 3,4\nnum=3\n"
    "classes=3\n",
    "region": IMAGE + CONV + LINEAR.format(18) + "[region]\nanchors=1,2, 3,2\nnum=2\nclasses=3\ncoords=5\nsoftmax=1\nrescore=1\n"
    "object_scale=5\n[route]\nlayers=-1,-2,-3\n" + CONV + LINEAR.format(9) + "[region]\nanchors=2,2\nclasses=3\ncoords=5\n"
    "bias_match=1\nthresh=0.3\nmask_scale=0.7\n",
    "detection": "[net]\nbatch=3\ninputs=7\n"
    + DENSE
    + FLAT
    + "[detection]\nside=2\nnum=2\nclasses=3\nsoftmax=1\nsqrt=1\nrescore=1\n"
    "coord_scale=3\n[route]\nlayers=-1,-2,-3\n"
    + DENSE
    + FLAT
    + "[detection]\nside=2\nnum=2\nclasses=3\nforced=1\nobject_scale=2\n",
    "iseg": IMAGE
    + CONV
    + LINEAR.format(5)
    + "[iseg]\nclasses=2\nids=3\n[route]\nlayers=-1,-2,-3\n"
    + CONV
    + LINEAR.format(4)
    + "[iseg]\nclasses=2\nids=2\n",
    "cost": "[net]\nbatch=3\ninputs=7\n" + DENSE + "[cost]\ntype=sse\n" + DENSE + "[cost]\ntype=smooth\nscale=0.5\n",
    "columns": f"[net]\nbatch=3\n[columns]\nkinds={KINDS}\nmissing=1\n"
    + DENSE
    + "[connected]\noutput=12\nactivation=linear\n[cost]\ntype=columns\n",
    "condition": f"[net]\nbatch=3\n[columns]\nkinds={KINDS}\nnames=a,b,c,d,e,f\n"
    + DENSE
    + "[condition]\ncolumns=c,0\n"
    + DENSE
    + "[condition]\ncolumns=d\n[connected]\noutput=7\nactivation=linear\n[cost]\ntype=columns\n",
}
# Batch normalisation over vectors and maps of one pixel, and at every step of sequences.
PIXEL = "[net]\nbatch=3\nheight=1\nwidth=1\nchannels=7\n"
SINGLE_SEQUENCES = {
    "rnn": "output=4\nactivation=tanh\n",
    "gru": "output=4\ntanh=1\n",
    "lstm": "output=4\n",
    "crnn": "output_filters=4\nhidden_filters=3\nactivation=tanh\n",
}
SINGLE = {
    "connected": PIXEL + DENSE + "[connected]\noutput=4\nactivation=tanh\nbatch_normalize=1\n" + DENSE + SSE,
    "batchnorm": PIXEL + DENSE + "[batchnorm]\n" + DENSE + SSE,
    "convolutional": PIXEL + CONV + "[convolutional]\nfilters=4\nactivation=tanh\nbatch_normalize=1\n" + DENSE + SSE,
    "deconvolutional": PIXEL + CONV + "[deconvolutional]\nfilters=4\nactivation=tanh\nbatch_normalize=1\n" + DENSE + SSE,
    **{
        kind: PIXEL + "time_steps=3\n" + CONV + f"[{kind}]\n{keys}batch_normalize=1\n" + DENSE + SSE
        for kind, keys in SINGLE_SEQUENCES.items()
    },
}
LOSSES = {
    "sse": SSE,
    "masked": "[cost]\ntype=masked\n",
    "L1": "[cost]\ntype=L1\n",
    "smooth": "[cost]\ntype=smooth\n",
    "bce": "[cost]\ntype=bce\n",
    "seg": "[cost]\ntype=seg\n",
    "wgan": "[cost]\ntype=wgan\n",
    "scaled": "[cost]\ntype=sse\nscale=0.3\n",
}


class Problem:
    """A network with inputs, truth and noise, whose descended loss is a function of its parameters."""

    def __init__(self, net: dv.Network, rows: int, seed: int = 0) -> None:
        random = np.random.default_rng(seed)
        self.net, self.rows = net, rows
        self.x = random.normal(size=(rows, net.inputs)).astype(np.float32)
        truths = net._info().truths
        self.truth = random.uniform(0.1, 0.9, size=(rows, truths)).astype(np.float32) if truths else None
        if net.layers[0].type == "columns":
            self.x = self.truth = likelihoods.coded(KINDS, rows, random)
        probabilities = net._info().logits or any(layer.type == "logistic" for layer in net.layers)
        if self.truth is not None and self.truth is not self.x and not probabilities:
            self.truth[:, ::3] += 2  # some errors beyond 1, for the smooth loss
        heads = detectors.heads(net)
        if heads:
            self.truth = detectors.truth_of(heads[0], rows, random)
        self.objective: Callable[[], float] | None = None  # of detector heads: their cost is not what they descend
        self.noise = {}
        for layer in net.layers:
            if layer.type == "sampling":
                self.noise[layer.index] = random.normal(size=(rows, layer.outputs))
            if layer.type == "crop":
                self.noise[layer.index] = random.uniform(size=3)
            if layer.type == "dropout":
                self.noise[layer.index] = random.uniform(size=(rows, layer.outputs))
        for layer in net.layers:
            for name in layer.grads:
                shape = layer.params[name].shape
                scale = 0.5 if name.endswith("weights") else 0.3
                offset = 1.0 if name.endswith("scales") else 0.0
                layer.set(name, offset + scale * random.normal(size=shape))
        self.tensors = [(layer, name) for layer in net.layers for name in layer.grads]
        self.random = random

    def loss(self) -> float:
        for index, values in self.noise.items():
            self.net.set_noise(index, values)
        self.net.reset_state()
        self.net.forward(self.x, self.truth, train=True)
        if self.objective is None:
            heads = detectors.heads(self.net)
            self.objective = detectors.Objective(self.net, self.truth) if heads else lambda: self.net.objective
        return self.objective()

    def gradients(self) -> list[np.ndarray]:
        self.loss()
        self.net.backward()
        return [-layer.grads[name] for layer, name in self.tensors]

    def slope(self, moves: list[tuple[dv.Layer, str, np.ndarray]]) -> float:
        """Central difference of the loss along a direction, extrapolated once (Richardson). Rounding spoils small steps,
        curvature large ones: taken is the step whose rounding and difference to the next are least (after Ridders 1982)."""
        starts = [layer.params[name] for layer, name, _ in moves]
        slopes = []
        for step in STEPS:
            values = []
            for sign in (1, -1):
                for (layer, name, direction), start in zip(moves, starts, strict=True):
                    layer.set(name, start + sign * step * direction)
                values.append(self.loss())
            slopes.append((values[0] - values[1]) / (2 * step))
        for (layer, name, _), start in zip(moves, starts, strict=True):
            layer.set(name, start)
        better = [(4 * near - far) / 3 for near, far in pairwise(slopes)]
        rounding = [np.finfo(np.float32).eps * abs(values[0]) / step for step in STEPS]
        doubts = [abs(a - b) + noise for (a, b), noise in zip(pairwise(better), rounding, strict=False)]
        return better[int(np.argmin(doubts))]


def check(
    problem: Problem, gradients: list[np.ndarray], directions: int = 3, tolerance: float = 4e-3, together: bool = False
) -> None:
    """Along random directions of each tensor, or of all of them together."""
    assert problem.tensors, "nothing to check"
    every = [(layer, name, gradient) for (layer, name), gradient in zip(problem.tensors, gradients, strict=True)]
    for group in [every] if together else [[one] for one in every]:
        assert all(np.isfinite(gradient).all() for _, _, gradient in group)
        size = np.sqrt(sum((gradient.astype(np.float64) ** 2).sum() for _, _, gradient in group))
        for _ in range(directions):
            moves = [(layer, name, problem.random.normal(size=gradient.shape)) for layer, name, gradient in group]
            length = np.sqrt(sum((move**2).sum() for _, _, move in moves))
            moves = [(layer, name, move / length) for layer, name, move in moves]
            ours = sum(float((gradient * move).sum()) for (_, _, gradient), (_, _, move) in zip(group, moves, strict=True))
            wanted = problem.slope(moves)
            what = ", ".join(f"layer {layer.index} [{layer.type}] {name}" for layer, name, _ in group)
            assert abs(ours - wanted) <= tolerance * (size + 0.1), f"{what}: {ours:.6g}, differences {wanted:.6g}"


def test_every_layer_type_has_a_gradient_check() -> None:
    assert set(NETWORKS) == set(dv.layer_types())


def problem_of(kind: str, rows: int, network: Build, **options: object) -> Problem:
    """The type's network with `rows` rows, of recurrent ones `rows` sequences."""
    net = network(NETWORKS[kind], **options)
    return Problem(net, rows * net._info().time_steps)


@pytest.mark.parametrize("rows", [3, 2])
@pytest.mark.parametrize("kind", NETWORKS)
def test_gradient_of_layer(kind: str, rows: int, device: str, network: Build) -> None:
    problem = problem_of(kind, rows, network, device=device)
    assert sum(layer.type == kind for layer in problem.net.layers) >= (2 if kind != "columns" else 1)
    check(problem, problem.gradients(), together=device != "cpu")


@pytest.mark.parametrize("kind", NETWORKS)
def test_gradient_of_layer_with_a_single_row(kind: str, network: Build) -> None:
    """Batch normalisation makes the bias of a single value per channel, and nothing goes through it."""
    net = network(NETWORKS[kind])
    problem = Problem(net, net._info().time_steps)
    check(problem, problem.gradients())


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("kind", ["connected", "batchnorm", "convolutional", "deconvolutional", *SINGLE_SEQUENCES])
def test_gradient_of_batch_normalisation_with_one_value_per_channel(kind: str, legacy: bool, device: str, network: Build) -> None:
    net = network(SINGLE[kind].replace("[net]", "[net]\nbn_epsilon=legacy" if legacy else "[net]"), device=device)
    steps = net._info().time_steps
    Problem(net, 3 * steps).loss()
    before = {(layer.index, name): value for layer in net.layers for name, value in layer.params.items() if "rolling" in name}
    problem = Problem(net, steps)
    check(problem, problem.gradients(), together=device != "cpu")
    assert len(before) >= 2
    for (index, name), value in before.items():
        np.testing.assert_array_equal(net.layers[index].params[name], value, err_msg=name)


HEADS = ("yolo", "region", "detection", "iseg")  # in NETWORKS a route reads the first one's input and output


def shared(kind: str, truths: int) -> str:
    """The type's network, where after every layer of the type another loss also reads the layer's input and output."""
    header, *sections = re.split(r"^(?=\[)", NETWORKS[kind], flags=re.M)[1:]
    now: list[int] = []  # where layer i of the original stands
    out = [header]
    for i, section in enumerate(sections):

        def moved(match: re.Match[str], i: int = i) -> str:
            return match[1] + ",".join(str(now[int(v) if int(v) >= 0 else i + int(v)]) for v in match[2].split(","))

        if section.startswith(("[route]", "[shortcut]")):
            section = re.sub(r"^(layers=|from=)(\S+)", moved, section, flags=re.M)
        out.append(section)
        at = len(out) - 2
        now.append(at)
        name = section[1 : section.index("]")]
        if i and name in (kind, {"normalization": "lrn"}.get(kind)):
            out += [f"[route]\nlayers={at - 1},{at}\n", f"[connected]\noutput={truths}\nactivation=linear\n", SSE]
            out.append(f"[route]\nlayers={at}\n")
            now[-1] = at + 4
    return "".join(out)


@pytest.mark.parametrize("kind", [kind for kind in NETWORKS if kind not in (*HEADS, "columns", "condition")])
def test_gradient_of_layer_whose_input_and_output_have_other_readers(kind: str, network: Build) -> None:
    net = network(shared(kind, network(NETWORKS[kind]).truths))
    assert sum(layer.type == "route" for layer in net.layers) >= 2
    problem = Problem(net, 2 * net._info().time_steps)
    # the sum of three losses: its rounding is up to 8e-3 of such a slope, to either side, in every instruction set
    check(problem, problem.gradients(), directions=1, tolerance=1.2e-2)


@pytest.mark.parametrize("loss", LOSSES)
def test_gradient_of_loss(loss: str, device: str, network: Build) -> None:
    text = "[net]\nbatch=4\ninputs=6\n" + DENSE + "[connected]\noutput=9\nactivation=linear\n" + LOSSES[loss]
    problem = Problem(network(text, device=device), 4)
    if loss == "masked":
        assert problem.truth is not None
        problem.truth[:, 1::4] = -1234
    check(problem, problem.gradients())


def with_heads(heads: list[likelihoods.Head], text: str, network: Build, **options: object) -> Problem:
    """These on the output of a dense layer, with a truth of which some values are missing."""
    width = sum(head.values for head in heads)
    text = "[net]\nbatch=4\ninputs=6\n" + DENSE + f"[connected]\noutput={width}\nactivation=linear\n" + text
    problem = Problem(network(text, **options), 4)
    problem.truth = np.concatenate([head.truth(problem.random, 4) for head in heads], axis=1).astype(np.float32)
    problem.truth[0, ::3] = np.nan
    return problem


@pytest.mark.parametrize("name", likelihoods.HEADS)
def test_gradient_of_likelihood(name: str, device: str, network: Build) -> None:
    head = likelihoods.HEADS[name]
    problem = with_heads([head], head.text, network, device=device)
    assert sum(layer.type == "cost" for layer, _ in problem.tensors) == len(head.learned)
    check(problem, problem.gradients())


def test_gradient_of_likelihoods_that_share_an_output(device: str, network: Build) -> None:
    heads = list(likelihoods.HEADS.values())
    problem = with_heads(heads, likelihoods.several(heads).replace("nu=1.5", "nu=1.5\nscale=0.3"), network, device=device)
    assert sum(layer.type == "cost" for layer in problem.net.layers) == len(heads)
    check(problem, problem.gradients(), tolerance=1e-2, together=device != "cpu")


@pytest.mark.parametrize("activation", ["linear", "logistic", "loggy", "elu", "selu", "tanh", "plse", "lhtan", "leaky", "relu",
                                        "relie", "ramp", "hardtan"])  # fmt: skip
def test_gradient_of_activation(activation: str, device: str, network: Build) -> None:
    text = f"[net]\nbatch=2\ninputs=5\n[connected]\noutput=6\nactivation={activation}\n" + SSE
    problem = Problem(network(text, device=device), 2, seed=3)
    check(problem, problem.gradients(), tolerance=2e-2)


def test_the_batch_norm_gradient_is_exact_in_the_legacy_form_too(network: Build) -> None:
    problem = Problem(network(NETWORKS["batchnorm"].replace("[net]", "[net]\nbn_epsilon=legacy")), 3)
    check(problem, problem.gradients())


@pytest.mark.parametrize("at", [-300.0, -30.0, -11.0, -9.0, 9.0, 11.0, 30.0])
def test_gradient_of_a_log_variance_within_and_beyond_its_bound(at: float, device: str, network: Build) -> None:
    text = "[net]\nbatch=2\ninputs=2\n[connected]\noutput=4\nactivation=linear\n[sampling]\nbeta=0.7\n"
    net = network(text + "[connected]\noutput=2\nactivation=linear\n" + SSE, device=device)
    problem = Problem(net, 2)
    if at > 0:
        problem.noise[1] *= 0.1 * np.exp(-min(at, 15) / 2)
    net.layers[0].set("biases", [at, at + 0.5, 0.3, -0.2])
    net.layers[0].set("weights", 0.1 * net.layers[0].params["weights"])
    check(problem, problem.gradients(), tolerance=1e-2)


VAE = (
    "[net]\nbatch=4\ninputs=6\n[connected]\noutput=4\nactivation=linear\n[sampling]\nbeta=0.8\n"
    "[connected]\noutput=6\nactivation=linear\n"
)


@pytest.mark.parametrize(("loss", "s"), [("sse", 0.5), ("bce", 1.0)])
def test_what_is_descended_is_s_times_the_total_loss(loss: str, s: float, network: Build) -> None:
    net = network(VAE + f"[cost]\ntype={loss}\n")
    x = np.random.default_rng(0).uniform(size=(4, 6)).astype(np.float32)
    net.forward(x, x)
    assert net.objective == pytest.approx(s * 4 * net.evaluate(x)["total_loss"], rel=1e-6)


# s of the first cost, and of all: the gradient of a cost is s d(cost), its scale included.
SEVERAL_COSTS = {
    "after each other": ("[cost]\ntype=bce\nscale=0.7\n[cost]\ntype=sse\nscale=0.4\n", [0.7, 0.5 * 0.4]),
    "at two places": (
        "[cost]\ntype=sse\nscale=0.3\n[route]\nlayers=-2\n[connected]\noutput=6\nactivation=tanh\n[cost]\ntype=L1\nscale=2\n",
        [0.5 * 0.3, 2.0],
    ),
    "one beside a softmax": ("[softmax]\n[cost]\ntype=smooth\nscale=3\n", [1.0, 0.5 * 3]),
    "one that is not descended": ("[cost]\ntype=sse\nscale=0\n[cost]\ntype=sse\n", [0.0, 0.5]),
}


@pytest.mark.filterwarnings("ignore:.*both gradients act")
@pytest.mark.parametrize("places", SEVERAL_COSTS)
def test_several_costs_add_up_to_what_is_descended(places: str, device: str, network: Build) -> None:
    """total_loss = sum of s_i / s cost_i + beta KL, s the first one's that is not 0; descended is s total_loss."""
    text, scales = SEVERAL_COSTS[places]
    s = next(scale for scale in scales if scale)
    problem = Problem(network(VAE + text, device=device), 4)
    net, truth = problem.net, problem.truth
    assert truth is not None
    if places == "one beside a softmax":
        truth[:] /= truth.sum(1, keepdims=True)
    check(problem, problem.gradients())
    net.forward(problem.x, truth)
    with_loss = [layer for layer in net.layers if layer.type in ("cost", "softmax")]
    costs = [float(layer.output.sum(dtype=float)) for layer in with_loss]
    if places == "one beside a softmax":
        costs[0] = float(-(truth * np.log(with_loss[0].output)).sum(dtype=float))
    assert net.cost == pytest.approx(np.mean(costs), rel=1e-5)  # Darknet's
    found = net.evaluate(problem.x, truth)
    image = sum(scale / s * cost for scale, cost in zip(scales, costs, strict=True)) / 4
    assert found["image_loss"] == pytest.approx(image, rel=1e-5)
    assert found["total_loss"] == pytest.approx(image + 0.8 * found["latent_loss"], rel=1e-5)
    net.forward(problem.x, truth)
    assert net.objective == pytest.approx(s * 4 * found["total_loss"], rel=1e-5)
    rows = net.row_losses(problem.x, truth)
    for name, losses in rows.items():
        assert losses.mean() == pytest.approx(found[name], rel=1e-5)  # type: ignore[literal-required]


@pytest.mark.filterwarnings("ignore:.*both gradients act")
@pytest.mark.parametrize("places", SEVERAL_COSTS)
def test_training_reports_the_sum_of_several_costs_too(places: str, device: str, network: Build) -> None:
    text, _ = SEVERAL_COSTS[places]
    net = network(VAE.replace("[sampling]\nbeta=0.8\n", "") + text, device=device)
    random = np.random.default_rng(0)
    x, truth = random.normal(size=(10, 6)), random.uniform(0.1, 0.9, size=(10, 6))
    if places == "one beside a softmax":
        truth /= truth.sum(1, keepdims=True)
    history = net.train(x, 1, truth, learning_rate=1e-30)
    found = net.evaluate(x, truth)
    for name in ("image_loss", "latent_loss", "total_loss"):
        assert getattr(history, name) == [pytest.approx(found[name], rel=1e-5)]  # type: ignore[literal-required]


@pytest.mark.parametrize(
    "keys", ["free_bits=0.12", "free_bits_total=0.4", "capacity=0.4", "beta_warmup=3", "capacity=1\ncapacity_batches=2"]
)
def test_what_a_latent_loss_may_cost_otherwise_has_its_gradient(keys: str, device: str, network: Build) -> None:
    """Free bits of latent values and of rows, and a capacity: some of both sides of the limit in this batch."""
    two = "[connected]\noutput=4\nactivation=linear\n[sampling]\nbeta=0.3\nfree_bits_total=0.1\n[connected]\noutput=6\n"
    text = VAE.replace("beta=0.8\n", f"beta=0.8\n{keys}\n").replace("output=4\n", "output=8\n", 1) + "activation=linear\n"
    problem = Problem(network(text.replace("activation=linear\nactivation", "activation") + two + SSE, device=device), 4)
    check(problem, problem.gradients())


def test_kl_is_the_closed_form(network: Build) -> None:
    net = network(VAE + SSE)
    x = np.random.default_rng(1).normal(size=(4, 6)).astype(np.float32)
    mean, log_variance = (a.astype(np.float64) for a in net.encode(x))
    kl = 0.5 * (np.exp(log_variance) + mean**2 - 1 - log_variance).sum(1).mean()
    assert net.evaluate(x)["latent_loss"] == pytest.approx(kl, rel=1e-6)


def test_the_check_fails_on_the_wrong_log_variance_factor(network: Build) -> None:
    """The published fork's gradient has twice the KL weight on the log-variance; a check worth its name sees that."""
    problem = Problem(network(VAE + SSE), 4)
    gradients = problem.gradients()
    check(problem, gradients)
    log_variance = problem.net.encode(problem.x)[1]
    extra = np.zeros(4, np.float32)
    extra[:2] = 0.5 * 0.8 * 0.5 * (np.exp(log_variance) - 1).sum(0)  # s beta 0.5 (exp(lv) - 1) once more
    biases = [name for _, name in problem.tensors].index("biases")
    wrong = list(gradients)
    wrong[biases] = wrong[biases] + extra
    with pytest.raises(AssertionError, match=r"\[connected\] biases"):
        check(problem, wrong)


def test_gradients_do_not_depend_on_how_a_batch_is_split(tmp_path: Path) -> None:
    text = "[net]\nbatch=8\nsubdivisions={}\ninputs=6\nlearning_rate=0.1\n" + DENSE + SSE
    x = np.random.default_rng(0).normal(size=(8, 6)).astype(np.float32)
    truth = np.random.default_rng(1).normal(size=(8, 5)).astype(np.float32)
    weights = []
    for parts in (1, 2, 4):
        Path("net.cfg").write_text(text.format(parts))
        net = dv.Network("net.cfg", seed=1)
        for part in range(parts):
            rows = slice(part * 8 // parts, (part + 1) * 8 // parts)
            net.forward(x[rows], truth[rows], train=True)
            net.backward()
        net.update()
        weights.append(net.layers[0].params["weights"])
    np.testing.assert_allclose(weights[1], weights[0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(weights[2], weights[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("adam", [0, 1])
def test_the_update_is_the_recipe_in_double_precision(adam: int, device: str, network: Build) -> None:
    text = f"[net]\nbatch=4\ninputs=3\nlearning_rate=0.05\nmomentum=0.8\ndecay=0.01\nadam={adam}\n" + DENSE + SSE
    net = network(text, device=device)
    random = np.random.default_rng(0)
    w = net.layers[0].params["weights"].astype(np.float64)
    b = net.layers[0].params["biases"].astype(np.float64)
    moments = [np.zeros_like(w), np.zeros_like(w), np.zeros_like(b), np.zeros_like(b)]
    for t in range(1, 5):
        net.forward(random.normal(size=(4, 3)), random.normal(size=(4, 5)), train=True)
        net.backward()
        gw, gb = (-net.layers[0].grads[n].astype(np.float64) for n in ("weights", "biases"))
        net.update()
        for value, g, k, decay in ((w, gw, 0, 0.01), (b, gb, 2, 0.01 if adam else 0)):
            if adam:
                d = g + decay * 4 * value
                moments[k] = 0.9 * moments[k] + 0.1 * d
                moments[k + 1] = 0.999 * moments[k + 1] + 0.001 * d * d
                value -= 0.05 * (moments[k] / (1 - 0.9**t)) / (np.sqrt(moments[k + 1] / (1 - 0.999**t)) + 1e-7)
            else:
                moments[k] = 0.8 * moments[k] + g / 4 + decay * value
                value -= 0.05 * moments[k]
        np.testing.assert_allclose(net.layers[0].params["weights"], w, rtol=2e-5, atol=2e-6)
        np.testing.assert_allclose(net.layers[0].params["biases"], b, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("kind", NETWORKS)
def test_layer_leaves_the_devices_memory_alone(kind: str, network: Build) -> None:
    """On the `fence` device the host may not touch what belongs to the device; the numbers are those of the CPU, but for the
    rounding of convolutions, which are composed there."""
    problems = [problem_of(kind, 3, network, device=device) for device in ("cpu", "fence")]
    losses = [problem.loss() for problem in problems]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    for problem in problems:
        problem.net.backward()
        problem.net.update()
    for layer, name in problems[0].tensors:
        other = problems[1].net.layers[layer.index]
        np.testing.assert_allclose(other.params[name], layer.params[name], rtol=1e-4, atol=1e-5)


def test_stopbackward_leaves_what_arrived_and_clears_what_lies_below(network: Build) -> None:
    """As in Darknet: the layer's own delta is what the layers above handed down, nothing goes on from there."""
    text = "[net]\nbatch=2\ninputs=3\n" + DENSE + "[connected]\noutput=4\nactivation=linear\n{}[connected]\noutput=2\n" + SSE
    random = np.random.default_rng(0)
    x, truth = random.normal(size=(2, 3)), random.normal(size=(2, 2))
    nets = [network(text.format(key)) for key in ("", "stopbackward=1\n")]
    for net in nets:
        for _ in range(2):  # the second pass may not show the first one's
            net.forward(x, truth, train=True)
            net.backward()
    whole, stopped = nets
    np.testing.assert_allclose(stopped.layers[1].delta, whole.layers[1].delta, rtol=1e-6)
    assert np.abs(stopped.layers[1].delta).max() > 0
    assert not stopped.layers[0].delta.any()
    assert not stopped.layers[1].grads["weights"].any() and stopped.layers[2].grads["weights"].any()
