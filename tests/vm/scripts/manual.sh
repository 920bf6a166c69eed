#!/bin/bash
# Every command in the examples of README.md and the manual is run as it is written there, in an order that makes sense,
# with the default configuration. The last claim is that none was left out; ELSEWHERE lists those that cannot run here.
set -u
. "$TAP"

python3 "$MCSD_TREE/tests/vm/documented.py" "$MCSD_TREE" >/run/documented
: >/run/typed
typed() { # PAGE COMMAND: types a command that the page has, and remembers it
  grep -Fxq "$1"$'\t'"$2" /run/documented || { echo "$1 does not have this command"; return 99; }
  printf '%s\t%s\n' "$1" "$2" >>/run/typed
  bash -c "$2"
}
recipe() { typed mcsd-recipes.7 "$1"; }
ELSEWHERE='README	make demo
README	make test
README	make rpm && dnf install ./dist/mcsd-[0-9]*."$(arch)".rpm ./dist/mcsd-selinux-[0-9]*.noarch.rpm
mcsd-recipes.7	mount -o context=system_u:object_r:container_file_t:s0 nas:/export /srv/nas'
# make demo and make test are how this script is run; package.sh installs the packages; the guest has no NFS server.
all_typed() { diff <(sort -u /run/documented) <({ cat /run/typed; printf '%s\n' "$ELSEWHERE"; } | sort -u); }

# There is no network in the guest: docker run is given none, and is otherwise what was typed.
cat >/usr/local/bin/docker <<'END'
#!/bin/sh
case $1 in
  run | create) verb=$1; shift; exec /usr/bin/docker "$verb" --network none "$@" ;;
esac
exec /usr/bin/docker "$@"
END
chmod 0755 /usr/local/bin/docker
printf '#!/bin/sh\ntouch /run/fixtures-loaded\n' >/usr/local/bin/load-fixtures
chmod 0755 /usr/local/bin/load-fixtures
for image in nginx app worker; do
  docker export "$(docker create bb true)" | docker import -c 'CMD ["sleep", "100000"]' - $image >/dev/null
done
docker container prune -f >/dev/null

label_of() { getfattr --absolute-names -h --only-values -n security.selinux "$1" 2>/dev/null | tr -d '\0'; }
field() { mcsctl --json show "$1" | jq -r ".$2"; }
carries() { echo "$(label_of "$1") on $1, $2 at $(field "$2" level)"; [[ "$(label_of "$1")" == *:container_file_t:"$(field "$2" level)" ]]; }
wait_for() { # SECONDS COMMAND…
  local end=$((SECONDS + $1)); shift
  until "$@"; do [ $SECONDS -lt $end ] || return 1; sleep 0.5; done
}
# On the reference policy dockerd itself may not touch a directory before it is labelled, and on a slow machine
# it may come first: the container is there then, and starts when its volume is ready.
started() { # NAME COMMAND…
  local name=$1; shift
  "$@" || { mcsctl wait "$name" --timeout 120 && docker start "$name"; }
}
docker_is_reached() { mcsctl status | grep -Eq 'Docker +ok'; }
thief_is_refused() { journalctl -u mcsd MCSD_RULE=held -q -o cat | grep -q .; }
is_isolated() { mcsctl show "$1"; [ "$(field "$1" isolated)" = true ]; }
denials_of_mcsd() { ausearch -i -m avc,user_avc,selinux_err -ts boot 2>/dev/null | grep -E 'scontext=[^ ]*:mcsd_t:'; }

mkdir -p /srv/web /srv/db /srv/shop/uploads /srv/media /mnt/big /mnt/usb
echo hello >/srv/web/index.html
(cd /srv/media && touch $(seq 1 3000))
restorecon -RF /srv /mnt/big # as a host that was installed has it
before=$(label_of /srv/web)

comment "beginning"
ok "SELinux is told to enforce" recipe 'setenforce 1'
says "Docker is told to label" '"selinux-enabled": *true' recipe 'cat /etc/docker/daemon.json'
ok "mcsd is enabled" recipe 'systemctl enable --now mcsd.socket mcsd.service'
ok "as the README has it" typed README 'systemctl enable --now mcsd.socket mcsd.service'
wait_for 30 docker_is_reached
says "the status says what there is" 'SELinux +ok +enforcing' recipe 'mcsctl status'
says "as the README has it" 'Ledger +ok' typed README 'mcsctl status'

