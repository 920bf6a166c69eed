#!/bin/bash
# The domain mcsd runs in, on a kernel that enforces: what the loaded policy grants, what the unit is worth, and
# that mcsd does its work without a denial of its own. Speaks TAP.
set -u
here=$(dirname "$(readlink -f "$0")")
count=0 failed=0

claim() { # claim SENTENCE COMMAND…: its output as comments, then the verdict
    local sentence=$1 output status
    shift
    output=$("$@" 2>&1)
    status=$?
    count=$((count + 1))
    [ -z "$output" ] || sed 's/^/# /' <<<"$output"
    if [ $status -eq 0 ]; then
        echo "ok $count - $sentence"
    else
        echo "not ok $count - $sentence"
        failed=1
    fi
}

assertions() {
    python3 "$here/policy_assertions.py"
}

confined() {
    local pid
    pid=$(systemctl show -P MainPID mcsd.service)
    tr -d '\0' <"/proc/$pid/attr/current"
    echo
    grep -q ':mcsd_t:s0-s0:c0.c1023' "/proc/$pid/attr/current"
}

file_labels() {
    ls -Zd /usr/sbin/mcsd /etc/mcsd /var/lib/mcsd /run/mcsd /run/mcsd/*.sock
    ls -Zd /usr/sbin/mcsd | grep -q :mcsd_exec_t: &&
        ls -Zd /var/lib/mcsd | grep -q :mcsd_var_lib_t:s0 &&
        ls -Zd /run/mcsd/mcsd.sock | grep -q :mcsd_runtime_t:s0 &&
        ls -Zd /run/mcsd/gate.sock | grep -q :mcsd_gate_runtime_t:s0
}

writable_selinuxfs() { # where mcsd sees it: contexts are checked, and booleans set, by writing there
    local pid
    pid=$(systemctl show -P MainPID mcsd.service)
    grep ' /sys/fs/selinux ' "/proc/$pid/mountinfo"
    grep ' /sys/fs/selinux ' "/proc/$pid/mountinfo" | awk '{print $6}' | grep -q '^rw'
}

capabilities() {
    local pid
    pid=$(systemctl show -P MainPID mcsd.service)
    grep -E '^(Cap|NoNewPrivs|Seccomp:)' "/proc/$pid/status"
    # CAP_DAC_READ_SEARCH is 2, CAP_FOWNER is 3
    grep -q '^CapEff:.*000000000000000c$' "/proc/$pid/status" && grep -q '^CapBnd:.*000000000000000c$' "/proc/$pid/status"
}

exposure() {
    local said
    said=$(systemd-analyze security --no-pager mcsd.service)
    grep -F '✗' <<<"$said"
    grep 'Overall exposure' <<<"$said"
    awk '/Overall exposure/ { for (i = 1; i <= NF; i++) if ($i ~ /^[0-9.]+$/) exit !($i <= 2.5) }' <<<"$said"
}

verified() {
    local said
    said=$(systemd-analyze verify --man=no mcsd.service mcsd.socket mcsd-gate.socket 2>&1 | grep mcsd)
    [ -z "$said" ] || { echo "$said"; false; }
}

label_of() {
    getfattr --absolute-names --only-values -n security.selinux "$1" | tr -d '\0'
}

labels_a_volume() {
    local image=$1 level
    mkdir -p /srv/policy/{a,home}/deep
    echo text >/srv/policy/a/deep/file
    ln -s deep/file /srv/policy/a/link
    mkfifo /srv/policy/a/fifo
    chown -R nobody /srv/policy/a
    chmod 0700 /srv/policy/a
    docker run -d --name policy --network none -v /srv/policy/a:/data "$image" sh -c 'while :; do sleep 1; done' || return
    mcsctl wait --timeout 60 policy || return
    level=$(docker inspect -f '{{.MountLabel}}' policy)
    level=${level#*:*:*:}
    ls -ZR /srv/policy/a
    for path in /srv/policy/a /srv/policy/a/deep /srv/policy/a/deep/file /srv/policy/a/fifo; do
        [[ $(label_of $path) == *:container_file_t:$level ]] || return
    done
    docker exec policy cat /data/deep/file
}

gives_it_back() {
    docker rm -f policy >/dev/null
    mcsctl restore /srv/policy/a || return
    ls -ZR /srv/policy/a
    [[ $(label_of /srv/policy/a/deep/file) == *:var_t:s0 ]]
}

denials() {
    ausearch -m avc,user_avc,selinux_err -ts boot 2>/dev/null | grep -E 'avc:|SELINUX_ERR' | grep -E 'scontext=[^ ]*:mcsd_t:|mcsd_t'
    ! ausearch -m avc,user_avc,selinux_err -ts boot 2>/dev/null | grep -qE 'scontext=[^ ]*:mcsd_t:'
}

claim "the loaded policy keeps its promises" assertions
if command -v mcsctl >/dev/null && systemctl is-active -q mcsd.service; then
    image=${IMAGE:-$(docker images -q | head -1)}
    claim "mcsd runs in its own domain, cleared for every category" confined
    claim "its files and sockets carry their types" file_labels
    claim "it holds two capabilities, and can gain none" capabilities
    claim "it can write to selinuxfs" writable_selinuxfs
    claim "the unit's exposure is 2.5 at most" exposure
    claim "systemd finds nothing to complain about" verified
    claim "it labels another user's volume" labels_a_volume "$image"
    claim "it puts the labels back" gives_it_back
    claim "none of this was denied to mcsd" denials
else
    count=$((count + 1)) failed=1
    systemctl status --no-pager mcsd.service 2>&1 | sed 's/^/# /'
    echo "not ok $count - mcsd.service runs"
fi
echo "1..$count"
exit $failed
