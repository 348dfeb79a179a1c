"""Pseudo-terminals without a host: data, packet mode, hang-up, sessions, job control (pty(7), ioctl_tty(2))."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from sentry.abi.const import tty as c
from sentry.abi.const.signals import SIGCONT, SIGHUP, SIGINT, SIGTSTP, SIGTTIN, SIGTTOU, SIGWINCH
from sentry.abi.errno import EBUSY, EINVAL, EIO, ENOTTY, ENXIO, EPERM, ESRCH, WouldBlock
from sentry.wait import ERR, HUP, IN, OUT, PRI, RDNORM, WRNORM, Park
from tests.unit.vfs.tty.fakes import BASE, Watch
from vfs.core.dentry import Path
from vfs.core.mount import Mount
from vfs.fs.devpts import Devpts
from vfs.tty import devices
from vfs.tty.file import TtyFile
from vfs.tty.job import TtyStop
from vfs.tty.pair import Master
from vfs.tty.session import controlling_tty, terminals
from vfs.tty.termios import TERMIOS, Termios

O_RDWR, O_NOCTTY, O_NONBLOCK = 2, 0o400, 0o4000
GONE = IN | OUT | ERR | HUP | RDNORM | WRNORM


class Pty:
    """A devpts instance with one pair, opened by session leader `t`."""

    def __init__(self, kernel: Any) -> None:
        self.kernel = kernel
        self.fs = devices.make_devpts(kernel, b"newinstance,ptmxmode=0666,mode=0620,gid=5")
        self.mount = Mount(self.fs, self.fs.root)
        self.t = kernel.process(1010)
        self.master = self.open_master()

    def open_master(self) -> Master:
        ptmx = self.fs.top.ptmx
        file = devices.open_ptmx(ptmx, Path(self.mount, self.fs.root), O_RDWR, self.t)
        assert isinstance(file, Master)
        return file.ref()  # type: ignore[return-value]

    def unlock(self) -> None:
        self.t.mem.put_i32(BASE, 0)
        self.master.ioctl(self.t, c.TIOCSPTLCK, BASE)

    def open_slave(self, flags: int = O_RDWR, t: Any = None) -> TtyFile:
        dentry = self.fs.dentry(0)
        file = devices.open_slave(dentry.inode, Path(self.mount, dentry), flags, t or self.t)
        assert isinstance(file, TtyFile)
        return file.ref()  # type: ignore[return-value]


@pytest.fixture
def pty(kernel: Any) -> Pty:
    made = Pty(kernel)
    made.unlock()
    return made


def read(file: Any, size: int = 4096) -> bytes:
    data: bytes = file.peek(size)
    file.consume(len(data))
    return data


def blocks(file: Any) -> bool:
    try:
        file.peek(100)
    except WouldBlock:
        return True
    return False


def set_lflag(file: TtyFile, t: Any, lflag: int, vmin: int = 1, vtime: int = 0) -> None:
    cc = bytearray(Termios().cc)
    cc[c.VMIN], cc[c.VTIME] = vmin, vtime
    t.mem.write(BASE, Termios(lflag=lflag, cc=bytes(cc)).pack())
    assert file.ioctl(t, c.TCSETS, BASE) == 0


def test_both_ways(pty: Pty) -> None:
    slave = pty.open_slave()
    assert blocks(slave) and blocks(pty.master)
    assert slave.poll() == OUT | WRNORM
    assert pty.master.write(b"hello\r") == 6
    assert read(pty.master) == b"hello\r\n"
    assert slave.poll() == IN | RDNORM | OUT | WRNORM
    assert read(slave) == b"hello\n"
    assert slave.write(b"a\nb") == 3
    assert pty.master.poll() & IN
    assert read(pty.master) == b"a\r\nb"


def test_end_of_file_is_read_once(pty: Pty) -> None:
    slave = pty.open_slave()
    pty.master.write(b"\x04x\n")
    assert slave.peek(10) == b""  # nobody consumes nothing
    assert read(slave) == b"x\n"


def test_output_is_bounded(pty: Pty) -> None:
    slave = pty.open_slave()
    total = 0
    with pytest.raises(WouldBlock):
        while True:
            total += slave.write(b"x" * 4096)
    assert 8192 <= total <= 65536
    assert not slave.poll() & OUT
    watch = Watch()
    slave.queue.add(watch)
    seen = 0
    while seen < total:
        seen += len(read(pty.master, 1000))
    assert watch.events & OUT


def test_typing_is_bounded(pty: Pty) -> None:
    slave = pty.open_slave()
    set_lflag(slave, pty.t, 0)
    with pytest.raises(WouldBlock):
        while True:
            pty.master.write(b"x" * 4096)
    watch = Watch()
    pty.master.queue.add(watch)
    total = 0
    while not blocks(slave):
        total += len(read(slave))
    assert total == 65536 + 4095
    assert watch.events & OUT


def test_stop_and_start(pty: Pty) -> None:
    slave = pty.open_slave()
    pty.master.write(b"\x13")
    with pytest.raises(WouldBlock):
        slave.write(b"x")
    watch = Watch()
    slave.queue.add(watch)
    pty.master.write(b"\x11")
    assert watch.events & OUT
    assert slave.write(b"x") == 1
    assert slave.ioctl(pty.t, c.TCXONC, c.TCOOFF) == 0
    pty.master.write(b"\x11")
    assert not slave.poll() & OUT  # only TCOON ends TCOOFF
    assert slave.ioctl(pty.t, c.TCXONC, c.TCOON) == 0
    assert slave.poll() & OUT


def test_slave_closed(pty: Pty) -> None:
    """A master without a slave: waits before the first open, then EIO after what was written; see pty(7)."""
    assert blocks(pty.master)
    slave = pty.open_slave()
    slave.write(b"bye")
    watch = Watch()
    pty.master.queue.add(watch)
    slave.unref()
    assert watch.events & HUP
    assert pty.master.poll() == IN | RDNORM | HUP | OUT | WRNORM
    assert read(pty.master) == b"bye"
    with pytest.raises(EIO):
        pty.master.peek(1)
    again = pty.open_slave()
    assert blocks(pty.master)
    assert not pty.master.poll() & HUP
    again.unref()


def test_master_closed(pty: Pty) -> None:
    slave = pty.open_slave()
    other = pty.kernel.process(1011, pgid=1011, sid=1010, parent=pty.t.group)
    pty.t.mem.put_i32(BASE, 11)
    slave.ioctl(pty.t, c.TIOCSPGRP, BASE)
    watch = Watch()
    slave.queue.add(watch)
    pty.kernel.signals.take()
    pty.master.unref()
    assert pty.kernel.signals.take() == [("process", 1010, SIGHUP), ("process", 1010, SIGCONT)]
    assert watch.events & HUP
    assert slave.poll() == GONE
    assert slave.peek(10) == b""
    for refused, request in ((EIO, c.TCGETS), (EIO, c.FIONREAD), (ENOTTY, c.TIOCSPGRP)):
        with pytest.raises(refused):
            slave.ioctl(pty.t, request, BASE)
    with pytest.raises(EIO):
        slave.write(b"x")
    assert pty.fs.top.nodes == {}
    assert controlling_tty(pty.t) is None
    # The leader's end takes the former foreground group with it.
    pty.kernel.die(pty.t)
    assert pty.kernel.signals.take() == [("group", 1011, SIGHUP), ("group", 1011, SIGCONT)]
    assert controlling_tty(other) is None


def test_locked(kernel: Any) -> None:
    pty = Pty(kernel)
    with pytest.raises(EIO):
        pty.open_slave()
    pty.master.ioctl(pty.t, c.TIOCGPTLCK, BASE)
    assert pty.t.mem.i32(BASE) == 1
    pty.unlock()
    pty.open_slave()


def test_numbers(pty: Pty) -> None:
    second = pty.open_master()
    second.ioctl(pty.t, c.TIOCGPTN, BASE)
    assert pty.t.mem.i32(BASE) == 1
    names = [name.name for name in pty.fs.top.names(pty.t)]
    assert names == [b"0", b"1", b"ptmx"]
    pty.master.unref()
    assert pty.fs.free_number() == 0
    node = pty.fs.dentry(1).inode
    assert (node.mode, node.uid, node.gid, node.rdev) == (0o020620, 0, 5, 0x8801)


def test_options() -> None:
    assert Devpts(b"newinstance,gid=5,mode=620,ptmxmode=666").options() == b",gid=5,mode=620,ptmxmode=666"
    for bad in (b"mode=9", b"gid=x", b"what", b"mode", b"gid=-1"):
        with pytest.raises(EINVAL):
            Devpts(bad)


def test_peer(pty: Pty) -> None:
    fd = pty.master.ioctl(pty.t, c.TIOCGPTPEER, O_RDWR | O_NOCTTY | 0o2000000)
    assert fd in pty.t.fds.cloexec
    assert pty.t.fds.get(fd).stat().rdev == 0x8800
    assert controlling_tty(pty.t) is None


def test_packet_mode(pty: Pty) -> None:
    """The values are those that a host's pseudo-terminal gave for the same steps."""
    slave, master, t = pty.open_slave(), pty.master, pty.t
    t.mem.put_i32(BASE, 1)
    master.ioctl(t, c.TIOCPKT, BASE)
    slave.write(b"hi\n")
    assert read(master) == b"\x00hi\r\n"
    master.write(b"\x13")
    assert master.poll() == IN | RDNORM | PRI | OUT | WRNORM
    assert read(master) == b"\x04"
    master.write(b"\x11\x03")
    assert read(master) == b"\x0b"
    assert read(master) == b"\x00^C"
    quiet = Termios(iflag=c.ICRNL)
    t.mem.write(BASE, quiet.pack())
    slave.ioctl(t, c.TCSETS, BASE)
    assert read(master) == b"\x10"
    slave.ioctl(t, c.TCFLSH, c.TCIOFLUSH)
    assert read(master) == b"\x03"
    t.mem.write(BASE, Termios(iflag=c.ICRNL, lflag=quiet.lflag | c.EXTPROC).pack())
    slave.ioctl(t, c.TCSETS, BASE)
    assert read(master) == b"\x40"
    assert blocks(master)


