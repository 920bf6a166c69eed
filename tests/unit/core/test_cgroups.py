"""Control groups: whose process it is, by names that others have given."""

from __future__ import annotations

import pytest

from mcsd.core.cgroups import group_in, holder_in

ID = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("text", "group"),
    [
        ("0::/user.slice/session-1.scope\n", "/user.slice/session-1.scope"),
        ("0::/\n", "/"),
        ("", ""),
        ("nonsense\n", ""),
        ("12:cpu,cpuacct:/x\n1:name=systemd:/system.slice/a.service\n", "/system.slice/a.service"),
        ("12:cpu:/x\n1:name=systemd:/system.slice/a.service\n0::/\n", "/system.slice/a.service"),
        ("1:name=systemd:/a\n0::/b\n", "/b"),
        ("0::/with:colon\n", "/with:colon"),
    ],
)
def test_the_group_is_that_of_version_2_or_systemd_s(text: str, group: str) -> None:
    assert group_in(text) == group


@pytest.mark.parametrize(
    ("group", "holder"),
    [
        ("/machine.slice/machine-qemu\\x2d3\\x2dweb.scope/libvirt/emulator", "virtual machine web"),
        ("/machine.slice/machine-qemu-web.scope", "virtual machine web"),
        ("/machine.slice/machine-lxc\\x2d7\\x2dbox.scope", "libvirt's LXC container box"),
        ("/machine.slice/systemd-nspawn@my\\x2dbox.service/payload", "nspawn container my-box"),
        ("/machine.slice/machine-box.scope", "machine box"),
        ("/lxc.payload.web/system.slice/a.service", "LXC container web"),
        ("/lxc.monitor.web", "LXC container web"),
        (f"/machine.slice/libpod-{ID}.scope/container", "Podman container 0123456789ab"),
        (f"/user.slice/libpod-{ID}", "Podman container 0123456789ab"),
        (f"/kubepods.slice/cri-containerd-{ID}.scope", "containerd container 0123456789ab"),
        (f"/system.slice/nerdctl-{ID}.scope", "nerdctl container 0123456789ab"),
        (f"/kubepods.slice/crio-{ID}.scope", "CRI-O container 0123456789ab"),
        (f"/system.slice/docker-{ID}.scope", "Docker container 0123456789ab"),
        ("/system.slice/sshd.service", ""),
        ("/libpod-short.scope", ""),
        ("/", ""),
        ("", ""),
    ],
)
def test_the_holder_is_named_by_its_group(group: str, holder: str) -> None:
    assert holder_in(group) == holder
