"""The command line `darknet-vae`: pictures, exports, data sets and reports are made here; the native binary does all else.

`darknet-vae train ...` becomes the program `darknet` that was installed with the package (os.execv), so both have the same
options, messages, signals and exit codes.
"""

from __future__ import annotations

import argparse
import os
import sys
import sysconfig
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from ._version import __version__

if TYPE_CHECKING:  # numpy and the core are imported where they are needed
    from .data import Table
    from .network import Network

_HERE = ("plot", "export", "dataset", "report-synthetic")
"""The verbs that need Python."""
_NAMES: set[str] = set()  # of all options, with their dashes


class Parser(argparse.ArgumentParser):
    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:  # one line
        self.exit(2, f"darknet-vae: {message} ({self.prog} --help explains)\n")


def _count(word: str) -> int:
    if not word.isdecimal() or not 0 < int(word) <= 10_000:
        raise argparse.ArgumentTypeError(f"'{word}' must be a whole number from 1 to 10000")
    return int(word)


def _option(parser: argparse._ActionsContainer, *names: str, **options: Any) -> None:
    """An option under each name with one dash and with two."""
    spellings = [dash + name for name in names for dash in ("-", "--")]
    _NAMES.update(spellings)
    parser.add_argument(*spellings, dest=names[0].replace("-", "_"), **options)


def _common(parser: argparse.ArgumentParser, data: bool, weights: bool) -> None:
    parser.add_argument("cfg", metavar="CFG", help="the network: a cfg, or a model file")
    if weights:
        _option(parser, "weights", "w", metavar="W", help="the trained parameters (.weights, .safetensors)")
        _option(parser, "random", action="store_true", help="run without -weights, with random parameters")
    _option(parser, "set", action="append", metavar="s.key=v", help="set a key of the cfg: net.batch=8, sampling.beta=0.5")
    _option(parser, "seed", type=int, default=0, help="seed of all random numbers (0)")
    _option(parser, "threads", type=int, help="number of threads (default: all this process may use)")
    _option(parser, "batch", type=int, help="rows per pass, instead of the cfg's")
    _option(parser, "i", "gpu", type=int, metavar="N", help="use GPU N (default: the first, if the network gains)")
    _option(parser, "nogpu", "cpu", action="store_true", help="use the CPU")
    _option(parser, "precision", choices=["float32", "tf32", "bf16"], help="of matrix products on a GPU (float32)")
    _option(parser, "quiet", "q", action="store_true", help="no progress, no warnings")
    if data:
        _option(parser, "N", "rows", type=int, metavar="n", help="only the first n rows of the CSV")
        _option(parser, "scale", type=float, help="divide the CSV's values by this (cfg: data_scale)")
        _option(parser, "label-column", metavar="C", help="a column, by name or index, that is not data (cfg: label_column)")
        _option(parser, "header", action="store_true", help="the first row of the CSV names the columns")
        _option(parser, "no-header", action="store_true", help="the first row of the CSV is data")


def parser() -> argparse.ArgumentParser:
    top = Parser(prog="darknet-vae", description="Autoencoders and variational autoencoders on a Darknet core.")
    verbs = top.add_subparsers(title="verbs", metavar="VERB", required=True, parser_class=Parser)
    plot = verbs.add_parser("plot", help="pictures (extra: plot)", description="pictures with matplotlib")
    kinds = plot.add_subparsers(title="pictures", metavar="PICTURE", required=True, parser_class=Parser)

    def picture(
        name: str, run: Callable[[argparse.Namespace], int], text: str, data: bool = False, weights: bool = True
    ) -> argparse.ArgumentParser:
        sub: argparse.ArgumentParser = kinds.add_parser(name, help=text, description=text)
        sub.set_defaults(run=run, picture=f"{name}.png")
        _common(sub, data, weights)
        _option(sub, "output", "o", metavar="F", help="output file: png, pdf or svg")
        _option(sub, "shape", metavar="CxHxW", help="shape of an image, if the cfg does not give it")
        return sub

    sub = picture("training", plot_training, "inputs above outputs by epoch, from train -output F", weights=False)
    sub.add_argument("data", metavar="F", help="as given to train -output")
    sub = picture("latent", plot_latent, "the latent means, coloured by label", data=True)
    sub.add_argument("data", metavar="ROWS.csv")
    sub = picture("manifold", plot_manifold, "decoded images over two latents from -3 to 3")
    _option(sub, "n", type=_count, default=20, help="images along each side (20)")
    sub = picture("samples", plot_samples, "images drawn from the prior")
    _option(sub, "n", type=_count, default=64, help="how many (64)")

    sub = verbs.add_parser("export", help="the network for C, ONNX, PyTorch or NumPy", description="a network for other programs")
    sub.set_defaults(run=export)
    _common(sub, data=False, weights=True)
    forms = sub.add_mutually_exclusive_group(required=True)
    _option(forms, "c", metavar="F.c", help="one C99 file without dependencies, and its header")
    _option(forms, "onnx", metavar="F.onnx", help="F_encoder.onnx and F_decoder.onnx (extra: export)")
    _option(forms, "pytorch", metavar="F.py", help="a file of modules, and their parameters as F.npz (and F.pt where torch is)")
    _option(forms, "npz", metavar="F.npz", help="every parameter by layer and name")
    _option(sub, "part", choices=("encoder", "decoder", "both"), default="both", help="of -c: which functions (both)")

    sub = verbs.add_parser("dataset", help="MNIST, Fashion-MNIST or the digits as CSV", description="data sets as CSV")
    sub.set_defaults(run=dataset)
    sub.add_argument("name", choices=("mnist", "fashion_mnist", "digits"))
    _option(sub, "output", "o", metavar="FILE.csv", required=True, help="the CSV to write")
    _option(sub, "rows", "N", type=int, metavar="n", help="only the first n rows")
    _option(sub, "split", choices=("train", "test"), default="train", help="which part of the data set (train)")
    _option(sub, "from", metavar="DIR", help="convert the IDX files in DIR, without downloading")
    _option(sub, "quiet", "q", action="store_true", help="print nothing")

    text = "how much synthetic rows are like real ones, and whether they are copies"
    sub = verbs.add_parser("report-synthetic", help=text, description=text)
    sub.set_defaults(run=report_synthetic)
    sub.add_argument("real", metavar="REAL.csv", help="the rows that a model learned from")
    sub.add_argument("synthetic", metavar="SYNTHETIC.csv", help="the rows that it drew")
    _option(sub, "holdout", metavar="HOLDOUT.csv", help="real rows that it did not learn from")
    _option(sub, "target", metavar="C", help="a column to predict by models trained on either (extra: sklearn)")
    _option(sub, "json", action="store_true", help="all numbers as JSON")
    _option(sub, "seed", type=int, default=0, help="of the rows whose distances are computed, of large tables (0)")
    return top


