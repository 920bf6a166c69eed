#!/bin/bash
# audit2why of libselinux 3.4: init() with a file that is no policy fails, with a SystemError about the bindings
# themselves; and it counts as begun all the same. The next init(), with a good policy, is refused as a second one, until
# finish() is called for what never began.
# No SELinux in the kernel is needed: the policy is compiled here. Needs: secilc, python3-selinux.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cat >"$work/policy.cil" <<'END'
(handleunknown allow) (mls false)
(class process (fork)) (class file (read)) (classorder (process file))
(sid kernel) (sidorder (kernel))
(sensitivity s0) (sensitivityorder (s0)) (category c0) (categoryorder (c0)) (sensitivitycategory s0 (c0))
(level low (s0)) (levelrange all (low low))
(user u) (role r) (userrole u r) (userlevel u low) (userrange u all)
(type t) (roletype r t) (allow t self (file (read)))
(sidcontext kernel (u r t (low low)))
END
secilc -o "$work/policy" -f /dev/null "$work/policy.cil"
echo 'not a policy' >"$work/other"
cat >"$work/why.py" <<'END'
import sys
from selinux import audit2why


def tried(name, call, *arguments):
    try:
        print(f"{name}: {call(*arguments)}")
    except Exception as exc:
        print(f"{name}: {type(exc).__name__}, {exc}")


bad, good = sys.argv[1:]
if bad:
    tried("init, no policy", audit2why.init, bad)
    tried("init, a policy", audit2why.init, good)
    tried("finish", audit2why.finish)
tried("init, a policy", audit2why.init, good)
tried("analyze", audit2why.analyze, "u:r:t", "u:r:t", "file", ["read"])
END
{ echo "alone:"; /usr/bin/python3 "$work/why.py" "" "$work/policy"
  echo "after a failure:"; /usr/bin/python3 "$work/why.py" "$work/other" "$work/policy"; } 2>&1 | tee "$work/seen"
grep -q '^init, no policy: SystemError, .*returned a result with an exception set' "$work/seen"
grep -q '^init, a policy: RuntimeError, init called multiple times' "$work/seen"
[ "$(grep -c '^init, a policy: 0$' "$work/seen")" = 2 ]
