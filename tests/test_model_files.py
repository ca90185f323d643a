"""Model files: a network, its parameters and what belongs to them in one .safetensors file."""

from __future__ import annotations

import copy
import io
import json
import pickle
import struct
import subprocess
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from helpers import ROOT, program, run, slowness
from safetensors import safe_open
from test_kernels import c_test
from test_safetensors import crc32c, sealed

import darknet_vae as dv

FIXTURE = ROOT / "tests" / "golden" / "model_format_1.safetensors"
CFG = """[net] # a small one
batch=4
inputs=6
learning_rate=0.05
momentum=0.9

[connected]
name=first
output=5
activation=relu
batch_normalize=1

[connected]
output=4
activation=linear

[sampling]
beta=0.25

[connected]
output=6
activation=logistic

[cost]
type=sse
"""
ADAM = CFG.replace("momentum=0.9", "adam=1")


@pytest.fixture
def X() -> np.ndarray:
    return np.random.default_rng(0).random((40, 6)).astype(np.float32)


@pytest.fixture
def trained(X: np.ndarray) -> dv.Network:
    net = dv.Network(cfg_text=CFG, seed=3)
    net.train(X, 3)
    return net


def params(net: dv.Network) -> dict[str, np.ndarray]:
    return {f"{layer.index}.{name}": layer.params[name] for layer in net.layers for name in layer.params}


def same(a: dv.Network, b: dv.Network) -> bool:
    x, y = params(a), params(b)
    return x.keys() == y.keys() and all(x[name].tobytes() == y[name].tobytes() for name in x)


def header(path: Path | str) -> dict[str, dict[str, object]]:
    content = Path(path).read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    return dict(json.loads(content[8 : 8 + length]))


# ---- one file


def test_a_model_file_is_the_whole_network(trained: dv.Network, X: np.ndarray) -> None:
    trained.save("m.safetensors")
    for net in (dv.Network.load("m.safetensors"), dv.Network("m.safetensors")):
        assert same(net, trained)
        assert net.seen == trained.seen == 120
        assert net.predict(X).tobytes() == trained.predict(X).tobytes()
        assert net.cfg_text == CFG and net.notes == trained.notes
        assert net.cfg == "m.safetensors"


def test_the_safetensors_package_reads_names_shapes_and_values(trained: dv.Network) -> None:
    trained.save("m.safetensors")
    tensors = safetensors.numpy.load_file("m.safetensors")
    assert tensors.keys() == params(trained).keys()
    for name, values in params(trained).items():
        assert tensors[name].dtype == np.float32 and tensors[name].shape == values.shape
        assert tensors[name].tobytes() == values.tobytes()
    with safe_open("m.safetensors", "numpy") as f:
        metadata = f.metadata()
    assert metadata["darknet_vae.cfg"] == CFG and metadata["darknet_vae.format"] == "1"
    state = json.loads(metadata["darknet_vae.state"])
    assert state["version"] == dv.__version__ and state["seed"] == "3" and state["seen"] == "120"
    assert state["losses"]["total_loss"] == trained.notes.losses["total_loss"]
    assert metadata.keys() == {f"darknet_vae.{key}" for key in ("format", "crc32c", "cfg", "state")}


def test_the_same_network_gives_the_same_bytes(trained: dv.Network) -> None:
    first, second = io.BytesIO(), io.BytesIO()
    trained.save(first)
    trained.save(second)
    trained.save("m.safetensors")
    assert first.getvalue() == second.getvalue() == Path("m.safetensors").read_bytes()
    dv.Network.load("m.safetensors", seed=3).save("again.safetensors")
    kept = header("again.safetensors")["__metadata__"]
    assert kept["darknet_vae.cfg"] == CFG


def test_a_file_of_format_1_is_read_for_ever() -> None:
    net = dv.Network.load(FIXTURE)
    assert (net.inputs, net.latent_size, net.seen) == (4, 2, 24)
    assert net.notes.classes == ["no", "yes"] and net.notes.columns == ["a", "b", "c", "d"]
    assert net.notes.scale == 2 and net.notes.label_column == "kind" and net.data_scale == 2 and net.label_column == "kind"
    weights = net.layers[0].params["weights"]
    assert weights.shape == (4, 4) and weights.ravel().tolist() == [i / 16 for i in range(16)]
    assert net.layers[2].params["biases"].tolist() == [0, 0.5, 1, 1.5]
    expected = json.loads((FIXTURE.parent / "model_format_1.json").read_text())
    assert net.notes.losses == expected["losses"]
    np.testing.assert_allclose(net.predict([[0.1, 0.2, 0.3, 0.4]]), expected["prediction"], rtol=1e-5)


