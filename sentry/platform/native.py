"""What a guest may run natively, each with the reason (the narrow passthrough); everything else is the Sentry's.

Nothing here names a path, a user, a limit, a mount, a key or an IPC object; a descriptor only where the number is one
that the guest cannot have given a meaning. The seccomp filter (`filter.py`) is compiled from this list and nothing
else.
"""

from __future__ import annotations

from typing import NamedTuple

LOADER_MAGIC = 1000  # the loader's one call to the Sentry
LOADER_FDS = 1 << 32  # set by the loader above the 32 bits of a descriptor that the kernel reads (engine/loader.c)

# Argument tests: (argument index, operator, value) or (argument index, "mask", mask, value).
Test = tuple[int, str, int] | tuple[int, str, int, int]


class Native(NamedTuple):
    """One rule: the call, the tests that must all hold, and why the host may run it."""

    name: str
    tests: tuple[Test, ...]
    reason: str


MAP_ANONYMOUS, MAP_HUGETLB = 0x20, 0x40000
OWN_MEMORY = "changes only the caller's own address space"
OWN_SIGNALS = "the caller's own mask, stack or queue; signals are real host signals"
CLOCK = "reads a clock or sleeps on one"
SYNC = "waits on or wakes memory that the tasks already share"
OWN_NUMBERS = "the inner pid namespace's own numbers"
OWN_GROUP = "groups and sessions live in the inner pid namespace; the host keeps the rules of setpgid(2) and setsid(2)"
OWN_ACCOUNT = "the caller's own accounting"

MADVICE = {
    0: "NORMAL", 1: "RANDOM", 2: "SEQUENTIAL", 3: "WILLNEED", 4: "DONTNEED", 8: "FREE", 9: "REMOVE", 10: "DONTFORK",
    11: "DOFORK", 14: "HUGEPAGE", 15: "NOHUGEPAGE", 16: "DONTDUMP", 17: "DODUMP", 18: "WIPEONFORK", 19: "KEEPONFORK",
    20: "COLD", 21: "PAGEOUT", 22: "POPULATE_READ", 23: "POPULATE_WRITE", 25: "COLLAPSE", 102: "GUARD_INSTALL",
    103: "GUARD_REMOVE",
}  # fmt: skip

PRCTL_NATIVE = {
    2: "PR_GET_PDEATHSIG: own setting",
    15: "PR_SET_NAME: own name",
    16: "PR_GET_NAME: own name",
    29: "PR_SET_TIMERSLACK: own sleeps",
    30: "PR_GET_TIMERSLACK: own sleeps",
    41: "PR_SET_THP_DISABLE: own memory",
    42: "PR_GET_THP_DISABLE: own memory",
    0x53564D41: "PR_SET_VMA: names own anonymous memory",
}


def rules(program_fd: int, interp_fd: int) -> list[Native]:
    """The list. `program_fd` and `interp_fd` are the real numbers at which the loader finds its two files: the Sentry
    puts them there during an exec and the loader closes them before the program runs. The loader marks its descriptor
    arguments (LOADER_FDS), so a guest's own use of the same numbers goes to the Sentry; a guest that sets the mark
    finds nothing there but what it has mapped itself."""
    out = [
        Native("mmap", ((3, "mask", MAP_ANONYMOUS | MAP_HUGETLB, MAP_ANONYMOUS),), "anonymous memory, no huge pages"),
        Native("mmap", ((4, "==", LOADER_FDS | program_fd),), "the loader maps the program"),
        Native("mmap", ((4, "==", LOADER_FDS | interp_fd),), "the loader maps the interpreter"),
        Native("close", ((0, "==", LOADER_FDS | program_fd),), "the loader closes the program"),
        Native("close", ((0, "==", LOADER_FDS | interp_fd),), "the loader closes the interpreter"),
        Native("prctl", ((0, "==", 35), (1, "==", 14)), "PR_SET_MM_MAP: where the caller's brk, arguments, auxv lie"),
        Native("prctl", ((0, "==", 4), (1, "==", 0), (2, "==", LOADER_FDS)), "the loader: PR_SET_DUMPABLE 0"),
        Native("rt_sigaction", ((1, "==", 0),), "a query of the caller's own dispositions"),
    ]
    for name in ("munmap", "mprotect", "mremap", "msync", "brk", "mlock", "mlock2", "munlock", "mlockall",
                 "munlockall", "mincore", "pkey_alloc", "pkey_free", "pkey_mprotect", "membarrier", "mseal",
                 "map_shadow_stack", "remap_file_pages"):  # fmt: skip
        out.append(Native(name, (), OWN_MEMORY))
    out += [Native("madvise", ((2, "==", advice),), f"MADV_{name}: {OWN_MEMORY}") for advice, name in MADVICE.items()]
    for name in ("futex", "futex_waitv", "futex_wake", "futex_wait", "futex_requeue", "set_robust_list",
                 "get_robust_list", "set_tid_address", "rseq", "sched_yield"):  # fmt: skip
        out.append(Native(name, (), SYNC))
    out.append(Native("arch_prctl", (), "the caller's own segment bases and CPU features"))
    for name in ("nanosleep", "clock_nanosleep", "clock_gettime", "clock_getres", "gettimeofday", "time",
                 "restart_syscall"):  # fmt: skip
        out.append(Native(name, (), CLOCK))
    out += [Native(name, (), OWN_ACCOUNT) for name in ("times", "getrusage", "getcpu")]
    out.append(Native("getrandom", (), "the host's random numbers"))
    for name in ("rt_sigprocmask", "rt_sigreturn", "sigaltstack", "rt_sigpending", "rt_sigsuspend", "pause"):
        out.append(Native(name, (), OWN_SIGNALS))
    out += [Native(name, (), OWN_NUMBERS) for name in ("getpid", "gettid", "getppid", "getpgid", "getpgrp", "getsid")]
    out += [Native(name, (), OWN_GROUP) for name in ("setpgid", "setsid")]
    out += [Native("prctl", ((0, "==", option),), text) for option, text in PRCTL_NATIVE.items()]
    return out
