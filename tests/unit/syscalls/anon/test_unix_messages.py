"""Messages of unix sockets: ancillary data, credentials, truncation, faults, vectors (unix(7), recvmmsg(2))."""

from __future__ import annotations

import gc
from typing import Any

import pytest

from sentry.abi import flags as abi
from sentry.abi.errno import WouldBlock
from sentry.abi.structs import MMSGHDR, UCRED
from sentry.socket import rights
from sentry.socket.names import table_of
from tests.unit.syscalls.anon.fake_kernel import BASE, SIZE, Sleeper, call, make_task
from tests.unit.syscalls.anon.guest_sockets import (
    DATA,
    IOV,
    MSG,
    GuestSocket,
    failing,
    unix,
    unix_pair,
)

STREAM, DGRAM, SEQPACKET = abi.SOCK_STREAM, abi.SOCK_DGRAM, abi.SOCK_SEQPACKET
SOL, RIGHTS, CREDS = abi.SOL_SOCKET, abi.SCM_RIGHTS, abi.SCM_CREDENTIALS
EPERM, EAGAIN, EFAULT, EINVAL = 1, 11, 14, 22
ETOOMANYREFS = 109


@pytest.fixture
def t() -> Any:
    return make_task()


def numbers(*fds: int) -> bytes:
    return b"".join(fd.to_bytes(4, "little") for fd in fds)


def fds_of(body: bytes) -> list[int]:
    return [int.from_bytes(body[i : i + 4], "little") for i in range(0, len(body), 4)]


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
        assert len(table_of(t.net).sockets) == 0
    finally:
        gc.enable()
