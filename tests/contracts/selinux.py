"""What every `Selinux` must do, the fake included: one suite, for the fake here and a kernel in the guest.

It is written without the test framework, because the guest has none: each method whose name begins with
`test_` takes a fresh world and asserts.
"""

from __future__ import annotations

import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Protocol

from mcsd.core.labels import Context, Level, read_label
from mcsd.errors import SelinuxError
from mcsd.ports import Selinux


class World(Protocol):
    """A host that enforces a policy with categories, and the operations that change it.

    `selinux` is under test. `foreign` is the context of a process that categories do not constrain.
    """

    @property
    def selinux(self) -> Selinux: ...

    @property
    def foreign(self) -> str: ...

    def run(self, level: str) -> int:
        """Start a confined process at a level and return its pid."""
        ...

    def end(self, pid: int) -> None:
        """End a process, and return when it is gone."""
        ...

    def set_enforcing(self, *, enforcing: bool) -> None:
        """Do as `setenforce` does."""
        ...

    def load_policy(self) -> None:
        """Load the policy again."""
        ...

    def make_permissive(self, domain: str) -> None:
        """Make a domain permissive."""
        ...


def refusal(ask: Callable[[], object]) -> SelinuxError:
    """Return the error that a question must raise."""
    try:
        answer = ask()
    except SelinuxError as exc:
        return exc
    raise AssertionError(f"it was answered with {answer!r}")


