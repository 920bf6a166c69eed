#!/bin/bash
# audit 3.0.9: of a denial, `ausearch --format csv` and `--format text` tell neither context, so nobody can see from
# them that it was the level (the categories) that did not match. `--extra-labels` adds columns for both; auparse's
# aup_normalize, which those formats are made with, gives subject and object without them.
# No audit daemon runs; the records are read from a file. Needs: auditd and python3-audit (fetched).
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
chmod 0755 "$work"
cd "$work"
apt-get download -qq auditd=1:3.0.9-1 2>/dev/null
dpkg-deb -x auditd_*.deb root
cat >log <<'END'
type=AVC msg=audit(1700000000.123:42): avc:  denied  { read } for  pid=10 comm="cat" name="secret" dev="sda1" ino=7 scontext=system_u:system_r:container_t:s0:c1,c2 tcontext=system_u:object_r:container_file_t:s0:c3,c4 tclass=file permissive=0
type=SYSCALL msg=audit(1700000000.123:42): arch=c000003e syscall=257 success=no exit=-13 a0=ffffff9c a1=7ffd a2=0 a3=0 items=0 ppid=1 pid=10 auid=4294967295 uid=0 gid=0 euid=0 suid=0 fsuid=0 egid=0 sgid=0 fsgid=0 tty=(none) ses=4294967295 comm="cat" exe="/usr/bin/cat" subj=system_u:system_r:container_t:s0:c1,c2 key=(null)
type=PROCTITLE msg=audit(1700000000.123:42): proctitle="cat"
END
levels() { grep -c 's0:c' || :; }
for format in raw csv text; do
  printf 'ausearch --format %s: lines with a level: %s\n' $format "$(root/sbin/ausearch -if log --format $format 2>/dev/null | levels)"
done | tee seen
printf 'ausearch --format csv --extra-labels: lines with a level: %s\n' \
  "$(root/sbin/ausearch -if log --format csv --extra-labels 2>/dev/null | levels)" | tee -a seen
grep -q 'raw: .* [1-9]' seen
grep -q 'csv: .* 0$' seen
grep -q 'text: .* 0$' seen
grep -q 'extra-labels: .* [1-9]' seen
