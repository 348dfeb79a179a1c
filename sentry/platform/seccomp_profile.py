"""config.json's `linux.seccomp` (OCI runtime-spec, config-linux.md, "Seccomp"), as `--oci-seccomp` asks for it.

The Sentry applies it before it serves a call: the guest's own filter stays what it is, but calls that the profile
refuses are no longer native. What the Sentry makes a guest call for its own purposes is not the guest's call.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sentry.abi.errno import BY_CODE, ENOSYS, EPERM
from sentry.kernel.exec import INJECTED
from sentry.platform.native import LOADER_FDS, Native

if TYPE_CHECKING:
    from collections.abc import Callable

    from sentry.kernel.task import Task

    Registers = tuple[int, int, int, int, int, int]
    Call = Callable[[Task, Registers], int]
    Test = tuple[int, str, int, int]  # argument, operator, value, second value

SIGKILL, SIGSYS = 9, 31
ALLOW, KILL, TRAP = 0, -1, -2  # positive: the errno to answer
WORD = (1 << 64) - 1
MAX_RULES = 10_000
KEPT = frozenset(("rt_sigsuspend",))  # which the Sentry makes guests call (temporary_mask.py)
_ACTIONS = {
    "SCMP_ACT_ALLOW": ALLOW, "SCMP_ACT_LOG": ALLOW, "SCMP_ACT_KILL": KILL, "SCMP_ACT_KILL_PROCESS": KILL,
    "SCMP_ACT_KILL_THREAD": KILL, "SCMP_ACT_TRAP": TRAP, "SCMP_ACT_TRACE": ENOSYS.code,
}  # fmt: skip
_OPERATORS = {
    "SCMP_CMP_NE": lambda a, v, w: a != v, "SCMP_CMP_LT": lambda a, v, w: a < v, "SCMP_CMP_LE": lambda a, v, w: a <= v,
    "SCMP_CMP_EQ": lambda a, v, w: a == v, "SCMP_CMP_GE": lambda a, v, w: a >= v, "SCMP_CMP_GT": lambda a, v, w: a > v,
    "SCMP_CMP_MASKED_EQ": lambda a, v, w: a & v == w,
}  # fmt: skip


class SeccompProfile:
    """What to do with each call by name: `always`, or the first of `sometimes` whose tests hold, or `default`."""

    def __init__(self, raw: object) -> None:
        """ValueError, in one line, for what is malformed or cannot be done."""
        profile = _mapping(raw, "linux.seccomp")
        self.default = _action(profile, "defaultAction", "defaultErrnoRet")
        self.always: dict[str, int] = {}
        self.sometimes: dict[str, list[tuple[list[Test], int]]] = {}
        rules = profile.get("syscalls") or ()
        if not isinstance(rules, Sequence) or len(rules) > MAX_RULES:
            raise ValueError("linux.seccomp.syscalls is not a list of rules")
        for raw_rule in rules:
            rule = _mapping(raw_rule, "linux.seccomp.syscalls")
            action = _action(rule, "action", "errnoRet")
            tests = [_test(arg) for arg in rule.get("args") or ()]
            for name in rule.get("names") or ():
                if not tests:
                    self.always.setdefault(str(name), action)
                elif len({test[0] for test in tests}) < len(tests):  # of one argument: any of them, as in runc
                    self.sometimes.setdefault(str(name), []).extend(([test], action) for test in tests)
                else:
                    self.sometimes.setdefault(str(name), []).append((tests, action))

    def action(self, name: str) -> int | None:
        """What happens to every such call; None when it depends on the arguments."""
        action = self.always.get(name)
        if action is not None:
            return action
        rules = self.sometimes.get(name, ())
        return self.default if all(action == self.default for _, action in rules) else None

    def decide(self, name: str, registers: Registers) -> int:
        action = self.action(name)
        if action is not None:
            return action
        for tests, action in self.sometimes[name]:
            if all(_OPERATORS[how](registers[at] & WORD, value, second) for at, how, value, second in tests):
                return action
        return self.default

    def native(self, rules: list[Native]) -> list[Native]:
        """Those of the native list that stay native; ValueError where that would depend on more than is compiled."""
        kept: list[Native] = []
        for rule in rules:
            own = rule.name in KEPT or any(value & LOADER_FDS for test in rule.tests for value in test[2:])
            action = ALLOW if own else self.action(rule.name)
            if action is None:
                raise ValueError(f"linux.seccomp: a rule for {rule.name} with args cannot be applied here")
            if action == ALLOW:
                kept.append(rule)
        return kept

    def guard(self, table: list[Call], numbers: Mapping[str, int]) -> list[Call]:
        """`table` with the refused calls refused. It replaces its own entries when they are first used, so it is
        looked up anew by those that depend on arguments."""
        names = {number: name for name, number in numbers.items()}
        guarded = list(table)
        for number in range(len(table)):
            name = names.get(number, "")
            action = self.action(name)
            if action != ALLOW or name in self.sometimes:
                guarded[number] = self._guarded(table, number, name)
            else:
                guarded[number] = _looked_up(table, number)
        return guarded

    def _guarded(self, table: list[Call], number: int, name: str) -> Call:
        def call(t: Task, registers: Registers) -> int:
            exec_ = t.exec_pending
            ours = t.in_place is not None or (exec_ is not None and exec_.stage == INJECTED)
            action = ALLOW if ours or t.clone_request is not None else self.decide(name, registers)
            if action == ALLOW:
                return table[number](t, registers)
            if action > 0:
                raise BY_CODE.get(action, EPERM)
            if action == KILL:
                _kill(t)
            else:
                t.kernel.signals.send_task(t, SIGSYS)
            raise ENOSYS  # what is seen after TRAP's handler; after KILL nothing is

        return call


def _looked_up(table: list[Call], number: int) -> Call:
    return lambda t, registers: table[number](t, registers)


def _kill(t: Task) -> None:
    """SIGSYS ends the process whatever it thinks of that signal."""
    kernel, at = t.kernel, 1 << SIGSYS - 1
    plain = t.group is not kernel.init
    if not plain:
        kernel.init_signal = SIGSYS
    try:
        with open(f"/proc/{t.host_tid}/status", "rb") as f:
            for line in f.read(4096).splitlines():
                if line.startswith((b"SigBlk:", b"SigIgn:", b"SigCgt:")) and int(line.split()[1], 16) & at:
                    plain = False
    except OSError:
        pass
    kernel.stops.kill(t.group.host_pid, SIGSYS if plain else SIGKILL)


def _mapping(raw: object, what: str) -> Mapping[str, Any]:
    if not isinstance(raw, Mapping):
        raise ValueError(f"{what} is not an object")
    return raw


def _action(rule: Mapping[str, Any], key: str, errno_key: str) -> int:
    name = rule.get(key)
    if name == "SCMP_ACT_ERRNO":
        errno = rule.get(errno_key, EPERM.code)
        if not isinstance(errno, int) or not 0 < errno < 4096:
            raise ValueError(f"linux.seccomp: {errno_key} {errno!r} is no errno")
        return errno
    action = _ACTIONS.get(str(name))
    if action is None:
        raise ValueError(f"linux.seccomp: {key} {name!r} is not supported")
    return action


def _test(raw: object) -> Test:
    arg = _mapping(raw, "linux.seccomp.syscalls.args")
    at, how = arg.get("index"), str(arg.get("op"))
    value, second = arg.get("value", 0), arg.get("valueTwo", 0)
    if not isinstance(at, int) or not isinstance(value, int) or not isinstance(second, int):
        raise ValueError(f"linux.seccomp: args {dict(arg)!r} are not numbers")
    if how not in _OPERATORS or not 0 <= at < 6:
        raise ValueError(f"linux.seccomp: args {dict(arg)!r} are not understood")
    return at, how, value & WORD, second & WORD
