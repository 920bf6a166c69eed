"""Entries on the wire: libsystemd's own datagrams, caught by a stand-in for journald."""

from __future__ import annotations

import subprocess
import sys

import pytest

from mcsd.core.notices import Kind

pytestmark = pytest.mark.host

SCRIPT = """
import os, socket, sys
os.makedirs("/run/systemd/journal")
listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
listener.bind("/run/systemd/journal/socket")

from mcsd.adapters.systemd.journal import SystemdJournal
from mcsd.core.notices import Kind, Notice

journal = SystemdJournal()
fields = {"where": "a\\nPRIORITY=0", "reason": "b", "traceback": "one\\ntwo"}
journal.emit(Notice(Kind.INTERNAL, fields, "c" * 64))
journal.close()
sys.stdout.buffer.write(listener.recv(65536))
listener.close()
os.unlink("/run/systemd/journal/socket")
SystemdJournal().close()
journal = SystemdJournal()
journal.emit(Notice(Kind.STOPPING))
journal.close()
"""


def parse(datagram: bytes) -> dict[str, str]:
    """Read journald's native protocol: `NAME=value`, or the name, the length in 8 bytes, and the value."""
    entry = {}
    while datagram:
        line, _, datagram = datagram.partition(b"\n")
        name, is_plain, value = line.partition(b"=")
        if not is_plain:
            length = int.from_bytes(datagram[:8], "little")
            value, datagram = datagram[8 : 8 + length], datagram[8 + length + 1 :]
        assert name.decode() not in entry
        entry[name.decode()] = value.decode()
    return entry


def test_journald_gets_each_field_once_and_standard_error_the_rest() -> None:
    mounting = 'mount -t tmpfs tmpfs /run && exec "$0" -c "$1"'
    command = ["unshare", "-m", "sh", "-c", mounting, sys.executable, SCRIPT]
    done = subprocess.run(command, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    entry = parse(done.stdout)
    assert entry["MESSAGE"] == "unforeseen failure in a\\nPRIORITY=0: b"
    assert entry["MESSAGE_ID"] == Kind.INTERNAL.value.message_id
    assert entry["PRIORITY"] == "2"
    assert entry["MCSD_WHERE"] == "a\\nPRIORITY=0"
    assert entry["MCSD_TRACEBACK"] == "one\ntwo"
    assert entry["MCSD_CONTAINER_ID"] == "c" * 64
    assert done.stderr == b"mcsd: info: mcsd is stopping\n"
