"""The parameters of /proc/sys that only hold a value (proc_sys(5)): what they start with and what they take."""

from __future__ import annotations

from typing import NamedTuple

from sentry.abi.release import RELEASE, SYSNAME, VERSION
from sentry.kernel.limits import NOFILE_MAX

INT_MAX, LONG_MAX, ULONG_MAX = (1 << 31) - 1, (1 << 63) - 1, (1 << 64) - 1

QUEUE_MAX = 1 << 26  # bytes of a System V message queue: the Sentry holds them


class Setting(NamedTuple):
    """A parameter with `numbers` numbers between `low` and `high`, or a line of text (`numbers` 0)."""

    start: bytes
    low: int = 0
    high: int = INT_MAX
    numbers: int = 1
    mode: int = 0o644


def constant(text: bytes) -> Setting:
    return Setting(text, mode=0o444)


SETTINGS: dict[bytes, Setting] = {
    b"abi/vsyscall32": Setting(b"1"),
    b"fs/aio-max-nr": Setting(b"65536"),
    b"fs/epoll/max_user_watches": Setting(b"1000000", high=LONG_MAX),
    b"fs/file-max": Setting(b"9223372036854775807", high=LONG_MAX),
    b"fs/inode-nr": constant(b"1024\t0"),
    b"fs/inotify/max_queued_events": Setting(b"16384"),
    b"fs/inotify/max_user_instances": Setting(b"128"),
    b"fs/inotify/max_user_watches": Setting(b"65536"),
    b"fs/lease-break-time": Setting(b"45"),
    b"fs/leases-enable": Setting(b"1"),
    b"fs/mount-max": Setting(b"4096"),
    b"fs/mqueue/msg_default": Setting(b"10"),
    b"fs/mqueue/msg_max": Setting(b"10", low=1, high=65536),
    b"fs/mqueue/msgsize_default": Setting(b"8192"),
    b"fs/mqueue/msgsize_max": Setting(b"8192", low=128, high=16777216),
    b"fs/mqueue/queues_max": Setting(b"256"),
    b"fs/nr_open": constant(b"%d" % NOFILE_MAX),
    b"fs/overflowgid": Setting(b"65534", high=65535),
    b"fs/overflowuid": Setting(b"65534", high=65535),
    b"fs/pipe-max-size": Setting(b"1048576", low=4096),
    b"fs/pipe-user-pages-hard": Setting(b"0"),
    b"fs/pipe-user-pages-soft": Setting(b"16384"),
    b"fs/protected_fifos": Setting(b"0", high=2),
    b"fs/protected_hardlinks": Setting(b"1", high=1),
    b"fs/protected_regular": Setting(b"0", high=2),
    b"fs/protected_symlinks": Setting(b"1", high=1),
    b"fs/suid_dumpable": Setting(b"0", high=2),
    b"kernel/cap_last_cap": constant(b"40"),
    b"kernel/core_pattern": Setting(b"core", numbers=0),
    b"kernel/core_uses_pid": Setting(b"0"),
    b"kernel/dmesg_restrict": Setting(b"1", high=1),
    b"kernel/io_uring_disabled": Setting(b"2", high=2),
    b"kernel/keys/maxbytes": Setting(b"20000"),
    b"kernel/keys/maxkeys": Setting(b"200"),
    b"kernel/kptr_restrict": Setting(b"2", high=2),
    b"kernel/msgmax": Setting(b"8192", high=QUEUE_MAX),
    b"kernel/msgmnb": Setting(b"16384", high=QUEUE_MAX),
    b"kernel/msgmni": Setting(b"32000", high=32768),
    b"kernel/ngroups_max": constant(b"65536"),
    b"kernel/osrelease": constant(RELEASE),
    b"kernel/ostype": constant(SYSNAME),
    b"kernel/overflowgid": Setting(b"65534", high=65535),
    b"kernel/overflowuid": Setting(b"65534", high=65535),
    b"kernel/panic": Setting(b"0"),
    b"kernel/panic_on_oops": Setting(b"0"),
    b"kernel/perf_event_paranoid": Setting(b"3", low=-1),
    b"kernel/pid_max": Setting(b"4194304", low=301, high=4194304),
    b"kernel/printk": Setting(b"4\t4\t1\t7", numbers=4),
    b"kernel/pty/max": Setting(b"4096"),
    b"kernel/pty/reserve": Setting(b"1024"),
    b"kernel/random/entropy_avail": constant(b"256"),
    b"kernel/random/poolsize": constant(b"256"),
    b"kernel/random/urandom_min_reseed_secs": Setting(b"60"),
    b"kernel/random/write_wakeup_threshold": Setting(b"256"),
    b"kernel/randomize_va_space": Setting(b"2", high=2),
    b"kernel/sched_autogroup_enabled": Setting(b"0", high=1),
    b"kernel/sched_child_runs_first": Setting(b"0"),
    b"kernel/sched_rt_period_us": Setting(b"1000000", low=1),
    b"kernel/sched_rt_runtime_us": Setting(b"950000", low=-1),
    b"kernel/seccomp/actions_avail": constant(b""),
    b"kernel/sem": Setting(b"32000\t1024000000\t500\t32000", numbers=4),
    b"kernel/shm_rmid_forced": Setting(b"0", high=1),
    b"kernel/shmall": Setting(b"18446744073692774399", high=ULONG_MAX),
    b"kernel/shmmax": Setting(b"18446744073692774399", high=ULONG_MAX),
    b"kernel/shmmni": Setting(b"4096", high=32768),
    b"kernel/tainted": constant(b"0"),
    b"kernel/threads-max": Setting(b"32768", low=20),
    b"kernel/unprivileged_bpf_disabled": Setting(b"2", high=2),
    b"kernel/version": constant(VERSION),
    b"kernel/yama/ptrace_scope": Setting(b"0", high=3),
    b"user/max_user_namespaces": Setting(b"0"),
    b"vm/dirty_background_ratio": Setting(b"10", high=100),
    b"vm/dirty_ratio": Setting(b"20", high=100),
    b"vm/drop_caches": Setting(b"0", high=7),
    b"vm/max_map_count": Setting(b"65530"),
    b"vm/min_free_kbytes": Setting(b"67584"),
    b"vm/mmap_min_addr": Setting(b"65536"),
    b"vm/mmap_rnd_bits": Setting(b"28", low=28, high=32, mode=0o600),
    b"vm/nr_hugepages": Setting(b"0"),
    b"vm/overcommit_kbytes": Setting(b"0"),
    b"vm/overcommit_memory": Setting(b"0", high=2),
    b"vm/overcommit_ratio": Setting(b"50"),
    b"vm/panic_on_oom": Setting(b"0", high=2),
    b"vm/swappiness": Setting(b"60", high=200),
    b"vm/vfs_cache_pressure": Setting(b"100"),
    b"vm/zone_reclaim_mode": Setting(b"0"),
}
