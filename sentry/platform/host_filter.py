"""The Sentry's own seccomp filter (seccomp(2)): host_allowlist.py as a BPF program, kept by its hash."""

from __future__ import annotations

import os

from sentry.abi.nr.x86_64 import NR
from sentry.engine._engine import ffi, lib
from sentry.platform.filter import exported, kept
from sentry.platform.host_allowlist import KILLED, KILLED_PTRACE, HostCall, calls

EPERM = 1
FORMAT = 1  # of what `compile_filter` makes of the list
_program = b""


def prepare(cache_dir: str, platform: str = "notify") -> None:
    """Have the program at hand: libseccomp cannot be loaded any more when it is needed."""
    global _program
    listed = calls(platform)
    meaning = [(call.name, call.tests) for call in listed], KILLED, KILLED_PTRACE, FORMAT
    _program = kept(cache_dir, "sentry-filter", meaning, lambda: compile_filter(listed))


def install() -> None:
    """From here on the list holds, for every thread, for good."""
    if not _program:
        raise RuntimeError("the Sentry's filter was not prepared")
    error = lib.eng_confine(ffi.from_buffer(_program), len(_program) // 8)
    if error:
        raise OSError(-error, os.strerror(-error), "the Sentry's own filter")


def compile_filter(listed: list[HostCall]) -> bytes:
    """An array of struct sock_filter, 8 bytes each."""
    import pyseccomp as seccomp

    operators = {"==": seccomp.EQ, "mask": seccomp.MASKED_EQ}
    program = seccomp.SyscallFilter(defaction=seccomp.ERRNO(EPERM))
    program.set_attr(seccomp.Attr.ACT_BADARCH, seccomp.KILL_PROCESS)
    for rank, name in enumerate(dict.fromkeys(call.name for call in listed)):
        program.syscall_priority(NR[name], max(255 - rank, 1))
    for call in listed:
        tests = [seccomp.Arg(test[0], operators[test[1]], *test[2:]) for test in call.tests]
        program.add_rule(seccomp.ALLOW, NR[call.name], *tests)
    for name in KILLED:
        program.add_rule(seccomp.KILL_PROCESS, NR[name])
    allowed = {call.tests[0][2] for call in listed if call.name == "ptrace"}
    for request in sorted({*KILLED_PTRACE} - allowed):
        program.add_rule(seccomp.KILL_PROCESS, NR["ptrace"], seccomp.Arg(0, seccomp.EQ, request))
    return exported(program)
