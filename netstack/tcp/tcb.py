"""One connection over packets: segments that arrive, in the order of RFC 9293, 3.10.7.4, with the checks of RFC 5961
and RFC 7323 and the manners of Linux. Sending is in `sender`, receiving in `receiver`, opening in `opening`.

Sequence numbers that do not wrap ("positions") are used from the SYN on; the wire's 32 bits are continued where they
come in. Nothing that a segment says raises.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Final

from netstack.errors import ETIMEDOUT
from netstack.packet import IcmpError, Packet
from netstack.tcp import arrival, keepalive, opening
from netstack.tcp.alarm import Alarm
from netstack.tcp.info import TcpInfo
from netstack.tcp.opening import Terms
from netstack.tcp.output import Path
from netstack.tcp.receiver import Receiver
from netstack.tcp.report import report
from netstack.tcp.scoreboard import unwrap
from netstack.tcp.sender import Sender
from netstack.tcp.state import (
    CLOSE,
    FIN_WAIT1,
    LAST_ACK,
    NEXT,
    OPENING,
    SYN_SENT,
)
from netstack.tcp.table import key_of
from netstack.wire.tcp import ACK, ECE, RST, Options, Segment, pack_options

if TYPE_CHECKING:
    from netstack.flow import Flow
    from netstack.tcp.socket import TcpSocket

MASK: Final = 0xFFFFFFFF
HALF: Final = 0x80000000
MILLISECOND: Final = 1_000_000
_STAMPS: Final = Struct("!III")
_NOP_NOP_STAMPS: Final = 0x0101080A


class Tcb:
    """iss, irs    the initial sequence numbers
    terms       what was agreed on
    own_scale   shift of our window, 0 without scaling
    ts_recent   the peer's timestamp to echo, and when it came
    ece_due     the peer is to hear of a router's mark until it says that it has (RFC 3168, 6.1.3)
    orphan      no socket is open for it any more
    clock       alarm of everything but data: SYNs, keepalive, orphans
    heard_ns    when the last segment came
    """

    __slots__ = (
        "_ack_due", "began_ns", "challenged_ns", "clock", "ece_due", "ecn", "heard_ns", "irs", "iss", "keep_probes",
        "key", "orphan", "own_scale", "path", "rcv", "segments_in", "segments_out", "snd", "socket", "stack",
        "syn_tries", "table", "terms", "ts_offset", "ts_recent", "ts_recent_ns",
    )  # fmt: skip

    rcv: Receiver
    snd: Sender

    def __init__(self, socket: TcpSocket, flow: Flow) -> None:
        self.socket = socket
        self.stack = stack = socket.stack
        self.table = table = socket.table
        self.path = Path(stack, flow, socket.local[1], socket.peer[1], socket.options)
        self.key = key_of(socket.local, socket.peer)
        self.irs = 0
        self.terms = Terms(0, None, False, False, False)
        self.own_scale = 0
        self.ts_offset = table.sequences.stamp_offset(self.key)
        self.ts_recent = 0
        self.ts_recent_ns = 0
        self.ecn = self.ece_due = self.orphan = self._ack_due = False
        self.syn_tries = self.keep_probes = 0
        self.segments_in = self.segments_out = 0
        self.began_ns = self.heard_ns = stack.now_ns
        self.challenged_ns = -1_000_000_000
        self.clock = Alarm(stack.timers, self._ring)
        self.iss = table.displace(self.key)  # -1: to be chosen
        table.connections[self.key] = self
        socket.conn = self

    # Opening.

    def open(self) -> None:
        """Send a SYN."""
        if self.iss < 0:
            self.iss = self.table.initial(self.key)
        self.own_scale = opening.receive_scale(self.stack, self.socket.options)
        self.stack.counters.tcp["ActiveOpens"] += 1
        opening.send_syn(self)

    def agree(self, terms: Terms) -> None:
        self.terms = terms
        self.ecn = terms.ecn
        if terms.scale is None:
            self.own_scale = 0

    def prepare(self, window: int) -> None:
        """Both sequence numbers are known. `window` is the peer's, unscaled as every SYN's."""
        terms = self.terms
        first = opening.first_window(self.socket.options)
        self.rcv = Receiver(self, self.irs + 1, first, self.own_scale, opening.DEFAULT_MSS[len(self.path.flow.dst)])
        self.socket.rx.drop(self.irs + 1)
        self.snd = Sender(self, self.iss + 1, window, terms.scale or 0, self.current_mss(), terms.sack)
        self.snd.wl1 = self.irs
        self.snd.wl2 = self.iss

    def opened(self, rtt_ns: int) -> None:
        """Established; `rtt_ns` is the handshake's round trip, 0 when it is not known."""
        now_ns = self.stack.now_ns
        rtt = self.snd.rtt
        if rtt_ns:
            rtt.sample(rtt_ns, now_ns)
        elif self.syn_tries > 1:
            rtt.seed(3_000_000_000)
        self.clock.deadline_ns = -1
        keepalive.start(self)
        self.socket.established()

    def current_mss(self) -> int:
        """Data bytes in a full segment: what the path and the peer take, less the timestamps."""
        flow = self.path.flow
        mss = min(self.path.mtu - (40 if len(flow.dst) == 4 else 60), self.terms.mss)
        if self.socket.options.maxseg:
            mss = min(mss, self.socket.options.maxseg)
        if self.terms.timestamps:
            mss -= 12
        return max(mss, 36)

    # Timestamps.

    def stamp(self) -> int:
        return (self.stack.now_ns // MILLISECOND + self.ts_offset) & MASK

    def echo_is_ours(self, echo: int) -> bool:
        """The timestamp echoed is one that we can have sent (RFC 7323, 3.2)."""
        return (echo - self.ts_offset - self.began_ns // MILLISECOND) & MASK <= (
            self.stack.now_ns - self.began_ns
        ) // MILLISECOND + 1

    def echo_ns(self, echo: int) -> int:
        if not echo:
            return -1
        now_ms = self.stack.now_ns // MILLISECOND
        return unwrap((echo - self.ts_offset) & MASK, now_ms) * MILLISECOND

    # Segments out.

    def emit(
        self, seq: int, flags: int, data: bytes | memoryview = b"", gso_size: int = 0, urgent: int = 0, ecn: int = 0
    ) -> bool:
        """A segment with everything that all of this connection have. False when it has certainly not left."""
        rcv = self.rcv
        if self.ece_due:
            flags |= ECE
        window = rcv.window()
        order = rcv.order
        stamped = self.terms.timestamps
        if not data and self.terms.sack and (order.ranges or order.doubled):
            stamps = (self.stamp(), self.ts_recent) if stamped else None
            blocks = tuple((start & MASK, end & MASK) for start, end in order.blocks())
            options = pack_options(Options(sack=blocks, timestamps=stamps))
        elif stamped:
            now_ms = self.stack.now_ns // MILLISECOND
            options = _STAMPS.pack(_NOP_NOP_STAMPS, (now_ms + self.ts_offset) & MASK, self.ts_recent)
        else:
            options = b""
        self.segments_out += 1
        sent = self.path.emit(seq, rcv.nxt, flags, window, options, data, gso_size, urgent, ecn)
        if sent:
            rcv.told(self.stack.now_ns)
            self._ack_due = False
        return sent

    def send_ack(self) -> None:
        """An acknowledgement alone."""
        self._ack_due = False
        if not self.emit(self.snd.rec.nxt, ACK):
            self.rcv.told(self.stack.now_ns)  # lost, as if the network had lost it

    def ack_soon(self) -> None:
        """An acknowledgement goes when the segment that is being looked at is done with, if no data has taken it."""
        self._ack_due = True

    def challenge(self) -> None:
        """An acknowledgement for a segment that may be forged (RFC 5961, 7): not too many of them."""
        now_ns = self.stack.now_ns
        limit_ns = self.stack.settings.tcp_invalid_ratelimit * MILLISECOND
        if now_ns - self.challenged_ns < limit_ns or not self.table.may_challenge():
            return
        self.challenged_ns = now_ns
        self.count("TCPChallengeACK")
        self.send_ack()

    def refuse_ack(self, segment: Segment) -> None:
        """An acknowledgement of what was never sent, while opening: a reset, unless it is one."""
        if not segment.flags & RST:
            self.stack.counters.tcp["OutRsts"] += 1
            self.path.emit(segment.ack, 0, RST, 0)

    def send_reset(self) -> None:
        self.stack.counters.tcp["OutRsts"] += 1
        self.path.emit(self.snd.rec.nxt, self.rcv.nxt, RST | ACK, 0)

    # Segments in.

    def segment(self, packet: Packet, segment: Segment) -> None:
        """A segment of this connection. What was received is acknowledged, and what it lets go is sent, at the end."""
        self.segments_in += 1
        options = self.socket.options
        if packet.ttl < (options.minimum_ttl if packet.version == 4 else options.minimum_hops):
            self.count("TCPMinTTLDrop")  # it has come further than a neighbour's would (RFC 5082)
            return
        if self.socket.state == SYN_SENT:
            opening.answer_to_syn(self, packet, segment)
            return
        arrival.look(self, packet, segment)
        if self.socket.conn is not self:
            return
        snd = self.snd
        rec = snd.rec
        if snd.tx.end > rec.nxt or rec.lost_bytes or snd.fin and snd.tx.end == rec.nxt:
            snd.push()
        else:
            snd.alarm.set(rec.deadline_ns)
        if self._ack_due:
            self.send_ack()

    def time_wait(self) -> None:
        """Wait without us."""
        if self._ack_due:
            self.send_ack()
        waits = self.table.time_waits
        entry = waits.add(self.key, self.socket)
        entry.over_packets(self)
        self.end()

    def icmp(self, error: IcmpError, seq: int) -> bool:
        return arrival.icmp(self, error, seq)

    # As a socket's connection.

    def send(self, data: bytes | memoryview, oob: bool, more: bool) -> int:
        return self.snd.send(data, oob, more)

    def consumed(self) -> None:
        self.rcv.consumed()

    def writable(self) -> bool:
        return self.snd.writable()

    def unsent(self) -> int:
        return 0 if self.socket.state in OPENING else self.snd.unsent()

    def unacknowledged(self) -> int:
        """With the FIN, as Linux counts."""
        if self.socket.state in OPENING:
            return 0
        snd = self.snd
        return snd.tx.end - snd.rec.una + snd.fin if snd.rec.una <= snd.tx.end else 0

    def shutdown(self) -> None:
        """No more data from us: FIN behind what is queued."""
        socket = self.socket
        target = NEXT[socket.state].get("close")
        if target in (FIN_WAIT1, LAST_ACK):
            socket.state = target
            self.snd.fin = True
            self.snd.push()

    def close(self) -> None:
        """The owner is gone; the connection goes on until the peer has got everything, but not for ever."""
        socket = self.socket
        if socket.state == SYN_SENT:
            self.end()
            return
        self.shutdown()
        if not keepalive.orphan(self):
            self.send_reset()
            self.end()

    def abort(self) -> None:
        """RST."""
        if self.socket.state not in (SYN_SENT, CLOSE):
            self.send_reset()
        self.end()

    def end(self, code: int = 0) -> None:
        """The connection is no more."""
        self.clock.stop()
        socket = self.socket
        if socket.conn is not self:
            return
        if socket.state != SYN_SENT:
            self.snd.alarm.stop()
            self.rcv.delay.stop()
            self.rcv.order.clear()
            self.snd.tx.clear()
        if self.table.connections.get(self.key) is self:
            del self.table.connections[self.key]
        if self.orphan:
            self.orphan = False
            self.table.orphans -= 1
        socket.over(code)

    def gives_up(self, count: int, since_ns: int, probing: bool = False) -> bool:
        """The peer has not answered `count` times since `since_ns`: end it, if that is enough."""
        if keepalive.patient(self, count, since_ns, probing):
            return False
        self.count("TCPAbortOnTimeout")
        self.end(self.socket.soft_error or ETIMEDOUT.code)
        return True

    def _ring(self) -> None:
        if self.socket.state in OPENING:
            opening.syn_expired(self)
        else:
            keepalive.expired(self)

    def reusable(self) -> bool:
        return False

    @property
    def state(self) -> int:
        return self.socket.state

    def set_option(self, name: str) -> None:
        """An option was set: what it changes at once."""
        if self.socket.state in OPENING:
            return
        if name == "nodelay":
            self.snd.push_held()
        elif name == "cork":
            self.snd.push()
        elif name == "quick_ack":
            self.rcv.set_quick(self.socket.options.quick_ack)
        elif name == "maxseg":
            self.snd.path_changed()
        elif name == "keepalive" or name.startswith("keep_"):
            keepalive.start(self)

    def info(self) -> TcpInfo:
        return report(self)

    def count(self, name: str) -> None:
        """/proc/net/netstat."""
        group = self.stack.counters.tcp_ext
        group[name] = group.get(name, 0) + 1
