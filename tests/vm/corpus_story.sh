# Everyday compose files start with mcsd watching, and with the gate, as they do without, and read and write what they
# do without, or more; see tests/corpus. `. "$TAP"; . "$MCSD_TREE/tests/vm/corpus_story.sh"; corpus NAME…`
. "$MCSD_TREE/tests/vm/gate_story.sh"

in_corpus() { (cd "$MCSD_TREE/tests/corpus" && ls [$1]*.yaml | sed 's/\.yaml$//'); } # LETTERS, as a-f
corpus() {
  local here=$MCSD_TREE/tests/corpus policy=debian
  # Docker's own domain is refpolicy's alone, with what is like Fedora on it too; container_runtime_t is a type of
  # files there.
  seinfo -t dockerd_t 2>/dev/null | grep -qw dockerd_t || policy=fedora
  comment "without mcsd"
  systemctl stop mcsd.service mcsd.socket mcsd-gate.socket
  ok "the stacks are started" python3 "$here/runner.py" --write without.json "$@"
  comment "with mcsd watching"
  mkdir -p /etc/mcsd/conf.d
  printf '[volumes]\nlinger = "1s"\n' >/etc/mcsd/conf.d/volumes.toml
  ok "mcsd starts" systemctl start mcsd.socket mcsd-gate.socket mcsd.service
  ok "the stacks are started" python3 "$here/runner.py" --write --audit audit.json watching.json "$@"
  ok "what is open in them is found, and nothing else" python3 "$here/audited.py" "$policy" audit.json
  comment "with the gate"
  ok "it is switched on" mcsctl gate enable --reload
  ok "the stacks are started" python3 "$here/runner.py" --write gate.json "$@"
  ok "they start, read and write as they do without, or more, or the table says why not" \
    python3 "$here/compare.py" "$policy" without.json watching.json gate.json
  ending
}
