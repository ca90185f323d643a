"""`check` fails on wrong formulas: a line of the sources is changed, the library is built once more, and a small network checked.

A copy of the tree keeps its objects, so only what the line is in is compiled again, without optimisation. Kernels of every
instruction set come from one text; the one that this processor prefers is built and run."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from helpers import BUILD, ROOT, made

CFG = """[net]
batch={batch}
inputs={width}
{net}
[connected]
output=8
activation=linear
[sampling]
beta=0.8
[connected]
output={width}
activation=linear
[cost]
{cost}
"""
LATENT = CFG.format(batch=8, width=6, net="learning_rate=0.05", cost="type=bce").replace("beta=0.8", "beta=1\n{}")
TABLE = """[net]
batch={batch}
{net}
[columns]
kinds=number,category:3,number,yes_no,category:5,category:40
missing=1
[connected]
output=8
activation=linear
[sampling]
beta=0.8
[connected]
output=51
activation=linear
[cost]
type=columns
"""


@dataclass(frozen=True)
class Mutant:
    file: str
    line: str
    wrong: str
    found: str  # what of the check fails
    cost: str = "type=bce"
    batch: int = 8
    net: str = "learning_rate=0.05"
    width: int = 6
    cfg: str = CFG


KERNELS = "cpu/isa_kernels.c"
KL_GRADIENT = "reparameterise_gradient(run->pool, rows, z, l->term.scale,"
BCE = ("*gradient = choose(x < 0, e, one) / (e + 1) - t;", "return choose(x > 0, x, zero) - x * t + vec_log1p(e);")
BCE_MEAN = (
    "*gradient = (choose(x < 0, e, one) / (e + 1) - t) / 6;",
    "return (choose(x > 0, x, zero) - x * t + vec_log1p(e)) / 6;",
)
GAUSSIAN = "type=gaussian\nsigma=0.7"
MUTANTS = {
    "KL without the half by log-variance": Mutant(
        KERNELS, "through_kl = w * 0.5f * vec_expm1(l)", "through_kl = w * vec_expm1(l)", "KL by log-variance"
    ),
    "KL without the half": Mutant(KERNELS, "vec kl = 0.5f * (", "vec kl = 1.0f * (", "KL"),
    "KL times the learning rate": Mutant(
        "layers/sampling_layer.c", KL_GRADIENT, KL_GRADIENT.replace("scale,", "scale * run->now.rate,"), "KL by mean"
    ),
    "KL divided by the rows": Mutant(
        "layers/sampling_layer.c", KL_GRADIENT, KL_GRADIENT.replace("scale,", "scale / (double)rows,"), "KL by log-variance"
    ),
    "z's log-variance path with the wrong sign": Mutant(
        KERNELS, "through_z = d * 0.5f", "through_z = d * -0.5f", "z by log-variance"
    ),
    "z with the variance in place of its root": Mutant(KERNELS, "m + vec_exp(0.5f * l)", "m + vec_exp(l)", "z"),
    "bce as a mean over the features": Mutant(KERNELS, "\n        ".join(BCE), "\n        ".join(BCE_MEAN), "loss"),
    "a likelihood without its constants": Mutant(
        "cpu/isa_likelihood.c", "(losses){0.5f * z * z + s.constant,", "(losses){0.5f * z * z,", "loss", GAUSSIAN
    ),
    "an update that forgets the rows": Mutant("cpu/cpu_loss.c", ".scale = s->clip / s->rows", ".scale = s->clip", "weights"),
    "Adam without the correction of its first moment": Mutant(
        KERNELS, "step = u.rate / u.correction1,", "step = u.rate,", " optimizer ", net="optimizer=adam\nlearning_rate=0.001"
    ),
    "AdamW's decay without the rate": Mutant(
        "cpu/cpu_loss.c", "1 - u.rate * decay", "1 - decay", " optimizer ", net="optimizer=adamw\nlearning_rate=0.001"
    ),
    "SGD with too little momentum": Mutant(
        "cpu/cpu_loss.c", ".momentum = o->momentum", ".momentum = 0.9f * o->momentum", " optimizer "
    ),
    "Adam's root is missing where a wide layer updates itself": Mutant(
        "cpu/isa_train.c",
        "(vec_sqrt(v * of->inverse2) + of->eps)",
        "(v * of->inverse2 + of->eps)",
        ", n=32",
        batch=32,
        net="optimizer=adam\nlearning_rate=0.001",
        width=200,
    ),
    "half the loss where a layer includes it": Mutant(
        "cpu/isa_dense.c", "*sum += dn_cpu_kernels_get()->loss(", "*sum += 0.5 * dn_cpu_kernels_get()->loss(", "loss in training"
    ),
    "reports divided by the rows twice": Mutant(
        "base/report.c", "value /= rows;", "value /= rows * rows;", "image_loss of evaluate"
    ),
    "codes of a column with half of their own class in the gradient": Mutant(
        "cpu/isa_likelihood.c",
        "factor * e[i] - weight * t[i]",
        "factor * e[i] - 0.5f * weight * t[i]",
        "loss by input",
        cfg=TABLE,
    ),
    "a column's logits one place too early": Mutant(
        "cpu/cpu_likelihood.c",
        "size_t at = first * h->x_step + (size_t)h->starts[c], n",
        "size_t at = first * h->x_step + (size_t)h->starts[c ? c - 1 : 0], n",
        "loss by input",
        cfg=TABLE,
    ),
    "a column expanded one class too far": Mutant(
        "cpu/cpu_softmax.c", "(float)at == code) y[at] = 1;", "(float)at == code) y[(at + 1) % n] = 1;", "values", cfg=TABLE
    ),
    "a flag where a number is known": Mutant(
        "net/coded.c", "as[c->numbers + at] = DN_EXPAND_MISSING;", "as[c->numbers + at] = DN_EXPAND_NUMBER;", "values", cfg=TABLE
    ),
    "free bits of the whole pass in place of each row's": Mutant(
        "cpu/cpu_kl.c", "(double)*weight * rows * cost", "(double)*weight * cost", "kl_cost", cfg=LATENT.format("free_bits=2")
    ),
    "a bound of the sum of the weights, not of their mean": Mutant(
        "cpu/cpu_draws.c", "log(total / (double)draws)", "log(total)", "bound of 5 draws", cfg=LATENT.format("samples=5")
    ),
    "a mixture whose weights do not add up to 1": Mutant(
        "cpu/cpu_mixture.c", "- most - log(sum) -", "- most -", "KL", cfg=LATENT.format("prior=mixture")
    ),
    "a log-likelihood of the sum of the draws": Mutant(
        "jobs/bounds.c", "log(r->sum / draws)", "log(r->sum) + 0 * draws", "log_likelihood"
    ),
}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the sources and of their objects."""
    if not shutil.which("make") or not shutil.which(os.environ.get("CC", "cc")):
        pytest.skip("make or a C compiler is missing")
    made("bin", "darknet")
    copy = tmp_path_factory.mktemp("mutants") / "tree"
    shutil.copytree(ROOT / "csrc", copy / "csrc")
    shutil.copytree(BUILD, copy / "build" / "make", ignore=shutil.ignore_patterns("emulated", "*.so", "*.a"))
    (copy / "darknet_vae").mkdir()
    for name in ("Makefile", "darknet_vae/_version.py"):
        shutil.copy2(ROOT / name, copy / name)
    return copy


