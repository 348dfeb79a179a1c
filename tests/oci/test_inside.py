"""runtime-spec, config.md: what the program in a container finds, and what it must not find."""

from __future__ import annotations

import fcntl
import os
import select
import socket
import struct
import termios
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.oci.container import Container

pytestmark = pytest.mark.timeout(120)
Make = Callable[..., Container]


def output(c: Container, code: int = 0) -> str:
    c.up()
    assert c.wait() == code, c.text()
    return c.text()


def test_process_fields(make: Make) -> None:
    c = make(["/bin/sh", "-c", 'echo "$0,$1,$A,$B"; pwd; id -u; id -g; id -G; umask; hostname; echo $$', "zero", "one"],
             env=["PATH=/bin", "A=1", "B=two words"], cwd="/home",
             user={"uid": 1000, "gid": 1000, "additionalGids": [5, 7], "umask": 0o27})
    lines = output(c).splitlines()
    assert lines[0] == "zero,one,1,two words"
    assert lines[1:4] == ["/home", "1000", "1000"]
    assert sorted(lines[4].split()) == ["1000", "5", "7"]
    assert lines[5:] == ["0027", "inside", "1"]


def test_program_found_by_path(make: Make) -> None:
    assert output(make(["echo", "found"])) == "found\n"


def test_root_is_written_through(make: Make) -> None:
    c = make("echo text >/tmp/made; chmod 640 /tmp/made; mkdir /tmp/d; ln -s made /tmp/l; rm /etc/group; "
             "chown 1000 /tmp/d")
    output(c)
    root = c.bundle / "rootfs"
    assert (root / "tmp/made").read_text() == "text\n"
    assert (root / "tmp/made").stat().st_mode & 0o777 == 0o640
    assert os.readlink(root / "tmp/l") == "made"
    assert (root / "tmp/d").stat().st_uid == 1000
    assert not (root / "etc/group").exists()


def test_host_changes_are_seen(make: Make) -> None:
    c = make("echo up; while ! test -e /tmp/from-host; do sleep 0.05; done; cat /tmp/from-host")
    c.up()
    c.until("up")
    (c.bundle / "rootfs/tmp/from-host").write_text("hello from outside\n")
    assert c.wait() == 0
    assert "hello from outside" in c.text()


def test_read_only_root(make: Make) -> None:
    c = make("touch /tmp/x; echo $?; rm /etc/passwd; echo $?; cat /etc/passwd >/dev/null && echo read",
             change=lambda s: s["root"].update(readonly=True))
    assert output(c).split("\n")[-2] == "read"
    assert "Read-only file system" in c.text()
    assert (c.bundle / "rootfs/etc/passwd").exists()


