"""Socket calls of a fake guest, in the shape of Python's socket module, so that a test can run on both kernels."""

from __future__ import annotations

import os
from typing import Any

import pytest

import syscalls.epoll
import syscalls.fcntl
import syscalls.fd
import syscalls.ioctl
import syscalls.pipe
import syscalls.poll
import syscalls.socket
import syscalls.socket_msg  # noqa: F401
from sentry.abi import flags as abi
from sentry.abi.structs import MSGHDR, POLLFD
from tests.unit.syscalls.anon.fake_kernel import BASE, call

FDS, ADDR, SIZE, IOV, MSG, CONTROL, DATA = (BASE + 0x800 * i for i in range(7))


class GuestSocket:
    """One descriptor of task `t`. Errors are OSError, as in Python's own module."""

    def __init__(self, t: Any, fd: int) -> None:
        self.t = t
        self.fd = fd

    def run(self, name: str, *registers: int) -> int:
        result = call(self.t, name, self.fd, *registers)
        if result < 0:
            raise OSError(-result, os.strerror(-result))
        return result

    @property
    def file(self) -> Any:
        return self.t.fds.get(self.fd)

    def fileno(self) -> int:
        return self.fd

    def put_address(self, address: str | bytes) -> int:
        name = address.encode() if isinstance(address, str) else address
        data = abi.AF_UNIX.to_bytes(2, "little") + name + (b"" if name[:1] in (b"", b"\0") else b"\0")
        self.t.mem.write(ADDR, data)
        return len(data)

    def got_address(self, size: int) -> str | bytes:
        data: bytes = self.t.mem.read(ADDR, size)[2:]
        return data if data[:1] == b"\0" else data.partition(b"\0")[0].decode()

    def bind(self, address: str | bytes) -> None:
        self.run("bind", ADDR, self.put_address(address))

    def listen(self, backlog: int = 128) -> None:
        self.run("listen", backlog)

    def connect(self, address: str | bytes) -> None:
        self.run("connect", ADDR, self.put_address(address))

    def accept(self) -> GuestSocket:
        return GuestSocket(self.t, self.run("accept4", 0, 0, abi.SOCK_NONBLOCK))

    def _name(self, call_name: str) -> str | bytes:
        self.t.mem.put_i32(SIZE, 110)
        self.run(call_name, ADDR, SIZE)
        return self.got_address(self.t.mem.i32(SIZE))

    def getsockname(self) -> str | bytes:
        return self._name("getsockname")

    def getpeername(self) -> str | bytes:
        return self._name("getpeername")

    def send(self, data: bytes, flags: int = 0) -> int:
        self.t.mem.write(DATA, data)
        return self.run("sendto", DATA, len(data), flags, 0, 0)

    def sendto(self, data: bytes, address: str | bytes) -> int:
        self.t.mem.write(DATA, data)
        return self.run("sendto", DATA, len(data), 0, ADDR, self.put_address(address))

    def recv(self, size: int, flags: int = 0) -> bytes:
        done = self.run("recvfrom", DATA, size, flags, 0, 0)
        return self.t.mem.read(DATA, min(done, size))  # type: ignore[no-any-return]

    def recvfrom(self, size: int) -> tuple[bytes, Any]:
        self.t.mem.put_i32(SIZE, 110)
        done = self.run("recvfrom", DATA, size, 0, ADDR, SIZE)
        length = self.t.mem.i32(SIZE)
        return self.t.mem.read(DATA, done), self.got_address(length) if length else None

    def shutdown(self, how: int) -> None:
        self.run("shutdown", how)

    def close(self) -> None:
        self.run("close")

    def setsockopt(self, level: int, name: int, value: int | bytes) -> None:
        data = value.to_bytes(4, "little", signed=True) if isinstance(value, int) else value
        self.t.mem.write(ADDR, data)
        self.run("setsockopt", level, name, ADDR, len(data))

    def getsockopt(self, level: int, name: int, size: int = 4) -> Any:
        self.t.mem.put_i32(SIZE, size)
        self.run("getsockopt", level, name, ADDR, SIZE)
        data = self.t.mem.read(ADDR, self.t.mem.i32(SIZE))
        return int.from_bytes(data, "little", signed=True) if size == 4 else data

    def poll(self) -> int:
        self.t.mem.write(FDS, POLLFD.pack(self.fd, 0x2005, 0))  # IN, OUT, RDHUP
        call(self.t, "poll", FDS, 1, 0)
        return int(POLLFD.unpack(self.t.mem.read(FDS, 8))[2])

    # ancillary data -----------------------------------------------------------------------------------------------
    def _header(self, size: int, control: int) -> None:
        self.t.mem.write(IOV, DATA.to_bytes(8, "little") + size.to_bytes(8, "little"))
        self.t.mem.pack(MSGHDR, MSG, 0, 0, IOV, 1, CONTROL, control, 0)

    def sendmsg(self, data: bytes, ancillary: list[tuple[int, int, bytes]] | None = None, flags: int = 0) -> int:
        control = b""
        for level, kind, body in ancillary or ():
            head = (16 + len(body)).to_bytes(8, "little") + level.to_bytes(4, "little") + kind.to_bytes(4, "little")
            control += head + body + bytes(-len(body) % 8)
        self.t.mem.write(DATA, data)
        self.t.mem.write(CONTROL, control)
        self._header(len(data), len(control))
        return self.run("sendmsg", MSG, flags)

    def recvmsg(
        self, size: int, control: int = 0, flags: int = 0
    ) -> tuple[bytes, list[tuple[int, int, bytes]], int, int]:
        """(data, ancillary data, flags, result)"""
        self._header(size, control)
        done = self.run("recvmsg", MSG, flags)
        *_, used, got_flags = self.t.mem.unpack(MSGHDR, MSG)
        found, at = [], 0
        while at + 16 <= used:
            length = self.t.mem.u64(CONTROL + at)
            level, kind = self.t.mem.i32(CONTROL + at + 8), self.t.mem.i32(CONTROL + at + 12)
            found.append((level, kind, self.t.mem.read(CONTROL + at + 16, length - 16)))
            at += (length + 7) & ~7
        return self.t.mem.read(DATA, min(done, size)), found, got_flags, done


def unix(t: Any, kind: int, flags: int = abi.SOCK_NONBLOCK) -> GuestSocket:
    fd = call(t, "socket", abi.AF_UNIX, kind | flags, 0)
    assert fd >= 0, fd
    return GuestSocket(t, fd)


def unix_pair(t: Any, kind: int, flags: int = abi.SOCK_NONBLOCK) -> tuple[GuestSocket, GuestSocket]:
    assert call(t, "socketpair", abi.AF_UNIX, kind | flags, 0, FDS) == 0
    return GuestSocket(t, t.mem.i32(FDS)), GuestSocket(t, t.mem.i32(FDS + 4))


def failing(run: Any) -> int:
    with pytest.raises(OSError) as caught:
        run()
    assert caught.value.errno is not None
    return caught.value.errno
