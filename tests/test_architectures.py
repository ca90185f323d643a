"""Published networks, built here from their descriptions: they build, hold as many values as their published weights files,
load such files and run, at a small input size.

Darknet-19, YOLO v2: Redmon and Farhadi, arXiv:1612.08242. Darknet-53, YOLO v3: arXiv:1804.02767. Residual networks: He et al.,
arXiv:1512.03385, with Darknet's shortcuts, which add the channels that both sides have.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import darknet_vae as dv


def conv(filters: int, size: int, stride: int = 1, activation: str = "leaky", norm: int = 1) -> str:
    shape = f"filters={filters}\nsize={size}\nstride={stride}\npad=1\n"
    return f"[convolutional]\nbatch_normalize={norm}\n{shape}activation={activation}\n"


def pool(size: int = 2, stride: int = 2) -> str:
    return f"[maxpool]\nsize={size}\nstride={stride}\n"


def shortcut(source: int, activation: str = "linear") -> str:
    return f"[shortcut]\nfrom={source}\nactivation={activation}\n"


def route(*layers: int) -> str:
    return f"[route]\nlayers={','.join(map(str, layers))}\n"


def head(kind: str, keys: str) -> str:
    """A detection layer; where the core lacks it an identity, so that the others keep their numbers."""
    return f"[{kind}]\n{keys}" if kind in dv.layer_types() else "[activation]\nactivation=linear\n"


def narrow_and_wide(filters: int, pairs: int) -> str:
    """3x3 convolutions with a 1x1 one of half the filters before each but the first."""
    return conv(filters, 3) + pairs * (conv(filters // 2, 1) + conv(filters, 3))


def darknet19() -> str:
    parts = [conv(32, 3), conv(64, 3), narrow_and_wide(128, 1), narrow_and_wide(256, 1), narrow_and_wide(512, 2)]
    return pool().join([*parts, narrow_and_wide(1024, 2)]) + conv(1000, 1, activation="linear", norm=0) + "[avgpool]\n[softmax]\n"


def darknet53_body() -> str:
    text = conv(32, 3)
    for filters, blocks in ((64, 1), (128, 2), (256, 8), (512, 8), (1024, 4)):
        text += conv(filters, 3, 2) + blocks * (conv(filters // 2, 1) + conv(filters, 3) + shortcut(-3))
    return text


CLASSIFY = "[avgpool]\n" + conv(1000, 1, activation="linear", norm=0) + "[softmax]\n"


def resnet(blocks: tuple[int, ...], deep: bool) -> str:
    text = conv(64, 7, 2) + pool()
    for stage, count in enumerate(blocks):
        filters = 64 * 2**stage
        for block in range(count):
            stride = 2 if stage and not block else 1
            if deep:
                text += conv(filters, 1) + conv(filters, 3, stride) + conv(4 * filters, 1, activation="linear")
                text += shortcut(-4, "leaky")
            else:
                text += conv(filters, 3, stride) + conv(filters, 3, activation="linear") + shortcut(-3, "leaky")
    return text + CLASSIFY


def squeezed() -> str:
    """The small reference classifier: pairs of 1x1 and 3x3 convolutions."""
    text = conv(16, 3) + pool() + conv(32, 3) + pool()
    for narrow, end in ((16, pool()), (32, pool()), (64, conv(128, 1))):
        text += 2 * (conv(narrow, 1) + conv(8 * narrow, 3)) + end
    return text + conv(1000, 1, activation="linear", norm=0) + "[avgpool]\n[softmax]\n"


def yolo_head(mask: str, anchors: int) -> str:
    pairs = ",".join(str(10 + 10 * k) for k in range(2 * anchors))
    return conv(255, 1, activation="linear", norm=0) + head("yolo", f"mask={mask}\nanchors={pairs}\nclasses=80\nnum={anchors}\n")


def pyramid() -> str:
    """3x3 convolutions from 16 to 512 filters, halved between them, and 1024 without halving: what the small YOLOs begin with."""
    return "".join(conv(16 * 2**k, 3) + pool(2, 1 if k == 5 else 2) for k in range(6)) + conv(1024, 3)


def yolov3_tiny() -> str:
    text = pyramid() + conv(256, 1) + conv(512, 3) + yolo_head("3,4,5", 6)
    return text + route(-4) + conv(128, 1) + "[upsample]\nstride=2\n" + route(-1, 8) + conv(256, 3) + yolo_head("0,1,2", 6)


def yolov3() -> str:
    text = darknet53_body()
    for filters, mask, source in ((1024, "6,7,8", 61), (512, "3,4,5", 36), (256, "0,1,2", None)):
        text += 3 * (conv(filters // 2, 1) + conv(filters, 3)) + yolo_head(mask, 9)
        if source is not None:
            text += route(-4) + conv(filters // 4, 1) + "[upsample]\nstride=2\n" + route(-1, source)
    return text


def yolov2_tiny() -> str:
    region = "anchors=1,1,2,2,3,3,4,4,5,5\nclasses=80\ncoords=4\nnum=5\nsoftmax=1\n"
    return pyramid() + conv(512, 3) + conv(425, 1, activation="linear", norm=0) + head("region", region)


RECURRENT = "[connected]\noutput=256\nactivation=linear\n[softmax]\n"
IMAGE = "[net]\nbatch=1\nheight={0}\nwidth={0}\nchannels=3\n"
VECTOR = "[net]\nbatch=1\ninputs=256\n"
# name: cfg, input size, values in its weights file
NETWORKS: dict[str, tuple[Callable[[], str], int, int]] = {
    "tiny": (squeezed, 64, 1_046_488),
    "darknet19": (darknet19, 64, 20_856_776),
    "darknet53": (lambda: darknet53_body() + CLASSIFY, 64, 41_645_640),
    "resnet18": (lambda: resnet((2, 2, 2, 2), False), 64, 11_523_496),
    "resnet50": (lambda: resnet((3, 4, 6, 3), True), 64, 22_825_896),
    "yolov2-tiny": (yolov2_tiny, 96, 11_237_145),
    "yolov3-tiny": (yolov3_tiny, 96, 8_858_734),
    "yolov3": (yolov3, 64, 62_001_757),
    "rnn": (lambda: 3 * "[rnn]\noutput=1024\nbatch_normalize=1\nactivation=leaky\n" + RECURRENT, 0, 8_950_016),
    "gru": (lambda: 3 * "[gru]\noutput=256\n" + RECURRENT, 0, 1_250_048),
}
LARGE = ("darknet53", "yolov3")


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.slow if name in LARGE else ()) for name in NETWORKS])
def test_a_published_network_holds_its_weights_and_runs(name: str) -> None:
    build, size, count = NETWORKS[name]
    Path("net.cfg").write_text((IMAGE.format(size) if size else VECTOR) + build())
    net = dv.Network("net.cfg", seed=1)
    assert net.describe()["weights_bytes"] == 20 + 4 * count
    for layer in net.layers:  # a variance of 0, which no training leaves, would blow the values up
        for tensor in layer.params:
            if tensor.endswith("rolling_variance"):
                layer.set(tensor, np.ones(layer.params[tensor].shape))
    net.save("net.weights")
    assert os.path.getsize("net.weights") == 20 + 4 * count
    x = np.random.default_rng(0).uniform(size=(1, net.inputs)).astype(np.float32)
    first = net.predict(x)
    assert np.isfinite(first).all()
    other = next(layer for layer in net.layers if layer.params)
    for tensor in other.params:
        other.set(tensor, np.zeros(other.params[tensor].shape))
    net.reset_state()
    assert not np.array_equal(net.predict(x), first)
    net.load_weights("net.weights")
    net.reset_state()
    np.testing.assert_array_equal(net.predict(x), first)
    with open("net.weights", "ab") as file:
        file.write(b"\0\0\0\0")
    with pytest.raises(dv.errors.FormatError, match=f"the network has {count}, the file {count + 1}"):
        net.load_weights("net.weights")
    if net.layers[-1].type == "softmax":
        assert first.sum() == pytest.approx(1, rel=1e-4)
    assert net.memory_bytes < net.training_bytes
    Path("net.weights").unlink()


def test_a_detector_trained_at_one_size_runs_at_another() -> None:
    Path("net.cfg").write_text(IMAGE.format(64) + yolov3_tiny())
    net = dv.Network("net.cfg", seed=1)
    shape = net.layers[-1].shape
    net.resize(height=96, width=128)
    assert net.layers[-1].shape == (shape[0], shape[1] // 2 * 3, shape[2] * 2)
    assert np.isfinite(net.predict(np.zeros((1, net.inputs)))).all()
