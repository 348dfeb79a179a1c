"""The Sentry's own confinement, live: what the host says of a running one, and the filter in a process of a test."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import PROJECT
from tests.oci.container import CHANNEL, Container
from tests.oci.test_death import split

pytestmark = pytest.mark.timeout(120)
Make = Callable[..., Container]
CHOWN, DAC_OVERRIDE, FOWNER, FSETID, MKNOD, SETFCAP = 0, 1, 3, 4, 27, 31


def status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


def running(make: Make, change: Callable[[dict[str, Any]], None] | None = None, *flags: str) -> tuple[Container, int]:
    c = make("echo up; while :; do sleep 0.05; done", change)
    done = c.create(flags=flags)
    assert done.returncode == 0, c.text()
    c.start()
    c.until("up")
    return c, split(c)[0]


def mask(*caps: int) -> int:
    return sum(1 << cap for cap in caps)


def test_capabilities_filter_and_no_new_privileges(make: Make) -> None:
    _, sentry = running(make)
    found = status(sentry)
    assert found["Seccomp"] == "2" and found["Seccomp_filters"] == "1"
    assert found["NoNewPrivs"] == "1"
    assert found["Threads"] == "1"
    kept = mask(CHOWN, DAC_OVERRIDE, FOWNER, FSETID, MKNOD, SETFCAP)
    for name in ("CapEff", "CapPrm", "CapBnd"):
        assert int(found[name], 16) == kept, name
    assert int(found["CapInh"], 16) == int(found["CapAmb"], 16) == 0


def test_a_sandbox_that_writes_nothing_of_the_host_has_less(make: Make) -> None:
    _, sentry = running(make, None, "--overlay2=root:memory")
    assert int(status(sentry)["CapEff"], 16) == mask(DAC_OVERRIDE)
    _, sentry = running(make, lambda settings: settings["root"].update(readonly=True))
    assert int(status(sentry)["CapEff"], 16) == mask(DAC_OVERRIDE)


def test_guests_have_nothing(make: Make) -> None:
    c, _ = running(make)
    for pid in split(c)[1]:
        found = status(pid)
        for name in ("CapEff", "CapPrm", "CapBnd", "CapInh", "CapAmb"):
            assert int(found[name], 16) == 0, name
        assert found["Seccomp"] == "2" and found["NoNewPrivs"] == "1"
        assert found["Uid"].split() == ["65534"] * 4 and found["Gid"].split() == ["65534"] * 4
        assert found["Groups"].split() in ([], ["65534"])
        mounts = Path(f"/proc/{pid}/mountinfo").read_text().splitlines()
        assert len(mounts) == 1 and " ro," in mounts[0] and " - tmpfs " in mounts[0], mounts
        assert os.listdir(f"/proc/{pid}/root") == []
        numbers = {int(fd) for fd in os.listdir(f"/proc/{pid}/fd")} - CHANNEL
        held = {fd: os.readlink(f"/proc/{pid}/fd/{fd}") for fd in numbers}
        assert held == {63: "/"}, held  # the loader, as the top of a mount of its own
        assert os.statvfs(f"/proc/{pid}/fd/63").f_flag & os.ST_RDONLY
        with pytest.raises(OSError, match="Read-only file system"):
            os.chmod(f"/proc/{pid}/fd/63", 0o755)


def test_mounts_and_namespaces_of_the_sentry(make: Make) -> None:
    c, sentry = running(make)
    lines = Path(f"/proc/{sentry}/mountinfo").read_text().splitlines()
    shown = {line.split()[4]: line for line in lines}
    assert set(shown) == {"/", "/proc"}, lines
    assert all(" ro," in line for line in lines), "user 0 could write /proc/sys without a capability"
    for kind in ("pid", "mnt", "ipc", "uts"):
        at = "pid_for_children" if kind == "pid" else kind
        assert os.readlink(f"/proc/{sentry}/ns/{at}") != os.readlink(f"/proc/self/ns/{kind}"), kind
    for kind in ("user", "pid", "mnt", "net", "ipc", "uts", "cgroup", "time"):
        guests = {os.readlink(f"/proc/{pid}/ns/{kind}") for pid in split(c)[1]}
        assert len(guests) == 1 and guests.isdisjoint({os.readlink(f"/proc/self/ns/{kind}")}), kind


def test_descriptors_of_the_sentry(make: Make) -> None:
    """Nothing of the host but what the container was given, and no directory through which more can be reached."""
    c, sentry = running(make)
    named = {"/", "/proc", "/dev/null", str(c.output), str(c.state_root / c.name / "exit")}
    for fd in os.listdir(f"/proc/{sentry}/fd"):
        at = f"/proc/{sentry}/fd/{fd}"
        try:
            target = os.readlink(at)
        except FileNotFoundError:
            continue  # open only for a moment
        if target in named or ":[" in target or target.startswith(("anon_inode:", "/proc/")) or "memfd:" in target:
            continue
        inside = c.bundle / "rootfs" / target.lstrip("/")  # in a detached tree names start at its top
        assert inside.exists() or "(deleted)" in target, f"{fd}: {target}"


ATTEMPTS = {
    "os.fork()": "EPERM",
    "os.posix_spawn('/bin/true', ['true'], {})": "EPERM",
    "os.execv('/bin/true', ['true'])": "SIGSYS",
    "__import__('_socket').socket(2, 1, 0)": "EPERM",
    "__import__('_socket').socket(1, 1, 0)": "EPERM",
    "__import__('_socket').socket(17, 3, 0)": "EPERM",
    "ctypes.CDLL(None).syscall(165, b'none', b'/', b'tmpfs', 0, 0)": "SIGSYS",
    "ctypes.CDLL(None).syscall(272, 0x10000000)": "SIGSYS",
    "ctypes.CDLL(None).syscall(308, 0, 0)": "SIGSYS",
    "ctypes.CDLL(None).syscall(304, 0, 0, 0)": "SIGSYS",
    "ctypes.CDLL(None).syscall(321, 0, 0, 0)": "SIGSYS",
    "ctypes.CDLL(None).syscall(101, 16, 1, 0, 0)": "SIGSYS",
    "ctypes.CDLL(None).syscall(101, 4, 1, 0, 0)": "SIGSYS",
    "check(ctypes.CDLL(None, use_errno=True).syscall(157, 22, 0))": "EPERM",
    "check(ctypes.CDLL(None, use_errno=True).syscall(317, 0, 0, 0))": "EPERM",
    "mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_EXEC)": "EPERM",
    "mmap.mmap(own, 4096, prot=mmap.PROT_READ)": "EPERM",
    "check(ctypes.CDLL(None, use_errno=True).syscall(10, 0, 4096, 5))": "EPERM",
    "fcntl.ioctl(0, 0x5412, b'x')": "EPERM",
    "fcntl.fcntl(own, 8, os.getppid())": "EPERM",
    "os.mknod('/tmp/never', 0o60600, 0x800)": "EPERM",
    "os.memfd_create('never', 4)": "EPERM",
    "__import__('_thread').start_new_thread(print, ())": "EPERM",
    "os.setuid(0)": "EPERM",
    "os.chroot('/tmp')": "SIGSYS",
}
CONFINED = """
import ctypes, errno, fcntl, mmap, os, sys, tempfile
from sentry.platform import host_filter
def check(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), "")
libc = ctypes.CDLL(None)
own = os.open(sys.executable, os.O_RDONLY)
host_filter.prepare(tempfile.mkdtemp(dir=sys.argv[2]))
host_filter.install()
try:
    eval(sys.argv[1])
