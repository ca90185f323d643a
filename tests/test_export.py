"""Networks for other programs: the C file compiled and run, ONNX computed by onnxruntime, PyTorch by torch; against the core."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from helpers import MODULE, ROOT, run

import darknet_vae as dv
from darknet_vae import errors

# ruff: noqa: E501 - a cfg is a line
HEAD = "[net]\nbatch=4\ninputs=20\n"
IMAGE = "[net]\nbatch=4\nheight=8\nwidth=8\nchannels=2\ndata_scale=255\n"
LATENT = "[connected]\noutput=6\nactivation=linear\n[sampling]\n"
NETWORKS = {
    "dense": HEAD + "[connected]\noutput=9\nactivation=leaky\n" + LATENT
    + "[connected]\noutput=7\nactivation=tanh\n[dropout]\n[connected]\noutput=20\nactivation=logistic\n[cost]\n",
    "logits": HEAD + LATENT + "[connected]\noutput=20\nactivation=linear\n[cost]\ntype=bernoulli\n",
    "normalised": HEAD + "[connected]\noutput=9\nbatch_normalize=1\nactivation=elu\n" + LATENT
    + "[connected]\noutput=8\nbatch_normalize=1\nactivation=relu\n[connected]\noutput=20\nactivation=linear\n[cost]\ntype=gaussian\nsigma=column\n",
    "autoencoder": HEAD + "[connected]\noutput=3\nactivation=selu\n[connected]\noutput=20\nactivation=linear\n[cost]\n",
    "routes": HEAD + "[connected]\noutput=5\nactivation=linear\n[connected]\noutput=4\nactivation=hardtan\n[route]\nlayers=-1,-2\n"
    + LATENT + "[connected]\noutput=6\nactivation=lhtan\n[activation]\nactivation=plse\n[connected]\noutput=20\nactivation=ramp\n[cost]\n",
    "limited": HEAD + "[connected]\noutput=6\nactivation=linear\n[sampling]\nlog_variance_limit=0.05\n"
    "[connected]\noutput=20\nactivation=loggy\n[cost]\n",
    "table": "[net]\nbatch=4\n[columns]\nkinds=number,number,yes_no,category:3,category:4\nmissing=1\n[connected]\noutput=9\nactivation=relu\n"
    + LATENT + "[connected]\noutput=10\nactivation=linear\n[cost]\ntype=columns\n",
    "image": IMAGE + "[convolutional]\nfilters=4\nsize=3\nstride=2\npad=1\nbatch_normalize=1\nactivation=relu\n"
    "[convolutional]\nfilters=6\nsize=3\ngroups=2\npad=1\nactivation=relie\n[maxpool]\nsize=2\nstride=2\n[connected]\noutput=6\nactivation=linear\n"
    "[sampling]\n[connected]\noutput=24\nactivation=relu\n[reshape]\nheight=2\nwidth=2\nchannels=6\n"
    "[deconvolutional]\nfilters=3\nsize=4\nstride=2\npadding=1\nbatch_normalize=1\nactivation=leaky\n[upsample]\nstride=2\n"
    "[convolutional]\nfilters=2\nsize=1\nactivation=linear\n[cost]\ntype=bce\n",
    "pools": IMAGE + "[maxpool]\nsize=3\nstride=2\n[connected]\noutput=6\nactivation=linear\n[sampling]\n"
    "[connected]\noutput=128\nactivation=linear\n[cost]\n",
}  # fmt: skip


@pytest.fixture(params=NETWORKS)
def net(request: pytest.FixtureRequest) -> dv.Network:
    """With parameters of about 0.3 and running statistics, so that every part counts."""
    found, random = dv.Network(cfg_text=NETWORKS[request.param]), np.random.default_rng(0)
    for layer in found.layers:
        for name, values in layer.params.items():
            noise = random.normal(size=values.shape)
            layer.set(name, 0.5 + noise**2 if name in ("scales", "rolling_variance") else 0.3 * noise)
    return found


@pytest.fixture
def rows(net: dv.Network) -> np.ndarray:
    random = np.random.default_rng(1)
    if net.layers[0].type != "columns":
        return random.normal(size=(5, net.inputs)).astype(np.float32)
    codes = [random.normal(size=(5, 2)), *(random.integers(n, size=(5, 1)) for n in (2, 3, 4))]
    found = np.concatenate(codes, axis=1).astype(np.float32)
    found[np.arange(4), [0, 2, 3, 4]] = np.nan
    return found


def close(ours: np.ndarray, core: np.ndarray) -> None:
    np.testing.assert_allclose(ours, core.reshape(ours.shape), rtol=1e-5, atol=1e-5 * (1 + np.abs(core).max()))


def floats(values: np.ndarray) -> object:
    return values.ctypes.data_as(ctypes.POINTER(ctypes.c_float))


def compiled(path: str) -> ctypes.CDLL:
    library = str(Path("exported.so").absolute())  # each its own: one path is loaded once
    words = [os.environ.get("CC", "cc"), "-std=c99", "-pedantic", "-Wall", "-Wextra", "-Werror", "-O2", "-shared", "-fPIC"]
    done = run([*words, path, "-o", library, "-lm"])
    assert done.returncode == 0, done.stderr
    return ctypes.CDLL(library)


@pytest.mark.skipif("DARKNET_BINARY" in os.environ, reason="a build with sanitizers is under test")
def test_the_c_file_computes_what_the_core_does(net: dv.Network, rows: np.ndarray) -> None:
    assert dv.export.c(net, "tiny-model.c") == ["tiny-model.c", "tiny-model.h"]
    text = Path("tiny-model.c").read_text()
    assert sum(not line.startswith("    ") or "f," not in line for line in text.splitlines()) < 500
    library = compiled("tiny-model.c")
    mean, log_variance = net.encode(rows)
    z = np.random.default_rng(2).normal(size=(5, net.latent_size)).astype(np.float32)
    data = net.sample(z).reshape(5, -1)
    for r in range(5):
        found, spread = np.empty(net.latent_size, np.float32), np.empty(net.latent_size, np.float32)
        variational = any(layer.type == "sampling" for layer in net.layers)
        library.tiny_model_encode(floats(rows[r]), floats(found), *([floats(spread)] if variational else []))
        close(found, mean[r])
        if variational:
            close(spread, log_variance[r])
        out = np.empty(data.shape[1], np.float32)
        library.tiny_model_decode(floats(z[r]), floats(out))
        close(out, data[r])


def test_one_half_alone_has_no_part_of_the_other(tmp_path: Path) -> None:
    net = dv.Network(cfg_text=NETWORKS["dense"])
    dv.export.c(net, "d.c", part="decoder", name="digits")
    text = Path("d.c").read_text()
    assert "digits_decode" in text and "_encode" not in text and "encoder_" not in text
    assert "digits_decode" in Path("d.h").read_text() and "encode" not in Path("d.h").read_text()


def test_pytorch_computes_what_the_core_does(net: dv.Network, rows: np.ndarray) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed: its modules are not run")
    dv.export.pytorch(net, "exported_model.py")
    spec = importlib.util.spec_from_file_location("exported_model", "exported_model.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    z = np.random.default_rng(2).normal(size=(5, net.latent_size)).astype(np.float32)
    for form in ("npz", "pt"):
        model = module.load(f"exported_model.{form}")
        with torch.no_grad():
            found = model.encoder(torch.from_numpy(rows))
            for ours, core in zip(found if isinstance(found, tuple) else (found,), net.encode(rows), strict=False):
                close(ours.numpy(), core)
            close(model.decoder(torch.from_numpy(z)).numpy(), net.sample(z))


def test_the_text_for_pytorch_is_python() -> None:
    for text in NETWORKS.values():
        dv.export.pytorch(dv.Network(cfg_text=text), "m.py")
        compile(Path("m.py").read_text(), "m.py", "exec")
        with np.load("m.npz") as found:
            assert found.files


def test_onnx_computes_what_the_core_does(net: dv.Network, rows: np.ndarray) -> None:
    pytest.importorskip("onnx", reason="onnx is not installed: no model is written")
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: models are not run")
    assert dv.export.onnx(net, "m.onnx") == ["m_encoder.onnx", "m_decoder.onnx"]
    encoder, decoder = (runtime.InferenceSession(f"m_{part}.onnx") for part in ("encoder", "decoder"))
    for ours, core in zip(encoder.run(None, {"x": rows}), net.encode(rows), strict=False):
        close(ours, core)
    z = np.random.default_rng(2).normal(size=(5, net.latent_size)).astype(np.float32)
    close(decoder.run(None, {"x": z})[0], net.sample(z))


def test_npz_has_every_parameter(net: dv.Network) -> None:
    dv.export.npz(net, "m.npz")
    with np.load("m.npz") as found:
        for layer in net.layers:
            for name, values in layer.params.items():
                np.testing.assert_array_equal(found[f"{layer.index}.{name}"], values)
        again = dv.Network(cfg_text=str(found["cfg"]))
    assert again.n_params == net.n_params


@pytest.mark.skipif("DARKNET_BINARY" in os.environ, reason="a build with sanitizers is under test")
def test_averages_of_parameters_are_what_is_exported() -> None:
    """[net] ema=: the core computes with them."""
    net = dv.Network(cfg_text=NETWORKS["logits"].replace("[net]\n", "[net]\noptimizer=adam\nlearning_rate=0.05\nema=0.9\n", 1))
    X = np.random.default_rng(0).uniform(size=(64, 20)).astype(np.float32)
    net.train(X, epochs=3)
    dv.export.c(net, "averaged.c")
    found, spread = np.empty(3, np.float32), np.empty(3, np.float32)
    compiled("averaged.c").averaged_encode(floats(X[0]), floats(found), floats(spread))
    close(found, net.encode(X[:1])[0])
    dv.export.npz(net, "averaged.npz")
    with np.load("averaged.npz") as saved:
        close(X[:1] @ saved["0.weights"][3:].T + saved["0.biases"][3:], net.encode(X[:1])[0])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEAD + "[connected]\noutput=20\n[softmax]\n", "no latent space"),
        (HEAD + "[rnn]\noutput=6\n[connected]\noutput=6\n[sampling]\n[connected]\noutput=20\n[cost]\n", "layer 0 [rnn]"),
        (HEAD + LATENT + "[connected]\noutput=20\nactivation=stair\n[cost]\n", "activation=stair"),
    ],
)
def test_what_cannot_be_exported_is_named(text: str, message: str) -> None:
    net = dv.Network(cfg_text=text)
    with pytest.raises(errors.UsageError) as caught:
        dv.export.c(net, "m.c")
    assert message in str(caught.value) and not Path("m.c").exists()
    with pytest.raises(errors.UsageError, match=r"ends in \.c"):
        dv.export.c(net, "m.txt")


def test_the_command_exports_a_trained_model() -> None:
    net = dv.Network(ROOT / "cfg" / "vae_digits.cfg", seed=1)
    net.save("m.safetensors")
    done = run([*MODULE, "export", "m.safetensors", "-c", "digits.c", "-part", "decoder"])
    assert done.returncode == 0 and done.stderr == "saved digits.c, digits.h\n", done.stderr
    assert run([*MODULE, "export", "m.safetensors", "--pytorch", "m.py", "-quiet"]).returncode == 0
    for words in (
        ["m.safetensors"],
        ["m.safetensors", "-c", "m.safetensors"],
        [str(ROOT / "cfg" / "vae_digits.cfg"), "-npz", "m.npz"],
    ):
        done = run([*MODULE, "export", *words])
        assert done.returncode == 2 and len(done.stderr.splitlines()) == 1, done.stderr


@pytest.mark.slow
def test_every_autoencoder_of_the_package_can_be_exported() -> None:
    for path in [*(ROOT / "cfg").glob("*.cfg"), *(ROOT / "cfg" / "recipes").glob("*.cfg")]:
        net = dv.Network(path)
        if net.latent_size:
            dv.export.c(net, "m.c")
            assert (
                subprocess.run([os.environ.get("CC", "cc"), "-std=c99", "-fsyntax-only", "m.c"], check=False).returncode == 0
            ), path
