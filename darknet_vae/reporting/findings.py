"""What stands out, in words, each with a remedy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..training_log import Columns
from .rows import Rows, shown
from .study import Study

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Finding:
    """`level`: bad (do not use the model like this), warn (worth a change), note (good to know)."""

    level: str
    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.what} {self.remedy}".strip()


def findings(s: Study) -> list[Finding]:
    """Those of all kinds, the gravest first."""
    found: list[Finding] = []
    for look in (_untrained, _of_training, _of_log, _of_latents, _of_prior, _of_code, _of_fit, _of_classes, _of_rows, _of_loss,
                 _of_new_rows):  # fmt: skip
        found += s.attempt(f"a check ({look.__name__[1:]})", lambda look=look: look(s)) or []
    order = ("bad", "warn", "note")
    return sorted(found, key=lambda finding: order.index(finding.level))


def _untrained(s: Study) -> list[Finding]:
    if s.net.seen or not s.net.n_params:
        return []
    what = "No row is counted in the network's training: its parameters may be random."
    return [Finding("bad", what, "Train it (darknet-vae train), or give the trained parameters (-weights W).")]


# ---- the training ----


def _smooth(values: Floats) -> Floats:
    """Means of a few neighbours, so that noise from epoch to epoch does not decide."""
    width = max(1, min(9, len(values) // 10))
    if width == 1:
        return values
    padded = np.concatenate([np.repeat(values[:1], width // 2), values, np.repeat(values[-1:], width - 1 - width // 2)])
    return np.convolve(padded, np.ones(width) / width, "valid")


def _moves(values: Floats) -> bool:
    known = values[np.isfinite(values)]
    return len(known) > 1 and bool(np.ptp(known) > 0)


def objective(epochs: Columns) -> Floats | None:
    """The loss of every epoch with the last epoch's beta, so that a rising beta does not look like a rising loss."""
    loss = epochs.get("total_loss", epochs.get("loss"))
    beta = epochs.get("beta")
    if loss is not None and beta is not None and "kl_cost" in epochs and _moves(beta):
        moved: Floats = loss - epochs["kl_cost"] + beta[-1] * epochs["latent_loss"]
        return moved
    return loss


def _of_training(s: Study) -> list[Finding]:
    loss = objective(s.epochs)
    if loss is None or len(loss) < 2:
        return []
    if not np.isfinite(loss).all():
        epoch = int(np.argmin(np.isfinite(loss))) + 1
        what = f"The loss was no finite number in epoch {epoch} of the log."
        return [
            Finding(
                "bad",
                what,
                "Lower the learning rate (-lr), limit gradients ([net] clip_norm=1), and check the scale of the data.",
            )
        ]
    found: list[Finding] = []
    valid = s.epochs.get("valid_loss")
    held = valid is not None and len(valid) == len(loss) and bool(np.isfinite(valid).all())
    best = kept_epoch(s, valid) if held and valid is not None else 0
    rises = _overfits(valid, loss, best) if held and valid is not None else []
    found += rises
    found += _diverges(loss) if not rises else []
    if not found:
        found += _still_falls(s, valid if held and valid is not None else loss, held)
    return found


def kept_epoch(s: Study, valid: Floats) -> int:
    """The epoch whose weights the model has, where that is known and not the last one; else 0."""
    if 0 < s.kept_epoch < len(valid):
        return s.kept_epoch
    noted = s.net.notes.losses.get("valid_loss")
    best = int(np.argmin(valid))
    same = noted is not None and abs(noted - valid[best]) <= 1e-4 * (abs(valid[best]) + 1e-9)
    return best + 1 if same and best + 1 < len(valid) else 0


