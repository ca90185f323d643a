"""`report-synthetic`: synthetic rows beside real ones."""

from __future__ import annotations

import argparse
from typing import Any

from . import option
from ._rows import pair


def add(verbs: Any) -> None:
    text = "how much synthetic rows are like real ones, and whether they are copies"
    sub = verbs.add_parser("report-synthetic", help=text, description=text)
    sub.set_defaults(run=run)
    pair(sub)
    option(sub, "holdout", metavar="HOLDOUT.csv", help="real rows that it did not learn from")
    option(sub, "target", metavar="C", help="a column to predict by models trained on either (extra: sklearn)")
    option(sub, "json", action="store_true", help="all numbers as JSON")
    option(sub, "seed", type=int, default=0, help="of the rows whose distances are computed, of large tables (0)")


def run(args: argparse.Namespace) -> int:
    import json

    from ..synthetic_report import report_synthetic

    report = report_synthetic(args.real, args.synthetic, args.holdout, args.target, seed=args.seed, row_weight=args.row_weight)
    print(json.dumps(report.to_dict(), indent=1, allow_nan=False) if args.json else report)
    return 0
