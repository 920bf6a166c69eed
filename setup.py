"""Builds the per-inode loop; everything else is declared in pyproject.toml.

The extension is optional: without a compiler mcsd runs its pure-Python walk, which meets the same
contract suite and is slower.
"""

from pathlib import Path

from setuptools import Extension, setup

SOURCES = sorted(str(path) for path in Path("mcsd/relabel").glob("*.c"))

setup(
    ext_modules=[
        Extension(
            "mcsd.relabel._walk",
            SOURCES,
            optional=True,
            py_limited_api=True,
            define_macros=[("Py_LIMITED_API", "0x030B0000")],
        )
    ]
    if SOURCES
    else [],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
