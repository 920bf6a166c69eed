"""Builds what is written in C: the per-inode loop, and the gate's front (`setup.py build_front`).

Everything else is declared in pyproject.toml. Both are optional: without a compiler mcsd runs its pure-Python
walk, and Docker calls the gate's program in Python; they meet the same contract suites and are slower. For
the tests MCSD_SANITIZE builds with a sanitizer ("thread", or anything else for those of addresses and
undefined behaviour), and MCSD_INJECT names a header that every file is compiled with, which lets calls fail,
or names other runtimes.
"""

import os
import shlex
import shutil
import subprocess
from pathlib import Path

from setuptools import Command, Extension, setup

SOURCES = sorted(str(path) for path in Path("mcsd/relabel/native").glob("*.c"))
HEADERS = sorted(str(path) for path in Path("mcsd/relabel/native").glob("*.h"))
WARNINGS = ["-Wall", "-Wextra", "-Werror=implicit-function-declaration"]
FOR_TESTS = []
if sanitizer := os.environ.get("MCSD_SANITIZE"):
    which = ["thread"] if sanitizer == "thread" else ["address,undefined", "-fno-sanitize-recover=undefined"]
    FOR_TESTS += [f"-fsanitize={which[0]}", *which[1:], "-g", "-O1"]
if header := os.environ.get("MCSD_INJECT"):
    FOR_TESTS += ["-include", header]
FLAGS = ["-std=gnu11", *WARNINGS, "-pthread", *FOR_TESTS]

FRONT = "mcsd/runtime/native/gate.c"
HARDENED = [
    *("-fPIE", "-pie", "-fstack-protector-strong", "-fstack-clash-protection"),
    *("-Wl,-z,relro", "-Wl,-z,now", "-Wl,-z,noexecstack"),
]
"""What every distribution's compiler takes. A distribution's own come by CFLAGS and LDFLAGS, before these."""
if not sanitizer:
    HARDENED += ["-U_FORTIFY_SOURCE", "-D_FORTIFY_SOURCE=2"]


class BuildFront(Command):
    """Builds the program that stands in front of the gate's Python; leaves it out without a compiler."""

    description = "build the gate's front"
    user_options = [("output=", "o", "where to put the program")]  # noqa: RUF012  (setuptools' own shape)

    def initialize_options(self):
        """Set what is not given."""
        self.output = str(Path(FRONT).with_name("mcsd-gate"))

    def finalize_options(self):
        """Do nothing: the option needs no other."""

    def run(self):
        """Compile and link in one step; what the compiler says is for who builds."""
        compiler = shlex.split(os.environ.get("CC") or "cc")
        if shutil.which(compiler[0]) is None:
            self.warn(f"there is no compiler {compiler[0]!r}: the gate is built without its front")
            return
        given = shlex.split(os.environ.get("CFLAGS", "-O2 -g")), shlex.split(os.environ.get("LDFLAGS", ""))
        own = ["-std=c11", *WARNINGS, *HARDENED, *FOR_TESTS]
        subprocess.run([*compiler, *given[0], *own, FRONT, "-o", self.output, *given[1]], check=True)


setup(
    cmdclass={"build_front": BuildFront},
    license="Apache-2.0",
    ext_modules=[
        Extension(
            "mcsd.relabel.native._walk",
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
