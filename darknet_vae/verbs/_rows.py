"""The rows that a verb is given: which options say how they are read, and which of these a model of a table refuses."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any, NamedTuple

from . import found, option, warnings_as_lines

if TYPE_CHECKING:
    from ..network import Network


class Given(NamedTuple):
    """`X`: (rows, inputs), or a Frame for a network that knows the columns of a table, which has labels and names itself."""

    X: Any
    labels: Any = None
    names: list[str] | None = None


def pair(parser: argparse.ArgumentParser) -> None:
    """The two tables that a verb compares."""
    parser.add_argument("real", metavar="REAL.csv", help="the rows that a model learned from")
    parser.add_argument("synthetic", metavar="SYNTHETIC.csv", help="the rows that it drew")
    option(parser, "row-weight", metavar="C", help="the column of REAL.csv that says how much each row counts")


def reading(args: argparse.Namespace, net: Network, label: bool = False) -> dict[str, Any]:
    """How the rows are read: options of `load_table`, or of `Frame` for a network that knows columns. `label`: the verb has a
    use for -label-column there, too."""
    from .. import errors

    header = True if args.header else False if args.no_header else None
    options = {"header": header, "rows": args.N}
    if net.layers[0].type != "columns":
        targets = {"targets": args.target} if "target" in args else {}
        return {**options, "scale": args.scale, "label_column": args.label_column, **targets}
    given = {"-scale": args.scale, "-target": getattr(args, "target", None), "-label-column": not label and args.label_column}
    for name, value in given.items():
        if value:
            raise errors.UsageError(f"{name} is about rows of plain numbers; the model knows the columns of its table")
    return options


def rows(args: argparse.Namespace, net: Network, label: bool = False) -> Given:
    """The rows of the verb's file."""
    from ..data import load_known
    from ..tables import Frame

    options, path = reading(args, net, label), found(args.data)
    with warnings_as_lines(args):
        if net.schema is not None:
            return Given(Frame(path, **options))
        table = load_known(net, path, **options)
    return Given(table.X, table.labels, table.names)
