"""The results of scans, in a file: `mcsd.ports.StrayStore`.

A file that cannot be read or parsed is not the same as no file: which levels are on files is not known then,
and the results say so until everything has been scanned (`Catch.lost`). The file is always rewritten as a
whole, and replaces the old one when it is on disk.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mcsd.adapters.host.whole_file import put
from mcsd.core.labels import Level
from mcsd.core.strays import Catch, ScanState, Stray

_FORMAT = 1


class StrayFile:
    """See the port."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> tuple[Catch, Mapping[Level, Stray]]:
        """See `mcsd.ports.StrayStore`."""
        try:
            data = json.loads(self._path.read_bytes())
            if data["format"] != _FORMAT:
                return self._lost(f"it is of format {data['format']!r}, which this mcsd does not know")
            scan = data["scan"]
            state = None if scan is None else ScanState(**{**scan, "done": tuple(scan["done"])})
            places, lost = tuple(data["places"]), str(data["lost"])
            known = Catch(_strays(data["strays"]), state, data["complete"], places, lost)
            return known, _strays(data["caught"])
        except FileNotFoundError:
            return Catch(), {}
        except OSError as exc:
            return self._lost((exc.strerror or str(exc)).lower())
        except (ValueError, KeyError, TypeError, AttributeError):
            return self._lost("it is damaged")

    def _lost(self, why: str) -> tuple[Catch, Mapping[Level, Stray]]:
        return Catch(lost=f"{self._path} cannot be used: {why}"), {}

    def save(self, catch: Catch, caught: Mapping[Level, Stray]) -> None:
        """See `mcsd.ports.StrayStore`."""
        data = {
            "format": _FORMAT,
            "complete": catch.complete,
            "places": list(catch.places),
            "lost": catch.lost,
            "scan": None if catch.scan is None else asdict(catch.scan),
            "strays": [_plain(one) for one in catch.strays.values()],
            "caught": [_plain(one) for one in caught.values()],
        }
        put(self._path, json.dumps(data))


def _plain(stray: Stray) -> dict[str, Any]:
    return {"level": str(stray.level), "label": stray.label, "count": stray.count, "paths": list(stray.paths)}


def _strays(data: list[dict[str, Any]]) -> dict[Level, Stray]:
    found = (
        Stray(Level.parse(one["level"]), one["label"], one["count"], tuple(one["paths"])) for one in data
    )
    return {stray.level: stray for stray in found}
