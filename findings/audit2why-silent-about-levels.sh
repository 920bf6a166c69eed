#!/bin/bash
# audit2why of libselinux 3.4: of a denial that has two causes it names one. Where no rule allows the access, it says
# TERULE and nothing of the constraint that forbids it as well: somebody who adds the rule is denied again. And of
# a constraint it gives the text as the policy has it, other permissions and all: that a text names `write` does not
# mean that writing was denied.
# No SELinux in the kernel is needed: the policy is compiled here. Needs: secilc, python3-selinux.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cat >"$work/policy.cil" <<'END'
(handleunknown allow) (mls true)
(class process (fork)) (class file (read write getattr))
(classorder (process file))
(sid kernel) (sidorder (kernel))
(sensitivity s0) (sensitivityorder (s0))
(category c0) (category c1) (categoryorder (c0 c1))
(sensitivitycategory s0 (range c0 c1))
(level low (s0)) (level high (s0 (c0 c1))) (levelrange all (low high))
(user u) (role r) (role object_r) (userrole u r) (userrole u object_r)
(userlevel u low) (userrange u all)
(type allowed_t) (type forbidden_t) (type file_t)
(roletype r allowed_t) (roletype r forbidden_t) (roletype object_r file_t)
(allow allowed_t file_t (file (read write)))
(mlsconstrain (file (read write)) (dom h1 h2))
(sidcontext kernel (u r allowed_t ((s0) (s0))))
END
secilc -o "$work/policy" -f /dev/null "$work/policy.cil"
cat >"$work/why.py" <<'END'
import sys
from selinux import audit2why

names = {getattr(audit2why, name): name for name in ("TERULE", "CONSTRAINT", "ALLOW", "MLS") if hasattr(audit2why, name)}
audit2why.init(sys.argv[1])
for source in ("allowed_t", "forbidden_t"):
    kind, data = audit2why.analyze(f"u:r:{source}:s0:c0", "u:object_r:file_t:s0:c1", "file", ["read"])
    print(f"{source} reads a file of another category: {names.get(kind, kind)}, {' '.join(str(data).split())}")
audit2why.finish()
END
/usr/bin/python3 "$work/why.py" "$work/policy" | tee "$work/seen"
grep -q '^allowed_t .*: CONSTRAINT, .*read write' "$work/seen"
grep -q '^forbidden_t .*: TERULE, None' "$work/seen"
