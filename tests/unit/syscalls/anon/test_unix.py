"""Unix sockets: waiting, path names, ancillary data, lifetimes (what test_unix_host cannot compare)."""

from __future__ import annotations

import gc
from typing import Any

import pytest

from sentry.abi import flags as abi
from sentry.abi.errno import ECONNRESET, EPIPE, WouldBlock
from sentry.abi.structs import MMSGHDR, UCRED
from sentry.kernel.fs_context import FsContext
from sentry.socket import rights
from sentry.socket.names import table_of
from tests.unit.syscalls.anon.fake_kernel import BASE, SIZE, Sleeper, call, make_task
from tests.unit.syscalls.anon.guest_sockets import (
    ADDR,
    CONTROL,
    DATA,
    IOV,
    MSG,
    GuestSocket,
    unix,
    unix_pair,
)
from vfs.core.mount import Mount, MountNamespace
from vfs.fs.tmpfs import TmpFs

STREAM, DGRAM, SEQPACKET = abi.SOCK_STREAM, abi.SOCK_DGRAM, abi.SOCK_SEQPACKET
SOL, RIGHTS, CREDS = abi.SOL_SOCKET, abi.SCM_RIGHTS, abi.SCM_CREDENTIALS
EPERM, EINTR, EAGAIN, EACCES, EFAULT, EINVAL, EMFILE = 1, 4, 11, 13, 14, 22, 24
EADDRINUSE, ECONNREFUSED, ENOTSOCK, EMSGSIZE, EPROTOTYPE, ETOOMANYREFS = 98, 111, 88, 90, 91, 109


@pytest.fixture
def t() -> Any:
    return make_task()


def failing(run: Any) -> int:
    with pytest.raises(OSError) as caught:
        run()
    assert caught.value.errno is not None
    return caught.value.errno


def with_tree(t: Any) -> Any:
    root = TmpFs(None)  # type: ignore[arg-type]  # no regular file is made
    root.root.inode.mode |= 0o777
    mount = Mount(root, root.root, 0)
    t.kernel.mounts = MountNamespace(mount)
    t.fs = FsContext(mount.top(), mount.top(), 0o022)
    return t


def numbers(*fds: int) -> bytes:
    return b"".join(fd.to_bytes(4, "little") for fd in fds)


def fds_of(body: bytes) -> list[int]:
    return [int.from_bytes(body[i : i + 4], "little") for i in range(0, len(body), 4)]


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
    assert (DGRAM, name) in table_of(t.kernel).abstract
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
        (abi.AF_NETLINK, 3, 0, 97), (abi.AF_INET, 1, 17, 93), (abi.AF_INET, 5, 0, 94), (abi.AF_PACKET, 3, 0, 1),
        (abi.AF_INET, 3, 1, 1), (abi.AF_UNIX, 1 | 0x100000, 0, 22),
    ):  # fmt: skip
        assert call(t, "socket", family, kind, protocol) == -error, (family, kind)
    assert call(t, "socketpair", abi.AF_INET, 1, 0, ADDR) == -95
    assert call(t, "socketpair", abi.AF_UNIX, 1, 0, 0) == -EFAULT
    assert not t.fds.files


# ancillary data ---------------------------------------------------------------------------------------------------
def test_rights(t: Any) -> None:
    one, other = unix_pair(t, STREAM)
    assert call(t, "pipe2", BASE, 0) == 0
    reader, writer = t.mem.i32(BASE), t.mem.i32(BASE + 4)
    file = t.fds.get(writer)
    assert one.sendmsg(b"take", [(SOL, RIGHTS, numbers(writer, reader))]) == 4
    call(t, "close", writer)
    assert file.refs == 1 and sum(rights.in_flight.values()) == 2
    data, found, flags, _ = other.recvmsg(10, 100, abi.MSG_CMSG_CLOEXEC)
    assert (data, flags) == (b"take", abi.MSG_CMSG_CLOEXEC)
    [(level, kind, body)] = found
    got = fds_of(body)
    assert (level, kind) == (SOL, RIGHTS)
    assert t.fds.get(got[0]) is file and set(got) <= t.fds.cloexec
    assert file.refs == 1 and not rights.in_flight
    assert failing(lambda: one.sendmsg(b"x", [(SOL, RIGHTS, numbers(99))])) == 9
    assert failing(lambda: one.sendmsg(b"x", [(SOL, RIGHTS, numbers(*[reader] * 254))])) == EINVAL
    assert failing(lambda: one.sendmsg(b"x", [(SOL, 77, b"")])) == EINVAL
    assert one.sendmsg(b"x", [(41, 77, b"")]) == 1  # other levels are ignored
    assert t.fds.get(reader).refs == 2


