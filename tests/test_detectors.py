"""Detector heads against plain numpy: outputs, deltas, boxes, suppression, letterbox; and from a picture to detections."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import detectors
import numpy as np
import pytest

import darknet_vae as dv
from darknet_vae import detection, images
from darknet_vae._lib import lib

Build = Callable[..., dv.Network]

SOLE = "[net]\nbatch={rows}\nheight=3\nwidth=5\nchannels={channels}\n"
VECTOR = "[net]\nbatch={rows}\ninputs={channels}\n"
TREE = "animal -1\nplant -1\ncat 0\ndog 0\nbird 0\ntree 1\nmoss 1\n"
GRIDS = {
    "yolo": (SOLE, 16, "[yolo]\nmask=2,0\nanchors=1,1, 2,1, 3,3\nnum=3\nclasses=3\n"),
    "yolo_thresholds": (SOLE, 14, "[yolo]\nanchors=1,2, 3,1\nnum=2\nclasses=2\nignore_thresh=0.1\ntruth_thresh=0.2\n"),
    "yolo_max": (SOLE, 8, "[yolo]\nanchors=2,2\nclasses=3\nmax=3\n"),
    "yolo_map": (SOLE, 8, "[yolo]\nanchors=2,2\nclasses=3\nmap=map.txt\n"),
    "region_softmax": (SOLE, 16, "[region]\nanchors=1,1, 2,3\nnum=2\nclasses=3\nsoftmax=1\nbias_match=1\nrescore=1\n"),
    "region_logistic": (SOLE, 7, "[region]\nanchors=1,2\nclasses=2\nobject_scale=5\nnoobject_scale=0.5\nclass_scale=2\n"),
    "region_background": (SOLE, 8, "[region]\nanchors=1,2\nclasses=3\nsoftmax=1\nbackground=1\ncoord_scale=2\n"),
    "region_mask": (SOLE, 20, "[region]\nanchors=1,2, 2,1\nnum=2\nclasses=3\ncoords=6\nmask_scale=0.3\nmax=4\n"),
    "region_tree": (SOLE, 24, "[region]\nanchors=1,2, 2,1\nnum=2\nclasses=7\nsoftmax=1\ntree=tree.txt\nclass_scale=0.5\n"),
    "detection": (VECTOR, 117, "[detection]\nside=3\nnum=2\nclasses=3\nsqrt=1\nrescore=1\nnoobject_scale=0.5\ncoord_scale=5\n"),
    "detection_softmax": (VECTOR, 171, "[detection]\nside=3\nnum=3\nclasses=4\nsoftmax=1\nobject_scale=2\nclass_scale=1.5\n"),
    "detection_forced": (VECTOR, 60, "[detection]\nside=2\nnum=2\nclasses=3\ncoords=5\nforced=1\n"),
    "iseg": (SOLE, 5, "[iseg]\nclasses=2\nids=3\n"),
    "iseg_one": (SOLE, 2, "[iseg]\nclasses=1\nids=1\n"),
}  # fmt: skip


def head_alone(name: str, network: Build, rows: int = 3, **options: object) -> tuple[dv.Network, detectors.Head]:
    """A network that is nothing but the head: its input is the network's."""
    Path("tree.txt").write_text(TREE)
    Path("map.txt").write_text("2\n0\n1\n")
    start, channels, section = GRIDS[name]
    net = network(start.format(rows=rows, channels=channels) + section, **options)
    return net, detectors.heads(net)[0]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", GRIDS)
def test_output_delta_and_cost_are_those_of_plain_numpy(name: str, seed: int, network: Build) -> None:
    net, head = head_alone(name, network)
    random = np.random.default_rng(seed)
    x = random.normal(size=(3, net.inputs)).astype(np.float32)
    for step in range(2):
        truth = detectors.truth_of(head, 3, random)
        net.forward(x, truth, train=True)
        net.backward()
        np.testing.assert_allclose(
            net.layers[0].output, [detectors.output_of(head, row.astype(np.float64)) for row in x], rtol=1e-5, atol=1e-6
        )
        deltas = []
        for row, t in zip(x.astype(np.float64), truth, strict=True):
            targets = detectors.targets_of(head, row, t, net.seen)
            deltas.append(
                (targets.scale * (targets.target - detectors.output_of(head, row).reshape(targets.scale.shape))).ravel()
            )
        np.testing.assert_allclose(net.layers[0].delta, deltas, rtol=1e-4, atol=1e-5, err_msg=f"step {step}")
        assert net.cost == pytest.approx(np.square(deltas).sum(), rel=1e-5)


