# What the two hosts of the pair have in common: a network between them, steps that they tell each other, a fleet.
. "$TAP"
. "$MCSD_TREE/tests/vm/gate_story.sh"
server=198.18.0.1 client=198.18.0.2 # for measurements (RFC 2544): no real network has them

network() { # ADDRESS LAST: the card between the guests; both are born with the same hardware address
  ip link set vec0 address "02:00:00:00:00:0$2" && ip addr add "$1/24" dev vec0 && ip link set vec0 up
}
# tell WHAT and heard WHAT: steps are empty files on the storage itself.
tell() { touch "$storage/step-$1"; }
heard() { wait_for 240 test -e "$storage/step-$1"; }
# joined NAME ROOT: mcsd of this host, with the fleet's store, and the storage by the name that both hosts have for it.
joined() {
  printf '%s\n' "endpoints = [\"http://$server:2379\"]" >/etc/mcsd/fleet.toml
  chown root:mcsd-fleet /etc/mcsd/fleet.toml && restorecon -RF /etc/mcsd
  printf '%s\n' '[volumes]' 'linger = "1s"' '[fleet]' 'store = "unix:///run/mcsd/fleet.sock"' "name = \"$1\"" 'beat = "1s"' \
    '[[fleet.storage]]' "path = \"$storage\"" 'name = "media"' "$2" >/etc/mcsd/conf.d/fleet.toml
  systemctl enable --now mcsd-fleet.socket && systemctl restart mcsd.service
}
grants() { [ "$(mcsctl --json fleet status | jq -r .store.grants)" = true ]; }
starts() { # NAME [OPTION...]: a container with the directory of its name
  run -d --name "$1" -v "$storage/$1:/data" "${@:2}" bb sleep 100000
}
member=(--label io.mcsd.group=team --label io.mcsd.volume=/data:group)
on_failure() {
  journalctl -q -u mcsd -u mcsd-fleet -o cat --no-pager | tail -n 12
  ausearch -m avc,user_avc,selinux_err -ts boot 2>/dev/null | grep -E 'mcsd|docker|runc' | tail -n 8
}
