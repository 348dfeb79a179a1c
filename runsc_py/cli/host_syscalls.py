"""host-syscalls: what the Sentry may ask of the host after its start (seccomp(2)), as the filter has it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runsc_py.errors import Failure

from .options import VALUE, parse

if TYPE_CHECKING:
    from sentry.platform.host_allowlist import HostCall, Test

    from .settings import Settings


def main(settings: Settings, arguments: list[str]) -> int:
    options = parse(arguments, {"format": VALUE}, {"o": "format"}, "host-syscalls")
    style = options.text("format", "table")
    if style not in ("table", "json"):
        raise Failure("host-syscalls", f"--format {style!r} is neither table nor json")
    from sentry.platform.host_allowlist import KILLED, calls

    listed = calls(settings.platform)
    if style == "json":
        import json

        rows = [{"name": call.name, "arguments": condition(call), "reason": call.reason} for call in listed]
        print(json.dumps({"allowed": rows, "killed": KILLED, "others": "EPERM"}, indent=2))
        return 0
    width = max(len(call.name) for call in listed)
    for call in listed:
        print(f"{call.name:<{width}}  {condition(call):<42}  {call.reason}".rstrip())
    count = len({call.name for call in listed})
    print(f"\n{count} calls. What else the Sentry asks for fails with EPERM, and these end it:")
    print(" ".join(KILLED))
    return 0


def condition(call: HostCall) -> str:
    return ", ".join(_shown(test) for test in call.tests) or "any"


def _shown(test: Test) -> str:
    numbers = [f"{value & 0xFFFF_FFFF_FFFF_FFFF:#x}" for value in test[2:]]
    if test[1] == "mask":
        return f"arg{test[0]} & {numbers[0]} == {numbers[1]}"
    return f"arg{test[0]} == {numbers[0]}"
