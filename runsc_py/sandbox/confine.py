"""The Sentry gives up what it needs no longer once the guest's first task exists (capabilities(7))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runsc_py.host import flags as f

if TYPE_CHECKING:
    from runsc_py.host.protocol import Host

# hostfs makes, owns and reads files for whoever the guest says; guests are stopped and read (SYS_PTRACE) and signalled
# (KILL). Numbers from <linux/capability.h>.
CHOWN, DAC_OVERRIDE, FOWNER, FSETID, KILL, SYS_PTRACE, MKNOD, SETFCAP = 0, 1, 3, 4, 5, 19, 27, 31
KEPT = sum(1 << cap for cap in (CHOWN, DAC_OVERRIDE, FOWNER, FSETID, KILL, SYS_PTRACE, MKNOD, SETFCAP))


def confine(host: Host) -> None:
    drop_capabilities(host, KEPT)
    host.prctl(f.PR_SET_NO_NEW_PRIVS, 1)
    host.prctl(f.PR_SET_DUMPABLE, 0)


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
