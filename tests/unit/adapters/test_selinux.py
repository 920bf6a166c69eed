"""SELinux where the kernel has none, and the names that policies have for container files.

What needs a kernel with SELinux is in the contract, which the guest runs.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import selinux

from mcsd.adapters.selinux import kernel as adapter
from mcsd.adapters.selinux import paths as selinux_paths
from mcsd.adapters.selinux import types as selinux_types
from mcsd.adapters.selinux.kernel import KernelSelinux, XattrSelinux, open_selinux
from mcsd.adapters.selinux.paths import PathLabels
from mcsd.adapters.selinux.types import file_types
from mcsd.core.host import Host, SelinuxStatus
from mcsd.core.isolation import Why, host_reasons
from mcsd.core.labels import read_label
from mcsd.errors import SelinuxError
from tests.contracts.selinux import refusal
from tests.fakes.settled import settled

CONTAINER = "system_u:system_r:container_t:s0:c1,c2"


@pytest.fixture(autouse=True)
def _settled() -> Iterator[None]:
    with settled():
        yield


@pytest.fixture
def disabled(monkeypatch: pytest.MonkeyPatch) -> Iterator[KernelSelinux]:
    """The kernel backend on a kernel without SELinux."""
    monkeypatch.setattr(selinux, "is_selinux_enabled", lambda: 0)
    kernel = KernelSelinux()
    yield kernel
    kernel.close()


def test_backend_is_one_of_two() -> None:
    assert isinstance(open_selinux("xattr"), XattrSelinux)
    assert "'bliss'" in refusal(lambda: open_selinux("bliss")).what


class TestDisabled:
    """The kernel backend on a kernel without SELinux."""

    def test_status_says_so(self, disabled: KernelSelinux) -> None:
        """Promise 8."""
        status = disabled.status()
        assert (status.backend, status.enabled, status.enforcing, status.mls) == (
            "kernel",
            False,
            False,
            False,
        )
        assert [reason.why for reason in host_reasons(Host(status))] == [Why.SELINUX_OFF]

    def test_processes_have_no_context(self, disabled: KernelSelinux) -> None:
        assert disabled.process_context(os.getpid()) is None

    def test_no_question_about_contexts_is_answered(self, disabled: KernelSelinux) -> None:
        for ask in (
            lambda: disabled.canonical(CONTAINER),
            lambda: disabled.is_permissive(read_label(CONTAINER)),
            lambda: disabled.separates(read_label(CONTAINER), "container_file_t"),
            lambda: disabled.file_context("container_file_t", "s0"),
        ):
            error = refusal(ask)
            assert error.what == "SELinux is disabled in the kernel"
            assert "/etc/selinux/config" in error.hint and "selinux=0" in error.hint


@pytest.mark.parametrize(
    ("mounts", "is_refused"),
    [
        ("selinuxfs /sys/fs/selinux selinuxfs ro,nosuid 0 0\n", True),
        ("selinuxfs /sys/fs/selinux selinuxfs rw,nosuid 0 0\n", False),
        ("proc /proc proc ro 0 0\n", False),
        ("", False),
    ],
)
def test_selinuxfs_that_is_read_only_is_not_taken_for_no_selinux(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mounts: str, is_refused: bool
) -> None:
    """libselinux says "disabled" then; what is wrong is the unit that mcsd was started from."""
    (tmp_path / "mounts").write_text(mounts)
    monkeypatch.setattr(adapter, "_MOUNTS", tmp_path / "mounts")
    monkeypatch.setattr(selinux, "is_selinux_enabled", lambda: 0)
    if is_refused:
        assert "ProtectKernelTunables" in refusal(KernelSelinux).hint
    else:
        KernelSelinux().close()


def test_label_that_the_kernel_does_not_show_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Promise 8: a process that may not be looked at is not one without a label."""
    monkeypatch.setattr(selinux, "is_selinux_enabled", lambda: 1)
    monkeypatch.setattr(selinux, "getpidcon_raw", _failing(PermissionError(13, "Permission denied")))
    error = refusal(lambda: KernelSelinux().process_context(7))
    assert error.what == "the label of process 7 cannot be read: Permission denied"
    assert "getattr" in error.hint


