"""Keys and names of Darknet's cfg files that many networks share, each against its meaning."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import darknet_vae as dv
from darknet_vae._lib import lib, text

Build = Callable[..., dv.Network]
IMAGE = "[net]\nheight=5\nwidth=4\nchannels=3\nbatch=2\nlearning_rate=0.1\ndecay=0\n"
CONV = IMAGE + "[convolutional]\nfilters=4\nsize={size}\npad=1\nactivation=linear\n{keys}[cost]\n"
DENSE = "[connected]\noutput=3\nactivation=tanh\n"
VECTOR = "[net]\ninputs=4\nbatch=2\nlearning_rate=0.1\nmomentum=0\ndecay=0\n"


def step(net: dv.Network, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    x = random.normal(size=(net.batch, net.inputs)).astype(np.float32)
    net.forward(x, random.normal(size=(net.batch, net.truths)), train=True)
    net.backward()
    return x


@pytest.mark.parametrize(
    ("alias", "name"),
    [("conv", "convolutional"), ("deconv", "deconvolutional"), ("conn", "connected"), ("max", "maxpool"), ("avg", "avgpool"),
     ("soft", "softmax"), ("lrn", "normalization")],
)  # fmt: skip
def test_short_section_names(alias: str, name: str, network: Build) -> None:
    assert network(IMAGE + f"[{alias}]\n").layers[0].type == name
    assert network(IMAGE.replace("[net]", "[network]") + f"[{name}]\n").layers[0].type == name


@pytest.mark.parametrize("size", [1, 3])
def test_xnor_convolves_signs_with_the_mean_size_of_each_filter(size: int, network: Build) -> None:
    """Rastegari et al., arXiv:1603.05279, without the scaling of inputs; the gradient is that of the real numbers."""
    net, plain = (network(CONV.format(size=size, keys=keys), seed=1) for keys in ("xnor=1\n", ""))
    x = step(net)
    w = plain.layers[0].params["weights"]
    binary = np.where(w > 0, 1, -1) * np.abs(w).mean(axis=(1, 2, 3), keepdims=True)
    plain.layers[0].set("weights", binary)
    signs = np.where(x > 0, 1, -1).astype(np.float32)
    np.testing.assert_allclose(net.forward(x), plain.forward(signs), rtol=1e-5, atol=1e-6)


@pytest.mark.filterwarnings("ignore:.*binary=1 has no effect")
def test_binary_has_no_effect_as_on_darknets_cpu_and_trains(network: Build) -> None:
    nets = [network(CONV.format(size=3, keys=keys), seed=1) for keys in ("binary=1\n", "")]
    for _ in range(2):
        for net in nets:
            step(net)
            net.update()
    np.testing.assert_array_equal(nets[0].layers[0].params["weights"], nets[1].layers[0].params["weights"])


def test_stopbackward_ends_the_backward_pass_above_the_layer(network: Build) -> None:
    net = network(VECTOR + DENSE + DENSE.replace("output=3", "output=3\nstopbackward=1") + DENSE + "[cost]\n")
    step(net)
    gradients = [layer.grads["weights"].any() for layer in net.layers[:3]]
    assert gradients == [False, False, True]


def test_a_layers_learning_rate_is_a_factor_of_the_networks(network: Build) -> None:
    moves = []
    for keys in ("", "learning_rate=0\n", "learning_rate=0.5\n"):
        net = network(VECTOR + DENSE + keys + DENSE + "[cost]\n", seed=1)
        before = [layer.params["weights"] for layer in net.layers[:2]]
        step(net)
        net.update()
        moves.append([layer.params["weights"] - old for layer, old in zip(net.layers, before, strict=False)])
    assert moves[0][0].any() and not moves[1][0].any()
    np.testing.assert_allclose(moves[2][0], 0.5 * moves[0][0], rtol=1e-3, atol=1e-7)
    for other in moves[1:]:
        np.testing.assert_array_equal(other[1], moves[0][1])


def warnings_of(net: dv.Network) -> list[str]:
    return [text(lib.dn_net_warning(net._handle, i)) for i in range(lib.dn_net_warning_count(net._handle))]


def test_a_cost_after_a_loss_is_told_because_both_act(network: Build) -> None:
    """As resnet101's cfg has it; its reported cost is the mean of both."""
    text_of = VECTOR + DENSE + "[softmax]\n{}"
    with pytest.warns(UserWarning, match=r"net\.cfg:\d+: \[cost\] after \[softmax\], which has a loss of its own"):
        double = network(text_of.format("[cost]\n"), seed=1)
    plain = network(text_of.format(""), seed=1)
    assert not warnings_of(plain)
    assert not warnings_of(network(text_of.format("noloss=1\n[cost]\n")))
    x, truth = np.ones((2, 4)), np.eye(3)[:2]
    p = double.forward(x, truth)
    plain.forward(x, truth)
    assert double.cost == pytest.approx((plain.cost + float(((truth - p) ** 2).sum())) / 2, rel=1e-5)


