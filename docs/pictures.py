"""Draw the pictures of these pages: python docs/pictures.py (needs matplotlib and the installed package).

objectives.png is drawn here. Those of plots.md are what the commands of that page draw, and digits.png is two of these."""

import io
import re
import shlex
import subprocess
import sys
import tempfile
from math import lgamma
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from PIL import Image  # comes with matplotlib

import darknet_vae as dv

DOCS = Path(__file__).resolve().parent
COLOURS = ((256, Image.Quantize.MEDIANCUT), (128, Image.Quantize.MAXCOVERAGE), (64, Image.Quantize.MAXCOVERAGE))


def objectives() -> None:
    d = np.linspace(-6, 6, 601)
    nu = 4
    student = lgamma(nu / 2) - lgamma((nu + 1) / 2) + 0.5 * np.log(nu * np.pi)
    likelihoods = {
        "gaussian": 0.5 * d**2 + 0.5 * np.log(2 * np.pi),
        "laplace": np.abs(d) + np.log(2),
        "student_t, nu=4": 0.5 * (nu + 1) * np.log1p(d**2 / nu) + student,
    }
    epochs = np.linspace(0, 40, 801)
    betas = {
        "beta_warmup=10e": np.minimum(epochs / 10, 1),
        "beta_cycles=4": np.minimum((epochs % 10) / 5, 1),
    }
    kl = np.linspace(0, 8, 401)
    costs = {
        "beta=1": kl,
        "free bits, 2 nats": np.maximum(kl, 2),
        "capacity=4": np.abs(kl - 4),
    }

    figure, axes = plt.subplots(1, 3, figsize=(11, 3.2), constrained_layout=True)
    for axis, (x, curves, title, label) in zip(
        axes,
        [
            (d, likelihoods, "-log p of an error, scale 1", "t - y"),
            (epochs, betas, "beta over the training", "epoch"),
            (kl, costs, "what a KL costs", "KL, nats"),
        ],
        strict=True,
    ):
        for (name, y), style in zip(curves.items(), ("-", "--", ":"), strict=False):
            axis.plot(x, y, style, label=name, linewidth=2)
        axis.set(title=title, xlabel=label)
        axis.legend(frameon=False)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylim(0, 10)
    figure.savefig(DOCS / "objectives.png", dpi=100)


def small(picture: Image.Image, path: Path) -> None:
    """Write a picture with as many colours as fit into 95 KB, made smaller if 64 are too many."""
    while True:
        for colours, method in COLOURS:
            content = io.BytesIO()
            picture.quantize(colours, method, dither=Image.Dither.NONE).save(content, "png", optimize=True)
            if content.tell() < 95_000:
                path.write_bytes(content.getvalue())
                print(f"{path.relative_to(DOCS)}: {picture.width} x {picture.height}, {content.tell() // 1000} KB")
                return
        picture = picture.resize((int(picture.width * 0.92), int(picture.height * 0.92)), Image.Resampling.LANCZOS)


def beside(figures: list[Any], height: int) -> Image.Image:
    """Figures side by side on white, each so many pixels high."""
    parts = []
    for figure in figures:
        tall = Image.open(io.BytesIO(dv.plots.png(figure, 100))).height
        parts.append(Image.open(io.BytesIO(dv.plots.png(figure, 100 * height / tall))).convert("RGB"))
    page = Image.new("RGB", (sum(part.width for part in parts) + 20, height + 2), "white")
    page.paste(parts[0], (0, 0))
    page.paste(parts[1], (parts[0].width + 20, 0))
    return page


def plots() -> None:
    text = (DOCS / "plots.md").read_text()
    shown = re.findall(r"\]\(plots/(\w+)\.png\)", text)
    (DOCS / "plots").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for command in re.findall(r"^    darknet-vae (.*)$", text, re.MULTILINE):
            subprocess.run([sys.executable, "-m", "darknet_vae", *shlex.split(command), "-quiet"], cwd=folder, check=True)
        for name in shown:
            small(Image.open(Path(folder) / f"{name}.png").convert("RGB"), DOCS / "plots" / f"{name}.png")


def start() -> None:
    """The pictures of docs/start.md, of the training that it begins with; both beside each other are the first of all."""
    table = dv.load_table(dv.bundled("digits.csv"), label_column="label", scale=16)
    net = dv.Network(dv.bundled("vae_digits.cfg"), seed=0)
    net.train(table.X, epochs=100, progress=False)
    both = [dv.plots.latent(net.encode(table.X)[0], table.labels), dv.plots.manifold(net, 11)]
    small(beside(both, 560), DOCS / "digits.png")
    for name, figure in zip(("latent", "manifold"), both, strict=True):
        small(Image.open(io.BytesIO(dv.plots.png(figure, 100))).convert("RGB"), DOCS / f"start-{name}.png")


if __name__ == "__main__":
    objectives()
    plots()
    start()