def test_weights_files_stay_and_carry_no_cfg(trained: dv.Network) -> None:
    trained.save("m.weights")
    trained.save("m.safetensors")
    net = dv.Network.load(None, "m.weights", cfg_text=CFG)
    assert same(net, trained)
    with pytest.raises(dv.DarknetError, match=r"m\.weights is no model file"):
        dv.Network.load("m.weights")
    with pytest.raises(dv.DarknetError, match="a cfg comes without parameters"):
        dv.Network.load(None, cfg_text=CFG)
    with pytest.raises(FileNotFoundError):
        dv.Network.load("missing.safetensors")


def test_a_model_file_is_recognised_by_its_content_too(trained: dv.Network) -> None:
    trained.save("m.safetensors")
    Path("m.safetensors").rename("model")
    assert same(dv.Network.load("model"), trained)
    assert same(dv.Network.load(None, "model", cfg_text=CFG), trained)


def test_only_layers_may_be_saved_to_weights_not_to_models(trained: dv.Network) -> None:
    trained.save("part.weights", cutoff=1)
    with pytest.raises(dv.DarknetError, match="a model file has all layers"):
        trained.save("part.safetensors", cutoff=1)
    with pytest.raises(dv.DarknetError, match="a model file has all layers"):
        trained.save(io.BytesIO(), cutoff=1)


def test_layers_of_a_model_file_can_be_loaded_alone(trained: dv.Network) -> None:
    trained.save("m.safetensors")
    net, fresh = dv.Network(cfg_text=CFG, seed=9), dv.Network(cfg_text=CFG, seed=9)
    net.load_weights("m.safetensors", start=1, cutoff=2)
    for name, values in params(net).items():
        from_file = name.startswith("1.")
        assert values.tobytes() == params(trained if from_file else fresh)[name].tobytes(), name


def test_dontsave_and_dontload_layers_keep_their_own_values(X: np.ndarray) -> None:
    text = CFG.replace("output=4\n", "output=4\ndontsave=1\n")
    net = dv.Network(cfg_text=text, seed=3)
    net.train(X, 1)
    net.save("m.safetensors")
    assert not [name for name in header("m.safetensors") if name.startswith("1.")]
    loaded, fresh = dv.Network.load("m.safetensors", seed=5), dv.Network(cfg_text=text, seed=5)
    for name, values in params(loaded).items():
        assert values.tobytes() == params(fresh if name.startswith("1.") else net)[name].tobytes(), name
    assert same(copy.deepcopy(net), net)
    text = CFG.replace("output=4\n", "output=4\ndontload=1\n")
    dv.Network(cfg_text=text, seed=3).save("m.safetensors")
    assert same(dv.Network.load("m.safetensors", seed=5), dv.Network.load(None, "m.safetensors", cfg_text=text, seed=5))


def test_loading_draws_no_initial_weights(trained: dv.Network) -> None:
    """What was drawn before would show where a layer's parameters are not in the file: the seed makes no difference."""
    trained.save("m.safetensors")
    assert same(dv.Network.load("m.safetensors", seed=1), dv.Network.load("m.safetensors", seed=2))


# ---- files of others


def test_tensors_of_the_safetensors_package_are_loaded_by_name(trained: dv.Network, X: np.ndarray) -> None:
    safetensors.numpy.save_file({**params(trained), "other.thing": np.zeros(3)}, "x.safetensors")
    net = dv.Network.load(None, "x.safetensors", cfg_text=CFG)
    assert same(net, trained) and net.seen == 0
    with pytest.raises(dv.DarknetError, match="no network in it, only tensors"):
        dv.Network.load("x.safetensors")


def test_tensors_that_do_not_fit_are_refused_and_change_nothing(trained: dv.Network) -> None:
    net = dv.Network(cfg_text=CFG, seed=8)
    before = params(net)
    good = params(trained)
    cases = {
        "there is no '1.weights' in it": {k: v for k, v in good.items() if k != "1.weights"},
        "'1.weights' is 5 x 4, layer 1 .connected. needs 4 x 5": {**good, "1.weights": good["1.weights"].T.copy()},
        "'1.biases' is a single value": {**good, "1.biases": np.ones((), np.float32)},
        "'1.weights' is of dtype F64": {**good, "1.weights": good["1.weights"].astype(np.float64)},
        "'3.weights' has a value that is not finite": {**good, "3.weights": np.full((6, 2), np.nan, np.float32)},
        "the network has no '7.weights'": {**good, "7.weights": good["1.weights"]},
        "the network has no '1.scales'": {**good, "1.scales": good["1.biases"]},
    }
    for message, tensors in cases.items():
        safetensors.numpy.save_file(tensors, "x.safetensors")
        with pytest.raises(dv.DarknetError, match=message):
            net.load_weights("x.safetensors")
    assert all(before[name].tobytes() == values.tobytes() for name, values in params(net).items())


