"""The terminal devices (tty(4), console(4), pts(4)): /dev/tty, /dev/console, /dev/ptmx and the slaves in devpts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentry.abi.errno import EIO, ENODEV, ENOENT, ENOTDIR, ENXIO
from vfs.core.dentry import Path
from vfs.core.special import register_char
from vfs.core.walk import find
from vfs.fs.devpts import PTS_MAJOR, Devpts, PtsNode
from vfs.tty.console import Console
from vfs.tty.file import TtyFile, open_tty
from vfs.tty.pair import Master, Pair
from vfs.tty.session import controlling_tty, terminals
from vfs.tty.tty import Tty

if TYPE_CHECKING:
    from sentry.kernel.kernel import Kernel
    from sentry.kernel.task import Task
    from vfs.core.file import File
    from vfs.core.node import Inode

CONSOLE_GID = 5  # the group "tty" of every distribution
FIRST_UNNAMED = 1 << 16  # number of a terminal where no devpts is mounted


def register() -> None:
    """Enter the drivers for character devices 5:0, 5:1, 5:2 and 136:*."""
    register_char(5, 0, open_controlling)
    register_char(5, 1, open_console)
    register_char(5, 2, open_ptmx)
    register_char(PTS_MAJOR, None, open_slave)


def make_devpts(kernel: Kernel, options: bytes = b"") -> Devpts:
    """A new instance. The console, if the container has one, gets its name in the first."""
    fs = Devpts(options)
    known = terminals(kernel)
    if known.devpts is None:
        known.devpts = fs
        if known.console is not None:
            fs.add(known.console.index, known.console, 0, CONSOLE_GID)
    return fs


def attach_console(kernel: Kernel, tty: Tty) -> None:
    """`tty` is the container's own terminal: /dev/console, and /dev/pts/0 where devpts is mounted."""
    known = terminals(kernel)
    known.console = tty
    if known.devpts is not None:
        known.devpts.add(tty.index, tty, 0, CONSOLE_GID)


def new_terminal(kernel: Kernel, host_fd: int) -> Console:
    """A further terminal of the host (`exec` with one): it has the next free name in devpts until it is closed."""
    fs = terminals(kernel).devpts
    console = Console(kernel, host_fd, fs.free_number() if fs is not None else FIRST_UNNAMED)
    if fs is not None:
        fs.add(console.tty.index, console.tty, 0, CONSOLE_GID)
        console.ended = lambda: fs.remove(console.tty.index)
    return console


def open_controlling(inode: Inode, path: Path, flags: int, t: Task) -> File:
    """/dev/tty; ENXIO for a process without a terminal."""
    tty = controlling_tty(t)
    if tty is None:
        raise ENXIO
    return open_tty(tty, path, flags, t, console=True)


def open_console(inode: Inode, path: Path, flags: int, t: Task) -> File:
    """/dev/console never becomes a controlling terminal by itself; ENXIO for a container without one."""
    tty = terminals(t.kernel).console
    if tty is None:
        raise ENXIO
    return open_tty(tty, path, flags, t, console=True)


def open_ptmx(inode: Inode, path: Path, flags: int, t: Task) -> File:
    """A new pair in the devpts that the multiplexer belongs to, or that is mounted as `pts` beside it."""
    fs = inode.fs if isinstance(inode.fs, Devpts) else _beside(path, t)
    pair = Pair(t.kernel, fs.free_number())
    fs.add(pair.tty.index, pair, t.creds.fsuid, t.creds.fsgid)
    return Master(pair, path, flags, _peer, lambda ended: fs.remove(ended.tty.index))


def open_slave(inode: Inode, path: Path, flags: int, t: Task) -> File:
    """/dev/pts/N; EIO while it is locked (unlockpt(3)) or when its master is gone."""
    terminal = inode.terminal if isinstance(inode, PtsNode) else None
    if isinstance(terminal, Tty):
        return open_tty(terminal, path, flags, t)
    if not isinstance(terminal, Pair):
        raise ENXIO
    if terminal.locked or not terminal.master_open:
        raise EIO
    return _open(terminal, path, flags, t)


def _open(pair: Pair, path: Path, flags: int, t: Task) -> TtyFile:
    file = open_tty(pair.tty, path, flags, t)
    pair.was_open = True
    return file


def _peer(t: Task, pair: Pair, path: Path, flags: int) -> File:
    """TIOCGPTPEER: works on a locked slave and whatever is mounted over it."""
    place = path if isinstance(path.inode.fs, Devpts) else _mounted_beside(path, t)
    fs = place.inode.fs
    if not isinstance(fs, Devpts):
        raise ENODEV
    return _open(pair, Path(place.mount, fs.dentry(pair.tty.index)), flags & ~0o2000000, t)


def _beside(path: Path, t: Task) -> Devpts:
    fs = _mounted_beside(path, t).inode.fs
    if not isinstance(fs, Devpts):
        raise ENODEV
    return fs


def _mounted_beside(path: Path, t: Task) -> Path:
    parent = path.dentry.parent
    if parent is None:
        raise ENODEV
    try:
        return find(t, Path(path.mount, parent), b"pts")
    except (ENOENT, ENOTDIR):
        raise ENODEV
