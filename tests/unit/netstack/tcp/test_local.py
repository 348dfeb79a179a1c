"""Connections within one stack: what callers see must be what packets would bring."""

from __future__ import annotations

import os

import pytest

from netstack.errors import (
    EADDRINUSE,
    EALREADY,
    ECONNABORTED,
    ECONNREFUSED,
    ECONNRESET,
    EINVAL,
    EISCONN,
    ENOTCONN,
    EPIPE,
    ETIMEDOUT,
    WouldBlock,
)
from netstack.poll import ERR, HUP, IN, OUT, PRI, RDHUP, RDNORM, WRNORM
from netstack.stack import Stack
from netstack.tcp import state
from netstack.tcp.socket import CONNECTED, TcpSocket

LO4, LO6, ANY4, ANY6 = b"\x7f\0\0\x01", bytes(15) + b"\x01", bytes(4), bytes(16)
R, W = IN | RDNORM, OUT | WRNORM
SECOND_NS = 1_000_000_000


@pytest.fixture
def stack() -> Stack:
    return Stack(os.urandom, lambda: None)


def advance(stack: Stack, seconds: float) -> None:
    end_ns = stack.now_ns + int(seconds * SECOND_NS)
    while -1 < stack.next_ns() <= end_ns:
        stack.advance(max(stack.next_ns(), stack.now_ns))
    stack.advance(end_ns)


def listen(stack: Stack, address: bytes = LO4, port: int = 0, backlog: int = 5) -> TcpSocket:
    server = TcpSocket(stack, 4 if len(address) == 4 else 6)
    server.bind(address, port)
    server.listen(backlog)
    return server


def pair(stack: Stack, address: bytes = LO4) -> tuple[TcpSocket, TcpSocket]:
    """A connection: the client's end, the server's end."""
    server = listen(stack, address)
    client = TcpSocket(stack, server.family)
    client.connect(address, server.local[1])
    child = server.accept()
    server.close()
    return client, child


def watch(socket: TcpSocket) -> list[int]:
    events: list[int] = []
    socket.notify = events.append
    return events


def read(socket: TcpSocket, size: int = 65536) -> bytes:
    data = bytes(socket.peek(size))
    socket.consume(len(data))
    return data


def test_connect_accept_and_names(stack: Stack) -> None:
    server = listen(stack)
    events = watch(server)
    client = TcpSocket(stack, 4)
    client.connect(LO4, server.local[1])
    assert client.state == state.ESTABLISHED and client.peer == server.local
    assert server.poll() == R and events == [R]
    child = server.accept()
    assert child.local == server.local and child.peer == client.local and child.state == state.ESTABLISHED
    assert server.poll() == 0
    with pytest.raises(WouldBlock):
        server.accept()
    with pytest.raises(EISCONN):
        client.connect(LO4, server.local[1])
    assert client.poll() == W and child.poll() == W


def test_data_both_ways(stack: Stack) -> None:
    client, child = pair(stack)
    events = watch(child)
    assert client.send(b"hello ") == 6 and client.send(b"world") == 5
    assert events == [R, R] and child.poll() == R | W and child.unread() == 11
    assert child.peek(5) == b"hello" and child.peek(5, 6) == b"world"
    child.consume(6)
    assert read(child) == b"world"
    with pytest.raises(WouldBlock):
        child.peek(1)
    child.send(b"back")
    assert read(client) == b"back"


def test_a_large_piece_is_not_copied(stack: Stack) -> None:
    client, child = pair(stack)
    piece = bytes(range(256)) * 256
    client.send(piece)
    assert child.peek(65536) is piece
    assert bytes(child.peek(1000, 60000)) == piece[60000:61000]


def test_many_single_bytes_are_few_pieces(stack: Stack) -> None:
    client, child = pair(stack)
    for value in range(40000):
        client.send(bytes((value & 255,)))
    assert read(child, 100000) == bytes(value & 255 for value in range(40000))
    assert child.rx.start == 40000


def test_full_buffer_and_the_third(stack: Stack) -> None:
    client, child = pair(stack)
    client.options.send_locked = True
    client.options.send_buffer, child.options.receive_buffer = 30000, 10000
    events = watch(client)
    assert client.send(bytes(25000)) == 25000 and client.poll() == W
    assert client.send(bytes(25000)) == 15000
    assert client.poll() == 0 and client.unacknowledged() == 30000
    with pytest.raises(WouldBlock):
        client.send(b"x")
    read(child, 9000)
    assert client.poll() == 0 and not events
    read(child, 1000)
    assert events == [W] and client.poll() == W
    assert client.unacknowledged() == 20000


