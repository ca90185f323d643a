"""The sections of a report about predictions, new rows and unusual rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import plots
from ..tables import decoded_columns
from .contents import EXAMPLES, WIDE, as_in_file
from .page import Block, Cells, Section, brief
from .pictures import show, worst_images
from .rows import cell_text
from .study import Study

UNUSUAL = 10
MARGINALS = 12
CORRELATED = 30


# ---- classes and targets ----


def predictions(s: Study) -> Section:
    section = Section("predictions", "Predictions")
    rows = s.rows
    if rows is None or s.outputs is None or not len(rows):
        return section
    if s.model.kind == "classifier" and rows.truth is not None:
        found = s.attempt("the table of classes", lambda: _confusion(s))
        section.blocks += [] if found is None else [found]
    if s.scores is not None and s.model.shape is None and s.net.input_shape is not None:
        shape = s.net.input_shape
        if shape[0] in (1, 3) and shape[1] * shape[2] > 1:
            section.blocks += worst_images(s, shape)
    return section


def _confusion(s: Study) -> Cells:
    rows, net = s.rows, s.net
    assert rows is not None and rows.truth is not None and s.outputs is not None
    wide = rows.truth.shape[1] > 1
    true = rows.truth.argmax(1) if wide else (rows.truth[:, 0] > 0.5).astype(int)
    picked = net.pick(s.outputs)
    n = rows.truth.shape[1] if wide else 2
    names = s.classes if len(s.classes) == n else [str(i) for i in range(n)]
    counts = np.zeros((n, n), int)
    np.add.at(counts, (true, picked), 1)
    share = [f"{counts[i, i] / counts[i].sum():.1%}" if counts[i].sum() else "" for i in range(n)]
    if n > 15:  # the classes that are mistaken most
        right = np.diag(counts) / np.maximum(counts.sum(1), 1)
        body = []
        for i in np.argsort(right, kind="stable")[:20]:
            others = counts[i].copy()
            others[i] = 0
            taken = f"{names[int(others.argmax())]} ({others.max()})" if others.max() else ""
            body.append([names[i], f"{counts[i].sum():,}", share[i], taken])
        return Cells(
            ["class", "rows", "right", "most taken for"], body, "The 20 classes that are mistaken most.", frozenset({1, 2})
        )
    body = [[names[i], *(f"{value:,}" for value in counts[i]), share[i]] for i in range(n)]
    marked = {(i, j + 1) for i in range(n) for j in range(n) if i != j and counts[i, j] > 0.05 * max(counts[i].sum(), 1)}
    return Cells(
        ["true class", *names, "right"], body,
        "Rows by their true class (down) and the predicted one (across). Marked: mistakes of more than 5 % of a class.",
        numbers=frozenset(range(1, n + 2)), marked=frozenset(marked),
    )  # fmt: skip


# ---- new rows ----


def drawn(s: Study) -> Section:
    section = Section("drawn", "Drawn rows" if s.model.shape is None else "Drawn images")
    if s.model.kind != "vae":
        return section
    if s.model.shape is not None:
        section.blocks += show(
            s, "samples", lambda: plots.samples(s.net, 36, seed=s.seed, shape=s.model.shape),
            "Images decoded from draws of the prior", "Images decoded from latent vectors that were drawn from the "
                                                      "prior.", photo=True,
        )  # fmt: skip
        return section
    if s.drawn is None:
        return section
    section.blocks += _likeness(s)
    if s.real is not None and s.synthetic is not None:
        section.blocks += _marginals(s)
    section.blocks += _examples(s)
    return section


def _likeness(s: Study) -> list[Block]:
    r = s.synthetic
    if r is None:
        return []
    p = r.privacy
    rows = [
        ["columns alone", f"{r.column_shapes:.3f}", "1: every column is distributed as in the real rows, 0: nothing in common"],
        ["pairs of columns", f"{r.pair_trends:.3f}", "1: all pairs hang together as in the real rows"],
        ["distance to the closest real row", f"{p.synthetic.median:.4f}",
         f"half of the drawn rows are nearer (Gower's distance); of {p.whose} rows it is {p.reference.median:.4f}. Much less "
         "would mean copies"],
        ["equal to a real row", f"{p.synthetic.copies:.1%}", f"of {p.whose} rows: {p.reference.copies:.1%}"],
    ]  # fmt: skip
    if np.isnan(r.pair_trends):
        del rows[1]
    worst = sorted(r.shapes.items(), key=lambda item: item[1])[:10]
    found: list[Block] = [
        Cells(["drawn rows beside real ones", "", ""], rows, f"{r.rows[1]:,} drawn rows beside {r.rows[0]:,} real "
                                                             "ones.", frozenset({1}), wraps=True),
        Cells(
            ["column", "likeness"], [[name, f"{value:.3f}"] for name, value in worst], "1: distributed as in the real rows.",
            frozenset({1}), folded="The columns that are least alike" if len(r.shapes) > 10 else "The columns one by one",
        ),
    ]  # fmt: skip
    return found


def _least_alike(s: Study, most: int) -> list[str]:
    assert s.real is not None and s.synthetic is not None
    names = [name for name in s.real if name in s.synthetic.shapes]
    if len(names) <= most:
        return names
    worst = sorted(names, key=lambda name: s.synthetic.shapes[name] if s.synthetic is not None else 0.0)[:most]
    return [name for name in names if name in set(worst)]


def _marginals(s: Study) -> list[Block]:
    assert s.real is not None and s.drawn is not None
    real, drawn, weight = s.real, s.drawn, next(iter(s.counts), None)
    names = _least_alike(s, MARGINALS)
    more = f" The {len(names)} of {len(real):,} columns that are least alike." if len(names) < len(real) else ""
    found = show(
        s, "marginals", lambda: plots.marginals({**real, **s.counts}, drawn, names, weight),
        "Distributions of the columns, real and drawn rows", f"Each column's distribution in real and in drawn rows.{more}",
        photo=len(names) > 6,
    )  # fmt: skip
    pairs = _least_alike(s, CORRELATED)
    if len(pairs) < 2:
        return found
    more = f" The {len(pairs)} of {len(real):,} columns that are least alike." if len(pairs) < len(real) else ""
    return found + show(
        s, "correlations",
        lambda: plots.correlations(
            {name: real[name] for name in pairs} | s.counts, {name: drawn[name] for name in pairs}, weight
        ),
        "Correlations of the columns, real and drawn rows", f"How columns hang together in real and in drawn rows.{more}",
        photo=len(pairs) > 8,
    )  # fmt: skip


def _examples(s: Study) -> list[Block]:
    assert s.drawn is not None
    names = list(s.drawn)[:WIDE]
    cells = as_in_file(s.rows, decoded_columns({name: s.drawn[name][:EXAMPLES] for name in names}))
    many = min(EXAMPLES, len(s.drawn[names[0]]))
    body = [[name, *(brief(cell_text(cells[name], row), 30) for row in range(many))] for name in names]
    more = f" The first {len(names)} of {len(s.drawn):,} columns." if len(names) < len(s.drawn) else ""
    return [Cells(["column", *(f"drawn row {i + 1}" for i in range(many))], body, f"Drawn rows.{more}", named=True)]


# ---- unusual rows ----


def unusual(s: Study) -> Section:
    section = Section("unusual", "Unusual rows")
    rows, scores = s.rows, s.scores
    if rows is None or scores is None or not s.model.reconstructs or len(scores) < 2:
        return section
    likely = s.evaluation is not None and s.evaluation["elbo"] is not None
    section.intro = "A row's score is higher the less it is like what was learned: " + (
        "minus its ELBO, in nats." if likely else "its total loss."
    )
    shape = s.model.shape
    options: dict[str, Any] = {"unit": "nats" if likely else None} if shape is None else {"net": s.net, "X": rows.x}
    section.blocks += show(
        s, "scores", lambda: plots.scores(scores, **options),
        "Histogram of the scores" + (", with the images that have the highest" if shape is not None else ""),
        "Scores of all rows" + (", and the most unusual images." if shape is not None else "."), photo=shape is not None,
    )  # fmt: skip
    section.blocks += [_ranking(s)]
    return section


def _ranking(s: Study) -> Block:
    rows, scores, parts = s.rows, s.scores, s.contributions
    assert rows is not None and scores is not None
    order = np.argsort(-scores, kind="stable")[:UNUSUAL]
    labelled = rows.labels is not None
    by_column = parts is not None and parts.shape[1] == len(rows.names) and s.model.shape is None
    body = []
    for row in order:
        line = [str(int(row)), f"{scores[row]:.5g}"]
        if labelled:
            line.append(str(rows.labels[row]) if rows.labels is not None else "")
        if by_column and parts is not None:
            top = np.argsort(-parts[row], kind="stable")[:3]
            values = rows.texts(int(row), [rows.names[i] for i in top])
            words = [
                f"{brief(rows.names[i], 30)} = {brief(text or 'missing', 30)} ({parts[row, i]:.3g})"
                for i, text in zip(top, values, strict=True)
            ]
            line.append(", ".join(words))
        body.append(line)
    head = [
        "row",
        "score",
        *([rows.label_name or "label"] if labelled else []),
        *(["what is unusual about it"] if by_column else []),
    ]
    caption = f"The {len(body)} rows with the highest scores, counted from 0."
    if by_column:
        caption += " In brackets: what the column adds to the score."
    return Cells(
        head,
        body,
        caption,
        numbers=frozenset({0, 1}),
        folded="" if by_column else "The highest scores as numbers",
        wraps=by_column,
    )
