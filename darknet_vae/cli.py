"""The command line `darknet-vae`: what needs Python is in the modules of `verbs`; the native binary does all else.

`darknet-vae train ...` becomes the program `darknet` of the package (os.execv), so both have the same
options, messages, signals and exit codes.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from ._version import __version__

VERBS = ("plot", "report", "explore", "export", "import", "dataset", "report-synthetic")
"""The verbs that need Python: `name-of-verb` is the module verbs/name_of_verb.py."""


def parser() -> argparse.ArgumentParser:
    from .verbs import Parser

    top = Parser(prog="darknet-vae", description="Autoencoders and variational autoencoders on a Darknet core.")
    verbs = top.add_subparsers(title="verbs", metavar="VERB", required=True, parser_class=Parser)
    for name in VERBS:
        importlib.import_module(f".verbs.{name.replace('-', '_')}", __package__).add(verbs)
    return top


def binary() -> str | None:
    """The program `darknet` of this package, or None."""
    path = Path(__file__).resolve().parent / "lib" / "darknet"
    return str(path) if os.access(path, os.X_OK) else None


def _native(words: list[str]) -> int:
    program = binary()
    if program is None:
        print("darknet-vae: the program darknet, which is installed with the package, is missing: pip install it anew",
              file=sys.stderr)  # fmt: skip
        return 4
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
    if words[:1] in (["vae"], ["autoencoder"]) and words[1:2] and words[1] in VERBS:
        words = words[1:]
    if not words or words[0] not in VERBS:
        return _native(words)
    from .verbs import NAMES

    top = parser()
    for word in words:  # argparse would read -wat as -w at
        name = word.partition("=")[0]
        if name[:1] == "-" and name[1:2].isalpha() and name not in NAMES | {"-h", "-help"}:
            import difflib

            near = difflib.get_close_matches(name.lstrip("-"), {known.lstrip("-") for known in NAMES}, 1)
            top.error(f"unknown option '{word}'" + (f" (did you mean -{near[0]}?)" if near else ""))
    args = top.parse_args(["--help" if word == "-help" else word for word in words])
    args.words = words
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
