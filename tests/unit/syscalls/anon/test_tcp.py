"""TCP sockets over the stack: waiting, errors, the end of a socket (tests/guest/tcp.c compares the rest with Linux)."""

from __future__ import annotations

from typing import Any

import pytest

from sentry.abi import flags as abi
from sentry.abi.errno import EADDRINUSE, ECONNREFUSED, EINPROGRESS, ENETUNREACH
from tests.unit.syscalls.anon.fake_kernel import Sleeper, call, make_task
from tests.unit.syscalls.anon.guest_sockets import ADDR, DATA, GuestSocket, failing

STREAM = abi.SOCK_STREAM
NS = 1_000_000_000


@pytest.fixture
def t() -> Any:
    return make_task()


def tcp(t: Any, flags: int = 0) -> GuestSocket:
    fd = call(t, "socket", abi.AF_INET, STREAM | flags, 0)
    assert fd >= 0
    return GuestSocket(t, fd)


def put(t: Any, host: bytes, port: int) -> None:
    t.mem.write(ADDR, b"\2\0" + port.to_bytes(2, "big") + host + bytes(8))


def listener(t: Any, port: int = 8080, backlog: int = 5) -> GuestSocket:
    sock = tcp(t)
    put(t, b"\x7f\0\0\1", port)
    sock.run("bind", ADDR, 16)
    sock.listen(backlog)
    put(t, b"\x7f\0\0\1", port)
    return sock


def pair(t: Any) -> tuple[GuestSocket, GuestSocket]:
    server, client = listener(t), tcp(t)
    client.run("connect", ADDR, 16)
    other = server.accept()
    call(t, "close", server.fd)
    return client, other


def test_accept_waits_for_a_connection(t: Any) -> None:
    server, client = listener(t), tcp(t)
    sleeper = Sleeper(t, "accept4", server.fd, 0, 0, 0)
    assert sleeper.result is None
    client.run("connect", ADDR, 16)
    assert sleeper.woken and (sleeper.run() or 0) > client.fd


def test_a_reader_waits_for_data_and_for_the_end(t: Any) -> None:
    client, other = pair(t)
    reader = Sleeper(t, "recvfrom", client.fd, DATA, 100, 0, 0, 0)
    other.send(b"abc")
    assert reader.woken and reader.run() == 3 and t.mem.read(DATA, 3) == b"abc"
    reader = Sleeper(t, "recvfrom", client.fd, DATA, 100, 0, 0, 0)
    call(t, "close", other.fd)
    assert reader.woken and reader.run() == 0


def test_a_writer_waits_for_room(t: Any) -> None:
    client, other = pair(t)
    total = 0
    client.file.flags |= abi.O_NONBLOCK
    while (done := call(t, "sendto", client.fd, DATA, 0x20000, 0, 0, 0)) > 0:
        total += done
    assert done == -11 and total >= 0x20000
    client.file.flags &= ~abi.O_NONBLOCK
    writer = Sleeper(t, "write", client.fd, DATA, 10)
    assert writer.result is None
    while total > 0:
        got = call(t, "recvfrom", other.fd, DATA, 0x20000, 0, 0, 0)
        assert got > 0
        total -= got
    assert writer.woken and writer.run() == 10


def test_nothing_but_the_loopback_is_reachable(t: Any) -> None:
    sock = tcp(t)
    put(t, b"\xc0\0\2\1", 80)
    assert failing(lambda: sock.run("connect", ADDR, 16)) == ENETUNREACH.code
    put(t, b"\x7f\0\0\1", 81)
    assert failing(lambda: sock.run("connect", ADDR, 16)) == ECONNREFUSED.code
    server = listener(t)
    assert failing(lambda: tcp(t).run("bind", ADDR, 16)) == EADDRINUSE.code
    again = tcp(t, abi.SOCK_NONBLOCK)
    assert failing(lambda: again.run("connect", ADDR, 16)) == EINPROGRESS.code
    assert again.run("connect", ADDR, 16) == 0
    assert server.accept().fd > 0


def test_low_ports_take_a_capability(t: Any) -> None:
    put(t, b"\x7f\0\0\1", 80)
    assert failing(lambda: tcp(t).run("bind", ADDR, 16)) == 13
    root = make_task(t.kernel, 200, 0, (abi.CAP_NET_BIND_SERVICE,))
    put(root, b"\x7f\0\0\1", 80)
    assert tcp(root).run("bind", ADDR, 16) == 0


def test_a_lingering_close_waits(t: Any) -> None:
    client, other = pair(t)
    client.file.flags |= abi.O_NONBLOCK
    while call(t, "sendto", client.fd, DATA, 0x20000, 0, 0, 0) > 0:
        pass
    t.mem.write(DATA, b"\1\0\0\0\5\0\0\0")
    client.run("setsockopt", abi.SOL_SOCKET, abi.SO_LINGER, DATA, 8)
    closer = Sleeper(t, "close", client.fd)
    assert closer.result is None and client.fd not in t.fds.files
    while call(t, "recvfrom", other.fd, DATA, 0x20000, 0, 0, 0) > 0:
        pass
    assert closer.woken and closer.run() == 0
    assert t.kernel.lingering is None


def test_only_a_close_of_its_own_lingers(t: Any) -> None:
    """What dup2(2) or an exit has closed did not wait; a later close(2) of something else does not wait for it."""
    client, other = pair(t)
    client.file.flags |= abi.O_NONBLOCK
    while call(t, "sendto", client.fd, DATA, 0x20000, 0, 0, 0) > 0:
        pass
    t.mem.write(DATA, b"\1\0\0\0\5\0\0\0")
    client.run("setsockopt", abi.SOL_SOCKET, abi.SO_LINGER, DATA, 8)
    assert call(t, "dup2", other.fd, client.fd) == client.fd
    assert call(t, "close", client.fd) == 0


def test_a_closed_socket_holds_no_timer_of_the_kernel(t: Any) -> None:
    client, other = pair(t)
    call(t, "close", client.fd)
    call(t, "close", other.fd)
    t.kernel.run_deferred()
    stack = t.net.stack
    t.kernel.advance(61 * NS)  # TIME_WAIT
    t.kernel.advance(61 * NS)
    assert stack.next_ns() < 0