comment "a container and its volume"
ok "it is run" started web recipe 'docker run -d --name web -v /srv/web:/data nginx'
says "it is waited for" 'web is ready: s0:c[0-9]+,c[0-9]+, 1/1 volumes' recipe 'mcsctl wait web --timeout 60'
wait_for 30 is_isolated web >/dev/null
says "it is isolated" 'isolated +yes' recipe 'mcsctl show web'
says "it reads its volume" hello docker exec web cat /data/index.html

comment "a group, by a reserved level"
mkdir -p /usr/share/mcsd
cp "$MCSD_TREE/selinux-policy/mcsd_groups.cil" /usr/share/mcsd
ok "the policy gives new files the level of their directory" typed mcsd_selinux.8 'semodule -i /usr/share/mcsd/mcsd_groups.cil'
ok "a member is run at a level that reaches the group" started worker recipe 'docker run -d --name worker --security-opt label=level:$(mcsctl reserve worker --group shop) --label io.mcsd.group=shop --label io.mcsd.volume=/uploads:group -v /srv/shop/uploads:/uploads worker'
says "its volume is ready" 'worker is ready' mcsctl wait worker --timeout 120
ok "it writes into it" docker exec worker touch /uploads/file

comment "from :Z, and large volumes"
says "the volumes below a path" '^/srv/web +s0:c' recipe 'mcsctl volumes --path /srv'
docker create --name media -v /srv/media:/data nginx >/dev/null
says "what is in work is shown" 'Containers' recipe 'mcsctl status'
says "and waited for" 'media is ready' recipe 'mcsctl wait media --timeout 3600'

comment "other engines"
ok "levels of others" recipe 'mcsctl pairs --state foreign'
ok "conflicts" recipe 'mcsctl containers --conflicts'

comment "after restorecon"
ok "somebody puts the policy's labels on a volume" recipe 'restorecon -RF /srv/web'
ok "mcsd sees it and puts them right" wait_for 30 carries /srv/web/index.html web
says "it is told" 'volume-touched' mcsctl --json events
ok "verify agrees by then" wait_for 30 recipe 'mcsctl verify'
says "and has nothing to mend" 'agree' recipe 'mcsctl verify --repair'
says "it reads its volume" hello docker exec web cat /data/index.html
says "verify is content" 'disk, processes and ledger agree' mcsctl verify web

comment "something is denied"
ok "show" recipe 'mcsctl show web'
says "verify" 'agree' recipe 'mcsctl verify web'
recipe 'ausearch -m avc -ts recent -i' >/dev/null 2>&1 # it fails when it finds nothing
says "the journal of one container, with what each message means" 'Consequence: ' recipe 'journalctl -u mcsd MCSD_CONTAINER_NAME=web -x'

comment "moving a volume"
ok "the container is removed" recipe 'docker rm -f web'
says "its volume is put back at once, though it lingers" 'labels put back' recipe 'mcsctl restore /srv/web'
ok "it has the label it had: $before" test "$(label_of /srv/web)" = "$before"
ok "it is moved" recipe 'mv /srv/web /mnt/big/web'
ok "and run again" started web recipe 'docker run -d --name web -v /mnt/big/web:/data nginx'
ok "it is ready" recipe 'mcsctl wait web --timeout 60'
ok "the new place carries the level" carries /mnt/big/web/index.html web

comment "a disk that is taken away"
truncate -s 32M /root/usb.img
mke2fs -q -F -t ext4 /root/usb.img
usb=$(losetup --show -f /root/usb.img)
mount "$usb" /mnt/usb
rmdir /mnt/usb/lost+found # nobody's, with the label of a file system that was never mounted here
restorecon -RF /mnt/usb
docker create --name usb -v /mnt/usb:/data nginx >/dev/null
ok "a container has its volume on it" mcsctl wait usb --timeout 60
docker rm -f usb >/dev/null
umount /mnt/usb
refused "what is not there cannot be put back" 'hint: ' mcsctl restore /mnt/usb
ok "it is there once more" mount "$usb" /mnt/usb
says "and is put back" 'labels put back' recipe 'mcsctl restore /mnt/usb'
umount /mnt/usb

