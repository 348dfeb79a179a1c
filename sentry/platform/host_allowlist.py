"""What the Sentry may ask of the host once its first guest exists (seccomp(2)); each call with the reason.

This is all: `host_filter.py` compiles it, `runsc-py host-syscalls` prints it. No call makes a process, a thread, a
program, a namespace, a mount or a socket, maps executable memory, or opens a file by a handle. A call that is not
listed fails with EPERM, and the host's log has a line; one of KILLED ends the Sentry, and all guests with it, at once.
Hot calls have no argument tests: the host then answers them from a bit map without running the filter.
"""

from __future__ import annotations

from typing import NamedTuple

# Argument tests, as in native.py: (argument index, "==", value) or (argument index, "mask", mask, value).
Test = tuple[int, str, int] | tuple[int, str, int, int]


class HostCall(NamedTuple):
    """The call is allowed when all tests hold; several entries of one call are alternatives."""

    name: str
    tests: tuple[Test, ...]
    reason: str


IOCTLS = {
    0xC050_2100: "SECCOMP_IOCTL_NOTIF_RECV: take a guest's call in",
    0xC018_2101: "SECCOMP_IOCTL_NOTIF_SEND: answer it",
    0x4018_2103: "SECCOMP_IOCTL_NOTIF_ADDFD: a descriptor for the guest to map",
    0x4008_2104: "SECCOMP_IOCTL_NOTIF_SET_FLAGS: where the answered task runs",
    0x5401: "TCGETS: is this a terminal",
    0x802C_542A: "TCGETS2: as TCGETS, in newer C libraries",
    0x5413: "TIOCGWINSZ: the console's size",
    0x541B: "FIONREAD: what waits in a pipe of stdio",
    0x5421: "FIONBIO: control connections do not block",
}
PTRACE = {
    0x4206: "PTRACE_SEIZE: trace a guest for a moment",
    0x4200: "PTRACE_SETOPTIONS: which events stop it",
    0x4207: "PTRACE_INTERRUPT: bring it to a stop",
    7: "PTRACE_CONT: on to the delivery of a signal",
    24: "PTRACE_SYSCALL: on to the end of a clone that was put in place of clone3",
    17: "PTRACE_DETACH: let it go",
    12: "PTRACE_GETREGS: which call it stands in",
    13: "PTRACE_SETREGS: make that call again, or exec the loader",
    0x4201: "PTRACE_GETEVENTMSG: the number of a new task",
    0x4202: "PTRACE_GETSIGINFO: is a signal the one that the Sentry sent; was it a fault",
    0x4203: "PTRACE_SETSIGINFO: who sent the signal",
}
PTRACE_FOR_LIFE = {
    0x4208: "PTRACE_LISTEN: it stays in its group stop",
    0x420A: "PTRACE_GETSIGMASK: while a descriptor is handed over",
    0x420B: "PTRACE_SETSIGMASK: likewise",
}
FCNTL = {
    1: "F_GETFD",
    2: "F_SETFD",
    3: "F_GETFL: how a descriptor was opened",
    4: "F_SETFL: O_APPEND of a guest's file",
    1030: "F_DUPFD_CLOEXEC",
    1033: "F_ADD_SEALS: memfd_create(2)",
    1034: "F_GET_SEALS",
}
ALLOCATIONS = {
    0: "room for a file", 1: "room behind its end", 3: "a hole", 8: "a piece taken out of a file", 0x10: "zeros",
    0x11: "zeros in it", 0x20: "room in the middle of a file",
}  # fmt: skip
LIMITS = {9: "RLIMIT_AS", 0: "RLIMIT_CPU", 2: "RLIMIT_DATA", 8: "RLIMIT_MEMLOCK", 3: "RLIMIT_STACK"}
S_IFMT, S_IFCHR = 0o170000, 0o020000
NODES = {0o010000: "a fifo", 0o140000: "a socket's name"}
CHARACTER_DEVICES = {
    0x103: "null", 0x105: "zero", 0x107: "full", 0x108: "random", 0x109: "urandom", 0x500: "tty", 0x501: "console",
    0x502: "ptmx",
}  # fmt: skip
PROT_EXEC, MAP_ANONYMOUS = 4, 0x20
O_CLOEXEC = 0o2000000
MFD_KNOWN = 1 | 2 | 8 | 16  # CLOEXEC, ALLOW_SEALING, NOEXEC_SEAL, EXEC: no huge pages
WNOHANG_WALL = 0x4000_0001

GUEST_FILE = "files below directories that were handed over, by a single name or a descriptor"
GUEST_ATTRIBUTE = "attributes of such files"
OWN_MEMORY = "the Sentry's own heap"
LINKS = "links to the command line and the stub, connected before; stdio that is a socket"
SIGNAL = "signals to guests, after the check of the sender"


