"""/proc/sys (proc_sys(5)): the parameters of the kernel.

Most are plain settings that programs read and sometimes write (settings.py); those in `LIVE` are computed, or change
something. Other parts of the kernel ask for a parameter with `value`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from sentry.abi.errno import EINVAL, ENOENT, EPERM
from sentry.kernel.aio import in_use
from vfs.core.node import FileSystem, Inode
from vfs.core.synth import SynthDir, SynthFile
from vfs.proc import net_sysctl
from vfs.proc.settings import SETTINGS
from vfs.proc.texts import number
from vfs.tty.session import terminals

if TYPE_CHECKING:
    from sentry.kernel.kernel import Kernel
    from sentry.kernel.task import Task

TEXT_LIMIT = 4096
NAME_LIMIT = 64
NET = b"net/"  # of the network namespace: net_sysctl.py


class Sysctl:
    """The values of one kernel; only what was changed is kept."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.changed: dict[bytes, bytes] = {}
        self.boot_id = random_uuid()

    def get(self, name: bytes) -> bytes:
        """As a line without its end; ENOENT for an unknown name."""
        if name.startswith(NET):
            return net_sysctl.read(self.kernel.net, name[len(NET) :])
        live = LIVE.get(name)
        if live is not None:
            return live[0](self)
        setting = SETTINGS.get(name)
        if setting is None:
            raise ENOENT
        return self.changed.get(name, setting.start)

    def set(self, name: bytes, data: bytes) -> None:
        """EINVAL for what the parameter does not take, EPERM for one that cannot be changed."""
        if name.startswith(NET):
            net_sysctl.write(self.kernel.net, name[len(NET) :], data)
            return
        live = LIVE.get(name)
        if live is not None:
            if live[1] is None:
                raise EPERM
            live[1](self, data.split(b"\n")[0][:TEXT_LIMIT])
            return
        setting = SETTINGS.get(name)
        if setting is None:
            raise ENOENT
        if not setting.mode & 0o200:
            raise EPERM
        if not setting.numbers:
            self.changed[name] = data.split(b"\n")[0][:TEXT_LIMIT]
            return
        words = data.replace(b"\0", b" ").split()
        if not 0 < len(words) <= setting.numbers:
            raise EINVAL
        new = [b"%d" % number(word, setting.low, setting.high) for word in words]
        old = self.get(name).split(b"\t")
        self.changed[name] = b"\t".join(new + old[len(new) :])


def random_uuid() -> bytes:
    """A UUID of version 4 (RFC 4122)."""
    raw = bytearray(os.urandom(16))
    raw[6] = raw[6] & 0x0F | 0x40
    raw[8] = raw[8] & 0x3F | 0x80
    digits = raw.hex().encode()
    return b"-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def _set_hostname(ctl: Sysctl, data: bytes) -> None:
    ctl.kernel.uts.nodename = data[:NAME_LIMIT]


def _set_domainname(ctl: Sysctl, data: bytes) -> None:
    ctl.kernel.uts.domainname = data[:NAME_LIMIT]


def _file_nr(ctl: Sysctl) -> bytes:
    tables = {id(task.fds): task.fds for task in tuple(ctl.kernel.tasks.values())}
    files = sum(len(table.files) for table in tables.values())
    return b"%d\t0\t%s" % (files, ctl.get(b"fs/file-max"))


def _pty_nr(ctl: Sysctl) -> bytes:
    devpts = terminals(ctl.kernel).devpts
    return b"%d" % (len(devpts.top.nodes) if devpts is not None else 0)


Get = Callable[[Sysctl], bytes]
LIVE: dict[bytes, tuple[Get, Callable[[Sysctl, bytes], None] | None]] = {
    b"fs/aio-nr": (lambda ctl: b"%d" % in_use(ctl.kernel), None),
    b"fs/file-nr": (_file_nr, None),
    b"kernel/domainname": (lambda ctl: ctl.kernel.uts.domainname, _set_domainname),
    b"kernel/hostname": (lambda ctl: ctl.kernel.uts.nodename, _set_hostname),
    b"kernel/ns_last_pid": (lambda ctl: b"%d" % max((g.pid for g in ctl.kernel.groups.values()), default=1), None),
    b"kernel/pty/nr": (_pty_nr, None),
    b"kernel/random/boot_id": (lambda ctl: ctl.boot_id, None),
    b"kernel/random/uuid": (lambda ctl: random_uuid(), None),
}


def sysctl(kernel: Kernel) -> Sysctl:
    """The one object of `kernel`, made when it is first needed."""
    found = kernel.__dict__.get("sysctl")
    if not isinstance(found, Sysctl):
        found = kernel.__dict__["sysctl"] = Sysctl(kernel)
    return found


def value(kernel: Kernel, name: bytes) -> int:
    """The first number of a parameter: value(kernel, b"kernel/shmmax")."""
    return int(sysctl(kernel).get(name).split()[0])


def apply(kernel: Kernel, settings: dict[bytes, bytes]) -> None:
    """The container's own sysctls (config.json), named b"net.core.somaxconn"; ENOENT or EINVAL as sysctl(8) gets."""
    for name, text in settings.items():
        sysctl(kernel).set(name.replace(b".", b"/"), text)


def directory(fs: FileSystem) -> SynthDir:
    """The tree. Writing is root's, by mode bits, as everywhere in /proc/sys."""
    top = SynthDir(fs)
    for path in sorted({*SETTINGS, *LIVE}):
        *parents, name = path.split(b"/")
        at = top
        for parent in parents:
            known = at.entries.get(parent)
            at = known if isinstance(known, SynthDir) else _add_dir(fs, at, parent)
        at.add(name, _file(fs, path))
    top.add(b"net", net_sysctl.directory(fs))
    return top


def _add_dir(fs: FileSystem, at: SynthDir, name: bytes) -> SynthDir:
    made = SynthDir(fs)
    at.add(name, made)
    return made


def _file(fs: FileSystem, path: bytes) -> Inode:
    live = LIVE.get(path)
    mode = SETTINGS[path].mode if live is None else 0o444 if live[1] is None else 0o644

    def render(t: Task) -> bytes:
        return sysctl(t.kernel).get(path) + b"\n"

    def store(t: Task, data: bytes) -> None:
        sysctl(t.kernel).set(path, data)

    return SynthFile(fs, render, store if mode & 0o200 else None, mode=mode)
