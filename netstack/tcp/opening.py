"""What both ends agree on with their SYNs (RFC 9293, 3.7.1; RFC 7323; RFC 2018; RFC 3168, 6.1.1), and the segments that
open a connection, by connect(2) or by both ends at once (RFC 9293, 3.5 and 3.10.7.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from netstack.errors import ECONNREFUSED, ETIMEDOUT
from netstack.tcp.state import NEXT, SYN_RECV, SYN_SENT
from netstack.wire.tcp import ACK, CWR, ECE, RST, SYN, Options, Segment, pack_options

if TYPE_CHECKING:
    from netstack.packet import Packet
    from netstack.stack import Stack
    from netstack.tcp.options import TcpOptions
    from netstack.tcp.output import Path
    from netstack.tcp.tcb import Tcb

SYN_TIMEOUT_NS: Final = 1_000_000_000
MAX_SYN_TIMEOUT_NS: Final = 120_000_000_000
DEFAULT_MSS: Final = {4: 536, 16: 1220}  # of a peer that gives none (RFC 9293, 3.7.1; RFC 8200, 5), by address length
LEAST_MSS: Final = 48  # tcp_min_snd_mss


class Terms(NamedTuple):
    """What the peer's SYN offers and we take: `scale` is the shift of its window, None without scaling by both."""

    mss: int
    scale: int | None
    sack: bool
    timestamps: bool
    ecn: bool


def terms(stack: Stack, segment: Segment, address_len: int, ecn: bool) -> Terms:
    """The peer's offer, as far as this stack goes along."""
    options, settings = segment.options, stack.settings
    mss = options.mss if options.mss is not None else DEFAULT_MSS[address_len]
    return Terms(
        max(mss, LEAST_MSS),
        options.scale if settings.tcp_window_scaling else None,
        options.sack_permitted and bool(settings.tcp_sack),
        options.timestamps is not None and bool(settings.tcp_timestamps),
        ecn,
    )


def advertised_mss(path: Path, options: TcpOptions) -> int:
    """What the peer may send: what the device takes (RFC 6691), at most TCP_MAXSEG."""
    mss = min(path.flow.mtu, 65535) - (40 if len(path.flow.dst) == 4 else 60)
    return min(mss, options.maxseg) if options.maxseg else mss


def receive_scale(stack: Stack, options: TcpOptions) -> int:
    """The shift of our own window: for the largest that the buffer may grow to."""
    settings = stack.settings
    space = max(settings.tcp_rmem[2], settings.rmem_max)
    if options.receive_locked:
        space = options.receive_buffer >> 1
    if options.window_clamp:
        space = min(space, options.window_clamp)
    return min(max(space.bit_length() - 16, 0), 14)


def first_window(options: TcpOptions) -> int:
    """What a SYN says, unscaled."""
    window = options.receive_buffer >> 1
    if options.window_clamp:
        window = min(window, options.window_clamp)
    return min(window, 65535)


def syn_options(
    stack: Stack, path: Path, options: TcpOptions, answer: Terms | None, stamp: int, echo: int, scale: int
) -> bytes:
    """Options of a SYN (`answer` None: everything that we can do) or of the answer to one (what was offered)."""
    settings = stack.settings
    if answer is None:
        scaling, sack, stamps = settings.tcp_window_scaling, settings.tcp_sack, settings.tcp_timestamps
    else:
        scaling, sack, stamps = answer.scale is not None, answer.sack, answer.timestamps
    return pack_options(
        Options(
            mss=advertised_mss(path, options),
            scale=scale if scaling else None,
            sack_permitted=bool(sack),
            timestamps=(stamp, echo) if stamps else None,
        )
    )


# A connection in SYN_SENT, or after a simultaneous open in SYN_RECV.


def send_syn(tcb: Tcb) -> None:
    """Our SYN, the first time or again; with the acknowledgement of the peer's, if that has come."""
    stack, options = tcb.stack, tcb.socket.options
    both = tcb.socket.state == SYN_RECV
    flags = SYN | ACK if both else SYN
    if both:
        flags |= ECE if tcb.ecn else 0
    elif stack.settings.tcp_ecn == 1 and not tcb.syn_tries:
        flags |= ECE | CWR
    packed = syn_options(
        stack, tcb.path, options, tcb.terms if both else None, tcb.stamp(), tcb.ts_recent, tcb.own_scale
    )
    tcb.path.emit(tcb.iss, tcb.irs + 1 if both else 0, flags, first_window(options), packed)
    timeout_ns = min(SYN_TIMEOUT_NS << tcb.syn_tries, MAX_SYN_TIMEOUT_NS)
    tcb.syn_tries += 1
    tcb.clock.set(stack.now_ns + timeout_ns)


def syn_expired(tcb: Tcb) -> None:
    """No answer: again, or no more (tcp_syn_retries, TCP_SYNCNT, TCP_USER_TIMEOUT)."""
    stack, options = tcb.stack, tcb.socket.options
    retries = options.syn_count if options.syn_count >= 0 else stack.settings.tcp_syn_retries
    waited_ms = (stack.now_ns - tcb.began_ns) // 1_000_000
    if tcb.syn_tries > retries or 0 < options.user_timeout_ms <= waited_ms:
        stack.counters.tcp["AttemptFails"] += 1
        tcb.end(tcb.socket.soft_error or ETIMEDOUT.code)
        return
    stack.counters.tcp["RetransSegs"] += 1
    send_syn(tcb)


def answer_to_syn(tcb: Tcb, packet: Packet, segment: Segment) -> None:
    """A segment in SYN_SENT (RFC 9293, 3.10.7.3)."""
    stack, socket = tcb.stack, tcb.socket
    flags = segment.flags
    stamps = segment.options.timestamps
    if flags & ACK:
        if segment.ack != tcb.iss + 1 & 0xFFFFFFFF:
            tcb.refuse_ack(segment)
            return
        if stamps is not None and stamps[1] and not tcb.echo_is_ours(stamps[1]):
            tcb.refuse_ack(segment)
            return
    if flags & RST:
        if flags & ACK:
            stack.counters.tcp["AttemptFails"] += 1
            tcb.end(ECONNREFUSED.code)
        return
    if not flags & SYN:
        return
    tcb.irs = segment.seq
    ecn = stack.settings.tcp_ecn == 1 and flags & (ECE | CWR) == ECE
    if not flags & ACK:
        ecn = stack.settings.tcp_ecn != 0 and flags & (ECE | CWR) == ECE | CWR
    tcb.agree(terms(stack, segment, len(tcb.path.flow.dst), ecn))
    if stamps is not None:
        tcb.ts_recent = stamps[0]
        tcb.ts_recent_ns = stack.now_ns
    if flags & ACK:
        tcb.prepare(segment.window)
        socket.state = NEXT[SYN_SENT]["syn_ack"]
        tcb.opened(stack.now_ns - tcb.began_ns if tcb.syn_tries == 1 else 0)
        tcb.send_ack()
    else:
        socket.state = NEXT[SYN_SENT]["syn"]
        tcb.prepare(segment.window)
        tcb.syn_tries = 0
        send_syn(tcb)
