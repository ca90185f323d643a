"""`explore`: the latent space in the browser."""

from __future__ import annotations

import argparse
import os
from functools import partial
from typing import Any

from . import common, count, network, option, refuse_to_overwrite, say, shape, shape_option, warnings_as_lines
from ._rows import Given, rows


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
    shape_option(sub)


def run(args: argparse.Namespace) -> int:
    from ..explorer import LARGE, explore

    if args.output is not None:
        refuse_to_overwrite("-output", args.output, args.cfg, args.data, args.weights)
    form = shape(args)
    net = network(args)
    given = Given(None) if args.data is None else rows(args, net)
    with warnings_as_lines(args):
        made = explore(net, given.X, given.labels, output=args.output, port=args.port, browser=not args.no_browser,
                       points=args.points, seed=args.seed, names=given.names, shape=form, quiet=args.quiet)  # fmt: skip
    if args.output is not None and args.output != "-" and not args.quiet:
        size, weights = os.path.getsize(made), net.n_params * 4 * 4 / 3
        parts = f"large for a browser: the network {weights / 1e6:.0f} MB, rows {max(size - weights, 0) / 1e6:.0f} MB (-points)"
        say(f"saved {made}: {size / 1e6:.1f} MB{f', {parts}' if size > LARGE else ''}")
    return 0
