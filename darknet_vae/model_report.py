"""A report about a network as one HTML page, which holds everything it shows and loads nothing.

    net = dv.Network.load("digits.safetensors")
    report = dv.report(net, "digits.csv", log="log.csv")
    report.save("digits.html")
    report.warnings                     # what stands out, as sentences with their remedies

The page has numbers with their meaning, warnings in words, the pictures that fit the network and its rows, the layers, the cfg
and how to repeat it. Extra: report (matplotlib and jinja2).
"""

from __future__ import annotations

import html as entities
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from . import errors
from ._lib import Path, save_bytes
from ._version import __version__

if TYPE_CHECKING:
    from .network import Network
    from .reporting.study import Study

__all__ = ["Report", "report"]


@dataclass(frozen=True)
class Report:
    """`html`: the page. `warnings`: what stands out, the gravest first, each with its remedy; empty: nothing does. `notes`: what
    is good to know. `numbers`: name, value, unit and meaning of each."""

    html: str
    warnings: list[str]
    notes: list[str] = field(default_factory=list)
    numbers: list[tuple[str, str, str, str]] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    """What could not be computed, and why."""

    def save(self, path: Path) -> str:
        """Write the page, completely or not at all. Returns the name, which gets .html if it has no ending."""
        name = os.fspath(path)
        if not os.path.splitext(name)[1] and name != "-":
            name += ".html"
        save_bytes(name, self.html.encode())
        return name

    def _repr_html_(self) -> str:
        """In notebooks: in a frame of its own, so that the styles of page and notebook leave each other alone."""
        inside = entities.escape(self.html, quote=True)
        return (
            f'<iframe srcdoc="{inside}" title="report" sandbox="allow-same-origin" '
            'style="width: 100%; height: 75vh; border: 1px solid #8888; border-radius: 6px"></iframe>'
        )

    def __repr__(self) -> str:
        said = f"{len(self.warnings)} warning{'s' * (len(self.warnings) != 1)}"
        return f"<Report: {said}, {len(self.numbers)} numbers, {len(self.html) / 1e6:.1f} MB>"


def report(
    net: Network, X: Any = None, *, log: Any = None, labels: npt.ArrayLike | None = None, truth: npt.ArrayLike | None = None,
    k: int | None = None, seed: int = 0, shape: tuple[int, int, int] | None = None, title: str | None = None,
    source: str | None = None, command: Sequence[str] | None = None,
) -> Report:  # fmt: skip
    """A report about a network: what it is, how good it is on rows X, what stands out.

    X: rows as the network takes them (rows, inputs); a Table of `load_table`; a DataFrame, a dict of arrays or the path of a CSV
    file, of which plain networks read numbers, divided by the scale and without the label column that the model notes. None:
    what is known without rows.

    - log: what `train(log=...)` wrote (.csv or .jsonl), or the History that `train` returned.
    - labels: of the rows (rows,), for colours and classes; None: the label column of X, if there is one.
    - truth: (rows, truths), of networks that predict something else than their rows.
    - k: also the importance-sampled log-likelihood from so many draws.
    - seed: of draws, and of the rows that pictures show when there are more than they hold (5,000 in a scatter, 2,000 in
      comparisons).
    - shape: (channels, height, width) of a row that is an image, if the cfg does not say it.
    - title: of the page; None: the file's name. source: what the page calls X. command: words of the command that repeats it.

    Errors: `MissingPackageError` without matplotlib and jinja2; `FormatError` for a log that is none, and those of reading X.
    What cannot be computed for this network is left out, and the page says why."""
    from .network import Network
    from .reporting import about, contents, sections
    from .reporting.findings import findings
    from .reporting.model import describe
    from .reporting.numbers import headline, numbers
    from .reporting.page import Section, render, web
    from .reporting.rows import read_rows
    from .reporting.study import study

    need_packages()
    if not isinstance(net, Network):
        raise errors.UsageError(f"a report is about a Network, not a {type(net).__name__}; estimators have one as .network_")
    rows = None if X is None else read_rows(net, X, labels, truth, source)
    model = describe(net, shape)
    s = study(net, model, rows, log, seed, k)
    found = findings(s)
    measured = numbers(s)
    parts = [
        contents.training, contents.latent, contents.reconstructions, sections.predictions, sections.drawn, sections.unusual,
        about.columns, about.network_section,
    ]  # fmt: skip
    made = [Section("numbers", "Numbers", intro=_numbers_intro(s))] if measured else []
    made += [section for section in (part(s) for part in parts) if section.blocks]
    made.append(about.repeat(s, X, log, command))
    made[-1].blocks += about.left_out(s)
    page = render(
        "report.html", title=title or model.name, sentence=model.sentence, training=_trained(s), facts=headline(s),
        findings=found,
        fine=_fine(s), sections=made, numbers=measured, version=__version__,
        style=web("base.css") + web("report.css"),
    )  # fmt: skip
    said = [str(finding) for finding in found if finding.level != "note"]
    notes = [str(finding) for finding in found if finding.level == "note"]
    return Report(page, said, notes, [(n.name, n.value, n.unit, n.meaning) for n in measured], list(dict.fromkeys(s.left_out)))


def need_packages() -> None:
    import importlib.util

    for name in ("matplotlib", "jinja2"):
        if importlib.util.find_spec(name) is None:
            raise errors.MissingPackageError(f"reports need {name}: pip install 'darknet-vae[report]'")


def _numbers_intro(s: Study) -> str:
    rows = s.rows
    assert rows is not None
    where = f"Means over the {len(rows):,} rows of {rows.source}" if len(rows) > 1 else f"Of the one row of {rows.source}"
    if rows.weights is not None:
        where += f", weighted by column '{s.net.row_weight}'"
    return (
        f"{where}, with the finished network. A nat is 1.44 bits. If the network was trained on these rows, new rows fare worse."
    )


def _fine(s: Study) -> str:
    looked = ["latents", "fit", "data"] if s.rows is not None else ["the network"]
    if s.log is not None:
        looked.append("the course of the training")
    missing = [] if s.rows is not None else ["rows (-data)"]
    missing += [] if s.log is not None else ["the training's log (-log)"]
    more = f" Give {' and '.join(missing)} to have more looked at." if missing else ""
    return f"Nothing stands out in {', '.join(looked[:-1])}{' and ' * (len(looked) > 1)}{looked[-1]}.{more}"


def _trained(s: Study) -> str:
    """One sentence about the training."""
    parts: list[str] = []
    epochs = s.epochs.get("epoch")
    if epochs is not None and len(epochs):
        last = int(epochs[-1]) if np.isfinite(epochs[-1]) else len(epochs)
        parts.append(f"{last:,} epoch{'s' * (last != 1)} in the log")
        seconds = s.epochs.get("seconds")
        if seconds is not None and np.isfinite(seconds[-1]):
            parts[-1] += f", {seconds[-1]:.3g} seconds"
    if s.net.seen:
        parts.append(f"{s.net.seen:,} rows seen in training")
    noted = s.net.notes.losses
    if "total_loss" in noted and not epochs_known(s):
        parts.append(f"loss of the last epoch {noted['total_loss']:.5g}")
    return ("; ".join(parts) + ".") if parts else ""


def epochs_known(s: Study) -> bool:
    return bool(len(s.epochs.get("epoch", ())))