def test_mounts(make: Make, tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared/f").write_text("of the host\n")
    (tmp_path / "file").write_text("one file\n")

    def add(settings: dict[str, Any]) -> None:
        settings["mounts"] += [
            {"destination": "/mnt/rw", "type": "bind", "source": str(tmp_path / "shared"), "options": ["rbind", "rw"]},
            {"destination": "/mnt/ro", "type": "bind", "source": str(tmp_path / "shared"), "options": ["rbind", "ro"]},
            {"destination": "/etc/one", "type": "bind", "source": str(tmp_path / "file"), "options": ["bind", "ro"]},
            {"destination": "/scratch", "type": "tmpfs", "source": "tmpfs", "options": ["size=65536", "mode=1777"]}]

    c = make("cat /mnt/rw/f /mnt/ro/f /etc/one; echo new >/mnt/rw/g; echo x >/mnt/ro/h; echo $?; echo y >/etc/one; "
             "echo $?; echo t >/scratch/t && cat /scratch/t; stat -c %a /scratch; "
             "dd if=/dev/zero of=/scratch/big bs=1024 count=100 2>/dev/null; echo $?", change=add)
    lines = [line for line in output(c).splitlines() if "Read-only" not in line]
    assert lines == ["of the host", "of the host", "one file", "1", "1", "t", "1777", "1"]
    assert (tmp_path / "shared/g").read_text() == "new\n"
    assert not (c.bundle / "rootfs/scratch/t").exists()


def test_nothing_of_the_host(make: Make) -> None:
    """No pid, mount, name or file of the host."""
    c = make("ls /proc | grep '^[0-9]*$' | wc -l; cat /proc/1/cmdline | wc -c; cat /proc/mounts /proc/self/mountinfo; "
             "uname -n; cat /proc/self/cgroup; cat /proc/self/environ; cat /proc/version /proc/cmdline; ls /sys /dev; "
             "ls -l /proc/self/fd /proc/self/exe /proc/self/cwd /proc/self/root; kill -0 2; ls /proc/2; "
             "cat /proc/self/status /proc/self/uid_map")
    text = output(c, 0)
    assert int(text.split()[0]) <= 4
    for secret in (str(c.bundle), str(c.bundle.parent), os.uname().nodename + "\n", "runsc-py-stub",
                   os.uname().version, Path("/proc/cmdline").read_text().strip()):
        assert secret not in text, f"{secret!r} is seen inside"


def test_no_descriptor_leaks(make: Make) -> None:
    leak = os.open("/etc/passwd", os.O_RDONLY)
    os.set_inheritable(leak, True)
    try:
        text = output(make("ls /proc/self/fd 2>/dev/null; true"))
    finally:
        os.close(leak)
    assert text.split() == ["0", "1", "2", "3"]     # 3 is ls's own


def test_capabilities_and_limits(make: Make) -> None:
    c = make("grep Cap /proc/self/status; grep NoNewPrivs /proc/self/status; ulimit -n; ulimit -c",
             noNewPrivileges=True, capabilities={key: ["CAP_KILL"] for key in ("bounding", "effective", "permitted")},
             rlimits=[{"type": "RLIMIT_NOFILE", "soft": 500, "hard": 1000},
                      {"type": "RLIMIT_CORE", "soft": 0, "hard": 0},
                      {"type": "RLIMIT_NPROC", "soft": 1048576, "hard": 1048576}])
    text = output(c)
    assert "CapEff:\t0000000000000020" in text and "CapBnd:\t0000000000000020" in text
    assert "NoNewPrivs:\t1" in text
    assert text.split()[-2:] == ["500", "0"]


def test_signals_of_the_stub(make: Make) -> None:
    """conmon forwards TERM, INT and QUIT to the pid of the pid-file."""
    c = make("trap 'echo got term; exit 5' TERM; echo up; while :; do sleep 0.05; done")
    c.up()
    c.until("up")
    os.kill(c.pid(), 15)
    assert c.wait() == 5
    assert "got term" in c.text()


def test_console(make: Make, tmp_path: Path) -> None:
    """A terminal's master arrives on the console socket; it is a terminal with size and job control inside."""
    c = make("test -t 0 && test -t 1 && test -t 2 && echo tty; stty size; tty; read x; "
             "trap 'echo int; exit 6' INT; echo \"<$x>\"; while :; do sleep 0.05; done",
             terminal=True, consoleSize={"height": 30, "width": 90})
    path = str(tmp_path / "console")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        listener.settimeout(20)
        done = c.create("--console-socket", path)
        assert done.returncode == 0, c.text()
        with listener.accept()[0] as peer:
            _, fds, _, _ = socket.recv_fds(peer, 4096, 4)
    assert len(fds) == 1
    master, seen = fds[0], b""
    assert os.isatty(master)

    def until(words: bytes) -> None:
        nonlocal seen
        while words not in seen:
            assert select.select([master], [], [], 20)[0], f"no {words!r} in {seen!r}"
            seen += os.read(master, 4096)

    try:
        assert struct.unpack("HHHH", fcntl.ioctl(master, termios.TIOCGWINSZ, b"\0" * 8))[:2] == (30, 90)
        c.start()
        until(b"tty\r\n30 90\r\n/dev/")
        os.write(master, b"typed\n")
        until(b"<typed>")
        os.write(master, b"\x03")
        until(b"int")
        assert c.wait() == 6
    finally:
        os.close(master)


def test_many_processes(make: Make) -> None:
    c = make("for i in $(seq 30); do (sleep 0.0$i; exit 3) & done; wait; seq 1 3000 | cat | wc -l; /bin/true; exit 5")
    assert output(c, 5) == "3000\n"


def test_children_die_with_pid_1(make: Make) -> None:
    c = make("(while :; do echo beat >/tmp/beat; sleep 0.05; done) & sleep 0.3; exit 0")
    output(c)
    beat = c.bundle / "rootfs/tmp/beat"
    beat.unlink()
    time.sleep(0.3)
    assert not beat.exists()
