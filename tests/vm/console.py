"""A person's root shell in the guest, over a virtio console."""

from __future__ import annotations

import os
import re
import select
import shutil
import sys
import termios
import tty

from tests.vm import jobs
from tests.vm.cache import say
from tests.vm.machine import Machine

LEAVE = b"\x1d"  # Ctrl-]


def attach(machine: Machine) -> int:
    """Connect this terminal until the shell ends or the person leaves."""
    size = shutil.get_terminal_size()
    # A shell waits there since the boot; a new one greets, and learns the terminal's size.
    device = machine.terminal
    fits = f"stty -F /dev/{device} rows {size.lines} cols {size.columns}"
    start = f"{fits}; systemctl restart serial-getty@{device}"
    step = jobs.Step("console", ["/bin/sh", "-c", start])
    jobs.run(machine, jobs.Job([step], fresh=False), output=lambda _: None)
    say("a root shell in the guest; it ends with the shell, or with Ctrl-]; nothing of it is kept")
    port = machine.port("console")
    terminal = sys.stdin.isatty()
    before = termios.tcgetattr(sys.stdin) if terminal else None
    try:
        if terminal:
            tty.setraw(sys.stdin)
        seen = b""
        sources: list[int] = [sys.stdin.fileno(), port.fileno()]
        while True:
            ready = select.select(sources, [], [])[0]
            if port.fileno() in ready:
                data = port.recv(1 << 16)
                if not data:
                    return 0
                os.write(sys.stdout.fileno(), data)
                seen = (seen + data)[-64:]
                if re.search(rb"[\r\n]logout\r\n", seen):
                    return 0
            if sys.stdin.fileno() in ready:
                data = os.read(sys.stdin.fileno(), 1 << 12)
                if not data:
                    sources.remove(sys.stdin.fileno())
                elif LEAVE in data:
                    return 0
                port.sendall(data)
    finally:
        if before is not None:
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
