"""A segment that arrives for a connection, in the order of RFC 9293, 3.10.7.4, with the checks of RFC 5961 and RFC 7323
and the manners of Linux; and ICMP errors about one that was sent. Nothing that a segment says raises."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from netstack.errors import ECONNRESET, EPIPE
from netstack.packet import IcmpError, Packet
from netstack.poll import HUP, IN, RDNORM
from netstack.socket.error_queue import meaning, too_big
from netstack.tcp import keepalive, output
from netstack.tcp.scoreboard import unwrap
from netstack.tcp.state import (
    CLOSE_WAIT,
    CLOSING,
    ESTABLISHED,
    FIN_WAIT1,
    FIN_WAIT2,
    LAST_ACK,
    MAY_RECEIVE,
    NEXT,
    OPENING,
    SYN_RECV,
    SYN_SENT,
    TIME_WAIT,
)
from netstack.wire.tcp import ACK, CWR, ECE, FIN, RST, SYN, URG, Segment

if TYPE_CHECKING:
    from netstack.tcp.tcb import Tcb

MASK: Final = 0xFFFFFFFF
HALF: Final = 0x80000000
PAWS_AGE_NS: Final = 24 * 86_400_000_000_000  # after which a peer's timestamp may have come around (RFC 7323, 5.5)
MARKED: Final = 3  # "congestion experienced" in the traffic class (RFC 3168, 5)


def look(tcb: Tcb, packet: Packet, segment: Segment) -> None:
    """Take what the segment brings; answers wait until the caller sends them."""
    rcv, socket = tcb.rcv, tcb.socket
    now_ns = tcb.stack.now_ns
    flags, payload, options = segment.flags, segment.payload, segment.options
    size = len(payload)
    nxt = rcv.nxt
    seq = nxt + ((segment.seq - nxt + HALF) & MASK) - HALF
    end = seq + size + (flags & FIN) + (flags >> 1 & 1)
    stamps = options.timestamps if tcb.terms.timestamps else None
    if (
        stamps is not None
        and (stamps[0] - tcb.ts_recent) & MASK >= HALF
        and not flags & RST
        and now_ns - tcb.ts_recent_ns < PAWS_AGE_NS
    ):
        tcb.count("PAWSEstab")
        unacceptable(tcb, flags, seq, end, size)
        return
    if end < rcv.acked or seq > max(rcv.edge, nxt):
        unacceptable(tcb, flags, seq, end, size)
        return
    if flags & (RST | SYN):
        if flags & RST:
            reset_came(tcb, seq)
            return
        if not (socket.state == SYN_RECV and flags & ACK and seq + 1 == nxt == end):
            tcb.count("TCPSYNChallenge")
            tcb.challenge()
            return
    if not flags & ACK:
        return
    tcb.heard_ns = now_ns
    tcb.keep_probes = 0
    if stamps is not None and seq <= rcv.acked:
        tcb.ts_recent = stamps[0]
        tcb.ts_recent_ns = now_ns
    if not acknowledged(tcb, segment, seq, size, stamps, now_ns):
        return
    if tcb.ecn:
        if flags & CWR:
            tcb.ece_due = False
        if packet.tos & 3 == MARKED:
            tcb.ece_due = True
    if flags & URG and segment.urgent and socket.state in MAY_RECEIVE:
        socket.urge(seq + segment.urgent - 1)
    if size:
        data(tcb, packet, segment, seq, now_ns)
        if socket.conn is not tcb:
            return
    if flags & FIN and end - 1 <= rcv.edge:
        if end - 1 > rcv.nxt:
            rcv.fin_at = end - 1
            rcv.acknowledge_now()
        elif end - 1 < rcv.nxt:
            rcv.acknowledge_now()
        else:
            rcv.fin_at = end - 1
    if rcv.fin_at == rcv.nxt:
        finished(tcb)


def unacceptable(tcb: Tcb, flags: int, seq: int, end: int, size: int) -> None:
    """Not in the window, or too old: an acknowledgement says what is expected (RFC 9293, 3.10.7.4)."""
    if flags & RST:
        return
    if flags & SYN:
        tcb.count("TCPSYNChallenge")
        tcb.challenge()
    elif size or flags & FIN:
        if size and seq < tcb.rcv.nxt:
            tcb.rcv.order.doubled = (seq, min(end, tcb.rcv.nxt)) if tcb.stack.settings.tcp_dsack else None
        tcb.rcv.quick = max(tcb.rcv.quick, 1)
        tcb.ack_soon()
    else:
        tcb.challenge()


def reset_came(tcb: Tcb, seq: int) -> None:
    """RST (RFC 5961, 3.2): exactly where the next byte is expected, else it may be forged. Behind a FIN that we
    have got the peer may not count it."""
    nxt, state = tcb.rcv.nxt, tcb.socket.state
    if seq != nxt and not (seq == nxt - 1 and state in (CLOSE_WAIT, LAST_ACK, CLOSING)):
        tcb.challenge()
        return
    tcb.stack.counters.tcp["EstabResets"] += state in (ESTABLISHED, CLOSE_WAIT)
    tcb.end(EPIPE.code if state == CLOSE_WAIT else ECONNRESET.code)


def acknowledged(tcb: Tcb, segment: Segment, seq: int, size: int, stamps: tuple[int, int] | None, now_ns: int) -> bool:
    """The acknowledgement; False when the rest of the segment does not count."""
    snd, socket = tcb.snd, tcb.socket
    rec = snd.rec
    una = rec.una
    ack = una + ((segment.ack - una + HALF) & MASK) - HALF
    if ack > rec.nxt:
        if socket.state == SYN_RECV:
            tcb.refuse_ack(segment)
        else:
            tcb.challenge()
        return False
    if ack < una:
        if socket.state == SYN_RECV:
            tcb.refuse_ack(segment)
            return False
        if ack < una - snd.max_wnd:  # too old to be true (RFC 5961, 5.2)
            tcb.challenge()
            return False
        return True
    flags = segment.flags
    if socket.state == SYN_RECV:
        socket.state = NEXT[SYN_RECV]["ack"]
        tcb.opened(now_ns - tcb.began_ns if tcb.syn_tries == 1 else 0)
    sacks = segment.options.sack
    blocks = [(unwrap(start, una), unwrap(end, una)) for start, end in sacks] if sacks else []
    window = segment.window if flags & SYN else segment.window << snd.scale
    echo_ns = -1 if stamps is None else tcb.echo_ns(stamps[1])
    snd.acked(ack, seq, window, blocks, echo_ns, tcb.ecn and bool(flags & ECE), not (size or flags & (SYN | FIN)))
    if snd.fin and rec.una > snd.tx.end and socket.state in (FIN_WAIT1, CLOSING, LAST_ACK):
        fin_acknowledged(tcb)
    return socket.conn is tcb


def data(tcb: Tcb, packet: Packet, segment: Segment, seq: int, now_ns: int) -> None:
    rcv, socket, payload = tcb.rcv, tcb.socket, segment.payload
    if socket.state not in MAY_RECEIVE:
        rcv.acknowledge_now()  # behind a FIN there is nothing
        return
    if socket.closed and seq + len(payload) > rcv.nxt:
        # Nobody is left to read it, and the peer must know (RFC 9293, 3.6.1; RFC 2525, 2.17).
        tcb.count("TCPAbortOnData")
        output.reset(tcb.stack, packet, segment)
        tcb.end(ECONNRESET.code)
        return
    before = rcv.nxt
    rcv.data(seq, payload, packet.gso_size, now_ns)
    if rcv.nxt != before:
        socket.urgent_came()
        socket.notify(IN | RDNORM)


def finished(tcb: Tcb) -> None:
    """The peer's FIN, with everything before it."""
    rcv, socket = tcb.rcv, tcb.socket
    rcv.fin_at = -1
    if socket.state not in MAY_RECEIVE:
        rcv.acknowledge_now()
        return
    rcv.nxt += 1
    rcv.order.clear()
    rcv.acknowledge_now()
    socket.state = NEXT[socket.state]["fin"]
    socket.peer_done()
    if socket.state == TIME_WAIT:
        tcb.time_wait()


