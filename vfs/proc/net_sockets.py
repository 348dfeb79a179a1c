"""The sockets of a network namespace under /proc/net (proc_pid_net(5)): tcp, udp, raw, icmp, unix, netlink, packet."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from netstack.tcp.state import ESTABLISHED, LISTEN, SYN_RECV, TIME_WAIT
from sentry.abi.flags import AF_PACKET, IPPROTO_ICMP, IPPROTO_ICMPV6, IPPROTO_UDP
from sentry.net import listing
from sentry.net.listing import Row
from sentry.socket.names import table_of
from sentry.socket.unix import CONNECTED, LISTENING

if TYPE_CHECKING:
    from sentry.net.namespace import NetNamespace
    from sentry.socket.unix import UnixSocket

HEAD4 = b"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode"
HEAD6 = (
    b"  sl  local_address                         remote_address                        st tx_queue rx_queue tr"
    b" tm->when retrnsmt   uid  timeout inode"
)
MORE = b" ref pointer drops"
WIDTH_TCP, WIDTH_UDP = 149, 127  # lines of IPv4's files are padded to these
UDP_BUCKETS = 16384
MAPPED = bytes(10) + b"\xff\xff"
NS_PER_TICK = 10**7
ACCEPTS = 0x10000  # __SO_ACCEPTCON
UNCONNECTED, CONNECTING, IS_CONNECTED, DISCONNECTING = 1, 2, 3, 4  # SS_*, of struct socket


def _place(address: bytes, port: int, six: bool) -> bytes:
    """Addresses are words of the host's order."""
    if six and len(address) == 4:
        address = MAPPED + address
    words = [int.from_bytes(address[at : at + 4], "little") for at in range(0, len(address), 4)]
    return b"".join(b"%08X" % word for word in words) + b":%04X" % port


def _common(row: Row, tx: int, rx: int) -> bytes:
    six = row.family == 6
    kind, due_ns, retries = row.timer
    return b"%s %s %02X %08X:%08X %02X:%08X %08X" % (
        _place(*row.local, six), _place(*row.peer, six), row.state, tx, rx, kind, due_ns // NS_PER_TICK, retries,
    )  # fmt: skip


