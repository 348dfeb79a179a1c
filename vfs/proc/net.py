"""/proc/PID/net (proc_pid_net(5)): the files of the network, for a namespace that has a loopback device only."""

from __future__ import annotations

from vfs.core.node import FileSystem, Inode
from vfs.core.synth import SynthDir, SynthFile

DEV = (
    b"Inter-|   Receive                                                |  Transmit\n"
    b" face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier"
    b" compressed\n"
    b"    lo:       0       0    0    0    0     0          0         0        0       0    0    0    0     0       0"
    b"          0\n"
)
INET = b"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode"
INET6 = (
    b"  sl  local_address                         remote_address                        st tx_queue rx_queue tr"
    b" tm->when retrnsmt   uid  timeout inode"
)
TEXTS = {
    b"arp": b"IP address       HW type     Flags       HW address            Mask     Device\n",
    b"dev": DEV,
    b"dev_mcast": b"",
    b"if_inet6": b"00000000000000000000000000000001 01 80 10 80       lo\n",
    b"igmp": b"Idx\tDevice    : Count Querier\tGroup    Users Timer\tReporter\n",
    b"netlink": b"sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    Drops    Inode\n",
    b"netstat": b"TcpExt: SyncookiesSent\nTcpExt: 0\nIpExt: InNoRoutes\nIpExt: 0\n",
    b"packet": b"sk               RefCnt Type Proto  Iface R Rmem   User   Inode\n",
    b"protocols": (
        b"protocol  size sockets  memory press maxhdr  slab module     cl co di ac io in de sh ss gs se re sp bi br ha"
        b" uh gp em\n"
    ),
    b"raw": INET + b" ref pointer drops\n",
    b"raw6": INET6 + b" ref pointer drops\n",
    b"route": b"Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT".ljust(127) + b"\n",
    b"ipv6_route": b"",
    b"snmp": (
        b"Ip: Forwarding DefaultTTL InReceives InHdrErrors InAddrErrors ForwDatagrams InUnknownProtos InDiscards"
        b" InDelivers OutRequests OutDiscards OutNoRoutes ReasmTimeout ReasmReqds ReasmOKs ReasmFails FragOKs FragFails"
        b" FragCreates\nIp: 2 64 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n"
    ),
    b"sockstat": (
        b"sockets: used 0\nTCP: inuse 0 orphan 0 tw 0 alloc 0 mem 0\nUDP: inuse 0 mem 0\nUDPLITE: inuse 0\n"
        b"RAW: inuse 0\nFRAG: inuse 0 memory 0\n"
    ),
    b"tcp": INET.ljust(149) + b"\n",
    b"tcp6": INET6 + b"\n",
    b"udp": INET + b" ref pointer drops             \n",
    b"udp6": INET6 + b" ref pointer drops\n",
    b"unix": b"Num       RefCount Protocol Flags    Type St Inode Path\n",
}


def directory(fs: FileSystem) -> SynthDir:
    entries: dict[bytes, Inode] = {}
    for name, text in TEXTS.items():
        entries[name] = SynthFile(fs, lambda t, text=text: text)  # type: ignore[misc]
    return SynthDir(fs, entries, lasting=False)
