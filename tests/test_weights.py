"""Weights files: what is wrong with one is said with the layer and the numbers; partial files of every kind."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from test_gradients import NETWORKS

import darknet_vae as dv

Build = Callable[..., dv.Network]
CONV = "[net]\nheight=6\nwidth=6\nchannels=2\nbatch=2\n[conv]\nfilters=4\nsize=3\npad=1\nbatch_normalize=1\nactivation=leaky\n{}"
TWO = CONV + "[convolutional]\nfilters=3\nsize=1\nactivation=linear\n"


def state(net: dv.Network) -> dict[str, np.ndarray]:
    return {f"{layer.index}.{name}": value for layer in net.layers for name, value in layer.params.items()}


def save(name: str, values: np.ndarray, header: bytes = struct.pack("<iiiQ", 0, 2, 0, 7)) -> str:
    Path(name).write_bytes(header + np.asarray(values, np.float32).tobytes())
    return name


def values_of(net: dv.Network) -> np.ndarray:
    net.save("values.weights")
    return np.fromfile("values.weights", np.float32, offset=20)


@pytest.mark.parametrize("kind", [kind for kind, text in NETWORKS.items() if kind != "sampling"])
def test_a_cut_file_names_layer_tensor_and_numbers_wherever_it_is_cut(kind: str, network: Build) -> None:
    net = network(NETWORKS[kind], seed=1)
    values, before = values_of(net), state(net)
    at = 0
    spans = []  # (layer, first value, end)
    for layer in net.layers:
        size = sum(v.size for name, v in layer.params.items() if not (layer.type == "batchnorm" and name == "biases"))
        if size:
            spans.append((layer, at, at + size))
        at += size
    assert at == len(values)
    for layer, first, end in spans:
        for cut in {first, (first + end) // 2, end - 1}:
            with pytest.raises(dv.errors.FormatError) as error:
                net.load_weights(save("cut.weights", values[:cut]))
            found = re.search(
                r"cut\.weights: layer (\d+) \[(\w+)\] needs (\d+) values, the file has (\d+) left of (\d+): it ends "
                r"in the layer's ([\w.]+) \((\d+) of (\d+)\)", str(error.value))  # fmt: skip
            assert found, error.value
            assert (int(found[1]), found[2]) == (layer.index, layer.type)
            assert [int(found[k]) for k in (3, 4, 5)] == [end - first, cut - first, cut]
            assert layer.params[found[6]].size == int(found[8]) > int(found[7])
    for name, value in state(net).items():
        np.testing.assert_array_equal(value, before[name])


@pytest.mark.parametrize("kind", [kind for kind in NETWORKS if kind != "sampling"])
def test_a_whole_file_loads_again_bit_for_bit(kind: str, network: Build) -> None:
    net = network(NETWORKS[kind], seed=1)
    for layer in net.layers:
        for name in layer.params:
            layer.set(name, np.random.default_rng(layer.index).normal(size=layer.params[name].shape))
    net.save("all.weights")
    assert Path("all.weights").stat().st_size == net.describe()["weights_bytes"]
    other = network(NETWORKS[kind], seed=2)
    other.load_weights("all.weights")
    other.save("again.weights")
    assert Path("again.weights").read_bytes() == Path("all.weights").read_bytes()


def test_what_else_can_be_wrong_with_a_file(network: Build) -> None:
    net = network(TWO.format(""))
    values, before = values_of(net), state(net)
    whole = Path("values.weights").read_bytes()
    count = len(values)
    broken = {
        b"": "0 bytes are too short",
        whole[:15]: "15 bytes are too short",
        whole[:19]: "19 bytes are too short",
        whole[
            :20
        ]: r"layer 0 \[convolutional\] needs 88 values, the file has 0 left of 0: it ends in the layer's biases \(0 of 4\)",
        whole + b"1234": rf"1 values are left behind the last layer: the network has {count}, the file {count + 1}",
        b"a,b,c\n" + whole: "no weights file: it begins with 744631393 and 2659, which are no version",
        whole + b"12": rf"2 bytes behind the {count} values",
        whole[:24] + np.float32(np.inf).tobytes() + whole[28:]: "value 1 is inf",
    }
    for data, message in broken.items():
        Path("bad.weights").write_bytes(data)
        with pytest.raises(dv.errors.FormatError, match=r"bad\.weights: .*" + message):
            net.load_weights("bad.weights")
    for name, value in state(net).items():
        np.testing.assert_array_equal(value, before[name])


@pytest.mark.parametrize(
    ("header", "seen"),
    [
        (struct.pack("<iiiI", 0, 1, 0, 5), 5),  # 32 bits of `seen` before version 0.2
        (struct.pack("<iiiI", 0, 0, 3, 5), 5),
        (struct.pack("<iiiQ", 0, 2, 0, 2**40), 2**40),
        (struct.pack("<iiiQ", 1, 0, 0, 9), 9),
        (struct.pack("<iiiQ", 0, 2, 5, 9), 9),
    ],
)
def test_headers_of_every_version_load(header: bytes, seen: int, network: Build) -> None:
    net = network(TWO.format(""))
    values = np.arange(len(values_of(net)), dtype=np.float32) / 100
    net.load_weights(save("any.weights", values, header))
    assert net.seen == seen
    np.testing.assert_array_equal(values_of(net), values)
    with pytest.raises(dv.errors.FormatError, match=r"layer 1 \[convolutional\] needs 15 values, the file has 14 left"):
        net.load_weights(save("short.weights", values[:-1], header))
    net.load_weights("any.weights", clear=True)
    assert net.seen == 0


def test_very_old_files_hold_transposed_matrices_of_connected_layers(network: Build) -> None:
    net = network("[net]\ninputs=3\n[connected]\noutput=2\nactivation=linear\n")
    biases, matrix = np.array([1, 2]), np.arange(6).reshape(3, 2)  # [in][out]
    net.load_weights(save("old.weights", np.concatenate([biases, matrix.ravel()]), struct.pack("<iiiI", 1001, 0, 0, 0)))
    np.testing.assert_array_equal(net.layers[0].params["weights"], matrix.T)


def test_dontload_and_dontsave_leave_a_layer_out_of_the_file(network: Build) -> None:
    plain = network(TWO.format(""), seed=1)
    values = values_of(plain)
    first, second = values[:88], values[88:]
    for key, text in (("dontload", TWO.format("dontload=1\n")), ("last", TWO.format("") + "dontload=1\n")):
        net = network(text, seed=2)
        before = state(net)
        net.load_weights(save("part.weights", second if key == "dontload" else first))
        kept, loaded = (0, 1) if key == "dontload" else (1, 0)
        np.testing.assert_array_equal(net.layers[kept].params["weights"], before[f"{kept}.weights"])
        np.testing.assert_array_equal(net.layers[loaded].params["weights"], plain.layers[loaded].params["weights"])
    with pytest.raises(
        dv.errors.FormatError, match=r"15 values are left behind the last layer: the network has 88, the file 103"
    ):
        net.load_weights(save("whole.weights", values))
    net = network(TWO.format("dontsave=1\n"), seed=1)
    np.testing.assert_array_equal(values_of(net), second)
    net.load_weights("values.weights")  # its own file lacks the layer
    net.load_weights("whole.weights")  # another's has it
    assert net.describe()["weights_bytes"] == 20 + 4 * len(second)
    with pytest.raises(dv.errors.FormatError, match=r"layer 1 \[convolutional\] needs 15 values, the file has 2 left of 90"):
        net.load_weights(save("odd.weights", values[:90]))


def test_dontloadscales_and_numload_read_what_such_files_hold(network: Build) -> None:
    plain = network(TWO.format(""), seed=1)
    values = values_of(plain)
    net = network(TWO.format("dontloadscales=1\n"), seed=2)
    net.layers[0].set("scales", [1, 2, 3, 4])
    net.load_weights(save("bare.weights", np.concatenate([values[:4], values[16:]])))
    np.testing.assert_array_equal(net.layers[0].params["scales"], [1, 2, 3, 4])
    np.testing.assert_array_equal(net.layers[0].params["weights"], plain.layers[0].params["weights"])
    with pytest.raises(dv.errors.FormatError, match="12 values are left behind the last layer"):
        net.load_weights(save("whole.weights", values))
    net = network(TWO.format("numload=3\n"), seed=2)
    before = net.layers[0].params["weights"]
    some = np.arange(3 * 4 + 3 * 18 + 15, dtype=np.float32)
    net.load_weights(save("three.weights", some))
    np.testing.assert_array_equal(net.layers[0].params["biases"][:3], [0, 1, 2])
    np.testing.assert_array_equal(net.layers[0].params["rolling_variance"][:3], [9, 10, 11])
    np.testing.assert_array_equal(net.layers[0].params["weights"][:3].ravel(), some[12:66])
    np.testing.assert_array_equal(net.layers[0].params["weights"][3], before[3])
    with pytest.raises(dv.errors.FormatError, match=r"layer 1 \[convolutional\] needs 15 values, the file has 14 left of 80"):
        net.load_weights(save("short.weights", some[:-1]))


def test_flipped_convolutions_are_stored_transposed(network: Build) -> None:
    net = network(CONV.format("flipped=1\n"))
    values = np.arange(88, dtype=np.float32)
    net.load_weights(save("flipped.weights", values))
    np.testing.assert_array_equal(net.layers[0].params["weights"].reshape(4, 18), values[16:].reshape(18, 4).T)
    np.testing.assert_array_equal(values_of(net)[16:], values[16:].reshape(18, 4).T.ravel())  # written as any other


def test_start_and_cutoff_load_and_save_some_layers(network: Build) -> None:
    plain = network(TWO.format(""), seed=1)
    values = values_of(plain)
    plain.save("first.weights", cutoff=1)
    assert Path("first.weights").stat().st_size == 20 + 4 * 88
    net = network(TWO.format(""), seed=2)
    before = state(net)
    net.load_weights("first.weights", cutoff=1)
    np.testing.assert_array_equal(net.layers[0].params["weights"], plain.layers[0].params["weights"])
    np.testing.assert_array_equal(net.layers[1].params["weights"], before["1.weights"])
    net.load_weights(save("tail.weights", values[88:]), start=1)
    np.testing.assert_array_equal(net.layers[1].params["weights"], plain.layers[1].params["weights"])
    with pytest.raises(dv.errors.FormatError, match=r"layer 0 \[convolutional\] needs 88 values, the file has 15 left of 15"):
        net.load_weights("tail.weights", cutoff=1)
    with pytest.raises(dv.errors.FormatError, match=r"layer 1 \[convolutional\] needs 15 values, the file has 0 left of 88"):
        net.load_weights("first.weights")


@pytest.mark.parametrize(
    "section",
    [
        "[batchnorm]\n",
        "[crnn]\noutput_filters=3\nhidden_filters=2\nbatch_normalize=1\n",
        "[gru]\noutput=3\nbatch_normalize=1\n",
        "[local]\nfilters=3\nsize=3\n",
    ],
)
def test_numload_and_dontloadscales_are_for_the_layers_that_darknet_has_them_for(section: str, network: Build) -> None:
    text = "[net]\nheight=5\nwidth=4\nchannels=2\n" + section + "{}"
    plain, keyed = network(text.format(""), seed=1), network(text.format("numload=1\ndontloadscales=1\n"), seed=2)
    plain.save("whole.weights")
    keyed.load_weights("whole.weights")
    np.testing.assert_array_equal(values_of(keyed), values_of(plain))


def test_more_filters_to_load_than_there_are_is_an_error(network: Build) -> None:
    with pytest.raises(dv.errors.FormatError, match=r"net\.cfg:\d+: \[conv\] numload=5 is more than filters=4"):
        network(CONV.format("numload=5\n"))
    whole = network(CONV.format("numload=4\n"))
    whole.load_weights(save("whole.weights", values_of(whole)))


# Parts or arrays in the order of files of revision 0.2.0 (Darknet) and 0.2.5 (the forks that came later).
ORDERS = {
    "gru": ("wz wr wh uz ur uh", "uz ur uh wz wr wh"),
    "lstm": ("wi wf wo wg ui uf uo ug", "wf wi wg wo uf ui ug uo"),
    "rnn": ("input self output", "input self output"),
}


@pytest.mark.parametrize("revision", [0, 5])
@pytest.mark.parametrize("norm", [0, 1])
@pytest.mark.parametrize("kind", ORDERS)
def test_parts_of_recurrent_layers_stand_in_the_order_of_the_files_revision(
    kind: str, norm: int, revision: int, network: Build
) -> None:
    net = network(f"[net]\ninputs=3\n[{kind}]\noutput=2\nbatch_normalize={norm}\n[connected]\noutput=2\n")
    random = np.random.default_rng(revision)
    params = net.layers[0].params
    wanted = {name: random.normal(size=value.shape).astype(np.float32) for name, value in params.items()}
    last = {name: random.normal(size=value.shape).astype(np.float32) for name, value in net.layers[1].params.items()}
    arrays = ["biases", "weights", *(["scales", "rolling_mean", "rolling_variance"] if norm else [])]
    body = [wanted[f"{part}.{array}"] for part in ORDERS[kind][revision > 0].split() for array in arrays]
    body += [last["biases"], last["weights"]]
    values = np.concatenate([array.ravel() for array in body])
    net.load_weights(save("parts.weights", values, struct.pack("<iiiQ", 0, 2, revision, 0)))
    for layer, arrays_of in ((net.layers[0], wanted), (net.layers[1], last)):
        for name, value in arrays_of.items():
            np.testing.assert_array_equal(layer.params[name], value, err_msg=name)


@pytest.mark.parametrize("revision", [0, 5])
def test_biases_of_batchnorm_layers_are_in_files_of_revision_5_only(revision: int, network: Build) -> None:
    net = network("[net]\nheight=2\nwidth=2\nchannels=3\n[batchnorm]\n", seed=1)
    net.layers[0].set("biases", [7, 8, 9])
    values = np.arange(12 if revision else 9, dtype=np.float32)
    net.load_weights(save("norm.weights", values, struct.pack("<iiiQ", 0, 2, revision, 0)))
    names = ["biases", "scales", "rolling_mean", "rolling_variance"]
    for name, part in zip(names if revision else names[1:], values.reshape(-1, 3), strict=True):
        np.testing.assert_array_equal(net.layers[0].params[name], part)
    if not revision:
        np.testing.assert_array_equal(net.layers[0].params["biases"], [7, 8, 9])
    with pytest.raises(dv.errors.FormatError, match=r"layer 0 \[batchnorm\]|left behind the last layer"):
        net.load_weights(save("norm.weights", values, struct.pack("<iiiQ", 0, 2, 5 - revision, 0)))