def calls(platform: str = "notify") -> list[HostCall]:
    """The list, the hottest first."""
    out = [HostCall("ioctl", ((1, "==", request),), text) for request, text in IOCTLS.items()]
    out += [HostCall(name, (), "waits for calls and descriptors") for name in ("ppoll", "epoll_wait", "epoll_ctl")]
    for name in ("process_vm_readv", "process_vm_writev"):
        out.append(HostCall(name, (), "a guest's memory, by its page protection"))
    for name in ("openat", "newfstatat", "fstat", "close", "read", "write", "pread64", "pwrite64", "lseek",
                 "readlinkat", "getdents64", "fstatfs", "ftruncate", "fsync",
                 "mkdirat", "symlinkat", "unlinkat", "renameat"):  # fmt: skip
        out.append(HostCall(name, (), GUEST_FILE))
    out.append(HostCall("linkat", ((4, "==", 0),), f"{GUEST_FILE}; no link is followed"))
    out.append(HostCall("linkat", ((4, "==", 0x400),), "a name for an open file without one (O_TMPFILE)"))
    out += [HostCall("mknodat", ((2, "mask", S_IFMT, kind),), text) for kind, text in NODES.items()]
    for dev, text in CHARACTER_DEVICES.items():
        tests = ((2, "mask", S_IFMT, S_IFCHR), (3, "==", dev))
        out.append(HostCall("mknodat", tests, f"/dev/{text}, as images have it"))
    for mode, text in ALLOCATIONS.items():
        out.append(HostCall("fallocate", ((1, "==", mode),), text))
    for name in ("fchownat", "fchmodat", "utimensat", "fgetxattr", "fsetxattr", "fremovexattr", "flistxattr"):
        out.append(HostCall(name, (), GUEST_ATTRIBUTE))
    out += [HostCall("fcntl", ((1, "==", command),), text) for command, text in FCNTL.items()]
    out.append(HostCall("memfd_create", ((1, "mask", 0xFFFF_FFFF & ~MFD_KNOWN, 0),), "memfd_create(2) of a guest"))
    requests = PTRACE | PTRACE_FOR_LIFE if platform == "ptrace" else PTRACE
    out += [HostCall("ptrace", ((0, "==", request),), text) for request, text in requests.items()]
    out.append(HostCall("wait4", ((2, "==", WNOHANG_WALL),), "events of guests, without waiting"))
    out.append(HostCall("wait4", ((2, "==", 0),), "at the end: the guests' ends"))
    out.append(HostCall("pidfd_open", ((1, "==", 0),), "to see a guest's end"))
    reading = ((2, "==", 8), (3, "==", O_CLOEXEC))
    out.append(HostCall("signalfd4", reading, "signalfd(2) of a guest, which alone reads it"))
    out += [HostCall(name, (), SIGNAL) for name in ("kill", "tgkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo")]
    out.append(HostCall("getpgid", (), "process groups of guests are real"))
    for resource, text in LIMITS.items():
        out.append(HostCall("prlimit64", ((1, "==", resource),), f"{text} of a guest, only lowered"))
    out.append(HostCall("sched_setaffinity", (), "Sentry and guests share a CPU, or not"))
    out.append(HostCall("setpriority", ((0, "==", 0),), "a guest's nice value"))
    out.append(HostCall("accept4", (), "the control socket"))
    out.append(HostCall("sendto", ((4, "==", 0),), f"{LINKS}; no address is named"))
    out += [HostCall(name, (), LINKS) for name in ("recvmsg", "sendmsg")]
    memory = ((2, "mask", PROT_EXEC, 0), (3, "mask", MAP_ANONYMOUS, MAP_ANONYMOUS))
    out.append(HostCall("mmap", memory, f"{OWN_MEMORY}, never code"))
    out += [HostCall(name, (), OWN_MEMORY) for name in ("munmap", "mremap", "brk")]
    out.append(HostCall("getrandom", (), "random numbers for guests and for their address spaces"))
    out.append(HostCall("clock_gettime", (), "clocks that the vdso cannot tell"))
    out.append(HostCall("exit_group", (), "the end"))
    return out


# No mistake of ours asks for these: who does has taken the Sentry over.
KILLED = (
    "execve", "execveat", "unshare", "setns", "mount", "umount2", "pivot_root", "chroot", "move_mount",
    "open_tree", "fsopen", "fspick", "fsconfig", "fsmount", "mount_setattr", "open_by_handle_at",
    "name_to_handle_at", "bpf", "perf_event_open", "userfaultfd", "io_uring_setup", "io_uring_enter",
    "io_uring_register", "init_module", "finit_module", "delete_module", "kexec_load", "kexec_file_load",
    "reboot", "swapon", "swapoff", "add_key", "request_key", "keyctl", "iopl", "ioperm", "modify_ldt",
    "process_madvise", "quotactl", "acct", "settimeofday", "clock_settime", "adjtimex", "clock_adjtime",
    "sethostname", "setdomainname", "syslog", "vhangup", "personality",
)  # fmt: skip
# But for what calls() lists:
# TRACEME PEEK* POKE* KILL SINGLESTEP *FPREGS ATTACH SYSEMU* *REGSET LISTEN PEEKSIGINFO *SIGMASK SECCOMP_*
KILLED_PTRACE = (*range(7), 8, 9, 14, 15, 16, 18, 19, 25, 31, 32, 0x4204, 0x4205, *range(0x4208, 0x4212))