def test_every_damage_to_a_model_file_is_refused(trained: dv.Network) -> None:
    trained.save("m.safetensors")
    assert run([str(c_test("test_safetensors")), "damage", "m.safetensors"]).stdout.split()[0] == "0"
    content = Path("m.safetensors").read_bytes()
    for damaged in (content[:-1], content[:100], content[:5], b"", content + b"x", content.replace(b"beta", b"betA")):
        Path("m.safetensors").write_bytes(damaged)
        with pytest.raises(dv.DarknetError) as caught:
            dv.Network.load("m.safetensors")
        assert str(caught.value).startswith("m.safetensors: ") and "\n" not in str(caught.value)


def resealed(path: str, change: Callable[[dict[str, str]], object]) -> None:
    """Change the metadata of a file and give it the right checksum again."""
    content = Path(path).read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    tensors = json.loads(content[8 : 8 + length])
    metadata = tensors.pop("__metadata__")
    change(metadata)
    del metadata["darknet_vae.crc32c"]
    Path(path).write_bytes(sealed(metadata, tensors, content[8 + length :]))


def test_a_newer_format_is_refused_by_its_number_and_unknown_keys_are_ignored(trained: dv.Network) -> None:
    trained.save("m.safetensors")
    resealed("m.safetensors", lambda m: m.update({"darknet_vae.later": "thing", "darknet_vae.state": '{"seen":"7","x":[{}]}'}))
    assert same(dv.Network.load("m.safetensors"), trained) and dv.Network.load("m.safetensors").seen == 7
    resealed("m.safetensors", lambda m: m.update({"darknet_vae.format": "2"}))
    with pytest.raises(dv.DarknetError, match="format 2 is newer than 1"):
        dv.Network.load("m.safetensors")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("cfg", "[net]\ninputs=x\n", "inputs=x is not a whole number"),
        ("cfg", "", "no sections"),
        ("cfg", "[net]\0", "zero byte"),
        ("cfg", CFG.replace("output=5", "output=50"), "another network"),
        ("state", "{", "state"),
        ("state", "[]", "an object"),
        ("state", '{"seen":5}', "a string"),
        ("state", '{"seen":"-5"}', "not a whole number"),
        ("state", '{"seen":"18446744073709551616"}', "beyond 64 bits"),
        ("state", '{"seen":"5x"}', "after the end"),
        ("state", '{"losses":{"a":"b"}}', "not a number"),
        ("columns", '{"scale":-1}', "scale"),
        ("columns", '{"classes":["a",1]}', "a string"),
        ("columns", '{"classes":["a\\u0000"]}', "zero"),
        ("columns", '{"names":["a"],"names":["b"]}', "given before"),
        ("files", '{"a":1}', "a string"),
    ],
)
def test_sealed_nonsense_is_refused(trained: dv.Network, key: str, value: str, message: str) -> None:
    trained.save("m.safetensors")
    resealed("m.safetensors", lambda m: m.update({f"darknet_vae.{key}": value}))
    with pytest.raises(dv.DarknetError, match=message) as caught:
        dv.Network.load("m.safetensors")
    assert "m.safetensors" in str(caught.value) and "\n" not in str(caught.value)


# ---- what belongs to a network


def test_notes_are_kept_and_count(trained: dv.Network) -> None:
    trained.note(scale=255, label_column="digit", columns=["a,b", 'q"\n', "é"], classes=["0", "1"])
    trained.save("m.safetensors")
    net = dv.Network.load("m.safetensors")
    assert net.notes == trained.notes
    assert net.notes[:4] == (255, "digit", ["a,b", 'q"\n', "é"], ["0", "1"])
    assert net.data_scale == 255 and net.label_column == "digit"
    kept = json.loads(str(header("m.safetensors")["__metadata__"]["darknet_vae.columns"]))
    assert kept == {"scale": 255, "label_column": "digit", "names": ["a,b", 'q"\n', "é"], "classes": ["0", "1"]}
    net.save("m.weights")
    net.load_weights("m.weights")
    assert net.notes.classes == ["0", "1"] and net.notes.losses == {}


