"""The command line: darknet-vae VERB CFG [CSV] [options], with Darknet's single-dash spellings and the usual two dashes."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from ._version import __version__

if TYPE_CHECKING:  # numpy and the core are imported where they are needed
    from ._lib import Array
    from .data import Classes, Table
    from .network import Network, Progress


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
    _option(parser, "i", "gpu", type=int, metavar="N", help="use GPU N (default: the first one, if the network gains by it)")
    _option(parser, "nogpu", "cpu", action="store_true", help="use the CPU")
    _option(parser, "precision", choices=["float32", "tf32", "bf16"], help="of products of matrices, on a GPU (float32)")
    _option(parser, "quiet", "q", action="store_true", help="no progress, no warnings")
    if data:
        _option(parser, "N", "rows", type=int, metavar="n", help="the first n rows of the CSV only")
        _option(parser, "scale", type=float, help="divide the CSV's values by this (cfg: data_scale)")
        _option(parser, "label-column", metavar="C", help="a column, by name or index, that is not data (cfg: label_column)")
        _option(parser, "target", "targets", metavar="a,b,-1",
                help="columns to predict, in the file's units: names, or indexes from 0, negative from the end")  # fmt: skip


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
        sub = verb(name, train, "train on a CSV: a VAE, a classifier, a regression or an autoencoder, as the network says")
        sub.add_argument("data", metavar="TRAIN.csv")
        _option(sub, "output", "o", metavar="F", help="ten inputs and outputs per epoch: F_input_0.txt, F_output_0.txt, ...")
        _option(sub, "save", metavar="PATH", help="where the weights go (vae.weights; supervised: CFG's name + .weights)")
        _option(sub, "epochs", type=int, help="default: until the cfg's max_batches")
        _option(sub, "lr", type=float, help="learning rate, instead of the cfg's")
        _option(sub, "valid", metavar="F.csv", help="evaluate on these rows after every epoch")
        _option(sub, "holdout", type=float, default=0.0, metavar="P",
                help="evaluate on this part of the rows, as 0.2, which is then not trained on")  # fmt: skip
        _option(sub, "no-shuffle", action="store_true", help="take the rows in their order")
        _option(sub, "json", action="store_true", help="the result as JSON")
        sub.description = (
            "Train on a CSV. The network tells the job: a sampling layer makes a variational autoencoder; a softmax or logistic"
            " loss over the label column, or -target, makes supervised training (writes CFG's name + .weights and .labels.txt);"
            " else an autoencoder (writes vae.weights and latent_space.txt)."
        )
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
        if name == "predict":
            _option(sub, "labels", action="store_true", help="the label in front of every row")
    sub = verb("evaluate", evaluate, "the losses, means per row; of supervised networks also accuracy, or mse and r2")
    sub.add_argument("data", metavar="ROWS.csv")
    _option(sub, "output", "o", metavar="F", help="a file for the total loss of every row, an anomaly score")
    _option(sub, "json", action="store_true", help="the result as JSON")
    sub = verb("inspect", inspect, "the layers: shapes, parameters, arithmetic, memory", data=False)
    _option(sub, "json", action="store_true", help="the table as JSON")

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

    device = "cpu" if args.nogpu else "auto" if args.i is None else f"cuda:{args.i}"
    with warnings.catch_warnings(record=True) as met:
        warnings.simplefilter("always")
        net = Network(args.cfg, seed=args.seed, device=device, batch=args.batch, threads=args.threads,
                      precision=args.precision)  # fmt: skip
    if args.weights:
        net.load_weights(args.weights, clear=True)
    if not args.quiet:
        for warning in met:
            print(f"darknet-vae: warning: {warning.message}", file=sys.stderr)
        if net.device != "cpu":
            print(f"darknet-vae: computing on {net.device}", file=sys.stderr)
        if weights_wanted and not args.weights:
            print("darknet-vae: warning: no -weights given, so the parameters are random", file=sys.stderr)
    return net


def _table(args: argparse.Namespace, net: Network, latents: bool = False, path: str | None = None) -> Table:
    from .data import load_table

    label = args.label_column or (None if latents else net.label_column)
    scale = args.scale if args.scale is not None else 1 if latents else net.data_scale
    return load_table(
        path or args.data,
        label,
        scale,
        args.N,
        net.latent_size if latents else net.inputs,
        label_optional=not args.label_column,
        targets=None if latents else args.target,
    )


def _classes(args: argparse.Namespace) -> Classes:
    """The classes beside the weights; none when there is no such file."""
    from .data import Classes, classes_path

    path = classes_path(args.weights) if args.weights else None
    return Classes(path=path if path and os.path.exists(path) else None)


def _truth(net: Network, table: Table, path: str, classes: Classes) -> Array:
    """What the network learns from a table: its targets, or its labels as one-hot rows."""
    import numpy as np

    from ._lib import check, ffi, lib, pointer
    from .data import joined

    labels = ffi.NULL if table.labels is None else ffi.new("char[]", joined(table.labels))
    truth = np.empty((len(table.X), net.truths), np.float32)
    lent = {"rows": len(table.X), "labels": labels}
    if table.truth is not None:
        lent |= {"truths": table.truth.shape[1], "truth": pointer(table.truth)}
    row = ffi.new("dn_table *", lent)
    check(lib.dn_net_truth(net._handle, row, os.fsencode(path), classes.handle, pointer(truth)))
    return truth


def _write(args: argparse.Namespace, rows: Array, classes: Classes | None = None, picked: Any = None) -> int:
    from ._lib import check, ffi, lib, pointer, to_bytes

    path = to_bytes(args.output) if args.output else ffi.NULL
    handle = ffi.NULL if classes is None else classes.handle
    numbers = ffi.NULL if picked is None else ffi.cast("int32_t *", picked.ctypes.data)
    check(lib.dn_csv_save_picked(path, handle, numbers, pointer(rows), *rows.shape), args.output)
    return 0


def _writable(path: str) -> None:
    """Before hours of training: can its result be written?"""
    from . import errors

    folder = os.path.dirname(path) or "."
    if not os.path.isdir(folder):
        raise errors.MissingFileError(f"cannot write {path}: there is no folder {folder}")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise errors.FileError(f"cannot write {path}: no permission in {folder}")


def _print(args: argparse.Namespace, values: dict[str, Any]) -> int:
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

    if args.output:
        _writable(args.output)
    net = _network(args, weights_wanted=False)
    supervised = net.supervised or args.target is not None
    save = args.save or net.weights_name(supervised)
    _writable(save)
    table = _table(args, net)
    held = None if args.valid is None else _table(args, net, path=args.valid)
    truth, held_truth, classes = None, None, _classes(args)
    if supervised:
        truth = _truth(net, table, args.data, classes)
        held_truth = None if held is None else _truth(net, held, args.valid, classes)
    terminal = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
    history, code, last = History(), 0, {}

    def show(progress: Progress) -> None:
        if progress.epoch_done:
            last.update(progress.values)
        if args.quiet or not (terminal or progress.epoch_done):
            return
        start, end = ("\r\x1b[K", "\n" if progress.finished else "") if terminal else ("", "\n")
        print(start + progress.line + end, end="", file=sys.stderr, flush=True)

    try:
        net.train(
            table.X, args.epochs, truth, shuffle=not args.no_shuffle, learning_rate=args.lr, preview=args.output, on_slice=show,
            history=history, holdout=args.holdout, valid=None if held is None else (held.X, held_truth),
        )  # fmt: skip
    except KeyboardInterrupt:  # what was learned is saved all the same
        code = 130
        if terminal and not args.quiet:
            print(file=sys.stderr)
    except errors.NumericError as error:
        code = _fail(error)
    net.save(save)
    written = save
    if net.latent_size and not supervised:
        from .data import save_csv

        save_csv("latent_space.txt", net.encode(table.X)[0])
        written += ", latent_space.txt"
    if classes.handle.n:
        from .data import classes_path

        classes.save(classes_path(save))
        written += ", " + classes_path(save)
    if not args.quiet:
        print(f"saved {written}", file=sys.stderr)
    if history.total_loss:
        _print(args, {"epochs": len(history.total_loss), **last, "seconds": round(history.seconds, 3)})
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
    rows = net.predict(_table(args, net).X)
    return _write(args, rows, _classes(args), net.pick(rows)) if args.labels else _write(args, rows)


def evaluate(args: argparse.Namespace) -> int:
    net = _network(args)
    table = _table(args, net)
    supervised = net.supervised or args.target
    truth = _truth(net, table, args.data, _classes(args)) if supervised else None
    losses = dict(net.evaluate(table.X, truth))
    if args.output:
        _write(args, net.row_losses(table.X, truth)["total_loss"][:, None])
    if not supervised:
        return _print(args, losses)
    loss = losses.pop("image_loss")
    return _print(args, {"loss": loss, **{name: v for name, v in losses.items() if name not in ("latent_loss", "total_loss")}})


def inspect(args: argparse.Namespace) -> int:
    net = _network(args, weights_wanted=False)
    print(net.json() if args.json else net.table(), end="")
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
