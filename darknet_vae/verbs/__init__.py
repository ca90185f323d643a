"""The verbs of `darknet-vae` that need Python, a module each with `add` (its parser) and `run`; here is what they share."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:  # numpy and the core are imported where they are needed
    from ..network import Network

NAMES: set[str] = set()
"""The options of all verbs, with their dashes."""


class Parser(argparse.ArgumentParser):
    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:  # one line
        self.exit(2, f"darknet-vae: {message} ({self.prog} --help explains)\n")


def say(text: str) -> None:
    """A line on standard error; on a terminal, a long one goes on, indented, where a word begins."""
    if sys.stderr is not None and sys.stderr.isatty():
        import shutil
        import textwrap

        width = shutil.get_terminal_size().columns
        text = textwrap.fill(text, width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
    print(text, file=sys.stderr)


def count(word: str, most: int = 10_000) -> int:
    """The type of an option that counts, from 1 on."""
    if not word.isdecimal() or not 0 < int(word) <= most:
        raise argparse.ArgumentTypeError(f"'{word}' must be a whole number from 1 to {most}")
    return int(word)


def option(parser: argparse._ActionsContainer, *names: str, **options: Any) -> None:
    """An option under each name with one dash and with two."""
    spellings = [dash + name for name in names for dash in ("-", "--")]
    NAMES.update(spellings)
    parser.add_argument(*spellings, dest=names[0].replace("-", "_"), **options)


def common(parser: argparse.ArgumentParser, data: bool, weights: bool) -> None:
    """CFG and what all verbs with a network take; `data`: they read rows of a CSV, `weights`: trained parameters."""
    parser.add_argument("cfg", metavar="CFG", help="the network: a cfg, or a model file")
    if weights:
        option(parser, "weights", "w", metavar="W", help="the trained parameters (.weights, .safetensors)")
        option(parser, "random", action="store_true", help="run without -weights, with random parameters")
    option(parser, "set", action="append", metavar="s.key=v", help="set a key of the cfg: net.batch=8, sampling.beta=0.5")
    option(parser, "seed", type=int, default=0, help="seed of all random numbers (0)")
    option(parser, "threads", type=int, help="number of threads (default: all this process may use)")
    option(parser, "batch", type=int, help="rows per pass, instead of the cfg's")
    option(parser, "i", "gpu", type=int, metavar="N", help="use GPU N (default: the first, if the network gains)")
    option(parser, "nogpu", "cpu", action="store_true", help="use the CPU")
    option(parser, "precision", choices=["float32", "tf32", "bf16"], help="of matrix products on a GPU (float32)")
    option(parser, "quiet", "q", action="store_true", help="no progress, no warnings")
    if data:
        option(parser, "N", "rows", type=int, metavar="n", help="only the first n rows of the CSV")
        option(parser, "scale", type=float, help="divide the CSV's values by this (cfg: data_scale)")
        option(parser, "label-column", metavar="C", help="a column, by name or index, that is not data (cfg: label_column)")
        option(parser, "header", action="store_true", help="the first row of the CSV names the columns")
        option(parser, "no-header", action="store_true", help="the first row of the CSV is data")


def found(name: str) -> str:
    """A file by its path, or a bundled one by its name."""
    from ..data import bundled
    from ..errors import MissingFileError

    if os.path.exists(name):
        return name
    try:
        return bundled(name)
    except MissingFileError:
        return name


@contextmanager
def warnings_as_lines(args: argparse.Namespace) -> Iterator[None]:
    import warnings

    with warnings.catch_warnings(record=True) as met:
        warnings.simplefilter("always")
        yield
    for warning in met if not args.quiet else ():
        say(f"darknet-vae: warning: {warning.message}")


def keys(words: list[str]) -> dict[str, str]:
    """section.key=value, each."""
    from .. import errors

    for word in words:
        if "=" not in word:
            raise errors.UsageError(f"-set '{word}' must be section.key=value")
    return dict(word.split("=", 1) for word in words)


def network(args: argparse.Namespace, weights_wanted: bool = True) -> Network:
    """The network that CFG, -weights and the common options name."""
    from .. import errors
    from ..network import Network, is_model_file

    device = "cpu" if args.nogpu else "auto" if args.i is None else f"cuda:{args.i}"
    file = found(args.cfg)
    with warnings_as_lines(args):
        net = Network(file, seed=args.seed, device=device, batch=args.batch, threads=args.threads,
                      precision=args.precision, set=keys(args.set or []))  # fmt: skip
    if not args.quiet and net.device != "cpu":
        say(f"darknet-vae: computing on {net.device}")
    if not weights_wanted:
        return net
    if args.weights:
        net.load_weights(args.weights)
    elif not args.random and net.n_params and not is_model_file(file):
        raise errors.UsageError(
            "wanted are the trained parameters: -weights W, or a model file in place of CFG (or -random, to run without)"
        )
    return net


def shape_option(parser: argparse._ActionsContainer) -> None:
    option(parser, "shape", metavar="CxHxW", help="shape of an image, if the cfg does not give it")


def shape(args: argparse.Namespace) -> Any:
    """-shape CxHxW as (channels, height, width), or None."""
    from .. import errors

    if args.shape is None:
        return None
    parts = args.shape.lower().split("x")
    if len(parts) != 3 or not all(p.isdecimal() and int(p) > 0 for p in parts):
        raise errors.UsageError(f"-shape: '{args.shape}' is not CxHxW, as in 1x28x28")
    return tuple(int(p) for p in parts)


def same(a: str, b: str | None) -> bool:
    return bool(b) and os.path.exists(a) and os.path.exists(str(b)) and os.path.samefile(a, str(b))


def refuse_to_overwrite(option: str, path: str, *inputs: str | None) -> None:
    """An output must not replace a file that is read."""
    from .. import errors

    if not path:
        raise errors.UsageError(f"{option} '' must not be empty")
    for read in inputs:
        if same(path, read):
            raise errors.UsageError(f"{option} {path} would overwrite {read}, which is read")
