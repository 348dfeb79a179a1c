"""Unix sockets: waiting, path names, errors (what test_unix_host cannot compare)."""

from __future__ import annotations

from typing import Any

import pytest

from sentry.abi import flags as abi
from sentry.abi.errno import ECONNRESET, EPIPE
from sentry.kernel.fs_context import FsContext
from sentry.socket.names import table_of
from tests.unit.syscalls.anon.fake_kernel import BASE, Sleeper, call, make_task
from tests.unit.syscalls.anon.guest_sockets import (
    ADDR,
    CONTROL,
    DATA,
    GuestSocket,
    failing,
    unix,
    unix_pair,
)
from vfs.core.mount import Mount, MountNamespace
from vfs.fs.tmpfs import TmpFs

STREAM, DGRAM, SEQPACKET = abi.SOCK_STREAM, abi.SOCK_DGRAM, abi.SOCK_SEQPACKET
SOL = abi.SOL_SOCKET
EINTR, EAGAIN, EACCES, EFAULT, EINVAL, EMFILE = 4, 11, 13, 14, 22, 24
EADDRINUSE, ECONNREFUSED, ENOTSOCK, EMSGSIZE, EPROTOTYPE = 98, 111, 88, 90, 91


@pytest.fixture
def t() -> Any:
    return make_task()


def with_tree(t: Any) -> Any:
    root = TmpFs(None)  # type: ignore[arg-type]  # no regular file is made
    root.root.inode.mode |= 0o777
    mount = Mount(root, root.root, 0)
    t.kernel.mounts = MountNamespace(mount)
    t.fs = FsContext(mount.top(), mount.top(), 0o022)
    return t


# waiting ----------------------------------------------------------------------------------------------------------
def test_receive_waits(t: Any) -> None:
    one, other = unix_pair(t, STREAM, 0)
    sleeper = Sleeper(t, "recvfrom", other.fd, DATA, 100, 0, 0, 0)
    one.send(b"hello")
    assert sleeper.run() == 5
    assert Sleeper(t, "recvfrom", other.fd, DATA, 100, 0, 0, 0).interrupt() == -EINTR
    sleeper = Sleeper(t, "recvfrom", other.fd, DATA, 100, 0, 0, 0)
    one.close()
    assert sleeper.run() == 0
    assert other.recv(5) == b""


def test_wait_for_all(t: Any) -> None:
    one, other = unix_pair(t, STREAM, 0)
    sleeper = Sleeper(t, "recvfrom", other.fd, ADDR, 6, abi.MSG_WAITALL, 0, 0)
    one.send(b"abc")
    assert sleeper.run() is None
    one.send(b"defgh")
    assert sleeper.run() == 6
    assert t.mem.read(ADDR, 6) == b"abcdef"
    assert other.recv(9) == b"gh"
    sleeper = Sleeper(t, "recvfrom", other.fd, ADDR, 6, abi.MSG_WAITALL, 0, 0)
    one.send(b"xy")
    assert sleeper.run() is None
    assert sleeper.interrupt() == 2  # what was copied out counts
    one.send(b"12")
    one.close()
    assert other.recv(6, abi.MSG_WAITALL) == b"12"


def test_large_send_waits_for_room(t: Any) -> None:
    one, other = unix_pair(t, STREAM, 0)
    one.setsockopt(SOL, abi.SO_SNDBUF, 20000)
    assert one.getsockopt(SOL, abi.SO_SNDBUF) == 40000
    data = bytes(i % 251 for i in range(100_000))
    t.mem.write(BASE + 0x10000, data)
    sleeper = Sleeper(t, "sendto", one.fd, BASE + 0x10000, len(data), 0, 0, 0)
    assert sleeper.result is None
    assert not one.poll() & abi.POLLOUT
    got = b""
    while len(got) < len(data):
        got += other.recv(2000)
        sleeper.run()
    assert got == data and sleeper.result == len(data)
    assert one.poll() & abi.POLLOUT


def test_interrupted_and_nonblocking_sends_report_what_they_did(t: Any) -> None:
    one, other = unix_pair(t, STREAM, 0)
    one.setsockopt(SOL, abi.SO_SNDBUF, 20000)
    sleeper = Sleeper(t, "sendto", one.fd, BASE + 0x10000, 100_000, 0, 0, 0)
    done = sleeper.interrupt()
    assert 0 < done < 100_000
    assert len(other.recv(0x8000)) + len(other.recv(0x8000)) == done
    assert one.run("sendto", BASE + 0x10000, 100_000, abi.MSG_DONTWAIT, 0, 0) == done
    assert failing(lambda: one.run("sendto", BASE, 1, abi.MSG_DONTWAIT, 0, 0)) == EAGAIN