def _overfits(valid: Floats, loss: Floats, kept: int) -> list[Finding]:
    n = len(valid)
    smooth = _smooth(valid)
    best = int(np.argmin(smooth))
    fall, rise = smooth[0] - smooth[best], smooth[-1] - smooth[best]
    if n < 5 or best > n - max(3, n // 10) or rise <= 0.03 * max(fall, 0.1 * abs(smooth[best])):
        return []
    at = int(np.argmin(valid))
    what = (
        f"Overfitting: the loss of held-out rows was lowest after epoch {at + 1} ({shown(valid[at])}) and rose to "
        f"{shown(valid[-1])} by epoch {n}"
    )
    what += f", while that of the training rows went from {shown(loss[at])} to {shown(loss[-1])}." if loss[-1] < loss[at] else "."
    if kept:
        return [
            Finding(
                "note", what, f"These weights are those of epoch {kept}, so it does no harm; -patience 20 would have saved time."
            )
        ]
    remedy = (
        "Keep the best epoch (-keep best), stop early (-patience 20), use more rows or a smaller network, or add noise or "
        "dropout."
    )
    return [Finding("warn", what, remedy)]


def _diverges(loss: Floats) -> list[Finding]:
    smooth = _smooth(loss)
    low = int(np.argmin(smooth))
    span = max(float(smooth[: low + 1].max() - smooth[low]), 0.05 * abs(float(smooth[low])))
    if len(loss) < 4 or smooth[-1] - smooth[low] <= 0.25 * span:
        return []
    what = f"The training diverges: its loss was {shown(smooth[low])} about epoch {low + 1} and {shown(smooth[-1])} at the end."
    remedy = "Lower the learning rate (-lr), to a third say, or limit gradients ([net] clip_norm=1)."
    return [Finding("bad" if smooth[-1] > smooth[0] else "warn", what, remedy)]


def _anneals(s: Study) -> bool:
    rate = s.epochs.get("learning_rate")
    known = rate[np.isfinite(rate)] if rate is not None else np.zeros(0)
    return len(known) > 1 and bool(known[-1] < 0.2 * known.max())


def _still_falls(s: Study, loss: Floats, held: bool) -> list[Finding]:
    n = len(loss)
    if n < 8:
        return []
    part = max(n // 10, 2)
    before, last = float(loss[-2 * part : -part].mean()), float(loss[-part:].mean())
    total, drop = float(loss[: max(n // 20, 1)].mean()) - last, before - last
    noise = float(np.std(np.diff(loss[-2 * part :]))) / part**0.5
    least = 0.02 if _anneals(s) else 0.005  # of a rate that goes to 0, the last steps always gain
    if total <= 0 or drop <= least * total or drop <= 2 * noise:
        return []
    whose = "of held-out rows " if held else ""
    what = (
        f"The training ended while its loss {whose}was still falling: by {shown(drop)} in the last {part} of {n} epochs, which "
        "is "
        f"{drop / total:.1%} of all that it fell."
    )
    return [Finding("warn", what, f"Train longer: -epochs {2 * n}, or go on from these weights.")]


def _of_log(s: Study) -> list[Finding]:
    """beta's warm-up, and whether the log belongs to the model."""
    found: list[Finding] = []
    target, beta = s.model.beta, s.epochs.get("beta")
    last = float(beta[-1]) if beta is not None and len(beta) else s.net.notes.losses.get("beta")
    warms = s.model.key("sampling", "beta_warmup") not in ("", "0")
    if target and warms and last is not None and np.isfinite(last) and last < 0.99 * target:
        what = f"The warm-up of beta outlived the training: beta ended at {shown(last)}, the cfg wants {shown(target)}."
        found.append(
            Finding("warn", what, "Train for more epochs, or shorten beta_warmup in [sampling]; ELBO and samples suffer.")
        )
    noted, logged = s.net.notes.losses, s.epochs.get("total_loss", s.epochs.get("loss"))
    mine = noted.get("total_loss", noted.get("loss"))
    if mine is not None and logged is not None and len(logged):
        near = np.nanmin(np.abs(logged - mine)) if np.isfinite(logged).any() else 0.0
        if near > 2e-3 * (abs(mine) + 1e-3):
            what = f"No epoch of the log has the loss that the model file notes ({shown(mine)})."
            found.append(Finding("warn", what, "Is it the log of another training? Give the log of this model (-log)."))
    return found


# ---- the latent space ----


def _of_latents(s: Study) -> list[Finding]:
    e, rows = s.evaluation, s.rows
    if e is None or rows is None or s.model.kind != "vae" or len(rows) < 5 or e["active_units"] is None:
        return []
    kl = e.get("latent_kl")
    total = len(kl) if kl is not None else s.net.latent_size
    idle = total - int(e["active_units"] or 0)
    if not idle:
        return []
    beta = s.model.beta
    now = f" (now {shown(beta)})" if beta is not None else ""
    if idle == total:
        what = (
            f"The posterior has collapsed: {_all_of(total)} inactive, so every row has the same latent vector, and "
            "the decoder ignores it."
        )
        remedy = (
            f"Lower beta{now}, let it rise slowly (beta_warmup=20e), or use free_bits=0.1 in [sampling]; then train anew with "
            "another -seed."
        )
        return [Finding("bad", what, remedy)]
    what = f"{idle} of {total} latents {'is' if idle == 1 else 'are'} inactive: the same for every row, so they carry nothing."
    remedy = (
        f"If rows come back well enough, {total - idle} latents would do. Otherwise lower beta{now} or use free_bits=0.1 in "
        "[sampling]."
    )
    return [Finding("warn", what, remedy)]


def _all_of(total: int) -> str:
    return "the only latent is" if total == 1 else f"all {total} latents are"


def _of_prior(s: Study) -> list[Finding]:
    """Is what the encoder gives like what is drawn?"""
    e = s.evaluation
    if e is None or s.model.kind != "vae" or s.model.learned_prior or s.rows is None or len(s.rows) < 30:
        return []
    variance, mean = e.get("latent_variance"), e.get("latent_mean")
    if variance is None or mean is None or not len(variance):
        return []
    moves = e["latent_mean_variance"] > 0.01  # the others have a finding of their own
    off = moves & ((variance > 2) | (variance < 0.4) | (np.abs(mean) > 0.75))
    if not off.any():
        return []
    worst = int(np.argmax((np.abs(np.log(np.maximum(variance, 1e-9))) + np.abs(mean)) * off))
    what = (
        f"The latent vectors of the rows are not like the prior N(0, 1) in {int(off.sum())} of {len(off)} dimensions: latent "
        f"{worst + 1} has mean {shown(float(mean[worst]))} and variance {shown(float(variance[worst]))}. New rows that are "
        "drawn from "
        "N(0, 1) will be less lifelike than reconstructions."
    )
    return [Finding("note", what, "Draw with -prior gmm, train with prior=mixture in [sampling], or raise beta.")]


def _of_code(s: Study) -> list[Finding]:
    if s.model.kind != "autoencoder" or s.mean is None or len(s.mean) < 5:
        return []
    spread = s.mean.std(axis=0)
    dead = int((spread <= 1e-6 * max(float(spread.max()), 1e-12)).sum())
    if not dead:
        return []
    what = f"{dead} of {len(spread)} values of the code are the same for every row, so they carry nothing."
    return [Finding("warn", what, "Use activation=leaky (or elu) before the code and linear in it, or a lower learning rate.")]


# ---- how well it fits ----


def _of_fit(s: Study) -> list[Finding]:
    e = s.evaluation
    if e is None or s.rows is None or not s.model.reconstructs or len(s.rows) < 5:
        return []
    found: list[Finding] = []
    base = e.get("baselines") or {}
    mse, pca, mean = (base.get(name) for name in ("network_mse", "pca_mse", "mean_mse"))
    if mse is not None and mean is not None and mean > 0 and mse > 0.98 * mean:
        what = f"Reconstructions are no better than every column's mean (squared error {shown(mse)} against {shown(mean)})."
        found.append(
            Finding("bad", what, "Train longer, with another learning rate or a lower beta, and check the scale of the data.")
        )
    elif mse is not None and pca is not None and pca > 0 and mse > 1.05 * pca:
        what = (
            f"A PCA with {s.net.latent_size} component{'s' * (s.net.latent_size != 1)} reconstructs these rows better (squared "
            "error "
            f"{shown(pca)} per value against {shown(mse)})."
        )
        found.append(
            Finding(
                "warn", what, "Train longer, use more hidden values, or lower beta; if it stays so, the PCA is the better model."
            )
        )
    return found + _far_from_training(s)


def _far_from_training(s: Study) -> list[Finding]:
    assert s.evaluation is not None
    before, now = s.net.notes.losses.get("image_loss"), s.evaluation.get("image_loss")
    if before is None or now is None:
        return []
    far = now - before > (max(1.0 * abs(before), 0.02 * s.net.inputs) if s.model.nats else 2 * abs(before))
    if not far:
        return []
    what = (
        f"These rows cost {shown(now)} (reconstruction), those of the training {shown(before)}: the network has not learned "
        "such rows."
    )
    scale = s.net.notes.scale or s.net.data_scale
    divided = f" (training divided by {shown(scale)})" if scale and scale != 1 else ""
    return [Finding("warn", what, f"Check that they have the columns and the scale of the training{divided}.")]


def _of_classes(s: Study) -> list[Finding]:
    e, rows = s.evaluation, s.rows
    if e is None or rows is None or s.model.kind != "classifier" or rows.truth is None or "accuracy" not in e:
        return []
    share = rows.truth.mean(axis=0)
    common = float(share.max()) if rows.truth.shape[1] > 1 else float(max(share[0], 1 - share[0]))
    accuracy = float(e["accuracy"])
    if accuracy > common + 0.01 or len(rows) < 10 or common == 1:
        return []
    what = (
        f"{accuracy:.1%} of the classes are right, and always saying the commonest one reaches {common:.1%}: the network "
        "tells nothing."
    )
    return [Finding("bad", what, "Train longer, with another learning rate, and check labels and scale.")]


# ---- the rows ----


def _of_rows(s: Study) -> list[Finding]:
    rows = s.rows
    if rows is None:
        return []
    found = [Finding("note", f"{rows.source}: {note}.", "") for note in rows.notes]
    if not len(rows):
        found.insert(0, Finding("bad", f"There are no rows in {rows.source}.", "Give some (-data)."))
    elif len(rows) < 30:
        many = f"are only {len(rows)} rows" if len(rows) > 1 else "is only 1 row"
        found.insert(0, Finding("warn", f"There {many}: numbers and pictures of so few say little.", "Give more rows (-data)."))
    return found + _uneven(s, rows)


def _uneven(s: Study, rows: Rows) -> list[Finding]:
    """Plain numbers under one squared error: a column of large numbers is all that counts."""
    if rows.is_table or s.model.shape is not None or not s.model.reconstructs or rows.x.shape[1] < 3 or len(rows) < 5:
        return []
    fixed = set(s.model.losses) & {"sse", "L1", "smooth"} or (
        "gaussian" in s.model.losses and s.model.key("cost", "sigma", "1") not in ("column", "value")
    )
    variance = rows.x.astype(np.float64).var(axis=0)
    total = float(variance.sum())
    if not fixed or total <= 0 or variance.max() / total < 0.9:
        return []
    at = int(variance.argmax())
    what = f"Column “{rows.names[at]}” has {variance[at] / total:.1%} of the rows' variance, so the loss is about it alone."
    remedy = (
        "Standardise the columns, use [cost] type=gaussian sigma=column, or train on the table itself: darknet-vae train "
        "DATA.csv."
    )
    return [Finding("warn", what, remedy)]


def _of_loss(s: Study) -> list[Finding]:
    """A likelihood that does not fit the values."""
    rows, m = s.rows, s.model
    if rows is None or rows.is_table or not m.reconstructs or not len(rows) or len(m.losses) != 1:
        return []
    loss, x = m.losses[0], rows.x
    low, high = float(x.min()), float(x.max())
    some = x[rows.index(2000, s.seed)]
    binary = low == 0 and high == 1 and bool(np.isin(some, (0, 1)).all())
    found: list[Finding] = []
    if binary and loss in ("sse", "gaussian", "laplace", "student_t", "L1", "smooth"):
        what = f"All values are 0 or 1, and the loss ({m.loss_words}) is for numbers of any size."
        found.append(Finding("note", what, "[cost] type=bernoulli with a linear last layer is the likelihood of zeros and ones."))
    reach = {"logistic": (0.0, 1.0), "loggy": (-1.0, 1.0), "tanh": (-1.0, 1.0), "relu": (0.0, np.inf), "ramp": (0.0, np.inf)}
    bounds = reach.get(m.activation)
    slack = 1e-3 * max(high - low, 1e-12)
    if (
        bounds is not None
        and loss in ("sse", "gaussian", "laplace", "student_t", "L1", "smooth")
        and (low < bounds[0] - slack or high > bounds[1] + slack)
    ):
        what = (
            f"The rows reach from {shown(low)} to {shown(high)}, but the last layer (activation={m.activation}) gives values "
            f"from {shown(bounds[0])} to {'any size' if np.isinf(bounds[1]) else shown(bounds[1])}."
        )
        found.append(
            Finding("warn", what, "Use activation=linear in the last layer, or scale the data into that range (-scale).")
        )
    return found + _wrong_sigma(s, loss)


def _wrong_sigma(s: Study, loss: str) -> list[Finding]:
    sigma = s.model.key("cost", "sigma", "1")
    mse = ((s.evaluation or {}).get("baselines") or {}).get("network_mse") if s.evaluation is not None else None
    try:
        fixed = float(sigma)
    except ValueError:
        return []
    if loss != "gaussian" or mse is None or mse <= 0 or 0.25 < mse / fixed**2 < 4:
        return []
    what = f"The likelihood assumes errors of sigma={shown(fixed)}; the reconstructions' have a deviation of {shown(mse**0.5)}."
    return [
        Finding("warn", what, "Use [cost] sigma=optimal or learned: with a wrong sigma, beta and the KL are weighed wrongly.")
    ]


# ---- new rows ----


def _of_new_rows(s: Study) -> list[Finding]:
    report = s.synthetic
    if report is None:
        return []
    p = report.privacy
    found: list[Finding] = []
    if p.synthetic.copies > p.reference.copies + 0.02:
        what = f"{p.synthetic.copies:.1%} of the drawn rows equal a real row; of {p.whose} rows, {p.reference.copies:.1%} do."
        found.append(Finding("warn", what, _LESS_BY_HEART))
    elif p.reference.median > 0 and p.synthetic.median < 0.5 * p.reference.median:
        what = (
            f"Drawn rows may be copies: half of them are nearer than {shown(p.synthetic.median)} to a real row; {p.whose} rows "
            "are at "
            f"{shown(p.reference.median)}."
        )
        found.append(Finding("warn", what, _LESS_BY_HEART))
    worst = min(report.shapes, key=lambda name: report.shapes[name], default=None)
    if worst is not None and report.shapes[worst] < 0.7:
        bad = sum(value < 0.7 for value in report.shapes.values())
        what = (
            f"{bad} column{'s' * (bad != 1)} of drawn rows {'is' if bad == 1 else 'are'} unlike the real ones, most of all "
            f"“{worst}” ({report.shapes[worst]:.2f} of 1)."
        )
        remedy = (
            "See the marginals below. Train longer, or let sigma be learned; a network of means alone (sse) draws too "
            "little spread."
        )
        found.append(Finding("note" if not s.model.nats else "warn", what, remedy))
    return found


_LESS_BY_HEART = (
    "The network may know its rows by heart: stop earlier (-holdout 0.1 -patience 20), use a smaller network, and compare with "
    "held-out "
    "rows (darknet-vae report-synthetic -holdout)."
)
