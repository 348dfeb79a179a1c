"""The rows of the calls that the host runs without the Sentry, with their reasons (platform/native.py)."""

from __future__ import annotations

from sentry.platform.native import rules
from syscalls.registry import native


def _declare() -> None:
    reasons: dict[str, list[str]] = {}
    for rule in rules(0, 1):
        known = reasons.setdefault(rule.name, [])
        if rule.reason not in known:
            known.append(rule.reason)
    for name, texts in reasons.items():
        native(name, "; ".join(texts))


_declare()
