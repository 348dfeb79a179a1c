"""What a host has that a container must not reach (unix(7), shm_overview(7), keyrings(7), fifo(7))."""

from __future__ import annotations

import ctypes
import os
import secrets
import shutil
import socket
import subprocess
from pathlib import Path

from tests.oci.container import Container

libc = ctypes.CDLL(None, use_errno=True)
ADD_KEY, KEYCTL = 248, 250
WATCHED = ("/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe", "/proc/sys/kernel/hostname",
           "/proc/sys/kernel/domainname", "/proc/sys/vm/overcommit_memory", "/proc/sys/kernel/randomize_va_space",
           "/proc/sys/kernel/pid_max", "/proc/sys/fs/file-max", "/proc/sys/kernel/printk")


class Surroundings:
    """Secrets of every kind around one container, planted links in its root, and victims that must survive."""

    def __init__(self, c: Container) -> None:
        self.c = c
        self.root = c.bundle / "rootfs"
        self.word = "secret-" + secrets.token_hex(12)
        self.file = c.bundle / "secret"  # one directory above the container's root
        self.file.write_text(f"content {self.word}-file\n")
        self.program = c.bundle / "program"
        self.program.write_text(f"#!/bin/sh\necho {self.word}-program\n")
        self.program.chmod(0o755)
        self._sockets()
        self._keys()
        self.victims = [subprocess.Popen(["/bin/sleep", "1000"], env={"X": f"{self.word}-env"}) for _ in range(2)]
        self.victims.append(subprocess.Popen(["/bin/sleep", "1000"], user=65534, group=65534))  # the uid guests run as
        self._plant()
        self.before = self.watched()

    def _sockets(self) -> None:
        self.abstract = f"{self.word}-abstract"
        self.listeners = [socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX), socket.socket()]
        self.listeners[0].bind("\0" + self.abstract)
        at = os.open(self.root / "tmp", os.O_PATH)
        self.listeners[1].bind(f"/proc/self/fd/{at}/host.sock")  # its whole name may be too long for an address
        os.close(at)
        self.listeners[2].bind(("0.0.0.0", 0))
        for listener in self.listeners:
            listener.listen()
        os.chmod(self.root / "tmp" / "host.sock", 0o777)
        os.mkfifo(self.root / "tmp" / "host.fifo", 0o666)
        self.fifo = os.open(self.root / "tmp" / "host.fifo", os.O_RDWR | os.O_NONBLOCK)
        os.write(self.fifo, f"{self.word}-fifo".encode())

    def _keys(self) -> None:
        self.key = secrets.randbelow(1 << 30) + 1
        self.shm = libc.shmget(self.key, 4096, 0o1666)
        self.sem = libc.semget(self.key, 1, 0o1666)
        self.queue = libc.msgget(self.key, 0o1666)
        name = f"{self.word}-key".encode()
        payload = f"{self.word}-payload".encode()
        self.key_id = libc.syscall(ADD_KEY, b"user", name, payload, len(payload), -3)
        self.posix = Path("/dev/shm") / f"{self.word}-shm"
        self.posix.write_text(f"{self.word}-shared")
        self.posix.chmod(0o666)

    def _plant(self) -> None:
        """Links that an image may bring along."""
        tmp, path = self.root / "tmp", str(self.file)
        links = {"abs": path, "rel": "../" * 40 + path.lstrip("/"), "up": "../../secret",
                 "proc1": "/proc/1/root/../secret", "procself": f"/proc/self/root{path}",
                 "cwd": "/proc/self/cwd/../../secret",
                 "dir": str(self.c.bundle),
                 "hostroot": "/../../../../..", "prog": str(self.program), "fd63": "/proc/self/fd/63", "loop": "loop"}
        for name, target in links.items():
            (tmp / name).symlink_to(target)
        shutil.copy(self.root / "bin" / "busybox", self.root / "bin" / "setuid")
        (self.root / "bin" / "setuid").chmod(0o4755)
        (tmp / "ok").write_text("inside\n")
        (tmp / "script").write_text(f"#!{self.program}\n")
        (tmp / "script").chmod(0o755)

    def arguments(self) -> list[str]:
        interfaces = [name for _, name in socket.if_nameindex()]
        addresses = subprocess.run(["hostname", "-I"], capture_output=True, text=True, check=False).stdout.split()
        pids = [os.getpid(), os.getppid(), *(victim.pid for victim in self.victims)]
        if self.c.pid_file.exists():
            pids.append(self.c.pid())
        name = os.uname().nodename
        told = [f"secret-host={name}"] if len(name) > 5 else []  # a short one stands in words by chance
        return [*told, f"secret={self.word}", f"secret-path={self.c.bundle}", f"path={self.file}",
                f"bundle={self.c.bundle}", f"program={self.program}", f"version={os.uname().version}",
                f"abstract={self.abstract}", f"port={self.listeners[2].getsockname()[1]}",
                f"interfaces={','.join(interfaces)}", f"addresses={','.join(['127.0.0.1', *addresses])}",
                f"key={self.key}", f"queue=/{self.word}-shm", f"keyname={self.word}-key",
                f"pids={','.join(map(str, pids))}", f"rootdev={self.root.stat().st_dev}"]

    def watched(self) -> dict[str, str]:
        found = {name: Path(name).read_text() for name in WATCHED if Path(name).exists()}
        for path in (self.file, self.program):
            st = path.stat()
            found[str(path)] = f"{path.read_text()} {st.st_mode:o} {st.st_uid} {st.st_nlink} {st.st_mtime_ns}"
        found["names"] = " ".join(sorted(set(os.listdir(self.c.bundle)) - {"output", "pid", "state", "log", "known"}))
        found["host name"] = os.uname().nodename
        return found

    def check_untouched(self) -> None:
        assert self.watched() == self.before
        for victim in self.victims:
            assert victim.poll() is None, "a process of the host was ended from inside"

    def close(self) -> None:
        for victim in self.victims:
            victim.kill()
            victim.wait()
        for listener in self.listeners:
            listener.close()
        os.close(self.fifo)
        libc.shmctl(self.shm, 0, None)
        libc.semctl(self.sem, 0, 0)
        libc.msgctl(self.queue, 0, None)
        libc.syscall(KEYCTL, 9, self.key_id, -3)  # KEYCTL_UNLINK
        self.posix.unlink(missing_ok=True)


class Log:
    """The Sentry's debug log of one container."""

    def __init__(self, c: Container) -> None:
        self.path = c.bundle / "log"
        self.flags = ["--debug", f"--debug-log={self.path}"]

    def bugs(self) -> list[str]:
        text = self.path.read_text(errors="replace") if self.path.exists() else ""
        return [block for block in text.split("runsc-py: ") if block.startswith("BUG")]


def accepted(listener: socket.socket) -> bool:
    """Whether anybody connected."""
    listener.setblocking(False)
    try:
        listener.accept()[0].close()
        return True
    except BlockingIOError:
        return False


def peak_kib(pid: int) -> int:
    """The most memory that a process ever had resident."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    return 0


