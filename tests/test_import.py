"""Weights of autoencoders of other programs: files as those programs write them, and outputs that are theirs."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import MODULE, ROOT, run

import darknet_vae as dv
from darknet_vae import errors

# ruff: noqa: E501 - a cfg is a line
NET = "[net]\nbatch=4\ninputs=12\n"
MEANS, BOTH = "[connected]\noutput=3\nactivation=linear\n", "[connected]\noutput=6\nactivation=linear\n"
TWO = MEANS + "[route]\nlayers=-2\n" + MEANS + "[route]\nlayers=-1,-3\n[sampling]\n"
END = "[connected]\noutput=8\nactivation=relu\n[connected]\noutput=12\nactivation=linear\n[cost]\n"
DENSE = NET + "[connected]\noutput=8\nactivation=relu\n" + BOTH + "[sampling]\n" + END
ROUTES = NET + "[connected]\noutput=8\nactivation=relu\n" + TWO + END
NORMED = DENSE.replace("output=8\n", "output=8\nbatch_normalize=1\n")
SEPARATE = DENSE.replace(
    "output=8\nactivation=relu\n", "output=8\nactivation=linear\n[batchnorm]\n[activation]\nactivation=relu\n"
)
IMAGE = (
    "[net]\nbatch=4\nheight=8\nwidth=8\nchannels=2\n[convolutional]\nfilters=4\nsize=4\nstride=2\npadding=1\nbatch_normalize=1\nactivation=relu\n"
    + BOTH + "[sampling]\n[connected]\noutput=64\nactivation=relu\n[reshape]\nheight=4\nwidth=4\nchannels=4\n"
    "[deconvolutional]\nfilters=2\nsize=4\nstride=2\npadding=1\nactivation=linear\n[cost]\n"
)  # fmt: skip


def network(text: str) -> dv.Network:
    return dv.Network(cfg_text=text, seed=3)


def drawn(seed: int = 0) -> Any:
    random = np.random.default_rng(seed)
    return lambda *shape: random.normal(size=shape).astype(np.float32)


def dense_state(
    first: str = "fc1", mean: str = "fc21", log: str = "fc22", third: str = "fc3", last: str = "fc4"
) -> dict[str, np.ndarray]:
    """As PyTorch's example of a VAE names its layers, in order."""
    r, found = drawn(), {}
    for name, shape in ((first, (8, 12)), (mean, (3, 8)), (log, (3, 8)), (third, (8, 3)), (last, (12, 8))):
        found |= {f"{name}.weight": r(*shape), f"{name}.bias": r(shape[0])}
    return found


def outputs(state: Mapping[str, np.ndarray], x: np.ndarray, z: np.ndarray, names: list[str]) -> list[np.ndarray]:
    """Means, log-variances and decoded rows; x @ W.T + b with numpy."""

    def layer(values: np.ndarray, name: str) -> np.ndarray:
        return values @ state[f"{name}.weight"].T + state[f"{name}.bias"]

    first, mean, log, third, last = names
    h = np.maximum(layer(x, first), 0)
    return [layer(h, mean), layer(h, log), layer(np.maximum(layer(z, third), 0), last)]