def test_the_truths_of_the_numpy_heads_reach_every_branch(network: Build) -> None:
    """Otherwise the comparison would say little: there are objects, ignored boxes, and boxes drawn to an overlapping truth."""
    net, head = head_alone("yolo_thresholds", network)
    random = np.random.default_rng(0)
    x = random.normal(size=(3, net.inputs))
    truth = detectors.truth_of(head, 3, random)
    scale = np.stack([detectors.targets_of(head, row, t, 0).scale for row, t in zip(x, truth, strict=True)])
    objects = sum(len(detectors.objects(head, t)) for t in truth)
    assert objects
    assert (scale[:, :, 4] == 0).any()  # ignored
    assert (scale[:, :, 0] > 0).sum() > objects


def test_the_gradient_through_a_label_tree(network: Build) -> None:
    """The other networks of this kind are in test_gradients.py; a tree is a file beside the cfg."""
    from test_gradients import CONV, IMAGE, Problem, check

    Path("tree.txt").write_text(TREE)
    text = IMAGE + CONV + "[conv]\nfilters=24\nsize=1\nactivation=linear\n" + GRIDS["region_tree"][2]
    problem = Problem(network(text + "[route]\nlayers=-1,-3\n" + CONV + "[conv]\nfilters=24\nactivation=linear\n"
                              + GRIDS["region_tree"][2]), 3)  # fmt: skip
    check(problem, problem.gradients())


def test_the_prior_of_early_region_training_ends(network: Build) -> None:
    net, _ = head_alone("region_logistic", network)
    x = np.random.default_rng(0).normal(size=(3, net.inputs))
    truth = np.zeros((3, 150))
    net.forward(x, truth, train=True)
    early = net.cost
    net.save("w.weights")
    data = bytearray(Path("w.weights").read_bytes())
    data[12:20] = (12800).to_bytes(8, "little")
    Path("w.weights").write_bytes(data)
    net.load_weights("w.weights")
    net.forward(x, truth, train=True)
    assert net.cost < early
    objectness = detectors.logistic(x.reshape(3, 7, 15)[:, 4])
    assert net.cost == pytest.approx((0.25 * objectness**2).sum(), rel=1e-5)


def test_a_class_without_a_box_goes_to_the_box_that_shows_it_best(network: Build) -> None:
    net, head = head_alone("region_tree", network, rows=1)
    x = np.random.default_rng(0).normal(size=(1, net.inputs))
    truth = np.zeros((1, 150), np.float32)
    truth[0, :5] = [999999, 999999, 999999, 999999, 3]  # a dog somewhere
    net.forward(x, truth, train=True)
    net.backward()
    targets = detectors.targets_of(head, x[0], truth[0], net.seen)
    wanted = targets.scale * (targets.target - detectors.output_of(head, x[0]).reshape(targets.scale.shape))
    np.testing.assert_allclose(net.layers[0].delta[0], wanted.ravel(), rtol=1e-4, atol=1e-6)
    assert (targets.scale[:, 5:] > 0).sum() == 5  # animal and plant; cat, dog, bird


def test_random_boxes_of_detection_are_drawn_from_the_seed(network: Build) -> None:
    section = "[detection]\nside=3\nnum=3\nclasses=1\nrandom=1\n"
    text = "[net]\nbatch=4\ninputs=144\n" + section
    x = np.random.default_rng(0).normal(size=(4, 144))
    truth = np.full((4, 9 * 6), 0.5)
    truth.reshape(4, 9, 6)[:, :, 0] = 1

    def responsible(seed: int, text: str = text, train: bool = True) -> np.ndarray:
        net = network(text, seed=seed)
        net.forward(x, truth, train=train)
        net.backward()
        places = net.layers[0].delta[:, 9 * 4 :].reshape(4 * 9, 3, 4)
        assert ((places != 0).any(2).sum(1) == 1).all()
        return np.argmax((places != 0).any(2), 1)

    drawn = responsible(1)
    np.testing.assert_array_equal(drawn, responsible(1))
    assert (drawn != responsible(2)).any()
    assert set(drawn) == {0, 1, 2}
    best = responsible(1, text.replace("random=1", "random=0"))
    assert (drawn != best).any()
    np.testing.assert_array_equal(responsible(1, train=False), best)


