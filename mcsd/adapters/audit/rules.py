"""What the loaded policy says about an access: the decision from the kernel, the reason from audit2why.

The kernel (security_compute_av(3)) says whether the access is allowed and whether a denial is audited; only
libselinux's audit2why says which kind of rule denies it. It loads the policy a second time, into this
process.

Known about audit2why: without an allow rule it reports that and nothing about constraints; an empty list of
permissions counts as allowed; the text of a constraint names other permissions of the class as well, so it is
not used.
"""

from __future__ import annotations

import os
from types import ModuleType
from typing import Any

from mcsd.core.denials.facts import DenyingRule, PolicyVerdict
from mcsd.errors import HostError

_HINT = "install libselinux's Python bindings (python3-libselinux, python3-selinux), and do it as root"


class PolicyRules:
    """The loaded policy, or one in a file. Raises `HostError` if it cannot be read.

    A process that was given a file which is no policy may be refused every other.
    """

    def __init__(self, policy: str = "") -> None:
        self._interpreter = _interpreter()
        self._live = not policy
        try:
            failed = self._interpreter.init(policy) if policy else self._interpreter.init()
        except RuntimeError as exc:  # another one is open in this process
            raise HostError(f"the policy cannot be read: {exc}", hint=_HINT) from exc
        # The bindings leave an exception set. An init that fails half-way counts as begun, and stays so: not
        # every release of libselinux can finish what never began.
        except (SystemError, ValueError, OSError) as exc:
            raise HostError(f"the policy cannot be read: {exc.__cause__ or exc}", hint=_HINT) from exc
        if failed:
            raise HostError("the loaded policy cannot be read", hint=_HINT)

    def close(self) -> None:
        """Release the policy."""
        self._interpreter.finish()

    def ask(self, source: str, target: str, tclass: str, permissions: tuple[str, ...]) -> PolicyVerdict:
        """Return the rule that denies an access."""
        rule, booleans = self._rule(source, target, tclass, permissions)
        return PolicyVerdict(
            rule, booleans, silent=self._live and _is_silent(source, target, tclass, permissions)
        )

    def _rule(
        self, source: str, target: str, tclass: str, permissions: tuple[str, ...]
    ) -> tuple[DenyingRule, tuple[str, ...]]:
        if not permissions:
            return DenyingRule.UNKNOWN, ()
        try:
            kind, data = self._interpreter.analyze(source, target, tclass, list(permissions))
        except (RuntimeError, ValueError, TypeError):  # contexts, class or permission of another policy
            return DenyingRule.UNKNOWN, ()
        return self._kinds().get(kind, DenyingRule.UNKNOWN), _names(
            data
        ) if kind == self._interpreter.BOOLEAN else ()

    def _kinds(self) -> dict[int, DenyingRule]:
        it = self._interpreter
        return {
            it.ALLOW: DenyingRule.ALLOWED,
            it.DONTAUDIT: DenyingRule.TYPES,
            it.TERULE: DenyingRule.TYPES,
            it.BOOLEAN: DenyingRule.BOOLEAN,
            it.CONSTRAINT: DenyingRule.CONSTRAINT,
            it.RBAC: DenyingRule.ROLES,
            it.BOUNDS: DenyingRule.BOUNDS,
        }


def _interpreter() -> ModuleType:
    try:
        from selinux import audit2why
    except ImportError as exc:
        raise HostError(f"the policy's rules cannot be asked: {exc}", hint=_HINT) from exc
    return audit2why  # type: ignore[no-any-return]


def _names(data: Any) -> tuple[str, ...]:
    """Return the booleans that would allow it if they were changed; audit2why lists each with its value."""
    return tuple(str(name) for name, _ in data or ())


def _is_silent(source: str, target: str, tclass: str, permissions: tuple[str, ...]) -> bool:
    """Tell whether the kernel denies part of an access without auditing it (dontaudit)."""
    import selinux

    try:
        number = selinux.string_to_security_class(tclass)
        bits = 0
        for name in permissions:
            bits |= selinux.string_to_av_perm(number, name)
        decision = selinux.av_decision()
        if not number or selinux.security_compute_av_raw(source, target, number, bits, decision):
            return False
    except OSError:
        return False
    denied = bits & ~decision.allowed
    return bool(denied) and not denied & decision.auditdeny


def label_of(path: str) -> str:
    """Return a file's label, "" if it cannot be read; a link is not followed."""
    try:
        return os.getxattr(path, "security.selinux", follow_symlinks=False).rstrip(b"\0").decode("utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def expected_label(path: str, mode: int) -> str:
    """Return the policy's file context for a path, "" if there is none."""
    import selinux

    try:
        status, label = selinux.matchpathcon(path, mode)
    except OSError:
        return ""
    return str(label) if status == 0 and label else ""
