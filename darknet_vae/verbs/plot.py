"""`plot`: pictures with matplotlib."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from . import Parser, common, count, found, network, option, refuse_to_overwrite, say, shape, shape_option, warnings_as_lines
from ._rows import pair, rows

if TYPE_CHECKING:
    from ..network import Network

Draw = Callable[[argparse.Namespace], int]


def add(verbs: Any) -> None:
    plot = verbs.add_parser(
        "plot", help="pictures (extra: plot)", description="pictures with matplotlib (docs/plots.md shows them)"
    )
    kinds = plot.add_subparsers(title="pictures", metavar="PICTURE", required=True, parser_class=Parser)

    def picture(name: str, run: Draw, text: str) -> argparse.ArgumentParser:
        sub: argparse.ArgumentParser = kinds.add_parser(name, help=text, description=text)
        sub.set_defaults(run=run, picture=f"{name}.png")
        option(sub, "output", "o", metavar="F", help=f"the file to write: png, pdf or svg ({name}.png)")
        option(sub, "title", metavar="T", help="the title, instead of the picture's own")
        return sub

    def of_network(name: str, run: Draw, text: str, data: bool = False, weights: bool = True) -> argparse.ArgumentParser:
        sub = picture(name, run, text)
        common(sub, data, weights)
        shape_option(sub)
        return sub

    def of_rows(name: str, run: Draw, text: str, optional: bool = False) -> argparse.ArgumentParser:
        sub = of_network(name, run, text, data=True)
        sub.add_argument(
            "data", metavar="ROWS.csv", nargs="?" if optional else None, help="rows, or the table of a model's columns"
        )
        return sub

    sub = picture("curves", curves, "losses by epoch, beta and learning rate, from train -log F")
    sub.add_argument("log", metavar="LOG", help="as given to train -log: F.csv or F.jsonl")
    option(sub, "start", type=float, default=0, metavar="e", help="leave out the epochs before this one (0)")
    option(sub, "quiet", "q", action="store_true", help="print nothing")
    sub = of_network("training", training, "inputs and their outputs by epoch, from train -output F", weights=False)
    sub.add_argument("data", metavar="F", help="as given to train -output")
    option(sub, "columns", type=count, default=12, metavar="n", help="at most so many epochs (12)")
    sub = of_rows("latent", latent, "latent means of rows, coloured by label or by a column")
    option(sub, "by", metavar="C", help="colour by this column of the table, by name or index (the label column)")
    option(sub, "method", choices=("auto", "pca", "pairs", "umap"), default="auto", help="of more than two latents (auto: pca)")
    sub = of_network("manifold", manifold, "what is decoded over two latents, from -3 to 3")
    option(sub, "n", type=count, default=20, help="images, or points, along each side (20)")
    option(sub, "limit", type=float, default=3.0, metavar="x", help="from -x to x (3)")
    option(sub, "dims", metavar="a,b", default="0,1", help="which latents, from 0 on (in pictures from 1); others are 0 (0,1)")
    sub = of_network("samples", samples, "images drawn from the prior")
    option(sub, "n", type=count, default=64, help="how many (64)")
    sub = of_rows("reconstructions", reconstructions, "rows beside what the network makes of them")
    option(sub, "n", type=count, default=10, help="how many rows, the first ones (10)")
    sub = of_rows("traversals", traversals, "what each latent changes", optional=True)
    option(
        sub, "row", type=int, default=0, metavar="r", help="around this row of ROWS.csv, from 0 on (0); without rows, around 0"
    )
    option(sub, "dims", metavar="a,b,...", help="which latents, counted from 0 (default: all, sorted by KL)")
    option(sub, "steps", type=count, default=9, metavar="n", help="how many images of each (9)")
    option(sub, "span", type=float, default=3.0, metavar="x", help="from -x to x (3)")
    sub = of_rows("interpolation", interpolation, "what is decoded between two rows")
    option(sub, "between", metavar="a,b", default="0,1", help="the numbers of the two rows, from 0 on (0,1)")
    option(sub, "steps", type=count, default=9, metavar="n", help="how many steps, both ends included (9)")
    of_rows("kl", kl, "KL of each latent dimension, and which are active")
    sub = of_rows("scores", scores, "how unusual rows are, and the most unusual ones")
    option(sub, "top", type=count, default=10, metavar="n", help="how many of these (10)")
    option(sub, "k", type=int, metavar="k", help="importance samples of a row, as for score (ELBO)")
    for name, run, text in (("marginals", marginals, "columns of real and synthetic rows, one by one"),
                            ("correlations", correlations, "how columns go together in real and in synthetic rows")):  # fmt: skip
        sub = picture(name, run, text)
        pair(sub)
        option(sub, "quiet", "q", action="store_true", help="no warnings")
        if name == "marginals":
            option(sub, "columns", metavar="a,b", help="only these columns")


def _save(args: argparse.Namespace, draw: Callable[[Any], Any]) -> int:
    """Draw a picture and save it; refuses to overwrite an input."""
    from .. import plots

    path = args.picture if args.output is None else args.output
    names = ("cfg", "data", "weights", "log", "real", "synthetic")
    refuse_to_overwrite("-output", path, *(getattr(args, name, None) for name in names))
    figure = draw(plots)
    if args.title is not None:
        plots.set_title(figure, args.title)
    path = plots.save(figure, path)
    if not args.quiet:
        say(f"saved {path}")
    return 0


class _Data(NamedTuple):
    X: Any
    labels: Any
    label_name: str | None


def _rows(args: argparse.Namespace, net: Network, by: str | None = None) -> _Data:
    """The rows of the verb: numbers, or of a network that knows columns a table; and their labels, or the column `by`."""
    from .. import errors
    from ..plots import cells

    if net.schema is None:
        args.label_column = by or args.label_column
        read = rows(args, net)
        name = None if read.labels is None else args.label_column or net.label_column
        return _Data(read.X, read.labels, None if name is None or name.lstrip("-").isdecimal() else name)
    frame = rows(args, net, label=True).X
    given = by or args.label_column or next((column.name for column in net.schema.columns if column.kind == "label"), None)
    if given is None:
        return _Data(frame, None, None)
    names = frame.names
    if given not in names and given.lstrip("-").isdecimal() and -len(names) <= int(given) < len(names):
        given = names[int(given)]
    if given in names:
        return _Data(frame, cells(frame)[given].labels(), given)
    if by or args.label_column:
        import difflib

        near = difflib.get_close_matches(given, names, 1)
        raise errors.UsageError(f"{args.data}: there is no column '{given}'" + (f" (did you mean '{near[0]}'?)" if near else ""))
    return _Data(frame, None, None)


def _numbers(name: str, words: str, n: int | None = None) -> tuple[int, ...]:
    """Whole numbers from a list "a,b"; `n`: so many."""
    from .. import errors

    parts = words.split(",")
    if not all(part.strip().isdecimal() for part in parts) or n not in (None, len(parts)):
        raise errors.UsageError(f"-{name} {words}: wanted are {'whole' if n is None else n} numbers from 0 on, as in 0,1")
    return tuple(int(part) for part in parts)


def curves(args: argparse.Namespace) -> int:
    return _save(args, lambda plots: plots.curves(args.log, start=args.start))


def training(args: argparse.Namespace) -> int:
    form = shape(args)
    return _save(args, lambda plots: plots.training(network(args, weights_wanted=False), args.data, args.columns, form))


def latent(args: argparse.Namespace) -> int:
    def draw(plots: Any) -> Any:
        net = network(args)
        X, labels, name = _rows(args, net, args.by)
        with warnings_as_lines(args):
            return plots.latent(net.encode(X)[0], labels, method=args.method, label_name=name)

    return _save(args, draw)


def manifold(args: argparse.Namespace) -> int:
    form, dims = shape(args), _numbers("dims", args.dims, 2)
    return _save(args, lambda plots: plots.manifold(network(args), args.n, args.limit, form, dims))


def samples(args: argparse.Namespace) -> int:
    form = shape(args)
    return _save(args, lambda plots: plots.samples(network(args), args.n, args.seed, shape=form))


def _of_rows(args: argparse.Namespace, draw: Callable[[Any, Network, Any], Any]) -> int:
    """A picture of a network and rows."""

    def drawn(plots: Any) -> Any:
        net = network(args)
        X = None if args.data is None else _rows(args, net).X
        with warnings_as_lines(args):
            return draw(plots, net, X)

    return _save(args, drawn)


def reconstructions(args: argparse.Namespace) -> int:
    form = shape(args)
    return _of_rows(args, lambda plots, net, X: plots.reconstructions(net, X, args.n, form))


def traversals(args: argparse.Namespace) -> int:
    form, dims = shape(args), None if args.dims is None else _numbers("dims", args.dims)
    return _of_rows(args, lambda plots, net, X: plots.traversals(net, X, args.row, dims, args.steps, args.span, form))


def interpolation(args: argparse.Namespace) -> int:
    form, rows = shape(args), _numbers("between", args.between, 2)
    return _of_rows(args, lambda plots, net, X: plots.interpolation(net, X, rows, args.steps, form))


def kl(args: argparse.Namespace) -> int:
    return _of_rows(args, lambda plots, net, X: plots.kl(net, X))


def scores(args: argparse.Namespace) -> int:
    return _of_rows(args, lambda plots, net, X: plots.scores(net.score_rows(X, k=args.k), net=net, X=X, top=args.top))


def marginals(args: argparse.Namespace) -> int:
    columns = None if args.columns is None else [name.strip() for name in args.columns.split(",")]

    def draw(plots: Any) -> Any:
        with warnings_as_lines(args):
            return plots.marginals(found(args.real), found(args.synthetic), columns, row_weight=args.row_weight)

    return _save(args, draw)


def correlations(args: argparse.Namespace) -> int:
    def draw(plots: Any) -> Any:
        with warnings_as_lines(args):
            return plots.correlations(found(args.real), found(args.synthetic), row_weight=args.row_weight)

    return _save(args, draw)
