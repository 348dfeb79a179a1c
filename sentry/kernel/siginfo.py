"""siginfo_t as the kernel lays it out (sigaction(2)), 128 bytes."""

from __future__ import annotations

import struct

SI_USER, SI_KERNEL, SI_QUEUE, SI_TIMER, SI_TKILL = 0, 0x80, -1, -2, -6

_HEAD = struct.Struct("<iiii")
_KILL = struct.Struct("<iI")
_TIMER = struct.Struct("<iiQ")


def code_of(info: bytes) -> int:
    """si_code."""
    return int(_HEAD.unpack_from(info)[2])


def has_sender(info: bytes) -> bool:
    """False for what the Sentry has sent as the host delivers it: a sender from outside has no number inside."""
    code = code_of(info)
    return code > 0 or code == SI_TIMER or bool(_KILL.unpack_from(info, _HEAD.size)[0])


def plain_info(signo: int, code: int) -> bytes:
    """Sent by the kernel: no sender."""
    return (_HEAD.pack(signo, 0, code, 0)).ljust(128, b"\0")


def kill_info(signo: int, code: int, pid: int, uid: int) -> bytes:
    """kill(2) (SI_USER) or tgkill(2) (SI_TKILL) by guest process `pid`."""
    return (_HEAD.pack(signo, 0, code, 0) + _KILL.pack(pid, uid)).ljust(128, b"\0")


def timer_info(signo: int, timer_id: int, overrun: int, value: int) -> bytes:
    """timer_create(2): si_value is the 64-bit sigval."""
    return (_HEAD.pack(signo, 0, SI_TIMER, 0) + _TIMER.pack(timer_id, overrun, value)).ljust(128, b"\0")
