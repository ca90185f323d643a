"""The core against numbers of the original engine, and finite differences where that engine is wrong."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import darknet_vae as dv
from darknet_vae import detection

FOLDER = Path(__file__).parent / "golden"
_archive = np.load(FOLDER / "cases.npz")
FLOATS, RAW = _archive["floats"], _archive["raw"].tobytes()
CASES: list[dict[str, Any]] = json.loads(_archive["index"].tobytes())
PARAMS = {"w": "weights", "b": "biases", "s": "scales", "rm": "rolling_mean", "rv": "rolling_variance"}

# A right core cannot give these numbers.
REASONS = {
    "lrn_size3": "its finite differences are of a window that misses a channel",
    "lrn_size5": "its finite differences are of a window that misses a channel",
    "conv1x1_s2": "its numbers, finite differences included, are of a 1x1 convolution that ignores its stride",
}
# The finite differences are of a cost that does not weight -log p by the truth; the update is that of the weighted one.
UPDATES_ARE_RIGHT = {"softmax_soft_truth"}
# The original's convolution parts of crnn have a learning rate of 0: nothing to compare once they learn.
NEVER_LEARNS = {"crnn_linear"}
# The original takes width for height: its numbers are those of the image of the other shape.
TURNED = {"crnn_nonsquare"}
# The original's 1x1 convolution overwrites the gradient of the layer before it, so what a later route sent there is lost.
OVERWRITES = ("convolutional", 1, 1)
HEADS = ("detection", "region", "yolo", "iseg")
# dropout works in place there, so the layer below shows the values after dropping
IN_PLACE = "dropout"


class Case:
    def __init__(self, entry: dict[str, Any]) -> None:
        self.name: str = entry["name"]
        self.compare: dict[str, Any] = entry.get("compare_with_corrected_core", {})
        self.tolerance: dict[str, Any] = entry.get("tolerance", {})
        self.entry = entry
        self.arrays: dict[str, list[Any]] = entry["arrays"]

    def __contains__(self, name: str) -> bool:
        return name in self.arrays

    def __getitem__(self, name: str) -> Any:
        kind, at, shape, *size = self.arrays[name]
        if kind == "f":
            return FLOATS[at : at + int(np.prod(shape))].reshape(shape)
        data = RAW[at : at + size[0]]
        return data.decode() if kind == "text" else np.frombuffer(data, np.dtype(kind)).reshape(shape)

    def bytes(self, name: str) -> bytes:
        _, at, _, size = self.arrays[name]
        return RAW[at : at + size]

    def find(self, pattern: str) -> list[tuple[re.Match[str], str]]:
        found = [(re.fullmatch(pattern, name), name) for name in self.arrays]
        return [(match, name) for match, name in found if match]


def assert_close(ours: Any, golden: Any, tolerance: dict[str, float], what: str) -> None:
    a, b = np.asarray(ours, np.float64).ravel(), np.asarray(golden, np.float64).ravel()
    assert a.shape == b.shape, f"{what}: {a.size} values, not {b.size}"
    # a gradient that is zero in exact arithmetic is only rounding: the floor is 1e-5 of ordinary values of order 1
    limit = 3 * (tolerance["rtol"] * np.abs(b) + tolerance["atol_rel_to_max"] * max(np.abs(b).max(initial=0), 0.1))
    worst = np.abs(a - b) - limit
    assert np.isfinite(a).all(), f"{what}: not finite"
    assert worst.max(initial=-1) <= 0, f"{what}: off by {np.abs(a - b).max():.3g} of {np.abs(b).max():.3g}"


def tensor(layer: str, kind: str) -> tuple[int, str]:
    """("3.wz", "w") is the tensor wz.weights of layer 3."""
    number, _, part = layer.partition(".")
    return int(number), (part + "." if part else "") + PARAMS[kind]


def build(case: Case, **options: Any) -> dv.Network:
    """The case's network with its parameters, those that its weights file does not hold included."""
    for match, name in case.find(r"file_(.*)_txt"):
        Path(match[1] + ".txt").write_text(case[name])
    text = case["cfg"].replace("[net]", "[net]\nbn_epsilon=legacy", 1)
    if case.name in TURNED:
        text = re.sub(r"height=(\d+)\nwidth=(\d+)", r"height=\2\nwidth=\1", text)
    Path("net.cfg").write_text(text)
    Path("before.weights").write_bytes(case.bytes("weights_before"))
    net = dv.Network.load("net.cfg", "before.weights", **options)
    for match, name in case.find(r"(w|b|s|rm|rv)_(\d+(?:\.\w+)?)_before"):
        index, parameter = tensor(match[2], match[1])
        if parameter in net.layers[index].params:
            net.layers[index].set(parameter, case[name])
    return net


