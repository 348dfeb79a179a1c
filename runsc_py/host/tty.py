"""Terminals of the host (pty(7), termios(3), tty_ioctl(4)): kept raw, for the Sentry has its own line discipline."""

from __future__ import annotations

import fcntl
import os
import struct
import termios

TYPE_CHECKING = False  # as in `typing`, which takes longer to import than a command may run
if TYPE_CHECKING:
    from typing import Any

TIOCSPTLCK, TIOCGPTPEER = 0x40045431, 0x5441
WINSIZE = struct.Struct("HHHH")


def make_raw(fd: int) -> list[Any]:
    """cfmakeraw(3); returns the settings from before."""
    before = termios.tcgetattr(fd)
    mode = termios.tcgetattr(fd)
    mode[0] &= ~(
        termios.IGNBRK | termios.BRKINT | termios.PARMRK | termios.ISTRIP
        | termios.INLCR | termios.IGNCR | termios.ICRNL | termios.IXON
    )  # fmt: skip
    mode[1] &= ~termios.OPOST
    mode[3] &= ~(termios.ECHO | termios.ECHONL | termios.ICANON | termios.ISIG | termios.IEXTEN)
    mode[2] = mode[2] & ~(termios.CSIZE | termios.PARENB) | termios.CS8
    mode[6][termios.VMIN], mode[6][termios.VTIME] = 1, 0
    termios.tcsetattr(fd, termios.TCSANOW, mode)
    return before


def restore(fd: int, before: list[Any]) -> None:
    try:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)
    except termios.error:
        pass  # the terminal went away


def new_pty(size: tuple[int, int] | None) -> tuple[int, int]:
    """(master, slave) with the slave raw and opened without blocking, (rows, columns) as given."""
    master = os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    fcntl.ioctl(master, TIOCSPTLCK, struct.pack("i", 0))
    # TIOCGPTPEER, and not a path: /dev/pts may be of another instance
    slave = fcntl.ioctl(master, TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
    make_raw(slave)
    if size:
        fcntl.ioctl(master, termios.TIOCSWINSZ, WINSIZE.pack(*size, 0, 0))
    return master, slave


def send_master(path: str, master: int) -> None:
    """Hand the pty's master to the console socket (runc docs/terminals.md: one SCM_RIGHTS message, any payload)."""
    import _socket

    link = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
    try:
        link.connect(path)
        link.sendmsg([b"console"], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, struct.pack("i", master))])
    finally:
        link.close()


def own_description(fd: int) -> int:
    """The same file as `fd`, opened anew without blocking: O_NONBLOCK on a shared one would surprise others.

    Regular files keep the shared description (their offset is shared on purpose, and they never block), and so does
    what cannot be opened again (sockets, a pipe whose reader is gone).
    """
    import stat

    mode = os.fstat(fd).st_mode
    if stat.S_ISFIFO(mode) or stat.S_ISCHR(mode):
        access = fcntl.fcntl(fd, fcntl.F_GETFL) & (os.O_ACCMODE | os.O_APPEND)
        try:
            return os.open(f"/proc/self/fd/{fd}", access | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        except OSError:
            pass
    return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3)
