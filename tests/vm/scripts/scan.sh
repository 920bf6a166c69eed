#!/bin/bash
# A scan finds copies that carry a level, and files that were moved out of a volume while mcsd did not run. Their level
# is granted to nobody until they are gone. Strays on a disk that is not mounted stay known, and a lost list of strays
# is made anew by a scan.
# policies: debian
# long policies: fedora-like
set -u
. "$TAP"
. "$MCSD_TREE/tests/vm/packages.sh"

strays() { mcsctl --json scan --status | jq -r '.items[] | "\(.level) \(.count) \(.paths | join(" "))"'; }
no_strays() { [ -z "$(strays)" ]; }
scanned() { [ "$(mcsctl --json scan --status | jq -r '.scan.finished != null and .scan.path == null')" = true ]; }
gone() { ! mcsctl --json pairs | jq -r '.items[].level' | grep -qx "$1"; }

mkdir -p /etc/mcsd/conf.d /srv/a /srv/b /srv/bk
printf '[volumes]\nlinger = "1s"\n' >/etc/mcsd/conf.d/volumes.toml
for name in a b; do for file in f g h; do echo "in $name" >"/srv/$name/$file"; done; done
ok "systemd starts mcsd" systemctl start mcsd.service
ok "a container runs" runs ca -v /srv/a:/d
ok "and another" runs cb -v /srv/b:/d
a=$(level ca) b=$(level cb)

comment "cp -a takes the label along"
cp -a /srv/a/f /srv/bk/copy
ok "the copy carries the level" test "$(label_of /srv/bk/copy | cut -d: -f4-)" = "$a"
refused "a scan finds it" "^$a +on 1 outside every volume" mcsctl scan /srv
refused "and says what to do" 'restorecon -F /srv/bk/copy' mcsctl scan --status
says "it is told" '/srv/bk/copy carries .*not granted while' told stray-found .
says "the volume itself is no stray" '^1$' sh -c 'mcsctl --json scan --status | jq ".items | length"'
docker rm -f ca >/dev/null
ok "the volume is given back" wait_for 30 gone "$a"
says "the level is not called free" "level $a of container ca is not free: /srv/bk/copy" told level-astray .
says "the copy carries it still" "$a" label_of /srv/bk/copy
ok "mcsd starts anew" systemctl restart mcsd.service
says "it knows that still" "^$a 1 /srv/bk/copy" wait_for 20 strays
restorecon -F /srv/bk/copy
ok "once it has the policy's label a scan finds nothing" mcsctl scan /srv

comment "an archive that keeps labels, unpacked beside"
tar --xattrs --xattrs-include='*' -C /srv/b -cf /root/b.tar .
mkdir /srv/bk/unpacked && tar --xattrs --xattrs-include='*' -C /srv/bk/unpacked -xf /root/b.tar
refused "what was unpacked is found" "^$b +on [34] outside every volume" mcsctl scan /srv
rm -r /srv/bk/unpacked

comment "what leaves while mcsd is away is found by the timer's scan"
systemctl stop mcsd.service mcsd.socket mcsd-gate.socket
mv /srv/b/g /srv/bk/left
systemctl start mcsd.socket mcsd.service
docker rm -f cb >/dev/null
ok "the volume is given back" wait_for 30 gone "$b"
ok "the timer is there" systemctl cat mcsd-scan.timer
ok "its service asks for a scan" systemctl start mcsd-scan.service
ok "of everything" wait_for 900 scanned
says "which finds it" "^$b 1 /srv/bk/left" strays
restorecon -F /srv/bk/left

comment "a disk that is away keeps what is known of it"
dd if=/dev/zero of=/root/disk bs=1M count=16 status=none && mkfs.ext4 -q /root/disk && mkdir -p /srv/usb
mount -o loop /root/disk /srv/usb
echo on a disk >/srv/usb/f && chcon -t container_file_t -l "$b" /srv/usb/f
refused "a stray on it is found" "^$b +on 1" mcsctl scan /srv
umount /srv/usb
refused "it is not forgotten while the disk is away" "^$b +on 1" mcsctl scan /srv
mount -o loop /root/disk /srv/usb && rm /srv/usb/f
ok "and is once the disk was looked at" mcsctl scan /srv
umount /srv/usb

comment "what was known cannot be read"
cp -a /srv/bk/copy /srv/bk/again && chcon -t container_file_t -l "$b" /srv/bk/again
refused "there is a stray" "^$b +on 1" mcsctl scan /srv
systemctl stop mcsd.service mcsd.socket mcsd-gate.socket
echo '{"format": 1, "strays"' >/var/lib/mcsd/strays.json
systemctl start mcsd.socket mcsd.service
says "it says so" 'list of strays is lost: .*damaged' wait_for 20 told strays-lost .
ok "and scans everything by itself" wait_for 900 scanned
says "and finds it again" "^$b 1 /srv/bk/again" strays
rm /srv/bk/again
ok "nothing is left" mcsctl scan /srv
says "mcsd was denied nothing" '^0$' sh -c 'ausearch -i -m avc,user_avc,selinux_err -ts boot 2>/dev/null | grep -cE "scontext=[^ ]*:mcsd_t:" || true'
plan