class SelinuxContract:
    """The promises of `mcsd.ports.Selinux`."""

    def test_status_is_what_the_kernel_says_now(self, world: World) -> None:
        """Promise 8."""
        status = world.selinux.status()
        assert (status.backend, status.enabled, status.mls) == ("kernel", True, True)
        assert status.policy
        for enforcing in (False, True, False, True):
            world.set_enforcing(enforcing=enforcing)
            assert world.selinux.status().enforcing is enforcing

    def test_policy_load_moves_the_generation_and_nothing_else_does(self, world: World) -> None:
        before = world.selinux.status()
        assert world.selinux.status() == before
        world.load_policy()
        assert world.selinux.status().generation > before.generation

    def test_context_is_spelled_as_the_kernel_spells_it(self, world: World) -> None:
        spelled = world.selinux.file_context("svirt_sandbox_file_t", "s0:c9,c3,c5,c4")
        assert str(spelled).endswith(":s0:c3.c5,c9")
        assert world.selinux.canonical(str(spelled)) == str(spelled)

    def test_context_that_the_policy_does_not_have_is_refused_by_name(self, world: World) -> None:
        for context in ("system_u:object_r:bliss_t:s0", "nobody", "", "system_u:object_r:var_t:s0:c5000"):
            error = refusal(partial(world.selinux.canonical, context))
            assert context in error.what

    def test_file_type_has_the_name_that_the_policy_knows(self, world: World) -> None:
        names = ("svirt_sandbox_file_t", "container_file_t")
        contexts = {world.selinux.file_context(name, "s0:c1,c2") for name in names}
        assert len(contexts) == 1

    def test_file_type_that_the_policy_lacks_is_not_replaced(self, world: World) -> None:
        error = refusal(lambda: world.selinux.file_context("bliss_t", "s0:c1,c2"))
        assert "'bliss_t'" in error.what
        assert "file_type" in error.hint
        assert (
            "'s0:c5000'" in refusal(lambda: world.selinux.file_context("container_file_t", "s0:c5000")).what
        )

    def test_domain_of_containers_is_the_policy_s_own_or_the_wanted_one(self, world: World) -> None:
        own = world.selinux.container_domain("")
        assert own.level == Level.of() and world.selinux.canonical(str(own)) == str(own)
        assert world.selinux.container_domain(own.type) == own
        refusal(lambda: world.selinux.container_domain("bliss_t"))

    def test_process_shows_its_level_until_it_is_gone(self, world: World) -> None:
        pid = world.run("s0:c7,c8")
        context = world.selinux.process_context(pid)
        assert isinstance(context, Context)
        assert context.level == Level.of(7, 8)
        assert world.selinux.canonical(str(context)) == str(context)
        assert world.selinux.next_context(pid) is None
        world.end(pid)
        assert world.selinux.process_context(pid) is None
        assert world.selinux.next_context(pid) is None

    def test_categories_separate_a_contained_process(self, world: World) -> None:
        """Promise 8: the kernel decides, not the form of the label."""
        pid = world.run("s0:c7,c8")
        context = world.selinux.process_context(pid)
        assert isinstance(context, Context)
        assert world.selinux.separates(context, "svirt_sandbox_file_t")
        assert not world.selinux.separates(context.at(Level.of()), "svirt_sandbox_file_t")
        everything = context.at(Level.of(*range(1024)))
        assert not world.selinux.separates(everything, "svirt_sandbox_file_t")
        refusal(lambda: world.selinux.separates(context, "bliss_t"))
        world.end(pid)

    def test_categories_separate_nobody_else(self, world: World) -> None:
        assert not world.selinux.separates(read_label(world.foreign), "svirt_sandbox_file_t")

    def test_permissive_domain_is_seen(self, world: World) -> None:
        """Promise 8."""
        pid = world.run("s0:c7,c8")
        context = world.selinux.process_context(pid)
        assert context is not None
        assert not world.selinux.is_permissive(context)
        world.make_permissive(context.type)
        assert world.selinux.is_permissive(context)
        assert not world.selinux.is_permissive(read_label(world.foreign))
        world.end(pid)

    def test_policy_says_whom_it_lets_in(self, world: World) -> None:
        """Promise 8."""
        pid = world.run("s0:c7,c8")
        context = world.selinux.process_context(pid)
        assert context is not None
        own = str(world.selinux.file_context("container_file_t", "s0:c7,c8"))
        other = str(world.selinux.file_context("container_file_t", "s0:c1,c2"))
        for kind in (stat.S_IFREG, stat.S_IFDIR):
            assert world.selinux.lets_in(context, own, kind | 0o600), kind
            assert not world.selinux.lets_in(context, other, kind | 0o600), kind
        assert not world.selinux.lets_in(context, "system_u:object_r:shadow_t:s0", stat.S_IFREG | 0o600)
        refusal(lambda: world.selinux.lets_in(context, "system_u:object_r:bliss_t:s0", stat.S_IFREG))
        world.end(pid)

    def test_what_nothing_keeps_may_be_relabelled(self, world: World) -> None:
        """Also a label that is invalid in the policy, which the kernel treats as unlabeled."""
        assert world.selinux.may_relabel(str(world.selinux.file_context("container_file_t", "s0:c7,c8")))
        assert world.selinux.may_relabel("system_u:object_r:bliss_t:s0")

    def test_host_names_what_a_path_should_carry(self, world: World) -> None:
        label = world.selinux.default_label("/etc/passwd", stat.S_IFREG | 0o644)
        assert label is not None
        assert world.selinux.canonical(label) == label
        assert world.selinux.default_label("/tmp/x", stat.S_IFREG | 0o644) is None
        odd = world.selinux.default_label("/etc/\udcff\n", stat.S_IFREG | 0o644)
        assert odd is None or world.selinux.canonical(odd) == odd

    def test_many_threads_get_the_same_answers(self, world: World) -> None:
        def ask(_: int) -> tuple[object, ...]:
            return (
                world.selinux.status(),
                world.selinux.file_context("container_file_t", "s0:c2,c1"),
                world.selinux.default_label("/etc/passwd", stat.S_IFREG),
                world.selinux.is_permissive(read_label(world.foreign)),
            )

        with ThreadPoolExecutor(8) as pool:
            assert len(set(pool.map(ask, range(200)))) == 1

    def test_closing_twice_is_closing(self, world: World) -> None:
        world.selinux.close()
        world.selinux.close()
