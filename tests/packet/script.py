"""A script language for one TCP of ours against a peer that is the script, after the manner of packetdrill.

    s = Script()                        # a stack with 192.0.2.1; the peer is 192.0.2.2
    sock = s.connect()                  # tells the stack to connect to the peer ...
    s.expect("S 0:0(0) <mss 1460,...>") # ... and looks at what it sends
    s.inject("S. 0:0(0) ack 1 win 5792 <mss 1000,sackOK>")
    s.wait(0.2)                         # time passes, timers run
    s.expect("P. 1:1001(1000) ack 1", after=0.2)     # sent 200 ms after the last expected or injected segment
    s.quiet(1)                          # nothing is sent for a second

A segment is "FLAGS first:last(length) [ack N] [win N] [urg N] <options> [ecn N]": flags of SFRPEWU and "." for ACK,
"-" for none. Sequence numbers of both sides count from their SYN. What `expect` does not name it does not look at, but
flags (other than PSH, unless it is named), sequence numbers and length. Options: mss N, wscale N, sackOK, sack A:B ...,
TS value echo (in milliseconds: the peer's as they stand, ours since its first). "<...>" or nothing: any; "<>": none.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from netstack.errors import WouldBlock
from netstack.iface import Address
from netstack.packet import Offload
from netstack.stack import Stack
from netstack.tcp.socket import TcpSocket
from netstack.wire import checksum, icmp, ipv4, tcp
from tests.unit.netstack.two_hosts import chance

MS = 1_000_000
SECOND = 1000 * MS
OURS, PEER = b"\xc0\0\x02\x01", b"\xc0\0\x02\x02"
PEER_ISS = 0xFFFF_F000  # wraps early
PEER_PORT = 4000
OUR_PORT = 80
FLAGS = {"F": tcp.FIN, "S": tcp.SYN, "R": tcp.RST, "P": tcp.PSH, ".": tcp.ACK, "U": tcp.URG, "E": tcp.ECE, "W": tcp.CWR}
SYNTAX = re.compile(
    r"(?P<flags>[SFRPEWU.]+|-) (?P<first>\d+):(?P<last>\d+)\((?P<size>\d+)\)(?: ack (?P<ack>\d+))?"
    r"(?: win (?P<win>\d+))?(?: urg (?P<urg>\d+))?(?: <(?P<options>[^>]*)>)?(?: ecn (?P<ecn>\d))?"
)
EARLY = 2 * MS  # how exact times are


class Sent(NamedTuple):
    """What the stack has put on the wire: one segment, of those that the device cuts."""

    at_ns: int
    segment: tcp.Segment
    tos: int


class Script:
    """The stack, the peer, and what is between them: nothing."""

    def __init__(self, mtu: int = 1500, gso: bool = False, **settings: object) -> None:
        self.stack = Stack(chance(1), lambda: None)
        self.gso, self.checksum = gso, False
        self.now_ns = self.marked_ns = 1000 * SECOND
        self.stack.now_ns = self.now_ns
        for name, value in settings.items():
            assert hasattr(self.stack.settings, name), name
            setattr(self.stack.settings, name, value)
        self.iface = self.stack.add_interface(b"tun0", self, b"", mtu, "none")
        self.stack.add_address(self.iface, Address(OURS, 24))
        self.stack.settings.ipv6_disable = 1
        self.stack.set_up(self.iface, True)
        self.sent: deque[Sent] = deque()
        self.ports = (OUR_PORT, PEER_PORT)
        self.our_iss = self.our_clock = -1
        self.peer_iss = PEER_ISS

    # The wire.

    def send(self, parts: Sequence[bytes | memoryview], offload: Offload) -> bool:
        frame = b"".join(parts)
        packet = ipv4.parse(memoryview(frame))
        if packet.proto != ipv4.TCP:
            return True
        segment = tcp.parse(packet.payload, -1 if offload.csum_start else checksum.pseudo(packet.src, packet.dst, 6, 0))
        size = offload.gso_size or max(len(segment.payload), 1)
        for at in range(0, max(len(segment.payload), 1), size):
            piece = segment.payload[at : at + size]
            last = at + size >= len(segment.payload)
            flags = segment.flags if last else segment.flags & ~(tcp.PSH | tcp.FIN)
            one = tcp.Segment(
                segment.sport, segment.dport, segment.seq + at & 0xFFFFFFFF, segment.ack, flags, segment.window,
                segment.urgent, segment.options, piece,
            )  # fmt: skip
            self.sent.append(Sent(self.now_ns, one, packet.tos))
        return True

    def settle(self) -> None:
        """Whatever the stack has to do at this time."""
        stack = self.stack
        stack.now_ns = self.now_ns
        stack.advance(self.now_ns)
        for _ in range(1000):
            if not stack.waiting and not 0 <= stack.next_ns() <= self.now_ns:
                return
            stack.advance(self.now_ns)
        raise AssertionError("a timer that is always due")

    def wait(self, seconds: float) -> None:
        """Time passes."""
        end_ns = self.now_ns + round(seconds * SECOND)
        while True:
            self.settle()
            next_ns = self.stack.next_ns()
            if next_ns < 0 or next_ns > end_ns:
                break
            self.now_ns = next_ns
        self.now_ns = end_ns
        self.settle()

    # What the peer does and sees.

    def inject(self, text: str, tos: int = 0, data: bytes = b"") -> None:
        """The peer sends a segment; its data is of `data` or dots."""
        match = SYNTAX.fullmatch(text)
        assert match, text
        size = int(match["size"])
        if "S" not in match["flags"]:
            assert int(match["last"]) - int(match["first"]) == size, text
        seq = self.peer_iss + int(match["first"]) & 0xFFFFFFFF
        ack = self.our_iss + int(match["ack"]) & 0xFFFFFFFF if match["ack"] else 0
        window = int(match["win"] or 32767)
        options = self._pack(match["options"] or "")
        pseudo = checksum.pseudo(PEER, OURS, 6, 0)
        segment = tcp.pack(
            self.ports[1], self.ports[0], seq, ack, _flags(match["flags"]), window, pseudo, options,
            (data or b"." * size)[:size], int(match["urg"] or 0),
        )  # fmt: skip
        packet = ipv4.pack_header(PEER, OURS, ipv4.TCP, len(segment), tos=int(match["ecn"] or tos)) + segment
        self.marked_ns = self.now_ns
        self.stack.now_ns = self.now_ns
        self.stack.receive(self.iface, packet)
        self.settle()

    def icmp(self, kind: int, code: int, sent: Sent, mtu: int = 0) -> None:
        """Somebody on the way answers a segment with an ICMP error."""
        one = sent.segment
        head = tcp.HEADER.pack(one.sport, one.dport, one.seq, one.ack, 0x50, one.flags, one.window, 0, 0)
        quoted = ipv4.pack_header(OURS, PEER, ipv4.TCP, len(head) + len(one.payload), flags=ipv4.DF) + head
        message = icmp.pack(kind, code, mtu, quoted)
        self.stack.now_ns = self.now_ns
        packet = ipv4.pack_header(PEER, OURS, ipv4.ICMP, len(message)) + message
        self.stack.receive(self.iface, packet)
        self.settle()

    def expect(self, text: str, after: float | None = None, within: float = 300.0) -> Sent:
        """The next segment that the stack sends looks like this; time passes until it does."""
        match = SYNTAX.fullmatch(text)
        assert match, text
        sent = self._next(within, text)
        segment = sent.segment
        seen = self.show(sent)
        if segment.flags & tcp.SYN:
            self.our_iss = segment.seq
            if segment.options.timestamps is not None and self.our_clock < 0:
                self.our_clock = segment.options.timestamps[0]
        want = _flags(match["flags"])
        have = segment.flags if "P" in match["flags"] else segment.flags & ~tcp.PSH
        first = segment.seq - self.our_iss & 0xFFFFFFFF
        good = want == have and first == int(match["first"]) and len(segment.payload) == int(match["size"])
        if match["ack"]:
            good = good and segment.ack - self.peer_iss & 0xFFFFFFFF == int(match["ack"])
        if match["win"]:
            good = good and segment.window == int(match["win"])
        if match["urg"]:
            good = good and segment.urgent == int(match["urg"])
        if match["ecn"]:
            good = good and sent.tos & 3 == int(match["ecn"])
        if match["options"] is not None and match["options"] != "...":
            good = good and self._options(segment) == match["options"]
        assert good, f"expected {text}, saw {seen}"
        if after is not None:
            took = (sent.at_ns - self.marked_ns) / SECOND
            assert abs(took - after) <= max(0.002, after * 0.02), f"{text} after {took:.3f} s"
        self.marked_ns = sent.at_ns
        return sent

    def _next(self, within: float, text: str) -> Sent:
        self.settle()
        end_ns = self.now_ns + round(within * SECOND)
        while not self.sent:
            next_ns = self.stack.next_ns()
            assert 0 <= next_ns <= end_ns, f"expected {text}, saw nothing"
            self.now_ns = max(next_ns, self.now_ns)
            self.settle()
        return self.sent.popleft()

    def quiet(self, seconds: float = 0.0) -> None:
        """Nothing more was sent, and nothing is sent for some time."""
        self.wait(seconds)
        assert not self.sent, "; ".join(self.show(sent) for sent in self.sent)

    def show(self, sent: Sent) -> str:
        """A segment in the language of scripts."""
        one = sent.segment
        flags = "".join(name for name in "SFRPEWU" if one.flags & FLAGS[name]) + "." * bool(one.flags & tcp.ACK)
        first = one.seq - self.our_iss & 0xFFFFFFFF if self.our_iss >= 0 else 0
        size = len(one.payload)
        text = f"{flags or '-'} {first}:{first + size}({size})"
        if one.flags & tcp.ACK:
            text += f" ack {one.ack - self.peer_iss & 0xFFFFFFFF}"
        text += f" win {one.window}" + (f" urg {one.urgent}" if one.flags & tcp.URG else "")
        return f"{text} <{self._options(one)}> ecn {sent.tos & 3} at +{(sent.at_ns - self.marked_ns) / SECOND:.3f}"

    def _options(self, segment: tcp.Segment) -> str:
        options = segment.options
        parts = []
        if options.mss is not None:
            parts.append(f"mss {options.mss}")
        if options.sack_permitted:
            parts.append("sackOK")
        if options.timestamps is not None:
            value, echo = options.timestamps
            parts.append(f"TS {value - self.our_clock & 0xFFFFFFFF if self.our_clock >= 0 else 0} {echo}")
        if options.scale is not None:
            parts.append(f"wscale {options.scale}")
        if options.sack:
            start = self.peer_iss
            blocks = [f"{a - start & 0xFFFFFFFF}:{b - start & 0xFFFFFFFF}" for a, b in options.sack]
            parts.append("sack " + " ".join(blocks))
        return ",".join(parts)

    def _pack(self, text: str) -> bytes:
        mss = scale = timestamps = None
        permitted = False
        sack: list[tuple[int, int]] = []
        for part in filter(None, text.split(",")):
            name, *values = part.split()
            if name == "mss":
                mss = int(values[0])
            elif name == "wscale":
                scale = int(values[0])
            elif name == "sackOK":
                permitted = True
            elif name == "TS":
                timestamps = (int(values[0]), int(values[1]) + max(self.our_clock, 0) & 0xFFFFFFFF)
            else:
                assert name == "sack", text
                for block in values:
                    a, b = block.split(":")
                    sack.append((self.our_iss + int(a) & 0xFFFFFFFF, self.our_iss + int(b) & 0xFFFFFFFF))
        return tcp.pack_options(tcp.Options(mss, scale, permitted, tuple(sack), timestamps))

    # Calls.

    def socket(self) -> TcpSocket:
        self.stack.now_ns = self.now_ns
        return TcpSocket(self.stack, 4)

    def connect(self, sock: TcpSocket | None = None) -> TcpSocket:
        """connect(2) to the peer, which has not answered yet."""
        sock = sock or self.socket()
        self.stack.now_ns = self.now_ns
        try:
            sock.connect(PEER, PEER_PORT)
        except WouldBlock:
            pass
        self.ports = (sock.local[1], PEER_PORT)
        return sock

    def listen(self, backlog: int = 5, sock: TcpSocket | None = None) -> TcpSocket:
        sock = sock or self.socket()
        sock.bind(bytes(4), OUR_PORT)
        sock.listen(backlog)
        return sock

    def connected(
        self, options: str = "mss 1000,sackOK,wscale 0", window: int = 32767, rtt: float = 0.0, **flags: object
    ) -> TcpSocket:
        """A connection that the peer has opened; `flags` are options of the socket. All handshaking is over."""
        listener = self.socket()
        for name, value in flags.items():
            assert hasattr(listener.options, name), name
            setattr(listener.options, name, value)
        self.listen(sock=listener)
        self.inject(f"S 0:0(0) win {window} <{options}>")
        answer = self.expect("S. 0:0(0) ack 1")
        self.wait(rtt)
        stamps = answer.segment.options.timestamps
        echo = f"TS {stamps[1]} 0" if stamps is not None else ""
        self.inject(f". 1:1(0) ack 1 win {window} <{echo}>")
        sock = listener.accept()
        listener.close()
        self.quiet()
        return sock

    def write(self, sock: TcpSocket, size: int, more: bool = False, oob: bool = False) -> int:
        """write(2) of that many bytes, as much as is taken."""
        self.stack.now_ns = self.now_ns
        taken = sock.send(b"x" * size, oob, more)
        self.settle()
        return taken

    def read(self, sock: TcpSocket, size: int = 1 << 20) -> bytes:
        """read(2): raises what the socket does."""
        self.stack.now_ns = self.now_ns
        data = bytes(sock.peek(size))
        sock.consume(len(data))
        self.settle()
        return data

    def call(self, what: str, sock: TcpSocket, *values: object) -> object:
        """Any other call on the socket, at this time."""
        self.stack.now_ns = self.now_ns
        answer: object = getattr(sock, what)(*values)
        self.settle()
        return answer


def _flags(text: str) -> int:
    return sum(FLAGS[name] for name in text) if text != "-" else 0
