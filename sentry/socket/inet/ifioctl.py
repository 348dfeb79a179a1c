"""ioctls about interfaces and their IPv4 addresses, which any socket takes (netdevice(7)); routes and neighbours by
ioctl are in `route_ioctl.py`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from struct import Struct
from typing import TYPE_CHECKING

from netstack.errors import NetError
from netstack.iface import IFF_POINTOPOINT, SCOPE_HOST, SCOPE_LINK, SCOPE_UNIVERSE, Address, Interface
from netstack.route import masked
from sentry.abi import flags as abi
from sentry.abi.errno import BY_CODE, EADDRNOTAVAIL, EEXIST, EINVAL, EIO, ENODEV, ENOTTY, EOPNOTSUPP
from sentry.socket.netlink.route import link, show

if TYPE_CHECKING:
    from netstack.stack import Stack
    from sentry.kernel.task import Task
    from sentry.net.namespace import NetNamespace

IFREQ_SIZE = 40  # struct ifreq
NAME_SIZE = 16
SOCKADDR_IN = Struct("=H2s4s8x")
SOCKADDR = Struct("=H14s")
IFCONF = Struct("=i4xQ")
IFMAP = Struct("=QQHBBB3x")
POINTER = Struct("=Q")
INT = Struct("=i")
SHORT_MASK = 0xFFFF
ETHTOOL_GDRVINFO, ETHTOOL_GLINK = 0x3, 0xA
DRVINFO = Struct("=I32s32s32s32s32s12s5I")  # struct ethtool_drvinfo
SET_LENGTH = 1000000  # txqueuelen at most


def device_ioctl(t: Task, net: NetNamespace, request: int, arg: int, domain: int = 0) -> int:
    """ENOTTY for what no socket of `domain` knows."""
    net.enter()
    with as_errno():
        if request == abi.SIOCGIFCONF:
            return _list(t, net.stack, arg)
        if request == abi.SIOCGIFNAME:
            return _name(t, net.stack, arg)
        if request == abi.SIOCETHTOOL:
            return _ethtool(t, net.stack, arg)
        reader, writer = READERS.get(request), WRITERS.get(request)
        if reader is None and writer is None and domain == abi.AF_INET:
            reader, writer = INET_READERS.get(request), INET_WRITERS.get(request)
        if reader is None and writer is None:
            raise ENOTTY
        data = t.mem.read(arg, IFREQ_SIZE)
        whole = data[:NAME_SIZE].partition(b"\0")[0][: NAME_SIZE - 1]
        iface = net.stack.interface(whole.partition(b":")[0])
        if writer is not None:
            t.creds.require(abi.CAP_NET_ADMIN)
        if iface is None:
            raise ENODEV
        if reader is not None:
            value = reader(net.stack, iface, whole, data[NAME_SIZE:])
            t.mem.write(arg + NAME_SIZE, value)
        elif writer is not None:
            writer(net.stack, iface, whole, data[NAME_SIZE:])
    return 0


@contextmanager
def as_errno() -> Iterator[None]:
    """Errors of the stack as the Sentry raises them."""
    try:
        yield
    except NetError as err:
        raise BY_CODE.get(err.code, EIO)


def _list(t: Task, stack: Stack, arg: int) -> int:
    """SIOCGIFCONF: the IPv4 addresses, by their labels; without a buffer only how much room they take."""
    size, buffer = IFCONF.unpack(t.mem.read(arg, IFCONF.size))
    entries = [
        (address.label or iface.name).ljust(NAME_SIZE, b"\0") + SOCKADDR_IN.pack(abi.AF_INET, b"", address.local)
        for iface in stack.interfaces.values()
        for address in iface.addresses
        if len(address.local) == 4
    ]
    data = b"".join(entry.ljust(IFREQ_SIZE, b"\0") for entry in entries)
    if buffer:
        if size < 0:
            raise EINVAL
        data = data[: size // IFREQ_SIZE * IFREQ_SIZE]
        t.mem.write(buffer, data)
    t.mem.put_i32(arg, len(data))
    return 0


def _name(t: Task, stack: Stack, arg: int) -> int:
    index = INT.unpack_from(t.mem.read(arg, IFREQ_SIZE), NAME_SIZE)[0]
    iface = stack.interfaces.get(index)
    if iface is None:
        raise ENODEV
    t.mem.write(arg, iface.name.ljust(NAME_SIZE, b"\0"))
    return 0


def _ethtool(t: Task, stack: Stack, arg: int) -> int:
    """Whether there is a link, and what drives it (ethtool(8))."""
    data = t.mem.read(arg, IFREQ_SIZE)
    iface = stack.interface(data[:NAME_SIZE].partition(b"\0")[0])
    if iface is None:
        raise ENODEV
    addr = POINTER.unpack_from(data, NAME_SIZE)[0]
    command = t.mem.u32(addr)
    if command == ETHTOOL_GLINK:
        t.mem.put_u32(addr + 4, int(bool(iface.flags & abi.IFF_LOWER_UP)))
        return 0
    if command == ETHTOOL_GDRVINFO:
        driver = show.device_kind(iface) or (b"" if iface.kind == "loopback" else b"virtio_net")
        if not driver:
            raise EOPNOTSUPP
        t.mem.write(addr, DRVINFO.pack(command, driver, b"1.0", b"", b"", b"", b"", 0, 0, 0, 0, 0))
        return 0
    raise EOPNOTSUPP


# struct ifreq's union, read ---------------------------------------------------------------------------------------
Reader = Callable[["Stack", Interface, bytes, bytes], bytes]
Writer = Callable[["Stack", Interface, bytes, bytes], None]


def _hardware(stack: Stack, iface: Interface, name: bytes, data: bytes) -> bytes:
    return SOCKADDR.pack(show.ARPHRD[iface.kind], iface.mac)


def _map(stack: Stack, iface: Interface, name: bytes, data: bytes) -> bytes:
    return IFMAP.pack(0, 0, 0, 0, 0, 0)


READERS: dict[int, Reader] = {
    abi.SIOCGIFFLAGS: lambda stack, iface, name, data: (iface.flags & SHORT_MASK).to_bytes(2, "little"),
    abi.SIOCGIFINDEX: lambda stack, iface, name, data: INT.pack(iface.index),
    abi.SIOCGIFMTU: lambda stack, iface, name, data: INT.pack(iface.mtu),
    abi.SIOCGIFMETRIC: lambda stack, iface, name, data: INT.pack(0),
    abi.SIOCGIFTXQLEN: lambda stack, iface, name, data: INT.pack(iface.queue_length),
    abi.SIOCGIFHWADDR: _hardware,
    abi.SIOCGIFMAP: _map,
}


def _address(iface: Interface, name: bytes, data: bytes) -> Address:
    """The address that a request means: by label and, if one is given, address, else by label alone (devinet)."""
    family, _, wanted = SOCKADDR_IN.unpack_from(data)
    mine = [entry for entry in iface.addresses if len(entry.local) == 4 and (entry.label or iface.name) == name]
    if family == abi.AF_INET:
        for entry in mine:
            if entry.local == wanted:
                return entry
    if not mine:
        raise EADDRNOTAVAIL
    return mine[0]


def _inet(address: bytes | None) -> bytes:
    return SOCKADDR_IN.pack(abi.AF_INET, b"", address or bytes(4))


def mask_of(prefix: int) -> bytes:
    return ((0xFFFFFFFF << (32 - prefix)) & 0xFFFFFFFF).to_bytes(4, "big")


def prefix_of(mask: bytes) -> int:
    """EINVAL for one with holes."""
    prefix = int.from_bytes(mask, "big").bit_count()
    if mask_of(prefix) != mask:
        raise EINVAL
    return prefix


INET_READERS: dict[int, Reader] = {
    abi.SIOCGIFADDR: lambda stack, iface, name, data: _inet(_address(iface, name, data).local),
    abi.SIOCGIFBRDADDR: lambda stack, iface, name, data: _inet(_address(iface, name, data).broadcast),
    abi.SIOCGIFNETMASK: lambda stack, iface, name, data: _inet(mask_of(_address(iface, name, data).prefix)),
    abi.SIOCGIFDSTADDR: lambda stack, iface, name, data: _inet(_peer(iface, name, data)),
}


def _peer(iface: Interface, name: bytes, data: bytes) -> bytes:
    entry = _address(iface, name, data)
    return entry.peer or entry.local


# and written ------------------------------------------------------------------------------------------------------
def _set_flags(stack: Stack, iface: Interface, name: bytes, data: bytes) -> None:
    wanted = int.from_bytes(data[:2], "little")
    if b":" in name:  # an alias that is turned off is removed
        if not wanted & abi.IFF_UP:
            stack.remove_address(iface, _address(iface, name, bytes(16)))
        return
    link.set_flags(stack, iface, iface.flags & ~SHORT_MASK | wanted)


def _set_name(stack: Stack, iface: Interface, name: bytes, data: bytes) -> None:
    link.rename(stack, iface, data[:NAME_SIZE].partition(b"\0")[0])


def _set_hardware(stack: Stack, iface: Interface, name: bytes, data: bytes) -> None:
    family, mac = SOCKADDR.unpack_from(data)
    if family != show.ARPHRD[iface.kind]:
        raise EINVAL
    link.set_mac(stack, iface, mac[:6])


def _set_mtu(stack: Stack, iface: Interface, name: bytes, data: bytes) -> None:
    link.set_mtu(stack, iface, INT.unpack_from(data)[0])


def _set_queue(stack: Stack, iface: Interface, name: bytes, data: bytes) -> None:
    length = INT.unpack_from(data)[0]
    if not 0 <= length <= SET_LENGTH:
        raise EINVAL
    iface.queue_length = length


def _refuse(stack: Stack, iface: Interface, name: bytes, data: bytes) -> None:
    raise EOPNOTSUPP


def _set_metric(stack: Stack, iface: Interface, name: bytes, data: bytes) -> None:
    raise EOPNOTSUPP


WRITERS: dict[int, Writer] = {
    abi.SIOCSIFFLAGS: _set_flags,
    abi.SIOCSIFNAME: _set_name,
    abi.SIOCSIFHWADDR: _set_hardware,
    abi.SIOCSIFMTU: _set_mtu,
    abi.SIOCSIFTXQLEN: _set_queue,
    abi.SIOCSIFMETRIC: _set_metric,
    abi.SIOCSIFMAP: _refuse,
    abi.SIOCSIFHWBROADCAST: _refuse,
}


def _class_prefix(address: bytes) -> int:
    """The network's length in the days of classes (RFC 791)."""
    first = address[0]
    if address == bytes(4):
        return 0
    return 8 if first < 128 else 16 if first < 192 else 24 if first < 224 else 32


