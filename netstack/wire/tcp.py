"""TCP headers and options (RFC 9293, 3.1 and 3.2; RFC 7323, RFC 2018, RFC 7413)."""

from __future__ import annotations

import struct
from typing import NamedTuple

from netstack.errors import BadPacket
from netstack.wire import checksum

HEADER = struct.Struct("!HHIIBBHHH")
HEADER_LEN = 20
CSUM_OFFSET = 16
FIN, SYN, RST, PSH, ACK, URG, ECE, CWR = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80
OPT_END, OPT_NOP, OPT_MSS, OPT_SCALE, OPT_SACK_PERMITTED, OPT_SACK, OPT_TIMESTAMPS, OPT_FAST_OPEN = (
    0, 1, 2, 3, 4, 5, 8, 34,
)  # fmt: skip
MAX_OPTIONS_LEN = 40

_WITH_TIMESTAMPS = struct.Struct("!HHIIBBHHHIII")  # NOP NOP timestamps: what nearly every segment has
_TIMESTAMPS = struct.Struct("!III")
_NOP_NOP_TIMESTAMPS = 0x0101080A
_PAIR = struct.Struct("!II")


class Options(NamedTuple):
    """Options that were there; None for those that were not. `fast_open` is the cookie, empty for a request."""

    mss: int | None = None
    scale: int | None = None
    sack_permitted: bool = False
    sack: tuple[tuple[int, int], ...] = ()
    timestamps: tuple[int, int] | None = None  # value, echo
    fast_open: bytes | None = None


NO_OPTIONS = Options()


class Segment:
    """A segment as it came; `flags` are FIN SYN RST PSH ACK URG ECE CWR, `window` is not scaled yet."""

    __slots__ = ("ack", "dport", "flags", "options", "payload", "seq", "sport", "urgent", "window")

    def __init__(
        self, sport: int, dport: int, seq: int, ack: int, flags: int, window: int, urgent: int, options: Options,
        payload: memoryview,
    ) -> None:  # fmt: skip
        self.sport = sport
        self.dport = dport
        self.seq = seq
        self.ack = ack
        self.flags = flags
        self.window = window
        self.urgent = urgent
        self.options = options
        self.payload = payload

    def __repr__(self) -> str:
        names = "".join(name for bit, name in enumerate("FSRPAUEC") if self.flags >> bit & 1)
        return (
            f"Segment({self.sport}>{self.dport} {names} seq {self.seq} ack {self.ack} win {self.window} "
            f"len {len(self.payload)})"
        )


def parse(data: memoryview, pseudo: int = -1) -> Segment:
    """Read a segment. `pseudo` is the pseudo-header's sum but for the length; -1 when the checksum is known good."""
    length = len(data)
    if length < 20:
        raise BadPacket("tcp header is short", length)
    sport, dport, seq, ack, offset, flags, window, _, urgent = HEADER.unpack_from(data)
    header_len = offset >> 4 << 2
    if not 20 <= header_len <= length:
        raise BadPacket("tcp header length", header_len)
    if pseudo >= 0 and checksum.partial(data, pseudo + length) != 0xFFFF:
        raise BadPacket("tcp checksum")
    if header_len == 20:
        return Segment(sport, dport, seq, ack, flags, window, urgent, NO_OPTIONS, data[20:])
    if header_len == 32:
        kind, value, echo = _TIMESTAMPS.unpack_from(data, 20)
        if kind == _NOP_NOP_TIMESTAMPS:
            options = Options(None, None, False, (), (value, echo), None)
            return Segment(sport, dport, seq, ack, flags, window, urgent, options, data[32:])
    return Segment(
        sport, dport, seq, ack, flags, window, urgent, parse_options(bytes(data[20:header_len])), data[header_len:]
    )


