"""The command line: darknet-vae VERB CFG [CSV] [options], with Darknet's single-dash spellings and the usual two dashes."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from ._version import __version__

if TYPE_CHECKING:  # numpy and the core are imported where they are needed
    from .data import Table
    from .network import Losses, Network, Progress


_NAMES: set[str] = set()  # of all options, with their dashes


class Parser(argparse.ArgumentParser):
    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:  # one line
        self.exit(2, f"darknet-vae: {message} ({self.prog} --help explains)\n")


def _option(parser: argparse.ArgumentParser, *names: str, **options: Any) -> None:
    """An option under each name with one dash and with two."""
    spellings = [dash + name for name in names for dash in ("-", "--")]
    _NAMES.update(spellings)
    parser.add_argument(*spellings, dest=names[0].replace("-", "_"), **options)


def _common(parser: argparse.ArgumentParser, data: bool = True) -> None:
    parser.add_argument("cfg", metavar="CFG", help="the network")
    _option(parser, "weights", "w", metavar="W", help="a Darknet .weights file")
    _option(parser, "seed", type=int, default=0, help="of start weights, noise and shuffling (0)")
    _option(parser, "threads", type=int, help="default: all this process may use")
    _option(parser, "batch", type=int, help="rows in one pass, instead of the cfg's")
    _option(parser, "i", "gpu", type=int, metavar="N", help="use GPU N")
    _option(parser, "nogpu", "cpu", action="store_true", help="use the CPU")
    _option(parser, "quiet", "q", action="store_true", help="no progress, no warnings")
    if data:
        _option(parser, "N", "rows", type=int, metavar="n", help="the first n rows of the CSV only")
        _option(parser, "scale", type=float, help="divide the CSV's values by this (cfg: data_scale)")
        _option(parser, "label-column", metavar="C", help="a column, by name or index, that is not data (cfg: label_column)")


def parser() -> argparse.ArgumentParser:
    top = Parser(prog="darknet-vae", description="Autoencoders and variational autoencoders on a Darknet core.")
    top.add_argument("-version", "--version", action="version", version=f"darknet-vae {__version__}")
    verbs = top.add_subparsers(title="verbs", metavar="VERB", required=True, parser_class=Parser)

    def verb(
        name: str, run: Callable[[argparse.Namespace], int], text: str, data: bool = True, among: Any = verbs
    ) -> argparse.ArgumentParser:
        sub: argparse.ArgumentParser = among.add_parser(name, help=text, description=text)
        sub.set_defaults(run=run)
        _common(sub, data)
        return sub

    for name in ("train", "autoencoder"):
        sub = verb(name, train, "train on a CSV; writes vae.weights and, for a VAE, latent_space.txt")
        sub.add_argument("data", metavar="TRAIN.csv")
        _option(sub, "output", "o", metavar="F", help="ten inputs and outputs per epoch: F_input_0.txt, F_output_0.txt, ...")
        _option(sub, "save", metavar="PATH", default="vae.weights", help="where the weights go (vae.weights)")
        _option(sub, "epochs", type=int, help="default: until the cfg's max_batches")
        _option(sub, "lr", type=float, help="learning rate, instead of the cfg's")
        _option(sub, "no-shuffle", action="store_true", help="take the rows in their order")
        _option(sub, "json", action="store_true", help="the result as JSON")
    sub = verb("sample", sample, "decode latent vectors from a CSV, or -n drawn ones")
    sub.add_argument("data", metavar="LATENTS.csv", nargs="?")
    _option(sub, "n", type=int, help="this many from the prior")
    _option(sub, "output", "o", metavar="F", help="a file for the rows, instead of standard output")
    for name, run, text in (
        ("encode", encode, "latent means of every row"),
        ("reconstruct", reconstruct, "decode the mean of every row"),
        ("predict", predict, "the output of any network for every row"),
    ):
        sub = verb(name, run, text)
        sub.add_argument("data", metavar="ROWS.csv")
        _option(sub, "output", "o", metavar="F", help="a file for the rows, instead of standard output")
    sub = verb("evaluate", evaluate, "the losses per row")
    sub.add_argument("data", metavar="ROWS.csv")
    _option(sub, "json", action="store_true", help="the result as JSON")
    verb("inspect", inspect, "the layers: shapes, parameters, arithmetic", data=False)

    plot = verbs.add_parser("plot", help="pictures (extra: plot)", description="pictures with matplotlib")
    kinds = plot.add_subparsers(title="pictures", metavar="PICTURE", required=True, parser_class=Parser)
    sub = verb("training", plot_training, "inputs above outputs by epoch, of train -output F", data=False, among=kinds)
    sub.add_argument("data", metavar="F", help="as given to train -output")
    sub.set_defaults(picture="training.png")
    sub = verb("latent", plot_latent, "the latent means, coloured by label", among=kinds)
    sub.add_argument("data", metavar="ROWS.csv")
    sub.set_defaults(picture="latent.png")
    sub = verb("manifold", plot_manifold, "decoded images over two latents from -3 to 3", data=False, among=kinds)
    _option(sub, "n", type=int, default=20, help="images along each side (20)")
    sub.set_defaults(picture="manifold.png")
    sub = verb("samples", plot_samples, "images drawn from the prior", data=False, among=kinds)
    _option(sub, "n", type=int, default=64, help="how many (64)")
    sub.set_defaults(picture="samples.png")
    for sub in kinds.choices.values():
        _option(sub, "output", "o", metavar="F", help="the picture's file: png, pdf or svg")
        _option(sub, "shape", metavar="CxHxW", help="shape of an image, when the cfg does not say")

    sub = verbs.add_parser("dataset", help="MNIST, Fashion-MNIST or the digits as CSV", description="data sets as CSV")
    sub.set_defaults(run=dataset)
    sub.add_argument("name", choices=("mnist", "fashion_mnist", "digits"))
    _option(sub, "output", "o", metavar="FILE.csv", required=True, help="the CSV to write")
    _option(sub, "rows", "N", type=int, metavar="n", help="the first n rows only")
    _option(sub, "split", choices=("train", "test"), default="train", help="which part (train)")
    _option(sub, "from", metavar="DIR", help="convert the IDX files in DIR, without network")
    _option(sub, "quiet", "q", action="store_true", help="print nothing")
    return top


# ---- what the verbs share


def _network(args: argparse.Namespace, weights_wanted: bool = True) -> Network:
    import warnings

    from .network import Network

    device = f"cuda:{args.i}" if args.i is not None and not args.nogpu else "cpu"
    with warnings.catch_warnings(record=True) as met:
        warnings.simplefilter("always")
        net = Network(args.cfg, seed=args.seed, device=device, batch=args.batch, threads=args.threads)
    if args.weights:
        net.load_weights(args.weights, clear=True)
    if not args.quiet:
        for warning in met:
            print(f"darknet-vae: warning: {warning.message}", file=sys.stderr)
        if weights_wanted and not args.weights:
            print("darknet-vae: warning: no -weights given, so the parameters are random", file=sys.stderr)
    return net


def _table(args: argparse.Namespace, net: Network, latents: bool = False) -> Table:
    from .data import load_table

    label = args.label_column or (None if latents else net.label_column)
    scale = args.scale if args.scale is not None else 1 if latents else net.data_scale
    return load_table(
        args.data,
        label,
        scale,
        args.N,
        net.latent_size if latents else net.inputs,
        label_optional=not args.label_column,
    )


def _write(args: argparse.Namespace, rows: Any) -> int:
    from ._lib import check, lib, pointer, to_bytes

    path = to_bytes(args.output) if args.output else None
    check(lib.dn_csv_save(path or _null(), pointer(rows), *rows.shape), args.output)
    return 0


def _null() -> Any:
    from ._lib import ffi

    return ffi.NULL


def _writable(path: str) -> None:
    """Before hours of training: can its result be written?"""
    from . import errors

    folder = os.path.dirname(path) or "."
    if not os.path.isdir(folder):
        raise errors.MissingFileError(f"cannot write {path}: there is no folder {folder}")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise errors.FileError(f"cannot write {path}: no permission in {folder}")


def _losses(args: argparse.Namespace, losses: Losses, more: dict[str, Any] | None = None) -> int:
    values: dict[str, Any] = {**losses, **(more or {})}
    if args.json:
        import json

        print(json.dumps(values))
    else:
        print("  ".join(f"{k} {v:.7g}" for k, v in values.items()))
    return 0


# ---- the verbs


def train(args: argparse.Namespace) -> int:
    from . import errors
    from .network import History

    _writable(args.save)
    if args.output:
        _writable(args.output)
    net = _network(args, weights_wanted=False)
    X = _table(args, net).X
    terminal = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
    history, code = History(), 0

    def show(progress: Progress) -> None:
        if args.quiet or not (terminal or progress.epoch_done):
            return
        start, end = ("\r\x1b[K", "\n" if progress.finished else "") if terminal else ("", "\n")
        print(start + progress.line + end, end="", file=sys.stderr, flush=True)

    try:
        net.train(
            X, args.epochs, shuffle=not args.no_shuffle, learning_rate=args.lr, preview=args.output, on_slice=show,
            history=history,
        )  # fmt: skip
    except KeyboardInterrupt:  # what was learned is saved all the same
        code = 130
        if terminal and not args.quiet:
            print(file=sys.stderr)
    except errors.NumericError as error:
        code = _fail(error)
    net.save(args.save)
    written = args.save
    if net.latent_size:
        from .data import save_csv

        save_csv("latent_space.txt", net.encode(X)[0])
        written += ", latent_space.txt"
    if not args.quiet:
        print(f"saved {written}", file=sys.stderr)
    if history.total_loss:
        last: Losses = {
            "image_loss": history.image_loss[-1],
            "latent_loss": history.latent_loss[-1],
            "total_loss": history.total_loss[-1],
        }
        _losses(args, last, {"epochs": len(history.total_loss), "seconds": round(history.seconds, 3)})
    return code


def sample(args: argparse.Namespace) -> int:
    from . import errors
    from .network import sample_prior

    if args.data is None and (args.n is None or args.n <= 0):
        raise errors.UsageError("sample: give a CSV of latent vectors, or -n COUNT")
    net = _network(args)
    if not args.data and not net.variational:
        raise errors.UsageError(f"{args.cfg} has no [sampling] layer, so no prior: give a CSV of latent vectors")
    if not net.latent_size:
        raise errors.UsageError(f"{args.cfg} has no latent space to sample from")
    z = _table(args, net, latents=True).X if args.data else sample_prior(args.n, net.latent_size, args.seed)
    return _write(args, net.sample(z))


def encode(args: argparse.Namespace) -> int:
    net = _network(args)
    return _write(args, net.encode(_table(args, net).X)[0])


def reconstruct(args: argparse.Namespace) -> int:
    net = _network(args)
    return _write(args, net.reconstruct(_table(args, net).X))


def predict(args: argparse.Namespace) -> int:
    net = _network(args)
    return _write(args, net.predict(_table(args, net).X))


def evaluate(args: argparse.Namespace) -> int:
    net = _network(args)
    return _losses(args, net.evaluate(_table(args, net).X))


def inspect(args: argparse.Namespace) -> int:
    print(_network(args, weights_wanted=False).table(), end="")
    return 0


def _shape(args: argparse.Namespace) -> Any:
    from . import errors

    if args.shape is None:
        return None
    parts = args.shape.lower().split("x")
    if len(parts) != 3 or not all(p.isdigit() and int(p) > 0 for p in parts):
        raise errors.UsageError(f"-shape: '{args.shape}' is not CxHxW, as in 1x28x28")
    return tuple(int(p) for p in parts)


def _picture(args: argparse.Namespace, figure: Any) -> int:
    from . import plots

    path = args.output or args.picture
    plots.save(figure, path)
    if not args.quiet:
        print(f"saved {path}", file=sys.stderr)
    return 0


def plot_training(args: argparse.Namespace) -> int:
    from . import plots

    return _picture(args, plots.training(_network(args, weights_wanted=False), args.data, shape=_shape(args)))


def plot_latent(args: argparse.Namespace) -> int:
    from . import plots

    net = _network(args)
    table = _table(args, net)
    return _picture(args, plots.latent(net.encode(table.X)[0], table.labels))


def plot_manifold(args: argparse.Namespace) -> int:
    from . import plots

    return _picture(args, plots.manifold(_network(args), args.n, shape=_shape(args)))


def plot_samples(args: argparse.Namespace) -> int:
    from . import plots

    return _picture(args, plots.samples(_network(args), args.n, args.seed, shape=_shape(args)))


def dataset(args: argparse.Namespace) -> int:
    from .datasets import write_csv

    rows = write_csv(args.name, args.output, args.rows, args.split, getattr(args, "from"))
    if not args.quiet:
        print(f"saved {args.output}: {rows} rows", file=sys.stderr)
    return 0


def _fail(error: BaseException) -> int:
    print(f"darknet-vae: {error}", file=sys.stderr)
    return int(getattr(error, "exit_code", 2))


def main(argv: Sequence[str] | None = None) -> int:
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] == ["vae"]:  # the binary's spelling: vae train CFG CSV
        words = words[1:]
    if words[:2] == ["autoencoder", "train"]:
        words = words[1:]
    top = parser()
    for word in words:  # argparse would read -wat as -w at
        name = word.partition("=")[0]
        if name[:1] == "-" and name[1:2].isalpha() and name not in _NAMES | {"-h", "-help", "-version"}:
            top.error(f"unknown option '{word}'")
    args = top.parse_args(["--help" if word == "-help" else word for word in words])
    from .errors import DarknetError

    try:
        return int(args.run(args))
    except DarknetError as error:
        return _fail(error)
    except MemoryError:
        print("darknet-vae: out of memory", file=sys.stderr)
        return 5
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader went away
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 4


if __name__ == "__main__":
    raise SystemExit(main())