comment "mcsctl(1)"
ok "who is not isolated" typed mcsctl.1 'mcsctl containers --isolated no'
ok "and why" typed mcsctl.1 'mcsctl show web'
ok "a container is made" started db docker run -d --name db -v /srv/db:/data nginx
ok "a program starts when its volume is ready" typed mcsctl.1 'mcsctl wait db --timeout 60 && /usr/local/bin/load-fixtures'
ok "it did" test -e /run/fixtures-loaded
docker rm -f web >/dev/null
mcsctl restore /mnt/big/web >/dev/null
mkdir -p /srv/web
ok "a container at a level that stays" started web typed mcsctl.1 'docker run -d --name web --security-opt label=level:$(mcsctl reserve web) -v /srv/web:/data nginx'
says "the reservation is its level" "$(mcsctl reserve web)" docker inspect --format '{{.ProcessLabel}}' web
says "a level for a build" '^s0:c' typed mcsctl.1 'mcsctl reserve build --until 2h'
mcsctl release build
mkdir -p /srv/data /srv/build
printf 'all:\n\t@echo built\n' >/srv/build/Makefile
says "a program that reaches one directory" '/srv/data$' typed mcsctl.1 'mcsctl run --volume /srv/data -- du -s /srv/data'
says "a build at a level of its own" '^built$' recipe 'mcsctl run --name build --volume /srv/build -- make -C /srv/build'
says "a level for a program that takes one" '^s0:c' recipe 'mcsctl reserve vm-web'
mcsctl release vm-web
says "why something was denied" 'denied' typed mcsctl.1 'mcsctl why web --since 10min'
says "what else is open, of what is high: nothing" '"version": "2.1.0"' typed mcsctl.1 'mcsctl audit --severity high --sarif'
ok "volumes that need somebody" typed mcsctl.1 'mcsctl volumes -q --state failed --state partial --state stranded'

comment "mcsd(8): the socket"
says "the status" '"version"' typed mcsd.8 'curl --unix-socket /run/mcsd/mcsd.sock http://mcsd/v1/status'
says "the measurements" '^mcsd_containers\{isolation="isolated"\}' typed mcsd.8 'curl --unix-socket /run/mcsd/mcsd.sock http://mcsd/metrics'

comment "mcsd(8): the journal"
# Somebody's volume has a name that would forge a line, and somebody else's volume is asked for.
forging=$'/srv/evil\nall is well'
mkdir -p "$forging"
docker create --name evil -v "$forging:/data" nginx >/dev/null
docker create --name thief -v /srv/db:/data nginx >/dev/null
wait_for 60 thief_is_refused
says "everything, with explanations" 'Cause: ' typed mcsd.8 'journalctl -u mcsd -x -e'
for part in Cause Consequence Remedy; do
  says "a refusal's ${part,}" "$part: " journalctl -u mcsd -x --no-pager MCSD_KIND=volume-refused
done
says "one container, by name" 'container web' typed mcsd.8 'journalctl -u mcsd MCSD_CONTAINER_NAME=web'
ok "by id" typed mcsd.8 'journalctl -u mcsd MCSD_CONTAINER_ID=0f3c...'
says "a volume" '/srv/web' typed mcsd.8 'journalctl -u mcsd MCSD_VOLUME=/srv/web'
says "refusals" 'is not labelled' typed mcsd.8 'journalctl -u mcsd --since=-1d MCSD_KIND=volume-refused + MCSD_KIND=start-refused + MCSD_KIND=boolean-refused'
ok "conflicts" typed mcsd.8 'journalctl -u mcsd --since=-1d MCSD_KIND=conflict'
says "what one rule refused" 'volume /srv/db of container thief is not labelled: db holds' typed mcsd.8 'journalctl -u mcsd MCSD_RULE=held'
ok "who was not isolated" typed mcsd.8 'journalctl -u mcsd -b MCSD_KIND=not-isolated -o json --output-fields=MCSD_CONTAINER_NAME,MCSD_REASON'
ok "who has held a level" typed mcsd.8 'journalctl -u mcsd MCSD_LEVEL=s0:c12,c900'
ok "what somebody should look at" typed mcsd.8 'journalctl -u mcsd -p warning'
ok "bugs" typed mcsd.8 'journalctl -u mcsd -p crit MCSD_KIND=internal -o verbose'
not "there were none" grep -q . <(journalctl -q -u mcsd MCSD_KIND=internal -o cat)
not "nobody forged a line" grep -q '^all is well' <(journalctl -u mcsd -o cat)
says "the name is shown escaped" 'evil\\nall is well' mcsctl show evil
kinds_without_an_entry() {
  python3 -c 'from mcsd.core.notices import Kind; print(*(kind.value.message_id for kind in Kind), sep="\n")' |
    while read -r id; do
      journalctl --dump-catalog "$id" 2>/dev/null | grep -q '^Cause: ' || echo "$id has no entry"
    done | grep .
}
not "every message has its entry in the catalog" kinds_without_an_entry

