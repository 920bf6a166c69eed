#!/bin/bash
# pydantic 2.14.4: a model with `pattern=` opens the process's control group files (the CPU quota) when the class
# is built; 2.13.4 opens none, nor does 2.14.4 with `regex_engine="python-re"`. A confined service
# that may not read control groups is denied that at each start, wherever it has such a model.
# Needs: python3-venv, strace.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cat >"$work/model.py" <<'END'
import sys
from pydantic import BaseModel, ConfigDict, Field

class Plain(BaseModel):
    name: str

if sys.argv[1] != "plain":
    class Patterned(BaseModel):
        model_config = ConfigDict(regex_engine=sys.argv[1])
        name: str = Field(pattern="^[a-z]+$")
    assert Patterned(name="abc").name == "abc"
END
reads() { # VERSION WHAT: which files of control groups are opened
  strace -f -qq -e trace=openat -o "$work/trace" "$work/$1/bin/python" "$work/model.py" "$2"
  grep -oE '"/(proc/self/cgroup|sys/fs/cgroup/[^"]*)"' "$work/trace" | sort -u | grep -c . || :
}
for version in 2.13.4 2.14.4; do
  /usr/bin/python3 -m venv "$work/$version"
  "$work/$version/bin/pip" install -q -q --disable-pip-version-check "pydantic==$version"
  for what in plain rust-regex python-re; do
    printf 'pydantic %s, %-10s control group files opened: %s\n' "$version" "$what:" "$(reads $version $what)"
  done
done | tee "$work/seen"
grep -q '2.13.4, rust-regex: .* 0$' "$work/seen"
grep -q '2.14.4, plain: .* 0$' "$work/seen"
grep -q '2.14.4, rust-regex: .* [1-9][0-9]*$' "$work/seen"
grep -q '2.14.4, python-re: .* 0$' "$work/seen"
