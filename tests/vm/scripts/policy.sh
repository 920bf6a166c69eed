#!/bin/bash
# mcsd's domain on a kernel that enforces: what the loaded policy allows it, how well its unit confines it, and that
# mcsd does its work without being denied anything.
set -u
. "$TAP"
tree=/usr/src/mcsd
image=bb
places=(/home/alice/data /opt/data /tmp/data /mnt/late/data /var/lib/application)
mounts=()
for path in "${places[@]}"; do mounts+=(-v "$path:$path"); done

pid() { systemctl show -P MainPID mcsd.service; }

status_of() { grep -E '^(CapEff|CapBnd|NoNewPrivs|Seccomp):' "/proc/$(pid)/status"; }

context_of() { tr '\0' '\n' <"/proc/$(pid)/attr/current"; }

mount_of() { grep " $1 " "/proc/$(pid)/mountinfo"; }

label_of() { getfattr --absolute-names --only-values -n security.selinux "$1" | tr -d '\0'; }

exposure() { systemd-analyze security --no-pager mcsd.service | grep -E '✗|Overall'; }

is_hardly_exposed() {
  systemd-analyze security --no-pager mcsd.service |
    awk '/Overall exposure/ { for (i = 1; i <= NF; i++) if ($i ~ /^[0-9.]+$/) { print $i; exit !($i <= 2.5) } }'
}

complaints() { systemd-analyze verify --man=no mcsd.service mcsd.socket mcsd-gate.socket 2>&1 | grep mcsd; }

denials() { ausearch -i -m avc,user_avc,selinux_err -ts boot 2>/dev/null | grep -E 'scontext=[^ ]*:mcsd_t:'; }


elsewhere() { # volumes where the unit's own view of the host could differ, and where types do
  useradd -m alice 2>/dev/null
  # Mounted after mcsd was started: it has to arrive in the unit's mount namespace.
  mkdir -p /mnt/late && mount -t tmpfs none /mnt/late
  for path in "${places[@]}"; do mkdir -p "$path/deep" && echo text >"$path/deep/file"; done
  chown -R alice: /home/alice/data
  restorecon -R /home/alice /opt/data /tmp/data
  for path in "${places[@]}"; do label_of "$path/deep/file"; echo; done >/root/places.before
  cat /root/places.before
}

makes_them() {
  docker create --name places --network none "${mounts[@]}" "$image" true && mcsctl wait --timeout 120 places
}

all_carry_it() {
  local level path
  level=$(docker inspect -f '{{.MountLabel}}' places | cut -d: -f4-)
  for path in "${places[@]}"; do
    ls -Z "$path/deep/file"
    [[ $(label_of "$path/deep/file") == *":container_file_t:$level" ]] || return 1
  done
}

all_are_back() {
  docker rm places
  for path in "${places[@]}"; do mcsctl restore "$path" || return; done
  for path in "${places[@]}"; do label_of "$path/deep/file"; echo; done | diff /root/places.before - && echo "as they were"
}

answers() { # a slow machine may take longer to start it than mcsctl waits for an answer
  mcsctl status || mcsctl status || mcsctl status
}

volume() {
  mkdir -p /srv/policy/deep
  echo text >/srv/policy/deep/file
  ln -s deep/file /srv/policy/link
  mkfifo /srv/policy/fifo
  chown -hR nobody /srv/policy
  chmod 0700 /srv/policy
}

carries_its_level() {
  local level
  level=$(docker inspect -f '{{.MountLabel}}' policy | cut -d: -f4-)
  ls -ZR /srv/policy
  for path in /srv/policy /srv/policy/deep /srv/policy/deep/file /srv/policy/fifo; do
    [[ $(label_of $path) == *":container_file_t:$level" ]] || return 1
  done
}

is_back() {
  ls -ZR /srv/policy
  for path in /srv/policy /srv/policy/deep /srv/policy/deep/file /srv/policy/fifo; do
    [[ $(label_of $path) == *:var_t:s0 ]] || return 1
  done
}

may_set_booleans() { # the unit's own view, with mcsd's own rights
  nsenter -t "$(pid)" -m sh -c 'test -w /sys/fs/selinux/booleans'
}

comment "what the loaded policy grants"
ok "the loaded policy keeps mcsd to what it needs" python3 "$tree/tests/vm/scripts/policy_assertions.py"

comment "what the unit is worth"
ok "systemd starts mcsd" systemctl start mcsd.service
says "it runs in its own domain, cleared for every category" ':mcsd_t:s0-s0:c0.c1023' context_of
says "its program carries its type" ':mcsd_exec_t:s0' ls -Z /usr/sbin/mcsd
says "so does its state" ':mcsd_var_lib_t:s0' ls -Zd /var/lib/mcsd
says "and its socket, which its group may use" 'root mcsd system_u:object_r:mcsd_runtime_t:s0' ls -lZ /run/mcsd/mcsd.sock
says "and the gate's, which is root's" '^srw-------.*root root system_u:object_r:mcsd_gate_runtime_t:s0' ls -lZ /run/mcsd/gate.sock
says "it holds CAP_DAC_READ_SEARCH and CAP_FOWNER, and nothing can be added" 'CapBnd:.0+c$' status_of
says "it can write to selinuxfs" ' rw,' mount_of /sys/fs/selinux
says "it cannot write to the system's own files" ' ro,' mount_of /usr
ok "its exposure is 2.5 at most" is_hardly_exposed
exposure | sed 's/^/# /'
not "systemd has nothing to complain about" complaints

comment "its work"
ok "an image is there" docker image inspect -f "{{.Id}}" "$image"
volume
# Not `docker run`: on the reference policy Docker itself may not mount what nobody has labelled yet.
ok "a container is made with another user's directory" \
  docker create --name policy --network none -v /srv/policy:/data "$image" sh -c 'while :; do sleep 1; done'
ok "mcsd has its volume ready" mcsctl wait --timeout 60 policy
ok "it starts" docker start policy
ok "the volume carries the container's level" carries_its_level
# As the owner: root in a container may not pass over owners' rights on the reference policy.
says "the container reads it" text docker exec -u "$(id -u nobody):$(id -g nobody)" policy cat /data/deep/file
ok "the container goes" docker rm -f policy
ok "its labels are given back" mcsctl restore /srv/policy
ok "everything is as it was" is_back
ok "directories lie in a home, in /tmp, and on what was mounted later" elsewhere
ok "mcsd has them ready" makes_them
ok "they carry the container's level" all_carry_it
ok "and get their own labels back" all_are_back
ok "mcsd stops" systemctl stop mcsd.service
ok "and its sockets bring it back" answers
not "none of this was denied to mcsd" denials

comment "what mcsd asks of the kernel, by the contract that its fakes keep"
ok "the kernel's answers are as it says" "$tree/tests/vm/scripts/selinux_contract.py"
journalctl -u mcsd --no-pager -o cat | tail -n 40 | sed 's/^/# /'
plan
