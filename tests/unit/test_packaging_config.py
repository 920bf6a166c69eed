"""The configuration that is installed: valid as it is, and what it shows as defaults are the defaults."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from mcsd.config import Config, EngineTable, load, validate
from mcsd.core.booleans import Wish

SHIPPED = Path(__file__).parents[2] / "packaging" / "mcsd.toml"
TEXT = SHIPPED.read_text(encoding="utf-8")


def uncommented() -> dict[str, object]:
    return tomllib.loads(re.sub(r"^#(?=[a-z_\[])", "", TEXT, flags=re.MULTILINE))


def test_the_shipped_file_changes_nothing(tmp_path: Path) -> None:
    """Promise 10: installing names no boolean, no path and no container."""
    copy = tmp_path / "mcsd.toml"
    copy.write_text(TEXT, encoding="utf-8")
    assert load(copy) == Config()


def test_what_it_shows_is_what_holds_without_it() -> None:
    shown = validate(uncommented(), source="mcsd.toml")
    examples = shown.model_copy(
        update={
            "booleans": Config().booleans,
            "engine": (),
            "volumes": shown.volumes.model_copy(update={"rule": ()}),
            "fleet": shown.fleet.model_copy(update={"storage": ()}),
        }
    )
    assert examples == Config()
    assert [(engine.kind, engine.name) for engine in shown.engine] == [("podman", "podman")]
    assert shown.booleans.wishes == {"docker_connect_any": Wish.OFF}
    assert [rule.path for rule in shown.volumes.rule] == ["/srv/www"]
    assert [(storage.path, storage.name) for storage in shown.fleet.storage] == [("/srv/media", "media")]


def test_it_shows_every_key() -> None:
    shown = uncommented()
    for name, field in Config.model_fields.items():
        table, model = shown[name], field.annotation
        if name == "engine":
            (table,), model = table, EngineTable  # type: ignore[misc]  # the example of one
        assert isinstance(table, dict)
        assert model is not None
        assert set(model.model_fields) <= set(table), name