def test_half_close_then_full_close(stack: Stack) -> None:
    client, child = pair(stack)
    client.send(b"last words")
    client.shutdown(2)
    assert client.state == state.FIN_WAIT2 and child.state == state.CLOSE_WAIT
    assert child.poll() == R | W | RDHUP and client.poll() == W
    with pytest.raises(EPIPE):
        client.send(b"x")
    assert read(child) == b"last words" and child.peek(1) == b""
    child.send(b"answer")
    assert read(client) == b"answer"
    child.close()
    assert client.state == state.CLOSE and client.peek(1) == b""
    assert client.poll() == R | W | RDHUP | HUP
    waiting = list(stack.tcp.connections.values())
    assert [entry.state for entry in waiting] == [state.TIME_WAIT]  # type: ignore[attr-defined]
    client.close()
    advance(stack, 61)
    assert not stack.tcp.connections and not stack.tcp.ports.taken(client.local[1])


def test_close_with_unread_data_resets(stack: Stack) -> None:
    client, child = pair(stack)
    client.send(b"never read")
    events = watch(client)
    child.close()
    assert events and events[-1] & ERR
    assert client.poll() == R | W | RDHUP | HUP | ERR
    with pytest.raises(ECONNRESET):
        client.peek(1)
    assert client.peek(1) == b""
    with pytest.raises(EPIPE):
        client.send(b"x")
    assert not stack.tcp.connections


def test_what_had_come_is_read_before_the_reset(stack: Stack) -> None:
    client, child = pair(stack)
    child.send(b"data")
    client.send(b"never read")
    child.close()
    assert read(client) == b"data"
    with pytest.raises(ECONNRESET):
        client.peek(1)


def test_send_to_a_closed_peer(stack: Stack) -> None:
    client, child = pair(stack)
    child.close()
    assert client.state == state.CLOSE_WAIT and client.poll() == R | W | RDHUP
    assert client.send(b"into the void") == 13
    assert client.take_error() == EPIPE.code  # as Linux says it in CLOSE_WAIT
    assert client.state == state.CLOSE


def test_linger_zero_resets(stack: Stack) -> None:
    client, child = pair(stack)
    client.options.linger_s = 0
    client.close()
    with pytest.raises(ECONNRESET):
        child.peek(1)


def test_refused(stack: Stack) -> None:
    client = TcpSocket(stack, 4)
    with pytest.raises(ECONNREFUSED):
        client.connect(LO4, 9)
    assert client.state == state.CLOSE and not stack.tcp.connections
    server = listen(stack)
    client.connect(LO4, server.local[1])  # the socket can be used again
    assert client.state == state.ESTABLISHED


def test_refused_without_blocking_is_told_later(stack: Stack) -> None:
    client = TcpSocket(stack, 4)
    events = watch(client)
    with pytest.raises(WouldBlock):
        client.connect(LO4, 9, blocking=False)
    assert events[-1] & ERR and client.poll() == R | W | RDHUP | HUP | ERR
    with pytest.raises(ECONNREFUSED):
        client.connect(LO4, 9, blocking=False)
    assert client.take_error() == 0
    with pytest.raises(WouldBlock):
        client.connect(LO4, 9, blocking=False)
    assert client.take_error() == ECONNREFUSED.code
    with pytest.raises(ECONNABORTED):
        client.connect(LO4, 9, blocking=False)


def test_established_without_blocking_is_told_later(stack: Stack) -> None:
    server = listen(stack)
    client = TcpSocket(stack, 4)
    with pytest.raises(WouldBlock):
        client.connect(LO4, server.local[1], blocking=False)
    assert client.poll() == W
    client.connect(LO4, server.local[1], blocking=False)
    with pytest.raises(EISCONN):
        client.connect(LO4, server.local[1], blocking=False)


