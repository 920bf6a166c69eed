"""The page's views without a browser, on what mcsd answers; and what the page's files promise as files."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

from tests.fakes.serving import serving
from tests.web.console import PAGE
from tests.web.scene import troubled_service

VIEWS = Path(__file__).parent / "views.test.mjs"
PATHS = ("status", "containers", "volumes", "booleans", "strays", "reach", "denials", "audit", "events")


def test_the_views_show_what_mcsd_answers(tmp_path: Path) -> None:
    with serving(troubled_service(), tmp_path / "s") as served:
        answers = {path: served.ask(f"/v1/{path}").object for path in PATHS}
    (tmp_path / "answers").write_text(json.dumps(answers))
    assert shutil.which("node"), "missing for tests/web: apt-get install nodejs"
    environment = {**os.environ, "MCSD_ANSWERS": str(tmp_path / "answers")}
    command = ["node", "--test", str(VIEWS)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-6000:]


def test_the_page_keeps_to_cockpit_s_content_security_policy() -> None:
    """No script, style or handler in the markup, nothing from elsewhere, no way from a string to markup."""
    page = (PAGE / "index.html").read_text()
    assert re.findall(r"<script(?![^>]* src=)", page) == [] and "<style" not in page
    assert re.findall(r" (?:on\w+|style)=", page) == []
    for path in PAGE.glob("js/*.js"):
        text = path.read_text()
        found = re.findall(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text
        )
        assert found == [], path.name
    for path in [PAGE / "index.html", PAGE / "mcsd.css", *PAGE.glob("js/*.js")]:
        elsewhere = set(re.findall(r"https?://[^\s\"')]+", path.read_text()))
        assert elsewhere <= {"http://www.w3.org/2000/svg"}, path.name


def test_the_template_for_translators_has_every_text(tmp_path: Path) -> None:
    """`make -C packaging/cockpit pot` writes it anew."""
    done = subprocess.run(
        ["make", "-s", "-C", PAGE, "pot", f"POT={tmp_path}/pot"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "pot").read_text() == (PAGE / "po/mcsd.pot").read_text()
    assert '"Verify and repair"' in (tmp_path / "pot").read_text()


def test_the_manifest_shows_the_page_only_where_mcsd_is() -> None:
    manifest = json.loads((PAGE / "manifest.json").read_text())
    assert manifest["conditions"] == [{"path-exists": "/run/mcsd/mcsd.sock"}]
    assert "content-security-policy" not in manifest, "Cockpit's own is enough"
