"""seccomp(2): what guests run natively, what the Sentry may ask of the host: the filters against the lists."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sentry.abi.nr.x86_64 import NR
from sentry.platform import host_filter, launch
from sentry.platform.filter import compile_filter, filter_for
from sentry.platform.host_allowlist import KILLED, KILLED_PTRACE, calls
from sentry.platform.native import rules
from tests.oci.bpf import AARCH64, ALLOW, ERRNO, I386, KILL_PROCESS, M64, NOTIFY, Filter, Test, holds, variations
from tests.oci.container import Container
from tests.oci.programs import Programs

LAST = 600
X32 = 0x4000_0000
ENOSYS, EPERM = 38, 1
Make = Callable[..., Container]
Declared = dict[int, list[tuple[Test, ...]]]
LOADER_FDS = launch.LOADER_AT - 1, launch.LOADER_AT - 2


@pytest.fixture(scope="module")
def guest() -> tuple[Filter, Declared]:
    listed = rules(*LOADER_FDS)
    declared: Declared = {}
    for rule in listed:
        declared.setdefault(NR[rule.name], []).append(rule.tests)
    return Filter(compile_filter(listed)), declared


@pytest.fixture(scope="module")
def host() -> tuple[Filter, Declared]:
    declared: Declared = {}
    for call in calls():
        declared.setdefault(NR[call.name], []).append(call.tests)
    return Filter(host_filter.compile_filter(calls())), declared


def argument_sets(alternatives: list[tuple[Test, ...]]) -> list[list[int]]:
    """Hostile ones, random ones, and for each alternative those that just match it and just do not."""
    rng = random.Random(7)
    sets = [[0] * 6, [M64] * 6, [1] * 6, [1 << 32] * 6, [0x7FFF_FFFF] * 6]
    sets += [[rng.getrandbits(64) for _ in range(6)] for _ in range(10)]
    for tests in alternatives:
        sets += variations(tests)
    return sets


def is_declared(declared: Declared, nr: int, args: list[int]) -> bool:
    return any(holds(tests, args) for tests in declared.get(nr, []))


def test_guests_run_natively_what_is_declared_and_nothing_else(guest: tuple[Filter, Declared]) -> None:
    program, declared = guest
    asked = allowed = 0
    for nr in range(LAST + 1):
        for args in argument_sets(declared.get(nr, [])):
            expected = ALLOW if is_declared(declared, nr, args) else NOTIFY
            assert program.ask(nr, args) == expected, (nr, args)
            asked += 1
            allowed += expected == ALLOW
    assert asked > 600 * 15 and allowed > 300


@pytest.mark.parametrize("arch", [I386, AARCH64])
def test_foreign_architectures_get_nothing(guest: tuple[Filter, Declared], arch: int) -> None:
    program, declared = guest
    for nr in range(LAST + 1):
        for args in argument_sets(declared.get(nr, [])):
            assert program.ask(nr, args, arch) == ERRNO | ENOSYS, (nr, args)


def test_x32_numbers_and_odd_ones_get_nothing(guest: tuple[Filter, Declared]) -> None:
    program, declared = guest
    for nr in range(LAST + 1):
        for args in argument_sets(declared.get(nr, []))[:20]:
            assert program.ask(X32 | nr, args) == ERRNO | ENOSYS, (nr, args)
    for nr in (LAST + 1, 999, 1000, 1001, 4096, 0xFFFF):
        assert program.ask(nr, [0] * 6) == NOTIFY, nr
    for nr in (0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFE):
        assert program.ask(nr, [0] * 6) == ERRNO | ENOSYS, nr
    assert program.ask(M64, [0] * 6) == NOTIFY  # -1 is no number of x32; the Sentry has no such call


def test_nothing_native_names_files_users_or_keys(guest: tuple[Filter, Declared]) -> None:
    """Against a mistake in the list itself: calls of these kinds may not be in it with any arguments."""
    _, declared = guest
    harmful = """open openat openat2 creat execve execveat fork vfork clone clone3 kill tkill tgkill rt_sigqueueinfo
        ioctl socket socketpair connect bind listen accept accept4 sendto sendmsg recvmsg recvfrom
        pipe pipe2 dup dup2 dup3 fcntl read write readv writev pread64 pwrite64 stat fstat lstat
        newfstatat statx access chdir fchdir chroot mount umount2 pivot_root unshare setns ptrace
        process_vm_readv process_vm_writev setuid setgid setresuid setgroups capset seccomp bpf
        perf_event_open userfaultfd io_uring_setup keyctl add_key request_key prlimit64 setrlimit
        shmget shmat semget msgget mq_open memfd_create memfd_secret pidfd_open pidfd_getfd
        pidfd_send_signal kcmp init_module kexec_load reboot syslog sethostname personality
        sched_setaffinity setpriority timer_create setitimer epoll_create1 eventfd2 signalfd4
        inotify_init1 fanotify_init name_to_handle_at open_by_handle_at getdents64 exit exit_group
        wait4 waitid uname sysinfo umask modify_ldt iopl ioperm""".split()
    assert [name for name in harmful if NR[name] in declared] == []
    assert all(tests for tests in declared[NR["prctl"]]), "prctl only with an option"
    assert all(tests for tests in declared[NR["mmap"]] + declared[NR["close"]]), "descriptors only with a mark"


def test_every_native_call_has_a_reason() -> None:
    assert all(rule.reason.strip() for rule in rules(*LOADER_FDS))
    assert all(call.reason.strip() for call in calls())


def test_the_stored_filter_is_the_compiled_one(guest: tuple[Filter, Declared], tmp_path: Path) -> None:
    listed = rules(*LOADER_FDS)
    first = filter_for(listed, str(tmp_path))
    assert first == filter_for(listed, str(tmp_path)) == compile_filter(listed)
    assert list(tmp_path.iterdir())


# the Sentry's own filter ----------------------------------------------------------------------------------------------

def test_host_calls_are_what_is_declared(host: tuple[Filter, Declared]) -> None:
    program, declared = host
    killed = {NR[name] for name in KILLED}
    for nr in range(LAST + 1):
        for args in argument_sets(declared.get(nr, [])):
            if is_declared(declared, nr, args):
                expected = ALLOW
            elif nr in killed or nr == NR["ptrace"] and args[0] in KILLED_PTRACE:
                expected = KILL_PROCESS
            else:
                expected = ERRNO | EPERM
            assert program.ask(nr, args) == expected, (nr, args)
        for arch in (I386, AARCH64):
            assert program.ask(nr, [0] * 6, arch) == KILL_PROCESS
        assert program.ask(X32 | nr, [0] * 6) == KILL_PROCESS


def test_host_calls_are_few_and_none_is_hostile(host: tuple[Filter, Declared]) -> None:
    _, declared = host
    assert len(declared) <= 60
    never = """execve execveat fork vfork clone clone3 socket socketpair connect bind listen mount umount2
        pivot_root chroot unshare setns open_by_handle_at name_to_handle_at bpf perf_event_open
        userfaultfd io_uring_setup init_module finit_module kexec_load reboot keyctl add_key prctl
        seccomp capset setuid setresuid setgroups process_madvise mprotect pkey_mprotect
        remap_file_pages shmat personality pidfd_getfd iopl ioperm modify_ldt dup dup2""".split()
    assert [name for name in never if NR[name] in declared] == []
    for name in ("ioctl", "ptrace", "fcntl", "mmap", "mknodat", "prlimit64", "wait4", "linkat", "memfd_create"):
        assert all(declared[NR[name]]), f"{name} only with tested arguments"


# uretprobe and uprobe: newer hosts keep these two numbers from all filters; made elsewhere than in a probe's trampoline
# they fail or end the caller
HOSTS_OWN = (335, 336)
# these wait with zeros for arguments; a call that was ended while it waited leaves no line in the log
WAITING = {NR[name] for name in ("read", "select", "pselect6", "poll", "ppoll", "wait4", "waitid")}


# live -----------------------------------------------------------------------------------------------------------------

def quiet(nr: int) -> bool:
    """Not made in the live test: they end or stop the caller, or wait."""
    return nr in {NR[name] for name in "exit exit_group rt_sigreturn pause vfork fork clone clone3".split()}


@pytest.mark.timeout(240)
def test_native_calls_do_not_reach_the_sentry_and_all_others_do(
    make: Make, programs: Programs, guest: tuple[Filter, Declared], tmp_path: Path
) -> None:
    program, _ = guest
    log = tmp_path / "strace"
    c = make(["/bin/numbers", str(LAST)])
    programs.put("numbers", c)
    done = c.create(flags=["--strace", f"--debug-log={log}"])
    assert done.returncode == 0, c.text()
    c.start()
    assert c.wait(200) == 0, c.text()[-2000:]
    seen, finished = seen_between_marks(log.read_text(errors="replace"))
    asked: dict[str, Any] = {"native": 0, "notified": 0}
    for nr in range(LAST + 1):
        if quiet(nr):
            continue
        for fill in (0, M64):
            native = program.ask(nr, [fill] * 6) == ALLOW
            names, made = seen[nr, fill != 0], (nr, fill != 0)
            if nr in HOSTS_OWN:
                continue
            if made not in finished and not native and not names:
                assert nr in WAITING, f"call {nr} with {fill:#x} neither reached the Sentry nor came back"
                continue
            assert len(names) == (0 if native else 1), f"call {nr} with {fill:#x}: the Sentry saw {names}"
            asked["native" if native else "notified"] += 1
    assert asked["native"] > 60 and asked["notified"] > 900


def seen_between_marks(text: str) -> tuple[dict[tuple[int, bool], list[str]], set[tuple[int, bool]]]:
    """The calls that each (number, all ones?) made between its mark and the end of its process; which came back."""
    seen: dict[tuple[int, bool], list[str]] = {}
    finished = set()
    current: dict[str, tuple[int, bool]] = {}
    for line in text.splitlines():
        found = re.match(r"\[ *(\d+)\] (\w+)\((.*)", line)
        if not found:
            continue
        tid, name, rest = found.groups()
        mark = re.search(r'"mark-(\d+)-(\d)"', rest)
        if mark and name == "access":
            current[tid] = int(mark[1]), mark[2] == "1"
            seen[current[tid]] = []
        elif name == "access" and '"done"' in rest:
            finished.add(current.pop(tid, (-1, False)))
        elif tid in current:
            seen[current[tid]].append(name)
    return seen, finished
