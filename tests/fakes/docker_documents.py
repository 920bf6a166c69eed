"""Docker's answers as documents: real ones that were recorded, and new ones made from them."""

from __future__ import annotations

import copy
import functools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Document = dict[str, Any]

NEVER = "0001-01-01T00:00:00Z"
IMAGE_ID = "sha256:" + "1a" * 32
_FOLDER = Path(__file__).parent / "documents"


@functools.cache
def _recorded(name: str) -> Document:
    document: Document = json.loads((_FOLDER / f"{name}.json").read_text())
    return document


def recorded(name: str) -> Document:
    """Return a copy of a recorded answer, such as `docker-20.10-inspect`."""
    return copy.deepcopy(_recorded(name))


def bind(source: str, destination: str, *, mode: str = "", writable: bool = True) -> Document:
    """Describe a bind mount as `Mounts[]` does."""
    return {
        "Type": "bind",
        "Source": source,
        "Destination": destination,
        "Mode": mode,
        "RW": writable,
        "Propagation": "rprivate",
    }


def container_document(
    ident: str,
    name: str,
    *,
    labels: Mapping[str, str] | None = None,
    mounts: Sequence[Document] = (),
    process_label: str = "",
    mount_label: str = "",
    image_id: str = IMAGE_ID,
    host_config: Mapping[str, Any] | None = None,
) -> Document:
    """Make the inspect answer of a container that was created and not started."""
    document = recorded("docker-20.10-inspect")
    for key in ("ResolvConfPath", "HostnamePath", "HostsPath"):
        document[key] = document[key].replace(document["Id"], ident)
    document |= {
        "Id": ident,
        "Name": f"/{name}",
        "Image": image_id,
        "ProcessLabel": process_label,
        "MountLabel": mount_label,
        "Mounts": list(mounts),
    }
    document["Config"] |= {"Hostname": ident[:12], "Labels": dict(labels or {})}
    document["HostConfig"] |= {
        "Binds": [f"{m['Source']}:{m['Destination']}:{m['Mode']}" for m in mounts if m["Type"] == "bind"],
        "Mounts": [],
        **(host_config or {}),
    }
    return document


def summary_document(inspected: Document) -> Document:
    """Make a container's entry in the answer to `GET /containers/json`."""
    return {
        "Id": inspected["Id"],
        "Names": [inspected["Name"]],
        "Image": inspected["Config"]["Image"],
        "ImageID": inspected["Image"],
        "Command": "/bin/sleep 9",
        "Created": 1795510000,
        "Ports": [],
        "Labels": inspected["Config"]["Labels"],
        "State": inspected["State"]["Status"],
        "Status": "Up 2 minutes" if inspected["State"]["Running"] else "Created",
        "HostConfig": {"NetworkMode": inspected["HostConfig"]["NetworkMode"]},
        "NetworkSettings": {"Networks": {}},
        "Mounts": inspected["Mounts"],
    }


def event_document(
    ident: str,
    action: str,
    time_ns: int,
    *,
    kind: str = "container",
    attributes: Mapping[str, str] | None = None,
) -> Document:
    """Make one event, as an engine before API 1.52 writes it, legacy fields included."""
    return {
        "status": action,
        "id": ident,
        "from": "bb",
        "Type": kind,
        "Action": action,
        "Actor": {"ID": ident, "Attributes": {"image": "bb", **(attributes or {})}},
        "scope": "local",
        "time": time_ns // 10**9,
        "timeNano": time_ns,
    }