def test_backlog(stack: Stack) -> None:
    server = listen(stack, backlog=1)
    clients = [TcpSocket(stack, 4) for _ in range(4)]
    for client in clients[:2]:
        client.connect(LO4, server.local[1])
    for client in clients[2:]:
        with pytest.raises(WouldBlock):
            client.connect(LO4, server.local[1])
        with pytest.raises(EALREADY):
            client.connect(LO4, server.local[1])
        assert client.state == state.SYN_SENT and client.poll() == 0
    events = watch(clients[2])
    server.accept()
    assert events == [W]
    clients[2].connect(LO4, server.local[1])
    assert clients[2].phase == CONNECTED
    advance(stack, 126)
    assert clients[3].state == state.SYN_SENT
    advance(stack, 2)
    with pytest.raises(ETIMEDOUT):
        clients[3].connect(LO4, server.local[1])


def test_listener_closes_with_connections_in_its_queues(stack: Stack) -> None:
    server = listen(stack, backlog=0)
    queued, waiting = TcpSocket(stack, 4), TcpSocket(stack, 4)
    queued.connect(LO4, server.local[1])
    with pytest.raises(WouldBlock):
        waiting.connect(LO4, server.local[1])
    server.close()
    assert queued.take_error() == ECONNRESET.code
    assert waiting.take_error() == ECONNREFUSED.code
    assert not stack.tcp.connections and not stack.tcp.listeners


def test_urgent_byte(stack: Stack) -> None:
    client, child = pair(stack)
    events = watch(child)
    client.send(b"ab")
    client.send(b"cX", oob=True)
    client.send(b"de")
    assert events[0] == R and events[1] == PRI and events[2] == R | PRI
    assert child.poll() == R | W | PRI and child.unread() == 3
    assert child.receive_oob(peek=True) == b"X" and child.receive_oob() == b"X"
    with pytest.raises(EINVAL):
        child.receive_oob()
    assert not child.at_mark()
    assert read(child) == b"abc" and child.at_mark()
    assert read(child) == b"de" and not child.at_mark()
    with pytest.raises(EINVAL):
        child.receive_oob()


def test_urgent_byte_inline(stack: Stack) -> None:
    client, child = pair(stack)
    child.options.oob_inline = True
    client.send(b"abX", oob=True)
    client.send(b"cd")
    assert read(child) == b"ab" and child.at_mark() and child.unread() == 3
    assert read(child) == b"Xcd" and not child.at_mark()


def test_an_urgent_byte_alone_is_not_readable(stack: Stack) -> None:
    client, child = pair(stack)
    client.send(b"X", oob=True)
    assert child.poll() == W | PRI and child.at_mark()
    with pytest.raises(WouldBlock):
        child.peek(10)
    client.send(b"Y", oob=True)  # the older one is gone
    assert child.receive_oob() == b"Y"
    client.send(b"z")
    assert read(child) == b"z"


def test_port_rules(stack: Stack) -> None:
    server = listen(stack)
    port = server.local[1]
    other = TcpSocket(stack, 4)
    with pytest.raises(EADDRINUSE):
        other.bind(LO4, port)
    with pytest.raises(EADDRINUSE):
        other.bind(ANY4, port)
    client = TcpSocket(stack, 4)
    client.connect(LO4, port)
    child = server.accept()
    server.close()
    child.close()
    client.close()  # the server's end waits in TIME_WAIT
    with pytest.raises(EADDRINUSE):
        other.bind(ANY4, port)
    for socket in (child, other):
        socket.options.reuse_address = True
    with pytest.raises(EADDRINUSE):
        other.bind(ANY4, port)  # what waits had not said so
    advance(stack, 61)
    other.bind(ANY4, port)


def test_time_wait_lets_a_reusing_server_start_again(stack: Stack) -> None:
    server = TcpSocket(stack, 4)
    server.options.reuse_address = True
    server.bind(ANY4, 8080)
    server.listen(5)
    client = TcpSocket(stack, 4)
    client.connect(LO4, 8080)
    child = server.accept()
    server.close()
    child.close()
    client.close()
    again = TcpSocket(stack, 4)
    again.options.reuse_address = True
    again.bind(ANY4, 8080)
    again.listen(5)


def test_dual_stack_and_v6only(stack: Stack) -> None:
    server = TcpSocket(stack, 6)
    server.bind(ANY6, 0)
    server.listen(5)
    for family, address in ((4, LO4), (6, LO6), (6, LO4)):
        client = TcpSocket(stack, family)
        client.connect(address, server.local[1])
        child = server.accept()
        assert child.family == 6 and child.local[0] == address and child.peer == client.local
    server.close()
    server = TcpSocket(stack, 6)
    server.v6only = True
    server.bind(ANY6, 0)
    server.listen(5)
    client = TcpSocket(stack, 4)
    with pytest.raises(ECONNREFUSED):
        client.connect(LO4, server.local[1])


