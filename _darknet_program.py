"""The command `darknet`: becomes the program that lies in the package (os.execv), with its signals, pipes and exit codes.

Outside the package, as importing that would take longer than the start of the program.
"""

import os
import sys


def program() -> str:
    """Its path: beside this module, or where a built package is, as that of a source folder has none."""
    name = os.path.join("darknet_vae", "lib", "darknet")
    paths = [os.path.join(folder, name) for folder in (os.path.dirname(os.path.abspath(__file__)), *sys.path)]
    return next(filter(os.path.isfile, paths), paths[0])


def main() -> int:
    path = program()
    try:
        os.execv(path, [sys.argv[0], *sys.argv[1:]])
    except OSError as reason:
        print(f"darknet: cannot run {path}, which was installed with darknet-vae: {reason.strerror}", file=sys.stderr)
        return 4
