"""`import`: the weights of an autoencoder that another program has trained."""

from __future__ import annotations

import argparse
from typing import Any

from . import common, network, option, refuse_to_overwrite, say


def add(verbs: Any) -> None:
    sub = verbs.add_parser(
        "import",
        help="the weights of an autoencoder of PyTorch or ONNX",
        description="the weights of an autoencoder that another program has trained, in a network with the same layers",
    )
    sub.set_defaults(run=run)
    common(sub, data=False, weights=False)
    sub.add_argument("files", metavar="WEIGHTS", nargs="+", help="F.pt, F.npz, F.safetensors, F.onnx, or several of one network")
    option(sub, "save", metavar="F", required=True, help="the network with them: F.safetensors or F.weights")
    option(sub, "map", metavar="L=NAME", action="append",
           help="only: layer L (number or name) takes NAME of the file, or for both MEANS+LOGVARS")  # fmt: skip


def run(args: argparse.Namespace) -> int:
    from .. import errors
    from ..importing import place

    for path in (args.cfg, *args.files):
        refuse_to_overwrite("-save", args.save, path)
    mapping: dict[int | str, str | list[str]] = {}
    for word in args.map or ():
        layer, equals, name = word.partition("=")
        if not (layer and equals and name):
            raise errors.UsageError(f"-map {word} is not LAYER=NAME, such as -map 3=decoder.fc1")
        mapping[layer] = name.split("+") if "+" in name else name
    net = network(args, weights_wanted=False)
    lines = place(net, args.files, mapping)
    net.save(args.save)
    if not args.quiet:
        print("\n".join(lines))
        say(f"saved {args.save}")
    return 0
