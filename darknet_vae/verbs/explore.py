"""`explore`: the latent space in the browser."""

from __future__ import annotations

import argparse
import os
from functools import partial
from typing import Any

from . import common, count, found, network, option, refuse_to_overwrite, say, shape, table, warnings_as_lines


def _port(word: str) -> int:
    if not word.isdecimal() or int(word) > 65535:
        raise argparse.ArgumentTypeError(f"'{word}' must be a port, from 1 to 65535")
    return int(word)


def add(verbs: Any) -> None:
    text = "the latent space in the browser: rows as points, latents decoded live"
    sub = verbs.add_parser("explore", help=text, description=text)
    sub.set_defaults(run=run)
    common(sub, data=True, weights=True)
    option(sub, "data", metavar="ROWS.csv", help="the rows that are shown as points")
    option(sub, "output", "o", metavar="F.html", help="write the page to this file instead; it works without a server")
    option(sub, "points", type=partial(count, most=1_000_000), default=10_000, metavar="n",
           help="rows at most; of more, so many at random (10000)")  # fmt: skip
    option(sub, "port", type=_port, default=0, metavar="n", help="of the local server (default: a free one)")
    option(sub, "no-browser", action="store_true", help="only print the address")
    option(sub, "shape", metavar="CxHxW", help="shape of an image, if the cfg does not give it")


def rows(args: argparse.Namespace, net: Any) -> tuple[Any, Any, Any]:
    """The rows of -data: themselves, their labels, the names of their columns."""
    if args.data is None:
        return None, None, None
    if net.schema is None:
        plain = table(args, net)
        return plain.X, plain.labels, plain.names
    from ..tables import Frame

    with warnings_as_lines(args):
        return Frame(found(args.data)), None, None


def run(args: argparse.Namespace) -> int:
    from .. import errors
    from ..explorer import LARGE, explore

    if args.output is not None:
        refuse_to_overwrite("-output", args.output, args.cfg, args.data, args.weights)
    form = shape(args)
    net = network(args)
    if net.schema is not None and args.label_column:
        raise errors.UsageError("-label-column: a model of a table knows its columns")
    X, labels, names = rows(args, net)
    with warnings_as_lines(args):
        made = explore(net, X, labels, output=args.output, port=args.port, browser=not args.no_browser, points=args.points,
                       seed=args.seed, names=names, shape=form, quiet=args.quiet, rows=args.N)  # fmt: skip
    if args.output is not None and args.output != "-" and not args.quiet:
        size, weights = os.path.getsize(made), net.n_params * 4 * 4 / 3
        parts = f"large for a browser: the network {weights / 1e6:.0f} MB, rows {max(size - weights, 0) / 1e6:.0f} MB (-points)"
        say(f"saved {made}: {size / 1e6:.1f} MB{f', {parts}' if size > LARGE else ''}")
    return 0