def _failing(error: OSError) -> Any:
    def fail(*_: object) -> object:
        raise error

    return fail


class Kernel:
    """What libselinux reads of a kernel with SELinux, for `monkeypatch`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, has_status_page: bool) -> None:
        self.enforcing = 1
        self.loads = 1
        self.mls_asked = 0
        self.failure: OSError | None = None
        absent = _failing(FileNotFoundError(2, "No such file or directory"))
        answers: dict[str, Any] = {
            "is_selinux_enabled": lambda: 1,
            "selinux_status_open": (lambda _: 0) if has_status_page else absent,
            "selinux_status_close": lambda: None,
            "selinux_status_getenforce": lambda: self.enforcing,
            "selinux_status_policyload": lambda: self.loads,
            "security_getenforce": self._getenforce,
            "is_selinux_mls_enabled": self._mls,
            "selinux_getpolicytype": lambda: [0, "targeted"],
        }
        for name, answer in answers.items():
            monkeypatch.setattr(selinux, name, answer)

    def _getenforce(self) -> int:
        if self.failure is not None:
            raise self.failure
        return self.enforcing

    def _mls(self) -> int:
        self.mls_asked += 1
        return 1


class TestStatus:
    """Looking at whether SELinux enforces, often."""

    def test_with_the_status_page_only_a_policy_load_costs_more_than_a_look(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        host = Kernel(monkeypatch, has_status_page=True)
        kernel = KernelSelinux()
        for _ in range(3):
            assert kernel.status() == SelinuxStatus("kernel", True, True, True, "targeted", 1)
        assert host.mls_asked == 1
        host.enforcing, host.loads = 0, 2
        assert kernel.status() == SelinuxStatus("kernel", True, False, True, "targeted", 2)
        assert host.mls_asked == 2
        kernel.close()

    def test_without_it_the_kernel_is_asked_each_time(self, monkeypatch: pytest.MonkeyPatch) -> None:
        host = Kernel(monkeypatch, has_status_page=False)
        kernel = KernelSelinux()
        assert kernel.status().enforcing
        host.enforcing = 0
        assert not kernel.status().enforcing
        assert kernel.status().generation == 0
        kernel.close()

    def test_kernel_that_does_not_answer_is_an_error(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Promise 8: what is not known is not said."""
        host = Kernel(monkeypatch, has_status_page=False)
        host.failure = PermissionError(13, "Permission denied")
        error = refusal(KernelSelinux().status)
        assert error.what == "cannot ask whether SELinux enforces: Permission denied"
        assert "ausearch" in error.hint


class TestXattr:
    """Labels with no SELinux in the kernel."""

    def test_nothing_is_ever_said_to_be_isolated(self) -> None:
        """Promise 8."""
        xattr = XattrSelinux()
        assert [reason.why for reason in host_reasons(Host(xattr.status()))] == [Why.NO_KERNEL]
        assert not xattr.separates(read_label(CONTAINER), "container_file_t")
        assert xattr.process_context(os.getpid()) is None
        assert not xattr.is_permissive(read_label(CONTAINER))

    def test_contexts_have_one_spelling(self) -> None:
        xattr = XattrSelinux()
        assert str(xattr.file_context("svirt_sandbox_file_t", "s0:c9,c3")) == (
            "system_u:object_r:svirt_sandbox_file_t:s0:c3,c9"
        )
        assert xattr.canonical("u:r:t:s0:c3,c1,c2") == "u:r:t:s0:c1.c3"

    @pytest.mark.parametrize("context", ["", "u:r:t", "u:r:t:s0:c9999", "u:r:t:s0\n", "u r:t:t:s0"])
    def test_what_is_no_context_is_refused_by_name(self, context: str) -> None:
        assert repr(context) in refusal(lambda: XattrSelinux().canonical(context)).what


FEDORA = 'process = "system_u:system_r:container_t:s0"\nfile = "system_u:object_r:container_file_t:s0"\n'
LXC = 'content = "u:r:virt_var_lib_t:s0"\nfile = "system_u:object_r:svirt_lxc_file_t:s0"\n'


