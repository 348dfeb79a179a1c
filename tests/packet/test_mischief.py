"""A peer that says anything: no exception, bounded memory, bounded answers, and timers that come to an end."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from netstack.errors import NetError
from netstack.wire import checksum, ipv4, tcp
from tests.packet.script import OURS, PEER, SECOND, Script

FLAGS = st.one_of(
    st.sampled_from([tcp.ACK, tcp.ACK | tcp.PSH, tcp.ACK | tcp.FIN, tcp.ACK | tcp.URG, tcp.ACK | tcp.ECE | tcp.CWR]),
    st.integers(0, 255),
)
# Near the numbers that count, and anywhere.
NEAR = st.one_of(st.integers(-3, 3), st.sampled_from([-70_000, -1460, 100, 1000, 30_000, 70_000, 1 << 31]))
OPTIONS = st.one_of(
    st.just(b""),
    st.binary(max_size=40).map(lambda data: data + bytes(-len(data) % 4)),
    st.builds(
        lambda value, echo: tcp.pack_options(tcp.Options(timestamps=(value & 0xFFFFFFFF, echo & 0xFFFFFFFF))),
        st.integers(-5, 5000),
        st.integers(0, 1 << 32),
    ),
)
SIZES = st.sampled_from([0, 0, 1, 3, 100, 1000, 1448, 20_000])


def play(s: Script, sock: Any, data: Any, steps: int) -> None:
    conn = sock.conn
    for _ in range(data.draw(st.integers(1, steps))):
        what = data.draw(st.sampled_from(["segment"] * 6 + ["blocks", "write", "read", "wait", "close", "shut"]))
        try:
            if what == "write":
                s.write(sock, data.draw(st.sampled_from([1, 1000, 100_000])), oob=data.draw(st.booleans()))
            elif what == "read":
                s.read(sock, data.draw(st.sampled_from([1, 1000, 100_000])))
            elif what == "shut":
                s.call("shutdown", sock, 2)
            elif what == "close" and data.draw(st.integers(0, 3)) == 0:
                s.call("close", sock)
        except NetError:
            pass
        if what == "wait":
            s.wait(data.draw(st.sampled_from([0.0, 0.05, 1.0, 30.0])))
        before = len(s.sent)
        if what in ("segment", "blocks"):
            alive = sock.conn is conn
            rcv_nxt = conn.rcv.nxt if alive else 0
            snd = conn.snd.rec.una if alive else 0
            options = data.draw(OPTIONS)
            if what == "blocks":
                pairs = data.draw(st.lists(st.tuples(NEAR, NEAR), min_size=1, max_size=3))
                blocks = tuple((snd + a & 0xFFFFFFFF, snd + b & 0xFFFFFFFF) for a, b in pairs)
                options = tcp.pack_options(tcp.Options(sack=blocks))
            size = data.draw(SIZES)
            packed = tcp.pack(
                s.ports[1], s.ports[0], rcv_nxt + data.draw(NEAR) & 0xFFFFFFFF, snd + data.draw(NEAR) & 0xFFFFFFFF,
                data.draw(FLAGS), data.draw(st.sampled_from([0, 1, 100, 30_000, 65535])),
                checksum.pseudo(PEER, OURS, 6, 0), options, bytes(size), data.draw(st.sampled_from([0, 1, 500, 65535])),
            )  # fmt: skip
            s.stack.receive(
                s.iface, ipv4.pack_header(PEER, OURS, 6, len(packed), tos=data.draw(st.integers(0, 3))) + packed
            )
            s.settle()
            if len(s.sent) - before > 2:  # more than an answer: the window has let data go
                assert sum(len(sent.segment.payload) for sent in list(s.sent)[before:]) > 0
        if sock.conn is conn:
            rec, rcv = conn.snd.rec, conn.rcv
            assert rec.pipe + rec.sacked_bytes + rec.lost_bytes == rec.nxt - rec.una
            assert sum(entry.end - entry.start for entry in rec.ranges) == rec.nxt - rec.una
            assert rec.una <= rec.nxt <= conn.snd.tx.end + 1
            assert len(sock.rx) <= sock.options.receive_buffer
            assert rcv.nxt >= rcv.acked
            assert rec.cc.cwnd >= rec.mss


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(data=st.data(), stamped=st.booleans(), sack=st.booleans(), gso=st.booleans())
def test_a_peer_without_manners(data: Any, stamped: bool, sack: bool, gso: bool) -> None:
    s = Script(gso=gso)
    options = ["mss 1000", "wscale 2", *(["TS 1000 0"] * stamped), *(["sackOK"] * sack)]
    sock = s.connected(options=",".join(options), rtt=0.01)
    play(s, sock, data, 40)
    assert len(s.sent) < 4000
    # Whatever it was: once the owner has closed, all comes to an end.
    s.call("close", sock)
    s.wait(4000)
    assert s.stack.tcp is not None and not s.stack.tcp.connections and not s.stack.tcp.orphans
    assert s.stack.timers.next_ns() == -1


@settings(max_examples=100, deadline=None)
@given(data=st.data(), passive=st.booleans())
def test_a_stranger(data: Any, passive: bool) -> None:
    """The same while a connection is being opened."""
    s = Script()
    if passive:
        s.listen()
        s.inject("S 0:0(0) win 1000 <mss 1000>")
        iss = s.expect("S. 0:0(0) ack 1").segment.seq
    else:
        s.connect()
        iss = s.expect("S 0:0(0)").segment.seq
    for _ in range(data.draw(st.integers(1, 12))):
        segment = tcp.pack(
            s.ports[1], s.ports[0], s.peer_iss + data.draw(NEAR) & 0xFFFFFFFF, iss + data.draw(NEAR) & 0xFFFFFFFF,
            data.draw(FLAGS), data.draw(st.integers(0, 65535)), checksum.pseudo(PEER, OURS, 6, 0), data.draw(OPTIONS),
            bytes(data.draw(SIZES)), data.draw(st.integers(0, 65535)),
        )  # fmt: skip
        s.stack.receive(s.iface, ipv4.pack_header(PEER, OURS, 6, len(segment)) + segment)
        s.settle()
        s.wait(data.draw(st.sampled_from([0.0, 0.01, 2.0])))
    assert len(s.sent) < 100
    assert s.now_ns < 2000 * SECOND