@pytest.mark.parametrize("name", GRIDS)
def test_prediction_needs_no_truth_and_a_training_step_allocates_nothing(name: str, network: Build) -> None:
    net, head = head_alone(name, network)
    x = np.random.default_rng(0).normal(size=(3, net.inputs)).astype(np.float32)
    alone = net.predict(x)
    truth = detectors.truth_of(head, 3, np.random.default_rng(0))
    for step in range(3):
        lib.dn_sys_fail_at(0)
        net.forward(x, truth, train=True)
        net.backward()
        if step:
            assert lib.dn_sys_fail_at(0) == 0
    np.testing.assert_array_equal(net.predict(x), alone)
    net.forward(x)
    net.backward()  # without a truth: nothing to descend
    assert not net.layers[0].delta.any()


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ("[yolo]\nanchors=1,1\nclasses=3\n", r"\[yolo\].* = 5 x 3 x 1 x \(3 \+ 5\) = 120 inputs, not 90: filters=8 "),
        ("[region]\nanchors=1,1\nclasses=2\ncoords=5\n", r"\(2 \+ 6\) = 120 inputs, not 90: filters=8 "),
        ("[iseg]\nclasses=3\nids=4\n", r"\(3 \+ 4\) = 105 inputs, not 90: filters=7 "),
        ("[detection]\nside=3\nclasses=1\n", r"\[detection\].* = 54 inputs, not 90: output=54 "),
        ("[yolo]\nanchors=1,1, 2,2\nclasses=1\n", r"anchors has 4 values, not the 2 x 1 of num=1"),
        ("[yolo]\nanchors=1,1, 2\nclasses=1\nnum=2\n", r"anchors has 3 values"),
        ("[yolo]\nanchors=1,0\nclasses=1\n", r"an anchor of size 0"),
        ("[yolo]\nmask=1\nanchors=1,1\nclasses=1\n", r"mask=1 is not one of the anchors 0 to 0 of num=1"),
        ("[yolo]\nmask=-1\nanchors=1,1\nclasses=1\n", r"mask=-1 "),
        ("[yolo]\nanchors=1,1\nclasses=1\nmax=0\n", r"max=0 is below 1"),
        ("[yolo]\nanchors=1,1\nclasses=1\nmap=nothere.txt\n", r"nothere\.txt"),
        ("[yolo]\nanchors=1,1\nclasses=1\nmap=map.txt\n", r"map\.txt:2: the line is not a number from 0 to 0"),
        ("[region]\nanchors=1,1\nclasses=1\nbackground=1\n", r"background=1 .* needs softmax=1"),
        ("[region]\nanchors=1,1\nclasses=1\ntree=tree.txt\n", r"the tree has 7 nodes, classes=1"),
        ("[detection]\nside=3\nnum=1\nclasses=5\nforced=1\n", r"forced=1 needs num=2"),
    ],
)  # fmt: skip
def test_a_head_that_does_not_fit_is_an_error_that_says_what_would(section: str, message: str, network: Build) -> None:
    Path("tree.txt").write_text(TREE)
    Path("map.txt").write_text("0\n1\n")
    with pytest.raises(dv.errors.FormatError, match=message):
        network(SOLE.format(rows=1, channels=6) + section)


def test_heads_with_truths_of_different_lengths_are_an_error(network: Build) -> None:
    text = SOLE.format(rows=1, channels=6) + "[yolo]\nanchors=1,1\nclasses=1\n[yolo]\nanchors=1,1\nclasses=1\nmax=30\n"
    with pytest.raises(dv.errors.FormatError, match="reads 150 values of truth, an earlier layer 450"):
        network(text)


@pytest.mark.parametrize(
    ("name", "at", "value", "message"),
    [
        ("yolo", 4, 3, "class 3, not one of 0 to 2"),
        ("yolo", 0, 1.5, "x=1.5 .* is not relative to the image"),
        ("yolo", 2, 0, "w=0 "),
        ("yolo", 0, np.nan, "x=nan"),
        ("region_softmax", 4, -1, "class -1, not one of 0 to 2"),
        ("region_softmax", 0, 999999, "x=999999 "),
        ("iseg", 0, 2, "class 2, not one of 0 to 1"),
        ("detection", 6, -1, "w=-1"),
        ("detection", 0, np.nan, "begins with nan"),
        ("detection", 1, 3, "has 3 for class 0, not 0 to 1"),
    ],
)  # fmt: skip
def test_a_truth_that_makes_no_sense_is_an_error(name: str, at: int, value: float, message: str, network: Build) -> None:
    net, _ = head_alone(name, network)
    truth = np.zeros((3, net._info().truths), np.float32)
    truth[1, :5] = truth[2, :5] = [0.5, 0.5, 0.3, 0.3, 0] if name != "detection" else [1, 0, 0, 1, 0.5]
    if name == "iseg":
        truth[:] = -1
    truth[2, at] = value
    with pytest.raises(dv.errors.UsageError, match=message) as error:
        net.forward(np.zeros((3, net.inputs)), truth, train=True)
    assert "row 2" in str(error.value)