def test_rights_that_find_no_room_are_let_go(t: Any) -> None:
    one, other = unix_pair(t, DGRAM)
    call(t, "pipe2", BASE, 0)
    reader = t.mem.i32(BASE)
    refs = t.fds.get(reader).refs
    for control, expected in ((0, 0), (16, 0), (20, 1), (24, 2)):
        one.sendmsg(b"x", [(SOL, RIGHTS, numbers(reader, reader, reader))])
        _, found, flags, _ = other.recvmsg(1, control)
        got = [fd for _, _, body in found for fd in fds_of(body)]
        assert len(got) == expected and flags & abi.MSG_CTRUNC
        for fd in got:
            call(t, "close", fd)
        assert t.fds.get(reader).refs == refs
    one.sendmsg(b"x", [(SOL, RIGHTS, numbers(reader))])
    assert other.file.peek(1) == b"x"
    other.file.consume(1)  # read(2) takes no files
    assert t.fds.get(reader).refs == refs
    one.sendmsg(b"x", [(SOL, RIGHTS, numbers(reader))])
    other.close()
    one.close()
    assert t.fds.get(reader).refs == refs and not rights.in_flight


def test_rights_and_the_bytes_of_a_stream(t: Any) -> None:
    one, other = unix_pair(t, STREAM)
    call(t, "pipe2", BASE, 0)
    reader = t.mem.i32(BASE)
    one.send(b"before")
    one.sendmsg(b"with", [(SOL, RIGHTS, numbers(reader))])
    one.send(b"after")
    data, found, _, _ = other.recvmsg(100, 100, abi.MSG_PEEK)
    assert data == b"beforewith" and len(found) == 1  # a peek gives copies too
    data, found, _, _ = other.recvmsg(100, 100)
    assert data == b"beforewith" and len(found) == 1
    data, found, _, _ = other.recvmsg(100, 100)
    assert data == b"after" and not found
    assert t.fds.get(reader).refs == 3


def test_too_many_files_in_flight(t: Any) -> None:
    one, other = unix_pair(t, DGRAM)
    t.fds.limit = 20
    body = numbers(*[one.fd] * 20)
    one.sendmsg(b"x", [(SOL, RIGHTS, body)])
    assert failing(lambda: one.sendmsg(b"x", [(SOL, RIGHTS, numbers(one.fd))])) == ETOOMANYREFS
    other.recv(1)
    one.sendmsg(b"x", [(SOL, RIGHTS, numbers(one.fd))])
    other.recv(1)
    assert not rights.in_flight and not rights.sockets


def test_cycles_are_collected(t: Any) -> None:
    held = unix_pair(t, STREAM)
    one, other = unix_pair(t, STREAM)
    files = [one.file, other.file]
    one.sendmsg(b"x", [(SOL, RIGHTS, numbers(one.fd, other.fd))])
    other.sendmsg(b"y", [(SOL, RIGHTS, numbers(other.fd))])
    held[0].sendmsg(b"z", [(SOL, RIGHTS, numbers(held[1].fd))])  # in flight, but reachable
    one.close()
    assert not files[0].dead
    other.close()
    t.kernel.run_deferred()
    assert all(file.dead for file in files)
    assert not held[1].file.dead
    assert held[1].recvmsg(1, 100)[1]
    assert not rights.in_flight and not rights.sockets


def test_a_socket_in_the_queue_of_a_reachable_one_is_kept(t: Any) -> None:
    outer, inner = unix_pair(t, STREAM), unix_pair(t, STREAM)
    inner_file = inner[1].file
    inner[0].sendmsg(b"i", [(SOL, RIGHTS, numbers(inner[1].fd))])  # a cycle of one
    outer[0].sendmsg(b"o", [(SOL, RIGHTS, numbers(inner[1].fd))])  # and a way to it
    inner[1].close()
    inner[0].close()
    t.kernel.run_deferred()
    assert not inner_file.dead
    [(_, _, body)] = outer[1].recvmsg(1, 100)[1]
    again = GuestSocket(t, fds_of(body)[0])
    assert again.recv(1) == b"i"
    again.close()
    t.kernel.run_deferred()
    assert inner_file.dead and not rights.sockets


