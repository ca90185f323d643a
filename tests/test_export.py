"""Networks for other programs: the C file compiled and run, ONNX computed by onnxruntime, PyTorch by torch; against the core."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import re
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

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
    "counts": HEAD + LATENT + "[connected]\noutput=20\nactivation=linear\n[cost]\ntype=poisson\n",
    "spread": HEAD + LATENT + "[connected]\noutput=40\nactivation=linear\n[cost]\ntype=negative_binomial\ndispersion=value\n",
    "heavy": HEAD + LATENT + "[connected]\noutput=40\nactivation=linear\n[cost]\ntype=student_t\nsigma=value\nnu=3\n",
    "codes": HEAD + LATENT + "[connected]\noutput=60\nactivation=linear\n[cost]\ntype=categorical\nclasses=3\n",
    "groups": HEAD + LATENT + "[connected]\noutput=20\nactivation=linear\n[cost]\ntype=categorical\ngroups=4\n",
    "several": HEAD + LATENT + "[connected]\noutput=27\nactivation=linear\n[cost]\ntype=bernoulli\ncolumns=2-6\n"
    "[cost]\ntype=laplace\ncolumns=0-1\nsigma=value\n[cost]\ntype=negative_binomial\ncolumns = 7 - 9\n[cost]\ntype=categorical\n"
    "columns=10-12\nclasses=2\n[cost]\ntype=categorical\ncolumns=13-18\ngroups=2\n[cost]\ntype=gaussian\nsigma=value\ncolumns=19\n"
    "[cost]\ntype=poisson\ncolumns=20\n",
    "given": "[net]\nbatch=4\n[columns]\nnames=a,\"b # c\",\"d, \"\"e\"\"\",f,g\nkinds=number,number,yes_no,category:3,category:4 ; five\nmissing=1\n"
    "[connected]\noutput=9\nactivation=relu\n[condition]\ncolumns=f,\"b # c\"\n" + LATENT + "[connected]\noutput=4\nactivation=relu\n"
    "[condition]\ncolumns=\"b # c\",f,\"d, \"\"e\"\"\"\n[connected]\noutput=6\nactivation=linear\n[cost]\ntype=columns\nsigma=value\n",
    "image": IMAGE + "[convolutional]\nfilters=4\nsize=3\nstride=2\npad=1\nbatch_normalize=1\nactivation=relu\n"
    "[convolutional]\nfilters=6\nsize=3\ngroups=2\npad=1\nactivation=relie\n[maxpool]\nsize=2\nstride=2\n[connected]\noutput=6\nactivation=linear\n"
    "[sampling]\n[connected]\noutput=24\nactivation=relu\n[reshape]\nheight=2\nwidth=2\nchannels=6\n"
    "[deconvolutional]\nfilters=3\nsize=4\nstride=2\npadding=1\nbatch_normalize=1\nactivation=leaky\n[upsample]\nstride=2\n"
    "[convolutional]\nfilters=2\nsize=1\nactivation=linear\n[cost]\ntype=bce\n",
    "residual": IMAGE + "[convolutional]\nfilters=3\nsize=3\npad=1\nactivation=relu\n[convolutional]\nfilters=3\nsize=3\npad=1\nactivation=linear\n"
    "[shortcut]\nfrom=-2\nalpha=0.5\nbeta=2\nactivation=leaky\n[avgpool]\n" + LATENT + "[connected]\noutput=128\nactivation=linear\n[cost]\n",
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


def decoded(net: dv.Network) -> tuple[list[np.ndarray], np.ndarray]:
    """What the decoder takes, five rows of it, and what the core makes of it."""
    random = np.random.default_rng(2)
    takes = [random.normal(size=(5, net.latent_size)).astype(np.float32)]
    condition = None
    if net.schema is not None and any(layer.type == "condition" for layer in net.layers):
        path = str(ROOT / "data" / "penguins.csv")
        condition = net.schema.code(path)[-5:]
        takes.append(condition)
    elif any(layer.type == "condition" for layer in net.layers):
        condition = np.array(
            [[0.5, -1, 1, 2, 3], [0, np.nan, 0, 1, 3], [1, 2, np.nan, 0, 0], [0, 1, 1, np.nan, 2], [0, 0, 0, 0, 0]]
        )
        takes.append(condition.astype(np.float32))
    return takes, net.sample(takes[0], condition=condition, codes=True, draw=False).reshape(5, -1)


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
    np.testing.assert_allclose(ours, core.reshape(ours.shape), rtol=1e-5, atol=1e-5 * (1 + np.nanmax(np.abs(core))))


def floats(values: np.ndarray) -> object:
    return values.ctypes.data_as(ctypes.POINTER(ctypes.c_float))


def compiled(path: str, compiler: str = os.environ.get("CC", "cc"), optimise: str = "-O2") -> ctypes.CDLL:
    library = str(Path(f"{compiler}.so").absolute())  # each its own: one path is loaded once
    strict = ["-std=c99", "-pedantic", "-Wall", "-Wextra", "-Wdouble-promotion", "-Wshadow", "-Wstrict-prototypes", "-Werror"]
    words = [compiler, *strict, optimise, "-shared", "-fPIC"]
    done = run([*words, path, "-o", library, "-lm"])
    assert done.returncode == 0, done.stderr
    return ctypes.CDLL(library)


def check_c(net: dv.Network, rows: np.ndarray, library: ctypes.CDLL) -> None:
    """Functions tiny_model_encode and tiny_model_decode."""
    mean, log_variance = net.encode(rows)
    takes, data = decoded(net)
    for r in range(len(rows)):
        found, spread = np.empty(net.latent_size, np.float32), np.empty(net.latent_size, np.float32)
        variational = any(layer.type == "sampling" for layer in net.layers)
        library.tiny_model_encode(floats(rows[r]), floats(found), *([floats(spread)] if variational else []))
        close(found, mean[r])
        if variational:
            close(spread, log_variance[r])
    for r in range(5):
        out = np.empty(data.shape[1], np.float32)
        library.tiny_model_decode(*(floats(values[r]) for values in takes), floats(out))
        close(out, data[r])


def test_the_header_says_what_a_row_of_a_table_holds() -> None:
    text = NETWORKS["given"].replace("names=a,", 'names="*/ /* a",').replace("f,g", "f,größe")
    dv.export.c(dv.Network(cfg_text=text), "t.c")
    header = Path("t.h").read_text()
    for line in (
        "[0] * / / * a: number",
        "[1] b # c: number",
        '[2] d, "e": 0 or 1',
        "[3] f: code, 0 to 2",
        "[4] größe: code, 0 to 3",
    ):
        assert f" *   {line}\n" in header
    Path("main.c").write_text('#include "t.h"\nint main(void) { return T_OUTPUTS - 5; }\n')
    done = run([os.environ.get("CC", "cc"), "-std=c99", "-Wall", "-Wextra", "-Werror", "main.c", "t.c", "-o", "t", "-lm"])
    assert done.returncode == 0 and run(["./t"]).returncode == 0, done.stderr


def lines_of_code(path: str) -> int:
    """Besides the weights and tables."""
    return sum(not re.match(r"    [-{]?\d", line) for line in Path(path).read_text().splitlines())


@pytest.mark.skipif("DARKNET_BINARY" in os.environ, reason="a build with sanitizers is under test")
def test_the_c_file_computes_what_the_core_does(net: dv.Network, rows: np.ndarray) -> None:
    assert dv.export.c(net, "tiny-model.c") == ["tiny-model.c", "tiny-model.h"]
    assert lines_of_code("tiny-model.c") < 500
    check_c(net, rows, compiled("tiny-model.c"))


def test_one_half_alone_has_no_part_of_the_other(tmp_path: Path) -> None:
    net = dv.Network(cfg_text=NETWORKS["dense"])
    dv.export.c(net, "d.c", part="decoder", name="digits")
    text = Path("d.c").read_text()
    assert "digits_decode" in text and "_encode" not in text and "encoder_" not in text
    assert "digits_decode" in Path("d.h").read_text() and "encode" not in Path("d.h").read_text()


def module(path: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(Path(path).stem, path)
    assert spec and spec.loader
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def check_pytorch(net: dv.Network, rows: np.ndarray, model: Any) -> None:
    import torch

    takes, data = decoded(net)
    with torch.no_grad():
        found = model.encoder(torch.from_numpy(rows))
        for ours, core in zip(found if isinstance(found, tuple) else (found,), net.encode(rows), strict=False):
            close(ours.numpy(), core)
        close(model.decoder(*map(torch.from_numpy, takes)).numpy(), data)
        close(model(torch.from_numpy(rows)).numpy(), net.reconstruct(rows))


def test_pytorch_computes_what_the_core_does(net: dv.Network, rows: np.ndarray) -> None:
    pytest.importorskip("torch", reason="torch is not installed: its modules are not run")
    dv.export.pytorch(net, "exported_model.py")
    for form in ("npz", "pt"):
        check_pytorch(net, rows, module("exported_model.py").load(f"exported_model.{form}"))


def test_the_text_for_pytorch_is_python() -> None:
    for text in NETWORKS.values():
        dv.export.pytorch(dv.Network(cfg_text=text), "m.py")
        compile(Path("m.py").read_text(), "m.py", "exec")
        with np.load("m.npz") as found:
            assert found.files


def check_onnx(net: dv.Network, rows: np.ndarray, runtime: Any) -> None:
    """m_encoder.onnx and m_decoder.onnx"""
    encoder, decoder = (runtime.InferenceSession(f"m_{part}.onnx") for part in ("encoder", "decoder"))
    for ours, core in zip(encoder.run(None, {"x": rows}), net.encode(rows), strict=False):
        close(ours, core)
    takes, data = decoded(net)
    close(decoder.run(None, dict(zip(("x", "condition"), takes, strict=False)))[0], data)


def test_onnx_computes_what_the_core_does(net: dv.Network, rows: np.ndarray) -> None:
    pytest.importorskip("onnx", reason="onnx is not installed: no model is written")
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: models are not run")
    assert dv.export.onnx(net, "m.onnx") == ["m_encoder.onnx", "m_decoder.onnx"]
    check_onnx(net, rows, runtime)


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


def snippets(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / "docs" / "export.md").read_text(), flags=re.S)


@pytest.mark.skipif("DARKNET_BINARY" in os.environ, reason="a build with sanitizers is under test")
def test_the_programs_of_the_page_draw_digits() -> None:
    net = dv.Network(ROOT / "cfg" / "vae_digits.cfg", seed=1)
    dv.export.c(net, "digits.c", part="decoder")
    Path("main.c").write_text(snippets("c")[0])
    done = run(
        [os.environ.get("CC", "cc"), "-std=c99", "-Wall", "-Wextra", "-Werror", "main.c", "digits.c", "-o", "digits", "-lm"]
    )
    assert done.returncode == 0, done.stderr
    wanted = 16 * net.sample([[0.5, -1]]).reshape(8, 8)
    assert run(["./digits"]).stdout.splitlines() == [" ".join(f"{value:3.0f}" for value in row) for row in wanted]
    pytest.importorskip("onnx", reason="onnx is not installed: no model is written")
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: models are not run")
    dv.export.onnx(net, "digits.onnx")
    values: dict[str, Any] = {}
    exec(snippets("python")[0], values)
    close(values["images"] / 16, net.sample(values["z"]))


CFGS = sorted([*(ROOT / "cfg").glob("*.cfg"), *(ROOT / "cfg" / "recipes").glob("*.cfg")])


@pytest.mark.slow
@pytest.mark.skipif("DARKNET_BINARY" in os.environ, reason="a build with sanitizers is under test")
@pytest.mark.parametrize("path", CFGS, ids=lambda path: path.stem)
def test_every_autoencoder_of_the_package_can_be_exported(path: Path) -> None:
    net = dv.Network(path, seed=1)
    if not net.latent_size:
        pytest.skip("it has no latent space")
    every_form(net, np.random.default_rng(1).uniform(size=(3, net.inputs)).astype(np.float32))


def every_form(net: dv.Network, rows: np.ndarray) -> None:
    """With each compiler that is there; ONNX and PyTorch where they are."""
    dv.export.c(net, "tiny_model.c")
    assert lines_of_code("tiny_model.c") < 500
    for compiler in filter(shutil.which, ("gcc", "clang")):
        check_c(net, rows, compiled("tiny_model.c", compiler, "-O1"))
    dv.export.npz(net, "m.npz")
    dv.export.pytorch(net, "m.py")
    if importlib.util.find_spec("torch"):
        check_pytorch(net, rows, module("m.py").load("m.npz"))
    if importlib.util.find_spec("onnxruntime"):
        dv.export.onnx(net, "m.onnx")
        check_onnx(net, rows, importlib.import_module("onnxruntime"))


@pytest.mark.slow
@pytest.mark.skipif("DARKNET_BINARY" in os.environ, reason="a build with sanitizers is under test")
@pytest.mark.parametrize("given", [None, "species,sex"])
def test_the_network_of_a_table_can_be_exported(given: str | None) -> None:
    from darknet_vae.tables import Schema

    path = str(ROOT / "data" / "penguins.csv")
    net = dv.Network.for_table(path, latent=3, condition=given, seed=1)
    schema = net.schema
    assert isinstance(schema, Schema)
    every_form(net, schema.code(path)[:50])
