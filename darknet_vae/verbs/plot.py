"""`plot`: pictures with matplotlib."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from . import Parser, common, count, network, option, refuse_to_overwrite, shape, table


def add(verbs: Any) -> None:
    plot = verbs.add_parser("plot", help="pictures (extra: plot)", description="pictures with matplotlib")
    kinds = plot.add_subparsers(title="pictures", metavar="PICTURE", required=True, parser_class=Parser)

    def picture(
        name: str, run: Callable[[argparse.Namespace], int], text: str, data: bool = False, weights: bool = True
    ) -> argparse.ArgumentParser:
        sub: argparse.ArgumentParser = kinds.add_parser(name, help=text, description=text)
        sub.set_defaults(run=run, picture=f"{name}.png")
        common(sub, data, weights)
        option(sub, "output", "o", metavar="F", help="output file: png, pdf or svg")
        option(sub, "shape", metavar="CxHxW", help="shape of an image, if the cfg does not give it")
        return sub

    sub = picture("training", training, "inputs above outputs by epoch, from train -output F", weights=False)
    sub.add_argument("data", metavar="F", help="as given to train -output")
    sub = picture("latent", latent, "the latent means, coloured by label", data=True)
    sub.add_argument("data", metavar="ROWS.csv")
    sub = picture("manifold", manifold, "decoded images over two latents from -3 to 3")
    option(sub, "n", type=count, default=20, help="images along each side (20)")
    sub = picture("samples", samples, "images drawn from the prior")
    option(sub, "n", type=count, default=64, help="how many (64)")


def _save(args: argparse.Namespace, draw: Callable[[Any], Any]) -> int:
    """Draw a picture and save it; refuses to overwrite an input."""
    import sys

    from .. import plots

    path = args.picture if args.output is None else args.output
    refuse_to_overwrite("-output", path, args.cfg, getattr(args, "data", None), getattr(args, "weights", None))
    path = plots.save(draw(plots), path)
    if not args.quiet:
        print(f"saved {path}", file=sys.stderr)
    return 0


def training(args: argparse.Namespace) -> int:
    form = shape(args)
    return _save(args, lambda plots: plots.training(network(args, weights_wanted=False), args.data, shape=form))


def latent(args: argparse.Namespace) -> int:
    def draw(plots: Any) -> Any:
        net = network(args)
        rows = table(args, net)
        return plots.latent(net.encode(rows.X)[0], rows.labels)

    return _save(args, draw)


def manifold(args: argparse.Namespace) -> int:
    form = shape(args)
    return _save(args, lambda plots: plots.manifold(network(args), args.n, shape=form))


def samples(args: argparse.Namespace) -> int:
    form = shape(args)
    return _save(args, lambda plots: plots.samples(network(args), args.n, args.seed, shape=form))