except (OSError, RuntimeError) as err:
    code = getattr(err, "errno", None) or (errno.EPERM if "start new thread" in str(err) else 0)
    os.write(1, errno.errorcode.get(code, str(err)).encode())
else:
    os.write(1, b"went through")
os._exit(0)
"""


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_refused(attempt: str, tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", CONFINED, attempt, str(tmp_path)], capture_output=True, cwd=PROJECT,
                          timeout=30, check=False)
    if ATTEMPTS[attempt] == "SIGSYS":
        assert done.returncode == -signal.SIGSYS, (done.stdout, done.stderr)
    else:
        assert (done.returncode, done.stdout) == (0, ATTEMPTS[attempt].encode()), done.stderr


def test_what_the_sentry_does_still_works(tmp_path: Path) -> None:
    work = ("[os.close(os.open('/proc/self/stat', os.O_RDONLY)), os.kill(0, 0), bytearray(1 << 24), os.urandom(8), "
            "os.sched_setaffinity(0, {0}), mmap.mmap(-1, 4096)]")
    done = subprocess.run([sys.executable, "-c", CONFINED, work, str(tmp_path)], capture_output=True, cwd=PROJECT,
                          timeout=30, check=False, start_new_session=True)
    assert done.stdout == b"went through", (done.returncode, done.stdout, done.stderr)
