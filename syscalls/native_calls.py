"""The rows of the calls that the host runs without the Sentry, with their reasons (platform/native.py)."""

from __future__ import annotations

from sentry.platform.native import rules
from syscalls.registry import native

NO_IPC_LOCK = "CAP_IPC_LOCK does not lift RLIMIT_MEMLOCK"
PARTIAL = {
    "get_robust_list": "not of other processes (EPERM): none may inspect another on the host",
    "mlock": NO_IPC_LOCK,
    "mlock2": NO_IPC_LOCK,
    "mlockall": NO_IPC_LOCK,
}
"""What the host refuses to a guest although Linux would let it."""


def _declare() -> None:
    reasons: dict[str, list[str]] = {}
    for rule in rules(0, 1):
        known = reasons.setdefault(rule.name, [])
        if rule.reason not in known:
            known.append(rule.reason)
    for name, texts in reasons.items():
        note = PARTIAL.get(name, "")
        native(name, "; ".join(texts), note, "partial" if note else "full")


_declare()
