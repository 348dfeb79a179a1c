"""/dev/net/tun: an interface whose wire is a file (the kernel's Documentation/networking/tuntap.rst, tun(4)).

A file is attached to an interface by TUNSETIFF. What the stack sends is read from it, one packet a read; what is
written arrives on the interface. Unless TUNSETPERSIST was asked for the interface goes with the file.
"""

from __future__ import annotations

from collections import deque
from struct import Struct
from typing import TYPE_CHECKING

from netstack.errors import BadPacket, NetError
from netstack.iface import IFF_LOWER_UP, IFF_POINTOPOINT, IFF_RUNNING, Interface
from netstack.wire import vnet
from sentry.abi.errno import BY_CODE, EBADFD, EBUSY, EINVAL, EIO, ENOTTY, EPERM, WouldBlock
from sentry.abi.flags import CAP_NET_ADMIN
from sentry.net.devices import free_name, random_mac
from sentry.net.namespace import net_of
from sentry.wait import ERR, IN, OUT, RDNORM, WRNORM
from vfs.core.open_dir import PlacedFile
from vfs.core.special import register_char

if TYPE_CHECKING:
    from collections.abc import Sequence

    from netstack.packet import Offload
    from sentry.kernel.task import Task
    from sentry.net.driver import Driver
    from sentry.net.namespace import NetNamespace
    from vfs.core.dentry import Path
    from vfs.core.file import File
    from vfs.core.node import Inode

MAJOR, MINOR = 10, 200
TUNSETNOCSUM, TUNSETDEBUG, TUNSETIFF, TUNSETPERSIST = 0x400454C8, 0x400454C9, 0x400454CA, 0x400454CB
TUNSETOWNER, TUNSETLINK, TUNSETGROUP, TUNGETFEATURES = 0x400454CC, 0x400454CD, 0x400454CE, 0x800454CF
TUNSETOFFLOAD, TUNGETIFF, TUNGETSNDBUF, TUNSETSNDBUF = 0x400454D0, 0x800454D2, 0x800454D3, 0x400454D4
TUNGETVNETHDRSZ, TUNSETVNETHDRSZ, SIOCGIFHWADDR = 0x800454D7, 0x400454D8, 0x8927
IFF_TUN, IFF_TAP, IFF_NO_PI, IFF_ONE_QUEUE, IFF_VNET_HDR, IFF_TUN_EXCL = 1, 2, 0x1000, 0x2000, 0x4000, 0x8000
FEATURES = IFF_TUN | IFF_TAP | IFF_NO_PI | IFF_ONE_QUEUE | IFF_VNET_HDR
TUN_F_CSUM, TUN_F_TSO = 1, 2 | 4  # TCP over IPv4 and IPv6; also known: with ECN, and the unused one of UDP
OFFLOADS = TUN_F_CSUM | TUN_F_TSO | 8 | 16
IFREQ = Struct("<16sH22x")
HWADDR = Struct("<16sH6s16x")
PI = Struct("!HH")  # struct tun_pi: flags, protocol
ETH_P_IP, ETH_P_IPV6 = 0x0800, 0x86DD
ARPHRD_ETHER, ARPHRD_NONE = 1, 0xFFFE
QUEUE_AT_MOST = 500  # packets: the device's txqueuelen
MTU = 1500
HEADER_AT_MOST = 256
SEND_BUFFER = 0x7FFFFFFF