def feed(case: Case, net: dv.Network, step: int) -> None:
    """A training forward of step `step` with the case's own random numbers."""
    for match, name in case.find(rf"(?:rand|eps)_(\d+)_{step}"):
        net.set_noise(int(match[1]), case[name])
    x = case[f"input_{step}"].reshape(-1, net.inputs)
    given = f"truth_{step}" in case and case[f"truth_{step}"].size
    net.forward(x, case[f"truth_{step}"].reshape(len(x), -1) if given else None, train=True)


def infer(case: Case, net: dv.Network, x: np.ndarray) -> None:
    """A forward without training; the original draws noise there too, so its numbers are given."""
    for i, layer in enumerate(net.layers):
        if layer.type == "sampling" and "infer_eps" in case:
            net.set_noise(i, case["infer_eps"])
    net.forward(x, case["infer_truth"].reshape(len(x), -1) if "infer_truth" in case else None)


def outputs(case: Case, net: dv.Network, pattern: str, stop_at_noise: bool = False) -> None:
    for match, name in case.find(pattern):
        i = int(match[1])
        layer = net.layers[i]
        if layer.type == "cost" or (i + 1 < len(net.layers) and net.layers[i + 1].type == IN_PLACE):
            continue
        assert_close(layer.output, case[name], case.tolerance["forward"], f"{name} [{layer.type}]")


def spoiled(case: Case) -> int:
    """The last layer of a detector whose gradient the original lost, so that the numbers of its parameters and of those
    before it are wrong; -1: none. (In other cases `compare` says so.)"""
    sections = re.findall(r"^\[(\w+)\]([^\[]*)", case["cfg"], flags=re.M)[1:]
    if sections[-1][0] not in HEADS:
        return -1
    last = -1
    for i, (kind, text) in enumerate(sections):
        keys = dict(re.findall(r"^(\w+)=(\S+)", text, flags=re.M))
        if kind == "route":
            for source in (int(value) for value in keys["layers"].split(",")):
                source += i if source < 0 else 0
                behind, more = sections[source + 1]
                settings = (behind, *(int((re.search(rf"{key}=(\d+)", more) or "01")[1]) for key in ("size", "stride")))
                last = max(last, source if source + 1 < i and settings == OVERWRITES else -1)
    return last


def params(case: Case, net: dv.Network, step: str, kinds: str) -> None:
    for match, name in case.find(rf"({kinds})_(\d+(?:\.\w+)?)_{step}"):
        index, parameter = tensor(match[2], match[1])
        if index <= spoiled(case):
            continue
        assert_close(net.layers[index].params[parameter], case[name], case.tolerance["after"], name)


def gradients(case: Case, net: dv.Network) -> None:
    kind = case.compare.get("gradients_step0")
    # with a sampling layer: s times the KL's finite differences, weighted by beta, join the reconstruction's
    weight = 0.0
    for match in re.finditer(r"\[sampling\][^\[]*?beta=([\d.]+)", case["cfg"]):
        weight = 0.5 * float(match[1])
    if case.name in UPDATES_ARE_RIGHT:
        kind = "upstream_by_design"
    if kind in ("upstream_equals_finite_differences", "finite_differences_only"):
        for match, name in case.find(r"fd([wbs])u_(\d+(?:\.\w+)?)"):
            index, parameter = tensor(match[2], match[1])
            wanted = case[name]
            if f"fdkl_{match[1]}u_{match[2]}" in case:
                wanted = wanted + weight * case[f"fdkl_{match[1]}u_{match[2]}"]
            assert_close(net.layers[index].grads[parameter], wanted, case.tolerance["updates"], name)
    elif kind == "upstream_by_design":
        for match, name in case.find(r"([wbs])u_(\d+(?:\.\w+)?)_0"):
            index, parameter = tensor(match[2], match[1])
            assert_close(net.layers[index].grads[parameter], case[name], case.tolerance["updates"], name)
    elif kind in ("upstream", "upstream_delta_has_no_matching_cost"):
        for layer in net.layers:
            if layer.index == len(net.layers) - 1 or layer.type in HEADS:
                name = f"delta_{layer.index}_0"
                if name in case:
                    assert_close(layer.delta, case[name], case.tolerance["delta"], name)


def deltas(case: Case, net: dv.Network, step: int) -> None:
    """Where the original's gradients are right. Its dropout has no delta of its own; its lstm spoils the one it was given."""
    for layer in net.layers:
        name = f"delta_{layer.index}_{step}"
        if name in case and layer.type not in (IN_PLACE, "lstm"):
            assert_close(layer.delta, case[name], case.tolerance["delta"], f"{name} [{layer.type}]")