def checked(tree: Path, mutant: Mutant) -> subprocess.CompletedProcess[str]:
    """Build what has changed, for the instruction set in use alone, and check a network."""
    folder = tree / "build" / "make"
    info = subprocess.run([str(folder / "darknet"), "--version"], capture_output=True, text=True).stdout
    isa = next((name for name in ("avx512", "avx2") if name in info), "base")
    others = [str(path.relative_to(tree)) for path in folder.glob("cpu/isa_*@*.o") if not path.stem.endswith("@" + isa)]
    words = ["make", "B=build/make", *[word for path in others for word in ("-o", path)], "build/make/darknet"]
    environment = {k: v for k, v in os.environ.items() if k not in ("LD_PRELOAD", "MAKEFLAGS", "LD_LIBRARY_PATH")}
    built = subprocess.run(words, cwd=tree, env=environment, capture_output=True, text=True)
    assert built.returncode == 0, built.stdout + built.stderr
    Path("net.cfg").write_text(mutant.cfg.format(batch=mutant.batch, cost=mutant.cost, net=mutant.net, width=mutant.width))
    return subprocess.run([str(folder / "darknet"), "check", "net.cfg", "-nogpu"], capture_output=True, text=True)


@pytest.mark.slow
@pytest.mark.parametrize("what", MUTANTS)
def test_a_wrong_formula_is_found(what: str, tree: Path) -> None:
    mutant = MUTANTS[what]
    path = tree / "csrc" / mutant.file
    right = path.read_text()
    assert right.count(mutant.line) == 1, f"{mutant.file} has no line to change: {mutant.line}"
    try:
        path.write_text(right.replace(mutant.line, mutant.wrong))
        done = checked(tree, mutant)
    finally:
        path.write_text(right)
        os.utime(path)
    assert done.returncode == 1, done.stdout
    failed = [line for line in done.stdout.splitlines() if line.endswith("FAIL")]
    assert any(mutant.found in line for line in failed), done.stdout
    assert "FAILED" in done.stdout.splitlines()[-1]


@pytest.mark.slow
def test_the_unchanged_sources_pass_the_same_check(tree: Path) -> None:
    for cost in ("type=bce", GAUSSIAN):
        done = checked(tree, Mutant("", "", "", "", cost))
        assert done.returncode == 0, done.stdout
    done = checked(tree, Mutant("", "", "", "", cfg=TABLE))
    assert done.returncode == 0, done.stdout