class TunLink:
    """The device: `queue` is what the stack has sent and nobody has read. `file` is attached, or None. It knows the
    `driver` of its stack: nothing that a namespace holds holds the namespace."""

    def __init__(self, driver: Driver, flags: int) -> None:
        self.gso = self.checksum = False
        self.driver = driver
        self.flags = flags
        self.iface: Interface
        self.file: TunFile | None = None
        self.queue: deque[tuple[bytes, Offload]] = deque()
        self.persistent = False
        self.owner = -1
        self.group = -1

    def send(self, parts: Sequence[bytes | memoryview], offload: Offload) -> bool:
        if self.file is None or len(self.queue) >= QUEUE_AT_MOST:
            return False
        self.queue.append((b"".join(parts), offload))
        self.file.queue.notify(IN | RDNORM)
        return True

    def offload(self, wanted: int) -> None:
        """TUNSETOFFLOAD: what the reader takes unfinished, which a vnet header tells it, if it asked for one."""
        if wanted & ~OFFLOADS or (wanted & ~TUN_F_CSUM and not wanted & TUN_F_CSUM):
            raise EINVAL
        self.checksum = bool(wanted & TUN_F_CSUM)
        self.gso = wanted & TUN_F_TSO == TUN_F_TSO
        self.iface.attach(self)

    def attach(self, file: TunFile) -> None:
        self.file = file
        if self.iface.up:
            self.iface.flags |= IFF_RUNNING | IFF_LOWER_UP

    def detach(self) -> None:
        self.file = None
        self.queue.clear()
        if not self.persistent:
            self.remove()
        else:
            self.iface.flags &= ~(IFF_RUNNING | IFF_LOWER_UP)

    def remove(self) -> None:
        stack = self.driver.enter()
        if stack.interfaces.get(self.iface.index) is self.iface:
            stack.remove_interface(self.iface)

    def may_attach(self, t: Task) -> bool:
        """tun_not_capable: CAP_NET_ADMIN, or the owner and group that the interface was given to."""
        if t.creds.has(CAP_NET_ADMIN):
            return True
        wrong_owner = self.owner != -1 and t.creds.euid != self.owner
        wrong_group = self.group != -1 and self.group != t.creds.egid and self.group not in t.creds.groups
        return not (wrong_owner or wrong_group) and (self.owner, self.group) != (-1, -1)


