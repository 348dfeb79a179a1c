"""The Sentry gives up what it needs no longer once the guest's first task exists (capabilities(7), seccomp(2))."""

from __future__ import annotations

from runsc_py.host import flags as f

TYPE_CHECKING = False  # as in `typing`, which takes longer to import than a command may run
if TYPE_CHECKING:
    from runsc_py.host.protocol import Host
    from sentry.boot import BootConfig

# hostfs makes, owns and reads files for whoever the guest says. To stop, read and signal guests takes none: they live
# in a user namespace that the Sentry's user owns, where it can do everything (user_namespaces(7)). Numbers from
# <linux/capability.h>.
CHOWN, DAC_OVERRIDE, FOWNER, FSETID, MKNOD, SETFCAP = 0, 1, 3, 4, 27, 31
KEPT = sum(1 << cap for cap in (CHOWN, DAC_OVERRIDE, FOWNER, FSETID, MKNOD, SETFCAP))
KEPT_READ_ONLY = 1 << DAC_OVERRIDE  # nothing of the host is written


def confine(host: Host, config: BootConfig) -> None:
    """For good, and in this order: each step takes rights that the next one does without."""
    if config.proc_fd >= 0:
        # user 0 could set sysctls without any capability
        host.mount_setattr(config.proc_fd, 0, f.MOUNT_ATTR_RDONLY, 0, 0)
    drop_capabilities(host, KEPT if writes_host_files(config) else KEPT_READ_ONLY)
    host.prctl(f.PR_SET_NO_NEW_PRIVS, 1)
    host.prctl(f.PR_SET_DUMPABLE, 0)
    host.restrict()


def writes_host_files(config: BootConfig) -> bool:
    """Whether any directory that was handed over may be written."""
    writable = any(m.kind == "bind" and not m.flags & f.MS_RDONLY for m in config.mounts)
    return writable or not (config.overlay or config.root_readonly)


def drop_capabilities(host: Host, kept: int) -> None:
    """Bounding set first: dropping from it takes CAP_SETPCAP, which goes with the rest."""
    for cap in range(f.LAST_CAP_BOUND):
        if not kept >> cap & 1:
            try:
                host.prctl(f.PR_CAPBSET_DROP, cap)
            except OSError:
                break  # EINVAL: the kernel has no such capability, nor any above it
    host.prctl(f.PR_CAP_AMBIENT, f.PR_CAP_AMBIENT_CLEAR_ALL)
    have = host.capget()[1]
    host.capset(have & kept, have & kept, 0)
