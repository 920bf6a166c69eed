#!/bin/bash
# A host with something of everything, and all that mcsd answers about it, for `make demo WEB=1`. Not a test:
#
#   tests/vm/run tests/vm/record_states.sh --timeout 1200 >log; python -m tests.web.recording log
set -u
. "$TAP"
. "$MCSD_TREE/tests/vm/containers.sh"

answer() { printf '# recorded %s ' "$1"; curl -s --unix-socket /run/mcsd/mcsd.sock "http://mcsd$1" | gzip -9n | base64 -w0; echo; }
settled() { mcsctl --json show "$1" | jq -e .settled >/dev/null; }
is_walked() { mcsctl --json status | jq -e '.work | length > 0' >/dev/null; }
scanned() { [ "$(mcsctl --json scan --status | jq -r '.scan.finished != null')" = true ]; }
denied() { curl -s --unix-socket /run/mcsd/mcsd.sock http://mcsd/v1/denials | jq -e '.items | length > 0' >/dev/null; }

mkdir -p /etc/mcsd/conf.d /srv/{web,db,shop,pictures,mail,media,agent,backup,old}
printf '[volumes]\nlinger = "1h"\n[watch]\ndirectories = 0\n[booleans]\ndocker_connect_any = "lease"\n' >/etc/mcsd/conf.d/record.toml
for place in web db shop pictures mail old; do for file in a b c d; do echo $place >/srv/$place/$file; done; done
mkdir -p /srv/media/{1..200}; for folder in /srv/media/*; do for file in {1..200}; do : >"$folder/$file"; done; done
ok "systemd starts mcsd" systemctl start mcsd.service
mcsctl why --follow --tell & teller=$!
runs web -v /srv/web:/data -v /srv/pictures:/pictures --label io.mcsd.volume=/pictures:shared
runs gallery -v /srv/pictures:/pictures --label io.mcsd.volume=/pictures:shared
runs db --user 1000:1000 --memory 256m --pids-limit 200 --cap-drop ALL --security-opt no-new-privileges -v /srv/db:/var/lib/db
member() { # NAME: of the group shop, at a level of its own that reaches the group's volumes
  runs "$1" --security-opt "label=level:$(mcsctl --json reserve "$1" --group shop | jq -r .level)" \
    -v /srv/shop:/shop --label io.mcsd.group=shop --label io.mcsd.volume=/shop:group
}
member shop; member payments
runs mail -v /srv/mail:/var/mail
for number in 1 2 3 4 5 6; do mkdir -p /srv/app-$number; runs app-$number -v /srv/app-$number:/data; done
docker run -d --name legacy-agent --privileged --network none -v /:/host:ro bb sleep 100000
docker run -d --name deployer --network none -v /var/run/docker.sock:/var/run/docker.sock bb sleep 100000
docker run -d --name web-copy --network none --security-opt "label=level:$(level web)" bb sleep 100000
create web-second -v /srv/web:/data
create nightly -v /srv/backup:/backup
runs former -v /srv/old:/data; docker rm -f former
mcsctl reserve nightly-report
cp -a /srv/mail/a /srv/backup-of-mail
mcsctl scan /srv
for one in web db shop payments mail; do wait_for 30 settled $one; done
cp -a /srv/mail/b /srv/web/copied
docker exec web cat /data/copied
wait_for 30 denied
ok "the host is audited" bash -c 'mcsctl audit --tell >/dev/null; [ $? -le 1 ]'
create media -v /srv/media:/media
ok "a walk is under way" wait_for 20 is_walked
for path in /v1/status /v1/containers /v1/volumes /v1/pairs /v1/booleans /v1/strays /v1/reach /v1/denials /v1/audit /v1/events; do
  answer "$path"
done
kill $teller
plan