class TunFile(PlacedFile):
    """An open /dev/net/tun; `net` is the namespace of its opener, where its interface will be."""

    __slots__ = ("header_len", "link", "net")

    def __init__(self, path: Path, flags: int, net: NetNamespace) -> None:
        super().__init__(path, flags)
        self.net = net
        self.link: TunLink | None = None
        self.header_len = vnet.HEADER_LEN

    # data -------------------------------------------------------------------------------------------------------------
    def _attached(self) -> TunLink:
        if self.link is None:
            raise EBADFD
        return self.link

    def peek(self, size: int) -> bytes:
        link = self._attached()
        if not link.queue:
            raise WouldBlock
        frame, offload = link.queue[0]
        head = b""
        if not link.flags & IFF_NO_PI:
            if size < PI.size:
                raise EINVAL
            protocol = int.from_bytes(frame[12:14], "big") if link.flags & IFF_TAP else _protocol(frame)
            head = PI.pack(1 if size < PI.size + len(frame) else 0, protocol)  # TUN_PKT_STRIP
        if link.flags & IFF_VNET_HDR:
            head += vnet.pack(offload).ljust(self.header_len, b"\0")
            if size < len(head):
                raise EINVAL
        return (head + frame)[:size]

    def consume(self, count: int) -> None:
        if self.link is not None and self.link.queue:
            self.link.queue.popleft()

    def write(self, data: bytes) -> int:
        link = self._attached()
        if not link.iface.up:
            raise EIO
        frame, protocol, checked, gso_size = memoryview(data), 0, False, 0
        if not link.flags & IFF_NO_PI:
            if len(frame) < PI.size:
                raise EINVAL
            _, protocol = PI.unpack_from(frame)
            frame = frame[PI.size :]
        if link.flags & IFF_VNET_HDR:
            if len(frame) < self.header_len:
                raise EINVAL
            head, frame = frame[: vnet.HEADER_LEN], frame[self.header_len :]
            try:
                offload, checked = vnet.parse(head, len(frame))
            except BadPacket:
                raise EINVAL
            gso_size = offload.gso_size
        if link.flags & IFF_TAP:
            if len(frame) < 14:
                raise EINVAL
        elif not frame or (frame[0] >> 4 not in (4, 6) and not protocol):
            raise EINVAL
        self.net.enter().receive(link.iface, frame, checked, gso_size)
        return len(data)

    def poll(self) -> int:
        link = self.link
        if link is None:
            return ERR
        return (IN | RDNORM if link.queue else 0) | (OUT | WRNORM if link.iface.up else 0)

    def release(self) -> None:
        link, self.link = self.link, None
        if link is not None:
            link.detach()

    # ioctl(2) ---------------------------------------------------------------------------------------------------------
    def ioctl(self, t: Task, request: int, arg: int) -> int:
        mem = t.mem
        if request == TUNGETFEATURES:
            mem.put_u32(arg, FEATURES)
            return 0
        if request == TUNSETIFF:
            name, flags = IFREQ.unpack(mem.read(arg, IFREQ.size))
            link = self._set_interface(t, name.partition(b"\0")[0][:15], flags)
            mem.write(arg, link.iface.name.ljust(16, b"\0") + link.flags.to_bytes(2, "little"))
            return 0
        link = self._attached()
        if request == TUNGETIFF:
            mem.write(arg, IFREQ.pack(link.iface.name, link.flags))
        elif request == TUNSETPERSIST:
            link.persistent = bool(arg)
        elif request == TUNSETOWNER:
            link.owner = arg & 0xFFFFFFFF
        elif request == TUNSETGROUP:
            link.group = arg & 0xFFFFFFFF
        elif request in (TUNSETNOCSUM, TUNSETDEBUG):
            pass  # both without effect since Linux 2.6.39 and 5.11
        elif request == TUNSETLINK:
            if link.iface.up:
                raise EBUSY
            raise EINVAL  # the stack knows no other kind of device
        elif request == TUNSETOFFLOAD:
            link.offload(arg)
        elif request == TUNGETSNDBUF:
            mem.put_u32(arg, SEND_BUFFER)
        elif request == TUNSETSNDBUF:
            if mem.i32(arg) <= 0:
                raise EINVAL
        elif request == TUNGETVNETHDRSZ:
            mem.put_u32(arg, self.header_len)
        elif request == TUNSETVNETHDRSZ:
            size = mem.i32(arg)
            if not vnet.HEADER_LEN <= size <= HEADER_AT_MOST:
                raise EINVAL
            self.header_len = size
        elif request == SIOCGIFHWADDR:
            kind = ARPHRD_ETHER if link.flags & IFF_TAP else ARPHRD_NONE
            mem.write(arg, HWADDR.pack(link.iface.name, kind, link.iface.mac.ljust(6, b"\0")))
        else:
            raise ENOTTY
        return 0

    def _set_interface(self, t: Task, name: bytes, flags: int) -> TunLink:
        """TUNSETIFF: attach to the interface of that name, or make one ("%d" is the first free number)."""
        if self.link is not None:
            raise EINVAL
        if flags & ~(FEATURES | IFF_TUN_EXCL) or flags & 3 not in (IFF_TUN, IFF_TAP):
            raise EINVAL
        stack = self.net.enter()
        known = stack.interface(name) if name else None
        if known is not None:
            if flags & IFF_TUN_EXCL:
                raise EBUSY
            link = known.link
            if not isinstance(link, TunLink) or (link.flags ^ flags) & 3:
                raise EINVAL
            if not link.may_attach(t):
                raise EPERM
            if link.file is not None:
                raise EBUSY
            link.flags = flags & FEATURES
        else:
            if not t.creds.has(CAP_NET_ADMIN):
                raise EPERM
            link = self._make(name, flags & FEATURES)
        self.link = link
        link.attach(self)
        return link

    def _make(self, name: bytes, flags: int) -> TunLink:
        stack = self.net.enter()
        if not name:
            name = b"tap%d" if flags & IFF_TAP else b"tun%d"
        if name.count(b"%") > 1 or (b"%" in name and b"%d" not in name):
            raise EINVAL
        if b"%d" in name:
            name = free_name(stack, name)
        link = TunLink(self.net.driver, flags)
        try:
            if flags & IFF_TAP:
                link.iface = stack.add_interface(name, link, random_mac(), MTU)
            else:
                link.iface = stack.add_interface(name, link, b"", MTU, kind="none")
                link.iface.flags |= IFF_POINTOPOINT
        except NetError as err:
            raise BY_CODE[err.code]
        return link


def _protocol(packet: bytes) -> int:
    return ETH_P_IPV6 if packet[0] >> 4 == 6 else ETH_P_IP


def open_tun(inode: Inode, path: Path, flags: int, t: Task) -> File:
    return TunFile(path, flags, net_of(t))


def register() -> None:
    """Enter the driver for character device 10:200."""
    register_char(MAJOR, MINOR, open_tun)