def _tcp_line(at: int, row: Row) -> bytes:
    pointer = row.reference
    if row.state in (TIME_WAIT, SYN_RECV) and row.socket is None:
        count = 3 if row.state == TIME_WAIT else 0
        return b"%4d: %s %5d %8d 0 %d %016x" % (at, _common(row, 0, 0), 0, 0, count, pointer)
    if row.state == LISTEN:
        rest, tx = b"100 0 0 10 0", 0
    else:
        info = row.endpoint.info()
        threshold = -1 if info.snd_ssthresh >= 0x7FFFFFFF else info.snd_ssthresh
        rest = b"%d %d %d %d %d" % (info.rto // 10000, info.ato // 10000, 0, info.snd_cwnd, threshold)
        tx = row.tx
    return b"%4d: %s %5d %8d %d 1 %016x %s" % (at, _common(row, tx, row.rx), row.uid, 0, row.inode, pointer, rest)


def tcp(net: NetNamespace) -> bytes:
    lines = [_tcp_line(at, row) for at, row in enumerate(row for row in listing.tcp(net) if row.family == 4)]
    return b"".join(line.ljust(WIDTH_TCP) + b"\n" for line in [HEAD4, *lines])


def tcp6(net: NetNamespace) -> bytes:
    lines = [_tcp_line(at, row) for at, row in enumerate(row for row in listing.tcp(net) if row.family == 6)]
    return b"\n".join([HEAD6, *lines, b""])


def _datagrams(rows: Iterable[Row], family: int, slot: bytes) -> list[bytes]:
    return [
        (slot + b": %s %5d %8d %d 2 %016x %d")
        % (row.local[1] % UDP_BUCKETS, _common(row, row.tx, row.rx), row.uid, 0, row.inode, row.reference, row.drops)
        for row in sorted(rows, key=lambda row: row.local[1])
        if row.family == family
    ]


def _padded(lines: list[bytes]) -> bytes:
    return b"".join(line.ljust(WIDTH_UDP) + b"\n" for line in lines)


def udp(net: NetNamespace) -> bytes:
    return _padded([b" " + HEAD4 + MORE, *_datagrams(listing.datagram(net, IPPROTO_UDP), 4, b"%5d")])


def udp6(net: NetNamespace) -> bytes:
    return b"\n".join([HEAD6 + MORE, *_datagrams(listing.datagram(net, IPPROTO_UDP), 6, b"%5d"), b""])


def icmp(net: NetNamespace) -> bytes:
    return _padded([HEAD4 + MORE, *_datagrams(listing.datagram(net, IPPROTO_ICMP), 4, b"%5d")])


def icmp6(net: NetNamespace) -> bytes:
    return b"\n".join([HEAD6 + MORE, *_datagrams(listing.datagram(net, IPPROTO_ICMPV6), 6, b"%5d"), b""])


def raw(net: NetNamespace) -> bytes:
    return b"\n".join([HEAD4 + MORE, *_datagrams(listing.datagram(net, listing.RAW), 4, b"%4d"), b""])


def raw6(net: NetNamespace) -> bytes:
    return b"\n".join([HEAD6 + MORE, *_datagrams(listing.datagram(net, listing.RAW), 6, b"%4d"), b""])


def _unix_state(sock: UnixSocket) -> int:
    if not sock.accepted:
        return CONNECTING if sock.state == CONNECTED else DISCONNECTING
    return IS_CONNECTED if sock.state == CONNECTED else UNCONNECTED


def unix(net: NetNamespace) -> bytes:
    lines = [b"Num       RefCount Protocol Flags    Type St Inode Path\n"]
    for sock in sorted((sock for sock in table_of(net).sockets if not sock.dead), key=lambda sock: sock.inode.ino):
        name = sock.address[2:]
        shown = b" @" + name[1:].replace(b"\0", b"@") if name[:1] == b"\0" else b" " + name.rstrip(b"\0")
        flags = ACCEPTS if sock.state == LISTENING else 0
        references = 3 if sock.state == CONNECTED else 2
        lines.append(
            b"%016x: %08X %08X %08X %04X %02X %5d%s\n"
            % (sock.inode.ino, references, 0, flags, sock.kind, _unix_state(sock), sock.inode.ino,
               shown if name else b"")
        )  # fmt: skip
    return b"".join(lines)


def netlink(net: NetNamespace) -> bytes:
    lines = [b"sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    Drops    Inode\n"]
    lines += [
        b"%016x %-3d %-10d %08x %-8d %-8d %-5d %-8d %-8d %-8d\n"
        % (sock.inode.ino, sock.protocol, sock.port, sock.groups & 0xFFFFFFFF, sock.used, 0, bool(sock.parts), 2,
           sock.drops, sock.inode.ino)
        for sock in sorted(net.netlink.sockets, key=lambda sock: (sock.protocol, sock.port))
    ]  # fmt: skip
    return b"".join(lines)


def packet(net: NetNamespace) -> bytes:
    lines = [b"sk               RefCnt Type Proto  Iface R Rmem   User   Inode\n"]
    for sock in tuple(net.sockets):
        if sock.domain != AF_PACKET or sock.refs <= 0:
            continue
        endpoint: Any = getattr(sock, "endpoint", None)
        proto, index = getattr(endpoint, "proto", 0), getattr(endpoint, "index", 0)
        lines.append(
            b"%016x %-6d %-4d %04x   %-5d %1d %-6d %-6d %-6d\n"
            % (sock.inode.ino, 3, sock.kind, proto, index, bool(proto), getattr(endpoint, "queued", 0),
               sock.inode.uid, sock.inode.ino)
        )  # fmt: skip
    return b"".join(lines)


def _counted(net: NetNamespace, family: int) -> dict[bytes, int]:
    tcp_rows = [row for row in listing.tcp(net) if row.family == family]
    return {
        b"tcp": sum(1 for row in tcp_rows if row.state not in (TIME_WAIT, SYN_RECV)),
        b"orphan": sum(1 for row in tcp_rows if row.state not in (TIME_WAIT, SYN_RECV, LISTEN, ESTABLISHED)
                       and row.socket is None),
        b"tw": sum(1 for row in tcp_rows if row.state == TIME_WAIT),
        b"udp": sum(1 for row in listing.datagram(net, IPPROTO_UDP) if row.family == family),
        b"raw": sum(1 for row in listing.datagram(net, listing.RAW) if row.family == family),
    }  # fmt: skip


def sockstat(net: NetNamespace) -> bytes:
    found = _counted(net, 4)
    used = sum(1 for sock in tuple(net.sockets) if sock.refs > 0)
    used += len(net.netlink.sockets) + sum(1 for sock in table_of(net).sockets if not sock.dead)
    alloc = found[b"tcp"] + sum(1 for row in listing.tcp(net) if row.family == 6 and row.state != TIME_WAIT)
    return (
        b"sockets: used %d\nTCP: inuse %d orphan %d tw %d alloc %d mem 0\nUDP: inuse %d mem 0\nUDPLITE: inuse 0\n"
        b"RAW: inuse %d\nFRAG: inuse 0 memory 0\n"
        % (used, found[b"tcp"], found[b"orphan"], found[b"tw"], alloc, found[b"udp"], found[b"raw"])
    )


def sockstat6(net: NetNamespace) -> bytes:
    found = _counted(net, 6)
    return b"TCP6: inuse %d\nUDP6: inuse %d\nUDPLITE6: inuse 0\nRAW6: inuse %d\nFRAG6: inuse 0 memory 0\n" % (
        found[b"tcp"], found[b"udp"], found[b"raw"],
    )  # fmt: skip


# Name, size of the kernel's object, memory accounted, header room, calls: as a Linux of this release shows them.
PROTOCOLS = (
    (b"PACKET", 1600, b"-1", b"NI", 0, b"no ", b"n" * 19),
    (b"PINGv6", 1344, b"-1", b"NI", 0, b"yes", b"yyynnynnyyyyyynyyn"),
    (b"RAWv6", 1344, b"-1", b"NI", 0, b"yes", b"yyynyyynyyyyyyyynn"),
    (b"UDPv6", 1472, b"0", b"NI", 0, b"yes", b"yyynyyynyyyynnyyyn"),
    (b"TCPv6", 2432, b"0", b"no", 192, b"yes", b"yyyyyyyyyyyynyyyyy"),
    (b"UNIX-STREAM", 1152, b"-1", b"NI", 0, b"yes", b"y" + b"n" * 18),
    (b"UNIX", 1152, b"-1", b"NI", 0, b"yes", b"y" + b"n" * 18),
    (b"PING", 1016, b"-1", b"NI", 0, b"yes", b"yyynnynnyyyyyynyyn"),
    (b"RAW", 1152, b"-1", b"NI", 0, b"yes", b"yyynyyynyyyyyyyynn"),
    (b"UDP", 1344, b"0", b"NI", 0, b"yes", b"yyynyyynyyyynnyyyn"),
    (b"TCP", 2304, b"0", b"no", 192, b"yes", b"yyyyyyyyyyyynyyyyy"),
    (b"NETLINK", 1096, b"-1", b"NI", 0, b"no ", b"n" * 19),
)


def protocols(net: NetNamespace) -> bytes:
    four, six = _counted(net, 4), _counted(net, 6)
    streams = [sock.is_stream for sock in table_of(net).sockets if not sock.dead]
    counts = {
        b"RAWv6": six[b"raw"], b"UDPv6": six[b"udp"], b"TCPv6": six[b"tcp"], b"RAW": four[b"raw"],
        b"UDP": four[b"udp"], b"TCP": four[b"tcp"], b"NETLINK": len(net.netlink.sockets),
        b"UNIX-STREAM": sum(streams), b"UNIX": len(streams) - sum(streams),
    }  # fmt: skip
    lines = [
        b"protocol  size sockets  memory press maxhdr  slab module     cl co di ac io in de sh ss gs se re bi br ha"
        b" uh gp em\n"
    ]
    for name, size, memory, press, room, slab, calls in PROTOCOLS:
        shown = b"  ".join(bytes([call]) for call in calls[:18])
        lines.append(
            b"%-9s %4d %6d  %6s   %s  %5d   %s  kernel      %s\n"
            % (name, size, counts.get(name, 0), memory, press.ljust(3), room, slab, shown)
        )
    return b"".join(lines)


FILES: dict[bytes, Callable[[NetNamespace], bytes]] = {
    b"tcp": tcp, b"tcp6": tcp6, b"udp": udp, b"udp6": udp6, b"icmp": icmp, b"icmp6": icmp6, b"raw": raw, b"raw6": raw6,
    b"udplite": lambda net: _padded([b" " + HEAD4 + MORE]), b"udplite6": lambda net: HEAD6 + MORE + b"\n",
    b"unix": unix, b"netlink": netlink, b"packet": packet, b"sockstat": sockstat, b"sockstat6": sockstat6,
    b"protocols": protocols,
}  # fmt: skip
