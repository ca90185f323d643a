"""Draw docs/objectives.png: python docs/pictures.py (needs matplotlib)."""

from math import lgamma
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

d = np.linspace(-6, 6, 601)
nu = 4
likelihoods = {
    "gaussian": 0.5 * d**2 + 0.5 * np.log(2 * np.pi),
    "laplace": np.abs(d) + np.log(2),
    "student_t, nu=4": 0.5 * (nu + 1) * np.log1p(d**2 / nu) + lgamma(nu / 2) - lgamma((nu + 1) / 2) + 0.5 * np.log(nu * np.pi),
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
figure.savefig(Path(__file__).with_name("objectives.png"), dpi=100)
