# mcsd's packages in the guest, for scripts that install them: `. "$MCSD_TREE/tests/vm/packages.sh"` after $TAP.
# `build-packages` says what the releases are.
. "$MCSD_TREE/tests/vm/containers.sh"
packages=/run/mcsd-test/packages
mcsd_version=$(sed -n 's/^version = "\(.*\)"/\1/p' "$MCSD_TREE/pyproject.toml")
# Debian has no database of RPMs to look dependencies up in; and a policy where scriptlets have no domain to run
# in makes rpm's SELinux plug-in refuse them all.
rpm_options=(--nodeps)
runcon -t rpm_script_t true 2>/dev/null || rpm_options+=(--noplugins)

of_release() { echo "$packages/mcsd-selinux-$mcsd_version-$1.noarch.rpm" "$packages/mcsd-$mcsd_version-$1.x86_64.rpm"; }
# shellcheck disable=SC2046
install_release() { rpm -i "${rpm_options[@]}" $(of_release "$1"); }
# shellcheck disable=SC2046
upgrade_to() { rpm -U "${@:2}" "${rpm_options[@]}" $(of_release "$1"); }
remove_packages() { rpm -e "${rpm_options[@]}" mcsd mcsd-selinux; }
verify_packages() { rpm -V --nodeps mcsd mcsd-selinux; }
enable_units() { systemctl enable "$@" mcsd.socket mcsd-gate.socket mcsd.service; }

label_of() { getfattr --absolute-names --only-values -n security.selinux "$1" | tr -d '\0'; }
level_of() { docker inspect -f '{{.MountLabel}}' "$1" | cut -d: -f4-; }
context_of_mcsd() { tr '\0' '\n' <"/proc/$(systemctl show -P MainPID mcsd.service)/attr/current"; }
denials() { ausearch -i -m avc,user_avc,selinux_err -ts boot 2>/dev/null | grep -E 'scontext=[^ ]*:mcsd_t:'; }
# On a slow machine mcsd may take longer to start than mcsctl waits for an answer.
answers() { mcsctl status || mcsctl status || mcsctl status; }
status_line() { systemctl status --no-pager --full mcsd.service | grep -E '^ *Status:'; }
is_shown() { status_line | grep -Eq -- "$1"; }
# shows CLAIM PATTERN: `systemctl status` does, in its one line, soon.
shows() {
  wait_for 60 is_shown "$2" || true
  says "$1" "$2" status_line
}
nothing_failed() { ! systemctl --failed --no-legend --plain | grep mcsd; }
is_isolated() { mcsctl --json show "$1" | grep -Eq '"isolated": *true'; }

# looks_after ENGINE…: a container of that engine, `stranger`, has its volume ready, reads it, and is isolated.
looks_after() {
  mkdir -p /srv/stranger && echo text >/srv/stranger/file
  ok "a container is made" "$@" create --name stranger --network none -v /srv/stranger:/data bb sleep 100000
  # Where each instruction is translated, a file system may take longer than mcsd is patient; it goes on when it answers.
  ok "mcsd has its volume ready" wait_for 180 mcsctl wait --timeout 60 stranger
  ok "it starts" "$@" start stranger
  says "the container reads it" text "$@" exec stranger cat /data/file
  ok "mcsd says that it is isolated" wait_for 90 is_isolated stranger
}
labels_come_back() { # when the container is gone
  ok "its labels are given back" mcsctl restore /srv/stranger
  says "and are what they were" ':var_t:s0$' label_of /srv/stranger/file
}
