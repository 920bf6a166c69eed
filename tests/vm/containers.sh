# Containers in the guest, for scripts that start them: `. "$MCSD_TREE/tests/vm/containers.sh"` after $TAP.

wait_for() { # SECONDS COMMAND…
  local end=$((SECONDS + $1)); shift
  until "$@"; do [ $SECONDS -lt $end ] || return 1; sleep 0.2; done
}
create() { docker create --name "$1" --network none "${@:2}" bb sleep 100000; }
runs() { create "$@" && mcsctl wait --timeout 60 "$1" && docker start "$1"; }
level() { mcsctl --json show "$1" | jq -r .level; }
claims() { mcsctl --json show "$1" | jq -r '.claims[] | "\(.destination) \(.mode) \(.state)"'; }
on_failure() { journalctl -u mcsd -o short-precise --no-pager -n 12; }
is_watched() { mcsctl --json show "$1" | jq -e 'all(.claims[]; .disk.watching == "watched")'; }
told() { journalctl -u mcsd -o cat --no-pager MCSD_KIND="$1" | grep -E -- "$2"; } # KIND PATTERN
nobody_holds() { [ "$(mcsctl --json pairs | jq '.items | length')" = 0 ]; }
labels_below() { find "$@" -exec getfattr --absolute-names -h -n security.selinux -e hex {} + 2>/dev/null | sort; }
