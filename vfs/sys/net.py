"""/sys/class/net and /sys/devices/virtual/net (sysfs(5), the kernel's ABI/testing/sysfs-class-net): the interfaces of
the network namespace of who looks. All are shown as virtual devices."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from netstack.iface import IFF_LOWER_UP, Interface
from sentry.abi.const.files import S_IFDIR, S_IFLNK
from sentry.abi.errno import EINVAL, EOPNOTSUPP
from sentry.abi.flags import CAP_NET_ADMIN
from sentry.socket.inet.ifioctl import as_errno
from sentry.socket.netlink.route import link, show
from vfs.core.node import FileSystem, Inode, Name
from vfs.core.synth import SynthDir, SynthFile, SynthLink, number
from vfs.proc.texts import number as parse

if TYPE_CHECKING:
    from netstack.stack import Stack
    from sentry.kernel.task import Task

STATISTICS = (
    b"collisions", b"multicast", b"rx_bytes", b"rx_compressed", b"rx_crc_errors", b"rx_dropped", b"rx_errors",
    b"rx_fifo_errors", b"rx_frame_errors", b"rx_length_errors", b"rx_missed_errors", b"rx_nohandler",
    b"rx_over_errors", b"rx_packets", b"tx_aborted_errors", b"tx_bytes", b"tx_carrier_errors", b"tx_compressed",
    b"tx_dropped", b"tx_errors", b"tx_fifo_errors", b"tx_heartbeat_errors", b"tx_packets", b"tx_window_errors",
)  # fmt: skip
STATES = (b"unknown", b"notpresent", b"down", b"lowerlayerdown", b"testing", b"dormant", b"up")
UINT_MAX = 0xFFFFFFFF


def _colons(mac: bytes) -> bytes:
    return ":".join(f"{byte:02x}" for byte in mac).encode()


def _carrier(iface: Interface) -> bytes:
    """EINVAL of a device that is down, as `cat carrier` says it."""
    if not iface.up:
        raise EINVAL
    return b"%d" % bool(iface.flags & IFF_LOWER_UP)


def _wire(iface: Interface) -> bytes:
    """Speed and duplex: a device without a wire knows none."""
    if show.device_kind(iface) != b"veth" or not iface.up:
        raise EINVAL
    return b"10000"


def _duplex(iface: Interface) -> bytes:
    _wire(iface)
    return b"full"


def _broadcast(iface: Interface) -> bytes:
    return _colons(b"\xff" * 6 if iface.kind == "ether" else bytes(len(iface.mac)))


FILES: dict[bytes, Callable[[Interface], bytes]] = {
    b"addr_assign_type": lambda i: b"3" if show.device_kind(i) else b"0",
    b"addr_len": lambda i: b"%d" % (len(i.mac) if i.kind != "none" else 0),
    b"address": lambda i: _colons(i.mac) if i.kind != "none" else b"",
    b"broadcast": lambda i: _broadcast(i) if i.kind != "none" else b"",
    b"carrier": _carrier,
    b"carrier_changes": lambda i: b"0",
    b"carrier_down_count": lambda i: b"0",
    b"carrier_up_count": lambda i: b"0",
    b"dev_id": lambda i: b"0x0",
    b"dev_port": lambda i: b"0",
    b"dormant": lambda i: b"0",
    b"duplex": _duplex,
    b"flags": lambda i: b"0x%x" % (i.flags & 0xFFFF & ~0x40),
    b"gro_flush_timeout": lambda i: b"0",
    b"ifalias": lambda i: i.alias,
    b"ifindex": lambda i: b"%d" % i.index,
    b"iflink": lambda i: b"%d" % (show.peer_index(i) or i.index),
    b"link_mode": lambda i: b"0",
    b"mtu": lambda i: b"%d" % i.mtu,
    b"name_assign_type": lambda i: b"3",
    b"netdev_group": lambda i: b"%d" % i.device_group,
    b"operstate": lambda i: STATES[show.operstate(i)],
    b"proto_down": lambda i: b"0",
    b"speed": _wire,
    b"testing": lambda i: b"0",
    b"tx_queue_len": lambda i: b"%d" % i.queue_length,
    b"type": lambda i: b"%d" % show.ARPHRD[i.kind],
    b"uevent": lambda i: b"INTERFACE=%s\nIFINDEX=%d" % (i.name, i.index),
}


def _set_flags(stack: Stack, iface: Interface, data: bytes) -> None:
    link.set_flags(stack, iface, iface.flags & ~0xFFFF | parse(data, 0, UINT_MAX) & 0xFFFF)


def _set_mtu(stack: Stack, iface: Interface, data: bytes) -> None:
    link.set_mtu(stack, iface, parse(data, 0, UINT_MAX))


def _set_queue(stack: Stack, iface: Interface, data: bytes) -> None:
    iface.queue_length = parse(data, 0, UINT_MAX)


def _set_group(stack: Stack, iface: Interface, data: bytes) -> None:
    iface.device_group = parse(data, 0, UINT_MAX)


def _set_alias(stack: Stack, iface: Interface, data: bytes) -> None:
    iface.alias = data.strip(b"\n")[:255]


def _refuse(stack: Stack, iface: Interface, data: bytes) -> None:
    raise EOPNOTSUPP


STORES: dict[bytes, Callable[[Stack, Interface, bytes], None]] = {
    b"flags": _set_flags, b"mtu": _set_mtu, b"tx_queue_len": _set_queue, b"netdev_group": _set_group,
    b"ifalias": _set_alias, b"carrier": _refuse, b"proto_down": _refuse, b"gro_flush_timeout": _refuse,
    b"uevent": _refuse,
}  # fmt: skip


def add(fs: FileSystem, virtual: SynthDir, classes: SynthDir) -> None:
    """Put `net` into /sys/devices/virtual and /sys/class."""
    virtual.add(b"net", SynthDir(fs, {}, find=lambda t, name: _device(fs, t, name), names=_names(S_IFDIR), mode=0o755))
    classes.add(b"net", SynthDir(fs, {}, find=lambda t, name: _link(fs, t, name), names=_names(S_IFLNK), mode=0o755))


def _names(kind: int) -> Callable[[Task], Iterable[Name]]:
    return lambda t: [
        Name(iface.name, number("net", kind, iface.name), kind >> 12) for iface in t.net.stack.interfaces.values()
    ]


def _link(fs: FileSystem, t: Task, name: bytes) -> Inode | None:
    if t.net.stack.interface(name) is None:
        return None
    return SynthLink(fs, b"../../devices/virtual/net/" + name, ino=number("net", S_IFLNK, name))


def _device(fs: FileSystem, t: Task, name: bytes) -> Inode | None:
    iface = t.net.stack.interface(name)
    if iface is None:
        return None
    entries: dict[bytes, Inode] = {entry: _file(fs, iface, entry) for entry in FILES}
    entries[b"statistics"] = _statistics(fs, iface)
    entries[b"subsystem"] = SynthLink(fs, b"../../../../class/net", ino=number("net", name, "subsystem"))
    queues: dict[bytes, Inode] = {
        queue: SynthDir(fs, {}, mode=0o755, ino=number("net", name, queue), lasting=False)
        for queue in (b"rx-0", b"tx-0")
    }
    entries[b"queues"] = SynthDir(fs, queues, mode=0o755, ino=number("net", name, "queues"), lasting=False)
    entries[b"power"] = SynthDir(fs, {}, mode=0o755, ino=number("net", name, "power"), lasting=False)
    return SynthDir(fs, entries, mode=0o755, ino=number("net", S_IFDIR, name), lasting=False)


def _file(fs: FileSystem, iface: Interface, name: bytes) -> Inode:
    render, store = FILES[name], STORES.get(name)

    def text(t: Task) -> bytes:
        value = render(iface)
        return value + b"\n" if value or name != b"ifalias" else b""

    def write(t: Task, data: bytes) -> None:
        t.creds.require(CAP_NET_ADMIN)
        assert store is not None
        with as_errno():
            store(t.net.enter(), iface, data)

    ino = number("net", iface.name, name)
    if store is None:
        return SynthFile(fs, text, mode=0o444, ino=ino, shown_size=4096)
    return SynthFile(fs, text, write, mode=0o644, ino=ino, shown_size=4096)


def _statistics(fs: FileSystem, iface: Interface) -> SynthDir:
    def file(name: bytes) -> Inode:
        shown = name.decode()
        return SynthFile(
            fs, lambda t: b"%d\n" % getattr(iface.counters, shown, 0), mode=0o444,
            ino=number("net", iface.name, "statistics", name), shown_size=4096,
        )  # fmt: skip

    ino = number("net", iface.name, "statistics")
    return SynthDir(fs, {name: file(name) for name in STATISTICS}, mode=0o755, ino=ino, lasting=False)