# ---- what the verbs share


def _found(name: str) -> str:
    """A file by its path, or a bundled one by its name."""
    from .data import bundled
    from .errors import MissingFileError

    if os.path.exists(name):
        return name
    try:
        return bundled(name)
    except MissingFileError:
        return name


@contextmanager
def _warnings_as_lines(args: argparse.Namespace) -> Iterator[None]:
    import warnings

    with warnings.catch_warnings(record=True) as met:
        warnings.simplefilter("always")
        yield
    for warning in met if not args.quiet else ():
        print(f"darknet-vae: warning: {warning.message}", file=sys.stderr)


def _keys(words: list[str]) -> dict[str, str]:
    """section.key=value, each."""
    from . import errors

    for word in words:
        if "=" not in word:
            raise errors.UsageError(f"-set '{word}' must be section.key=value")
    return dict(word.split("=", 1) for word in words)


def _network(args: argparse.Namespace, weights_wanted: bool = True) -> Network:
    from . import errors
    from .network import Network, is_model_file

    device = "cpu" if args.nogpu else "auto" if args.i is None else f"cuda:{args.i}"
    found = _found(args.cfg)
    with _warnings_as_lines(args):
        net = Network(found, seed=args.seed, device=device, batch=args.batch, threads=args.threads,
                      precision=args.precision, set=_keys(args.set or []))  # fmt: skip
    if not args.quiet and net.device != "cpu":
        print(f"darknet-vae: computing on {net.device}", file=sys.stderr)
    if not weights_wanted:
        return net
    if args.weights:
        net.load_weights(args.weights)
    elif not args.random and net.n_params and not is_model_file(found):
        raise errors.UsageError(
            "the picture needs the trained parameters: -weights W, or a model file in place of CFG (or -random, to run without)"
        )
    return net


def _table(args: argparse.Namespace, net: Network) -> Table:
    from .data import load_table

    scale = args.scale if args.scale is not None else net.data_scale
    header = True if args.header else False if args.no_header else None
    with _warnings_as_lines(args):
        return load_table(_found(args.data), args.label_column or net.label_column, scale, args.N, net.inputs,
                           label_optional=not args.label_column, header=header)  # fmt: skip


# ---- the verbs


def _shape(args: argparse.Namespace) -> Any:
    from . import errors

    if args.shape is None:
        return None
    parts = args.shape.lower().split("x")
    if len(parts) != 3 or not all(p.isdecimal() and int(p) > 0 for p in parts):
        raise errors.UsageError(f"-shape: '{args.shape}' is not CxHxW, as in 1x28x28")
    return tuple(int(p) for p in parts)


def _same(a: str, b: str | None) -> bool:
    return bool(b) and os.path.exists(a) and os.path.exists(str(b)) and os.path.samefile(a, str(b))


