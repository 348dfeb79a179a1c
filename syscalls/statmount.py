"""statmount(2), listmount(2): the tree of mounts by 64-bit numbers that are never used again."""

from __future__ import annotations

from os import major, minor
from struct import Struct, pack
from typing import TYPE_CHECKING

from sentry.abi.const import mounts as k
from sentry.abi.const.files import LISTMOUNT_REVERSE
from sentry.abi.const.rights import CAP_SYS_ADMIN
from sentry.abi.errno import E2BIG, EINVAL, ENOENT, EOVERFLOW, EPERM
from syscalls.args import Addr, Size, UInt
from syscalls.registry import syscall
from vfs.core.mount import Mount, mounts_of
from vfs.core.walk import dentry_name, path_name

if TYPE_CHECKING:
    from sentry.kernel.task import Task
    from vfs.core.dentry import Path

FIRST = 1 << 31  # unique numbers lie above those of mountinfo
NAMESPACE = 1  # the number of the only mount namespace
PAGE = 4096
MOST = 1_000_000
REQUEST = Struct("<IIQQQ")  # struct mnt_id_req: size spare mnt_id param mnt_ns_id
REQUEST_SIZE_VER0 = 24
HEADER = 512
ATTRIBUTES = (
    (k.MS_RDONLY, 1), (k.MS_NOSUID, 2), (k.MS_NODEV, 4), (k.MS_NOEXEC, 8), (k.MS_NOATIME, 0x10),
    (k.MS_NODIRATIME, 0x80),
)  # fmt: skip
ATTR_RELATIME = 0
SUPPORTED = (
    k.STATMOUNT_SB_BASIC | k.STATMOUNT_MNT_BASIC | k.STATMOUNT_PROPAGATE_FROM | k.STATMOUNT_MNT_ROOT
    | k.STATMOUNT_MNT_POINT | k.STATMOUNT_FS_TYPE | k.STATMOUNT_MNT_NS_ID | k.STATMOUNT_MNT_OPTS
    | k.STATMOUNT_FS_SUBTYPE | k.STATMOUNT_SB_SOURCE | k.STATMOUNT_OPT_ARRAY | k.STATMOUNT_OPT_SEC_ARRAY
    | k.STATMOUNT_SUPPORTED_MASK
)  # fmt: skip


def unique_id(mount: Mount) -> int:
    """Also what statx(2) gives for STATX_MNT_ID_UNIQUE."""
    return FIRST + mount.id


def _request(t: Task, addr: int) -> tuple[int, int]:
    """mnt_id and param."""
    size = t.mem.u32(addr)
    if size > PAGE:
        raise E2BIG
    if size < REQUEST_SIZE_VER0:
        raise EINVAL
    data = t.mem.read(addr, size)
    if any(data[REQUEST.size :]):
        raise E2BIG
    _, spare, number, param, namespace = REQUEST.unpack(data[: REQUEST.size].ljust(REQUEST.size, b"\0"))
    if spare or number <= FIRST:
        raise EINVAL
    if namespace not in (0, NAMESPACE):
        raise ENOENT
    return number, param


def _find(t: Task, number: int) -> Mount:
    for mount in mounts_of(t):
        if unique_id(mount) == number:
            return mount
    raise ENOENT


def _reachable(mount: Mount, root: Path) -> bool:
    return path_name(mount.top(), root).startswith(b"/")


@syscall("listmount", Addr, Addr, Size, UInt)
def sys_listmount(t: Task, request_addr: int, ids_addr: int, room: int, flags: int) -> int:
    if flags & ~LISTMOUNT_REVERSE:
        raise EINVAL
    if room > MOST:
        raise EOVERFLOW
    number, last = _request(t, request_addr)
    if last and last <= FIRST:
        raise EINVAL
    root = t.fs.root
    if number == k.LSMT_ROOT:
        top = root
    else:
        top = _find(t, number).top()
        if not path_name(top, root).startswith(b"/"):
            t.creds.require(CAP_SYS_ADMIN)
    found = [unique_id(mount) for mount in mounts_of(t) if _reachable(mount, top)]
    found = [each for each in found if each != number]
    if flags & LISTMOUNT_REVERSE:
        found = [each for each in reversed(found) if not last or each < last]
    else:
        found = [each for each in found if each > last]
    found = found[:room]
    t.mem.write(ids_addr, pack(f"<{len(found)}Q", *found))
    return len(found)


