"""Host sockets that the container engine handed over as stdio, and readiness of descriptors that may block.

Nobody's O_NONBLOCK is changed: the flag belongs to the description, which others share (send(2), MSG_DONTWAIT).
"""

from __future__ import annotations

import select
import socket

from sentry.abi.errno import BY_CODE, EIO, WouldBlock


def receive(fd: int, size: int) -> bytes:
    """What has arrived on a socket; b"" at its end."""
    link = socket.socket(fileno=fd)
    try:
        return link.recv(size, socket.MSG_DONTWAIT)
    except BlockingIOError:
        raise WouldBlock
    except OSError as err:
        raise BY_CODE.get(err.errno or 0, EIO)
    finally:
        link.detach()


def send(fd: int, data: bytes) -> int:
    link = socket.socket(fileno=fd)
    try:
        return link.send(data, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
    except BlockingIOError:
        raise WouldBlock
    except OSError as err:
        raise BY_CODE.get(err.errno or 0, EIO)
    finally:
        link.detach()


def ready(fd: int, events: int) -> int:
    """The poll(2) events of `fd` that are true now."""
    poller = select.poll()
    poller.register(fd, events)
    found = poller.poll(0)
    return found[0][1] if found else 0