def _picture(args: argparse.Namespace, draw: Callable[[Any], Any]) -> int:
    """Draw a picture and save it; refuses to overwrite an input."""
    from . import errors, plots

    path = args.picture if args.output is None else args.output
    if not path:
        raise errors.UsageError("-output '' must not be empty")
    for read in (args.cfg, getattr(args, "data", None), getattr(args, "weights", None)):
        if _same(path, read):
            raise errors.UsageError(f"-output {path} would overwrite {read}, which is read")
    path = plots.save(draw(plots), path)
    if not args.quiet:
        print(f"saved {path}", file=sys.stderr)
    return 0


def plot_training(args: argparse.Namespace) -> int:
    shape = _shape(args)
    return _picture(args, lambda plots: plots.training(_network(args, weights_wanted=False), args.data, shape=shape))


def plot_latent(args: argparse.Namespace) -> int:
    def draw(plots: Any) -> Any:
        net = _network(args)
        table = _table(args, net)
        return plots.latent(net.encode(table.X)[0], table.labels)

    return _picture(args, draw)


def plot_manifold(args: argparse.Namespace) -> int:
    shape = _shape(args)
    return _picture(args, lambda plots: plots.manifold(_network(args), args.n, shape=shape))


def plot_samples(args: argparse.Namespace) -> int:
    shape = _shape(args)
    return _picture(args, lambda plots: plots.samples(_network(args), args.n, args.seed, shape=shape))


def export(args: argparse.Namespace) -> int:
    from . import errors
    from . import export as forms

    form = next(name for name in ("c", "onnx", "pytorch", "npz") if getattr(args, name))
    path = getattr(args, form)
    for read in (args.cfg, args.weights):
        if _same(path, read):
            raise errors.UsageError(f"-{form} {path} would overwrite {read}, which is read")
    if form != "c" and args.part != "both":
        raise errors.UsageError("-part is for -c")
    net = _network(args)
    written = forms.c(net, path, args.part) if form == "c" else getattr(forms, form)(net, path)
    if not args.quiet:
        print(f"saved {', '.join(written)}", file=sys.stderr)
    return 0


def dataset(args: argparse.Namespace) -> int:
    from .datasets import write_csv

    rows = write_csv(args.name, args.output, args.rows, args.split, getattr(args, "from"))
    if not args.quiet:
        print(f"saved {args.output}: {rows} rows", file=sys.stderr)
    return 0


def report_synthetic(args: argparse.Namespace) -> int:
    import json

    from .synthetic_report import report_synthetic as compared

    report = compared(args.real, args.synthetic, args.holdout, args.target, seed=args.seed)
    print(json.dumps(report.to_dict(), indent=1, allow_nan=False) if args.json else report)
    return 0


# ---- all other verbs: run by the native binary


def binary() -> str | None:
    """The program `darknet` that was installed with this package, or None."""
    package = Path(__file__).resolve().parent
    folders = [sysconfig.get_path("scripts")]
    if user := sysconfig.get_preferred_scheme("user"):  # pip install --user
        folders.append(sysconfig.get_path("scripts", user))
    folders += [os.path.dirname(os.path.abspath(sys.argv[0])), str(package.parent / "bin")]  # --prefix, --target
    for folder in folders:
        path = os.path.join(folder, "darknet")
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    return None


def _native(words: list[str]) -> int:
    program = binary()
    if program is None:
        print("darknet-vae: the program darknet, which is installed with the package, is missing: pip install it anew",
              file=sys.stderr)  # fmt: skip
        return 4
    os.environ.setdefault("DARKNET_SHARE", str(Path(__file__).resolve().parent / "share"))
    if sys.stdout is not None:  # it is None when it was closed
        sys.stdout.flush()
    try:
        os.execv(program, ["darknet-vae", *words])
    except OSError as reason:
        print(f"darknet-vae: cannot run {program}, which was installed with the package: {reason.strerror}", file=sys.stderr)
        return 4


def main(argv: Sequence[str] | None = None) -> int:
    words = list(sys.argv[1:] if argv is None else argv)
    if words in (["--version"], ["-version"]):
        print(f"darknet-vae {__version__}")
        return 0
    if words[:1] in (["vae"], ["autoencoder"]) and words[1:2] and words[1] in _HERE:
        words = words[1:]
    if not words or words[0] not in _HERE:
        return _native(words)
    top = parser()
    for word in words:  # argparse would read -wat as -w at
        name = word.partition("=")[0]
        if name[:1] == "-" and name[1:2].isalpha() and name not in _NAMES | {"-h", "-help"}:
            import difflib

            near = difflib.get_close_matches(name.lstrip("-"), {known.lstrip("-") for known in _NAMES}, 1)
            top.error(f"unknown option '{word}'" + (f" (did you mean -{near[0]}?)" if near else ""))
    args = top.parse_args(["--help" if word == "-help" else word for word in words])
    from .errors import DarknetError

    try:
        return int(args.run(args))
    except DarknetError as error:
        print(f"darknet-vae: {error}", file=sys.stderr)
        return int(error.exit_code)
    except MemoryError:
        print("darknet-vae: out of memory", file=sys.stderr)
        return 5
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    raise SystemExit(main())