def test_keys_that_change_training_elsewhere_are_told_to_have_no_effect(network: Build) -> None:
    text = VECTOR + "{}" + DENSE + "{}[cost]\n{}"
    with pytest.warns(UserWarning, match=r"net\.cfg:\d+: \[net\] clip=0.5 has no effect"):
        network(text.format("clip=0.5\n", "", ""))
    with pytest.warns(UserWarning, match=r"\[connected\] truth=1 has no effect"):
        network(text.format("", "truth=1\n", ""))
    with pytest.warns(UserWarning, match=r"\[cost\] noobj=0.5 has no effect"):
        network(text.format("", "", "type=seg\nnoobj=0.5\n"))
    assert not warnings_of(network(text.format("clip=0\n", "truth=0\n", "noobj=1\nratio=0\n")))


@pytest.mark.filterwarnings("ignore")
def test_warnings_are_told_once_though_a_resized_network_reads_its_cfg_again(network: Build) -> None:
    net = network(IMAGE + "[conv]\nfilter=2\n[softmax]\n[cost]\n")
    before = warnings_of(net)
    assert len(before) == 2
    net.resize(height=9)
    assert warnings_of(net) == before


def test_settings_of_the_optimiser_that_cannot_train_are_errors(network: Build) -> None:
    net = "[net]\ninputs=3\n{}[connected]\n[cost]\n"
    for key, message in {
        "learning_rate=-0.1": "learning_rate=-0.1 is below 0",
        "momentum=1": r"momentum=1 is not in \[0, 1\)",
        "momentum=-0.9": r"momentum=-0.9 is not in \[0, 1\)",
        "B1=1.5": r"B1=1.5 is not in \[0, 1\)",
        "B2=1": r"B2=1 is not in \[0, 1\)",
        "eps=0": "eps=0 is not above 0",
        "learning_rate=nan": "learning_rate=nan is not a number",
        "policy=cosin": "policy=cosin is not one of",
        "policy=cosine": "policy=cosine needs max_batches",
        "policy=steps\nsteps=1,2\nscales=0.1": "got 2 and 1",
        "policy=poly": "policy=poly needs max_batches",
        "policy=step\nstep=0": "step=0 is below 1",
    }.items():
        with pytest.raises(dv.errors.FormatError, match=r"net\.cfg:\d+: \[net\] .*" + message):
            network(net.format(key + "\n"))


def test_start_weights_of_connected_layers_are_glorots_or_base_darknets(network: Build) -> None:
    text = "[net]\ninputs=50\n[connected]\noutput=1000\n{}"
    for keys, limit in (("", (6 / 1050) ** 0.5), ("init=glorot\n", (6 / 1050) ** 0.5), ("init=he\n", (2 / 50) ** 0.5)):
        w = network(text.format(keys)).layers[0].params["weights"]
        assert np.abs(w).max() <= limit
        assert w.std() == pytest.approx(limit / 3**0.5, rel=0.02)
    with pytest.raises(dv.errors.FormatError, match=r"\[connected\] init=xavier is not glorot or he"):
        network(text.format("init=xavier\n"))


def test_padding_of_local_layers_may_be_said_in_pixels(network: Build) -> None:
    nets = [network(IMAGE + f"[local]\nfilters=2\nsize=5\npad={pad}\n", seed=1) for pad in (1, 2)]
    x = np.random.default_rng(0).normal(size=(2, nets[0].inputs))
    np.testing.assert_array_equal(nets[0].predict(x), nets[1].predict(x))
    with pytest.raises(dv.errors.FormatError, match="pad=3 is neither 0 nor 1 nor size/2=2 pixels"):
        network(IMAGE + "[local]\nfilters=2\nsize=5\npad=3\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[net]\nheight=1048576\nwidth=1\nchannels=1\n[upsample]\nstride=32768\n", "stride=32768 makes too much of 1048576 x 1"),
        (IMAGE + "[upsample]\nstride=-5\n", "blocks of stride=-5 are larger than the input 5 x 4"),
        (VECTOR + "[route]\nlayers=-1\n", r"layers=-1, but this is the first layer: there is none before it"),
        (VECTOR + "[shortcut]\nfrom=-3\n", r"from=-3, but this is the first layer: there is none before it"),
        (VECTOR + DENSE + "[route]\nlayers=-2\n", r"layers=-2 is not a layer before this one \(0 to 0\)"),
        (VECTOR + "[connected]\noutput=2147483647\n" + DENSE + "[route]\nlayers=-1,-2\n", "2147483650 outputs are too many"),
        (IMAGE + "[upsample]\nstride=0\n", "stride=0 gives no output"),
        (IMAGE + "[upsample]\nstride=32768\n" * 4, "makes too much|values|large"),
    ],
)
def test_sizes_beyond_what_can_be_counted_are_errors(text: str, message: str, network: Build) -> None:
    with pytest.raises(dv.errors.FormatError, match=message):
        network(text)
