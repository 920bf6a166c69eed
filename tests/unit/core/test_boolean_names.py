"""Names of booleans, case by case."""

from __future__ import annotations

import pytest

from mcsd.core.boolean_names import RENAMES, NameSource, is_name, resolve

FEDORA = {
    "container_connect_any",
    "virt_use_nfs",
    "virt_use_samba",
    "container_manage_cgroup",
    "antivirus_use_jit",
}


def test_the_name_as_given_comes_first() -> None:
    found = resolve("container_connect_any", FEDORA | {"docker_connect_any"}, "docker_connect_any")
    assert (found.name, found.how) == ("container_connect_any", NameSource.GIVEN)


def test_then_what_the_policy_substitutes() -> None:
    found = resolve("clamd_use_jit", FEDORA, "antivirus_use_jit")
    assert (found.name, found.how) == ("antivirus_use_jit", NameSource.SUBSTITUTED)


@pytest.mark.parametrize("rename", RENAMES, ids=lambda one: one.old)
def test_then_renames_in_both_directions_and_each_has_its_source(rename: object) -> None:
    assert isinstance(rename, type(RENAMES[0]))
    new = resolve(rename.old, {rename.new}, rename.old)
    assert (new.name, new.how) == (rename.new, NameSource.RENAMED)
    old = resolve(rename.new, {rename.old}, rename.new)
    assert (old.name, old.how) == (rename.old, NameSource.RENAMED)
    assert rename.source in new.note and any(char.isdigit() for char in rename.source)


def test_the_guide_s_boolean_is_found_on_today_s_fedora() -> None:
    assert resolve("docker_connect_any", FEDORA, "docker_connect_any").name == "container_connect_any"


def test_a_substitute_that_the_policy_does_not_have_counts_for_nothing() -> None:
    assert resolve("virt_sandbox_use_nfs", {"container_use_nfs"}, "virt_use_nfs").name is None


def test_an_unknown_name_gets_the_nearest_ones() -> None:
    found = resolve("container_conect_any", FEDORA, "container_conect_any")
    assert found.name is None and found.how is NameSource.UNKNOWN
    assert found.nearest[0] == "container_connect_any"


def test_what_was_dropped_says_so() -> None:
    assert "2015" in resolve("docker_transition_unconfined", FEDORA, "docker_transition_unconfined").note


@pytest.mark.parametrize("text", ["", ".", "..", "../enforce", "a/b", "a b", "a\0b", "a\n", "ö", "x" * 129])
def test_what_would_leave_the_directory_of_booleans_is_no_name(text: str) -> None:
    """Promise 10: a name becomes part of a path in selinuxfs."""
    assert not is_name(text)
    assert resolve(text, {text}, text).name is None