def _scope(address: bytes) -> int:
    return SCOPE_HOST if address[0] == 127 else SCOPE_LINK if address[:2] == b"\xa9\xfe" else SCOPE_UNIVERSE


def _set_address(stack: Stack, iface: Interface, name: bytes, data: bytes) -> None:
    """The label gets this address, in the network of its class; 0.0.0.0 takes it away."""
    family, _, local = SOCKADDR_IN.unpack_from(data)
    if family != abi.AF_INET:
        raise EINVAL
    prefix = _class_prefix(local)
    for entry in [e for e in iface.addresses if len(e.local) == 4 and (e.label or iface.name) == name]:
        if entry.local == local:
            return
        stack.remove_address(iface, entry)
        break
    if not any(local):
        return
    if iface.flags & IFF_POINTOPOINT:
        prefix = 32
    broadcast = None
    if iface.flags & abi.IFF_BROADCAST and prefix < 31:
        host = (1 << (32 - prefix)) - 1
        broadcast = (int.from_bytes(masked(local, prefix), "big") | host).to_bytes(4, "big")
    stack.add_address(iface, Address(local, prefix, _scope(local), broadcast, label=name))


def _change(stack: Stack, iface: Interface, old: Address, new: Address) -> None:
    if old == new:
        return
    stack.remove_address(iface, old)
    try:
        stack.add_address(iface, new)
    except NetError as err:
        if err.code != EEXIST.code:
            raise


