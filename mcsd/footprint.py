"""What mcsd's libraries would load and mcsd never uses, kept out of the daemon's memory.

A daemon that is always there weighs on its host all the time, and most of what this one weighs is code of
its libraries. Some load all they have as soon as any part of them is wanted: `import pyroute2.netlink` brings
every protocol that pyroute2 knows, and `from aiohttp import web` an HTTP client with every certificate
authority of the host. `PartlyLoaded` stands for such a package: its modules are imported as they are asked
for, its own `__init__` only when somebody wants what that defines.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from importlib.machinery import ModuleSpec
from importlib.metadata import version
from importlib.util import find_spec
from types import ModuleType

PACKAGES = ("aiohttp", "pyroute2")
"""Those of which mcsd imports single modules only."""


NEVER_USED = ("paramiko",)
"""Optional parts of libraries, imported wherever they are installed: Docker's SDK can speak SSH."""


class PartlyLoaded(ModuleType):
    """A package that has not run its `__init__`, and does when an attribute is wanted that is not there."""

    def __init__(self, spec: ModuleSpec, places: Iterable[str]) -> None:
        super().__init__(spec.name)
        self.__spec__ = spec
        self.__path__ = list(places)

    def __getattr__(self, name: str) -> object:
        if name == "__version__":
            return version(self.__name__)
        if name.startswith("__") or find_spec(f"{self.__name__}.{name}"):
            raise AttributeError(name)  # what the import system then imports as a module
        self._load()
        return getattr(self, name)

    def _load(self) -> None:
        self.__class__ = ModuleType  # type: ignore[assignment]  # it is a package like any other from here on
        assert self.__spec__ is not None and self.__spec__.loader is not None
        self.__spec__.loader.exec_module(self)


def leave_out(modules: Iterable[str]) -> None:
    """Have these modules be missing, where they are not imported yet.

    None in `sys.modules` is an import that fails (Python's language reference, "The module cache").
    """
    for name in modules:
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]  # typeshed knows modules only


def load_in_parts(packages: Iterable[str]) -> None:
    """Have these packages be partly loaded, where they are installed and not imported yet."""
    for name in packages:
        spec = None if name in sys.modules else find_spec(name)
        if spec is not None and spec.submodule_search_locations:
            sys.modules[name] = PartlyLoaded(spec, spec.submodule_search_locations)


def load_whole(packages: Iterable[str]) -> None:
    """Forget what was loaded of these packages: the next import loads them as they are meant to be."""
    for name in packages:
        for loaded in [one for one in sys.modules if one == name or one.startswith(f"{name}.")]:
            del sys.modules[loaded]
