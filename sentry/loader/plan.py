"""execve(2): the load plan, what the in-guest loader does for the Sentry once the old program is gone.

The host starts engine/loader.c by execveat in place of the guest's file. The loader makes one call, number
LOADER_MAGIC, with (buffer, its size, stack pointer, address of the loader, its size, PLAN_VERSION); the Sentry writes
the plan into the buffer, injects the real descriptors PROGRAM and INTERP (read-only, O_CLOEXEC) and answers the plan's
length. If that is larger than the buffer, it answers the length alone: the loader calls again with more room.
The loader's pages, [address, address + size), stay mapped; /proc/PID/maps hides them.

A guest can make that call itself, with any arguments: only a task whose execve is under way gets a plan, the plan is
written with checks like any answer, and /proc/PID/maps hides only a range that the first call after the execveat named.

Native calls of the loader: mmap (anonymous, or one of the two descriptors), munmap, mprotect, close of the two,
prctl(PR_SET_DUMPABLE, PR_SET_NAME, PR_SET_MM with PR_SET_MM_MAP). It ends by hlt, SIGSEGV, when something fails.
The files must not lie on a noexec mount of the host. The loader's descriptor is copied by every fork, with a table as
long as its number: keep it near 1023 (20 000 made a fork and an exec 90 us dearer:
tests/unit/sentry/loader/bench.py under `ulimit -Sn`).

The records, little endian, mirrored in engine/loader.c:

    plan     u32 magic "RPLN", version, flags (1 fault: end at once; 2 stack executable), length
             u32 offset and number of auxv records, offset and length of the strings,
                 offset in the strings of the arguments that replace argv[0], their number (0: argv stays)
             u32 base of the entry, base of brk (0 none, 1 program, 2 interpreter, 3 strings: added to the value)
             u64 entry, brk, start_code, end_code, start_data, end_data (the last four relative to the program)
             16s comm; image program; image interpreter
    image    u32 place (0 absent; 1 at its addresses; 2 at `base` or, if that is taken, anywhere; 3 anywhere)
             i32 descriptor, u32 offset and number of the steps, u64 base, span, align
    step     see steps.py; the first one of a movable image is mapped over the whole span, then cut to its length
    auxv     u32 key, u32 base, u64 value
    strings  file name NUL (argument NUL)...; placed just below the arguments that stay, so that all are contiguous
"""

import struct
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from sentry.abi.errno import E2BIG
from sentry.loader.auxv import AUX, BASE_INTERP, BASE_PROGRAM, BASE_ZERO, Ids, patches
from sentry.loader.elf import Image
from sentry.loader.steps import PAGE, STEP, page_up

LOADER_MAGIC = 1000
PLAN_MAGIC, PLAN_VERSION = 0x4E4C5052, 1
MAX_STRINGS = 12288             # the loader has room to move the stack by 15 KiB
FLAG_FAULT, FLAG_EXEC_STACK = 1, 2
PLACE_NONE, PLACE_FIXED, PLACE_WISH, PLACE_ANY = range(4)

PIE_BASE = 0x555555554000       # two thirds of the address space: where Linux puts a PIE, and the heap of a static PIE
PIE_RANDOM_PAGES = 1 << 28
BRK_RANDOM_PAGES = 1 << 18      # 1 GiB

_PLAN = struct.Struct("<12I6Q16s")
_IMAGE = struct.Struct("<IiIIQQQ")
_HEAD_SIZE = _PLAN.size + 2 * _IMAGE.size
_NO_EXTRA: Mapping[int, int] = MappingProxyType({})

Aslr = Callable[[int], int]     # a random number below its argument; `lambda n: 0` for ADDR_NO_RANDOMIZE


def build_plan(
    program: Image,
    interp: Image | None,
    *,
    execfn: bytes,
    comm: bytes,
    ids: Ids,
    program_fd: int,
    interp_fd: int,
    aslr: Aslr,
    argv_prefix: Sequence[bytes] = (),
    auxv: Mapping[int, int] = _NO_EXTRA,
) -> bytes:
    """The plan for `program`; E2BIG if its strings do not fit.

    execfn is the path as given to execve, of the script if there is one; argv_prefix what replaces argv[0] in that
    case (script.Script.prefix); auxv further plain entries to set, of those that the host's vector has.
    """
    strings = b"".join(text + b"\0" for text in (execfn, *argv_prefix))
    if len(strings) > MAX_STRINGS:
        raise E2BIG
    if program.fault or (interp is not None and interp.fault):
        return _PLAN.pack(PLAN_MAGIC, PLAN_VERSION, FLAG_FAULT, _HEAD_SIZE, *[0] * 14, b"") + bytes(2 * _IMAGE.size)
    vector = patches(program, ids, auxv)
    brk_base, brk = _brk(program, interp, aslr)
    steps_at = _HEAD_SIZE
    interp_steps_at = steps_at + len(program.steps)
    vector_at = interp_steps_at + (len(interp.steps) if interp else 0)
    strings_at = vector_at + len(vector)
    return b"".join((
        _PLAN.pack(
            PLAN_MAGIC, PLAN_VERSION, FLAG_EXEC_STACK if program.stack_exec else 0, strings_at + len(strings),
            vector_at, len(vector) // AUX.size, strings_at, len(strings), len(execfn) + 1, len(argv_prefix),
            BASE_INTERP if interp else BASE_PROGRAM, brk_base,
            interp.entry if interp else program.entry, brk,
            program.start_code, program.end_code, program.start_data, program.end_data, comm[:15],
        ),
        _place(program, steps_at, program_fd, _pie_base(program, aslr) if interp else None),
        _place(interp, interp_steps_at, interp_fd, None) if interp else _IMAGE.pack(PLACE_NONE, -1, 0, 0, 0, 0, 0),
        program.steps,
        interp.steps if interp else b"",
        vector,
        strings,
    ))


def _place(image: Image, steps_at: int, fd: int, wish: int | None) -> bytes:
    if not image.movable:
        place, base = PLACE_FIXED, 0
    elif wish is None:
        place, base = PLACE_ANY, 0
    else:
        place, base = PLACE_WISH, wish
    steps = len(image.steps) // STEP.size
    return _IMAGE.pack(place, fd, steps_at, steps, base, image.high - image.low, image.align)


def _pie_base(program: Image, aslr: Aslr) -> int:
    """A PIE with an interpreter goes below the heap; without one it is an interpreter itself and goes anywhere."""
    wish = PIE_BASE + aslr(PIE_RANDOM_PAGES) * PAGE
    return max((wish - program.low) & -program.align, 0)


def _brk(program: Image, interp: Image | None, aslr: Aslr) -> tuple[int, int]:
    """Behind the bss; for a movable program without interpreter far from the mmap area, where the program is."""
    gap = aslr(BRK_RANDOM_PAGES) * PAGE
    if not program.movable:
        return BASE_ZERO, page_up(program.brk_end) + gap
    if interp is not None:
        return BASE_PROGRAM, page_up(program.brk_end) + gap
    return BASE_ZERO, PIE_BASE + gap
