#!/bin/bash
# setxattrat(2), new in Linux 6.13, works on "the file that the descriptor refers to" with AT_EMPTY_PATH, but not when
# the descriptor was opened with O_PATH: EBADF, as fsetxattr(2) says. openat(O_PATH | O_NOFOLLOW) is how one holds an
# inode without opening it, and its siblings fstatat, fchownat and linkat take such a descriptor. Labelling the very
# inode that was looked at still goes through /proc/self/fd/N.
# Needs Linux 6.13 or newer on x86-64, and a temporary directory whose file system has user attributes (ext4).
set -euo pipefail
work=$(mktemp -d -p /var/tmp); trap 'rm -rf "$work"' EXIT
cat >"$work/try.py" <<'END'
import ctypes, errno, os, sys

class Arguments(ctypes.Structure):
    _fields_ = [("value", ctypes.c_uint64), ("size", ctypes.c_uint32), ("flags", ctypes.c_uint32)]

SETXATTRAT, AT_EMPTY_PATH = 463, 0x1000
libc = ctypes.CDLL(None, use_errno=True)
value = ctypes.create_string_buffer(b"x", 1)
arguments = Arguments(ctypes.addressof(value), 1, 0)
size = ctypes.c_size_t(ctypes.sizeof(arguments))

def setxattrat(descriptor: int) -> str:
    done = libc.syscall(SETXATTRAT, descriptor, b"", AT_EMPTY_PATH, b"user.test", ctypes.byref(arguments), size)
    return "done" if done == 0 else errno.errorcode[ctypes.get_errno()]

path = sys.argv[1] + "/file"
open(path, "w").close()
print("a descriptor that reads:", setxattrat(os.open(path, os.O_RDONLY)))
held = os.open(path, os.O_PATH | os.O_NOFOLLOW)
print("a descriptor that only holds (O_PATH):", setxattrat(held))
os.setxattr(f"/proc/self/fd/{held}", "user.test", b"x")
print("the same through /proc/self/fd: done")
END
/usr/bin/python3 "$work/try.py" "$work" | tee "$work/seen"
grep -q 'reads: done$' "$work/seen"
grep -q '(O_PATH): EBADF$' "$work/seen"
grep -q 'through /proc/self/fd: done$' "$work/seen"