comment "mcsd_selinux(8)"
says "mcsd's process" ':mcsd_t:' typed mcsd_selinux.8 'ps -eZ | grep mcsd_t'
says "its files" 'mcsd_exec_t' typed mcsd_selinux.8 'ls -lZ /usr/sbin/mcsd /run/mcsd'
says "its domain" 'mcsd_t' typed mcsd_selinux.8 'seinfo -t mcsd_t -x'
says "what it may relabel" 'allow mcsd_t' typed mcsd_selinux.8 'sesearch -A -s mcsd_t -c file -p relabelto'
ok "its labels put right" typed mcsd_selinux.8 'restorecon -Rv /usr/sbin/mcsd /etc/mcsd /var/lib/mcsd'
typed mcsd_selinux.8 'ausearch -m avc -c mcsd -i' >/dev/null 2>&1
typed mcsd_selinux.8 'ausearch -m avc --subject container_t -i' >/dev/null 2>&1
ok "show" typed mcsd_selinux.8 'mcsctl show web'
ok "verify" typed mcsd_selinux.8 'mcsctl verify web'
not "mcsd itself was denied nothing" denials_of_mcsd
ok "mcsd alone is made permissive" typed mcsd_selinux.8 'semanage permissive -a mcsd_t'
ok "and is bound again" typed mcsd_selinux.8 'semanage permissive -d mcsd_t'

comment "a compose file with a group, through the gate"
mkdir -p /root/shop
python3 - "$MCSD_TREE" <<'END'
import itertools, sys, textwrap
text = open(sys.argv[1] + "/packaging/man/mcsd-recipes.7.rst", encoding="utf-8").read()
after = text.partition("In a compose file::\n\n")[2].splitlines()
depth = len(after[0]) - len(after[0].lstrip())
block = "\n".join(itertools.takewhile(lambda line: not line or line.startswith(" " * depth), after))
open("/root/shop/compose.yml", "w", encoding="utf-8").write(textwrap.dedent(block))
END
printf 'services:\n  app: {network_mode: none}\n  worker: {network_mode: none}\n' >/root/shop/compose.override.yml
compose() { (cd /root/shop && docker compose "$@"); }
docker rm -f worker >/dev/null
wait_for 30 mcsctl release worker
wait_for 60 mcsctl restore /srv/shop/uploads >/dev/null 2>&1
ok "the gate is on" mcsctl gate enable --reload
ok "both are up" compose up -d
for name in shop-app-1 shop-worker-1; do
  ok "$name is ready" mcsctl wait $name --timeout 120
done
ok "one writes" docker exec shop-app-1 sh -c 'echo order >/uploads/order'
says "the other reads" order docker exec shop-worker-1 cat /uploads/order
levels_differ() { echo "$(field shop-app-1 level) $(field shop-worker-1 level)"; [ "$(field shop-app-1 level)" != "$(field shop-worker-1 level)" ]; }
ok "each is at a level of its own" levels_differ
wait_for 30 is_isolated shop-app-1 >/dev/null
ok "and isolated" is_isolated shop-app-1

comment "uninstalling"
docker rm -f evil thief >/dev/null
mcsctl restore "$forging" # what is listed is escaped, so this one cannot be taken from the list
ok "the gate is off" recipe 'mcsctl gate disable --reload'
ok "containers are stopped" recipe 'docker ps -q | xargs -r docker stop'
ok "and removed" recipe 'docker container prune -f'
refused "a reservation keeps its volume" 'mcsctl release web' mcsctl restore /srv/web
says "reservations are listed" 'reserved +web' recipe 'mcsctl pairs --state reserved'
ok "and given up" recipe 'mcsctl release web'
ok "volumes are put back" recipe "mcsctl volumes -q | xargs -r -d '\\n' -n 1 mcsctl restore"
says "the list of volumes is shown" '^PATH' recipe 'mcsctl volumes'
says "and has none" '^0$' sh -c 'mcsctl volumes -q | wc -l'
carriers() { find /srv /mnt/big -exec getfattr --absolute-names -h -n security.selinux {} + 2>/dev/null | grep -E ':s0:c[0-9]'; }
not "no file carries a level any more" carriers
ok "mcsd is off" recipe 'systemctl disable --now mcsd.socket mcsd-gate.socket mcsd.service'
says "ranges for hosts that mount one storage" 'beta.*c341\.c681' recipe 'mcsctl fleet plan alpha beta gamma'
not "and nothing starts it again" systemctl is-active mcsd.socket mcsd-gate.socket mcsd.service
not "mcsd itself was denied nothing" denials_of_mcsd

ok "every command that is documented was typed, or stands with its reason above" all_typed
losetup -d "$usb"
journalctl -u mcsd --no-pager -o cat | tail -n 80 | sed 's/^/# /'
plan
