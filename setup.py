"""Builds the per-inode loop; everything else is declared in pyproject.toml.

The extension is optional: without a compiler mcsd runs its pure-Python walk, which meets the same
contract suite and is slower. MCSD_SANITIZE=1 builds it with the address and undefined-behaviour
sanitizers, for the tests.
"""

import os
from pathlib import Path

from setuptools import Extension, setup

SOURCES = sorted(str(path) for path in Path("mcsd/relabel").glob("*.c"))
HEADERS = sorted(str(path) for path in Path("mcsd/relabel").glob("*.h"))
FLAGS = ["-std=gnu11", "-Wall", "-Wextra", "-pthread"]
if os.environ.get("MCSD_SANITIZE"):
    FLAGS += ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-g", "-O1"]

setup(
    ext_modules=[
        Extension(
            "mcsd.relabel._walk",
            SOURCES,
            depends=HEADERS,
            optional=not os.environ.get("MCSD_SANITIZE"),
            py_limited_api=True,
            define_macros=[("Py_LIMITED_API", "0x030B0000")],
            extra_compile_args=FLAGS,
            extra_link_args=[flag for flag in FLAGS if flag.startswith(("-pthread", "-fsanitize"))],
        )
    ]
    if SOURCES
    else [],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
