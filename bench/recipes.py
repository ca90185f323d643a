"""Published numbers beside ours: python -m bench recipes [NAME ...], with the cfgs of cfg/recipes."""

from __future__ import annotations

import argparse
import datetime
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

import darknet_vae as dv

from . import ROOT
from .limits import Limits
from .measure import available_cores, count, digits, processor, say
from .recipe import Array
from .report import table, wrapped, write_sections
from .setting import Bench, kernels

MARK = "<!-- Below this line everything is written by `python -m bench recipes`; what stands above is kept. -->"
FOLDER = ROOT / "cfg" / "recipes"


@dataclass(frozen=True)
class Goal:
    """What the mean over the seeds should be, from `low` to `high`."""

    low: float = -np.inf
    high: float = np.inf

    def met(self, value: float) -> bool:
        return self.low <= value <= self.high

    def __str__(self) -> str:
        if np.isinf(self.low):
            return f"<= {self.high:g}"
        return f">= {self.low:g}" if np.isinf(self.high) else f"{self.low:g} to {self.high:g}"


@dataclass(frozen=True)
class Reference:
    """`key`: a mean of Network.bounds of the test rows, `elbo`, or `train_` and a loss of the last epoch as it was trained.
    `sign` -1: of a negative log-likelihood."""

    key: str
    label: str
    published: str
    source: str
    goal: Goal | None = None
    sign: int = 1


@dataclass(frozen=True)
class Data:
    train: Array
    test: Array


@dataclass(frozen=True)
class Recipe:
    about: str
    data: Callable[[Bench], Data]
    epochs: int
    references: tuple[Reference, ...]
    seeds: tuple[int, ...] = (0,)
    draws: int = 500  # of z for each test row: 1 for the ELBO, more for the log-likelihood; 0: not evaluated

    def cfg(self, name: str) -> Path:
        return FOLDER / f"{name}.cfg"


@dataclass
class Obtained:
    values: dict[str, list[float]] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)

    def add(self, key: str, value: float) -> None:
        self.values.setdefault(key, []).append(value)


# ---- data ----


def images(pixels: npt.NDArray[np.uint8]) -> Array:
    return np.ascontiguousarray(pixels.reshape(len(pixels), -1) / np.float32(255))


def mnist(bench: Bench) -> Data:
    return Data(images(bench.mnist.pixels), images(bench.mnist_test.pixels))


def first_images(bench: Bench) -> Data:
    return Data(bench.X, bench.X)


def wine(bench: Bench) -> Data:
    X = dv.load_table(ROOT / "data" / "wine.csv", label_column="class").X
    return Data(X, X)


# ---- the recipes ----

IWAE = "arXiv:1509.00519, table 1"
NVAE = "arXiv:1804.00891, table 1"


def likelihood(published: str, source: str, goal: Goal | None) -> Reference:
    return Reference("log_likelihood", "log-likelihood", published, source, goal)


def negative(published: str, source: str, goal: Goal | None) -> Reference:
    return Reference("log_likelihood", "negative log-likelihood", published, source, goal, sign=-1)


def nvae(ll: float, kl: float, goal: float) -> tuple[Reference, ...]:
    return likelihood(f"{ll}", NVAE, Goal(low=goal)), Reference("kl", "KL", f"{kl}", NVAE)


RECIPES = {
    "wine_2": Recipe(
        "178 wines, 13 standardised columns; probabilistic PCA has the exact value in closed form",
        wine,
        4000,
        (likelihood("-16.1554 (exact)", "Tipping and Bishop 1999", Goal(-16.2054, -16.1454)),),
        (0, 1, 2),
        1000,
    ),
    "wine_5": Recipe(
        "the same with five latents",
        wine,
        4000,
        (likelihood("-15.2127 (exact)", "Tipping and Bishop 1999", Goal(-15.2627, -15.2027)),),
        (0, 1, 2),
        1000,
    ),
    "published_4000": Recipe(
        "the first 4,000 images of MNIST, two latents, ten epochs; losses of the last epoch as it was trained, z drawn",
        first_images,
        10,
        (
            Reference("train_image_loss", "image_loss", "38.2", "the published 784-512-2", Goal(high=36)),
            Reference("train_latent_loss", "latent_loss", "4.4", "the published 784-512-2", Goal(high=4.4)),
        ),
        (0, 1, 2),
        0,
    ),
    "example_mnist": Recipe(
        "grey MNIST under a Bernoulli likelihood, 7 epochs; minus the drawn ELBO of the test images",
        mnist,
        7,
        (Reference("elbo", "test loss", "106.66", "pytorch/examples, pull request 1416", Goal(106.1, 107.1), -1),),
        (0, 1, 2),
        1,
    ),
    "tanh_30": Recipe(
        "binarised MNIST, 30 epochs",
        mnist,
        30,
        (negative("92.8", "a PyTorch run of the same recipe", Goal(92.3, 93.3)),),
    ),
    "nvae_2": Recipe("binarised MNIST, two latents, 100 epochs", mnist, 100, nvae(-135.73, 7.24, -137.2)),
    "nvae_5": Recipe("binarised MNIST, five latents, 100 epochs", mnist, 100, nvae(-110.21, 12.82, -111.7)),
    "iwae_vae1": Recipe(
        "binarised MNIST, the first 121 of 3,280 epochs",
        mnist,
        121,
        (negative("90.51 (86.76 after 3,280 epochs)", f"a PyTorch run of the same stage ({IWAE})", Goal(high=90.8)),),
    ),
    "iwae_50": Recipe(
        "binarised MNIST, the first 121 of 3,280 epochs",
        mnist,
        121,
        (negative("84.78 after 3,280 epochs", IWAE, None),),
    ),
}


