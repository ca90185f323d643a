"""The numbers of a report, with units and what they mean."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .rows import shown
from .study import Study, neighbours


@dataclass(frozen=True)
class Number:
    name: str
    value: str
    unit: str
    meaning: str


def numbers(s: Study) -> list[Number]:
    if s.evaluation is None:
        return []
    if s.model.kind in ("classifier", "regression"):
        return _supervised(s)
    return [*_fit(s), *_bound(s), *_latent(s), *_baselines(s)]


def headline(s: Study) -> list[tuple[str, str]]:
    """A few pairs (value, what it is) for the top of the page."""
    found: list[tuple[str, str]] = []
    if s.rows is not None:
        found.append((f"{len(s.rows):,}", "row" if len(s.rows) == 1 else "rows"))
    found.append((f"{s.net.inputs:,}", "columns" if s.net.layers[0].type == "columns" else "values per row"))
    found.append((f"{s.net.n_params:,}", "parameters"))
    if s.net.latent_size and s.model.reconstructs:
        found.append((f"{s.net.latent_size:,}", "latent dimensions" if s.model.kind == "vae" else "code values"))
    e = s.evaluation
    if e is None:
        return found
    if e["active_units"] is not None and s.model.kind == "vae":
        found.append((str(int(e["active_units"] or 0)), "active latents"))
    if "accuracy" in e:
        found.append((f"{e['accuracy']:.1%}", "accuracy"))
    elif "r2" in e:
        found.append((shown(e["r2"]), "R squared"))
    elif e["elbo"] is not None:
        found.append((shown(e["elbo"] or 0.0), "ELBO, nats per row"))
    elif "image_loss" in e:
        found.append((shown(e["image_loss"]), f"loss per row ({s.model.loss_words})"))
    return found


def _loss_unit(s: Study) -> str:
    return "nats per row" if s.model.nats else f"{s.model.loss_words} per row"


def _fit(s: Study) -> list[Number]:
    e = s.evaluation
    assert e is not None
    found = [
        Number(
            "Reconstruction loss", shown(e["image_loss"]), _loss_unit(s),
            f"How far a row is from what comes back of it, summed over its {s.net.truths:,} values, with the latent vector at "
            "its mean. "
            "Lower is better.",
        )
    ]  # fmt: skip
    if s.model.kind == "vae":
        beta = s.model.beta
        found += [
            Number(
                "Latent loss (KL)", shown(e["latent_loss"]), "nats per row",
                "How much the latent vectors say about the rows: the distance of each row's posterior from the prior. "
                "0: they say nothing.",
            ),
            Number(
                "Total loss", shown(e["total_loss"]), _loss_unit(s),
                "What training minimises: the reconstruction loss plus "
                + (f"beta ({shown(beta)}) times the latent loss." if beta is not None else "what the latent loss costs."),
            ),
        ]  # fmt: skip
    return found


def _bound(s: Study) -> list[Number]:
    e = s.evaluation
    assert e is not None
    found: list[Number] = []
    if e["elbo"] is not None:
        found.append(Number(
            "Reconstruction, z drawn", shown(e["reconstruction"] or 0.0), "nats per row",
            "Minus the log-probability of a row given a latent vector that is drawn from the row's posterior.",
        ))  # fmt: skip
        how = (
            "over the same draws: to a mixture there is no formula, and the latent loss is another approximation of it."
            if s.model.learned_prior else "from its formula, as the latent loss is."
        )  # fmt: skip
        found.append(Number(
            "KL, z drawn" if s.model.learned_prior else "KL", shown(e["kl"] or 0.0), "nats per row",
            f"The distance of each row's posterior from the prior {how}",
        ))  # fmt: skip
        found.append(Number(
            "ELBO", shown(e["elbo"] or 0.0), "nats per row",
            "A lower bound of the log-probability of a row: minus the two above, with beta 1. Higher is better; compare it only "
            "between models of the same rows.",
        ))  # fmt: skip
    if e["log_likelihood"] is not None:
        error = e["log_likelihood_standard_error"]
        spread = f" ± {error:.2g}" if error is not None else ""
        found.append(Number(
            f"Log-likelihood (k = {s.k:,})", f"{shown(e['log_likelihood'] or 0.0)}{spread}", "nats per row",
            "The log-probability of a row, importance-sampled from so many draws: a tighter bound than the ELBO. ± one standard "
            "error over the rows.",
        ))  # fmt: skip
    if e["bits_per_dimension"] is not None:
        found.append(Number(
            "Bits per dimension", shown(e["bits_per_dimension"] or 0.0), "bits per value",
            "The same per value of a row, as images are compared. Of a density it depends on the unit of the data, and may be "
            "negative.",
        ))  # fmt: skip
    return found


def _latent(s: Study) -> list[Number]:
    e = s.evaluation
    assert e is not None
    found: list[Number] = []
    kl = e.get("latent_kl")
    if e["active_units"] is not None and kl is not None and s.model.kind == "vae":
        found.append(Number(
            "Active latents", f"{int(e['active_units'] or 0)} of {len(kl)}", "dimensions",
            "Those whose mean varies between the rows (variance above 0.01). The others equal the prior and carry nothing.",
        ))  # fmt: skip
    share = s.attempt("labels of neighbours", lambda: neighbours(s))
    if share is not None:
        found.append(Number(
            "Labels of neighbours", f"{share:.1%}", "of rows",
            "Rows whose label is that of most of their five nearest rows in the latent space. Labels were not trained on: it "
            "says "
            "whether the space sorts the rows by them.",
        ))  # fmt: skip
    return found


def _baselines(s: Study) -> list[Number]:
    e, rows = s.evaluation, s.rows
    assert e is not None and rows is not None
    base = e.get("baselines") or {}
    found: list[Number] = []
    mse, pca, mean = (base.get(name) for name in ("network_mse", "pca_mse", "mean_mse"))
    if mse is not None:
        unit = "per value" if rows.scale == 1 else f"per value, data / {shown(rows.scale)}"
        found.append(Number(
            "Squared error", shown(mse), unit,
            f"Of the reconstructions: a deviation of {shown(math.sqrt(max(mse, 0)) * rows.scale)} in the unit of the file.",
        ))  # fmt: skip
        if pca is not None:
            found.append(Number(
                "… of a PCA", shown(pca), unit,
                f"A principal component analysis with {s.net.latent_size} component{'s' * (s.net.latent_size != 1)} of the same "
                "rows, "
                f"as a yardstick: {_compared(mse, pca)}.",
            ))  # fmt: skip
        if mean is not None:
            found.append(
                Number(
                    "… of the means",
                    shown(mean),
                    unit,
                    "Predicting every column's mean: what is reached by knowing nothing of a row.",
                )
            )
    likelihood = base.get("pca_log_likelihood")
    if likelihood is not None and e["elbo"] is not None:
        found.append(Number(
            "… probabilistic PCA", shown(likelihood), "nats per row",
            "The best log-likelihood of a linear Gaussian model with as many dimensions, to compare the ELBO with.",
        ))  # fmt: skip
    means, floor = base.get("mean_reconstruction"), base.get("entropy")
    if means is not None:
        found.append(Number(
            "… reconstruction by the means", shown(means), "nats per row",
            "The reconstruction loss of predicting every column's mean.",
        ))  # fmt: skip
    if floor is not None and floor > 1e-6:
        found.append(Number(
            "… lowest possible", shown(floor), "nats per row",
            "The entropy of values between 0 and 1, which no reconstruction goes below.",
        ))  # fmt: skip
    return found


def _compared(mine: float, other: float) -> str:
    if not other > 0:
        return "it is exact"
    ratio = mine / other
    return f"the network's error is {1 - ratio:.0%} lower" if ratio < 1 else f"the network's error is {ratio - 1:.0%} higher"


def _supervised(s: Study) -> list[Number]:
    e = s.evaluation
    assert e is not None
    found = [
        Number("Loss", shown(e["image_loss"]), _loss_unit(s), "Between outputs and truth, mean over the rows. Lower is better.")
    ]
    rows = s.rows
    if "accuracy" in e and rows is not None and rows.truth is not None:
        share = rows.truth.mean(axis=0)
        common = float(share.max()) if rows.truth.shape[1] > 1 else float(max(share[0], 1 - share[0]))
        found.append(Number(
            "Accuracy", f"{e['accuracy']:.2%}", "of rows",
            f"Rows whose class is predicted right. Always saying the commonest class reaches {common:.1%}.",
        ))  # fmt: skip
    if "mse" in e:
        found.append(
            Number("Squared error", shown(e["mse"]), "per target", f"A deviation of {shown(math.sqrt(max(e['mse'], 0)))}.")
        )
    if "r2" in e:
        found.append(
            Number(
                "R squared", shown(e["r2"]), "", "The part of the targets' variance that is predicted: 1 is exact, 0 is the mean."
            )
        )
    return found


def contributions(s: Study) -> list[tuple[str, float, float]]:
    """(column, its mean part of the reconstruction loss, its share of the sum of sizes), the largest first."""
    if s.contributions is None or s.rows is None or s.contributions.shape[1] != len(s.rows.names):
        return []
    mean = np.nanmean(s.contributions.astype(np.float64), axis=0)
    total = float(np.abs(mean).sum()) or 1.0
    order = np.argsort(-mean, kind="stable")
    return [(s.rows.names[i], float(mean[i]), float(abs(mean[i]) / total)) for i in order]


def latent_table(s: Study, most: int = 16) -> list[list[str]]:
    """Dimension, KL, mean and variance of the aggregated posterior, variance of the mean, active: those with most KL first."""
    e = s.evaluation
    if e is None or e.get("latent_kl") is None or not len(e["latent_kl"]) or e.get("latent_mean_variance") is None:
        return []
    kl = e["latent_kl"]
    rows = []
    for i in np.argsort(-np.nan_to_num(kl), kind="stable")[:most]:
        moving = float(e["latent_mean_variance"][i])
        values = [float(kl[i]), float(e["latent_mean"][i]), float(e["latent_variance"][i]), moving]
        rows.append([str(int(i) + 1), *(f"{value:.4g}" for value in values), "yes" if moving > 0.01 else "no"])
    return rows