def parse_options(data: bytes) -> Options:
    """Read options. One that leaves the header is bad; one whose length is wrong for its kind is passed over, as
    unknown ones are (RFC 9293, 3.2)."""
    mss: int | None = None
    scale: int | None = None
    permitted = False
    sack: tuple[tuple[int, int], ...] = ()
    timestamps: tuple[int, int] | None = None
    fast_open: bytes | None = None
    at, end = 0, len(data)
    while at < end:
        kind = data[at]
        if kind == OPT_NOP:
            at += 1
            continue
        if kind == OPT_END:
            break
        if at + 1 >= end:
            raise BadPacket("tcp option is short", kind)
        length = data[at + 1]
        if length < 2 or at + length > end:
            raise BadPacket("tcp option length", (kind, length))
        if kind == OPT_MSS and length == 4:
            mss = data[at + 2] << 8 | data[at + 3]
        elif kind == OPT_SCALE and length == 3:
            scale = min(data[at + 2], 14)  # RFC 7323, 2.3: larger ones are taken as 14
        elif kind == OPT_SACK_PERMITTED and length == 2:
            permitted = True
        elif kind == OPT_SACK and length >= 10 and not (length - 2) % 8:
            sack = tuple(_PAIR.iter_unpack(data[at + 2 : at + length]))
        elif kind == OPT_TIMESTAMPS and length == 10:
            timestamps = _PAIR.unpack_from(data, at + 2)
        elif kind == OPT_FAST_OPEN and (length == 2 or 6 <= length <= 18 and not length & 1):
            fast_open = data[at + 2 : at + length]
        at += length
    return Options(mss, scale, permitted, sack, timestamps, fast_open)


def pack_options(options: Options) -> bytes:
    """Options in the order and with the padding that Linux sends, as many SACK blocks as fit."""
    parts = []
    if options.mss is not None:
        parts.append(bytes((OPT_MSS, 4)) + options.mss.to_bytes(2, "big"))
    if options.timestamps is not None:
        lead = b"\x04\x02" if options.sack_permitted else b"\x01\x01"
        parts.append(lead + b"\x08\x0a" + _PAIR.pack(*options.timestamps))
    elif options.sack_permitted:
        parts.append(b"\x01\x01\x04\x02")
    if options.scale is not None:
        parts.append(bytes((OPT_NOP, OPT_SCALE, 3, options.scale)))
    if options.fast_open is not None:
        cookie = bytes((OPT_FAST_OPEN, 2 + len(options.fast_open))) + options.fast_open
        parts.append(cookie + b"\x01" * (-len(cookie) & 3))
    if options.sack:
        room = (MAX_OPTIONS_LEN - sum(map(len, parts)) - 4) // 8
        blocks = options.sack[:room]
        if blocks:
            packed = b"".join([_PAIR.pack(*block) for block in blocks])
            parts.append(bytes((OPT_NOP, OPT_NOP, OPT_SACK, 2 + len(packed))) + packed)
    return b"".join(parts)


def pack_header(
    sport: int, dport: int, seq: int, ack: int, flags: int, window: int, pseudo: int = 0, options: bytes = b"",
    urgent: int = 0,
) -> bytes:  # fmt: skip
    """A header whose checksum field holds `pseudo`, the folded sum of the pseudo-header, as `stack.send` wants it.
    `options` are whole words, as pack_options makes them."""
    offset = 0x50 + (len(options) << 2)
    return HEADER.pack(sport, dport, seq, ack, offset, flags, window, pseudo, urgent) + options


def pack_header_timestamps(
    sport: int, dport: int, seq: int, ack: int, flags: int, window: int, pseudo: int, value: int, echo: int
) -> bytes:
    """The same with timestamps as the only option, in one go."""
    return _WITH_TIMESTAMPS.pack(
        sport, dport, seq, ack, 0x80, flags, window, pseudo, 0, _NOP_NOP_TIMESTAMPS, value, echo
    )


def pack(
    sport: int, dport: int, seq: int, ack: int, flags: int, window: int, pseudo: int, options: bytes = b"",
    payload: bytes | memoryview = b"", urgent: int = 0,
) -> bytes:  # fmt: skip
    """A whole segment with its checksum; `pseudo` made with length 0."""
    data = pack_header(sport, dport, seq, ack, flags, window, 0, options, urgent) + payload
    check = checksum.checksum(data, pseudo + len(data))
    return data[:16] + check.to_bytes(2, "big") + data[18:]
