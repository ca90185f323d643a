"""`report`: one HTML page about a model."""

from __future__ import annotations

import argparse
import os
from typing import Any

from . import common, found, network, option, refuse_to_overwrite, say, shape, shape_option, warnings_as_lines
from ._rows import reading


def add(verbs: Any) -> None:
    text = "one HTML page about a model: numbers, warnings, pictures (extra: report)"
    sub = verbs.add_parser("report", help=text, description=text)
    sub.set_defaults(run=run)
    common(sub, data=True, weights=True)
    option(sub, "data", metavar="ROWS.csv", help="rows to compute numbers and pictures of")
    option(sub, "log", metavar="F", help="what train -log F wrote, for loss curves and what went wrong")
    option(sub, "output", "o", metavar="F.html", help="the page (default: the model's name with .html)")
    option(sub, "k", type=int, metavar="n", help="also the log-likelihood, from n draws of z per row")
    option(sub, "target", "targets", metavar="a,b", help="columns that were predicted, not data: names or indexes")
    shape_option(sub)
    option(sub, "title", metavar="T", help="title of the page (the model's name)")


def run(args: argparse.Namespace) -> int:
    from .. import errors
    from ..model_report import need_packages, report

    need_packages()
    output = args.output
    if output is None:
        output = os.path.splitext(os.path.basename(args.cfg))[0] + ".html"
    refuse_to_overwrite("-output", output, args.cfg, args.weights, args.data, args.log)
    if args.data is None and (args.label_column or args.target or args.N or args.k):
        raise errors.UsageError("-label-column, -target, -N and -k are about rows: give -data ROWS.csv too")
    net = network(args)
    rows = None if args.data is None else _rows(args, net)
    with warnings_as_lines(args):
        made = report(
            net, rows, log=args.log, k=args.k, seed=args.seed, shape=shape(args), title=args.title,
            command=["darknet-vae", *args.words],
        )  # fmt: skip
    output = made.save(output)
    if not args.quiet:
        for line in made.warnings:
            say(f"darknet-vae: {line}")
        if output != "-":
            say(f"saved {output}")
    return 0


def _rows(args: argparse.Namespace, net: Any) -> Any:
    from ..reporting.rows import read_rows

    source = "standard input" if args.data == "-" else os.path.basename(args.data)
    return read_rows(net, found(args.data), source=source, reading=reading(args, net))
