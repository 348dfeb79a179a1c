"""/proc/PID/net (proc_pid_net(5)): what a process's network namespace has. Files are made for the namespace of the
process that the directory belongs to, so /proc/net, which is /proc/self/net, is the reader's own."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from sentry.abi.const.files import S_IFREG
from vfs.core.node import FileSystem, Inode, Name
from vfs.core.synth import SynthDir, SynthFile, number
from vfs.proc import net_counters, net_routes, net_sockets, net_tables
from vfs.proc.subject import Subject

if TYPE_CHECKING:
    from sentry.kernel.task import Task
    from sentry.net.namespace import NetNamespace

Render = Callable[["NetNamespace"], bytes]
FILES: dict[bytes, Render] = {
    **net_sockets.FILES, **net_tables.FILES, **net_routes.FILES, **net_counters.FILES,
}  # fmt: skip


def directory(fs: FileSystem, subject: Subject) -> SynthDir:
    """Entries are made when they are looked up."""
    key = subject.key

    def find(t: Task, name: bytes) -> Inode | None:
        render = FILES.get(name)
        if render is None:
            return None
        return SynthFile(fs, lambda reader: render(subject.task.net), ino=number("net", name, *key))

    def names(t: Task) -> Iterable[Name]:
        return [Name(name, number("net", name, *key), S_IFREG >> 12) for name in sorted(FILES)]

    return SynthDir(fs, {}, find=find, names=names, ino=number("net", *key), lasting=False)
