"""`dataset`: data sets as CSV."""

from __future__ import annotations

import argparse
from typing import Any

from . import option, say


def add(verbs: Any) -> None:
    sub = verbs.add_parser("dataset", help="MNIST, Fashion-MNIST or the digits as CSV", description="data sets as CSV")
    sub.set_defaults(run=run)
    sub.add_argument("name", choices=("mnist", "fashion_mnist", "digits"))
    option(sub, "output", "o", metavar="FILE.csv", required=True, help="the CSV to write")
    option(sub, "rows", "N", type=int, metavar="n", help="only the first n rows")
    option(sub, "split", choices=("train", "test"), default="train", help="which part of the data set (train)")
    option(sub, "from", metavar="DIR", help="convert the IDX files in DIR, without downloading")
    option(sub, "quiet", "q", action="store_true", help="print nothing")


def run(args: argparse.Namespace) -> int:
    from ..datasets import write_csv

    rows = write_csv(args.name, args.output, args.rows, args.split, getattr(args, "from"))
    if not args.quiet:
        say(f"saved {args.output}: {rows} rows")
    return 0
