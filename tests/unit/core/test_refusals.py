"""The names of rules: everything that refuses a volume has one that is told and counted."""

from __future__ import annotations

import re
from pathlib import Path

from mcsd.core.refusals import RULES, RefusalRule

SOURCE = Path(__file__).resolve().parents[3] / "mcsd"


def test_the_engine_refuses_by_no_other_name() -> None:
    used = {
        name
        for file in sorted((SOURCE / "relabel").glob("*.py"))
        for name in re.findall(r'\brule="([^"]+)"', file.read_text(encoding="utf-8"))
    }
    assert len(used) >= 4
    assert used <= set(RULES)


def test_each_name_is_one_word_for_a_label_and_used_once() -> None:
    assert len(set(RULES)) == len(RULES)
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", rule) for rule in RULES)


def test_each_rule_of_its_own_is_met_somewhere() -> None:
    text = "".join(file.read_text(encoding="utf-8") for file in sorted(SOURCE.rglob("*.py")))
    for rule in RefusalRule:
        assert f"RefusalRule.{rule.name}" in text or f'rule="{rule.value}"' in text, rule
