"""What `Network.evaluate` returns: the losses, and more."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypedDict, cast

import numpy as np
import numpy.typing as npt

from ._lib import ffi, lib, text

if TYPE_CHECKING:
    from typing_extensions import NotRequired


class Losses(TypedDict):
    """Per row, summed over the features; total = image + kl_cost. With a truth other than the rows themselves, also how well the
    outputs match it, where that is meaningful."""

    image_loss: float
    latent_loss: float
    total_loss: float
    kl_cost: NotRequired[float]
    """What the latent terms add to the total: beta * latent, unless [sampling] says more; only with a sampling layer."""
    accuracy: NotRequired[float]
    """softmax: fraction of rows whose largest output is the true class; logistic, bce: of values on the right side of 1/2."""
    mse: NotRequired[float]
    """Other losses: squared error, mean over rows and targets."""
    r2: NotRequired[float]
    """1 - squared error / variance of the truth, mean over the targets."""


class Evaluation(Losses):
    """What `evaluate` returns. What is not defined for a network reads None, and is not among the keys."""

    reconstruction: float | None
    """Mean of -ln p(x|z) per row, in nats, z drawn from its posterior."""
    kl: float | None
    """Mean KL of the posterior to the prior."""
    elbo: float | None
    """-(reconstruction + kl), with beta 1 whatever the cfg says."""
    log_likelihood: float | None
    """With k: importance-sampled (Burda et al., arXiv:1509.00519)."""
    log_likelihood_standard_error: float | None
    """Of its mean over the rows."""
    bits_per_dimension: float | None
    """-log_likelihood, without k -elbo, / (ln 2 * known values in a row). Of a density it depends on the unit of the data."""
    active_units: int | None
    """Latent dimensions whose posterior mean has a variance above 0.01 over the rows (Burda et al., arXiv:1509.00519)."""
    latent_kl: NotRequired[npt.NDArray[np.float64]]
    """With latent=True, of every latent dimension: mean KL to N(0, 1), in nats."""
    latent_mean: NotRequired[npt.NDArray[np.float64]]
    """Mean of the aggregated posterior: draw a row, then z from its posterior."""
    latent_variance: NotRequired[npt.NDArray[np.float64]]
    """And its variance, which is 1 if it equals the prior."""
    latent_mean_variance: NotRequired[npt.NDArray[np.float64]]
    """Variance of the posterior mean over the rows."""
    baselines: NotRequired[dict[str, float | None]]
    """Of networks that reconstruct their rows: network_mse and, for comparison, pca_mse, mean_mse, pca_log_likelihood,
    mean_reconstruction and entropy (docs/numerics.md); otherwise empty."""
    diagnosis: NotRequired[str | None]
    """One sentence on what looks wrong."""


class _Values(dict[str, Any]):
    """Those that are defined; the others are None, so that values of two networks can be compared and averaged as they are."""

    def __missing__(self, name: str) -> None:
        if name not in Evaluation.__annotations__:
            raise KeyError(name)

    def _repr_html_(self) -> str:
        """In notebooks: the numbers with their units."""
        from . import _html

        return _html.evaluation(self)


def _defined(report: Any) -> dict[str, float | None]:
    """Values by name; None in place of NaN."""
    return {text(v.name): None if math.isnan(v.value) else float(v.value) for v in report.values[0 : report.n]}


def evaluation(found: Any, losses: dict[str, float], latent: bool) -> Evaluation:
    """A dn_evaluation of the core, which is freed; `latent`: it has the latent dimensions."""
    try:
        measures = {name: value for name, value in _defined(found.measures).items() if value is not None}
        values = _Values({**losses, **measures})
        if "active_units" in values:
            values["active_units"] = int(values["active_units"])
        if latent:
            for name in ("kl", "mean", "variance", "mean_variance"):
                values[f"latent_{name}"] = np.array(ffi.unpack(getattr(found, name), found.units) if found.units else [])
            values["baselines"] = _defined(found.baselines)
            values["diagnosis"] = text(found.diagnosis) or None
        return cast("Evaluation", values)
    finally:
        lib.dn_evaluation_free(found)