TREE = "animal -1\nplant -1\ncat 0\ndog 0\n"


def test_a_label_tree_is_inside() -> None:
    text = "[net]\ninputs=6\n[connected]\noutput=4\nactivation=linear\n[softmax]\ntree=my.tree\n"
    Path("my.tree").write_text(TREE)
    net = dv.Network(cfg_text=text, seed=1)
    net.save("m.safetensors")
    expected = net.predict(np.ones((1, 6)))
    Path("my.tree").unlink()
    loaded = dv.Network.load("m.safetensors")
    assert loaded.predict(np.ones((1, 6))).tobytes() == expected.tobytes()
    loaded.save("again.safetensors")
    metadata = header("again.safetensors")["__metadata__"]
    assert json.loads(str(metadata["darknet_vae.files"])) == {"my.tree": TREE}
    assert same(copy.deepcopy(loaded), net)


def test_a_model_file_reads_no_other_files(tmp_path: Path) -> None:
    text = "[net]\ninputs=6\n[connected]\noutput=4\nactivation=linear\n[softmax]\ntree=my.tree\n"
    Path("my.tree").write_text(TREE)
    dv.Network(cfg_text=text, seed=1).save("m.safetensors")
    resealed("m.safetensors", lambda m: m.pop("darknet_vae.files"))
    with pytest.raises(dv.DarknetError, match=r"my\.tree is not in the model file"):
        dv.Network.load("m.safetensors")
    Path("other.tree").write_text(TREE)
    net = dv.Network.load("m.safetensors", set={"softmax.tree": "other.tree"})
    net.save("m.safetensors")
    assert "tree=other.tree" in net.cfg_text
    Path("other.tree").unlink()
    assert same(dv.Network.load("m.safetensors"), net)


def test_text_that_is_not_utf8_is_taken_as_latin_1(X: np.ndarray) -> None:
    Path("n.cfg").write_bytes(CFG.replace("a small one", "für uns").encode("latin-1"))
    net = dv.Network("n.cfg")
    net.save("m.safetensors")
    assert "für uns" in dv.Network.load("m.safetensors").cfg_text


def test_a_resized_network_is_saved_at_its_size() -> None:
    text = "[net]\nheight=8\nwidth=8\nchannels=1\n[convolutional]\nfilters=2\nsize=3\npad=1\nactivation=linear\n"
    net = dv.Network(cfg_text=text)
    net.resize(6, 4)
    net.save("m.safetensors")
    loaded = dv.Network.load("m.safetensors")
    assert loaded.input_shape == (1, 6, 4) and "height=6" in loaded.cfg_text
    assert copy.deepcopy(net).input_shape == (1, 6, 4)


# ---- setting keys


def test_keys_can_be_set_whatever_the_cfg_says() -> None:
    given = {"net.batch": 8, "sampling.beta": 0.5, "3.output": 6, "connected.activation": "tanh", "first.batch_normalize": 0}
    net = dv.Network(cfg_text=CFG, set=given)
    assert net.batch == 8 and "scales" not in net.layers[0].params
    lines = net.cfg_text.splitlines()
    assert lines[0] == "[net] # a small one" and lines.count("activation=tanh") == 3
    assert "batch=8" in lines and "beta=0.5" in lines and "batch_normalize=0" in lines
    assert len(lines) == len(CFG.splitlines())
    again = dv.Network(cfg_text=net.cfg_text)
    assert same(again, net)


def test_a_key_that_the_cfg_lacks_is_added() -> None:
    net = dv.Network(cfg_text=CFG, set={"net.decay": 0, "connected.name": "a #b", "net.data_scale": "16"})
    assert net.data_scale == 16 and net.layers[3].name == "a #b"
    again = dv.Network(cfg_text=net.cfg_text)
    assert again.layers[3].name == "a #b" and again.data_scale == 16
    assert net.cfg_text.count('name="a #b"') == 3


