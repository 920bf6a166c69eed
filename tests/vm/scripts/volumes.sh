#!/bin/bash
# Every kind of volume in mcsd(8): the labels on disk and the kernel show that it is treated as described there.
# policies: debian fedora-like
set -u
. "$TAP"
. "$MCSD_TREE/tests/vm/containers.sh"

carries() { [ "$(ls -dZ "$1" | cut -d' ' -f1 | cut -d: -f4-)" = "$2" ]; } # PATH LEVEL
denials_of_mcsd() { ausearch -i -m avc,user_avc,selinux_err -ts boot 2>/dev/null | grep -E 'scontext=[^ ]*:mcsd_t:'; }

mkdir -p /etc/mcsd/conf.d
printf '[volumes]\nlinger = "2s"\n' >/etc/mcsd/conf.d/volumes.toml
places=(/srv/ro /srv/file /srv/z /srv/zz /srv/from /srv/outer /srv/twice /srv/apart /opt/app)
for place in "${places[@]}"; do mkdir -p "$place/in"; echo "in ${place#/*/}" | tee "$place/in/f" >"$place/f"; done
mkdir /opt/app/bin /opt/app/lib; echo run >/opt/app/bin/run; echo a >/opt/app/lib/a; restorecon -RF /opt/app
labels_below "${places[@]}" >/root/before
ok "systemd starts mcsd" systemctl start mcsd.service

comment "read-only: it takes a label to read, too"
ok "one runs" runs ro -v /srv/ro:/data:ro
says "it reads" 'in ro' docker exec ro cat /data/f
refused "and does not write" '[Rr]ead-only' docker exec ro sh -c 'echo >/data/f'
ok "the directory carries its level" carries /srv/ro "$(level ro)"

comment "a single file"
ok "one runs" runs file -v /srv/file/f:/etc/f
says "it reads the file" 'in file' docker exec file cat /etc/f
ok "which carries its level" carries /srv/file/f "$(level file)"
says "what lies beside it carries what it did" ':var_t:s0' ls -dZ /srv/file /srv/file/in/f

comment "a named volume, which dockerd labels s0 at each start"
ok "one runs" runs named -v data:/data
docker exec named sh -c 'echo kept >/data/f' || true
data=$(docker volume inspect -f '{{.Mountpoint}}' data)
ok "the volume carries its level" wait_for 30 carries "$data" "$(level named)"
docker restart -t 0 named >/dev/null
ok "and carries it again after a restart" wait_for 60 carries "$data" "$(level named)"
says "it reads what it wrote" kept docker exec named cat /data/f

comment "the letters of Docker's"
ok "z: one runs" runs z1 -v /srv/z:/data:z
ok "and another" runs z2 -v /srv/z:/data:z
says "z is shared" '^/data shared ready' claims z1
ok "the directory is everybody's" carries /srv/z s0
says "both read it" 'in z' docker exec z2 cat /data/f
ok "Z: one runs" runs zz -v /srv/zz:/data:Z
says "Z is private" '^/data private ready' claims zz
ok "the directory carries its level" carries /srv/zz "$(level zz)"
ok "another asks for it with Z" create thief -v /srv/zz:/data:Z
refused "mcsd refuses it" 'zz holds /srv/zz as private' mcsctl wait --timeout 60 thief
docker rm -f thief >/dev/null

comment "--volumes-from"
ok "one runs" runs store -v /srv/from:/data
ok "an heir asks for its volumes" create heir --volumes-from store
refused "it is refused, and told what to do" 'store holds /srv/from as private' mcsctl wait --timeout 60 heir
docker rm -f heir store >/dev/null
ok "when the one shares its own" runs store --label io.mcsd.volume=/data:shared -v /srv/from:/data
ok "and the heir as well, it has them" runs heir --label io.mcsd.volume=/data:shared --volumes-from store
says "it reads them" 'in from' docker exec heir cat /data/f

comment "tmpfs: nothing of the host's"
ok "one runs" runs tmp --mount type=tmpfs,target=/scratch
ok "it writes there" docker exec tmp sh -c 'echo mine >/scratch/f'
says "there is no volume" '^0$' bash -c 'mcsctl --json show tmp | jq ".claims | length"'

comment "one directory twice, and one inside the other"
ok "one has it twice" runs twice -v /srv/twice:/a -v /srv/twice:/b
says "it reads the one" 'in twice' docker exec twice cat /a/f
says "and the other" 'in twice' docker exec twice cat /b/f
ok "one has the outer and the inner" runs nest -v /srv/outer:/a -v /srv/outer/in:/b
says "it reads the outer" 'in outer' docker exec nest cat /a/f
says "and the inner" 'in outer' docker exec nest cat /b/f
says "one volume does for both" '^1$' bash -c 'mcsctl --json volumes --path /srv/outer | jq "[.items[] | select(.id)] | length"'
ok "of two containers one has the inner" runs inner -v /srv/apart/in:/data
ok "the other asks for the outer" create outer -v /srv/apart:/data
refused "it is refused, and the inner is named" 'inner holds /srv/apart/in as private' mcsctl wait --timeout 60 outer
says "the outer carries what it did" ':var_t:s0' ls -dZ /srv/apart /srv/apart/f

comment "a symbolic link is not followed out of what was named"
ln -s /etc /srv/link
ok "one names a link" create link -v /srv/link:/data
says "mcsd labels nothing of what it leads to" ' 0/0 volumes' mcsctl wait --timeout 60 link
says "which carries what it did" ':etc_t:s0' ls -dZ /etc

comment "an application in /opt, with programs of a type that mcsd's domain may not change"
ok "one runs" runs app -v /opt/app:/data
says "it reads the application's files" 'in app' docker exec app cat /data/in/f
says "the programs keep their type" ':bin_t:s0' ls -Zd /opt/app/bin /opt/app/bin/run
says "and are named, with why" '"protected-type"' bash -c 'mcsctl --json show app | jq ".claims[].left_out[].code"'
says "and with what to do" 'chcon -R -t usr_t' mcsctl show app
not "nobody tried to change them" denials_of_mcsd
ok "when that is done" chcon -R -t usr_t /opt/app/bin /opt/app/lib
ok "the container gets them, too" wait_for 60 carries /opt/app/bin/run "$(level app)"
says "and reads them" 'run' docker exec app cat /data/bin/run
restorecon -RF /opt/app/bin /opt/app/lib

comment "the end"
docker rm -f $(docker ps -aq) >/dev/null
docker volume rm data >/dev/null
ok "nobody holds anything" wait_for 90 nobody_holds
ok "every label is what it was" diff /root/before <(labels_below "${places[@]}")
not "mcsd itself was denied nothing" denials_of_mcsd
journalctl -u mcsd --no-pager -o cat | tail -n 60 | sed 's/^/# /'
plan