def test_timeouts(t: Any) -> None:
    one, other = unix_pair(t, STREAM, 0)
    one.setsockopt(SOL, abi.SO_RCVTIMEO, (2).to_bytes(8, "little") + (500_000).to_bytes(8, "little"))
    assert one.getsockopt(SOL, abi.SO_RCVTIMEO, 16) == (2).to_bytes(8, "little") + (500_000).to_bytes(8, "little")
    sleeper = Sleeper(t, "recvfrom", one.fd, DATA, 5, 0, 0, 0)
    assert sleeper.park.deadline_ns == t.kernel.now_ns() + 2_500_000_000
    assert sleeper.park.restart == 514  # never restarted (signal(7))
    assert sleeper.expire() == -EAGAIN
    sleeper = Sleeper(t, "recvfrom", one.fd, DATA, 5, abi.MSG_WAITALL, 0, 0)
    other.send(b"ab")
    sleeper.run()
    assert sleeper.expire() == 2
    assert failing(lambda: one.setsockopt(SOL, abi.SO_RCVTIMEO, bytes(8) + (10**6).to_bytes(8, "little"))) == 33


def test_sigpipe(t: Any) -> None:
    one, other = unix_pair(t, STREAM)
    other.close()
    assert failing(lambda: one.send(b"x", abi.MSG_NOSIGNAL)) == 32
    assert t.kernel.signals.sent == []
    assert failing(lambda: one.send(b"x")) == 32
    assert t.kernel.signals.sent == [(t, 13)]
    with pytest.raises(EPIPE):
        one.file.write(b"x")  # write(2) sends the signal itself
    one, other = unix_pair(t, SEQPACKET)
    other.close()
    assert failing(lambda: one.send(b"x")) == 32
    assert len(t.kernel.signals.sent) == 1  # only streams have it


def test_backlog(t: Any) -> None:
    listener = unix(t, STREAM, 0)
    listener.bind(b"\0name")
    listener.listen(1)
    first, second, third = (unix(t, STREAM, 0) for _ in range(3))
    first.connect(b"\0name")
    second.connect(b"\0name")  # one more than the backlog fits
    t.mem.write(ADDR, b"\1\0\0name")
    waiting = Sleeper(t, "connect", third.fd, ADDR, 7)
    assert waiting.result is None
    assert listener.accept().getsockname() == b"\0name"
    assert waiting.run() == 0
    accepting = Sleeper(t, "accept", listener.fd, 0, 0)
    assert accepting.result is not None
    assert listener.accept().getpeername() == ""
    accepting = Sleeper(t, "accept", listener.fd, 0, 0)
    fourth = unix(t, STREAM)
    fourth.connect(b"\0name")
    accepted = accepting.run()
    assert accepted is not None and accepted > 0
    listener.close()
    fifth = unix(t, STREAM)
    assert failing(lambda: fifth.connect(b"\0name")) == ECONNREFUSED


def test_listener_closed_with_a_connection_that_nobody_took(t: Any) -> None:
    listener, client = unix(t, STREAM), unix(t, STREAM)
    listener.bind(b"\0name")
    listener.listen()
    client.connect(b"\0name")
    client.send(b"x")
    listener.close()
    assert client.getsockopt(SOL, abi.SO_ERROR) == ECONNRESET.code
    assert client.recv(1) == b""


def test_accept_at_the_limit_keeps_the_connection(t: Any) -> None:
    listener, client = unix(t, STREAM), unix(t, STREAM)
    listener.bind(b"\0name")
    listener.listen()
    client.connect(b"\0name")
    t.fds.limit = len(t.fds.files)
    assert failing(listener.accept) == EMFILE
    t.fds.limit += 1
    listener.accept()


def test_datagrams_wait_for_a_full_receiver(t: Any) -> None:
    receiver, sender = unix(t, DGRAM, 0), unix(t, DGRAM, 0)
    receiver.bind(b"\0to")
    sender.connect(b"\0to")
    for i in range(11):
        sender.send(b"%d" % i)
    assert not sender.poll() & abi.POLLOUT
    t.mem.write(DATA, b"late")
    sleeper = Sleeper(t, "sendto", sender.fd, DATA, 4, 0, 0, 0)
    assert sleeper.result is None
    assert receiver.recv(9) == b"0"
    t.mem.write(DATA, b"late")
    assert sleeper.run() == 4
    assert failing(lambda: sender.send(bytes(1), abi.MSG_DONTWAIT)) == EAGAIN
    assert failing(lambda: sender.run("sendto", BASE, 220_000, 0, 0, 0)) == EMSGSIZE


