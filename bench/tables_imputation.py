"""Cells that are taken out of tables and filled again, by ours, by means and modes, and by scikit-learn's KNNImputer."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

import darknet_vae as dv

from .tables import Found, Goal, Options, allowed, section, timed
from .tables_synthetic import is_text

TABLES = ("penguins", "wa_churn", "credit_data", "attrition", "HMDA", "diamonds")
MOST = 6000
WHAT = (
    "10 % of the cells that are there are taken out at random and filled, of at most 6,000 rows. Error: the root mean "
    "squared error of numbers divided by the column's deviation, in the mean of the columns; accuracy: of texts. KNNImputer "
    "sees standardised numbers and a column for each word. Seconds: fitting and filling, summed over the tables."
)


def holes(options: Options, name: str, seed: int) -> tuple[Any, Any, Any]:
    """The table, the table with gaps, and where they are."""
    import pandas as pd

    frame = pd.read_csv(options.folder / "tables" / f"{name}.csv")
    if len(frame) > MOST:
        frame = frame.sample(MOST, random_state=seed).reset_index(drop=True)
    hole = (np.random.default_rng(seed).random(frame.shape) < 0.1) & frame.notna().to_numpy()
    for column in frame:
        frame[column] = frame[column].astype(object if is_text(frame[column]) else float)
    return frame, frame.mask(hole), hole


def ours(gaps: Any, seed: int) -> Any:
    net = dv.Network.for_table(gaps, seed=seed)
    net.train(gaps)
    return net.impute(gaps)


def means(gaps: Any, seed: int) -> Any:
    del seed
    return gaps.apply(lambda column: column.fillna(column.mode()[0] if is_text(column) else column.mean()))


def neighbours(gaps: Any, seed: int) -> Any:
    import pandas as pd
    from sklearn.impute import KNNImputer

    del seed
    parts: list[Any] = []
    for name in gaps:
        column = gaps[name]
        if is_text(column):
            part = pd.get_dummies(column).astype(float)
            part[column.isna()] = np.nan
        else:
            part = ((column - column.mean()) / (column.std() or 1)).to_frame()
        parts.append(part)
    filled = KNNImputer().fit_transform(np.hstack([part.to_numpy() for part in parts]))
    found, at = gaps.copy(), 0
    for name, part in zip(gaps, parts, strict=True):
        values, gone = filled[:, at : at + part.shape[1]], gaps[name].isna()
        at += part.shape[1]
        if is_text(gaps[name]):
            found.loc[gone, name] = np.array(part.columns, object)[values.argmax(1)][gone]
        else:
            found.loc[gone, name] = (values[:, 0] * gaps[name].std() + gaps[name].mean())[gone]
    return found


CONTENDERS = {"darknet_vae": ("pandas", ours), "means, modes": ("pandas", means), "KNNImputer": ("sklearn", neighbours)}


def judged(truth: Any, filled: Any, hole: Any) -> dict[str, float]:
    errors, hits = [], []
    for j, name in enumerate(truth):
        at = hole[:, j]
        if not at.any():
            continue
        a, b = truth[name].to_numpy()[at], filled[name].to_numpy()[at]
        if is_text(truth[name]):
            hits.append(float(np.mean(a.astype(str) == b.astype(str))))
        else:
            errors.append(float(np.sqrt(np.mean((a.astype(float) - b.astype(float)) ** 2)) / truth[name].std()))
    return {"error": float(np.mean(errors)), "accuracy": float(np.mean(hits))}


def goals(found: Found) -> list[Goal]:
    a, rows = "darknet_vae", []
    if (b := "means, modes") in found.values:
        for name in found.common(a, b):
            x, y = found.values[a][name], found.values[b][name]
            rows.append(Goal(f"{name}: error of {b} minus ours", y["error"] - x["error"], 0))
            rows.append(Goal(f"{name}: accuracy minus that of {b}", x["accuracy"] - y["accuracy"], 0))
    if (b := "KNNImputer") in found.values:
        rows.append(Goal(f"mean error of {b} minus ours", found.mean(b, "error") - found.mean(a, "error"), 0, above=True))
        rows.append(
            Goal(f"mean accuracy minus that of {b}", found.mean(a, "accuracy") - found.mean(b, "accuracy"), 0, above=True)
        )
    return rows


def imputation(options: Options, when: str) -> str:
    found = Found()
    contenders = allowed(options, found, CONTENDERS)
    names = [name for name in TABLES if not options.tables or name in options.tables]
    for name in names[:1] if options.quick else names:
        measures: dict[str, list[dict[str, float]]] = {who: [] for who in contenders}
        for seed in range(options.seeds):
            truth, gaps, hole = holes(options, name, seed)
            for who, contender in contenders.items():
                filled, seconds = timed(partial(contender, gaps.copy(), seed))
                measures[who].append({**judged(truth, filled, hole), "seconds": seconds})
        for who in contenders:
            found.add(who, name, measures[who])
    return section("imputation", WHAT, found, goals(found), ["error", "accuracy"], when)