def test_setting_works_on_model_files_and_is_saved(trained: dv.Network) -> None:
    trained.save("m.safetensors")
    net = dv.Network.load("m.safetensors", set={"sampling.beta": 2, "net.batch": 16})
    assert net.batch == 16 and same(net, trained)
    net.save("m2.safetensors")
    assert "beta=2" in dv.Network.load("m2.safetensors").cfg_text
    with pytest.raises(dv.DarknetError, match="of another network"):
        dv.Network.load("m.safetensors", set={"first.output": 7})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"batch": 8}, "not section.key=value"),
        ({"net.batch": ""}, "not section.key=value"),
        ({".batch": "1"}, "not section.key=value"),
        ({"net.": "1"}, "not section.key=value"),
        ({"net.batch": "x"}, "batch=x is not a whole number"),
        ({"net.bacth": 8}, "has no key 'bacth' to set .did you mean 'batch'"),
        ({"sampling.bta": 8}, "has no key 'bta' to set .did you mean 'beta'"),
        ({"samplin.beta": 8}, "did you mean sampling"),
        ({"nothing.at.all": 8}, "no section or layer 'nothing.at'"),
        ({"5.output": 8}, "no section or layer '5'.*from 0 to 4"),
        ({"99999999999.output": 8}, "no section or layer"),
        ({"net.batch": "8\nnet.inputs=3"}, "one line"),
        ({"first.name": 'a"b#c'}, "both quotes and #"),
    ],
)
def test_a_key_that_cannot_be_set_is_an_error(given: dict[str, object], message: str) -> None:
    with pytest.raises(dv.DarknetError, match=message):
        dv.Network(cfg_text=CFG, set=given)


def test_sections_answer_by_alias_number_and_name() -> None:
    text = CFG.replace("[connected]\noutput=4", "[conn]\noutput=4")
    net = dv.Network(cfg_text=text, set={"connected.learning_rate": "0.5", "1.stopbackward": True})
    assert net.cfg_text.count("learning_rate=0.5") == 3
    assert "[conn]\nlearning_rate=0.5\nstopbackward=1\noutput=4" in net.cfg_text


# ---- the command line

DIGITS = ROOT / "data" / "digits.csv"
SMALL = "[net]\nbatch=8\ninputs=64\ndata_scale=16\nlabel_column=label\n[connected]\noutput=10\nactivation=linear\n[softmax]\n"


def darknet(*words: str, code: int = 0, kind: str = "binary") -> subprocess.CompletedProcess[str]:
    done = run([*program(kind), *words])
    assert done.returncode == code, done.stderr
    assert code == 0 or done.stderr.count("\n") == 1, done.stderr
    return done


def info(path: str) -> dict[str, Any]:
    return dict(json.loads(darknet("info", path, "-json").stdout))


@pytest.mark.parametrize("kind", ["binary", "python"])
def test_every_verb_takes_a_model_file_in_place_of_cfg_and_weights(kind: str) -> None:
    cfg = str(ROOT / "cfg" / "autoencoder.cfg")
    darknet("train", cfg, str(DIGITS), "-epochs", "1", "-save", "m.safetensors", "-N", "200", kind=kind)
    darknet("train", cfg, str(DIGITS), "-epochs", "1", "-save", "m.weights", "-N", "200", kind=kind)
    for verb in ("encode", "reconstruct", "predict", "evaluate"):
        one = darknet(verb, "m.safetensors", str(DIGITS), kind=kind)
        two = darknet(verb, cfg, str(DIGITS), "-weights", "m.weights", kind=kind)
        three = darknet(verb, cfg, str(DIGITS), "-weights", "m.safetensors", kind=kind)
        assert one.stdout == two.stdout == three.stdout
    assert darknet("inspect", "m.safetensors", kind=kind).stdout == darknet("inspect", cfg, kind=kind).stdout


def test_sampling_needs_one_file() -> None:
    darknet("train", str(ROOT / "cfg" / "vae_digits.cfg"), str(DIGITS), "-epochs", "1", "-save", "m.safetensors", "-N", "99")
    assert darknet("sample", "m.safetensors", "-n", "16").stdout.count("\n") == 16
    assert not Path("vae.weights").exists()
    assert info("m.safetensors")["seen"] == "99"
    darknet("train", "m.safetensors", str(DIGITS), "-epochs", "1", "-save", "m.safetensors", "-N", "99")
    assert info("m.safetensors")["seen"] == "198"
    darknet("train", "m.safetensors", str(DIGITS), "-epochs", "1", "-N", "99", "-clear")
    assert info("vae.safetensors")["seen"] == "99"


