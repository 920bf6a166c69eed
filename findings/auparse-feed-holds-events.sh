#!/bin/bash
# auparse of audit 3.0.9, fed record by record: an event of one record, as a denial without its system call is, is
# handed to the callback only when a record comes whose own time is two seconds later. The records' times count, not
# the clock: on a host where nothing more is denied the last denial is not heard of, however long one
# waits, until feed_age_events() or flush_feed() is called. And the Python bindings take plain functions alone: a
# bound method, as a class would register its own, is refused.
# No SELinux in the kernel is needed. Needs: apt.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work"
apt-get download -qq python3-audit libauparse0 2>/dev/null
for package in *.deb; do dpkg-deb -x "$package" root; done
echo "audit $(dpkg-deb -f python3-audit_*.deb Version | sed 's/^1://; s/-.*//')" | tee version
cat >feed.py <<'END'
import time

import auparse

SECOND = 1700000000
RECORD = (
    'type=AVC msg=audit({}.000:{}): avc:  denied  {{ read }} for  pid=7 comm="cat" name="f" dev="dm-0" ino=5 '
    "scontext=system_u:system_r:container_t:s0:c1,c2 tcontext=system_u:object_r:container_file_t:s0:c3,c4 "
    "tclass=file permissive=0\n"
)


class Listener:
    def __init__(self):
        self.heard = []

    def hear(self, parser, event, data):
        self.heard.append(parser.get_timestamp().serial)


listener = Listener()
parser = auparse.AuParser(auparse.AUSOURCE_FEED)
try:
    parser.add_callback(listener.hear, None)
    print("a bound method: taken")
except (TypeError, ValueError) as exc:
    print(f"a bound method: {type(exc).__name__}, {exc}")
parser.add_callback(lambda *event: listener.hear(*event), None)
for after in range(4):
    parser.feed(RECORD.format(SECOND + after, after + 1))
    print(f"a record {after} s after the first: heard of {listener.heard}")
time.sleep(3)
print(f"three seconds of the clock later: heard of {listener.heard}")
parser.flush_feed()
print(f"flushed: heard of {listener.heard}")
END
PYTHONPATH=$work/root/usr/lib/python3/dist-packages LD_LIBRARY_PATH=$(echo "$work"/root/usr/lib/*-linux-gnu) \
  /usr/bin/python3 feed.py | tee seen
grep -qx 'audit 3.0.9' version
grep -q '^a bound method: ValueError, ' seen
grep -qF 'a record 1 s after the first: heard of []' seen
grep -qF 'a record 3 s after the first: heard of [1, 2]' seen
grep -qF 'three seconds of the clock later: heard of [1, 2]' seen
grep -qF 'flushed: heard of [1, 2, 3, 4]' seen
