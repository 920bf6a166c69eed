"""What this host can run a guest with: tried, not guessed, once for each boot of the host.

KVM's device may be there and the guest hang in its first instructions; User Mode Linux may not be allowed to
run its programs. Only a guest whose own first program was heard counts. Otherwise QEMU translates, which is
slower and always works.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

from tests.vm import uml
from tests.vm.cache import HarnessError, home, say
from tests.vm.initramfs import READY, host_busybox

PATIENCE = 12.0
KNOWN = ("kvm", "uml", "tcg")


def asked_for() -> str | None:
    """What the environment says to use, without a trial."""
    chosen = os.environ.get("MCSD_VM_ACCEL")
    if chosen and chosen not in KNOWN:
        raise HarnessError(f"MCSD_VM_ACCEL is {chosen!r}; known: {', '.join(KNOWN)}")
    return chosen or None


@cache
def natively() -> Path | None:
    """The directory of a kernel that runs as a program here, or None."""
    chosen = asked_for()
    if chosen in ("kvm", "tcg"):
        return None
    try:
        kernel = uml.kernel()
    except HarnessError as exc:
        if chosen:
            raise
        say(f"no User Mode Linux, guests are translated where KVM does not work: {exc}")
        return None
    if chosen:
        return kernel
    works = _remembered(
        "uml", "whether User Mode Linux works here", lambda: uml.works(kernel / "linux", host_busybox())
    )
    return kernel if works else None


def best(image: Path, *, own_kernel: bool) -> str:
    """What to run the image's guest with; `own_kernel` is the root tree's, not one of ours."""
    chosen = asked_for()
    if chosen and not (chosen == "uml" and own_kernel):
        return chosen
    has_kvm = os.access("/dev/kvm", os.R_OK | os.W_OK) and (image / "vmlinuz").exists()
    question = "whether KVM works here"
    if chosen is None and has_kvm and _remembered("kvm", question, lambda: _kvm_works(image)):
        return "kvm"
    return "tcg" if own_kernel or natively() is None else "uml"


def _remembered(what: str, question: str, trial: Callable[[], bool]) -> bool:
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    answer = home() / f"acceleration-{what}-{boot}"
    if not answer.exists():
        say(f"trying {question}…")
        found = trial()
        say("it does" if found else "it does not")
        for older in home().glob(f"acceleration-{what}-*"):
            older.unlink(missing_ok=True)
        partial = answer.with_name(f"{answer.name}.{os.getpid()}")
        partial.write_text("works" if found else "does not")
        partial.rename(answer)
    return answer.read_text() == "works"


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
