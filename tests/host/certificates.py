"""Certificates for tests, made as an administrator would: by openssl."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

BOTH = "serverAuth,clientAuth"
"""What etcd's own certificate is for: its gateway is a client of it."""


def openssl(folder: Path, *words: str) -> None:
    """Run it in a folder."""
    subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)


@dataclass(frozen=True)
class Authority:
    """Signs certificates; its files are `NAME.pem` and `NAME.key`."""

    folder: Path
    name: str

    @classmethod
    def create(cls, folder: Path, name: str) -> Authority:
        """Make one, with a key of its own."""
        files = ("-keyout", f"{name}.key", "-out", f"{name}.pem")
        openssl(folder, "req", "-x509", *_NEW, *files, "-subj", f"/CN={name}", "-days", "2")
        return cls(folder, name)

    @property
    def certificate(self) -> Path:
        """Whom others have to trust."""
        return self.folder / f"{self.name}.pem"

    def sign(self, name: str, usage: str, address: str = "") -> tuple[Path, Path]:
        """Return a certificate and its key; `address` is the only one that a server is at."""
        extensions = [f"extendedKeyUsage={usage}", *([f"subjectAltName=IP:{address}"] if address else [])]
        (self.folder / f"{name}.ext").write_text("\n".join(extensions))
        openssl(
            self.folder, "req", *_NEW, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", "/O=mcsd"
        )
        authority = ("-CA", f"{self.name}.pem", "-CAkey", f"{self.name}.key", "-CAcreateserial")
        files = ("-in", f"{name}.csr", "-out", f"{name}.pem", "-extfile", f"{name}.ext")
        openssl(self.folder, "x509", "-req", *authority, *files, "-days", "2")
        return self.folder / f"{name}.pem", self.folder / f"{name}.key"


_NEW = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
