"""IP out (RFC 791, RFC 8200): a header in front, fragments where need be, and to the next hop or back to ourselves."""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING

from netstack.errors import EMSGSIZE, ENETDOWN
from netstack.packet import Packet

if TYPE_CHECKING:
    from netstack.flow import Flow
    from netstack.stack import Stack

HEADER4 = Struct("!BBHHHBBH4s4s")
HEADER6 = Struct("!IHBB16s16s")
DF = 0x4000
MAX_PAYLOAD = 65535


class Output:
    """What `stack.send` is."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self._idents = [int.from_bytes(stack.random(2)) for _ in range(256)]  # next Identification, by destination
        self._key = int.from_bytes(stack.random(8))

    def send(
        self, flow: Flow, proto: int, header: bytes, data: bytes | memoryview = b"", *, csum_offset: int = -1,
        ttl: int = 0, tos: int = 0, dont_fragment: bool = False, gso_size: int = 0, options: bytes = b"",
    ) -> None:  # fmt: skip
        """Send a transport's `header` and `data`; EMSGSIZE, ENETDOWN, ENOBUFS."""
        if not flow.iface.up:
            raise ENETDOWN
        if flow.local:
            self._to_self(flow, proto, header, data, csum_offset, ttl, tos, gso_size, options, dont_fragment)

    def _to_self(
        self, flow: Flow, proto: int, header: bytes, data: bytes | memoryview, csum_offset: int, ttl: int, tos: int,
        gso_size: int, options: bytes, dont_fragment: bool,
    ) -> None:  # fmt: skip
        iface = flow.iface
        body = len(options) + len(header) + len(data)
        if body > MAX_PAYLOAD - 20:
            raise EMSGSIZE
        ttl = ttl or self.stack.settings.default_ttl
        if len(flow.dst) == 4:
            version, start = 4, 20 + len(options)
            head = self._header4(flow, proto, 20 + body, ttl, tos, DF if dont_fragment else 0, options)
        else:
            version, start = 6, 40 + len(options)
            head = HEADER6.pack(6 << 28 | tos << 20, body, proto, ttl, flow.src, flow.dst)
        raw = memoryview(b"".join((head, options, header, data)))
        counters = iface.counters
        counters.tx_packets += 1
        counters.tx_bytes += len(raw)
        counters.rx_packets += 1
        counters.rx_bytes += len(raw)
        self.stack.later(Packet(
            iface, version, flow.src, flow.dst, proto, ttl, tos, raw[start:], raw, options, csum_offset >= 0, gso_size,
        ))  # fmt: skip

    def _header4(self, flow: Flow, proto: int, size: int, ttl: int, tos: int, frag: int, options: bytes) -> bytes:
        idents = self._idents
        bucket = hash((flow.dst, self._key)) & 0xFF
        ident = idents[bucket] = idents[bucket] + 1 & 0xFFFF
        first = 0x45 + len(options) // 4
        total = (first << 8) + tos + size + ident + frag + (ttl << 8) + proto + flow.sum
        if options:
            total += int.from_bytes(options)
        return HEADER4.pack(first, tos, size, ident, frag, ttl, proto, 0xFFFF - total % 0xFFFF, flow.src, flow.dst)