def check(net: dv.Network, wanted: list[np.ndarray], x: np.ndarray, z: np.ndarray) -> None:
    for ours, theirs in zip((*net.encode(x), net.sample(z).reshape(len(z), -1)), wanted, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


X, Z = 0.3 * drawn(1)(5, 12), 0.3 * drawn(2)(5, 3)
NAMES = ["fc1", "fc21", "fc22", "fc3", "fc4"]


def save_safetensors(path: str, state: Mapping[str, np.ndarray]) -> None:
    """As the package safetensors does: by name, whatever the order was."""
    header, data = {}, b""
    for name in sorted(state):
        raw = np.ascontiguousarray(state[name], "<f4").tobytes()
        header[name] = {"dtype": "F32", "shape": list(state[name].shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    Path(path).write_bytes(struct.pack("<Q", len(text)) + text + data)


@pytest.mark.parametrize("text", [DENSE, ROUTES], ids=["one layer for both", "a layer for each"])
@pytest.mark.parametrize("form", ["state", "npz", "safetensors"])
def test_layers_are_taken_in_order_means_first(text: str, form: str) -> None:
    state: Any = dense_state()
    wanted = outputs(state, X, Z, NAMES)
    if form == "npz":
        np.savez("w.npz", **state)
    if form == "safetensors":
        save_safetensors("w.safetensors", state)
    check(dv.import_weights(network(text), state if form == "state" else f"w.{form}"), wanted, X, Z)


@pytest.mark.parametrize("text", [DENSE, ROUTES])
def test_one_layer_for_both_has_the_means_first(text: str) -> None:
    state = dense_state()
    wanted = outputs(state, X, Z, NAMES)
    both = {f"both.{kind}": np.concatenate([state.pop(f"fc21.{kind}"), state.pop(f"fc22.{kind}")]) for kind in ("weight", "bias")}
    first = {key: state.pop(key) for key in list(state) if key.startswith("fc1.")}
    check(dv.import_weights(network(text), first | both | state), wanted, X, Z)


def test_names_say_what_is_mean_log_variance_encoder_and_decoder() -> None:
    names = ["encoder.0", "fc_mu", "fc_logvar", "decoder.0", "decoder.2"]
    state = dense_state(*names)
    wanted = outputs(state, X, Z, names)
    for order in ([3, 4, 0, 2, 1], [0, 2, 1, 3, 4]):
        mixed = {f"{names[i]}.{kind}": state[f"{names[i]}.{kind}"] for i in order for kind in ("weight", "bias")}
        check(dv.import_weights(network(DENSE), mixed), wanted, X, Z)
    save_safetensors("w.safetensors", state)  # sorted: the decoder first
    check(dv.import_weights(network(ROUTES), "w.safetensors"), wanted, X, Z)


def test_the_logarithm_of_sigma_counts_twice() -> None:
    names = ["fc1", "mu", "log_std", "fc3", "fc4"]
    state = dense_state(*names)
    mean, log, data = outputs(state, X, Z, names)
    check(dv.import_weights(network(DENSE), state), [mean, 2 * log, data], X, Z)


def test_wrappers_and_counters_do_not_matter() -> None:
    state = {f"module.{key}": value for key, value in dense_state().items()} | {"module.bn.num_batches_tracked": np.array(3)}
    state = {key: value for key, value in state.items() if "bn" not in key}
    check(dv.import_weights(network(DENSE), state), outputs(dense_state(), X, Z, NAMES), X, Z)


def test_a_mapping_says_which_layers_are_taken() -> None:
    names = ["a", "b", "c", "d", "e"]
    state = {key: value for key, value in reversed(dense_state(*names).items())}
    net = network(DENSE.replace("[connected]\n", "[connected]\nname=first\n", 1))
    check(dv.import_weights(net, state, {"first": "a", 1: ["b", "c"], "3": "d", 4: "e"}), outputs(state, X, Z, names), X, Z)
    net = network(DENSE)
    before = net.layers[0].params["weights"]
    dv.import_weights(net, state, {4: "e"})
    np.testing.assert_array_equal(net.layers[4].params["weights"], state["e.weight"])
    np.testing.assert_array_equal(net.layers[0].params["weights"], before)
    for mapping, words in (({7: "e"}, "no layer 7"), ({4: "f1"}, "no layer 'f1'"), ({4: "d"}, r"\(12, 8\), found d \(8, 3\)")):
        with pytest.raises(errors.UsageError, match=words):
            dv.import_weights(net, state, mapping)


@pytest.mark.parametrize("text", [DENSE, NORMED, SEPARATE], ids=["none", "in the layer", "after it"])
@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("epsilon", ["1e-5", "legacy", "0.01"])
def test_batch_normalisation_comes_with_its_statistics(text: str, norm: bool, epsilon: str) -> None:
    """Where only one of the two has it, it is computed into the weights, or changes nothing."""
    state, r = dense_state(), drawn(5)
    plain = dict(state)
    if norm:
        for name in ("fc1", "fc3"):
            bn, W, b = name.replace("fc", "bn"), state[f"{name}.weight"], state[f"{name}.bias"]
            state |= {f"{bn}.weight": 0.004 * r(8), f"{bn}.bias": r(8), f"{bn}.running_mean": r(8), f"{bn}.running_var": r(8) ** 2 / 1000,
                      f"{bn}.num_batches_tracked": np.array(7)}  # fmt: skip
            scale = state[f"{bn}.weight"] / np.sqrt(state[f"{bn}.running_var"] + 1e-5)
            plain |= {
                f"{name}.weight": W * scale[:, None],
                f"{name}.bias": scale * (b - state[f"{bn}.running_mean"]) + state[f"{bn}.bias"],
            }
    net = network(text.replace("[net]\n", f"[net]\nbn_epsilon={epsilon}\n"))
    dv.import_weights(net, state)
    wanted = outputs(plain, X, Z, NAMES)
    for ours, theirs in zip((*net.encode(X), net.sample(Z)), wanted, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5 * np.abs(theirs).max())


def test_every_layer_that_does_not_fit_is_named_and_nothing_changes() -> None:
    state = dense_state()
    state["fc3.weight"], state["fc4.bias"] = drawn()(9, 3), drawn()(11)
    state |= {"extra.weight": drawn()(2, 2), "norm.weight": drawn()(8)}
    net = network(DENSE)
    before = [layer.params[name] for layer in net.layers for name in layer.params]
    with pytest.raises(errors.UsageError) as caught:
        dv.import_weights(net, state)
    message = str(caught.value)
    for part in ("layer 3 [connected] wants weights (8, 3), found fc3 (9, 3)", "layer 4 [connected] wants biases (12,), found fc4 (11,)",
                 "extra (2, 2) is left over", "norm.weight(8,) is of a layer that import does not know"):  # fmt: skip
        assert part in message
    assert "\n" not in message and "layer 0" not in message
    for a, b in zip(before, [layer.params[name] for layer in net.layers for name in layer.params], strict=True):
        np.testing.assert_array_equal(a, b)
    del state["fc4.weight"], state["fc4.bias"], state["extra.weight"], state["norm.weight"]
    with pytest.raises(errors.UsageError, match=r"layer 4 \[connected\] wants weights \(12, 8\), found none"):
        dv.import_weights(net, state)
    state = dense_state()
    state["fc1.bias"][3] = np.nan
    with pytest.raises(errors.FormatError, match="not all finite"):
        dv.import_weights(net, state)


@pytest.mark.parametrize("text", [DENSE, ROUTES, NORMED, SEPARATE, IMAGE])
def test_what_was_exported_comes_back(text: str) -> None:
    net = network(text)
    for i, layer in enumerate(net.layers):
        for name, values in layer.params.items():
            noise = drawn(i)(*values.shape)
            layer.set(name, 0.5 + noise**2 if name in ("scales", "rolling_variance") else 0.3 * noise)
    x = drawn(9)(4, net.inputs)
    dv.export.npz(net, "ours.npz")
    dv.export.pytorch(net, "module.py")
    net.save("ours.safetensors")
    forms: list[Any] = ["ours.npz", "module.npz", "ours.safetensors"]
    try:
        import onnx
    except ImportError:
        pass
    else:
        assert onnx
        dv.export.onnx(net, "m.onnx")
        forms.append(["m_encoder.onnx", "m_decoder.onnx"])
    for form in forms:
        again = dv.import_weights(network(text), form)
        for a, b in zip((*again.encode(x), again.reconstruct(x)), (*net.encode(x), net.reconstruct(x)), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_files_that_are_something_else_are_one_line() -> None:
    net = network(DENSE)
    Path("w.txt").write_text("x")
    for ending in ("npz", "safetensors", "onnx", "pt"):
        Path(f"w.{ending}").write_bytes(b"\x20\0\0\0\0\0\0\0no such thing, really")
    np.savez("pickled.npz", a=np.array([{}], dtype=object))
    for name in ("w.txt", "w.npz", "w.safetensors", "w.onnx", "w.pt", "missing.npz", "pickled.npz"):
        with pytest.raises(errors.DarknetError) as caught:
            dv.import_weights(net, name)
        assert name in str(caught.value) and "\n" not in str(caught.value)


def test_the_command_imports_and_saves() -> None:
    Path("vae.cfg").write_text(DENSE)
    state = dense_state()
    np.savez("w.npz", **state)  # type: ignore[arg-type]
    done = run([*MODULE, "import", "vae.cfg", "w.npz", "-save", "vae.safetensors"])
    assert done.returncode == 0 and done.stderr == "saved vae.safetensors\n", done.stderr
    assert done.stdout.splitlines()[1] == "layer 1   [connected]       fc21 (3, 8)  means"
    check(dv.Network.load("vae.safetensors"), outputs(state, X, Z, NAMES), X, Z)
    done = run([*MODULE, "import", "vae.cfg", "w.npz", "-save", "v.weights", "-map", "3=fc3", "-map", "1=fc21+fc22", "-quiet"])
    assert done.returncode == 0 and not done.stdout + done.stderr
    for words in (["vae.cfg", "w.npz"], ["vae.cfg", "w.npz", "-save", "w.npz"], ["vae.cfg", "no.npz", "-save", "a.safetensors"],
                  ["vae.cfg", "w.npz", "-save", "a.safetensors", "-map", "3"],
                  [str(ROOT / "cfg" / "vae_digits.cfg"), "w.npz", "-save", "a.safetensors"]):  # fmt: skip
        done = run([*MODULE, "import", *words])
        assert done.returncode in (2, 4) and len(done.stderr.splitlines()) == 1, done.stderr
        assert not Path("a.safetensors").exists()


# ---- PyTorch and ONNX themselves


def torch_models(torch: Any) -> dict[str, tuple[Any, str]]:
    nn = torch.nn

    class Dense(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.fc1, self.fc21, self.fc22 = nn.Linear(12, 8), nn.Linear(8, 3), nn.Linear(8, 3)
            self.fc3, self.fc4 = nn.Linear(3, 8), nn.Linear(8, 12)

        def encode(self, x: Any) -> tuple[Any, Any]:
            h = self.fc1(x).relu()
            return self.fc21(h), self.fc22(h)

        def decode(self, z: Any) -> Any:
            return self.fc4(self.fc3(z).relu())

    class Halves(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self, encoder: Any, decoder: Any) -> None:
            super().__init__()
            self.decoder, self.encoder = decoder, encoder  # registered in this order

        def encode(self, x: Any) -> tuple[Any, Any]:
            mean, log_variance = self.encoder(x).chunk(2, 1)
            return mean, log_variance

        def decode(self, z: Any) -> Any:
            return self.decoder(z).flatten(1)

    normed = Halves(nn.Sequential(nn.Linear(12, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 6)),
                    nn.Sequential(nn.Linear(3, 8, bias=False), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 12)))  # fmt: skip
    image = Halves(
        nn.Sequential(
            nn.Unflatten(1, (2, 8, 8)), nn.Conv2d(2, 4, 4, 2, 1), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 6)
        ),
        nn.Sequential(nn.Linear(3, 64), nn.ReLU(), nn.Unflatten(1, (4, 4, 4)), nn.ConvTranspose2d(4, 2, 4, 2, 1)),
    )
    return {"dense": (Dense(), DENSE), "routes": (Dense(), ROUTES), "normed": (normed, NORMED), "folded": (normed, DENSE),
            "separate": (normed, SEPARATE), "image": (image, IMAGE)}  # fmt: skip


@pytest.mark.parametrize("name", ["dense", "routes", "normed", "folded", "separate", "image"])
@pytest.mark.parametrize("form", ["pt", "checkpoint", "module", "onnx"])
def test_outputs_are_those_of_pytorch(name: str, form: str) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed: nothing to compare with")
    torch.manual_seed(0)
    model, text = torch_models(torch)[name]
    for module in model.modules():
        if hasattr(module, "running_mean"):
            module.running_mean.normal_()
            module.running_var.uniform_(0.2, 2)
            torch.nn.init.normal_(module.weight)
            torch.nn.init.normal_(module.bias)
    model.eval()
    net = network(text)
    x = torch.from_numpy(drawn(1)(5, net.inputs))
    z = torch.from_numpy(drawn(2)(5, 3))
    source: Any = model
    if form == "pt":
        torch.save(model.state_dict(), "w.pt")
        source = "w.pt"
    elif form == "checkpoint":
        torch.save({"epoch": 3, "model_state_dict": model.state_dict()}, "w.pth")
        source = "w.pth"
    elif form == "onnx":
        source = onnx_files(torch, model, x, z)
    dv.import_weights(net, source)
    with torch.no_grad():
        wanted = [values.numpy() for values in (*model.encode(x), model.decode(z))]
    check(net, wanted, x.numpy(), z.numpy())


def onnx_files(torch: Any, model: Any, x: Any, z: Any) -> list[str]:
    onnx = pytest.importorskip("onnx", reason="onnx is not installed: nothing to read")
    assert onnx

    class Part(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self, call: str) -> None:
            super().__init__()
            self.model, self.call = model, call

        def forward(self, values: Any) -> Any:
            return getattr(self.model, self.call)(values)

    for call, values in (("encode", x), ("decode", z)):
        torch.onnx.export(Part(call).eval(), (values,), f"{call}.onnx", dynamo=False)
    return ["encode.onnx", "decode.onnx"]


def test_a_pickled_module_is_refused_with_what_to_do_instead() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed: there is no pickle to refuse")
    torch.save(torch.nn.Linear(2, 2), "w.pt")
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), "s.pt")
    for name in ("w.pt", "s.pt"):
        with pytest.raises(errors.FormatError, match=r"torch.save\(model.state_dict\(\)") as caught:
            dv.import_weights(network(DENSE), name)
        assert "\n" not in str(caught.value) and "\x1b" not in str(caught.value)


def test_products_and_sums_of_onnx_are_layers() -> None:
    """MatMul and Add, as other exporters write dense layers, with constants in nodes and transposed ones."""
    onnx = pytest.importorskip("onnx", reason="onnx is not installed: nothing to read")
    helper, array = onnx.helper, onnx.numpy_helper.from_array
    state = dense_state()
    nodes, constants, value = [], [], "x"
    for i, name in enumerate(("fc1", "fc21")):
        nodes.append(helper.make_node("Constant", [], [f"w{i}"], value=array(state[f"{name}.weight"])))
        nodes.append(helper.make_node("Transpose", [f"w{i}"], [f"t{i}"], perm=[1, 0]))
        constants.append(array(state[f"{name}.bias"], f"b{i}"))
        nodes.append(helper.make_node("MatMul", [value, f"t{i}"], [f"m{i}"]))
        nodes.append(helper.make_node("Add", [f"b{i}", f"m{i}"], [f"a{i}"]))
        nodes.append(helper.make_node("Relu" if not i else "Identity", [f"a{i}"], [f"y{i}"]))
        value = f"y{i}"
    number = onnx.TensorProto.FLOAT
    graph = helper.make_graph(nodes, "g", [helper.make_tensor_value_info("x", number, ["n", 12])],
                              [helper.make_tensor_value_info("y1", number, ["n", 3])], constants)  # fmt: skip
    onnx.save(helper.make_model(graph), "e.onnx")
    text = NET + "[connected]\noutput=8\nactivation=relu\n" + MEANS + "[connected]\noutput=12\nactivation=linear\n[cost]\n"
    net = dv.import_weights(network(text), "e.onnx", {0: "t0", 1: "t1"})
    h = np.maximum(X @ state["fc1.weight"].T + state["fc1.bias"], 0)
    np.testing.assert_allclose(net.encode(X)[0], h @ state["fc21.weight"].T + state["fc21.bias"], rtol=1e-5, atol=1e-5)
