"""`export`: a network for other programs."""

from __future__ import annotations

import argparse
from typing import Any

from . import common, network, option, refuse_to_overwrite, say


def add(verbs: Any) -> None:
    sub = verbs.add_parser("export", help="the network for C, ONNX, PyTorch or NumPy", description="a network for other programs")
    sub.set_defaults(run=run)
    common(sub, data=False, weights=True)
    forms = sub.add_mutually_exclusive_group(required=True)
    option(forms, "c", metavar="F.c", help="one C99 file without dependencies, and its header")
    option(forms, "onnx", metavar="F.onnx", help="F_encoder.onnx and F_decoder.onnx (extra: export)")
    option(forms, "pytorch", metavar="F.py", help="a file of modules, and their parameters as F.npz (and F.pt where torch is)")
    option(forms, "npz", metavar="F.npz", help="every parameter by layer and name")
    option(sub, "part", choices=("encoder", "decoder", "both"), default="both", help="of -c: which functions (both)")


def run(args: argparse.Namespace) -> int:
    from .. import errors
    from .. import export as forms

    form = next(name for name in ("c", "onnx", "pytorch", "npz") if getattr(args, name) is not None)
    path = getattr(args, form)
    refuse_to_overwrite(f"-{form}", path, args.cfg, args.weights)
    if form != "c" and args.part != "both":
        raise errors.UsageError("-part is for -c")
    net = network(args)
    written = forms.c(net, path, args.part) if form == "c" else getattr(forms, form)(net, path)
    if not args.quiet:
        say(f"saved {', '.join(written)}")
    return 0
