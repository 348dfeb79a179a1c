"""Host sockets that the container engine handed over as stdio, and readiness of descriptors that may block.

Nobody's O_NONBLOCK is changed: the flag belongs to the description, which others share (send(2), MSG_DONTWAIT).
"""

from __future__ import annotations

from sentry.abi.errno import BY_CODE, EIO, WouldBlock
from sentry.engine._engine import ffi, lib

EAGAIN = 11


def receive(fd: int, size: int) -> bytes:
    """What has arrived on a socket; b"" at its end."""
    buffer = ffi.new("char[]", size)
    return bytes(ffi.buffer(buffer, _checked(lib.eng_receive(fd, buffer, size))))


def receive_with_fds(fd: int, size: int, limit: int) -> tuple[bytes, list[int]]:
    """One read of a unix socket, and the descriptors that came along (SCM_RIGHTS), at most `limit`: they are ours."""
    buffer = ffi.new("char[]", size)
    numbers = ffi.new("int[]", limit)
    count = _checked(int(lib.eng_receive_fds(fd, buffer, size, numbers, limit)))
    return bytes(ffi.buffer(buffer, count)), [number for number in numbers if number >= 0]


def send(fd: int, data: bytes) -> int:
    return _checked(int(lib.eng_send(fd, ffi.from_buffer(data), len(data))))


def ready(fd: int, events: int) -> int:
    """The poll(2) events of `fd` that are true now."""
    return max(int(lib.eng_ready(fd, events)), 0)


def _checked(result: int) -> int:
    """Bytes that went, or the error that came instead."""
    if result == -EAGAIN:
        raise WouldBlock
    if result < 0:
        raise BY_CODE.get(-result, EIO)
    return result
