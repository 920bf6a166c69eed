"""Whether this host can run a guest with KVM: tried, not guessed, once for each boot of the host.

The device may be there and the guest hang in its first instructions. Only a guest whose own first program
was heard counts; otherwise QEMU translates, which is slower and always works.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from pathlib import Path

from tests.vm.cache import home, say
from tests.vm.initramfs import READY

PATIENCE = 12.0


def best(image: Path) -> str:
    chosen = os.environ.get("MCSD_VM_ACCEL")
    if chosen:
        return chosen
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "tcg"
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    answer = home() / f"acceleration-{boot}"
    if not answer.exists():
        say("trying whether KVM works here…")
        found = "kvm" if _kvm_works(image) else "tcg"
        say(f"it {'does' if found == 'kvm' else 'does not; guests are translated (tcg)'}")
        for older in home().glob("acceleration-*"):
            older.unlink(missing_ok=True)
        partial = answer.with_name(f"{answer.name}.{os.getpid()}")
        partial.write_text(found)
        partial.rename(answer)
    return answer.read_text()


def _kvm_works(image: Path) -> bool:
    with tempfile.TemporaryDirectory(prefix="mcsd-vm-") as directory:
        serial = Path(directory) / "serial"
        process = subprocess.Popen(
            ["qemu-system-x86_64", "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none",
             "-nic", "none", "-machine", "pc", "-accel", "kvm", "-cpu", "host", "-m", "512M", "-smp", "2",
             "-kernel", str(image / "vmlinuz"), "-initrd", str(image / "initrd"),
             "-append", "console=ttyS0 panic=-1", "-serial", f"file:{serial}"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        try:
            give_up = time.monotonic() + PATIENCE
            while time.monotonic() < give_up and process.poll() is None:
                if serial.exists() and READY in serial.read_text(errors="replace"):
                    return True
                time.sleep(0.1)
            return False
        finally:
            process.kill()
            process.wait()