# names ------------------------------------------------------------------------------------------------------------
def test_path_names(t: Any) -> None:
    with_tree(t)
    listener, client = unix(t, STREAM), unix(t, STREAM)
    listener.bind("/sock")
    assert listener.getsockname() == "/sock"
    assert failing(lambda: client.connect("/sock")) == ECONNREFUSED
    listener.listen()
    assert failing(lambda: unix(t, DGRAM).connect("/sock")) == EPROTOTYPE
    assert failing(lambda: unix(t, STREAM).bind("/sock")) == EADDRINUSE
    assert failing(lambda: client.connect("/none")) == 2
    assert failing(lambda: listener.bind("/again")) == EINVAL
    client.connect("/sock")
    server = listener.accept()
    assert client.getpeername() == server.getsockname() == "/sock"
    inode = listener.file.bound_inode
    assert inode.mode == 0o140755 and inode.bound is listener.file
    listener.close()
    assert inode.bound is None
    assert failing(lambda: unix(t, STREAM).connect("/sock")) == ECONNREFUSED  # the file stays
    assert failing(lambda: unix(t, STREAM).bind("/sock")) == EADDRINUSE
    client.send(b"x")
    assert server.recv(1) == b"x"


def test_path_permissions(t: Any) -> None:
    with_tree(t)
    listener = unix(t, STREAM)
    listener.bind("/sock")
    listener.listen()
    stranger = make_task(t.kernel, pid=200, uid=2000)
    stranger.fs = t.fs
    assert failing(lambda: unix(stranger, STREAM).connect("/sock")) == EACCES
    listener.file.bound_inode.mode |= 0o002
    unix(stranger, STREAM).connect("/sock")


def test_addresses(t: Any) -> None:
    sock = unix(t, DGRAM)
    assert sock.getsockname() == ""
    for size in (0, 1, 111, 200):
        assert failing(lambda size=size: sock.run("bind", ADDR, size)) == EINVAL
    t.mem.write(ADDR, b"\x02\0/x\0")
    assert failing(lambda: sock.run("bind", ADDR, 5)) == EINVAL
    sock.bind(b"")  # autobind
    name = sock.getsockname()
    assert len(name) == 6 and name[:1] == b"\0"
    assert (DGRAM, name) in table_of(t.net).abstract
    other = unix(t, DGRAM)
    assert failing(lambda: other.bind(name)) == EADDRINUSE
    unix(t, STREAM).bind(name)  # each kind has names of its own
    sock.close()
    other.bind(name)
    t.mem.put_i32(ADDR - 8, 3)
    assert other.run("getsockname", ADDR, ADDR - 8) == 0
    assert t.mem.read(ADDR, 3) == b"\1\0\0" and t.mem.i32(ADDR - 8) == 8  # cut, with the real length


def test_not_a_socket(t: Any) -> None:
    call(t, "pipe2", BASE, 0)
    pipe = GuestSocket(t, t.mem.i32(BASE))
    for name in ("getpeername", "getsockname", "connect", "bind", "listen", "accept", "shutdown", "sendmsg", "recvmsg"):
        assert failing(lambda name=name: pipe.run(name, ADDR, ADDR)) == ENOTSOCK


def test_socket_errors(t: Any) -> None:
    for family, kind, protocol, error in (
        (abi.AF_UNIX, 1, 5, 93), (abi.AF_UNIX, 4, 0, 94), (abi.AF_UNIX, 12, 0, 22), (-1, 1, 0, 97), (46, 1, 0, 97),
        (abi.AF_NETLINK, 3, 31, 93), (abi.AF_INET, 1, 17, 93), (abi.AF_INET, 5, 0, 94), (abi.AF_PACKET, 3, 0, 1),
        (abi.AF_INET, 3, 1, 1), (abi.AF_UNIX, 1 | 0x100000, 0, 22),
    ):  # fmt: skip
        assert call(t, "socket", family, kind, protocol) == -error, (family, kind)
    assert call(t, "socketpair", abi.AF_INET, 1, 0, ADDR) == -95
    assert call(t, "socketpair", abi.AF_UNIX, 1, 0, 0) == -EFAULT
    assert not t.fds.files


def test_ioctls(t: Any) -> None:
    one, other = unix_pair(t, STREAM)
    one.send(b"12345")
    one.send(b"67")
    assert other.run("ioctl", abi.FIONREAD, ADDR) == 0 and t.mem.i32(ADDR) == 7
    assert one.run("ioctl", abi.SIOCOUTQ, ADDR) == 0 and t.mem.i32(ADDR) > 7
    t.mem.put_i32(ADDR, 100)
    assert one.run("ioctl", abi.FIOSETOWN, ADDR) == 0
    assert one.run("ioctl", abi.SIOCGPGRP, ADDR + 8) == 0 and t.mem.i32(ADDR + 8) == 100
    assert failing(lambda: one.run("ioctl", 0x5401, ADDR)) == 25
    assert CONTROL > 0
