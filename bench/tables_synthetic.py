"""Synthetic rows of mixed tables: how alike they are, and whether a classifier that is trained on them knows real rows."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

import darknet_vae as dv

from .tables import Found, Goal, Options, allowed, fits, quietly, section, timed

TARGETS = {"wa_churn": "churn", "credit_data": "Status", "attrition": "Attrition", "HMDA": "deny"}
SLOW = {"TVAE"}
DRAWS = 3
WHAT = (
    "70 % of the rows to learn from, as many drawn; missing cells are filled beforehand (medians, a word), because TVAE "
    "takes none. Shapes of columns and trends of pairs by sdmetrics, and the ROC AUC of scikit-learn's "
    "GradientBoostingClassifier that is trained on the drawn rows and tested on the other 30 % of the real ones; `real "
    "rows`: trained on the 70 %. Means over three draws of as many rows from one model. Seconds: fitting and drawing once, "
    "summed over the tables."
)


def is_text(column: Any) -> bool:
    import pandas as pd

    return not pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column)


def clean(frame: Any) -> Any:
    frame = frame.copy()
    for name in frame:
        column = frame[name]
        if is_text(column):
            frame[name] = column.astype(object).where(column.notna(), "missing").astype(str).astype(object)
        else:
            frame[name] = column.fillna(column.median())
    return frame


def split(options: Options, name: str, seed: int = 0) -> tuple[Any, Any]:
    import pandas as pd
    from sklearn.model_selection import train_test_split

    frame = clean(pd.read_csv(options.folder / "tables" / f"{name}.csv"))
    a, b = train_test_split(frame, test_size=0.3, random_state=seed, stratify=frame[TARGETS[name]])
    return a.reset_index(drop=True), b.reset_index(drop=True)


def useful(train: Any, test: Any, target: str) -> float:
    import pandas as pd
    from sklearn.ensemble import GradientBoostingClassifier
    from sklearn.metrics import roc_auc_score
    from sklearn.preprocessing import OrdinalEncoder

    texts = [name for name in train if is_text(train[name])]
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1).fit(pd.concat([train, test])[texts])
    coded = []
    for frame in (train, test):
        frame = frame.copy()
        frame[texts] = encoder.transform(frame[texts]).astype(float)
        coded.append(frame.astype(float))
    yes = coded[1][target].max()
    model = GradientBoostingClassifier(random_state=0).fit(coded[0].drop(columns=target), coded[0][target] == yes)
    return float(roc_auc_score(coded[1][target] == yes, model.predict_proba(coded[1].drop(columns=target))[:, 1]))


def fidelity(real: Any, drawn: Any) -> dict[str, float]:
    with quietly():
        from sdmetrics.reports.single_table import QualityReport

        report = QualityReport()
        kinds = {name: {"sdtype": "categorical" if is_text(real[name]) else "numerical"} for name in real}
        report.generate(real, drawn, {"columns": kinds}, verbose=False)
        found = report.get_properties().set_index("Property")["Score"]
    return {"shapes": float(found["Column Shapes"]), "trends": float(found["Column Pair Trends"])}


def ours(a: Any, seed: int) -> Any:
    net = dv.Network.for_table(a, seed=seed)
    net.train(a)
    return lambda draw: net.sample(n=len(a), seed=draw)


def tvae(a: Any, seed: int) -> Any:
    import torch
    from ctgan import TVAE

    torch.manual_seed(seed)
    np.random.seed(seed)  # what it draws from
    names = TVAE.__init__.__code__.co_varnames
    model = TVAE(**({"enable_gpu": False} if "enable_gpu" in names else {"cuda": False}))
    model.fit(a, [name for name in a if is_text(a[name])])
    return lambda draw: model.sample(len(a))


CONTENDERS = {"darknet_vae": ("sdmetrics", ours), "TVAE": ("ctgan", tvae)}


def measured(a: Any, b: Any, target: str, contender: Any, seed: int, draws: int) -> list[dict[str, float]]:
    draw, fitting = timed(lambda: contender(a, seed))
    found = []
    for k in range(draws):
        rows, drawing = timed(partial(draw, k + 1))
        found.append({**fidelity(a, rows), "auc": useful(rows, b, target), "seconds": fitting + drawing})
    return found


def goals(found: Found) -> list[Goal]:
    who = "darknet_vae"
    wanted = {"shapes": ("column shapes", 0.98), "trends": ("pair trends", 0.94), "auc": ("ROC AUC, trained on drawn rows", 0.81)}
    rows = [Goal(what, found.mean(who, key), value) for key, (what, value) in wanted.items()]
    if found.common(who, "TVAE"):
        both = found.common(who, "TVAE")
        for key, (what, _) in wanted.items():
            rows.append(Goal(f"{what} minus TVAE's", found.mean(who, key, both) - found.mean("TVAE", key, both), 0, above=True))
        ratio, n = found.ratio("TVAE", who)
        rows.append(Goal(f"seconds of TVAE / ours, {n} tables", ratio, 20))
    return rows


def synthetic(options: Options, when: str) -> str:
    found = Found()
    contenders = allowed(options, found, CONTENDERS)
    names = [name for name in TARGETS if not options.tables or name in options.tables]
    for name in names[:1] if options.quick else names:
        a, b = split(options, name)
        target, draws = TARGETS[name], 1 if options.quick else DRAWS
        for who, contender in contenders.items():
            if fits(options, who, name, SLOW):
                found.add(who, name, measured(a, b, target, contender, 0, draws))
        real, seconds = timed(partial(useful, a, b, target))
        found.add("real rows", name, [{"shapes": 1.0, "trends": 1.0, "auc": real, "seconds": seconds}])
    return section("synthetic", WHAT, found, goals(found), ["shapes", "trends", "auc"], when)
