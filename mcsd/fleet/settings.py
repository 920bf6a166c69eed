"""mcsd-fleet's own configuration, `/etc/mcsd/fleet.toml`: where etcd is, and who asks it.

It is a file of its own, since it names secrets that mcsd needs not know. Unknown keys are refused.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mcsd.core.matching import Matching
from mcsd.errors import ConfigurationError
from mcsd.fleet.etcd import EtcdAccess

DEFAULT_PATH = Path("/etc/mcsd/fleet.toml")
_HINT = "mcsd-fleet(8) lists the keys and their values"


class Settings(BaseModel):
    """`fleet.toml`. Files are named by absolute paths; `timeout` is in seconds."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    endpoints: Annotated[
        tuple[Annotated[str, Matching(r"https?://[^/?#@\s]+", "https://HOST:PORT")], ...],
        Field(min_length=1, strict=False),
    ]
    prefix: Annotated[str, Matching(r"/(?:[A-Za-z0-9_.-]+/)+", "a path such as /mcsd/")] = "/mcsd/"
    ca: str = ""
    certificate: str = ""
    key: str = ""
    user: str = ""
    password_file: str = ""
    timeout: Annotated[float, Field(gt=0, le=60, strict=False)] = 3.0

    def access(self) -> EtcdAccess:
        """Return it as the store wants it; raises `ConfigurationError` if a named file cannot be read."""
        for named in (self.ca, self.certificate, self.key):
            if named:
                _text(Path(named))
        return EtcdAccess(
            endpoints=self.endpoints,
            prefix=self.prefix,
            ca=self.ca,
            certificate=self.certificate,
            key=self.key,
            user=self.user,
            password=_text(Path(self.password_file)).strip("\n") if self.password_file else "",
            timeout=self.timeout,
        )


def load(path: Path) -> Settings:
    """Read the file; raise `ConfigurationError` with the key and what was expected."""
    try:
        return Settings.model_validate(tomllib.loads(_text(path)))
    except tomllib.TOMLDecodeError as exc:
        raise ConfigurationError(f"{path}: not valid TOML: {exc}", hint=_HINT) from exc
    except ValidationError as exc:
        first = exc.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise ConfigurationError(f"{path}: {key}: {first['msg']}", hint=_HINT) from exc


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "not UTF-8 text"
        raise ConfigurationError(f"{path}: cannot be read: {reason}", hint="check who may read it") from exc
