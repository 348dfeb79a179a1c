"""/proc/sys/net (the kernel's Documentation/networking/ip-sysctl.rst): the parameters of the network namespace of who
reads or writes.

Most are attributes of `stack.settings` and have effect at once. The directories of single interfaces below conf and
neigh show the values of "all": there is one value for all interfaces, but for disable_ipv6 and mtu. What nothing here
depends on is kept and given back (`net_sysctl_names.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from netstack.iface import Interface
from sentry.abi.const.files import S_IFDIR, S_IFREG
from sentry.abi.errno import EINVAL, ENOENT, EPERM
from vfs.core.node import FileSystem, Inode, Name
from vfs.core.synth import SynthDir, SynthFile, number
from vfs.proc.net_sysctl_names import ALL, Param
from vfs.proc.texts import number as parse

if TYPE_CHECKING:
    from sentry.kernel.task import Task
    from sentry.net.namespace import NetNamespace

NONE = 1, 0  # ping_group_range of nobody
MTU6_LEAST = 1280
KEPT = frozenset(("", "mtu6"))  # attributes that are no settings of the stack: what is written is only shown


def read(net: NetNamespace, path: bytes) -> bytes:
    """A line without its end; `path` is below net/. ENOENT."""
    param, iface = _find(net, path)
    special = SPECIAL.get(param.attribute)
    if special is not None and iface is not None:
        return special[0](net, iface)
    if param.attribute in KEPT:
        return net.kept.get(path, param.start)
    return _shown(param, getattr(net.stack.settings, param.attribute))


def write(net: NetNamespace, path: bytes, data: bytes) -> None:
    """ENOENT, EPERM for what cannot be changed, EINVAL for what the parameter does not take."""
    param, iface = _find(net, path)
    if not param.mode & 0o200:
        raise EPERM
    stack = net.enter()
    special = SPECIAL.get(param.attribute)
    if special is not None and iface is not None:
        special[1](net, iface, parse(data, param.low, param.high))
        return
    if param.attribute in KEPT:
        if param.mode & 0o400:
            net.kept[path] = _kept(param, net.kept.get(path, param.start), data)
        return
    value = _parsed(net, param, data)
    setattr(stack.settings, param.attribute, value)
    if param.attribute == "ipv6_disable" and b"/all/" in path:
        for each in list(stack.interfaces.values()):
            _set_disabled(net, each, int(bool(value)))


def _find(net: NetNamespace, path: bytes) -> tuple[Param, Interface | None]:
    param = ALL.get(path)
    if param is not None:
        return param, None
    parts = path.split(b"/")
    if len(parts) == 4 and parts[1] in (b"conf", b"neigh"):
        iface = net.stack.interface(parts[2])
        common = parts[2] in (b"all", b"default") and not (parts[1] == b"neigh" and parts[2] == b"all")
        param = ALL.get(b"/".join((*parts[:2], b"*", parts[3])))
        if param is not None and (iface is not None or common):
            return param, iface
    raise ENOENT


# values -----------------------------------------------------------------------------------------------------------
def _shown(param: Param, value: object) -> bytes:
    if param.attribute == "ip_local_reserved_ports" and isinstance(value, tuple):
        return b",".join(b"%d" % low if low == high else b"%d-%d" % (low, high) for low, high in value)
    if isinstance(value, tuple):
        return b"\t".join(b"%d" % each for each in value)
    if isinstance(value, str):
        return value.encode()
    assert isinstance(value, int)
    return b"%d" % (value * param.scale[0] // param.scale[1])


def _kept(param: Param, before: bytes, data: bytes) -> bytes:
    if not param.numbers:
        return data.split(b"\n")[0]
    words = data.replace(b"\0", b" ").split()
    if not 0 < len(words) <= param.numbers:
        raise EINVAL
    new = [b"%d" % parse(word, param.low, param.high) for word in words]
    return b"\t".join(new + before.split(b"\t")[len(new) :])


def _parsed(net: NetNamespace, param: Param, data: bytes) -> object:
    settings = net.stack.settings
    before = getattr(settings, param.attribute)
    if param.attribute == "ip_local_reserved_ports":
        return _ports(data)
    if isinstance(before, str):
        return _congestion(net, param, data)
    words = data.replace(b"\0", b" ").split()
    if not 0 < len(words) <= param.numbers:
        raise EINVAL
    values = tuple(parse(word, param.low, param.high) for word in words)
    if isinstance(before, int):
        return values[0] * param.scale[1] // param.scale[0]
    values += before[len(values) :]
    if param.attribute == "ping_group_range" and values[0] > values[1]:
        return NONE
    first = settings.ip_unprivileged_port_start
    if param.attribute == "ip_local_port_range" and not first <= values[0] <= values[1]:
        raise EINVAL
    return values


def _ports(data: bytes) -> tuple[tuple[int, int], ...]:
    """A list of ports and ranges: 8080,9000-9010."""
    found = []
    for word in data.replace(b"\0", b"").strip().split(b","):
        if not word.strip():
            continue
        low, _, high = word.strip().partition(b"-")
        first, last = parse(low, 0, 65535), parse(high or low, 0, 65535)
        if first > last:
            raise EINVAL
        found.append((first, last))
    return tuple(sorted(found))


def _congestion(net: NetNamespace, param: Param, data: bytes) -> str:
    """Names of congestion controls; ENOENT for one that is not there."""
    names = data.decode("ascii", "replace").split()
    known = net.stack.settings.tcp_available_congestion_control.split()
    if not names or any(name not in known for name in names):
        raise ENOENT
    return " ".join(names) if param.attribute == "tcp_allowed_congestion_control" else names[0]


# what an interface has for itself ---------------------------------------------------------------------------------
def _disabled(net: NetNamespace, iface: Interface) -> bytes:
    return b"%d" % (not iface.ipv6)


def _set_disabled(net: NetNamespace, iface: Interface, value: int) -> None:
    """disable_ipv6: its addresses go, or it starts as if it had just come up. What was said of "all" ends with one
    interface that is an exception: the others have it for themselves."""
    stack = net.enter()
    if not value and stack.settings.ipv6_disable:
        stack.settings.ipv6_disable = 0
    if iface.ipv6 == (not value):
        return
    iface.ipv6 = not value
    if value:
        for address in [entry for entry in iface.addresses if len(entry.local) == 16]:
            stack.remove_address(iface, address)
    elif iface.up:
        stack.addressing.up(iface)
        stack.memberships.up(iface)
        stack.autoconf.up(iface)


def _mtu6(net: NetNamespace, iface: Interface) -> bytes:
    return b"%d" % (iface.mtu6 or iface.mtu)


def _set_mtu6(net: NetNamespace, iface: Interface, value: int) -> None:
    if not MTU6_LEAST <= value <= iface.mtu:
        raise EINVAL
    iface.mtu6 = value if value < iface.mtu else 0
    net.stack.changed("link", iface)


Get = Callable[["NetNamespace", Interface], bytes]
Set = Callable[["NetNamespace", Interface, int], None]
SPECIAL: dict[str, tuple[Get, Set]] = {"ipv6_disable": (_disabled, _set_disabled), "mtu6": (_mtu6, _set_mtu6)}


# the tree ---------------------------------------------------------------------------------------------------------
def _children(net: NetNamespace, prefix: bytes) -> dict[bytes, bool]:
    """Names below a directory, and whether they are directories."""
    wanted = prefix.split(b"/") if prefix else []
    found: dict[bytes, bool] = {}
    if len(wanted) == 2 and wanted[1] in (b"conf", b"neigh"):
        common = (b"all", b"default") if wanted[1] == b"conf" else (b"default",)
        return dict.fromkeys((*common, *(iface.name for iface in net.stack.interfaces.values())), True)
    for path in ALL:
        parts = path.split(b"/")
        if len(parts) <= len(wanted) or not all(a in (b, b"*") for a, b in zip(parts, wanted, strict=False)):
            continue
        name = parts[len(wanted)]
        if name != b"*" and not (wanted[1:2] == [b"neigh"] and _only_default(parts, wanted)):
            found[name] = len(parts) > len(wanted) + 1
    return found


def _only_default(parts: list[bytes], wanted: list[bytes]) -> bool:
    """gc_thresh1 and its like are found below neigh/default alone."""
    return parts[2] == b"default" and wanted[2:3] != [b"default"]


def directory(fs: FileSystem, prefix: bytes = b"") -> SynthDir:
    def find(t: Task, name: bytes) -> Inode | None:
        is_directory = _children(t.net, prefix).get(name)
        path = prefix + b"/" + name if prefix else name
        if is_directory is None:
            return None
        return directory(fs, path) if is_directory else _file(fs, t, path)

    def names(t: Task) -> Iterable[Name]:
        below = sorted(_children(t.net, prefix).items())
        return [
            Name(name, number("sysctl", prefix, name), (S_IFDIR if is_directory else S_IFREG) >> 12)
            for name, is_directory in below
        ]

    return SynthDir(fs, {}, find=find, names=names, ino=number("sysctl", prefix), lasting=False)


def _file(fs: FileSystem, t: Task, path: bytes) -> Inode:
    mode = _find(t.net, path)[0].mode
    ino = number("sysctl", *path.rpartition(b"/")[::2])
    render = (lambda t: read(t.net, path) + b"\n") if mode & 0o400 else None
    store = (lambda t, data: write(t.net, path, data)) if mode & 0o200 else None
    return SynthFile(fs, render, store, mode=mode, ino=ino)