def test_reuse_port_group_shares(stack: Stack) -> None:
    servers: list[TcpSocket] = []
    for _ in range(3):
        server = TcpSocket(stack, 4)
        server.options.reuse_port = True
        server.bind(LO4, servers[0].local[1] if servers else 0)
        server.listen(100)
        servers.append(server)
    for _ in range(90):
        TcpSocket(stack, 4).connect(LO4, servers[0].local[1])
    shares = [server.info().unacked for server in servers]
    assert sum(shares) == 90 and min(shares) > 5


def test_self_connection(stack: Stack) -> None:
    alone = TcpSocket(stack, 4)
    alone.bind(LO4, 5555)
    alone.connect(LO4, 5555)
    assert alone.state == state.ESTABLISHED and alone.peer == alone.local == (LO4, 5555)
    alone.send(b"to me")
    assert read(alone) == b"to me"
    alone.shutdown(2)
    assert alone.peek(1) == b"" and alone.state == state.CLOSE
    assert [entry.state for entry in stack.tcp.connections.values()] == [state.TIME_WAIT]  # type: ignore[attr-defined]


def test_deferred_accept(stack: Stack) -> None:
    server = listen(stack)
    server.options.defer_accept_s = 3
    clients = [TcpSocket(stack, 4) for _ in range(2)]
    for client in clients:
        client.connect(LO4, server.local[1])
    assert server.poll() == 0
    clients[0].send(b"GET")
    assert server.poll() == R and read(server.accept()) == b"GET"
    assert server.poll() == 0
    advance(stack, 4)
    assert server.accept().peer == clients[1].local


def test_orphan_in_fin_wait_2_goes_after_a_while(stack: Stack) -> None:
    client, child = pair(stack)
    client.close()
    assert child.state == state.CLOSE_WAIT and len(stack.tcp.connections) == 2
    advance(stack, 61)
    assert len(stack.tcp.connections) == 1
    child.send(b"x")
    assert child.state == state.CLOSE and child.error == EPIPE.code


def test_shutdown_rules(stack: Stack) -> None:
    with pytest.raises(ENOTCONN):
        TcpSocket(stack, 4).shutdown(2)
    client, child = pair(stack)
    client.send(b"before")
    child.shutdown(1)
    assert child.poll() == R | W | RDHUP
    client.send(b" after")
    assert read(child) == b"before after" and child.peek(1) == b""
    server = listen(stack)
    server.shutdown(1)
    assert server.state == state.CLOSE
    server.listen(1)
    assert server.state == state.LISTEN


def test_disconnect_and_again(stack: Stack) -> None:
    client, child = pair(stack)
    client.disconnect()
    assert child.take_error() == ECONNRESET.code
    assert client.peer[1] == 0 and client.poll() == W | HUP
    server = listen(stack)
    client.connect(LO4, server.local[1])
    client.send(b"x")
    assert read(server.accept()) == b"x"


def test_fresh_socket(stack: Stack) -> None:
    fresh = TcpSocket(stack, 4)
    assert fresh.poll() == W | HUP
    with pytest.raises(ENOTCONN):
        fresh.peek(1)
    with pytest.raises(EPIPE):
        fresh.send(b"x")
    with pytest.raises(EINVAL):
        fresh.accept()
    fresh.close()


def test_info(stack: Stack) -> None:
    client, child = pair(stack)
    client.send(bytes(1000))
    info = client.info()
    assert info.state == state.ESTABLISHED and info.bytes_acked == 1000 and info.snd_mss > 1000
    assert child.info().bytes_received == 1000


@pytest.mark.parametrize("closer", [0, 1])
def test_thousands_of_connections_leave_nothing(stack: Stack, closer: int) -> None:
    server = listen(stack)
    for _ in range(1500):
        client = TcpSocket(stack, 4)
        client.connect(LO4, server.local[1])
        ends = [client, server.accept()]
        ends[closer].close()
        ends[1 - closer].close()
    # The server's TIME_WAIT gives way to a client that comes with the same port.
    assert len(stack.tcp.connections) == 1500 if closer == 0 else len(stack.tcp.connections) > 1000
    advance(stack, 61)
    assert not stack.tcp.connections
    server.close()
    assert not stack.tcp.ports._holders