def test_signal_characters(pty: Pty) -> None:
    pty.open_slave()
    pty.master.write(b"abc\x03\x1a")
    assert pty.kernel.signals.take() == [("group", 1010, SIGINT), ("group", 1010, SIGTSTP)]
    pty.master.ioctl(pty.t, c.TIOCSIG, SIGINT)
    assert pty.kernel.signals.take() == [("group", 1010, SIGINT)]
    with pytest.raises(EINVAL):
        pty.master.ioctl(pty.t, c.TIOCSIG, 9)


def test_window_size(pty: Pty) -> None:
    slave, t = pty.open_slave(), pty.t
    t.mem.write(BASE, struct.pack("<4H", 25, 80, 0, 0))
    for _ in range(2):  # the second changes nothing
        pty.master.ioctl(t, c.TIOCSWINSZ, BASE)
    assert pty.kernel.signals.take() == [("group", 1010, SIGWINCH)]
    t.mem.write(BASE, bytes(8))
    slave.ioctl(t, c.TIOCGWINSZ, BASE)
    assert t.mem.read(BASE, 8) == struct.pack("<4H", 25, 80, 0, 0)


def test_settings_from_both_sides(pty: Pty) -> None:
    slave, t = pty.open_slave(), pty.t
    t.mem.write(BASE, Termios(lflag=0, cflag=c.B9600 | c.CS5 | c.PARENB).pack())
    pty.master.ioctl(t, c.TCSETSF, BASE)
    slave.ioctl(t, c.TCGETS2, BASE)
    fields = struct.unpack("<4IB19s2I", t.mem.read(BASE, 44))
    assert fields[2] == c.B9600 | c.CS8 | c.CREAD
    assert fields[3] == 0
    assert fields[6:] == (9600, 9600)
    slave.ioctl(t, c.TCGETA, BASE)
    assert t.mem.read(BASE, 8) == struct.pack("<4H", fields[0], fields[1], fields[2], 0)
    assert TERMIOS.size == 36