def test_classes_scale_columns_and_label_go_into_the_model_file() -> None:
    Path("small.cfg").write_text(SMALL.replace("data_scale=16\nlabel_column=label\n", ""))
    words = ["-scale", "16", "-label-column", "label"]
    darknet("train", "small.cfg", str(DIGITS), "-epochs", "3", "-save", "m.safetensors", *words)
    darknet("train", "small.cfg", str(DIGITS), "-epochs", "3", "-save", "w.weights", *words)
    assert Path("w.labels.txt").exists() and not Path("m.labels.txt").exists()
    held = info("m.safetensors")
    assert held["columns"]["scale"] == 16 and held["columns"]["label_column"] == "label"
    assert held["columns"]["classes"] == [str(k) for k in range(10)] and len(held["columns"]["names"]) == 64
    assert held["losses"].keys() >= {"image_loss", "accuracy"} and held["cfg"] == Path("small.cfg").read_text()
    one = darknet("predict", "m.safetensors", str(DIGITS), "-labels")
    assert one.stdout.startswith("0,") and one.stderr == ""
    accuracy = json.loads(darknet("evaluate", "m.safetensors", str(DIGITS), "-json").stdout)["accuracy"]
    two = darknet("evaluate", "small.cfg", str(DIGITS), "-json", "-weights", "w.weights", *words)
    assert accuracy == json.loads(two.stdout)["accuracy"] and accuracy > 0.8


def test_other_columns_than_those_of_the_training_are_a_warning() -> None:
    Path("a.csv").write_text("x,y\n1,2\n3,4\n5,6\n")
    Path("b.csv").write_text("x,z\n1,2\n3,4\n")
    Path("n.cfg").write_text("[net]\ninputs=2\n[connected]\noutput=2\nactivation=linear\n[cost]\n")
    darknet("train", "n.cfg", "a.csv", "-epochs", "1", "-save", "m.safetensors")
    assert darknet("predict", "m.safetensors", "a.csv").stderr == ""
    assert "column 1 is 'z', the model was trained with 'y' there" in darknet("predict", "m.safetensors", "b.csv").stderr


def test_convert_goes_both_ways() -> None:
    Path("small.cfg").write_text(SMALL)
    darknet("train", "small.cfg", str(DIGITS), "-epochs", "1", "-save", "a.weights")
    darknet("convert", "small.cfg", "b.safetensors", "-weights", "a.weights")
    assert darknet("convert", "b.safetensors", "c.weights").stderr == "saved c.weights, c.cfg, c.labels.txt\n"
    assert Path("c.weights").read_bytes() == Path("a.weights").read_bytes()
    assert Path("c.cfg").read_text() == SMALL and Path("c.labels.txt").read_bytes() == Path("a.labels.txt").read_bytes()
    darknet("convert", "b.safetensors", "c.weights")  # the same again
    Path("c.cfg").write_text(SMALL + "#")
    Path("c.weights").write_bytes(b"")
    assert "c.cfg is there already, with another content" in darknet("convert", "b.safetensors", "c.weights", code=2).stderr
    assert Path("c.weights").read_bytes() == b""
    darknet("convert", "b.safetensors", "d.safetensors", "-set", "net.batch=2")
    assert "batch=2" in info("d.safetensors")["cfg"] and info("d.safetensors")["columns"]["classes"][9] == "9"
    assert "convert needs the trained parameters" in darknet("convert", "small.cfg", "e.safetensors", code=2).stderr
    assert "neither .safetensors" in darknet("convert", "b.safetensors", "e.txt", code=2).stderr
    assert "convert CFG OUTPUT -weights a.weights" in darknet("convert", "a.weights", "e.safetensors", code=2).stderr
    assert "is the input" in darknet("convert", "b.safetensors", "b.safetensors", code=2).stderr
    assert "for a cfg: inspect small.cfg" in darknet("info", "small.cfg", code=2).stderr


def test_convert_writes_scale_and_trees_beside_the_weights_and_nowhere_else() -> None:
    text = "[net]\ninputs=6\n[connected]\noutput=4\nactivation=linear\n[softmax]\ntree=my.tree\n"
    Path("my.tree").write_text(TREE)
    net = dv.Network(cfg_text=text, seed=1)
    net.note(scale=0.1, label_column="kind of")
    net.save("m.safetensors")
    Path("out").mkdir()
    darknet("convert", "m.safetensors", "out/x.weights")
    assert sorted(p.name for p in Path("out").iterdir()) == ["my.tree", "x.cfg", "x.weights"]
    back = dv.Network.load("out/x.cfg", "out/x.weights")
    assert same(back, net) and back.data_scale == pytest.approx(0.1) and back.label_column == "kind of"
    for name in ("../my.tree", "/tmp/my.tree", "a/../../my.tree"):
        changed = {"darknet_vae.cfg": text.replace("my.tree", name), "darknet_vae.files": json.dumps({name: TREE})}
        resealed("m.safetensors", lambda m, c=changed: m.update(c))  # type: ignore[misc]
        assert "is not beside it" in darknet("convert", "m.safetensors", "out/y.weights", code=2).stderr
    assert sorted(p.name for p in Path("out").iterdir()) == ["my.tree", "x.cfg", "x.weights"]


