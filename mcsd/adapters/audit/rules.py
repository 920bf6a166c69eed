"""What the loaded policy says of an access: by the kernel itself, and why, by libselinux's interpreter.

The kernel (security_compute_av(3)) says whether it is allowed and whether a denial is written down; only the
interpreter says which kind of rule forbids it. It loads the policy a second time, into this process.

Known of the interpreter: with no allow rule it says so and is silent about constraints; no permissions
are allowed; the text of a constraint names other permissions of the class as well, so it is not used.
"""

from __future__ import annotations

import os
from types import ModuleType
from typing import Any

from mcsd.core.denials.facts import DenyingRule, PolicyVerdict
from mcsd.errors import HostError

_HINT = "install libselinux's Python bindings (python3-libselinux, python3-selinux), and do it as root"


class PolicyRules:
    """The loaded policy, or one in a file. Raises `HostError` where it cannot be had."""

    def __init__(self, policy: str = "") -> None:
        self._interpreter = _interpreter()
        self._live = not policy
        try:
            failed = self._interpreter.init(policy) if policy else self._interpreter.init()
        except RuntimeError as exc:  # one is held already, by somebody else in this process
            raise HostError(f"the policy cannot be read: {exc}", hint=_HINT) from exc
        # The bindings leave their own exception set; and what failed counts as begun, until it is finished.
        except (SystemError, ValueError, OSError) as exc:
            self._interpreter.finish()
            raise HostError(f"the policy cannot be read: {exc.__cause__ or exc}", hint=_HINT) from exc
        if failed:
            raise HostError("the loaded policy cannot be read", hint=_HINT)

    def close(self) -> None:
        """Let go of the policy."""
        self._interpreter.finish()

    def ask(self, source: str, target: str, tclass: str, permissions: tuple[str, ...]) -> PolicyVerdict:
        """Return what denies an access."""
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
    """Return the booleans that would allow it if they were changed; the interpreter gives each with its
    value."""
    return tuple(str(name) for name, _ in data or ())


def _is_silent(source: str, target: str, tclass: str, permissions: tuple[str, ...]) -> bool:
    """Tell whether the kernel denies something of an access without a word."""
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
    """Return what a file is labelled, "" where it cannot be told; a link is not followed."""
    try:
        return os.getxattr(path, "security.selinux", follow_symlinks=False).rstrip(b"\0").decode("utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def expected_label(path: str, mode: int) -> str:
    """Return what the policy's file contexts say of a path, "" where they say nothing."""
    import selinux

    try:
        status, label = selinux.matchpathcon(path, mode)
    except OSError:
        return ""
    return str(label) if status == 0 and label else ""