def test_acquired_by_open(pty: Pty) -> None:
    pty.open_slave(O_RDWR | O_NOCTTY)
    assert controlling_tty(pty.t) is None
    child = pty.kernel.process(1011, pgid=1010, sid=1010)
    pty.open_slave(t=child)  # no session leader
    assert controlling_tty(pty.t) is None
    slave = pty.open_slave()
    assert controlling_tty(pty.t) is controlling_tty(child) is slave.tty
    stranger = pty.kernel.process(1020)
    pty.open_slave(t=stranger)  # it belongs to another session
    assert controlling_tty(stranger) is None


def test_take_and_leave(pty: Pty) -> None:
    slave, t = pty.open_slave(O_RDWR | O_NOCTTY), pty.t
    child = pty.kernel.process(1011, pgid=1010, sid=1010)
    with pytest.raises(EPERM):
        slave.ioctl(child, c.TIOCSCTTY, 0)
    with pytest.raises(ENOTTY):
        slave.ioctl(t, c.TIOCGPGRP, BASE)
    with pytest.raises(ENOTTY):
        slave.ioctl(t, c.TIOCGSID, BASE)
    assert slave.ioctl(t, c.TIOCSCTTY, 0) == 0
    assert slave.ioctl(t, c.TIOCSCTTY, 0) == 0
    slave.ioctl(t, c.TIOCGSID, BASE)
    assert t.mem.i32(BASE) == 10
    stranger = pty.kernel.process(1020)
    with pytest.raises(EPERM):
        slave.ioctl(stranger, c.TIOCSCTTY, 0)
    assert slave.ioctl(child, c.TIOCNOTTY, 0) == 0
    assert controlling_tty(child) is None
    assert controlling_tty(t) is slave.tty
    assert slave.ioctl(t, c.TIOCNOTTY, 0) == 0
    assert pty.kernel.signals.take() == [("group", 1010, SIGHUP), ("group", 1010, SIGCONT)]
    assert controlling_tty(t) is None
    with pytest.raises(ENXIO):
        devices.open_controlling(pty.fs.top.ptmx, Path(pty.mount, pty.fs.root), O_RDWR, t)
    assert slave.ioctl(stranger, c.TIOCSCTTY, 0) == 0