STEPPED = [Case(entry) for entry in CASES if "input_0" in entry["arrays"]]


@pytest.mark.parametrize("device", ["cpu", "cuda"], indirect=True)
@pytest.mark.parametrize("case", STEPPED, ids=lambda case: case.name)
def test_network_gives_the_numbers_of_the_original_engine(case: Case, device: str) -> None:
    if case.name in REASONS:
        pytest.skip(REASONS[case.name])
    net = build(case, device=device)
    net.save("again.weights")
    assert Path("again.weights").read_bytes()[20:] == case.bytes("weights_before")[20:]
    if case.compare.get("infer") and "infer_input" in case:
        x = case["infer_input"].reshape(-1, net.inputs)
        infer(case, net, x)
        outputs(case, net, r"infer_out_(\d+)")
        if "infer_again_out_0" in case:
            net.forward(x)
            outputs(case, net, r"infer_again_out_(\d+)")
        net = build(case, device=device)
    steps = len(case["cost"]) if "cost" in case else 0
    for step in range(steps if case.compare.get("later_steps") else min(steps, 1)):
        feed(case, net, step)
        if step or case.compare.get("forward_step0"):
            outputs(case, net, rf"out_(\d+)_{step}")
        if (step or case.compare.get("cost_step0")) and np.isfinite(case["cost"][step]):
            assert_close([net.cost], [case["cost"][step]], case.tolerance["cost"], f"cost of step {step}")
        if case.compare.get("gradients_step0") in (None, "none") and not case.compare.get("weights_after_first_update"):
            break
        net.backward()
        assert net.seen == case["seen"][step]
        assert net.learning_rate == pytest.approx(case["rate"][step], rel=1e-5)
        if step == 0:
            gradients(case, net)
        if case.compare.get("gradients_step0") in ("upstream_equals_finite_differences", "upstream_by_design"):
            deltas(case, net, step)
        if case.name in NEVER_LEARNS or not (step or case.compare.get("weights_after_first_update")):
            break
        if case["updated"][step]:
            net.update()
            params(case, net, f"step{step}", "w|b|s|rm|rv")
    else:
        whole = case.compare.get("infer_after") and case.compare.get("weights_after") and spoiled(case) < 0
        if whole and (steps == 1 or case.compare.get("later_steps")):
            infer(case, net, case["infer_input"].reshape(-1, net.inputs))
            outputs(case, net, r"infer_after_out_(\d+)")


ADAM = [case for case in STEPPED if case.find("adam_ref_w_0_step0")]


@pytest.mark.parametrize("device", ["cpu", "cuda"], indirect=True)
@pytest.mark.parametrize("case", ADAM, ids=lambda case: case.name)
def test_adam_gives_the_numbers_of_the_recipe_in_double_precision(case: Case, device: str) -> None:
    net = build(case, device=device)
    for step in range(len(case["cost"])):
        feed(case, net, step)
        net.backward()
        net.update()
        for match, name in case.find(rf"adam_ref_(w|b|s)_(\d+)_step{step}"):
            index, parameter = tensor(match[2], match[1])
            assert_close(net.layers[index].params[parameter], case[name], case.tolerance["after"], name)


LATENT = [case for case in STEPPED if "kl" in case]


@pytest.mark.parametrize("case", LATENT, ids=lambda case: case.name)
def test_latent_loss_and_decoder_are_those_of_the_original_engine(case: Case) -> None:
    net = build(case)
    x = case["input_0"].reshape(-1, net.inputs)
    assert_close([len(x) * net.evaluate(x)["latent_loss"]], case["kl"][:1], case.tolerance["cost"], "kl")
    last = max((int(match[1]) for match, _ in case.find(r"decode_out_(\d+)")))
    assert_close(net.sample(case["decode_z"]), case[f"decode_out_{last}"], case.tolerance["forward"], "decode_out")


BOXES = [case for case in STEPPED if "infer_boxes_relative" in case]
# Scores above these were kept, and overlaps above this gave way: not in the files, but no other values give their numbers.
THRESHOLDS = {"yolo": 0.2, "region": 0.15, "detection": 0.05}
OVERLAP = 0.3