@pytest.mark.parametrize("name", ["yolo", "region_softmax", "iseg", "detection"])
def test_truths_of_detectors_are_looked_at_before_a_training_and_told_by_the_callers_row(name: str, network: Build) -> None:
    net, _ = head_alone(name, network)
    x, truth = np.zeros((40, net.inputs), np.float32), np.zeros((40, net._info().truths), np.float32)
    if name == "iseg":
        truth[:] = -1
    truth[33, :2] = [7, 0]
    told: list[dv.Progress] = []
    for call in (
        lambda: net.train(x, truth=truth, epochs=2, callback=lambda p: told.append(p)),
        lambda: net.train(x[:9], truth=truth[:9], epochs=2, valid=(x, truth), callback=lambda p: told.append(p)),
        lambda: net.evaluate(x, truth),
    ):
        with pytest.raises(dv.errors.UsageError, match=r"net\.cfg:\d+: layer 0 \[\w+\]: .* of row 33 of the (valid )?truth"):
            call()
    assert not told and net.seen == 0


def test_a_mask_of_bytes_is_an_error(network: Build) -> None:
    net, _ = head_alone("iseg", network, rows=1)
    truth = np.full((1, net.truths), -1, np.float32)
    truth[0, :3] = [1, 0, 255]
    with pytest.raises(dv.errors.UsageError, match="the mask of instance 0 of row 0 of the truth is 255 at pixel 1, not 0 to 1"):
        net.forward(np.zeros((1, net.inputs)), truth)


def test_an_object_on_the_far_edge_belongs_to_the_last_cell(network: Build) -> None:
    net, _ = head_alone("yolo_max", network, rows=1)
    truth = np.zeros((1, 15), np.float32)
    truth[0, :5] = [1, 1, 0.2, 0.2, 1]
    net.forward(np.zeros((1, net.inputs)), truth, train=True)
    net.backward()
    assert list(np.argwhere(net.layers[0].delta.reshape(8, 3, 5)[0])[0]) == [2, 4]


# ---- boxes