def test_a_long_chain_is_freed_without_recursion(t: Any) -> None:
    t.fds.limit = 100_000
    t.creds = t.creds._replace(effective=1 << abi.CAP_SYS_RESOURCE)
    previous = None
    for _ in range(5000):
        one, other = unix_pair(t, STREAM)
        if previous is not None:
            one.sendmsg(b"x", [(SOL, RIGHTS, numbers(previous.fd))])
            previous.close()
        one.close()
        previous = other
    assert previous is not None
    previous.close()
    assert not rights.sockets and not t.fds.files


def test_credentials(t: Any) -> None:
    one, other = unix_pair(t, STREAM)
    one.send(b"a")
    other.setsockopt(SOL, abi.SO_PASSCRED, 1)
    one.send(b"b")
    data, found, flags, _ = other.recvmsg(10, 100)
    assert data == b"a" and found == [(SOL, CREDS, UCRED.pack(0, 65534, 65534))]  # nobody had asked yet
    data, found, flags, _ = other.recvmsg(10, 100)
    assert data == b"b" and found == [(SOL, CREDS, UCRED.pack(100, 1000, 1000))]
    for pid, uid, gid in ((1, 1000, 1000), (100, 0, 1000), (100, 1000, 0)):
        lie = UCRED.pack(pid, uid, gid)
        assert failing(lambda lie=lie: one.sendmsg(b"x", [(SOL, CREDS, lie)])) == EPERM
    assert failing(lambda: one.sendmsg(b"x", [(SOL, CREDS, b"short")])) == EINVAL
    assert one.sendmsg(b"c", [(SOL, CREDS, UCRED.pack(100, 1000, 1000))]) == 1
    _, found, flags, _ = other.recvmsg(10, 0)
    assert not found and flags & abi.MSG_CTRUNC
    assert one.getsockopt(SOL, abi.SO_PEERCRED, 12) == UCRED.pack(100, 1000, 1000)
    assert unix(t, STREAM).getsockopt(SOL, abi.SO_PEERCRED, 12) == UCRED.pack(0, 0xFFFFFFFF, 0xFFFFFFFF)


def test_peer_credentials_are_those_of_connect_and_listen(t: Any) -> None:
    listener = unix(t, STREAM)
    listener.bind(b"\0name")
    listener.listen()
    client_task = make_task(t.kernel, pid=300, uid=3000)
    client = unix(client_task, STREAM)
    client.connect(b"\0name")
    server = listener.accept()
    assert server.getsockopt(SOL, abi.SO_PEERCRED, 12) == UCRED.pack(300, 3000, 3000)
    assert client.getsockopt(SOL, abi.SO_PEERCRED, 12) == UCRED.pack(100, 1000, 1000)


# faults and vectors -----------------------------------------------------------------------------------------------
def test_a_fault_loses_nothing(t: Any) -> None:
    for kind in (STREAM, DGRAM, SEQPACKET):
        one, other = unix_pair(t, kind)
        one.send(b"precious")
        assert failing(lambda s=other: s.run("recvfrom", 8, 100, 0, 0, 0)) == EFAULT
        assert other.recv(100) == b"precious"
        one.send(b"precious")
        if kind == STREAM:
            assert other.run("recvfrom", BASE + SIZE - 3, 100, 0, 0, 0) == 3
            assert other.recv(100) == b"cious"
        assert failing(lambda s=one: s.run("sendto", 8, 100, 0, 0, 0)) == EFAULT


def test_truncated_messages(t: Any) -> None:
    one, other = unix_pair(t, SEQPACKET)
    one.send(b"0123456789")
    assert other.recvmsg(4, 0, abi.MSG_PEEK) == (b"0123", [], abi.MSG_TRUNC, 4)
    assert other.recvmsg(4, 0, abi.MSG_TRUNC) == (b"0123", [], abi.MSG_TRUNC, 10)
    with pytest.raises(WouldBlock):
        other.file.peek(1)
    one.send(b"")
    one.send(b"next")
    assert other.file.peek(9) == b""  # an empty message is read once
    assert other.file.peek(9) == b"next"


