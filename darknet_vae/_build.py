"""The cffi module over libdarknet (API mode, stable ABI). Its declarations are cut from the marked region of csrc/darknet.h."""

import os
import re
import sys
from pathlib import Path

from cffi import FFI

ROOT = Path(__file__).resolve().parent.parent if "__file__" in globals() else Path.cwd()


def declarations() -> str:
    header = (ROOT / "csrc" / "darknet.h").read_text()
    match = re.search(r"/\* cffi:begin.*?\*/(.*)/\* cffi:end \*/", header, flags=re.S)
    if match is None:
        raise ValueError("csrc/darknet.h has no cffi:begin ... cffi:end region")
    return re.sub(r"/\*.*?\*/", "", match[1], flags=re.S).replace("DN_API ", "")


ffi = FFI()
# The first further line is for the tests alone: allocations and file calls, counted and made to fail. The second one is how
# long calls look for Ctrl-C (_lib.py).
ffi.cdef(
    declarations()
    + """
long dn_sys_fail_at(long n);
extern "Python" int dn_python_watch(void *);
"""
)
ffi.set_source(
    "darknet_vae._darknet",
    '#include "darknet.h"\nextern long dn_sys_fail_at(long n);',
    include_dirs=[str(ROOT / "csrc")],
    libraries=["darknet"],
    # calls of the library, which need no optimising
    extra_compile_args=["-O0", "-U_FORTIFY_SOURCE", "-g" if os.environ.get("DEBUG") else "-g0"],
    extra_link_args=["-Wl,-rpath,@loader_path/lib" if sys.platform == "darwin" else "-Wl,-rpath,$ORIGIN/lib"]
    + ([] if os.environ.get("DEBUG") else ["-Wl,-x"] if sys.platform == "darwin" else ["-s"]),
    py_limited_api=True,
)