def test_info_says_what_files_hold(trained: dv.Network) -> None:
    trained.note(classes=["a\x1b[31m", "b"])
    trained.save("m.safetensors")
    trained.save("m.weights")
    Path("t.safetensors").write_bytes(trained._bytes(training=True))
    text = darknet("info", "m.safetensors").stdout
    assert "model file of format 1" in text and "rows seen 120, seed 3" in text and "0.weights" in text
    assert "\x1b" not in text and "2 classes: a\\x1b[31m, b" in text
    assert "opt.*: 7 tensors of the optimiser" in darknet("info", "t.safetensors").stdout
    held = info("m.safetensors")
    assert held["kind"] == "model" and held["format"] == 1 and held["seen"] == "120"
    assert held["tensors"]["1.weights"] == {"dtype": "F32", "shape": [4, 5]}
    weights = info("m.weights")
    assert weights.pop("values") == sum(v.size for v in params(trained).values())
    assert weights == {"kind": "weights", "version": "0.2.0", "seen": "120"}
    safetensors.numpy.save_file({"a": np.zeros(3)}, "o.safetensors", metadata={"k": "v"})
    assert info("o.safetensors") == {"kind": "tensors", "metadata": {"k": "v"}, "tensors": {"a": {"dtype": "F64", "shape": [3]}}}
    Path("n.txt").write_text("hello, this is a text of many words")
    darknet("info", "n.txt", code=3)
    darknet("info", "missing.safetensors", code=4)


def test_a_damaged_model_file_is_one_line_and_a_code(trained: dv.Network) -> None:
    trained.save("m.safetensors")
    content = Path("m.safetensors").read_bytes()
    Path("m.safetensors").write_bytes(content[:200])
    done = darknet("sample", "m.safetensors", "-n", "2", code=3)
    assert "m.safetensors: its header would have" in done.stderr


def test_set_is_an_option_of_every_verb_with_a_network(trained: dv.Network) -> None:
    trained.save("m.safetensors")
    Path("n.cfg").write_text(CFG)
    shown = json.loads(darknet("inspect", "n.cfg", "-json", "-set", "net.batch=12", "-set", "0.output=7").stdout)
    assert shown["batch"] == 12 and shown["layers"][0]["output"][0] == 7
    assert json.loads(darknet("inspect", "m.safetensors", "-json", "-set=net.batch=12").stdout)["batch"] == 12
    assert "no key 'bacth'" in darknet("inspect", "n.cfg", "-set", "net.bacth=12", code=2).stderr
    assert "must be section.key=value" in darknet("inspect", "n.cfg", "-set", "net.batch", code=2).stderr
    assert darknet("sample", "m.safetensors", "-n", "2", "-set", "net.batch=1").stdout.count("\n") == 2


def test_continue_and_clear_are_for_model_files_too() -> None:
    Path("n.cfg").write_text(SMALL.replace("batch=8", "batch=8\nmax_batches=20"))
    words = ["train", "n.cfg", str(DIGITS), "-N", "80", "-save", "m.safetensors"]
    assert "give -weights W, or a model file" in darknet(*words, "-continue", code=2).stderr
    darknet(*words)
    assert info("m.safetensors")["seen"] == "160"
    again = ["train", "m.safetensors", str(DIGITS), "-N", "80", "-save", "m.safetensors"]
    assert "max_batches" in darknet(*again, "-continue", code=2).stderr
    darknet(*again, "-clear")
    assert info("m.safetensors")["seen"] == "160"
    darknet(*again)
    assert info("m.safetensors")["seen"] == "320"


@pytest.mark.timing
def test_a_model_of_800_000_parameters_loads_in_5_ms() -> None:
    text = "[net]\ninputs=400\nbatch=1\n" + "[connected]\noutput=1000\n[connected]\noutput=400\n[cost]\n"
    net = dv.Network(cfg_text=text, threads=1)
    assert net.n_params > 800_000
    net.save("m.safetensors")
    times = []
    for _ in range(10):
        start = time.perf_counter()
        dv.Network.load("m.safetensors", threads=1).close()
        times.append(time.perf_counter() - start)
    assert min(times) < 0.005 * slowness(of_memory=True), times


# ---- Python


