"""Rows for the calls without a handler (syscalls(2)): what they answer, and why.

`stub` is what a Linux would also say that was built without the feature, or says to everyone; `missing` is a gap. Calls
that need a capability answer EPERM without it and then say that the feature is not there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentry.abi.const.rights import (
    CAP_SYS_ADMIN,
    CAP_SYS_BOOT,
    CAP_SYS_MODULE,
    CAP_SYS_PACCT,
    CAP_SYS_RAWIO,
    CAP_SYS_TTY_CONFIG,
)
from sentry.abi.errno import EINVAL, ENOENT, ENOSYS, EPERM, Errno
from syscalls.registry import numbers, refused, syscall

if TYPE_CHECKING:
    from collections.abc import Callable

    from sentry.kernel.task import Task

# Names with a number but no code behind it in Linux itself (unimplemented(2), or removed).
GONE = (
    "afs_syscall", "create_module", "epoll_ctl_old", "epoll_wait_old", "get_kernel_syms", "get_thread_area",
    "getpmsg", "lookup_dcookie", "nfsservctl", "putpmsg", "query_module", "security", "set_thread_area", "tuxcall",
    "uselib", "vserver", "_sysctl",
)  # fmt: skip

# Parts that a kernel may be configured without; then Linux answers ENOSYS.
NOT_BUILT = {
    "add_key": "no keyrings",
    "bpf": "no BPF",
    "fanotify_init": "no fanotify",
    "fanotify_mark": "no fanotify",
    "io_uring_enter": "no io_uring",
    "io_uring_register": "no io_uring",
    "io_uring_setup": "no io_uring",
    "keyctl": "no keyrings",
    "landlock_add_rule": "no Landlock",
    "landlock_create_ruleset": "no Landlock, so no version of it either",
    "landlock_restrict_self": "no Landlock",
    "map_shadow_stack": "no shadow stacks",
    "memfd_secret": "no secret memory",
    "modify_ldt": "no local descriptor tables",
    "perf_event_open": "no performance counters",
    "request_key": "no keyrings",
    "uretprobe": "no uprobes",
    "uprobe": "no uprobes",
    "seccomp": "a guest's own filters are not taken",
    "set_mempolicy_home_node": "one memory node",
    "userfaultfd": "no userfaultfd",
}

# Privileged work that no sandbox does: the capability is asked for, then the device or feature is absent.
PRIVILEGED: dict[str, tuple[int, type[Errno]]] = {
    "acct": (CAP_SYS_PACCT, ENOSYS),
    "delete_module": (CAP_SYS_MODULE, ENOENT),
    "finit_module": (CAP_SYS_MODULE, EPERM),
    "init_module": (CAP_SYS_MODULE, EPERM),
    "ioperm": (CAP_SYS_RAWIO, ENOSYS),
    "iopl": (CAP_SYS_RAWIO, ENOSYS),
    "kexec_file_load": (CAP_SYS_BOOT, ENOSYS),
    "kexec_load": (CAP_SYS_BOOT, ENOSYS),
    "quotactl": (CAP_SYS_ADMIN, ENOSYS),
    "quotactl_fd": (CAP_SYS_ADMIN, ENOSYS),
    "reboot": (CAP_SYS_BOOT, EINVAL),
    "swapoff": (CAP_SYS_ADMIN, EINVAL),
    "swapon": (CAP_SYS_ADMIN, EPERM),
    "vhangup": (CAP_SYS_TTY_CONFIG, EPERM),
}
"""Name -> the capability that is asked for first, and what its owner is told."""

def _guarded(cap: int, error: type[Errno]) -> Callable[[Task], int]:
    def ask(t: Task) -> int:
        t.creds.require(cap)
        raise error

    return ask


def declare() -> None:
    """Fill what no handler and no native row has taken; called once, after the handlers were imported."""
    from syscalls.registry import ENTRIES

    for name, (cap, error) in PRIVILEGED.items():
        if name not in ENTRIES:
            note = f"EPERM without the capability, then {error.__name__}"
            syscall(name, support="stub", note=note)(_guarded(cap, error))
    for name in GONE:
        refused(name, ENOSYS, "stub", "no such call in Linux either")
    for name, why in NOT_BUILT.items():
        refused(name, ENOSYS, "stub", why)
    for arch in ("x86_64", "aarch64"):
        for name in numbers(arch):
            refused(name, ENOSYS)