@pytest.mark.parametrize("name", ["yolo", "region_softmax", "region_logistic", "region_background", "detection"])
def test_boxes_of_every_row_are_decoded(name: str, network: Build) -> None:
    net, head = head_alone(name, network)
    net.forward(np.random.default_rng(0).normal(size=(3, net.inputs)))
    for row in range(3):
        y = net.layers[0].output[row].astype(np.float64)
        wanted = []
        if head.kind == "detection":
            n, boxes, classes, _ = detectors.cells(head)
            side = head.number("side", 7)
            scores, places = y[: n * classes].reshape(n, classes), y[n * (classes + boxes) :].reshape(n, boxes, 4)
            for cell, k in np.ndindex(n, boxes):
                confidence = y[n * classes + cell * boxes + k]
                x, up, w, h = places[cell, k]
                place = [(cell % side + x) / side, (cell // side + up) / side, w * w, h * h]
                wanted.append([*place, confidence, *(confidence * scores[cell])])
        else:
            n, coords, classes, h, w = detectors.grid(head)
            y = y.reshape(n, -1, h, w)
            sizes = detectors.anchors(head)[head.numbers("mask").astype(int) if "mask" in head.keys else slice(None)]
            for k, i, j in np.ndindex(n, h, w):
                objectness = 1.0 if head.number("background", 0) else y[k, coords, i, j]
                box = detectors.grid_box(y, k, sizes[k], i, j)
                wanted.append([*box, objectness, *(objectness * y[k, coords + 1 :, i, j])])
        rows = np.array(wanted)
        rows[:, 5:][rows[:, 5:] <= 0.3] = 0
        rows = rows[(rows[:, 4:] > 0.3).any(1)]
        found = detection.boxes(net, row, 20, 10, 0.3)
        assert len(found) == len(rows) > 0
        rows[:, :4] *= [20, 10, 20, 10]
        order, other = (np.lexsort(r[:, :4].T) for r in (found, rows))
        np.testing.assert_allclose(found[order], rows[other], rtol=1e-4, atol=1e-5)
    with pytest.raises(dv.errors.UsageError, match="row 3"):
        detection.boxes(net, 3, 20, 10, 0.3)


def test_two_images_in_a_batch_are_two_images(network: Build) -> None:
    """Darknet takes the second of two for the mirror image of the first and gives the mean."""
    net, _ = head_alone("yolo", network, rows=2)
    x = np.random.default_rng(0).normal(size=(2, net.inputs))
    net.forward(x[:1])
    first = detection.boxes(net, 0, 9, 9, 0.1)
    net.forward(x)
    np.testing.assert_array_equal(detection.boxes(net, 0, 9, 9, 0.1), first)
    assert detection.boxes(net, 1, 9, 9, 0.1).shape[0]


def test_the_class_of_a_label_tree_is_where_the_descent_ends(network: Build) -> None:
    net, _ = head_alone("region_tree", network, rows=1)
    x = np.full((2, 12, 3, 5), -3.0)
    x[:, 4] = 2  # objects everywhere
    x[:, 5] = 3  # animals,
    x[0, 8] = 3  # for the first anchor dogs
    net.forward(x.reshape(1, -1))
    found = detection.boxes(net, 0, 10, 10, 0.5)
    dogs, animals = found[:, 5 + 3] > 0, found[:, 5 + 0] > 0
    assert dogs.sum() == animals.sum() == 15
    assert (dogs ^ animals).all()
    np.testing.assert_allclose(found[:, 5:].sum(1), found[:, 4])


def suppressed(rows: np.ndarray, overlap: float, across_classes: bool) -> np.ndarray:
    rows = rows.copy()
    columns = [4] if across_classes else range(5, rows.shape[1])
    for column in columns:
        order = np.argsort(-rows[:, column], kind="stable")
        for k, best in enumerate(order):
            if rows[best, column] > 0:
                for other in order[k + 1 :]:
                    if detectors.iou(rows[best, :4].astype(float), rows[other, :4].astype(float)) > overlap:
                        rows[other, slice(4, None) if across_classes else column] = 0
    return rows


@pytest.mark.parametrize("across_classes", [False, True])
@pytest.mark.parametrize("overlap", [0, 0.3, 0.45, 1])
def test_suppression_is_that_of_plain_numpy(overlap: float, across_classes: bool) -> None:
    random = np.random.default_rng(0)
    rows = random.uniform(size=(60, 5 + 3)).astype(np.float32)
    rows[:, 2:4] *= 0.5
    rows[:, 5:][random.uniform(size=(60, 3)) < 0.4] = 0
    rows[7] = rows[3]  # a tie
    found = detection.suppress(rows, overlap, across_classes)
    np.testing.assert_array_equal(found, suppressed(rows, overlap, across_classes))
    if overlap == 1:
        np.testing.assert_array_equal(found, rows)
    else:
        assert (found[:, 4:] == 0).sum() > (rows[:, 4:] == 0).sum()


# ---- pictures


def bilinear(image: np.ndarray, height: int, width: int) -> np.ndarray:
    out = np.zeros((height, width, image.shape[2]))
    for i, j in np.ndindex(height, width):
        y, x = (k * (old - 1) / (new - 1) for k, old, new in ((i, image.shape[0], height), (j, image.shape[1], width)))
        top, left = min(int(y), image.shape[0] - 2), min(int(x), image.shape[1] - 2)
        a, b = y - top, x - left
        part = image[top : top + 2, left : left + 2].astype(float)
        out[i, j] = (1 - a) * ((1 - b) * part[0, 0] + b * part[0, 1]) + a * ((1 - b) * part[1, 0] + b * part[1, 1])
    return out


@pytest.mark.parametrize("size", [(7, 9), (5, 5), (20, 11), (2, 2)])
def test_resizing_is_bilinear_from_corner_to_corner(size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).uniform(size=(*size, 3)).astype(np.float32)
    out = images.resize(image, 8, 6)
    np.testing.assert_allclose(out, bilinear(image, 8, 6), atol=1e-5)
    np.testing.assert_array_equal(out[[0, 0, -1, -1], [0, -1, 0, -1]], image[[0, 0, -1, -1], [0, -1, 0, -1]])


@pytest.mark.parametrize(
    ("image", "fitted"),
    [((28, 32), (12, 13)), ((10, 40), (4, 16)), ((12, 16), (12, 16)), ((100, 3), (12, 1)), ((1, 90), (1, 16))],
)
def test_the_letterbox_is_grey_around_the_picture(image: tuple[int, int], fitted: tuple[int, int]) -> None:
    picture = np.random.default_rng(0).uniform(0.6, 1, size=(*image, 2)).astype(np.float32)
    out = images.letterbox(picture, 12, 16)
    assert out.shape == (12, 16, 2)
    top, left = (12 - fitted[0]) // 2, (16 - fitted[1]) // 2
    inside = np.zeros((12, 16), bool)
    inside[top : top + fitted[0], left : left + fitted[1]] = True
    assert (out[~inside] == 0.5).all()
    np.testing.assert_allclose(out[inside].reshape(*fitted, 2), images.resize(picture, *fitted))
    assert (out[inside] >= 0.6).all()


# ---- from a picture to detections

BODY = "[convolutional]\nbatch_normalize=1\nfilters={}\nsize=3\nstride=1\npad=1\nactivation=leaky\n[maxpool]\nsize=2\nstride=2\n"
HEAD = "[convolutional]\nsize=1\nstride=1\npad=1\nfilters=21\nactivation=linear\n"
YOLO = "[yolo]\nmask={}\nanchors=4,5, 8,9, 14,10, 20,22, 30,18, 34,36\nclasses=2\nnum=6\njitter=.3\nrandom=1\n"
TINY = (
    "[net]\nbatch=4\nheight=32\nwidth=48\nchannels=3\n" + BODY.format(4) + BODY.format(8) + BODY.format(8) + HEAD
    + YOLO.format("3,4,5") + "[route]\nlayers=-3\n[convolutional]\nfilters=4\nsize=1\nactivation=leaky\n[upsample]\nstride=2\n"
    "[route]\nlayers=-1,3\n" + HEAD + YOLO.format("0,1,2")
)  # fmt: skip


@pytest.fixture
def tiny(network: Build) -> dv.Network:
    net = network(TINY, seed=3)
    random = np.random.default_rng(0)
    for layer in net.layers:
        for name in layer.params:
            if name == "rolling_variance":
                layer.set(name, random.uniform(0.5, 2, layer.params[name].shape))
            elif name != "scales":
                layer.set(name, random.normal(size=layer.params[name].shape) * 0.4)
    return net


@pytest.mark.parametrize("letterbox", [True, False])
@pytest.mark.parametrize("nms", [0.45, None])
def test_a_small_yolo_detects_from_end_to_end(tiny: dv.Network, letterbox: bool, nms: float | None) -> None:
    """Everything after the network's own outputs, computed again in numpy, for one row of a network of batch 4."""
    picture = np.random.default_rng(1).integers(0, 256, (50, 41, 3), dtype=np.uint8)
    found = tiny.detect(picture, threshold=0.3, nms=nms, letterbox=letterbox)
    assert tiny.batch == 4
    fitted = (32 * 41 // 50, 32) if letterbox else (48, 32)
    x = np.full((32, 48, 3), 0.5)
    left = (48 - fitted[0]) // 2
    x[:, left : left + fitted[0]] = bilinear(picture / 255, 32, fitted[0])
    tiny.forward(x.transpose(2, 0, 1).reshape(1, -1))
    rows = []
    for head in detectors.heads(tiny):
        n, _, classes, h, w = detectors.grid(head)
        y = tiny.layers[head.index].output[0].astype(float).reshape(n, 5 + classes, h, w)
        sizes = detectors.anchors(head)[head.numbers("mask").astype(int)]
        rows += [
            [*detectors.grid_box(y, k, sizes[k], i, j), y[k, 4, i, j], *(y[k, 4, i, j] * y[k, 5:, i, j])]
            for k, i, j in np.ndindex(n, h, w)
        ]
    boxes = np.array(rows)
    boxes[:, 0] = (boxes[:, 0] - (48 - fitted[0]) / 2 / 48) / (fitted[0] / 48)
    boxes[:, 2] /= fitted[0] / 48
    boxes[:, :4] *= [41, 50, 41, 50]
    boxes[:, 5:][boxes[:, 5:] <= 0.3] = 0
    if nms is not None:
        boxes = suppressed(boxes, nms, False)
    box, classes_found = np.nonzero(boxes[:, 5:])
    scores = boxes[box, 5 + classes_found]
    assert len(found) == len(scores) > 5
    assert (np.diff(found.scores) <= 0).all()
    ours = np.column_stack([found.boxes, found.objectness, found.scores, found.classes])
    wanted = np.column_stack([boxes[box, :5], scores, classes_found])
    nearest = np.abs(ours[:, None] - wanted[None]).max(2).argmin(1)  # by content: on grey there are equal scores
    assert len(set(nearest)) == len(wanted)
    np.testing.assert_allclose(ours, wanted[nearest], rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(found.corners[:, 2:] - found.corners[:, :2], found.boxes[:, 2:], rtol=1e-3, atol=1e-3)


def test_uint8_counts_as_parts_of_255_and_one_channel_needs_no_axis(tiny: dv.Network, network: Build) -> None:
    picture = np.random.default_rng(1).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    a, b = tiny.detect(picture, 0.3), tiny.detect(picture / 255, 0.3)
    np.testing.assert_allclose(a.boxes, b.boxes, rtol=1e-3, atol=1e-3)
    grey = network(TINY.replace("channels=3", "channels=1"))
    assert len(grey.detect(picture[:, :, 0], 0.0)) == len(grey.detect(picture[:, :, :1], 0.0)) > 0


def test_nothing_above_the_threshold_is_no_detection(tiny: dv.Network) -> None:
    found = tiny.detect(np.zeros((8, 8, 3)), threshold=1.0)
    assert len(found) == 0
    assert found.boxes.shape == (0, 4)
    assert found.corners.shape == (0, 4)


def test_arguments_of_detect_are_checked(tiny: dv.Network, network: Build) -> None:
    picture = np.zeros((8, 8, 3))
    for options, message in (
        ({"threshold": 1.5}, "threshold=1.5"),
        ({"threshold": np.nan}, "threshold=nan"),
        ({"nms": -0.1}, "nms=-0.1"),
    ):
        with pytest.raises(dv.errors.UsageError, match=message):
            tiny.detect(picture, **options)  # type: ignore[arg-type]
    for image, message in (
        (np.zeros((3, 8, 8)), r"shape \(3, 8, 8\); wanted is \(height, width, 3\)"),
        (np.zeros((8, 8)), r"shape \(8, 8\)"),
        (np.zeros((0, 8, 3)), r"shape \(0, 8, 3\)"),
        (np.full((8, 8, 3), np.nan), "not finite"),
        (np.full((8, 8, 3), "a"), "type <U1"),
    ):
        with pytest.raises(dv.errors.UsageError, match=message):
            tiny.detect(image)
    with pytest.raises(dv.errors.UsageError, match="no detector head"):
        network("[net]\ninputs=4\n[connected]\noutput=3\n").detect(picture)
    with pytest.raises(dv.errors.UsageError, match="is no image"):
        network("[net]\ninputs=60\n" + GRIDS["detection_forced"][2]).detect(picture)


def test_a_small_yolo_learns_to_find_a_square(network: Build) -> None:
    """Trained with `train` on pictures with one bright square, it finds squares in pictures it has not seen."""
    net = network(
        "[net]\nbatch=16\nheight=16\nwidth=16\nchannels=1\nlearning_rate=0.01\nmomentum=0.9\nadam=1\n"
        "[convolutional]\nfilters=8\nsize=3\nstride=2\npad=1\nactivation=leaky\n"
        "[convolutional]\nfilters=16\nsize=3\nstride=2\npad=1\nactivation=leaky\n"
        "[convolutional]\nfilters=16\nsize=3\npad=1\nactivation=leaky\n"
        "[convolutional]\nfilters=6\nsize=1\nactivation=linear\n[yolo]\nanchors=5,5\nclasses=1\nmax=1\n",
        seed=1,
    )
    random = np.random.default_rng(0)

    def pictures(n: int) -> tuple[np.ndarray, np.ndarray]:
        x, t = np.zeros((n, 16, 16), np.float32), np.zeros((n, 5), np.float32)
        for k in range(n):
            size = random.integers(4, 7)
            top, left = random.integers(0, 16 - size, 2)
            x[k, top : top + size, left : left + size] = 1
            t[k, :4] = np.array([left + size / 2, top + size / 2, size, size]) / 16
        return x, t

    x, t = pictures(256)
    net.train(x, epochs=30, truth=t)
    x, t = pictures(40)
    found = [net.detect(picture, threshold=0.3) for picture in x]
    overlaps = [
        detectors.iou(d.boxes[0].astype(float), 16 * box[:4].astype(float)) if len(d) else 0.0
        for d, box in zip(found, t, strict=True)
    ]
    assert np.mean(overlaps) > 0.6


# ---- numbers that are none ----

DESCENT = (
    "[net]\nheight=1\nwidth=1\nchannels=1\n[convolutional]\nfilters=9\nsize=1\nactivation=linear\n"
    "[region]\nanchors=1,1\nclasses=4\ntree=tree.txt\n"
)


@pytest.mark.parametrize("bad", [0, 1, 2, 3, "all"])
def test_a_label_tree_of_scores_that_are_not_numbers_is_an_error_and_no_endless_loop(bad: int | str, network: Build) -> None:
    Path("tree.txt").write_text("a -1\nb -1\nc 0\nd 0\n")
    net = network(DESCENT)
    weights = np.zeros(net.layers[0].params["weights"].shape, np.float32)
    weights[5 if bad in (0, 1) else 7] = 3e38
    if bad == "all":
        weights[:] = 3e38
    if bad in (2, 3):
        weights[5] = 1e3  # the descent goes through node 0
    net.layers[0].set("weights", weights)
    with pytest.raises(dv.errors.NumericError, match=r"layer 1 \[region\]: box 0 of row 0 has a score that is not a number"):
        net.detect(np.full((1, 1), 3.0), threshold=0.0)


@pytest.mark.parametrize("name", sorted(GRIDS))
def test_outputs_that_are_not_numbers_give_no_boxes(name: str, network: Build) -> None:
    net, _ = head_alone(name, network, rows=1)
    if not lib.dn_net_box_classes(net._handle):
        pytest.skip("no boxes")
    for value in (np.nan, np.inf, -np.inf):
        net.forward(np.full((1, net.inputs), value, np.float32))
        try:
            found = detection.boxes(net, 0, 10, 10, 0.2)
        except dv.errors.NumericError as error:
            assert "is not a number" in str(error) or "has no place" in str(error)
        else:
            assert value != value or not np.isnan(found).any()
            assert not np.isnan(found).any()
            detection.suppress(found, 0.5)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30, -1e30, 5e9])
@pytest.mark.parametrize("name", sorted(GRIDS))
def test_truths_of_any_numbers_are_taken_or_refused_in_one_line(name: str, value: float, network: Build) -> None:
    """(int) of such a number is undefined: sanitizers end the process there."""
    net, _ = head_alone(name, network, rows=1)
    x = np.random.default_rng(0).normal(size=(1, net.inputs)).astype(np.float32)
    for at in {0, 1, 4, net.truths - 1, None}:
        truth = np.zeros((1, net.truths), np.float32)
        truth[0, slice(None) if at is None else at] = value
        try:
            net.forward(x, truth, train=True)
        except dv.errors.UsageError as error:
            assert "of the truth" in str(error) and "\n" not in str(error)


def test_an_object_whose_flag_or_place_is_no_number_is_an_error(network: Build) -> None:
    net = network("[net]\ninputs=36\n[detection]\nside=2\nnum=1\nclasses=4\n")
    truth = np.zeros((1, net.truths), np.float32)
    truth[0, 0] = np.nan
    with pytest.raises(dv.errors.UsageError, match=r"cell 0 of row 0 of the truth begins with nan, which is neither 0 nor 1"):
        net.forward(np.zeros((1, 36)), truth)
    truth[0, :9] = [1, 0, 1, 0, 0, np.nan, 0.5, 0.1, 0.1]
    with pytest.raises(dv.errors.UsageError, match=r"the object in cell 0 of row 0 of the truth has x=nan y=0\.5"):
        net.forward(np.zeros((1, 36)), truth)


def test_suppression_takes_any_numbers() -> None:
    rows = np.random.default_rng(0).normal(size=(60, 8)).astype(np.float32)
    rows[::3, ::2], rows[1::5, 5:], rows[::7, :4] = np.nan, np.inf, -np.inf
    for across in (False, True):
        assert detection.suppress(rows, 0.4, across).shape == rows.shape


def test_a_letterbox_of_no_picture_divides_by_nothing() -> None:
    w, h = detection.ffi.new("int *"), detection.ffi.new("int *")
    for width, height in ((0, 0), (0, 5), (5, 0), (-3, 2)):
        lib.dn_letterbox_size(8, 8, width, height, w, h)
        assert 1 <= w[0] <= 8 and 1 <= h[0] <= 8