def test_leader_exit(pty: Pty) -> None:
    slave = pty.open_slave()
    pty.kernel.process(1011, pgid=1011, sid=1010, parent=pty.t.group)
    pty.t.mem.put_i32(BASE, 11)
    slave.ioctl(pty.t, c.TIOCSPGRP, BASE)
    pty.kernel.die(pty.t)
    assert pty.kernel.signals.take() == [("group", 1011, SIGHUP)]
    assert slave.tty.session == 0
    assert terminals(pty.kernel).by_session == {}


def test_foreground_group(pty: Pty) -> None:
    slave, t = pty.open_slave(), pty.t
    pty.kernel.process(1011, pgid=1011, sid=1010, parent=t.group)
    pty.kernel.process(1020)
    for wanted, refused in ((-1, EINVAL), (99, ESRCH), (20, EPERM)):
        t.mem.put_i32(BASE, wanted)
        with pytest.raises(refused):
            slave.ioctl(t, c.TIOCSPGRP, BASE)
    t.mem.put_i32(BASE, 11)
    assert slave.ioctl(t, c.TIOCSPGRP, BASE) == 0
    t.mem.put_i32(BASE, 0)
    pty.master.ioctl(t, c.TIOCGPGRP, BASE)
    assert t.mem.i32(BASE) == 11


def background(pty: Pty, slave: TtyFile) -> Any:
    """A job of the session that is not in the foreground."""
    job = pty.kernel.process(1011, pgid=1011, sid=1010, parent=pty.t.group)
    pty.master.write(b"line\n")
    pty.kernel.current = job
    return job


def test_background_read(pty: Pty) -> None:
    slave = pty.open_slave()
    job = background(pty, slave)
    with pytest.raises(TtyStop):
        slave.peek(10)
    assert pty.kernel.signals.take() == [("group", 1011, SIGTTIN)]
    job.group.sighand.ignored.add(SIGTTIN)
    with pytest.raises(EIO):
        slave.peek(10)
    job.group.sighand.ignored.clear()
    pty.kernel.signals.blocked = 1 << (SIGTTIN - 1)
    with pytest.raises(EIO):
        slave.peek(10)
    pty.kernel.signals.blocked = 0
    job.group.parent = None  # orphaned
    with pytest.raises(EIO):
        slave.peek(10)
    pty.kernel.current = pty.t
    assert read(slave) == b"line\n"


