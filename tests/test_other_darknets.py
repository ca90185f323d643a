"""Keys, layers and names of newer Darknets: what would change results is an error with its line, never a silent difference."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers import BINARY, ROOT, run

import darknet_vae as dv
from darknet_vae._lib import lib, text

Build = Callable[..., dv.Network]
IMAGE = "[net]\nheight=8\nwidth=8\nchannels=4\nbatch=1\n"
CONV = "[convolutional]\nfilters=4\nsize=3\npad=1\nstride=2\nactivation=linear\n"
YOLO = IMAGE + "[convolutional]\nfilters=7\nactivation=linear\n[yolo]\nanchors=2,2\nnum=1\nclasses=2\n"
REGION = IMAGE + "[convolutional]\nfilters=7\nactivation=linear\n[region]\nanchors=2,2\nnum=1\nclasses=2\n"
TWICE = IMAGE + CONV.replace("stride=2\n", "")
BASES = {
    "convolutional": IMAGE + CONV,
    "maxpool": IMAGE + "[maxpool]\nsize=2\nstride=2\n",
    "route": IMAGE + CONV + "[route]\nlayers=-1\n",
    "shortcut": TWICE + CONV.replace("stride=2\n", "") + "[shortcut]\nfrom=-2\n",
    "rnn": "[net]\ninputs=3\n[rnn]\noutput=4\n",
    "crnn": IMAGE + "[crnn]\noutput_filters=3\nhidden_filters=2\n",
    "yolo": YOLO,
    "region": REGION,
    "dropout": IMAGE + CONV + "[dropout]\n",
    "net": "[connected]\noutput=2\n",
}
OUTPUT = [
    ("convolutional", "stride_x=1"), ("convolutional", "stride_y=3"), ("convolutional", "dilation=2"),
    ("convolutional", "antialiasing=1"), ("convolutional", "share_index=0"), ("convolutional", "cbn=1"),
    ("convolutional", "sway=1"), ("convolutional", "rotate=1"), ("convolutional", "stretch=1"),
    ("convolutional", "stretch_sway=1"), ("convolutional", "deform=1"), ("convolutional", "coordconv=1"),
    ("convolutional", "bin_output=1"), ("maxpool", "stride_x=1"), ("maxpool", "stride_y=1"), ("maxpool", "maxpool_depth=1"),
    ("maxpool", "antialiasing=1"), ("route", "groups=2"), ("route", "group_id=1"), ("shortcut", "weights_type=per_channel"),
    ("shortcut", "weights_normalization=softmax"), ("rnn", "hidden=5"), ("rnn", "logistic=1"), ("crnn", "output=8"),
    ("crnn", "hidden=16"), ("crnn", "size=5"), ("crnn", "stride=2"), ("crnn", "pad=0"), ("crnn", "groups=2"),
    ("crnn", "dilation=2"), ("crnn", "xnor=1"), ("yolo", "scale_x_y=1.05"), ("yolo", "scale_x_y = 2.0"), ("yolo", "new_coords=1"),
    ("yolo", "nms_kind=greedynms"),
]  # fmt: skip
NEUTRAL = [
    ("convolutional", "stride_x=2"), ("convolutional", "stride_y=2.0"), ("convolutional", "dilation=1"),
    ("convolutional", "antialiasing=0"), ("convolutional", "groups=1"), ("maxpool", "stride_x=2"), ("maxpool", "maxpool_depth=0"),
    ("maxpool", "out_channels=1"), ("route", "groups=1"), ("route", "group_id=0"), ("shortcut", "weights_type=none"),
    ("rnn", "hidden=4"), ("crnn", "output=3"), ("crnn", "hidden=2"), ("crnn", "size=3"), ("crnn", "pad=1"),
    ("yolo", "scale_x_y=1"), ("yolo", "scale_x_y=1.0"), ("yolo", "new_coords=0"), ("yolo", "nms_kind=default"),
    ("yolo", "iou_loss=mse"),
    ("yolo", "iou_normalizer=1.0"), ("yolo", "resize=1"), ("region", "focal_loss=0"), ("dropout", "dropblock=0"),
]  # fmt: skip
TRAINING = [
    ("yolo", "iou_loss=ciou"), ("yolo", "iou_normalizer=0.07"), ("yolo", "obj_normalizer=0.4"), ("yolo", "cls_normalizer=0.5"),
    ("yolo", "max_delta=5"), ("yolo", "iou_thresh=0.213"), ("yolo", "label_smooth_eps=0.1"), ("yolo", "focal_loss=1"),
    ("yolo", "objectness_smooth=1"), ("yolo", "counters_per_class=10, 20"), ("region", "focal_loss=1"),
    ("convolutional", "grad_centr=1"), ("convolutional", "assisted_excitation=4000"), ("convolutional", "dont_update=1"),
    ("convolutional", "train_only_bn=1"), ("dropout", "dropblock=1"), ("shortcut", "assisted_excitation=1"),
]  # fmt: skip
NONE = [
    ("maxpool", "out_channels=2"), ("route", "stream=1"), ("yolo", "beta_nms=0.5"), ("yolo", "resize=1.5"),
    ("yolo", "track_history_size=3"), ("convolutional", "angle=20"),
]  # fmt: skip


def warnings_of(net: dv.Network) -> list[str]:
    return [text(lib.dn_net_warning(net._handle, i)) for i in range(lib.dn_net_warning_count(net._handle))]


def case(kind: str, line: str) -> tuple[str, int, str]:
    """The cfg, the line of the key in it, and the key as messages show it."""
    cfg = BASES[kind] + line + "\n"
    return cfg, cfg.count("\n"), re.escape(line.replace(" ", ""))


@pytest.mark.parametrize(("kind", "line"), OUTPUT)
def test_a_key_that_changes_results_elsewhere_is_an_error_at_its_line(kind: str, line: str, network: Build) -> None:
    cfg, number, shown = case(kind, line)
    message = rf"net\.cfg:{number}: \[{kind}\] {shown} changes what the layer computes and is not supported"
    with pytest.raises(dv.errors.FormatError, match=message):
        network(cfg)


@pytest.mark.parametrize(("kind", "line"), NEUTRAL)
def test_its_neutral_value_is_taken_in_silence(kind: str, line: str, network: Build) -> None:
    plain, net = network(BASES[kind], seed=1), network(BASES[kind] + line + "\n", seed=1)
    assert not warnings_of(net)
    x = np.random.default_rng(0).normal(size=(1, net.inputs))
    np.testing.assert_array_equal(net.predict(x), plain.predict(x))


@pytest.mark.parametrize(("kind", "line"), TRAINING)
def test_a_key_of_training_alone_lets_predict_and_refuses_to_train(kind: str, line: str, network: Build) -> None:
    cfg, number, shown = case(kind, line)
    with pytest.warns(UserWarning, match=rf"net\.cfg:{number}: \[{kind}\] {shown} changes training and is not supported"):
        net = network(cfg, seed=1)
    x = np.random.default_rng(0).normal(size=(1, net.inputs))
    np.testing.assert_array_equal(net.predict(x), network(BASES[kind], seed=1).predict(x))
    net.save("w.weights")
    net.load_weights("w.weights")
    message = rf"net\.cfg:{number}: \[{kind}\] {shown} changes training and is not supported"
    for _ in range(2):
        net.forward(x, train=True)
        with pytest.raises(dv.errors.FormatError, match=message):
            net.backward()


def test_a_network_that_may_not_be_trained_is_refused_by_train_too(network: Build) -> None:
    cfg = "[net]\ninputs=2\nema_alpha=0.9\n[connected]\noutput=2\n[cost]\n"
    with pytest.warns(UserWarning, match="ema_alpha=0.9 changes training"):
        net = network(cfg)
    with pytest.raises(dv.errors.FormatError, match=r"net\.cfg:3: \[net\] ema_alpha=0\.9 changes training"):
        net.train(np.zeros((3, 2)), epochs=1)


@pytest.mark.parametrize(("kind", "line"), NONE)
def test_a_key_without_effect_here_is_told(kind: str, line: str, network: Build) -> None:
    cfg, number, shown = case(kind, line)
    with pytest.warns(UserWarning, match=rf"net\.cfg:{number}: \[{kind}\] {shown} has no effect"):
        network(cfg)


@pytest.mark.filterwarnings("ignore")
def test_image_trainers_keys_of_net_are_told_and_do_not_stop_anything(network: Build) -> None:
    net = network("[net]\ninputs=2\nmosaic=1\ncutmix=1\nletter_box=1\nflip=0\nloss_scale=128\n[connected]\noutput=2\n[cost]\n")
    assert len(warnings_of(net)) == 5 and all("has no effect" in line for line in warnings_of(net))
    net.train(np.zeros((3, 2)), epochs=1)


def test_a_shortcut_from_several_layers_is_an_error(network: Build) -> None:
    with pytest.raises(dv.errors.FormatError, match=r"\[shortcut\] from=-2, -3: several layers .* not supported"):
        network(BASES["shortcut"].replace("from=-2", "from=-2, -3"))


@pytest.mark.parametrize("kind", ["sam", "scale_channels", "Gaussian_yolo", "local_avgpool", "implicit", "conv_lstm", "silence"])
def test_layer_types_of_newer_darknets_are_called_that(kind: str, network: Build) -> None:
    with pytest.raises(
        dv.errors.FormatError, match=rf"net\.cfg:6: \[{kind}\] this layer type of newer Darknets is not supported"
    ):
        network(IMAGE + f"[{kind}]\n")


@pytest.mark.parametrize("name", ["mish", "swish", "hard_mish", "normalize_channels", "gelu", "relu6"])
def test_activations_of_newer_darknets_are_called_that(name: str, network: Build) -> None:
    with pytest.raises(dv.errors.FormatError, match=rf"net\.cfg:11: .* activation={name} of newer Darknets is not supported"):
        network(IMAGE + CONV.replace("linear", name))


@pytest.mark.parametrize(
    ("cfg", "message"),
    [
        ("[net]\ninputs=2\n[conected]\n", r"net\.cfg:3: \[conected\] unknown layer type \(did you mean 'connected'\?\)"),
        ("[net]\ninputs=2\n[zzzzzzzz]\n", r"net\.cfg:3: \[zzzzzzzz\] unknown layer type$"),
        ("[net]\ninputs=2\n[connected]\n[net]\n", r"net\.cfg:4: \[net\] a second section about the whole network: there is one"),
        ("[nett]\ninputs=2\n", r"the first section must be \[net\] \(did you mean 'net'\?\)"),
        ("[net]\ninputs=2\n[connected]\nactivation=lekay\n", r"unknown activation 'lekay' \(did you mean 'leaky'\?\)"),
        ("[net]\ninputs=2\n[connected]\nactivation=Relu\n", r"unknown activation 'Relu' \(did you mean 'relu'\?\)"),
        ("[net]\ninputs=2\npolicy=Steps\n[connected]\n", r"policy=Steps is not one of constant, .* \(did you mean 'steps'\?\)"),
        ("[net]\ninputs=2\n[connected]\n[cost]\ntype=l1\n", r"type=l1 is not one of sse, .* \(did you mean 'L1'\?\)"),
        ("[net]\ninputs=2\n[connected]\n[cost]\ntype=smoth\n", r"\(did you mean 'smooth'\?\)"),
        ("[net]\ninputs=2\n[connected]\ninit=Glorot\n", r"init=Glorot is not glorot or he \(did you mean 'glorot'\?\)"),
        ("[net]\ninputs=2\nbn_epsilon=legcay\n[connected]\n", r"bn_epsilon=legcay is not a number or legacy \(did you mean"),
    ],
)
def test_unknown_names_are_errors_that_offer_the_nearest_one(cfg: str, message: str, network: Build) -> None:
    with pytest.raises(dv.errors.FormatError, match=message):
        network(cfg)


def test_devices_and_precisions_offer_the_nearest_one_too(network: Build) -> None:
    cfg = "[net]\ninputs=2\n[connected]\n"
    with pytest.raises(dv.errors.DeviceError, match=r"device 'cdua' is unknown: .* \(did you mean 'cuda'\?\)"):
        network(cfg, device="cdua")
    with pytest.raises(dv.errors.UsageError, match=r"precision 'tf23' is unknown: .* \(did you mean 'tf32'\?\)"):
        network(cfg, precision="tf23")


def test_every_key_of_the_table_is_in_the_document() -> None:
    rows = re.findall(r'^    \{"(\S+)", "(\w+)", ', (ROOT / "csrc" / "io" / "foreign.c").read_text(), flags=re.M)
    document = (ROOT / "docs" / "cfg.md").read_text().partition("## Keys of newer Darknets")[2]
    assert len(rows) > 90
    for kind, key in rows:
        line = next(
            line for line in document.splitlines() if line.startswith(f"| {'every layer' if kind == '*' else f'[{kind}]'} ")
        )
        assert f"`{key}`" in line, (kind, key)


# ---- images that do not fit together ----

SIZES = IMAGE.replace("height=8\nwidth=8", "height=5\nwidth=6") + (
    "[convolutional]\nfilters=2\n[convolutional]\nfilters=3\nsize=3\nstride=2\npad=1\n[upsample]\n[route]\nlayers=-1,0\n"
)


@pytest.mark.parametrize("between", ["", "[dropout]\n", "[batchnorm]\n[activation]\n"])
@pytest.mark.parametrize("reader", ["[convolutional]\n", "[maxpool]\n", "[upsample]\n", "[avgpool]\n", "[softmax]\nspatial=1\n"])
def test_a_route_of_images_of_different_sizes_is_named_where_an_image_is_needed(
    between: str, reader: str, network: Build
) -> None:
    cfg = SIZES + between + reader
    line = 1 + SIZES[: SIZES.index("[route]")].count("\n")
    with pytest.raises(
        dv.errors.FormatError, match=rf"net\.cfg:{line}: \[route\] joins images of 6 x 6 and 5 x 6, so its output"
    ):
        network(cfg)


def test_such_a_route_is_named_through_other_routes_and_by_a_shortcut(network: Build) -> None:
    with pytest.raises(dv.errors.FormatError, match=r"\[route\] joins layer 3, which joins images of 6 x 6 and 5 x 6, so"):
        network(SIZES + "[route]\nlayers=0,3\n[convolutional]\n")
    with pytest.raises(dv.errors.FormatError, match=r"layer 3 gives no image: the \[route\] of line \d+ joins images of 6 x 6"):
        network(SIZES + "[route]\nlayers=0\n[shortcut]\nfrom=3\n")


def test_such_a_route_may_be_used_as_a_vector(network: Build) -> None:
    net = network(SIZES + "[connected]\noutput=2\n")
    assert net.layers[3].outputs == 6 * 6 * 3 + 5 * 6 * 2 and net.outputs == 2


# ---- text in values ----


@pytest.mark.parametrize(
    ("line", "column"),
    [
        ("label_column=part no", "part no"),
        ("label_column =  part no \t\r", "part no"),
        ("label_column=part no # the label", "part no"),
        ('label_column="part #"', "part #"),
        ('label_column = " a;b " ; quoted', " a;b "),
        ('label_column="a"b', '"a"b'),
        ('label_column="', '"'),
        ("label_column=a = b", "a = b"),
    ],
)
def test_text_keeps_its_inner_blanks_and_quotes_keep_all_of_it(line: str, column: str, network: Build) -> None:
    assert network(f"[net]\ninputs=2\n{line}\n[connected]\n").label_column == column


def test_numbers_and_lists_ignore_blanks_and_names_keep_theirs(network: Build) -> None:
    cfg = (
        YOLO.replace("anchors=2,2", " anchors = 2 , 3 ")
        .replace("num=1", "n u m = 1")
        .replace("classes=2", "classes=2\nname= my head ")
    )
    net = network(cfg.replace("[yolo]", "[ yolo ]"))
    assert net.layers[1].name == "my head" and net.layers[1].type == "yolo"


def test_a_label_column_with_a_blank_is_the_label_and_no_feature() -> None:
    Path("rows.csv").write_text("a,part no,b\n0,x,1\n1,y,0\n0,x,1\n1,y,0\n")
    Path("net.cfg").write_text(
        "[net]\ninputs=2\nbatch=2\nlabel_column=part no\n[connected]\noutput=2\nactivation=linear\n[softmax]\n"
    )
    Path("three.cfg").write_text("[net]\ninputs=3\nbatch=2\nlabel_column=part no\n[connected]\noutput=3\n[cost]\n")
    assert BINARY
    done = run([BINARY, "train", "net.cfg", "rows.csv", "-epochs", "1", "-quiet"])
    assert done.returncode == 0 and Path("net.labels.txt").read_text().split() == ["x", "y"], done.stderr
    done = run([BINARY, "train", "three.cfg", "rows.csv", "-epochs", "1", "-quiet"])
    assert done.returncode == 3 and "2 columns besides the label, the network takes 3" in done.stderr


@pytest.mark.parametrize("value", ["1e39", "-1e40", "1e300"])
def test_numbers_beyond_float32_are_errors(value: str, network: Build) -> None:
    for cfg in (f"[net]\ninputs=2\ndecay={value}\n[connected]\n", YOLO.replace("2,2", f"2,{value}")):
        with pytest.raises(dv.errors.FormatError, match=rf"=(2,)?{re.escape(value)} is beyond what a float32 holds"):
            network(cfg)