def _given(data: bytes) -> bytes:
    family, _, address = SOCKADDR_IN.unpack_from(data)
    if family != abi.AF_INET:
        raise EINVAL
    return bytes(address)


def _set_mask(stack: Stack, iface: Interface, name: bytes, data: bytes) -> None:
    old = _address(iface, name, bytes(16))
    mask = SOCKADDR_IN.unpack_from(data)[2]
    prefix = prefix_of(mask)
    broadcast = old.broadcast
    if iface.flags & abi.IFF_BROADCAST and old.prefix < 31 and broadcast is not None:
        network = int.from_bytes(masked(old.local, old.prefix), "big")
        if broadcast == (network | (1 << (32 - old.prefix)) - 1).to_bytes(4, "big"):  # as it was made of the old mask
            network = int.from_bytes(masked(old.local, prefix), "big")
            broadcast = (network | (1 << (32 - prefix)) - 1).to_bytes(4, "big")
    _change(stack, iface, old, old._replace(prefix=prefix, broadcast=broadcast))


def _set_broadcast(stack: Stack, iface: Interface, name: bytes, data: bytes) -> None:
    old = _address(iface, name, bytes(16))
    _change(stack, iface, old, old._replace(broadcast=_given(data)))


def _set_peer(stack: Stack, iface: Interface, name: bytes, data: bytes) -> None:
    old = _address(iface, name, bytes(16))
    _change(stack, iface, old, old._replace(peer=_given(data)))


INET_WRITERS: dict[int, Writer] = {
    abi.SIOCSIFADDR: _set_address,
    abi.SIOCSIFNETMASK: _set_mask,
    abi.SIOCSIFBRDADDR: _set_broadcast,
    abi.SIOCSIFDSTADDR: _set_peer,
}