@pytest.mark.parametrize("case", BOXES, ids=lambda case: case.name)
def test_boxes_are_those_of_the_original_engine(case: Case) -> None:
    net = build(case)
    infer(case, net, case["infer_input"].reshape(-1, net.inputs))
    width, height = (int(value) for value in case["infer_boxes_image_wh"])
    kind = net.layers[-1].type
    # The original's [detection] boxes are always in pixels, and as if the image had been stretched.
    grid = kind != "detection"
    threshold, tolerance = THRESHOLDS[kind], case.tolerance["forward"]

    def counting(rows: np.ndarray) -> np.ndarray:  # the original lists some that are all zero
        return rows[(rows[:, 4:] > threshold).any(1)]

    relative = detection.boxes(net, 0, width, height, threshold, letterboxed=grid, relative=grid)
    assert_close(relative, counting(case["infer_boxes_relative"]), tolerance, "infer_boxes_relative")
    pixels = detection.boxes(net, 0, width, height, threshold, letterboxed=grid)
    assert_close(pixels, counting(case["infer_boxes_pixels"]), tolerance, "infer_boxes_pixels")
    left = detection.suppress(relative, OVERLAP)
    left, wanted = (rows[np.lexsort(rows.T[:4])] for rows in (left[left[:, 5:].any(1)], case["infer_boxes_relative_nms"]))
    assert_close(left, wanted, tolerance, "infer_boxes_relative_nms")


WEIGHTS = [Case(entry) for entry in CASES if "weights_file" in entry["arrays"]]
MORE_THAN_WANTED = {"weights_trailing", "weights_truncated"}  # the original loads them in silence; here they are errors


@pytest.mark.parametrize("case", WEIGHTS, ids=lambda case: case.name)
def test_weights_files_of_every_kind_load_as_in_the_original_engine(case: Case) -> None:
    Path("net.cfg").write_text(case["cfg"])
    Path("file.weights").write_bytes(case.bytes("weights_file"))
    net = dv.Network("net.cfg")
    before = case.find(r"(w|b|s|rm|rv)_(\d+(?:\.\w+)?)_before")
    for match, name in before:
        index, parameter = tensor(match[2], match[1])
        net.layers[index].set(parameter, case[name])
    if case.name in MORE_THAN_WANTED:
        with pytest.raises(dv.errors.FormatError, match=r"file\.weights"):
            net.load_weights("file.weights")
        for match, name in before:  # nothing was touched
            index, parameter = tensor(match[2], match[1])
            np.testing.assert_array_equal(net.layers[index].params[parameter].ravel(), case[name].ravel())
        return
    start = int(case["start"]) if "start" in case else case.entry.get("start", 0)
    cutoff = int(case["cutoff"]) if "cutoff" in case else case.entry.get("cutoff", -1)
    net.load_weights("file.weights", start=start, cutoff=None if cutoff < 0 else cutoff)
    for match, name in case.find(r"(w|b|s|rm|rv)_(\d+(?:\.\w+)?)_loaded"):
        index, parameter = tensor(match[2], match[1])
        np.testing.assert_array_equal(net.layers[index].params[parameter].ravel(), case[name].ravel(), err_msg=name)
    if "seen_loaded" in case:
        assert net.seen == int(case["seen_loaded"].view(np.uint64).ravel()[0])


RATES = Case(next(entry for entry in CASES if entry["name"] == "rates"))
RATE_REASONS = {
    "unknown_policy": "an unknown policy is an error here",
    "random": "draws its own numbers",
}


@pytest.mark.parametrize("policy", [match[1] for match, _ in RATES.find(r"cfg_(\w+)")])
def test_learning_rate_follows_the_policy(policy: str) -> None:
    if policy in RATE_REASONS:
        pytest.skip(RATE_REASONS[policy])
    Path("net.cfg").write_text(RATES[f"cfg_{policy}"])
    net = dv.Network("net.cfg")
    batches, rates = RATES[f"batch_{policy}"].ravel(), RATES[f"rate_{policy}"].ravel()
    per_batch = net._info().batch * net._info().subdivisions
    for batch, rate in sorted(zip(batches.tolist(), rates.tolist(), strict=True)):
        if policy == "sigmoid" and batch < 100:  # the original's unsigned numbers wrap there and give 0
            assert rate == 0
            continue
        if policy.startswith("poly") and batch > net._info().max_batches:  # the original goes on below 0, or rises again
            rate = 0
        # the number of batches is a function of `seen`, which a weights file carries
        net.save("w.weights")
        data = bytearray(Path("w.weights").read_bytes())
        data[12:20] = int(batch * per_batch).to_bytes(8, "little")
        Path("w.weights").write_bytes(data)
        net.load_weights("w.weights")
        assert net.learning_rate == pytest.approx(rate, rel=2e-5, abs=1e-12), f"batch {batch}"