@syscall("statmount", Addr, Addr, Size, UInt)
def sys_statmount(t: Task, request_addr: int, buf_addr: int, size: int, flags: int) -> int:
    if flags:
        raise EINVAL
    number, wanted = _request(t, request_addr)
    mount = _find(t, number)
    root = t.fs.root
    point = path_name(mount.top(), root)
    if not point.startswith(b"/") and not t.creds.has(CAP_SYS_ADMIN):
        raise EPERM
    answer = _Answer(wanted)
    _fill(answer, mount, point)
    data = answer.packed()
    if len(data) > HEADER and len(data) > size:
        raise EOVERFLOW
    t.mem.write(buf_addr, data[:size])
    return 0


class _Answer:
    """struct statmount: a header whose strings are offsets into what follows it. The first string is empty."""

    def __init__(self, wanted: int) -> None:
        self.header = bytearray(HEADER)
        self.wanted = wanted
        self.mask = 0
        self.strings = b""

    def put(self, at: int, layout: str, *values: int) -> None:
        data = pack(layout, *values)
        self.header[at : at + len(data)] = data

    def asked(self, bit: int) -> bool:
        if not self.wanted & bit:
            return False
        self.mask |= bit
        return True

    def text(self, bit: int, at: int, text: bytes) -> None:
        """Set where there is one."""
        if self.wanted & bit and text:
            self.mask |= bit
            if not self.strings:
                self.strings = b"\0"
            self.put(at, "<I", len(self.strings))
            self.strings += text + b"\0"

    def packed(self) -> bytes:
        self.put(0, "<I", HEADER + len(self.strings))
        self.put(8, "<Q", self.mask)
        return bytes(self.header) + self.strings


def _fill(out: _Answer, mount: Mount, point: bytes) -> None:
    fs = mount.fs
    if out.asked(k.STATMOUNT_SB_BASIC):
        out.put(16, "<IIQI", major(fs.dev), minor(fs.dev), fs.magic, k.MS_RDONLY if fs.readonly else 0)
    if out.asked(k.STATMOUNT_MNT_BASIC):
        above = mount.parent if mount.parent is not None else mount
        attributes = sum(attr for flag, attr in ATTRIBUTES if mount.flags & flag)
        out.put(40, "<QQIIQQ", unique_id(mount), unique_id(above), mount.id, above.id, attributes, k.MS_PRIVATE)
    out.asked(k.STATMOUNT_PROPAGATE_FROM)
    if out.asked(k.STATMOUNT_MNT_NS_ID):
        out.put(112, "<Q", NAMESPACE)
    if out.asked(k.STATMOUNT_SUPPORTED_MASK):
        out.put(144, "<Q", SUPPORTED)
    out.text(k.STATMOUNT_FS_TYPE, 36, fs.name)
    out.text(k.STATMOUNT_MNT_ROOT, 104, dentry_name(mount.root) or b"/")
    out.text(k.STATMOUNT_MNT_POINT, 108, point if point.startswith(b"/") else b"")
    options = fs.options().lstrip(b",")
    out.text(k.STATMOUNT_MNT_OPTS, 4, options)
    out.text(k.STATMOUNT_SB_SOURCE, 124, mount.source)
    if out.wanted & k.STATMOUNT_OPT_ARRAY and options:
        out.put(128, "<I", options.count(b",") + 1)
        out.text(k.STATMOUNT_OPT_ARRAY, 132, options.replace(b",", b"\0"))