def test_files_that_are_open_are_read_and_written(trained: dv.Network) -> None:
    with open("m.safetensors", "wb") as f:
        trained.save(f)
    with open("m.safetensors", "rb") as f:
        assert same(dv.Network.load(f), trained)
    memory = io.BytesIO()
    trained.save(memory)
    memory.seek(0)
    net = dv.Network(cfg_text=CFG, seed=9)
    net.load_weights(memory)
    assert same(net, trained) and net.seen == 120
    memory.seek(0)
    assert dv.Network.load(memory, clear=True).seen == 0
    with pytest.raises(dv.DarknetError, match="binary mode"):
        dv.Network.load(io.StringIO("x"))  # type: ignore[arg-type]
    with pytest.raises(dv.DarknetError, match="the file: its header would have"):
        dv.Network.load(io.BytesIO(b"x" * 100))


@pytest.mark.parametrize("text", [CFG, ADAM], ids=["sgd", "adam"])
@pytest.mark.parametrize("device", ["cpu", "fence"])
@pytest.mark.parametrize("way", ["copy", "deepcopy", "pickle"])
def test_a_copy_trains_on_as_the_original(text: str, device: str, way: str, X: np.ndarray) -> None:
    net = dv.Network(cfg_text=text, seed=7, device=device, threads=1, batch=8)
    net.train(X, 3)
    other = pickle.loads(pickle.dumps(net)) if way == "pickle" else getattr(copy, way)(net)
    assert same(other, net) and other.seen == net.seen and other.seed == 7 and other.batch == 8
    assert other.device == net.device and other.cfg == net.cfg and other.notes == net.notes
    first, second = net.train(X, 2), other.train(X, 2)
    assert first.total_loss == second.total_loss and same(net, other)
    whole = dv.Network(cfg_text=text, seed=7, device=device, threads=1, batch=8)
    whole.train(X, 5)
    assert same(whole, net)


def test_a_copy_is_independent(trained: dv.Network, X: np.ndarray) -> None:
    other = copy.deepcopy({"net": trained})["net"]
    before = params(trained)
    other.train(X, 1)
    assert all(before[name].tobytes() == values.tobytes() for name, values in params(trained).items())


def test_a_copy_is_refused_while_gradients_wait(trained: dv.Network, X: np.ndarray) -> None:
    trained.forward(X[:4], X[:4], train=True)
    trained.backward()
    with pytest.raises(dv.DarknetError, match="wait for an update"):
        copy.deepcopy(trained)
    trained.update()
    assert same(copy.deepcopy(trained), trained)


def test_a_network_closes_at_the_end_of_with(X: np.ndarray) -> None:
    with dv.Network(cfg_text=CFG) as net:
        net.predict(X)
    for use in (lambda: net.predict(X), lambda: net.seen, lambda: net.layers[0].params["weights"], net.__enter__):
        with pytest.raises(dv.DarknetError, match="the network is closed"):
            use()
    net.close()
    with pytest.raises(ZeroDivisionError), dv.Network(cfg_text=CFG) as net:
        1 / 0  # noqa: B018


def test_a_network_in_use_is_not_closed(X: np.ndarray) -> None:
    net = dv.Network(cfg_text=CFG)
    with pytest.raises(dv.DarknetError, match="being trained"):
        net.train(X, 3, callback=lambda _: net.close())
    net.train(X, 1)
    started, stop = threading.Event(), threading.Event()

    def work() -> None:
        net.train(X, 100000, on_slice=lambda _: started.set(), callback=lambda _: stop.is_set())

    thread = threading.Thread(target=work)
    thread.start()
    try:
        assert started.wait(60)
        with pytest.raises(dv.DarknetError):
            net.close()
    finally:
        stop.set()
        thread.join()
    net.close()


def test_training_goes_on_from_a_model_as_from_weights(trained: dv.Network, X: np.ndarray) -> None:
    trained.save("m.safetensors")
    trained.save("m.weights")
    a = dv.Network.load("m.safetensors", seed=3)
    b = dv.Network.load(None, "m.weights", cfg_text=CFG, seed=3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        a.train(X, 2)
        b.train(X, 2)
    assert same(a, b) and a.seen == 200


def test_the_checksum_is_of_all_but_its_digits(trained: dv.Network) -> None:
    trained.save("m.safetensors")
    digits = str(header("m.safetensors")["__metadata__"]["darknet_vae.crc32c"]).encode()
    before, after = Path("m.safetensors").read_bytes().split(digits)
    assert crc32c(before + after) == int(digits, 16)