def run(name: str, recipe: Recipe, bench: Bench, device: str = "cpu") -> Obtained:
    data, found = recipe.data(bench), Obtained()
    for seed in recipe.seeds[: 1 if bench.quick else None]:
        net = dv.Network(recipe.cfg(name), seed=seed, device=device, threads=bench.threads)
        history = net.train(data.train, epochs=1 if bench.quick else recipe.epochs)
        found.seconds.append(history.seconds)
        for loss in ("image_loss", "latent_loss"):
            found.add(f"train_{loss}", getattr(history, loss)[-1])
        test = data.test[: bench.few(len(data.test), 50)]
        if recipe.draws:
            means = {key: float(np.mean(rows)) for key, rows in net.bounds(test, bench.few(recipe.draws, 5)).items()}
            for key, value in means.items():
                found.add(key, value)
            found.add("elbo", -means["reconstruction"] - means["kl"])
        values = {r.key: r.sign * found.values[r.key][-1] for r in recipe.references}
        say(f"{name}, seed {seed}: {values}, {history.seconds:.0f} s")
    return found


# ---- the document ----


def shown(values: list[float]) -> str:
    mean = f"{np.mean(values):.2f}"
    return mean if len(values) == 1 else f"{mean} ({min(values):.2f} to {max(values):.2f})"


def section(name: str, recipe: Recipe, found: Obtained, when: str) -> str:
    rows = []
    for r in recipe.references:
        values = [r.sign * value for value in found.values[r.key]]
        verdict = "" if r.goal is None else "met" if r.goal.met(float(np.mean(values))) else "**missed**"
        rows.append([r.label, r.published, r.source, shown(values), str(r.goal or ""), verdict])
    seeds = f"seeds {', '.join(map(str, recipe.seeds))}" if len(recipe.seeds) > 1 else f"seed {recipe.seeds[0]}"
    notes = f"`cfg/recipes/{name}.cfg`: {recipe.about}. {count(recipe.epochs, 'epoch')}, {seeds}: "
    notes += f"{digits(float(np.mean(found.seconds)))} s of training each"
    if "start=means" in recipe.cfg(name).read_text():
        notes += "; the output's biases begin at the logits of the columns' means"
    if recipe.draws > 1:
        notes += f"; log-likelihoods by importance sampling with k={recipe.draws}"
    text = wrapped(f"{notes}. {when}.")
    return f"### {name}\n\n{text}\n\n" + table(["nats per row", "reference", "source", "obtained", "goal", ""], rows)


def write(path: Path, sections: dict[str, str]) -> None:
    write_sections(path, "Results", MARK, sections, RECIPES)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench recipes", description="Train the recipes, beside their references.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"all, or some of: {', '.join(RECIPES)}")
    parser.add_argument("--output", type=Path, metavar="FILE", help="replace these recipes in this file; else print")
    parser.add_argument("--device", default="cpu", help="cpu, or cuda: where to train (cpu)")
    parser.add_argument("--quick", action="store_true", help="tiny data and one epoch: does it all work?")
    options = parser.parse_args(arguments)
    for name in options.names:
        if name not in RECIPES:
            parser.error(f"no recipe '{name}'; there are: {', '.join(RECIPES)}")
    when = f"{processor()}, {count(available_cores(), 'core')}, {kernels()}"
    if options.device != "cpu":
        when = dv.Network(dv.bundled("vae_digits.cfg"), device=options.device).device
    when += f", {datetime.date.today()}"
    sections = {}
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), 1, options.quick, frozenset(), Limits())
        for name in options.names or RECIPES:
            sections[name] = section(name, RECIPES[name], run(name, RECIPES[name], bench, options.device), when)
            if options.output:
                write(options.output, {name: sections[name]})
    if not options.output:
        print("\n\n".join(sections.values()))
    return 0
