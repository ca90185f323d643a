"""The result of Network.check: one comparison per line, and a sentence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ._lib import lib, text

__all__ = ["Check", "Comparison"]


@dataclass(frozen=True)
class Comparison:
    """One line of a check. `what`: a tensor's name, a half of a sampling layer's input, a term; `compared_with`: "differences" of
    what training descends, a "formula" in double precision, an "sgd step" (rate * gradient / rows), the "training step" that
    layers may fuse, the same two of the network's own optimiser ("optimizer", "opt. training"), or a "separate pass". Of a whole
    batch, `what` ends with its rows, such as ", n=32"."""

    layer: int | None
    """None: of the whole network"""
    type: str
    what: str
    compared_with: str
    values: int
    """how many were compared"""
    error: float
    """the worst, relative, beyond what rounding explains"""
    tolerance: float
    found: float
    expected: float
    ok: bool | None
    """None: rounding or kinks hide every value"""


class Check(list[Comparison]):
    """All comparisons of a network's check, a list; true if none has failed."""

    def __init__(self, comparisons: list[Comparison], summary: str) -> None:
        super().__init__(comparisons)
        self.summary = summary
        """one sentence"""

    @property
    def failed(self) -> list[Comparison]:
        """Those that found something wrong."""
        return [one for one in self if one.ok is False]

    @property
    def ok(self) -> bool:
        """Nothing is wrong; also what `if net.check(X)` asks."""
        return not self.failed

    def __bool__(self) -> bool:
        return self.ok

    def __repr__(self) -> str:
        return self.summary

    def _repr_html_(self) -> str:
        """In notebooks: the comparisons as a table."""
        from . import _html

        return _html.checks(self)

    @classmethod
    def _of(cls, checks: Any) -> Check:
        lines = [checks.lines[i] for i in range(checks.n)]
        comparisons = [
            Comparison(
                None if one.layer < 0 else int(one.layer), text(one.type), text(one.what), text(one.against),
                int(one.values), float(one.error), float(one.tolerance), float(one.found), float(one.expected),
                None if one.ok < 0 else bool(one.ok),
            )
            for one in lines
        ]  # fmt: skip
        summary = text(checks.summary)
        lib.dn_checks_free(checks)
        return cls(comparisons, summary)