def fin_acknowledged(tcb: Tcb) -> None:
    socket = tcb.socket
    socket.state = NEXT[socket.state]["ack_of_fin"]
    if socket.state == FIN_WAIT2:
        if socket.closed:
            socket.notify(HUP)  # close(2) with a linger time waits for this
            if not keepalive.wait_for_fin(tcb):
                tcb.send_reset()
                tcb.end()
    elif socket.state == TIME_WAIT:
        tcb.time_wait()
    else:
        tcb.end()


def icmp(tcb: Tcb, error: IcmpError, seq: int) -> bool:
    """An ICMP error about one of our segments; False for one that is not under way (RFC 5927, 4.1). Only while opening
    it ends anything (RFC 1122, 4.2.3.9, as Linux reads it); later it is the reason given when we lose patience."""
    socket = tcb.socket
    if socket.state == SYN_SENT:
        low = high = tcb.iss
    else:
        low, high = tcb.snd.rec.una, tcb.snd.rec.nxt
    if not low <= unwrap(seq, low) <= high:
        tcb.count("OutOfWindowIcmps")
        return False
    if too_big(error):
        tcb.path.too_big = True
        if socket.state not in OPENING:
            tcb.snd.push()
        return True
    code, _ = meaning(error)
    if not code:
        return True
    options = socket.options
    if socket.state in OPENING:
        tcb.stack.counters.tcp["AttemptFails"] += 1
        tcb.end(code)
    elif options.receive_errors if error.version == 4 else options.receive_errors6:
        socket.fail(code)
    else:
        socket.soft_error = code
    return True
