"""The layouts against the compiler's sizeof and offsetof."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from sentry.abi import structs

C_TYPES = {
    "STAT": "struct stat", "STATX": "struct statx", "STATFS": "struct statfs", "FLOCK": "struct flock",
    "OPEN_HOW": "struct open_how", "TIMESPEC": "struct timespec", "TIMEVAL": "struct timeval",
    "ITIMERSPEC": "struct itimerspec", "ITIMERVAL": "struct itimerval", "TMS": "struct tms", "TIMEX": "struct timex",
    "POLLFD": "struct pollfd", "EPOLL_EVENT": "struct epoll_event", "INOTIFY_EVENT": "struct inotify_event",
    "RUSAGE": "struct rusage", "SYSINFO": "struct sysinfo", "UTSNAME": "struct utsname", "RLIMIT": "struct rlimit",
    "SCHED_PARAM": "struct sched_param", "CLONE_ARGS": "struct clone_args", "STACK_T": "stack_t",
    "CAP_HEADER": "struct __user_cap_header_struct", "CAP_DATA": "struct __user_cap_data_struct",
    "SIGEVENT": "struct sigevent", "SIGINFO_KILL": "siginfo_t", "SIGINFO_QUEUE": "siginfo_t",
    "SIGINFO_TIMER": "siginfo_t", "SIGINFO_CHILD": "siginfo_t",
    "SIGINFO_FAULT": "siginfo_t", "SIGINFO_POLL": "siginfo_t", "SIGINFO_SYS": "siginfo_t",
    "SIGNALFD_SIGINFO": "struct signalfd_siginfo", "IOVEC": "struct iovec", "MSGHDR": "struct msghdr",
    "MMSGHDR": "struct mmsghdr", "CMSGHDR": "struct cmsghdr", "SOCKADDR_UN": "struct sockaddr_un",
    "UCRED": "struct ucred", "LINGER": "struct linger", "WINSIZE": "struct winsize", "UTIMBUF": "struct utimbuf",
    "IPC_PERM": "struct ipc_perm",
    "SEMBUF": "struct sembuf", "MQ_ATTR": "struct mq_attr", "FUTEX_WAITV": "struct futex_waitv",
    "PRCTL_MM_MAP": "struct prctl_mm_map", "FSXATTR": "struct fsxattr", "FILE_CLONE_RANGE": "struct file_clone_range",
    "SOCKADDR_NL": "struct sockaddr_nl",
}  # fmt: skip
# A field that stands last in our layout, and the bytes from its start to our end without padding.
OFFSETS = {
    ("struct stat", "st_ctim"): 104, ("struct statx", "stx_mtime"): 112, ("struct statx", "stx_mnt_id"): 144,
    ("struct statfs", "f_flags"): 80, ("siginfo_t", "si_utime"): 32, ("siginfo_t", "si_status"): 24,
    ("struct signalfd_siginfo", "ssi_addr"): 72, ("struct signalfd_siginfo", "ssi_arch"): 96,
    ("struct timex", "tai"): 160, ("struct sysinfo", "totalhigh"): 88, ("struct msghdr", "msg_flags"): 48,
    ("struct flock", "l_pid"): 24, ("struct sigevent", "sigev_notify"): 12,
}  # fmt: skip
HEADERS = """sys/stat.h sys/vfs.h fcntl.h linux/openat2.h time.h sys/time.h sys/times.h sys/timex.h poll.h sys/epoll.h
sys/inotify.h sys/resource.h sys/sysinfo.h sys/utsname.h sched.h linux/sched.h linux/capability.h signal.h
sys/signalfd.h sys/uio.h sys/socket.h sys/un.h sys/ioctl.h utime.h sys/ipc.h sys/sem.h mqueue.h linux/futex.h
sys/prctl.h linux/fs.h linux/netlink.h"""


@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs a compiler")
def test_sizes_and_offsets(tmp_path: Path) -> None:
    text = "#define _GNU_SOURCE\n" + "".join(f"#include <{h}>\n" for h in HEADERS.split()) + "#include <stddef.h>\n"
    text += "#include <stdio.h>\nint main(void) {\n"
    text += "".join(f'printf("%zu\\n", sizeof({c}));\n' for c in C_TYPES.values())
    text += "".join(f'printf("%zu\\n", offsetof({c}, {f}));\n' for c, f in OFFSETS)
    source = tmp_path / "sizes.c"
    source.write_text(text + "return 0; }\n")
    subprocess.run(["gcc", "-w", "-o", tmp_path / "sizes", source], check=True)
    out = [int(x) for x in subprocess.run([tmp_path / "sizes"], capture_output=True, check=True).stdout.split()]
    sizes = dict(zip(C_TYPES, out, strict=False))
    assert {n: getattr(structs, n).size for n in C_TYPES} == sizes
    assert out[len(C_TYPES) :] == list(OFFSETS.values())


def test_packed_offsets() -> None:
    """Values land where the C fields of OFFSETS are."""
    stat = structs.STAT.pack(*range(1, 17))
    assert stat[104] == 15 and stat[112] == 16 and stat[24] == 4 and stat[40] == 7
    mask = [0] * 11 + [7, 8] * 4 + [0, 0, 0, 0, 9, 0, 0, 0]
    statx = structs.STATX.pack(*mask)
    assert statx[112] == 7 and statx[120] == 8 and statx[144] == 9
    child = structs.SIGINFO_CHILD.pack(17, 0, 1, 5, 6, 7, 8, 9)
    assert child[24] == 7 and child[32] == 8 and child[40] == 9
    signalfd = structs.SIGNALFD_SIGINFO.pack(*range(1, 21))
    assert signalfd[72] == 16 and signalfd[96] == 20 and signalfd[80] == 17


def test_stat_aarch64() -> None:
    assert structs.STAT_AARCH64.size == 128
    packed = structs.STAT_AARCH64.pack(*range(1, 17))
    assert packed[16] == 3 and packed[48] == 8 and packed[56] == 9 and packed[64] == 10 and packed[72] == 11
    assert structs.EPOLL_EVENT.size == 12 and structs.TERMIOS.size == 36 and structs.TERMIOS2.size == 44
    assert structs.SIGACTION.size == 32
