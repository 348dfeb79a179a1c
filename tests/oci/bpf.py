"""seccomp(2), BPF: a reading of compiled filters, so that what they allow can be asked without making a call."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

X86_64, I386, AARCH64 = 0xC000003E, 0x40000003, 0xC00000B7
ALLOW, NOTIFY, KILL_PROCESS, ERRNO = 0x7FFF0000, 0x7FC00000, 0x80000000, 0x00050000
DATA = struct.Struct("<iIQ6Q")
INSTRUCTION = struct.Struct("<HBBI")
M32, M64 = (1 << 32) - 1, (1 << 64) - 1

Test = tuple[int, str, int] | tuple[int, str, int, int]


class Filter:
    """A program; every path through it ends, since jumps only go forwards."""

    def __init__(self, program: bytes) -> None:
        self.steps = list(INSTRUCTION.iter_unpack(program))
        for at, (code, yes, no, k) in enumerate(self.steps):
            ahead = k if code == 0x05 else max(yes, no) if code & 7 == 5 else 0
            assert at + 1 + ahead <= len(self.steps) - (code != 0x06), "a jump beyond the end"

    def ask(self, nr: int, args: Sequence[int], arch: int = X86_64) -> int:
        """The action for one call, from `arch`."""
        data = DATA.pack(struct.unpack("<i", struct.pack("<I", nr & M32))[0], arch, 0, *(a & M64 for a in args))
        at = value = 0
        while True:
            code, yes, no, k = self.steps[at]
            at += 1
            if code == 0x06:  # ret k
                return int(k)
            if code == 0x20:  # ld [k]
                value = struct.unpack_from("<I", data, k)[0]
            elif code == 0x54:  # and k
                value &= k
            elif code == 0x05:  # ja
                at += k
            elif code == 0x15:
                at += yes if value == k else no
            elif code == 0x25:
                at += yes if value > k else no
            elif code == 0x35:
                at += yes if value >= k else no
            elif code == 0x45:
                at += yes if value & k else no
            else:
                raise AssertionError(f"instruction {code:#x} is not known here")


def holds(tests: Sequence[Test], args: Sequence[int]) -> bool:
    """Whether all `tests` hold, as native.py and host_allowlist.py mean them: in 64 bits."""
    return all(
        args[test[0]] & (test[2] if test[1] == "mask" else M64) == test[-1] & M64 for test in tests
    )


def matching(tests: Sequence[Test], fill: int) -> list[int]:
    """Arguments for which all tests hold; what they leave open is `fill`."""
    args = [fill & M64] * 6
    for test in tests:
        index, value = test[0], test[-1] & M64
        mask = test[2] & M64 if test[1] == "mask" else M64
        args[index] = args[index] & ~mask & M64 | value
    return args


def variations(tests: Sequence[Test]) -> Iterator[list[int]]:
    """Matching arguments, and those that differ in one tested argument by one bit, or in its upper half."""
    for fill in (0, M64, 0x1234_5678_9ABC_DEF0):
        yield matching(tests, fill)
    for test in tests:
        for bit in (*range(34), 40, 63):
            args = matching(tests, 0)
            args[test[0]] ^= 1 << bit
            yield args
