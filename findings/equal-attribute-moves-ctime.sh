#!/bin/bash
# Setting an extended attribute to the value that it has: on ext4 nothing changes, on XFS and Btrfs the file's ctime
# moves all the same. "Nothing was written, so no ctime moved" holds on ext4 only: who labels a tree again that
# is labelled already makes every file look changed to a backup, unless he reads before he writes.
# Also: how long an attribute may be, and what a longer one is answered with.
# Seen on Linux 6.18. Needs root and loop devices; e2fsprogs 1.47.0, xfsprogs 6.1.0; btrfs-progs 6.2 is fetched.
set -euo pipefail
work=$(mktemp -d)
trap 'for kind in ext4 xfs btrfs; do ! mountpoint -q "$work/$kind" || umount "$work/$kind"; done; rm -rf "$work"' EXIT
(cd "$work" && apt-get download -qq btrfs-progs 2>/dev/null)
dpkg-deb -x "$work"/btrfs-progs_*.deb "$work/root"
PATH=$PATH:$work/root/sbin
cat >"$work/try.py" <<'END'
import errno, os, sys, time

kind, place = sys.argv[1:]
path = os.path.join(place, "file")
open(path, "w").close()
os.setxattr(path, "security.selinux", b"system_u:object_r:var_t:s0")
before = os.stat(path).st_ctime_ns
time.sleep(0.05)
os.setxattr(path, "security.selinux", b"system_u:object_r:var_t:s0")
moved = "moves" if os.stat(path).st_ctime_ns != before else "stays"
low, high = 1, 70_000
while low < high:
    middle = (low + high + 1) // 2
    try:
        os.setxattr(path, "security.selinux", b"x" * middle)
        low = middle
    except OSError as error:
        why, high = errno.errorcode[error.errno], middle - 1
print(f"{kind}: ctime {moved}; longest value {low} bytes, then {why}")
END
for kind in ext4 xfs btrfs; do
  truncate -s 400M "$work/$kind.img"
  case $kind in
    ext4) mkfs.ext4 -q -b 4096 "$work/$kind.img" ;;
    *) "mkfs.$kind" -q "$work/$kind.img" >/dev/null 2>&1 ;;
  esac
  mkdir "$work/$kind"
  mount -o loop "$work/$kind.img" "$work/$kind"
  /usr/bin/python3 "$work/try.py" $kind "$work/$kind"
done | tee "$work/seen"
grep -q '^ext4: ctime stays; longest value 4[0-9]* bytes, then ENOSPC$' "$work/seen"
grep -q '^xfs: ctime moves; longest value 65536 bytes, then E2BIG$' "$work/seen"
grep -q '^btrfs: ctime moves; longest value 1[0-9]* bytes, then ENOSPC$' "$work/seen"