def vector(t: Any, count: int, size: int) -> int:
    for i in range(count):
        t.mem.write(IOV + 16 * i, (DATA + size * i).to_bytes(8, "little") + size.to_bytes(8, "little"))
        t.mem.pack(MMSGHDR, MSG + MMSGHDR.size * i, 0, 0, IOV + 16 * i, 1, 0, 0, 0, 0)
    return MSG


def lengths(t: Any, count: int) -> list[int]:
    return [t.mem.u32(MSG + MMSGHDR.size * i + 56) for i in range(count)]


def test_many_messages(t: Any) -> None:
    one, other = unix_pair(t, SEQPACKET, 0)
    t.mem.write(DATA, b"aabbcc")
    assert one.run("sendmmsg", vector(t, 3, 2), 3, 0) == 3
    assert lengths(t, 3) == [2, 2, 2]
    t.mem.write(DATA, bytes(20))
    waiting = Sleeper(t, "recvmmsg", other.fd, vector(t, 4, 4), 4, 0, 0)
    assert waiting.result is None  # it wants four
    assert t.mem.read(DATA, 9) == b"aa\0\0bb\0\0c"
    one.send(b"dddd")
    waiting.woken = True
    assert waiting.run() == 4
    assert lengths(t, 4) == [2, 2, 2, 4]
    one.send(b"e")
    assert other.run("recvmmsg", vector(t, 4, 4), 4, abi.MSG_WAITFORONE, 0) == 1
    assert failing(lambda: other.run("recvmmsg", vector(t, 1, 4), 1, abi.MSG_DONTWAIT, 0)) == EAGAIN
    one.send(b"f")
    waiting = Sleeper(t, "recvmmsg", other.fd, vector(t, 4, 4), 4, 0, 0)
    assert waiting.interrupt() == 1


def test_sendmmsg_stops_at_the_first_error(t: Any) -> None:
    one, other = unix_pair(t, SEQPACKET)
    vector(t, 3, 2)
    t.mem.put_u64(IOV + 16, 8)  # the second message's data faults
    assert one.run("sendmmsg", MSG, 3, 0) == 1
    assert len(other.file.inbox) == 1
    assert failing(lambda: one.run("sendmmsg", MSG + MMSGHDR.size, 1, 0)) == EFAULT


def test_queues_are_freed_without_the_collector(t: Any) -> None:
    gc.collect()
    gc.disable()
    try:
        one, other = unix_pair(t, STREAM)
        one.send(b"x" * 100)
        one.close()
        other.close()
        assert len(table_of(t.kernel).sockets) == 0
    finally:
        gc.enable()


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


def test_inet_without_a_network(t: Any) -> None:
    fd = call(t, "socket", abi.AF_INET, STREAM, 0)
    sock = GuestSocket(t, fd)
    t.mem.write(ADDR, b"\2\0\x1f\x90\x7f\0\0\1" + bytes(8))
    assert failing(lambda: sock.run("connect", ADDR, 16)) == 101
    assert failing(lambda: sock.run("bind", ADDR, 16)) == 99
    t.mem.write(ADDR, b"\2\0\x1f\x90" + bytes(12))
    assert sock.run("bind", ADDR, 16) == 0
    again = GuestSocket(t, call(t, "socket", abi.AF_INET, STREAM | abi.SOCK_NONBLOCK, 0))
    assert failing(lambda: again.run("bind", ADDR, 16)) == EADDRINUSE
    assert sock.run("listen", 5) == 0
    assert Sleeper(t, "accept", sock.fd, 0, 0).result is None
    assert failing(lambda: again.run("sendto", DATA, 1, abi.MSG_NOSIGNAL, 0, 0)) == 32
    assert sock.getsockopt(6, 1) == 0
    sock.setsockopt(6, 1, 1)
    assert sock.getsockopt(6, 1) == 1
    assert failing(lambda: sock.getsockopt(6, 999)) == 92
    t.mem.put_i32(ADDR - 8, 16)
    assert sock.run("getsockname", ADDR, ADDR - 8) == 0 and t.mem.read(ADDR, 4) == b"\2\0\x1f\x90"
    udp = GuestSocket(t, call(t, "socket", abi.AF_INET6, DGRAM, 0))
    t.mem.write(ADDR, b"\n\0\0\1" + bytes(24))
    assert failing(lambda: udp.run("bind", ADDR, 28)) == EACCES  # a port below 1024
    assert udp.poll() == abi.POLLOUT
