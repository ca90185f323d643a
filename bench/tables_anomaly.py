"""Anomaly detectors on tables with known anomalies, which only judge: fit on 70 % of the rows, score the others."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import darknet_vae as dv

from .measure import say
from .tables import Found, Goal, Options, allowed, fits, section, timed

WHAT = (
    "Each detector with its defaults is fitted on 70 % of the rows, contaminated as they are, and scores the rest; peers "
    "get standardised columns, ours the columns as they are. ROC AUC in the mean of the splits; the labels only judge. "
    "Seconds: the sum over the tables of one fit and its scores."
)
SLOW = {"PyOD VAE", "PyOD AutoEncoder"}


def ours(a: Any, b: Any, seed: int) -> Any:
    return -dv.VAEDetector(random_state=seed).fit(a).score_samples(b)


def isolation_forest(a: Any, b: Any, seed: int) -> Any:
    from sklearn.ensemble import IsolationForest

    return -IsolationForest(random_state=seed).fit(a).score_samples(b)


def pyod(module: str, name: str, **options: Any) -> Any:
    def run(a: Any, b: Any, seed: int) -> Any:
        from importlib import import_module

        kind = getattr(import_module(f"pyod.models.{module}"), name)
        seeded = {"random_state": seed} if name in ("PCA", "VAE", "AutoEncoder") else {}
        return kind(**options, **seeded).fit(a).decision_function(b)

    return run


CONTENDERS = {
    "darknet_vae": ("sklearn", ours),
    "IsolationForest": ("sklearn", isolation_forest),
    "PyOD KNN": ("pyod", pyod("knn", "KNN")),
    "PyOD ECOD": ("pyod", pyod("ecod", "ECOD")),
    "PyOD PCA": ("pyod", pyod("pca", "PCA")),
    "PyOD VAE": ("torch", pyod("vae", "VAE", verbose=0)),
    "PyOD AutoEncoder": ("torch", pyod("auto_encoder", "AutoEncoder", verbose=0)),
}


def measured(path: Path, who: str, contender: Any, seeds: int) -> list[dict[str, float]]:
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import train_test_split
    from sklearn.preprocessing import StandardScaler

    arrays = np.load(path)
    X, y = arrays["X"].astype(float), arrays["y"].astype(int)
    found = []
    for seed in range(seeds):
        a, b, _, truth = train_test_split(X, y, test_size=0.3, stratify=y, random_state=seed)
        if contender is not ours:
            scaler = StandardScaler().fit(a)
            a, b = scaler.transform(a), scaler.transform(b)
        try:
            scores, seconds = timed(partial(contender, a, b, seed))
            auc = float(roc_auc_score(truth, scores))
        except ValueError as reason:  # a peer that gives no finite score for a table counts as chance
            if contender is ours:
                raise
            say(f"{path.stem}: {who}: {reason}")
            auc, seconds = 0.5, 0.0
        found.append({"auc": auc, "seconds": seconds, "rows": float(len(X))})
    return found


def goals(found: Found) -> list[Goal]:
    who = "darknet_vae"
    rows = [Goal("mean ROC AUC", found.mean(who, "auc"), 0.765)]
    for peer in list(found.values)[1:]:
        both = found.common(who, peer)
        name = f"mean ROC AUC minus that of {peer}, {len(both)} tables"
        rows.append(Goal(name, found.mean(who, "auc", both) - found.mean(peer, "auc", both), 0, above=True))
    peer = "PyOD VAE"
    large = [name for name in found.common(who, peer) if found.values[who][name]["rows"] > 1000]
    if large:
        least = min(found.values[who][name]["auc"] / found.values[peer][name]["auc"] for name in large)
        rows.append(Goal(f"least ratio of ROC AUC to {peer}'s, {len(large)} tables of more than 1,000 rows", least, 0.9))
    if found.common(who, peer):
        ratio, n = found.ratio(peer, who)
        rows.append(Goal(f"seconds of {peer} / ours, {n} tables", ratio, 20))
    return rows


def anomaly(options: Options, when: str) -> str:
    found = Found()
    contenders = allowed(options, found, CONTENDERS)
    paths = sorted((options.folder / "anomaly").glob("*.npz"))
    if options.tables:
        paths = [path for path in paths if path.stem in options.tables]
    for path in paths[:1] if options.quick else paths:
        for who, contender in contenders.items():
            if fits(options, who, path.stem, SLOW):
                found.add(who, path.stem, measured(path, who, contender, options.seeds))
    found.left_out.append("A peer that gives no finite scores for a split counts as chance, 0.5, there (PyOD's PCA on some).")
    return section("anomaly", WHAT, found, goals(found), ["auc"], when)
