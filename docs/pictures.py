"""Draw the pictures of the documents anew: python docs/pictures.py (needs matplotlib and the installed package).

objectives.png; start-latent.png and start-manifold.png, which docs/start.md makes on the command line; digits.png,
both beside each other."""

from math import lgamma
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

import darknet_vae as dv

DOCS = Path(__file__).resolve().parent


def objectives() -> None:
    d = np.linspace(-6, 6, 601)
    nu = 4
    likelihoods = {
        "gaussian": 0.5 * d**2 + 0.5 * np.log(2 * np.pi),
        "laplace": np.abs(d) + np.log(2),
        "student_t, nu=4": 0.5 * (nu + 1) * np.log1p(d**2 / nu)
        + lgamma(nu / 2)
        - lgamma((nu + 1) / 2)
        + 0.5 * np.log(nu * np.pi),
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
    plt.close(figure)


def digits() -> None:
    table = dv.load_table(dv.bundled("digits.csv"), label_column="label", scale=16)
    net = dv.Network(dv.bundled("vae_digits.cfg"), seed=0)
    net.train(table.X, progress=False)
    mean, _ = net.encode(table.X)
    dv.plots.save(dv.plots.latent(mean, table.labels), DOCS / "start-latent.png")
    dv.plots.save(dv.plots.manifold(net), DOCS / "start-manifold.png")
    both = [plt.imread(DOCS / f"start-{name}.png") for name in ("latent", "manifold")]
    heights = [image.shape[0] for image in both]
    widths = [image.shape[1] * max(heights) / image.shape[0] for image in both]
    figure, axes = plt.subplots(
        1, 2, figsize=(11, 11 * max(heights) / sum(widths)), width_ratios=widths, gridspec_kw={"wspace": 0.02}
    )
    for axis, image in zip(axes, both, strict=True):
        axis.imshow(image, interpolation="antialiased", aspect="auto")
        axis.axis("off")
    figure.subplots_adjust(0, 0, 1, 1)
    figure.savefig(DOCS / "digits.png", dpi=110)
    plt.close(figure)


objectives()
digits()