@pytest.fixture
def policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory for the two files in which a policy names its container contexts."""
    monkeypatch.setattr(selinux_types, "_CONTAINERS", tmp_path / "containers")
    monkeypatch.setattr(selinux, "selinux_lxc_contexts_path", lambda: str(tmp_path / "lxc_contexts"))
    return tmp_path


class TestFileTypes:
    """What the loaded policy may call the container file type."""

    @pytest.mark.parametrize("configured", selinux_types.NAMES)
    def test_what_is_configured_comes_first_and_every_name_once(self, policy: Path, configured: str) -> None:
        (policy / "containers").write_text(FEDORA)
        (policy / "lxc_contexts").write_text(FEDORA)
        names = list(file_types(configured))
        assert names[0] == configured
        assert sorted(names) == sorted(selinux_types.NAMES)

    def test_what_the_policy_names_comes_next(self, policy: Path) -> None:
        (policy / "containers").write_text(LXC.replace("svirt_lxc_file_t", "their_own_t"))
        (policy / "lxc_contexts").write_text(LXC)
        assert list(file_types("svirt_sandbox_file_t")) == [
            "svirt_sandbox_file_t",
            "their_own_t",
            "svirt_lxc_file_t",
            "container_file_t",
        ]

    @pytest.mark.parametrize(
        "text", [None, "", "file =\n", "# file = x\n", "ro_file = 'a:b:c:s0'\n", "\xff\0"]
    )
    def test_without_a_name_from_the_policy_the_known_ones_stay(self, policy: Path, text: str | None) -> None:
        if text is not None:
            (policy / "containers").write_bytes(text.encode("latin-1"))
        assert list(file_types("svirt_sandbox_file_t")) == list(selinux_types.NAMES)

    def test_type_of_an_administrator_s_own_is_never_replaced(self, policy: Path) -> None:
        (policy / "containers").write_text(FEDORA)
        assert list(file_types("public_content_t")) == ["public_content_t"]


class Database:
    """Stands in for the functions of libselinux that read file contexts."""

    SELABEL_CTX_FILE = 0

    def __init__(self) -> None:
        self.open: list[object] = []
        self.opened = 0
        self.asked: list[str] = []
        self.failure: OSError | None = None

    def selabel_open(self, backend: int, options: None, count: int) -> object:
        self.opened += 1
        self.open.append(handle := object())
        return handle

    def selabel_close(self, handle: object) -> None:
        self.open.remove(handle)

    def selabel_lookup_raw(self, handle: object, path: str, mode: int) -> tuple[int, str]:
        assert handle in self.open
        path.encode()  # the bindings take nothing else
        self.asked.append(path)
        if self.failure is not None:
            raise self.failure
        return 0, "u:r:t:s0"


@pytest.fixture
def database(monkeypatch: pytest.MonkeyPatch) -> Database:
    found = Database()
    monkeypatch.setattr(selinux_paths, "selinux", found)
    return found


class TestPathLabels:
    """The host's file contexts."""

    def test_they_are_read_once_and_again_after_a_policy_load(self, database: Database) -> None:
        labels = PathLabels()
        for generation in (1, 1, 2, 2):
            assert labels.lookup("/srv/a", stat.S_IFREG, generation=generation) == "u:r:t:s0"
        assert database.opened == 2
        labels.close()
        labels.close()
        assert database.open == []

    def test_path_without_a_label_has_none(self, database: Database) -> None:
        labels = PathLabels()
        database.failure = FileNotFoundError(2, "No such file or directory")
        assert labels.lookup("/tmp/x", stat.S_IFREG) is None
        labels.close()

    def test_name_that_is_not_utf_8_is_asked_for_all_the_same(self, database: Database) -> None:
        labels = PathLabels()
        assert labels.lookup("/srv/\udcff", stat.S_IFREG) == "u:r:t:s0"
        assert database.asked == ["/srv/\ufffd"]
        labels.close()

    def test_other_failures_name_the_path(self, database: Database) -> None:
        labels = PathLabels()
        database.failure = OSError(22, "Invalid argument")
        with pytest.raises(SelinuxError, match="'/srv/a': Invalid argument"):
            labels.lookup("/srv/a", stat.S_IFREG)
        labels.close()

    def test_host_without_file_contexts_names_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(selinux, "selabel_open", lambda *_: None)
        labels = PathLabels()
        assert labels.lookup("/etc/passwd", stat.S_IFREG) is None
        labels.close()