def test_background_write_and_settings(pty: Pty) -> None:
    slave = pty.open_slave()
    job = background(pty, slave)
    assert slave.write(b"x") == 1
    pty.kernel.current = pty.t
    set_lflag(slave, pty.t, Termios().lflag | c.TOSTOP)
    pty.kernel.current = job
    with pytest.raises(TtyStop):
        slave.write(b"x")
    assert pty.kernel.signals.take() == [("group", 1011, SIGTTOU)]
    job.mem.write(BASE, Termios().pack())
    with pytest.raises(Park):
        slave.ioctl(job, c.TCSETS, BASE)
    assert pty.kernel.signals.take() == [("group", 1011, SIGTTOU)]
    job.mem.put_i32(BASE, 11)
    with pytest.raises(Park):
        slave.ioctl(job, c.TIOCSPGRP, BASE)
    pty.kernel.signals.blocked = 1 << (SIGTTOU - 1)
    assert slave.write(b"x") == 1
    job.mem.put_i32(BASE, 11)
    assert slave.ioctl(job, c.TIOCSPGRP, BASE) == 0


def test_vmin(pty: Pty) -> None:
    slave = pty.open_slave()
    set_lflag(slave, pty.t, 0, vmin=3)
    pty.master.write(b"ab")
    assert blocks(slave)
    assert not slave.poll() & IN
    assert slave.peek(2) == b"ab"  # VMIN counts up to what was asked for
    slave.flags |= O_NONBLOCK
    assert slave.peek(10) == b"ab"
    slave.flags &= ~O_NONBLOCK
    pty.master.write(b"cd")
    assert slave.poll() & IN
    assert read(slave, 10) == b"abcd"
    set_lflag(slave, pty.t, 0, vmin=0)
    assert slave.peek(10) == b""


def test_vtime(pty: Pty) -> None:
    slave, kernel = pty.open_slave(), pty.kernel
    kernel.current = pty.t
    set_lflag(slave, pty.t, 0, vmin=0, vtime=2)
    watch = Watch()
    slave.queue.add(watch)
    assert blocks(slave)
    kernel.pass_time(150_000_000)
    assert blocks(slave)
    kernel.pass_time(60_000_000)
    assert watch.events & IN
    assert slave.peek(10) == b""
    pty.t.request_id = 2  # a new read starts a new time
    assert blocks(slave)
    kernel.pass_time(150_000_000)
    pty.t.request_id = 3
    assert blocks(slave)
    kernel.pass_time(150_000_000)
    assert blocks(slave)
    kernel.pass_time(60_000_000)
    assert slave.peek(10) == b""


def test_vmin_and_vtime(pty: Pty) -> None:
    """The time between bytes counts, from the first one on."""
    slave, kernel = pty.open_slave(), pty.kernel
    set_lflag(slave, pty.t, 0, vmin=5, vtime=1)
    assert blocks(slave)
    kernel.pass_time(1_000_000_000)
    assert blocks(slave)
    pty.master.write(b"a")
    assert blocks(slave)
    kernel.pass_time(90_000_000)
    pty.master.write(b"b")
    assert blocks(slave)
    kernel.pass_time(90_000_000)
    assert blocks(slave)
    kernel.pass_time(20_000_000)
    assert read(slave, 10) == b"ab"


def test_exclusive(pty: Pty) -> None:
    slave = pty.open_slave()
    slave.ioctl(pty.t, c.TIOCEXCL, 0)
    user = pty.kernel.process(1030)
    user.creds = user.creds._replace(effective=0)
    with pytest.raises(EBUSY):
        pty.open_slave(t=user)
    pty.open_slave().unref()
    slave.unref()
    pty.open_slave(t=user)


def test_refused(pty: Pty) -> None:
    slave, t = pty.open_slave(), pty.t
    with pytest.raises(EPERM):
        slave.ioctl(t, c.TIOCSTI, BASE)
    for request in (c.TIOCMGET, c.TIOCGICOUNT, c.TIOCGPTN, c.TIOCLINUX, c.TCGETX, 0x12345):
        with pytest.raises(ENOTTY):
            slave.ioctl(t, request, BASE)
    for request in (c.TCFLSH, c.TCXONC):
        with pytest.raises(EINVAL):
            slave.ioctl(t, request, 9)


def test_input_size(pty: Pty) -> None:
    slave, t = pty.open_slave(), pty.t
    pty.master.write(b"abc\x04de\n\x04xy")
    slave.ioctl(t, c.FIONREAD, BASE)
    assert t.mem.i32(BASE) == 6
